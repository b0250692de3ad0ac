/* ISA strings of the device tree (Linux's bindings riscv/cpus.yaml, riscv/extensions.yaml). Pure.
 */
#include "core/cpu.h"

#include <string.h>

static const struct {
	const char *name;
	enum cpu_feature feature;
} known[] = {
	{ "sstc", CPU_SSTC },     { "zba", CPU_ZBA },       { "zbb", CPU_ZBB },
	{ "zbs", CPU_ZBS },       { "zicboz", CPU_ZICBOZ }, { "svadu", CPU_SVADU },
	{ "svvptc", CPU_SVVPTC }, { "ssaia", CPU_SSAIA },
};

void cpu_parse_extension(const char *name, size_t length, uint32_t *features, uint64_t *letters)
{
	if (length == 1 && name[0] >= 'a' && name[0] <= 'z')
		*letters |= 1ull << (name[0] - 'a');
	for (unsigned i = 0; i < sizeof known / sizeof known[0]; i++) {
		if (strlen(known[i].name) == length && strncmp(known[i].name, name, length) == 0)
			*features |= known[i].feature;
	}
}

void cpu_parse_isa(const char *isa, uint32_t *features, uint64_t *letters)
{
	if (strncmp(isa, "rv64", 4) != 0)
		return;
	for (isa += 4; *isa && *isa != '_'; isa++) {
		if (*isa == 'g')
			*letters |= 1 << ('i' - 'a') | 1 << ('m' - 'a') | 1 << ('a' - 'a') |
			            1 << ('f' - 'a') | 1 << ('d' - 'a');
		else
			cpu_parse_extension(isa, 1, features, letters);
	}
	while (*isa == '_') {
		const char *end = ++isa;
		while (*end && *end != '_')
			end++;
		cpu_parse_extension(isa, (size_t)(end - isa), features, letters);
		isa = end;
	}
}

dtb_node cpu_node(const struct dtb *dtb, uint64_t hartid)
{
	dtb_node cpus = dtb_find_path(dtb, "/cpus");
	if (cpus == DTB_NONE)
		return DTB_NONE;
	dtb_node node = dtb_first_child(dtb, cpus);
	for (; node != DTB_NONE; node = dtb_next_sibling(dtb, node)) {
		const char *type = dtb_string(dtb, node, "device_type");
		uint64_t address, bytes;
		if (type && strcmp(type, "cpu") == 0 && dtb_reg(dtb, node, 0, &address, &bytes) &&
		    address == hartid)
			break;
	}
	return node;
}
