/* AF_INET datagram sockets. */
#include "syscalls/net/socket_udp.h"

#include <errno.h>
#include <string.h>

#include "core/console.h"
#include "core/memory.h"
#include "syscalls/net.h"
#include "syscalls/net/control.h"
#include "syscalls/net/datagram.h"

#define UDP_LENGTH_MAX 65535u

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
	struct udp_file_socket *udp = heap_alloc(sizeof(*udp));
	if (!udp)
		return -ENOBUFS;
	int error = udp_create(stack, &udp->udp, udp_socket_event, udp);
	if (error) {
		heap_free(udp);
		return error;
	}
	socket_init(&udp->socket, &udp_file_operations, &udp_socket_operations, AF_INET, SOCK_DGRAM,
	            IPPROTO_UDP);
	udp_set_receive_buffer(udp->udp, udp->socket.options->receive_buffer);
	udp_set_send_buffer(udp->udp, udp->socket.options->send_buffer);
	*out = &udp->socket;
	return 0;
}

static void udp_release(struct file *file)
{
	struct udp_file_socket *udp = udp_socket_of(socket_of(file));
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
	if (ipv4_is_limited_broadcast(remote.address) && !socket->options->broadcast)
		return -EACCES;
	if (ipv4_is_any(remote.address))
		remote.address = ipv4(127, 0, 0, 1);
	return udp_connect(udp->udp, remote);
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
	if (udp_remote(udp_socket_of(socket)->udp).port == 0)
		return -ENOTCONN;
	socket->shut |= (receive ? SOCKET_SHUT_RECEIVE : 0) | (send ? SOCKET_SHUT_SEND : 0);
	file_notify(&socket->file, socket_poll_bits(POLLIN | POLLOUT) | POLLRDHUP | POLLHUP);
	return 0;
}

/* ---- sending ---- */

static int destination(const struct udp_file_socket *udp, const struct socket_name *name,
                       struct endpoint *out)
{
	if (!name || !name->length)
		return udp_remote(udp->udp).port ? 0 : -EDESTADDRREQ;
	if (name->length < sizeof(struct sockaddr_in))
		return -EINVAL;
	if (name->family != AF_INET && name->family != AF_UNSPEC)
		return -EAFNOSUPPORT;
	struct socket_name inet = *name;
	inet.family = AF_INET;
	int error = inet_name_parse(&inet, out);
	if (!error && out->port == 0)
		return -EINVAL;
	if (ipv4_is_any(out->address))
		out->address = ipv4(127, 0, 0, 1);
	return error;
}

static long send_datagram(struct udp_file_socket *udp, struct uio *uio, uint32_t flags,
                          const struct socket_name *name, const struct send_control *control)
{
	struct socket *socket = &udp->socket;
	uint64_t bytes = uio->remaining;
	if (bytes > UDP_LENGTH_MAX)
		return -EMSGSIZE;
	if (flags & (MSG_OOB | MSG_MORE))
		return -EOPNOTSUPP;
	struct endpoint to;
	int error = destination(udp, name, &to);
	if (error)
		return error;
	error = udp_take_error(udp->udp);
	if (error)
		return -error;
	if (socket->shut & SOCKET_SHUT_SEND)
		return -EPIPE;
	if (bytes > UDP_LENGTH_MAX - 28)
		return -EMSGSIZE;
	if (!(udp_readiness(udp->udp) & NET_WRITABLE)) {
		net_want_completions(this_hart());
		return -EAGAIN;
	}
	struct pbuf *payload = udp_payload_alloc(udp->udp, (uint32_t)bytes);
	if (!payload)
		return -ENOBUFS;
	if (!datagram_fill(payload, uio)) {
		pbuf_free(payload);
		return -EFAULT;
	}
	const struct socket_options *options = socket->options;
	struct udp_send_options send = {
		.ttl = options->ttl > 0 ? (uint8_t)options->ttl : 0,
		.tos = options->tos,
		.broadcast_allowed = options->broadcast,
		.dont_fragment = options->mtu_discover == IP_PMTUDISC_DO ||
		                 options->mtu_discover == IP_PMTUDISC_PROBE,
	};
	if (control) {
		send.source = control->source;
		send.ttl = control->ttl > 0 ? (uint8_t)control->ttl : send.ttl;
		send.tos = control->tos >= 0 ? (uint8_t)control->tos : send.tos;
	}
	bool named = name && name->length;
	error = udp_send(udp->udp, named ? &to : NULL, payload, &send);
	if (error == -EAGAIN) {
		uio_rewind(uio, bytes);
		net_want_completions(this_hart());
	}
	return error ? error : (long)bytes;
}

static long udp_write(struct file *file, struct uio *uio, uint64_t offset)
{
	(void)offset;
	return send_datagram(udp_socket_of(socket_of(file)), uio, 0, NULL, NULL);
}

static long udp_socket_send(struct thread *thread, struct socket *socket, struct message *message)
{
	(void)thread;
	return send_datagram(udp_socket_of(socket), message->uio, message->flags, message->name,
	                     message->sent);
}

/* ---- receiving ---- */

/* IP_RECVERR: the pending error as a message of the error queue (ip(7)). */
static long receive_error(struct udp_file_socket *udp, struct message *message)
{
	struct {
		uint32_t error;
		uint8_t origin, type, code, padding;
		uint32_t information, data;
		struct sockaddr_in offender;
	} extended;
	_Static_assert(sizeof(extended) == 32, "struct sock_extended_err and the offender");
	enum { ORIGIN_ICMP = 2, ICMP_UNREACHABLE = 3, CODE_HOST = 1, CODE_PORT = 3 };
	int error = udp->socket.options->receive_errors ? udp_take_error(udp->udp) : 0;
	if (!error)
		return -EAGAIN;
	struct socket_name remote;
	inet_name_make(&remote, udp_remote(udp->udp));
	memset(&extended, 0, sizeof(extended));
	extended.error = (uint32_t)error;
	extended.origin = ORIGIN_ICMP;
	extended.type = ICMP_UNREACHABLE;
	extended.code = error == ECONNREFUSED ? CODE_PORT : CODE_HOST;
	extended.offender = remote.inet;
	extended.offender.port[0] = extended.offender.port[1] = 0;
	if (message->control)
		control_put(message->control, IPPROTO_IP, IP_RECVERR, &extended, sizeof(extended));
	if (message->name)
		*message->name = remote;
	message->out_flags |= MSG_ERRQUEUE;
	return 0;
}

static long receive_datagram(struct udp_file_socket *udp, struct message *message)
{
	if (message->flags & MSG_ERRQUEUE)
		return receive_error(udp, message);
	if (message->flags & MSG_OOB)
		return -EOPNOTSUPP;
	int error = udp_take_error(udp->udp);
	if (error)
		return -error;
	bool peek = message->flags & MSG_PEEK;
	struct udp_datagram datagram;
	if (!udp_receive(udp->udp, &datagram, peek)) {
		bool ended = (udp->socket.shut & SOCKET_SHUT_RECEIVE) &&
		             !(message->flags & MSG_DONTWAIT);
		return ended ? 0 : -EAGAIN;
	}
	uint32_t length = datagram.payload->packet_length;
	long result = datagram_copy(&datagram, message->uio);
	if (result >= 0) {
		if ((uint32_t)result < length) {
			message->out_flags |= MSG_TRUNC;
			if (message->flags & MSG_TRUNC)
				result = length;
		}
		if (message->name)
			inet_name_make(message->name, datagram.source);
		if (message->control)
			datagram_put_control(udp->socket.options, message->control, &datagram);
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

static bool udp_socket_is_listening(struct socket *socket)
{
	(void)socket;
	return false;
}

static long udp_socket_ioctl(struct socket *socket, uint32_t command, uint64_t argument)
{
	if (command != FIONREAD)
		return -ENOTTY;
	int32_t bytes = (int32_t)udp_next_length(udp_socket_of(socket)->udp);
	return copy_to_user(user(argument), &bytes, sizeof(bytes));
}

static int udp_socket_set_option(struct socket *socket, int level, int name, const void *value,
                                 uint32_t length)
{
	struct udp_socket *udp = udp_socket_of(socket)->udp;
	if (level == IPPROTO_IP)
		return ip_set_option(socket, name, value, length);
	if (level != SOL_SOCKET)
		return -ENOPROTOOPT;
	if (name == SO_RCVBUF || name == SO_RCVBUFFORCE)
		udp_set_receive_buffer(udp, socket->options->receive_buffer);
	if (name == SO_SNDBUF || name == SO_SNDBUFFORCE)
		udp_set_send_buffer(udp, socket->options->send_buffer);
	return 0;
}

static int udp_socket_get_option(struct socket *socket, int level, int name, void *value,
                                 uint32_t *length)
{
	return level == IPPROTO_IP ? ip_get_option(socket, name, value, length) : -ENOPROTOOPT;
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
	.is_listening = udp_socket_is_listening,
	.set_option = udp_socket_set_option,
	.get_option = udp_socket_get_option,
	.ioctl = udp_socket_ioctl,
	.describe = udp_socket_describe,
};
