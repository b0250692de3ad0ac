/* The root of the name space and its first contents. */
#pragma once

#include "syscalls/files/node.h"

/* Borrowed. */
struct path_node *root_node(void);
/* A directory in memory, existing or new; *out is borrowed. -ENOTDIR (the name is something else),
 * -ENOMEM. */
int root_make_directory(struct path_node *parent, const char *name, uint32_t mode,
                        struct path_node **out);
/* -EINVAL: broken; what came before stays. -ENOMEM. */
int root_load_archive(const void *archive, uint64_t bytes);
