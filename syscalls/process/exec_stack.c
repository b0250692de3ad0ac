/* The first stack of a program (System V ABI, RISC-V psABI "Process initialization"; getauxval(3)).
 */
#include "syscalls/process/exec.h"

enum {
	AT_NULL,
	AT_PHDR = 3,
	AT_PHENT,
	AT_PHNUM,
	AT_PAGESZ,
	AT_BASE,
	AT_FLAGS,
	AT_ENTRY,
	AT_UID = 11,
	AT_EUID,
	AT_GID,
	AT_EGID,
	AT_HWCAP = 16,
	AT_CLKTCK,
	AT_SECURE = 23,
	AT_RANDOM = 25,
	AT_EXECFN = 31,
	AT_SYSINFO_EHDR = 33,
	AT_MINSIGSTKSZ = 51
};

#define AUXILIARY_MAX      24
#define CLOCK_TICKS        100
#define SIGNAL_FRAME_BYTES 1088

struct auxiliary {
	uint64_t entry[AUXILIARY_MAX][2];
	uint32_t count;
};

static void add(struct auxiliary *vector, uint64_t type, uint64_t value)
{
	KASSERT(vector->count < AUXILIARY_MAX);
	vector->entry[vector->count][0] = type;
	vector->entry[vector->count++][1] = value;
}

static void fill(struct auxiliary *vector, struct thread *thread,
                 const struct exec_program *program, uint64_t random_at, uint64_t path_at)
{
	const struct credentials *credentials = &thread->process->credentials;
	const struct exec_image *image = &program->main;
	if (program->vdso)
		add(vector, AT_SYSINFO_EHDR, program->vdso + VDSO_DATA_BYTES);
	add(vector, AT_MINSIGSTKSZ, SIGNAL_FRAME_BYTES);
	add(vector, AT_HWCAP, machine_hwcap);
	add(vector, AT_PAGESZ, PAGE_SIZE);
	add(vector, AT_CLKTCK, CLOCK_TICKS);
	add(vector, AT_PHDR,
	    image->elf.headers_address ? image->base + image->elf.headers_address : 0);
	add(vector, AT_PHENT, ELF_PROGRAM_HEADER_BYTES);
	add(vector, AT_PHNUM, image->elf.header_count);
	add(vector, AT_BASE,
	    program->interpreter.file ? program->interpreter.base + program->interpreter.elf.low
	                              : 0);
	add(vector, AT_FLAGS, 0);
	add(vector, AT_ENTRY, image->base + image->elf.entry);
	add(vector, AT_UID, credentials->uid);
	add(vector, AT_EUID, credentials->euid);
	add(vector, AT_GID, credentials->gid);
	add(vector, AT_EGID, credentials->egid);
	add(vector, AT_SECURE,
	    credentials->uid != credentials->euid || credentials->gid != credentials->egid);
	add(vector, AT_RANDOM, random_at);
	add(vector, AT_EXECFN, path_at);
	add(vector, AT_NULL, 0);
}

/* argc, argv, NULL, envp, NULL as they will lie in memory; `at` is where the strings begin. */
static uint64_t *list_strings(const struct exec_strings *strings, uint64_t at, size_t *words)
{
	*words = 1 + strings->arguments + 1 + strings->environment + 1;
	uint64_t *table = heap_alloc(*words * sizeof(*table)), *next = table;
	const char *text = strings->bytes;
	if (!table)
		return NULL;
	*next++ = strings->arguments;
	for (uint32_t i = 0; i < strings->arguments + strings->environment; i++) {
		if (i == strings->arguments)
			*next++ = 0;
		*next++ = at + (uint64_t)(text - strings->bytes);
		text += strlen(text) + 1;
	}
	if (!strings->environment)
		*next++ = 0;
	*next = 0;
	return table;
}

int exec_build_stack(struct thread *thread, struct exec_program *program)
{
	const struct exec_strings *strings = program->strings;
	uint8_t random[16];
	random_bytes(random, sizeof(random));
	size_t path_bytes = strlen(program->path) + 1;
	uint64_t path_at = program->stack_top - 16 - path_bytes;
	uint64_t strings_at = path_at - strings->used;
	uint64_t random_at = (strings_at - sizeof(random)) & ~15ull;
	struct auxiliary vector = { .count = 0 };
	fill(&vector, thread, program, random_at, path_at);
	size_t words, vector_bytes = vector.count * sizeof(vector.entry[0]);
	uint64_t *table = list_strings(strings, strings_at, &words);
	if (!table)
		return -ENOMEM;
	uint64_t sp = (random_at - words * 8 - vector_bytes) & ~15ull;
	bool failed = copy_to_user(user(path_at), program->path, path_bytes) ||
	              copy_to_user(user(strings_at), strings->bytes, strings->used) ||
	              copy_to_user(user(random_at), random, sizeof(random)) ||
	              copy_to_user(user(sp), table, words * 8) ||
	              copy_to_user(user(sp + words * 8), vector.entry, vector_bytes);
	heap_free(table);
	program->stack_pointer = sp;
	return failed ? -EFAULT : 0;
}
