/* What is known of a file: stat, statx, statfs, access, readlink. */
#include <errno.h>
#include <string.h>

#include "core/user.h"
#include "syscalls/files/path.h"
#include "syscalls/timespec.h"
#include "syscalls/syscall.h"

struct user_stat { /* asm-generic/stat.h */
	uint64_t device, inode;
	uint32_t mode, links, uid, gid;
	uint64_t rdev, padding1;
	int64_t size;
	int32_t block_bytes, padding2;
	int64_t blocks;
	struct user_timespec atime, mtime, ctime;
	uint32_t unused[2];
};

struct user_statx_time {
	int64_t seconds;
	uint32_t nanoseconds;
	int32_t reserved;
};

struct user_statx {
	uint32_t mask, block_bytes;
	uint64_t attributes;
	uint32_t links, uid, gid;
	uint16_t mode, spare0;
	uint64_t inode, size, blocks, attributes_mask;
	struct user_statx_time atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor, device_major, device_minor;
	uint64_t mount_id;
	uint32_t spare[26];
};

struct user_statfs {
	int64_t type, block_bytes, blocks, blocks_free, blocks_available, files, files_free;
	int32_t id[2];
	int64_t name_bytes, fragment_bytes, flags, spare[4];
};

#define STATX_BASIC_STATS 0x7ffu
#define STATX_BTIME       0x800u
#define STATX_RESERVED    0x80000000u
#define SOCKFS_MAGIC      0x534f434b
#define PIPEFS_MAGIC      0x50495045
#define ANON_MAGIC        0x09041934

static struct user_timespec time_of(int64_t ns)
{
	return timespec_from_ns(ns < 0 ? 0 : (uint64_t)ns);
}

static int store_stat(const struct file_status *status, struct user_addr to)
{
	struct user_stat out = {
		.device = status->device,
		.inode = status->inode,
		.mode = status->mode,
		.links = status->links,
		.uid = status->uid,
		.gid = status->gid,
		.rdev = status->rdev,
		.size = (int64_t)status->size,
		.block_bytes = (int32_t)status->block_bytes,
		.blocks = (int64_t)status->blocks,
		.atime = time_of(status->atime_ns),
		.mtime = time_of(status->mtime_ns),
		.ctime = time_of(status->ctime_ns),
	};
	return copy_to_user(to, &out, sizeof(out));
}

static struct user_statx_time statx_time(int64_t ns)
{
	struct user_timespec time = time_of(ns);
	return (struct user_statx_time){ time.seconds, (uint32_t)time.nanoseconds, 0 };
}

static uint32_t device_major(uint64_t device)
{
	return (uint32_t)(device >> 8 & 0xfff);
}

static uint32_t device_minor(uint64_t device)
{
	return (uint32_t)((device & 0xff) | (device >> 12 & ~0xffull));
}

static int store_statx(const struct file_status *status, struct user_addr to)
{
	struct user_statx out = {
		.mask = STATX_BASIC_STATS,
		.block_bytes = status->block_bytes,
		.links = status->links,
		.uid = status->uid,
		.gid = status->gid,
		.mode = (uint16_t)status->mode,
		.inode = status->inode,
		.size = status->size,
		.blocks = status->blocks,
		.atime = statx_time(status->atime_ns),
		.ctime = statx_time(status->ctime_ns),
		.mtime = statx_time(status->mtime_ns),
		.rdev_major = device_major(status->rdev),
		.rdev_minor = device_minor(status->rdev),
		.device_major = device_major(status->device),
		.device_minor = device_minor(status->device),
	};
	return copy_to_user(to, &out, sizeof(out));
}

static int file_status_of(struct file *file, struct file_status *out)
{
	if (file->operations->status)
		return file->operations->status(file, out);
	if (!file->node)
		return -EBADF;
	node_status(file->node, out);
	return 0;
}

static int status_at(struct thread *thread, int directory, struct user_addr path, uint32_t flags,
                     struct file_status *out)
{
	struct walk walk;
	unsigned walk_flags = flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW;
	if (flags & AT_EMPTY_PATH) {
		char first = 0;
		if (path.value && copy_from_user(&first, path, 1))
			return -EFAULT;
		struct file *file = thread_file(thread, (uint64_t)directory);
		if (!first && directory != AT_FDCWD)
			return file ? file_status_of(file, out) : -EBADF;
		walk_flags |= WALK_EMPTY;
	}
	int error = walk_user(thread, directory, path, walk_flags, &walk);
	if (error)
		return error;
	if (walk.file)
		error = file_status_of(walk.file, out);
	else
		node_status(walk.node, out);
	walk_end(&walk);
	return error;
}

long sys_newfstatat(struct thread *thread, const uint64_t *argument)
{
	struct file_status status;
	uint32_t flags = (uint32_t)argument[3];
	if (flags & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH))
		return -EINVAL;
	int error = status_at(thread, (int)argument[0], user(argument[1]), flags, &status);
	return error ? error : store_stat(&status, user(argument[2]));
}

long sys_fstat(struct thread *thread, const uint64_t *argument)
{
	struct file_status status;
	struct file *file = thread_file(thread, argument[0]);
	if (!file)
		return -EBADF;
	int error = file_status_of(file, &status);
	return error ? error : store_stat(&status, user(argument[1]));
}

long sys_statx(struct thread *thread, const uint64_t *argument)
{
	struct file_status status;
	uint32_t flags = (uint32_t)argument[2];
	if (flags & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH |
	                        AT_STATX_SYNC_TYPE) ||
	    argument[3] & STATX_RESERVED || (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE)
		return -EINVAL;
	int error = status_at(thread, (int)argument[0], user(argument[1]), flags, &status);
	return error ? error : store_statx(&status, user(argument[4]));
}

static int store_statfs(int64_t type, struct user_addr to)
{
	struct memory_statistics memory;
	memory_read_statistics(&memory);
	struct user_statfs out = {
		.type = type,
		.block_bytes = PAGE_SIZE,
		.blocks = (int64_t)memory.total_pages,
		.blocks_free = (int64_t)memory.free_pages,
		.blocks_available = (int64_t)memory.free_pages,
		.files = (int64_t)memory.total_pages,
		.files_free = (int64_t)memory.free_pages,
		.name_bytes = NAME_BYTES_MAX,
		.fragment_bytes = PAGE_SIZE,
	};
	return copy_to_user(to, &out, sizeof(out));
}

static int64_t magic_of(const struct file *file)
{
	uint32_t type = 0;
	struct file_status status;
	if (file->node)
		return file->node->operations ? (int64_t)file->node->operations->magic
		                              : TMPFS_MAGIC;
	if (file->operations->status && !file->operations->status((struct file *)file, &status))
		type = status.mode & S_IFMT;
	return type == S_IFSOCK ? SOCKFS_MAGIC : type == S_IFIFO ? PIPEFS_MAGIC : ANON_MAGIC;
}

long sys_statfs(struct thread *thread, const uint64_t *argument)
{
	struct walk walk;
	int error = walk_user(thread, AT_FDCWD, user(argument[0]), WALK_FOLLOW, &walk);
	if (error)
		return error;
	int64_t magic = walk.file               ? magic_of(walk.file)
	                : walk.node->operations ? (int64_t)walk.node->operations->magic
	                                        : TMPFS_MAGIC;
	walk_end(&walk);
	return store_statfs(magic, user(argument[1]));
}

long sys_fstatfs(struct thread *thread, const uint64_t *argument)
{
	struct file *file = thread_file(thread, argument[0]);
	if (!file)
		return -EBADF;
	return store_statfs(magic_of(file), user(argument[1]));
}

static long access_at(struct thread *thread, const uint64_t *argument, uint32_t flags)
{
	struct walk walk;
	uint32_t want = (uint32_t)argument[2];
	unsigned walk_flags = flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW;
	if (want & ~7u || flags & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_EACCESS | AT_EMPTY_PATH))
		return -EINVAL;
	if (flags & AT_EMPTY_PATH)
		walk_flags |= WALK_EMPTY;
	int error = walk_user(thread, (int)argument[0], user(argument[1]), walk_flags, &walk);
	if (error)
		return error;
	if (walk.node && want)
		error = flags & AT_EACCESS ? node_permission(thread, walk.node, want)
		                           : node_permission_real(thread, walk.node, want);
	walk_end(&walk);
	return error;
}

long sys_faccessat(struct thread *thread, const uint64_t *argument)
{
	return access_at(thread, argument, 0);
}

long sys_faccessat2(struct thread *thread, const uint64_t *argument)
{
	return access_at(thread, argument, (uint32_t)argument[3]);
}

long sys_readlinkat(struct thread *thread, const uint64_t *argument)
{
	struct walk walk;
	int64_t room = (int)argument[3];
	if (room <= 0)
		return -EINVAL;
	int error = walk_user(thread, (int)argument[0], user(argument[1]), WALK_EMPTY, &walk);
	if (error)
		return error;
	char *text = page_alloc(0);
	long length = -EINVAL;
	if (!text) {
		length = -ENOMEM;
	} else if (walk.node && node_is(walk.node, S_IFLNK)) {
		if (walk.node->operations) {
			length = walk.node->operations->read_link(walk.node, text, PATH_BYTES_MAX);
		} else {
			length = (long)strlen(walk.node->target);
			memcpy(text, walk.node->target, (size_t)length);
		}
	}
	walk_end(&walk);
	if (length > room)
		length = room;
	if (length > 0 && copy_to_user(user(argument[2]), text, (size_t)length))
		length = -EFAULT;
	if (text)
		page_free(text, 0);
	return length;
}
