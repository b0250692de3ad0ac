/* Between the files of the net driver. */
#pragma once

#include "virtio/net.h"
#include "virtio/ring.h"

/* Longest chain that is put into the ring itself; longer ones go into an indirect table. */
#define NET_DIRECT_MAX 3
#define NET_TABLES     60 /* the transmit ring's memory stays below 48 KiB */

/* One per hart that sends and receives. Owned by struct virtio_net. */
struct virtio_net_queue_pair {
	struct virtio_ring rx, tx;
	struct virtio_net_piece *pieces; /* one per entry of the receive ring */
	struct virtio_net_header
	        *tx_headers; /* one per descriptor, for frames without header_space */
	bool mergeable, headroom, coalesce, tx_interrupts;
	bool one_descriptor; /* headroom and coalesce: the short way of virtio_net_transmit */
	void *memory;        /* of pieces and tx_headers */
	size_t memory_bytes;
	uint64_t rx_packets, rx_bytes, rx_buffers, rx_merged;
	uint64_t tx_packets, tx_bytes, tx_full, tx_indirect, tx_reclaimed;
	uint64_t bad_length, bad_num_buffers;
};

/* The control queue (§5.1.6.5): set up before DRIVER_OK, used after it, freed after reset. */
int virtio_net_control_init(struct virtio_net *net, uint16_t queue);
void virtio_net_control_fini(struct virtio_net *net);
/* One command, waited for. -EIO: refused, or the device misbehaves; -ETIMEDOUT: no more commands.
 */
int virtio_net_control(struct virtio_net *net, uint8_t class_, uint8_t command, const void *data,
                       uint32_t bytes);

#define VIRTIO_NET_CONTROL_MQ           4
#define VIRTIO_NET_CONTROL_MQ_PAIRS_SET 0
