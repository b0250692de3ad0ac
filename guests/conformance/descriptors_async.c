/* Signals of files: O_ASYNC, F_SETOWN, F_SETSIG (fcntl(2)), and who gets them. */
#define _GNU_SOURCE
#include "descriptors_async.h"

#include <fcntl.h>
#include <string.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>

CASE(owner_values)
{
	struct f_owner_ex owner = { 77, 77 };
	int fd = udp_socket();
	observe("none", fcntl(fd, F_GETOWN));
	observe("set", fcntl(fd, F_SETOWN, getpid()));
	observe("get", fcntl(fd, F_GETOWN) == getpid());
	observe("get-ex", fcntl(fd, F_GETOWN_EX, &owner));
	observe("type", owner.type);
	observe("pid", owner.pid == getpid());
	observe("group", fcntl(fd, F_SETOWN, -getpgrp()));
	observe("get", syscall(SYS_fcntl, fd, F_GETOWN) == -getpgrp());
	observe("get-ex", fcntl(fd, F_GETOWN_EX, &owner));
	observe("type", owner.type);
	observe("nobody", fcntl(fd, F_SETOWN, 30000));
	observe("no-group", fcntl(fd, F_SETOWN, -30000));
	observe("least", fcntl(fd, F_SETOWN, INT32_MIN));
	owner = (struct f_owner_ex){ F_OWNER_TID, getpid() };
	observe("thread", fcntl(fd, F_SETOWN_EX, &owner));
	owner.type = 77;
	observe("get-ex", fcntl(fd, F_GETOWN_EX, &owner));
	observe("type", owner.type);
	owner = (struct f_owner_ex){ 3, getpid() };
	observe("bad-type", fcntl(fd, F_SETOWN_EX, &owner));
	owner = (struct f_owner_ex){ F_OWNER_PID, 30000 };
	observe("bad-pid", fcntl(fd, F_SETOWN_EX, &owner));
	observe("zero", fcntl(fd, F_SETOWN, 0));
	observe("get", fcntl(fd, F_GETOWN));
}

CASE(owner_signal_values)
{
	int fd = udp_socket();
	observe("none", fcntl(fd, F_GETSIG));
	observe("set", fcntl(fd, F_SETSIG, SIGRTMIN));
	observe("get", fcntl(fd, F_GETSIG) == SIGRTMIN);
	observe("negative", fcntl(fd, F_SETSIG, -1));
	observe("65", fcntl(fd, F_SETSIG, 65));
	observe("64", fcntl(fd, F_SETSIG, 64));
	observe("zero", fcntl(fd, F_SETSIG, 0));
	observe("get", fcntl(fd, F_GETSIG));
}

CASE(owner_by_ioctl)
{
	int fd = udp_socket(), pid = getpid(), got = 0, ends[2];
	observe("set", ioctl(fd, FIOSETOWN, &pid));
	observe("get", ioctl(fd, FIOGETOWN, &got));
	observe("same", got == pid);
	observe("siocspgrp", ioctl(fd, SIOCSPGRP, &pid));
	observe("siocgpgrp", ioctl(fd, SIOCGPGRP, &got));
	must("pipe", pipe(ends));
	observe("pipe", ioctl(ends[0], FIOSETOWN, &pid));
}

CASE(which_files_can)
{
	int ends[2], pair[2];
	must("pipe", pipe(ends));
	unix_pair(SOCK_STREAM, pair);
	struct {
		const char *label;
		int fd;
	} fds[] = {
		{ "tcp", tcp_socket() },
		{ "udp", udp_socket() },
		{ "unix", pair[0] },
		{ "pipe", ends[0] },
		{ "eventfd", eventfd(0, 0) },
		{ "timerfd", timerfd_create(CLOCK_MONOTONIC, 0) },
		{ "regular", open("file", O_RDWR | O_CREAT, 0600) },
		{ "null", open("/dev/null", O_RDWR) },
	};
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		int on = 1;
		observe(fds[i].label, fcntl(fds[i].fd, F_SETFL, O_ASYNC));
		observe("set", (fcntl(fds[i].fd, F_GETFL) & O_ASYNC) != 0);
		fcntl(fds[i].fd, F_SETFL, 0);
		observe("ioctl", ioctl(fds[i].fd, FIOASYNC, &on));
		observe("set", (fcntl(fds[i].fd, F_GETFL) & O_ASYNC) != 0);
	}
}

CASE(signal_off_again)
{
	int ends[2];
	must("pipe", pipe(ends));
	asynchronous(ends[0], SIGIO);
	must("F_SETFL", fcntl(ends[0], F_SETFL, O_NONBLOCK));
	must("write", write(ends[1], "a", 1));
	observe_taken("off", SIGIO, ends[0]);
	must("F_SETFL", fcntl(ends[0], F_SETFL, O_NONBLOCK | O_ASYNC));
	observe_taken("on-with-data", SIGIO, ends[0]);
	must("write", write(ends[1], "a", 1));
	observe_taken("on", SIGIO, ends[0]);
}

CASE(signal_without_owner)
{
	int ends[2];
	must("pipe", pipe(ends));
	block(SIGIO);
	must("F_SETFL", fcntl(ends[0], F_SETFL, O_ASYNC));
	must("write", write(ends[1], "a", 1));
	observe_taken("none", SIGIO, ends[0]);
}

/* The owner is a child, or the group that both are in: who gets the signal. */
static void observe_two_processes(int of_group)
{
	int ends[2], ready[2];
	char byte;
	must("pipe", pipe(ends));
	must("pipe", pipe(ready));
	block(SIGIO);
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		(void)!read(ready[0], &byte, 1);
		observe_taken("child", SIGIO, ends[0]);
		_exit(0);
	}
	must("F_SETOWN", fcntl(ends[0], F_SETOWN, of_group ? -getpgrp() : pid));
	must("F_SETFL", fcntl(ends[0], F_SETFL, O_ASYNC));
	must("write", write(ends[1], "a", 1));
	must("write", write(ready[1], "a", 1));
	waitpid(pid, NULL, 0);
	observe_taken("parent", SIGIO, ends[0]);
}

CASE(signal_to_child)
{
	observe_two_processes(0);
}

CASE(signal_to_group)
{
	observe_two_processes(1);
}

CASE(signal_default_action_kills)
{
	int ends[2], status;
	must("pipe", pipe(ends));
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		own(ends[0]);
		fcntl(ends[0], F_SETFL, O_ASYNC);
		(void)!write(ends[1], "a", 1);
		pause_ms(1000);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	observe("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

CASE(signal_flag_of_open)
{
	must("mkfifo", mkfifo("fifo", 0600));
	int fd = (int)must("open", open("fifo", O_RDWR | O_NONBLOCK | O_ASYNC));
	observe("flag", (fcntl(fd, F_GETFL) & O_ASYNC) != 0);
	own(fd);
	block(SIGIO);
	must("write", write(fd, "a", 1));
	observe_reasons("written", SIGIO);
	must("F_SETFL", fcntl(fd, F_SETFL, O_NONBLOCK | O_ASYNC));
	must("write", write(fd, "a", 1));
	observe_reasons("set-again", SIGIO);
	must("F_SETFL", fcntl(fd, F_SETFL, O_NONBLOCK));
	must("F_SETFL", fcntl(fd, F_SETFL, O_NONBLOCK | O_ASYNC));
	must("write", write(fd, "a", 1));
	observe_reasons("off-and-on", SIGIO);
}

CASE(signal_by_fioasync)
{
	int ends[2], on = 1;
	must("pipe", pipe(ends));
	own(ends[0]);
	block(SIGIO);
	observe("on", ioctl(ends[0], FIOASYNC, &on));
	observe("flag", (fcntl(ends[0], F_GETFL) & O_ASYNC) != 0);
	must("write", write(ends[1], "a", 1));
	observe_reasons("written", SIGIO);
	on = 0;
	observe("off", ioctl(ends[0], FIOASYNC, &on));
	must("write", write(ends[1], "a", 1));
	observe_reasons("written", SIGIO);
	observe("eventfd-off", ioctl(eventfd(0, 0), FIOASYNC, &on));
	observe("fault", ioctl(ends[0], FIOASYNC, (void *)1));
}

/* Codes of signals that have others of their own are SI_SIGIO. */
CASE(signal_numbers)
{
	static const int numbers[] = { SIGIO, SIGUSR1, SIGCHLD, SIGBUS, SIGSYS, SIGURG, 64 };
	int ends[2];
	must("pipe", pipe(ends));
	asynchronous(ends[0], SIGRTMIN);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		block(numbers[i]);
		must("F_SETSIG", fcntl(ends[0], F_SETSIG, numbers[i]));
		must("write", write(ends[1], "a", 1));
		observe_taken(numbers[i] == 64 ? "64" : sigabbrev_np(numbers[i]), numbers[i],
		              ends[0]);
	}
}

static siginfo_t seen;

static void see(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	seen = *info;
}

CASE(signal_in_handler)
{
	struct sigaction action = { .sa_sigaction = see, .sa_flags = SA_SIGINFO };
	int ends[2];
	must("pipe", pipe(ends));
	own(ends[0]);
	must("sigaction", sigaction(SIGRTMIN, &action, NULL));
	must("F_SETSIG", fcntl(ends[0], F_SETSIG, SIGRTMIN));
	must("F_SETFL", fcntl(ends[0], F_SETFL, O_ASYNC));
	observe("write", write(ends[1], "a", 1));
	observe("number", seen.si_signo == SIGRTMIN);
	observe("code", seen.si_code);
	observe("band", seen.si_band);
	observe("fd", seen.si_fd == ends[0]);
	observe("errno", seen.si_errno);
}

CASE(signal_in_signalfd)
{
	struct signalfd_siginfo taken;
	int ends[2];
	sigset_t set;
	must("pipe", pipe(ends));
	asynchronous(ends[0], SIGRTMIN);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	int fd = (int)must("signalfd", signalfd(-1, &set, SFD_NONBLOCK));
	must("write", write(ends[1], "a", 1));
	observe("read", read(fd, &taken, sizeof(taken)));
	observe("code", taken.ssi_code);
	observe("band", taken.ssi_band);
	observe("fd", taken.ssi_fd == ends[0]);
	observe("pid", taken.ssi_pid);
	observe("int", taken.ssi_int);
}

/* What does not fit the queue comes as SIGIO. The limit is a user's: nobody else is this one. */
CASE(signal_queue_full)
{
	struct rlimit limit = { 3, 3 };
	int ends[2];
	must("pipe", pipe(ends));
	must("setresuid", setresuid(4711, 4711, 4711));
	asynchronous(ends[0], SIGRTMIN);
	block(SIGIO);
	must("setrlimit", setrlimit(RLIMIT_SIGPENDING, &limit));
	for (int i = 0; i < 6; i++)
		must("write", write(ends[1], "a", 1));
	observe_reasons("chosen", SIGRTMIN);
	observe_reasons("sigio", SIGIO);
}

CASE(signal_owner_gone)
{
	struct f_owner_ex owner;
	int ends[2];
	must("pipe", pipe(ends));
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		pause();
		_exit(0);
	}
	must("F_SETOWN", fcntl(ends[0], F_SETOWN, pid));
	must("F_SETFL", fcntl(ends[0], F_SETFL, O_ASYNC));
	kill(pid, SIGKILL);
	siginfo_t info;
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
	observe("zombie", fcntl(ends[0], F_GETOWN) == pid);
	waitpid(pid, NULL, 0);
	observe("reaped", fcntl(ends[0], F_GETOWN));
	owner = (struct f_owner_ex){ 77, 77 };
	observe("get-ex", fcntl(ends[0], F_GETOWN_EX, &owner));
	observe("type", owner.type);
	observe("pid", owner.pid);
	observe("write", write(ends[1], "a", 1));
}

struct waiter {
	int number;
	int taken;
	int tid;
	int ready[2];
};

static void *wait_in_thread(void *argument)
{
	struct waiter *waiter = argument;
	struct timespec time = { 1, 0 };
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, waiter->number);
	waiter->tid = (int)syscall(SYS_gettid);
	(void)!write(waiter->ready[1], "a", 1);
	waiter->taken = sigtimedwait(&set, NULL, &time);
	return NULL;
}

/* To that thread alone, though another waits for it. */
CASE(signal_to_thread)
{
	struct waiter waiter = { .number = SIGIO };
	int ends[2];
	char byte;
	pthread_t thread;
	must("pipe", pipe(ends));
	must("pipe", pipe(waiter.ready));
	block(SIGIO);
	pthread_create(&thread, NULL, wait_in_thread, &waiter);
	must("read", read(waiter.ready[0], &byte, 1));
	struct f_owner_ex owner = { F_OWNER_TID, waiter.tid };
	observe("own", fcntl(ends[0], F_SETOWN_EX, &owner));
	observe("get", fcntl(ends[0], F_GETOWN) == waiter.tid);
	must("F_SETFL", fcntl(ends[0], F_SETFL, O_ASYNC));
	must("write", write(ends[1], "a", 1));
	pthread_join(thread, NULL);
	observe("thread", waiter.taken);
	observe_reasons("process", SIGIO);
	observe("gone", fcntl(ends[0], F_GETOWN));
}

/* A thread's number is no process: it is accepted, and nobody hears of it. */
CASE(signal_to_thread_as_process)
{
	struct waiter waiter = { .number = SIGUSR1 };
	int ends[2];
	char byte;
	pthread_t thread;
	must("pipe", pipe(ends));
	must("pipe", pipe(waiter.ready));
	block(SIGIO);
	block(SIGUSR1);
	pthread_create(&thread, NULL, wait_in_thread, &waiter);
	must("read", read(waiter.ready[0], &byte, 1));
	observe("own", fcntl(ends[0], F_SETOWN, waiter.tid));
	observe("get", fcntl(ends[0], F_GETOWN));
	must("F_SETFL", fcntl(ends[0], F_SETFL, O_ASYNC));
	must("write", write(ends[1], "a", 1));
	observe_reasons("process", SIGIO);
}

/* Whoever chose the owner must be allowed to send it signals. */
CASE(signal_permission)
{
	int ends[2], status;
	must("pipe", pipe(ends));
	block(SIGIO);
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		observe("setresuid", setresuid(1000, 1000, 1000));
		observe("own", fcntl(ends[0], F_SETOWN, getppid()));
		_exit(0);
	}
	waitpid(pid, &status, 0);
	must("F_SETFL", fcntl(ends[0], F_SETFL, O_ASYNC));
	must("write", write(ends[1], "a", 1));
	observe_reasons("by-another-user", SIGIO);
	own(ends[0]);
	must("write", write(ends[1], "a", 1));
	observe_reasons("by-root", SIGIO);
}
