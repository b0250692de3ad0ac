/* AF_UNIX: data, its limits and its end. */
#define _GNU_SOURCE
#include "unix.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

static void *volatile bad_pointer = (void *)16;
static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };
static char large[300000];

CASE(unix_boundaries)
{
	char bytes[16];
	int pair[2];
	for (int i = 0; i < 3; i++) {
		unix_pair(types[i], pair);
		observe("send", send(pair[0], "abcdef", 6, 0));
		observe("send", send(pair[0], "gh", 2, 0));
		observe_bytes("recv", recv(pair[1], bytes, 4, 0), bytes);
		observe_bytes("recv", recv(pair[1], bytes, sizeof(bytes), 0), bytes);
		observe_bytes("recv", recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
	}
}

CASE(unix_peek)
{
	char bytes[16];
	int pair[2];
	for (int i = 0; i < 3; i++) {
		unix_pair(types[i], pair);
		must("send", send(pair[0], "abcdef", 6, 0));
		must("send", send(pair[0], "gh", 2, 0));
		observe_bytes("peek", recv(pair[1], bytes, 4, MSG_PEEK), bytes);
		observe_bytes("peek", recv(pair[1], bytes, sizeof(bytes), MSG_PEEK), bytes);
		observe("trunc", recv(pair[1], bytes, 1, MSG_PEEK | MSG_TRUNC));
		observe_bytes("recv", recv(pair[1], bytes, sizeof(bytes), 0), bytes);
		observe_bytes("waitall",
		              recv(pair[1], bytes, sizeof(bytes), MSG_WAITALL | MSG_DONTWAIT),
		              bytes);
	}
}

CASE(unix_truncation)
{
	char bytes[16];
	int pair[2];
	for (int i = 0; i < 3; i++) {
		unix_pair(types[i], pair);
		must("send", send(pair[0], "abcdef", 6, 0));
		struct iovec vector = { bytes, 3 };
		struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
		observe("recvmsg", recvmsg(pair[1], &message, 0));
		observe_text("flags", "%x", (unsigned)message.msg_flags);
		must("send", send(pair[0], "abcdef", 6, 0));
		observe("trunc", recv(pair[1], bytes, 2, MSG_TRUNC));
		must("send", send(pair[0], "abcdef", 6, MSG_EOR));
		vector.iov_len = sizeof(bytes);
		observe("eor", recvmsg(pair[1], &message, 0));
		observe_text("flags", "%x", (unsigned)message.msg_flags);
	}
}

CASE(unix_empty)
{
	char bytes[4];
	int pair[2];
	for (int i = 0; i < 3; i++) {
		unix_pair(types[i], pair);
		observe("send", send(pair[0], "", 0, 0));
		observe_poll("poll", pair[1], POLLIN, 0);
		observe("recv", recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT));
		observe("recv-0", recv(pair[1], bytes, 0, MSG_DONTWAIT));
		observe("write", write(pair[0], "", 0));
		observe_poll("poll", pair[1], POLLIN, 0);
		must("send", send(pair[0], "ab", 2, 0));
		observe("recv-0", recv(pair[1], bytes, 0, MSG_DONTWAIT));
		observe("recv", recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT));
	}
}

CASE(unix_flags)
{
	char byte;
	int pair[2];
	for (int i = 0; i < 3; i++) {
		unix_pair(types[i], pair);
		observe("oob", send(pair[0], "x", 1, MSG_OOB));
		observe("more", send(pair[0], "x", 1, MSG_MORE));
		observe("confirm", send(pair[0], "x", 1, MSG_CONFIRM | MSG_DONTROUTE));
		observe("fastopen", send(pair[0], "x", 1, MSG_FASTOPEN));
		observe("recv-oob", recv(pair[1], &byte, 1, MSG_OOB | MSG_DONTWAIT));
		observe("errqueue", recv(pair[1], &byte, 1, MSG_ERRQUEUE));
		observe("unknown", recv(pair[1], &byte, 1, 0x10000000 | MSG_DONTWAIT));
	}
}

/* SOCK_STREAM has urgent data since Linux 5.15. */
CASE(unix_oob)
{
	char bytes[16];
	int pair[2], mark = -1;
	unix_pair(SOCK_STREAM, pair);
	observe("none", recv(pair[1], bytes, 1, MSG_OOB));
	must("send", send(pair[0], "ab", 2, 0));
	observe("send", send(pair[0], "cd", 2, MSG_OOB));
	observe_poll("poll", pair[1], POLLIN | POLLPRI, 0);
	observe_bytes("recv", recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
	observe("atmark", ioctl(pair[1], 0x8905, &mark));
	observe("mark", mark);
	observe_bytes("oob", recv(pair[1], bytes, sizeof(bytes), MSG_OOB), bytes);
	observe("again", recv(pair[1], bytes, sizeof(bytes), MSG_OOB));
	observe_poll("poll", pair[1], POLLIN | POLLPRI, 0);
}

CASE(unix_send_errors)
{
	struct sockaddr_un address;
	socklen_t length;
	for (int i = 0; i < 3; i++) {
		int fd = unix_socket(types[i]), pair[2];
		length = unix_address(&address, "nobody");
		observe("unconnected", send(fd, "x", 1, MSG_NOSIGNAL));
		observe("write", write(fd, "x", 1));
		observe("sendto",
		        sendto(fd, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&address, length));
		unix_pair(types[i], pair);
		observe("pair-sendto",
		        sendto(pair[0], "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&address, length));
		observe("name-length", sendto(pair[0], "x", 1, 0, (struct sockaddr *)&address, 1));
		observe("pointer", send(pair[0], bad_pointer, 5, 0));
		struct iovec parts[] = { { (void *)"abc", 3 }, { bad_pointer, 3 } };
		observe("half-bad", writev(pair[0], parts, 2));
	}
}

CASE(unix_receive_errors)
{
	char bytes[8];
	for (int i = 0; i < 3; i++) {
		int fd = unix_socket(types[i] | SOCK_NONBLOCK), pair[2];
		observe("unconnected", recv(fd, bytes, sizeof(bytes), 0));
		observe("read", read(fd, bytes, sizeof(bytes)));
		unix_pair(types[i], pair);
		must("send", send(pair[0], "abc", 3, 0));
		observe("pointer", recv(pair[1], bad_pointer, 3, 0));
		observe_bytes("after", recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
	}
}

CASE(unix_message_too_long)
{
	int pair[2], size = 1;
	static const int sizes[] = { 2303, 4575,   4576,   4577,   4608,
		                     5000, 212000, 212959, 212960, 212961 };
	for (int i = 1; i < 3; i++) {
		unix_pair(types[i], pair);
		for (size_t j = 6; j < sizeof(sizes) / sizeof(sizes[0]); j++) {
			observe("send", send(pair[0], large, (size_t)sizes[j], 0));
			recv(pair[1], large, sizeof(large), MSG_DONTWAIT);
		}
		must("sndbuf", setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)));
		for (size_t j = 0; j < 6; j++) {
			observe("small", send(pair[0], large, (size_t)sizes[j], 0));
			recv(pair[1], large, sizeof(large), MSG_DONTWAIT);
		}
	}
}

CASE(unix_datagram_queue_full)
{
	struct sockaddr_un address;
	int server = unix_server(SOCK_DGRAM, "server", 0),
	    client = unix_socket(SOCK_DGRAM | SOCK_NONBLOCK);
	int count = 0;
	must("connect", unix_connect(client, "server"));
	while (send(client, "x", 1, 0) == 1)
		count++;
	observe("full", -1);
	observe("count", count);
	observe_poll("poll", client, POLLOUT, 0);
	int other = unix_socket(SOCK_DGRAM | SOCK_NONBLOCK);
	socklen_t length = unix_address(&address, "server");
	observe("other", sendto(other, "x", 1, 0, (struct sockaddr *)&address, length));
	observe_poll("unconnected", other, POLLOUT, 0);
	must("recv", recv(server, &address, 1, 0));
	observe_poll("one-taken", client, POLLOUT, 0);
	observe("send", send(client, "x", 1, 0));
	observe("send", send(client, "x", 1, 0));
}

/* Between two that are connected to each other only the sender's buffer counts. */
CASE(unix_datagram_pair_full)
{
	int pair[2], count = 0;
	char byte;
	unix_pair(SOCK_DGRAM | SOCK_NONBLOCK, pair);
	while (send(pair[0], "x", 1, 0) == 1)
		count++;
	observe("full", -1);
	observe("count", count);
	observe_poll("poll", pair[0], POLLOUT, 0);
	for (int i = 0; i < count / 2; i++)
		recv(pair[1], &byte, 1, 0);
	observe_poll("half", pair[0], POLLOUT, 0);
	while (recv(pair[1], &byte, 1, 0) == 1)
		;
	observe_poll("empty", pair[0], POLLOUT, 0);
}

CASE(unix_stream_full)
{
	int pair[2];
	static const size_t sizes[] = { 1, 100, 4096, 65536, 300000 };
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		ssize_t result;
		long total = 0;
		unix_pair(SOCK_STREAM | SOCK_NONBLOCK, pair);
		while ((result = send(pair[0], large, sizes[i], 0)) > 0)
			total += result;
		observe("full", result);
		observe("total", total);
		observe_poll("poll", pair[0], POLLOUT, 0);
		while (recv(pair[1], large, sizeof(large), 0) > 0)
			;
		observe_poll("empty", pair[0], POLLOUT, 0);
		close(pair[0]);
		close(pair[1]);
	}
}

CASE(unix_datagram_connected_elsewhere)
{
	struct sockaddr_un address;
	int pair[2], third = unix_socket(SOCK_DGRAM | SOCK_NONBLOCK);
	unix_pair(SOCK_DGRAM, pair);
	must("bind", unix_bind(pair[0], "taken"));
	observe("connect", unix_connect(third, "taken"));
	socklen_t length = unix_address(&address, "taken");
	observe("sendto", sendto(third, "x", 1, 0, (struct sockaddr *)&address, length));
}

CASE(unix_datagram_source)
{
	struct sockaddr_un address = { 0 };
	char bytes[8];
	int server = unix_server(SOCK_DGRAM, "server", 0), client = unix_socket(SOCK_DGRAM);
	socklen_t length = unix_address(&address, "server");
	must("send", sendto(client, "a", 1, 0, (struct sockaddr *)&address, length));
	length = sizeof(address);
	int result = (int)recvfrom(server, bytes, sizeof(bytes), 0, (struct sockaddr *)&address,
	                           &length);
	observe("unnamed", result);
	observe("length", length);
	must("bind", unix_bind(client, "client"));
	length = unix_address(&address, "server");
	must("send", sendto(client, "b", 1, 0, (struct sockaddr *)&address, length));
	close(client);
	length = sizeof(address);
	result = (int)recvfrom(server, bytes, sizeof(bytes), 0, (struct sockaddr *)&address,
	                       &length);
	observe_address("named", result, &address, length);
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	must("bind", unix_bind(pair[0], "stream"));
	must("send", send(pair[0], "c", 1, 0));
	length = sizeof(address);
	result = (int)recvfrom(pair[1], bytes, sizeof(bytes), 0, (struct sockaddr *)&address,
	                       &length);
	observe("stream", result);
	observe("length", length);
}

CASE(unix_datagram_peer_closed)
{
	char bytes[4];
	int server = unix_server(SOCK_DGRAM, "server", 0),
	    client = unix_socket(SOCK_DGRAM | SOCK_NONBLOCK);
	must("connect", unix_connect(client, "server"));
	must("send", send(client, "x", 1, 0));
	close(server);
	observe_poll("poll", client, POLLIN | POLLOUT | POLLRDHUP, 0);
	observe_peer("peer", client);
	int error = -1;
	socklen_t length = sizeof(error);
	getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &length);
	observe("so-error", error);
	observe("send", send(client, "x", 1, MSG_NOSIGNAL));
	observe("send", send(client, "x", 1, MSG_NOSIGNAL));
	observe("recv", recv(client, bytes, sizeof(bytes), 0));
	observe_peer("peer", client);
	must("unlink", unlink("server"));
	server = unix_server(SOCK_DGRAM, "server", 0);
	observe("connect", unix_connect(client, "server"));
	observe("send", send(client, "x", 1, 0));
	struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	observe("dissolve", connect(client, &nobody, sizeof(nobody)));
	observe_peer("peer", client);
	observe("send", send(client, "x", 1, 0));
	int pair[2];
	unix_pair(SOCK_DGRAM | SOCK_NONBLOCK, pair);
	must("send", send(pair[0], "a", 1, 0));
	close(pair[0]);
	observe_poll("pair", pair[1], POLLIN | POLLOUT | POLLRDHUP, 0);
	observe_bytes("recv", recv(pair[1], bytes, sizeof(bytes), 0), bytes);
	observe("recv", recv(pair[1], bytes, sizeof(bytes), 0));
	observe("send", send(pair[1], "b", 1, MSG_NOSIGNAL));
	observe("send", send(pair[1], "b", 1, MSG_NOSIGNAL));
}

/* What the other end sees of each way to end. */
static void observe_end(int fd)
{
	char bytes[8];
	int error = -1;
	socklen_t length = sizeof(error);
	observe_poll("poll", fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	observe_bytes("recv", recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
	observe_bytes("recv", recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
	observe("send", send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT));
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
	observe("so-error", error);
}

static void try_end(int type, int how)
{
	static const char *const names[] = { "shut-rd", "shut-wr", "shut-rdwr" };
	int pair[2];
	unix_pair(type, pair);
	must("send", send(pair[0], "ab", 2, 0));
	observe(names[how], shutdown(pair[0], how));
	observe_end(pair[0]);
	observe_text("peer", "%s", "");
	observe_end(pair[1]);
	close(pair[0]);
	close(pair[1]);
}

CASE(unix_shutdown_stream)
{
	for (int how = 0; how < 3; how++)
		try_end(SOCK_STREAM, how);
}

CASE(unix_shutdown_dgram)
{
	for (int how = 0; how < 3; how++)
		try_end(SOCK_DGRAM, how);
}

CASE(unix_shutdown_seqpacket)
{
	for (int how = 0; how < 3; how++)
		try_end(SOCK_SEQPACKET, how);
}

CASE(unix_shutdown_errors)
{
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	observe("how", shutdown(pair[0], 3));
	observe("negative", shutdown(pair[0], -1));
	observe("unconnected", shutdown(unix_socket(SOCK_STREAM), SHUT_RDWR));
	observe("dgram", shutdown(unix_socket(SOCK_DGRAM), SHUT_RDWR));
	observe("twice", shutdown(pair[0], SHUT_WR));
	observe("twice", shutdown(pair[0], SHUT_WR));
	close(pair[1]);
	observe("closed", shutdown(pair[0], SHUT_RDWR));
}

CASE(unix_close_unread)
{
	int pair[2];
	for (int i = 0; i < 3; i += 2) {
		unix_pair(types[i], pair);
		must("send", send(pair[0], "abc", 3, 0));
		must("send", send(pair[1], "de", 2, 0));
		close(pair[1]);
		observe_end(pair[0]);
		unix_pair(types[i], pair);
		must("send", send(pair[1], "de", 2, 0));
		close(pair[1]);
		observe_end(pair[0]);
	}
}

CASE(unix_sigpipe)
{
	int pair[2];
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (int i = 0; i < 3; i++) {
		struct timespec none = { 0, 0 };
		unix_pair(types[i], pair);
		must("shutdown", shutdown(pair[0], SHUT_WR));
		observe("nosignal", send(pair[0], "x", 1, MSG_NOSIGNAL));
		observe("signal", sigtimedwait(&set, NULL, &none));
		observe("send", send(pair[0], "x", 1, 0));
		observe("signal", sigtimedwait(&set, NULL, &none));
		observe("write", write(pair[0], "x", 1));
		observe("signal", sigtimedwait(&set, NULL, &none));
	}
}

CASE(unix_half_close)
{
	int pair[2];
	char bytes[16];
	unix_pair(SOCK_STREAM, pair);
	must("send", send(pair[0], "request", 7, 0));
	must("shutdown", shutdown(pair[0], SHUT_WR));
	observe_bytes("recv", recv(pair[1], bytes, sizeof(bytes), 0), bytes);
	observe("eof", recv(pair[1], bytes, sizeof(bytes), 0));
	observe("send", send(pair[1], "response", 8, 0));
	close(pair[1]);
	observe_bytes("recv", recv(pair[0], bytes, sizeof(bytes), 0), bytes);
	observe("eof", recv(pair[0], bytes, sizeof(bytes), 0));
}
