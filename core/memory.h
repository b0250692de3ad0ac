/*
 * Physical memory: a buddy allocator of pages with a reference count each, and a heap of size
 * classes above it. All memory lies in the direct map: physically contiguous, so that any block is
 * good for DMA. Exhaustion returns NULL, always.
 */
#pragma once

#include "core/address.h"
#include "evloop/list.h"

/* One per page of RAM. Meaningful in the first page of a block. */
struct page {
	uint32_t refs;  /* users: page tables and page caches; 0 while free */
	uint8_t order;  /* of the block this page begins */
	uint8_t state;  /* private to the allocator */
	uint16_t owner; /* free for the owner (file mapping, heap slab class) */
};

#define PAGE_ORDER_MAX 10 /* 4 MiB */

/* The smallest order of so many bytes. */
static inline unsigned page_order(size_t bytes)
{
	unsigned order = 0;
	while (PAGE_SIZE << order < bytes)
		order++;
	return order;
}

/* 2^order pages, refs 1. Not zeroed unless asked for. When there are none, the caches below are
 * asked to give back what they hold first. */
void *page_alloc(unsigned order);
/* The same without that, for a cache itself and for what can be dropped. */
void *page_alloc_if_free(unsigned order);
void *page_alloc_zeroed(unsigned order);
/* All zero: what page_alloc_zeroed does, in fewer instructions. */
void page_clear(void *page);
/* Back to the allocator whatever refs says (the owner of the only reference calls it). */
void page_free(void *block, unsigned order);
struct page *page_of(const void *pointer);
void *page_address(const struct page *page);
/* Order-0 pages shared between address spaces and files. put frees at 0. */
static inline void page_get(struct page *page)
{
	page->refs++;
}
void page_put(struct page *page);
/* Pages that were never the allocator's, such as a boot loader's: valid from now on, with refs 1,
 * and held for ever. */
void page_hold(const void *from, uint64_t pages);

/* Any size; above half a page rounded to whole pages (up to 4 MiB). 16-byte aligned. */
void *heap_alloc(size_t bytes);
void *heap_alloc_zeroed(size_t bytes);
void heap_free(void *pointer);
void *heap_reallocate(void *pointer, size_t old_bytes, size_t new_bytes);

/*
 * Memory that is kept for later use, and can be given back when there is no other. `give_back`
 * frees what it can by page_free and heap_free and must not allocate; it is called from within any
 * allocation. Owned by the caller, for good.
 */
struct memory_cache {
	struct list_node link;
	void (*give_back)(struct memory_cache *cache);
};
/* They are asked in the order of registration, until there is memory enough. */
void memory_cache_register(struct memory_cache *cache);

/* What pages are used for, where somebody counts them: all others in use are programs'. */
enum page_use {
	PAGES_OF_KERNEL, /* its own page tables and stacks, vDSO: as many for good */
	PAGES_OF_HEAP,
	PAGES_OF_TABLES,  /* page tables of programs */
	PAGES_OF_FILES,   /* written or read into memory, the archive in place is not among them */
	PAGES_OF_PACKETS, /* held by pools of packet buffers */
	PAGE_USES
};
void page_account(enum page_use use, int64_t pages);

struct memory_statistics {
	uint64_t total_pages; /* RAM minus reserved regions, image and page array */
	uint64_t free_pages;
	uint64_t image_pages; /* the kernel's image and the page array */
	uint64_t used_pages[PAGE_USES];
	uint64_t lowest_free_pages;
	uint64_t failures; /* allocations refused */
};
void memory_read_statistics(struct memory_statistics *out);
