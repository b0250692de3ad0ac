/*
 * PCI Express behind an ECAM window: enumeration of bus by bus, BAR assignment, and virtio's
 * capabilities (virtio 1.2 §4.1). Interrupts over the function's wire (INTx) or as messages
 * (MSI-X).
 *
 * Nothing here knows the device tree: virtio/probe.c translates it into these plain parameters,
 * host tests point them at plain memory.
 */
#pragma once

#include "virtio/transport.h"

/* A window of the host bridge through which BARs are reached. */
struct pci_window {
	uint64_t bus_address; /* what is written into BARs */
	uint64_t bytes;
	volatile uint8_t *mapped; /* the same place for us */
	uint64_t next;            /* offset of the first byte not handed out yet */
	bool is_64bit;            /* of the 64-bit memory space (ranges' space code 3) */
};

#define VIRTIO_PCI_VENDOR 0x1af4
#define PCI_WINDOWS_MAX   4

struct pci_host {
	volatile uint8_t *ecam; /* configuration space of first_bus's function 0.0 */
	uint64_t ecam_bytes;
	uint8_t first_bus;
	struct pci_window windows[PCI_WINDOWS_MAX];
	uint32_t window_count;
};

struct pci_function {
	struct pci_host *host;
	uint8_t bus, device, function;
	uint16_t vendor, device_id;
	uint8_t pin;               /* 1..4: INTA..INTD; 0: none */
	volatile uint8_t *config;  /* its 4 KiB of configuration space */
	volatile uint8_t *bars[6]; /* mapped memory BARs; NULL: absent, I/O, or no room */
	uint64_t bar_bytes[6];
};

/* Call `found` for every function on first_bus (no bridges are crossed). Stops early when it
 * returns false. */
void pci_enumerate(struct pci_host *host,
                   bool (*found)(void *context, const struct pci_function *function),
                   void *context);
/* Size and place all memory BARs, enable memory access and bus mastering. -ENOSPC: a window is full
 * (that BAR stays NULL, the others work). */
int pci_assign_bars(struct pci_function *function);
/* Offset of the next capability `id` behind `after` (0: from the start); 0: none. Never loops. */
uint8_t pci_find_capability(const struct pci_function *function, uint8_t id, uint8_t after);

/* BARs are assigned. False: none, or its table lies outside its BAR. */
bool pci_find_msix(const struct pci_function *function, struct pci_msix *out);
/* Have the function send the first `count` entries' messages, at most `entries`, or 0: none. */
void pci_msix_use(const struct pci_msix *msix, const struct irq_message *messages, uint16_t count);

/* A virtio function (vendor 1af4, devices 1000..107f) whose BARs are assigned; same rules as
 * virtio_mmio_probe. `messages`: those that it sends reach us. -ENODEV: not virtio, or without
 * usable modern capabilities. */
int virtio_pci_probe(struct virtio_transport *transport, const struct pci_function *function,
                     const struct dtb_interrupt *wire, bool messages);
