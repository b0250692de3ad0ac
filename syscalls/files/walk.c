/* Walking a path: one component at a time, symlinks spliced into what is left of it. */
#include <errno.h>
#include <string.h>

#include "core/user.h"
#include "syscalls/files/path.h"
#include "syscalls/process.h"

#define SYMLINKS_MAX 40

int user_path_get(struct user_path *path, struct user_addr from)
{
	int64_t length = copy_string_from_user(path->inline_text, from, PATH_INLINE_BYTES);
	path->text = path->inline_text;
	if (length == -ENAMETOOLONG) {
		path->text = page_alloc(0);
		if (!path->text)
			return -ENOMEM;
		length = copy_string_from_user(path->text, from, PATH_BYTES_MAX);
		if (length < 0)
			page_free(path->text, 0);
	}
	if (length < 0)
		return (int)length;
	path->length = (size_t)length;
	return 0;
}

void user_path_put(struct user_path *path)
{
	if (path->text != path->inline_text)
		page_free(path->text, 0);
}

/* The walk in progress. */
struct walker {
	struct thread *thread;
	struct path_node *at;   /* a reference */
	struct path_node *root; /* borrowed: where "/" leads and ".." stops */
	struct path_node *base; /* borrowed: WALK_BENEATH must not leave it */
	const char *rest;
	char *buffer; /* page with the spliced path, once a symlink was met */
	unsigned flags, symlinks;
	bool special;      /* a node with operations of its own was asked */
	struct file *file; /* set by a magic link */
};

static void walker_move(struct walker *walker, struct path_node *to)
{
	path_node_put(walker->at);
	walker->at = to;
}

/* `path` + "/" + what is left, and go on from there. */
static int walker_splice(struct walker *walker, const char *path, size_t length)
{
	size_t rest = strlen(walker->rest);
	if (length == 0)
		return -ENOENT;
	if (length + rest + 2 > PATH_BYTES_MAX)
		return -ENAMETOOLONG;
	bool fresh = !walker->buffer;
	if (fresh && !(walker->buffer = page_alloc(0)))
		return -ENOMEM;
	/* rest may lie in the buffer: move it first */
	size_t gap = rest ? 1 : 0;
	memmove(walker->buffer + length + gap, walker->rest, rest + 1);
	memcpy(walker->buffer, path, length);
	if (gap)
		walker->buffer[length] = '/';
	walker->rest = walker->buffer;
	if (path[0] != '/')
		return 0;
	if (walker->flags & WALK_BENEATH)
		return -EXDEV;
	walker_move(walker, path_node_get(walker->root));
	return 0;
}

static int walker_up(struct walker *walker)
{
	if (walker->at == walker->base && walker->flags & WALK_BENEATH)
		return -EXDEV;
	if (walker->at != walker->root)
		walker_move(walker, path_node_get(directory_parent(walker->at)));
	return 0;
}

static int walker_lookup(struct walker *walker, const char *name, size_t length,
                         struct path_node **out, struct dir_entry **entry)
{
	struct path_node *directory = walker->at;
	*entry = NULL;
	*out = NULL;
	if (length > NAME_BYTES_MAX)
		return -ENAMETOOLONG;
	if (directory->operations) {
		walker->special = true;
		if (!directory->operations->lookup)
			return -ENOENT;
		return directory->operations->lookup(walker->thread, directory, name, length, out);
	}
	*entry = directory_find(directory, name, length);
	if (!*entry)
		return -ENOENT;
	*out = path_node_get((*entry)->node);
	return 0;
}

/* Consumes the reference of `link`. */
static int walker_follow(struct walker *walker, struct path_node *link)
{
	int error = 0;
	walker->special = walker->special || link->operations;
	if (++walker->symlinks > SYMLINKS_MAX || walker->flags & WALK_NO_SYMLINKS) {
		error = -ELOOP;
	} else if (link->operations && link->operations->follow) {
		struct path_node *to = NULL;
		if (walker->flags & (WALK_NO_MAGIC | WALK_BENEATH | WALK_IN_ROOT))
			error = walker->flags & WALK_NO_MAGIC ? -ELOOP : -EXDEV;
		else
			error = link->operations->follow(link, &to, &walker->file);
		if (!error && to)
			walker_move(walker, to);
	} else if (link->operations) {
		char *text = page_alloc(0);
		int length =
		        text ? link->operations->read_link(link, text, PATH_BYTES_MAX) : -ENOMEM;
		error = length < 0 ? length : walker_splice(walker, text, (size_t)length);
		if (text)
			page_free(text, 0);
	} else {
		error = walker_splice(walker, link->target, strlen(link->target));
	}
	path_node_put(link);
	return error;
}

static bool is_dot(const char *name, size_t length)
{
	return length == 1 && name[0] == '.';
}

static bool is_dot_dot(const char *name, size_t length)
{
	return length == 2 && name[0] == '.' && name[1] == '.';
}

/* The last component of a WALK_PARENT walk: walker->at is the directory. */
static int walk_last(struct walker *walker, const char *name, size_t length, struct walk *out)
{
	if (length > NAME_BYTES_MAX)
		return -ENAMETOOLONG;
	memcpy(out->name, name, length);
	out->name[length] = 0;
	out->name_length = (uint32_t)length;
	out->parent = path_node_get(walker->at);
	if (is_dot(name, length)) {
		out->node = path_node_get(walker->at);
		return 0;
	}
	if (is_dot_dot(name, length)) {
		out->node = path_node_get(directory_parent(walker->at));
		return 0;
	}
	int error = walker_lookup(walker, name, length, &out->node, &out->entry);
	return error == -ENOENT ? 0 : error;
}

/* One component. 1: the walk is complete (WALK_PARENT's last name). */
static int walk_step(struct walker *walker, const char *name, size_t length, bool last,
                     struct walk *out)
{
	if (!node_is_directory(walker->at) || walker->file)
		return -ENOTDIR;
	int error = node_permission(walker->thread, walker->at, MAY_EXECUTE);
	if (error)
		return error;
	if (last && walker->flags & WALK_PARENT) {
		struct path_node *found;
		error = walk_last(walker, name, length, out);
		found = out->node;
		if (error || !(walker->flags & WALK_FOLLOW) || !found || !node_is(found, S_IFLNK))
			return error ? error : 1;
		/* O_CREAT through a symlink: its target is what is created. */
		path_node_put(out->parent);
		out->parent = NULL;
		out->node = NULL;
		out->entry = NULL;
		return walker_follow(walker, found);
	}
	if (is_dot(name, length))
		return 0;
	if (is_dot_dot(name, length))
		return walker_up(walker);
	struct path_node *found;
	struct dir_entry *entry;
	error = walker_lookup(walker, name, length, &found, &entry);
	if (error)
		return error;
	if (node_is(found, S_IFLNK) &&
	    (!last || walker->flags & WALK_FOLLOW || out->trailing_slash))
		return walker_follow(walker, found);
	walker_move(walker, found);
	out->entry = entry;
	return 0;
}

static int walk_run(struct walker *walker, struct walk *out)
{
	for (;;) {
		while (*walker->rest == '/')
			walker->rest++;
		if (!*walker->rest)
			return 0;
		const char *name = walker->rest;
		size_t length = 0;
		while (name[length] && name[length] != '/')
			length++;
		const char *after = name + length;
		while (*after == '/')
			after++;
		bool last = !*after;
		out->trailing_slash = out->trailing_slash || (last && name[length] == '/');
		walker->rest = last ? after : name + length;
		int result = walk_step(walker, name, length, last, out);
		if (result)
			return result;
	}
}

/* Where a walk begins: the cwd, the directory of a descriptor, or the root. */
static int walk_start(struct walker *walker, int directory, const char *path)
{
	struct fs_context *fs = walker->thread->process->fs;
	walker->root = fs->root;
	if (*path == '/' && !(walker->flags & WALK_IN_ROOT)) {
		if (walker->flags & WALK_BENEATH)
			return -EXDEV;
		walker->base = fs->root;
	} else if (directory == AT_FDCWD) {
		walker->base = fs->cwd;
	} else {
		struct file *file = thread_file(walker->thread, (uint64_t)directory);
		if (!file)
			return -EBADF;
		if (!file->node) {
			walker->file = *path ? NULL : file_get(file);
			if (*path)
				return -ENOTDIR;
			walker->base = fs->root;
		} else {
			walker->base = file->node;
		}
	}
	if (walker->flags & WALK_IN_ROOT)
		walker->root = walker->base;
	walker->at = path_node_get(walker->base);
	return 0;
}

int walk_at(struct thread *thread, int directory, const char *path, unsigned flags,
            struct walk *out)
{
	struct walker walker = { .thread = thread, .rest = path, .flags = flags };
	walk_begin(out);
	if (!*path && !(flags & WALK_EMPTY))
		return -ENOENT;
	int result = walk_start(&walker, directory, path);
	if (result)
		return result;
	result = walk_run(&walker, out);
	if (result == 0) {
		out->file = walker.file;
		out->plain = !walker.special && !walker.file;
		walker.file = NULL;
		if (!out->file)
			out->node = path_node_get(walker.at);
		if (flags & WALK_PARENT && !out->file)
			out->parent = path_node_get(walker.at);
	}
	if (result >= 0 && out->trailing_slash && out->node && !node_is_directory(out->node) &&
	    !node_is(out->node, S_IFLNK))
		result = -ENOTDIR;
	if (walker.file)
		file_put(walker.file);
	path_node_put(walker.at);
	if (walker.buffer)
		page_free(walker.buffer, 0);
	if (result >= 0)
		return 0;
	walk_end(out);
	return result;
}

void walk_end(struct walk *walk)
{
	if (walk->node)
		path_node_put(walk->node);
	if (walk->parent)
		path_node_put(walk->parent);
	if (walk->file)
		file_put(walk->file);
	walk->node = walk->parent = NULL;
	walk->file = NULL;
}

int walk_user(struct thread *thread, int directory, struct user_addr from, unsigned flags,
              struct walk *out)
{
	struct user_path path;
	int error = user_path_get(&path, from);
	if (error)
		return error;
	error = walk_path(thread, directory, &path, flags, out);
	user_path_put(&path);
	return error;
}
