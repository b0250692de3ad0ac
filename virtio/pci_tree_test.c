/* PCI hosts in the device tree: QEMU's, made by hand, and damaged. */
#include "core/tests/fdt_writer.h"
#include "evloop/check.h"
#include "virtio/pci_tree.h"

static struct dtb dtb;
static dtb_node host;

static uint8_t *load(const char *path, size_t *bytes)
{
	FILE *file = fopen(path, "rb");
	CHECK(file);
	uint8_t *blob = malloc(1 << 16);
	CHECK(blob);
	*bytes = fread(blob, 1, 1 << 16, file);
	fclose(file);
	return blob;
}

static void find_host(void)
{
	host = dtb_find_compatible(&dtb, DTB_NONE, "pci-host-ecam-generic");
}

static void test_qemu(void)
{
	size_t bytes;
	uint8_t *blob = load("core/tests/qemu_aia.dtb", &bytes);
	CHECK_EQ(dtb_open(&dtb, blob, bytes), 0);
	find_host();
	struct pci_tree_window windows[4];
	CHECK_EQ(pci_tree_windows(&dtb, host, windows, 4), 2); /* the one of I/O ports left out */
	CHECK(!windows[0].is_64bit && windows[1].is_64bit);
	CHECK_EQ(windows[0].address, 0x40000000);
	CHECK_EQ(windows[0].bytes, 0x40000000);
	CHECK_EQ(windows[1].bus_address, 0x400000000);
	CHECK_EQ(pci_tree_windows(&dtb, host, windows, 1), 1);

	struct pci_function function = { .device = 2, .function = 1 };
	struct dtb_interrupt wire = pci_tree_wire(&dtb, host, &function, 3);
	CHECK_EQ(wire.number, 0x20); /* (2 + 3 - 1) mod 4 */
	CHECK_EQ(wire.trigger, DTB_LEVEL_HIGH);
	CHECK(dtb_is_compatible(&dtb, wire.controller, "riscv,aplic"));
	CHECK_EQ(pci_tree_wire(&dtb, host, &function, 0).number, 0);
	dtb_node messages = pci_tree_messages(&dtb, host, &function);
	CHECK(dtb_is_compatible(&dtb, messages, "riscv,imsics"));
	CHECK_EQ(dtb_u32(&dtb, messages, "interrupts-extended", 1, 0), 9); /* S-mode's */
	free(blob);

	blob = load("core/tests/qemu_plic.dtb", &bytes);
	CHECK_EQ(dtb_open(&dtb, blob, bytes), 0);
	find_host();
	wire = pci_tree_wire(&dtb, host, &function, 1);
	CHECK_EQ(wire.number, 0x22);
	CHECK(dtb_is_compatible(&dtb, wire.controller, "riscv,plic0"));
	CHECK_EQ(pci_tree_messages(&dtb, host, &function), DTB_NONE);
	free(blob);
}

static void make(unsigned cells, const uint32_t *msi_map, unsigned map_cells,
                 const uint32_t *interrupt_map)
{
	static struct fdt_writer writer;
	static uint8_t blob[8192];
	memset(&writer, 0, sizeof writer);
	fdt_begin(&writer, "");
	fdt_begin(&writer, "controller");
	fdt_cells(&writer, "phandle", 1, (uint32_t[]){ 7 });
	fdt_cells(&writer, "#address-cells", 1, (uint32_t[]){ 0xfffffff0 });
	fdt_end(&writer);
	fdt_begin(&writer, "other");
	fdt_cells(&writer, "phandle", 1, (uint32_t[]){ 8 });
	fdt_end(&writer);
	fdt_begin(&writer, "pci");
	fdt_property(&writer, "compatible", "pci-host-ecam-generic", 22);
	fdt_cells(&writer, "msi-parent", 1, (uint32_t[]){ 7 });
	if (cells)
		fdt_cells(&writer, "msi-map", cells, msi_map);
	fdt_cells(&writer, "interrupt-map", map_cells, interrupt_map);
	fdt_cells(&writer, "ranges", 3, (uint32_t[]){ 0x02000000, 0, 0 }); /* cut */
	fdt_end(&writer);
	fdt_end(&writer);
	CHECK_EQ(dtb_open(&dtb, blob, fdt_finish(&writer, blob)), 0);
	find_host();
}

static dtb_node messages_of(uint8_t bus, uint8_t device)
{
	struct pci_function function = { .bus = bus, .device = device };
	return pci_tree_messages(&dtb, host, &function);
}

static void test_hand_made(void)
{
	make(0, NULL, 0, NULL);
	CHECK_EQ(messages_of(0, 1), dtb_find_phandle(&dtb, 7));
	struct pci_tree_window window;
	CHECK_EQ(pci_tree_windows(&dtb, host, &window, 1), 0);

	/* Requesters 8..15 and 256..: each its own controller; the rest none. The last is cut. */
	make(11, (uint32_t[]){ 8, 7, 0, 8, 0x100, 8, 0, 0xffffffff, 0, 7, 0 }, 0, NULL);
	CHECK_EQ(messages_of(0, 0), DTB_NONE);
	CHECK_EQ(messages_of(0, 1), dtb_find_phandle(&dtb, 7));
	CHECK_EQ(messages_of(0, 2), DTB_NONE);
	CHECK_EQ(messages_of(255, 31), dtb_find_phandle(&dtb, 8));

	/* A controller with more cells than there are, and one that does not exist. */
	struct pci_function function = { .device = 0 };
	make(0, NULL, 7, (uint32_t[]){ 0, 0, 0, 1, 7, 5, 5 });
	CHECK_EQ(pci_tree_wire(&dtb, host, &function, 1).number, 0);
	make(0, NULL, 7, (uint32_t[]){ 0, 0, 0, 1, 99, 5, 5 });
	CHECK_EQ(pci_tree_wire(&dtb, host, &function, 1).number, 0);
	make(0, NULL, 6, (uint32_t[]){ 0, 0, 0, 1, 8, 5 });
	CHECK_EQ(pci_tree_wire(&dtb, host, &function, 1).number, 5);
}

static void test_damaged(void)
{
	size_t bytes;
	uint8_t *blob = load("core/tests/qemu_aia.dtb", &bytes), *damaged = malloc(bytes);
	uint64_t seed = 88172645463325252ull, found = 0;
	CHECK(damaged);
	for (unsigned round = 0; round < 3000; round++) {
		memcpy(damaged, blob, bytes);
		for (unsigned i = 0; i < 1 + round % 24; i++) {
			seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
			damaged[seed % bytes] = (uint8_t)(seed >> 32);
		}
		if (dtb_open(&dtb, damaged, bytes) != 0)
			continue;
		find_host();
		struct pci_tree_window windows[PCI_WINDOWS_MAX];
		struct pci_function function = { .device = 3 };
		found += pci_tree_windows(&dtb, host, windows, PCI_WINDOWS_MAX);
		found += pci_tree_wire(&dtb, host, &function, 2).number != 0;
		found += pci_tree_messages(&dtb, host, &function) != DTB_NONE;
	}
	CHECK(found > 100);
	free(damaged);
	free(blob);
}

int main(void)
{
	test_qemu();
	test_hand_made();
	test_damaged();
	return 0;
}
