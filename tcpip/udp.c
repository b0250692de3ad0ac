/* UDP sockets (RFC 768): their life, names and readiness. Datagrams: udp_data.c. */
#include "tcpip/udp_internal.h"

#include <errno.h>

int udp_init(struct stack *stack)
{
	struct udp_stack *udp = stack_alloc(stack, sizeof(*udp));
	if (!udp)
		return -ENOMEM;
	for (int i = 0; i < UDP_HASH_BUCKETS; i++) {
		list_init(&udp->ports[i]);
		list_init(&udp->unconnected[i]);
		list_init(&udp->connected[i]);
	}
	list_init(&udp->blocked);
	stack_random(stack, &udp->key, sizeof(udp->key));
	stack->udp = udp;
	return 0;
}

void udp_fini(struct stack *stack)
{
	stack_free(stack, stack->udp, sizeof(*stack->udp));
}

int udp_create(struct stack *stack, struct udp_socket **out, udp_event *event, void *context)
{
	if (stack->udp->sockets >= stack->config.max_udp_sockets)
		return -ENFILE;
	struct udp_socket *socket = stack_alloc(stack, sizeof(*socket));
	if (!socket)
		return -ENOMEM;
	socket->stack = stack;
	socket->event = event;
	socket->context = context;
	list_node_init(&socket->port_link);
	list_node_init(&socket->demux_link);
	list_node_init(&socket->blocked_link);
	list_init(&socket->queue);
	error_queue_init(&socket->errors);
	group_set_init(&socket->groups);
	socket->group_sending = (struct udp_group_sending){ .ttl = 1, .loops = true };
	udp_set_receive_buffer(socket, UDP_DEFAULT_RECEIVE_BUFFER);
	stack->udp->sockets++;
	*out = socket;
	return 0;
}

void udp_close(struct udp_socket *socket)
{
	struct list_node *node;
	while ((node = list_pop_front(&socket->queue)))
		pbuf_free(list_entry(node, struct pbuf, link));
	udp_keep_errors(socket, false);
	group_set_clear(socket->stack, &socket->groups);
	udp_table_unbind(socket);
	list_remove(&socket->blocked_link);
	socket->stack->udp->sockets--;
	stack_free(socket->stack, socket, sizeof(*socket));
}

void udp_set_owner(struct udp_socket *socket, uint32_t owner)
{
	socket->owner = owner;
}

static bool is_group(struct stack *stack, struct ipv4_address address)
{
	if (ipv4_is_multicast(address))
		return true;
	list_for_each(node, &stack->netifs)
	{
		if (netif_is_broadcast(list_entry(node, struct netif, link), address))
			return true;
	}
	return false;
}

int udp_bind(struct udp_socket *socket, struct endpoint local, bool reuse_address, bool reuse_port)
{
	if (socket->local.port)
		return -EINVAL;
	bool group = is_group(socket->stack, local.address);
	if (!socket->foreign && !group && !ipv4_is_any(local.address) &&
	    !stack_is_local_address(socket->stack, local.address))
		return -EADDRNOTAVAIL;
	socket->bound_to_group = group;
	socket->reuse_address = reuse_address;
	socket->reuse_port = reuse_port;
	if (!local.port && socket->bind_no_port) {
		socket->bound_address = socket->local.address = local.address;
		return 0;
	}
	int error = udp_table_bind(socket, local);
	if (error)
		return error == -EAGAIN ? -EADDRINUSE : error;
	socket->bound_address = local.address;
	socket->bound_explicitly = local.port != 0;
	return 0;
}

void udp_set_reuse(struct udp_socket *socket, bool reuse_address, bool reuse_port)
{
	socket->reuse_address = reuse_address;
	socket->reuse_port = reuse_port;
}

void udp_drop_esp(struct udp_socket *socket, bool drop)
{
	socket->drops_esp = drop;
}

void udp_set_binding(struct udp_socket *socket, enum udp_foreign_address foreign, bool without_port)
{
	socket->foreign = (uint8_t)foreign;
	socket->bind_no_port = without_port;
}

void udp_set_interfaces(struct udp_socket *socket, uint8_t bound, uint8_t unicast)
{
	socket->bound_interface = bound;
	socket->unicast_interface = bound ? bound : unicast;
	socket->group_interface = bound ? bound : socket->group_sending.interface;
}

void udp_set_port_range(struct udp_socket *socket, uint16_t first, uint16_t last)
{
	socket->port_range = (struct port_range){ first, last };
}

void udp_set_on_link_only(struct udp_socket *socket, bool on)
{
	socket->on_link_only = on;
}

void udp_set_group_sending(struct udp_socket *socket, const struct udp_group_sending *sending)
{
	socket->group_sending = *sending;
	socket->group_interface =
	        socket->bound_interface ? socket->bound_interface : sending->interface;
}

struct group_set *udp_groups(struct udp_socket *socket)
{
	return &socket->groups;
}

int udp_connect(struct udp_socket *socket, struct endpoint remote, bool broadcast_allowed)
{
	const struct udp_send_options options = { .broadcast_allowed = broadcast_allowed };
	struct ipv4_address source;
	if (ipv4_is_any(remote.address)) /* as Linux: this host */
		remote.address = ipv4(127, 0, 0, 1);
	int error = 0;
	if (!socket->local.port)
		error = udp_table_bind(socket, (struct endpoint){ socket->bound_address, 0 });
	if (!error)
		error = udp_route(socket, remote.address, &options, &source);
	if (error)
		return error;
	if (ipv4_is_any(socket->local.address))
		socket->local.address = source;
	socket->remote = remote;
	udp_table_rehash(socket);
	return 0;
}

int udp_disconnect(struct udp_socket *socket)
{
	socket->remote = (struct endpoint){ 0 };
	if (!socket->local.port)
		return 0;
	if (socket->bound_explicitly)
		udp_table_rehash(socket);
	else
		udp_table_unbind(socket);
	socket->local.address = socket->bound_address; /* which stays without a port, too */
	return 0;
}

struct endpoint udp_local(const struct udp_socket *socket)
{
	return socket->local;
}

struct endpoint udp_remote(const struct udp_socket *socket)
{
	return socket->remote;
}

uint32_t udp_readiness(const struct udp_socket *socket)
{
	uint32_t readiness = 0;
	if (!list_is_empty(&socket->queue))
		readiness |= NET_READABLE;
	if (!list_node_is_linked(&socket->blocked_link))
		readiness |= NET_WRITABLE;
	if (socket->error || socket->errors.count)
		readiness |= NET_ERROR;
	return readiness;
}

int udp_take_error(struct udp_socket *socket)
{
	int error = socket->error;
	socket->error = 0;
	return error;
}

void udp_set_error(struct udp_socket *socket, int error)
{
	socket->error = error;
	socket->event(socket->context, NET_ERROR);
}

/* Our receive buffers are twice as large as Linux's: the same number must hold as many datagrams.
 */
void udp_set_receive_buffer(struct udp_socket *socket, uint32_t bytes)
{
	socket->receive_limit = bytes > UINT32_MAX / 2 ? UINT32_MAX : 2 * bytes;
}

void udp_transmit_ready(struct stack *stack)
{
	struct list ready;
	struct list_node *node;
	list_init(&ready);
	list_splice_back(&ready, &stack->udp->blocked);
	while ((node = list_pop_front(&ready))) {
		struct udp_socket *socket = list_entry(node, struct udp_socket, blocked_link);
		socket->event(socket->context, NET_WRITABLE);
	}
}

const char *udp_verify(struct stack *stack)
{
	const struct udp_stack *udp = stack->udp;
	uint32_t bound = 0, reachable = 0;
	for (int i = 0; i < UDP_HASH_BUCKETS; i++) {
		list_for_each(node, &udp->ports[i])
		{
			const struct udp_socket *socket =
			        list_entry(node, struct udp_socket, port_link);
			uint32_t bytes = 0;
			list_for_each(queued, &socket->queue) bytes +=
			        pbuf_true_size(list_entry(queued, struct pbuf, link));
			if (bytes != socket->queue_bytes)
				return "udp: a receive queue is miscounted";
			if (!socket->local.port || !list_node_is_linked(&socket->demux_link))
				return "udp: a bound socket cannot be found";
			bound++;
		}
		list_for_each(node, &udp->unconnected[i])
		{
			reachable++;
			if (list_entry(node, struct udp_socket, demux_link)->remote.port)
				return "udp: a connected socket among the unconnected";
		}
		list_for_each(node, &udp->connected[i]) reachable++;
	}
	if (bound != reachable || bound > udp->sockets)
		return "udp: the tables disagree";
	return NULL;
}
