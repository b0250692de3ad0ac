/* The machine's side of the clock: what boot and the hart's loop need beyond core/clock.h. */
#pragma once

#include <stdint.h>

/* Nanoseconds count from `base_ticks` of the time CSR. */
void clock_setup(uint64_t timebase_hz, uint64_t base_ticks);
uint64_t clock_ticks_to_ns(uint64_t ticks); /* of the time CSR */
/* Set the wall clock from a goldfish RTC's registers. */
void clock_read_rtc(const void *rtc);
/* Interrupt this hart when clock_read_ns reaches the deadline; UINT64_MAX: never. Clears a pending
 * timer interrupt whose time has moved. */
void clock_arm(uint64_t deadline_ns);
