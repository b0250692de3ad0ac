/*
 * The buddy allocator. A free block is linked into the list of its order through its own first
 * bytes; its first struct page says so. Memory that was never used is no list's: it lies in fresh
 * runs, from which blocks are cut in ascending order, so that neither a page nor its struct page is
 * touched before its first use. A guest's first touch of a page leaves the machine under KVM, and
 * the host need not provide what is not touched.
 *
 * The struct page of a block's first page is always valid; others need not be: a block's buddy is
 * looked at only when both came from one larger block, or when it lies in a unit of 4 MiB that is
 * marked: all its struct pages were set to reserved, because it is not handed out as a whole.
 *
 * Single pages come from a small stock and go back to it, without being joined with their
 * neighbours until it is full or memory is short.
 */
#include "core/page.h"

#include <string.h>

enum page_state { STATE_RESERVED, STATE_USED, STATE_FREE };

#define UNIT_PAGES        (1ull << PAGE_ORDER_MAX)
#define UNIT_WORDS(pages) (((pages) / UNIT_PAGES + 64) / 64)
#define FRESH_MAX         32
/* Of the stock: so many pages are taken at once, and given back at once when it is full. */
#define STOCK_MAX         64
#define STOCK_FILL_ORDER  3
#define STOCK_DRAIN       32

static struct {
	uint8_t *base;
	uint64_t pages;
	struct page *array;
	uint64_t *marked; /* a bit for each unit */
	struct list free[PAGE_ORDER_MAX + 1];
	uint32_t free_mask; /* bit n: free[n] is not empty */
	struct fresh {
		uint64_t index, end;
	} fresh[FRESH_MAX]; /* in ascending order, none of them empty */
	unsigned fresh_count;
	unsigned stock_count;
	void *stock[STOCK_MAX];              /* single pages, in use as far as the lists know */
	struct memory_statistics statistics; /* fresh pages and those of the stock count as free */
	struct list caches;
	bool reclaiming;
} allocator;

size_t page_array_bytes(uint64_t pages)
{
	return UNIT_WORDS(pages) * sizeof(*allocator.marked) + pages * sizeof(struct page);
}

void page_allocator_init(void *base, uint64_t pages, void *array)
{
	size_t marked_bytes = UNIT_WORDS(pages) * sizeof(*allocator.marked);
	memset(&allocator, 0, sizeof allocator);
	memset(array, 0, marked_bytes);
	allocator.base = base;
	allocator.pages = pages;
	allocator.marked = array;
	allocator.array = (struct page *)((uint8_t *)array + marked_bytes);
	for (unsigned order = 0; order <= PAGE_ORDER_MAX; order++)
		list_init(&allocator.free[order]);
	list_init(&allocator.caches);
}

static inline uint64_t index_of(const void *pointer)
{
	return (uint64_t)((const uint8_t *)pointer - allocator.base) >> PAGE_SHIFT;
}

struct page *page_of(const void *pointer)
{
	return &allocator.array[index_of(pointer)];
}

void *page_address(const struct page *page)
{
	return allocator.base + ((uint64_t)(page - allocator.array) << PAGE_SHIFT);
}

static struct list_node *node_of(uint64_t index)
{
	return (struct list_node *)(allocator.base + (index << PAGE_SHIFT));
}

static void push_free(uint64_t index, unsigned order)
{
	allocator.array[index] =
	        (struct page){ .refs = 0, .order = (uint8_t)order, .state = STATE_FREE };
	list_push_front(&allocator.free[order], node_of(index));
	allocator.free_mask |= 1u << order;
}

static void remove_free(uint64_t index, unsigned order)
{
	list_remove(node_of(index));
	if (list_is_empty(&allocator.free[order]))
		allocator.free_mask &= ~(1u << order);
}

static void free_block(uint64_t index, unsigned order)
{
	for (; order < PAGE_ORDER_MAX; order++) {
		uint64_t buddy = index ^ (1ull << order);
		if (buddy + (1ull << order) > allocator.pages)
			break;
		const struct page *page = &allocator.array[buddy];
		if (page->state != STATE_FREE || page->order != order)
			break;
		remove_free(buddy, order);
		index &= ~(1ull << order);
	}
	push_free(index, order);
}

/* Free [index, end) in the largest aligned blocks. */
static void free_run(uint64_t index, uint64_t end)
{
	while (index < end) {
		unsigned order = index ? (unsigned)__builtin_ctzll(index) : PAGE_ORDER_MAX;
		if (order > PAGE_ORDER_MAX)
			order = PAGE_ORDER_MAX;
		while (index + (1ull << order) > end)
			order--;
		free_block(index, order);
		index += 1ull << order;
	}
}

/* ---- fresh runs ---- */

/* Every page of the unit gets a valid struct page, once. */
static void mark_unit(uint64_t unit)
{
	uint64_t *word = &allocator.marked[unit / 64], bit = 1ull << unit % 64;
	if (*word & bit)
		return;
	*word |= bit;
	uint64_t index = unit * UNIT_PAGES, end = index + UNIT_PAGES;
	end = end < allocator.pages ? end : allocator.pages;
	memset(&allocator.array[index], STATE_RESERVED, (end - index) * sizeof(struct page));
}

/* The units that [index, end) does not fill. */
static void mark_partial_units(uint64_t index, uint64_t end)
{
	if (index % UNIT_PAGES)
		mark_unit(index / UNIT_PAGES);
	if (end % UNIT_PAGES)
		mark_unit(end / UNIT_PAGES);
}

static void fresh_delete(unsigned at)
{
	allocator.fresh_count--;
	for (; at < allocator.fresh_count; at++)
		allocator.fresh[at] = allocator.fresh[at + 1];
}

/* As number `at`; without room for it the run goes to the lists. */
static void fresh_insert(unsigned at, uint64_t index, uint64_t end)
{
	if (index == end)
		return;
	if (allocator.fresh_count == FRESH_MAX) {
		mark_partial_units(index, end);
		free_run(index, end);
		return;
	}
	for (unsigned i = allocator.fresh_count++; i > at; i--)
		allocator.fresh[i] = allocator.fresh[i - 1];
	allocator.fresh[at] = (struct fresh){ index, end };
}

/* Cut `pages` pages off the lowest fresh run that holds them at a multiple of `alignment` (a power
 * of two). What lies in front of them stays fresh. NULL: none does. */
static void *fresh_take(uint64_t pages, uint64_t alignment)
{
	for (unsigned i = 0; i < allocator.fresh_count; i++) {
		struct fresh *run = &allocator.fresh[i];
		uint64_t index = run->index;
		uint64_t start = (index + alignment - 1) & ~(alignment - 1);
		if (start > run->end || pages > run->end - start)
			continue;
		mark_partial_units(start, start + pages);
		run->index = start + pages;
		if (run->index == run->end)
			fresh_delete(i);
		fresh_insert(i, index, start);
		return node_of(start);
	}
	return NULL;
}

/* To the lists, where they join their neighbours. */
static void fresh_give_up(void)
{
	while (allocator.fresh_count) {
		struct fresh run = allocator.fresh[--allocator.fresh_count];
		mark_partial_units(run.index, run.end);
		free_run(run.index, run.end);
	}
}

void page_allocator_add(void *from, uint64_t pages)
{
	uint64_t index = index_of(from);
	allocator.statistics.total_pages += pages;
	allocator.statistics.free_pages += pages;
	fresh_insert(allocator.fresh_count, index, index + pages);
	allocator.statistics.lowest_free_pages = allocator.statistics.free_pages;
}

void page_hold(const void *from, uint64_t pages)
{
	uint64_t index = index_of(from), end = index + pages;
	for (uint64_t unit = index / UNIT_PAGES; unit * UNIT_PAGES < end; unit++)
		mark_unit(unit);
	for (; index < end; index++)
		allocator.array[index].refs = 1;
}

/* ---- blocks ---- */

static void stock_drain(unsigned pages)
{
	while (pages && allocator.stock_count) {
		free_block(index_of(allocator.stock[--allocator.stock_count]), 0);
		pages--;
	}
}

/* The smallest block of the lists that is large enough, cut to size. NULL: there is none. */
static void *take_listed(unsigned order)
{
	uint32_t candidates = allocator.free_mask >> order;
	if (candidates == 0)
		return NULL;
	unsigned from = order + (unsigned)__builtin_ctz(candidates);
	struct list_node *node = list_first(&allocator.free[from]);
	uint64_t index = index_of(node);
	remove_free(index, from);
	while (from > order) {
		from--;
		push_free(index + (1ull << from), from);
	}
	return node;
}

/* Memory is short: what is kept apart joins its neighbours. */
static __attribute__((noinline)) void *take_joined(unsigned order)
{
	stock_drain(STOCK_MAX);
	void *block = take_listed(order);
	if (!block && allocator.fresh_count) {
		fresh_give_up();
		block = take_listed(order);
	}
	return block;
}

/* A block that is not yet anybody's. */
static void *take_block(unsigned order)
{
	if (order > PAGE_ORDER_MAX)
		return NULL;
	void *block = take_listed(order);
	if (!block)
		block = fresh_take(1ull << order, 1ull << order);
	return block ? block : take_joined(order);
}

static void note_taken(uint64_t pages)
{
	struct memory_statistics *statistics = &allocator.statistics;
	statistics->free_pages -= pages;
	if (statistics->free_pages < statistics->lowest_free_pages)
		statistics->lowest_free_pages = statistics->free_pages;
}

/* Pages for the stock: the smallest block of the lists, or a part of it; else fresh ones. False:
 * there are none. */
static __attribute__((noinline)) bool stock_fill(void)
{
	unsigned order = STOCK_FILL_ORDER;
	uint32_t smallest = allocator.free_mask & ((2u << STOCK_FILL_ORDER) - 1);
	if (smallest)
		order = (unsigned)__builtin_ctz(smallest);
	uint8_t *block;
	while (!(block = take_block(order)) && order)
		order--;
	if (!block)
		return false;
	uint64_t index = index_of(block);
	for (unsigned i = 1u << order; i--;) {
		allocator.array[index + i] = (struct page){ .state = STATE_USED };
		allocator.stock[allocator.stock_count++] = block + i * PAGE_SIZE;
	}
	return true;
}

static inline void *take_page(void)
{
	if (__builtin_expect(allocator.stock_count == 0, 0) && !stock_fill())
		return NULL;
	void *page = allocator.stock[--allocator.stock_count];
	*page_of(page) = (struct page){ .refs = 1, .state = STATE_USED };
	note_taken(1);
	return page;
}

static inline void *try_alloc(unsigned order)
{
	if (order == 0)
		return take_page();
	void *block = take_block(order);
	if (!block)
		return NULL;
	*page_of(block) = (struct page){ .refs = 1, .order = (uint8_t)order, .state = STATE_USED };
	note_taken(1ull << order);
	return block;
}

static void *refused(void)
{
	allocator.statistics.failures++;
	return NULL;
}

void memory_cache_register(struct memory_cache *cache)
{
	list_push_back(&allocator.caches, &cache->link);
}

/* Ask the caches, one after the other, until the attempt succeeds. NULL, and counted: they had not
 * enough. */
static __attribute__((noinline)) void *after_reclaim(void *(*attempt)(uint64_t), uint64_t size)
{
	void *block = NULL;
	if (!allocator.reclaiming) {
		allocator.reclaiming = true;
		list_for_each(node, &allocator.caches)
		{
			struct memory_cache *cache = list_entry(node, struct memory_cache, link);
			cache->give_back(cache);
			block = attempt(size);
			if (block)
				break;
		}
		allocator.reclaiming = false;
	}
	return block ? block : refused();
}

static void *attempt_block(uint64_t order)
{
	return try_alloc((unsigned)order);
}

void *page_alloc(unsigned order)
{
	void *block = try_alloc(order);
	if (__builtin_expect(block != NULL, 1))
		return block;
	return order > PAGE_ORDER_MAX ? refused() : after_reclaim(attempt_block, order);
}

void *page_alloc_if_free(unsigned order)
{
	void *block = try_alloc(order);
	return block ? block : refused();
}

void *page_alloc_zeroed(unsigned order)
{
	void *block = page_alloc(order);
	if (block)
		memset(block, 0, PAGE_SIZE << order);
	return block;
}

static inline void give_page(void *page)
{
	if (__builtin_expect(allocator.stock_count == STOCK_MAX, 0))
		stock_drain(STOCK_DRAIN);
	*page_of(page) = (struct page){ .state = STATE_USED };
	allocator.stock[allocator.stock_count++] = page;
	allocator.statistics.free_pages++;
}

void page_free(void *block, unsigned order)
{
	if (order == 0) {
		give_page(block);
		return;
	}
	allocator.statistics.free_pages += 1ull << order;
	free_block(index_of(block), order);
}

/* Part of a block of the lists: what is left of it goes back. */
static void *cut_run(unsigned order, uint64_t pages)
{
	uint8_t *block = take_block(order);
	if (!block)
		return NULL;
	uint64_t index = index_of(block), end = index + (1ull << order);
	/* Each of these may become the buddy of a block that is freed. */
	for (uint64_t i = index + 1; i < end; i++)
		allocator.array[i] = (struct page){ .state = STATE_USED };
	free_run(index + pages, end);
	return block;
}

static void *attempt_run(uint64_t pages)
{
	unsigned order = page_order(pages << PAGE_SHIFT);
	void *run = allocator.free_mask >> order ? NULL : fresh_take(pages, 1);
	if (!run)
		run = cut_run(order, pages);
	if (!run)
		return NULL;
	*page_of(run) = (struct page){ .refs = 1, .state = STATE_USED };
	note_taken(pages);
	return run;
}

void *page_alloc_run(uint64_t pages)
{
	if (pages == 1 || pages > UNIT_PAGES)
		return page_alloc(pages == 1 ? 0 : PAGE_ORDER_MAX + 1);
	void *run = attempt_run(pages);
	return run ? run : after_reclaim(attempt_run, pages);
}

void page_free_run(void *run, uint64_t pages)
{
	uint64_t index = index_of(run);
	allocator.statistics.free_pages += pages;
	free_run(index, index + pages);
}

void page_put(struct page *page)
{
	if (--page->refs == 0)
		give_page(page_address(page));
}

void page_account_image(uint64_t pages)
{
	allocator.statistics.image_pages = pages;
}

void page_account(enum page_use use, int64_t pages)
{
	allocator.statistics.used_pages[use] += (uint64_t)pages;
}

void memory_read_statistics(struct memory_statistics *out)
{
	*out = allocator.statistics;
}
