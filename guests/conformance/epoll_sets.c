/* See epoll_sets.h. */
#define _GNU_SOURCE
#include "epoll_sets.h"

#include <stdio.h>
#include <string.h>

#define MAX 64

int epoll_new(void)
{
	return (int)must("epoll_create1", epoll_create1(EPOLL_CLOEXEC));
}

int epoll_change(int epoll, int operation, int fd, unsigned int events, int number)
{
	struct epoll_event event = { .events = events, .data.u64 = (uint64_t)number };
	return epoll_ctl(epoll, operation, fd, &event);
}

void epoll_add(int epoll, int fd, unsigned int events, int number)
{
	must("EPOLL_CTL_ADD", epoll_change(epoll, EPOLL_CTL_ADD, fd, events, number));
}

void observe_wait(const char *label, int epoll, int max, int timeout_ms)
{
	struct epoll_event events[MAX] = { 0 };
	char text[40];
	int count = epoll_wait(epoll, events, max < MAX ? max : MAX, timeout_ms);
	if (count == -1) {
		observe(label, count);
		return;
	}
	if (count == 0)
		observe_text(label, "-");
	for (int i = 0; i < count; i++) {
		snprintf(text, sizeof(text), "%s/%d", label, (int)events[i].data.u64);
		observe_events(text, events[i].events);
	}
}
