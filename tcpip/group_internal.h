/* The groups of an interface, shared by group.c (who is a member) and igmp.c (what routers are
 * told). */
#pragma once

#include "tcpip/group.h"
#include "tcpip/stack_internal.h"

#define GROUPS_MAX        1024 /* of an interface */
#define GROUP_SOURCES_MAX 64   /* of a group at an interface */

#define GROUP_BUCKETS     64

/* A source that memberships name, or that was named and is to be reported as gone. */
struct group_source {
	struct list_node link; /* group.sources */
	struct ipv4_address address;
	uint32_t includes, excludes; /* memberships that want it alone, that refuse it */
	bool passed;                 /* before the change that is being made */
	bool asked_for;              /* by the query that waits for its answer */
	uint8_t changes;             /* reports that have to tell the change */
};

/* A group at an interface; ends when nobody is a member and routers have been told so. */
struct group {
	struct list_node bucket_link; /* group_table.buckets */
	struct list_node link;        /* netif_groups.groups */
	struct netif_groups *at;
	struct ipv4_address address;
	uint32_t includes, excludes; /* memberships by mode */
	struct list sources;
	uint32_t source_count;
	/* igmp.c */
	uint64_t report_ns;   /* the answer to a query, or an unsolicited report of version 1 or 2;
	                         LOOP_NEVER */
	uint8_t mode_changes; /* reports that have to tell a change of the filter's mode */
	uint8_t unsolicited;  /* reports of version 1 and 2 that have to follow */
	bool reported_last;   /* by us, as far as is known (RFC 2236 §3) */
	bool sources_asked;   /* the query names sources */
	bool joined;          /* when igmp_changed was called last */
};

struct netif_groups {
	struct netif *netif;
	struct list groups;
	uint32_t count;
	/* igmp.c */
	struct loop_timer timer;
	uint64_t general_ns; /* the answer to a general query; LOOP_NEVER */
	uint64_t change_ns;  /* the next report of changes */
	uint64_t version1_until_ns, version2_until_ns; /* routers of these versions are about */
	uint8_t robustness;
};

struct group_table {
	struct list buckets[GROUP_BUCKETS];
};

struct group *group_find(const struct netif *netif, struct ipv4_address address);
static inline bool group_has_members(const struct group *group)
{
	return group->includes || group->excludes;
}
/* RFC 3376 §3.2: whether the interface wants that source's datagrams. */
static inline bool group_source_passes(const struct group *group, const struct group_source *source)
{
	return source->includes || source->excludes != group->excludes;
}
struct group_source *group_source_find(const struct group *group, struct ipv4_address address);
/* Frees the sources that nobody names and nothing is to be said of, and the group if it has ended.
 */
void group_settle(struct group *group);

/* ---- igmp.c ---- */

/* Of the oldest router that is about: 1 to 3 (RFC 3376 §7.2.1). */
unsigned igmp_version(const struct netif_groups *at);

int igmp_start(struct netif_groups *at);
void igmp_stop(struct netif_groups *at);
/* The interface's filter of a group changed from `before`; sources say so by `passed`. */
void igmp_changed(struct group *group, enum group_mode before);
