/* Limits of an address space: how many mappings, and how much one of them may promise. */
#define _GNU_SOURCE
#include "conform.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define PAGE     4096ul
#define MAPPINGS 65530 /* vm.max_map_count */
#define GIB      (1ul << 30)

static char *map(size_t bytes, int protection, int flags)
{
	return mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

static void observe_map(const char *label, const char *at)
{
	observe(label, at == MAP_FAILED ? -1 : 0);
}

/* The lines of /proc/self/maps. */
static long mappings(void)
{
	static char text[65536];
	long lines = 0;
	int fd = (int)must("maps", open("/proc/self/maps", O_RDONLY));
	for (ssize_t n; (n = read(fd, text, sizeof(text))) > 0;) {
		for (ssize_t i = 0; i < n; i++)
			lines += text[i] == '\n';
	}
	close(fd);
	return lines;
}

CASE_SECONDS(mappings_most, 40)
{
	mappings(); /* its buffer is there */
	char *large = map(2ul * MAPPINGS * PAGE, PROT_NONE, MAP_NORESERVE);
	observe_map("large", large);
	char *spare = map(3 * PAGE, PROT_READ, 0), *own = map(PAGE, PROT_READ | PROT_WRITE, 0);
	unsigned long at = 1;
	while (at < 2ul * MAPPINGS && mprotect(large + at * PAGE, PAGE, PROT_READ) == 0)
		at += 2;
	observe("protect", mprotect(large + at * PAGE, PAGE, PROT_READ));
	observe("mappings", mappings());
	observe("protect-without-split", mprotect(large + PAGE, PAGE, PROT_NONE));
	observe("protect-again", mprotect(large + PAGE, PAGE, PROT_READ));
	observe("hole", munmap(spare + PAGE, PAGE));
	char *more = map(PAGE, PROT_READ | PROT_EXEC, 0), *beyond = map(PAGE, PROT_EXEC, 0);
	observe_map("one-more", more);
	observe_map("beyond", beyond);
	observe("hole", munmap(spare + PAGE, PAGE));
	observe("whole", munmap(more, PAGE));
	memset(own, 'x', PAGE);
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0)
		_exit(own[5] == 'x' ? 7 : 8);
	int status = 0;
	waitpid(pid, &status, 0);
	observe("child", WEXITSTATUS(status));
	observe("all", munmap(large, 2ul * MAPPINGS * PAGE));
	observe("few", mappings() < 40);
	observe("hole", munmap(spare + PAGE, PAGE));
}

static void set_overcommit(const char *how)
{
	int fd = (int)must("overcommit", open("/proc/sys/vm/overcommit_memory", O_WRONLY));
	must("write", write(fd, how, 1));
	close(fd);
}

/* The machine has 256 MiB, and Linux's heuristic for once. */
CASE(mapping_larger_than_memory)
{
	set_overcommit("0");
	observe_map("written", map(GIB, PROT_READ | PROT_WRITE, 0));
	observe_map("shared",
	            mmap(NULL, GIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	observe_map("no-reserve", map(GIB, PROT_READ | PROT_WRITE, MAP_NORESERVE));
	observe_map("read", map(GIB, PROT_READ, 0));
	char *none = map(GIB, PROT_NONE, 0);
	observe_map("none", none);
	observe("protect", mprotect(none, GIB, PROT_READ | PROT_WRITE));
	observe("protect-a-part", mprotect(none, PAGE, PROT_READ | PROT_WRITE));
	char *small = map(PAGE, PROT_READ | PROT_WRITE, 0);
	observe_map("remap", mremap(small, PAGE, GIB, MREMAP_MAYMOVE));
	observe("zero", mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
	                        ? -1
	                        : 0);
	observe_map("all-addresses", map(~0ul - PAGE, PROT_NONE, MAP_NORESERVE));
	observe_map("half-of-all", map(1ul << 62, PROT_NONE, MAP_NORESERVE));
	set_overcommit("1");
}
