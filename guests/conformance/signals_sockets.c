/* The same of the calls on sockets, whose timeouts decide, too (signal(7)). */
#define _GNU_SOURCE
#include "signals.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/un.h>
#include <fcntl.h>
#include <time.h>

#define LONG_MS 20000

static char bytes[1 << 20];

static void open_tcp(void)
{
	tcp_pair(fds);
}

static void open_tcp_with_time(void)
{
	tcp_pair(fds);
	set_timeout(fds[0], SO_RCVTIMEO, LONG_MS);
	set_timeout(fds[0], SO_SNDTIMEO, LONG_MS);
}

static void send_two(void)
{
	must("send", send(fds[1], "ab", 2, 0));
}

static long receive(void)
{
	return recv(fds[0], bytes, 100, 0);
}

static long read_it(void)
{
	return read(fds[0], bytes, 100);
}

static long receive_message(void)
{
	struct iovec piece = { bytes, 100 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	return recvmsg(fds[0], &message, 0);
}

static long receive_from(void)
{
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	return recvfrom(fds[0], bytes, 100, 0, (struct sockaddr *)&from, &length);
}

static long peek(void)
{
	return recv(fds[0], bytes, 100, MSG_PEEK);
}

INTERRUPTED(tcp_recv, open_tcp, receive, send_two)
INTERRUPTED(tcp_read, open_tcp, read_it, send_two)
INTERRUPTED(tcp_recvmsg, open_tcp, receive_message, send_two)
INTERRUPTED(tcp_recvfrom, open_tcp, receive_from, send_two)
INTERRUPTED(tcp_peek, open_tcp, peek, send_two)
INTERRUPTED(tcp_recv_with_time, open_tcp_with_time, receive, send_two)
INTERRUPTED(tcp_read_with_time, open_tcp_with_time, read_it, send_two)
INTERRUPTED(tcp_recvmsg_with_time, open_tcp_with_time, receive_message, send_two)

static void open_tcp_with_two(void)
{
	open_tcp();
	send_two();
	struct pollfd entry = { .fd = fds[0], .events = POLLIN };
	must("poll", poll(&entry, 1, -1));
}

static long receive_all(void)
{
	return recv(fds[0], bytes, 4, MSG_WAITALL);
}

INTERRUPTED(tcp_waitall_partly, open_tcp_with_two, receive_all, send_two)

/* Until nothing more is taken, the rest of a window that is smaller than a segment included, which
 * is filled only after a while. */
static void fill(void)
{
	do {
		while (send(fds[0], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
			;
		pause_ms(400);
	} while (send(fds[0], bytes, sizeof(bytes), MSG_DONTWAIT) > 0);
}

static void open_full_tcp(void)
{
	open_tcp();
	fill();
}

static void open_full_tcp_with_time(void)
{
	open_tcp_with_time();
	fill();
}

static void drain(void)
{
	struct pollfd entry = { .fd = fds[1], .events = POLLIN };
	while (poll(&entry, 1, 100) > 0 && recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static long send_little(void)
{
	return send(fds[0], "abc", 3, 0);
}

INTERRUPTED(tcp_send, open_full_tcp, send_little, drain)
INTERRUPTED(tcp_send_with_time, open_full_tcp_with_time, send_little, drain)

static void open_full_tcp_and_file(void)
{
	open_full_tcp();
	fds[2] = (int)must("open", open("file", O_RDWR | O_CREAT, 0600));
	must("write", write(fds[2], bytes, 100));
	must("lseek", lseek(fds[2], 0, SEEK_SET));
}

static long send_file(void)
{
	return sendfile(fds[0], fds[2], NULL, 100);
}

INTERRUPTED(tcp_sendfile, open_full_tcp_and_file, send_file, drain)

static void open_listener(void)
{
	fds[0] = tcp_listener(1, NULL);
}

static void open_listener_with_time(void)
{
	open_listener();
	set_timeout(fds[0], SO_RCVTIMEO, LONG_MS);
}

static long accept_one(void)
{
	int fd = accept(fds[0], NULL, NULL);
	return fd < 0 ? fd : 1;
}

static void connect_one(void)
{
	fds[1] = tcp_socket();
	must("connect", connect_to(fds[1], name_of(fds[0])));
}

INTERRUPTED(tcp_accept, open_listener, accept_one, connect_one)
INTERRUPTED(tcp_accept_with_time, open_listener_with_time, accept_one, connect_one)

static void open_udp(void)
{
	udp_pair(fds);
}

static void open_udp_with_time(void)
{
	udp_pair(fds);
	set_timeout(fds[0], SO_RCVTIMEO, LONG_MS);
}

INTERRUPTED(udp_recv, open_udp, receive, send_two)
INTERRUPTED(udp_recvfrom, open_udp, receive_from, send_two)
INTERRUPTED(udp_recv_with_time, open_udp_with_time, receive, send_two)

static long receive_many(struct timespec *time)
{
	struct iovec pieces[3] = { { bytes, 10 }, { bytes, 10 }, { bytes, 10 } };
	struct mmsghdr messages[3];
	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < 3; i++)
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = pieces + i, .msg_iovlen = 1 };
	return recvmmsg(fds[0], messages, 3, 0, time);
}

static long receive_three(void)
{
	return receive_many(NULL);
}

static long receive_three_in_time(void)
{
	struct timespec time = { 20, 0 };
	long result = receive_many(&time);
	note_more("%s", time.tv_sec == 20 ? "kept" : "rest");
	return result;
}

static void send_three(void)
{
	for (int i = 0; i < 3; i++)
		send_two();
}

static void open_udp_with_one(void)
{
	open_udp();
	send_two();
	struct pollfd entry = { .fd = fds[0], .events = POLLIN };
	must("poll", poll(&entry, 1, -1));
}

INTERRUPTED(udp_recvmmsg, open_udp, receive_three, send_three)
INTERRUPTED(udp_recvmmsg_in_time, open_udp, receive_three_in_time, send_three)
INTERRUPTED(udp_recvmmsg_after_one, open_udp_with_one, receive_three, send_three)

static void open_unix(void)
{
	unix_pair(SOCK_STREAM, fds);
}

static void open_unix_with_time(void)
{
	open_unix();
	set_timeout(fds[0], SO_RCVTIMEO, LONG_MS);
}

INTERRUPTED(unix_recv, open_unix, receive, send_two)
INTERRUPTED(unix_recv_with_time, open_unix_with_time, receive, send_two)

static void open_full_unix(void)
{
	open_unix();
	while (send(fds[0], bytes, 4096, MSG_DONTWAIT) > 0)
		;
}

INTERRUPTED(unix_send, open_full_unix, send_little, drain)

static void open_unix_packets(void)
{
	unix_pair(SOCK_DGRAM, fds);
}

INTERRUPTED(unix_datagram_recv, open_unix_packets, receive, send_two)

static struct sockaddr_un place = { .sun_family = AF_UNIX, .sun_path = "place" };

static void open_unix_listener(void)
{
	unlink(place.sun_path);
	fds[0] = (int)must("socket", socket(AF_UNIX, SOCK_STREAM, 0));
	must("bind", bind(fds[0], (struct sockaddr *)&place, sizeof(place)));
	must("listen", listen(fds[0], 0));
}

static void connect_unix(void)
{
	fds[1] = (int)must("socket", socket(AF_UNIX, SOCK_STREAM, 0));
	must("connect", connect(fds[1], (struct sockaddr *)&place, sizeof(place)));
}

INTERRUPTED(unix_accept, open_unix_listener, accept_one, connect_unix)

static void open_full_unix_listener(void)
{
	open_unix_listener();
	connect_unix();
}

static long connect_unix_too(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	return connect(fd, (struct sockaddr *)&place, sizeof(place));
}

static void accept_unix(void)
{
	fds[2] = (int)must("accept", accept(fds[0], NULL, NULL));
}

INTERRUPTED(unix_connect, open_full_unix_listener, connect_unix_too, accept_unix)

static long connect_unix_in_time(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	set_timeout(fd, SO_SNDTIMEO, LONG_MS);
	return connect(fd, (struct sockaddr *)&place, sizeof(place));
}

INTERRUPTED(unix_connect_with_time, open_full_unix_listener, connect_unix_in_time, accept_unix)
