/* A machine on a wire without a way out of its network: no gateway. */
#define _GNU_SOURCE
#include "conform.h"

#include <poll.h>
#include <string.h>

static const char *const places[] = { "192.0.2.1", "8.8.8.8",   "10.0.3.1", "255.255.255.255",
	                              "127.0.0.1", "10.0.2.15", "0.0.0.0" };
#define PLACES (sizeof(places) / sizeof(places[0]))

CASE(connect_tcp)
{
	for (size_t i = 0; i < PLACES; i++) {
		int fd = tcp_socket();
		set_nonblocking(fd);
		struct pollfd item = { fd, POLLOUT, 0 };
		observe(places[i], connect_to(fd, inet_address(places[i], 9)));
		observe_name("name", fd);
		poll(&item, 1, 1000); /* a refusal may take its time */
		observe_so_error("error", fd);
	}
}

CASE(connect_udp)
{
	for (size_t i = 0; i < PLACES; i++) {
		int fd = udp_socket();
		observe(places[i], connect_to(fd, inet_address(places[i], 9)));
		observe_name("name", fd);
	}
}

CASE(send_udp)
{
	for (size_t i = 0; i < PLACES; i++) {
		struct sockaddr_in to = inet_address(places[i], 9);
		int fd = udp_socket();
		observe(places[i], sendto(fd, "a", 1, 0, (struct sockaddr *)&to, sizeof(to)));
		observe_so_error("error", fd);
	}
}

CASE(send_udp_with_error_queue)
{
	struct sockaddr_in to = inet_address("192.0.2.1", 9);
	int fd = udp_socket();
	must("IP_RECVERR", set_int(fd, IPPROTO_IP, IP_RECVERR, 1));
	observe("send", sendto(fd, "a", 1, 0, (struct sockaddr *)&to, sizeof(to)));
	observe_poll("poll", fd, POLLIN, 0);
	observe_so_error("error", fd);
}

CASE(broadcast)
{
	struct sockaddr_in all = inet_address("255.255.255.255", 9),
	                   net = inet_address("10.0.2.255", 9);
	int fd = udp_socket();
	must("SO_BROADCAST", set_int(fd, SOL_SOCKET, SO_BROADCAST, 1));
	observe("all", sendto(fd, "a", 1, 0, (struct sockaddr *)&all, sizeof(all)));
	observe("net", sendto(fd, "a", 1, 0, (struct sockaddr *)&net, sizeof(net)));
	must("bind", bind_to(fd, inet_address("10.0.2.15", 0)));
	observe("all-bound", sendto(fd, "a", 1, 0, (struct sockaddr *)&all, sizeof(all)));
}

/* A connected socket goes on: the way is looked up again. */
CASE(reconnect)
{
	int fd = udp_socket();
	observe("own", connect_to(fd, inet_address("10.0.2.15", 9)));
	observe("outside", connect_to(fd, inet_address("192.0.2.1", 9)));
	observe_peer("peer", fd);
	observe_name("name", fd);
}
