/*
 * The interrupt controllers, for boot and the harts' loops: one contract, which core/plic.c and
 * core/imsic.c (with core/aplic.c for wires) implement. Which one is used, the device tree decides.
 */
#pragma once

#include "core/dtb.h"
#include "core/hart.h"
#include "core/irq.h"
#include "core/irq_tree.h"

/* Filled by the implementation's setup; all members but those said to be optional. */
struct irq_controller {
	const char *name;
	dtb_node wires;   /* whose wires these are; DTB_NONE: it has none */
	uint32_t sources; /* wires are numbered 1..sources */
	/* Let a wire interrupt the boot hart: from now on it may call irq_wire_raised. Called once
	 * for each. */
	int (*enable_wire)(uint32_t source, uint32_t trigger);
	/* Claim and handle what is pending on the calling hart, up to IRQ_CLAIMS_MAX. */
	void (*dispatch)(struct hart *hart);

	/* Optional, together: messages and interrupts between harts. */
	dtb_node messages; /* DTB_NONE: there are none */
	int (*allocate_message)(struct hart *hart, irq_handler *handler, void *context,
	                        struct irq_message *out);
	void (*free_message)(struct hart *hart, const struct irq_message *message);
	/* Another hart will be started: by the boot hart. It then opens its interrupts itself. */
	void (*add_hart)(const struct dtb *dtb, struct hart *hart);
	void (*open_hart)(struct hart *hart);
	/* False: this hart is not to be reached so. */
	bool (*interrupt_hart)(struct hart *hart);
};

/* In one turn: a source that never quietens must not hold the hart. */
#define IRQ_CLAIMS_MAX 32

/* Find and start the controller that interrupts the boot hart in S-mode. Without one irq_register
 * fails. */
void irq_setup(const struct dtb *dtb, struct hart *hart);
void irq_add_hart(const struct dtb *dtb, struct hart *hart);
void irq_open_hart(struct hart *hart);
void irq_dispatch(struct hart *hart);
/* End the hart's wait. False: the caller has to ask the firmware. */
bool irq_interrupt_hart(struct hart *hart);

/* By the implementations: call the handlers of a wire. */
void irq_wire_raised(uint32_t source);

/* -ENODEV: the device tree has none that this hart can use. */
int plic_setup(const struct dtb *dtb, struct hart *hart, struct irq_controller *out);
int imsic_setup(const struct dtb *dtb, struct hart *hart, struct irq_controller *out);
/* Wires as messages to `hart`, for imsic_setup. -ENODEV, -ENOTSUP. */
int aplic_setup(const struct dtb *dtb, const struct imsic_place *imsic, struct hart *hart,
                struct irq_controller *out);
