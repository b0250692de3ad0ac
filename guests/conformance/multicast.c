/* Multicast: who hears what, by which interface it leaves, filters of sources (ip(7), RFC 3678). */
#define _GNU_SOURCE
#include "conform.h"

#include <arpa/inet.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#ifndef IP_MULTICAST_ALL
#define IP_MULTICAST_ALL 49
#endif

static struct in_addr host(const char *text)
{
	return inet_address(text, 0).sin_addr;
}

static struct ip_mreqn request_of(const char *group, const char *interface, int index)
{
	return (struct ip_mreqn){ host(group), host(interface), index };
}

static void join(int fd, const char *group, const char *interface)
{
	struct ip_mreqn request = request_of(group, interface, 0);
	must("join", setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request)));
}

static int receiver(const char *address, int port)
{
	int fd = udp_socket();
	must("reuse", set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1));
	must("bind", bind_to(fd, inet_address(address, port)));
	return fd;
}

/* A sender by that interface, bound to that address unless it is NULL. */
static int sender(const char *interface, const char *address)
{
	int fd = udp_socket();
	struct in_addr by = host(interface);
	if (address)
		must("bind", bind_to(fd, inet_address(address, 0)));
	must("interface", setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &by, sizeof(by)));
	return fd;
}

static void send_to(int fd, const char *group, int port)
{
	struct sockaddr_in to = inet_address(group, port);
	observe("sendto", sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)));
}

/* How many datagrams come. */
static void observe_count(const char *label, int fd)
{
	char bytes[4];
	struct pollfd item = { fd, POLLIN, 0 };
	int count = 0;
	while (poll(&item, 1, 30) > 0 && recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) >= 0)
		count++;
	observe(label, count);
}

static int change_source(int fd, int option, const char *group, const char *interface,
                         const char *source)
{
	struct ip_mreq_source request = { .imr_multiaddr = host(group),
		                          .imr_interface = host(interface),
		                          .imr_sourceaddr = host(source) };
	return setsockopt(fd, IPPROTO_IP, option, &request, sizeof(request));
}

/* ---- delivery ---- */

CASE(members_each_get_one)
{
	int one = receiver("0.0.0.0", 5601), two = receiver("239.2.0.1", 5601);
	int other = receiver("239.2.0.2", 5601), stranger = receiver("0.0.0.0", 5601);
	join(one, "239.2.0.1", "127.0.0.1");
	join(two, "239.2.0.1", "127.0.0.1");
	must("all", set_int(stranger, IPPROTO_IP, IP_MULTICAST_ALL, 0));
	send_to(sender("127.0.0.1", NULL), "239.2.0.1", 5601);
	observe_count("one", one);
	observe_count("two", two);
	observe_count("other-group", other);
	observe_count("stranger", stranger);
}

CASE(memberships_end_with_their_socket)
{
	int fd = receiver("0.0.0.0", 5602), other = receiver("0.0.0.0", 5603);
	int from = sender("127.0.0.1", NULL);
	join(other, "239.2.0.3", "127.0.0.1");
	send_to(from, "239.2.0.3", 5602);
	observe_count("joined-by-other", fd);
	close(other);
	send_to(from, "239.2.0.3", 5602);
	observe_count("closed", fd);
	int pair = dup(fd);
	join(fd, "239.2.0.3", "127.0.0.1");
	close(fd);
	send_to(from, "239.2.0.3", 5602);
	observe_count("duplicate", pair);
}

CASE(all_hosts_need_not_join)
{
	int fd = receiver("0.0.0.0", 5604);
	send_to(sender("127.0.0.1", NULL), "224.0.0.1", 5604);
	observe_count("loopback", fd);
	send_to(udp_socket(), "224.0.0.1", 5604);
	observe_count("device", fd);
}

CASE(own_interface_loops_back)
{
	char own[20];
	int fd = receiver("0.0.0.0", 5605), from = udp_socket();
	snprintf(own, sizeof(own), "%s", inet_ntoa(own_address(0).sin_addr));
	join(fd, "239.2.0.5", own);
	send_to(from, "239.2.0.5", 5605);
	observe_count("by-route", fd);
	must("loop", set_int(from, IPPROTO_IP, IP_MULTICAST_LOOP, 0));
	send_to(from, "239.2.0.5", 5605);
	observe_count("no-loop", fd);
	must("loop", set_int(from, IPPROTO_IP, IP_MULTICAST_LOOP, 1));
	must("ttl", set_int(from, IPPROTO_IP, IP_MULTICAST_TTL, 0));
	send_to(from, "239.2.0.5", 5605);
	observe_count("ttl-0", fd);
	send_to(sender("127.0.0.1", NULL), "239.2.0.5", 5605);
	observe_count("other-interface", fd);
	send_to(sender(own, NULL), "239.2.0.5", 5605);
	observe_count("this-interface", fd);
}

CASE(connected_to_a_group)
{
	int fd = receiver("0.0.0.0", 5606), from = sender("127.0.0.1", NULL);
	join(fd, "239.2.0.6", "127.0.0.1");
	observe("connect", connect_to(from, inet_address("239.2.0.6", 5606)));
	observe_name("name", from);
	observe_peer("peer", from);
	observe("send", send(from, "x", 1, 0));
	observe_count("received", fd);
	observe_count("answer", from);
}

CASE(one_per_socket_of_a_reuseport_group)
{
	int fds[2];
	for (int i = 0; i < 2; i++) {
		fds[i] = udp_socket();
		must("reuse", set_int(fds[i], SOL_SOCKET, SO_REUSEPORT, 1));
		must("bind", bind_to(fds[i], inet_address("0.0.0.0", 5607)));
		join(fds[i], "239.2.0.7", "127.0.0.1");
	}
	send_to(sender("127.0.0.1", NULL), "239.2.0.7", 5607);
	observe_count("one", fds[0]);
	observe_count("two", fds[1]);
}

CASE(large_datagram)
{
	static char bytes[20000], got[30000];
	char own[20];
	int fd = receiver("0.0.0.0", 5608), from = udp_socket();
	snprintf(own, sizeof(own), "%s", inet_ntoa(own_address(0).sin_addr));
	join(fd, "239.2.0.8", own);
	join(fd, "239.2.0.8", "127.0.0.1");
	memset(bytes, 'b', sizeof(bytes));
	struct sockaddr_in to = inet_address("239.2.0.8", 5608);
	observe("device",
	        sendto(from, bytes, sizeof(bytes), 0, (struct sockaddr *)&to, sizeof(to)));
	observe_poll("poll", fd, POLLIN, 1000);
	observe_bytes("recv", recv(fd, got, sizeof(got), MSG_DONTWAIT), got);
	observe("loopback", sendto(sender("127.0.0.1", NULL), bytes, sizeof(bytes), 0,
	                           (struct sockaddr *)&to, sizeof(to)));
	observe_poll("poll", fd, POLLIN, 1000);
	observe_bytes("recv", recv(fd, got, sizeof(got), MSG_DONTWAIT), got);
}

CASE(broadcast_comes_back)
{
	int fd = receiver("0.0.0.0", 5609), from = udp_socket();
	struct sockaddr_in own = own_address(5609);
	own.sin_addr.s_addr |= htonl(255);
	observe("forbidden", sendto(from, "x", 1, 0, (struct sockaddr *)&own, sizeof(own)));
	must("option", set_int(from, SOL_SOCKET, SO_BROADCAST, 1));
	observe("subnet", sendto(from, "x", 1, 0, (struct sockaddr *)&own, sizeof(own)));
	observe_count("received", fd);
	send_to(from, "255.255.255.255", 5609);
	observe_count("received", fd);
}

/* ---- where they leave, and what is told of them ---- */

static void observe_next(const char *label, int fd)
{
	char bytes[8], control[256], from[20], spec[20], to[20];
	struct sockaddr_in source = { 0 };
	struct iovec vector = { bytes, sizeof(bytes) };
	struct msghdr message = { .msg_name = &source,
		                  .msg_namelen = sizeof(source),
		                  .msg_iov = &vector,
		                  .msg_iovlen = 1,
		                  .msg_control = control,
		                  .msg_controllen = sizeof(control) };
	struct pollfd item = { fd, POLLIN, 0 };
	struct in_pktinfo info = { 0 };
	int ttl = -1;
	if (poll(&item, 1, 100) != 1) {
		observe(label, -1);
		return;
	}
	must("recvmsg", recvmsg(fd, &message, MSG_DONTWAIT));
	for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part;
	     part = CMSG_NXTHDR(&message, part)) {
		if (part->cmsg_type == IP_PKTINFO)
			memcpy(&info, CMSG_DATA(part), sizeof(info));
		if (part->cmsg_type == IP_TTL)
			memcpy(&ttl, CMSG_DATA(part), sizeof(ttl));
	}
	inet_ntop(AF_INET, &source.sin_addr, from, sizeof(from));
	inet_ntop(AF_INET, &info.ipi_spec_dst, spec, sizeof(spec));
	inet_ntop(AF_INET, &info.ipi_addr, to, sizeof(to));
	observe_text(label, "%s>%s/%s,if%d,ttl%d", from, to, spec, info.ipi_ifindex, ttl);
}

/* A member by both interfaces that is told all of it. */
static int informed(const char *group, int port)
{
	int fd = receiver("0.0.0.0", port);
	must("info", set_int(fd, IPPROTO_IP, IP_PKTINFO, 1));
	must("ttl", set_int(fd, IPPROTO_IP, IP_RECVTTL, 1));
	join(fd, group, "127.0.0.1");
	join(fd, group, inet_ntoa(own_address(0).sin_addr));
	return fd;
}

CASE(interface_by_index)
{
	int fd = informed("239.2.1.1", 5610), from = udp_socket();
	for (int index = 0; index <= 2; index++) {
		struct ip_mreqn request = { .imr_ifindex = index };
		observe("set",
		        setsockopt(from, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof(request)));
		send_to(from, "239.2.1.1", 5610);
		observe_next("next", fd);
	}
	struct ip_mreqn request = request_of("0.0.0.0", "127.0.0.7", 2);
	observe("both", setsockopt(from, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof(request)));
	send_to(from, "239.2.1.1", 5610);
	request = request_of("0.0.0.0", inet_ntoa(own_address(0).sin_addr), 1);
	observe("crossed",
	        setsockopt(from, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof(request)));
	send_to(from, "239.2.1.1", 5610);
	observe_next("next", fd);
	struct ip_mreq short_request = { host("0.0.0.0"), host("127.0.0.1") };
	observe("mreq", setsockopt(from, IPPROTO_IP, IP_MULTICAST_IF, &short_request,
	                           sizeof(short_request)));
	send_to(from, "239.2.1.1", 5610);
	observe_next("next", fd);
}

CASE(local_group_by_index)
{
	int fd = informed("224.0.0.77", 5611), from = udp_socket();
	for (int index = 0; index <= 2; index++) {
		struct ip_mreqn request = { .imr_ifindex = index };
		must("set",
		     setsockopt(from, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof(request)));
		send_to(from, "224.0.0.77", 5611);
		observe_next("next", fd);
	}
}

CASE(source_address_leads)
{
	int fd = informed("239.2.1.2", 5612);
	send_to(udp_socket(), "239.2.1.2", 5612);
	observe_next("unbound", fd);
	int from = udp_socket();
	must("bind", bind_to(from, inet_address("127.0.0.9", 0)));
	send_to(from, "239.2.1.2", 5612);
	observe_next("loopback", fd);
	from = udp_socket();
	must("bind", bind_to(from, own_address(0)));
	send_to(from, "239.2.1.2", 5612);
	observe_next("own", fd);
	from = udp_socket();
	must("bind", bind_to(from, inet_address("239.2.1.2", 0)));
	send_to(from, "239.2.1.2", 5612);
	observe_next("group", fd);
	send_to(sender("127.0.0.1", "127.0.0.8"), "239.2.1.2", 5612);
	observe_next("both", fd);
	from = sender(inet_ntoa(own_address(0).sin_addr), "127.0.0.8");
	send_to(from, "239.2.1.2", 5612);
	observe_next("foreign", fd);
}

CASE(ttl_of_groups)
{
	int fd = informed("239.2.1.3", 5613), from = sender("127.0.0.1", NULL);
	must("set", set_int(from, IPPROTO_IP, IP_TTL, 77));
	send_to(from, "239.2.1.3", 5613);
	observe_next("unicast-ttl", fd);
	must("set", set_int(from, IPPROTO_IP, IP_MULTICAST_TTL, 9));
	send_to(from, "239.2.1.3", 5613);
	observe_next("multicast-ttl", fd);
	send_to(from, "127.0.0.1", 5613);
	observe_next("unicast", fd);
}

static void send_by(int fd, struct sockaddr_in to, int index, const char *spec)
{
	struct in_pktinfo info = { .ipi_ifindex = index, .ipi_spec_dst = host(spec) };
	char control[CMSG_SPACE(sizeof(info))] = { 0 };
	struct iovec vector = { "x", 1 };
	struct msghdr message = { .msg_name = &to,
		                  .msg_namelen = sizeof(to),
		                  .msg_iov = &vector,
		                  .msg_iovlen = 1,
		                  .msg_control = control,
		                  .msg_controllen = sizeof(control) };
	struct cmsghdr *part = CMSG_FIRSTHDR(&message);
	part->cmsg_level = IPPROTO_IP;
	part->cmsg_type = IP_PKTINFO;
	part->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(part), &info, sizeof(info));
	observe("sendmsg", sendmsg(fd, &message, 0));
}

CASE(information_chooses_the_interface)
{
	int fd = informed("239.2.1.4", 5614), from = udp_socket();
	struct sockaddr_in group = inet_address("239.2.1.4", 5614);
	send_by(from, group, 1, "0.0.0.0");
	observe_next("index-1", fd);
	send_by(from, group, 2, "0.0.0.0");
	observe_next("index-2", fd);
	send_by(from, group, 0, "127.0.0.5");
	observe_next("spec", fd);
	send_by(from, group, 1, "127.0.0.5");
	observe_next("both", fd);
	send_by(from, group, 2, "127.0.0.5");
	observe_next("crossed", fd);
	send_by(from, group, 77, "0.0.0.0");
	send_by(from, group, 0, "192.0.2.1");
	from = sender("127.0.0.1", NULL);
	send_by(from, group, 2, "0.0.0.0");
	observe_next("over-option", fd);
	from = udp_socket();
	must("bind", bind_to(from, inet_address("127.0.0.6", 0)));
	send_by(from, group, 0, "0.0.0.0");
	observe_next("bound", fd);
}

CASE(information_and_one_host)
{
	int fd = informed("239.2.1.5", 5615), from = udp_socket();
	struct sockaddr_in own = own_address(5615), loopback = inet_address("127.0.0.1", 5615);
	send_by(from, own, 2, "0.0.0.0");
	observe_next("own-by-2", fd);
	send_by(from, own, 1, "0.0.0.0");
	observe_next("own-by-1", fd);
	send_by(from, loopback, 1, "0.0.0.0");
	observe_next("loopback-by-1", fd);
	send_by(from, loopback, 0, "127.0.0.3");
	observe_next("spec", fd);
	send_by(from, gateway_address(9), 2, "127.0.0.3");
	from = udp_socket();
	must("bind", bind_to(from, inet_address("127.0.0.6", 0)));
	send_by(from, loopback, 0, "0.0.0.0");
	observe_next("bound", fd);
}

CASE(unicast_interface)
{
	int fd = informed("239.2.1.6", 5616), from = udp_socket();
	observe("loopback", set_int(from, IPPROTO_IP, IP_UNICAST_IF, (int)htonl(1)));
	send_to(from, "127.0.0.1", 5616);
	observe_next("loopback", fd);
	send_to(from, "239.2.1.6", 5616);
	observe_next("group", fd);
	observe("unknown", set_int(from, IPPROTO_IP, IP_UNICAST_IF, (int)htonl(77)));
	observe("device", set_int(from, IPPROTO_IP, IP_UNICAST_IF, (int)htonl(2)));
	send_to(from, inet_ntoa(own_address(0).sin_addr), 5616);
	observe_next("own", fd);
	char byte = 1;
	observe("short", setsockopt(from, IPPROTO_IP, IP_UNICAST_IF, &byte, 1));
}

CASE(device_and_groups)
{
	int fd = receiver("0.0.0.0", 5617), from = udp_socket();
	join(fd, "239.2.1.7", "127.0.0.1");
	join(fd, "239.2.1.7", inet_ntoa(own_address(0).sin_addr));
	must("device", setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
	send_to(from, "239.2.1.7", 5617);
	observe_count("by-device", fd);
	send_to(sender("127.0.0.1", NULL), "239.2.1.7", 5617);
	observe_count("by-loopback", fd);
	must("device", setsockopt(from, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
	send_to(from, "239.2.1.7", 5617);
	observe_count("bound-sender", fd);
	struct ip_mreqn request = { .imr_ifindex = 2 };
	observe("other-device",
	        setsockopt(from, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof(request)));
	request.imr_ifindex = 1;
	observe("this-device",
	        setsockopt(from, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof(request)));
	observe("unicast-if", set_int(from, IPPROTO_IP, IP_UNICAST_IF, (int)htonl(1)));
	observe("drop", setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &request, 8));
}

CASE(dont_route)
{
	int fd = udp_socket();
	struct sockaddr_in far = inet_address("192.0.2.1", 9), near = gateway_address(9),
	                   group = inet_address("239.2.1.8", 9), self = own_address(9);
	observe("far", sendto(fd, "x", 1, MSG_DONTROUTE, (struct sockaddr *)&far, sizeof(far)));
	observe("near", sendto(fd, "x", 1, MSG_DONTROUTE, (struct sockaddr *)&near, sizeof(near)));
	observe("own", sendto(fd, "x", 1, MSG_DONTROUTE, (struct sockaddr *)&self, sizeof(self)));
	observe("group",
	        sendto(fd, "x", 1, MSG_DONTROUTE, (struct sockaddr *)&group, sizeof(group)));
	must("option", set_int(fd, SOL_SOCKET, SO_DONTROUTE, 1));
	observe("far", sendto(fd, "x", 1, 0, (struct sockaddr *)&far, sizeof(far)));
	observe("connect-far", connect_to(fd, far));
	observe("connect-near", connect_to(fd, near));
	int tcp = tcp_socket();
	must("option", set_int(tcp, SOL_SOCKET, SO_DONTROUTE, 1));
	observe("tcp-far", connect_to(tcp, far));
}

/* ---- filters of sources ---- */

CASE(blocked_source)
{
	int fd = receiver("0.0.0.0", 5620);
	int one = sender("127.0.0.1", "127.0.0.2"), two = sender("127.0.0.1", "127.0.0.3");
	observe("not-joined",
	        change_source(fd, IP_BLOCK_SOURCE, "239.2.2.1", "127.0.0.1", "127.0.0.2"));
	join(fd, "239.2.2.1", "127.0.0.1");
	observe("block", change_source(fd, IP_BLOCK_SOURCE, "239.2.2.1", "127.0.0.1", "127.0.0.2"));
	observe("again", change_source(fd, IP_BLOCK_SOURCE, "239.2.2.1", "127.0.0.1", "127.0.0.2"));
	send_to(one, "239.2.2.1", 5620);
	observe_count("blocked", fd);
	send_to(two, "239.2.2.1", 5620);
	observe_count("other", fd);
	observe("include",
	        change_source(fd, IP_ADD_SOURCE_MEMBERSHIP, "239.2.2.1", "127.0.0.1", "127.0.0.3"));
	observe("unblock",
	        change_source(fd, IP_UNBLOCK_SOURCE, "239.2.2.1", "127.0.0.1", "127.0.0.2"));
	observe("again",
	        change_source(fd, IP_UNBLOCK_SOURCE, "239.2.2.1", "127.0.0.1", "127.0.0.2"));
	send_to(one, "239.2.2.1", 5620);
	observe_count("unblocked", fd);
	observe("include",
	        change_source(fd, IP_ADD_SOURCE_MEMBERSHIP, "239.2.2.1", "127.0.0.1", "127.0.0.3"));
}

CASE(included_sources)
{
	int fd = receiver("0.0.0.0", 5621), all = receiver("0.0.0.0", 5621);
	int one = sender("127.0.0.1", "127.0.0.2"), two = sender("127.0.0.1", "127.0.0.3");
	observe("drop-none", change_source(fd, IP_DROP_SOURCE_MEMBERSHIP, "239.2.2.2", "127.0.0.1",
	                                   "127.0.0.2"));
	observe("add",
	        change_source(fd, IP_ADD_SOURCE_MEMBERSHIP, "239.2.2.2", "127.0.0.1", "127.0.0.2"));
	observe("again",
	        change_source(fd, IP_ADD_SOURCE_MEMBERSHIP, "239.2.2.2", "127.0.0.1", "127.0.0.2"));
	struct ip_mreqn request = request_of("239.2.2.2", "127.0.0.1", 0);
	observe("join", setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request)));
	send_to(one, "239.2.2.2", 5621);
	send_to(two, "239.2.2.2", 5621);
	observe_count("included", fd);
	observe_count("no-member", all); /* but the interface takes the one source */
	observe("block", change_source(fd, IP_BLOCK_SOURCE, "239.2.2.2", "127.0.0.1", "127.0.0.3"));
	observe("unblock",
	        change_source(fd, IP_UNBLOCK_SOURCE, "239.2.2.2", "127.0.0.1", "127.0.0.2"));
	observe("add",
	        change_source(fd, IP_ADD_SOURCE_MEMBERSHIP, "239.2.2.2", "127.0.0.1", "127.0.0.3"));
	send_to(two, "239.2.2.2", 5621);
	observe_count("both", fd);
	observe("drop", change_source(fd, IP_DROP_SOURCE_MEMBERSHIP, "239.2.2.2", "127.0.0.1",
	                              "127.0.0.2"));
	observe("last", change_source(fd, IP_DROP_SOURCE_MEMBERSHIP, "239.2.2.2", "127.0.0.1",
	                              "127.0.0.3"));
	observe("left", setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &request, sizeof(request)));
	send_to(two, "239.2.2.2", 5621);
	observe_count("nobody", fd);
}

CASE(filters_of_two_members)
{
	int one = receiver("0.0.0.0", 5622), two = receiver("0.0.0.0", 5622);
	int from = sender("127.0.0.1", "127.0.0.2"), other = sender("127.0.0.1", "127.0.0.3");
	join(one, "239.2.2.3", "127.0.0.1");
	must("block", change_source(one, IP_BLOCK_SOURCE, "239.2.2.3", "127.0.0.1", "127.0.0.2"));
	must("add",
	     change_source(two, IP_ADD_SOURCE_MEMBERSHIP, "239.2.2.3", "127.0.0.1", "127.0.0.2"));
	send_to(from, "239.2.2.3", 5622);
	observe_count("refuses", one);
	observe_count("wants", two);
	send_to(other, "239.2.2.3", 5622);
	observe_count("takes", one);
	observe_count("does-not-want", two);
}

CASE(source_errors)
{
	int fd = udp_socket();
	struct ip_mreq_source request = { 0 };
	static const int options[] = { IP_ADD_SOURCE_MEMBERSHIP, IP_DROP_SOURCE_MEMBERSHIP,
		                       IP_BLOCK_SOURCE, IP_UNBLOCK_SOURCE };
	for (int i = 0; i < 4; i++) {
		observe("no-group",
		        change_source(fd, options[i], "10.1.2.3", "127.0.0.1", "127.0.0.2"));
		observe("foreign",
		        change_source(fd, options[i], "239.2.2.4", "192.0.2.1", "127.0.0.2"));
		observe("short", setsockopt(fd, IPPROTO_IP, options[i], &request, 11));
		observe("long", setsockopt(fd, IPPROTO_IP, options[i], &request, 13));
		observe("pointer", setsockopt(fd, IPPROTO_IP, options[i], (void *)8, 12));
		socklen_t length = sizeof(request);
		observe("get", getsockopt(fd, IPPROTO_IP, options[i], &request, &length));
	}
}

CASE(source_limit)
{
	int fd = udp_socket();
	char source[20];
	join(fd, "239.2.2.5", "127.0.0.1");
	int i;
	for (i = 1; i < 100; i++) {
		snprintf(source, sizeof(source), "10.9.9.%d", i);
		if (change_source(fd, IP_BLOCK_SOURCE, "239.2.2.5", "127.0.0.1", source))
			break;
	}
	observe("last", -1);
	observe("blocked", i - 1);
	observe("known", change_source(fd, IP_BLOCK_SOURCE, "239.2.2.5", "127.0.0.1", "10.9.9.1"));
}

CASE(membership_limit_and_sources)
{
	int fd = udp_socket();
	char group[20];
	int i;
	for (i = 1; i < 100; i++) {
		snprintf(group, sizeof(group), "239.2.3.%d", i);
		if (change_source(fd, IP_ADD_SOURCE_MEMBERSHIP, group, "127.0.0.1", "127.0.0.2"))
			break;
	}
	observe("last", -1);
	observe("joined", i - 1);
	observe("more",
	        change_source(fd, IP_ADD_SOURCE_MEMBERSHIP, "239.2.3.1", "127.0.0.1", "127.0.0.3"));
}

union filter {
	struct ip_msfilter filter;
	unsigned char bytes[IP_MSFILTER_SIZE(16)];
};

static int set_filter(int fd, unsigned int mode, unsigned int count, socklen_t length)
{
	union filter u = { .filter = { .imsf_multiaddr = host("239.2.2.6"),
		                       .imsf_interface = host("127.0.0.1"),
		                       .imsf_fmode = mode,
		                       .imsf_numsrc = count } };
	for (unsigned int i = 0; i < 16; i++) {
		struct in_addr source = { htonl(0x0a010100 + i) };
		memcpy(u.bytes + IP_MSFILTER_SIZE(i), &source, sizeof(source));
	}
	return setsockopt(fd, IPPROTO_IP, IP_MSFILTER, &u, length);
}

static void observe_filter(const char *label, int fd, unsigned int room)
{
	union filter u = { .filter = { .imsf_multiaddr = host("239.2.2.6"),
		                       .imsf_interface = host("127.0.0.1"),
		                       .imsf_numsrc = room } };
	socklen_t length = sizeof(u);
	observe(label, getsockopt(fd, IPPROTO_IP, IP_MSFILTER, &u, &length));
	struct in_addr first = { 0 };
	memcpy(&first, u.bytes + IP_MSFILTER_SIZE(0), sizeof(first));
	observe_text("filter", "%u,%u,%u:%s", u.filter.imsf_fmode, u.filter.imsf_numsrc,
	             (unsigned int)length, inet_ntoa(first));
}

CASE(whole_filter)
{
	int fd = udp_socket();
	observe("not-joined", set_filter(fd, MCAST_INCLUDE, 1, IP_MSFILTER_SIZE(1)));
	observe_filter("get", fd, 10);
	join(fd, "239.2.2.6", "127.0.0.1");
	observe_filter("get", fd, 10);
	observe("include", set_filter(fd, MCAST_INCLUDE, 3, IP_MSFILTER_SIZE(3)));
	observe_filter("get", fd, 10);
	observe_filter("less-room", fd, 2);
	observe_filter("no-room", fd, 0);
	observe("exclude", set_filter(fd, MCAST_EXCLUDE, 2, IP_MSFILTER_SIZE(2)));
	observe_filter("get", fd, 10);
	observe("mode", set_filter(fd, 2, 2, IP_MSFILTER_SIZE(2)));
	observe("cut", set_filter(fd, MCAST_EXCLUDE, 2, IP_MSFILTER_SIZE(1)));
	observe("short", set_filter(fd, MCAST_EXCLUDE, 0, 15));
	observe("ten", set_filter(fd, MCAST_EXCLUDE, 10, IP_MSFILTER_SIZE(10)));
	observe("eleven", set_filter(fd, MCAST_EXCLUDE, 11, IP_MSFILTER_SIZE(11)));
	observe("block", change_source(fd, IP_BLOCK_SOURCE, "239.2.2.6", "127.0.0.1", "10.9.9.1"));
	observe("everything", set_filter(fd, MCAST_EXCLUDE, 0, IP_MSFILTER_SIZE(0)));
	observe_filter("get", fd, 10);
	observe("nothing", set_filter(fd, MCAST_INCLUDE, 0, IP_MSFILTER_SIZE(0)));
	observe_filter("left", fd, 10);
	union filter u;
	socklen_t length = 15;
	observe("short-get", getsockopt(fd, IPPROTO_IP, IP_MSFILTER, &u, &length));
}

/* ---- the protocol-independent ones (RFC 3678 §5) ---- */

static struct group_source_req group_request(const char *group, const char *source, int index)
{
	struct group_source_req request = { .gsr_interface = (uint32_t)index };
	struct sockaddr_in name = inet_address(group, 0);
	memcpy(&request.gsr_group, &name, sizeof(name));
	name = inet_address(source, 0);
	memcpy(&request.gsr_source, &name, sizeof(name));
	return request;
}

static int group_option(int fd, int option, const char *group, const char *source, int index,
                        socklen_t length)
{
	struct group_source_req request = group_request(group, source, index);
	return setsockopt(fd, IPPROTO_IP, option, &request, length);
}

CASE(group_requests)
{
	enum { ONE = sizeof(struct group_req), TWO = sizeof(struct group_source_req) };
	int fd = receiver("0.0.0.0", 5630);
	int one = sender("127.0.0.1", "127.0.0.2"), two = sender("127.0.0.1", "127.0.0.3");
	observe("join", group_option(fd, MCAST_JOIN_GROUP, "239.2.4.1", "0.0.0.0", 1, ONE));
	observe("again", group_option(fd, MCAST_JOIN_GROUP, "239.2.4.1", "0.0.0.0", 1, ONE));
	observe("block", group_option(fd, MCAST_BLOCK_SOURCE, "239.2.4.1", "127.0.0.2", 1, TWO));
	send_to(one, "239.2.4.1", 5630);
	send_to(two, "239.2.4.1", 5630);
	observe_count("received", fd);
	observe("unblock",
	        group_option(fd, MCAST_UNBLOCK_SOURCE, "239.2.4.1", "127.0.0.2", 1, TWO));
	observe("leave", group_option(fd, MCAST_LEAVE_GROUP, "239.2.4.1", "0.0.0.0", 1, ONE));
	observe("again", group_option(fd, MCAST_LEAVE_GROUP, "239.2.4.1", "0.0.0.0", 1, ONE));
	observe("source",
	        group_option(fd, MCAST_JOIN_SOURCE_GROUP, "239.2.4.1", "127.0.0.2", 1, TWO));
	send_to(one, "239.2.4.1", 5630);
	send_to(two, "239.2.4.1", 5630);
	observe_count("received", fd);
	observe("leave",
	        group_option(fd, MCAST_LEAVE_SOURCE_GROUP, "239.2.4.1", "127.0.0.2", 1, TWO));
	observe("unknown", group_option(fd, MCAST_JOIN_GROUP, "239.2.4.1", "0.0.0.0", 77, ONE));
	observe("no-group", group_option(fd, MCAST_JOIN_GROUP, "10.2.4.1", "0.0.0.0", 1, ONE));
	observe("short", group_option(fd, MCAST_JOIN_GROUP, "239.2.4.1", "0.0.0.0", 1, ONE - 1));
	observe("short", group_option(fd, MCAST_JOIN_SOURCE_GROUP, "239.2.4.1", "0.0.0.0", 1, ONE));
	struct group_source_req request = group_request("239.2.4.1", "127.0.0.2", 1);
	request.gsr_source.ss_family = AF_INET6;
	observe("family",
	        setsockopt(fd, IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, &request, sizeof(request)));
	request.gsr_group.ss_family = AF_INET6;
	observe("family", setsockopt(fd, IPPROTO_IP, MCAST_JOIN_GROUP, &request, sizeof(request)));
}

CASE(tcp_sockets_and_groups)
{
	int fd = tcp_socket();
	struct ip_mreqn request = request_of("239.2.4.2", "127.0.0.2", 1);
	for (int option = IP_ADD_MEMBERSHIP; option <= IP_DROP_MEMBERSHIP; option++)
		observe("option", setsockopt(fd, IPPROTO_IP, option, &request, 12));
	observe("loop", set_int(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 0));
	observe("ttl", set_int(fd, IPPROTO_IP, IP_MULTICAST_TTL, 3));
	observe("connect", connect_to(fd, inet_address("239.2.4.2", 9)));
	observe("bind", bind_to(fd, inet_address("239.2.4.2", 5631)));
	observe("listen", listen(fd, 1));
}

CASE(tcp_sockets_join)
{
	int fd = tcp_socket();
	struct group_source_req request = group_request("239.2.4.3", "127.0.0.2", 1);
	static const int options[] = { MCAST_JOIN_GROUP, MCAST_BLOCK_SOURCE, MCAST_UNBLOCK_SOURCE,
		                       MCAST_LEAVE_GROUP, MCAST_JOIN_SOURCE_GROUP };
	for (int i = 0; i < 5; i++)
		observe("option",
		        setsockopt(fd, IPPROTO_IP, options[i], &request, sizeof(request)));
}

static void observe_memberships(int fd)
{
	struct sockaddr_in own = own_address(0);
	struct ip_mreqn plain = { .imr_multiaddr = inet_address("239.2.4.4", 0).sin_addr,
		                  .imr_address = own.sin_addr };
	struct ip_mreq_source source = { .imr_multiaddr = inet_address("239.2.4.5", 0).sin_addr,
		                         .imr_interface = own.sin_addr,
		                         .imr_sourceaddr = inet_address("10.9.8.7", 0).sin_addr };
	struct ip_msfilter filter = { .imsf_multiaddr = source.imr_multiaddr,
		                      .imsf_interface = own.sin_addr };
	socklen_t length = sizeof(filter);
	observe("drop", setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &plain, sizeof(plain)));
	observe("add", setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &plain, sizeof(plain)));
	observe("again", setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &plain, sizeof(plain)));
	observe("get", getsockopt(fd, IPPROTO_IP, IP_MSFILTER, &filter, &length));
	observe("source",
	        setsockopt(fd, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &source, sizeof(source)));
	length = sizeof(filter);
	observe("get", getsockopt(fd, IPPROTO_IP, IP_MSFILTER, &filter, &length));
	observe_text("filter", "%u,%u,%u", filter.imsf_fmode, filter.imsf_numsrc, length);
	filter.imsf_fmode = MCAST_INCLUDE;
	filter.imsf_numsrc = 0;
	observe("set", setsockopt(fd, IPPROTO_IP, IP_MSFILTER, &filter, IP_MSFILTER_SIZE(0)));
	observe("over",
	        setsockopt(fd, IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP, &source, sizeof(source)));
	observe("drop", setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &plain, sizeof(plain)));
	observe("short", setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &plain, 4));
}

CASE(other_sockets_join)
{
	struct sockaddr_in address;
	int pair[2];
	observe_memberships(tcp_socket());
	observe_memberships(tcp_listener(1, &address));
	tcp_pair(pair);
	observe_memberships(pair[1]);
	observe_memberships((int)must("raw", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)));
}

/* As many as a UDP socket may, and they end with it: another may have as many. */
CASE(tcp_sockets_join_many)
{
	for (int round = 0; round < 2; round++) {
		int fd = tcp_socket(), joined = 0;
		for (int i = 0; i < 30; i++) {
			char name[20];
			snprintf(name, sizeof(name), "239.2.5.%d", i);
			struct group_source_req request = group_request(name, "127.0.0.2", 1);
			joined += setsockopt(fd, IPPROTO_IP, MCAST_JOIN_GROUP, &request,
			                     sizeof(request)) == 0;
		}
		observe("joined", joined);
		close(fd);
	}
}

CASE(pointers)
{
	int fd = udp_socket();
	observe("add", setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, (void *)8, 12));
	observe("if", setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, (void *)8, 4));
	observe("filter", setsockopt(fd, IPPROTO_IP, IP_MSFILTER, (void *)8, 16));
	observe("join", setsockopt(fd, IPPROTO_IP, MCAST_JOIN_GROUP, (void *)8, 136));
	socklen_t length = 4;
	observe("get", getsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, (void *)8, &length));
	length = 16;
	observe("get-filter", getsockopt(fd, IPPROTO_IP, IP_MSFILTER, (void *)8, &length));
}
