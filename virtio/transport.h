/*
 * How a driver reaches one virtio device, whatever the bus: modern devices only
 * (VIRTIO_F_VERSION_1).
 *
 * A transport is made by a probe function (virtio_mmio_probe, virtio_pci_probe; virtio/probe.h
 * walks the device tree) or, in host tests, by a simulated device. Legal order, virtio 1.2 §3.1.1:
 *
 *   probe -> virtio_begin -> virtio_accept(features) -> {queue_max, queue_setup} per queue ->
 * virtio_driver_ok
 *         -> notify, read_interrupt, config ... -> virtio_reset
 *
 * All functions are called by the hart that owns the device. Errors are negative errno values.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/irq.h"

enum virtio_device_type {
	VIRTIO_DEVICE_NET = 1,
	VIRTIO_DEVICE_RNG = 4,
};

/* Device status, virtio 1.2 §2.1. */
enum virtio_status {
	VIRTIO_STATUS_ACKNOWLEDGE = 1,
	VIRTIO_STATUS_DRIVER = 2,
	VIRTIO_STATUS_DRIVER_OK = 4,
	VIRTIO_STATUS_FEATURES_OK = 8,
	VIRTIO_STATUS_NEEDS_RESET = 64,
	VIRTIO_STATUS_FAILED = 128,
};

/* Interrupt reasons, virtio 1.2 §4.1.4.5 and §4.2.2. */
enum virtio_interrupt {
	VIRTIO_INTERRUPT_QUEUE = 1,
	VIRTIO_INTERRUPT_CONFIG = 2,
};

/* Features of every device, virtio 1.2 §6. */
#define VIRTIO_F_INDIRECT_DESC   (1ull << 28)
#define VIRTIO_F_EVENT_IDX       (1ull << 29)
#define VIRTIO_F_VERSION_1       (1ull << 32)
#define VIRTIO_F_ACCESS_PLATFORM (1ull << 33) /* accepted: there is no IOMMU in front of us */

struct virtio_transport;

/* The MSI-X capability of a PCI function (PCI Express 5.0 §7.7.2) and the table that it names. */
struct pci_msix {
	volatile uint8_t *control; /* in configuration space */
	volatile uint8_t *table;   /* in a BAR */
	uint16_t entries;
};

/* Where the parts of a queue lie, as the device sees them. */
struct virtio_queue_place {
	uint64_t descriptors;
	uint64_t available;
	uint64_t used;
	uint16_t size;
};

struct virtio_transport_ops {
	uint64_t (*read_features)(struct virtio_transport *transport);
	void (*write_features)(struct virtio_transport *transport, uint64_t features);
	uint8_t (*read_status)(struct virtio_transport *transport);
	void (*write_status)(struct virtio_transport *transport, uint8_t status);
	/* Over the wire: why the device interrupted (enum virtio_interrupt); reading acknowledges.
	 * 0: it did not. */
	uint32_t (*read_interrupt)(struct virtio_transport *transport);
	uint32_t (*config_generation)(struct virtio_transport *transport);
	/* One aligned field of the device's configuration of 1, 2 or 4 bytes; 0 beyond its end. */
	uint32_t (*config_field)(struct virtio_transport *transport, uint32_t offset,
	                         uint32_t bytes);
	/* The largest ring of queue `index`; 0: there is no such queue. */
	uint16_t (*queue_max)(struct virtio_transport *transport, uint16_t index);
	/* Of the queue that queue_max was last asked for. With messages, queue n sends message
	 * n + 1 if there is one, else none. -EPROTO: the device refuses. */
	int (*queue_setup)(struct virtio_transport *transport, uint16_t index,
	                   const struct virtio_queue_place *place);
	/* Only where transport->vectors is not 0. Between resets: send the first `count` messages
	 * from now on, instead of using the wire; 0: the wire again. */
	void (*use_messages)(struct virtio_transport *transport, const struct irq_message *messages,
	                     uint16_t count);
	/* With messages, after each reset: let changes of the configuration send message 0.
	 * -EPROTO: the device refuses. */
	int (*config_setup)(struct virtio_transport *transport);
	/* Tell the device that queue `index` has new buffers; orders the ring's contents before it.
	 */
	void (*notify)(struct virtio_transport *transport, uint16_t index);
};

/* Memory that the device may read and write: page-aligned, contiguous, with any contents. NULL when
 * short. */
struct virtio_memory {
	void *(*alloc)(void *context, size_t bytes);
	void (*free)(void *context, void *memory, size_t bytes);
	void *context;
};

#define VIRTIO_PCI_QUEUES_MAX 32

/* Owned by whoever probed it; must outlive the driver. */
struct virtio_transport {
	const struct virtio_transport_ops *ops;
	uint64_t dma_offset; /* address of memory for us minus address for the device */
	struct virtio_memory memory;
	uint32_t device_type;      /* enum virtio_device_type */
	uint64_t offered;          /* features, as of virtio_begin */
	struct dtb_interrupt wire; /* shared by all queues; number 0: none */
	uint16_t vectors;  /* messages that it can send and that would reach us; 0: wire only */
	uint16_t messages; /* in use: 0 for the configuration, n + 1 for queue n; 0: the wire */
	const char *bus;   /* "mmio" or "pci", for messages */
	volatile uint8_t *base; /* mmio: the registers; pci: the common configuration */
	volatile uint8_t *device_config;
	uint32_t device_config_bytes;
	/* pci only */
	uint16_t queues; /* that there are */
	volatile uint8_t *isr;
	volatile uint8_t *notify_base;
	uint32_t notify_bytes;
	uint32_t notify_multiplier;
	struct pci_msix msix;
	volatile uint16_t *doorbells[VIRTIO_PCI_QUEUES_MAX];
};

static inline uint64_t virtio_dma_address(const struct virtio_transport *transport,
                                          const void *memory)
{
	return (uint64_t)(uintptr_t)memory - transport->dma_offset;
}

/* Reset the device and tell it that it has a driver; what it offers. -ENODEV: it does not come out
 * of reset. */
int virtio_begin(struct virtio_transport *transport, uint64_t *offered);
/* Accept `features`, a subset of what is offered; `negotiated` gets VERSION_1 (and ACCESS_PLATFORM)
 * as well. -ENOTSUP: a legacy device, or it refuses the choice; it is left in state FAILED. */
int virtio_accept(struct virtio_transport *transport, uint64_t features, uint64_t *negotiated);
/* Queues are set up: the device may use them from now on. */
void virtio_driver_ok(struct virtio_transport *transport);
/* Give up; the device stays quiet until reset. */
void virtio_fail(struct virtio_transport *transport);
/* Afterwards the device uses no memory of ours. False: it does not obey within the bound. */
bool virtio_reset(struct virtio_transport *transport);
/* The device asks to be reset (§2.1.2). */
bool virtio_needs_reset(struct virtio_transport *transport);

/* A field of the device's configuration: 2, 4 or 8 bytes, or an array of single ones. */
struct virtio_config_field {
	uint32_t offset, bytes;
	void *out;
};
/* Fields of one state of the configuration (§2.5.1: read again when the generation changed). */
void virtio_config_read(struct virtio_transport *transport,
                        const struct virtio_config_field *fields, unsigned count);

/* The type of the device that a slot names, 0: it is empty. For virtio_mmio_probe to verify. */
uint32_t virtio_mmio_type(volatile void *base, uint32_t bytes);
/*
 * virtio-mmio (virtio 1.2 §4.2.2). Fills `transport` but for `memory` and `dma_offset`, which the
 * caller sets. `base` is the mapped register block, `type` its virtio_mmio_type. -ENODEV: nothing
 * behind this slot; -ENOTSUP: a legacy (version 1) device.
 */
int virtio_mmio_probe(struct virtio_transport *transport, volatile void *base, uint32_t bytes,
                      uint32_t type, const struct dtb_interrupt *wire);
