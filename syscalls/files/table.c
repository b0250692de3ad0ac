/* Descriptor tables: descriptors are indices into an array that grows by doubling, up to
 * RLIMIT_NOFILE. */
#include <errno.h>
#include <string.h>

#include "core/panic.h"
#include "syscalls/file.h"
#include "syscalls/files/locks.h"
#include "syscalls/process.h"
#include "syscalls/syscall.h"

#define WORD_BITS            64u
#define TABLE_FIRST_CAPACITY 64u /* a multiple of WORD_BITS */

/* ---- which descriptors are used: two levels of bitmaps, so that a search does not look at each
 * ---- */

static size_t map_words(uint32_t capacity)
{
	return capacity / WORD_BITS;
}

static size_t summary_words(uint32_t capacity)
{
	return (map_words(capacity) + WORD_BITS - 1) / WORD_BITS;
}

/* All bitmaps in one block: `used`, `close_on_exec`, `full`. */
static uint64_t *maps_create(uint32_t capacity)
{
	return heap_alloc_zeroed((2 * map_words(capacity) + summary_words(capacity)) *
	                         sizeof(uint64_t));
}

static void maps_use(struct file_table *table, uint64_t *maps, uint32_t capacity)
{
	table->used = maps;
	table->close_on_exec = maps + map_words(capacity);
	table->full = maps + 2 * map_words(capacity);
}

static void map_set(struct file_table *table, uint32_t descriptor)
{
	uint32_t word = descriptor / WORD_BITS;
	table->used[word] |= 1ull << descriptor % WORD_BITS;
	if (!~table->used[word])
		table->full[word / WORD_BITS] |= 1ull << word % WORD_BITS;
}

static void map_clear(struct file_table *table, uint32_t descriptor)
{
	uint32_t word = descriptor / WORD_BITS;
	table->used[word] &= ~(1ull << descriptor % WORD_BITS);
	table->full[word / WORD_BITS] &= ~(1ull << word % WORD_BITS);
}

/* The first clear bit from `from` on, below `bits` or not. */
static uint32_t first_clear(const uint64_t *words, uint32_t from, uint32_t bits)
{
	uint64_t clear = ~words[from / WORD_BITS] & ~0ull << from % WORD_BITS;
	uint32_t at = from & ~(WORD_BITS - 1);
	while (!clear && (at += WORD_BITS) < bits)
		clear = ~words[at / WORD_BITS];
	return clear ? at + (uint32_t)__builtin_ctzll(clear) : bits;
}

uint32_t file_table_free_slot(const struct file_table *table, uint32_t from)
{
	if (from >= table->capacity)
		return from;
	uint32_t word = from / WORD_BITS;
	uint64_t clear = ~table->used[word] & ~0ull << from % WORD_BITS;
	if (!clear) {
		if (++word >= map_words(table->capacity))
			return table->capacity;
		word = first_clear(table->full, word, (uint32_t)map_words(table->capacity));
		if (word >= map_words(table->capacity))
			return table->capacity;
		clear = ~table->used[word];
	}
	return word * WORD_BITS + (uint32_t)__builtin_ctzll(clear);
}

/* ---- tables ---- */

/* refs 1, all descriptors free. */
static struct file_table *table_create(uint32_t capacity)
{
	struct file_table *table = heap_alloc(sizeof(*table));
	struct file **files = heap_alloc_zeroed(capacity * sizeof(*files));
	uint64_t *maps = maps_create(capacity);
	if (!table || !files || !maps) {
		heap_free(table);
		heap_free(files);
		heap_free(maps);
		return NULL;
	}
	*table = (struct file_table){ .refs = 1, .capacity = capacity, .files = files };
	maps_use(table, maps, capacity);
	return table;
}

struct file_table *file_table_create(void)
{
	return table_create(TABLE_FIRST_CAPACITY);
}

struct file_table *file_table_copy(const struct file_table *from)
{
	struct file_table *table = table_create(from->capacity);
	if (!table)
		return NULL;
	memcpy(table->files, from->files, from->capacity * sizeof(*from->files));
	memcpy(table->close_on_exec, from->close_on_exec,
	       map_words(from->capacity) * sizeof(uint64_t));
	for (uint32_t i = 0; i < table->capacity; i++) {
		if (!table->files[i])
			continue;
		file_get(table->files[i]);
		map_set(table, i);
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
		if (table->files[i])
			table_drop(table, table->files[i]);
	}
	heap_free(table->files);
	heap_free(table->used);
	heap_free(table);
}

bool file_table_is_close_on_exec(const struct file_table *table, uint32_t descriptor)
{
	return table->close_on_exec[descriptor / WORD_BITS] >> descriptor % WORD_BITS & 1;
}

void file_table_set_close_on_exec(struct file_table *table, uint32_t descriptor, bool on)
{
	uint64_t bit = 1ull << descriptor % WORD_BITS;
	uint64_t *word = &table->close_on_exec[descriptor / WORD_BITS];
	*word = on ? *word | bit : *word & ~bit;
}

/* Takes the file out of the table; the caller puts it. */
static struct file *table_take(struct file_table *table, uint32_t descriptor)
{
	struct file *file = table->files[descriptor];
	table->files[descriptor] = NULL;
	map_clear(table, descriptor);
	return file;
}

void file_table_close_on_exec(struct file_table *table)
{
	for (uint32_t i = 0; i < table->capacity; i++) {
		if (table->files[i] && file_table_is_close_on_exec(table, i))
			table_drop(table, table_take(table, i));
	}
}

struct file *thread_file(struct thread *thread, uint64_t descriptor)
{
	const struct file_table *table = thread->process->files;
	return (uint32_t)descriptor < table->capacity ? table->files[(uint32_t)descriptor] : NULL;
}

static uint32_t descriptor_limit(const struct thread *thread)
{
	return (uint32_t)thread->process->limits[LIMIT_NOFILE].soft; /* <= OPEN_FILES_MAX */
}

/* Makes room for `descriptor`, which is below the limit. */
static int table_grow(struct file_table *table, uint32_t descriptor)
{
	uint32_t capacity = table->capacity;
	while (capacity <= descriptor)
		capacity *= 2;
	if (capacity == table->capacity)
		return 0;
	uint64_t *maps = maps_create(capacity);
	struct file **files = maps ? heap_reallocate(table->files, table->capacity * sizeof(*files),
	                                             capacity * sizeof(*files))
	                           : NULL;
	if (!files) {
		heap_free(maps);
		return -ENOMEM;
	}
	memset(files + table->capacity, 0, (capacity - table->capacity) * sizeof(*files));
	const struct file_table old = *table;
	maps_use(table, maps, capacity);
	memcpy(table->used, old.used, map_words(old.capacity) * sizeof(*maps));
	memcpy(table->close_on_exec, old.close_on_exec, map_words(old.capacity) * sizeof(*maps));
	memcpy(table->full, old.full, summary_words(old.capacity) * sizeof(*maps));
	heap_free(old.used);
	table->files = files;
	table->capacity = capacity;
	return 0;
}

static void table_put(struct file_table *table, uint32_t descriptor, struct file *file,
                      bool close_on_exec)
{
	table->files[descriptor] = file;
	file_table_set_close_on_exec(table, descriptor, close_on_exec);
	map_set(table, descriptor);
}

int file_install(struct thread *thread, struct file *file, int from, bool close_on_exec)
{
	struct file_table *table = thread->process->files;
	uint32_t descriptor = file_table_free_slot(table, (uint32_t)from);
	if (descriptor >= descriptor_limit(thread))
		return -EMFILE;
	if (descriptor >= table->capacity && table_grow(table, descriptor))
		return -ENOMEM;
	table_put(table, descriptor, file, close_on_exec);
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
		if (!table->files[i])
			continue;
		if (flags & CLOSE_RANGE_CLOEXEC)
			file_table_set_close_on_exec(table, i, true);
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
	if (table->files[target])
		file_close(thread, (int)target);
	table_put(table, target, file, argument[2] & O_CLOEXEC);
	return target;
}
