/* Handlers, masks, timers, interrupted calls, sigsuspend, and the registers after a handler. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "guests/tests/check.h"

static volatile sig_atomic_t caught, last;
static double dirty;

static void note(int number)
{
	volatile double x = 3.25;

	caught++;
	last = number;
	dirty = x * 2.0;
}

static void handle(int number, int flags)
{
	struct sigaction action = { .sa_handler = note, .sa_flags = flags };

	CHECK(sigaction(number, &action, NULL) == 0);
}

static void test_raise(void)
{
	register double kept __asm__("fs0") = 1.5;

	__asm__ volatile("" : "+f"(kept));
	handle(SIGUSR1, 0);
	CHECK(raise(SIGUSR1) == 0);
	CHECK(caught == 1 && last == SIGUSR1 && dirty == 6.5);
	__asm__ volatile("" : "+f"(kept));
	CHECK(kept == 1.5);
}

static void test_mask(void)
{
	sigset_t set, old, pending;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	handle(SIGUSR2, 0);
	caught = 0;
	CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0);
	CHECK(kill(getpid(), SIGUSR2) == 0);
	CHECK(caught == 0);
	CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR2) == 1);
	CHECK_FAILS(sigsuspend(&old), EINTR);
	CHECK(caught == 1 && last == SIGUSR2);
	CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
}

static void test_interrupt(void)
{
	struct itimerval timer = { .it_value.tv_usec = 50000 };
	struct timespec pause = { .tv_sec = 5 }, rest;
	int ends[2];
	char byte;

	handle(SIGALRM, 0);
	CHECK(pipe(ends) == 0);
	caught = 0;
	CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
	CHECK_FAILS(read(ends[0], &byte, 1), EINTR);
	CHECK(caught == 1);
	CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
	CHECK_FAILS(nanosleep(&pause, &rest), EINTR);
	CHECK(caught == 2 && rest.tv_sec == 4);
}

static void test_restart(void)
{
	struct itimerval timer = { .it_value.tv_usec = 30000, .it_interval.tv_usec = 30000 },
	                 off = { 0 };
	int ends[2];
	char byte;

	handle(SIGALRM, SA_RESTART);
	CHECK(pipe(ends) == 0);
	caught = 0;
	CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
	if (fork() == 0) {
		struct timespec pause = { .tv_nsec = 200000000 };

		nanosleep(&pause, NULL);
		CHECK(write(ends[1], "x", 1) == 1);
		_exit(0);
	}
	CHECK(read(ends[0], &byte, 1) == 1 && byte == 'x');
	CHECK(caught >= 2);
	CHECK(setitimer(ITIMER_REAL, &off, NULL) == 0);
}

static void test_alternate_stack(void)
{
	static char area[65536];
	stack_t stack = { .ss_sp = area, .ss_size = sizeof area }, old;

	CHECK(sigaltstack(&stack, NULL) == 0);
	handle(SIGUSR1, SA_ONSTACK);
	caught = 0;
	CHECK(raise(SIGUSR1) == 0 && caught == 1);
	CHECK(sigaltstack(NULL, &old) == 0 && old.ss_sp == (void *)area && old.ss_flags == 0);
}

int main(void)
{
	test_raise();
	test_mask();
	test_interrupt();
	test_restart();
	test_alternate_stack();
	CHECK_FAILS(kill(getpid(), 65), EINVAL);
	CHECK_FAILS(kill(99999, 0), ESRCH);
	puts("signals: all checks hold");
	return 0;
}
