/*
 * Wait queues: what a task, an epoll item or a poll call links itself on to hear that an object's readiness may have changed. A
 * notification carries no state: the listener recomputes readiness. Owned by the object; entries are owned by the listeners and must be
 * removed before either goes away.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "evloop/list.h"

struct wait_queue {
	struct list entries;
};

struct wait_entry {
	struct list_node link;
	/* True: this listener will act on it (counts as the one woken when `exclusive`). Must not add or remove other entries of the queue;
	 * may remove itself. */
	bool (*notify)(struct wait_entry *entry, uint32_t events);
	uint32_t interest; /* POLL* bits; POLLERR and POLLHUP are always of interest; from bit 28 on the listener's to use */
	uint32_t exclusive : 1, tag : 31; /* tag: the listener's to use */
};

static inline void wait_queue_init(struct wait_queue *queue)
{
	list_init(&queue->entries);
}
/* Non-exclusive entries go first, exclusive ones queue behind (FIFO). */
void wait_queue_add(struct wait_queue *queue, struct wait_entry *entry);
static inline void wait_entry_remove(struct wait_entry *entry)
{
	list_remove(&entry->link);
}
/* Every interested non-exclusive entry, and exclusive ones until one acts. `events`: POLL* bits
 * that may have become true. The queue is not empty. */
void wait_queue_notify_slow(struct wait_queue *queue, uint32_t events);
/* Exclusive entries only, until one acts. */
void wait_queue_notify_exclusive(struct wait_queue *queue, uint32_t events);
static inline void wait_queue_notify(struct wait_queue *queue, uint32_t events)
{
	if (!list_is_empty(&queue->entries))
		wait_queue_notify_slow(queue, events);
}
