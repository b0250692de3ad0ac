#include "core/clock.h"

#include "core/clock_setup.h"
#include "core/csr.h"
#include "core/io.h"
#include "core/sbi.h"
#include "core/cpu.h"

/* Of the multiplier, where a tick is not a whole number of nanoseconds. */
#define FRACTION_BITS 32

struct clock_parameters clock_parameters;
static uint64_t ticks_per_ns; /* a fraction: 64 binary places */

uint64_t clock_ticks_to_ns(uint64_t ticks)
{
	if (clock_parameters.shift == 0)
		return ticks * clock_parameters.multiplier;
	return (uint64_t)((unsigned __int128)ticks * clock_parameters.multiplier >> FRACTION_BITS);
}

/* floor(numerator * 2^64 / denominator) for numerator < denominator < 2^63. */
static uint64_t binary_fraction(uint64_t numerator, uint64_t denominator)
{
	uint64_t quotient = 0;
	for (unsigned bit = 0; bit < 64; bit++) {
		numerator *= 2;
		quotient = quotient << 1 | (numerator >= denominator);
		if (numerator >= denominator)
			numerator -= denominator;
	}
	return quotient;
}

void clock_setup(uint64_t timebase_hz, uint64_t base_ticks)
{
	clock_parameters.timebase_hz = timebase_hz;
	clock_parameters.base_ticks = base_ticks;
	if (1000000000 % timebase_hz == 0) {
		clock_parameters.multiplier = 1000000000 / timebase_hz;
		clock_parameters.shift = 0;
	} else {
		clock_parameters.shift = FRACTION_BITS;
		clock_parameters.multiplier = (1000000000ull << FRACTION_BITS) / timebase_hz;
	}
	ticks_per_ns = binary_fraction(timebase_hz, 1000000000);
}

uint64_t clock_read_ns(void)
{
	return clock_ticks_to_ns(csr_read(time) - clock_parameters.base_ticks);
}

void clock_set_wall_ns(uint64_t since_1970_ns)
{
	clock_parameters.wall_offset_ns = since_1970_ns - clock_read_ns();
}

/* Goldfish RTC: nanoseconds since 1970; reading TIME_LOW latches TIME_HIGH. */
#define GOLDFISH_TIME_LOW  0
#define GOLDFISH_TIME_HIGH 4

void clock_read_rtc(const void *rtc)
{
	uint64_t low = io_read32(rtc + GOLDFISH_TIME_LOW);
	uint64_t high = io_read32(rtc + GOLDFISH_TIME_HIGH);
	clock_set_wall_ns(high << 32 | low);
}

void clock_arm(uint64_t deadline_ns)
{
	uint64_t ticks = UINT64_MAX;
	if (deadline_ns != UINT64_MAX)
		ticks = clock_parameters.base_ticks + 1 +
		        (uint64_t)((unsigned __int128)deadline_ns * ticks_per_ns >> 64);
	if (cpu_has(CPU_SSTC))
		csr_write(0x14d, ticks); /* stimecmp (Sstc §2.1) */
	else
		sbi_set_timer(ticks);
}
