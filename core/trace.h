/* The per-hart trace ring: cheap enough to stay compiled in (a test of one global, then one 32-byte
 * store). trace=1 switches it on. */
#pragma once

#include <stdint.h>

enum trace_event {
	TRACE_TRAP,      /* a: cause, b: pc */
	TRACE_SYSCALL,   /* a: number, b: first argument */
	TRACE_RETURN,    /* a: number, b: result */
	TRACE_PARK,      /* a: number */
	TRACE_WAKE,      /* a: task, b: reason */
	TRACE_SWITCH,    /* a: task */
	TRACE_RX,        /* a: bytes, b: queue */
	TRACE_TX,        /* a: bytes, b: queue */
	TRACE_KICK,      /* a: queue */
	TRACE_INTERRUPT, /* a: source */
	TRACE_WAIT,      /* a: deadline */
	TRACE_TURN,      /* a: events */
};

extern uint32_t trace_enabled;
void trace_record(enum trace_event event, uint64_t a, uint64_t b);
static inline void trace(enum trace_event event, uint64_t a, uint64_t b)
{
	if (__builtin_expect(trace_enabled, 0))
		trace_record(event, a, b);
}
/* The newest `count` records as text on the console. */
void trace_dump(unsigned count);
