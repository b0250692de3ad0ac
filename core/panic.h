/* The end of the machine. */
#pragma once

#include <stdint.h>

#define PANIC_EXIT_CODE 121 /* what the test device reports; hl documents it */

/* Prints the text, a symbolised backtrace, the registers of the current task, the last trace events
 * and personality.dump, then exits with PANIC_EXIT_CODE. Only for broken invariants of our own:
 * nothing a peer, a device or a program does may get here. */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));
struct trap_frame;
/* An exception of kernel code that nothing expects. */
_Noreturn void panic_trap(const struct trap_frame *frame);
/* Power off with an exit code for the host: test device, else SRST shutdown. */
_Noreturn void machine_exit(uint8_t code);

#define KASSERT(condition)                                                                         \
	do {                                                                                       \
		if (__builtin_expect(!(condition), 0))                                             \
			panic("%s:%d: %s", __FILE__, __LINE__, #condition);                        \
	} while (0)
