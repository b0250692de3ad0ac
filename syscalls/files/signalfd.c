/* signalfd4(2): signals that are blocked can be read. */
#include <errno.h>
#include <string.h>

#include "core/user.h"
#include "syscalls/file.h"
#include "syscalls/files/anonymous.h"
#include "syscalls/signal.h"
#include "syscalls/syscall.h"

#define UNREADABLE (1ull << (9 - 1) | 1ull << (19 - 1)) /* SIGKILL, SIGSTOP */

struct signalfd {
	struct file file;
	signal_set mask;
	struct wait_entry entry; /* on signal_generated */
};

struct user_signal { /* struct signalfd_siginfo */
	uint32_t number;
	int32_t error, code;
	uint32_t pid, uid;
	int32_t descriptor;
	uint32_t timer, band, overrun, trap;
	int32_t status, value_int;
	uint64_t value_pointer, user_time, system_time, address;
	uint8_t padding[48];
};
_Static_assert(sizeof(struct user_signal) == 128, "signalfd_siginfo");

static struct signalfd *signalfd_of(struct file *file)
{
	return container_of(file, struct signalfd, file);
}

static bool signal_came(struct wait_entry *entry, uint32_t events)
{
	(void)events;
	file_notify(&container_of(entry, struct signalfd, entry)->file, POLLIN);
	return true;
}

/* Whose signals: those of the thread that looks, as in Linux. */
static uint32_t signalfd_poll(struct file *file)
{
	return signals_pending(current_thread()) & signalfd_of(file)->mask ? POLLIN : 0;
}

static long signalfd_read(struct file *file, struct uio *uio, uint64_t offset)
{
	struct signal_information taken;
	long done = 0;
	(void)offset;
	if (uio->remaining < sizeof(struct user_signal))
		return -EINVAL;
	while (uio->remaining >= sizeof(struct user_signal) &&
	       signal_take(current_thread(), signalfd_of(file)->mask, &taken)) {
		struct user_signal out = {
			.number = (uint32_t)taken.number,
			.error = taken.error,
			.code = taken.code,
			.pid = (uint32_t)taken.pid,
			.uid = taken.uid,
			.status = taken.status,
			.value_int = (int32_t)taken.value,
			.value_pointer = taken.value,
			.address = taken.address,
		};
		if (signal_is_of_file(&taken)) {
			out.pid = out.uid = 0;
			out.value_int = 0;
			out.value_pointer = 0;
			out.descriptor = taken.descriptor;
			out.band = (uint32_t)taken.band;
		}
		if (uio_copy_out(uio, &out, sizeof(out)) < sizeof(out))
			return done ? done : -EFAULT;
		done += (long)sizeof(out);
	}
	return done ? done : -EAGAIN;
}

static void signalfd_release(struct file *file)
{
	struct signalfd *own = signalfd_of(file);
	wait_entry_remove(&own->entry);
	heap_free(own);
}

static const struct file_operations signalfd_operations = {
	.kind = "signalfd",
	.no_splice_read = true,
	.read = signalfd_read,
	.poll = signalfd_poll,
	.status = anonymous_status,
	.seek = anonymous_seek,
	.release = signalfd_release,
};

static long signalfd_create(struct thread *thread, signal_set mask, uint32_t flags)
{
	struct signalfd *own = heap_alloc_zeroed(sizeof(*own));
	if (!own)
		return -ENOMEM;
	file_init(&own->file, &signalfd_operations, NULL, O_RDWR | (flags & O_NONBLOCK));
	own->mask = mask;
	own->entry.notify = signal_came;
	own->entry.interest = POLLIN;
	wait_queue_add(&signal_generated, &own->entry);
	return anonymous_install(thread, &own->file, flags & O_CLOEXEC);
}

long sys_signalfd4(struct thread *thread, const uint64_t *argument)
{
	signal_set mask;
	uint32_t flags = (uint32_t)argument[3];
	if (argument[2] != sizeof(mask) || flags & ~(uint32_t)(O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	if (copy_from_user(&mask, user(argument[1]), sizeof(mask)))
		return -EFAULT;
	mask &= ~UNREADABLE;
	if ((int)argument[0] == -1)
		return signalfd_create(thread, mask, flags);
	struct file *file = thread_file(thread, argument[0]);
	if (!file)
		return -EBADF;
	if (file->operations != &signalfd_operations)
		return -EINVAL;
	signalfd_of(file)->mask = mask;
	file_notify(file, POLLIN);
	return (long)argument[0];
}
