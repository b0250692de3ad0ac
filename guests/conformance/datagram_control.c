/* Control messages of datagrams: where they came from, TTL and TOS, the queue of errors. */
#define _GNU_SOURCE
#include "conform.h"

#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct received {
	struct msghdr message;
	struct iovec piece;
	struct sockaddr_in from;
	char bytes[32];
	union {
		char bytes[256];
		struct cmsghdr align;
	} control;
};

static struct received *receive(const char *label, int fd, int flags)
{
	static struct received it;
	memset(&it, 0, sizeof(it));
	it.piece = (struct iovec){ it.bytes, sizeof(it.bytes) };
	it.message = (struct msghdr){ .msg_name = &it.from,
		                      .msg_namelen = sizeof(it.from),
		                      .msg_iov = &it.piece,
		                      .msg_iovlen = 1,
		                      .msg_control = it.control.bytes,
		                      .msg_controllen = sizeof(it.control.bytes) };
	observe_bytes(label, recvmsg(fd, &it.message, flags | MSG_DONTWAIT), it.bytes);
	return &it;
}

static void observe_host(const char *label, struct in_addr address)
{
	char text[INET_ADDRSTRLEN];
	observe_text(label, "%s", inet_ntop(AF_INET, &address, text, sizeof(text)));
}

static void observe_error(const struct cmsghdr *header)
{
	struct sock_extended_err error;
	struct sockaddr_in offender;
	memcpy(&error, CMSG_DATA(header), sizeof(error));
	memcpy(&offender, SO_EE_OFFENDER((struct sock_extended_err *)CMSG_DATA(header)),
	       sizeof(offender));
	observe_text("recverr", "%s,origin-%u,%u/%u,info-%u", strerrorname_np((int)error.ee_errno),
	             error.ee_origin, error.ee_type, error.ee_code, error.ee_info);
	observe_address("offender", 0, &offender, sizeof(offender));
	observe("length", (long)header->cmsg_len);
}

/* Each control message: its name and value. */
static void observe_control(struct received *it)
{
	struct msghdr *message = &it->message;
	int value;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(message); h; h = CMSG_NXTHDR(message, h)) {
		if (h->cmsg_level == IPPROTO_IP && h->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;
			char name[IF_NAMESIZE] = "none";
			memcpy(&info, CMSG_DATA(h), sizeof(info));
			if_indextoname((unsigned)info.ipi_ifindex, name);
			observe_text("pktinfo", "%s", strcmp(name, "lo") == 0 ? name : "device");
			observe_host("spec", info.ipi_spec_dst);
			observe_host("addr", info.ipi_addr);
		} else if (h->cmsg_level == IPPROTO_IP && h->cmsg_type == IP_TTL) {
			memcpy(&value, CMSG_DATA(h), sizeof(value));
			observe("ttl", value);
		} else if (h->cmsg_level == IPPROTO_IP && h->cmsg_type == IP_TOS) {
			observe("tos", *(unsigned char *)CMSG_DATA(h));
			observe("length", (long)h->cmsg_len);
		} else if (h->cmsg_level == IPPROTO_IP && h->cmsg_type == IP_RECVERR) {
			observe_error(h);
		} else {
			observe_text("other", "%d/%d/%ld", h->cmsg_level, h->cmsg_type,
			             (long)h->cmsg_len);
		}
	}
	observe("controllen", (long)message->msg_controllen);
	observe("flags", message->msg_flags);
}

CASE(pktinfo)
{
	int server = udp_socket(), client = udp_socket();
	must("bind", bind_to(server, inet_address("0.0.0.0", 5421)));
	observe("set", set_int(server, IPPROTO_IP, IP_PKTINFO, 1));
	observe_int("get", server, IPPROTO_IP, IP_PKTINFO);
	struct sockaddr_in to[3] = { inet_address("127.0.0.1", 5421),
		                     inet_address("127.4.4.4", 5421), own_address(5421) };
	for (int i = 0; i < 3; i++) {
		must("sendto", sendto(client, "x", 1, 0, (struct sockaddr *)&to[i], sizeof(to[i])));
		observe_control(receive("recv", server, 0));
	}
}

static ssize_t send_control(int fd, struct sockaddr_in to, int type, const void *value,
                            size_t length)
{
	union {
		char bytes[128];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec piece = { "c", 1 };
	struct msghdr message = { .msg_name = &to,
		                  .msg_namelen = sizeof(to),
		                  .msg_iov = &piece,
		                  .msg_iovlen = 1,
		                  .msg_control = control.bytes,
		                  .msg_controllen = CMSG_SPACE(length) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = IPPROTO_IP;
	header->cmsg_type = type;
	header->cmsg_len = CMSG_LEN(length);
	memcpy(CMSG_DATA(header), value, length);
	return sendmsg(fd, &message, 0);
}

CASE(pktinfo_chooses_the_source)
{
	int server = udp_socket(), client = udp_socket();
	must("bind", bind_to(server, inet_address("0.0.0.0", 5422)));
	struct in_pktinfo info = { .ipi_spec_dst = inet_address("127.5.5.5", 0).sin_addr };
	struct sockaddr_in to = inet_address("127.0.0.1", 5422);
	observe("loopback", send_control(client, to, IP_PKTINFO, &info, sizeof(info)));
	struct received *it = receive("recv", server, 0);
	observe_address("from", 0, &it->from, sizeof(it->from));
	info.ipi_spec_dst = own_address(0).sin_addr;
	observe("own", send_control(client, to, IP_PKTINFO, &info, sizeof(info)));
	it = receive("recv", server, 0);
	observe_address("from", 0, &it->from, sizeof(it->from));
	info.ipi_spec_dst = inet_address("192.0.2.9", 0).sin_addr;
	observe("foreign", send_control(client, to, IP_PKTINFO, &info, sizeof(info)));
	observe("short", send_control(client, to, IP_PKTINFO, &info, 4));
	info.ipi_spec_dst.s_addr = 0;
	info.ipi_ifindex = 77;
	observe("no-interface", send_control(client, to, IP_PKTINFO, &info, sizeof(info)));
}

CASE(ttl_and_tos)
{
	int pair[2], value = 7;
	unsigned char byte = 0x28;
	udp_pair(pair);
	observe("recvttl", set_int(pair[1], IPPROTO_IP, IP_RECVTTL, 1));
	observe("recvtos", set_int(pair[1], IPPROTO_IP, IP_RECVTOS, 1));
	send(pair[0], "x", 1, 0);
	observe_control(receive("default", pair[1], 0));
	observe("ttl", set_int(pair[0], IPPROTO_IP, IP_TTL, 33));
	observe("tos", set_int(pair[0], IPPROTO_IP, IP_TOS, 0x10));
	send(pair[0], "x", 1, 0);
	observe_control(receive("options", pair[1], 0));
	observe("cmsg-ttl", send_control(pair[0], name_of(pair[1]), IP_TTL, &value, sizeof(value)));
	observe_control(receive("cmsg", pair[1], 0));
	observe("cmsg-tos", send_control(pair[0], name_of(pair[1]), IP_TOS, &byte, 1));
	observe_control(receive("cmsg", pair[1], 0));
	value = 0;
	observe("ttl-0", send_control(pair[0], name_of(pair[1]), IP_TTL, &value, sizeof(value)));
	value = 256;
	observe("ttl-256", send_control(pair[0], name_of(pair[1]), IP_TTL, &value, sizeof(value)));
	observe("tos-256", send_control(pair[0], name_of(pair[1]), IP_TOS, &value, sizeof(value)));
	observe("unknown", send_control(pair[0], name_of(pair[1]), 99, &value, sizeof(value)));
}

CASE(control_room)
{
	int pair[2];
	char room[24], byte;
	struct iovec piece = { &byte, 1 };
	udp_pair(pair);
	set_int(pair[1], IPPROTO_IP, IP_RECVTTL, 1);
	set_int(pair[1], IPPROTO_IP, IP_PKTINFO, 1);
	size_t rooms[] = { 0, 8, 16, 20, 24 };
	for (int i = 0; i < 5; i++) {
		struct msghdr message = { .msg_iov = &piece,
			                  .msg_iovlen = 1,
			                  .msg_control = room,
			                  .msg_controllen = rooms[i] };
		send(pair[0], "x", 1, 0);
		observe("recvmsg", recvmsg(pair[1], &message, 0));
		observe_text("room", "%ld/%#x", (long)message.msg_controllen, message.msg_flags);
	}
}

CASE(bad_control)
{
	int pair[2];
	char byte = 'x';
	union {
		char bytes[64];
		struct cmsghdr header;
	} control = { 0 };
	struct iovec piece = { &byte, 1 };
	struct msghdr message = { .msg_iov = &piece,
		                  .msg_iovlen = 1,
		                  .msg_control = control.bytes };
	udp_pair(pair);
	message.msg_controllen = 8;
	observe("too-short", sendmsg(pair[0], &message, 0));
	message.msg_controllen = sizeof(control.bytes);
	observe("length-0", sendmsg(pair[0], &message, 0));
	control.header.cmsg_len = 1000;
	observe("length-1000", sendmsg(pair[0], &message, 0));
	control.header =
	        (struct cmsghdr){ .cmsg_len = CMSG_LEN(4), .cmsg_level = 77, .cmsg_type = 1 };
	observe("level", sendmsg(pair[0], &message, 0));
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	observe("rights", sendmsg(pair[0], &message, 0));
	control.header.cmsg_type = 77;
	observe("socket-77", sendmsg(pair[0], &message, 0));
	message.msg_control = (void *)16;
	observe("pointer", sendmsg(pair[0], &message, 0));
	message.msg_controllen = 1 << 20;
	observe("too-long", sendmsg(pair[0], &message, 0));
}

static struct sockaddr_in nobody(void)
{
	int fd = udp_socket();
	must("bind", bind_to(fd, inet_address("127.0.0.1", 5423)));
	struct sockaddr_in address = name_of(fd);
	close(fd);
	return address;
}

CASE(error_queue)
{
	int fd = udp_socket();
	struct sockaddr_in to = nobody();
	observe("set", set_int(fd, IPPROTO_IP, IP_RECVERR, 1));
	observe_int("get", fd, IPPROTO_IP, IP_RECVERR);
	observe("sendto", sendto(fd, "payload", 7, 0, (struct sockaddr *)&to, sizeof(to)));
	observe_poll("poll", fd, POLLIN | POLLOUT, -1);
	struct received *it = receive("queue", fd, MSG_ERRQUEUE);
	observe_control(it);
	observe_address("name", 0, &it->from, sizeof(it->from));
	observe_poll("poll", fd, POLLIN | POLLOUT, 0);
	observe_so_error("error", fd);
	receive("queue", fd, MSG_ERRQUEUE);
}

CASE(error_queue_of_two)
{
	int fd = udp_socket();
	struct sockaddr_in to = nobody();
	set_int(fd, IPPROTO_IP, IP_RECVERR, 1);
	observe("connect", connect_to(fd, to));
	observe("send", send(fd, "first", 5, 0));
	observe_poll("poll", fd, POLLIN, -1);
	observe_so_error("error", fd);
	observe_poll("poll", fd, POLLIN, 0);
	observe("send", send(fd, "second", 6, 0));
	observe_poll("poll", fd, POLLIN, -1);
	observe_control(receive("queue", fd, MSG_ERRQUEUE));
	observe_poll("poll", fd, POLLIN, 0);
	observe_control(receive("queue", fd, MSG_ERRQUEUE));
	receive("queue", fd, MSG_ERRQUEUE);
	observe_poll("poll", fd, POLLIN, 0);
	receive("recv", fd, 0);
}

CASE(error_queue_and_receive)
{
	int fd = udp_socket();
	struct sockaddr_in to = nobody();
	set_int(fd, IPPROTO_IP, IP_RECVERR, 1);
	observe("sendto", sendto(fd, "payload", 7, 0, (struct sockaddr *)&to, sizeof(to)));
	observe_poll("poll", fd, POLLIN, -1);
	receive("recv", fd, 0);
	receive("recv", fd, 0);
	observe_poll("poll", fd, POLLIN, 0);
	observe_control(receive("queue", fd, MSG_ERRQUEUE));
	observe("off", set_int(fd, IPPROTO_IP, IP_RECVERR, 0));
	observe("sendto", sendto(fd, "payload", 7, 0, (struct sockaddr *)&to, sizeof(to)));
	observe_poll("poll", fd, POLLIN, 50);
}

CASE(error_queue_of_what_is_too_long)
{
	static char bytes[2000];
	int fd = udp_socket();
	struct sockaddr_in to = gateway_address(9);
	set_int(fd, IPPROTO_IP, IP_RECVERR, 1);
	set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
	observe("sendto", sendto(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&to, sizeof(to)));
	observe_poll("poll", fd, POLLIN, 0);
	observe_control(receive("queue", fd, MSG_ERRQUEUE));
	observe_so_error("error", fd);
}

CASE(timestamp)
{
	int pair[2];
	udp_pair(pair);
	observe("set", set_int(pair[1], SOL_SOCKET, SO_TIMESTAMP, 1));
	observe_int("get", pair[1], SOL_SOCKET, SO_TIMESTAMP);
	send(pair[0], "x", 1, 0);
	observe_control(receive("recv", pair[1], 0));
	observe("set-ns", set_int(pair[1], SOL_SOCKET, SO_TIMESTAMPNS, 1));
	observe_int("get", pair[1], SOL_SOCKET, SO_TIMESTAMP);
	observe_int("get-ns", pair[1], SOL_SOCKET, SO_TIMESTAMPNS);
	send(pair[0], "x", 1, 0);
	observe_control(receive("recv", pair[1], 0));
}
