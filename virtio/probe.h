/* Finds the machine's virtio devices: every virtio,mmio node and everything behind every
 * pci-host-ecam-generic node of the device tree. Kernel only (direct map, heap and pages of core/).
 */
#pragma once

#include "core/dtb.h"
#include "virtio/transport.h"

/* Of enum virtio_device_type, as a bit of a set. */
#define VIRTIO_WANTED(type) (1ull << (type))

/* What is looked for. To look at a device costs time, under KVM an exit for each access: devices of
 * other types are passed over, and the search ends when nothing is wanted any more. */
struct virtio_search {
	uint64_t wanted; /* types; `found` may take some out */
	/* The transport is complete (memory, dma_offset, wire, vectors); true keeps it for ever,
	 * false gives it back. */
	bool (*found)(struct virtio_search *search, struct virtio_transport *transport);
};

/* Calls `found` for modern devices, in ascending order of address on the mmio bus, then pci. 0 or
 * -ENOMEM. */
int virtio_probe(const struct dtb *dtb, struct virtio_search *search);
