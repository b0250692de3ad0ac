/*
 * The Incoming MSI Controller (RISC-V AIA 1.0 §3): each hart has a file of interrupt identities,
 * which devices and harts set by writing their numbers to its page, and which the hart claims by
 * reading a register of its own: no access to a device, and no exit where the hardware has files
 * for guests.
 *
 * Only the first 63 identities are used, all enabled from the start: one register does. What no
 * handler was allocated for is claimed and forgotten.
 */
#include <errno.h>

#include "core/console.h"
#include "core/cpu.h"
#include "core/csr.h"
#include "core/io.h"
#include "core/irq_identities.h"
#include "core/irq_setup.h"
#include "core/memory.h"
#include "core/trace.h"

/* Through siselect and sireg, §3.8. */
#define EIDELIVERY  0x70
#define EITHRESHOLD 0x72
#define EIE0        0xc0

struct imsic_file {
	uint64_t physical;
	volatile uint8_t *page; /* the register seteipnum_le stands at its start */
	struct irq_identities identities;
};

static struct {
	struct imsic_place place;
	struct imsic_file *files[HARTS_MAX]; /* by the hart's index; NULL: it has none */
} imsic;

static struct imsic_file boot_hart_file;

/* core/probe.S: false when the machine takes an exception. */
bool probe_imsic(void);

static void write_indirect(uint64_t select, uint64_t value)
{
	csr_write(CSR_SISELECT, select);
	csr_write(CSR_SIREG, value);
}

static void open_hart(struct hart *hart)
{
	if (!imsic.files[hart->index])
		return;
	write_indirect(EITHRESHOLD, 0);
	write_indirect(EIE0, ~1ull);
	write_indirect(EIDELIVERY, 1);
}

static void add_hart(const struct dtb *dtb, struct hart *hart)
{
	uint64_t address;
	if (imsic.files[hart->index] ||
	    imsic_file_address(dtb, &imsic.place, hart->hartid, &address) != 0 ||
	    !device_is_mapped(address, PAGE_SIZE))
		return;
	struct imsic_file *file = hart->index ? heap_alloc_zeroed(sizeof *file) : &boot_hart_file;
	if (!file)
		return;
	file->physical = address;
	file->page = phys_to_virt(phys(address));
	imsic.files[hart->index] = file;
}

static bool interrupt_hart(struct hart *hart)
{
	struct imsic_file *file = imsic.files[hart->index];
	if (!file)
		return false;
	io_fence_write();
	io_write32(file->page, IRQ_IDENTITY_HART);
	return true;
}

static int allocate_message(struct hart *hart, irq_handler *handler, void *context,
                            struct irq_message *out)
{
	struct imsic_file *file = imsic.files[hart->index];
	if (!file)
		return -ENOTSUP;
	int identity = irq_identity_allocate(&file->identities, handler, context);
	if (identity < 0)
		return identity;
	*out = (struct irq_message){ file->physical, (uint32_t)identity };
	return 0;
}

static void free_message(struct hart *hart, const struct irq_message *message)
{
	irq_identity_free(&imsic.files[hart->index]->identities, message->data);
}

static void dispatch(struct hart *hart)
{
	struct imsic_file *file = imsic.files[hart->index];
	for (unsigned i = 0; file && i < IRQ_CLAIMS_MAX; i++) {
		uint64_t identity = csr_swap(CSR_STOPEI, 0) >> 16;
		if (identity == 0)
			break;
		hart->statistics.external_interrupts++;
		trace(TRACE_INTERRUPT, identity, 0);
		irq_identity_raised(&file->identities, identity);
	}
}

int imsic_setup(const struct dtb *dtb, struct hart *hart, struct irq_controller *out)
{
	if (!cpu_has(CPU_SSAIA) || imsic_find(dtb, &imsic.place) != 0)
		return -ENODEV;
	add_hart(dtb, hart);
	if (!imsic.files[hart->index])
		return -ENODEV;
	if (!probe_imsic()) {
		log_warning("the device tree has an IMSIC, but this hart can't use it");
		return -ENODEV;
	}
	*out = (struct irq_controller){
		.name = "IMSIC",
		.wires = DTB_NONE,
		.dispatch = dispatch,
		.messages = imsic.place.node,
		.allocate_message = allocate_message,
		.free_message = free_message,
		.add_hart = add_hart,
		.open_hart = open_hart,
		.interrupt_hart = interrupt_hart,
	};
	if (aplic_setup(dtb, &imsic.place, hart, out) != 0)
		log_warning("no APLIC that sends messages: devices with wires are polled");
	open_hart(hart);
	return 0;
}
