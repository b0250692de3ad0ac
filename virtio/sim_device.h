/*
 * A virtio device made of plain memory, for host tests: it obeys the specification's device side
 * (and is asked by the tests to break it). Addresses that the driver gives it are shifted by
 * SIM_DMA_OFFSET, so that a forgotten translation is a wild pointer.
 */
#pragma once

#include "virtio/ring.h"

enum { SIM_QUEUES = 9, SIM_CHAIN_MAX = 64, SIM_CONFIG_BYTES = 12 };
#define SIM_DMA_OFFSET 0x1000000000ull

struct sim_queue {
	struct virtio_descriptor *descriptors;
	struct virtio_available *available;
	struct virtio_used *used;
	uint16_t size; /* 0: not set up */
	uint16_t avail_seen;
	uint16_t used_index;     /* entries written */
	uint16_t used_published; /* entries visible to the driver */
	bool notified;           /* a kick that the device has not looked at */
	bool awake;              /* looks at the ring without being kicked */
	unsigned kicks;
};

struct sim {
	struct virtio_transport transport; /* keep first */
	uint64_t offered, accepted;
	uint8_t status;
	uint32_t interrupt; /* enum virtio_interrupt; not 0: the line is up */
	uint32_t generation;
	uint8_t config[SIM_CONFIG_BYTES];
	uint16_t queue_size, queue_count;
	struct sim_queue queues[SIM_QUEUES];
	bool config_message_set;                            /* since the last reset */
	unsigned interrupts;                                /* edges of the line */
	unsigned allocations;                               /* blocks that the driver holds */
	int allocations_left;                               /* fail when 0; -1: never */
	void (*on_notify)(struct sim *sim, unsigned queue); /* answers at once; may be NULL */
	/* How it misbehaves at set-up. */
	unsigned refuses_message; /* number + 1 */
	bool refuses_features, never_resets, changes_config_while_read;
	bool liar; /* completes what it never took: then the ring need not make sense to it */
};

/* One request of the driver's. */
struct sim_chain {
	uint16_t id;
	unsigned count;
	bool indirect;
	struct {
		uint8_t *data;
		uint32_t bytes;
		bool writable;
	} pieces[SIM_CHAIN_MAX];
};

void sim_init(struct sim *sim, uint32_t device_type, uint64_t features, uint16_t queue_count,
              uint16_t queue_size);
bool sim_event_idx(const struct sim *sim);
/* Take the next request; false: none. A chain that breaks the rules fails the test. */
bool sim_pop(struct sim *sim, unsigned queue, struct sim_chain *chain);
/* Put the last `chains` requests back. */
void sim_unpop(struct sim *sim, unsigned queue, unsigned chains);
/* Nothing left: ask for a kick, look once more. True: go on, there is something. */
bool sim_sleep(struct sim *sim, unsigned queue);
/* Write a used entry, not visible yet. */
void sim_push(struct sim *sim, unsigned queue, uint32_t id, uint32_t bytes);
/* Make all entries visible, and interrupt if the driver asked for it. */
void sim_complete(struct sim *sim, unsigned queue);
/* A frame for the driver: into one buffer, or several with MRG_RXBUF. Not visible before
 * sim_complete. False: too few buffers (nothing happened). `header` is a struct virtio_net_header
 * whose num_buffers is filled in. */
bool sim_deliver(struct sim *sim, unsigned queue, const void *header, const uint8_t *frame,
                 uint32_t bytes);
