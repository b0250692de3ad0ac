/* Options of IPPROTO_TCP: tcp(7). */
#define _GNU_SOURCE
#include "options.h"

#include <fcntl.h>
#include <linux/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define VALUES_CASE(name, option, ...)                                                             \
	CASE(name)                                                                                 \
	{                                                                                          \
		TRY_VALUES(tcp_socket(), IPPROTO_TCP, option, __VA_ARGS__);                        \
	}

VALUES_CASE(tcp_nodelay, TCP_NODELAY, 0, 1, 2, -1, 256)
VALUES_CASE(tcp_cork, TCP_CORK, 0, 1, 2, -1)
VALUES_CASE(tcp_maxseg, TCP_MAXSEG, 0, 1, 47, 48, 87, 88, 536, 1460, 32767, 32768, -1)
VALUES_CASE(tcp_keepidle, TCP_KEEPIDLE, 0, 1, 100, 32767, 32768, -1)
VALUES_CASE(tcp_keepintvl, TCP_KEEPINTVL, 0, 1, 100, 32767, 32768, -1)
VALUES_CASE(tcp_keepcnt, TCP_KEEPCNT, 0, 1, 100, 127, 128, -1)
VALUES_CASE(tcp_syncnt, TCP_SYNCNT, 0, 1, 6, 127, 128, -1)
VALUES_CASE(tcp_linger2, TCP_LINGER2, 0, 1, 60, 119, 120, 121, 1000, -1)
VALUES_CASE(tcp_defer_accept, TCP_DEFER_ACCEPT, 0, 1, 2, 3, 4, 7, 8, 60, 1000, 100000, -1)
VALUES_CASE(tcp_window_clamp, TCP_WINDOW_CLAMP, 1, 1000, 2000, 65536, 1 << 20, 0, -1)
VALUES_CASE(tcp_quickack, TCP_QUICKACK, 0, 1, 2, 3, -1)
VALUES_CASE(tcp_user_timeout, TCP_USER_TIMEOUT, 0, 1, 1000, 0x7fffffff, -1)
VALUES_CASE(tcp_notsent_lowat, TCP_NOTSENT_LOWAT, 0, 1, 16384, -1)
VALUES_CASE(tcp_thin_linear_timeouts, TCP_THIN_LINEAR_TIMEOUTS, 0, 1, 2, -1)
VALUES_CASE(tcp_thin_dupack, TCP_THIN_DUPACK, 0, 1, 2, -1)
VALUES_CASE(tcp_fastopen, TCP_FASTOPEN, 0, 1, 16, -1)
VALUES_CASE(tcp_fastopen_connect, TCP_FASTOPEN_CONNECT, 0, 1, 2, -1)
VALUES_CASE(tcp_fastopen_no_cookie, TCP_FASTOPEN_NO_COOKIE, 0, 1, 2)
VALUES_CASE(tcp_save_syn, TCP_SAVE_SYN, 0, 1, 2, 3, -1)
VALUES_CASE(tcp_saved_syn, TCP_SAVED_SYN, 1)
VALUES_CASE(tcp_repair, TCP_REPAIR, 0, 2)
VALUES_CASE(tcp_inq, TCP_INQ, 0, 1, 2, -1)
VALUES_CASE(tcp_tx_delay, TCP_TX_DELAY, 0)
VALUES_CASE(tcp_zerocopy_receive, TCP_ZEROCOPY_RECEIVE, 0)
VALUES_CASE(tcp_rto_max_ms, 44, 1000)
VALUES_CASE(tcp_unknown, 99, 0)
VALUES_CASE(tcp_unknown_negative, -1, 0)
VALUES_CASE(tcp_option_zero, 0, 0)

CASE(tcp_options_of_listener)
{
	static const int options[] = { TCP_NODELAY,      TCP_MAXSEG,    TCP_CORK,
		                       TCP_KEEPIDLE,     TCP_KEEPINTVL, TCP_KEEPCNT,
		                       TCP_SYNCNT,       TCP_LINGER2,   TCP_DEFER_ACCEPT,
		                       TCP_WINDOW_CLAMP, TCP_QUICKACK,  TCP_USER_TIMEOUT,
		                       TCP_NOTSENT_LOWAT };
	char label[20];
	int fd = tcp_listener(1, NULL);
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		snprintf(label, sizeof(label), "option-%d", options[i]);
		observe_option(label, fd, IPPROTO_TCP, options[i]);
		observe_set("set", fd, IPPROTO_TCP, options[i], 1);
	}
	observe_set("clamp-0", fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, 0);
	observe_set("fastopen", fd, IPPROTO_TCP, TCP_FASTOPEN, 5);
	observe_option("fastopen", fd, IPPROTO_TCP, TCP_FASTOPEN);
}

/* Over loopback it depends on the window. */
static void observe_segment_size(int fd)
{
	int value = 0;
	socklen_t length = sizeof(value);
	must("maxseg", getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &value, &length));
	observe_text("maxseg", "%s", value > 32000 ? "large" : value > 1000 ? "medium" : "small");
}

CASE(tcp_options_of_connection)
{
	int pair[2];
	tcp_pair(pair);
	observe_option("nodelay", pair[0], IPPROTO_TCP, TCP_NODELAY);
	observe_segment_size(pair[0]);
	observe_set("maxseg", pair[0], IPPROTO_TCP, TCP_MAXSEG, 1000);
	observe_segment_size(pair[0]);
	observe_set("clamp-0", pair[0], IPPROTO_TCP, TCP_WINDOW_CLAMP, 0);
	observe_option("defer", pair[0], IPPROTO_TCP, TCP_DEFER_ACCEPT);
	observe_set("defer", pair[0], IPPROTO_TCP, TCP_DEFER_ACCEPT, 5);
	observe_set("fastopen", pair[0], IPPROTO_TCP, TCP_FASTOPEN, 5);
	observe_set("fastopen-connect", pair[0], IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
	observe_option("keepidle", pair[0], IPPROTO_TCP, TCP_KEEPIDLE);
	observe_option("quickack", pair[0], IPPROTO_TCP, TCP_QUICKACK);
	observe_set("quickack", pair[0], IPPROTO_TCP, TCP_QUICKACK, 0);
	observe_option("quickack", pair[0], IPPROTO_TCP, TCP_QUICKACK);
	observe_set("quickack", pair[0], IPPROTO_TCP, TCP_QUICKACK, 1);
	observe_option("quickack", pair[0], IPPROTO_TCP, TCP_QUICKACK);
}

CASE(tcp_maxseg_before_connect)
{
	struct sockaddr_in address;
	int listener = tcp_listener(1, &address), client = tcp_socket();
	observe_set("set", client, IPPROTO_TCP, TCP_MAXSEG, 600);
	observe("connect", connect_to(client, address));
	int server = (int)must("accept", accept(listener, NULL, NULL));
	observe_option("client", client, IPPROTO_TCP, TCP_MAXSEG);
	observe_option("server", server, IPPROTO_TCP, TCP_MAXSEG);
}

CASE(tcp_timestamp)
{
	int fd = tcp_socket(), value = 0;
	socklen_t length = sizeof(value);
	observe("get", getsockopt(fd, IPPROTO_TCP, TCP_TIMESTAMP, &value, &length));
	observe_text("value", "%s", value ? "some" : "0");
	observe_set("set", fd, IPPROTO_TCP, TCP_TIMESTAMP, 1000);
}

CASE(tcp_nodelay_sizes)
{
	try_sizes(tcp_socket(), IPPROTO_TCP, TCP_NODELAY);
}

CASE(tcp_keepidle_sizes)
{
	try_sizes(tcp_socket(), IPPROTO_TCP, TCP_KEEPIDLE);
}

CASE(tcp_level_of_udp)
{
	int fd = udp_socket();
	observe_set("set", fd, IPPROTO_TCP, TCP_NODELAY, 1);
	observe_option("get", fd, IPPROTO_TCP, TCP_NODELAY);
}

static void try_congestion(int fd, const char *name, socklen_t length)
{
	char got[32] = "";
	socklen_t room = sizeof(got);
	observe("set", setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, length));
	observe("get", getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, got, &room));
	observe("length", room);
}

CASE(tcp_congestion)
{
	char got[32] = "";
	int fd = tcp_socket();
	try_congestion(fd, "reno", 4);
	try_congestion(fd, "reno", 5);
	try_congestion(fd, "reno\0rest-of-it-is-not-read", 27);
	try_congestion(fd, "nothing", 7);
	try_congestion(fd, "", 0);
	try_congestion(fd, "", 1);
	try_congestion(fd, "a-name-longer-than-sixteen-bytes", 32);
	socklen_t room = 3;
	observe("short", getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, got, &room));
	observe_bytes("bytes", room, got);
	must("reno", setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
	room = sizeof(got);
	observe("reno", getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, got, &room));
	observe_bytes("bytes", room, got);
}

CASE(tcp_congestion_cubic)
{
	int fd = tcp_socket();
	observe("set", setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5));
	char got[16] = "";
	socklen_t room = sizeof(got);
	observe("get", getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, got, &room));
	observe_text("name", "%.16s", got);
}

static void observe_congestion(const char *what, int fd)
{
	char got[16] = "";
	socklen_t room = sizeof(got);
	must("getsockopt", getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, got, &room));
	observe_text(what, "%.16s", got);
}

CASE(tcp_congestion_inherited)
{
	struct sockaddr_in address;
	int listener = tcp_listener(2, &address);
	observe_congestion("listener", listener);
	must("reno", setsockopt(listener, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
	int client = tcp_socket();
	must("connect", connect(client, (struct sockaddr *)&address, sizeof(address)));
	int child = accept(listener, NULL, NULL);
	observe_congestion("child", child);
	observe_congestion("client", client);
	observe("set", setsockopt(child, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5));
	observe_congestion("child", child);
	observe_congestion("listener", listener);
}

CASE(tcp_congestion_settings)
{
	static const char *const names[] = { "tcp_congestion_control",
		                             "tcp_available_congestion_control",
		                             "tcp_allowed_congestion_control" };
	char path[96], text[64];
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", names[i]);
		int fd = open(path, O_RDONLY);
		ssize_t n = read(fd, text, sizeof(text));
		observe_bytes(names[i], n < 0 ? 0 : (size_t)n, text);
	}
	int before = tcp_socket();
	int setting = open("/proc/sys/net/ipv4/tcp_congestion_control", O_WRONLY);
	observe("unknown", pwrite(setting, "nothing", 7, 0));
	observe("reno", pwrite(setting, "reno\n", 5, 0));
	observe_congestion("before", before);
	observe_congestion("after", tcp_socket());
	observe("cubic", pwrite(setting, "cubic", 5, 0));
	observe_congestion("again", tcp_socket());
}

CASE(tcp_ulp)
{
	int fd = tcp_socket();
	char got[16] = "";
	socklen_t room = sizeof(got);
	observe("get", getsockopt(fd, IPPROTO_TCP, TCP_ULP, got, &room));
	observe("length", room);
	observe("unknown", setsockopt(fd, IPPROTO_TCP, TCP_ULP, "nothing", 7));
	observe("empty", setsockopt(fd, IPPROTO_TCP, TCP_ULP, "", 0));
}

static const char *kind(uint64_t value)
{
	return value ? "some" : "0";
}

static void observe_info(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t length = sizeof(info);
	observe("get", getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length));
	observe("state", info.tcpi_state);
	observe("ca-state", info.tcpi_ca_state);
	observe("retransmits", info.tcpi_retransmits);
	observe("probes", info.tcpi_probes);
	observe("backoff", info.tcpi_backoff);
	observe("options", info.tcpi_options);
	observe_text("rto", "%s", kind(info.tcpi_rto));
	observe_text("snd-mss", "%s", info.tcpi_snd_mss > 32000 ? "large" : "small");
	observe("unacked", info.tcpi_unacked);
	observe("sacked", info.tcpi_sacked);
	observe("lost", info.tcpi_lost);
	observe("retrans", info.tcpi_retrans);
	observe("pmtu", info.tcpi_pmtu);
	observe("advmss", info.tcpi_advmss);
	observe("reordering", info.tcpi_reordering);
	observe_text("rtt", "%s", kind(info.tcpi_rtt));
	observe_text("rttvar", "%s", kind(info.tcpi_rttvar));
	observe_text("ssthresh", "%x", info.tcpi_snd_ssthresh);
	observe_text("cwnd", "%s", info.tcpi_snd_cwnd >= 10 ? "10-or-more" : "less");
	observe("total-retrans", info.tcpi_total_retrans);
	observe("bytes-acked", (long)info.tcpi_bytes_acked);
	observe("bytes-received", (long)info.tcpi_bytes_received);
	observe("bytes-sent", (long)info.tcpi_bytes_sent);
	observe("bytes-retrans", (long)info.tcpi_bytes_retrans);
	observe("data-segs-in", info.tcpi_data_segs_in);
	observe("data-segs-out", info.tcpi_data_segs_out);
	observe("notsent", info.tcpi_notsent_bytes);
	observe("delivered", info.tcpi_delivered);
	observe("reord-seen", info.tcpi_reord_seen);
	observe("rcv-ooopack", info.tcpi_rcv_ooopack);
	observe_text("snd-wnd", "%s", kind(info.tcpi_snd_wnd));
}

CASE(tcp_info_closed)
{
	observe_info(tcp_socket());
}

CASE(tcp_info_connection)
{
	int pair[2];
	char bytes[1000] = { 0 };
	tcp_pair(pair);
	for (int i = 0; i < 3; i++) {
		must("send", send(pair[0], bytes, sizeof(bytes), 0));
		must("receive", recv(pair[1], bytes, sizeof(bytes), MSG_WAITALL));
		must("send", send(pair[1], bytes, 10, 0));
		must("receive", recv(pair[0], bytes, 10, MSG_WAITALL));
	}
	observe_info(pair[0]);
}

CASE(tcp_info_listener)
{
	struct sockaddr_in address;
	int fd = tcp_listener(5, &address), clients[2];
	struct tcp_info info = { 0 };
	socklen_t length = sizeof(info);
	for (int i = 0; i < 2; i++) {
		clients[i] = tcp_socket();
		must("connect", connect_to(clients[i], address));
	}
	pause_ms(20);
	observe("get", getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length));
	observe("state", info.tcpi_state);
	observe("queued", info.tcpi_unacked);
	observe("backlog", info.tcpi_sacked);
	observe_text("length", "%s", length >= 232 ? "232-or-more" : "less");
}

CASE(tcp_info_sizes)
{
	int fd = tcp_socket();
	struct tcp_info info;
	for (int size = 0; size < 256; size += size ? size : 1) {
		socklen_t length = (socklen_t)size;
		observe("get", getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length));
		observe("length", length);
	}
	observe_set("set", fd, IPPROTO_TCP, TCP_INFO, 1);
}

CASE(tcp_info_states)
{
	int pair[2];
	struct tcp_info info;
	socklen_t length = sizeof(info);
	tcp_pair(pair);
	must("shutdown", shutdown(pair[0], SHUT_WR));
	observe_poll("poll", pair[1], POLLIN, 1000);
	pause_ms(20);
	must("get", getsockopt(pair[0], IPPROTO_TCP, TCP_INFO, &info, &length));
	observe("fin-wait", info.tcpi_state);
	must("get", getsockopt(pair[1], IPPROTO_TCP, TCP_INFO, &info, &length));
	observe("close-wait", info.tcpi_state);
	must("shutdown", shutdown(pair[1], SHUT_WR));
	observe_poll("poll", pair[0], POLLIN | POLLHUP, 1000);
	pause_ms(20);
	must("get", getsockopt(pair[0], IPPROTO_TCP, TCP_INFO, &info, &length));
	observe("first", info.tcpi_state);
	must("get", getsockopt(pair[1], IPPROTO_TCP, TCP_INFO, &info, &length));
	observe("second", info.tcpi_state);
}

CASE(tcp_inq_message)
{
	int pair[2], on = 1;
	char bytes[4], control[64];
	tcp_pair(pair);
	observe("set", setsockopt(pair[0], IPPROTO_TCP, TCP_INQ, &on, sizeof(on)));
	must("send", send(pair[1], "abcdefg", 7, 0));
	observe_poll("poll", pair[0], POLLIN, 1000);
	struct iovec vector = { bytes, 4 };
	struct msghdr message = { .msg_iov = &vector,
		                  .msg_iovlen = 1,
		                  .msg_control = control,
		                  .msg_controllen = sizeof(control) };
	observe_bytes("recvmsg", recvmsg(pair[0], &message, 0), bytes);
	observe("control", (long)message.msg_controllen);
	struct cmsghdr *part = CMSG_FIRSTHDR(&message);
	if (part)
		observe_text("cmsg", "%d,%d,%d", part->cmsg_level, part->cmsg_type,
		             *(int *)(void *)CMSG_DATA(part));
}

CASE(tcp_cork_holds)
{
	int pair[2];
	char bytes[16];
	tcp_pair(pair);
	observe_set("cork", pair[0], IPPROTO_TCP, TCP_CORK, 1);
	must("send", send(pair[0], "abc", 3, 0));
	observe_poll("held", pair[1], POLLIN, 50);
	observe_set("uncork", pair[0], IPPROTO_TCP, TCP_CORK, 0);
	observe_poll("sent", pair[1], POLLIN, 1000);
	observe_bytes("receive", recv(pair[1], bytes, sizeof(bytes), 0), bytes);
	observe_set("cork", pair[0], IPPROTO_TCP, TCP_CORK, 1);
	must("send", send(pair[0], "def", 3, 0));
	observe_set("nodelay", pair[0], IPPROTO_TCP, TCP_NODELAY, 1);
	observe_poll("nodelay", pair[1], POLLIN, 1000);
}

CASE(tcp_defer_accept_waits)
{
	struct sockaddr_in address;
	int listener = tcp_listener(1, &address), client = tcp_socket();
	observe_set("defer", listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5);
	must("connect", connect_to(client, address));
	observe_poll("without-data", listener, POLLIN, 50);
	must("send", send(client, "x", 1, 0));
	observe_poll("with-data", listener, POLLIN, 1000);
}

CASE(tcp_md5sig)
{
	struct tcp_md5sig key = { .tcpm_keylen = 4, .tcpm_key = "abcd" };
	struct sockaddr_in address = inet_address("127.0.0.1", 0);
	memcpy(&key.tcpm_addr, &address, sizeof(address));
	observe("set", setsockopt(tcp_socket(), IPPROTO_TCP, TCP_MD5SIG, &key, sizeof(key)));
}
