/*
 * virtio-net (virtio 1.2 §5.1): raw frames in buffers of the caller, identified by opaque cookies.
 *
 * The driver knows neither packet buffers nor the stack. A cookie comes back exactly once: from
 * virtio_net_receive, virtio_net_reclaim, or virtio_net_fini. All functions are called by the hart
 * that owns the queue pair (0 for all until there are more), never from an interrupt that nests.
 *
 * One turn of the owner:
 *
 *     while (virtio_net_receive(...))      packets up; at most the caller's budget
 *             ...
 *     virtio_net_reclaim(...)              transmit completions: drop the packets' references
 *     virtio_net_transmit(...) ...         output; -ENOSPC: hold it back, virtio_net_tx_arm
 *     virtio_net_post_rx(...) ...          refill until -ENOSPC
 *     virtio_net_publish_and_kick(...)     once: everything above becomes visible, at most one kick
 * per ring before sleeping: if (!virtio_net_rx_arm(...))         work arrived meanwhile: another
 * turn
 *
 * Interrupts are off (as far as the device heeds it) except between rx_arm / tx_arm and the next
 * interrupt. A spurious interrupt, a late one, or several merged into one do no harm: progress
 * never depends on their number.
 *
 * A device that misbehaves (bad used index, id or length, wrong num_buffers) is counted in the
 * statistics and its entry is ignored; cookies whose completion it spoils come back from
 * virtio_net_fini only.
 */
#pragma once

#include "virtio/transport.h"

/* Features, virtio 1.2 §5.1.3. */
#define VIRTIO_NET_F_CSUM        (1ull << 0) /* transmit: device completes checksums */
#define VIRTIO_NET_F_GUEST_CSUM  (1ull << 1) /* receive: frames may have partial checksums */
#define VIRTIO_NET_F_MTU         (1ull << 3)
#define VIRTIO_NET_F_MAC         (1ull << 5)
#define VIRTIO_NET_F_GUEST_TSO4  (1ull << 7) /* receive: TCP over IPv4 in units up to 64 KiB */
#define VIRTIO_NET_F_GUEST_TSO6  (1ull << 8)
#define VIRTIO_NET_F_GUEST_ECN   (1ull << 9)
#define VIRTIO_NET_F_HOST_TSO4   (1ull << 11) /* transmit: device cuts TCP over IPv4 */
#define VIRTIO_NET_F_HOST_TSO6   (1ull << 12)
#define VIRTIO_NET_F_HOST_ECN    (1ull << 13)
#define VIRTIO_NET_F_MRG_RXBUF   (1ull << 15)
#define VIRTIO_NET_F_STATUS      (1ull << 16)
#define VIRTIO_NET_F_CTRL_VQ     (1ull << 17)
#define VIRTIO_NET_F_MQ          (1ull << 22)

/* Bytes in front of every frame, in both directions. */
#define VIRTIO_NET_HEADER_BYTES  12
/* Longest chain that virtio_net_transmit takes (a chain longer than this must be copied together).
 */
#define VIRTIO_NET_SEGMENTS_MAX  32
/* Most buffers in one received packet: 64 KiB and headers in buffers of 2 KiB. */
#define VIRTIO_NET_PIECES_MAX    34
/* Smallest receive buffer, header included; without MRG_RXBUF also the largest frame that can come.
 */
#define VIRTIO_NET_RX_BUFFER_MIN 1536
/* Receive buffer that holds any GUEST_TSO unit without MRG_RXBUF (§5.1.6.3.1). */
#define VIRTIO_NET_RX_BUFFER_TSO 65562

/* Values of virtio_net_rx.flags and virtio_net_tx_header.flags, §5.1.6. */
enum virtio_net_header_flags {
	VIRTIO_NET_NEEDS_CSUM = 1, /* checksum is partial: fill in at csum_start + csum_offset */
	VIRTIO_NET_DATA_VALID = 2, /* receive: checksum was verified */
};
enum virtio_net_gso {
	VIRTIO_NET_GSO_NONE = 0,
	VIRTIO_NET_GSO_TCP4 = 1,
	VIRTIO_NET_GSO_TCP6 = 4,
	VIRTIO_NET_GSO_ECN = 0x80, /* ORed: CWR only in the first segment */
};

/* virtio 1.2 §5.1.6, as it lies in memory. */
struct virtio_net_header {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t header_length;
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t num_buffers;
};
_Static_assert(sizeof(struct virtio_net_header) == VIRTIO_NET_HEADER_BYTES, "§5.1.6");

/* Every mechanism can be switched off, to measure what it is worth. Start from
 * VIRTIO_NET_CONFIG_DEFAULT. */
struct virtio_net_config {
	uint16_t queue_pairs;     /* at most; what the device and MQ allow is used */
	uint16_t ring_size;       /* at most; a power of two */
	uint32_t rx_buffer_bytes; /* of the buffers that will be posted, header included */
	bool event_idx;
	bool indirect;
	bool mergeable_buffers; /* MRG_RXBUF */
	bool tx_checksum;       /* CSUM */
	bool tx_segmentation;   /* HOST_TSO4/6, ECN; needs tx_checksum */
	bool rx_checksum;       /* GUEST_CSUM */
	bool rx_segmentation; /* GUEST_TSO4/6, ECN; needs rx_checksum, and mergeable_buffers or big
	                         buffers */
	bool header_in_headroom; /* header and first segment in one descriptor when the caller has
	                            the room */
	bool coalesce_kicks;     /* off: every transmit publishes and kicks by itself */
	bool tx_interrupts_off;  /* off: completions raise interrupts always */
};

#define VIRTIO_NET_CONFIG_DEFAULT                                                                  \
	((struct virtio_net_config){                                                               \
	        .queue_pairs = 1,                                                                  \
	        .ring_size = 256,                                                                  \
	        .rx_buffer_bytes = 4096,                                                           \
	        .event_idx = true,                                                                 \
	        .indirect = true,                                                                  \
	        .mergeable_buffers = true,                                                         \
	        .tx_checksum = true,                                                               \
	        .tx_segmentation = true,                                                           \
	        .rx_checksum = true,                                                               \
	        .rx_segmentation = true,                                                           \
	        .header_in_headroom = true,                                                        \
	        .coalesce_kicks = true,                                                            \
	        .tx_interrupts_off = true,                                                         \
	})

/* One buffer of a received packet. */
struct virtio_net_piece {
	void *cookie;
	uint32_t bytes; /* of the frame in this buffer */
};

/* One received packet. The frame begins VIRTIO_NET_HEADER_BYTES into the first buffer and at the
 * start of each further one. Fields are the device's words, in host order: whether csum_start lies
 * inside the frame is for the caller to check. Those from header_length to csum_offset are set only
 * with NEEDS_CSUM or a gso_type. */
struct virtio_net_rx {
	uint8_t flags;    /* enum virtio_net_header_flags */
	uint8_t gso_type; /* enum virtio_net_gso */
	uint16_t header_length;
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t piece_count;  /* >= 1 */
	uint32_t packet_bytes; /* of the frame in all pieces */
	/* valid until the next virtio_net_receive of this queue pair */
	const struct virtio_net_piece *pieces;
};

struct virtio_net_segment {
	const void *data;
	uint32_t bytes;
};

/* What the device is to do to a frame; all zero: nothing. */
struct virtio_net_tx_header {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t header_length; /* Ethernet to TCP, for GSO */
	uint16_t gso_size;
	uint16_t csum_start; /* from the start of the frame */
	uint16_t csum_offset;
};

struct virtio_net_statistics {
	uint64_t rx_packets, rx_bytes, rx_buffers, rx_merged, rx_arms, rx_kicks, rx_kicks_saved;
	uint64_t tx_packets, tx_bytes, tx_full, tx_indirect, tx_reclaimed, tx_arms, tx_kicks,
	        tx_kicks_saved;
	uint64_t interrupts, interrupts_spurious, config_changes, restarts;
	/* The device's faults. */
	uint64_t bad_used_index, bad_used_id, bad_length, bad_num_buffers;
};

struct virtio_net_queue_pair;
struct virtio_net_control;

/* Owned by the caller, zeroed before init. */
struct virtio_net {
	struct virtio_transport *transport;
	struct virtio_net_config config;
	uint64_t features; /* negotiated */
	uint8_t mac[6];
	uint16_t mtu; /* IP bytes per frame: the device's, or 1500 */
	bool has_mac; /* false: the caller must choose one */
	bool link_up;
	bool needs_reset; /* it said so: virtio_net_restart */
	uint16_t pair_count;
	struct virtio_net_queue_pair *pairs;
	struct virtio_net_control *control; /* NULL with one queue pair */
	uint64_t interrupts, interrupts_spurious, config_changes, restarts;
};

/* Negotiate and set up all queues. The device runs afterwards, with no receive buffers yet.
 * -ENODEV, -ENOTSUP, -ENOMEM, -EINVAL (rx_buffer_bytes too small), -EPROTO (it refuses to send the
 * messages that the transport uses: try the wire). */
int virtio_net_init(struct virtio_net *net, struct virtio_transport *transport,
                    const struct virtio_net_config *config);
/* Reset the device, hand back every cookie that it still held, and free the queues. False (and
 * nothing freed: the device might still write) when it does not come to rest. */
bool virtio_net_fini(struct virtio_net *net, void (*drop_rx)(void *context, void *cookie),
                     void (*drop_tx)(void *context, void *cookie), void *context);
/* For a device that needs a reset (virtio 1.2 §2.1.2): fini, and init with the same configuration.
 * The features may be others, and the queue pairs' statistics begin anew. Errors of init, after
 * which no queue pair is left, and -EBUSY, when it does not come to rest and nothing was freed:
 * then the device must not be used any more. */
int virtio_net_restart(struct virtio_net *net, void (*drop_rx)(void *context, void *cookie),
                       void (*drop_tx)(void *context, void *cookie), void *context);

/* The device's interrupt over its wire (level-triggered): quietens it and says why (enum
 * virtio_interrupt). On QUEUE all queues are disarmed: poll, and arm again before sleeping. On
 * CONFIG the link and mtu have been read anew; a device that needs a reset has no link. */
uint32_t virtio_net_interrupt(struct virtio_net *net);
/* The same when it sends messages (transport->messages), which say why: no register is read. */
#define VIRTIO_NET_MESSAGE_CONFIG   0
#define VIRTIO_NET_MESSAGE_RX(pair) (1 + 2 * (pair))
#define VIRTIO_NET_MESSAGE_TX(pair) (2 + 2 * (pair))
void virtio_net_rx_message(struct virtio_net *net, uint16_t pair);
void virtio_net_tx_message(struct virtio_net *net, uint16_t pair);
void virtio_net_config_message(struct virtio_net *net);

/* ---- receive ---- */

/* Lend a buffer of `bytes` (at least config.rx_buffer_bytes), 2-byte aligned, to the device; an
 * address of 2 modulo 4 aligns the IP header to 4. -ENOSPC: the ring is full. It becomes visible at
 * publish_and_kick. */
int virtio_net_post_rx(struct virtio_net *net, uint16_t pair, void *buffer, uint32_t bytes,
                       void *cookie);
/* Packets that the device has completed, at most `max`; 0: none. Their buffers are the caller's
 * again. */
size_t virtio_net_receive(struct virtio_net *net, uint16_t pair, struct virtio_net_rx *out,
                          size_t max);
/* The same one by one, in a straight line. How many used entries can be consumed: */
uint64_t virtio_net_receive_ready(struct virtio_net *net, uint16_t pair);
/* ... and the next one's cookie, when it is a packet in one good buffer: the frame lies behind
 * `header`. NULL, and nothing consumed, when it is something else (virtio_net_receive sees to it).
 * Only while virtio_net_receive_ready's count lasts. virtio_net_received counts what was taken. */
void *virtio_net_receive_one(struct virtio_net *net, uint16_t pair,
                             const struct virtio_net_header **header, uint32_t *frame_bytes);
void virtio_net_received(struct virtio_net *net, uint16_t pair, uint64_t packets, uint64_t bytes);
/* Before sleeping: ask for an interrupt for the next packet, and for transmit completions when the
 * transmit ring is nearly full. False: there is work already, take another turn. Publish first. */
bool virtio_net_rx_arm(struct virtio_net *net, uint16_t pair);
/* No interrupts, please: they are looked at anyway. */
void virtio_net_rx_disarm(struct virtio_net *net, uint16_t pair);

/* ---- transmit ---- */

/* How many frames of up to `segments` pieces each are sure to fit right now. A frame that is sent
 * without header_space counts one piece more. */
uint32_t virtio_net_tx_space(const struct virtio_net *net, uint16_t pair, uint32_t segments);
/*
 * Send one frame of `count` segments (1..VIRTIO_NET_SEGMENTS_MAX), which stay unchanged until
 * `cookie` comes back through reclaim. `header` may be NULL (nothing to do). `header_space`:
 * VIRTIO_NET_HEADER_BYTES directly in front of segments[0].data, 2-byte aligned, that belong to
 * this frame until then (saves a descriptor); or NULL. -ENOSPC: the ring is full, nothing was
 * taken; -EINVAL: bad count.
 */
int virtio_net_transmit(struct virtio_net *net, uint16_t pair,
                        const struct virtio_net_segment *segments, uint32_t count,
                        const struct virtio_net_tx_header *header, void *header_space,
                        void *cookie);
/* The same, in a straight line, for a frame in one piece whose checksum is open: 2-byte aligned,
 * with VIRTIO_NET_HEADER_BYTES in front of it that belong to it. False: not now, or not this way;
 * nothing was taken. */
bool virtio_net_transmit_one(struct virtio_net *net, uint16_t pair, void *frame, uint32_t bytes,
                             uint16_t csum_start, uint16_t csum_offset, void *cookie);
/* Hand the cookies of all frames that the device is done with to `done`. Returns how many. */
size_t virtio_net_reclaim(struct virtio_net *net, uint16_t pair,
                          void (*done)(void *context, void *cookie), void *context);
/* Frames sent and not reclaimed. */
uint32_t virtio_net_tx_outstanding(const struct virtio_net *net, uint16_t pair);
/*
 * Ask for one interrupt when most of what is outstanding is done. False: enough is done already (or
 * nothing is outstanding): reclaim now. Needed before sleeping when something waits for completions
 * although the ring has room (a send buffer that counts unreclaimed frames); a ring that is nearly
 * full is seen to by virtio_net_rx_arm. Publish first.
 */
bool virtio_net_tx_arm(struct virtio_net *net, uint16_t pair);

/* ---- both ---- */

/* Make everything posted and transmitted visible to the device; at most one kick per ring. Returns
 * the kicks. */
unsigned virtio_net_publish_and_kick(struct virtio_net *net, uint16_t pair);

/* Packets that the pair ever moved, both ways, and their bytes: read_statistics in brief. */
uint64_t virtio_net_packets(const struct virtio_net *net, uint16_t pair, uint64_t *bytes);
/* Sum over all queue pairs. */
void virtio_net_read_statistics(const struct virtio_net *net, struct virtio_net_statistics *out);
/* Check every invariant of the rings (tests, dumps). NULL when sound, else a text that names the
 * broken one. */
const char *virtio_net_verify(const struct virtio_net *net);
