/* Time that the hypervisor ran something else instead of this hart (SBI 3.0 §16, STA). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Written by the hypervisor, never by us; 64 bytes on a multiple of 64. */
struct steal_record {
	uint32_t sequence; /* odd while it is written */
	uint32_t flags;
	uint64_t steal_ns; /* since the hart was made */
	uint8_t preempted;
	uint8_t reserved[47];
} __attribute__((aligned(64)));

/* What a hart knows of it. All zero: nothing is ever stolen. */
struct steal {
	const volatile struct steal_record *record; /* NULL: there is none */
	uint64_t first_ns;                          /* in the record when it was registered */
	uint64_t taken_ns;                          /* up to where steal_take came */
};

/* For the calling hart; `record` is all zero, its physical address is `physical`. Nothing changes
 * when the firmware has or wants none. */
void steal_start(struct steal *steal, const struct steal_record *record, uint64_t physical);

/* Stolen from the hart since steal_start. On rv64 the one aligned load cannot be torn: the sequence
 * is for narrower machines. */
static inline uint64_t steal_total_ns(const struct steal *steal)
{
	return steal->record ? steal->record->steal_ns - steal->first_ns : 0;
}

/* What steal_take would return now. */
uint64_t steal_peek(const struct steal *steal, uint64_t elapsed_ns);
/* Of the last `elapsed_ns`: what was stolen since steal_take was called before. Never more than all
 * of them, whatever the record says. */
uint64_t steal_take_some(struct steal *steal, uint64_t elapsed_ns);
static inline uint64_t steal_take(struct steal *steal, uint64_t elapsed_ns)
{
	return __builtin_expect(steal->record != 0, 0) ? steal_take_some(steal, elapsed_ns) : 0;
}
