/* poll and ppoll: arguments, results, times, signals. */
#define _GNU_SOURCE
#include "readiness.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
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

static void block(int number)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void observe_blocked(const char *label, int number)
{
	sigset_t now;
	sigprocmask(SIG_BLOCK, NULL, &now);
	observe(label, sigismember(&now, number));
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

/* As the kernel does it: glibc's ppoll works on a copy of the time. */
static long raw_ppoll(struct pollfd *fds, unsigned long count, struct timespec *time,
                      const sigset_t *mask, size_t size)
{
	return syscall(SYS_ppoll, fds, count, time, mask, size);
}

CASE(poll_nothing)
{
	long start = now_ms();
	observe("zero", poll(NULL, 0, 0));
	observe("wait", poll(NULL, 0, 50));
	observe_waited("waited", start, 50, 5000);
}

CASE(poll_bad_descriptors)
{
	struct pollfd fds[4] = {
		{ .fd = -1, .events = POLLIN, .revents = 77 },
		{ .fd = 900, .events = POLLIN },
		{ .fd = 5000, .events = 0 },
		{ .fd = -900, .events = POLLOUT, .revents = 77 },
	};
	observe("poll", poll(fds, 4, 1000));
	for (int i = 0; i < 4; i++)
		observe_events("revents", (unsigned short)fds[i].revents);
}

CASE(poll_negative_descriptors_only)
{
	struct pollfd fd = { .fd = -1, .events = POLLIN, .revents = 77 };
	long start = now_ms();
	observe("poll", poll(&fd, 1, 30));
	observe_waited("waited", start, 30, 5000);
	observe_events("revents", (unsigned short)fd.revents);
}

CASE(poll_closed_while_listed)
{
	int fd = eventfd(1, 0);
	struct pollfd fds[2] = { { .fd = fd, .events = POLLIN }, { .fd = fd, .events = POLLIN } };
	close(fd);
	observe("poll", poll(fds, 2, 0));
	observe_events("revents", (unsigned short)fds[1].revents);
}

CASE(poll_same_twice)
{
	int fd = eventfd(1, 0);
	struct pollfd fds[3] = { { .fd = fd, .events = POLLIN },
		                 { .fd = fd, .events = POLLOUT },
		                 { .fd = fd, .events = POLLPRI } };
	observe("poll", poll(fds, 3, 0));
	for (int i = 0; i < 3; i++)
		observe_events("revents", (unsigned short)fds[i].revents);
}

CASE(poll_ignores_unknown_events)
{
	int fd = eventfd(1, 0);
	struct pollfd one = { .fd = fd, .events = (short)(POLLERR | POLLHUP | POLLNVAL | 0x800) };
	observe("poll", poll(&one, 1, 0));
	observe_events("revents", (unsigned short)one.revents);
}

CASE(poll_too_many)
{
	static struct pollfd fds[1025];
	for (int i = 0; i < 1025; i++)
		fds[i].fd = -1;
	observe("at-limit", poll(fds, 1024, 0));
	observe("beyond", poll(fds, 1025, 0));
	observe("huge", raw_ppoll(fds, 1ul << 31, &(struct timespec){ 0 }, NULL, 0));
	struct rlimit low = { 4, 4096 };
	must("setrlimit", setrlimit(RLIMIT_NOFILE, &low));
	observe("lowered", poll(fds, 5, 0));
	observe("lowered-at", poll(fds, 4, 0));
}

CASE(poll_count_is_32_bits)
{
	struct pollfd fd = { .fd = -1 };
	observe("poll", raw_ppoll(&fd, (1ul << 32) + 1, &(struct timespec){ 0 }, NULL, 0));
}

CASE(poll_bad_pointers)
{
	struct pollfd fd = { .fd = eventfd(1, 0), .events = POLLIN };
	struct timespec zero = { 0, 0 };
	observe("fds", poll(bad_pointer, 1, 0));
	observe("fds-none", poll(bad_pointer, 0, 0));
	observe("time", raw_ppoll(&fd, 1, bad_pointer, NULL, 0));
	observe("mask", raw_ppoll(&fd, 1, &zero, bad_pointer, 8));
	observe("mask-size", raw_ppoll(&fd, 1, &zero, bad_pointer, 4));
	observe("fds-and-size", raw_ppoll(bad_pointer, 1, &zero, bad_pointer, 4));
}

CASE(poll_array_ends_in_a_hole)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *pages =
	        mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(pages + page, page);
	struct pollfd *last = (struct pollfd *)(pages + page) - 1;
	*last = (struct pollfd){ .fd = eventfd(1, 0), .events = POLLIN };
	observe("fits", poll(last, 1, 0));
	last->revents = 0;
	observe("too-long", poll(last, 2, 0));
	observe_events("revents", (unsigned short)last->revents);
}

CASE(ppoll_bad_times)
{
	struct pollfd fd = { .fd = -1 };
	struct timespec negative = { -1, 0 }, too_many = { 0, 1000000000 }, below = { 0, -1 };
	observe("negative", raw_ppoll(&fd, 1, &negative, NULL, 0));
	observe("nanoseconds", raw_ppoll(&fd, 1, &too_many, NULL, 0));
	observe("negative-ns", raw_ppoll(&fd, 1, &below, NULL, 0));
	observe("count-too", raw_ppoll(&fd, 5000, &negative, NULL, 0));
}

/* "in-time", or what the time was changed to. */
static void observe_left(const char *label, const struct timespec *left, long least_s, long most_s)
{
	observe_text(label, "%s",
	             left->tv_sec >= least_s && left->tv_sec <= most_s ? "as-expected" : "other");
}

CASE(ppoll_writes_what_is_left)
{
	struct pollfd fd = { .fd = eventfd(1, 0), .events = POLLIN };
	struct timespec time = { 100, 0 };
	observe("ready", raw_ppoll(&fd, 1, &time, NULL, 0));
	observe_left("left", &time, 90, 100);
	time = (struct timespec){ 0, 20000000 };
	fd.events = 0;
	observe("expired", raw_ppoll(&fd, 1, &time, NULL, 0));
	observe_text("left", "%ld.%09ld", time.tv_sec, time.tv_nsec);
	time = (struct timespec){ 0, 0 };
	observe("zero", raw_ppoll(&fd, 1, &time, NULL, 0));
	observe_text("left", "%ld.%09ld", time.tv_sec, time.tv_nsec);
	time = (struct timespec){ 100, 0 };
	observe("bad", raw_ppoll(bad_pointer, 1, &time, NULL, 0));
	observe_left("left", &time, 90, 100);
}

CASE(ppoll_writes_what_is_left_after_a_signal)
{
	struct timespec time = { 100, 0 };
	handle(SIGUSR1, SA_RESTART);
	signal_later(50);
	observe("ppoll", raw_ppoll(NULL, 0, &time, NULL, 0));
	observe_left("left", &time, 90, 99);
}

CASE(ppoll_time_kept_read_only)
{
	static const struct timespec zero = { 0, 1 };
	struct pollfd fd = { .fd = eventfd(1, 0), .events = POLLIN };
	observe("ppoll", raw_ppoll(&fd, 1, (struct timespec *)&zero, NULL, 0));
	observe_events("revents", (unsigned short)fd.revents);
}

CASE(ppoll_no_time_at_all)
{
	struct pollfd fd = { .fd = eventfd(1, 0), .events = POLLIN };
	observe("ppoll", ppoll(&fd, 1, NULL, NULL));
}

CASE(ppoll_far_future)
{
	struct timespec time = { INT64_MAX, 999999999 };
	struct pollfd fd = { .fd = eventfd(1, 0), .events = POLLIN };
	observe("ready", raw_ppoll(&fd, 1, &time, NULL, 0));
	fd.events = 0;
	handle(SIGUSR1, 0);
	signal_later(30);
	time = (struct timespec){ INT64_MAX, 0 };
	observe("waits", raw_ppoll(&fd, 1, &time, NULL, 0));
}

CASE(poll_interrupted)
{
	handle(SIGUSR1, 0);
	signal_later(30);
	observe("poll", poll(NULL, 0, -1));
	observe("caught", caught);
	handle(SIGUSR1, SA_RESTART);
	signal_later(30);
	observe("sa-restart", poll(NULL, 0, -1));
	observe("caught", caught);
}

CASE(poll_ignored_signal)
{
	long start = now_ms();
	signal(SIGUSR1, SIG_IGN);
	signal_later(20);
	observe("poll", poll(NULL, 0, 100));
	observe_waited("waited", start, 100, 5000);
}

CASE(poll_ready_with_pending_signal)
{
	struct pollfd fd = { .fd = eventfd(1, 0), .events = POLLIN };
	sigset_t none;
	sigemptyset(&none);
	handle(SIGUSR1, 0);
	block(SIGUSR1);
	raise(SIGUSR1);
	observe("ready", ppoll(&fd, 1, NULL, &none));
	observe("caught", caught);
	observe_blocked("blocked", SIGUSR1);
}

CASE(ppoll_unblocks_pending)
{
	sigset_t none;
	struct timespec zero = { 0, 0 };
	sigemptyset(&none);
	handle(SIGUSR1, 0);
	block(SIGUSR1);
	raise(SIGUSR1);
	observe("blocked", ppoll(NULL, 0, &zero, NULL));
	observe("caught", caught);
	observe("zero-time", ppoll(NULL, 0, &zero, &none));
	observe("caught", caught);
	raise(SIGUSR1);
	observe("for-ever", ppoll(NULL, 0, NULL, &none));
	observe("caught", caught);
	observe_blocked("after", SIGUSR1);
}

CASE(ppoll_blocks_while_waiting)
{
	sigset_t usr1;
	struct timespec time = { 0, 80000000 };
	long start = now_ms();
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	handle(SIGUSR1, 0);
	signal_later(20);
	observe("ppoll", ppoll(NULL, 0, &time, &usr1));
	observe_waited("waited", start, 80, 5000);
	observe("caught", caught);
	observe_blocked("after", SIGUSR1);
}

CASE(ppoll_mask_without_kill)
{
	sigset_t all;
	sigfillset(&all);
	struct timespec zero = { 0, 0 };
	observe("ppoll", ppoll(NULL, 0, &zero, &all));
	observe_blocked("after", SIGUSR1);
}

CASE(ppoll_mask_size)
{
	sigset_t none;
	struct timespec zero = { 0, 0 };
	sigemptyset(&none);
	observe("8", raw_ppoll(NULL, 0, &zero, &none, 8));
	observe("16", raw_ppoll(NULL, 0, &zero, &none, 16));
	observe("0", raw_ppoll(NULL, 0, &zero, &none, 0));
	observe("no-mask", raw_ppoll(NULL, 0, &zero, NULL, 77));
}

CASE(poll_killed_child_waits)
{
	int status = 0;
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		poll(NULL, 0, -1);
		_exit(1);
	}
	pause_ms(20);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	observe("signal", WIFSIGNALED(status) ? WTERMSIG(status) : -1);
}

CASE(poll_continues_after_stop)
{
	int status = 0;
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0)
		_exit(poll(NULL, 0, 150) == 0 ? 3 : errno);
	pause_ms(20);
	kill(pid, SIGSTOP);
	waitpid(pid, &status, WUNTRACED);
	kill(pid, SIGCONT);
	waitpid(pid, &status, 0);
	observe("status", WEXITSTATUS(status));
}

CASE(poll_revents_written_on_timeout)
{
	struct pollfd fds[2] = { { .fd = eventfd(0, 0), .events = POLLIN, .revents = 77 },
		                 { .fd = -5, .events = POLLIN, .revents = 77 } };
	observe("poll", poll(fds, 2, 10));
	observe_events("revents", (unsigned short)fds[0].revents);
	observe_events("revents", (unsigned short)fds[1].revents);
}

CASE(poll_revents_kept_on_error)
{
	struct pollfd fds[1] = { { .fd = eventfd(0, 0), .events = POLLIN, .revents = 77 } };
	handle(SIGUSR1, 0);
	signal_later(20);
	observe("poll", poll(fds, 1, -1));
	observe("revents", fds[0].revents);
}
