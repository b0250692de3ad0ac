/*
 * Multicast groups (RFC 1112 §7, RFC 3376 §2): which groups a socket is a member of, by which interface, and whose datagrams it
 * wants of them. What an interface receives, and tells routers by IGMP, follows from the memberships of all sockets (RFC 3376 §3).
 *
 * A set belongs to its socket: group_set_init before anything else, group_set_clear before it ends. Errors are those of ip(7) on
 * Linux, where not said otherwise. Limits: Linux's, and docs/LIMITS.md.
 */
#pragma once

#include "tcpip/stack.h"

#define GROUP_MEMBERSHIPS_MAX 20 /* of a socket: net.ipv4.igmp_max_memberships */
#define GROUP_FILTER_MAX      10 /* sources of a membership: net.ipv4.igmp_max_msf */

/* Of a membership: only the sources named, or all others. The values are Linux's MCAST_EXCLUDE and MCAST_INCLUDE. */
enum group_mode { GROUP_EXCLUDE = 0, GROUP_INCLUDE = 1 };

struct group_set {
	struct list memberships;
	uint8_t count;
	bool joined_only; /* IP_MULTICAST_ALL is 0: nothing of groups that others joined */
};

/* Which group by which interface: its index; 0: the one with that address; any address: the one that leads to the group. */
struct group_request {
	struct ipv4_address group;
	uint32_t interface;
	struct ipv4_address interface_address;
};

struct group_filter {
	enum group_mode mode;
	uint32_t count;
	struct ipv4_address sources[GROUP_FILTER_MAX];
};

void group_set_init(struct group_set *set);
/* Leaves them all. */
void group_set_clear(struct stack *stack, struct group_set *set);
/* GROUP_EXCLUDE: from every source; GROUP_INCLUDE: from none yet. -EINVAL (not a group), -ENODEV, -EADDRINUSE (a member already),
 * -ENOBUFS (a limit, or memory). */
int group_join(struct stack *stack, struct group_set *set, const struct group_request *request,
               enum group_mode mode);
/* -ENODEV, -EADDRNOTAVAIL (not a member). */
int group_leave(struct stack *stack, struct group_set *set, const struct group_request *request);
/* A source more, or less, in the filter of a membership, which has to be of that mode already unless it names no source. The last
 * source of GROUP_INCLUDE takes the membership with it. -EINVAL (not a member, or of the other mode), -EADDRNOTAVAIL (it is there
 * already, or is not), -ENODEV, -ENOBUFS. */
int group_change_source(struct stack *stack, struct group_set *set,
                        const struct group_request *request, enum group_mode mode,
                        struct ipv4_address source, bool add);
/* The whole filter at once. GROUP_INCLUDE of nothing leaves. Errors as group_change_source. */
int group_set_filter(struct stack *stack, struct group_set *set,
                     const struct group_request *request, const struct group_filter *filter);
/* -EINVAL (not a group), -ENODEV, -EADDRNOTAVAIL. */
int group_get_filter(struct stack *stack, const struct group_set *set,
                     const struct group_request *request, struct group_filter *out);
/* Does the socket want what came from there to the group by that interface? */
bool group_set_hears(const struct group_set *set, const struct netif *netif,
                     struct ipv4_address group, struct ipv4_address source);

struct group_row {
	struct ipv4_address address;
	uint32_t members; /* memberships of sockets */
	bool reports;     /* a report is due... */
	uint64_t report_left_ns;
	bool reported_last; /* by us, as far as is known */
};
/* Shows `visit` the groups of an interface, GROUPS_MAX at most; the version of IGMP (1 to 3) that its routers speak. */
unsigned group_walk(const struct netif *netif, void (*visit)(void *context, const struct group_row *row), void *context);

/* Has anybody joined it there, so that the interface receives it? */
bool group_is_received(const struct netif *netif, struct ipv4_address group,
                       struct ipv4_address source, uint8_t protocol);
