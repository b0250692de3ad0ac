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
/* Map one 4 KiB page (permission 0 holds it without access); replaces what was there. -ENOMEM.
 * Flushes the TLB entry when one was replaced (invalid -> valid needs none beyond what the
 * implementation does). */
int page_map(struct page_table *table, struct user_addr address, struct phys_addr page,
             unsigned permission);
/* A 2 MiB leaf; address and page aligned to it; nothing mapped there yet. -ENOMEM. */
int page_map_large(struct page_table *table, struct user_addr address, struct phys_addr page,
                   unsigned permission);
struct page_mapping {
	struct phys_addr page;
	unsigned permission; /* 0: not mapped, or (page not 0) held without access: PROT_NONE on a
	                        page with contents */
	bool large;
};
struct page_mapping page_lookup(const struct page_table *table, struct user_addr address);
/* Of the leaf that maps the address, a large one as a whole; its page stays. Nothing mapped:
 * nothing happens. */
void page_protect(struct page_table *table, struct user_addr address, unsigned permission);
/* Call `each` for every mapped page in [from, to), held ones included, which is unmapped when it
 * returns true. Skips empty subtrees quickly and frees tables that become empty. The TLB is flushed
 * once at the end. */
void page_walk(struct page_table *table, struct user_addr from, struct user_addr to,
               bool (*each)(void *context, struct user_addr address, struct page_mapping mapping),
               void *context);
/* Entries of this address space changed: drop cached translations. */
void page_table_flush(const struct page_table *table);
void page_table_flush_page(const struct page_table *table, struct user_addr address);
