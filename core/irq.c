/* Who is called for which wire, whatever controller there is. */
#include "core/irq.h"

#include <errno.h>

#include "core/console.h"
#include "core/irq_setup.h"
#include "core/memory.h"

struct registration {
	struct registration *next; /* of the same wire */
	irq_handler *handler;
	void *context;
};

static struct irq_controller controller = { .wires = DTB_NONE, .messages = DTB_NONE };
static struct registration **wires; /* by source */

void irq_setup(const struct dtb *dtb, struct hart *hart)
{
	struct irq_controller found;
	if (imsic_setup(dtb, hart, &found) != 0 && plic_setup(dtb, hart, &found) != 0) {
		bool direct = dtb_find_compatible(dtb, DTB_NONE, "riscv,aplic") != DTB_NONE;
		log_warning("no interrupt controller that this hart can use%s: devices are polled",
		            direct ? " (an APLIC needs an IMSIC)" : "");
		return;
	}
	wires = heap_alloc_zeroed((found.sources + 1) * sizeof *wires);
	if (!wires)
		found.wires = DTB_NONE;
	controller = found;
	log_info("interrupts by %s", controller.name);
}

int irq_register(const struct dtb_interrupt *wire, irq_handler *handler, void *context)
{
	if (wire->number == 0 || wire->controller == DTB_NONE ||
	    wire->controller != controller.wires || wire->number > controller.sources)
		return -ENODEV;
	struct registration *registration = heap_alloc(sizeof *registration);
	if (!registration)
		return -ENOMEM;
	struct registration *others = wires[wire->number];
	*registration = (struct registration){ others, handler, context };
	wires[wire->number] = registration;
	int error = others ? 0 : controller.enable_wire(wire->number, wire->trigger);
	if (error) {
		wires[wire->number] = NULL;
		heap_free(registration);
	}
	return error;
}

void irq_wire_raised(uint32_t source)
{
	for (struct registration *at = wires[source]; at; at = at->next)
		at->handler(at->context);
}

dtb_node irq_message_controller(void)
{
	return controller.messages;
}

int irq_message_allocate(struct hart *hart, irq_handler *handler, void *context,
                         struct irq_message *out)
{
	return controller.allocate_message
	               ? controller.allocate_message(hart, handler, context, out)
	               : -ENOTSUP;
}

void irq_message_free(struct hart *hart, const struct irq_message *message)
{
	controller.free_message(hart, message);
}

void irq_add_hart(const struct dtb *dtb, struct hart *hart)
{
	if (controller.add_hart)
		controller.add_hart(dtb, hart);
}

void irq_open_hart(struct hart *hart)
{
	if (controller.open_hart)
		controller.open_hart(hart);
}

bool irq_interrupt_hart(struct hart *hart)
{
	return controller.interrupt_hart && controller.interrupt_hart(hart);
}

void irq_dispatch(struct hart *hart)
{
	if (controller.dispatch)
		controller.dispatch(hart);
}
