/* Data over TCP: vectors, lengths and pointers of every kind, flags of send and recv. */
#define _GNU_SOURCE
#include "conform.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>

static void *volatile bad_pointer = (void *)16; /* nothing is mapped there */

/* Two pages of which the second is not there: `before` bytes of the first remain at the result. */
static char *edge(size_t before)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *pages =
	        mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must("mmap", pages == MAP_FAILED ? -1 : 0);
	must("munmap", munmap(pages + page, page));
	memset(pages, 'e', page);
	return pages + page - before;
}

/* So many bytes are there to be read. */
static void wait_for(int fd, int bytes)
{
	int there = 0;
	while (ioctl(fd, FIONREAD, &there) == 0 && there < bytes)
		pause_ms(5);
}

static void observe_rest(int fd)
{
	char bytes[256];
	observe_bytes("rest", recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
}

CASE(every_call)
{
	int pair[2];
	char bytes[32];
	tcp_pair(pair);
	struct iovec out[2] = { { "wri", 3 }, { "tev", 3 } };
	struct iovec in[2] = { { bytes, 4 }, { bytes + 4, 28 } };
	struct msghdr to = { .msg_iov = out, .msg_iovlen = 2 };
	struct msghdr from = { .msg_iov = in, .msg_iovlen = 2, .msg_flags = -1 };
	observe("write", write(pair[0], "write", 5));
	wait_for(pair[1], 5);
	observe_bytes("read", read(pair[1], bytes, sizeof(bytes)), bytes);
	observe("send", send(pair[0], "send", 4, 0));
	wait_for(pair[1], 4);
	observe_bytes("recv", recv(pair[1], bytes, sizeof(bytes), 0), bytes);
	observe("sendto", sendto(pair[0], "sendto", 6, 0, NULL, 0));
	wait_for(pair[1], 6);
	observe_bytes("recvfrom", recvfrom(pair[1], bytes, sizeof(bytes), 0, NULL, NULL), bytes);
	observe("writev", writev(pair[0], out, 2));
	wait_for(pair[1], 6);
	observe_bytes("readv", readv(pair[1], in, 2), bytes);
	observe("sendmsg", sendmsg(pair[0], &to, 0));
	wait_for(pair[1], 6);
	observe_bytes("recvmsg", recvmsg(pair[1], &from, 0), bytes);
	observe("flags", from.msg_flags);
}

CASE(names_on_a_stream)
{
	int pair[2];
	char bytes[8];
	struct sockaddr_in address = inet_address("127.0.0.9", 9), from;
	socklen_t length = sizeof(from);
	tcp_pair(pair);
	observe("sendto", sendto(pair[0], "x", 1, 0, (struct sockaddr *)&address, sizeof(address)));
	address.sin_family = AF_UNIX;
	observe("unix", sendto(pair[0], "x", 1, 0, (struct sockaddr *)&address, sizeof(address)));
	observe("short", sendto(pair[0], "x", 1, 0, (struct sockaddr *)&address, 1));
	observe("negative", sendto(pair[0], "x", 1, 0, (struct sockaddr *)&address, (socklen_t)-1));
	observe("pointer", sendto(pair[0], "x", 1, 0, bad_pointer, sizeof(address)));
	memset(&from, 0, sizeof(from));
	observe("recvfrom", recvfrom(pair[1], bytes, 1, 0, (struct sockaddr *)&from, &length));
	observe("length", length);
	observe("family", from.sin_family);
	struct iovec piece = { bytes, 1 };
	struct msghdr message = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &piece, .msg_iovlen = 1
	};
	observe("recvmsg", recvmsg(pair[1], &message, 0));
	observe("length", message.msg_namelen);
	observe("sendto-unconnected", sendto(tcp_socket(), "x", 1, MSG_NOSIGNAL,
	                                     (struct sockaddr *)&address, sizeof(address)));
}

CASE(many_vectors)
{
	int pair[2];
	static char out[1024], in[1024];
	static struct iovec pieces[1025];
	volatile int negative_count = -1;
	tcp_pair(pair);
	for (int i = 0; i < 1025; i++)
		pieces[i] = (struct iovec){ &out[i % 1024], 1 };
	for (int i = 0; i < 1024; i++)
		out[i] = (char)('a' + i % 26);
	observe("writev-1025", writev(pair[0], pieces, 1025));
	observe("writev-negative", writev(pair[0], pieces, negative_count));
	observe("writev-0", writev(pair[0], pieces, 0));
	observe("writev-0-null", writev(pair[0], NULL, 0));
	observe("writev-1024", writev(pair[0], pieces, 1024));
	wait_for(pair[1], 1024);
	for (int i = 0; i < 1024; i++)
		pieces[i].iov_base = &in[i];
	observe("readv-1025", readv(pair[1], pieces, 1025));
	observe("readv-0", readv(pair[1], pieces, 0));
	observe("readv-1024", readv(pair[1], pieces, 1024));
	observe("equal", memcmp(in, out, sizeof(in)) == 0);
	struct msghdr message = { .msg_iov = pieces, .msg_iovlen = 1025 };
	observe("sendmsg-1025", sendmsg(pair[0], &message, 0));
	observe("recvmsg-1025", recvmsg(pair[1], &message, 0));
	message.msg_iovlen = (size_t)-1;
	observe("sendmsg-huge", sendmsg(pair[0], &message, 0));
	message.msg_iovlen = 0;
	observe("sendmsg-0", sendmsg(pair[0], &message, 0));
	observe("recvmsg-0", recvmsg(pair[1], &message, MSG_DONTWAIT));
}

CASE(vector_lengths)
{
	int pair[2];
	tcp_pair(pair);
	struct iovec holes[5] = {
		{ "ab", 2 }, { NULL, 0 }, { "cd", 2 }, { bad_pointer, 0 }, { "e", 1 }
	};
	observe("holes", writev(pair[0], holes, 5));
	wait_for(pair[1], 5);
	observe_rest(pair[1]);
	struct iovec negative[2] = { { "ab", 2 }, { "cd", (size_t)-1 } };
	observe("negative", writev(pair[0], negative, 2));
	observe("vector-pointer", writev(pair[0], bad_pointer, 1));
	struct msghdr message = { .msg_iov = negative, .msg_iovlen = 2 };
	observe("sendmsg", sendmsg(pair[0], &message, 0));
	message.msg_iov = bad_pointer;
	observe("sendmsg-pointer", sendmsg(pair[0], &message, 0));
	observe("header-pointer", sendmsg(pair[0], bad_pointer, 0));
	observe("recvmsg-header", recvmsg(pair[1], bad_pointer, 0));
	observe_rest(pair[1]);
}

/* Ranges that end where no user's memory does are seen before the call waits. */
CASE(lengths_beyond_memory)
{
	int pair[2];
	char bytes[8];
	tcp_pair(pair);
	volatile size_t most = LONG_MAX; /* which the compiler is not to see */
	void *volatile nowhere = NULL;
	struct iovec one = { bytes, most }, low = { (void *)16, most };
	struct iovec two[2] = { { bytes, 8 }, { bytes, most } };
	struct iovec wraps[2] = { { bytes, 8 }, { (void *)(most - 4), 5 } };
	struct iovec above[2] = { { bytes, 8 }, { (void *)(most - 4), 4 } };
	struct iovec negative[2] = { { (void *)~0ul, 8 }, { bytes, most + 1 } };
	observe("readv", readv(pair[1], &two[0], 2));
	observe("end", readv(pair[1], wraps, 2));
	observe("negative", readv(pair[1], negative, 2));
	observe("negative-one", readv(pair[1], &negative[1], 1));
	observe("pointer-one", readv(pair[1], negative, 1));
	struct msghdr message = { .msg_iov = two, .msg_iovlen = 2 };
	observe("recvmsg", recvmsg(pair[1], &message, 0));
	observe("sendmsg", sendmsg(pair[0], &message, 0));
	observe("writev", writev(pair[0], two, 2));
	observe("read", read(pair[1], bytes, most));
	observe("read-negative", read(pair[1], bytes, most + 1));
	observe("read-16", read(pair[1], (void *)16, most));
	observe("recv-pointer", recv(pair[1], (void *)~0ul, 8, 0));
	observe("read-pointer", read(pair[1], (void *)~0ul, 8));
	observe("write-pointer", write(pair[0], (void *)~0ul, 8));
	observe("write", write(pair[0], bytes, most));
	observe("write-negative", write(pair[0], bytes, most + 1));
	/* All that is left to be said of these is where their bytes are. */
	set_nonblocking(pair[1]);
	observe("one", readv(pair[1], &one, 1));
	observe("low", readv(pair[1], &low, 1));
	observe("above", readv(pair[1], above, 2));
	observe("recv", recv(pair[1], bytes, most, 0));
	observe("recv-negative", recv(pair[1], bytes, most + 1, 0));
	observe("read-0", read(pair[1], nowhere, most));
}

CASE(zero_length)
{
	int pair[2];
	char byte = 'x';
	tcp_pair(pair);
	set_nonblocking(pair[1]);
	observe("write", write(pair[0], "x", 0));
	observe("write-null", write(pair[0], NULL, 0));
	observe("send", send(pair[0], "x", 0, 0));
	observe("read", read(pair[1], &byte, 0));
	observe("recv", recv(pair[1], &byte, 0, 0));
	observe("send", send(pair[0], "ab", 2, 0));
	wait_for(pair[1], 2);
	observe("read", read(pair[1], &byte, 0));
	observe("recv", recv(pair[1], &byte, 0, 0));
	observe("recv-null", recv(pair[1], NULL, 0, 0));
	observe("peek", recv(pair[1], &byte, 0, MSG_PEEK));
	observe_rest(pair[1]);
	shutdown(pair[0], SHUT_WR);
	signal(SIGPIPE, SIG_IGN);
	observe_poll("poll", pair[1], POLLIN, -1);
	observe("recv", recv(pair[1], &byte, 0, 0));
	observe("write", write(pair[0], "x", 0));
	observe("send", send(pair[0], "x", 0, MSG_NOSIGNAL));
	observe("shutdown", shutdown(pair[1], SHUT_RD));
	observe("recv", recv(pair[1], &byte, 0, 0));
}

CASE(bad_pointers)
{
	int pair[2];
	char byte;
	tcp_pair(pair);
	observe("write", write(pair[0], bad_pointer, 1));
	observe("send", send(pair[0], bad_pointer, 10, 0));
	observe("recv-empty", recv(pair[1], bad_pointer, 1, MSG_DONTWAIT));
	observe("write", write(pair[0], "abc", 3));
	wait_for(pair[1], 3);
	observe("read", read(pair[1], bad_pointer, 1));
	observe("recv", recv(pair[1], bad_pointer, 3, 0));
	observe("peek", recv(pair[1], bad_pointer, 3, MSG_PEEK));
	observe("fd", recv(-1, &byte, 1, 0));
	observe("no-socket", recv(STDOUT_FILENO, &byte, 1, 0));
	observe("no-socket", send(STDOUT_FILENO, &byte, 1, 0));
	observe_rest(pair[1]);
}

/* A buffer that ends half-way: what lies before counts, or nothing does. */
CASE(bad_half_way_out)
{
	int pair[2];
	tcp_pair(pair);
	observe("write", write(pair[0], edge(4), 8));
	observe_rest(pair[1]);
	struct iovec pieces[3] = { { "ab", 2 }, { bad_pointer, 2 }, { "cd", 2 } };
	observe("writev", writev(pair[0], pieces, 3));
	pause_ms(20);
	observe_rest(pair[1]);
	struct msghdr message = { .msg_iov = pieces, .msg_iovlen = 3 };
	observe("sendmsg", sendmsg(pair[0], &message, 0));
	pause_ms(20);
	observe_rest(pair[1]);
	observe("after", send(pair[0], "after", 5, 0));
	wait_for(pair[1], 5);
	observe_rest(pair[1]);
}

CASE(bad_half_way_in)
{
	int pair[2];
	char bytes[8];
	tcp_pair(pair);
	observe("write", write(pair[0], "0123456789", 10));
	wait_for(pair[1], 10);
	observe("read", read(pair[1], edge(4), 8));
	observe_rest(pair[1]);
	observe("write", write(pair[0], "0123456789", 10));
	wait_for(pair[1], 10);
	struct iovec pieces[2] = { { bytes, 2 }, { bad_pointer, 2 } };
	observe("readv", readv(pair[1], pieces, 2));
	observe_rest(pair[1]);
}

CASE(dontwait)
{
	int pair[2];
	char byte;
	tcp_pair(pair);
	observe("recv", recv(pair[1], &byte, 1, MSG_DONTWAIT));
	static char much[1 << 20];
	ssize_t sent, total = 0;
	while ((sent = send(pair[0], much, sizeof(much), MSG_DONTWAIT)) > 0)
		total += sent;
	observe("send", sent);
	observe("much", total > 10000);
	observe_poll("poll", pair[0], POLLOUT, 0);
}

CASE(peek)
{
	int pair[2];
	char bytes[16];
	tcp_pair(pair);
	observe("nothing", recv(pair[1], bytes, 1, MSG_PEEK | MSG_DONTWAIT));
	send(pair[0], "abc", 3, 0);
	wait_for(pair[1], 3);
	send(pair[0], "def", 3, 0);
	wait_for(pair[1], 6);
	observe_bytes("two", recv(pair[1], bytes, 2, MSG_PEEK), bytes);
	observe_bytes("all", recv(pair[1], bytes, sizeof(bytes), MSG_PEEK), bytes);
	observe_bytes("read", recv(pair[1], bytes, 4, 0), bytes);
	observe_bytes("peek", recv(pair[1], bytes, sizeof(bytes), MSG_PEEK), bytes);
	observe_bytes("waitall", recv(pair[1], bytes, 2, MSG_PEEK | MSG_WAITALL), bytes);
	observe_rest(pair[1]);
	shutdown(pair[0], SHUT_WR);
	observe("end", recv(pair[1], bytes, 1, MSG_PEEK));
	observe("end", recv(pair[1], bytes, 1, 0));
}

CASE(waitall)
{
	int pair[2];
	char bytes[16];
	tcp_pair(pair);
	if (fork() == 0) {
		send(pair[0], "abc", 3, 0);
		pause_ms(100);
		send(pair[0], "def", 3, 0);
		pause_ms(100);
		send(pair[0], "gh", 2, 0);
		shutdown(pair[0], SHUT_WR);
		pause();
	}
	observe_bytes("six", recv(pair[1], bytes, 6, MSG_WAITALL), bytes);
	observe_bytes("end", recv(pair[1], bytes, 6, MSG_WAITALL), bytes);
	observe_bytes("end", recv(pair[1], bytes, 6, MSG_WAITALL), bytes);
}

CASE(waitall_dontwait)
{
	int pair[2];
	char bytes[16];
	tcp_pair(pair);
	send(pair[0], "abc", 3, 0);
	wait_for(pair[1], 3);
	observe_bytes("dontwait", recv(pair[1], bytes, 6, MSG_WAITALL | MSG_DONTWAIT), bytes);
	send(pair[0], "abc", 3, 0);
	wait_for(pair[1], 3);
	set_nonblocking(pair[1]);
	observe_bytes("nonblocking", recv(pair[1], bytes, 6, MSG_WAITALL), bytes);
}

CASE(waitall_vectors)
{
	int pair[2];
	char bytes[16];
	struct iovec pieces[3] = { { bytes, 2 }, { NULL, 0 }, { bytes + 2, 6 } };
	struct msghdr message = { .msg_iov = pieces, .msg_iovlen = 3 };
	tcp_pair(pair);
	if (fork() == 0) {
		for (int i = 0; i < 4; i++) {
			send(pair[0], "ab", 2, 0);
			pause_ms(50);
		}
		pause();
	}
	observe_bytes("recvmsg", recvmsg(pair[1], &message, MSG_WAITALL), bytes);
	observe("flags", message.msg_flags);
}

CASE(trunc_discards)
{
	int pair[2];
	char bytes[16] = "untouched";
	tcp_pair(pair);
	send(pair[0], "abcdef", 6, 0);
	wait_for(pair[1], 6);
	observe("trunc", recv(pair[1], bytes, 4, MSG_TRUNC));
	observe_text("bytes", "%s", bytes);
	observe("trunc-null", recv(pair[1], NULL, 1, MSG_TRUNC));
	observe("peek-trunc", recv(pair[1], bytes, 9, MSG_TRUNC | MSG_PEEK));
	observe_rest(pair[1]);
	observe("nothing", recv(pair[1], NULL, 1, MSG_TRUNC | MSG_DONTWAIT));
}

CASE(more)
{
	int pair[2];
	char bytes[16];
	tcp_pair(pair);
	observe("more", send(pair[0], "abc", 3, MSG_MORE));
	observe_poll("held", pair[1], POLLIN, 50);
	observe("last", send(pair[0], "def", 3, 0));
	observe_poll("poll", pair[1], POLLIN, -1);
	observe_bytes("recv", recv(pair[1], bytes, sizeof(bytes), 0), bytes);
	observe("more", send(pair[0], "ghi", 3, MSG_MORE));
	observe("shutdown", shutdown(pair[0], SHUT_WR));
	observe_poll("poll", pair[1], POLLIN, -1);
	observe_bytes("recv", recv(pair[1], bytes, sizeof(bytes), 0), bytes);
}

CASE(unknown_flags)
{
	int pair[2];
	char bytes[16];
	tcp_pair(pair);
	observe("send",
	        send(pair[0], "abc", 3, 0x40000000 | MSG_CONFIRM | MSG_DONTROUTE | MSG_EOR));
	wait_for(pair[1], 3);
	observe_bytes("recv", recv(pair[1], bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_MORE), bytes);
	observe("errqueue", recv(pair[1], bytes, sizeof(bytes), MSG_ERRQUEUE));
	observe("errqueue-send", send(pair[0], "x", 1, MSG_ERRQUEUE));
	observe("trunc-send", send(pair[0], "x", 1, MSG_TRUNC));
	observe("peek-send", send(pair[0], "x", 1, MSG_PEEK));
}

/* ---- SIGPIPE ---- */

static volatile sig_atomic_t pipes;

static void count_pipe(int signal)
{
	(void)signal;
	pipes++;
}

static void observe_pipe(const char *label, long result)
{
	observe(label, result);
	observe("signals", pipes);
}

CASE(sigpipe)
{
	int pair[2];
	tcp_pair(pair);
	signal(SIGPIPE, count_pipe);
	shutdown(pair[0], SHUT_WR);
	struct iovec piece = { "x", 1 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	observe_pipe("write", write(pair[0], "x", 1));
	observe_pipe("send", send(pair[0], "x", 1, 0));
	observe_pipe("nosignal", send(pair[0], "x", 1, MSG_NOSIGNAL));
	observe_pipe("sendmsg", sendmsg(pair[0], &message, 0));
	observe_pipe("sendmsg-nosignal", sendmsg(pair[0], &message, MSG_NOSIGNAL));
	observe_pipe("writev", writev(pair[0], &piece, 1));
	observe_pipe("nothing", write(pair[0], "x", 0));
	observe_pipe("send-nothing", send(pair[0], "x", 0, 0));
	observe_pipe("unconnected", write(tcp_socket(), "x", 1));
	observe_pipe("unconnected", send(tcp_socket(), "x", 1, MSG_NOSIGNAL));
}

CASE(sigpipe_kills)
{
	int pair[2];
	tcp_pair(pair);
	shutdown(pair[0], SHUT_WR);
	observe("write", write(pair[0], "x", 1));
}

CASE(unconnected)
{
	char byte;
	int fd = tcp_socket();
	observe("recv", recv(fd, &byte, 1, 0));
	observe("read", read(fd, &byte, 1));
	observe("read-nothing", read(fd, &byte, 0));
	observe("recv-nothing", recv(fd, &byte, 0, 0));
	observe("peek", recv(fd, &byte, 1, MSG_PEEK));
	observe("oob", recv(fd, &byte, 1, MSG_OOB));
	observe("send", send(fd, &byte, 1, MSG_NOSIGNAL));
	observe("send-nothing", send(fd, &byte, 0, MSG_NOSIGNAL));
	observe("send-oob", send(fd, &byte, 1, MSG_OOB | MSG_NOSIGNAL));
}
