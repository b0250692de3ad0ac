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

/* 2^order pages, refs 1. Not zeroed unless asked for. */
void *page_alloc(unsigned order);
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

/* Any size; above half a page rounded to whole pages (up to 4 MiB). 16-byte aligned. */
void *heap_alloc(size_t bytes);
void *heap_alloc_zeroed(size_t bytes);
void heap_free(void *pointer);
void *heap_reallocate(void *pointer, size_t old_bytes, size_t new_bytes);

struct memory_statistics {
	uint64_t total_pages; /* RAM minus reserved regions */
	uint64_t free_pages;
	uint64_t kernel_pages; /* image, page array, boot allocations */
	uint64_t heap_pages;   /* held by the heap */
	uint64_t lowest_free_pages;
	uint64_t failures;
};
void memory_read_statistics(struct memory_statistics *out);
