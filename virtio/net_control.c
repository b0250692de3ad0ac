/* The control queue: one command at a time, waited for. Used at set-up only. */
#include <errno.h>
#include <string.h>

#include "virtio/net_internal.h"

/* Each poll reads a device register, which takes a microsecond at least. */
#define CONTROL_POLLS   1000000
#define CONTROL_ENTRIES 4
#define CONTROL_DATA    32

/* What the device reads and writes. */
struct control_exchange {
	uint8_t class_;
	uint8_t command;
	uint8_t data[CONTROL_DATA];
	uint8_t answer; /* 0: done */
};

/* Owned by struct virtio_net; in DMA memory for the exchange's sake. */
struct virtio_net_control {
	struct virtio_ring ring;
	struct control_exchange exchange;
};

int virtio_net_control_init(struct virtio_net *net, uint16_t queue)
{
	struct virtio_memory *memory = &net->transport->memory;
	struct virtio_net_control *control = memory->alloc(memory->context, sizeof(*control));
	if (!control)
		return -ENOMEM;
	memset(control, 0, sizeof(*control));
	int error = virtio_ring_init(&control->ring, net->transport, queue, CONTROL_ENTRIES, 0,
	                             net->features & VIRTIO_F_EVENT_IDX);
	if (error)
		memory->free(memory->context, control, sizeof(*control));
	else
		net->control = control;
	return error;
}

void virtio_net_control_fini(struct virtio_net *net)
{
	if (!net->control)
		return;
	struct virtio_memory *memory = &net->transport->memory;
	virtio_ring_fini(&net->control->ring, NULL, NULL);
	memory->free(memory->context, net->control, sizeof(*net->control));
	net->control = NULL;
}

static int wait_for_answer(struct virtio_ring *ring, struct control_exchange *exchange)
{
	for (unsigned i = 0; i < CONTROL_POLLS; i++) {
		uint32_t bytes;
		if (ring_poll(ring)) {
			struct virtio_ring_slot *slot = ring_consume(ring, &bytes);
			if (!slot)
				return -EIO;
			ring_release(ring, slot);
			return __atomic_load_n(&exchange->answer, __ATOMIC_RELAXED) ? -EIO : 0;
		}
		if (ring->transport->ops->read_status(ring->transport) & VIRTIO_STATUS_NEEDS_RESET)
			return -EIO;
	}
	return -ETIMEDOUT;
}

static void offer_command(struct virtio_ring *ring, struct control_exchange *exchange,
                          uint32_t bytes)
{
	uint64_t head = ring_take(ring);
	uint16_t data = (uint16_t)ring_take(ring), answer = (uint16_t)ring_take(ring);
	struct virtio_ring_slot *slot = &ring->slots[head];
	slot->cookie = exchange;
	slot->descriptors = 3;
	slot->next = data;
	ring->slots[data].next = answer;
	ring_describe(ring, head, &exchange->class_, 2, VIRTIO_DESCRIPTOR_NEXT, data);
	ring_describe(ring, data, exchange->data, bytes, VIRTIO_DESCRIPTOR_NEXT, answer);
	ring_describe(ring, answer, &exchange->answer, 1, VIRTIO_DESCRIPTOR_WRITE, 0);
	ring_offer(ring, head);
}

int virtio_net_control(struct virtio_net *net, uint8_t class_, uint8_t command, const void *data,
                       uint32_t bytes)
{
	struct virtio_ring *ring = &net->control->ring;
	struct control_exchange *exchange = &net->control->exchange;
	if (bytes > CONTROL_DATA)
		return -EINVAL;
	if (ring->free_count < 3)
		return -ETIMEDOUT; /* the device never answered the last one */
	exchange->class_ = class_;
	exchange->command = command;
	exchange->answer = 0xff;
	memcpy(exchange->data, data, bytes);
	offer_command(ring, exchange, bytes);
	ring_publish_and_kick(ring);
	return wait_for_answer(ring, exchange);
}
