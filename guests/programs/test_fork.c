/* Processes: fork, vfork, spawn, wait in all its forms, orphans, groups, scripts. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "guests/programs/test_check.h"

extern char **environ;

static void test_memory(void)
{
	enum { CHILDREN = 50, BYTES = 400000 };
	char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *own = malloc(BYTES);
	memset(own, 7, BYTES);
	for (int i = 0; i < CHILDREN; i++) {
		int status, same = 1;
		pid_t pid = fork();
		if (!pid) {
			for (int at = 0; at < BYTES; at++)
				same &= own[at] == 7;
			memset(own, i, BYTES);
			shared[i] = (char)same;
			_exit(i);
		}
		EQ(waitpid(pid, &status, 0), pid);
		EQ(status, i << 8);
		EQ(shared[i], 1);
	}
	int same = 1;
	for (int at = 0; at < BYTES; at++)
		same &= own[at] == 7;
	EQ(same, 1);
	free(own);
	munmap(shared, 4096);
}

static void test_vfork(void)
{
	int status;
	volatile int seen = 0;
	pid_t pid = vfork();
	if (!pid) {
		seen = 1; /* the parent's memory, while it waits */
		_exit(4);
	}
	EQ(seen, 1);
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 4 << 8);
}

static void test_spawn(char *self)
{
	int status;
	pid_t pid;
	char *arguments[] = { self, "child", NULL };
	EQ(posix_spawn(&pid, self, NULL, NULL, arguments, environ), 0);
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 11 << 8);
	EQ(posix_spawn(&pid, "/none", NULL, NULL, arguments, environ), ENOENT);
	EQ(posix_spawn(&pid, "/tmp", NULL, NULL, arguments, environ), EACCES);
}

static void test_wait(void)
{
	int status;
	siginfo_t information;
	FAILS(wait(&status), ECHILD);
	pid_t pid = fork();
	if (!pid) {
		pause_ms(30);
		_exit(9);
	}
	EQ(waitpid(pid, &status, WNOHANG), 0);
	EQ(waitid(P_PID, (id_t)pid, &information, WEXITED | WNOWAIT), 0);
	EQ(information.si_code, CLD_EXITED);
	EQ(information.si_status, 9);
	EQ(information.si_pid, pid);
	EQ(waitid(P_ALL, 0, &information, WEXITED), 0);
	EQ(information.si_pid, pid);
	FAILS(waitid(P_PID, (id_t)pid, &information, WEXITED), ECHILD);
	FAILS(waitpid(pid, &status, 0x10), EINVAL);
	signal(SIGCHLD, SIG_IGN); /* children vanish */
	pid = fork();
	if (!pid)
		_exit(0);
	FAILS(waitpid(pid, &status, 0), ECHILD);
	signal(SIGCHLD, SIG_DFL);
}

/* Many at once, reaped in any order. */
static void test_many(void)
{
	enum { CHILDREN = 64 };
	int sum = 0, status;
	for (int i = 0; i < CHILDREN; i++)
		if (!fork())
			_exit(i);
	for (int i = 0; i < CHILDREN; i++) {
		EQ(wait(&status) > 0, 1);
		sum += WEXITSTATUS(status);
	}
	EQ(sum, CHILDREN * (CHILDREN - 1) / 2);
}

/* An orphan goes to the first process, its death signal comes. */
static void test_orphan(void)
{
	int ends[2];
	pid_t seen[2], first = getpid();
	EQ(pipe(ends), 0);
	pid_t pid = fork();
	if (!pid) {
		if (!fork()) {
			pause_ms(20);
			seen[0] = getppid();
			seen[1] = getpid();
			_exit(write(ends[1], seen, sizeof(seen)) != sizeof(seen));
		}
		_exit(0);
	}
	EQ(waitpid(pid, NULL, 0), pid);
	EQ(read(ends[0], seen, sizeof(seen)), sizeof(seen));
	if (first == 1) {
		EQ(seen[0], 1);
		EQ(waitpid(seen[1], NULL, 0), seen[1]);
	}
	pid = fork();
	if (!pid) {
		pid_t child = fork();
		if (!child) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			seen[0] = write(ends[1], "r", 1) == 1;
			for (;;)
				pause();
		}
		char byte;
		_exit(read(ends[0], &byte, 1) != 1);
	}
	EQ(waitpid(pid, NULL, 0), pid);
	close(ends[1]);
	char byte;
	EQ(read(ends[0], &byte, 1), 0); /* the last writer is gone */
	close(ends[0]);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static void test_groups(void)
{
	int status;
	pid_t first = fork();
	if (!first) {
		setpgid(0, 0);
		for (;;)
			pause();
	}
	setpgid(first, first);
	pid_t second = fork();
	if (!second) {
		setpgid(0, first);
		for (;;)
			pause();
	}
	setpgid(second, first);
	EQ(getpgid(second), first);
	EQ(kill(-first, SIGTERM), 0);
	EQ(waitpid(-first, &status, 0) > 0, 1);
	EQ(WTERMSIG(status), SIGTERM);
	EQ(waitpid(-first, &status, 0) > 0, 1);
	FAILS(kill(-first, 0), ESRCH);
	pid_t pid = fork();
	if (!pid)
		_exit(setsid() == getpid() && getsid(0) == getpid() ? 0 : 1);
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 0);
}

static void test_script(char *self)
{
	char text[256];
	int status, file = open("/tmp/script", O_WRONLY | O_CREAT | O_TRUNC, 0755);
	int length = snprintf(text, sizeof(text), "#! %s script\n", self);
	EQ(write(file, text, (size_t)length), length);
	close(file);
	pid_t pid = fork();
	if (!pid) {
		execl("/tmp/script", "ignored", "extra", NULL);
		_exit(99);
	}
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 12 << 8);
	file = open("/tmp/empty", O_WRONLY | O_CREAT | O_TRUNC, 0755);
	close(file);
	FAILS(execl("/tmp/empty", "x", NULL), ENOEXEC);
	chmod("/tmp/empty", 0644);
	FAILS(execl("/tmp/empty", "x", NULL), EACCES);
	unlink("/tmp/script");
	unlink("/tmp/empty");
}

/* Arguments up to the limit arrive; beyond it execve says so. */
static void test_limits(char *self)
{
	enum { COUNT = 4000, LENGTH = 200 };
	static char text[LENGTH + 1];
	char **arguments = calloc(COUNT * 10, sizeof(char *));
	int status;
	memset(text, 'a', LENGTH);
	for (int i = 0; i < COUNT; i++)
		arguments[i] = text;
	arguments[0] = self;
	arguments[1] = "count";
	pid_t pid = fork();
	if (!pid) {
		execv(self, arguments);
		_exit(99);
	}
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, (COUNT % 251) << 8);
	for (int i = COUNT; i < COUNT * 10 - 1; i++)
		arguments[i] = text;
	FAILS(execv(self, arguments), E2BIG);
	free(arguments);
}

/* Children that wait are made until no more can be; returns how many, and the errno in `error`. */
static int fork_until_refused(int at_most, int *error)
{
	int children = 0, ends[2];
	if (pipe(ends))
		return -1;
	*error = 0;
	while (children < at_most) {
		pid_t pid = fork();
		if (pid < 0) {
			*error = errno;
			break;
		}
		if (!pid) {
			char byte;
			close(ends[1]);
			_exit(read(ends[0], &byte, 1) != 0);
		}
		children++;
	}
	close(ends[0]);
	close(ends[1]); /* lets them go */
	for (int i = 0; i < children; i++)
		EQ(wait(NULL) > 0, 1);
	return children;
}

static void test_bomb(void)
{
	enum { ALLOWED = 20, UNUSUAL_USER = 54321 };
	int status, error;
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		failures = 0;
		struct rlimit limit = { ALLOWED, ALLOWED };
		EQ(setrlimit(RLIMIT_NPROC, &limit), 0);
		if (!geteuid()) {
			EQ(fork_until_refused(ALLOWED + 5, &error), ALLOWED + 5); /* root */
			EQ(setresuid(UNUSUAL_USER, UNUSUAL_USER, UNUSUAL_USER), 0);
			EQ(fork_until_refused(ALLOWED + 5, &error), ALLOWED - 1);
			EQ(error, EAGAIN);
			EQ(fork_until_refused(ALLOWED + 5, &error), ALLOWED - 1); /* once more */
		}
		fflush(stdout);
		_exit(failures != 0);
	}
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 0);
}

static void test_privileges(void)
{
	int status;
	pid_t pid = fork();
	if (!pid) {
		int before = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
		int set = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (!fork())
			_exit(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
		wait(&status);
		_exit(before << 2 | (set != 0) << 1 | (status != 1 << 8));
	}
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 0);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "child"))
		return 11;
	if (argc > 1 && !strcmp(argv[1], "count"))
		return argc % 251;
	if (argc > 1 && !strcmp(argv[1], "script"))
		return argc == 4 && !strcmp(argv[2], "/tmp/script") && !strcmp(argv[3], "extra")
		               ? 12
		               : 13;
	begin();
	test_wait();
	test_memory();
	test_vfork();
	test_spawn(argv[0]);
	test_many();
	test_orphan();
	test_groups();
	test_script(argv[0]);
	test_limits(argv[0]);
	test_privileges();
	test_bomb();
	return end("test_fork");
}
