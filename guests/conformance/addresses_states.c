/* Addresses: bind in every state of a connection, names in all states. */
#define _GNU_SOURCE
#include "conform.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

static void set_reuse(int fd, int option)
{
	int on = 1;
	if (option)
		must("setsockopt", setsockopt(fd, SOL_SOCKET, option, &on, sizeof(on)));
}

/* A connection whose listening end has this port and this option. */
static void connect_at(int port, int option, int pair[2], int *listener)
{
	*listener = tcp_socket();
	set_reuse(*listener, option);
	must("bind", bind_to(*listener, inet_address("127.0.0.1", port)));
	must("listen", listen(*listener, 5));
	pair[0] = tcp_socket();
	must("connect", connect_to(pair[0], inet_address("127.0.0.1", port)));
	pair[1] = (int)must("accept", accept(*listener, NULL, NULL));
}

static void wait_for(int fd, int events)
{
	struct pollfd entry = { .fd = fd, .events = (short)events };
	must("poll", poll(&entry, 1, 5000));
}

/* What a new socket may do with the port: without and with each option. */
static void try_port(int port)
{
	static const struct {
		const char *name;
		int option;
	} options[] = { { "plain", 0 },
		        { "reuseaddr", SO_REUSEADDR },
		        { "reuseport", SO_REUSEPORT } };
	for (int i = 0; i < 3; i++) {
		int fd = tcp_socket();
		set_reuse(fd, options[i].option);
		int result = bind_to(fd, inet_address("127.0.0.1", port));
		observe(options[i].name, result);
		if (result == 0)
			observe("listen", listen(fd, 1));
		close(fd);
	}
}

#define STATE_CASES(name, port, body)                                                              \
	CASE(name##_plain)                                                                         \
	{                                                                                          \
		body(port, 0);                                                                     \
	}                                                                                          \
	CASE(name##_reuseaddr)                                                                     \
	{                                                                                          \
		body(port + 1, SO_REUSEADDR);                                                      \
	}                                                                                          \
	CASE(name##_reuseport)                                                                     \
	{                                                                                          \
		body(port + 2, SO_REUSEPORT);                                                      \
	}

static void bind_bound(int port, int option)
{
	int fd = tcp_socket();
	set_reuse(fd, option);
	must("bind", bind_to(fd, inet_address("127.0.0.1", port)));
	try_port(port);
}

static void bind_listening(int port, int option)
{
	int fd = tcp_socket();
	set_reuse(fd, option);
	must("bind", bind_to(fd, inet_address("127.0.0.1", port)));
	must("listen", listen(fd, 1));
	try_port(port);
}

static void bind_established(int port, int option)
{
	int pair[2], listener;
	connect_at(port, option, pair, &listener);
	try_port(port);
	close(listener);
	observe_text("listener-closed", "%s", "");
	try_port(port);
}

static void bind_fin_wait_2(int port, int option)
{
	int pair[2], listener;
	connect_at(port, option, pair, &listener);
	close(listener);
	close(pair[1]); /* the end with the port */
	wait_for(pair[0], POLLIN);
	pause_ms(20);
	try_port(port);
}

static void bind_close_wait(int port, int option)
{
	int pair[2], listener;
	connect_at(port, option, pair, &listener);
	close(listener);
	close(pair[0]);
	wait_for(pair[1], POLLIN);
	try_port(port);
}

static void bind_time_wait(int port, int option)
{
	int pair[2], listener;
	connect_at(port, option, pair, &listener);
	close(listener);
	close(pair[1]);
	wait_for(pair[0], POLLIN);
	close(pair[0]);
	pause_ms(30);
	try_port(port);
}

static void bind_client_time_wait(int port, int option)
{
	int listener, pair[2];
	struct sockaddr_in address;
	listener = tcp_listener(1, &address);
	pair[0] = tcp_socket();
	set_reuse(pair[0], option);
	must("bind", bind_to(pair[0], inet_address("127.0.0.1", port)));
	must("connect", connect_to(pair[0], address));
	pair[1] = (int)must("accept", accept(listener, NULL, NULL));
	close(pair[0]);
	wait_for(pair[1], POLLIN);
	close(pair[1]);
	pause_ms(30);
	try_port(port);
}

static void bind_reset(int port, int option)
{
	int pair[2], listener;
	struct linger linger = { 1, 0 };
	connect_at(port, option, pair, &listener);
	close(listener);
	must("linger", setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	close(pair[1]);
	wait_for(pair[0], POLLIN);
	try_port(port);
}

STATE_CASES(state_bind_bound, 5120, bind_bound)
STATE_CASES(state_bind_listening, 5124, bind_listening)
STATE_CASES(state_bind_established, 5128, bind_established)
STATE_CASES(state_bind_fin_wait_2, 5132, bind_fin_wait_2)
STATE_CASES(state_bind_close_wait, 5136, bind_close_wait)
STATE_CASES(state_bind_time_wait, 5140, bind_time_wait)
STATE_CASES(state_bind_client_time_wait, 5144, bind_client_time_wait)
STATE_CASES(state_bind_reset, 5148, bind_reset)

/* States in which bytes or an answer are still awaited: the peer's window is shut. */

static void fill(int fd)
{
	static char bytes[65536];
	for (int i = 0; i < 3; i++, pause_ms(10))
		while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
			;
}

static void bind_syn_sent(int port, int option)
{
	struct sockaddr_in address;
	full_listener(&address);
	int fd = tcp_socket();
	set_reuse(fd, option);
	must("bind", bind_to(fd, inet_address("127.0.0.1", port)));
	set_nonblocking(fd);
	connect_to(fd, address);
	try_port(port);
}

static void bind_fin_wait_1(int port, int option)
{
	int pair[2], listener;
	connect_at(port, option, pair, &listener);
	close(listener);
	fill(pair[1]);
	close(pair[1]);
	try_port(port);
}

static void bind_last_ack(int port, int option)
{
	int pair[2], listener;
	connect_at(port, option, pair, &listener);
	close(listener);
	fill(pair[1]);
	must("shutdown", shutdown(pair[0], SHUT_WR));
	wait_for(pair[1], POLLIN);
	close(pair[1]);
	try_port(port);
}

static void bind_closing(int port, int option)
{
	int pair[2], listener;
	connect_at(port, option, pair, &listener);
	close(listener);
	fill(pair[1]);
	fill(pair[0]);
	must("shutdown", shutdown(pair[0], SHUT_WR));
	must("shutdown", shutdown(pair[1], SHUT_WR));
	try_port(port);
}

STATE_CASES(state_bind_syn_sent, 5164, bind_syn_sent)
STATE_CASES(state_bind_fin_wait_1, 5168, bind_fin_wait_1)
STATE_CASES(state_bind_last_ack, 5172, bind_last_ack)
STATE_CASES(state_bind_closing, 5176, bind_closing)

/* The port of one's own that lies in TIME_WAIT towards a place, for a connection to that place and
 * to another. */
CASE(connect_from_time_wait)
{
	int listener, pair[2], one = 1, fd;
	struct sockaddr_in address, other;
	listener = tcp_listener(4, &address);
	tcp_listener(4, &other);
	pair[0] = tcp_socket();
	set_reuse(pair[0], SO_REUSEADDR);
	must("bind", bind_to(pair[0], inet_address("127.0.0.1", 5180)));
	must("connect", connect_to(pair[0], address));
	pair[1] = (int)must("accept", accept(listener, NULL, NULL));
	close(pair[0]);
	wait_for(pair[1], POLLIN);
	close(pair[1]);
	pause_ms(2200); /* Linux counts whole seconds */
	for (int i = 0; i < 3; i++) {
		fd = tcp_socket();
		must("reuse", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
		observe("bind", bind_to(fd, inet_address("127.0.0.1", 5180)));
		observe(i == 1 ? "other-place" : "same-place",
		        connect_to(fd, i == 1 ? other : address));
	}
}

CASE(listen_beside_time_wait)
{
	int pair[2], listener, again;
	connect_at(5181, SO_REUSEADDR, pair, &listener);
	close(listener);
	close(pair[1]);
	wait_for(pair[0], POLLIN);
	close(pair[0]);
	pause_ms(30);
	connect_at(5181, SO_REUSEADDR, pair, &again);
	observe("send", send(pair[0], "x", 1, 0));
	wait_for(pair[1], POLLIN);
	char byte;
	observe("recv", recv(pair[1], &byte, 1, 0));
}

CASE(reuse_with_other_users)
{
	int first = tcp_socket(), udp = udp_socket();
	set_reuse(first, SO_REUSEPORT);
	set_reuse(udp, SO_REUSEPORT);
	must("bind", bind_to(first, inet_address("127.0.0.1", 5182)));
	must("listen", listen(first, 1));
	must("bind", bind_to(udp, inet_address("127.0.0.1", 5182)));
	must("setuid", setuid(1000));
	int second = tcp_socket(), other = udp_socket();
	set_reuse(second, SO_REUSEPORT);
	set_reuse(other, SO_REUSEPORT);
	observe("tcp", bind_to(second, inet_address("127.0.0.1", 5182)));
	observe("udp", bind_to(other, inet_address("127.0.0.1", 5182)));
}

CASE(bind_option_set_afterwards)
{
	int first = tcp_socket(), second = tcp_socket();
	must("bind", bind_to(first, inet_address("127.0.0.1", 5152)));
	set_reuse(first, SO_REUSEADDR);
	set_reuse(second, SO_REUSEADDR);
	observe("second", bind_to(second, inet_address("127.0.0.1", 5152)));
}

CASE(bind_tcp_and_udp)
{
	observe("tcp", bind_to(tcp_socket(), inet_address("127.0.0.1", 5153)));
	observe("udp", bind_to(udp_socket(), inet_address("127.0.0.1", 5153)));
}

CASE(bind_connected)
{
	int pair[2];
	tcp_pair(pair);
	observe("client", bind_to(pair[0], inet_address("127.0.0.1", 0)));
	observe("server", bind_to(pair[1], inet_address("127.0.0.1", 0)));
	udp_pair(pair);
	observe("udp", bind_to(pair[0], inet_address("127.0.0.1", 0)));
	int fd = tcp_listener(1, NULL);
	observe("listener", bind_to(fd, inet_address("127.0.0.1", 0)));
	fd = udp_socket();
	must("connect", connect_to(fd, inet_address("127.0.0.1", 5154)));
	observe("udp-connected", bind_to(fd, inet_address("127.0.0.1", 5155)));
}

CASE(bind_privileged)
{
	observe("root", bind_to(tcp_socket(), inet_address("127.0.0.1", 1023)));
	observe("setuid", setresuid(1000, 1000, 1000));
	observe("tcp", bind_to(tcp_socket(), inet_address("127.0.0.1", 1022)));
	observe("udp", bind_to(udp_socket(), inet_address("127.0.0.1", 1022)));
	observe("1024", bind_to(tcp_socket(), inet_address("127.0.0.1", 1024)));
}

CASE(bind_broadcast_and_multicast)
{
	static const char *const hosts[] = { "255.255.255.255", "10.0.2.255", "10.0.2.0",
		                             "224.0.0.1",       "239.1.2.3",  "0.0.0.1",
		                             "240.0.0.1" };
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		if (strcmp(hosts[i], "10.0.2.255") == 0)
			continue; /* a broadcast address where who set it up says so */
		observe(hosts[i], bind_to(tcp_socket(), inet_address(hosts[i], 5156)));
		observe("udp", bind_to(udp_socket(), inet_address(hosts[i], 5156)));
	}
}

CASE(bind_ephemeral_differs)
{
	int first = tcp_socket(), second = tcp_socket();
	must("bind", bind_to(first, inet_address("127.0.0.1", 0)));
	must("bind", bind_to(second, inet_address("127.0.0.1", 0)));
	observe("same", name_of(first).sin_port == name_of(second).sin_port);
}

CASE(names_connecting)
{
	struct sockaddr_in full; /* whose queue takes no more */
	int listener = tcp_listener(0, &full), fd = tcp_socket();
	must("connect", connect_to(tcp_socket(), full));
	wait_for(listener, POLLIN);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	observe("connect", connect_to(fd, full));
	observe_name("name", fd);
	observe_peer("peer", fd);
}

CASE(names_refused)
{
	int fd = tcp_socket();
	observe("connect", connect_to(fd, inet_address("127.0.0.1", 5158)));
	observe_name("name", fd);
	observe_peer("peer", fd);
	fd = udp_socket();
	observe("connect", connect_to(fd, inet_address("127.0.0.1", 5158)));
	observe_name("udp", fd);
	observe_peer("peer", fd);
}

CASE(names_any_connected)
{
	struct sockaddr_in address;
	int listener = tcp_socket(), client = tcp_socket();
	must("bind", bind_to(listener, inet_address("0.0.0.0", 5159)));
	must("listen", listen(listener, 1));
	observe_name("listener", listener);
	address = inet_address("0.0.0.0", 5159);
	observe("connect", connect_to(client, address));
	observe_name("client", client);
	observe_peer("peer", client);
	int server = observe_fd("accept", accept(listener, NULL, NULL));
	observe_name("server", server);
	close(client);
	close(server);
	client = tcp_socket();
	observe("own", connect_to(client, own_address(5159)));
	observe_name("client", client);
	server = observe_fd("accept", accept(listener, NULL, NULL));
	observe_name("server", server);
	observe_peer("peer", server);
}

CASE(names_after_reset)
{
	int pair[2];
	struct linger linger = { 1, 0 };
	tcp_pair(pair);
	must("linger", setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	close(pair[1]);
	wait_for(pair[0], POLLIN);
	observe_name("name", pair[0]);
	observe_peer("peer", pair[0]);
}

CASE(names_both_fins)
{
	int pair[2];
	tcp_pair(pair);
	must("shutdown", shutdown(pair[0], SHUT_WR));
	wait_for(pair[1], POLLIN);
	must("shutdown", shutdown(pair[1], SHUT_WR));
	wait_for(pair[0], POLLHUP);
	pause_ms(20);
	observe_name("first", pair[0]);
	observe_peer("peer", pair[0]);
	observe_name("second", pair[1]);
	observe_peer("peer", pair[1]);
}

CASE(names_udp_implicit)
{
	struct sockaddr_in to = inet_address("127.0.0.1", 5160);
	int fd = udp_socket();
	observe("send", sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)));
	observe_name("name", fd);
	observe_peer("peer", fd);
	fd = udp_socket();
	to = gateway_address(5160);
	must("connect", connect_to(fd, to));
	observe_name("gateway", fd);
}

CASE(inet6)
{
	int pair[2];
	observe_fd("tcp", socket(AF_INET6, SOCK_STREAM, 0));
	observe_fd("udp", socket(AF_INET6, SOCK_DGRAM, 0));
	observe("pair", socketpair(AF_INET6, SOCK_STREAM, 0, pair));
}

CASE(other_families)
{
	observe_fd("netlink", socket(AF_NETLINK, SOCK_RAW, 0));
	observe_fd("packet", socket(AF_PACKET, SOCK_RAW, 0));
	observe_fd("raw-icmp", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}
