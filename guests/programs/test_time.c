/* Time: clocks and their agreement with the vDSO, sleeping, timers, CPU time. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>

#include "guests/programs/test_check.h"

#define MS 1000000l

static volatile int hits;
static volatile int overrun_value;

static void note(int number, siginfo_t *information, void *context)
{
	(void)number, (void)context;
	hits++;
	overrun_value = information->si_value.sival_int;
}

static void handle(int number)
{
	struct sigaction action = { .sa_sigaction = note, .sa_flags = SA_SIGINFO };
	sigaction(number, &action, NULL);
	hits = 0;
}

static long long now(clockid_t clock)
{
	struct timespec time;
	clock_gettime(clock, &time);
	return time.tv_sec * 1000000000ll + time.tv_nsec;
}

static long long now_by_call(clockid_t clock)
{
	struct timespec time;
	syscall(SYS_clock_gettime, clock, &time);
	return time.tv_sec * 1000000000ll + time.tv_nsec;
}

/* The vDSO and the kernel tell the same time, and it never goes back. */
static void test_clocks(void)
{
	static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME,
		                            CLOCK_MONOTONIC_RAW };
	for (unsigned i = 0; i < 4; i++) {
		long long a = now(clocks[i]), b = now_by_call(clocks[i]), c = now(clocks[i]);
		EQ(a <= b && b <= c && c - a < 100 * MS, 1);
	}
	long long last = now(CLOCK_MONOTONIC);
	int back = 0;
	for (int i = 0; i < 20000; i++) {
		long long next = now(CLOCK_MONOTONIC);
		back += next < last;
		last = next;
	}
	EQ(back, 0);
	struct timeval day;
	gettimeofday(&day, NULL);
	long long difference =
	        now(CLOCK_REALTIME) - (day.tv_sec * 1000000000ll + day.tv_usec * 1000ll);
	EQ(difference >= 0 && difference < 100 * MS, 1);
	EQ(time(NULL) - day.tv_sec <= 1, 1);
	struct timespec resolution;
	EQ(clock_getres(CLOCK_MONOTONIC, &resolution), 0);
	FAILS(clock_gettime(50, &resolution), EINVAL);
}

static void test_sleep(void)
{
	long long start = now(CLOCK_MONOTONIC);
	struct timespec time = { 0, 20 * MS };
	EQ(nanosleep(&time, NULL), 0);
	long long took = now(CLOCK_MONOTONIC) - start;
	EQ(took >= 20 * MS && took < 500 * MS, 1);
	long long due = now(CLOCK_REALTIME) + 20 * MS;
	time = (struct timespec){ due / 1000000000, due % 1000000000 };
	EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &time, NULL), 0);
	EQ(now(CLOCK_REALTIME) >= due, 1);
	EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &(struct timespec){ 0, 1 }, NULL), 0);
	FAILS(nanosleep(&(struct timespec){ 0, 1000000000 }, NULL), EINVAL);
	FAILS(nanosleep(&(struct timespec){ -1, 0 }, NULL), EINVAL);
	FAILS(syscall(SYS_nanosleep, bad_pointer, NULL), EFAULT);
}

static void test_interval(void)
{
	struct itimerval timer = { { 0, 2000 }, { 0, 2000 } }, old;
	handle(SIGALRM);
	EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
	while (hits < 10)
		pause();
	EQ(getitimer(ITIMER_REAL, &old), 0);
	EQ(old.it_interval.tv_usec, 2000);
	EQ(old.it_value.tv_sec == 0 && old.it_value.tv_usec <= 2000, 1);
	memset(&timer, 0, sizeof(timer));
	EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
	hits = 0;
	pause_ms(10);
	EQ(hits, 0);
	handle(SIGPROF);
	timer.it_value.tv_usec = 10000;
	EQ(setitimer(ITIMER_PROF, &timer, NULL), 0);
	long long start = now(CLOCK_PROCESS_CPUTIME_ID);
	while (!hits)
		;
	EQ(now(CLOCK_PROCESS_CPUTIME_ID) - start >= 9 * MS, 1);
	FAILS(setitimer(7, &timer, NULL), EINVAL);
}

static void test_posix(void)
{
	timer_t timer;
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct itimerspec times = { { 0, 2 * MS }, { 0, 2 * MS } }, left;
	event.sigev_value.sival_int = 42;
	handle(SIGUSR1);
	EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	EQ(timer_settime(timer, 0, &times, NULL), 0);
	while (hits < 5)
		pause();
	EQ(overrun_value, 42);
	EQ(timer_gettime(timer, &left), 0);
	EQ(left.it_interval.tv_nsec, 2 * MS);
	EQ(timer_delete(timer), 0);
	FAILS(timer_gettime(timer, &left), EINVAL);
	hits = 0;
	pause_ms(10);
	EQ(hits, 0);
	/* Expiries while the signal is blocked are counted, not queued. */
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	EQ(timer_settime(timer, 0, &times, NULL), 0);
	pause_ms(30);
	siginfo_t information;
	EQ(sigwaitinfo(&set, &information), SIGUSR1);
	EQ(information.si_code, SI_TIMER);
	EQ(information.si_overrun >= 5, 1);
	EQ(timer_delete(timer), 0);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* However short the interval, programs go on: with a handler, ignored, blocked, and told nobody. */
static void test_shortest_interval(void)
{
	struct itimerval often = { { 0, 1 }, { 0, 1 } }, none = { 0 };
	handle(SIGALRM);
	hits = 0;
	EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
	while (hits < 100)
		;
	signal(SIGALRM, SIG_IGN);
	pause_ms(5);
	EQ(setitimer(ITIMER_REAL, &none, NULL), 0);

	struct itimerspec nanosecond = { { 0, 1 }, { 0, 1 } };
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	uint64_t expired = 0;
	EQ(timerfd_settime(fd, 0, &nanosecond, NULL), 0);
	pause_ms(20);
	EQ(read(fd, &expired, sizeof(expired)), (ssize_t)sizeof(expired));
	EQ(expired >= 10 * MS, 1);
	close(fd);

	timer_t timers[3];
	struct itimerspec shortest = { { 0, 1 }, { 0, 1 } }, left;
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (int i = 0; i < 3; i++) {
		event.sigev_notify = i == 2 ? SIGEV_NONE : SIGEV_SIGNAL;
		EQ(timer_create(CLOCK_MONOTONIC, &event, &timers[i]), 0);
		EQ(timer_settime(timers[i], 0, &shortest, NULL), 0);
	}
	pause_ms(20);
	EQ(timer_gettime(timers[2], &left), 0);
	EQ(left.it_value.tv_sec == 0 && left.it_value.tv_nsec == 1, 1);
	siginfo_t information;
	EQ(sigwaitinfo(&set, &information), SIGUSR1);
	EQ(information.si_overrun >= 10 * MS, 1); /* of 20, each nanosecond one */
	for (int i = 0; i < 3; i++)
		EQ(timer_delete(timers[i]), 0);
	sigtimedwait(&set, NULL, &(struct timespec){ 0 });
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void *spin(void *argument)
{
	long long until = now(CLOCK_THREAD_CPUTIME_ID) + 20 * MS;
	while (now(CLOCK_THREAD_CPUTIME_ID) < until)
		;
	return argument;
}

static void test_cpu(void)
{
	pthread_t thread;
	struct rusage usage;
	struct tms ticks;
	long long own = now(CLOCK_THREAD_CPUTIME_ID), all = now(CLOCK_PROCESS_CPUTIME_ID);
	pthread_create(&thread, NULL, spin, NULL);
	pthread_join(thread, NULL);
	EQ(now(CLOCK_PROCESS_CPUTIME_ID) - all >= 20 * MS, 1);
	EQ(now(CLOCK_THREAD_CPUTIME_ID) - own < 20 * MS, 1);
	own = now(CLOCK_THREAD_CPUTIME_ID);
	pause_ms(30); /* sleeping is not running */
	EQ(now(CLOCK_THREAD_CPUTIME_ID) - own < 15 * MS, 1);
	EQ(getrusage(RUSAGE_SELF, &usage), 0);
	EQ(usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec >= 20000, 1);
	EQ(usage.ru_maxrss > 0, 1);
	EQ(times(&ticks) > 0, 1);
	clockid_t clock;
	EQ(clock_getcpuclockid(0, &clock), 0);
	EQ(now(clock) > 0, 1);
}

int main(void)
{
	begin();
	test_clocks();
	test_sleep();
	test_interval();
	test_posix();
	test_shortest_interval();
	test_cpu();
	return end("test_time");
}
