/* The initial root: the archive's entries become nodes whose data stays where the boot loader put
 * it; then the directories and devices that every program may count on. */
#include <errno.h>
#include <string.h>

#include "core/boot.h"
#include "core/console.h"
#include "syscalls/files/cpio.h"
#include "syscalls/files/devices.h"
#include "syscalls/files/memfs.h"
#include "syscalls/files/path.h"
#include "syscalls/files/proc.h"
#include "syscalls/files/root.h"
#include "syscalls/process.h"

#define NANOSECONDS 1000000000ll
#define LINK_TABLE  64u

static struct path_node *root;

/* Files with several names: newc repeats the inode number, and the data stands at one of the names.
 */
struct linked_file {
	struct linked_file *next;
	uint64_t device;
	uint32_t inode;
	struct path_node *node;
};

struct loader {
	struct linked_file *links[LINK_TABLE];
	uint64_t entries, skipped;
};

struct path_node *root_node(void)
{
	return root;
}

int root_make_directory(struct path_node *parent, const char *name, uint32_t mode,
                        struct path_node **out)
{
	size_t length = strlen(name);
	struct dir_entry *entry = directory_find(parent, name, length);
	if (entry) {
		*out = entry->node;
		return node_is_directory(entry->node) ? 0 : -ENOTDIR;
	}
	struct path_node *node = node_create(S_IFDIR | mode);
	if (!node)
		return -ENOMEM;
	int error = directory_add(parent, name, length, node);
	*out = node;
	path_node_put(node);
	return error;
}

/* Next component of `*path`, without slashes and "."; length 0 at the end. */
static size_t next_component(const char **path)
{
	for (;;) {
		while (**path == '/')
			++*path;
		size_t length = 0;
		while ((*path)[length] && (*path)[length] != '/')
			length++;
		if (length != 1 || **path != '.')
			return length;
		++*path;
	}
}

/* The directory that a name belongs into; missing ones are made. Symlinks on the way are not
 * followed. */
static int parent_of(const char **name, size_t *length, struct path_node **out)
{
	struct path_node *at = root;
	size_t part = next_component(name);
	for (;;) {
		const char *rest = *name + part;
		size_t next = next_component(&rest);
		if (part > NAME_BYTES_MAX || (part == 2 && memcmp(*name, "..", 2) == 0))
			return -EINVAL;
		if (!next)
			break;
		char component[NAME_BYTES_MAX + 1];
		memcpy(component, *name, part);
		component[part] = 0;
		int error = root_make_directory(at, component, 0755, &at);
		if (error)
			return error;
		*name = rest;
		part = next;
	}
	*length = part;
	*out = at;
	return 0;
}

static void set_data(struct path_node *node, const struct cpio_entry *entry)
{
	if (!entry->data_bytes)
		return;
	node->data.archive = entry->data;
	node->data.archive_bytes = node->data.bytes = entry->data_bytes;
}

/* Node of an entry of a file with several names, or NULL for the first of them. */
static struct linked_file *find_link(struct loader *loader, const struct cpio_entry *entry)
{
	struct linked_file *at = loader->links[entry->inode % LINK_TABLE];
	uint64_t device = (uint64_t)entry->device_major << 32 | entry->device_minor;
	while (at && (at->inode != entry->inode || at->device != device))
		at = at->next;
	return at;
}

static int remember_link(struct loader *loader, const struct cpio_entry *entry,
                         struct path_node *node)
{
	struct linked_file *link = heap_alloc(sizeof(*link));
	if (!link)
		return -ENOMEM;
	link->inode = entry->inode;
	link->device = (uint64_t)entry->device_major << 32 | entry->device_minor;
	link->node = node;
	link->next = loader->links[entry->inode % LINK_TABLE];
	loader->links[entry->inode % LINK_TABLE] = link;
	return 0;
}

static void set_attributes(struct path_node *node, const struct cpio_entry *entry)
{
	node->mode = (entry->mode & (S_IFMT | 07777));
	node->uid = entry->uid;
	node->gid = entry->gid;
	node->atime_ns = node->mtime_ns = node->ctime_ns = entry->mtime * NANOSECONDS;
}

static struct path_node *make_node(const struct cpio_entry *entry)
{
	struct path_node *node;
	if ((entry->mode & S_IFMT) == S_IFLNK)
		node = node_create_symlink((const char *)entry->data,
		                           strnlen((const char *)entry->data, entry->data_bytes));
	else
		node = node_create(entry->mode & S_IFMT);
	if (!node)
		return NULL;
	set_attributes(node, entry);
	node->rdev = device_encode(entry->rdev_major, entry->rdev_minor);
	if (node_is_regular(node))
		set_data(node, entry);
	return node;
}

static bool type_is_known(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return true;
	default:
		return false;
	}
}

static int load_entry(struct loader *loader, const struct cpio_entry *entry)
{
	const char *name = entry->name;
	size_t length;
	struct path_node *parent, *node;
	bool is_directory = (entry->mode & S_IFMT) == S_IFDIR;
	int error = type_is_known(entry->mode) ? parent_of(&name, &length, &parent) : -EINVAL;
	if (error)
		return error;
	if (!length) { /* "." : the root's own attributes */
		if (is_directory)
			set_attributes(root, entry);
		return 0;
	}
	struct dir_entry *existing = directory_find(parent, name, length);
	if (existing && is_directory && node_is_directory(existing->node)) {
		set_attributes(existing->node, entry);
		return 0;
	}
	if (existing && node_is_directory(existing->node))
		return -EINVAL;
	if (existing) /* a later entry of the same name replaces it */
		directory_remove(existing);
	bool several = entry->links > 1 && (entry->mode & S_IFMT) == S_IFREG;
	struct linked_file *link = several ? find_link(loader, entry) : NULL;
	if (link) {
		set_data(link->node, entry);
		return directory_add(parent, name, length, link->node);
	}
	node = make_node(entry);
	if (!node)
		return -ENOMEM;
	error = directory_add(parent, name, length, node);
	if (!error && several && !remember_link(loader, entry, node))
		return 0; /* the table keeps our reference */
	path_node_put(node);
	return error;
}

static void loader_end(struct loader *loader)
{
	for (unsigned i = 0; i < LINK_TABLE; i++) {
		while (loader->links[i]) {
			struct linked_file *link = loader->links[i];
			loader->links[i] = link->next;
			path_node_put(link->node);
			heap_free(link);
		}
	}
}

int root_load_archive(const void *archive, uint64_t bytes)
{
	struct loader loader = { 0 };
	struct cpio_reader reader;
	struct cpio_entry entry;
	int result;
	cpio_open(&reader, archive, bytes);
	while ((result = cpio_next(&reader, &entry)) == 1) {
		int error = load_entry(&loader, &entry);
		if (error == -ENOMEM) {
			result = error;
			break;
		}
		loader.entries++;
		if (error) {
			loader.skipped++;
			log_warning("initrd: skipped %s (error %d)", entry.name, -error);
		}
	}
	loader_end(&loader);
	if (result == -EINVAL)
		log_error("initrd: at byte %lu of %lu: %s", (unsigned long)reader.position,
		          (unsigned long)bytes, reader.error);
	log_info("initrd: %lu entries, %lu skipped", (unsigned long)loader.entries,
	         (unsigned long)loader.skipped);
	return result;
}

/* The archive's pages belong to its files for ever: that reference is never put. */
static void hold_pages(const uint8_t *archive, uint64_t bytes)
{
	const struct page *first = page_of(archive), *last = page_of(archive + bytes - 1);
	page_hold(page_address(first), (uint64_t)(last - first) + 1);
}

static int make_standard_directories(void)
{
	static const struct {
		const char *name;
		uint32_t mode;
	} directories[] = { { "dev", 0755 }, { "tmp", 01777 }, { "run", 0755 }, { "root", 0700 } };
	struct path_node *made;
	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
		int error =
		        root_make_directory(root, directories[i].name, directories[i].mode, &made);
		/* a symlink of that name in the archive is its business */
		if (error && error != -ENOTDIR)
			return error;
	}
	return 0;
}

int files_init(const struct boot_information *boot)
{
	root = node_create(S_IFDIR | 0755);
	if (!root)
		return -ENOMEM;
	root->links = 1;
	int result = 0, error;
	if (boot->initrd) {
		hold_pages(boot->initrd, boot->initrd_bytes);
		result = root_load_archive(boot->initrd, boot->initrd_bytes);
		if (result == -ENOMEM)
			return result;
	}
	struct path_node *dev;
	error = make_standard_directories();
	if (!error)
		error = root_make_directory(root, "dev", 0755, &dev);
	if (!error)
		error = devices_populate(dev);
	if (!error)
		error = proc_init(root);
	if (!error)
		error = tty_init();
	return error ? error : result;
}

int files_first_process(struct thread *thread)
{
	struct fs_context *fs = thread->process->fs;
	fs->root = path_node_get(root);
	fs->cwd = path_node_get(root);
	struct file *console;
	int error = path_open(thread, "/dev/console", O_RDWR, &console);
	if (error)
		return error;
	for (int descriptor = 0; descriptor < 3 && !error; descriptor++) {
		int installed = file_install(thread, file_get(console), descriptor, false);
		if (installed < 0) {
			file_put(console);
			error = installed;
		}
	}
	file_put(console);
	return error;
}
