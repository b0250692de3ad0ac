/* What poll, select and epoll say of a descriptor in a given state.
 *
 *     STATE(tcp_bound)
 *     {
 *             int fd = tcp_socket();
 *             must("bind", bind_to(fd, inet_address("127.0.0.1", 0)));
 *             return fd;
 *     }
 *
 * is a case of that name. It prints, for each mask that a poll may ask for, what it gets; what
 * select says of the three sets (r, w, x), and what a level-triggered epoll item reports. */
#pragma once

#include "conform.h"

#define STATE(name)                                                                                \
	static int name##_state(void);                                                             \
	CASE(name)                                                                                 \
	{                                                                                          \
		observe_readiness(name##_state());                                                 \
	}                                                                                          \
	static int name##_state(void)

void observe_readiness(int fd);

/* Writes to a nonblocking descriptor until nothing more is taken for a while. */
void fill(int fd);
/* Waits until poll reports one of the events; that does not come: the case notes it and ends. */
void await(int fd, int events);
/* A child of this case, which runs the function after so many ms and ends. */
pid_t child_after(int ms, void (*run)(void *), void *argument);
