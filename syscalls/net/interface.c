/* Interfaces as programs see them: SIOCGIF*. Index 1 is loopback, 2 the first device. */
#include <errno.h>
#include <string.h>

#include "syscalls/files/owner.h"
#include "syscalls/net.h"
#include "syscalls/net/socket.h"

enum {
	IFF_UP = 1,
	IFF_BROADCAST = 2,
	IFF_LOOPBACK = 8,
	IFF_RUNNING = 0x40,
	IFF_MULTICAST = 0x1000,
	IFF_LOWER_UP = 0x10000
};
enum { ARPHRD_ETHER = 1, ARPHRD_LOOPBACK = 772 };

struct user_ifreq {
	char name[16];
	union {
		struct sockaddr_in address;
		int16_t flags;
		int32_t number;
		struct {
			uint16_t family;
			uint8_t bytes[14];
		} hardware;
		uint8_t room[24];
	};
};
_Static_assert(sizeof(struct user_ifreq) == 40, "struct ifreq");

struct user_ifconf {
	int32_t length, padding;
	uint64_t requests;
};

uint32_t interface_index(const struct netif *netif)
{
	return netif ? netif->index : 0;
}

struct netif *interface_by_index(uint32_t index)
{
	struct stack *stack = net_stack(this_hart());
	return stack ? stack_netif_by_index(stack, index) : NULL;
}

struct netif *interface_by_name(const char *name)
{
	for (uint32_t index = 1; index <= 2; index++) {
		struct netif *netif = interface_by_index(index);
		if (netif && strncmp(netif->name, name, sizeof(netif->name)) == 0)
			return netif;
	}
	return NULL;
}

static void put_address(struct user_ifreq *request, uint32_t address)
{
	struct socket_name name;
	inet_name_make(&name, (struct endpoint){ { address }, 0 });
	request->address = name.inet;
}

static long list_interfaces(uint64_t argument)
{
	struct user_ifconf configuration;
	if (copy_from_user(&configuration, user(argument), sizeof(configuration)))
		return -EFAULT;
	int32_t used = 0;
	for (uint32_t index = 1; index <= 2; index++) {
		const struct netif *netif = interface_by_index(index);
		if (!netif || ipv4_is_any(netif->address))
			continue;
		struct user_ifreq request;
		memset(&request, 0, sizeof(request));
		memcpy(request.name, netif->name, sizeof(request.name));
		put_address(&request, netif->address.value);
		int32_t next = used + (int32_t)sizeof(request);
		if (configuration.requests) {
			if (next > configuration.length)
				break;
			if (copy_to_user(user(configuration.requests + (uint64_t)used), &request,
			                 sizeof(request)))
				return -EFAULT;
		}
		used = next;
	}
	return copy_to_user(user(argument), &used, sizeof(used));
}

uint32_t interface_flags(const struct netif *netif)
{
	bool loopback = netif->offloads & NETIF_LOOPBACK;
	return (netif->up ? IFF_UP | IFF_RUNNING | IFF_LOWER_UP : 0) |
	       (loopback ? IFF_LOOPBACK : IFF_BROADCAST | IFF_MULTICAST);
}

static long answer(struct netif *netif, uint32_t command, struct user_ifreq *request)
{
	bool loopback = netif->offloads & NETIF_LOOPBACK;
	memset(request->room, 0, sizeof(request->room));
	switch (command) {
	case SIOCGIFFLAGS:
		request->flags = (int16_t)interface_flags(netif);
		return 0;
	case SIOCGIFADDR:
	case SIOCGIFDSTADDR:
	case SIOCGIFNETMASK:
	case SIOCGIFBRDADDR:
		if (ipv4_is_any(netif->address))
			return -EADDRNOTAVAIL;
		put_address(request, command == SIOCGIFNETMASK
		                             ? ipv4_prefix_mask(netif->prefix_length)
		                     : command != SIOCGIFBRDADDR ? netif->address.value
		                     : loopback                  ? 0
		                                                 : netif->address.value |
		                                          ~ipv4_prefix_mask(netif->prefix_length));
		return 0;
	case SIOCGIFMETRIC:
	case SIOCGIFMAP:
		return 0;
	case SIOCGIFMTU:
		request->number = (int32_t)netif->mtu;
		return 0;
	case SIOCGIFHWADDR:
		request->hardware.family = loopback ? ARPHRD_LOOPBACK : ARPHRD_ETHER;
		memcpy(request->hardware.bytes, netif->mac.byte, sizeof(netif->mac.byte));
		return 0;
	case SIOCGIFINDEX:
		request->number = (int32_t)interface_index(netif);
		return 0;
	default: /* SIOCGIFTXQLEN */
		request->number = 1000;
		return 0;
	}
}

/* Questions that have the same answer for every interface. */
static long fixed_answer(uint32_t command, uint64_t argument)
{
	struct user_ifreq request;
	uint64_t data;
	switch (command) {
	case SIOCGARP:
	case SIOCADDRT:
	case SIOCDELRT:
		return command == SIOCGARP ? -EPFNOSUPPORT : -EAFNOSUPPORT;
	case SIOCGIFBR:
	case SIOCGIFVLAN:
		return -ENOPKG;
	case SIOCGMIIPHY:
		return -EOPNOTSUPP;
	case SIOCGIFPFLAGS:
	case SIOCGIFSLAVE:
		return -EINVAL;
	case SIOCETHTOOL:
		if (copy_from_user(&request, user(argument), sizeof(request)))
			return -EFAULT;
		memcpy(&data, request.room, sizeof(data));
		return copy_from_user(&command, user(data), sizeof(command)) ? -EFAULT
		                                                             : -EOPNOTSUPP;
	default:
		return command >= SIOCDEVPRIVATE && command <= SIOCDEVPRIVATE_LAST ? -EOPNOTSUPP
		                                                                   : -ENOTTY;
	}
}

long interface_ioctl(uint32_t command, uint64_t argument)
{
	struct user_ifreq request;
	switch (command) {
	case SIOCGIFCONF:
		return list_interfaces(argument);
	case SIOCGIFNAME:
	case SIOCGIFFLAGS:
	case SIOCGIFADDR:
	case SIOCGIFDSTADDR:
	case SIOCGIFNETMASK:
	case SIOCGIFBRDADDR:
	case SIOCGIFMETRIC:
	case SIOCGIFMTU:
	case SIOCGIFHWADDR:
	case SIOCGIFINDEX:
	case SIOCGIFTXQLEN:
	case SIOCGIFMAP:
		break;
	case SIOCSIFFLAGS: /* what the command line said stays */
	case SIOCSIFADDR:
	case SIOCSIFNETMASK:
	case SIOCSIFMTU:
		return socket_admin() ? -EOPNOTSUPP : -EPERM;
	default:
		return fixed_answer(command, argument);
	}
	if (copy_from_user(&request, user(argument), sizeof(request)))
		return -EFAULT;
	request.name[sizeof(request.name) - 1] = 0;
	struct netif *netif = command == SIOCGIFNAME ? interface_by_index((uint32_t)request.number)
	                                             : interface_by_name(request.name);
	if (!netif)
		return -ENODEV;
	if (command == SIOCGIFNAME) {
		memcpy(request.name, netif->name, sizeof(request.name));
	} else {
		long error = answer(netif, command, &request);
		if (error)
			return error;
	}
	return copy_to_user(user(argument), &request, sizeof(request));
}

long socket_ioctl(struct file *file, uint32_t command, uint64_t argument)
{
	struct socket *socket = socket_of(file);
	if (socket->operations->ioctl) {
		long result = socket->operations->ioctl(socket, command, argument);
		if (result != -ENOTTY)
			return result;
	}
	int32_t owner;
	switch (command) {
	case FIOSETOWN:
	case SIOCSPGRP:
		if (copy_from_user(&owner, user(argument), sizeof(owner)))
			return -EFAULT;
		return file_set_owner(file, owner);
	case FIOGETOWN:
	case SIOCGPGRP:
		owner = file_get_owner(file);
		return copy_to_user(user(argument), &owner, sizeof(owner));
	case SIOCGSTAMP: /* nothing of TCP's is stamped */
	case SIOCGSTAMPNS:
	case SIOCGSTAMP_NEW:
	case SIOCGSTAMPNS_NEW:
		return socket->domain == AF_INET ? -ENOENT : -ENOTTY;
	default:
		return interface_ioctl(command, argument);
	}
}
