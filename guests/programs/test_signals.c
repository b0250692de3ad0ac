/* Signals: queues, masks, handlers' flags, interrupted and restarted calls, faults, stop and
 * continue. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "guests/programs/test_check.h"

static volatile int hits, last_number, last_code, last_value;
static void *volatile last_address;
static volatile sig_atomic_t blocked_inside;

static void note(int number, siginfo_t *information, void *context)
{
	sigset_t set;
	(void)context;
	sigprocmask(SIG_BLOCK, NULL, &set);
	blocked_inside = sigismember(&set, number);
	hits++;
	last_number = number;
	last_code = information->si_code;
	last_value = information->si_value.sival_int;
}

static void handle(int number, int flags)
{
	struct sigaction action = { .sa_sigaction = note, .sa_flags = SA_SIGINFO | flags };
	sigaction(number, &action, NULL);
	hits = 0;
}

static void set_timer(long first_us, long period_us)
{
	struct itimerval timer = { { 0, period_us }, { 0, first_us } };
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void test_queue(void)
{
	const int number = SIGRTMIN + 3;
	sigset_t set, pending;
	siginfo_t information;
	sigemptyset(&set);
	sigaddset(&set, number);
	handle(number, 0);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (int i = 0; i < 10; i++)
		EQ(sigqueue(getpid(), number, (union sigval){ .sival_int = i }), 0);
	EQ(hits, 0);
	sigpending(&pending);
	EQ(sigismember(&pending, number), 1);
	EQ(sigwaitinfo(&set, &information), number); /* the oldest first */
	EQ(information.si_value.sival_int, 0);
	EQ(information.si_code, SI_QUEUE);
	EQ(information.si_pid, getpid());
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	EQ(hits, 9);
	EQ(last_value, 9);
	EQ(last_code, SI_QUEUE);
	EQ(blocked_inside, 1);
	struct timespec short_time = { 0, 1000000 };
	sigprocmask(SIG_BLOCK, &set, NULL);
	FAILS(sigtimedwait(&set, NULL, &short_time), EAGAIN);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* A standard signal that is pending already is not queued again. */
static void test_standard(void)
{
	sigset_t set, old;
	handle(SIGUSR1, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &old);
	kill(getpid(), SIGUSR1);
	kill(getpid(), SIGUSR1);
	sigprocmask(SIG_SETMASK, &old, NULL);
	EQ(hits, 1);
	EQ(last_code, SI_USER);
	handle(SIGUSR1, SA_NODEFER | SA_RESETHAND);
	raise(SIGUSR1);
	EQ(hits, 1);
	EQ(blocked_inside, 0);
	struct sigaction action;
	sigaction(SIGUSR1, NULL, &action);
	EQ(action.sa_handler == SIG_DFL, 1);
	FAILS(sigaction(SIGKILL, &action, NULL), EINVAL);
	FAILS(kill(999999, 0), ESRCH);
	FAILS(syscall(SYS_tgkill, getpid(), getpid(), 65), EINVAL);
	/* Blocking SIGKILL is accepted and does nothing. */
	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, &old);
	sigprocmask(SIG_SETMASK, &old, &set);
	EQ(sigismember(&set, SIGKILL), 0);
	EQ(sigismember(&set, SIGSTOP), 0);
}

static void test_interrupt(void)
{
	int ends[2];
	char byte;
	struct timespec second = { 1, 0 }, left;
	EQ(pipe(ends), 0);
	handle(SIGALRM, 0);
	set_timer(10000, 0);
	FAILS(read(ends[0], &byte, 1), EINTR);
	EQ(hits, 1);
	set_timer(20000, 0);
	FAILS(nanosleep(&second, &left), EINTR);
	EQ(left.tv_sec == 0 && left.tv_nsec > 800000000, 1);
	/* An ignored signal interrupts nothing. */
	signal(SIGALRM, SIG_IGN);
	set_timer(5000, 0);
	EQ(ready(ends[0], POLLIN, 20), 0);
	/* With SA_RESTART the read goes on. */
	handle(SIGALRM, SA_RESTART);
	pid_t pid = fork();
	if (!pid) {
		pause_ms(60);
		_exit(write(ends[1], "y", 1) != 1);
	}
	set_timer(10000, 10000);
	EQ(read(ends[0], &byte, 1), 1);
	set_timer(0, 0);
	EQ(byte, 'y');
	EQ(hits >= 2, 1);
	int status;
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 0);
	close(ends[0]);
	close(ends[1]);
}

/* The mask of sigsuspend holds for the wait only, and the handler runs under it. */
static void test_suspend(void)
{
	sigset_t blocked, none, now;
	handle(SIGUSR2, 0);
	sigemptyset(&none);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR2);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	raise(SIGUSR2);
	EQ(hits, 0);
	FAILS(sigsuspend(&none), EINTR);
	EQ(hits, 1);
	sigprocmask(SIG_BLOCK, NULL, &now);
	EQ(sigismember(&now, SIGUSR2), 1);
	raise(SIGUSR2);
	struct timespec zero = { 0, 0 };
	FAILS(ppoll(NULL, 0, &(struct timespec){ 5, 0 }, &none), EINTR);
	EQ(hits, 2);
	EQ(ppoll(NULL, 0, &zero, NULL), 0);
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
}

static void open_page(int number, siginfo_t *information, void *context)
{
	volatile double scratch = 1.5;
	(void)number, (void)context;
	scratch = scratch * 3; /* clobbers floating-point registers */
	last_address = information->si_addr;
	last_code = information->si_code;
	mprotect((void *)((uintptr_t)information->si_addr & ~4095ul), 4096, PROT_READ | PROT_WRITE);
}

/* A handler that repairs the fault: the instruction runs again, and no register has changed. */
static void test_fault(void)
{
	struct sigaction action = { .sa_sigaction = open_page, .sa_flags = SA_SIGINFO }, old;
	sigaction(SIGSEGV, &action, &old);
	volatile char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	register double kept = 1.25 * (double)getpid();
	page[5] = 1;
	EQ(page[5], 1);
	EQ(last_address == (void *)(page + 5), 1);
	EQ(last_code, SEGV_ACCERR);
	EQ(kept == 1.25 * (double)getpid(), 1);
	sigaction(SIGSEGV, &old, NULL);
	munmap((void *)page, 4096);
}

static sigjmp_buf escape;

static void jump(int number)
{
	siglongjmp(escape, number);
}

static void test_jump(void)
{
	signal(SIGSEGV, jump);
	signal(SIGILL, jump);
	for (volatile int i = 0; i < 3; i++) {
		int number = sigsetjmp(escape, 1);
		if (!number)
			*(volatile char *)bad_pointer = 1;
		EQ(number, SIGSEGV);
	}
	int number = sigsetjmp(escape, 1);
	if (!number)
		__asm__ volatile(".word 0");
	EQ(number, SIGILL);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGILL, SIG_DFL);
}

/* What a handler writes into its context is what the program goes on with. */
static void change_context(int number, siginfo_t *information, void *context)
{
	ucontext_t *uc = context;
	(void)number, (void)information;
	uc->uc_mcontext.__gregs[10] = 77; /* a0 */
	uc->uc_mcontext.__gregs[0] += 4;
}

static void test_context(void)
{
	struct sigaction action = { .sa_sigaction = change_context, .sa_flags = SA_SIGINFO };
	register long result __asm__("a0") = 0;
	sigaction(SIGTRAP, &action, NULL);
	__asm__ volatile(".option push\n.option norvc\nebreak\n.option pop" : "+r"(result));
	EQ(result, 77);
	signal(SIGTRAP, SIG_DFL);
}

static void leave(int number)
{
	(void)number;
	_exit(22);
}

static int descend(int depth)
{
	volatile char frame[4096];
	frame[0] = (char)depth;
	return depth < 1 << 30 ? descend(depth + 1) + frame[0] : 0;
}

static void test_alternate_stack(void)
{
	int status;
	pid_t pid = fork();
	if (!pid) {
		stack_t stack = { .ss_sp = malloc(65536), .ss_size = 65536 };
		struct sigaction action = { .sa_handler = leave, .sa_flags = SA_ONSTACK };
		sigaltstack(&stack, NULL);
		sigaction(SIGSEGV, &action, NULL);
		_exit(descend(0));
	}
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 22 << 8);
	stack_t small = { .ss_sp = &status, .ss_size = 100 };
	FAILS(sigaltstack(&small, NULL), ENOMEM);
}

static void test_stop(void)
{
	int status;
	pid_t pid = fork();
	if (!pid)
		for (;;)
			pause();
	pause_ms(5);
	kill(pid, SIGSTOP);
	EQ(waitpid(pid, &status, WUNTRACED), pid);
	EQ(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP, 1);
	EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), 0);
	kill(pid, SIGCONT);
	EQ(waitpid(pid, &status, WCONTINUED), pid);
	EQ(WIFCONTINUED(status), 1);
	kill(pid, SIGSTOP);
	kill(pid, SIGKILL); /* ends a stopped process too */
	EQ(waitpid(pid, &status, 0), pid);
	EQ(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, 1);
}

int main(void)
{
	begin();
	test_queue();
	test_standard();
	test_interrupt();
	test_suspend();
	test_fault();
	test_jump();
	test_context();
	test_alternate_stack();
	test_stop();
	return end("test_signals");
}
