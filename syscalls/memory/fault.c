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

void *fresh_page(bool zeroed)
{
	for (;;) {
		void *page = zeroed ? page_alloc_zeroed(0) : page_alloc(0);
		if (__builtin_expect(page != NULL, 1) || !address_spaces_reclaim())
			return page;
	}
}

static struct mapping *find(struct address_space *space, uint64_t address)
{
	struct mapping *mapping = space->last_found;
	if (mapping && mapping->start <= address && address < mapping->end)
		return mapping;
	mapping = mapping_tree_find(&space->mappings, address);
	if (!mapping || mapping->start > address)
		return NULL;
	space->last_found = mapping;
	return mapping;
}

#define OUT_OF_MEMORY_PAUSE_NS 1000000000ull

/* Said once a second at most: programs that are started anew die of it again and again. */
static int out_of_memory(uint64_t address)
{
	static uint64_t said_ns, unsaid;
	uint64_t now = clock_read_ns();
	if (said_ns && now - said_ns < OUT_OF_MEMORY_PAUSE_NS) {
		unsaid++;
		return -SIGKILL_NUMBER;
	}
	log_error("out of memory at address 0x%lx: the program is killed (so were %lu unmentioned)",
	          address, (unsigned long)unsaid);
	said_ns = now;
	unsaid = 0;
	return -SIGKILL_NUMBER;
}

/* Maps `page`, whose reference passes to the table. */
static int install(struct address_space *space, uint64_t address, struct page *page,
                   unsigned permission)
{
	if (page_map(&space->table, user(address), virt_to_phys(page_address(page)), permission)) {
		page_put(page);
		return out_of_memory(address);
	}
	space_count_resident(space);
	return 0;
}

static int fault_anonymous(struct address_space *space, struct mapping *mapping, uint64_t address,
                           bool write)
{
	unsigned permission = permission_of(mapping->protection);
	if (!write) {
		page_get(zero_page);
		return install(space, address, zero_page, permission & ~(unsigned)PAGE_WRITE);
	}
	void *fresh = fresh_page(true);
	if (!fresh)
		return out_of_memory(address);
	return install(space, address, page_of(fresh), permission);
}

/* Neighbours that the file has ready, read-only; whatever fails is left to its own fault. */
static void fault_around(struct address_space *space, struct mapping *mapping, uint64_t address,
                         unsigned permission)
{
	uint64_t from = address & ~(FAULT_AROUND_PAGES * PAGE_SIZE - 1),
	         to = from + FAULT_AROUND_PAGES * PAGE_SIZE;
	if (from < mapping->start)
		from = mapping->start;
	if (to > mapping->end)
		to = mapping->end;
	for (uint64_t at = from; at < to; at += PAGE_SIZE) {
		struct page *page;
		if (at == address || page_lookup(&space->table, user(at)).page.value)
			continue;
		uint64_t index = (mapping->offset + (at - mapping->start)) >> PAGE_SHIFT;
		if (mapping->file->operations->page(mapping->file, index, false, &page))
			return;
		if (page_map(&space->table, user(at), virt_to_phys(page_address(page)),
		             permission)) {
			page_put(page);
			return;
		}
		space_count_resident(space);
	}
}

static int fault_file(struct address_space *space, struct mapping *mapping, uint64_t address,
                      bool write)
{
	unsigned permission = permission_of(mapping->protection);
	uint64_t index = (mapping->offset + (address - mapping->start)) >> PAGE_SHIFT;
	struct page *page;
	int error = mapping->file->operations->page(mapping->file, index, write && mapping->shared,
	                                            &page);
	if (error == -ENOMEM)
		return out_of_memory(address);
	if (error)
		return -SIGBUS_NUMBER;
	if (!write || mapping->shared) {
		if (!write)
			permission &= ~(unsigned)PAGE_WRITE;
		error = install(space, address, page, permission);
		if (!error && !write && !mapping->shared)
			fault_around(space, mapping, address, permission);
		return error;
	}
	void *copy = fresh_page(false);
	if (copy)
		memcpy(copy, page_address(page), PAGE_SIZE);
	page_put(page);
	return copy ? install(space, address, page_of(copy), permission) : out_of_memory(address);
}

/* A write to a page that is present but not writable: ours alone, or to be copied. */
static int fault_copy(struct address_space *space, struct mapping *mapping, uint64_t address,
                      struct page_mapping mapped)
{
	unsigned permission = permission_of(mapping->protection);
	struct page *old = page_of(phys_to_virt(mapped.page));
	if (mapping->shared) {
		uint64_t index = (mapping->offset + (address - mapping->start)) >> PAGE_SHIFT;
		struct page *page;
		int error = mapping->file->operations->page(mapping->file, index, true, &page);
		if (error)
			return error == -ENOMEM ? out_of_memory(address) : -SIGBUS_NUMBER;
		page_map(&space->table, user(address), virt_to_phys(page_address(page)),
		         permission);
		page_put(old);
		return 0;
	}
	if (old->refs == 1) {
		page_protect(&space->table, user(address), permission);
		return 0;
	}
	void *copy = fresh_page(old == zero_page);
	if (!copy)
		return out_of_memory(address);
	if (old != zero_page)
		memcpy(copy, page_address(old), PAGE_SIZE);
	page_map(&space->table, user(address), virt_to_phys(copy),
	         permission); /* replaces: cannot fail */
	page_put(old);
	return 0;
}

static int fault_kernel_pages(struct address_space *space, struct mapping *mapping,
                              uint64_t address)
{
	uint8_t *from = (uint8_t *)mapping->pages + mapping->offset + (address - mapping->start);
	struct page *page = page_of(from);
	page_get(page);
	return install(space, address, page, permission_of(mapping->protection));
}

int address_space_fault(struct address_space *space, struct user_addr where,
                        enum fault_access access, int *signal_code)
{
	uint64_t address = where.value & ~PAGE_MASK;
	struct mapping *mapping = find(space, where.value);
	*signal_code = 1; /* SEGV_MAPERR */
	if (!mapping)
		return -SIGSEGV_NUMBER;
	static const uint8_t needed[] = {
		[FAULT_READ] = PROT_READ, [FAULT_WRITE] = PROT_WRITE, [FAULT_EXECUTE] = PROT_EXEC
	};
	*signal_code = 2; /* SEGV_ACCERR */
	uint8_t allowed = mapping->protection;
	if (allowed & PROT_WRITE)
		allowed |= PROT_READ;
	if (!(allowed & needed[access]))
		return -SIGSEGV_NUMBER;
	*signal_code = 2; /* BUS_ADRERR */
	struct page_mapping mapped = page_lookup(&space->table, where);
	bool write = access == FAULT_WRITE;
	if (mapped.page.value) {
		if (write && !(mapped.permission & PAGE_WRITE))
			return fault_copy(space, mapping, address, mapped);
		page_table_flush_page(&space->table, where); /* a stale "not present" */
		return 0;
	}
	if (mapping->kernel_pages)
		return fault_kernel_pages(space, mapping, address);
	if (mapping->file)
		return fault_file(space, mapping, address, write);
	return fault_anonymous(space, mapping, address, write);
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
