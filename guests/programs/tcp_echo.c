/*
 * tcp_echo PORT: sends back what each client sends, many clients at once.
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
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES 65536

/* One connection; made by accept_clients, freed by close_client. */
struct client {
	int fd;
	size_t sent, filled;
	char buffer[BUFFER_BYTES];
};

static int epoll_fd;

static void fail(const char *what)
{
	fprintf(stderr, "tcp_echo: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int listen_on(uint16_t port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int on = 1;

	if (fd < 0)
		fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
		fail("bind");
	if (listen(fd, 511) < 0)
		fail("listen");
	return fd;
}

static void close_client(struct client *client)
{
	close(client->fd);
	free(client);
}

static void accept_clients(int listener)
{
	int on = 1, fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct client *client = malloc(sizeof *client);
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };

		if (!client) {
			close(fd);
			continue;
		}
		client->fd = fd;
		client->sent = client->filled = 0;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
			close_client(client);
	}
}

static void watch(struct client *client, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = client };

	epoll_ctl(epoll_fd, EPOLL_CTL_MOD, client->fd, &event);
}

/* Sends what waits. False: the connection is gone. */
static int send_back(struct client *client)
{
	while (client->sent < client->filled) {
		ssize_t n = send(client->fd, client->buffer + client->sent,
		                 client->filled - client->sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			watch(client, EPOLLOUT);
			return 1;
		}
		if (n < 0)
			return 0;
		client->sent += (size_t)n;
	}
	client->sent = client->filled = 0;
	return 1;
}

static void serve(struct client *client, uint32_t events)
{
	ssize_t n;

	if (events & EPOLLOUT) {
		if (!send_back(client)) {
			close_client(client);
			return;
		}
		if (client->filled)
			return;
		watch(client, EPOLLIN);
	}
	while (!client->filled) {
		n = read(client->fd, client->buffer, sizeof client->buffer);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			close_client(client);
			return;
		}
		client->filled = (size_t)n;
		if (!send_back(client)) {
			close_client(client);
			return;
		}
	}
}

int main(int argc, char **argv)
{
	struct epoll_event events[64], event = { .events = EPOLLIN };
	int listener, n;

	if (argc != 2) {
		fprintf(stderr, "usage: tcp_echo PORT\n");
		return 2;
	}
	listener = listen_on((uint16_t)atoi(argv[1]));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) < 0)
		fail("epoll");
	printf("tcp_echo: listening on port %s\n", argv[1]);
	fflush(stdout);
	for (;;) {
		n = epoll_wait(epoll_fd, events, 64, -1);
		if (n < 0 && errno != EINTR)
			fail("epoll_wait");
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				serve(events[i].data.ptr, events[i].events);
			else
				accept_clients(listener);
		}
	}
}
