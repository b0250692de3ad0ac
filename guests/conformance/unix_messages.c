/* AF_UNIX: what control messages carry: descriptors and credentials. */
#define _GNU_SOURCE
#include "unix.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

static int files[300];

static int open_null(void)
{
	return (int)must("open", open("/dev/null", O_RDWR));
}

CASE(rights_one)
{
	int pair[2], pipes[2];
	char bytes[8];
	unix_pair(SOCK_STREAM, pair);
	must("pipe", pipe(pipes));
	observe("send", send_files(pair[0], &pipes[1], 1));
	close(pipes[1]);
	observe("count", receive_files("receive", pair[1], files, CMSG_SPACE(4), 0));
	observe("write", write(files[0], "abc", 3));
	observe_bytes("read", read(pipes[0], bytes, sizeof(bytes)), bytes);
	observe("cloexec", fcntl(files[0], F_GETFD));
	close(files[0]);
	observe("eof", read(pipes[0], bytes, sizeof(bytes)));
}

CASE(rights_cloexec)
{
	int pair[2], fd = open_null();
	unix_pair(SOCK_DGRAM, pair);
	must("send", send_files(pair[0], &fd, 1));
	receive_files("receive", pair[1], files, CMSG_SPACE(4), MSG_CMSG_CLOEXEC);
	observe("cloexec", fcntl(files[0], F_GETFD));
}

CASE(rights_many)
{
	int pair[2], fd = open_null(), sent[300];
	unix_pair(SOCK_STREAM, pair);
	for (int i = 0; i < 300; i++)
		sent[i] = fd;
	observe("send-253", send_files(pair[0], sent, 253));
	observe("count", receive_files("receive", pair[1], files, CMSG_SPACE(4 * 300), 0));
	observe("open", fcntl(files[252], F_GETFD));
	observe("send-254", send_files(pair[0], sent, 254));
	observe("send-0", send_files(pair[0], sent, 0));
	receive_files("receive", pair[1], files, CMSG_SPACE(4), MSG_DONTWAIT);
	sent[1] = -1;
	observe("send-bad", send_files(pair[0], sent, 2));
	sent[1] = 999;
	observe("send-closed", send_files(pair[0], sent, 2));
}

CASE(rights_truncated)
{
	int pair[2], fd = open_null(), sent[3] = { fd, fd, fd };
	static const size_t rooms[] = { 0,           8,
		                        CMSG_LEN(0), CMSG_LEN(4),
		                        CMSG_LEN(7), CMSG_SPACE(4),
		                        CMSG_LEN(8), CMSG_SPACE(12) };
	unix_pair(SOCK_STREAM, pair);
	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		must("send", send_files(pair[0], sent, 3));
		receive_files("receive", pair[1], files, rooms[i], 0);
	}
	must("send", send_files(pair[0], sent, 3));
	char byte;
	observe("recv", recv(pair[1], &byte, 1, 0));
	int next = open_null();
	observe("lowest", next - fd);
}

CASE(rights_no_room_in_table)
{
	int pair[2], fd = open_null(), sent[3] = { fd, fd, fd };
	unix_pair(SOCK_STREAM, pair);
	must("send", send_files(pair[0], sent, 3));
	struct rlimit limit = { (rlim_t)pair[1] + 3, 1024 };
	must("limit", setrlimit(RLIMIT_NOFILE, &limit));
	receive_files("receive", pair[1], files, CMSG_SPACE(12), 0);
	must("send", send_files(pair[0], sent, 3));
	receive_files("receive", pair[1], files, CMSG_SPACE(12), 0);
}

CASE(rights_stop_a_read)
{
	int pair[2], fd = open_null();
	char bytes[16];
	unix_pair(SOCK_STREAM, pair);
	must("send", send(pair[0], "ab", 2, 0));
	must("send", send_files(pair[0], &fd, 1));
	must("send", send(pair[0], "cd", 2, 0));
	must("send", send_files(pair[0], &fd, 1));
	for (int i = 0; i < 4; i++)
		receive_files("receive", pair[1], files, CMSG_SPACE(40), MSG_DONTWAIT);
	must("send", send_files(pair[0], &fd, 1));
	must("send", send_files(pair[0], &fd, 1));
	observe_bytes("read", read(pair[1], bytes, sizeof(bytes)), bytes);
	observe_bytes("recv", recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
}

CASE(rights_peek)
{
	int pair[2], fd = open_null();
	unix_pair(SOCK_DGRAM, pair);
	must("send", send_files(pair[0], &fd, 1));
	observe("count", receive_files("peek", pair[1], files, CMSG_SPACE(4), MSG_PEEK));
	observe("open", fcntl(files[0], F_GETFD));
	observe("count", receive_files("receive", pair[1], files, CMSG_SPACE(4), 0));
	observe("open", fcntl(files[0], F_GETFD));
	unix_pair(SOCK_STREAM, pair);
	must("send", send_files(pair[0], &fd, 1));
	observe("count", receive_files("peek", pair[1], files, CMSG_SPACE(4), MSG_PEEK));
	observe("count", receive_files("receive", pair[1], files, CMSG_SPACE(4), 0));
}

CASE(rights_queued_close)
{
	int pair[2], pipes[2];
	char byte;
	unix_pair(SOCK_STREAM, pair);
	must("pipe", pipe(pipes));
	must("send", send_files(pair[0], &pipes[1], 1));
	close(pipes[1]);
	fcntl(pipes[0], F_SETFL, O_NONBLOCK);
	observe("open", read(pipes[0], &byte, 1));
	close(pair[0]);
	observe("sender-closed", read(pipes[0], &byte, 1));
	close(pair[1]);
	observe("receiver-closed", read(pipes[0], &byte, 1));
}

/* A socket that waits in its own queue goes when nobody else holds it. */
CASE(rights_cycle)
{
	int pair[2], pipes[2];
	char byte;
	must("pipe", pipe(pipes));
	unix_pair(SOCK_STREAM, pair);
	int sent[2] = { pair[1], pipes[1] };
	must("send", send_files(pair[0], sent, 2));
	close(pipes[1]);
	close(pair[0]);
	close(pair[1]);
	unix_pair(SOCK_STREAM, pair); /* Linux collects when sockets are used again */
	must("send", send_files(pair[0], &pair[1], 1));
	close(pair[0]);
	close(pair[1]);
	observe_poll("poll", pipes[0], POLLIN, 3000);
	observe("read", read(pipes[0], &byte, 1));
}

CASE(rights_of_inet)
{
	int pair[2], fd = open_null();
	tcp_pair(pair);
	observe("tcp", send_files(pair[0], &fd, 1));
	udp_pair(pair);
	observe("udp", send_files(pair[0], &fd, 1));
}

CASE(rights_between_processes)
{
	int pair[2], listener;
	struct sockaddr_in address;
	unix_pair(SOCK_SEQPACKET, pair);
	pid_t child = (pid_t)must("fork", fork());
	if (!child) {
		listener = tcp_listener(1, &address);
		must("send", send_files(pair[1], &listener, 1));
		_exit(0);
	}
	must("wait", waitpid(child, NULL, 0));
	receive_files("receive", pair[0], files, CMSG_SPACE(4), 0);
	address = name_of(files[0]);
	observe("connect", connect_to(tcp_socket(), address));
	observe("accept", accept(files[0], NULL, NULL) >= 0);
}

static ssize_t send_credentials(int fd, struct ucred who, size_t length)
{
	union {
		char bytes[CMSG_SPACE(sizeof(who))];
		struct cmsghdr header;
	} control = { 0 };
	char byte = 'c';
	struct iovec vector = { &byte, 1 };
	struct msghdr message = { .msg_iov = &vector,
		                  .msg_iovlen = 1,
		                  .msg_control = &control,
		                  .msg_controllen = sizeof(control) };
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_CREDENTIALS;
	control.header.cmsg_len = CMSG_LEN(length);
	memcpy(CMSG_DATA(&control.header), &who, sizeof(who));
	return sendmsg(fd, &message, 0);
}

static void receive_credentials(int fd)
{
	union {
		char bytes[100];
		struct cmsghdr header;
	} control;
	char byte;
	struct iovec vector = { &byte, 1 };
	struct msghdr message = { .msg_iov = &vector,
		                  .msg_iovlen = 1,
		                  .msg_control = &control,
		                  .msg_controllen = sizeof(control) };
	observe("recvmsg", recvmsg(fd, &message, MSG_DONTWAIT));
	observe("control", (long)message.msg_controllen);
	struct cmsghdr *part = CMSG_FIRSTHDR(&message);
	if (!part)
		return;
	struct ucred who;
	memcpy(&who, CMSG_DATA(part), sizeof(who));
	observe_text("from", "%s,%d,%d",
	             who.pid == getpid()    ? "self"
	             : who.pid == getppid() ? "parent"
	             : who.pid              ? "other"
	                                    : "0",
	             (int)who.uid, (int)who.gid);
}

CASE(credentials)
{
	int pair[2], on = 1;
	struct ucred who = { getpid(), 0, 0 };
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };
	for (int i = 0; i < 3; i++) {
		unix_pair(types[i], pair);
		observe("send", send_credentials(pair[0], who, sizeof(who)));
		receive_credentials(pair[1]);
		must("send", send(pair[0], "x", 1, 0));
		must("passcred", setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
		receive_credentials(pair[1]);
		must("send", send(pair[0], "y", 1, 0));
		receive_credentials(pair[1]);
	}
}

CASE(credentials_forged)
{
	int pair[2], on = 1;
	struct ucred who = { getpid(), 5, 6 };
	unix_pair(SOCK_STREAM, pair);
	must("passcred", setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
	observe("root", send_credentials(pair[0], who, sizeof(who)));
	receive_credentials(pair[1]);
	who.pid = getppid();
	observe("parent", send_credentials(pair[0], who, sizeof(who)));
	receive_credentials(pair[1]);
	who.pid = 999999;
	observe("nobody", send_credentials(pair[0], who, sizeof(who)));
	who.pid = getpid();
	observe("length", send_credentials(pair[0], who, sizeof(who) - 4));
	must("setgid", setresgid(1000, 1000, 1000));
	must("setuid", setresuid(1000, 1000, 1000));
	observe("user", send_credentials(pair[0], who, sizeof(who)));
	who.uid = who.gid = 1000;
	observe("own", send_credentials(pair[0], who, sizeof(who)));
	receive_credentials(pair[1]);
	who.pid = getppid();
	observe("pid", send_credentials(pair[0], who, sizeof(who)));
}

CASE(credentials_stop_a_read)
{
	int pair[2], on = 1;
	char bytes[8];
	unix_pair(SOCK_STREAM, pair);
	must("passcred", setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
	must("send", send(pair[0], "ab", 2, 0));
	pid_t child = (pid_t)must("fork", fork());
	if (!child) {
		must("send", send(pair[0], "cd", 2, 0));
		_exit(0);
	}
	must("wait", waitpid(child, NULL, 0));
	observe_bytes("read", read(pair[1], bytes, sizeof(bytes)), bytes);
	observe_bytes("read", recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
}

CASE(credentials_and_rights)
{
	int pair[2], on = 1, fd = open_null();
	unix_pair(SOCK_STREAM, pair);
	must("passcred", setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
	must("send", send_files(pair[0], &fd, 1));
	receive_files("receive", pair[1], files, CMSG_SPACE(12) + CMSG_SPACE(4), 0);
	must("send", send_files(pair[0], &fd, 1));
	receive_files("receive", pair[1], files, CMSG_SPACE(12), 0);
	must("send", send_files(pair[0], &fd, 1));
	receive_files("receive", pair[1], files, CMSG_SPACE(4), 0);
}

CASE(control_malformed)
{
	int pair[2];
	union {
		char bytes[64];
		struct cmsghdr header;
	} control = { 0 };
	char byte = 'x';
	struct iovec vector = { &byte, 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control };
	unix_pair(SOCK_STREAM, pair);
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	static const size_t lengths[][2] = {
		{ 0, 24 },  { 8, 24 },  { 16, 24 }, { 20, 12 },
		{ 20, 16 }, { 64, 24 }, { 18, 24 }, { (size_t)-1, 24 }
	};
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		control.header.cmsg_len = lengths[i][0];
		message.msg_controllen = lengths[i][1];
		observe("send", sendmsg(pair[0], &message, 0));
	}
	control.header.cmsg_len = CMSG_LEN(4);
	message.msg_controllen = CMSG_SPACE(4);
	control.header.cmsg_type = 99;
	observe("type", sendmsg(pair[0], &message, 0));
	control.header.cmsg_level = IPPROTO_IP;
	observe("level", sendmsg(pair[0], &message, 0));
	message.msg_controllen = 1ul << 40;
	observe("huge", sendmsg(pair[0], &message, 0));
}
