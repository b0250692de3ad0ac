/* Addresses and set-up: socket, bind, getsockname and getpeername of AF_INET. */
#define _GNU_SOURCE
#include "conform.h"

#include <arpa/inet.h>
#include <stdio.h>

#define FOREIGN "192.0.2.1" /* RFC 5737: nobody's */

static void *volatile bad_pointer = (void *)16; /* nothing is mapped there */

static void bind_both(struct sockaddr_in address)
{
	int tcp = tcp_socket(), udp = udp_socket();
	observe("tcp", bind_to(tcp, address));
	observe_name("name", tcp);
	observe("udp", bind_to(udp, address));
	observe_name("name", udp);
}

CASE(bind_any)
{
	bind_both(inet_address("0.0.0.0", 5101));
}

CASE(bind_loopback)
{
	bind_both(inet_address("127.0.0.1", 5102));
}

CASE(bind_loopback_net)
{
	bind_both(inet_address("127.1.2.3", 5103));
}

CASE(bind_own)
{
	bind_both(own_address(5104));
}

CASE(bind_foreign)
{
	bind_both(inet_address(FOREIGN, 5105));
}

CASE(bind_port_zero)
{
	bind_both(inet_address("0.0.0.0", 0));
	bind_both(inet_address("127.0.0.1", 0));
}

CASE(bind_twice)
{
	int fd = tcp_socket();
	observe("bind", bind_to(fd, inet_address("127.0.0.1", 5106)));
	observe("again", bind_to(fd, inet_address("127.0.0.1", 5106)));
	observe("other", bind_to(fd, inet_address("127.0.0.1", 5107)));
}

/* A second socket on the port of a first, for each address of either. */
static void second_bind(int type, int option)
{
	static const char *const hosts[] = { "0.0.0.0", "127.0.0.1", "127.0.0.2" };
	char label[40];
	for (int one = 0; one < 3; one++) {
		for (int other = 0; other < 3; other++) {
			int fds[2], on = 1;
			for (int i = 0; i < 2; i++) {
				fds[i] = (int)must("socket", socket(AF_INET, type, 0));
				if (option)
					must("setsockopt", setsockopt(fds[i], SOL_SOCKET, option,
					                              &on, sizeof(on)));
			}
			must("bind", bind_to(fds[0], inet_address(hosts[one], 5108)));
			snprintf(label, sizeof(label), "%s+%s", hosts[one], hosts[other]);
			observe(label, bind_to(fds[1], inet_address(hosts[other], 5108)));
			close(fds[0]);
			close(fds[1]);
		}
	}
}

CASE(bind_in_use_tcp)
{
	second_bind(SOCK_STREAM, 0);
}

CASE(bind_in_use_tcp_reuseaddr)
{
	second_bind(SOCK_STREAM, SO_REUSEADDR);
}

CASE(bind_in_use_tcp_reuseport)
{
	second_bind(SOCK_STREAM, SO_REUSEPORT);
}

CASE(bind_in_use_udp)
{
	second_bind(SOCK_DGRAM, 0);
}

CASE(bind_in_use_udp_reuseaddr)
{
	second_bind(SOCK_DGRAM, SO_REUSEADDR);
}

CASE(bind_listening_reuseaddr)
{
	int first = tcp_socket(), second = tcp_socket(), on = 1;
	setsockopt(first, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(second, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	must("bind", bind_to(first, inet_address("127.0.0.1", 5109)));
	must("listen", listen(first, 1));
	observe("bind", bind_to(second, inet_address("127.0.0.1", 5109)));
}

CASE(bind_bad_address)
{
	int fd = tcp_socket();
	struct sockaddr_in address = inet_address("127.0.0.1", 5110);
	struct sockaddr *name = (struct sockaddr *)&address;
	observe("short", bind(fd, name, sizeof(address) - 1));
	observe("empty", bind(fd, name, 0));
	observe("negative", bind(fd, name, (socklen_t)-1));
	observe("too-long", bind(fd, name, sizeof(struct sockaddr_storage) + 1));
	observe("pointer", bind(fd, bad_pointer, sizeof(address)));
	observe("fd", bind(-1, name, sizeof(address)));
	observe("no-socket", bind(STDOUT_FILENO, name, sizeof(address)));
	address.sin_family = AF_INET6;
	observe("inet6", bind(fd, name, sizeof(address)));
	address.sin_family = AF_UNIX;
	observe("unix", bind(fd, name, sizeof(address)));
	address.sin_family = AF_UNSPEC;
	observe("unspec-host", bind(fd, name, sizeof(address)));
	address.sin_addr.s_addr = htonl(INADDR_ANY);
	observe("unspec-any", bind(fd, name, sizeof(address)));
}

CASE(names_unbound)
{
	int tcp = tcp_socket(), udp = udp_socket();
	observe_name("tcp", tcp);
	observe_peer("peer", tcp);
	observe_name("udp", udp);
	observe_peer("peer", udp);
}

CASE(names_tcp)
{
	struct sockaddr_in address;
	int listener = tcp_listener(1, &address), client = tcp_socket();
	observe_name("listener", listener);
	observe_peer("peer", listener);
	observe("connect", connect_to(client, address));
	int server = observe_fd("accept", accept(listener, NULL, NULL));
	observe_name("client", client);
	observe_peer("peer", client);
	observe_name("server", server);
	observe_peer("peer", server);
	observe("shutdown", shutdown(client, SHUT_WR));
	observe_name("half", client);
	observe_peer("peer", client);
	observe("shutdown", shutdown(client, SHUT_RD));
	observe_name("both", client);
	observe_peer("peer", client);
}

CASE(names_udp)
{
	int pair[2];
	udp_pair(pair);
	observe_name("name", pair[0]);
	observe_peer("peer", pair[0]);
	observe("shutdown", shutdown(pair[0], SHUT_RDWR));
	observe_peer("peer", pair[0]);
	struct sockaddr_in nobody = { .sin_family = AF_UNSPEC };
	observe("dissolve", connect_to(pair[1], nobody));
	observe_name("name", pair[1]);
	observe_peer("peer", pair[1]);
}

CASE(names_short_buffer)
{
	int pair[2];
	tcp_pair(pair);
	struct sockaddr_in address = { 0 };
	socklen_t length = 4, negative = (socklen_t)-1;
	observe("getsockname", getsockname(pair[0], (struct sockaddr *)&address, &length));
	observe("length", length);
	observe("family", address.sin_family);
	observe("host", ntohl(address.sin_addr.s_addr));
	length = 0;
	observe("empty", getpeername(pair[0], (struct sockaddr *)&address, &length));
	observe("length", length);
	observe("negative", getsockname(pair[0], (struct sockaddr *)&address, &negative));
	length = sizeof(address);
	observe("pointer", getsockname(pair[0], bad_pointer, &length));
	observe("no-length", getsockname(pair[0], (struct sockaddr *)&address, bad_pointer));
	observe("fd", getsockname(-1, (struct sockaddr *)&address, &length));
	observe("no-socket", getpeername(STDOUT_FILENO, (struct sockaddr *)&address, &length));
}

CASE(socket_bad_arguments)
{
	observe_fd("domain-negative", socket(-1, SOCK_STREAM, 0));
	observe_fd("domain-999", socket(999, SOCK_STREAM, 0));
	observe_fd("unspec", socket(AF_UNSPEC, SOCK_STREAM, 0));
	observe_fd("appletalk", socket(AF_APPLETALK, SOCK_DGRAM, 0));
	observe_fd("type-0", socket(AF_INET, 0, 0));
	observe_fd("type-9", socket(AF_INET, 9, 0));
	observe_fd("type-15", socket(AF_INET, 15, 0));
	observe_fd("flags", socket(AF_INET, SOCK_STREAM | 0x100000, 0));
	observe_fd("seqpacket", socket(AF_INET, SOCK_SEQPACKET, 0));
	observe_fd("rdm", socket(AF_INET, SOCK_RDM, 0));
	observe_fd("tcp-of-dgram", socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP));
	observe_fd("udp-of-stream", socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
	observe_fd("protocol-negative", socket(AF_INET, SOCK_STREAM, -1));
	observe_fd("protocol-300", socket(AF_INET, SOCK_STREAM, 300));
	observe_fd("tcp", socket(AF_INET, SOCK_STREAM, IPPROTO_TCP));
	observe_fd("udp", socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP));
	observe_fd("unix-protocol", socket(AF_UNIX, SOCK_STREAM, 1));
	observe_fd("unix-protocol-2", socket(AF_UNIX, SOCK_STREAM, 2));
	observe_fd("unix-type", socket(AF_UNIX, SOCK_RDM, 0));
}

CASE(socketpair_bad_arguments)
{
	int pair[2];
	observe("inet", socketpair(AF_INET, SOCK_STREAM, 0, pair));
	observe("inet-dgram", socketpair(AF_INET, SOCK_DGRAM, 0, pair));
	observe("domain", socketpair(999, SOCK_STREAM, 0, pair));
	observe("type", socketpair(AF_UNIX, 0, 0, pair));
	observe("protocol", socketpair(AF_UNIX, SOCK_STREAM, 5, pair));
	observe("flags", socketpair(AF_UNIX, SOCK_STREAM | 0x100000, 0, pair));
	observe("pointer", socketpair(AF_UNIX, SOCK_STREAM, 0, bad_pointer));
}
