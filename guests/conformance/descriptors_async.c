/* Signals of files: O_ASYNC, F_SETOWN, F_SETSIG (fcntl(2)). */
#define _GNU_SOURCE
#include "conform.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

static void block(int number)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

/* Takes one pending signal of that number: what it says, or `-` when none comes. */
static void observe_taken(const char *label, int number, int fd)
{
	siginfo_t info;
	sigset_t set;
	struct timespec time = { 0, 100000000 };
	sigemptyset(&set);
	sigaddset(&set, number);
	memset(&info, 0, sizeof(info));
	if (sigtimedwait(&set, &info, &time) != number) {
		observe_text(label, "-");
		return;
	}
	observe_text(label, "code%d/fd%s/band%#lx", info.si_code,
	             info.si_fd == fd ? "-own" : "-other", (unsigned long)info.si_band);
}

/* All pending signals of that number, by the reasons of their codes. */
static void observe_reasons(const char *label, int number)
{
	static const char *names[] = { "USER", "IN", "OUT", "MSG", "ERR", "PRI", "HUP" };
	char text[200] = "-";
	size_t length = 0;
	siginfo_t info;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, number);
	for (;;) {
		struct timespec time = { 0, 50000000 };
		if (sigtimedwait(&set, &info, &time) != number)
			break;
		const char *name = info.si_code >= 0 && info.si_code <= 6 ? names[info.si_code]
		                   : info.si_code == SI_SIGIO             ? "SIGIO"
		                   : info.si_code == SI_KERNEL            ? "KERNEL"
		                                                          : "?";
		length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s",
		                           length ? "," : "", name);
	}
	observe_text(label, "%s", text);
}

static void own(int fd)
{
	must("F_SETOWN", fcntl(fd, F_SETOWN, getpid()));
}

static void asynchronous(int fd, int number)
{
	own(fd);
	if (number != SIGIO)
		must("F_SETSIG", fcntl(fd, F_SETSIG, number));
	must("F_SETFL", fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC | O_NONBLOCK));
	block(number);
}

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

CASE(signal_of_pipe)
{
	int ends[2];
	char byte;
	must("pipe", pipe(ends));
	asynchronous(ends[0], SIGIO);
	observe_taken("none", SIGIO, ends[0]);
	must("write", write(ends[1], "a", 1));
	observe_taken("written", SIGIO, ends[0]);
	must("write", write(ends[1], "a", 1));
	observe_taken("written-again", SIGIO, ends[0]);
	must("read", read(ends[0], &byte, 1));
	observe_taken("read", SIGIO, ends[0]);
	close(ends[1]);
	observe_taken("closed", SIGIO, ends[0]);
}

CASE(signal_of_pipe_with_details)
{
	int ends[2];
	char byte;
	must("pipe", pipe(ends));
	asynchronous(ends[0], SIGRTMIN);
	must("write", write(ends[1], "a", 1));
	observe_taken("written", SIGRTMIN, ends[0]);
	must("read", read(ends[0], &byte, 1));
	close(ends[1]);
	observe_taken("closed", SIGRTMIN, ends[0]);
}

CASE(signal_of_pipe_writer)
{
	static char page[4096];
	int ends[2];
	must("pipe", pipe(ends));
	asynchronous(ends[1], SIGRTMIN);
	while (write(ends[1], page, sizeof(page)) > 0)
		;
	observe_taken("full", SIGRTMIN, ends[1]);
	must("read", read(ends[0], page, sizeof(page)));
	observe_taken("room", SIGRTMIN, ends[1]);
	close(ends[0]);
	observe_taken("closed", SIGRTMIN, ends[1]);
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

CASE(signal_to_child)
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
	must("F_SETOWN", fcntl(ends[0], F_SETOWN, pid));
	must("F_SETFL", fcntl(ends[0], F_SETFL, O_ASYNC));
	must("write", write(ends[1], "a", 1));
	must("write", write(ready[1], "a", 1));
	waitpid(pid, NULL, 0);
	observe_taken("parent", SIGIO, ends[0]);
}

CASE(signal_to_group)
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
	must("F_SETOWN", fcntl(ends[0], F_SETOWN, -getpgrp()));
	must("F_SETFL", fcntl(ends[0], F_SETFL, O_ASYNC));
	must("write", write(ends[1], "a", 1));
	must("write", write(ready[1], "a", 1));
	waitpid(pid, NULL, 0);
	observe_taken("parent", SIGIO, ends[0]);
}

CASE(signal_of_udp)
{
	int pair[2];
	udp_pair(pair);
	asynchronous(pair[0], SIGRTMIN);
	must("write", write(pair[1], "abc", 3));
	observe_taken("arrived", SIGRTMIN, pair[0]);
	must("write", write(pair[1], "abc", 3));
	observe_taken("arrived-again", SIGRTMIN, pair[0]);
	observe_taken("no-more", SIGRTMIN, pair[0]);
}

CASE(signal_of_tcp)
{
	int pair[2];
	tcp_pair(pair);
	asynchronous(pair[0], SIGRTMIN);
	must("write", write(pair[1], "abc", 3));
	observe_taken("arrived", SIGRTMIN, pair[0]);
	must("shutdown", shutdown(pair[1], SHUT_WR));
	observe_taken("peer-shut", SIGRTMIN, pair[0]);
}

CASE(signal_of_unix_stream)
{
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	asynchronous(pair[0], SIGRTMIN);
	must("write", write(pair[1], "abc", 3));
	observe_taken("arrived", SIGRTMIN, pair[0]);
	close(pair[1]);
	observe_taken("closed", SIGRTMIN, pair[0]);
}

CASE(signal_of_listener)
{
	struct sockaddr_in address;
	int listener = tcp_listener(4, &address);
	asynchronous(listener, SIGRTMIN);
	must("connect", connect_to(tcp_socket(), address));
	observe_taken("connected", SIGRTMIN, listener);
}

CASE(signal_of_connect)
{
	struct sockaddr_in address;
	tcp_listener(4, &address);
	int fd = tcp_socket();
	asynchronous(fd, SIGRTMIN);
	connect_to(fd, address);
	observe_taken("connected", SIGRTMIN, fd);
}

/* The number of the descriptor on which it was asked for is told, a copy or not. */
CASE(signal_of_duplicate)
{
	int ends[2];
	must("pipe", pipe(ends));
	int copy = dup(ends[0]);
	asynchronous(copy, SIGRTMIN);
	close(copy);
	must("write", write(ends[1], "a", 1));
	observe_taken("written", SIGRTMIN, copy);
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

CASE(signal_of_listener_with_two)
{
	struct sockaddr_in address;
	int listener = tcp_listener(4, &address);
	asynchronous(listener, SIGRTMIN);
	must("connect", connect_to(tcp_socket(), address));
	must("connect", connect_to(tcp_socket(), address));
	observe_reasons("connected", SIGRTMIN);
	must("accept", accept(listener, NULL, NULL));
	observe_reasons("accepted", SIGRTMIN);
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

CASE(signal_of_fifo_writer)
{
	char bytes[10];
	int ends[2];
	must("pipe", pipe(ends));
	asynchronous(ends[1], SIGRTMIN);
	must("write", write(ends[1], "abc", 3));
	observe_reasons("own-write", SIGRTMIN);
	must("read", read(ends[0], bytes, 1));
	observe_reasons("read", SIGRTMIN);
	must("F_SETFL", fcntl(ends[0], F_SETFL, O_NONBLOCK));
	must("read", read(ends[0], bytes, sizeof(bytes)));
	observe_reasons("read-all", SIGRTMIN);
	observe("empty", read(ends[0], bytes, sizeof(bytes)));
	observe_reasons("empty", SIGRTMIN);
}

CASE(signal_of_tcp_room)
{
	static char block_bytes[65536];
	int pair[2];
	tcp_pair(pair);
	asynchronous(pair[0], SIGRTMIN);
	set_nonblocking(pair[1]);
	observe_reasons("idle", SIGRTMIN);
	do {
		while (write(pair[0], block_bytes, sizeof(block_bytes)) > 0)
			;
	} while (poll(&(struct pollfd){ .fd = pair[0], .events = POLLOUT }, 1, 100) > 0);
	observe_reasons("full", SIGRTMIN);
	while (poll(&(struct pollfd){ .fd = pair[1], .events = POLLIN }, 1, 100) > 0)
		while (read(pair[1], block_bytes, sizeof(block_bytes)) > 0)
			;
	observe_taken("drained", SIGRTMIN, pair[0]);
}

CASE(signal_of_tcp_ends)
{
	int pair[2];
	tcp_pair(pair);
	asynchronous(pair[0], SIGRTMIN);
	must("shutdown", shutdown(pair[0], SHUT_WR));
	observe_reasons("own-shut", SIGRTMIN);
	must("shutdown", shutdown(pair[1], SHUT_WR));
	observe_reasons("both-shut", SIGRTMIN);
}

CASE(signal_of_tcp_peer_first)
{
	int pair[2];
	tcp_pair(pair);
	asynchronous(pair[0], SIGRTMIN);
	must("shutdown", shutdown(pair[1], SHUT_WR));
	observe_reasons("peer-shut", SIGRTMIN);
	must("shutdown", shutdown(pair[0], SHUT_WR));
	observe_reasons("own-shut", SIGRTMIN);
}

CASE(signal_of_tcp_shut_read)
{
	int pair[2];
	tcp_pair(pair);
	asynchronous(pair[0], SIGRTMIN);
	must("shutdown", shutdown(pair[0], SHUT_RD));
	observe_reasons("own-shut", SIGRTMIN);
	must("write", write(pair[1], "a", 1));
	observe_reasons("data", SIGRTMIN);
	must("shutdown", shutdown(pair[0], SHUT_WR));
	observe_reasons("all-shut", SIGRTMIN);
}

CASE(signal_of_tcp_reset)
{
	struct linger linger = { 1, 0 };
	int pair[2];
	tcp_pair(pair);
	asynchronous(pair[0], SIGRTMIN);
	must("SO_LINGER", setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	close(pair[1]);
	observe_taken("reset", SIGRTMIN, pair[0]);
	observe_reasons("more", SIGRTMIN);
	observe_so_error("error", pair[0]);
}

CASE(signal_of_tcp_refused)
{
	struct sockaddr_in address;
	close(tcp_listener(1, &address));
	int fd = tcp_socket();
	asynchronous(fd, SIGRTMIN);
	connect_to(fd, address);
	observe_reasons("refused", SIGRTMIN);
	observe_so_error("error", fd);
}

CASE(signal_of_udp_refused)
{
	int pair[2];
	udp_pair(pair);
	asynchronous(pair[0], SIGRTMIN);
	close(pair[1]);
	must("write", write(pair[0], "abc", 3));
	observe_taken("refused", SIGRTMIN, pair[0]);
	observe_reasons("more", SIGRTMIN);
}

CASE(signal_of_udp_shut)
{
	int pair[2];
	udp_pair(pair);
	asynchronous(pair[0], SIGRTMIN);
	must("shutdown", shutdown(pair[0], SHUT_RDWR));
	observe_reasons("own-shut", SIGRTMIN);
}

CASE(signal_of_unix_shut)
{
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	asynchronous(pair[0], SIGRTMIN);
	must("shutdown", shutdown(pair[1], SHUT_RD));
	observe_reasons("peer-read", SIGRTMIN);
	must("shutdown", shutdown(pair[1], SHUT_WR));
	observe_reasons("peer-write", SIGRTMIN);
	must("shutdown", shutdown(pair[1], SHUT_RDWR));
	observe_reasons("peer-both", SIGRTMIN);
	must("shutdown", shutdown(pair[0], SHUT_RDWR));
	observe_reasons("own-shut", SIGRTMIN);
}

CASE(signal_of_unix_unread)
{
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	asynchronous(pair[0], SIGRTMIN);
	must("write", write(pair[0], "abc", 3));
	observe_reasons("written", SIGRTMIN);
	close(pair[1]);
	observe_reasons("closed-unread", SIGRTMIN);
}

CASE(signal_of_unix_room)
{
	static char bytes[4096];
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	asynchronous(pair[0], SIGRTMIN);
	while (write(pair[0], bytes, sizeof(bytes)) > 0)
		;
	observe_reasons("full", SIGRTMIN);
	must("read", read(pair[1], bytes, sizeof(bytes)));
	observe_reasons("read-little", SIGRTMIN);
	set_nonblocking(pair[1]);
	while (read(pair[1], bytes, sizeof(bytes)) > 0)
		;
	observe_reasons("read-all", SIGRTMIN);
}

CASE(signal_of_unix_datagram)
{
	int pair[2];
	char bytes[8];
	unix_pair(SOCK_DGRAM, pair);
	asynchronous(pair[0], SIGRTMIN);
	must("write", write(pair[1], "abc", 3));
	must("write", write(pair[1], "abc", 3));
	observe_reasons("two", SIGRTMIN);
	must("read", read(pair[0], bytes, sizeof(bytes)));
	observe_reasons("read", SIGRTMIN);
	close(pair[1]);
	observe_reasons("closed", SIGRTMIN);
}

CASE(signal_of_unix_listener)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "listener" };
	int listener = (int)must("socket", socket(AF_UNIX, SOCK_STREAM, 0));
	int client = (int)must("socket", socket(AF_UNIX, SOCK_STREAM, 0));
	must("bind", bind(listener, (struct sockaddr *)&address, sizeof(address)));
	must("listen", listen(listener, 1));
	asynchronous(listener, SIGRTMIN);
	asynchronous(client, SIGRTMIN + 1);
	must("connect", connect(client, (struct sockaddr *)&address, sizeof(address)));
	observe_reasons("listener", SIGRTMIN);
	observe_reasons("client", SIGRTMIN + 1);
	must("accept", accept(listener, NULL, NULL));
	observe_reasons("client-accepted", SIGRTMIN + 1);
}

/* SIGURG goes to the owner without O_ASYNC. */
CASE(urgent_to_owner)
{
	int pair[2];
	tcp_pair(pair);
	own(pair[0]);
	block(SIGURG);
	must("send", send(pair[1], "abc", 3, MSG_OOB));
	observe_taken("urgent", SIGURG, pair[0]);
	must("send", send(pair[1], "d", 1, 0));
	observe_reasons("plain", SIGURG);
	must("send", send(pair[1], "e", 1, MSG_OOB));
	observe_taken("urgent-again", SIGURG, pair[0]);
}

CASE(urgent_without_owner)
{
	int pair[2];
	tcp_pair(pair);
	block(SIGURG);
	must("send", send(pair[1], "abc", 3, MSG_OOB));
	observe_reasons("urgent", SIGURG);
	must("F_SETFL", fcntl(pair[0], F_SETFL, O_ASYNC));
	must("send", send(pair[1], "abc", 3, MSG_OOB));
	observe_reasons("urgent", SIGURG);
}

CASE(urgent_with_async)
{
	int pair[2];
	tcp_pair(pair);
	asynchronous(pair[0], SIGIO);
	block(SIGURG);
	must("send", send(pair[1], "abc", 3, MSG_OOB));
	observe_reasons("sigurg", SIGURG);
	observe_reasons("sigio", SIGIO);
}

CASE(urgent_with_details)
{
	int pair[2];
	tcp_pair(pair);
	asynchronous(pair[0], SIGRTMIN);
	block(SIGURG);
	must("send", send(pair[1], "a", 1, MSG_OOB));
	observe_reasons("sigurg", SIGURG);
	observe_taken("first", SIGRTMIN, pair[0]);
	observe_reasons("more", SIGRTMIN);
}
