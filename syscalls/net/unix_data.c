/* Messages of AF_UNIX sockets: sending, receiving, and what they carry. */
#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "core/memory.h"
#include "syscalls/net/datagram.h"
#include "syscalls/net/socket_unix.h"
#include "syscalls/process.h"

#define OVERFLOW_ID      65534u /* what an unknown user or group reads as */
/* Of one buffer of Linux's: the room of a page, and 32 KiB in pages. */
#define LINEAR_BYTES_MAX 3776u
#define CHUNK_BYTES_MAX  (LINEAR_BYTES_MAX + 32768u)

void unix_account_put(struct unix_account *account)
{
	if (--account->refs == 0)
		heap_free(account);
}

void unix_message_free(struct unix_message *message)
{
	struct unix_account *account = message->account;
	account->charged -= message->charge;
	struct unix_socket *owner = account->owner;
	if (owner && unix_is_writable(owner)) {
		uint32_t tell = owner->lacked_room ? FILE_TELL_OUT : FILE_TELL_NOTHING;
		owner->lacked_room = false;
		file_notify(&owner->socket.file, socket_poll_bits(POLLOUT) | tell);
	}
	unix_account_put(account);
	unix_name_put(message->sender);
	file_rights_free(message->rights);
	heap_free(message);
}

void unix_wait_for_room(struct unix_socket *local, struct unix_socket *busy)
{
	list_remove(&local->waiting_link);
	list_push_back(&busy->waiting, &local->waiting_link);
}

void unix_tell_waiting(struct unix_socket *local)
{
	struct list_node *node;
	while ((node = list_pop_front(&local->waiting))) {
		struct unix_socket *waiter = list_entry(node, struct unix_socket, waiting_link);
		file_notify(&waiter->socket.file, socket_poll_bits(POLLOUT) | FILE_TELL_NOTHING);
	}
}

uint64_t unix_credentials_of(struct thread *thread, struct user_credentials *out)
{
	out->pid = thread->process->pid;
	out->uid = thread->process->credentials.euid;
	out->gid = thread->process->credentials.egid;
	return thread->process->serial;
}

/* ---- sending ---- */

/* What a message costs its sender: Linux's truesize, so that as many fit. Of a stream, what goes
 * beyond the first page's room lies in pages. */
static uint32_t charge_of(bool stream, uint64_t bytes)
{
	uint64_t paged = stream && bytes > LINEAR_BYTES_MAX
	                         ? (bytes - LINEAR_BYTES_MAX + 4095) / 4096 * 4096
	                         : 0;
	uint64_t linear = paged < bytes ? bytes - paged : 0;
	return (uint32_t)((linear + 320 + 511) / 512 * 512 + 256 + paged);
}

/* Who sent it is noted when one of both wants to know, or cannot say yet (Linux's
 * unix_maybe_add_creds). */
static void note_sender(struct thread *thread, const struct unix_socket *local,
                        const struct unix_socket *to, struct unix_message *message)
{
	static const struct user_credentials unknown = { 0, OVERFLOW_ID, OVERFLOW_ID };
	message->serial = 0;
	if (unix_wants_sender(local) || unix_wants_sender(to) || to->embryo)
		message->serial = unix_credentials_of(thread, &message->credentials);
	else
		message->credentials = unknown;
}

static struct unix_message *message_create(struct thread *thread, struct unix_socket *local,
                                           const struct unix_socket *to, uint32_t bytes)
{
	struct unix_message *message = heap_alloc(sizeof(*message) + bytes);
	if (!message)
		return NULL;
	message->account = local->account;
	message->account->refs++;
	message->sender = unix_name_get(local->name);
	message->rights = NULL;
	message->charge = charge_of(local->socket.type == SOCK_STREAM, bytes);
	message->account->charged += message->charge;
	message->length = bytes;
	message->offset = 0;
	message->peeked = false;
	note_sender(thread, local, to, message);
	return message;
}

/* What sendmsg's control messages say goes with this message. A copy of the files: the call may
 * have to be tried again. */
static bool message_attach(struct unix_message *message, const struct send_control *control)
{
	if (!control)
		return true;
	if (control->has_credentials) {
		const struct process *named = process_find(control->credentials.pid);
		message->credentials = control->credentials;
		message->serial = named ? named->serial : 0;
	}
	if (control->rights)
		message->rights = file_rights_copy(control->rights);
	return !control->rights || message->rights;
}

static bool wants_time(const struct unix_socket *local)
{
	return local->socket.options->timestamp || local->socket.options->timestamping;
}

static void message_deliver(struct unix_socket *to, struct unix_message *message, bool urgent)
{
	message->wall_ns = wants_time(to) ? clock_wall_ns() : 0;
	list_push_back(&to->queue, &message->link);
	to->queue_count++;
	to->queue_bytes += message->length;
	if (urgent) { /* announced before it can be polled for: that is SIGURG */
		to->oob = NULL;
		file_notify(&to->socket.file, POLLPRI);
		to->oob = message;
	}
	file_notify(&to->socket.file, socket_poll_bits(POLLIN));
}

static bool has_room(struct unix_socket *local)
{
	bool room = local->account->charged < local->socket.options->send_buffer;
	local->lacked_room |= !room;
	return room;
}

/* Datagrams and packets: the whole, or nothing. */
static long send_whole(struct thread *thread, struct unix_socket *local, struct unix_socket *to,
                       struct message *message)
{
	uint64_t bytes = message->uio->remaining;
	if (bytes + 32 > local->socket.options->send_buffer)
		return -EMSGSIZE;
	if (!has_room(local))
		return -EAGAIN;
	if (to != local && to->peer != local && unix_queue_is_full(to)) {
		unix_wait_for_room(local, to);
		return -EAGAIN;
	}
	struct unix_message *sent = message_create(thread, local, to, (uint32_t)bytes);
	if (!sent)
		return -ENOBUFS;
	bool attached = message_attach(sent, message->sent);
	if (!attached || uio_copy_in(message->uio, sent->data, bytes) < bytes) {
		unix_message_free(sent);
		return attached ? -EFAULT : -ENOMEM;
	}
	message_deliver(to, sent, false);
	return (long)bytes;
}

static long send_datagram(struct thread *thread, struct unix_socket *local, struct message *message)
{
	struct unix_socket *to = local->peer;
	int bound = unix_bind_for_credentials(local);
	if (bound)
		return bound;
	if (message->name && message->name->length) {
		int error = unix_find(thread, SOCK_DGRAM, message->name, &to);
		if (error)
			return error;
		if (to->socket.type != SOCK_DGRAM)
			return -EPROTOTYPE;
		if (to->peer && to->peer != local)
			return -EPERM; /* it listens to another one only */
	} else if (!to) {
		bool died = local->peer_died;
		local->peer_died = false;
		return died ? -ECONNREFUSED : -ENOTCONN;
	}
	if ((local->socket.shut & SOCKET_SHUT_SEND) || (to->socket.shut & SOCKET_SHUT_RECEIVE))
		return -EPIPE;
	return send_whole(thread, local, to, message);
}

static int stream_check(const struct unix_socket *local, const struct message *message)
{
	if (message->name && message->name->length && local->socket.type == SOCK_STREAM)
		return local->connected ? -EISCONN : -EOPNOTSUPP;
	if (!local->connected)
		return -ENOTCONN;
	if ((local->socket.shut & SOCKET_SHUT_SEND) || !local->peer ||
	    (local->peer->socket.shut & SOCKET_SHUT_RECEIVE))
		return -EPIPE;
	return 0;
}

static long send_stream(struct thread *thread, struct unix_socket *local, struct message *message)
{
	struct uio *uio = message->uio;
	const struct send_control *control = message->sent;
	bool has_urgent = message->flags & MSG_OOB; /* the last byte, in a message of its own */
	long sent = 0;
	if (has_urgent && uio->remaining + uio->done == 0)
		return -EOPNOTSUPP;
	while (uio->remaining) {
		if (!has_room(local))
			return sent ? sent : -EAGAIN;
		bool urgent = has_urgent && uio->remaining == 1;
		uint64_t left = uio->remaining - (has_urgent && !urgent);
		uint32_t bytes = left < CHUNK_BYTES_MAX ? (uint32_t)left : CHUNK_BYTES_MAX;
		struct unix_message *chunk = message_create(thread, local, local->peer, bytes);
		if (!chunk)
			return sent ? sent : -ENOBUFS;
		/* The files go with the first byte of the call. */
		bool attached = message_attach(chunk, uio->done == 0 ? control : NULL);
		if (!attached || uio_copy_in(uio, chunk->data, bytes) < bytes) {
			unix_message_free(chunk);
			return sent ? sent : attached ? -EFAULT : -ENOMEM;
		}
		message_deliver(local->peer, chunk, urgent);
		sent += bytes;
	}
	return sent;
}

long unix_send(struct thread *thread, struct socket *socket, struct message *message)
{
	struct unix_socket *local = unix_socket_of(socket);
	if (message->flags & MSG_OOB && socket->type != SOCK_STREAM)
		return -EOPNOTSUPP;
	if (socket->type == SOCK_DGRAM)
		return send_datagram(thread, local, message);
	int error = stream_check(local, message);
	if (error)
		return error;
	return socket->type == SOCK_STREAM ? send_stream(thread, local, message)
	                                   : send_whole(thread, local, local->peer, message);
}

long unix_write(struct file *file, struct uio *uio, uint64_t offset)
{
	(void)offset;
	struct message message = { .uio = uio };
	return unix_send(current_thread(), socket_of(file), &message);
}

/* ---- receiving ---- */

void unix_message_remove(struct unix_socket *local, struct unix_message *message)
{
	list_remove(&message->link);
	local->queue_count--;
	local->queue_bytes -= message->length - message->offset;
	unix_message_free(message);
	if (!unix_queue_is_full(local))
		unix_tell_waiting(local);
}

/* As Linux: of a sender that is gone the message holds the error instead. */
static void put_pidfd(struct thread *thread, struct control_writer *writer,
                      const struct unix_message *from)
{
	if (writer->room < sizeof(struct user_cmsghdr) + sizeof(int32_t)) {
		writer->truncated = true;
		return;
	}
	if (!from->credentials.pid)
		return;
	int32_t descriptor = (int32_t)pidfd_install(thread, from->credentials.pid, from->serial);
	control_put(writer, SOL_SOCKET, SCM_PIDFD, &descriptor, sizeof(descriptor));
	if (writer->faulted && descriptor >= 0)
		file_close(thread, descriptor);
}

/* Credentials and files for recvmsg. Files that were handed out (not peeked at) leave the message.
 */
static void put_control(struct thread *thread, struct unix_socket *local, struct unix_message *from,
                        struct message *message)
{
	struct control_writer *writer = message->control;
	if (writer && local->socket.options->pass_credentials)
		control_put(writer, SOL_SOCKET, SCM_CREDENTIALS, &from->credentials,
		            sizeof(from->credentials));
	if (from->rights && writer)
		control_put_rights(thread, writer, from->rights, message->flags & MSG_CMSG_CLOEXEC);
	if (writer && local->socket.options->pass_pidfd)
		put_pidfd(thread, writer, from);
	if (from->rights && !(message->flags & MSG_PEEK)) {
		file_rights_free(from->rights);
		from->rights = NULL;
	}
}

static long receive_nothing(struct unix_socket *local, uint32_t flags)
{
	int error = local->error;
	local->error = 0;
	if (error)
		return -error;
	if (local->socket.shut & SOCKET_SHUT_RECEIVE) {
		/* Datagram sockets that do not wait say EAGAIN (as Linux's do). */
		return local->socket.type == SOCK_DGRAM && (flags & MSG_DONTWAIT) ? -EAGAIN : 0;
	}
	return -EAGAIN;
}

/* The message that a receive is about, and how many of its bytes that passes over; NULL: none. An
 * empty one is passed over after it was looked at once. */
static struct unix_message *whole_message(const struct unix_socket *local, uint32_t flags,
                                          uint32_t *skip)
{
	bool at_offset = flags & MSG_PEEK && local->socket.options->peek_off >= 0;
	*skip = socket_peek_skip(&local->socket, flags);
	list_for_each(node, &local->queue)
	{
		struct unix_message *message = list_entry(node, struct unix_message, link);
		if (!at_offset || *skip < message->length ||
		    (!*skip && !message->length && !message->peeked)) {
			message->peeked |= (flags & MSG_PEEK) != 0;
			return message;
		}
		*skip -= message->length;
	}
	return NULL;
}

static long receive_whole(struct thread *thread, struct unix_socket *local, struct message *message)
{
	uint32_t skip;
	struct unix_message *from =
	        local->error ? NULL : whole_message(local, message->flags, &skip);
	if (!from) /* an error comes before what is queued */
		return receive_nothing(local, message->flags);
	struct uio *uio = message->uio;
	uint32_t length = from->length - skip;
	uint64_t step = length < uio->remaining ? length : uio->remaining;
	bool faulted = uio_copy_out(uio, from->data + skip, step) < step;
	long result = (long)step;
	if (step < length) {
		message->out_flags |= MSG_TRUNC;
		if (message->flags & MSG_TRUNC)
			result = length;
	}
	if (message->name && from->sender)
		unix_name_copy(from->sender, message->name);
	if (!faulted && message->control && wants_time(local))
		datagram_put_time(local->socket.options, message->control,
		                  from->wall_ns ? from->wall_ns : clock_wall_ns());
	bool peek = message->flags & MSG_PEEK;
	if (!faulted) {
		put_control(thread, local, from, message);
		socket_peek_off_moved(&local->socket,
		                      peek ? (int64_t)step : -(int64_t)from->length);
	}
	if (!peek)
		unix_message_remove(local, from);
	return faulted ? -EFAULT : result;
}

static bool same_writer(const struct unix_message *a, const struct unix_message *b)
{
	return a->credentials.pid == b->credentials.pid &&
	       a->credentials.uid == b->credentials.uid && a->credentials.gid == b->credentials.gid;
}

static long receive_peeked(struct thread *thread, struct unix_socket *local,
                           struct message *message)
{
	uint64_t skip = socket_peek_skip(&local->socket, message->flags);
	long received = 0;
	struct unix_message *from = unix_message_first(local);
	while (from) {
		from = unix_pass_mark(local, from, message->flags, received);
		while (from && skip >= unix_message_left(from)) {
			skip -= unix_message_left(from);
			from = unix_message_next(local, from);
		}
		if (!from)
			break;
		uint64_t step = unix_message_left(from) - skip;
		if (step > message->uio->remaining)
			step = message->uio->remaining;
		if (uio_copy_out(message->uio, from->data + from->offset + skip, step) < step)
			return received ? received : -EFAULT;
		skip = 0;
		if (received == 0)
			put_control(thread, local, from, message);
		received += (long)step;
		socket_peek_off_moved(&local->socket, (int64_t)step);
		if (!message->uio->remaining || from->rights)
			return received;
		from = unix_message_next(local, from);
	}
	return received ? received : receive_nothing(local, message->flags);
}

static long receive_stream(struct thread *thread, struct unix_socket *local,
                           struct message *message)
{
	struct uio *uio = message->uio;
	long received = 0;
	bool ended = false; /* what is left belongs to another read, MSG_WAITALL or not */
	struct unix_message *from, first = { .length = 0 };
	while (uio->remaining && (from = unix_message_first(local))) {
		from = unix_pass_mark(local, from, 0, received);
		while (from && !unix_message_left(from))
			from = unix_message_next(local, from);
		if (!from) {
			ended = received;
			break;
		}
		bool checked = unix_wants_sender(local);
		if (received && checked && !same_writer(from, &first))
			break;
		first.credentials = from->credentials;
		uint64_t step = from->length - from->offset;
		if (step > uio->remaining)
			step = uio->remaining;
		if (uio_copy_out(uio, from->data + from->offset, step) < step)
			return received ? received : -EFAULT;
		bool had_rights = from->rights != NULL;
		if (received == 0 && message->name)
			unix_name_copy(from->sender, message->name);
		if (received == 0 || had_rights)
			put_control(thread, local, from, message);
		received += (long)step;
		from->offset += (uint32_t)step;
		local->queue_bytes -= step;
		socket_peek_off_moved(&local->socket, -(int64_t)step);
		if (from->offset == from->length)
			unix_message_remove(local, from);
		if (had_rights) {
			ended = true;
			break;
		}
	}
	bool nothing = uio->remaining || list_is_empty(&local->queue);
	if (ended)
		uio->remaining = 0;
	return received ? received : nothing ? receive_nothing(local, message->flags) : 0;
}

long unix_receive(struct thread *thread, struct socket *socket, struct message *message)
{
	struct unix_socket *local = unix_socket_of(socket);
	if (message->flags & MSG_OOB && socket->type != SOCK_STREAM)
		return -EOPNOTSUPP;
	if (socket->type == SOCK_DGRAM)
		return receive_whole(thread, local, message);
	if (!local->connected)
		return socket->type == SOCK_STREAM ? -EINVAL : -ENOTCONN;
	if (socket->type == SOCK_SEQPACKET)
		return receive_whole(thread, local, message);
	if (message->flags & MSG_OOB)
		return unix_receive_urgent(local, message);
	return message->flags & MSG_PEEK ? receive_peeked(thread, local, message)
	                                 : receive_stream(thread, local, message);
}

long unix_read(struct file *file, struct uio *uio, uint64_t offset)
{
	(void)offset;
	if (uio->remaining == 0)
		return 0;
	struct message message = { .uio = uio,
		                   .flags = file->flags & O_NONBLOCK ? MSG_DONTWAIT : 0 };
	return unix_receive(current_thread(), socket_of(file), &message);
}
