/* tcp_echo --check: a client's life against the server of the same program, over the loopback. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "echo.h"
#include "test_check.h"

#define MUCH     (1 << 20)
#define AT_ONCE  50
#define IN_A_ROW 100

static struct sockaddr_in server; /* of 127.0.0.1 */

static int connect_to(int fd, struct sockaddr_in address)
{
	return connect(fd, (struct sockaddr *)&address, sizeof address);
}

static struct sockaddr_in name_of(int fd)
{
	struct sockaddr_in address = { 0 };
	socklen_t length = sizeof address;

	EQ(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	return address;
}

static int connected(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	EQ(connect_to(fd, server), 0);
	return fd;
}

static int error_of(int fd)
{
	int error = -1;
	socklen_t length = sizeof error;

	EQ(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length), 0);
	return error;
}

/* poll through ppoll, with a mask and a time limit. */
static int wait_events(int fd, int events)
{
	struct pollfd entry = { .fd = fd, .events = (short)events };
	struct timespec limit = { 20, 0 };
	sigset_t none;

	sigemptyset(&none);
	EQ(ppoll(&entry, 1, &limit, &none), 1);
	return entry.revents;
}

static void check_flags(void)
{
	int plain = socket(AF_INET, SOCK_STREAM, 0);
	int both = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	EQ(fcntl(plain, F_GETFL), O_RDWR);
	EQ(fcntl(plain, F_GETFD), 0);
	EQ(fcntl(both, F_GETFL), O_RDWR | O_NONBLOCK);
	EQ(fcntl(both, F_GETFD), FD_CLOEXEC);
	close(plain);
	close(both);
}

/* accept4's flags, and both ends' names of one connection. */
static void check_accept(void)
{
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in peer = { 0 };
	socklen_t length = sizeof peer;
	int fd;

	EQ(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
	EQ(listen(listener, 1), 0);
	address = name_of(listener);
	EQ(connect_to(client, address), 0);
	fd = accept4(listener, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
	EQ(fd >= 0, 1);
	EQ(length, sizeof peer);
	EQ(fcntl(fd, F_GETFL), O_RDWR | O_NONBLOCK);
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	EQ(peer.sin_port, name_of(client).sin_port);
	EQ(peer.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	EQ(name_of(fd).sin_port, address.sin_port);
	length = sizeof peer;
	EQ(getpeername(client, (struct sockaddr *)&peer, &length), 0);
	EQ(peer.sin_port, address.sin_port);
	close(fd);
	close(client);
	close(listener);
}

static void read_all(int fd, char *to, size_t bytes)
{
	size_t done = 0;
	ssize_t got;

	while (done < bytes && (got = read(fd, to + done, bytes - done)) > 0)
		done += (size_t)got;
	EQ(done, bytes);
}

/* Pieces out, other pieces back, some of them empty. */
static void check_pieces(void)
{
	char head[7], tail[16] = "";
	struct iovec out[4] = { { "pie", 3 }, { NULL, 0 }, { "ces of", 6 }, { " text", 5 } };
	struct iovec in[3] = { { head, sizeof head }, { NULL, 0 }, { tail, 7 } };
	struct msghdr message = { .msg_iov = in, .msg_iovlen = 3 };
	int fd = connected();

	EQ(writev(fd, out, 4), 14);
	EQ(recvmsg(fd, &message, MSG_WAITALL), 14);
	EQ(memcmp(head, "pieces ", 7), 0);
	EQ(memcmp(tail, "of text", 7), 0);
	EQ(send(fd, "x", 1, MSG_NOSIGNAL), 1);
	EQ(recv(fd, tail, sizeof tail, 0), 1);
	FAILS(recv(fd, tail, sizeof tail, MSG_DONTWAIT), EAGAIN);
	close(fd);
}

static void check_nonblocking_connect(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	FAILS(connect_to(fd, server), EINPROGRESS);
	EQ(wait_events(fd, POLLOUT), POLLOUT);
	EQ(error_of(fd), 0);
	EQ(connect_to(fd, server), 0);
	FAILS(connect_to(fd, server), EISCONN);
	close(fd);
}

/* A connection that fails, is told once, and another from the same socket. */
static void check_refused(void)
{
	int closed = tcp_echo_listen(0), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct sockaddr_in nowhere = server;

	nowhere.sin_port = name_of(closed).sin_port;
	close(closed);
	FAILS(connect_to(fd, nowhere), EINPROGRESS);
	EQ(wait_events(fd, POLLOUT) & (POLLERR | POLLHUP), POLLERR | POLLHUP);
	EQ(error_of(fd), ECONNREFUSED);
	EQ(error_of(fd), 0);
	FAILS(connect_to(fd, nowhere), ECONNABORTED);
	FAILS(connect_to(fd, server), EINPROGRESS);
	EQ(wait_events(fd, POLLOUT), POLLOUT);
	EQ(error_of(fd), 0);
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	FAILS(connect_to(fd, nowhere), ECONNREFUSED);
	EQ(connect_to(fd, server), 0);
	close(fd);
}

static char pattern(size_t at)
{
	return (char)(at * 31 + at / 4093);
}

/* Both directions at once without blocking, then the end of one. */
static void check_stream(void)
{
	char *out = malloc(MUCH), *in = malloc(MUCH), byte;
	size_t sent = 0, received = 0;
	int fd = connected();

	EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	for (size_t i = 0; i < MUCH; i++)
		out[i] = pattern(i);
	while (received < MUCH) {
		int events = wait_events(fd, POLLIN | (sent < MUCH ? POLLOUT : 0));
		ssize_t n;

		if (events & POLLOUT && (n = write(fd, out + sent, MUCH - sent)) > 0)
			sent += (size_t)n;
		if (!(events & POLLIN))
			continue;
		n = read(fd, in + received, MUCH - received);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			break;
		received += n > 0 ? (size_t)n : 0;
	}
	EQ(received, MUCH);
	EQ(memcmp(in, out, MUCH), 0);
	EQ(shutdown(fd, SHUT_WR), 0);
	wait_events(fd, POLLIN);
	EQ(read(fd, &byte, 1), 0);
	FAILS(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
	free(out);
	free(in);
	close(fd);
}

static void check_many(void)
{
	int fds[AT_ONCE];
	char bytes[100], back[100];

	memset(bytes, 'm', sizeof bytes);
	for (int i = 0; i < AT_ONCE; i++) {
		fds[i] = connected();
		EQ(write(fds[i], bytes, sizeof bytes), sizeof bytes);
	}
	for (int i = 0; i < AT_ONCE; i++) {
		read_all(fds[i], back, sizeof back);
		EQ(memcmp(back, bytes, sizeof back), 0);
		close(fds[i]);
	}
	for (int i = 0; i < IN_A_ROW; i++) {
		int fd = connected();

		EQ(write(fd, &i, sizeof i), sizeof i);
		read_all(fd, back, sizeof i);
		EQ(memcmp(back, &i, sizeof i), 0);
		close(fd);
	}
}

int tcp_echo_check(void)
{
	int listener = tcp_echo_listen(0);
	pid_t child;

	begin();
	server = name_of(listener);
	server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	child = fork();
	if (child == 0)
		tcp_echo_serve(listener);
	close(listener);
	check_flags();
	check_accept();
	check_pieces();
	check_nonblocking_connect();
	check_refused();
	check_stream();
	check_many();
	EQ(kill(child, SIGTERM), 0);
	EQ(waitpid(child, NULL, 0), child);
	return end("tcp_echo");
}
