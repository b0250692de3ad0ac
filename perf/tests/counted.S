/*
 * A program without a kernel, in S-mode under OpenSBI, of which it is known how many instructions it executes:
 * every routine NAME..NAME_end has an absolute symbol expect_NAME. Meanwhile a timer interrupts it each 100 us of
 * guest time, in user mode at any instruction. It ends in a loop that waits for interrupts that don't come.
 */
#define LOOPS     100000
#define FAULTS    1000
#define MMIO      500
#define KICKS     7
#define CALLS     300
#define USER_BASE 0x100000000
#define TIMER     1000 /* ticks of 100 ns */
#define SBI_TIME  0x54494d45

	.macro expect name, instructions
	.globl \name\()_end, expect_\name
\name\()_end:
	.set expect_\name, \instructions
	.endm

	.section .text
	.globl _start
_start:
	lla sp, stack_top
	lla t0, trap
	csrw stvec, t0
	/* Devices at 0, RAM at 2 GiB, RAM again for user mode at 4 GiB; 1 GiB faults. */
	lla t0, root
	li t1, 0xcf
	sd t1, 0(t0)
	li t1, (0x80000000 >> 2) | 0xcf
	sd t1, 16(t0)
	li t1, (0x80000000 >> 2) | 0xdf
	sd t1, 32(t0)
	srli t0, t0, 12
	li t1, 8 << 60
	or t0, t0, t1
	csrw satp, t0
	sfence.vma
	call loops
	call faults
	call mmio
	call calls
	call software_interrupts
	lla t0, user
	li t1, USER_BASE - 0x80000000
	add t0, t0, t1
	csrw sepc, t0
	lla t0, root
	csrw sscratch, sp
	li t0, 1 << 8
	csrc sstatus, t0
	li t0, 0x22
	csrw sie, t0
	call arm_timer
	sret
after_user:
	csrw sie, zero
1:	wfi
	j 1b

/* Stores in the middle of a block. */
	.globl loops, faults, mmio, calls, user, called, software_interrupts
loops:
	li t0, LOOPS
	lla t1, scratch
1:	addi t0, t0, -1
	sd t0, 0(t1)
	addi t2, t0, 3
	ld t3, 0(t1)
	add t2, t2, t3
	bnez t0, 1b
	ret
	expect loops, 5 + LOOPS * 6 /* li and lla are two instructions each */

/* Loads in the middle of a block that fault: the handler skips them, so each begins once. */
faults:
	li t0, FAULTS
	li t1, 0x40000000
1:	addi t0, t0, -1
	.option push
	.option norvc
	ld t2, 0(t1)
	.option pop
	addi t2, t0, 3
	addi t2, t2, 3
	bnez t0, 1b
	ret
	expect faults, 3 + FAULTS * 5

/* Device registers in the middle of a block: QEMU leaves the block and executes the store alone. */
mmio:
	li t0, MMIO
	li t1, 0x10000000 /* the serial port */
1:	addi t0, t0, -1
	sb t0, 7(t1) /* its scratch register */
	addi t2, t0, 3
	lbu t3, 7(t1)
	addi t2, t2, 3
	bnez t0, 1b
	li t0, KICKS
	li t1, 0x10001000 /* a virtio-mmio transport without a device */
1:	addi t0, t0, -1
	sw t0, 0x50(t1)
	sw t0, 0x64(t1)
	bnez t0, 1b
	ret
	expect mmio, 5 + MMIO * 6 + KICKS * 4

/* A call and a tail call under it, then a recursion. */
calls:
	addi sp, sp, -16
	sd ra, 8(sp)
	li s0, CALLS
1:	addi s0, s0, -1
	call called
	bnez s0, 1b
	ld ra, 8(sp)
	addi sp, sp, 16
	ret
	expect calls, 6 + CALLS * 3
called:
	li a0, 1
	j tail_called
	expect called, CALLS * 2
	.globl tail_called
tail_called:
	addi a0, a0, 1
	addi a0, a0, 1
	ret
	expect tail_called, CALLS * 3

/* Three interrupts, taken in the kernel. */
software_interrupts:
	li t0, 3
	csrsi sie, 2
	csrsi sstatus, 2
1:	addi t0, t0, -1
	csrsi sip, 2
	nop
	bnez t0, 1b
	csrci sstatus, 2
	csrci sie, 2
	ret
	expect software_interrupts, 6 + 3 * 4

user:
	li t0, LOOPS * 20
1:	addi t0, t0, -1
	addi t1, t0, 1
	addi t2, t1, 1
	bnez t0, 1b
	ecall
	expect user, 3 + LOOPS * 20 * 4

arm_timer:
	csrr a0, time
	addi a0, a0, TIMER
	li a7, SBI_TIME
	li a6, 0
	ecall
	ret

	.balign 4
	.globl trap
trap:
	csrr t4, scause
	bgez t4, exception
	slli t4, t4, 1
	addi t4, t4, -2
	beqz t4, software
	csrrw sp, sscratch, sp
	sd a0, -8(sp)
	sd a6, -16(sp)
	sd a7, -24(sp)
	sd ra, -32(sp)
	call arm_timer
	ld a0, -8(sp)
	ld a6, -16(sp)
	ld a7, -24(sp)
	ld ra, -32(sp)
	csrrw sp, sscratch, sp
	sret
software:
	csrci sip, 2
	sret
exception:
	addi t4, t4, -8 /* an ecall out of user mode */
	bnez t4, 1f
	j after_user
1:	csrr t4, sepc
	addi t4, t4, 4
	csrw sepc, t4
	sret
trap_end:

	.bss
	.balign 4096
root:	.space 4096
	.space 4096
stack_top:
scratch:
	.space 8
