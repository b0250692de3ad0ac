/* fork, wait, exec, copy-on-write, orphaned descriptors, and the fates of children. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guests/tests/check.h"

static char page[4096 * 64];

static void test_exit_status(void)
{
	int status;
	pid_t child = fork();

	CHECK(child >= 0);
	if (child == 0)
		_exit(42);
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
	CHECK_FAILS(waitpid(child, &status, 0), ECHILD);
}

static void test_killed(void)
{
	int status;
	pid_t child = fork();

	if (child == 0)
		for (;;)
			pause();
	CHECK(waitpid(child, &status, WNOHANG) == 0);
	CHECK(kill(child, SIGTERM) == 0);
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static void test_copy_on_write(void)
{
	char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;

	CHECK(shared != MAP_FAILED);
	memset(page, 1, sizeof page);
	for (int i = 0; i < 8; i++) {
		pid_t child = fork();

		CHECK(child >= 0);
		if (child == 0) {
			memset(page, 2 + i, sizeof page);
			shared[i] = page[sizeof page - 1];
			_exit(page[12345] == 2 + i ? 0 : 1);
		}
		CHECK(waitpid(child, &status, 0) == child && status == 0);
	}
	for (size_t i = 0; i < sizeof page; i++)
		CHECK(page[i] == 1);
	for (int i = 0; i < 8; i++)
		CHECK(shared[i] == 2 + i);
}

static void test_exec(char *self)
{
	int status, ends[2];
	char text[64];
	pid_t child;
	ssize_t n;

	CHECK(pipe(ends) == 0);
	child = fork();
	if (child == 0) {
		char *arguments[] = { self, "child", "two words", NULL };
		char *environment[] = { "COLOUR=blue", NULL };

		dup2(ends[1], 1);
		close(ends[0]);
		close(ends[1]);
		execve(self, arguments, environment);
		_exit(99);
	}
	close(ends[1]);
	n = read(ends[0], text, sizeof text - 1);
	CHECK(n > 0);
	text[n] = 0;
	CHECK(strcmp(text, "two words blue\n") == 0);
	CHECK(read(ends[0], text, 1) == 0);
	CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
	close(ends[0]);
	CHECK_FAILS(execve("/nowhere", (char *[]){ "x", NULL }, NULL), ENOENT);
	CHECK_FAILS(execve("/etc/hosts", (char *[]){ "x", NULL }, NULL), EACCES);
}

static void test_many(void)
{
	int status, left = 0;

	for (int i = 0; i < 20; i++) {
		pid_t child = fork();

		CHECK(child >= 0);
		if (child == 0)
			_exit(i);
		left++;
	}
	for (int sum = 0; left > 0; left--) {
		CHECK(wait(&status) > 0 && WIFEXITED(status));
		sum += WEXITSTATUS(status);
		CHECK(left > 1 || sum == 190);
	}
	CHECK_FAILS(wait(&status), ECHILD);
}

/* More address spaces, one after another, than there are ASIDs in use at once: each sees its own
 * page. */
static void test_many_address_spaces(void)
{
	volatile int *private = (volatile int *)page;
	int status;

	for (int i = 0; i < 4500; i++) {
		pid_t child = fork();

		CHECK(child >= 0);
		if (child == 0) {
			*private = i & 127;
			_exit(*private);
		}
		*private = -i;
		CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == (i & 127));
		CHECK(*private == -i);
	}
}

int main(int argc, char **argv)
{
	if (argc == 3) {
		printf("%s %s\n", argv[2], getenv("COLOUR") ? getenv("COLOUR") : "none");
		return 7;
	}
	test_exit_status();
	test_killed();
	test_copy_on_write();
	test_exec(argv[0]);
	test_many();
	test_many_address_spaces();
	puts("processes: all checks hold");
	return 0;
}
