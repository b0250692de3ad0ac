/* Finds the machine's virtio devices: every virtio,mmio node and everything behind every
 * pci-host-ecam-generic node of the device tree. Kernel only (direct map, heap and pages of core/).
 */
#pragma once

#include "core/dtb.h"
#include "virtio/transport.h"

/*
 * Calls `found` once per modern device, in ascending order of address on the mmio bus, then pci.
 * The transport is complete (memory, dma_offset, wire, vectors); true keeps it for ever, false
 * gives it back. Returns the number kept, or -ENOMEM.
 */
int virtio_probe(const struct dtb *dtb,
                 bool (*found)(void *context, struct virtio_transport *transport), void *context);
