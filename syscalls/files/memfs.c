/* Open regular files and directories of the in-memory file system. */
#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "syscalls/files/memfs.h"
#include "syscalls/files/path.h"
#include "syscalls/syscall.h"

enum { SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE };

int64_t node_time_ns(void)
{
	return (int64_t)(this_hart()->loop.now_ns + clock_parameters.wall_offset_ns);
}

static long regular_read(struct file *file, struct uio *uio, uint64_t offset)
{
	return file_data_read(&file->node->data, uio, offset);
}

static long regular_write(struct file *file, struct uio *uio, uint64_t offset)
{
	struct path_node *node = file->node;
	if (!uio->remaining)
		return 0;
	if (node->seals & (SEAL_WRITE | SEAL_FUTURE_WRITE))
		return -EPERM;
	if (node->seals & SEAL_GROW && offset + uio->remaining > node->data.bytes)
		return -EPERM;
	long result = file_data_write(&node->data, uio, offset);
	if (result > 0)
		node_touch(node);
	return result;
}

static int regular_status(struct file *file, struct file_status *out)
{
	node_status(file->node, out);
	return 0;
}

static int64_t regular_seek(struct file *file, int64_t offset, int whence)
{
	const struct file_data *data = &file->node->data;
	int64_t base = 0;
	switch (whence) {
	case SEEK_SET:
		break;
	case SEEK_CUR:
		base = (int64_t)file->offset;
		break;
	case SEEK_END:
		base = (int64_t)data->bytes;
		break;
	case SEEK_DATA:
	case SEEK_HOLE:
		if (offset < 0 || (uint64_t)offset >= data->bytes)
			return -ENXIO;
		offset = (int64_t)file_data_seek(data, (uint64_t)offset, whence == SEEK_HOLE);
		if (whence == SEEK_DATA && (uint64_t)offset >= data->bytes)
			return -ENXIO;
		break;
	default:
		return -EINVAL;
	}
	int64_t position;
	if (__builtin_add_overflow(base, offset, &position) || position < 0)
		return -EINVAL;
	file->offset = (uint64_t)position;
	return position;
}

int node_truncate(struct path_node *node, uint64_t bytes)
{
	if (!node_is_regular(node))
		return node_is_directory(node) ? -EISDIR : -EINVAL;
	if (bytes < node->data.bytes ? node->seals & SEAL_SHRINK
	                             : bytes > node->data.bytes && node->seals & SEAL_GROW)
		return -EPERM;
	int error = file_data_truncate(&node->data, bytes);
	if (!error)
		node_touch(node);
	return error;
}

static int regular_truncate(struct file *file, uint64_t bytes)
{
	return node_truncate(file->node, bytes);
}

static int regular_page(struct file *file, uint64_t index, bool shared_write, struct page **out)
{
	struct path_node *node = file->node;
	void *page;
	if (index >= (node->data.bytes + PAGE_MASK) >> PAGE_SHIFT)
		return -ENXIO;
	if (shared_write && node->seals & SEAL_WRITE)
		return -EPERM;
	if (shared_write ? file_data_own_page(&node->data, index, &page)
	                 : file_data_read_page(&node->data, index, &page))
		return -ENOMEM;
	if (shared_write)
		node_touch(node);
	*out = page_of(page);
	page_get(*out);
	return 0;
}

static void object_release(struct file *file)
{
	file_free(file);
}

static const struct file_operations regular_operations = {
	.kind = "file",
	.read = regular_read,
	.write = regular_write,
	.status = regular_status,
	.seek = regular_seek,
	.truncate = regular_truncate,
	.page = regular_page,
	.release = object_release,
};

/* struct linux_dirent64 of getdents64(2): inode, offset of the next, record length, type, name. */
#define DIRENT_NAME_OFFSET 19

static long emit_entry(struct uio *uio, uint64_t inode, uint64_t next, uint32_t mode,
                       const char *name, size_t length)
{
	uint64_t record[(DIRENT_NAME_OFFSET + NAME_BYTES_MAX + 1 + 7) / 8];
	char *bytes = (char *)record;
	uint16_t size = (uint16_t)((DIRENT_NAME_OFFSET + length + 1 + 7) & ~7ul);
	if (size > uio->remaining)
		return -EINVAL;
	memset(bytes + size - 8, 0, 8);
	record[0] = inode;
	record[1] = next;
	memcpy(bytes + 16, &size, 2);
	bytes[18] = (char)((mode & S_IFMT) >> 12); /* DT_* */
	memcpy(bytes + DIRENT_NAME_OFFSET, name, length);
	bytes[DIRENT_NAME_OFFSET + length] = 0;
	return uio_copy_out(uio, record, size) == size ? size : -EFAULT;
}

static long emit_dots(struct file *file, struct uio *uio, uint64_t *offset)
{
	long done = 0;
	while (*offset < FIRST_COOKIE) {
		struct path_node *node = *offset == 0 ? file->node : directory_parent(file->node);
		long result = emit_entry(uio, node->inode, *offset + 1, S_IFDIR, "..", *offset + 1);
		if (result < 0)
			return done ? done : result;
		done += result;
		++*offset;
	}
	return done;
}

static long memory_entries(struct file *file, struct uio *uio, uint64_t *offset)
{
	long done = 0;
	list_for_each(link, &file->node->directory.order)
	{
		struct dir_entry *entry = list_entry(link, struct dir_entry, order);
		if (entry->cookie < *offset)
			continue;
		long result = emit_entry(uio, entry->node->inode, entry->cookie + 1,
		                         entry->node->mode, entry->name, entry->length);
		if (result < 0)
			return done ? done : result;
		done += result;
		*offset = entry->cookie + 1;
	}
	return done;
}

static long special_entries(struct file *file, struct uio *uio, uint64_t *offset)
{
	long done = 0;
	for (;;) {
		char name[NAME_BYTES_MAX + 1];
		uint64_t inode = 1, position = *offset - FIRST_COOKIE;
		uint32_t mode = S_IFREG;
		int length =
		        file->node->operations->list(file->node, &position, name, &inode, &mode);
		if (length <= 0)
			return done ? done : length;
		long result =
		        emit_entry(uio, inode, position + FIRST_COOKIE, mode, name, (size_t)length);
		if (result < 0)
			return done ? done : result;
		done += result;
		*offset = position + FIRST_COOKIE;
	}
}

static long directory_entries(struct file *file, struct uio *uio, uint64_t *offset)
{
	struct path_node *node = file->node;
	if (!node->links && !node->operations)
		return -ENOENT;
	long dots = emit_dots(file, uio, offset);
	if (dots < 0 || *offset < FIRST_COOKIE)
		return dots;
	long result = 0;
	if (!node->operations)
		result = memory_entries(file, uio, offset);
	else if (node->operations->list)
		result = special_entries(file, uio, offset);
	if (result < 0)
		return dots ? dots : result;
	return dots + result;
}

static long directory_read(struct file *file, struct uio *uio, uint64_t offset)
{
	(void)file, (void)uio, (void)offset;
	return -EISDIR;
}

static int64_t directory_seek(struct file *file, int64_t offset, int whence)
{
	if (whence == SEEK_CUR)
		offset += (int64_t)file->offset;
	else if (whence == SEEK_END)
		offset += INT64_MAX - 1;
	else if (whence != SEEK_SET)
		return -EINVAL;
	if (offset < 0)
		return -EINVAL;
	file->offset = (uint64_t)offset;
	return offset;
}

static const struct file_operations directory_operations = {
	.kind = "directory",
	.no_splice_read = true,
	.read = directory_read,
	.status = regular_status,
	.seek = directory_seek,
	.entries = directory_entries,
	.release = object_release,
};

static const struct file_operations path_operations = {
	/* O_PATH */
	.kind = "path",
	.status = regular_status,
	.release = object_release,
};

int memfs_open(struct path_node *node, uint32_t flags, struct file **out)
{
	const struct file_operations *operations = &regular_operations;
	if (flags & O_PATH)
		operations = &path_operations;
	else if (node_is_directory(node))
		operations = &directory_operations;
	struct file *file = file_create(operations, NULL, flags);
	if (!file)
		return -ENOMEM;
	file->node = path_node_get(node);
	file->seekable = !(flags & O_PATH);
	*out = file;
	return 0;
}

long sys_getdents64(struct thread *thread, const uint64_t *argument)
{
	struct file *file = thread_file(thread, argument[0]);
	if (!file || file->flags & O_PATH)
		return -EBADF;
	if (!file->operations->entries)
		return -ENOTDIR;
	struct uio uio;
	uio_init_single(&uio, user(argument[1]), (uint32_t)argument[2]);
	long result = file->operations->entries(file, &uio, &file->offset);
	uio_fini(&uio);
	return result;
}

#define MFD_CLOEXEC       1u
#define MFD_ALLOW_SEALING 2u
#define MFD_NOEXEC_SEAL   8u
#define MFD_EXEC          16u
#define MEMFD_NAME_MAX    249

long sys_memfd_create(struct thread *thread, const uint64_t *argument)
{
	uint32_t flags = (uint32_t)argument[1];
	if (flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC) ||
	    (flags & MFD_NOEXEC_SEAL && flags & MFD_EXEC))
		return -EINVAL;
	struct user_path text;
	int error = user_path_get(&text, user(argument[0]));
	if (error)
		return error == -ENAMETOOLONG ? -EINVAL : error;
	size_t length = text.length;
	user_path_put(&text);
	if (length > MEMFD_NAME_MAX)
		return -EINVAL;
	struct path_node *node = node_create(S_IFREG | (flags & MFD_NOEXEC_SEAL ? 0666 : 0777));
	if (!node)
		return -ENOMEM;
	if (flags & MFD_NOEXEC_SEAL)
		node->seals = SEAL_EXEC;
	else if (flags & MFD_ALLOW_SEALING)
		node->seals = 0;
	struct file *file = NULL;
	error = memfs_open(node, O_RDWR | O_LARGEFILE, &file);
	path_node_put(node);
	if (error)
		return error;
	int descriptor = file_install(thread, file, 0, flags & MFD_CLOEXEC);
	if (descriptor < 0)
		file_put(file);
	return descriptor;
}
