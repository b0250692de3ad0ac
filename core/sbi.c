#include "core/sbi.h"

#define EXTENSION_BASE       0x10
#define EXTENSION_TIME       0x54494d45
#define EXTENSION_IPI        0x735049
#define EXTENSION_RFENCE     0x52464e43
#define EXTENSION_HSM        0x48534d
#define EXTENSION_SRST       0x53525354
#define EXTENSION_DBCN       0x4442434e

#define BASE_PROBE_EXTENSION 3

uint32_t sbi_extensions;

static struct sbi_result sbi_call(uint64_t extension, uint64_t function, uint64_t first,
                                  uint64_t second, uint64_t third)
{
	register uint64_t a0 __asm__("a0") = first;
	register uint64_t a1 __asm__("a1") = second;
	register uint64_t a2 __asm__("a2") = third;
	register uint64_t a6 __asm__("a6") = function;
	register uint64_t a7 __asm__("a7") = extension;
	__asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a6), "r"(a7) : "memory");
	return (struct sbi_result){ (int64_t)a0, (int64_t)a1 };
}

void sbi_probe(void)
{
	static const struct {
		uint32_t id;
		enum sbi_extension bit;
	} known[] = {
		{ EXTENSION_TIME, SBI_TIME },     { EXTENSION_IPI, SBI_IPI },
		{ EXTENSION_RFENCE, SBI_RFENCE }, { EXTENSION_HSM, SBI_HSM },
		{ EXTENSION_SRST, SBI_SRST },     { EXTENSION_DBCN, SBI_DBCN },
	};
	for (unsigned i = 0; i < sizeof known / sizeof known[0]; i++) {
		struct sbi_result result =
		        sbi_call(EXTENSION_BASE, BASE_PROBE_EXTENSION, known[i].id, 0, 0);
		if (result.error == 0 && result.value != 0)
			sbi_extensions |= known[i].bit;
	}
}

void sbi_set_timer(uint64_t ticks)
{
	sbi_call(EXTENSION_TIME, 0, ticks, 0, 0);
}

void sbi_send_ipi(uint64_t hartid)
{
	sbi_call(EXTENSION_IPI, 0, 1, hartid, 0);
}

struct sbi_result sbi_hart_start(uint64_t hartid, uint64_t address, uint64_t opaque)
{
	return sbi_call(EXTENSION_HSM, 0, hartid, address, opaque);
}

void sbi_shutdown(bool failed)
{
	sbi_call(EXTENSION_SRST, 0, 0, failed, 0);
}

struct sbi_result sbi_console_write(uint64_t physical, uint64_t bytes)
{
	return sbi_call(EXTENSION_DBCN, 0, bytes, physical, 0);
}
