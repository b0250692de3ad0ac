/* select and pselect6: sets, limits, times, signals. */
#define _GNU_SOURCE
#include "readiness.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>

static void *volatile bad_pointer = (void *)16;
static volatile sig_atomic_t caught;

static void catch (int number)
{
	(void)number;
	caught++;
}

static void handle(int number, int flags)
{
	struct sigaction action = { .sa_handler = catch, .sa_flags = flags };
	sigaction(number, &action, NULL);
}

static void send_usr1(void *pid)
{
	kill(*(pid_t *)pid, SIGUSR1);
}

static void signal_later(int ms)
{
	static pid_t self;
	self = getpid();
	child_after(ms, send_usr1, &self);
}

/* The sixth argument of the call. */
struct mask_argument {
	const void *mask;
	size_t size;
};

static long raw_select(int count, void *read, void *write, void *except, struct timespec *time,
                       const struct mask_argument *mask)
{
	return syscall(SYS_pselect6, count, read, write, except, time, mask);
}

static void one(fd_set *set, int fd)
{
	FD_ZERO(set);
	FD_SET(fd, set);
}

static struct timespec none;

CASE(select_nothing)
{
	long start = now_ms();
	struct timespec time = { 0, 40000000 };
	observe("zero", raw_select(0, NULL, NULL, NULL, &none, NULL));
	observe("sets-null", raw_select(64, NULL, NULL, NULL, &none, NULL));
	observe("wait", raw_select(0, NULL, NULL, NULL, &time, NULL));
	observe_waited("waited", start, 40, 5000);
	observe_text("left", "%ld.%09ld", time.tv_sec, time.tv_nsec);
}

CASE(select_bad_counts)
{
	fd_set set;
	one(&set, eventfd(1, 0));
	observe("negative", raw_select(-1, &set, NULL, NULL, &none, NULL));
	observe("least", raw_select(INT32_MIN, &set, NULL, NULL, &none, NULL));
	observe("zero", raw_select(0, &set, NULL, NULL, &none, NULL));
	observe("below-fd", raw_select(1, &set, NULL, NULL, &none, NULL));
}

CASE(select_bad_descriptors)
{
	fd_set set;
	one(&set, 900);
	observe("read", raw_select(1024, &set, NULL, NULL, &none, NULL));
	int fd = eventfd(1, 0);
	close(fd);
	one(&set, fd);
	observe("closed", raw_select(fd + 1, &set, NULL, NULL, &none, NULL));
	observe("kept", FD_ISSET(fd, &set));
	one(&set, fd);
	observe("write", raw_select(fd + 1, NULL, &set, NULL, &none, NULL));
	one(&set, fd);
	observe("except", raw_select(fd + 1, NULL, NULL, &set, &none, NULL));
}

/* Bits behind the last open descriptor are those of nobody, even in the range of the count. */
CASE(select_beyond_table)
{
	static unsigned long set[8192 / 64];
	memset(set, 0xff, sizeof(set));
	set[0] = 1ul << eventfd(1, 0);
	struct rlimit most = { 4096, 4096 };
	must("setrlimit", setrlimit(RLIMIT_NOFILE, &most));
	observe("first-bits", raw_select(64, set, NULL, NULL, &none, NULL));
	observe("bit", set[0] != 0);
	observe("next-word", set[1] == ~0ul);
}

CASE(select_more_than_fd_set)
{
	static unsigned long set[4096 / 64];
	struct rlimit most = { 4096, 4096 };
	must("setrlimit", setrlimit(RLIMIT_NOFILE, &most));
	int fd = (int)must("dup", fcntl(eventfd(1, 0), F_DUPFD, 2500));
	set[fd / 64] = 1ul << fd % 64;
	observe("select", raw_select(fd + 1, set, NULL, NULL, &none, NULL));
	observe("set", set[fd / 64] == 1ul << fd % 64);
	observe("below", raw_select(fd, set, NULL, NULL, &none, NULL));
}

CASE(select_bad_pointers)
{
	fd_set set;
	int fd = eventfd(1, 0);
	struct mask_argument bad_mask = { bad_pointer, 8 }, short_mask = { bad_pointer, 4 };
	struct mask_argument no_mask = { NULL, 77 };
	one(&set, fd);
	observe("read", raw_select(fd + 1, bad_pointer, NULL, NULL, &none, NULL));
	observe("write", raw_select(fd + 1, NULL, bad_pointer, NULL, &none, NULL));
	observe("except", raw_select(fd + 1, NULL, NULL, bad_pointer, &none, NULL));
	observe("time", raw_select(fd + 1, &set, NULL, NULL, bad_pointer, NULL));
	observe("argument", raw_select(fd + 1, &set, NULL, NULL, &none, bad_pointer));
	observe("mask", raw_select(fd + 1, &set, NULL, NULL, &none, &bad_mask));
	observe("mask-size", raw_select(fd + 1, &set, NULL, NULL, &none, &short_mask));
	observe("no-mask", raw_select(fd + 1, &set, NULL, NULL, &none, &no_mask));
	observe("count-and-mask", raw_select(-1, &set, NULL, NULL, &none, &short_mask));
	observe("zero-count", raw_select(0, bad_pointer, bad_pointer, NULL, &none, NULL));
}

CASE(select_bad_times)
{
	struct timespec negative = { -1, 0 }, too_many = { 0, 1000000000 };
	struct timeval below = { -1, 0 };
	observe("negative", raw_select(0, NULL, NULL, NULL, &negative, NULL));
	observe("nanoseconds", raw_select(0, NULL, NULL, NULL, &too_many, NULL));
	observe("count-too", raw_select(-1, NULL, NULL, NULL, &negative, NULL));
	observe("select-negative", select(0, NULL, NULL, NULL, &below));
}

CASE(select_writes_what_is_left)
{
	fd_set set;
	int fd = eventfd(1, 0);
	struct timespec time = { 100, 0 };
	one(&set, fd);
	observe("ready", raw_select(fd + 1, &set, NULL, NULL, &time, NULL));
	observe("left", time.tv_sec >= 90 && time.tv_sec <= 100);
	time = (struct timespec){ 100, 0 };
	one(&set, 900);
	observe("bad", raw_select(901, bad_pointer, NULL, NULL, &time, NULL));
	observe("left", time.tv_sec >= 90 && time.tv_sec <= 100);
}

CASE(select_interrupted)
{
	fd_set set;
	int fd = eventfd(0, 0);
	struct timespec time = { 100, 0 };
	one(&set, fd);
	handle(SIGUSR1, SA_RESTART);
	signal_later(30);
	observe("select", raw_select(fd + 1, &set, NULL, NULL, &time, NULL));
	observe("caught", caught);
	observe("left", time.tv_sec >= 90 && time.tv_sec <= 99);
	observe("set-kept", FD_ISSET(fd, &set));
}

CASE(select_timeout_clears)
{
	fd_set set;
	int fd = eventfd(0, 0);
	one(&set, fd);
	observe("select", raw_select(fd + 1, &set, NULL, NULL, &none, NULL));
	observe("set", FD_ISSET(fd, &set));
}

CASE(select_counts_bits)
{
	fd_set readable, writable, except;
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	must("write", write(pair[1], "a", 1));
	one(&readable, pair[0]);
	one(&writable, pair[0]);
	one(&except, pair[0]);
	FD_SET(pair[1], &readable);
	FD_SET(pair[1], &writable);
	observe("select", raw_select(pair[1] + 1, &readable, &writable, &except, &none, NULL));
	observe("read", FD_ISSET(pair[0], &readable));
	observe("read-peer", FD_ISSET(pair[1], &readable));
	observe("write", FD_ISSET(pair[0], &writable));
	observe("write-peer", FD_ISSET(pair[1], &writable));
	observe("except", FD_ISSET(pair[0], &except));
}

/* Only the condition that is asked for counts. */
CASE(select_hang_up_for_write_only)
{
	fd_set set;
	int ends[2];
	must("pipe", pipe(ends));
	close(ends[1]);
	one(&set, ends[0]);
	observe("write-set", raw_select(ends[0] + 1, NULL, &set, NULL, &none, NULL));
	one(&set, ends[0]);
	observe("except-set", raw_select(ends[0] + 1, NULL, NULL, &set, &none, NULL));
	one(&set, ends[0]);
	observe("read-set", raw_select(ends[0] + 1, &set, NULL, NULL, &none, NULL));
}

CASE(select_same_set_twice)
{
	fd_set set;
	int fd = eventfd(1, 0);
	one(&set, fd);
	observe("select", raw_select(fd + 1, &set, &set, NULL, &none, NULL));
	observe("set", FD_ISSET(fd, &set));
}

CASE(select_files_are_ready)
{
	fd_set read, write, except;
	int fd = open("file", O_RDWR | O_CREAT, 0600);
	one(&read, fd);
	one(&write, fd);
	one(&except, fd);
	observe("select", raw_select(fd + 1, &read, &write, &except, NULL, NULL));
}

CASE(pselect_mask)
{
	sigset_t usr1, empty, now;
	struct timespec time = { 0, 50000000 };
	sigemptyset(&usr1);
	sigemptyset(&empty);
	sigaddset(&usr1, SIGUSR1);
	struct mask_argument all = { &empty, 8 }, blocks = { &usr1, 8 };
	handle(SIGUSR1, 0);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	raise(SIGUSR1);
	observe("zero-time", raw_select(0, NULL, NULL, NULL, &none, &all));
	observe("caught", caught);
	raise(SIGUSR1);
	observe("for-ever", raw_select(0, NULL, NULL, NULL, NULL, &all));
	observe("caught", caught);
	sigprocmask(SIG_SETMASK, &empty, NULL);
	signal_later(10);
	observe("blocks", raw_select(0, NULL, NULL, NULL, &time, &blocks));
	observe("caught", caught);
	sigprocmask(SIG_BLOCK, NULL, &now);
	observe("after", sigismember(&now, SIGUSR1));
}

CASE(pselect_ready_before_signal)
{
	fd_set set;
	sigset_t usr1, empty;
	int fd = eventfd(1, 0);
	sigemptyset(&usr1);
	sigemptyset(&empty);
	sigaddset(&usr1, SIGUSR1);
	struct mask_argument all = { &empty, 8 };
	handle(SIGUSR1, 0);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	raise(SIGUSR1);
	one(&set, fd);
	observe("select", raw_select(fd + 1, &set, NULL, NULL, NULL, &all));
	observe("caught", caught);
}
