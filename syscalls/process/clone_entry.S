/*
 * clone and clone3 copy all of the task's registers, so that those which the trap entry left in the
 * machine (core/personality.h) are saved first. Without a table of calls it has saved them already.
 */
#include "core/task_save.inc"

.macro saved_call name, handler
	.globl \name
\name:
	ld t0, HART_SYSCALL_TABLE(tp)
	beqz t0, 1f
	task_save a0
1:	tail \handler
.endm

	.text
	saved_call sys_clone, clone_saved
	saved_call sys_clone3, clone3_saved
