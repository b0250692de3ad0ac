#include "core/pagetable.h"

#include <errno.h>
#include <string.h>

#include "core/csr.h"
#include "core/hart.h"
#include "core/kernel_map.h"
#include "core/task.h"

#define ROOT_USER_ENTRIES 256
#define LEAF_BITS         (PTE_READ | PTE_WRITE | PTE_EXECUTE)
#define TABLE_ENTRIES     512
#define ASIDS             4096

/* What an ASID meant is remembered by the machine until it is flushed: those released wait for one
 * flush of everything, made when no other is left. */
static uint64_t asid_used[ASIDS / 64];     /* the released ones included */
static uint64_t asid_released[ASIDS / 64]; /* since the last flush of everything */
static uint32_t asid_first;                /* word of asid_used before which all are used */
static uint32_t asid_count;                /* of this machine, at most ASIDS; 0: not asked yet */

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

/* 0: none. */
static uint16_t asid_take_unused(void)
{
	for (; asid_first < (asid_count + 63) / 64; asid_first++) {
		uint64_t unused = ~asid_used[asid_first];
		if (!unused)
			continue;
		uint32_t asid = asid_first * 64 + (uint32_t)__builtin_ctzll(unused);
		if (asid >= asid_count)
			break;
		asid_used[asid_first] |= 1ull << asid % 64;
		return (uint16_t)asid;
	}
	return 0;
}

static void asid_reuse_released(void)
{
	tlb_flush_all();
	for (uint32_t word = 0; word < ASIDS / 64; word++) {
		asid_used[word] &= ~asid_released[word];
		asid_released[word] = 0;
	}
	asid_first = 0;
}

static uint16_t asid_take(void)
{
	if (asid_count == 0)
		asid_probe();
	uint16_t asid = asid_take_unused();
	if (asid == 0) {
		asid_reuse_released();
		asid = asid_take_unused();
	}
	return asid;
}

static void asid_release(uint16_t asid)
{
	if (asid != 0)
		asid_released[asid / 64] |= 1ull << asid % 64;
}

static uint64_t *table_of(uint64_t pte)
{
	return phys_to_virt(phys(pte_physical(pte)));
}

static inline uint64_t leaf_pte(uint64_t physical, unsigned permission)
{
	if (permission == 0)
		return pte_of(physical, PTE_HIDDEN);
	if (permission & PAGE_WRITE)
		permission |= PAGE_READ;
	return pte_of(physical, PTE_VALID | PTE_USER | PTE_ACCESSED | PTE_DIRTY | permission);
}

/* Entries in use of the table that an entry lies in (of the root: of its user half). */
static inline uint16_t *used_entries(const uint64_t *entry)
{
	return &page_of(entry)->owner;
}

int page_table_create(struct page_table *out)
{
	uint64_t *root = page_alloc(0);
	if (!root)
		return -ENOMEM;
	memset(root, 0, ROOT_USER_ENTRIES * sizeof *root);
	memcpy(root + ROOT_USER_ENTRIES, kernel_root + ROOT_USER_ENTRIES,
	       PAGE_SIZE - ROOT_USER_ENTRIES * sizeof *root);
	page_account(PAGES_OF_TABLES, 1);
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
	for (unsigned i = 0; *used_entries(table->root); i++) {
		if (!table->root[i])
			continue;
		--*used_entries(table->root);
		uint64_t *middle = table_of(table->root[i]);
		for (unsigned j = 0; *used_entries(middle); j++) {
			if (!middle[j])
				continue;
			--*used_entries(middle);
			page_free(table_of(middle[j]), 0);
		}
		page_free(middle, 0);
	}
	page_free(table->root, 0);
	page_account(PAGES_OF_TABLES, -(int64_t)table->table_pages);
	asid_release(table->asid);
	table->root = NULL;
}

/* The table below the entry, which may be empty. NULL: no memory. */
static uint64_t *make_table(struct page_table *table, uint64_t *entry)
{
	if (*entry)
		return table_of(*entry);
	uint64_t *lower = page_alloc_zeroed(0);
	if (!lower)
		return NULL;
	*entry = pte_of(virt_to_phys(lower).value, PTE_VALID);
	++*used_entries(entry);
	table->table_pages++;
	page_account(PAGES_OF_TABLES, 1);
	return lower;
}

static __attribute__((noinline)) page_slot *make_tables(struct page_table *table, uint64_t address)
{
	uint64_t *middle = make_table(table, &table->root[address >> 30]);
	uint64_t *last = middle ? make_table(table, &middle[address >> 21 & 511]) : NULL;
	return last ? &last[address >> 12 & 511] : NULL;
}

page_slot *page_slot_make(struct page_table *table, struct user_addr address)
{
	uint64_t entry = table->root[address.value >> 30];
	if (__builtin_expect(entry == 0, 0))
		return make_tables(table, address.value);
	entry = table_of(entry)[address.value >> 21 & 511];
	if (__builtin_expect(entry == 0, 0))
		return make_tables(table, address.value);
	return &table_of(entry)[address.value >> 12 & 511];
}

page_slot *page_slot_find(const struct page_table *table, struct user_addr address)
{
	if (address.value >= USER_END)
		return NULL;
	uint64_t entry = table->root[address.value >> 30];
	if (!entry)
		return NULL;
	entry = table_of(entry)[address.value >> 21 & 511];
	return entry ? &table_of(entry)[address.value >> 12 & 511] : NULL;
}

struct page_mapping page_slot_read(const page_slot *slot)
{
	unsigned permission = *slot & PTE_VALID ? (unsigned)(*slot & LEAF_BITS) : 0;
	return (struct page_mapping){ phys(pte_physical(*slot)), permission };
}

void page_slot_change(page_slot *slot, struct phys_addr page, unsigned permission)
{
	*slot = leaf_pte(page.value, permission);
	if (permission & PAGE_EXECUTE)
		__asm__ volatile("fence.i" ::: "memory");
}

void page_slot_fill(page_slot *slot, struct phys_addr page, unsigned permission)
{
	++*used_entries(slot);
	page_slot_change(slot, page, permission);
}

struct page_mapping page_lookup(const struct page_table *table, struct user_addr address)
{
	const page_slot *slot = page_slot_find(table, address);
	return slot ? page_slot_read(slot) : (struct page_mapping){ 0 };
}

/* All of this address space. */
static void page_table_flush(const struct page_table *table)
{
	if (table->asid)
		tlb_flush_asid(table->asid);
	else
		tlb_flush_all();
}

struct walk {
	struct page_table *table;
	uint64_t from, to;
	enum page_step (*each)(void *context, struct user_addr address, page_slot *slot);
	void *context;
	uint64_t changed_from, changed_to; /* what must be flushed */
	bool tables_freed;
};

/* The part of the walk in the table of the last level whose first entry maps `base`. */
static void walk_pages(struct walk *walk, uint64_t *entries, uint64_t base)
{
	uint64_t first = walk->from > base ? (walk->from - base) >> 12 : 0;
	uint64_t end = (walk->to - base + PAGE_MASK) >> 12;
	if (end > TABLE_ENTRIES)
		end = TABLE_ENTRIES;
	for (uint64_t i = first; i < end; i++) {
		if (!entries[i]) {
			/* Most of a sparse table goes four at a time. */
			while (i + 4 < end &&
			       !(entries[i + 1] | entries[i + 2] | entries[i + 3] | entries[i + 4]))
				i += 4;
			continue;
		}
		uint64_t address = base + (i << 12);
		enum page_step step = walk->each(walk->context, user(address), &entries[i]);
		if (step == PAGE_KEPT)
			continue;
		if (step == PAGE_REMOVED) {
			entries[i] = 0;
			--*used_entries(entries);
		}
		if (address < walk->changed_from)
			walk->changed_from = address;
		walk->changed_to = address + PAGE_SIZE;
	}
}

/* Frees the table below the entry when nothing is in it any more. */
static void drop_if_empty(struct walk *walk, uint64_t *entry)
{
	uint64_t *lower = table_of(*entry);
	if (*used_entries(lower))
		return;
	page_free(lower, 0);
	*entry = 0;
	--*used_entries(entry);
	walk->table->table_pages--;
	page_account(PAGES_OF_TABLES, -1);
	walk->tables_freed = true;
}

static void walk_middle(struct walk *walk, uint64_t *entries, uint64_t base)
{
	uint64_t first = walk->from > base ? (walk->from - base) >> 21 : 0;
	for (uint64_t i = first; i < TABLE_ENTRIES && base + (i << 21) < walk->to; i++) {
		if (!entries[i])
			continue;
		walk_pages(walk, table_of(entries[i]), base + (i << 21));
		drop_if_empty(walk, &entries[i]);
	}
}

/* Pages that are flushed one by one rather than with all others of the address space. */
#define FLUSH_PAGES_MAX 8

void page_walk(struct page_table *table, struct user_addr from, struct user_addr to,
               enum page_step (*each)(void *context, struct user_addr address, page_slot *slot),
               void *context)
{
	struct walk walk = { .table = table,
		             .from = from.value & ~PAGE_MASK,
		             .to = to.value < USER_END ? to.value : USER_END,
		             .each = each,
		             .context = context,
		             .changed_from = UINT64_MAX };
	for (uint64_t i = walk.from >> 30; i << 30 < walk.to; i++) {
		if (!table->root[i])
			continue;
		walk_middle(&walk, table_of(table->root[i]), i << 30);
		drop_if_empty(&walk, &table->root[i]);
	}
	/* Addresses that led to a table that is gone may be remembered, too. */
	if (walk.tables_freed ||
	    (walk.changed_to > walk.changed_from &&
	     walk.changed_to - walk.changed_from > FLUSH_PAGES_MAX * PAGE_SIZE))
		page_table_flush(table);
	else
		for (uint64_t at = walk.changed_from; at < walk.changed_to; at += PAGE_SIZE)
			page_table_flush_page(table, user(at));
}

void page_table_flush_page(const struct page_table *table, struct user_addr address)
{
	tlb_flush_page(address.value, table->asid);
}
