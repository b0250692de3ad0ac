/* What the calls that move bytes between files inside the kernel share: sendfile(2),
 * copy_file_range(2), splice(2). */
#pragma once

#include "syscalls/file.h"

#define TRANSFER_TURN (1024 * 1024) /* bytes that one run to completion may move */

struct transfer;
/* Moves what can be moved now and counts it in transfer->done. 1: complete, as far as it ever will
 * be; -EAGAIN: it has to wait (waits_on, wait_events); -EINPROGRESS: it has had its turn; or
 * another error. */
typedef long transfer_run(struct thread *thread, struct transfer *transfer);

struct transfer {
	transfer_run *run;
	struct file *in, *out; /* references while parked */
	uint64_t remaining, done;
	uint64_t in_offset, out_offset;
	struct user_addr in_position, out_position; /* where offsets are written back, or 0 */
	bool nonblocking;                           /* fails instead of waiting for waits_on */
	bool nonblocking_pipe;
	struct file *waits_on;
	uint32_t wait_events;
	uint64_t deadline_ns; /* of this wait: SO_RCVTIMEO, SO_SNDTIMEO, or LOOP_NEVER */
	uint64_t timed_from;  /* what was done when it was set */
};

/* Of the two descriptors: -EBADF, -EINVAL. */
int transfer_check_ends(const struct file *in, const struct file *out);
/* A position in user memory; NULL: the file's own. -ESPIPE, -EFAULT, -EINVAL. */
int transfer_load_position(const struct file *file, struct user_addr from, uint64_t *offset);
/* Runs it, waiting as it has to (a copy lies in the thread's park state then). The call's result or
 * SYS_PARKED. */
long transfer_start(struct thread *thread, struct transfer *transfer);
/* Waits for these events of a file. */
long transfer_wait(struct transfer *transfer, struct file *file, uint32_t events, bool nonblocking);
/* Writes to transfer->out and counts what it took: it, or negative errno, with SIGPIPE if that is
 * due. */
long transfer_write(struct thread *thread, struct transfer *transfer, const char *bytes,
                    uint64_t length);
/* The source's bytes lie in memory, and can be written straight from there. */
bool transfer_reads_memory(const struct transfer *transfer);
/* Writes what the source has next, at most so many bytes, and not more than one read of 2^order
 * pages where they have to be copied. As transfer_write; 0: there is nothing more. */
long transfer_copy(struct thread *thread, struct transfer *transfer, uint64_t most, unsigned order);
