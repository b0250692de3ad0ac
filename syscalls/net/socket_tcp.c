/* AF_INET stream sockets: a connection or listener of tcpip behind a descriptor. */
#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "core/console.h"
#include "core/memory.h"
#include "syscalls/net.h"
#include "syscalls/net/control.h"
#include "syscalls/net/datagram.h"
#include "syscalls/net/socket_tcp.h"
#include "syscalls/net/zerocopy.h"

static const struct file_operations tcp_file_operations;
static const struct socket_operations tcp_socket_operations;

static void tcp_socket_event(void *context, uint32_t readiness)
{
	struct tcp_socket *tcp = context;
	file_notify(&tcp->socket.file, socket_poll_bits(readiness));
}

uint32_t tcp_socket_owner(void *context)
{
	return ((struct tcp_socket *)context)->socket.file.maker.uid;
}

static struct tcp_socket *tcp_socket_alloc(void)
{
	struct tcp_socket *tcp = heap_alloc(sizeof(*tcp));
	if (!tcp)
		return NULL;
	tcp->connection = NULL;
	tcp->fastopen_queue = 0;
	tcp->tells_unread = false;
	tcp->progress = TCP_SOCKET_IDLE;
	socket_init(&tcp->socket, &tcp_file_operations, &tcp_socket_operations, AF_INET,
	            SOCK_STREAM, IPPROTO_TCP);
	return tcp;
}

int tcp_socket_create(struct socket **out)
{
	struct stack *stack = net_stack(this_hart());
	if (!stack)
		return -EAFNOSUPPORT;
	struct tcp_socket *tcp = tcp_socket_alloc();
	if (!tcp)
		return -ENOBUFS;
	int error = tcp_open(stack, &tcp->connection, tcp_socket_event, tcp);
	if (error) {
		socket_fini(&tcp->socket);
		heap_free(tcp);
		return error;
	}
	*out = &tcp->socket;
	return 0;
}

static void tcp_release(struct file *file)
{
	struct tcp_socket *tcp = tcp_socket_of(socket_of(file));
	if (tcp->connection)
		tcp_close(tcp->connection);
	socket_fini(&tcp->socket);
	heap_free(tcp);
}

/* ---- closing with SO_LINGER ---- */

static long linger_attempt(struct thread *thread, struct io_request *request)
{
	(void)thread;
	return tcp_is_drained(tcp_socket_of(socket_of(request->file))->connection) ? 0 : -EAGAIN;
}

/* Drops the closed descriptor's reference; io_run's own goes last. What is not drained by now goes
 * on without an owner. */
static long linger_finish(struct thread *thread, struct io_request *request, long result)
{
	(void)thread;
	(void)result;
	file_put(request->file);
	return 0;
}

static long tcp_closing(struct thread *thread, struct file *file)
{
	struct tcp_socket *tcp = tcp_socket_of(socket_of(file));
	int32_t linger_s = tcp->socket.options->linger_s;
	bool waits = linger_s > 0 && tcp_get_state(tcp->connection) >= TCP_ESTABLISHED &&
	             !tcp_receive_available(tcp->connection);
	if (!waits) {
		file_put(file);
		return 0;
	}
	tcp_shutdown(tcp->connection, true, true);
	struct io_request request = {
		.file = file,
		.attempt = linger_attempt,
		.finish = linger_finish,
		.deadline_ns = clock_read_ns() + (uint64_t)linger_s * 1000000000,
		.events = POLLIN | POLLOUT,
	};
	uio_init_kernel(&request.uio, NULL, 0);
	return io_run(thread, &request);
}

/* ---- connecting ---- */

static int tcp_socket_bind(struct thread *thread, struct socket *socket,
                           const struct socket_name *name)
{
	struct endpoint local;
	int error = inet_bind_name_parse(thread, name, &local);
	if (error)
		return error;
	const struct socket_options *options = socket->options;
	return tcp_bind(tcp_socket_of(socket)->connection, local, options->reuse_address,
	                options->reuse_port);
}

static int tcp_socket_listen(struct socket *socket, int backlog)
{
	struct tcp_socket *tcp = tcp_socket_of(socket);
	enum tcp_state state = tcp_get_state(tcp->connection);
	if (tcp->progress != TCP_SOCKET_IDLE || (state != TCP_CLOSED && state != TCP_LISTEN))
		return -EINVAL;
	return tcp_listen(tcp->connection, backlog);
}

/* AF_UNSPEC, and after an attempt of which connect tells that it failed. */
static int tcp_socket_disconnect(struct tcp_socket *tcp)
{
	int error = tcp_disconnect(&tcp->connection);
	if (error)
		return error;
	tcp->progress = TCP_SOCKET_IDLE;
	return tcp_set_option(tcp->connection, TCP_OPTION_PORT_RANGE,
	                      tcp->socket.options->port_range);
}

/* The handshake is over one way or the other, or still goes on (-EAGAIN). */
static int tcp_socket_connect_result(struct socket *socket)
{
	struct tcp_socket *tcp = tcp_socket_of(socket);
	switch (tcp_get_state(tcp->connection)) {
	case TCP_SYN_SENT:
	case TCP_SYN_RECEIVED:
		return -EAGAIN;
	case TCP_CLOSED: {
		int error = tcp_take_error(tcp->connection);
		tcp_socket_disconnect(tcp);
		return error ? -error : -ECONNABORTED;
	}
	default:
		tcp->progress = TCP_SOCKET_CONNECTED;
		return 0;
	}
}

/* Bound to an address that is not ours. IP_FREEBIND allows that, and only IP_TRANSPARENT to send
 * from there. */
static bool source_is_foreign(const struct socket *socket)
{
	const struct tcp_socket *tcp = (const struct tcp_socket *)socket;
	if (!socket->options->free_bind || socket->options->transparent)
		return false;
	struct ipv4_address source = tcp_local(tcp->connection).address;
	return !ipv4_is_any(source) && !stack_is_local_address(net_stack(this_hart()), source);
}

static int tcp_socket_connect(struct thread *thread, struct socket *socket,
                              const struct socket_name *name)
{
	(void)thread;
	struct tcp_socket *tcp = tcp_socket_of(socket);
	if (name->family == AF_UNSPEC)
		return tcp_socket_disconnect(tcp);
	if (tcp->progress == TCP_SOCKET_CONNECTED || tcp_get_state(tcp->connection) == TCP_LISTEN)
		return -EISCONN;
	if (tcp->progress == TCP_SOCKET_CONNECTING) {
		int result = tcp_socket_connect_result(socket);
		return result == -EAGAIN ? -EALREADY : result;
	}
	struct endpoint remote;
	int error = inet_name_parse(name, &remote);
	if (error)
		return error;
	if (source_is_foreign(socket))
		return -ENETUNREACH;
	error = tcp_connect(tcp->connection, remote);
	if (error)
		return error;
	tcp->progress = TCP_SOCKET_CONNECTING;
	return -EINPROGRESS;
}

/* All but the priority and SO_PASS*, as on Linux. False: no memory. */
static bool inherit_options(struct socket *socket, const struct socket *listener)
{
	const struct socket_options *options = listener->options;
	socket_options_inherit(socket, listener);
	if (!options->priority && !options->pass_credentials && !options->pass_pidfd)
		return true;
	struct socket_options *own = socket_options_change(socket);
	if (!own)
		return false;
	own->priority = 0;
	own->pass_credentials = own->pass_pidfd = false;
	return true;
}

static int tcp_socket_accept(struct socket *listener, struct socket **out)
{
	struct tcp_socket *from = tcp_socket_of(listener);
	if (tcp_get_state(from->connection) != TCP_LISTEN)
		return -EINVAL;
	if (!(tcp_readiness(from->connection) & NET_READABLE)) {
		int error = tcp_take_error(from->connection);
		return error ? -error : -EAGAIN;
	}
	struct tcp_socket *tcp = tcp_socket_alloc();
	if (!tcp)
		return -ENOMEM;
	bool inherits = inherit_options(&tcp->socket, listener);
	tcp->connection = inherits ? tcp_accept(from->connection) : NULL;
	if (!tcp->connection) {
		socket_fini(&tcp->socket);
		heap_free(tcp);
		return inherits ? -EAGAIN : -ENOMEM;
	}
	tcp_set_event(tcp->connection, tcp_socket_event, tcp);
	tcp->tells_unread = from->tells_unread;
	tcp->progress = TCP_SOCKET_CONNECTED;
	*out = &tcp->socket;
	return 0;
}

static int tcp_socket_name(struct socket *socket, int peer, struct socket_name *out)
{
	const struct tcp_connection *connection = tcp_socket_of(socket)->connection;
	if (!peer) {
		inet_name_make(out, tcp_local(connection));
		return 0;
	}
	enum tcp_state state = tcp_get_state(connection);
	struct endpoint remote = tcp_remote(connection);
	bool gone = state == TCP_CLOSED || state == TCP_SYN_SENT || state == TCP_LISTEN;
	if (peer == 1 && (gone || remote.port == 0))
		return -ENOTCONN;
	inet_name_make(out, remote);
	return 0;
}

static int tcp_socket_shutdown(struct socket *socket, bool receive, bool send)
{
	struct tcp_socket *tcp = tcp_socket_of(socket);
	int error = tcp_shutdown(tcp->connection, receive, send);
	if (!error && tcp_get_state(tcp->connection) == TCP_CLOSED)
		tcp->progress = TCP_SOCKET_IDLE;
	return error;
}

/* ---- sending ---- */

static bool is_connecting(const struct tcp_socket *tcp)
{
	enum tcp_state state = tcp_get_state(tcp->connection);
	return state == TCP_SYN_SENT || state == TCP_SYN_RECEIVED;
}

/* What Linux answers where the library says that there is no connection. */
static long send_error(const struct tcp_socket *tcp, int64_t error)
{
	if (error == -ENOBUFS)
		return -EAGAIN; /* memory will come back: NET_WRITABLE follows */
	if (error != -ENOTCONN)
		return error;
	return is_connecting(tcp) ? -EAGAIN : -EPIPE;
}

static long tcp_send_bytes(struct tcp_socket *tcp, struct uio *uio, bool more)
{
	struct tcp_connection *connection = tcp->connection;
	long sent = 0;
	do {
		uint8_t *room;
		uint64_t want = uio->remaining;
		int64_t got = tcp_send_reserve(connection, want ? want : 1, &room);
		if (__builtin_expect(got <= 0, 0)) {
			if (sent)
				return sent;
			if (want == 0 && got == -EAGAIN && !is_connecting(tcp))
				return 0;
			return send_error(tcp, got);
		}
		if (want == 0)
			return 0;
		/* As Linux: a piece that cannot be read whole is not sent at all. */
		if (__builtin_expect(uio_copy_in(uio, room, (size_t)got) < (size_t)got, 0))
			return sent ? sent : -EFAULT;
		tcp_send_commit(connection, (uint32_t)got, more);
		sent += got;
	} while (uio->remaining);
	return sent;
}

static long tcp_write(struct file *file, struct uio *uio, uint64_t offset)
{
	(void)offset;
	return tcp_send_bytes(tcp_socket_of(socket_of(file)), uio, false);
}

static int tcp_lend(struct file *file, const void *bytes, size_t length, pbuf_release *release)
{
	struct tcp_socket *tcp = tcp_socket_of(socket_of(file));
	struct pbuf *data =
	        pbuf_external(stack_pool(net_stack(this_hart())), bytes, (uint32_t)length, release);
	if (!data)
		return -ENOBUFS;
	int error = tcp_send_pbuf(tcp->connection, data, false);
	if (!error)
		return 0;
	pbuf_external_drop(data);
	return error == -ENOBUFS ? error : (int)send_error(tcp, error);
}

/* What fits one buffer of an open connection. */
static long tcp_write_call(struct thread *thread, struct file *file, const uint64_t *argument)
{
	struct tcp_connection *connection = tcp_socket_of(socket_of(file))->connection;
	uint64_t bytes = argument[2];
	uint8_t *room = tcp_send_room(connection, bytes);
	if (__builtin_expect(
	            !room || copy_from_user_partial(room, user(argument[1]), bytes) < bytes, 0))
		return file_write_call(thread, file, argument);
	tcp_send_commit(connection, (uint32_t)bytes, false);
	return (long)bytes;
}

static long tcp_send_pieces(struct socket *socket, const struct user_iovec *pieces, uint32_t count,
                            uint64_t bytes)
{
	struct tcp_connection *connection = tcp_socket_of(socket)->connection;
	uint8_t *room = tcp_send_room(connection, bytes);
	if (__builtin_expect(!room, 0))
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t length = pieces[i].length;
		if (__builtin_expect(
		            copy_from_user_partial(room, user(pieces[i].base), length) < length, 0))
			return 0;
		room += length;
	}
	tcp_send_commit(connection, (uint32_t)bytes, false);
	return (long)bytes;
}

static long tcp_socket_send(struct thread *thread, struct socket *socket, struct message *message)
{
	(void)thread;
	if (message->flags & MSG_FASTOPEN)
		return -EOPNOTSUPP;
	struct tcp_socket *tcp = tcp_socket_of(socket);
	long sent = tcp_send_bytes(tcp, message->uio, message->flags & MSG_MORE);
	if (sent > 0 && message->flags & MSG_OOB)
		tcp_send_urgent(tcp->connection);
	return sent;
}

/* ---- receiving ---- */

/* Nothing is there to copy: the end of the stream, an error, or not yet. */
static long receive_nothing(struct tcp_socket *tcp)
{
	const uint8_t *bytes;
	int64_t result = tcp_receive_peek(tcp->connection, 0, &bytes);
	if (result == -ENOTCONN && is_connecting(tcp))
		return -EAGAIN;
	return result > 0 ? 0 : (long)result;
}

static long receive_bytes(struct tcp_socket *tcp, struct uio *uio, uint64_t available)
{
	struct tcp_connection *connection = tcp->connection;
	uint64_t offset = 0;
	long error = 0;
	do {
		const uint8_t *bytes;
		int64_t got = tcp_receive_peek(connection, offset, &bytes);
		if (__builtin_expect(got <= 0, 0)) { /* the urgent mark: a read does not cross it */
			error = (long)got;
			break;
		}
		size_t step = (size_t)got < uio->remaining ? (size_t)got : (size_t)uio->remaining;
		if (__builtin_expect(uio_copy_out(uio, bytes, step) < step, 0)) {
			error = -EFAULT;
			break;
		}
		offset += step;
	} while (uio->remaining && offset < available);
	if (offset == 0)
		return error;
	tcp_receive_consume(connection, offset);
	socket_peek_off_moved(&tcp->socket, -(int64_t)offset);
	return (long)offset;
}

static long receive_peeked(struct tcp_socket *tcp, struct uio *uio, uint64_t available)
{
	bool has_offset = tcp->socket.options->peek_off >= 0;
	uint64_t offset = has_offset ? (uint32_t)tcp->socket.options->peek_off : uio->done;
	long received = 0;
	if (offset >= available) {
		const uint32_t over = NET_READ_HANGUP | NET_ERROR | NET_HANGUP;
		return tcp_readiness(tcp->connection) & over ? 0 : -EAGAIN;
	}
	while (uio->remaining && offset < available) {
		const uint8_t *bytes;
		int64_t got = tcp_receive_peek(tcp->connection, offset, &bytes);
		if (got <= 0)
			break;
		size_t step = (size_t)got < uio->remaining ? (size_t)got : (size_t)uio->remaining;
		if (uio_copy_out(uio, bytes, step) < step) {
			received = received ? received : -EFAULT;
			break;
		}
		offset += step;
		received += (long)step;
	}
	if (received > 0)
		socket_peek_off_moved(&tcp->socket, received);
	return received;
}

static long receive_discarded(struct tcp_socket *tcp, struct uio *uio, uint64_t available)
{
	uint64_t bytes = uio->remaining < available ? uio->remaining : available;
	tcp_receive_consume(tcp->connection, bytes);
	socket_peek_off_moved(&tcp->socket, -(int64_t)bytes);
	uio->remaining -= bytes;
	return (long)bytes;
}

static uint64_t tcp_least(struct file *file)
{
	return socket_of(file)->options->receive_lowat;
}

static long tcp_read(struct file *file, struct uio *uio, uint64_t offset)
{
	(void)offset;
	struct tcp_socket *tcp = tcp_socket_of(socket_of(file));
	if (uio->remaining == 0)
		return 0;
	uint64_t available = tcp_receive_available(tcp->connection);
	if (available == 0)
		return receive_nothing(tcp);
	return receive_bytes(tcp, uio, available);
}

/* What lies in one piece, and is all there is or all that is wanted. */
static inline long receive_piece(struct socket *socket, struct user_addr to, uint64_t bytes)
{
	struct tcp_connection *connection = tcp_socket_of(socket)->connection;
	uint32_t length;
	const uint8_t *from = tcp_receive_piece(connection, &length);
	if (__builtin_expect(
	            !from || socket->options->reads_oddly || bytes == 0 ||
	                    (bytes > length && tcp_receive_available(connection) != length),
	            0))
		return 0;
	if (bytes > length)
		bytes = length;
	if (__builtin_expect(copy_to_user_partial(to, from, bytes) < bytes, 0))
		return 0;
	tcp_receive_consume(connection, bytes);
	return (long)bytes;
}

static long tcp_receive_one_piece(struct socket *socket, struct user_addr to, uint64_t bytes)
{
	return receive_piece(socket, to, bytes);
}

static long tcp_read_call(struct thread *thread, struct file *file, const uint64_t *argument)
{
	long bytes = receive_piece(socket_of(file), user(argument[1]), argument[2]);
	return __builtin_expect(bytes != 0, 1) ? bytes : file_read_call(thread, file, argument);
}

static long receive_urgent(struct tcp_socket *tcp, struct message *message)
{
	int byte = tcp_receive_urgent(tcp->connection, message->flags & MSG_PEEK);
	if (byte < 0)
		return byte;
	message->out_flags |= MSG_OOB;
	if (message->uio->remaining == 0) {
		message->out_flags |= MSG_TRUNC;
		return 0;
	}
	uint8_t value = (uint8_t)byte;
	return message->flags & MSG_TRUNC || uio_copy_out(message->uio, &value, 1) == 1 ? 1
	                                                                                : -EFAULT;
}

/* Not when the bytes that were read came, but the last one that did. */
static void put_time(const struct tcp_socket *tcp, struct control_writer *control)
{
	datagram_put_time(tcp->socket.options, control,
	                  tcp_last_arrival(tcp->connection) + clock_parameters.wall_offset_ns);
}

static void put_control(struct tcp_socket *tcp, struct control_writer *control)
{
	put_time(tcp, control);
	if (!tcp->tells_unread)
		return;
	uint64_t unread = tcp_receive_available(tcp->connection);
	int32_t left = unread > INT32_MAX ? INT32_MAX : (int32_t)unread;
	control_put(control, IPPROTO_TCP, TCP_INQ, &left, sizeof(left));
}

static long receive_error(struct tcp_socket *tcp, struct message *message)
{
	struct queued_error error;
	if (zerocopy_pending(&tcp->socket))
		return zerocopy_receive(&tcp->socket, message);
	if (!tcp_take_kept_error(tcp->connection, &error))
		return -EAGAIN;
	return datagram_receive_error(message, &error);
}

static long tcp_socket_receive(struct thread *thread, struct socket *socket,
                               struct message *message)
{
	(void)thread;
	struct tcp_socket *tcp = tcp_socket_of(socket);
	struct uio *uio = message->uio;
	if (message->flags & MSG_ERRQUEUE)
		return receive_error(tcp, message);
	if (message->flags & MSG_OOB)
		return receive_urgent(tcp, message);
	uint64_t available = tcp_receive_available(tcp->connection);
	if (available == 0)
		return receive_nothing(tcp);
	if (message->flags & MSG_PEEK)
		return receive_peeked(tcp, uio, available);
	if (message->flags & MSG_TRUNC)
		return receive_discarded(tcp, uio, available);
	long received = receive_bytes(tcp, uio, available);
	if (received > 0 && message->control)
		put_control(tcp, message->control);
	return received;
}

/* ---- the rest ---- */

static uint32_t tcp_poll(struct file *file)
{
	struct socket *socket = socket_of(file);
	return socket_poll_bits(tcp_readiness(tcp_socket_of(socket)->connection)) |
	       (zerocopy_pending(socket) ? POLLERR : 0);
}

static bool tcp_has_error(struct file *file)
{
	return tcp_error_is_pending(tcp_socket_of(socket_of(file))->connection);
}

static void tcp_socket_memory(struct socket *socket, struct socket_memory *out)
{
	const struct tcp_connection *connection = tcp_socket_of(socket)->connection;
	out->received = (uint32_t)tcp_receive_available(connection);
	out->receive_buffer = (uint32_t)tcp_get_option(connection, TCP_OPTION_RECEIVE_BUFFER);
	out->send_buffer = (uint32_t)tcp_get_option(connection, TCP_OPTION_SEND_BUFFER);
	out->queued = (uint32_t)tcp_send_queue_bytes(connection);
}

static int tcp_socket_take_error(struct socket *socket)
{
	return tcp_take_error_or_hint(tcp_socket_of(socket)->connection);
}

static void tcp_socket_set_error(struct socket *socket, int error)
{
	tcp_set_error(tcp_socket_of(socket)->connection, error);
}

static bool tcp_socket_is_listening(struct socket *socket)
{
	return tcp_get_state(tcp_socket_of(socket)->connection) == TCP_LISTEN;
}

static long tcp_socket_ioctl(struct socket *socket, uint32_t command, uint64_t argument)
{
	const struct tcp_connection *connection = tcp_socket_of(socket)->connection;
	uint64_t value;
	bool listening = tcp_get_state(connection) == TCP_LISTEN;
	switch (command) {
	case FIONREAD:
		value = tcp_receive_available(connection);
		break;
	case TIOCOUTQ:
		value = tcp_send_queue_bytes(connection);
		break;
	case SIOCOUTQNSD: {
		struct tcp_information information;
		tcp_get_information(connection, &information);
		value = information.notsent_bytes;
		break;
	}
	case SIOCATMARK:
		value = tcp_at_urgent_mark(connection);
		listening = false;
		break;
	default:
		return -ENOTTY;
	}
	if (listening)
		return -EINVAL;
	int32_t number = value > INT32_MAX ? INT32_MAX : (int32_t)value;
	return copy_to_user(user(argument), &number, sizeof(number));
}

static int tcp_socket_describe(struct socket *socket, char *out, size_t room)
{
	struct tcp_information information;
	const struct tcp_connection *connection = tcp_socket_of(socket)->connection;
	tcp_get_information(connection, &information);
	return format_string(out, room, "state %u cwnd %u wnd %u rtt %uus retrans %u unread %lu",
	                     information.state, information.snd_cwnd, information.snd_wnd,
	                     information.rtt_us, information.total_retrans,
	                     (unsigned long)tcp_receive_available(connection));
}

static const struct file_operations tcp_file_operations = {
	.kind = "tcp",
	.read = tcp_read,
	.write = tcp_write,
	.lend = tcp_lend,
	.read_call = tcp_read_call,
	.write_call = tcp_write_call,
	.poll = tcp_poll,
	.ioctl = socket_ioctl,
	.status = socket_status,
	.set_mode = socket_set_mode,
	.can_be_async = true,
	.timeout_ns = socket_timeout_ns,
	.least = tcp_least,
	.has_error = tcp_has_error,
	.closing = tcp_closing,
	.release = tcp_release,
};

static const struct socket_operations tcp_socket_operations = {
	.bind = tcp_socket_bind,
	.listen = tcp_socket_listen,
	.connect = tcp_socket_connect,
	.connect_result = tcp_socket_connect_result,
	.accept = tcp_socket_accept,
	.name = tcp_socket_name,
	.send = tcp_socket_send,
	.send_pieces = tcp_send_pieces,
	.receive_piece = tcp_receive_one_piece,
	.receive = tcp_socket_receive,
	.shutdown = tcp_socket_shutdown,
	.take_error = tcp_socket_take_error,
	.set_error = tcp_socket_set_error,
	.is_listening = tcp_socket_is_listening,
	.set_option = tcp_socket_set_option,
	.get_option = tcp_socket_get_option,
	.ioctl = tcp_socket_ioctl,
	.memory = tcp_socket_memory,
	.describe = tcp_socket_describe,
};
