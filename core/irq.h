/*
 * External interrupts. A handler runs in the loop (never nested) when its source is pending; it is
 * called with interrupts off, must quieten the device, and usually just posts a watcher.
 */
#pragma once

#include <stdint.h>

typedef void irq_handler(void *context);

/* Route wired source `irq` to the boot hart and enable it. -EINVAL (no such source), -EBUSY
 * (taken), -ENOMEM. Sources may be shared by devices (PCI INTx): then every handler of the source
 * is called. */
int irq_register(uint32_t irq, irq_handler *handler, void *context);
