/*
 * Programs with absurd headers: fuzz_exec SEED FILES. Takes its own executable, spoils the ELF
 * header or a program header, and executes the result in a child. The child may run, fail to start
 * or die of a signal; the kernel must stay sound, which the parent checks: memory is given back and
 * the unspoiled file still runs. Named cases come first, random ones after.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>

#include "guests/programs/test_check.h"

#define SPOILED      "/tmp/spoiled"
#define RAN          42
#define NOT_EXECUTED 43 /* + errno */

static char *image, *copy;
static size_t image_bytes;

static Elf64_Ehdr *header(void)
{
	return (Elf64_Ehdr *)copy;
}

/* The nth program header of a type in the copy. */
static Elf64_Phdr *segment(uint32_t type, int nth)
{
	Elf64_Phdr *segments = (Elf64_Phdr *)(copy + ((Elf64_Ehdr *)image)->e_phoff);

	for (int i = 0; i < ((Elf64_Ehdr *)image)->e_phnum; i++)
		if (segments[i].p_type == type && nth-- == 0)
			return &segments[i];
	printf("no segment of type %u\n", type);
	exit(1);
}

static void write_file(size_t length)
{
	unlink(SPOILED);
	int fd = open(SPOILED, O_WRONLY | O_CREAT, 0755);

	EQ(write(fd, copy, length), length);
	close(fd);
}

/* The exit status of SPOILED, 128 + signal, or NOT_EXECUTED + errno. */
static int execute(void)
{
	pid_t child = fork();

	if (child == 0) {
		char *arguments[] = { SPOILED, "ran", NULL }, *none[] = { NULL };
		int silent = open("/dev/null", O_RDWR);

		alarm(2);
		dup2(silent, 1);
		dup2(silent, 2);
		execve(SPOILED, arguments, none);
		_exit(NOT_EXECUTED + errno);
	}
	int status = -1;
	EQ(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void fresh(void)
{
	memcpy(copy, image, image_bytes);
}

/* Each sets one thing; what is expected is what Linux 6.12 does. */
static void named_cases(void)
{
	static const size_t lengths[] = { 0, 1, 4, 16, 63 };

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		fresh();
		write_file(lengths[i]);
		EQ(execute(), NOT_EXECUTED + ENOEXEC);
	}
	fresh(), write_file(image_bytes);
	EQ(execute(), RAN);
	fresh(), header()->e_machine = EM_X86_64, write_file(image_bytes);
	EQ(execute(), NOT_EXECUTED + ENOEXEC);
	fresh(), header()->e_phnum = 0, write_file(image_bytes);
	EQ(execute(), NOT_EXECUTED + ENOEXEC);
	fresh(), header()->e_phentsize = 8, write_file(image_bytes);
	EQ(execute(), NOT_EXECUTED + ENOEXEC);
	fresh(), header()->e_type = ET_REL, write_file(image_bytes);
	EQ(execute(), NOT_EXECUTED + ENOEXEC);
	fresh(), header()->e_entry = 0, write_file(image_bytes);
	EQ(execute() != RAN, 1);
	fresh(), header()->e_entry = UINT64_MAX - 1, write_file(image_bytes);
	EQ(execute() != RAN, 1);
}

/* Cases in which Linux's answer (a kill or an errno) does not matter, but the program must not run.
 */
static void refused_cases(void)
{
	fresh(), header()->e_phoff = UINT64_MAX - 8, write_file(image_bytes);
	EQ(execute() != RAN, 1);
	fresh(), header()->e_phnum = UINT16_MAX, write_file(image_bytes);
	EQ(execute() != RAN, 1);
	fresh(), segment(PT_LOAD, 0)->p_memsz = UINT64_MAX - 4096, write_file(image_bytes);
	EQ(execute() != RAN, 1);
	fresh(), segment(PT_LOAD, 1)->p_memsz = 1ull << 38, write_file(image_bytes);
	EQ(execute() != RAN, 1);
	fresh(), segment(PT_LOAD, 1)->p_vaddr = 0xffffffff80000000, write_file(image_bytes);
	EQ(execute() != RAN, 1);
	fresh(), segment(PT_LOAD, 1)->p_offset = UINT64_MAX - 4095, write_file(image_bytes);
	EQ(execute() != RAN, 1);
	fresh(), segment(PT_LOAD, 1)->p_filesz = 1ull << 40, write_file(image_bytes);
	EQ(execute() != RAN, 1);
	fresh(), segment(PT_LOAD, 1)->p_memsz = segment(PT_LOAD, 1)->p_filesz - 1;
	write_file(image_bytes);
	EQ(execute() != RAN, 1);
	fresh(), segment(PT_LOAD, 0)->p_filesz = 1ull << 62;
	segment(PT_LOAD, 0)->p_memsz = 1ull << 62, write_file(image_bytes);
	EQ(execute() != RAN, 1);
	fresh(), write_file(4096);
	EQ(execute() != RAN, 1);
	fresh(), write_file(sizeof(Elf64_Ehdr));
	EQ(execute() != RAN, 1);
}

/* PT_NOTE becomes PT_INTERP with a path of the test's choice. */
static void interpreter(const char *path, size_t length, int expected)
{
	fresh();
	Elf64_Phdr *note = segment(PT_NOTE, 0);
	size_t room = image_bytes - 4096;

	memcpy(copy + room, path, length);
	note->p_type = PT_INTERP;
	note->p_offset = room;
	note->p_filesz = note->p_memsz = length;
	write_file(image_bytes);
	EQ(execute(), expected);
}

static void interpreter_cases(void)
{
	char *endless = calloc(1, 8192);

	interpreter("/no/such/loader", sizeof("/no/such/loader"), NOT_EXECUTED + ENOENT);
	interpreter("/tmp", sizeof("/tmp"), NOT_EXECUTED + EACCES);
	interpreter("not terminated", 14, NOT_EXECUTED + ENOEXEC);
	interpreter("", 1, NOT_EXECUTED + ENOEXEC);
	interpreter(endless, 4096 + 1, NOT_EXECUTED + ENOEXEC);
	free(endless);
}

static void random_cases(unsigned seed, int files)
{
	srandom(seed);
	for (int i = 0; i < files; i++) {
		fresh();
		size_t headers =
		        sizeof(Elf64_Ehdr) + ((Elf64_Ehdr *)image)->e_phnum * sizeof(Elf64_Phdr);
		int changes = 1 + (int)(random() % 6);

		while (changes-- > 0) {
			size_t word = (size_t)random() % (headers / 8) * 8;
			uint64_t value = random() % 3
			                         ? 1ull << random() % 64
			                         : (uint64_t)random() << 32 | (uint64_t)random();

			if (random() % 2)
				*(uint64_t *)(copy + word) ^= value;
			else
				copy[word + (size_t)random() % 8] = (char)random();
		}
		write_file(random() % 8 ? image_bytes : (size_t)random() % image_bytes);
		execute();
	}
}

static void read_image(void)
{
	struct stat status;
	int fd = open("/proc/self/exe", O_RDONLY);

	EQ(fstat(fd, &status), 0);
	image_bytes = (size_t)status.st_size;
	image = malloc(image_bytes);
	copy = malloc(image_bytes);
	EQ(read(fd, image, image_bytes), image_bytes);
	close(fd);
}

static unsigned long free_memory(void)
{
	struct sysinfo information;

	unlink(SPOILED);
	sysinfo(&information);
	return information.freeram;
}

int main(int count, char **arguments)
{
	if (count == 2 && strcmp(arguments[1], "ran") == 0)
		return RAN;
	begin();
	alarm(0);
	unsigned seed = count > 1 ? (unsigned)atoi(arguments[1]) : 1;
	int files = count > 2 ? atoi(arguments[2]) : 300;

	read_image();
	named_cases();
	unsigned long before = free_memory();
	refused_cases();
	interpreter_cases();
	random_cases(seed, files);
	fresh(), write_file(image_bytes);
	EQ(execute(), RAN);
	unsigned long after = free_memory();
	EQ(after + (1 << 20) >= before, 1);
	return end("fuzz_exec");
}
