/* Membership of multicast groups: sockets' memberships, and the filter of an interface that follows
 * from them (RFC 3376 §3.2). Each change of the latter is handed to igmp.c. */
#include "tcpip/group_internal.h"

#include <errno.h>

struct membership {
	struct list_node link; /* group_set.memberships */
	struct group *group;
	bool was_filtered; /* as on Linux, the mode stays from the first source on */
	struct group_filter filter;
};

/* ---- an interface's groups ---- */

int groups_init(struct stack *stack)
{
	struct group_table *table = stack_alloc(stack, sizeof(*table));
	if (!table)
		return -ENOMEM;
	for (int i = 0; i < GROUP_BUCKETS; i++)
		list_init(&table->buckets[i]);
	stack->groups = table;
	int error = groups_start(&stack->loopback.netif);
	if (error)
		stack_free(stack, table, sizeof(*table));
	return error;
}

int groups_start(struct netif *netif)
{
	struct netif_groups *at = stack_alloc(netif->stack, sizeof(*at));
	if (!at)
		return -ENOMEM;
	at->netif = netif;
	list_init(&at->groups);
	int error = igmp_start(at);
	if (error) {
		stack_free(netif->stack, at, sizeof(*at));
		return error;
	}
	netif->groups = at;
	return 0;
}

static void source_free(struct group *group, struct group_source *source)
{
	list_remove(&source->link);
	group->source_count--;
	stack_free(group->at->netif->stack, source, sizeof(*source));
}

static void group_free(struct group *group)
{
	struct netif_groups *at = group->at;
	list_for_each_safe(node, &group->sources)
	{
		source_free(group, list_entry(node, struct group_source, link));
	}
	list_remove(&group->bucket_link);
	list_remove(&group->link);
	at->count--;
	stack_free(at->netif->stack, group, sizeof(*group));
}

/* Sockets are gone by now; what is left are groups that routers were to be told about. */
void groups_fini(struct stack *stack)
{
	list_for_each(node, &stack->netifs)
	{
		struct netif *netif = list_entry(node, struct netif, link);
		if (!netif->groups)
			continue;
		list_for_each_safe(group, &netif->groups->groups)
		{
			group_free(list_entry(group, struct group, link));
		}
		igmp_stop(netif->groups);
		stack_free(stack, netif->groups, sizeof(*netif->groups));
		netif->groups = NULL;
	}
	stack_free(stack, stack->groups, sizeof(*stack->groups));
}

static struct list *bucket_of(const struct netif *netif, struct ipv4_address address)
{
	return &netif->stack->groups->buckets[address.value * 2654435761u >> 26];
}
_Static_assert(GROUP_BUCKETS == 1 << (32 - 26), "bucket_of");

struct group *group_find(const struct netif *netif, struct ipv4_address address)
{
	list_for_each(node, bucket_of(netif, address))
	{
		struct group *group = list_entry(node, struct group, bucket_link);
		if (ipv4_equal(group->address, address) && group->at->netif == netif)
			return group;
	}
	return NULL;
}

static struct group *group_create(const struct netif *netif, struct ipv4_address address)
{
	struct netif_groups *at = netif->groups;
	if (at->count >= GROUPS_MAX)
		return NULL;
	struct group *group = stack_alloc(netif->stack, sizeof(*group));
	if (!group)
		return NULL;
	group->at = at;
	group->address = address;
	group->report_ns = LOOP_NEVER;
	list_init(&group->sources);
	list_push_back(bucket_of(netif, address), &group->bucket_link);
	list_push_back(&at->groups, &group->link);
	at->count++;
	return group;
}

struct group_source *group_source_find(const struct group *group, struct ipv4_address address)
{
	list_for_each(node, &group->sources)
	{
		struct group_source *source = list_entry(node, struct group_source, link);
		if (ipv4_equal(source->address, address))
			return source;
	}
	return NULL;
}

static struct group_source *source_get(struct group *group, struct ipv4_address address)
{
	struct group_source *source = group_source_find(group, address);
	if (source || group->source_count >= GROUP_SOURCES_MAX)
		return source;
	source = stack_alloc(group->at->netif->stack, sizeof(*source));
	if (!source)
		return NULL;
	source->address = address;
	source->passed = group->excludes;
	list_push_back(&group->sources, &source->link);
	group->source_count++;
	return source;
}

void group_settle(struct group *group)
{
	list_for_each_safe(node, &group->sources)
	{
		struct group_source *source = list_entry(node, struct group_source, link);
		if (!source->includes && !source->excludes && !source->changes)
			source_free(group, source);
	}
	if (!group_has_members(group) && !group->mode_changes && !group->source_count)
		group_free(group);
}

bool group_is_received(const struct netif *netif, struct ipv4_address address,
                       struct ipv4_address source_address, uint8_t protocol)
{
	if (ipv4_is_all_hosts(address)) /* always (RFC 1112 §4) */
		return true;
	const struct group *group = group_find(netif, address);
	if (!group || !group_has_members(group))
		return false;
	if (protocol == IP_PROTOCOL_IGMP)
		return true;
	const struct group_source *source = group_source_find(group, source_address);
	return source ? group_source_passes(group, source) : group->excludes != 0;
}

/* ---- changes ---- */

static enum group_mode change_begin(struct group *group)
{
	list_for_each(node, &group->sources)
	{
		struct group_source *source = list_entry(node, struct group_source, link);
		source->passed = group_source_passes(group, source);
	}
	return group->excludes ? GROUP_EXCLUDE : GROUP_INCLUDE;
}

static void change_end(struct group *group, enum group_mode before)
{
	igmp_changed(group, before);
	group_settle(group);
}

static void count_mode(struct group *group, enum group_mode mode, int by)
{
	if (mode == GROUP_INCLUDE)
		group->includes += (uint32_t)by;
	else
		group->excludes += (uint32_t)by;
}

static void count_source(struct group_source *source, enum group_mode mode, int by)
{
	if (mode == GROUP_INCLUDE)
		source->includes += (uint32_t)by;
	else
		source->excludes += (uint32_t)by;
}

static uint32_t position_of(const struct group_filter *filter, struct ipv4_address source)
{
	uint32_t i = 0;
	while (i < filter->count && !ipv4_equal(filter->sources[i], source))
		i++;
	return i;
}

/* A source that the list names twice counts once. */
static void count_filter(struct group *group, const struct group_filter *filter, int by)
{
	for (uint32_t i = 0; i < filter->count; i++) {
		if (position_of(filter, filter->sources[i]) == i)
			count_source(group_source_find(group, filter->sources[i]), filter->mode,
			             by);
	}
	count_mode(group, filter->mode, by);
}

/* False: there is no room for all of its sources. */
static bool filter_has_room(struct group *group, const struct group_filter *filter)
{
	for (uint32_t i = 0; i < filter->count; i++) {
		if (!source_get(group, filter->sources[i]))
			return false;
	}
	return true;
}

/* -ENOBUFS: nothing changed. */
static int filter_replace(struct membership *membership, const struct group_filter *filter)
{
	struct group *group = membership->group;
	enum group_mode before = change_begin(group);
	bool room = filter_has_room(group, filter);
	if (room) {
		count_filter(group, filter, 1);
		count_filter(group, &membership->filter, -1);
		membership->filter = *filter;
	}
	change_end(group, before);
	return room ? 0 : -ENOBUFS;
}

/* ---- sockets' memberships ---- */

void group_set_init(struct group_set *set)
{
	*set = (struct group_set){ 0 };
	list_init(&set->memberships);
}

static struct netif *netif_of(struct stack *stack, const struct group_request *request)
{
	struct route_cache route;
	if (request->interface)
		return stack_netif_by_index(stack, request->interface);
	if (!ipv4_is_any(request->interface_address))
		return stack_netif_by_address(stack, request->interface_address);
	if (ipv4_is_any(request->group)) /* which leads to ourselves, on Linux */
		return stack_loopback(stack);
	return route_lookup(stack, request->group, &route) ? NULL : route.netif;
}

static struct membership *membership_find(const struct group_set *set, const struct netif *netif,
                                          struct ipv4_address group)
{
	list_for_each(node, &set->memberships)
	{
		struct membership *membership = list_entry(node, struct membership, link);
		if (ipv4_equal(membership->group->address, group) &&
		    membership->group->at->netif == netif)
			return membership;
	}
	return NULL;
}

static void membership_end(struct stack *stack, struct group_set *set,
                           struct membership *membership)
{
	struct group *group = membership->group;
	enum group_mode before = change_begin(group);
	count_filter(group, &membership->filter, -1);
	list_remove(&membership->link);
	set->count--;
	stack_free(stack, membership, sizeof(*membership));
	change_end(group, before);
}

void group_set_clear(struct stack *stack, struct group_set *set)
{
	list_for_each_safe(node, &set->memberships)
	{
		membership_end(stack, set, list_entry(node, struct membership, link));
	}
}

int group_join(struct stack *stack, struct group_set *set, const struct group_request *request,
               enum group_mode mode)
{
	if (!ipv4_is_multicast(request->group))
		return -EINVAL;
	struct netif *netif = netif_of(stack, request);
	if (!netif)
		return -ENODEV;
	if (membership_find(set, netif, request->group))
		return -EADDRINUSE;
	if (set->count >= GROUP_MEMBERSHIPS_MAX)
		return -ENOBUFS;
	struct membership *membership = stack_alloc(stack, sizeof(*membership));
	struct group *group = membership ? group_find(netif, request->group) : NULL;
	if (membership && !group)
		group = group_create(netif, request->group);
	if (!group) {
		if (membership)
			stack_free(stack, membership, sizeof(*membership));
		return -ENOBUFS;
	}
	membership->group = group;
	membership->filter.mode = mode;
	list_push_back(&set->memberships, &membership->link);
	set->count++;
	enum group_mode before = change_begin(group);
	count_mode(group, mode, 1);
	change_end(group, before);
	return 0;
}

int group_leave(struct stack *stack, struct group_set *set, const struct group_request *request)
{
	struct netif *netif = netif_of(stack, request);
	struct membership *membership = netif ? membership_find(set, netif, request->group) : NULL;
	if (!netif && !request->interface && ipv4_is_any(request->interface_address))
		return -ENODEV;
	if (!membership)
		return -EADDRNOTAVAIL;
	membership_end(stack, set, membership);
	return 0;
}

/* The membership that a filter is to be set or read of; -ENODEV, -EINVAL: not a group, or none. */
static int filtered_membership(struct stack *stack, const struct group_set *set,
                               const struct group_request *request, struct membership **out)
{
	if (!ipv4_is_multicast(request->group))
		return -EINVAL;
	struct netif *netif = netif_of(stack, request);
	if (!netif)
		return -ENODEV;
	*out = membership_find(set, netif, request->group);
	return *out ? 0 : -EINVAL;
}

int group_change_source(struct stack *stack, struct group_set *set,
                        const struct group_request *request, enum group_mode mode,
                        struct ipv4_address source, bool add)
{
	struct membership *membership;
	int error = filtered_membership(stack, set, request, &membership);
	if (error)
		return error;
	struct group_filter filter = membership->filter;
	if (filter.mode != mode && membership->was_filtered)
		return -EINVAL;
	filter.mode = mode;
	uint32_t at = position_of(&filter, source);
	bool there = at < filter.count;
	if (!add && there && filter.count == 1 && mode == GROUP_INCLUDE) {
		membership_end(stack, set, membership);
		return 0;
	}
	if (add && filter.count == GROUP_FILTER_MAX)
		error = -ENOBUFS;
	else if (add == there)
		error = -EADDRNOTAVAIL;
	else if (add)
		filter.sources[filter.count++] = source;
	else
		memmove(&filter.sources[at], &filter.sources[at + 1],
		        (--filter.count - at) * sizeof(filter.sources[0]));
	/* As Linux: an empty filter takes the mode asked for even if nothing else comes of it. */
	int changed = filter_replace(membership, &filter);
	membership->was_filtered |= !error && !changed;
	return error ? error : changed;
}

int group_set_filter(struct stack *stack, struct group_set *set,
                     const struct group_request *request, const struct group_filter *filter)
{
	if (filter->mode == GROUP_INCLUDE && !filter->count) {
		if (!ipv4_is_multicast(request->group))
			return -EINVAL;
		return netif_of(stack, request) ? group_leave(stack, set, request) : -ENODEV;
	}
	struct membership *membership;
	int error = filtered_membership(stack, set, request, &membership);
	if (!error)
		error = filter_replace(membership, filter);
	if (!error)
		membership->was_filtered = filter->count;
	return error;
}

int group_get_filter(struct stack *stack, const struct group_set *set,
                     const struct group_request *request, struct group_filter *out)
{
	struct membership *membership = NULL;
	int error = filtered_membership(stack, set, request, &membership);
	if (error == -EINVAL && ipv4_is_multicast(request->group))
		return -EADDRNOTAVAIL;
	if (!error)
		*out = membership->filter;
	return error;
}

bool group_set_hears(const struct group_set *set, const struct netif *netif,
                     struct ipv4_address group, struct ipv4_address source)
{
	const struct membership *membership = membership_find(set, netif, group);
	if (!membership)
		return !set->joined_only;
	const struct group_filter *filter = &membership->filter;
	bool named = position_of(filter, source) < filter->count;
	return named == (filter->mode == GROUP_INCLUDE);
}

unsigned group_walk(const struct netif *netif,
                    void (*visit)(void *context, const struct group_row *row), void *context)
{
	uint64_t now = stack_now(netif->stack);
	list_for_each(node, &netif->groups->groups)
	{
		const struct group *group = list_entry(node, struct group, link);
		struct group_row row = { .address = group->address,
			                 .members = group->includes + group->excludes,
			                 .reports = group->report_ns != LOOP_NEVER,
			                 .reported_last = group->reported_last };
		if (row.reports && group->report_ns > now)
			row.report_left_ns = group->report_ns - now;
		if (group_has_members(group))
			visit(context, &row);
	}
	return igmp_version(netif->groups);
}

const char *groups_verify(struct stack *stack)
{
	list_for_each(node, &stack->netifs)
	{
		const struct netif *netif = list_entry(node, struct netif, link);
		uint32_t groups = 0;
		list_for_each(group_node, &netif->groups->groups)
		{
			const struct group *group = list_entry(group_node, struct group, link);
			uint32_t sources = 0;
			list_for_each(source_node, &group->sources)
			{
				const struct group_source *source =
				        list_entry(source_node, struct group_source, link);
				if (source->includes > group->includes ||
				    source->excludes > group->excludes)
					return "group: a source is named by more than the members";
				sources++;
			}
			if (sources != group->source_count)
				return "group: the sources are miscounted";
			if (group_find(netif, group->address) != group)
				return "group: a group cannot be found";
			groups++;
		}
		if (groups != netif->groups->count)
			return "group: an interface's groups are miscounted";
	}
	return NULL;
}
