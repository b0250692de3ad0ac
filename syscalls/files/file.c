/* Open file descriptions: creation and the end of their life. */
#include "core/panic.h"
#include "syscalls/file.h"
#include "syscalls/files/locks.h"

void file_init(struct file *file, const struct file_operations *operations, void *object,
               uint32_t flags)
{
	file->operations = operations;
	file->refs = 1;
	file->flags = flags;
	file->offset = 0;
	file->object = object;
	file->node = NULL;
	file->owner = NULL;
	file->seekable = false;
	file->pipe_is_quiet = false;
	wait_queue_init(&file->waiters);
	list_init(&file->epoll_items);
}

struct file *file_create(const struct file_operations *operations, void *object, uint32_t flags)
{
	struct file *file = heap_alloc(sizeof(*file));
	if (file)
		file_init(file, operations, object, flags);
	return file;
}

void file_free(struct file *file)
{
	heap_free(file);
}

void file_put(struct file *file)
{
	KASSERT(file->refs > 0);
	if (--file->refs)
		return;
	if (!list_is_empty(&file->epoll_items))
		epoll_forget_file(file);
	if (file->owner)
		file_owner_free(file);
	struct path_node *node = file->node;
	if (node)
		locks_release(node, file);
	file->operations->release(file); /* may look at the node, must not put it */
	if (node)
		path_node_put(node);
}
