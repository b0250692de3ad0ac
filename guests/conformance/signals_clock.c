/* The wall clock is set while somebody waits until a time by it: who waits for an absolute time
 * hears of it, who waits for a span of time does not. */
#define _GNU_SOURCE
#include "signals.h"

#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>

#define HOUR 3600

static void step(long seconds)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	now.tv_sec += seconds;
	must("settime", clock_settime(CLOCK_REALTIME, &now));
}

static struct timespec from_now(clockid_t clock, long seconds, long ms)
{
	struct timespec time;
	clock_gettime(clock, &time);
	time.tv_sec += seconds;
	time.tv_nsec += ms * 1000000;
	if (time.tv_nsec >= 1000000000) {
		time.tv_sec++;
		time.tv_nsec -= 1000000000;
	}
	return time;
}

/* A child sets the clock by so much in a while; the caller waits for it after its own wait. */
static pid_t step_later(long seconds)
{
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		pause_ms(100);
		step(seconds);
		_exit(0);
	}
	return pid;
}

static void step_back(pid_t pid, long seconds)
{
	waitpid(pid, NULL, 0);
	step(-seconds);
}

static timer_t timer_on(clockid_t clock)
{
	timer_t timer;
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	block_signal(SIGUSR1);
	must("create", timer_create(clock, &event, &timer));
	return timer;
}

static void observe_signal(const char *label, int most_ms)
{
	sigset_t set;
	struct timespec time = { most_ms / 1000, most_ms % 1000 * 1000000L };
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	observe(label, sigtimedwait(&set, NULL, &time));
}

CASE(set_forward_timer_absolute)
{
	timer_t timer = timer_on(CLOCK_REALTIME);
	struct itimerspec at = { .it_value = from_now(CLOCK_REALTIME, HOUR, 0) };
	must("settime", timer_settime(timer, TIMER_ABSTIME, &at, NULL));
	pid_t pid = step_later(2 * HOUR);
	observe_signal("signal", 5000);
	step_back(pid, 2 * HOUR);
}

CASE(set_forward_timer_relative)
{
	timer_t timer = timer_on(CLOCK_REALTIME);
	struct itimerspec at = { .it_value = { HOUR, 0 } };
	must("settime", timer_settime(timer, 0, &at, NULL));
	pid_t pid = step_later(2 * HOUR);
	observe_signal("signal", 400);
	must("gettime", timer_gettime(timer, &at));
	observe("left", at.it_value.tv_sec > HOUR - 100 && at.it_value.tv_sec <= HOUR);
	step_back(pid, 2 * HOUR);
}

CASE(set_forward_timer_monotonic)
{
	timer_t timer = timer_on(CLOCK_MONOTONIC);
	struct itimerspec at = { .it_value = from_now(CLOCK_MONOTONIC, HOUR, 0) };
	must("settime", timer_settime(timer, TIMER_ABSTIME, &at, NULL));
	pid_t pid = step_later(2 * HOUR);
	observe_signal("signal", 400);
	step_back(pid, 2 * HOUR);
}

CASE(set_back_timer_absolute)
{
	timer_t timer = timer_on(CLOCK_REALTIME);
	struct itimerspec at = { .it_value = from_now(CLOCK_REALTIME, 0, 300) };
	must("settime", timer_settime(timer, TIMER_ABSTIME, &at, NULL));
	pid_t pid = step_later(-HOUR);
	observe_signal("signal", 600);
	must("gettime", timer_gettime(timer, &at));
	observe("left", at.it_value.tv_sec > HOUR - 100 && at.it_value.tv_sec <= HOUR);
	step_back(pid, -HOUR);
	observe_signal("then", 5000);
}

static int word;

static long futex_until(int operation, const struct timespec *time)
{
	return syscall(SYS_futex, &word, operation, 0, time, NULL, FUTEX_BITSET_MATCH_ANY);
}

CASE(set_forward_futex_absolute)
{
	struct timespec at = from_now(CLOCK_REALTIME, HOUR, 0);
	pid_t pid = step_later(2 * HOUR);
	observe("wait", futex_until(FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, &at));
	step_back(pid, 2 * HOUR);
}

CASE(set_back_futex_absolute)
{
	struct timespec at = from_now(CLOCK_REALTIME, 0, 300);
	long start = now_ms();
	pid_t pid = step_later(-1);
	observe("wait", futex_until(FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, &at));
	observe_waited("waited", start, 1200, 5000);
	step_back(pid, -1);
}

CASE(set_forward_futex_monotonic)
{
	struct timespec at = from_now(CLOCK_MONOTONIC, 0, 400), span = { 0, 400000000 };
	long start = now_ms();
	pid_t pid = step_later(2 * HOUR);
	observe("wait", futex_until(FUTEX_WAIT_BITSET, &at));
	observe_waited("waited", start, 399, 3000);
	step_back(pid, 2 * HOUR);
	start = now_ms();
	pid = step_later(2 * HOUR);
	observe("wait", futex_until(FUTEX_WAIT, &span));
	observe_waited("waited", start, 399, 3000);
	step_back(pid, 2 * HOUR);
}

CASE(set_forward_sleep)
{
	struct timespec at = from_now(CLOCK_REALTIME, HOUR, 0), span = { 0, 400000000 };
	pid_t pid = step_later(2 * HOUR);
	observe("absolute", clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, NULL));
	step_back(pid, 2 * HOUR);
	long start = now_ms();
	pid = step_later(2 * HOUR);
	observe("relative", clock_nanosleep(CLOCK_REALTIME, 0, &span, NULL));
	observe_waited("waited", start, 399, 3000);
	step_back(pid, 2 * HOUR);
}

CASE(set_forward_timerfd)
{
	int fd = timerfd_create(CLOCK_REALTIME, 0);
	uint64_t count;
	struct itimerspec at = { .it_value = from_now(CLOCK_REALTIME, HOUR, 0) };
	must("settime", timerfd_settime(fd, TFD_TIMER_ABSTIME, &at, NULL));
	pid_t pid = step_later(2 * HOUR);
	observe("read", read(fd, &count, sizeof(count)));
	step_back(pid, 2 * HOUR);
	at.it_value = from_now(CLOCK_REALTIME, HOUR, 0);
	must("settime",
	     timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &at, NULL));
	pid = step_later(10);
	observe("cancelled", read(fd, &count, sizeof(count)));
	step_back(pid, 10);
}
