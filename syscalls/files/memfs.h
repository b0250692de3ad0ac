/* Open files on memory nodes. */
#pragma once

#include "syscalls/files/node.h"

/* A file on a regular node or a directory (also one with operations), or an O_PATH file on any
 * node. -ENOMEM. */
int memfs_open(struct path_node *node, uint32_t flags, struct file **out);
/* -EISDIR, -EINVAL (not a regular file), -EPERM (sealed), -EFBIG, -ENOSPC. */
int node_truncate(struct path_node *node, uint64_t bytes);
