/*
 * What the device tree says of a PCI host: IEEE 1275's PCI binding, and Linux's pci-msi.txt. Pure,
 * for any tree: what does not make sense is not found.
 */
#pragma once

#include "core/dtb.h"
#include "virtio/pci.h"

/* Entry of `ranges`: a window for memory BARs. */
struct pci_tree_window {
	uint64_t bus_address, address, bytes; /* as BARs and as the CPU name its start */
	bool is_64bit;
};
/* At most `max`; returns how many. */
uint32_t pci_tree_windows(const struct dtb *dtb, dtb_node host, struct pci_tree_window *out,
                          uint32_t max);
/* The wire behind a function's pin (pci_read_pin), through interrupt-map (Devicetree Specification
 * §2.4.3). */
struct dtb_interrupt pci_tree_wire(const struct dtb *dtb, dtb_node host,
                                   const struct pci_function *function, uint8_t pin);
/* The controller that a function's messages reach, by msi-map or msi-parent; DTB_NONE: none. */
dtb_node pci_tree_messages(const struct dtb *dtb, dtb_node host,
                           const struct pci_function *function);
