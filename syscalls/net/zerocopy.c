/* MSG_ZEROCOPY (Linux's Documentation/networking/msg_zerocopy.rst): the bytes are copied all the
 * same, which the error queue tells as soon as the call is over. Sends are numbered; notes of those
 * that follow each other are one. */
#include "syscalls/net/zerocopy.h"

#include <errno.h>

#include "syscalls/net/control.h"
#include "syscalls/net/datagram.h"

enum { SO_EE_ORIGIN_ZEROCOPY = 5, SO_EE_CODE_ZEROCOPY_COPIED = 1 };

int zerocopy_begin_slowly(struct socket *socket)
{
	return socket_options_change(socket) ? 0 : -ENOBUFS;
}

void zerocopy_end_slowly(struct socket *socket, long result)
{
	struct socket_options *options = socket_options_change(socket);
	bool sent = result > 0 || (result == 0 && socket->type == SOCK_DGRAM);
	if (!options || !sent)
		return;
	options->zerocopy_next++;
	file_notify(&socket->file, POLLERR);
}

long zerocopy_receive(struct socket *socket, struct message *message)
{
	struct socket_options *options = socket_options_change(socket);
	if (!options)
		return -ENOBUFS;
	const struct queued_error note = {
		.origin = SO_EE_ORIGIN_ZEROCOPY,
		.code = SO_EE_CODE_ZEROCOPY_COPIED,
		.information = options->zerocopy_first,
		.data = options->zerocopy_next - 1,
	};
	options->zerocopy_first = options->zerocopy_next;
	if (message->control)
		datagram_put_error(message->control, &note);
	message->out_flags |= MSG_ERRQUEUE;
	return 0;
}
