/* Netlink sockets: requests are answered while they are sent, and the answers wait in a queue. */
#include <errno.h>
#include <string.h>

#include "core/console.h"
#include "core/memory.h"
#include "syscalls/net/netlink.h"
#include "syscalls/process.h"

#define REQUEST_BYTES_MAX 32768u
#define ANSWER_BYTES      4096u /* all interfaces, addresses or routes, or a refused request */
#define QUEUE_MAX         64    /* answers; more are lost, which -ENOBUFS tells */

enum { NETLINK_ROUTE = 0, NETLINK_PROTOCOLS = 32, SOL_NETLINK = 270 };
enum { NETLINK_ADD_MEMBERSHIP = 1, NETLINK_DROP_MEMBERSHIP, NETLINK_CAP_ACK = 10 };
enum { FLAG_OPTIONS_FIRST = 3, FLAG_OPTIONS_LAST = 12 };

struct sockaddr_nl {
	uint16_t family, padding;
	uint32_t port, groups;
};

struct queued {
	struct list_node link;
	uint32_t length;
	uint8_t bytes[];
};

struct netlink_socket {
	struct socket socket;  /* keep first */
	struct list_node link; /* all */
	uint32_t port, groups;
	uint32_t flags; /* options of SOL_NETLINK that are on, by their number */
	bool bound;
	int error; /* positive */
	struct list queue;
	uint32_t queue_count;
};

static struct list all = { { &all.head, &all.head } };
static const struct file_operations netlink_file_operations;
static const struct socket_operations netlink_socket_operations;

static struct netlink_socket *netlink_of(struct socket *socket)
{
	return (struct netlink_socket *)socket;
}

int netlink_socket_create(int type, int protocol, struct socket **out)
{
	if (type != SOCK_RAW && type != SOCK_DGRAM)
		return -ESOCKTNOSUPPORT;
	if (protocol != NETLINK_ROUTE)
		return -EPROTONOSUPPORT;
	struct netlink_socket *netlink = heap_alloc_zeroed(sizeof(*netlink));
	if (!netlink)
		return -ENOBUFS;
	list_init(&netlink->queue);
	list_push_back(&all, &netlink->link);
	socket_init(&netlink->socket, &netlink_file_operations, &netlink_socket_operations,
	            AF_NETLINK, type, protocol);
	*out = &netlink->socket;
	return 0;
}

static void netlink_release(struct file *file)
{
	struct netlink_socket *netlink = netlink_of(socket_of(file));
	struct list_node *node;
	while ((node = list_pop_front(&netlink->queue)))
		heap_free(list_entry(node, struct queued, link));
	list_remove(&netlink->link);
	socket_fini(&netlink->socket);
	heap_free(netlink);
}

/* ---- names ---- */

static bool port_is_taken(uint32_t port)
{
	list_for_each(node, &all)
	{
		const struct netlink_socket *other = list_entry(node, struct netlink_socket, link);
		if (other->bound && other->port == port)
			return true;
	}
	return false;
}

/* The process's number, or where that is taken one below 0, as on Linux. */
static void bind_itself(const struct thread *thread, struct netlink_socket *netlink)
{
	if (netlink->bound)
		return;
	uint32_t port = (uint32_t)thread->process->pid;
	for (int32_t other = -4096; port_is_taken(port); other--)
		port = (uint32_t)other;
	netlink->port = port;
	netlink->bound = true;
}

static int name_parse(const struct socket_name *name, struct sockaddr_nl *out)
{
	if (name->length < sizeof(*out))
		return -EINVAL;
	memcpy(out, name->bytes, sizeof(*out));
	return out->family == AF_NETLINK ? 0 : -EINVAL;
}

static int netlink_bind(struct thread *thread, struct socket *socket,
                        const struct socket_name *name)
{
	struct netlink_socket *netlink = netlink_of(socket);
	struct sockaddr_nl address;
	int error = name_parse(name, &address);
	if (error)
		return error;
	if (netlink->bound && address.port != netlink->port)
		return -EINVAL;
	if (!netlink->bound && address.port) {
		if (port_is_taken(address.port))
			return -EADDRINUSE;
		netlink->port = address.port;
		netlink->bound = true;
	}
	bind_itself(thread, netlink);
	netlink->groups = address.groups;
	return 0;
}

/* To the kernel, whatever is asked for: there is nobody else to talk to. */
static int netlink_connect(struct thread *thread, struct socket *socket,
                           const struct socket_name *name)
{
	struct sockaddr_nl address;
	if (name->family == AF_UNSPEC)
		return 0;
	int error = name_parse(name, &address);
	if (error)
		return error;
	bind_itself(thread, netlink_of(socket));
	return address.port ? -ECONNREFUSED : 0;
}

static int netlink_connect_result(struct socket *socket)
{
	(void)socket;
	return 0;
}

static void make_name(struct socket_name *out, uint32_t port, uint32_t groups)
{
	const struct sockaddr_nl address = { AF_NETLINK, 0, port, groups };
	memcpy(out->bytes, &address, sizeof(address));
	out->length = sizeof(address);
}

static int netlink_name(struct socket *socket, int peer, struct socket_name *out)
{
	const struct netlink_socket *netlink = netlink_of(socket);
	make_name(out, peer ? 0 : netlink->port, peer ? 0 : netlink->groups);
	return 0;
}

/* ---- answers ---- */

void netlink_put_message(struct netlink_answer *answer, uint16_t type, uint16_t flags,
                         const void *body, uint32_t bytes)
{
	const struct netlink_header header = { sizeof(header) + bytes, type, flags,
		                               answer->sequence, answer->port };
	uint32_t at = NETLINK_ALIGN(answer->used);
	if (answer->full || answer->room - at < NETLINK_ALIGN(header.length)) {
		answer->full = true;
		return;
	}
	answer->message = at;
	memcpy(answer->bytes + at, &header, sizeof(header));
	memcpy(answer->bytes + at + sizeof(header), body, bytes);
	answer->used = at + NETLINK_ALIGN(header.length);
}

void netlink_put_attribute(struct netlink_answer *answer, uint16_t type, const void *value,
                           uint32_t bytes)
{
	const uint16_t header[2] = { (uint16_t)(sizeof(header) + bytes), type };
	uint32_t whole = NETLINK_ALIGN((uint32_t)header[0]), at = answer->used, length;
	if (answer->full || answer->room - at < whole) {
		answer->full = true;
		return;
	}
	memcpy(answer->bytes + at, header, sizeof(header));
	memcpy(answer->bytes + at + sizeof(header), value, bytes);
	answer->used = at + whole;
	length = answer->used - answer->message;
	memcpy(answer->bytes + answer->message, &length, sizeof(length));
}

/* An ACK, which is the error 0, or an error, which repeats the whole request, as much of it as
 * there is room for. */
static void put_error(const struct netlink_socket *netlink, const struct netlink_header *request,
                      const uint8_t *bytes, int32_t error, struct netlink_answer *answer)
{
	const uint32_t most = ANSWER_BYTES - sizeof(*request) - sizeof(error);
	bool capped = !error || netlink->flags >> NETLINK_CAP_ACK & 1;
	uint32_t quoted = capped ? (uint32_t)sizeof(*request) : request->length;
	uint8_t body[sizeof(error) + sizeof(*request)];
	if (quoted > most)
		quoted = most;
	memcpy(body, &error, sizeof(error));
	memcpy(body + sizeof(error), request, sizeof(*request));
	answer->used = 0;
	answer->full = false;
	netlink_put_message(answer, NETLINK_ERROR, capped ? NETLINK_CAPPED : 0, body, sizeof(body));
	memcpy(answer->bytes + answer->used, bytes + sizeof(*request), quoted - sizeof(*request));
	answer->used += NETLINK_ALIGN(quoted - (uint32_t)sizeof(*request));
	memcpy(answer->bytes, &answer->used, sizeof(answer->used));
}

/* Of one request: the answer as a datagram of its own. */
static int answer_one(struct netlink_socket *netlink, const struct netlink_header *request,
                      const uint8_t *bytes)
{
	struct queued *queued = heap_alloc_zeroed(sizeof(*queued) + ANSWER_BYTES);
	if (!queued)
		return -ENOBUFS;
	struct netlink_answer answer = { .bytes = queued->bytes,
		                         .room = ANSWER_BYTES,
		                         .sequence = request->sequence,
		                         .port = netlink->port };
	int result = 0;
	if (request->flags & NETLINK_REQUEST && request->type >= NETLINK_TYPE_LEAST)
		result =
		        netlink_route_answer(request, bytes + sizeof(*request),
		                             request->length - (uint32_t)sizeof(*request), &answer);
	if (answer.full)
		result = -EMSGSIZE;
	if (result < 0 || (result == 0 && request->flags & NETLINK_WANTS_ACK))
		put_error(netlink, request, bytes, result, &answer);
	queued->length = answer.used;
	if (!queued->length || netlink->queue_count >= QUEUE_MAX) {
		netlink->error = queued->length ? ENOBUFS : netlink->error;
		heap_free(queued);
	} else {
		list_push_back(&netlink->queue, &queued->link);
		netlink->queue_count++;
	}
	file_notify(&netlink->socket.file, socket_poll_bits(POLLIN));
	return 0;
}

static int answer_all(struct netlink_socket *netlink, const uint8_t *bytes, uint32_t length)
{
	struct netlink_header request;
	for (uint32_t at = 0; length - at >= sizeof(request);) {
		memcpy(&request, bytes + at, sizeof(request));
		if (request.length < sizeof(request) || request.length > length - at)
			return 0; /* as Linux: not a word */
		int error = answer_one(netlink, &request, bytes + at);
		if (error)
			return error;
		uint32_t step = NETLINK_ALIGN(request.length);
		if (step > length - at)
			return 0;
		at += step;
	}
	return 0;
}

static long send_message(struct thread *thread, struct netlink_socket *netlink,
                         struct message *message)
{
	uint64_t bytes = message->uio->remaining;
	struct sockaddr_nl to = { 0 };
	if (message->flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (message->name && message->name->length) {
		int error = name_parse(message->name, &to);
		if (error)
			return error;
	}
	if (!bytes)
		return -ENODATA;
	if (bytes > REQUEST_BYTES_MAX)
		return -EMSGSIZE;
	bind_itself(thread, netlink);
	if (to.port)
		return -ECONNREFUSED;
	uint8_t *copy = heap_alloc(bytes + 1);
	if (!copy)
		return -ENOBUFS;
	long result = -EFAULT;
	if (uio_copy_in(message->uio, copy, bytes) == bytes)
		result = answer_all(netlink, copy, (uint32_t)bytes);
	heap_free(copy);
	return result ? result : (long)bytes;
}

static long netlink_send(struct thread *thread, struct socket *socket, struct message *message)
{
	return send_message(thread, netlink_of(socket), message);
}

static long netlink_write(struct file *file, struct uio *uio, uint64_t offset)
{
	(void)offset;
	struct message message = { .uio = uio };
	return send_message(current_thread(), netlink_of(socket_of(file)), &message);
}

static int take_error(struct netlink_socket *netlink)
{
	int error = netlink->error;
	netlink->error = 0;
	return error;
}

static long receive_message(struct netlink_socket *netlink, struct message *message)
{
	if (message->flags & MSG_OOB)
		return -EOPNOTSUPP;
	int error = take_error(netlink);
	if (error)
		return -error;
	struct list_node *node = list_first(&netlink->queue);
	if (!node)
		return -EAGAIN;
	struct queued *queued = list_entry(node, struct queued, link);
	size_t length = queued->length, wanted = message->uio->remaining;
	size_t bytes = wanted < length ? wanted : length;
	long result =
	        uio_copy_out(message->uio, queued->bytes, bytes) < bytes ? -EFAULT : (long)bytes;
	if (result >= 0 && bytes < length) {
		message->out_flags |= MSG_TRUNC;
		if (message->flags & MSG_TRUNC)
			result = (long)length;
	}
	if (result >= 0 && message->name)
		make_name(message->name, 0, 0);
	if (!(message->flags & MSG_PEEK)) {
		list_remove(node);
		netlink->queue_count--;
		heap_free(queued);
	}
	return result;
}

static long netlink_receive(struct thread *thread, struct socket *socket, struct message *message)
{
	(void)thread;
	return receive_message(netlink_of(socket), message);
}

static long netlink_read(struct file *file, struct uio *uio, uint64_t offset)
{
	(void)offset;
	struct message message = { .uio = uio };
	return receive_message(netlink_of(socket_of(file)), &message);
}

/* ---- the rest ---- */

static uint32_t netlink_poll(struct file *file)
{
	const struct netlink_socket *netlink = netlink_of(socket_of(file));
	uint32_t ready = POLLOUT | POLLWRNORM | POLLWRBAND;
	if (netlink->error)
		ready |= POLLERR;
	if (!list_is_empty(&netlink->queue))
		ready |= POLLIN | POLLRDNORM;
	return ready;
}

static int netlink_shutdown(struct socket *socket, bool receive, bool send)
{
	(void)socket;
	(void)receive;
	(void)send;
	return -EOPNOTSUPP;
}

static int netlink_take_error(struct socket *socket)
{
	return take_error(netlink_of(socket));
}

static bool netlink_is_listening(struct socket *socket)
{
	(void)socket;
	return false;
}

/* Groups are joined, and nothing ever happens in them. */
static int netlink_set_option(struct socket *socket, int level, int name, const void *value,
                              uint32_t length)
{
	struct netlink_socket *netlink = netlink_of(socket);
	int32_t number;
	if (level == SOL_SOCKET)
		return 0;
	if (level != SOL_NETLINK)
		return -ENOPROTOOPT;
	if (option_int(value, length, &number))
		number = 0; /* as Linux */
	if (name == NETLINK_ADD_MEMBERSHIP || name == NETLINK_DROP_MEMBERSHIP)
		return number > 0 && number < 64 ? 0 : -EINVAL;
	if (name < FLAG_OPTIONS_FIRST || name > FLAG_OPTIONS_LAST)
		return -ENOPROTOOPT;
	netlink->flags &= ~(1u << name);
	netlink->flags |= (uint32_t)(number != 0) << name;
	return 0;
}

static int netlink_get_option(struct socket *socket, int level, int name, void *value,
                              uint32_t *length)
{
	const struct netlink_socket *netlink = netlink_of(socket);
	if (level != SOL_NETLINK || name < FLAG_OPTIONS_FIRST || name > FLAG_OPTIONS_LAST)
		return -ENOPROTOOPT;
	if (*length < sizeof(int32_t))
		return -EINVAL;
	return option_put_int(value, length, netlink->flags >> name & 1);
}

static int netlink_describe(struct socket *socket, char *out, size_t room)
{
	return format_string(out, room, "port %u", netlink_of(socket)->port);
}

static const struct file_operations netlink_file_operations = {
	.kind = "netlink",
	.read = netlink_read,
	.write = netlink_write,
	.poll = netlink_poll,
	.ioctl = socket_ioctl,
	.status = socket_status,
	.set_mode = socket_set_mode,
	.can_be_async = true,
	.timeout_ns = socket_timeout_ns,
	.release = netlink_release,
};

static const struct socket_operations netlink_socket_operations = {
	.bind = netlink_bind,
	.connect = netlink_connect,
	.connect_result = netlink_connect_result,
	.name = netlink_name,
	.send = netlink_send,
	.receive = netlink_receive,
	.shutdown = netlink_shutdown,
	.take_error = netlink_take_error,
	.is_listening = netlink_is_listening,
	.set_option = netlink_set_option,
	.get_option = netlink_get_option,
	.describe = netlink_describe,
};
