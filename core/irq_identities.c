#include "core/irq_identities.h"

#include <errno.h>
#include <stddef.h>

int irq_identity_allocate(struct irq_identities *identities, irq_handler *handler, void *context)
{
	for (int i = IRQ_IDENTITY_HART + 1; i < IRQ_IDENTITY_END; i++) {
		if (identities->at[i].handler)
			continue;
		identities->at[i].context = context;
		identities->at[i].handler = handler;
		return i;
	}
	return -ENOSPC;
}

void irq_identity_free(struct irq_identities *identities, uint32_t identity)
{
	identities->at[identity].handler = NULL;
}

void irq_identity_raised(const struct irq_identities *identities, uint64_t identity)
{
	if (identity < IRQ_IDENTITY_END && identities->at[identity].handler)
		identities->at[identity].handler(identities->at[identity].context);
}
