/* Time: the `time` CSR scaled to nanoseconds since boot (monotonic), and the wall clock's offset to
 * it. */
#pragma once

#include <stdint.h>

struct clock_parameters { /* ns = ((time - base_ticks) * multiplier) >> shift, a 128-bit product (64
	                     bits suffice when shift is 0); the vDSO too */
	uint64_t multiplier;
	uint32_t shift;
	uint64_t timebase_hz;
	uint64_t base_ticks;     /* `time` at boot: ns counts from there */
	uint64_t wall_offset_ns; /* realtime = monotonic + this (goldfish RTC at boot,
	                            clock_settime) */
};
extern struct clock_parameters clock_parameters;

uint64_t clock_read_ns(void); /* monotonic, since boot */
static inline uint64_t clock_wall_ns(void)
{
	return clock_read_ns() + clock_parameters.wall_offset_ns;
}
void clock_set_wall_ns(uint64_t since_1970_ns);
