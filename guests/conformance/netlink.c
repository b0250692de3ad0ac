/* NETLINK_ROUTE as the libraries use it: getifaddrs, if_nameindex, and what they send and receive
 * (netlink(7), rtnetlink(7)). */
#define _GNU_SOURCE
#include "conform.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct request {
	struct nlmsghdr header;
	union {
		struct rtgenmsg general;
		struct ifinfomsg link;
		struct ifaddrmsg address;
		struct rtmsg route;
		char bytes[64];
	};
};

static _Alignas(8) char answer[32768];

static int route_socket(void)
{
	return (int)must("socket", socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
}

static long ask(int fd, int type, int flags, int family)
{
	struct request request = { .header = { NLMSG_LENGTH(sizeof(struct rtmsg)), (uint16_t)type,
		                               (uint16_t)(NLM_F_REQUEST | flags), 7, 0 } };
	request.general.rtgen_family = (unsigned char)family;
	return send(fd, &request, request.header.nlmsg_len, 0);
}

static const struct rtattr *attribute(const struct nlmsghdr *message, size_t body, int type)
{
	int left = (int)(message->nlmsg_len - NLMSG_LENGTH(body));
	const struct rtattr *at =
	        (const struct rtattr *)(const void *)((const char *)message + NLMSG_SPACE(body));
	for (; RTA_OK(at, left); at = RTA_NEXT(at, left)) {
		if (at->rta_type == type)
			return at;
	}
	return NULL;
}

static const char *hex(const struct rtattr *at)
{
	static char text[2][100];
	static int turn;
	char *out = text[turn ^= 1];
	if (!at)
		return "none";
	*out = 0;
	for (size_t i = 0; i < RTA_PAYLOAD(at) && i < 16; i++)
		sprintf(out + 2 * i, "%02x", ((const unsigned char *)RTA_DATA(at))[i]);
	return out;
}

/* Link-layer addresses and counters differ between machines and times. */
static void show_link(const struct nlmsghdr *message)
{
	const struct ifinfomsg *body = NLMSG_DATA(message);
	const size_t size = sizeof(*body);
	const struct rtattr *name = attribute(message, size, IFLA_IFNAME),
	                    *mac = attribute(message, size, IFLA_ADDRESS);
	observe_text("link", "%s,%d,%u,%x,%x", name ? (const char *)RTA_DATA(name) : "?",
	             body->ifi_index, body->ifi_type, body->ifi_flags, body->ifi_change);
	observe_text("mtu", "%s", hex(attribute(message, size, IFLA_MTU)));
	observe_text("txqlen", "%s", hex(attribute(message, size, IFLA_TXQLEN)));
	observe_text("state", "%s", hex(attribute(message, size, IFLA_OPERSTATE)));
	observe_text("carrier", "%s", hex(attribute(message, size, IFLA_CARRIER)));
	observe_text("broadcast", "%s", hex(attribute(message, size, IFLA_BROADCAST)));
	observe_text("address", "%lu", mac ? (unsigned long)RTA_PAYLOAD(mac) : 0);
	observe_text("counters", "%d",
	             attribute(message, size, IFLA_STATS) &&
	                     attribute(message, size, IFLA_STATS64));
}

static void show_address(const struct nlmsghdr *message)
{
	const struct ifaddrmsg *body = NLMSG_DATA(message);
	const size_t size = sizeof(*body);
	const struct rtattr *label = attribute(message, size, IFA_LABEL);
	observe_text("of", "%d,%d,%d,%x,%d,%u", body->ifa_family, body->ifa_prefixlen,
	             body->ifa_scope, body->ifa_flags, body->ifa_index, message->nlmsg_type);
	observe_text("address", "%s", hex(attribute(message, size, IFA_ADDRESS)));
	observe_text("local", "%s", hex(attribute(message, size, IFA_LOCAL)));
	observe_text("label", "%s", label ? (const char *)RTA_DATA(label) : "none");
	observe_text("flags", "%s", hex(attribute(message, size, IFA_FLAGS)));
}

static void show_route(const struct nlmsghdr *message)
{
	const struct rtmsg *body = NLMSG_DATA(message);
	const size_t size = sizeof(*body);
	if (body->rtm_table != RT_TABLE_MAIN)
		return;
	observe_text("route", "%d,%d,%d,%d,%d,%d,%x", body->rtm_family, body->rtm_dst_len,
	             body->rtm_tos, body->rtm_protocol, body->rtm_scope, body->rtm_type,
	             body->rtm_flags);
	observe_text("to", "%s", hex(attribute(message, size, RTA_DST)));
	observe_text("gateway", "%s", hex(attribute(message, size, RTA_GATEWAY)));
	observe_text("by", "%s", hex(attribute(message, size, RTA_OIF)));
	observe_text("source", "%s", hex(attribute(message, size, RTA_PREFSRC)));
	observe_text("table", "%s", hex(attribute(message, size, RTA_TABLE)));
}

/* Receives until the end of a dump, an error or an acknowledgement. */
static void receive(int fd, void (*show)(const struct nlmsghdr *))
{
	for (;;) {
		long length = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
		if (length <= 0) {
			observe("recv", length);
			return;
		}
		const struct nlmsghdr *message = (const struct nlmsghdr *)(const void *)answer;
		for (; NLMSG_OK(message, length); message = NLMSG_NEXT(message, length)) {
			const struct nlmsgerr *error = NLMSG_DATA(message);
			if (message->nlmsg_type == NLMSG_DONE) {
				observe_text("done", "%x,%u,%d", message->nlmsg_flags,
				             message->nlmsg_seq, error->error);
				return;
			}
			if (message->nlmsg_type == NLMSG_ERROR) {
				observe_text("error", "%s,%x,%u,%u,%u",
				             error->error ? strerrorname_np(-error->error) : "0",
				             message->nlmsg_flags, message->nlmsg_len,
				             message->nlmsg_seq, error->msg.nlmsg_type);
				return;
			}
			if (!show)
				continue;
			show(message);
			if (!(message->nlmsg_flags & NLM_F_MULTI)) {
				observe_text("alone", "%x,%u", message->nlmsg_flags,
				             message->nlmsg_type);
				return;
			}
		}
	}
}

CASE(netlink_sockets)
{
	int pair[2];
	observe_fd("raw", socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
	observe_fd("dgram", socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK, NETLINK_ROUTE));
	observe_fd("stream", socket(AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE));
	observe_fd("seqpacket", socket(AF_NETLINK, SOCK_SEQPACKET, NETLINK_ROUTE));
	observe_fd("protocol-31", socket(AF_NETLINK, SOCK_RAW, 31));
	observe_fd("protocol-32", socket(AF_NETLINK, SOCK_RAW, 32));
	observe_fd("protocol-negative", socket(AF_NETLINK, SOCK_RAW, -1));
	observe("pair", socketpair(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE, pair));
	int fd = route_socket();
	observe_int("domain", fd, SOL_SOCKET, SO_DOMAIN);
	observe_int("type", fd, SOL_SOCKET, SO_TYPE);
	observe_int("protocol", fd, SOL_SOCKET, SO_PROTOCOL);
	observe("listen", listen(fd, 1));
	observe("accept", accept(fd, NULL, NULL));
	observe("shutdown", shutdown(fd, SHUT_RDWR));
	observe_poll("poll", fd, POLLIN | POLLOUT, 0);
	observe("recv", recv(fd, answer, sizeof(answer), MSG_DONTWAIT));
	observe("oob", recv(fd, answer, sizeof(answer), MSG_DONTWAIT | MSG_OOB));
	observe("send-oob", send(fd, answer, 4, MSG_OOB));
	observe("send-nothing", send(fd, answer, 0, 0));
}

static void observe_netlink(const char *label, int result, const struct sockaddr_nl *name,
                            socklen_t length)
{
	const char *port = name->nl_pid == (uint32_t)getpid() ? "pid"
	                   : (int32_t)name->nl_pid < 0        ? "negative"
	                                                      : "other";
	char number[16];
	snprintf(number, sizeof(number), "%u", name->nl_pid);
	observe_text(label, "%d,%d,%s,%x/%u", result, name->nl_family,
	             name->nl_pid < 2 || name->nl_pid == 777777 ? number : port, name->nl_groups,
	             length);
}

static void names(const char *label, int fd)
{
	struct sockaddr_nl name = { 0 };
	socklen_t length = sizeof(name);
	int result = getsockname(fd, (struct sockaddr *)&name, &length);
	observe_netlink(label, result, &name, length);
	length = sizeof(name);
	result = getpeername(fd, (struct sockaddr *)&name, &length);
	observe_netlink("peer", result, &name, length);
}

CASE(netlink_names)
{
	struct sockaddr_nl name = { .nl_family = AF_NETLINK };
	const struct sockaddr *address = (const struct sockaddr *)&name;
	int first = route_socket(), second = route_socket(), third = route_socket();
	names("fresh", first);
	observe("bind", bind(first, address, sizeof(name)));
	names("bound", first);
	observe("again", bind(first, address, sizeof(name)));
	name.nl_pid = 777777;
	observe("elsewhere", bind(first, address, sizeof(name)));
	observe("chosen", bind(second, address, sizeof(name)));
	names("chosen", second);
	observe("taken", bind(third, address, sizeof(name)));
	name.nl_pid = 0;
	name.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR;
	observe("groups", bind(third, address, sizeof(name)));
	names("groups", third);
	observe("short", bind(third, address, sizeof(name) - 1));
	name.nl_family = AF_INET;
	observe("family", bind(third, address, sizeof(name)));
	name.nl_family = AF_NETLINK;
	name.nl_groups = 0;
	observe("connect", connect(route_socket(), address, sizeof(name)));
	name.nl_pid = 424242;
	observe("send-to-nobody", sendto(first, answer, 16, 0, address, sizeof(name)));
}

CASE(netlink_links)
{
	int fd = route_socket();
	observe("ask", ask(fd, RTM_GETLINK, NLM_F_DUMP, AF_UNSPEC));
	observe_poll("poll", fd, POLLIN, 1000);
	receive(fd, show_link);
}

CASE(netlink_addresses)
{
	int fd = route_socket();
	observe("ask", ask(fd, RTM_GETADDR, NLM_F_DUMP, AF_INET));
	receive(fd, show_address);
}

CASE(netlink_routes)
{
	int fd = route_socket();
	observe("ask", ask(fd, RTM_GETROUTE, NLM_F_DUMP, AF_INET));
	receive(fd, show_route);
}

static void ask_one(const char *label, int index, const char *name)
{
	int fd = route_socket();
	struct request request = { .header = { NLMSG_LENGTH(sizeof(struct ifinfomsg)), RTM_GETLINK,
		                               NLM_F_REQUEST, 9, 0 } };
	request.link.ifi_index = index;
	if (name) {
		struct rtattr *at =
		        (struct rtattr *)(void *)((char *)&request +
		                                  NLMSG_ALIGN(request.header.nlmsg_len));
		at->rta_type = IFLA_IFNAME;
		at->rta_len = (unsigned short)RTA_LENGTH(strlen(name) + 1);
		strcpy(RTA_DATA(at), name);
		request.header.nlmsg_len =
		        (uint32_t)(NLMSG_ALIGN(request.header.nlmsg_len) + RTA_ALIGN(at->rta_len));
	}
	observe(label, send(fd, &request, request.header.nlmsg_len, 0));
	receive(fd, show_link);
	close(fd);
}

CASE(netlink_one_link)
{
	ask_one("loopback", 1, NULL);
	ask_one("card", 0, "eth0");
	ask_one("unknown-index", 99, NULL);
	ask_one("unknown-name", 0, "none0");
	ask_one("neither", 0, NULL);
}

CASE(netlink_refusals)
{
	int fd = route_socket();
	const int zero = 0, one = 1;
	struct request request = { .header = { NLMSG_LENGTH(sizeof(struct rtmsg)), RTM_MAX + 4,
		                               NLM_F_REQUEST, 3, 0 } };
	observe("unknown", send(fd, &request, request.header.nlmsg_len, 0));
	receive(fd, NULL);
	request.header.nlmsg_type = NLMSG_NOOP;
	observe("noop", send(fd, &request, request.header.nlmsg_len, 0));
	receive(fd, NULL);
	request.header.nlmsg_flags |= NLM_F_ACK;
	observe("noop-ack", send(fd, &request, request.header.nlmsg_len, 0));
	receive(fd, NULL);
	request.header.nlmsg_type = RTM_GETLINK;
	request.header.nlmsg_flags = NLM_F_DUMP;
	observe("no-request", send(fd, &request, request.header.nlmsg_len, 0));
	receive(fd, NULL);
	request.header.nlmsg_len = 8;
	observe("length", send(fd, &request, 32, 0));
	receive(fd, NULL);
	request.header.nlmsg_len = 64;
	observe("cut", send(fd, &request, 32, 0));
	receive(fd, NULL);
	observe("cap-ack", setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one)));
	request.header = (struct nlmsghdr){ NLMSG_LENGTH(sizeof(struct rtmsg)), RTM_MAX + 4,
		                            NLM_F_REQUEST, 3, 0 };
	observe("capped", send(fd, &request, request.header.nlmsg_len, 0));
	receive(fd, NULL);
	observe("ext-ack", setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one)));
	observe("strict", setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &zero, sizeof(zero)));
	observe("short", setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, 2));
	observe("unknown-option", setsockopt(fd, SOL_NETLINK, 99, &one, sizeof(one)));
	observe("membership",
	        setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &one, sizeof(one)));
	observe_int("ext-ack", fd, SOL_NETLINK, NETLINK_EXT_ACK);
	observe_int("strict", fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK);
	observe("wrong-level", setsockopt(fd, IPPROTO_IP, 1, &one, sizeof(one)));
	must("setuid", setuid(1000));
	request.header = (struct nlmsghdr){ NLMSG_LENGTH(sizeof(struct ifaddrmsg)), RTM_NEWADDR,
		                            NLM_F_REQUEST, 4, 0 };
	observe("user", send(fd, &request, request.header.nlmsg_len, 0));
	receive(fd, NULL);
	observe("dump-as-user", ask(fd, RTM_GETLINK, NLM_F_DUMP, AF_UNSPEC));
	receive(fd, NULL);
}

/* As iproute2 does: how long is it, and then the bytes; too little room; the sender's name. */
CASE(netlink_receive_flags)
{
	int fd = route_socket();
	struct sockaddr_nl name = { 0 };
	char small[20];
	must("ask", ask(fd, RTM_GETLINK, NLM_F_DUMP, AF_UNSPEC));
	long whole = recv(fd, NULL, 0, MSG_PEEK | MSG_TRUNC);
	observe_text("peek", "%d", whole > 100);
	socklen_t length = sizeof(name);
	long again =
	        recvfrom(fd, answer, sizeof(answer), MSG_PEEK, (struct sockaddr *)&name, &length);
	observe_text("same", "%d", again == whole);
	observe_netlink("from", 0, &name, length);
	struct iovec vector = { small, sizeof(small) };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
	observe("little-room", recvmsg(fd, &message, MSG_DONTWAIT));
	observe_text("flags", "%x", message.msg_flags);
}

CASE(netlink_queue_overflows)
{
	int fd = route_socket();
	const struct nlmsghdr request = { NLMSG_LENGTH(0), NLMSG_NOOP, NLM_F_REQUEST | NLM_F_ACK, 5,
		                          0 };
	for (int i = 0; i < 2000; i++)
		must("send", send(fd, &request, sizeof(request), 0));
	observe_poll("poll", fd, POLLIN | POLLOUT, 0);
	observe("recv", recv(fd, answer, sizeof(answer), MSG_DONTWAIT));
	observe("recv", recv(fd, answer, sizeof(answer), MSG_DONTWAIT));
	while (recv(fd, answer, sizeof(answer), MSG_DONTWAIT) > 0)
		;
	observe("ask", ask(fd, RTM_GETLINK, NLM_F_DUMP, AF_UNSPEC));
	receive(fd, NULL);
}

CASE(getifaddrs_tells)
{
	struct ifaddrs *all;
	observe("getifaddrs", getifaddrs(&all));
	for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
		int family = at->ifa_addr ? at->ifa_addr->sa_family : -1;
		if (family == AF_INET6)
			continue;
		observe_text("name", "%s,%d,%x", at->ifa_name, family, at->ifa_flags);
		if (family == AF_INET) {
			observe_address("address", 0, at->ifa_addr, sizeof(struct sockaddr_in));
			observe_address("mask", 0, at->ifa_netmask, sizeof(struct sockaddr_in));
		} else if (family == AF_PACKET) {
			const struct sockaddr_ll *link =
			        (const struct sockaddr_ll *)(const void *)at->ifa_addr;
			observe_text("link", "%d,%d,%d,%d", link->sll_ifindex, link->sll_hatype,
			             link->sll_halen, at->ifa_data != NULL);
		}
	}
}

CASE(if_nameindex_tells)
{
	struct if_nameindex *all = if_nameindex();
	for (const struct if_nameindex *at = all; at && at->if_index; at++)
		observe_text("interface", "%u,%s", at->if_index, at->if_name);
}
