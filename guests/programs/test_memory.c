/* Memory: mmap's flags, mremap, madvise, protections that keep contents, files, exhaustion. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "guests/programs/test_check.h"

#define PAGE 4096l
#define MIB  (1l << 20)

static char *map(long bytes, int protection, int flags)
{
	return mmap(NULL, (size_t)bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

static void test_placement(void)
{
	char *pages = map(4 * PAGE, PROT_READ | PROT_WRITE, 0);
	EQ(pages != MAP_FAILED, 1);
	FAILS(mmap(pages + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
	           -1, 0),
	      EEXIST);
	pages[0] = pages[3 * PAGE] = 1;
	EQ(munmap(pages + PAGE, 2 * PAGE), 0);
	EQ(pages[0] + pages[3 * PAGE], 2);
	/* A hint that is free is taken. */
	EQ(mmap(pages + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == pages + PAGE,
	   1);
	EQ(mmap(pages, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == pages,
	   1);
	EQ(pages[0], 0);
	EQ(munmap(pages, 4 * PAGE), 0);
	FAILS(map(0, PROT_READ, 0), EINVAL);
	FAILS(munmap(pages + 1, PAGE), EINVAL);
	FAILS(munmap(pages, 0), EINVAL);
	FAILS(map(1l << 60, PROT_READ, 0), ENOMEM);
	FAILS(map(1l << 37, PROT_READ | PROT_WRITE, 0), ENOMEM);
	char *large = map(1l << 37, PROT_NONE, MAP_NORESERVE);
	EQ(large != MAP_FAILED, 1);
	EQ(munmap(large, 1l << 37), 0);
	FAILS(mmap(NULL, PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0), EINVAL);
	FAILS(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 99, 0), EBADF);
}

/* Thousands of mappings in holes of one another. */
static void test_many(void)
{
	enum { COUNT = 3000 };
	static char *all[COUNT];
	int wrong = 0;
	for (int i = 0; i < COUNT; i++) {
		all[i] = map(PAGE * (1 + i % 7), i % 2 ? PROT_READ | PROT_WRITE : PROT_READ, 0);
		if (i % 2)
			all[i][0] = (char)i;
	}
	for (int i = 0; i < COUNT; i += 3)
		wrong += munmap(all[i], (size_t)(PAGE * (1 + i % 7))) != 0;
	for (int i = 0; i < COUNT; i++)
		if (i % 3 && i % 2)
			wrong += all[i][0] != (char)i;
	for (int i = 0; i < COUNT; i++)
		if (i % 3)
			wrong += munmap(all[i], (size_t)(PAGE * (1 + i % 7))) != 0;
	EQ(wrong, 0);
}

static void test_protection(void)
{
	char *pages = map(8 * PAGE, PROT_READ | PROT_WRITE, 0);
	memset(pages, 5, 8 * PAGE);
	EQ(mprotect(pages + 2 * PAGE, 3 * PAGE, PROT_NONE), 0);
	EQ(mprotect(pages + 2 * PAGE, 3 * PAGE, PROT_READ), 0);
	EQ(pages[2 * PAGE] + pages[5 * PAGE - 1], 10);
	EQ(mprotect(pages, 8 * PAGE, PROT_READ | PROT_WRITE), 0);
	pages[3 * PAGE] = 6;
	EQ(pages[3 * PAGE], 6);
	EQ(munmap(pages + 4 * PAGE, PAGE), 0);
	FAILS(mprotect(pages, 8 * PAGE, PROT_READ), ENOMEM);
	FAILS(mprotect(pages + 1, PAGE, PROT_READ), EINVAL);
	munmap(pages, 8 * PAGE);
}

static void test_remap(void)
{
	char *pages = map(64 * MIB, PROT_READ | PROT_WRITE, 0);
	memset(pages, 3, 8 * MIB);
	char *moved = mremap(pages, 64 * MIB, 128 * MIB, MREMAP_MAYMOVE);
	EQ(moved != MAP_FAILED, 1);
	EQ(moved[100] + moved[8 * MIB - 1] + moved[100 * MIB], 6);
	EQ(mremap(moved, 128 * MIB, MIB, 0) == moved, 1);
	EQ(moved[MIB - 1], 3);
	char *target = map(4 * MIB, PROT_NONE, 0);
	EQ(mremap(moved, MIB, MIB, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target, 1);
	EQ(target[MIB - 1], 3);
	FAILS(mremap(moved, MIB, MIB, MREMAP_MAYMOVE), EFAULT);
	FAILS(mremap(target, MIB, MIB, MREMAP_FIXED, moved), EINVAL);
	munmap(target, 4 * MIB);
}

static void test_advice(void)
{
	char *pages = map(16 * PAGE, PROT_READ | PROT_WRITE, 0);
	unsigned char resident[16];
	memset(pages, 1, 16 * PAGE);
	EQ(madvise(pages + 4 * PAGE, 4 * PAGE, MADV_DONTNEED), 0);
	EQ(pages[3 * PAGE] == 1 && pages[8 * PAGE] == 1, 1);
	EQ(mincore(pages, 16 * PAGE, resident), 0);
	EQ(resident[3] & 1, 1);
	EQ(resident[5] & 1, 0);
	EQ(pages[5 * PAGE], 0);
	FAILS(madvise(pages, 16 * PAGE, 99), EINVAL);
	EQ(madvise(pages, PAGE, MADV_WIPEONFORK), 0);
	int status;
	pid_t pid = fork();
	if (!pid)
		_exit(pages[0] == 0 && pages[2 * PAGE] == 1 ? 0 : 1);
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 0);
	EQ(pages[0], 1);
	EQ(mlock(pages, 16 * PAGE), 0);
	EQ(mincore(pages, 16 * PAGE, resident), 0);
	EQ(resident[5] & 1, 1);
	EQ(munlock(pages, 16 * PAGE), 0);
	munmap(pages, 16 * PAGE);
}

static void test_file(void)
{
	int file = open("/tmp/mapped", O_RDWR | O_CREAT | O_TRUNC, 0600);
	char text[8] = "";
	EQ(ftruncate(file, 3 * PAGE), 0);
	char *shared = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	char *own = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	strcpy(shared + PAGE, "one");
	EQ(strcmp(own + PAGE, "one"), 0);
	EQ(pread(file, text, 4, PAGE), 4);
	EQ(strcmp(text, "one"), 0);
	strcpy(own + PAGE, "two");
	EQ(strcmp(shared + PAGE, "one"), 0);
	EQ(pwrite(file, "six", 4, PAGE), 4);
	EQ(strcmp(shared + PAGE, "six"), 0);
	EQ(strcmp(own + PAGE, "two"), 0);
	pid_t pid = fork();
	if (!pid) {
		strcpy(shared + 2 * PAGE, "child");
		strcpy(own, "child");
		_exit(0);
	}
	EQ(waitpid(pid, NULL, 0), pid);
	EQ(strcmp(shared + 2 * PAGE, "child"), 0);
	EQ(own[0], 0);
	EQ(msync(shared, 3 * PAGE, MS_SYNC), 0);
	munmap(shared, 3 * PAGE);
	munmap(own, 3 * PAGE);
	close(file);
	file = open("/tmp/mapped", O_RDONLY);
	FAILS(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), EACCES);
	FAILS(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, file, 100), EINVAL);
	close(file);
	unlink("/tmp/mapped");
}

/* More than there is: the process that asks is killed, and the machine goes on. */
static void test_exhaustion(void)
{
	int status;
	pid_t pid = fork();
	if (!pid) {
		for (;;) {
			char *more = map(16 * MIB, PROT_READ | PROT_WRITE, 0);
			if (more == MAP_FAILED)
				_exit(1);
			memset(more, 1, 16 * MIB);
		}
	}
	EQ(waitpid(pid, &status, 0), pid);
	EQ(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, 1);
	char *pages = map(8 * MIB, PROT_READ | PROT_WRITE, 0);
	memset(pages, 1, 8 * MIB);
	munmap(pages, 8 * MIB);
}

/* Behind a program's data its last page reads as zero to the end: a dynamic loader takes memory
 * from there. */
static void test_program_end(void)
{
	extern char end_of_data[] __asm__("_end");
	int dirty = 0;
	for (const volatile char *at = end_of_data; (uintptr_t)at & 4095; at++)
		dirty += *at != 0;
	EQ(dirty, 0);
}

/* VmHWM is the most that was ever resident. */
static void test_peak(void)
{
	static char text[4096];
	char *pages = map(8 * MIB, PROT_READ | PROT_WRITE, 0);
	memset(pages, 1, 8 * MIB);
	munmap(pages, 8 * MIB);
	int file = open("/proc/self/status", O_RDONLY);
	ssize_t got = read(file, text, sizeof(text) - 1);
	close(file);
	const char *peak = got > 0 ? strstr(text, "VmHWM:") : NULL;
	const char *now = got > 0 ? strstr(text, "VmRSS:") : NULL;
	EQ(peak && now, 1);
	if (peak && now)
		EQ(strtol(peak + 6, NULL, 10) - strtol(now + 6, NULL, 10) >= 8 * 1024 - 64, 1);
}

int main(void)
{
	begin();
	test_program_end();
	test_peak();
	test_placement();
	test_many();
	test_protection();
	test_remap();
	test_advice();
	test_file();
	test_exhaustion();
	return end("test_memory");
}
