/*
 * The device tree of kvmtool's riscv machine (its riscv/fdt.c and riscv/plic.c): devices on a bus
 * whose node gives them their interrupt controller, a PLIC elsewhere than QEMU's without M-mode
 * contexts, a console that is named by an alias.
 */
#include <errno.h>

#include "core/irq_tree.h"
#include "core/tests/fdt_writer.h"
#include "evloop/check.h"

#define HARTS          2
#define PHANDLE_PLIC   1
#define PHANDLE_HART_0 2

static void write_number(struct fdt_writer *writer, const char *name, uint32_t value)
{
	fdt_cells(writer, name, 1, &value);
}

static void write_text(struct fdt_writer *writer, const char *name, const char *text)
{
	fdt_property(writer, name, text, (uint32_t)strlen(text) + 1);
}

static void write_region(struct fdt_writer *writer, uint32_t address, uint32_t bytes)
{
	fdt_cells(writer, "reg", 4, (uint32_t[]){ 0, address, 0, bytes });
}

static void write_harts(struct fdt_writer *writer)
{
	fdt_begin(writer, "cpus");
	write_number(writer, "#address-cells", 1);
	write_number(writer, "#size-cells", 0);
	write_number(writer, "timebase-frequency", 10000000);
	for (uint32_t hart = 0; hart < HARTS; hart++) {
		fdt_begin(writer, hart ? "cpu@1" : "cpu@0");
		write_text(writer, "device_type", "cpu");
		write_text(writer, "compatible", "riscv");
		write_text(writer, "riscv,isa", "rv64imafdc_sstc_zba_zbb");
		write_number(writer, "reg", hart);
		fdt_begin(writer, "interrupt-controller");
		write_text(writer, "compatible", "riscv,cpu-intc");
		write_number(writer, "#interrupt-cells", 1);
		fdt_property(writer, "interrupt-controller", "", 0);
		write_number(writer, "phandle", PHANDLE_HART_0 + hart);
		fdt_end(writer);
		fdt_end(writer);
	}
	fdt_end(writer);
}

static void write_plic(struct fdt_writer *writer)
{
	fdt_begin(writer, "interrupt-controller@08000000");
	write_text(writer, "compatible", "riscv,plic0");
	write_region(writer, 0x08000000, 128 << 20);
	write_number(writer, "#interrupt-cells", 1);
	fdt_property(writer, "interrupt-controller", "", 0);
	write_number(writer, "riscv,ndev", 1023);
	write_number(writer, "phandle", PHANDLE_PLIC);
	fdt_cells(writer, "interrupts-extended", 8,
	          (uint32_t[]){ PHANDLE_HART_0, 0xffffffff, PHANDLE_HART_0, 9, PHANDLE_HART_0 + 1,
	                        0xffffffff, PHANDLE_HART_0 + 1, 9 });
	fdt_end(writer);
}

static void write_device(struct fdt_writer *writer, const char *name, const char *compatible,
                         uint32_t address, uint32_t bytes, uint32_t interrupt)
{
	fdt_begin(writer, name);
	write_text(writer, "compatible", compatible);
	write_region(writer, address, bytes);
	write_number(writer, "interrupts", interrupt);
	fdt_end(writer);
}

static uint32_t make(uint8_t *blob)
{
	static struct fdt_writer writer;
	memset(&writer, 0, sizeof writer);
	fdt_begin(&writer, "");
	write_text(&writer, "compatible", "linux,dummy-virt");
	write_number(&writer, "#address-cells", 2);
	write_number(&writer, "#size-cells", 2);
	fdt_begin(&writer, "chosen");
	write_text(&writer, "bootargs", "ip=none -- /init");
	write_text(&writer, "stdout-path", "serial0");
	fdt_cells(&writer, "linux,initrd-start", 2, (uint32_t[]){ 0, 0x8fc00000 });
	fdt_cells(&writer, "linux,initrd-end", 2, (uint32_t[]){ 0, 0x8fd00000 });
	fdt_end(&writer);
	fdt_begin(&writer, "memory");
	write_text(&writer, "device_type", "memory");
	write_region(&writer, 0x80000000, 256 << 20);
	fdt_end(&writer);
	write_harts(&writer);
	write_plic(&writer);
	fdt_begin(&writer, "smb");
	write_text(&writer, "compatible", "simple-bus");
	write_number(&writer, "#address-cells", 2);
	write_number(&writer, "#size-cells", 2);
	write_number(&writer, "interrupt-parent", PHANDLE_PLIC);
	fdt_property(&writer, "ranges", "", 0);
	write_device(&writer, "virtio@10020000", "virtio,mmio", 0x10020000, 0x200, 5);
	write_device(&writer, "virtio@10020200", "virtio,mmio", 0x10020200, 0x200, 6);
	write_device(&writer, "U6_16550A@10000000", "ns16550a", 0x10000000, 8, 1);
	fdt_end(&writer);
	fdt_begin(&writer, "aliases");
	write_text(&writer, "serial0", "/smb/U6_16550A@10000000");
	fdt_end(&writer);
	fdt_end(&writer);
	return fdt_finish(&writer, blob);
}

static void check_device(const struct dtb *dtb, dtb_node device, dtb_node plic, uint64_t at_address,
                         uint32_t interrupt)
{
	uint64_t address, bytes;
	CHECK(device != DTB_NONE);
	CHECK(dtb_reg(dtb, device, 0, &address, &bytes));
	CHECK_EQ(address, at_address);
	CHECK_EQ(dtb_interrupt(dtb, device).number, interrupt);
	CHECK_EQ(dtb_interrupt(dtb, device).controller, plic);
}

int main(void)
{
	static uint8_t blob[8192];
	struct dtb dtb;
	CHECK_EQ(dtb_open(&dtb, blob, make(blob)), 0);

	struct plic_place plic;
	struct imsic_place imsic;
	CHECK_EQ(imsic_find(&dtb, &imsic), -ENODEV);
	for (uint32_t hart = 0; hart < HARTS; hart++) {
		CHECK_EQ(plic_find(&dtb, hart, &plic), 0);
		CHECK_EQ(plic.address, 0x08000000);
		CHECK_EQ(plic.context, 2 * hart + 1);
		CHECK_EQ(plic.sources, 1023);
	}

	dtb_node first = dtb_find_compatible(&dtb, DTB_NONE, "virtio,mmio");
	check_device(&dtb, first, plic.node, 0x10020000, 5);
	check_device(&dtb, dtb_find_compatible(&dtb, first, "virtio,mmio"), plic.node, 0x10020200,
	             6);
	check_device(&dtb, dtb_find_compatible(&dtb, DTB_NONE, "ns16550a"), plic.node, 0x10000000,
	             1);

	/* An alias is no path: the console is then found by what it is compatible with. */
	dtb_node chosen = dtb_find_path(&dtb, "/chosen");
	CHECK_EQ(dtb_string(&dtb, chosen, "stdout-path")[0], 's');
	uint64_t address, bytes;
	CHECK(dtb_reg(&dtb, dtb_find_path(&dtb, "/memory"), 0, &address, &bytes));
	CHECK_EQ(address, 0x80000000);
	CHECK_EQ(bytes, 256 << 20);
	return 0;
}
