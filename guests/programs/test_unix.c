/*
 * test_unix: AF_UNIX sockets, checked against what Linux does (the same program passes there).
 * Prints one line per failed check, then a summary; exits with 0 when there was none.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "test_check.h"

static void send_fd(int through, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec vector = { "f", 1 };
	struct msghdr header = { .msg_iov = &vector,
		                 .msg_iovlen = 1,
		                 .msg_control = control,
		                 .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&header);
	*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
		               .cmsg_type = SCM_RIGHTS,
		               .cmsg_len = CMSG_LEN(sizeof(int)) };
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	EQ(sendmsg(through, &header, 0), 1);
}

static int receive_fd(int through)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte;
	struct iovec vector = { &byte, 1 };
	struct msghdr header = { .msg_iov = &vector,
		                 .msg_iovlen = 1,
		                 .msg_control = control,
		                 .msg_controllen = sizeof(control) };
	EQ(recvmsg(through, &header, MSG_CMSG_CLOEXEC), 1);
	struct cmsghdr *c = CMSG_FIRSTHDR(&header);
	int fd = -1;
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

static void test_unix_pairs(void)
{
	int fds[2];
	char buffer[32];
	EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	EQ(write(fds[0], "abc", 3), 3);
	EQ(write(fds[0], "def", 3), 3);
	EQ(read(fds[1], buffer, sizeof(buffer)), 6);
	FAILS(recv(fds[1], buffer, 1, MSG_DONTWAIT), EAGAIN);
	struct ucred peer;
	socklen_t length = sizeof(peer);
	EQ(getsockopt(fds[0], SOL_SOCKET, SO_PEERCRED, &peer, &length), 0);
	EQ(peer.pid, getpid());
	int ends[2];
	EQ(pipe(ends), 0);
	send_fd(fds[0], ends[1]);
	int received = receive_fd(fds[1]);
	EQ(received >= 0, 1);
	EQ(fcntl(received, F_GETFD), FD_CLOEXEC);
	EQ(write(received, "through", 7), 7);
	EQ(read(ends[0], buffer, sizeof(buffer)), 7);
	close(received);
	close(ends[1]);
	EQ(read(ends[0], buffer, 1), 0);
	close(ends[0]);
	EQ(write(fds[0], "left", 4), 4);
	close(fds[0]);
	EQ(ready(fds[1], POLLIN | POLLRDHUP, 0), POLLIN | POLLRDHUP | POLLHUP);
	EQ(read(fds[1], buffer, sizeof(buffer)), 4);
	EQ(read(fds[1], buffer, sizeof(buffer)), 0);
	FAILS(send(fds[1], "x", 1, MSG_NOSIGNAL), EPIPE);
	close(fds[1]);
	EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds), 0);
	EQ(send(fds[0], "12345", 5, 0), 5);
	EQ(send(fds[0], "", 0, 0), 0);
	EQ(recv(fds[1], buffer, 3, MSG_TRUNC), 5);
	EQ(recv(fds[1], buffer, 3, 0), 0);
	FAILS(recv(fds[1], buffer, 3, 0), EAGAIN);
	close(fds[1]);
	FAILS(send(fds[0], "x", 1, 0), ECONNREFUSED);
	FAILS(send(fds[0], "x", 1, 0), ENOTCONN);
	close(fds[0]);
	EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	EQ(send(fds[0], "packet", 6, 0), 6);
	EQ(send(fds[0], "two", 3, 0), 3);
	EQ(recv(fds[1], buffer, sizeof(buffer), 0), 6);
	EQ(recv(fds[1], buffer, 2, 0), 2);
	close(fds[0]);
	EQ(recv(fds[1], buffer, 2, 0), 0);
	close(fds[1]);
}

static void unix_server(struct sockaddr_un *where, socklen_t length)
{
	char buffer[16];
	struct sockaddr_un back;
	socklen_t back_length = sizeof(back);
	int listening = socket(AF_UNIX, SOCK_STREAM, 0);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	EQ(bind(listening, (struct sockaddr *)where, length), 0);
	FAILS(bind(listening, (struct sockaddr *)where, length),
	      where->sun_path[0] ? EADDRINUSE : EINVAL);
	FAILS(bind(fd, (struct sockaddr *)where, length), EADDRINUSE);
	FAILS(connect(fd, (struct sockaddr *)where, length), ECONNREFUSED);
	EQ(listen(listening, 0), 0);
	EQ(connect(fd, (struct sockaddr *)where, length), 0);
	FAILS(connect(fd, (struct sockaddr *)where, length), EAGAIN); /* the backlog is full */
	EQ(write(fd, "early", 5), 5);
	EQ(ready(listening, POLLIN, 0), POLLIN);
	int server = accept(listening, (struct sockaddr *)&back, &back_length);
	EQ(back_length, sizeof(sa_family_t));
	EQ(read(server, buffer, sizeof(buffer)), 5);
	FAILS(connect(fd, (struct sockaddr *)where, length), EISCONN);
	back_length = sizeof(back);
	EQ(getpeername(fd, (struct sockaddr *)&back, &back_length), 0);
	EQ(back_length, length);
	EQ(memcmp(&back, where, length), 0);
	EQ(write(fd, "unread", 6), 6);
	close(server);
	FAILS(read(fd, buffer, 1), ECONNRESET);
	EQ(read(fd, buffer, 1), 0);
	close(fd);
	close(listening);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	FAILS(connect(fd, (struct sockaddr *)where, length), ECONNREFUSED);
	close(fd);
}

static void test_unix_names(void)
{
	struct sockaddr_un where = { .sun_family = AF_UNIX };
	memcpy(where.sun_path, "\0hartloop-test", 14);
	unix_server(&where, offsetof(struct sockaddr_un, sun_path) + 14);
	strcpy(where.sun_path, "/tmp/test_sockets.name");
	unlink(where.sun_path);
	mkdir("/tmp", 01777);
	unix_server(&where,
	            offsetof(struct sockaddr_un, sun_path) + (socklen_t)strlen(where.sun_path) + 1);
	struct stat status;
	EQ(stat(where.sun_path, &status), 0);
	EQ(S_ISSOCK(status.st_mode), 1);
	EQ(unlink(where.sun_path), 0);
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	FAILS(connect(fd, (struct sockaddr *)&where, sizeof(where)), ENOENT);
	close(fd);
}

/* ---- sockets in flight ---- */

static int local_sockets(void)
{
	FILE *file = fopen("/proc/net/unix", "r");
	char line[256];
	int count = -1; /* the head line */
	while (file && fgets(line, sizeof(line), file))
		count++;
	if (file)
		fclose(file);
	return count;
}

/* A search for sockets that nobody can reach follows a close, as an event. */
static void close_one_more(void)
{
	int pair[2];
	EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	close(pair[0]);
	close(pair[1]);
	pause_ms(20);
}

/* Each in the queue of the next: they go one after the other, whatever the depth. */
static void test_unix_chain(void)
{
	int before = local_sockets(), pair[2], last = -1;
	for (int i = 0; i < 20000; i++) {
		EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		if (last >= 0)
			send_fd(pair[0], last);
		close(pair[0]);
		close(last);
		last = pair[1];
	}
	EQ(local_sockets(), before + 20000);
	close(last);
	EQ(local_sockets(), before);
}

static void test_unix_cycles(void)
{
	int before = local_sockets(), pair[2], other[2];
	for (int i = 0; i < 50; i++) { /* a socket in its own queue; two pairs in each other's */
		EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, other), 0);
		send_fd(pair[0], pair[1]);
		send_fd(pair[1], other[1]);
		send_fd(other[0], pair[0]);
		send_fd(other[1], pair[1]);
		close(pair[0]);
		close(pair[1]);
		close(other[0]);
		close(other[1]);
	}
	close_one_more();
	EQ(local_sockets(), before);
}

/* What can still be received is no garbage, however far behind. */
static void test_unix_reachable(void)
{
	int before = local_sockets(), held[2], pair[2];
	EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, held), 0);
	EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	EQ(write(pair[0], "first", 5), 5);
	send_fd(pair[0], pair[1]); /* a cycle ... */
	send_fd(held[0], pair[1]); /* ... that can be reached */
	close(pair[0]);
	close(pair[1]);
	close_one_more();
	EQ(local_sockets(), before + 3);
	int fd = receive_fd(held[1]);
	char text[8] = "";
	EQ(read(fd, text, 5), 5);
	EQ(memcmp(text, "first", 5), 0);
	close(fd);
	close_one_more();
	EQ(local_sockets(), before + 2);
	close(held[0]);
	close(held[1]);
	EQ(local_sockets(), before);
}

int main(void)
{
	begin();
	test_unix_pairs();
	test_unix_names();
	test_unix_chain();
	test_unix_cycles();
	test_unix_reachable();
	return end("test_unix");
}
