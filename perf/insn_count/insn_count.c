/*
 * A QEMU TCG plugin that counts a riscv64 guest's instructions by the address of the code.
 *
 *     -plugin insn_count.so,socket=PATH[,map=FILE][,events=on][,stacks=on|boot]
 *
 * Every line that is written to the UNIX socket is answered with one line of JSON: {"user": N,
 * "kernel": N, "firmware": N}, the sum over all harts since the start. Nothing is ever set back:
 * the caller subtracts two answers. There may be many callers.
 *
 * map=FILE adds ranges by name, one per line, "START END NAME" in hexadecimal, sorted, not
 * overlapping. They are taken before the classes; those that counted nothing are left out.
 *
 * events=on adds "kicks" and "interrupts" (events.h).
 *
 * stacks=on makes the request "stacks" answer with the call stacks that the kernel ran under since
 * the first such request, too (stacks.h); stacks=boot: since the machine was started.
 *     "segments": [[address, instructions], ...]          runs of instructions
 *     "harts": [{"nodes": [[parent, site], ...],          node 0 is the root
 *                "cells": [[node, segment, N], ...]}]     N instructions of the segment ran there
 *     "refused": N                                        frames and cells that found no room
 * A site is the address of a call, or, below 4096, TRAP_SITE of what entered the kernel.
 *
 * What is counted is every instruction whose execution began. Those that trapped are among them
 * (ecall, and a load that faults: once more when it is repeated); all others retired. A block of
 * code is cut into segments behind each instruction that may trap, so one addition at a segment's
 * start is exact, also when the block is left early. Readings may lag by the segment that runs.
 * With several harts, an atomic instruction that QEMU must repeat while all others wait counts
 * twice.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "perf/insn_count/decode.h"
#include "perf/insn_count/events.h"
#include "perf/insn_count/qemu_plugin.h"
#include "perf/insn_count/registers.h"
#include "perf/insn_count/server.h"
#include "perf/insn_count/stacks.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;
QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                           char **argv);

/* Code below Linux's and Hartloop's upper half is user code, but for the physical addresses at
 * which firmware runs, its reset vector, and kernels before they switch the MMU on. */
#define UPPER_HALF       (1ull << 63)
#define RESET_ROM_END    0x10000ull
#define FIRMWARE_START   0x80000000ull
#define FIRMWARE_END     0x80200000ull
#define EARLY_KERNEL_END 0xc0000000ull

#define RANGES_MAX       (1u << 20)

enum { CLASS_USER, CLASS_KERNEL, CLASS_FIRMWARE, CLASSES };
static const char *const class_names[CLASSES] = { "user", "kernel", "firmware" };

struct range {
	uint64_t start, end;
	char *name;
};

static struct {
	const char *socket, *map;
	bool events, stacks, stacks_from_boot;
} options;

static struct range *ranges;
static size_t range_count;
static struct qemu_plugin_scoreboard *counts; /* CLASSES counters, EVENTS, then one per range */
static pthread_mutex_t translation = PTHREAD_MUTEX_INITIALIZER;

static qemu_plugin_u64 counter(size_t number)
{
	return (qemu_plugin_u64){ .score = counts, .offset = number * sizeof(uint64_t) };
}

static unsigned class_of(uint64_t address)
{
	if (address >= UPPER_HALF)
		return CLASS_KERNEL;
	if (address < RESET_ROM_END || (address >= FIRMWARE_START && address < FIRMWARE_END))
		return CLASS_FIRMWARE;
	if (address >= FIRMWARE_END && address < EARLY_KERNEL_END)
		return CLASS_KERNEL;
	return CLASS_USER;
}

/* The number of the counter for code at this address. */
static size_t counter_of(uint64_t address)
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
		return CLASSES + EVENTS + low;
	return class_of(address);
}

struct decoded {
	struct qemu_plugin_insn *insn;
	uint64_t address;
	uint32_t code;
};

static struct decoded decode(const struct qemu_plugin_tb *tb, size_t index)
{
	struct decoded result = { .insn = qemu_plugin_tb_get_insn(tb, index) };
	result.address = qemu_plugin_insn_vaddr(result.insn);
	qemu_plugin_insn_data(result.insn, &result.code, sizeof result.code);
	if (riscv_is_compressed(result.code))
		result.code &= 0xffff;
	return result;
}

static void instrument_stacks(const struct decoded *first, const struct decoded *last, uint32_t n,
                              bool entered)
{
	uint64_t after = last->address + (riscv_is_compressed(last->code) ? 2 : 4);
	pthread_mutex_lock(&translation);
	struct segment *segment = stacks_segment(first->address, last->address, after, n);
	pthread_mutex_unlock(&translation);
	if (!segment)
		return;
	if (entered)
		qemu_plugin_register_vcpu_insn_exec_cb(first->insn, stacks_segment_entered,
		                                       QEMU_PLUGIN_CB_R_REGS, segment);
	else
		qemu_plugin_register_vcpu_insn_exec_cb(first->insn, stacks_segment_run,
		                                       QEMU_PLUGIN_CB_NO_REGS, segment);
	if (riscv_is_call(last->code))
		qemu_plugin_register_vcpu_insn_exec_cb(last->insn, stacks_call,
		                                       QEMU_PLUGIN_CB_NO_REGS, segment);
	else if (riscv_is_return(last->code))
		qemu_plugin_register_vcpu_insn_exec_cb(last->insn, stacks_return,
		                                       QEMU_PLUGIN_CB_NO_REGS, NULL);
	else if (last->code == RISCV_SRET)
		qemu_plugin_register_vcpu_insn_exec_cb(last->insn, stacks_trap_return,
		                                       QEMU_PLUGIN_CB_NO_REGS, NULL);
	else if (riscv_writes_tp(last->code))
		qemu_plugin_register_vcpu_insn_exec_cb(last->insn, stacks_tp_written,
		                                       QEMU_PLUGIN_CB_NO_REGS, NULL);
}

/* Whether a segment must end behind this instruction. */
static bool ends_segment(uint32_t code)
{
	return riscv_may_trap(code) || (options.stacks && riscv_writes_tp(code));
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	size_t n = qemu_plugin_tb_n_insns(tb);
	bool entered = true;
	for (size_t i = 0; i < n;) {
		struct decoded first = decode(tb, i), last = first;
		bool kernel = class_of(first.address) == CLASS_KERNEL;
		size_t number = counter_of(first.address);
		uint32_t length = 0;
		for (;;) {
			if (kernel && (options.events || options.stacks))
				events_instrument(last.insn, last.address, last.code);
			length++;
			if (++i == n || ends_segment(last.code))
				break;
			struct decoded next = decode(tb, i);
			if (counter_of(next.address) != number)
				break;
			last = next;
		}
		qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
		        first.insn, QEMU_PLUGIN_INLINE_ADD_U64, counter(number), length);
		if (kernel && options.stacks) {
			instrument_stacks(&first, &last, length, entered);
			entered = riscv_writes_tp(last.code);
		}
	}
}

static void hart_created(qemu_plugin_id_t id, unsigned hart)
{
	(void)id;
	registers_find();
	if (options.stacks)
		stacks_hart_created(hart);
	if (options.stacks_from_boot)
		stacks_start();
}

static void print_member(FILE *out, const char *name, size_t number)
{
	fprintf(out, "%s\"%s\": %llu", number ? ", " : "", name,
	        (unsigned long long)qemu_plugin_u64_sum(counter(number)));
}

static void answer(FILE *out, const char *request)
{
	bool stacks = options.stacks && !strcmp(request, "stacks");
	if (stacks)
		stacks_read_begin();
	fputc('{', out);
	for (size_t i = 0; i < CLASSES; i++)
		print_member(out, class_names[i], i);
	for (size_t i = 0; i < EVENTS && options.events; i++)
		print_member(out, event_names[i], CLASSES + i);
	for (size_t i = 0; i < range_count; i++)
		if (qemu_plugin_u64_sum(counter(CLASSES + EVENTS + i)))
			print_member(out, ranges[i].name, CLASSES + EVENTS + i);
	if (stacks) {
		fputs(", ", out);
		stacks_print(out);
		stacks_read_end();
	}
	fputc('}', out);
}

static int add_range(const char *line)
{
	static size_t room;
	unsigned long long start, end;
	char name[400], rest;
	if (sscanf(line, "%llx %llx %399s %c", &start, &end, name, &rest) != 3 ||
	    strpbrk(name, "\"\\") || end <= start ||
	    (range_count && start < ranges[range_count - 1].end) || range_count == RANGES_MAX)
		return -1;
	if (range_count == room) {
		room = room ? room * 2 : 256;
		ranges = realloc(ranges, room * sizeof *ranges);
		if (!ranges)
			abort();
	}
	ranges[range_count++] = (struct range){ start, end, strdup(name) };
	return 0;
}

static int load_map(const char *path)
{
	FILE *file = fopen(path, "r");
	if (!file) {
		fprintf(stderr, "insn_count: map=%s: %s\n", path, strerror(errno));
		return -1;
	}
	char line[512];
	unsigned number = 0;
	int status = 0;
	while (!status && fgets(line, sizeof line, file)) {
		number++;
		if (!add_range(line)) {
			continue;
		}
		line[strcspn(line, "\n")] = '\0';
		fprintf(stderr,
		        "insn_count: map=%s, line %u: \"%s\" is not START END NAME in hexadecimal, "
		        "behind the range before\n",
		        path, number, line);
		status = -1;
	}
	if (!status && ferror(file)) {
		fprintf(stderr, "insn_count: map=%s: %s\n", path, strerror(errno));
		status = -1;
	}
	fclose(file);
	return status;
}

static int parse_switch(const char *argument, const char *value, bool *result)
{
	*result = !strcmp(value, "on");
	if (*result || !strcmp(value, "off"))
		return 0;
	fprintf(stderr, "insn_count: %s: the valid values are on and off%s\n", argument,
	        result == &options.stacks ? ", and boot" : "");
	return -1;
}

static int parse_option(const char *argument)
{
	const char *value = strchr(argument, '=');
	size_t length = value ? (size_t)(value++ - argument) : 0;
	if (length == 6 && !strncmp(argument, "socket", length)) {
		options.socket = value;
		return 0;
	}
	if (length == 3 && !strncmp(argument, "map", length)) {
		options.map = value;
		return 0;
	}
	if (length == 6 && !strncmp(argument, "events", length))
		return parse_switch(argument, value, &options.events);
	if (!strcmp(argument, "stacks=boot")) {
		options.stacks = options.stacks_from_boot = true;
		return 0;
	}
	if (length == 6 && !strncmp(argument, "stacks", length))
		return parse_switch(argument, value, &options.stacks);
	fprintf(stderr,
	        "insn_count: unknown option %s; the valid ones are socket=PATH, map=FILE, "
	        "events=on, "
	        "stacks=on\n",
	        argument);
	return -1;
}

static void exiting(qemu_plugin_id_t id, void *unused)
{
	(void)id;
	(void)unused;
	server_stop();
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	if (strcmp(info->target_name, "riscv64") || !info->system_emulation) {
		fprintf(stderr, "insn_count: for qemu-system-riscv64 only\n");
		return -1;
	}
	for (int i = 0; i < argc; i++)
		if (parse_option(argv[i]))
			return -1;
	if (!options.socket) {
		fprintf(stderr, "insn_count: socket=PATH is missing\n");
		return -1;
	}
	if (options.map && load_map(options.map))
		return -1;
	counts = qemu_plugin_scoreboard_new((CLASSES + EVENTS + range_count) * sizeof(uint64_t));
	events_start(counter(CLASSES), options.events, options.stacks);
	if (server_start(options.socket, answer))
		return -1;
	qemu_plugin_register_vcpu_init_cb(id, hart_created);
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	qemu_plugin_register_atexit_cb(id, exiting, NULL);
	return 0;
}
