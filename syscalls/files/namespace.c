/* Making, naming and removing nodes: mkdirat, mknodat, linkat, symlinkat, unlinkat, renameat2; the
 * working directory and the root. */
#include <errno.h>
#include <string.h>

#include "core/user.h"
#include "syscalls/files/path.h"
#include "syscalls/process.h"
#include "syscalls/syscall.h"

#define MODE_BITS 07777u

/* May this directory get or lose a name? */
static int may_change(const struct thread *thread, const struct path_node *directory)
{
	if (directory->operations)
		return -EPERM;
	if (!directory->links)
		return -ENOENT;
	return node_permission(thread, directory, MAY_WRITE | MAY_EXECUTE);
}

/* In a sticky directory only owners remove. */
static int may_remove(const struct thread *thread, const struct path_node *directory,
                      const struct path_node *node)
{
	int error = may_change(thread, directory);
	if (error)
		return error;
	if (directory->mode & S_ISVTX && thread->process->credentials.fsuid != directory->uid &&
	    !node_is_owned(thread, node))
		return -EPERM;
	return 0;
}

/* Walks to a name that must be free. On success the walk holds its parent. */
static int walk_to_create(struct thread *thread, int directory, struct user_addr path,
                          bool is_directory, struct walk *walk)
{
	int error = walk_user(thread, directory, path, WALK_PARENT, walk);
	if (error)
		return error;
	if (walk->node || walk->file)
		error = -EEXIST;
	else if ((walk->trailing_slash && !is_directory) || walk->parent->operations)
		error = -ENOENT; /* /proc and /sys know no other names than theirs */
	else
		error = may_change(thread, walk->parent);
	if (error)
		walk_end(walk);
	return error;
}

/* Names a fresh node; takes the caller's reference. */
static int add_fresh(struct thread *thread, struct walk *walk, struct path_node *node)
{
	const struct credentials *credentials = &thread->process->credentials;
	if (!node)
		return -ENOSPC;
	node->uid = credentials->fsuid;
	node->gid = credentials->fsgid;
	if (walk->parent->mode & S_ISGID) {
		node->gid = walk->parent->gid;
		if (node_is_directory(node))
			node->mode |= S_ISGID;
	}
	int error = directory_add(walk->parent, walk->name, walk->name_length, node);
	path_node_put(node);
	return error == -ENOMEM ? -ENOSPC : error;
}

long sys_mkdirat(struct thread *thread, const uint64_t *argument)
{
	struct walk walk;
	int error = walk_to_create(thread, (int)argument[0], user(argument[1]), true, &walk);
	if (error)
		return error;
	uint32_t mode = (uint32_t)argument[2] & (0777 | S_ISVTX) & ~thread->process->fs->umask;
	error = add_fresh(thread, &walk, node_create(S_IFDIR | mode));
	walk_end(&walk);
	return error;
}

long sys_mknodat(struct thread *thread, const uint64_t *argument)
{
	uint32_t mode = (uint32_t)argument[2], type = mode & S_IFMT;
	struct walk walk;
	if (!type)
		type = S_IFREG;
	if (type == S_IFDIR)
		return -EPERM;
	if (type != S_IFREG && type != S_IFCHR && type != S_IFBLK && type != S_IFIFO &&
	    type != S_IFSOCK)
		return -EINVAL;
	int error = walk_to_create(thread, (int)argument[0], user(argument[1]), false, &walk);
	if (error)
		return error;
	if ((type == S_IFCHR || type == S_IFBLK) && !thread_capable(thread, CAPABILITY_MKNOD)) {
		walk_end(&walk);
		return -EPERM;
	}
	struct path_node *node =
	        node_create(type | (mode & MODE_BITS & ~thread->process->fs->umask));
	if (node && (type == S_IFCHR || type == S_IFBLK))
		node->rdev = (uint32_t)argument[3];
	error = add_fresh(thread, &walk, node);
	walk_end(&walk);
	return error;
}

long sys_symlinkat(struct thread *thread, const uint64_t *argument)
{
	struct user_path target;
	struct walk walk;
	int error = user_path_get(&target, user(argument[0]));
	if (error)
		return error;
	error = target.length
	                ? walk_to_create(thread, (int)argument[1], user(argument[2]), false, &walk)
	                : -ENOENT;
	if (!error) {
		error = add_fresh(thread, &walk, node_create_symlink(target.text, target.length));
		walk_end(&walk);
	}
	user_path_put(&target);
	return error;
}

long sys_linkat(struct thread *thread, const uint64_t *argument)
{
	uint32_t flags = (uint32_t)argument[4];
	struct walk from, to;
	if (flags & ~(uint32_t)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	int error = walk_user(thread, (int)argument[0], user(argument[1]),
	                      (flags & AT_SYMLINK_FOLLOW ? WALK_FOLLOW : 0) |
	                              (flags & AT_EMPTY_PATH ? WALK_EMPTY : 0),
	                      &from);
	if (error)
		return error;
	error = walk_to_create(thread, (int)argument[2], user(argument[3]), false, &to);
	if (!error) {
		struct path_node *node = from.node;
		if (!node || node_is_fixed(node))
			error = -EXDEV;
		else if (node_is_directory(node))
			error = -EPERM;
		else if (!node->links && !(flags & (AT_EMPTY_PATH | AT_SYMLINK_FOLLOW)))
			error = -ENOENT;
		else
			error = directory_add(to.parent, to.name, to.name_length, node);
		walk_end(&to);
	}
	walk_end(&from);
	return error == -ENOMEM ? -ENOSPC : error;
}

/* The last component of a path that is to be removed or moved. */
static int check_last_name(const struct walk *walk, int error_for_dot)
{
	if (!walk->name_length)
		return -EBUSY; /* the root */
	if (strcmp(walk->name, ".") == 0)
		return error_for_dot;
	if (strcmp(walk->name, "..") == 0)
		return error_for_dot == -EINVAL ? -ENOTEMPTY : error_for_dot;
	return walk->node ? 0 : -ENOENT;
}

/* A directory that is somebody's root, or a synthetic one hanging in the tree. */
static bool is_busy(const struct thread *thread, const struct path_node *node)
{
	return node == thread->process->fs->root || node_is_fixed(node);
}

static int remove_walked(struct thread *thread, const struct walk *walk, bool is_rmdir)
{
	int error = check_last_name(walk, is_rmdir ? -EINVAL : -EISDIR);
	if (error)
		return error;
	error = may_remove(thread, walk->parent, walk->node);
	if (error)
		return error;
	if (!is_rmdir && node_is_directory(walk->node))
		return -EISDIR;
	if (!is_rmdir && walk->trailing_slash)
		return -ENOTDIR;
	if (is_rmdir && !node_is_directory(walk->node))
		return -ENOTDIR;
	if (is_busy(thread, walk->node))
		return -EBUSY;
	if (is_rmdir && walk->node->directory.count)
		return -ENOTEMPTY;
	directory_remove(walk->entry);
	return 0;
}

long sys_unlinkat(struct thread *thread, const uint64_t *argument)
{
	struct walk walk;
	uint32_t flags = (uint32_t)argument[2];
	if (flags & ~(uint32_t)AT_REMOVEDIR)
		return -EINVAL;
	int error = walk_user(thread, (int)argument[0], user(argument[1]), WALK_PARENT, &walk);
	if (error)
		return error;
	error = remove_walked(thread, &walk, flags & AT_REMOVEDIR);
	walk_end(&walk);
	return error;
}

enum { RENAME_NOREPLACE = 1, RENAME_EXCHANGE = 2 };

static bool is_within(struct path_node *node, const struct path_node *directory)
{
	for (;;) {
		if (node == directory)
			return true;
		struct path_node *parent = directory_parent(node);
		if (parent == node)
			return false;
		node = parent;
	}
}

static int check_rename(struct thread *thread, const struct walk *from, const struct walk *to,
                        uint32_t flags)
{
	struct path_node *old = from->node, *replaced = to->node;
	int error = check_last_name(from, -EBUSY);
	if (error)
		return error;
	if (!to->name_length || strcmp(to->name, ".") == 0 || strcmp(to->name, "..") == 0)
		return -EBUSY;
	if (replaced && flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (!replaced && flags & RENAME_EXCHANGE)
		return -ENOENT;
	if (from->parent->operations || to->parent->operations)
		return -EXDEV;
	error = may_remove(thread, from->parent, old);
	if (!error)
		error = replaced ? may_remove(thread, to->parent, replaced)
		                 : may_change(thread, to->parent);
	if (error)
		return error;
	if (is_busy(thread, old) || (replaced && is_busy(thread, replaced)))
		return -EBUSY;
	bool moves_directory = node_is_directory(old);
	if (!moves_directory &&
	    (from->trailing_slash || (to->trailing_slash && !(flags & RENAME_EXCHANGE))))
		return -ENOTDIR;
	if (moves_directory && is_within(to->parent, old))
		return -EINVAL;
	if (flags & RENAME_EXCHANGE)
		return node_is_directory(replaced) && is_within(from->parent, replaced) ? -EINVAL
		                                                                        : 0;
	if (!replaced || replaced == old)
		return 0;
	if (is_within(from->parent, replaced))
		return -ENOTEMPTY;
	if (moves_directory != node_is_directory(replaced))
		return moves_directory ? -ENOTDIR : -EISDIR;
	return moves_directory && replaced->directory.count ? -ENOTEMPTY : 0;
}

/* Both names exist: each gets the other's node. */
static int exchange(const struct walk *from, const struct walk *to)
{
	struct path_node *a = path_node_get(from->node), *b = path_node_get(to->node);
	directory_remove(from->entry);
	directory_remove(to->entry);
	int error = directory_add(from->parent, from->name, from->name_length, b);
	if (!error)
		error = directory_add(to->parent, to->name, to->name_length, a);
	path_node_put(a);
	path_node_put(b);
	return error;
}

static int rename_walked(struct thread *thread, struct walk *from, struct walk *to, uint32_t flags)
{
	int error = check_rename(thread, from, to, flags);
	if (error || from->node == to->node)
		return error;
	if (flags & RENAME_EXCHANGE)
		return exchange(from, to);
	if (to->entry)
		directory_remove(to->entry);
	error = directory_add(to->parent, to->name, to->name_length, from->node);
	if (error) {
		if (to->node)
			directory_add(to->parent, to->name, to->name_length, to->node);
		return error == -ENOMEM ? -ENOSPC : error;
	}
	directory_remove(from->entry);
	return 0;
}

static long rename_call(struct thread *thread, const uint64_t *argument, uint32_t flags)
{
	struct walk from, to;
	if (flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
	    flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	int error = walk_user(thread, (int)argument[0], user(argument[1]), WALK_PARENT, &from);
	if (error)
		return error;
	error = walk_user(thread, (int)argument[2], user(argument[3]), WALK_PARENT, &to);
	if (!error) {
		error = rename_walked(thread, &from, &to, flags);
		walk_end(&to);
	}
	walk_end(&from);
	return error;
}

long sys_renameat(struct thread *thread, const uint64_t *argument)
{
	return rename_call(thread, argument, 0);
}

long sys_renameat2(struct thread *thread, const uint64_t *argument)
{
	return rename_call(thread, argument, (uint32_t)argument[4]);
}

/* ---- working directory, root, umask ---- */

static int enter_directory(struct thread *thread, struct path_node *node, struct path_node **place)
{
	if (!node || !node_is_directory(node))
		return -ENOTDIR;
	int error = node_permission(thread, node, MAY_EXECUTE);
	if (error)
		return error;
	path_node_get(node);
	path_node_put(*place);
	*place = node;
	return 0;
}

static long enter_path(struct thread *thread, struct user_addr path, struct path_node **place)
{
	struct walk walk;
	int error = walk_user(thread, AT_FDCWD, path, WALK_FOLLOW, &walk);
	if (error)
		return error;
	error = enter_directory(thread, walk.node, place);
	walk_end(&walk);
	return error;
}

long sys_chdir(struct thread *thread, const uint64_t *argument)
{
	return enter_path(thread, user(argument[0]), &thread->process->fs->cwd);
}

long sys_fchdir(struct thread *thread, const uint64_t *argument)
{
	struct file *file = thread_file(thread, argument[0]);
	if (!file)
		return -EBADF;
	return enter_directory(thread, file->node, &thread->process->fs->cwd);
}

long sys_chroot(struct thread *thread, const uint64_t *argument)
{
	if (!thread_capable(thread, CAPABILITY_SYS_CHROOT))
		return -EPERM;
	return enter_path(thread, user(argument[0]), &thread->process->fs->root);
}

long sys_umask(struct thread *thread, const uint64_t *argument)
{
	uint32_t old = thread->process->fs->umask;
	thread->process->fs->umask = (uint32_t)argument[0] & 0777;
	return old;
}
