/*
 * Where paths led lately. A walk that met nothing but directories, links and names of the file
 * system in memory leads to the same node until a name is made or removed or permissions change:
 * namespace_changes counts all of these, and an entry is good for one value of it. Whose walk it
 * was (root, starting point, identity) is part of the key.
 */
#include <string.h>

#include "core/user.h"
#include "syscalls/files/path.h"
#include "syscalls/files/root.h"
#include "syscalls/process.h"

#define RECENT_BITS  6
#define RECENT_WORDS 8 /* of the longest path that is remembered */

/* Pointers are borrowed: whatever could end these nodes' lives counts as a change. */
static struct recent_path {
	uint64_t changes; /* 0: free */
	const struct path_node *root, *base;
	uint64_t capabilities;
	uint32_t fsuid, fsgid, flags;
	uint32_t length;
	uint64_t text[RECENT_WORDS]; /* padded with NULs */
	struct path_node *node;
	struct dir_entry *entry;
} recent[1 << RECENT_BITS];

/* Words of the text with its NUL. What follows the NUL in the last one is cleared. */
static uint32_t pad(struct user_path *path)
{
	uint64_t *text = path->inline_words;
	size_t last = path->length / 8;
	text[last] &= (1ull << path->length % 8 * 8) - 1;
	return (uint32_t)last + 1;
}

static struct recent_path *slot_of(const struct user_path *path, uint32_t words)
{
	uint64_t hash = path->length;
	for (uint32_t i = 0; i < words; i++)
		hash = (hash ^ path->inline_words[i]) * 0x9e3779b97f4a7c15ull;
	return &recent[hash >> (64 - RECENT_BITS)];
}

static bool text_matches(const struct recent_path *slot, const struct user_path *path,
                         uint32_t words)
{
	for (uint32_t i = 0; i < words; i++) {
		if (slot->text[i] != path->inline_words[i])
			return false;
	}
	return true;
}

static bool matches(const struct recent_path *slot, const struct user_path *path, uint32_t words,
                    const struct process *process, unsigned flags)
{
	const struct credentials *credentials = &process->credentials;
	return slot->changes == namespace_changes && slot->length == path->length &&
	       slot->flags == flags && slot->root == process->fs->root &&
	       slot->base == process->fs->cwd && slot->fsuid == credentials->fsuid &&
	       slot->fsgid == credentials->fsgid &&
	       slot->capabilities == credentials->capabilities && text_matches(slot, path, words);
}

static bool is_alive(const struct path_node *node)
{
	return node->links != 0 || node == root_node();
}

static void remember(struct recent_path *slot, const struct user_path *path, uint32_t words,
                     const struct process *process, unsigned flags, const struct walk *found)
{
	const struct credentials *credentials = &process->credentials;
	if (!found->plain || !found->entry || found->trailing_slash ||
	    !is_alive(process->fs->root) || !is_alive(process->fs->cwd))
		return;
	*slot = (struct recent_path){
		.changes = namespace_changes,
		.root = process->fs->root,
		.base = process->fs->cwd,
		.capabilities = credentials->capabilities,
		.fsuid = credentials->fsuid,
		.fsgid = credentials->fsgid,
		.flags = flags,
		.length = (uint32_t)path->length,
		.node = found->node,
		.entry = found->entry,
	};
	memcpy(slot->text, path->inline_words, words * sizeof(uint64_t));
}

int walk_path(struct thread *thread, int directory, struct user_path *path, unsigned flags,
              struct walk *out)
{
	const struct process *process = thread->process;
	bool ordinary = (flags & ~(unsigned)WALK_FOLLOW) == 0 && path->length != 0 &&
	                path->length < RECENT_WORDS * 8 &&
	                (path->inline_text[0] == '/' || directory == AT_FDCWD) &&
	                !process->credentials.groups;
	if (!ordinary)
		return walk_at(thread, directory, path->text, flags, out);
	uint32_t words = pad(path);
	struct recent_path *slot = slot_of(path, words);
	if (matches(slot, path, words, process, flags)) {
		walk_begin(out);
		out->node = path_node_get(slot->node);
		out->entry = slot->entry;
		return 0;
	}
	int error = walk_at(thread, directory, path->text, flags, out);
	if (!error)
		remember(slot, path, words, process, flags, out);
	return error;
}
