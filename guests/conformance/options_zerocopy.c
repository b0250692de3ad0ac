/* SO_ZEROCOPY and MSG_ZEROCOPY: what the error queue says of sends that are done. Over the loopback
 * Linux copies, and says so. */
#define _GNU_SOURCE
#include "options.h"

#include <linux/errqueue.h>
#include <poll.h>
#include <string.h>

#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY 60
#endif

static void set_zerocopy(int fd)
{
	must("zerocopy", set_int(fd, SOL_SOCKET, SO_ZEROCOPY, 1));
}

/* The peer has it all, and its ACK is back. */
static void settle(int fd)
{
	char bytes[256];
	pause_ms(80);
	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	pause_ms(80);
}

static void observe_note(const char *label, int fd, size_t room)
{
	char control[128], byte[4];
	struct sockaddr_in name;
	struct iovec piece = { byte, sizeof(byte) };
	struct msghdr message = { .msg_name = &name,
		                  .msg_namelen = sizeof(name),
		                  .msg_iov = &piece,
		                  .msg_iovlen = 1,
		                  .msg_control = control,
		                  .msg_controllen = room };
	ssize_t got = recvmsg(fd, &message, MSG_ERRQUEUE);
	observe(label, got);
	if (got < 0)
		return;
	observe_text("flags", "%x/%u", (unsigned)message.msg_flags, message.msg_namelen);
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	struct sock_extended_err error;
	if (!header || header->cmsg_len < CMSG_LEN(sizeof(error)))
		return;
	memcpy(&error, CMSG_DATA(header), sizeof(error));
	observe_text("note", "%d/%d/%zu:errno%u,origin%u,type%u,code%u,%u-%u", header->cmsg_level,
	             header->cmsg_type, (size_t)header->cmsg_len, error.ee_errno, error.ee_origin,
	             error.ee_type, error.ee_code, error.ee_info, error.ee_data);
}

static void sends(int pair[2])
{
	observe("before", send(pair[0], "abc", 3, MSG_ZEROCOPY));
	settle(pair[1]);
	observe_note("none", pair[0], 128);
	set_zerocopy(pair[0]);
	observe("ordinary", send(pair[0], "abc", 3, 0));
	observe("first", send(pair[0], "abc", 3, MSG_ZEROCOPY));
	settle(pair[1]);
	observe_poll("poll", pair[0], POLLIN | POLLOUT | POLLPRI, 0);
	observe_so_error("error", pair[0]);
	observe_note("one", pair[0], 128);
	observe_note("none", pair[0], 128);
	observe_poll("poll", pair[0], POLLIN | POLLOUT | POLLPRI, 0);
	for (int i = 0; i < 3; i++)
		must("send", send(pair[0], "abc", 3, MSG_ZEROCOPY));
	must("send", send(pair[0], "abc", 3, 0));
	must("send", send(pair[0], "abc", 3, MSG_ZEROCOPY));
	settle(pair[1]);
	observe_note("four", pair[0], 128);
	observe_note("none", pair[0], 128);
	must("send", send(pair[0], "abc", 3, MSG_ZEROCOPY));
	settle(pair[1]);
	observe_note("no-room", pair[0], 0);
	observe_note("none", pair[0], 128);
	must("send", send(pair[0], "abc", 3, MSG_ZEROCOPY));
	settle(pair[1]);
	must("off", set_int(pair[0], SOL_SOCKET, SO_ZEROCOPY, 0));
	must("send", send(pair[0], "abc", 3, MSG_ZEROCOPY));
	settle(pair[1]);
	observe_note("off", pair[0], 128);
	observe_note("none", pair[0], 128);
}

CASE(zerocopy_tcp)
{
	int pair[2];
	tcp_pair(pair);
	sends(pair);
}

CASE(zerocopy_udp)
{
	int pair[2];
	udp_pair(pair);
	sends(pair);
}

static void failures(int pair[2])
{
	set_zerocopy(pair[0]);
	observe("pointer", send(pair[0], (void *)16, 3, MSG_ZEROCOPY));
	observe("empty", send(pair[0], "", 0, MSG_ZEROCOPY));
	settle(pair[1]);
	observe_note("none", pair[0], 128);
	struct iovec pieces[2] = { { "abc", 3 }, { "de", 2 } };
	struct mmsghdr messages[2] = {
		{ .msg_hdr = { .msg_iov = pieces, .msg_iovlen = 1 } },
		{ .msg_hdr = { .msg_iov = pieces + 1, .msg_iovlen = 1 } },
	};
	observe("sendmmsg", sendmmsg(pair[0], messages, 2, MSG_ZEROCOPY));
	settle(pair[1]);
	observe_note("two", pair[0], 128);
}

CASE(zerocopy_failures_tcp)
{
	int pair[2];
	tcp_pair(pair);
	failures(pair);
}

CASE(zerocopy_failures_udp)
{
	int pair[2];
	udp_pair(pair);
	failures(pair);
}

/* A note that waits is no error of reads and writes. */
CASE(zerocopy_goes_on)
{
	int pair[2];
	char bytes[8];
	tcp_pair(pair);
	set_zerocopy(pair[0]);
	observe("send", send(pair[0], "abc", 3, MSG_ZEROCOPY));
	settle(pair[1]);
	if (fork() == 0) {
		send(pair[1], "ab", 2, 0);
		pause_ms(100);
		send(pair[1], "cd", 2, 0);
		pause();
	}
	observe_bytes("waitall", recv(pair[0], bytes, 4, MSG_WAITALL), bytes);
	observe("write", write(pair[0], "x", 1));
	observe_note("note", pair[0], 128);
}

CASE(zerocopy_values)
{
	TRY_VALUES(tcp_socket(), SOL_SOCKET, SO_ZEROCOPY, 0, 1, 2, -1);
	TRY_VALUES(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), SOL_SOCKET, SO_ZEROCOPY, 0, 1);
	struct sockaddr_in address;
	int listener = tcp_listener(1, &address), fd = tcp_socket();
	set_zerocopy(listener);
	must("connect", connect_to(fd, address));
	observe_option("accepted", accept(listener, NULL, NULL), SOL_SOCKET, SO_ZEROCOPY);
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	observe("unix", send(pair[0], "abc", 3, MSG_ZEROCOPY));
}
