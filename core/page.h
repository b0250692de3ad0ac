/* Setting up the page allocator of core/memory.h. Works on virtual addresses alone, so that it also
 * runs in host tests. */
#pragma once

#include "core/memory.h"

/* Bytes that `array` below needs for memory of `pages` pages: their struct pages, and a little. */
size_t page_array_bytes(uint64_t pages);
/* Memory is [base, base + pages), none of it free until added. `base` stands for a multiple of 4
 * MiB. Of the array, aligned as a struct page, next to nothing is touched here. */
void page_allocator_init(void *base, uint64_t pages, void *array);
/* Hand over free memory, each page once, in ascending order; it is not touched. */
void page_allocator_add(void *from, uint64_t pages);

/* Any number of contiguous pages up to 4 MiB: what a power of two would add goes back. Freed as a
 * whole with its number of pages. */
void *page_alloc_run(uint64_t pages);
void page_free_run(void *run, uint64_t pages);

/* Pages beside the allocator's: statistics only. */
void page_account_image(uint64_t pages);

/* The empty slabs that the heap keeps. */
extern struct memory_cache heap_cache;
