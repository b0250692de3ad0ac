/*
 * AF_UNIX sockets, within net/ (unix(7)).
 *
 * Messages queue at the receiver; each is charged to its sender's account until it is read, which
 * is what SO_SNDBUF bounds. An account outlives its socket while messages of it wait somewhere.
 */
#pragma once

#include "syscalls/net/control.h"
#include "syscalls/net/socket.h"

struct unix_socket;

struct unix_account {
	uint32_t refs;
	uint64_t charged;
	struct unix_socket *owner; /* NULL once closed */
};

struct unix_name { /* counted: bound sockets, their children, and messages share it */
	uint32_t refs;
	uint32_t length; /* family included */
	struct sockaddr_un address;
};

struct unix_message {
	struct list_node link;
	struct unix_account *account;
	struct unix_name *sender; /* or NULL */
	struct file_rights *rights;
	struct user_credentials credentials;
	uint64_t serial;  /* of the process that they name */
	uint64_t wall_ns; /* of arrival, where the receiver asked for it by then; or 0 */
	uint32_t charge;
	uint32_t length, offset; /* offset: bytes read already (streams) */
	bool peeked;             /* MSG_PEEK has seen it */
	uint8_t data[];
};

/* While messages hold references to a socket; see unix_cycles.c. */
struct unix_flight {
	struct list_node link; /* sockets in flight */
	struct list_node search_link;
	uint32_t count; /* references in messages */
	uint32_t unexplained;
	bool suspect;
};

struct unix_socket {
	struct socket socket; /* keep first */
	struct unix_account *account;
	struct unix_name *name;
	struct unix_name *peer_name; /* what the peer was called that is closed now */
	struct path_node *node;      /* bound to a path: holds a reference */
	struct list_node bound_link; /* unix_bound, while it has an abstract name */
	struct unix_socket *peer; /* streams: the other end; datagrams: the default destination */
	struct list followers;    /* datagrams: sockets whose peer is this one, by peer_link */
	struct list_node peer_link;
	struct list queue;        /* struct unix_message */
	struct unix_message *oob; /* of the queue: the urgent byte that was not read yet */
	uint32_t queue_count;
	uint64_t queue_bytes;
	struct list
	        waiting; /* sockets to be told when queue or backlog has room, by waiting_link */
	struct list_node waiting_link;
	struct list backlog; /* listener: connections to accept, by backlog_link */
	struct list_node backlog_link;
	uint32_t backlog_count, backlog_max;
	struct user_credentials peer_credentials; /* listener: its own, which clients get */
	uint64_t peer_serial;                     /* of the process that they name */
	struct group_list *peer_groups;           /* likewise; NULL: none */
	struct unix_flight flight;
	int error; /* SO_ERROR */
	bool listening, connected, embryo, peer_died;
	bool lacked_room; /* for what was sent: POLLOUT is worth a signal (O_ASYNC) */
};

#define UNIX_DATAGRAM_QUEUE_MAX 10 /* net.unix.max_dgram_qlen */

static inline struct unix_socket *unix_socket_of(struct socket *socket)
{
	return (struct unix_socket *)socket;
}
/* NULL: not an AF_UNIX socket. */
struct unix_socket *unix_socket_of_file(struct file *file);
static inline bool unix_is_stream_like(const struct unix_socket *local)
{
	return local->socket.type != SOCK_DGRAM;
}
static inline bool unix_queue_is_full(const struct unix_socket *local)
{
	return local->queue_count > UNIX_DATAGRAM_QUEUE_MAX;
}
static inline bool unix_is_writable(const struct unix_socket *local)
{
	return local->account->charged * 4 <= local->socket.options->send_buffer;
}

/* unix_name.c */
struct unix_name *unix_name_get(struct unix_name *name);
void unix_name_put(struct unix_name *name);
int unix_bind(struct thread *thread, struct socket *socket, const struct socket_name *name);
/* bind with the family alone: five hexadecimal digits that nobody has. Nothing when it has a name.
 */
int unix_bind_automatically(struct unix_socket *local);
/* SO_PASSCRED or SO_PASSPIDFD: senders are noted. */
static inline bool unix_wants_sender(const struct unix_socket *local)
{
	return local->socket.options->pass_credentials || local->socket.options->pass_pidfd;
}
/* They give the socket such a name before it connects or sends. */
static inline int unix_bind_for_credentials(struct unix_socket *local)
{
	return unix_wants_sender(local) ? unix_bind_automatically(local) : 0;
}
/* The socket of that name; of an abstract one that of this type: -ECONNREFUSED, -EINVAL, -ENOENT,
 * -EACCES... Borrowed. */
int unix_find(struct thread *thread, int type, const struct socket_name *name,
              struct unix_socket **out);
void unix_unbind(struct unix_socket *local);
void unix_name_copy(const struct unix_name *name, struct socket_name *out);

/* unix_urgent.c: urgent data of streams. As on Linux the byte is a message of its own, which stays
 * in the queue as a mark when MSG_OOB has taken it. */
long unix_receive_urgent(struct unix_socket *local, struct message *message);
/* The first message is the urgent one or an empty mark: what a receive that has so far `received`
 * something goes on with, perhaps a later one; NULL: nothing, it ends here. */
struct unix_message *unix_pass_mark(struct unix_socket *local, struct unix_message *first,
                                    uint32_t flags, bool received);
bool unix_at_mark(const struct unix_socket *local);
/* Is there a message in the queue, marks aside, that closing would throw away? */
bool unix_has_unread(const struct unix_socket *local);

static inline uint32_t unix_message_left(const struct unix_message *message)
{
	return message->length - message->offset;
}
static inline struct unix_message *unix_message_next(const struct unix_socket *local,
                                                     const struct unix_message *message)
{
	const struct list_node *next = message->link.next;
	return next == &local->queue.head ? NULL : list_entry(next, struct unix_message, link);
}
static inline struct unix_message *unix_message_first(const struct unix_socket *local)
{
	struct list_node *first = list_first(&local->queue);
	return first ? list_entry(first, struct unix_message, link) : NULL;
}

/* unix_data.c */
/* Takes it out of the queue and frees it. */
void unix_message_remove(struct unix_socket *local, struct unix_message *message);
long unix_send(struct thread *thread, struct socket *socket, struct message *message);
long unix_receive(struct thread *thread, struct socket *socket, struct message *message);
long unix_read(struct file *file, struct uio *uio, uint64_t offset);
long unix_write(struct file *file, struct uio *uio, uint64_t offset);
void unix_message_free(struct unix_message *message);
void unix_account_put(struct unix_account *account);
/* Hear, as POLLOUT on `local`, when `busy` has room. */
void unix_wait_for_room(struct unix_socket *local, struct unix_socket *busy);
void unix_tell_waiting(struct unix_socket *local);
/* The thread's, and its process's serial. */
uint64_t unix_credentials_of(struct thread *thread, struct user_credentials *out);

/* unix_cycles.c: sockets that nothing but messages in their own queues refers to */
/* An AF_UNIX socket is gone: others may now be out of everybody's reach. */
void unix_released(void);
