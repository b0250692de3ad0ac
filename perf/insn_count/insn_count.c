/*
 * A QEMU TCG plugin that counts retired guest instructions by the address range of the code.
 *
 *     -plugin insn_count.so,socket=PATH[,map=FILE]
 *
 * Without a map the ranges are the classes user, kernel and firmware. A map adds ranges by name,
 * one per line, "START END NAME" in hexadecimal, sorted, not overlapping, taken before the classes:
 * so a list of kernel functions makes a profile. Every line that is written to the UNIX socket is
 * answered with one line of JSON: {"user": N, "kernel": N, ...} (ranges that count 0 are left out),
 * the sum over all harts since the start. The caller subtracts two answers.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "perf/insn_count/qemu_plugin.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;
QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                           char **argv);

/* Code below Linux's and Hartloop's upper half is user code, but for the physical addresses at
 * which firmware runs, and kernels before they switch the MMU on. */
#define UPPER_HALF       0xffffffc000000000ull
#define FIRMWARE_START   0x80000000ull
#define FIRMWARE_END     0x80200000ull
#define EARLY_KERNEL_END 0xc0000000ull

enum { CLASS_USER, CLASS_KERNEL, CLASS_FIRMWARE, CLASSES };
static const char *const class_names[CLASSES] = { "user", "kernel", "firmware" };

struct range {
	uint64_t start, end;
	char *name;
};

static struct range *ranges;
static size_t range_count;
static struct qemu_plugin_scoreboard *counts; /* CLASSES counters, then one per range */
static int listener = -1;

static size_t bucket_of(uint64_t address)
{
	size_t low = 0, high = range_count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (address >= ranges[middle].end)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < range_count && address >= ranges[low].start)
		return CLASSES + low;
	if (address >= UPPER_HALF)
		return CLASS_KERNEL;
	if (address >= FIRMWARE_START && address < FIRMWARE_END)
		return CLASS_FIRMWARE;
	if (address >= FIRMWARE_END && address < EARLY_KERNEL_END)
		return CLASS_KERNEL;
	return CLASS_USER;
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	size_t n = qemu_plugin_tb_n_insns(tb);
	for (size_t i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		qemu_plugin_u64 entry = {
			.score = counts,
			.offset = bucket_of(qemu_plugin_insn_vaddr(insn)) * sizeof(uint64_t),
		};
		qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
		        insn, QEMU_PLUGIN_INLINE_ADD_U64, entry, 1);
	}
}

static void answer(FILE *client)
{
	const char *separator = "";
	fputc('{', client);
	for (size_t i = 0; i < CLASSES + range_count; i++) {
		uint64_t sum = qemu_plugin_u64_sum(
		        (qemu_plugin_u64){ .score = counts, .offset = i * sizeof(uint64_t) });
		if (!sum && i >= CLASSES)
			continue;
		fprintf(client, "%s\"%s\": %llu", separator,
		        i < CLASSES ? class_names[i] : ranges[i - CLASSES].name,
		        (unsigned long long)sum);
		separator = ", ";
	}
	fputs("}\n", client);
	fflush(client);
}

static void *serve(void *unused)
{
	(void)unused;
	for (;;) {
		int descriptor = accept(listener, NULL, NULL);
		if (descriptor < 0)
			return NULL;
		FILE *client = fdopen(descriptor, "r+");
		char line[64];
		while (client && fgets(line, sizeof line, client)) {
			fseek(client, 0, SEEK_CUR);
			answer(client);
		}
		if (client)
			fclose(client);
		else
			close(descriptor);
	}
}

static int load_map(const char *path)
{
	FILE *file = fopen(path, "r");
	if (!file) {
		fprintf(stderr, "insn_count: %s: %s\n", path, strerror(errno));
		return -1;
	}
	char line[512], name[400];
	size_t room = 0;
	while (fgets(line, sizeof line, file)) {
		unsigned long long start, end;
		if (sscanf(line, "%llx %llx %399s", &start, &end, name) != 3 || end <= start ||
		    (range_count && start < ranges[range_count - 1].end)) {
			fprintf(stderr, "insn_count: %s: bad or unsorted line: %s", path, line);
			fclose(file);
			return -1;
		}
		if (range_count == room) {
			room = room ? room * 2 : 256;
			ranges = realloc(ranges, room * sizeof *ranges);
			if (!ranges) {
				fclose(file);
				return -1;
			}
		}
		ranges[range_count++] = (struct range){ start, end, strdup(name) };
	}
	fclose(file);
	return 0;
}

static int open_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof address.sun_path) {
		fprintf(stderr, "insn_count: socket path too long: %s\n", path);
		return -1;
	}
	strcpy(address.sun_path, path);
	unlink(path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) ||
	    listen(listener, 4)) {
		fprintf(stderr, "insn_count: %s: %s\n", path, strerror(errno));
		return -1;
	}
	return 0;
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	const char *path = NULL;
	(void)info;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "socket=", 7)) {
			path = argv[i] + 7;
		} else if (!strncmp(argv[i], "map=", 4)) {
			if (load_map(argv[i] + 4))
				return -1;
		} else {
			fprintf(stderr, "insn_count: unknown option %s (socket=PATH, map=FILE)\n",
			        argv[i]);
			return -1;
		}
	}
	if (!path || open_socket(path)) {
		fprintf(stderr, "insn_count: socket=PATH is required\n");
		return -1;
	}
	counts = qemu_plugin_scoreboard_new((CLASSES + range_count) * sizeof(uint64_t));
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	pthread_t thread;
	return pthread_create(&thread, NULL, serve, NULL) ? -1 : 0;
}
