/* The treap of mappings. */
#include "syscalls/memory/mapping.h"

#include <stddef.h>

static uint64_t largest(const struct mapping *node)
{
	return node ? node->largest_gap : 0;
}

static void refresh(struct mapping *node)
{
	uint64_t gap = node->gap;
	if (largest(node->left) > gap)
		gap = largest(node->left);
	if (largest(node->right) > gap)
		gap = largest(node->right);
	node->largest_gap = gap;
}

static void split(struct mapping *node, uint64_t address, struct mapping **low,
                  struct mapping **high)
{
	if (!node) {
		*low = *high = NULL;
		return;
	}
	if (node->start < address) {
		split(node->right, address, &node->right, high);
		*low = node;
	} else {
		split(node->left, address, low, &node->left);
		*high = node;
	}
	refresh(node);
}

static struct mapping *join(struct mapping *low, struct mapping *high)
{
	if (!low || !high)
		return low ? low : high;
	if (low->priority > high->priority) {
		low->right = join(low->right, high);
		refresh(low);
		return low;
	}
	high->left = join(low, high->left);
	refresh(high);
	return high;
}

static struct mapping *without(struct mapping *node, const struct mapping *target)
{
	if (node == target)
		return join(node->left, node->right);
	if (target->start < node->start)
		node->left = without(node->left, target);
	else
		node->right = without(node->right, target);
	refresh(node);
	return node;
}

/* The gap of `target` changed: recompute on the way back from it. */
static void refresh_path(struct mapping *node, const struct mapping *target)
{
	if (node != target)
		refresh_path(target->start < node->start ? node->left : node->right, target);
	refresh(node);
}

static uint64_t gap_below(const struct mapping_tree *tree, const struct mapping *mapping)
{
	const struct mapping *previous = mapping_previous(tree, mapping);
	uint64_t bottom = previous ? previous->end : tree->floor;
	return mapping->start > bottom ? mapping->start - bottom : 0;
}

static void update_gap(struct mapping_tree *tree, struct mapping *mapping)
{
	if (!mapping)
		return;
	mapping->gap = gap_below(tree, mapping);
	refresh_path(tree->root, mapping);
}

static uint32_t next_priority(struct mapping_tree *tree)
{
	tree->seed ^= tree->seed << 13;
	tree->seed ^= tree->seed >> 17;
	tree->seed ^= tree->seed << 5;
	return tree->seed;
}

void mapping_tree_init(struct mapping_tree *tree, uint64_t floor)
{
	tree->root = NULL;
	list_init(&tree->order);
	tree->floor = floor;
	tree->count = 0;
	tree->seed = 0x9e3779b9;
}

struct mapping *mapping_next(const struct mapping_tree *tree, const struct mapping *mapping)
{
	struct list_node *node = mapping->link.next;
	return node == &tree->order.head ? NULL : list_entry(node, struct mapping, link);
}

struct mapping *mapping_previous(const struct mapping_tree *tree, const struct mapping *mapping)
{
	struct list_node *node = mapping->link.prev;
	return node == &tree->order.head ? NULL : list_entry(node, struct mapping, link);
}

void mapping_tree_insert(struct mapping_tree *tree, struct mapping *mapping)
{
	struct mapping *above = mapping_tree_find(tree, mapping->start), *low, *high;
	list_insert_before(above ? &above->link : &tree->order.head, &mapping->link);
	mapping->left = mapping->right = NULL;
	mapping->priority = next_priority(tree);
	mapping->gap = gap_below(tree, mapping);
	refresh(mapping);
	split(tree->root, mapping->start, &low, &high);
	tree->root = join(join(low, mapping), high);
	tree->count++;
	update_gap(tree, above);
}

void mapping_tree_remove(struct mapping_tree *tree, struct mapping *mapping)
{
	struct mapping *above = mapping_next(tree, mapping);
	tree->root = without(tree->root, mapping);
	list_remove(&mapping->link);
	tree->count--;
	update_gap(tree, above);
}

void mapping_tree_resize(struct mapping_tree *tree, struct mapping *mapping, uint64_t start,
                         uint64_t end)
{
	bool start_moves = mapping->start != start, end_moves = mapping->end != end;
	mapping->start = start;
	mapping->end = end;
	if (start_moves)
		update_gap(tree, mapping);
	if (end_moves)
		update_gap(tree, mapping_next(tree, mapping));
}

struct mapping *mapping_tree_find(const struct mapping_tree *tree, uint64_t address)
{
	struct mapping *node = tree->root, *found = NULL;
	while (node) {
		if (node->end > address) {
			found = node;
			node = node->left;
		} else {
			node = node->right;
		}
	}
	return found;
}

/* The highest aligned start of `bytes` in [bottom, top), or 0. */
static uint64_t fit(uint64_t bottom, uint64_t top, uint64_t bytes, uint64_t alignment)
{
	if (top < bottom || top - bottom < bytes)
		return 0;
	uint64_t start = (top - bytes) & ~(alignment - 1);
	return start >= bottom ? start : 0;
}

static uint64_t room_in(const struct mapping *node, uint64_t bytes, uint64_t alignment,
                        uint64_t top)
{
	if (!node || node->largest_gap < bytes)
		return 0;
	if (node->start < top) {
		uint64_t start = room_in(node->right, bytes, alignment, top);
		if (start)
			return start;
	}
	uint64_t gap_top = node->start < top ? node->start : top;
	uint64_t start = fit(node->start - node->gap, gap_top, bytes, alignment);
	return start ? start : room_in(node->left, bytes, alignment, top);
}

uint64_t mapping_tree_room(const struct mapping_tree *tree, uint64_t bytes, uint64_t alignment,
                           uint64_t top)
{
	struct list_node *last = tree->order.head.prev;
	uint64_t bottom = tree->floor;
	if (last != &tree->order.head)
		bottom = list_entry(last, struct mapping, link)->end;
	uint64_t start = fit(bottom, top, bytes, alignment);
	return start ? start : room_in(tree->root, bytes, alignment, top);
}

static const char *verify_node(const struct mapping *node, const struct mapping_tree *tree,
                               uint32_t *count)
{
	if (!node)
		return NULL;
	++*count;
	const struct mapping *child[2] = { node->left, node->right };
	uint64_t gap = node->gap;
	for (int i = 0; i < 2; i++) {
		if (!child[i])
			continue;
		if (child[i]->priority > node->priority)
			return "heap order";
		if ((child[i]->start < node->start) != (i == 0))
			return "address order in the tree";
		if (child[i]->largest_gap > gap)
			gap = child[i]->largest_gap;
		const char *broken = verify_node(child[i], tree, count);
		if (broken)
			return broken;
	}
	if (gap != node->largest_gap)
		return "largest gap";
	return node->gap == gap_below(tree, node) ? NULL : "gap";
}

const char *mapping_tree_verify(const struct mapping_tree *tree)
{
	uint32_t in_tree = 0, in_order = 0;
	const char *broken = verify_node(tree->root, tree, &in_tree);
	if (broken)
		return broken;
	uint64_t last_end = 0;
	list_for_each(node, &tree->order)
	{
		const struct mapping *mapping = list_entry(node, struct mapping, link);
		if (mapping->start < last_end || mapping->start >= mapping->end)
			return "address order in the list";
		last_end = mapping->end;
		in_order++;
	}
	return in_tree == in_order && in_order == tree->count ? NULL : "count";
}
