/*
 * test_sockets: AF_INET sockets over loopback, checked against what Linux does (the same
 * program passes there). Prints one line per failed check, then a summary; exits with 0 when there
 * was none.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test_check.h"

static struct sockaddr_in local(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

static int option(int fd, int level, int name)
{
	int value = -12345;
	socklen_t length = sizeof(value);
	return getsockopt(fd, level, name, &value, &length) ? -1 : value;
}

static int set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

static struct sockaddr_in name_of(int fd)
{
	struct sockaddr_in address = { 0 };
	socklen_t length = sizeof(address);
	EQ(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	EQ(length, sizeof(address));
	return address;
}

static int listener(struct sockaddr_in *where, int backlog)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	*where = local(0);
	EQ(bind(fd, (struct sockaddr *)where, sizeof(*where)), 0);
	EQ(listen(fd, backlog), 0);
	*where = name_of(fd);
	return fd;
}

static void tcp_pair(int fds[2])
{
	struct sockaddr_in where;
	int listening = listener(&where, 5);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	EQ(connect(fds[0], (struct sockaddr *)&where, sizeof(where)), 0);
	fds[1] = accept(listening, NULL, NULL);
	close(listening);
}

static void test_creation(void)
{
	int pair[2];
	FAILS(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
	FAILS(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
	FAILS(socket(AF_INET, 42, 0), EINVAL);
	FAILS(socket(AF_INET, SOCK_STREAM | 0x100000, 0), EINVAL);
	FAILS(socket(99, SOCK_STREAM, 0), EAFNOSUPPORT);
	FAILS(socket(AF_INET, SOCK_STREAM, 300), EINVAL);
	FAILS(socket(AF_UNIX, SOCK_STREAM, 7), EPROTONOSUPPORT);
	FAILS(socketpair(AF_INET, SOCK_STREAM, 0, pair), EOPNOTSUPP);
	FAILS(bind(99, NULL, 0), EBADF);
	FAILS(listen(STDOUT_FILENO, 1), ENOTSOCK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	EQ(fcntl(fd, F_GETFL), O_RDWR | O_NONBLOCK);
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	EQ(option(fd, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
	EQ(option(fd, SOL_SOCKET, SO_DOMAIN), AF_INET);
	EQ(option(fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
	EQ(option(fd, SOL_SOCKET, SO_ACCEPTCONN), 0);
	struct sockaddr_in where = local(0);
	FAILS(bind(fd, (struct sockaddr *)&where, 4), EINVAL);
	where.sin_family = AF_INET6;
	FAILS(bind(fd, (struct sockaddr *)&where, sizeof(where)), EAFNOSUPPORT);
	where = local(0);
	where.sin_addr.s_addr = htonl(0x08080808);
	FAILS(bind(fd, (struct sockaddr *)&where, sizeof(where)), EADDRNOTAVAIL);
	FAILS(bind(fd, (struct sockaddr *)bad_pointer, sizeof(where)), EFAULT);
	socklen_t length = sizeof(where);
	FAILS(getpeername(fd, (struct sockaddr *)&where, &length), ENOTCONN);
	FAILS(accept(fd, NULL, NULL), EINVAL);
	FAILS(shutdown(fd, SHUT_WR), ENOTCONN);
	FAILS(shutdown(fd, 7), EINVAL);
	FAILS(recv(fd, pair, 4, 0), ENOTCONN);
	FAILS(send(fd, pair, 4, MSG_NOSIGNAL), EPIPE);
	EQ(ready(fd, POLLIN | POLLOUT, 0), POLLOUT | POLLHUP);
	EQ(close(fd), 0);
}

static void test_connect(void)
{
	struct sockaddr_in where;
	int listening = listener(&where, 5);
	EQ(option(listening, SOL_SOCKET, SO_ACCEPTCONN), 1);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	FAILS(connect(fd, (struct sockaddr *)&where, sizeof(where)), EINPROGRESS);
	EQ(ready(fd, POLLOUT, 1000), POLLOUT);
	EQ(option(fd, SOL_SOCKET, SO_ERROR), 0);
	EQ(connect(fd, (struct sockaddr *)&where, sizeof(where)), 0);
	FAILS(connect(fd, (struct sockaddr *)&where, sizeof(where)), EISCONN);
	FAILS(connect(listening, (struct sockaddr *)&where, sizeof(where)), EISCONN);
	EQ(ready(listening, POLLIN, 1000), POLLIN);
	struct sockaddr_in peer;
	socklen_t length = sizeof(peer);
	int server =
	        accept4(listening, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
	EQ(length, sizeof(peer));
	EQ(peer.sin_port, name_of(fd).sin_port);
	EQ(fcntl(server, F_GETFL), O_RDWR | O_NONBLOCK);
	EQ(fcntl(server, F_GETFD), FD_CLOEXEC);
	fcntl(listening, F_SETFL, O_NONBLOCK);
	FAILS(accept(listening, NULL, NULL), EAGAIN);
	FAILS(accept4(listening, NULL, NULL, 1), EINVAL);
	close(listening);
	close(server);
	close(fd);
	/* Refused: through SO_ERROR once, then gone. */
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (connect(fd, (struct sockaddr *)&where, sizeof(where)) == -1 && errno == EINPROGRESS) {
		EQ(ready(fd, POLLOUT, 1000) & (POLLERR | POLLHUP), POLLERR | POLLHUP);
		EQ(option(fd, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
		EQ(option(fd, SOL_SOCKET, SO_ERROR), 0);
	}
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	FAILS(connect(fd, (struct sockaddr *)&where, sizeof(where)), ECONNREFUSED);
	listening = listener(&where, 1);
	EQ(connect(fd, (struct sockaddr *)&where, sizeof(where)), 0);
	close(fd);
	close(listening);
}

static void test_names(void)
{
	struct sockaddr_in where, again;
	int first = listener(&where, 1);
	int second = socket(AF_INET, SOCK_STREAM, 0);
	FAILS(bind(second, (struct sockaddr *)&where, sizeof(where)), EADDRINUSE);
	set(second, SOL_SOCKET, SO_REUSEADDR, 1);
	FAILS(bind(second, (struct sockaddr *)&where, sizeof(where)), EADDRINUSE);
	again = local(0);
	EQ(bind(second, (struct sockaddr *)&again, sizeof(again)), 0);
	FAILS(bind(second, (struct sockaddr *)&again, sizeof(again)), EINVAL);
	close(second);
	close(first);
	first = socket(AF_INET, SOCK_STREAM, 0);
	second = socket(AF_INET, SOCK_STREAM, 0);
	set(first, SOL_SOCKET, SO_REUSEPORT, 1);
	set(second, SOL_SOCKET, SO_REUSEPORT, 1);
	again = local(0);
	EQ(bind(first, (struct sockaddr *)&again, sizeof(again)), 0);
	again = name_of(first);
	EQ(bind(second, (struct sockaddr *)&again, sizeof(again)), 0);
	EQ(listen(first, 1), 0);
	EQ(listen(second, 1), 0);
	close(first);
	close(second);
}

static void test_stream_data(void)
{
	int fds[2];
	char buffer[64];
	tcp_pair(fds);
	EQ(send(fds[0], "hello world", 11, 0), 11);
	EQ(ready(fds[1], POLLIN, 1000), POLLIN);
	int available = 0;
	EQ(ioctl(fds[1], FIONREAD, &available), 0);
	EQ(available, 11);
	EQ(recv(fds[1], buffer, 5, MSG_PEEK), 5);
	EQ(recv(fds[1], buffer, sizeof(buffer), MSG_PEEK), 11);
	EQ(recv(fds[1], buffer, 6, MSG_TRUNC), 6);
	EQ(recv(fds[1], buffer, sizeof(buffer), 0), 5);
	EQ(memcmp(buffer, "world", 5), 0);
	FAILS(recv(fds[1], buffer, sizeof(buffer), MSG_DONTWAIT), EAGAIN);
	EQ(read(fds[1], buffer, 0), 0);
	/* Vectors, one of them empty; then one bad half-way. */
	struct iovec out[3] = { { "ab", 2 }, { NULL, 0 }, { "cdef", 4 } };
	EQ(writev(fds[0], out, 3), 6);
	struct iovec in[2] = { { buffer, 3 }, { buffer + 10, 20 } };
	EQ(ready(fds[1], POLLIN, 1000), POLLIN);
	EQ(readv(fds[1], in, 2), 6);
	EQ(memcmp(buffer, "abc", 3), 0);
	EQ(memcmp(buffer + 10, "def", 3), 0);
	out[1] = (struct iovec){ bad_pointer, 4 };
	FAILS(writev(fds[0], out, 2), EFAULT);
	FAILS(write(fds[0], bad_pointer, 4), EFAULT);
	EQ(send(fds[0], "12345", 5, MSG_MORE), 5);
	EQ(send(fds[0], "67890", 5, 0), 5);
	EQ(recv(fds[1], buffer, 10, MSG_WAITALL), 10);
	EQ(memcmp(buffer, "1234567890", 10), 0);
	struct timeval timeout = { 0, 20000 };
	EQ(setsockopt(fds[1], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
	FAILS(recv(fds[1], buffer, 1, 0), EAGAIN);
	FAILS(read(fds[1], buffer, 1), EAGAIN);
	EQ(send(fds[0], "xy", 2, 0), 2);
	EQ(recv(fds[1], buffer, 5, MSG_WAITALL), 2);
	EQ(set(fds[1], SOL_SOCKET, SO_RCVLOWAT, 4), 0);
	EQ(send(fds[0], "abc", 3, 0), 3);
	EQ(ready(fds[1], POLLIN, 30), 0);
	EQ(send(fds[0], "d", 1, 0), 1);
	EQ(ready(fds[1], POLLIN, 1000), POLLIN);
	close(fds[0]);
	close(fds[1]);
}

static void test_big_transfer(void)
{
	enum { TOTAL = 8 << 20 };
	static unsigned char chunk[65536];
	int fds[2];
	tcp_pair(fds);
	pid_t child = fork();
	if (child == 0) {
		for (long sent = 0; sent < TOTAL;) {
			for (unsigned i = 0; i < sizeof(chunk); i++)
				chunk[i] = (unsigned char)((sent + i) * 7 >> 3);
			ssize_t n = write(fds[0], chunk, sizeof(chunk));
			if (n != sizeof(chunk))
				_exit(1);
			sent += n;
		}
		_exit(0);
	}
	close(fds[0]);
	long received = 0, wrong = 0;
	ssize_t n;
	while ((n = read(fds[1], chunk, sizeof(chunk))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			wrong += chunk[i] != (unsigned char)((received + i) * 7 >> 3);
		received += n;
	}
	EQ(n, 0);
	EQ(received, TOTAL);
	EQ(wrong, 0);
	close(fds[1]);
}

static void test_end_of_life(void)
{
	int fds[2];
	char buffer[16];
	tcp_pair(fds);
	EQ(send(fds[0], "bye", 3, 0), 3);
	EQ(shutdown(fds[0], SHUT_WR), 0);
	pipes = 0;
	FAILS(send(fds[0], "x", 1, 0), EPIPE);
	EQ(pipes, 1);
	FAILS(send(fds[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	EQ(pipes, 1);
	FAILS(write(fds[0], "x", 1), EPIPE);
	EQ(pipes, 2);
	EQ(recv(fds[1], buffer, 3, MSG_WAITALL), 3);
	EQ(recv(fds[1], buffer, sizeof(buffer), 0), 0);
	EQ(recv(fds[1], buffer, sizeof(buffer), 0), 0);
	EQ(ready(fds[1], POLLIN | POLLOUT | POLLRDHUP, 0), POLLIN | POLLOUT | POLLRDHUP);
	EQ(send(fds[1], "answer", 6, 0), 6); /* the other direction lives */
	EQ(recv(fds[0], buffer, 6, MSG_WAITALL), 6);
	close(fds[1]);
	pause_ms(20);
	EQ(ready(fds[0], POLLIN | POLLOUT | POLLRDHUP, 0), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
	close(fds[0]);
	/* Closing with unread data resets. */
	tcp_pair(fds);
	EQ(send(fds[0], "unread", 6, 0), 6);
	EQ(ready(fds[1], POLLIN, 1000), POLLIN);
	close(fds[1]);
	pause_ms(20);
	EQ(ready(fds[0], POLLIN, 0), POLLIN | POLLERR | POLLHUP);
	FAILS(recv(fds[0], buffer, 1, 0), ECONNRESET);
	EQ(recv(fds[0], buffer, 1, 0), 0);
	FAILS(send(fds[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	close(fds[0]);
	tcp_pair(fds);
	struct linger linger = { 1, 0 };
	EQ(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	close(fds[1]);
	pause_ms(20);
	EQ(option(fds[0], SOL_SOCKET, SO_ERROR), ECONNRESET);
	EQ(option(fds[0], SOL_SOCKET, SO_ERROR), 0);
	close(fds[0]);
}

static void test_options(void)
{
	int fds[2];
	tcp_pair(fds);
	static const struct {
		int level, name, value, expected;
	} table[] = {
		{ SOL_SOCKET, SO_REUSEADDR, 7, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1, 1 },
		{ SOL_SOCKET, SO_OOBINLINE, 1, 1 },
		{ SOL_SOCKET, SO_BROADCAST, 1, 1 },
		{ SOL_SOCKET, SO_PRIORITY, 3, 3 },
		{ SOL_SOCKET, SO_SNDBUF, 20000, 40000 },
		{ SOL_SOCKET, SO_SNDBUF, 1, 4608 },
		{ SOL_SOCKET, SO_RCVBUF, 20000, 40000 },
		{ SOL_SOCKET, SO_RCVBUF, 1, 2304 },
		{ IPPROTO_TCP, TCP_NODELAY, 5, 1 },
		{ IPPROTO_TCP, TCP_CORK, 0, 0 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 300, 300 },
		{ IPPROTO_TCP, TCP_KEEPINTVL, 100, 100 },
		{ IPPROTO_TCP, TCP_KEEPCNT, 3, 3 },
		{ IPPROTO_TCP, TCP_SYNCNT, 4, 4 },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, 1500, 1500 },
		{ IPPROTO_TCP, TCP_DEFER_ACCEPT, 5, 7 },
		{ IPPROTO_TCP, TCP_LINGER2, 30, 30 },
		{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16384, 16384 },
		{ IPPROTO_IP, IP_TTL, 33, 33 },
		{ IPPROTO_IP, IP_TOS, 0x10, 0x10 },
		{ IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_PMTUDISC_DO },
	};
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		EQ(set(fds[0], table[i].level, table[i].name, table[i].value), 0);
		int value = option(fds[0], table[i].level, table[i].name);
		if (value != table[i].expected)
			printf("option %d/%d\n", table[i].level, table[i].name);
		EQ(value, table[i].expected);
	}
	EQ(set(fds[0], SOL_SOCKET, SO_SNDBUF, 1 << 28), 0); /* clamped to wmem_max */
	EQ(option(fds[0], SOL_SOCKET, SO_SNDBUF) >= 425984, 1);
	FAILS(set(fds[0], SOL_SOCKET, 9999, 1), ENOPROTOOPT);
	FAILS(set(fds[0], IPPROTO_TCP, 9999, 1), ENOPROTOOPT);
	FAILS(set(fds[0], IPPROTO_TCP, TCP_KEEPIDLE, 0), EINVAL);
	FAILS(set(fds[0], IPPROTO_TCP, TCP_KEEPCNT, 128), EINVAL);
	FAILS(set(fds[0], IPPROTO_TCP, TCP_MAXSEG, 10), EINVAL);
	FAILS(set(fds[0], IPPROTO_IP, IP_TTL, 256), EINVAL);
	FAILS(set(fds[0], SOL_SOCKET, SO_TYPE, 1), ENOPROTOOPT);
	FAILS(setsockopt(fds[0], SOL_SOCKET, SO_KEEPALIVE, "", 1), EINVAL);
	FAILS(setsockopt(fds[0], IPPROTO_TCP, TCP_CONGESTION, "nonesuch", 8), ENOENT);
	EQ(setsockopt(fds[0], IPPROTO_TCP, TCP_CONGESTION, "reno", 4), 0);
	char name[16] = "";
	socklen_t length = sizeof(name);
	EQ(getsockopt(fds[0], IPPROTO_TCP, TCP_CONGESTION, name, &length), 0);
	EQ(strcmp(name, "reno"), 0);
	struct tcp_info information;
	memset(&information, 0, sizeof(information));
	length = sizeof(information);
	EQ(getsockopt(fds[0], IPPROTO_TCP, TCP_INFO, &information, &length), 0);
	EQ(information.tcpi_state, 1);
	EQ(information.tcpi_snd_mss > 1000, 1);
	struct timeval timeout = { 3, 1 }, back;
	EQ(setsockopt(fds[0], SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)), 0);
	length = sizeof(back);
	EQ(getsockopt(fds[0], SOL_SOCKET, SO_SNDTIMEO, &back, &length), 0);
	EQ(back.tv_sec, 3);
	timeout.tv_usec = 1000000;
	FAILS(setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), EDOM);
	close(fds[0]);
	close(fds[1]);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	EQ(option(fd, SOL_SOCKET, SO_RCVBUF), 131072);
	EQ(option(fd, SOL_SOCKET, SO_SNDBUF), 16384);
	close(fd);
}

/* An accepted socket has the listener's options as they were then; from there on each has its own.
 */
static void test_inherited_options(void)
{
	struct sockaddr_in where;
	int door = listener(&where, 5), plain = socket(AF_INET, SOCK_STREAM, 0), fds[3], clients[3];
	EQ(set(door, SOL_SOCKET, SO_PRIORITY, 5), 0);
	EQ(set(door, SOL_SOCKET, SO_KEEPALIVE, 1), 0);
	EQ(set(door, IPPROTO_IP, IP_TTL, 33), 0);
	for (int i = 0; i < 3; i++) {
		clients[i] = socket(AF_INET, SOCK_STREAM, 0);
		EQ(connect(clients[i], (struct sockaddr *)&where, sizeof(where)), 0);
		fds[i] = accept(door, NULL, NULL);
		EQ(option(fds[i], SOL_SOCKET, SO_PRIORITY), 0);
		EQ(option(fds[i], SOL_SOCKET, SO_KEEPALIVE), 1);
		EQ(option(fds[i], IPPROTO_IP, IP_TTL), 33);
	}
	EQ(set(fds[0], SOL_SOCKET, SO_PRIORITY, 1), 0);
	EQ(set(door, SOL_SOCKET, SO_KEEPALIVE, 0), 0);
	EQ(set(fds[1], IPPROTO_IP, IP_TTL, 44), 0);
	close(door);
	EQ(option(fds[0], SOL_SOCKET, SO_PRIORITY), 1);
	EQ(option(fds[1], SOL_SOCKET, SO_PRIORITY), 0);
	EQ(option(fds[0], SOL_SOCKET, SO_KEEPALIVE), 1);
	EQ(option(fds[2], SOL_SOCKET, SO_KEEPALIVE), 1);
	EQ(option(fds[0], IPPROTO_IP, IP_TTL), 33);
	EQ(option(fds[1], IPPROTO_IP, IP_TTL), 44);
	EQ(option(fds[2], IPPROTO_IP, IP_TTL), 33);
	EQ(option(plain, SOL_SOCKET, SO_KEEPALIVE), 0);
	for (int i = 0; i < 3; i++) {
		close(fds[i]);
		close(clients[i]);
	}
	close(plain);
}

static void test_datagrams(void)
{
	char buffer[64];
	int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
	EQ(option(a, SOL_SOCKET, SO_RCVBUF), 212992);
	FAILS(send(a, "x", 1, 0), EDESTADDRREQ);
	struct sockaddr_in where = local(0), from;
	socklen_t length = sizeof(from);
	EQ(bind(b, (struct sockaddr *)&where, sizeof(where)), 0);
	where = name_of(b);
	EQ(sendto(a, "datagram", 8, 0, (struct sockaddr *)&where, sizeof(where)), 8);
	EQ(sendto(a, "", 0, 0, (struct sockaddr *)&where, sizeof(where)), 0);
	EQ(ready(b, POLLIN, 1000), POLLIN);
	EQ(recvfrom(b, buffer, 4, MSG_TRUNC | MSG_PEEK, (struct sockaddr *)&from, &length), 8);
	EQ(from.sin_port, name_of(a).sin_port);
	struct iovec vector = { buffer, 4 };
	struct msghdr header = { .msg_iov = &vector, .msg_iovlen = 1 };
	EQ(recvmsg(b, &header, 0), 4);
	EQ(header.msg_flags, MSG_TRUNC);
	EQ(recv(b, buffer, sizeof(buffer), 0), 0);
	FAILS(recv(b, buffer, sizeof(buffer), MSG_DONTWAIT), EAGAIN);
	struct timeval timeout = { 0, 20000 };
	setsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	FAILS(recv(b, buffer, sizeof(buffer), 0), EAGAIN);
	FAILS(sendto(a, buffer, 65508, 0, (struct sockaddr *)&where, sizeof(where)), EMSGSIZE);
	/* Several at once. */
	EQ(connect(a, (struct sockaddr *)&where, sizeof(where)), 0);
	struct iovec out[3] = { { "one", 3 }, { "three", 5 }, { "four", 4 } };
	struct mmsghdr many[3];
	memset(many, 0, sizeof(many));
	for (int i = 0; i < 3; i++)
		many[i].msg_hdr = (struct msghdr){ .msg_iov = &out[i], .msg_iovlen = 1 };
	EQ(sendmmsg(a, many, 3, 0), 3);
	EQ(many[1].msg_len, 5);
	pause_ms(10);
	char room[4][16];
	struct iovec in[4];
	struct mmsghdr got[4];
	memset(got, 0, sizeof(got));
	for (int i = 0; i < 4; i++) {
		in[i] = (struct iovec){ room[i], sizeof(room[i]) };
		got[i].msg_hdr = (struct msghdr){ .msg_iov = &in[i], .msg_iovlen = 1 };
	}
	EQ(recvmmsg(b, got, 4, MSG_WAITFORONE, NULL), 3);
	EQ(got[2].msg_len, 4);
	EQ(memcmp(room[1], "three", 5), 0);
	/* Ancillary data. */
	EQ(set(b, IPPROTO_IP, IP_PKTINFO, 1), 0);
	EQ(set(b, IPPROTO_IP, IP_RECVTTL, 1), 0);
	EQ(set(b, SOL_SOCKET, SO_TIMESTAMP, 1), 0);
	EQ(send(a, "z", 1, 0), 1);
	char control[256];
	header = (struct msghdr){ .msg_iov = &vector,
		                  .msg_iovlen = 1,
		                  .msg_control = control,
		                  .msg_controllen = sizeof(control) };
	EQ(recvmsg(b, &header, 0), 1);
	int kinds = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c)) {
		kinds += c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMP ? 1 : 0;
		kinds += c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO ? 10 : 0;
		kinds += c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL ? 100 : 0;
	}
	EQ(kinds, 111);
	/* Nobody there. */
	close(b);
	EQ(send(a, "x", 1, 0), 1);
	pause_ms(10);
	FAILS(send(a, "x", 1, 0), ECONNREFUSED);
	where.sin_family = AF_UNSPEC;
	EQ(connect(a, (struct sockaddr *)&where, sizeof(where)), 0);
	FAILS(send(a, "x", 1, 0), EDESTADDRREQ);
	close(a);
}

/* Two processes that take turns: no wake-up is lost, and a timer that expires as it is withdrawn
 * does not keep a program from running. */
static void test_ping_pong(void)
{
	enum { ROUNDS = 10000 };
	struct sockaddr_in where[2];
	socklen_t length = sizeof(*where);
	int fds[2], rounds = 0, status;
	char byte = 0;
	for (int i = 0; i < 2; i++) {
		fds[i] = socket(AF_INET, SOCK_DGRAM, 0);
		where[i] = local(0);
		EQ(bind(fds[i], (struct sockaddr *)&where[i], length), 0);
		where[i] = name_of(fds[i]);
	}
	for (int i = 0; i < 2; i++)
		EQ(connect(fds[i], (struct sockaddr *)&where[!i], length), 0);
	pid_t child = fork();
	if (!child) {
		while (read(fds[1], &byte, 1) == 1 && write(fds[1], &byte, 1) == 1)
			if (++rounds == ROUNDS)
				_exit(0);
		_exit(1);
	}
	while (rounds < ROUNDS && write(fds[0], &byte, 1) == 1 && read(fds[0], &byte, 1) == 1)
		rounds++;
	EQ(rounds, ROUNDS);
	EQ(waitpid(child, &status, 0), child);
	EQ(status, 0);
	close(fds[0]);
	close(fds[1]);
}

/* raw(7), ICMP: every message with its IP header, the own request included; the filter; the peer.
 */
static void test_raw_icmp(void)
{
	struct {
		uint8_t type, code;
		uint16_t checksum, identifier, sequence;
	} request = { .type = 8, .checksum = 0, .identifier = 0x1234, .sequence = 0x0700 };
	request.checksum = (uint16_t) ~(0x0008 + 0x1234 + 0x0700); /* a sum without a carry */
	uint8_t got[64];
	struct sockaddr_in where = local(0);
	struct timeval wait = { .tv_usec = 50000 };
	uint32_t filter = 1u << 8;
	socklen_t length = sizeof(filter);
	FAILS(socket(AF_INET, SOCK_RAW, 0), EPROTONOSUPPORT);
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	EQ(fd >= 0, 1);
	EQ(ntohs(name_of(fd).sin_port), IPPROTO_ICMP);
	EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
	EQ(sendto(fd, &request, sizeof(request), 0, (void *)&where, sizeof(where)), 8);
	for (int type = 8; type >= 0; type -= 8) {
		EQ(recv(fd, got, sizeof(got), 0), 28);
		EQ(got[0], 0x45);
		EQ(got[2] << 8 | got[3], 28);
		EQ(got[9], IPPROTO_ICMP);
		EQ(got[20], type);
		EQ(memcmp(got + 24, &request.identifier, 4), 0);
	}
	FAILS(recv(fd, got, sizeof(got), 0), EAGAIN);
	EQ(setsockopt(fd, 255, 1, &filter, sizeof(filter)), 0); /* SOL_RAW, ICMP_FILTER */
	filter = 0;
	EQ(getsockopt(fd, 255, 1, &filter, &length), 0);
	EQ(filter, 1u << 8);
	EQ(connect(fd, (void *)&where, sizeof(where)), 0);
	EQ(send(fd, &request, sizeof(request), 0), 8);
	EQ(recv(fd, got, sizeof(got), 0), 28);
	EQ(got[20], 0);
	FAILS(recv(fd, got, sizeof(got), 0), EAGAIN);
	where.sin_addr.s_addr = htonl(0x7f000002); /* messages from there only */
	EQ(connect(fd, (void *)&where, sizeof(where)), 0);
	where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	EQ(sendto(fd, &request, sizeof(request), 0, (void *)&where, sizeof(where)), 8);
	FAILS(recv(fd, got, sizeof(got), 0), EAGAIN);
	close(fd);
	pid_t child = fork();
	int status;
	if (!child) {
		if (setuid(1000))
			_exit(1);
		_exit(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) == -1 && errno == EPERM ? 0 : 2);
	}
	EQ(waitpid(child, &status, 0), child);
	EQ(status, 0);
}

static void test_epoll(void)
{
	int fds[2];
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET }, got;
	tcp_pair(fds);
	int set = epoll_create1(0);
	EQ(epoll_ctl(set, EPOLL_CTL_ADD, fds[1], &event), 0);
	EQ(epoll_wait(set, &got, 1, 0), 0);
	EQ(send(fds[0], "x", 1, 0), 1);
	EQ(epoll_wait(set, &got, 1, 1000), 1);
	EQ(got.events, EPOLLIN);
	EQ(epoll_wait(set, &got, 1, 0), 0);
	EQ(send(fds[0], "y", 1, 0), 1);
	EQ(epoll_wait(set, &got, 1, 1000), 1);
	EQ(shutdown(fds[0], SHUT_WR), 0);
	EQ(epoll_wait(set, &got, 1, 1000), 1);
	EQ(got.events, EPOLLIN | EPOLLRDHUP);
	close(fds[0]);
	close(fds[1]);
	EQ(epoll_wait(set, &got, 1, 0), 0);
	close(set);
}

int main(void)
{
	begin();
	test_creation();
	test_connect();
	test_names();
	test_stream_data();
	test_end_of_life();
	test_options();
	test_inherited_options();
	test_datagrams();
	test_ping_pong();
	test_raw_icmp();
	test_epoll();
	test_big_transfer();
	return end("test_sockets");
}
