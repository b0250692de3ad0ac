/*
 * As much of the RISC-V instruction set as insn_count must know: The RISC-V Instruction Set Manual,
 * volume I, chapters 2 (RV32I), 27 (C) and 37 (opcode map); calls and returns as in §2.5.1,
 * table 3.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define RISCV_RA        1
#define RISCV_TP        4
#define RISCV_T0        5

#define RISCV_SRET      0x10200073u
#define RISCV_CSR_STVEC 0x105u

enum {
	OPCODE_LOAD = 0x03,
	OPCODE_OP_IMM = 0x13,
	OPCODE_AUIPC = 0x17,
	OPCODE_OP_IMM_32 = 0x1b,
	OPCODE_STORE = 0x23,
	OPCODE_AMO = 0x2f,
	OPCODE_OP = 0x33,
	OPCODE_LUI = 0x37,
	OPCODE_OP_32 = 0x3b,
	OPCODE_BRANCH = 0x63,
	OPCODE_JALR = 0x67,
	OPCODE_JAL = 0x6f,
	OPCODE_SYSTEM = 0x73,
};

static inline bool riscv_is_compressed(uint32_t insn)
{
	return (insn & 3) != 3;
}

static inline unsigned riscv_rd(uint32_t insn)
{
	return insn >> 7 & 31;
}

static inline unsigned riscv_rs1(uint32_t insn)
{
	return insn >> 15 & 31;
}

static inline unsigned compressed_quadrant_funct3(uint32_t insn)
{
	return (insn & 3) << 3 | (insn >> 13 & 7);
}

/* Whether this instruction may raise an exception when it is executed. Those of which it is not
 * certain that they don't (vectors, floating point, CSRs, cache blocks) may. */
static inline bool riscv_may_trap(uint32_t insn)
{
	if (riscv_is_compressed(insn)) {
		switch (compressed_quadrant_funct3(insn)) {
		case 000: /* c.addi4spn */
		case 020: /* c.slli */
		case 024: /* c.jr c.mv c.jalr c.add; c.ebreak ends its block */
			return false;
		}
		return (insn & 3) != 1; /* the others of quadrants 0 and 2 use memory */
	}
	switch (insn & 0x7f) {
	case OPCODE_OP_IMM:
	case OPCODE_AUIPC:
	case OPCODE_OP_IMM_32:
	case OPCODE_OP:
	case OPCODE_LUI:
	case OPCODE_OP_32:
	case OPCODE_BRANCH:
	case OPCODE_JALR:
	case OPCODE_JAL:
		return false;
	}
	return true;
}

static inline bool is_link(unsigned reg)
{
	return reg == RISCV_RA || reg == RISCV_T0;
}

static inline bool riscv_is_call(uint32_t insn)
{
	if (riscv_is_compressed(insn)) /* c.jalr */
		return (insn & 0xf07f) == 0x9002 && riscv_rd(insn);
	unsigned opcode = insn & 0x7f;
	return (opcode == OPCODE_JAL || opcode == OPCODE_JALR) && is_link(riscv_rd(insn));
}

static inline bool riscv_is_return(uint32_t insn)
{
	if (riscv_is_compressed(insn)) /* c.jr */
		return (insn & 0xf07f) == 0x8002 && is_link(riscv_rd(insn));
	return (insn & 0x7f) == OPCODE_JALR && !riscv_rd(insn) && is_link(riscv_rs1(insn));
}

/* Whether it writes tp, where kernels keep what they run: the task or the hart. */
static inline bool riscv_writes_tp(uint32_t insn)
{
	if (riscv_rd(insn) != RISCV_TP)
		return false;
	if (!riscv_is_compressed(insn)) {
		switch (insn & 0x7f) {
		case OPCODE_LOAD:
		case OPCODE_OP_IMM:
		case OPCODE_OP:
		case OPCODE_SYSTEM:
			return true;
		}
		return false;
	}
	switch (compressed_quadrant_funct3(insn)) {
	case 010: /* c.addi */
	case 023: /* c.ldsp */
		return true;
	case 024: /* c.mv, c.add */
		return insn >> 2 & 31;
	}
	return false;
}

/* csrrw to stvec, of a register. */
static inline bool riscv_writes_stvec(uint32_t insn)
{
	return (insn & 0x7f) == OPCODE_SYSTEM && (insn >> 12 & 7) == 1 &&
	       insn >> 20 == RISCV_CSR_STVEC;
}

/* Whether it stores 2 or 4 bytes: how drivers write device registers. */
static inline bool riscv_is_narrow_store(uint32_t insn)
{
	if (riscv_is_compressed(insn)) /* c.sw; c.swsp is for the stack; c.sh of Zcb */
		return compressed_quadrant_funct3(insn) == 006 || (insn & 0xfc43) == 0x8c00;
	unsigned width = insn >> 12 & 7;
	return (insn & 0x7f) == OPCODE_STORE && (width == 1 || width == 2);
}
