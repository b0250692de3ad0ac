/* Directories: names added and removed at random against a table; links, hidden names, references.
 */
#include <errno.h>
#include <string.h>

#include "syscalls/files/node.h"
#include "syscalls/files/tests/host.h"

#define NAMES 300
#define STEPS 30000

int64_t node_time_ns(void)
{
	return 1;
}

static struct path_node *add_new(struct path_node *directory, const char *name, uint32_t mode)
{
	struct path_node *node = node_create(mode);
	CHECK_EQ(directory_add(directory, name, strlen(name), node), 0);
	path_node_put(node);
	return node;
}

static void test_model(void)
{
	struct path_node *root = node_create(S_IFDIR | 0755), *there[NAMES] = { 0 };
	unsigned count = 0;
	for (int i = 0; i < STEPS; i++) {
		unsigned which = (unsigned)(host_random() % NAMES);
		char name[32];
		int length = snprintf(name, sizeof(name), "file-%u", which * 7919);
		struct dir_entry *entry = directory_find(root, name, (size_t)length);
		CHECK((entry != NULL) == (there[which] != NULL));
		if (entry) {
			CHECK(entry->node == there[which]);
			directory_remove(entry);
			there[which] = NULL;
			count--;
		} else {
			there[which] = add_new(root, name, S_IFREG | 0644);
			count++;
		}
		CHECK_EQ(root->directory.count, count);
	}
	uint64_t last = 0;
	unsigned seen = 0;
	list_for_each(link, &root->directory.order)
	{
		struct dir_entry *entry = list_entry(link, struct dir_entry, order);
		CHECK(entry->cookie > last);
		last = entry->cookie;
		seen++;
	}
	CHECK_EQ(seen, count);
	struct list_node *link;
	while ((link = list_first(&root->directory.order)))
		directory_remove(list_entry(link, struct dir_entry, order));
	path_node_put(root);
	CHECK_EQ(host_blocks, 0);
}

static void test_links(void)
{
	struct path_node *root = node_create(S_IFDIR | 0755);
	struct path_node *sub = add_new(root, "sub", S_IFDIR | 0755);
	struct path_node *file = add_new(sub, "a", S_IFREG | 0644);
	CHECK_EQ(sub->links, 2);
	CHECK_EQ(directory_add(root, "b", 1, file), 0);
	CHECK_EQ(file->links, 2);
	CHECK_EQ(file->refs, 2);
	CHECK(directory_parent(sub) == root);
	CHECK(directory_parent(root) == root);

	/* Removed while held: the last name stays, and holds the directory it was in. */
	path_node_get(file);
	path_node_get(sub);
	directory_remove(directory_find(root, "b", 1));
	directory_remove(directory_find(sub, "a", 1));
	CHECK_EQ(file->links, 0);
	directory_remove(directory_find(root, "sub", 3));
	CHECK_EQ(root->directory.count, 0);
	CHECK(directory_parent(sub) == root);
	path_node_put(sub);
	struct dir_entry *old = list_entry(list_first(&file->names), struct dir_entry, name_link);
	CHECK(strcmp(old->name, "a") == 0 && !old->linked);

	/* It gets a name again: the hidden one goes. */
	CHECK_EQ(directory_add(root, "again", 5, file), 0);
	CHECK_EQ(file->links, 1);
	path_node_put(file);
	directory_remove(directory_find(root, "again", 5));
	path_node_put(root);
	CHECK_EQ(host_blocks, 0);
}

static void test_errors(void)
{
	struct path_node *root = node_create(S_IFDIR | 0755);
	struct path_node *node = node_create(S_IFREG | 0644);
	char name[NAME_BYTES_MAX + 2];
	memset(name, 'n', sizeof(name));
	CHECK_EQ(directory_add(root, name, NAME_BYTES_MAX + 1, node), -ENAMETOOLONG);
	CHECK_EQ(directory_add(root, name, NAME_BYTES_MAX, node), 0);
	for (long limit = 0; limit < 2; limit++) {
		struct path_node *empty = node_create(S_IFDIR | 0755);
		host_allocations_left = limit;
		CHECK_EQ(directory_add(empty, "x", 1, node), -ENOMEM);
		CHECK(!node_create_symlink("target", 6) || limit);
		host_allocations_left = -1;
		CHECK_EQ(empty->directory.count, 0);
		path_node_put(empty);
	}
	CHECK_EQ(node->links, 1);
	path_node_put(node);
	directory_remove(directory_find(root, name, NAME_BYTES_MAX));
	struct path_node *link = node_create_symlink("target", 6);
	CHECK_EQ(node_bytes(link), 6);
	path_node_put(link);
	path_node_put(root);
	CHECK_EQ(host_blocks, 0);
}

int main(void)
{
	test_model();
	test_links();
	test_errors();
	return 0;
}
