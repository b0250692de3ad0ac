/*
 * The Supervisor Binary Interface, v0.2 and later (RISC-V SBI 2.0). Legacy calls (extensions 0..15)
 * are never made: KVM answers them with -2.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct sbi_result {
	int64_t error; /* 0, or a negative SBI error (SBI 2.0 §3) */
	int64_t value;
};

enum sbi_extension {
	SBI_TIME = 1 << 0,
	SBI_IPI = 1 << 1,
	SBI_RFENCE = 1 << 2,
	SBI_HSM = 1 << 3,
	SBI_SRST = 1 << 4,
	SBI_DBCN = 1 << 5,
};

extern uint32_t sbi_extensions; /* probed once */

void sbi_probe(void);
static inline bool sbi_has(enum sbi_extension extension)
{
	return sbi_extensions & extension;
}

void sbi_set_timer(uint64_t ticks); /* §6; UINT64_MAX: never */
void sbi_send_ipi(uint64_t hartid); /* §7 */
struct sbi_result sbi_hart_start(uint64_t hartid, uint64_t address, uint64_t opaque); /* §9.1 */
void sbi_shutdown(bool failed); /* §10; returns only when refused */
struct sbi_result sbi_console_write(uint64_t physical, uint64_t bytes); /* §12.1 */
