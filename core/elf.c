#include "core/elf.h"

#include <errno.h>
#include <string.h>

#include "core/address.h"

#define TYPE_EXECUTABLE     2
#define TYPE_SHARED         3
#define MACHINE_RISCV       243
#define SEGMENT_LOAD        1
#define SEGMENT_INTERPRETER 3
#define SEGMENT_TLS         7
#define SEGMENT_GNU_STACK   0x6474e551

#define INTERPRETER_MAX     4096
#define ALIGNMENT_MAX       (1ull << 30)
#define HEADERS_MAX         (65536 / ELF_PROGRAM_HEADER_BYTES)

struct file_header {
	uint8_t identification[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, program_headers, section_headers;
	uint32_t flags;
	uint16_t header_bytes, program_header_bytes, program_header_count;
	uint16_t section_header_bytes, section_header_count, section_names;
};

struct program_header {
	uint32_t type, flags;
	uint64_t offset, virtual_address, physical_address, file_bytes, memory_bytes, alignment;
};

_Static_assert(sizeof(struct file_header) == ELF_HEADER_BYTES, "ELF-64 object file format");
_Static_assert(sizeof(struct program_header) == ELF_PROGRAM_HEADER_BYTES,
               "ELF-64 object file format");

static bool header_is_ours(const struct file_header *header)
{
	static const uint8_t expected[7] = {
		0x7f, 'E', 'L', 'F', 2 /* 64-bit */, 1 /* little-endian */, 1
	};
	return memcmp(header->identification, expected, sizeof expected) == 0 &&
	       (header->type == TYPE_EXECUTABLE || header->type == TYPE_SHARED) &&
	       header->machine == MACHINE_RISCV && header->version == 1 &&
	       header->program_header_bytes == ELF_PROGRAM_HEADER_BYTES &&
	       header->program_header_count != 0 && header->program_header_count <= HEADERS_MAX;
}

static bool lies_within(uint64_t offset, uint64_t bytes, uint64_t limit)
{
	return offset <= limit && bytes <= limit - offset;
}

static bool add_segment(struct elf_image *out, const struct program_header *header,
                        uint64_t file_bytes, uint64_t address_limit)
{
	uint64_t alignment = header->alignment > PAGE_SIZE ? header->alignment : PAGE_SIZE;
	if (header->memory_bytes == 0)
		return true;
	if (out->segment_count == ELF_SEGMENTS_MAX || (alignment & (alignment - 1)) ||
	    alignment > ALIGNMENT_MAX || header->file_bytes > header->memory_bytes ||
	    !lies_within(header->offset, header->file_bytes, file_bytes) ||
	    !lies_within(header->virtual_address, header->memory_bytes,
	                 address_limit & ~PAGE_MASK) ||
	    ((header->virtual_address - header->offset) & PAGE_MASK))
		return false;
	uint64_t start = header->virtual_address & ~PAGE_MASK;
	if (out->segment_count && start < out->high)
		return false;
	if (out->segment_count == 0)
		out->low = start;
	out->high = (header->virtual_address + header->memory_bytes + PAGE_MASK) & ~PAGE_MASK;
	if (alignment > out->alignment)
		out->alignment = alignment;
	out->segments[out->segment_count++] = (struct elf_segment){
		.offset = header->offset,
		.file_bytes = header->file_bytes,
		.address = header->virtual_address,
		.memory_bytes = header->memory_bytes,
		.alignment = alignment,
		.permission = header->flags & (ELF_READ | ELF_WRITE | ELF_EXECUTE),
	};
	return true;
}

static bool add_interpreter(struct elf_image *out, const struct program_header *header,
                            uint64_t file_bytes)
{
	if (header->file_bytes < 2 || header->file_bytes > INTERPRETER_MAX ||
	    out->interpreter_bytes || !lies_within(header->offset, header->file_bytes, file_bytes))
		return false;
	out->interpreter_offset = header->offset;
	out->interpreter_bytes = header->file_bytes;
	return true;
}

/* Where the segment that holds the whole header table puts it. */
static uint64_t find_headers(const struct elf_image *image, uint64_t offset, uint64_t bytes)
{
	for (unsigned i = 0; i < image->segment_count; i++) {
		const struct elf_segment *segment = &image->segments[i];
		if (offset >= segment->offset &&
		    lies_within(offset - segment->offset, bytes, segment->file_bytes))
			return segment->address + (offset - segment->offset);
	}
	return 0;
}

static bool entry_is_sound(const struct elf_image *image)
{
	for (unsigned i = 0; i < image->segment_count; i++) {
		const struct elf_segment *segment = &image->segments[i];
		if ((segment->permission & ELF_EXECUTE) && image->entry >= segment->address &&
		    image->entry - segment->address < segment->memory_bytes)
			return image->entry % 2 == 0;
	}
	return false;
}

int elf_parse(struct elf_image *out, const void *head, size_t head_bytes, uint64_t file_bytes,
              uint64_t address_limit, size_t *needed)
{
	struct file_header header;
	if (head_bytes < sizeof header || file_bytes < head_bytes)
		return -ENOEXEC;
	memcpy(&header, head, sizeof header);
	uint64_t table_bytes = (uint64_t)header.program_header_count * ELF_PROGRAM_HEADER_BYTES;
	if (!header_is_ours(&header) ||
	    !lies_within(header.program_headers, table_bytes, file_bytes) ||
	    header.program_headers + table_bytes > 65536)
		return -ENOEXEC;
	if (!lies_within(header.program_headers, table_bytes, head_bytes)) {
		*needed = (size_t)(header.program_headers + table_bytes);
		return -E2BIG;
	}
	*out = (struct elf_image){
		.position_independent = header.type == TYPE_SHARED,
		.entry = header.entry,
		.header_count = header.program_header_count,
		.alignment = PAGE_SIZE,
	};
	const uint8_t *at = (const uint8_t *)head + header.program_headers;
	for (unsigned i = 0; i < header.program_header_count; i++, at += ELF_PROGRAM_HEADER_BYTES) {
		struct program_header program;
		memcpy(&program, at, sizeof program);
		bool sound = true;
		if (program.type == SEGMENT_LOAD)
			sound = add_segment(out, &program, file_bytes, address_limit);
		else if (program.type == SEGMENT_INTERPRETER)
			sound = add_interpreter(out, &program, file_bytes);
		else if (program.type == SEGMENT_TLS)
			out->has_tls = true;
		else if (program.type == SEGMENT_GNU_STACK)
			out->stack_executable = program.flags & ELF_EXECUTE;
		if (!sound)
			return -ENOEXEC;
	}
	if (out->segment_count == 0 || !entry_is_sound(out))
		return -ENOEXEC;
	out->headers_address = find_headers(out, header.program_headers, table_bytes);
	return 0;
}
