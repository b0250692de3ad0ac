#include "core/kernel_map.h"

#include "core/csr.h"
#include "core/memory.h"
#include "core/panic.h"

#define ROOT_IMAGE    510
#define ROOT_STACKS   511
#define STACKS_BASE   0xffffffffc0000000ull
#define STACK_SPACING (64u << 10) /* unmapped but for the stack at its upper end */
#define STACK_ORDER   2           /* 16 KiB */

#define LARGE_PAGE    (2ull << 20)
#define GIGAPAGE      (1ull << 30)

#define BITS_COMMON   (PTE_VALID | PTE_READ | PTE_GLOBAL | PTE_ACCESSED | PTE_DIRTY)
#define BITS_TEXT     (BITS_COMMON | PTE_EXECUTE)
#define BITS_RODATA   BITS_COMMON
#define BITS_DATA     (BITS_COMMON | PTE_WRITE)

extern uint8_t image_start[], text_end[], rodata_end[], boot_stack_guard[], image_end[];

uint64_t *kernel_root;
uint64_t kernel_root_physical;
uint64_t kernel_satp;

extern uint64_t early_root[];

static uint64_t image_physical, dtb_window_physical; /* 0: not mapped */

static uint64_t *new_table(void)
{
	uint64_t *table = page_alloc_zeroed(0);
	if (!table)
		panic("no memory for the kernel's page tables");
	page_account(PAGES_OF_KERNEL, 1);
	return table;
}

static uint64_t table_pte(const uint64_t *table)
{
	return pte_of(virt_to_phys(table).value, PTE_VALID);
}

/* The table that entry `index` leads to; made when there is none. */
static uint64_t *descend(uint64_t *table, unsigned index)
{
	if (!(table[index] & PTE_VALID))
		table[index] = table_pte(new_table());
	return phys_to_virt(phys(pte_physical(table[index])));
}

static void map_page(uint64_t address, uint64_t physical, uint64_t bits)
{
	uint64_t *middle = descend(kernel_root, address >> 30 & 511);
	uint64_t *last = descend(middle, address >> 21 & 511);
	last[address >> 12 & 511] = pte_of(physical, bits);
}

static void map_image(void)
{
	for (uint8_t *at = image_start; at < image_end; at += PAGE_SIZE) {
		uint64_t bits = at < text_end     ? BITS_TEXT
		                : at < rodata_end ? BITS_RODATA
		                                  : BITS_DATA;
		if (at != boot_stack_guard)
			map_page((uint64_t)at, image_physical + (uint64_t)(at - image_start), bits);
	}
}

/* One large page of the direct map, page by page where it aliases the image's code and constants:
 * those are read-only here too. */
static uint64_t direct_large_page(uint64_t physical)
{
	uint64_t constant_end = image_physical + (uint64_t)(rodata_end - image_start);
	if (physical + LARGE_PAGE <= image_physical || physical >= constant_end)
		return pte_of(physical, BITS_DATA);
	uint64_t *table = new_table();
	for (unsigned i = 0; i < 512; i++) {
		uint64_t page = physical + i * PAGE_SIZE;
		bool constant = page >= image_physical && page < constant_end;
		table[i] = pte_of(page, constant ? BITS_RODATA : BITS_DATA);
	}
	return table_pte(table);
}

/* All 128 GiB, devices included: memory attributes are physical on this architecture. */
static void map_direct(void)
{
	uint64_t first = DIRECT_MAP_BASE >> 30 & 511,
	         image_bytes = (uint64_t)(image_end - image_start);
	for (unsigned i = 0; i < DIRECT_MAP_BYTES / GIGAPAGE; i++) {
		uint64_t physical = i * GIGAPAGE;
		if (physical + GIGAPAGE <= image_physical ||
		    physical >= image_physical + image_bytes) {
			kernel_root[first + i] = pte_of(physical, BITS_DATA);
			continue;
		}
		uint64_t *table = new_table();
		for (unsigned j = 0; j < 512; j++)
			table[j] = direct_large_page(physical + j * LARGE_PAGE);
		kernel_root[first + i] = table_pte(table);
	}
}

/* Wherever in the first half of the window it begins, it ends within the other. */
static void map_device_tree(uint64_t *root)
{
	for (unsigned i = 0; i < 2; i++)
		root[(DTB_WINDOW_BASE >> 30 & 511) + i] =
		        pte_of(dtb_window_physical + i * GIGAPAGE, BITS_RODATA);
	tlb_flush_all();
}

const void *kernel_map_device_tree(uint64_t physical)
{
	dtb_window_physical = physical & ~(GIGAPAGE - 1);
	map_device_tree(early_root);
	return (const void *)(DTB_WINDOW_BASE + (physical & (GIGAPAGE - 1)));
}

void kernel_map_set_image(uint64_t physical)
{
	image_physical = physical;
}

void kernel_map_setup(void)
{
	kernel_root = new_table();
	kernel_root_physical = virt_to_phys(kernel_root).value;
	map_image();
	map_direct();
	if (dtb_window_physical)
		map_device_tree(kernel_root);
	/* Address spaces copy the root's entries: all tables below it exist from now on. */
	descend(kernel_root, ROOT_IMAGE);
	descend(kernel_root, ROOT_STACKS);
	kernel_satp = SATP_MODE_SV39 | kernel_root_physical >> PAGE_SHIFT;
	csr_write(satp, kernel_satp);
	tlb_flush_all();
}

uint64_t kernel_map_stack(uint32_t hart_index, uint64_t *bottom)
{
	uint8_t *memory = page_alloc(STACK_ORDER);
	if (!memory)
		return 0;
	page_account(PAGES_OF_KERNEL, 1 << STACK_ORDER);
	uint64_t top = STACKS_BASE + (hart_index + 1ull) * STACK_SPACING;
	*bottom = top - (PAGE_SIZE << STACK_ORDER);
	for (uint64_t at = *bottom; at < top; at += PAGE_SIZE)
		map_page(at, virt_to_phys(memory + (at - *bottom)).value, BITS_DATA);
	tlb_flush_all();
	return top;
}

struct phys_addr kernel_physical(const void *pointer)
{
	uint64_t address = (uint64_t)pointer;
	if (address >= STACKS_BASE) {
		uint64_t *middle = descend(kernel_root, ROOT_STACKS);
		uint64_t *last = descend(middle, address >> 21 & 511);
		return phys(pte_physical(last[address >> 12 & 511]) + (address & PAGE_MASK));
	}
	if (address >= KERNEL_IMAGE_BASE)
		return phys(image_physical + (address - KERNEL_IMAGE_BASE));
	return virt_to_phys(pointer);
}
