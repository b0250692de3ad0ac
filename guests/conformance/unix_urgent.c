/* Urgent data of AF_UNIX streams (MSG_OOB): where it is read, where reading stops, what tells of
 * it. */
#define _GNU_SOURCE
#include "conform.h"
#include "unix.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

static void urgent_pair(int pair[2])
{
	unix_pair(SOCK_STREAM, pair);
}

static void put(int fd, const char *text, int flags)
{
	must("send", send(fd, text, strlen(text), flags));
}

static void observe_mark(const char *label, int fd)
{
	int at = -7;
	int result = ioctl(fd, SIOCATMARK, &at);
	observe(label, result == 0 ? at : result);
}

static void observe_queued(const char *label, int fd)
{
	int bytes = -7;
	int result = ioctl(fd, FIONREAD, &bytes);
	observe(label, result == 0 ? bytes : result);
}

static void receive(const char *label, int fd, size_t room, int flags)
{
	char bytes[32] = "";
	struct iovec piece = { bytes, room };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	ssize_t got = recvmsg(fd, &message, flags | MSG_DONTWAIT);
	observe_bytes(label, got, bytes);
	if (got >= 0 && message.msg_flags)
		observe_text("flags", "%x", (unsigned)message.msg_flags);
}

/* All that can be asked without changing anything. */
static void observe_state(int fd)
{
	observe_poll("poll", fd, POLLIN | POLLPRI | POLLRDBAND, 0);
	observe_mark("mark", fd);
	observe_queued("queued", fd);
}

CASE(urgent_one_byte)
{
	int pair[2];
	urgent_pair(pair);
	observe_state(pair[1]);
	receive("none", pair[1], 8, MSG_OOB);
	observe("send", send(pair[0], "!", 1, MSG_OOB));
	observe_state(pair[1]);
	receive("peek", pair[1], 8, MSG_OOB | MSG_PEEK);
	receive("plain-peek", pair[1], 8, MSG_PEEK);
	receive("oob", pair[1], 8, MSG_OOB);
	observe_state(pair[1]);
	receive("again", pair[1], 8, MSG_OOB);
	receive("normal", pair[1], 8, 0);
	observe_state(pair[1]);
}

CASE(urgent_last_of_three)
{
	int pair[2];
	urgent_pair(pair);
	observe("send", send(pair[0], "abc", 3, MSG_OOB));
	observe_state(pair[1]);
	receive("normal", pair[1], 8, 0);
	observe_state(pair[1]);
	receive("oob", pair[1], 8, MSG_OOB);
	observe_state(pair[1]);
	put(pair[0], "de", 0);
	observe_state(pair[1]);
	receive("normal", pair[1], 8, 0);
	observe_state(pair[1]);
}

CASE(urgent_mark_stops_reads)
{
	int pair[2];
	urgent_pair(pair);
	put(pair[0], "ab", 0);
	put(pair[0], "c", MSG_OOB);
	put(pair[0], "de", 0);
	receive("one", pair[1], 1, 0);
	receive("before", pair[1], 8, 0);
	observe_state(pair[1]);
	receive("behind", pair[1], 8, 0);
	receive("oob", pair[1], 8, MSG_OOB);
	observe_state(pair[1]);
}

CASE(urgent_read_first)
{
	int pair[2];
	urgent_pair(pair);
	put(pair[0], "ab", 0);
	put(pair[0], "c", MSG_OOB);
	put(pair[0], "de", 0);
	receive("oob", pair[1], 8, MSG_OOB);
	observe_state(pair[1]);
	receive("peek", pair[1], 8, MSG_PEEK);
	receive("before", pair[1], 8, 0);
	observe_state(pair[1]);
	receive("peek", pair[1], 8, MSG_PEEK);
	receive("behind", pair[1], 8, 0);
	observe_state(pair[1]);
}

CASE(urgent_inline)
{
	int pair[2];
	urgent_pair(pair);
	must("inline", set_int(pair[1], SOL_SOCKET, SO_OOBINLINE, 1));
	put(pair[0], "ab", 0);
	put(pair[0], "c", MSG_OOB);
	put(pair[0], "de", 0);
	observe_state(pair[1]);
	receive("oob", pair[1], 8, MSG_OOB);
	receive("peek", pair[1], 8, MSG_PEEK);
	receive("before", pair[1], 8, 0);
	observe_state(pair[1]);
	receive("peek", pair[1], 8, MSG_PEEK);
	receive("at-mark", pair[1], 1, 0);
	observe_state(pair[1]);
	receive("behind", pair[1], 8, 0);
}

CASE(urgent_inline_across)
{
	int pair[2];
	urgent_pair(pair);
	put(pair[0], "c", MSG_OOB);
	put(pair[0], "de", 0);
	must("inline", set_int(pair[1], SOL_SOCKET, SO_OOBINLINE, 1));
	observe_state(pair[1]);
	receive("all", pair[1], 8, 0);
	observe_state(pair[1]);
}

CASE(urgent_twice)
{
	int pair[2];
	urgent_pair(pair);
	put(pair[0], "ab", MSG_OOB);
	put(pair[0], "cd", MSG_OOB);
	observe_state(pair[1]);
	receive("peek", pair[1], 8, MSG_PEEK);
	receive("normal", pair[1], 8, 0);
	observe_state(pair[1]);
	receive("oob", pair[1], 8, MSG_OOB);
	receive("oob", pair[1], 8, MSG_OOB);
	observe_state(pair[1]);
}

CASE(urgent_one_after_the_other)
{
	int pair[2];
	urgent_pair(pair);
	put(pair[0], "a", MSG_OOB);
	receive("oob", pair[1], 8, MSG_OOB);
	put(pair[0], "b", MSG_OOB);
	observe_state(pair[1]);
	receive("oob", pair[1], 8, MSG_OOB);
	observe_state(pair[1]);
	put(pair[0], "c", MSG_OOB);
	put(pair[0], "d", 0);
	observe_state(pair[1]);
	receive("peek", pair[1], 8, MSG_PEEK);
	receive("normal", pair[1], 8, 0);
	observe_state(pair[1]);
}

CASE(urgent_two_consumed_around_data)
{
	int pair[2];
	urgent_pair(pair);
	put(pair[0], "ab", MSG_OOB);
	receive("oob", pair[1], 8, MSG_OOB);
	put(pair[0], "cd", MSG_OOB);
	receive("oob", pair[1], 8, MSG_OOB);
	put(pair[0], "e", 0);
	observe_state(pair[1]);
	receive("normal", pair[1], 8, 0);
	observe_state(pair[1]);
	receive("normal", pair[1], 8, 0);
	observe_state(pair[1]);
	receive("normal", pair[1], 8, 0);
	receive("normal", pair[1], 8, 0);
}

CASE(urgent_nothing_and_flags)
{
	int pair[2];
	char byte;
	urgent_pair(pair);
	observe("empty", send(pair[0], "", 0, MSG_OOB));
	observe("more", send(pair[0], "x", 1, MSG_OOB | MSG_MORE));
	receive("no-room", pair[1], 0, MSG_OOB | MSG_PEEK);
	observe("pointer", recv(pair[1], (void *)16, 1, MSG_OOB | MSG_PEEK));
	receive("trunc", pair[1], 8, MSG_OOB | MSG_PEEK | MSG_TRUNC);
	observe("waitall", recv(pair[1], &byte, 1, MSG_OOB | MSG_WAITALL));
	observe("none", recv(pair[1], &byte, 1, MSG_OOB));
	observe("send-pointer", send(pair[0], (void *)16, 1, MSG_OOB));
	must("shutdown", shutdown(pair[1], SHUT_RD));
	observe("shut", send(pair[0], "x", 1, MSG_OOB | MSG_NOSIGNAL));
}

CASE(urgent_ends_waitall)
{
	int pair[2];
	char bytes[8];
	urgent_pair(pair);
	put(pair[0], "ab", 0);
	put(pair[0], "c", MSG_OOB);
	put(pair[0], "de", 0);
	observe_bytes("waitall", recv(pair[1], bytes, 5, MSG_WAITALL), bytes);
	observe_bytes("waitall", recv(pair[1], bytes, 2, MSG_WAITALL), bytes);
}

/* A blocking read passes over the byte and waits for what comes behind it. */
CASE(urgent_read_waits)
{
	int pair[2];
	char bytes[8];
	urgent_pair(pair);
	put(pair[0], "c", MSG_OOB);
	if (fork() == 0) {
		pause_ms(100);
		put(pair[0], "de", 0);
		pause();
	}
	long start = now_ms();
	observe_bytes("read", read(pair[1], bytes, sizeof(bytes)), bytes);
	observe_waited("waited", start, 50, 5000);
	receive("oob", pair[1], 8, MSG_OOB);
}

CASE(urgent_wakes)
{
	int pair[2], epoll = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLPRI }, got = { 0 };
	urgent_pair(pair);
	must("epoll", epoll_ctl(epoll, EPOLL_CTL_ADD, pair[1], &event));
	if (fork() == 0) {
		pause_ms(50);
		put(pair[0], "a", 0);
		pause_ms(50);
		put(pair[0], "b", MSG_OOB);
		pause();
	}
	observe_poll("poll", pair[1], POLLPRI, 5000);
	observe("epoll", epoll_wait(epoll, &got, 1, 5000));
	observe_events("events", got.events);
}

static volatile sig_atomic_t urgent_signals;

static void on_urgent(int signal)
{
	(void)signal;
	urgent_signals++;
}

CASE(urgent_signal)
{
	int pair[2];
	urgent_pair(pair);
	signal(SIGURG, on_urgent);
	put(pair[0], "a", MSG_OOB);
	observe("no-owner", urgent_signals);
	must("owner", fcntl(pair[1], F_SETOWN, getpid()));
	put(pair[0], "b", MSG_OOB);
	observe("owner", urgent_signals);
	put(pair[0], "c", 0);
	observe("ordinary", urgent_signals);
}

/* Does closing with it unread, or read, count as throwing data away? */
CASE(urgent_close)
{
	int pair[2];
	urgent_pair(pair);
	put(pair[0], "a", MSG_OOB);
	close(pair[1]);
	observe_so_error("unread", pair[0]);
	urgent_pair(pair);
	put(pair[0], "a", MSG_OOB);
	receive("oob", pair[1], 8, MSG_OOB);
	close(pair[1]);
	observe_so_error("read", pair[0]);
	urgent_pair(pair);
	put(pair[0], "ab", MSG_OOB);
	receive("oob", pair[1], 8, MSG_OOB);
	close(pair[1]);
	observe_so_error("data", pair[0]);
	urgent_pair(pair);
	put(pair[0], "a", MSG_OOB);
	close(pair[0]);
	observe_state(pair[1]);
	receive("oob", pair[1], 8, MSG_OOB);
	receive("normal", pair[1], 8, 0);
}
