/* Urgent data (MSG_OOB): where it is read, where reading stops, what is told of it. */
#define _GNU_SOURCE
#include "conform.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>

static void observe_mark(const char *label, int fd)
{
	int at = -7;
	int result = ioctl(fd, SIOCATMARK, &at);
	observe(label, result == 0 ? at : result);
}

static void observe_receive(const char *label, int fd, int flags)
{
	char bytes[32];
	observe_bytes(label, recv(fd, bytes, sizeof(bytes), flags | MSG_DONTWAIT), bytes);
}

/* All that was sent has arrived. FIONREAD would stop at the urgent byte. */
static void wait_arrival(int sender)
{
	int bytes = 1;
	while (ioctl(sender, SIOCOUTQ, &bytes) == 0 && bytes > 0)
		pause_ms(5);
}

CASE(urgent_one_byte)
{
	int pair[2];
	tcp_pair(pair);
	observe_receive("none", pair[1], MSG_OOB);
	observe("send", send(pair[0], "!", 1, MSG_OOB));
	observe_poll("poll", pair[1], POLLPRI, -1);
	observe_poll("all", pair[1], POLLIN | POLLPRI | POLLRDBAND, 0);
	observe_mark("mark", pair[1]);
	observe_receive("peek", pair[1], MSG_OOB | MSG_PEEK);
	observe_receive("oob", pair[1], MSG_OOB);
	observe_receive("again", pair[1], MSG_OOB);
	observe_poll("poll", pair[1], POLLIN | POLLPRI, 0);
	observe_receive("normal", pair[1], 0);
	observe_mark("mark", pair[1]);
}

CASE(urgent_last_of_three)
{
	int pair[2];
	tcp_pair(pair);
	observe("send", send(pair[0], "abc", 3, MSG_OOB));
	observe_poll("poll", pair[1], POLLPRI, -1);
	wait_arrival(pair[0]);
	observe_mark("mark", pair[1]);
	observe_receive("normal", pair[1], 0);
	observe_mark("mark", pair[1]);
	observe_receive("normal", pair[1], 0);
	observe_receive("oob", pair[1], MSG_OOB);
	observe_receive("oob", pair[1], MSG_OOB);
}

CASE(urgent_between)
{
	int pair[2];
	tcp_pair(pair);
	send(pair[0], "before", 6, 0);
	wait_arrival(pair[0]);
	send(pair[0], "!", 1, MSG_OOB);
	observe_poll("poll", pair[1], POLLPRI, -1);
	send(pair[0], "after", 5, 0);
	wait_arrival(pair[0]);
	observe_receive("oob", pair[1], MSG_OOB);
	observe_mark("mark", pair[1]);
	observe_receive("to-mark", pair[1], 0);
	observe_mark("mark", pair[1]);
	observe_receive("behind", pair[1], 0);
	observe_mark("mark", pair[1]);
}

CASE(urgent_not_read)
{
	int pair[2];
	tcp_pair(pair);
	send(pair[0], "ab!", 3, MSG_OOB);
	observe_poll("poll", pair[1], POLLPRI, -1);
	send(pair[0], "cd", 2, 0);
	wait_arrival(pair[0]);
	observe_receive("normal", pair[1], 0);
	observe_receive("behind", pair[1], 0);
	observe_receive("oob", pair[1], MSG_OOB);
}

CASE(urgent_inline)
{
	int pair[2];
	tcp_pair(pair);
	observe("inline", set_int(pair[1], SOL_SOCKET, SO_OOBINLINE, 1));
	send(pair[0], "ab!", 3, MSG_OOB);
	observe_poll("poll", pair[1], POLLPRI, -1);
	send(pair[0], "cd", 2, 0);
	wait_arrival(pair[0]);
	observe_receive("oob", pair[1], MSG_OOB);
	observe_mark("mark", pair[1]);
	observe_receive("normal", pair[1], 0);
	observe_mark("mark", pair[1]);
	observe_poll("poll", pair[1], POLLIN | POLLPRI, 0);
	observe_receive("behind", pair[1], 0);
	observe_mark("mark", pair[1]);
	observe_poll("poll", pair[1], POLLIN | POLLPRI, 0);
}

CASE(urgent_twice)
{
	int pair[2];
	tcp_pair(pair);
	send(pair[0], "a", 1, MSG_OOB);
	observe_poll("poll", pair[1], POLLPRI, -1);
	send(pair[0], "b", 1, MSG_OOB);
	wait_arrival(pair[0]);
	observe_receive("oob", pair[1], MSG_OOB);
	observe_receive("normal", pair[1], 0);
	observe_receive("normal", pair[1], 0);
}

CASE(urgent_nothing)
{
	int pair[2];
	tcp_pair(pair);
	observe("send", send(pair[0], "x", 0, MSG_OOB));
	send(pair[0], "ab", 2, 0);
	wait_arrival(pair[0]);
	observe_poll("poll", pair[1], POLLIN | POLLPRI, 0);
	observe_receive("oob", pair[1], MSG_OOB);
	observe_receive("normal", pair[1], 0);
}

CASE(urgent_message_flags)
{
	int pair[2];
	char bytes[8];
	struct iovec piece = { bytes, sizeof(bytes) };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	tcp_pair(pair);
	send(pair[0], "a!", 2, MSG_OOB);
	observe_poll("poll", pair[1], POLLPRI, -1);
	observe("recvmsg", recvmsg(pair[1], &message, MSG_OOB));
	observe("flags", message.msg_flags);
	message.msg_iovlen = 0;
	send(pair[0], "!", 1, MSG_OOB);
	observe_poll("poll", pair[1], POLLPRI, -1);
	observe("no-room", recvmsg(pair[1], &message, MSG_OOB));
	observe("flags", message.msg_flags);
}

CASE(urgent_at_the_end)
{
	int pair[2];
	tcp_pair(pair);
	send(pair[0], "!", 1, MSG_OOB);
	shutdown(pair[0], SHUT_WR);
	observe_poll("poll", pair[1], POLLRDHUP, -1);
	observe_poll("all", pair[1], POLLIN | POLLPRI | POLLRDHUP, 0);
	observe_receive("normal", pair[1], 0);
	observe_receive("oob", pair[1], MSG_OOB);
	observe_poll("all", pair[1], POLLIN | POLLPRI | POLLRDHUP, 0);
}

CASE(urgent_elsewhere)
{
	char byte;
	struct sockaddr_in address;
	int listener = tcp_listener(1, &address), udp[2], local[2];
	observe("listener", recv(listener, &byte, 1, MSG_OOB));
	observe_mark("listener-mark", listener);
	observe_mark("fresh-mark", tcp_socket());
	udp_pair(udp);
	observe("udp-send", send(udp[0], "x", 1, MSG_OOB));
	observe("udp-recv", recv(udp[1], &byte, 1, MSG_OOB | MSG_DONTWAIT));
	observe_mark("udp-mark", udp[0]);
	unix_pair(SOCK_DGRAM, local);
	observe("unix-send", send(local[0], "x", 1, MSG_OOB));
}
