/* timerfd_create(2), timerfd_settime(2), timerfd_gettime(2). */
#include <errno.h>

#include "core/clock.h"
#include "core/user.h"
#include "syscalls/files/anonymous.h"
#include "syscalls/timespec.h"
#include "syscalls/syscall.h"

enum {
	CLOCK_REALTIME = 0,
	CLOCK_MONOTONIC = 1,
	CLOCK_BOOTTIME = 7,
	CLOCK_REALTIME_ALARM = 8,
	CLOCK_BOOTTIME_ALARM = 9
};
#define TFD_TIMER_ABSTIME       1u
#define TFD_TIMER_CANCEL_ON_SET 2u

struct timerfd {
	struct file file;
	struct loop *loop;
	struct loop_timer timer;
	uint64_t next_ns;     /* monotonic time of the next expiry; LOOP_NEVER: disarmed */
	uint64_t interval_ns; /* 0: once */
	uint64_t expired;     /* not yet read */
	bool wall;            /* absolute times are of the wall clock */
	/* Waits for a time of the wall clock: then the deadline is a guess that ends when the clock
	 * is set. */
	bool follows_wall;
	bool cancel_on_set;      /* TFD_TIMER_CANCEL_ON_SET */
	bool canceled;           /* the clock was set, and nobody was told yet */
	struct wait_entry entry; /* on wall_clock_set */
};

struct user_itimerspec {
	struct user_timespec interval, value;
};

static struct timerfd *timerfd_of(struct file *file)
{
	return container_of(file, struct timerfd, file);
}

/* Counts what is due by now and arms the timer for the next. */
static void timerfd_advance(struct timerfd *timer, uint64_t now_ns)
{
	timer->expired += timer_take_expiries(&timer->next_ns, timer->interval_ns, now_ns);
	loop_timer_arm(timer->loop, &timer->timer, timer->next_ns);
}

static void timerfd_fired(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	struct timerfd *timer = container_of(watcher, struct timerfd, timer.watcher);
	(void)loop, (void)events;
	uint64_t now_ns = clock_read_ns();
	uint64_t rested_ns = now_ns + (timer->expired ? TIMER_REST_MOST_NS : TIMER_REST_NS);
	timerfd_advance(timer, now_ns);
	if (timer->next_ns < rested_ns)
		loop_timer_arm(timer->loop, &timer->timer, rested_ns);
	if (timer->expired)
		file_notify(&timer->file, POLLIN);
}

static bool timerfd_clock_was_set(struct wait_entry *entry, uint32_t by)
{
	struct timerfd *timer = container_of(entry, struct timerfd, entry);
	(void)by;
	timer->canceled |= timer->cancel_on_set;
	if (timer->next_ns != LOOP_NEVER) {
		uint64_t moved = wall_clock_set_by_ns;
		timer->next_ns =
		        (int64_t)moved > (int64_t)timer->next_ns ? 0 : timer->next_ns - moved;
		timerfd_advance(timer, clock_read_ns());
	}
	if (timer->canceled || timer->expired)
		file_notify(&timer->file, POLLIN);
	return true;
}

static bool take_canceled(struct timerfd *timer)
{
	bool canceled = timer->canceled;
	timer->canceled = false;
	return canceled;
}

static uint32_t timerfd_poll(struct file *file)
{
	const struct timerfd *timer = timerfd_of(file);
	return timer->expired || timer->canceled ? POLLIN : 0;
}

static long timerfd_read(struct file *file, struct uio *uio, uint64_t offset)
{
	struct timerfd *timer = timerfd_of(file);
	(void)offset;
	if (uio->remaining < sizeof(uint64_t))
		return -EINVAL;
	if (timer->next_ns != LOOP_NEVER)
		timerfd_advance(timer, clock_read_ns());
	uint64_t expired = timer->expired;
	if (take_canceled(timer)) {
		timer->expired = 0;
		return -ECANCELED;
	}
	if (!expired)
		return -EAGAIN;
	timer->expired = 0;
	/* As in Linux, what cannot be stored is lost. */
	return uio_copy_out(uio, &expired, sizeof(expired)) < sizeof(expired)
	               ? -EFAULT
	               : (long)sizeof(expired);
}

static void timerfd_release(struct file *file)
{
	struct timerfd *timer = timerfd_of(file);
	wait_entry_remove(&timer->entry);
	loop_timer_destroy(timer->loop, &timer->timer);
	heap_free(timer);
}

static const struct file_operations timerfd_operations = {
	.kind = "timerfd",
	.no_splice_read = true,
	.read = timerfd_read,
	.poll = timerfd_poll,
	.status = anonymous_status,
	.seek = anonymous_seek,
	.release = timerfd_release,
};

int64_t anonymous_seek(struct file *file, int64_t offset, int whence)
{
	(void)file, (void)offset, (void)whence;
	return 0;
}

int anonymous_status(struct file *file, struct file_status *out)
{
	(void)file;
	*out = (struct file_status){
		.device = 13, .inode = 1, .mode = 0600, .links = 1, .block_bytes = PAGE_SIZE
	};
	return 0;
}

long sys_timerfd_create(struct thread *thread, const uint64_t *argument)
{
	int clock = (int)argument[0];
	uint32_t flags = (uint32_t)argument[1];
	bool wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM;
	if (flags & ~(uint32_t)(O_CLOEXEC | O_NONBLOCK) ||
	    (!wall && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME &&
	     clock != CLOCK_BOOTTIME_ALARM))
		return -EINVAL;
	struct timerfd *timer = heap_alloc_zeroed(sizeof(*timer));
	if (!timer)
		return -ENOMEM;
	timer->loop = &this_hart()->loop;
	if (loop_timer_create(timer->loop, &timer->timer, LOOP_PRIORITY_NORMAL, timerfd_fired)) {
		heap_free(timer);
		return -ENOMEM;
	}
	timer->wall = wall;
	list_node_init(&timer->entry.link);
	timer->entry.notify = timerfd_clock_was_set;
	timer->entry.interest = POLLIN;
	timer->next_ns = LOOP_NEVER;
	file_init(&timer->file, &timerfd_operations, timer, O_RDWR | (flags & O_NONBLOCK));
	return anonymous_install(thread, &timer->file, flags & O_CLOEXEC);
}

/* -EBADF, -EINVAL: not a timerfd. */
static int timerfd_from(struct thread *thread, uint64_t descriptor, struct timerfd **out)
{
	struct file *file = thread_file(thread, descriptor);
	if (!file)
		return -EBADF;
	*out = timerfd_of(file);
	return file->operations == &timerfd_operations ? 0 : -EINVAL;
}

static int timerfd_report(struct timerfd *timer, struct user_addr to)
{
	struct user_itimerspec setting = { .interval = timespec_from_ns(timer->interval_ns) };
	if (timer->next_ns != LOOP_NEVER) {
		uint64_t now_ns = clock_read_ns();
		timerfd_advance(timer, now_ns);
		if (timer->next_ns != LOOP_NEVER)
			setting.value = timespec_from_ns(timer->next_ns - now_ns);
	}
	return copy_to_user(to, &setting, sizeof(setting));
}

long sys_timerfd_settime(struct thread *thread, const uint64_t *argument)
{
	struct timerfd *timer;
	struct user_itimerspec setting;
	uint32_t flags = (uint32_t)argument[1];
	if (copy_from_user(&setting, user(argument[2]), sizeof(setting)))
		return -EFAULT;
	if (flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) ||
	    !timespec_is_valid(&setting.value) || !timespec_is_valid(&setting.interval))
		return -EINVAL;
	int error = timerfd_from(thread, argument[0], &timer);
	if (!error && argument[3])
		error = timerfd_report(timer, user(argument[3]));
	if (error)
		return error;
	uint64_t value_ns = timespec_to_ns(&setting.value), now_ns = clock_read_ns();
	uint64_t wall_ns = clock_parameters.wall_offset_ns;
	timer->interval_ns = timespec_to_ns(&setting.interval);
	timer->expired = 0;
	timer->follows_wall = timer->wall && flags & TFD_TIMER_ABSTIME;
	timer->cancel_on_set = timer->follows_wall && flags & TFD_TIMER_CANCEL_ON_SET;
	bool canceled = take_canceled(timer);
	wait_entry_remove(&timer->entry);
	if (timer->follows_wall)
		wait_queue_add(&wall_clock_set, &timer->entry);
	if (!value_ns || value_ns == LOOP_NEVER)
		timer->next_ns = LOOP_NEVER;
	else if (!(flags & TFD_TIMER_ABSTIME))
		timer->next_ns = now_ns + value_ns;
	else if (timer->wall)
		timer->next_ns = value_ns > wall_ns ? value_ns - wall_ns : 0;
	else
		timer->next_ns = value_ns;
	timerfd_advance(timer, now_ns);
	if (timer->expired)
		file_notify(&timer->file, POLLIN);
	return canceled && timer->cancel_on_set ? -ECANCELED : 0;
}

long sys_timerfd_gettime(struct thread *thread, const uint64_t *argument)
{
	struct timerfd *timer;
	int error = timerfd_from(thread, argument[0], &timer);
	return error ? error : timerfd_report(timer, user(argument[1]));
}
