/*
 * Random schedules of a driver's owner against a device that delays, merges and spuriously raises
 * notifications.
 *
 * In the first half the device obeys: every frame must come through, in order and unchanged, both
 * ways; nobody may sleep while there is work and no notification under way (a stall). In the second
 * half it lies at random: no crash (the sanitizers watch), no cookie twice, the rings stay sound,
 * and everything comes back in the end. A failing seed prints itself; run the test with that number
 * as its argument to repeat it alone.
 */
#include <string.h>

#include "evloop/check.h"
#include "virtio/net.h"
#include "virtio/net_internal.h"
#include "virtio/sim_device.h"

enum { RX = 0, TX = 1, STEPS = 4000, SEEDS = 80, BUFFERS = 600, FRAME_MAX = 9000, FLIGHT = 256 };

struct lent {
	bool with_driver;
	uint8_t *memory;
	uint32_t number; /* transmit: the frame */
};

struct world {
	struct sim sim;
	struct virtio_net net;
	uint64_t seed, random;
	bool evil;
	uint32_t buffer_bytes;
	/* the owner */
	struct lent rx[BUFFERS], tx[BUFFERS];
	uint32_t tx_next, rx_expected;
	bool asleep, wants_completions;
	/* the device */
	uint32_t rx_next, tx_expected;
	uint16_t flight[FLIGHT]; /* transmit requests taken and not completed */
	unsigned flying;
	bool line; /* an interrupt is on its way to the owner */
	unsigned frames_in, frames_out, stalls_checked;
};

static uint32_t draw(struct world *world, uint32_t below)
{
	world->random ^= world->random << 13;
	world->random ^= world->random >> 7;
	world->random ^= world->random << 17;
	return (uint32_t)(world->random >> 32) % below;
}

static void fail(const struct world *world, const char *what)
{
	fprintf(stderr, "seed %llu: %s\n", (unsigned long long)world->seed, what);
	exit(1);
}

static uint32_t frame_bytes(uint32_t number)
{
	uint32_t mix = number * 2654435761u >> 8;
	return mix % 4 ? 60 + mix % 1400 : 60 + mix % (FRAME_MAX - 60);
}

static uint8_t frame_byte(uint32_t number, uint32_t at)
{
	return (uint8_t)(number * 13 + at * 3 + (at >> 7));
}

/* Without MRG_RXBUF nobody sends what does not fit one buffer. */
static uint32_t next_deliverable(const struct world *world, uint32_t number)
{
	if (!(world->sim.accepted & VIRTIO_NET_F_MRG_RXBUF))
		while (frame_bytes(number) > world->buffer_bytes - VIRTIO_NET_HEADER_BYTES)
			number++;
	return number;
}

static void fill_frame(uint8_t *to, uint32_t number)
{
	for (uint32_t i = 0; i < frame_bytes(number); i++)
		to[i] = frame_byte(number, i);
}

/* ---- the owner ---- */

static struct lent *find_free(struct lent *list)
{
	for (unsigned i = 0; i < BUFFERS; i++)
		if (!list[i].with_driver)
			return &list[i];
	return NULL;
}

static void returned(void *context, void *cookie)
{
	struct lent *lent = cookie;
	if (!lent->with_driver)
		fail(context, "a cookie came back twice");
	lent->with_driver = false;
}

static void refill(struct world *world)
{
	struct lent *lent;
	while ((lent = find_free(world->rx))) {
		if (virtio_net_post_rx(&world->net, 0, lent->memory, world->buffer_bytes, lent))
			return;
		lent->with_driver = true;
	}
}

static void check_packet(struct world *world, const struct virtio_net_rx *packet)
{
	uint32_t number = next_deliverable(world, world->rx_expected), at = 0;
	world->rx_expected = number + 1;
	bool good = packet->packet_bytes == frame_bytes(number);
	for (unsigned i = 0; i < packet->piece_count; i++) {
		struct lent *lent = packet->pieces[i].cookie;
		const uint8_t *data = lent->memory + (i ? 0 : VIRTIO_NET_HEADER_BYTES);
		returned(world, lent);
		for (uint32_t j = 0; j < packet->pieces[i].bytes; j++, at++)
			good &= data[j] == frame_byte(number, at);
	}
	if (at != packet->packet_bytes)
		fail(world, "pieces do not add up");
	if (!good && !world->evil)
		fail(world, "a received frame is wrong");
	world->frames_in++;
}

static void receive(struct world *world)
{
	struct virtio_net_rx packets[16];
	size_t max = 1 + draw(world, 16), count;
	while ((count = virtio_net_receive(&world->net, 0, packets, max)) > 0)
		for (size_t i = 0; i < count; i++)
			check_packet(world, &packets[i]);
}

static void send_some(struct world *world)
{
	for (unsigned burst = draw(world, 12); burst > 0; burst--) {
		struct lent *lent = find_free(world->tx);
		struct virtio_net_segment segments[VIRTIO_NET_SEGMENTS_MAX];
		uint32_t bytes = frame_bytes(world->tx_next), at = 0;
		uint32_t count = draw(world, 3) ? 1 + draw(world, 2) : 1 + draw(world, 20);
		bool fits = virtio_net_tx_space(&world->net, 0, count + 1) > 0;
		if (!lent)
			return;
		for (uint32_t i = 0; i < count; i++) {
			uint32_t now = i + 1 == count ? bytes - at : bytes / count;
			segments[i] = (struct virtio_net_segment){ lent->memory + 16 + at, now };
			at += now;
		}
		fill_frame(lent->memory + 16, world->tx_next);
		int error = virtio_net_transmit(&world->net, 0, segments, count, NULL,
		                                draw(world, 4) ? lent->memory + 4 : NULL, lent);
		if (error) {
			if (fits)
				fail(world, "tx_space promised too much");
			return;
		}
		lent->with_driver = true;
		lent->number = world->tx_next++;
	}
}

static void meanwhile(struct world *world);

static void owner_turn(struct world *world)
{
	if (draw(world, 4))
		virtio_net_rx_disarm(&world->net, 0);
	receive(world);
	meanwhile(world);
	virtio_net_reclaim(&world->net, 0, returned, world);
	meanwhile(world);
	send_some(world);
	if (draw(world, 8))
		refill(world);
	virtio_net_publish_and_kick(&world->net, 0);
	const char *broken = virtio_net_verify(&world->net);
	if (broken)
		fail(world, broken);
	if (draw(world, 2))
		return;
	refill(world);
	virtio_net_publish_and_kick(&world->net, 0);
	meanwhile(world);
	world->wants_completions = draw(world, 2) && virtio_net_tx_outstanding(&world->net, 0) > 0;
	if (world->wants_completions && !virtio_net_tx_arm(&world->net, 0))
		return;
	world->asleep = virtio_net_rx_arm(&world->net, 0);
}

/* ---- the device ---- */

static void device_receive(struct world *world)
{
	static uint8_t frame[FRAME_MAX];
	struct virtio_net_header header = { 0 };
	for (unsigned burst = 1 + draw(world, 8); burst > 0; burst--) {
		world->rx_next = next_deliverable(world, world->rx_next);
		uint32_t bytes = frame_bytes(world->rx_next);
		fill_frame(frame, world->rx_next);
		if (!sim_deliver(&world->sim, RX, &header, frame, bytes)) {
			sim_sleep(&world->sim, RX);
			break;
		}
		world->rx_next++;
	}
	if (draw(world, 2))
		sim_complete(&world->sim, RX);
}

static void check_transmitted(struct world *world, const struct sim_chain *chain)
{
	uint32_t number = world->tx_expected++, at = 0;
	world->frames_out++;
	if (world->evil)
		return;
	for (unsigned i = 0; i < chain->count; i++)
		for (uint32_t j = 0; j < chain->pieces[i].bytes; j++, at++)
			if (at >= VIRTIO_NET_HEADER_BYTES &&
			    chain->pieces[i].data[j] !=
			            frame_byte(number, at - VIRTIO_NET_HEADER_BYTES))
				fail(world, "a transmitted frame is wrong");
	if (at != VIRTIO_NET_HEADER_BYTES + frame_bytes(number))
		fail(world, "a transmitted frame has the wrong length");
}

/* The device works on a queue only when it was kicked, or has not slept since. */
static void device_transmit(struct world *world)
{
	struct sim_queue *queue = &world->sim.queues[TX];
	struct sim_chain chain;
	if (!queue->notified && !queue->awake)
		return;
	queue->awake = true;
	for (unsigned burst = draw(world, 40); burst > 0 && world->flying < FLIGHT; burst--) {
		if (!sim_pop(&world->sim, TX, &chain)) {
			sim_sleep(&world->sim, TX);
			break;
		}
		check_transmitted(world, &chain);
		world->flight[world->flying++] = chain.id;
	}
}

/* Completions come late, and in any order. */
static void device_complete(struct world *world)
{
	while (world->flying && draw(world, 8)) {
		unsigned pick = draw(world, world->flying);
		sim_push(&world->sim, TX, world->flight[pick], 0);
		world->flight[pick] = world->flight[--world->flying];
	}
	if (draw(world, 2))
		sim_complete(&world->sim, TX);
}

/* The device does not wait for the owner's turn to end. */
static void meanwhile(struct world *world)
{
	switch (draw(world, 8)) {
	case 0:
		device_receive(world);
		break;
	case 1:
		device_transmit(world);
		break;
	case 2:
		device_complete(world);
		break;
	}
}

static void device_lie(struct world *world)
{
	unsigned queue = draw(world, 2);
	struct sim_queue *ring = &world->sim.queues[queue];
	struct sim_chain chain;
	switch (draw(world, 5)) {
	case 0:
		sim_push(&world->sim, queue,
		         draw(world, 2) ? draw(world, ring->size) : draw(world, 70000),
		         draw(world, 70000));
		break;
	case 1:
		ring->used->index = (uint16_t)draw(world, 65536);
		break;
	case 2:
		ring->used->index = (uint16_t)(ring->used->index + draw(world, 4));
		break;
	case 3: /* a length, and a count of buffers, out of the blue */
		if (!sim_pop(&world->sim, RX, &chain))
			break;
		*(struct virtio_net_header *)chain.pieces[0].data = (struct virtio_net_header){
			.flags = (uint8_t)draw(world, 256),
			.gso_type = (uint8_t)draw(world, 256),
			.num_buffers =
			        (uint16_t)(draw(world, 2) ? draw(world, 40) : draw(world, 65536))
		};
		sim_push(&world->sim, RX, chain.id,
		         draw(world, 2) ? draw(world, world->buffer_bytes + 20)
		                        : draw(world, 100000));
		break;
	case 4:
		sim_complete(&world->sim, queue);
		break;
	}
}

/* ---- time passes ---- */

static void interrupt_owner(struct world *world)
{
	if (!world->sim.interrupt && draw(world, 20))
		return; /* else: a spurious one */
	virtio_net_interrupt(&world->net);
	world->asleep = false;
}

/* Nothing is on its way and the owner sleeps: is there nothing that it should be doing? */
static void check_no_stall(struct world *world)
{
	const struct virtio_net_queue_pair *pair = &world->net.pairs[0];
	if (!world->asleep || world->sim.interrupt || world->evil)
		return;
	world->stalls_checked++;
	if (pair->rx.used->index != pair->rx.used_next)
		fail(world, "stall: packets wait, the owner sleeps, no interrupt comes");
	const struct sim_queue *tx = &world->sim.queues[TX];
	if (tx->available->index != tx->avail_seen && !tx->notified && !tx->awake)
		fail(world, "stall: frames wait, the device sleeps, no kick came");
	bool all_done = !world->flying && tx->available->index == tx->avail_seen &&
	                tx->used_published == tx->used_index;
	if (all_done && pair->tx.used->index != pair->tx.used_next &&
	    (world->wants_completions || pair->tx.free_count == 0))
		fail(world, "stall: completions are waited for, no interrupt comes");
}

static void step(struct world *world)
{
	switch (draw(world, 8)) {
	case 0:
	case 1:
		device_receive(world);
		break;
	case 2:
	case 3:
		device_transmit(world);
		break;
	case 4:
		device_complete(world);
		break;
	case 5:
		interrupt_owner(world);
		break;
	default:
		if (!world->asleep)
			owner_turn(world);
	}
	if (world->evil && draw(world, 10) == 0)
		device_lie(world);
	check_no_stall(world);
}

/* No new frames: everything under way must arrive. */
static void settle(struct world *world)
{
	for (unsigned i = 0; i < 2000; i++) {
		sim_complete(&world->sim, RX);
		device_transmit(world);
		device_complete(world);
		sim_complete(&world->sim, TX);
		if (world->sim.interrupt || !world->asleep) {
			virtio_net_interrupt(&world->net);
			receive(world);
			virtio_net_reclaim(&world->net, 0, returned, world);
			world->wants_completions = virtio_net_tx_outstanding(&world->net, 0) > 0;
			world->asleep =
			        (!world->wants_completions || virtio_net_tx_arm(&world->net, 0)) &&
			        virtio_net_rx_arm(&world->net, 0);
		}
	}
	if (next_deliverable(world, world->rx_expected) != next_deliverable(world, world->rx_next))
		fail(world, "received frames are missing");
	if (world->tx_expected != world->tx_next)
		fail(world, "transmitted frames are missing");
	if (virtio_net_tx_outstanding(&world->net, 0) && world->wants_completions)
		fail(world, "completions are missing");
}

static void choose_config(struct world *world, struct virtio_net_config *config)
{
	*config = VIRTIO_NET_CONFIG_DEFAULT;
	config->ring_size = (uint16_t)(8u << draw(world, 6));
	config->event_idx = draw(world, 3);
	config->indirect = draw(world, 3);
	config->mergeable_buffers = draw(world, 4);
	config->header_in_headroom = draw(world, 3);
	config->coalesce_kicks = draw(world, 5);
	config->tx_interrupts_off = draw(world, 4);
	world->buffer_bytes = draw(world, 2) ? 4094 : 2048;
	config->rx_buffer_bytes = world->buffer_bytes;
}

static void play(uint64_t seed, bool evil)
{
	struct world *world = calloc(1, sizeof(*world));
	struct virtio_net_config config;
	CHECK(world);
	world->seed = seed;
	world->evil = evil;
	world->random = seed * 0x9e3779b97f4a7c15ull + 1;
	for (unsigned i = 0; i < BUFFERS; i++) {
		world->rx[i].memory = malloc(4096);
		world->tx[i].memory = malloc(FRAME_MAX + 16);
		CHECK(world->rx[i].memory && world->tx[i].memory);
	}
	sim_init(&world->sim, VIRTIO_DEVICE_NET,
	         VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC |
	                 VIRTIO_NET_F_MRG_RXBUF,
	         3, 256);
	world->sim.liar = evil;
	choose_config(world, &config);
	CHECK_EQ(virtio_net_init(&world->net, &world->sim.transport, &config), 0);
	for (unsigned i = 0; i < STEPS; i++)
		step(world);
	if (!evil) {
		if (world->frames_in < 100 || world->frames_out < 100 || world->stalls_checked < 50)
			fail(world, "the schedule hardly did anything");
		settle(world);
	}
	CHECK(virtio_net_fini(&world->net, returned, returned, world));
	CHECK_EQ(world->sim.allocations, 0);
	for (unsigned i = 0; i < BUFFERS; i++) {
		if (world->rx[i].with_driver || world->tx[i].with_driver)
			fail(world, "a cookie never came back");
		free(world->rx[i].memory);
		free(world->tx[i].memory);
	}
	free(world);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		uint64_t seed = strtoull(argv[1], NULL, 0);
		play(seed, seed > SEEDS);
		return 0;
	}
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		play(seed, false);
	for (uint64_t seed = SEEDS + 1; seed <= 2 * SEEDS; seed++)
		play(seed, true);
	return 0;
}
