/* From a node back to its name. */
#include <errno.h>
#include <string.h>

#include "core/user.h"
#include "syscalls/files/path.h"
#include "syscalls/files/root.h"
#include "syscalls/process.h"
#include "syscalls/syscall.h"

#define DELETED  " (deleted)"
#define NAMELESS "/memfd:" DELETED

/* Written from the end of `out` towards its start; where it begins, or NULL when the room does not
 * do. */
static char *name_backwards(const struct path_node *node, const struct path_node *root, char *out,
                            char *end, bool *deleted)
{
	char *at = end;
	while (node != root && !list_is_empty(&node->names)) {
		const struct dir_entry *entry =
		        list_entry(node->names.head.next, struct dir_entry, name_link);
		if ((size_t)(at - out) < (size_t)entry->length + 1)
			return NULL;
		at -= entry->length;
		memcpy(at, entry->name, entry->length);
		*--at = '/';
		*deleted = *deleted || (!entry->linked && !entry->node->operations);
		node = entry->parent;
	}
	if (at == end) {
		if (at == out)
			return NULL;
		*--at = '/';
	}
	return at;
}

static int name_from(const struct path_node *node, const struct path_node *root, char *out,
                     size_t room, bool *deleted)
{
	char *end = out + room - 1;
	*deleted = false;
	if (room < sizeof(NAMELESS))
		return -ENAMETOOLONG;
	if (list_is_empty(&node->names) && node != root && node != root_node()) {
		memcpy(out, NAMELESS, sizeof(NAMELESS));
		return (int)sizeof(NAMELESS) - 1;
	}
	char *start = name_backwards(node, root, out, end, deleted);
	if (!start)
		return -ENAMETOOLONG;
	size_t length = (size_t)(end - start);
	memmove(out, start, length);
	out[length] = 0;
	return (int)length;
}

int path_name(struct path_node *node, char *out, size_t room)
{
	bool deleted;
	const struct path_node *root = current_thread()->process->fs->root;
	int length = name_from(node, root, out, room, &deleted);
	if (length < 0 || !deleted)
		return length;
	if ((size_t)length + sizeof(DELETED) > room)
		return -ENAMETOOLONG;
	memcpy(out + length, DELETED, sizeof(DELETED));
	return length + (int)sizeof(DELETED) - 1;
}

long sys_getcwd(struct thread *thread, const uint64_t *argument)
{
	const struct fs_context *fs = thread->process->fs;
	bool deleted;
	char *text = page_alloc(0);
	if (!text)
		return -ENOMEM;
	long length = name_from(fs->cwd, fs->root, text, PATH_BYTES_MAX, &deleted);
	if (length >= 0 && deleted)
		length = -ENOENT;
	if (length >= 0 && (uint64_t)length + 1 > argument[1])
		length = -ERANGE;
	if (length >= 0)
		length = copy_to_user(user(argument[0]), text, (size_t)length + 1) ? -EFAULT
		                                                                   : length + 1;
	page_free(text, 0);
	return length;
}
