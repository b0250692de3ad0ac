/*
 * Random system calls with arguments that are half right: fuzz_calls SEED CALLS. Children make
 * them, so that whatever one breaks is its own; the kernel must stay sound, which the parent checks
 * after each child: memory is given back, a fork and a file still work.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>

#include "guests/programs/test_check.h"

#define CALLS_PER_CHILD 400
#define HIGHEST_CALL    460

static uint64_t state;
static char *area; /* readable and writable, a read-only page and an inaccessible one at its end */
#define AREA_BYTES 65536

static uint64_t random_number(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static uint64_t below(uint64_t bound)
{
	return random_number() % bound;
}

/* Calls that end the machine or the test itself, or wait by design. */
static int is_left_out(long number)
{
	static const long list[] = { SYS_exit,
		                     SYS_exit_group,
		                     SYS_reboot,
		                     SYS_rt_sigsuspend,
		                     SYS_rt_sigreturn,
		                     SYS_vhangup,
		                     SYS_kill,
		                     SYS_tkill,
		                     SYS_tgkill,
		                     SYS_rt_sigqueueinfo,
		                     SYS_setpgid,
		                     SYS_setsid,
		                     SYS_clock_settime,
		                     SYS_settimeofday,
		                     SYS_pidfd_send_signal };
	for (unsigned i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (list[i] == number)
			return 1;
	return 0;
}

static uint64_t argument(void)
{
	static const uint64_t odd[] = { 0,
		                        1,
		                        2,
		                        3,
		                        4,
		                        7,
		                        8,
		                        16,
		                        64,
		                        100,
		                        4095,
		                        4096,
		                        4097,
		                        65536,
		                        0x7fffffff,
		                        0x80000000,
		                        0xffffffff,
		                        0x100000000,
		                        0x3ffffff000,
		                        0x4000000000,
		                        1ull << 62,
		                        1ull << 63,
		                        UINT64_MAX,
		                        UINT64_MAX - 4095,
		                        0xffffffc000000000,
		                        0xffffffff80000000 };
	switch (below(8)) {
	case 0:
		return odd[below(sizeof(odd) / sizeof(odd[0]))];
	case 1:
		return below(12); /* descriptors, small flags */
	case 2:
		return (uint64_t)-1 - below(200);
	case 3:
		return (uint64_t)1 << below(64);
	case 4:
		return (uintptr_t)area + AREA_BYTES - below(64); /* at the border */
	case 5:
		return random_number();
	default:
		return (uintptr_t)area + (below(AREA_BYTES) & ~7ull);
	}
}

static void fill_area(void)
{
	static const char *const paths[] = { "/tmp/f",    "/",      "/proc/self/maps",
		                             "/dev/null", "/bin/x", "tmp/../tmp/g",
		                             "" };
	uint64_t *words = (uint64_t *)area;
	for (unsigned i = 0; i < AREA_BYTES / 8; i += 1 + (unsigned)below(4))
		words[i] = argument();
	for (int i = 0; i < 64; i++)
		strcpy(area + (below(AREA_BYTES - 64) & ~7ull), paths[below(7)]);
}

/* What makes a call return that would wait for ever. */
static void limit_child(void)
{
	struct rlimit memory = { 256 << 20, 256 << 20 }, processes = { 100, 100 };
	setrlimit(RLIMIT_AS, &memory);
	setrlimit(RLIMIT_NPROC, &processes);
	signal(SIGALRM, SIG_DFL);
	alarm(2);
}

static void child(uint64_t seed)
{
	int ends[2];
	state = seed;
	limit_child();
	int null = open("/dev/null", O_RDWR);
	for (int i = 0; i < 3; i++)
		dup2(null, i);
	if (pipe(ends) || open("/tmp/fuzz", O_RDWR | O_CREAT, 0600) < 0)
		_exit(3);
	for (int i = 0; i < CALLS_PER_CHILD; i++) {
		long number = (long)below(HIGHEST_CALL);
		if (is_left_out(number))
			continue;
		if (i % 16 == 0)
			fill_area();
		if (number == SYS_clone ||
		    number == SYS_clone3) { /* only as a fork, or never valid */
			if (!syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0))
				_exit(0);
			continue;
		}
		syscall(number, argument(), argument(), argument(), argument(), argument(),
		        argument());
	}
	_exit(0);
}

static unsigned long free_memory(void)
{
	struct sysinfo information;
	sysinfo(&information);
	return information.freeram;
}

int main(int argc, char **argv)
{
	begin();
	alarm(0);
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	long calls = argc > 2 ? strtol(argv[2], NULL, 0) : 100000;
	area = mmap(NULL, AREA_BYTES + 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	            -1, 0);
	mprotect(area + AREA_BYTES, 4096, PROT_READ);
	mprotect(area + AREA_BYTES + 4096, 4096, PROT_NONE);
	unsigned long before = 0;
	for (long done = 0; done < calls; done += CALLS_PER_CHILD) {
		uint64_t own = (seed + (uint64_t)done) * 0x9e3779b97f4a7c15ull | 1;
		int status;
		pid_t pid = fork();
		if (!pid)
			child(own);
		EQ(pid > 0, 1);
		EQ(waitpid(pid, &status, 0), pid);
		while (waitpid(-1, &status, WNOHANG) > 0)
			;
		if (done == 4 * CALLS_PER_CHILD)
			before = free_memory();
	}
	pause_ms(50);
	unsigned long after = free_memory();
	if (before > after + (4 << 20)) {
		printf("memory: %lu KiB free before, %lu after\n", before >> 10, after >> 10);
		failures++;
	}
	return end("fuzz_calls");
}
