/* What the sending and the receiving calls share. */
#pragma once

#include "syscalls/net/socket.h"

/* Reads a struct msghdr and its iovec; name_length is clamped. -EFAULT, -EINVAL, -EMSGSIZE,
 * -ENOMEM. On success uio_fini later. */
int message_header_read(struct user_addr at, struct user_message_header *header, struct uio *uio);
