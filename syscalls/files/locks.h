/* Advisory locks of a node: byte ranges owned by a descriptor table, as in Linux (fcntl F_SETLK),
 * or by an open file (F_OFD_SETLK, flock). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "evloop/list.h"

struct file;
struct path_node;
struct file_table;

enum lock_kind { LOCK_RECORD, LOCK_FLOCK }; /* the two name spaces that don't see each other */

struct file_lock {
	struct list_node link; /* node's lock list */
	const void *owner;     /* struct file_table, or struct file */
	int32_t pid;           /* F_GETLK; -1: an open file's lock */
	enum lock_kind kind;
	bool exclusive;
	uint64_t start, end; /* end is inclusive; UINT64_MAX: to the end of the file */
};

/* Drops the locks of an owner: of a table when it closes any descriptor of the file, of an open
 * file with its last reference. */
void locks_release(struct path_node *node, const void *owner);
