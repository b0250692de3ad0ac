/* Urgent data of AF_UNIX streams: reading it, and where reading of the rest stops (Linux's
 * af_unix.c; it differs from TCP's in what is left where a byte was). */
#include <errno.h>

#include "syscalls/net/socket_unix.h"

/* A mark before the urgent byte is one too many now. */
static void forget_mark_before(struct unix_socket *local, const struct unix_message *urgent)
{
	struct list_node *before = urgent->link.prev;
	if (before == &local->queue.head)
		return;
	struct unix_message *message = list_entry(before, struct unix_message, link);
	if (!unix_message_left(message))
		unix_message_remove(local, message);
}

long unix_receive_urgent(struct unix_socket *local, struct message *message)
{
	struct unix_message *urgent = local->oob;
	bool peek = message->flags & MSG_PEEK;
	if (local->socket.options->oob_inline || !urgent)
		return -EINVAL;
	if (!peek) {
		local->oob = NULL;
		forget_mark_before(local, urgent);
	}
	bool wanted = message->uio->remaining != 0;
	bool faulted = wanted && uio_copy_out(message->uio, urgent->data, 1) < 1;
	if (!peek) {
		urgent->offset = urgent->length;
		local->queue_bytes--;
	}
	message->out_flags |= MSG_OOB;
	return faulted ? -EFAULT : 1;
}

struct unix_message *unix_pass_mark(struct unix_socket *local, struct unix_message *first,
                                    uint32_t flags, bool received)
{
	bool peek = flags & MSG_PEEK;
	struct unix_message *message = first;
	if (!unix_message_left(first)) {
		if (received && (!local->oob || local->oob == first))
			return NULL;
		message = unix_message_next(local, first);
		if (!peek)
			unix_message_remove(local, first);
	}
	if (!message || message != local->oob)
		return message;
	if (received)
		return NULL;
	bool inline_ = local->socket.options->oob_inline;
	if (peek)
		return inline_ ? message : unix_message_next(local, message);
	local->oob = NULL;
	if (inline_)
		return message;
	unix_message_remove(local, message); /* read past: it is lost */
	return unix_message_first(local);
}

bool unix_at_mark(const struct unix_socket *local)
{
	const struct unix_message *first = unix_message_first(local);
	if (!first)
		return false;
	return first == local->oob ||
	       (!unix_message_left(first) &&
	        (!local->oob || unix_message_next(local, first) == local->oob));
}

bool unix_has_unread(const struct unix_socket *local)
{
	const struct unix_message *first = unix_message_first(local);
	if (first && local->socket.type == SOCK_STREAM && !unix_message_left(first))
		first = unix_message_next(local, first);
	return first;
}
