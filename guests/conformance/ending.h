/* What the cases of the group ending share. */
#pragma once

#include "conform.h"

/* A way in which one end of a connection ends. */
enum ending { SHUT_READ, SHUT_WRITE, SHUT_BOTH, CLOSE, CLOSE_UNREAD, CLOSE_LINGER_0, ENDINGS };
extern const char *const ending_names[ENDINGS];

/* Ends that end; `pair[1]` has seen it when this returns. With CLOSE_UNREAD it had sent a byte
 * before. */
void end(int pair[2], enum ending how);
/* SO_ERROR. */
void observe_error(int fd);
/* What poll, two recv, two send (MSG_NOSIGNAL) and SO_ERROR say now, without waiting. */
void observe_state(int fd);
/* Waits until poll reports one of these. */
void wait_for(int fd, int events);
