/* udp_echo --check: a client's datagrams against the server of the same program, over the loopback.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "echo.h"
#include "test_check.h"

#define BATCH 8
#define LARGE 32768 /* in fragments where the path is Ethernet */

static struct sockaddr_in server; /* of 127.0.0.1 */

static struct sockaddr_in name_of(int fd)
{
	struct sockaddr_in address = { 0 };
	socklen_t length = sizeof address;

	EQ(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	return address;
}

static int connected(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	EQ(connect(fd, (struct sockaddr *)&server, sizeof server), 0);
	return fd;
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void check_flags(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	char byte;

	EQ(fcntl(fd, F_GETFL), O_RDWR | O_NONBLOCK);
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	FAILS(recv(fd, &byte, 1, 0), EAGAIN);
	close(fd);
}

/* Without a peer: where it goes and where it comes from are told each time. */
static void check_names(void)
{
	struct sockaddr_in from = { 0 };
	socklen_t length = sizeof from;
	char bytes[8] = "";
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	FAILS(send(fd, "x", 1, 0), EDESTADDRREQ);
	EQ(sendto(fd, "named", 5, 0, (struct sockaddr *)&server, sizeof server), 5);
	EQ(ready(fd, POLLIN, 5000), POLLIN);
	EQ(recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &length), 5);
	EQ(memcmp(bytes, "named", 5), 0);
	EQ(length, sizeof from);
	EQ(from.sin_port, server.sin_port);
	EQ(from.sin_addr.s_addr, server.sin_addr.s_addr);
	close(fd);
}

static void check_peer(void)
{
	struct sockaddr_in peer = { 0 };
	socklen_t length = sizeof peer;
	char small[4], byte;
	int fd = connected();

	EQ(getpeername(fd, (struct sockaddr *)&peer, &length), 0);
	EQ(peer.sin_port, server.sin_port);
	EQ(name_of(fd).sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	EQ(send(fd, "truncated", 9, 0), 9);
	EQ(recv(fd, small, sizeof small, MSG_TRUNC), 9);
	EQ(memcmp(small, "trun", 4), 0);
	EQ(send(fd, "", 0, 0), 0);
	EQ(recv(fd, &byte, 1, 0), 0);
	FAILS(recv(fd, &byte, 1, MSG_DONTWAIT), EAGAIN);
	close(fd);
}

static void check_pieces(void)
{
	char head[7], tail[16];
	struct iovec out[3] = { { "pie", 3 }, { NULL, 0 }, { "ces of text", 11 } };
	struct iovec in[2] = { { head, sizeof head }, { tail, sizeof tail } };
	int fd = connected();

	EQ(writev(fd, out, 3), 14);
	EQ(readv(fd, in, 2), 14);
	EQ(memcmp(head, "pieces ", 7), 0);
	EQ(memcmp(tail, "of text", 7), 0);
	close(fd);
}

static void check_large(void)
{
	char *out = malloc(LARGE), *in = malloc(LARGE);
	int fd = connected();

	for (size_t i = 0; i < LARGE; i++)
		out[i] = (char)(i * 31 + i / 4093);
	EQ(send(fd, out, LARGE, 0), LARGE);
	EQ(recv(fd, in, LARGE, 0), LARGE);
	EQ(memcmp(in, out, LARGE), 0);
	free(out);
	free(in);
	close(fd);
}

static void check_timeouts(void)
{
	struct timeval time = { 0, 100000 }, back = { 0, 0 };
	socklen_t length = sizeof back;
	char byte;
	int fd = connected();
	long start;

	EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time), 0);
	start = now_ms();
	FAILS(recv(fd, &byte, 1, 0), EAGAIN);
	EQ(now_ms() - start >= 99, 1);
	time = (struct timeval){ 2, 500000 };
	EQ(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time), 0);
	EQ(getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &back, &length), 0);
	EQ(length, sizeof back);
	EQ(back.tv_sec, 2);
	EQ(back.tv_usec, 500000);
	close(fd);
}

static void check_batches(void)
{
	struct mmsghdr out[BATCH] = { 0 }, in[BATCH] = { 0 };
	struct iovec sent[BATCH], room[BATCH];
	char bytes[BATCH][16], back[BATCH][16];
	int fd = connected(), received = 0, got;

	for (int i = 0; i < BATCH; i++) {
		memset(bytes[i], 'a' + i, sizeof bytes[i]);
		sent[i] = (struct iovec){ bytes[i], (size_t)i + 1 };
		room[i] = (struct iovec){ back[i], sizeof back[i] };
		out[i].msg_hdr = (struct msghdr){ .msg_iov = &sent[i], .msg_iovlen = 1 };
		in[i].msg_hdr = (struct msghdr){ .msg_iov = &room[i], .msg_iovlen = 1 };
	}
	EQ(sendmmsg(fd, out, BATCH, 0), BATCH);
	while (received < BATCH && (got = recvmmsg(fd, in + received, (unsigned)(BATCH - received),
	                                           MSG_WAITFORONE, NULL)) > 0)
		received += got;
	EQ(received, BATCH);
	for (int i = 0; i < BATCH; i++) {
		EQ(out[i].msg_len, i + 1);
		EQ(in[i].msg_len, i + 1);
		EQ(memcmp(back[i], bytes[i], (size_t)i + 1), 0);
	}
	FAILS(recvmmsg(fd, in, BATCH, MSG_DONTWAIT, NULL), EAGAIN);
	close(fd);
}

static void check_refused(void)
{
	int closed = udp_echo_bind(0), fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in nowhere = server;
	char byte;

	nowhere.sin_port = name_of(closed).sin_port;
	close(closed);
	EQ(connect(fd, (struct sockaddr *)&nowhere, sizeof nowhere), 0);
	EQ(send(fd, "x", 1, 0), 1);
	FAILS(recv(fd, &byte, 1, 0), ECONNREFUSED);
	FAILS(recv(fd, &byte, 1, MSG_DONTWAIT), EAGAIN);
	close(fd);
}

int udp_echo_check(void)
{
	int fd = udp_echo_bind(0);
	pid_t child;

	begin();
	server = name_of(fd);
	server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	child = fork();
	if (child == 0)
		udp_echo_serve(fd);
	close(fd);
	check_flags();
	check_names();
	check_peer();
	check_pieces();
	check_large();
	check_timeouts();
	check_batches();
	check_refused();
	EQ(kill(child, SIGTERM), 0);
	EQ(waitpid(child, NULL, 0), child);
	return end("udp_echo");
}
