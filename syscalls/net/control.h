/* Control messages (cmsg(3)): what sendmsg brings and what recvmsg hands out. */
#pragma once

#include "syscalls/net/socket.h"

/* A user who has files in flight; counted by the file_rights of that user. */
struct rights_user {
	struct list_node link;
	uint32_t refs, uid;
	uint64_t in_flight;
};

/* Open files on their way through an AF_UNIX socket; each holds a reference. */
struct file_rights {
	struct list_node link; /* while it waits to be freed */
	struct rights_user *user;
	uint32_t count;
	bool in_flight; /* counted in user->in_flight */
	struct file *files[];
};

/* Parsed control messages of one sendmsg. */
struct send_control {
	struct file_rights *rights; /* SCM_RIGHTS; owned, or NULL */
	struct user_credentials credentials;
	struct ipv4_address source; /* IP_PKTINFO ipi_spec_dst; 0: none */
	uint32_t interface;         /* its ipi_ifindex; 0: none */
	int32_t ttl, tos;           /* -1: not given */
	int32_t segment;            /* UDP_SEGMENT; -1: not given */
	bool has_credentials, has_information;
};

/* -EINVAL, -EFAULT, -EPERM (credentials of others), -EBADF, -ENOBUFS, -ENOMEM, -ETOOMANYREFS. On
 * success control_release later. */
int control_parse(struct thread *thread, const struct socket *socket, struct user_addr from,
                  uint64_t length, struct send_control *out);
void control_release(struct send_control *control);
void file_rights_free(struct file_rights *rights);
/* A second set of references, which is in flight until it is freed. NULL when memory is short. */
struct file_rights *file_rights_copy(const struct file_rights *rights);

/* unix_cycles.c: a reference to a file begins to be in flight, or ends; the file may be a socket
 * that nothing else refers to. */
void unix_flight_begin(struct file *file);
void unix_flight_end(struct file *file);

/* Writes cmsgs into user memory; what does not fit sets `truncated` (MSG_CTRUNC). */
struct control_writer {
	uint64_t at, room; /* where the next one goes, bytes left there */
	uint64_t used;
	bool truncated, faulted;
};
void control_put(struct control_writer *writer, int level, int type, const void *data,
                 uint32_t bytes);
/* Installs the files in the thread's table; references are taken, the rights stay the caller's. */
void control_put_rights(struct thread *thread, struct control_writer *writer,
                        const struct file_rights *rights, bool close_on_exec);
