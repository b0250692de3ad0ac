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
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES 65536
#define CLIENTS_MAX  65000

/* One connection; made by accept_clients, freed by close_client. Memory for data is only taken
 * while some waits to be sent, so that an idle client costs next to nothing. */
struct client {
	int fd;
	char *waiting; /* waiting_bytes of it from waiting_at on; NULL: none */
	size_t waiting_at, waiting_bytes;
};

static int epoll_fd;
static char buffer[BUFFER_BYTES];

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
	if (listen(fd, 4096) < 0)
		fail("listen");
	return fd;
}

static void close_client(struct client *client)
{
	close(client->fd);
	free(client->waiting);
	free(client);
}

static void accept_clients(int listener)
{
	int on = 1, fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct client *client = calloc(1, sizeof *client);
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };

		if (!client) {
			close(fd);
			continue;
		}
		client->fd = fd;
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
static int send_back(struct client *client, size_t bytes)
{
	ssize_t sent = send_some(client->fd, buffer, bytes);

	if (sent < 0)
		return 0;
	if ((size_t)sent == bytes)
		return 1;
	client->waiting_at = 0;
	client->waiting_bytes = bytes - (size_t)sent;
	client->waiting = malloc(client->waiting_bytes);
	if (!client->waiting)
		return 0;
	memcpy(client->waiting, buffer + sent, client->waiting_bytes);
	watch(client, EPOLLOUT);
	return 1;
}

/* Goes on with what waits. 0: the client is gone. */
static int send_waiting(struct client *client)
{
	ssize_t sent =
	        send_some(client->fd, client->waiting + client->waiting_at, client->waiting_bytes);

	if (sent < 0)
		return 0;
	client->waiting_at += (size_t)sent;
	client->waiting_bytes -= (size_t)sent;
	if (client->waiting_bytes == 0) {
		free(client->waiting);
		client->waiting = NULL;
		watch(client, EPOLLIN);
	}
	return 1;
}

/* Reads and sends until nothing more can be read, or something waits. 0: the client is gone. */
static int serve(struct client *client)
{
	if (client->waiting && !send_waiting(client))
		return 0;
	while (!client->waiting) {
		ssize_t n = read(client->fd, buffer, sizeof buffer);

		if (n < 0 && errno == EAGAIN)
			return 1;
		if (n <= 0 || !send_back(client, (size_t)n))
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

int main(int argc, char **argv)
{
	struct epoll_event events[64], event = { .events = EPOLLIN };
	int listener, n;

	if (argc != 2) {
		fprintf(stderr, "usage: tcp_echo PORT\n");
		return 2;
	}
	raise_files();
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
			struct client *client = events[i].data.ptr;

			if (!client)
				accept_clients(listener);
			else if (!serve(client))
				close_client(client);
		}
	}
}
