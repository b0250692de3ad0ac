/* Changing what is known of a file: owner, mode, times, size; and the extended attributes that this
 * file system doesn't have. */
#include <errno.h>

#include "core/user.h"
#include "syscalls/files/fcntl.h"
#include "syscalls/files/memfs.h"
#include "syscalls/files/path.h"
#include "syscalls/timespec.h"
#include "syscalls/process.h"
#include "syscalls/syscall.h"

#define MODE_BITS  07777u
#define UTIME_NOW  ((1l << 30) - 1)
#define UTIME_OMIT ((1l << 30) - 2)
#define NO_ID      UINT32_MAX

/* A change of one node; `argument` is the call's own. */
typedef long node_change(struct thread *thread, struct path_node *node, const uint64_t *argument);

static long change_at(struct thread *thread, int directory, struct user_addr path, unsigned flags,
                      node_change *change, const uint64_t *argument)
{
	struct walk walk;
	int error = walk_user(thread, directory, path, flags, &walk);
	if (error)
		return error;
	long result = walk.node ? change(thread, walk.node, argument) : -EPERM;
	walk_end(&walk);
	return result;
}

static long change_file(struct thread *thread, uint64_t descriptor, node_change *change,
                        const uint64_t *argument)
{
	struct file *file = thread_file(thread, descriptor);
	if (!file || file->flags & O_PATH)
		return -EBADF;
	return file->node ? change(thread, file->node, argument) : -EPERM;
}

static long set_mode(struct thread *thread, struct path_node *node, const uint64_t *argument)
{
	if (node_is_fixed(node) || !node_is_owned(thread, node))
		return -EPERM;
	if (node_is(node, S_IFLNK))
		return -EOPNOTSUPP;
	if (node->seals & SEAL_EXEC && (node->mode ^ (uint32_t)*argument) & 0111)
		return -EPERM;
	node->mode = (node->mode & S_IFMT) | ((uint32_t)*argument & MODE_BITS);
	namespace_changes++;
	node->ctime_ns = node_time_ns();
	return 0;
}

long sys_fchmod(struct thread *thread, const uint64_t *argument)
{
	struct file *file = thread_file(thread, argument[0]);
	if (file && !file->node && file->operations->set_mode && !(file->flags & O_PATH)) {
		file->operations->set_mode(file, (uint32_t)argument[1] & MODE_BITS);
		return 0;
	}
	return change_file(thread, argument[0], set_mode, &argument[1]);
}

long sys_fchmodat(struct thread *thread, const uint64_t *argument)
{
	return change_at(thread, (int)argument[0], user(argument[1]), WALK_FOLLOW, set_mode,
	                 &argument[2]);
}

long sys_fchmodat2(struct thread *thread, const uint64_t *argument)
{
	uint32_t flags = (uint32_t)argument[3];
	if (flags & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return change_at(thread, (int)argument[0], user(argument[1]),
	                 (flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW) |
	                         (flags & AT_EMPTY_PATH ? WALK_EMPTY : 0),
	                 set_mode, &argument[2]);
}

static long set_owner(struct thread *thread, struct path_node *node, const uint64_t *argument)
{
	const struct credentials *credentials = &thread->process->credentials;
	uint32_t uid = (uint32_t)argument[0], gid = (uint32_t)argument[1];
	bool may = thread_capable(thread, CAPABILITY_CHOWN);
	bool owned = credentials->fsuid == node->uid;
	if (node_is_fixed(node))
		return -EPERM;
	if (uid != NO_ID && !may && !(owned && uid == node->uid))
		return -EPERM;
	if (gid != NO_ID && !may && !(owned && gid == credentials->fsgid))
		return -EPERM;
	namespace_changes++;
	if (uid != NO_ID)
		node->uid = uid;
	if (gid != NO_ID)
		node->gid = gid;
	if (node_is_regular(node))
		node->mode &= ~(uint32_t)(S_ISUID | (node->mode & 010 ? S_ISGID : 0));
	node->ctime_ns = node_time_ns();
	return 0;
}

long sys_fchown(struct thread *thread, const uint64_t *argument)
{
	return change_file(thread, argument[0], set_owner, &argument[1]);
}

long sys_fchownat(struct thread *thread, const uint64_t *argument)
{
	uint32_t flags = (uint32_t)argument[4];
	if (flags & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return change_at(thread, (int)argument[0], user(argument[1]),
	                 (flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW) |
	                         (flags & AT_EMPTY_PATH ? WALK_EMPTY : 0),
	                 set_owner, &argument[2]);
}

/* argument[0]: the user's two times, or NULL for now. */
static long set_times(struct thread *thread, struct path_node *node, const uint64_t *argument)
{
	struct user_timespec times[2] = { { 0, UTIME_NOW }, { 0, UTIME_NOW } };
	int64_t now_ns = node_time_ns();
	if (argument[0] && copy_from_user(times, user(argument[0]), sizeof(times)))
		return -EFAULT;
	bool both_now = times[0].nanoseconds == UTIME_NOW && times[1].nanoseconds == UTIME_NOW;
	for (int i = 0; i < 2; i++) {
		int64_t ns = times[i].nanoseconds;
		if (ns != UTIME_NOW && ns != UTIME_OMIT && (ns < 0 || ns >= NANOSECONDS))
			return -EINVAL;
	}
	if (times[0].nanoseconds == UTIME_OMIT && times[1].nanoseconds == UTIME_OMIT)
		return 0;
	if (node_is_fixed(node))
		return -EPERM;
	if (!node_is_owned(thread, node)) {
		int error = both_now ? node_permission(thread, node, MAY_WRITE) : -EPERM;
		if (error)
			return error;
	}
	int64_t *places[2] = { &node->atime_ns, &node->mtime_ns };
	for (int i = 0; i < 2; i++) {
		if (times[i].nanoseconds == UTIME_NOW)
			*places[i] = now_ns;
		else if (times[i].nanoseconds != UTIME_OMIT)
			*places[i] = times[i].seconds * NANOSECONDS + times[i].nanoseconds;
	}
	node->ctime_ns = now_ns;
	return 0;
}

long sys_utimensat(struct thread *thread, const uint64_t *argument)
{
	uint32_t flags = (uint32_t)argument[3];
	if (flags & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (!argument[1])
		return (int)argument[0] == AT_FDCWD
		               ? -EFAULT
		               : change_file(thread, argument[0], set_times, &argument[2]);
	return change_at(thread, (int)argument[0], user(argument[1]),
	                 (flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW) |
	                         (flags & AT_EMPTY_PATH ? WALK_EMPTY : 0),
	                 set_times, &argument[2]);
}

/* RLIMIT_FSIZE: beyond it a file does not grow (setrlimit(2)). */
static int check_size(struct thread *thread, uint64_t old_bytes, uint64_t new_bytes)
{
	struct signal_information information = { .number = 25 /* SIGXFSZ */ };
	if (new_bytes <= old_bytes || new_bytes <= thread->process->limits[LIMIT_FSIZE].soft)
		return 0;
	signal_send_thread(thread, &information);
	return -EFBIG;
}

static long set_size(struct thread *thread, struct path_node *node, const uint64_t *argument)
{
	if (node_is_directory(node))
		return -EISDIR;
	int error = node_permission(thread, node, MAY_WRITE);
	if (!error && node_is_executing(node))
		error = -ETXTBSY;
	if (!error)
		error = check_size(thread, node_bytes(node), *argument);
	return error ? error : node_truncate(node, *argument);
}

long sys_truncate(struct thread *thread, const uint64_t *argument)
{
	if ((int64_t)argument[1] < 0)
		return -EINVAL;
	return change_at(thread, AT_FDCWD, user(argument[0]), WALK_FOLLOW, set_size, &argument[1]);
}

long sys_ftruncate(struct thread *thread, const uint64_t *argument)
{
	struct file *file = thread_file(thread, argument[0]);
	if ((int64_t)argument[1] < 0)
		return -EINVAL;
	if (!file || file->flags & O_PATH)
		return -EBADF;
	if ((file->flags & O_ACCMODE) == O_RDONLY || !file->operations->truncate)
		return -EINVAL;
	int error = file->node ? check_size(thread, node_bytes(file->node), argument[1]) : 0;
	return error ? error : file->operations->truncate(file, argument[1]);
}

enum { FALLOC_KEEP_SIZE = 1, FALLOC_PUNCH_HOLE = 2, FALLOC_ZERO_RANGE = 0x10 };

long sys_fallocate(struct thread *thread, const uint64_t *argument)
{
	struct file *file = thread_file(thread, argument[0]);
	uint32_t mode = (uint32_t)argument[1];
	uint64_t offset = argument[2], bytes = argument[3], end;
	if (!file || file->flags & O_PATH || (file->flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	if ((int64_t)offset < 0 || (int64_t)bytes <= 0)
		return -EINVAL;
	if (!file->node || !node_is_regular(file->node))
		return pipe_get_capacity(file) < 0 ? -ENODEV : -ESPIPE;
	if (__builtin_add_overflow(offset, bytes, &end) || end > FILE_BYTES_MAX)
		return -EFBIG;
	struct path_node *node = file->node;
	if (mode & ~(uint32_t)(FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE) ||
	    (mode & FALLOC_PUNCH_HOLE && mode != (FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE)))
		return -EOPNOTSUPP;
	int error = 0;
	bool writes = mode & (FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE);
	if (writes && node->seals & (SEAL_WRITE | SEAL_FUTURE_WRITE))
		return -EPERM;
	if (writes)
		error = file_data_zero(&node->data, offset, bytes);
	bool grows = !(mode & FALLOC_KEEP_SIZE) && end > node->data.bytes;
	if (!error && grows)
		error = check_size(thread, node->data.bytes, end);
	if (!error && grows)
		error = node_truncate(node, end);
	if (!error)
		node_touch(node);
	return error;
}

long sys_fadvise64(struct thread *thread, const uint64_t *argument)
{
	struct file *file = thread_file(thread, argument[0]);
	if (!file || file->flags & O_PATH)
		return -EBADF;
	if (!file->seekable)
		return -ESPIPE;
	return argument[3] > 5 || (int64_t)argument[2] < 0 ? -EINVAL : 0;
}

long sys_readahead(struct thread *thread, const uint64_t *argument)
{
	struct file *file = thread_file(thread, argument[0]);
	if (!file || (file->flags & O_ACCMODE) == O_WRONLY || file->flags & O_PATH)
		return -EBADF;
	return file->node && node_is_regular(file->node) ? 0 : -EINVAL;
}

/* No extended attributes: none can be set, none are there. */
static long attribute_at(struct thread *thread, struct user_addr path, unsigned flags, long result)
{
	struct walk walk;
	int error = walk_user(thread, AT_FDCWD, path, flags, &walk);
	if (error)
		return error;
	walk_end(&walk);
	return result;
}

#define ATTRIBUTE_CALLS(operation, result)                                                         \
	long sys_##operation(struct thread *thread, const uint64_t *argument)                      \
	{                                                                                          \
		return attribute_at(thread, user(argument[0]), WALK_FOLLOW, result);               \
	}                                                                                          \
	long sys_l##operation(struct thread *thread, const uint64_t *argument)                     \
	{                                                                                          \
		return attribute_at(thread, user(argument[0]), 0, result);                         \
	}                                                                                          \
	long sys_f##operation(struct thread *thread, const uint64_t *argument)                     \
	{                                                                                          \
		return thread_file(thread, argument[0]) ? result : -EBADF;                         \
	}

ATTRIBUTE_CALLS(setxattr, -EOPNOTSUPP)
ATTRIBUTE_CALLS(getxattr, -EOPNOTSUPP)
ATTRIBUTE_CALLS(listxattr, 0)
ATTRIBUTE_CALLS(removexattr, -EOPNOTSUPP)
