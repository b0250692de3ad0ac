/* Sparse arrays of pages. */
#include "syscalls/files/page_tree.h"

#include <errno.h>
#include <stddef.h>

#include "core/memory.h"

/* In struct page.owner of a page that only the tree holds when it enters: not one of the archive.
 */
#define FILE_OWNER 1
#define TREE_BITS  6
#define TREE_SLOTS (1u << TREE_BITS)

struct tree_node {
	void *slot[TREE_SLOTS];
};

/* Pages that a tree of this height can index; 0 stands for 2^64. */
static uint64_t tree_reach(uint32_t height)
{
	return height * TREE_BITS >= 64 ? 0 : 1ull << (height * TREE_BITS);
}

static bool tree_holds(uint32_t height, uint64_t index)
{
	uint64_t reach = tree_reach(height);
	return reach == 0 || index < reach;
}

static uint32_t slot_of(uint64_t index, uint32_t level)
{
	return (uint32_t)(index >> ((level - 1) * TREE_BITS)) & (TREE_SLOTS - 1);
}

void *page_tree_find(const struct page_tree *tree, uint64_t index)
{
	if (!tree_holds(tree->height, index))
		return NULL;
	void *at = tree->root;
	for (uint32_t level = tree->height; level > 0 && at; level--)
		at = ((struct tree_node *)at)->slot[slot_of(index, level)];
	return at;
}

/* `from` counts from this subtree's first index; so does the result. */
static uint64_t subtree_next(const void *at, uint32_t level, uint64_t from)
{
	if (!at)
		return UINT64_MAX;
	if (level == 0)
		return from == 0 ? 0 : UINT64_MAX;
	const struct tree_node *node = at;
	uint64_t reach = tree_reach(level - 1);
	for (uint32_t slot = slot_of(from, level); slot < TREE_SLOTS; slot++) {
		uint64_t first = slot * reach;
		uint64_t found =
		        subtree_next(node->slot[slot], level - 1, from > first ? from - first : 0);
		if (found != UINT64_MAX)
			return first + found;
	}
	return UINT64_MAX;
}

uint64_t page_tree_next(const struct page_tree *tree, uint64_t from)
{
	if (!tree_holds(tree->height, from))
		return UINT64_MAX;
	return subtree_next(tree->root, tree->height, from);
}

int page_tree_insert(struct page_tree *tree, uint64_t index, void *page)
{
	while (!tree_holds(tree->height, index)) {
		if (tree->root) {
			struct tree_node *node = heap_alloc_zeroed(sizeof(*node));
			if (!node)
				return -ENOMEM;
			node->slot[0] = tree->root;
			tree->root = node;
		}
		tree->height++;
	}
	void **place = &tree->root;
	for (uint32_t level = tree->height; level > 0; level--) {
		if (!*place)
			*place = heap_alloc_zeroed(sizeof(struct tree_node));
		if (!*place)
			return -ENOMEM;
		place = &((struct tree_node *)*place)->slot[slot_of(index, level)];
	}
	*place = page;
	tree->pages++;
	if (page_of(page)->refs == 1) {
		page_of(page)->owner = FILE_OWNER;
		page_account(PAGES_OF_FILES, 1);
	}
	return 0;
}

/* `from` counts from this subtree's first index. True when nothing is left of it. */
static bool subtree_truncate(struct page_tree *tree, void **place, uint32_t level, uint64_t from)
{
	if (!*place)
		return true;
	if (level == 0) {
		if (page_of(*place)->owner == FILE_OWNER)
			page_account(PAGES_OF_FILES, -1);
		page_put(page_of(*place));
		tree->pages--;
		*place = NULL;
		return true;
	}
	struct tree_node *node = *place;
	bool empty = true;
	uint64_t reach = tree_reach(level - 1);
	for (uint32_t slot = 0; slot < TREE_SLOTS; slot++) {
		uint64_t first = slot * reach;
		if (reach && first + reach - 1 < from)
			empty = empty && !node->slot[slot];
		else if (!subtree_truncate(tree, &node->slot[slot], level - 1,
		                           from > first ? from - first : 0))
			empty = false;
	}
	if (!empty)
		return false;
	heap_free(node);
	*place = NULL;
	return true;
}

void page_tree_truncate(struct page_tree *tree, uint64_t from)
{
	if (!tree_holds(tree->height, from))
		return;
	if (subtree_truncate(tree, &tree->root, tree->height, from))
		tree->height = 0;
}
