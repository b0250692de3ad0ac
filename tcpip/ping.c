/* Ping sockets: echo requests and their replies for programs. */
#include "tcpip/icmp_internal.h"

#include <errno.h>

#define PING_SOCKETS_MAX 256
#define PING_QUEUE_BYTES 212992 /* true size */
#define PING_PAYLOAD_MAX (IP_PACKET_MAX - IP_HEADER_BYTES)

struct ping_socket {
	struct list_node link;
	struct stack *stack;
	udp_event *event;
	void *context;
	uint16_t identifier; /* 0: none yet */
	int error;
	struct route_cache route;
	struct ipv4_address route_destination;
	struct list queue; /* replies; cookie: packed addresses, see ping_input */
	uint32_t queue_bytes;
};

static struct ping_socket *ping_find(struct stack *stack, uint16_t identifier)
{
	list_for_each(node, &stack->icmp->ping_sockets)
	{
		struct ping_socket *socket = list_entry(node, struct ping_socket, link);
		if (identifier && socket->identifier == identifier)
			return socket;
	}
	return NULL;
}

int ping_create(struct stack *stack, struct ping_socket **out, udp_event *event, void *context)
{
	uint32_t count = 0;
	list_for_each(node, &stack->icmp->ping_sockets) count++;
	if (count >= PING_SOCKETS_MAX)
		return -ENFILE;
	struct ping_socket *socket = stack_alloc(stack, sizeof(*socket));
	if (!socket)
		return -ENOMEM;
	socket->stack = stack;
	socket->event = event;
	socket->context = context;
	list_init(&socket->queue);
	list_push_back(&stack->icmp->ping_sockets, &socket->link);
	*out = socket;
	return 0;
}

void ping_close(struct ping_socket *socket)
{
	struct list_node *node;
	while ((node = list_pop_front(&socket->queue)))
		pbuf_free(list_entry(node, struct pbuf, link));
	list_remove(&socket->link);
	stack_free(socket->stack, socket, sizeof(*socket));
}

int ping_bind(struct ping_socket *socket, uint16_t identifier)
{
	if (socket->identifier)
		return -EINVAL;
	if (identifier && ping_find(socket->stack, identifier))
		return -EADDRINUSE;
	for (int tries = 0; !identifier && tries < 2 * PING_SOCKETS_MAX; tries++) {
		stack_random(socket->stack, &identifier, sizeof(identifier));
		if (ping_find(socket->stack, identifier))
			identifier = 0;
	}
	socket->identifier = identifier;
	return identifier ? 0 : -EAGAIN;
}

uint16_t ping_identifier(const struct ping_socket *socket)
{
	return socket->identifier;
}

struct pbuf *ping_message_alloc(struct ping_socket *socket, uint32_t bytes)
{
	enum pbuf_class class_ = bytes <= 1536 ? PBUF_SMALL : PBUF_UNIT;
	struct pbuf *message = pbuf_alloc(socket->stack->config.pool, class_, PBUF_HEADROOM);
	if (message)
		message->length = message->packet_length = bytes;
	return message;
}

static int ping_check(struct ping_socket *socket, const struct pbuf *message)
{
	if (socket->error)
		return -ping_take_error(socket);
	if (message->packet_length > PING_PAYLOAD_MAX)
		return -EMSGSIZE;
	if (message->length < ICMP_HEADER_BYTES || message->data[0] != ICMP_ECHO_REQUEST ||
	    message->data[1] != 0)
		return -EINVAL;
	return socket->identifier ? 0 : ping_bind(socket, 0);
}

int ping_send(struct ping_socket *socket, struct ipv4_address destination, struct pbuf *message,
              uint8_t ttl)
{
	struct stack *stack = socket->stack;
	struct ip_output_options options = { .protocol = IP_PROTOCOL_ICMP,
		                             .ttl = ttl ? ttl : IP_DEFAULT_TTL };
	int error = ping_check(socket, message);
	if (!error && (!route_is_current(stack, &socket->route) ||
	               !ipv4_equal(socket->route_destination, destination))) {
		error = route_lookup(stack, destination, &socket->route);
		socket->route_destination = destination;
	}
	if (error) {
		pbuf_free(message);
		return error;
	}
	store_be16(message->data + 4, socket->identifier);
	checksum_store(message->data + 2, 0);
	checksum_store(message->data + 2,
	               checksum_fold(checksum_pbuf(0, message, 0, message->packet_length)));
	stack->statistics.icmp_out++;
	return ip_output(stack, &socket->route, socket->route.source, destination, message,
	                 &options);
}

void ping_input(struct stack *stack, struct pbuf *message, const struct ip_packet *ip)
{
	struct ping_socket *socket = ping_find(stack, load_be16(message->data + 4));
	uint32_t bytes = pbuf_true_size(message);
	if (!socket || socket->queue_bytes + bytes > PING_QUEUE_BYTES) {
		pbuf_free(message);
		return;
	}
	message->cookie[0] = (uint64_t)ip->source.value << 32 | ip->destination.value;
	message->cookie[1] = (uint64_t)ip->ttl << 8 | ip->tos;
	message->stamp_ns =
	        stack->config.wall_ns ? stack->config.wall_ns(stack->config.wall_context) : 0;
	list_push_back(&socket->queue, &message->link);
	socket->queue_bytes += bytes;
	socket->event(socket->context, NET_READABLE);
}

void ping_error(struct stack *stack, uint16_t identifier, int error)
{
	struct ping_socket *socket = ping_find(stack, identifier);
	if (!socket)
		return;
	socket->error = error;
	socket->event(socket->context, NET_ERROR);
}

bool ping_receive(struct ping_socket *socket, struct udp_datagram *out, bool peek)
{
	struct list_node *node = list_first(&socket->queue);
	if (!node)
		return false;
	struct pbuf *message = list_entry(node, struct pbuf, link);
	memset(out, 0, sizeof(*out));
	out->payload = message;
	out->source.address.value = (uint32_t)(message->cookie[0] >> 32);
	out->destination.address.value = (uint32_t)message->cookie[0];
	out->wall_ns = message->stamp_ns;
	out->ttl = (uint8_t)(message->cookie[1] >> 8);
	out->tos = (uint8_t)message->cookie[1];
	if (!peek) {
		list_remove(node);
		socket->queue_bytes -= pbuf_true_size(message);
	}
	return true;
}

uint32_t ping_readiness(const struct ping_socket *socket)
{
	uint32_t readiness = NET_WRITABLE;
	if (!list_is_empty(&socket->queue))
		readiness |= NET_READABLE;
	if (socket->error)
		readiness |= NET_ERROR;
	return readiness;
}

int ping_take_error(struct ping_socket *socket)
{
	int error = socket->error;
	socket->error = 0;
	return error;
}
