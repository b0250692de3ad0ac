/*
 * virtio-net's data path. Its cost per packet is what counts: the ordinary case (one buffer
 * received, one descriptor sent) is straight-line code here and in ring.h's inline functions.
 */
#include <errno.h>

#include "virtio/net_internal.h"

/* ---- receive ---- */

int virtio_net_post_rx(struct virtio_net *net, uint16_t pair, void *buffer, uint32_t bytes,
                       void *cookie)
{
	struct virtio_ring *ring = &net->pairs[pair].rx;
	if (!ring->free_count)
		return -ENOSPC;
	struct virtio_ring_slot *slot =
	        ring_add_one(ring, buffer, bytes, VIRTIO_DESCRIPTOR_WRITE, cookie);
	slot->buffer = buffer;
	slot->bytes = bytes;
	return 0;
}

/* The buffer's contents are worthless: lend it to the device again. */
static void repost(struct virtio_ring *ring, struct virtio_ring_slot *slot)
{
	uint64_t id = (uint64_t)(slot - ring->slots);
	slot->descriptors = 1;
	ring_describe(ring, id, slot->buffer, slot->bytes, VIRTIO_DESCRIPTOR_WRITE, 0);
	ring_offer(ring, id);
}

static inline bool length_is_plausible(const struct virtio_ring_slot *slot, uint32_t bytes)
{
	return bytes - VIRTIO_NET_HEADER_BYTES <= slot->bytes - VIRTIO_NET_HEADER_BYTES;
}

/* Add `count` further buffers to a packet. False: one of them is bad; then all that were taken here
 * are lent to the device again, and so must the first be. */
static bool take_further_pieces(struct virtio_net_queue_pair *pair, uint16_t count,
                                struct virtio_net_piece *pieces, uint32_t *packet_bytes)
{
	struct virtio_ring *ring = &pair->rx;
	struct virtio_ring_slot *slots[VIRTIO_NET_PIECES_MAX];
	uint16_t taken = 0;
	bool good = true;
	for (uint16_t i = 0; i < count; i++) {
		uint32_t bytes;
		struct virtio_ring_slot *slot = ring_consume(ring, &bytes);
		if (!slot) {
			good = false;
			continue;
		}
		slot->descriptors = 0; /* so that it cannot be named again in this packet */
		if (bytes > slot->bytes) {
			pair->bad_length++;
			good = false;
		}
		slots[taken] = slot;
		pieces[taken] = (struct virtio_net_piece){ slot->cookie, bytes };
		*packet_bytes += bytes;
		taken++;
	}
	for (uint16_t i = 0; i < taken; i++) {
		if (good)
			ring_release_one(ring, slots[i]);
		else
			repost(ring, slots[i]);
	}
	return good;
}

/*
 * The rest of a packet of `count` buffers, of which the first is consumed and `ready` more entries
 * can be. All buffers of a packet become used at once (§5.1.6.4), so that a packet with some
 * missing is the device's fault: what is there of it is dropped.
 */
static __attribute__((noinline)) bool take_merged(struct virtio_net_queue_pair *pair,
                                                  uint16_t count, uint64_t ready,
                                                  struct virtio_net_piece *pieces,
                                                  uint32_t *packet_bytes)
{
	if (count == 0 || count > VIRTIO_NET_PIECES_MAX) {
		pair->bad_num_buffers++;
		return false;
	}
	if (count - 1u > ready) {
		pair->bad_num_buffers++;
		for (struct virtio_ring_slot *slot; ready; ready--) {
			uint32_t bytes;
			slot = ring_consume(&pair->rx, &bytes);
			if (slot)
				repost(&pair->rx, slot);
		}
		return false;
	}
	pair->rx_merged++;
	return take_further_pieces(pair, (uint16_t)(count - 1), pieces, packet_bytes);
}

static inline void read_header(struct virtio_net_rx *out, const struct virtio_net_header *header)
{
	out->flags = header->flags;
	out->gso_type = header->gso_type;
	if (!(out->flags & VIRTIO_NET_NEEDS_CSUM) && !out->gso_type)
		return;
	out->header_length = header->header_length;
	out->gso_size = header->gso_size;
	out->csum_start = header->csum_start;
	out->csum_offset = header->csum_offset;
}

static inline void fill_packet(struct virtio_net_rx *out, struct virtio_net_piece *piece,
                               const struct virtio_ring_slot *slot, uint32_t frame_bytes)
{
	read_header(out, slot->buffer);
	piece->cookie = slot->cookie;
	piece->bytes = frame_bytes;
	out->pieces = piece;
}

/* The next used entry, whatever it is. Returns how many pieces the packet in `out` has; 0: there
 * was none. */
static __attribute__((noinline)) uint16_t receive_any(struct virtio_net_queue_pair *pair,
                                                      struct virtio_net_rx *out,
                                                      struct virtio_net_piece *piece)
{
	struct virtio_ring *ring = &pair->rx;
	uint32_t bytes;
	struct virtio_ring_slot *slot = ring_consume(ring, &bytes);
	if (!slot)
		return 0;
	if (!length_is_plausible(slot, bytes)) {
		pair->bad_length++;
		repost(ring, slot);
		return 0;
	}
	const struct virtio_net_header *header = slot->buffer;
	uint16_t count = pair->mergeable ? header->num_buffers : 1;
	out->packet_bytes = bytes - VIRTIO_NET_HEADER_BYTES;
	if (count != 1) {
		slot->descriptors = 0;
		if (!take_merged(pair, count, ring->used_seen - ring->used_next, piece + 1,
		                 &out->packet_bytes)) {
			repost(ring, slot);
			return 0;
		}
	}
	fill_packet(out, piece, slot, bytes - VIRTIO_NET_HEADER_BYTES);
	out->piece_count = count;
	ring_release_one(ring, slot);
	return count;
}

uint64_t virtio_net_receive_ready(struct virtio_net *net, uint16_t pair)
{
	return ring_poll(&net->pairs[pair].rx);
}

void *virtio_net_receive_one(struct virtio_net *net, uint16_t pair,
                             const struct virtio_net_header **header, uint32_t *frame_bytes)
{
	struct virtio_ring *ring = &net->pairs[pair].rx;
	uint64_t next = ring->used_next;
	const volatile struct virtio_used_element *element = &ring->used->ring[next & ring->mask];
	uint64_t id = element->id;
	uint32_t bytes = element->bytes;
	struct virtio_ring_slot *slot = &ring->slots[id];
	if (__builtin_expect(id > ring->mask || !slot->descriptors ||
	                             !length_is_plausible(slot, bytes) ||
	                             ((struct virtio_net_header *)slot->buffer)->num_buffers != 1,
	                     0))
		return NULL;
	*header = slot->buffer;
	*frame_bytes = bytes - VIRTIO_NET_HEADER_BYTES;
	ring->used_next = next + 1;
	ring_release_one(ring, slot);
	return slot->cookie;
}

void virtio_net_received(struct virtio_net *net, uint16_t pair_index, uint64_t packets,
                         uint64_t bytes)
{
	struct virtio_net_queue_pair *pair = &net->pairs[pair_index];
	pair->rx_packets += packets;
	pair->rx_buffers += packets;
	pair->rx_bytes += bytes;
}

/*
 * A packet in one good buffer is taken right here, with the ring's state in registers; every other
 * entry is left to receive_any, for which that state is put back.
 */
size_t virtio_net_receive(struct virtio_net *net, uint16_t pair_index, struct virtio_net_rx *out,
                          size_t max)
{
	struct virtio_net_queue_pair *pair = &net->pairs[pair_index];
	struct virtio_ring *ring = &pair->rx;
	if (ring_poll(ring) == 0)
		return 0;

	struct virtio_ring_slot *const slots = ring->slots;
	const struct virtio_used_element *const used = ring->used->ring;
	const uint64_t mask = ring->mask, seen = ring->used_seen;
	uint64_t next = ring->used_next, free_head = ring->free_head, total_bytes = 0;
	struct virtio_net_piece *piece = pair->pieces;
	size_t count = 0, freed = 0;
	while (next != seen && count != max) {
		const volatile struct virtio_used_element *element = &used[next & mask];
		uint64_t id = element->id, bytes = element->bytes;
		struct virtio_ring_slot *slot = &slots[id];
		if (__builtin_expect(
		            id > mask || !slot->descriptors ||
		                    !length_is_plausible(slot, (uint32_t)bytes) ||
		                    ((struct virtio_net_header *)slot->buffer)->num_buffers != 1,
		            0)) {
			ring->used_next = next;
			ring->free_head = free_head;
			ring->free_count += freed;
			uint16_t pieces = receive_any(pair, out, piece);
			next = ring->used_next;
			free_head = ring->free_head;
			freed = 0;
			if (!pieces)
				continue;
			total_bytes += out->packet_bytes;
			piece += pieces;
		} else {
			bytes -= VIRTIO_NET_HEADER_BYTES;
			fill_packet(out, piece, slot, (uint32_t)bytes);
			out->packet_bytes = (uint32_t)bytes;
			out->piece_count = 1;
			slot->descriptors = 0;
			slot->next = (uint16_t)free_head;
			free_head = id;
			freed++;
			next++;
			total_bytes += bytes;
			piece++;
		}
		out++;
		count++;
	}
	ring->used_next = next;
	ring->free_head = free_head;
	ring->free_count += freed;
	pair->rx_packets += count;
	pair->rx_buffers += (uint64_t)(piece - pair->pieces);
	pair->rx_bytes += total_bytes;
	return count;
}

/* ---- interrupts ---- */

static bool nearly_full(const struct virtio_ring *ring)
{
	return ring->free_count < ring_size(ring) / 4;
}

/* After three quarters of what is outstanding: late enough to be rare, early enough to keep the
 * device busy. */
static bool arm_transmit(struct virtio_ring *ring)
{
	uint64_t outstanding = ring_outstanding(ring);
	return outstanding && ring_arm(ring, outstanding * 3 / 4);
}

bool virtio_net_rx_arm(struct virtio_net *net, uint16_t pair_index)
{
	struct virtio_net_queue_pair *pair = &net->pairs[pair_index];
	if (nearly_full(&pair->tx) && !arm_transmit(&pair->tx))
		return false;
	return ring_arm(&pair->rx, 0);
}

void virtio_net_rx_disarm(struct virtio_net *net, uint16_t pair)
{
	ring_disarm(&net->pairs[pair].rx);
}

bool virtio_net_tx_arm(struct virtio_net *net, uint16_t pair)
{
	return arm_transmit(&net->pairs[pair].tx);
}

/* ---- transmit ---- */

uint32_t virtio_net_tx_space(const struct virtio_net *net, uint16_t pair_index, uint32_t segments)
{
	const struct virtio_net_queue_pair *pair = &net->pairs[pair_index];
	const struct virtio_ring *ring = &pair->tx;
	uint32_t descriptors = segments + !pair->headroom;
	if (descriptors <= NET_DIRECT_MAX || !ring->table_count)
		return ring->free_count / descriptors;
	/* A frame takes at most NET_DIRECT_MAX descriptors, or one and a table. */
	uint32_t direct = ring->free_count / NET_DIRECT_MAX;
	return direct < ring->table_free_count ? direct : ring->table_free_count;
}

uint32_t virtio_net_tx_outstanding(const struct virtio_net *net, uint16_t pair)
{
	const struct virtio_ring *ring = &net->pairs[pair].tx;
	return (uint32_t)(ring->avail_next - ring->used_next);
}

static inline void write_header(struct virtio_net_header *to,
                                const struct virtio_net_tx_header *from)
{
	static const struct virtio_net_tx_header nothing;
	if (!from)
		from = &nothing;
	*to = (struct virtio_net_header){ .flags = from->flags,
		                          .gso_type = from->gso_type,
		                          .header_length = from->header_length,
		                          .gso_size = from->gso_size,
		                          .csum_start = from->csum_start,
		                          .csum_offset = from->csum_offset };
}

/* The pieces of a frame in the device's sense: the header, alone or together with the first
 * segment, then the segments. */
struct frame {
	const struct virtio_net_segment *segments;
	uint32_t count;       /* segments behind the first piece */
	uint32_t first_bytes; /* of the first piece */
	void *first;
};

static struct virtio_descriptor *take_table(struct virtio_ring *ring, struct virtio_ring_slot *slot)
{
	slot->table = ring->table_free_head;
	ring->table_free_head = ring->table_next[slot->table];
	ring->table_free_count--;
	return ring->tables + (size_t)slot->table * VIRTIO_RING_TABLE;
}

static void offer_indirect(struct virtio_ring *ring, uint64_t head, const struct frame *frame)
{
	struct virtio_ring_slot *slot = &ring->slots[head];
	struct virtio_descriptor *table = take_table(ring, slot), *entry = table;
	*entry = (struct virtio_descriptor){ (uint64_t)(uintptr_t)frame->first - ring->dma_offset,
		                             frame->first_bytes, 0, 0 };
	for (uint32_t i = 0; i < frame->count; i++) {
		entry->flags = VIRTIO_DESCRIPTOR_NEXT;
		entry->next = (uint16_t)(i + 1);
		*++entry =
		        (struct virtio_descriptor){ (uint64_t)(uintptr_t)frame->segments[i].data -
			                                    ring->dma_offset,
			                            frame->segments[i].bytes, 0, 0 };
	}
	slot->descriptors = 1;
	ring_describe(ring, head, table, (frame->count + 1) * sizeof(*table),
	              VIRTIO_DESCRIPTOR_INDIRECT, 0);
	ring_offer(ring, head);
}

static void offer_chain(struct virtio_ring *ring, uint64_t head, const struct frame *frame)
{
	uint64_t id = head;
	const void *data = frame->first;
	uint32_t bytes = frame->first_bytes;
	ring->slots[head].descriptors = (uint16_t)(frame->count + 1);
	for (uint32_t i = 0; i < frame->count; i++) {
		uint16_t next = (uint16_t)ring_take(ring);
		ring->slots[id].next = next;
		ring_describe(ring, id, data, bytes, VIRTIO_DESCRIPTOR_NEXT, next);
		id = next;
		data = frame->segments[i].data;
		bytes = frame->segments[i].bytes;
	}
	ring_describe(ring, id, data, bytes, 0, 0);
	ring_offer(ring, head);
}

/* Any frame: of several descriptors, with its header in the driver's own memory, without room, to
 * be kicked at once. */
static __attribute__((noinline)) int transmit_any(struct virtio_net_queue_pair *pair,
                                                  const struct virtio_net_segment *segments,
                                                  uint32_t count,
                                                  const struct virtio_net_tx_header *header,
                                                  void *header_space, void *cookie)
{
	struct virtio_ring *ring = &pair->tx;
	bool joined = header_space && pair->headroom;
	uint32_t descriptors = count + !joined;
	if (count == 0 || count > VIRTIO_NET_SEGMENTS_MAX)
		return -EINVAL;
	bool direct = descriptors <= ring->free_count &&
	              (descriptors <= NET_DIRECT_MAX || !ring->table_free_count);
	if (!direct && (!ring->free_count || !ring->table_free_count)) {
		pair->tx_full++;
		return -ENOSPC;
	}
	uint64_t head = ring_take(ring);
	struct frame frame = { .segments = segments + joined, .count = count - joined };
	frame.first = joined ? header_space : &pair->tx_headers[head];
	frame.first_bytes = VIRTIO_NET_HEADER_BYTES + (joined ? segments[0].bytes : 0);
	write_header(frame.first, header);
	ring->slots[head].cookie = cookie;
	if (direct) {
		offer_chain(ring, head, &frame);
	} else {
		pair->tx_indirect++;
		offer_indirect(ring, head, &frame);
	}
	for (uint32_t i = 0; i < count; i++)
		pair->tx_bytes += segments[i].bytes;
	pair->tx_packets++;
	if (!pair->coalesce)
		ring_publish_and_kick(ring);
	return 0;
}

int virtio_net_transmit(struct virtio_net *net, uint16_t pair_index,
                        const struct virtio_net_segment *segments, uint32_t count,
                        const struct virtio_net_tx_header *header, void *header_space, void *cookie)
{
	struct virtio_net_queue_pair *pair = &net->pairs[pair_index];
	struct virtio_ring *ring = &pair->tx;
	if (count != 1 || !header_space || !pair->one_descriptor || !ring->free_count)
		return transmit_any(pair, segments, count, header, header_space, cookie);
	write_header(header_space, header);
	ring_add_one(ring, header_space, segments[0].bytes + VIRTIO_NET_HEADER_BYTES, 0, cookie);
	pair->tx_bytes += segments[0].bytes;
	pair->tx_packets++;
	return 0;
}

bool virtio_net_transmit_one(struct virtio_net *net, uint16_t pair_index, void *frame,
                             uint32_t bytes, uint16_t csum_start, uint16_t csum_offset,
                             void *cookie)
{
	struct virtio_net_queue_pair *pair = &net->pairs[pair_index];
	struct virtio_ring *ring = &pair->tx;
	if (__builtin_expect(!pair->one_descriptor || !ring->free_count, 0))
		return false;
	struct virtio_net_header *header = (struct virtio_net_header *)frame - 1;
	header->flags = VIRTIO_NET_NEEDS_CSUM;
	header->gso_type = VIRTIO_NET_GSO_NONE;
	header->header_length = header->gso_size = header->num_buffers = 0;
	header->csum_start = csum_start;
	header->csum_offset = csum_offset;
	ring_add_one(ring, header, bytes + VIRTIO_NET_HEADER_BYTES, 0, cookie);
	pair->tx_bytes += bytes;
	pair->tx_packets++;
	return true;
}

size_t virtio_net_reclaim(struct virtio_net *net, uint16_t pair_index,
                          void (*done)(void *context, void *cookie), void *context)
{
	struct virtio_net_queue_pair *pair = &net->pairs[pair_index];
	struct virtio_ring *ring = &pair->tx;
	size_t count = 0;
	do {
		for (uint64_t ready = ring_poll(ring); ready; ready--) {
			uint32_t bytes;
			struct virtio_ring_slot *slot = ring_consume(ring, &bytes);
			if (!slot)
				continue;
			void *cookie = slot->cookie;
			ring_release(ring, slot);
			done(context, cookie);
			count++;
		}
	} while (pair->tx_interrupts && !ring_arm(ring, 0));
	if (!pair->tx_interrupts)
		ring_disarm(ring);
	pair->tx_reclaimed += count;
	return count;
}

unsigned virtio_net_publish_and_kick(struct virtio_net *net, uint16_t pair_index)
{
	struct virtio_net_queue_pair *pair = &net->pairs[pair_index];
	unsigned kicks = ring_publish_and_kick(&pair->rx);
	return kicks + ring_publish_and_kick(&pair->tx);
}

uint64_t virtio_net_packets(const struct virtio_net *net, uint16_t pair_index, uint64_t *bytes)
{
	const struct virtio_net_queue_pair *pair = &net->pairs[pair_index];
	*bytes = pair->rx_bytes + pair->tx_bytes;
	return pair->rx_packets + pair->tx_packets;
}
