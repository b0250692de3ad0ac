/* Errors of datagrams that were sent: what the network says of them, and the queue in which a
 * socket that asks for it (IP_RECVERR) finds them with the bytes that they are about. */
#include "tcpip/udp_internal.h"

#include <errno.h>

struct kept_error {
	struct list_node link; /* udp_socket.errors */
	struct udp_error error;
};

static struct pbuf *quoted_payload(struct stack *stack, const struct icmp_error *error)
{
	struct pbuf *payload = pbuf_alloc(stack->config.pool, PBUF_SMALL, 0);
	if (!payload)
		return NULL;
	payload->length = pbuf_copy_out(error->packet, error->payload_offset, payload->data,
	                                pbuf_tailroom(payload));
	payload->packet_length = payload->length;
	return payload;
}

/* Takes the payload. What has no room is lost, as a datagram would be. */
static void keep(struct udp_socket *socket, const struct udp_error *error)
{
	struct kept_error *kept = NULL;
	if (socket->error_count < UDP_ERRORS_MAX)
		kept = stack_alloc(socket->stack, sizeof(*kept));
	if (!kept) {
		socket->stack->statistics.udp_buffer_dropped++;
		if (error->payload)
			pbuf_free(error->payload);
		return;
	}
	kept->error = *error;
	socket->error_count++;
	list_push_back(&socket->errors, &kept->link);
}

bool udp_take_kept_error(struct udp_socket *socket, struct udp_error *out)
{
	struct list_node *node = list_pop_front(&socket->errors);
	if (!node)
		return false;
	struct kept_error *kept = list_entry(node, struct kept_error, link);
	*out = kept->error;
	socket->error_count--;
	stack_free(socket->stack, kept, sizeof(*kept));
	/* As Linux: the pending error is that of the next one. */
	struct list_node *next = list_first(&socket->errors);
	const struct udp_error *following =
	        next ? &list_entry(next, struct kept_error, link)->error : NULL;
	if (following && following->origin == UDP_ERROR_ICMP)
		socket->error = following->error;
	else if (out->origin == UDP_ERROR_ICMP)
		socket->error = 0;
	return true;
}

void udp_keep_errors(struct udp_socket *socket, bool on)
{
	struct udp_error error;
	int pending = socket->error;
	socket->keep_errors = on;
	while (!on && udp_take_kept_error(socket, &error)) {
		if (error.payload)
			pbuf_free(error.payload);
	}
	socket->error = pending;
}

void udp_note_too_long(struct udp_socket *socket, struct endpoint remote, uint32_t mtu)
{
	if (!socket->keep_errors)
		return;
	const struct udp_error error = {
		.error = EMSGSIZE,
		.origin = UDP_ERROR_LOCAL,
		.information = mtu,
		.remote = remote,
	};
	keep(socket, &error);
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
		const struct udp_error kept = {
			.error = error->error,
			.origin = UDP_ERROR_ICMP,
			.type = error->type,
			.code = error->code,
			.information = error->mtu,
			.offender = error->offender,
			.remote = error->remote,
			.payload = quoted_payload(stack, error),
		};
		keep(socket, &kept);
	} else if (!udp_is_connected(socket) || (!error->fatal && !error->mtu)) {
		/* Linux: only a connected socket learns of it, and only of what is final. */
		return;
	}
	socket->error = error->error;
	socket->event(socket->context, NET_ERROR);
}
