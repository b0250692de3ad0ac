/* The checks of the host tests: a failed one prints where and what, and the test's exit code is 1. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: CHECK failed: %s\n", __FILE__, __LINE__,           \
			        #condition);                                                       \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

#define CHECK_EQ(actual, expected)                                                                 \
	do {                                                                                       \
		long long check_a = (long long)(actual), check_e = (long long)(expected);          \
		if (check_a != check_e) {                                                          \
			fprintf(stderr, "%s:%d: %s is %lld, expected %lld (%s)\n", __FILE__,       \
			        __LINE__, #actual, check_a, check_e, #expected);                   \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)
