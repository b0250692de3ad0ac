/* The kernel half of every address space: image, direct map, stacks. Built once at boot. */
#pragma once

#include "core/address.h"

#define PTE_VALID    (1ull << 0)
#define PTE_READ     (1ull << 1)
#define PTE_WRITE    (1ull << 2)
#define PTE_EXECUTE  (1ull << 3)
#define PTE_USER     (1ull << 4)
#define PTE_GLOBAL   (1ull << 5)
#define PTE_ACCESSED (1ull << 6)
#define PTE_DIRTY    (1ull << 7)
#define PTE_HIDDEN                                                                                 \
	(1ull << 8) /* ours: a page that is held without access (PROT_NONE), not valid for the     \
	               hardware */

static inline uint64_t pte_of(uint64_t physical, uint64_t bits)
{
	return physical >> 2 | bits;
}
static inline uint64_t pte_physical(uint64_t pte)
{
	return pte << 10 >> 20 << PAGE_SHIFT;
}

extern uint64_t *kernel_root;         /* in the direct map */
extern uint64_t kernel_root_physical; /* read by secondary harts before translation is on */
extern uint64_t kernel_satp;

/* First of all: where the image lies. */
void kernel_map_set_image(uint64_t physical);
/* Before kernel_map_setup, and for good: a device tree where the direct map does not reach. */
const void *kernel_map_device_tree(uint64_t physical);
/* Leave the early tables: image at 4 KiB granularity, nothing both writable and executable, a guard
 * page below the boot stack. */
void kernel_map_setup(void);
/* A stack with an unmapped page below for another hart; returns its top, 0 when memory is short. */
uint64_t kernel_map_stack(uint32_t hart_index, uint64_t *bottom);
/* Of any kernel address that kernel_map_setup or _stack mapped, or that lies in the direct map. */
struct phys_addr kernel_physical(const void *pointer);
