/* Errors of datagrams that were sent: what the network says of them, and the queue in which a
 * socket that asks for it (IP_RECVERR) finds them with the bytes that they are about. */
#include "tcpip/udp_internal.h"

#include <errno.h>

bool udp_take_kept_error(struct udp_socket *socket, struct queued_error *out)
{
	if (!error_queue_take(socket->stack, &socket->errors, out))
		return false;
	socket->error = error_queue_pending(&socket->errors, out, socket->error);
	return true;
}

void udp_keep_errors(struct udp_socket *socket, bool on)
{
	socket->keep_errors = on;
	if (!on)
		error_queue_clear(socket->stack, &socket->errors);
}

/* What has no room is lost, as a datagram would be. */
static void count_lost(struct udp_socket *socket, bool kept)
{
	socket->stack->statistics.udp_buffer_dropped += !kept;
}

void udp_note_too_long(struct udp_socket *socket, struct endpoint remote, uint32_t mtu)
{
	if (!socket->keep_errors)
		return;
	const struct queued_error error = {
		.error = EMSGSIZE,
		.origin = ERROR_ORIGIN_LOCAL,
		.information = mtu,
		.remote = remote,
	};
	count_lost(socket, error_queue_add(socket->stack, &socket->errors, &error));
	socket->event(socket->context, NET_ERROR);
}

void udp_icmp_error(struct stack *stack, const struct icmp_error *error)
{
	struct udp_socket *socket = udp_table_find(error->netif, error->local, error->remote);
	if (!socket)
		return;
	if (error->mtu)
		path_mtu_update(stack, error->remote.address, error->mtu);
	if (socket->keep_errors) {
		uint32_t behind_header = error->quoted_offset + UDP_HEADER_BYTES;
		count_lost(socket,
		           error_queue_add_icmp(stack, &socket->errors, error, behind_header));
	} else if (!udp_is_connected(socket) || (!error->fatal && !error->mtu)) {
		/* Linux: only a connected socket learns of it, and only of what is final. */
		return;
	}
	socket->error = error->error;
	socket->event(socket->context, NET_ERROR);
}
