/* Names of the kernel's functions, for backtraces: the section .symbols, whose format
 * core/symbols.py states. */
#pragma once

#include <stdint.h>

/* The function that holds `address` and the distance from its start. NULL: not code of ours, or no
 * table was linked in. */
const char *symbol_name(uint64_t address, uint64_t *offset);
