/*
 * epoll: an instance holds items; each item listens on its file and, when that is notified, queues
 * itself on the instance's ready list. A wait looks at the ready list only, so its cost does not
 * depend on how many items are idle. What is reported is always recomputed from the file's state.
 */
#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "core/user.h"
#include "syscalls/files/anonymous.h"
#include "syscalls/files/epoll_item.h"
#include "syscalls/files/io.h"
#include "syscalls/timespec.h"
#include "syscalls/signal.h"
#include "syscalls/syscall.h"

#define EPOLL_BATCH    16
#define EVENTS_MAX     (INT32_MAX / (int)sizeof(struct epoll_user_event))
#define NANOSECONDS_MS 1000000ull

/* Re-polls what is queued; items that turn out not to be ready leave the list. */
static uint32_t epoll_file_poll(struct file *file)
{
	struct epoll *epoll = epoll_of(file);
	struct list_node *link;
	while ((link = list_first(&epoll->ready))) {
		if (epoll_item_ready(list_entry(link, struct epoll_item, ready_link)))
			return POLLIN | POLLRDNORM;
		list_remove(link);
	}
	return 0;
}

static void epoll_file_release(struct file *file)
{
	struct epoll *epoll = epoll_of(file);
	for (uint32_t i = 0; i < epoll->bucket_count; i++) {
		while (epoll->buckets[i])
			epoll_item_remove(epoll->buckets[i]);
	}
	heap_free(epoll->buckets);
	heap_free(epoll);
}

static int epoll_file_status(struct file *file, struct file_status *out)
{
	(void)file;
	*out = (struct file_status){ .mode = 0600, .links = 1, .block_bytes = PAGE_SIZE };
	return 0;
}

static long epoll_file_ioctl(struct file *file, uint32_t command, uint64_t argument)
{
	(void)file, (void)command, (void)argument;
	return -EINVAL;
}

static const struct file_operations epoll_operations = {
	.kind = "epoll",
	.ioctl = epoll_file_ioctl,
	.poll = epoll_file_poll,
	.status = epoll_file_status,
	.seek = anonymous_seek,
	.release = epoll_file_release,
};

struct epoll *epoll_from_file(struct file *file)
{
	return file->operations == &epoll_operations ? epoll_of(file) : NULL;
}

long sys_epoll_create1(struct thread *thread, const uint64_t *argument)
{
	if ((uint32_t)argument[0] & ~(uint32_t)O_CLOEXEC)
		return -EINVAL;
	struct epoll *epoll = heap_alloc_zeroed(sizeof(*epoll));
	if (!epoll)
		return -ENOMEM;
	file_init(&epoll->file, &epoll_operations, epoll, O_RDWR);
	list_init(&epoll->ready);
	int descriptor = file_install(thread, &epoll->file, 0, argument[0] & O_CLOEXEC);
	if (descriptor < 0)
		file_put(&epoll->file);
	return descriptor;
}

/* The program has heard of it: level-triggered items stay queued, to be polled again by the next
 * wait. */
static inline void delivered(struct epoll_item *item)
{
	if (item->entry.interest & EPOLLONESHOT) {
		item->entry.interest &= EPOLL_PRIVATE;
	} else if (!(item->entry.interest & EPOLLET)) {
		return;
	}
	list_remove(&item->ready_link);
}

/* Up to `max` ready events into user memory: their number, 0, or -EFAULT. Items are taken where
 * they stand in the list; at the end its head moves behind the last one looked at, so that the next
 * wait begins with the others. */
static long epoll_collect(struct epoll *epoll, struct user_addr to, int max)
{
	struct epoll_user_event events[EPOLL_BATCH];
	struct epoll_item *items[EPOLL_BATCH];
	struct list_node *head = &epoll->ready.head, *link = head->next;
	long total = 0;
	bool fault = false;
	while (link != head && total < max && !fault) {
		int count = 0, room = max - (int)total;
		while (link != head && count < EPOLL_BATCH && count < room) {
			struct epoll_item *item = list_entry(link, struct epoll_item, ready_link);
			uint32_t ready = epoll_item_ready(item);
			link = link->next;
			if (!ready) {
				list_remove(&item->ready_link);
				continue;
			}
			events[count].events = ready;
			events[count].padding = 0;
			events[count].data = item->data;
			items[count++] = item;
		}
		if (!count)
			break;
		size_t bytes = (size_t)count * sizeof(events[0]);
		size_t copied = copy_to_user_partial(
		        user(to.value + (uint64_t)total * sizeof(events[0])), events, bytes);
		fault = copied < bytes;
		count = (int)(copied / sizeof(events[0]));
		for (int i = 0; i < count; i++)
			delivered(items[i]);
		total += count;
	}
	if (link != head) {
		list_remove(head);
		list_insert_before(link, head);
	}
	/* What is left may be work for another waiter. */
	if (!list_is_empty(&epoll->ready))
		wait_queue_notify_exclusive(&epoll->file.waiters, POLLIN);
	return total || !fault ? total : -EFAULT;
}

struct epoll_wait {
	struct file *file; /* a reference */
	struct user_addr events;
	uint64_t deadline_ns; /* absolute once `waiting`, else relative; LOOP_NEVER: none; 0: don't
	                         wait */
	int max;
	bool waiting, mask_swapped;
};

static long epoll_finish(struct thread *thread, struct epoll_wait *wait, long result)
{
	file_put(wait->file);
	if (wait->mask_swapped && result != -EINTR)
		signal_mask_restore(thread);
	return result;
}

static long epoll_resume(struct thread *thread, uint32_t reasons);

static long epoll_block(struct thread *thread, struct epoll_wait *wait)
{
	if (!wait->waiting && wait->deadline_ns != LOOP_NEVER)
		wait->deadline_ns = deadline_after(wait->deadline_ns);
	wait->waiting = true;
	thread_wait_on(thread, &wait->file->waiters, POLLIN, true);
	if (wait->deadline_ns != LOOP_NEVER)
		thread_wait_until(thread, wait->deadline_ns);
	thread_park(thread, epoll_resume);
	return SYS_PARKED;
}

static long epoll_resume(struct thread *thread, uint32_t reasons)
{
	struct epoll_wait *wait = THREAD_PARK_STATE(thread, struct epoll_wait);
	if (reasons & WAKE_KILL) { /* the wake-up it may have taken goes to another waiter */
		if (!list_is_empty(&epoll_of(wait->file)->ready))
			wait_queue_notify_exclusive(&wait->file->waiters, POLLIN);
		return epoll_finish(thread, wait, -EINTR);
	}
	long result = epoll_collect(epoll_of(wait->file), wait->events, wait->max);
	if (result)
		return epoll_finish(thread, wait, result);
	if (reasons & WAKE_SIGNAL)
		return epoll_finish(thread, wait, -EINTR);
	if (reasons & WAKE_TIMEOUT || wait->deadline_ns == 0)
		return epoll_finish(thread, wait, 0);
	return epoll_block(thread, wait);
}

/* `timeout_ns`: relative, 0: don't wait, LOOP_NEVER. The signal mask was swapped by the caller, if
 * `mask_swapped`. */
static long epoll_wait_start(struct thread *thread, struct file *file, struct user_addr events,
                             int max, uint64_t timeout_ns, bool mask_swapped)
{
	/* With output deferred, a turn of the loop sends it and looks at the receive rings; then
	 * there is more to report at once. */
	bool turn = this_hart()->backstop_ns != LOOP_NEVER;
	if (!turn) {
		long result = epoll_collect(epoll_of(file), events, max);
		if (!result && timeout_ns && thread_has_signal(thread))
			result = -EINTR;
		if (result || !timeout_ns) {
			if (mask_swapped && result != -EINTR)
				signal_mask_restore(thread);
			return result;
		}
	}
	struct epoll_wait *wait = THREAD_PARK_STATE(thread, struct epoll_wait);
	*wait = (struct epoll_wait){ .file = file_get(file),
		                     .events = events,
		                     .deadline_ns = timeout_ns,
		                     .max = max,
		                     .mask_swapped = mask_swapped };
	if (!turn)
		return epoll_block(thread, wait);
	thread_park(thread, epoll_resume);
	thread_wake(thread, WAKE_EVENT);
	return SYS_PARKED;
}

static long epoll_wait_call(struct thread *thread, const uint64_t *argument, uint64_t timeout_ns)
{
	struct file *file = thread_file(thread, argument[0]);
	int max = (int)argument[2];
	if (max <= 0 || max > EVENTS_MAX)
		return -EINVAL;
	if (argument[1] > INT64_MAX - (uint64_t)max * sizeof(struct epoll_user_event))
		return -EFAULT;
	if (!file || file->flags & O_PATH)
		return -EBADF;
	if (!epoll_from_file(file))
		return -EINVAL;
	if (argument[4]) {
		int error = signal_mask_from_user(thread, user(argument[4]), argument[5]);
		if (error)
			return error;
	}
	return epoll_wait_start(thread, file, user(argument[1]), max, timeout_ns, argument[4]);
}

long sys_epoll_pwait(struct thread *thread, const uint64_t *argument)
{
	int milliseconds = (int)argument[3];
	return epoll_wait_call(thread, argument,
	                       milliseconds < 0 ? LOOP_NEVER
	                                        : (uint64_t)milliseconds * NANOSECONDS_MS);
}

long sys_epoll_pwait2(struct thread *thread, const uint64_t *argument)
{
	uint64_t timeout_ns;
	int error = timeout_from_user(user(argument[3]), &timeout_ns);
	return error ? error : epoll_wait_call(thread, argument, timeout_ns);
}
