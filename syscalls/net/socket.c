/* Sockets: what all protocols share, and the system calls that make them, name them and connect
 * them. */
#include "syscalls/net/netlink.h"
#include "syscalls/net/socket.h"

#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "syscalls/process.h"
#include "syscalls/syscall.h"

/* All sockets by their numbers, of which the bucket is the low part. */
#define SOCKET_BUCKETS   256
#define VISITS_IN_ONE_GO 512
static struct list buckets[SOCKET_BUCKETS];
static uint32_t counts[SOCKET_KINDS];
static uint64_t next_inode = 1;

static const struct socket_options default_options = {
	.receive_buffer = SOCKET_BUFFER_MAX,
	.send_buffer = SOCKET_BUFFER_MAX,
	.receive_lowat = 1,
	.peek_off = -1,
	.linger_s = -1,
	.incoming_cpu = -1,
	.ttl = -1,
	.pacing_rate = UINT64_MAX,
	.mtu_discover = IP_PMTUDISC_WANT,
	.multicast_ttl = 1,
	.multicast_loop = true,
	.multicast_all = true,
};

static void options_put(struct socket *socket)
{
	struct socket_options *options = (struct socket_options *)socket->options;
	if (options->users && --options->users == 0)
		heap_free(options);
}

struct socket_options *socket_options_change(struct socket *socket)
{
	if (socket->options->users == 1)
		return (struct socket_options *)socket->options;
	struct socket_options *own = heap_alloc(sizeof(*own));
	if (!own)
		return NULL;
	*own = *socket->options;
	own->users = 1;
	options_put(socket);
	socket->options = own;
	return own;
}

/* Without memory for options of its own the socket keeps the offset that it shares. */
void socket_peek_off_add(struct socket *socket, int64_t bytes)
{
	struct socket_options *options = socket_options_change(socket);
	if (!options)
		return;
	int64_t offset = options->peek_off + bytes;
	options->peek_off = offset < 0 ? 0 : offset > INT32_MAX ? INT32_MAX : (int32_t)offset;
}

void socket_options_inherit(struct socket *socket, const struct socket *from)
{
	struct socket_options *options = (struct socket_options *)from->options;
	if (options->users)
		options->users++;
	options_put(socket);
	socket->options = options;
}

enum socket_kind socket_kind(const struct socket *socket)
{
	if (socket->domain != AF_INET)
		return socket->domain == AF_UNIX ? SOCKETS_UNIX : SOCKETS_NETLINK;
	if (socket->type == SOCK_STREAM)
		return SOCKETS_TCP;
	if (socket->type == SOCK_RAW)
		return SOCKETS_RAW;
	return socket->protocol == IPPROTO_ICMP ? SOCKETS_PING : SOCKETS_UDP;
}

uint32_t sockets_of_kind(enum socket_kind kind)
{
	return counts[kind];
}

void socket_init(struct socket *socket, const struct file_operations *file_operations,
                 const struct socket_operations *operations, int domain, int type,
                 uint32_t protocol)
{
	const struct credentials *maker = &current_thread()->process->credentials;
	file_init(&socket->file, file_operations, socket, O_RDWR);
	socket->file.maker.uid = maker->fsuid;
	socket->file.maker.gid = maker->fsgid;
	socket->operations = operations;
	socket->domain = (uint16_t)domain;
	socket->type = (uint8_t)type;
	socket->protocol = (uint16_t)protocol;
	socket->mode = 0777;
	socket->shut = 0;
	socket->file.pipe_is_quiet = type != SOCK_STREAM;
	socket->inode = next_inode++;
	socket->options = &default_options;
	struct list *bucket = &buckets[socket->inode % SOCKET_BUCKETS];
	if (!bucket->head.next)
		list_init(bucket);
	list_push_back(bucket, &socket->all_link);
	counts[socket_kind(socket)]++;
}

void socket_fini(struct socket *socket)
{
	options_put(socket);
	list_remove(&socket->all_link);
	counts[socket_kind(socket)]--;
}

/* A bucket is in the order of numbers; the position is a bucket and the first number to visit. */
bool sockets_walk(uint64_t *position, bool (*visit)(void *context, struct socket *socket),
                  void *context)
{
	const unsigned bucket_shift = 56;
	uint64_t bucket = *position >> bucket_shift;
	uint64_t number = *position & ((1ull << bucket_shift) - 1);
	unsigned visited = 0;
	for (; bucket < SOCKET_BUCKETS; bucket++, number = 0) {
		if (!buckets[bucket].head.next)
			continue;
		list_for_each(node, &buckets[bucket])
		{
			struct socket *socket = list_entry(node, struct socket, all_link);
			if (socket->inode < number)
				continue;
			*position = bucket << bucket_shift | (socket->inode + 1);
			if (!visit(context, socket) || ++visited == VISITS_IN_ONE_GO)
				return true;
		}
	}
	return false;
}

struct socket *socket_from_file(struct file *file)
{
	return file->operations->ioctl == socket_ioctl ? socket_of(file) : NULL;
}

struct socket *socket_lookup(struct thread *thread, uint64_t descriptor, int *error)
{
	struct file *file = thread_file(thread, descriptor);
	if (!file) {
		*error = -EBADF;
		return NULL;
	}
	struct socket *socket = socket_from_file(file);
	if (!socket)
		*error = file->flags & O_PATH ? -EBADF : -ENOTSOCK;
	return socket;
}

int socket_status(struct file *file, struct file_status *out)
{
	memset(out, 0, sizeof(*out));
	out->device = 8;
	out->inode = socket_of(file)->inode;
	out->mode = 0140000 | socket_of(file)->mode;
	out->links = 1;
	out->uid = file->maker.uid;
	out->gid = file->maker.gid;
	out->block_bytes = PAGE_SIZE;
	return 0;
}

void socket_set_mode(struct file *file, uint32_t permissions)
{
	socket_of(file)->mode = (uint16_t)permissions;
}

static uint64_t timeout_ns(const struct socket_options *options, bool send)
{
	const uint64_t jiffy_ns = 1000000000 / SOCKET_JIFFIES_PER_S;
	uint64_t jiffies = send ? options->send_timeout : options->receive_timeout;
	if (jiffies == SOCKET_TIMEOUT_AT_ONCE)
		return 1;
	/* Longer than the clock runs is for ever. */
	return jiffies && jiffies < INT64_MAX / jiffy_ns ? jiffies * jiffy_ns : LOOP_NEVER;
}

uint64_t socket_timeout_ns(struct file *file, bool write)
{
	return timeout_ns(socket_of(file)->options, write);
}

uint64_t socket_deadline_ns(const struct socket *socket, bool send)
{
	uint64_t ns = timeout_ns(socket->options, send);
	return ns == LOOP_NEVER ? LOOP_NEVER : clock_read_ns() + ns;
}

/* ---- names ---- */

int socket_name_from_user(struct socket_name *name, struct user_addr from, uint64_t length)
{
	int32_t bytes = (int32_t)length;
	if (bytes < 0 || bytes > SOCKADDR_MAX_BYTES)
		return -EINVAL;
	name->length = (uint32_t)bytes;
	name->family = AF_UNSPEC;
	return bytes ? copy_from_user(name->bytes, from, (size_t)bytes) : 0;
}

int socket_name_to_user(const struct socket_name *name, struct user_addr to,
                        struct user_addr length_at)
{
	int32_t room;
	if (copy_from_user(&room, length_at, sizeof(room)))
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	size_t bytes = (uint32_t)room < name->length ? (uint32_t)room : name->length;
	if (bytes && copy_to_user(to, name->bytes, bytes))
		return -EFAULT;
	return copy_to_user(length_at, &name->length, sizeof(name->length));
}

int inet_name_parse(const struct socket_name *name, struct endpoint *out)
{
	if (name->length < sizeof(struct sockaddr_in))
		return -EINVAL;
	if (name->family != AF_INET)
		return -EAFNOSUPPORT;
	const struct sockaddr_in *in = &name->inet;
	out->address = ipv4(in->address[0], in->address[1], in->address[2], in->address[3]);
	out->port = (uint16_t)(in->port[0] << 8 | in->port[1]);
	return 0;
}

int inet_bind_name_parse(struct thread *thread, const struct socket_name *name,
                         struct endpoint *out)
{
	struct socket_name copy = *name;
	if (copy.length < sizeof(struct sockaddr_in))
		return -EINVAL;
	if (copy.family == AF_UNSPEC && memcmp(copy.inet.address, "\0\0\0\0", 4) == 0)
		copy.family = AF_INET;
	int error = inet_name_parse(&copy, out);
	const uint64_t cap_net_bind_service = 1ull << 10;
	if (!error && out->port && out->port < 1024 &&
	    !(thread->process->credentials.capabilities & cap_net_bind_service))
		error = -EACCES;
	return error;
}

void inet_name_make(struct socket_name *name, struct endpoint endpoint)
{
	name->length = sizeof(struct sockaddr_in);
	struct sockaddr_in *in = &name->inet;
	in->family = AF_INET;
	in->port[0] = (uint8_t)(endpoint.port >> 8);
	in->port[1] = (uint8_t)endpoint.port;
	for (int i = 0; i < 4; i++)
		in->address[i] = (uint8_t)(endpoint.address.value >> (24 - 8 * i));
	memset(in->zero, 0, sizeof(in->zero));
}

/* ---- making ---- */

static int inet_create(int type, int protocol, struct socket **out)
{
	if (protocol < 0 || protocol >= IPPROTO_MAX)
		return -EINVAL;
	if (type == SOCK_STREAM)
		return protocol == 0 || protocol == IPPROTO_TCP ? tcp_socket_create(out)
		                                                : -EPROTONOSUPPORT;
	if (type == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP))
		return udp_socket_create(out);
	if ((type == SOCK_DGRAM || type == SOCK_RAW) && protocol == IPPROTO_ICMP)
		return ping_socket_create(type, out);
	return type == SOCK_DGRAM || type == SOCK_RAW ? -EPROTONOSUPPORT : -ESOCKTNOSUPPORT;
}

static int local_create(int type, int protocol, struct socket **out)
{
	if (protocol && protocol != AF_UNIX)
		return -EPROTONOSUPPORT;
	if (type == SOCK_RAW)
		type = SOCK_DGRAM;
	if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
		return -ESOCKTNOSUPPORT;
	return unix_socket_create(type, out);
}

static int type_check(int domain, int type)
{
	if (type & ~SOCK_TYPE_MASK & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))
		return -EINVAL;
	if (domain < 0 || domain >= AF_MAX)
		return -EAFNOSUPPORT;
	return (type & SOCK_TYPE_MASK) >= SOCK_MAX ? -EINVAL : 0;
}

static int install(struct thread *thread, struct socket *socket, int type_flags)
{
	if (type_flags & SOCK_NONBLOCK)
		socket->file.flags |= O_NONBLOCK;
	int descriptor = file_install(thread, &socket->file, 0, type_flags & SOCK_CLOEXEC);
	if (descriptor < 0)
		file_put(&socket->file);
	return descriptor;
}

long sys_socket(struct thread *thread, const uint64_t *argument)
{
	int domain = (int)argument[0], type = (int)argument[1], protocol = (int)argument[2];
	int error = type_check(domain, type);
	if (error)
		return error;
	struct socket *socket;
	switch (domain) {
	case AF_INET:
		error = inet_create(type & SOCK_TYPE_MASK, protocol, &socket);
		break;
	case AF_UNIX:
		error = local_create(type & SOCK_TYPE_MASK, protocol, &socket);
		break;
	case AF_NETLINK:
		error = netlink_socket_create(type & SOCK_TYPE_MASK, protocol, &socket);
		break;
	default:
		error = -EAFNOSUPPORT;
		break;
	}
	return error ? error : install(thread, socket, type);
}

long sys_socketpair(struct thread *thread, const uint64_t *argument)
{
	int domain = (int)argument[0], type = (int)argument[1], protocol = (int)argument[2];
	int error = type_check(domain, type);
	if (error)
		return error;
	if (domain != AF_UNIX)
		return domain == AF_INET || domain == AF_NETLINK ? -EOPNOTSUPP : -EAFNOSUPPORT;
	struct socket *pair[2];
	error = local_create(type & SOCK_TYPE_MASK, protocol, &pair[0]);
	if (error)
		return error;
	error = local_create(type & SOCK_TYPE_MASK, protocol, &pair[1]);
	if (error) {
		file_put(&pair[0]->file);
		return error;
	}
	unix_socket_join(thread, pair[0], pair[1]);
	int32_t descriptors[2];
	descriptors[0] = install(thread, pair[0], type);
	if (descriptors[0] < 0) {
		file_put(&pair[1]->file);
		return descriptors[0];
	}
	descriptors[1] = install(thread, pair[1], type);
	if (descriptors[1] < 0) {
		file_close(thread, descriptors[0]);
		return descriptors[1];
	}
	if (copy_to_user(user(argument[3]), descriptors, sizeof(descriptors))) {
		file_close(thread, descriptors[0]);
		file_close(thread, descriptors[1]);
		return -EFAULT;
	}
	return 0;
}

/* ---- naming ---- */

long sys_bind(struct thread *thread, const uint64_t *argument)
{
	int error = 0;
	struct socket *socket = socket_lookup(thread, argument[0], &error);
	if (!socket)
		return error;
	struct socket_name name;
	error = socket_name_from_user(&name, user(argument[1]), argument[2]);
	return error ? error : socket->operations->bind(thread, socket, &name);
}

long sys_listen(struct thread *thread, const uint64_t *argument)
{
	int error = 0;
	struct socket *socket = socket_lookup(thread, argument[0], &error);
	if (!socket)
		return error;
	if (!socket->operations->listen)
		return -EOPNOTSUPP;
	uint32_t backlog = (uint32_t)argument[1];
	return socket->operations->listen(socket, backlog > SOMAXCONN ? SOMAXCONN : (int)backlog);
}

static long name_call(struct thread *thread, const uint64_t *argument, int peer)
{
	int error = 0;
	struct socket *socket = socket_lookup(thread, argument[0], &error);
	if (!socket)
		return error;
	struct socket_name name;
	error = socket->operations->name(socket, peer, &name);
	return error ? error : socket_name_to_user(&name, user(argument[1]), user(argument[2]));
}

long sys_getsockname(struct thread *thread, const uint64_t *argument)
{
	return name_call(thread, argument, 0);
}

long sys_getpeername(struct thread *thread, const uint64_t *argument)
{
	return name_call(thread, argument, 1);
}

/* ---- connecting ---- */

enum { CONNECT_VERDICT, CONNECT_AGAIN, CONNECT_NAME }; /* io_request.extra */

static long connect_attempt(struct thread *thread, struct io_request *request)
{
	struct socket *socket = socket_of(request->file);
	if (request->extra[CONNECT_AGAIN]) {
		const struct socket_name *name = (void *)request->extra[CONNECT_NAME];
		return socket->operations->connect(thread, socket, name);
	}
	return socket->operations->connect_result(socket);
}

/* A wait that timed out reports that the handshake goes on. */
static long connect_finish(struct thread *thread, struct io_request *request, long result)
{
	(void)thread;
	heap_free((void *)request->extra[CONNECT_NAME]);
	return result == -EAGAIN ? (int64_t)request->extra[CONNECT_VERDICT] : result;
}

long sys_connect(struct thread *thread, const uint64_t *argument)
{
	int error = 0;
	struct socket *socket = socket_lookup(thread, argument[0], &error);
	if (!socket)
		return error;
	struct socket_name name;
	error = socket_name_from_user(&name, user(argument[1]), argument[2]);
	if (error)
		return error;
	if (name.length < sizeof(name.family))
		return -EINVAL;
	error = socket->operations->connect(thread, socket, &name);
	bool under_way = error == -EINPROGRESS || error == -EALREADY;
	/* Of others than AF_UNIX it means that there is no port left, which nobody waits for. */
	bool again = error == -EAGAIN && socket->domain == AF_UNIX;
	if ((!under_way && !again) || (socket->file.flags & O_NONBLOCK))
		return error;
	struct socket_name *copy = NULL;
	if (!under_way) {
		copy = heap_alloc(sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		*copy = name;
	}
	struct io_request request = {
		.file = &socket->file,
		.attempt = connect_attempt,
		.finish = connect_finish,
		.deadline_ns = socket_deadline_ns(socket, true),
		.events = POLLOUT,
	};
	uio_init_kernel(&request.uio, NULL, 0);
	request.extra[CONNECT_VERDICT] = (uint64_t)(int64_t)error;
	request.extra[CONNECT_AGAIN] = !under_way;
	request.extra[CONNECT_NAME] = (uint64_t)(uintptr_t)copy;
	return io_run(thread, &request);
}

/* ---- accepting ---- */

enum { ACCEPT_NAME, ACCEPT_LENGTH, ACCEPT_FLAGS };

/* As Linux, EMFILE comes before a connection is taken off the queue. */
static bool descriptors_exhausted(const struct thread *thread)
{
	uint32_t descriptor = file_table_free_slot(thread->process->files, 0);
	return descriptor >= thread->process->limits[LIMIT_NOFILE].soft;
}

static long accept_one(struct thread *thread, struct socket *listener, const uint64_t *argument,
                       int flags)
{
	if (descriptors_exhausted(thread))
		return -EMFILE;
	struct socket *socket;
	int error = listener->operations->accept(listener, &socket);
	if (error)
		return error;
	if (argument[ACCEPT_NAME]) {
		struct socket_name name;
		error = socket->operations->name(socket, 2, &name);
		if (!error)
			error = socket_name_to_user(&name, user(argument[ACCEPT_NAME]),
			                            user(argument[ACCEPT_LENGTH]));
		if (error) {
			file_put(&socket->file);
			return error;
		}
	}
	return install(thread, socket, flags);
}

static long accept_attempt(struct thread *thread, struct io_request *request)
{
	return accept_one(thread, socket_of(request->file), request->extra,
	                  (int)request->extra[ACCEPT_FLAGS]);
}

static long accept_wait(struct thread *thread, struct socket *socket, const uint64_t *argument,
                        int flags)
{
	struct io_request request = {
		.file = &socket->file,
		.attempt = accept_attempt,
		.deadline_ns = socket_deadline_ns(socket, false),
		.events = POLLIN,
	};
	uio_init_kernel(&request.uio, NULL, 0);
	request.extra[ACCEPT_NAME] = argument[1];
	request.extra[ACCEPT_LENGTH] = argument[2];
	request.extra[ACCEPT_FLAGS] = (uint64_t)flags;
	return io_run(thread, &request);
}

static long accept_call(struct thread *thread, const uint64_t *argument, uint64_t flags)
{
	int error = 0;
	struct socket *socket = socket_lookup(thread, argument[0], &error);
	if (error != -EBADF && flags & ~(uint64_t)(SOCK_CLOEXEC | SOCK_NONBLOCK))
		return -EINVAL;
	if (!socket)
		return error;
	if (!socket->operations->accept)
		return -EOPNOTSUPP;
	long result = accept_one(thread, socket, &argument[1], (int)flags);
	if (result != -EAGAIN || socket->file.flags & O_NONBLOCK)
		return result;
	return accept_wait(thread, socket, argument, (int)flags);
}

long sys_accept(struct thread *thread, const uint64_t *argument)
{
	return accept_call(thread, argument, 0);
}

long sys_accept4(struct thread *thread, const uint64_t *argument)
{
	return accept_call(thread, argument, (uint32_t)argument[3]);
}

/* ---- ending ---- */

long sys_shutdown(struct thread *thread, const uint64_t *argument)
{
	int error = 0;
	struct socket *socket = socket_lookup(thread, argument[0], &error);
	if (!socket)
		return error;
	int how = (int)argument[1];
	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	return socket->operations->shutdown(socket, how != SHUT_WR, how != SHUT_RD);
}
