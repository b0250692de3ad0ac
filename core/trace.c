#include "core/trace.h"

#include "core/clock.h"
#include "core/console.h"
#include "core/csr.h"
#include "core/hart.h"
#include "core/memory.h"
#include "core/trace_setup.h"

#define RECORDS 4096 /* a power of two; 128 KiB per hart */

struct record {
	uint64_t time; /* ticks */
	uint64_t event;
	uint64_t a, b;
};

uint32_t trace_enabled;

static struct {
	struct record *records;
	uint64_t count; /* ever written */
} rings[HARTS_MAX];

static const char names[][10] = {
	[TRACE_TRAP] = "trap",
	[TRACE_SYSCALL] = "syscall",
	[TRACE_RETURN] = "return",
	[TRACE_PARK] = "park",
	[TRACE_WAKE] = "wake",
	[TRACE_SWITCH] = "switch",
	[TRACE_RX] = "rx",
	[TRACE_TX] = "tx",
	[TRACE_KICK] = "kick",
	[TRACE_WAIT] = "wait",
	[TRACE_INTERRUPT] = "interrupt",
	[TRACE_TURN] = "turn",
};

void trace_setup(bool enable)
{
	trace_enabled = enable;
}

void trace_record(enum trace_event event, uint64_t a, uint64_t b)
{
	uint32_t hart = this_hart()->index;
	if (!rings[hart].records) {
		rings[hart].records = heap_alloc(RECORDS * sizeof(struct record));
		if (!rings[hart].records)
			return;
	}
	rings[hart].records[rings[hart].count++ % RECORDS] =
	        (struct record){ csr_read(time), event, a, b };
}

void trace_dump(unsigned count)
{
	for (uint32_t hart = 0; hart < hart_count; hart++) {
		uint64_t end = rings[hart].count;
		uint64_t held = end < RECORDS ? end : RECORDS;
		for (uint64_t i = end - (held < count ? held : count); i < end; i++) {
			const struct record *record = &rings[hart].records[i % RECORDS];
			uint64_t us = (record->time - clock_parameters.base_ticks) * 1000 /
			              (clock_parameters.timebase_hz / 1000);
			console_printf("  hart %u %10lu us %-9s %lx %lx\n", hart, us,
			               names[record->event], record->a, record->b);
		}
	}
}
