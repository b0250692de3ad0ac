/*
 * Anonymous shared memory (MAP_SHARED | MAP_ANONYMOUS): pages that appear when first touched and
 * live as long as a mapping of them does. A file without a name, so that a mapping needs to know
 * files only.
 */
#include "syscalls/memory/space.h"

#define CHUNK_PAGES (PAGE_SIZE / sizeof(struct page *))

struct shared_memory {
	uint64_t pages, chunks;
	struct page ***chunk; /* two levels: `chunks` pointers to pages of page pointers */
};

/* Also for the pages of pointers. NULL when memory is short. */
static void *shared_fresh_page(void)
{
	void *page = fresh_page(true);
	page_account(PAGES_OF_FILES, page != NULL);
	return page;
}

static int shared_page(struct file *file, uint64_t index, bool shared_write, struct page **out)
{
	struct shared_memory *memory = file->object;
	(void)shared_write;
	if (index >= memory->pages)
		return -ENXIO;
	struct page ***chunk = &memory->chunk[index / CHUNK_PAGES];
	if (!*chunk) {
		*chunk = shared_fresh_page();
		if (!*chunk)
			return -ENOMEM;
	}
	struct page **slot = &(*chunk)[index % CHUNK_PAGES];
	if (!*slot) {
		void *fresh = shared_fresh_page();
		if (!fresh)
			return -ENOMEM;
		*slot = page_of(fresh);
	}
	page_get(*slot);
	*out = *slot;
	return 0;
}

static void shared_release(struct file *file)
{
	struct shared_memory *memory = file->object;
	int64_t freed = 0;
	for (uint64_t i = 0; i < memory->chunks; i++) {
		if (!memory->chunk[i])
			continue;
		for (uint64_t j = 0; j < CHUNK_PAGES; j++) {
			if (!memory->chunk[i][j])
				continue;
			page_put(memory->chunk[i][j]);
			freed++;
		}
		page_free(memory->chunk[i], 0);
		freed++;
	}
	page_account(PAGES_OF_FILES, -freed);
	heap_free(memory->chunk);
	heap_free(memory);
	file_free(file);
}

static const struct file_operations shared_operations = {
	.kind = "shared memory",
	.page = shared_page,
	.release = shared_release,
};

struct file *shared_memory_create(uint64_t bytes)
{
	struct shared_memory *memory = heap_alloc_zeroed(sizeof(*memory));
	if (!memory)
		return NULL;
	memory->pages = page_round_up(bytes) / PAGE_SIZE;
	memory->chunks = (memory->pages + CHUNK_PAGES - 1) / CHUNK_PAGES;
	memory->chunk = heap_alloc_zeroed(memory->chunks * sizeof(*memory->chunk));
	struct file *file = memory->chunk ? file_create(&shared_operations, memory, O_RDWR) : NULL;
	if (!file) {
		heap_free(memory->chunk);
		heap_free(memory);
	}
	return file;
}
