/* mmap and its family: the system calls' arguments, checked as Linux does. */
#include "syscalls/files/node.h"
#include "syscalls/memory/space.h"
#include "syscalls/syscall.h"

static struct address_space *space_of(struct thread *thread)
{
	return thread->process->memory;
}

static uint64_t limit(struct thread *thread, int which)
{
	return thread->process->limits[which].soft;
}

static int check_file(struct thread *thread, uint64_t descriptor, int protection, int flags,
                      struct file **out)
{
	struct file *file = thread_file(thread, descriptor);
	if (!file || (file->flags & O_PATH))
		return -EBADF;
	uint32_t mode = file->flags & O_ACCMODE;
	if (mode == O_WRONLY ||
	    ((flags & 3) != MAP_PRIVATE && (protection & PROT_WRITE) && mode != O_RDWR))
		return -EACCES;
	if (!file->operations->page)
		return -ENODEV;
	if ((flags & 3) != MAP_PRIVATE && protection & PROT_WRITE && file->node &&
	    file->node->seals & (SEAL_WRITE | SEAL_FUTURE_WRITE))
		return -EPERM;
	*out = file;
	return 0;
}

long sys_mmap(struct thread *thread, const uint64_t *argument)
{
	struct address_space *space = space_of(thread);
	uint64_t bytes = argument[1], offset = argument[5];
	int protection = (int)argument[2] & 7, flags = (int)argument[3];
	int type = flags & 15;
	struct file *file = NULL;
	if (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_SHARED_VALIDATE)
		return -EINVAL;
	if (offset & PAGE_MASK)
		return -EINVAL;
	if (!(flags & MAP_ANONYMOUS)) {
		int error = check_file(thread, argument[4], protection, flags, &file);
		if (error)
			return error;
		if (offset + bytes < offset)
			return -EOVERFLOW;
	}
	if (space->mapped_bytes + bytes > limit(thread, LIMIT_AS))
		return -ENOMEM;
	return address_space_map(space, user(argument[0]), bytes, protection, flags, file, offset);
}

/*
 * A large range goes piece by piece, one per turn of the loop. Each piece is an munmap of its own,
 * from the top down: what another thread maps meanwhile into the part that is gone already is not
 * touched again.
 */
#define UNMAP_PIECE_BYTES (8ull << 20)

struct unmap {
	uint64_t start, end; /* what is left */
};

static long unmap_piece(struct thread *thread, uint32_t reasons)
{
	struct unmap *unmap = THREAD_PARK_STATE(thread, struct unmap);
	struct address_space *space = space_of(thread);
	thread->uninterruptible = false;
	if (reasons & (WAKE_KILL | WAKE_SIGNAL))
		return -EINTR; /* the process ends, and all of its memory with it */
	uint64_t from = unmap->end - unmap->start > UNMAP_PIECE_BYTES
	                        ? unmap->end - UNMAP_PIECE_BYTES
	                        : unmap->start;
	if (space->resident_pages * PAGE_SIZE <= UNMAP_PIECE_BYTES)
		from = unmap->start;
	int error = address_space_unmap(space, user(from), unmap->end - from);
	if (error || from == unmap->start)
		return error;
	unmap->end = from;
	thread->uninterruptible = true;
	thread_wait_until(thread, thread->task.hart->loop.now_ns);
	thread_park(thread, unmap_piece);
	return SYS_PARKED;
}

long sys_munmap(struct thread *thread, const uint64_t *argument)
{
	struct address_space *space = space_of(thread);
	uint64_t start = argument[0], bytes = argument[1];
	if (bytes <= UNMAP_PIECE_BYTES || space->resident_pages * PAGE_SIZE <= UNMAP_PIECE_BYTES ||
	    !range_is_valid(start, page_round_up(bytes)))
		return address_space_unmap(space, user(start), bytes);
	*THREAD_PARK_STATE(thread, struct unmap) =
	        (struct unmap){ start, start + page_round_up(bytes) };
	return unmap_piece(thread, 0);
}

long sys_mprotect(struct thread *thread, const uint64_t *argument)
{
	if (argument[2] & ~7ull)
		return -EINVAL;
	return address_space_protect(space_of(thread), user(argument[0]), argument[1],
	                             (int)argument[2]);
}

long sys_brk(struct thread *thread, const uint64_t *argument)
{
	struct address_space *space = space_of(thread);
	uint64_t wanted = argument[0], old = page_round_up(space->heap_end),
	         new = page_round_up(wanted);
	if (wanted < space->heap_start || wanted > MAP_TOP ||
	    wanted - space->heap_start > limit(thread, LIMIT_DATA))
		return (long)space->heap_end;
	if (new < old) {
		if (address_space_unmap(space, user(new), old - new))
			return (long)space->heap_end;
	} else if (new > old) {
		struct mapping *above = mapping_tree_find(&space->mappings, old);
		if (above && above->start < new)
			return (long)space->heap_end;
		if (address_space_map(space, user(old), new - old, PROT_READ | PROT_WRITE,
		                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, NULL,
		                      0) < 0)
			return (long)space->heap_end;
	}
	space->heap_end = wanted;
	return (long)wanted;
}

/* ---- mremap ---- */

enum { MREMAP_MAYMOVE = 1, MREMAP_FIXED = 2, MREMAP_DONTUNMAP = 4 };

struct move {
	struct address_space *space;
	uint64_t delta;
	bool failed;
};

static enum page_step copy_entry(void *context, struct user_addr address, page_slot *slot)
{
	struct move *move = context;
	struct page_mapping mapped = page_slot_read(slot);
	if (move->failed)
		return PAGE_KEPT;
	page_slot *copy = page_slot_make(&move->space->table, user(address.value + move->delta));
	if (!copy) {
		move->failed = true;
		return PAGE_KEPT;
	}
	page_slot_fill(copy, mapped.page, mapped.permission);
	page_get(page_of(phys_to_virt(mapped.page)));
	space_count_resident(move->space);
	return PAGE_KEPT;
}

/* Pages keep their contents and permissions; the old ones go with the unmapping (or are dropped for
 * DONTUNMAP). */
static int64_t move_mapping(struct address_space *space, struct mapping *from, uint64_t old,
                            uint64_t old_bytes, uint64_t new, uint64_t new_bytes, bool keep)
{
	struct mapping *mapping = mapping_copy(from);
	if (!mapping)
		return -ENOMEM;
	uint64_t moved = old_bytes < new_bytes ? old_bytes : new_bytes;
	if (mapping->file)
		mapping->offset += old - from->start;
	mapping->start = new;
	mapping->end = new + new_bytes;
	mapping_tree_insert(&space->mappings, mapping);
	space->mapped_bytes += new_bytes;
	struct move move = { .space = space, .delta = new - old };
	page_walk(&space->table, user(old), user(old + moved), copy_entry, &move);
	if (move.failed) {
		address_space_unmap(space, user(new), new_bytes);
		return -ENOMEM;
	}
	if (keep)
		pages_drop(space, old, old + old_bytes);
	else
		address_space_unmap(space, user(old), old_bytes);
	mappings_merge(space, new, new + new_bytes);
	return (int64_t) new;
}

static int64_t grow_or_move(struct address_space *space, struct mapping *mapping,
                            const uint64_t *argument)
{
	uint64_t old = argument[0], old_bytes = page_round_up(argument[1]),
	         new_bytes = page_round_up(argument[2]);
	uint64_t flags = argument[3], new = argument[4];
	if (flags & MREMAP_FIXED) {
		int error = address_space_unmap(space, user(new), new_bytes);
		if (error)
			return error;
		mapping = mapping_tree_find(&space->mappings, old);
		if (!mapping || mapping->start > old)
			return -EFAULT;
	} else if (!(flags & MREMAP_DONTUNMAP)) {
		struct mapping *next = mapping_next(&space->mappings, mapping);
		bool at_end = mapping->end == old + old_bytes;
		uint64_t room = (next ? next->start : USER_END) - mapping->end;
		if (at_end && room >= new_bytes - old_bytes) {
			mapping_tree_resize(&space->mappings, mapping, mapping->start,
			                    old + new_bytes);
			space->mapped_bytes += new_bytes - old_bytes;
			mappings_merge(space, old, old + new_bytes);
			return (int64_t)old;
		}
	}
	if (!(flags & MREMAP_MAYMOVE))
		return -ENOMEM;
	if (!(flags & MREMAP_FIXED)) {
		int64_t picked = pick_address(space, 0, new_bytes, false);
		if (picked < 0)
			return picked;
		new = (uint64_t)picked;
	}
	return move_mapping(space, mapping, old, old_bytes, new, new_bytes,
	                    flags & MREMAP_DONTUNMAP);
}

long sys_mremap(struct thread *thread, const uint64_t *argument)
{
	struct address_space *space = space_of(thread);
	uint64_t old = argument[0], old_bytes = page_round_up(argument[1]),
	         new_bytes = page_round_up(argument[2]);
	uint64_t flags = argument[3], new = argument[4];
	if ((flags & ~7ull) || (old & PAGE_MASK) || !new_bytes || new_bytes > USER_END ||
	    old_bytes > USER_END)
		return -EINVAL;
	if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && !(flags & MREMAP_MAYMOVE))
		return -EINVAL;
	if ((flags & MREMAP_DONTUNMAP) && old_bytes != new_bytes)
		return -EINVAL;
	if ((flags & MREMAP_FIXED) &&
	    (!range_is_valid(new, new_bytes) || (new < old + old_bytes &&old < new + new_bytes)))
		return -EINVAL;
	struct mapping *mapping = mapping_tree_find(&space->mappings, old);
	if (!mapping || mapping->start > old || mapping->end < old + old_bytes ||
	    mapping->kernel_pages)
		return -EFAULT;
	if (!old_bytes && !mapping->shared)
		return -EINVAL;
	if (new_bytes <= old_bytes && !(flags & (MREMAP_FIXED | MREMAP_DONTUNMAP))) {
		if (new_bytes < old_bytes) {
			int error = address_space_unmap(space, user(old + new_bytes),
			                                old_bytes - new_bytes);
			if (error)
				return error;
		}
		return (long)old;
	}
	if (new_bytes > old_bytes &&
	    space->mapped_bytes + new_bytes - old_bytes > limit(thread, LIMIT_AS))
		return -ENOMEM;
	if (new_bytes > old_bytes && !mapping->shared && (mapping->protection & PROT_WRITE) &&
	    !mapping->no_reserve && obviously_too_much(new_bytes - old_bytes))
		return -ENOMEM;
	return grow_or_move(space, mapping, argument);
}

/* ---- madvise ---- */

enum {
	MADV_NORMAL,
	MADV_RANDOM,
	MADV_SEQUENTIAL,
	MADV_WILLNEED,
	MADV_DONTNEED,
	MADV_FREE = 8,
	MADV_DONTFORK = 10,
	MADV_DOFORK = 11,
	MADV_MERGEABLE = 12,
	MADV_UNMERGEABLE = 13,
	MADV_HUGEPAGE = 14,
	MADV_NOHUGEPAGE = 15,
	MADV_DONTDUMP = 16,
	MADV_DODUMP = 17,
	MADV_WIPEONFORK = 18,
	MADV_KEEPONFORK = 19,
	MADV_COLD = 20,
	MADV_PAGEOUT = 21,
	MADV_POPULATE_READ = 22,
	MADV_POPULATE_WRITE = 23
};

static int advise(struct address_space *space, struct mapping *mapping, uint64_t from, uint64_t to,
                  int advice)
{
	switch (advice) {
	case MADV_FREE:
		if (mapping->file)
			return -EINVAL;
		pages_drop(space, from, to);
		return 0;
	case MADV_DONTNEED:
		if (mapping->locked)
			return -EINVAL;
		pages_drop(space, from, to);
		return 0;
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
		return pages_populate(space, from, to, advice == MADV_POPULATE_WRITE);
	case MADV_DONTFORK:
	case MADV_DOFORK:
		mapping->dont_fork = advice == MADV_DONTFORK;
		return 0;
	case MADV_WIPEONFORK:
		if (mapping->file || mapping->shared)
			return -EINVAL;
		mapping->wipe_on_fork = true;
		return 0;
	case MADV_KEEPONFORK:
		mapping->wipe_on_fork = false;
		return 0;
	default:
		return 0; /* advice that changes nothing here */
	}
}

long sys_madvise(struct thread *thread, const uint64_t *argument)
{
	struct address_space *space = space_of(thread);
	uint64_t start = argument[0], bytes = page_round_up(argument[1]), end = start + bytes;
	int advice = (int)argument[2], result = 0;
	bool known = (advice >= MADV_NORMAL && advice <= MADV_DONTNEED) ||
	             (advice >= MADV_FREE && advice <= MADV_POPULATE_WRITE && advice != 9);
	if (!known || !range_is_valid(start, bytes))
		return -EINVAL;
	if (!bytes)
		return 0;
	bool splits = advice == MADV_DONTFORK || advice == MADV_DOFORK ||
	              advice == MADV_WIPEONFORK || advice == MADV_KEEPONFORK;
	if (splits && mappings_split(space, start, end))
		return -ENOMEM;
	uint64_t at = start;
	bool hole = false;
	struct mapping *mapping = mapping_tree_find(&space->mappings, start);
	for (; mapping && mapping->start < end && !result;
	     mapping = mapping_next(&space->mappings, mapping)) {
		hole |= mapping->start > at;
		uint64_t from = mapping->start > start ? mapping->start : start;
		uint64_t to = mapping->end < end ? mapping->end : end;
		result = advise(space, mapping, from, to, advice);
		at = mapping->end;
	}
	if (splits)
		mappings_merge(space, start, end);
	return result ? result : hole || at < end ? -ENOMEM : 0;
}

/* ---- residency ---- */

static bool range_is_mapped(struct address_space *space, uint64_t from, uint64_t to)
{
	struct mapping *mapping = mapping_tree_find(&space->mappings, from);
	for (; mapping && mapping->start <= from;
	     mapping = mapping_next(&space->mappings, mapping)) {
		from = mapping->end;
		if (from >= to)
			return true;
	}
	return from >= to;
}

enum { MS_ASYNC = 1, MS_INVALIDATE = 2, MS_SYNC = 4 };

/* Shared pages are the file's own: there is nothing to write back. */
long sys_msync(struct thread *thread, const uint64_t *argument)
{
	uint64_t start = argument[0], bytes = page_round_up(argument[1]), flags = argument[2];
	if ((flags & ~7ull) || (start & PAGE_MASK) ||
	    (flags & (MS_ASYNC | MS_SYNC)) == (MS_ASYNC | MS_SYNC))
		return -EINVAL;
	if (!range_is_valid(start, bytes) ||
	    !range_is_mapped(space_of(thread), start, start + bytes))
		return -ENOMEM;
	return 0;
}

long sys_mincore(struct thread *thread, const uint64_t *argument)
{
	struct address_space *space = space_of(thread);
	uint64_t start = argument[0], bytes = page_round_up(argument[1]), to = argument[2];
	if (start & PAGE_MASK)
		return -EINVAL;
	if (!range_is_valid(start, bytes) || !range_is_mapped(space, start, start + bytes))
		return -ENOMEM;
	for (uint64_t i = 0; i < bytes / PAGE_SIZE; i++) {
		uint8_t resident =
		        page_lookup(&space->table, user(start + i * PAGE_SIZE)).page.value != 0;
		if (copy_to_user(user(to + i), &resident, 1))
			return -EFAULT;
	}
	return 0;
}

static long set_locked(struct thread *thread, uint64_t start, uint64_t bytes, bool locked,
                       bool populate)
{
	struct address_space *space = space_of(thread);
	uint64_t from = start & ~PAGE_MASK, to = page_round_up(start + bytes);
	if (to < from || to > USER_END)
		return -EINVAL;
	if (from == to)
		return 0;
	if (locked && !thread_capable(thread, CAPABILITY_IPC_LOCK) &&
	    space->locked_bytes + (to - from) > limit(thread, LIMIT_MEMLOCK))
		return -ENOMEM;
	if (!range_is_mapped(space, from, to) || mappings_split(space, from, to))
		return -ENOMEM;
	struct mapping *mapping = mapping_tree_find(&space->mappings, from);
	for (; mapping && mapping->start < to; mapping = mapping_next(&space->mappings, mapping)) {
		if (mapping->locked != locked)
			space->locked_bytes += locked ? mapping->end - mapping->start
			                              : mapping->start - mapping->end;
		mapping->locked = locked;
		if (populate && mapping->protection != PROT_NONE &&
		    pages_populate(space, mapping->start, mapping->end,
		                   (mapping->protection & PROT_WRITE) && !mapping->shared))
			return -EAGAIN;
	}
	mappings_merge(space, from, to);
	return 0;
}

long sys_mlock(struct thread *thread, const uint64_t *argument)
{
	return set_locked(thread, argument[0], argument[1], true, true);
}

long sys_mlock2(struct thread *thread, const uint64_t *argument)
{
	if (argument[2] & ~1ull)
		return -EINVAL;
	return set_locked(thread, argument[0], argument[1], true, !argument[2]);
}

long sys_munlock(struct thread *thread, const uint64_t *argument)
{
	return set_locked(thread, argument[0], argument[1], false, false);
}

enum { MCL_CURRENT = 1, MCL_FUTURE = 2, MCL_ONFAULT = 4 };

long sys_mlockall(struct thread *thread, const uint64_t *argument)
{
	struct address_space *space = space_of(thread);
	uint64_t flags = argument[0];
	if (!flags || (flags & ~7ull) || flags == MCL_ONFAULT)
		return -EINVAL;
	space->lock_future = (flags & MCL_FUTURE) != 0;
	if (!(flags & MCL_CURRENT))
		return 0;
	list_for_each(node, &space->mappings.order)
	{
		struct mapping *mapping = list_entry(node, struct mapping, link);
		if (!mapping->locked)
			space->locked_bytes += mapping->end - mapping->start;
		mapping->locked = true;
		if (!(flags & MCL_ONFAULT) && !mapping->kernel_pages && !mapping->file &&
		    mapping->protection != PROT_NONE)
			pages_populate(space, mapping->start, mapping->end,
			               mapping->protection & PROT_WRITE);
	}
	return 0;
}

long sys_munlockall(struct thread *thread, const uint64_t *argument)
{
	struct address_space *space = space_of(thread);
	(void)argument;
	space->lock_future = false;
	space->locked_bytes = 0;
	list_for_each(node, &space->mappings.order) list_entry(node, struct mapping, link)->locked =
	        false;
	return 0;
}
