/* Pipes and FIFOs. */
#pragma once

#include "syscalls/file.h"

struct thread;
struct path_node;

/* One end of a FIFO, by the access mode. -ENXIO: O_WRONLY|O_NONBLOCK without a reader. */
int fifo_open(struct path_node *node, uint32_t flags, struct file **out);
/* open(2) of a pipe through /proc/PID/fd: one more end. -ENXIO: not a pipe, and nothing else that
 * can be opened so. */
int pipe_reopen(struct file *file, uint32_t flags, struct file **out);
bool pipe_is(const struct file *file);
/* Of two ends: of one pipe? */
bool pipe_is_same(struct file *one, struct file *other);
/* The first bytes, which stay until pipe_consume takes some of them: 1, 0 at the end, -EAGAIN. */
long pipe_peek(struct file *file, const char **at, uint64_t *run);
void pipe_consume(struct file *file, uint64_t bytes);
/* Bytes that one write is sure to be taken of, 0 when it is full; -EPIPE. */
long pipe_room(struct file *file);
/* open(2) of a FIFO waits for the other end: returns `descriptor` now or later; it is closed when a
 * signal ends the wait. Anything else: `descriptor`. */
long fifo_wait_open(struct thread *thread, struct file *file, int descriptor);
