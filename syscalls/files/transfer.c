/* Moving bytes between files inside the kernel: how such a call waits and goes on, sendfile(2) and
 * copy_file_range(2). */
#include "syscalls/files/transfer.h"

#include <errno.h>

#include "core/user.h"
#include "syscalls/files/io.h"
#include "syscalls/files/node.h"
#include "syscalls/files/pipe.h"
#include "syscalls/files/splice.h"
#include "syscalls/process.h"
#include "syscalls/signal.h"
#include "syscalls/syscall.h"
#include "syscalls/timespec.h"

#define COPY_ORDER   2
#define TRANSFER_MAX 0x7ffff000ull
#define LEND_MOST    (256 * 1024) /* bytes lent at once: what is sent beyond the send buffer */

/* ---- the call: waiting, going on, the end ---- */

static long transfer_resume(struct thread *thread, uint32_t reasons);

/* Devices have no position. */
static bool keeps_position(const struct file *file)
{
	return !file->seekable || (file->node && (file->node->mode & S_IFMT) == S_IFCHR);
}

static void store_position(struct file *file, struct user_addr to, uint64_t offset)
{
	if (keeps_position(file))
		return;
	if (to.value)
		(void)!user_store_u64(to, offset);
	else
		file->offset = offset;
}

static long transfer_finish(struct transfer *transfer, long result)
{
	if (!transfer->done && result <= 0)
		return result;
	store_position(transfer->in, transfer->in_position, transfer->in_offset);
	store_position(transfer->out, transfer->out_position, transfer->out_offset);
	return (long)transfer->done;
}

/* How long a socket may wait, from the last byte on that moved. */
static void start_timing(struct transfer *transfer)
{
	struct file *file = transfer->waits_on;
	uint64_t timeout_ns = LOOP_NEVER;
	if (transfer->deadline_ns && transfer->done == transfer->timed_from)
		return;
	if (file->operations->timeout_ns)
		timeout_ns = file->operations->timeout_ns(file, file == transfer->out);
	transfer->deadline_ns = deadline_after(timeout_ns);
	transfer->timed_from = transfer->done;
}

static long transfer_park(struct thread *thread, struct transfer *transfer, long result)
{
	if (result == -EAGAIN) {
		start_timing(transfer);
		thread_wait_on(thread, &transfer->waits_on->waiters, transfer->wait_events, true);
		if (transfer->deadline_ns != LOOP_NEVER)
			thread_wait_until(thread, transfer->deadline_ns);
	}
	thread_park(thread, transfer_resume);
	if (result == -EINPROGRESS) /* on with it after the others */
		thread_wake(thread, WAKE_EVENT);
	return SYS_PARKED;
}

static bool is_unfinished(const struct transfer *transfer, long result)
{
	return result == -EINPROGRESS || (result == -EAGAIN && !transfer->nonblocking);
}

static long interrupted(const struct transfer *transfer)
{
	bool timed = transfer->deadline_ns && transfer->deadline_ns != LOOP_NEVER;
	return timed ? -EINTR : -ERESTARTSYS;
}

static long transfer_resume(struct thread *thread, uint32_t reasons)
{
	struct transfer *transfer = THREAD_PARK_STATE(thread, struct transfer);
	struct file *in = transfer->in, *out = transfer->out;
	long result = -EINTR;
	if (!(reasons & WAKE_KILL)) { /* its memory must not be touched any more */
		result = transfer->run(thread, transfer);
		bool unfinished = is_unfinished(transfer, result);
		if (unfinished && reasons & WAKE_SIGNAL)
			result = interrupted(transfer);
		else if (unfinished && !(result == -EAGAIN && reasons & WAKE_TIMEOUT))
			return transfer_park(thread, transfer, result);
		result = transfer_finish(transfer, result);
	}
	file_put(in);
	file_put(out);
	return result;
}

long transfer_start(struct thread *thread, struct transfer *transfer)
{
	long result = transfer->run(thread, transfer);
	if (!is_unfinished(transfer, result))
		return transfer_finish(transfer, result);
	if (thread_has_signal(thread))
		return transfer_finish(transfer, interrupted(transfer));
	struct transfer *parked = THREAD_PARK_STATE(thread, struct transfer);
	*parked = *transfer;
	file_get(parked->in);
	file_get(parked->out);
	return transfer_park(thread, parked, result);
}

/* ---- what the calls' own parts use ---- */

long transfer_wait(struct transfer *transfer, struct file *file, uint32_t events, bool nonblocking)
{
	transfer->waits_on = file;
	transfer->wait_events = events;
	transfer->nonblocking = nonblocking;
	return -EAGAIN;
}

static void count_moved(struct transfer *transfer, uint64_t bytes)
{
	transfer->in_offset += bytes;
	transfer->out_offset += bytes;
	transfer->remaining -= bytes;
	transfer->done += bytes;
}

static void tell_broken_pipe(struct thread *thread, const struct transfer *transfer)
{
	if (!transfer->out->pipe_is_quiet)
		signal_send_pipe(thread);
}

long transfer_write(struct thread *thread, struct transfer *transfer, const char *bytes,
                    uint64_t length)
{
	struct uio uio;
	uio_init_kernel(&uio, (char *)(uintptr_t)bytes, length);
	long wrote = transfer->out->operations->write(transfer->out, &uio, transfer->out_offset);
	if (wrote == -EPIPE)
		tell_broken_pipe(thread, transfer);
	if (wrote > 0)
		count_moved(transfer, (uint64_t)wrote);
	return wrote;
}

bool transfer_reads_memory(const struct transfer *transfer)
{
	return transfer->in->node && node_is_regular(transfer->in->node);
}

/* What was read and cannot be written is read again later; from a source that gives its bytes but
 * once nobody copies more than there is room for. */
long transfer_copy(struct thread *thread, struct transfer *transfer, uint64_t most, unsigned order)
{
	if (transfer_reads_memory(transfer)) {
		uint64_t run;
		const char *at =
		        file_data_peek(&transfer->in->node->data, transfer->in_offset, &run);
		return at ? transfer_write(thread, transfer, at, run < most ? run : most) : 0;
	}
	char *buffer = page_alloc(order);
	if (!buffer)
		return -ENOMEM;
	struct uio uio;
	uio_init_kernel(&uio, buffer, most < PAGE_SIZE << order ? most : PAGE_SIZE << order);
	long result = transfer->in->operations->read(transfer->in, &uio, transfer->in_offset);
	if (result > 0)
		result = transfer_write(thread, transfer, buffer, (uint64_t)result);
	page_free(buffer, order);
	return result;
}

int transfer_check_ends(const struct file *in, const struct file *out)
{
	if (!in || !out || in->flags & O_PATH || out->flags & O_PATH ||
	    (in->flags & O_ACCMODE) == O_WRONLY || (out->flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	return 0;
}

int transfer_load_position(const struct file *file, struct user_addr from, uint64_t *offset)
{
	*offset = file->offset;
	if (!from.value)
		return 0;
	if (!file->seekable)
		return -ESPIPE;
	if (copy_from_user(offset, from, sizeof(*offset)))
		return -EFAULT;
	return (int64_t)*offset < 0 ? -EINVAL : 0;
}

/* ---- from a file with a position to any: sendfile, copy_file_range ---- */

/* Bytes of a file that fill a page and more are not copied if the destination can do without.
 * 0: not in this way. */
static long lend_run(struct thread *thread, struct transfer *transfer)
{
	const struct file_operations *operations = transfer->out->operations;
	if (!operations->lend || transfer->remaining < PAGE_SIZE ||
	    !transfer_reads_memory(transfer))
		return 0;
	uint64_t most = transfer->remaining < LEND_MOST ? transfer->remaining : LEND_MOST, run;
	const void *at = file_data_hold(&transfer->in->node->data, transfer->in_offset, most, &run);
	if (!at)
		return 0;
	int error = run < PAGE_SIZE ? -ENOBUFS
	                            : operations->lend(transfer->out, at, run, file_data_release);
	if (!error) {
		count_moved(transfer, run);
		return (long)run;
	}
	file_data_release(at, run);
	if (error == -EPIPE)
		tell_broken_pipe(thread, transfer);
	return error == -ENOBUFS ? 0 : error;
}

static long send_run(struct thread *thread, struct transfer *transfer)
{
	uint64_t turn_ends = transfer->done + TRANSFER_TURN;
	while (transfer->remaining) {
		if (transfer->done >= turn_ends)
			return -EINPROGRESS;
		long moved = lend_run(thread, transfer);
		if (!moved)
			moved = transfer_copy(thread, transfer, transfer->remaining, COPY_ORDER);
		if (moved == -EAGAIN)
			return transfer_wait(transfer, transfer->out, POLLOUT,
			                     transfer->out->flags & O_NONBLOCK);
		if (moved <= 0)
			return moved ? moved : 1;
	}
	return 1;
}

long sys_sendfile(struct thread *thread, const uint64_t *argument)
{
	struct transfer transfer = {
		.run = send_run,
		.out = thread_file(thread, argument[0]),
		.in = thread_file(thread, argument[1]),
		.in_position = user(argument[2]),
		.remaining = argument[3] < TRANSFER_MAX ? argument[3] : TRANSFER_MAX,
	};
	int error = transfer_check_ends(transfer.in, transfer.out);
	if (!error)
		error = transfer_load_position(transfer.in, transfer.in_position,
		                               &transfer.in_offset);
	if (error)
		return error;
	if ((int64_t)argument[3] < 0 || transfer.out->flags & O_APPEND || !transfer.in->seekable ||
	    !splice_reads(transfer.in) || !splice_writes(transfer.out))
		return -EINVAL;
	transfer.out_offset = transfer.out->offset;
	if (pipe_is(transfer.out)) /* as much as it has room for */
		transfer.run = splice_to_pipe;
	return transfer_start(thread, &transfer);
}

static int load_range(const struct file *file, struct user_addr from, uint64_t bytes,
                      uint64_t *offset)
{
	int error = transfer_load_position(file, from, offset);
	return error == -EINVAL && *offset + bytes < *offset ? -EOVERFLOW : error;
}

long sys_copy_file_range(struct thread *thread, const uint64_t *argument)
{
	struct transfer transfer = {
		.run = send_run,
		.in = thread_file(thread, argument[0]),
		.in_position = user(argument[1]),
		.out = thread_file(thread, argument[2]),
		.out_position = user(argument[3]),
		.remaining = argument[4] < TRANSFER_MAX ? argument[4] : TRANSFER_MAX,
	};
	int error = transfer_check_ends(transfer.in, transfer.out);
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
	error = load_range(transfer.in, transfer.in_position, transfer.remaining,
	                   &transfer.in_offset);
	if (!error)
		error = load_range(transfer.out, transfer.out_position, transfer.remaining,
		                   &transfer.out_offset);
	if (error)
		return error;
	uint64_t bytes = transfer.remaining;
	if (transfer.in->node == transfer.out->node &&
	    transfer.in_offset < transfer.out_offset + bytes &&
	    transfer.out_offset < transfer.in_offset + bytes)
		return -EINVAL;
	return transfer_start(thread, &transfer);
}
