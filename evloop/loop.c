/* Watchers, the priority queues with their budgets, hooks, and the turn that runs them all. */
#include "evloop/loop_internal.h"

#include <errno.h>

#define INITIAL_HEAP_TIMERS 31

int loop_init(struct loop *loop, const struct loop_config *config)
{
	*loop = (struct loop){ .config = *config };
	for (unsigned level = 0; level < LOOP_PRIORITIES; level++) {
		list_init(&loop->pending[level]);
		loop->budget[level] =
		        config->budget[level] ? config->budget[level] : LOOP_DEFAULT_BUDGET;
	}
	list_init(&loop->collect_hooks);
	list_init(&loop->flush_hooks);

	size_t bytes = (INITIAL_HEAP_TIMERS + LOOP_HEAP_ROOT) * sizeof(*loop->heap);
	loop->heap = config->reallocate(config->context, NULL, 0, bytes);
	if (!loop->heap)
		return -ENOMEM;
	loop->heap_capacity = INITIAL_HEAP_TIMERS;
	return 0;
}

void loop_fini(struct loop *loop)
{
	size_t bytes = (loop->heap_capacity + LOOP_HEAP_ROOT) * sizeof(*loop->heap);
	loop->config.reallocate(loop->config.context, loop->heap, bytes, 0);
	loop->heap = NULL;
	loop->heap_capacity = 0;
}

void loop_watcher_init(struct loop_watcher *watcher, enum loop_priority priority,
                       loop_callback *callback)
{
	list_node_init(&watcher->pending);
	watcher->callback = callback;
	watcher->events = 0;
	watcher->priority = (uint8_t)priority;
}

void loop_post(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	watcher->events |= events;
	if (loop_watcher_is_pending(watcher)) {
		loop->statistics.coalesced++;
		return;
	}
	list_push_back(&loop->pending[watcher->priority], &watcher->pending);
	loop->pending_mask |= 1u << watcher->priority;
}

void loop_stop(struct loop *loop, struct loop_watcher *watcher)
{
	watcher->events = 0;
	list_remove(&watcher->pending);
	if (list_is_empty(&loop->pending[watcher->priority]))
		loop->pending_mask &= ~(1u << watcher->priority);
}

void loop_hook_add_collect(struct loop *loop, struct loop_hook *hook)
{
	list_push_back(&loop->collect_hooks, &hook->link);
}

void loop_hook_add_flush(struct loop *loop, struct loop_hook *hook)
{
	list_push_back(&loop->flush_hooks, &hook->link);
}

void loop_hook_remove(struct loop_hook *hook)
{
	list_remove(&hook->link);
}

static void run_hooks(struct loop *loop, struct list *hooks)
{
	list_for_each_safe(node, hooks)
	{
		struct loop_hook *hook = list_entry(node, struct loop_hook, link);
		hook->run(loop, hook);
	}
}

void loop_flush(struct loop *loop)
{
	run_hooks(loop, &loop->flush_hooks);
}

static inline unsigned lowest_bit(uint32_t mask)
{
	unsigned bit = 0;
	while (!(mask & 1)) {
		mask >>= 1;
		bit++;
	}
	return bit;
}

static inline void dispatch_one(struct loop *loop, unsigned level)
{
	struct list *queue = &loop->pending[level];
	struct list_node *node = queue->head.next;
	struct loop_watcher *watcher = list_entry(node, struct loop_watcher, pending);

	list_remove(node);
	if (list_is_empty(queue))
		loop->pending_mask &= ~(1u << level);
	uint32_t events = watcher->events;
	watcher->events = 0;
	loop->statistics.dispatched[level]++;
	watcher->callback(loop, watcher, events);
}

/* The highest level with events and budget goes first, before each callback anew; a level whose
 * budget is used up is closed until the next turn, so that no level can keep those below it from
 * running. */
static void dispatch(struct loop *loop)
{
	uint32_t left[LOOP_PRIORITIES];
	for (unsigned level = 0; level < LOOP_PRIORITIES; level++)
		left[level] = loop->budget[level];

	uint32_t open = (1u << LOOP_PRIORITIES) - 1, ready;
	while ((ready = loop->pending_mask & open)) {
		unsigned level = lowest_bit(ready);
		if (--left[level] == 0)
			open &= ~(1u << level);
		dispatch_one(loop, level);
	}
	for (uint32_t rest = loop->pending_mask; rest; rest &= rest - 1)
		loop->statistics.budget_exhausted++;
}

bool loop_turn(struct loop *loop, uint64_t now_ns)
{
	loop->now_ns = now_ns;
	loop->statistics.turns++;
	run_hooks(loop, &loop->collect_hooks);
	loop_drain_mailbox(loop);
	loop_expire_timers(loop);
	if (loop->pending_mask)
		dispatch(loop);
	run_hooks(loop, &loop->flush_hooks);
	return loop_has_pending(loop) || loop_next_deadline(loop) <= now_ns;
}

void loop_note_duration(struct loop *loop, uint64_t duration_ns)
{
	if (duration_ns > loop->statistics.longest_callback_ns)
		loop->statistics.longest_callback_ns = duration_ns;
}
