/* What core/trap.S hands to C. A trap out of user mode has no frame: its registers are in the task.
 */
#pragma once

#include <stdint.h>

struct task;

/* A trap out of kernel code, on its stack. x[0]'s place holds the program counter. */
struct trap_frame {
	uint64_t x[32];
	uint64_t status;
	uint64_t cause;
	uint64_t value;
	uint64_t padding;
};

/* stvec. */
void trap_entry(void);
/* Load all registers of the task and leave for user mode; sstatus and satp have been set. */
_Noreturn void trap_enter_task(struct task *task);

/* Called by the assembly only. */
void trap_user(struct task *task, uint64_t cause, uint64_t value);
void trap_kernel(struct trap_frame *frame);
_Noreturn void trap_stack_overflow(uint64_t stack_pointer, uint64_t program_counter);
