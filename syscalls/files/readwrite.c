/* read(2), write(2) and their vectored and positioned forms. */
#include <errno.h>

#include "core/clock.h"
#include "core/user.h"
#include "syscalls/files/io.h"
#include "syscalls/files/node.h"
#include "syscalls/process.h"
#include "syscalls/signal.h"
#include "syscalls/syscall.h"
#include "syscalls/timespec.h"

static bool file_can_read(const struct file *file)
{
	return (file->flags & O_ACCMODE) != O_WRONLY && !(file->flags & O_PATH);
}

static bool file_can_write(const struct file *file)
{
	return (file->flags & O_ACCMODE) != O_RDONLY && !(file->flags & O_PATH);
}

static long read_attempt(struct thread *thread, struct io_request *request)
{
	(void)thread;
	return request->file->operations->read(request->file, &request->uio, request->offset);
}

static long write_attempt(struct thread *thread, struct io_request *request)
{
	long result =
	        request->file->operations->write(request->file, &request->uio, request->offset);
	if (result == -EPIPE && !request->file->pipe_is_quiet)
		signal_send_pipe(thread);
	return result;
}

/* The operation could not complete at once: build the request that can wait. */
static long stream_wait(struct thread *thread, struct file *file, struct uio *uio, bool write,
                        long done)
{
	struct io_request request = {
		.file = file,
		.attempt = write ? write_attempt : read_attempt,
		.uio = *uio,
		.deadline_ns = LOOP_NEVER,
		.events = write ? POLLOUT : POLLIN,
		.nonblocking = file->flags & O_NONBLOCK,
		.all = write,
		.least = write ? 0 : file_least(file, uio->done + uio->remaining),
		.total = done > 0 ? (uint64_t)done : 0,
	};
	uio_moved(&request.uio);
	if (request.nonblocking) {
		uio_fini(&request.uio);
		return request.total ? (long)request.total : -EAGAIN;
	}
	if (file->operations->timeout_ns) {
		uint64_t timeout_ns = file->operations->timeout_ns(file, write);
		if (timeout_ns != LOOP_NEVER)
			request.deadline_ns = deadline_after(timeout_ns);
	}
	return io_continue(thread, &request);
}

/* Linux: rw_verify_area. */
static inline bool ends_beyond_all(uint64_t offset, const struct uio *uio)
{
	return offset + uio->remaining > INT64_MAX;
}

static long read_resume(struct thread *thread, uint32_t reasons);

/* On with it after the others. */
static long read_next_turn(struct thread *thread)
{
	thread_park(thread, read_resume);
	thread_wake(thread, WAKE_EVENT);
	return SYS_PARKED;
}

static long read_resume(struct thread *thread, uint32_t reasons)
{
	struct io_request *request = THREAD_PARK_STATE(thread, struct io_request);
	struct file *file = request->file;
	long result = reasons & WAKE_KILL ? -EINTR : read_attempt(thread, request);
	if (result == -EINPROGRESS && !(reasons & WAKE_SIGNAL))
		return read_next_turn(thread);
	if (result == -EINPROGRESS)
		result = -ERESTARTSYS;
	if (result > 0 && !request->positioned)
		file->offset = request->offset + (uint64_t)result;
	uio_fini(&request->uio);
	file_put(file);
	return result;
}

static long read_later(struct thread *thread, struct file *file, const struct uio *uio,
                       const uint64_t *position)
{
	struct io_request *parked = THREAD_PARK_STATE(thread, struct io_request);
	*parked = (struct io_request){ .file = file_get(file),
		                       .uio = *uio,
		                       .offset = position ? *position : file->offset,
		                       .positioned = position != NULL };
	uio_moved(&parked->uio);
	return read_next_turn(thread);
}

/* Files with a position complete at once: memory is their device. But for those whose text has to
 * be looked for at length. */
static long read_at(struct thread *thread, struct file *file, struct uio *uio,
                    const uint64_t *position)
{
	uint64_t offset = position ? *position : file->offset;
	long result = __builtin_expect(ends_beyond_all(offset, uio), 0)
	                      ? -EINVAL
	                      : file->operations->read(file, uio, offset);
	if (__builtin_expect(result == -EINPROGRESS, 0))
		return read_later(thread, file, uio, position);
	if (result > 0 && !position)
		file->offset = offset + (uint64_t)result;
	uio_fini(uio);
	return result;
}

static long write_at(struct thread *thread, struct file *file, struct uio *uio,
                     const uint64_t *position)
{
	uint64_t offset = position ? *position : file->offset;
	long result = __builtin_expect(ends_beyond_all(offset, uio), 0) ? -EINVAL : 0;
	if (file->flags & O_APPEND && file->node)
		offset = node_bytes(file->node);
	uint64_t limit = thread->process->limits[LIMIT_FSIZE].soft;
	bool limited = !result && uio->remaining && file->node && node_is_regular(file->node);
	if (limited && offset + uio->remaining > limit) {
		if (offset >= limit) {
			struct signal_information information = { .number = 25 /* SIGXFSZ */ };
			signal_send_thread(thread, &information);
			result = -EFBIG;
		} else {
			uio->remaining = limit - offset;
		}
	}
	if (!result)
		result = file->operations->write(file, uio, offset);
	if (result > 0 && !position)
		file->offset = offset + (uint64_t)result;
	uio_fini(uio);
	return result;
}

/* thread_file without a call: read and write are called more often than all else together. */
static inline struct file *open_file(const struct thread *thread, uint64_t descriptor)
{
	return file_table_lookup(thread->process->files, (int)descriptor);
}

static inline long read_file(struct thread *thread, struct file *file, struct uio *uio,
                             const uint64_t *position)
{
	if (file->seekable)
		return read_at(thread, file, uio, position);
	uint64_t wanted = uio->remaining;
	long result = file->operations->read(file, uio, 0);
	bool waits = result == -EAGAIN || (result > 0 && !(file->flags & O_NONBLOCK) &&
	                                   (uint64_t)result < file_least(file, wanted));
	if (__builtin_expect(waits, 0))
		return stream_wait(thread, file, uio, false, result);
	uio_fini(uio);
	return result;
}

static inline long write_file(struct thread *thread, struct file *file, struct uio *uio,
                              const uint64_t *position)
{
	if (file->seekable)
		return write_at(thread, file, uio, position);
	long result = file->operations->write(file, uio, 0);
	if (result == -EAGAIN || (result > 0 && uio->remaining))
		return stream_wait(thread, file, uio, true, result);
	if (result == -EPIPE && !file->pipe_is_quiet)
		signal_send_pipe(thread);
	uio_fini(uio);
	return result;
}

long file_read(struct thread *thread, struct file *file, struct uio *uio, const uint64_t *position)
{
	return read_file(thread, file, uio, position);
}

long file_write(struct thread *thread, struct file *file, struct uio *uio, const uint64_t *position)
{
	return write_file(thread, file, uio, position);
}

__attribute__((noinline)) long file_read_call(struct thread *thread, struct file *file,
                                              const uint64_t *argument)
{
	if (!file->operations->read)
		return -EINVAL;
	if (!uio_range_possible(argument[1], argument[2]))
		return -EFAULT;
	struct uio uio;
	uio_init_single(&uio, user(argument[1]), argument[2]);
	return read_file(thread, file, &uio, NULL);
}

__attribute__((noinline)) long file_write_call(struct thread *thread, struct file *file,
                                               const uint64_t *argument)
{
	if (!file->operations->write)
		return -EINVAL;
	if (!uio_range_possible(argument[1], argument[2]))
		return -EFAULT;
	struct uio uio;
	uio_init_single(&uio, user(argument[1]), argument[2]);
	return write_file(thread, file, &uio, NULL);
}

long sys_read(struct thread *thread, const uint64_t *argument)
{
	struct file *file = open_file(thread, argument[0]);
	if (!file || !file_can_read(file))
		return -EBADF;
	if (file->operations->read_call)
		return file->operations->read_call(thread, file, argument);
	return file_read_call(thread, file, argument);
}

long sys_write(struct thread *thread, const uint64_t *argument)
{
	struct file *file = open_file(thread, argument[0]);
	if (!file || !file_can_write(file))
		return -EBADF;
	if (file->operations->write_call)
		return file->operations->write_call(thread, file, argument);
	return file_write_call(thread, file, argument);
}

/* The file of a call that moves data; NULL and *error. `positioned`: it must have a position. */
static struct file *data_file(struct thread *thread, uint64_t descriptor, bool write,
                              bool positioned, long *error)
{
	struct file *file = thread_file(thread, descriptor);
	*error = -EBADF;
	if (!file || file->flags & O_PATH)
		return NULL;
	*error = -ESPIPE;
	if (positioned && !file->seekable)
		return NULL;
	*error = -EBADF;
	if (!(write ? file_can_write(file) : file_can_read(file)))
		return NULL;
	*error = -EINVAL;
	if (write ? !file->operations->write : !file->operations->read)
		return NULL;
	*error = 0;
	return file;
}

static long vector_call(struct thread *thread, const uint64_t *argument, bool write,
                        const uint64_t *position)
{
	long error;
	struct file *file = data_file(thread, argument[0], write, position, &error);
	if (!file)
		return error;
	struct uio uio;
	error = uio_init_vector(&uio, user(argument[1]), argument[2]);
	if (error)
		return error;
	if (!uio.remaining) {
		uio_fini(&uio);
		return 0;
	}
	return write ? file_write(thread, file, &uio, position)
	             : file_read(thread, file, &uio, position);
}

long sys_readv(struct thread *thread, const uint64_t *argument)
{
	return vector_call(thread, argument, false, NULL);
}

long sys_writev(struct thread *thread, const uint64_t *argument)
{
	return vector_call(thread, argument, true, NULL);
}

static long positioned_single(struct thread *thread, const uint64_t *argument, bool write)
{
	uint64_t position = argument[3];
	if ((int64_t)position < 0)
		return -EINVAL;
	long error;
	struct file *file = data_file(thread, argument[0], write, true, &error);
	if (!file)
		return error;
	if (!uio_range_possible(argument[1], argument[2]))
		return -EFAULT;
	struct uio uio;
	uio_init_single(&uio, user(argument[1]), argument[2]);
	return write ? file_write(thread, file, &uio, &position)
	             : file_read(thread, file, &uio, &position);
}

long sys_pread64(struct thread *thread, const uint64_t *argument)
{
	return positioned_single(thread, argument, false);
}

long sys_pwrite64(struct thread *thread, const uint64_t *argument)
{
	return positioned_single(thread, argument, true);
}

static long positioned_vector(struct thread *thread, const uint64_t *argument, bool write)
{
	uint64_t position =
	        argument[3]; /* a 64-bit machine: the high half (argument 4) is unused */
	if ((int64_t)position < 0)
		return -EINVAL;
	return vector_call(thread, argument, write, &position);
}

long sys_preadv(struct thread *thread, const uint64_t *argument)
{
	return positioned_vector(thread, argument, false);
}

long sys_pwritev(struct thread *thread, const uint64_t *argument)
{
	return positioned_vector(thread, argument, true);
}

#define RWF_HIPRI  0x01u
#define RWF_DSYNC  0x02u
#define RWF_SYNC   0x04u
#define RWF_NOWAIT 0x08u
#define RWF_APPEND 0x10u

/* preadv2 and pwritev2: position -1 is the file's own; memory needs no syncing, so HIPRI, DSYNC and
 * SYNC hold trivially. */
static long positioned_vector2(struct thread *thread, const uint64_t *argument, bool write)
{
	if (argument[5] & ~(uint64_t)(RWF_HIPRI | RWF_DSYNC | RWF_SYNC))
		return -EOPNOTSUPP;
	if ((int64_t)argument[3] == -1)
		return vector_call(thread, argument, write, NULL);
	return positioned_vector(thread, argument, write);
}

long sys_preadv2(struct thread *thread, const uint64_t *argument)
{
	return positioned_vector2(thread, argument, false);
}

long sys_pwritev2(struct thread *thread, const uint64_t *argument)
{
	return positioned_vector2(thread, argument, true);
}

#define SEEK_HOLE 4u /* the last */

long sys_lseek(struct thread *thread, const uint64_t *argument)
{
	struct file *file = thread_file(thread, argument[0]);
	if (!file || file->flags & O_PATH)
		return -EBADF;
	if ((uint32_t)argument[2] > SEEK_HOLE)
		return -EINVAL;
	if (!file->operations->seek)
		return -ESPIPE;
	return file->operations->seek(file, (int64_t)argument[1], (int)argument[2]);
}

long file_read_kernel(struct file *file, void *to, size_t bytes, uint64_t offset)
{
	if (!file->operations->read)
		return -EINVAL;
	struct uio uio;
	uio_init_kernel(&uio, to, bytes);
	return file->operations->read(file, &uio, offset);
}
