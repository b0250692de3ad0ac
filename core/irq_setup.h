/* The interrupt controller, for boot and the hart's loop. */
#pragma once

#include "core/dtb.h"
#include "core/hart.h"

/* Find the PLIC and the context that interrupts `hart` in S-mode. -ENODEV: there is none;
 * irq_register then fails. */
int irq_setup(const struct dtb *dtb, struct hart *hart);
/* Claim and handle what is pending. */
void irq_dispatch(struct hart *hart);
