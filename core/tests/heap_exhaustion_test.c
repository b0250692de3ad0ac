/* The heap when memory ends (its own program: the heap has no way back to its first state). */
#include "core/page.h"
#include "evloop/check.h"

#define PAGES 8

int main(void)
{
	uint8_t *arena = aligned_alloc(4 << 20, 4 << 20);
	void *array = malloc(page_array_bytes(1024));
	CHECK(arena && array);
	page_allocator_init(arena, 1024, array);
	page_allocator_add(arena, PAGES);
	void *first = heap_alloc(64), *last = first;
	unsigned count = 1;
	for (void *block; (block = heap_alloc(64)); last = block)
		count++;
	CHECK_EQ(count, PAGES * ((PAGE_SIZE - 48) / 64));
	CHECK(heap_alloc(3000) == NULL);
	CHECK(heap_alloc_zeroed(16) == NULL);
	CHECK(heap_reallocate(last, 64, 128) == NULL); /* the old block stays */
	*(volatile uint8_t *)last = 1;
	heap_free(first);
	CHECK(heap_alloc(64) == first);
	struct memory_statistics statistics;
	memory_read_statistics(&statistics);
	CHECK_EQ(statistics.free_pages, 0);
	CHECK(statistics.failures >= 3);
	free(array);
	free(arena);
	return 0;
}
