/* ICMP sockets. Ping sockets, SOCK_DGRAM + IPPROTO_ICMP (icmp(7)): the local port is the echo
 * identifier. Raw ones, SOCK_RAW + IPPROTO_ICMP (raw(7)): it is the protocol. */
#include <errno.h>
#include <string.h>

#include "core/console.h"
#include "core/memory.h"
#include "syscalls/net.h"
#include "syscalls/process.h"
#include "syscalls/net/datagram.h"
#include "tcpip/icmp.h"

#define MESSAGE_BYTES_MAX 65507u
#define ICMP_HEADER_BYTES 8u

enum { SOL_RAW = 255, ICMP_FILTER = 1 };

struct ping_file_socket {
	struct socket socket; /* keep first */
	struct ping_socket *ping;
	struct ipv4_address local;  /* raw: bound to; 0: not */
	struct ipv4_address remote; /* connected to; 0: not */
	uint32_t filtered;          /* raw: ICMP_FILTER */
};

static const struct file_operations ping_file_operations;
static const struct socket_operations ping_socket_operations;

static inline struct ping_file_socket *ping_socket_of(struct socket *socket)
{
	return (struct ping_file_socket *)socket;
}

static void ping_socket_event(void *context, uint32_t readiness)
{
	struct ping_file_socket *ping = context;
	file_notify(&ping->socket.file, socket_poll_bits(readiness));
}

static bool is_raw(const struct ping_file_socket *ping)
{
	return ping->socket.type == SOCK_RAW;
}

int ping_socket_create(int type, struct socket **out)
{
	struct stack *stack = net_stack(this_hart());
	if (type == SOCK_RAW && !has_capability(CAPABILITY_NET_RAW))
		return -EPERM;
	if (!stack)
		return -EAFNOSUPPORT;
	struct ping_file_socket *ping = heap_alloc_zeroed(sizeof(*ping));
	if (!ping)
		return -ENOBUFS;
	int error = type == SOCK_RAW ? ping_create_raw(stack, &ping->ping, ping_socket_event, ping)
	                             : ping_create(stack, &ping->ping, ping_socket_event, ping);
	if (error) {
		heap_free(ping);
		return error;
	}
	socket_init(&ping->socket, &ping_file_operations, &ping_socket_operations, AF_INET, type,
	            IPPROTO_ICMP);
	*out = &ping->socket;
	return 0;
}

struct group_set *ping_socket_groups(struct socket *socket)
{
	return ping_groups(ping_socket_of(socket)->ping);
}

static void ping_release(struct file *file)
{
	struct ping_file_socket *ping = ping_socket_of(socket_of(file));
	ping_close(ping->ping);
	socket_fini(&ping->socket);
	heap_free(ping);
}

static void update_selection(struct ping_file_socket *ping)
{
	if (is_raw(ping))
		ping_select(ping->ping, ping->local, ping->remote, ping->filtered);
}

static int ping_socket_bind(struct thread *thread, struct socket *socket,
                            const struct socket_name *name)
{
	struct endpoint local;
	(void)thread;
	int error = inet_name_parse(name, &local);
	if (error)
		return error;
	if (!ipv4_is_any(local.address) &&
	    !stack_is_local_address(net_stack(this_hart()), local.address))
		return -EADDRNOTAVAIL;
	struct ping_file_socket *ping = ping_socket_of(socket);
	if (!is_raw(ping))
		return ping_bind(ping->ping, local.port);
	ping->local = local.address;
	update_selection(ping);
	return 0;
}

static int ping_socket_connect(struct thread *thread, struct socket *socket,
                               const struct socket_name *name)
{
	(void)thread;
	struct endpoint remote = { { 0 }, 0 };
	int error = name->family == AF_UNSPEC ? 0 : inet_name_parse(name, &remote);
	if (!error) {
		ping_socket_of(socket)->remote = remote.address;
		update_selection(ping_socket_of(socket));
	}
	return error;
}

static int ping_socket_connect_result(struct socket *socket)
{
	(void)socket;
	return 0;
}

static int ping_socket_name(struct socket *socket, int peer, struct socket_name *out)
{
	const struct ping_file_socket *ping = ping_socket_of(socket);
	if (peer && ipv4_is_any(ping->remote))
		return -ENOTCONN;
	uint16_t number = is_raw(ping) ? IPPROTO_ICMP : ping_identifier(ping->ping);
	struct endpoint endpoint = { peer ? ping->remote : ping->local, peer ? 0 : number };
	inet_name_make(out, endpoint);
	return 0;
}

static long ping_send_message(struct ping_file_socket *ping, struct message *message)
{
	uint64_t bytes = message->uio->remaining;
	struct endpoint to = { ping->remote, 0 };
	if (message->flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (bytes > MESSAGE_BYTES_MAX)
		return -EMSGSIZE;
	if (bytes < ICMP_HEADER_BYTES && !is_raw(ping))
		return -EINVAL;
	if (message->name && message->name->length) {
		int error = inet_name_parse(message->name, &to);
		if (error)
			return error;
	}
	if (ipv4_is_any(to.address))
		return -EDESTADDRREQ;
	struct pbuf *payload = ping_message_alloc(ping->ping, (uint32_t)bytes);
	if (!payload)
		return -ENOBUFS;
	if (!datagram_fill(payload, message->uio)) {
		pbuf_free(payload);
		return -EFAULT;
	}
	int32_t ttl = ping->socket.options->ttl;
	if (message->sent && message->sent->ttl > 0)
		ttl = message->sent->ttl;
	uint8_t hops = ttl > 0 ? (uint8_t)ttl : 64;
	int error = is_raw(ping) ? ping_send_raw(ping->ping, to.address, payload, hops)
	                         : ping_send(ping->ping, to.address, payload, hops);
	return error ? error : (long)bytes;
}

static long ping_socket_send(struct thread *thread, struct socket *socket, struct message *message)
{
	(void)thread;
	return ping_send_message(ping_socket_of(socket), message);
}

static long ping_write(struct file *file, struct uio *uio, uint64_t offset)
{
	(void)offset;
	struct message message = { .uio = uio };
	return ping_send_message(ping_socket_of(socket_of(file)), &message);
}

static long ping_receive_message(struct ping_file_socket *ping, struct message *message)
{
	if (message->flags & MSG_ERRQUEUE)
		return -EAGAIN;
	if (message->flags & MSG_OOB)
		return -EOPNOTSUPP;
	int error = ping_take_error(ping->ping);
	if (error)
		return -error;
	bool peek = message->flags & MSG_PEEK;
	struct udp_datagram datagram;
	if (!ping_receive(ping->ping, &datagram, peek))
		return -EAGAIN;
	uint32_t length = datagram.payload->packet_length;
	long result = datagram_copy(&datagram, 0, message->uio);
	if (result >= 0 && (uint32_t)result < length) {
		message->out_flags |= MSG_TRUNC;
		if (message->flags & MSG_TRUNC)
			result = length;
	}
	if (result >= 0 && message->name)
		inet_name_make(message->name, datagram.source);
	if (result >= 0 && message->control)
		datagram_put_control(ping->socket.options, message->control, &datagram);
	if (!peek)
		pbuf_free(datagram.payload);
	return result;
}

static long ping_socket_receive(struct thread *thread, struct socket *socket,
                                struct message *message)
{
	(void)thread;
	return ping_receive_message(ping_socket_of(socket), message);
}

static long ping_read(struct file *file, struct uio *uio, uint64_t offset)
{
	(void)offset;
	struct message message = { .uio = uio };
	return ping_receive_message(ping_socket_of(socket_of(file)), &message);
}

static int ping_socket_shutdown(struct socket *socket, bool receive, bool send)
{
	(void)receive;
	(void)send;
	return ipv4_is_any(ping_socket_of(socket)->remote) ? -ENOTCONN : 0;
}

static uint32_t ping_poll(struct file *file)
{
	return socket_poll_bits(ping_readiness(ping_socket_of(socket_of(file))->ping));
}

static int ping_socket_take_error(struct socket *socket)
{
	return ping_take_error(ping_socket_of(socket)->ping);
}

static bool ping_socket_is_listening(struct socket *socket)
{
	(void)socket;
	return false;
}

static int ping_socket_set_option(struct socket *socket, int level, int name, const void *value,
                                  uint32_t length)
{
	struct ping_file_socket *ping = ping_socket_of(socket);
	if (level == SOL_SOCKET)
		return 0;
	if (level == SOL_RAW && name == ICMP_FILTER && is_raw(ping)) {
		memcpy(&ping->filtered, value,
		       length < sizeof(ping->filtered) ? length : sizeof(ping->filtered));
		update_selection(ping);
		return 0;
	}
	return level == IPPROTO_IP ? ip_set_option(socket, name, value, length) : -ENOPROTOOPT;
}

static int ping_socket_get_option(struct socket *socket, int level, int name, void *value,
                                  uint32_t *length)
{
	const struct ping_file_socket *ping = ping_socket_of(socket);
	if (level == SOL_RAW && name == ICMP_FILTER && is_raw(ping)) {
		if (*length > sizeof(ping->filtered))
			*length = sizeof(ping->filtered);
		memcpy(value, &ping->filtered, *length);
		return 0;
	}
	if (level != IPPROTO_IP || name == IP_MTU)
		return -ENOPROTOOPT;
	return ip_get_option(socket, name, value, length);
}

/* Of a raw one the protocol stands where others have their port. */
static bool ping_socket_row(struct socket *socket, struct datagram_row *out)
{
	const struct ping_file_socket *ping = ping_socket_of(socket);
	*out = (struct datagram_row){ .local = { ping->local, ping_identifier(ping->ping) },
		                      .remote = { ping->remote, 0 },
		                      .received_bytes = ping_queue_bytes(ping->ping) };
	if (is_raw(ping))
		out->local.port = socket->protocol;
	return out->local.port;
}

static int ping_socket_describe(struct socket *socket, char *out, size_t room)
{
	if (is_raw(ping_socket_of(socket)))
		return format_string(out, room, "raw");
	return format_string(out, room, "identifier %u",
	                     ping_identifier(ping_socket_of(socket)->ping));
}

static const struct file_operations ping_file_operations = {
	.kind = "ping",
	.read = ping_read,
	.write = ping_write,
	.poll = ping_poll,
	.ioctl = socket_ioctl,
	.status = socket_status,
	.set_mode = socket_set_mode,
	.can_be_async = true,
	.timeout_ns = socket_timeout_ns,
	.release = ping_release,
};

static const struct socket_operations ping_socket_operations = {
	.bind = ping_socket_bind,
	.connect = ping_socket_connect,
	.connect_result = ping_socket_connect_result,
	.name = ping_socket_name,
	.send = ping_socket_send,
	.receive = ping_socket_receive,
	.shutdown = ping_socket_shutdown,
	.take_error = ping_socket_take_error,
	.is_listening = ping_socket_is_listening,
	.set_option = ping_socket_set_option,
	.get_option = ping_socket_get_option,
	.row = ping_socket_row,
	.describe = ping_socket_describe,
};
