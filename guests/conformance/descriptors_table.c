/* The table of descriptors: dup and its kin, close, close-on-exec, close_range. */
#define _GNU_SOURCE
#include "conform.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int open_file(int flags)
{
	return (int)must("open", open("file", flags | O_CREAT, 0600));
}

static int is_open(int fd)
{
	return fcntl(fd, F_GETFD) != -1;
}

CASE(dup_takes_the_lowest)
{
	int first = eventfd(0, 0), second = eventfd(0, 0), third = eventfd(0, 0);
	close(first);
	observe("first", dup(third) == first);
	close(second);
	observe("second", dup(third) == second);
	observe("next", dup(third) == third + 1);
	observe("bad", dup(900));
	observe("negative", dup(-1));
}

CASE(dup_shares_description)
{
	char byte;
	int fd = open_file(O_RDWR), copy = dup(fd), other = open_file(O_RDWR);
	must("write", write(fd, "abcdef", 6));
	observe("position", lseek(copy, 0, SEEK_CUR));
	observe("other", lseek(other, 0, SEEK_CUR));
	must("seek", lseek(copy, 2, SEEK_SET));
	must("read", read(fd, &byte, 1));
	observe("byte", byte);
	must("setfl", fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK));
	observe("flags", fcntl(copy, F_GETFL));
	observe("other-flags", fcntl(other, F_GETFL));
	must("setfd", fcntl(fd, F_SETFD, FD_CLOEXEC));
	observe("fd-flags", fcntl(copy, F_GETFD));
}

CASE(dup2_rules)
{
	int fd = eventfd(0, 0);
	observe("free", dup2(fd, 700));
	observe("same", dup2(fd, fd) == fd);
	observe("same-bad", dup2(800, 800));
	observe("bad", dup2(800, 3));
	observe("to-negative", dup2(fd, -1));
	observe("to-limit", dup2(fd, 1024));
	observe("to-last", dup2(fd, 1023));
	observe("bad-to-limit", dup2(800, 1024));
	must("setfd", fcntl(fd, F_SETFD, FD_CLOEXEC));
	must("dup2", dup2(fd, 701));
	observe("cloexec-of-copy", fcntl(701, F_GETFD));
	must("dup2", dup2(fd, fd));
	observe("cloexec-of-same", fcntl(fd, F_GETFD));
}

CASE(dup2_closes_the_old)
{
	int ends[2], fd = eventfd(0, 0);
	must("pipe", pipe(ends));
	must("dup2", dup2(fd, ends[1]));
	observe_poll("reader", ends[0], POLLIN, 0);
	observe("is-eventfd", eventfd_write(ends[1], 1));
}

CASE(dup3_rules)
{
	int fd = eventfd(0, 0);
	observe("cloexec", dup3(fd, 700, O_CLOEXEC));
	observe("getfd", fcntl(700, F_GETFD));
	observe("plain", dup3(fd, 701, 0));
	observe("getfd", fcntl(701, F_GETFD));
	observe("same", dup3(fd, fd, 0));
	observe("same-bad", dup3(800, 800, 0));
	observe("flags", dup3(fd, 702, O_NONBLOCK));
	observe("bad", dup3(800, 703, 0));
	observe("to-limit", dup3(fd, 1024, 0));
	observe("to-negative", dup3(fd, -1, 0));
	observe("flags-and-same", dup3(fd, fd, 1));
}

CASE(fcntl_dupfd)
{
	int fd = eventfd(0, 0);
	observe("from", fcntl(fd, F_DUPFD, 500));
	observe("from", fcntl(fd, F_DUPFD, 500));
	observe("cloexec", fcntl(fd, F_DUPFD_CLOEXEC, 500));
	observe("getfd", fcntl(500, F_GETFD));
	observe("getfd", fcntl(502, F_GETFD));
	observe("limit", fcntl(fd, F_DUPFD, 1024));
	observe("last", fcntl(fd, F_DUPFD, 1023));
	observe("last-again", fcntl(fd, F_DUPFD, 1023));
	observe("negative", fcntl(fd, F_DUPFD, -1));
	observe("bad", fcntl(800, F_DUPFD, 0));
	observe("bad-negative", fcntl(800, F_DUPFD, -1));
}

CASE(fcntl_descriptor_flags)
{
	int fd = eventfd(0, 0);
	observe("none", fcntl(fd, F_GETFD));
	observe("set", fcntl(fd, F_SETFD, FD_CLOEXEC));
	observe("get", fcntl(fd, F_GETFD));
	observe("set-more", fcntl(fd, F_SETFD, 0xff));
	observe("get", fcntl(fd, F_GETFD));
	observe("clear", fcntl(fd, F_SETFD, 2));
	observe("get", fcntl(fd, F_GETFD));
	observe("ioctl", ioctl(fd, FIOCLEX));
	observe("get", fcntl(fd, F_GETFD));
	observe("ioctl", ioctl(fd, FIONCLEX));
	observe("get", fcntl(fd, F_GETFD));
	observe("bad", fcntl(900, F_GETFD));
	observe("bad-ioctl", ioctl(900, FIOCLEX));
}

CASE(fcntl_status_flags)
{
	int fd = open_file(O_WRONLY | O_SYNC);
	observe("open", fcntl(fd, F_GETFL));
	observe("append", fcntl(fd, F_SETFL, O_APPEND));
	observe("get", fcntl(fd, F_GETFL));
	observe("nonblock", fcntl(fd, F_SETFL, O_NONBLOCK | O_RDWR | O_CREAT | O_TRUNC));
	observe("get", fcntl(fd, F_GETFL));
	observe("noatime", fcntl(fd, F_SETFL, O_NOATIME));
	observe("get", fcntl(fd, F_GETFL));
	observe("all", fcntl(fd, F_SETFL, -1));
	observe("zero", fcntl(fd, F_SETFL, 0));
	observe("get", fcntl(fd, F_GETFL));
	observe("bad", fcntl(900, F_SETFL, 0));
	observe("command", fcntl(fd, 999));
	observe("command-of-bad", fcntl(900, 999));
}

CASE(fcntl_status_flags_of_kinds)
{
	int pair[2], ends[2];
	tcp_pair(pair);
	must("pipe", pipe(ends));
	struct {
		const char *label;
		int fd;
	} fds[] = {
		{ "tcp", pair[0] },
		{ "udp", udp_socket() },
		{ "unix", socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0) },
		{ "pipe", ends[0] },
		{ "pipe-write", ends[1] },
		{ "epoll", epoll_create1(0) },
		{ "directory", open(".", O_RDONLY | O_DIRECTORY) },
		{ "path", open(".", O_PATH) },
		{ "null", open("/dev/null", O_RDWR) },
	};
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		observe(fds[i].label, fcntl(fds[i].fd, F_GETFL));
		observe("setfl", fcntl(fds[i].fd, F_SETFL, O_NONBLOCK | O_APPEND));
		observe("getfl", fcntl(fds[i].fd, F_GETFL));
	}
}

CASE(append_writes_at_the_end)
{
	char got[16] = "";
	int fd = open_file(O_RDWR), other = open_file(O_RDWR | O_APPEND);
	must("write", write(fd, "abcd", 4));
	must("seek", lseek(other, 0, SEEK_SET));
	observe("write", write(other, "ef", 2));
	observe("position", lseek(other, 0, SEEK_CUR));
	must("setfl", fcntl(other, F_SETFL, 0));
	must("seek", lseek(other, 0, SEEK_SET));
	observe("write", write(other, "X", 1));
	must("setfl", fcntl(other, F_SETFL, O_APPEND));
	observe("pwrite", pwrite(other, "gh", 2, 0));
	observe_bytes("content", pread(fd, got, 16, 0), got);
}

CASE(close_errors)
{
	int fd = eventfd(0, 0);
	observe("close", close(fd));
	observe("again", close(fd));
	observe("negative", close(-1));
	observe("beyond", close(5000));
	observe("path", close(open(".", O_PATH)));
}

CASE(limit_of_descriptors)
{
	struct rlimit low = { 10, 4096 };
	int fd = eventfd(0, 0);
	must("dup2", dup2(fd, 20));
	must("setrlimit", setrlimit(RLIMIT_NOFILE, &low));
	observe("above-works", eventfd_write(20, 1));
	int last = fd, next;
	while ((next = dup(fd)) >= 0)
		last = next;
	observe("last", last);
	observe("full", next);
	observe("open", open("/dev/null", O_RDONLY));
	observe("socket", socket(AF_INET, SOCK_STREAM, 0));
	observe("eventfd", eventfd(0, 0));
	observe("epoll", epoll_create1(0));
	observe("dup2-below", dup2(fd, 9));
	observe("dup2-at", dup2(fd, 10));
	observe("dup2-above", dup2(fd, 20));
}

CASE(close_range_closes)
{
	int fd = eventfd(0, 0);
	for (int i = 500; i < 520; i++)
		must("dup2", dup2(fd, i));
	observe("middle", close_range(505, 509, 0));
	observe("504", is_open(504));
	observe("505", is_open(505));
	observe("509", is_open(509));
	observe("510", is_open(510));
	observe("cloexec", close_range(510, 512, CLOSE_RANGE_CLOEXEC));
	observe("getfd", fcntl(511, F_GETFD));
	observe("getfd", fcntl(513, F_GETFD));
	observe("reversed", close_range(509, 505, 0));
	observe("flags", close_range(505, 509, 1));
	observe("to-the-end", close_range(513, ~0u, 0));
	observe("519", is_open(519));
	observe("beyond", close_range(100000, ~0u, 0));
	observe("unshare", close_range(512, 512, CLOSE_RANGE_UNSHARE));
	observe("512", is_open(512));
}

/* A pipe's write end that stays open in the program executed holds the end of file back. */
CASE(close_on_exec)
{
	int kept[2], closed[2];
	must("pipe", pipe(kept));
	must("pipe2", pipe2(closed, O_CLOEXEC));
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		char path[] = "/proc/self/exe", *const arguments[] = { path, "none_such*", NULL };
		dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
		kill(getpid(), SIGSTOP);
		execv(path, arguments);
		_exit(99);
	}
	waitpid(pid, NULL, WUNTRACED);
	close(kept[1]);
	close(closed[1]);
	observe_poll("kept", kept[0], POLLIN, 0);
	observe_poll("closed", closed[0], POLLIN, 0);
	kill(pid, SIGCONT);
	observe_poll("closed-by-exec", closed[0], POLLIN, 5000);
	waitpid(pid, NULL, 0);
	observe_poll("closed-by-exit", kept[0], POLLIN, 5000);
}

/* ---- closing what another thread waits on ---- */

static void *close_later(void *fd)
{
	pause_ms(30);
	close(*(int *)fd);
	return NULL;
}

CASE(close_while_polled)
{
	int ends[2];
	pthread_t thread;
	must("pipe", pipe(ends));
	pthread_create(&thread, NULL, close_later, &ends[0]);
	observe_poll("poll", ends[0], POLLIN, 150);
	pthread_join(thread, NULL);
	observe_poll("again", ends[0], POLLIN, 0);
}

struct late_write {
	int fd, to;
};

static void *close_and_write_later(void *argument)
{
	struct late_write *late = argument;
	pause_ms(30);
	close(late->fd);
	pause_ms(30);
	(void)!write(late->to, "ab", 2);
	return NULL;
}

static void observe_read_after_close(int reader, int writer)
{
	char got[8];
	pthread_t thread;
	struct late_write late = { reader, writer };
	pthread_create(&thread, NULL, close_and_write_later, &late);
	observe_bytes("read", read(reader, got, 8), got);
	pthread_join(thread, NULL);
	observe("again", read(reader, got, 8));
}

CASE(close_while_read_tcp)
{
	int pair[2];
	tcp_pair(pair);
	observe_read_after_close(pair[0], pair[1]);
}

CASE(close_while_read_unix)
{
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	observe_read_after_close(pair[0], pair[1]);
}

CASE(close_while_read_eventfd)
{
	pthread_t thread;
	eventfd_t value = 0;
	int fd = eventfd(0, 0), copy = dup(fd);
	struct late_write late = { fd, -1 };
	pthread_create(&thread, NULL, close_and_write_later, &late);
	if (fork() == 0) {
		pause_ms(80);
		eventfd_write(copy, 4);
		_exit(0);
	}
	observe("read", eventfd_read(fd, &value));
	observe("value", (long)value);
	pthread_join(thread, NULL);
}

static struct sockaddr_in there;

static void *close_and_connect_later(void *fd)
{
	pause_ms(30);
	close(*(int *)fd);
	pause_ms(30);
	connect_to(tcp_socket(), there);
	return NULL;
}

CASE(close_while_accepting)
{
	pthread_t thread;
	int listener = tcp_listener(4, &there), number = listener;
	pthread_create(&thread, NULL, close_and_connect_later, &number);
	observe("accept", accept(listener, NULL, NULL) >= 0);
	pthread_join(thread, NULL);
	observe("again", accept(listener, NULL, NULL) == -1 && errno == EBADF);
}
