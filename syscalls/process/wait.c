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

void wait_queue_notify_slow(struct wait_queue *queue, uint32_t events)
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
