/* ELF headers: a sound one, each rule broken in turn, and random damage. */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "core/elf.h"
#include "evloop/check.h"

#define LIMIT      0x4000000000ull
#define FILE_BYTES 0x20000

struct file {
	Elf64_Ehdr header;
	Elf64_Phdr program[6];
};

/* Like Debian's position-independent programs: R-X and RW, an interpreter, TLS. */
static struct file sound_file(void)
{
	struct file file = {
		.header = {
			.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			.e_type = ET_DYN,
			.e_machine = EM_RISCV,
			.e_version = EV_CURRENT,
			.e_entry = 0x1234,
			.e_phoff = sizeof(Elf64_Ehdr),
			.e_ehsize = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 6,
		},
		.program = {
			{ .p_type = PT_PHDR, .p_offset = 64, .p_vaddr = 64, .p_filesz = 336, .p_memsz = 336 },
			{ .p_type = PT_INTERP, .p_offset = 0x1f0, .p_filesz = 0x21 },
			{ .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = 0x8000, .p_memsz = 0x8000, .p_align = 0x1000 },
			{ .p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_offset = 0x8e00, .p_vaddr = 0x9e00,
			  .p_filesz = 0x800, .p_memsz = 0x5000, .p_align = 0x1000 },
			{ .p_type = PT_TLS, .p_offset = 0x8e00, .p_vaddr = 0x9e00, .p_memsz = 16 },
			{ .p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W },
		},
	};
	return file;
}

static int parse(const struct file *file, struct elf_image *out)
{
	size_t needed = 0;
	return elf_parse(out, file, sizeof *file, FILE_BYTES, LIMIT, &needed);
}

static void test_sound(void)
{
	struct file file = sound_file();
	struct elf_image image;
	CHECK_EQ(parse(&file, &image), 0);
	CHECK(image.position_independent && image.has_tls && !image.stack_executable);
	CHECK_EQ(image.entry, 0x1234);
	CHECK_EQ(image.headers_address, 64);
	CHECK_EQ(image.header_count, 6);
	CHECK_EQ(image.segment_count, 2);
	CHECK_EQ(image.low, 0);
	CHECK_EQ(image.high, 0xf000);
	CHECK_EQ(image.alignment, 0x1000);
	CHECK_EQ(image.interpreter_offset, 0x1f0);
	CHECK_EQ(image.interpreter_bytes, 0x21);
	CHECK_EQ(image.segments[1].address, 0x9e00);
	CHECK_EQ(image.segments[1].permission, ELF_READ | ELF_WRITE);
	file.header.e_type = ET_EXEC;
	file.program[5].p_flags |= PF_X;
	file.program[3].p_align = 0x10000;
	CHECK_EQ(parse(&file, &image), 0);
	CHECK(!image.position_independent && image.stack_executable);
	CHECK_EQ(image.alignment, 0x10000);
}

static void test_needs_more(void)
{
	struct file file = sound_file();
	struct elf_image image;
	size_t needed = 0;
	CHECK_EQ(elf_parse(&image, &file, 100, FILE_BYTES, LIMIT, &needed), -E2BIG);
	CHECK_EQ(needed, sizeof file);
	CHECK_EQ(elf_parse(&image, &file, 63, FILE_BYTES, LIMIT, &needed), -ENOEXEC);
	CHECK_EQ(elf_parse(&image, &file, 100, 100, LIMIT, &needed),
	         -ENOEXEC); /* the file itself ends there */
	file.header.e_phoff = 70000;
	CHECK_EQ(elf_parse(&image, &file, sizeof file, FILE_BYTES, LIMIT, &needed), -ENOEXEC);
}

/* Each line damages a sound file in one way that must be refused. */
#define REFUSED(damage)                                                                            \
	do {                                                                                       \
		struct file file = sound_file();                                                   \
		struct elf_image image;                                                            \
		damage;                                                                            \
		CHECK_EQ(parse(&file, &image), -ENOEXEC);                                          \
	} while (0)

static void test_refused(void)
{
	REFUSED(file.header.e_ident[0] = 0);
	REFUSED(file.header.e_ident[EI_CLASS] = ELFCLASS32);
	REFUSED(file.header.e_ident[EI_DATA] = ELFDATA2MSB);
	REFUSED(file.header.e_type = ET_REL);
	REFUSED(file.header.e_machine = EM_X86_64);
	REFUSED(file.header.e_version = 2);
	REFUSED(file.header.e_phentsize = 32);
	REFUSED(file.header.e_phnum = 0);
	REFUSED(file.header.e_phnum = 0xffff);
	REFUSED(file.header.e_phoff = UINT64_MAX - 10);
	REFUSED(file.header.e_entry = 0x1235);          /* odd */
	REFUSED(file.header.e_entry = 0x9e00);          /* not executable */
	REFUSED(file.header.e_entry = 0x80000);         /* nowhere */
	REFUSED(file.program[2].p_filesz = 0x9000);     /* more file than memory */
	REFUSED(file.program[3].p_offset = FILE_BYTES); /* beyond the file */
	REFUSED(file.program[3].p_offset = UINT64_MAX - 0x1ff);
	REFUSED(file.program[3].p_vaddr = 0x9e01); /* not congruent */
	REFUSED(file.program[3].p_vaddr = 0x7e00); /* overlaps */
	REFUSED(file.program[3].p_memsz = LIMIT);  /* beyond the limit */
	REFUSED(file.program[3].p_memsz = UINT64_MAX - 0x9000);
	REFUSED(file.program[3].p_vaddr = LIMIT - 0x200);
	REFUSED(file.program[3].p_align = 0x3000);
	REFUSED(file.program[3].p_align = 1ull << 40);
	REFUSED(file.program[1].p_filesz = 0);
	REFUSED(file.program[1].p_filesz = 5000);
	REFUSED(file.program[1].p_offset = FILE_BYTES);
	REFUSED(file.program[0] = file.program[1]); /* two interpreters */
	REFUSED(file.program[2].p_type = file.program[3].p_type = PT_NULL);
	REFUSED(file.program[2].p_memsz = file.program[2].p_filesz = 0); /* the code is empty */
}

/* Whatever is accepted keeps the header's promises. */
static void check_promises(const struct elf_image *image)
{
	CHECK(image->segment_count >= 1 && image->segment_count <= ELF_SEGMENTS_MAX);
	CHECK(image->low < image->high && image->high <= LIMIT);
	CHECK_EQ((image->low | image->high) & 0xfff, 0);
	uint64_t before = 0;
	for (unsigned i = 0; i < image->segment_count; i++) {
		const struct elf_segment *segment = &image->segments[i];
		CHECK(segment->file_bytes <= segment->memory_bytes && segment->memory_bytes != 0);
		CHECK(segment->offset <= FILE_BYTES &&
		      segment->file_bytes <= FILE_BYTES - segment->offset);
		CHECK_EQ((segment->address - segment->offset) & 0xfff, 0);
		CHECK((segment->address & ~0xfffull) >= before);
		before = (segment->address + segment->memory_bytes + 0xfff) & ~0xfffull;
		CHECK(before <= image->high);
	}
	CHECK(image->interpreter_bytes <= 4096);
}

static void test_random_damage(void)
{
	uint64_t seed = 1234567;
	unsigned accepted = 0;
	for (unsigned round = 0; round < 200000; round++) {
		struct file file = sound_file();
		for (unsigned i = 0; i <= round % 4; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			((uint8_t *)&file)[(seed >> 33) % sizeof file] = (uint8_t)(seed >> 24);
		}
		struct elf_image image;
		if (parse(&file, &image) == 0) {
			accepted++;
			check_promises(&image);
		}
	}
	CHECK(accepted > 1000);
}

int main(void)
{
	test_sound();
	test_needs_more();
	test_refused();
	test_random_damage();
	return 0;
}
