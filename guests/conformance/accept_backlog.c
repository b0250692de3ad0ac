/* listen: the queue's length and its overflow, repeated calls, ports that are shared, deferring. */
#define _GNU_SOURCE
#include "conform.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>

static int nonblocking_client(struct sockaddr_in address)
{
	int fd = (int)must("socket", socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	if (connect_to(fd, address) == -1 && errno != EINPROGRESS)
		must("connect", -1);
	return fd;
}

/* How many of some simultaneous connections are there at once. */
static int count_connected(struct sockaddr_in address, int clients)
{
	int connected = 0;
	for (int i = 0; i < clients; i++) {
		struct pollfd entry = { .fd = nonblocking_client(address), .events = POLLOUT };
		connected += poll(&entry, 1, 100) == 1;
	}
	return connected;
}

/* A connection may come into the queue a little after its connect has returned. */
static int count_accepted(int listener)
{
	struct pollfd entry = { .fd = listener, .events = POLLIN };
	int accepted = 0;
	while (poll(&entry, 1, 50) == 1 && accept(listener, NULL, NULL) >= 0)
		accepted++;
	return accepted;
}

static void overflow(int backlog, int clients)
{
	struct sockaddr_in address;
	int listener = tcp_listener(backlog, &address);
	observe("connected", count_connected(address, clients));
	observe("accepted", count_accepted(listener));
}

CASE(backlog_zero)
{
	overflow(0, 4);
}

CASE(backlog_one)
{
	overflow(1, 5);
}

CASE(backlog_five)
{
	overflow(5, 9);
}

CASE(backlog_negative)
{
	overflow(-1, 20);
}

CASE(backlog_large)
{
	overflow(1000000, 20);
}

CASE(listen_twice)
{
	struct sockaddr_in address;
	int listener = tcp_listener(0, &address);
	observe("connected", count_connected(address, 2));
	observe("again", listen(listener, 3));
	observe("connected", count_connected(address, 4));
	observe("smaller", listen(listener, 0));
	observe("connected", count_connected(address, 1));
	observe("accepted", count_accepted(listener));
}

/* What the peer sent while the queue was full is not lost. */
CASE(overflow_is_repeated)
{
	char bytes[8];
	struct sockaddr_in address;
	int listener = full_listener(&address), client = nonblocking_client(address);
	observe_poll("client", client, POLLOUT, 100);
	observe_fd("accept", accept(listener, NULL, NULL));
	long start = now_ms();
	observe_poll("client", client, POLLOUT, -1);
	observe_waited("waited", start, 280, 2500);
	observe("send", send(client, "late", 4, 0));
	int fd = observe_fd("accept", accept(listener, NULL, NULL));
	observe_bytes("recv", recv(fd, bytes, sizeof(bytes), 0), bytes);
}

CASE(listen_unbound)
{
	int listener = tcp_socket();
	observe("listen", listen(listener, 4));
	observe_name("name", listener);
	struct sockaddr_in address = name_of(listener);
	address.sin_addr = inet_address("127.0.0.1", 0).sin_addr;
	observe("connect", connect_to(tcp_socket(), address));
	address.sin_addr = own_address(0).sin_addr;
	observe("own", connect_to(tcp_socket(), address));
	observe("accepted", count_accepted(listener));
}

CASE(bind_after_listen)
{
	int listener = tcp_listener(1, NULL);
	observe("bind", bind_to(listener, inet_address("127.0.0.1", 5321)));
}

/* Two sockets on one port, each with the option, or neither. */
static void listen_both(int option)
{
	int fds[2];
	for (int i = 0; i < 2; i++) {
		fds[i] = tcp_socket();
		if (option)
			must("option", set_int(fds[i], SOL_SOCKET, option, 1));
		observe("bind", bind_to(fds[i], inet_address("127.0.0.1", 5322)));
	}
	observe("first", listen(fds[0], 1));
	observe("second", listen(fds[1], 1));
	observe("close", close(fds[0]));
	observe("second", listen(fds[1], 1));
}

CASE(listen_both_plain)
{
	listen_both(0);
}

CASE(listen_both_reuseaddr)
{
	listen_both(SO_REUSEADDR);
}

CASE(listen_both_reuseport)
{
	listen_both(SO_REUSEPORT);
}

CASE(listen_any_beside_one_address)
{
	struct sockaddr_in everywhere = inet_address("0.0.0.0", 5323);
	struct sockaddr_in loopback = inet_address("127.0.0.1", 5323);
	int any = tcp_socket(), one = tcp_socket();
	set_int(any, SOL_SOCKET, SO_REUSEPORT, 1);
	set_int(one, SOL_SOCKET, SO_REUSEPORT, 1);
	must("bind", bind_to(any, everywhere));
	must("bind", bind_to(one, loopback));
	must("listen", listen(any, 4));
	must("listen", listen(one, 4));
	observe("connect", connect_to(tcp_socket(), loopback));
	observe("connect", connect_to(tcp_socket(), inet_address("127.0.0.2", 5323)));
	observe("any", count_accepted(any));
	observe("one", count_accepted(one));
}

/* SO_REUSEPORT: of many connections each listener gets some, and together they get all. */
CASE(reuseport_distribution)
{
	struct sockaddr_in address = inet_address("127.0.0.1", 5324);
	int fds[4], accepted[4], total = 0, none = 0;
	for (int i = 0; i < 4; i++) {
		fds[i] = tcp_socket();
		must("option", set_int(fds[i], SOL_SOCKET, SO_REUSEPORT, 1));
		must("bind", bind_to(fds[i], address));
		must("listen", listen(fds[i], 128));
	}
	for (int i = 0; i < 96; i++)
		must("connect", connect_to(tcp_socket(), address));
	for (int i = 0; i < 4; i++) {
		accepted[i] = count_accepted(fds[i]);
		total += accepted[i];
		none += accepted[i] < 5;
	}
	observe("total", total);
	observe("starved", none);
}

CASE(restart_of_a_server_with_connections)
{
	struct sockaddr_in address = inet_address("127.0.0.1", 5325);
	int listener = tcp_socket(), client = tcp_socket();
	must("option", set_int(listener, SOL_SOCKET, SO_REUSEADDR, 1));
	must("bind", bind_to(listener, address));
	must("listen", listen(listener, 1));
	must("connect", connect_to(client, address));
	int server = (int)must("accept", accept(listener, NULL, NULL));
	close(listener);
	int plain = tcp_socket(), again = tcp_socket();
	observe("plain", bind_to(plain, address));
	must("option", set_int(again, SOL_SOCKET, SO_REUSEADDR, 1));
	observe("reuse", bind_to(again, address));
	observe("listen", listen(again, 1));
	observe("connect", connect_to(tcp_socket(), address));
	observe("send", send(client, "x", 1, 0));
	observe_poll("poll", server, POLLIN, -1);
}

CASE(defer_accept)
{
	struct sockaddr_in address;
	int listener = tcp_listener(4, &address), client = tcp_socket();
	observe("option", set_int(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5));
	observe_int("read-back", listener, IPPROTO_TCP, TCP_DEFER_ACCEPT);
	observe("connect", connect_to(client, address));
	observe_poll("silent", listener, POLLIN, 200);
	observe("send", send(client, "hello", 5, 0));
	observe_poll("spoke", listener, POLLIN, -1);
	int fd = observe_fd("accept", accept(listener, NULL, NULL));
	observe_poll("poll", fd, POLLIN, 0);
	observe_int("inherited", fd, IPPROTO_TCP, TCP_DEFER_ACCEPT);
}

CASE(defer_accept_of_one_that_closes)
{
	char byte;
	struct sockaddr_in address;
	int listener = tcp_listener(4, &address), client = tcp_socket();
	observe("option", set_int(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5));
	observe("connect", connect_to(client, address));
	observe_poll("silent", listener, POLLIN, 100);
	observe("shutdown", shutdown(client, SHUT_WR));
	observe_poll("closed", listener, POLLIN, -1);
	int fd = observe_fd("accept", accept(listener, NULL, NULL));
	observe("recv", recv(fd, &byte, 1, 0));
}

CASE(defer_accept_values)
{
	static const int values[] = { 0, 1, 2, 3, 4, 7, 8, 30, 100, 1000, -1 };
	int listener = tcp_listener(4, NULL);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		observe("set", set_int(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, values[i]));
		observe_int("get", listener, IPPROTO_TCP, TCP_DEFER_ACCEPT);
	}
}

CASE(queue_in_tcp_info)
{
	struct sockaddr_in address;
	int listener = tcp_listener(7, &address);
	struct tcp_info info;
	socklen_t length = sizeof(info);
	must("connect", connect_to(tcp_socket(), address));
	must("connect", connect_to(tcp_socket(), address));
	memset(&info, 0, sizeof(info));
	while (getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 &&
	       info.tcpi_unacked < 2)
		pause_ms(5);
	observe("state", info.tcpi_state);
	observe("queued", info.tcpi_unacked);
	observe("backlog", info.tcpi_sacked);
}
