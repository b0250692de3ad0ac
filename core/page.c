/*
 * The buddy allocator. A free block is linked into the list of its order through its own first
 * bytes; its first struct page says so. The struct page of a block's first page is always valid;
 * others are not even initialised, so that booting does not touch the whole array: a block's buddy
 * is looked at only when both came from one larger block, or when it lies in a 4 MiB unit that was
 * marked page by page because it is not free as a whole. Single pages come from a small stock and
 * go back to it, without being joined with their neighbours until it is full or memory is short.
 */
#include "core/page.h"

#include <string.h>

enum page_state { STATE_RESERVED, STATE_USED, STATE_FREE };

#define UNIT_PAGES       (1ull << PAGE_ORDER_MAX)
#define FRESH_MAX        16
/* Of the stock: so many pages are taken at once, and given back at once when it is full. */
#define STOCK_MAX        64
#define STOCK_FILL_ORDER 3
#define STOCK_DRAIN      32

static struct {
	uint8_t *base;
	uint64_t pages;
	uint64_t marked_end; /* units below it that needed marking are marked */
	struct page *array;
	struct list free[PAGE_ORDER_MAX + 1];
	uint32_t free_mask; /* bit n: free[n] is not empty */
	/* Whole units that were never used: not even their first bytes are touched, so that the
	 * host need not provide them. */
	struct {
		uint64_t index, end;
	} fresh[FRESH_MAX];
	unsigned fresh_count;
	unsigned stock_count;
	void *stock[STOCK_MAX];              /* single pages, in use as far as the lists know */
	struct memory_statistics statistics; /* pages of the stock count as free */
} allocator;

size_t page_array_bytes(uint64_t pages)
{
	return pages * sizeof(struct page);
}

void page_allocator_init(void *base, uint64_t pages, struct page *array)
{
	memset(&allocator, 0, sizeof allocator);
	allocator.base = base;
	allocator.pages = pages;
	allocator.array = array;
	for (unsigned order = 0; order <= PAGE_ORDER_MAX; order++)
		list_init(&allocator.free[order]);
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
	allocator.statistics.free_pages += end > index ? end - index : 0;
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

/* Every page of a unit that is not free as a whole gets a valid struct page, once. */
static void mark_partial_unit(uint64_t index)
{
	uint64_t unit = index & ~(UNIT_PAGES - 1);
	if (index == unit || unit < allocator.marked_end)
		return;
	allocator.marked_end = unit + UNIT_PAGES;
	uint64_t end = unit + UNIT_PAGES < allocator.pages ? unit + UNIT_PAGES : allocator.pages;
	memset(&allocator.array[unit], STATE_RESERVED, (end - unit) * sizeof(struct page));
}

void page_allocator_add(void *from, uint64_t pages)
{
	uint64_t index = index_of(from);
	uint64_t end = index + pages;
	mark_partial_unit(index);
	mark_partial_unit(end);
	allocator.statistics.total_pages += pages;
	uint64_t first_unit = (index + UNIT_PAGES - 1) & ~(UNIT_PAGES - 1),
	         last_unit = end & ~(UNIT_PAGES - 1);
	if (first_unit < last_unit && allocator.fresh_count < FRESH_MAX) {
		allocator.fresh[allocator.fresh_count].index = first_unit;
		allocator.fresh[allocator.fresh_count++].end = last_unit;
		allocator.statistics.free_pages += last_unit - first_unit;
		free_run(index, first_unit);
		index = last_unit;
	}
	free_run(index, end);
	allocator.statistics.lowest_free_pages = allocator.statistics.free_pages;
}

/* Move the lowest unit that was never used to the free lists. */
static bool take_fresh_unit(void)
{
	for (unsigned i = 0; i < allocator.fresh_count; i++) {
		if (allocator.fresh[i].index < allocator.fresh[i].end) {
			push_free(allocator.fresh[i].index, PAGE_ORDER_MAX);
			allocator.fresh[i].index += UNIT_PAGES;
			return true;
		}
	}
	return false;
}

static void stock_drain(unsigned pages)
{
	while (pages && allocator.stock_count) {
		free_block(index_of(allocator.stock[--allocator.stock_count]), 0);
		pages--;
	}
}

/* A block off the lists, not yet anybody's. NULL: there is none. */
static void *take_block(unsigned order)
{
	uint32_t candidates = order <= PAGE_ORDER_MAX ? allocator.free_mask >> order : 0;
	if (candidates == 0 && order <= PAGE_ORDER_MAX) {
		stock_drain(STOCK_MAX);
		candidates = allocator.free_mask >> order;
		if (candidates == 0 && take_fresh_unit())
			candidates = allocator.free_mask >> order;
	}
	if (candidates == 0)
		return NULL;
	unsigned from = order;
	while (!(candidates & 1)) {
		candidates >>= 1;
		from++;
	}
	struct list_node *node = list_first(&allocator.free[from]);
	uint64_t index = index_of(node);
	remove_free(index, from);
	while (from > order) {
		from--;
		push_free(index + (1ull << from), from);
	}
	return node;
}

static void note_taken(uint64_t pages)
{
	struct memory_statistics *statistics = &allocator.statistics;
	statistics->free_pages -= pages;
	if (statistics->free_pages < statistics->lowest_free_pages)
		statistics->lowest_free_pages = statistics->free_pages;
}

static void *count_failure(void)
{
	allocator.statistics.failures++;
	return NULL;
}

/* Pages for the stock: the smallest block there is, or a part of it. False: there are none. */
static __attribute__((noinline)) bool stock_fill(void)
{
	unsigned order = STOCK_FILL_ORDER;
	while (order && !(allocator.free_mask >> order))
		order--;
	while (order && allocator.free_mask & ((1u << order) - 1))
		order--;
	uint8_t *block = take_block(order);
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
		return count_failure();
	void *page = allocator.stock[--allocator.stock_count];
	*page_of(page) = (struct page){ .refs = 1, .state = STATE_USED };
	note_taken(1);
	return page;
}

void *page_alloc(unsigned order)
{
	if (order == 0)
		return take_page();
	void *block = take_block(order);
	if (!block)
		return count_failure();
	*page_of(block) = (struct page){ .refs = 1, .order = (uint8_t)order, .state = STATE_USED };
	note_taken(1ull << order);
	return block;
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

void *page_alloc_run(uint64_t pages)
{
	unsigned order = 0;
	while ((1ull << order) < pages)
		order++;
	uint8_t *block = page_alloc(order);
	if (!block)
		return NULL;
	uint64_t index = index_of(block);
	/* Each of these may become the buddy of a block that is freed. */
	for (uint64_t i = 1; i < 1ull << order; i++)
		allocator.array[index + i] = (struct page){ .state = STATE_USED };
	free_run(index + pages, index + (1ull << order));
	return block;
}

void page_free_run(void *run, uint64_t pages)
{
	uint64_t index = index_of(run);
	free_run(index, index + pages);
}

void page_put(struct page *page)
{
	if (--page->refs == 0)
		give_page(page_address(page));
}

void page_account_kernel(int64_t pages)
{
	allocator.statistics.kernel_pages += (uint64_t)pages;
}

void page_account_heap(int64_t pages)
{
	allocator.statistics.heap_pages += (uint64_t)pages;
}

void memory_read_statistics(struct memory_statistics *out)
{
	*out = allocator.statistics;
}
