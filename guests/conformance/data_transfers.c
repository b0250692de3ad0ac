/* sendfile and splice between every kind of descriptor, with and without offsets. */
#define _GNU_SOURCE
#include "conform.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyz";

/* A regular file that holds `text`, at its start. */
static int text_file(void)
{
	char name[] = "textXXXXXX";
	int fd = (int)must("mkstemp", mkstemp(name));
	must("write", write(fd, text, strlen(text)));
	must("lseek", lseek(fd, 0, SEEK_SET));
	return fd;
}

static int text_memfd(void)
{
	int fd = (int)must("memfd", memfd_create("text", 0));
	must("write", write(fd, text, strlen(text)));
	must("lseek", lseek(fd, 0, SEEK_SET));
	return fd;
}

static int text_pipe(void)
{
	int ends[2];
	must("pipe", pipe(ends));
	must("write", write(ends[1], text, 8));
	return ends[0];
}

static int pipe_to_write(void)
{
	int ends[2];
	must("pipe", pipe(ends));
	return ends[1];
}

static int text_tcp(void)
{
	int pair[2];
	tcp_pair(pair);
	must("send", send(pair[0], text, 8, 0));
	observe_poll("tcp", pair[1], POLLIN, 2000);
	return pair[1];
}

static int text_udp(void)
{
	int pair[2];
	udp_pair(pair);
	must("send", send(pair[0], text, 8, 0));
	observe_poll("udp", pair[1], POLLIN, 2000);
	return pair[1];
}

static int text_unix(int type)
{
	int pair[2];
	unix_pair(type, pair);
	must("send", send(pair[0], text, 8, 0));
	return pair[1];
}

static int ready_signalfd(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR1);
	return signalfd(-1, &set, SFD_NONBLOCK);
}

static int ready_timerfd(void)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	struct itimerspec at = { .it_value.tv_nsec = 1 };
	must("settime", timerfd_settime(fd, 0, &at, NULL));
	pause_ms(5);
	return fd;
}

static void wait_until(int fd, int bytes)
{
	int there = 0;
	while (ioctl(fd, FIONREAD, &there) == 0 && there < bytes)
		pause_ms(5);
}

static int open_read(const char *path)
{
	return (int)must(path, open(path, O_RDONLY));
}

#define KINDS 16

static const char *const kind_names[KINDS] = {
	"regular", "memfd",   "pipe",     "tcp",   "udp",  "unix-stream", "unix-dgram", "seqpacket",
	"eventfd", "timerfd", "signalfd", "epoll", "null", "zero",        "proc",       "directory",
};

/* A descriptor of each kind, from which eight bytes can be read if from any. */
static int source_of(int kind)
{
	switch (kind) {
	case 0:
		return text_file();
	case 1:
		return text_memfd();
	case 2:
		return text_pipe();
	case 3:
		return text_tcp();
	case 4:
		return text_udp();
	case 5:
		return text_unix(SOCK_STREAM);
	case 6:
		return text_unix(SOCK_DGRAM);
	case 7:
		return text_unix(SOCK_SEQPACKET);
	case 8:
		return eventfd(5, EFD_NONBLOCK);
	case 9:
		return ready_timerfd();
	case 10:
		return ready_signalfd();
	case 11:
		return epoll_create1(0);
	case 12:
		return open_read("/dev/null");
	case 13:
		return open_read("/dev/zero");
	case 14:
		return open_read("/proc/sys/kernel/ostype");
	default:
		return open_read("/");
	}
}

/* A descriptor of each kind to write to. */
static int sink_of(int kind)
{
	int pair[2];
	switch (kind) {
	case 2:
		return pipe_to_write();
	case 8:
		return eventfd(0, EFD_NONBLOCK);
	case 12:
		return (int)must("null", open("/dev/null", O_WRONLY));
	case 13:
		return (int)must("zero", open("/dev/zero", O_WRONLY));
	case 14:
		return (int)must("comm", open("/proc/self/comm", O_WRONLY));
	case 3:
		tcp_pair(pair);
		return pair[0];
	case 4:
		udp_pair(pair);
		return pair[0];
	case 5:
		unix_pair(SOCK_STREAM, pair);
		return pair[0];
	case 6:
		unix_pair(SOCK_DGRAM, pair);
		return pair[0];
	case 7:
		unix_pair(SOCK_SEQPACKET, pair);
		return pair[0];
	default:
		return source_of(kind);
	}
}

CASE(sendfile_from_every_kind)
{
	int pair[2];
	tcp_pair(pair);
	for (int kind = 0; kind < KINDS; kind++)
		observe(kind_names[kind], sendfile(pair[0], source_of(kind), NULL, 8));
}

CASE(sendfile_from_every_kind_at_an_offset)
{
	int pair[2];
	tcp_pair(pair);
	for (int kind = 0; kind < KINDS; kind++) {
		off_t offset = 4;
		observe(kind_names[kind], sendfile(pair[0], source_of(kind), &offset, 8));
		observe("offset", offset);
	}
}

CASE(sendfile_to_every_kind)
{
	int file = text_file();
	for (int kind = 0; kind < KINDS; kind++) {
		off_t offset = 0;
		observe(kind_names[kind], sendfile(sink_of(kind), file, &offset, 8));
	}
}

CASE(splice_from_every_kind)
{
	char bytes[256];
	for (int kind = 0; kind < KINDS; kind++) {
		int ends[2];
		must("pipe", pipe(ends));
		set_nonblocking(ends[0]);
		int source = source_of(kind);
		ssize_t moved = splice(source, NULL, ends[1], NULL, 8, SPLICE_F_NONBLOCK);
		observe(kind_names[kind], moved);
		if (kind <= 7)
			observe_bytes("read", read(ends[0], bytes, sizeof(bytes)), bytes);
	}
}

CASE(splice_to_every_kind)
{
	for (int kind = 0; kind < KINDS; kind++)
		observe(kind_names[kind],
		        splice(text_pipe(), NULL, sink_of(kind), NULL, 8, SPLICE_F_NONBLOCK));
}

CASE(splice_offsets)
{
	int ends[2], file = text_file();
	char bytes[64];
	off_t offset = 10, end = 36, beyond = 100, negative = -1;
	must("pipe", pipe(ends));
	observe("in", splice(file, &offset, ends[1], NULL, 6, 0));
	observe("offset", offset);
	observe("position", lseek(file, 0, SEEK_CUR));
	observe("own", splice(file, NULL, ends[1], NULL, 4, 0));
	observe("position", lseek(file, 0, SEEK_CUR));
	observe_bytes("pipe", read(ends[0], bytes, sizeof(bytes)), bytes);
	observe("end", splice(file, &end, ends[1], NULL, 4, 0));
	observe("beyond", splice(file, &beyond, ends[1], NULL, 4, 0));
	observe("negative", splice(file, &negative, ends[1], NULL, 4, 0));
	observe("pointer", splice(file, (off_t *)16, ends[1], NULL, 4, 0));
	must("write", write(ends[1], "WXYZ", 4));
	offset = 2;
	observe("out", splice(ends[0], NULL, file, &offset, 4, 0));
	observe("offset", offset);
	observe("position", lseek(file, 0, SEEK_CUR));
	observe_bytes("file", pread(file, bytes, 8, 0), bytes);
	must("write", write(ends[1], "grow", 4));
	offset = 40;
	observe("grow", splice(ends[0], NULL, file, &offset, 4, 0));
	observe("size", lseek(file, 0, SEEK_END));
	observe_bytes("hole", pread(file, bytes, 8, 36), bytes);
	must("write", write(ends[1], "more", 4));
	negative = -1;
	observe("out-negative", splice(ends[0], NULL, file, &negative, 4, 0));
	observe("out-pointer", splice(ends[0], NULL, file, (off_t *)16, 4, 0));
	must("append", fcntl(file, F_SETFL, O_APPEND));
	observe("append", splice(ends[0], NULL, file, NULL, 4, 0));
}

CASE(splice_between_pipes)
{
	int first[2], second[2];
	char bytes[64];
	must("pipe", pipe(first));
	must("pipe", pipe(second));
	must("write", write(first[1], text, 10));
	observe("four", splice(first[0], NULL, second[1], NULL, 4, 0));
	observe("rest", splice(first[0], NULL, second[1], NULL, 100, 0));
	observe("empty", splice(first[0], NULL, second[1], NULL, 100, SPLICE_F_NONBLOCK));
	observe_bytes("read", read(second[0], bytes, sizeof(bytes)), bytes);
	observe("same", splice(first[0], NULL, first[1], NULL, 100, SPLICE_F_NONBLOCK));
	close(first[1]);
	observe("end", splice(first[0], NULL, second[1], NULL, 100, 0));
	close(second[0]);
	signal(SIGPIPE, SIG_IGN);
	int third[2];
	must("pipe", pipe(third));
	must("write", write(third[1], "x", 1));
	observe("broken", splice(third[0], NULL, second[1], NULL, 1, 0));
	observe("kept", read(third[0], bytes, sizeof(bytes)));
}

CASE(splice_full_pipe)
{
	int first[2], full[2];
	must("pipe", pipe(first));
	must("pipe", pipe(full));
	must("write", write(first[1], text, 10));
	set_nonblocking(full[1]);
	char page[4096] = { 0 };
	while (write(full[1], page, sizeof(page)) > 0)
		;
	observe("flag", splice(first[0], NULL, full[1], NULL, 10, SPLICE_F_NONBLOCK));
	observe("o-nonblock", splice(first[0], NULL, full[1], NULL, 10, 0));
	int there = 0;
	must("unread", ioctl(first[0], FIONREAD, &there));
	observe("unread", there);
	must("read", read(full[0], page, sizeof(page)));
	observe("room", splice(first[0], NULL, full[1], NULL, 10, 0));
}

CASE(splice_waits_for_data)
{
	int first[2], second[2];
	char bytes[64];
	must("pipe", pipe(first));
	must("pipe", pipe(second));
	if (must("fork", fork()) == 0) {
		pause_ms(50);
		(void)!write(first[1], "late", 4);
		_exit(0);
	}
	observe("splice", splice(first[0], NULL, second[1], NULL, 100, 0));
	observe_bytes("read", read(second[0], bytes, sizeof(bytes)), bytes);
}

CASE(sendfile_pipe_waits_for_room)
{
	int ends[2], file = (int)must("memfd", memfd_create("big", 0));
	must("size", ftruncate(file, 200000));
	must("pipe", pipe(ends));
	if (must("fork", fork()) == 0) {
		static char bytes[65536];
		long total = 0;
		close(ends[1]);
		ssize_t got;
		while ((got = read(ends[0], bytes, sizeof(bytes))) > 0)
			total += got;
		observe("read", total);
		_exit(0);
	}
	close(ends[0]);
	observe("sendfile", sendfile(ends[1], file, NULL, 200000));
	close(ends[1]);
	wait(NULL);
}

CASE(sendfile_to_file_at_its_position)
{
	int from = text_file(), to = text_file();
	char bytes[64];
	must("lseek", lseek(to, 4, SEEK_SET));
	must("lseek", lseek(from, 30, SEEK_SET));
	observe("sendfile", sendfile(to, from, NULL, 100));
	observe("from", lseek(from, 0, SEEK_CUR));
	observe("to", lseek(to, 0, SEEK_CUR));
	observe_bytes("file", pread(to, bytes, 12, 0), bytes);
	must("append", fcntl(to, F_SETFL, O_APPEND));
	must("lseek", lseek(from, 0, SEEK_SET));
	observe("append", sendfile(to, from, NULL, 4));
	observe("itself", sendfile(from, from, NULL, 4));
}

CASE(copy_file_range_kinds)
{
	int from = text_file(), to = text_file(), ends[2];
	char bytes[64];
	off_t in = 30, out = 2, negative = -1;
	must("pipe", pipe(ends));
	observe("copy", copy_file_range(from, &in, to, &out, 100, 0));
	observe("in", in);
	observe("out", out);
	observe_bytes("file", pread(to, bytes, 12, 0), bytes);
	observe("own", copy_file_range(from, NULL, to, NULL, 3, 0));
	observe("position", lseek(from, 0, SEEK_CUR));
	observe("position", lseek(to, 0, SEEK_CUR));
	observe("end", copy_file_range(from, &in, to, &out, 100, 0));
	observe("negative", copy_file_range(from, &negative, to, NULL, 1, 0));
	observe("overlap", copy_file_range(from, &(off_t){ 0 }, from, &(off_t){ 2 }, 4, 0));
	observe("flags", copy_file_range(from, NULL, to, NULL, 1, 1));
	observe("pipe", copy_file_range(ends[0], NULL, to, NULL, 1, 0));
	observe("to-pipe", copy_file_range(from, NULL, ends[1], NULL, 1, 0));
	observe("directory", copy_file_range(open_read("/"), NULL, to, NULL, 1, 0));
	observe("fd", copy_file_range(-1, NULL, to, NULL, 1, 0));
	observe("nothing", copy_file_range(from, NULL, to, NULL, 0, 0));
}

/* What SPLICE_F_NONBLOCK and O_NONBLOCK mean for an empty source of each kind: 0 ms of waiting, or
 * until a signal. */
static void splice_empty(const char *label, int source, bool nonblocking, unsigned flags)
{
	int ends[2];
	must("pipe", pipe(ends));
	if (nonblocking)
		set_nonblocking(source);
	interrupt_after(60, 0);
	observe(label, splice(source, NULL, ends[1], NULL, 8, flags));
	interrupt_after(0, 0);
}

CASE(splice_nothing_there)
{
	int pair[2];
	for (int i = 0; i < 3; i++) {
		unsigned flags = i == 1 ? SPLICE_F_NONBLOCK : 0;
		bool nonblocking = i == 2;
		observe_text("--", i == 0 ? "blocking" : i == 1 ? "flag" : "o-nonblock");
		must("pipe", pipe(pair));
		splice_empty("pipe", pair[0], nonblocking, flags);
		tcp_pair(pair);
		splice_empty("tcp", pair[0], nonblocking, flags);
		udp_pair(pair);
		splice_empty("udp", pair[0], nonblocking, flags);
		unix_pair(SOCK_STREAM, pair);
		splice_empty("unix-stream", pair[0], nonblocking, flags);
		unix_pair(SOCK_DGRAM, pair);
		splice_empty("unix-dgram", pair[0], nonblocking, flags);
	}
}

CASE(splice_receive_timeout)
{
	int pair[2], ends[2];
	must("pipe", pipe(ends));
	tcp_pair(pair);
	set_timeout(pair[0], SO_RCVTIMEO, 50);
	interrupt_after(3000, 0);
	observe("splice", splice(pair[0], NULL, ends[1], NULL, 8, 0));
}

CASE(sendfile_send_timeout)
{
	int pair[2], file = (int)must("memfd", memfd_create("big", 0));
	must("size", ftruncate(file, 32 << 20));
	tcp_pair(pair);
	set_timeout(pair[0], SO_SNDTIMEO, 50);
	interrupt_after(3000, 0);
	ssize_t sent = sendfile(pair[0], file, NULL, 32 << 20);
	observe("partial", sent > 0 && sent < 32 << 20);
	observe("full", sendfile(pair[0], file, NULL, 32 << 20));
}

CASE(splice_datagrams_one_by_one)
{
	int pair[2], ends[2], there = 0;
	must("pipe", pipe(ends));
	unix_pair(SOCK_DGRAM, pair);
	must("send", send(pair[0], "first", 5, 0));
	must("send", send(pair[0], "second", 6, 0));
	observe("one", splice(pair[1], NULL, ends[1], NULL, 100, 0));
	observe("cut", splice(pair[1], NULL, ends[1], NULL, 3, 0));
	must("unread", ioctl(ends[0], FIONREAD, &there));
	observe("unread", there);
	observe("sent", splice(ends[0], NULL, pair[0], NULL, 100, 0));
	char bytes[32];
	observe_bytes("recv", recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
	observe_bytes("recv", recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
}

CASE(splice_all_that_the_pipe_holds)
{
	int pair[2], ends[2];
	static char bytes[65536];
	must("pipe", pipe(ends));
	tcp_pair(pair);
	memset(bytes, 'x', sizeof(bytes));
	must("write", write(ends[1], bytes, sizeof(bytes)));
	observe("out", splice(ends[0], NULL, pair[0], NULL, sizeof(bytes), 0));
	wait_until(pair[1], sizeof(bytes));
	long total = 0, moved;
	while (total < (long)sizeof(bytes) &&
	       (moved = splice(pair[1], NULL, ends[1], NULL, sizeof(bytes), 0)) > 0)
		total += read(ends[0], bytes, sizeof(bytes));
	observe("in", total);
	must("write", write(ends[1], bytes, sizeof(bytes)));
	int file = text_file();
	observe("file", splice(ends[0], NULL, file, NULL, 1 << 20, 0));
	observe("back", splice(file, (off_t[]){ 0 }, ends[1], NULL, 1 << 20, 0));
}
