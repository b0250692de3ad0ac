/* Ping sockets: echo requests and their replies for programs. Raw ICMP sockets: every message. */
#include "tcpip/icmp_internal.h"

#include <errno.h>

#define PING_SOCKETS_MAX 256
#define PING_QUEUE_BYTES 212992 /* true size */
#define PING_PAYLOAD_MAX (IP_PACKET_MAX - IP_HEADER_BYTES)
#define IP_LENGTH_AT     2
#define IP_FRAGMENT_AT   6
#define IP_CHECKSUM_AT   10

struct ping_socket {
	struct list_node link;
	struct stack *stack;
	udp_event *event;
	void *context;
	uint16_t identifier; /* 0: none yet */
	int error;
	struct route_cache route;
	struct ipv4_address route_destination;
	struct ipv4_address local, remote; /* raw: see ping_select */
	uint32_t filtered;
	struct group_set groups;
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

static int create(struct stack *stack, struct list *all, struct ping_socket **out, udp_event *event,
                  void *context)
{
	uint32_t count = 0;
	list_for_each(node, all) count++;
	if (count >= PING_SOCKETS_MAX)
		return -ENFILE;
	struct ping_socket *socket = stack_alloc(stack, sizeof(*socket));
	if (!socket)
		return -ENOMEM;
	socket->stack = stack;
	socket->event = event;
	socket->context = context;
	list_init(&socket->queue);
	group_set_init(&socket->groups);
	list_push_back(all, &socket->link);
	*out = socket;
	return 0;
}

int ping_create(struct stack *stack, struct ping_socket **out, udp_event *event, void *context)
{
	return create(stack, &stack->icmp->ping_sockets, out, event, context);
}

int ping_create_raw(struct stack *stack, struct ping_socket **out, udp_event *event, void *context)
{
	return create(stack, &stack->icmp->raw_sockets, out, event, context);
}

void ping_select(struct ping_socket *socket, struct ipv4_address local, struct ipv4_address remote,
                 uint32_t filtered)
{
	socket->local = local;
	socket->remote = remote;
	socket->filtered = filtered;
}

struct group_set *ping_groups(struct ping_socket *socket)
{
	return &socket->groups;
}

void ping_close(struct ping_socket *socket)
{
	struct list_node *node;
	group_set_clear(socket->stack, &socket->groups);
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

uint32_t ping_queue_bytes(const struct ping_socket *socket)
{
	return socket->queue_bytes;
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

/* Takes the message, also on error. */
static int output(struct ping_socket *socket, struct ipv4_address destination, struct pbuf *message,
                  uint8_t ttl)
{
	struct stack *stack = socket->stack;
	struct ip_output_options options = { .protocol = IP_PROTOCOL_ICMP,
		                             .ttl = ttl ? ttl : IP_DEFAULT_TTL };
	int error = 0;
	if (!route_is_current(stack, &socket->route) ||
	    !ipv4_equal(socket->route_destination, destination)) {
		error = route_lookup(stack, destination, &socket->route);
		socket->route_destination = destination;
	}
	if (!error && !route_suits_source(&socket->route, socket->local))
		error = -EINVAL;
	if (error) {
		pbuf_free(message);
		return error;
	}
	icmp_count_out(stack, message->length ? message->data[0] : ICMP_TYPES_COUNTED);
	struct ipv4_address source =
	        ipv4_is_any(socket->local) ? socket->route.source : socket->local;
	return ip_output(stack, &socket->route, source, destination, message, &options);
}

int ping_send(struct ping_socket *socket, struct ipv4_address destination, struct pbuf *message,
              uint8_t ttl)
{
	int error = ping_check(socket, message);
	if (error) {
		pbuf_free(message);
		return error;
	}
	store_be16(message->data + 4, socket->identifier);
	checksum_store(message->data + 2, 0);
	checksum_store(message->data + 2,
	               checksum_fold(checksum_pbuf(0, message, 0, message->packet_length)));
	return output(socket, destination, message, ttl);
}

int ping_send_raw(struct ping_socket *socket, struct ipv4_address destination, struct pbuf *message,
                  uint8_t ttl)
{
	if (message->packet_length > PING_PAYLOAD_MAX) {
		pbuf_free(message);
		return -EMSGSIZE;
	}
	return output(socket, destination, message, ttl);
}

/* Takes the message. */
static void enqueue(struct ping_socket *socket, struct pbuf *message, const struct ip_packet *ip)
{
	struct stack *stack = socket->stack;
	uint32_t bytes = pbuf_true_size(message);
	if (socket->queue_bytes + bytes > PING_QUEUE_BYTES) {
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

void ping_input(struct stack *stack, struct pbuf *message, const struct ip_packet *ip)
{
	struct ping_socket *socket = ping_find(stack, load_be16(message->data + 4));
	if (socket)
		enqueue(socket, message, ip);
	else
		pbuf_free(message);
}

/* The message with its IP header in front, which tells the length of the whole datagram even if it
 * came in fragments. NULL: no memory. */
static struct pbuf *copy_with_header(struct ping_socket *socket, const struct pbuf *message,
                                     const struct ip_packet *ip)
{
	uint32_t bytes = ip->header_bytes + message->packet_length;
	struct pbuf *copy = ping_message_alloc(socket, bytes);
	if (!copy)
		return NULL;
	memcpy(copy->data, message->data - ip->header_bytes, ip->header_bytes);
	pbuf_copy_out(message, 0, copy->data + ip->header_bytes, message->packet_length);
	if (load_be16(copy->data + IP_LENGTH_AT) != bytes) {
		store_be16(copy->data + IP_LENGTH_AT, (uint16_t)bytes);
		store_be16(copy->data + IP_FRAGMENT_AT, 0);
		checksum_store(copy->data + IP_CHECKSUM_AT, 0);
		checksum_store(copy->data + IP_CHECKSUM_AT,
		               checksum_fold(checksum_add(0, copy->data, ip->header_bytes)));
	}
	return copy;
}

static bool wants(const struct ping_socket *socket, uint8_t type, const struct ip_packet *ip)
{
	if (type < 32 && socket->filtered >> type & 1)
		return false;
	if (ipv4_is_multicast(ip->destination) &&
	    !group_set_hears(&socket->groups, ip->netif, ip->destination, ip->source))
		return false;
	return (ipv4_is_any(socket->local) || ipv4_equal(socket->local, ip->destination)) &&
	       (ipv4_is_any(socket->remote) || ipv4_equal(socket->remote, ip->source));
}

void ping_input_raw(struct stack *stack, const struct pbuf *message, const struct ip_packet *ip)
{
	list_for_each(node, &stack->icmp->raw_sockets)
	{
		struct ping_socket *socket = list_entry(node, struct ping_socket, link);
		struct pbuf *copy = wants(socket, message->data[0], ip)
		                            ? copy_with_header(socket, message, ip)
		                            : NULL;
		if (copy)
			enqueue(socket, copy, ip);
	}
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
