/*
 * The nodes of the name space and the directory entries that name them. One in-memory file system
 * holds everything; /proc, /sys and the like are nodes with operations of their own, made when they
 * are looked up.
 *
 * A node lives while it has references: one per entry that names it, one per open file, working
 * directory and so on.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "evloop/list.h"
#include "syscalls/files/file_data.h"
#include "syscalls/file.h"

enum {
	S_IFMT = 0170000,
	S_IFSOCK = 0140000,
	S_IFLNK = 0120000,
	S_IFREG = 0100000,
	S_IFBLK = 060000,
	S_IFDIR = 040000,
	S_IFCHR = 020000,
	S_IFIFO = 010000,
	S_ISUID = 04000,
	S_ISGID = 02000,
	S_ISVTX = 01000
};

#define NAME_BYTES_MAX 255
#define PATH_BYTES_MAX 4096 /* with the NUL */
#define LINKS_MAX      65000

struct thread;
struct path_node;
struct pipe;

/* A name in a directory. Owned by the directory while linked; by its node (as its last name)
 * afterwards. */
struct dir_entry {
	struct dir_entry *hash_next;
	struct list_node order;     /* directory's entries in the order of their cookies */
	struct list_node name_link; /* node's names */
	struct path_node *parent;   /* a reference is held only when not `linked` */
	struct path_node *node;
	uint64_t cookie; /* position for getdents64 */
	uint32_t hash;
	bool linked;
	uint8_t length;
	char name[];
};

struct directory {
	struct dir_entry **buckets; /* NULL while empty */
	uint32_t bucket_count, count;
	uint32_t subdirectories;
	struct list order;
	uint64_t next_cookie;
};

#define FIRST_COOKIE 2 /* behind "." and ".." */

/* Nodes that are not plain memory. Every member may be NULL. */
struct node_operations {
	/* A directory's child, with a reference; -ENOENT. Replaces the entries of the node. */
	int (*lookup)(struct thread *thread, struct path_node *directory, const char *name,
	              size_t length, struct path_node **out);
	/* Child number `position` (counted from 0, holes allowed): its name's length, 0 at the end;
	 * *position moves behind it. */
	int (*list)(struct path_node *directory, uint64_t *position, char *name, uint64_t *inode,
	            uint32_t *mode);
	/* readlink text: length or negative errno. */
	int (*read_link)(struct path_node *node, char *out, size_t room);
	/* A link that leads to an object, not to a name: exactly one of *node and *file is set,
	 * with a reference. */
	int (*follow)(struct path_node *node, struct path_node **to, struct file **file);
	/* open(2) of a node that is not a directory. */
	int (*open)(struct thread *thread, struct path_node *node, uint32_t flags,
	            struct file **out);
	/* The last reference is gone: what the operations hang from `context`. */
	void (*release)(struct path_node *node);
	uint64_t magic; /* statfs f_type */
};

struct path_node {
	uint32_t refs;
	uint32_t mode; /* type and permissions */
	uint32_t links, uid, gid;
	uint64_t inode, rdev;
	int64_t atime_ns, mtime_ns, ctime_ns;
	const struct node_operations *operations; /* NULL: memory */
	struct list names;         /* dir_entry.name_link; the first is the one to show */
	struct list locks;         /* struct file_lock */
	uint32_t seals;            /* enum file_seals */
	uint32_t writers, readers; /* FIFO: open ends */
	union {
		struct file_data data;      /* regular */
		struct directory directory; /* directory without operations->lookup */
		char *target;               /* symlink without operations */
		struct pipe *pipe;          /* FIFO, while open */
		struct {                    /* nodes with operations: theirs */
			const void *context;
			int32_t pid, tid;
			int32_t number;
		} special;
	};
};

enum file_seals { /* fcntl(F_ADD_SEALS) */
	          SEAL_SEAL = 1,
	          SEAL_SHRINK = 2,
	          SEAL_GROW = 4,
	          SEAL_WRITE = 8,
	          SEAL_FUTURE_WRITE = 0x10,
	          SEAL_EXEC = 0x20,
	          SEALS_ALL = 0x3f
};

/* refs 1, links 0, sealed against seals. NULL when memory is short. */
struct path_node *node_create(uint32_t mode);
struct path_node *node_create_symlink(const char *target, size_t length);
static inline bool node_is(const struct path_node *node, uint32_t type)
{
	return (node->mode & S_IFMT) == type;
}
static inline bool node_is_directory(const struct path_node *node)
{
	return node_is(node, S_IFDIR);
}
static inline bool node_is_regular(const struct path_node *node)
{
	return node_is(node, S_IFREG) && !node->operations;
}
#define TMPFS_MAGIC 0x01021994
/* Of /proc or /sys: cannot be changed, linked, moved or removed. (The name of a socket has
 * operations too, but is an ordinary name.) */
static inline bool node_is_fixed(const struct path_node *node)
{
	return node->operations && node->operations->magic != TMPFS_MAGIC;
}
uint64_t node_bytes(const struct path_node *node);
void node_status(const struct path_node *node, struct file_status *out);
/* Wall clock of the running turn. */
int64_t node_time_ns(void);
static inline void node_touch(struct path_node *node)
{
	node->mtime_ns = node->ctime_ns = node_time_ns();
}

/* Counts what may change where a path leads or who may go there: names made and removed, modes and
 * owners set. Never 0. */
extern uint64_t namespace_changes;

uint32_t name_hash(const char *name, size_t length);
/* The entry, or NULL. */
struct dir_entry *directory_find(const struct path_node *directory, const char *name,
                                 size_t length);
/* Name `node` in the directory (takes a reference, counts the link). The name must be free.
 * -ENOMEM, -ENAMETOOLONG, -EMLINK. */
int directory_add(struct path_node *directory, const char *name, size_t length,
                  struct path_node *node);
/* Take the name away: the node lives on while something holds it. */
void directory_remove(struct dir_entry *entry);
/* The directory that holds a directory (itself for a root), without a reference. */
struct path_node *directory_parent(struct path_node *directory);
/* Give a node made by a lookup operation its name (takes a reference of the parent). -ENOMEM. */
int node_set_name(struct path_node *node, struct path_node *parent, const char *name,
                  size_t length);
