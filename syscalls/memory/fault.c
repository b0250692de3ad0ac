/* Page faults: where memory comes from. */
#include "syscalls/memory/space.h"

struct page *zero_page;

/* File pages brought in around a read fault: programs run through their text in stretches. */
#define FAULT_AROUND_PAGES 16

void address_space_init(void)
{
	void *zero = page_alloc_zeroed(0);
	KASSERT(zero);
	zero_page = page_of(zero);
	KASSERT(!address_spaces_init());
}

static __attribute__((noinline)) void *reclaimed_page(void)
{
	while (address_spaces_reclaim()) {
		void *page = page_alloc(0);
		if (page)
			return page;
	}
	return NULL;
}

void *fresh_page(bool zeroed)
{
	void *page = page_alloc(0);
	if (__builtin_expect(page == NULL, 0))
		page = reclaimed_page();
	if (page && zeroed)
		page_clear(page);
	return page;
}

static inline struct mapping *find(struct address_space *space, uint64_t address)
{
	struct mapping *mapping = space->last_found;
	if (__builtin_expect(mapping && mapping->start <= address && address < mapping->end, 1))
		return mapping;
	mapping = mapping_tree_find(&space->mappings, address);
	if (!mapping || mapping->start > address)
		return NULL;
	space->last_found = mapping;
	return mapping;
}

#define OUT_OF_MEMORY_PAUSE_NS 1000000000ull

/* Said once a second at most: programs that are started anew die of it again and again. */
static __attribute__((noinline)) int out_of_memory(uint64_t address)
{
	static uint64_t said_ns, unsaid;
	uint64_t now = clock_read_ns();
	if (said_ns && now - said_ns < OUT_OF_MEMORY_PAUSE_NS) {
		unsaid++;
		return -SIGKILL_NUMBER;
	}
	if (unsaid)
		log_error("out of memory: %lu more programs were killed meanwhile",
		          (unsigned long)unsaid);
	log_error("out of memory at address 0x%lx: the program is killed", address);
	said_ns = now;
	unsaid = 0;
	return -SIGKILL_NUMBER;
}

/* Maps `page`, whose reference passes to the empty slot. */
static inline int install(struct address_space *space, page_slot *slot, const struct page *page,
                          unsigned permission)
{
	page_slot_fill(slot, virt_to_phys(page_address(page)), permission);
	space_count_resident(space);
	return 0;
}

static int fault_anonymous_read(struct address_space *space, struct mapping *mapping,
                                page_slot *slot)
{
	page_get(zero_page);
	return install(space, slot, zero_page,
	               permission_of(mapping->protection) & ~(unsigned)PAGE_WRITE);
}

static uint64_t file_page(const struct mapping *mapping, uint64_t address)
{
	return (mapping->offset + (address - mapping->start)) >> PAGE_SHIFT;
}

/* Neighbours that the file has ready, read-only; whatever fails is left to its own fault. `slot`
 * is that of `address`. */
static void fault_around(struct address_space *space, struct mapping *mapping, uint64_t address,
                         page_slot *slot, unsigned permission)
{
	uint64_t from = address & ~(FAULT_AROUND_PAGES * PAGE_SIZE - 1),
	         to = from + FAULT_AROUND_PAGES * PAGE_SIZE;
	if (from < mapping->start)
		from = mapping->start;
	if (to > mapping->end)
		to = mapping->end;
	slot -= (address - from) >> PAGE_SHIFT;
	for (uint64_t at = from; at < to; at += PAGE_SIZE, slot++) {
		struct page *page;
		if (!page_slot_is_empty(slot))
			continue;
		if (mapping->file->operations->page(mapping->file, file_page(mapping, at), false,
		                                    &page))
			return;
		install(space, slot, page, permission);
	}
}

static int fault_file(struct address_space *space, struct mapping *mapping, uint64_t address,
                      page_slot *slot, bool write)
{
	unsigned permission = permission_of(mapping->protection);
	struct page *page;
	int error = mapping->file->operations->page(mapping->file, file_page(mapping, address),
	                                            write && mapping->shared, &page);
	if (error == -ENOMEM)
		return out_of_memory(address);
	if (error)
		return -SIGBUS_NUMBER;
	if (!write || mapping->shared) {
		if (!write)
			permission &= ~(unsigned)PAGE_WRITE;
		install(space, slot, page, permission);
		if (!write && !mapping->shared)
			fault_around(space, mapping, address, slot, permission);
		return 0;
	}
	void *copy = fresh_page(false);
	if (copy)
		memcpy(copy, page_address(page), PAGE_SIZE);
	page_put(page);
	return copy ? install(space, slot, page_of(copy), permission) : out_of_memory(address);
}

static void replace(struct address_space *space, page_slot *slot, uint64_t address,
                    const struct page *page, unsigned permission)
{
	page_slot_change(slot, virt_to_phys(page_address(page)), permission);
	page_table_flush_page(&space->table, user(address));
}

/* A write to a page that is present but not writable: ours alone, or to be copied. */
static int fault_copy(struct address_space *space, struct mapping *mapping, uint64_t address,
                      page_slot *slot)
{
	unsigned permission = permission_of(mapping->protection);
	struct page *old = page_of(phys_to_virt(page_slot_read(slot).page));
	if (mapping->shared) {
		struct page *page;
		int error = mapping->file->operations->page(
		        mapping->file, file_page(mapping, address), true, &page);
		if (error)
			return error == -ENOMEM ? out_of_memory(address) : -SIGBUS_NUMBER;
		replace(space, slot, address, page, permission);
		page_put(old);
		return 0;
	}
	if (old->refs == 1) {
		replace(space, slot, address, old, permission);
		return 0;
	}
	void *copy = fresh_page(old == zero_page);
	if (!copy)
		return out_of_memory(address);
	if (old != zero_page)
		memcpy(copy, page_address(old), PAGE_SIZE);
	replace(space, slot, address, page_of(copy), permission);
	page_put(old);
	return 0;
}

static int fault_kernel_pages(struct address_space *space, struct mapping *mapping,
                              uint64_t address, page_slot *slot)
{
	uint8_t *from = (uint8_t *)mapping->pages + mapping->offset + (address - mapping->start);
	struct page *page = page_of(from);
	page_get(page);
	return install(space, slot, page, permission_of(mapping->protection));
}

/* All but the first write to a page of anonymous memory. `slot` is NULL when there is no memory for
 * a table. */
static __attribute__((noinline)) int fault_other(struct address_space *space,
                                                 struct mapping *mapping, uint64_t address,
                                                 page_slot *slot, bool write)
{
	if (!slot)
		return out_of_memory(address);
	if (!page_slot_is_empty(slot)) {
		if (write && !(page_slot_read(slot).permission & PAGE_WRITE))
			return fault_copy(space, mapping, address, slot);
		page_table_flush_page(&space->table, user(address)); /* a stale "not present" */
		return 0;
	}
	if (mapping->file)
		return fault_file(space, mapping, address, slot, write);
	return mapping->kernel_pages ? fault_kernel_pages(space, mapping, address, slot)
	                             : fault_anonymous_read(space, mapping, slot);
}

enum { SEGV_MAPERR = 1, SEGV_ACCERR, BUS_ADRERR = 2 };

int address_space_fault(struct address_space *space, struct user_addr where,
                        enum fault_access access, int *signal_code)
{
	/* One of these is needed: what can be written can be read. */
	static const uint8_t needed[] = { [FAULT_READ] = PROT_READ | PROT_WRITE,
		                          [FAULT_WRITE] = PROT_WRITE,
		                          [FAULT_EXECUTE] = PROT_EXEC };
	uint64_t address = where.value & ~PAGE_MASK;
	bool write = access == FAULT_WRITE;
	struct mapping *mapping = find(space, where.value);
	if (!mapping || !(mapping->protection & needed[access])) {
		*signal_code = mapping ? SEGV_ACCERR : SEGV_MAPERR;
		return -SIGSEGV_NUMBER;
	}
	page_slot *slot = page_slot_make(&space->table, where);
	if (!slot || !page_slot_is_empty(slot) || !write || !mapping_is_anonymous(mapping)) {
		*signal_code = BUS_ADRERR;
		return fault_other(space, mapping, address, slot, write);
	}
	void *fresh = fresh_page(true);
	if (!fresh)
		return out_of_memory(address);
	page_slot_fill(slot, virt_to_phys(fresh), permission_of(mapping->protection));
	space_count_resident(space);
	return 0;
}

int pages_populate(struct address_space *space, uint64_t from, uint64_t to, bool write)
{
	for (uint64_t at = from; at < to; at += PAGE_SIZE) {
		int code;
		struct page_mapping mapped = page_lookup(&space->table, user(at));
		if (mapped.permission && (!write || (mapped.permission & PAGE_WRITE)))
			continue;
		int result = address_space_fault(space, user(at), write ? FAULT_WRITE : FAULT_READ,
		                                 &code);
		if (result)
			return result == -SIGKILL_NUMBER ? -ENOMEM : -EFAULT;
	}
	return 0;
}
