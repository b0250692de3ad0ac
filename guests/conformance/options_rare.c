/* Options that few programs set, and what they do: socket(7), tcp(7), ip(7), and Linux's headers
 * for those that no page names. */
#define _GNU_SOURCE
#include "options.h"

#include <linux/filter.h>
#include <linux/net_tstamp.h>
#include <linux/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SO_RCVMARK_NUMBER 75

#define KINDS_CASE(name, option)                                                                   \
	CASE(name)                                                                                 \
	{                                                                                          \
		try_kinds(SOL_SOCKET, option);                                                     \
	}

KINDS_CASE(so_max_pacing_rate, SO_MAX_PACING_RATE)
KINDS_CASE(so_txtime_as_number, SO_TXTIME)
KINDS_CASE(so_rcvmark, SO_RCVMARK_NUMBER)
KINDS_CASE(so_netns_cookie, SO_NETNS_COOKIE)
KINDS_CASE(so_peersec, SO_PEERSEC)
KINDS_CASE(so_bpf_extensions, SO_BPF_EXTENSIONS)
KINDS_CASE(so_bsdcompat, SO_BSDCOMPAT)
KINDS_CASE(so_security_authentication, SO_SECURITY_AUTHENTICATION)
KINDS_CASE(so_attach_filter_as_number, SO_ATTACH_FILTER)
KINDS_CASE(so_attach_reuseport_cbpf_as_number, SO_ATTACH_REUSEPORT_CBPF)
KINDS_CASE(so_attach_reuseport_ebpf, SO_ATTACH_REUSEPORT_EBPF)
KINDS_CASE(so_detach_reuseport_bpf, SO_DETACH_REUSEPORT_BPF)
KINDS_CASE(so_incoming_napi_id, SO_INCOMING_NAPI_ID)
KINDS_CASE(so_devmem_linear, 78)
KINDS_CASE(so_passrights, 83)

static void observe_wide(const char *label, int fd, int level, int option, socklen_t room)
{
	uint64_t value[4] = { 0 };
	socklen_t length = room;
	int result = getsockopt(fd, level, option, value, &length);
	observe_text(label, result == -1 ? "%s" : "%s/%u/%llx",
	             result == -1 ? strerrorname_np(errno) : "0", length,
	             (unsigned long long)value[0]);
}

CASE(so_max_pacing_rate_values)
{
	int fd = tcp_socket();
	static const uint64_t wide[] = { 0, 1, 1000000, 1ull << 32, ~0ull };
	TRY_VALUES(fd, SOL_SOCKET, SO_MAX_PACING_RATE, 0, 1, 1000000, -1);
	for (int i = 0; i < 5; i++) {
		observe("set",
		        setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &wide[i], sizeof(wide[i])));
		observe_wide("get-8", fd, SOL_SOCKET, SO_MAX_PACING_RATE, 8);
		observe_option("get-4", fd, SOL_SOCKET, SO_MAX_PACING_RATE);
	}
	try_sizes(fd, SOL_SOCKET, SO_MAX_PACING_RATE);
}

CASE(so_max_pacing_rate_in_tcp_info)
{
	int pair[2];
	struct tcp_info information;
	socklen_t length = sizeof(information);
	tcp_pair(pair);
	observe_set("set", pair[0], SOL_SOCKET, SO_MAX_PACING_RATE, 100000000);
	must("info", getsockopt(pair[0], IPPROTO_TCP, TCP_INFO, &information, &length));
	observe_text("max", "%lld", (long long)information.tcpi_max_pacing_rate);
	observe_set("again", pair[0], SOL_SOCKET, SO_MAX_PACING_RATE, -1);
	length = sizeof(information);
	must("info", getsockopt(pair[0], IPPROTO_TCP, TCP_INFO, &information, &length));
	observe_text("max", "%lld", (long long)information.tcpi_max_pacing_rate);
}

/* Nothing is paced, but the rate that would be is told: the window per round trip, twice in slow
 * start. */
CASE(pacing_rate_in_tcp_info)
{
	int pair[2];
	struct tcp_info information;
	socklen_t length = sizeof(information);
	char byte = 0;
	tcp_pair(pair);
	for (int i = 0; i < 20; i++) {
		must("send", send(pair[0], &byte, 1, 0));
		must("recv", recv(pair[1], &byte, 1, 0));
		must("send", send(pair[1], &byte, 1, 0));
		must("recv", recv(pair[0], &byte, 1, 0));
	}
	must("info", getsockopt(pair[0], IPPROTO_TCP, TCP_INFO, &information, &length));
	double window = (double)information.tcpi_snd_cwnd * information.tcpi_snd_mss;
	double rate = (double)information.tcpi_pacing_rate * information.tcpi_rtt / 1e6;
	observe("twice-the-window", rate > 1.9 * window && rate < 2.1 * window);
	observe_set("least", pair[0], SOL_SOCKET, SO_MAX_PACING_RATE, 1000);
	length = sizeof(information);
	must("info", getsockopt(pair[0], IPPROTO_TCP, TCP_INFO, &information, &length));
	observe_text("max", "%lld", (long long)information.tcpi_max_pacing_rate);
}

CASE(so_txtime)
{
	static const struct sock_txtime settings[] = { { CLOCK_MONOTONIC, 0 },
		                                       { CLOCK_TAI, 1 },
		                                       { CLOCK_REALTIME, 2 },
		                                       { CLOCK_MONOTONIC, 4 },
		                                       { 77, 0 } };
	struct sock_txtime got;
	int fd = udp_socket();
	for (int i = 0; i < 5; i++) {
		socklen_t length = sizeof(got);
		observe("set",
		        setsockopt(fd, SOL_SOCKET, SO_TXTIME, &settings[i], sizeof(settings[i])));
		memset(&got, 0, sizeof(got));
		observe("get", getsockopt(fd, SOL_SOCKET, SO_TXTIME, &got, &length));
		observe_text("got", "%d,%u/%u", got.clockid, got.flags, length);
	}
}

CASE(so_wide_sizes)
{
	int pair[2];
	tcp_pair(pair);
	observe_wide("netns-8", pair[0], SOL_SOCKET, SO_NETNS_COOKIE, 8);
	observe_wide("netns-4", pair[0], SOL_SOCKET, SO_NETNS_COOKIE, 4);
	observe_wide("bpf-extensions", pair[0], SOL_SOCKET, SO_BPF_EXTENSIONS, 8);
}

CASE(tcp_cc_info)
{
	observe_wide("closed", tcp_socket(), IPPROTO_TCP, TCP_CC_INFO, 32);
	observe_set("set", tcp_socket(), IPPROTO_TCP, TCP_CC_INFO, 1);
}

CASE(tcp_repair_options)
{
	int fd = tcp_socket();
	observe_set("repair", fd, IPPROTO_TCP, TCP_REPAIR, 0);
	TRY_VALUES(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, 0, 1, 2, 3);
	TRY_VALUES(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, 0, 1);
	observe_wide("window", fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, 20);
	observe_set("options", fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, 1);
	observe_set("window", fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, 1);
}

CASE(tcp_newer_options)
{
	int fd = tcp_socket();
	for (int option = 38; option < 48; option++) {
		char label[16];
		snprintf(label, sizeof(label), "%d", option);
		observe_text("option", "%d", option);
		TRY_VALUES(fd, IPPROTO_TCP, option, 0);
	}
}

CASE(tcp_tx_delay_values)
{
	int fd = tcp_socket();
	TRY_VALUES(fd, IPPROTO_TCP, TCP_TX_DELAY, 0, 1000, 0, -1);
}

CASE(tcp_thin_values)
{
	int fd = tcp_socket();
	TRY_VALUES(fd, IPPROTO_TCP, TCP_THIN_DUPACK, 0, 1, 2, -1);
	TRY_VALUES(fd, IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 0, 1, 2, -1);
}

/* RFC 791's options in what is sent and received. */
CASE(ip_options_values)
{
	static const struct {
		const char *name;
		uint8_t bytes[40], length;
	} rows[] = {
		{ "nops", { 1, 1, 1, 1 }, 4 },
		{ "end", { 0 }, 1 },
		{ "record-route", { 7, 15, 4 }, 15 },
		{ "record-route-short", { 7, 3, 4 }, 3 },
		{ "timestamp", { 68, 12, 5, 0 }, 12 },
		{ "timestamp-address", { 68, 12, 5, 1 }, 12 },
		{ "router-alert", { 148, 4, 0, 0 }, 4 },
		{ "loose-route", { 131, 7, 4, 127, 0, 0, 1 }, 7 },
		{ "strict-route", { 137, 7, 4, 127, 0, 0, 1 }, 7 },
		{ "security", { 130, 11 }, 11 },
		{ "unknown", { 222, 4, 1, 2 }, 4 },
		{ "length-too-long", { 7, 15, 4 }, 8 },
		{ "length-of-1", { 7, 1 }, 4 },
	};
	int fd = udp_socket(), stream = tcp_socket();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t got[40] = { 0 };
		socklen_t length = sizeof(got);
		observe(rows[i].name,
		        setsockopt(fd, IPPROTO_IP, IP_OPTIONS, rows[i].bytes, rows[i].length));
		int result = getsockopt(fd, IPPROTO_IP, IP_OPTIONS, got, &length);
		observe_bytes("get", result == -1 ? -1 : (ssize_t)length, got);
	}
	observe("clear", setsockopt(fd, IPPROTO_IP, IP_OPTIONS, NULL, 0));
	observe("tcp", setsockopt(stream, IPPROTO_IP, IP_OPTIONS, rows[2].bytes, rows[2].length));
}

CASE(ip_options_travel)
{
	static const uint8_t route[] = { 7, 15, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	int from = udp_socket(), to = udp_socket();
	must("bind", bind_to(to, inet_address("127.0.0.1", 0)));
	struct sockaddr_in address = name_of(to);
	observe_set("recvopts", to, IPPROTO_IP, IP_RECVOPTS, 1);
	observe_set("retopts", to, IPPROTO_IP, IP_RETOPTS, 1);
	observe("options", setsockopt(from, IPPROTO_IP, IP_OPTIONS, route, sizeof(route)));
	observe("send", sendto(from, "abc", 3, 0, (struct sockaddr *)&address, sizeof(address)));
	char bytes[8], control[256];
	struct iovec vector = { bytes, sizeof(bytes) };
	struct msghdr message = { .msg_iov = &vector,
		                  .msg_iovlen = 1,
		                  .msg_control = control,
		                  .msg_controllen = sizeof(control) };
	observe_poll("poll", to, POLLIN, 1000);
	observe_bytes("received", recvmsg(to, &message, MSG_DONTWAIT), bytes);
	for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part;
	     part = CMSG_NXTHDR(&message, part)) {
		observe_text("control", "%d,%d", part->cmsg_level, part->cmsg_type);
		observe_bytes("data", (ssize_t)(part->cmsg_len - CMSG_LEN(0)), CMSG_DATA(part));
	}
}

/* Each mode, and whether what is too long for the path is cut or refused, and by what MTU. */
CASE(ip_mtu_discover_effect)
{
	static char bytes[4000];
	struct sockaddr_in gateway = gateway_address(9);
	for (int mode = IP_PMTUDISC_DONT; mode <= IP_PMTUDISC_OMIT; mode++) {
		int fd = udp_socket();
		observe_set("mode", fd, IPPROTO_IP, IP_MTU_DISCOVER, mode);
		must("connect", connect_to(fd, gateway));
		observe("whole", send(fd, bytes, 1472, 0));
		observe("too-long", send(fd, bytes, sizeof(bytes), 0));
		observe_option("mtu", fd, IPPROTO_IP, IP_MTU);
		close(fd);
	}
}

CASE(so_rcvmark_message)
{
	int pair[2];
	char bytes[8], control[64];
	udp_pair(pair);
	observe_set("rcvmark", pair[1], SOL_SOCKET, SO_RCVMARK_NUMBER, 1);
	observe_set("mark", pair[0], SOL_SOCKET, SO_MARK, 77);
	must("send", send(pair[0], "abc", 3, 0));
	struct iovec vector = { bytes, sizeof(bytes) };
	struct msghdr message = { .msg_iov = &vector,
		                  .msg_iovlen = 1,
		                  .msg_control = control,
		                  .msg_controllen = sizeof(control) };
	observe_bytes("received", recvmsg(pair[1], &message, 0), bytes);
	for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part;
	     part = CMSG_NXTHDR(&message, part))
		observe_text("control", "%d,%d=%d", part->cmsg_level, part->cmsg_type,
		             *(int *)(void *)CMSG_DATA(part));
}
