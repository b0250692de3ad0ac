/* Synthetic files, directories and links. */
#include "syscalls/files/synthetic.h"

#include <errno.h>
#include <string.h>

#include "syscalls/files/memfs.h"
#include "syscalls/files/path.h"
#include "syscalls/syscall.h"

#define STORE_BYTES_MAX 256

static const struct node_operations proc_operations, sysfs_operations;

#define PIECES_PER_TURN 16

struct synthetic_file {
	struct file file;
	struct text text; /* from offset `start` on */
	uint64_t start;
	struct text_position next; /* behind it */
	bool generated;
};

static struct synthetic_file *synthetic_of(struct file *file)
{
	return container_of(file, struct synthetic_file, file);
}

static void generate_start(struct synthetic_file *own)
{
	const struct synthetic_item *item = synthetic_item_of(own->file.node);
	text_free(&own->text);
	own->start = 0;
	own->next = (struct text_position){ 0 };
	own->generated = true;
	if (item->constant)
		text_append(&own->text, item->constant, strlen(item->constant));
	else if (item->generate)
		item->generate(&own->text, own->file.node);
	if (!item->generate_piece)
		own->next.place = TEXT_END;
}

/* In place of the text what follows it. */
static void generate_next(struct synthetic_file *own)
{
	own->start += own->text.length;
	text_free(&own->text);
	synthetic_item_of(own->file.node)->generate_piece(&own->text, own->file.node, &own->next);
}

/* -EINPROGRESS: it has had its turn, and goes on in the next. */
static long synthetic_read(struct file *file, struct uio *uio, uint64_t offset)
{
	struct synthetic_file *own = synthetic_of(file);
	if (offset == 0 || !own->generated || offset < own->start)
		generate_start(own);
	for (int pieces = 0; !own->text.failed && offset >= own->start + own->text.length;
	     pieces++) {
		if (own->next.place == TEXT_END)
			return 0;
		if (pieces == PIECES_PER_TURN)
			return -EINPROGRESS;
		generate_next(own);
	}
	if (own->text.failed) {
		own->generated = false;
		return -ENOMEM;
	}
	return text_copy_out(&own->text, uio, offset - own->start);
}

static long synthetic_write(struct file *file, struct uio *uio, uint64_t offset)
{
	const struct synthetic_item *item = synthetic_item_of(file->node);
	char bytes[STORE_BYTES_MAX + 1];
	(void)offset;
	if (!item->store)
		return -EIO;
	if (uio->remaining > STORE_BYTES_MAX)
		return -EINVAL;
	size_t length = uio->remaining;
	if (uio_copy_in(uio, bytes, length) < length)
		return -EFAULT;
	bytes[length] = 0;
	return item->store(file->node, bytes, length);
}

static int64_t synthetic_seek(struct file *file, int64_t offset, int whence)
{
	if (whence == 1)
		offset += (int64_t)file->offset;
	else if (whence != 0)
		return -EINVAL;
	if (offset < 0)
		return -EINVAL;
	file->offset = (uint64_t)offset;
	return offset;
}

static int synthetic_status(struct file *file, struct file_status *out)
{
	node_status(file->node, out);
	return 0;
}

static void synthetic_release(struct file *file)
{
	struct synthetic_file *own = synthetic_of(file);
	text_free(&own->text);
	heap_free(own);
}

static const struct file_operations synthetic_file_operations = {
	.kind = "synthetic",
	.no_splice_write = true,
	.read = synthetic_read,
	.write = synthetic_write,
	.status = synthetic_status,
	.seek = synthetic_seek,
	.release = synthetic_release,
};

static uint32_t synthetic_poll(struct file *file)
{
	(void)file;
	return POLLIN | POLLRDNORM;
}

static const struct file_operations polled_file_operations = {
	.kind = "synthetic",
	.no_splice_write = true,
	.read = synthetic_read,
	.write = synthetic_write,
	.poll = synthetic_poll,
	.status = synthetic_status,
	.seek = synthetic_seek,
	.release = synthetic_release,
};

static int synthetic_open(struct thread *thread, struct path_node *node, uint32_t flags,
                          struct file **out)
{
	(void)thread;
	if (node_is_directory(node))
		return memfs_open(node, flags, out);
	if ((flags & O_ACCMODE) != O_RDONLY && !synthetic_item_of(node)->store)
		return -EACCES;
	struct synthetic_file *own = heap_alloc_zeroed(sizeof(*own));
	if (!own)
		return -ENOMEM;
	bool polled = synthetic_item_of(node)->polled;
	file_init(&own->file, polled ? &polled_file_operations : &synthetic_file_operations, NULL,
	          flags & ~(uint32_t)O_APPEND);
	own->file.node = path_node_get(node);
	own->file.seekable = true;
	*out = &own->file;
	return 0;
}

static int synthetic_lookup(struct thread *thread, struct path_node *directory, const char *name,
                            size_t length, struct path_node **out)
{
	const struct synthetic_item *item = synthetic_item_of(directory);
	(void)thread;
	for (size_t i = 0; i < item->child_count; i++) {
		const struct synthetic_item *child = &item->children[i];
		if (strlen(child->name) == length && memcmp(child->name, name, length) == 0)
			return synthetic_node(directory, child, name, length, out);
	}
	return item->lookup ? item->lookup(directory, name, length, out) : -ENOENT;
}

/* Positions: the items of the table first, then those of item->list. */
static int synthetic_list(struct path_node *directory, uint64_t *position, char *name,
                          uint64_t *inode, uint32_t *mode)
{
	const struct synthetic_item *item = synthetic_item_of(directory);
	if (*position < item->child_count) {
		const struct synthetic_item *child = &item->children[(*position)++];
		size_t length = strlen(child->name);
		memcpy(name, child->name, length + 1);
		*mode = child->mode ? child->mode : S_IFREG;
		*inode = directory->inode + *position;
		return (int)length;
	}
	if (!item->list)
		return 0;
	uint64_t own = *position - item->child_count;
	int length = item->list(directory, &own, name, inode, mode);
	*position = own + item->child_count;
	return length;
}

static int synthetic_read_link(struct path_node *node, char *out, size_t room)
{
	const struct synthetic_item *item = synthetic_item_of(node);
	return item->read_link ? item->read_link(node, out, room) : -EINVAL;
}

static int synthetic_follow(struct path_node *node, struct path_node **to, struct file **file)
{
	*to = NULL;
	*file = NULL;
	return synthetic_item_of(node)->follow(node, to, file);
}

#define SYNTHETIC_OPERATIONS(number)                                                               \
	.lookup = synthetic_lookup, .list = synthetic_list, .read_link = synthetic_read_link,      \
	.open = synthetic_open, .magic = number

static const struct node_operations proc_operations = { SYNTHETIC_OPERATIONS(PROC_MAGIC) };
static const struct node_operations sysfs_operations = { SYNTHETIC_OPERATIONS(SYSFS_MAGIC) };
static const struct node_operations link_operations = { SYNTHETIC_OPERATIONS(PROC_MAGIC),
	                                                .follow = synthetic_follow };

static struct path_node *item_node(const struct synthetic_item *item,
                                   const struct node_operations *operations)
{
	struct path_node *node = node_create(item->mode ? item->mode : S_IFREG | 0444);
	if (!node)
		return NULL;
	node->operations = item->follow ? &link_operations : operations;
	node->special.context = item;
	node->special.pid = node->special.tid = node->special.number = 0;
	node->links = node_is_directory(node) ? 2 : 1;
	return node;
}

int synthetic_node(struct path_node *parent, const struct synthetic_item *item, const char *name,
                   size_t length, struct path_node **out)
{
	struct path_node *node = item_node(item, parent->operations);
	if (!node)
		return -ENOMEM;
	node->special.pid = parent->special.pid;
	node->special.tid = parent->special.tid;
	node->special.number = parent->special.number;
	if (node_set_name(node, parent, name, length)) {
		path_node_put(node);
		return -ENOMEM;
	}
	*out = node;
	return 0;
}

int synthetic_mount(struct path_node *root, const char *name, const struct synthetic_item *item)
{
	struct dir_entry *entry = directory_find(root, name, strlen(name));
	if (entry) { /* the archive's mount point */
		if (!node_is_directory(entry->node) || entry->node->directory.count)
			return 0;
		directory_remove(entry);
	}
	struct path_node *node =
	        item_node(item, item == &sysfs_item ? &sysfs_operations : &proc_operations);
	if (!node)
		return -ENOMEM;
	node->links = 0;
	int error = directory_add(root, name, strlen(name), node);
	path_node_put(node);
	return error;
}

int64_t parse_decimal(const char *text, size_t length)
{
	int64_t value = 0;
	if (!length || length > 10 || (text[0] == '0' && length > 1))
		return -1;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		value = value * 10 + (text[i] - '0');
	}
	return value <= INT32_MAX ? value : -1;
}
