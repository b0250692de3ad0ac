/* Nodes and directory entries: a tree in memory. Pure; host-tested. */
#include "syscalls/files/node.h"

#include <errno.h>
#include <string.h>

#include "core/memory.h"
#include "core/panic.h"

#define FIRST_BUCKETS 8u
#define ROOT_DEVICE   1

uint64_t namespace_changes = 1;

static uint64_t last_inode;

struct path_node *node_create(uint32_t mode)
{
	struct path_node *node = heap_alloc_zeroed(sizeof(*node));
	if (!node)
		return NULL;
	node->refs = 1;
	node->mode = mode;
	node->seals = SEAL_SEAL;
	node->inode = ++last_inode;
	node->atime_ns = node->mtime_ns = node->ctime_ns = node_time_ns();
	list_init(&node->names);
	list_init(&node->locks);
	if (node_is_directory(node)) {
		list_init(&node->directory.order);
		node->directory.next_cookie = FIRST_COOKIE;
	}
	return node;
}

struct path_node *node_create_symlink(const char *target, size_t length)
{
	struct path_node *node = node_create(S_IFLNK | 0777);
	if (!node)
		return NULL;
	node->target = heap_alloc(length + 1);
	if (!node->target) {
		path_node_put(node);
		return NULL;
	}
	memcpy(node->target, target, length);
	node->target[length] = 0;
	return node;
}

struct path_node *path_node_get(struct path_node *node)
{
	node->refs++;
	return node;
}

static void entry_free(struct dir_entry *entry)
{
	struct path_node *parent = entry->linked ? NULL : entry->parent;
	list_remove(&entry->name_link);
	heap_free(entry);
	if (parent)
		path_node_put(parent);
}

void path_node_put(struct path_node *node)
{
	KASSERT(node->refs > 0);
	if (--node->refs)
		return;
	list_for_each_safe(link, &node->names)
	        entry_free(list_entry(link, struct dir_entry, name_link));
	if (node->operations) {
		if (node->operations->release)
			node->operations->release(node);
	} else if (node_is(node, S_IFREG)) {
		page_tree_truncate(&node->data.pages, 0);
	} else if (node_is_directory(node)) {
		heap_free(node->directory.buckets);
	} else if (node_is(node, S_IFLNK)) {
		heap_free(node->target);
	}
	heap_free(node);
}

uint64_t node_bytes(const struct path_node *node)
{
	if (node->operations)
		return 0;
	switch (node->mode & S_IFMT) {
	case S_IFREG:
		return node->data.bytes;
	case S_IFDIR:
		return (node->directory.count + 2) * 20;
	case S_IFLNK:
		return strlen(node->target);
	default:
		return 0;
	}
}

void node_status(const struct path_node *node, struct file_status *out)
{
	*out = (struct file_status){
		.device = node_is_fixed(node) ? node->operations->magic & 0xffff : ROOT_DEVICE,
		.inode = node->inode,
		.rdev = node->rdev,
		.size = node_bytes(node),
		.mode = node->mode,
		.links = node->links,
		.uid = node->uid,
		.gid = node->gid,
		.block_bytes = PAGE_SIZE,
		.atime_ns = node->atime_ns,
		.mtime_ns = node->mtime_ns,
		.ctime_ns = node->ctime_ns,
	};
	if (node_is_regular(node)) {
		uint64_t archive_pages = (node->data.archive_bytes + PAGE_MASK) >> PAGE_SHIFT;
		uint64_t pages = file_data_pages(&node->data);
		out->blocks = (pages > archive_pages ? pages : archive_pages) * (PAGE_SIZE / 512);
	}
}

/* FNV-1a, with a final mix since buckets use the low bits. */
uint32_t name_hash(const char *name, size_t length)
{
	uint32_t hash = 2166136261u;
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (uint8_t)name[i]) * 16777619u;
	return hash ^ (hash >> 15);
}

struct dir_entry *directory_find(const struct path_node *directory, const char *name, size_t length)
{
	const struct directory *contents = &directory->directory;
	if (!contents->buckets)
		return NULL;
	uint32_t hash = name_hash(name, length);
	struct dir_entry *entry = contents->buckets[hash & (contents->bucket_count - 1)];
	while (entry && (entry->hash != hash || entry->length != length ||
	                 memcmp(entry->name, name, length) != 0))
		entry = entry->hash_next;
	return entry;
}

static void bucket_insert(struct directory *contents, struct dir_entry *entry)
{
	struct dir_entry **bucket = &contents->buckets[entry->hash & (contents->bucket_count - 1)];
	entry->hash_next = *bucket;
	*bucket = entry;
}

/* Room for one more entry. Chains just get longer when memory for a larger table is short. */
static int directory_grow(struct directory *contents)
{
	if (contents->buckets && contents->count < contents->bucket_count)
		return 0;
	uint32_t count = contents->buckets ? contents->bucket_count * 2 : FIRST_BUCKETS;
	struct dir_entry **buckets = heap_alloc_zeroed(count * sizeof(*buckets));
	if (!buckets)
		return contents->buckets ? 0 : -ENOMEM;
	heap_free(contents->buckets);
	contents->buckets = buckets;
	contents->bucket_count = count;
	list_for_each(link, &contents->order)
	        bucket_insert(contents, list_entry(link, struct dir_entry, order));
	return 0;
}

static struct dir_entry *entry_create(const char *name, size_t length)
{
	struct dir_entry *entry = heap_alloc_zeroed(sizeof(*entry) + length + 1);
	if (!entry)
		return NULL;
	list_node_init(&entry->order);
	list_node_init(&entry->name_link);
	entry->length = (uint8_t)length;
	entry->hash = name_hash(name, length);
	memcpy(entry->name, name, length);
	return entry;
}

/* A removed node keeps its last name to be shown; a new name takes its place. */
static void drop_old_name(struct path_node *node)
{
	list_for_each_safe(link, &node->names)
	{
		struct dir_entry *entry = list_entry(link, struct dir_entry, name_link);
		if (!entry->linked)
			entry_free(entry);
	}
}

int directory_add(struct path_node *directory, const char *name, size_t length,
                  struct path_node *node)
{
	struct directory *contents = &directory->directory;
	if (length > NAME_BYTES_MAX)
		return -ENAMETOOLONG;
	if (node->links >= LINKS_MAX)
		return -EMLINK;
	struct dir_entry *entry = entry_create(name, length);
	if (!entry)
		return -ENOMEM;
	if (directory_grow(contents)) {
		heap_free(entry);
		return -ENOMEM;
	}
	drop_old_name(node);
	entry->parent = directory;
	entry->node = path_node_get(node);
	entry->cookie = contents->next_cookie++;
	entry->linked = true;
	bucket_insert(contents, entry);
	list_push_back(&contents->order, &entry->order);
	list_push_front(&node->names, &entry->name_link);
	contents->count++;
	node->links++;
	namespace_changes++;
	if (node_is_directory(node)) {
		node->links++; /* its own "." */
		directory->links++;
		contents->subdirectories++;
	}
	node_touch(directory);
	node->ctime_ns = directory->ctime_ns;
	return 0;
}

void directory_remove(struct dir_entry *entry)
{
	struct path_node *directory = entry->parent, *node = entry->node;
	struct directory *contents = &directory->directory;
	struct dir_entry **place = &contents->buckets[entry->hash & (contents->bucket_count - 1)];
	while (*place != entry)
		place = &(*place)->hash_next;
	*place = entry->hash_next;
	list_remove(&entry->order);
	contents->count--;
	node->links--;
	namespace_changes++;
	if (node_is_directory(node)) {
		node->links--;
		directory->links--;
		contents->subdirectories--;
	}
	node_touch(directory);
	node->ctime_ns = directory->ctime_ns;
	/* The last name stays readable ("... (deleted)"), and then holds the directory it was in.
	 */
	bool last_name = node->names.head.next->next == &node->names.head;
	if (last_name && node->refs > 1) {
		entry->linked = false;
		path_node_get(directory);
	} else {
		entry_free(entry);
	}
	path_node_put(node);
}

struct path_node *directory_parent(struct path_node *directory)
{
	if (list_is_empty(&directory->names))
		return directory;
	return list_entry(directory->names.head.next, struct dir_entry, name_link)->parent;
}

int node_set_name(struct path_node *node, struct path_node *parent, const char *name, size_t length)
{
	struct dir_entry *entry = entry_create(name, length);
	if (!entry)
		return -ENOMEM;
	entry->parent = path_node_get(parent);
	entry->node = node;
	list_push_front(&node->names, &entry->name_link);
	return 0;
}
