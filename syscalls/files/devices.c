/* /dev: null, zero, full, random; the console's terminal is in tty.c. */
#include "syscalls/files/devices.h"

#include <errno.h>
#include <string.h>

#include "syscalls/files/node.h"
#include "syscalls/files/root.h"
#include "syscalls/net.h"
#include "syscalls/thread.h"

#define RANDOM_CHUNK 1024

static long null_read(struct file *file, struct uio *uio, uint64_t offset)
{
	(void)file, (void)uio, (void)offset;
	return 0;
}

static long null_write(struct file *file, struct uio *uio, uint64_t offset)
{
	(void)file, (void)offset;
	long bytes = (long)uio->remaining;
	uio->remaining = 0;
	return bytes;
}

static long zero_read(struct file *file, struct uio *uio, uint64_t offset)
{
	(void)file, (void)offset;
	size_t wanted = uio->remaining, done = uio_zero_out(uio, wanted);
	return done || !wanted ? (long)done : -EFAULT;
}

static long full_write(struct file *file, struct uio *uio, uint64_t offset)
{
	(void)file, (void)uio, (void)offset;
	return -ENOSPC;
}

static long random_read(struct file *file, struct uio *uio, uint64_t offset)
{
	(void)file, (void)offset;
	long done = 0;
	while (uio->remaining) {
		uint8_t chunk[RANDOM_CHUNK];
		size_t bytes = uio->remaining < sizeof(chunk) ? uio->remaining : sizeof(chunk);
		random_bytes(chunk, bytes);
		size_t copied = uio_copy_out(uio, chunk, bytes);
		done += (long)copied;
		if (copied < bytes)
			return done ? done : -EFAULT;
	}
	return done;
}

static long random_write(struct file *file, struct uio *uio, uint64_t offset)
{
	(void)file, (void)offset;
	long done = 0;
	while (uio->remaining) {
		uint8_t chunk[RANDOM_CHUNK];
		size_t bytes = uio->remaining < sizeof(chunk) ? uio->remaining : sizeof(chunk);
		size_t copied = uio_copy_in(uio, chunk, bytes);
		random_add_entropy(chunk, copied);
		done += (long)copied;
		if (copied < bytes)
			return done ? done : -EFAULT;
	}
	return done;
}

/* There are always random bytes; /dev/urandom is not asked. */
static uint32_t random_poll(struct file *file)
{
	(void)file;
	return POLLIN | POLLRDNORM;
}

static int device_status(struct file *file, struct file_status *out)
{
	node_status(file->node, out);
	return 0;
}

static int64_t device_seek(struct file *file, int64_t offset, int whence)
{
	(void)file, (void)offset, (void)whence;
	return 0;
}

static int zero_page_of(struct file *file, uint64_t index, bool shared_write, struct page **out)
{
	(void)file, (void)index, (void)shared_write;
	void *page = page_alloc_zeroed(0);
	if (!page)
		return -ENOMEM;
	*out = page_of(page);
	return 0;
}

static void device_release(struct file *file)
{
	file_free(file);
}

static const struct file_operations null_operations = { .kind = "null",
	                                                .no_splice_read = true,
	                                                .read = null_read,
	                                                .write = null_write,
	                                                .status = device_status,
	                                                .seek = device_seek,
	                                                .release = device_release };
static const struct file_operations zero_operations = { .kind = "zero",
	                                                .read = zero_read,
	                                                .write = null_write,
	                                                .status = device_status,
	                                                .seek = device_seek,
	                                                .page = zero_page_of,
	                                                .release = device_release };
static const struct file_operations full_operations = { .kind = "full",
	                                                .read = zero_read,
	                                                .write = full_write,
	                                                .status = device_status,
	                                                .seek = device_seek,
	                                                .release = device_release };
static const struct file_operations random_operations = { .kind = "random",
	                                                  .read = random_read,
	                                                  .write = random_write,
	                                                  .poll = random_poll,
	                                                  .status = device_status,
	                                                  .can_be_async = true,
	                                                  .seek = device_seek,
	                                                  .release = device_release };
static const struct file_operations urandom_operations = { .kind = "urandom",
	                                                   .read = random_read,
	                                                   .write = random_write,
	                                                   .status = device_status,
	                                                   .can_be_async = true,
	                                                   .seek = device_seek,
	                                                   .release = device_release };

static const struct device {
	const char *name;
	uint64_t number;
	const struct file_operations *operations; /* NULL: the terminal */
} devices[] = {
	{ "null", DEVICE_NUMBER(1, 3), &null_operations },
	{ "zero", DEVICE_NUMBER(1, 5), &zero_operations },
	{ "full", DEVICE_NUMBER(1, 7), &full_operations },
	{ "random", DEVICE_NUMBER(1, 8), &random_operations },
	{ "urandom", DEVICE_NUMBER(1, 9), &urandom_operations },
	{ "tty", DEVICE_NUMBER(5, 0), NULL },
	{ "console", DEVICE_NUMBER(5, 1), NULL },
	{ "hvc0", DEVICE_NUMBER(229, 0), NULL },
	{ "ttyS0", DEVICE_NUMBER(4, 64), NULL },
};
#define DEVICES (sizeof(devices) / sizeof(devices[0]))

int device_open(struct thread *thread, struct path_node *node, uint32_t flags, struct file **out)
{
	(void)thread;
	for (size_t i = 0; i < DEVICES; i++) {
		if (devices[i].number != node->rdev)
			continue;
		if (!devices[i].operations)
			return tty_open(node, flags, out);
		struct file *file = file_create(devices[i].operations, NULL, flags);
		if (!file)
			return -ENOMEM;
		file->node = path_node_get(node);
		file->seekable = true; /* pread and pwrite do; the position means nothing */
		*out = file;
		return 0;
	}
	return -ENXIO;
}

static int add_node(struct path_node *directory, const char *name, struct path_node *node)
{
	if (!node)
		return -ENOMEM;
	int error = directory_find(directory, name, strlen(name))
	                    ? 0
	                    : directory_add(directory, name, strlen(name), node);
	path_node_put(node);
	return error;
}

int devices_populate(struct path_node *dev)
{
	static const struct {
		const char *name, *target;
	} links[] = { { "fd", "/proc/self/fd" },
		      { "stdin", "/proc/self/fd/0" },
		      { "stdout", "/proc/self/fd/1" },
		      { "stderr", "/proc/self/fd/2" } };
	int error = 0;
	for (size_t i = 0; i < DEVICES && !error; i++) {
		struct path_node *node = node_create(S_IFCHR | 0666);
		if (node)
			node->rdev = devices[i].number;
		error = add_node(dev, devices[i].name, node);
	}
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]) && !error; i++)
		error = add_node(dev, links[i].name,
		                 node_create_symlink(links[i].target, strlen(links[i].target)));
	struct path_node *shm;
	if (!error)
		error = root_make_directory(dev, "shm", 01777, &shm);
	return error;
}
