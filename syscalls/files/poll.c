/* ppoll(2) and pselect6(2): one set of files that is looked at, listened to while the thread waits,
 * and looked at again. */
#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "core/user.h"
#include "syscalls/files/io.h"
#include "syscalls/timespec.h"
#include "syscalls/process.h"
#include "syscalls/signal.h"
#include "syscalls/syscall.h"

#define SELECT_SETS 3
#define WORD_BITS   64u

struct poll_item {
	struct wait_entry entry;
	struct thread *thread;
	struct file *file; /* a reference; NULL: a negative or bad descriptor */
	int descriptor;
	uint16_t events, ready;
};

struct user_pollfd {
	int32_t descriptor;
	uint16_t events, ready;
};

/* Owned by the thread's park state. */
struct poll_set {
	uint32_t count;
	bool select;
	struct poll_item items[];
};

struct poll_wait {
	struct poll_set *set;
	uint64_t *bits;                     /* pselect6: the three sets, as asked, then as found */
	struct user_addr descriptors;       /* ppoll: the array */
	struct user_addr sets[SELECT_SETS]; /* pselect6: read, write, except */
	struct user_addr timeout;           /* what is left is written back */
	uint32_t select_bits;
	uint64_t deadline_ns; /* absolute; LOOP_NEVER */
	bool once;            /* a timeout of zero */
	bool listening, mask_swapped;
};

static const uint16_t select_ready[SELECT_SETS] = {
	POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR | POLLNVAL,
	POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR | POLLNVAL,
	POLLPRI | POLLNVAL,
};
static const uint16_t select_wanted[SELECT_SETS] = { POLLIN | POLLRDNORM | POLLRDBAND,
	                                             POLLOUT | POLLWRNORM | POLLWRBAND, POLLPRI };

static struct poll_set *set_create(uint32_t count)
{
	struct poll_set *set =
	        heap_alloc_zeroed(sizeof(*set) + (size_t)count * sizeof(struct poll_item));
	if (!set)
		return NULL;
	set->count = count;
	for (uint32_t i = 0; i < count; i++)
		list_node_init(&set->items[i].entry.link);
	return set;
}

static void set_free(struct poll_set *set)
{
	for (uint32_t i = 0; i < set->count; i++) {
		wait_entry_remove(&set->items[i].entry);
		if (set->items[i].file)
			file_put(set->items[i].file);
	}
	heap_free(set);
}

/* As in Linux, each look is at what the number stands for by then: a descriptor that was closed
 * while the call waited is a bad one when something else, or the time, ends the wait. */
static void set_refresh(struct thread *thread, struct poll_set *set)
{
	for (uint32_t i = 0; i < set->count; i++) {
		struct poll_item *item = &set->items[i];
		struct file *file = thread_file(thread, (uint64_t)item->descriptor);
		if (!item->file || file == item->file)
			continue;
		wait_entry_remove(&item->entry);
		file_put(item->file);
		item->file = file && !(file->flags & O_PATH) ? file_get(file) : NULL;
	}
}

/* Files with something to report. */
static long set_look(struct poll_set *set)
{
	long found = 0;
	for (uint32_t i = 0; i < set->count; i++) {
		struct poll_item *item = &set->items[i];
		if (item->file)
			item->ready = (uint16_t)(file_poll(item->file) &
			                         (item->events | POLLERR | POLLHUP));
		else
			item->ready = item->descriptor < 0 ? 0 : POLLNVAL;
		found += item->ready != 0;
	}
	return found;
}

static bool item_notified(struct wait_entry *entry, uint32_t events)
{
	struct poll_item *item = container_of(entry, struct poll_item, entry);
	(void)events;
	thread_wake(item->thread, WAKE_EVENT);
	return true;
}

static void set_listen(struct thread *thread, struct poll_set *set)
{
	for (uint32_t i = 0; i < set->count; i++) {
		struct poll_item *item = &set->items[i];
		if (!item->file)
			continue;
		item->thread = thread;
		item->entry.notify = item_notified;
		item->entry.interest = item->events;
		item->entry.exclusive = false;
		wait_queue_add(&item->file->waiters, &item->entry);
	}
}

static long report_poll(const struct poll_wait *wait)
{
	for (uint32_t i = 0; i < wait->set->count; i++) {
		struct user_addr to =
		        user(wait->descriptors.value + i * sizeof(struct user_pollfd) +
		             offsetof(struct user_pollfd, ready));
		if (copy_to_user(to, &wait->set->items[i].ready, sizeof(uint16_t)))
			return -EFAULT;
	}
	return 0;
}

static uint32_t select_words(const struct poll_wait *wait)
{
	return (wait->select_bits + WORD_BITS - 1) / WORD_BITS;
}

/* The result sets; the number of bits in them. */
static long report_select(const struct poll_wait *wait)
{
	long total = 0;
	uint32_t words = select_words(wait);
	for (int which = 0; which < SELECT_SETS; which++) {
		uint64_t *bits = wait->bits + (size_t)which * words;
		if (!wait->sets[which].value)
			continue;
		memset(bits, 0, words * sizeof(*bits));
		for (uint32_t i = 0; i < wait->set->count; i++) {
			const struct poll_item *item = &wait->set->items[i];
			uint32_t bit = (uint32_t)item->descriptor;
			if (!(item->ready & select_ready[which]) ||
			    !(item->events & select_wanted[which]))
				continue;
			bits[bit / WORD_BITS] |= 1ull << (bit % WORD_BITS);
			total++;
		}
		if (copy_to_user(wait->sets[which], bits, words * sizeof(*bits)))
			return -EFAULT;
	}
	return total;
}

static void report_timeout(const struct poll_wait *wait)
{
	if (!wait->timeout.value || wait->deadline_ns == LOOP_NEVER)
		return;
	uint64_t now_ns = wait->once ? wait->deadline_ns : clock_read_ns();
	struct user_timespec left =
	        timespec_from_ns(wait->deadline_ns > now_ns ? wait->deadline_ns - now_ns : 0);
	/* As Linux: a time-out that cannot be written back does not undo the call. */
	(void)!copy_to_user(wait->timeout, &left, sizeof(left));
}

static void wait_free(const struct poll_wait *wait)
{
	if (wait->set)
		set_free(wait->set);
	heap_free(wait->bits);
}

static long poll_finish(struct thread *thread, struct poll_wait *wait, long result)
{
	if (!wait->set->select) {
		if (report_poll(wait))
			result = -EFAULT;
	} else if (result >= 0) {
		result = report_select(wait);
	}
	report_timeout(wait);
	wait_free(wait);
	if (wait->mask_swapped && result != -ERESTARTNOHAND)
		signal_mask_restore(thread);
	return result;
}

static long poll_resume(struct thread *thread, uint32_t reasons);

static long poll_block(struct thread *thread, struct poll_wait *wait)
{
	if (!wait->listening)
		set_listen(thread, wait->set);
	wait->listening = true;
	if (wait->deadline_ns != LOOP_NEVER)
		thread_wait_until(thread, wait->deadline_ns);
	thread_park(thread, poll_resume);
	return SYS_PARKED;
}

static long poll_resume(struct thread *thread, uint32_t reasons)
{
	struct poll_wait *wait = THREAD_PARK_STATE(thread, struct poll_wait);
	if (reasons & WAKE_KILL) {
		wait_free(wait);
		return -EINTR;
	}
	set_refresh(thread, wait->set);
	long found = set_look(wait->set);
	if (found)
		return poll_finish(thread, wait, found);
	/* As in Linux, a signal counts for more than the end of the time. */
	if (reasons & WAKE_SIGNAL || thread_has_signal(thread))
		return poll_finish(thread, wait, -ERESTARTNOHAND);
	if (reasons & WAKE_TIMEOUT || wait->once)
		return poll_finish(thread, wait, 0);
	return poll_block(thread, wait);
}

/* `wait` is the caller's; it is copied when the thread has to park. */
static long poll_start(struct thread *thread, struct poll_wait *wait, uint64_t timeout_ns)
{
	/* Deferred output leaves and arrived packets are seen in a turn of the loop (see epoll.c).
	 */
	bool turn = this_hart()->backstop_ns != LOOP_NEVER;
	wait->once = timeout_ns == 0;
	wait->deadline_ns = deadline_after(timeout_ns);
	if (!turn) {
		long found = set_look(wait->set);
		if (found)
			return poll_finish(thread, wait, found);
		if (thread_has_signal(thread))
			return poll_finish(thread, wait, -ERESTARTNOHAND);
		if (wait->once)
			return poll_finish(thread, wait, 0);
	}
	struct poll_wait *parked = THREAD_PARK_STATE(thread, struct poll_wait);
	*parked = *wait;
	if (!turn)
		return poll_block(thread, parked);
	thread_park(thread, poll_resume);
	thread_wake(thread, WAKE_EVENT);
	return SYS_PARKED;
}

/* An error before anything was looked at. */
static long poll_refuse(struct thread *thread, const struct poll_wait *wait, long error)
{
	wait_free(wait);
	if (wait->mask_swapped)
		signal_mask_restore(thread);
	return error;
}

static void item_set(struct thread *thread, struct poll_item *item, int descriptor, uint16_t events)
{
	struct file *file = thread_file(thread, (uint64_t)descriptor);
	item->descriptor = descriptor;
	item->events = events;
	if (descriptor >= 0 && file && !(file->flags & O_PATH))
		item->file = file_get(file);
}

static int set_read_poll(struct thread *thread, struct poll_set *set, struct user_addr from)
{
	for (uint32_t i = 0; i < set->count; i++) {
		struct user_pollfd entry;
		if (copy_from_user(&entry, user(from.value + i * sizeof(entry)), sizeof(entry)))
			return -EFAULT;
		item_set(thread, &set->items[i], entry.descriptor, entry.events);
	}
	return 0;
}

long sys_ppoll(struct thread *thread, const uint64_t *argument)
{
	uint64_t timeout_ns, count = (uint32_t)argument[1];
	int error = timeout_from_user(user(argument[2]), &timeout_ns);
	if (error)
		return error;
	if (count > thread->process->limits[LIMIT_NOFILE].soft)
		return -EINVAL;
	struct poll_wait wait = { .descriptors = user(argument[0]), .timeout = user(argument[2]) };
	error = signal_mask_from_user(thread, user(argument[3]), argument[4]);
	if (error)
		return error;
	wait.mask_swapped = argument[3];
	wait.set = set_create((uint32_t)count);
	error = wait.set ? set_read_poll(thread, wait.set, wait.descriptors) : -ENOMEM;
	if (error)
		return poll_refuse(thread, &wait, error);
	return poll_start(thread, &wait, timeout_ns);
}

static uint16_t select_events(const struct poll_wait *wait, uint32_t descriptor)
{
	uint16_t events = 0;
	const uint64_t *word = wait->bits + descriptor / WORD_BITS;
	for (int which = 0; which < SELECT_SETS; which++, word += select_words(wait)) {
		if (*word >> (descriptor % WORD_BITS) & 1)
			events |= select_wanted[which];
	}
	return events;
}

static int select_read(struct poll_wait *wait)
{
	size_t words = select_words(wait);
	wait->bits = heap_alloc_zeroed((SELECT_SETS * words + 1) * sizeof(*wait->bits));
	if (!wait->bits)
		return -ENOMEM;
	for (int which = 0; which < SELECT_SETS; which++) {
		if (wait->sets[which].value &&
		    copy_from_user(wait->bits + (size_t)which * words, wait->sets[which],
		                   words * sizeof(*wait->bits)))
			return -EFAULT;
	}
	return 0;
}

static int select_build(struct thread *thread, struct poll_wait *wait)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < wait->select_bits; i++)
		count += select_events(wait, i) != 0;
	wait->set = set_create(count);
	if (!wait->set)
		return -ENOMEM;
	wait->set->select = true;
	count = 0;
	for (uint32_t i = 0; i < wait->select_bits; i++) {
		uint16_t events = select_events(wait, i);
		if (!events)
			continue;
		item_set(thread, &wait->set->items[count++], (int)i, events);
		if (!thread_file(thread, i))
			return -EBADF;
	}
	return 0;
}

long sys_pselect6(struct thread *thread, const uint64_t *argument)
{
	struct poll_wait wait = { .timeout = user(argument[4]) };
	uint64_t timeout_ns, mask[2] = { 0 }; /* the mask's address and its size */
	int count = (int)argument[0];
	if (argument[5] && copy_from_user(mask, user(argument[5]), sizeof(mask)))
		return -EFAULT;
	int error = timeout_from_user(user(argument[4]), &timeout_ns);
	if (!error)
		error = signal_mask_from_user(thread, user(mask[0]), mask[1]);
	if (error)
		return error;
	wait.mask_swapped = mask[0];
	if (count < 0)
		return poll_refuse(thread, &wait, -EINVAL);
	/* As in Linux, descriptors that the table has no slots for are not looked at. */
	wait.select_bits = thread->process->files->capacity;
	if (wait.select_bits > (uint32_t)count)
		wait.select_bits = (uint32_t)count;
	for (int which = 0; which < SELECT_SETS; which++)
		wait.sets[which] = user(argument[1 + which]);
	error = select_read(&wait);
	if (!error)
		error = select_build(thread, &wait);
	if (error)
		return poll_refuse(thread, &wait, error);
	return poll_start(thread, &wait, timeout_ns);
}
