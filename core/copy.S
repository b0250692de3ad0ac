/*
 * Copying and filling: memcpy, memset, and the same on user memory, where a fault that cannot be resolved ends the copy at the exact
 * byte. 512 bytes are moved with 131 instructions when both sides are aligned alike, or when the machine loads misaligned words
 * well (copy_misaligned_is_fast, core/cpu.c); otherwise words are merged by shifting.
 *
 * Registers: a0 and a1 are cursors that advance only behind whole blocks, so that a copy interrupted by a fault can go on
 * byte by byte from them; a3 is the end of the destination, a5 its start.
 */
#define SSTATUS_SUM_BIT (1 << 18)

/* A fault between the labels continues at `fixup`, registers as they are. */
.macro fixup from, to, fixup
	.pushsection .fixup_table, "a"
	.dword \from, \to, \fixup
	.popsection
.endm

.macro copy_two offset
	ld a4, \offset+0(a1)
	ld a6, \offset+8(a1)
	sd a4, \offset+0(a0)
	sd a6, \offset+8(a0)
.endm

.macro copy_four offset
	ld a4, \offset+0(a1)
	ld a6, \offset+8(a1)
	ld a7, \offset+16(a1)
	ld t0, \offset+24(a1)
	sd a4, \offset+0(a0)
	sd a6, \offset+8(a0)
	sd a7, \offset+16(a0)
	sd t0, \offset+24(a0)
.endm

.macro copy_eight offset
	ld a4, \offset+0(a1)
	ld a6, \offset+8(a1)
	ld a7, \offset+16(a1)
	ld t0, \offset+24(a1)
	ld t1, \offset+32(a1)
	ld t2, \offset+40(a1)
	ld t3, \offset+48(a1)
	ld t4, \offset+56(a1)
	sd a4, \offset+0(a0)
	sd a6, \offset+8(a0)
	sd a7, \offset+16(a0)
	sd t0, \offset+24(a0)
	sd t1, \offset+32(a0)
	sd t2, \offset+40(a0)
	sd t3, \offset+48(a0)
	sd t4, \offset+56(a0)
.endm

/* Word `low` is in hand; the next is loaded to `high`; eight bytes across both are stored. */
.macro merge_one low, high, offset
	ld \high, \offset+8(a1)
	srl \low, \low, t0
	sll t4, \high, t1
	or \low, \low, t4
	sd \low, \offset(a0)
.endm

/* Defines \name\()_begin, _merge, _merge_end, _bytes, _done. a2 = bytes. Falls out at _done with a0 = end of what was copied. */
.macro copy_body name
\name\()_begin:
	or t0, a0, a1
	andi t0, t0, 7
	bnez t0, \name\()_unaligned
\name\()_words:
	sub a2, a3, a0
	li t0, 64
	bltu a2, t0, \name\()_single_words
	andi t0, a2, -512
	beqz t0, 2f
	add a2, a0, t0
1:	copy_eight 0
	copy_eight 64
	copy_eight 128
	copy_eight 192
	copy_eight 256
	copy_eight 320
	copy_eight 384
	copy_eight 448
	addi a0, a0, 512
	addi a1, a1, 512
	bne a0, a2, 1b
	sub a2, a3, a0
2:	andi t0, a2, -64
	beqz t0, \name\()_single_words
	add a2, a0, t0
1:	copy_eight 0
	addi a0, a0, 64
	addi a1, a1, 64
	bne a0, a2, 1b
	sub a2, a3, a0
\name\()_single_words: /* fewer than 64 bytes, by the bits of their number */
	andi t0, a2, 32
	beqz t0, 1f
	copy_four 0
	addi a0, a0, 32
	addi a1, a1, 32
1:	andi t0, a2, 16
	beqz t0, 1f
	copy_two 0
	addi a0, a0, 16
	addi a1, a1, 16
1:	andi t0, a2, 8
	beqz t0, \name\()_tail
	ld a4, 0(a1)
	sd a4, 0(a0)
	addi a0, a0, 8
	addi a1, a1, 8
\name\()_tail:
	andi t0, a2, 4
	beqz t0, 1f
	lw a4, 0(a1)
	sw a4, 0(a0)
	addi a0, a0, 4
	addi a1, a1, 4
1:	andi t0, a2, 2
	beqz t0, 1f
	lh a4, 0(a1)
	sh a4, 0(a0)
	addi a0, a0, 2
	addi a1, a1, 2
1:	andi t0, a2, 1
	beqz t0, \name\()_done
	lb a4, 0(a1)
	sb a4, 0(a0)
	addi a0, a0, 1
	j \name\()_done

\name\()_unaligned:
	li t0, 32
	bgeu a2, t0, 1f
	lw t1, copy_misaligned_is_fast
	bnez t1, \name\()_single_words
	j \name\()_bytes
1:
	andi t0, a0, 7
	beqz t0, 2f
1:	lb a4, 0(a1) /* align the destination */
	sb a4, 0(a0)
	addi a0, a0, 1
	addi a1, a1, 1
	andi t0, a0, 7
	bnez t0, 1b
2:	andi t0, a1, 7
	beqz t0, \name\()_words
	lw t1, copy_misaligned_is_fast
	bnez t1, \name\()_words
	sub a2, a3, a0
	andi t2, a2, -32
	beqz t2, \name\()_bytes
	add a2, a0, t2
	andi a1, a1, -8
	mv t2, t0    /* bytes that the source is beyond a word */
	slli t0, t0, 3
	neg t1, t0   /* shifts count modulo 64 */
\name\()_merge:
	ld a4, 0(a1)
1:	merge_one a4, a6, 0
	merge_one a6, a7, 8
	merge_one a7, t3, 16
	merge_one t3, a4, 24
	addi a0, a0, 32
	addi a1, a1, 32
	bne a0, a2, 1b
\name\()_merge_end:
	add a1, a1, t2
\name\()_bytes:
	beq a0, a3, \name\()_done
1:	lb a4, 0(a1)
	sb a4, 0(a0)
	addi a0, a0, 1
	addi a1, a1, 1
	bne a0, a3, 1b
\name\()_done:
.endm

	.text
	.balign 8
	.globl memcpy
memcpy:
	mv a5, a0
	add a3, a0, a2
	copy_body memcpy
	mv a0, a5
	ret

/* size_t user_copy(void *to, const void *from, size_t bytes): bytes copied. One side is user memory. */
	.balign 8
	.globl user_copy
user_copy:
	li t6, SSTATUS_SUM_BIT
	mv a5, a0
	add a3, a0, a2
	csrs sstatus, t6
	copy_body user_copy
	csrc sstatus, t6
	sub a0, a0, a5
	ret
	fixup user_copy_begin, user_copy_merge, user_copy_bytes
	fixup user_copy_merge, user_copy_merge_end, user_copy_merge_end
	fixup user_copy_bytes, user_copy_done, user_copy_done

.macro fill_eight offset
	sd a1, \offset+0(a0)
	sd a1, \offset+8(a0)
	sd a1, \offset+16(a0)
	sd a1, \offset+24(a0)
	sd a1, \offset+32(a0)
	sd a1, \offset+40(a0)
	sd a1, \offset+48(a0)
	sd a1, \offset+56(a0)
.endm

/* a1 = the byte in all eight places, a2 = bytes, a3 = end. */
.macro fill_body name
\name\()_begin:
	andi t0, a0, 7
	beqz t0, 2f
1:	beq a0, a3, \name\()_done
	sb a1, 0(a0)
	addi a0, a0, 1
	andi t0, a0, 7
	bnez t0, 1b
2:	sub a2, a3, a0
	andi t0, a2, -128
	beqz t0, 2f
	add t0, t0, a0
1:	fill_eight 0
	fill_eight 64
	addi a0, a0, 128
	bne a0, t0, 1b
	sub a2, a3, a0
2:	andi t0, a2, -8
	beqz t0, \name\()_bytes
	add t0, t0, a0
1:	sd a1, 0(a0)
	addi a0, a0, 8
	bne a0, t0, 1b
\name\()_bytes:
	beq a0, a3, \name\()_done
1:	sb a1, 0(a0)
	addi a0, a0, 1
	bne a0, a3, 1b
\name\()_done:
.endm

/* void page_clear(void *page): as memset does, in fewer steps where blocks are of the usual 64 bytes. */
	.balign 8
	.globl page_clear
page_clear:
	lwu t1, clear_block_bytes
	li t0, 64
	lui t2, 1
	bne t1, t0, 2f
	add t2, t2, a0
1:	.rept 16
	.insn i 0x0f, 2, x0, a0, 4 /* cbo.zero (a0) */
	addi a0, a0, 64
	.endr
	bne a0, t2, 1b
	ret
2:	li a1, 0
	mv a2, t2
	/* fall through */

/* Whole pages are cleared by cache block where the machine can do that (clear_block_bytes, core/cpu.c). */
	.balign 8
	.globl memset
memset:
	mv a5, a0
	add a3, a0, a2
	srli t0, a2, 12
	beqz t0, 2f
	or t0, a0, a2
	slli t0, t0, 52
	or t0, t0, a1
	bnez t0, 2f
	lwu t1, clear_block_bytes
	beqz t1, 2f
1:	.rept 4
	.insn i 0x0f, 2, x0, a0, 4 /* cbo.zero (a0) */
	add a0, a0, t1
	.endr
	bne a0, a3, 1b
	mv a0, a5
	ret
2:
	beqz a1, memset_begin
	andi a1, a1, 0xff
	slli t0, a1, 8
	or a1, a1, t0
	slli t0, a1, 16
	or a1, a1, t0
	slli t0, a1, 32
	or a1, a1, t0
	fill_body memset
	mv a0, a5
	ret

/* size_t user_fill_zero(void *to, size_t bytes): bytes filled. */
	.balign 8
	.globl user_fill_zero
user_fill_zero:
	li t6, SSTATUS_SUM_BIT
	mv a5, a0
	add a3, a0, a1
	li a1, 0
	csrs sstatus, t6
	fill_body user_fill_zero
	csrc sstatus, t6
	sub a0, a0, a5
	ret
	fixup user_fill_zero_begin, user_fill_zero_bytes, user_fill_zero_bytes
	fixup user_fill_zero_bytes, user_fill_zero_done, user_fill_zero_done

/*
 * int64_t user_copy_string(char *to, const char *from, size_t room): length, room when no NUL was found, or -1 for a fault.
 * Words as far as the first one with a NUL, or the end of the page (a string may end right before one that is not mapped);
 * the rest by bytes.
 */
	.balign 8
	.globl user_copy_string
user_copy_string:
	li t6, SSTATUS_SUM_BIT
	mv a5, a0
	add a3, a0, a2
	csrs sstatus, t6
	mv t0, a0 /* where the words end */
	or t1, a0, a1
	andi t1, t1, 7
	beqz t1, 1f
	lw t1, copy_misaligned_is_fast
	beqz t1, user_copy_string_begin
1:	lui t0, 1
	addi t1, t0, -1
	and t1, a1, t1
	sub t0, t0, t1 /* left of the page */
	bltu t0, a2, 1f
	mv t0, a2
1:	andi t0, t0, -8
	add t0, t0, a0
	li t1, 0x01010101
	slli t2, t1, 32
	or t1, t1, t2
	slli t2, t1, 7
user_copy_string_begin:
1:	beq a0, t0, 1f
	ld a4, 0(a1)
	sub a6, a4, t1
	not a7, a4
	and a6, a6, a7
	and a6, a6, t2
	bnez a6, 1f /* one of its bytes is 0 */
	sd a4, 0(a0)
	addi a0, a0, 8
	addi a1, a1, 8
	j 1b
1:	beq a0, a3, 2f
	lbu a4, 0(a1)
	sb a4, 0(a0)
	beqz a4, 2f
	addi a0, a0, 1
	addi a1, a1, 1
	j 1b
user_copy_string_end:
2:	csrc sstatus, t6
	sub a0, a0, a5
	ret
user_copy_string_fault:
	csrc sstatus, t6
	li a0, -1
	ret
	fixup user_copy_string_begin, user_copy_string_end, user_copy_string_fault

/* int user_word_*: 0, or -1 for a fault. The address is aligned. */
.macro user_word name, instruction:vararg
	.balign 8
	.globl \name
\name:
	li t6, SSTATUS_SUM_BIT
	csrs sstatus, t6
\name\()_begin:
	\instruction
\name\()_end:
	csrc sstatus, t6
	.ifc \name, user_word_load_32
	sw a2, 0(a1)
	.endif
	.ifc \name, user_word_load_64
	sd a2, 0(a1)
	.endif
	li a0, 0
	ret
	fixup \name\()_begin, \name\()_end, user_word_fault
.endm

	user_word user_word_load_32, lw a2, 0(a0)
	user_word user_word_load_64, ld a2, 0(a0)
	user_word user_word_store_32, sw a1, 0(a0)
	user_word user_word_store_64, sd a1, 0(a0)

user_word_fault:
	csrc sstatus, t6
	li a0, -1
	ret

/* int user_word_exchange(uint32_t *at, uint32_t expected, uint32_t desired, uint32_t *old) */
	.balign 8
	.globl user_word_exchange
user_word_exchange:
	li t6, SSTATUS_SUM_BIT
	sext.w a1, a1
	csrs sstatus, t6
user_word_exchange_begin:
1:	lr.w.aqrl a4, (a0)
	bne a4, a1, user_word_exchange_end
	sc.w.rl a5, a2, (a0)
	bnez a5, 1b
user_word_exchange_end:
	csrc sstatus, t6
	sw a4, 0(a3)
	li a0, 0
	ret
	fixup user_word_exchange_begin, user_word_exchange_end, user_word_fault
