/* The Platform-Level Interrupt Controller (RISC-V PLIC specification 1.0.0): one context, that of
 * the boot hart in S-mode. */
#include <errno.h>

#include "core/io.h"
#include "core/irq_setup.h"
#include "core/trace.h"

#define PRIORITY(source)        (4 * (source))
#define ENABLE(context, source) (0x2000 + 0x80 * (context) + 4 * ((source) / 32))
#define THRESHOLD(context)      (0x200000 + 0x1000 * (context))
#define CLAIM(context)          (THRESHOLD(context) + 4)

static struct {
	uint8_t *base;
	uint32_t context;
	uint32_t sources; /* numbered 1..sources */
} plic;

static int enable_wire(uint32_t source, uint32_t trigger)
{
	(void)trigger; /* wired into the controller's gateways */
	io_write32(plic.base + PRIORITY(source), 1);
	uint8_t *enable = plic.base + ENABLE(plic.context, source);
	io_write32(enable, io_read32(enable) | 1u << source % 32);
	return 0;
}

static void dispatch(struct hart *hart)
{
	if (hart->index != 0)
		return;
	for (unsigned i = 0; i < IRQ_CLAIMS_MAX; i++) {
		uint32_t source = io_read32(plic.base + CLAIM(plic.context));
		if (source == 0 || source > plic.sources)
			break;
		hart->statistics.external_interrupts++;
		trace(TRACE_INTERRUPT, source, 0);
		irq_wire_raised(source);
		io_write32(plic.base + CLAIM(plic.context), source);
	}
}

int plic_setup(const struct dtb *dtb, struct hart *hart, struct irq_controller *out)
{
	struct plic_place place;
	int error = plic_find(dtb, hart->hartid, &place);
	if (!error && !device_is_mapped(place.address, place.bytes))
		error = -ENODEV;
	if (error)
		return error;
	plic.base = phys_to_virt(phys(place.address));
	plic.context = place.context;
	plic.sources = place.sources;
	for (uint32_t source = 0; source <= plic.sources; source += 32)
		io_write32(plic.base + ENABLE(plic.context, source), 0);
	io_write32(plic.base + THRESHOLD(plic.context), 0);
	*out = (struct irq_controller){
		.name = "PLIC",
		.wires = place.node,
		.sources = plic.sources,
		.enable_wire = enable_wire,
		.dispatch = dispatch,
		.messages = DTB_NONE,
	};
	return 0;
}
