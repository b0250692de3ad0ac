/*
 * The Supervisor Binary Interface, v0.2 and later (RISC-V SBI 3.0). What the firmware has is asked
 * once; an extension that it lacks is never called, and neither are legacy calls (extensions
 * 0..15): KVM answers them with -2.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sbi_result {
	int64_t error; /* 0, or a negative SBI error (§3) */
	int64_t value;
};

enum sbi_extension {
	SBI_TIME = 1 << 0,
	SBI_IPI = 1 << 1,
	SBI_RFENCE = 1 << 2,
	SBI_HSM = 1 << 3,
	SBI_SRST = 1 << 4,
	SBI_DBCN = 1 << 5,
	SBI_STA = 1 << 6,
	SBI_PMU = 1 << 7,
	SBI_SUSP = 1 << 8,
	SBI_FWFT = 1 << 9,
};

/* Implementation ids (§4.9). */
#define SBI_OPENSBI 1
#define SBI_KVM     3

struct sbi_firmware {
	uint64_t specification; /* major << 24 | minor */
	uint64_t implementation, version;
	uint32_t extensions; /* enum sbi_extension */
	uint64_t call_ticks; /* what a call takes on average, by the time CSR; set by core/boot.c */
};
extern struct sbi_firmware sbi_firmware;

/* Returns how many calls it made. */
unsigned sbi_probe(void);
static inline bool sbi_has(enum sbi_extension extension)
{
	return sbi_firmware.extensions & extension;
}
/* "SBI 2.0 of KVM 60c75: TIME IPI RFENCE", NUL-terminated, cut to fit. */
void sbi_describe(char *out, size_t room);

/* The call itself (core/sbi_call.c); tests of the rest bring their own firmware. */
struct sbi_result sbi_call(uint64_t extension, uint64_t function, uint64_t first, uint64_t second,
                           uint64_t third, uint64_t fourth);

void sbi_set_timer(uint64_t ticks); /* §6; UINT64_MAX: never */
void sbi_send_ipi(uint64_t hartid); /* §7 */
/* All translations of all address spaces on the harts base + n for each bit n of the mask (§8). */
struct sbi_result sbi_remote_flush(uint64_t hart_mask, uint64_t base);
struct sbi_result sbi_hart_start(uint64_t hartid, uint64_t address, uint64_t opaque); /* §9.1 */
void sbi_shutdown(bool failed); /* §10; returns only when refused */
/* Contiguous bytes to the console (§12.1); returns how many it took. Fewer than all: it answers
 * with errors or nonsense, or took none for a long while. */
size_t sbi_console_write(uint64_t physical, size_t bytes);
/* Where the calling hart's stolen time is written from now on: 64 bytes (§16.1). */
struct sbi_result sbi_steal_time_record(uint64_t physical);
