/* What options of IPPROTO_IP and of devices do: IP_MINTTL, IP_LOCAL_PORT_RANGE, SO_BINDTODEVICE,
 * SIOCGSTAMP. */
#define _GNU_SOURCE
#include "options.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <time.h>

#define LOCAL_PORT_RANGE 51
#define GSTAMP           0x8906
#define GSTAMPNS         0x8907

static void bind_device(int fd, const char *name)
{
	must("device", setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name)));
}

/* ---- IP_MINTTL ---- */

CASE(ip_minttl_of_udp)
{
	int pair[2];
	char byte;
	udp_pair(pair);
	observe_set("set", pair[0], IPPROTO_IP, IP_MINTTL, 100);
	observe("send", send(pair[1], "x", 1, 0));
	observe("receive", recv(pair[0], &byte, 1, MSG_DONTWAIT));
}

CASE(ip_minttl_of_a_connection)
{
	int pair[2];
	char bytes[8];
	tcp_pair(pair);
	observe_set("set", pair[0], IPPROTO_IP, IP_MINTTL, 64);
	observe("send", send(pair[1], "abc", 3, 0));
	observe_poll("near-enough", pair[0], POLLIN, 1000);
	observe_bytes("receive", recv(pair[0], bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
	observe_set("set", pair[0], IPPROTO_IP, IP_MINTTL, 65);
	observe("send", send(pair[1], "def", 3, 0));
	observe_poll("too-far", pair[0], POLLIN, 100);
	observe_set("set", pair[1], IPPROTO_IP, IP_TTL, 65);
	observe("send", send(pair[1], "ghi", 3, 0));
	observe_poll("nearer", pair[0], POLLIN, 3000);
	pause_ms(20);
	observe_bytes("receive", recv(pair[0], bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
}

CASE(ip_minttl_of_a_listener)
{
	struct sockaddr_in address;
	int listener = tcp_listener(4, &address), fd = tcp_socket();
	observe_set("set", listener, IPPROTO_IP, IP_MINTTL, 255);
	set_nonblocking(fd);
	observe("connect", connect_to(fd, address));
	observe_poll("too-far", fd, POLLOUT, 200);
	int near = tcp_socket();
	observe_set("ttl", near, IPPROTO_IP, IP_TTL, 255);
	observe("connect", connect_to(near, address));
	int accepted = accept(listener, NULL, NULL);
	observe_option("inherited", accepted, IPPROTO_IP, IP_MINTTL);
	observe_set("ttl", near, IPPROTO_IP, IP_TTL, 64);
	observe("send", send(near, "x", 1, 0));
	observe_poll("too-far", accepted, POLLIN, 100);
}

/* ---- IP_LOCAL_PORT_RANGE ---- */

static int range(unsigned first, unsigned last)
{
	return (int)(last << 16 | first);
}

static void observe_port(const char *label, int fd)
{
	observe_text(label, "%u", ntohs(name_of(fd).sin_port));
}

CASE(ip_local_port_range_values)
{
	static const unsigned values[][2] = {
		{ 40000, 40010 }, { 40010, 40000 }, { 0, 40000 },
		{ 40000, 0 },     { 1, 2 },         { 65535, 65535 }
	};
	int fd = tcp_socket();
	for (int i = 0; i < 6; i++) {
		observe_set("set", fd, IPPROTO_IP, LOCAL_PORT_RANGE,
		            range(values[i][0], values[i][1]));
		observe_option("get", fd, IPPROTO_IP, LOCAL_PORT_RANGE);
	}
	short half = 1;
	observe("short", setsockopt(fd, IPPROTO_IP, LOCAL_PORT_RANGE, &half, sizeof(half)));
	char long_value[8] = { 0 };
	observe("long", setsockopt(fd, IPPROTO_IP, LOCAL_PORT_RANGE, long_value, 8));
}

static void bind_in_range(int type)
{
	int fds[3];
	struct sockaddr_in any = inet_address("127.0.0.1", 0);
	for (int i = 0; i < 3; i++) {
		fds[i] = socket(AF_INET, type, 0);
		must("set", set_int(fds[i], IPPROTO_IP, LOCAL_PORT_RANGE, range(47001, 47001)));
	}
	observe("bind", bind_to(fds[0], any));
	observe_port("port", fds[0]);
	observe("none-left", bind_to(fds[1], any));
	must("set", set_int(fds[2], IPPROTO_IP, LOCAL_PORT_RANGE, range(60999, 0)));
	observe("open-end", bind_to(fds[2], any));
	observe_port("port", fds[2]);
	int fd = socket(AF_INET, type, 0);
	must("set", set_int(fd, IPPROTO_IP, LOCAL_PORT_RANGE, range(0, 32768)));
	observe("open-start", bind_to(fd, any));
	observe_port("port", fd);
	fd = socket(AF_INET, type, 0);
	must("set", set_int(fd, IPPROTO_IP, LOCAL_PORT_RANGE, range(1000, 2000)));
	observe("outside", bind_to(fd, any));
	observe_name("name", fd);
}

CASE(ip_local_port_range_bind)
{
	bind_in_range(SOCK_STREAM);
	bind_in_range(SOCK_DGRAM);
}

CASE(ip_local_port_range_connect)
{
	struct sockaddr_in address;
	tcp_listener(8, &address);
	int one = tcp_socket(), two = tcp_socket(), udp = udp_socket(), full = udp_socket();
	must("set", set_int(one, IPPROTO_IP, LOCAL_PORT_RANGE, range(47002, 47002)));
	must("set", set_int(two, IPPROTO_IP, LOCAL_PORT_RANGE, range(47002, 47002)));
	observe("connect", connect_to(one, address));
	observe_port("port", one);
	observe("none-left", connect_to(two, address));
	must("set", set_int(two, IPPROTO_IP, LOCAL_PORT_RANGE, range(47003, 47003)));
	observe("connect", connect_to(two, address));
	observe_port("port", two);
	must("set", set_int(udp, IPPROTO_IP, LOCAL_PORT_RANGE, range(47004, 47004)));
	must("set", set_int(full, IPPROTO_IP, LOCAL_PORT_RANGE, range(47004, 47004)));
	observe("udp", connect_to(udp, address));
	observe_port("port", udp);
	observe("none-left", connect_to(full, address));
	observe("send", sendto(full, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)));
	int listening = tcp_socket();
	must("set", set_int(listening, IPPROTO_IP, LOCAL_PORT_RANGE, range(47005, 47005)));
	observe("listen", listen(listening, 1));
	observe_port("port", listening);
}

/* ---- SO_BINDTODEVICE ---- */

CASE(so_bindtodevice_listeners)
{
	int one = tcp_socket(), two = tcp_socket(), plain = tcp_socket();
	bind_device(one, "lo");
	bind_device(two, "eth0");
	observe("lo", bind_to(one, inet_address("0.0.0.0", 5210)));
	observe("eth0", bind_to(two, inet_address("0.0.0.0", 5210)));
	observe("plain", bind_to(plain, inet_address("0.0.0.0", 5210)));
	observe("listen", listen(one, 4));
	observe("listen", listen(two, 4));
	int fd = tcp_socket();
	observe("loopback", connect_to(fd, inet_address("127.0.0.1", 5210)));
	observe_poll("lo", one, POLLIN, 100);
	observe_poll("eth0", two, POLLIN, 100);
	close(accept(one, NULL, NULL));
	fd = tcp_socket();
	observe("own-address", connect_to(fd, own_address(5210)));
	observe_poll("eth0", two, POLLIN, 100);
	int accepted = accept(two, NULL, NULL);
	observe_option("inherited", accepted, SOL_SOCKET, SO_BINDTOIFINDEX);
	char bytes[4];
	observe("send", send(fd, "abc", 3, 0));
	observe_poll("accepted", accepted, POLLIN, 100);
	observe_bytes("receive", recv(accepted, bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
	close(two);
	fd = tcp_socket();
	observe("only-lo", connect_to(fd, own_address(5210)));
}

CASE(so_bindtodevice_clients)
{
	struct sockaddr_in address;
	tcp_listener(4, &address);
	int lo = tcp_socket(), eth = tcp_socket(), own = tcp_socket();
	int listener = tcp_socket();
	must("bind", bind_to(listener, own_address(5211)));
	must("listen", listen(listener, 4));
	bind_device(lo, "lo");
	observe("by-lo", connect_to(lo, address));
	bind_device(own, "eth0");
	observe("own-by-eth0", connect_to(own, own_address(5211)));
	observe_name("name", own);
	bind_device(eth, "eth0");
	set_nonblocking(eth);
	observe("loopback-by-eth0", connect_to(eth, address));
	observe_poll("poll", eth, POLLOUT, 100);
}

CASE(so_bindtodevice_afterwards)
{
	int pair[2];
	char bytes[4];
	tcp_pair(pair);
	bind_device(pair[0], "lo");
	observe("send", send(pair[1], "abc", 3, 0));
	observe_poll("poll", pair[0], POLLIN, 1000);
	observe_bytes("receive", recv(pair[0], bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
	observe("send", send(pair[0], "def", 3, 0));
	observe_poll("poll", pair[1], POLLIN, 1000);
	bind_device(pair[0], "eth0");
	observe("send", send(pair[1], "ghi", 3, 0));
	observe_poll("reset", pair[1], 0, 1000);
	observe_so_error("error", pair[1]);
	observe("again", setsockopt(pair[0], SOL_SOCKET, SO_BINDTODEVICE, "", 0));
}

CASE(so_bindtodevice_rights)
{
	int fd = udp_socket(), bound = udp_socket();
	bind_device(bound, "lo");
	observe("setuid", setresuid(1000, 1000, 1000));
	observe("first", setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
	observe("second", setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5));
	observe("none", setsockopt(bound, SOL_SOCKET, SO_BINDTODEVICE, "", 0));
	observe_option("index", bound, SOL_SOCKET, SO_BINDTOIFINDEX);
}

CASE(so_bindtodevice_datagrams)
{
	int lo = udp_socket(), eth = udp_socket(), plain = udp_socket(), from = udp_socket();
	char bytes[4];
	int fds[] = { lo, eth, plain };
	bind_device(lo, "lo");
	bind_device(eth, "eth0");
	for (int i = 0; i < 3; i++) {
		must("reuse", set_int(fds[i], SOL_SOCKET, SO_REUSEADDR, 1));
		must("bind", bind_to(fds[i], inet_address("0.0.0.0", 5212)));
	}
	struct sockaddr_in to[] = { inet_address("127.0.0.1", 5212), own_address(5212) };
	for (int i = 0; i < 2; i++) {
		observe("sendto",
		        sendto(from, "x", 1, 0, (struct sockaddr *)&to[i], sizeof(to[i])));
		for (int k = 0; k < 3; k++)
			observe("receive", recv(fds[k], bytes, sizeof(bytes), MSG_DONTWAIT));
	}
	bind_device(from, "eth0");
	observe("own-by-eth0", sendto(from, "x", 1, 0, (struct sockaddr *)&to[1], sizeof(to[1])));
	observe("receive", recv(eth, bytes, sizeof(bytes), MSG_DONTWAIT));
	observe("loopback-by-eth0",
	        sendto(from, "x", 1, 0, (struct sockaddr *)&to[0], sizeof(to[0])));
	observe("receive", recv(lo, bytes, sizeof(bytes), MSG_DONTWAIT));
	observe("connect", connect_to(from, to[0]));
	observe_name("name", from);
}

/* ---- SIOCGSTAMP ---- */

static void observe_stamp(const char *label, int fd)
{
	struct timeval coarse = { 0 };
	struct timespec fine = { 0 };
	observe(label, ioctl(fd, GSTAMP, &coarse));
	observe(label, ioctl(fd, GSTAMPNS, &fine));
	long difference = (long)time(NULL) - (long)fine.tv_sec;
	bool recent = difference >= 0 && difference <= 5;
	observe("recent", recent);
	observe("same", coarse.tv_sec == fine.tv_sec && coarse.tv_usec == fine.tv_nsec / 1000);
}

CASE(siocgstamp_of_datagrams)
{
	int pair[2];
	char byte;
	udp_pair(pair);
	for (int i = 0; i < 2; i++) {
		must("send", send(pair[1], "x", 1, 0));
		must("recv", recv(pair[0], &byte, 1, MSG_DONTWAIT));
		observe_stamp("stamp", pair[0]);
	}
	observe("pointer", ioctl(pair[0], GSTAMP, (void *)8));
	must("send", send(pair[0], "x", 1, 0));
	must("peek", recv(pair[1], &byte, 1, MSG_PEEK));
	observe_stamp("peeked", pair[1]);
}

CASE(siocgstamp_and_so_timestamp)
{
	int pair[2];
	char byte;
	struct timeval first, second;
	udp_pair(pair);
	must("option", set_int(pair[0], SOL_SOCKET, SO_TIMESTAMP, 1));
	must("send", send(pair[1], "x", 1, 0));
	must("recv", recv(pair[0], &byte, 1, MSG_DONTWAIT));
	observe("told-by-message", ioctl(pair[0], GSTAMP, &first));
	must("option", set_int(pair[0], SOL_SOCKET, SO_TIMESTAMP, 0));
	must("send", send(pair[1], "x", 1, 0));
	must("recv", recv(pair[0], &byte, 1, MSG_DONTWAIT));
	observe("off-again", ioctl(pair[0], GSTAMP, &first));
	observe("twice", ioctl(pair[0], GSTAMP, &second));
	observe("same", first.tv_sec == second.tv_sec && first.tv_usec == second.tv_usec);
}

CASE(siocgstamp_of_others)
{
	int pair[2];
	char byte;
	struct timeval time;
	tcp_pair(pair);
	observe("tcp", ioctl(pair[0], GSTAMP, &time));
	must("send", send(pair[1], "x", 1, 0));
	must("recv", recv(pair[0], &byte, 1, 0));
	observe("tcp", ioctl(pair[0], GSTAMP, &time));
	unix_pair(SOCK_DGRAM, pair);
	observe("unix", ioctl(pair[0], GSTAMP, &time));
}
