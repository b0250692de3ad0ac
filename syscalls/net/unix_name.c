/* Names of AF_UNIX sockets: paths, abstract names, none. */
#include <errno.h>
#include <string.h>

#include "core/console.h"
#include "core/memory.h"
#include "syscalls/files/socket_node.h"
#include "syscalls/net/socket_unix.h"

#define PATH_OFFSET ((uint32_t)offsetof(struct sockaddr_un, path))

/* Sockets with abstract names. */
static struct list unix_bound = { { &unix_bound.head, &unix_bound.head } };

struct unix_name *unix_name_get(struct unix_name *name)
{
	if (name)
		name->refs++;
	return name;
}

void unix_name_put(struct unix_name *name)
{
	if (name && --name->refs == 0)
		heap_free(name);
}

void unix_name_copy(const struct unix_name *name, struct socket_name *out)
{
	if (name) {
		out->length = name->length;
		memcpy(out->bytes, &name->address, sizeof(name->address));
		out->bytes[sizeof(name->address)] = 0; /* of a path that fills its field */
	} else {
		out->length = sizeof(out->family);
		out->family = AF_UNIX;
	}
}

/* The name in its one form: a path's length counts its NUL, an abstract name's is as given. */
static struct unix_name *name_create(const struct socket_name *from)
{
	struct unix_name *name = heap_alloc_zeroed(sizeof(*name));
	if (!name)
		return NULL;
	name->refs = 1;
	memcpy(&name->address, from->bytes, from->length);
	name->length = from->length;
	if (name->address.path[0])
		name->length =
		        PATH_OFFSET + (uint32_t)strnlen(name->address.path, SUN_PATH_BYTES) + 1;
	return name;
}

/* Each type of socket has names of its own. */
static struct unix_socket *find_abstract(int type, const void *path, uint32_t length)
{
	list_for_each(node, &unix_bound)
	{
		struct unix_socket *local = list_entry(node, struct unix_socket, bound_link);
		if (local->socket.type == type && local->name->length == PATH_OFFSET + length &&
		    memcmp(local->name->address.path, path, length) == 0)
			return local;
	}
	return NULL;
}

static int name_check(const struct socket_name *name)
{
	if (name->length <= PATH_OFFSET || name->length > sizeof(struct sockaddr_un) ||
	    name->family != AF_UNIX)
		return -EINVAL;
	return 0;
}

/* A path of full length has no NUL in the address. */
static void path_text(const struct socket_name *name, char text[SUN_PATH_BYTES + 1])
{
	uint32_t length = name->length - PATH_OFFSET;
	memcpy(text, name->local.path, length);
	text[length] = 0;
}

/* Linux makes the node before it sees that the socket has a name already: the error tells. */
static bool path_exists(struct thread *thread, const struct socket_name *name)
{
	char text[SUN_PATH_BYTES + 1];
	void *object;
	path_text(name, text);
	int error = socket_node_find(thread, text, &object);
	return error == 0 || error == -ECONNREFUSED;
}

int unix_bind_automatically(struct unix_socket *local)
{
	static uint32_t next;
	if (local->name)
		return 0;
	for (uint32_t tries = 0; tries <= 0xfffff; tries++) {
		struct socket_name name = { .length = PATH_OFFSET + 6 };
		name.family = AF_UNIX;
		name.local.path[0] = 0;
		format_string(name.local.path + 1, 6, "%05x", next++ & 0xfffff);
		if (find_abstract(local->socket.type, name.local.path, 6))
			continue;
		local->name = name_create(&name);
		if (!local->name)
			return -ENOMEM;
		list_push_back(&unix_bound, &local->bound_link);
		return 0;
	}
	return -ENOSPC;
}

int unix_bind(struct thread *thread, struct socket *socket, const struct socket_name *name)
{
	struct unix_socket *local = unix_socket_of(socket);
	if (name->length == PATH_OFFSET && name->family == AF_UNIX)
		return unix_bind_automatically(local);
	int error = name_check(name);
	if (error)
		return error;
	bool abstract = name->local.path[0] == 0;
	if (local->name)
		return !abstract && path_exists(thread, name) ? -EADDRINUSE : -EINVAL;
	if (abstract && find_abstract(socket->type, name->local.path, name->length - PATH_OFFSET))
		return -EADDRINUSE;
	struct unix_name *bound = name_create(name);
	if (!bound)
		return -ENOMEM;
	if (!abstract) {
		char text[SUN_PATH_BYTES + 1];
		path_text(name, text);
		error = socket_node_make(thread, text, socket->mode, local, &local->node);
		if (error) {
			unix_name_put(bound);
			return error;
		}
	}
	local->name = bound;
	if (abstract)
		list_push_back(&unix_bound, &local->bound_link);
	return 0;
}

void unix_unbind(struct unix_socket *local)
{
	list_remove(&local->bound_link);
	if (local->node)
		socket_node_detach(local->node);
	local->node = NULL;
}

int unix_find(struct thread *thread, int type, const struct socket_name *name,
              struct unix_socket **out)
{
	int error = name_check(name);
	if (error)
		return error;
	if (name->local.path[0] == 0) {
		*out = find_abstract(type, name->local.path, name->length - PATH_OFFSET);
		return *out ? 0 : -ECONNREFUSED;
	}
	char text[SUN_PATH_BYTES + 1];
	path_text(name, text);
	void *object = NULL;
	error = socket_node_find(thread, text, &object);
	*out = object;
	return error;
}
