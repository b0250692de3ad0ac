/* IPPROTO_IP options, common to TCP and UDP (ip(7)). */
#include <errno.h>
#include <string.h>

#include "syscalls/net.h"
#include "syscalls/net/socket.h"
#include "syscalls/net/socket_tcp.h"
#include "syscalls/net/socket_udp.h"

#define DEFAULT_TTL          64
#define IP_OPTIONS_BYTES_MAX 40
#define IP_MTU_MAX           65535

/* Where a boolean option is kept; NULL: not one of them. */
static const bool *flag_of(const struct socket_options *options, int name)
{
	switch (name) {
	case IP_PKTINFO:
		return &options->packet_information;
	case IP_RECVERR:
		return &options->receive_errors;
	case IP_RECVTTL:
		return &options->receive_ttl;
	case IP_RECVTOS:
		return &options->receive_tos;
	case IP_BIND_ADDRESS_NO_PORT:
		return &options->bind_no_port;
	case IP_MULTICAST_LOOP:
		return &options->multicast_loop;
	case IP_MULTICAST_ALL:
		return &options->multicast_all;
	case IP_FREEBIND:
		return &options->free_bind;
	case IP_TRANSPARENT:
		return &options->transparent;
	case IP_RECVORIGDSTADDR:
		return &options->receive_original;
	default:
		return NULL;
	}
}

/* Linux's rt_tos2priority. */
static uint32_t priority_of(uint8_t tos)
{
	static const uint8_t priorities[] = { 0, 2, 6,
		                              4 }; /* best effort, bulk, interactive, both */
	return priorities[tos >> 3 & 3];
}

static int set_tos(struct socket *socket, struct socket_options *options, int32_t value)
{
	const uint8_t ecn = 3;
	uint8_t tos = (uint8_t)value;
	if (socket->type == SOCK_STREAM) {
		tos = (uint8_t)((tos & ~ecn) | (options->tos & ecn));
		int error = tcp_set_option(tcp_socket_of(socket)->connection, TCP_OPTION_TOS, tos);
		if (error)
			return error;
	}
	if (tos != options->tos)
		options->priority = priority_of(tos);
	options->tos = tos;
	return 0;
}

static int set_ttl(struct socket *socket, struct socket_options *options, int32_t value)
{
	if (value != -1 && (value < 1 || value > 255))
		return -EINVAL;
	if (socket->type == SOCK_STREAM) {
		int error = tcp_set_option(tcp_socket_of(socket)->connection, TCP_OPTION_TTL,
		                           value == -1 ? DEFAULT_TTL : value);
		if (error)
			return error;
	}
	options->ttl = value;
	return 0;
}

/* What bind(2) has to know. */
static void tell_binding(struct socket *socket)
{
	const struct socket_options *options = socket->options;
	bool free_bind = options->free_bind || options->transparent;
	if (socket->type == SOCK_STREAM) {
		struct tcp_connection *connection = tcp_socket_of(socket)->connection;
		tcp_set_option(connection, TCP_OPTION_FREE_BIND, free_bind);
		tcp_set_option(connection, TCP_OPTION_BIND_NO_PORT, options->bind_no_port);
	} else if (socket->protocol == IPPROTO_UDP) {
		udp_set_binding(udp_socket_of(socket)->udp,
		                options->transparent ? UDP_FOREIGN_SENT
		                : free_bind          ? UDP_FOREIGN_BOUND
		                                     : UDP_FOREIGN_REFUSED,
		                options->bind_no_port);
	}
}

static int set_flag(struct socket *socket, int name, bool *flag, int32_t number)
{
	if (name == IP_MULTICAST_ALL && (number < 0 || number > 1))
		return -EINVAL;
	if (name == IP_TRANSPARENT && number && !socket_admin())
		return -EPERM;
	*flag = number != 0;
	if (name == IP_FREEBIND || name == IP_TRANSPARENT || name == IP_BIND_ADDRESS_NO_PORT)
		tell_binding(socket);
	else if (name == IP_RECVERR && socket->type == SOCK_STREAM)
		return tcp_set_option(tcp_socket_of(socket)->connection, TCP_OPTION_TELL_ERRORS,
		                      number != 0);
	else if (name == IP_MULTICAST_LOOP || name == IP_MULTICAST_ALL)
		socket_tell_group_sending(socket);
	return 0;
}

void socket_tell_interfaces(struct socket *socket)
{
	const struct socket_options *options = socket->options;
	uint32_t unicast = __builtin_bswap32((uint32_t)options->unicast_interface);
	/* There are not so many: a higher number means one that does not exist. */
	uint8_t bound = options->device > UINT8_MAX ? UINT8_MAX : (uint8_t)options->device;
	if (socket->domain == AF_INET && socket->type == SOCK_STREAM)
		tcp_set_option(tcp_socket_of(socket)->connection, TCP_OPTION_INTERFACE, bound);
	else if (socket->domain == AF_INET && socket->protocol == IPPROTO_UDP)
		udp_set_interfaces(udp_socket_of(socket)->udp, bound, (uint8_t)unicast);
}

static int set_min_ttl(struct socket *socket, struct socket_options *options, int32_t value)
{
	if (value < 0 || value > 255)
		return -EINVAL;
	options->min_ttl = (uint8_t)value;
	return socket->type != SOCK_STREAM ? 0
	                                   : tcp_set_option(tcp_socket_of(socket)->connection,
	                                                    TCP_OPTION_MIN_TTL, value);
}

/* The first port and the last, 0: no bound of its own. */
static int set_port_range(struct socket *socket, struct socket_options *options, uint32_t range)
{
	uint16_t first = (uint16_t)range, last = (uint16_t)(range >> 16);
	if (first && last && first > last)
		return -EINVAL;
	options->port_range = range;
	if (socket->type == SOCK_STREAM)
		tcp_set_option(tcp_socket_of(socket)->connection, TCP_OPTION_PORT_RANGE, range);
	else if (socket->protocol == IPPROTO_UDP)
		udp_set_port_range(udp_socket_of(socket)->udp, first, last);
	return 0;
}

static int set_unicast_interface(struct socket *socket, struct socket_options *options,
                                 int32_t number)
{
	uint32_t index = __builtin_bswap32((uint32_t)number); /* in network order */
	if (index && !interface_by_index(index))
		return -EADDRNOTAVAIL;
	if (index && options->device)
		return -EINVAL;
	options->unicast_interface = number;
	socket_tell_interfaces(socket);
	return 0;
}

int ip_set_option(struct socket *socket, int name, const void *value, uint32_t length)
{
	struct socket_options *options = socket_options_change(socket);
	if (!options)
		return -ENOMEM;
	int32_t number = option_byte_or_int(value, length);
	bool *flag = (bool *)flag_of(options, name);
	if (flag)
		return set_flag(socket, name, flag, number);
	switch (name) {
	case IP_TOS:
		return set_tos(socket, options, number);
	case IP_TTL:
		return length ? set_ttl(socket, options, number) : -EINVAL;
	case IP_MTU_DISCOVER:
		if (number < IP_PMTUDISC_DONT || number > IP_PMTUDISC_OMIT)
			return -EINVAL;
		options->mtu_discover = (uint8_t)number;
		return 0;
	case IP_MULTICAST_TTL:
		if (socket->type == SOCK_STREAM || !length || number < -1 || number > 255)
			return -EINVAL;
		options->multicast_ttl = number == -1 ? 1 : (uint8_t)number;
		socket_tell_group_sending(socket);
		return 0;
	case IP_UNICAST_IF:
		return length == sizeof(number) ? set_unicast_interface(socket, options, number)
		                                : -EINVAL;
	case IP_MINTTL:
		return length ? set_min_ttl(socket, options, number) : -EINVAL;
	case IP_LOCAL_PORT_RANGE:
		return length == sizeof(number) ? set_port_range(socket, options, (uint32_t)number)
		                                : -EINVAL;
	case IP_OPTIONS: /* of a packet: none are sent */
		return length > IP_OPTIONS_BYTES_MAX ? -EINVAL : length ? -ENOPROTOOPT : 0;
	case IP_ROUTER_ALERT:
	case IP_XFRM_POLICY:
		return -EINVAL;
	default:
		return group_set_option(socket, name, value, length);
	}
}

static int path_mtu(struct socket *socket, int32_t *out)
{
	if (socket->type == SOCK_STREAM) {
		const struct tcp_connection *connection = tcp_socket_of(socket)->connection;
		struct tcp_information information;
		tcp_get_information(connection, &information);
		*out = (int32_t)information.pmtu;
		return tcp_remote(connection).port && *out ? 0 : -ENOTCONN;
	}
	struct endpoint remote = udp_remote(udp_socket_of(socket)->udp);
	if (remote.port == 0)
		return -ENOTCONN;
	struct stack *stack = net_stack(this_hart());
	const struct netif *netif = stack_first_netif(stack);
	if (!netif || stack_is_local_address(stack, remote.address))
		netif = stack_loopback(stack);
	*out = netif->mtu > IP_MTU_MAX ? IP_MTU_MAX : (int32_t)netif->mtu;
	return 0;
}

int ip_get_option(struct socket *socket, int name, void *value, uint32_t *length)
{
	const struct socket_options *options = socket->options;
	int32_t number = 0;
	const bool *flag = flag_of(options, name);
	int error = 0;
	switch (name) {
	case IP_TOS:
		number = options->tos;
		break;
	case IP_TTL:
		number = options->ttl == -1 ? DEFAULT_TTL : options->ttl;
		break;
	case IP_MTU_DISCOVER:
		number = options->mtu_discover;
		break;
	case IP_MULTICAST_TTL:
		number = options->multicast_ttl;
		break;
	case IP_UNICAST_IF:
		number = options->unicast_interface;
		break;
	case IP_MINTTL:
		number = options->min_ttl;
		break;
	case IP_LOCAL_PORT_RANGE:
		number = (int32_t)options->port_range;
		break;
	case IP_OPTIONS:
		*length = 0;
		return 0;
	case IP_PKTOPTIONS:
		if (socket->type != SOCK_STREAM)
			return -ENOPROTOOPT;
		*length = 0;
		return 0;
	case IP_HDRINCL: /* raw sockets' */
	case IP_NODEFRAG:
	case IP_ROUTER_ALERT:
	case IP_PROTOCOL:
		break;
	case IP_MTU:
		error = path_mtu(socket, &number);
		break;
	default:
		if (!flag)
			return group_get_option(socket, name, value, length);
		number = *flag;
		break;
	}
	if (error)
		return error;
	return option_put_byte_or_int(value, length, number);
}
