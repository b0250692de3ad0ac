/*
 * External interrupts. A handler runs in the loop (never nested) when its source is pending; it is
 * called with interrupts off, must quieten the device, and usually just posts a watcher.
 *
 * Two kinds of source: wires, which the device tree describes and devices may share, and messages
 * (MSI), which a device writes and which belong to one handler on one hart.
 */
#pragma once

#include <stdint.h>

#include "core/dtb.h"

struct hart;

typedef void irq_handler(void *context);

/* Route a wire to the boot hart and enable it. -ENODEV (no such source, or of a controller that is
 * not in use), -ENOMEM, -ENOSPC (no message left to stand for it). Of a shared wire (PCI INTx)
 * every handler is called. */
int irq_register(const struct dtb_interrupt *wire, irq_handler *handler, void *context);

/* What a device writes to interrupt: `data`, as 32 bits, to the physical `address`. */
struct irq_message {
	uint64_t address;
	uint32_t data;
};

/* The node that msi-parent or msi-map must name for a device to reach us by messages; DTB_NONE:
 * none does. */
dtb_node irq_message_controller(void);
/* A message that calls `handler` on `hart`. By the boot hart, while it boots. -ENOTSUP (the machine
 * has none, or not for this hart), -ENOSPC. */
int irq_message_allocate(struct hart *hart, irq_handler *handler, void *context,
                         struct irq_message *out);
/* The device no longer sends it. */
void irq_message_free(struct hart *hart, const struct irq_message *message);
