/* The host's side of the tests. */
#include "syscalls/files/tests/host.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "core/memory.h"
#include "core/panic.h"
#include "core/user.h"

long host_allocations_left = -1;
long host_pages, host_blocks;
uintptr_t host_fault_at = UINTPTR_MAX;
static uint64_t random_state = 88172645463325252ull;

static struct {
	uint8_t *start;
	size_t pages;
	struct page *array;
} archive;

void host_seed(uint64_t seed)
{
	random_state = seed * 2654435769u + 88172645463325252ull;
}

uint64_t host_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

uint8_t *host_archive(size_t bytes)
{
	archive.pages = (bytes + PAGE_SIZE - 1) / PAGE_SIZE;
	archive.start = aligned_alloc(PAGE_SIZE, archive.pages * PAGE_SIZE);
	archive.array = calloc(archive.pages, sizeof(struct page));
	for (size_t i = 0; i < archive.pages; i++)
		archive.array[i].refs = 1;
	return archive.start;
}

void host_archive_free(uint8_t *start)
{
	for (size_t i = 0; i < archive.pages; i++)
		CHECK_EQ(archive.array[i].refs, 1);
	free(start);
	free(archive.array);
	archive.start = NULL;
	archive.pages = 0;
}

static bool may_allocate(void)
{
	if (host_allocations_left == 0)
		return false;
	if (host_allocations_left > 0)
		host_allocations_left--;
	return true;
}

/* The page's description lies behind it. */
struct page *page_of(const void *pointer)
{
	uintptr_t at = (uintptr_t)pointer, first = (uintptr_t)archive.start;
	if (archive.start && at >= first && at < first + archive.pages * PAGE_SIZE)
		return &archive.array[(at - first) / PAGE_SIZE];
	return (struct page *)((at & ~PAGE_MASK) + PAGE_SIZE);
}

void *page_alloc(unsigned order)
{
	CHECK_EQ(order, 0);
	if (!may_allocate())
		return NULL;
	void *page = aligned_alloc(PAGE_SIZE, 2 * PAGE_SIZE);
	memset(page, 0xa5, PAGE_SIZE);
	*page_of(page) = (struct page){ .refs = 1 };
	host_pages++;
	return page;
}

void *page_alloc_zeroed(unsigned order)
{
	void *page = page_alloc(order);
	return page ? memset(page, 0, PAGE_SIZE) : NULL;
}

void page_free(void *block, unsigned order)
{
	CHECK_EQ(order, 0);
	host_pages--;
	free(block);
}

void page_account(enum page_use use, int64_t pages)
{
	(void)use, (void)pages;
}

void page_put(struct page *page)
{
	CHECK(page->refs > 0);
	if (--page->refs == 0)
		page_free((char *)page - PAGE_SIZE, 0);
}

void *heap_alloc(size_t bytes)
{
	if (!may_allocate())
		return NULL;
	host_blocks++;
	return malloc(bytes);
}

void *heap_alloc_zeroed(size_t bytes)
{
	void *block = heap_alloc(bytes);
	return block ? memset(block, 0, bytes) : NULL;
}

void heap_free(void *pointer)
{
	host_blocks -= pointer != NULL;
	free(pointer);
}

void panic(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	abort();
}

static size_t accessible(uintptr_t at, size_t bytes)
{
	if (at >= host_fault_at)
		return 0;
	return bytes < host_fault_at - at ? bytes : host_fault_at - at;
}

size_t copy_from_user_partial(void *to, struct user_addr from, size_t bytes)
{
	size_t count = accessible(from.value, bytes);
	memcpy(to, (void *)(uintptr_t)from.value, count);
	return count;
}

size_t copy_to_user_partial(struct user_addr to, const void *from, size_t bytes)
{
	size_t count = accessible(to.value, bytes);
	memcpy((void *)(uintptr_t)to.value, from, count);
	return count;
}

int copy_from_user(void *to, struct user_addr from, size_t bytes)
{
	return copy_from_user_partial(to, from, bytes) == bytes ? 0 : -EFAULT;
}

int zero_user(struct user_addr to, size_t bytes)
{
	if (accessible(to.value, bytes) < bytes)
		return -EFAULT;
	memset((void *)(uintptr_t)to.value, 0, bytes);
	return 0;
}
