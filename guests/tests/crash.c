/* crash segv|abort|ill|stack: ends in the way asked for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile int endless = 1;

static int deeper(volatile char *above)
{
	volatile char room[4096];

	room[0] = above[0];
	return endless ? deeper(room) + room[0] : 0;
}

int main(int argc, char **argv)
{
	int *volatile unmapped = (int *)8;
	const char *how = argc > 1 ? argv[1] : "segv";

	if (strcmp(how, "segv") == 0)
		*unmapped = 1;
	else if (strcmp(how, "abort") == 0)
		abort();
	else if (strcmp(how, "ill") == 0)
		__asm__ volatile(".word 0");
	else if (strcmp(how, "stack") == 0)
		return deeper((volatile char[]){ 1, 2 });
	fprintf(stderr, "crash: still here after %s\n", how);
	return 0;
}
