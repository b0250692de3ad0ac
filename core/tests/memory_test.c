/* Regions, the page allocator and the heap over an arena of the host's memory. */
#include <stdint.h>
#include <string.h>

#include "core/page.h"
#include "core/regions.h"
#include "evloop/check.h"

#define ARENA_PAGES 8192 /* 32 MiB: eight units of 4 MiB */
#define UNIT        1024

static uint8_t *arena;
static void *array;

static uint64_t random_state = 0x9e3779b97f4a7c15ull;
static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static struct memory_statistics statistics(void)
{
	struct memory_statistics out;
	memory_read_statistics(&out);
	return out;
}

/* As after a reset without clearing memory: the array holds rubbish. */
static void start_empty(void)
{
	memset(array, 0x02, page_array_bytes(ARENA_PAGES)); /* "free" in every byte */
	page_allocator_init(arena, ARENA_PAGES, array);
}

static void test_regions(void)
{
	struct regions regions = { 0 };
	CHECK(regions_add(&regions, 0x80000800, 0x10000)); /* rounded inwards */
	CHECK_EQ(regions.at[0].start, 0x80001000);
	CHECK_EQ(regions.at[0].end, 0x80010000);
	CHECK(regions_add(&regions, 0x80010000, 0x10000)); /* touches: one region */
	CHECK_EQ(regions.count, 1);
	CHECK_EQ(regions.at[0].end, 0x80020000);
	CHECK(regions_add(&regions, 0x1000, 0x1000)); /* sorted */
	CHECK_EQ(regions.at[0].start, 0x1000);
	CHECK_EQ(regions.count, 2);
	CHECK(regions_remove(&regions, 0x80005800, 1)); /* rounded outwards, splits */
	CHECK_EQ(regions.count, 3);
	CHECK_EQ(regions.at[1].end, 0x80005000);
	CHECK_EQ(regions.at[2].start, 0x80006000);
	CHECK(regions_remove(&regions, 0, UINT64_MAX));
	CHECK_EQ(regions.count, 0);
	CHECK(regions_add(&regions, 0xfffffffffffff000,
	                  0x1000)); /* ends at 2^64: the last page is left out */
	CHECK_EQ(regions.count, 0);
	CHECK(regions_remove(&regions, 0x1000, 0));
	for (uint64_t i = 0; i < REGIONS_MAX; i++)
		CHECK(regions_add(&regions, i * 0x10000, 0x3000));
	CHECK(!regions_add(&regions, 0x10000000, 0x1000)); /* full */
	CHECK(!regions_remove(&regions, 0x1000,
	                      0x1000)); /* no room to split: the upper part is lost */
	CHECK_EQ(regions.at[0].end, 0x1000);
}

static void test_page_orders(void)
{
	start_empty();
	CHECK(page_alloc(0) == NULL);
	CHECK_EQ(statistics().failures, 1);
	/* Two pieces in one unit, a hole between them, then whole units. */
	page_allocator_add(arena + 3 * PAGE_SIZE, 100);
	page_allocator_add(arena + 200 * PAGE_SIZE, 56);
	page_allocator_add(arena + UNIT * PAGE_SIZE, 2 * UNIT + 5);
	uint64_t total = 100 + 56 + 2 * UNIT + 5;
	CHECK_EQ(statistics().free_pages, total);
	CHECK_EQ(statistics().total_pages, total);
	uint8_t *large = page_alloc(10), *larger = page_alloc(10);
	CHECK(large && larger && page_alloc(10) == NULL);
	CHECK_EQ((large - arena) % (UNIT * PAGE_SIZE), 0);
	CHECK_EQ(page_of(large)->refs, 1);
	CHECK_EQ(page_of(large)->order, 10);
	CHECK(page_address(page_of(large)) == large);
	page_free(large, 10);
	uint8_t *zeroed = page_alloc_zeroed(1);
	for (size_t i = 0; i < 2 * PAGE_SIZE; i++)
		CHECK_EQ(zeroed[i], 0);
	page_free(zeroed, 1);
	page_free(larger, 10);
	CHECK(page_alloc(11) == NULL);
	CHECK_EQ(statistics().free_pages, total);
	CHECK_EQ(statistics().lowest_free_pages, total - 2 * UNIT);
}

/* Pages of the boot loader's between free ones keep their references whatever becomes of those. */
static void test_held_pages(void)
{
	enum { FIRST = 100, PAGES = 200 };
	start_empty();
	page_allocator_add(arena + 5 * PAGE_SIZE, FIRST - 5);
	page_allocator_add(arena + (FIRST + PAGES) * PAGE_SIZE, 2 * UNIT);
	page_hold(arena + FIRST * PAGE_SIZE, PAGES);
	for (int i = 0; i < 5; i++)
		page_get(page_of(arena + 150 * PAGE_SIZE));
	uint64_t taken = 0;
	for (uint8_t *page; (page = page_alloc(0)); taken++)
		CHECK(page < arena + FIRST * PAGE_SIZE ||
		      page >= arena + (FIRST + PAGES) * PAGE_SIZE);
	CHECK_EQ(taken, FIRST - 5 + 2 * UNIT);
	for (uint64_t i = FIRST; i < FIRST + PAGES; i++)
		CHECK_EQ(page_of(arena + i * PAGE_SIZE)->refs, i == 150 ? 6 : 1);
}

static unsigned pages_touched(void)
{
	unsigned count = 0;
	for (uint64_t i = 0; i < ARENA_PAGES; i++) {
		const uint8_t *page = arena + i * PAGE_SIZE;
		bool touched = false;
		for (unsigned j = 0; j < PAGE_SIZE && !touched; j++)
			touched = page[j] != 0x5a;
		count += touched;
	}
	return count;
}

/* Pages of the array whose rubbish was overwritten. */
static unsigned array_pages_touched(void)
{
	unsigned count = 0;
	const uint8_t *bytes = array;
	for (size_t i = 0; i < page_array_bytes(ARENA_PAGES); i += PAGE_SIZE) {
		bool touched = false;
		for (size_t j = i; j < i + PAGE_SIZE && j < page_array_bytes(ARENA_PAGES); j++)
			touched |= bytes[j] != 0x02;
		count += touched;
	}
	return count;
}

/* Memory that nobody has used is not touched by the allocator, whatever is allocated of it. */
static void test_fresh_untouched(void)
{
	start_empty();
	memset(arena, 0x5a, ARENA_PAGES * PAGE_SIZE);
	page_allocator_add(arena + 5 * PAGE_SIZE, 700);
	page_allocator_add(arena + 900 * PAGE_SIZE, ARENA_PAGES - 901);
	CHECK_EQ(array_pages_touched(), 1); /* units that are marked */
	uint8_t *page = page_alloc(0);
	for (unsigned i = 0; i < 20; i++)
		CHECK(page_alloc(0));
	CHECK(page >= arena + 5 * PAGE_SIZE && page < arena + 32 * PAGE_SIZE); /* the lowest */
	CHECK(array_pages_touched() <= 3);
	CHECK(page_alloc(7) == arena + 128 * PAGE_SIZE); /* what lies in front of it stays fresh */
	CHECK(page_alloc_run(77) && heap_alloc(9 * PAGE_SIZE) && page_alloc(3));
	CHECK(page_alloc(10) == arena + UNIT * PAGE_SIZE);
	CHECK_EQ(pages_touched(), 0);
	CHECK_EQ(statistics().free_pages, 700 + ARENA_PAGES - 901 - 21 - 128 - 77 - 9 - 8 - UNIT);
	/* What was freed is used before what is fresh. */
	page_free(page_alloc(2), 2);
	unsigned touched = pages_touched();
	CHECK(page_alloc(2) && page_alloc_run(1));
	CHECK_EQ(pages_touched(), touched);
}

/* More runs than the allocator keeps apart, and every page of them can be had. */
static void test_many_runs(void)
{
	enum { RUNS = 100 };
	start_empty();
	for (uint64_t i = 0; i < RUNS; i++)
		page_allocator_add(arena + (i * 50 + 1) * PAGE_SIZE, i % 7 + 1);
	uint64_t total = statistics().total_pages;
	CHECK_EQ(statistics().free_pages, total);
	static uint8_t owned[ARENA_PAGES];
	for (uint64_t i = 0; i < total; i++) {
		uint8_t *page = page_alloc(0);
		CHECK(page);
		uint64_t index = (uint64_t)(page - arena) / PAGE_SIZE;
		CHECK(index % 50 >= 1 && index % 50 <= index / 50 % 7 + 1);
		CHECK_EQ(owned[index]++, 0);
	}
	CHECK(!page_alloc(0));
	CHECK_EQ(statistics().free_pages, 0);
}

/* What was never used joins what was, when a large block is asked for. */
static void test_fresh_joins(void)
{
	start_empty();
	page_allocator_add(arena, 2 * UNIT);
	void *page = page_alloc(0), *run = page_alloc_run(UNIT + 100);
	CHECK(page && !run);                 /* longer than the longest */
	CHECK((run = page_alloc_run(UNIT))); /* across the border of the units */
	CHECK(!page_alloc(10));
	page_free_run(run, UNIT);
	CHECK((run = page_alloc(10)));
	page_free(page, 0);
	CHECK(page_alloc(10));
	CHECK_EQ(statistics().free_pages, 0);
	CHECK_EQ(statistics().lowest_free_pages, 0);
}

static void test_shared_page(void)
{
	start_empty();
	page_allocator_add(arena, 16);
	struct page *page = page_of(page_alloc(0));
	page_get(page);
	page_put(page);
	CHECK_EQ(statistics().free_pages, 15);
	page_put(page);
	CHECK_EQ(statistics().free_pages, 16);
	CHECK(page_alloc(4)); /* merged again */
}

/* Random allocation against a map of who owns each page. */
static void test_page_random(void)
{
	enum { SLOTS = 200 };
	static struct {
		uint8_t *block;
		uint64_t pages;
		unsigned order;
		bool run;
	} slots[SLOTS];
	static uint8_t owned[ARENA_PAGES];
	start_empty();
	page_allocator_add(arena + 7 * PAGE_SIZE, 2 * UNIT);
	page_allocator_add(arena + (2 * UNIT + 50) * PAGE_SIZE, 3 * UNIT);
	uint64_t total = 5 * UNIT, held = 0;
	for (unsigned step = 0; step < 100000; step++) {
		unsigned i = random_next() % SLOTS;
		if (slots[i].block) {
			uint64_t first = (uint64_t)(slots[i].block - arena) / PAGE_SIZE;
			memset(owned + first, 0, slots[i].pages);
			if (slots[i].run)
				page_free_run(slots[i].block, slots[i].pages);
			else
				page_free(slots[i].block, slots[i].order);
			held -= slots[i].pages;
			slots[i].block = NULL;
		} else {
			slots[i].run = random_next() % 3 == 0;
			slots[i].order = random_next() % 7;
			slots[i].pages =
			        slots[i].run ? 1 + random_next() % 90 : 1ull << slots[i].order;
			slots[i].block = slots[i].run ? page_alloc_run(slots[i].pages)
			                              : page_alloc(slots[i].order);
			if (!slots[i].block)
				continue;
			uint64_t first = (uint64_t)(slots[i].block - arena) / PAGE_SIZE;
			for (uint64_t j = 0; j < slots[i].pages; j++) {
				CHECK_EQ(owned[first + j], 0);
				owned[first + j] = 1;
			}
			memset(slots[i].block, 0xa5, slots[i].pages * PAGE_SIZE > 64 ? 64 : 1);
			held += slots[i].pages;
		}
		CHECK_EQ(statistics().free_pages, total - held);
	}
	for (unsigned i = 0; i < SLOTS; i++) {
		if (slots[i].block && slots[i].run)
			page_free_run(slots[i].block, slots[i].pages);
		else if (slots[i].block)
			page_free(slots[i].block, slots[i].order);
	}
	CHECK_EQ(statistics().free_pages, total);
	/* Nothing stayed split: units 1, 3 and 4 are whole inside what was added, so three blocks
	 * of 4 MiB exist. */
	CHECK(page_alloc(10) && page_alloc(10) && page_alloc(10) && !page_alloc(10));
}

static void test_heap_sizes(void)
{
	start_empty();
	page_allocator_add(arena, ARENA_PAGES);
	for (size_t bytes = 0; bytes < 20000; bytes += bytes < 3000 ? 1 : 997) {
		uint8_t *block = heap_alloc(bytes);
		CHECK(block);
		CHECK_EQ((uintptr_t)block % 16, 0);
		memset(block, 0x5a, bytes);
		uint8_t *zeroed = heap_alloc_zeroed(bytes);
		for (size_t i = 0; i < bytes; i++)
			CHECK_EQ(zeroed[i], 0);
		heap_free(block);
		heap_free(zeroed);
	}
	heap_free(NULL);
	uint64_t before = statistics().used_pages[PAGES_OF_HEAP];
	uint8_t *large = heap_alloc(5 * PAGE_SIZE); /* whole pages, not a power of two */
	CHECK_EQ(statistics().used_pages[PAGES_OF_HEAP] - before, 5);
	heap_free(large);
	CHECK_EQ(statistics().used_pages[PAGES_OF_HEAP], before);
	CHECK(heap_alloc((4 << 20) + 1) == NULL);
	large = heap_alloc(4 << 20);
	CHECK(large);
	heap_free(large);
}

static struct kept {
	struct memory_cache cache;
	void *block[4];
	unsigned order, count, asked;
	bool allocates;
} kept[2];

static void give_back(struct memory_cache *cache)
{
	struct kept *of = (struct kept *)cache;
	of->asked++;
	if (of->allocates)
		CHECK(page_alloc(3) == NULL); /* must not, and asks nobody */
	while (of->count)
		page_free(of->block[--of->count], of->order);
}

static void test_caches(void)
{
	enum { PAGES = 32 };
	start_empty();
	page_allocator_add(arena, PAGES);
	for (unsigned i = 0; i < 2; i++) {
		kept[i] = (struct kept){ .cache.give_back = give_back, .order = i ? 3 : 0 };
		memory_cache_register(&kept[i].cache);
	}
	kept[1].allocates = true;
	for (unsigned i = 0; i < 2; i++)
		kept[1].block[kept[1].count++] = page_alloc(3);
	uint64_t others = 0;
	while (page_alloc_if_free(0))
		others++; /* asks nobody */
	CHECK_EQ(others, PAGES - 16);
	CHECK_EQ(kept[0].asked + kept[1].asked, 0);
	CHECK_EQ(statistics().failures, 1);
	void *page = page_alloc(0); /* the first has nothing, the second has */
	CHECK(page);
	CHECK_EQ(kept[0].asked, 1);
	CHECK_EQ(kept[1].asked, 1);
	CHECK_EQ(statistics().free_pages, 15);
	while (kept[0].count < 4)
		kept[0].block[kept[0].count++] = page_alloc(0);
	while (page_alloc_if_free(0)) {
	}
	kept[1].asked = 0;
	CHECK(page_alloc(0)); /* the first has enough */
	CHECK_EQ(kept[1].asked, 0);
	CHECK(page_alloc(0) && page_alloc(0) && page_alloc(0));
	uint64_t failures = statistics().failures;
	CHECK(page_alloc(0) == NULL); /* none has any */
	CHECK_EQ(kept[1].asked, 1);
	CHECK_EQ(statistics().failures, failures + 2);
	CHECK(page_alloc(PAGE_ORDER_MAX + 1) == NULL);
	CHECK_EQ(kept[1].asked, 1);
}

static void test_heap_random(void)
{
	enum { SLOTS = 3000 };
	static struct {
		uint8_t *block;
		size_t bytes;
		uint8_t mark;
	} slots[SLOTS];
	for (unsigned step = 0; step < 300000; step++) {
		unsigned i = random_next() % SLOTS;
		size_t bytes = random_next() % (random_next() % 50 == 0 ? 30000 : 2100);
		if (slots[i].block) {
			for (size_t j = 0; j < slots[i].bytes; j += 61)
				CHECK_EQ(slots[i].block[j], slots[i].mark);
			if (step % 3 == 0) {
				slots[i].block =
				        heap_reallocate(slots[i].block, slots[i].bytes, bytes);
				CHECK(slots[i].block);
				for (size_t j = 0; j < bytes && j < slots[i].bytes; j += 61)
					CHECK_EQ(slots[i].block[j], slots[i].mark);
			} else {
				heap_free(slots[i].block);
				slots[i].block = NULL;
				continue;
			}
		} else {
			slots[i].block = heap_alloc(bytes);
			if (!slots[i].block)
				continue; /* exhausted: an ordinary case */
		}
		slots[i].bytes = bytes;
		slots[i].mark = (uint8_t)random_next();
		memset(slots[i].block, slots[i].mark, bytes);
	}
	for (unsigned i = 0; i < SLOTS; i++)
		heap_free(slots[i].block);
	/* What stays is at most one empty slab per class. */
	CHECK(statistics().used_pages[PAGES_OF_HEAP] <= 18 * 1 + 5 * 2 + 4 * 4 + 5 * 8);
	CHECK_EQ(statistics().free_pages + statistics().used_pages[PAGES_OF_HEAP],
	         statistics().total_pages);
	heap_cache.give_back(&heap_cache);
	CHECK_EQ(statistics().used_pages[PAGES_OF_HEAP], 0);
	CHECK_EQ(statistics().free_pages, statistics().total_pages);
	void *block = heap_alloc(100);
	CHECK(block);
	heap_free(block);
}

int main(void)
{
	arena = aligned_alloc(UNIT * PAGE_SIZE, ARENA_PAGES * PAGE_SIZE);
	array = malloc(page_array_bytes(ARENA_PAGES));
	CHECK(arena && array);
	test_regions();
	test_page_orders();
	test_held_pages();
	test_fresh_untouched();
	test_many_runs();
	test_fresh_joins();
	test_shared_page();
	test_page_random();
	test_caches();
	test_heap_sizes();
	test_heap_random();
	return 0;
}
