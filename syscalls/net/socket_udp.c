/* AF_INET datagram sockets. */
#include "syscalls/net/socket_udp.h"

#include <errno.h>
#include <string.h>

#include "core/console.h"
#include "core/clock.h"
#include "core/memory.h"
#include "syscalls/net.h"
#include "syscalls/net/control.h"
#include "syscalls/net/datagram.h"
#include "syscalls/net/zerocopy.h"

static const struct file_operations udp_file_operations;
static const struct socket_operations udp_socket_operations;

static void udp_socket_event(void *context, uint32_t readiness)
{
	struct udp_file_socket *udp = context;
	file_notify(&udp->socket.file, socket_poll_bits(readiness));
}

int udp_socket_create(struct socket **out)
{
	struct stack *stack = net_stack(this_hart());
	if (!stack)
		return -EAFNOSUPPORT;
	struct udp_file_socket *udp = heap_alloc_zeroed(sizeof(*udp));
	if (!udp)
		return -ENOBUFS;
	udp->stamp_ns = UDP_STAMP_NONE;
	int error = udp_create(stack, &udp->udp, udp_socket_event, udp);
	if (error) {
		heap_free(udp);
		return error;
	}
	socket_init(&udp->socket, &udp_file_operations, &udp_socket_operations, AF_INET, SOCK_DGRAM,
	            IPPROTO_UDP);
	udp_set_owner(udp->udp, udp->socket.file.maker.uid);
	udp_set_receive_buffer(udp->udp, udp->socket.options->receive_buffer);
	udp_set_send_buffer(udp->udp, udp->socket.options->send_buffer);
	*out = &udp->socket;
	return 0;
}

static void udp_release(struct file *file)
{
	struct udp_file_socket *udp = udp_socket_of(socket_of(file));
	udp_cork_drop(udp);
	udp_close(udp->udp);
	socket_fini(&udp->socket);
	heap_free(udp);
}

/* ---- names ---- */

static int udp_socket_bind(struct thread *thread, struct socket *socket,
                           const struct socket_name *name)
{
	struct endpoint local;
	int error = inet_bind_name_parse(thread, name, &local);
	if (error)
		return error;
	return udp_bind(udp_socket_of(socket)->udp, local, socket->options->reuse_address,
	                socket->options->reuse_port);
}

static int udp_socket_connect(struct thread *thread, struct socket *socket,
                              const struct socket_name *name)
{
	(void)thread;
	struct udp_file_socket *udp = udp_socket_of(socket);
	if (name->family == AF_UNSPEC)
		return udp_disconnect(udp->udp);
	struct endpoint remote;
	int error = inet_name_parse(name, &remote);
	if (error)
		return error;
	return udp_connect(udp->udp, remote, socket->options->broadcast);
}

static int udp_socket_connect_result(struct socket *socket)
{
	(void)socket;
	return 0;
}

static int udp_socket_name(struct socket *socket, int peer, struct socket_name *out)
{
	const struct udp_socket *udp = udp_socket_of(socket)->udp;
	struct endpoint endpoint = peer ? udp_remote(udp) : udp_local(udp);
	if (peer && endpoint.port == 0)
		return -ENOTCONN;
	inet_name_make(out, endpoint);
	return 0;
}

static int udp_socket_shutdown(struct socket *socket, bool receive, bool send)
{
	socket->shut |= (receive ? SOCKET_SHUT_RECEIVE : 0) | (send ? SOCKET_SHUT_SEND : 0);
	file_notify(&socket->file, socket_poll_bits(POLLIN | POLLOUT) | POLLRDHUP | POLLHUP);
	/* As Linux: without a peer it fails, and is done all the same. */
	return ipv4_is_any(udp_remote(udp_socket_of(socket)->udp).address) ? -ENOTCONN : 0;
}

/* ---- sending: udp_send.c ---- */

static long udp_write(struct file *file, struct uio *uio, uint64_t offset)
{
	(void)offset;
	struct message message = { .uio = uio };
	return udp_send_message(udp_socket_of(socket_of(file)), &message);
}

static long udp_socket_send(struct thread *thread, struct socket *socket, struct message *message)
{
	(void)thread;
	return udp_send_message(udp_socket_of(socket), message);
}

/* ---- receiving ---- */

/* IP_RECVERR: the oldest error, with the bytes that it is about (ip(7)). */
static long receive_error(struct udp_file_socket *udp, struct message *message)
{
	struct queued_error error;
	if (zerocopy_pending(&udp->socket))
		return zerocopy_receive(&udp->socket, message);
	if (!udp_take_kept_error(udp->udp, &error))
		return -EAGAIN;
	return datagram_receive_error(message, &error);
}

/* As Linux: what is told by SO_TIMESTAMP is not told by SIOCGSTAMP, too. */
static void note_stamp(struct udp_file_socket *udp, const struct udp_datagram *datagram)
{
	if (udp->socket.options->timestamp)
		return;
	if (udp->keeps_stamps)
		udp->stamp_ns = datagram->wall_ns;
	else if (udp->stamp_ns == UDP_STAMP_NONE)
		udp->stamp_ns = UDP_STAMP_UNKNOWN;
}

static long receive_datagram(struct udp_file_socket *udp, struct message *message)
{
	if (message->flags & MSG_ERRQUEUE)
		return receive_error(udp, message);
	int error = udp_take_error(udp->udp);
	if (error)
		return -error;
	bool peek = message->flags & MSG_PEEK;
	uint32_t skip = socket_peek_skip(&udp->socket, message->flags);
	bool has_offset = udp->socket.options->peek_off >= 0;
	struct udp_datagram datagram;
	bool found = peek ? udp_peek(udp->udp, &datagram, has_offset ? &skip : NULL)
	                  : udp_receive(udp->udp, &datagram);
	if (!found) {
		bool ended = (udp->socket.shut & SOCKET_SHUT_RECEIVE) &&
		             !(message->flags & MSG_DONTWAIT);
		return ended ? 0 : -EAGAIN;
	}
	uint32_t length = datagram.payload->packet_length;
	uint64_t room = message->uio->remaining;
	long result = datagram_copy(&datagram, skip, message->uio);
	if (result >= 0) {
		if (room < length && room <= length - skip) /* as Linux has it */
			message->out_flags |= MSG_TRUNC;
		if (message->flags & MSG_TRUNC)
			result = length;
		if (message->name)
			inet_name_make(message->name, datagram.source);
		if (message->control)
			datagram_put_control(udp->socket.options, message->control, &datagram);
		note_stamp(udp, &datagram);
		socket_peek_off_moved(&udp->socket, peek ? result : -result);
	}
	if (!peek)
		pbuf_free(datagram.payload);
	return result;
}

static long udp_read(struct file *file, struct uio *uio, uint64_t offset)
{
	(void)offset;
	if (uio->remaining == 0)
		return 0;
	struct message message = { .uio = uio,
		                   .flags = file->flags & O_NONBLOCK ? MSG_DONTWAIT : 0 };
	return receive_datagram(udp_socket_of(socket_of(file)), &message);
}

static long udp_socket_receive(struct thread *thread, struct socket *socket,
                               struct message *message)
{
	(void)thread;
	return receive_datagram(udp_socket_of(socket), message);
}

/* ---- the rest ---- */

static uint32_t udp_poll(struct file *file)
{
	struct socket *socket = socket_of(file);
	uint32_t bits = socket_poll_bits(udp_readiness(udp_socket_of(socket)->udp));
	if (bits & POLLOUT)
		bits |= POLLWRBAND;
	else
		net_want_completions(this_hart());
	if (zerocopy_pending(socket))
		bits |= POLLERR;
	if (socket->shut & SOCKET_SHUT_RECEIVE)
		bits |= POLLRDHUP | POLLIN | POLLRDNORM;
	if (socket->shut == (SOCKET_SHUT_RECEIVE | SOCKET_SHUT_SEND))
		bits |= POLLHUP;
	return bits;
}

static int udp_socket_take_error(struct socket *socket)
{
	return udp_take_error(udp_socket_of(socket)->udp);
}

static void udp_socket_set_error(struct socket *socket, int error)
{
	udp_set_error(udp_socket_of(socket)->udp, error);
}

static bool udp_socket_is_listening(struct socket *socket)
{
	(void)socket;
	return false;
}

/* socket(7): SIOCGSTAMP and SIOCGSTAMPNS. */
static long get_stamp(struct udp_file_socket *udp, bool fine, uint64_t argument)
{
	udp->keeps_stamps = true;
	if (udp->stamp_ns == UDP_STAMP_NONE)
		return -ENOENT;
	if (udp->stamp_ns == UDP_STAMP_UNKNOWN)
		udp->stamp_ns = clock_wall_ns();
	int64_t time[2] = { (int64_t)(udp->stamp_ns / 1000000000),
		            (int64_t)(udp->stamp_ns % 1000000000) };
	if (!fine)
		time[1] /= 1000;
	return copy_to_user(user(argument), time, sizeof(time));
}

static long udp_socket_ioctl(struct socket *socket, uint32_t command, uint64_t argument)
{
	int32_t bytes = 0; /* TIOCOUTQ: nothing waits here */
	if (command == SIOCGSTAMP || command == SIOCGSTAMP_NEW)
		return get_stamp(udp_socket_of(socket), false, argument);
	if (command == SIOCGSTAMPNS || command == SIOCGSTAMPNS_NEW)
		return get_stamp(udp_socket_of(socket), true, argument);
	if (command == FIONREAD)
		bytes = (int32_t)udp_next_length(udp_socket_of(socket)->udp);
	else if (command != TIOCOUTQ)
		return -ENOTTY;
	return copy_to_user(user(argument), &bytes, sizeof(bytes));
}

/* As Linux: from ESP on it is looked for, also for L2TP, until there is no encapsulation. */
static int set_encapsulation(struct udp_file_socket *udp, int32_t kind)
{
	if (kind != 0 && kind != UDP_ENCAP_ESPINUDP && kind != UDP_ENCAP_L2TPINUDP)
		return -ENOPROTOOPT;
	udp->encapsulation = (uint8_t)kind;
	udp->knows_esp |= kind != UDP_ENCAP_L2TPINUDP;
	udp_drop_esp(udp->udp, udp->knows_esp && kind);
	return 0;
}

static int udp_set_own_option(struct udp_file_socket *udp, int name, const void *value,
                              uint32_t length)
{
	int32_t number;
	if (name != UDP_CORK && name != UDP_ENCAP && name != UDP_SEGMENT)
		return -ENOPROTOOPT;
	int error = option_int(value, length, &number);
	if (error)
		return error;
	switch (name) {
	case UDP_ENCAP:
		return set_encapsulation(udp, number);
	case UDP_SEGMENT:
		if (number < 0 || number > UINT16_MAX)
			return -EINVAL;
		udp->segment = (uint16_t)number;
		return 0;
	default:
		udp->corked = number != 0;
		return udp->corked ? 0 : udp_cork_send(udp);
	}
}

static int udp_get_own_option(const struct udp_file_socket *udp, int name, void *value,
                              uint32_t *length)
{
	switch (name) {
	case UDP_CORK:
		return option_put_int(value, length, udp->corked);
	case UDP_ENCAP:
		return option_put_int(value, length, udp->encapsulation);
	case UDP_SEGMENT:
		return option_put_int(value, length, udp->segment);
	default:
		return -ENOPROTOOPT;
	}
}

static int udp_socket_set_option(struct socket *socket, int level, int name, const void *value,
                                 uint32_t length)
{
	struct udp_socket *udp = udp_socket_of(socket)->udp;
	if (level == IPPROTO_IP) {
		int error = ip_set_option(socket, name, value, length);
		if (!error && name == IP_RECVERR)
			udp_keep_errors(udp, socket->options->receive_errors);
		return error;
	}
	if (level == IPPROTO_UDP)
		return udp_set_own_option(udp_socket_of(socket), name, value, length);
	if (level != SOL_SOCKET)
		return -ENOPROTOOPT;
	if (name == SO_REUSEADDR || name == SO_REUSEPORT)
		udp_set_reuse(udp, socket->options->reuse_address, socket->options->reuse_port);
	if (name == SO_RCVBUF || name == SO_RCVBUFFORCE)
		udp_set_receive_buffer(udp, socket->options->receive_buffer);
	if (name == SO_DONTROUTE)
		udp_set_on_link_only(udp, socket->options->dont_route);
	if (name == SO_SNDBUF || name == SO_SNDBUFFORCE)
		udp_set_send_buffer(udp, socket->options->send_buffer);
	return 0;
}

static int udp_socket_get_option(struct socket *socket, int level, int name, void *value,
                                 uint32_t *length)
{
	if (level == IPPROTO_UDP)
		return udp_get_own_option(udp_socket_of(socket), name, value, length);
	if (level == IPPROTO_IP)
		return ip_get_option(socket, name, value, length);
	return level == SOL_SOCKET ? -ENOPROTOOPT : -EOPNOTSUPP;
}

static void udp_socket_memory(struct socket *socket, struct socket_memory *out)
{
	const struct udp_socket *udp = udp_socket_of(socket)->udp;
	out->received = udp_queue_bytes(udp);
	out->dropped = udp_dropped(udp);
}

static bool udp_socket_row(struct socket *socket, struct datagram_row *out)
{
	const struct udp_socket *udp = udp_socket_of(socket)->udp;
	*out = (struct datagram_row){ .local = udp_local(udp),
		                      .remote = udp_remote(udp),
		                      .received_bytes = udp_queue_bytes(udp),
		                      .dropped = udp_dropped(udp) };
	return out->local.port;
}

static int udp_socket_describe(struct socket *socket, char *out, size_t room)
{
	return format_string(out, room, "next %u", udp_next_length(udp_socket_of(socket)->udp));
}

static const struct file_operations udp_file_operations = {
	.kind = "udp",
	.read = udp_read,
	.write = udp_write,
	.poll = udp_poll,
	.ioctl = socket_ioctl,
	.status = socket_status,
	.set_mode = socket_set_mode,
	.can_be_async = true,
	.timeout_ns = socket_timeout_ns,
	.release = udp_release,
};

static const struct socket_operations udp_socket_operations = {
	.bind = udp_socket_bind,
	.connect = udp_socket_connect,
	.connect_result = udp_socket_connect_result,
	.name = udp_socket_name,
	.send = udp_socket_send,
	.receive = udp_socket_receive,
	.shutdown = udp_socket_shutdown,
	.take_error = udp_socket_take_error,
	.set_error = udp_socket_set_error,
	.is_listening = udp_socket_is_listening,
	.set_option = udp_socket_set_option,
	.get_option = udp_socket_get_option,
	.ioctl = udp_socket_ioctl,
	.memory = udp_socket_memory,
	.row = udp_socket_row,
	.describe = udp_socket_describe,
};
