#include "core/cpu.h"

#include <string.h>

#include "core/clock.h"
#include "core/csr.h"

uint32_t cpu_features;
uint64_t cpu_isa_letters;
uint32_t copy_misaligned_is_fast;
uint32_t clear_block_bytes;

/* core/probe.S: each returns false when the machine takes an exception. */
bool probe_stimecmp(void);
bool probe_misaligned_loads(const void *from, uint64_t *ticks);
bool probe_clear_blocks(void *page, uint64_t block_bytes);

static void read_isa(const struct dtb *dtb, dtb_node node)
{
	struct dtb_property names = dtb_property(dtb, node, "riscv,isa-extensions");
	for (uint32_t at = 0; at < names.bytes;) {
		const char *name = (const char *)names.data + at;
		size_t length = strnlen(name, names.bytes - at);
		cpu_parse_extension(name, length, &cpu_features, &cpu_isa_letters);
		at += (uint32_t)length + 1;
	}
	const char *isa = dtb_string(dtb, node, "riscv,isa");
	if (names.bytes == 0 && isa)
		cpu_parse_isa(isa, &cpu_features, &cpu_isa_letters);
}

/* 256 loads take well under 10 us when the machine does them, and far more when firmware emulates
 * each. */
#define MISALIGNED_LIMIT_NS 25000

static bool misaligned_loads_are_fast(void)
{
	static const uint64_t sample[2];
	uint64_t ticks;
	for (unsigned attempt = 0; attempt < 3; attempt++) {
		if (!probe_misaligned_loads(sample, &ticks))
			return false;
		if (ticks < MISALIGNED_LIMIT_NS * clock_parameters.timebase_hz / 1000000000)
			return true;
	}
	return false;
}

/* Zicboz is believed when firmware lets us use it and it clears what memset is to clear with it. */
static uint32_t clear_block_size(const struct dtb *dtb, dtb_node node)
{
	static _Alignas(4096) uint8_t page[4096];
	uint32_t bytes = dtb_u32(dtb, node, "riscv,cboz-block-size", 0, 0);
	if (!cpu_has(CPU_ZICBOZ) || bytes < 16 || bytes > 1024 || (bytes & (bytes - 1)))
		return 0;
	for (unsigned i = 0; i < sizeof page; i++)
		page[i] = 1;
	if (!probe_clear_blocks(page, bytes))
		return 0;
	for (unsigned i = 0; i < sizeof page; i++) {
		if (page[i])
			return 0;
	}
	return bytes;
}

void cpu_detect(const struct dtb *dtb, uint64_t hartid)
{
	dtb_node node = cpu_node(dtb, hartid);
	if (node != DTB_NONE)
		read_isa(dtb, node);
	if (cpu_has(CPU_SSTC) && !probe_stimecmp())
		cpu_features &= ~(uint32_t)CPU_SSTC;
	copy_misaligned_is_fast = misaligned_loads_are_fast();
	if (node != DTB_NONE)
		clear_block_bytes = clear_block_size(dtb, node);
}
