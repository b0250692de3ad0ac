/* The net driver's data path against the simulated device, receive and transmit: one property per
 * test. */
#include <errno.h>
#include <string.h>

#include "virtio/net_fixture.h"

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

int main(void)
{
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
	return 0;
}
