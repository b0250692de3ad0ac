/* Answers of NETLINK_ROUTE: interfaces, addresses, and the main table's routes. */
#include <errno.h>
#include <string.h>

#include "syscalls/net.h"
#include "syscalls/net/netlink.h"
#include "syscalls/process.h"

enum route_message {
	RTM_NEWLINK = 16,
	RTM_GETLINK = 18,
	RTM_NEWADDR = 20,
	RTM_GETADDR = 22,
	RTM_NEWROUTE = 24,
	RTM_GETROUTE = 26,
	RTM_LAST = 123,
};
enum { KIND_MASK = 3, KIND_GET = 2 }; /* of a type: new, delete, get, set */
enum { ARPHRD_ETHER = 1, ARPHRD_LOOPBACK = 772 };
enum { INTERFACES = 2 };

struct link_body {
	uint8_t family, padding;
	uint16_t hardware;
	int32_t index;
	uint32_t flags, change;
};

struct address_body {
	uint8_t family, prefix_length, flags, scope;
	uint32_t index;
};

struct route_body {
	uint8_t family, destination_length, source_length, tos;
	uint8_t table, protocol, scope, type;
	uint32_t flags;
};

static void put_number(struct netlink_answer *answer, uint16_t type, uint32_t number)
{
	netlink_put_attribute(answer, type, &number, sizeof(number));
}

static void put_byte(struct netlink_answer *answer, uint16_t type, uint8_t number)
{
	netlink_put_attribute(answer, type, &number, sizeof(number));
}

static void put_address(struct netlink_answer *answer, uint16_t type, struct ipv4_address address)
{
	put_number(answer, type, __builtin_bswap32(address.value));
}

static void put_text(struct netlink_answer *answer, uint16_t type, const char *text)
{
	netlink_put_attribute(answer, type, text, (uint32_t)strlen(text) + 1);
}

static void put_counters(struct netlink_answer *answer, const struct netif *netif)
{
	enum { IFLA_STATS = 7, IFLA_STATS64 = 23, COUNTERS = 25 };
	uint64_t wide[COUNTERS] = { netif->statistics.rx_frames,  netif->statistics.tx_frames,
		                    netif->statistics.rx_bytes,   netif->statistics.tx_bytes,
		                    netif->statistics.rx_errors,  0,
		                    netif->statistics.rx_dropped, netif->statistics.tx_dropped };
	uint32_t narrow[COUNTERS - 1];
	for (int i = 0; i < COUNTERS - 1; i++)
		narrow[i] = (uint32_t)wide[i];
	netlink_put_attribute(answer, IFLA_STATS64, wide, sizeof(wide));
	netlink_put_attribute(answer, IFLA_STATS, narrow, sizeof(narrow));
}

static void put_link(struct netlink_answer *answer, const struct netif *netif, uint16_t flags)
{
	enum {
		IFLA_ADDRESS = 1,
		IFLA_BROADCAST,
		IFLA_IFNAME,
		IFLA_MTU,
		IFLA_QDISC = 6,
		IFLA_TXQLEN = 13,
		IFLA_OPERSTATE = 16,
		IFLA_LINKMODE,
		IFLA_GROUP = 27,
		IFLA_PROMISCUITY = 30,
		IFLA_CARRIER = 33,
	};
	enum { STATE_UNKNOWN = 0, STATE_DOWN = 2, STATE_UP = 6 };
	bool loopback = netif->offloads & NETIF_LOOPBACK;
	const struct link_body body = {
		.hardware = loopback ? ARPHRD_LOOPBACK : ARPHRD_ETHER,
		.index = netif->index,
		.flags = interface_flags(netif),
	};
	uint8_t broadcast[6];
	memset(broadcast, loopback ? 0 : 0xff, sizeof(broadcast));
	netlink_put_message(answer, RTM_NEWLINK, flags, &body, sizeof(body));
	put_text(answer, IFLA_IFNAME, netif->name);
	put_number(answer, IFLA_TXQLEN, 1000);
	put_byte(answer, IFLA_OPERSTATE,
	         !netif->up ? STATE_DOWN
	         : loopback ? STATE_UNKNOWN
	                    : STATE_UP);
	put_byte(answer, IFLA_LINKMODE, 0);
	put_number(answer, IFLA_MTU, netif->mtu);
	put_number(answer, IFLA_GROUP, 0);
	put_number(answer, IFLA_PROMISCUITY, 0);
	put_byte(answer, IFLA_CARRIER, netif->up);
	put_text(answer, IFLA_QDISC, "noqueue");
	netlink_put_attribute(answer, IFLA_ADDRESS, netif->mac.byte, sizeof(netif->mac.byte));
	netlink_put_attribute(answer, IFLA_BROADCAST, broadcast, sizeof(broadcast));
	put_counters(answer, netif);
}

static void put_interface_address(struct netlink_answer *answer, const struct netif *netif)
{
	enum { IFA_ADDRESS = 1, IFA_LOCAL, IFA_LABEL, IFA_CACHEINFO = 6, IFA_FLAGS = 8 };
	enum { PERMANENT = 0x80, SCOPE_UNIVERSE = 0, SCOPE_HOST = 254 };
	const struct address_body body = {
		.family = AF_INET,
		.prefix_length = netif->prefix_length,
		.flags = PERMANENT,
		.scope = netif->offloads & NETIF_LOOPBACK ? SCOPE_HOST : SCOPE_UNIVERSE,
		.index = netif->index,
	};
	/* Preferred and valid for ever; made and changed at the start. */
	static const uint32_t times[4] = { UINT32_MAX, UINT32_MAX, 0, 0 };
	if (ipv4_is_any(netif->address))
		return;
	netlink_put_message(answer, RTM_NEWADDR, NETLINK_MULTI, &body, sizeof(body));
	put_address(answer, IFA_ADDRESS, netif->address);
	put_address(answer, IFA_LOCAL, netif->address);
	put_text(answer, IFA_LABEL, netif->name);
	put_number(answer, IFA_FLAGS, PERMANENT);
	netlink_put_attribute(answer, IFA_CACHEINFO, times, sizeof(times));
}

static void put_routes(struct netlink_answer *answer, const struct netif *netif)
{
	enum { RTA_DST = 1, RTA_OIF = 4, RTA_GATEWAY, RTA_PREFSRC = 7, RTA_TABLE = 15 };
	enum { TABLE_MAIN = 254, BY_KERNEL = 2, BY_BOOT = 3, SCOPE_LINK = 253, UNICAST = 1 };
	struct ipv4_address gateway = stack_gateway(net_stack(this_hart()));
	struct route_body body = {
		.family = AF_INET, .table = TABLE_MAIN, .protocol = BY_BOOT, .type = UNICAST
	};
	if (netif->offloads & NETIF_LOOPBACK || ipv4_is_any(netif->address))
		return;
	if (!ipv4_is_any(gateway)) {
		netlink_put_message(answer, RTM_NEWROUTE, NETLINK_MULTI, &body, sizeof(body));
		put_number(answer, RTA_TABLE, TABLE_MAIN);
		put_address(answer, RTA_GATEWAY, gateway);
		put_number(answer, RTA_OIF, netif->index);
	}
	if (netif->prefix_length == 32)
		return;
	body.destination_length = netif->prefix_length;
	body.protocol = BY_KERNEL;
	body.scope = SCOPE_LINK;
	uint32_t mask = ipv4_prefix_mask(netif->prefix_length);
	netlink_put_message(answer, RTM_NEWROUTE, NETLINK_MULTI, &body, sizeof(body));
	put_number(answer, RTA_TABLE, TABLE_MAIN);
	put_address(answer, RTA_DST, (struct ipv4_address){ netif->address.value & mask });
	put_address(answer, RTA_PREFSRC, netif->address);
	put_number(answer, RTA_OIF, netif->index);
}

static int dump(uint16_t type, uint8_t family, struct netlink_answer *answer)
{
	static const uint32_t success = 0;
	for (uint32_t index = 1; index <= INTERFACES; index++) {
		const struct netif *netif = interface_by_index(index);
		if (!netif)
			continue;
		if (type == RTM_GETLINK)
			put_link(answer, netif, NETLINK_MULTI);
		else if (type == RTM_GETADDR && (family == AF_UNSPEC || family == AF_INET))
			put_interface_address(answer, netif);
		else if (type == RTM_GETROUTE && (family == AF_UNSPEC || family == AF_INET))
			put_routes(answer, netif);
	}
	netlink_put_message(answer, NETLINK_DONE, NETLINK_MULTI, &success, sizeof(success));
	return 1;
}

/* By its index, or by its name, which is an attribute. */
static int one_link(const uint8_t *body, uint32_t bytes, struct netlink_answer *answer)
{
	enum { IFLA_IFNAME = 3, TYPE_MASK = 0x3fff };
	struct link_body asked;
	struct {
		uint16_t length, type;
	} attribute;
	if (bytes < sizeof(asked))
		return -EINVAL;
	memcpy(&asked, body, sizeof(asked));
	const struct netif *netif =
	        asked.index > 0 ? interface_by_index((uint32_t)asked.index) : NULL;
	bool named = false;
	for (uint32_t at = sizeof(asked); bytes - at >= sizeof(attribute);) {
		memcpy(&attribute, body + at, sizeof(attribute));
		if (attribute.length < sizeof(attribute) || attribute.length > bytes - at)
			break;
		char name[16] = "";
		uint32_t length = attribute.length - (uint32_t)sizeof(attribute);
		if ((attribute.type & TYPE_MASK) == IFLA_IFNAME && asked.index <= 0) {
			memcpy(name, body + at + sizeof(attribute),
			       length < sizeof(name) ? length : sizeof(name) - 1);
			netif = interface_by_name(name);
			named = true;
		}
		uint32_t step = NETLINK_ALIGN(attribute.length);
		if (step > bytes - at)
			break;
		at += step;
	}
	if (!netif)
		return asked.index > 0 || named ? -ENODEV : -EINVAL;
	put_link(answer, netif, 0);
	return 1;
}

int netlink_route_answer(const struct netlink_header *request, const uint8_t *body,
                         uint32_t body_bytes, struct netlink_answer *answer)
{
	uint16_t type = request->type;
	if (type > RTM_LAST)
		return -EOPNOTSUPP;
	if (!body_bytes) /* not even a family */
		return 0;
	if ((type & KIND_MASK) != KIND_GET)
		return has_capability(CAPABILITY_NET_ADMIN) ? -EOPNOTSUPP : -EPERM;
	if (!net_stack(this_hart()))
		return -EOPNOTSUPP;
	bool known = type == RTM_GETLINK || type == RTM_GETADDR || type == RTM_GETROUTE;
	if (known && request->flags & NETLINK_DUMP)
		return dump(type, body[0], answer);
	return type == RTM_GETLINK ? one_link(body, body_bytes, answer) : -EOPNOTSUPP;
}
