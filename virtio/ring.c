/* Memory of the split ring, and what is not on its fast path. */
#include "virtio/ring.h"

#include <errno.h>
#include <string.h>

static size_t align_up(size_t value, size_t to)
{
	return (value + to - 1) & ~(to - 1);
}

/* Offsets of the parts in the ring's one block of memory (alignments of virtio 1.2 §2.7). */
struct ring_layout {
	size_t available, used, slots, table_next, tables, bytes;
};

static struct ring_layout layout_of(uint32_t size, uint32_t table_count)
{
	struct ring_layout layout;
	size_t event_bytes = sizeof(uint16_t);
	layout.available = size * sizeof(struct virtio_descriptor);
	layout.used = align_up(layout.available + sizeof(struct virtio_available) +
	                               size * sizeof(uint16_t) + event_bytes,
	                       4);
	layout.slots = align_up(layout.used + sizeof(struct virtio_used) +
	                                size * sizeof(struct virtio_used_element) + event_bytes,
	                        16);
	layout.table_next = layout.slots + size * sizeof(struct virtio_ring_slot);
	layout.tables = align_up(layout.table_next + table_count * sizeof(uint16_t), 16);
	layout.bytes = layout.tables +
	               (size_t)table_count * VIRTIO_RING_TABLE * sizeof(struct virtio_descriptor);
	return layout;
}

static uint16_t power_of_two_below(uint16_t limit)
{
	uint16_t size = 1;
	while (size <= limit / 2)
		size *= 2;
	return size;
}

static void link_free_lists(struct virtio_ring *ring)
{
	for (uint32_t i = 0; i <= ring->mask; i++) {
		ring->slots[i].next = (uint16_t)(i + 1);
		ring->slots[i].table = VIRTIO_RING_NONE;
	}
	ring->slots[ring->mask].next = VIRTIO_RING_NONE;
	ring->free_count = ring->mask + 1;
	for (uint16_t i = 0; i < ring->table_count; i++)
		ring->table_next[i] = (uint16_t)(i + 1);
	ring->table_free_count = ring->table_count;
}

int virtio_ring_init(struct virtio_ring *ring, struct virtio_transport *transport, uint16_t index,
                     uint16_t size_limit, uint16_t table_count, bool event_idx)
{
	uint16_t offered = transport->ops->queue_max(transport, index);
	if (!offered || !size_limit)
		return -ENODEV;
	uint16_t size = power_of_two_below(offered < size_limit ? offered : size_limit);
	struct ring_layout layout = layout_of(size, table_count);
	uint8_t *memory = transport->memory.alloc(transport->memory.context, layout.bytes);
	if (!memory)
		return -ENOMEM;
	memset(memory, 0, layout.tables); /* the tables are written before they are used */

	*ring = (struct virtio_ring){
		.descriptors = (struct virtio_descriptor *)memory,
		.available = (struct virtio_available *)(memory + layout.available),
		.used = (struct virtio_used *)(memory + layout.used),
		.slots = (struct virtio_ring_slot *)(memory + layout.slots),
		.table_next = (uint16_t *)(memory + layout.table_next),
		.tables = (struct virtio_descriptor *)(memory + layout.tables),
		.table_count = table_count,
		.dma_offset = transport->dma_offset,
		.mask = size - 1u,
		.event_idx = event_idx,
		.armed = true,
		.index = index,
		.transport = transport,
		.memory = memory,
		.memory_bytes = layout.bytes,
	};
	link_free_lists(ring);
	ring_disarm(ring);

	struct virtio_queue_place place = {
		.descriptors = virtio_dma_address(transport, ring->descriptors),
		.available = virtio_dma_address(transport, ring->available),
		.used = virtio_dma_address(transport, ring->used),
		.size = size,
	};
	int error = transport->ops->queue_setup(transport, index, &place);
	if (error)
		virtio_ring_fini(ring, NULL, NULL);
	return error;
}

void virtio_ring_fini(struct virtio_ring *ring, void (*drop)(void *context, void *cookie),
                      void *context)
{
	if (!ring->memory)
		return;
	for (uint32_t i = 0; drop && i <= ring->mask; i++)
		if (ring->slots[i].descriptors)
			drop(context, ring->slots[i].cookie);
	struct virtio_memory *memory = &ring->transport->memory;
	memory->free(memory->context, ring->memory, ring->memory_bytes);
	ring->memory = NULL;
}

void virtio_ring_release_chain(struct virtio_ring *ring, struct virtio_ring_slot *slot)
{
	if (slot->table != VIRTIO_RING_NONE) {
		ring->table_next[slot->table] = ring->table_free_head;
		ring->table_free_head = slot->table;
		ring->table_free_count++;
		slot->table = VIRTIO_RING_NONE;
	}
	struct virtio_ring_slot *tail = slot;
	for (uint16_t i = 1; i < slot->descriptors; i++)
		tail = &ring->slots[tail->next];
	tail->next = (uint16_t)ring->free_head;
	ring->free_head = (uint64_t)(slot - ring->slots);
	ring->free_count += slot->descriptors;
	slot->descriptors = 0;
}

const char *virtio_ring_verify(const struct virtio_ring *ring)
{
	uint32_t size = ring_size(ring), lent = 0, free = 0, tables = 0;
	for (uint32_t i = 0; i < size; i++) {
		const struct virtio_ring_slot *slot = &ring->slots[i];
		lent += slot->descriptors;
		if (slot->table == VIRTIO_RING_NONE)
			continue;
		if (!slot->descriptors || slot->table >= ring->table_count)
			return "a free descriptor holds an indirect table, or one that does not "
			       "exist";
		tables++;
	}
	uint64_t id = ring->free_head;
	for (; id != VIRTIO_RING_NONE && free <= size; free++) {
		if (id > ring->mask || ring->slots[id].descriptors)
			return "a descriptor is free and lent at once";
		id = ring->slots[id].next;
	}
	if (free != ring->free_count)
		return "the free list's length is not free_count";
	if (lent + free != size)
		return "descriptors are lost";
	if (tables + ring->table_free_count != ring->table_count)
		return "indirect tables are lost";
	if (ring->avail_next - ring->used_next > size)
		return "more chains are out than the ring has entries";
	if (ring->used_seen - ring->used_next > ring_outstanding(ring))
		return "more entries were seen used than are outstanding";
	return NULL;
}
