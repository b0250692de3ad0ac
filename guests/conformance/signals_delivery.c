/* How signals are delivered: masks that a call swaps, the order of handlers, SIGPIPE, signalfd, and
 * the stacks that handlers run on. */
#define _GNU_SOURCE
#include "signals.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#define DISARM INT_MIN /* SS_AUTODISARM */

static char heard[200];

static void hear(int number)
{
	size_t length = strlen(heard);
	const char *name = sigabbrev_np(number);
	if (name)
		snprintf(heard + length, sizeof(heard) - length, "%s%s", length ? "," : "", name);
	else
		snprintf(heard + length, sizeof(heard) - length, "%sRT%d", length ? "," : "",
		         number - SIGRTMIN);
}

static void handle(int number, void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };
	must("sigaction", sigaction(number, &action, NULL));
}

static void observe_heard(const char *label)
{
	observe_text(label, "%s", heard[0] ? heard : "-");
	heard[0] = 0;
}

static int pending(int number)
{
	sigset_t set;
	sigpending(&set);
	return sigismember(&set, number);
}

static void unblock_all(void)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static sigset_t nothing_blocked(void)
{
	sigset_t none;
	sigemptyset(&none);
	return none;
}

/* ---- masks ---- */

CASE(ppoll_mask)
{
	sigset_t none = nothing_blocked();
	struct timespec time = { 5, 0 };
	int ends[2];
	must("pipe", pipe(ends));
	struct pollfd entry = { .fd = ends[0], .events = POLLIN };
	handle(SIGUSR1, hear, SA_RESTART);
	block_signal(SIGUSR1);
	raise(SIGUSR1);
	observe("pending", ppoll(&entry, 1, &time, &none));
	observe_heard("heard");
	raise(SIGUSR1);
	must("write", write(ends[1], "a", 1));
	observe("pending-and-ready", ppoll(&entry, 1, &time, &none));
	observe_heard("heard");
	observe("still-pending", pending(SIGUSR1));
	entry.fd = ends[1];
	time.tv_sec = 0;
	observe("pending-no-time", ppoll(&entry, 1, &time, &none));
	observe_heard("heard");
}

CASE(pselect_mask)
{
	sigset_t none = nothing_blocked();
	struct timespec time = { 5, 0 };
	int ends[2];
	fd_set set;
	must("pipe", pipe(ends));
	handle(SIGUSR1, hear, 0);
	block_signal(SIGUSR1);
	raise(SIGUSR1);
	FD_ZERO(&set);
	FD_SET(ends[0], &set);
	observe("pending", pselect(ends[0] + 1, &set, NULL, NULL, &time, &none));
	observe_heard("heard");
	observe("set", FD_ISSET(ends[0], &set));
	raise(SIGUSR1);
	must("write", write(ends[1], "a", 1));
	observe("pending-and-ready", pselect(ends[0] + 1, &set, NULL, NULL, &time, &none));
	observe_heard("heard");
	observe("still-pending", pending(SIGUSR1));
}

CASE(epoll_pwait_mask_of_two)
{
	sigset_t one;
	struct epoll_event event;
	int fd = epoll_create1(0);
	handle(SIGUSR1, hear, 0);
	handle(SIGUSR2, hear, 0);
	block_signal(SIGUSR1);
	block_signal(SIGUSR2);
	raise(SIGUSR1);
	raise(SIGUSR2);
	sigemptyset(&one);
	sigaddset(&one, SIGUSR1);
	observe("wait", epoll_pwait(fd, &event, 1, 5000, &one));
	observe_heard("heard");
	observe("first-pending", pending(SIGUSR1));
	observe("second-pending", pending(SIGUSR2));
	observe("no-time", epoll_pwait(fd, &event, 1, 0, &one));
}

CASE(sigsuspend_mask)
{
	sigset_t one, now;
	handle(SIGUSR1, hear, 0);
	handle(SIGUSR2, hear, 0);
	block_signal(SIGUSR1);
	block_signal(SIGUSR2);
	raise(SIGUSR1);
	raise(SIGUSR2);
	sigemptyset(&one);
	sigaddset(&one, SIGUSR2);
	observe("suspend", sigsuspend(&one));
	observe_heard("heard");
	sigprocmask(SIG_SETMASK, NULL, &now);
	observe("usr1-blocked", sigismember(&now, SIGUSR1));
	observe("usr2-blocked", sigismember(&now, SIGUSR2));
}

/* An ignored signal, or one whose default is to be ignored, ends no call. */
CASE(ignored_while_waiting)
{
	int ends[2];
	char byte;
	must("pipe", pipe(ends));
	signal(SIGUSR1, SIG_IGN);
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		observe("read", read(ends[0], &byte, 1));
		_exit(0);
	}
	wait_for_state(pid, 'S');
	kill(pid, SIGUSR1);
	kill(pid, SIGURG);
	kill(pid, SIGWINCH);
	kill(pid, SIGCONT);
	pause_ms(20);
	must("write", write(ends[1], "a", 1));
	waitpid(pid, NULL, 0);
}

/* ---- order ---- */

/* The handler of the highest number runs first: the frames are pushed from the lowest on. */
CASE(order_of_handlers)
{
	static const int numbers[] = { SIGUSR2, SIGALRM, SIGUSR1, SIGHUP, SIGCHLD };
	for (int i = 0; i < 5; i++) {
		handle(numbers[i], hear, 0);
		block_signal(numbers[i]);
		raise(numbers[i]);
	}
	unblock_all();
	observe_heard("heard");
}

CASE(order_of_queued)
{
	handle(SIGRTMIN, hear, 0);
	handle(SIGRTMIN + 1, hear, 0);
	handle(SIGUSR1, hear, 0);
	block_signal(SIGRTMIN);
	block_signal(SIGRTMIN + 1);
	block_signal(SIGUSR1);
	for (int i = 0; i < 3; i++) {
		raise(SIGRTMIN + 1);
		raise(SIGRTMIN);
		raise(SIGUSR1);
	}
	unblock_all();
	observe_heard("heard");
}

static void hear_and_raise(int number)
{
	hear(number);
	if (number == SIGUSR1)
		raise(SIGUSR2);
	hear(number);
}

CASE(nested_handlers)
{
	handle(SIGUSR1, hear_and_raise, 0);
	handle(SIGUSR2, hear_and_raise, 0);
	raise(SIGUSR1);
	observe_heard("open");
	struct sigaction action = { .sa_handler = hear_and_raise };
	sigaddset(&action.sa_mask, SIGUSR2);
	must("sigaction", sigaction(SIGUSR1, &action, NULL));
	raise(SIGUSR1);
	observe_heard("masked");
}

static int depth;

static void raise_again(int number)
{
	hear(number);
	if (depth++ < 2)
		raise(number);
	hear(number);
}

CASE(handler_of_its_own_signal)
{
	handle(SIGUSR1, raise_again, 0);
	raise(SIGUSR1);
	observe_heard("deferred");
	depth = 0;
	handle(SIGUSR1, raise_again, SA_NODEFER);
	raise(SIGUSR1);
	observe_heard("nested");
}

CASE(handler_once)
{
	struct sigaction now;
	handle(SIGUSR1, hear, SA_RESETHAND);
	raise(SIGUSR1);
	observe_heard("heard");
	sigaction(SIGUSR1, NULL, &now);
	observe("default-again", now.sa_handler == SIG_DFL);
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		raise(SIGUSR1);
		_exit(0);
	}
	int status;
	waitpid(pid, &status, 0);
	observe("killed", WIFSIGNALED(status));
}

/* Another handler ends the wait inside of a handler, and the outer call stays ended. */
static int waits_in_handler[2];

static void read_in_handler(int number)
{
	char byte;
	hear(number);
	observe("inner", read(waits_in_handler[0], &byte, 1));
}

CASE(wait_within_a_handler)
{
	int ends[2];
	char byte;
	must("pipe", pipe(ends));
	must("pipe", pipe(waits_in_handler));
	handle(SIGUSR1, read_in_handler, 0);
	handle(SIGUSR2, hear, 0);
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		observe("outer", read(ends[0], &byte, 1));
		observe_heard("heard");
		_exit(0);
	}
	wait_for_state(pid, 'S');
	kill(pid, SIGUSR1);
	pause_ms(50);
	wait_for_state(pid, 'S');
	kill(pid, SIGUSR2);
	waitpid(pid, NULL, 0);
}

/* ---- SIGPIPE ---- */

static void broken_stream(int pair[2])
{
	unix_pair(SOCK_STREAM, pair);
	close(pair[1]);
	handle(SIGPIPE, hear, 0);
}

CASE(sigpipe_of_calls)
{
	struct iovec piece = { "a", 1 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	struct mmsghdr many = { .msg_hdr = message };
	int pair[2], ends[2];
	broken_stream(pair);
	must("pipe", pipe(ends));
	close(ends[0]);
	observe("write", write(pair[0], "a", 1));
	observe_heard("heard");
	observe("send", send(pair[0], "a", 1, 0));
	observe_heard("heard");
	observe("nosignal", send(pair[0], "a", 1, MSG_NOSIGNAL));
	observe_heard("heard");
	observe("writev", writev(pair[0], &piece, 1));
	observe_heard("heard");
	observe("sendmsg", sendmsg(pair[0], &message, 0));
	observe_heard("heard");
	observe("sendmmsg", sendmmsg(pair[0], &many, 1, 0));
	observe_heard("heard");
	observe("sendmmsg-nosignal", sendmmsg(pair[0], &many, 1, MSG_NOSIGNAL));
	observe_heard("heard");
	observe("pipe", write(ends[1], "a", 1));
	observe_heard("heard");
	observe("pipe-empty", write(ends[1], "", 0));
	observe_heard("heard");
}

CASE(sigpipe_blocked)
{
	siginfo_t info;
	struct timespec none = { 0, 0 };
	sigset_t set;
	int pair[2];
	broken_stream(pair);
	block_signal(SIGPIPE);
	observe("write", write(pair[0], "a", 1));
	observe("pending", pending(SIGPIPE));
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	observe("taken", sigtimedwait(&set, &info, &none) == SIGPIPE);
	observe("code", info.si_code);
	observe("pid", info.si_pid == getpid());
	observe("no-more", sigtimedwait(&set, &info, &none));
}

/* A write that waits when the reader goes. */
CASE(sigpipe_while_waiting)
{
	static char page[65536];
	int ends[2];
	must("pipe", pipe(ends));
	must("write", write(ends[1], page, sizeof(page)));
	handle(SIGPIPE, hear, SA_RESTART);
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		close(ends[0]);
		observe("write", write(ends[1], page, 100));
		observe_heard("heard");
		_exit(0);
	}
	wait_for_state(pid, 'S');
	close(ends[0]);
	waitpid(pid, NULL, 0);
}

CASE(sigpipe_default_kills)
{
	int pair[2], status;
	broken_stream(pair);
	signal(SIGPIPE, SIG_DFL);
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		(void)!write(pair[0], "a", 1);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	observe("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

/* ---- signalfd ---- */

static int open_signalfd(int flags)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return (int)must("signalfd", signalfd(-1, &set, flags));
}

CASE(signalfd_several)
{
	struct signalfd_siginfo taken[4];
	union sigval value = { .sival_int = 7 };
	int fd = open_signalfd(SFD_NONBLOCK);
	observe("empty", read(fd, taken, sizeof(taken)));
	sigqueue(getpid(), SIGRTMIN, value);
	raise(SIGUSR2);
	kill(getpid(), SIGUSR2);
	kill(getpid(), SIGUSR1);
	value.sival_int = 8;
	sigqueue(getpid(), SIGRTMIN, value);
	observe_poll("poll", fd, POLLIN, 0);
	observe("small", read(fd, taken, sizeof(taken[0]) - 1));
	memset(taken, 0, sizeof(taken));
	ssize_t bytes = read(fd, taken, sizeof(taken));
	observe("read", bytes);
	for (int i = 0; i < 4 && i < bytes / (int)sizeof(taken[0]); i++)
		observe_text("signal", "%u/code%d/int%d/%s", taken[i].ssi_signo, taken[i].ssi_code,
		             taken[i].ssi_int,
		             taken[i].ssi_pid == (uint32_t)getpid() ? "own" : "-");
	bytes = read(fd, taken, sizeof(taken[0]));
	observe("rest", bytes);
	observe_text("signal", "%u/int%d", taken[0].ssi_signo, taken[0].ssi_int);
	observe_poll("poll", fd, POLLIN, 0);
}

CASE(signalfd_changed)
{
	struct signalfd_siginfo taken;
	sigset_t set;
	int fd = open_signalfd(SFD_NONBLOCK);
	raise(SIGUSR1);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	observe("change", signalfd(fd, &set, 0) == fd);
	observe("read", read(fd, &taken, sizeof(taken)));
	raise(SIGUSR2);
	observe("read", read(fd, &taken, sizeof(taken)));
	observe("still-pending", pending(SIGUSR1));
	sigaddset(&set, SIGKILL);
	sigaddset(&set, SIGUSR1);
	observe("with-kill", signalfd(fd, &set, 0) == fd);
	observe("read", read(fd, &taken, sizeof(taken)));
	observe("no-signalfd", signalfd(0, &set, 0));
	observe("flags", signalfd(-1, &set, 1));
}

CASE(signalfd_of_a_child)
{
	struct signalfd_siginfo taken;
	int fd = open_signalfd(SFD_NONBLOCK);
	raise(SIGUSR1);
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		observe_poll("child-poll", fd, POLLIN, 0);
		observe("child", read(fd, &taken, sizeof(taken)));
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	observe("parent", read(fd, &taken, sizeof(taken)));
}

CASE(signalfd_in_epoll)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct signalfd_siginfo taken;
	int fd = open_signalfd(SFD_NONBLOCK), epoll = epoll_create1(0);
	must("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	observe("none", epoll_wait(epoll, &event, 1, 0));
	raise(SIGUSR1);
	raise(SIGUSR2);
	observe("two", epoll_wait(epoll, &event, 1, 0));
	observe("read", read(fd, &taken, sizeof(taken)));
	observe("one", epoll_wait(epoll, &event, 1, 0));
	observe("read", read(fd, &taken, sizeof(taken)));
	observe("none", epoll_wait(epoll, &event, 1, 0));
}

/* The child's end is read from the descriptor. */
CASE(signalfd_of_sigchld)
{
	struct signalfd_siginfo taken;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	block_signal(SIGCHLD);
	int fd = (int)must("signalfd", signalfd(-1, &set, 0));
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0)
		_exit(9);
	observe("read", read(fd, &taken, sizeof(taken)));
	observe("code", taken.ssi_code == CLD_EXITED);
	observe("status", taken.ssi_status);
	observe("pid", taken.ssi_pid == (uint32_t)pid);
}

/* ---- stacks ---- */

static char *alternate;
static int on_alternate, descriptor;

static void look_at_stack(int number)
{
	char here, byte = 0;
	hear(number);
	on_alternate = &here >= alternate && &here < alternate + 65536;
	if (number == SIGUSR1)
		observe("in-handler", read(descriptor, &byte, 1));
}

static void set_stack(int flags)
{
	alternate = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t stack = { .ss_sp = alternate, .ss_size = 65536, .ss_flags = flags };
	must("sigaltstack", sigaltstack(&stack, NULL));
}

/* While a thread waits for a socket, on the other stack; the handler waits for it, too. */
CASE(alternate_stack_while_waiting)
{
	int pair[2];
	char byte;
	tcp_pair(pair);
	descriptor = pair[0];
	set_stack(0);
	handle(SIGUSR1, look_at_stack, SA_ONSTACK | SA_RESTART);
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		observe("outer", read(pair[0], &byte, 1));
		observe("on-alternate", on_alternate);
		_exit(0);
	}
	wait_for_state(pid, 'S');
	kill(pid, SIGUSR1);
	pause_ms(50);
	wait_for_state(pid, 'S');
	must("write", write(pair[1], "ab", 2));
	waitpid(pid, NULL, 0);
}

static stack_t seen_stack;
static int change_error;

static void look_and_change(int number)
{
	stack_t other = { .ss_flags = SS_DISABLE };
	look_at_stack(number);
	sigaltstack(NULL, &seen_stack);
	change_error = sigaltstack(&other, NULL) ? errno : 0;
}

CASE(alternate_stack_in_use)
{
	stack_t now;
	set_stack(0);
	handle(SIGUSR2, look_and_change, SA_ONSTACK);
	raise(SIGUSR2);
	observe("on-alternate", on_alternate);
	observe("flags", seen_stack.ss_flags == SS_ONSTACK);
	observe("change", change_error == EPERM);
	must("sigaltstack", sigaltstack(NULL, &now));
	observe("flags-after", now.ss_flags);
	handle(SIGUSR2, look_and_change, 0);
	raise(SIGUSR2);
	observe("without-flag", on_alternate);
	observe("change", change_error);
}

CASE(alternate_stack_disarmed)
{
	stack_t now;
	set_stack(DISARM);
	handle(SIGUSR2, look_and_change, SA_ONSTACK);
	raise(SIGUSR2);
	observe("on-alternate", on_alternate);
	observe("disabled", seen_stack.ss_flags == SS_DISABLE);
	observe("change", change_error);
	must("sigaltstack", sigaltstack(NULL, &now));
	observe("size-after", (long)now.ss_size);
}

/* The first process handles none of these: whoever sends them is told that all went well. */
CASE(first_process_spared)
{
	const int sent[] = { SIGHUP,  SIGKILL, SIGUSR1, SIGTERM,
		             SIGALRM, SIGSTOP, SIGTSTP, SIGRTMIN + 1 };
	for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]); i++) {
		observe("kill", kill(1, sent[i]));
		observe("tgkill", syscall(SYS_tgkill, 1, 1, sent[i]));
	}
	wait_for_state(1, 'S');
	observe("still-there", kill(1, 0));
}
