/*
 * The heap: slabs of equal objects above the page allocator. A slab is a naturally aligned block
 * that begins with a header; every page of it carries the class in struct page.owner, which leads
 * from an object to its header. Larger blocks are runs of whole pages whose length is in struct
 * page.refs.
 */
#include "core/page.h"

#include <string.h>

#define LARGE_OWNER 0xffff
#define SLAB_OWNER  0x100 /* plus the class */

struct slab {
	_Alignas(16) struct list_node link; /* in its class's list while it has free objects */
	void *free;                         /* chain of free objects through their first word */
	uint32_t used;
	uint32_t untouched; /* offset of the objects that were never handed out */
};

/* From 128 to 1024 bytes at most a sixth larger than the class before; slabs of as many pages as
 * leave less than a fifteenth unused. */
static const struct {
	uint16_t bytes;
	uint8_t order;
} classes[] = {
	{ 16, 0 },   { 32, 0 },   { 48, 0 },   { 64, 0 },   { 80, 0 },  { 96, 0 },  { 112, 0 },
	{ 128, 0 },  { 144, 0 },  { 160, 0 },  { 176, 0 },  { 192, 0 }, { 208, 0 }, { 224, 0 },
	{ 256, 1 },  { 288, 0 },  { 320, 1 },  { 352, 1 },  { 384, 1 }, { 448, 0 }, { 512, 2 },
	{ 576, 0 },  { 640, 2 },  { 672, 0 },  { 704, 2 },  { 768, 2 }, { 832, 3 }, { 896, 1 },
	{ 1024, 3 }, { 1280, 3 }, { 1536, 3 }, { 2048, 3 },
};

#define CLASSES       (sizeof classes / sizeof classes[0])
#define LARGEST_SMALL 2048

static struct {
	struct list slabs;  /* with free objects */
	struct slab *spare; /* one empty slab is kept */
} heap[CLASSES];

static unsigned class_of(size_t bytes)
{
	static uint8_t by_sixteenth[LARGEST_SMALL / 16 + 1];
	if (by_sixteenth[LARGEST_SMALL / 16] == 0) {
		unsigned class = 0;
		for (unsigned i = 0; i <= LARGEST_SMALL / 16; i++) {
			if (i * 16 > classes[class].bytes)
				class ++;
			by_sixteenth[i] = (uint8_t) class;
		}
	}
	return by_sixteenth[(bytes + 15) / 16];
}

static size_t slab_bytes(unsigned class)
{
	return PAGE_SIZE << classes[class].order;
}

static __attribute__((noinline)) struct slab *slab_create(unsigned class)
{
	struct slab *slab = page_alloc(classes[class].order);
	if (!slab)
		return NULL;
	struct page *page = page_of(slab);
	for (unsigned i = 0; i < 1u << classes[class].order; i++)
		page[i].owner = (uint16_t)(SLAB_OWNER + class);
	*slab = (struct slab){ .untouched = sizeof(struct slab) };
	list_node_init(&slab->link);
	page_account(PAGES_OF_HEAP, 1 << classes[class].order);
	return slab;
}

static __attribute__((noinline)) void slab_destroy(unsigned class, struct slab *slab)
{
	page_account(PAGES_OF_HEAP, -(1 << classes[class].order));
	page_free(slab, classes[class].order);
}

static bool slab_is_full(unsigned class, const struct slab *slab)
{
	return !slab->free && slab->untouched + classes[class].bytes > slab_bytes(class);
}

static struct slab *slab_with_room(unsigned class)
{
	struct list *slabs = &heap[class].slabs;
	if (!slabs->head.next)
		list_init(slabs);
	struct list_node *first = list_first(slabs);
	if (first)
		return list_entry(first, struct slab, link);
	struct slab *slab = heap[class].spare ? heap[class].spare : slab_create(class);
	heap[class].spare = NULL;
	if (slab)
		list_push_front(slabs, &slab->link);
	return slab;
}

static void *alloc_small(unsigned class)
{
	struct slab *slab = slab_with_room(class);
	if (!slab)
		return NULL;
	void *object = slab->free;
	if (object) {
		slab->free = *(void **)object;
	} else {
		object = (uint8_t *)slab + slab->untouched;
		slab->untouched += classes[class].bytes;
	}
	slab->used++;
	if (slab_is_full(class, slab))
		list_remove(&slab->link);
	return object;
}

static void free_small(unsigned class, void *object)
{
	struct slab *slab =
	        (struct slab *)((uintptr_t)object & ~(uintptr_t)(slab_bytes(class) - 1));
	*(void **)object = slab->free;
	slab->free = object;
	if (--slab->used != 0) {
		if (!list_node_is_linked(&slab->link))
			list_push_front(&heap[class].slabs, &slab->link);
		return;
	}
	list_remove(&slab->link);
	if (heap[class].spare)
		slab_destroy(class, slab);
	else
		heap[class].spare = slab;
}

static void give_back_spares(struct memory_cache *cache)
{
	(void)cache;
	for (unsigned class = 0; class < CLASSES; class ++) {
		if (heap[class].spare)
			slab_destroy(class, heap[class].spare);
		heap[class].spare = NULL;
	}
}

struct memory_cache heap_cache = { .give_back = give_back_spares };

static void *alloc_large(size_t bytes)
{
	if (bytes > PAGE_SIZE << PAGE_ORDER_MAX)
		return NULL;
	uint64_t pages = (bytes + PAGE_MASK) >> PAGE_SHIFT;
	void *run = page_alloc_run(pages);
	if (!run)
		return NULL;
	struct page *page = page_of(run);
	page->owner = LARGE_OWNER;
	page->refs = (uint32_t)pages;
	page_account(PAGES_OF_HEAP, (int64_t)pages);
	return run;
}

void *heap_alloc(size_t bytes)
{
	return bytes <= LARGEST_SMALL ? alloc_small(class_of(bytes)) : alloc_large(bytes);
}

void *heap_alloc_zeroed(size_t bytes)
{
	void *block = heap_alloc(bytes);
	if (block)
		memset(block, 0, bytes);
	return block;
}

void heap_free(void *pointer)
{
	if (!pointer)
		return;
	struct page *page = page_of(pointer);
	if (page->owner == LARGE_OWNER) {
		page_account(PAGES_OF_HEAP, -(int64_t)page->refs);
		page_free_run(pointer, page->refs);
	} else {
		free_small(page->owner - SLAB_OWNER, pointer);
	}
}

/* What a block of this size can hold without moving. */
static size_t capacity(size_t bytes)
{
	return bytes <= LARGEST_SMALL ? classes[class_of(bytes)].bytes
	                              : (bytes + PAGE_MASK) & ~PAGE_MASK;
}

void *heap_reallocate(void *pointer, size_t old_bytes, size_t new_bytes)
{
	if (pointer && capacity(old_bytes) == capacity(new_bytes))
		return pointer;
	void *block = heap_alloc(new_bytes);
	if (!block || !pointer)
		return block;
	memcpy(block, pointer, old_bytes < new_bytes ? old_bytes : new_bytes);
	heap_free(pointer);
	return block;
}
