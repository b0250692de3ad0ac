#include "core/steal.h"

#include <stddef.h>

#include "core/sbi.h"

_Static_assert(sizeof(struct steal_record) == 64 && offsetof(struct steal_record, steal_ns) == 8 &&
                       offsetof(struct steal_record, preempted) == 16,
               "SBI 3.0 table 61");

void steal_start(struct steal *steal, const struct steal_record *record, uint64_t physical)
{
	if (!sbi_has(SBI_STA) || sbi_steal_time_record(physical).error != 0)
		return;
	steal->record = record;
	steal->first_ns = steal->record->steal_ns;
}

/* The record may change at any moment: its `total` was read once. */
static uint64_t stolen_of(const struct steal *steal, uint64_t total, uint64_t elapsed_ns)
{
	uint64_t stolen = total > steal->taken_ns ? total - steal->taken_ns : 0;
	return stolen < elapsed_ns ? stolen : elapsed_ns;
}

uint64_t steal_peek(const struct steal *steal, uint64_t elapsed_ns)
{
	return stolen_of(steal, steal_total_ns(steal), elapsed_ns);
}

uint64_t steal_take_some(struct steal *steal, uint64_t elapsed_ns)
{
	uint64_t total = steal_total_ns(steal);
	uint64_t stolen = stolen_of(steal, total, elapsed_ns);
	steal->taken_ns = total;
	return stolen;
}
