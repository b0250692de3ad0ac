/* AF_UNIX sockets: life, connecting, state. */
#include "syscalls/net/socket_unix.h"

#include <errno.h>
#include <string.h>

#include "core/console.h"
#include "core/memory.h"
#include "syscalls/process.h"
#include "syscalls/thread.h"

static const struct file_operations unix_file_operations;
static const struct socket_operations unix_socket_operations;

static const struct user_credentials nobody = { 0, UINT32_MAX, UINT32_MAX };

static struct unix_socket *unix_alloc(int type)
{
	struct unix_socket *local = heap_alloc_zeroed(sizeof(*local));
	struct unix_account *account = heap_alloc_zeroed(sizeof(*account));
	if (!local || !account) {
		heap_free(local);
		heap_free(account);
		return NULL;
	}
	account->refs = 1;
	account->owner = local;
	local->account = account;
	list_node_init(&local->bound_link);
	list_node_init(&local->peer_link);
	list_node_init(&local->waiting_link);
	list_node_init(&local->backlog_link);
	list_node_init(&local->flight.link);
	list_node_init(&local->flight.search_link);
	list_init(&local->followers);
	list_init(&local->queue);
	list_init(&local->waiting);
	list_init(&local->backlog);
	local->peer_credentials = nobody;
	socket_init(&local->socket, &unix_file_operations, &unix_socket_operations, AF_UNIX, type,
	            0);
	return local;
}

int unix_socket_create(int type, struct socket **out)
{
	struct unix_socket *local = unix_alloc(type);
	if (!local)
		return -ENOBUFS;
	*out = &local->socket;
	return 0;
}

/* ---- who the peer is (SO_PEERCRED, SO_PEERGROUPS, SO_PEERPIDFD) ---- */

/* The caller is the peer of `local`, with the groups that it has now. */
static void note_peer(struct thread *thread, struct unix_socket *local)
{
	local->peer_serial = unix_credentials_of(thread, &local->peer_credentials);
	group_list_put(local->peer_groups);
	local->peer_groups = group_list_get(thread->process->credentials.groups);
}

static void copy_peer(struct unix_socket *to, const struct unix_socket *from)
{
	to->peer_credentials = from->peer_credentials;
	to->peer_serial = from->peer_serial;
	group_list_put(to->peer_groups);
	to->peer_groups = group_list_get(from->peer_groups);
}

int unix_peer_groups(struct socket *socket, const struct group_list **out)
{
	const struct unix_socket *local = unix_socket_of(socket);
	*out = local->peer_groups;
	return local->peer_credentials.pid ? 0 : -ENODATA;
}

static int get_peer_pidfd(const struct unix_socket *local, void *value, uint32_t *length)
{
	if (!local->peer_credentials.pid)
		return -ENODATA;
	long descriptor =
	        pidfd_install(current_thread(), local->peer_credentials.pid, local->peer_serial);
	return descriptor < 0 ? (int)descriptor
	                      : option_put_int(value, length, (int32_t)descriptor);
}

static void connect_pair(struct unix_socket *a, struct unix_socket *b)
{
	a->peer = b;
	b->peer = a;
	a->connected = b->connected = true;
	if (!unix_is_stream_like(a)) {
		list_push_back(&b->followers, &a->peer_link);
		list_push_back(&a->followers, &b->peer_link);
	}
}

void unix_socket_join(struct thread *thread, struct socket *a, struct socket *b)
{
	struct unix_socket *one = unix_socket_of(a), *other = unix_socket_of(b);
	note_peer(thread, one);
	copy_peer(other, one);
	connect_pair(one, other);
}

/* POLLHUP reaches all. */
static void notify_all(struct unix_socket *local, uint32_t tell)
{
	file_notify(&local->socket.file,
	            socket_poll_bits(POLLIN | POLLOUT) | POLLHUP | POLLRDHUP | tell);
}

/* ---- the end ---- */

static void remember_peer_name(struct unix_socket *local, const struct unix_socket *peer)
{
	unix_name_put(local->peer_name);
	local->peer_name = unix_name_get(peer->name);
}

static void leave_stream_peer(struct unix_socket *local)
{
	struct unix_socket *peer = local->peer;
	if (!peer)
		return;
	peer->peer = NULL;
	remember_peer_name(peer, local);
	peer->socket.shut = SOCKET_SHUT_RECEIVE | SOCKET_SHUT_SEND;
	if (unix_has_unread(local) || local->embryo)
		peer->error = ECONNRESET;
	notify_all(peer, FILE_TELL_HUP);
}

static void leave_datagram_peers(struct unix_socket *local)
{
	list_remove(&local->peer_link);
	struct list_node *node;
	while ((node = list_pop_front(&local->followers))) {
		struct unix_socket *follower = list_entry(node, struct unix_socket, peer_link);
		follower->peer = NULL;
		remember_peer_name(follower, local);
		follower->connected = false;
		follower->peer_died = true;
		notify_all(follower, FILE_TELL_NOTHING);
	}
}

static void unix_release(struct file *file)
{
	struct unix_socket *local = unix_socket_of(socket_of(file));
	unix_unbind(local);
	if (unix_is_stream_like(local))
		leave_stream_peer(local);
	else
		leave_datagram_peers(local);
	struct list_node *node;
	while ((node = list_pop_front(&local->backlog)))
		file_put(&list_entry(node, struct unix_socket, backlog_link)->socket.file);
	while ((node = list_pop_front(&local->queue)))
		unix_message_free(list_entry(node, struct unix_message, link));
	unix_tell_waiting(local);
	list_remove(&local->waiting_link);
	local->account->owner = NULL;
	unix_account_put(local->account);
	unix_name_put(local->name);
	unix_name_put(local->peer_name);
	group_list_put(local->peer_groups);
	socket_fini(&local->socket);
	heap_free(local);
	unix_released();
}

struct unix_socket *unix_socket_of_file(struct file *file)
{
	return file->operations == &unix_file_operations ? unix_socket_of(socket_of(file)) : NULL;
}

/* ---- connecting ---- */

static int unix_listen(struct socket *socket, int backlog)
{
	struct unix_socket *local = unix_socket_of(socket);
	if (!unix_is_stream_like(local))
		return -EOPNOTSUPP;
	if (!local->name || local->connected)
		return -EINVAL;
	note_peer(current_thread(), local);
	local->listening = true;
	local->backlog_max = (uint32_t)backlog;
	unix_tell_waiting(local);
	return 0;
}

static int connect_datagram(struct thread *thread, struct unix_socket *local,
                            const struct socket_name *name)
{
	struct unix_socket *peer = NULL;
	if (name->family != AF_UNSPEC) {
		int error = unix_bind_for_credentials(local);
		if (!error)
			error = unix_find(thread, SOCK_DGRAM, name, &peer);
		if (error)
			return error;
		if (peer->socket.type != SOCK_DGRAM)
			return -EPROTOTYPE;
		if (peer->peer && peer->peer != local)
			return -EPERM;
	}
	list_remove(&local->peer_link);
	local->peer = peer;
	local->connected = peer != NULL;
	local->peer_died = false;
	if (peer)
		list_push_back(&peer->followers, &local->peer_link);
	return 0;
}

static int connect_stream(struct thread *thread, struct unix_socket *local,
                          const struct socket_name *name)
{
	struct unix_socket *listener;
	int error = unix_bind_for_credentials(local);
	if (!error)
		error = unix_find(thread, local->socket.type, name, &listener);
	if (error)
		return error;
	if (listener->socket.type != local->socket.type)
		return -EPROTOTYPE;
	if (!listener->listening || (listener->socket.shut & SOCKET_SHUT_RECEIVE))
		return -ECONNREFUSED;
	if (listener->backlog_count > listener->backlog_max) {
		unix_wait_for_room(local, listener);
		return -EAGAIN;
	}
	if (local->connected)
		return -EISCONN;
	if (local->listening)
		return -EINVAL;
	struct unix_socket *server = unix_alloc(local->socket.type);
	if (!server)
		return -ENOMEM;
	if (unix_wants_sender(listener)) { /* the only options that are inherited */
		struct socket_options *options = socket_options_change(&server->socket);
		if (!options) {
			file_put(&server->socket.file);
			return -ENOMEM;
		}
		options->pass_credentials = listener->socket.options->pass_credentials;
		options->pass_pidfd = listener->socket.options->pass_pidfd;
	}
	note_peer(thread, server);
	copy_peer(local, listener);
	connect_pair(local, server);
	server->embryo = true;
	server->name = unix_name_get(listener->name);
	list_push_back(&listener->backlog, &server->backlog_link);
	listener->backlog_count++;
	file_notify(&listener->socket.file, socket_poll_bits(POLLIN));
	return 0;
}

static int unix_connect(struct thread *thread, struct socket *socket,
                        const struct socket_name *name)
{
	struct unix_socket *local = unix_socket_of(socket);
	if (!unix_is_stream_like(local))
		return connect_datagram(thread, local, name);
	return connect_stream(thread, local, name);
}

static int unix_connect_result(struct socket *socket)
{
	(void)socket;
	return 0;
}

static int unix_accept(struct socket *socket, struct socket **out)
{
	struct unix_socket *local = unix_socket_of(socket);
	if (!unix_is_stream_like(local))
		return -EOPNOTSUPP;
	if (!local->listening)
		return -EINVAL;
	struct list_node *node = list_pop_front(&local->backlog);
	if (!node)
		return socket->shut & SOCKET_SHUT_RECEIVE ? -EINVAL : -EAGAIN;
	struct unix_socket *server = list_entry(node, struct unix_socket, backlog_link);
	server->embryo = false;
	local->backlog_count--;
	unix_tell_waiting(local);
	*out = &server->socket;
	return 0;
}

static int unix_name(struct socket *socket, int peer, struct socket_name *out)
{
	struct unix_socket *local = unix_socket_of(socket);
	const struct unix_name *name = local->name;
	if (peer) {
		if (!local->connected && !local->peer_died)
			return -ENOTCONN;
		name = local->peer ? local->peer->name : local->peer_name;
	}
	unix_name_copy(name, out);
	return 0;
}

static int unix_shutdown(struct socket *socket, bool receive, bool send)
{
	struct unix_socket *local = unix_socket_of(socket);
	struct unix_socket *peer = local->peer;
	socket->shut |= (receive ? SOCKET_SHUT_RECEIVE : 0) | (send ? SOCKET_SHUT_SEND : 0);
	if (peer && unix_is_stream_like(local)) {
		peer->socket.shut |=
		        (receive ? SOCKET_SHUT_SEND : 0) | (send ? SOCKET_SHUT_RECEIVE : 0);
		notify_all(peer, receive && send ? FILE_TELL_HUP
		                 : send          ? FILE_TELL_IN
		                                 : FILE_TELL_NOTHING);
	}
	notify_all(local, FILE_TELL_NOTHING);
	return 0;
}

/* ---- state ---- */

static uint32_t unix_poll(struct file *file)
{
	struct unix_socket *local = unix_socket_of(socket_of(file));
	uint32_t bits = local->error ? POLLERR : 0;
	if (local->socket.shut == (SOCKET_SHUT_RECEIVE | SOCKET_SHUT_SEND))
		bits |= POLLHUP;
	if (local->socket.shut & SOCKET_SHUT_RECEIVE)
		bits |= POLLRDHUP | POLLIN;
	if (!list_is_empty(&local->queue) || !list_is_empty(&local->backlog))
		bits |= POLLIN;
	if (local->oob)
		bits |= POLLPRI;
	if (unix_is_stream_like(local) && !local->connected && !local->listening)
		bits |= POLLHUP;
	struct unix_socket *peer = local->peer;
	bool blocked = !unix_is_stream_like(local) && peer && peer != local &&
	               peer->peer != local && unix_queue_is_full(peer);
	if (blocked)
		unix_wait_for_room(local, peer);
	if (!local->listening && !blocked && unix_is_writable(local))
		bits |= POLLOUT | POLLWRBAND;
	else if (!unix_is_stream_like(local))
		local->lacked_room = true;
	return socket_poll_bits(bits);
}

static int unix_take_error(struct socket *socket)
{
	struct unix_socket *local = unix_socket_of(socket);
	int error = local->error;
	local->error = 0;
	return error;
}

static bool unix_is_listening(struct socket *socket)
{
	return unix_socket_of(socket)->listening;
}

static long unix_ioctl(struct socket *socket, uint32_t command, uint64_t argument)
{
	struct unix_socket *local = unix_socket_of(socket);
	uint64_t value;
	if (command == SIOCATMARK && local->socket.type == SOCK_STREAM) {
		value = unix_at_mark(local);
	} else if (command == TIOCOUTQ) {
		value = local->account->charged;
	} else if (command != FIONREAD) {
		return -ENOTTY;
	} else if (local->listening) {
		return -EINVAL;
	} else if (unix_is_stream_like(local)) {
		value = local->queue_bytes;
	} else {
		struct list_node *node = list_first(&local->queue);
		value = node ? list_entry(node, struct unix_message, link)->length : 0;
	}
	int32_t number = (int32_t)value;
	return copy_to_user(user(argument), &number, sizeof(number));
}

static int unix_get_option(struct socket *socket, int level, int name, void *value,
                           uint32_t *length)
{
	const struct unix_socket *local = unix_socket_of(socket);
	if (level == SOL_SOCKET && name == SO_PEERPIDFD)
		return get_peer_pidfd(local, value, length);
	if (level != SOL_SOCKET || name != SO_PEERCRED)
		return -ENOPROTOOPT;
	if (*length > sizeof(local->peer_credentials))
		*length = sizeof(local->peer_credentials);
	memcpy(value, &local->peer_credentials, *length);
	return 0;
}

static int unix_describe(struct socket *socket, char *out, size_t room)
{
	const struct unix_socket *local = unix_socket_of(socket);
	const struct unix_name *name = local->name;
	bool abstract = name && !name->address.path[0];
	return format_string(out, room, "%s%s%s queued %lu in %u",
	                     local->listening   ? "listening "
	                     : local->connected ? "connected "
	                                        : "",
	                     abstract ? "@" : "", name ? name->address.path + abstract : "unnamed",
	                     (unsigned long)local->queue_bytes, local->queue_count);
}

static bool unix_heeds_splice_flag(struct file *file)
{
	return socket_of(file)->type == SOCK_STREAM;
}

static const struct file_operations unix_file_operations = {
	.kind = "unix",
	.heeds_splice_flag = unix_heeds_splice_flag,
	.read = unix_read,
	.write = unix_write,
	.poll = unix_poll,
	.ioctl = socket_ioctl,
	.status = socket_status,
	.set_mode = socket_set_mode,
	.can_be_async = true,
	.timeout_ns = socket_timeout_ns,
	.release = unix_release,
};

static const struct socket_operations unix_socket_operations = {
	.bind = unix_bind,
	.listen = unix_listen,
	.connect = unix_connect,
	.connect_result = unix_connect_result,
	.accept = unix_accept,
	.name = unix_name,
	.send = unix_send,
	.receive = unix_receive,
	.shutdown = unix_shutdown,
	.take_error = unix_take_error,
	.is_listening = unix_is_listening,
	.get_option = unix_get_option,
	.ioctl = unix_ioctl,
	.describe = unix_describe,
};
