/* Wait queues. */
#include "syscalls/file.h"
#include "syscalls/wait.h"

void wait_queue_add(struct wait_queue *queue, struct wait_entry *entry)
{
	if (entry->exclusive)
		list_push_back(&queue->entries, &entry->link);
	else
		list_push_front(&queue->entries, &entry->link);
}

static __attribute__((noinline)) void notify_all(struct wait_queue *queue, uint32_t events)
{
	list_for_each_safe(node, &queue->entries)
	{
		struct wait_entry *entry = list_entry(node, struct wait_entry, link);
		if (!(events & (entry->interest | POLLERR | POLLHUP)))
			continue;
		if (entry->notify(entry, events) && entry->exclusive)
			return;
	}
}

void wait_queue_notify_exclusive(struct wait_queue *queue, uint32_t events)
{
	list_for_each_safe(node, &queue->entries)
	{
		struct wait_entry *entry = list_entry(node, struct wait_entry, link);
		if (entry->exclusive && events & (entry->interest | POLLERR | POLLHUP) &&
		    entry->notify(entry, events))
			return;
	}
}

void wait_queue_notify_slow(struct wait_queue *queue, uint32_t events)
{
	struct list_node *first = queue->entries.head.next;
	struct wait_entry *entry = list_entry(first, struct wait_entry, link);
	if (__builtin_expect(first->next != &queue->entries.head, 0))
		notify_all(queue, events);
	else if (events & (entry->interest | POLLERR | POLLHUP))
		entry->notify(entry, events);
}
