/*
 * A wire with two hosts for TCP's tests: virtual clock, one seed, impairments. Each host is a whole
 * stack (loop, ARP, IP) with a device that copies frames out and in, as virtio-net does, with or
 * without offloads. Included by one test program each.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "evloop/check.h"
#include "tcpip/tcp_internal.h"

#define FRAME_MAX (65535 + 64)

struct random_source {
	uint64_t state;
};

static inline uint64_t random_next(struct random_source *r)
{
	r->state += 0x9e3779b97f4a7c15ull;
	uint64_t z = r->state;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}
static inline uint32_t random_below(struct random_source *r, uint32_t n)
{
	return n ? (uint32_t)(random_next(r) % n) : 0;
}
static inline bool random_chance(struct random_source *r, uint32_t permille)
{
	return permille && random_below(r, 1000) < permille;
}

struct wire_frame {
	struct list_node link;
	uint64_t deliver_ns;
	struct host *to;
	uint32_t bytes;
	uint16_t gso_size, csum_start, csum_offset, header_length;
	uint8_t flags;
	uint8_t data[];
};

struct impairments {
	uint32_t loss, duplicate, reorder, corrupt; /* permille */
	uint64_t delay_ns, jitter_ns;
	uint64_t late_ns; /* how late a reordered frame comes at most; 0: half the delay and 2 ms */
	uint64_t bytes_per_second;    /* 0: unlimited */
	uint32_t queue_frames;        /* of the bottleneck; 0: unlimited */
	uint32_t ring;                /* transmit slots per turn; 0: plenty */
	uint32_t allocation_failures; /* permille */
	uint32_t offloads;
	uint32_t mtu;
	uint64_t pool_bytes; /* cap of what the stack itself allocates; 0: plenty */
};

struct host {
	struct loop loop;
	struct stack *stack;
	struct pbuf_pool *pool;
	struct pbuf_pool *receive_pool; /* a driver's ring always has its buffers */
	struct netif netif;
	struct wire *wire;
	struct loop_hook flush_hook;
	struct ipv4_address address;
	uint64_t free_at_ns; /* the bottleneck towards the peer */
	uint32_t queued, ring_used;
	bool ring_was_full;
	size_t bytes_allocated;
	void (*observe)(struct host *host, const struct wire_frame *frame); /* every frame sent */
	void *observer;
};

struct wire {
	struct host host[2];
	struct impairments impairments;
	struct random_source random;
	struct list frames; /* ascending deliver_ns */
	uint64_t now_ns, frames_sent, frames_lost;
	bool quiet; /* no allocation failures right now */
	bool cut;   /* every IP packet is lost */
};

static inline void *wire_alloc(void *context, size_t bytes)
{
	struct host *host = context;
	if (!host->wire->quiet &&
	    random_chance(&host->wire->random, host->wire->impairments.allocation_failures))
		return NULL;
	host->bytes_allocated += bytes;
	return calloc(1, bytes);
}

static inline void wire_free(void *context, void *memory, size_t bytes)
{
	struct host *host = context;
	host->bytes_allocated -= bytes;
	free(memory);
}

static inline void *wire_block_alloc(void *context, size_t bytes)
{
	(void)context;
	return aligned_alloc(bytes < 4096 ? bytes : 4096, bytes);
}

static inline void wire_block_free(void *context, void *block, size_t bytes)
{
	(void)context, (void)bytes;
	free(block);
}

static inline void *wire_reallocate(void *context, void *old, size_t old_bytes, size_t new_bytes)
{
	(void)context, (void)old_bytes;
	return realloc(old, new_bytes);
}

static inline void wire_random(void *context, void *out, size_t bytes)
{
	struct host *host = context;
	for (size_t i = 0; i < bytes; i++)
		((uint8_t *)out)[i] = (uint8_t)random_next(&host->wire->random);
}

static inline struct wire_frame *wire_copy(const struct wire_frame *frame)
{
	struct wire_frame *copy = malloc(sizeof(*copy) + frame->bytes);
	CHECK(copy);
	memcpy(copy, frame, sizeof(*copy) + frame->bytes);
	return copy;
}

static inline void wire_enqueue(struct wire *wire, struct wire_frame *frame, uint64_t deliver_ns)
{
	frame->deliver_ns = deliver_ns;
	struct list_node *position = wire->frames.head.prev;
	while (position != &wire->frames.head &&
	       list_entry(position, struct wire_frame, link)->deliver_ns > deliver_ns)
		position = position->prev;
	list_insert_before(position->next, &frame->link);
}

/* The wire's own decisions about one frame, which it takes. */
static inline void wire_carry(struct wire *wire, struct host *from, struct wire_frame *frame)
{
	const struct impairments *i = &wire->impairments;
	wire->frames_sent++;
	if (from->observe)
		from->observe(from, frame);
	bool full =
	        i->queue_frames && i->bytes_per_second && from->free_at_ns > wire->now_ns &&
	        (from->free_at_ns - wire->now_ns) * i->bytes_per_second / 1000000000ull / 1500 >=
	                i->queue_frames;
	/* ARP gives up early; it is not what is tested here. */
	bool is_ip = load_be16(frame->data + 12) == 0x0800;
	if (is_ip && (wire->cut || full || random_chance(&wire->random, i->loss))) {
		wire->frames_lost++;
		free(frame);
		return;
	}
	uint64_t start = wire->now_ns;
	if (i->bytes_per_second) {
		if (from->free_at_ns > start)
			start = from->free_at_ns;
		start += frame->bytes * 1000000000ull / i->bytes_per_second;
		from->free_at_ns = start;
	}
	uint64_t deliver = start + i->delay_ns;
	if (i->jitter_ns)
		deliver += random_next(&wire->random) % i->jitter_ns;
	if (random_chance(&wire->random, i->reorder) && i->late_ns)
		deliver += random_next(&wire->random) % i->late_ns;
	else if (!i->late_ns && random_chance(&wire->random, i->reorder))
		deliver += i->delay_ns / 2 + 100000 + random_below(&wire->random, 2000000);
	if (random_chance(&wire->random, i->duplicate))
		wire_enqueue(wire, wire_copy(frame), deliver + random_below(&wire->random, 500000));
	/* What has a checksum may be damaged. A device that completes it does so before the damage.
	 */
	bool guarded = is_ip && !(frame->flags & PBUF_CSUM_PARTIAL);
	if (random_chance(&wire->random, i->corrupt) && guarded)
		frame->data[14 + random_below(&wire->random, frame->bytes - 14)] ^=
		        (uint8_t)(1 << random_below(&wire->random, 8));
	wire_enqueue(wire, frame, deliver);
}

static inline int wire_transmit(struct netif *netif, struct pbuf *packet)
{
	struct host *host = netif->driver;
	struct wire *wire = host->wire;
	CHECK(packet->packet_length <= FRAME_MAX);
	struct wire_frame *frame = malloc(sizeof(*frame) + packet->packet_length);
	CHECK(frame);
	*frame = (struct wire_frame){ .to = &wire->host[host == &wire->host[0]],
		                      .bytes = packet->packet_length,
		                      .gso_size = packet->gso_size,
		                      .csum_start = packet->csum_start,
		                      .csum_offset = packet->csum_offset,
		                      .header_length = packet->header_length,
		                      .flags = packet->flags };
	CHECK_EQ(pbuf_copy_out(packet, 0, frame->data, frame->bytes), frame->bytes);
	pbuf_free(packet);
	host->ring_used++;
	wire_carry(wire, host, frame);
	return 0;
}

static inline uint32_t wire_transmit_space(struct netif *netif)
{
	struct host *host = netif->driver;
	uint32_t ring = host->wire->impairments.ring ? host->wire->impairments.ring : 4096;
	if (host->ring_used >= ring) {
		host->ring_was_full = true;
		return 0;
	}
	return ring - host->ring_used;
}

static inline void wire_flush_hook(struct loop *loop, struct loop_hook *hook)
{
	(void)loop;
	struct host *host = container_of(hook, struct host, flush_hook);
	stack_flush(host->stack);
}

static inline void host_create(struct wire *wire, int index)
{
	struct host *host = &wire->host[index];
	host->wire = wire;
	host->address = ipv4(10, 0, 0, (uint8_t)(1 + index));
	const struct loop_config loop_config = { .reallocate = wire_reallocate };
	CHECK_EQ(loop_init(&host->loop, &loop_config), 0);
	host->loop.now_ns = wire->now_ns;
	struct pbuf_pool_config pool_config = { .block_alloc = wire_block_alloc,
		                                .block_free = wire_block_free,
		                                .cap_bytes = 256 << 20 };
	CHECK_EQ(pbuf_pool_create(&host->receive_pool, &pool_config), 0);
	if (wire->impairments.pool_bytes)
		pool_config.cap_bytes = wire->impairments.pool_bytes;
	CHECK_EQ(pbuf_pool_create(&host->pool, &pool_config), 0);
	const struct stack_config config = { .loop = &host->loop,
		                             .alloc = wire_alloc,
		                             .free = wire_free,
		                             .alloc_context = host,
		                             .pool = host->pool,
		                             .random = wire_random,
		                             .random_context = host };
	CHECK_EQ(stack_create(&host->stack, &config), 0);
	host->netif = (struct netif){ .name = "eth0",
		                      .mac = { { 2, 0, 0, 0, 0, (uint8_t)(index + 1) } },
		                      .mtu = wire->impairments.mtu ? wire->impairments.mtu : 1500,
		                      .offloads = wire->impairments.offloads,
		                      .transmit = wire_transmit,
		                      .transmit_space = wire_transmit_space,
		                      .driver = host };
	CHECK_EQ(stack_add_netif(host->stack, &host->netif), 0);
	/* The peer as gateway: its address is resolved at once. */
	CHECK_EQ(stack_set_address(host->stack, &host->netif, host->address, 24,
	                           ipv4(10, 0, 0, (uint8_t)(2 - index))),
	         0);
	host->flush_hook.run = wire_flush_hook;
	loop_hook_add_flush(&host->loop, &host->flush_hook);
}

static inline void wire_create(struct wire *wire, const struct impairments *impairments,
                               uint64_t seed)
{
	memset(wire, 0, sizeof(*wire));
	wire->impairments = *impairments;
	wire->random.state = seed * 0x2545f4914f6cdd1dull + 1;
	wire->now_ns = 1000000000ull;
	wire->quiet = true;
	list_init(&wire->frames);
	for (int i = 0; i < 2; i++)
		host_create(wire, i);
}

static inline void wire_destroy(struct wire *wire)
{
	struct list_node *node;
	while ((node = list_pop_front(&wire->frames)) != NULL)
		free(list_entry(node, struct wire_frame, link));
	for (int i = 0; i < 2; i++) {
		struct host *host = &wire->host[i];
		loop_hook_remove(&host->flush_hook);
		stack_destroy(host->stack);
		struct pbuf_pool_statistics s;
		pbuf_pool_statistics(host->pool, &s);
		CHECK_EQ(s.bytes_used, 0);
		CHECK(pbuf_pool_destroy(host->pool));
		CHECK(pbuf_pool_destroy(host->receive_pool));
		CHECK_EQ(host->bytes_allocated, 0);
		CHECK_EQ(host->loop.timers_created, 0);
		loop_fini(&host->loop);
	}
}

/* A frame as the device would put it into receive buffers. NULL: no memory (the frame is lost). */
static inline struct pbuf *wire_receive_buffers(struct host *host, const struct wire_frame *frame)
{
	struct pbuf *first = NULL, *last = NULL;
	for (uint32_t at = 0; at < frame->bytes;) {
		struct pbuf *p = pbuf_alloc(host->receive_pool, PBUF_PAGE, first ? 0 : 18);
		if (!p) {
			pbuf_free(first);
			return NULL;
		}
		p->length = min_u32(pbuf_tailroom(p), frame->bytes - at);
		memcpy(p->data, frame->data + at, p->length);
		at += p->length;
		if (last)
			last->next = p;
		else
			first = p;
		last = p;
	}
	first->packet_length = frame->bytes;
	if (frame->flags & PBUF_CSUM_PARTIAL)
		first->flags |= PBUF_CSUM_VALID;
	first->gso_size = frame->gso_size;
	return first;
}

static inline void wire_deliver(struct wire *wire)
{
	struct list_node *node;
	while ((node = list_first(&wire->frames)) != NULL) {
		struct wire_frame *frame = list_entry(node, struct wire_frame, link);
		if (frame->deliver_ns > wire->now_ns)
			return;
		list_remove(node);
		struct pbuf *packet = wire_receive_buffers(frame->to, frame);
		if (packet)
			netif_input(&frame->to->netif, packet);
		free(frame);
	}
}

static inline uint64_t wire_next_event(const struct wire *wire)
{
	uint64_t next = LOOP_NEVER;
	struct list_node *first = list_first(&wire->frames);
	if (first)
		next = list_entry(first, struct wire_frame, link)->deliver_ns;
	for (int i = 0; i < 2; i++) {
		if (loop_has_pending(&wire->host[i].loop))
			return wire->now_ns;
		next = min_u64(next, loop_next_deadline(&wire->host[i].loop));
	}
	return next;
}

static inline void wire_turn_hosts(struct wire *wire)
{
	for (int i = 0; i < 2; i++) {
		struct host *host = &wire->host[i];
		host->ring_used = 0;
		if (host->ring_was_full) {
			host->ring_was_full = false;
			netif_transmit_ready(&host->netif);
		}
		loop_turn(&host->loop, wire->now_ns);
	}
}

/* One event: time moves on to whatever comes next, everything due happens. False: nothing will ever
 * happen again. */
static inline bool wire_step(struct wire *wire)
{
	bool stalled = wire->host[0].ring_was_full || wire->host[1].ring_was_full;
	uint64_t next = wire_next_event(wire);
	if (stalled) /* the rings drain */
		next = min_u64(next, wire->now_ns + 10000);
	if (next == LOOP_NEVER)
		return false;
	if (next > wire->now_ns)
		wire->now_ns = next;
	for (int i = 0; i < 2; i++)
		wire->host[i].loop.now_ns = wire->now_ns;
	wire_deliver(wire);
	wire_turn_hosts(wire);
	return true;
}

static inline void wire_verify(struct wire *wire)
{
	for (int i = 0; i < 2; i++) {
		const char *broken = stack_verify(wire->host[i].stack);
		if (broken) {
			fprintf(stderr, "host %d at %llu us: %s\n", i,
			        (unsigned long long)(wire->now_ns / 1000), broken);
			abort();
		}
	}
}

/* Let time pass. */
static inline void wire_run_for(struct wire *wire, uint64_t ns)
{
	uint64_t until = wire->now_ns + ns;
	loop_flush(&wire->host[0].loop);
	loop_flush(&wire->host[1].loop);
	while (wire_next_event(wire) <= until && wire_step(wire))
		wire_verify(wire);
	wire->now_ns = until;
	for (int i = 0; i < 2; i++)
		wire->host[i].loop.now_ns = until;
}
