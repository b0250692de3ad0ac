/* Path names: fetching them from user memory, walking them, permissions on the way. */
#pragma once

#include "core/address.h"
#include "syscalls/files/node.h"
#include "syscalls/thread.h"

enum {
	AT_FDCWD = -100,
	AT_SYMLINK_NOFOLLOW = 0x100,
	AT_EACCESS = 0x200,
	AT_REMOVEDIR = 0x200,
	AT_SYMLINK_FOLLOW = 0x400,
	AT_NO_AUTOMOUNT = 0x800,
	AT_EMPTY_PATH = 0x1000,
	AT_STATX_SYNC_TYPE = 0x6000
};

#define PATH_INLINE_BYTES 128

/* A path in kernel memory; paths of ordinary length need no allocation. */
struct user_path {
	char *text;
	size_t length;
	union {
		char inline_text[PATH_INLINE_BYTES];
		uint64_t inline_words[PATH_INLINE_BYTES / 8];
	};
};

/* -EFAULT, -ENAMETOOLONG, -ENOMEM. */
int user_path_get(struct user_path *path, struct user_addr from);
void user_path_put(struct user_path *path);

enum walk_flags {
	WALK_FOLLOW = 1,      /* a symlink in the last place is followed */
	WALK_PARENT = 2,      /* the last name need not exist: its directory is wanted */
	WALK_EMPTY = 4,       /* "" means the starting point (AT_EMPTY_PATH) */
	WALK_NO_SYMLINKS = 8, /* openat2 RESOLVE_NO_SYMLINKS */
	WALK_NO_MAGIC = 16,   /* RESOLVE_NO_MAGICLINKS */
	WALK_BENEATH = 32,    /* RESOLVE_BENEATH */
	WALK_IN_ROOT = 64,    /* RESOLVE_IN_ROOT */
};

struct walk {
	struct path_node *node; /* what the path names; NULL when it does not exist (WALK_PARENT). A
	                           reference */
	struct path_node *parent; /* WALK_PARENT: the directory. A reference */
	struct file *file;        /* a magic link led to an object without a node. A reference */
	char name[NAME_BYTES_MAX + 1]; /* WALK_PARENT: the last name; "." or ".." when the path ends
	                                  so, "" for the root */
	uint32_t name_length;
	bool trailing_slash; /* a directory is demanded */
	bool plain; /* it met nothing but nodes in memory: the same path leads there again until
	               namespace_changes */
	struct dir_entry *entry; /* the last name's entry, if it has one (valid until the directory
	                            changes) */
};

/* `directory`: a descriptor or AT_FDCWD. 0 or negative errno (nothing is held then). */
int walk_at(struct thread *thread, int directory, const char *path, unsigned flags,
            struct walk *out);
void walk_end(struct walk *walk);
/* Nothing found yet. */
static inline void walk_begin(struct walk *walk)
{
	walk->node = walk->parent = NULL;
	walk->file = NULL;
	walk->entry = NULL;
	walk->name[0] = 0;
	walk->name_length = 0;
	walk->trailing_slash = walk->plain = false;
}
/* walk_at by a path from user memory; what it finds is remembered for a while (recent_paths.c). */
int walk_path(struct thread *thread, int directory, struct user_path *path, unsigned flags,
              struct walk *out);
/* The common case: the node that a user's path names, with a reference. */
int walk_user(struct thread *thread, int directory, struct user_addr path, unsigned flags,
              struct walk *out);

enum { MAY_EXECUTE = 1, MAY_WRITE = 2, MAY_READ = 4 };
/* Against the file-system ids. 0, -EACCES. */
int node_permission(const struct thread *thread, const struct path_node *node, unsigned want);
/* Against the real ids (access(2)). */
int node_permission_real(const struct thread *thread, const struct path_node *node, unsigned want);
/* A program that runs must not be written: -ETXTBSY. */
bool node_is_executing(const struct path_node *node);
/* Owner or CAP_FOWNER: chmod, utimes. */
bool node_is_owned(const struct thread *thread, const struct path_node *node);

/* Open a node that was found (openat behind the walk). */
int node_open(struct thread *thread, struct path_node *node, uint32_t flags, struct file **out);
