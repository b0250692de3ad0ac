/* Placing, cutting and joining mappings: mmap, munmap, mprotect at the level of address spaces. */
#include "core/boot.h"
#include "syscalls/files/node.h"
#include "syscalls/memory/space.h"

/* ---- pages ---- */

static enum page_step drop_page(void *context, struct user_addr address, page_slot *slot)
{
	struct address_space *space = context;
	(void)address;
	page_put(page_of(phys_to_virt(page_slot_read(slot).page)));
	space->resident_pages--;
	return PAGE_REMOVED;
}

void pages_drop(struct address_space *space, uint64_t from, uint64_t to)
{
	if (space->resident_pages)
		page_walk(&space->table, user(from), user(to), drop_page, space);
}

/* ---- joining and cutting ---- */

static bool can_join(const struct mapping *low, const struct mapping *high)
{
	if (low->end != high->start || low->protection != high->protection ||
	    low->shared != high->shared || low->locked != high->locked ||
	    low->dont_fork != high->dont_fork || low->wipe_on_fork != high->wipe_on_fork ||
	    low->no_reserve != high->no_reserve || low->name != high->name ||
	    low->file != high->file || low->kernel_pages || high->kernel_pages)
		return false;
	return !low->file || low->offset + (low->end - low->start) == high->offset;
}

/* `low` takes the place of `high` too. */
static void join(struct address_space *space, struct mapping *low, struct mapping *high)
{
	uint64_t end = high->end;
	if (space->last_found == high)
		space->last_found = NULL;
	mapping_tree_remove(&space->mappings, high);
	mapping_free(high);
	mapping_tree_resize(&space->mappings, low, low->start, end);
}

void mappings_merge(struct address_space *space, uint64_t from, uint64_t to)
{
	struct mapping *mapping = mapping_tree_find(&space->mappings, from ? from - 1 : 0);
	while (mapping && mapping->start <= to) {
		struct mapping *next = mapping_next(&space->mappings, mapping);
		if (!next)
			return;
		if (can_join(mapping, next))
			join(space, mapping, next);
		else
			mapping = next;
	}
}

void mapping_insert_merged(struct address_space *space, struct mapping *mapping)
{
	mapping_tree_insert(&space->mappings, mapping);
	space_count_mapped(space, mapping->end - mapping->start);
	struct mapping *next = mapping_next(&space->mappings, mapping);
	if (next && can_join(mapping, next))
		join(space, mapping, next);
	struct mapping *previous = mapping_previous(&space->mappings, mapping);
	if (previous && can_join(previous, mapping))
		join(space, previous, mapping);
}

static int split_at(struct address_space *space, uint64_t address)
{
	struct mapping *mapping = mapping_tree_find(&space->mappings, address);
	if (!mapping || mapping->start >= address)
		return 0;
	if (space->mappings.count >= MAPPINGS_MAX)
		return -ENOMEM;
	struct mapping *high = mapping_copy(mapping);
	if (!high)
		return -ENOMEM;
	high->start = address;
	if (high->file || high->kernel_pages)
		high->offset += address - mapping->start;
	mapping_tree_resize(&space->mappings, mapping, mapping->start, address);
	mapping_tree_insert(&space->mappings, high);
	return 0;
}

int mappings_split(struct address_space *space, uint64_t from, uint64_t to)
{
	int error = split_at(space, from);
	return error ? error : split_at(space, to);
}

/* ---- unmap ---- */

static void count_unmapped(struct address_space *space, const struct mapping *mapping,
                           uint64_t bytes)
{
	space->mapped_bytes -= bytes;
	if (mapping->locked)
		space->locked_bytes -= bytes;
}

/* Takes [start, end) off one end of a mapping that is longer. */
static void shorten(struct address_space *space, struct mapping *mapping, uint64_t start,
                    uint64_t end)
{
	pages_drop(space, start, end);
	count_unmapped(space, mapping, end - start);
	if (end == mapping->end) {
		mapping_tree_resize(&space->mappings, mapping, mapping->start, start);
		return;
	}
	if (mapping->file || mapping->kernel_pages)
		mapping->offset += end - start;
	mapping_tree_resize(&space->mappings, mapping, end, mapping->end);
}

int address_space_unmap(struct address_space *space, struct user_addr from, uint64_t bytes)
{
	uint64_t start = from.value, end = start + page_round_up(bytes);
	if (!bytes || !range_is_valid(start, page_round_up(bytes)))
		return -EINVAL;
	struct mapping *mapping = mapping_tree_find(&space->mappings, start);
	if (!mapping || mapping->start >= end)
		return 0;
	if ((mapping->start == start && mapping->end > end) ||
	    (mapping->start < start && mapping->end == end)) {
		shorten(space, mapping, start, end);
		return 0;
	}
	if (mappings_split(space, start, end)) {
		mappings_merge(space, start, end);
		return -ENOMEM;
	}
	pages_drop(space, start, end);
	space->last_found = NULL;
	mapping = mapping_tree_find(&space->mappings, start);
	while (mapping && mapping->start < end) {
		struct mapping *next = mapping_next(&space->mappings, mapping);
		mapping_tree_remove(&space->mappings, mapping);
		count_unmapped(space, mapping, mapping->end - mapping->start);
		mapping_free(mapping);
		mapping = next;
	}
	return 0;
}

/* ---- map ---- */

static bool range_is_free(struct address_space *space, uint64_t from, uint64_t bytes)
{
	struct mapping *mapping = mapping_tree_find(&space->mappings, from);
	return !mapping || mapping->start >= from + bytes;
}

int64_t pick_address(struct address_space *space, uint64_t hint, uint64_t bytes, bool large)
{
	hint = page_round_up(hint);
	if (hint >= MAP_FLOOR && range_is_valid(hint, bytes) && range_is_free(space, hint, bytes))
		return (int64_t)hint;
	uint64_t start = 0;
	if (large)
		start = mapping_tree_room(&space->mappings, bytes, LARGE_BYTES, MAP_TOP);
	if (!start)
		start = mapping_tree_room(&space->mappings, bytes, PAGE_SIZE, MAP_TOP);
	return start ? (int64_t)start : -ENOMEM;
}

int64_t address_space_room(struct address_space *space, uint64_t bytes)
{
	return pick_address(space, 0, page_round_up(bytes), false);
}

bool obviously_too_much(uint64_t bytes)
{
	return bytes > boot_information.memory_bytes;
}

static int make_room(struct address_space *space, uint64_t *at, uint64_t bytes, int flags,
                     bool large)
{
	if (!(flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))) {
		int64_t picked = pick_address(space, *at, bytes, large);
		if (picked < 0)
			return (int)picked;
		*at = (uint64_t)picked;
		return 0;
	}
	if (*at & PAGE_MASK)
		return -EINVAL;
	if (!range_is_valid(*at, bytes))
		return -ENOMEM;
	if (*at < MAP_FLOOR)
		return -EPERM;
	if (flags & MAP_FIXED_NOREPLACE)
		return range_is_free(space, *at, bytes) ? 0 : -EEXIST;
	return address_space_unmap(space, user(*at), bytes);
}

/* The free range that `wanted` describes becomes part of a neighbour that differs in nothing else.
 * False: there is none, or one on either side. */
static bool extend_neighbour(struct address_space *space, const struct mapping *wanted)
{
	struct mapping_tree *tree = &space->mappings;
	struct mapping *above = mapping_tree_find(tree, wanted->start);
	struct mapping *below = above ? mapping_previous(tree, above) : NULL;
	bool joins_above = above && can_join(wanted, above),
	     joins_below = below && can_join(below, wanted);
	if (joins_above == joins_below)
		return false;
	if (joins_above)
		mapping_tree_resize(tree, above, wanted->start, above->end);
	else
		mapping_tree_resize(tree, below, below->start, wanted->end);
	space_count_mapped(space, wanted->end - wanted->start);
	return true;
}

/* The reference of its file passes to the mapping. -ENOMEM. */
static int insert_copy(struct address_space *space, const struct mapping *wanted)
{
	struct mapping *mapping = heap_alloc(sizeof(*mapping));
	if (!mapping)
		return -ENOMEM;
	*mapping = *wanted;
	list_node_init(&mapping->link);
	mapping_insert_merged(space, mapping);
	return 0;
}

int64_t address_space_map(struct address_space *space, struct user_addr hint, uint64_t bytes,
                          int protection, int flags, struct file *file, uint64_t offset)
{
	uint64_t at = hint.value;
	if (!bytes)
		return -EINVAL;
	if (bytes > USER_END)
		return -ENOMEM;
	bytes = page_round_up(bytes);
	if (space->mappings.count > MAPPINGS_MAX) /* as Linux: one more than by splitting */
		return -ENOMEM;
	bool no_reserve = flags & MAP_NORESERVE;
	if (!file && (protection & PROT_WRITE) && !no_reserve && obviously_too_much(bytes))
		return -ENOMEM;
	bool shared = (flags & 3) != MAP_PRIVATE;
	struct file *backing = file ? file_get(file) : shared ? shared_memory_create(bytes) : NULL;
	int error = !backing && shared
	                    ? -ENOMEM
	                    : make_room(space, &at, bytes, flags, !file && bytes >= LARGE_BYTES);
	struct mapping wanted = { .start = at,
		                  .end = at + bytes,
		                  .protection = (uint8_t)protection,
		                  .shared = shared,
		                  .file = backing,
		                  .offset = backing ? offset : 0,
		                  .no_reserve = no_reserve,
		                  .locked = space->lock_future };
	if (!error && (backing || !extend_neighbour(space, &wanted)))
		error = insert_copy(space, &wanted);
	if (error) {
		if (backing)
			file_put(backing);
		return error;
	}
	if (wanted.locked)
		space->locked_bytes += bytes;
	if ((flags & MAP_POPULATE) || space->lock_future)
		pages_populate(space, at, at + bytes, (protection & PROT_WRITE) && !shared);
	return (int64_t)at;
}

int address_space_map_kernel(struct address_space *space, struct user_addr at, void *pages,
                             uint64_t bytes, int protection, const char *name)
{
	struct mapping *mapping = heap_alloc_zeroed(sizeof(*mapping));
	if (!mapping)
		return -ENOMEM;
	int error = address_space_unmap(space, at, bytes);
	if (error) {
		heap_free(mapping);
		return error;
	}
	list_node_init(&mapping->link);
	mapping->start = at.value;
	mapping->end = at.value + page_round_up(bytes);
	mapping->protection = (uint8_t)protection;
	mapping->kernel_pages = true;
	mapping->pages = pages;
	mapping->name = name;
	mapping_insert_merged(space, mapping);
	return 0;
}

/* ---- protect ---- */

struct protect_walk {
	const struct mapping *mapping;
	unsigned permission;
};

/* A page that others hold too stays unwritable: the write fault copies it. */
static enum page_step protect_page(void *context, struct user_addr address, page_slot *slot)
{
	struct protect_walk *walk = context;
	struct page_mapping mapped = page_slot_read(slot);
	unsigned permission = walk->permission;
	(void)address;
	struct page *page = page_of(phys_to_virt(mapped.page));
	if ((permission & PAGE_WRITE) &&
	    (walk->mapping->shared ? !(mapped.permission & PAGE_WRITE) : page->refs != 1))
		permission &= ~(unsigned)PAGE_WRITE;
	if (permission == mapped.permission)
		return PAGE_KEPT;
	page_slot_change(slot, mapped.page, permission);
	return PAGE_CHANGED;
}

/* Of a shared mapping. */
static bool may_be_written(const struct mapping *mapping)
{
	const struct file *file = mapping->file;
	return (file->flags & O_ACCMODE) == O_RDWR &&
	       !(file->node && file->node->seals & (SEAL_WRITE | SEAL_FUTURE_WRITE));
}

bool address_space_may_write(const struct address_space *space, const struct path_node *node)
{
	for (const struct mapping *mapping = mapping_tree_find(&space->mappings, 0); mapping;
	     mapping = mapping_next(&space->mappings, mapping)) {
		if (mapping->shared && mapping->file->node == node &&
		    (mapping->file->flags & O_ACCMODE) == O_RDWR)
			return true;
	}
	return false;
}

int address_space_protect(struct address_space *space, struct user_addr from, uint64_t bytes,
                          int protection)
{
	uint64_t start = from.value, end = start + page_round_up(bytes);
	if (start & PAGE_MASK)
		return -EINVAL;
	if (!bytes)
		return 0;
	if (!range_is_valid(start, page_round_up(bytes)))
		return -ENOMEM;
	uint64_t covered = start;
	for (struct mapping *mapping = mapping_tree_find(&space->mappings, start);
	     mapping && mapping->start < end; mapping = mapping_next(&space->mappings, mapping)) {
		if (mapping->start > covered)
			break;
		if (mapping->shared && (protection & PROT_WRITE) && !may_be_written(mapping))
			return -EACCES;
		if (mapping->kernel_pages && (protection & PROT_WRITE))
			return -EACCES;
		uint64_t low = mapping->start > start ? mapping->start : start,
		         high = mapping->end < end ? mapping->end : end;
		if ((protection & PROT_WRITE) && !(mapping->protection & PROT_WRITE) &&
		    !mapping->shared && !mapping->no_reserve && obviously_too_much(high - low))
			return -ENOMEM;
		covered = mapping->end;
	}
	if (covered < end)
		return -ENOMEM;
	if (mappings_split(space, start, end))
		return -ENOMEM;
	for (struct mapping *mapping = mapping_tree_find(&space->mappings, start);
	     mapping && mapping->start < end; mapping = mapping_next(&space->mappings, mapping)) {
		struct protect_walk walk = { mapping, permission_of(protection) };
		if (mapping->protection == protection)
			continue;
		mapping->protection = (uint8_t)protection;
		if (space->resident_pages)
			page_walk(&space->table, user(mapping->start), user(mapping->end),
			          protect_page, &walk);
	}
	mappings_merge(space, start, end);
	return 0;
}
