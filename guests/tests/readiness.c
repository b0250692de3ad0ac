/* Pipes, eventfd, socket pairs, and the three ways to wait for them: epoll, ppoll, pselect6. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "guests/tests/check.h"

static void add(int epoll, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}

static void test_epoll_modes(void)
{
	struct epoll_event event;
	int epoll = epoll_create1(EPOLL_CLOEXEC), level = eventfd(0, EFD_NONBLOCK),
	    edge = eventfd(0, EFD_NONBLOCK), once = eventfd(0, EFD_NONBLOCK);

	CHECK(epoll >= 0 && level >= 0 && edge >= 0 && once >= 0);
	CHECK(epoll_wait(epoll, &event, 1, 0) == 0);
	add(epoll, level, EPOLLIN);
	CHECK(eventfd_write(level, 1) == 0);
	for (int i = 0; i < 3; i++)
		CHECK(epoll_wait(epoll, &event, 1, 0) == 1 && event.data.fd == level &&
		      event.events == EPOLLIN);
	CHECK(epoll_ctl(epoll, EPOLL_CTL_DEL, level, NULL) == 0);
	add(epoll, edge, EPOLLIN | EPOLLET);
	CHECK(eventfd_write(edge, 1) == 0);
	CHECK(epoll_wait(epoll, &event, 1, 0) == 1 && event.data.fd == edge);
	CHECK(epoll_wait(epoll, &event, 1, 0) == 0);
	CHECK(eventfd_write(edge, 1) == 0);
	CHECK(epoll_wait(epoll, &event, 1, 0) == 1);
	CHECK(epoll_ctl(epoll, EPOLL_CTL_DEL, edge, NULL) == 0);
	add(epoll, once, EPOLLIN | EPOLLONESHOT);
	CHECK(eventfd_write(once, 1) == 0);
	CHECK(epoll_wait(epoll, &event, 1, 0) == 1 && event.data.fd == once);
	CHECK(epoll_wait(epoll, &event, 1, 0) == 0);
	event = (struct epoll_event){ .events = EPOLLIN | EPOLLONESHOT, .data.fd = once };
	CHECK(epoll_ctl(epoll, EPOLL_CTL_MOD, once, &event) == 0);
	CHECK(epoll_wait(epoll, &event, 1, 0) == 1);
	CHECK_FAILS(epoll_ctl(epoll, EPOLL_CTL_ADD, once, &event), EEXIST);
	CHECK_FAILS(epoll_ctl(epoll, EPOLL_CTL_DEL, level, NULL), ENOENT);
	CHECK_FAILS(epoll_ctl(epoll, EPOLL_CTL_ADD, 77, &event), EBADF);
	CHECK_FAILS(epoll_wait(epoll, &event, 0, 0), EINVAL);
	close(epoll);
	close(level);
	close(edge);
	close(once);
}

static void test_timeouts(void)
{
	struct timespec before, after, wait = { .tv_nsec = 60000000 };
	struct epoll_event event;
	int epoll = epoll_create1(0);
	long ms;

	for (int way = 0; way < 3; way++) {
		clock_gettime(CLOCK_MONOTONIC, &before);
		if (way == 0)
			CHECK(epoll_wait(epoll, &event, 1, 60) == 0);
		else if (way == 1)
			CHECK(ppoll(NULL, 0, &wait, NULL) == 0);
		else
			CHECK(pselect(0, NULL, NULL, NULL, &wait, NULL) == 0);
		clock_gettime(CLOCK_MONOTONIC, &after);
		ms = (after.tv_sec - before.tv_sec) * 1000 +
		     (after.tv_nsec - before.tv_nsec) / 1000000;
		CHECK(ms >= 59 && ms < 3000);
	}
	close(epoll);
}

static void test_pipe(void)
{
	char buffer[4096] = { 0 };
	int ends[2];
	size_t filled = 0;
	ssize_t n;
	struct pollfd ready;

	CHECK(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
	CHECK_FAILS(read(ends[0], buffer, 1), EAGAIN);
	while ((n = write(ends[1], buffer, sizeof buffer)) > 0)
		filled += (size_t)n;
	CHECK(n < 0 && errno == EAGAIN && filled >= 4096);
	ready = (struct pollfd){ .fd = ends[1], .events = POLLOUT };
	CHECK(poll(&ready, 1, 0) == 0);
	while (filled > 0) {
		n = read(ends[0], buffer, sizeof buffer);
		CHECK(n > 0);
		filled -= (size_t)n;
	}
	CHECK(poll(&ready, 1, 0) == 1 && ready.revents == POLLOUT);
	close(ends[1]);
	CHECK(read(ends[0], buffer, 1) == 0);
	ready = (struct pollfd){ .fd = ends[0], .events = POLLIN };
	CHECK(poll(&ready, 1, 0) == 1 && ready.revents == POLLHUP);
	close(ends[0]);
	ready.fd = ends[0];
	CHECK(poll(&ready, 1, 0) == 1 && ready.revents == POLLNVAL);
}

static void test_select(void)
{
	struct timeval none = { 0 };
	int ends[2];
	fd_set in, out;

	CHECK(pipe(ends) == 0);
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(ends[0], &in);
	FD_SET(ends[1], &out);
	CHECK(select(ends[1] + 1, &in, &out, NULL, &none) == 1 && !FD_ISSET(ends[0], &in) &&
	      FD_ISSET(ends[1], &out));
	CHECK(write(ends[1], "x", 1) == 1);
	FD_SET(ends[0], &in);
	CHECK(select(ends[1] + 1, &in, &out, NULL, NULL) == 2 && FD_ISSET(ends[0], &in));
	close(ends[0]);
	close(ends[1]);
}

/* A TCP connection with oneself over 127.0.0.1, watched by epoll. */
static void test_loopback(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), client, server,
	    epoll = epoll_create1(0);
	socklen_t length = sizeof address;
	struct epoll_event event;
	char text[16];

	CHECK(listener >= 0);
	CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 &&
	      listen(listener, 8) == 0);
	CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0 &&
	      address.sin_port != 0);
	CHECK_FAILS(accept(listener, NULL, NULL), EAGAIN);
	add(epoll, listener, EPOLLIN);
	client = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
	CHECK(epoll_wait(epoll, &event, 1, 2000) == 1 && event.data.fd == listener);
	server = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	CHECK(server >= 0);
	add(epoll, server, EPOLLIN | EPOLLRDHUP | EPOLLET);
	CHECK(write(client, "ping", 4) == 4);
	CHECK(epoll_wait(epoll, &event, 1, 2000) == 1 && event.data.fd == server &&
	      event.events == EPOLLIN);
	CHECK(read(server, text, sizeof text) == 4 && memcmp(text, "ping", 4) == 0);
	CHECK(send(server, "pong!", 5, MSG_NOSIGNAL) == 5);
	CHECK(recv(client, text, sizeof text, 0) == 5);
	CHECK(shutdown(client, SHUT_WR) == 0);
	CHECK(epoll_wait(epoll, &event, 1, 2000) == 1 && event.events == (EPOLLIN | EPOLLRDHUP));
	CHECK(read(server, text, 1) == 0);
	close(server);
	CHECK(recv(client, text, 1, 0) == 0);
	close(client);
	close(listener);
	client = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_FAILS(connect(client, (struct sockaddr *)&address, sizeof address), ECONNREFUSED);
	close(client);
	close(epoll);
}

static void test_pair(void)
{
	int pair[2];
	char text[8];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	CHECK(write(pair[0], "there", 5) == 5 && read(pair[1], text, sizeof text) == 5);
	CHECK(write(pair[1], "back", 4) == 4 && read(pair[0], text, sizeof text) == 4);
	close(pair[0]);
	CHECK(read(pair[1], text, 1) == 0);
	close(pair[1]);
}

int main(void)
{
	test_epoll_modes();
	test_timeouts();
	test_pipe();
	test_select();
	test_loopback();
	test_pair();
	puts("readiness: all checks hold");
	return 0;
}
