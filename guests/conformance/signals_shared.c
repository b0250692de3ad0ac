/* A call in a process of its own, interrupted while it waits. */
#define _GNU_SOURCE
#include "signals.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

struct shared {
	volatile int started, handled, ended, error;
	volatile long result;
	char more[100];
};

static struct shared *shared;
int fds[8];

void wait_for_state(pid_t pid, char state)
{
	char path[64], text[256];
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	for (;;) {
		FILE *file = fopen(path, "r");
		const char *end = file && fgets(text, sizeof(text), file) ? strrchr(text, ')') : "";
		if (file)
			fclose(file);
		if (!end || !*end || end[2] == state || end[2] == 'Z')
			return;
		pause_ms(1);
	}
}

void block_signal(int number)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

void note_more(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(shared->more, sizeof(shared->more), format, arguments);
	va_end(arguments);
}

static void handle(int number)
{
	(void)number;
	shared->handled++;
}

static void run_in_child(const struct waiting_call *call, int flags)
{
	struct sigaction action = { .sa_handler = handle, .sa_flags = flags };
	sigaction(SIGUSR1, &action, NULL);
	shared->started = 1;
	long result = call->run();
	shared->error = errno;
	shared->result = result;
	shared->ended = 1;
	_exit(0);
}

/* Until it sleeps in the call, or has returned from it. */
static void wait_for_sleep(pid_t pid)
{
	while (!shared->started)
		pause_ms(1);
	wait_for_state(pid, 'S');
}

static void interrupt(pid_t pid)
{
	kill(pid, SIGUSR1);
	while (!shared->handled && !shared->ended)
		pause_ms(1);
}

static void stop_and_continue(pid_t pid)
{
	int status;
	kill(pid, SIGSTOP);
	waitpid(pid, &status, WUNTRACED);
	kill(pid, SIGCONT);
}

static void observe_interruption(const struct waiting_call *call, const char *label, int flags,
                                 void (*disturb)(pid_t))
{
	memset(shared, 0, sizeof(*shared));
	call->open();
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0)
		run_in_child(call, flags);
	wait_for_sleep(pid);
	disturb(pid);
	wait_for_state(pid, 'S'); /* or ended */
	int went_on = !shared->ended;
	if (went_on)
		call->complete();
	while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
		;
	errno = shared->error;
	if (went_on)
		observe_text(label, "went-on");
	observe(went_on ? "then" : label, shared->result);
	if (shared->more[0])
		observe_text("more", "%s", shared->more);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (fds[i] > 0)
			close(fds[i]);
		fds[i] = 0;
	}
}

void observe_interruptions(const struct waiting_call *call)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
	              0);
	observe_interruption(call, "plain", 0, interrupt);
	observe_interruption(call, "restart", SA_RESTART, interrupt);
	observe_interruption(call, "stop", 0, stop_and_continue);
}
