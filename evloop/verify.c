/* loop_verify: every invariant of the loop's structures, for tests and hang dumps. */
#include "evloop/loop_internal.h"

static bool list_is_sound(const struct list *list)
{
	const struct list_node *node = &list->head;
	do {
		if (!node->next || node->next->prev != node)
			return false;
		node = node->next;
	} while (node != &list->head);
	return true;
}

static const char *verify_queue(const struct loop *loop, unsigned level)
{
	const struct list *queue = &loop->pending[level];
	if (!list_is_sound(queue))
		return "a pending queue's links are broken";
	if (list_is_empty(queue) == (loop->pending_mask >> level & 1))
		return "pending_mask does not match a queue";
	list_for_each(node, queue)
	{
		const struct loop_watcher *watcher = list_entry(node, struct loop_watcher, pending);
		if (watcher->priority != level)
			return "a watcher waits in another level's queue";
		if (!watcher->callback)
			return "a pending watcher has no callback";
	}
	return NULL;
}

static const char *verify_heap_node(const struct loop *loop, uint32_t index)
{
	const struct loop_heap_node *node = &loop->heap[index];
	const struct loop_heap_node *parent = &loop->heap[(index + 2) / 4];
	const struct loop_timer *timer = node->timer;
	if (timer->heap_index != index)
		return "a timer's heap_index is wrong";
	if (timer->deadline_ns != node->deadline_ns || timer->sequence != node->sequence)
		return "a cached deadline or sequence differs from its timer's";
	if (node->deadline_ns == LOOP_NEVER)
		return "an armed timer never fires";
	if (node->sequence > loop->timer_sequence)
		return "a timer's sequence lies in the future";
	if (timer->watcher.events & LOOP_EVENT_TIMER)
		return "an armed timer has an expiry pending";
	if (index == LOOP_HEAP_ROOT)
		return NULL;
	if (parent->deadline_ns > node->deadline_ns ||
	    (parent->deadline_ns == node->deadline_ns && parent->sequence >= node->sequence))
		return "the heap's order is broken";
	return NULL;
}

const char *loop_verify(const struct loop *loop)
{
	if (loop->pending_mask >> LOOP_PRIORITIES)
		return "pending_mask has an unknown level";
	for (unsigned level = 0; level < LOOP_PRIORITIES; level++) {
		const char *broken = verify_queue(loop, level);
		if (broken)
			return broken;
		if (!loop->budget[level])
			return "a level has no budget";
	}
	if (!list_is_sound(&loop->collect_hooks) || !list_is_sound(&loop->flush_hooks))
		return "the hooks' links are broken";
	if (loop->heap_count > loop->timers_created || loop->timers_created > loop->heap_capacity)
		return "more timers are armed, or exist, than there is room for";
	for (uint32_t i = 0; i < loop->heap_count; i++) {
		const char *broken = verify_heap_node(loop, LOOP_HEAP_ROOT + i);
		if (broken)
			return broken;
	}
	return NULL;
}
