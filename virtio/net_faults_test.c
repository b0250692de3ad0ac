/* A net device that misbehaves, and one that asks to be reset. */
#include <errno.h>
#include <string.h>

#include "virtio/net_fixture.h"

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
	test_bad_index();
	test_bad_id();
	test_bad_length();
	test_bad_num_buffers();
	return 0;
}
