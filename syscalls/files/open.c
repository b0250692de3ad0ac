/* openat(2), openat2(2), and opening in kernel code. */
#include <errno.h>
#include <string.h>

#include "core/user.h"
#include "syscalls/files/devices.h"
#include "syscalls/files/memfs.h"
#include "syscalls/files/path.h"
#include "syscalls/files/pipe.h"
#include "syscalls/process.h"
#include "syscalls/syscall.h"

#define O_TMPFILE  020000000u /* without O_DIRECTORY, which goes with it */
#define O_SYNC_BIT 04000000u  /* of O_SYNC, beside O_DSYNC */
#define FILE_FLAGS                                                                                 \
	(O_ACCMODE | O_APPEND | O_NONBLOCK | O_DSYNC | O_ASYNC | O_DIRECT | O_LARGEFILE |          \
	 O_NOATIME | O_DIRECTORY | O_NOFOLLOW | O_PATH | O_SYNC_BIT)
#define CREATE_BITS 07777u

static int open_permission(struct thread *thread, const struct path_node *node, uint32_t flags)
{
	static const uint8_t wanted[4] = { MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE,
		                           MAY_READ | MAY_WRITE };
	unsigned want = wanted[flags & O_ACCMODE];
	if (flags & O_TRUNC)
		want |= MAY_WRITE;
	if (node_is_directory(node) && want & MAY_WRITE)
		return -EISDIR;
	if (flags & O_NOATIME && !node_is_owned(thread, node))
		return -EPERM;
	int error = node_permission(thread, node, want);
	if (!error && want & MAY_WRITE && node_is_executing(node))
		error = -ETXTBSY;
	return error;
}

int node_open(struct thread *thread, struct path_node *node, uint32_t flags, struct file **out)
{
	uint32_t kept = flags & FILE_FLAGS;
	if (flags & O_PATH)
		return memfs_open(node, kept, out);
	if (node_is(node, S_IFLNK))
		return -ELOOP;
	if (node->operations && node->operations->open)
		return node->operations->open(thread, node, kept, out);
	switch (node->mode & S_IFMT) {
	case S_IFREG:
		if (node->operations)
			return -EACCES;
		if (flags & O_TRUNC) {
			int error = node_truncate(node, 0);
			if (error)
				return error;
		}
		return memfs_open(node, kept, out);
	case S_IFDIR:
		return memfs_open(node, kept, out);
	case S_IFCHR:
		return device_open(thread, node, kept, out);
	case S_IFIFO:
		return fifo_open(node, kept, out);
	default:
		return -ENXIO;
	}
}

/* The name is free: make a regular file there. */
static int create_in(struct thread *thread, struct path_node *directory, const char *name,
                     size_t length, uint32_t mode, struct path_node **out)
{
	const struct credentials *credentials = &thread->process->credentials;
	if (directory->operations)
		return name ? -ENOENT : -EOPNOTSUPP;
	if (name && !directory->links && !list_is_empty(&directory->names))
		return -ENOENT;
	int error = node_permission(thread, directory, MAY_WRITE | MAY_EXECUTE);
	if (error)
		return error;
	struct path_node *node =
	        node_create(S_IFREG | (mode & CREATE_BITS & ~thread->process->fs->umask));
	if (!node)
		return -ENOMEM;
	node->uid = credentials->fsuid;
	node->gid = directory->mode & S_ISGID ? directory->gid : credentials->fsgid;
	error = name ? directory_add(directory, name, length, node) : 0;
	if (error)
		path_node_put(node);
	else
		*out = node;
	return error == -ENOMEM ? -ENOSPC : error;
}

static int open_existing(struct thread *thread, struct path_node *node, uint32_t flags,
                         struct file **out)
{
	if (flags & O_DIRECTORY && !node_is_directory(node))
		return -ENOTDIR;
	if (node_is(node, S_IFLNK) && !(flags & O_PATH))
		return -ELOOP;
	if (!(flags & O_PATH)) {
		int error = open_permission(thread, node, flags);
		if (error)
			return error;
	}
	return node_open(thread, node, flags, out);
}

/* What the walk found, or the lack of it, becomes an open file. */
static int open_walked(struct thread *thread, struct walk *walk, uint32_t flags, uint32_t mode,
                       struct file **out)
{
	if (walk->file) { /* a file without a name behind /proc/PID/fd */
		if (!(flags & O_PATH))
			return pipe_reopen(walk->file, flags & FILE_FLAGS, out);
		*out = file_get(walk->file);
		return 0;
	}
	if ((flags & (O_TMPFILE | O_DIRECTORY)) == (O_TMPFILE | O_DIRECTORY)) {
		struct path_node *node;
		if (!node_is_directory(walk->node))
			return -ENOTDIR;
		int error = create_in(thread, walk->node, NULL, 0, mode, &node);
		if (error)
			return error;
		error = memfs_open(node, flags & FILE_FLAGS & ~(uint32_t)O_DIRECTORY, out);
		path_node_put(node);
		return error;
	}
	if (walk->node) {
		if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
			return -EEXIST;
		if (flags & O_CREAT && node_is_directory(walk->node))
			return -EISDIR;
		return open_existing(thread, walk->node, flags, out);
	}
	if (walk->trailing_slash)
		return -EISDIR;
	struct path_node *node;
	int error = create_in(thread, walk->parent, walk->name, walk->name_length, mode, &node);
	if (error)
		return error;
	error = node_open(thread, node, flags & ~(uint32_t)O_TRUNC, out);
	path_node_put(node);
	return error;
}

static int open_path(struct thread *thread, int directory, struct user_path *path, uint32_t flags,
                     uint32_t mode, unsigned walk_flags, struct file **out)
{
	struct walk walk;
	if (flags & O_PATH)
		flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	if (flags & O_TMPFILE &&
	    (!(flags & O_DIRECTORY) || (flags & O_ACCMODE) == O_RDONLY || flags & O_CREAT))
		return -EINVAL;
	if (flags & O_CREAT) {
		if (flags & O_DIRECTORY)
			return -EINVAL;
		walk_flags |= WALK_PARENT;
	}
	if (!(flags & O_NOFOLLOW) && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL))
		walk_flags |= WALK_FOLLOW;
	int error = walk_path(thread, directory, path, walk_flags, &walk);
	if (error)
		return error;
	error = open_walked(thread, &walk, flags, mode, out);
	walk_end(&walk);
	return error;
}

int path_open(struct thread *thread, const char *path, uint32_t flags, struct file **out)
{
	size_t length = strlen(path);
	struct user_path copy = { .text = (char *)(uintptr_t)path, .length = length };
	if (length < sizeof(copy.inline_text))
		copy.text = memcpy(copy.inline_text, path, length + 1);
	return open_path(thread, AT_FDCWD, &copy, flags, 0, 0, out);
}

static int check_program(const struct thread *thread, const struct path_node *node)
{
	return node_is_regular(node) ? node_permission(thread, node, MAY_EXECUTE) : -EACCES;
}

int program_check(const struct thread *thread, const struct file *file)
{
	return file->node ? check_program(thread, file->node) : -EACCES;
}

int program_open(struct thread *thread, const char *path, struct file **out)
{
	struct walk walk;
	int error = walk_at(thread, AT_FDCWD, path, WALK_FOLLOW, &walk);
	if (error)
		return error;
	error = walk.file ? -EACCES : check_program(thread, walk.node);
	if (!error)
		error = node_open(thread, walk.node, O_RDONLY, out);
	walk_end(&walk);
	return error;
}

static long open_user(struct thread *thread, const uint64_t *argument, uint64_t flags,
                      uint64_t mode, unsigned walk_flags)
{
	struct user_path path;
	struct file *file = NULL;
	int error = user_path_get(&path, user(argument[1]));
	if (error)
		return error;
	/* As Linux on 64 bits, whose F_GETFL shows it. */
	error = open_path(thread, (int)argument[0], &path, (uint32_t)flags | O_LARGEFILE,
	                  (uint32_t)mode, walk_flags, &file);
	user_path_put(&path);
	if (error)
		return error;
	int descriptor = file_install(thread, file, 0, flags & O_CLOEXEC);
	if (descriptor < 0) {
		file_put(file);
		return descriptor;
	}
	return fifo_wait_open(thread, file, descriptor);
}

long sys_openat(struct thread *thread, const uint64_t *argument)
{
	return open_user(thread, argument, argument[2], argument[3], 0);
}

#define RESOLVE_NO_XDEV       0x01u
#define RESOLVE_NO_MAGICLINKS 0x02u
#define RESOLVE_NO_SYMLINKS   0x04u
#define RESOLVE_BENEATH       0x08u
#define RESOLVE_IN_ROOT       0x10u
#define RESOLVE_CACHED        0x20u

struct open_how {
	uint64_t flags, mode, resolve;
};

#define OPEN2_FLAGS                                                                                \
	(FILE_FLAGS | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC | O_TMPFILE | O_DSYNC)

long sys_openat2(struct thread *thread, const uint64_t *argument)
{
	struct open_how how;
	uint64_t bytes = argument[3];
	if (bytes < sizeof(how))
		return -EINVAL;
	if (bytes > PAGE_SIZE)
		return -E2BIG;
	if (copy_from_user(&how, user(argument[2]), sizeof(how)))
		return -EFAULT;
	for (uint64_t at = sizeof(how); at < bytes; at++) {
		char extra;
		if (copy_from_user(&extra, user(argument[2] + at), 1))
			return -EFAULT;
		if (extra)
			return -E2BIG;
	}
	if (how.flags & ~(uint64_t)OPEN2_FLAGS || how.resolve & ~0x3full ||
	    (how.resolve & RESOLVE_BENEATH && how.resolve & RESOLVE_IN_ROOT) ||
	    (how.mode && !(how.flags & (O_CREAT | O_TMPFILE))) || how.mode & ~(uint64_t)CREATE_BITS)
		return -EINVAL;
	unsigned walk_flags = 0;
	if (how.resolve & RESOLVE_NO_MAGICLINKS)
		walk_flags |= WALK_NO_MAGIC;
	if (how.resolve & RESOLVE_NO_SYMLINKS)
		walk_flags |= WALK_NO_SYMLINKS;
	if (how.resolve & RESOLVE_BENEATH)
		walk_flags |= WALK_BENEATH;
	if (how.resolve & RESOLVE_IN_ROOT)
		walk_flags |= WALK_IN_ROOT;
	return open_user(thread, argument, how.flags, how.mode, walk_flags);
}
