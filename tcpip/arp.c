/*
 * ARP (RFC 826): one table per stack. States and times follow Linux's neighbour table: three
 * requests a second apart, confirmed for a while, then stale; a stale entry stays usable while it
 * is asked to confirm, by unicast.
 *
 * Cached routes carry resolved MACs, so an entry that turns stale invalidates them
 * (stack_routes_changed): the next packet comes by here and starts the confirmation.
 */
#include "tcpip/stack_internal.h"

#include <errno.h>

#define ARP_HASH_BUCKETS 64
#define ARP_PACKET_BYTES 28
#define ARP_REQUESTS     3
#define ARP_RETRY_NS     1000000000ull
#define ARP_CONFIRMED_NS (30ull * 1000000000ull)
#define ARP_QUEUE_BYTES                                                                            \
	(208u                                                                                      \
	 << 10) /* true size of the packets waiting for one address: Linux's unres_qlen_bytes */
#define ARP_QUEUE_TOTAL_BYTES (1u << 20)

enum arp_operation { ARP_REQUEST = 1, ARP_REPLY = 2 };

enum arp_state {
	ARP_FREE,
	ARP_INCOMPLETE, /* asked by broadcast; packets wait */
	ARP_CONFIRMED,
	ARP_STALE, /* usable; its next use starts a probe */
	ARP_PROBE, /* usable; asked by unicast */
};

struct arp_entry {
	struct list_node hash_link; /* a bucket */
	struct list_node
	        use_link; /* arp_table.used, least recently changed first; or arp_table.unused */
	struct ipv4_address address;
	struct netif *netif;
	struct ethernet_address mac;
	uint8_t state;
	uint8_t requests;     /* sent in this state */
	uint64_t deadline_ns; /* end of the state's patience; LOOP_NEVER when stale */
	struct list queue;    /* packets, IP header first */
	uint32_t queue_bytes;
};

struct arp_table {
	struct stack *stack;
	struct list bucket[ARP_HASH_BUCKETS];
	struct list used, unused;
	uint32_t queue_bytes;
	struct loop_timer timer;
	uint32_t capacity;
	struct arp_entry entry[];
};

static struct list *arp_bucket(struct arp_table *table, struct ipv4_address address)
{
	return &table->bucket[address.value * 2654435761u >> 26];
}

static struct arp_entry *arp_find(struct arp_table *table, const struct netif *netif,
                                  struct ipv4_address address)
{
	list_for_each(node, arp_bucket(table, address))
	{
		struct arp_entry *entry = list_entry(node, struct arp_entry, hash_link);
		if (ipv4_equal(entry->address, address) && entry->netif == netif)
			return entry;
	}
	return NULL;
}

static void arp_set_state(struct arp_table *table, struct arp_entry *entry, enum arp_state state,
                          uint64_t deadline_ns)
{
	entry->state = (uint8_t)state;
	entry->deadline_ns = deadline_ns;
	list_remove(&entry->use_link);
	list_push_back(&table->used, &entry->use_link);
	if (deadline_ns < table->timer.deadline_ns || !loop_timer_is_armed(&table->timer))
		loop_timer_arm(table->stack->loop, &table->timer, deadline_ns);
}

static struct pbuf *arp_dequeue(struct arp_table *table, struct arp_entry *entry)
{
	struct list_node *node = list_pop_front(&entry->queue);
	if (!node)
		return NULL;
	struct pbuf *packet = list_entry(node, struct pbuf, link);
	uint32_t bytes = pbuf_true_size(packet);
	entry->queue_bytes -= bytes;
	table->queue_bytes -= bytes;
	return packet;
}

static void arp_release(struct arp_table *table, struct arp_entry *entry)
{
	struct pbuf *packet;
	while ((packet = arp_dequeue(table, entry))) {
		table->stack->statistics.arp_queue_dropped++;
		pbuf_free(packet);
	}
	entry->state = ARP_FREE;
	list_remove(&entry->hash_link);
	list_remove(&entry->use_link);
	list_push_back(&table->unused, &entry->use_link);
}

static struct arp_entry *arp_create(struct arp_table *table, struct netif *netif,
                                    struct ipv4_address address)
{
	struct list_node *node = list_first(&table->unused);
	if (!node) {
		arp_release(table,
		            list_entry(list_first(&table->used), struct arp_entry, use_link));
		stack_routes_changed(table->stack);
		node = list_first(&table->unused);
	}
	struct arp_entry *entry = list_entry(node, struct arp_entry, use_link);
	entry->address = address;
	entry->netif = netif;
	entry->requests = 0;
	list_push_back(arp_bucket(table, address), &entry->hash_link);
	return entry;
}

/* ---- the wire ---- */

static void arp_transmit(struct netif *netif, enum arp_operation operation,
                         struct ipv4_address sender, const struct ethernet_address *target_mac,
                         struct ipv4_address target, const struct ethernet_address *to)
{
	struct stack *stack = netif->stack;
	struct pbuf *packet = pbuf_alloc(stack->config.pool, PBUF_SMALL, PBUF_HEADROOM);
	if (!packet)
		return; /* asked again in a second */
	uint8_t *p = packet->data;
	packet->length = packet->packet_length = ARP_PACKET_BYTES;
	store_be16(p, 1); /* Ethernet */
	store_be16(p + 2, ETHERNET_IPV4);
	p[4] = 6;
	p[5] = 4;
	store_be16(p + 6, (uint16_t)operation);
	memcpy(p + 8, netif->mac.byte, 6);
	store_be32(p + 14, sender.value);
	memcpy(p + 18, target_mac->byte, 6);
	store_be32(p + 24, target.value);
	stack->statistics.arp_out++;
	ethernet_send(netif, packet, to, ETHERNET_ARP);
}

static const struct ethernet_address nobody = { { 0 } };
static const struct ethernet_address everybody = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };

static void arp_request(struct arp_entry *entry)
{
	bool unicast = entry->state == ARP_PROBE;
	entry->requests++;
	arp_transmit(entry->netif, ARP_REQUEST, entry->netif->address, &nobody, entry->address,
	             unicast ? &entry->mac : &everybody);
}

void arp_announce(struct netif *netif)
{
	arp_transmit(netif, ARP_REQUEST, netif->address, &nobody, netif->address, &everybody);
}

/* The address answered (or spoke): everything that waited for it goes out. */
static void arp_confirm(struct arp_table *table, struct arp_entry *entry,
                        const struct ethernet_address *mac)
{
	bool known = entry->state != ARP_INCOMPLETE && !memcmp(entry->mac.byte, mac->byte, 6);
	uint64_t now = stack_now(table->stack);
	entry->mac = *mac;
	arp_set_state(table, entry, ARP_CONFIRMED, now + ARP_CONFIRMED_NS);
	if (!known)
		stack_routes_changed(table->stack);
	struct pbuf *packet;
	while ((packet = arp_dequeue(table, entry)))
		ethernet_send(entry->netif, packet, &entry->mac, ETHERNET_IPV4);
}

struct arp_packet {
	enum arp_operation operation;
	struct ethernet_address sender_mac;
	struct ipv4_address sender, target;
};

static bool arp_parse(const uint8_t *p, struct arp_packet *out)
{
	uint16_t operation = load_be16(p + 6);
	if (load_be16(p) != 1 || load_be16(p + 2) != ETHERNET_IPV4 || p[4] != 6 || p[5] != 4 ||
	    (operation != ARP_REQUEST && operation != ARP_REPLY))
		return false;
	out->operation = operation;
	memcpy(out->sender_mac.byte, p + 8, 6);
	out->sender.value = load_be32(p + 14);
	out->target.value = load_be32(p + 24);
	return !(out->sender_mac.byte[0] & 1) && memcmp(out->sender_mac.byte, nobody.byte, 6);
}

static bool is_on_link(const struct netif *netif, struct ipv4_address address)
{
	uint32_t mask = ipv4_prefix_mask(netif->prefix_length);
	return ((address.value ^ netif->address.value) & mask) == 0;
}

static void arp_process(struct netif *netif, const struct arp_packet *packet)
{
	struct arp_table *table = netif->stack->arp;
	if (ipv4_is_any(netif->address) || ipv4_equal(packet->sender, netif->address))
		return; /* not configured; or a claim on our address, which is not believed */
	bool sender_is_host = !ipv4_is_any(packet->sender) && !ipv4_is_multicast(packet->sender) &&
	                      !ipv4_is_loopback(packet->sender) &&
	                      !netif_is_broadcast(netif, packet->sender);
	bool for_us = ipv4_equal(packet->target, netif->address);
	if (sender_is_host) {
		/* RFC 826: update what is known; learn from who asks for us, for we are about to
		 * answer. */
		struct arp_entry *entry = arp_find(table, netif, packet->sender);
		if (!entry && for_us && packet->operation == ARP_REQUEST &&
		    is_on_link(netif, packet->sender)) {
			entry = arp_create(table, netif, packet->sender);
			entry->state = ARP_INCOMPLETE;
		}
		if (entry)
			arp_confirm(table, entry, &packet->sender_mac);
	}
	if (for_us && packet->operation == ARP_REQUEST)
		arp_transmit(netif, ARP_REPLY, netif->address, &packet->sender_mac, packet->sender,
		             &packet->sender_mac);
}

void arp_input(struct netif *netif, struct pbuf *frame)
{
	uint8_t bytes[ARP_PACKET_BYTES];
	struct arp_packet packet;
	netif->stack->statistics.arp_in++;
	if (pbuf_copy_out(frame, ETHERNET_HEADER_BYTES, bytes, sizeof(bytes)) == sizeof(bytes) &&
	    arp_parse(bytes, &packet))
		arp_process(netif, &packet);
	else
		netif->statistics.rx_errors++;
	pbuf_free(frame);
}

/* ---- resolution ---- */

bool arp_lookup(struct stack *stack, struct netif *netif, struct ipv4_address address,
                struct ethernet_address *out)
{
	struct arp_entry *entry = arp_find(stack->arp, netif, address);
	if (!entry || entry->state == ARP_INCOMPLETE)
		return false;
	if (entry->state == ARP_STALE) {
		entry->requests = 0;
		arp_set_state(stack->arp, entry, ARP_PROBE, stack_now(stack) + ARP_RETRY_NS);
		arp_request(entry);
	}
	*out = entry->mac;
	return true;
}

static struct arp_entry *arp_resolve(struct stack *stack, struct netif *netif,
                                     struct ipv4_address address)
{
	struct arp_entry *entry = arp_find(stack->arp, netif, address);
	if (!entry) {
		entry = arp_create(stack->arp, netif, address);
		arp_set_state(stack->arp, entry, ARP_INCOMPLETE, stack_now(stack) + ARP_RETRY_NS);
		arp_request(entry);
	}
	return entry;
}

void arp_probe(struct stack *stack, struct netif *netif, struct ipv4_address address)
{
	arp_resolve(stack, netif, address);
}

int arp_send_resolved(struct stack *stack, struct netif *netif, struct ipv4_address address,
                      struct pbuf *packet)
{
	struct arp_table *table = stack->arp;
	struct arp_entry *entry = arp_resolve(stack, netif, address);
	if (entry->state != ARP_INCOMPLETE)
		return ethernet_send(netif, packet, &entry->mac, ETHERNET_IPV4);
	uint32_t bytes = pbuf_true_size(packet);
	if (table->queue_bytes + bytes > ARP_QUEUE_TOTAL_BYTES) {
		stack->statistics.arp_queue_dropped++;
		pbuf_free(packet);
		return -ENOBUFS;
	}
	struct pbuf *old;
	while (entry->queue_bytes + bytes > ARP_QUEUE_BYTES && (old = arp_dequeue(table, entry))) {
		stack->statistics.arp_queue_dropped++;
		pbuf_free(old);
	}
	list_push_back(&entry->queue, &packet->link);
	entry->queue_bytes += bytes;
	table->queue_bytes += bytes;
	return 0;
}

/* The packet's destination cannot be reached: its transport learns it as from a router's ICMP host
 * unreachable. */
static void packet_unreachable(const struct netif *netif, struct pbuf *packet)
{
	struct stack *stack = netif->stack;
	uint8_t h[IP_HEADER_BYTES + 8];
	if (pbuf_copy_out(packet, 0, h, sizeof(h)) != sizeof(h))
		return;
	struct icmp_error error = { .type = 3, .code = 1, .error = EHOSTUNREACH, .packet = packet };
	error.netif = netif;
	error.quoted_offset = IP_HEADER_BYTES;
	error.local.address.value = load_be32(h + 12);
	error.offender = error.local.address;
	error.remote.address.value = load_be32(h + 16);
	error.local.port = load_be16(h + IP_HEADER_BYTES);
	error.remote.port = load_be16(h + IP_HEADER_BYTES + 2);
	error.sequence = seq(load_be32(h + IP_HEADER_BYTES + 4));
	if (h[9] == IP_PROTOCOL_TCP)
		tcp_icmp_error(stack, &error);
	else if (h[9] == IP_PROTOCOL_UDP && !(load_be16(h + 6) & IP_FRAGMENT_OFFSET))
		udp_icmp_error(stack, &error);
}

static void arp_fail(struct arp_table *table, struct arp_entry *entry)
{
	struct stack *stack = table->stack;
	const struct netif *netif = entry->netif;
	struct list packets;
	struct pbuf *packet;
	stack->statistics.arp_failed++;
	list_init(&packets);
	while ((packet = arp_dequeue(table, entry)))
		list_push_back(&packets, &packet->link);
	arp_release(table, entry);
	stack_routes_changed(stack);
	/* Now the table is sound again, whatever the transports do with the news. */
	struct list_node *node;
	while ((node = list_pop_front(&packets))) {
		packet = list_entry(node, struct pbuf, link);
		packet_unreachable(netif, packet);
		pbuf_free(packet);
	}
}

static void arp_entry_due(struct arp_table *table, struct arp_entry *entry, uint64_t now)
{
	switch ((enum arp_state)entry->state) {
	case ARP_CONFIRMED:
		entry->state = ARP_STALE;
		entry->deadline_ns = LOOP_NEVER;
		stack_routes_changed(table->stack);
		break;
	case ARP_INCOMPLETE:
	case ARP_PROBE:
		if (entry->requests >= ARP_REQUESTS) {
			arp_fail(table, entry);
			break;
		}
		entry->deadline_ns = now + ARP_RETRY_NS;
		arp_request(entry);
		break;
	case ARP_STALE:
	case ARP_FREE:
		break;
	}
}

static void arp_timer(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	struct arp_table *table = container_of(watcher, struct arp_table, timer.watcher);
	uint64_t next = LOOP_NEVER;
	(void)events;
	for (uint32_t i = 0; i < table->capacity; i++) {
		struct arp_entry *entry = &table->entry[i];
		if (entry->state != ARP_FREE && entry->deadline_ns <= loop->now_ns)
			arp_entry_due(table, entry, loop->now_ns);
	}
	for (uint32_t i = 0; i < table->capacity; i++) {
		const struct arp_entry *entry = &table->entry[i];
		if (entry->state != ARP_FREE && entry->deadline_ns < next)
			next = entry->deadline_ns;
	}
	loop_timer_arm(loop, &table->timer, next);
}

/* ---- life ---- */

static size_t arp_table_bytes(uint32_t entries)
{
	return sizeof(struct arp_table) + entries * sizeof(struct arp_entry);
}

int arp_init(struct stack *stack)
{
	uint32_t capacity = stack->config.arp_entries;
	struct arp_table *table = stack_alloc(stack, arp_table_bytes(capacity));
	if (!table)
		return -ENOMEM;
	table->stack = stack;
	table->capacity = capacity;
	list_init(&table->used);
	list_init(&table->unused);
	for (int i = 0; i < ARP_HASH_BUCKETS; i++)
		list_init(&table->bucket[i]);
	for (uint32_t i = 0; i < capacity; i++) {
		list_init(&table->entry[i].queue);
		list_node_init(&table->entry[i].hash_link);
		list_push_back(&table->unused, &table->entry[i].use_link);
	}
	if (loop_timer_create(stack->loop, &table->timer, LOOP_PRIORITY_HIGH, arp_timer)) {
		stack_free(stack, table, arp_table_bytes(capacity));
		return -ENOMEM;
	}
	stack->arp = table;
	return 0;
}

void arp_forget_netif(struct stack *stack, struct netif *netif)
{
	struct arp_table *table = stack->arp;
	for (uint32_t i = 0; i < table->capacity; i++) {
		if (table->entry[i].state != ARP_FREE && table->entry[i].netif == netif)
			arp_release(table, &table->entry[i]);
	}
}

void arp_fini(struct stack *stack)
{
	struct arp_table *table = stack->arp;
	for (uint32_t i = 0; i < table->capacity; i++) {
		if (table->entry[i].state != ARP_FREE)
			arp_release(table, &table->entry[i]);
	}
	loop_timer_destroy(stack->loop, &table->timer);
	stack_free(stack, table, arp_table_bytes(table->capacity));
}

void arp_walk(const struct stack *stack, void (*visit)(void *context, const struct arp_row *row),
              void *context)
{
	list_for_each(node, &stack->arp->used)
	{
		const struct arp_entry *entry = list_entry(node, struct arp_entry, use_link);
		struct arp_row row = { .address = entry->address, .netif = entry->netif };
		row.complete = entry->state != ARP_INCOMPLETE;
		if (row.complete)
			row.mac = entry->mac;
		visit(context, &row);
	}
}

const char *arp_verify(struct stack *stack)
{
	struct arp_table *table = stack->arp;
	uint32_t queue_bytes = 0, live = 0, used = 0;
	for (uint32_t i = 0; i < table->capacity; i++) {
		const struct arp_entry *entry = &table->entry[i];
		uint32_t bytes = 0;
		list_for_each(node, &entry->queue) bytes +=
		        pbuf_true_size(list_entry(node, struct pbuf, link));
		if (bytes != entry->queue_bytes)
			return "arp: an entry's queue is miscounted";
		if (bytes && entry->state != ARP_INCOMPLETE)
			return "arp: packets wait for a known address";
		queue_bytes += bytes;
		live += entry->state != ARP_FREE;
		if (entry->state != ARP_FREE && entry->deadline_ns < table->timer.deadline_ns &&
		    !loop_watcher_is_pending(&table->timer.watcher))
			return "arp: the timer is armed too late";
	}
	list_for_each(node, &table->used) used++;
	if (queue_bytes != table->queue_bytes || used != live)
		return "arp: the table's counts are wrong";
	return NULL;
}
