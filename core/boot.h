/* What the boot hart learned from the device tree and the command line. Lives for ever. */
#pragma once

#include "core/address.h"
#include "core/dtb.h"

struct boot_information {
	const struct dtb *dtb;
	const char *command_line; /* /chosen/bootargs, NUL-terminated */
	const uint8_t *initrd;    /* in the direct map; NULL when there is none */
	uint64_t initrd_bytes;
	uint64_t memory_bytes; /* RAM in all */
	uint32_t harts_present;
	uint64_t entry_time;     /* rdtime at _start */
	uint64_t image_physical; /* where the kernel's image lies */
};

extern struct boot_information boot_information;

/* Options before ` -- `: key=value or key, separated by blanks; a value in double quotes may hold
 * blanks, and \" and \\ inside them. Returns false when absent. `value` receives "" for a bare key.
 * Repeated keys: `nth` counts from 0. */
bool boot_option(const char *command_line, const char *key, unsigned nth, char *value, size_t room);
/* A decimal value; `fallback` when absent or not a number. */
uint64_t boot_option_number(const char *command_line, const char *key, uint64_t fallback);
/* ADDRESS,SIZE: decimal, or hexadecimal behind 0x, with K, M or G behind it for 2^10, 2^20, 2^30.
 * -ENOENT when absent, -EINVAL when it is anything else, 0 bytes long or too large. */
int boot_option_range(const char *command_line, const char *key, uint64_t *address,
                      uint64_t *bytes);
/* The words behind ` -- `, unquoted, into `storage`; returns their number (argv has room for
 * `max`), or -E2BIG / -EINVAL (open quote). */
int boot_arguments(const char *command_line, char **argv, int max, char *storage,
                   size_t storage_bytes);
