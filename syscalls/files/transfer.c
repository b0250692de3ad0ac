/* Moving bytes between files inside the kernel: sendfile(2), copy_file_range(2), splice(2). */
#include <errno.h>

#include "core/user.h"
#include "syscalls/files/io.h"
#include "syscalls/files/node.h"
#include "syscalls/process.h"
#include "syscalls/signal.h"
#include "syscalls/syscall.h"

#define TRANSFER_CHUNK (PAGE_SIZE << TRANSFER_ORDER)
#define TRANSFER_ORDER 2
#define TRANSFER_MAX   0x7ffff000ull
#define TRANSFER_TURN  (1024 * 1024) /* bytes that one run to completion may move */
#define LEND_MOST      (256 * 1024)  /* bytes lent at once: what is sent beyond the send buffer */

/*
 * The state of a transfer. Regular files are sent straight from their pages; other sources (pipes,
 * sockets: splice) go through a buffer that is kept until its bytes are written.
 */
struct transfer {
	struct file *in, *out; /* references while parked */
	uint64_t remaining, done;
	uint64_t in_offset, out_offset;
	struct user_addr in_position, out_position; /* where offsets are written back, or 0 */
	bool in_positioned, out_positioned, nonblocking, send_all;
	bool end_of_file;
	bool waits_for_out;
	char *buffer; /* pages, or NULL */
	uint32_t buffer_start, buffer_bytes;
};

static long transfer_resume(struct thread *thread, uint32_t reasons);

static bool is_memory_file(const struct file *file)
{
	return file->node && node_is_regular(file->node);
}

/* A run of bytes to write: 0 at the end of the source, negative errno. */
static long source_run(struct transfer *transfer, const char **at, uint64_t *run)
{
	if (is_memory_file(transfer->in)) {
		*at = file_data_peek(&transfer->in->node->data, transfer->in_offset, run);
		return *at ? 1 : 0;
	}
	if (!transfer->buffer_bytes) {
		if (!transfer->buffer && !(transfer->buffer = page_alloc(TRANSFER_ORDER)))
			return -ENOMEM;
		struct uio uio;
		uint64_t room =
		        transfer->remaining < TRANSFER_CHUNK ? transfer->remaining : TRANSFER_CHUNK;
		uio_init_kernel(&uio, transfer->buffer, room);
		long got = transfer->in->operations->read(transfer->in, &uio, transfer->in_offset);
		if (got <= 0)
			return got;
		transfer->buffer_start = 0;
		transfer->buffer_bytes = (uint32_t)got;
	}
	*at = transfer->buffer + transfer->buffer_start;
	*run = transfer->buffer_bytes;
	return 1;
}

static void source_consume(struct transfer *transfer, uint64_t bytes)
{
	if (transfer->buffer_bytes) {
		transfer->buffer_start += (uint32_t)bytes;
		transfer->buffer_bytes -= (uint32_t)bytes;
	}
	transfer->in_offset += bytes;
	transfer->out_offset += bytes;
	transfer->remaining -= bytes;
	transfer->done += bytes;
}

/* Bytes of a file that fill a page and more are not copied if the destination can do without.
 * 0: not in this way. */
static long lend_run(struct transfer *transfer)
{
	const struct file_operations *operations = transfer->out->operations;
	if (!operations->lend || transfer->remaining < PAGE_SIZE || !is_memory_file(transfer->in))
		return 0;
	uint64_t most = transfer->remaining < LEND_MOST ? transfer->remaining : LEND_MOST, run;
	const void *at = file_data_hold(&transfer->in->node->data, transfer->in_offset, most, &run);
	if (!at)
		return 0;
	int error = run < PAGE_SIZE ? -ENOBUFS
	                            : operations->lend(transfer->out, at, run, file_data_release);
	if (!error)
		return (long)run;
	file_data_release(at, run);
	return error == -ENOBUFS ? 0 : error;
}

static long copy_run(struct transfer *transfer)
{
	const char *at;
	uint64_t run;
	struct uio uio;
	long result = source_run(transfer, &at, &run);
	if (result <= 0)
		return result;
	if (run > transfer->remaining)
		run = transfer->remaining;
	uio_init_kernel(&uio, (char *)(uintptr_t)at, run);
	transfer->waits_for_out = true;
	return transfer->out->operations->write(transfer->out, &uio, transfer->out_offset);
}

/* Until it is complete (1), has to wait (-EAGAIN, with waits_for_out set), has had its turn
 * (-EINPROGRESS) or fails. */
static long transfer_run(struct thread *thread, struct transfer *transfer)
{
	uint64_t turn_ends = transfer->done + TRANSFER_TURN;
	while (transfer->remaining) {
		if (transfer->done >= turn_ends)
			return -EINPROGRESS;
		transfer->waits_for_out = false;
		long wrote = lend_run(transfer);
		if (wrote)
			transfer->waits_for_out = true;
		else
			wrote = copy_run(transfer);
		if (wrote == -EPIPE && !transfer->out->pipe_is_quiet)
			signal_send_pipe(thread);
		if (wrote <= 0)
			return wrote ? wrote : 1;
		source_consume(transfer, (uint64_t)wrote);
		if (!transfer->send_all && !transfer->buffer_bytes)
			return 1;
	}
	return 1;
}

static void store_positions(struct transfer *transfer)
{
	if (transfer->in_position.value)
		(void)!user_store_u64(transfer->in_position, transfer->in_offset);
	else if (transfer->in->seekable && !transfer->in_positioned)
		transfer->in->offset = transfer->in_offset;
	if (transfer->out_position.value)
		(void)!user_store_u64(transfer->out_position, transfer->out_offset);
	else if (transfer->out->seekable && !transfer->out_positioned)
		transfer->out->offset = transfer->out_offset;
}

static void transfer_fini(struct transfer *transfer)
{
	if (transfer->buffer)
		page_free(transfer->buffer, TRANSFER_ORDER);
}

static long transfer_finish(struct transfer *transfer, long result)
{
	transfer_fini(transfer);
	if (transfer->done || result > 0) {
		store_positions(transfer);
		return (long)transfer->done;
	}
	return result;
}

static long transfer_park(struct thread *thread, struct transfer *transfer, long result)
{
	if (result == -EINPROGRESS) { /* on with it after the others */
		thread_park(thread, transfer_resume);
		thread_wake(thread, WAKE_EVENT);
		return SYS_PARKED;
	}
	struct file *file = transfer->waits_for_out ? transfer->out : transfer->in;
	thread_wait_on(thread, &file->waiters, transfer->waits_for_out ? POLLOUT : POLLIN, true);
	thread_park(thread, transfer_resume);
	return SYS_PARKED;
}

/* Bytes that were taken from the source must reach the destination, whatever O_NONBLOCK says. */
static bool is_unfinished(const struct transfer *transfer, long result)
{
	bool may_wait = !transfer->nonblocking || transfer->buffer_bytes;
	return result == -EINPROGRESS || (result == -EAGAIN && may_wait);
}

static long transfer_resume(struct thread *thread, uint32_t reasons)
{
	struct transfer *transfer = THREAD_PARK_STATE(thread, struct transfer);
	struct file *in = transfer->in, *out = transfer->out;
	long result = -EINTR;
	if (reasons & WAKE_KILL) { /* its memory must not be touched any more */
		transfer_fini(transfer);
	} else {
		result = transfer_run(thread, transfer);
		bool unfinished = is_unfinished(transfer, result);
		if (unfinished && !(reasons & WAKE_SIGNAL))
			return transfer_park(thread, transfer, result);
		result = transfer_finish(transfer, unfinished ? -ERESTARTSYS : result);
	}
	file_put(in);
	file_put(out);
	return result;
}

static long transfer_start(struct thread *thread, struct transfer *transfer)
{
	long result = transfer_run(thread, transfer);
	bool must_wait = result == -EAGAIN && transfer->buffer_bytes;
	if (!is_unfinished(transfer, result))
		return transfer_finish(transfer, result);
	if (thread_has_signal(thread) && !must_wait)
		return transfer_finish(transfer, -ERESTARTSYS);
	struct transfer *parked = THREAD_PARK_STATE(thread, struct transfer);
	*parked = *transfer;
	file_get(parked->in);
	file_get(parked->out);
	return transfer_park(thread, parked, result);
}

static int check_ends(const struct file *in, const struct file *out)
{
	if (!in || !out || in->flags & O_PATH || out->flags & O_PATH ||
	    (in->flags & O_ACCMODE) == O_WRONLY || (out->flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	if (!in->operations->read || !out->operations->write)
		return -EINVAL;
	return 0;
}

/* A position in user memory; NULL: the file's own. */
static int load_position(const struct file *file, struct user_addr from, uint64_t *offset,
                         bool *positioned)
{
	*offset = file->offset;
	*positioned = from.value != 0;
	if (!from.value)
		return 0;
	if (!file->seekable)
		return -ESPIPE;
	if (copy_from_user(offset, from, sizeof(*offset)))
		return -EFAULT;
	return (int64_t)*offset < 0 ? -EINVAL : 0;
}

long sys_sendfile(struct thread *thread, const uint64_t *argument)
{
	struct transfer transfer = {
		.out = thread_file(thread, argument[0]),
		.in = thread_file(thread, argument[1]),
		.in_position = user(argument[2]),
		.remaining = argument[3] < TRANSFER_MAX ? argument[3] : TRANSFER_MAX,
		.send_all = true,
	};
	int error = check_ends(transfer.in, transfer.out);
	if (error)
		return error;
	if ((int64_t)argument[3] < 0 || transfer.out->flags & O_APPEND)
		return -EINVAL;
	error = load_position(transfer.in, transfer.in_position, &transfer.in_offset,
	                      &transfer.in_positioned);
	if (error)
		return error;
	if (!transfer.in->seekable)
		return -EINVAL;
	transfer.out_offset = transfer.out->offset;
	transfer.nonblocking = transfer.out->flags & O_NONBLOCK;
	return transfer_start(thread, &transfer);
}

long sys_copy_file_range(struct thread *thread, const uint64_t *argument)
{
	struct transfer transfer = {
		.in = thread_file(thread, argument[0]),
		.in_position = user(argument[1]),
		.out = thread_file(thread, argument[2]),
		.out_position = user(argument[3]),
		.remaining = argument[4] < TRANSFER_MAX ? argument[4] : TRANSFER_MAX,
		.send_all = true,
	};
	int error = check_ends(transfer.in, transfer.out);
	if (error)
		return error;
	if (argument[5] || !transfer.in->node || !transfer.out->node)
		return -EINVAL;
	if (node_is_directory(transfer.in->node) || node_is_directory(transfer.out->node))
		return -EISDIR;
	if (!node_is_regular(transfer.in->node) || !node_is_regular(transfer.out->node))
		return -EINVAL;
	if (transfer.out->flags & O_APPEND)
		return -EBADF;
	error = load_position(transfer.in, transfer.in_position, &transfer.in_offset,
	                      &transfer.in_positioned);
	if (!error)
		error = load_position(transfer.out, transfer.out_position, &transfer.out_offset,
		                      &transfer.out_positioned);
	if (error)
		return error;
	uint64_t bytes = transfer.remaining;
	if (transfer.in->node == transfer.out->node &&
	    transfer.in_offset < transfer.out_offset + bytes &&
	    transfer.out_offset < transfer.in_offset + bytes)
		return -EINVAL;
	return transfer_start(thread, &transfer);
}

#define SPLICE_FLAGS    0xfu
#define SPLICE_NONBLOCK 2u

static bool is_pipe(struct file *file)
{
	struct file_status status;
	return file->operations->status && !file->operations->status(file, &status) &&
	       (status.mode & S_IFMT) == S_IFIFO;
}

long sys_splice(struct thread *thread, const uint64_t *argument)
{
	struct transfer transfer = {
		.in = thread_file(thread, argument[0]),
		.in_position = user(argument[1]),
		.out = thread_file(thread, argument[2]),
		.out_position = user(argument[3]),
		.remaining = argument[4] < TRANSFER_CHUNK ? argument[4] : TRANSFER_CHUNK,
		.nonblocking = argument[5] & SPLICE_NONBLOCK,
	};
	if (!argument[4])
		return 0;
	if (argument[5] & ~(uint64_t)SPLICE_FLAGS)
		return -EINVAL;
	int error = check_ends(transfer.in, transfer.out);
	if (error)
		return error;
	bool in_is_pipe = is_pipe(transfer.in), out_is_pipe = is_pipe(transfer.out);
	if (!in_is_pipe && !out_is_pipe)
		return -EINVAL;
	if ((in_is_pipe && transfer.in_position.value) ||
	    (out_is_pipe && transfer.out_position.value))
		return -ESPIPE;
	bool seeks = (!transfer.in_position.value || transfer.in->seekable) &&
	             (!transfer.out_position.value || transfer.out->seekable);
	if (!seeks || transfer.out->flags & O_APPEND)
		return -EINVAL;
	error = load_position(transfer.in, transfer.in_position, &transfer.in_offset,
	                      &transfer.in_positioned);
	if (!error)
		error = load_position(transfer.out, transfer.out_position, &transfer.out_offset,
		                      &transfer.out_positioned);
	if (error)
		return error;
	transfer.nonblocking = transfer.nonblocking || transfer.in->flags & O_NONBLOCK ||
	                       transfer.out->flags & O_NONBLOCK;
	return transfer_start(thread, &transfer);
}
