/* connect of TCP: from and to which addresses and ports, and to oneself. */
#define _GNU_SOURCE
#include "conform.h"

#include <poll.h>

static int nonblocking_socket(void)
{
	return (int)must("socket", socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
}

/* Listens on that port of every address. */
static int listen_everywhere(int port)
{
	int fd = tcp_socket();
	must("bind", bind_to(fd, inet_address("0.0.0.0", port)));
	must("listen", listen(fd, 8));
	return fd;
}

static int bound_socket(struct sockaddr_in address)
{
	int fd = nonblocking_socket();
	must("reuse", set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1));
	must("bind", bind_to(fd, address));
	return fd;
}

static void connect_and_name(const char *label, int fd, struct sockaddr_in address)
{
	observe(label, connect_to(fd, address));
	observe_name("name", fd);
	observe_peer("peer", fd);
}

CASE(to_any)
{
	listen_everywhere(5211);
	connect_and_name("connect", tcp_socket(), inet_address("0.0.0.0", 5211));
}

CASE(to_loopback_net)
{
	listen_everywhere(5212);
	connect_and_name("connect", tcp_socket(), inet_address("127.3.2.1", 5212));
	connect_and_name("last", tcp_socket(), inet_address("127.255.255.254", 5212));
	observe("broadcast", connect_to(tcp_socket(), inet_address("127.255.255.255", 5212)));
}

CASE(to_own)
{
	listen_everywhere(5213);
	connect_and_name("connect", tcp_socket(), own_address(5213));
}

CASE(from_own_to_loopback)
{
	struct sockaddr_in peer;
	socklen_t length = sizeof(peer);
	int listener = listen_everywhere(5214), fd = tcp_socket();
	must("bind", bind_to(fd, own_address(0)));
	connect_and_name("connect", fd, inet_address("127.0.0.1", 5214));
	int got = accept(listener, (struct sockaddr *)&peer, &length);
	observe_address("accept", got, &peer, length);
}

CASE(from_loopback_to_outside)
{
	int fd = tcp_socket();
	must("bind", bind_to(fd, inet_address("127.0.0.1", 0)));
	observe("connect", connect_to(fd, gateway_address(9)));
	observe_name("name", fd);
	observe_so_error("error", fd);
	observe_poll("poll", fd, POLLIN | POLLOUT, 0);
}

CASE(to_port_zero)
{
	int fd = tcp_socket();
	observe("connect", connect_to(fd, inet_address("127.0.0.1", 0)));
	observe_peer("peer", fd);
}

CASE(to_groups)
{
	observe("limited", connect_to(tcp_socket(), inet_address("255.255.255.255", 9)));
	observe("subnet", connect_to(tcp_socket(), inet_address("10.0.2.255", 9)));
	observe("group", connect_to(tcp_socket(), inet_address("224.0.0.1", 9)));
	int fd = tcp_socket();
	observe("option", set_int(fd, SOL_SOCKET, SO_BROADCAST, 1));
	observe("limited", connect_to(fd, inet_address("255.255.255.255", 9)));
	observe_name("name", fd);
}

CASE(to_network_zero)
{
	int fd = nonblocking_socket();
	observe("connect", connect_to(fd, inet_address("0.0.0.5", 9)));
}

CASE(port_in_use_towards_the_same)
{
	listen_everywhere(5215);
	listen_everywhere(5216);
	int first = bound_socket(inet_address("127.0.0.1", 5217));
	int second = bound_socket(inet_address("127.0.0.1", 5217));
	observe("first", connect_to(first, inet_address("127.0.0.1", 5215)));
	observe_poll("poll", first, POLLOUT, -1);
	observe("second", connect_to(second, inet_address("127.0.0.1", 5215)));
	observe_name("name", second);
	observe("elsewhere", connect_to(second, inet_address("127.0.0.1", 5216)));
	observe_poll("poll", second, POLLOUT, -1);
	observe_so_error("error", second);
}

CASE(many_to_one)
{
	listen_everywhere(5218);
	int ports[8], different = 1;
	for (int i = 0; i < 8; i++) {
		int fd = tcp_socket();
		must("connect", connect_to(fd, inet_address("127.0.0.1", 5218)));
		ports[i] = name_of(fd).sin_port;
		for (int j = 0; j < i; j++)
			different &= ports[i] != ports[j];
	}
	observe("different", different);
}

CASE(self)
{
	char bytes[8];
	int fd = bound_socket(inet_address("127.0.0.1", 5219));
	observe("connect", connect_to(fd, inet_address("127.0.0.1", 5219)));
	observe_poll("poll", fd, POLLIN | POLLOUT, -1);
	observe_so_error("error", fd);
	observe_name("name", fd);
	observe_peer("peer", fd);
	observe("send", send(fd, "mine", 4, 0));
	observe_poll("poll", fd, POLLIN, -1);
	observe_bytes("recv", recv(fd, bytes, sizeof(bytes), 0), bytes);
	observe("shutdown", shutdown(fd, SHUT_WR));
	observe_poll("poll", fd, POLLIN | POLLRDHUP, -1);
	observe("recv", recv(fd, bytes, sizeof(bytes), 0));
}

/* Both sides have sent a SYN before they see the other's. The first meets a listener without room,
 * so that it is still on its way when the listener has gone and the second comes from there. */
CASE(simultaneous)
{
	char bytes[8];
	struct sockaddr_in first = inet_address("127.0.0.1", 5220);
	struct sockaddr_in second = inet_address("127.0.0.1", 5221);
	int listener = bound_socket(second);
	must("listen", listen(listener, 0));
	must("fill", connect_to(tcp_socket(), second));
	int one = bound_socket(first);
	observe("first", connect_to(one, second));
	observe_poll("poll", one, POLLIN | POLLOUT, 0);
	close(listener);
	int other = bound_socket(second);
	observe("second", connect_to(other, first));
	observe_poll("second", other, POLLIN | POLLOUT, -1);
	observe_poll("first", one, POLLIN | POLLOUT, -1);
	observe_so_error("error", one);
	observe_so_error("error", other);
	observe_name("name", one);
	observe_peer("peer", one);
	observe("send", send(one, "hello", 5, 0));
	observe_poll("poll", other, POLLIN, -1);
	observe_bytes("recv", recv(other, bytes, sizeof(bytes), 0), bytes);
	observe("send", send(other, "world", 5, 0));
	observe_poll("poll", one, POLLIN, -1);
	observe_bytes("recv", recv(one, bytes, sizeof(bytes), 0), bytes);
}

CASE(twice_from_two_tasks)
{
	struct sockaddr_in address;
	int listener = full_listener(&address), fd = tcp_socket();
	int done[2];
	must("pipe", pipe(done));
	if (fork() == 0) {
		int result = connect_to(fd, address);
		observe("child", result);
		must("write", write(done[1], "x", 1));
		_exit(0);
	}
	pause_ms(100);
	set_nonblocking(fd);
	observe("parent", connect_to(fd, address));
	observe_fd("accept", accept(listener, NULL, NULL));
	char byte;
	must("read", read(done[0], &byte, 1));
	observe("parent", connect_to(fd, address));
}
