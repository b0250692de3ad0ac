/* Between fcntl.c and locks.c. */
#pragma once

#include "core/address.h"
#include "syscalls/file.h"

enum fcntl_lock_action { FCNTL_LOCK_QUERY, FCNTL_LOCK_TRY, FCNTL_LOCK_WAIT };

long fcntl_lock(struct thread *thread, struct file *file, enum fcntl_lock_action action,
                bool open_file, struct user_addr argument);
/* F_SETPIPE_SZ, F_GETPIPE_SZ: -EBADF when it is no pipe. */
long pipe_set_capacity(struct file *file, uint64_t bytes);
long pipe_get_capacity(struct file *file);
