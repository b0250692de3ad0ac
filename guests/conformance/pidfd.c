/* pidfd_open(2): which ones there are, what can be done with them, what they say. */
#define _GNU_SOURCE
#include "pidfd.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PIDFD_THREAD 0200

CASE(open_arguments)
{
	pid_t gone = ending_child(0);
	reap(gone);
	observe_fd("self", pidfd_open_of(getpid(), 0));
	observe_fd("init", pidfd_open_of(1, 0));
	observe_fd("parent", pidfd_open_of(getppid(), 0));
	observe_fd("thread", pidfd_open_of(getpid(), PIDFD_THREAD));
	observe_fd("nonblock", pidfd_open_of(getpid(), O_NONBLOCK));
	observe_fd("both", pidfd_open_of(getpid(), O_NONBLOCK | PIDFD_THREAD));
	observe_fd("cloexec", pidfd_open_of(getpid(), O_CLOEXEC));
	observe_fd("flags", pidfd_open_of(getpid(), 1));
	observe_fd("all-flags", pidfd_open_of(getpid(), ~0u));
	observe_fd("zero", pidfd_open_of(0, 0));
	observe_fd("negative", pidfd_open_of(-1, 0));
	observe_fd("gone", pidfd_open_of(gone, 0));
	observe_fd("gone-flags", pidfd_open_of(gone, 1));
	observe_fd("huge", pidfd_open_of(0x7fffffff, 0));
}

CASE(open_no_descriptor)
{
	int fd;
	while ((fd = dup(0)) >= 0)
		;
	observe_fd("self", pidfd_open_of(getpid(), 0));
	observe_fd("gone", pidfd_open_of(0x7fffffff, 0));
	close(5);
	observe("lowest", pidfd_open_of(getpid(), 0));
}

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static void *tell_tid_and_wait(void *tid)
{
	__atomic_store_n((pid_t *)tid, gettid(), __ATOMIC_SEQ_CST);
	pthread_mutex_lock(&held);
	pthread_mutex_unlock(&held);
	return NULL;
}

/* A thread that ends when `held` is let go. */
static pthread_t waiting_thread(pid_t *tid)
{
	pthread_t thread;
	*tid = 0;
	pthread_mutex_lock(&held);
	must("pthread_create", pthread_create(&thread, NULL, tell_tid_and_wait, tid) ? -1 : 0);
	while (!__atomic_load_n(tid, __ATOMIC_SEQ_CST))
		pause_ms(1);
	return thread;
}

CASE(open_threads)
{
	pid_t tid;
	pthread_t thread = waiting_thread(&tid);
	observe_fd("process", pidfd_open_of(tid, 0));
	int fd = observe_fd("thread", pidfd_open_of(tid, PIDFD_THREAD));
	int leader = observe_fd("leader", pidfd_open_of(getpid(), PIDFD_THREAD));
	observe_pidfd("alive", fd);
	observe("signal", pidfd_signal(fd, 0, NULL, 0));
	pthread_mutex_unlock(&held);
	observe_poll("ends", fd, POLLIN, 5000);
	pthread_join(thread, NULL);
	observe_pidfd("ended", fd);
	observe_pidfd("leader", leader);
	observe("signal", pidfd_signal(fd, 0, NULL, 0));
	observe("fetch", pidfd_fetch(fd, 0, 0));
	observe_waitid("wait", fd, WEXITED, 0);
}

/* The first thread ends before the other. */
static void *end_leader(void *unused)
{
	(void)unused;
	int process = pidfd_open_of(getpid(), 0), leader = pidfd_open_of(getpid(), PIDFD_THREAD);
	must("poll", poll(&(struct pollfd){ .fd = leader, .events = POLLIN }, 1, 5000));
	observe_pidfd("leader", leader);
	observe_pidfd("process", process);
	observe("signal-leader", pidfd_signal(leader, 0, NULL, 0));
	observe("signal-process", pidfd_signal(process, 0, NULL, 0));
	observe_fd("open", pidfd_open_of(getpid(), 0));
	observe_fd("open-thread", pidfd_open_of(getpid(), PIDFD_THREAD));
	_exit(0);
}

CASE(leader_ends_first)
{
	pthread_t thread;
	must("pthread_create", pthread_create(&thread, NULL, end_leader, NULL) ? -1 : 0);
	syscall(SYS_exit, 0);
}

/* ---- as a file ---- */

CASE(as_a_file)
{
	char bytes[8] = { 0 };
	struct stat one, other;
	int fd = pidfd_open_of(getpid(), 0), again = pidfd_open_of(getpid(), PIDFD_THREAD);
	int parent = pidfd_open_of(getppid(), 0);
	observe("cloexec", fcntl(fd, F_GETFD));
	observe("flags", fcntl(fd, F_GETFL));
	observe("flags", fcntl(again, F_GETFL));
	observe("flags", fcntl(pidfd_open_of(getpid(), O_NONBLOCK), F_GETFL));
	observe("read", read(fd, bytes, sizeof(bytes)));
	observe("write", write(fd, bytes, sizeof(bytes)));
	observe("pread", pread(fd, bytes, sizeof(bytes), 0));
	observe("lseek", lseek(fd, 0, SEEK_SET));
	observe("truncate", ftruncate(fd, 0));
	observe("fsync", fsync(fd));
	observe("ioctl", ioctl(fd, FIONREAD, bytes));
	observe("mmap", mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
	must("fstat", fstat(fd, &one));
	must("fstat", fstat(again, &other));
	observe_text("stat", "%o,%d,%d", one.st_mode, (int)one.st_size, (int)one.st_nlink);
	observe("same", one.st_ino == other.st_ino && one.st_dev == other.st_dev);
	must("fstat", fstat(parent, &other));
	observe("same", one.st_ino == other.st_ino);
	ssize_t length = readlink("/proc/self/fd/3", bytes, 0);
	char link[64] = { 0 }, path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = readlink(path, link, sizeof(link) - 1);
	observe_bytes("link", length, link);
}

static void observe_information(const char *label, int fd, pid_t pid)
{
	char path[64], text[512] = { 0 }, *line, *next;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	int file = open(path, O_RDONLY);
	must("fdinfo", read(file, text, sizeof(text) - 1));
	close(file);
	for (line = strtok_r(text, "\n", &next); line; line = strtok_r(NULL, "\n", &next)) {
		char *value = strchr(line, '\t');
		if (!value)
			continue;
		*value++ = 0;
		bool is_id = strcmp(line, "mnt_id:") == 0 || strcmp(line, "ino:") == 0;
		observe_text(label, "%s%s", line,
		             is_id                           ? "N"
		             : atoi(value) == pid && pid > 0 ? "PID"
		                                             : value);
	}
}

CASE(information)
{
	pid_t child = sleeping_child();
	int fd = pidfd_open_of(child, O_NONBLOCK);
	observe_information("alive", fd, child);
	kill(child, SIGKILL);
	wait_for_end(child);
	observe_information("zombie", fd, child);
	reap(child);
	observe_information("reaped", fd, child);
	int file = open("file", O_RDWR | O_CREAT | O_APPEND, 0644);
	must("write", write(file, "abc", 3));
	observe_information("file", file, 0);
	observe_information("pipe", tcp_socket(), 0);
}

/* ---- the end of what it is of ---- */

CASE(child_ends)
{
	pid_t child = sleeping_child();
	int fd = pidfd_open_of(child, 0);
	observe_pidfd("alive", fd);
	kill(child, SIGKILL);
	observe_poll("ends", fd, POLLIN, 5000);
	observe_pidfd("zombie", fd);
	observe_fd("open", pidfd_open_of(child, 0));
	observe_pidfd("open", pidfd_open_of(child, 0));
	observe("signal", pidfd_signal(fd, SIGTERM, NULL, 0));
	observe("fetch", pidfd_fetch(fd, 0, 0));
	reap(child);
	observe_pidfd("reaped", fd);
	observe_fd("open", pidfd_open_of(child, 0));
	observe("signal", pidfd_signal(fd, SIGTERM, NULL, 0));
	observe("fetch", pidfd_fetch(fd, 0, 0));
	observe_waitid("wait", fd, WEXITED, child);
}

CASE(child_of_nobody)
{
	signal(SIGCHLD, SIG_IGN);
	pid_t child = sleeping_child();
	int fd = pidfd_open_of(child, 0);
	kill(child, SIGKILL);
	observe_poll("ends", fd, POLLIN, 5000);
	pause_ms(20);
	observe_pidfd("gone", fd);
	observe("signal", pidfd_signal(fd, 0, NULL, 0));
	observe_waitid("wait", fd, WEXITED, child);
}

CASE(epoll_of_child)
{
	pid_t child = sleeping_child();
	int fd = pidfd_open_of(child, 0), set = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	observe("add", epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
	observe("before", epoll_wait(set, &event, 1, 0));
	kill(child, SIGKILL);
	observe("ended", epoll_wait(set, &event, 1, 5000));
	observe_events("events", event.events);
	observe("again", epoll_wait(set, &event, 1, 0));
	reap(child);
	observe("reaped", epoll_wait(set, &event, 1, 1000));
	observe_events("events", event.events);
}

CASE(poll_waits_for_child)
{
	pid_t child = (pid_t)must("fork", fork());
	if (!child) {
		pause_ms(100);
		_exit(3);
	}
	int fd = pidfd_open_of(child, 0);
	observe_poll("poll", fd, POLLIN, 5000);
	observe_waitid("wait", fd, WEXITED, child);
	observe_poll("poll", fd, POLLIN, 0);
}

/* The thread that calls execve takes the place of the first. */
static void *execute(void *unused)
{
	(void)unused;
	char *arguments[] = { "/proc/self/exe", "no such case", NULL };
	pause_ms(50);
	execve(arguments[0], arguments, NULL);
	_exit(9);
}

CASE(thread_executes)
{
	int pipe_of[2];
	pid_t tid = 0;
	must("pipe", pipe2(pipe_of, O_CLOEXEC));
	pid_t child = (pid_t)must("fork", fork());
	if (!child) {
		pthread_t thread;
		close(pipe_of[0]);
		dup2(open("/dev/null", O_WRONLY), 1);
		dup2(1, 2);
		pthread_create(&thread, NULL, execute, NULL);
		pthread_join(thread, NULL);
		_exit(8);
	}
	close(pipe_of[1]);
	int process = pidfd_open_of(child, 0), leader = pidfd_open_of(child, PIDFD_THREAD);
	must("executed", read(pipe_of[0], &tid, sizeof(tid)) == 0 ? 0 : -1);
	observe_poll("process", process, POLLIN, 5000);
	observe_poll("leader", leader, POLLIN, 5000);
	reap(child);
	observe_pidfd("leader", leader);
}

/* ---- waitid ---- */

CASE(wait_by_pidfd)
{
	pid_t child = ending_child(7);
	int fd = pidfd_open_of(child, 0);
	observe_waitid("peek", fd, WEXITED | WNOWAIT, child);
	observe_waitid("stopped", fd, WSTOPPED | WNOHANG, child);
	observe_waitid("wait", fd, WEXITED, child);
	observe_waitid("again", fd, WEXITED, child);
}

CASE(wait_by_signalled)
{
	pid_t child = sleeping_child();
	int fd = pidfd_open_of(child, 0);
	observe("stop", pidfd_signal(fd, SIGSTOP, NULL, 0));
	observe_waitid("stopped", fd, WSTOPPED, child);
	observe_pidfd("poll", fd);
	observe("continue", pidfd_signal(fd, SIGCONT, NULL, 0));
	observe_waitid("continued", fd, WCONTINUED, child);
	observe("kill", pidfd_signal(fd, SIGKILL, NULL, 0));
	observe_waitid("killed", fd, WEXITED, child);
}

CASE(wait_nonblocking)
{
	pid_t child = sleeping_child();
	int fd = pidfd_open_of(child, O_NONBLOCK);
	observe_waitid("alive", fd, WEXITED, child);
	observe_waitid("nohang", fd, WEXITED | WNOHANG, child);
	observe("set", fcntl(fd, F_SETFL, 0));
	observe_waitid("nohang", fd, WEXITED | WNOHANG, child);
	observe("set", fcntl(fd, F_SETFL, O_NONBLOCK));
	kill(child, SIGKILL);
	wait_for_end(child);
	observe_waitid("ended", fd, WEXITED, child);
	observe_waitid("reaped", fd, WEXITED, child);
}

CASE(wait_arguments)
{
	int fd = pidfd_open_of(getpid(), 0);
	observe_waitid("self", fd, WEXITED, 0);
	observe_waitid("parent", pidfd_open_of(getppid(), 0), WEXITED, 0);
	observe_waitid("options", fd, 0, 0);
	observe_waitid("unknown", fd, 0x100, 0);
	observe_waitid("negative", -1, WEXITED, 0);
	observe_waitid("closed", 999, WEXITED, 0);
	observe_waitid("no-pidfd", 0, WEXITED, 0);
	observe_waitid("type", fd, WEXITED | 0x40, 0);
	observe("type-4", waitid((idtype_t)4, 0, NULL, WEXITED));
}

CASE(wait_by_thread_pidfd)
{
	pid_t child = ending_child(5);
	int fd = pidfd_open_of(child, PIDFD_THREAD);
	observe_poll("poll", fd, POLLIN, 5000);
	observe_waitid("wait", fd, WEXITED, child);
}
