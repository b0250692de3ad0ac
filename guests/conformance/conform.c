/* Runs the cases and forms their lines: see conform.h.
 *
 *     PROGRAM [--list] [--repeat N] [PATTERN...]
 *
 * Patterns are those of the shell, on the names of cases. With --repeat each case runs N times, and
 * a run whose line is not that of the first prints it too, behind `NAME (run K):`. */
#define _GNU_SOURCE
#include "conform.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define LINE_BYTES   65536
#define DIRECTORY    "/tmp/conform"
#define DESCRIPTORS  1024
#define STATUS_USAGE 2

/* The observations of the case that runs: shared with it, so that they survive whatever becomes of
 * it. */
struct line {
	size_t length;
	char text[LINE_BYTES];
};

static struct line *line;

extern const struct conform_case *const __start_conform_cases[];
extern const struct conform_case *const __stop_conform_cases[];

static void add(const char *format, va_list arguments)
{
	size_t room = sizeof(line->text) - line->length;
	int added = vsnprintf(line->text + line->length, room, format, arguments);
	if (added > 0)
		line->length += (size_t)added < room ? (size_t)added : room - 1;
}

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	add(format, arguments);
	va_end(arguments);
}

void observe_text(const char *label, const char *format, ...)
{
	int saved = errno;
	note(" %s=", label);
	va_list arguments;
	va_start(arguments, format);
	add(format, arguments);
	va_end(arguments);
	errno = saved;
}

static void limit(int resource, rlim_t soft)
{
	struct rlimit limits;
	if (getrlimit(resource, &limits) == 0) {
		limits.rlim_cur = soft;
		setrlimit(resource, &limits);
	}
}

/* In the case's process. */
static void run_case(const struct conform_case *it, const sigset_t *signals)
{
	setpgid(0, 0);
	limit(RLIMIT_NOFILE, DESCRIPTORS);
	limit(RLIMIT_CORE, 0);
	if (mkdir(DIRECTORY, 0777) != 0 || chdir(DIRECTORY) != 0)
		note(" no directory");
	sigprocmask(SIG_SETMASK, signals, NULL);
	it->run();
	_exit(0);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status, (void)type, (void)where;
	return remove(path);
}

/* Waits for the case's process until the time is over, which it tells. */
static int wait_for_case(pid_t pid, int seconds, int *status)
{
	sigset_t child;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	long end = now_ms() + seconds * 1000L;
	for (;;) {
		if (waitpid(pid, status, WNOHANG) == pid)
			return 1;
		long left = end - now_ms();
		if (left <= 0)
			return 0;
		struct timespec time = { left / 1000, left % 1000 * 1000000 };
		sigtimedwait(&child, NULL, &time);
	}
}

/* Kills what is left of the case's group; its orphans are this process's children. */
static void end_group(pid_t group)
{
	kill(-group, SIGKILL);
	while (waitpid(-group, NULL, 0) > 0 || errno == EINTR)
		;
}

static void execute(const struct conform_case *it, const sigset_t *signals)
{
	line->length = 0;
	line->text[0] = 0;
	pid_t pid = fork();
	if (pid == 0)
		run_case(it, signals);
	if (pid < 0) {
		note(" fork=-1 %s", strerrorname_np(errno));
		return;
	}
	setpgid(pid, pid);
	int status = 0;
	int ended = wait_for_case(pid, it->seconds, &status);
	end_group(pid);
	if (!ended)
		note(" TIMED OUT");
	else if (WIFSIGNALED(status))
		note(" KILLED BY SIG%s", sigabbrev_np(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != 0)
		note(" EXITED %d", WEXITSTATUS(status));
	nftw(DIRECTORY, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* In one write, so that nothing that the kernel prints comes between. */
static void print_line(const char *head)
{
	static char text[LINE_BYTES + 256];
	const char *cut = line->length == sizeof(line->text) - 1 ? " CUT" : "";
	int length = snprintf(text, sizeof(text), "%s:%s%s\n", head, line->text, cut);
	for (int done = 0; done < length;) {
		ssize_t written = write(STDOUT_FILENO, text + done, (size_t)(length - done));
		if (written <= 0)
			exit(1);
		done += (int)written;
	}
}

static void run_and_print(const struct conform_case *it, int repeat, const sigset_t *signals)
{
	static char first[LINE_BYTES];
	execute(it, signals);
	print_line(it->name);
	memcpy(first, line->text, line->length + 1);
	for (int run = 2; run <= repeat; run++) {
		execute(it, signals);
		if (strcmp(first, line->text) != 0) {
			char head[200];
			snprintf(head, sizeof(head), "%s (run %d)", it->name, run);
			print_line(head);
		}
	}
}

static int is_earlier(const void *left, const void *right)
{
	const struct conform_case *one = *(const struct conform_case *const *)left;
	const struct conform_case *other = *(const struct conform_case *const *)right;
	int files = strcmp(one->file, other->file);
	return files ? files : one->line - other->line;
}

static int is_chosen(const char *name, char **patterns)
{
	if (!*patterns)
		return 1;
	for (; *patterns; patterns++)
		if (fnmatch(*patterns, name, 0) == 0)
			return 1;
	return 0;
}

int main(int count, char **arguments)
{
	int repeat = 1, list = 0;
	char **rest = arguments + 1;
	for (; *rest && strncmp(*rest, "--", 2) == 0; rest++) {
		if (strcmp(*rest, "--list") == 0) {
			list = 1;
		} else if (strcmp(*rest, "--repeat") == 0 && rest[1] && atoi(rest[1]) > 0) {
			repeat = atoi(*++rest);
		} else {
			fprintf(stderr, "usage: %s [--list] [--repeat N] [PATTERN...]\n",
			        arguments[0]);
			return STATUS_USAGE;
		}
	}
	(void)count;
	size_t total = (size_t)(__stop_conform_cases - __start_conform_cases), chosen = 0;
	const struct conform_case **cases = calloc(total, sizeof(*cases));
	line = mmap(NULL, sizeof(*line), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!cases || line == MAP_FAILED) {
		perror(arguments[0]);
		return 1;
	}
	memcpy(cases, __start_conform_cases, total * sizeof(*cases));
	qsort(cases, total, sizeof(*cases), is_earlier);

	sigset_t child, signals;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &signals);
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* where this is not the first process */
	nftw(DIRECTORY, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	for (size_t i = 0; i < total; i++) {
		if (!is_chosen(cases[i]->name, rest))
			continue;
		chosen++;
		if (list)
			puts(cases[i]->name);
		else
			run_and_print(cases[i], repeat, &signals);
	}
	printf("%zu cases\n", chosen);
	return 0;
}
