/* pidfds of who is at the other end of an AF_UNIX socket: SO_PEERPIDFD, SO_PASSPIDFD. */
#define _GNU_SOURCE
#include "pidfd.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define SO_PASSPIDFD_OPTION 76
#define SO_PEERPIDFD_OPTION 77
#define SCM_PIDFD_TYPE      4

static bool same_file(int one, int other)
{
	struct stat a, b;
	return fstat(one, &a) == 0 && fstat(other, &b) == 0 && a.st_ino == b.st_ino &&
	       a.st_dev == b.st_dev;
}

/* Whose pidfd it is. */
static const char *owner_of(int fd)
{
	if (fd < 0)
		return "error";
	return same_file(fd, pidfd_open_of(getpid(), 0))    ? "self"
	       : same_file(fd, pidfd_open_of(getppid(), 0)) ? "parent"
	                                                    : "other";
}

static int observe_peer_pidfd(const char *label, int fd)
{
	int pidfd = -1;
	socklen_t length = sizeof(pidfd);
	observe(label, getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD_OPTION, &pidfd, &length));
	observe_text("whose", "%d/%s", (int)length, owner_of(pidfd));
	return pidfd;
}

static int unix_socket_at(const char *name, int type, bool listens)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	strcpy(address.sun_path, name);
	int fd = (int)must("socket", socket(AF_UNIX, type, 0));
	must("bind", bind(fd, (struct sockaddr *)&address, sizeof(address)));
	if (listens)
		must("listen", listen(fd, 4));
	return fd;
}

static int unix_connected_to(const char *name, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	strcpy(address.sun_path, name);
	int fd = (int)must("socket", socket(AF_UNIX, type, 0));
	must("connect", connect(fd, (struct sockaddr *)&address, sizeof(address)));
	return fd;
}

CASE(peer_pidfd_of_pair)
{
	int pair[2], value = -1;
	unix_pair(SOCK_STREAM, pair);
	int fd = observe_peer_pidfd("pair", pair[0]);
	observe("cloexec", fcntl(fd, F_GETFD));
	observe("flags", fcntl(fd, F_GETFL));
	socklen_t length = 2;
	observe("short", getsockopt(pair[0], SOL_SOCKET, SO_PEERPIDFD_OPTION, &value, &length));
	observe("length", length);
	length = 0;
	observe("empty", getsockopt(pair[0], SOL_SOCKET, SO_PEERPIDFD_OPTION, &value, &length));
	length = 100;
	observe("long", getsockopt(pair[0], SOL_SOCKET, SO_PEERPIDFD_OPTION, &value, &length));
	observe("length", length);
	int before = dup(0);
	observe("pointer",
	        getsockopt(pair[0], SOL_SOCKET, SO_PEERPIDFD_OPTION, (void *)16, &length));
	observe("leaked", dup(0) - before);
	observe("set", setsockopt(pair[0], SOL_SOCKET, SO_PEERPIDFD_OPTION, &value, sizeof(value)));
	unix_pair(SOCK_DGRAM, pair);
	observe_peer_pidfd("datagrams", pair[0]);
}

CASE(peer_pidfd_of_nobody)
{
	struct sockaddr_in address;
	int pair[2];
	observe_peer_pidfd("unconnected", (int)socket(AF_UNIX, SOCK_STREAM, 0));
	observe_peer_pidfd("listener", unix_socket_at("a", SOCK_STREAM, true));
	observe_peer_pidfd("bound", unix_socket_at("b", SOCK_DGRAM, false));
	observe_peer_pidfd("datagrams", unix_connected_to("b", SOCK_DGRAM));
	observe_peer_pidfd("listening-tcp", tcp_listener(1, &address));
	tcp_pair(pair);
	observe_peer_pidfd("tcp", pair[0]);
	observe_peer_pidfd("udp", udp_socket());
}

CASE(peer_pidfd_of_child)
{
	int listener = unix_socket_at("a", SOCK_STREAM, true);
	pid_t child = (pid_t)must("fork", fork());
	if (!child) {
		int fd = unix_connected_to("a", SOCK_STREAM);
		observe_peer_pidfd("server", fd);
		must("send", send(fd, "x", 1, 0));
		for (;;)
			pause();
	}
	char byte;
	int fd = (int)must("accept", accept(listener, NULL, NULL));
	must("recv", recv(fd, &byte, 1, 0));
	int pidfd = observe_peer_pidfd("client", fd);
	observe("same", same_file(pidfd, pidfd_open_of(child, 0)));
	observe("kill", pidfd_signal(pidfd, SIGKILL, NULL, 0));
	wait_for_end(child);
	observe_pidfd("zombie", observe_peer_pidfd("zombie", fd));
	reap(child);
	observe_pidfd("reaped", pidfd);
	observe_peer_pidfd("reaped", fd);
}

/* ---- SCM_PIDFD ---- */

static int receive_pidfd(const char *label, int fd, size_t room, int flags)
{
	char bytes[16], control[256];
	struct iovec piece = { bytes, sizeof(bytes) };
	struct msghdr message = { .msg_iov = &piece,
		                  .msg_iovlen = 1,
		                  .msg_control = room ? control : NULL,
		                  .msg_controllen = room };
	int pidfd = -1;
	observe_bytes(label, recvmsg(fd, &message, flags), bytes);
	observe_text("flags", "%x,%d", (unsigned)message.msg_flags, (int)message.msg_controllen);
	for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at; at = CMSG_NXTHDR(&message, at)) {
		if (at->cmsg_type != SCM_PIDFD_TYPE || at->cmsg_len < CMSG_LEN(sizeof(int))) {
			observe_text("cmsg", "%d/%d", at->cmsg_type, (int)at->cmsg_len);
			continue;
		}
		memcpy(&pidfd, CMSG_DATA(at), sizeof(pidfd));
		if (pidfd < 0)
			observe_text("pidfd", "error%d", pidfd);
		else
			observe_text("pidfd", "%s/%d", owner_of(pidfd), fcntl(pidfd, F_GETFD));
	}
	return pidfd;
}

static void passes(int type)
{
	int pair[2];
	unix_pair(type, pair);
	must("send", send(pair[0], "before", 6, 0));
	must("on", set_int(pair[1], SOL_SOCKET, SO_PASSPIDFD_OPTION, 1));
	must("send", send(pair[0], "after", 5, 0));
	receive_pidfd("first", pair[1], 256, 0);
	receive_pidfd("second", pair[1], 256, MSG_DONTWAIT);
	must("send", send(pair[0], "none", 4, 0));
	receive_pidfd("no-room", pair[1], 0, 0);
	must("send", send(pair[0], "little", 6, 0));
	receive_pidfd("little-room", pair[1], 18, 0);
	must("send", send(pair[0], "just", 4, 0));
	receive_pidfd("just-room", pair[1], 20, 0);
	must("on", set_int(pair[1], SOL_SOCKET, SO_PASSCRED, 1));
	must("send", send(pair[0], "both", 4, 0));
	receive_pidfd("peek", pair[1], 256, MSG_PEEK);
	receive_pidfd("both", pair[1], 256, 0);
	must("off", set_int(pair[1], SOL_SOCKET, SO_PASSPIDFD_OPTION, 0));
	must("send", send(pair[0], "off", 3, 0));
	receive_pidfd("off", pair[1], 256, 0);
}

CASE(pass_pidfd_stream)
{
	passes(SOCK_STREAM);
}

CASE(pass_pidfd_datagram)
{
	passes(SOCK_DGRAM);
}

CASE(pass_pidfd_seqpacket)
{
	passes(SOCK_SEQPACKET);
}

CASE(pass_pidfd_of_child)
{
	int pair[2];
	unix_pair(SOCK_DGRAM, pair);
	must("on", set_int(pair[1], SOL_SOCKET, SO_PASSPIDFD_OPTION, 1));
	pid_t child = (pid_t)must("fork", fork());
	if (!child) {
		must("send", send(pair[0], "one", 3, 0));
		must("send", send(pair[0], "two", 3, 0));
		_exit(0);
	}
	wait_for_end(child);
	int pidfd = receive_pidfd("zombie", pair[1], 256, 0);
	observe("same", same_file(pidfd, pidfd_open_of(child, 0)));
	reap(child);
	observe_pidfd("reaped", pidfd);
	receive_pidfd("reaped", pair[1], 256, 0);
}

/* With the descriptors that come, in this order; the sender may claim to be another. */
CASE(pass_pidfd_with_others)
{
	int pair[2], zero = 0;
	char control[256] = { 0 };
	pid_t child = sleeping_child();
	unix_pair(SOCK_DGRAM, pair);
	must("on", set_int(pair[1], SOL_SOCKET, SO_PASSPIDFD_OPTION, 1));
	must("on", set_int(pair[1], SOL_SOCKET, SO_PASSCRED, 1));
	struct iovec piece = { "abc", 3 };
	struct msghdr message = { .msg_iov = &piece,
		                  .msg_iovlen = 1,
		                  .msg_control = control,
		                  .msg_controllen = CMSG_SPACE(sizeof(int)) +
		                                    CMSG_SPACE(sizeof(struct ucred)) };
	struct cmsghdr *at = CMSG_FIRSTHDR(&message);
	*at = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(at), &zero, sizeof(zero));
	at = CMSG_NXTHDR(&message, at);
	struct ucred claim = { child, 0, 0 };
	*at = (struct cmsghdr){ CMSG_LEN(sizeof(claim)), SOL_SOCKET, SCM_CREDENTIALS };
	memcpy(CMSG_DATA(at), &claim, sizeof(claim));
	observe("send", sendmsg(pair[0], &message, 0));
	int pidfd = receive_pidfd("receive", pair[1], 256, 0);
	observe("claimed", same_file(pidfd, pidfd_open_of(child, 0)));
}

CASE(pass_pidfd_inherited)
{
	struct sockaddr_in address;
	int value = -1;
	socklen_t length = sizeof(value);
	int listener = unix_socket_at("a", SOCK_STREAM, true);
	must("on", set_int(listener, SOL_SOCKET, SO_PASSPIDFD_OPTION, 1));
	int client = unix_connected_to("a", SOCK_STREAM);
	must("send", send(client, "x", 1, 0));
	int server = (int)must("accept", accept(listener, NULL, NULL));
	observe_int("unix", server, SOL_SOCKET, SO_PASSPIDFD_OPTION);
	receive_pidfd("receive", server, 256, 0);
	/* The client has a name only if it passes pidfds itself. */
	observe_peer("peer", server);
	int tcp = tcp_listener(1, &address), other = tcp_socket();
	must("on", set_int(tcp, SOL_SOCKET, SO_PASSPIDFD_OPTION, 1));
	must("on", set_int(tcp, SOL_SOCKET, SO_PASSCRED, 1));
	must("connect", connect_to(other, address));
	server = (int)must("accept", accept(tcp, NULL, NULL));
	observe("tcp", getsockopt(server, SOL_SOCKET, SO_PASSPIDFD_OPTION, &value, &length));
	observe("value", value);
	observe_int("credentials", server, SOL_SOCKET, SO_PASSCRED);
}

CASE(pass_pidfd_binds)
{
	int listener = unix_socket_at("a", SOCK_STREAM, true);
	int fd = (int)must("socket", socket(AF_UNIX, SOCK_STREAM, 0));
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "a" }, name;
	must("on", set_int(fd, SOL_SOCKET, SO_PASSPIDFD_OPTION, 1));
	must("connect", connect(fd, (struct sockaddr *)&address, sizeof(address)));
	socklen_t length = sizeof(name);
	must("name", getsockname(fd, (struct sockaddr *)&name, &length));
	observe("length", length);
	int server = (int)must("accept", accept(listener, NULL, NULL));
	must("send", send(server, "abc", 3, 0));
	receive_pidfd("receive", fd, 256, 0);
}
