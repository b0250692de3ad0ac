/* Device access: aligned integer loads and stores of the register's own width only (KVM decodes no
 * others), and the fences around them. */
#pragma once

#include <stdint.h>

#include "core/address.h"

/* Devices beyond the direct map are out of reach. */
static inline bool device_is_mapped(uint64_t physical, uint64_t bytes)
{
	return physical < DIRECT_MAP_BYTES && bytes <= DIRECT_MAP_BYTES - physical;
}

static inline uint32_t io_read32(const volatile void *address)
{
	return *(const volatile uint32_t *)address;
}
static inline void io_write32(volatile void *address, uint32_t value)
{
	*(volatile uint32_t *)address = value;
}
static inline void io_write64(volatile void *address, uint64_t value)
{
	*(volatile uint64_t *)address = value;
}
static inline uint16_t io_read16(const volatile void *address)
{
	return *(const volatile uint16_t *)address;
}
static inline void io_write16(volatile void *address, uint16_t value)
{
	*(volatile uint16_t *)address = value;
}
static inline uint8_t io_read8(const volatile void *address)
{
	return *(const volatile uint8_t *)address;
}
static inline void io_write8(volatile void *address, uint8_t value)
{
	*(volatile uint8_t *)address = value;
}
#ifdef __riscv
/* Memory writes before, device writes after (ring contents before the doorbell). */
static inline void io_fence_write(void)
{
	__asm__ volatile("fence w, ow" ::: "memory");
}
/* Device and memory accesses on both sides. */
static inline void io_fence_full(void)
{
	__asm__ volatile("fence iorw, iorw" ::: "memory");
}
#else
static inline void io_fence_write(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}
static inline void io_fence_full(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}
#endif
