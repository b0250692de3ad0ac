/*
 * ELF files of 64-bit little-endian RISC-V programs (System V ABI, RISC-V psABI). Reads what a
 * loader needs and checks it: whatever elf_parse accepts can be mapped segment by segment without
 * further doubt about overflow or order. Pure: host-tested.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_SEGMENTS_MAX         16
#define ELF_HEADER_BYTES         64
#define ELF_PROGRAM_HEADER_BYTES 56

enum elf_permission { ELF_EXECUTE = 1, ELF_WRITE = 2, ELF_READ = 4 }; /* p_flags */

/* PT_LOAD. Address and offset are congruent modulo the page size; file_bytes <= memory_bytes; the
 * file's part lies within the file. */
struct elf_segment {
	uint64_t offset, file_bytes;
	uint64_t address, memory_bytes;
	uint64_t alignment; /* a power of two, at least the page size, at most 1 GiB */
	uint32_t permission;
};

struct elf_image {
	bool position_independent; /* ET_DYN: addresses are relative to a base of the loader's
	                              choice */
	uint64_t entry;
	uint64_t headers_address; /* of the program headers once loaded (AT_PHDR); 0: no segment
	                             holds them */
	uint16_t header_count;
	uint16_t segment_count;
	struct elf_segment segments[ELF_SEGMENTS_MAX]; /* ascending addresses, pages of different
	                                                  segments may touch but not cross */
	uint64_t low, high; /* page-aligned bounds of all segments; high is exclusive */
	uint64_t alignment; /* largest of the segments' */
	uint64_t interpreter_offset,
	        interpreter_bytes; /* PT_INTERP: path with its NUL; bytes 0 when there is none */
	bool has_tls;
	bool stack_executable; /* PT_GNU_STACK with PF_X */
};

/*
 * `head` holds the first head_bytes of a file of file_bytes. Addresses must lie below
 * address_limit. -ENOEXEC  not an ELF file of this kind, or unsound -E2BIG    sound so far, but the
 * program headers reach beyond head: *needed bytes are wanted (at most 64 KiB)
 */
int elf_parse(struct elf_image *out, const void *head, size_t head_bytes, uint64_t file_bytes,
              uint64_t address_limit, size_t *needed);
