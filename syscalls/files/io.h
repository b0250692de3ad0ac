/* What the system calls of files/ share: the generic read and write of any file, user paths, the
 * continuation of io_run. */
#pragma once

#include "syscalls/file.h"
#include "syscalls/thread.h"

/* io_run for a request that already moved request->total bytes. */
long io_continue(struct thread *thread, struct io_request *request);

/* One read or write on a file whose access mode was checked. `position`: NULL for file->offset.
 * Waits as the file's flags say; consumes the uio (uio_fini). */
long file_read(struct thread *thread, struct file *file, struct uio *uio, const uint64_t *position);
long file_write(struct thread *thread, struct file *file, struct uio *uio,
                const uint64_t *position);
