/* eventfd2(2). */
#include <errno.h>

#include "syscalls/file.h"
#include "syscalls/files/anonymous.h"
#include "syscalls/syscall.h"

#define EFD_SEMAPHORE 1u
#define COUNTER_MAX   (UINT64_MAX - 1)

struct eventfd {
	struct file file;
	uint64_t counter;
	bool semaphore;
};

static struct eventfd *eventfd_of(struct file *file)
{
	return container_of(file, struct eventfd, file);
}

static uint32_t eventfd_poll(struct file *file)
{
	const struct eventfd *event = eventfd_of(file);
	uint32_t ready = 0;
	if (event->counter)
		ready |= POLLIN;
	if (event->counter < COUNTER_MAX)
		ready |= POLLOUT;
	return event->counter == UINT64_MAX ? ready | POLLERR : ready;
}

static long eventfd_read(struct file *file, struct uio *uio, uint64_t offset)
{
	struct eventfd *event = eventfd_of(file);
	(void)offset;
	if (uio->remaining < sizeof(uint64_t))
		return -EINVAL;
	if (!event->counter)
		return -EAGAIN;
	uint64_t value = event->semaphore ? 1 : event->counter;
	event->counter -= value;
	file_notify(file, POLLOUT);
	/* As in Linux, what cannot be stored is lost. */
	return uio_copy_out(uio, &value, sizeof(value)) < sizeof(value) ? -EFAULT
	                                                                : (long)sizeof(value);
}

static long eventfd_write(struct file *file, struct uio *uio, uint64_t offset)
{
	struct eventfd *event = eventfd_of(file);
	uint64_t value;
	(void)offset;
	/* Exactly, since Linux 6.9; each buffer of a vector is a write of its own. */
	if (uio_piece_bytes(uio) != sizeof(value))
		return -EINVAL;
	if (uio_copy_in(uio, &value, sizeof(value)) < sizeof(value))
		return -EFAULT;
	if (value == UINT64_MAX)
		return -EINVAL;
	if (value > COUNTER_MAX - event->counter) {
		uio_rewind(uio, sizeof(value));
		return -EAGAIN;
	}
	event->counter += value;
	if (value)
		file_notify(file, POLLIN);
	return sizeof(value);
}

static void eventfd_release(struct file *file)
{
	heap_free(eventfd_of(file));
}

static const struct file_operations eventfd_operations = {
	.kind = "eventfd",
	.no_splice_read = true,
	.no_splice_write = true,
	.read = eventfd_read,
	.write = eventfd_write,
	.poll = eventfd_poll,
	.status = anonymous_status,
	.seek = anonymous_seek,
	.release = eventfd_release,
};

long sys_eventfd2(struct thread *thread, const uint64_t *argument)
{
	uint32_t flags = (uint32_t)argument[1];
	if (flags & ~(EFD_SEMAPHORE | O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	struct eventfd *event = heap_alloc_zeroed(sizeof(*event));
	if (!event)
		return -ENOMEM;
	file_init(&event->file, &eventfd_operations, event, O_RDWR | (flags & O_NONBLOCK));
	event->counter = (uint32_t)argument[0];
	event->semaphore = flags & EFD_SEMAPHORE;
	return anonymous_install(thread, &event->file, flags & O_CLOEXEC);
}
