/*
 * Packet buffers.
 *
 * A pbuf is one contiguous piece of a packet together with the storage it lies in: the struct, then headroom, data and
 * tailroom in one block of a fixed class. Packets of several pieces are chains through `next`. A "slice" is a pbuf without
 * storage of its own that refers to bytes of another (its `owner`), which it keeps alive: so TCP sends part of a unit, or
 * retransmits it, without a copy. An "external" pbuf's storage is memory of someone else, which is only read, and is told
 * to its `release` function when the last reference is gone: so files go out without a copy.
 *
 * Ownership: a function that takes a pbuf takes the caller's reference unless it says otherwise; pbuf_free drops one
 * reference of every pbuf of the chain up to the first that is still referenced elsewhere. Storage may be read by a device while
 * a reference is held by the driver: bytes that were handed to the driver are not changed while `refs` > 1.
 *
 * Pools are per stack, have a cap in bytes, and fail with NULL: exhaustion is an ordinary case of every caller.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "evloop/list.h"

struct pbuf_pool;

/* Nobody reads these bytes any more. */
typedef void pbuf_release(const void *bytes, size_t length);

enum pbuf_class {
	PBUF_SLICE, /* struct only: data belongs to `owner` */
	PBUF_EXTERNAL, /* struct only: `block` is not the pool's */
	PBUF_SMALL, /* one MSS with all headers: control segments, datagrams, small writes (2 KiB block) */
	PBUF_PAGE,  /* receive buffers (4 KiB block) */
	PBUF_UNIT,  /* transmit units: 64 KiB of payload plus headroom (PBUF_UNIT_PAYLOAD) */
	PBUF_CLASSES
};

/* Room in front of a transport payload: virtio-net header (12) + Ethernet (14) + IPv6 (40) + TCP with options (60), rounded. */
#define PBUF_HEADROOM 128
#define PBUF_UNIT_PAYLOAD 65536
/* Headroom of a receive buffer that a driver hands to a device which puts 12 or 20 bytes (virtio-net header) in front of the
 * frame: the IP header then lies 4-aligned. Other alignments work but cost a move of the frame in netif_input. */
#define PBUF_RECEIVE_HEADROOM 2

enum pbuf_flags {
	PBUF_CSUM_VALID = 1 << 0,   /* receive: transport checksum known good (device, or loopback) */
	PBUF_CSUM_PARTIAL = 1 << 1, /* transmit (and loopback receive): pseudo-header sum is stored at csum_start+csum_offset,
	                             * the rest is for the device or for the driver's edge to fill in */
	PBUF_GSO_TCP4 = 1 << 2,     /* payload is longer than gso_size: cut into segments by the device or at the edge */
	PBUF_GSO_TCP6 = 1 << 3,
	PBUF_GSO_ECN = 1 << 4, /* CWR only in the first segment */
	PBUF_LOOPED = 1 << 5,  /* never left the machine */
};

struct pbuf {
	struct pbuf *next;     /* next piece of the same packet, or NULL */
	struct list_node link; /* a queue of whole packets; free for the holder of the first pbuf */
	uint8_t *data;         /* first valid byte */
	uint32_t length;       /* valid bytes in this piece */
	uint32_t packet_length; /* first pbuf of a packet: bytes of the whole chain */
	uint8_t *block;        /* storage: [block, block + block_bytes) ; NULL for slices */
	uint32_t block_bytes;
	uint32_t refs;
	union {
		struct pbuf *owner;    /* slices: the pbuf whose storage this one reads */
		pbuf_release *release; /* external ones */
	};
	struct pbuf_pool *pool;
	/* Metadata of the packet, valid in its first pbuf. */
	uint16_t csum_start;  /* bytes from `data` of the frame (Ethernet header included) to the transport header */
	uint16_t csum_offset; /* bytes from there to the checksum field */
	uint16_t gso_size;    /* transport payload bytes per segment */
	uint16_t header_length; /* transmit with GSO: bytes of all headers, Ethernet to transport */
	uint8_t flags;        /* enum pbuf_flags */
	uint8_t class_;       /* enum pbuf_class */
	uint16_t reserved;
	uint32_t sequence;    /* free for the holder: TCP's first sequence number of this piece */
	uint64_t stamp_ns;    /* free for the holder: time of arrival, or of last transmission */
	uint64_t cookie[2];   /* free for the holder: TCP's per-segment state (retransmit, SACK) */
};

struct pbuf_pool_config {
	/* Whole blocks of 2^k bytes, aligned to their size up to 4 KiB, contiguous for DMA. NULL when short. */
	void *(*block_alloc)(void *context, size_t bytes);
	void (*block_free)(void *context, void *block, size_t bytes);
	void *context;
	uint64_t cap_bytes; /* all classes together */
};

struct pbuf_pool_statistics {
	uint64_t bytes_held;  /* taken from block_alloc (cached free blocks included) */
	uint64_t bytes_used;  /* in live pbufs */
	uint64_t live[PBUF_CLASSES];
	uint64_t failures; /* allocations refused: cap or memory */
	uint64_t cap_bytes;
};

int pbuf_pool_create(struct pbuf_pool **out, const struct pbuf_pool_config *config);
/* False (and nothing freed) while pbufs are live. */
bool pbuf_pool_destroy(struct pbuf_pool *pool);
void pbuf_pool_statistics(const struct pbuf_pool *pool, struct pbuf_pool_statistics *out);
/* Gives back all blocks of which nothing is in use. Visits every free pbuf, as pbuf_pool_age does. */
void pbuf_pool_trim(struct pbuf_pool *pool);
/* Gives back those of which nothing was in use since the last call. True: some others are free as a whole now, and may be given
 * back next time. */
bool pbuf_pool_age(struct pbuf_pool *pool);
/* For tests: `fail` is asked at every allocation (NULL: off). */
void pbuf_pool_inject_failures(struct pbuf_pool *pool, bool (*fail)(void *context), void *context);

/* refs 1, length 0, `data` at `headroom` bytes into the room of the block. NULL when the pool is exhausted. */
struct pbuf *pbuf_alloc(struct pbuf_pool *pool, enum pbuf_class class_, uint32_t headroom);
/* A view of [offset, offset+length) of `of` (or of its owner); takes a reference of its own. NULL when exhausted. */
struct pbuf *pbuf_slice(struct pbuf *of, uint32_t offset, uint32_t length);
/* A view of memory outside the pool, which must stay until `release` is called with these very arguments. Packets are made of
 * slices of it: it has no room for headers and must not be given to a driver itself. NULL when exhausted (nothing is released). */
struct pbuf *pbuf_external(struct pbuf_pool *pool, const void *bytes, uint32_t length,
                           pbuf_release *release);
/* Frees an external pbuf that nothing else refers to, without a call of its release function. */
void pbuf_external_drop(struct pbuf *external);
/* The last reference of `packet` is gone. */
void pbuf_recycle(struct pbuf *packet);
static inline void pbuf_free(struct pbuf *packet)
{
	if (packet && --packet->refs == 0)
		pbuf_recycle(packet);
}
static inline struct pbuf *pbuf_ref(struct pbuf *pbuf)
{
	pbuf->refs++;
	return pbuf;
}

static inline uint32_t pbuf_headroom(const struct pbuf *pbuf)
{
	return pbuf->block ? (uint32_t)(pbuf->data - pbuf->block) : 0;
}
static inline uint32_t pbuf_tailroom(const struct pbuf *pbuf)
{
	return pbuf->block ? (uint32_t)(pbuf->block + pbuf->block_bytes - pbuf->data) - pbuf->length : 0;
}
/* Grow at the front by `bytes` <= headroom; returns the new first byte. Keeps packet_length. */
static inline uint8_t *pbuf_push(struct pbuf *pbuf, uint32_t bytes)
{
	pbuf->data -= bytes;
	pbuf->length += bytes;
	pbuf->packet_length += bytes;
	return pbuf->data;
}
/* Drop `bytes` <= length at the front. */
static inline void pbuf_pull(struct pbuf *pbuf, uint32_t bytes)
{
	pbuf->data += bytes;
	pbuf->length -= bytes;
	pbuf->packet_length -= bytes;
}
/* Drop bytes at the front of a chain, freeing pieces that become empty. Returns the new first pbuf (metadata moved along), or
 * NULL when nothing is left. */
struct pbuf *pbuf_trim_front(struct pbuf *packet, uint32_t bytes);
/* Cut the packet to `packet_length` bytes, freeing what is behind. */
void pbuf_trim_back(struct pbuf *packet, uint32_t packet_length);
/* Make the first `bytes` of the packet contiguous in the first pbuf (headers that straddle pieces). False: too short or no
 * memory; the packet is unchanged. */
bool pbuf_pull_up(struct pbuf *packet, uint32_t bytes);
/* Copy out of / into a chain. Return the bytes copied. */
uint32_t pbuf_copy_out(const struct pbuf *packet, uint32_t offset, void *to, uint32_t bytes);
/* Bytes of memory that this packet holds captive (for receive-buffer accounting, Linux's truesize). */
uint32_t pbuf_true_size(const struct pbuf *packet);
