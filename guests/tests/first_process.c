/* What signals do to the first process. Nobody ends or stops it by one that it does not handle;
 * what it handles, ignores or waits for is as in any process. `first_process
 * kill|alarm|tgkill|group` sends one to itself instead. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guests/tests/check.h"

static volatile sig_atomic_t caught;

static void note(int number)
{
	caught = number;
}

/* A child sends the signal by pid, by thread and by group, and says whether each call returned 0.
 */
static void receive(int number)
{
	int status;
	pid_t first = getpid(), child = fork();

	CHECK(child >= 0);
	if (child == 0) {
		int failures = kill(first, number) != 0;

		failures += syscall(SYS_tgkill, first, first, number) != 0;
		if (number != SIGKILL && number != SIGSTOP) { /* the child is in its group */
			signal(number, SIG_IGN);
			failures += kill(0, number) != 0;
		}
		_exit(failures);
	}
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_spared(void)
{
	sigset_t pending;

	for (int number = 1; number < NSIG; number++)
		if (number != 32 && number != 33) /* glibc's own */
			receive(number);
	CHECK(sigpending(&pending) == 0 && sigisemptyset(&pending));
}

static void test_handled(void)
{
	struct sigaction action = { .sa_handler = note, .sa_flags = SA_RESETHAND | SA_RESTART };

	CHECK(sigaction(SIGTERM, &action, NULL) == 0);
	receive(SIGTERM); /* the first of three finds the handler, the others none */
	CHECK(caught == SIGTERM);
}

/* Blocked, it is kept; unblocked, it is forgotten; who waits for it gets it. */
static void test_blocked(void)
{
	sigset_t set, pending;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	receive(SIGUSR1);
	CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1));
	CHECK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0);
	CHECK(sigpending(&pending) == 0 && !sigismember(&pending, SIGUSR1));
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	receive(SIGUSR1);
	CHECK(sigwaitinfo(&set, NULL) == SIGUSR1);
}

/* SIGPIPE is no way to end oneself. */
static void test_pipe(void)
{
	int ends[2];

	CHECK(pipe(ends) == 0 && close(ends[0]) == 0);
	CHECK_FAILS(write(ends[1], "x", 1), EPIPE);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";

	if (strcmp(how, "kill") == 0)
		kill(getpid(), SIGTERM);
	if (strcmp(how, "tgkill") == 0)
		syscall(SYS_tgkill, getpid(), gettid(), SIGKILL);
	if (strcmp(how, "alarm") == 0) {
		alarm(1);
		pause();
	}
	if (strcmp(how, "group") == 0)
		kill(0, SIGTERM);
	test_spared();
	test_handled();
	test_blocked();
	test_pipe();
	printf("first_process: all checks hold\n");
	return 0;
}
