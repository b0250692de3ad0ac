/* Signals of files, between owner.c, fcntl.c and the sockets' ioctl. */
#pragma once

#include "core/address.h"
#include "syscalls/file.h"

/* O_ASYNC goes on or off, through this descriptor: file->flags and the signals. -ENOMEM. */
int file_set_async(struct file *file, int descriptor, bool on);
/* F_SETOWN: a process, minus a process group, or 0. -ESRCH, -EINVAL, -ENOMEM. */
int file_set_owner(struct file *file, int32_t who);
/* F_GETOWN: 0 also when the owner is gone. */
int32_t file_get_owner(const struct file *file);
/* F_SETOWN_EX, F_GETOWN_EX: struct f_owner_ex in user memory. */
long file_set_owner_extended(struct file *file, struct user_addr from);
long file_get_owner_extended(const struct file *file, struct user_addr to);
/* F_SETSIG: -EINVAL, -ENOMEM. F_GETSIG. */
int file_set_signal(struct file *file, uint64_t number);
int file_get_signal(const struct file *file);
