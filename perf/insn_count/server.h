/* The UNIX socket at which a plugin's counters are read. */
#pragma once

#include <stdio.h>

/* Writes the answer to a request, one line without its end. */
typedef void server_answer_fn(FILE *out, const char *request);

/* Listens at `path`, in place of a socket that was left there, and answers each line of each
 * client; clients are independent of each other. Returns -1 after saying why not. */
int server_start(const char *path, server_answer_fn *answer);

/* Removes the socket. */
void server_stop(void);
