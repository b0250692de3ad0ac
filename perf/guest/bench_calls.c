/* System calls that never wait, and page faults. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

#define FILE_PATH     "/tmp/bench.data"
#define FILE_BYTES    (64 * 1024)
#define READ_BYTES    4096
#define MAPPING_BYTES (64 * 1024)
#define FAULT_BYTES   (4 << 20)
#define PAGE          4096

static char block[FILE_BYTES];

/* The file that is opened and read, made at the first use. */
static int data_file(void)
{
	static int descriptor = -1;
	if (descriptor >= 0)
		return descriptor;
	int made = open(FILE_PATH, O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (made >= 0 && write(made, block, FILE_BYTES) == FILE_BYTES)
		descriptor = made;
	return descriptor;
}

const char *measure_getppid(uint64_t argument, uint64_t operations, struct result *result)
{
	(void)argument;
	uint64_t start = now_ns();
	for (uint64_t i = 0; i < operations; i++)
		syscall(SYS_getppid);
	result->nanoseconds = now_ns() - start;
	return NULL;
}

const char *measure_clock(uint64_t argument, uint64_t operations, struct result *result)
{
	struct timespec now;
	(void)argument;
	uint64_t start = now_ns();
	for (uint64_t i = 0; i < operations; i++)
		clock_gettime(CLOCK_MONOTONIC, &now);
	result->nanoseconds = now_ns() - start;
	return NULL;
}

const char *measure_open_close(uint64_t argument, uint64_t operations, struct result *result)
{
	(void)argument;
	if (data_file() < 0)
		return "no file can be made in /tmp";
	uint64_t start = now_ns();
	for (uint64_t i = 0; i < operations; i++) {
		int descriptor = open(FILE_PATH, O_RDONLY);
		if (descriptor < 0)
			return "open failed";
		close(descriptor);
	}
	result->nanoseconds = now_ns() - start;
	return NULL;
}

const char *measure_fstat(uint64_t argument, uint64_t operations, struct result *result)
{
	struct stat status = { 0 };
	int descriptor = data_file();
	(void)argument;
	if (descriptor < 0)
		return "no file can be made in /tmp";
	uint64_t start = now_ns();
	for (uint64_t i = 0; i < operations; i++)
		fstat(descriptor, &status);
	result->nanoseconds = now_ns() - start;
	return status.st_size == FILE_BYTES ? NULL : "fstat tells the wrong size";
}

const char *measure_read(uint64_t argument, uint64_t operations, struct result *result)
{
	int descriptor = data_file();
	(void)argument;
	if (descriptor < 0)
		return "no file can be made in /tmp";
	uint64_t start = now_ns();
	for (uint64_t i = 0; i < operations; i++) {
		off_t at = (off_t)(i * READ_BYTES % FILE_BYTES);
		if (pread(descriptor, block, READ_BYTES, at) != READ_BYTES)
			return "pread failed";
	}
	result->nanoseconds = now_ns() - start;
	return NULL;
}

const char *measure_mmap(uint64_t argument, uint64_t operations, struct result *result)
{
	(void)argument;
	uint64_t start = now_ns();
	for (uint64_t i = 0; i < operations; i++) {
		void *at = mmap(NULL, MAPPING_BYTES, PROT_READ | PROT_WRITE,
		                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (at == MAP_FAILED || munmap(at, MAPPING_BYTES) != 0)
			return "mmap failed";
	}
	result->nanoseconds = now_ns() - start;
	return NULL;
}

/* Writes to each page of fresh memory once. The mmap and munmap of 1024 pages at a time are
 * counted with them. Huge pages are refused: single faults are what is measured. */
const char *measure_fault(uint64_t argument, uint64_t operations, struct result *result)
{
	(void)argument;
	uint64_t start = now_ns();
	for (uint64_t left = operations; left > 0;) {
		uint64_t pages = left < FAULT_BYTES / PAGE ? left : FAULT_BYTES / PAGE;
		volatile char *at = mmap(NULL, FAULT_BYTES, PROT_READ | PROT_WRITE,
		                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (at == MAP_FAILED)
			return "mmap failed";
		madvise((void *)at, FAULT_BYTES, MADV_NOHUGEPAGE);
		for (uint64_t page = 0; page < pages; page++)
			at[page * PAGE] = 1;
		munmap((void *)at, FAULT_BYTES);
		left -= pages;
	}
	result->nanoseconds = now_ns() - start;
	return NULL;
}
