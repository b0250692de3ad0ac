/*
 * Trees of synthetic files: a table of items describes a directory; nodes are made when names are
 * looked up and die when nobody holds them. Texts are generated when a file is read at its start,
 * and kept until it is read there again or closed; of a long one only the piece that was read last.
 */
#pragma once

#include "syscalls/files/node.h"
#include "syscalls/files/text.h"

enum { PROC_MAGIC = 0x9fa0, SYSFS_MAGIC = 0x62656572 };

struct process;

struct synthetic_item {
	const char *name;
	uint32_t mode; /* type and permissions; 0: S_IFREG | 0444 */
	/* Regular files. `node->special` says which process and number. */
	void (*generate)(struct text *text, const struct path_node *node);
	/* A long text, of which `constant`, not empty, is the head: appends what comes next, and
	 * moves *at on. One call takes a short time, and may append nothing though more follows. */
	void (*generate_piece)(struct text *text, const struct path_node *node,
	                       struct text_position *at);
	long (*store)(const struct path_node *node, const char *bytes,
	              size_t length); /* written: result */
	const char *constant;         /* instead of generate */
	bool polled;                  /* poll reports that it can be read, and epoll takes it */
	/* Links. */
	int (*read_link)(struct path_node *node, char *out, size_t room);
	int (*follow)(struct path_node *node, struct path_node **to, struct file **file);
	/* Directories: their items, or lookup and list of their own on top. */
	const struct synthetic_item *children;
	size_t child_count;
	int (*lookup)(struct path_node *directory, const char *name, size_t length,
	              struct path_node **out);
	int (*list)(struct path_node *directory, uint64_t *position, char *name, uint64_t *inode,
	            uint32_t *mode);
};

/* A node of an item, named `name` in `parent`, whose pid, tid and number it inherits. */
int synthetic_node(struct path_node *parent, const struct synthetic_item *item, const char *name,
                   size_t length, struct path_node **out);
/* A top directory in the tree: /proc or /sys. */
int synthetic_mount(struct path_node *root, const char *name, const struct synthetic_item *item);
static inline const struct synthetic_item *synthetic_item_of(const struct path_node *node)
{
	return node->special.context;
}
/* "123": the number, or -1. */
int64_t parse_decimal(const char *text, size_t length);

#define SYNTHETIC_CHILDREN(table)                                                                  \
	.children = table, .child_count = sizeof(table) / sizeof((table)[0])

/* The parts of /proc that live in files of their own. */
#define PROC_SYS_ITEMS 4
extern const struct synthetic_item proc_sys_items[PROC_SYS_ITEMS];
#define PROC_NET_ITEMS 13
extern const struct synthetic_item proc_net_items[PROC_NET_ITEMS];
extern const struct synthetic_item proc_process_item; /* a directory of a process: special.pid */
/* proc_descriptors.c: its directories fd and fdinfo */
int proc_descriptors_lookup(struct path_node *directory, const char *name, size_t length,
                            struct path_node **out);
int proc_descriptors_list(struct path_node *directory, uint64_t *position, char *name,
                          uint64_t *inode, uint32_t *mode);
extern const struct synthetic_item sysfs_item;
