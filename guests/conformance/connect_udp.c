/* connect of UDP: names, filtering by peer, and what dissolves it. */
#define _GNU_SOURCE
#include "conform.h"

#include <poll.h>
#include <string.h>

static int bound_udp(const char *host, int port)
{
	int fd = udp_socket();
	must("bind", bind_to(fd, inet_address(host, port)));
	return fd;
}

static void connect_and_name(const char *label, int fd, struct sockaddr_in address)
{
	observe(label, connect_to(fd, address));
	observe_name("name", fd);
	observe_peer("peer", fd);
}

static struct sockaddr_in unspecified(void)
{
	return (struct sockaddr_in){ .sin_family = AF_UNSPEC };
}

static ssize_t send_to(int fd, const char *text, struct sockaddr_in address)
{
	return sendto(fd, text, strlen(text), 0, (struct sockaddr *)&address, sizeof(address));
}

CASE(udp_reconnect)
{
	int fd = udp_socket();
	connect_and_name("first", fd, inet_address("127.0.0.1", 5231));
	connect_and_name("second", fd, inet_address("127.0.0.5", 5232));
	connect_and_name("own", fd, own_address(5231));
	connect_and_name("gateway", fd, gateway_address(9));
	connect_and_name("loopback", fd, inet_address("127.0.0.1", 5231));
}

CASE(udp_dissolve)
{
	int fd = udp_socket();
	observe("fresh", connect_to(fd, unspecified()));
	connect_and_name("connect", fd, inet_address("127.0.0.1", 5233));
	connect_and_name("dissolve", fd, unspecified());
	observe("send", send(fd, "x", 1, 0));
	connect_and_name("again", fd, inet_address("127.0.0.1", 5233));
	struct sockaddr_in address = unspecified();
	observe("short", connect(fd, (struct sockaddr *)&address, 2));
	observe_peer("peer", fd);
}

CASE(udp_dissolve_bound)
{
	int fd = bound_udp("0.0.0.0", 5234);
	connect_and_name("connect", fd, inet_address("127.0.0.1", 5235));
	connect_and_name("dissolve", fd, unspecified());
	fd = bound_udp("127.0.0.1", 0);
	connect_and_name("connect", fd, inet_address("127.0.0.1", 5235));
	connect_and_name("dissolve", fd, unspecified());
}

CASE(udp_to_port_zero)
{
	int fd = udp_socket();
	connect_and_name("connect", fd, inet_address("127.0.0.1", 0));
	observe("send", send(fd, "x", 1, 0));
}

CASE(udp_to_any)
{
	connect_and_name("connect", udp_socket(), inet_address("0.0.0.0", 5236));
}

CASE(udp_to_groups)
{
	int fd = udp_socket();
	observe("limited", connect_to(fd, inet_address("255.255.255.255", 5237)));
	observe("subnet", connect_to(fd, inet_address("10.0.2.255", 5237)));
	observe_name("name", fd);
	observe("option", set_int(fd, SOL_SOCKET, SO_BROADCAST, 1));
	connect_and_name("limited", fd, inet_address("255.255.255.255", 5237));
	connect_and_name("subnet", fd, inet_address("10.0.2.255", 5237));
	connect_and_name("group", udp_socket(), inet_address("224.1.2.3", 5237));
}

CASE(udp_from_loopback_to_outside)
{
	int fd = bound_udp("127.0.0.1", 0);
	observe("connect", connect_to(fd, gateway_address(9)));
	observe_peer("peer", fd);
	observe("sendto", send_to(fd, "x", gateway_address(9)));
}

CASE(udp_bad_arguments)
{
	int fd = udp_socket();
	struct sockaddr_in address = inet_address("127.0.0.1", 5238);
	struct sockaddr *name = (struct sockaddr *)&address;
	observe("short", connect(fd, name, sizeof(address) - 1));
	observe("one-byte", connect(fd, name, 1));
	observe("empty", connect(fd, name, 0));
	address.sin_family = AF_INET6;
	observe("inet6", connect(fd, name, sizeof(address)));
	observe("inet6-short", connect(fd, name, sizeof(address) - 1));
	address.sin_family = AF_UNIX;
	observe("unix", connect(fd, name, sizeof(address)));
	observe("listen", listen(fd, 1));
	observe("accept", accept(fd, NULL, NULL));
}

CASE(udp_nonblocking)
{
	int fd = (int)must("socket", socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	observe("connect", connect_to(fd, inet_address("127.0.0.1", 5239)));
	observe_poll("poll", fd, POLLIN | POLLOUT, 0);
}

CASE(udp_filters_by_peer)
{
	char bytes[16];
	int server = bound_udp("127.0.0.1", 5240), peer = bound_udp("127.0.0.1", 5241);
	int other = bound_udp("127.0.0.1", 5242);
	struct sockaddr_in to = name_of(server);
	observe("early", send_to(other, "early", to));
	observe("connect", connect_to(server, name_of(peer)));
	observe("other", send_to(other, "other", to));
	observe("peer", send_to(peer, "peer", to));
	observe_poll("poll", server, POLLIN, -1);
	observe_bytes("recv", recv(server, bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
	observe_bytes("recv", recv(server, bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
	observe_bytes("recv", recv(server, bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
	observe("dissolve", connect_to(server, unspecified()));
	observe("other", send_to(other, "again", to));
	observe_poll("poll", server, POLLIN, -1);
	observe_bytes("recv", recv(server, bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
}

CASE(udp_send_elsewhere_while_connected)
{
	char bytes[16];
	int fd = udp_socket(), one = bound_udp("127.0.0.1", 5243);
	int other = bound_udp("127.0.0.1", 5244);
	observe("connect", connect_to(fd, name_of(one)));
	observe("sendto", send_to(fd, "named", name_of(other)));
	observe("send", send(fd, "connected", 9, 0));
	observe_poll("one", one, POLLIN, -1);
	observe_bytes("recv", recv(one, bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
	observe_poll("other", other, POLLIN, -1);
	observe_bytes("recv", recv(other, bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
	observe_peer("peer", fd);
}

CASE(udp_self)
{
	char bytes[16];
	int fd = bound_udp("127.0.0.1", 5245);
	observe("connect", connect_to(fd, name_of(fd)));
	observe("send", send(fd, "mine", 4, 0));
	observe_poll("poll", fd, POLLIN, -1);
	observe_bytes("recv", recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
}

/* Of two sockets on one port, the connected one hears its peer. */
CASE(udp_connected_one_is_preferred)
{
	char bytes[16];
	int peer = bound_udp("127.0.0.1", 5246);
	int fds[2];
	for (int i = 0; i < 2; i++) {
		fds[i] = udp_socket();
		must("reuse", set_int(fds[i], SOL_SOCKET, SO_REUSEADDR, 1));
		must("bind", bind_to(fds[i], inet_address("127.0.0.1", 5247)));
	}
	must("connect", connect_to(fds[0], name_of(peer)));
	observe("send", send_to(peer, "peer", inet_address("127.0.0.1", 5247)));
	observe_poll("poll", fds[0], POLLIN, -1);
	observe_bytes("connected", recv(fds[0], bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
	observe_bytes("open", recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
	observe("other",
	        send_to(bound_udp("127.0.0.1", 0), "other", inet_address("127.0.0.1", 5247)));
	observe_poll("poll", fds[1], POLLIN, -1);
	observe_bytes("connected", recv(fds[0], bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
	observe_bytes("open", recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
}
