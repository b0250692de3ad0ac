/*
 * The event loop of one hart: watchers, priority queues with budgets, timers, hooks and a cross-hart mailbox.
 *
 * Pure C: no hardware, no allocation of its own (memory comes from `loop_config.reallocate`), no clock (time is a
 * parameter, integer nanoseconds of one monotonic clock). Everything but loop_mailbox_send() is called by the loop's own
 * hart only.
 *
 * Legal order: loop_init, then any number of {watcher_init / timer_create / loop_hook_add / loop_turn ...}, loop_fini.
 *
 * One turn (DESIGN §2):  collect hooks (rings are looked at) -> mailbox -> expired timers -> dispatch by priority,
 * FIFO within a level, at most budget[level] callbacks of that level in one turn -> flush hooks (ack flush, TCP output, TX
 * publish, kick). A callback that posts to a higher priority is followed by that level first. Callbacks posted during the
 * turn run in the same turn while their level's budget lasts.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "evloop/list.h"

enum loop_priority {
	LOOP_PRIORITY_HIGH,     /* interrupts' second halves, receive, timers of protocols */
	LOOP_PRIORITY_NORMAL,   /* socket work, task continuations */
	LOOP_PRIORITY_DEFERRED, /* reclaim, page zeroing, pieces of long work */
	LOOP_PRIORITIES
};

#define LOOP_EVENT_TIMER (1u << 31) /* set in `events` when a timer's deadline passed */
#define LOOP_NEVER UINT64_MAX       /* a deadline that never comes */
#define LOOP_HEAP_ROOT 1            /* index of the heap's root; 0 means "not in the heap" */
#define LOOP_DEFAULT_BUDGET 64
#define LOOP_TIMER_BATCH 256 /* timers taken from the heap in one turn; the rest follow in the next */

struct loop;
struct loop_watcher;

/* `events` is everything posted since the last call, ORed. The watcher is no longer pending: it may be posted again, stopped
 * or freed by the callback. */
typedef void loop_callback(struct loop *loop, struct loop_watcher *watcher, uint32_t events);

/* Owned by the caller, embedded in its object; must be stopped (loop_stop) before its memory goes away. */
struct loop_watcher {
	struct list_node pending; /* linked while an event waits to be dispatched */
	loop_callback *callback;
	uint32_t events;
	uint8_t priority; /* enum loop_priority */
};

/* Owned by the caller. Created once (reserves its heap slot, so that arming can never fail), armed any number of times. */
struct loop_timer {
	struct loop_watcher watcher;
	uint64_t deadline_ns; /* LOOP_NEVER while not armed */
	uint64_t sequence;    /* tie-break: equal deadlines fire in the order in which they were armed */
	uint32_t heap_index;  /* 0 while not armed */
};

/* Runs at a fixed point of every turn, in order of registration. Owned by the caller. */
struct loop_hook {
	struct list_node link;
	void (*run)(struct loop *loop, struct loop_hook *hook);
};

/* A message to another hart's loop. Owned by the sender until sent, by the receiver once its callback runs. */
struct loop_message {
	struct loop_message *next;
	void (*receive)(struct loop *loop, struct loop_message *message);
};

struct loop_config {
	/* realloc with sizes, for the timer heap: returns NULL when memory is short (the old block stays valid).
	 * new_bytes 0 frees. */
	void *(*reallocate)(void *context, void *old, size_t old_bytes, size_t new_bytes);
	void *context;
	uint32_t budget[LOOP_PRIORITIES]; /* callbacks per level and turn; 0 means the default (64) */
};

struct loop_heap_node {
	uint64_t deadline_ns; /* cached: a sift compares without touching the timers */
	uint64_t sequence;
	struct loop_timer *timer;
};

struct loop_statistics {
	uint64_t turns;
	uint64_t dispatched[LOOP_PRIORITIES];
	uint64_t coalesced;        /* posts to a watcher that was already pending */
	uint64_t timers_fired;
	uint64_t budget_exhausted; /* a level stopped with events left */
	uint64_t messages;
	uint64_t longest_callback_ns; /* longest run to completion; measured by the owner through loop_note_duration */
};

struct loop {
	uint64_t now_ns; /* time of the current turn: the clock is read once per turn */
	struct list pending[LOOP_PRIORITIES];
	uint32_t pending_mask; /* bit p: pending[p] is not empty */
	uint32_t budget[LOOP_PRIORITIES];
	struct loop_heap_node *heap; /* 4-ary; root at index LOOP_HEAP_ROOT */
	uint32_t heap_count;         /* armed timers */
	uint32_t heap_capacity;
	uint32_t timers_created; /* heap_capacity always suffices for all of them */
	uint64_t timer_sequence;
	struct list collect_hooks;
	struct list flush_hooks;
	struct loop_message *mailbox; /* atomic LIFO, reversed when drained */
	uint32_t asleep;              /* atomic: the hart is about to wait, or waits, for an interrupt */
	struct loop_config config;
	struct loop_statistics statistics;
};

/* -ENOMEM or 0. */
int loop_init(struct loop *loop, const struct loop_config *config);
/* All timers must have been destroyed. Frees the heap. */
void loop_fini(struct loop *loop);

void loop_watcher_init(struct loop_watcher *watcher, enum loop_priority priority,
                       loop_callback *callback);
static inline bool loop_watcher_is_pending(const struct loop_watcher *watcher)
{
	return list_node_is_linked(&watcher->pending);
}
/* Make the watcher's callback run; events are ORed into what is pending already. */
void loop_post(struct loop *loop, struct loop_watcher *watcher, uint32_t events);
/* Forget a pending event. Safe in any state; afterwards the callback does not run until posted again. */
void loop_stop(struct loop *loop, struct loop_watcher *watcher);

/* Reserve a heap slot. -ENOMEM or 0. */
int loop_timer_create(struct loop *loop, struct loop_timer *timer, enum loop_priority priority,
                      loop_callback *callback);
void loop_timer_destroy(struct loop *loop, struct loop_timer *timer);
/* Arm, or re-arm in place, to fire once when now_ns >= deadline_ns. LOOP_NEVER disarms. An expiry that waits to be dispatched is
 * forgotten: the callback runs for the newest deadline only. Never fails. */
void loop_timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns);
/* Disarm and forget a pending expiry. */
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);
static inline bool loop_timer_is_armed(const struct loop_timer *timer)
{
	return timer->heap_index != 0;
}
/* The earliest deadline of all armed timers, or LOOP_NEVER. */
uint64_t loop_next_deadline(const struct loop *loop);

void loop_hook_add_collect(struct loop *loop, struct loop_hook *hook);
void loop_hook_add_flush(struct loop *loop, struct loop_hook *hook);
void loop_hook_remove(struct loop_hook *hook);

/* One turn, with the clock read by the caller. True when work is left (a budget ran out, a timer is due already): call again soon. */
bool loop_turn(struct loop *loop, uint64_t now_ns);
/* The flush hooks alone: everything deferred to the end of a turn goes out now. */
void loop_flush(struct loop *loop);
static inline bool loop_has_pending(const struct loop *loop)
{
	return loop->pending_mask != 0;
}
/* Record how long one run to completion took (statistics only). */
void loop_note_duration(struct loop *loop, uint64_t duration_ns);

/* From any hart. True when the target hart sleeps and must be sent an interrupt by the caller (fence pair with
 * loop_sleep_begin). */
bool loop_mailbox_send(struct loop *target, struct loop_message *message);
/* Announce that this hart is about to wait. False when work arrived meanwhile: do not sleep. */
bool loop_sleep_begin(struct loop *loop);
void loop_sleep_end(struct loop *loop);

/* Check every invariant of every structure. NULL when sound, else a text that names the broken one. */
const char *loop_verify(const struct loop *loop);
