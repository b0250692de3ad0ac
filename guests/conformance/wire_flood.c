/* SYN cookies: a listener that has as many half-open connections as it keeps, from hosts that are
 * not there. */
#define _GNU_SOURCE
#include "wire.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

static char bytes[64];

/* A server that offers tcp_syncookies may have switched it off. */
static void cookies_on(void)
{
	int fd = (int)must("sysctl", open("/proc/sys/net/ipv4/tcp_syncookies", O_RDWR));
	must("write", write(fd, "1", 1));
	must("seek", lseek(fd, 0, SEEK_SET));
	must("read", read(fd, bytes, 1));
	close(fd);
}

static int listener_at(int port, int backlog)
{
	cookies_on();
	int listener = tcp_socket();
	must("bind", bind_to(listener, inet_address("0.0.0.0", port)));
	must("listen", listen(listener, backlog));
	set_nonblocking(listener);
	return listener;
}

/* Waits for it: the peer's ACK may be on its way. */
static int accepted(int listener)
{
	observe_poll("listener", listener, POLLIN, 500);
	return observe_fd("accept", accept(listener, NULL, NULL));
}

static void observe_options(int fd)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);
	observe("info", getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size));
	observe_text("options", "%#x", info.tcpi_options);
	observe_text("scale", "%d", info.tcpi_snd_wscale);
	observe_int("segment", fd, IPPROTO_TCP, TCP_MAXSEG);
}

CASE_SECONDS(flood_is_answered, 40)
{
	int listener = listener_at(5320, 4);
	observe_text("sysctl", "%c", bytes[0]);
	observe_command("flooded", "flood 5320 100 1");
	observe_command("connected", "connect 5320 2 7100");
	int fd = accepted(listener);
	observe_peer("peer", fd);
	observe("send", send(fd, "hello", 5, 0));
	accepted(listener);
	observe_fd("accept", accept(listener, NULL, NULL));
	observe_command("flooded", "flood 5320 100 2");
	observe_fd("accept", accept(listener, NULL, NULL));
}

static void options_in_flood(int port, const char *offers)
{
	int listener = listener_at(port, 1);
	observe_command("before", "knock %d 7110 %s", port, offers);
	observe_options(accepted(listener));
	command("flood %d 10 %d", port, port & 255);
	observe_command("during", "knock %d 7111 %s", port, offers);
	observe_options(accepted(listener));
}

CASE_SECONDS(flood_timestamps, 40)
{
	options_in_flood(5321, "tsw");
}

CASE_SECONDS(flood_timestamps_only, 40)
{
	options_in_flood(5322, "t");
}

CASE_SECONDS(flood_no_timestamps, 40)
{
	options_in_flood(5323, "sw");
}

CASE_SECONDS(flood_data_with_ack, 40)
{
	int listener = listener_at(5324, 1);
	command("flood 5324 10 3");
	observe_command("knock", "knock 5324 7120 tsw hello");
	int fd = accepted(listener);
	observe_bytes("recv", recv(fd, bytes, sizeof(bytes), 0), bytes);
}

/* Connections that come from cookies are not deferred. */
CASE_SECONDS(flood_defer_accept, 40)
{
	int listener = listener_at(5325, 1);
	must("defer", set_int(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5));
	observe_command("before", "knock 5325 7130 tsw");
	accepted(listener);
	command("flood 5325 10 4");
	observe_command("during", "knock 5325 7131 tsw");
	accepted(listener);
}

/* Nothing was kept of the SYN. */
CASE_SECONDS(flood_saved_syn, 40)
{
	int listener = listener_at(5328, 1);
	must("save", set_int(listener, IPPROTO_TCP, TCP_SAVE_SYN, 1));
	for (int i = 0; i < 2; i++) {
		command("knock 5328 %d tsw", 7170 + i);
		int fd = accepted(listener);
		socklen_t size = sizeof(bytes);
		observe("saved", getsockopt(fd, IPPROTO_TCP, TCP_SAVED_SYN, bytes, &size));
		observe("size", (long)size);
		command("flood 5328 10 %d", 8 + i);
	}
}

/* The queue holds one, and what finds it full is dropped. */
CASE_SECONDS(flood_queue_full, 40)
{
	int listener = listener_at(5326, 0);
	command("flood 5326 10 5");
	observe_command("first", "knock 5326 7140 tsw");
	observe_poll("listener", listener, POLLIN, 500);
	observe_command("second", "knock 5326 7141 tsw");
	observe_command("flooded", "flood 5326 10 6");
	accepted(listener);
	observe_command("third", "knock 5326 7142 tsw");
	accepted(listener);
	observe_fd("accept", accept(listener, NULL, NULL));
}

CASE_SECONDS(flood_backlogs, 40)
{
	for (int backlog = 0; backlog < 3; backlog++) {
		int port = 5330 + backlog, listener = listener_at(port, backlog);
		/* Without timestamps a cookie takes no options up: it is seen where they begin. */
		for (int i = 0; i < 4; i++) {
			command("flood %d 1 %d", port, 20 + 4 * backlog + i);
			observe_command("offered", "knock %d %d sw", port, 7150 + i);
			accepted(listener);
		}
	}
}

CASE_SECONDS(flood_strays, 40)
{
	int listener = listener_at(5327, 1);
	observe_command("before", "stray 5327 7160");
	command("flood 5327 10 7");
	observe_command("during", "stray 5327 7161");
	observe_fd("accept", accept(listener, NULL, NULL));
}
