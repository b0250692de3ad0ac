/* IPPROTO_IP options, common to TCP and UDP (ip(7)). */
#include <errno.h>
#include <string.h>

#include "syscalls/net.h"
#include "syscalls/net/socket.h"
#include "syscalls/net/socket_tcp.h"
#include "syscalls/net/socket_udp.h"

#define DEFAULT_TTL 64

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
	default:
		return NULL;
	}
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

int ip_set_option(struct socket *socket, int name, const void *value, uint32_t length)
{
	struct socket_options *options = socket_options_change(socket);
	int32_t number = 0;
	if (!options)
		return -ENOMEM;
	if (length >= sizeof(number))
		memcpy(&number, value, sizeof(number));
	else if (length)
		number = *(const uint8_t *)value;
	bool *flag = (bool *)flag_of(options, name);
	if (flag) {
		*flag = number != 0;
		return 0;
	}
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
		return 0;
	default:
		return -ENOPROTOOPT;
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
	*out = (int32_t)netif->mtu;
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
	case IP_MTU:
		error = path_mtu(socket, &number);
		break;
	default:
		if (!flag)
			return -ENOPROTOOPT;
		number = *flag;
		break;
	}
	if (error)
		return error;
	if (*length && *length < sizeof(number) && number >= 0 && number <= 255) {
		*(uint8_t *)value = (uint8_t)number;
		*length = 1;
		return 0;
	}
	return option_put_int(value, length, number);
}
