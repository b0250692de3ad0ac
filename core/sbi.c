/* What the firmware offers, and its calls. Pure but for sbi_call. */
#include "core/sbi.h"

#include "core/console.h"

#define EXTENSION_BASE           0x10
#define EXTENSION_TIME           0x54494d45
#define EXTENSION_IPI            0x735049
#define EXTENSION_RFENCE         0x52464e43
#define EXTENSION_HSM            0x48534d
#define EXTENSION_SRST           0x53525354
#define EXTENSION_DBCN           0x4442434e
#define EXTENSION_STA            0x535441
#define EXTENSION_PMU            0x504d55
#define EXTENSION_SUSP           0x53555350
#define EXTENSION_FWFT           0x46574654

#define BASE_SPECIFICATION       0
#define BASE_IMPLEMENTATION      1
#define BASE_VERSION             2
#define BASE_PROBE_EXTENSION     3
#define RFENCE_REMOTE_SFENCE_VMA 1

static const struct {
	uint32_t id;
	enum sbi_extension bit;
	const char *name;
} known[] = {
	{ EXTENSION_TIME, SBI_TIME, "TIME" },       { EXTENSION_IPI, SBI_IPI, "IPI" },
	{ EXTENSION_RFENCE, SBI_RFENCE, "RFENCE" }, { EXTENSION_HSM, SBI_HSM, "HSM" },
	{ EXTENSION_SRST, SBI_SRST, "SRST" },       { EXTENSION_DBCN, SBI_DBCN, "DBCN" },
	{ EXTENSION_STA, SBI_STA, "STA" },          { EXTENSION_PMU, SBI_PMU, "PMU" },
	{ EXTENSION_SUSP, SBI_SUSP, "SUSP" },       { EXTENSION_FWFT, SBI_FWFT, "FWFT" },
};
#define KNOWN (sizeof known / sizeof known[0])

struct sbi_firmware sbi_firmware;

#define BASE_QUESTIONS 3

static uint64_t ask_base(uint64_t function, uint64_t argument)
{
	struct sbi_result result = sbi_call(EXTENSION_BASE, function, argument, 0, 0, 0);
	return result.error == 0 ? (uint64_t)result.value : 0;
}

unsigned sbi_probe(void)
{
	sbi_firmware = (struct sbi_firmware){
		.specification = ask_base(BASE_SPECIFICATION, 0),
		.implementation = ask_base(BASE_IMPLEMENTATION, 0),
		.version = ask_base(BASE_VERSION, 0),
	};
	for (unsigned i = 0; i < KNOWN; i++) {
		if (ask_base(BASE_PROBE_EXTENSION, known[i].id))
			sbi_firmware.extensions |= known[i].bit;
	}
	return BASE_QUESTIONS + (unsigned)KNOWN;
}

void sbi_describe(char *out, size_t room)
{
	uint64_t implementation = sbi_firmware.implementation;
	size_t used = (size_t)format_string(
	        out, room, "SBI %lu.%lu of %s %lx:", sbi_firmware.specification >> 24 & 0x7f,
	        sbi_firmware.specification & 0xffffff,
	        implementation == SBI_KVM       ? "KVM"
	        : implementation == SBI_OPENSBI ? "OpenSBI"
	                                        : "unknown firmware",
	        sbi_firmware.version);
	for (unsigned i = 0; i < KNOWN && used < room; i++) {
		if (sbi_has(known[i].bit))
			used += (size_t)format_string(out + used, room - used, " %s",
			                              known[i].name);
	}
}

void sbi_set_timer(uint64_t ticks)
{
	sbi_call(EXTENSION_TIME, 0, ticks, 0, 0, 0);
}

void sbi_send_ipi(uint64_t hartid)
{
	sbi_call(EXTENSION_IPI, 0, 1, hartid, 0, 0);
}

/* Start 0 and size 0 mean everything. Size -1 does as well, but KVM before 6.10 takes it for a
 * range, which it flushes page by page. */
struct sbi_result sbi_remote_flush(uint64_t hart_mask, uint64_t base)
{
	return sbi_call(EXTENSION_RFENCE, RFENCE_REMOTE_SFENCE_VMA, hart_mask, base, 0, 0);
}

struct sbi_result sbi_hart_start(uint64_t hartid, uint64_t address, uint64_t opaque)
{
	return sbi_call(EXTENSION_HSM, 0, hartid, address, opaque, 0);
}

void sbi_shutdown(bool failed)
{
	sbi_call(EXTENSION_SRST, 0, 0, failed, 0, 0);
}

/* A console that is busy takes no byte; the call is made again at once. */
#define CONSOLE_PATIENCE 100000

size_t sbi_console_write(uint64_t physical, size_t bytes)
{
	size_t done = 0;
	for (unsigned in_vain = 0; done < bytes && in_vain < CONSOLE_PATIENCE;) {
		struct sbi_result result =
		        sbi_call(EXTENSION_DBCN, 0, bytes - done, physical + done, 0, 0);
		if (result.error != 0 || result.value < 0 || (uint64_t)result.value > bytes - done)
			break;
		in_vain = result.value ? 0 : in_vain + 1;
		done += (size_t)result.value;
	}
	return done;
}

struct sbi_result sbi_steal_time_record(uint64_t physical)
{
	return sbi_call(EXTENSION_STA, 0, physical, 0, 0, 0);
}
