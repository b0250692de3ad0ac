/*
 * Where the firmware jumps: S-mode, translation off, a0 = hart id, a1 = device tree, at any physical address that is a multiple of
 * 2 MiB. Position-independent until translation is on.
 */
#include "core/offsets.h"

#define PTE_TABLE 0x01
#define PTE_KERNEL_RWX 0xef /* V R W X G A D */
#define PTE_KERNEL_RW  0xe7
#define LARGE_PAGE_BYTES 0x200000
#define GIGAPAGE_PTE_STEP (1 << 28) /* 1 GiB as a PTE's page number field */
#define SATP_SV39 (8 << 60)

	.section .head.text, "ax"
	.globl _start
/* The 64-byte header of Linux's Documentation/arch/riscv/boot-image-header.rst */
_start:
	.option push
	.option norvc
	j boot_start
	nop
	.option pop
	.dword LARGE_PAGE_BYTES /* offset of the image from the start of RAM */
	.dword image_bytes
	.dword 0 /* flags: little-endian */
	.word 2  /* version 0.2 */
	.word 0
	.dword 0
	.ascii "RISCV\0\0\0"
	.ascii "RSC\x05"
	.word 0

boot_start:
	csrw sie, zero
	mv s1, a0
	mv s2, a1
	csrr s3, time

	/* The compiler was told of Zba and Zbb: a hart without them must say so here, not trap for ever later. */
	la t0, no_bit_manipulation
	csrw stvec, t0
	sh1add t0, zero, zero
	andn t0, t0, t0

	la t0, bss_start
	la t1, bss_end
1:	sd zero, 0(t0)
	addi t0, t0, 8
	bltu t0, t1, 1b

	/* Early tables: the image in large pages, and all physical memory in gigapages. */
	la s4, image_start
	li t0, LARGE_PAGE_BYTES - 1
	and t0, t0, s4
1:	bnez t0, 1b /* not loaded as the contract says: nothing can be printed yet */
	la s5, early_root
	la t1, early_image_table
	srli t0, t1, 2
	ori t0, t0, PTE_TABLE
	li t2, 510 * 8
	add t2, t2, s5
	sd t0, 0(t2)
	la t3, image_end
	mv t4, s4
	li t5, LARGE_PAGE_BYTES
1:	srli t0, t4, 2
	ori t0, t0, PTE_KERNEL_RWX
	sd t0, 0(t1)
	addi t1, t1, 8
	add t4, t4, t5
	bltu t4, t3, 1b
	li t0, 256 * 8
	add t1, s5, t0
	li t2, PTE_KERNEL_RW
	li t3, GIGAPAGE_PTE_STEP
	li t4, 128
1:	sd t2, 0(t1)
	add t2, t2, t3
	addi t1, t1, 8
	addi t4, t4, -1
	bnez t4, 1b

	mv a0, s5
	mv a1, s4
	la a2, boot_high
	j translation_on

/* A trap of the two instructions above. SBI 2.0: DBCN write (§12.1), then SRST shutdown for a system failure (§10.1). */
	.balign 4
no_bit_manipulation:
	li a7, 0x4442434e
	li a6, 0
	la a0, no_bit_manipulation_end
	la a1, no_bit_manipulation_text
	sub a0, a0, a1
	li a2, 0
	ecall
	li a7, 0x53525354
	li a0, 0
	li a1, 1
	ecall
1:	wfi
	j 1b
no_bit_manipulation_text:
	.ascii "hartloop: this hart has no Zba and Zbb (RVA22), which the kernel needs\n"
no_bit_manipulation_end:
	.balign 4

	.text
/*
 * a0 = root table, a1 = where the image lies, a2 = physical address to go on at, in its place in the upper half. The next fetch has no
 * translation, faults, and so lands at stvec.
 */
translation_on:
	li t0, 0xffffffff80000000
	sub t0, t0, a1
	add a2, a2, t0
	csrw stvec, a2
	srli a0, a0, 12
	li t0, SATP_SV39
	or a0, a0, t0
	sfence.vma
	csrw satp, a0
	nop
	.balign 4
boot_high:
	csrw sscratch, zero
	la t0, trap_entry
	csrw stvec, t0
	la tp, boot_hart
	la sp, boot_stack_top
	li s0, 0
	mv a0, s1
	mv a1, s2
	mv a2, s3
	mv a3, s4
	call boot_main
1:	j 1b

/* SBI HSM starts another hart here: a0 = hart id, a1 = its struct hart (virtual). Translation off. */
	.globl secondary_start
secondary_start:
	csrw sie, zero
	mv s1, a1
	la t0, kernel_root_physical
	ld a0, 0(t0)
	la a1, image_start
	la a2, secondary_high
	j translation_on
	.balign 4
secondary_high:
	csrw sscratch, zero
	la t0, trap_entry
	csrw stvec, t0
	mv tp, s1
	ld sp, HART_STACK_TOP(tp)
	li s0, 0
	mv a0, tp
	call hart_secondary_main
1:	j 1b

	.bss
	.balign 4096
	.globl early_root
early_root:
	.zero 4096
early_image_table:
	.zero 4096

	.section .boot_stack, "aw", @nobits
	.globl boot_stack_bottom
boot_stack_bottom:
	.zero BOOT_STACK_BYTES
	.globl boot_stack_top
boot_stack_top:
