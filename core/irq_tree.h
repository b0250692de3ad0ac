/*
 * What the device tree says of interrupt controllers (Linux's bindings sifive,plic-1.0.0.yaml,
 * riscv,imsics.yaml, riscv,aplic.yaml). Pure, for any tree: what does not make sense is not found.
 */
#pragma once

#include <stdint.h>

#include "core/dtb.h"

/* The PLIC, and the context of one hart in S-mode. */
struct plic_place {
	dtb_node node;
	uint64_t address, bytes;
	uint32_t context;
	uint32_t sources; /* numbered 1..sources */
};
int plic_find(const struct dtb *dtb, uint64_t hartid, struct plic_place *out); /* -ENODEV */

/* The harts' interrupt files in S-mode, and how their addresses are made up (AIA 1.0 §3.6). */
struct imsic_place {
	dtb_node node;
	uint32_t phandle;
	uint32_t identities; /* numbered 1..identities; at least IMSIC_IDENTITIES_LEAST */
	uint32_t guest_index_bits, hart_index_bits, group_index_bits, group_index_shift;
};
#define IMSIC_IDENTITIES_LEAST 63
int imsic_find(const struct dtb *dtb, struct imsic_place *out); /* -ENODEV */
/* Physical address of the hart's file, one page. -ENODEV: it has none. */
int imsic_file_address(const struct dtb *dtb, const struct imsic_place *imsic, uint64_t hartid,
                       uint64_t *address);

/* The APLIC that turns wires into messages to these files. -ENODEV; -ENOTSUP: only one that
 * delivers directly. */
struct aplic_place {
	dtb_node node;
	uint64_t address;
	uint32_t sources; /* numbered 1..sources */
};
int aplic_find(const struct dtb *dtb, const struct imsic_place *imsic, struct aplic_place *out);
/* The hart index of a file in an APLIC's target registers (AIA 1.0 §4.9.1). */
uint32_t aplic_hart_index(const struct imsic_place *imsic, uint64_t file_address);
