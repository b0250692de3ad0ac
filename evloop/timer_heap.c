/*
 * The timers: a 4-ary heap ordered by (deadline, sequence). Each node caches its timer's key, so
 * that a sift reads only the heap. The root stands at LOOP_HEAP_ROOT = 1: the children of i are
 * 4i-2 .. 4i+1, the parent of i is (i+2)/4.
 */
#include "evloop/loop_internal.h"

#include <errno.h>

static inline uint32_t parent_of(uint32_t index)
{
	return (index + 2) / 4;
}

static inline uint32_t first_child_of(uint32_t index)
{
	return 4 * index - 2;
}

static inline bool earlier(const struct loop_heap_node *a, const struct loop_heap_node *b)
{
	return a->deadline_ns < b->deadline_ns ||
	       (a->deadline_ns == b->deadline_ns && a->sequence < b->sequence);
}

static inline void place(struct loop *loop, uint32_t index, const struct loop_heap_node *node)
{
	loop->heap[index] = *node;
	node->timer->heap_index = index;
}

/* Index of the last node. */
static inline uint32_t heap_last(const struct loop *loop)
{
	return LOOP_HEAP_ROOT + loop->heap_count - 1;
}

static void sift_up(struct loop *loop, uint32_t index, const struct loop_heap_node *node)
{
	while (index > LOOP_HEAP_ROOT) {
		uint32_t parent = parent_of(index);
		if (!earlier(node, &loop->heap[parent]))
			break;
		place(loop, index, &loop->heap[parent]);
		index = parent;
	}
	place(loop, index, node);
}

static void sift_down(struct loop *loop, uint32_t index, const struct loop_heap_node *node)
{
	uint32_t last = heap_last(loop);
	for (;;) {
		uint32_t child = first_child_of(index);
		if (child > last)
			break;
		uint32_t end = child + 3 < last ? child + 3 : last, least = child;
		while (++child <= end)
			if (earlier(&loop->heap[child], &loop->heap[least]))
				least = child;
		if (!earlier(&loop->heap[least], node))
			break;
		place(loop, index, &loop->heap[least]);
		index = least;
	}
	place(loop, index, node);
}

/* `node` belongs at `index` or above or below it. */
static void sift(struct loop *loop, uint32_t index, const struct loop_heap_node *node)
{
	if (index > LOOP_HEAP_ROOT && earlier(node, &loop->heap[parent_of(index)]))
		sift_up(loop, index, node);
	else
		sift_down(loop, index, node);
}

static void heap_remove(struct loop *loop, struct loop_timer *timer)
{
	uint32_t index = timer->heap_index, last = heap_last(loop);
	struct loop_heap_node moved = loop->heap[last];

	timer->heap_index = 0;
	timer->deadline_ns = LOOP_NEVER;
	loop->heap_count--;
	if (index != last)
		sift(loop, index, &moved);
}

/* Room for one timer more than exist. */
static int reserve_slot(struct loop *loop)
{
	if (loop->timers_created < loop->heap_capacity)
		return 0;
	if (loop->heap_capacity > UINT32_MAX / 8)
		return -ENOMEM;
	uint32_t capacity = 2 * loop->heap_capacity + 1;
	void *heap = loop->config.reallocate(
	        loop->config.context, loop->heap,
	        (loop->heap_capacity + LOOP_HEAP_ROOT) * sizeof(*loop->heap),
	        ((size_t)capacity + LOOP_HEAP_ROOT) * sizeof(*loop->heap));
	if (!heap)
		return -ENOMEM;
	loop->heap = heap;
	loop->heap_capacity = capacity;
	return 0;
}

int loop_timer_create(struct loop *loop, struct loop_timer *timer, enum loop_priority priority,
                      loop_callback *callback)
{
	int error = reserve_slot(loop);
	if (error)
		return error;
	loop->timers_created++;
	loop_watcher_init(&timer->watcher, priority, callback);
	timer->deadline_ns = LOOP_NEVER;
	timer->sequence = 0;
	timer->heap_index = 0;
	return 0;
}

void loop_timer_destroy(struct loop *loop, struct loop_timer *timer)
{
	loop_timer_cancel(loop, timer);
	loop_stop(loop, &timer->watcher);
	loop->timers_created--;
}

/* Events that others posted to the watcher stay. */
static inline void forget_expiry(struct loop *loop, struct loop_timer *timer)
{
	if (!(timer->watcher.events & LOOP_EVENT_TIMER))
		return;
	timer->watcher.events &= ~LOOP_EVENT_TIMER;
	if (!timer->watcher.events)
		loop_stop(loop, &timer->watcher);
}

void loop_timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns)
{
	if (deadline_ns == LOOP_NEVER) {
		loop_timer_cancel(loop, timer);
		return;
	}
	forget_expiry(loop, timer);
	struct loop_heap_node node = { deadline_ns, ++loop->timer_sequence, timer };
	timer->deadline_ns = deadline_ns;
	timer->sequence = node.sequence;
	if (loop_timer_is_armed(timer)) {
		sift(loop, timer->heap_index, &node);
	} else {
		loop->heap_count++;
		sift_up(loop, heap_last(loop), &node);
	}
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	forget_expiry(loop, timer);
	if (loop_timer_is_armed(timer))
		heap_remove(loop, timer);
}

uint64_t loop_next_deadline(const struct loop *loop)
{
	return loop->heap_count ? loop->heap[LOOP_HEAP_ROOT].deadline_ns : LOOP_NEVER;
}

void loop_expire_timers(struct loop *loop)
{
	for (unsigned i = 0; i < LOOP_TIMER_BATCH; i++) {
		if (loop_next_deadline(loop) > loop->now_ns)
			return;
		struct loop_timer *timer = loop->heap[LOOP_HEAP_ROOT].timer;
		heap_remove(loop, timer);
		loop->statistics.timers_fired++;
		loop_post(loop, &timer->watcher, LOOP_EVENT_TIMER);
	}
}
