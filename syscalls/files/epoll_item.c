/* The interest list of epoll instances: epoll_ctl(2) and what ends a registration. */
#include "syscalls/files/epoll_item.h"

#include <errno.h>

#include "core/user.h"
#include "syscalls/syscall.h"

#define FIRST_BUCKETS 16u
#define NESTING_MAX   5 /* instances in a chain, as in Linux */

#define EXCLUSIVE_ALLOWED                                                                          \
	(POLLIN | POLLOUT | POLLERR | POLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)

enum { EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL, EPOLL_CTL_MOD };

static struct epoll_item **bucket_of(const struct epoll *epoll, const struct file *file,
                                     uint32_t descriptor)
{
	uint64_t key = ((uint64_t)(uintptr_t)file >> 4) * 31 + descriptor;
	return &epoll->buckets[(key ^ key >> 12) & (epoll->bucket_count - 1)];
}

static struct epoll_item *item_find(const struct epoll *epoll, const struct file *file,
                                    int descriptor)
{
	if (!epoll->buckets)
		return NULL;
	struct epoll_item *item = *bucket_of(epoll, file, (uint32_t)descriptor);
	while (item && (item->file != file || item->entry.tag != (uint32_t)descriptor))
		item = item->hash_next;
	return item;
}

static void bucket_insert(struct epoll *epoll, struct epoll_item *item)
{
	struct epoll_item **bucket = bucket_of(epoll, item->file, item->entry.tag);
	item->hash_next = *bucket;
	*bucket = item;
}

/* Room for one more; longer chains when memory for a larger table is short. */
static int buckets_grow(struct epoll *epoll)
{
	if (epoll->buckets && epoll->count < epoll->bucket_count)
		return 0;
	uint32_t old_count = epoll->bucket_count;
	uint32_t count = old_count ? old_count * 2 : FIRST_BUCKETS;
	struct epoll_item **old = epoll->buckets;
	struct epoll_item **buckets = heap_alloc_zeroed(count * sizeof(*buckets));
	if (!buckets)
		return old ? 0 : -ENOMEM;
	epoll->buckets = buckets;
	epoll->bucket_count = count;
	for (uint32_t i = 0; i < old_count; i++) {
		while (old[i]) {
			struct epoll_item *item = old[i];
			old[i] = item->hash_next;
			bucket_insert(epoll, item);
		}
	}
	heap_free(old);
	return 0;
}

static __attribute__((noinline)) bool wake_waiter(struct epoll *epoll)
{
	wait_queue_notify_slow(&epoll->file.waiters, POLLIN);
	return true;
}

/* The file was notified. An exclusive item counts as the one woken only when somebody waits. */
static bool item_notified(struct wait_entry *entry, uint32_t events)
{
	struct epoll_item *item = container_of(entry, struct epoll_item, entry);
	struct epoll *epoll = item->epoll;
	(void)events;
	if (!epoll_item_wanted(item))
		return false;
	if (!list_node_is_linked(&item->ready_link))
		list_push_back(&epoll->ready, &item->ready_link);
	return list_is_empty(&epoll->file.waiters.entries) ? false : wake_waiter(epoll);
}

static void item_queue_if_ready(struct epoll_item *item)
{
	if (!epoll_item_ready(item))
		return;
	if (!list_node_is_linked(&item->ready_link))
		list_push_back(&item->epoll->ready, &item->ready_link);
	file_notify(&item->epoll->file, POLLIN);
}

void epoll_item_remove(struct epoll_item *item)
{
	struct epoll_item **place = bucket_of(item->epoll, item->file, item->entry.tag);
	while (*place != item)
		place = &(*place)->hash_next;
	*place = item->hash_next;
	item->epoll->count--;
	wait_entry_remove(&item->entry);
	list_remove(&item->ready_link);
	list_remove(&item->file_link);
	heap_free(item);
}

void epoll_forget_file(struct file *file)
{
	struct list_node *link;
	while ((link = list_first(&file->epoll_items)))
		epoll_item_remove(list_entry(link, struct epoll_item, file_link));
}

static uint32_t visit_number;

/* Instances in the longest chain that starts here, or more than NESTING_MAX when `forbidden` is
 * met. */
static uint32_t depth_below(struct epoll *epoll, const struct epoll *forbidden, uint32_t depth)
{
	uint32_t deepest = 1;
	if (epoll == forbidden || depth > NESTING_MAX)
		return NESTING_MAX + 1;
	if (epoll->visit == visit_number)
		return epoll->depth;
	for (uint32_t i = 0; i < epoll->bucket_count; i++) {
		for (struct epoll_item *item = epoll->buckets[i]; item; item = item->hash_next) {
			struct epoll *next = epoll_from_file(item->file);
			uint32_t below = next ? 1 + depth_below(next, forbidden, depth + 1) : 0;
			if (below > deepest)
				deepest = below;
		}
	}
	epoll->visit = visit_number;
	epoll->depth = deepest;
	return deepest;
}

static uint32_t depth_above(const struct epoll *epoll, uint32_t depth)
{
	uint32_t highest = 1;
	if (depth > NESTING_MAX)
		return NESTING_MAX + 1;
	list_for_each(link, &epoll->file.epoll_items)
	{
		struct epoll_item *item = list_entry(link, struct epoll_item, file_link);
		uint32_t above = 1 + depth_above(item->epoll, depth + 1);
		if (above > highest)
			highest = above;
		if (highest > NESTING_MAX)
			break;
	}
	return highest;
}

static int check_nesting(struct epoll *epoll, struct epoll *target)
{
	visit_number++;
	uint32_t below = depth_below(target, epoll, 0);
	return below + depth_above(epoll, 0) > NESTING_MAX ? -ELOOP : 0;
}

static long item_add(struct epoll *epoll, struct file *file, int descriptor,
                     const struct epoll_user_event *event)
{
	struct epoll *target = epoll_from_file(file);
	if (event->events & EPOLLEXCLUSIVE &&
	    (target || event->events & ~(uint32_t)EXCLUSIVE_ALLOWED))
		return -EINVAL;
	if (item_find(epoll, file, descriptor))
		return -EEXIST;
	if (target) {
		int error = check_nesting(epoll, target);
		if (error)
			return error;
	}
	if (buckets_grow(epoll))
		return -ENOMEM;
	struct epoll_item *item = heap_alloc_zeroed(sizeof(*item));
	if (!item)
		return -ENOMEM;
	item->epoll = epoll;
	item->file = file;
	item->data = event->data;
	item->entry.notify = item_notified;
	item->entry.interest = event->events | POLLERR | POLLHUP;
	item->entry.exclusive = (event->events & EPOLLEXCLUSIVE) != 0;
	item->entry.tag = (uint32_t)descriptor;
	list_node_init(&item->ready_link);
	bucket_insert(epoll, item);
	epoll->count++;
	list_push_back(&file->epoll_items, &item->file_link);
	wait_queue_add(&file->waiters, &item->entry);
	item_queue_if_ready(item);
	return 0;
}

static long item_modify(struct epoll_item *item, const struct epoll_user_event *event)
{
	if ((item->entry.interest | event->events) & EPOLLEXCLUSIVE)
		return -EINVAL;
	item->entry.interest = event->events | POLLERR | POLLHUP;
	item->data = event->data;
	item_queue_if_ready(item);
	return 0;
}

long sys_epoll_ctl(struct thread *thread, const uint64_t *argument)
{
	struct epoll_user_event event = { 0 };
	int operation = (int)argument[1], descriptor = (int)argument[2];
	if (operation != EPOLL_CTL_DEL && copy_from_user(&event, user(argument[3]), sizeof(event)))
		return -EFAULT;
	struct file *file = thread_file(thread, argument[0]);
	struct file *target = thread_file(thread, argument[2]);
	if (!file || !target || file->flags & O_PATH || target->flags & O_PATH)
		return -EBADF;
	if (!target->operations->poll)
		return -EPERM;
	struct epoll *epoll = epoll_from_file(file);
	if (!epoll || file == target)
		return -EINVAL;
	if (operation == EPOLL_CTL_ADD)
		return item_add(epoll, target, descriptor, &event);
	struct epoll_item *item = item_find(epoll, target, descriptor);
	if (operation == EPOLL_CTL_MOD)
		return item ? item_modify(item, &event) : -ENOENT;
	if (operation != EPOLL_CTL_DEL)
		return -EINVAL;
	if (!item)
		return -ENOENT;
	epoll_item_remove(item);
	return 0;
}
