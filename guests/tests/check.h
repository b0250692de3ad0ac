/* For the self-tests that run inside the guest: a check that does not hold is named, and the
 * program exits with 1. */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			int error_ = errno;                                                        \
			printf("FAILED %s:%d: %s (errno %d, %s)\n", __FILE__, __LINE__,            \
			       #condition, error_, strerror(error_));                              \
			fflush(stdout);                                                            \
			_Exit(1);                                                                  \
		}                                                                                  \
	} while (0)

/* The call fails with exactly this errno. */
#define CHECK_FAILS(call, error)                                                                   \
	do {                                                                                       \
		errno = 0;                                                                         \
		CHECK((long)(call) == -1 && errno == (error));                                     \
	} while (0)
