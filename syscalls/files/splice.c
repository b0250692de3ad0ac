/* splice(2): between a pipe and another file, or a pipe. Nothing is taken from the source before
 * the destination has room for it. */
#include "syscalls/files/splice.h"

#include <errno.h>

#include "core/memory.h"
#include "syscalls/files/node.h"
#include "syscalls/files/pipe.h"
#include "syscalls/process.h"
#include "syscalls/signal.h"
#include "syscalls/syscall.h"

#define SPLICE_FLAGS    0xfu
#define SPLICE_NONBLOCK 2u
#define COPY_ORDER      4 /* as much as a pipe holds unless F_SETPIPE_SZ made it larger */

bool splice_reads(const struct file *file)
{
	return file->operations->read && !file->operations->no_splice_read;
}

bool splice_writes(const struct file *file)
{
	return file->operations->write && !file->operations->no_splice_write;
}

static bool source_is_nonblocking(const struct transfer *transfer)
{
	struct file *in = transfer->in;
	const struct file_operations *operations = in->operations;
	return in->flags & O_NONBLOCK ||
	       (transfer->nonblocking_pipe && operations->heeds_splice_flag &&
	        operations->heeds_splice_flag(in));
}

long splice_to_pipe(struct thread *thread, struct transfer *transfer)
{
	while (transfer->remaining) {
		long room = pipe_room(transfer->out);
		if (room == -EPIPE)
			signal_send_pipe(thread);
		if (room < 0)
			return room;
		if (!room && transfer->done)
			return 1;
		if (!room)
			return transfer_wait(transfer, transfer->out, POLLOUT,
			                     transfer->nonblocking_pipe ||
			                             transfer->out->flags & O_NONBLOCK);
		if (transfer->remaining < (uint64_t)room)
			room = (long)transfer->remaining;
		long moved = transfer_copy(thread, transfer, (uint64_t)room, COPY_ORDER);
		if (moved == -EAGAIN)
			return transfer_wait(transfer, transfer->in, POLLIN,
			                     source_is_nonblocking(transfer));
		if (moved <= 0)
			return moved ? moved : 1;
		if (!transfer_reads_memory(transfer))
			return 1; /* what one read gave */
	}
	return 1;
}

static long splice_from_pipe(struct thread *thread, struct transfer *transfer)
{
	struct file *in = transfer->in, *out = transfer->out;
	bool both = pipe_is(out);
	uint64_t turn_ends = transfer->done + TRANSFER_TURN;
	while (transfer->remaining) {
		if (transfer->done >= turn_ends)
			return -EINPROGRESS;
		const char *at;
		uint64_t run;
		long found = pipe_peek(in, &at, &run);
		if (found == 0 || (found == -EAGAIN && transfer->done))
			return 1;
		if (found == -EAGAIN)
			return transfer_wait(transfer, in, POLLIN,
			                     transfer->nonblocking_pipe ||
			                             (in->flags | (both ? out->flags : 0)) &
			                                     O_NONBLOCK);
		if (transfer->remaining < run)
			run = transfer->remaining;
		long moved = transfer_write(thread, transfer, at, run);
		if (moved == -EAGAIN && both && transfer->done)
			return 1;
		if (moved == -EAGAIN)
			return transfer_wait(transfer, out, POLLOUT,
			                     out->flags & O_NONBLOCK ||
			                             (both && (transfer->nonblocking_pipe ||
			                                       in->flags & O_NONBLOCK)));
		if (moved <= 0)
			return moved ? moved : 1;
		pipe_consume(in, (uint64_t)moved);
	}
	return 1;
}

static int check_pipes(const struct transfer *transfer)
{
	bool in_is_pipe = pipe_is(transfer->in), out_is_pipe = pipe_is(transfer->out);
	if (!in_is_pipe && !out_is_pipe)
		return -EINVAL;
	if ((in_is_pipe && transfer->in_position.value) ||
	    (out_is_pipe && transfer->out_position.value))
		return -ESPIPE;
	bool seeks = (!transfer->in_position.value || transfer->in->seekable) &&
	             (!transfer->out_position.value || transfer->out->seekable);
	if (!seeks || transfer->out->flags & O_APPEND ||
	    (in_is_pipe && out_is_pipe && pipe_is_same(transfer->in, transfer->out)))
		return -EINVAL;
	if (!splice_reads(transfer->in) || !splice_writes(transfer->out))
		return -EINVAL;
	return 0;
}

long sys_splice(struct thread *thread, const uint64_t *argument)
{
	struct transfer transfer = {
		.in = thread_file(thread, argument[0]),
		.in_position = user(argument[1]),
		.out = thread_file(thread, argument[2]),
		.out_position = user(argument[3]),
		.remaining = argument[4],
		.nonblocking_pipe = argument[5] & SPLICE_NONBLOCK,
	};
	if (!argument[4])
		return 0;
	if (argument[5] & ~(uint64_t)SPLICE_FLAGS)
		return -EINVAL;
	int error = transfer_check_ends(transfer.in, transfer.out);
	if (!error)
		error = check_pipes(&transfer);
	if (!error)
		error = transfer_load_position(transfer.in, transfer.in_position,
		                               &transfer.in_offset);
	if (!error)
		error = transfer_load_position(transfer.out, transfer.out_position,
		                               &transfer.out_offset);
	if (error)
		return error;
	transfer.run = pipe_is(transfer.in) ? splice_from_pipe : splice_to_pipe;
	return transfer_start(thread, &transfer);
}
