/* ioctl of sockets: interfaces (netdevice(7)), FIONREAD, SIOCOUTQ, FIONBIO. */
#define _GNU_SOURCE
#include "conform.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

static void *volatile bad_pointer = (void *)16;

static void try_interface(const char *name)
{
	static const struct {
		const char *label;
		unsigned long command;
	} commands[] = {
		{ "addr", SIOCGIFADDR },
		{ "dstaddr", SIOCGIFDSTADDR },
		{ "brdaddr", SIOCGIFBRDADDR },
		{ "netmask", SIOCGIFNETMASK },
	};
	int fd = udp_socket();
	struct ifreq request = { 0 };
	strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
	observe("index", ioctl(fd, SIOCGIFINDEX, &request));
	observe("value", request.ifr_ifindex);
	observe("flags", ioctl(fd, SIOCGIFFLAGS, &request));
	observe_text("value", "%x", (unsigned short)request.ifr_flags);
	observe("mtu", ioctl(fd, SIOCGIFMTU, &request));
	observe("value", request.ifr_mtu);
	observe("metric", ioctl(fd, SIOCGIFMETRIC, &request));
	observe("value", request.ifr_metric);
	observe("txqlen", ioctl(fd, SIOCGIFTXQLEN, &request));
	observe("value", request.ifr_qlen);
	observe("hwaddr", ioctl(fd, SIOCGIFHWADDR, &request));
	const unsigned char *mac = (unsigned char *)request.ifr_hwaddr.sa_data;
	observe_text("value", "%d:%02x:%02x:%02x:%02x:%02x:%02x", request.ifr_hwaddr.sa_family,
	             mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (commands[i].command == SIOCGIFBRDADDR && strcmp(name, "eth0") == 0)
			continue; /* who sets the address up chooses it */
		int result = ioctl(fd, commands[i].command, &request);
		observe_address(commands[i].label, result, &request.ifr_addr, 16);
	}
}

CASE(interface_loopback)
{
	try_interface("lo");
}

CASE(interface_card)
{
	try_interface("eth0");
}

CASE(interface_unknown)
{
	try_interface("nothing0");
}

CASE(interface_empty_name)
{
	try_interface("");
}

CASE(interface_names)
{
	int fd = udp_socket();
	for (int index = -1; index <= 4; index++) {
		struct ifreq request = { .ifr_ifindex = index };
		int result = ioctl(fd, SIOCGIFNAME, &request);
		observe("name", result);
		observe_text("is", "%s", result ? "" : request.ifr_name);
	}
}

CASE(interface_list)
{
	int fd = udp_socket();
	struct ifreq entries[8] = { 0 };
	struct ifconf list = { .ifc_len = 0, .ifc_req = NULL };
	observe("count", ioctl(fd, SIOCGIFCONF, &list));
	observe("length", list.ifc_len);
	for (int room = 0; room <= 100; room += 20) {
		list = (struct ifconf){ .ifc_len = room, .ifc_req = entries };
		observe("room", room);
		observe("get", ioctl(fd, SIOCGIFCONF, &list));
		observe("length", list.ifc_len);
	}
	for (int i = 0; i < 2; i++)
		observe_address(entries[i].ifr_name, 0, &entries[i].ifr_addr, 16);
	observe("pointer", ioctl(fd, SIOCGIFCONF, bad_pointer));
	list.ifc_req = bad_pointer;
	list.ifc_len = sizeof(entries);
	observe("entries", ioctl(fd, SIOCGIFCONF, &list));
}

CASE(interface_on_kinds)
{
	struct ifreq request = { .ifr_name = "lo" };
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	observe("tcp", ioctl(tcp_socket(), SIOCGIFINDEX, &request));
	observe("unix", ioctl(pair[0], SIOCGIFINDEX, &request));
	observe("file", ioctl(0, SIOCGIFINDEX, &request));
	observe("pointer", ioctl(pair[0], SIOCGIFINDEX, bad_pointer));
	observe("unknown", ioctl(pair[0], 0x89ff, &request));
	observe("unknown", ioctl(tcp_socket(), 0x1234, &request));
}

CASE(interface_set_as_user)
{
	struct ifreq request = { .ifr_name = "lo" };
	int fd = udp_socket();
	observe("get", ioctl(fd, SIOCGIFFLAGS, &request));
	observe("setuid", setresuid(1000, 1000, 1000));
	observe("flags", ioctl(fd, SIOCSIFFLAGS, &request));
	request.ifr_mtu = 1500;
	observe("mtu", ioctl(fd, SIOCSIFMTU, &request));
	observe("addr", ioctl(fd, SIOCSIFADDR, &request));
	observe("get", ioctl(fd, SIOCGIFFLAGS, &request));
}

static void observe_ioctl(const char *label, int fd, unsigned long command)
{
	int value = -77;
	int result = ioctl(fd, command, &value);
	observe_text(label, "%s", result == -1 ? strerrorname_np(errno) : "0");
	observe("value", value);
}

CASE(fionread_kinds)
{
	int pair[2];
	observe_ioctl("tcp", tcp_socket(), FIONREAD);
	observe_ioctl("listener", tcp_listener(1, NULL), FIONREAD);
	observe_ioctl("udp", udp_socket(), FIONREAD);
	observe_ioctl("unix-stream", socket(AF_UNIX, SOCK_STREAM, 0), FIONREAD);
	observe_ioctl("unix-dgram", socket(AF_UNIX, SOCK_DGRAM, 0), FIONREAD);
	observe_ioctl("unix-seqpacket", socket(AF_UNIX, SOCK_SEQPACKET, 0), FIONREAD);
	tcp_pair(pair);
	must("send", send(pair[1], "abcde", 5, 0));
	observe_poll("poll", pair[0], POLLIN, 1000);
	observe_ioctl("tcp", pair[0], FIONREAD);
	observe("pointer", ioctl(pair[0], FIONREAD, bad_pointer));
	must("shutdown", shutdown(pair[1], SHUT_WR));
	observe_poll("poll", pair[0], POLLRDHUP, 1000);
	observe_ioctl("fin", pair[0], FIONREAD);
}

CASE(fionread_datagrams)
{
	int pair[2];
	udp_pair(pair);
	must("send", send(pair[1], "abc", 3, 0));
	must("send", send(pair[1], "defgh", 5, 0));
	observe_ioctl("udp", pair[0], FIONREAD);
	unix_pair(SOCK_DGRAM, pair);
	must("send", send(pair[1], "abc", 3, 0));
	must("send", send(pair[1], "defgh", 5, 0));
	observe_ioctl("unix-dgram", pair[0], FIONREAD);
	observe_ioctl("sender", pair[1], SIOCOUTQ);
	unix_pair(SOCK_SEQPACKET, pair);
	must("send", send(pair[1], "abc", 3, 0));
	must("send", send(pair[1], "defgh", 5, 0));
	observe_ioctl("unix-seqpacket", pair[0], FIONREAD);
	unix_pair(SOCK_STREAM, pair);
	must("send", send(pair[1], "abc", 3, 0));
	must("send", send(pair[1], "defgh", 5, 0));
	observe_ioctl("unix-stream", pair[0], FIONREAD);
}

CASE(siocoutq)
{
	int pair[2];
	observe_ioctl("tcp", tcp_socket(), SIOCOUTQ);
	observe_ioctl("nsd", tcp_socket(), SIOCOUTQNSD);
	observe_ioctl("listener", tcp_listener(1, NULL), SIOCOUTQ);
	observe_ioctl("nsd", tcp_listener(1, NULL), SIOCOUTQNSD);
	observe_ioctl("udp", udp_socket(), SIOCOUTQ);
	observe_ioctl("nsd", udp_socket(), SIOCOUTQNSD);
	observe_ioctl("unix", socket(AF_UNIX, SOCK_STREAM, 0), SIOCOUTQ);
	tcp_pair(pair);
	observe_ioctl("connected", pair[0], SIOCOUTQ);
	must("shutdown", shutdown(pair[0], SHUT_WR));
	observe_poll("poll", pair[1], POLLRDHUP, 1000);
	pause_ms(50);
	observe_ioctl("shut", pair[0], SIOCOUTQ);
	observe_ioctl("atmark", pair[1], SIOCATMARK);
	observe_ioctl("udp-atmark", udp_socket(), SIOCATMARK);
	observe_ioctl("unix-atmark", socket(AF_UNIX, SOCK_STREAM, 0), SIOCATMARK);
}

CASE(fionbio)
{
	int fd = udp_socket(), on = 1, off = 0;
	char byte;
	observe("on", ioctl(fd, FIONBIO, &on));
	observe("flags", fcntl(fd, F_GETFL) & O_NONBLOCK);
	observe("recv", recv(fd, &byte, 1, 0));
	observe("off", ioctl(fd, FIONBIO, &off));
	observe("flags", fcntl(fd, F_GETFL) & O_NONBLOCK);
	observe("pointer", ioctl(fd, FIONBIO, bad_pointer));
	observe("async", ioctl(fd, FIOASYNC, &on));
	observe("flags", fcntl(fd, F_GETFL) & O_ASYNC);
	observe("cloexec", ioctl(fd, FIOCLEX));
	observe("flags", fcntl(fd, F_GETFD));
	observe("no-cloexec", ioctl(fd, FIONCLEX));
	observe("flags", fcntl(fd, F_GETFD));
	observe("fd", ioctl(-1, FIONBIO, &on));
}

CASE(siocgstamp)
{
	int pair[2];
	struct timeval time;
	udp_pair(pair);
	observe("before", ioctl(pair[0], SIOCGSTAMP_OLD, &time));
}

CASE(socket_owner)
{
	int pair[2];
	udp_pair(pair);
	observe("owner", ioctl(pair[0], FIOGETOWN, &(int){ 0 }));
	int owner = 1;
	observe_ioctl("get", pair[0], SIOCGPGRP);
	owner = getpid();
	observe("set", ioctl(pair[0], SIOCSPGRP, &owner));
	owner = 0;
	observe("get", ioctl(pair[0], SIOCGPGRP, &owner));
	observe("same", owner == getpid());
}
