/* The net driver's data path against the simulated device: one property per test. */
#include <errno.h>
#include <string.h>

#include "evloop/check.h"
#include "virtio/net.h"
#include "virtio/net_internal.h"
#include "virtio/sim_device.h"

#define OFFERED                                                                                    \
	(VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC | VIRTIO_NET_F_CSUM |    \
	 VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_HOST_TSO4 |              \
	 VIRTIO_NET_F_MRG_RXBUF)

enum { RX = 0, TX = 1, RING = 32, BUFFERS = 64, BUFFER_BYTES = 2048 };

static struct sim sim;
static struct virtio_net net;
static struct virtio_net_config config;
static _Alignas(8) uint8_t buffers[BUFFERS][BUFFER_BYTES];
static unsigned held[BUFFERS]; /* how often each cookie is with the driver: 0 or 1 */

static void *cookie_of(unsigned number)
{
	return (void *)(uintptr_t)(number + 1);
}

static unsigned give_back(void *cookie)
{
	unsigned number = (unsigned)((uintptr_t)cookie - 1);
	CHECK(number < BUFFERS);
	CHECK_EQ(held[number], 1);
	held[number] = 0;
	return number;
}

static void drop(void *context, void *cookie)
{
	++*(unsigned *)context;
	give_back(cookie);
}

static void start(void)
{
	sim_init(&sim, VIRTIO_DEVICE_NET, OFFERED, 3, 256);
	CHECK_EQ(virtio_net_init(&net, &sim.transport, &config), 0);
	memset(held, 0, sizeof(held));
}

static void start_default(void)
{
	config = VIRTIO_NET_CONFIG_DEFAULT;
	config.ring_size = RING;
	config.rx_buffer_bytes = BUFFER_BYTES;
	start();
}

/* Everything comes back; `expected` of it from the device's hands. */
static void stop(unsigned expected)
{
	unsigned dropped = 0;
	CHECK(!virtio_net_verify(&net));
	CHECK(virtio_net_fini(&net, drop, drop, &dropped));
	CHECK_EQ(dropped, expected);
	for (unsigned i = 0; i < BUFFERS; i++)
		CHECK_EQ(held[i], 0);
	CHECK_EQ(sim.allocations, 0);
}

static struct virtio_net_statistics statistics(void)
{
	struct virtio_net_statistics now;
	virtio_net_read_statistics(&net, &now);
	return now;
}

static int post(unsigned number)
{
	int error = virtio_net_post_rx(&net, 0, buffers[number], BUFFER_BYTES, cookie_of(number));
	if (!error)
		held[number]++;
	return error;
}

static void post_many(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		CHECK_EQ(post(i), 0);
	virtio_net_publish_and_kick(&net, 0);
}

static void make_frame(uint8_t *frame, uint32_t bytes, unsigned seed)
{
	for (uint32_t i = 0; i < bytes; i++)
		frame[i] = (uint8_t)(seed * 31 + i * 7 + (i >> 8));
}

static void deliver(uint32_t bytes, unsigned seed)
{
	static uint8_t frame[65536];
	struct virtio_net_header header = { 0 };
	make_frame(frame, bytes, seed);
	CHECK(sim_deliver(&sim, RX, &header, frame, bytes));
	sim_complete(&sim, RX);
}

static void expect_packet(const struct virtio_net_rx *packet, uint32_t bytes, unsigned seed)
{
	static uint8_t expected[65536];
	uint32_t at = 0;
	make_frame(expected, bytes, seed);
	CHECK_EQ(packet->packet_bytes, bytes);
	for (unsigned i = 0; i < packet->piece_count; i++) {
		unsigned number = give_back(packet->pieces[i].cookie);
		uint32_t skip = i ? 0 : VIRTIO_NET_HEADER_BYTES;
		CHECK(at + packet->pieces[i].bytes <= bytes);
		CHECK(memcmp(buffers[number] + skip, expected + at, packet->pieces[i].bytes) == 0);
		at += packet->pieces[i].bytes;
	}
	CHECK_EQ(at, bytes);
}

/* ---- receive ---- */

static void test_receive(void)
{
	struct virtio_net_rx packets[4];
	start_default();
	CHECK_EQ(virtio_net_receive(&net, 0, packets, 4), 0);
	post_many(RING);
	CHECK_EQ(post(RING), -ENOSPC);
	for (unsigned i = 0; i < 6; i++)
		deliver(60 + 100 * i, i);
	CHECK_EQ(virtio_net_receive(&net, 0, packets, 4), 4);
	for (unsigned i = 0; i < 4; i++)
		expect_packet(&packets[i], 60 + 100 * i, i);
	CHECK_EQ(virtio_net_receive(&net, 0, packets, 4), 2);
	expect_packet(&packets[0], 460, 4);
	expect_packet(&packets[1], 560, 5);
	CHECK_EQ(virtio_net_receive(&net, 0, packets, 4), 0);
	CHECK_EQ(post(40), 0);
	CHECK_EQ(statistics().rx_packets, 6);
	CHECK_EQ(statistics().rx_buffers, 6);
	CHECK_EQ(statistics().rx_bytes, 60 + 160 + 260 + 360 + 460 + 560);
	stop(RING - 6 + 1);
}

static void test_receive_header(void)
{
	struct virtio_net_rx packet;
	uint8_t frame[100] = { 0 };
	struct virtio_net_header header = { .flags = VIRTIO_NET_NEEDS_CSUM,
		                            .gso_type = VIRTIO_NET_GSO_TCP4 | VIRTIO_NET_GSO_ECN,
		                            .header_length = 54,
		                            .gso_size = 1448,
		                            .csum_start = 34,
		                            .csum_offset = 16 };
	start_default();
	post_many(2);
	CHECK(sim_deliver(&sim, RX, &header, frame, sizeof(frame)));
	header = (struct virtio_net_header){ .flags = VIRTIO_NET_DATA_VALID };
	CHECK(sim_deliver(&sim, RX, &header, frame, sizeof(frame)));
	sim_complete(&sim, RX);
	CHECK_EQ(virtio_net_receive(&net, 0, &packet, 1), 1);
	CHECK_EQ(packet.flags, VIRTIO_NET_NEEDS_CSUM);
	CHECK_EQ(packet.gso_type, VIRTIO_NET_GSO_TCP4 | VIRTIO_NET_GSO_ECN);
	CHECK_EQ(packet.header_length, 54);
	CHECK_EQ(packet.gso_size, 1448);
	CHECK_EQ(packet.csum_start, 34);
	CHECK_EQ(packet.csum_offset, 16);
	give_back(packet.pieces[0].cookie);
	CHECK_EQ(virtio_net_receive(&net, 0, &packet, 1), 1);
	CHECK_EQ(packet.flags, VIRTIO_NET_DATA_VALID);
	CHECK_EQ(packet.gso_type, VIRTIO_NET_GSO_NONE);
	give_back(packet.pieces[0].cookie);
	stop(0);
}

static void test_merged_buffers(void)
{
	struct virtio_net_rx packets[3];
	start_default();
	post_many(RING);
	deliver(100, 1);
	deliver(5 * BUFFER_BYTES, 2);                       /* with the header: 6 buffers */
	deliver(BUFFER_BYTES - VIRTIO_NET_HEADER_BYTES, 3); /* just fits one */
	CHECK_EQ(virtio_net_receive(&net, 0, packets, 3), 3);
	CHECK_EQ(packets[1].piece_count, 6);
	CHECK_EQ(packets[2].piece_count, 1);
	expect_packet(&packets[0], 100, 1);
	expect_packet(&packets[1], 5 * BUFFER_BYTES, 2);
	expect_packet(&packets[2], BUFFER_BYTES - VIRTIO_NET_HEADER_BYTES, 3);
	CHECK_EQ(statistics().rx_merged, 1);
	CHECK_EQ(statistics().rx_buffers, 8);
	stop(RING - 8);
}

/* Without MRG_RXBUF num_buffers means nothing. */
static void test_unmerged(void)
{
	struct virtio_net_rx packet;
	start_default();
	config.mergeable_buffers = false;
	CHECK(virtio_net_fini(&net, drop, drop, NULL));
	start();
	post_many(4);
	deliver(500, 1);
	((struct virtio_net_header *)buffers[0])->num_buffers = 0;
	CHECK_EQ(virtio_net_receive(&net, 0, &packet, 1), 1);
	expect_packet(&packet, 500, 1);
	stop(3);
}

/* ---- transmit ---- */

static uint8_t room[BUFFERS][4096];

/* Send a frame of `segments` pieces; the first one's headroom carries the header when
 * `in_headroom`. */
static int transmit(unsigned number, uint32_t segments, uint32_t bytes_each, bool in_headroom,
                    const struct virtio_net_tx_header *header)
{
	struct virtio_net_segment list[VIRTIO_NET_SEGMENTS_MAX + 1];
	make_frame(room[number] + 16, 2048, number);
	for (uint32_t i = 0; i < segments && i <= VIRTIO_NET_SEGMENTS_MAX; i++)
		list[i] = (struct virtio_net_segment){ room[number] + 16 + i * bytes_each,
			                               bytes_each };
	int error = virtio_net_transmit(&net, 0, list, segments, header,
	                                in_headroom ? room[number] + 4 : NULL, cookie_of(number));
	if (!error)
		held[number]++;
	return error;
}

/* The device's view of the next frame: joined together behind its header. */
static uint32_t take_frame(struct sim_chain *chain, uint8_t *out)
{
	uint32_t bytes = 0;
	CHECK(sim_pop(&sim, TX, chain));
	for (unsigned i = 0; i < chain->count; i++) {
		CHECK(!chain->pieces[i].writable);
		memcpy(out + bytes, chain->pieces[i].data, chain->pieces[i].bytes);
		bytes += chain->pieces[i].bytes;
	}
	CHECK(bytes > VIRTIO_NET_HEADER_BYTES);
	return bytes - VIRTIO_NET_HEADER_BYTES;
}

static void expect_frame(unsigned number, uint32_t bytes, unsigned descriptors, bool indirect,
                         const struct virtio_net_header *header)
{
	struct sim_chain chain;
	uint8_t frame[4096], expected[2048];
	CHECK_EQ(take_frame(&chain, frame), bytes);
	CHECK_EQ(chain.count, descriptors);
	CHECK_EQ(chain.indirect, indirect);
	CHECK(memcmp(frame, header, VIRTIO_NET_HEADER_BYTES) == 0);
	make_frame(expected, 2048, number);
	CHECK(memcmp(frame + VIRTIO_NET_HEADER_BYTES, expected, bytes) == 0);
	sim_push(&sim, TX, chain.id, 0);
}

static size_t reclaim(void)
{
	unsigned count = 0;
	size_t result = virtio_net_reclaim(&net, 0, drop, &count);
	CHECK_EQ(result, count);
	return result;
}

static void test_transmit_shapes(void)
{
	static const struct virtio_net_header plain;
	const struct virtio_net_tx_header request = {
		VIRTIO_NET_NEEDS_CSUM, VIRTIO_NET_GSO_TCP4, 54, 1448, 34, 16
	};
	const struct virtio_net_header offloaded = {
		VIRTIO_NET_NEEDS_CSUM, VIRTIO_NET_GSO_TCP4, 54, 1448, 34, 16, 0
	};
	start_default();
	memset(room, 0xee, sizeof(room));
	CHECK_EQ(transmit(0, 1, 100, true, NULL), 0);
	CHECK_EQ(transmit(1, 1, 100, true, &request), 0);
	CHECK_EQ(transmit(2, 1, 100, false, &request), 0);
	CHECK_EQ(transmit(3, 2, 100, true, &request), 0);
	CHECK_EQ(transmit(4, 3, 100, true, NULL), 0);
	CHECK_EQ(transmit(5, 3, 100, false, NULL), 0);
	CHECK_EQ(transmit(6, VIRTIO_NET_SEGMENTS_MAX, 60, false, &request), 0);
	CHECK_EQ(transmit(7, VIRTIO_NET_SEGMENTS_MAX + 1, 60, true, NULL), -EINVAL);
	CHECK_EQ(transmit(7, 0, 60, true, NULL), -EINVAL);
	CHECK(!virtio_net_verify(&net));
	virtio_net_publish_and_kick(&net, 0);

	expect_frame(0, 100, 1, false, &plain);
	expect_frame(1, 100, 1, false, &offloaded);
	expect_frame(2, 100, 2, false, &offloaded);
	expect_frame(3, 200, 2, false, &offloaded);
	expect_frame(4, 300, 3, false, &plain);
	expect_frame(5, 300, 4, true, &plain);
	expect_frame(6, 60 * VIRTIO_NET_SEGMENTS_MAX, VIRTIO_NET_SEGMENTS_MAX + 1, true,
	             &offloaded);
	CHECK_EQ(virtio_net_tx_outstanding(&net, 0), 7);
	CHECK_EQ(reclaim(), 0); /* not visible yet */
	sim_complete(&sim, TX);
	CHECK_EQ(reclaim(), 7);
	CHECK_EQ(virtio_net_tx_outstanding(&net, 0), 0);
	CHECK_EQ(statistics().tx_packets, 7);
	CHECK_EQ(statistics().tx_indirect, 2);
	CHECK_EQ(statistics().tx_bytes, 100 * 3 + 200 + 300 * 2 + 60 * VIRTIO_NET_SEGMENTS_MAX);
	stop(0);
}

/* Completions in another order than transmissions. */
static void test_reclaim_out_of_order(void)
{
	struct sim_chain chains[8];
	uint8_t frame[4096];
	start_default();
	for (unsigned i = 0; i < 8; i++)
		CHECK_EQ(transmit(i, 1 + i % 3, 50, i & 1, NULL), 0);
	virtio_net_publish_and_kick(&net, 0);
	for (unsigned i = 0; i < 8; i++)
		take_frame(&chains[i], frame);
	for (unsigned i = 8; i-- > 0;) {
		sim_push(&sim, TX, chains[i].id, 0);
		sim_complete(&sim, TX);
		CHECK_EQ(reclaim(), 1);
		CHECK_EQ(held[i], 0);
		CHECK(!virtio_net_verify(&net));
	}
	stop(0);
}

/* As many frames as tx_space promised fit, for every shape; then the ring is full, and free again
 * after completions. */
static void test_space(bool indirect, bool headroom)
{
	start_default();
	CHECK(virtio_net_fini(&net, drop, drop, NULL));
	config.indirect = indirect;
	config.header_in_headroom = headroom;
	start();
	for (uint32_t segments = 1; segments <= 6; segments++) {
		for (unsigned round = 0; round < 3; round++) {
			uint32_t promised = virtio_net_tx_space(&net, 0, segments), sent = 0;
			CHECK(promised > 0);
			while (sent < BUFFERS && transmit(sent, segments, 40, true, NULL) == 0)
				sent++;
			CHECK(sent >= promised);
			CHECK_EQ(virtio_net_tx_space(&net, 0, segments), 0);
			CHECK(!virtio_net_verify(&net));
			virtio_net_publish_and_kick(&net, 0);
			struct sim_chain chain;
			while (sim_pop(&sim, TX, &chain))
				sim_push(&sim, TX, chain.id, 0);
			sim_complete(&sim, TX);
			CHECK_EQ(reclaim(), sent);
		}
	}
	CHECK(statistics().tx_full > 0);
	stop(0);
}

/* What tx_space promises for longer frames holds for shorter ones too, which take more descriptors
 * than those that have a table. */
static void test_space_of_a_mix(void)
{
	start_default();
	for (uint32_t segments = 1; segments <= 6; segments++) {
		uint32_t promised = virtio_net_tx_space(&net, 0, 6);
		CHECK(promised > 0);
		for (uint32_t sent = 0; sent < promised; sent++)
			CHECK_EQ(transmit(sent, segments, 40, true, NULL), 0);
		virtio_net_publish_and_kick(&net, 0);
		struct sim_chain chain;
		while (sim_pop(&sim, TX, &chain))
			sim_push(&sim, TX, chain.id, 0);
		sim_complete(&sim, TX);
		CHECK_EQ(reclaim(), promised);
	}
	stop(0);
}

/* ---- kicks ---- */

static void test_kicks(void)
{
	start_default();
	sim_sleep(&sim, TX);
	for (unsigned i = 0; i < 5; i++)
		CHECK_EQ(transmit(i, 1, 60, true, NULL), 0);
	CHECK_EQ(sim.queues[TX].kicks, 0); /* nothing before publishing */
	CHECK_EQ(sim.queues[TX].available->index, 0);
	CHECK_EQ(virtio_net_publish_and_kick(&net, 0), 1);
	CHECK_EQ(sim.queues[TX].kicks, 1);
	CHECK_EQ(virtio_net_publish_and_kick(&net, 0), 0); /* nothing new */

	/* The device is at work (it has not asked for a kick again): saved. */
	CHECK_EQ(transmit(5, 1, 60, true, NULL), 0);
	CHECK_EQ(virtio_net_publish_and_kick(&net, 0), 0);
	CHECK_EQ(statistics().tx_kicks, 1);
	CHECK_EQ(statistics().tx_kicks_saved, 1);

	/* It asks, and sees that there is something; empties the ring; asks again. */
	CHECK(sim_sleep(&sim, TX));
	struct sim_chain chain;
	while (sim_pop(&sim, TX, &chain))
		sim_push(&sim, TX, chain.id, 0);
	CHECK(!sim_sleep(&sim, TX));
	CHECK_EQ(transmit(6, 1, 60, true, NULL), 0);
	CHECK_EQ(virtio_net_publish_and_kick(&net, 0), 1);
	sim_complete(&sim, TX);
	CHECK_EQ(reclaim(), 6);
	stop(1);

	/* One kick for the receive ring too. */
	start_default();
	sim_sleep(&sim, RX);
	post_many(8);
	CHECK_EQ(sim.queues[RX].kicks, 1);
	stop(8);
}

/* The event index lies anywhere in what was published, over the 16-bit wrap: still one kick, no
 * matter how many chains. */
static void test_kick_range(void)
{
	struct sim_chain chain;
	unsigned batch = 1;
	start_default();
	sim_sleep(&sim, TX);
	for (unsigned sent = 0; sent < 140000; sent += batch) {
		batch = 1 + sent * 7 % 20;
		for (unsigned i = 0; i < batch; i++)
			CHECK_EQ(transmit(i, 1, 60, true, NULL), 0);
		CHECK_EQ(virtio_net_publish_and_kick(&net, 0), 1);
		while (sim_pop(&sim, TX, &chain))
			sim_push(&sim, TX, chain.id, 0);
		CHECK(!sim_sleep(&sim, TX));
		sim_complete(&sim, TX);
		CHECK_EQ(reclaim(), batch);
	}
	/* The suppressed interrupt: at most once per 65536 entries. */
	CHECK(sim.interrupts <= 3);
	stop(0);
}

static void test_kick_by_flags(void)
{
	start_default();
	CHECK(virtio_net_fini(&net, drop, drop, NULL));
	config.event_idx = false;
	start();
	CHECK_EQ(transmit(0, 1, 60, true, NULL), 0);
	sim.queues[TX].used->flags = VIRTIO_USED_NO_NOTIFY;
	CHECK_EQ(virtio_net_publish_and_kick(&net, 0), 0);
	sim.queues[TX].used->flags = 0;
	CHECK_EQ(transmit(1, 1, 60, true, NULL), 0);
	CHECK_EQ(virtio_net_publish_and_kick(&net, 0), 1);
	stop(2);
}

static void test_no_coalescing(void)
{
	start_default();
	CHECK(virtio_net_fini(&net, drop, drop, NULL));
	config.coalesce_kicks = false;
	start();
	for (unsigned i = 0; i < 3; i++) {
		sim_sleep(&sim, TX);
		CHECK_EQ(transmit(i, 1, 60, true, NULL), 0);
		CHECK_EQ(sim.queues[TX].kicks, i + 1);
		struct sim_chain chain;
		CHECK(sim_pop(&sim, TX, &chain));
	}
	CHECK_EQ(virtio_net_publish_and_kick(&net, 0), 0);
	stop(3);
}

/* ---- interrupts ---- */

static void test_receive_interrupts(bool event_idx)
{
	struct virtio_net_rx packets[8];
	start_default();
	CHECK(virtio_net_fini(&net, drop, drop, NULL));
	config.event_idx = event_idx;
	start();
	post_many(RING);

	deliver(60, 0); /* not armed */
	CHECK_EQ(sim.interrupts, 0);
	CHECK(!virtio_net_rx_arm(&net, 0)); /* look again: there is one */
	deliver(60, 1);
	CHECK_EQ(sim.interrupts, 0);
	CHECK_EQ(virtio_net_receive(&net, 0, packets, 8), 2);
	give_back(packets[0].pieces[0].cookie);
	give_back(packets[1].pieces[0].cookie);
	CHECK(virtio_net_rx_arm(&net, 0));
	deliver(60, 2);
	CHECK_EQ(sim.interrupts, 1);
	CHECK_EQ(virtio_net_interrupt(&net), VIRTIO_INTERRUPT_QUEUE);
	CHECK_EQ(sim.interrupt, 0);
	for (unsigned i = 3; i < 10; i++) /* having had one, no more are wanted */
		deliver(60, i);
	CHECK_EQ(sim.interrupts, 1);
	CHECK(!virtio_net_rx_arm(&net, 0));
	CHECK_EQ(virtio_net_receive(&net, 0, packets, 8), 8);
	for (unsigned i = 0; i < 8; i++)
		give_back(packets[i].pieces[0].cookie);
	CHECK(virtio_net_rx_arm(&net, 0));

	/* Disarmed before anything came. */
	virtio_net_rx_disarm(&net, 0);
	deliver(60, 11);
	CHECK_EQ(sim.interrupts, 1);
	stop(RING - 11 + 1);
}

/* Transmission alone, nothing received: completions interrupt only when asked for, at three
 * quarters. */
static void test_transmit_interrupts(void)
{
	struct sim_chain chain;
	start_default();
	CHECK(!virtio_net_tx_arm(&net, 0)); /* nothing is outstanding */
	for (unsigned i = 0; i < 8; i++)
		CHECK_EQ(transmit(i, 1, 60, true, NULL), 0);
	virtio_net_publish_and_kick(&net, 0);
	CHECK(virtio_net_rx_arm(&net, 0)); /* far from full: receive only */
	for (unsigned i = 0; i < 4; i++) {
		CHECK(sim_pop(&sim, TX, &chain));
		sim_push(&sim, TX, chain.id, 0);
		sim_complete(&sim, TX);
	}
	CHECK_EQ(sim.interrupts, 0);
	CHECK(virtio_net_tx_arm(&net, 0));
	for (unsigned i = 4; i < 7; i++) {
		CHECK_EQ(sim.interrupts, 0);
		CHECK(sim_pop(&sim, TX, &chain));
		sim_push(&sim, TX, chain.id, 0);
		sim_complete(&sim, TX);
	}
	CHECK_EQ(sim.interrupts, 1);
	CHECK(!virtio_net_tx_arm(&net, 0)); /* enough is done */
	virtio_net_interrupt(&net);
	CHECK_EQ(reclaim(), 7);
	CHECK(virtio_net_tx_arm(&net, 0)); /* the last one */
	CHECK(sim_pop(&sim, TX, &chain));
	sim_push(&sim, TX, chain.id, 0);
	sim_complete(&sim, TX);
	CHECK_EQ(sim.interrupts, 2);
	CHECK_EQ(reclaim(), 1);

	/* A full ring arms by itself when the owner goes to sleep. */
	virtio_net_interrupt(&net);
	unsigned sent = 0;
	while (transmit(sent, 1, 60, true, NULL) == 0)
		sent++;
	CHECK_EQ(sent, RING);
	virtio_net_publish_and_kick(&net, 0);
	CHECK(virtio_net_rx_arm(&net, 0));
	while (sim_pop(&sim, TX, &chain)) {
		sim_push(&sim, TX, chain.id, 0);
		sim_complete(&sim, TX);
	}
	CHECK_EQ(sim.interrupts, 3);
	CHECK(!virtio_net_rx_arm(&net, 0));
	CHECK_EQ(reclaim(), RING);
	stop(0);
}

static void test_transmit_interrupts_on(void)
{
	struct sim_chain chain;
	start_default();
	CHECK(virtio_net_fini(&net, drop, drop, NULL));
	config.tx_interrupts_off = false;
	start();
	for (unsigned i = 0; i < 10; i++) {
		CHECK_EQ(transmit(i, 1, 60, true, NULL), 0);
		virtio_net_publish_and_kick(&net, 0);
		CHECK(sim_pop(&sim, TX, &chain));
		sim_push(&sim, TX, chain.id, 0);
		sim_complete(&sim, TX);
		CHECK_EQ(sim.interrupts, i + 1);
		virtio_net_interrupt(&net);
		CHECK_EQ(reclaim(), 1);
	}
	stop(0);
}

/* ---- a device that misbehaves ---- */

static void test_bad_index(void)
{
	struct virtio_net_rx packets[8];
	start_default();
	post_many(8);
	sim.queues[RX].used->index = 9; /* one more than was lent */
	CHECK_EQ(virtio_net_receive(&net, 0, packets, 8), 0);
	sim.queues[RX].used->index = 0xffff; /* backwards */
	CHECK_EQ(virtio_net_receive(&net, 0, packets, 8), 0);
	CHECK_EQ(statistics().bad_used_index, 2);
	CHECK(virtio_net_rx_arm(&net, 0));
	sim.queues[RX].used->index = 0; /* it comes to its senses */
	deliver(77, 1);
	CHECK_EQ(virtio_net_receive(&net, 0, packets, 8), 1);
	expect_packet(&packets[0], 77, 1);
	sim.queues[TX].used->index = 1;
	CHECK_EQ(reclaim(), 0);
	CHECK_EQ(statistics().bad_used_index, 4);
	stop(7);
}

static void test_bad_id(void)
{
	struct virtio_net_rx packets[8];
	struct sim_chain chain;
	start_default();
	post_many(4);
	sim_push(&sim, RX, RING, 100); /* no such descriptor */
	sim_push(&sim, RX, UINT32_MAX, 100);
	sim_push(&sim, RX, RING - 1, 100); /* exists, but was not lent */
	sim_complete(&sim, RX);
	CHECK_EQ(virtio_net_receive(&net, 0, packets, 8), 0);
	CHECK_EQ(statistics().bad_used_id, 3);
	CHECK(!virtio_net_verify(&net));

	/* The second descriptor of a chain, and the same chain twice. */
	CHECK_EQ(transmit(10, 2, 60, true, NULL), 0);
	CHECK_EQ(transmit(11, 1, 60, true, NULL), 0);
	virtio_net_publish_and_kick(&net, 0);
	CHECK(sim_pop(&sim, TX, &chain));
	sim_push(&sim, TX, sim.queues[TX].descriptors[chain.id].next, 0);
	sim_push(&sim, TX, chain.id, 0);
	sim_complete(&sim, TX);
	CHECK_EQ(reclaim(), 1);
	CHECK_EQ(held[10], 0);
	CHECK_EQ(statistics().bad_used_id, 4);
	sim_push(&sim, TX, chain.id, 0);
	sim_complete(&sim, TX);
	CHECK_EQ(reclaim(), 0); /* claims more than is outstanding */
	CHECK_EQ(statistics().bad_used_index, 1);
	stop(4 + 1);
}

static void test_bad_length(void)
{
	struct virtio_net_rx packets[8];
	struct sim_chain chain;
	start_default();
	post_many(8);
	const uint32_t lengths[] = { 0, VIRTIO_NET_HEADER_BYTES - 1, BUFFER_BYTES + 1, UINT32_MAX };
	for (unsigned i = 0; i < 4; i++) {
		CHECK(sim_pop(&sim, RX, &chain));
		((struct virtio_net_header *)chain.pieces[0].data)->num_buffers = 1;
		sim_push(&sim, RX, chain.id, lengths[i]);
	}
	sim_complete(&sim, RX);
	deliver(88, 1);
	CHECK_EQ(virtio_net_receive(&net, 0, packets, 8), 1);
	expect_packet(&packets[0], 88, 1);
	CHECK_EQ(statistics().bad_length, 4);
	/* The buffers were lent again: all of them can still be filled. */
	virtio_net_publish_and_kick(&net, 0);
	for (unsigned i = 0; i < 7; i++)
		deliver(60, i);
	CHECK_EQ(virtio_net_receive(&net, 0, packets, 8), 7);
	for (unsigned i = 0; i < 7; i++)
		expect_packet(&packets[i], 60, i);
	stop(0);
}

static void push_with_count(uint16_t num_buffers, uint32_t bytes)
{
	struct sim_chain chain;
	CHECK(sim_pop(&sim, RX, &chain));
	*(struct virtio_net_header *)chain.pieces[0].data =
	        (struct virtio_net_header){ .num_buffers = num_buffers };
	sim_push(&sim, RX, chain.id, bytes);
}

static void test_bad_num_buffers(void)
{
	struct virtio_net_rx packets[8];
	start_default();
	post_many(RING);
	push_with_count(0, 100);
	push_with_count(VIRTIO_NET_PIECES_MAX + 1, 100);
	push_with_count(UINT16_MAX, 100);
	sim_complete(&sim, RX);
	CHECK_EQ(virtio_net_receive(&net, 0, packets, 8), 0);
	CHECK_EQ(statistics().bad_num_buffers, 3);
	/* Three are promised, two are there. */
	push_with_count(3, 100);
	push_with_count(1, 100);
	sim_complete(&sim, RX);
	CHECK_EQ(virtio_net_receive(&net, 0, packets, 8), 0);
	CHECK_EQ(statistics().bad_num_buffers, 4);
	/* A bad length, or a bad id, inside a merged packet. */
	push_with_count(2, 100);
	push_with_count(7, BUFFER_BYTES + 1);
	push_with_count(2, 100);
	sim_push(&sim, RX, 1000, 10);
	sim_complete(&sim, RX);
	CHECK_EQ(virtio_net_receive(&net, 0, packets, 8), 0);
	CHECK_EQ(statistics().bad_length, 1);
	CHECK_EQ(statistics().bad_used_id, 1);
	CHECK(!virtio_net_verify(&net));
	/* The same buffer twice in one packet: as its first and second, then as its second and
	 * third. */
	for (unsigned twin = 0; twin < 2; twin++) {
		uint16_t first =
		        sim.queues[RX].available->ring[sim.queues[RX].avail_seen & (RING - 1)];
		push_with_count((uint16_t)(2 + twin), 100);
		if (twin) {
			first = sim.queues[RX]
			                .available->ring[sim.queues[RX].avail_seen & (RING - 1)];
			push_with_count(1, 100);
		}
		sim_push(&sim, RX, first, 100);
		sim_complete(&sim, RX);
		CHECK_EQ(virtio_net_receive(&net, 0, packets, 8), 0);
		CHECK_EQ(statistics().bad_used_id, 2 + twin);
		CHECK(!virtio_net_verify(&net));
	}
	/* Everything goes on. */
	virtio_net_publish_and_kick(&net, 0);
	deliver(3000, 5);
	CHECK_EQ(virtio_net_receive(&net, 0, packets, 8), 1);
	expect_packet(&packets[0], 3000, 5);
	stop(RING - 2);
}

/* Whatever the device held comes back, it works as at first, and what it left in the old rings is
 * not seen in the new ones. */
static void test_restart(void)
{
	struct virtio_net_rx packets[4];
	static const struct virtio_net_header plain;
	start_default();
	for (unsigned round = 0; round < 3; round++) {
		unsigned dropped = 0;
		post_many(8);
		deliver(100, round);
		CHECK_EQ(virtio_net_receive(&net, 0, packets, 4), 1);
		expect_packet(&packets[0], 100, round);
		deliver(200, round); /* lost */
		for (unsigned i = 40; i < 45; i++)
			CHECK_EQ(transmit(i, 2, 100, false, NULL), 0);
		virtio_net_publish_and_kick(&net, 0);
		expect_frame(40, 200, 3, false, &plain); /* done, not reclaimed */
		sim_complete(&sim, TX);

		sim.status |= VIRTIO_STATUS_NEEDS_RESET;
		sim.interrupt = VIRTIO_INTERRUPT_CONFIG;
		virtio_net_interrupt(&net);
		CHECK(net.needs_reset && !net.link_up);
		CHECK_EQ(virtio_net_restart(&net, drop, drop, &dropped), 0);
		CHECK_EQ(dropped, 7 + 5);
		for (unsigned i = 0; i < BUFFERS; i++)
			CHECK_EQ(held[i], 0);
		CHECK(!net.needs_reset && net.link_up);
		CHECK(sim.status & VIRTIO_STATUS_DRIVER_OK);
		CHECK_EQ(statistics().restarts, round + 1);
		CHECK_EQ(statistics().config_changes, round + 1);
		CHECK_EQ(virtio_net_receive(&net, 0, packets, 4), 0);
		CHECK_EQ(reclaim(), 0);
		CHECK(!virtio_net_verify(&net));
	}
	post_many(4);
	deliver(300, 9);
	CHECK_EQ(virtio_net_receive(&net, 0, packets, 4), 1);
	expect_packet(&packets[0], 300, 9);
	CHECK_EQ(transmit(50, 1, 100, true, NULL), 0);
	virtio_net_publish_and_kick(&net, 0);
	expect_frame(50, 100, 1, false, &plain);
	sim_complete(&sim, TX);
	CHECK_EQ(reclaim(), 1);
	stop(3);
}

static void test_restart_fails(void)
{
	/* It stays as it is: what it may still write to is not freed. */
	unsigned dropped = 0;
	start_default();
	post_many(4);
	sim.never_resets = true;
	CHECK_EQ(virtio_net_restart(&net, drop, drop, &dropped), -EBUSY);
	CHECK_EQ(dropped, 0);
	CHECK(!virtio_net_verify(&net));
	sim.never_resets = false;
	/* It has become something else: at rest, and nothing is held. */
	sim.offered = 0;
	CHECK_EQ(virtio_net_restart(&net, drop, drop, &dropped), -ENOTSUP);
	CHECK_EQ(dropped, 4);
	CHECK_EQ(net.pair_count, 0);
	CHECK_EQ(sim.allocations, 0);
	CHECK(sim.status & VIRTIO_STATUS_FAILED);
	/* Fewer features are no reason to give it up. */
	start_default();
	post_many(4);
	sim.offered = VIRTIO_F_VERSION_1;
	CHECK_EQ(virtio_net_restart(&net, drop, drop, &dropped), 0);
	CHECK_EQ(net.features, VIRTIO_F_VERSION_1);
	stop(0);
	/* No memory. */
	for (int allocations = 0; allocations < 3; allocations++) {
		start_default();
		sim.allocations_left = allocations;
		CHECK_EQ(virtio_net_restart(&net, drop, drop, &dropped), -ENOMEM);
		CHECK_EQ(sim.allocations, 0);
	}
}

int main(void)
{
	test_restart();
	test_restart_fails();
	test_receive();
	test_receive_header();
	test_merged_buffers();
	test_unmerged();
	test_transmit_shapes();
	test_reclaim_out_of_order();
	test_space(true, true);
	test_space(true, false);
	test_space(false, true);
	test_space(false, false);
	test_space_of_a_mix();
	test_kicks();
	test_kick_range();
	test_kick_by_flags();
	test_no_coalescing();
	test_receive_interrupts(true);
	test_receive_interrupts(false);
	test_transmit_interrupts();
	test_transmit_interrupts_on();
	test_bad_index();
	test_bad_id();
	test_bad_length();
	test_bad_num_buffers();
	return 0;
}
