/* Advisory locks: fcntl(F_SETLK...), open-file locks, flock(2). */
#include "syscalls/files/locks.h"

#include <errno.h>

#include "core/memory.h"
#include "core/user.h"
#include "syscalls/file.h"
#include "syscalls/files/fcntl.h"
#include "syscalls/files/node.h"
#include "syscalls/process.h"
#include "syscalls/syscall.h"

enum { F_RDLCK, F_WRLCK, F_UNLCK };
enum { LOCK_SH = 1, LOCK_EX = 2, LOCK_NB = 4, LOCK_UN = 8 };

struct user_flock {
	int16_t type, whence;
	int32_t padding;
	int64_t start, length;
	int32_t pid, padding2;
};

static struct wait_queue lock_waiters = { .entries = { .head = { &lock_waiters.entries.head,
	                                                         &lock_waiters.entries.head } } };

static bool overlaps(const struct file_lock *a, const struct file_lock *b)
{
	return a->start <= b->end && b->start <= a->end;
}

static struct file_lock *find_conflict(const struct path_node *node, const struct file_lock *wanted)
{
	list_for_each(link, &node->locks)
	{
		struct file_lock *lock = list_entry(link, struct file_lock, link);
		if (lock->kind == wanted->kind && lock->owner != wanted->owner &&
		    overlaps(lock, wanted) && (lock->exclusive || wanted->exclusive))
			return lock;
	}
	return NULL;
}

static void lock_free(struct file_lock *lock)
{
	list_remove(&lock->link);
	heap_free(lock);
}

/* Takes [start, end] out of the owner's locks; `spare` is used when one is split in two (then
 * *spare becomes NULL). */
static void carve(struct path_node *node, const struct file_lock *range, struct file_lock **spare)
{
	list_for_each_safe(link, &node->locks)
	{
		struct file_lock *lock = list_entry(link, struct file_lock, link);
		if (lock->kind != range->kind || lock->owner != range->owner ||
		    !overlaps(lock, range))
			continue;
		bool left = lock->start<range->start, right = lock->end> range->end;
		if (left && right) {
			struct file_lock *tail = *spare;
			*spare = NULL;
			*tail = *lock;
			tail->start = range->end + 1;
			list_push_back(&node->locks, &tail->link);
			lock->end = range->start - 1;
			return; /* nothing else of this owner overlaps */
		}
		if (left)
			lock->end = range->start - 1;
		else if (right)
			lock->start = range->end + 1;
		else
			lock_free(lock);
	}
}

static int lock_set(struct path_node *node, const struct file_lock *wanted, bool unlock)
{
	if (!unlock && find_conflict(node, wanted))
		return -EAGAIN;
	struct file_lock *spare = heap_alloc(sizeof(*spare));
	struct file_lock *fresh = unlock ? NULL : heap_alloc(sizeof(*fresh));
	if (!spare || (!unlock && !fresh)) {
		heap_free(spare);
		heap_free(fresh);
		return -ENOLCK;
	}
	carve(node, wanted, &spare);
	heap_free(spare);
	if (fresh) {
		*fresh = *wanted;
		list_push_back(&node->locks, &fresh->link);
	}
	wait_queue_notify(&lock_waiters, POLLIN);
	return 0;
}

void locks_release(struct path_node *node, const void *owner)
{
	if (list_is_empty(&node->locks))
		return;
	list_for_each_safe(link, &node->locks)
	{
		struct file_lock *lock = list_entry(link, struct file_lock, link);
		if (lock->owner == owner)
			lock_free(lock);
	}
	wait_queue_notify(&lock_waiters, POLLIN);
}

/* A call that waits until its lock is free. */
struct lock_wait {
	struct file *file;
	struct file_lock wanted;
};

static long lock_resume(struct thread *thread, uint32_t reasons)
{
	struct lock_wait *wait = THREAD_PARK_STATE(thread, struct lock_wait);
	long result =
	        reasons & WAKE_KILL ? -EINTR : lock_set(wait->file->node, &wait->wanted, false);
	if (result == -EAGAIN && !(reasons & WAKE_SIGNAL)) {
		thread_wait_on(thread, &lock_waiters, POLLIN, false);
		thread_park(thread, lock_resume);
		return SYS_PARKED;
	}
	file_put(wait->file);
	return result == -EAGAIN ? -ERESTARTSYS : result;
}

static long lock_wait(struct thread *thread, struct file *file, const struct file_lock *wanted)
{
	int result = lock_set(file->node, wanted, false);
	if (result != -EAGAIN)
		return result;
	if (thread_has_signal(thread))
		return -ERESTARTSYS;
	struct lock_wait *wait = THREAD_PARK_STATE(thread, struct lock_wait);
	wait->file = file_get(file);
	wait->wanted = *wanted;
	thread_wait_on(thread, &lock_waiters, POLLIN, false);
	thread_park(thread, lock_resume);
	return SYS_PARKED;
}

static int range_from_user(const struct file *file, const struct user_flock *user_lock,
                           struct file_lock *out)
{
	int64_t base = 0, start, end;
	if (user_lock->whence == 1)
		base = (int64_t)file->offset;
	else if (user_lock->whence == 2)
		base = (int64_t)node_bytes(file->node);
	else if (user_lock->whence != 0)
		return -EINVAL;
	if (__builtin_add_overflow(base, user_lock->start, &start))
		return -EOVERFLOW;
	end = INT64_MAX;
	if (user_lock->length > 0 && __builtin_add_overflow(start, user_lock->length - 1, &end))
		return -EOVERFLOW;
	if (user_lock->length < 0) {
		end = start - 1;
		start += user_lock->length;
	}
	if (start < 0)
		return -EINVAL;
	out->start = (uint64_t)start;
	out->end = end == INT64_MAX ? UINT64_MAX : (uint64_t)end;
	return 0;
}

static long lock_query(struct file *file, struct file_lock *wanted, struct user_flock *user_lock,
                       struct user_addr to)
{
	const struct file_lock *conflict = find_conflict(file->node, wanted);
	if (!conflict) {
		user_lock->type = F_UNLCK;
	} else {
		user_lock->type = conflict->exclusive ? F_WRLCK : F_RDLCK;
		user_lock->whence = 0;
		user_lock->start = (int64_t)conflict->start;
		user_lock->length = conflict->end == UINT64_MAX
		                            ? 0
		                            : (int64_t)(conflict->end - conflict->start + 1);
		user_lock->pid = conflict->pid;
	}
	return copy_to_user(to, user_lock, sizeof(*user_lock));
}

long fcntl_lock(struct thread *thread, struct file *file, enum fcntl_lock_action action,
                bool open_file, struct user_addr argument)
{
	struct user_flock user_lock;
	struct file_lock wanted = {
		.owner = open_file ? (const void *)file : thread->process->files,
		.pid = open_file ? -1 : thread->process->pid,
		.kind = LOCK_RECORD,
	};
	if (copy_from_user(&user_lock, argument, sizeof(user_lock)))
		return -EFAULT;
	if (!file->node)
		return -EBADF;
	if (open_file && user_lock.pid)
		return -EINVAL;
	int error = range_from_user(file, &user_lock, &wanted);
	if (error)
		return error;
	if (user_lock.type != F_RDLCK && user_lock.type != F_WRLCK && user_lock.type != F_UNLCK)
		return -EINVAL;
	wanted.exclusive = user_lock.type == F_WRLCK;
	if (action == FCNTL_LOCK_QUERY)
		return user_lock.type == F_UNLCK ? -EINVAL
		                                 : lock_query(file, &wanted, &user_lock, argument);
	uint32_t mode = file->flags & O_ACCMODE;
	if ((user_lock.type == F_RDLCK && mode == O_WRONLY) ||
	    (user_lock.type == F_WRLCK && mode == O_RDONLY))
		return -EBADF;
	if (user_lock.type == F_UNLCK)
		return lock_set(file->node, &wanted, true);
	if (action == FCNTL_LOCK_WAIT)
		return lock_wait(thread, file, &wanted);
	return lock_set(file->node, &wanted, false);
}

long sys_flock(struct thread *thread, const uint64_t *argument)
{
	struct file *file = thread_file(thread, argument[0]);
	uint32_t operation = (uint32_t)argument[1];
	if (!file || file->flags & O_PATH)
		return -EBADF;
	if (!file->node)
		return -EBADF;
	struct file_lock wanted = { .owner = file,
		                    .pid = thread->process->pid,
		                    .kind = LOCK_FLOCK,
		                    .exclusive = (operation & ~(uint32_t)LOCK_NB) == LOCK_EX,
		                    .end = UINT64_MAX };
	switch (operation & ~(uint32_t)LOCK_NB) {
	case LOCK_UN:
		return lock_set(file->node, &wanted, true);
	case LOCK_SH:
	case LOCK_EX:
		return operation & LOCK_NB ? lock_set(file->node, &wanted, false)
		                           : lock_wait(thread, file, &wanted);
	default:
		return -EINVAL;
	}
}
