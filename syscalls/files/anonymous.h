/* Files without a name: eventfd, timerfd, signalfd, epoll. */
#pragma once

#include <errno.h>

#include "syscalls/file.h"

/* file_operations.status of all of them. */
int anonymous_status(struct file *file, struct file_status *out);
/* file_operations.seek of all of them: 0, and nothing moves. */
int64_t anonymous_seek(struct file *file, int64_t offset, int whence);
/* The lowest descriptor, or the file is put and an error returned. */
static inline long anonymous_install(struct thread *thread, struct file *file, bool close_on_exec)
{
	int descriptor = file_install(thread, file, 0, close_on_exec);
	if (descriptor < 0)
		file_put(file);
	return descriptor;
}
