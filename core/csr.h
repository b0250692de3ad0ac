/* Control and status registers of S-mode (privileged ISA 1.12 §4.1), by name, and the fences of
 * address translation. */
#pragma once

#include <stdint.h>

#define SSTATUS_SIE               (1ull << 1)
#define SSTATUS_SPIE              (1ull << 5)
#define SSTATUS_SPP               (1ull << 8)
#define SSTATUS_FS                (3ull << 13) /* 0 off, 1 initial, 2 clean, 3 dirty */
#define SSTATUS_FS_CLEAN          (2ull << 13)
#define SSTATUS_FS_DIRTY          (3ull << 13)
#define SSTATUS_SUM               (1ull << 18)

#define INTERRUPT_SOFTWARE        (1ull << 1) /* bits of sie and sip */
#define INTERRUPT_TIMER           (1ull << 5)
#define INTERRUPT_EXTERNAL        (1ull << 9)

#define CAUSE_INTERRUPT           (1ull << 63)
#define CAUSE_FETCH_ACCESS        1
#define CAUSE_ILLEGAL_INSTRUCTION 2
#define CAUSE_LOAD_MISALIGNED     4
#define CAUSE_STORE_MISALIGNED    6
#define CAUSE_USER_ECALL          8
#define CAUSE_FETCH_PAGE_FAULT    12
#define CAUSE_LOAD_PAGE_FAULT     13
#define CAUSE_STORE_PAGE_FAULT    15

/* Of the AIA, by number: assemblers know these names late. */
#define CSR_SISELECT              0x150
#define CSR_SIREG                 0x151
#define CSR_STOPEI                0x15c

#define SATP_MODE_SV39            (8ull << 60)
#define SATP_ASID_SHIFT           44

#define CSR_TEXT(name)            CSR_TEXT_OF(name)
#define CSR_TEXT_OF(name)         #name
#define csr_read(name)                                                                             \
	({                                                                                         \
		uint64_t csr_value;                                                                \
		__asm__ volatile("csrr %0, " CSR_TEXT(name) : "=r"(csr_value));                    \
		csr_value;                                                                         \
	})
#define csr_write(name, value)                                                                     \
	__asm__ volatile("csrw " CSR_TEXT(name) ", %0" ::"rK"((uint64_t)(value)) : "memory")
#define csr_swap(name, value)                                                                      \
	({                                                                                         \
		uint64_t csr_value;                                                                \
		__asm__ volatile("csrrw %0, " CSR_TEXT(name) ", %z1"                               \
		                 : "=r"(csr_value)                                                 \
		                 : "rJ"((uint64_t)(value))                                         \
		                 : "memory");                                                      \
		csr_value;                                                                         \
	})
#define csr_set(name, bits)                                                                        \
	__asm__ volatile("csrs " #name ", %0" ::"rK"((uint64_t)(bits)) : "memory")
#define csr_clear(name, bits)                                                                      \
	__asm__ volatile("csrc " #name ", %0" ::"rK"((uint64_t)(bits)) : "memory")

/* A hint that this hart polls (Zihintpause): a fence that orders nothing. */
static inline void cpu_pause(void)
{
	__asm__ volatile(".4byte 0x0100000f" ::: "memory");
}
static inline void tlb_flush_all(void)
{
	__asm__ volatile("sfence.vma" ::: "memory");
}
static inline void tlb_flush_asid(uint16_t asid)
{
	__asm__ volatile("sfence.vma zero, %0" ::"r"((uint64_t)asid) : "memory");
}
static inline void tlb_flush_page(uint64_t address, uint16_t asid)
{
	__asm__ volatile("sfence.vma %0, %1" ::"r"(address), "r"((uint64_t)asid) : "memory");
}
