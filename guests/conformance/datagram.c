/* Datagrams over UDP: lengths, truncation, pointers, broadcasts, errors from the network. */
#define _GNU_SOURCE
#include "conform.h"

#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

static void *volatile bad_pointer = (void *)16; /* nothing is mapped there */

static int bound_udp(const char *host, int port)
{
	int fd = udp_socket();
	must("bind", bind_to(fd, inet_address(host, port)));
	return fd;
}

/* An address of 127.0.0.1 that nobody is bound to. */
static struct sockaddr_in nobody(void)
{
	int fd = bound_udp("127.0.0.1", 0);
	struct sockaddr_in address = name_of(fd);
	close(fd);
	return address;
}

static ssize_t send_to(int fd, const void *bytes, size_t length, struct sockaddr_in address)
{
	return sendto(fd, bytes, length, 0, (struct sockaddr *)&address, sizeof(address));
}

static void observe_receive(const char *label, int fd, int flags)
{
	char bytes[64];
	observe_bytes(label, recv(fd, bytes, sizeof(bytes), flags | MSG_DONTWAIT), bytes);
}

static void observe_next(const char *label, int fd)
{
	int bytes = -7;
	int result = ioctl(fd, FIONREAD, &bytes);
	observe(label, result == 0 ? bytes : result);
}

CASE(every_call)
{
	int pair[2];
	char bytes[32];
	struct iovec out[2] = { { "wri", 3 }, { "tev", 3 } },
	             in[2] = { { bytes, 4 }, { bytes + 4, 28 } };
	struct msghdr to = { .msg_iov = out, .msg_iovlen = 2 };
	struct msghdr from = { .msg_iov = in, .msg_iovlen = 2, .msg_flags = -1 };
	udp_pair(pair);
	observe("write", write(pair[0], "write", 5));
	observe_bytes("read", read(pair[1], bytes, sizeof(bytes)), bytes);
	observe("send", send(pair[0], "send", 4, 0));
	observe_bytes("recv", recv(pair[1], bytes, sizeof(bytes), 0), bytes);
	observe("writev", writev(pair[0], out, 2));
	observe_bytes("readv", readv(pair[1], in, 2), bytes);
	observe("sendmsg", sendmsg(pair[0], &to, 0));
	observe_bytes("recvmsg", recvmsg(pair[1], &from, 0), bytes);
	observe("flags", from.msg_flags);
	observe_next("next", pair[1]);
}

CASE(truncation)
{
	int pair[2];
	char bytes[16];
	struct iovec piece = { bytes, 4 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	udp_pair(pair);
	for (int i = 0; i < 6; i++)
		send(pair[0], "truncated", 9, 0);
	observe_bytes("recv", recv(pair[1], bytes, 4, 0), bytes);
	observe("trunc", recv(pair[1], bytes, 4, MSG_TRUNC));
	observe("peek-trunc", recv(pair[1], NULL, 0, MSG_TRUNC | MSG_PEEK));
	observe_bytes("read", read(pair[1], bytes, 4), bytes);
	observe_bytes("recvmsg", recvmsg(pair[1], &message, 0), bytes);
	observe("flags", message.msg_flags);
	observe("recvmsg", recvmsg(pair[1], &message, MSG_TRUNC));
	observe("flags", message.msg_flags);
	observe("nothing-wanted", recv(pair[1], bytes, 0, 0));
	observe_receive("rest", pair[1], 0);
}

CASE(zero_length)
{
	int pair[2];
	char byte = 'u';
	struct sockaddr_in from = { 0 };
	socklen_t length = sizeof(from);
	udp_pair(pair);
	observe("send", send(pair[0], "", 0, 0));
	observe("write", write(pair[0], "", 0));
	observe("send-null", send(pair[0], NULL, 0, 0));
	observe_poll("poll", pair[1], POLLIN, -1);
	observe_next("next", pair[1]);
	int got = (int)recvfrom(pair[1], &byte, 1, 0, (struct sockaddr *)&from, &length);
	observe("recvfrom", got);
	observe_address("from", got, &from, length);
	observe("read-nothing", read(pair[1], &byte, 0));
	observe("read", recv(pair[1], &byte, 1, MSG_DONTWAIT));
	observe("read", recv(pair[1], &byte, 1, MSG_DONTWAIT));
	observe("read", recv(pair[1], &byte, 1, MSG_DONTWAIT));
	observe_text("byte", "%c", byte);
}

CASE(next_length)
{
	int pair[2];
	udp_pair(pair);
	observe_next("none", pair[1]);
	send(pair[0], "abc", 3, 0);
	send(pair[0], "defgh", 5, 0);
	observe_poll("poll", pair[1], POLLIN, -1);
	observe_next("first", pair[1]);
	observe_receive("recv", pair[1], 0);
	observe_next("second", pair[1]);
	observe_receive("recv", pair[1], 0);
	observe_next("none", pair[1]);
}

CASE(peek)
{
	int pair[2];
	udp_pair(pair);
	send(pair[0], "first", 5, 0);
	send(pair[0], "second", 6, 0);
	observe_receive("peek", pair[1], MSG_PEEK);
	observe_receive("peek", pair[1], MSG_PEEK);
	observe_receive("recv", pair[1], 0);
	observe_receive("waitall", pair[1], MSG_WAITALL);
	observe_receive("none", pair[1], MSG_PEEK);
}

CASE(bad_pointers)
{
	int pair[2];
	char bytes[8];
	struct iovec pieces[2] = { { bytes, 2 }, { bad_pointer, 2 } };
	udp_pair(pair);
	observe("send", send(pair[0], bad_pointer, 4, 0));
	observe("writev", writev(pair[0], pieces, 2));
	observe_receive("none", pair[1], 0);
	send(pair[0], "lost?", 5, 0);
	observe("recv", recv(pair[1], bad_pointer, 4, 0));
	observe_receive("after", pair[1], 0);
	send(pair[0], "again", 5, 0);
	observe("peek", recv(pair[1], bad_pointer, 4, MSG_PEEK));
	observe("readv", readv(pair[1], pieces, 2));
	observe_receive("after", pair[1], 0);
	send(pair[0], "names", 5, 0);
	socklen_t length = 16;
	observe("name", recvfrom(pair[1], bytes, 8, MSG_DONTWAIT, bad_pointer, &length));
	observe_receive("after", pair[1], 0);
	send(pair[0], "sizes", 5, 0);
	struct sockaddr_in from;
	observe("length",
	        recvfrom(pair[1], bytes, 8, MSG_DONTWAIT, (struct sockaddr *)&from, bad_pointer));
	observe_receive("after", pair[1], 0);
}

CASE(destinations)
{
	int fd = udp_socket(), server = bound_udp("127.0.0.1", 5401);
	struct sockaddr_in to = name_of(server);
	struct sockaddr *name = (struct sockaddr *)&to;
	observe("none", send(fd, "x", 1, 0));
	observe("short", sendto(fd, "x", 1, 0, name, sizeof(to) - 1));
	observe("null", sendto(fd, "x", 1, 0, NULL, sizeof(to)));
	observe("no-length", sendto(fd, "x", 1, 0, name, 0));
	observe("longer", sendto(fd, "l", 1, 0, name, sizeof(to) + 16));
	to.sin_family = AF_INET6;
	observe("inet6", sendto(fd, "x", 1, 0, name, sizeof(to)));
	to.sin_family = AF_UNSPEC;
	observe("unspec", sendto(fd, "u", 1, 0, name, sizeof(to)));
	to = inet_address("127.0.0.1", 0);
	observe("port-0", send_to(fd, "x", 1, to));
	observe("any", send_to(fd, "a", 1, inet_address("0.0.0.0", 5401)));
	observe_receive("recv", server, 0);
	observe_receive("recv", server, 0);
	observe_receive("recv", server, 0);
	observe_receive("recv", server, 0);
}

CASE(too_long)
{
	static char bytes[70000];
	int pair[2];
	udp_pair(pair);
	observe("65507", send(pair[0], bytes, 65507, 0));
	observe("recv", recv(pair[1], bytes, sizeof(bytes), 0));
	observe("65508", send(pair[0], bytes, 65508, 0));
	observe("65535", send(pair[0], bytes, 65535, 0));
	observe("65536", send(pair[0], bytes, 65536, 0));
	observe("70000", send(pair[0], bytes, 70000, 0));
	observe_receive("none", pair[1], 0);
	observe("unconnected", send_to(udp_socket(), bytes, 65508, name_of(pair[1])));
}

CASE(dont_fragment)
{
	static char bytes[65507];
	int fd = udp_socket();
	struct sockaddr_in outside = gateway_address(9);
	observe("set", set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO));
	observe("1472", send_to(fd, bytes, 1472, outside));
	observe("1473", send_to(fd, bytes, 1473, outside));
	observe("loopback", send_to(fd, bytes, 65507, inet_address("127.0.0.1", 5402)));
	observe("set", set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT));
	observe("1473", send_to(fd, bytes, 1473, outside));
	struct sockaddr_in again = gateway_address(9);
	observe("connect", connect_to(fd, again));
	observe_int("mtu", fd, IPPROTO_IP, IP_MTU);
	observe("bad", set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, 77));
}

CASE(large_over_loopback)
{
	static char out[32768], in[32768];
	int pair[2];
	udp_pair(pair);
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (char)(i * 7 + i / 251);
	observe("send", send(pair[0], out, sizeof(out), 0));
	observe("recv", recv(pair[1], in, sizeof(in), 0));
	observe("equal", memcmp(in, out, sizeof(in)) == 0);
}

CASE(broadcast_needs_permission)
{
	int fd = udp_socket();
	observe("limited", send_to(fd, "x", 1, inet_address("255.255.255.255", 5403)));
	observe("subnet", send_to(fd, "x", 1, inet_address("10.0.2.255", 5403)));
	observe("loopback", send_to(fd, "x", 1, inet_address("127.255.255.255", 5403)));
	observe("set", set_int(fd, SOL_SOCKET, SO_BROADCAST, 1));
	observe("limited", send_to(fd, "x", 1, inet_address("255.255.255.255", 5403)));
	observe("subnet", send_to(fd, "x", 1, inet_address("10.0.2.255", 5403)));
	observe("loopback", send_to(fd, "x", 1, inet_address("127.255.255.255", 5403)));
}

CASE(from_network_of_loopback)
{
	char bytes[8];
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	int server = bound_udp("0.0.0.0", 5404);
	send_to(udp_socket(), "x", 1, inet_address("127.9.9.9", 5404));
	int got = (int)recvfrom(server, bytes, 8, 0, (struct sockaddr *)&from, &length);
	observe_address("from", got, &from, length);
	int fd = bound_udp("127.8.8.8", 0);
	send_to(fd, "x", 1, own_address(5404));
	length = sizeof(from);
	got = (int)recvfrom(server, bytes, 8, 0, (struct sockaddr *)&from, &length);
	observe_address("from", got, &from, length);
}

CASE(name_lengths)
{
	int pair[2];
	char bytes[8];
	struct sockaddr_in from = { 0 };
	socklen_t length = 4, negative = (socklen_t)-1;
	udp_pair(pair);
	for (int i = 0; i < 4; i++)
		send(pair[0], "x", 1, 0);
	observe("short", recvfrom(pair[1], bytes, 8, 0, (struct sockaddr *)&from, &length));
	observe("length", length);
	observe("family", from.sin_family);
	length = 0;
	observe("empty", recvfrom(pair[1], bytes, 8, 0, (struct sockaddr *)&from, &length));
	observe("length", length);
	observe("negative", recvfrom(pair[1], bytes, 8, 0, (struct sockaddr *)&from, &negative));
	struct iovec piece = { bytes, 8 };
	struct msghdr message = {
		.msg_name = &from, .msg_namelen = 128, .msg_iov = &piece, .msg_iovlen = 1
	};
	observe("recvmsg", recvmsg(pair[1], &message, MSG_DONTWAIT));
	observe("length", message.msg_namelen);
	message.msg_namelen = (socklen_t)-1;
	observe("negative", recvmsg(pair[1], &message, MSG_DONTWAIT));
	observe("send-negative", sendmsg(pair[0], &message, 0));
}

/* ---- errors from the network ---- */

CASE(refused_told_by_receive)
{
	int fd = udp_socket();
	observe("connect", connect_to(fd, nobody()));
	observe("send", send(fd, "x", 1, 0));
	observe_poll("poll", fd, POLLIN | POLLOUT, -1);
	observe_receive("recv", fd, 0);
	observe_receive("recv", fd, 0);
	observe_poll("poll", fd, POLLIN | POLLOUT, 0);
	observe_so_error("error", fd);
}

CASE(refused_told_by_send)
{
	int fd = udp_socket();
	observe("connect", connect_to(fd, nobody()));
	observe("send", send(fd, "x", 1, 0));
	observe_poll("poll", fd, POLLIN, -1);
	observe("send", send(fd, "x", 1, 0));
	observe_poll("poll", fd, POLLIN, 0);
	observe("send", send(fd, "x", 1, 0));
	observe_poll("poll", fd, POLLIN, -1);
	observe_so_error("error", fd);
	observe_so_error("error", fd);
	observe("send", send(fd, "x", 1, 0));
}

CASE(refused_wakes_receive)
{
	int fd = udp_socket();
	char byte;
	observe("connect", connect_to(fd, nobody()));
	if (fork() == 0) {
		pause_ms(100);
		send(fd, "x", 1, 0);
		pause();
	}
	observe("recv", recv(fd, &byte, 1, 0));
}

CASE(refused_unconnected_is_not_told)
{
	int fd = udp_socket();
	observe("sendto", send_to(fd, "x", 1, nobody()));
	observe_poll("poll", fd, POLLIN, 100);
	observe_so_error("error", fd);
	observe("sendto", send_to(fd, "x", 1, nobody()));
}

CASE(refused_then_connected_anew)
{
	int fd = udp_socket(), server = bound_udp("127.0.0.1", 5405);
	observe("connect", connect_to(fd, nobody()));
	observe("send", send(fd, "x", 1, 0));
	observe_poll("poll", fd, POLLIN, -1);
	observe("connect", connect_to(fd, name_of(server)));
	observe_poll("poll", fd, POLLIN, 0);
	observe("send", send(fd, "x", 1, 0));
	observe_receive("recv", server, 0);
}

CASE(shutdown_of_datagrams)
{
	int pair[2];
	char byte;
	udp_pair(pair);
	observe("unconnected", shutdown(udp_socket(), SHUT_RD));
	send(pair[0], "early", 5, 0);
	observe("read", shutdown(pair[1], SHUT_RD));
	observe_poll("poll", pair[1], POLLIN | POLLOUT | POLLRDHUP, 0);
	observe_bytes("recv", recv(pair[1], &byte, 1, 0), &byte);
	observe("recv", recv(pair[1], &byte, 1, 0));
	observe("dontwait", recv(pair[1], &byte, 1, MSG_DONTWAIT));
	send(pair[0], "late", 4, 0);
	observe_bytes("recv", recv(pair[1], &byte, 1, 0), &byte);
	observe("write", shutdown(pair[1], SHUT_WR));
	observe("send", send(pair[1], "x", 1, MSG_NOSIGNAL));
	observe("send-signal", send(pair[1], "x", 1, 0));
	observe_poll("poll", pair[1], POLLIN | POLLOUT | POLLRDHUP, 0);
	observe("bad", shutdown(pair[0], 3));
	observe("fd", shutdown(-1, SHUT_RD));
}

CASE(flags_of_send)
{
	int pair[2];
	udp_pair(pair);
	observe("oob", send(pair[0], "x", 1, MSG_OOB));
	observe("confirm", send(pair[0], "c", 1, MSG_CONFIRM));
	observe("dontroute", send(pair[0], "d", 1, MSG_DONTROUTE));
	observe("eor", send(pair[0], "e", 1, MSG_EOR));
	observe("unknown", send(pair[0], "u", 1, 0x00800000));
	observe_receive("recv", pair[1], 0);
	observe_receive("recv", pair[1], 0);
	observe_receive("recv", pair[1], 0);
	observe_receive("recv", pair[1], MSG_NOSIGNAL);
	observe_receive("none", pair[1], 0);
	observe_receive("errqueue", pair[1], MSG_ERRQUEUE);
	observe_receive("oob", pair[1], MSG_OOB);
}

CASE(receive_buffer_overflow)
{
	static char bytes[1000];
	int pair[2], received = 0;
	udp_pair(pair);
	set_int(pair[1], SOL_SOCKET, SO_RCVBUF, 8192);
	for (int i = 0; i < 100; i++)
		must("send", send(pair[0], bytes, sizeof(bytes), 0));
	while (recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		received++;
	observe("some", received >= 3 && received <= 30);
	observe("send", send(pair[0], "after", 5, 0));
	observe_receive("recv", pair[1], 0);
}
