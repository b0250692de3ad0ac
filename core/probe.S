/* Instructions that may not exist or may be emulated, tried in reach of the fixup table. */
	.text
	.globl probe_stimecmp
probe_stimecmp:
	li t0, -1
1:	csrw 0x14d, t0
2:	li a0, 1
	ret
	.pushsection .fixup_table, "a"
	.dword 1b, 2b, probe_failed
	.popsection

/* a0: 16 readable bytes; a1: where the ticks of 256 misaligned loads are stored */
	.globl probe_misaligned_loads
probe_misaligned_loads:
	li t0, 32
1:	csrr t1, time
2:	ld t2, 1(a0)
	ld t2, 2(a0)
	ld t2, 3(a0)
	ld t2, 4(a0)
	ld t2, 5(a0)
	ld t2, 6(a0)
	ld t2, 7(a0)
	ld t2, 1(a0)
	addi t0, t0, -1
	bnez t0, 2b
	csrr t2, time
3:	sub t2, t2, t1
	sd t2, 0(a1)
	li a0, 1
	ret
	.pushsection .fixup_table, "a"
	.dword 1b, 3b, probe_failed
	.popsection

/* a0: 4096 bytes to clear; a1: the size of a cache block */
	.globl probe_clear_blocks
probe_clear_blocks:
	li t0, 4096
	add t0, t0, a0
1:	.insn i 0x0f, 2, x0, a0, 4 /* cbo.zero (a0) */
2:	add a0, a0, a1
	bne a0, t0, 1b
	li a0, 1
	ret
	.pushsection .fixup_table, "a"
	.dword 1b, 2b, probe_failed
	.popsection

	.globl probe_imsic
probe_imsic:
	li t0, 0x70 /* eidelivery */
	li t1, 1
1:	csrw 0x150, t0 /* siselect */
	csrw 0x151, t1 /* sireg */
	csrr a0, 0x151
	csrw 0x151, zero
	csrr t0, 0x15c /* stopei */
2:	ret
	.pushsection .fixup_table, "a"
	.dword 1b, 2b, probe_failed
	.popsection

probe_failed:
	li a0, 0
	ret
