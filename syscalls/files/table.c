/* Descriptor tables: descriptors are indices into an array that grows by doubling, up to
 * RLIMIT_NOFILE. */
#include <errno.h>
#include <string.h>

#include "core/panic.h"
#include "syscalls/file.h"
#include "syscalls/files/locks.h"
#include "syscalls/process.h"
#include "syscalls/syscall.h"

#define TABLE_FIRST_CAPACITY 64u
#define TABLE_MAX_CAPACITY   (1u << 18) /* 4 MiB of slots, the heap's largest block */

struct file_table *file_table_create(void)
{
	struct file_table *table = heap_alloc_zeroed(sizeof(*table));
	if (!table)
		return NULL;
	table->slots = heap_alloc_zeroed(TABLE_FIRST_CAPACITY * sizeof(struct file_slot));
	if (!table->slots) {
		heap_free(table);
		return NULL;
	}
	table->refs = 1;
	table->capacity = TABLE_FIRST_CAPACITY;
	return table;
}

struct file_table *file_table_copy(const struct file_table *from)
{
	struct file_table *table = heap_alloc(sizeof(*table));
	if (!table)
		return NULL;
	*table = *from;
	table->refs = 1;
	table->slots = heap_alloc(from->capacity * sizeof(struct file_slot));
	if (!table->slots) {
		heap_free(table);
		return NULL;
	}
	memcpy(table->slots, from->slots, from->capacity * sizeof(struct file_slot));
	for (uint32_t i = 0; i < table->capacity; i++) {
		if (table->slots[i].file)
			file_get(table->slots[i].file);
	}
	return table;
}

/* A descriptor of the file is closed: POSIX drops the owner's record locks on it. */
static void table_drop(struct file_table *table, struct file *file)
{
	if (file->node)
		locks_release(file->node, table);
	file_put(file);
}

void file_table_put(struct file_table *table)
{
	KASSERT(table->refs > 0);
	if (--table->refs)
		return;
	for (uint32_t i = 0; i < table->capacity; i++) {
		if (table->slots[i].file)
			table_drop(table, table->slots[i].file);
	}
	heap_free(table->slots);
	heap_free(table);
}

/* Takes the file out of its slot; the caller puts it. */
static struct file *table_take(struct file_table *table, uint32_t descriptor)
{
	struct file *file = table->slots[descriptor].file;
	table->slots[descriptor].file = NULL;
	table->slots[descriptor].close_on_exec = false;
	if (descriptor < table->lowest_free)
		table->lowest_free = descriptor;
	return file;
}

void file_table_close_on_exec(struct file_table *table)
{
	for (uint32_t i = 0; i < table->capacity; i++) {
		if (table->slots[i].file && table->slots[i].close_on_exec)
			table_drop(table, table_take(table, i));
	}
}

struct file *thread_file(struct thread *thread, uint64_t descriptor)
{
	const struct file_table *table = thread->process->files;
	return (uint32_t)descriptor < table->capacity ? table->slots[(uint32_t)descriptor].file
	                                              : NULL;
}

static uint32_t descriptor_limit(const struct thread *thread)
{
	uint64_t limit = thread->process->limits[LIMIT_NOFILE].soft;
	return limit < TABLE_MAX_CAPACITY ? (uint32_t)limit : TABLE_MAX_CAPACITY;
}

/* Makes room for `descriptor`, which is below the limit. */
static int table_grow(struct file_table *table, uint32_t descriptor)
{
	uint32_t capacity = table->capacity;
	while (capacity <= descriptor)
		capacity *= 2;
	if (capacity == table->capacity)
		return 0;
	struct file_slot *slots =
	        heap_reallocate(table->slots, table->capacity * sizeof(struct file_slot),
	                        capacity * sizeof(struct file_slot));
	if (!slots)
		return -ENOMEM;
	memset(slots + table->capacity, 0, (capacity - table->capacity) * sizeof(struct file_slot));
	table->slots = slots;
	table->capacity = capacity;
	return 0;
}

int file_install(struct thread *thread, struct file *file, int from, bool close_on_exec)
{
	struct file_table *table = thread->process->files;
	uint32_t limit = descriptor_limit(thread), descriptor = (uint32_t)from;
	bool from_lowest = descriptor <= table->lowest_free;
	if (from_lowest)
		descriptor = table->lowest_free;
	while (descriptor < table->capacity && table->slots[descriptor].file)
		descriptor++;
	if (descriptor >= limit)
		return -EMFILE;
	if (table_grow(table, descriptor))
		return -ENOMEM;
	table->slots[descriptor] = (struct file_slot){ file, close_on_exec };
	if (from_lowest)
		table->lowest_free = descriptor + 1;
	return (int)descriptor;
}

int file_close(struct thread *thread, int descriptor)
{
	struct file_table *table = thread->process->files;
	if (!file_table_lookup(table, descriptor))
		return -EBADF;
	struct file *file = table_take(table, (uint32_t)descriptor);
	table_drop(table, file);
	return 0;
}

long sys_close(struct thread *thread, const uint64_t *argument)
{
	struct file *file = file_table_lookup(thread->process->files, (int)argument[0]);
	if (!file || file->refs > 1 || !file->operations->closing)
		return file_close(thread, (int)argument[0]);
	file_get(file);
	file_close(thread, (int)argument[0]);
	return file->operations->closing(thread, file);
}

#define CLOSE_RANGE_UNSHARE 2u
#define CLOSE_RANGE_CLOEXEC 4u

long sys_close_range(struct thread *thread, const uint64_t *argument)
{
	uint32_t first = (uint32_t)argument[0], last = (uint32_t)argument[1];
	uint32_t flags = (uint32_t)argument[2];
	if (flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) || first > last)
		return -EINVAL;
	struct file_table *table = thread->process->files;
	if (flags & CLOSE_RANGE_UNSHARE && table->refs > 1) {
		struct file_table *own = file_table_copy(table);
		if (!own)
			return -ENOMEM;
		thread->process->files = own;
		file_table_put(table);
		table = own;
	}
	for (uint32_t i = first; i < table->capacity && i <= last; i++) {
		if (!table->slots[i].file)
			continue;
		if (flags & CLOSE_RANGE_CLOEXEC)
			table->slots[i].close_on_exec = true;
		else
			file_close(thread, (int)i);
	}
	return 0;
}

long sys_dup(struct thread *thread, const uint64_t *argument)
{
	struct file *file = thread_file(thread, argument[0]);
	if (!file)
		return -EBADF;
	int descriptor = file_install(thread, file, 0, false);
	if (descriptor >= 0)
		file_get(file);
	return descriptor;
}

long sys_dup3(struct thread *thread, const uint64_t *argument)
{
	uint32_t target = (uint32_t)argument[1];
	if (argument[2] & ~(uint64_t)O_CLOEXEC || (uint32_t)argument[0] == target)
		return -EINVAL;
	if (target >= descriptor_limit(thread))
		return -EBADF;
	struct file *file = thread_file(thread, argument[0]);
	if (!file)
		return -EBADF;
	struct file_table *table = thread->process->files;
	if (table_grow(table, target))
		return -ENOMEM;
	file_get(file);
	if (table->slots[target].file)
		file_close(thread, (int)target);
	table->slots[target] = (struct file_slot){ file, argument[2] & O_CLOEXEC };
	return target;
}
