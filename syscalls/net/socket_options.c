/* getsockopt and setsockopt: the calls, and SOL_SOCKET. */
#include <errno.h>
#include <string.h>

#include "core/memory.h"
#include "syscalls/net.h"
#include "syscalls/net/socket.h"
#include "syscalls/process.h"
#include "syscalls/syscall.h"

#define OPTION_BYTES_MAX     4096u
#define BPF_EXTENSIONS       64 /* SKF_AD_MAX */
#define FILTER_PROGRAM_BYTES 16 /* struct sock_fprog */
#define JIFFY_US             (1000000 / SOCKET_JIFFIES_PER_S)
#define DEVICE_NAME_BYTES    16 /* IFNAMSIZ */

bool has_capability(unsigned number)
{
	return thread_capable(current_thread(), number);
}

bool socket_admin(void)
{
	return has_capability(CAPABILITY_NET_ADMIN);
}

/* ---- setting ---- */

static uint32_t buffer_size(int32_t value, bool forced, uint32_t least)
{
	if (value < 0)
		value = forced ? 0 : INT32_MAX;
	uint32_t bytes = (uint32_t)value;
	if (!forced && bytes > SOCKET_BUFFER_MAX)
		bytes = SOCKET_BUFFER_MAX;
	if (bytes > INT32_MAX / 2)
		bytes = INT32_MAX / 2;
	bytes *= 2;
	return bytes < least ? least : bytes;
}

/* As Linux: a count of jiffies, and what is no count of them is no timeout. */
static int set_timeout(uint64_t *jiffies, const void *value, uint32_t length)
{
	struct user_timeval time;
	if (length < sizeof(time))
		return -EINVAL;
	memcpy(&time, value, sizeof(time));
	if (time.microseconds < 0 || time.microseconds >= 1000000)
		return -EDOM;
	if (time.seconds < 0)
		*jiffies = SOCKET_TIMEOUT_AT_ONCE;
	else if (time.seconds >= INT64_MAX / SOCKET_JIFFIES_PER_S - 1)
		*jiffies = 0;
	else
		*jiffies = (uint64_t)time.seconds * SOCKET_JIFFIES_PER_S +
		           (uint64_t)(time.microseconds + JIFFY_US - 1) / JIFFY_US;
	return 0;
}

static int set_linger(struct socket_options *options, const void *value, uint32_t length)
{
	int32_t linger[2];
	if (length < sizeof(linger))
		return -EINVAL;
	memcpy(linger, value, sizeof(linger));
	options->linger_s = !linger[0] ? -1 : linger[1] < 0 ? INT32_MAX : linger[1];
	if (linger[0]) /* Linux keeps jiffies: for ever is LONG_MAX of them */
		options->linger_kept_s =
		        linger[1] < 0 ? (int32_t)(INT64_MAX / SOCKET_JIFFIES_PER_S) : linger[1];
	return 0;
}

/* By number; with CAPABILITY_NET_RAW alone from one to another. */
static int set_device_index(struct socket *socket, struct socket_options *options, int32_t index)
{
	if (index < 0)
		return -EINVAL;
	if (options->device && !has_capability(CAPABILITY_NET_RAW))
		return -EPERM;
	options->device = (uint32_t)index;
	socket_tell_interfaces(socket);
	return 0;
}

static int set_device(struct socket *socket, struct socket_options *options, const void *value,
                      uint32_t length)
{
	char name[DEVICE_NAME_BYTES] = "";
	if (length > sizeof(name) - 1)
		length = sizeof(name) - 1;
	memcpy(name, value, length);
	const struct netif *netif = name[0] ? interface_by_name(name) : NULL;
	if (name[0] && !netif)
		return -ENODEV;
	return set_device_index(socket, options, (int32_t)interface_index(netif));
}

enum {
	TIMESTAMPING_SEND = 0x302, /* TX_SOFTWARE, TX_SCHED, TX_ACK: not implemented */
	TIMESTAMPING_KNOWN = 0x3ffff
};

static int set_timestamping(struct socket_options *options, uint32_t flags)
{
	if (flags & (TIMESTAMPING_SEND | ~(uint32_t)TIMESTAMPING_KNOWN))
		return -EINVAL;
	options->timestamping = flags;
	return 0;
}

static int set_flag(const struct socket *socket, struct socket_options *options, int name,
                    int32_t value)
{
	bool on = value != 0;
	switch (name) {
	case SO_DEBUG:
		if (on && !has_capability(CAPABILITY_NET_ADMIN))
			return -EACCES;
		options->debug = on;
		return 0;
	case SO_REUSEADDR:
		options->reuse_address = on;
		return 0;
	case SO_REUSEPORT:
		if (on && socket->domain != AF_INET)
			return -EOPNOTSUPP;
		options->reuse_port = on;
		return 0;
	case SO_DONTROUTE:
		options->dont_route = on;
		return 0;
	case SO_BROADCAST:
		options->broadcast = on;
		return 0;
	case SO_KEEPALIVE:
		options->keepalive = on;
		return 0;
	case SO_OOBINLINE:
		options->oob_inline = on;
		return 0;
	case SO_NO_CHECK:
		options->no_check = on;
		return 0;
	case SO_PASSCRED:
		options->pass_credentials = on;
		return 0;
	case SO_PASSPIDFD:
		options->pass_pidfd = on;
		return 0;
	case SO_TIMESTAMP:
	case SO_TIMESTAMPNS:
	case SO_TIMESTAMP_NEW:
	case SO_TIMESTAMPNS_NEW:
		options->timestamp = on ? (uint8_t)name : 0;
		return 0;
	case SO_DETACH_FILTER: /* no filter can be attached */
		return -ENOENT;
	case SO_ATTACH_BPF: /* no descriptor is a program */
	case SO_ATTACH_REUSEPORT_EBPF:
	case SO_DETACH_REUSEPORT_BPF:
		return -EINVAL;
	case SO_CNX_ADVICE:
	case SO_BSDCOMPAT:
		return 0;
	case SO_RESERVE_MEM:
		return -EOPNOTSUPP;
	default:
		return -ENOPROTOOPT;
	}
}

static int set_number(struct socket *socket, struct socket_options *options, int name,
                      int32_t value)
{
	bool forced = name == SO_SNDBUFFORCE || name == SO_RCVBUFFORCE;
	int32_t *locks = &options->kept[KEPT_BUF_LOCK];
	enum { LOCK_SEND = 1, LOCK_RECEIVE = 2 };
	if ((forced || name == SO_MARK) && !has_capability(CAPABILITY_NET_ADMIN))
		return -EPERM;
	switch (name) {
	case SO_SNDBUF:
	case SO_SNDBUFFORCE:
		options->send_buffer = buffer_size(value, forced, SOCKET_SEND_BUFFER_MIN);
		*locks |= LOCK_SEND;
		return 0;
	case SO_RCVBUF:
	case SO_RCVBUFFORCE:
		options->receive_buffer = buffer_size(value, forced, SOCKET_RECEIVE_BUFFER_MIN);
		*locks |= LOCK_RECEIVE;
		return 0;
	case SO_RCVLOWAT:
		options->receive_lowat = value < 0 ? INT32_MAX : value == 0 ? 1 : (uint32_t)value;
		return 0;
	case SO_PEEK_OFF:
		if (socket->type == SOCK_RAW)
			return -EOPNOTSUPP;
		options->peek_off = value;
		return 0;
	case SO_ZEROCOPY:
		if (socket->protocol != IPPROTO_TCP && socket->protocol != IPPROTO_UDP)
			return -EOPNOTSUPP;
		if (value < 0 || value > 1)
			return -EINVAL;
		options->zerocopy = value;
		return 0;
	case SO_PRIORITY:
		if ((value < 0 || value > 6) && !has_capability(CAPABILITY_NET_ADMIN))
			return -EPERM;
		options->priority = (uint32_t)value;
		return 0;
	case SO_MARK:
		options->mark = (uint32_t)value;
		return 0;
	case SO_INCOMING_CPU:
		options->incoming_cpu = value;
		return 0;
	case SO_BINDTOIFINDEX:
		return set_device_index(socket, options, value);
	case SO_TIMESTAMPING:
	case SO_TIMESTAMPING_NEW:
		return set_timestamping(options, (uint32_t)value);
	case SO_BUSY_POLL_BUDGET:
		if (value > 0 && !has_capability(CAPABILITY_NET_ADMIN))
			return -EPERM;
		return value < 0 || value > UINT16_MAX ? -EINVAL : 0;
	default:
		return set_flag(socket, options, name, value);
	}
}

static int socket_set_common(struct socket *socket, int name, const void *value, uint32_t length)
{
	int kept = kept_option_set(socket, SOL_SOCKET, name, value, length);
	if (kept != -ENOPROTOOPT)
		return kept;
	struct socket_options *options = socket_options_change(socket);
	if (!options)
		return -ENOMEM;
	if (name == SO_BINDTODEVICE)
		return set_device(socket, options, value, length);
	int32_t number;
	int error = option_int(value, length, &number);
	if (!error)
		error = schedule_option_set(options, name, value, length);
	if (error != -ENOPROTOOPT)
		return error;
	error = 0;
	if (error)
		return error;
	switch (name) {
	case SO_ATTACH_FILTER:
	case SO_ATTACH_REUSEPORT_CBPF: /* none can be: */
		return length == FILTER_PROGRAM_BYTES ? -ENOPROTOOPT : -EINVAL;
	case SO_LINGER:
		error = set_linger(options, value, length);
		break;
	case SO_RCVTIMEO:
	case SO_RCVTIMEO_NEW:
		return set_timeout(&options->receive_timeout, value, length);
	case SO_SNDTIMEO:
	case SO_SNDTIMEO_NEW:
		return set_timeout(&options->send_timeout, value, length);
	default:
		error = set_number(socket, options, name, number);
		break;
	}
	if (!error && socket->operations->set_option) {
		error = socket->operations->set_option(socket, SOL_SOCKET, name, value, length);
		error = error == -ENOPROTOOPT ? 0 : error;
	}
	options->reads_oddly = options->receive_lowat > 1 || options->peek_off >= 0;
	return error;
}

/* Linux looks at the value of an option it knows only; SOL_SOCKET and IPPROTO_TCP copy it first. */
static bool option_is_known(struct socket *socket, int level, int name)
{
	int32_t ignored;
	uint8_t value[64] = { 0 };
	uint32_t length = sizeof(value);
	if (level == SOL_SOCKET || level == IPPROTO_TCP)
		return level == SOL_SOCKET || socket->type == SOCK_STREAM;
	if (level == IPPROTO_IP && group_option_is_known(name))
		return true;
	if (kept_option_get(socket, level, name, &ignored) == 0)
		return true;
	int error = socket->operations->get_option(socket, level, name, value, &length);
	return error != -ENOPROTOOPT && error != -EOPNOTSUPP;
}

long sys_setsockopt(struct thread *thread, const uint64_t *argument)
{
	int error = 0;
	struct socket *socket = socket_lookup(thread, argument[0], &error);
	if (!socket)
		return error;
	int level = (int)argument[1], name = (int)argument[2];
	if ((int32_t)argument[4] < 0)
		return -EINVAL;
	uint32_t length = (uint32_t)argument[4];
	if (length > OPTION_BYTES_MAX)
		length = OPTION_BYTES_MAX;
	uint8_t value[272]; /* struct group_source_req */
	uint32_t kept = length < sizeof(value) ? length : (uint32_t)sizeof(value);
	if (level != SOL_SOCKET && (!socket->operations->set_option || socket->domain == AF_UNIX))
		return -EOPNOTSUPP;
	if (copy_from_user(value, user(argument[3]), kept))
		return option_is_known(socket, level, name) ? -EFAULT : -ENOPROTOOPT;
	if (level == SOL_SOCKET)
		return socket_set_common(socket, name, value, kept);
	error = socket->operations->set_option(socket, level, name, value, kept);
	return error == -ENOPROTOOPT ? kept_option_set(socket, level, name, value, kept) : error;
}

/* ---- getting ---- */

static int get_timeout(uint64_t jiffies, void *value, uint32_t *length)
{
	struct user_timeval time = { 0 };
	if (jiffies != SOCKET_TIMEOUT_AT_ONCE) {
		time.seconds = (int64_t)(jiffies / SOCKET_JIFFIES_PER_S);
		time.microseconds = (int64_t)(jiffies % SOCKET_JIFFIES_PER_S * JIFFY_US);
	}
	if (*length > sizeof(time))
		*length = sizeof(time);
	memcpy(value, &time, *length);
	return 0;
}

static int get_linger(const struct socket_options *options, void *value, uint32_t *length)
{
	int32_t linger[2] = { options->linger_s >= 0, options->linger_kept_s };
	if (*length > sizeof(linger))
		*length = sizeof(linger);
	memcpy(value, linger, *length);
	return 0;
}

static int get_peer_name(struct socket *socket, void *value, uint32_t *length)
{
	struct socket_name name;
	int error = socket->operations->name(socket, 1, &name);
	if (error)
		return error;
	if (name.length < *length)
		return -EINVAL;
	memcpy(value, name.bytes, *length);
	return 0;
}

static int get_device(const struct socket_options *options, void *value, uint32_t *length)
{
	const struct netif *netif = interface_by_index(options->device);
	if (!options->device) {
		*length = 0;
		return 0;
	}
	if (*length < DEVICE_NAME_BYTES)
		return -EINVAL;
	if (!netif)
		return -ENODEV;
	*length = (uint32_t)strlen(netif->name) + 1;
	memcpy(value, netif->name, *length);
	return 0;
}

/* False: not a flag that getsockopt knows. */
static bool get_flag(const struct socket_options *options, int name, int32_t *out)
{
	switch (name) {
	case SO_DEBUG:
		*out = options->debug;
		return true;
	case SO_REUSEADDR:
		*out = options->reuse_address;
		return true;
	case SO_REUSEPORT:
		*out = options->reuse_port;
		return true;
	case SO_DONTROUTE:
		*out = options->dont_route;
		return true;
	case SO_BROADCAST:
		*out = options->broadcast;
		return true;
	case SO_KEEPALIVE:
		*out = options->keepalive;
		return true;
	case SO_OOBINLINE:
		*out = options->oob_inline;
		return true;
	case SO_NO_CHECK:
		*out = options->no_check;
		return true;
	case SO_PASSCRED:
		*out = options->pass_credentials;
		return true;
	case SO_PASSPIDFD:
		*out = options->pass_pidfd;
		return true;
	case SO_TIMESTAMP_NEW: /* Linux: either new one */
		*out = options->timestamp == SO_TIMESTAMP_NEW ||
		       options->timestamp == SO_TIMESTAMPNS_NEW;
		return true;
	case SO_TIMESTAMP:
	case SO_TIMESTAMPNS:
	case SO_TIMESTAMPNS_NEW:
		*out = options->timestamp == name;
		return true;
	case SO_ZEROCOPY:
		*out = options->zerocopy;
		return true;
	case SO_RESERVE_MEM:
	case SO_BSDCOMPAT:
		*out = 0;
		return true;
	case SO_BPF_EXTENSIONS:
		*out = BPF_EXTENSIONS;
		return true;
	default:
		return false;
	}
}

/* Packets have come in, on the one hart that handles them. */
static bool has_peer(struct socket *socket)
{
	struct socket_name name;
	return socket->domain == AF_INET && socket->operations->name(socket, 1, &name) == 0;
}

static int get_number(struct socket *socket, int name, int32_t *out)
{
	const struct socket_options *options = socket->options;
	if (kept_option_get(socket, SOL_SOCKET, name, out) == 0)
		return 0;
	switch (name) {
	case SO_TYPE:
		*out = socket->type;
		return 0;
	case SO_DOMAIN:
		*out = socket->domain;
		return 0;
	case SO_PROTOCOL:
		*out = (int32_t)socket->protocol;
		return 0;
	case SO_ERROR:
		*out = socket->operations->take_error(socket);
		return 0;
	case SO_ACCEPTCONN:
		*out = socket->operations->is_listening(socket);
		return 0;
	case SO_SNDBUF:
		*out = (int32_t)options->send_buffer;
		return 0;
	case SO_RCVBUF:
		*out = (int32_t)options->receive_buffer;
		return 0;
	case SO_RCVLOWAT:
		*out = (int32_t)options->receive_lowat;
		return 0;
	case SO_PEEK_OFF:
		if (socket->type == SOCK_RAW)
			return -EOPNOTSUPP;
		*out = options->peek_off;
		return 0;
	case SO_SNDLOWAT:
		*out = 1;
		return 0;
	case SO_PRIORITY:
		*out = (int32_t)options->priority;
		return 0;
	case SO_MARK:
		*out = (int32_t)options->mark;
		return 0;
	case SO_INCOMING_CPU:
		*out = options->incoming_cpu >= 0 ? options->incoming_cpu
		       : has_peer(socket)         ? (int32_t)this_hart()->index
		                                  : -1;
		return 0;
	case SO_BINDTOIFINDEX:
		*out = (int32_t)options->device;
		return 0;
	case SO_TIMESTAMPING:
	case SO_TIMESTAMPING_NEW:
		*out = (int32_t)options->timestamping;
		return 0;
	case SO_INCOMING_NAPI_ID:
		*out = 0;
		return 0;
	default:
		return get_flag(options, name, out) ? 0 : -ENOPROTOOPT;
	}
}

/* There is one, whose cookie is Linux's of the first. */
static int get_namespace(void *value, uint32_t *length)
{
	const uint64_t first = 1;
	if (*length != sizeof(first))
		return -EINVAL;
	memcpy(value, &first, sizeof(first));
	return 0;
}

static int get_memory(struct socket *socket, void *value, uint32_t *length)
{
	struct socket_memory memory = { .receive_buffer = socket->options->receive_buffer,
		                        .send_buffer = socket->options->send_buffer };
	if (socket->operations->memory)
		socket->operations->memory(socket, &memory);
	if (*length > sizeof(memory))
		*length = sizeof(memory);
	memcpy(value, &memory, *length);
	return 0;
}

static int socket_get_common(struct socket *socket, int name, void *value, uint32_t *length)
{
	switch (name) {
	case SO_MEMINFO:
		return get_memory(socket, value, length);
	case SO_LINGER:
		return get_linger(socket->options, value, length);
	case SO_RCVTIMEO:
	case SO_RCVTIMEO_NEW:
		return get_timeout(socket->options->receive_timeout, value, length);
	case SO_SNDTIMEO:
	case SO_SNDTIMEO_NEW:
		return get_timeout(socket->options->send_timeout, value, length);
	case SO_PEERNAME:
		return get_peer_name(socket, value, length);
	case SO_BINDTODEVICE:
		return get_device(socket->options, value, length);
	case SO_COOKIE:
		if (*length < sizeof(socket->inode))
			return -EINVAL;
		*length = sizeof(socket->inode);
		memcpy(value, &socket->inode, sizeof(socket->inode));
		return 0;
	case SO_NETNS_COOKIE:
		return get_namespace(value, length);
	case SO_ATTACH_FILTER: /* SO_GET_FILTER: none can be attached */
		*length = 0;
		return 0;
	default:
		break;
	}
	int kept = schedule_option_get(socket->options, name, value, length);
	if (kept != -ENOPROTOOPT)
		return kept;
	if (socket->operations->get_option) {
		int error = socket->operations->get_option(socket, SOL_SOCKET, name, value, length);
		if (error != -ENOPROTOOPT)
			return error;
	}
	if (name == SO_PEERPIDFD)
		return -ENODATA;
	if (name == SO_PEERCRED) {
		static const struct user_credentials nobody = { 0, UINT32_MAX, UINT32_MAX };
		if (*length > sizeof(nobody))
			*length = sizeof(nobody);
		memcpy(value, &nobody, *length);
		return 0;
	}
	int32_t number;
	int error = get_number(socket, name, &number);
	return error ? error : option_put_int(value, length, number);
}

/* Any number of them. Where there is no room for all, it is said how much they take. */
static long get_peer_groups(struct socket *socket, uint32_t room, struct user_addr value,
                            struct user_addr length)
{
	const struct group_list *groups = NULL;
	int error = socket->domain == AF_UNIX ? unix_peer_groups(socket, &groups) : -ENODATA;
	if (error)
		return error;
	uint32_t bytes = groups ? groups->count * (uint32_t)sizeof(groups->gid[0]) : 0;
	if (room >= bytes && bytes && copy_to_user(value, groups->gid, bytes))
		return -EFAULT;
	if (copy_to_user(length, &bytes, sizeof(bytes)))
		return -EFAULT;
	return room < bytes ? -ERANGE : 0;
}

/* The caller never learned that he has it. */
static void withdraw_descriptor(struct thread *thread, const uint8_t *value, uint32_t length)
{
	int32_t descriptor;
	if (length < sizeof(descriptor))
		return;
	memcpy(&descriptor, value, sizeof(descriptor));
	file_close(thread, descriptor);
}

long sys_getsockopt(struct thread *thread, const uint64_t *argument)
{
	int error = 0;
	struct socket *socket = socket_lookup(thread, argument[0], &error);
	if (!socket)
		return error;
	int level = (int)argument[1], name = (int)argument[2];
	int32_t room;
	if (copy_from_user(&room, user(argument[4]), sizeof(room)))
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	if (level == SOL_SOCKET && name == SO_PEERGROUPS)
		return get_peer_groups(socket, (uint32_t)room, user(argument[3]),
		                       user(argument[4]));
	uint8_t value[512];
	uint32_t length = (uint32_t)room < sizeof(value) ? (uint32_t)room : (uint32_t)sizeof(value);
	bool asks = level == IPPROTO_IP && name == IP_MSFILTER;
	if (asks && copy_from_user(value, user(argument[3]), length))
		return -EFAULT;
	if (level == SOL_SOCKET)
		error = socket_get_common(socket, name, value, &length);
	else if (!socket->operations->get_option || socket->domain == AF_UNIX)
		error = -EOPNOTSUPP;
	else if (kept_option_get(socket, level, name, &room) == 0)
		error = level == IPPROTO_IP ? option_put_byte_or_int(value, &length, room)
		                            : option_put_int(value, &length, room);
	else
		error = socket->operations->get_option(socket, level, name, value, &length);
	if (error && length > (uint32_t)room) /* it says how much room it would have wanted */
		return copy_to_user(user(argument[4]), &length, sizeof(length)) ? -EFAULT : error;
	if (error)
		return error;
	if (!copy_to_user(user(argument[3]), value, length) &&
	    !copy_to_user(user(argument[4]), &length, sizeof(length)))
		return 0;
	if (level == SOL_SOCKET && name == SO_PEERPIDFD)
		withdraw_descriptor(thread, value, length);
	return -EFAULT;
}
