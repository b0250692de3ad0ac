/* UDP ports: who may bind to what (as Linux decides it), which socket a datagram is for. */
#include "tcpip/udp_internal.h"

#include <errno.h>

static struct list *port_bucket(struct udp_stack *udp, uint16_t port)
{
	return &udp->ports[port % UDP_HASH_BUCKETS];
}

static struct list *unconnected_bucket(struct udp_stack *udp, uint16_t port)
{
	return &udp->unconnected[port % UDP_HASH_BUCKETS];
}

static uint64_t flow_hash(const struct udp_stack *udp, struct endpoint local,
                          struct endpoint remote)
{
	uint64_t h = udp->key ^ ((uint64_t)local.address.value << 32 | remote.address.value);
	h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9ull;
	h ^= (uint64_t)local.port << 16 | remote.port;
	h = (h ^ h >> 27) * 0x94d049bb133111ebull;
	return h ^ h >> 31;
}

static struct list *connected_bucket(struct udp_stack *udp, struct endpoint local,
                                     struct endpoint remote)
{
	return &udp->connected[flow_hash(udp, local, remote) % UDP_HASH_BUCKETS];
}

static bool addresses_overlap(struct ipv4_address a, struct ipv4_address b)
{
	return ipv4_is_any(a) || ipv4_is_any(b) || ipv4_equal(a, b);
}

/* May `socket` not have this port? When any port will do, ports shared through SO_REUSEPORT are not
 * taken either. */
static bool port_conflicts(struct udp_stack *udp, const struct udp_socket *socket,
                           struct ipv4_address address, uint16_t port, bool any_will_do)
{
	list_for_each(node, port_bucket(udp, port))
	{
		const struct udp_socket *other = list_entry(node, struct udp_socket, port_link);
		if (other == socket || other->local.port != port ||
		    !addresses_overlap(other->local.address, address) ||
		    !interfaces_overlap(other->bound_interface, socket->bound_interface))
			continue;
		if (other->reuse_address && socket->reuse_address)
			continue;
		if (!any_will_do && other->reuse_port && socket->reuse_port &&
		    other->owner == socket->owner)
			return false; /* as Linux: the youngest of them decides */
		return true;
	}
	return false;
}

/* RFC 6056 §3.3.1: a random place to start, then the next free one. */
static int ephemeral_port(struct udp_socket *socket, struct ipv4_address address, uint16_t *out)
{
	struct port_range range = port_range_effective(socket->port_range);
	uint32_t start, count = range.last - range.first + 1u;
	stack_random(socket->stack, &start, sizeof(start));
	for (uint32_t i = 0; i < count; i++) {
		uint16_t port = (uint16_t)(range.first + (start % count + i) % count);
		if (!port_conflicts(socket->stack->udp, socket, address, port, true)) {
			*out = port;
			return 0;
		}
	}
	return -EAGAIN;
}

int udp_table_bind(struct udp_socket *socket, struct endpoint local)
{
	struct udp_stack *udp = socket->stack->udp;
	if (!local.port) {
		int error = ephemeral_port(socket, local.address, &local.port);
		if (error)
			return error;
	} else if (port_conflicts(udp, socket, local.address, local.port, false)) {
		return -EADDRINUSE;
	}
	socket->local = local;
	list_push_front(port_bucket(udp, local.port), &socket->port_link);
	udp_table_rehash(socket);
	return 0;
}

void udp_table_unbind(struct udp_socket *socket)
{
	list_remove(&socket->port_link);
	list_remove(&socket->demux_link);
	socket->local = (struct endpoint){ 0 };
}

void udp_table_rehash(struct udp_socket *socket)
{
	struct udp_stack *udp = socket->stack->udp;
	list_remove(&socket->demux_link);
	list_push_front(socket->remote.port ? connected_bucket(udp, socket->local, socket->remote)
	                                    : unconnected_bucket(udp, socket->local.port),
	                &socket->demux_link);
}

static struct udp_socket *find_connected(const struct netif *netif, struct endpoint local,
                                         struct endpoint remote)
{
	list_for_each(node, connected_bucket(netif->stack->udp, local, remote))
	{
		struct udp_socket *socket = list_entry(node, struct udp_socket, demux_link);
		if (socket->local.port == local.port && socket->remote.port == remote.port &&
		    ipv4_equal(socket->remote.address, remote.address) &&
		    ipv4_equal(socket->local.address, local.address) &&
		    interface_suits(socket->bound_interface, netif))
			return socket;
	}
	return NULL;
}

static bool hears(const struct udp_socket *socket, const struct netif *netif, struct endpoint local,
                  struct endpoint remote)
{
	return socket->local.port == local.port &&
	       interface_suits(socket->bound_interface, netif) &&
	       (ipv4_is_any(socket->local.address) ||
	        ipv4_equal(socket->local.address, local.address)) &&
	       (!udp_is_connected(socket) || ipv4_equal(socket->remote.address, remote.address)) &&
	       (!socket->remote.port || socket->remote.port == remote.port);
}

/* How specifically a socket that hears it is bound: by address, then by interface. */
static uint32_t precision(const struct udp_socket *socket)
{
	return 2u * !ipv4_is_any(socket->local.address) + (socket->bound_interface != 0);
}

/* The youngest of the sockets bound most specifically; of a SO_REUSEPORT group the one that the
 * flow's hash picks. */
static struct udp_socket *find_unconnected(const struct netif *netif, struct endpoint local,
                                           struct endpoint remote)
{
	struct udp_stack *udp = netif->stack->udp;
	struct list *bucket = unconnected_bucket(udp, local.port);
	struct udp_socket *best = NULL;
	uint32_t group = 0;
	list_for_each(node, bucket)
	{
		struct udp_socket *socket = list_entry(node, struct udp_socket, demux_link);
		if (!hears(socket, netif, local, remote))
			continue;
		if (!best || precision(socket) > precision(best)) {
			best = socket;
			group = 1;
		} else if (precision(socket) == precision(best)) {
			group++;
		}
	}
	if (!best || !best->reuse_port || group == 1)
		return best;
	uint32_t pick = (uint32_t)((flow_hash(udp, local, remote) >> 32) * group >> 32);
	list_for_each(node, bucket)
	{
		struct udp_socket *socket = list_entry(node, struct udp_socket, demux_link);
		if (hears(socket, netif, local, remote) && precision(socket) == precision(best) &&
		    pick-- == 0)
			return socket;
	}
	return best;
}

struct udp_socket *udp_table_find(const struct netif *netif, struct endpoint local,
                                  struct endpoint remote)
{
	struct udp_socket *socket = find_connected(netif, local, remote);
	return socket ? socket : find_unconnected(netif, local, remote);
}

struct udp_socket *udp_table_next_listener(const struct netif *netif, struct udp_socket *after,
                                           struct endpoint local, struct endpoint remote)
{
	struct list *bucket = port_bucket(netif->stack->udp, local.port);
	bool multicast = ipv4_is_multicast(local.address);
	struct list_node *node = after ? after->port_link.next : bucket->head.next;
	for (; node != &bucket->head; node = node->next) {
		struct udp_socket *socket = list_entry(node, struct udp_socket, port_link);
		if (hears(socket, netif, local, remote) &&
		    (!multicast ||
		     group_set_hears(&socket->groups, netif, local.address, remote.address)))
			return socket;
	}
	return NULL;
}
