/*
 * test_sendfile: files sent over TCP, whose bytes the kernel may borrow until they are
 * acknowledged: what arrives when the file is changed, cut or removed meanwhile, when the socket is
 * closed, and that memory comes back. Checked against what Linux does (the same program passes
 * there).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test_check.h"

#define PATH  "/tmp/test_sendfile.data"
#define BYTES (1024 * 1024 + 1234)

static uint8_t sent[4 << 20], received[4 << 20];

static void connect_pair(int pair[2])
{
	struct sockaddr_in name = { .sin_family = AF_INET,
		                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(name);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	EQ(bind(listener, (struct sockaddr *)&name, sizeof(name)), 0);
	EQ(getsockname(listener, (struct sockaddr *)&name, &length), 0);
	EQ(listen(listener, 1), 0);
	pair[0] = socket(AF_INET, SOCK_STREAM, 0);
	EQ(connect(pair[0], (struct sockaddr *)&name, sizeof(name)), 0);
	pair[1] = accept(listener, NULL, NULL);
	EQ(pair[1] >= 0, 1);
	close(listener);
}

static int make_file(size_t bytes, unsigned seed)
{
	for (size_t i = 0; i < bytes; i++)
		sent[i] = (uint8_t)((i * 2654435761u + seed) >> 13);
	unlink(PATH);
	int fd = open(PATH, O_RDWR | O_CREAT | O_TRUNC, 0600);
	for (size_t done = 0; done < bytes;) {
		ssize_t n = write(fd, sent + done, bytes - done);
		if (n <= 0) {
			EQ(n, bytes - done);
			break;
		}
		done += (size_t)n;
	}
	return fd;
}

static size_t receive_all(int fd)
{
	size_t total = 0;
	ssize_t n;
	while (total < sizeof(received) &&
	       (n = read(fd, received + total, sizeof(received) - total)) > 0)
		total += (size_t)n;
	return total;
}

static void send_blocking(int file, int to, off_t offset, size_t bytes)
{
	while (bytes) {
		ssize_t n = sendfile(to, file, &offset, bytes);
		if (n <= 0)
			_exit(1);
		bytes -= (size_t)n;
	}
	_exit(0);
}

/* A part of a file, with headers in front and something behind. */
static void check_whole(int file, off_t offset, size_t bytes)
{
	int pair[2], on = 1, off = 0, status = -1;
	connect_pair(pair);
	EQ(setsockopt(pair[0], IPPROTO_TCP, TCP_CORK, &on, sizeof(on)), 0);
	EQ(write(pair[0], "head", 4), 4);
	pid_t child = fork();
	if (child == 0) {
		close(pair[1]);
		send_blocking(file, pair[0], offset, bytes);
	}
	size_t total = 0;
	while (total < bytes + 4) {
		ssize_t n = read(pair[1], received + total, 4 + bytes - total);
		if (n <= 0)
			break;
		total += (size_t)n;
	}
	waitpid(child, &status, 0);
	EQ(status, 0);
	EQ(total, bytes + 4);
	EQ(write(pair[0], "tail", 4), 4);
	EQ(setsockopt(pair[0], IPPROTO_TCP, TCP_CORK, &off, sizeof(off)), 0);
	close(pair[0]);
	EQ(read(pair[1], received + total, 100), 4);
	EQ(memcmp(received, "head", 4), 0);
	EQ(memcmp(received + 4, sent + offset, bytes), 0);
	EQ(memcmp(received + 4 + bytes, "tail", 4), 0);
	close(pair[1]);
}

static void test_contents(const char *program)
{
	int file = make_file(BYTES, 1);
	static const struct {
		off_t offset;
		size_t bytes;
	} parts[] = { { 0, BYTES },  { 1, BYTES - 1 },    { 4095, 8194 }, { 4096, 4096 },
		      { 4096, 64 },  { 65536, 262144 },   { 5, 4096 },    { BYTES - 5000, 5000 },
		      { 100, 4095 }, { 4000, 500 * 1000 } };
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		check_whole(file, parts[i].offset, parts[i].bytes);
	close(file);
	/* A file that nobody wrote, and one of holes. */
	file = open(program, O_RDONLY);
	struct stat status;
	EQ(fstat(file, &status), 0);
	size_t bytes = (size_t)status.st_size < sizeof(sent) - 8 ? (size_t)status.st_size
	                                                         : sizeof(sent) - 8;
	EQ(pread(file, sent, bytes, 0), bytes);
	check_whole(file, 0, bytes);
	check_whole(file, 4096 + 17, bytes - 4096 - 17);
	close(file);
	file = open(PATH, O_RDWR | O_TRUNC);
	memset(sent, 0, 400000);
	memset(sent + 100000, 'x', 10);
	EQ(pwrite(file, sent + 100000, 10, 100000), 10);
	EQ(ftruncate(file, 400000), 0);
	check_whole(file, 0, 400000);
	close(file);
}

/* As much as goes without waiting: nobody reads. */
static size_t send_some(int file, int to)
{
	off_t offset = 0;
	ssize_t n;
	fcntl(to, F_SETFL, O_NONBLOCK);
	while ((n = sendfile(to, file, &offset, (size_t)(BYTES - offset))) > 0)
		;
	if (offset < BYTES)
		EQ(errno, EAGAIN);
	EQ(offset > 0, 1);
	return (size_t)offset;
}

static void test_changes(void)
{
	for (int how = 0; how < 4; how++) {
		int pair[2], file = make_file(BYTES, 2 + (unsigned)how);
		connect_pair(pair);
		size_t bytes = send_some(file, pair[0]);
		size_t old = 0, new = 0, wrong = 0;
		switch (how) {
		case 0: /* removed, and its last descriptor closed */
			unlink(PATH);
			close(file);
			break;
		case 1: /* cut; the pages are used for something else */
			EQ(ftruncate(file, 0), 0);
			close(file);
			file = make_file(100, 99);
			close(file);
			file = open("/tmp/test_sendfile.other", O_RDWR | O_CREAT, 0600);
			memset(received, 0xee, BYTES);
			EQ(write(file, received, BYTES), BYTES);
			unlink("/tmp/test_sendfile.other");
			close(file);
			for (size_t i = 0; i < BYTES; i++)
				sent[i] = (uint8_t)((i * 2654435761u + 3) >> 13);
			break;
		case 2: /* overwritten: each byte is the old or the new one */
			memset(received, 'n', BYTES);
			EQ(pwrite(file, received, BYTES, 0), BYTES);
			close(file);
			break;
		default: /* the socket's last reference goes first, then the file */
			break;
		}
		close(pair[0]);
		if (how == 3) {
			unlink(PATH);
			close(file);
		}
		EQ(receive_all(pair[1]), bytes);
		for (size_t i = 0; i < bytes; i++) {
			if (received[i] == sent[i])
				old++;
			else if (how == 2 && received[i] == 'n')
				new ++;
			else
				wrong++;
		}
		EQ(wrong, 0);
		EQ(old + new, bytes);
		close(pair[1]);
	}
}

/* Far more than there is memory, if any of it stayed: read or not, the loans end. */
static void test_memory(void)
{
	for (int i = 0; i < 200; i++) {
		int pair[2], file = make_file(BYTES, (unsigned)i);
		connect_pair(pair);
		size_t bytes = send_some(file, pair[0]);
		EQ(unlink(PATH), 0);
		close(file);
		if (i % 3 == 0) { /* unread: a reset */
			close(pair[1]);
			close(pair[0]);
			continue;
		}
		if (i % 3 == 1) {
			struct linger linger = { .l_onoff = 1 };
			setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
			close(pair[0]);
		} else {
			close(pair[0]);
			EQ(receive_all(pair[1]), bytes);
			EQ(memcmp(received, sent, bytes), 0);
		}
		close(pair[1]);
	}
}

static void test_errors(void)
{
	int pair[2], file = make_file(BYTES, 5);
	connect_pair(pair);
	off_t offset = 0;
	close(pair[1]);
	write(pair[0], "x", 1); /* answered by a reset */
	pause_ms(20);
	int before = pipes;
	FAILS(sendfile(pair[0], file, &offset, BYTES), EPIPE);
	EQ(offset, 0);
	EQ(pipes, before + 1);
	EQ(lseek(file, BYTES + 5000, SEEK_SET), BYTES + 5000);
	close(pair[0]);
	connect_pair(pair);
	EQ(sendfile(pair[0], file, NULL, 8192), 0);
	EQ(lseek(file, BYTES - 6000, SEEK_SET), BYTES - 6000);
	EQ(sendfile(pair[0], file, NULL, 100000), 6000);
	EQ(lseek(file, 0, SEEK_CUR), BYTES);
	close(pair[0]);
	EQ(receive_all(pair[1]), 6000);
	EQ(memcmp(received, sent + BYTES - 6000, 6000), 0);
	close(pair[1]);
	close(file);
}

int main(int argc, char **argv)
{
	(void)argc;
	begin();
	mkdir("/tmp", 01777);
	test_contents(argv[0]);
	test_changes();
	test_memory();
	test_errors();
	return end("test_sendfile");
}
