/*
 * IGMP, the host's part: routers of the link are told which groups the interface receives.
 *
 * Version 3 (RFC 3376), or version 2 or 1 (RFC 2236, RFC 1112) for as long as an older router is
 * about (RFC 3376 §7.2.1). One timer per interface: a report of changes, the answer to a general
 * query, and each group's own answer. Queries are believed as Linux does it, whatever their TTL and
 * options.
 */
#include "tcpip/group_internal.h"

#define SECOND_NS       1000000000ull
#define TENTH_NS        (SECOND_NS / 10) /* the unit of a query's maximum response time */
#define QUERY3_BYTES    12
#define RECORD_BYTES    8

#define TTL             1
#define TOS             0xc0 /* internetwork control (RFC 3376 §4) */

/* RFC 3376 §8. */
#define ROBUSTNESS      2
#define UNSOLICITED3_NS SECOND_NS
#define UNSOLICITED2_NS (10 * SECOND_NS)
#define RESPONSE1_NS    (10 * SECOND_NS)
#define OLDER_ROUTER_NS ((ROBUSTNESS * 125 + 10) * SECOND_NS)

enum igmp_types {
	IGMP_QUERY = 0x11,
	IGMP_REPORT1 = 0x12,
	IGMP_REPORT2 = 0x16,
	IGMP_LEAVE2 = 0x17,
	IGMP_REPORT3 = 0x22
};

/* RFC 3376 §4.2.12. */
enum record_type {
	MODE_IS_INCLUDE = 1,
	MODE_IS_EXCLUDE,
	CHANGE_TO_INCLUDE,
	CHANGE_TO_EXCLUDE,
	ALLOW_NEW_SOURCES,
	BLOCK_OLD_SOURCES
};

static const struct ipv4_address ALL_ROUTERS = { 0xe0000002 }, ALL_IGMP3_ROUTERS = { 0xe0000016 };

static uint64_t now(const struct netif_groups *at)
{
	return stack_now(at->netif->stack);
}

/* Some time within the next `span_ns`. */
static uint64_t soon(const struct netif_groups *at, uint64_t span_ns)
{
	uint32_t random;
	stack_random(at->netif->stack, &random, sizeof(random));
	return now(at) + 1 + (span_ns >> 16) * (random & 0xffff);
}

unsigned igmp_version(const struct netif_groups *at)
{
	return now(at) < at->version1_until_ns ? 1 : now(at) < at->version2_until_ns ? 2 : 3;
}

static void wake_by(struct netif_groups *at, uint64_t deadline_ns)
{
	if (deadline_ns < at->timer.deadline_ns)
		loop_timer_arm(at->netif->stack->loop, &at->timer, deadline_ns);
}

/* Nobody is told of the group that everybody is in, nor on an interface that has no routers. */
static bool is_reported(const struct group *group)
{
	return !ipv4_is_all_hosts(group->address) && !(group->at->netif->offloads & NETIF_LOOPBACK);
}

/* ---- sending ---- */

/* Takes the message, whose checksum is open. */
static void transmit(struct netif *netif, struct ipv4_address to, struct pbuf *message)
{
	const struct ip_fields fields = {
		.source = netif->address, /* or none yet (RFC 3376 §4.2.13) */
		.destination = to,
		.protocol = IP_PROTOCOL_IGMP,
		.ttl = TTL,
		.tos = TOS,
		.fragment = IP_DONT_FRAGMENT,
		.router_alert = true,
	};
	const struct ethernet_address mac = group_mac(to);
	checksum_store(message->data + 2, 0);
	checksum_store(message->data + 2,
	               checksum_fold(checksum_add(0, message->data, message->length)));
	ip_push_header(message, &fields);
	netif->stack->statistics.ip_out++;
	netif->stack->statistics.igmp_out++;
	ethernet_send(netif, message, &mac, ETHERNET_IPV4);
	stack_note_output(netif->stack);
}

static struct pbuf *message_create(struct netif *netif, uint8_t type)
{
	struct pbuf *message = pbuf_alloc(netif->stack->config.pool, PBUF_SMALL, PBUF_HEADROOM);
	if (!message)
		return NULL; /* lost, as it could be on the wire */
	memset(message->data, 0, IGMP_HEADER_BYTES);
	message->data[0] = type;
	message->length = message->packet_length = IGMP_HEADER_BYTES;
	return message;
}

/* Of version 1 and 2. */
static void send_short(const struct group *group, uint8_t type, struct ipv4_address to)
{
	struct pbuf *message = message_create(group->at->netif, type);
	if (!message)
		return;
	store_be32(message->data + 4, group->address.value);
	transmit(group->at->netif, to, message);
}

/* A report of version 3 that grows record by record, and leaves when it is full or complete. */
struct report {
	struct netif *netif;
	struct pbuf *message;
};

static uint32_t report_room(const struct report *report)
{
	uint32_t most = report->netif->mtu - IP_HEADER_BYTES - ROUTER_ALERT_BYTES;
	uint32_t room = pbuf_tailroom(report->message) + report->message->length;
	return (most < room ? most : room) - report->message->length;
}

static void report_send(struct report *report)
{
	if (report->message)
		transmit(report->netif, ALL_IGMP3_ROUTERS, report->message);
	report->message = NULL;
}

/* The record's place, with room for as many sources, or at least for one; NULL: no memory. */
static uint8_t *record_begin(struct report *report, uint8_t type, struct ipv4_address group,
                             uint32_t sources)
{
	if (report->message && report_room(report) < RECORD_BYTES + 4 * sources)
		report_send(report);
	if (!report->message)
		report->message = message_create(report->netif, IGMP_REPORT3);
	struct pbuf *message = report->message;
	if (!message)
		return NULL;
	uint8_t *record = message->data + message->length;
	record[0] = type;
	record[1] = 0;
	store_be16(record + 2, 0);
	store_be32(record + 4, group.value);
	message->length = message->packet_length = message->length + RECORD_BYTES;
	store_be16(message->data + 6, (uint16_t)(load_be16(message->data + 6) + 1));
	return record;
}

/* Which of a group's sources a record names. */
typedef bool source_choice(const struct group *group, struct group_source *source);

static bool is_in_filter(const struct group *group, struct group_source *source)
{
	return group->excludes ? !group_source_passes(group, source) : source->includes;
}

static bool is_asked_for(const struct group *group, struct group_source *source)
{
	return source->asked_for && group_source_passes(group, source);
}

static bool is_newly_allowed(const struct group *group, struct group_source *source)
{
	return source->changes && group_source_passes(group, source);
}

static bool is_newly_blocked(const struct group *group, struct group_source *source)
{
	return source->changes && !group_source_passes(group, source);
}

/* What does not fit goes into a further report, but for the list of those excluded, which may say
 * less than it could, not be contradicted by a second one (RFC 3376 §4.2.16). */
static void add_record(struct report *report, uint8_t type, const struct group *group,
                       source_choice *is_chosen, bool even_if_empty)
{
	uint32_t count = 0;
	uint8_t *record = NULL;
	list_for_each(node, &group->sources)
	{
		count += is_chosen(group, list_entry(node, struct group_source, link));
	}
	if (!count && !even_if_empty)
		return;
	record = record_begin(report, type, group->address, count);
	list_for_each(node, &group->sources)
	{
		struct group_source *source = list_entry(node, struct group_source, link);
		if (!record || !is_chosen(group, source))
			continue;
		if (report_room(report) < 4) {
			if (type == MODE_IS_EXCLUDE || type == CHANGE_TO_EXCLUDE)
				return;
			report_send(report);
			record = record_begin(report, type, group->address, 1);
			if (!record)
				return;
		}
		struct pbuf *message = report->message;
		store_be32(message->data + message->length, source->address.value);
		message->length = message->packet_length = message->length + 4;
		store_be16(record + 2, (uint16_t)(load_be16(record + 2) + 1));
	}
}

/* ---- changes (RFC 3376 §5.1) ---- */

static void clear_changes(struct group *group)
{
	group->mode_changes = 0;
	list_for_each(node, &group->sources)
	{
		list_entry(node, struct group_source, link)->changes = 0;
	}
}

/* True: something is still to be told once more. */
static bool report_change(struct report *report, struct group *group)
{
	bool more = false;
	if (group->mode_changes) {
		bool excludes = group->excludes;
		add_record(report, excludes ? CHANGE_TO_EXCLUDE : CHANGE_TO_INCLUDE, group,
		           is_in_filter, true);
		more = --group->mode_changes;
	} else {
		add_record(report, ALLOW_NEW_SOURCES, group, is_newly_allowed, false);
		add_record(report, BLOCK_OLD_SOURCES, group, is_newly_blocked, false);
		list_for_each(node, &group->sources)
		{
			struct group_source *source = list_entry(node, struct group_source, link);
			source->changes -= source->changes != 0;
			more |= source->changes != 0;
		}
	}
	return more;
}

static void report_changes(struct netif_groups *at)
{
	struct report report = { .netif = at->netif };
	bool more = false;
	list_for_each_safe(node, &at->groups)
	{
		struct group *group = list_entry(node, struct group, link);
		more |= report_change(&report, group);
		group_settle(group);
	}
	report_send(&report);
	at->change_ns = more ? soon(at, UNSOLICITED3_NS) : LOOP_NEVER;
}

static bool note_source_changes(struct group *group)
{
	bool any = false;
	list_for_each(node, &group->sources)
	{
		struct group_source *source = list_entry(node, struct group_source, link);
		if (group_source_passes(group, source) != source->passed) {
			source->changes = group->at->robustness;
			any = true;
		}
	}
	return any;
}

/* RFC 2236 §3: who joins says so; who was the last to say so says that it leaves. */
static void changed_for_older(struct group *group, bool joined)
{
	struct netif_groups *at = group->at;
	if (group_has_members(group)) {
		if (joined) {
			group->unsolicited = at->robustness;
			group->report_ns = now(at);
			wake_by(at, group->report_ns);
		}
		return;
	}
	if (igmp_version(at) == 2 && group->reported_last)
		send_short(group, IGMP_LEAVE2, ALL_ROUTERS);
}

void igmp_changed(struct group *group, enum group_mode before)
{
	struct netif_groups *at = group->at;
	bool was_joined = group->joined;
	group->joined = group_has_members(group);
	if (!is_reported(group))
		return;
	if (igmp_version(at) < 3) {
		changed_for_older(group, !was_joined);
		return;
	}
	enum group_mode mode = group->excludes ? GROUP_EXCLUDE : GROUP_INCLUDE;
	if (mode != before) {
		clear_changes(group);
		group->mode_changes = at->robustness;
	} else if (!note_source_changes(group)) {
		return;
	}
	at->change_ns = now(at);
	wake_by(at, at->change_ns);
}

/* ---- answers ---- */

static void answer(struct report *report, const struct group *group, bool only_asked_for)
{
	if (!group_has_members(group) || !is_reported(group))
		return;
	if (group->excludes)
		add_record(report, MODE_IS_EXCLUDE, group, is_in_filter, true);
	else
		add_record(report, MODE_IS_INCLUDE, group,
		           only_asked_for ? is_asked_for : is_in_filter, false);
}

static void forget_query(struct group *group)
{
	group->report_ns = LOOP_NEVER;
	group->sources_asked = false;
	list_for_each(node, &group->sources)
	{
		list_entry(node, struct group_source, link)->asked_for = false;
	}
}

static void report_group(struct report *report, struct group *group)
{
	struct netif_groups *at = group->at;
	bool only_asked_for = group->sources_asked;
	unsigned as = igmp_version(at);
	if (as == 3) {
		answer(report, group, only_asked_for);
		forget_query(group);
		return;
	}
	forget_query(group);
	if (!group_has_members(group))
		return;
	send_short(group, as == 1 ? IGMP_REPORT1 : IGMP_REPORT2, group->address);
	group->reported_last = true;
	if (group->unsolicited && --group->unsolicited)
		group->report_ns = soon(at, UNSOLICITED2_NS);
}

static void timer_fired(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	struct netif_groups *at = container_of(watcher, struct netif_groups, timer.watcher);
	struct report report = { .netif = at->netif };
	uint64_t next = LOOP_NEVER;
	(void)events;
	if (at->change_ns <= loop->now_ns)
		report_changes(at);
	bool general = at->general_ns <= loop->now_ns;
	if (general)
		at->general_ns = LOOP_NEVER;
	list_for_each(node, &at->groups)
	{
		struct group *group = list_entry(node, struct group, link);
		if (group->report_ns <= loop->now_ns)
			report_group(&report, group);
		else if (general)
			answer(&report, group, false);
		next = group->report_ns < next ? group->report_ns : next;
	}
	report_send(&report);
	next = at->change_ns < next ? at->change_ns : next;
	next = at->general_ns < next ? at->general_ns : next;
	loop_timer_arm(loop, &at->timer, next);
}

/* ---- queries ---- */

/* An older router was heard: what was to be said in version 3 is void (RFC 3376 §7.2.1). */
static void older_router_heard(struct netif_groups *at, int which)
{
	unsigned before = igmp_version(at);
	uint64_t until = now(at) + OLDER_ROUTER_NS;
	if (which == 1)
		at->version1_until_ns = until;
	else
		at->version2_until_ns = until;
	if (igmp_version(at) == before)
		return;
	at->general_ns = at->change_ns = LOOP_NEVER;
	list_for_each_safe(node, &at->groups)
	{
		struct group *group = list_entry(node, struct group, link);
		clear_changes(group);
		forget_query(group);
		group_settle(group);
	}
}

/* Keeps what is due earlier. */
static void answer_within(struct group *group, uint64_t span_ns)
{
	uint64_t at_ns = soon(group->at, span_ns);
	if (is_reported(group) && group_has_members(group) && at_ns < group->report_ns) {
		group->report_ns = at_ns;
		wake_by(group->at, at_ns);
	}
}

static void query_for_older(struct netif_groups *at, struct ipv4_address address, uint64_t span_ns)
{
	list_for_each(node, &at->groups)
	{
		struct group *group = list_entry(node, struct group, link);
		if (ipv4_is_any(address) || ipv4_equal(address, group->address))
			answer_within(group, span_ns);
	}
}

/* RFC 3376 §4.1.1: an exponent of 3 bits and a mantissa of 4. */
static uint32_t decode_time(uint8_t code)
{
	return code < 128 ? code : (0x10u | (code & 0x0fu)) << ((code >> 4 & 7) + 3);
}

/* Some sources of a group, or no particular ones (RFC 3376 §5.2, 3 to 5): added to those asked for
 * by a query that waits, which asks for all if it names none. False: none of them is wanted, and
 * there is nothing to say. */
static bool note_sources_asked(struct group *group, const struct pbuf *query, uint32_t count)
{
	bool all_asked = group->report_ns != LOOP_NEVER && !group->sources_asked;
	bool wanted = count == 0;
	for (uint32_t i = 0; i < count; i++) {
		uint8_t bytes[4];
		pbuf_copy_out(query, QUERY3_BYTES + 4 * i, bytes, sizeof(bytes));
		struct group_source *source =
		        group_source_find(group, (struct ipv4_address){ load_be32(bytes) });
		if (source)
			source->asked_for = true;
		wanted |= source ? group_source_passes(group, source) : group->excludes != 0;
	}
	if (wanted)
		group->sources_asked = count && !all_asked;
	return wanted;
}

static void query3(struct netif_groups *at, const struct pbuf *query, struct ipv4_address address,
                   uint64_t span_ns)
{
	const uint8_t *bytes = query->data;
	uint32_t sources = load_be16(bytes + 10), robustness = bytes[8] & 7;
	if (query->packet_length < QUERY3_BYTES + 4 * sources)
		return;
	at->robustness = robustness ? (uint8_t)robustness : ROBUSTNESS;
	uint64_t at_ns = soon(at, span_ns);
	if (ipv4_is_any(address)) {
		if (!sources && at_ns < at->general_ns) {
			at->general_ns = at_ns;
			wake_by(at, at_ns);
		}
		return;
	}
	struct group *group = group_find(at->netif, address);
	if (!group || !group_has_members(group) || at->general_ns <= at_ns)
		return;
	if (note_sources_asked(group, query, sources))
		answer_within(group, span_ns);
}

/* Which version it is of: RFC 3376 §7.1. */
static void query_input(struct netif_groups *at, const struct pbuf *query)
{
	const uint8_t *bytes = query->data;
	struct ipv4_address address = { load_be32(bytes + 4) };
	uint32_t length = query->packet_length;
	if (length == IGMP_HEADER_BYTES) {
		uint8_t code = bytes[1];
		older_router_heard(at, code ? 2 : 1);
		query_for_older(at, code ? address : (struct ipv4_address){ 0 },
		                code ? code * TENTH_NS : RESPONSE1_NS);
	} else if (length >= QUERY3_BYTES) {
		uint64_t span_ns = decode_time(bytes[1]) * TENTH_NS;
		unsigned as = igmp_version(at);
		if (as == 3)
			query3(at, query, address, span_ns);
		else
			query_for_older(at, as == 1 ? (struct ipv4_address){ 0 } : address,
			                as == 1 ? RESPONSE1_NS : span_ns);
	}
}

/* Another member spoke for the group (RFC 2236 §3). A report of version 3 speaks for its sender
 * alone. */
static void report_heard(struct netif_groups *at, struct ipv4_address address)
{
	struct group *group = group_find(at->netif, address);
	if (!group || igmp_version(at) == 3)
		return;
	group->report_ns = LOOP_NEVER;
	group->unsolicited = 0;
	group->reported_last = false;
}

void igmp_input(struct stack *stack, struct pbuf *message, const struct ip_packet *ip)
{
	stack->statistics.igmp_in++;
	struct netif_groups *at = ip->netif->groups;
	uint32_t headers = message->packet_length < QUERY3_BYTES ? IGMP_HEADER_BYTES : QUERY3_BYTES;
	if (message->flags & PBUF_LOOPED || !pbuf_pull_up(message, headers) ||
	    checksum_fold(checksum_pbuf(0, message, 0, message->packet_length))) {
		stack->statistics.igmp_bad++;
	} else if (message->data[0] == IGMP_QUERY) {
		query_input(at, message);
	} else if (message->data[0] == IGMP_REPORT1 || message->data[0] == IGMP_REPORT2) {
		report_heard(at, (struct ipv4_address){ load_be32(message->data + 4) });
	}
	pbuf_free(message);
}

/* ---- life ---- */

int igmp_start(struct netif_groups *at)
{
	at->robustness = ROBUSTNESS;
	at->general_ns = at->change_ns = LOOP_NEVER;
	return loop_timer_create(at->netif->stack->loop, &at->timer, LOOP_PRIORITY_NORMAL,
	                         timer_fired);
}

void igmp_stop(struct netif_groups *at)
{
	loop_timer_destroy(at->netif->stack->loop, &at->timer);
}
