/* The simulated device; see sim_device.h. */
#include "virtio/sim_device.h"

#include <errno.h>
#include <string.h>

#include "evloop/check.h"
#include "virtio/net.h"
#include "virtio/net_internal.h"

static struct sim *sim_of(struct virtio_transport *transport)
{
	return (struct sim *)transport;
}

static void *from_dma(uint64_t address)
{
	return (void *)(uintptr_t)(address + SIM_DMA_OFFSET);
}

/* ---- memory ---- */

static void *sim_alloc(void *context, size_t bytes)
{
	struct sim *sim = context;
	if (sim->allocations_left == 0)
		return NULL;
	if (sim->allocations_left > 0)
		sim->allocations_left--;
	size_t rounded = (bytes + 4095) & ~(size_t)4095;
	void *memory = aligned_alloc(4096, rounded);
	CHECK(memory);
	memset(memory, 0xa5, rounded);
	sim->allocations++;
	return memory;
}

static void sim_free(void *context, void *memory, size_t bytes)
{
	struct sim *sim = context;
	CHECK(bytes > 0);
	sim->allocations--;
	free(memory);
}

/* ---- registers ---- */

static uint64_t read_features(struct virtio_transport *transport)
{
	return sim_of(transport)->offered;
}

static void write_features(struct virtio_transport *transport, uint64_t features)
{
	struct sim *sim = sim_of(transport);
	CHECK(!(features & ~sim->offered));
	CHECK(sim->status == (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER));
	sim->accepted = features;
}

static uint8_t read_status(struct virtio_transport *transport)
{
	return sim_of(transport)->status;
}

static void write_status(struct virtio_transport *transport, uint8_t status)
{
	struct sim *sim = sim_of(transport);
	if (status == 0) {
		if (sim->never_resets)
			return;
		memset(sim->queues, 0, sizeof(sim->queues));
		sim->interrupt = 0;
		sim->config_message_set = false;
		sim->accepted = 0;
	} else {
		CHECK((status & sim->status) == sim->status); /* bits are only added */
	}
	if (sim->refuses_features)
		status &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK;
	sim->status = status;
}

static uint32_t read_interrupt(struct virtio_transport *transport)
{
	uint32_t reasons = sim_of(transport)->interrupt;
	sim_of(transport)->interrupt = 0;
	return reasons;
}

static uint32_t config_generation(struct virtio_transport *transport)
{
	return sim_of(transport)->generation;
}

static uint32_t config_field(struct virtio_transport *transport, uint32_t offset, uint32_t bytes)
{
	struct sim *sim = sim_of(transport);
	uint32_t value = 0;
	CHECK(offset % bytes == 0);
	if (offset + bytes > SIM_CONFIG_BYTES)
		return 0;
	memcpy(&value, sim->config + offset, bytes);
	if (sim->changes_config_while_read) {
		/* The first byte is read; then all of it changes, once. */
		sim->changes_config_while_read = false;
		memset(sim->config, 0x77, 6);
		sim->generation++;
	}
	return value;
}

static uint16_t queue_max(struct virtio_transport *transport, uint16_t index)
{
	struct sim *sim = sim_of(transport);
	return index < sim->queue_count ? sim->queue_size : 0;
}

static bool refuses_message(const struct sim *sim, unsigned number)
{
	return number < sim->transport.messages && sim->refuses_message == number + 1;
}

static void use_messages(struct virtio_transport *transport, const struct irq_message *messages,
                         uint16_t count)
{
	(void)messages;
	CHECK(count <= transport->vectors);
	transport->messages = count;
}

static int config_setup(struct virtio_transport *transport)
{
	struct sim *sim = sim_of(transport);
	CHECK(transport->messages);
	CHECK(!(sim->status & VIRTIO_STATUS_DRIVER_OK));
	sim->config_message_set = true;
	return refuses_message(sim, 0) ? -EPROTO : 0;
}

static int queue_setup(struct virtio_transport *transport, uint16_t index,
                       const struct virtio_queue_place *place)
{
	struct sim *sim = sim_of(transport);
	struct sim_queue *queue = &sim->queues[index];
	CHECK(sim->status & VIRTIO_STATUS_FEATURES_OK);
	CHECK(!(sim->status & VIRTIO_STATUS_DRIVER_OK));
	CHECK(!queue->size);
	CHECK(place->size && !(place->size & (place->size - 1)) && place->size <= sim->queue_size);
	if (refuses_message(sim, index + 1u))
		return -EPROTO;
	CHECK(place->descriptors % 16 == 0 && place->available % 2 == 0 && place->used % 4 == 0);
	*queue = (struct sim_queue){ .descriptors = from_dma(place->descriptors),
		                     .available = from_dma(place->available),
		                     .used = from_dma(place->used),
		                     .size = place->size };
	return 0;
}

static void notify(struct virtio_transport *transport, uint16_t index)
{
	struct sim *sim = sim_of(transport);
	CHECK(sim->status & VIRTIO_STATUS_DRIVER_OK);
	CHECK(sim->queues[index].size);
	sim->queues[index].notified = true;
	sim->queues[index].kicks++;
	if (sim->on_notify)
		sim->on_notify(sim, index);
}

void sim_init(struct sim *sim, uint32_t device_type, uint64_t features, uint16_t queue_count,
              uint16_t queue_size)
{
	static const struct virtio_transport_ops ops = {
		.read_features = read_features,
		.write_features = write_features,
		.read_status = read_status,
		.write_status = write_status,
		.read_interrupt = read_interrupt,
		.config_generation = config_generation,
		.config_field = config_field,
		.queue_max = queue_max,
		.queue_setup = queue_setup,
		.use_messages = use_messages,
		.config_setup = config_setup,
		.notify = notify,
	};
	*sim = (struct sim){ .offered = features,
		             .queue_count = queue_count,
		             .queue_size = queue_size,
		             .allocations_left = -1 };
	sim->transport.ops = &ops;
	sim->transport.dma_offset = SIM_DMA_OFFSET;
	sim->transport.memory = (struct virtio_memory){ sim_alloc, sim_free, sim };
	sim->transport.device_type = device_type;
	sim->transport.bus = "sim";
}

/* ---- rings ---- */

bool sim_event_idx(const struct sim *sim)
{
	return sim->accepted & VIRTIO_F_EVENT_IDX;
}

/* A rule that the driver must keep, unless the device itself has made nonsense of the ring. */
#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		bool kept = (condition);                                                           \
		if (!kept && sim->liar)                                                            \
			return false;                                                              \
		CHECK(kept &&#condition);                                                          \
	} while (0)

static bool add_piece(const struct sim *sim, struct sim_chain *chain,
                      const struct virtio_descriptor *descriptor)
{
	bool writable = descriptor->flags & VIRTIO_DESCRIPTOR_WRITE;
	REQUIRE(chain->count < SIM_CHAIN_MAX);
	REQUIRE(descriptor->bytes > 0);
	/* What the device reads stands before what it writes (§2.7.4.2). */
	REQUIRE(!chain->count || writable || !chain->pieces[chain->count - 1].writable);
	chain->pieces[chain->count].data = from_dma(descriptor->address);
	chain->pieces[chain->count].bytes = descriptor->bytes;
	chain->pieces[chain->count].writable = writable;
	chain->count++;
	return true;
}

static bool walk_table(const struct sim *sim, struct sim_chain *chain,
                       const struct virtio_descriptor *holder)
{
	const struct virtio_descriptor *table = from_dma(holder->address);
	unsigned entries = holder->bytes / sizeof(*table), at = 0, steps = 0;
	REQUIRE(entries && holder->bytes % sizeof(*table) == 0);
	REQUIRE(!(holder->flags & (VIRTIO_DESCRIPTOR_NEXT | VIRTIO_DESCRIPTOR_WRITE)));
	chain->indirect = true;
	for (;;) {
		REQUIRE(at < entries && steps++ < entries);
		REQUIRE(!(table[at].flags & VIRTIO_DESCRIPTOR_INDIRECT));
		if (!add_piece(sim, chain, &table[at]))
			return false;
		if (!(table[at].flags & VIRTIO_DESCRIPTOR_NEXT))
			return true;
		at = table[at].next;
	}
}

bool sim_pop(struct sim *sim, unsigned queue_index, struct sim_chain *chain)
{
	struct sim_queue *queue = &sim->queues[queue_index];
	if (!queue->size)
		return false;
	uint16_t index = __atomic_load_n(&queue->available->index, __ATOMIC_ACQUIRE);
	if (index == queue->avail_seen)
		return false;
	REQUIRE((uint16_t)(index - queue->avail_seen) <= queue->size);
	if (sim_event_idx(sim))
		REQUIRE(queue->available->flags == 0);
	uint16_t id = queue->available->ring[queue->avail_seen & (queue->size - 1)];
	queue->avail_seen++;
	*chain = (struct sim_chain){ .id = id };
	for (unsigned steps = 0;; steps++) {
		REQUIRE(id < queue->size && steps < queue->size);
		const struct virtio_descriptor *descriptor = &queue->descriptors[id];
		if (descriptor->flags & VIRTIO_DESCRIPTOR_INDIRECT) {
			REQUIRE(sim->accepted & VIRTIO_F_INDIRECT_DESC);
			return walk_table(sim, chain, descriptor);
		}
		if (!add_piece(sim, chain, descriptor))
			return false;
		if (!(descriptor->flags & VIRTIO_DESCRIPTOR_NEXT))
			return true;
		id = descriptor->next;
	}
}

void sim_unpop(struct sim *sim, unsigned queue, unsigned chains)
{
	sim->queues[queue].avail_seen = (uint16_t)(sim->queues[queue].avail_seen - chains);
}

bool sim_sleep(struct sim *sim, unsigned queue_index)
{
	struct sim_queue *queue = &sim->queues[queue_index];
	if (!queue->size)
		return false;
	queue->notified = false;
	queue->awake = false;
	if (sim_event_idx(sim))
		*(uint16_t *)&queue->used->ring[queue->size] = queue->avail_seen;
	else
		queue->used->flags = 0;
	if (queue->available->index == queue->avail_seen)
		return false;
	queue->awake = true;
	if (!sim_event_idx(sim))
		queue->used->flags = VIRTIO_USED_NO_NOTIFY;
	return true;
}

void sim_push(struct sim *sim, unsigned queue_index, uint32_t id, uint32_t bytes)
{
	struct sim_queue *queue = &sim->queues[queue_index];
	queue->used->ring[queue->used_index++ & (queue->size - 1)] =
	        (struct virtio_used_element){ id, bytes };
}

void sim_complete(struct sim *sim, unsigned queue_index)
{
	struct sim_queue *queue = &sim->queues[queue_index];
	uint16_t from = queue->used_published, to = queue->used_index;
	if (from == to)
		return;
	queue->used_published = to;
	__atomic_store_n(&queue->used->index, to, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	bool wanted = !(queue->available->flags & VIRTIO_AVAILABLE_NO_INTERRUPT);
	if (sim_event_idx(sim)) {
		uint16_t event = queue->available->ring[queue->size];
		wanted = (uint16_t)(to - event - 1) < (uint16_t)(to - from);
	}
	if (!wanted)
		return;
	if (!sim->interrupt)
		sim->interrupts++;
	sim->interrupt |= VIRTIO_INTERRUPT_QUEUE;
}

bool sim_deliver(struct sim *sim, unsigned queue, const void *header, const uint8_t *frame,
                 uint32_t bytes)
{
	struct sim_chain chains[VIRTIO_NET_PIECES_MAX];
	uint32_t lengths[VIRTIO_NET_PIECES_MAX], left = bytes;
	unsigned used = 0;
	bool mergeable = sim->accepted & VIRTIO_NET_F_MRG_RXBUF;
	do {
		CHECK(used < VIRTIO_NET_PIECES_MAX);
		struct sim_chain *chain = &chains[used];
		if ((used > 0 && !mergeable) || !sim_pop(sim, queue, chain)) {
			sim_unpop(sim, queue, used);
			return false;
		}
		CHECK_EQ(chain->count, 1);
		CHECK(chain->pieces[0].writable);
		uint8_t *to = chain->pieces[0].data;
		uint32_t room = chain->pieces[0].bytes, skip = used ? 0 : VIRTIO_NET_HEADER_BYTES;
		uint32_t now = left < room - skip ? left : room - skip;
		memcpy(to + skip, frame + (bytes - left), now);
		lengths[used++] = now + skip;
		left -= now;
	} while (left);
	struct virtio_net_header filled;
	memcpy(&filled, header, sizeof(filled));
	filled.num_buffers = (uint16_t)used;
	memcpy(chains[0].pieces[0].data, &filled, sizeof(filled));
	for (unsigned i = 0; i < used; i++)
		sim_push(sim, queue, chains[i].id, lengths[i]);
	return true;
}
