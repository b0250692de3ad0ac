/* What /proc says of the machine and of a process's memory that one can cause. */
#define _GNU_SOURCE
#include "conform.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

static long number_behind(const char *path, const char *word)
{
	static char text[65536];
	FILE *file = fopen(path, "r");
	must("fopen", file ? 0 : -1);
	text[fread(text, 1, sizeof(text) - 1, file)] = 0;
	fclose(file);
	const char *at = strstr(text, word);
	return at ? atol(at + strlen(word)) : -1;
}

CASE(forks_are_counted)
{
	long before = number_behind("/proc/stat", "\nprocesses ");
	for (int i = 0; i < 5; i++) {
		pid_t pid = (pid_t)must("fork", fork());
		if (pid == 0)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
	long made = number_behind("/proc/stat", "\nprocesses ") - before;
	observe_text("made", made >= 5 && made < 20 ? "five" : "other");
}

#define STATUS "/proc/self/status"
#define BYTES  (64 << 20)

CASE(peaks_of_memory)
{
	long before = number_behind(STATUS, "VmSize:");
	char *memory =
	        mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	observe("size", number_behind(STATUS, "VmSize:") - before);
	memset(memory, 1, 8 << 20);
	munmap(memory, BYTES);
	observe("size-after", number_behind(STATUS, "VmSize:") - before);
	observe("peak-after", number_behind(STATUS, "VmPeak:") - before);
	long resident = number_behind(STATUS, "VmHWM:") - number_behind(STATUS, "VmRSS:");
	observe_text("resident-peak", resident > 7 << 10 && resident < 9 << 10 ? "8M" : "other");
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		/* A child's peaks begin with what it is given. */
		observe("child-peak",
		        number_behind(STATUS, "VmPeak:") - number_behind(STATUS, "VmSize:"));
		observe("child-resident",
		        number_behind(STATUS, "VmHWM:") >= number_behind(STATUS, "VmRSS:"));
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}
