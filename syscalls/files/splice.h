/* splice(2), and sendfile(2) to a pipe. */
#pragma once

#include "syscalls/files/transfer.h"

/* Whether splice and sendfile can take bytes from a file, or give it some. */
bool splice_reads(const struct file *file);
bool splice_writes(const struct file *file);
/* A transfer whose `out` is a pipe: at most what that has room for. */
transfer_run splice_to_pipe;
