/* MSG_ZEROCOPY: see zerocopy.c. */
#pragma once

#include "syscalls/net/socket.h"

int zerocopy_begin_slowly(struct socket *socket);
void zerocopy_end_slowly(struct socket *socket, long result);

static inline bool zerocopy_counts(const struct socket *socket, uint32_t flags)
{
	return __builtin_expect(flags & MSG_ZEROCOPY, 0) && socket->options->zerocopy;
}
/* Around a send of one message. -ENOBUFS: no memory to note it. */
static inline int zerocopy_begin(struct socket *socket, uint32_t flags)
{
	return zerocopy_counts(socket, flags) ? zerocopy_begin_slowly(socket) : 0;
}
static inline void zerocopy_end(struct socket *socket, uint32_t flags, long result)
{
	if (zerocopy_counts(socket, flags))
		zerocopy_end_slowly(socket, result);
}
/* There are sends that the error queue has not told of yet. */
static inline bool zerocopy_pending(const struct socket *socket)
{
	return socket->options->zerocopy_first != socket->options->zerocopy_next;
}
/* MSG_ERRQUEUE while there are: the note. */
long zerocopy_receive(struct socket *socket, struct message *message);
