/*
 * tcp_echo PORT: sends back what each client sends, many clients at once.
 * tcp_echo --check: checks itself over the loopback instead (tcp_echo_check.c).
 *
 * One thread and one epoll. A client is read from only while nothing waits to be sent back to it,
 * so a client that does not read holds up itself alone.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "echo.h"

#define BUFFER_BYTES 65536
#define CLIENTS_MAX  65000

/* What is still to be sent to a client; there only while something is, so that an idle client costs
 * nothing here. */
struct waiting {
	size_t at, bytes; /* of data[] */
	char data[];
};

static struct waiting *table[CLIENTS_MAX]; /* by descriptor */
static int table_used;                     /* entries; while it is 0 no memory backs the table */
static int epoll_fd;
static char buffer[BUFFER_BYTES];

static void fail(const char *what)
{
	fprintf(stderr, "tcp_echo: %s: %s\n", what, strerror(errno));
	exit(1);
}

int tcp_echo_listen(uint16_t port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int on = 1;

	if (fd < 0)
		fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
		fail("bind");
	if (listen(fd, 4096) < 0)
		fail("listen");
	return fd;
}

static struct waiting *waiting_of(int fd)
{
	return table_used ? table[fd] : NULL;
}

static void set_waiting(int fd, struct waiting *waiting)
{
	table_used += (waiting != NULL) - (table[fd] != NULL);
	table[fd] = waiting;
}

static void close_client(int fd)
{
	struct waiting *rest = waiting_of(fd);

	close(fd);
	if (rest) {
		set_waiting(fd, NULL);
		free(rest);
	}
}

static void accept_clients(int listener)
{
	int on = 1, fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

		if (fd >= CLIENTS_MAX) {
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
			close_client(fd);
	}
}

static void watch(int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event);
}

/* How much of the data the connection takes now; -1: it is gone. */
static ssize_t send_some(int fd, const char *data, size_t bytes)
{
	size_t sent = 0;

	while (sent < bytes) {
		ssize_t n = send(fd, data + sent, bytes - sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return -1;
		sent += (size_t)n;
	}
	return (ssize_t)sent;
}

/* Sends what was just read; what is not taken waits in memory of its own. 0: the client is gone. */
static int send_back(int fd, size_t bytes)
{
	ssize_t sent = send_some(fd, buffer, bytes);
	struct waiting *rest;

	if (sent < 0)
		return 0;
	bytes -= (size_t)sent;
	if (bytes == 0)
		return 1;
	rest = malloc(sizeof *rest + bytes);
	if (!rest)
		return 0;
	rest->at = 0;
	rest->bytes = bytes;
	memcpy(rest->data, buffer + sent, bytes);
	set_waiting(fd, rest);
	watch(fd, EPOLLOUT);
	return 1;
}

/* Goes on with what waits. 0: the client is gone. */
static int send_waiting(int fd)
{
	struct waiting *rest = waiting_of(fd);
	ssize_t sent = send_some(fd, rest->data + rest->at, rest->bytes);

	if (sent < 0)
		return 0;
	rest->at += (size_t)sent;
	rest->bytes -= (size_t)sent;
	if (rest->bytes == 0) {
		set_waiting(fd, NULL);
		free(rest);
		watch(fd, EPOLLIN);
	}
	return 1;
}

/* Reads and sends until nothing more can be read, or something waits. 0: the client is gone. */
static int serve(int fd)
{
	if (waiting_of(fd) && !send_waiting(fd))
		return 0;
	while (!waiting_of(fd)) {
		ssize_t n = read(fd, buffer, sizeof buffer);

		if (n < 0 && errno == EAGAIN)
			return 1;
		if (n <= 0 || !send_back(fd, (size_t)n))
			return 0;
	}
	return 1;
}

/* As many descriptors as clients can need, where the system lets it have them. */
static void raise_files(void)
{
	struct rlimit limit = { CLIENTS_MAX, CLIENTS_MAX };

	setrlimit(RLIMIT_NOFILE, &limit);
}

void tcp_echo_serve(int listener)
{
	struct epoll_event events[64], event = { .events = EPOLLIN, .data.fd = listener };
	int n, fd;

	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) < 0)
		fail("epoll");
	for (;;) {
		n = epoll_wait(epoll_fd, events, 64, -1);
		if (n < 0 && errno != EINTR)
			fail("epoll_wait");
		for (int i = 0; i < n; i++) {
			fd = events[i].data.fd;
			if (fd == listener)
				accept_clients(listener);
			else if (!serve(fd))
				close_client(fd);
		}
	}
}

int main(int argc, char **argv)
{
	int listener;

	if (argc != 2) {
		fprintf(stderr, "usage: tcp_echo PORT | --check\n");
		return 2;
	}
	if (strcmp(argv[1], "--check") == 0)
		return tcp_echo_check();
	raise_files();
	listener = tcp_echo_listen((uint16_t)atoi(argv[1]));
	printf("tcp_echo: listening on port %s\n", argv[1]);
	fflush(stdout);
	tcp_echo_serve(listener);
}
