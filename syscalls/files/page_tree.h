/*
 * A sparse array of pages: radix tree with 64-way nodes that is as high as the largest index needs.
 * The tree owns one reference of each page. Pure; host-tested.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct page_tree {
	void *root;      /* height 0: the page of index 0, or NULL; else a node */
	uint32_t height; /* levels of nodes */
	uint64_t pages;
};

/* Address of the page, or NULL. */
void *page_tree_find(const struct page_tree *tree, uint64_t index);
/* The first index >= `from` that has a page; UINT64_MAX: none. Skips empty subtrees. */
uint64_t page_tree_next(const struct page_tree *tree, uint64_t from);
/* The place must be empty. -ENOMEM. */
int page_tree_insert(struct page_tree *tree, uint64_t index, void *page);
/* Take out every page with index >= `from` and page_put it. */
void page_tree_truncate(struct page_tree *tree, uint64_t from);
