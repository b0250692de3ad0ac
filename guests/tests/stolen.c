/* Shares a hart with a rival on the host, and must see it: the time that the hypervisor gave to the
 * rival is stolen time, in /proc/stat, and nobody's computing time. */
#include <time.h>
#include <unistd.h>

#include "guests/tests/check.h"

#define NS_PER_SECOND 1000000000ull
#define NS_PER_TICK   (NS_PER_SECOND / 100)
#define WINDOW_NS     (2 * NS_PER_SECOND)
#define PATIENCE      60 /* windows until the rival is there */

static unsigned long long clock_ns(clockid_t clock)
{
	struct timespec now;
	CHECK(clock_gettime(clock, &now) == 0);
	return (unsigned long long)now.tv_sec * NS_PER_SECOND + (unsigned long long)now.tv_nsec;
}

static unsigned long long stolen_ns(void)
{
	unsigned long long user, system, idle, steal;
	FILE *file = fopen("/proc/stat", "r");
	CHECK(file);
	CHECK(fscanf(file, "cpu %llu 0 %llu %llu 0 0 0 %llu", &user, &system, &idle, &steal) == 4);
	fclose(file);
	return steal * NS_PER_TICK;
}

int main(void)
{
	for (unsigned window = 0; window < PATIENCE; window++) {
		unsigned long long stolen = stolen_ns(),
		                   computed = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
		unsigned long long start = clock_ns(CLOCK_MONOTONIC), elapsed;
		do
			elapsed = clock_ns(CLOCK_MONOTONIC) - start;
		while (elapsed < WINDOW_NS);
		computed = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - computed;
		stolen = stolen_ns() - stolen;
		printf("of %llu ms: %llu computed, %llu stolen\n", elapsed / 1000000,
		       computed / 1000000, stolen / 1000000);
		fflush(stdout);
		CHECK(computed <= elapsed + NS_PER_TICK);
		/* Between them they had all of it, but for what the kernel did. */
		CHECK(computed + stolen <= elapsed + elapsed / 50);
		CHECK(computed + stolen >= elapsed - elapsed / 5);
		if (stolen > elapsed / 5) {
			puts("stolen: all checks hold");
			return 0;
		}
	}
	puts("FAILED: nobody stole anything");
	return 1;
}
