/* Options of SOL_SOCKET: socket(7). */
#define _GNU_SOURCE
#include "options.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

static void *volatile bad_pointer = (void *)16;

#define KINDS_CASE(name, option)                                                                   \
	CASE(name)                                                                                 \
	{                                                                                          \
		try_kinds(SOL_SOCKET, option);                                                     \
	}

KINDS_CASE(so_debug, SO_DEBUG)
KINDS_CASE(so_reuseaddr, SO_REUSEADDR)
KINDS_CASE(so_reuseport, SO_REUSEPORT)
KINDS_CASE(so_type, SO_TYPE)
KINDS_CASE(so_domain, SO_DOMAIN)
KINDS_CASE(so_protocol, SO_PROTOCOL)
KINDS_CASE(so_error, SO_ERROR)
KINDS_CASE(so_acceptconn, SO_ACCEPTCONN)
KINDS_CASE(so_dontroute, SO_DONTROUTE)
KINDS_CASE(so_broadcast, SO_BROADCAST)
KINDS_CASE(so_keepalive, SO_KEEPALIVE)
KINDS_CASE(so_oobinline, SO_OOBINLINE)
KINDS_CASE(so_no_check, SO_NO_CHECK)
KINDS_CASE(so_priority, SO_PRIORITY)
KINDS_CASE(so_passcred, SO_PASSCRED)
KINDS_CASE(so_passsec, SO_PASSSEC)
KINDS_CASE(so_timestamp, SO_TIMESTAMP)
KINDS_CASE(so_timestampns, SO_TIMESTAMPNS)
KINDS_CASE(so_timestamping, SO_TIMESTAMPING)
KINDS_CASE(so_rcvlowat, SO_RCVLOWAT)
KINDS_CASE(so_sndlowat, SO_SNDLOWAT)
KINDS_CASE(so_mark, SO_MARK)
KINDS_CASE(so_rxq_ovfl, SO_RXQ_OVFL)
KINDS_CASE(so_wifi_status, SO_WIFI_STATUS)
KINDS_CASE(so_peek_off, SO_PEEK_OFF)
KINDS_CASE(so_nofcs, SO_NOFCS)
KINDS_CASE(so_lock_filter, SO_LOCK_FILTER)
KINDS_CASE(so_select_err_queue, SO_SELECT_ERR_QUEUE)
KINDS_CASE(so_busy_poll, SO_BUSY_POLL)
KINDS_CASE(so_prefer_busy_poll, SO_PREFER_BUSY_POLL)
KINDS_CASE(so_busy_poll_budget, SO_BUSY_POLL_BUDGET)
KINDS_CASE(so_incoming_cpu, SO_INCOMING_CPU)
KINDS_CASE(so_zerocopy, SO_ZEROCOPY)
KINDS_CASE(so_txrehash, SO_TXREHASH)
KINDS_CASE(so_buf_lock, SO_BUF_LOCK)
KINDS_CASE(so_reserve_mem, SO_RESERVE_MEM)
KINDS_CASE(so_detach_filter, SO_DETACH_FILTER)
KINDS_CASE(so_attach_bpf, SO_ATTACH_BPF)
KINDS_CASE(so_cnx_advice, SO_CNX_ADVICE)
KINDS_CASE(so_bindtoifindex, SO_BINDTOIFINDEX)
KINDS_CASE(so_rcvbuf_kinds, SO_RCVBUF)
KINDS_CASE(so_sndbuf_kinds, SO_SNDBUF)
KINDS_CASE(so_passpidfd, 76)
KINDS_CASE(so_unknown_99, 99)
KINDS_CASE(so_unknown_negative, -1)

CASE(so_levels)
{
	static const int levels[] = { 2, 3, 5, 7, 41, 58, 132, 255, 263, 270, 1000, -1 };
	char label[20];
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		snprintf(label, sizeof(label), "level-%d", levels[i]);
		observe_text(label, "%s", "");
		try_kinds(levels[i], 1);
	}
}

CASE(so_rcvbuf)
{
	TRY_VALUES(udp_socket(), SOL_SOCKET, SO_RCVBUF, 0, 1, 1024, 1151, 1152, 1153, 4096, 65536,
	           106496, 212991, 212992, 212993, 1 << 20, 0x7fffffff, -1);
}

CASE(so_sndbuf)
{
	TRY_VALUES(udp_socket(), SOL_SOCKET, SO_SNDBUF, 0, 1, 2303, 2304, 2305, 4096, 65536, 106496,
	           212991, 212992, 212993, 1 << 20, 0x7fffffff, -1);
}

CASE(so_rcvbuf_force)
{
	int fd = udp_socket();
	observe_set("small", fd, SOL_SOCKET, SO_RCVBUFFORCE, 1);
	observe_option("get", fd, SOL_SOCKET, SO_RCVBUF);
	observe_set("large", fd, SOL_SOCKET, SO_RCVBUFFORCE, 1 << 20);
	observe_option("get", fd, SOL_SOCKET, SO_RCVBUF);
	observe_set("negative", fd, SOL_SOCKET, SO_RCVBUFFORCE, -5);
	observe_option("get", fd, SOL_SOCKET, SO_RCVBUF);
	observe_option("force", fd, SOL_SOCKET, SO_RCVBUFFORCE);
	observe("setuid", setresuid(1000, 1000, 1000));
	observe_set("as-user", fd, SOL_SOCKET, SO_RCVBUFFORCE, 1 << 20);
	observe_set("plain", fd, SOL_SOCKET, SO_RCVBUF, 8192);
}

CASE(so_sndbuf_force)
{
	int fd = udp_socket();
	observe_set("small", fd, SOL_SOCKET, SO_SNDBUFFORCE, 1);
	observe_option("get", fd, SOL_SOCKET, SO_SNDBUF);
	observe_set("large", fd, SOL_SOCKET, SO_SNDBUFFORCE, 1 << 20);
	observe_option("get", fd, SOL_SOCKET, SO_SNDBUF);
	observe_set("huge", fd, SOL_SOCKET, SO_SNDBUFFORCE, 0x7fffffff);
	observe_option("get", fd, SOL_SOCKET, SO_SNDBUF);
	observe_set("negative", fd, SOL_SOCKET, SO_SNDBUFFORCE, -5);
	observe_option("get", fd, SOL_SOCKET, SO_SNDBUF);
}

/* A size that the program chose is not tuned any more, and an accepted socket has it too. */
CASE(so_buffers_inherited)
{
	struct sockaddr_in address;
	int listener = tcp_socket(), client = tcp_socket();
	observe_set("rcvbuf", listener, SOL_SOCKET, SO_RCVBUF, 20000);
	observe_set("sndbuf", listener, SOL_SOCKET, SO_SNDBUF, 30000);
	must("bind", bind_to(listener, inet_address("127.0.0.1", 0)));
	must("listen", listen(listener, 1));
	address = name_of(listener);
	must("connect", connect_to(client, address));
	int server = (int)must("accept", accept(listener, NULL, NULL));
	observe_option("rcvbuf", server, SOL_SOCKET, SO_RCVBUF);
	observe_option("sndbuf", server, SOL_SOCKET, SO_SNDBUF);
}

CASE(so_inherited_by_accept)
{
	static const struct {
		const char *name;
		int level, option, value;
	} options[] = {
		{ "reuseaddr", SOL_SOCKET, SO_REUSEADDR, 1 },
		{ "keepalive", SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ "oobinline", SOL_SOCKET, SO_OOBINLINE, 1 },
		{ "dontroute", SOL_SOCKET, SO_DONTROUTE, 1 },
		{ "broadcast", SOL_SOCKET, SO_BROADCAST, 1 },
		{ "priority", SOL_SOCKET, SO_PRIORITY, 3 },
		{ "rcvlowat", SOL_SOCKET, SO_RCVLOWAT, 7 },
		{ "timestamp", SOL_SOCKET, SO_TIMESTAMP, 1 },
		{ "mark", SOL_SOCKET, SO_MARK, 5 },
		{ "acceptconn", SOL_SOCKET, SO_ACCEPTCONN, 1 },
		{ "nodelay", 6, 1, 1 },
		{ "cork", 6, 3, 1 },
		{ "keepidle", 6, 4, 100 },
		{ "keepintvl", 6, 5, 20 },
		{ "keepcnt", 6, 6, 4 },
		{ "syncnt", 6, 7, 3 },
		{ "linger2", 6, 8, 20 },
		{ "defer-accept", 6, 9, 0 },
		{ "quickack", 6, 12, 0 },
		{ "user-timeout", 6, 18, 5000 },
		{ "notsent-lowat", 6, 25, 16384 },
		{ "tos", 0, 1, 16 },
		{ "ttl", 0, 2, 50 },
		{ "mtu-discover", 0, 10, 0 },
		{ "pktinfo", 0, 8, 1 },
		{ "recverr", 0, 11, 1 },
	};
	struct sockaddr_in address;
	int listener = tcp_listener(1, &address), client = tcp_socket();
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		setsockopt(listener, options[i].level, options[i].option, &options[i].value,
		           sizeof(options[i].value));
	must("connect", connect_to(client, address));
	int server = (int)must("accept", accept(listener, NULL, NULL));
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		observe_option(options[i].name, server, options[i].level, options[i].option);
}

CASE(so_reuseaddr_sizes)
{
	try_sizes(tcp_socket(), SOL_SOCKET, SO_REUSEADDR);
}

CASE(so_rcvbuf_sizes)
{
	try_sizes(tcp_socket(), SOL_SOCKET, SO_RCVBUF);
}

CASE(so_linger_sizes)
{
	try_sizes(tcp_socket(), SOL_SOCKET, SO_LINGER);
}

CASE(so_rcvtimeo_sizes)
{
	try_sizes(tcp_socket(), SOL_SOCKET, SO_RCVTIMEO);
}

CASE(so_error_sizes)
{
	try_sizes(tcp_socket(), SOL_SOCKET, SO_ERROR);
}

CASE(so_type_sizes)
{
	try_sizes(tcp_socket(), SOL_SOCKET, SO_TYPE);
}

CASE(so_peercred_sizes)
{
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	try_sizes(tcp_socket(), SOL_SOCKET, SO_PEERCRED);
	int fd = pair[0];
	for (socklen_t room = 0; room <= 16; room += 4) {
		int value[4] = { 0 };
		socklen_t length = room;
		observe("get", getsockopt(fd, SOL_SOCKET, SO_PEERCRED, value, &length));
		observe("length", length);
		observe_text("pid", "%s", value[0] == getpid() ? "own" : value[0] ? "other" : "0");
	}
}

CASE(so_cookie)
{
	int fd = tcp_socket(), other = tcp_socket();
	for (socklen_t room = 4; room <= 12; room += 4) {
		uint64_t one[2] = { 0 }, two[2] = { 0 };
		socklen_t length = room;
		observe("get", getsockopt(fd, SOL_SOCKET, SO_COOKIE, one, &length));
		observe("length", length);
		length = room;
		getsockopt(other, SOL_SOCKET, SO_COOKIE, two, &length);
		observe("same", one[0] == two[0]);
	}
	observe_set("set", fd, SOL_SOCKET, SO_COOKIE, 1);
}

CASE(so_bad_pointers)
{
	int fd = tcp_socket(), value = 1;
	socklen_t length = sizeof(value);
	observe("set-pointer",
	        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, bad_pointer, sizeof(value)));
	observe("set-null", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, NULL, 0));
	observe("get-pointer", getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, bad_pointer, &length));
	observe("get-length", getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, bad_pointer));
	observe("get-unknown", getsockopt(fd, SOL_SOCKET, 999, bad_pointer, bad_pointer));
	observe("set-unknown", setsockopt(fd, SOL_SOCKET, 999, bad_pointer, sizeof(value)));
	observe("tcp-pointer", setsockopt(fd, 6, 1, bad_pointer, sizeof(value)));
	observe("tcp-unknown", setsockopt(fd, 6, 999, bad_pointer, sizeof(value)));
	observe("tcp-length", getsockopt(fd, 6, 999, &value, bad_pointer));
	observe("ip-pointer", setsockopt(fd, 0, 1, bad_pointer, sizeof(value)));
	observe("ip-unknown", setsockopt(fd, 0, 999, bad_pointer, sizeof(value)));
	observe("ip-length", getsockopt(fd, 0, 999, &value, bad_pointer));
	observe("level-pointer", setsockopt(fd, 99, 999, bad_pointer, sizeof(value)));
	observe("fd", setsockopt(-1, SOL_SOCKET, SO_REUSEADDR, &value, sizeof(value)));
	observe("fd", getsockopt(-1, SOL_SOCKET, SO_REUSEADDR, &value, &length));
	observe("file", setsockopt(0, SOL_SOCKET, SO_REUSEADDR, &value, sizeof(value)));
	observe("file", getsockopt(0, SOL_SOCKET, SO_REUSEADDR, &value, &length));
}

static void try_linger(int fd, int on, int seconds)
{
	struct linger value = { on, seconds }, got = { -7, -7 };
	socklen_t length = sizeof(got);
	observe("set", setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof(value)));
	getsockopt(fd, SOL_SOCKET, SO_LINGER, &got, &length);
	observe_text("get", "%d,%d/%u", got.l_onoff, got.l_linger, length);
}

CASE(so_linger)
{
	int fd = tcp_socket();
	try_linger(fd, 0, 0);
	try_linger(fd, 0, 9);
	try_linger(fd, 1, 0);
	try_linger(fd, 1, 9);
	try_linger(fd, 5, 70000);
	try_linger(fd, 1, -1);
	try_linger(fd, 1, 0x7fffffff);
	try_linger(fd, 0, 0);
	try_linger(fd, -1, 3);
}

static void try_timeout(int fd, int option, long seconds, long microseconds)
{
	struct timeval value = { seconds, microseconds }, got = { -7, -7 };
	socklen_t length = sizeof(got);
	observe("set", setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value)));
	getsockopt(fd, SOL_SOCKET, option, &got, &length);
	observe_text("get", "%ld.%06ld/%u", (long)got.tv_sec, (long)got.tv_usec, length);
}

CASE(so_timeouts)
{
	int fd = tcp_socket();
	static const int options[] = { SO_RCVTIMEO, SO_SNDTIMEO };
	for (int i = 0; i < 2; i++) {
		try_timeout(fd, options[i], 0, 0);
		try_timeout(fd, options[i], 2, 0);
		try_timeout(fd, options[i], 0, 1);
		try_timeout(fd, options[i], 0, 4001);
		try_timeout(fd, options[i], 0, 999999);
		try_timeout(fd, options[i], 0, 1000000);
		try_timeout(fd, options[i], 0, -1);
		try_timeout(fd, options[i], -1, 0);
		try_timeout(fd, options[i], 1l << 30, 0);
		try_timeout(fd, options[i], 1l << 60, 0);
	}
}

/* Longer than anybody waits, up to where a count of jiffies ends. */
CASE(so_timeouts_long)
{
	const long jiffies_per_s = 250;
	int fd = udp_socket();
	static const int options[] = { SO_RCVTIMEO, SO_SNDTIMEO };
	for (int i = 0; i < 2; i++) {
		try_timeout(fd, options[i], 1l << 31, 500000);
		try_timeout(fd, options[i], 1l << 34, 1);
		try_timeout(fd, options[i], 1l << 40, 999999);
		try_timeout(fd, options[i], LONG_MAX / jiffies_per_s - 2, 999999);
		try_timeout(fd, options[i], LONG_MAX / jiffies_per_s - 1, 0);
		try_timeout(fd, options[i], LONG_MAX, 999999);
		try_timeout(fd, options[i], LONG_MIN, 0);
	}
	char byte;
	try_timeout(fd, SO_RCVTIMEO, 1l << 40, 0);
	interrupt_after(100, 0);
	observe("recv", recv(fd, &byte, 1, 0));
}

CASE(so_timeouts_new)
{
	/* SO_RCVTIMEO_NEW and SO_SNDTIMEO_NEW: the same on a 64-bit machine */
	int fd = tcp_socket();
	try_timeout(fd, 66, 3, 500000);
	try_timeout(fd, 67, 4, 500000);
	try_timeout(fd, SO_RCVTIMEO, 5, 0);
	struct timeval got = { 0 };
	socklen_t length = sizeof(got);
	observe("get", getsockopt(fd, SOL_SOCKET, 66, &got, &length));
	observe("seconds", got.tv_sec);
}

CASE(so_timestamps_new)
{
	int fd = udp_socket();
	observe_set("timestamp-new", fd, SOL_SOCKET, 63, 1);
	observe_option("get", fd, SOL_SOCKET, 63);
	observe_option("old", fd, SOL_SOCKET, SO_TIMESTAMP);
	observe_set("timestampns-new", fd, SOL_SOCKET, 64, 1);
	observe_option("get", fd, SOL_SOCKET, 64);
	observe_option("old", fd, SOL_SOCKET, SO_TIMESTAMPNS);
	observe_option("timestamp-new", fd, SOL_SOCKET, 63);
	observe_set("timestampns", fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
	observe_option("new", fd, SOL_SOCKET, 64);
	observe_option("old", fd, SOL_SOCKET, SO_TIMESTAMPNS);
	observe_set("timestamp", fd, SOL_SOCKET, SO_TIMESTAMP, 1);
	observe_option("timestamp", fd, SOL_SOCKET, SO_TIMESTAMP);
	observe_option("timestampns", fd, SOL_SOCKET, SO_TIMESTAMPNS);
	observe_set("off", fd, SOL_SOCKET, SO_TIMESTAMPNS, 0);
	observe_option("timestamp", fd, SOL_SOCKET, SO_TIMESTAMP);
}

static void receive_stamped(int fd)
{
	char byte, control[256];
	struct iovec vector = { &byte, 1 };
	struct msghdr message = { .msg_iov = &vector,
		                  .msg_iovlen = 1,
		                  .msg_control = control,
		                  .msg_controllen = sizeof(control) };
	observe("recvmsg", recvmsg(fd, &message, 0));
	observe("control", (long)message.msg_controllen);
	for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part;
	     part = CMSG_NXTHDR(&message, part)) {
		struct timespec now, then;
		observe_text("cmsg", "%d,%d,%zu", part->cmsg_level, part->cmsg_type,
		             (size_t)part->cmsg_len);
		memcpy(&then, CMSG_DATA(part), sizeof(then));
		clock_gettime(CLOCK_REALTIME, &now);
		observe_text("time", "%s",
		             now.tv_sec - then.tv_sec >= 0 && now.tv_sec - then.tv_sec < 5
		                     ? "now"
		                     : "wrong");
	}
}

CASE(so_timestamp_received)
{
	int pair[2], on = 1;
	udp_pair(pair);
	static const int options[] = { SO_TIMESTAMP, SO_TIMESTAMPNS, 63, 64 };
	for (int i = 0; i < 4; i++) {
		must("set", setsockopt(pair[0], SOL_SOCKET, options[i], &on, sizeof(on)));
		must("send", send(pair[1], "x", 1, 0));
		receive_stamped(pair[0]);
	}
}

CASE(so_timestamp_unix)
{
	int pair[2], on = 1;
	unix_pair(SOCK_DGRAM, pair);
	must("set", setsockopt(pair[0], SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on)));
	must("send", send(pair[1], "x", 1, 0));
	receive_stamped(pair[0]);
}

static void try_device(int fd, const char *name, socklen_t length)
{
	char got[32] = "?";
	socklen_t room = sizeof(got);
	observe("set", setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, length));
	int result = getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, got, &room);
	observe("get", result);
	observe_text("name", "%s/%u", room ? got : "", room);
	observe_option("index", fd, SOL_SOCKET, SO_BINDTOIFINDEX);
}

CASE(so_bindtodevice)
{
	int fd = udp_socket();
	try_device(fd, "lo", 3);
	try_device(fd, "eth0", 4);
	try_device(fd, "eth0", 5);
	try_device(fd, "nothing0", 9);
	try_device(fd, "", 0);
	try_device(fd, "lo\0rubbish-behind-the-name", 25);
	try_device(fd, "", 1);
	observe_set("index", fd, SOL_SOCKET, SO_BINDTOIFINDEX, 1);
	observe_option("index", fd, SOL_SOCKET, SO_BINDTOIFINDEX);
	observe_set("unknown", fd, SOL_SOCKET, SO_BINDTOIFINDEX, 99);
	observe_set("negative", fd, SOL_SOCKET, SO_BINDTOIFINDEX, -1);
	char got[8];
	socklen_t room = sizeof(got);
	observe("short", getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, got, &room));
}

CASE(so_bindtodevice_effect)
{
	char byte[4];
	int bound = udp_socket(), plain = udp_socket(), sender = udp_socket();
	must("device", setsockopt(bound, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5));
	must("bind", bind_to(bound, inet_address("0.0.0.0", 5201)));
	struct sockaddr_in address = inet_address("127.0.0.1", 5201);
	observe("send", sendto(sender, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)));
	observe("receive", recv(bound, byte, sizeof(byte), MSG_DONTWAIT));
	observe("same-port", bind_to(plain, inet_address("0.0.0.0", 5201)));
	int loop = udp_socket();
	must("device", setsockopt(loop, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
	observe("other-device", bind_to(loop, inet_address("0.0.0.0", 5201)));
	observe("send", sendto(sender, "y", 1, 0, (struct sockaddr *)&address, sizeof(address)));
	observe("receive", recv(loop, byte, sizeof(byte), MSG_DONTWAIT));
	observe("receive", recv(bound, byte, sizeof(byte), MSG_DONTWAIT));
}

CASE(so_peername)
{
	int pair[2];
	tcp_pair(pair);
	struct sockaddr_in address = { 0 };
	socklen_t length = sizeof(address);
	observe_address("get", getsockopt(pair[0], SOL_SOCKET, SO_PEERNAME, &address, &length),
	                &address, length);
	length = 8;
	observe("short", getsockopt(pair[0], SOL_SOCKET, SO_PEERNAME, &address, &length));
	length = 17;
	observe("long", getsockopt(pair[0], SOL_SOCKET, SO_PEERNAME, &address, &length));
	length = sizeof(address);
	observe("unconnected",
	        getsockopt(tcp_socket(), SOL_SOCKET, SO_PEERNAME, &address, &length));
}

CASE(so_priority_values)
{
	int fd = udp_socket();
	TRY_VALUES(fd, SOL_SOCKET, SO_PRIORITY, 0, 6, 7, -1);
	observe("setuid", setresuid(1000, 1000, 1000));
	TRY_VALUES(fd, SOL_SOCKET, SO_PRIORITY, 0, 6, 7, -1);
	TRY_VALUES(fd, SOL_SOCKET, SO_MARK, 1);
	TRY_VALUES(fd, SOL_SOCKET, SO_DEBUG, 0, 1);
}

CASE(so_rcvlowat_values)
{
	int fd = tcp_socket();
	must("rcvbuf", setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){ 50000 }, sizeof(int)));
	TRY_VALUES(fd, SOL_SOCKET, SO_RCVLOWAT, 0, 1, 1000, 1 << 30, -1);
	TRY_VALUES(udp_socket(), SOL_SOCKET, SO_RCVLOWAT, 0, 1, 1000, 1 << 30, -1);
}

CASE(so_peek_off_effect)
{
	int pair[2];
	char bytes[8];
	unix_pair(SOCK_STREAM, pair);
	must("send", send(pair[1], "abcdef", 6, 0));
	observe_set("set", pair[0], SOL_SOCKET, SO_PEEK_OFF, 2);
	observe_bytes("peek", recv(pair[0], bytes, 2, MSG_PEEK), bytes);
	observe_option("get", pair[0], SOL_SOCKET, SO_PEEK_OFF);
	observe_bytes("peek", recv(pair[0], bytes, 2, MSG_PEEK), bytes);
	observe_bytes("read", recv(pair[0], bytes, 3, 0), bytes);
	observe_option("get", pair[0], SOL_SOCKET, SO_PEEK_OFF);
	observe_bytes("peek", recv(pair[0], bytes, 8, MSG_PEEK | MSG_DONTWAIT), bytes);
	observe_set("off", pair[0], SOL_SOCKET, SO_PEEK_OFF, -1);
	observe_bytes("peek", recv(pair[0], bytes, 8, MSG_PEEK), bytes);
}
