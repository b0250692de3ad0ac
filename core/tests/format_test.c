/* format_string against the C library's snprintf, for everything that core/console.h promises. */
#include <limits.h>
#include <stdint.h>
#include <string.h>

#include "core/console.h"
#include "evloop/check.h"

#define COMPARE(...)                                                                               \
	do {                                                                                       \
		char ours[128], theirs[128];                                                       \
		int our_length = format_string(ours, sizeof ours, __VA_ARGS__);                    \
		int their_length = snprintf(theirs, sizeof theirs, __VA_ARGS__);                   \
		if (our_length != their_length || strcmp(ours, theirs) != 0) {                     \
			fprintf(stderr, "%s:%d: '%s' (%d) is not '%s' (%d)\n", __FILE__, __LINE__, \
			        ours, our_length, theirs, their_length);                           \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static void test_conversions(void)
{
	COMPARE("plain %% text");
	COMPARE("%d %i %d %d", 0, -1, INT_MAX, INT_MIN);
	COMPARE("%u %x %X", UINT_MAX, 0xdeadbeefu, 0xdeadbeefu);
	COMPARE("%ld %ld %lu %lx", LONG_MIN, LONG_MAX, ULONG_MAX, 0x123456789abcdeful);
	COMPARE("%llu %zu %lld", 1ull << 63, (size_t)42, -5ll);
	COMPARE("[%5d] [%-5d] [%05d] [%05d] [%2d]", 42, 42, 42, -42, 12345);
	COMPARE("[%016lx] [%8x] [%-8x]", 0xabcul, 0xabcu, 0xabcu);
	COMPARE("[%s] [%8s] [%-8s] [%.2s] [%8.3s] [%.*s]", "text", "text", "text", "text", "text",
	        3, "text");
	COMPARE("[%*d] [%*d]", 6, 42, -6, 42);
	COMPARE("%c%c[%3c][%-3c]", 'a', 'b', 'c', 'd');
	COMPARE("%p", (void *)0x1234);
	COMPARE("[%.3s]", (const char[]){ 'a', 'b', 'c' }); /* not terminated */
}

static void test_room(void)
{
	char out[8] = "unused!";
	CHECK_EQ(format_string(out, 4, "%d", 123456), 6);
	CHECK(strcmp(out, "123") == 0);
	CHECK_EQ(out[4], 'e');
	CHECK_EQ(format_string(out, 1, "abc"), 3);
	CHECK_EQ(out[0], '\0');
	CHECK_EQ(format_string(NULL, 0, "%s", "four"), 4);
	const char *volatile none = NULL;
	CHECK_EQ(format_string(out, sizeof out, "%s", none), 6);
	CHECK(strcmp(out, "(null)") == 0);
}

int main(void)
{
	test_conversions();
	test_room();
	return 0;
}
