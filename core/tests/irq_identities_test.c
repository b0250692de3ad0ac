/* Identities of an interrupt file: none is given twice, they run out, and numbers that nobody has
 * are harmless. */
#include "core/irq_identities.h"

#include <errno.h>

#include "evloop/check.h"

static void count(void *context)
{
	++*(unsigned *)context;
}

int main(void)
{
	static struct irq_identities identities;
	unsigned calls[IRQ_IDENTITY_END] = { 0 }, allocated = 0;
	for (int identity;
	     (identity = irq_identity_allocate(&identities, count, &calls[allocated])) != -ENOSPC;
	     allocated++) {
		CHECK(identity > IRQ_IDENTITY_HART && identity < IRQ_IDENTITY_END);
		irq_identity_raised(&identities, (uint64_t)identity);
		CHECK_EQ(calls[allocated], 1);
	}
	CHECK_EQ(allocated, 62);

	/* Not identities, between harts, and beyond what is used. */
	for (unsigned i = 0; i < 62; i++)
		CHECK_EQ(calls[i], 1);
	irq_identity_raised(&identities, 0);
	irq_identity_raised(&identities, IRQ_IDENTITY_HART);
	irq_identity_raised(&identities, IRQ_IDENTITY_END);
	irq_identity_raised(&identities, UINT64_MAX);
	for (unsigned i = 0; i < 62; i++)
		CHECK_EQ(calls[i], 1);

	/* One comes back: it is not raised while it is free, and is the next to be given. */
	irq_identity_free(&identities, 7);
	irq_identity_raised(&identities, 7);
	CHECK_EQ(calls[5], 1);
	unsigned again = 0;
	CHECK_EQ(irq_identity_allocate(&identities, count, &again), 7);
	irq_identity_raised(&identities, 7);
	CHECK_EQ(again, 1);
	CHECK_EQ(irq_identity_allocate(&identities, count, &again), -ENOSPC);
	return 0;
}
