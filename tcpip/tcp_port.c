/* Local ports: who uses which, what may share one (bind(2) and SO_REUSEADDR as Linux has them), and
 * which an outgoing connection gets (RFC 6056 §3.3.4, double-hash). */
#include "tcpip/tcp_internal.h"

static uint32_t port_hash(const struct tcp_stack *tcp, uint16_t number)
{
	return (uint32_t)(((number ^ tcp->hash_key[0]) * 0x9e3779b97f4a7c15ull) >> 32);
}

static struct tcp_port *chain_find(struct tcp_hash_node *node, uint16_t number)
{
	for (; node; node = node->next) {
		struct tcp_port *port = container_of(node, struct tcp_port, node);
		if (port->number == number)
			return port;
	}
	return NULL;
}

struct tcp_port *tcp_port_find(struct tcp_stack *tcp, uint16_t number)
{
	const struct tcp_table *table = &tcp->ports;
	uint32_t hash = port_hash(tcp, number);
	struct tcp_port *port = chain_find(table->buckets[hash & table->mask], number);
	if (!port && table->old_buckets)
		port = chain_find(table->old_buckets[hash & table->old_mask], number);
	return port;
}

struct tcp_port *tcp_port_get(struct tcp_stack *tcp, uint16_t number)
{
	struct tcp_port *port = tcp_port_find(tcp, number);
	if (!port) {
		port = tcp_alloc(tcp, sizeof(*port));
		if (!port)
			return NULL;
		port->number = number;
		port->node.hash = port_hash(tcp, number);
		list_init(&port->bound);
		list_init(&port->listeners);
		tcp_table_insert(tcp, &tcp->ports, &port->node);
	}
	port->users++;
	return port;
}

void tcp_port_put(struct tcp_stack *tcp, struct tcp_port *port)
{
	if (--port->users)
		return;
	tcp_table_remove(&tcp->ports, &port->node);
	tcp_free(tcp, port, sizeof(*port));
}

void tcp_port_add_child(struct tcp_port *port, bool reuse_address, bool reuse_port)
{
	port->children++;
	port->reuse_address_children += reuse_address;
	port->reuse_port_children += reuse_port;
}

void tcp_port_remove_child(struct tcp_port *port, bool reuse_address, bool reuse_port)
{
	port->children--;
	port->reuse_address_children -= reuse_address;
	port->reuse_port_children -= reuse_port;
}

static bool addresses_overlap(struct ipv4_address a, struct ipv4_address b)
{
	return ipv4_is_any(a) || ipv4_is_any(b) || ipv4_equal(a, b);
}

/* What nobody holds (yet, or any more) is root's, as on Linux. */
static uint32_t owner_of(const struct tcp_connection *c)
{
	const struct stack_config *config = stack_get_config(c->tcp->stack);
	return config->tcp_owner && c->event ? config->tcp_owner(c->event_context) : 0;
}

bool tcp_port_is_shared(const struct tcp_connection *a, const struct tcp_connection *b)
{
	return a->reuse_port && b->reuse_port && owner_of(a) == owner_of(b);
}

static bool owner_conflicts(const struct list *owners, const struct tcp_connection *c,
                            struct ipv4_address address, bool listening)
{
	list_for_each(node, owners)
	{
		const struct tcp_connection *other =
		        list_entry(node, struct tcp_connection, bind_link);
		if (other == c || !addresses_overlap(other->flow.local_address, address) ||
		    !interfaces_overlap(other->bound_interface, c->bound_interface))
			continue;
		if (tcp_port_is_shared(other, c))
			continue;
		if (other->reuse_address && c->reuse_address && !listening &&
		    other->flow.state != TCP_LISTEN)
			continue;
		return true;
	}
	return false;
}

/* The port's children keep it from nobody who shares it with all of them. */
static bool children_conflict(const struct tcp_port *port, const struct tcp_connection *c)
{
	if (!port->children || (c->reuse_address && port->children == port->reuse_address_children))
		return false;
	bool shared = port->children == port->time_waits || port->owner == owner_of(c);
	return !(shared && c->reuse_port && port->children == port->reuse_port_children);
}

static bool port_conflicts(const struct tcp_port *port, const struct tcp_connection *c,
                           struct ipv4_address address)
{
	return owner_conflicts(&port->bound, c, address, false) ||
	       owner_conflicts(&port->listeners, c, address, false) || children_conflict(port, c);
}

static void port_bind(struct tcp_connection *c, struct tcp_port *port, struct ipv4_address address)
{
	c->port = port;
	c->port_bound = true;
	if (c->reuse_port)
		port->owner = owner_of(c);
	c->flow.local_address = address;
	c->flow.local_port = port->number;
	list_push_back(&port->bound, &c->bind_link);
}

/* An ephemeral port for bind or listen: one that nobody uses. */
static int bind_any(struct tcp_connection *c, struct ipv4_address address)
{
	struct tcp_stack *tcp = c->tcp;
	struct port_range range = port_range_effective(c->port_range);
	uint32_t count = range.last - range.first + 1u, offset;
	stack_random(tcp->stack, &offset, sizeof(offset));
	for (uint32_t i = 0; i < count; i++) {
		uint16_t number = (uint16_t)(range.first + (offset + i) % count);
		if (tcp_port_find(tcp, number))
			continue;
		struct tcp_port *port = tcp_port_get(tcp, number);
		if (!port)
			return -ENOMEM;
		port_bind(c, port, address);
		return 0;
	}
	return -EADDRINUSE;
}

int tcp_port_bind_any(struct tcp_connection *c)
{
	return bind_any(c, c->flow.local_address);
}

int tcp_bind(struct tcp_connection *c, struct endpoint local, bool reuse_address, bool reuse_port)
{
	if (c->flow.state != TCP_CLOSED || c->port || c->ever_connected)
		return -EINVAL;
	if (!ipv4_is_any(local.address) && !ipv4_is_multicast(local.address) &&
	    !ipv4_is_limited_broadcast(local.address) && !c->free_bind &&
	    !stack_is_local_address(c->tcp->stack, local.address))
		return -EADDRNOTAVAIL;
	c->reuse_address = reuse_address;
	c->reuse_port = reuse_port;
	c->address_kept = !ipv4_is_any(local.address);
	c->port_kept = local.port != 0;
	if (!local.port && c->bind_no_port) {
		c->flow.local_address = local.address;
		return 0;
	}
	if (!local.port)
		return bind_any(c, local.address);
	struct tcp_port *port = tcp_port_find(c->tcp, local.port);
	if (port && port_conflicts(port, c, local.address))
		return -EADDRINUSE;
	port = tcp_port_get(c->tcp, local.port);
	if (!port)
		return -ENOMEM;
	port_bind(c, port, local.address);
	return 0;
}

void tcp_set_reuse(struct tcp_connection *c, bool reuse_address, bool reuse_port)
{
	bool counted = c->port && !c->port_bound;
	if (counted)
		tcp_port_remove_child(c->port, c->reuse_address, c->reuse_port);
	c->reuse_address = reuse_address;
	c->reuse_port = reuse_port;
	if (counted)
		tcp_port_add_child(c->port, reuse_address, reuse_port);
}

/* How well a listener suits a SYN; 0: not at all. */
static int listener_score(const struct tcp_connection *c, const struct ip_packet *ip)
{
	if (!interface_suits(c->bound_interface, ip->netif))
		return 0;
	int bound = c->bound_interface != 0;
	return ipv4_equal(c->flow.local_address, ip->destination) ? 3 + bound
	       : ipv4_is_any(c->flow.local_address)               ? 1 + bound
	                                                          : 0;
}

/* The best listener: bound to this very address rather than to any, then to this very interface;
 * among equals (SO_REUSEPORT) the hash of the flow chooses. */
struct tcp_connection *tcp_listener_find(struct tcp_stack *tcp, const struct ip_packet *ip,
                                         uint16_t number, uint32_t hash)
{
	const struct tcp_port *port = tcp_port_find(tcp, number);
	if (!port)
		return NULL;
	struct tcp_connection *best = NULL;
	int best_score = 0;
	uint32_t equals = 0;
	list_for_each(node, &port->listeners)
	{
		struct tcp_connection *c = list_entry(node, struct tcp_connection, bind_link);
		int score = listener_score(c, ip);
		if (score == 0 || score < best_score)
			continue;
		equals = score > best_score ? 1 : equals + 1;
		/* Reservoir choice by a hash of the flow: each equal keeps its share. */
		if (equals == 1 ||
		    (uint32_t)((uint64_t)(hash * equals * 2654435761u) * equals >> 32) == 0)
			best = c;
		best_score = score;
	}
	return best;
}

/* May the connection use this 4-tuple? A TIME_WAIT on it gives way when timestamps protect the
 * successor. */
static bool tuple_is_free(struct tcp_connection *c, uint16_t number, struct endpoint remote)
{
	struct tcp_flow *flow =
	        tcp_flow_find(c->tcp, c->flow.local_address, number, remote.address, remote.port);
	if (!flow)
		return true;
	if (flow->kind != TCP_FLOW_TIME_WAIT)
		return false;
	struct tcp_time_wait *tw = container_of(flow, struct tcp_time_wait, flow);
	if (!tcp_time_wait_reusable(c->tcp, tw))
		return false;
	c->iss = seq_add(tw->snd_nxt, 65535 + 2);
	tcp_time_wait_free(c->tcp, tw);
	return true;
}

static bool port_is_free_for(struct tcp_connection *c, uint16_t number, struct endpoint remote)
{
	const struct tcp_port *port = tcp_port_find(c->tcp, number);
	if (!port)
		return true;
	/* Ports that somebody bound by name are theirs. */
	if (!list_is_empty(&port->bound) || !list_is_empty(&port->listeners))
		return false;
	return tuple_is_free(c, number, remote);
}

/* From a secret place that depends on the peer, go on where the last search ended. */
static int choose_ephemeral(struct tcp_connection *c, struct endpoint remote)
{
	struct tcp_stack *tcp = c->tcp;
	struct port_range range = port_range_effective(c->port_range);
	uint32_t count = range.last - range.first + 1u;
	uint64_t addresses = (uint64_t)c->flow.local_address.value << 32 | remote.address.value;
	uint32_t offset = (uint32_t)(tcp_keyed_hash(tcp, addresses, remote.port) % count) +
	                  tcp->port_perturbation % count;
	for (uint32_t step = 0; step < count; step++) {
		uint16_t number = (uint16_t)(range.first + (offset + step) % count);
		if (!port_is_free_for(c, number, remote))
			continue;
		uint8_t random;
		stack_random(tcp->stack, &random, 1);
		tcp->port_perturbation += step + 1 + (random & 7);
		return number;
	}
	return -EADDRNOTAVAIL;
}

int tcp_port_choose(struct tcp_connection *c, struct endpoint remote)
{
	if (c->port)
		return tuple_is_free(c, c->flow.local_port, remote) ? 0 : -EADDRNOTAVAIL;
	int number = choose_ephemeral(c, remote);
	if (number < 0)
		return number;
	c->port = tcp_port_get(c->tcp, (uint16_t)number);
	if (!c->port)
		return -ENOMEM;
	c->flow.local_port = (uint16_t)number;
	tcp_port_add_child(c->port, c->reuse_address, c->reuse_port);
	return 0;
}
