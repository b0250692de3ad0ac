/* See readiness.h. */
#define _GNU_SOURCE
#include "readiness.h"

#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>

#define ALL_EVENTS                                                                                 \
	(POLLIN | POLLPRI | POLLOUT | POLLRDNORM | POLLRDBAND | POLLWRNORM | POLLWRBAND |          \
	 POLLMSG | POLLRDHUP)

static void observe_select(int fd)
{
	fd_set sets[3];
	struct timeval none = { 0 };
	for (int i = 0; i < 3; i++) {
		FD_ZERO(&sets[i]);
		FD_SET(fd, &sets[i]);
	}
	int result = select(fd + 1, &sets[0], &sets[1], &sets[2], &none);
	if (result == -1) {
		observe("select", result);
		return;
	}
	observe_text("select", "%d%s%s%s", result, FD_ISSET(fd, &sets[0]) ? "r" : "",
	             FD_ISSET(fd, &sets[1]) ? "w" : "", FD_ISSET(fd, &sets[2]) ? "x" : "");
}

static void observe_epoll(int fd)
{
	struct epoll_event event = { .events = ALL_EVENTS };
	int epoll = (int)must("epoll_create1", epoll_create1(0));
	int result = epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	if (result == -1) {
		observe("epoll", result);
		return;
	}
	event.events = 0;
	must("epoll_wait", epoll_wait(epoll, &event, 1, 0));
	observe_events("epoll", event.events);
	close(epoll);
}

void observe_readiness(int fd)
{
	static const struct {
		const char *label;
		int events;
	} masks[] = {
		{ "0", 0 },
		{ "IN", POLLIN },
		{ "PRI", POLLPRI },
		{ "OUT", POLLOUT },
		{ "RDNORM", POLLRDNORM },
		{ "RDBAND", POLLRDBAND },
		{ "WRNORM", POLLWRNORM },
		{ "WRBAND", POLLWRBAND },
		{ "RDHUP", POLLRDHUP },
		{ "IN|OUT", POLLIN | POLLOUT },
	};
	observe_poll("all", fd, ALL_EVENTS, 0);
	for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++)
		observe_poll(masks[i].label, fd, masks[i].events, 0);
	observe_select(fd);
	observe_epoll(fd);
}

void fill(int fd)
{
	static char bytes[16384];
	struct pollfd entry = { .fd = fd, .events = POLLOUT };
	do {
		while (write(fd, bytes, sizeof(bytes)) > 0)
			;
	} while (poll(&entry, 1, 50) > 0);
}

void await(int fd, int events)
{
	struct pollfd entry = { .fd = fd, .events = (short)events };
	if (poll(&entry, 1, 5000) != 1) {
		observe_text("SETUP", "no-events");
		_exit(0);
	}
}

pid_t child_after(int ms, void (*run)(void *), void *argument)
{
	pid_t pid = (pid_t)must("fork", fork());
	if (pid)
		return pid;
	pause_ms(ms);
	run(argument);
	_exit(0);
}
