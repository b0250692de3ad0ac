/* Where a packet goes: own addresses, the interfaces' networks, the gateway. And how large it may
 * be (RFC 1191). */
#include "tcpip/stack_internal.h"

#include <errno.h>

#define PATH_MTU_ENTRIES 64
#define PATH_MTU_LEAST   552                      /* Linux's net.ipv4.route.min_pmtu */
#define PATH_MTU_LIFE_NS (600ull * 1000000000ull) /* RFC 1191 §6.3; Linux's mtu_expires */

/* One entry per hash value: a newcomer takes the place of another destination, which then learns
 * its path anew. */
struct path_mtu_cache {
	struct stack *stack;
	uint32_t count;
	struct loop_timer expiry;
	struct path_mtu {
		struct ipv4_address destination; /* any: free */
		uint32_t mtu;
		uint64_t expires_ns;
	} entry[PATH_MTU_ENTRIES];
};

static struct path_mtu *path_mtu_slot(struct path_mtu_cache *cache, struct ipv4_address destination)
{
	uint32_t hash = destination.value * 2654435761u;
	return &cache->entry[hash >> 26];
}

static void path_mtu_expire(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	struct path_mtu_cache *cache = container_of(watcher, struct path_mtu_cache, expiry.watcher);
	uint64_t next = LOOP_NEVER;
	(void)events;
	for (struct path_mtu *e = cache->entry; e < cache->entry + PATH_MTU_ENTRIES; e++) {
		if (ipv4_is_any(e->destination))
			continue;
		if (e->expires_ns <= loop->now_ns) {
			e->destination.value = 0;
			cache->count--;
		} else if (e->expires_ns < next) {
			next = e->expires_ns;
		}
	}
	stack_routes_changed(cache->stack);
	loop_timer_arm(loop, &cache->expiry, next);
}

int path_mtu_init(struct stack *stack)
{
	struct path_mtu_cache *cache = stack_alloc(stack, sizeof(*cache));
	if (!cache)
		return -ENOMEM;
	cache->stack = stack;
	if (loop_timer_create(stack->loop, &cache->expiry, LOOP_PRIORITY_HIGH, path_mtu_expire)) {
		stack_free(stack, cache, sizeof(*cache));
		return -ENOMEM;
	}
	stack->path_mtu = cache;
	return 0;
}

void path_mtu_fini(struct stack *stack)
{
	loop_timer_destroy(stack->loop, &stack->path_mtu->expiry);
	stack_free(stack, stack->path_mtu, sizeof(*stack->path_mtu));
}

void path_mtu_update(struct stack *stack, struct ipv4_address destination, uint32_t mtu)
{
	struct path_mtu_cache *cache = stack->path_mtu;
	struct route_cache route;
	if (mtu < PATH_MTU_LEAST)
		mtu = PATH_MTU_LEAST;
	if (route_lookup(stack, destination, &route) || mtu >= route.mtu)
		return;
	struct path_mtu *slot = path_mtu_slot(cache, destination);
	if (ipv4_is_any(slot->destination))
		cache->count++;
	slot->destination = destination;
	slot->mtu = mtu;
	slot->expires_ns = stack_now(stack) + PATH_MTU_LIFE_NS;
	if (!loop_timer_is_armed(&cache->expiry))
		loop_timer_arm(stack->loop, &cache->expiry, slot->expires_ns);
	stack_routes_changed(stack);
}

struct ipv4_address netif_broadcast(const struct netif *netif)
{
	/* RFC 3021: a /31 has no broadcast address, nor has a single host. */
	if (netif->prefix_length == 0 || netif->prefix_length > 30)
		return netif->address;
	return (struct ipv4_address){ netif->address.value |
		                      ~ipv4_prefix_mask(netif->prefix_length) };
}

bool netif_is_broadcast(const struct netif *netif, struct ipv4_address address)
{
	struct ipv4_address broadcast = netif_broadcast(netif);
	return ipv4_is_limited_broadcast(address) ||
	       (ipv4_equal(address, broadcast) && !ipv4_equal(address, netif->address));
}

static struct netif *netif_on_link(struct stack *stack, struct ipv4_address destination)
{
	struct netif *best = NULL;
	list_for_each(node, &stack->netifs)
	{
		struct netif *netif = list_entry(node, struct netif, link);
		uint32_t mask = ipv4_prefix_mask(netif->prefix_length);
		if (!netif->up || ipv4_is_any(netif->address) || netif->offloads & NETIF_LOOPBACK)
			continue;
		if (((destination.value ^ netif->address.value) & mask) == 0 &&
		    (!best || netif->prefix_length > best->prefix_length))
			best = netif;
	}
	return best;
}

/* By one interface. Dead ends have no next hop. */
static int route_select_by(struct stack *stack, struct ipv4_address destination,
                           struct route_cache *out)
{
	struct netif *netif = stack_netif_by_index(stack, out->interface);
	if (!netif)
		return -ENODEV;
	struct netif *own = stack_netif_by_address(stack, destination);
	bool to_loopback = netif->offloads & NETIF_LOOPBACK;
	out->netif = netif;
	out->next_hop = destination;
	out->source = netif->address;
	if (own == netif || (own && to_loopback)) {
		out->netif = &stack->loopback.netif;
		out->source =
		        own->address.value == destination.value ? destination : netif->address;
		return 0;
	}
	if (own || (to_loopback && !ipv4_is_multicast(destination)))
		out->next_hop = (struct ipv4_address){ 0 };
	else if (stack->gateway_netif == netif && !ipv4_is_multicast(destination) &&
	         !netif_is_broadcast(netif, destination) &&
	         netif_on_link(stack, destination) != netif)
		out->next_hop = stack->gateway;
	/* 127.0.0.1 is no source for others, unless there is no other (Linux's inet_select_addr) */
	struct netif *other = to_loopback ? stack_first_netif(stack) : NULL;
	if (other && !ipv4_is_any(other->address))
		out->source = other->address;
	return ipv4_is_any(out->source) ? -ENETUNREACH : 0;
}

/* The interface and next hop, or -ENETUNREACH. */
static int route_select(struct stack *stack, struct ipv4_address destination,
                        struct route_cache *out)
{
	out->next_hop = destination;
	if (stack_is_local_address(stack, destination)) {
		out->netif = &stack->loopback.netif;
		/* Linux's route to 127.0.0.0/8 prefers that source. */
		out->source = ipv4_is_loopback(destination) ? ipv4(127, 0, 0, 1) : destination;
		return 0;
	}
	if (ipv4_is_any(destination))
		return -ENETUNREACH;
	struct netif *netif = netif_on_link(stack, destination);
	/* As Linux, limited broadcasts need a default route. */
	if (!netif && ipv4_is_limited_broadcast(destination))
		netif = stack->gateway_netif;
	if (!netif && ipv4_is_multicast(destination))
		netif = stack->gateway_netif ? stack->gateway_netif : stack_first_netif(stack);
	if (!netif && stack->gateway_netif && stack->gateway_netif->up) {
		netif = stack->gateway_netif;
		out->next_hop = stack->gateway;
	}
	if (!netif || ipv4_is_any(netif->address))
		return -ENETUNREACH;
	out->netif = netif;
	out->source = netif->address;
	return 0;
}

struct ethernet_address group_mac(struct ipv4_address group)
{
	uint32_t v = group.value;
	return (struct ethernet_address){ { 0x01, 0x00, 0x5e, (uint8_t)(v >> 16 & 0x7f),
		                            (uint8_t)(v >> 8), (uint8_t)v } };
}

/* The destination MAC, which of a group needs no ARP. */
static bool mac_find(struct stack *stack, const struct route_cache *route,
                     struct ipv4_address destination, struct ethernet_address *out)
{
	if (netif_is_broadcast(route->netif, destination))
		memset(out->byte, 0xff, 6);
	else if (ipv4_is_multicast(destination))
		*out = group_mac(destination);
	else
		return arp_lookup(stack, route->netif, route->next_hop, out);
	return true;
}

static SLOW_PATH int route_find(struct stack *stack, struct ipv4_address destination,
                                uint8_t interface, struct route_cache *out)
{
	memset(out, 0, sizeof(*out));
	out->interface = interface;
	int error = interface ? route_select_by(stack, destination, out)
	                      : route_select(stack, destination, out);
	if (error) {
		stack->statistics.ip_no_route++;
		return error;
	}
	struct netif *netif = out->netif;
	out->mtu = netif->mtu < IP_PACKET_MAX ? netif->mtu : IP_PACKET_MAX;
	if (stack->path_mtu->count) {
		const struct path_mtu *slot = path_mtu_slot(stack->path_mtu, destination);
		if (ipv4_equal(slot->destination, destination) && slot->mtu < out->mtu)
			out->mtu = slot->mtu;
	}
	struct ethernet_address mac;
	if (route_is_dead_end(out)) {
		out->resolved = false; /* so that ip_output looks closer */
	} else if (netif->offloads & NETIF_LOOPBACK) {
		out->resolved = true;
	} else if (mac_find(stack, out, destination, &mac)) {
		memcpy(out->ethernet_header, mac.byte, 6);
		memcpy(out->ethernet_header + 6, netif->mac.byte, 6);
		store_be16(out->ethernet_header + 12, ETHERNET_IPV4);
		out->resolved = true;
	}
	out->generation = stack->generation; /* last: arp_lookup may change it */
	return 0;
}

/* What was found for a destination is good until the generation changes. A route that is not
 * resolved is looked up each time. */
int route_lookup(struct stack *stack, struct ipv4_address destination, struct route_cache *out)
{
	struct recent_route *recent =
	        &stack->recent_routes[destination.value * 2654435761u >> (32 - RECENT_ROUTES_BITS)];
	if (likely(recent->route.generation == stack->generation &&
	           ipv4_equal(recent->destination, destination) && recent->route.netif->up)) {
		*out = recent->route;
		return 0;
	}
	int error = route_find(stack, destination, 0, out);
	if (!error && out->resolved) {
		recent->destination = destination;
		recent->route = *out;
	}
	return error;
}

int route_lookup_by(struct stack *stack, struct ipv4_address destination, uint8_t interface,
                    struct route_cache *out)
{
	return interface ? route_find(stack, destination, interface, out)
	                 : route_lookup(stack, destination, out);
}

bool route_is_current(const struct stack *stack, const struct route_cache *route)
{
	return route->generation == stack->generation;
}

bool route_suits_source(const struct route_cache *route, struct ipv4_address source)
{
	return !ipv4_is_loopback(source) || route->netif->offloads & NETIF_LOOPBACK;
}
