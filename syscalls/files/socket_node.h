/* Names of AF_UNIX sockets in the file system. */
#pragma once

#include <stdint.h>

struct thread;
struct path_node;

/* Makes a node of type S_IFSOCK, with these permissions less the umask, that stands for `object`;
 * *out holds a reference. -EADDRINUSE (the name exists), and what mknod gives. */
int socket_node_make(struct thread *thread, const char *path, uint32_t permissions, void *object,
                     struct path_node **out);
/* The socket is closed: the node stays, connecting to it is refused from now on. Drops the
 * reference. */
void socket_node_detach(struct path_node *node);
/* The object behind a path: -ECONNREFUSED when it is closed or not a socket, -EACCES, -ENOENT... */
int socket_node_find(struct thread *thread, const char *path, void **object);
