/* Who is called for which identity of a hart's interrupt file. Pure. */
#pragma once

#include "core/irq.h"

#define IRQ_IDENTITY_END  64 /* identities are numbered 1..63: one register of enables */
#define IRQ_IDENTITY_HART 1  /* another hart wants this one to take a turn; nobody is called */

/* All zero: none allocated. */
struct irq_identities {
	struct {
		irq_handler *handler; /* NULL: free */
		void *context;
	} at[IRQ_IDENTITY_END];
};

/* The number of one that was free, or -ENOSPC. */
int irq_identity_allocate(struct irq_identities *identities, irq_handler *handler, void *context);
void irq_identity_free(struct irq_identities *identities, uint32_t identity);
/* Any number: what nobody allocated is ignored. */
void irq_identity_raised(const struct irq_identities *identities, uint64_t identity);
