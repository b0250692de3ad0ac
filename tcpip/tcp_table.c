/* The hash table of flows and ports, and the keyed hashes. */
#include "tcpip/tcp_internal.h"

#define TABLE_MOVES_PER_INSERT 4

bool tcp_table_init(struct tcp_stack *tcp, struct tcp_table *table, uint32_t buckets)
{
	memset(table, 0, sizeof(*table));
	table->buckets = tcp_alloc(tcp, buckets * sizeof(*table->buckets));
	table->mask = buckets - 1;
	return table->buckets != NULL;
}

static void table_free_old(struct tcp_stack *tcp, struct tcp_table *table)
{
	if (table->old_buckets)
		tcp_free(tcp, table->old_buckets,
		         ((size_t)table->old_mask + 1) * sizeof(*table->buckets));
	table->old_buckets = NULL;
	table->moved = 0;
}

void tcp_table_fini(struct tcp_stack *tcp, struct tcp_table *table)
{
	table_free_old(tcp, table);
	if (table->buckets)
		tcp_free(tcp, table->buckets, ((size_t)table->mask + 1) * sizeof(*table->buckets));
	table->buckets = NULL;
}

static inline void bucket_push(struct tcp_hash_node **bucket, struct tcp_hash_node *node)
{
	node->next = *bucket;
	*bucket = node;
}

/* Move a few buckets of the old table, so that growing never takes long. */
static void table_move_some(struct tcp_stack *tcp, struct tcp_table *table)
{
	for (int i = 0; i < TABLE_MOVES_PER_INSERT && table->moved <= table->old_mask; i++) {
		struct tcp_hash_node *node = table->old_buckets[table->moved];
		table->old_buckets[table->moved++] = NULL;
		while (node) {
			struct tcp_hash_node *next = node->next;
			bucket_push(&table->buckets[node->hash & table->mask], node);
			node = next;
		}
	}
	if (table->moved > table->old_mask)
		table_free_old(tcp, table);
}

/* Without memory the table stays as it is and its chains become longer. */
static void table_grow(struct tcp_stack *tcp, struct tcp_table *table)
{
	size_t buckets = 2 * ((size_t)table->mask + 1);
	struct tcp_hash_node **fresh = tcp_alloc(tcp, buckets * sizeof(*fresh));
	if (!fresh)
		return;
	table->old_buckets = table->buckets;
	table->old_mask = table->mask;
	table->moved = 0;
	table->buckets = fresh;
	table->mask = (uint32_t)buckets - 1;
}

void tcp_table_insert(struct tcp_stack *tcp, struct tcp_table *table, struct tcp_hash_node *node)
{
	if (table->old_buckets)
		table_move_some(tcp, table);
	else if (table->count > table->mask)
		table_grow(tcp, table);
	bucket_push(&table->buckets[node->hash & table->mask], node);
	table->count++;
}

/* The place that refers to the node; NULL: not in this bucket. */
static inline struct tcp_hash_node **place_of(struct tcp_hash_node **bucket,
                                              const struct tcp_hash_node *node)
{
	for (; *bucket; bucket = &(*bucket)->next) {
		if (*bucket == node)
			return bucket;
	}
	return NULL;
}

static struct tcp_hash_node **find_place(struct tcp_table *table, const struct tcp_hash_node *node)
{
	struct tcp_hash_node **place = place_of(&table->buckets[node->hash & table->mask], node);
	if (!place && table->old_buckets)
		place = place_of(&table->old_buckets[node->hash & table->old_mask], node);
	return place;
}

void tcp_table_replace(struct tcp_table *table, struct tcp_hash_node *old,
                       struct tcp_hash_node *node)
{
	*node = *old;
	*find_place(table, old) = node;
}

void tcp_table_remove(struct tcp_table *table, struct tcp_hash_node *node)
{
	struct tcp_hash_node **place = find_place(table, node);
	if (!place)
		return;
	*place = node->next;
	table->count--;
}

static inline uint64_t fold_multiply(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint32_t tcp_flow_hash(const struct tcp_stack *tcp, struct ipv4_address local, uint16_t local_port,
                       struct ipv4_address remote, uint16_t remote_port)
{
	uint64_t addresses = (uint64_t)local.value << 32 | remote.value;
	uint64_t ports = (uint64_t)local_port << 16 | remote_port;
	uint64_t hash = fold_multiply(addresses ^ tcp->hash_key[0], ports ^ tcp->hash_key[1]);
	return (uint32_t)(hash ^ hash >> 32);
}

static struct tcp_flow *chain_find(struct tcp_hash_node *node, uint32_t hash, uint64_t addresses,
                                   uint32_t ports)
{
	for (; node; node = node->next) {
		if (node->hash != hash)
			continue;
		struct tcp_flow *flow = container_of(node, struct tcp_flow, node);
		if (((uint64_t)flow->local_address.value << 32 | flow->remote_address.value) ==
		            addresses &&
		    ((uint32_t)flow->local_port << 16 | flow->remote_port) == ports)
			return flow;
	}
	return NULL;
}

struct tcp_flow *tcp_flow_find(struct tcp_stack *tcp, struct ipv4_address local,
                               uint16_t local_port, struct ipv4_address remote,
                               uint16_t remote_port)
{
	const struct tcp_table *table = &tcp->flows;
	uint32_t hash = tcp_flow_hash(tcp, local, local_port, remote, remote_port);
	uint64_t addresses = (uint64_t)local.value << 32 | remote.value;
	uint32_t ports = (uint32_t)local_port << 16 | remote_port;
	struct tcp_flow *flow =
	        chain_find(table->buckets[hash & table->mask], hash, addresses, ports);
	if (!flow && table->old_buckets)
		flow = chain_find(table->old_buckets[hash & table->old_mask], hash, addresses,
		                  ports);
	return flow;
}

void tcp_flow_insert(struct tcp_stack *tcp, struct tcp_flow *flow)
{
	flow->node.hash = tcp_flow_hash(tcp, flow->local_address, flow->local_port,
	                                flow->remote_address, flow->remote_port);
	tcp_table_insert(tcp, &tcp->flows, &flow->node);
}

struct sip_state {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate_left(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static void sip_round(struct sip_state *s)
{
	s->v0 += s->v1;
	s->v1 = rotate_left(s->v1, 13) ^ s->v0;
	s->v0 = rotate_left(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotate_left(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotate_left(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotate_left(s->v1, 17) ^ s->v2;
	s->v2 = rotate_left(s->v2, 32);
}

static void sip_absorb(struct sip_state *s, uint64_t word)
{
	s->v3 ^= word;
	sip_round(s);
	sip_round(s);
	s->v0 ^= word;
}

/* SipHash-2-4 (Aumasson and Bernstein, 2012) of two words. */
uint64_t tcp_keyed_hash(const struct tcp_stack *tcp, uint64_t a, uint64_t b)
{
	uint64_t k0 = tcp->secret[0], k1 = tcp->secret[1];
	struct sip_state s = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d,
		               k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573 };
	sip_absorb(&s, a);
	sip_absorb(&s, b);
	sip_absorb(&s, 16ull << 56);
	s.v2 ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

static uint64_t flow_digest(const struct tcp_stack *tcp, const struct tcp_flow *flow)
{
	return tcp_keyed_hash(
	        tcp, (uint64_t)flow->local_address.value << 32 | flow->remote_address.value,
	        (uint64_t)flow->local_port << 16 | flow->remote_port);
}

/* RFC 6528: a clock that ticks every 64 ns, as Linux's, plus a secret function of the 4-tuple.
 * The timestamps' offset is constant per 4-tuple, so that a reused one continues the old timestamps
 * (RFC 7323 §5.4). */
struct tcp_seq tcp_initial_sequence(const struct tcp_stack *tcp, const struct tcp_flow *flow,
                                    uint32_t *timestamp_offset)
{
	uint64_t digest = flow_digest(tcp, flow);
	*timestamp_offset = (uint32_t)(digest >> 32);
	return seq((uint32_t)digest + (uint32_t)(tcp_now(tcp) >> 6));
}
