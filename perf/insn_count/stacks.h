/*
 * Which call stacks kernel instructions are executed under. Per hart, calls and returns keep a
 * shadow stack of call sites for each kernel context (the value of tp: Linux's task, Hartloop's
 * hart); every distinct stack is a node of a tree, and a cell counts how many instructions of one
 * segment ran under one node. Memory is bounded: what has no room is refused, counted and reported.
 *
 * Callbacks on a hart are the only writers of its tables, which only grow; a reader on another
 * thread sees each entry whole or not at all. Writing them out takes a while, in which a kernel
 * that runs on is not counted: so a reading is of the moment at which it began.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "perf/insn_count/qemu_plugin.h"

/* Consecutive instructions of which, once the first is executed, all are: none but the last can
 * trap. */
struct segment {
	uint64_t start;
	uint64_t last;  /* address of the last instruction */
	uint64_t after; /* and of what follows it */
	uint32_t instructions;
	uint32_t id;
};

/* What entered the kernel: scause in few bits. Below every address of a call. */
#define TRAP_SITE(scause) (1 + ((scause)&0x3ff) + ((scause) >> 63) * 0x400)

void stacks_hart_created(unsigned hart);

/* The segment, created when it is new; NULL when there is no room for more. The caller keeps others
 * out. */
struct segment *stacks_segment(uint64_t start, uint64_t last, uint64_t after,
                               uint32_t instructions);

/* Callbacks. The first of a block, and behind what writes tp, is `entered`, and needs registers. */
void stacks_segment_entered(unsigned hart, void *segment);
void stacks_segment_run(unsigned hart, void *segment);
void stacks_call(unsigned hart, void *segment);
void stacks_return(unsigned hart, void *unused);
void stacks_trap_return(unsigned hart, void *unused); /* sret */
void stacks_tp_written(unsigned hart, void *unused);

/* A trap into the kernel, out of itself or out of user code. */
void stacks_trap(unsigned hart, uint64_t scause, bool from_kernel);

/* Begins to count. The calls that a task is in then are not known until it enters the kernel again.
 */
void stacks_start(void);

/* Around a reading: of other counters first, which so are of the same moment. */
void stacks_read_begin(void);
void stacks_read_end(void);

/* Starts, unless it has: a kernel's boot would fill the tables with what mostly nobody asks for.
 * Writes the members "segments", "harts" and "refused" of a JSON object. */
void stacks_print(FILE *out);
