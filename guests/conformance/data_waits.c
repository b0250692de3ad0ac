/* Data over TCP: timeouts, low-water marks, signals, and how much is queued. */
#define _GNU_SOURCE
#include "conform.h"

#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/uio.h>

#define MUCH (16 << 20) /* more than the buffers of both sides hold */

static char *much(void)
{
	char *bytes = calloc(1, MUCH);
	must("calloc", bytes ? 0 : -1);
	return bytes;
}

/* Sends until nothing more is taken, the rest of a window that is smaller than a segment included,
 * which is filled only after a while. */
static void fill(int fd, const char *bytes)
{
	do {
		while (send(fd, bytes, MUCH, MSG_DONTWAIT) > 0)
			;
		pause_ms(400);
	} while (send(fd, bytes, MUCH, MSG_DONTWAIT) > 0);
}

static void wait_for(int fd, int bytes)
{
	int there = 0;
	while (ioctl(fd, FIONREAD, &there) == 0 && there < bytes)
		pause_ms(5);
}

static void observe_time(const char *label, int fd, int option)
{
	struct timeval time = { -1, -1 };
	socklen_t length = sizeof(time);
	int result = getsockopt(fd, SOL_SOCKET, option, &time, &length);
	if (result != 0)
		observe(label, result);
	else
		observe_text(label, "%ld.%06ld", (long)time.tv_sec, (long)time.tv_usec);
}

static void set_and_get(int fd, long seconds, long microseconds)
{
	struct timeval time = { seconds, microseconds };
	observe("set", setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time)));
	observe_time("get", fd, SO_SNDTIMEO);
}

CASE(timeouts_read_back)
{
	int fd = tcp_socket();
	observe_time("receive", fd, SO_RCVTIMEO);
	observe_time("send", fd, SO_SNDTIMEO);
	set_and_get(fd, 1, 0);
	set_and_get(fd, 0, 1);
	set_and_get(fd, 0, 4000);
	set_and_get(fd, 0, 5000);
	set_and_get(fd, 2, 999999);
	set_and_get(fd, 0, 1000000);
	set_and_get(fd, 0, -1);
	set_and_get(fd, -1, 0);
	set_and_get(fd, 0, 0);
	set_and_get(fd, 1000000000L, 0);
	struct timeval time = { 1, 0 };
	observe("short", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time) - 1));
	observe("int", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(int)));
}

CASE(receive_timeout)
{
	int pair[2];
	char bytes[8];
	tcp_pair(pair);
	set_timeout(pair[1], SO_RCVTIMEO, 100);
	long start = now_ms();
	observe("read", read(pair[1], bytes, 1));
	observe("recv", recv(pair[1], bytes, 1, 0));
	observe("peek", recv(pair[1], bytes, 1, MSG_PEEK));
	observe_waited("waited", start, 280, 1500);
	send(pair[0], "abc", 3, 0);
	start = now_ms();
	observe_bytes("waitall", recv(pair[1], bytes, 8, MSG_WAITALL), bytes);
	observe_waited("waited", start, 90, 900);
}

CASE(send_timeout)
{
	int pair[2];
	tcp_pair(pair);
	char *bytes = much();
	set_timeout(pair[0], SO_SNDTIMEO, 100);
	ssize_t sent = write(pair[0], bytes, MUCH);
	observe("partial", sent > 0 && sent < MUCH);
	fill(pair[0], bytes);
	long start = now_ms();
	observe("full", send(pair[0], bytes, 1, 0));
	observe_waited("waited", start, 90, 900);
	observe_poll("poll", pair[0], POLLOUT, 0);
}

CASE(lowat)
{
	int pair[2];
	char bytes[16];
	tcp_pair(pair);
	observe_int("default", pair[1], SOL_SOCKET, SO_RCVLOWAT);
	observe_int("send-default", pair[1], SOL_SOCKET, SO_SNDLOWAT);
	observe("set-send", set_int(pair[1], SOL_SOCKET, SO_SNDLOWAT, 5));
	observe("set", set_int(pair[1], SOL_SOCKET, SO_RCVLOWAT, 4));
	observe_int("get", pair[1], SOL_SOCKET, SO_RCVLOWAT);
	send(pair[0], "abc", 3, 0);
	wait_for(pair[1], 3);
	observe_poll("three", pair[1], POLLIN, 0);
	observe_bytes("dontwait", recv(pair[1], bytes, 16, MSG_DONTWAIT), bytes);
	send(pair[0], "abcd", 4, 0);
	observe_poll("four", pair[1], POLLIN, -1);
	observe_bytes("recv", recv(pair[1], bytes, 16, 0), bytes);
	send(pair[0], "ab", 2, 0);
	wait_for(pair[1], 2);
	observe_bytes("fewer-wanted", recv(pair[1], bytes, 2, 0), bytes);
	observe("zero", set_int(pair[1], SOL_SOCKET, SO_RCVLOWAT, 0));
	observe_int("get", pair[1], SOL_SOCKET, SO_RCVLOWAT);
}

CASE(lowat_waits)
{
	int pair[2];
	char bytes[16];
	tcp_pair(pair);
	set_int(pair[1], SOL_SOCKET, SO_RCVLOWAT, 6);
	if (fork() == 0) {
		send(pair[0], "abc", 3, 0);
		pause_ms(150);
		send(pair[0], "defghi", 6, 0);
		pause_ms(150);
		send(pair[0], "jk", 2, 0);
		shutdown(pair[0], SHUT_WR);
		pause();
	}
	observe_bytes("nine", recv(pair[1], bytes, 16, 0), bytes);
	observe_bytes("end", recv(pair[1], bytes, 16, 0), bytes);
	observe_bytes("end", recv(pair[1], bytes, 16, 0), bytes);
}

CASE(lowat_with_timeout)
{
	int pair[2];
	char bytes[16];
	tcp_pair(pair);
	set_int(pair[1], SOL_SOCKET, SO_RCVLOWAT, 6);
	set_timeout(pair[1], SO_RCVTIMEO, 100);
	send(pair[0], "abc", 3, 0);
	observe_bytes("recv", recv(pair[1], bytes, 16, 0), bytes);
	observe_bytes("recv", recv(pair[1], bytes, 16, 0), bytes);
}

/* The most that Linux lets a buffer grow to decides it: half of that. */
CASE(lowat_most)
{
	long least = 0, first = 0, most = 0;
	FILE *file = fopen("/proc/sys/net/ipv4/tcp_rmem", "r");
	must("tcp_rmem", file && fscanf(file, "%ld %ld %ld", &least, &first, &most) == 3 ? 0 : -1);
	int fd = tcp_socket(), got = -1;
	socklen_t length = sizeof(got);
	observe("set", set_int(fd, SOL_SOCKET, SO_RCVLOWAT, -1));
	observe("get", getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &got, &length));
	observe("half", got == most / 2);
	observe("rcvbuf", set_int(fd, SOL_SOCKET, SO_RCVBUF, 30000));
	observe("at-most", got == most / 2);
	observe("set", set_int(fd, SOL_SOCKET, SO_RCVLOWAT, 1 << 30));
	observe_int("get", fd, SOL_SOCKET, SO_RCVLOWAT);
}

/* More than the buffer holds at first: it grows, so that so much can come. */
CASE(lowat_beyond_buffer)
{
	enum { BYTES = 700000 };
	static char bytes[BYTES];
	int pair[2];
	tcp_pair(pair);
	observe("set", set_int(pair[1], SOL_SOCKET, SO_RCVLOWAT, BYTES));
	observe_int("get", pair[1], SOL_SOCKET, SO_RCVLOWAT);
	if (fork() == 0) {
		for (int sent = 0; sent < BYTES;)
			sent += (int)send(pair[0], bytes, (size_t)(BYTES - sent), 0);
		pause();
	}
	int there = 0;
	observe_poll("poll", pair[1], POLLIN, 8000);
	observe("ioctl", ioctl(pair[1], FIONREAD, &there));
	observe("there", there);
	observe("recv", recv(pair[1], bytes, BYTES, 0));
}

/* ---- signals ---- */

CASE(receive_interrupted)
{
	int pair[2];
	char byte;
	tcp_pair(pair);
	interrupt_after(100, 0);
	observe("recv", recv(pair[1], &byte, 1, 0));
	interrupt_after(100, 0);
	observe("read", read(pair[1], &byte, 1));
	set_timeout(pair[1], SO_RCVTIMEO, 5000);
	interrupt_after(100, SA_RESTART);
	observe("timed", recv(pair[1], &byte, 1, 0));
}

CASE(receive_restarted)
{
	int pair[2];
	char bytes[8];
	tcp_pair(pair);
	if (fork() == 0) {
		pause_ms(300);
		send(pair[0], "late", 4, 0);
		pause();
	}
	interrupt_after(100, SA_RESTART);
	observe_bytes("recv", recv(pair[1], bytes, 8, 0), bytes);
}

CASE(waitall_interrupted)
{
	int pair[2];
	char bytes[8];
	tcp_pair(pair);
	send(pair[0], "abc", 3, 0);
	interrupt_after(100, 0);
	observe_bytes("recv", recv(pair[1], bytes, 8, MSG_WAITALL), bytes);
	send(pair[0], "abc", 3, 0);
	interrupt_after(100, SA_RESTART);
	observe_bytes("restart", recv(pair[1], bytes, 8, MSG_WAITALL), bytes);
}

static void send_interrupted(int flags)
{
	int pair[2];
	tcp_pair(pair);
	char *bytes = much();
	interrupt_after(300, flags);
	ssize_t sent = send(pair[0], bytes, MUCH, 0);
	observe("partial", sent > 0 && sent < MUCH);
	set_nonblocking(pair[0]);
	while (send(pair[0], bytes, MUCH, 0) > 0)
		;
}

CASE(send_interrupted_part_way)
{
	send_interrupted(0);
}

CASE(send_interrupted_part_way_with_restart)
{
	send_interrupted(SA_RESTART);
}

CASE(send_interrupted_at_once)
{
	int pair[2];
	tcp_pair(pair);
	char *bytes = much();
	fill(pair[0], bytes);
	interrupt_after(100, 0);
	observe("send", send(pair[0], bytes, 100, 0));
	set_timeout(pair[0], SO_SNDTIMEO, 5000);
	interrupt_after(100, SA_RESTART);
	observe("timed", send(pair[0], bytes, 100, 0));
}

/* A blocking send goes on until all is taken, however slowly it is read. */
CASE(send_waits_for_all)
{
	int pair[2];
	tcp_pair(pair);
	char *bytes = much();
	if (fork() == 0) {
		close(pair[0]);
		while (read(pair[1], bytes, MUCH) > 0)
			;
		pause();
	}
	observe("send", send(pair[0], bytes, MUCH, 0));
	observe("write", write(pair[0], bytes, 3 << 20));
	struct iovec pieces[2] = { { bytes, 1 << 20 }, { bytes, 2 << 20 } };
	observe("writev", writev(pair[0], pieces, 2));
}

CASE(send_until_the_peer_resets)
{
	int pair[2];
	tcp_pair(pair);
	char *bytes = much();
	signal(SIGPIPE, SIG_IGN);
	if (fork() == 0) {
		pause_ms(200);
		struct linger abort = { 1, 0 };
		setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
		close(pair[1]);
		pause();
	}
	close(pair[1]);
	ssize_t sent = send(pair[0], bytes, MUCH, 0);
	observe("partial", sent > 0 && sent < MUCH);
	observe("again", send(pair[0], bytes, 1, 0));
	observe("again", send(pair[0], bytes, 1, 0));
}

CASE(receive_until_the_peer_closes)
{
	int pair[2];
	char byte;
	tcp_pair(pair);
	if (fork() == 0) {
		pause_ms(100);
		shutdown(pair[0], SHUT_WR);
		pause();
	}
	observe("recv", recv(pair[1], &byte, 1, 0));
}

/* ---- how much is there ---- */

static void observe_ioctl(const char *label, int fd, unsigned long command)
{
	int bytes = -7;
	int result = ioctl(fd, command, &bytes);
	observe(label, result == 0 ? bytes : result);
}

CASE(queue_lengths)
{
	int pair[2];
	char bytes[16];
	tcp_pair(pair);
	observe_ioctl("inq", pair[1], SIOCINQ);
	observe_ioctl("outq", pair[0], SIOCOUTQ);
	send(pair[0], "hello", 5, 0);
	wait_for(pair[1], 5);
	observe_ioctl("inq", pair[1], FIONREAD);
	send(pair[0], "world", 5, 0);
	wait_for(pair[1], 10);
	observe_ioctl("inq", pair[1], FIONREAD);
	recv(pair[1], bytes, 3, 0);
	observe_ioctl("inq", pair[1], FIONREAD);
	shutdown(pair[0], SHUT_WR);
	observe_poll("end", pair[1], POLLRDHUP, -1);
	observe_ioctl("inq", pair[1], FIONREAD);
	recv(pair[1], bytes, 16, 0);
	observe_ioctl("inq", pair[1], FIONREAD);
	recv(pair[1], bytes, 16, 0);
	observe_ioctl("inq", pair[1], FIONREAD);
	observe("pointer", ioctl(pair[1], FIONREAD, (void *)16));
	observe("unknown", ioctl(pair[1], 0x1234, bytes));
}

CASE(queue_lengths_unsent)
{
	int pair[2];
	tcp_pair(pair);
	set_int(pair[0], IPPROTO_TCP, TCP_CORK, 1);
	send(pair[0], "hello", 5, 0);
	observe_ioctl("outq", pair[0], SIOCOUTQ);
	observe_ioctl("unsent", pair[0], SIOCOUTQNSD);
	set_int(pair[0], IPPROTO_TCP, TCP_CORK, 0);
	wait_for(pair[1], 5);
	observe_ioctl("unsent", pair[0], SIOCOUTQNSD);
}

CASE(queue_lengths_elsewhere)
{
	struct sockaddr_in address;
	int fresh = tcp_socket(), listener = tcp_listener(1, NULL);
	observe_ioctl("fresh-inq", fresh, SIOCINQ);
	observe_ioctl("fresh-outq", fresh, SIOCOUTQ);
	observe_ioctl("fresh-unsent", fresh, SIOCOUTQNSD);
	observe_ioctl("listener-inq", listener, SIOCINQ);
	observe_ioctl("listener-outq", listener, SIOCOUTQ);
	full_listener(&address);
	int fd = (int)must("socket", socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	observe("connect", connect_to(fd, address));
	observe_ioctl("connecting-inq", fd, SIOCINQ);
	observe_ioctl("connecting-outq", fd, SIOCOUTQ);
	int udp = udp_socket();
	observe_ioctl("udp-inq", udp, SIOCINQ);
	observe_ioctl("udp-outq", udp, SIOCOUTQ);
}
