/* What the files of the group pidfd share. */
#define _GNU_SOURCE
#include "pidfd.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

int pidfd_open_of(pid_t pid, unsigned flags)
{
	return (int)syscall(SYS_pidfd_open, pid, flags);
}

long pidfd_signal(int fd, int number, void *information, unsigned flags)
{
	return syscall(SYS_pidfd_send_signal, fd, number, information, flags);
}

long pidfd_fetch(int fd, int wanted, unsigned flags)
{
	return syscall(SYS_pidfd_getfd, fd, wanted, flags);
}

pid_t sleeping_child(void)
{
	pid_t child = (pid_t)must("fork", fork());
	if (child)
		return child;
	for (;;)
		pause();
}

pid_t ending_child(int status)
{
	pid_t child = (pid_t)must("fork", fork());
	if (!child)
		_exit(status);
	return child;
}

void wait_for_end(pid_t child)
{
	siginfo_t information;
	must("waitid", waitid(P_PID, (id_t)child, &information, WEXITED | WNOWAIT));
}

void reap(pid_t child)
{
	must("waitpid", waitpid(child, NULL, 0));
}

void observe_pidfd(const char *label, int fd)
{
	observe_poll(label, fd, POLLIN | POLLOUT | POLLRDHUP | POLLRDNORM, 0);
}

void observe_waitid(const char *label, int fd, int options, pid_t child)
{
	siginfo_t information;
	memset(&information, 0, sizeof(information));
	information.si_pid = -2;
	observe(label, waitid((idtype_t)P_PIDFD_OF_WAITID, (id_t)fd, &information, options));
	const char *who = child && information.si_pid == child ? "child"
	                  : information.si_pid == -2           ? "untouched"
	                  : information.si_pid == 0            ? "nobody"
	                                                       : "other";
	observe_text("who", "%s/%d/%d/%d", who, information.si_signo,
	             information.si_pid == child ? information.si_code : 0,
	             information.si_pid == child ? information.si_status : 0);
}
