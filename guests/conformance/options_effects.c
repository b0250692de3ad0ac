/* What options do, where to set one and read it back says little. */
#define _GNU_SOURCE
#include "options.h"

#include <fcntl.h>
#include <linux/net_tstamp.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <time.h>

static char large[65536];

/* As much as goes, so that the peer's window is shut. */
static void fill(int fd)
{
	for (int i = 0; i < 3; i++) { /* what was acknowledged meanwhile makes room */
		while (send(fd, large, sizeof(large), MSG_DONTWAIT) > 0)
			;
		pause_ms(20);
	}
	while (send(fd, large, 1, MSG_DONTWAIT) > 0)
		;
}

/* Until no more comes. */
static void drain(int fd)
{
	struct pollfd entry = { .fd = fd, .events = POLLIN };
	while (poll(&entry, 1, 100) == 1 && recv(fd, large, sizeof(large), MSG_DONTWAIT) > 0)
		;
}

static int unsent(int fd)
{
	int bytes = -1;
	must("outq", ioctl(fd, SIOCOUTQNSD, &bytes));
	return bytes;
}

CASE(tcp_user_timeout_without_window)
{
	int pair[2];
	tcp_pair(pair);
	fill(pair[0]);
	observe_set("set", pair[0], IPPROTO_TCP, TCP_USER_TIMEOUT, 1000);
	long start = now_ms();
	observe_poll("poll", pair[0], POLLIN, 9000);
	observe_waited("waited", start, 500, 8000);
	observe_so_error("error", pair[0]);
	observe("send", send(pair[0], "x", 1, MSG_NOSIGNAL));
	observe("recv", recv(pair[0], large, 1, 0));
}

CASE(tcp_notsent_lowat_holds_back)
{
	int pair[2];
	tcp_pair(pair);
	fill(pair[0]);
	int before = unsent(pair[0]);
	observe("some-unsent", before > 4096);
	observe_poll("full", pair[0], POLLOUT, 0);
	observe_set("set", pair[0], IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4096);
	drain(pair[1]);
	observe_poll("drained", pair[0], POLLOUT, 2000);
	fill(pair[0]);
	observe("less-unsent", unsent(pair[0]) <= 2 * 65536);
	observe_poll("held", pair[0], POLLOUT, 0);
	observe_set("off", pair[0], IPPROTO_TCP, TCP_NOTSENT_LOWAT, 0);
	observe_poll("off", pair[0], POLLOUT, 0);
}

CASE(tcp_notsent_lowat_counts_bytes)
{
	int pair[2];
	tcp_pair(pair);
	fill(pair[0]);
	drain(pair[1]);
	observe_set("cork", pair[0], IPPROTO_TCP, TCP_CORK, 1);
	observe_set("set", pair[0], IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1000);
	set_nonblocking(pair[0]);
	int total = 0;
	ssize_t sent;
	while (total < 100000 && (sent = send(pair[0], large, 10, 0)) > 0)
		total += (int)sent;
	observe("enough-unsent", unsent(pair[0]) >= 1000);
	observe_poll("poll", pair[0], POLLOUT, 0);
	observe_set("off", pair[0], IPPROTO_TCP, TCP_NOTSENT_LOWAT, 0);
	observe_poll("poll", pair[0], POLLOUT, 0);
}

CASE(tcp_saved_syn_kept)
{
	struct sockaddr_in address;
	int listener = tcp_listener(4, &address), client = tcp_socket();
	unsigned char bytes[200];
	socklen_t length = 8;
	observe_set("set", listener, IPPROTO_TCP, TCP_SAVE_SYN, 1);
	must("connect", connect_to(client, address));
	int server = (int)must("accept", accept(listener, NULL, NULL));
	observe_option("inherited", server, IPPROTO_TCP, TCP_SAVE_SYN);
	observe("short", getsockopt(server, IPPROTO_TCP, TCP_SAVED_SYN, bytes, &length));
	observe("length", length);
	length = sizeof(bytes);
	memset(bytes, 0, sizeof(bytes));
	observe("get", getsockopt(server, IPPROTO_TCP, TCP_SAVED_SYN, bytes, &length));
	observe("length", length);
	observe_text("ip", "%02x,%d", bytes[0], bytes[9]);
	observe("to-port", ((bytes[22] << 8) | bytes[23]) == ntohs(address.sin_port));
	observe_text("tcp", "%d,%02x", bytes[32] >> 4, bytes[33]);
	length = sizeof(bytes);
	observe("again", getsockopt(server, IPPROTO_TCP, TCP_SAVED_SYN, bytes, &length));
	observe("length", length);
	length = sizeof(bytes);
	observe("client", getsockopt(client, IPPROTO_TCP, TCP_SAVED_SYN, bytes, &length));
	observe("length", length);
}

static void observe_saved_syn(const char *label, int fd)
{
	unsigned char bytes[200] = { 0 };
	socklen_t length = sizeof(bytes);
	observe(label, getsockopt(fd, IPPROTO_TCP, TCP_SAVED_SYN, bytes, &length));
	observe("length", length);
	if (!length)
		return;
	unsigned char *ip = bytes[0] == 0x45 ? bytes : bytes + 14, *tcp = ip + 20;
	for (unsigned char *at = bytes; at < ip; at++)
		observe_text("ethernet", "%02x", *at);
	observe_text("ip", "%d,%d,%02x,%d,%d.%d.%d.%d>%d.%d.%d.%d", ip[1], ip[2] << 8 | ip[3],
	             ip[6], ip[8], ip[12], ip[13], ip[14], ip[15], ip[16], ip[17], ip[18], ip[19]);
	for (unsigned char *at = tcp + 20; at < bytes + length && *at; at += *at == 1 ? 1 : at[1])
		observe("option", *at);
}

CASE(tcp_saved_syn_from_ethernet)
{
	struct sockaddr_in address;
	int listener = tcp_listener(4, &address), client = tcp_socket();
	observe_set("set", listener, IPPROTO_TCP, TCP_SAVE_SYN, 2);
	must("connect", connect_to(client, address));
	int server = (int)must("accept", accept(listener, NULL, NULL));
	observe_saved_syn("saved", server);
	observe_saved_syn("again", server);
	observe_saved_syn("listener", listener);
}

/* It counts when the SYN comes, and for each connection by itself. */
CASE(tcp_saved_syn_of_each)
{
	struct sockaddr_in address;
	int listener = tcp_listener(4, &address), clients[3], servers[3];
	for (int i = 0; i < 3; i++) {
		observe_set("set", listener, IPPROTO_TCP, TCP_SAVE_SYN, i == 1);
		clients[i] = tcp_socket();
		if (i == 2)
			must("maxseg", set_int(clients[i], IPPROTO_TCP, TCP_MAXSEG, 500));
		must("connect", connect_to(clients[i], address));
		pause_ms(20);
	}
	observe_set("set", listener, IPPROTO_TCP, TCP_SAVE_SYN, 1);
	for (int i = 0; i < 3; i++) {
		servers[i] = (int)must("accept", accept(listener, NULL, NULL));
		observe_saved_syn("saved", servers[i]);
		observe_option("inherited", servers[i], IPPROTO_TCP, TCP_SAVE_SYN);
	}
}

CASE(tcp_saved_syn_ends_with_connection)
{
	struct sockaddr_in address, nobody = { .sin_family = AF_UNSPEC };
	int listener = tcp_listener(4, &address), client = tcp_socket();
	observe_set("set", listener, IPPROTO_TCP, TCP_SAVE_SYN, 1);
	must("connect", connect_to(client, address));
	int server = (int)must("accept", accept(listener, NULL, NULL));
	observe_set("set", server, IPPROTO_TCP, TCP_SAVE_SYN, 0);
	observe("disconnect", connect_to(server, nobody));
	observe_saved_syn("saved", server);
}

CASE(tcp_fastopen_falls_back)
{
	struct sockaddr_in address;
	int listener = tcp_listener(4, &address), client = tcp_socket();
	char bytes[16];
	observe_set("server", listener, IPPROTO_TCP, TCP_FASTOPEN, 5);
	observe_set("client", client, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
	observe("connect", connect_to(client, address));
	observe("send", send(client, "first", 5, 0));
	int server = accept(listener, NULL, NULL);
	observe_bytes("recv", recv(server, bytes, sizeof(bytes), 0), bytes);
}

CASE(msg_fastopen)
{
	struct sockaddr_in address;
	int listener = tcp_listener(4, &address), client = tcp_socket(), server;
	char bytes[16];
	must("connect", connect_to(client, address));
	must("accept", accept(listener, NULL, NULL));
	int second = tcp_socket();
	observe("sendto", sendto(second, "second", 6, MSG_FASTOPEN, (struct sockaddr *)&address,
	                         sizeof(address)));
	set_nonblocking(listener);
	observe_poll("poll", listener, POLLIN, 500);
	server = accept(listener, NULL, NULL);
	if (server >= 0)
		observe_bytes("recv", recv(server, bytes, sizeof(bytes), 0), bytes);
	int third = tcp_socket();
	set_nonblocking(third);
	observe("nonblocking", sendto(third, "third", 5, MSG_FASTOPEN, (struct sockaddr *)&address,
	                              sizeof(address)));
	observe("unaddressed", send(tcp_socket(), "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL));
	observe("connected", sendto(client, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL,
	                            (struct sockaddr *)&address, sizeof(address)));
	observe("udp", sendto(udp_socket(), "x", 1, MSG_FASTOPEN, (struct sockaddr *)&address,
	                      sizeof(address)));
}

CASE(options_as_user)
{
	int on = 1, fd = tcp_socket(), udp = udp_socket();
	must("setuid", setuid(1000));
	observe_set("repair", fd, IPPROTO_TCP, TCP_REPAIR, 1);
	observe_set("repair-off", fd, IPPROTO_TCP, TCP_REPAIR, 0);
	observe_set("mark", fd, SOL_SOCKET, SO_MARK, 1);
	observe_set("mark-same", fd, SOL_SOCKET, SO_MARK, 0);
	observe_set("busy-poll", fd, SOL_SOCKET, SO_BUSY_POLL, 50);
	observe_set("busy-poll-off", fd, SOL_SOCKET, SO_BUSY_POLL, 0);
	observe_set("prefer", fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, on);
	observe_set("budget", fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, 100);
	observe_set("rcvbufforce", fd, SOL_SOCKET, SO_RCVBUFFORCE, 5000);
	observe("device", setsockopt(udp, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
	observe("device-again", setsockopt(udp, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5));
	observe_set("transparent", fd, IPPROTO_IP, IP_TRANSPARENT, 1);
	observe_set("freebind", fd, IPPROTO_IP, IP_FREEBIND, 1);
	observe_set("debug", fd, SOL_SOCKET, SO_DEBUG, 1);
	observe("raw", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	observe("congestion", setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
}

CASE(so_meminfo)
{
	uint32_t info[16];
	int pair[2];
	socklen_t length = sizeof(info);
	udp_pair(pair);
	memset(info, 0xff, sizeof(info));
	must("send", send(pair[0], "four", 4, 0));
	observe_poll("poll", pair[1], POLLIN, 1000);
	observe("get", getsockopt(pair[1], SOL_SOCKET, SO_MEMINFO, info, &length));
	observe("length", length);
	observe("rmem", info[SK_MEMINFO_RMEM_ALLOC] > 4);
	observe("rcvbuf", info[SK_MEMINFO_RCVBUF]);
	observe("wmem", info[SK_MEMINFO_WMEM_ALLOC]);
	observe("sndbuf", info[SK_MEMINFO_SNDBUF]);
	observe("queued", info[SK_MEMINFO_WMEM_QUEUED]);
	observe("optmem", info[SK_MEMINFO_OPTMEM]);
	observe("backlog", info[SK_MEMINFO_BACKLOG]);
	observe("drops", info[SK_MEMINFO_DROPS]);
	length = 8;
	memset(info, 0xff, sizeof(info));
	observe("short", getsockopt(pair[1], SOL_SOCKET, SO_MEMINFO, info, &length));
	observe("length", length);
	observe_text("beyond", "%x", info[2]);
	observe_set("set", pair[1], SOL_SOCKET, SO_MEMINFO, 1);
}

CASE(so_incoming_cpu_of_traffic)
{
	int pair[2], udp[2];
	tcp_pair(pair);
	must("send", send(pair[0], "x", 1, 0));
	observe_poll("poll", pair[1], POLLIN, 1000);
	observe_option("tcp", pair[1], SOL_SOCKET, SO_INCOMING_CPU);
	udp_pair(udp);
	must("send", send(udp[0], "x", 1, 0));
	observe_poll("poll", udp[1], POLLIN, 1000);
	observe_option("udp", udp[1], SOL_SOCKET, SO_INCOMING_CPU);
	observe_option("napi", udp[1], SOL_SOCKET, SO_INCOMING_NAPI_ID);
}

/* The control message of a socket option, its length, and whether its times are of now, at most
 * 2 s ago (`now`), or 0. */
static void observe_times(int fd)
{
	char byte, control[256];
	struct iovec vector = { &byte, 1 };
	struct msghdr message = { .msg_iov = &vector,
		                  .msg_iovlen = 1,
		                  .msg_control = control,
		                  .msg_controllen = sizeof(control) };
	observe("recvmsg", recvmsg(fd, &message, 0));
	for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part;
	     part = CMSG_NXTHDR(&message, part)) {
		observe_text("cmsg", "%d,%d,%zu", part->cmsg_level, part->cmsg_type,
		             part->cmsg_len);
		const long *times = (const long *)(void *)CMSG_DATA(part);
		for (size_t i = 0; i < (part->cmsg_len - CMSG_LEN(0)) / 16; i++) {
			long age = time(NULL) - times[i * 2];
			observe_text("time", "%s",
			             !times[i * 2] && !times[i * 2 + 1] ? "0"
			             : age >= -1 && age <= 2            ? "now"
			                                                : "other");
		}
	}
}

CASE(so_timestamping_received)
{
	static const int flags[] = {
		SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE,
		SOF_TIMESTAMPING_RX_SOFTWARE,
		SOF_TIMESTAMPING_SOFTWARE,
		SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE,
	};
	int pair[2];
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		udp_pair(pair);
		observe_set("set", pair[1], SOL_SOCKET, SO_TIMESTAMPING, flags[i]);
		observe_option("get", pair[1], SOL_SOCKET, SO_TIMESTAMPING);
		pause_ms(100); /* Linux stamps packets from a moment after the first wish on */
		must("send", send(pair[0], "x", 1, 0));
		observe_poll("poll", pair[1], POLLIN, 1000);
		observe_times(pair[1]);
	}
}

CASE(so_timestamping_with_timestampns)
{
	int pair[2];
	udp_pair(pair);
	observe_set("set", pair[1], SOL_SOCKET, SO_TIMESTAMPNS, 1);
	observe_set("set", pair[1], SOL_SOCKET, SO_TIMESTAMPING,
	            SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE);
	must("send", send(pair[0], "x", 1, 0));
	observe_poll("poll", pair[1], POLLIN, 1000);
	observe_times(pair[1]);
	observe_set("unknown", pair[1], SOL_SOCKET, SO_TIMESTAMPING, 1 << 30);
	observe_set("id-alone", pair[1], SOL_SOCKET, SO_TIMESTAMPING, SOF_TIMESTAMPING_OPT_ID);
}

CASE(so_timestamp_tcp)
{
	static const int options[] = { SO_TIMESTAMP, SO_TIMESTAMPNS };
	int pair[2];
	for (int i = 0; i < 2; i++) {
		tcp_pair(pair);
		observe_set("set", pair[1], SOL_SOCKET, options[i], 1);
		must("send", send(pair[0], "x", 1, 0));
		observe_poll("poll", pair[1], POLLIN, 1000);
		observe_times(pair[1]);
	}
}

CASE(so_rxq_ovfl_counts)
{
	int pair[2];
	udp_pair(pair);
	observe_set("small", pair[1], SOL_SOCKET, SO_RCVBUF, 2304);
	observe_set("set", pair[1], SOL_SOCKET, SO_RXQ_OVFL, 1);
	for (int i = 0; i < 200; i++)
		must("send", send(pair[0], large, 500, 0));
	pause_ms(20);
	char bytes[600], control[64];
	struct iovec vector = { bytes, sizeof(bytes) };
	struct msghdr message = { .msg_iov = &vector,
		                  .msg_iovlen = 1,
		                  .msg_control = control,
		                  .msg_controllen = sizeof(control) };
	observe("first", recvmsg(pair[1], &message, 0));
	observe("control", (long)message.msg_controllen);
	while (recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	must("send", send(pair[0], "last", 4, 0));
	observe_poll("poll", pair[1], POLLIN, 1000);
	message.msg_controllen = sizeof(control);
	observe("last", recvmsg(pair[1], &message, 0));
	struct cmsghdr *part = CMSG_FIRSTHDR(&message);
	if (part) {
		uint32_t drops;
		memcpy(&drops, CMSG_DATA(part), sizeof(drops));
		observe_text("cmsg", "%d,%d,%zu", part->cmsg_level, part->cmsg_type,
		             part->cmsg_len);
		observe("many", drops > 150 && drops < 200);
	}
}

CASE(so_keepalive_needs_no_data)
{
	int pair[2];
	tcp_pair(pair);
	observe_set("on", pair[0], SOL_SOCKET, SO_KEEPALIVE, 1);
	observe_set("idle", pair[0], IPPROTO_TCP, TCP_KEEPIDLE, 1);
	observe_set("interval", pair[0], IPPROTO_TCP, TCP_KEEPINTVL, 1);
	observe_set("count", pair[0], IPPROTO_TCP, TCP_KEEPCNT, 1);
	observe_poll("alive", pair[0], POLLIN, 3500);
	observe_so_error("error", pair[0]);
	observe("send", send(pair[1], "x", 1, 0));
	observe_poll("poll", pair[0], POLLIN, 1000);
}

CASE(tcp_info_of_a_full_connection)
{
	int pair[2];
	struct tcp_info info;
	socklen_t length = sizeof(info);
	tcp_pair(pair);
	fill(pair[0]);
	must("info", getsockopt(pair[0], IPPROTO_TCP, TCP_INFO, &info, &length));
	observe("unacked", info.tcpi_unacked);
	observe("notsent", info.tcpi_notsent_bytes > 0);
	observe("window", info.tcpi_snd_wnd < 65536);
	pause_ms(1500);
	length = sizeof(info);
	must("info", getsockopt(pair[0], IPPROTO_TCP, TCP_INFO, &info, &length));
	observe("backoff", info.tcpi_backoff > 0);
	observe("retransmits", info.tcpi_retransmits);
	length = sizeof(info);
	must("info", getsockopt(pair[1], IPPROTO_TCP, TCP_INFO, &info, &length));
	observe("received", info.tcpi_bytes_received > 60000);
	observe("rcv-space", info.tcpi_rcv_space > 0);
	observe("rcv-mss", info.tcpi_rcv_mss > 500);
	observe("last-data", info.tcpi_last_data_recv < 5000);
	observe("never-sent", info.tcpi_data_segs_out);
}

CASE(tcp_info_times)
{
	int pair[2];
	struct tcp_info info;
	socklen_t length = sizeof(info);
	tcp_pair(pair);
	must("send", send(pair[0], "x", 1, 0));
	pause_ms(300);
	must("info", getsockopt(pair[0], IPPROTO_TCP, TCP_INFO, &info, &length));
	observe("last-sent", info.tcpi_last_data_sent >= 250 && info.tcpi_last_data_sent < 3000);
	observe("last-ack", info.tcpi_last_ack_recv >= 200 && info.tcpi_last_ack_recv < 3000);
	observe("ato", info.tcpi_ato);
	observe("min-rtt", info.tcpi_min_rtt < 1000000 && info.tcpi_min_rtt > 0);
	observe("delivery-rate", info.tcpi_delivery_rate > 0);
	observe("wscale", info.tcpi_snd_wscale > 0 && info.tcpi_rcv_wscale > 0);
}

CASE(tcp_info_what_limits)
{
	int pair[2];
	struct tcp_info info;
	socklen_t length = sizeof(info);
	tcp_pair(pair);
	fill(pair[0]);
	pause_ms(300);
	must("info", getsockopt(pair[0], IPPROTO_TCP, TCP_INFO, &info, &length));
	observe("busy", info.tcpi_busy_time > 0);
	observe("rwnd-limited", info.tcpi_rwnd_limited > 0);
	observe("rwnd-most-of-it", info.tcpi_rwnd_limited > info.tcpi_busy_time / 2);
}

CASE(ioctl_others)
{
	struct {
		const char *name;
		unsigned long command;
	} commands[] = { { "SIOCGARP", SIOCGARP },   { "SIOCETHTOOL", 0x8946 },
		         { "SIOCGIFMAP", 0x8970 },   { "SIOCGIFPFLAGS", 0x8935 },
		         { "SIOCGIFSLAVE", 0x8929 }, { "SIOCGIFBR", 0x8940 },
		         { "SIOCADDRT", SIOCADDRT }, { "SIOCGMIIPHY", 0x8947 },
		         { "SIOCGIFENCAP", 0x8925 }, { "SIOCGIFMEM", 0x891f },
		         { "SIOCGIFVLAN", 0x8982 },  { "SIOCINQ-42", 0x89ff } };
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		char zero[256] = "lo";
		observe(commands[i].name, ioctl(udp_socket(), commands[i].command, zero));
	}
}
