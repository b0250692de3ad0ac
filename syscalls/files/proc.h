/* /proc and /sys: nodes that are made when they are looked up, texts that are made when they are
 * read. */
#pragma once

#include "syscalls/files/node.h"

/* Makes /proc and /sys in the root. -ENOMEM. */
int proc_init(struct path_node *root);
