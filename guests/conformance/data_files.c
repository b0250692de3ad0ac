/* sendfile and splice between files, pipes and sockets. */
#define _GNU_SOURCE
#include "conform.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>

/* A file of so many bytes, at its start. */
static int file_of(size_t bytes)
{
	static char block[4096];
	int fd = (int)must("open", open("file", O_RDWR | O_CREAT | O_TRUNC, 0666));
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char)('a' + i % 26);
	for (size_t done = 0; done < bytes; done += sizeof(block))
		must("write",
		     write(fd, block, bytes - done < sizeof(block) ? bytes - done : sizeof(block)));
	must("lseek", lseek(fd, 0, SEEK_SET));
	return fd;
}

static void observe_rest(const char *label, int fd)
{
	char bytes[128];
	observe_bytes(label, recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
}

static void wait_for(int fd, int bytes)
{
	int there = 0;
	while (ioctl(fd, FIONREAD, &there) == 0 && there < bytes)
		pause_ms(5);
}

CASE(sendfile_offsets)
{
	int pair[2], fd = file_of(100);
	off_t offset = 90, negative = -1, beyond = 1000;
	tcp_pair(pair);
	observe("ten", sendfile(pair[0], fd, NULL, 10));
	observe("position", lseek(fd, 0, SEEK_CUR));
	wait_for(pair[1], 10);
	observe_rest("recv", pair[1]);
	observe("tail", sendfile(pair[0], fd, &offset, 100));
	observe("offset", offset);
	observe("position", lseek(fd, 0, SEEK_CUR));
	wait_for(pair[1], 10);
	observe_rest("recv", pair[1]);
	observe("end", sendfile(pair[0], fd, &offset, 100));
	observe("beyond", sendfile(pair[0], fd, &beyond, 100));
	observe("negative", sendfile(pair[0], fd, &negative, 100));
	observe("nothing", sendfile(pair[0], fd, NULL, 0));
	observe("pointer", sendfile(pair[0], fd, (off_t *)16, 1));
}

CASE(sendfile_bad_descriptors)
{
	int pair[2], pipes[2], fd = file_of(100);
	tcp_pair(pair);
	must("pipe", pipe(pipes));
	signal(SIGPIPE, SIG_IGN);
	int output = open("other", O_WRONLY | O_CREAT, 0666);
	observe("in", sendfile(pair[0], -1, NULL, 1));
	observe("out", sendfile(-1, fd, NULL, 1));
	observe("in-write-only", sendfile(pair[0], output, NULL, 1));
	observe("out-read-only", sendfile(open("file", O_RDONLY), fd, NULL, 1));
	observe("from-socket", sendfile(pair[0], pair[1], NULL, 1));
	observe("from-empty-pipe", sendfile(pair[0], pipes[0], (off_t[]){ 0 }, 1));
	observe("to-file", sendfile(output, fd, NULL, 10));
	observe("to-pipe", sendfile(pipes[1], fd, NULL, 10));
	observe("unconnected", sendfile(udp_socket(), fd, NULL, 10));
}

CASE(sendfile_much)
{
	int pair[2], fd = file_of(3 << 20);
	static char bytes[65536];
	tcp_pair(pair);
	if (fork() == 0) {
		long total = 0, got;
		unsigned sum = 0;
		close(pair[0]);
		while ((got = read(pair[1], bytes, sizeof(bytes))) > 0) {
			for (long i = 0; i < got; i++)
				sum = sum * 31 + (unsigned char)bytes[i];
			total += got;
		}
		observe("read", total);
		observe_text("sum", "%08x", sum);
		_exit(0);
	}
	long total = 0, sent;
	while (total < 3 << 20 && (sent = sendfile(pair[0], fd, NULL, 3 << 20)) > 0)
		total += sent;
	observe("sent", total);
	close(pair[1]);
	shutdown(pair[0], SHUT_WR);
	pause_ms(500);
}

CASE(sendfile_nonblocking)
{
	int pair[2], fd = file_of(16 << 20);
	tcp_pair(pair);
	set_nonblocking(pair[0]);
	off_t offset = 0;
	ssize_t sent;
	do
		sent = sendfile(pair[0], fd, &offset, 16 << 20);
	while (sent > 0);
	observe("full", sent);
	observe("partial", offset > 0 && offset < 16 << 20);
}

CASE(sendfile_to_the_dead)
{
	int pair[2], fd = file_of(100);
	tcp_pair(pair);
	shutdown(pair[0], SHUT_WR);
	observe("sendfile", sendfile(pair[0], fd, NULL, 10));
}

CASE(sendfile_udp)
{
	int pair[2], fd = file_of(3000);
	udp_pair(pair);
	observe("sendfile", sendfile(pair[0], fd, NULL, 100));
	observe_poll("poll", pair[1], POLLIN, -1);
	observe_rest("recv", pair[1]);
}

CASE(splice_from_socket)
{
	int pair[2], pipes[2];
	char bytes[16];
	tcp_pair(pair);
	must("pipe", pipe(pipes));
	send(pair[0], "through", 7, 0);
	wait_for(pair[1], 7);
	observe("splice", splice(pair[1], NULL, pipes[1], NULL, 4, 0));
	observe_bytes("read", read(pipes[0], bytes, sizeof(bytes)), bytes);
	observe("splice", splice(pair[1], NULL, pipes[1], NULL, 16, 0));
	observe_bytes("read", read(pipes[0], bytes, sizeof(bytes)), bytes);
	shutdown(pair[0], SHUT_WR);
	observe_poll("poll", pair[1], POLLIN, -1);
	observe("end", splice(pair[1], NULL, pipes[1], NULL, 16, 0));
	observe("nothing", splice(pair[1], NULL, pipes[1], NULL, 0, 0));
}

CASE(splice_to_socket)
{
	int pair[2], pipes[2];
	tcp_pair(pair);
	must("pipe", pipe(pipes));
	must("write", write(pipes[1], "piped", 5));
	observe("splice", splice(pipes[0], NULL, pair[0], NULL, 3, 0));
	wait_for(pair[1], 3);
	observe_rest("recv", pair[1]);
	observe("splice", splice(pipes[0], NULL, pair[0], NULL, 100, SPLICE_F_MORE));
	close(pipes[1]);
	observe("end", splice(pipes[0], NULL, pair[0], NULL, 100, 0));
	shutdown(pair[0], SHUT_WR);
	observe_poll("poll", pair[1], POLLRDHUP, -1);
	observe_rest("recv", pair[1]);
}

CASE(splice_bad_arguments)
{
	int pair[2], pipes[2];
	off_t offset = 0;
	tcp_pair(pair);
	must("pipe", pipe(pipes));
	observe("no-pipe", splice(pair[0], NULL, pair[1], NULL, 1, 0));
	observe("offset", splice(pair[1], &offset, pipes[1], NULL, 1, 0));
	observe("pipe-offset", splice(pair[1], NULL, pipes[1], &offset, 1, 0));
	observe("flags", splice(pair[1], NULL, pipes[1], NULL, 1, 0x1000));
	observe("direction", splice(pair[1], NULL, pipes[0], NULL, 1, SPLICE_F_NONBLOCK));
	observe("fd", splice(-1, NULL, pipes[1], NULL, 1, 0));
	must("write", write(pipes[1], "x", 1));
	shutdown(pair[0], SHUT_WR);
	observe("unconnected", splice(tcp_socket(), NULL, pipes[1], NULL, 1, 0));
}

CASE(splice_interrupted)
{
	int pair[2], pipes[2];
	tcp_pair(pair);
	must("pipe", pipe(pipes));
	interrupt_after(100, 0);
	observe("splice", splice(pair[1], NULL, pipes[1], NULL, 16, 0));
}
