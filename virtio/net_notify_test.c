/* When the net driver kicks the simulated device, and when that interrupts. */
#include <errno.h>
#include <string.h>

#include "virtio/net_fixture.h"

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

int main(void)
{
	test_kicks();
	test_kick_range();
	test_kick_by_flags();
	test_no_coalescing();
	test_receive_interrupts(true);
	test_receive_interrupts(false);
	test_transmit_interrupts();
	test_transmit_interrupts_on();
	return 0;
}
