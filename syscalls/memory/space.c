/* Address spaces: making, copying (fork) and taking them apart. */
#include "syscalls/memory/space.h"

/* Pages given back per turn of the loop when an address space ends. */
#define TEARDOWN_BYTES (4ull << 20)

/* Address spaces whose last user is gone and whose pages are not all given back yet. */
static struct list ending = { { &ending.head, &ending.head } };
static struct loop_timer teardown_timer; /* fires at once: in the next turn */

int address_space_create(struct address_space **out)
{
	struct address_space *space = heap_alloc_zeroed(sizeof(*space));
	if (!space)
		return -ENOMEM;
	if (page_table_create(&space->table)) {
		heap_free(space);
		return -ENOMEM;
	}
	space->refs = 1;
	mapping_tree_init(&space->mappings, MAP_FLOOR);
	list_node_init(&space->ending_link);
	*out = space;
	return 0;
}

struct address_space *address_space_get(struct address_space *space)
{
	space->refs++;
	return space;
}

void mapping_free(struct mapping *mapping)
{
	if (mapping->file)
		file_put(mapping->file);
	heap_free(mapping);
}

struct mapping *mapping_copy(const struct mapping *from)
{
	struct mapping *copy = heap_alloc(sizeof(*copy));
	if (!copy)
		return NULL;
	*copy = *from;
	copy->left = copy->right = NULL;
	list_node_init(&copy->link);
	if (copy->file)
		file_get(copy->file);
	return copy;
}

/* True when the space is gone. */
static bool teardown_step(struct address_space *space)
{
	uint64_t left = TEARDOWN_BYTES;
	while (left) {
		struct list_node *node = list_first(&space->mappings.order);
		if (!node) {
			page_table_destroy(&space->table);
			heap_free(space);
			return true;
		}
		struct mapping *mapping = list_entry(node, struct mapping, link);
		uint64_t from = space->teardown_address > mapping->start ? space->teardown_address
		                                                         : mapping->start;
		uint64_t bytes = mapping->end - from < left ? mapping->end - from : left;
		/* What was never touched costs nothing: only resident pages count. */
		uint64_t resident = space->resident_pages;
		if (resident * PAGE_SIZE <= left)
			bytes = mapping->end - from;
		pages_drop(space, from, from + bytes);
		uint64_t freed = (resident - space->resident_pages) * PAGE_SIZE + PAGE_SIZE;
		left = freed < left ? left - freed : 0;
		space->teardown_address = from + bytes;
		if (space->teardown_address == mapping->end) {
			list_remove(&mapping->link);
			mapping_free(mapping);
		}
	}
	return false;
}

bool address_spaces_reclaim(void)
{
	struct list_node *node = list_pop_front(&ending);
	if (!node)
		return false;
	struct address_space *space = list_entry(node, struct address_space, ending_link);
	if (!teardown_step(space))
		list_push_back(&ending, node);
	return true;
}

static void teardown_next(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	(void)watcher, (void)events;
	address_spaces_reclaim();
	if (!list_is_empty(&ending))
		loop_timer_arm(loop, &teardown_timer, loop->now_ns);
}

int address_spaces_init(void)
{
	return loop_timer_create(&this_hart()->loop, &teardown_timer, LOOP_PRIORITY_DEFERRED,
	                         teardown_next);
}

void address_space_put(struct address_space *space)
{
	struct loop *loop = &this_hart()->loop;
	if (--space->refs || teardown_step(space))
		return;
	list_push_back(&ending, &space->ending_link);
	loop_timer_arm(loop, &teardown_timer, loop->now_ns);
}

struct fork_walk {
	struct address_space *from, *to;
	struct mapping *mapping;
	bool failed;
};

static enum page_step share_page(void *context, struct user_addr address, page_slot *slot)
{
	struct fork_walk *walk = context;
	struct page_mapping mapped = page_slot_read(slot);
	unsigned permission = mapped.permission;
	if (walk->failed)
		return PAGE_KEPT;
	page_slot *copy = page_slot_make(&walk->to->table, address);
	if (!copy) {
		walk->failed = true;
		return PAGE_KEPT;
	}
	if (!walk->mapping->shared)
		permission &= ~(unsigned)PAGE_WRITE;
	page_slot_fill(copy, mapped.page, permission);
	page_get(page_of(phys_to_virt(mapped.page)));
	space_count_resident(walk->to);
	if (permission == mapped.permission)
		return PAGE_KEPT;
	page_slot_change(slot, mapped.page, permission);
	return PAGE_CHANGED;
}

int address_space_copy(struct address_space *from, struct address_space **out)
{
	struct address_space *to;
	if (address_space_create(&to))
		return -ENOMEM;
	to->heap_start = from->heap_start;
	to->heap_end = from->heap_end;
	to->vdso = from->vdso;
	struct fork_walk walk = { .from = from, .to = to };
	list_for_each(node, &from->mappings.order)
	{
		struct mapping *mapping = list_entry(node, struct mapping, link);
		if (mapping->dont_fork)
			continue;
		struct mapping *copy = mapping_copy(mapping);
		if (!copy) {
			walk.failed = true;
			break;
		}
		copy->locked = false;
		mapping_tree_insert(&to->mappings, copy);
		space_count_mapped(to, copy->end - copy->start);
		if (copy->wipe_on_fork)
			continue;
		walk.mapping = mapping;
		page_walk(&from->table, user(mapping->start), user(mapping->end), share_page,
		          &walk);
		if (walk.failed)
			break;
	}
	if (walk.failed) {
		address_space_put(to);
		return -ENOMEM;
	}
	*out = to;
	return 0;
}

uint64_t address_space_satp(const struct address_space *space)
{
	return space->table.satp;
}

uint64_t address_space_vdso(const struct address_space *space)
{
	return space->vdso;
}

void address_space_set_vdso(struct address_space *space, uint64_t address)
{
	space->vdso = address;
}

void address_space_set_name(struct address_space *space, struct user_addr at, const char *name)
{
	struct mapping *mapping = mapping_tree_find(&space->mappings, at.value);
	if (mapping && mapping->start <= at.value)
		mapping->name = name;
}

void address_space_set_brk(struct address_space *space, uint64_t start)
{
	space->heap_start = space->heap_end = page_round_up(start);
}

void address_space_usage(const struct address_space *space, uint64_t *mapped_bytes,
                         uint64_t *resident_pages)
{
	*mapped_bytes = space->mapped_bytes;
	*resident_pages = space->resident_pages;
}

int address_space_futex_key(struct address_space *space, struct user_addr address, bool is_private,
                            struct futex_key *out)
{
	if ((address.value & 3) || address.value >= USER_END)
		return (address.value & 3) ? -EINVAL : -EFAULT;
	out->object = (uint64_t)(uintptr_t)space;
	out->offset = address.value;
	if (is_private)
		return 0;
	struct mapping *mapping = mapping_tree_find(&space->mappings, address.value);
	if (!mapping || mapping->start > address.value)
		return -EFAULT;
	if (!mapping->shared)
		return 0;
	/* The same page has the same key in every address space that shares it. */
	int code;
	struct page_mapping page = page_lookup(&space->table, address);
	if (!page.permission && address_space_fault(space, address, FAULT_READ, &code))
		return -EFAULT;
	page = page_lookup(&space->table, address);
	out->object = page.page.value;
	out->offset = address.value & PAGE_MASK;
	return 0;
}

uint64_t address_space_peak_bytes(const struct address_space *space)
{
	return space->peak_mapped_bytes;
}

uint64_t address_space_peak_pages(const struct address_space *space)
{
	return space->peak_resident_pages;
}
