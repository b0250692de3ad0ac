/* Physical and user addresses as distinct types, so that a mix-up does not compile; and the single
 * map of kernel memory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SHIFT        12
#define PAGE_SIZE         ((size_t)1 << PAGE_SHIFT)
#define PAGE_MASK         (PAGE_SIZE - 1)

/*
 * Sv39 (privileged ISA §10.4):
 *   0x00_00000000 .. 0x3f_ffffffff   user, 256 GiB (USER_END exclusive)
 *   0xffffffc0_00000000 ..           direct map of memory and devices: the lowest 128 GiB
 *   0xffffffe0_00000000 .. (2 GiB)   a device tree that lies beyond those
 *   0xffffffff_80000000 ..           the kernel image, wherever it was loaded (by 2 MiB)
 */
#define USER_END          0x4000000000ull
#define DIRECT_MAP_BASE   0xffffffc000000000ull
#define DIRECT_MAP_BYTES  (128ull << 30)
#define DTB_WINDOW_BASE   0xffffffe000000000ull
#define KERNEL_IMAGE_BASE 0xffffffff80000000ull

struct phys_addr {
	uint64_t value;
};

struct user_addr {
	uint64_t value;
};

static inline struct phys_addr phys(uint64_t value)
{
	return (struct phys_addr){ value };
}
static inline struct user_addr user(uint64_t value)
{
	return (struct user_addr){ value };
}
/* The kernel's view of physical memory or of a device. */
static inline void *phys_to_virt(struct phys_addr address)
{
	return (void *)(DIRECT_MAP_BASE + address.value);
}
/* Only for pointers into the direct map (everything that the allocators return). */
static inline struct phys_addr virt_to_phys(const void *pointer)
{
	return phys((uint64_t)(uintptr_t)pointer - DIRECT_MAP_BASE);
}
