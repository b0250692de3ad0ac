/* Making harts: for boot only. */
#pragma once

#include <stdint.h>

#include "core/hart.h"

/* slice_us, backstop_us, idle_poll_us, inline, measure. */
void hart_read_options(const char *command_line);
/* All but the stack. The personality has been registered. -ENOMEM or 0. */
int hart_init(struct hart *hart, uint32_t index, uint64_t hartid);
/* The calling hart's control registers as this kernel needs them. */
void hart_open_interrupts(void);
