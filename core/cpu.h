/* What this machine's harts can do: the boot hart's ISA string of the device tree, checked where a
 * wrong claim would be fatal. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/dtb.h"

enum cpu_feature {
	CPU_SSTC = 1 << 0,
	CPU_ZBA = 1 << 1,
	CPU_ZBB = 1 << 2,
	CPU_ZBS = 1 << 3,
	CPU_ZICBOZ = 1 << 4,
	CPU_SVADU = 1 << 5,
	CPU_SVVPTC = 1 << 6,
	CPU_SSAIA = 1 << 7,
};

extern uint32_t cpu_features;
extern uint64_t cpu_isa_letters;         /* bit n: the single-letter extension 'a' + n (AT_HWCAP) */
extern uint32_t copy_misaligned_is_fast; /* misaligned loads are done by the machine, not emulated:
                                            measured */

extern uint32_t clear_block_bytes; /* cleared by one cbo.zero; 0: not to be used */

static inline bool cpu_has(enum cpu_feature feature)
{
	return cpu_features & feature;
}

/* The cpu node of the hart; DTB_NONE when there is none. */
dtb_node cpu_node(const struct dtb *dtb, uint64_t hartid);
/* Pure: features of an ISA string ("rv64imafdc_zicsr_sstc"), or of one name in
 * riscv,isa-extensions. */
void cpu_parse_isa(const char *isa, uint32_t *features, uint64_t *letters);
void cpu_parse_extension(const char *name, size_t length, uint32_t *features, uint64_t *letters);
/* Reads the features of the hart; checks Sstc and Zicboz by using them and times misaligned
 * loads. */
void cpu_detect(const struct dtb *dtb, uint64_t hartid);
