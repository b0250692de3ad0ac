/* The Platform-Level Interrupt Controller (RISC-V PLIC specification 1.0.0): one context, that of
 * the boot hart in S-mode. */
#include <errno.h>

#include "core/cpu.h"
#include "core/io.h"
#include "core/irq.h"
#include "core/irq_setup.h"
#include "core/memory.h"
#include "core/trace.h"

#define PRIORITY(source)        (4 * (source))
#define ENABLE(context, source) (0x2000 + 0x80 * (context) + 4 * ((source) / 32))
#define THRESHOLD(context)      (0x200000 + 0x1000 * (context))
#define CLAIM(context)          (THRESHOLD(context) + 4)

#define INTERRUPT_S_EXTERNAL    9 /* of the hart's local controller */
#define CLAIMS_MAX              32 /* in one turn: a source that never quietens must not hold the hart */

struct registration {
	struct registration *next; /* of the same source */
	irq_handler *handler;
	void *context;
};

static struct {
	uint8_t *base;
	uint32_t context;
	uint32_t sources; /* numbered 1..sources */
	struct registration **handlers;
} plic;

/* interrupts-extended lists, per context, the hart's local controller and which of its interrupts
 * the context raises. */
static int find_context(const struct dtb *dtb, dtb_node node, uint64_t hartid)
{
	dtb_node cpu = cpu_node(dtb, hartid);
	struct dtb_property list = dtb_property(dtb, node, "interrupts-extended");
	for (uint32_t i = 0; i < list.bytes / 8; i++) {
		uint32_t phandle = dtb_u32(dtb, node, "interrupts-extended", 2 * i, 0);
		uint32_t interrupt = dtb_u32(dtb, node, "interrupts-extended", 2 * i + 1, 0);
		if (interrupt == INTERRUPT_S_EXTERNAL && cpu != DTB_NONE &&
		    dtb_parent(dtb, dtb_find_phandle(dtb, phandle)) == cpu)
			return (int)i;
	}
	return -ENODEV;
}

int irq_setup(const struct dtb *dtb, struct hart *hart)
{
	dtb_node node = dtb_find_compatible(dtb, DTB_NONE, "riscv,plic0");
	if (node == DTB_NONE)
		node = dtb_find_compatible(dtb, DTB_NONE, "sifive,plic-1.0.0");
	uint64_t address, bytes;
	if (node == DTB_NONE || !dtb_reg(dtb, node, 0, &address, &bytes))
		return -ENODEV;
	int context = find_context(dtb, node, hart->hartid);
	uint32_t sources = dtb_u32(dtb, node, "riscv,ndev", 0, 0);
	if (context < 0 || sources == 0 || sources > 1023 || bytes < CLAIM((uint64_t)context) + 4)
		return -ENODEV;
	plic.handlers = heap_alloc_zeroed((sources + 1) * sizeof *plic.handlers);
	if (!plic.handlers)
		return -ENOMEM;
	plic.base = phys_to_virt(phys(address));
	plic.context = (uint32_t)context;
	plic.sources = sources;
	for (uint32_t source = 0; source <= sources; source += 32)
		io_write32(plic.base + ENABLE(plic.context, source), 0);
	io_write32(plic.base + THRESHOLD(plic.context), 0);
	return 0;
}

int irq_register(uint32_t irq, irq_handler *handler, void *context)
{
	if (irq == 0 || irq > plic.sources)
		return -EINVAL;
	struct registration *registration = heap_alloc(sizeof *registration);
	if (!registration)
		return -ENOMEM;
	*registration = (struct registration){ plic.handlers[irq], handler, context };
	plic.handlers[irq] = registration;
	io_write32(plic.base + PRIORITY(irq), 1);
	uint8_t *enable = plic.base + ENABLE(plic.context, irq);
	io_write32(enable, io_read32(enable) | 1u << irq % 32);
	return 0;
}

void irq_dispatch(struct hart *hart)
{
	if (!plic.base || hart->index != 0)
		return;
	for (unsigned i = 0; i < CLAIMS_MAX; i++) {
		uint32_t source = io_read32(plic.base + CLAIM(plic.context));
		if (source == 0 || source > plic.sources)
			break;
		hart->statistics.external_interrupts++;
		trace(TRACE_INTERRUPT, source, 0);
		for (struct registration *at = plic.handlers[source]; at; at = at->next)
			at->handler(at->context);
		io_write32(plic.base + CLAIM(plic.context), source);
	}
}
