/*
 * The vDSO (vdso(7)): what programs call instead of the kernel. Runs in user mode, linked as a
 * shared object of its own, position-independent without relocations. The clock is the `time` CSR,
 * which does not trap.
 */
#include "syscalls/process/vdso/data.h"

extern const struct vdso_data vdso_data __attribute__((visibility("hidden"))); /* vdso.lds */

struct timespec {
	int64_t seconds, nanoseconds;
};
struct timeval {
	int64_t seconds, microseconds;
};

enum {
	CLOCK_REALTIME,
	CLOCK_MONOTONIC,
	CLOCK_MONOTONIC_RAW = 4,
	CLOCK_REALTIME_COARSE,
	CLOCK_MONOTONIC_COARSE,
	CLOCK_BOOTTIME,
	CLOCK_TAI = 11
};
#define WALL_CLOCKS (1u << CLOCK_REALTIME | 1u << CLOCK_REALTIME_COARSE | 1u << CLOCK_TAI)
#define MONOTONIC_CLOCKS                                                                           \
	(1u << CLOCK_MONOTONIC | 1u << CLOCK_MONOTONIC_RAW | 1u << CLOCK_MONOTONIC_COARSE |        \
	 1u << CLOCK_BOOTTIME)
#define NANOSECONDS 1000000000ull

enum {
	CALL_CLOCK_GETTIME = 113,
	CALL_CLOCK_GETRES = 114,
	CALL_GETCPU = 168,
	CALL_HWPROBE = 258,
	CALL_FLUSH_ICACHE = 259
};

static inline long call(long number, long a, long b, long c, long d, long e)
{
	register long a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c,
	                 a3 __asm__("a3") = d, a4 __asm__("a4") = e, a7 __asm__("a7") = number;
	__asm__ volatile("ecall"
	                 : "+r"(a0)
	                 : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a7)
	                 : "memory");
	return a0;
}

static inline uint64_t read_ticks(void)
{
	uint64_t ticks;
	__asm__ volatile("rdtime %0" : "=r"(ticks));
	return ticks;
}

static inline uint64_t read_ns(int wall)
{
	const volatile struct vdso_data *data = &vdso_data;
	uint64_t now;
	uint32_t sequence;
	do {
		sequence = data->sequence;
		__asm__ volatile("fence r, r" ::: "memory");
		uint64_t ticks = read_ticks() - data->base_ticks;
		if (data->shift)
			now = (uint64_t)(((unsigned __int128)ticks * data->multiplier) >>
			                 data->shift);
		else
			now = ticks * data->multiplier;
		if (wall)
			now += data->wall_offset_ns;
		__asm__ volatile("fence r, r" ::: "memory");
	} while (__builtin_expect((sequence & 1) || sequence != data->sequence, 0));
	return now;
}

/*
 * now / NANOSECONDS, rounded down, by multiplication: a divide instruction is many times as slow.
 * 10^9 is 2^9 * 5^9. SECONDS_FACTOR * 5^9 exceeds 2^75 by 399807, and that times now >> 9, which is
 * below 2^55, is less than 2^75: the quotient is exact.
 */
#define SECONDS_FACTOR 0x44b82fa09b5a53ull

static inline uint64_t whole_seconds(uint64_t now)
{
	return (uint64_t)((unsigned __int128)(now >> 9) * SECONDS_FACTOR >> 75);
}

int __vdso_clock_gettime(int clock, struct timespec *out)
{
	uint32_t bit = (uint32_t)clock < 32 ? 1u << clock : 0;
	uint64_t now;
	if (bit & MONOTONIC_CLOCKS)
		now = read_ns(0);
	else if (bit & WALL_CLOCKS)
		now = read_ns(1);
	else
		return (int)call(CALL_CLOCK_GETTIME, clock, (long)out, 0, 0, 0);
	uint64_t seconds = whole_seconds(now);
	out->seconds = (int64_t)seconds;
	out->nanoseconds = (int64_t)(now - seconds * NANOSECONDS);
	return 0;
}

int __vdso_gettimeofday(struct timeval *out, void *zone)
{
	if (out) {
		uint64_t now = read_ns(1), seconds = whole_seconds(now);
		out->seconds = (int64_t)seconds;
		out->microseconds = (int64_t)((now - seconds * NANOSECONDS) / 1000);
	}
	if (zone) {
		((int *)zone)[0] = 0;
		((int *)zone)[1] = 0;
	}
	return 0;
}

int __vdso_clock_getres(int clock, struct timespec *out)
{
	uint32_t bit = (uint32_t)clock < 32 ? 1u << clock : 0;
	if (!(bit & (MONOTONIC_CLOCKS | WALL_CLOCKS)))
		return (int)call(CALL_CLOCK_GETRES, clock, (long)out, 0, 0, 0);
	if (out) {
		out->seconds = 0;
		out->nanoseconds = 1;
	}
	return 0;
}

int __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused)
{
	return (int)call(CALL_GETCPU, (long)cpu, (long)node, (long)unused, 0, 0);
}

int __vdso_flush_icache(void *start, void *end, unsigned long flags)
{
	return (int)call(CALL_FLUSH_ICACHE, (long)start, (long)end, (long)flags, 0, 0);
}

int __vdso_riscv_hwprobe(void *pairs, unsigned long count, unsigned long bytes, void *cpus,
                         unsigned flags)
{
	return (int)call(CALL_HWPROBE, (long)pairs, (long)count, (long)bytes, (long)cpus, flags);
}

/*
 * Where a signal handler returns to. Unwinders know the frame by these two instructions (li a7,
 * 139; ecall), and step over the nop before them because they look at the address before a return
 * address.
 */
__asm__(".text\n"
        "	.balign 4\n"
        "	.option push\n"
        "	.option norvc\n"
        "	nop\n"
        "	.globl __vdso_rt_sigreturn\n"
        "	.type __vdso_rt_sigreturn, @function\n"
        "__vdso_rt_sigreturn:\n"
        "	li a7, 139\n"
        "	ecall\n"
        "	.option pop\n"
        "	.size __vdso_rt_sigreturn, . - __vdso_rt_sigreturn\n");
