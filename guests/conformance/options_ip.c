/* Options of IPPROTO_IP and IPPROTO_UDP: ip(7), udp(7). */
#define _GNU_SOURCE
#include "options.h"

#include <arpa/inet.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define VALUES_CASE(name, option, ...)                                                             \
	CASE(name)                                                                                 \
	{                                                                                          \
		observe_text("tcp", "%s", "");                                                     \
		TRY_VALUES(tcp_socket(), IPPROTO_IP, option, __VA_ARGS__);                         \
		observe_text("udp", "%s", "");                                                     \
		TRY_VALUES(udp_socket(), IPPROTO_IP, option, __VA_ARGS__);                         \
	}

VALUES_CASE(ip_tos, IP_TOS, 0, 1, 3, 16, 0x10, 0x28, 0xe0, 255, 256, 300, -1)
VALUES_CASE(ip_ttl, IP_TTL, 0, 1, 64, 255, 256, -1, -2)
VALUES_CASE(ip_hdrincl, IP_HDRINCL, 0, 1)
VALUES_CASE(ip_router_alert, IP_ROUTER_ALERT, 0, 1)
VALUES_CASE(ip_recvopts, IP_RECVOPTS, 0, 1, 2)
VALUES_CASE(ip_retopts, IP_RETOPTS, 0, 1)
VALUES_CASE(ip_pktinfo, IP_PKTINFO, 0, 1, 2, -1)
VALUES_CASE(ip_pktoptions, IP_PKTOPTIONS, 1)
VALUES_CASE(ip_mtu_discover, IP_MTU_DISCOVER, 0, 1, 2, 3, 4, 5, 6, -1)
VALUES_CASE(ip_recverr, IP_RECVERR, 0, 1, 2, -1)
VALUES_CASE(ip_recvttl, IP_RECVTTL, 0, 1, 2)
VALUES_CASE(ip_recvtos, IP_RECVTOS, 0, 1, 2)
VALUES_CASE(ip_mtu, IP_MTU, 1000)
VALUES_CASE(ip_freebind, IP_FREEBIND, 0, 1, 2, -1)
VALUES_CASE(ip_xfrm_policy, IP_XFRM_POLICY, 1)
VALUES_CASE(ip_passsec, IP_PASSSEC, 0, 1)
VALUES_CASE(ip_transparent, IP_TRANSPARENT, 0, 1)
VALUES_CASE(ip_origdstaddr, IP_ORIGDSTADDR, 0, 1)
VALUES_CASE(ip_minttl, IP_MINTTL, 0, 1, 255, 256, -1)
VALUES_CASE(ip_nodefrag, IP_NODEFRAG, 0, 1)
VALUES_CASE(ip_checksum, IP_CHECKSUM, 0, 1)
VALUES_CASE(ip_bind_address_no_port, IP_BIND_ADDRESS_NO_PORT, 0, 1, 2)
VALUES_CASE(ip_recvfragsize, IP_RECVFRAGSIZE, 0, 1)
VALUES_CASE(ip_recverr_rfc4884, 26, 0, 1, 2)
VALUES_CASE(ip_multicast_ttl, IP_MULTICAST_TTL, 0, 1, 5, 255, 256, -1, -2)
VALUES_CASE(ip_multicast_loop, IP_MULTICAST_LOOP, 0, 1, 2)
VALUES_CASE(ip_multicast_all, IP_MULTICAST_ALL, 0, 1, 2, -1)
VALUES_CASE(ip_unicast_if, IP_UNICAST_IF, 0, 1)
VALUES_CASE(ip_local_port_range, 51, 0, 0x90008000)
VALUES_CASE(ip_protocol, 52, 0)
VALUES_CASE(ip_unknown, 99, 0)
VALUES_CASE(ip_option_zero, 0, 0)

CASE(ip_tos_sizes)
{
	try_sizes(udp_socket(), IPPROTO_IP, IP_TOS);
}

CASE(ip_ttl_sizes)
{
	try_sizes(udp_socket(), IPPROTO_IP, IP_TTL);
}

CASE(ip_pktinfo_sizes)
{
	try_sizes(udp_socket(), IPPROTO_IP, IP_PKTINFO);
}

CASE(ip_multicast_ttl_sizes)
{
	try_sizes(udp_socket(), IPPROTO_IP, IP_MULTICAST_TTL);
}

CASE(ip_tos_priority)
{
	int fd = udp_socket();
	static const int values[] = { 0, 8, 16, 0x10, 2, 4, 0xe0 };
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		observe_set("tos", fd, IPPROTO_IP, IP_TOS, values[i]);
		observe_option("priority", fd, SOL_SOCKET, SO_PRIORITY);
	}
}

CASE(ip_tos_as_user)
{
	int fd = udp_socket();
	observe("setuid", setresuid(1000, 1000, 1000));
	TRY_VALUES(fd, IPPROTO_IP, IP_TOS, 0xa0, 0xc0);
	TRY_VALUES(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
	TRY_VALUES(fd, IPPROTO_IP, IP_FREEBIND, 1);
}

CASE(ip_mtu_connected)
{
	int pair[2];
	udp_pair(pair);
	observe_option("udp-loopback", pair[0], IPPROTO_IP, IP_MTU);
	int fd = udp_socket();
	must("connect", connect_to(fd, gateway_address(5301)));
	observe_option("udp-gateway", fd, IPPROTO_IP, IP_MTU);
	tcp_pair(pair);
	observe_option("tcp-loopback", pair[0], IPPROTO_IP, IP_MTU);
}

CASE(ip_options)
{
	int fd = udp_socket();
	unsigned char got[64];
	socklen_t room = sizeof(got);
	observe("get", getsockopt(fd, IPPROTO_IP, IP_OPTIONS, got, &room));
	observe("length", room);
	observe("clear", setsockopt(fd, IPPROTO_IP, IP_OPTIONS, NULL, 0));
	observe("long", setsockopt(fd, IPPROTO_IP, IP_OPTIONS, got, 41));
}

CASE(ip_freebind_effect)
{
	int fd = udp_socket();
	observe_set("set", fd, IPPROTO_IP, IP_FREEBIND, 1);
	observe("bind", bind_to(fd, inet_address("192.0.2.1", 5302)));
	observe_name("name", fd);
	fd = tcp_socket();
	observe_set("set", fd, IPPROTO_IP, IP_FREEBIND, 1);
	observe("bind", bind_to(fd, inet_address("192.0.2.1", 5302)));
	observe_name("name", fd);
}

/* Addresses that are nobody's here: what may be sent from them, and who answers. */
CASE(ip_freebind_and_transparent_send)
{
	static const struct {
		const char *name;
		int option;
	} ways[] = { { "freebind", IP_FREEBIND }, { "transparent", IP_TRANSPARENT } };
	struct sockaddr_in tcp_address, udp_address;
	char bytes[8];
	int listener = tcp_listener(1, &tcp_address), server = udp_socket();
	must("bind", bind_to(server, inet_address("127.0.0.1", 0)));
	udp_address = name_of(server);
	for (int i = 0; i < 2; i++) {
		observe_text("way", "%s", ways[i].name);
		int fd = tcp_socket();
		observe_set("set", fd, IPPROTO_IP, ways[i].option, 1);
		observe("bind", bind_to(fd, inet_address("192.0.2.1", 5303)));
		set_nonblocking(fd);
		observe("connect", connect_to(fd, tcp_address));
		observe_poll("listener", listener, POLLIN, 200);
		observe_poll("client", fd, POLLOUT, 0);
		close(fd);
		fd = udp_socket();
		observe_set("set", fd, IPPROTO_IP, ways[i].option, 1);
		observe("bind", bind_to(fd, inet_address("192.0.2.1", 5303)));
		observe("send", sendto(fd, "abc", 3, 0, (struct sockaddr *)&udp_address,
		                       sizeof(udp_address)));
		if (poll(&(struct pollfd){ server, POLLIN, 0 }, 1, 200) == 1) {
			struct sockaddr_in from = { 0 };
			socklen_t length = sizeof(from);
			ssize_t got = recvfrom(server, bytes, sizeof(bytes), 0,
			                       (struct sockaddr *)&from, &length);
			observe_bytes("received", got, bytes);
			observe_address("from", 0, &from, length);
			observe("answer",
			        sendto(server, "x", 1, 0, (struct sockaddr *)&from, length));
		}
		observe("connect", connect_to(fd, udp_address));
		close(fd);
	}
}

CASE(ip_bind_address_no_port_effect)
{
	struct sockaddr_in address;
	int listener = tcp_listener(1, &address), fd = tcp_socket();
	observe_set("set", fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	observe("bind", bind_to(fd, inet_address("127.0.0.3", 0)));
	observe_name("name", fd);
	observe("connect", connect_to(fd, address));
	observe_name("name", fd);
	struct sockaddr_in peer;
	socklen_t length = sizeof(peer);
	int result = accept(listener, (struct sockaddr *)&peer, &length);
	observe_address("peer", result == -1 ? -1 : 0, &peer, length);
	fd = udp_socket();
	observe_set("set", fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	observe("bind", bind_to(fd, inet_address("127.0.0.3", 0)));
	observe_name("name", fd);
}

static void receive_control(const char *label, int fd)
{
	char bytes[8], control[256];
	struct sockaddr_in source = { 0 };
	struct iovec vector = { bytes, sizeof(bytes) };
	struct msghdr message = { .msg_name = &source,
		                  .msg_namelen = sizeof(source),
		                  .msg_iov = &vector,
		                  .msg_iovlen = 1,
		                  .msg_control = control,
		                  .msg_controllen = sizeof(control) };
	observe_bytes(label, recvmsg(fd, &message, MSG_DONTWAIT), bytes);
	for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part;
	     part = CMSG_NXTHDR(&message, part)) {
		char text[100] = "?", host[20], spec[20];
		if (part->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;
			memcpy(&info, CMSG_DATA(part), sizeof(info));
			inet_ntop(AF_INET, &info.ipi_addr, host, sizeof(host));
			inet_ntop(AF_INET, &info.ipi_spec_dst, spec, sizeof(spec));
			snprintf(text, sizeof(text), "%d,%s,%s", info.ipi_ifindex, host, spec);
		} else if (part->cmsg_type == IP_ORIGDSTADDR) {
			struct sockaddr_in address;
			memcpy(&address, CMSG_DATA(part), sizeof(address));
			inet_ntop(AF_INET, &address.sin_addr, host, sizeof(host));
			snprintf(text, sizeof(text), "%s,%s", host,
			         address.sin_port == name_of(fd).sin_port ? "own" : "other");
		} else if (part->cmsg_len >= CMSG_LEN(4)) {
			snprintf(text, sizeof(text), "%d", *(int *)(void *)CMSG_DATA(part));
		} else if (part->cmsg_len == CMSG_LEN(1)) {
			snprintf(text, sizeof(text), "%d/1", *CMSG_DATA(part));
		}
		observe_text("cmsg", "%d,%d:%s", part->cmsg_level, part->cmsg_type, text);
	}
}

CASE(ip_control_received)
{
	int pair[2];
	static const int options[] = { IP_PKTINFO, IP_RECVTTL, IP_RECVTOS, IP_RECVORIGDSTADDR };
	udp_pair(pair);
	for (int i = 0; i < 4; i++)
		observe_set("set", pair[0], IPPROTO_IP, options[i], 1);
	observe_set("tos", pair[1], IPPROTO_IP, IP_TOS, 0x28);
	observe_set("ttl", pair[1], IPPROTO_IP, IP_TTL, 33);
	must("send", send(pair[1], "x", 1, 0));
	receive_control("receive", pair[0]);
}

CASE(ip_pktinfo_own_address)
{
	struct sockaddr_in own = own_address(5303);
	int fd = udp_socket(), sender = udp_socket();
	observe_set("set", fd, IPPROTO_IP, IP_PKTINFO, 1);
	must("bind", bind_to(fd, inet_address("0.0.0.0", 5303)));
	must("send", sendto(sender, "x", 1, 0, (struct sockaddr *)&own, sizeof(own)));
	receive_control("own", fd);
	own = inet_address("127.4.5.6", 5303);
	must("send", sendto(sender, "y", 1, 0, (struct sockaddr *)&own, sizeof(own)));
	receive_control("loopback", fd);
}

static void try_membership(int fd, int option, const char *group, const char *host, int index)
{
	struct ip_mreqn request = { .imr_ifindex = index };
	inet_pton(AF_INET, group, &request.imr_multiaddr);
	inet_pton(AF_INET, host, &request.imr_address);
	observe(option == IP_ADD_MEMBERSHIP ? "add" : "drop",
	        setsockopt(fd, IPPROTO_IP, option, &request, sizeof(request)));
}

CASE(ip_membership)
{
	int fd = udp_socket();
	try_membership(fd, IP_ADD_MEMBERSHIP, "239.1.2.3", "127.0.0.1", 0);
	try_membership(fd, IP_ADD_MEMBERSHIP, "239.1.2.3", "127.0.0.1", 0);
	try_membership(fd, IP_ADD_MEMBERSHIP, "239.1.2.3", "10.0.2.15", 0);
	try_membership(fd, IP_ADD_MEMBERSHIP, "239.1.2.4", "0.0.0.0", 1);
	try_membership(fd, IP_ADD_MEMBERSHIP, "239.1.2.5", "192.0.2.1", 0);
	try_membership(fd, IP_ADD_MEMBERSHIP, "239.1.2.5", "0.0.0.0", 77);
	try_membership(fd, IP_ADD_MEMBERSHIP, "10.0.2.2", "127.0.0.1", 0);
	try_membership(fd, IP_DROP_MEMBERSHIP, "239.1.2.3", "127.0.0.1", 0);
	try_membership(fd, IP_DROP_MEMBERSHIP, "239.1.2.3", "127.0.0.1", 0);
	try_membership(fd, IP_DROP_MEMBERSHIP, "239.9.9.9", "127.0.0.1", 0);
	struct ip_mreqn request = { 0 };
	observe("short", setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, 7));
	observe("tcp", setsockopt(tcp_socket(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, 8));
	socklen_t length = sizeof(request);
	observe("get", getsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, &length));
}

CASE(ip_membership_limit)
{
	int fd = udp_socket();
	char group[20];
	int i;
	for (i = 1; i < 100; i++) {
		struct ip_mreqn request = { .imr_ifindex = 1 };
		snprintf(group, sizeof(group), "239.5.5.%d", i);
		inet_pton(AF_INET, group, &request.imr_multiaddr);
		if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request)))
			break;
	}
	observe("last", -1);
	observe("joined", i - 1);
}

CASE(ip_multicast_if)
{
	int fd = udp_socket();
	struct in_addr address = { htonl(INADDR_LOOPBACK) };
	struct ip_mreqn request = { .imr_ifindex = 1 };
	socklen_t length = sizeof(address);
	observe("set", setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &address, sizeof(address)));
	address.s_addr = 0;
	observe("get", getsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &address, &length));
	observe_text("address", "%s/%u", inet_ntoa(address), length);
	observe("index", setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof(request)));
	observe("get", getsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &address, &length));
	observe_text("address", "%s/%u", inet_ntoa(address), length);
	request.imr_ifindex = 77;
	observe("unknown", setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof(request)));
	address = inet_address("192.0.2.1", 0).sin_addr;
	observe("foreign", setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &address, sizeof(address)));
	observe("short", setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &address, 3));
	observe("tcp", setsockopt(tcp_socket(), IPPROTO_IP, IP_MULTICAST_IF, &address, 4));
	address.s_addr = 0;
	observe("any", setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &address, sizeof(address)));
	observe("get", getsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &address, &length));
	observe_text("address", "%s/%u", inet_ntoa(address), length);
}

/* A datagram to a group over loopback: who receives it? */
static void multicast(int join, int all, int loop)
{
	struct sockaddr_in group = inet_address("239.7.7.7", 5304);
	int receiver = udp_socket(), sender = udp_socket();
	struct ip_mreqn request = { .imr_multiaddr = group.sin_addr, .imr_ifindex = 1 };
	struct in_addr address = { htonl(INADDR_LOOPBACK) };
	char bytes[4];
	must("bind", bind_to(receiver, inet_address("0.0.0.0", 5304)));
	if (join)
		must("join", setsockopt(receiver, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request,
		                        sizeof(request)));
	must("all", setsockopt(receiver, IPPROTO_IP, IP_MULTICAST_ALL, &all, sizeof(all)));
	must("interface",
	     setsockopt(sender, IPPROTO_IP, IP_MULTICAST_IF, &address, sizeof(address)));
	must("loop", setsockopt(sender, IPPROTO_IP, IP_MULTICAST_LOOP, &loop, sizeof(loop)));
	observe("send", sendto(sender, "x", 1, 0, (struct sockaddr *)&group, sizeof(group)));
	observe("receive", recv(receiver, bytes, sizeof(bytes), MSG_DONTWAIT));
	close(receiver);
	close(sender);
}

CASE(ip_multicast_delivery)
{
	multicast(1, 1, 1);
	multicast(1, 0, 1);
	multicast(0, 1, 1);
	multicast(1, 1, 0);
}

CASE(udp_options_kinds)
{
	static const int options[] = { UDP_CORK, UDP_ENCAP, 101, 102, UDP_SEGMENT, UDP_GRO, 99 };
	char label[20];
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		snprintf(label, sizeof(label), "option-%d", options[i]);
		observe_text(label, "%s", "");
		TRY_VALUES(udp_socket(), IPPROTO_UDP, options[i], 1, 0);
	}
}

CASE(udp_level_of_tcp)
{
	int fd = tcp_socket();
	observe_set("set", fd, IPPROTO_UDP, UDP_CORK, 1);
	observe_option("get", fd, IPPROTO_UDP, UDP_CORK);
}

CASE(udp_cork_joins)
{
	int pair[2];
	char bytes[16];
	udp_pair(pair);
	observe_set("cork", pair[0], IPPROTO_UDP, UDP_CORK, 1);
	observe("send", send(pair[0], "abc", 3, 0));
	observe("send", send(pair[0], "def", 3, 0));
	observe("held", recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT));
	observe_set("uncork", pair[0], IPPROTO_UDP, UDP_CORK, 0);
	observe_bytes("receive", recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
	observe("more", recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT));
}

CASE(udp_segment_splits)
{
	int pair[2];
	char bytes[16];
	udp_pair(pair);
	observe_set("segment", pair[0], IPPROTO_UDP, UDP_SEGMENT, 3);
	observe("send", send(pair[0], "abcdefgh", 8, 0));
	for (int i = 0; i < 4; i++)
		observe_bytes("receive", recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
	observe_set("too-large", pair[0], IPPROTO_UDP, UDP_SEGMENT, 65536);
}
