/* Bad descriptors, pointers and lengths, for every call of sockets. */
#define _GNU_SOURCE
#include "conform.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/uio.h>

static void *volatile bad_pointer = (void *)16;

/* Every call on a descriptor that is none, or no socket. */
static void every_call(int fd)
{
	struct sockaddr_in address = inet_address("127.0.0.1", 5161);
	struct sockaddr *name = (struct sockaddr *)&address;
	socklen_t length = sizeof(address);
	char byte = 'x';
	struct iovec vector = { &byte, 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
	struct mmsghdr messages = { .msg_hdr = message };
	int value = 0;
	observe("bind", bind(fd, name, length));
	observe("connect", connect(fd, name, length));
	observe("listen", listen(fd, 1));
	observe("accept", accept(fd, name, &length));
	observe("accept4", accept4(fd, NULL, NULL, SOCK_NONBLOCK));
	observe("accept4-flags", accept4(fd, NULL, NULL, 1));
	observe("getsockname", getsockname(fd, name, &length));
	observe("getpeername", getpeername(fd, name, &length));
	observe("send", send(fd, &byte, 1, MSG_NOSIGNAL));
	observe("sendto", sendto(fd, &byte, 1, MSG_NOSIGNAL, name, sizeof(address)));
	observe("sendmsg", sendmsg(fd, &message, 0));
	observe("sendmmsg", sendmmsg(fd, &messages, 1, 0));
	observe("recv", recv(fd, &byte, 1, MSG_DONTWAIT));
	observe("recvfrom", recvfrom(fd, &byte, 1, MSG_DONTWAIT, name, &length));
	observe("recvmsg", recvmsg(fd, &message, MSG_DONTWAIT));
	observe("recvmmsg", recvmmsg(fd, &messages, 1, MSG_DONTWAIT, NULL));
	observe("setsockopt", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, sizeof(value)));
	length = sizeof(value);
	observe("getsockopt", getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, &length));
	observe("shutdown", shutdown(fd, SHUT_RDWR));
	observe("shutdown-how", shutdown(fd, 9));
}

CASE(fd_negative)
{
	every_call(-1);
}

CASE(fd_closed)
{
	int fd = tcp_socket();
	close(fd);
	every_call(fd);
}

CASE(fd_too_large)
{
	every_call(1 << 20);
}

CASE(fd_of_file)
{
	every_call((int)must("open", open("file", O_RDWR | O_CREAT, 0600)));
}

CASE(fd_of_pipe)
{
	int pipes[2];
	must("pipe", pipe(pipes));
	every_call(pipes[1]);
}

CASE(fd_of_path)
{
	every_call((int)must("open", open("/", O_PATH)));
}

CASE(fd_of_fresh_udp)
{
	every_call(udp_socket());
}

CASE(pointers_of_names)
{
	int tcp = tcp_socket(), udp = udp_socket(), pair[2];
	socklen_t length = sizeof(struct sockaddr_in);
	observe("bind", bind(tcp, bad_pointer, sizeof(struct sockaddr_in)));
	observe("connect", connect(tcp, bad_pointer, sizeof(struct sockaddr_in)));
	observe("connect-null", connect(tcp, NULL, sizeof(struct sockaddr_in)));
	observe("connect-short", connect(tcp, bad_pointer, 1));
	observe("connect-0", connect(tcp, bad_pointer, 0));
	observe("connect-negative", connect(tcp, bad_pointer, (socklen_t)-1));
	observe("connect-long", connect(tcp, bad_pointer, 129));
	observe("sendto", sendto(udp, "x", 1, 0, bad_pointer, sizeof(struct sockaddr_in)));
	observe("sendto-long", sendto(udp, "x", 1, 0, bad_pointer, 129));
	observe("sendto-negative", sendto(udp, "x", 1, 0, bad_pointer, (socklen_t)-1));
	udp_pair(pair);
	must("send", send(pair[0], "x", 1, 0));
	char byte;
	observe("recvfrom", recvfrom(pair[1], &byte, 1, MSG_DONTWAIT, bad_pointer, &length));
	observe("again", recvfrom(pair[1], &byte, 1, MSG_DONTWAIT, NULL, NULL));
	must("send", send(pair[0], "x", 1, 0));
	struct sockaddr_in address;
	observe("length", recvfrom(pair[1], &byte, 1, MSG_DONTWAIT, (struct sockaddr *)&address,
	                           bad_pointer));
	observe("again", recv(pair[1], &byte, 1, MSG_DONTWAIT));
	must("send", send(pair[0], "x", 1, 0));
	length = (socklen_t)-1;
	observe("negative",
	        recvfrom(pair[1], &byte, 1, MSG_DONTWAIT, (struct sockaddr *)&address, &length));
	observe("again", recv(pair[1], &byte, 1, MSG_DONTWAIT));
}

static void queue_connection(int listener, struct sockaddr_in address)
{
	struct pollfd entry = { .fd = listener, .events = POLLIN };
	must("connect", connect_to(tcp_socket(), address));
	must("poll", poll(&entry, 1, 5000));
}

CASE(pointers_of_accept)
{
	struct sockaddr_in address, peer;
	socklen_t length = sizeof(peer);
	int listener = tcp_listener(5, &address);
	fcntl(listener, F_SETFL, O_NONBLOCK);
	queue_connection(listener, address);
	observe("pointer", accept(listener, bad_pointer, &length));
	observe("next", accept(listener, NULL, NULL) >= 0);
	queue_connection(listener, address);
	observe("length", accept(listener, (struct sockaddr *)&peer, bad_pointer));
	observe("next", accept(listener, NULL, NULL) >= 0);
	queue_connection(listener, address);
	length = (socklen_t)-1;
	observe("negative", accept(listener, (struct sockaddr *)&peer, &length));
	observe("next", accept(listener, NULL, NULL) >= 0);
	queue_connection(listener, address);
	observe("no-length", accept(listener, (struct sockaddr *)&peer, NULL));
	queue_connection(listener, address);
	length = 4;
	observe("short", accept(listener, (struct sockaddr *)&peer, &length) >= 0);
	observe("length", length);
}

CASE(pointers_of_data)
{
	int pair[2];
	struct msghdr message = { 0 };
	struct iovec vector = { bad_pointer, 4 };
	tcp_pair(pair);
	must("send", send(pair[1], "abcd", 4, 0));
	struct pollfd entry = { .fd = pair[0], .events = POLLIN };
	must("poll", poll(&entry, 1, 1000));
	observe("send", send(pair[0], bad_pointer, 4, 0));
	observe("recv", recv(pair[0], bad_pointer, 4, 0));
	observe("sendmsg", sendmsg(pair[0], bad_pointer, 0));
	observe("recvmsg", recvmsg(pair[0], bad_pointer, 0));
	message.msg_iov = bad_pointer;
	message.msg_iovlen = 1;
	observe("vector", sendmsg(pair[0], &message, 0));
	observe("vector", recvmsg(pair[0], &message, MSG_DONTWAIT));
	message.msg_iov = &vector;
	message.msg_iovlen = 1025;
	observe("too-many", sendmsg(pair[0], &message, 0));
	observe("too-many", recvmsg(pair[0], &message, MSG_DONTWAIT));
	vector.iov_len = (size_t)-1;
	message.msg_iovlen = 1;
	observe("negative", sendmsg(pair[0], &message, 0));
	vector = (struct iovec){ (void *)"x", 1 };
	message.msg_control = bad_pointer;
	message.msg_controllen = 16;
	observe("control", sendmsg(pair[0], &message, 0));
	message.msg_control = NULL;
	message.msg_controllen = 0;
	message.msg_name = bad_pointer;
	message.msg_namelen = 16;
	observe("name", sendmsg(pair[0], &message, 0));
	message.msg_namelen = (socklen_t)-1;
	observe("name-negative", sendmsg(pair[0], &message, 0));
	message.msg_namelen = 200;
	observe("name-long", sendmsg(pair[0], &message, 0));
	observe("sendmmsg", sendmmsg(pair[0], bad_pointer, 1, 0));
	observe("recvmmsg", recvmmsg(pair[0], bad_pointer, 1, MSG_DONTWAIT, NULL));
	struct mmsghdr messages = { 0 };
	observe("timeout", recvmmsg(pair[0], &messages, 1, MSG_DONTWAIT, bad_pointer));
	observe("none", recvmmsg(pair[0], &messages, 0, MSG_DONTWAIT, NULL));
}

CASE(connect_udp_port_0)
{
	observe("connect", connect_to(udp_socket(), inet_address("127.0.0.1", 0)));
}

CASE(listen_backlogs)
{
	static const int backlogs[] = { 0, -1, 1, 4096, 0x7fffffff };
	for (size_t i = 0; i < sizeof(backlogs) / sizeof(backlogs[0]); i++) {
		int fd = tcp_socket();
		observe("listen", listen(fd, backlogs[i]));
		observe_name("name", fd);
	}
	observe("udp", listen(udp_socket(), 1));
}

CASE(calls_of_the_wrong_type)
{
	int udp = udp_socket(), listener = tcp_listener(1, NULL);
	char byte;
	observe("accept-udp", accept(udp, NULL, NULL));
	observe("accept-tcp", accept(tcp_socket(), NULL, NULL));
	observe("send-listener", send(listener, "x", 1, MSG_NOSIGNAL));
	observe("recv-listener", recv(listener, &byte, 1, MSG_DONTWAIT));
	observe("connect-listener", connect_to(listener, inet_address("127.0.0.1", 1)));
	observe("send-udp", send(udp, "x", 1, 0));
	observe("recv-udp", recv(udp, &byte, 1, MSG_DONTWAIT));
	struct sockaddr_in address = inet_address("127.0.0.1", 0);
	observe("port-0", sendto(udp, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)));
	observe("connect-port-0", connect_to(tcp_socket(), address));
	observe("seek", lseek(udp, 0, SEEK_SET));
	observe("pread", pread(udp, &byte, 1, 0));
	observe("truncate", ftruncate(udp, 0));
	observe("sync", fsync(udp));
}

CASE(short_reads_of_addresses)
{
	struct sockaddr_in address = inet_address("127.0.0.1", 5162);
	struct sockaddr *name = (struct sockaddr *)&address;
	int udp = udp_socket();
	for (socklen_t length = 0; length <= 16; length += 2)
		observe("sendto", sendto(udp, "x", 1, 0, name, length));
	for (socklen_t length = 0; length <= 16; length += 2)
		observe("connect", connect(udp_socket(), name, length));
	for (socklen_t length = 0; length <= 16; length += 2)
		observe("bind", bind(udp_socket(), name, length));
	address.sin_family = AF_UNSPEC;
	observe("unspec", sendto(udp, "x", 1, 0, name, sizeof(address)));
	address.sin_family = AF_INET6;
	observe("inet6", sendto(udp, "x", 1, 0, name, sizeof(address)));
	observe("connect-inet6", connect(tcp_socket(), name, sizeof(address)));
	address.sin_family = 999;
	observe("connect-999", connect(udp, name, sizeof(address)));
}
