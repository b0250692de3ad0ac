/* Bringing up the console, for boot. Before it, output goes through DBCN only. */
#pragma once

#include "core/dtb.h"
#include "core/hart.h"

/* Find the 16550 (stdout-path, else the first one). */
void console_find_uart(const struct dtb *dtb);
/* Input by interrupt, delivered in the loop of `hart`. */
void console_start_input(const struct dtb *dtb, struct hart *hart);
void console_read_options(const char *command_line);
/* Output of `hart` may wait from now on, unless console_batch=0. */
void console_start_batching(const char *command_line, struct hart *hart);
