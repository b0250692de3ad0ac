#include "perf/insn_count/stacks.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "perf/insn_count/registers.h"

#define HARTS_MAX    512
#define SEGMENTS_MAX (1u << 18)
#define NODES_MAX    (1u << 17)
#define CELLS_MAX    (1u << 22)
#define CONTEXTS_MAX (1u << 10)
#define FRAMES_MAX   128
#define INTERRUPT    (1ull << 63)
#define ROOT         0
#define KERNEL_START (1ull << 63) /* a tp below it is a user's */

struct node {
	uint64_t site; /* address of the call, or TRAP_SITE */
	uint32_t parent;
};

struct cell {
	_Atomic uint64_t key; /* 1 + (node << 32 | segment), 0: free */
	_Atomic uint64_t instructions;
};

struct frame {
	uint64_t returns_to;
	uint32_t node;
	bool trap; /* not a call: below is what was interrupted */
};

struct context {
	uint64_t tp;
	unsigned depth;
	struct frame frames[FRAMES_MAX];
};

struct hart {
	struct context *context;
	struct context entry; /* since a trap from user code until tp is known */
	bool tp_stale, returning;
	struct context *contexts;
	struct node *nodes;
	_Atomic uint32_t node_count;
	uint32_t *children; /* hash of (parent, site) to node; 0: free */
	struct cell *cells;
	uint32_t cell_count;
	_Atomic uint64_t refused; /* frames and cells for which there was no room */
};

static _Atomic(struct hart *) harts[HARTS_MAX];
static _Atomic bool started;
static _Atomic unsigned readers; /* while there are some, nothing is added */
static struct segment *segments;
static uint32_t *segment_hash; /* of (start, instructions) to 1 + id */
static _Atomic uint32_t segment_count;

void stacks_start(void)
{
	atomic_store(&started, true);
}

void stacks_read_begin(void)
{
	atomic_fetch_add(&readers, 1);
}

void stacks_read_end(void)
{
	atomic_fetch_sub(&readers, 1);
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t x = (a ^ b * 0x9e3779b97f4a7c15ull) * 0xff51afd7ed558ccdull;
	return x ^ x >> 32;
}

static void *zeroed(size_t count, size_t size)
{
	void *memory = calloc(count, size);
	if (!memory) {
		fputs("insn_count: no memory for call stacks\n", stderr);
		abort();
	}
	return memory;
}

void stacks_hart_created(unsigned number)
{
	if (number >= HARTS_MAX)
		return;
	struct hart *hart = zeroed(1, sizeof *hart);
	hart->context = &hart->entry;
	hart->contexts = zeroed(CONTEXTS_MAX, sizeof *hart->contexts);
	hart->nodes = zeroed(NODES_MAX, sizeof *hart->nodes);
	hart->node_count = 1;
	hart->children = zeroed(NODES_MAX * 2, sizeof *hart->children);
	hart->cells = zeroed(CELLS_MAX, sizeof *hart->cells);
	atomic_store(&harts[number], hart);
}

struct segment *stacks_segment(uint64_t start, uint64_t last, uint64_t after, uint32_t instructions)
{
	if (!segments) {
		segments = zeroed(SEGMENTS_MAX, sizeof *segments);
		segment_hash = zeroed(SEGMENTS_MAX * 2, sizeof *segment_hash);
	}
	size_t slot = mix(start, instructions) % (SEGMENTS_MAX * 2);
	for (; segment_hash[slot]; slot = (slot + 1) % (SEGMENTS_MAX * 2)) {
		struct segment *known = &segments[segment_hash[slot] - 1];
		if (known->start == start && known->instructions == instructions &&
		    known->last == last)
			return known;
	}
	uint32_t id = atomic_load(&segment_count);
	if (id == SEGMENTS_MAX)
		return NULL;
	segments[id] = (struct segment){ start, last, after, instructions, id };
	segment_hash[slot] = id + 1;
	atomic_store(&segment_count, id + 1);
	return &segments[id];
}

static void refuse(struct hart *hart)
{
	atomic_fetch_add(&hart->refused, 1);
}

static uint32_t top_node(const struct hart *hart)
{
	const struct context *context = hart->context;
	return context->depth ? context->frames[context->depth - 1].node : ROOT;
}

static uint32_t child_node(struct hart *hart, uint32_t parent, uint64_t site)
{
	size_t slot = mix(site, parent) % (NODES_MAX * 2);
	for (; hart->children[slot]; slot = (slot + 1) % (NODES_MAX * 2)) {
		const struct node *known = &hart->nodes[hart->children[slot]];
		if (known->parent == parent && known->site == site)
			return hart->children[slot];
	}
	uint32_t id = atomic_load_explicit(&hart->node_count, memory_order_relaxed);
	if (id == NODES_MAX) {
		refuse(hart);
		return parent;
	}
	hart->nodes[id] = (struct node){ .parent = parent, .site = site };
	hart->children[slot] = id;
	atomic_store_explicit(&hart->node_count, id + 1, memory_order_release);
	return id;
}

static void push(struct hart *hart, uint32_t parent, uint64_t site, uint64_t returns_to, bool trap)
{
	struct context *context = hart->context;
	if (context->depth == FRAMES_MAX) {
		refuse(hart);
		return;
	}
	uint32_t node = child_node(hart, parent, site);
	context->frames[context->depth++] = (struct frame){ returns_to, node, trap };
}

/* Control returned to pc: drops the frames above the one that expected it, or, when none did, all
 * that were pushed since the last trap. */
static void pop_to(struct context *context, uint64_t pc)
{
	for (unsigned i = context->depth; i-- > 0;) {
		const struct frame *frame = &context->frames[i];
		if (frame->trap || frame->returns_to == pc) {
			context->depth = frame->trap ? i + 1 : i;
			return;
		}
	}
	context->depth = 0;
}

static void switch_context(struct hart *hart, uint64_t tp)
{
	if (tp < KERNEL_START || tp == hart->context->tp)
		return;
	size_t first = mix(tp, 0) % CONTEXTS_MAX, slot = first;
	while (hart->contexts[slot].tp && hart->contexts[slot].tp != tp) {
		slot = (slot + 1) % CONTEXTS_MAX;
		if (slot == first) { /* full of tasks that may be gone */
			refuse(hart);
			hart->contexts[slot].depth = 0;
			break;
		}
	}
	struct context *next = &hart->contexts[slot];
	if (hart->context == &hart->entry) {
		next->depth = hart->entry.depth;
		for (unsigned i = 0; i < next->depth; i++)
			next->frames[i] = hart->entry.frames[i];
	}
	next->tp = tp;
	hart->context = next;
}

static void count(struct hart *hart, uint32_t node, const struct segment *segment)
{
	if (atomic_load_explicit(&readers, memory_order_relaxed))
		return;
	uint64_t key = 1 + ((uint64_t)node << 32 | segment->id);
	size_t slot = mix(key, 0) % CELLS_MAX;
	for (;; slot = (slot + 1) % CELLS_MAX) {
		struct cell *cell = &hart->cells[slot];
		uint64_t there = atomic_load_explicit(&cell->key, memory_order_relaxed);
		if (!there) {
			if (hart->cell_count >= CELLS_MAX / 2 && node != ROOT) {
				refuse(hart);
				count(hart, ROOT, segment); /* for which there always is room */
				return;
			}
			hart->cell_count++;
			atomic_store_explicit(&cell->key, key, memory_order_release);
			there = key;
		}
		if (there == key) {
			uint64_t old =
			        atomic_load_explicit(&cell->instructions, memory_order_relaxed);
			atomic_store_explicit(&cell->instructions, old + segment->instructions,
			                      memory_order_relaxed);
			return;
		}
	}
}

/* The hart's tables, NULL when there is nothing to do. */
static struct hart *hart_of(unsigned number)
{
	if (!atomic_load_explicit(&started, memory_order_acquire))
		return NULL;
	return number < HARTS_MAX ? atomic_load_explicit(&harts[number], memory_order_relaxed)
	                          : NULL;
}

void stacks_segment_run(unsigned number, void *segment)
{
	struct hart *hart = hart_of(number);
	if (hart)
		count(hart, top_node(hart), segment);
}

void stacks_segment_entered(unsigned number, void *data)
{
	const struct segment *segment = data;
	struct hart *hart = hart_of(number);
	if (!hart)
		return;
	if (hart->tp_stale) {
		hart->tp_stale = false;
		switch_context(hart, register_read(REGISTER_TP));
	}
	if (hart->returning) {
		hart->returning = false;
		pop_to(hart->context, segment->start);
	}
	count(hart, top_node(hart), segment);
}

void stacks_call(unsigned number, void *data)
{
	const struct segment *segment = data;
	struct hart *hart = hart_of(number);
	if (hart)
		push(hart, top_node(hart), segment->last, segment->after, false);
}

void stacks_return(unsigned number, void *unused)
{
	(void)unused;
	struct hart *hart = hart_of(number);
	if (hart)
		hart->returning = true;
}

void stacks_trap_return(unsigned number, void *unused)
{
	(void)unused;
	struct hart *hart = hart_of(number);
	if (!hart)
		return;
	struct context *context = hart->context;
	while (context->depth && !context->frames[--context->depth].trap)
		;
}

void stacks_tp_written(unsigned number, void *unused)
{
	(void)unused;
	struct hart *hart = hart_of(number);
	if (hart)
		hart->tp_stale = true;
}

void stacks_trap(unsigned number, uint64_t scause, bool from_kernel)
{
	struct hart *hart = hart_of(number);
	if (!hart)
		return;
	hart->returning = false;
	if (!from_kernel) {
		hart->context = &hart->entry;
		hart->entry.depth = 0;
	}
	/* An interrupt is none of the doing of the code that it interrupts, and would double every
	 * stack. */
	push(hart, scause & INTERRUPT ? ROOT : top_node(hart), TRAP_SITE(scause), 0, true);
}

static void print_hart(FILE *out, const struct hart *hart)
{
	uint32_t nodes = atomic_load_explicit(&hart->node_count, memory_order_acquire);
	fputs("{\"nodes\": [", out);
	for (uint32_t i = 0; i < nodes; i++)
		fprintf(out, "%s[%u,%llu]", i ? "," : "", hart->nodes[i].parent,
		        (unsigned long long)hart->nodes[i].site);
	fputs("], \"cells\": [", out);
	const char *separator = "";
	for (size_t i = 0; i < CELLS_MAX; i++) {
		const struct cell *cell = &hart->cells[i];
		uint64_t key = atomic_load_explicit(&cell->key, memory_order_acquire);
		if (!key--)
			continue;
		/* A cell that was made since the nodes were printed is the next reading's. */
		if (key >> 32 >= nodes)
			continue;
		uint64_t instructions =
		        atomic_load_explicit(&cell->instructions, memory_order_relaxed);
		fprintf(out, "%s[%u,%u,%llu]", separator, (unsigned)(key >> 32), (unsigned)key,
		        (unsigned long long)instructions);
		separator = ",";
	}
	fputs("]}", out);
}

void stacks_print(FILE *out)
{
	uint64_t refused = 0;
	const char *separator = "";
	stacks_start();
	fputs("\"harts\": [", out);
	for (size_t i = 0; i < HARTS_MAX; i++) {
		const struct hart *hart = atomic_load(&harts[i]);
		if (!hart)
			continue;
		fputs(separator, out);
		print_hart(out, hart);
		refused += atomic_load(&hart->refused);
		separator = ", ";
	}
	/* After the cells, so that every segment that a cell names is there. */
	uint32_t known = atomic_load(&segment_count);
	fputs("], \"segments\": [", out);
	for (uint32_t i = 0; i < known; i++)
		fprintf(out, "%s[%llu,%u]", i ? "," : "", (unsigned long long)segments[i].start,
		        segments[i].instructions);
	fprintf(out, "], \"refused\": %llu", (unsigned long long)refused);
}
