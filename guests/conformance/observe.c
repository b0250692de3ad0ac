/* How what a case observes is written: see conform.h. All of it ends in observe_text, which keeps
 * errno. */
#define _GNU_SOURCE
#include "conform.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <time.h>

#define EPHEMERAL_FIRST 32768 /* net.ipv4.ip_local_port_range */
#define EPHEMERAL_LAST  60999
#define SHOWN_BYTES     64
#define AUTOBIND_DIGITS 5 /* of the abstract names that unix(7) gives on its own */

_Static_assert(POLLIN == EPOLLIN && POLLOUT == EPOLLOUT && POLLRDHUP == EPOLLRDHUP,
               "poll and epoll share their masks");

void observe(const char *label, long result)
{
	if (result == -1)
		observe_text(label, "-1 %s", strerrorname_np(errno));
	else
		observe_text(label, "%ld", result);
}

int observe_fd(const char *label, int fd)
{
	if (fd < 0)
		observe(label, fd);
	else
		observe_text(label, "fd");
	return fd;
}

static void write_inet(char *text, size_t size, const struct sockaddr_in *address)
{
	char host[INET_ADDRSTRLEN];
	int port = ntohs(address->sin_port);
	inet_ntop(AF_INET, &address->sin_addr, host, sizeof(host));
	if (port >= EPHEMERAL_FIRST && port <= EPHEMERAL_LAST)
		snprintf(text, size, "%s:EPHEMERAL", host);
	else
		snprintf(text, size, "%s:%d", host, port);
}

static int is_autobind(const char *name, size_t length)
{
	if (length != AUTOBIND_DIGITS)
		return 0;
	for (size_t i = 0; i < length; i++)
		if (!isxdigit((unsigned char)name[i]))
			return 0;
	return 1;
}

static void write_unix(char *text, size_t size, const struct sockaddr_un *address, socklen_t length)
{
	size_t bytes = length - offsetof(struct sockaddr_un, sun_path);
	if (bytes > sizeof(address->sun_path))
		bytes = sizeof(address->sun_path);
	if (bytes == 0)
		snprintf(text, size, "unix:");
	else if (address->sun_path[0])
		snprintf(text, size, "unix:%.*s", (int)bytes, address->sun_path);
	else if (is_autobind(address->sun_path + 1, bytes - 1))
		snprintf(text, size, "unix:@AUTOBIND");
	else
		snprintf(text, size, "unix:@%.*s", (int)bytes - 1, address->sun_path + 1);
}

void observe_address(const char *label, int result, const void *address, socklen_t length)
{
	char text[200];
	sa_family_t family;
	if (result == -1 || length < sizeof(family)) {
		observe(label, result);
		if (result != -1)
			observe_text("length", "%u", length);
		return;
	}
	memcpy(&family, address, sizeof(family));
	if (family == AF_INET && length >= offsetof(struct sockaddr_in, sin_zero))
		write_inet(text, sizeof(text), address);
	else if (family == AF_UNIX)
		write_unix(text, sizeof(text), address, length);
	else
		snprintf(text, sizeof(text), "family-%d", family);
	observe_text(label, "%s", text);
	if (family != AF_UNIX && length != sizeof(struct sockaddr_in))
		observe_text("length", "%u", length);
}

void observe_name(const char *label, int fd)
{
	struct sockaddr_storage address = { 0 };
	socklen_t length = sizeof(address);
	int result = getsockname(fd, (struct sockaddr *)&address, &length);
	observe_address(label, result, &address, length);
}

void observe_peer(const char *label, int fd)
{
	struct sockaddr_storage address = { 0 };
	socklen_t length = sizeof(address);
	int result = getpeername(fd, (struct sockaddr *)&address, &length);
	observe_address(label, result, &address, length);
}

void observe_events(const char *label, unsigned int events)
{
	static const struct {
		unsigned int bit;
		const char *name;
	} names[] = {
		{ EPOLLIN, "IN" },
		{ EPOLLPRI, "PRI" },
		{ EPOLLOUT, "OUT" },
		{ EPOLLERR, "ERR" },
		{ EPOLLHUP, "HUP" },
		{ POLLNVAL, "NVAL" },
		{ EPOLLRDNORM, "RDNORM" },
		{ EPOLLRDBAND, "RDBAND" },
		{ EPOLLWRNORM, "WRNORM" },
		{ EPOLLWRBAND, "WRBAND" },
		{ EPOLLMSG, "MSG" },
		{ EPOLLRDHUP, "RDHUP" },
		{ EPOLLEXCLUSIVE, "EXCLUSIVE" },
		{ EPOLLWAKEUP, "WAKEUP" },
		{ EPOLLONESHOT, "ONESHOT" },
		{ EPOLLET, "ET" },
	};
	char text[200] = "";
	size_t length = 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!(events & names[i].bit))
			continue;
		events &= ~names[i].bit;
		length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s",
		                           length ? "|" : "", names[i].name);
	}
	if (events || !length)
		snprintf(text + length, sizeof(text) - length, length ? "|%#x" : "%#x", events);
	observe_text(label, "%s", text);
}

void observe_poll(const char *label, int fd, int events, int timeout_ms)
{
	struct pollfd entry = { .fd = fd, .events = (short)events };
	int result = poll(&entry, 1, timeout_ms);
	if (result == -1)
		observe(label, result);
	else
		observe_events(label, (unsigned short)entry.revents);
}

void observe_bytes(const char *label, ssize_t result, const void *buffer)
{
	if (result < 0) {
		observe(label, result);
		return;
	}
	char text[SHOWN_BYTES * 4 + 1] = "";
	const unsigned char *bytes = buffer;
	size_t length = 0;
	for (ssize_t i = 0; i < result && i < SHOWN_BYTES; i++)
		length += (size_t)snprintf(text + length, sizeof(text) - length,
		                           isgraph(bytes[i]) && bytes[i] != '\\' ? "%c" : "\\x%02x",
		                           bytes[i]);
	if (result <= SHOWN_BYTES) {
		observe_text(label, "%zd\"%s\"", result, text);
		return;
	}
	uint32_t sum = 2166136261u; /* FNV-1a */
	for (ssize_t i = 0; i < result; i++)
		sum = (sum ^ bytes[i]) * 16777619u;
	observe_text(label, "%zd\"%s\"...sum-%08x", result, text, sum);
}

long now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void observe_waited(const char *label, long since_ms, long at_least_ms, long at_most_ms)
{
	long waited = now_ms() - since_ms;
	observe_text(label, "%s",
	             waited < at_least_ms  ? "early"
	             : waited > at_most_ms ? "late"
	                                   : "in-time");
}

long must(const char *label, long result)
{
	if (result != -1)
		return result;
	observe(label, result);
	observe_text("SETUP", "failed");
	_exit(0);
}
