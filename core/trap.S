/*
 * Traps. sscratch holds the running task in user mode and 0 in kernel mode. Interrupts are never enabled in kernel mode
 * (sstatus.SIE = 0 always; in user mode they are taken whatever SIE says), so a trap out of kernel code is an exception.
 *
 * Out of user mode s1 and the registers that C code may change go into the task. A system call or a page fault that leaves the
 * task running, with nothing pending and no timer armed that is due before the comparator's deadline, returns from here without
 * the loop: C code preserved the others (s0, s2..s11; gp it never touches), so that they are neither saved nor loaded. On the way to
 * the loop they are saved, unless a call replaced them (task->reload).
 */
#include "core/task_save.inc"

#define CAUSE_USER_ECALL 8
#define SSTATUS_SUM_BIT (1 << 18)

	.text
	.balign 4
	.globl trap_entry
trap_entry:
	csrrw a0, sscratch, a0
	beqz a0, kernel_trap
	sd x1, TASK_X(1)(a0)
	sd x2, TASK_X(2)(a0)
	sd x4, TASK_X(4)(a0)
	sd x5, TASK_X(5)(a0)
	sd x6, TASK_X(6)(a0)
	sd x7, TASK_X(7)(a0)
	sd x9, TASK_X(9)(a0)
	sd x11, TASK_X(11)(a0)
	sd x12, TASK_X(12)(a0)
	sd x13, TASK_X(13)(a0)
	sd x14, TASK_X(14)(a0)
	sd x15, TASK_X(15)(a0)
	sd x16, TASK_X(16)(a0)
	sd x17, TASK_X(17)(a0)
	sd x28, TASK_X(28)(a0)
	sd x29, TASK_X(29)(a0)
	sd x30, TASK_X(30)(a0)
	sd x31, TASK_X(31)(a0)
	csrrw t0, sscratch, zero
	csrr t1, sepc
	csrr t2, scause
	sd t0, TASK_X(10)(a0)
	ld tp, TASK_HART(a0)
	li t3, CAUSE_USER_ECALL
	ld sp, HART_STACK_TOP(tp)
	mv s1, a0
	bne t2, t3, user_exception
	ld t2, HART_SYSCALL_TABLE(tp)
	addi t1, t1, 4
	li t3, SYSCALL_SLOTS
	sd t1, TASK_PC(a0)
	beqz t2, syscall_by_entry
	bgeu a7, t3, syscall_by_entry
	slli t3, a7, SLOT_BYTES_LOG2
	add t2, t2, t3
	ld t3, SLOT_CALLS(t2)
	ld t4, SLOT_HANDLER(t2)
	addi t3, t3, 1
	sd t3, SLOT_CALLS(t2)
	addi a1, a0, TASK_X(10)
	jalr t4
	bltz a0, syscall_odd
	sd a0, TASK_X(10)(s1)
user_return:
	lw t0, TASK_FLAGS(s1)
	lw t1, HART_INLINE_FLAGS(tp)
	lw t2, HART_PENDING_MASK(tp)
	lw t3, HART_HEAP_COUNT(tp)
	bne t0, t1, leave_for_loop
	ld t0, TASK_PC(s1)
	bnez t2, leave_for_loop
	beqz t3, 1f
	ld t1, HART_HEAP(tp)
	ld t2, HART_TIMER_ARMED(tp)
	ld t1, HEAP_ROOT_DEADLINE(t1)
	bltu t1, t2, leave_for_loop /* a timer was armed that the comparator does not know */
1:
	csrw sscratch, s1
	csrw sepc, t0
	ld x1, TASK_X(1)(s1)
	ld x2, TASK_X(2)(s1)
	ld x4, TASK_X(4)(s1) /* gp (x3) is never touched by the kernel */
	ld x5, TASK_X(5)(s1)
	ld x6, TASK_X(6)(s1)
	ld x7, TASK_X(7)(s1)
	ld x10, TASK_X(10)(s1)
	ld x11, TASK_X(11)(s1)
	ld x12, TASK_X(12)(s1)
	ld x13, TASK_X(13)(s1)
	ld x14, TASK_X(14)(s1)
	ld x15, TASK_X(15)(s1)
	ld x16, TASK_X(16)(s1)
	ld x17, TASK_X(17)(s1)
	ld x28, TASK_X(28)(s1)
	ld x29, TASK_X(29)(s1)
	ld x30, TASK_X(30)(s1)
	ld x31, TASK_X(31)(s1)
	ld x9, TASK_X(9)(s1)
	sret

syscall_odd:
	mv a1, a0
	mv a0, s1
	ld t0, HART_SYSCALL_ODD(tp)
	jalr t0
	j user_return

syscall_by_entry:
	task_save a0
	ld t2, HART_SYSCALL_ENTRY(tp)
	jalr t2
	j user_return

user_exception:
	task_save a0
	sd t1, TASK_PC(a0)
	mv a1, t2
	csrr a2, stval
	call trap_user
	j user_return

leave_for_loop:
	lbu t0, TASK_RELOAD(s1)
	bnez t0, 1f
	task_save s1
1:	mv a0, tp
	/* fall through */

/* a0 = hart. The stack is empty again. */
	.globl hart_loop
hart_loop:
	ld sp, HART_STACK_TOP(a0)
	li s0, 0
	li ra, 0
	tail hart_run

	.globl trap_enter_task
trap_enter_task:
	ld t0, TASK_PC(a0)
	csrw sscratch, a0
	csrw sepc, t0
	ld x1, TASK_X(1)(a0)
	ld x2, TASK_X(2)(a0)
	ld x3, TASK_X(3)(a0)
	ld x4, TASK_X(4)(a0)
	ld x5, TASK_X(5)(a0)
	ld x6, TASK_X(6)(a0)
	ld x7, TASK_X(7)(a0)
	ld x8, TASK_X(8)(a0)
	ld x9, TASK_X(9)(a0)
	ld x11, TASK_X(11)(a0)
	ld x12, TASK_X(12)(a0)
	ld x13, TASK_X(13)(a0)
	ld x14, TASK_X(14)(a0)
	ld x15, TASK_X(15)(a0)
	ld x16, TASK_X(16)(a0)
	ld x17, TASK_X(17)(a0)
	ld x18, TASK_X(18)(a0)
	ld x19, TASK_X(19)(a0)
	ld x20, TASK_X(20)(a0)
	ld x21, TASK_X(21)(a0)
	ld x22, TASK_X(22)(a0)
	ld x23, TASK_X(23)(a0)
	ld x24, TASK_X(24)(a0)
	ld x25, TASK_X(25)(a0)
	ld x26, TASK_X(26)(a0)
	ld x27, TASK_X(27)(a0)
	ld x28, TASK_X(28)(a0)
	ld x29, TASK_X(29)(a0)
	ld x30, TASK_X(30)(a0)
	ld x31, TASK_X(31)(a0)
	ld x10, TASK_X(10)(a0)
	sret

/* a0 is 0 here and sscratch holds the interrupted a0. The frame goes on the same stack, if there is room. */
kernel_trap:
	ld a0, HART_STACK_BOTTOM(tp)
	addi a0, a0, FRAME_BYTES
	bltu sp, a0, kernel_stack_overflow
	addi sp, sp, -FRAME_BYTES
	sd x1, FRAME_X(1)(sp)
	sd x3, FRAME_X(3)(sp)
	sd x4, FRAME_X(4)(sp)
	sd x5, FRAME_X(5)(sp)
	sd x6, FRAME_X(6)(sp)
	sd x7, FRAME_X(7)(sp)
	sd x8, FRAME_X(8)(sp)
	sd x9, FRAME_X(9)(sp)
	sd x11, FRAME_X(11)(sp)
	sd x12, FRAME_X(12)(sp)
	sd x13, FRAME_X(13)(sp)
	sd x14, FRAME_X(14)(sp)
	sd x15, FRAME_X(15)(sp)
	sd x16, FRAME_X(16)(sp)
	sd x17, FRAME_X(17)(sp)
	sd x18, FRAME_X(18)(sp)
	sd x19, FRAME_X(19)(sp)
	sd x20, FRAME_X(20)(sp)
	sd x21, FRAME_X(21)(sp)
	sd x22, FRAME_X(22)(sp)
	sd x23, FRAME_X(23)(sp)
	sd x24, FRAME_X(24)(sp)
	sd x25, FRAME_X(25)(sp)
	sd x26, FRAME_X(26)(sp)
	sd x27, FRAME_X(27)(sp)
	sd x28, FRAME_X(28)(sp)
	sd x29, FRAME_X(29)(sp)
	sd x30, FRAME_X(30)(sp)
	sd x31, FRAME_X(31)(sp)
	csrrw t0, sscratch, zero
	addi t1, sp, FRAME_BYTES
	sd t0, FRAME_X(10)(sp)
	sd t1, FRAME_X(2)(sp)
	csrr t0, sepc
	csrr t1, sstatus
	csrr t2, scause
	csrr t3, stval
	sd t0, FRAME_PC(sp)
	sd t1, FRAME_STATUS(sp)
	sd t2, FRAME_CAUSE(sp)
	sd t3, FRAME_VALUE(sp)
	li t0, SSTATUS_SUM_BIT /* user memory is out of reach for the handler */
	csrc sstatus, t0
	mv a0, sp
	call trap_kernel
	ld t0, FRAME_PC(sp)
	ld t1, FRAME_STATUS(sp)
	csrw sepc, t0
	csrw sstatus, t1
	ld x1, FRAME_X(1)(sp)
	ld x5, FRAME_X(5)(sp)
	ld x6, FRAME_X(6)(sp)
	ld x7, FRAME_X(7)(sp)
	ld x8, FRAME_X(8)(sp)
	ld x9, FRAME_X(9)(sp)
	ld x10, FRAME_X(10)(sp)
	ld x11, FRAME_X(11)(sp)
	ld x12, FRAME_X(12)(sp)
	ld x13, FRAME_X(13)(sp)
	ld x14, FRAME_X(14)(sp)
	ld x15, FRAME_X(15)(sp)
	ld x16, FRAME_X(16)(sp)
	ld x17, FRAME_X(17)(sp)
	ld x28, FRAME_X(28)(sp)
	ld x29, FRAME_X(29)(sp)
	ld x30, FRAME_X(30)(sp)
	ld x31, FRAME_X(31)(sp)
	addi sp, sp, FRAME_BYTES
	sret

kernel_stack_overflow:
	mv a0, sp
	csrr a1, sepc
	la sp, emergency_stack_top
	call trap_stack_overflow

	.bss
	.balign 16
	.globl emergency_stack_bottom
emergency_stack_bottom:
	.zero 8192
	.globl emergency_stack_top
emergency_stack_top:
