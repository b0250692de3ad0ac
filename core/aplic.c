/* The Advanced Platform-Level Interrupt Controller (RISC-V AIA 1.0 §4) delivering by messages: each
 * wire in use is given an identity of the boot hart's interrupt file. */
#include <errno.h>

#include "core/hart.h"
#include "core/io.h"
#include "core/irq_setup.h"

#define DOMAIN_CONFIG      0x0000
#define SOURCE_CONFIG(n)   (4 * (n))
#define SET_ENABLE_NUMBER  0x1edc
#define CLEAR_ENABLE(n)    (0x1f00 + 4 * ((n) / 32))
#define SET_PENDING_NUMBER 0x2000 /* setipnum_le */
#define TARGET(n)          (0x3000 + 4 * (n))

#define DOMAIN_ENABLE      0x100
#define DOMAIN_MESSAGES    0x004
#define TARGET_HART_SHIFT  18

enum source_mode {
	SOURCE_EDGE_RISING = 4,
	SOURCE_EDGE_FALLING = 5,
	SOURCE_LEVEL_HIGH = 6,
	SOURCE_LEVEL_LOW = 7,
};

static struct {
	uint8_t *base;
	struct imsic_place imsic;
	struct hart *hart;
} aplic;

static void edge_came(void *context)
{
	irq_wire_raised((uint32_t)(uintptr_t)context);
}

/* A message is sent when the level comes. If it is still there when the device has been seen to
 * (another device on the wire, or a new reason), writing the number sends another one; else it does
 * nothing (§4.9.2). */
static void level_came(void *context)
{
	uint32_t source = (uint32_t)(uintptr_t)context;
	irq_wire_raised(source);
	io_fence_full();
	io_write32(aplic.base + SET_PENDING_NUMBER, source);
}

static enum source_mode mode_of(uint32_t trigger)
{
	switch (trigger) {
	case DTB_EDGE_RISING:
		return SOURCE_EDGE_RISING;
	case DTB_EDGE_FALLING:
		return SOURCE_EDGE_FALLING;
	case DTB_LEVEL_LOW:
		return SOURCE_LEVEL_LOW;
	}
	return SOURCE_LEVEL_HIGH;
}

static int enable_wire(uint32_t source, uint32_t trigger)
{
	enum source_mode mode = mode_of(trigger);
	struct irq_message message;
	io_write32(aplic.base + SOURCE_CONFIG(source), mode);
	if (io_read32(aplic.base + SOURCE_CONFIG(source)) != mode)
		return -ENODEV; /* not there, or not delegated to S-mode */
	int error =
	        irq_message_allocate(aplic.hart, mode >= SOURCE_LEVEL_HIGH ? level_came : edge_came,
	                             (void *)(uintptr_t)source, &message);
	if (error)
		return error;
	io_write32(aplic.base + TARGET(source), aplic_hart_index(&aplic.imsic, message.address)
	                                                        << TARGET_HART_SHIFT |
	                                                message.data);
	io_write32(aplic.base + SET_ENABLE_NUMBER, source);
	if (mode >= SOURCE_LEVEL_HIGH)
		io_write32(aplic.base + SET_PENDING_NUMBER, source);
	return 0;
}

int aplic_setup(const struct dtb *dtb, const struct imsic_place *imsic, struct hart *hart,
                struct irq_controller *out)
{
	struct aplic_place place;
	int error = aplic_find(dtb, imsic, &place);
	if (!error && !device_is_mapped(place.address, TARGET(place.sources + 1)))
		error = -ENODEV;
	if (error)
		return error;
	aplic.base = phys_to_virt(phys(place.address));
	aplic.imsic = *imsic;
	aplic.hart = hart;
	for (uint32_t source = 0; source <= place.sources; source += 32)
		io_write32(aplic.base + CLEAR_ENABLE(source), UINT32_MAX);
	io_write32(aplic.base + DOMAIN_CONFIG, DOMAIN_ENABLE | DOMAIN_MESSAGES);
	if (!(io_read32(aplic.base + DOMAIN_CONFIG) & DOMAIN_MESSAGES))
		return -ENOTSUP;
	out->name = "IMSIC and APLIC";
	out->wires = place.node;
	out->sources = place.sources;
	out->enable_wire = enable_wire;
	return 0;
}
