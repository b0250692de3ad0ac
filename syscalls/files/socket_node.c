/* Names of AF_UNIX sockets in the file system. */
#include "syscalls/files/socket_node.h"

#include <errno.h>

#include "syscalls/files/path.h"
#include "syscalls/process.h"

static int socket_node_open(struct thread *thread, struct path_node *node, uint32_t flags,
                            struct file **out)
{
	(void)thread;
	(void)node;
	(void)flags;
	(void)out;
	return -ENXIO;
}

static const struct node_operations socket_node_operations = {
	.open = socket_node_open, .magic = 0x01021994, /* tmpfs, as the file system around it */
};

static int make_in(struct thread *thread, const struct walk *walk, uint32_t permissions,
                   void *object, struct path_node **out)
{
	if (walk->node)
		return -EADDRINUSE;
	int error = node_permission(thread, walk->parent, MAY_WRITE | MAY_EXECUTE);
	if (error)
		return error;
	struct path_node *node =
	        node_create(S_IFSOCK | (permissions & ~thread->process->fs->umask));
	if (!node)
		return -ENOMEM;
	node->operations = &socket_node_operations;
	node->special.context = object;
	node->uid = thread->process->credentials.fsuid;
	node->gid = thread->process->credentials.fsgid;
	error = directory_add(walk->parent, walk->name, walk->name_length, node);
	if (error)
		path_node_put(node);
	else
		*out = node;
	return error;
}

int socket_node_make(struct thread *thread, const char *path, uint32_t permissions, void *object,
                     struct path_node **out)
{
	struct walk walk;
	int error = walk_at(thread, AT_FDCWD, path, WALK_PARENT, &walk);
	if (error)
		return error;
	error = make_in(thread, &walk, permissions, object, out);
	walk_end(&walk);
	return error;
}

void socket_node_detach(struct path_node *node)
{
	node->special.context = NULL;
	path_node_put(node);
}

int socket_node_find(struct thread *thread, const char *path, void **object)
{
	struct walk walk;
	int error = walk_at(thread, AT_FDCWD, path, WALK_FOLLOW, &walk);
	if (error)
		return error;
	const struct path_node *node = walk.node;
	if (!node || node->operations != &socket_node_operations)
		error = -ECONNREFUSED;
	else if (node_permission(thread, node, MAY_WRITE))
		error = -EACCES;
	else if (!node->special.context)
		error = -ECONNREFUSED;
	else
		*object = (void *)node->special.context;
	walk_end(&walk);
	return error;
}
