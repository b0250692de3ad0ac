/* Registers of the hart on which a callback runs (one that asked for QEMU_PLUGIN_CB_R_REGS). */
#pragma once

#include <stdint.h>

/* x1 to x31 by their numbers, then some of the supervisor's. x0 is never read. */
enum {
	REGISTER_TP = 4,
	REGISTER_SCAUSE = 32,
	REGISTER_SSTATUS,
	REGISTERS,
};

/* Finds the registers; call on every hart before it runs. */
void registers_find(void);

uint64_t register_read(unsigned number);
