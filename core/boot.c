/* From the device tree to a running machine. */
#include "core/boot.h"

#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "core/clock_setup.h"
#include "core/console.h"
#include "core/console_setup.h"
#include "core/cpu.h"
#include "core/csr.h"
#include "core/hart_setup.h"
#include "core/irq_setup.h"
#include "core/kernel_map.h"
#include "core/page.h"
#include "core/panic.h"
#include "core/panic_setup.h"
#include "core/personality.h"
#include "core/regions.h"
#include "core/sbi.h"
#include "core/trace_setup.h"

#define DTB_MAX_BYTES (16u << 20)
#define UNIT_BYTES    (PAGE_SIZE << PAGE_ORDER_MAX)

extern uint8_t image_start[], image_end[], boot_stack_bottom[], boot_stack_top[];

/* Used by core/entry.S. */
struct hart boot_hart;
_Noreturn void boot_main(uint64_t hartid, uint64_t dtb_physical, uint64_t entry_time,
                         uint64_t image_physical);

struct boot_information boot_information;
struct personality personality_ops;

static struct dtb tree;

void personality_register(const struct personality *personality)
{
	personality_ops = *personality;
}

__attribute__((weak)) void personality_install(void)
{
}

static void add_memory(struct regions *memory)
{
	for (dtb_node node = dtb_first_child(&tree, dtb_root(&tree)); node != DTB_NONE;
	     node = dtb_next_sibling(&tree, node)) {
		const char *type = dtb_string(&tree, node, "device_type");
		if (!type || strcmp(type, "memory") != 0 || !dtb_is_enabled(&tree, node))
			continue;
		uint64_t address, bytes;
		for (uint32_t i = 0; dtb_reg(&tree, node, i, &address, &bytes); i++) {
			if (address >= DIRECT_MAP_BYTES)
				continue;
			if (bytes > DIRECT_MAP_BYTES - address)
				bytes = DIRECT_MAP_BYTES - address;
			boot_information.memory_bytes += bytes;
			regions_add(memory, address, bytes);
		}
	}
}

/* What firmware, device tree and kernel occupy. */
static void remove_occupied(struct regions *memory, uint64_t dtb_physical)
{
	uint64_t address, bytes;
	dtb_node reserved = dtb_find_path(&tree, "/reserved-memory");
	dtb_node child = reserved == DTB_NONE ? DTB_NONE : dtb_first_child(&tree, reserved);
	for (; child != DTB_NONE; child = dtb_next_sibling(&tree, child)) {
		for (uint32_t i = 0; dtb_reg(&tree, child, i, &address, &bytes); i++)
			regions_remove(memory, address, bytes);
	}
	regions_remove(memory, dtb_physical, tree.total_bytes);
	regions_remove(memory, boot_information.image_physical,
	               (uint64_t)(image_end - image_start));
}

/* The initrd's memory, and the reservation block: boot loaders also enter the initrd there. */
static void remove_initrd(struct regions *memory)
{
	uint64_t address, bytes;
	if (boot_information.initrd) {
		address = virt_to_phys(boot_information.initrd).value;
		bytes = boot_information.initrd_bytes;
		if (regions_hold(memory, address, bytes)) {
			regions_remove(memory, address, bytes);
		} else {
			log_error("initrd: %lu bytes at %lx are not in memory, or hold something "
			          "else: there is no initrd",
			          bytes, address);
			boot_information.initrd = NULL;
		}
	}
	for (uint32_t i = 0; dtb_reserved(&tree, i, &address, &bytes); i++)
		regions_remove(memory, address, bytes);
}

/* A big-endian number of one or two cells. */
static uint64_t chosen_number(dtb_node chosen, const char *name)
{
	struct dtb_property property = dtb_property(&tree, chosen, name);
	uint64_t first = dtb_u32(&tree, chosen, name, 0, 0);
	return property.bytes < 8 ? first : first << 32 | dtb_u32(&tree, chosen, name, 1, 0);
}

static void set_initrd(uint64_t start, uint64_t bytes)
{
	if (start >= DIRECT_MAP_BYTES || bytes > DIRECT_MAP_BYTES - start) {
		log_error("initrd: %lu bytes at %lx lie beyond what is mapped", bytes, start);
		return;
	}
	boot_information.initrd = phys_to_virt(phys(start));
	boot_information.initrd_bytes = bytes;
}

static void read_chosen(void)
{
	boot_information.command_line = "";
	dtb_node chosen = dtb_find_path(&tree, "/chosen");
	if (chosen == DTB_NONE)
		return;
	const char *arguments = dtb_string(&tree, chosen, "bootargs");
	if (arguments)
		boot_information.command_line = arguments;
	uint64_t start, bytes;
	int error = boot_option_range(boot_information.command_line, "initrdmem", &start, &bytes);
	if (error == -EINVAL)
		log_error("initrdmem= wants ADDRESS,SIZE: there is no initrd");
	if (error == -ENOENT) {
		start = chosen_number(chosen, "linux,initrd-start");
		bytes = chosen_number(chosen, "linux,initrd-end") - start;
		error = start + bytes > start ? 0 : error;
	}
	if (!error)
		set_initrd(start, bytes);
}

/* All memory that has or gets a struct page: what is free, and the initrd. */
static struct region pages_needed(const struct regions *memory)
{
	struct region all = { memory->at[0].start, memory->at[memory->count - 1].end };
	if (boot_information.initrd) {
		uint64_t start = virt_to_phys(boot_information.initrd).value;
		uint64_t end = start + boot_information.initrd_bytes;
		all.start = start < all.start ? start : all.start;
		all.end = end > all.end ? end : all.end;
	}
	all.start &= ~(UNIT_BYTES - 1);
	return all;
}

/* The page array is carved from the first region that holds it; the rest is handed to the
 * allocator. */
static void start_allocator(struct regions *memory)
{
	if (memory->count == 0)
		panic("the device tree names no usable memory");
	struct region needed = pages_needed(memory);
	uint64_t pages = (needed.end - needed.start + PAGE_MASK) >> PAGE_SHIFT;
	uint64_t array_bytes = (page_array_bytes(pages) + PAGE_MASK) & ~PAGE_MASK;
	unsigned i = 0;
	while (i < memory->count && memory->at[i].end - memory->at[i].start < array_bytes)
		i++;
	if (i == memory->count)
		panic("no room for %lu bytes of page structures", array_bytes);
	uint64_t array = memory->at[i].start;
	regions_remove(memory, array, array_bytes);
	page_allocator_init(phys_to_virt(phys(needed.start)), pages, phys_to_virt(phys(array)));
	for (i = 0; i < memory->count; i++)
		page_allocator_add(phys_to_virt(phys(memory->at[i].start)),
		                   (memory->at[i].end - memory->at[i].start) >> PAGE_SHIFT);
	page_account_image((array_bytes + (uint64_t)(image_end - image_start)) >> PAGE_SHIFT);
	memory_cache_register(&heap_cache);
}

static void start_memory(uint64_t dtb_physical)
{
	static struct regions memory;
	add_memory(&memory);
	remove_occupied(&memory, dtb_physical);
	remove_initrd(&memory);
	start_allocator(&memory);
	kernel_map_setup();
	boot_hart.active_satp = kernel_satp;
}

static void probe_firmware(void)
{
	uint64_t start = csr_read(time);
	unsigned calls = sbi_probe();
	sbi_firmware.call_ticks = (csr_read(time) - start) / calls;
}

static void start_clock(uint64_t entry_time)
{
	dtb_node cpus = dtb_find_path(&tree, "/cpus");
	uint32_t timebase = cpus == DTB_NONE ? 0 : dtb_u32(&tree, cpus, "timebase-frequency", 0, 0);
	if (timebase == 0)
		panic("the device tree has no /cpus/timebase-frequency");
	clock_setup(timebase, entry_time);
	dtb_node rtc = dtb_find_compatible(&tree, DTB_NONE, "google,goldfish-rtc");
	uint64_t address, bytes;
	if (rtc != DTB_NONE && dtb_reg(&tree, rtc, 0, &address, &bytes))
		clock_read_rtc(phys_to_virt(phys(address)));
}

static void read_options(void)
{
	const char *command_line = boot_information.command_line;
	console_read_options(command_line);
	hart_read_options(command_line);
	trace_setup(boot_option_number(command_line, "trace", 0));
}

static void start_boot_hart(uint64_t hartid)
{
	harts[hart_count++] = &boot_hart;
	if (hart_init(&boot_hart, 0, hartid) != 0)
		panic("no memory for the loop of hart 0");
	hart_open_interrupts();
	irq_setup(&tree, &boot_hart);
	console_start_input(&tree, &boot_hart);
	console_start_batching(boot_information.command_line, &boot_hart);
}

static void report(void)
{
	char firmware[128];
	sbi_describe(firmware, sizeof firmware);
	log_info("%s", firmware);
	log_info("hart %lu of %u, %lu MiB of memory, image at %lx, cpu %x", boot_hart.hartid,
	         hart_count, boot_information.memory_bytes >> 20, boot_information.image_physical,
	         cpu_features);
}

/* Firmware puts it at the end of memory, which may be further than we look. */
static const void *device_tree_at(uint64_t physical)
{
	return physical <= DIRECT_MAP_BYTES - DTB_MAX_BYTES ? phys_to_virt(phys(physical))
	                                                    : kernel_map_device_tree(physical);
}

_Noreturn void boot_main(uint64_t hartid, uint64_t dtb_physical, uint64_t entry_time,
                         uint64_t image_physical)
{
	boot_hart.stack_top = (uint64_t)boot_stack_top;
	boot_hart.stack_bottom = (uint64_t)boot_stack_bottom;
	boot_hart.hartid = hartid;
	boot_information = (struct boot_information){
		.dtb = &tree,
		.entry_time = entry_time,
		.image_physical = image_physical,
	};
	kernel_map_set_image(image_physical);
	probe_firmware();
	if (dtb_open(&tree, device_tree_at(dtb_physical), DTB_MAX_BYTES) != 0)
		panic("no sound device tree at %lx", dtb_physical);
	console_find_uart(&tree);
	machine_exit_setup(&tree);
	start_clock(entry_time);
	read_chosen();
	read_options();
	start_memory(dtb_physical);
	cpu_detect(&tree, hartid);
	personality_install();
	start_boot_hart(hartid);
	harts_start();
	boot_information.harts_present = hart_count;
	report();
	if (!personality_ops.start)
		panic("no personality is linked in");
	personality_ops.start(&boot_hart, &boot_information);
	hart_loop(&boot_hart);
}
