/* pidfd_send_signal(2), pidfd_getfd(2), and CLONE_PIDFD. */
#define _GNU_SOURCE
#include "pidfd.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define PIDFD_THREAD               0200
#define PIDFD_SIGNAL_THREAD        1
#define PIDFD_SIGNAL_THREAD_GROUP  2
#define PIDFD_SIGNAL_PROCESS_GROUP 4

static void *volatile bad_pointer = (void *)16; /* nothing is mapped there */

/* ---- signals ---- */

CASE(signal_arguments)
{
	int fd = pidfd_open_of(getpid(), 0);
	observe("test", pidfd_signal(fd, 0, NULL, 0));
	observe("negative", pidfd_signal(fd, -1, NULL, 0));
	observe("64", pidfd_signal(fd, 65, NULL, 0));
	observe("flags", pidfd_signal(fd, 0, NULL, 8));
	observe("two-flags", pidfd_signal(fd, 0, NULL, 3));
	observe("flags-first", pidfd_signal(-1, 0, NULL, 8));
	observe("closed", pidfd_signal(-1, 0, NULL, 0));
	observe("no-pidfd", pidfd_signal(0, 0, NULL, 0));
	observe("pointer", pidfd_signal(fd, 0, bad_pointer, 0));
	observe("no-pidfd-number", pidfd_signal(0, 99, NULL, 0));
	observe("o-path", pidfd_signal(open("/", O_PATH), 0, NULL, 0));
}

static int came;
static siginfo_t last;

static void note(int number, siginfo_t *information, void *context)
{
	(void)context;
	came = number;
	last = *information;
}

static void listen_to(int number)
{
	struct sigaction action = { .sa_sigaction = note, .sa_flags = SA_SIGINFO };
	came = 0;
	must("sigaction", sigaction(number, &action, NULL));
}

static void observe_came(const char *label)
{
	if (!came)
		observe_text(label, "none");
	else
		observe_text(label, "%d/code%d/%s/value%d", came, last.si_code,
		             last.si_pid == getpid() ? "self" : "other", last.si_value.sival_int);
	came = 0;
}

CASE(signal_to_self)
{
	int fd = pidfd_open_of(getpid(), 0), thread = pidfd_open_of(getpid(), PIDFD_THREAD);
	static const unsigned scopes[] = { 0, PIDFD_SIGNAL_THREAD, PIDFD_SIGNAL_THREAD_GROUP,
		                           PIDFD_SIGNAL_PROCESS_GROUP };
	listen_to(SIGUSR1);
	for (size_t i = 0; i < 4; i++) {
		observe("process", pidfd_signal(fd, SIGUSR1, NULL, scopes[i]));
		observe_came("came");
		observe("thread", pidfd_signal(thread, SIGUSR1, NULL, scopes[i]));
		observe_came("came");
	}
}

static void with_code(const char *label, int fd, int code, int number, unsigned flags)
{
	siginfo_t information;
	memset(&information, 0, sizeof(information));
	information.si_signo = number;
	information.si_code = code;
	information.si_pid = getpid();
	information.si_value.sival_int = 42;
	observe(label, pidfd_signal(fd, SIGUSR1, &information, flags));
}

CASE(signal_with_information)
{
	int fd = pidfd_open_of(getpid(), 0);
	listen_to(SIGUSR1);
	with_code("queue", fd, SI_QUEUE, SIGUSR1, 0);
	observe_came("came");
	with_code("user", fd, SI_USER, SIGUSR1, 0);
	observe_came("came");
	with_code("tkill", fd, SI_TKILL, SIGUSR1, 0);
	observe_came("came");
	with_code("number", fd, SI_QUEUE, SIGUSR2, 0);
	with_code("group", fd, SI_USER, SIGUSR1, PIDFD_SIGNAL_PROCESS_GROUP);
	signal(SIGUSR1, SIG_DFL);
	pid_t child = sleeping_child();
	int other = pidfd_open_of(child, 0);
	with_code("other-user", other, SI_USER, SIGUSR1, 0);
	with_code("other-tkill", other, SI_TKILL, SIGUSR1, 0);
	with_code("other-number", other, SI_USER, SIGUSR2, 0);
	with_code("other-queue", other, SI_QUEUE, SIGUSR1, 0);
	observe_waitid("wait", other, WEXITED, child);
}

CASE(signal_to_others)
{
	pid_t child = sleeping_child();
	int fd = pidfd_open_of(child, 0);
	must("setuid", setresuid(1000, 1000, 1000));
	observe("term", pidfd_signal(fd, SIGTERM, NULL, 0));
	observe("test", pidfd_signal(fd, 0, NULL, 0));
	observe("continue", pidfd_signal(fd, SIGCONT, NULL, 0));
	observe("number", pidfd_signal(fd, 99, NULL, 0));
	observe("init", pidfd_signal(pidfd_open_of(1, 0), 0, NULL, 0));
}

/* Of a process that is gone its number is still the group's. */
CASE(signal_to_group_without_leader)
{
	pid_t leader = (pid_t)must("fork", fork());
	if (!leader) {
		setpgid(0, 0);
		sleeping_child();
		_exit(0);
	}
	int fd = pidfd_open_of(leader, 0);
	wait_for_end(leader);
	observe("zombie", pidfd_signal(fd, 0, NULL, PIDFD_SIGNAL_PROCESS_GROUP));
	reap(leader);
	observe("reaped", pidfd_signal(fd, 0, NULL, PIDFD_SIGNAL_THREAD_GROUP));
	observe("group", pidfd_signal(fd, 0, NULL, PIDFD_SIGNAL_PROCESS_GROUP));
	observe("kill", pidfd_signal(fd, SIGKILL, NULL, PIDFD_SIGNAL_PROCESS_GROUP));
	pause_ms(100);
	observe("over", pidfd_signal(fd, 0, NULL, PIDFD_SIGNAL_PROCESS_GROUP));
}

/* The number is another's: a pidfd does not follow it. */
CASE(signal_does_not_follow_number)
{
	pid_t first = ending_child(0);
	int fd = pidfd_open_of(first, 0);
	reap(first);
	pid_t second = sleeping_child();
	observe("signal", pidfd_signal(fd, SIGKILL, NULL, 0));
	observe_poll("poll", pidfd_open_of(second, 0), POLLIN, 50);
	kill(second, SIGKILL);
	reap(second);
}

/* ---- descriptors of others ---- */

static pid_t child_with_pipe(int *write_end)
{
	int ends[2];
	must("pipe", pipe(ends));
	*write_end = ends[1];
	pid_t child = sleeping_child();
	close(ends[0]);
	return child;
}

CASE(fetch_descriptor)
{
	int ends[2], more[2];
	char bytes[8];
	must("pipe", pipe(ends));
	must("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, more));
	pid_t child = sleeping_child();
	close(ends[0]);
	close(more[0]);
	int fd = pidfd_open_of(child, 0);
	int got = (int)pidfd_fetch(fd, ends[0], 0);
	observe_fd("pipe", got);
	observe("cloexec", fcntl(got, F_GETFD));
	must("write", write(ends[1], "abc", 3));
	observe_bytes("read", read(got, bytes, sizeof(bytes)), bytes);
	got = observe_fd("socket", (int)pidfd_fetch(fd, more[0], 0));
	must("send", send(more[1], "de", 2, 0));
	observe_bytes("recv", recv(got, bytes, sizeof(bytes), 0), bytes);
	observe_fd("bad", (int)pidfd_fetch(fd, 999, 0));
	observe_fd("negative", (int)pidfd_fetch(fd, -1, 0));
	observe_fd("flags", (int)pidfd_fetch(fd, 0, 1));
	observe_fd("no-pidfd", (int)pidfd_fetch(0, 0, 0));
	observe_fd("closed", (int)pidfd_fetch(-1, 0, 0));
	observe_fd("own", (int)pidfd_fetch(pidfd_open_of(getpid(), 0), fd, 0));
	kill(child, SIGKILL);
	wait_for_end(child);
	observe_fd("zombie", (int)pidfd_fetch(fd, 0, 0));
}

CASE(fetch_as_other_user)
{
	int end;
	pid_t child = child_with_pipe(&end);
	int fd = pidfd_open_of(child, 0);
	must("setuid", setresuid(1000, 1000, 1000));
	observe_fd("root's", (int)pidfd_fetch(fd, 0, 0));
	pid_t same = sleeping_child();
	observe_fd("same", (int)pidfd_fetch(pidfd_open_of(same, 0), 0, 0));
	observe_fd("self", (int)pidfd_fetch(pidfd_open_of(getpid(), 0), 0, 0));
}

/* Who became another cannot be looked into, by his new equals either. */
CASE(fetch_after_change)
{
	observe("dumpable", prctl(PR_GET_DUMPABLE));
	must("prctl", prctl(PR_SET_PDEATHSIG, SIGTERM));
	must("setegid", setegid(0));
	observe("same", prctl(PR_GET_DUMPABLE));
	must("setegid", setegid(1000));
	observe("group", prctl(PR_GET_DUMPABLE));
	int signal = -1;
	must("prctl", prctl(PR_GET_PDEATHSIG, &signal));
	observe("death", signal);
	must("prctl", prctl(PR_SET_DUMPABLE, 1));
	must("setuid", setresuid(1000, 0, 0));
	observe("real", prctl(PR_GET_DUMPABLE));
	must("setuid", setresuid(1000, 1000, 1000));
	observe("effective", prctl(PR_GET_DUMPABLE));
	must("prctl", prctl(PR_SET_DUMPABLE, 1));
	pid_t child = sleeping_child();
	observe_fd("group-differs", (int)pidfd_fetch(pidfd_open_of(child, 0), 0, 0));
}

CASE(fetch_of_equal)
{
	must("setgid", setresgid(1000, 1000, 1000));
	must("setuid", setresuid(1000, 1000, 1000));
	must("prctl", prctl(PR_SET_DUMPABLE, 1));
	pid_t child = sleeping_child();
	observe_fd("fetch", (int)pidfd_fetch(pidfd_open_of(child, 0), 0, 0));
}

CASE(fetch_undumpable)
{
	int ready[2];
	char byte;
	must("setgid", setresgid(1000, 1000, 1000));
	must("setuid", setresuid(1000, 1000, 1000));
	must("prctl", prctl(PR_SET_DUMPABLE, 1));
	must("pipe", pipe(ready));
	pid_t child = (pid_t)must("fork", fork());
	if (!child) {
		prctl(PR_SET_DUMPABLE, 0);
		must("write", write(ready[1], "x", 1));
		for (;;)
			pause();
	}
	must("read", read(ready[0], &byte, 1));
	observe_fd("fetch", (int)pidfd_fetch(pidfd_open_of(child, 0), 0, 0));
}

/* ---- clone ---- */

static long clone3_with(struct clone_args *arguments)
{
	return syscall(SYS_clone3, arguments, sizeof(*arguments));
}

CASE(clone3_pidfd)
{
	int fd = -1;
	struct clone_args arguments = { .flags = CLONE_PIDFD,
		                        .pidfd = (uintptr_t)&fd,
		                        .exit_signal = SIGCHLD };
	pid_t child = (pid_t)clone3_with(&arguments);
	if (!child) /* it has none */
		_exit(fcntl(3, F_GETFD) < 0 && fcntl(4, F_GETFD) < 0 ? 4 : 5);
	observe_fd("pidfd", fd);
	observe_poll("poll", fd, POLLIN, 5000);
	observe("cloexec", fcntl(fd, F_GETFD));
	observe("flags", fcntl(fd, F_GETFL));
	observe_waitid("wait", fd, WEXITED, child);
}

CASE(clone3_pidfd_errors)
{
	int fd = -1;
	struct clone_args arguments = { .flags = CLONE_PIDFD,
		                        .pidfd = (uintptr_t)bad_pointer,
		                        .exit_signal = SIGCHLD };
	observe("pointer", clone3_with(&arguments));
	observe("child", waitpid(-1, NULL, WNOHANG));
	arguments.flags = CLONE_PIDFD | CLONE_PARENT_SETTID;
	arguments.pidfd = arguments.parent_tid = (uintptr_t)&fd;
	observe("same-place", clone3_with(&arguments));
	arguments.flags = CLONE_PIDFD | CLONE_DETACHED;
	arguments.parent_tid = 0;
	observe("detached", clone3_with(&arguments));
	while (dup(0) >= 0)
		;
	arguments.flags = CLONE_PIDFD;
	observe("no-descriptor", clone3_with(&arguments));
	observe("child", waitpid(-1, NULL, WNOHANG));
	observe_text("untouched", "%d", fd);
}

/* clone(2) stores it where the thread's number would be. */
CASE(clone_pidfd)
{
	int fd = -1;
	pid_t child = (pid_t)syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &fd, 0, 0);
	if (!child)
		_exit(6);
	observe_fd("pidfd", fd);
	observe_waitid("wait", fd, WEXITED, child);
	observe("both",
	        syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, 0, &fd, 0, 0));
	observe("detached",
	        syscall(SYS_clone, CLONE_PIDFD | CLONE_DETACHED | SIGCHLD, 0, &fd, 0, 0));
}

CASE(clone_pidfd_shared_files)
{
	int fd = -1;
	struct clone_args arguments = { .flags = CLONE_PIDFD | CLONE_FILES,
		                        .pidfd = (uintptr_t)&fd,
		                        .exit_signal = SIGCHLD };
	pid_t child = (pid_t)clone3_with(&arguments);
	if (!child)
		_exit(fcntl(5, F_GETFD) == 1 || fcntl(4, F_GETFD) == 1 || fcntl(3, F_GETFD) == 1);
	observe_waitid("wait", fd, WEXITED, child);
}
