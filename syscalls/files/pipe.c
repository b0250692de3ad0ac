/* Pipes and FIFOs: a ring of pages that holds memory only while it holds bytes. */
#include "syscalls/files/pipe.h"

#include <errno.h>
#include <string.h>

#include "core/user.h"
#include "syscalls/files/fcntl.h"
#include "syscalls/files/node.h"
#include "syscalls/process.h"
#include "syscalls/syscall.h"

#define PIPE_SLOTS          16u
#define PIPE_SLOTS_MAX      256u /* 1 MiB: /proc/sys/fs/pipe-max-size */
#define PIPE_DEVICE         12
#define PIPE_BYTES_MAX      (1ull << 31)
#define FIONREAD            0x541bu
#define O_NOTIFICATION_PIPE O_EXCL

struct pipe_slot {
	char *page;
	uint16_t start, length;
	bool packet; /* O_DIRECT: read as one message */
};

struct pipe_end {
	struct file file;
	struct pipe *pipe;
	bool reads, writes;
	uint64_t seen_writers; /* of a reader that found no writer: as many were gone by then */
	struct list_node link; /* pipe->ends */
};

struct pipe {
	struct pipe_slot *slots;
	uint32_t slot_count, first, used; /* slots */
	uint64_t bytes;
	uint32_t readers, writers, refs;         /* refs: ends */
	uint64_t opened_readers, opened_writers; /* ever: for open(2) that waits */
	struct list ends;
	struct path_node *node; /* FIFO: node->pipe is this; borrowed */
	uint64_t inode;
};

static uint64_t last_pipe_inode;
static const struct file_operations pipe_operations;

static struct pipe_end *end_of(struct file *file)
{
	return container_of(file, struct pipe_end, file);
}

static struct pipe_slot *slot_at(struct pipe *pipe, uint32_t position)
{
	return &pipe->slots[(pipe->first + position) & (pipe->slot_count - 1)];
}

/* As on Linux every read and write is told by signal, whatever it moved. */
static void notify_ends(struct pipe *pipe, bool readers, uint32_t events)
{
	list_for_each(link, &pipe->ends)
	{
		struct pipe_end *end = list_entry(link, struct pipe_end, link);
		if (readers ? end->reads : end->writes)
			file_notify(&end->file, events);
	}
}

static struct pipe *pipe_create(void)
{
	struct pipe *pipe = heap_alloc_zeroed(sizeof(*pipe));
	if (!pipe)
		return NULL;
	pipe->slots = heap_alloc_zeroed(PIPE_SLOTS * sizeof(struct pipe_slot));
	if (!pipe->slots) {
		heap_free(pipe);
		return NULL;
	}
	pipe->slot_count = PIPE_SLOTS;
	pipe->inode = ++last_pipe_inode;
	list_init(&pipe->ends);
	return pipe;
}

static void pipe_free(struct pipe *pipe)
{
	for (uint32_t i = 0; i < pipe->used; i++)
		page_free(slot_at(pipe, i)->page, 0);
	if (pipe->node)
		pipe->node->pipe = NULL;
	heap_free(pipe->slots);
	heap_free(pipe);
}

static struct pipe_end *pipe_open_end(struct pipe *pipe, uint32_t flags)
{
	struct pipe_end *end = heap_alloc_zeroed(sizeof(*end));
	if (!end)
		return NULL;
	file_init(&end->file, &pipe_operations, pipe, flags);
	end->pipe = pipe;
	end->reads = (flags & O_ACCMODE) != O_WRONLY;
	end->writes = (flags & O_ACCMODE) != O_RDONLY;
	if (!pipe->writers)
		end->seen_writers = pipe->opened_writers;
	pipe->refs++;
	pipe->readers += end->reads;
	pipe->opened_readers += end->reads;
	pipe->writers += end->writes;
	pipe->opened_writers += end->writes;
	list_push_back(&pipe->ends, &end->link);
	return end;
}

static void pipe_release(struct file *file)
{
	struct pipe_end *end = end_of(file);
	struct pipe *pipe = end->pipe;
	list_remove(&end->link);
	pipe->readers -= end->reads;
	pipe->writers -= end->writes;
	if (end->writes && !pipe->writers)
		notify_ends(pipe, true, POLLIN | POLLHUP | FILE_TELL_IN);
	if (end->reads && !pipe->readers)
		notify_ends(pipe, false, POLLOUT | POLLERR | FILE_TELL_OUT);
	if (--pipe->refs == 0)
		pipe_free(pipe);
	heap_free(end);
}

static void drop_first_slot(struct pipe *pipe)
{
	struct pipe_slot *slot = slot_at(pipe, 0);
	page_free(slot->page, 0);
	pipe->bytes -= slot->length;
	pipe->first = (pipe->first + 1) & (pipe->slot_count - 1);
	pipe->used--;
}

static long pipe_read(struct file *file, struct uio *uio, uint64_t offset)
{
	struct pipe *pipe = end_of(file)->pipe;
	(void)offset;
	long done = 0;
	if (!uio->remaining)
		return 0;
	if (!pipe->used) {
		notify_ends(pipe, false, FILE_TELL_OUT);
		return pipe->writers ? -EAGAIN : 0;
	}
	bool was_full = pipe->used == pipe->slot_count;
	while (uio->remaining && pipe->used) {
		struct pipe_slot *slot = slot_at(pipe, 0);
		size_t wanted = slot->length < uio->remaining ? slot->length : uio->remaining;
		size_t copied = uio_copy_out(uio, slot->page + slot->start, wanted);
		bool packet = slot->packet;
		slot->start += (uint16_t)copied;
		slot->length -= (uint16_t)copied;
		pipe->bytes -= copied;
		done += (long)copied;
		if (copied < wanted) {
			if (!done)
				return -EFAULT;
			break;
		}
		if (!slot->length || packet)
			drop_first_slot(pipe);
		if (packet)
			break;
	}
	bool has_room = was_full && pipe->used < pipe->slot_count;
	notify_ends(pipe, false, FILE_TELL_OUT | (has_room ? POLLOUT | POLLWRNORM : 0));
	return done;
}

/* As in Linux: what does not fill a page of its own joins the last page when it fits there as a
 * whole; all else starts a page. So a write of PIPE_BUF bytes or fewer is never cut, and how much
 * a pipe holds is the same. False after a fault, which leaves nothing behind. */
static bool join_last_slot(struct pipe *pipe, struct uio *uio, long *done)
{
	uint32_t bytes = (uint32_t)(uio->remaining % PAGE_SIZE);
	if (!bytes || !pipe->used)
		return true;
	struct pipe_slot *last = slot_at(pipe, pipe->used - 1);
	if (last->packet || (uint64_t)last->start + last->length + bytes > PAGE_SIZE)
		return true;
	if (uio_copy_in(uio, last->page + last->start + last->length, bytes) < bytes)
		return false;
	last->length += (uint16_t)bytes;
	pipe->bytes += bytes;
	*done += bytes;
	return true;
}

/* One more page at the end. 1: done, 0: no room, -ENOMEM, -EFAULT. */
static int append_slot(struct pipe *pipe, struct uio *uio, bool packet, long *done)
{
	if (pipe->used == pipe->slot_count)
		return 0;
	size_t bytes = uio->remaining < PAGE_SIZE ? uio->remaining : PAGE_SIZE;
	struct pipe_slot *slot = slot_at(pipe, pipe->used);
	*slot = (struct pipe_slot){ .page = page_alloc(0),
		                    .length = (uint16_t)bytes,
		                    .packet = packet };
	if (!slot->page)
		return -ENOMEM;
	if (uio_copy_in(uio, slot->page, bytes) < bytes) {
		page_free(slot->page, 0);
		return -EFAULT;
	}
	pipe->used++;
	pipe->bytes += bytes;
	*done += (long)bytes;
	return 1;
}

static long pipe_write(struct file *file, struct uio *uio, uint64_t offset)
{
	struct pipe *pipe = end_of(file)->pipe;
	(void)offset;
	bool packet = file->flags & O_DIRECT;
	long done = 0;
	if (!uio->remaining)
		return 0;
	if (!pipe->readers)
		return -EPIPE;
	int result = uio->done || join_last_slot(pipe, uio, &done) ? 1 : -EFAULT;
	while (uio->remaining && result > 0)
		result = append_slot(pipe, uio, packet, &done);
	notify_ends(pipe, true, FILE_TELL_IN | (done ? POLLIN | POLLRDNORM : 0));
	if (done)
		return done;
	return result < 0 ? result : -EAGAIN;
}

static uint32_t pipe_poll(struct file *file)
{
	struct pipe_end *end = end_of(file);
	struct pipe *pipe = end->pipe;
	uint32_t ready = 0;
	if (end->reads) {
		if (pipe->used)
			ready |= POLLIN | POLLRDNORM;
		if (!pipe->writers && pipe->opened_writers != end->seen_writers)
			ready |= POLLHUP;
	}
	if (end->writes) {
		if (pipe->used < pipe->slot_count)
			ready |= POLLOUT | POLLWRNORM;
		if (!pipe->readers)
			ready |= POLLERR;
	}
	return ready;
}

static long pipe_ioctl(struct file *file, uint32_t command, uint64_t argument)
{
	uint64_t bytes = end_of(file)->pipe->bytes;
	int32_t value = (int32_t)bytes;
	if (command != FIONREAD)
		return -ENOTTY;
	return copy_to_user(user(argument), &value, sizeof(value));
}

static int pipe_status(struct file *file, struct file_status *out)
{
	if (file->node) {
		node_status(file->node, out);
		return 0;
	}
	*out = (struct file_status){ .device = PIPE_DEVICE,
		                     .inode = end_of(file)->pipe->inode,
		                     .mode = S_IFIFO | 0600,
		                     .links = 1,
		                     .block_bytes = PAGE_SIZE };
	return 0;
}

static const struct file_operations pipe_operations = {
	.kind = "pipe",
	.read = pipe_read,
	.write = pipe_write,
	.poll = pipe_poll,
	.ioctl = pipe_ioctl,
	.status = pipe_status,
	.can_be_async = true,
	.release = pipe_release,
};

bool pipe_is(const struct file *file)
{
	return file->operations == &pipe_operations;
}

bool pipe_is_same(struct file *one, struct file *other)
{
	return end_of(one)->pipe == end_of(other)->pipe;
}

long pipe_peek(struct file *file, const char **at, uint64_t *run)
{
	struct pipe *pipe = end_of(file)->pipe;
	if (!pipe->used)
		return pipe->writers ? -EAGAIN : 0;
	const struct pipe_slot *slot = slot_at(pipe, 0);
	*at = slot->page + slot->start;
	*run = slot->length;
	return 1;
}

void pipe_consume(struct file *file, uint64_t bytes)
{
	struct pipe *pipe = end_of(file)->pipe;
	struct pipe_slot *slot = slot_at(pipe, 0);
	bool was_full = pipe->used == pipe->slot_count;
	slot->start += (uint16_t)bytes;
	slot->length -= (uint16_t)bytes;
	pipe->bytes -= bytes;
	if (slot->length)
		return;
	drop_first_slot(pipe);
	if (was_full)
		notify_ends(pipe, false, POLLOUT | POLLWRNORM);
}

long pipe_room(struct file *file)
{
	const struct pipe *pipe = end_of(file)->pipe;
	if (!pipe->readers)
		return -EPIPE;
	return (long)((uint64_t)(pipe->slot_count - pipe->used) * PAGE_SIZE);
}

long pipe_get_capacity(struct file *file)
{
	if (!pipe_is(file))
		return -EBADF;
	return (long)((uint64_t)end_of(file)->pipe->slot_count * PAGE_SIZE);
}

long pipe_set_capacity(struct file *file, uint64_t bytes)
{
	if (!pipe_is(file))
		return -EBADF;
	struct pipe *pipe = end_of(file)->pipe;
	if (bytes > PIPE_BYTES_MAX)
		return -EINVAL;
	if (bytes > (uint64_t)PIPE_SLOTS_MAX * PAGE_SIZE &&
	    !thread_capable(current_thread(), CAPABILITY_SYS_RESOURCE))
		return -EPERM;
	uint32_t count = 1;
	while ((uint64_t)count * PAGE_SIZE < bytes)
		count *= 2;
	if (count < pipe->used)
		return -EBUSY;
	struct pipe_slot *slots = heap_alloc_zeroed(count * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < pipe->used; i++)
		slots[i] = *slot_at(pipe, i);
	heap_free(pipe->slots);
	pipe->slots = slots;
	pipe->slot_count = count;
	pipe->first = 0;
	notify_ends(pipe, false, POLLOUT | POLLWRNORM);
	return (long)((uint64_t)count * PAGE_SIZE);
}

long sys_pipe2(struct thread *thread, const uint64_t *argument)
{
	uint32_t flags = (uint32_t)argument[1];
	bool close_on_exec = flags & O_CLOEXEC;
	if (flags & ~(uint32_t)(O_CLOEXEC | O_NONBLOCK | O_DIRECT | O_NOTIFICATION_PIPE))
		return -EINVAL;
	if (flags & O_NOTIFICATION_PIPE)
		return -ENOPKG;
	struct pipe *pipe = pipe_create();
	if (!pipe)
		return -ENOMEM;
	struct pipe_end *reader = pipe_open_end(pipe, O_RDONLY | (flags & O_NONBLOCK));
	if (!reader) {
		pipe_free(pipe);
		return -ENOMEM;
	}
	struct pipe_end *writer = pipe_open_end(pipe, O_WRONLY | (flags & (O_NONBLOCK | O_DIRECT)));
	int descriptor[2] = { -ENOMEM, -ENOMEM };
	if (writer)
		descriptor[0] = file_install(thread, &reader->file, 0, close_on_exec);
	if (descriptor[0] >= 0)
		descriptor[1] = file_install(thread, &writer->file, 0, close_on_exec);
	if (descriptor[1] < 0) {
		if (descriptor[0] >= 0)
			file_close(thread, descriptor[0]);
		else
			file_put(&reader->file);
		if (writer)
			file_put(&writer->file);
		return descriptor[0] < 0 ? descriptor[0] : descriptor[1];
	}
	if (copy_to_user(user(argument[0]), descriptor, sizeof(descriptor))) {
		file_close(thread, descriptor[0]);
		file_close(thread, descriptor[1]);
		return -EFAULT;
	}
	return 0;
}

int fifo_open(struct path_node *node, uint32_t flags, struct file **out)
{
	struct pipe *pipe = node->pipe;
	bool writes_only = (flags & O_ACCMODE) == O_WRONLY;
	if (writes_only && flags & O_NONBLOCK && (!pipe || !pipe->readers))
		return -ENXIO;
	if (!pipe) {
		pipe = pipe_create();
		if (!pipe)
			return -ENOMEM;
		pipe->node = node;
		node->pipe = pipe;
	}
	struct pipe_end *end = pipe_open_end(pipe, flags & ~(uint32_t)O_DIRECT);
	if (!end) {
		if (!pipe->refs)
			pipe_free(pipe);
		return -ENOMEM;
	}
	end->file.node = path_node_get(node);
	/* POLLHUP reaches every waiter, also an open(2) that waits for this end. */
	list_for_each(link, &pipe->ends)
	        file_notify(&list_entry(link, struct pipe_end, link)->file, POLLHUP);
	*out = &end->file;
	return 0;
}

int pipe_reopen(struct file *file, uint32_t flags, struct file **out)
{
	if (!pipe_is(file) || file->node)
		return -ENXIO;
	struct pipe_end *end = pipe_open_end(end_of(file)->pipe, flags & ~(uint32_t)O_DIRECT);
	if (!end)
		return -ENOMEM;
	*out = &end->file;
	return 0;
}

/* An open(2) that waits for the other end. */
struct fifo_wait {
	struct file *file; /* borrowed from the descriptor, with a reference */
	uint64_t seen;
	int descriptor;
};

static uint64_t others_opened(struct file *file)
{
	const struct pipe_end *end = end_of(file);
	return end->reads ? end->pipe->opened_writers : end->pipe->opened_readers;
}

static long fifo_resume(struct thread *thread, uint32_t reasons)
{
	struct fifo_wait *wait = THREAD_PARK_STATE(thread, struct fifo_wait);
	struct file *file = wait->file;
	long result = wait->descriptor;
	bool met = others_opened(file) != wait->seen;
	if (!met && !(reasons & (WAKE_SIGNAL | WAKE_KILL))) {
		thread_wait_on(thread, &file->waiters, ~0u, false);
		thread_park(thread, fifo_resume);
		return SYS_PARKED;
	}
	if (!met && !(reasons & WAKE_KILL)) {
		file_close(thread, wait->descriptor);
		result = -ERESTARTSYS;
	}
	file_put(file);
	return result;
}

long fifo_wait_open(struct thread *thread, struct file *file, int descriptor)
{
	if (!pipe_is(file) || !file->node || file->flags & O_NONBLOCK)
		return descriptor;
	struct pipe_end *end = end_of(file);
	bool alone = end->reads ? !end->pipe->writers : !end->pipe->readers;
	if (!alone || (end->reads && end->writes))
		return descriptor;
	struct fifo_wait *wait = THREAD_PARK_STATE(thread, struct fifo_wait);
	*wait = (struct fifo_wait){ .file = file_get(file),
		                    .seen = others_opened(file),
		                    .descriptor = descriptor };
	thread_wait_on(thread, &file->waiters, ~0u, false);
	thread_park(thread, fifo_resume);
	return SYS_PARKED;
}
