/* The device tree reader on QEMU's trees (virt with PLIC, virt with AIA), on hand-made ones, and on
 * damaged ones. */
#include <errno.h>

#include "core/dtb.h"
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
	CHECK_EQ(dtb_open(&dtb, blob, bytes), 0);
	uint64_t address, size;
	dtb_node memory = dtb_find_path(&dtb, "/memory");
	CHECK(strcmp(dtb_name(&dtb, memory), "memory@80000000") == 0);
	CHECK(dtb_reg(&dtb, memory, 0, &address, &size));
	CHECK_EQ(address, 0x80000000);
	CHECK_EQ(size, 256 << 20);
	CHECK(!dtb_reg(&dtb, memory, 1, &address, &size));
	CHECK_EQ(dtb_find_path(&dtb, "/memory@90000000"), DTB_NONE);

	dtb_node cpus = dtb_find_path(&dtb, "/cpus");
	CHECK_EQ(dtb_u32(&dtb, cpus, "timebase-frequency", 0, 0), 10000000);
	CHECK_EQ(dtb_u32(&dtb, cpus, "timebase-frequency", 1, 77), 77);
	dtb_node cpu1 = dtb_find_path(&dtb, "/cpus/cpu@1");
	CHECK(dtb_reg(&dtb, cpu1, 0, &address, &size));
	CHECK_EQ(address, 1);
	CHECK_EQ(size, 0); /* #size-cells 0 */
	CHECK_EQ(dtb_parent(&dtb, cpu1), cpus);
	CHECK_EQ(dtb_parent(&dtb, dtb_root(&dtb)), DTB_NONE);

	dtb_node uart = dtb_find_compatible(&dtb, DTB_NONE, "ns16550a");
	CHECK_EQ(dtb_find_path(&dtb,
	                       dtb_string(&dtb, dtb_find_path(&dtb, "/chosen"), "stdout-path")),
	         uart);
	CHECK_EQ(dtb_interrupt(&dtb, uart).number, 10);
	CHECK_EQ(dtb_interrupt(&dtb, uart).trigger, 0); /* a PLIC's specifiers have one cell */
	dtb_node controller = dtb_interrupt(&dtb, uart).controller;
	CHECK(dtb_is_compatible(&dtb, controller, "riscv,plic0"));
	CHECK(dtb_is_compatible(&dtb, controller, "sifive,plic-1.0.0"));
	CHECK(!dtb_is_compatible(&dtb, controller, "riscv,plic"));
	CHECK(dtb_is_enabled(&dtb, cpu1) && dtb_is_enabled(&dtb, uart));

	unsigned slots = 0;
	for (dtb_node node = DTB_NONE;
	     (node = dtb_find_compatible(&dtb, node, "virtio,mmio")) != DTB_NONE; slots++) {
		CHECK(dtb_reg(&dtb, node, 0, &address, &size));
		CHECK_EQ(dtb_interrupt(&dtb, node).number, (address - 0x10000000) / 0x1000);
	}
	CHECK_EQ(slots, 8);
	free(blob);
}

static void test_qemu_aia(void)
{
	size_t bytes;
	uint8_t *blob = load("core/tests/qemu_aia.dtb", &bytes);
	struct dtb dtb;
	CHECK_EQ(dtb_open(&dtb, blob, bytes), 0);
	CHECK_EQ(dtb_find_compatible(&dtb, DTB_NONE, "riscv,plic0"), DTB_NONE);
	unsigned imsics = 0;
	for (dtb_node node = DTB_NONE;
	     (node = dtb_find_compatible(&dtb, node, "riscv,imsics")) != DTB_NONE; imsics++) {
		/* interrupts-extended: the first hart's local controller, S (9) or M (11) external
		 */
		struct dtb_interrupt local = dtb_interrupt(&dtb, node);
		CHECK(local.number == 9 || local.number == 11);
		CHECK(strcmp(dtb_name(&dtb, dtb_parent(&dtb, local.controller)), "cpu@0") == 0);
	}
	CHECK_EQ(imsics, 2);
	struct dtb_interrupt wire =
	        dtb_interrupt(&dtb, dtb_find_compatible(&dtb, DTB_NONE, "ns16550a"));
	CHECK_EQ(wire.number, 10);
	CHECK_EQ(wire.trigger, DTB_LEVEL_HIGH);
	CHECK(dtb_is_compatible(&dtb, wire.controller, "riscv,aplic"));
	free(blob);
}

static void build_small(struct fdt_writer *writer)
{
	memset(writer, 0, sizeof *writer);
	writer->reserved[0][0] = 0x80000000;
	writer->reserved[0][1] = 0x60000;
	writer->reserved_count = 1;
	fdt_begin(writer, "");
	fdt_cells(writer, "#address-cells", 1, (uint32_t[]){ 2 });
	fdt_cells(writer, "#size-cells", 1, (uint32_t[]){ 1 });
	fdt_property(writer, "unterminated", "abc", 3);
	fdt_cell(writer, 4); /* a NOP between */
	fdt_begin(writer, "bus@0");
	fdt_property(writer, "status", "disabled", 9);
	fdt_begin(writer, "device");
	fdt_cells(writer, "reg", 6, (uint32_t[]){ 4, 0x1000, 0x20, 5, 0x2000, 0x30 });
	fdt_cells(writer, "interrupts-extended", 2, (uint32_t[]){ 9, 33 });
	fdt_end(writer);
	fdt_begin(writer, "controller");
	fdt_cells(writer, "phandle", 1, (uint32_t[]){ 9 });
	fdt_property(writer, "compatible", "first\0second", 13);
	fdt_end(writer);
	fdt_end(writer);
	fdt_end(writer);
}

static void test_hand_made(void)
{
	struct fdt_writer writer;
	static uint8_t blob[8192];
	struct dtb dtb;
	build_small(&writer);
	uint32_t bytes = fdt_finish(&writer, blob);
	CHECK_EQ(dtb_open(&dtb, blob, bytes), 0);
	uint64_t address, size;
	dtb_node root = dtb_root(&dtb), bus = dtb_find_path(&dtb, "/bus");
	CHECK(dtb_string(&dtb, root, "unterminated") == NULL);
	CHECK_EQ(dtb_property(&dtb, root, "unterminated").bytes, 3);
	CHECK(!dtb_is_enabled(&dtb, bus));
	dtb_node device = dtb_find_path(&dtb, "/bus@0/device");
	CHECK_EQ(dtb_first_child(&dtb, bus), device);
	/* The bus has no cells of its own: the specification's defaults, 2 and 1. */
	CHECK(dtb_reg(&dtb, device, 1, &address, &size));
	CHECK_EQ(address, 5ull << 32 | 0x2000);
	CHECK_EQ(size, 0x30);
	dtb_node controller = dtb_interrupt(&dtb, device).controller;
	CHECK_EQ(dtb_interrupt(&dtb, device).number, 33);
	CHECK_EQ(controller, dtb_next_sibling(&dtb, device));
	CHECK_EQ(dtb_next_sibling(&dtb, controller), DTB_NONE);
	CHECK_EQ(dtb_find_compatible(&dtb, DTB_NONE, "second"), controller);
	CHECK_EQ(dtb_find_compatible(&dtb, controller, "second"), DTB_NONE);
	CHECK(dtb_reserved(&dtb, 0, &address, &size));
	CHECK_EQ(address, 0x80000000);
	CHECK(!dtb_reserved(&dtb, 1, &address, &size));
}

static int open_structure(void (*build)(struct fdt_writer *))
{
	struct fdt_writer writer = { 0 };
	static uint8_t blob[8192];
	struct dtb dtb;
	build(&writer);
	return dtb_open(&dtb, blob, fdt_finish(&writer, blob));
}

static void build_empty(struct fdt_writer *writer)
{
	(void)writer;
}

static void build_unbalanced(struct fdt_writer *writer)
{
	fdt_begin(writer, "");
	fdt_begin(writer, "child");
	fdt_end(writer);
}

static void build_two_roots(struct fdt_writer *writer)
{
	for (unsigned i = 0; i < 2; i++) {
		fdt_begin(writer, "");
		fdt_end(writer);
	}
}

static void build_too_deep(struct fdt_writer *writer)
{
	for (unsigned i = 0; i < 65; i++)
		fdt_begin(writer, "");
	for (unsigned i = 0; i < 65; i++)
		fdt_end(writer);
}

static void build_stray_property(struct fdt_writer *writer)
{
	fdt_property(writer, "stray", "", 0);
	fdt_begin(writer, "");
	fdt_end(writer);
}

static void build_long_property(struct fdt_writer *writer)
{
	fdt_begin(writer, "");
	fdt_cell(writer, 3);
	fdt_cell(writer, 0xfffffff0);
	fdt_cell(writer, 0);
	fdt_end(writer);
}

static void test_unsound_structures(void)
{
	CHECK_EQ(open_structure(build_empty), -EINVAL);
	CHECK_EQ(open_structure(build_unbalanced), -EINVAL);
	CHECK_EQ(open_structure(build_two_roots), -EINVAL);
	CHECK_EQ(open_structure(build_too_deep), -EINVAL);
	CHECK_EQ(open_structure(build_stray_property), -EINVAL);
	CHECK_EQ(open_structure(build_long_property), -EINVAL);
}

/* Everything that boot asks, on a tree that need not be sound: the sanitizers say whether it read
 * too far. */
static void exercise(const uint8_t *blob, size_t bytes)
{
	struct dtb dtb;
	uint64_t address, size, sum = 0;
	if (dtb_open(&dtb, blob, bytes) != 0)
		return;
	dtb_node node = DTB_NONE;
	while ((node = dtb_find_compatible(&dtb, node, "virtio,mmio")) != DTB_NONE) {
		sum += dtb_reg(&dtb, node, 0, &address, &size);
		sum += dtb_interrupt(&dtb, node).number;
	}
	for (uint32_t i = 0; i < 4; i++)
		sum += dtb_reserved(&dtb, i, &address, &size);
	node = dtb_find_path(&dtb, "/cpus/cpu@1/interrupt-controller");
	sum += dtb_u32(&dtb, dtb_parent(&dtb, node), "riscv,isa", 1, 0);
	const char *path = dtb_string(&dtb, dtb_find_path(&dtb, "/chosen"), "stdout-path");
	if (path)
		sum += dtb_find_path(&dtb, path);
	for (node = dtb_first_child(&dtb, dtb_root(&dtb)); node != DTB_NONE;
	     node = dtb_next_sibling(&dtb, node))
		sum += strlen(dtb_name(&dtb, node)) + dtb_is_enabled(&dtb, node);
	CHECK(sum != UINT64_MAX);
}

static void test_damaged(void)
{
	size_t bytes;
	uint8_t *blob = load("core/tests/qemu_plic.dtb", &bytes);
	uint64_t seed = 88172645463325252ull;
	for (unsigned round = 0; round < 3000; round++) {
		size_t length = bytes;
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		if (round % 4 == 0)
			length = seed % bytes;
		uint8_t *copy = malloc(length ? length : 1);
		CHECK(copy);
		memcpy(copy, blob, length);
		for (unsigned i = 0; length && i < round % 7; i++)
			copy[(seed >> i * 5) % (i % 2 && length > 64 ? 64 : length)] ^=
			        (uint8_t)(1 + (seed >> (i * 8)));
		if (round % 4 == 0 && length >= 8)
			fdt_store_32(copy + 4,
			             (uint32_t)length); /* a header that agrees with the cut */
		exercise(copy, length);
		free(copy);
	}
	free(blob);
}

int main(void)
{
	test_qemu_plic();
	test_qemu_aia();
	test_hand_made();
	test_unsound_structures();
	test_damaged();
	return 0;
}
