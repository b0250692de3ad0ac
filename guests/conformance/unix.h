/* What the cases of the group unix share. */
#pragma once

#include "conform.h"

#include <sys/un.h>

/* An address of AF_UNIX; a name that begins with @ is abstract. Returns its length. */
socklen_t unix_address(struct sockaddr_un *address, const char *name);
int unix_socket(int type);
int unix_bind(int fd, const char *name);
int unix_connect(int fd, const char *name);
/* Bound, and of SOCK_STREAM and SOCK_SEQPACKET listening too. */
int unix_server(int type, const char *name, int backlog);

/* sendmsg of one byte with descriptors; recvmsg of at most `bytes` bytes with room for `room` bytes
 * of control messages. */
ssize_t send_files(int fd, const int *files, int count);
/* Observes result, flags and each control message: `rights:N`, `credentials`. files: the
 * descriptors that came, up to 300; returns how many. */
int receive_files(const char *label, int fd, int *files, size_t room, int flags);
