/*
 * A fuzzer of system calls: fuzz_kernel [SECONDS [SEED [THREADS [hungry]]]]. Random calls with
 * arguments that are mostly plausible, so that they reach far, and now and then hostile; several
 * tasks at once that share descriptors and memory and are interrupted by signals. Three parts:
 *
 *     table.c        which calls, and of what kind each argument is
 *     arguments.c    an argument of a kind, out of one task's random numbers
 *     fuzz_kernel.c  rounds of tasks, and whether the machine is as sound after each as before
 *
 * A seed gives each task the same calls; with the counted clock all of a run is the same again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FUZZ_FIRST_FD     3
#define FUZZ_FDS          28  /* descriptors that calls name; others are closed now and then */
#define FUZZ_SLOTS        48  /* places in a task's room that pointers name */
#define FUZZ_SLOT_BYTES   512 /* each */
#define FUZZ_ROOM_BYTES   (FUZZ_SLOTS * FUZZ_SLOT_BYTES) /* inaccessible behind that */
#define FUZZ_REGION_BYTES (1u << 20)                     /* for calls that change mappings */

/* What one task draws from. `room` and `region` may be shared by several tasks. */
struct fuzz_source {
	uint64_t state;
	unsigned char *room;
	unsigned char *region;
};

/* `kinds`: a letter per argument, see fuzz_argument. `flags`: what the letter x chooses from, ended
 * by 0 (which it chooses as well). `weight`: how often, beside others. */
struct fuzz_call {
	const char *name;
	long number;
	const char *kinds;
	const uint64_t *flags;
	unsigned weight;
};

extern const struct fuzz_call fuzz_calls[];
extern const unsigned fuzz_call_count;

/* A number below `bound`, which is not 0. */
uint64_t fuzz_below(struct fuzz_source *source, uint64_t bound);
/* One of fuzz_calls, by weight. */
unsigned fuzz_choose(struct fuzz_source *source);
/* An argument of a kind. Pointers point to something of that kind, freshly written. */
uint64_t fuzz_argument(struct fuzz_source *source, const struct fuzz_call *call, char kind);
