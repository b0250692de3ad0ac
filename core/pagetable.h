/*
 * Sv39 page tables of user address spaces. The kernel half is shared by all (copied root entries),
 * so a trap switches nothing. A and D bits are set by software when an entry is made. The caller
 * owns the pages mapped; entries hold the references it took.
 */
#pragma once

#include "core/address.h"
#include "core/memory.h"

enum page_permission {
	PAGE_READ = 1 << 1, /* the PTE's bits */
	PAGE_WRITE = 1 << 2,
	PAGE_EXECUTE = 1 << 3,
};

struct page_table {
	uint64_t *root; /* in the direct map */
	uint64_t satp;  /* value to run with */
	uint16_t asid;
	uint64_t table_pages; /* pages held by the tables themselves */
};

int page_table_create(struct page_table *out); /* -ENOMEM */
/* Frees the tables, not the pages mapped: unmap those first. Must not be active on any hart
 * (switches to the kernel's own if it is). */
void page_table_destroy(struct page_table *table);

/*
 * A slot is the entry of one page in its table. It stays where it is while something is mapped in
 * its table or page_slot was called for it last; any other call that removes mappings may free it.
 */
typedef uint64_t page_slot;

struct page_mapping {
	struct phys_addr page;
	unsigned permission; /* 0: not mapped, or (page not 0) held without access: PROT_NONE on a
	                        page with contents */
};

/* The page's slot; tables are made as needed. NULL: no memory. The slots of the pages behind it,
 * up to the next multiple of 2 MiB, follow it. */
page_slot *page_slot_make(struct page_table *table, struct user_addr address);
/* NULL: there is no table for it. */
page_slot *page_slot_find(const struct page_table *table, struct user_addr address);
/* The slot is empty: page_slot_fill may be called. */
static inline bool page_slot_is_empty(const page_slot *slot)
{
	return *slot == 0;
}
struct page_mapping page_slot_read(const page_slot *slot);
/* Map the page in an empty slot; permission 0 holds it without access. No flush is needed: an
 * implementation that remembers invalid entries faults once more (core/trap.c). */
void page_slot_fill(page_slot *slot, struct phys_addr page, unsigned permission);
/* Another page or permission for a slot that is not empty; the caller flushes. */
void page_slot_change(page_slot *slot, struct phys_addr page, unsigned permission);

/* page_slot_read of the address's slot; all zero where there is none. */
struct page_mapping page_lookup(const struct page_table *table, struct user_addr address);

enum page_step { PAGE_KEPT, PAGE_CHANGED, PAGE_REMOVED };
/* Call `each` for every slot in [from, to) that is not empty. It may change the slot (and says so),
 * or have it emptied. Empty tables are skipped quickly, those that become empty freed. The TLB is
 * flushed at the end. */
void page_walk(struct page_table *table, struct user_addr from, struct user_addr to,
               enum page_step (*each)(void *context, struct user_addr address, page_slot *slot),
               void *context);
/* An entry of this address space changed: drop what is cached of it. */
void page_table_flush_page(const struct page_table *table, struct user_addr address);
