/* SO_PEEK_OFF: where MSG_PEEK looks (socket(7)). */
#define _GNU_SOURCE
#include "options.h"

#include <limits.h>
#include <poll.h>
#include <string.h>

static void set_offset(int fd, int offset)
{
	must("set", setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset)));
}

/* Receives without waiting; the offset afterwards. */
static void receive(const char *label, int fd, size_t room, int flags)
{
	char bytes[64];
	struct iovec piece = { bytes, room };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	ssize_t got = recvmsg(fd, &message, flags | MSG_DONTWAIT);
	observe_bytes(label, got > (ssize_t)room ? (ssize_t)room : got, bytes);
	if (got >= 0) {
		observe("result", got);
		observe_text("flags", "%x", (unsigned)message.msg_flags);
	}
	observe_option("off", fd, SOL_SOCKET, SO_PEEK_OFF);
}

static void datagrams(int pair[2])
{
	must("send", send(pair[1], "abcdef", 6, 0));
	must("send", send(pair[1], "", 0, 0));
	must("send", send(pair[1], "ghi", 3, 0));
	pause_ms(20);
	set_offset(pair[0], 2);
	receive("peek", pair[0], 2, MSG_PEEK);
	receive("peek", pair[0], 8, MSG_PEEK);
	receive("peek", pair[0], 8, MSG_PEEK);
	receive("peek", pair[0], 2, MSG_PEEK | MSG_TRUNC);
	receive("peek", pair[0], 8, MSG_PEEK);
	set_offset(pair[0], 7);
	receive("peek", pair[0], 1, MSG_PEEK);
	receive("read", pair[0], 4, 0);
	receive("read", pair[0], 4, 0);
	receive("peek", pair[0], 8, MSG_PEEK);
	set_offset(pair[0], -1);
	receive("peek", pair[0], 8, MSG_PEEK);
	receive("peek", pair[0], 8, MSG_PEEK);
	set_offset(pair[0], 0);
	receive("peek", pair[0], 8, MSG_PEEK);
	receive("peek", pair[0], 8, MSG_PEEK);
	receive("read", pair[0], 8, MSG_TRUNC);
}

CASE(peek_off_udp)
{
	int pair[2];
	udp_pair(pair);
	datagrams(pair);
}

CASE(peek_off_unix_dgram)
{
	int pair[2];
	unix_pair(SOCK_DGRAM, pair);
	datagrams(pair);
}

CASE(peek_off_unix_seqpacket)
{
	int pair[2];
	unix_pair(SOCK_SEQPACKET, pair);
	datagrams(pair);
}

static void bytes_of_stream(int pair[2])
{
	must("send", send(pair[1], "abcdef", 6, 0));
	must("send", send(pair[1], "ghi", 3, 0));
	pause_ms(60);
	set_offset(pair[0], 2);
	receive("peek", pair[0], 2, MSG_PEEK);
	receive("peek", pair[0], 4, MSG_PEEK);
	receive("peek", pair[0], 8, MSG_PEEK);
	receive("peek", pair[0], 8, MSG_PEEK);
	receive("read", pair[0], 7, 0);
	receive("peek", pair[0], 8, MSG_PEEK);
	set_offset(pair[0], -1);
	receive("peek", pair[0], 8, MSG_PEEK);
	receive("peek", pair[0], 8, MSG_PEEK);
	set_offset(pair[0], 1);
	receive("peek", pair[0], 8, MSG_PEEK);
	char bytes[8];
	observe_bytes("read", read(pair[0], bytes, 1), bytes);
	observe_option("off", pair[0], SOL_SOCKET, SO_PEEK_OFF);
	set_offset(pair[0], 100);
	receive("peek", pair[0], 8, MSG_PEEK);
	observe_poll("poll", pair[0], POLLIN, 0);
	receive("read", pair[0], 8, 0);
	must("shutdown", shutdown(pair[1], SHUT_WR));
	pause_ms(20);
	receive("peek", pair[0], 8, MSG_PEEK);
}

CASE(peek_off_unix_stream)
{
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	bytes_of_stream(pair);
}

CASE(peek_off_tcp)
{
	int pair[2];
	tcp_pair(pair);
	bytes_of_stream(pair);
}

/* A peek that waits does so for the bytes at its offset. */
static void waits(int pair[2])
{
	char bytes[8];
	must("send", send(pair[1], "ab", 2, 0));
	if (fork() == 0) {
		pause_ms(100);
		send(pair[1], "cd", 2, 0);
		pause_ms(100);
		send(pair[1], "efgh", 4, 0);
		pause();
	}
	set_offset(pair[0], 2);
	observe_bytes("peek", recv(pair[0], bytes, 8, MSG_PEEK), bytes);
	observe_option("off", pair[0], SOL_SOCKET, SO_PEEK_OFF);
	set_offset(pair[0], 1);
	observe_bytes("all", recv(pair[0], bytes, 6, MSG_PEEK | MSG_WAITALL), bytes);
	observe_option("off", pair[0], SOL_SOCKET, SO_PEEK_OFF);
}

CASE(peek_off_waits_tcp)
{
	int pair[2];
	tcp_pair(pair);
	waits(pair);
}

CASE(peek_off_waits_unix)
{
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	waits(pair);
}

CASE(peek_off_values)
{
	int fd = udp_socket();
	TRY_VALUES(fd, SOL_SOCKET, SO_PEEK_OFF, 0, 5, -1, -7, INT_MAX, INT_MIN);
	fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	TRY_VALUES(fd, SOL_SOCKET, SO_PEEK_OFF, 0);
}

CASE(peek_off_inherited)
{
	struct sockaddr_in address;
	int listener = tcp_listener(1, &address), fd = tcp_socket();
	set_offset(listener, 3);
	must("connect", connect_to(fd, address));
	int accepted = accept(listener, NULL, NULL);
	observe_option("accepted", accepted, SOL_SOCKET, SO_PEEK_OFF);
	must("send", send(fd, "abcdef", 6, 0));
	pause_ms(20);
	receive("peek", accepted, 2, MSG_PEEK);
	observe_option("listener", listener, SOL_SOCKET, SO_PEEK_OFF);
}
