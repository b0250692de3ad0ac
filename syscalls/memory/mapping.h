/*
 * The mappings of one address space: an ordered set of disjoint ranges. A treap by address, each
 * node knowing the free gap below it and the largest gap in its subtree, so that finding a mapping
 * and finding room are both O(log n). Pure: host-tested.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "evloop/list.h"

struct file;

struct mapping {
	uint64_t start, end; /* page-aligned, end exclusive */
	uint8_t protection;  /* PROT_* */
	bool shared;
	bool locked;
	bool dont_fork, wipe_on_fork;
	bool no_reserve;   /* MAP_NORESERVE: may be larger than memory */
	bool kernel_pages; /* vDSO: pages are given, never private */
	struct file *file; /* NULL: anonymous; holds a reference */
	uint64_t offset;   /* of start, in the file or the kernel pages */
	const char *name;  /* "[heap]"... or NULL; static */
	void *pages;       /* kernel_pages: in the direct map */
	/* the treap */
	struct mapping *left, *right;
	uint64_t gap, largest_gap; /* free bytes below start; the largest of the subtree */
	uint32_t priority;
	struct list_node link; /* in address order */
};

struct mapping_tree {
	struct mapping *root;
	struct list order;
	uint64_t floor; /* lowest address that counts as free room */
	uint32_t count;
	uint32_t seed;
};

void mapping_tree_init(struct mapping_tree *tree, uint64_t floor);
/* The range must be free. */
void mapping_tree_insert(struct mapping_tree *tree, struct mapping *mapping);
void mapping_tree_remove(struct mapping_tree *tree, struct mapping *mapping);
/* Change the bounds of a linked mapping; its order among the others stays. */
void mapping_tree_resize(struct mapping_tree *tree, struct mapping *mapping, uint64_t start,
                         uint64_t end);
/* The first mapping that ends above `address` (may start above it), or NULL. */
struct mapping *mapping_tree_find(const struct mapping_tree *tree, uint64_t address);
/* The highest aligned start of `bytes` free bytes below `top`, or 0 when there is no room. */
uint64_t mapping_tree_room(const struct mapping_tree *tree, uint64_t bytes, uint64_t alignment,
                           uint64_t top);
struct mapping *mapping_next(const struct mapping_tree *tree, const struct mapping *mapping);
struct mapping *mapping_previous(const struct mapping_tree *tree, const struct mapping *mapping);
/* NULL when sound. */
const char *mapping_tree_verify(const struct mapping_tree *tree);
