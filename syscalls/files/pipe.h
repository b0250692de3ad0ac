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
/* open(2) of a FIFO waits for the other end: returns `descriptor` now or later; it is closed when a
 * signal ends the wait. Anything else: `descriptor`. */
long fifo_wait_open(struct thread *thread, struct file *file, int descriptor);
