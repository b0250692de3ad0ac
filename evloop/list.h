/*
 * Intrusive circular doubly linked list. The element embeds a struct list_node and belongs to whoever allocated it;
 * the list never allocates. A node that is on no list points to itself, so list_remove is idempotent.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list_node {
	struct list_node *next;
	struct list_node *prev;
};

/* A list head is a node that belongs to no element. */
struct list {
	struct list_node head;
};

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

static inline void list_node_init(struct list_node *node)
{
	node->next = node;
	node->prev = node;
}

static inline void list_init(struct list *list)
{
	list_node_init(&list->head);
}

static inline bool list_is_empty(const struct list *list)
{
	return list->head.next == &list->head;
}

static inline bool list_node_is_linked(const struct list_node *node)
{
	return node->next != node;
}

static inline void list_insert_between(struct list_node *node, struct list_node *prev,
                                       struct list_node *next)
{
	node->prev = prev;
	node->next = next;
	prev->next = node;
	next->prev = node;
}

static inline void list_push_back(struct list *list, struct list_node *node)
{
	list_insert_between(node, list->head.prev, &list->head);
}

static inline void list_push_front(struct list *list, struct list_node *node)
{
	list_insert_between(node, &list->head, list->head.next);
}

/* Insert `node` directly before `position`, which is on a list (or is its head node: appends). */
static inline void list_insert_before(struct list_node *position, struct list_node *node)
{
	list_insert_between(node, position->prev, position);
}

static inline void list_remove(struct list_node *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_node_init(node);
}

static inline struct list_node *list_first(const struct list *list)
{
	return list_is_empty(list) ? NULL : list->head.next;
}

static inline struct list_node *list_pop_front(struct list *list)
{
	struct list_node *node = list_first(list);
	if (node)
		list_remove(node);
	return node;
}

/* Move everything on `from` to the end of `to`; `from` is empty afterwards. */
static inline void list_splice_back(struct list *to, struct list *from)
{
	if (list_is_empty(from))
		return;
	struct list_node *first = from->head.next, *last = from->head.prev;
	first->prev = to->head.prev;
	to->head.prev->next = first;
	last->next = &to->head;
	to->head.prev = last;
	list_init(from);
}

#define list_entry(node, type, member) container_of(node, type, member)

/* Iterate; the body must not remove `node`. */
#define list_for_each(node, list)                                                                  \
	for (struct list_node *node = (list)->head.next; node != &(list)->head; node = node->next)

/* Iterate; the body may remove and free `node` (but not the one after it). */
#define list_for_each_safe(node, list)                                                             \
	for (struct list_node *node = (list)->head.next, *node##_next = node->next;                \
	     node != &(list)->head; node = node##_next, node##_next = node->next)
