/* What boot tells core/panic.c. */
#pragma once

#include "core/dtb.h"

/* Find the test device that reports exit codes. */
void machine_exit_setup(const struct dtb *dtb);
