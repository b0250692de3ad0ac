/* The treap of mappings against a model that knows every page. */
#include "syscalls/memory/mapping.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "evloop/check.h"

#define PAGES     512
#define PAGE      4096ull
#define BASE      0x10000ull
#define ROUNDS    60000
#define MAX_PAGES 24

static struct mapping *owner[PAGES]; /* the model */
static struct mapping_tree tree;
static uint64_t seed = 88172645463325252ull;

static uint64_t random_below(uint64_t bound)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % bound;
}

static uint64_t address_of(uint64_t page)
{
	return BASE + page * PAGE;
}

static uint64_t page_of_address(uint64_t address)
{
	return (address - BASE) / PAGE;
}

static void mark(struct mapping *mapping, struct mapping *as)
{
	for (uint64_t page = page_of_address(mapping->start); page < page_of_address(mapping->end);
	     page++)
		owner[page] = as;
}

static bool is_free(uint64_t page, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		if (page + i >= PAGES || owner[page + i])
			return false;
	return true;
}

/* What mapping_tree_room should say, by trying every page from the top. */
static uint64_t naive_room(uint64_t count, uint64_t alignment, uint64_t top)
{
	for (uint64_t page = PAGES; page-- > 0;) {
		uint64_t at = address_of(page);
		if (at % alignment == 0 && at + count * PAGE <= top && is_free(page, count))
			return at;
	}
	return 0;
}

static struct mapping *naive_find(uint64_t address)
{
	for (uint64_t page = page_of_address(address); page < PAGES; page++)
		if (owner[page])
			return owner[page];
	return NULL;
}

static void insert(void)
{
	uint64_t page = random_below(PAGES), count = 1 + random_below(MAX_PAGES);
	if (!is_free(page, count))
		return;
	struct mapping *mapping = calloc(1, sizeof(*mapping));
	CHECK(mapping);
	list_node_init(&mapping->link);
	mapping->start = address_of(page);
	mapping->end = address_of(page + count);
	mapping_tree_insert(&tree, mapping);
	mark(mapping, mapping);
}

static void remove_one(void)
{
	struct mapping *mapping = owner[random_below(PAGES)];
	if (!mapping)
		return;
	mark(mapping, NULL);
	mapping_tree_remove(&tree, mapping);
	free(mapping);
}

static void resize(void)
{
	struct mapping *mapping = owner[random_below(PAGES)];
	if (!mapping)
		return;
	mark(mapping, NULL);
	uint64_t first = page_of_address(mapping->start), last = page_of_address(mapping->end);
	uint64_t new_first = first + random_below(last - first);
	uint64_t new_last = new_first + 1 + random_below(MAX_PAGES);
	if (!is_free(new_first, new_last - new_first))
		new_last = last > new_first ? last : new_first + 1;
	mapping_tree_resize(&tree, mapping, address_of(new_first), address_of(new_last));
	mark(mapping, mapping);
}

static void compare(void)
{
	uint64_t address = address_of(random_below(PAGES));
	CHECK(mapping_tree_find(&tree, address) == naive_find(address));
	uint64_t count = 1 + random_below(MAX_PAGES), alignment = PAGE << random_below(5);
	uint64_t top = address_of(1 + random_below(PAGES));
	CHECK_EQ(mapping_tree_room(&tree, count * PAGE, alignment, top),
	         naive_room(count, alignment, top));
}

static void test_against_model(void)
{
	mapping_tree_init(&tree, BASE);
	for (int round = 0; round < ROUNDS; round++) {
		switch (random_below(5)) {
		case 0:
		case 1:
			insert();
			break;
		case 2:
			remove_one();
			break;
		case 3:
			resize();
			break;
		default:
			compare();
		}
		if (round % 16 == 0) {
			const char *broken = mapping_tree_verify(&tree);
			if (broken)
				fprintf(stderr, "round %d: %s\n", round, broken);
			CHECK(!broken);
		}
	}
	struct list_node *node;
	while ((node = list_first(&tree.order))) {
		struct mapping *mapping = list_entry(node, struct mapping, link);
		mapping_tree_remove(&tree, mapping);
		free(mapping);
	}
	CHECK_EQ(tree.count, 0);
	CHECK(!tree.root);
}

/* Ascending insertion, the worst case of an unbalanced tree, stays shallow. */
static unsigned depth(const struct mapping *node)
{
	unsigned left, right;
	if (!node)
		return 0;
	left = depth(node->left);
	right = depth(node->right);
	return 1 + (left > right ? left : right);
}

static void test_depth(void)
{
	enum { COUNT = 65536 };
	struct mapping *all = calloc(COUNT, sizeof(*all));
	CHECK(all);
	mapping_tree_init(&tree, BASE);
	for (uint64_t i = 0; i < COUNT; i++) {
		all[i].start = BASE + 2 * i * PAGE;
		all[i].end = all[i].start + PAGE;
		mapping_tree_insert(&tree, &all[i]);
	}
	CHECK(depth(tree.root) < 60);
	CHECK(!mapping_tree_verify(&tree));
	free(all);
}

int main(void)
{
	test_against_model();
	test_depth();
	return 0;
}
