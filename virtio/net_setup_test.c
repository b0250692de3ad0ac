/* Set-up and tear-down of the net driver, negotiation, configuration, the control queue, and
 * virtio-rng, against the simulated device. */
#include <errno.h>
#include <string.h>

#include "evloop/check.h"
#include "virtio/net_internal.h"
#include "virtio/rng.h"
#include "virtio/sim_device.h"

#define OFFER_ALL                                                                                  \
	(VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC | VIRTIO_NET_F_CSUM |    \
	 VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_MTU | VIRTIO_NET_F_MAC | VIRTIO_NET_F_GUEST_TSO4 | \
	 VIRTIO_NET_F_GUEST_TSO6 | VIRTIO_NET_F_GUEST_ECN | VIRTIO_NET_F_HOST_TSO4 |               \
	 VIRTIO_NET_F_HOST_TSO6 | VIRTIO_NET_F_HOST_ECN | VIRTIO_NET_F_MRG_RXBUF |                 \
	 VIRTIO_NET_F_STATUS | VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_MQ)

static const uint8_t test_config[SIM_CONFIG_BYTES] = { 2, 0, 0, 0, 0, 9, 1, 0, 4, 0, 0x28, 0x23 };

static struct sim sim;
static struct virtio_net net;

static void no_cookie(void *context, void *cookie)
{
	(void)context;
	(void)cookie;
	CHECK(!"a cookie came from nowhere");
}

static int start(uint64_t features, const struct virtio_net_config *config)
{
	sim_init(&sim, VIRTIO_DEVICE_NET, features, 9, 256);
	memcpy(sim.config, test_config, sizeof(test_config));
	return virtio_net_init(&net, &sim.transport, config);
}

static void stop(void)
{
	CHECK(virtio_net_fini(&net, no_cookie, no_cookie, NULL));
	CHECK_EQ(sim.allocations, 0);
}

static void test_everything_offered(void)
{
	struct virtio_net_config config = VIRTIO_NET_CONFIG_DEFAULT;
	CHECK_EQ(start(OFFER_ALL | 1ull << 24 | 1ull << 35, &config), 0);
	/* All but what one queue pair does not need, and nothing unknown. */
	CHECK_EQ(net.features, OFFER_ALL & ~(VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_MQ));
	CHECK_EQ(sim.accepted, net.features);
	CHECK_EQ(sim.status, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER |
	                             VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK);
	CHECK(net.has_mac && memcmp(net.mac, test_config, 6) == 0);
	CHECK(net.link_up);
	CHECK_EQ(net.mtu, 9000);
	CHECK_EQ(net.pair_count, 1);
	CHECK_EQ(sim.queues[0].size, 256);
	CHECK_EQ(sim.queues[1].size, 256);
	CHECK_EQ(sim.queues[2].size, 0);
	CHECK(!virtio_net_verify(&net));
	stop();
}

static void test_little_offered(void)
{
	struct virtio_net_config config = VIRTIO_NET_CONFIG_DEFAULT;
	CHECK_EQ(start(VIRTIO_F_VERSION_1, &config), 0);
	CHECK_EQ(net.features, VIRTIO_F_VERSION_1);
	CHECK(!net.has_mac);
	CHECK(net.link_up);
	CHECK_EQ(net.mtu, 1500);
	stop();
	CHECK_EQ(start(VIRTIO_F_VERSION_1 | VIRTIO_F_ACCESS_PLATFORM, &config), 0);
	CHECK_EQ(net.features, VIRTIO_F_VERSION_1 | VIRTIO_F_ACCESS_PLATFORM);
	stop();
}

/* A feature whose requirement is not there is not accepted. */
static void test_dependencies(void)
{
	const uint64_t host_tso =
	        VIRTIO_NET_F_HOST_TSO4 | VIRTIO_NET_F_HOST_TSO6 | VIRTIO_NET_F_HOST_ECN;
	const uint64_t guest_tso =
	        VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6 | VIRTIO_NET_F_GUEST_ECN;
	struct virtio_net_config config = VIRTIO_NET_CONFIG_DEFAULT;

	CHECK_EQ(start(OFFER_ALL & ~VIRTIO_NET_F_CSUM, &config), 0);
	CHECK_EQ(net.features & host_tso, 0);
	CHECK(net.features & VIRTIO_NET_F_GUEST_TSO4);
	stop();
	CHECK_EQ(start(OFFER_ALL & ~VIRTIO_NET_F_GUEST_CSUM, &config), 0);
	CHECK_EQ(net.features & guest_tso, 0);
	stop();
	/* Without MRG_RXBUF a 4 KiB buffer cannot take a TSO unit; a 64 KiB one can. */
	CHECK_EQ(start(OFFER_ALL & ~VIRTIO_NET_F_MRG_RXBUF, &config), 0);
	CHECK_EQ(net.features & guest_tso, 0);
	stop();
	config.rx_buffer_bytes = VIRTIO_NET_RX_BUFFER_TSO;
	CHECK_EQ(start(OFFER_ALL & ~VIRTIO_NET_F_MRG_RXBUF, &config), 0);
	CHECK_EQ(net.features & guest_tso, guest_tso);
	stop();
}

static void test_switches(void)
{
	struct virtio_net_config config = VIRTIO_NET_CONFIG_DEFAULT;
	config.event_idx = config.indirect = config.mergeable_buffers = false;
	config.tx_checksum = config.rx_checksum = false;
	CHECK_EQ(start(OFFER_ALL, &config), 0);
	CHECK_EQ(net.features,
	         VIRTIO_F_VERSION_1 | VIRTIO_NET_F_MAC | VIRTIO_NET_F_MTU | VIRTIO_NET_F_STATUS);
	stop();
	config = VIRTIO_NET_CONFIG_DEFAULT;
	config.tx_segmentation = config.rx_segmentation = false;
	config.ring_size = 100; /* the power of two below */
	CHECK_EQ(start(OFFER_ALL, &config), 0);
	CHECK(net.features & VIRTIO_NET_F_CSUM);
	CHECK_EQ(net.features & (VIRTIO_NET_F_HOST_TSO4 | VIRTIO_NET_F_HOST_ECN |
	                         VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_ECN),
	         0);
	CHECK_EQ(sim.queues[0].size, 64);
	stop();
}

static void test_failures(void)
{
	struct virtio_net_config config = VIRTIO_NET_CONFIG_DEFAULT;
	CHECK_EQ(start(OFFER_ALL & ~VIRTIO_F_VERSION_1, &config), -ENOTSUP);
	CHECK(sim.status & VIRTIO_STATUS_FAILED);

	config.rx_buffer_bytes = 100;
	CHECK_EQ(start(OFFER_ALL, &config), -EINVAL);
	config = VIRTIO_NET_CONFIG_DEFAULT;

	sim_init(&sim, VIRTIO_DEVICE_NET, OFFER_ALL, 9, 256);
	sim.refuses_features = true;
	CHECK_EQ(virtio_net_init(&net, &sim.transport, &config), -ENOTSUP);
	CHECK(sim.status & VIRTIO_STATUS_FAILED);

	sim_init(&sim, VIRTIO_DEVICE_NET, OFFER_ALL, 9, 256);
	sim.status = 1;
	sim.never_resets = true;
	CHECK_EQ(virtio_net_init(&net, &sim.transport, &config), -ENODEV);

	sim_init(&sim, VIRTIO_DEVICE_NET, OFFER_ALL, 1, 256); /* no transmit queue */
	CHECK_EQ(virtio_net_init(&net, &sim.transport, &config), -ENODEV);
	CHECK_EQ(sim.allocations, 0);

	/* Memory runs out at every possible place. */
	int error = -ENOMEM;
	for (int allocations = 0; error; allocations++) {
		sim_init(&sim, VIRTIO_DEVICE_NET, OFFER_ALL, 9, 256);
		sim.allocations_left = allocations;
		error = virtio_net_init(&net, &sim.transport, &config);
		if (error) {
			CHECK_EQ(error, -ENOMEM);
			CHECK_EQ(sim.allocations, 0);
			CHECK(allocations < 10);
		}
	}
	stop();

	/* A device that does not come to rest keeps its memory. */
	CHECK_EQ(start(OFFER_ALL, &config), 0);
	sim.never_resets = true;
	CHECK(!virtio_net_fini(&net, no_cookie, no_cookie, NULL));
	sim.never_resets = false;
	stop();
}

static void test_config_changes(void)
{
	struct virtio_net_config config = VIRTIO_NET_CONFIG_DEFAULT;
	static const uint8_t changed[6] = { 0x77, 0x77, 0x77, 0x77, 0x77, 0x77 };

	CHECK_EQ(start(OFFER_ALL, &config), 0);
	sim.config[6] = 0; /* link down */
	sim.config[10] = 0xdc;
	sim.config[11] = 0x05;
	sim.generation++;
	sim.interrupt = VIRTIO_INTERRUPT_CONFIG;
	CHECK_EQ(virtio_net_interrupt(&net), VIRTIO_INTERRUPT_CONFIG);
	CHECK(!net.link_up);
	CHECK_EQ(net.mtu, 1500);
	CHECK_EQ(virtio_net_interrupt(&net), 0); /* spurious */
	struct virtio_net_statistics statistics;
	virtio_net_read_statistics(&net, &statistics);
	CHECK_EQ(statistics.interrupts, 2);
	CHECK_EQ(statistics.interrupts_spurious, 1);
	CHECK_EQ(statistics.config_changes, 1);

	/* Changed in the middle of reading: read again, never half of each. */
	uint8_t mac[6];
	sim.changes_config_while_read = true;
	const struct virtio_config_field fields[] = { { 0, sizeof(mac), mac } };
	virtio_config_read(&sim.transport, fields, 1);
	CHECK(memcmp(mac, changed, 6) == 0);
	/* Nonsense for an MTU is not used. */
	sim.config[10] = 10;
	sim.config[11] = 0;
	sim.interrupt = VIRTIO_INTERRUPT_CONFIG;
	virtio_net_interrupt(&net);
	CHECK_EQ(net.mtu, 1500);
	CHECK(!virtio_needs_reset(&sim.transport));
	sim.status |= VIRTIO_STATUS_NEEDS_RESET;
	CHECK(virtio_needs_reset(&sim.transport));
	stop();
}

/* ---- messages ---- */

static int start_with_messages(unsigned refused)
{
	static const struct irq_message messages[3] = { { 0x28000000, 2 },
		                                        { 0x28000000, 3 },
		                                        { 0x28000000, 4 } };
	struct virtio_net_config config = VIRTIO_NET_CONFIG_DEFAULT;
	sim_init(&sim, VIRTIO_DEVICE_NET, OFFER_ALL, 9, 256);
	memcpy(sim.config, test_config, sizeof(test_config));
	sim.transport.vectors = 3;
	sim.refuses_message = refused;
	sim.transport.ops->use_messages(&sim.transport, messages, 3);
	return virtio_net_init(&net, &sim.transport, &config);
}

static void test_messages(void)
{
	CHECK_EQ(start_with_messages(0), 0);
	CHECK(sim.config_message_set);
	CHECK_EQ(VIRTIO_NET_MESSAGE_RX(0), 1 + 0); /* queues 0 and 1 */
	CHECK_EQ(VIRTIO_NET_MESSAGE_TX(0), 1 + 1);
	/* Each says what it is for: the reasons' register is not asked. */
	sim.interrupt = VIRTIO_INTERRUPT_QUEUE | VIRTIO_INTERRUPT_CONFIG;
	CHECK(virtio_net_rx_arm(&net, 0));
	virtio_net_tx_message(&net, 0);
	CHECK(net.pairs[0].rx.armed);
	virtio_net_rx_message(&net, 0);
	CHECK(!net.pairs[0].rx.armed);
	CHECK_EQ(sim.interrupt, VIRTIO_INTERRUPT_QUEUE | VIRTIO_INTERRUPT_CONFIG);
	CHECK(net.link_up);
	sim.config[6] = 0;
	virtio_net_config_message(&net);
	CHECK(!net.link_up);
	sim.config[6] = 1;
	virtio_net_config_message(&net);
	CHECK(net.link_up);
	/* A device that wants to be reset does nothing more. */
	sim.status |= VIRTIO_STATUS_NEEDS_RESET;
	virtio_net_config_message(&net);
	CHECK(!net.link_up);
	struct virtio_net_statistics statistics;
	virtio_net_read_statistics(&net, &statistics);
	CHECK_EQ(statistics.interrupts, 5);
	CHECK_EQ(statistics.interrupts_spurious, 0);
	CHECK_EQ(statistics.config_changes, 3);
	stop();

	/* One is refused: at rest, nothing is held, and over the wire it works. */
	for (unsigned refused = 1; refused <= 3; refused++) {
		CHECK_EQ(start_with_messages(refused), -EPROTO);
		CHECK_EQ(sim.allocations, 0);
		CHECK(!(sim.status & VIRTIO_STATUS_DRIVER_OK));
		struct virtio_net_config config = VIRTIO_NET_CONFIG_DEFAULT;
		sim.transport.ops->use_messages(&sim.transport, NULL, 0);
		CHECK_EQ(virtio_net_init(&net, &sim.transport, &config), 0);
		CHECK(!sim.config_message_set);
		stop();
	}
}

/* ---- several queue pairs ---- */

static uint8_t control_answer;
static bool control_stays_silent;
static uint16_t pairs_asked_for;

static void answer_control(struct sim *device, unsigned queue)
{
	struct sim_chain chain;
	if (queue != 8 || control_stays_silent)
		return;
	CHECK(sim_pop(device, queue, &chain));
	CHECK_EQ(chain.count, 3);
	CHECK_EQ(chain.pieces[0].bytes, 2);
	CHECK_EQ(chain.pieces[0].data[0], 4); /* class MQ */
	CHECK_EQ(chain.pieces[0].data[1], 0); /* VQ_PAIRS_SET */
	CHECK_EQ(chain.pieces[1].bytes, 2);
	memcpy(&pairs_asked_for, chain.pieces[1].data, 2);
	CHECK(chain.pieces[2].writable && chain.pieces[2].bytes == 1);
	*chain.pieces[2].data = control_answer;
	sim_push(device, queue, chain.id, 1);
	sim_complete(device, queue);
}

static int start_pairs(uint16_t pairs)
{
	struct virtio_net_config config = VIRTIO_NET_CONFIG_DEFAULT;
	config.queue_pairs = pairs;
	sim_init(&sim, VIRTIO_DEVICE_NET, OFFER_ALL, 9, 256);
	memcpy(sim.config, test_config, sizeof(test_config));
	sim.on_notify = answer_control;
	return virtio_net_init(&net, &sim.transport, &config);
}

static void test_queue_pairs(void)
{
	CHECK_EQ(start_pairs(3), 0);
	CHECK_EQ(net.pair_count, 3);
	CHECK_EQ(pairs_asked_for, 3);
	CHECK_EQ(sim.queues[5].size, 256);
	CHECK_EQ(sim.queues[6].size, 0);
	CHECK(!virtio_net_verify(&net));
	stop();
	CHECK_EQ(start_pairs(100), 0); /* the device has 4 */
	CHECK_EQ(net.pair_count, 4);
	stop();
	control_answer = 1;
	CHECK_EQ(start_pairs(2), -EIO);
	CHECK_EQ(sim.allocations, 0);
	control_answer = 0;
	control_stays_silent = true;
	CHECK_EQ(start_pairs(2), -ETIMEDOUT);
	CHECK_EQ(sim.allocations, 0);
	control_stays_silent = false;
}

/* ---- virtio-rng ---- */

static uint64_t fake_ns;

static uint64_t fake_clock(void)
{
	return fake_ns += 1000;
}

static uint32_t rng_gives, rng_id;
static bool rng_stays_silent;

static void answer_rng(struct sim *device, unsigned queue)
{
	struct sim_chain chain;
	if (rng_stays_silent)
		return;
	CHECK(sim_pop(device, queue, &chain));
	CHECK_EQ(chain.count, 1);
	CHECK(chain.pieces[0].writable);
	for (uint32_t i = 0; i < rng_gives && i < chain.pieces[0].bytes; i++)
		chain.pieces[0].data[i] = (uint8_t)(i + 1);
	sim_push(device, queue, chain.id + rng_id, rng_gives);
	sim_complete(device, queue);
}

static int read_rng(uint8_t *out, size_t bytes)
{
	sim_init(&sim, VIRTIO_DEVICE_RNG, VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX, 1, 8);
	sim.on_notify = answer_rng;
	int result = virtio_rng_read(&sim.transport, out, bytes, fake_clock, 1000000);
	CHECK_EQ(sim.allocations, 0);
	CHECK_EQ(sim.status & VIRTIO_STATUS_DRIVER_OK, 0); /* at rest again */
	return result;
}

static void test_rng(void)
{
	uint8_t out[32] = { 0 };
	rng_gives = 32;
	CHECK_EQ(read_rng(out, 32), 32);
	CHECK(out[0] == 1 && out[31] == 32);
	rng_gives = 5;
	CHECK_EQ(read_rng(out, 32), 5);
	rng_gives = 33;
	CHECK_EQ(read_rng(out, 32), -EIO);
	rng_gives = 32;
	rng_id = 1;
	CHECK_EQ(read_rng(out, 32), -EIO);
	rng_id = 0;
	rng_stays_silent = true;
	CHECK_EQ(read_rng(out, 32), -ETIMEDOUT);
	CHECK_EQ(virtio_rng_read(&sim.transport, out, 0, fake_clock, 1), -EINVAL);
	CHECK_EQ(virtio_rng_read(&sim.transport, out, 5000, fake_clock, 1), -EINVAL);
}

int main(void)
{
	test_everything_offered();
	test_little_offered();
	test_dependencies();
	test_switches();
	test_failures();
	test_config_changes();
	test_messages();
	test_queue_pairs();
	test_rng();
	return 0;
}
