/* What happens on a wire: nobody there, routers that say so, peers that reset. The other machines
 * are wire_peer.py. */
#define _GNU_SOURCE
#include "wire.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

#define NOBODY "10.0.2.66"

/* ---- the router obeys ---- */

static void ask(char *answer, size_t size, const char *format, va_list arguments)
{
	char text[200];
	int length = vsnprintf(text, sizeof(text), format, arguments);
	int fd = udp_socket();
	set_timeout(fd, SO_RCVTIMEO, 20000);
	must("connect", connect_to(fd, gateway_address(99)));
	must("command", send(fd, text, (size_t)length, 0));
	ssize_t got = must("answer", recv(fd, answer, size - 1, 0));
	answer[got] = 0;
	close(fd);
}

void command(const char *format, ...)
{
	char answer[100];
	va_list arguments;
	va_start(arguments, format);
	ask(answer, sizeof(answer), format, arguments);
	va_end(arguments);
}

void observe_command(const char *label, const char *format, ...)
{
	char answer[100];
	va_list arguments;
	va_start(arguments, format);
	ask(answer, sizeof(answer), format, arguments);
	va_end(arguments);
	observe_text(label, "%s", answer);
}

int port_of(int fd)
{
	return ntohs(name_of(fd).sin_port);
}

int connected_to_host(int port)
{
	int fd = tcp_socket();
	must("connect", connect_to(fd, inet_address(HOST, port)));
	return fd;
}

void observe_state(const char *label, int fd)
{
	observe_poll(label, fd, POLLIN | POLLOUT | POLLRDHUP, 0);
}

static int nonblocking_socket(void)
{
	int fd = tcp_socket();
	set_nonblocking(fd);
	return fd;
}

/* ---- nobody answers ARP ---- */

CASE_SECONDS(nobody_connect, 40)
{
	int fd = tcp_socket();
	long start = now_ms();
	observe("connect", connect_to(fd, inet_address(NOBODY, 80)));
	observe_waited("waited", start, 2500, 20000);
	observe_so_error("error", fd);
	observe_name("name", fd);
	observe("elsewhere", connect_to(fd, inet_address(HOST, 80)));
}

static int begin_connect(const char *label, const char *host, int port)
{
	int fd = nonblocking_socket();
	observe(label, connect_to(fd, inet_address(host, port)));
	return fd;
}

/* Whatever asks first is told: SO_ERROR, connect, send or recv; two that wait for one host, both.
 */
CASE_SECONDS(nobody_connect_nonblocking, 40)
{
	long start = now_ms();
	int option = begin_connect("option", "10.0.2.67", 80);
	int connecting = begin_connect("connect", "10.0.2.68", 80);
	int sending = begin_connect("send", "10.0.2.69", 80);
	int receiving = begin_connect("recv", "10.0.2.70", 80);
	int second = begin_connect("second", "10.0.2.70", 81);
	observe("again", connect_to(option, inet_address("10.0.2.67", 80)));
	observe("send", send(sending, "a", 1, MSG_NOSIGNAL));
	observe_poll("poll", option, POLLIN | POLLOUT | POLLRDHUP, 10000);
	observe_waited("waited", start, 2500, 20000);
	observe_so_error("error", option);
	observe_so_error("error", option);
	observe("again", connect_to(option, inet_address(HOST, 80)));
	observe_poll("connect", connecting, POLLOUT, 3000);
	observe("again", connect_to(connecting, inet_address("10.0.2.68", 80)));
	observe_so_error("error", connecting);
	observe_poll("send", sending, POLLOUT, 3000);
	observe("send", send(sending, "a", 1, MSG_NOSIGNAL));
	observe("send", send(sending, "a", 1, MSG_NOSIGNAL));
	observe_so_error("error", sending);
	observe_poll("recv", receiving, POLLOUT, 3000);
	observe("recv", recv(receiving, &(char){ 0 }, 1, 0));
	observe("recv", recv(receiving, &(char){ 0 }, 1, 0));
	observe_poll("second", second, POLLOUT, 3000);
	observe_so_error("error", second);
}

/* Of a datagram its text; TCP's begins with the header, of which the ports stay the same. */
static void observe_quoted(const char *label, int fd, ssize_t got, const char *bytes)
{
	int type = 0;
	socklen_t length = sizeof(type);
	if (got < 4 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) || type != SOCK_STREAM) {
		observe_bytes(label, got, bytes);
		return;
	}
	const unsigned char *port = (const unsigned char *)bytes + 2;
	observe_text(label, "%zd/to-port-%d", got, port[0] << 8 | port[1]);
}

void observe_error_queue(const char *label, int fd)
{
	char bytes[100], control[512];
	struct sockaddr_in name;
	struct iovec piece = { bytes, sizeof(bytes) };
	struct msghdr message = { .msg_name = &name,
		                  .msg_namelen = sizeof(name),
		                  .msg_iov = &piece,
		                  .msg_iovlen = 1,
		                  .msg_control = control,
		                  .msg_controllen = sizeof(control) };
	ssize_t got = recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT);
	observe_quoted(label, fd, got, bytes);
	if (got < 0)
		return;
	observe_address("to", 0, &name, message.msg_namelen);
	for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at; at = CMSG_NXTHDR(&message, at)) {
		struct {
			struct sock_extended_err error;
			struct sockaddr_in offender;
		} said;
		if (at->cmsg_level != IPPROTO_IP || at->cmsg_type != IP_RECVERR)
			continue;
		memcpy(&said, CMSG_DATA(at), sizeof(said));
		observe_text("said", "%s/origin%d/type%d/code%d/info%u",
		             strerrorname_np((int)said.error.ee_errno), said.error.ee_origin,
		             said.error.ee_type, said.error.ee_code, said.error.ee_info);
		if (said.offender.sin_family == AF_INET)
			observe_address("offender", 0, &said.offender, sizeof(said.offender));
		else
			observe_text("offender", "family-%d", said.offender.sin_family);
	}
}

CASE_SECONDS(nobody_udp, 40)
{
	struct sockaddr_in to = inet_address("10.0.2.73", 80),
	                   queued = inet_address("10.0.2.74", 80);
	int asking = udp_socket(), sending = udp_socket(), alone = udp_socket(),
	    keeping = udp_socket();
	long start = now_ms();
	observe("connect", connect_to(asking, inet_address("10.0.2.71", 80)));
	observe("connect", connect_to(sending, inet_address("10.0.2.72", 80)));
	must("IP_RECVERR", set_int(keeping, IPPROTO_IP, IP_RECVERR, 1));
	observe("send", send(asking, "a", 1, 0));
	observe("send", send(sending, "a", 1, 0));
	observe("alone", sendto(alone, "a", 1, 0, (struct sockaddr *)&to, sizeof(to)));
	observe("keeping",
	        sendto(keeping, "abc", 3, 0, (struct sockaddr *)&queued, sizeof(queued)));
	observe_state("poll", asking);
	observe_poll("poll", asking, POLLIN, 6000);
	observe_waited("waited", start, 2500, 20000);
	observe_so_error("error", asking);
	observe("send", send(asking, "a", 1, 0));
	observe_poll("sending", sending, POLLIN, 1000);
	observe("send", send(sending, "a", 1, 0));
	observe("send", send(sending, "a", 1, 0));
	observe_poll("keeping", keeping, POLLIN, 1000);
	observe_error_queue("queue", keeping);
	observe_so_error("error", keeping);
	observe_poll("alone", alone, POLLIN, 100);
	observe_so_error("error", alone);
}

/* A connection that lives on, whose host no longer answers, is another story: here the host is
 * silent from the start, so that its SYNs are not answered. */
CASE_SECONDS(silent_connect_syncnt, 40)
{
	int fd = tcp_socket();
	must("TCP_SYNCNT", set_int(fd, IPPROTO_TCP, TCP_SYNCNT, 1));
	long start = now_ms();
	observe("connect", connect_to(fd, inet_address(HOST, 2)));
	observe_waited("waited", start, 2800, 20000);
	observe_so_error("error", fd);
	observe_state("poll", fd);
	observe("again", connect_to(fd, inet_address(HOST, 80)));
}

CASE_SECONDS(silent_connect_user_timeout, 40)
{
	int fd = nonblocking_socket();
	must("TCP_USER_TIMEOUT", set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 500));
	observe("connect", connect_to(fd, inet_address(HOST, 2)));
	observe_poll("poll", fd, POLLIN | POLLOUT | POLLRDHUP, 5000);
	observe_so_error("error", fd);
}

CASE_SECONDS(silent_connect_send_timeout, 40)
{
	int fd = tcp_socket();
	set_timeout(fd, SO_SNDTIMEO, 200);
	observe("connect", connect_to(fd, inet_address(HOST, 2)));
	observe("again", connect_to(fd, inet_address(HOST, 2)));
	observe_state("poll", fd);
}

/* ---- routers that say that there is no way ---- */

static struct sockaddr_in unreachable(int code, int port)
{
	char text[32];
	snprintf(text, sizeof(text), "192.0.2.%d", code);
	return inet_address(text, port);
}

/* To one that connects it is told at once. */
CASE_SECONDS(icmp_to_connecting, 60)
{
	for (int code = 0; code <= 15; code++) {
		char label[16];
		int fd = nonblocking_socket();
		snprintf(label, sizeof(label), "code%d", code);
		must("TCP_USER_TIMEOUT", set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 300));
		connect_to(fd, unreachable(code, 80));
		observe_poll(label, fd, POLLOUT, 20000);
		observe_so_error("error", fd);
	}
}

CASE_SECONDS(icmp_to_blocking_connect, 40)
{
	int fd = tcp_socket();
	observe("host", connect_to(fd, unreachable(1, 80)));
	observe_so_error("error", fd);
	observe("net", connect_to(fd, unreachable(0, 80)));
	observe("admin", connect_to(fd, unreachable(13, 80)));
	observe("then", connect_to(fd, inet_address(HOST, 80)));
}

/* What was said lies in the error queue, without IP_RECVERR, too. */
CASE_SECONDS(icmp_to_connecting_error_queue, 40)
{
	int fd = tcp_socket();
	observe("connect", connect_to(fd, unreachable(1, 80)));
	observe_so_error("error", fd);
	observe_state("poll", fd);
	observe("queue", recv(fd, (char[100]){ 0 }, 100, MSG_ERRQUEUE));
	observe_state("poll", fd);
}

/* It lives as long as the socket, whatever becomes of it; IP_RECVERR that goes off empties it. */
CASE_SECONDS(icmp_to_connecting_error_queue_says, 40)
{
	int fd = tcp_socket();
	observe("host", connect_to(fd, unreachable(1, 80)));
	observe("admin", connect_to(fd, unreachable(13, 81)));
	observe_error_queue("first", fd);
	observe_so_error("error", fd);
	observe_error_queue("second", fd);
	observe_so_error("error", fd);
	observe_error_queue("third", fd);
	observe("net", connect_to(fd, unreachable(0, 80)));
	observe("connect", connect_to(fd, inet_address(HOST, 80)));
	observe_state("connected", fd);
	observe("send", send(fd, "abc", 3, MSG_NOSIGNAL));
	observe_error_queue("queue", fd);
	observe_state("poll", fd);
}

CASE_SECONDS(icmp_to_connecting_error_queue_ends, 40)
{
	struct sockaddr_in nobody = { .sin_family = AF_UNSPEC };
	int fd = tcp_socket();
	observe("host", connect_to(fd, unreachable(1, 80)));
	observe("connect", connect_to(fd, inet_address(HOST, 80)));
	observe("unspec", connect_to(fd, nobody));
	observe_state("poll", fd);
	must("IP_RECVERR", set_int(fd, IPPROTO_IP, IP_RECVERR, 1));
	observe_state("on", fd);
	must("IP_RECVERR", set_int(fd, IPPROTO_IP, IP_RECVERR, 0));
	observe_state("off", fd);
	observe_error_queue("queue", fd);
	observe("host", connect_to(fd, unreachable(1, 80)));
	observe("bind", bind_to(fd, inet_address("0.0.0.0", 5301)));
	observe("listen", listen(fd, 1));
	observe_state("listening", fd);
	observe_error_queue("queue", fd);
	observe_state("poll", fd);
}

CASE_SECONDS(icmp_time_exceeded_to_connecting, 40)
{
	int fd = nonblocking_socket();
	must("TCP_USER_TIMEOUT", set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 300));
	connect_to(fd, inet_address("198.51.100.0", 80));
	observe_poll("poll", fd, POLLOUT, 4000);
	observe_so_error("error", fd);
}

/* To one that is connected it is told by SO_ERROR alone, and is no error
 * of the connection's. */
static void tell_connected(const char *label, int keeps, int type, int code, int more)
{
	char bytes[8];
	int fd = connected_to_host(80);
	must("IP_RECVERR", set_int(fd, IPPROTO_IP, IP_RECVERR, keeps));
	must("send", send(fd, "abc", 3, 0));
	command("mute %d 1", port_of(fd));
	must("send", send(fd, "def", 3, 0));
	command("icmp %d %d %d %d", port_of(fd), type, code, more);
	observe_state(label, fd);
	observe_so_error("error", fd);
	command("mute %d 0", port_of(fd));
	command("text %d xyz", port_of(fd));
	observe_bytes("recv", recv(fd, bytes, sizeof(bytes), 0), bytes);
	close(fd);
}

CASE_SECONDS(icmp_to_connected, 60)
{
	tell_connected("net", 0, 3, 0, 0);
	tell_connected("host", 0, 3, 1, 0);
	tell_connected("protocol", 0, 3, 2, 0);
	tell_connected("port", 0, 3, 3, 0);
	tell_connected("admin", 0, 3, 13, 0);
	tell_connected("exceeded", 0, 11, 0, 0);
	tell_connected("parameter", 0, 12, 0, 0);
	tell_connected("quench", 0, 4, 0, 0);
}

/* With IP_RECVERR it is the connection's, which lives on. */
CASE_SECONDS(icmp_to_connected_that_asks, 60)
{
	tell_connected("net", 1, 3, 0, 0);
	tell_connected("port", 1, 3, 3, 0);
	tell_connected("admin", 1, 3, 13, 0);
	tell_connected("exceeded", 1, 11, 0, 0);
}

CASE_SECONDS(icmp_to_receiving_that_asks, 40)
{
	char byte;
	int fd = connected_to_host(80), port = port_of(fd);
	must("IP_RECVERR", set_int(fd, IPPROTO_IP, IP_RECVERR, 1));
	if (fork() == 0) {
		pause_ms(400);
		command("icmp %d 3 1", port);
		_exit(0);
	}
	command("mute %d 1", port);
	must("send", send(fd, "abc", 3, 0));
	observe("recv", recv(fd, &byte, 1, 0));
	observe_so_error("error", fd);
	command("mute %d 0", port);
	command("text %d x", port);
	observe("recv", recv(fd, &byte, 1, 0));
	observe("queue", recv(fd, &byte, 1, MSG_ERRQUEUE | MSG_DONTWAIT));
}

/* The soft error is what a connection that times out dies of. */
CASE_SECONDS(icmp_then_timeout, 30)
{
	int fd = connected_to_host(80);
	must("TCP_USER_TIMEOUT", set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 1000));
	command("mute %d 1", port_of(fd));
	must("send", send(fd, "abc", 3, 0));
	command("icmp %d 3 1", port_of(fd));
	observe_so_error("error", fd);
	observe_poll("poll", fd, POLLIN, 8000);
	observe_so_error("error", fd);
}

CASE_SECONDS(silence_then_timeout, 30)
{
	int fd = connected_to_host(80);
	must("TCP_USER_TIMEOUT", set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 1000));
	command("mute %d 1", port_of(fd));
	must("send", send(fd, "abc", 3, 0));
	observe_poll("poll", fd, POLLIN, 8000);
	observe_so_error("error", fd);
	observe("send", send(fd, "abc", 3, MSG_NOSIGNAL));
	observe("recv", recv(fd, &(char){ 0 }, 1, 0));
}

static void tell_udp(const char *label, struct sockaddr_in to, int connected, int keeps)
{
	int fd = udp_socket();
	must("IP_RECVERR", set_int(fd, IPPROTO_IP, IP_RECVERR, keeps));
	if (connected)
		must("connect", connect_to(fd, to));
	must("send", sendto(fd, "abc", 3, 0, (struct sockaddr *)&to, sizeof(to)));
	command("sync");
	observe_poll(label, fd, POLLIN, 0);
	observe_so_error("error", fd);
	if (keeps)
		observe_error_queue("queue", fd);
	close(fd);
}

static void tell_udp_all(int connected, int keeps)
{
	static const int codes[] = { 0, 1, 2, 3, 5, 6, 9, 10, 11, 13, 15 };
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		char label[16];
		snprintf(label, sizeof(label), "code%d", codes[i]);
		tell_udp(label, inet_address(HOST, 10 + codes[i]), connected, keeps);
	}
	tell_udp("exceeded", inet_address("198.51.100.0", 53), connected, keeps);
}

CASE_SECONDS(icmp_to_udp_connected, 30)
{
	tell_udp_all(1, 0);
}

CASE_SECONDS(icmp_to_udp_unconnected, 30)
{
	tell_udp_all(0, 0);
}

CASE_SECONDS(icmp_to_udp_error_queue, 30)
{
	tell_udp_all(0, 1);
}

CASE_SECONDS(icmp_to_udp_from_a_router, 40)
{
	tell_udp("net", unreachable(0, 53), 1, 1);
	tell_udp("host", unreachable(1, 53), 0, 1);
	tell_udp("admin", unreachable(13, 53), 0, 1);
}
