/* The checks of the guests' self-tests: one line per failed check, a summary, and the exit code. */
#pragma once

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static int checks, failures;
static volatile sig_atomic_t pipes;
static void *volatile bad_pointer = (void *)16; /* nothing is mapped there */

#define EQ(actual, expected)                                                                       \
	do {                                                                                       \
		long actual_ = (long)(actual), expected_ = (long)(expected);                       \
		checks++;                                                                          \
		if (actual_ != expected_) {                                                        \
			failures++;                                                                \
			printf("%s:%d: %s is %ld, expected %ld (errno %d)\n", __func__, __LINE__,  \
			       #actual, actual_, expected_, errno);                                \
		}                                                                                  \
	} while (0)
/* The call fails with this errno. */
#define FAILS(call, expected)                                                                      \
	do {                                                                                       \
		errno = 0;                                                                         \
		long result_ = (long)(call);                                                       \
		checks++;                                                                          \
		if (result_ != -1 || errno != (expected)) {                                        \
			failures++;                                                                \
			printf("%s:%d: %s is %ld, errno %d, expected errno %d\n", __func__,        \
			       __LINE__, #call, result_, errno, (expected));                       \
		}                                                                                  \
	} while (0)

static void on_pipe(int number)
{
	(void)number;
	pipes++;
}

static inline void pause_ms(int ms)
{
	struct timespec time = { ms / 1000, ms % 1000 * 1000000L };
	nanosleep(&time, NULL);
}

static inline int ready(int fd, int events, int timeout_ms)
{
	struct pollfd entry = { .fd = fd, .events = (short)events };
	return poll(&entry, 1, timeout_ms) == 1 ? entry.revents : 0;
}

static void begin(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct sigaction action = { .sa_handler = on_pipe };
	sigaction(SIGPIPE, &action, NULL);
	alarm(60);
}

static int end(const char *name)
{
	printf("%s: %d checks, %d failed\n", name, checks, failures);
	return failures != 0;
}
