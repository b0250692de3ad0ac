/* What the files of syscalls/memory/ share with one another only. */
#pragma once

#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "core/console.h"
#include "core/memory.h"
#include "core/panic.h"
#include "core/user.h"
#include "evloop/loop.h"
#include "syscalls/file.h"
#include "syscalls/memory.h"
#include "syscalls/memory/mapping.h"
#include "syscalls/process.h"

struct address_space {
	uint32_t refs;
	struct page_table table;
	struct mapping_tree mappings;
	struct mapping *last_found;    /* of the last fault; NULL when it may be gone */
	uint64_t heap_start, heap_end; /* brk */
	uint64_t vdso;
	uint64_t mapped_bytes, peak_mapped_bytes, resident_pages, peak_resident_pages, locked_bytes;
	bool lock_future; /* mlockall(MCL_FUTURE) */
	/* the end, in pieces */
	struct list_node ending_link;
	uint64_t teardown_address;
};

/* Lowest address that mmap hands out (vm.mmap_min_addr), and where it starts looking from: below
 * the stack. Not by a large power of two below: the pages in use at either top, such as the
 * innermost frames and the vDSO's data, would share the same places in translation caches and
 * caches. */
#define MAP_FLOOR      0x10000ull
#define STACK_ROOM     ((64ull << 20) + (128ull << 10))
#define MAP_TOP        (USER_END - STACK_ROOM)
#define LARGE_BYTES    (2ull << 20)
#define MAPPINGS_MAX   65530
#define SIGBUS_NUMBER  7
#define SIGKILL_NUMBER 9
#define SIGSEGV_NUMBER 11

static inline uint64_t page_round_up(uint64_t bytes)
{
	return (bytes + PAGE_MASK) & ~PAGE_MASK;
}
static inline bool range_is_valid(uint64_t from, uint64_t bytes)
{
	return !(from & PAGE_MASK) && bytes <= USER_END && from <= USER_END - bytes;
}
static inline unsigned permission_of(int protection)
{
	return (protection & PROT_READ ? PAGE_READ : 0) |
	       (protection & PROT_WRITE ? PAGE_WRITE | PAGE_READ : 0) |
	       (protection & PROT_EXEC ? PAGE_EXECUTE : 0);
}
static inline bool mapping_is_anonymous(const struct mapping *mapping)
{
	return !mapping->file && !mapping->kernel_pages;
}

static inline void space_count_mapped(struct address_space *space, uint64_t bytes)
{
	space->mapped_bytes += bytes;
	if (space->mapped_bytes > space->peak_mapped_bytes)
		space->peak_mapped_bytes = space->mapped_bytes;
}

static inline void space_count_resident(struct address_space *space)
{
	if (++space->resident_pages > space->peak_resident_pages)
		space->peak_resident_pages = space->resident_pages;
}

/* space.c */
int address_spaces_init(void);
/* Gives back a piece of the address spaces that end. False: there are none. */
bool address_spaces_reclaim(void);
void mapping_free(struct mapping *mapping);
struct mapping *
mapping_copy(const struct mapping *from); /* a reference of the file is taken; NULL when short */
/* map.c */
/* Linux's heuristic overcommit: more than the whole machine has is refused. */
bool obviously_too_much(uint64_t bytes);
/* Cuts mappings at both ends of the range. -ENOMEM. */
int mappings_split(struct address_space *space, uint64_t from, uint64_t to);
void mapping_insert_merged(struct address_space *space, struct mapping *mapping);
/* Joins neighbours that differ in nothing, from the one before `from` to the one at `to`. */
void mappings_merge(struct address_space *space, uint64_t from, uint64_t to);
void pages_drop(struct address_space *space, uint64_t from, uint64_t to);
int64_t pick_address(struct address_space *space, uint64_t hint, uint64_t bytes, bool large);
/* fault.c */
/* Brings the range in (MAP_POPULATE, mlock, MADV_POPULATE). 0 or -ENOMEM, -EFAULT. */
int pages_populate(struct address_space *space, uint64_t from, uint64_t to, bool write);
extern struct page *zero_page;
/* A page, with what ending address spaces still hold if need be. NULL when memory is short. */
void *fresh_page(bool zeroed);
/* shared.c */
struct file *shared_memory_create(uint64_t bytes);
