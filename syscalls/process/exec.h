/* What exec.c and exec_stack.c share: a program being loaded into a new address space. */
#pragma once

#include "core/elf.h"
#include "syscalls/process/internal.h"

struct exec_image {
	struct file *file;
	struct elf_image elf;
	uint64_t base; /* added to the file's addresses */
};

struct exec_program {
	struct exec_image main, interpreter; /* interpreter.file NULL: none */
	struct exec_strings *strings;
	const char *path; /* AT_EXECFN */
	uint64_t stack_top, stack_pointer, vdso;
};

/* Strings, vectors and the auxiliary vector onto the new stack; the new address space is active.
 * -EFAULT, -E2BIG, -ENOMEM. */
int exec_build_stack(struct thread *thread, struct exec_program *program);
