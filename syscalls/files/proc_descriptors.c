/* /proc/PID/fd and /proc/PID/fdinfo (proc(5)). */
#include <errno.h>
#include <string.h>

#include "core/console.h"
#include "syscalls/files/path.h"
#include "syscalls/files/synthetic.h"
#include "syscalls/process.h"

/* ---- /proc/PID/fd ---- */

static struct file *descriptor_of(const struct path_node *node)
{
	const struct process *process = process_find(node->special.pid);
	return process && process->files ? file_table_lookup(process->files, node->special.number)
	                                 : NULL;
}

static int descriptor_read_link(struct path_node *node, char *out, size_t room)
{
	struct file *file = descriptor_of(node);
	struct file_status status = { 0 };
	if (!file)
		return -ENOENT;
	if (file->node)
		return path_name(file->node, out, room);
	if (file->operations->status)
		file->operations->status(file, &status);
	if ((status.mode & S_IFMT) == S_IFSOCK)
		return format_string(out, room, "socket:[%lu]", (unsigned long)status.inode);
	if ((status.mode & S_IFMT) == S_IFIFO)
		return format_string(out, room, "pipe:[%lu]", (unsigned long)status.inode);
	return format_string(out, room, "anon_inode:[%s]", file->operations->kind);
}

static int descriptor_follow(struct path_node *node, struct path_node **to, struct file **file)
{
	struct file *target = descriptor_of(node);
	if (!target)
		return -ENOENT;
	if (target->node)
		*to = path_node_get(target->node);
	else
		*file = file_get(target);
	return 0;
}

static const struct synthetic_item descriptor_item = { .name = "fd",
	                                               .mode = S_IFLNK | 0700,
	                                               .read_link = descriptor_read_link,
	                                               .follow = descriptor_follow };

/* ---- /proc/PID/fdinfo ---- */

/* As /proc/PID/mountinfo counts the mounts; what has no name is on none of them. */
static int mount_of(const struct file *file)
{
	if (!file->node)
		return 0;
	if (!node_is_fixed(file->node))
		return 1;
	return file->node->operations->magic == PROC_MAGIC    ? 2
	       : file->node->operations->magic == SYSFS_MAGIC ? 3
	                                                      : 1;
}

static void put_octal(struct text *text, const char *label, uint32_t value)
{
	char digits[12];
	size_t at = sizeof(digits);
	do
		digits[--at] = (char)('0' + (value & 7));
	while (value >>= 3);
	text_append(text, label, strlen(label));
	text_append(text, digits + at, sizeof(digits) - at);
}

static void generate_information(struct text *text, const struct path_node *node)
{
	struct file *file = descriptor_of(node);
	struct file_status status = { 0 };
	if (!file)
		return;
	const struct file_table *table = process_find(node->special.pid)->files;
	bool closed = file_table_is_close_on_exec(table, (uint32_t)node->special.number);
	if (file->node)
		node_status(file->node, &status);
	else if (file->operations->status)
		file->operations->status(file, &status);
	text_printf(text, "pos:\t%lu\n", (unsigned long)(file->seekable ? file->offset : 0));
	put_octal(text, "flags:\t0", file->flags | (closed ? (uint32_t)O_CLOEXEC : 0));
	text_printf(text, "\nmnt_id:\t%d\nino:\t%lu\n", mount_of(file),
	            (unsigned long)status.inode);
	if (file->operations->information)
		file->operations->information(file, text);
}

static const struct synthetic_item information_item = { .name = "fdinfo",
	                                                .generate = generate_information };

/* ---- the directories ---- */

static bool is_information(const struct path_node *directory)
{
	return strcmp(synthetic_item_of(directory)->name, information_item.name) == 0;
}

int proc_descriptors_lookup(struct path_node *directory, const char *name, size_t length,
                            struct path_node **out)
{
	const struct process *process = process_find(directory->special.pid);
	int64_t number = parse_decimal(name, length);
	if (number < 0 || !process || !process->files ||
	    !file_table_lookup(process->files, (int)number))
		return -ENOENT;
	const struct synthetic_item *item =
	        is_information(directory) ? &information_item : &descriptor_item;
	int error = synthetic_node(directory, item, name, length, out);
	if (!error)
		(*out)->special.number = (int32_t)number;
	return error;
}

int proc_descriptors_list(struct path_node *directory, uint64_t *position, char *name,
                          uint64_t *inode, uint32_t *mode)
{
	const struct process *process = process_find(directory->special.pid);
	if (!process || !process->files)
		return 0;
	while (*position < process->files->capacity && !process->files->files[*position])
		++*position;
	if (*position >= process->files->capacity)
		return 0;
	*inode = directory->inode + *position;
	*mode = is_information(directory) ? S_IFREG : S_IFLNK;
	return format_string(name, NAME_BYTES_MAX, "%d", (int)(*position)++);
}
