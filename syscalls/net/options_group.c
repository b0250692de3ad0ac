/* Multicast options of IPPROTO_IP: membership, filters of sources, and how datagrams to groups
 * leave (ip(7), RFC 3678). */
#include <errno.h>
#include <string.h>

#include "syscalls/net.h"
#include "syscalls/net/socket_tcp.h"
#include "syscalls/net/socket_udp.h"

/* Addresses are in network order. */
struct user_ip_mreqn { /* struct ip_mreq without the index */
	uint32_t group, interface;
	int32_t index;
};
enum { IP_MREQ_BYTES = 8 };

struct user_ip_mreq_source {
	uint32_t group, interface, source;
};

struct user_ip_msfilter {
	uint32_t group, interface;
	uint32_t mode, count;
	uint32_t sources[GROUP_FILTER_MAX];
};
enum { IP_MSFILTER_BYTES = 16 };

/* struct sockaddr_storage. */
struct user_group_name {
	struct sockaddr_in inet;
	uint8_t rest[112];
};
struct user_group_request { /* struct group_req without the source */
	uint32_t index, padding;
	struct user_group_name group, source;
};
enum { GROUP_REQ_BYTES = 136 };
_Static_assert(sizeof(struct user_group_request) == 264, "struct group_source_req");

static struct ipv4_address address_of(uint32_t network_order)
{
	return (struct ipv4_address){ __builtin_bswap32(network_order) };
}

static struct ipv4_address name_address(const struct user_group_name *name)
{
	const uint8_t *byte = name->inet.address;
	return ipv4(byte[0], byte[1], byte[2], byte[3]);
}

/* NULL: no memory. */
static struct group_set *groups_of(struct socket *socket)
{
	switch (socket->protocol) {
	case IPPROTO_UDP:
		return udp_groups(udp_socket_of(socket)->udp);
	case IPPROTO_TCP:
		return tcp_groups(tcp_socket_of(socket)->connection);
	default:
		return ping_socket_groups(socket);
	}
}

void socket_tell_group_sending(struct socket *socket)
{
	const struct socket_options *options = socket->options;
	const struct udp_group_sending sending = {
		.interface = (uint8_t)options->multicast_interface,
		.source = options->multicast_address,
		.ttl = options->multicast_ttl,
		.loops = options->multicast_loop,
	};
	if (socket->domain != AF_INET || socket->type == SOCK_STREAM)
		return;
	groups_of(socket)->joined_only = !options->multicast_all;
	if (socket->protocol == IPPROTO_UDP)
		udp_set_group_sending(udp_socket_of(socket)->udp, &sending);
}

static int join_or_leave(struct socket *socket, bool join, const struct group_request *request)
{
	struct stack *stack = net_stack(this_hart());
	return join ? group_join(stack, groups_of(socket), request, GROUP_EXCLUDE)
	            : group_leave(stack, groups_of(socket), request);
}

/* A struct ip_mreq has no index. */
static struct user_ip_mreqn take_mreqn(const void *value, uint32_t length)
{
	struct user_ip_mreqn user = { 0 };
	memcpy(&user, value, length < sizeof(user) ? IP_MREQ_BYTES : sizeof(user));
	return user;
}

/* Linux refuses TCP this way to join, and no other. */
static int change_membership(struct socket *socket, bool join, const void *value, uint32_t length)
{
	if (socket->type == SOCK_STREAM)
		return -EPROTO;
	if (length < IP_MREQ_BYTES)
		return -EINVAL;
	const struct user_ip_mreqn user = take_mreqn(value, length);
	const struct group_request request = { .group = address_of(user.group),
		                               .interface = (uint32_t)user.index,
		                               .interface_address = address_of(user.interface) };
	return join_or_leave(socket, join, &request);
}

/* MCAST_JOIN_GROUP and MCAST_LEAVE_GROUP. */
static int change_group(struct socket *socket, bool join, const void *value, uint32_t length)
{
	struct user_group_request user;
	if (length < GROUP_REQ_BYTES)
		return -EINVAL;
	memcpy(&user, value, GROUP_REQ_BYTES);
	if (user.group.inet.family != AF_INET)
		return -EINVAL;
	const struct group_request request = { .group = name_address(&user.group),
		                               .interface = user.index };
	return join_or_leave(socket, join, &request);
}

/* What the options about one source have in common, IP_* and MCAST_*: a mode, more or less, and
 * whether it may be the source that makes the membership. */
static int change_source(struct socket *socket, int name, const struct group_request *request,
                         struct ipv4_address source)
{
	struct stack *stack = net_stack(this_hart());
	struct group_set *set = groups_of(socket);
	bool joins = name == IP_ADD_SOURCE_MEMBERSHIP || name == MCAST_JOIN_SOURCE_GROUP;
	bool leaves = name == IP_DROP_SOURCE_MEMBERSHIP || name == MCAST_LEAVE_SOURCE_GROUP;
	bool blocks = name == IP_BLOCK_SOURCE || name == MCAST_BLOCK_SOURCE;
	if (joins) {
		int error = group_join(stack, set, request, GROUP_INCLUDE);
		if (error && error != -EADDRINUSE)
			return error;
	}
	return group_change_source(stack, set, request,
	                           joins || leaves ? GROUP_INCLUDE : GROUP_EXCLUDE, source,
	                           joins || blocks);
}

static int change_ip_source(struct socket *socket, int name, const void *value, uint32_t length)
{
	struct user_ip_mreq_source user;
	if (length != sizeof(user))
		return -EINVAL;
	memcpy(&user, value, sizeof(user));
	const struct group_request request = { .group = address_of(user.group),
		                               .interface_address = address_of(user.interface) };
	return change_source(socket, name, &request, address_of(user.source));
}

static int change_group_source(struct socket *socket, int name, const void *value, uint32_t length)
{
	struct user_group_request user;
	if (length < sizeof(user))
		return -EINVAL;
	memcpy(&user, value, sizeof(user));
	if (user.group.inet.family != AF_INET || user.source.inet.family != AF_INET)
		return -EADDRNOTAVAIL;
	const struct group_request request = { .group = name_address(&user.group),
		                               .interface = user.index };
	return change_source(socket, name, &request, name_address(&user.source));
}

static int set_filter(struct socket *socket, const void *value, uint32_t length)
{
	struct user_ip_msfilter user;
	if (length < IP_MSFILTER_BYTES)
		return -EINVAL;
	memcpy(&user, value, length < sizeof(user) ? length : sizeof(user));
	if (user.count > GROUP_FILTER_MAX)
		return -ENOBUFS;
	if (IP_MSFILTER_BYTES + user.count * sizeof(user.sources[0]) > length)
		return -EINVAL;
	const struct group_request request = { .group = address_of(user.group),
		                               .interface_address = address_of(user.interface) };
	struct group_filter filter = { .mode = user.mode, .count = user.count };
	if (!ipv4_is_multicast(request.group) ||
	    (user.mode != GROUP_INCLUDE && user.mode != GROUP_EXCLUDE))
		return -EINVAL;
	for (uint32_t i = 0; i < user.count; i++)
		filter.sources[i] = address_of(user.sources[i]);
	return group_set_filter(net_stack(this_hart()), groups_of(socket), &request, &filter);
}

/* The caller says which membership, and how many sources it has room for. */
static int get_filter(struct socket *socket, void *value, uint32_t *length)
{
	struct user_ip_msfilter user;
	struct group_filter filter;
	if (*length < IP_MSFILTER_BYTES)
		return -EINVAL;
	memcpy(&user, value, IP_MSFILTER_BYTES);
	const struct group_request request = { .group = address_of(user.group),
		                               .interface_address = address_of(user.interface) };
	int error = group_get_filter(net_stack(this_hart()), groups_of(socket), &request, &filter);
	if (error)
		return error;
	uint32_t copied = user.count < filter.count ? user.count : filter.count;
	user.mode = filter.mode;
	user.count = filter.count;
	for (uint32_t i = 0; i < copied; i++)
		user.sources[i] = __builtin_bswap32(filter.sources[i].value);
	*length = IP_MSFILTER_BYTES + copied * (uint32_t)sizeof(user.sources[0]);
	memcpy(value, &user, *length);
	return 0;
}

static int set_interface(struct socket *socket, const void *value, uint32_t length)
{
	struct socket_options *options = socket_options_change(socket);
	struct user_ip_mreqn user = { 0 };
	if (!options)
		return -ENOMEM;
	if (socket->type == SOCK_STREAM || length < sizeof(user.interface))
		return -EINVAL;
	if (length >= IP_MREQ_BYTES)
		user = take_mreqn(value, length);
	else
		memcpy(&user.interface, value, sizeof(user.interface));
	struct ipv4_address address = address_of(user.interface);
	uint32_t index = (uint32_t)user.index;
	if (index || !ipv4_is_any(address)) {
		const struct netif *netif =
		        index ? interface_by_index(index)
		              : stack_netif_by_address(net_stack(this_hart()), address);
		if (!netif)
			return -EADDRNOTAVAIL;
		index = interface_index(netif);
		if (options->device && options->device != index)
			return -EINVAL;
	}
	options->multicast_interface = index;
	options->multicast_address = address;
	socket_tell_group_sending(socket);
	return 0;
}

bool group_option_is_known(int name)
{
	return name == IP_MULTICAST_IF ||
	       (name >= IP_ADD_MEMBERSHIP && name <= MCAST_LEAVE_SOURCE_GROUP);
}

int group_set_option(struct socket *socket, int name, const void *value, uint32_t length)
{
	if (name == IP_MULTICAST_IF)
		return set_interface(socket, value, length);
	if (!group_option_is_known(name))
		return -ENOPROTOOPT;
	if (!groups_of(socket))
		return -ENOBUFS;
	switch (name) {
	case IP_ADD_MEMBERSHIP:
	case IP_DROP_MEMBERSHIP:
		return change_membership(socket, name == IP_ADD_MEMBERSHIP, value, length);
	case MCAST_JOIN_GROUP:
	case MCAST_LEAVE_GROUP:
		return change_group(socket, name == MCAST_JOIN_GROUP, value, length);
	default:
		break;
	}
	if (name == IP_MSFILTER)
		return set_filter(socket, value, length);
	return name <= IP_DROP_SOURCE_MEMBERSHIP ? change_ip_source(socket, name, value, length)
	                                         : change_group_source(socket, name, value, length);
}

int group_get_option(struct socket *socket, int name, void *value, uint32_t *length)
{
	if (name == IP_MULTICAST_IF) {
		uint32_t address = __builtin_bswap32(socket->options->multicast_address.value);
		return option_put_int(value, length, (int32_t)address);
	}
	if (name != IP_MSFILTER)
		return -ENOPROTOOPT;
	return groups_of(socket) ? get_filter(socket, value, length) : -ENOBUFS;
}
