/* Anonymous and file mappings, protection, brk, madvise, and what must fail. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guests/tests/check.h"

#define PAGE 4096ul
#define MIB  (1ul << 20)

static sigjmp_buf escape;
static siginfo_t last_fault;

static void on_fault(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	last_fault = *info;
	siglongjmp(escape, 1);
}

/* Whether a store to the address faults. */
static int store_faults(volatile char *address)
{
	if (sigsetjmp(escape, 1))
		return 1;
	*address = 1;
	return 0;
}

static int load_faults(volatile char *address)
{
	if (sigsetjmp(escape, 1))
		return 1;
	(void)*address;
	return 0;
}

static void test_anonymous(void)
{
	char *area =
	        mmap(NULL, 16 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(area != MAP_FAILED);
	for (size_t i = 0; i < 16 * MIB; i += PAGE)
		CHECK(area[i] == 0);
	for (size_t i = 0; i < 16 * MIB; i += PAGE)
		area[i] = (char)(i / PAGE);
	for (size_t i = 0; i < 16 * MIB; i += PAGE)
		CHECK(area[i] == (char)(i / PAGE));
	CHECK(madvise(area, 8 * MIB, MADV_DONTNEED) == 0);
	CHECK(area[PAGE] == 0 && area[8 * MIB + PAGE] == (char)(8 * MIB / PAGE + 1));
	CHECK(munmap(area + 4 * MIB, 4 * MIB) == 0);
	CHECK(store_faults(area + 5 * MIB) && last_fault.si_signo == SIGSEGV &&
	      last_fault.si_code == SEGV_MAPERR);
	CHECK(last_fault.si_addr == area + 5 * MIB);
	CHECK(!store_faults(area + 9 * MIB));
	CHECK(munmap(area, 16 * MIB) == 0);
}

static void test_protection(void)
{
	char *area =
	        mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(area != MAP_FAILED);
	CHECK(load_faults(area) && last_fault.si_code == SEGV_ACCERR);
	CHECK(mprotect(area + PAGE, PAGE, PROT_READ | PROT_WRITE) == 0);
	CHECK(!store_faults(area + PAGE) && store_faults(area) && store_faults(area + 2 * PAGE));
	CHECK(mprotect(area + PAGE, PAGE, PROT_READ) == 0);
	CHECK(!load_faults(area + PAGE) && area[PAGE] == 1 && store_faults(area + PAGE));
	CHECK_FAILS(mprotect(area + 1, PAGE, PROT_READ), EINVAL);
	CHECK(munmap(area, 4 * PAGE) == 0);
	CHECK_FAILS(mprotect(area, PAGE, PROT_READ), ENOMEM);
}

static void test_code(void)
{
	uint32_t code[] = { 0x02a00513, 0x00008067 }; /* li a0, 42; ret */
	void *area = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int (*function)(void);

	memcpy(area, code, sizeof code);
	CHECK(mprotect(area, PAGE, PROT_READ | PROT_EXEC) == 0);
	__builtin___clear_cache((char *)area, (char *)area + sizeof code);
	memcpy(&function, &area, sizeof function);
	CHECK(function() == 42);
	CHECK(munmap(area, PAGE) == 0);
}

static void test_brk(void)
{
	char *start = sbrk(0);

	CHECK(sbrk(3 * (intptr_t)MIB) == start);
	memset(start, 7, 3 * MIB);
	CHECK(start[3 * MIB - 1] == 7);
	CHECK(sbrk(-3 * (intptr_t)MIB) == start + 3 * MIB);
	CHECK(sbrk(0) == start);
}

static void test_file(void)
{
	char path[] = "/tmp/memory.XXXXXX", text[] = "mapped from a file";
	int fd = mkstemp(path);
	char *private, *shared;

	CHECK(fd >= 0);
	CHECK(write(fd, text, sizeof text) == (ssize_t)sizeof text);
	CHECK(ftruncate(fd, 3 * (off_t)PAGE) == 0);
	shared = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(shared != MAP_FAILED && private != MAP_FAILED);
	CHECK(strcmp(shared, text) == 0 && strcmp(private, text) == 0);
	private[0] = 'M';
	CHECK(shared[0] == 'm');
	shared[2 * PAGE] = 'x';
	CHECK(pread(fd, text, 1, 2 * (off_t)PAGE) == 1 && text[0] == 'x');
	CHECK(munmap(shared, 3 * PAGE) == 0 && munmap(private, 3 * PAGE) == 0);
	CHECK(close(fd) == 0 && unlink(path) == 0);
	CHECK_FAILS(open(path, O_RDONLY), ENOENT);
}

static void test_bad_arguments(void)
{
	char *volatile unmapped =
	        (char *)8; /* volatile: the compiler knows that it can't be read */

	CHECK_FAILS(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EINVAL);
	CHECK_FAILS(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 77, 0), EBADF);
	CHECK_FAILS(
	        mmap((void *)1, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
	        EINVAL);
	CHECK_FAILS(munmap((void *)1, PAGE), EINVAL);
	CHECK_FAILS(write(1, unmapped, 16), EFAULT);
	CHECK_FAILS(mmap(NULL, 1ul << 60, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
	test_anonymous();
	test_protection();
	test_code();
	test_brk();
	test_file();
	test_bad_arguments();
	puts("memory: all checks hold");
	return 0;
}
