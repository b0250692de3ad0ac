#include "core/irq_tree.h"

#include <errno.h>

#include "core/cpu.h"

#define EXTERNAL_S            9 /* of a hart's local controller: external interrupts of S-mode */
#define SOURCES_MAX           1023
#define IDENTITIES_MAX        2047
#define FILE_BYTES            4096
#define REGIONS_MAX           64
#define PLIC_CONTEXT_END(c)   (0x200000 + 0x1000 * ((uint64_t)(c) + 1))
#define APLIC_BYTES_LEAST     0x4000
/* Widths of the fields in an APLIC's register of message addresses. */
#define GUEST_INDEX_BITS_MAX  7
#define HART_INDEX_BITS_MAX   14 /* of a target register's hart index, with the group's */
#define GROUP_INDEX_SHIFT     24
#define GROUP_INDEX_SHIFT_MAX 55

/* The phandle of the hart's local controller; 0: none. */
static uint32_t local_controller(const struct dtb *dtb, uint64_t hartid)
{
	dtb_node cpu = cpu_node(dtb, hartid);
	if (cpu == DTB_NONE)
		return 0;
	for (dtb_node node = dtb_first_child(dtb, cpu); node != DTB_NONE;
	     node = dtb_next_sibling(dtb, node))
		if (dtb_is_compatible(dtb, node, "riscv,cpu-intc"))
			return dtb_u32(dtb, node, "phandle", 0, 0);
	return 0;
}

/* interrupts-extended of a controller lists local controllers and which of their interrupts it
 * raises: the index of the hart's in S-mode. */
static int index_of_hart(const struct dtb *dtb, dtb_node node, uint64_t hartid)
{
	const char *list = "interrupts-extended";
	uint32_t local = local_controller(dtb, hartid);
	uint32_t count = dtb_property(dtb, node, list).bytes / 8;
	for (uint32_t i = 0; local && i < count; i++)
		if (dtb_u32(dtb, node, list, 2 * i, 0) == local &&
		    dtb_u32(dtb, node, list, 2 * i + 1, 0) == EXTERNAL_S)
			return (int)i;
	return -ENODEV;
}

static dtb_node next_enabled(const struct dtb *dtb, dtb_node after, const char *compatible)
{
	do
		after = dtb_find_compatible(dtb, after, compatible);
	while (after != DTB_NONE && !dtb_is_enabled(dtb, after));
	return after;
}

int plic_find(const struct dtb *dtb, uint64_t hartid, struct plic_place *out)
{
	dtb_node node = next_enabled(dtb, DTB_NONE, "riscv,plic0");
	if (node == DTB_NONE)
		node = next_enabled(dtb, DTB_NONE, "sifive,plic-1.0.0");
	*out = (struct plic_place){ .node = node };
	if (node == DTB_NONE || !dtb_reg(dtb, node, 0, &out->address, &out->bytes))
		return -ENODEV;
	int context = index_of_hart(dtb, node, hartid);
	out->context = (uint32_t)context;
	out->sources = dtb_u32(dtb, node, "riscv,ndev", 0, 0);
	if (context < 0 || out->sources == 0 || out->sources > SOURCES_MAX ||
	    out->bytes < PLIC_CONTEXT_END(context))
		return -ENODEV;
	return 0;
}

/* The least number of bits that tells `count` apart. */
static uint32_t bits_for(uint32_t count)
{
	uint32_t bits = 0;
	while (count > 1u << bits)
		bits++;
	return bits;
}

static bool read_imsic(const struct dtb *dtb, dtb_node node, struct imsic_place *out)
{
	uint32_t harts = dtb_property(dtb, node, "interrupts-extended").bytes / 8;
	if (dtb_u32(dtb, node, "interrupts-extended", 1, 0) != EXTERNAL_S || harts >= 1u << 14)
		return false; /* those of M-mode, above all */
	*out = (struct imsic_place){
		.node = node,
		.phandle = dtb_u32(dtb, node, "phandle", 0, 0),
		.identities = dtb_u32(dtb, node, "riscv,num-ids", 0, 0),
		.guest_index_bits = dtb_u32(dtb, node, "riscv,guest-index-bits", 0, 0),
		.hart_index_bits = dtb_u32(dtb, node, "riscv,hart-index-bits", 0, bits_for(harts)),
		.group_index_bits = dtb_u32(dtb, node, "riscv,group-index-bits", 0, 0),
		.group_index_shift =
		        dtb_u32(dtb, node, "riscv,group-index-shift", 0, GROUP_INDEX_SHIFT),
	};
	return out->identities >= IMSIC_IDENTITIES_LEAST && out->identities <= IDENTITIES_MAX &&
	       out->guest_index_bits <= GUEST_INDEX_BITS_MAX &&
	       out->hart_index_bits <= HART_INDEX_BITS_MAX &&
	       out->group_index_bits <= HART_INDEX_BITS_MAX - out->hart_index_bits &&
	       out->group_index_shift <= GROUP_INDEX_SHIFT_MAX;
}

int imsic_find(const struct dtb *dtb, struct imsic_place *out)
{
	dtb_node node = DTB_NONE;
	while ((node = next_enabled(dtb, node, "riscv,imsics")) != DTB_NONE)
		if (read_imsic(dtb, node, out))
			return 0;
	return -ENODEV;
}

/* The files stand in the order of interrupts-extended, in one region per group. */
int imsic_file_address(const struct dtb *dtb, const struct imsic_place *imsic, uint64_t hartid,
                       uint64_t *address)
{
	int index = index_of_hart(dtb, imsic->node, hartid);
	if (index < 0)
		return -ENODEV;
	uint64_t offset = (uint64_t)index * FILE_BYTES << imsic->guest_index_bits;
	uint64_t base, bytes;
	for (uint32_t i = 0; i < REGIONS_MAX && dtb_reg(dtb, imsic->node, i, &base, &bytes); i++) {
		if (offset >= bytes) {
			offset -= bytes;
			continue;
		}
		if (bytes - offset < FILE_BYTES || base % FILE_BYTES || base > UINT64_MAX - bytes)
			return -ENODEV;
		*address = base + offset;
		return *address % FILE_BYTES ? -ENODEV : 0;
	}
	return -ENODEV;
}

int aplic_find(const struct dtb *dtb, const struct imsic_place *imsic, struct aplic_place *out)
{
	int error = -ENODEV;
	dtb_node node = DTB_NONE;
	while ((node = next_enabled(dtb, node, "riscv,aplic")) != DTB_NONE) {
		uint64_t bytes;
		*out = (struct aplic_place){
			.node = node,
			.sources = dtb_u32(dtb, node, "riscv,num-sources", 0, 0),
		};
		if (!dtb_property(dtb, node, "msi-parent").data)
			error = -ENOTSUP;
		else if (imsic->phandle &&
		         dtb_u32(dtb, node, "msi-parent", 0, 0) == imsic->phandle && out->sources &&
		         out->sources <= SOURCES_MAX &&
		         dtb_reg(dtb, node, 0, &out->address, &bytes) && bytes >= APLIC_BYTES_LEAST)
			return 0;
	}
	return error;
}

uint32_t aplic_hart_index(const struct imsic_place *imsic, uint64_t file_address)
{
	uint64_t hart = file_address / FILE_BYTES >> imsic->guest_index_bits;
	uint64_t group = file_address >> imsic->group_index_shift;
	hart &= (1u << imsic->hart_index_bits) - 1;
	group &= (1u << imsic->group_index_bits) - 1;
	return (uint32_t)(group << imsic->hart_index_bits | hart);
}
