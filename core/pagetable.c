#include "core/pagetable.h"

#include <errno.h>
#include <string.h>

#include "core/csr.h"
#include "core/hart.h"
#include "core/kernel_map.h"
#include "core/task.h"

#define ROOT_USER_ENTRIES 256
#define LEAF_BITS         (PTE_READ | PTE_WRITE | PTE_EXECUTE)
#define ASIDS             4096

static uint64_t asid_used[ASIDS / 64];
static uint32_t asid_count; /* of this machine, at most ASIDS; 0: not asked yet */

/* satp's ASID field keeps only the bits that exist (privileged ISA §4.1.11). */
static void asid_probe(void)
{
	uint64_t satp = csr_read(satp);
	csr_write(satp, satp | 0xffffull << SATP_ASID_SHIFT);
	uint64_t asids = (csr_read(satp) >> SATP_ASID_SHIFT & 0xffff) + 1;
	csr_write(satp, satp);
	tlb_flush_all();
	asid_count = asids < ASIDS ? (uint32_t)asids : ASIDS;
	asid_used[0] = 1; /* 0 is the kernel's own table, and shared by all that find none free */
}

static uint16_t asid_take(void)
{
	if (asid_count == 0)
		asid_probe();
	for (uint32_t word = 0; word < (asid_count + 63) / 64; word++) {
		if (~asid_used[word] == 0)
			continue;
		uint32_t asid = word * 64 + (uint32_t)__builtin_ctzll(~asid_used[word]);
		if (asid >= asid_count)
			break;
		asid_used[word] |= 1ull << asid % 64;
		return (uint16_t)asid;
	}
	return 0;
}

static void asid_release(uint16_t asid)
{
	if (asid == 0)
		return;
	tlb_flush_asid(asid);
	asid_used[asid / 64] &= ~(1ull << asid % 64);
}

static uint64_t *table_of(uint64_t pte)
{
	return phys_to_virt(phys(pte_physical(pte)));
}

static bool is_leaf(uint64_t pte)
{
	return (pte & PTE_HIDDEN) || (pte & LEAF_BITS);
}

static uint64_t leaf_pte(uint64_t physical, unsigned permission)
{
	if (permission == 0)
		return pte_of(physical, PTE_HIDDEN);
	if (permission & PAGE_WRITE)
		permission |= PAGE_READ;
	return pte_of(physical, PTE_VALID | PTE_USER | PTE_ACCESSED | PTE_DIRTY | permission);
}

static struct page_mapping mapping_of(uint64_t pte, bool large)
{
	unsigned permission = pte & PTE_VALID ? (unsigned)(pte & LEAF_BITS) : 0;
	return (struct page_mapping){ phys(pte_physical(pte)), permission, large };
}

int page_table_create(struct page_table *out)
{
	uint64_t *root = page_alloc(0);
	if (!root)
		return -ENOMEM;
	memset(root, 0, ROOT_USER_ENTRIES * sizeof *root);
	memcpy(root + ROOT_USER_ENTRIES, kernel_root + ROOT_USER_ENTRIES,
	       PAGE_SIZE - ROOT_USER_ENTRIES * sizeof *root);
	uint16_t asid = asid_take();
	*out = (struct page_table){
		.root = root,
		.asid = asid,
		.satp = SATP_MODE_SV39 | (uint64_t)asid << SATP_ASID_SHIFT |
		        virt_to_phys(root).value >> PAGE_SHIFT,
		.table_pages = 1,
	};
	return 0;
}

void page_table_destroy(struct page_table *table)
{
	struct hart *hart = this_hart();
	if (hart->active_satp == table->satp)
		hart_activate_satp(hart, kernel_satp);
	for (unsigned i = 0; i < ROOT_USER_ENTRIES; i++) {
		if (!(table->root[i] & PTE_VALID))
			continue;
		uint64_t *middle = table_of(table->root[i]);
		for (unsigned j = 0; j < 512; j++) {
			if ((middle[j] & PTE_VALID) && !is_leaf(middle[j]))
				page_free(table_of(middle[j]), 0);
		}
		page_free(middle, 0);
	}
	page_free(table->root, 0);
	asid_release(table->asid);
	table->root = NULL;
}

/* The table below *entry, made when there is none. NULL: no memory. */
static uint64_t *descend(struct page_table *table, uint64_t *entry)
{
	if (*entry & PTE_VALID)
		return table_of(*entry);
	uint64_t *lower = page_alloc_zeroed(0);
	if (!lower)
		return NULL;
	*entry = pte_of(virt_to_phys(lower).value, PTE_VALID);
	table->table_pages++;
	return lower;
}

/* The middle entry (2 MiB) for the address. */
static uint64_t *middle_entry(struct page_table *table, uint64_t address)
{
	uint64_t *middle = descend(table, &table->root[address >> 30]);
	return middle ? &middle[address >> 21 & 511] : NULL;
}

/* Replace a large leaf by 512 small ones. */
static int split_large(struct page_table *table, uint64_t *entry)
{
	uint64_t *lower = page_alloc(0);
	if (!lower)
		return -ENOMEM;
	for (unsigned i = 0; i < 512; i++)
		lower[i] = *entry + ((uint64_t)i << 10);
	*entry = pte_of(virt_to_phys(lower).value, PTE_VALID);
	table->table_pages++;
	page_table_flush(table);
	return 0;
}

int page_map(struct page_table *table, struct user_addr address, struct phys_addr page,
             unsigned permission)
{
	uint64_t *entry = middle_entry(table, address.value);
	if (!entry || (is_leaf(*entry) && split_large(table, entry) != 0))
		return -ENOMEM;
	uint64_t *last = descend(table, entry);
	if (!last)
		return -ENOMEM;
	entry = &last[address.value >> 12 & 511];
	uint64_t old = *entry;
	*entry = leaf_pte(page.value, permission);
	if (old & PTE_VALID)
		page_table_flush_page(table, address);
	if (permission & PAGE_EXECUTE)
		__asm__ volatile("fence.i" ::: "memory");
	return 0;
}

int page_map_large(struct page_table *table, struct user_addr address, struct phys_addr page,
                   unsigned permission)
{
	uint64_t *entry = middle_entry(table, address.value);
	if (!entry)
		return -ENOMEM;
	if ((*entry & PTE_VALID) && !is_leaf(*entry)) { /* an empty table */
		page_free(table_of(*entry), 0);
		table->table_pages--;
		*entry = 0;
		page_table_flush(table);
	}
	*entry = leaf_pte(page.value, permission);
	if (permission & PAGE_EXECUTE)
		__asm__ volatile("fence.i" ::: "memory");
	return 0;
}

/* The leaf that maps the address, or NULL. */
static uint64_t *find_leaf(const struct page_table *table, uint64_t address, bool *large)
{
	if (address >= USER_END)
		return NULL;
	uint64_t *entry = &table->root[address >> 30];
	for (unsigned shift = 21;; shift -= 9) {
		if (!(*entry & PTE_VALID))
			return NULL;
		entry = &table_of(*entry)[address >> shift & 511];
		*large = shift == 21;
		if (is_leaf(*entry))
			return entry;
		if (shift == 12)
			return NULL;
	}
}

struct page_mapping page_lookup(const struct page_table *table, struct user_addr address)
{
	bool large;
	const uint64_t *entry = find_leaf(table, address.value, &large);
	return entry ? mapping_of(*entry, large) : (struct page_mapping){ 0 };
}

void page_protect(struct page_table *table, struct user_addr address, unsigned permission)
{
	bool large;
	uint64_t *entry = find_leaf(table, address.value, &large);
	if (!entry)
		return;
	uint64_t old = *entry;
	*entry = leaf_pte(pte_physical(old), permission);
	if (old & PTE_VALID)
		page_table_flush_page(table, address);
	if (permission & PAGE_EXECUTE)
		__asm__ volatile("fence.i" ::: "memory");
}

struct walk {
	struct page_table *table;
	uint64_t from, to;
	bool (*each)(void *context, struct user_addr address, struct page_mapping mapping);
	void *context;
	bool removed;
};

static bool table_is_empty(const uint64_t *table)
{
	for (unsigned i = 0; i < 512; i++) {
		if (table[i])
			return false;
	}
	return true;
}

/* Visit the part of the walk that lies below `entries`, whose first entry maps `base` and each 1 <<
 * shift bytes. True: something was removed. */
static bool walk_level(struct walk *walk, uint64_t *entries, uint64_t base, unsigned shift)
{
	uint64_t span = 1ull << shift;
	bool removed = false;
	uint64_t first = walk->from > base ? (walk->from - base) >> shift : 0;
	for (uint64_t i = first; i < 512 && base + i * span < walk->to; i++) {
		uint64_t pte = entries[i];
		if (pte == 0)
			continue;
		if (is_leaf(pte)) {
			if (walk->each(walk->context, user(base + i * span),
			               mapping_of(pte, shift == 21))) {
				entries[i] = 0;
				removed = true;
			}
		} else if (walk_level(walk, table_of(pte), base + i * span, shift - 9)) {
			removed = true;
			walk->removed = true;
			if (table_is_empty(table_of(pte))) {
				entries[i] = 0;
				page_free(table_of(pte), 0);
				walk->table->table_pages--;
			}
		}
	}
	return removed;
}

void page_walk(struct page_table *table, struct user_addr from, struct user_addr to,
               bool (*each)(void *context, struct user_addr address, struct page_mapping mapping),
               void *context)
{
	struct walk walk = { table,
		             from.value & ~PAGE_MASK,
		             to.value < USER_END ? to.value : USER_END,
		             each,
		             context,
		             false };
	for (uint64_t i = walk.from >> 30; i << 30 < walk.to; i++) {
		if (!(table->root[i] & PTE_VALID))
			continue;
		uint64_t *middle = table_of(table->root[i]);
		walk.removed |= walk_level(&walk, middle, i << 30, 21);
		if (walk.removed && table_is_empty(middle)) {
			table->root[i] = 0;
			page_free(middle, 0);
			table->table_pages--;
		}
	}
	if (walk.removed)
		page_table_flush(table);
}

void page_table_flush(const struct page_table *table)
{
	if (table->asid)
		tlb_flush_asid(table->asid);
	else
		tlb_flush_all();
}

void page_table_flush_page(const struct page_table *table, struct user_addr address)
{
	tlb_flush_page(address.value, table->asid);
}
