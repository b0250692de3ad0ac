/* sendmmsg, recvmmsg, timeouts and signals of datagrams, corking, SO_REUSEPORT, groups. */
#define _GNU_SOURCE
#include "conform.h"

#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#define BATCH 5

static void *volatile bad_pointer = (void *)16; /* nothing is mapped there */

struct batch {
	struct mmsghdr messages[BATCH];
	struct iovec pieces[BATCH];
	char bytes[BATCH][16];
};

/* Messages with the texts 0, 11, 222, ..., or room for as many. */
static struct batch *batch(void)
{
	static struct batch batches[4];
	static int used;
	struct batch *it = &batches[used++];
	for (int i = 0; i < BATCH; i++) {
		memset(it->bytes[i], '0' + i, sizeof(it->bytes[i]));
		it->pieces[i] = (struct iovec){ it->bytes[i], (size_t)i + 1 };
		it->messages[i].msg_hdr.msg_iov = &it->pieces[i];
		it->messages[i].msg_hdr.msg_iovlen = 1;
		it->messages[i].msg_len = 99;
	}
	return it;
}

static struct batch *room(void)
{
	struct batch *it = batch();
	memset(it->bytes, 0, sizeof(it->bytes));
	for (int i = 0; i < BATCH; i++)
		it->pieces[i].iov_len = sizeof(it->bytes[i]);
	return it;
}

static void observe_lengths(const char *label, const struct batch *it)
{
	char text[100] = "";
	for (int i = 0; i < BATCH; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%u", i ? "," : "",
		         it->messages[i].msg_len);
	observe_text(label, "%s", text);
}

static void observe_receive(const char *label, int fd)
{
	char bytes[64];
	observe_bytes(label, recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
}

CASE(many_sent_and_received)
{
	int pair[2];
	struct batch *out = batch(), *in = room();
	udp_pair(pair);
	observe("sendmmsg", sendmmsg(pair[0], out->messages, BATCH, 0));
	observe_lengths("sent", out);
	observe("recvmmsg", recvmmsg(pair[1], in->messages, BATCH, 0, NULL));
	observe_lengths("received", in);
	observe_bytes("last", in->messages[4].msg_len, in->bytes[4]);
	observe("none", recvmmsg(pair[1], in->messages, BATCH, MSG_DONTWAIT, NULL));
	observe("zero-send", sendmmsg(pair[0], out->messages, 0, 0));
	observe("zero-receive", recvmmsg(pair[1], in->messages, 0, MSG_DONTWAIT, NULL));
}

CASE(many_partly_there)
{
	int pair[2];
	struct batch *in = room();
	udp_pair(pair);
	send(pair[0], "one", 3, 0);
	send(pair[0], "second", 6, 0);
	observe("dontwait", recvmmsg(pair[1], in->messages, BATCH, MSG_DONTWAIT, NULL));
	observe_lengths("received", in);
	send(pair[0], "one", 3, 0);
	send(pair[0], "two", 3, 0);
	observe("waitforone", recvmmsg(pair[1], in->messages, BATCH, MSG_WAITFORONE, NULL));
	set_timeout(pair[1], SO_RCVTIMEO, 100);
	send(pair[0], "one", 3, 0);
	observe("rcvtimeo", recvmmsg(pair[1], in->messages, BATCH, 0, NULL));
	observe("rcvtimeo", recvmmsg(pair[1], in->messages, BATCH, 0, NULL));
	observe("waitforone", recvmmsg(pair[1], in->messages, BATCH, MSG_WAITFORONE, NULL));
}

CASE(many_waitforone_waits)
{
	int pair[2];
	struct batch *in = room();
	udp_pair(pair);
	if (fork() == 0) {
		pause_ms(100);
		send(pair[0], "late", 4, 0);
		pause();
	}
	observe("recvmmsg", recvmmsg(pair[1], in->messages, BATCH, MSG_WAITFORONE, NULL));
	observe_lengths("received", in);
}

/* The timeout is looked at after each datagram only. */
CASE(many_timeout)
{
	int pair[2];
	struct batch *in = room();
	struct timespec time = { 0, 100000000 }, negative = { -1, 0 }, crooked = { 0, 1000000000 };
	udp_pair(pair);
	if (fork() == 0) {
		send(pair[0], "one", 3, 0);
		pause_ms(300);
		send(pair[0], "two", 3, 0);
		pause();
	}
	observe("recvmmsg", recvmmsg(pair[1], in->messages, BATCH, 0, &time));
	observe_text("left", "%ld.%09ld", (long)time.tv_sec, time.tv_nsec);
	observe("negative", recvmmsg(pair[1], in->messages, BATCH, 0, &negative));
	observe("crooked", recvmmsg(pair[1], in->messages, BATCH, 0, &crooked));
	observe("pointer", recvmmsg(pair[1], in->messages, BATCH, 0, bad_pointer));
	time = (struct timespec){ 0, 0 };
	send(pair[0], "three", 5, 0);
	send(pair[0], "four", 4, 0);
	observe("zero", recvmmsg(pair[1], in->messages, BATCH, 0, &time));
	observe("dontwait", recvmmsg(pair[1], in->messages, BATCH, MSG_DONTWAIT, &time));
}

CASE(many_send_fails_part_way)
{
	int pair[2];
	struct batch *out = batch();
	udp_pair(pair);
	out->pieces[2].iov_base = bad_pointer;
	observe("sendmmsg", sendmmsg(pair[0], out->messages, BATCH, 0));
	observe_lengths("sent", out);
	observe("at-once", sendmmsg(pair[0], out->messages + 2, BATCH - 2, 0));
	observe_receive("recv", pair[1]);
	observe_receive("recv", pair[1]);
	observe_receive("recv", pair[1]);
	observe("pointer", sendmmsg(pair[0], bad_pointer, BATCH, 0));
	observe("fd", sendmmsg(-1, out->messages, BATCH, 0));
	observe("no-socket", sendmmsg(STDOUT_FILENO, out->messages, BATCH, 0));
}

CASE(many_receive_fails_part_way)
{
	int pair[2];
	struct batch *in = room();
	udp_pair(pair);
	in->pieces[1].iov_base = bad_pointer;
	for (int i = 0; i < 3; i++)
		send(pair[0], "data", 4, 0);
	observe("recvmmsg", recvmmsg(pair[1], in->messages, BATCH, MSG_DONTWAIT, NULL));
	observe_lengths("received", in);
	observe_so_error("error", pair[1]);
	observe_receive("recv", pair[1]);
	observe_receive("recv", pair[1]);
	observe("pointer", recvmmsg(pair[1], bad_pointer, BATCH, MSG_DONTWAIT, NULL));
	observe("fd", recvmmsg(-1, in->messages, BATCH, 0, NULL));
}

CASE(many_over_a_stream)
{
	int pair[2];
	struct batch *out = batch(), *in = room();
	tcp_pair(pair);
	observe("sendmmsg", sendmmsg(pair[0], out->messages, BATCH, 0));
	observe_lengths("sent", out);
	pause_ms(50);
	in->pieces[0].iov_len = 2;
	observe("recvmmsg", recvmmsg(pair[1], in->messages, BATCH, MSG_DONTWAIT, NULL));
	observe("first", in->messages[0].msg_len);
	observe("second", in->messages[1].msg_len);
}

CASE(many_refused)
{
	int fd = udp_socket(), gone = udp_socket();
	struct batch *out = batch(), *in = room();
	must("bind", bind_to(gone, inet_address("127.0.0.1", 0)));
	must("connect", connect_to(fd, name_of(gone)));
	close(gone);
	send(fd, "x", 1, 0);
	observe_poll("poll", fd, POLLIN, -1);
	observe("sendmmsg", sendmmsg(fd, out->messages, 1, 0));
	observe("sendmmsg", sendmmsg(fd, out->messages, 1, 0));
	observe_poll("poll", fd, POLLIN, -1);
	observe("recvmmsg", recvmmsg(fd, in->messages, BATCH, MSG_DONTWAIT, NULL));
	observe("recvmmsg", recvmmsg(fd, in->messages, BATCH, MSG_DONTWAIT, NULL));
}

CASE(receive_timeout)
{
	int pair[2];
	char byte;
	udp_pair(pair);
	set_timeout(pair[1], SO_RCVTIMEO, 100);
	long start = now_ms();
	observe("recv", recv(pair[1], &byte, 1, 0));
	observe("read", read(pair[1], &byte, 1));
	observe_waited("waited", start, 180, 1500);
	observe("dontwait", recv(pair[1], &byte, 1, MSG_DONTWAIT));
	set_timeout(pair[1], SO_RCVTIMEO, 5000);
	interrupt_after(100, SA_RESTART);
	observe("interrupted", recv(pair[1], &byte, 1, 0));
}

CASE(receive_interrupted)
{
	int pair[2];
	char bytes[8];
	udp_pair(pair);
	interrupt_after(100, 0);
	observe("recv", recv(pair[1], bytes, 8, 0));
	if (fork() == 0) {
		pause_ms(300);
		send(pair[0], "late", 4, 0);
		pause();
	}
	interrupt_after(100, SA_RESTART);
	observe_bytes("restarted", recv(pair[1], bytes, 8, 0), bytes);
}

/* ---- corking ---- */

CASE(more_makes_one_datagram)
{
	int pair[2];
	udp_pair(pair);
	observe("more", send(pair[0], "ab", 2, MSG_MORE));
	observe("more", send(pair[0], "cd", 2, MSG_MORE));
	observe_receive("held", pair[1]);
	observe("last", send(pair[0], "ef", 2, 0));
	observe_receive("recv", pair[1]);
	observe_receive("recv", pair[1]);
	observe("more", send(pair[0], "gh", 2, MSG_MORE));
	observe("empty", send(pair[0], "", 0, 0));
	observe_receive("recv", pair[1]);
	observe("more", send(pair[0], "lost", 4, MSG_MORE));
	close(pair[0]);
	observe_poll("poll", pair[1], POLLIN, 50);
}

CASE(more_and_the_destination)
{
	int fd = udp_socket(), one = udp_socket(), other = udp_socket();
	must("bind", bind_to(one, inet_address("127.0.0.1", 5411)));
	must("bind", bind_to(other, inet_address("127.0.0.1", 5412)));
	struct sockaddr_in first = name_of(one), second = name_of(other);
	observe("first", sendto(fd, "ab", 2, MSG_MORE, (struct sockaddr *)&first, sizeof(first)));
	observe("second", sendto(fd, "cd", 2, 0, (struct sockaddr *)&second, sizeof(second)));
	observe_receive("one", one);
	observe_receive("other", other);
	observe("first", sendto(fd, "ab", 2, MSG_MORE, (struct sockaddr *)&first, sizeof(first)));
	observe("none", send(fd, "cd", 2, 0));
	observe_receive("one", one);
}

CASE(cork)
{
	int pair[2];
	udp_pair(pair);
	observe_int("default", pair[0], IPPROTO_UDP, UDP_CORK);
	observe("cork", set_int(pair[0], IPPROTO_UDP, UDP_CORK, 1));
	observe_int("get", pair[0], IPPROTO_UDP, UDP_CORK);
	observe("send", send(pair[0], "ab", 2, 0));
	observe("write", write(pair[0], "cd", 2));
	observe_receive("held", pair[1]);
	observe("uncork", set_int(pair[0], IPPROTO_UDP, UDP_CORK, 0));
	observe_receive("recv", pair[1]);
	observe("cork", set_int(pair[0], IPPROTO_UDP, UDP_CORK, 1));
	observe("uncork", set_int(pair[0], IPPROTO_UDP, UDP_CORK, 0));
	observe_receive("none", pair[1]);
}

CASE(cork_too_long)
{
	static char bytes[40000];
	int pair[2];
	udp_pair(pair);
	observe("more", send(pair[0], bytes, 40000, MSG_MORE));
	observe("more", send(pair[0], bytes, 40000, MSG_MORE));
	observe("last", send(pair[0], bytes, 100, 0));
	observe("recv", recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT | MSG_TRUNC));
	observe_receive("none", pair[1]);
}

/* ---- many sockets on one port ---- */

CASE(reuseport_distribution)
{
	int fds[4], total = 0, starved = 0;
	struct sockaddr_in address = inet_address("127.0.0.1", 5413);
	char byte;
	for (int i = 0; i < 4; i++) {
		fds[i] = udp_socket();
		must("option", set_int(fds[i], SOL_SOCKET, SO_REUSEPORT, 1));
		must("bind", bind_to(fds[i], address));
	}
	for (int i = 0; i < 100; i++) {
		int client = udp_socket();
		must("sendto",
		     sendto(client, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)));
		close(client);
	}
	for (int i = 0; i < 4; i++) {
		int received = 0;
		while (recv(fds[i], &byte, 1, MSG_DONTWAIT) == 1)
			received++;
		total += received;
		starved += received < 5;
	}
	observe("total", total);
	observe("starved", starved);
}

CASE(reuseport_one_flow_stays)
{
	int fds[3], client = udp_socket(), owners = 0;
	struct sockaddr_in address = inet_address("127.0.0.1", 5414);
	char byte;
	for (int i = 0; i < 3; i++) {
		fds[i] = udp_socket();
		must("option", set_int(fds[i], SOL_SOCKET, SO_REUSEPORT, 1));
		must("bind", bind_to(fds[i], address));
	}
	for (int i = 0; i < 20; i++)
		must("sendto",
		     sendto(client, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)));
	for (int i = 0; i < 3; i++)
		owners += recv(fds[i], &byte, 1, MSG_DONTWAIT) == 1;
	observe("owners", owners);
}

CASE(reuseaddr_the_youngest)
{
	int fds[3];
	struct sockaddr_in address = inet_address("127.0.0.1", 5415);
	for (int i = 0; i < 3; i++) {
		fds[i] = udp_socket();
		must("option", set_int(fds[i], SOL_SOCKET, SO_REUSEADDR, 1));
		must("bind", bind_to(fds[i], address));
	}
	sendto(udp_socket(), "x", 1, 0, (struct sockaddr *)&address, sizeof(address));
	for (int i = 0; i < 3; i++)
		observe_receive("recv", fds[i]);
}

/* ---- groups ---- */

static int member(const char *group, int port)
{
	int fd = udp_socket();
	struct ip_mreqn request = { .imr_multiaddr = inet_address(group, 0).sin_addr,
		                    .imr_address = inet_address("127.0.0.1", 0).sin_addr };
	must("reuse", set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1));
	must("bind", bind_to(fd, inet_address("0.0.0.0", port)));
	observe("join", setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request)));
	return fd;
}

static int group_sender(void)
{
	int fd = udp_socket();
	struct in_addr loopback = inet_address("127.0.0.1", 0).sin_addr;
	observe("interface",
	        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &loopback, sizeof(loopback)));
	return fd;
}

CASE(group_on_loopback)
{
	int one = member("239.1.2.3", 5416), other = member("239.1.2.3", 5416);
	int sender = group_sender();
	struct sockaddr_in group = inet_address("239.1.2.3", 5416);
	observe("sendto", sendto(sender, "all", 3, 0, (struct sockaddr *)&group, sizeof(group)));
	observe_poll("poll", one, POLLIN, 1000);
	observe_receive("one", one);
	observe_receive("other", other);
	observe("loop", set_int(sender, IPPROTO_IP, IP_MULTICAST_LOOP, 0));
	observe("sendto", sendto(sender, "all", 3, 0, (struct sockaddr *)&group, sizeof(group)));
	observe_poll("poll", one, POLLIN, 50);
}

CASE(group_left)
{
	int fd = member("239.1.2.4", 5417), sender = group_sender();
	struct sockaddr_in group = inet_address("239.1.2.4", 5417);
	struct ip_mreq request = { group.sin_addr, inet_address("127.0.0.1", 0).sin_addr };
	observe("twice", setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request)));
	observe("leave", setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &request, sizeof(request)));
	observe("again", setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &request, sizeof(request)));
	observe("sendto", sendto(sender, "all", 3, 0, (struct sockaddr *)&group, sizeof(group)));
	observe_poll("poll", fd, POLLIN, 50);
}

CASE(group_options)
{
	int fd = udp_socket();
	struct ip_mreq request = { inet_address("10.1.2.3", 0).sin_addr,
		                   inet_address("127.0.0.1", 0).sin_addr };
	observe("no-group",
	        setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request)));
	request.imr_multiaddr = inet_address("239.1.2.5", 0).sin_addr;
	observe("short", setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, 4));
	request.imr_interface = inet_address("192.0.2.7", 0).sin_addr;
	observe("foreign",
	        setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request)));
	request.imr_interface = inet_address("0.0.0.0", 0).sin_addr;
	observe("any", setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request)));
	observe_int("ttl", fd, IPPROTO_IP, IP_MULTICAST_TTL);
	observe("ttl", set_int(fd, IPPROTO_IP, IP_MULTICAST_TTL, 256));
	observe("ttl", set_int(fd, IPPROTO_IP, IP_MULTICAST_TTL, -1));
	observe_int("ttl", fd, IPPROTO_IP, IP_MULTICAST_TTL);
	observe_int("loop", fd, IPPROTO_IP, IP_MULTICAST_LOOP);
	observe_int("all", fd, IPPROTO_IP, IP_MULTICAST_ALL);
	struct in_addr foreign = inet_address("192.0.2.7", 0).sin_addr;
	observe("interface",
	        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &foreign, sizeof(foreign)));
	observe("tcp",
	        setsockopt(tcp_socket(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request)));
}
