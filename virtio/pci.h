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

#define VIRTIO_PCI_VENDOR   0x1af4
#define PCI_CAPABILITY_MSIX 0x11
#define PCI_WINDOWS_MAX     4
#define PCI_BARS            6

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
	uint8_t header_type;
	volatile uint8_t *config; /* its 4 KiB of configuration space */
	/* As of pci_begin. */
	uint16_t command;
	bool has_capabilities;
	/* pci_bar's. */
	bool window_full;   /* a BAR found no room */
	uint8_t bars_tried; /* bit n: nothing more is to be done for BAR n */
	volatile uint8_t *bars[PCI_BARS];
	uint64_t bar_bytes[PCI_BARS];
};

/* Call `found` for every function on first_bus (no bridges are crossed). Stops early when it
 * returns false. */
void pci_enumerate(struct pci_host *host,
                   bool (*found)(void *context, struct pci_function *function), void *context);
/* The pin that the function interrupts by: 1..4: INTA..INTD; 0: none. */
uint8_t pci_read_pin(const struct pci_function *function);

/*
 * A driver takes over a function:
 *   pci_begin -> {pci_next_capability, pci_bar, pci_use_msix} -> pci_enable -> use of its BARs
 * Each access to a function leaves the machine under KVM: nothing is read twice, and only BARs that
 * are asked for are sized and placed.
 */

/* Switch its decoders off. -ENODEV: a bridge. */
int pci_begin(struct pci_function *function);
/* Switch memory access and bus mastering on. */
void pci_enable(struct pci_function *function);
/* `bytes` from `offset` of a memory BAR, which is placed if it is not yet. NULL: there is no such
 * BAR, it is shorter, an I/O BAR, or there was no room for it. */
volatile uint8_t *pci_bar(struct pci_function *function, unsigned index, uint64_t offset,
                          uint64_t bytes);

/* Begins as zeroes. */
struct pci_walk {
	uint64_t visited; /* one bit per aligned offset: a list that runs in a circle ends where it
	                     closes */
	uint32_t head;    /* the first 4 bytes of the capability that was returned last: its id, the
	                     next one's offset, 2 bytes of its own */
	uint8_t next;
};
/* Offset of the next capability; 0: no more. Never loops. */
uint8_t pci_next_capability(const struct pci_function *function, struct pci_walk *walk);

/* Take over the MSI-X capability at `at`, which begins with `head`; it sends nothing yet. False:
 * its table lies outside its BAR. */
bool pci_use_msix(struct pci_function *function, uint8_t at, uint32_t head, struct pci_msix *out);
/* While it sends none: have it send the first `count` entries' messages, at most `entries`. 0: send
 * none. */
void pci_msix_send(const struct pci_msix *msix, const struct irq_message *messages, uint16_t count);

/* The type that a virtio function's numbers name, 0: it is none (vendor 1af4, devices 1000 to
 * 107f). */
uint32_t virtio_pci_type(const struct pci_function *function);
/* A function of virtio_pci_type `type`; same rules as virtio_mmio_probe. `messages`: those that it
 * sends reach us. -ENODEV: no usable modern capabilities. */
int virtio_pci_probe(struct virtio_transport *transport, struct pci_function *function,
                     uint32_t type, const struct dtb_interrupt *wire, bool messages);
