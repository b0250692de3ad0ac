/*
 * The split virtqueue, driver's side (virtio 1.2 §2.7), with EVENT_IDX and indirect descriptors.
 *
 * Memory that the device writes (the used ring) and that it reads (descriptors, available ring) is
 * shared with something that runs concurrently and is not trusted:
 *  - the driver never reads back what it wrote there; its own record of every chain is in `slots`;
 *  - the used index is believed only as far as chains are outstanding, an id only while its chain
 * is.
 *
 * Order (RISC-V is RVWMO) is made in exactly two places, ring_publish and ring_poll, and in the two
 * decisions about notifications, ring_needs_kick and ring_arm, each of which says why.
 */
#pragma once

#include "virtio/transport.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "ring fields are little-endian");

enum virtio_descriptor_flags {
	VIRTIO_DESCRIPTOR_NEXT = 1,
	VIRTIO_DESCRIPTOR_WRITE = 2, /* the device writes */
	VIRTIO_DESCRIPTOR_INDIRECT = 4,
};

struct virtio_descriptor {
	uint64_t address;
	uint32_t bytes;
	uint16_t flags;
	uint16_t next;
};

#define VIRTIO_AVAILABLE_NO_INTERRUPT 1
struct virtio_available {
	uint16_t flags;
	uint16_t index;
	uint16_t ring[]; /* [size], then used_event */
};

#define VIRTIO_USED_NO_NOTIFY 1
struct virtio_used_element {
	uint32_t id;
	uint32_t bytes;
};

struct virtio_used {
	uint16_t flags;
	uint16_t index;
	struct virtio_used_element ring[]; /* [size], then avail_event */
};

#define VIRTIO_RING_NONE UINT16_MAX

/* The driver's record of a descriptor; that of a chain's first one describes the chain. */
struct virtio_ring_slot {
	void *cookie;
	void *buffer;         /* receive: where it lies */
	uint32_t bytes;       /* receive: its length */
	uint16_t next;        /* in the chain, or on the free list */
	uint16_t descriptors; /* the chain's length; 0: not with the device */
	uint16_t table;       /* indirect table in use, or VIRTIO_RING_NONE */
};

/* Owned by the driver of the device; hot fields first. */
struct virtio_ring {
	struct virtio_descriptor *descriptors;
	struct virtio_available *available;
	struct virtio_used *used;
	struct virtio_ring_slot *slots;
	uint64_t dma_offset;
	uint64_t mask; /* size - 1 */
	uint64_t free_head;
	uint64_t free_count;
	/* Indices: their low 16 bits are the ring's. (64 bits: no instruction is spent on
	 * narrowing.) */
	uint64_t avail_next; /* available index that the next chain gets */
	uint64_t published;  /* available index as the device may see it */
	uint64_t kicked;     /* `published` at the last decision about a kick */
	uint64_t used_next;  /* used entries consumed */
	uint64_t used_seen;  /* used index as last read and found plausible */
	bool event_idx;
	bool armed;     /* an interrupt was asked for since the last disarm */
	uint16_t index; /* queue number */
	uint16_t table_free_head;
	uint16_t table_free_count;
	uint16_t table_count;
	struct virtio_descriptor
	        *tables; /* table_count x VIRTIO_RING_TABLE, NULL without INDIRECT */
	uint16_t *table_next;
	struct virtio_transport *transport;
	void *memory;
	size_t memory_bytes;
	uint64_t kicks, kicks_saved, arms;
	uint64_t bad_index, bad_id;
};

/* Descriptors per indirect table. */
#define VIRTIO_RING_TABLE 33

/* Allocate, and set up queue `index` of the transport with min(size_limit, what the device offers)
 * entries, and `table_count` indirect tables. -ENODEV: no such queue. */
int virtio_ring_init(struct virtio_ring *ring, struct virtio_transport *transport, uint16_t index,
                     uint16_t size_limit, uint16_t table_count, bool event_idx);
/* The device has been reset. Calls `drop` for every cookie it still held. */
void virtio_ring_fini(struct virtio_ring *ring, void (*drop)(void *context, void *cookie),
                      void *context);
/* NULL when sound. */
const char *virtio_ring_verify(const struct virtio_ring *ring);

static inline uint32_t ring_size(const struct virtio_ring *ring)
{
	return (uint32_t)ring->mask + 1;
}

/* Chains with the device, or completed and not consumed. */
static inline uint64_t ring_outstanding(const struct virtio_ring *ring)
{
	return ring->published - ring->used_next;
}

static inline uint16_t *ring_used_event(const struct virtio_ring *ring)
{
	return &ring->available->ring[ring_size(ring)];
}

static inline uint16_t *ring_avail_event(const struct virtio_ring *ring)
{
	return (uint16_t *)&ring->used->ring[ring_size(ring)];
}

/* ---- filling ---- */

static inline void ring_describe(struct virtio_ring *ring, uint64_t id, const void *buffer,
                                 uint32_t bytes, uint16_t flags, uint16_t next)
{
	struct virtio_descriptor *descriptor = &ring->descriptors[id];
	descriptor->address = (uint64_t)(uintptr_t)buffer - ring->dma_offset;
	descriptor->bytes = bytes;
	descriptor->flags = flags;
	descriptor->next = next;
}

/* Take a free descriptor; the caller has checked free_count. */
static inline uint64_t ring_take(struct virtio_ring *ring)
{
	uint64_t id = ring->free_head;
	ring->free_head = ring->slots[id].next;
	ring->free_count--;
	return id;
}

/* Put the chain that begins at `head` behind the others; visible to the device at the next
 * ring_publish. */
static inline void ring_offer(struct virtio_ring *ring, uint64_t head)
{
	ring->available->ring[ring->avail_next & ring->mask] = (uint16_t)head;
	ring->avail_next++;
}

/* Lend one buffer as a chain of one. The caller has checked free_count. Returns its slot. */
static inline struct virtio_ring_slot *ring_add_one(struct virtio_ring *ring, void *buffer,
                                                    uint32_t bytes, uint16_t flags, void *cookie)
{
	uint64_t id = ring_take(ring);
	struct virtio_ring_slot *slot = &ring->slots[id];
	slot->cookie = cookie;
	slot->descriptors = 1;
	ring_describe(ring, id, buffer, bytes, flags, 0);
	ring_offer(ring, id);
	return slot;
}

/*
 * Make all offered chains visible. The release store orders descriptors and available entries
 * (plain stores above) before the index that uncovers them: fence rw,w; sh.
 */
static inline void ring_publish(struct virtio_ring *ring)
{
	ring->published = ring->avail_next;
	__atomic_store_n(&ring->available->index, (uint16_t)ring->published, __ATOMIC_RELEASE);
}

/*
 * Whether the device wants to hear of what was published since the last time this was asked. The
 * full fence stands between our store of the available index and the load of avail_event: the
 * device does the mirror image, so that either it sees the new index or we see that it wants a
 * kick. It is a range test, since several chains may have been published at once.
 */
static inline bool ring_needs_kick(struct virtio_ring *ring)
{
	uint64_t from = ring->kicked, to = ring->published;
	if (from == to)
		return false;
	ring->kicked = to;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!ring->event_idx)
		return !(__atomic_load_n(&ring->used->flags, __ATOMIC_RELAXED) &
		         VIRTIO_USED_NO_NOTIFY);
	uint16_t event = __atomic_load_n(ring_avail_event(ring), __ATOMIC_RELAXED);
	return (uint16_t)(to - event - 1) < (uint16_t)(to - from);
}

/* Publish what is new and kick if the device wants it. True: it was kicked. */
static inline bool ring_publish_and_kick(struct virtio_ring *ring)
{
	if (ring->avail_next == ring->published)
		return false;
	ring_publish(ring);
	if (!ring_needs_kick(ring)) {
		ring->kicks_saved++;
		return false;
	}
	ring->kicks++;
	ring->transport->ops->notify(ring->transport, ring->index);
	return true;
}

/* ---- emptying ---- */

/*
 * Read the used index: how many entries can be consumed. The acquire load orders it before the
 * loads of the entries and of the buffers that they complete: lhu; fence r,rw. An index that claims
 * more than is outstanding is not believed.
 */
static inline uint64_t ring_poll(struct virtio_ring *ring)
{
	uint16_t index = __atomic_load_n(&ring->used->index, __ATOMIC_ACQUIRE);
	uint64_t ready = (uint16_t)(index - ring->used_next);
	if (__builtin_expect(ready > ring_outstanding(ring), 0)) {
		ring->bad_index++;
		ready = 0;
	}
	ring->used_seen = ring->used_next + ready;
	return ready;
}

/* Consume one entry of those that ring_poll saw. Its chain's slot, still marked as with the device:
 * the caller frees it with ring_release. NULL: the device named no outstanding chain; the entry is
 * counted and gone. */
static inline struct virtio_ring_slot *ring_consume(struct virtio_ring *ring, uint32_t *bytes)
{
	const struct virtio_used_element *element = &ring->used->ring[ring->used_next & ring->mask];
	uint64_t id = *(const volatile uint32_t *)&element->id;
	*bytes = *(const volatile uint32_t *)&element->bytes;
	ring->used_next++;
	if (__builtin_expect(id > ring->mask || ring->slots[id].descriptors == 0, 0)) {
		ring->bad_id++;
		return NULL;
	}
	return &ring->slots[id];
}

/* Give a chain of one descriptor back to the free list. */
static inline void ring_release_one(struct virtio_ring *ring, struct virtio_ring_slot *slot)
{
	slot->descriptors = 0;
	slot->next = (uint16_t)ring->free_head;
	ring->free_head = (uint64_t)(slot - ring->slots);
	ring->free_count++;
}

/* The same for a chain of any length, with its indirect table. */
void virtio_ring_release_chain(struct virtio_ring *ring, struct virtio_ring_slot *slot);

static inline void ring_release(struct virtio_ring *ring, struct virtio_ring_slot *slot)
{
	if (__builtin_expect(slot->descriptors == 1 && slot->table == VIRTIO_RING_NONE, 1))
		ring_release_one(ring, slot);
	else
		virtio_ring_release_chain(ring, slot);
}

/* ---- interrupts ---- */

/* No interrupts. With EVENT_IDX flags must stay 0 (§2.7.7.1): an event index that lies behind what
 * is consumed is never crossed but once in 65536 entries. */
static inline void ring_disarm(struct virtio_ring *ring)
{
	if (!ring->armed)
		return;
	ring->armed = false;
	if (ring->event_idx)
		__atomic_store_n(ring_used_event(ring), (uint16_t)(ring->used_next - 1),
		                 __ATOMIC_RELAXED);
	else
		__atomic_store_n(&ring->available->flags, VIRTIO_AVAILABLE_NO_INTERRUPT,
		                 __ATOMIC_RELAXED);
}

/*
 * Ask for an interrupt once `ahead` + 1 more entries are used. The full fence stands between the
 * store that asks and the load of the used index: the device does the mirror image, so that either
 * it sees the request or we see its entries. False: they are there already.
 */
static inline bool ring_arm(struct virtio_ring *ring, uint64_t ahead)
{
	ring->arms++;
	ring->armed = true;
	if (ring->event_idx)
		__atomic_store_n(ring_used_event(ring), (uint16_t)(ring->used_next + ahead),
		                 __ATOMIC_RELAXED);
	else
		__atomic_store_n(&ring->available->flags, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (ring_poll(ring) <= ahead)
		return true;
	ring_disarm(ring);
	return false;
}
