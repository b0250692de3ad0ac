/* eventfd, timerfd, signalfd. */
#define _GNU_SOURCE
#include "conform.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

static void *volatile bad_pointer = (void *)16;

/* ---- eventfd ---- */

static long put(int fd, uint64_t value)
{
	return write(fd, &value, sizeof(value));
}

static void observe_counter(const char *label, int fd)
{
	uint64_t value = 0;
	ssize_t result = read(fd, &value, sizeof(value));
	if (result == sizeof(value))
		observe_text(label, "%#llx", (unsigned long long)value);
	else
		observe(label, result);
}

CASE(eventfd_flags)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	observe("getfl", fcntl(fd, F_GETFL));
	observe("getfd", fcntl(fd, F_GETFD));
	observe("plain", fcntl(eventfd(0, 0), F_GETFL));
	observe_fd("semaphore", eventfd(0, EFD_SEMAPHORE));
	observe_fd("flags", eventfd(0, 2));
	observe_fd("flags-append", eventfd(0, O_APPEND));
	observe_fd("eventfd-call", (int)syscall(SYS_eventfd2, 7, 0));
}

CASE(eventfd_counts)
{
	int fd = eventfd(5, EFD_NONBLOCK);
	observe_counter("initial", fd);
	observe_counter("empty", fd);
	observe("write", put(fd, 3));
	observe("write", put(fd, 4));
	observe_counter("sum", fd);
	observe("zero", put(fd, 0));
	observe_counter("after-zero", fd);
	observe_counter("most-initial", eventfd(UINT32_MAX, EFD_NONBLOCK));
}

CASE(eventfd_semaphore)
{
	int fd = eventfd(3, EFD_NONBLOCK | EFD_SEMAPHORE);
	for (int i = 0; i < 4; i++)
		observe_counter("read", fd);
	observe("write", put(fd, 2));
	observe_counter("read", fd);
	observe_counter("read", fd);
	observe_counter("read", fd);
}

CASE(eventfd_overflow)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	observe("all-ones", put(fd, UINT64_MAX));
	observe("most", put(fd, UINT64_MAX - 1));
	observe("one-more", put(fd, 1));
	observe("zero", put(fd, 0));
	observe_counter("read", fd);
	observe("most-but-one", put(fd, UINT64_MAX - 2));
	observe("two", put(fd, 2));
	observe("one", put(fd, 1));
	observe_counter("read", fd);
}

CASE(eventfd_sizes)
{
	char bytes[16] = { 1 };
	int fd = eventfd(1, EFD_NONBLOCK);
	observe("read-7", read(fd, bytes, 7));
	observe("read-0", read(fd, bytes, 0));
	observe("read-16", read(fd, bytes, 16));
	observe("read-7-empty", read(fd, bytes, 7));
	memset(bytes, 0, sizeof(bytes));
	bytes[0] = 1;
	observe("write-7", write(fd, bytes, 7));
	observe("write-0", write(fd, bytes, 0));
	observe("write-16", write(fd, bytes, 16));
	observe("write-8", write(fd, bytes, 8));
	observe("read-pointer", read(fd, bad_pointer, 8));
	observe_counter("still", fd);
	observe("write-pointer", write(fd, bad_pointer, 8));
	struct iovec halves[2] = { { bytes, 4 }, { bytes + 4, 4 } };
	observe("writev", writev(fd, halves, 2));
	observe("readv", readv(fd, halves, 2));
	observe("pread", pread(fd, bytes, 8, 0));
	observe("pwrite", pwrite(fd, bytes, 8, 0));
	observe("lseek", lseek(fd, 0, SEEK_SET));
}

static void *put_later(void *fd)
{
	pause_ms(30);
	put(*(int *)fd, 9);
	return NULL;
}

CASE(eventfd_blocking_read)
{
	int fd = eventfd(0, 0);
	pthread_t thread;
	pthread_create(&thread, NULL, put_later, &fd);
	observe_counter("read", fd);
	pthread_join(thread, NULL);
}

static void *get_later(void *fd)
{
	uint64_t value;
	pause_ms(30);
	(void)!read(*(int *)fd, &value, sizeof(value));
	return NULL;
}

CASE(eventfd_blocking_write)
{
	int fd = eventfd(0, 0);
	pthread_t thread;
	put(fd, UINT64_MAX - 1);
	pthread_create(&thread, NULL, get_later, &fd);
	long start = now_ms();
	observe("write", put(fd, 5));
	observe_waited("waited", start, 15, 5000);
	pthread_join(thread, NULL);
	observe_counter("read", fd);
}

/* ---- timerfd ---- */

static struct itimerspec times(long value_ms, long interval_ms)
{
	return (struct itimerspec){ .it_value = { value_ms / 1000, value_ms % 1000 * 1000000 },
		                    .it_interval = { interval_ms / 1000,
		                                     interval_ms % 1000 * 1000000 } };
}

static struct itimerspec absolute(int clock, long value_ms)
{
	struct timespec now;
	clock_gettime(clock, &now);
	long long ns = now.tv_sec * 1000000000ll + now.tv_nsec + value_ms * 1000000ll;
	return (struct itimerspec){ .it_value = { ns / 1000000000, ns % 1000000000 } };
}

CASE(timerfd_clocks)
{
	static const struct {
		const char *label;
		int clock;
	} clocks[] = {
		{ "realtime", CLOCK_REALTIME },
		{ "monotonic", CLOCK_MONOTONIC },
		{ "boottime", CLOCK_BOOTTIME },
		{ "realtime-alarm", CLOCK_REALTIME_ALARM },
		{ "boottime-alarm", CLOCK_BOOTTIME_ALARM },
		{ "raw", CLOCK_MONOTONIC_RAW },
		{ "process", CLOCK_PROCESS_CPUTIME_ID },
		{ "coarse", CLOCK_MONOTONIC_COARSE },
		{ "tai", CLOCK_TAI },
		{ "99", 99 },
		{ "negative", -1 },
	};
	for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++)
		observe_fd(clocks[i].label, timerfd_create(clocks[i].clock, 0));
	observe_fd("flags", timerfd_create(CLOCK_MONOTONIC, 1));
	observe("getfl", fcntl(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), F_GETFL));
	observe("getfd", fcntl(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), F_GETFD));
}

CASE(timerfd_bad_arguments)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	struct itimerspec good = times(1000, 0), old, bad = good;
	observe("fd", timerfd_settime(-1, 0, &good, NULL));
	observe("no-timerfd", timerfd_settime(eventfd(0, 0), 0, &good, NULL));
	observe("flags", timerfd_settime(fd, 4, &good, NULL));
	observe("new", timerfd_settime(fd, 0, bad_pointer, NULL));
	observe("old", timerfd_settime(fd, 0, &good, bad_pointer));
	bad.it_value.tv_nsec = 1000000000;
	observe("nanoseconds", timerfd_settime(fd, 0, &bad, NULL));
	bad = times(-1000, 0);
	observe("negative", timerfd_settime(fd, 0, &bad, NULL));
	bad = times(1000, 0);
	bad.it_interval.tv_nsec = -1;
	observe("interval", timerfd_settime(fd, 0, &bad, NULL));
	observe("gettime-fd", timerfd_gettime(-1, &old));
	observe("gettime-no-timerfd", timerfd_gettime(eventfd(0, 0), &old));
	observe("gettime-pointer", timerfd_gettime(fd, bad_pointer));
	observe("flags-and-fd", timerfd_settime(-1, 4, &good, NULL));
}

CASE(timerfd_once)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	struct itimerspec soon = times(20, 0), now;
	long start = now_ms();
	must("settime", timerfd_settime(fd, 0, &soon, NULL));
	observe_counter("read", fd);
	observe_waited("waited", start, 20, 5000);
	must("gettime", timerfd_gettime(fd, &now));
	observe("left", now.it_value.tv_sec + now.it_value.tv_nsec);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	observe_counter("again", fd);
}

CASE(timerfd_interval)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	struct itimerspec often = times(1, 10), now;
	uint64_t count = 0;
	must("settime", timerfd_settime(fd, 0, &often, NULL));
	pause_ms(100);
	observe("read", read(fd, &count, sizeof(count)));
	observe_text("counted", "%s", count >= 9 && count < 500 ? "as-many" : "other");
	must("gettime", timerfd_gettime(fd, &now));
	observe("interval", now.it_interval.tv_nsec);
	observe("left", now.it_value.tv_nsec <= 10000000);
	observe("waits", read(fd, &count, sizeof(count)));
}

CASE(timerfd_interval_without_value)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	struct itimerspec only_interval = times(0, 1), now;
	observe("settime", timerfd_settime(fd, 0, &only_interval, NULL));
	pause_ms(10);
	observe_counter("read", fd);
	must("gettime", timerfd_gettime(fd, &now));
	observe("interval", now.it_interval.tv_nsec);
	observe("value", now.it_value.tv_nsec);
}

CASE(timerfd_absolute)
{
	static const int clocks[] = { CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME };
	for (int i = 0; i < 3; i++) {
		int fd = timerfd_create(clocks[i], 0);
		long start = now_ms();
		struct itimerspec soon = absolute(clocks[i], 20);
		struct itimerspec past = { .it_value = { 0, 1 } };
		must("settime", timerfd_settime(fd, TFD_TIMER_ABSTIME, &soon, NULL));
		observe_counter("soon", fd);
		observe_waited("waited", start, 19, 5000);
		must("settime", timerfd_settime(fd, TFD_TIMER_ABSTIME, &past, NULL));
		observe_counter("past", fd);
	}
}

CASE(timerfd_absolute_past_interval)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	pause_ms(100);
	struct itimerspec past = absolute(CLOCK_MONOTONIC, -95);
	uint64_t count = 0;
	past.it_interval.tv_nsec = 10000000;
	must("settime", timerfd_settime(fd, TFD_TIMER_ABSTIME, &past, NULL));
	must("poll", poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 1000));
	observe("read", read(fd, &count, sizeof(count)));
	observe_text("counted", "%s", count >= 10 && count < 500 ? "as-many" : "other");
}

CASE(timerfd_settime_replaces)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	struct itimerspec soon = times(1, 0), later = times(100000, 7000), off = times(0, 0), old;
	must("settime", timerfd_settime(fd, 0, &soon, NULL));
	pause_ms(10);
	observe("settime", timerfd_settime(fd, 0, &later, &old));
	observe("old", old.it_value.tv_sec + old.it_value.tv_nsec);
	observe_counter("expiry-forgotten", fd);
	observe("off", timerfd_settime(fd, 0, &off, &old));
	observe("old-seconds", old.it_value.tv_sec);
	observe("old-interval", old.it_interval.tv_sec);
	must("gettime", timerfd_gettime(fd, &old));
	observe("left", old.it_value.tv_sec + old.it_value.tv_nsec);
	observe("interval", old.it_interval.tv_sec);
}

CASE(timerfd_sizes)
{
	char bytes[16];
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	struct itimerspec soon = times(1, 0);
	must("settime", timerfd_settime(fd, 0, &soon, NULL));
	pause_ms(10);
	observe("read-7", read(fd, bytes, 7));
	observe("read-pointer", read(fd, bad_pointer, 8));
	observe("after-pointer", read(fd, bytes, 16));
	observe("write", write(fd, bytes, 8));
	observe("lseek", lseek(fd, 0, SEEK_SET));
	observe("pread", pread(fd, bytes, 8, 0));
}

CASE(timerfd_canceled_by_clock_set)
{
	struct timespec now;
	int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
	int plain = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
	struct itimerspec far = absolute(CLOCK_REALTIME, 1000000);
	int cancel = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
	must("settime", timerfd_settime(fd, cancel, &far, NULL));
	must("settime", timerfd_settime(plain, TFD_TIMER_ABSTIME, &far, NULL));
	observe_counter("before", fd);
	clock_gettime(CLOCK_REALTIME, &now);
	must("clock_settime", clock_settime(CLOCK_REALTIME, &now));
	observe_poll("poll", fd, POLLIN, 0);
	observe_counter("canceled", fd);
	observe_counter("again", fd);
	observe_poll("poll", fd, POLLIN, 0);
	observe_poll("plain-poll", plain, POLLIN, 0);
	observe_counter("plain", plain);
	clock_gettime(CLOCK_REALTIME, &now);
	must("clock_settime", clock_settime(CLOCK_REALTIME, &now));
	observe("settime", timerfd_settime(fd, cancel, &far, NULL));
	observe_counter("after-settime", fd);
}

CASE(timerfd_cancel_wants_absolute_realtime)
{
	struct timespec now;
	struct itimerspec far = times(1000000, 0);
	int real = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
	int monotonic = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	observe("relative", timerfd_settime(real, TFD_TIMER_CANCEL_ON_SET, &far, NULL));
	observe("monotonic", timerfd_settime(monotonic, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET,
	                                     &far, NULL));
	clock_gettime(CLOCK_REALTIME, &now);
	must("clock_settime", clock_settime(CLOCK_REALTIME, &now));
	observe_counter("relative", real);
	observe_counter("monotonic", monotonic);
}

/* An absolute time of the wall clock comes when the clock is set to it. */
CASE(timerfd_follows_wall_clock)
{
	struct timespec now;
	int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
	struct itimerspec far = absolute(CLOCK_REALTIME, 3600000);
	must("settime", timerfd_settime(fd, TFD_TIMER_ABSTIME, &far, NULL));
	clock_gettime(CLOCK_REALTIME, &now);
	now.tv_sec += 3700;
	must("clock_settime", clock_settime(CLOCK_REALTIME, &now));
	observe_poll("poll", fd, POLLIN, 2000);
	observe_counter("read", fd);
	now.tv_sec -= 3700;
	must("clock_settime", clock_settime(CLOCK_REALTIME, &now));
}

/* ---- signalfd ---- */

static sigset_t set_of(int first, int second)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, first);
	if (second)
		sigaddset(&set, second);
	return set;
}

static void observe_signal(const char *label, int fd)
{
	struct signalfd_siginfo info = { 0 };
	ssize_t result = read(fd, &info, sizeof(info));
	if (result != sizeof(info)) {
		observe(label, result);
		return;
	}
	observe_text(label, "%u/code%d/%s%s", info.ssi_signo, info.ssi_code,
	             info.ssi_pid == (uint32_t)getpid() ? "own" : "other",
	             info.ssi_int ? "/value" : "");
}

CASE(signalfd_arguments)
{
	sigset_t set = set_of(SIGUSR1, 0);
	int fd = (int)must("signalfd", signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
	observe("getfl", fcntl(fd, F_GETFL));
	observe("getfd", fcntl(fd, F_GETFD));
	observe_fd("flags", signalfd(-1, &set, 1));
	observe_fd("fd", signalfd(900, &set, 0));
	observe_fd("negative-fd", signalfd(-2, &set, 0));
	observe_fd("no-signalfd", signalfd(eventfd(0, 0), &set, 0));
	observe_fd("pointer", (int)syscall(SYS_signalfd4, -1, bad_pointer, 8, 0));
	observe_fd("size", (int)syscall(SYS_signalfd4, -1, &set, 4, 0));
	observe("same", signalfd(fd, &set, 0) == fd);
}

CASE(signalfd_reads)
{
	sigset_t set = set_of(SIGUSR1, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int fd = signalfd(-1, &set, SFD_NONBLOCK);
	observe_signal("none", fd);
	raise(SIGUSR2);
	raise(SIGUSR1);
	raise(SIGUSR1);
	observe_signal("first", fd);
	observe_signal("second", fd);
	observe_signal("third", fd);
}

CASE(signalfd_several_at_once)
{
	struct signalfd_siginfo info[4];
	sigset_t set = set_of(SIGUSR1, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int fd = signalfd(-1, &set, SFD_NONBLOCK);
	raise(SIGUSR1);
	raise(SIGUSR2);
	observe("short", read(fd, info, sizeof(info[0]) - 1));
	observe("zero", read(fd, info, 0));
	observe("pointer", read(fd, bad_pointer, sizeof(info)));
	raise(SIGUSR1);
	observe("read", read(fd, info, sizeof(info) - 1) / (long)sizeof(info[0]));
	observe("write", write(fd, info, sizeof(info[0])));
}

CASE(signalfd_real_time_queue)
{
	sigset_t set = set_of(SIGRTMIN, SIGRTMIN + 1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int fd = signalfd(-1, &set, SFD_NONBLOCK);
	sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = 5 });
	sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 6 });
	sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 0 });
	struct signalfd_siginfo info;
	for (int i = 0; i < 4; i++) {
		ssize_t result = read(fd, &info, sizeof(info));
		if (result < 0) {
			observe("read", result);
			continue;
		}
		observe("signal", (long)info.ssi_signo - SIGRTMIN);
		observe("value", info.ssi_int);
		observe("code", info.ssi_code);
	}
}

CASE(signalfd_child)
{
	sigset_t set = set_of(SIGCHLD, 0);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int fd = signalfd(-1, &set, 0);
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0)
		_exit(7);
	struct signalfd_siginfo info = { 0 };
	observe("read", read(fd, &info, sizeof(info)));
	observe("signal", info.ssi_signo);
	observe("code", info.ssi_code);
	observe("status", info.ssi_status);
	observe("pid", info.ssi_pid == (uint32_t)pid);
	waitpid(pid, NULL, 0);
}

CASE(signalfd_mask_changed)
{
	sigset_t set = set_of(SIGUSR1, SIGUSR2), usr1 = set_of(SIGUSR1, 0),
	         usr2 = set_of(SIGUSR2, 0);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int fd = signalfd(-1, &usr1, SFD_NONBLOCK);
	raise(SIGUSR2);
	observe_signal("not-asked", fd);
	must("signalfd", signalfd(fd, &usr2, 0));
	observe_poll("poll", fd, POLLIN, 0);
	observe_signal("asked", fd);
}

CASE(signalfd_not_blocked)
{
	sigset_t set = set_of(SIGUSR1, 0);
	signal(SIGUSR1, SIG_IGN);
	int fd = signalfd(-1, &set, SFD_NONBLOCK);
	raise(SIGUSR1);
	observe_signal("ignored", fd);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR1);
	observe_signal("ignored-and-blocked", fd);
}

CASE(signalfd_kill_and_stop)
{
	sigset_t set = set_of(SIGKILL, SIGSTOP);
	observe_fd("signalfd", signalfd(-1, &set, 0));
}

static void *raise_in_thread(void *unused)
{
	(void)unused;
	raise(SIGUSR1);
	return NULL;
}

/* A signal to one thread is that thread's: another's read does not see it. */
CASE(signalfd_of_another_thread)
{
	sigset_t set = set_of(SIGUSR1, 0);
	pthread_t thread;
	sigprocmask(SIG_BLOCK, &set, NULL);
	int fd = signalfd(-1, &set, SFD_NONBLOCK);
	pthread_create(&thread, NULL, raise_in_thread, NULL);
	pthread_join(thread, NULL);
	observe_signal("thread's", fd);
	kill(getpid(), SIGUSR1);
	observe_signal("process's", fd);
}

static void *kill_later(void *unused)
{
	(void)unused;
	pause_ms(30);
	kill(getpid(), SIGUSR1);
	return NULL;
}

CASE(signalfd_blocking)
{
	sigset_t set = set_of(SIGUSR1, 0);
	pthread_t thread;
	sigprocmask(SIG_BLOCK, &set, NULL);
	int fd = signalfd(-1, &set, 0);
	pthread_create(&thread, NULL, kill_later, NULL);
	observe_signal("read", fd);
	pthread_join(thread, NULL);
}
