/* Interrupt controllers in the device tree: QEMU's machines, larger ones made by hand, and trees
 * that make no sense. */
#include <errno.h>

#include "core/irq_tree.h"
#include "core/tests/fdt_writer.h"
#include "evloop/check.h"

static uint8_t *load(const char *path, size_t *bytes)
{
	FILE *file = fopen(path, "rb");
	CHECK(file);
	static uint8_t buffer[1 << 20];
	*bytes = fread(buffer, 1, sizeof buffer, file);
	fclose(file);
	uint8_t *exact = malloc(*bytes); /* its end is guarded */
	CHECK(exact);
	memcpy(exact, buffer, *bytes);
	return exact;
}

static void test_qemu_plic(void)
{
	size_t bytes;
	uint8_t *blob = load("core/tests/qemu_plic.dtb", &bytes);
	struct dtb dtb;
	struct plic_place plic;
	struct imsic_place imsic;
	CHECK_EQ(dtb_open(&dtb, blob, bytes), 0);
	CHECK_EQ(imsic_find(&dtb, &imsic), -ENODEV);
	CHECK_EQ(plic_find(&dtb, 1, &plic), 0);
	CHECK_EQ(plic.address, 0xc000000);
	CHECK_EQ(plic.context, 3); /* M and S of hart 0, then of hart 1 */
	CHECK_EQ(plic.sources, 95);
	CHECK_EQ(plic_find(&dtb, 0, &plic), 0);
	CHECK_EQ(plic.context, 1);
	CHECK_EQ(plic_find(&dtb, 9, &plic), -ENODEV); /* no such hart */
	free(blob);
}

static void test_qemu_aia(void)
{
	size_t bytes;
	uint8_t *blob = load("core/tests/qemu_aia.dtb", &bytes);
	struct dtb dtb;
	struct plic_place plic;
	struct imsic_place imsic;
	struct aplic_place aplic;
	uint64_t address;
	CHECK_EQ(dtb_open(&dtb, blob, bytes), 0);
	CHECK_EQ(plic_find(&dtb, 0, &plic), -ENODEV);
	CHECK_EQ(imsic_find(&dtb, &imsic), 0);
	CHECK_EQ(imsic.identities, 255);
	CHECK_EQ(imsic.guest_index_bits, 0);
	CHECK_EQ(imsic_file_address(&dtb, &imsic, 0, &address), 0);
	CHECK_EQ(address, 0x28000000); /* 0x24000000 are M-mode's */
	CHECK_EQ(imsic_file_address(&dtb, &imsic, 1, &address), 0);
	CHECK_EQ(address, 0x28001000);
	CHECK_EQ(aplic_hart_index(&imsic, address), 1);
	CHECK_EQ(imsic_file_address(&dtb, &imsic, 2, &address), -ENODEV);
	CHECK_EQ(aplic_find(&dtb, &imsic, &aplic), 0);
	CHECK_EQ(aplic.address, 0xd000000);
	CHECK_EQ(aplic.sources, 96);
	free(blob);
}

/* What the hand-made machine says; a test changes a word of it. */
struct machine {
	uint32_t identities, guest_bits, hart_bits, group_bits, group_shift;
	uint32_t regions[2][2]; /* address and bytes */
	uint32_t interrupt;     /* of the local controllers */
	uint32_t msi_parent, sources, aplic_bytes;
	bool direct; /* an APLIC without msi-parent */
};

static const struct machine usual = {
	.identities = 63,
	.guest_bits = 2,
	.hart_bits = 1,
	.group_bits = 1,
	.group_shift = 24,
	.regions = { { 0x28000000, 0x8000 }, { 0x29000000, 0x8000 } },
	.interrupt = 9,
	.msi_parent = 50,
	.sources = 96,
	.aplic_bytes = 0x8000,
};

static void write_number(struct fdt_writer *writer, const char *name, uint32_t value)
{
	fdt_cells(writer, name, 1, &value);
}

/* Harts 4 to 7: two groups of two. */
static void write_harts(struct fdt_writer *writer)
{
	fdt_begin(writer, "cpus");
	write_number(writer, "#address-cells", 1);
	write_number(writer, "#size-cells", 0);
	for (uint32_t i = 4; i < 8; i++) {
		fdt_begin(writer, "cpu");
		fdt_property(writer, "device_type", "cpu", 4);
		write_number(writer, "reg", i);
		fdt_begin(writer, "interrupt-controller");
		fdt_property(writer, "compatible", "riscv,cpu-intc", 15);
		write_number(writer, "phandle", i);
		fdt_end(writer);
		fdt_end(writer);
	}
	fdt_end(writer);
}

static const struct dtb *make(const struct machine *machine)
{
	static struct fdt_writer writer;
	static uint8_t blob[8192];
	static struct dtb dtb;
	memset(&writer, 0, sizeof writer);
	fdt_begin(&writer, "");
	write_number(&writer, "#address-cells", 1);
	write_number(&writer, "#size-cells", 1);
	write_harts(&writer);
	fdt_begin(&writer, "imsics");
	fdt_property(&writer, "compatible", "riscv,imsics", 13);
	write_number(&writer, "phandle", 50);
	write_number(&writer, "riscv,num-ids", machine->identities);
	write_number(&writer, "riscv,guest-index-bits", machine->guest_bits);
	write_number(&writer, "riscv,hart-index-bits", machine->hart_bits);
	write_number(&writer, "riscv,group-index-bits", machine->group_bits);
	write_number(&writer, "riscv,group-index-shift", machine->group_shift);
	fdt_cells(&writer, "reg", 4, machine->regions[0]);
	uint32_t line = machine->interrupt;
	fdt_cells(&writer, "interrupts-extended", 8,
	          (uint32_t[]){ 4, line, 5, line, 6, line, 7, line });
	fdt_end(&writer);
	fdt_begin(&writer, "aplic");
	fdt_property(&writer, "compatible", "riscv,aplic", 12);
	fdt_cells(&writer, "reg", 2, (uint32_t[]){ 0xd000000, machine->aplic_bytes });
	write_number(&writer, "riscv,num-sources", machine->sources);
	if (!machine->direct)
		write_number(&writer, "msi-parent", machine->msi_parent);
	fdt_end(&writer);
	fdt_end(&writer);
	CHECK_EQ(dtb_open(&dtb, blob, fdt_finish(&writer, blob)), 0);
	return &dtb;
}

static void test_groups(void)
{
	struct imsic_place imsic;
	uint64_t address;
	const struct dtb *dtb = make(&usual);
	CHECK_EQ(imsic_find(dtb, &imsic), 0);
	CHECK_EQ(imsic_file_address(dtb, &imsic, 5, &address), 0);
	CHECK_EQ(address, 0x28004000); /* a file and those of three guests each */
	CHECK_EQ(aplic_hart_index(&imsic, address), 1);
	CHECK_EQ(imsic_file_address(dtb, &imsic, 7, &address), 0);
	CHECK_EQ(address, 0x29004000);
	CHECK_EQ(aplic_hart_index(&imsic, address), 3);
	CHECK_EQ(imsic_file_address(dtb, &imsic, 0, &address), -ENODEV);
}

static int find_imsic(struct machine machine)
{
	struct imsic_place imsic;
	return imsic_find(make(&machine), &imsic);
}

static int find_file(struct machine machine, uint64_t hartid)
{
	struct imsic_place imsic;
	uint64_t address;
	const struct dtb *dtb = make(&machine);
	CHECK_EQ(imsic_find(dtb, &imsic), 0);
	return imsic_file_address(dtb, &imsic, hartid, &address);
}

static int find_aplic(struct machine machine)
{
	struct imsic_place imsic;
	struct aplic_place aplic;
	const struct dtb *dtb = make(&machine);
	CHECK_EQ(imsic_find(dtb, &imsic), 0);
	return aplic_find(dtb, &imsic, &aplic);
}

#define WITH(...)                                                                                  \
	({                                                                                         \
		struct machine machine = usual;                                                    \
		machine.__VA_ARGS__;                                                               \
		machine;                                                                           \
	})

static void test_nonsense(void)
{
	CHECK_EQ(find_imsic(WITH(interrupt = 11)), -ENODEV);
	CHECK_EQ(find_imsic(WITH(identities = 62)), -ENODEV);
	CHECK_EQ(find_imsic(WITH(identities = 2048)), -ENODEV);
	CHECK_EQ(find_imsic(WITH(guest_bits = 8)), -ENODEV);
	CHECK_EQ(find_imsic(WITH(hart_bits = 15)), -ENODEV);
	CHECK_EQ(find_imsic(WITH(hart_bits = 0xffffffff)), -ENODEV);
	CHECK_EQ(find_imsic(WITH(group_bits = 14)), -ENODEV);
	CHECK_EQ(find_imsic(WITH(group_bits = 0xffffffff)), -ENODEV);
	CHECK_EQ(find_imsic(WITH(group_shift = 56)), -ENODEV);

	CHECK_EQ(find_file(WITH(regions[1][1] = 0x4000), 6), 0);
	CHECK_EQ(find_file(WITH(regions[1][1] = 0x4000), 7), -ENODEV); /* no room */
	CHECK_EQ(find_file(WITH(regions[1][1] = 0x4800), 7), -ENODEV); /* half of it */
	CHECK_EQ(find_file(WITH(regions[0][0] = 0x28000800), 4), -ENODEV);
	CHECK_EQ(find_file(WITH(regions[0][1] = 0x0800), 4), -ENODEV);
	CHECK_EQ(find_file(WITH(regions[0][1] = 0x5800), 6), -ENODEV); /* begins between pages */

	CHECK_EQ(find_aplic(usual), 0);
	CHECK_EQ(find_aplic(WITH(direct = true)), -ENOTSUP);
	CHECK_EQ(find_aplic(WITH(msi_parent = 51)), -ENODEV);
	CHECK_EQ(find_aplic(WITH(sources = 0)), -ENODEV);
	CHECK_EQ(find_aplic(WITH(sources = 1024)), -ENODEV);
	CHECK_EQ(find_aplic(WITH(aplic_bytes = 0x3000)), -ENODEV);
}

/* Damaged at random: the sanitizers say whether anything was read or shifted too far. */
static void test_damaged(const char *path)
{
	size_t bytes;
	uint8_t *blob = load(path, &bytes), *damaged = malloc(bytes);
	uint64_t seed = 88172645463325252ull, opened = 0, sum = 0;
	CHECK(damaged);
	for (unsigned round = 0; round < 3000; round++) {
		memcpy(damaged, blob, bytes);
		for (unsigned i = 0; i < 1 + round % 24; i++) {
			seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
			damaged[seed % bytes] = (uint8_t)(seed >> 32);
		}
		struct dtb dtb;
		struct plic_place plic;
		struct imsic_place imsic;
		struct aplic_place aplic;
		uint64_t address = 0;
		if (dtb_open(&dtb, damaged, bytes) != 0)
			continue;
		opened++;
		if (plic_find(&dtb, 1, &plic) == 0)
			sum += plic.context;
		if (imsic_find(&dtb, &imsic) != 0)
			continue;
		sum += imsic_file_address(&dtb, &imsic, 1, &address) == 0;
		sum += aplic_find(&dtb, &imsic, &aplic) == 0;
		sum += aplic_hart_index(&imsic, address);
	}
	CHECK(opened > 100);
	CHECK(sum > 100);
	free(damaged);
	free(blob);
}

int main(void)
{
	test_qemu_plic();
	test_qemu_aia();
	test_groups();
	test_nonsense();
	test_damaged("core/tests/qemu_plic.dtb");
	test_damaged("core/tests/qemu_aia.dtb");
	return 0;
}
