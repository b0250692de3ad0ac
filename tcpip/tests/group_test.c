/* Multicast: membership and its limits, filters of sources, delivery on this machine and over the
 * wire, and what IGMP says of it. */
#include "tcpip/group_internal.h"
#include "tcpip/tests/frames.h"
#include "tcpip/udp_internal.h"

#include <errno.h>

static struct sim *sim;
static struct sim_host *a, *b;

static const struct ipv4_address ANY, GROUP = { 0xef010203 }, OTHER_GROUP = { 0xef010204 },
                                      ALL_HOSTS = { 0xe0000001 }, ALL_ROUTERS = { 0xe0000002 },
                                      ALL_IGMP3_ROUTERS = { 0xe0000016 }, ROUTER = { 0x0a000063 };

static void note_event(void *context, uint32_t readiness)
{
	(void)context;
	(void)readiness;
}

static void begin(const char *name)
{
	sim = sim_create(1, name, NULL);
	a = sim_add_host(sim, &SIM_HOST_DEFAULTS);
	b = sim_add_host(sim, &SIM_HOST_DEFAULTS);
}

static struct udp_socket *open_on(struct sim_host *host, uint16_t port)
{
	struct udp_socket *socket;
	CHECK_EQ(udp_create(host->stack, &socket, note_event, NULL), 0);
	if (port)
		CHECK_EQ(udp_bind(socket, (struct endpoint){ ANY, port }, true, false), 0);
	return socket;
}

static struct group_request by_route(struct ipv4_address group)
{
	return (struct group_request){ .group = group };
}

static struct group_request by_index(struct ipv4_address group, uint32_t interface)
{
	return (struct group_request){ .group = group, .interface = interface };
}

static int join(struct udp_socket *socket, struct group_request request)
{
	return group_join(socket->stack, udp_groups(socket), &request, GROUP_EXCLUDE);
}

static int leave(struct udp_socket *socket, struct group_request request)
{
	return group_leave(socket->stack, udp_groups(socket), &request);
}

static int change(struct udp_socket *socket, struct ipv4_address group, enum group_mode mode,
                  struct ipv4_address source, bool add)
{
	struct group_request request = by_route(group);
	return group_change_source(socket->stack, udp_groups(socket), &request, mode, source, add);
}

static int send_to(struct udp_socket *socket, struct ipv4_address group, uint16_t port,
                   uint32_t bytes)
{
	const struct endpoint to = { group, port };
	const struct udp_send_options options = { .broadcast_allowed = true };
	struct pbuf *payload = udp_payload_alloc(socket, bytes);
	CHECK(payload);
	memset(payload->data, 7, bytes);
	return udp_send(socket, &to, payload, &options);
}

/* How many datagrams wait; they go. */
static uint32_t drain(struct udp_socket *socket)
{
	struct udp_datagram datagram;
	uint32_t count = 0;
	while (udp_receive(socket, &datagram)) {
		CHECK(datagram.netif);
		pbuf_free(datagram.payload);
		count++;
	}
	return count;
}

static void pass(void)
{
	sim_pass(sim, 5 * SIM_MILLISECOND);
}

/* ---- membership ---- */

static void test_membership(void)
{
	begin("membership");
	struct udp_socket *socket = open_on(a, 0);
	struct group_request foreign = { .group = GROUP, .interface_address = { 0xc0000201 } };
	struct group_request own = { .group = GROUP, .interface_address = a->netif.address };
	CHECK_EQ(join(socket, by_route(ROUTER)), -EINVAL);
	CHECK_EQ(join(socket, foreign), -ENODEV);
	CHECK_EQ(join(socket, by_index(GROUP, 77)), -ENODEV);
	CHECK_EQ(join(socket, by_index(GROUP, 1)), 0);
	CHECK_EQ(join(socket, own), 0);
	CHECK_EQ(join(socket, by_route(GROUP)), -EADDRINUSE);
	CHECK_EQ(join(socket, by_index(GROUP, 2)), -EADDRINUSE);
	CHECK_EQ(leave(socket, by_route(OTHER_GROUP)), -EADDRNOTAVAIL);
	CHECK_EQ(leave(socket, foreign), -EADDRNOTAVAIL);
	CHECK_EQ(leave(socket, by_route(GROUP)), 0);
	CHECK_EQ(leave(socket, by_route(GROUP)), -EADDRNOTAVAIL);
	CHECK_EQ(leave(socket, by_index(GROUP, 1)), 0);
	udp_close(socket);
	sim_destroy(sim);
}

static void test_limits(void)
{
	begin("limits");
	struct udp_socket *socket = open_on(a, 0);
	struct ipv4_address group = GROUP;
	for (int i = 0; i < GROUP_MEMBERSHIPS_MAX; i++, group.value++)
		CHECK_EQ(join(socket, by_route(group)), 0);
	CHECK_EQ(join(socket, by_route(group)), -ENOBUFS);
	udp_close(socket);
	sim_pass(sim, 5 * SIM_SECOND); /* routers are told, and the groups end */
	CHECK_EQ(a->netif.groups->count, 0);

	/* An interface's groups. */
	struct udp_socket *sockets[GROUPS_MAX / GROUP_MEMBERSHIPS_MAX + 1];
	const uint32_t count = sizeof(sockets) / sizeof(sockets[0]);
	uint32_t joined = 0;
	for (uint32_t i = 0; i < count; i++) {
		sockets[i] = open_on(a, 0);
		for (int k = 0; k < GROUP_MEMBERSHIPS_MAX; k++, group.value++) {
			int error = join(sockets[i], by_route(group));
			CHECK_EQ(error, joined < GROUPS_MAX ? 0 : -ENOBUFS);
			joined += !error;
		}
	}
	CHECK_EQ(joined, GROUPS_MAX);
	pass();
	for (uint32_t i = 0; i < count; i++)
		udp_close(sockets[i]);

	/* A group's sources: ten of each member. */
	struct ipv4_address source = { 0x0a010000 };
	uint32_t named = 0;
	for (uint32_t i = 0; i < 8; i++) {
		sockets[i] = open_on(a, 0);
		CHECK_EQ(join(sockets[i], by_index(GROUP, 1)), 0);
		struct group_request request = by_index(GROUP, 1);
		for (int k = 0; k < GROUP_FILTER_MAX; k++, source.value++) {
			int error = group_change_source(a->stack, udp_groups(sockets[i]), &request,
			                                GROUP_EXCLUDE, source, true);
			CHECK_EQ(error, named < GROUP_SOURCES_MAX ? 0 : -ENOBUFS);
			named += !error;
		}
	}
	CHECK_EQ(group_find(stack_loopback(a->stack), GROUP)->source_count, GROUP_SOURCES_MAX);
	for (uint32_t i = 0; i < 8; i++)
		udp_close(sockets[i]);
	CHECK(!group_find(stack_loopback(a->stack), GROUP));
	sim_destroy(sim);
}

static void test_filters(void)
{
	begin("filters");
	struct udp_socket *socket = open_on(a, 0);
	const struct ipv4_address one = { 0x0a000101 }, two = { 0x0a000102 };
	CHECK_EQ(change(socket, GROUP, GROUP_EXCLUDE, one, true), -EINVAL); /* no member */
	CHECK_EQ(join(socket, by_route(GROUP)), 0);
	CHECK_EQ(change(socket, GROUP, GROUP_EXCLUDE, one, false), -EADDRNOTAVAIL);
	CHECK_EQ(change(socket, GROUP, GROUP_EXCLUDE, one, true), 0);
	CHECK_EQ(change(socket, GROUP, GROUP_EXCLUDE, one, true), -EADDRNOTAVAIL);
	CHECK_EQ(change(socket, GROUP, GROUP_INCLUDE, two, true), -EINVAL); /* another mode */
	CHECK(!group_set_hears(udp_groups(socket), &a->netif, GROUP, one));
	CHECK(group_set_hears(udp_groups(socket), &a->netif, GROUP, two));
	CHECK(!group_is_received(&a->netif, GROUP, one, IP_PROTOCOL_UDP));
	CHECK(group_is_received(&a->netif, GROUP, two, IP_PROTOCOL_UDP));
	CHECK(group_is_received(&a->netif, GROUP, one, IP_PROTOCOL_IGMP));

	/* Another member wants that very source. */
	struct udp_socket *other = open_on(a, 0);
	struct group_request request = by_route(GROUP);
	CHECK_EQ(group_join(a->stack, udp_groups(other), &request, GROUP_INCLUDE), 0);
	CHECK_EQ(change(other, GROUP, GROUP_INCLUDE, one, true), 0);
	CHECK(group_is_received(&a->netif, GROUP, one, IP_PROTOCOL_UDP));
	CHECK(!group_set_hears(udp_groups(socket), &a->netif, GROUP, one));
	CHECK(!group_set_hears(udp_groups(other), &a->netif, GROUP, two));
	/* Without its last source it is no member any more. */
	CHECK_EQ(change(other, GROUP, GROUP_INCLUDE, one, false), 0);
	CHECK_EQ(leave(other, by_route(GROUP)), -EADDRNOTAVAIL);

	struct group_filter filter = { GROUP_INCLUDE, 3, { one, two, two } }, got;
	CHECK_EQ(group_set_filter(a->stack, udp_groups(socket), &request, &filter), 0);
	CHECK_EQ(group_get_filter(a->stack, udp_groups(socket), &request, &got), 0);
	CHECK_EQ(got.count, 3);
	CHECK_EQ(got.mode, GROUP_INCLUDE);
	CHECK(group_is_received(&a->netif, GROUP, two, IP_PROTOCOL_UDP));
	CHECK(!group_is_received(&a->netif, GROUP, ROUTER, IP_PROTOCOL_UDP));
	CHECK_EQ(group_set_filter(a->stack, udp_groups(socket), &request,
	                          &(struct group_filter){ .mode = GROUP_INCLUDE }),
	         0);
	CHECK_EQ(group_get_filter(a->stack, udp_groups(socket), &request, &got), -EADDRNOTAVAIL);
	udp_close(socket);
	udp_close(other);
	sim_destroy(sim);
}

/* ---- datagrams ---- */

static void test_delivery(void)
{
	begin("delivery");
	struct udp_socket *members[2] = { open_on(b, 700), open_on(b, 700) };
	struct udp_socket *stranger = open_on(b, 700), *sender = open_on(a, 0);
	CHECK_EQ(join(members[0], by_route(GROUP)), 0);
	CHECK_EQ(send_to(sender, GROUP, 700, 100), 0);
	CHECK_EQ(send_to(sender, OTHER_GROUP, 700, 100), 0); /* nobody is a member */
	pass();
	CHECK_EQ(drain(members[0]), 1);
	CHECK_EQ(drain(members[1]), 1); /* IP_MULTICAST_ALL */
	CHECK_EQ(drain(stranger), 1);
	CHECK_EQ(join(members[1], by_route(GROUP)), 0);
	udp_groups(stranger)->joined_only = true;
	CHECK_EQ(send_to(sender, GROUP, 700, 3000), 0); /* in fragments */
	pass();
	CHECK_EQ(drain(members[0]), 1);
	CHECK_EQ(drain(members[1]), 1);
	CHECK_EQ(drain(stranger), 0);
	CHECK_EQ(change(members[0], GROUP, GROUP_EXCLUDE, a->netif.address, true), 0);
	CHECK_EQ(send_to(sender, GROUP, 700, 100), 0);
	pass();
	CHECK_EQ(drain(members[0]), 0);
	CHECK_EQ(drain(members[1]), 1);
	udp_close(members[1]);
	CHECK_EQ(send_to(sender, GROUP, 700, 100), 0);
	pass();
	CHECK_EQ(drain(members[0]), 0);
	CHECK_EQ(b->stack->statistics.ip_not_for_us, 2);
	CHECK_EQ(send_to(sender, ALL_HOSTS, 700, 100), 0);
	pass();
	CHECK_EQ(drain(members[0]), 1);
	udp_close(members[0]);
	udp_close(stranger);
	udp_close(sender);
	sim_destroy(sim);
}

static void test_looping_back(void)
{
	begin("looping back");
	static struct catch sent;
	struct udp_socket *member = open_on(a, 700), *sender = open_on(a, 0);
	struct udp_group_sending sending = { .ttl = 3, .loops = true };
	catch_start(a, &sent);
	CHECK_EQ(send_to(sender, GROUP, 700, 100), 0);
	pass();
	CHECK_EQ(drain(member), 0);
	CHECK_EQ(sent.frame[(sent.count - 1) % CATCH_MAX].bytes[22], 1); /* TTL */
	CHECK_EQ(join(member, by_route(GROUP)), 0);
	pass();
	static const uint32_t lengths[] = { 0, 100, 1472, 60000 };
	for (uint32_t i = 0; i < 4; i++) {
		struct udp_datagram datagram;
		CHECK_EQ(send_to(sender, GROUP, 700, lengths[i]), 0);
		pass();
		CHECK(udp_receive(member, &datagram));
		CHECK_EQ(datagram.payload->packet_length, lengths[i]);
		CHECK(datagram.netif == &a->netif);
		CHECK(ipv4_equal(datagram.source.address, a->netif.address));
		pbuf_free(datagram.payload);
	}
	sent.count = 0;
	udp_set_group_sending(sender, &sending);
	CHECK_EQ(send_to(sender, GROUP, 700, 100), 0);
	pass();
	CHECK_EQ(drain(member), 1);
	CHECK_EQ(sent.count, 1);
	const struct frame *frame = &sent.frame[0];
	CHECK_EQ(memcmp(frame->bytes, "\x01\x00\x5e\x01\x02\x03", 6), 0);
	CHECK_EQ(frame->bytes[22], 3);
	CHECK(frame_checksums_hold(frame));
	sending.loops = false;
	udp_set_group_sending(sender, &sending);
	CHECK_EQ(send_to(sender, GROUP, 700, 100), 0);
	pass();
	CHECK_EQ(drain(member), 0);
	CHECK_EQ(sent.count, 2);
	sending = (struct udp_group_sending){ .ttl = 0, .loops = true };
	udp_set_group_sending(sender, &sending);
	CHECK_EQ(send_to(sender, GROUP, 700, 100), 0);
	pass();
	CHECK_EQ(drain(member), 1);
	CHECK_EQ(sent.count, 2); /* stays on this machine */
	/* By another interface than the one joined. */
	sending = (struct udp_group_sending){ .interface = 1, .ttl = 1 };
	udp_set_group_sending(sender, &sending);
	CHECK_EQ(send_to(sender, GROUP, 700, 100), 0);
	pass();
	CHECK_EQ(drain(member), 0);
	CHECK_EQ(join(member, by_index(GROUP, 1)), 0);
	CHECK_EQ(send_to(sender, GROUP, 700, 100), 0);
	pass();
	CHECK_EQ(drain(member), 1);
	/* Broadcasts come back, too. */
	CHECK_EQ(send_to(sender, (struct ipv4_address){ 0x0a0000ff }, 700, 100), 0);
	pass();
	CHECK_EQ(drain(member), 1);
	CHECK_EQ(sent.count, 3);
	udp_close(member);
	udp_close(sender);
	sim_destroy(sim);
}

/* ---- IGMP ---- */

static struct catch reports;

/* The oldest message that was sent since the last call, held against its frame's fixed parts; NULL:
 * none. */
static const uint8_t *next_message(struct ipv4_address to)
{
	static uint32_t seen;
	if (reports.count < seen)
		seen = 0;
	while (seen < reports.count) {
		const struct frame *frame = &reports.frame[seen++ % CATCH_MAX];
		if (frame->bytes[23] != IP_PROTOCOL_IGMP)
			continue;
		const uint8_t *ip = frame->bytes + 14;
		CHECK_EQ(ip[0], 0x46);
		CHECK_EQ(ip[1], 0xc0);
		CHECK_EQ(ip[8], 1);
		CHECK_EQ(memcmp(ip + 20, "\x94\x04\x00\x00", 4), 0);
		CHECK_EQ(naive_checksum(0, ip, 24), 0);
		CHECK_EQ(naive_checksum(0, ip + 24, frame->length - 38), 0);
		CHECK_EQ(frame_be32(frame, 26), a->netif.address.value);
		CHECK_EQ(frame_be32(frame, 30), to.value);
		CHECK_EQ(memcmp(frame->bytes, "\x01\x00\x5e", 3), 0);
		CHECK_EQ(frame->bytes[5], to.value & 0xff);
		return ip + 24;
	}
	return NULL;
}

static uint32_t word_of(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

/* The next report of version 3 has one record: of that type about GROUP, naming that source if it
 * is not 0. */
static void expect_record(uint8_t type, struct ipv4_address source)
{
	const uint8_t *message = next_message(ALL_IGMP3_ROUTERS);
	CHECK(message);
	CHECK_EQ(message[0], 0x22);
	CHECK_EQ(word_of(message + 4), 1);
	CHECK_EQ(message[8], type);
	CHECK_EQ(word_of(message + 12), GROUP.value);
	CHECK_EQ(message[11], !ipv4_is_any(source));
	if (message[11])
		CHECK_EQ(word_of(message + 16), source.value);
}

static void expect_no_message(void)
{
	CHECK(!next_message(ANY));
}

static void put_checksum(uint8_t *message, uint32_t length)
{
	message[2] = message[3] = 0;
	uint16_t sum = naive_checksum(0, message, length);
	message[2] = (uint8_t)(sum >> 8);
	message[3] = (uint8_t)sum;
}

static void inject(const uint8_t *message, uint32_t length, struct ipv4_address to)
{
	const struct ip_spec ip = {
		.source = ROUTER, .destination = to, .protocol = IP_PROTOCOL_IGMP, .ttl = 1
	};
	struct frame frame = frame_ipv4(a, &ip, message, length);
	uint8_t mac[6] = { 1,
		           0,
		           0x5e,
		           (uint8_t)(to.value >> 16 & 0x7f),
		           (uint8_t)(to.value >> 8),
		           (uint8_t)to.value };
	memcpy(frame.bytes, mac, 6);
	sim_inject(a, frame.bytes, frame.length);
}

/* `bytes` of a query for the group, 0: for all; of its sources at most one. */
static void query(uint32_t bytes, uint8_t code, struct ipv4_address group,
                  struct ipv4_address source)
{
	uint8_t message[16] = { 0x11, code };
	for (int i = 0; i < 4; i++) {
		message[4 + i] = (uint8_t)(group.value >> (24 - 8 * i));
		message[12 + i] = (uint8_t)(source.value >> (24 - 8 * i));
	}
	message[8] = 3; /* robustness */
	message[11] = bytes > 12;
	put_checksum(message, bytes);
	inject(message, bytes, ipv4_is_any(group) ? ALL_HOSTS : group);
}

static struct udp_socket *begin_igmp(const char *name)
{
	begin(name);
	catch_start(a, &reports);
	expect_no_message();
	return open_on(a, 0);
}

/* Every change is told twice, the second time within a second. */
static void test_changes(void)
{
	struct udp_socket *socket = begin_igmp("changes");
	const struct ipv4_address one = { 0x0a000101 }, two = { 0x0a000102 };
	CHECK_EQ(join(socket, by_route(GROUP)), 0);
	CHECK_EQ(join(socket, by_index(GROUP, 1)), 0); /* nobody is told on loopback */
	sim_pass(sim, SIM_MILLISECOND);
	expect_record(4, ANY); /* TO_EX */
	expect_no_message();
	sim_pass(sim, SIM_SECOND);
	expect_record(4, ANY);
	sim_pass(sim, 10 * SIM_SECOND);
	expect_no_message();

	CHECK_EQ(change(socket, GROUP, GROUP_EXCLUDE, one, true), 0);
	sim_pass(sim, 2 * SIM_SECOND);
	expect_record(6, one); /* BLOCK */
	expect_record(6, one);
	expect_no_message();
	CHECK_EQ(change(socket, GROUP, GROUP_EXCLUDE, one, false), 0);
	sim_pass(sim, 2 * SIM_SECOND);
	expect_record(5, one); /* ALLOW */
	expect_record(5, one);
	/* A second member that wants less changes nothing. */
	struct udp_socket *other = open_on(a, 0);
	struct group_request request = by_route(GROUP);
	CHECK_EQ(group_join(a->stack, udp_groups(other), &request, GROUP_INCLUDE), 0);
	CHECK_EQ(change(other, GROUP, GROUP_INCLUDE, two, true), 0);
	sim_pass(sim, 2 * SIM_SECOND);
	expect_no_message();
	CHECK_EQ(leave(socket, by_route(GROUP)), 0);
	sim_pass(sim, 2 * SIM_SECOND);
	expect_record(3, two); /* TO_IN */
	expect_record(3, two);
	udp_close(other);
	sim_pass(sim, 2 * SIM_SECOND);
	expect_record(6, two);
	expect_record(6, two);
	expect_no_message();
	CHECK_EQ(a->netif.groups->count, 0);
	/* What is taken back at once is told all the same: joined, then left. */
	CHECK_EQ(join(socket, by_route(GROUP)), 0);
	sim_pass(sim, SIM_MILLISECOND);
	udp_close(socket);
	sim_pass(sim, 3 * SIM_SECOND);
	expect_record(4, ANY);
	expect_record(3, ANY);
	expect_record(3, ANY);
	expect_no_message();
	sim_destroy(sim);
}

static void test_queries(void)
{
	struct udp_socket *socket = begin_igmp("queries");
	const struct ipv4_address one = { 0x0a000101 };
	query(12, 10, ANY, ANY);
	sim_pass(sim, 2 * SIM_SECOND);
	expect_no_message(); /* nothing to tell */
	a->netif.groups->robustness = 2;
	CHECK_EQ(join(socket, by_route(GROUP)), 0);
	sim_pass(sim, 2 * SIM_SECOND);
	expect_record(4, ANY);
	expect_record(4, ANY);
	query(12, 10, ANY, ANY);
	sim_pass(sim, SIM_SECOND + SIM_MILLISECOND);
	expect_record(2, ANY); /* IS_EX */
	query(12, 10, GROUP, ANY);
	query(12, 10, GROUP, ANY); /* one answer to both */
	sim_pass(sim, SIM_SECOND + SIM_MILLISECOND);
	expect_record(2, ANY);
	expect_no_message();
	query(12, 10, OTHER_GROUP, ANY);
	sim_pass(sim, 2 * SIM_SECOND);
	expect_no_message();
	/* The longest time is 31744 tenths of a second. */
	query(12, 0xff, GROUP, ANY);
	sim_pass(sim, 3200 * SIM_SECOND);
	expect_record(2, ANY);
	expect_no_message();

	/* The query said that it is to be told three times. */
	CHECK_EQ(change(socket, GROUP, GROUP_EXCLUDE, one, true), 0);
	sim_pass(sim, 3 * SIM_SECOND);
	for (int i = 0; i < 3; i++)
		expect_record(6, one);
	expect_no_message();
	query(16, 10, GROUP, one); /* that one is refused: nothing to say */
	sim_pass(sim, 2 * SIM_SECOND);
	expect_no_message();
	query(16, 10, GROUP, ROUTER);
	sim_pass(sim, 2 * SIM_SECOND);
	expect_record(2, one);
	struct group_request request = by_route(GROUP);
	struct group_filter filter = { GROUP_INCLUDE, 1, { one } };
	CHECK_EQ(group_set_filter(a->stack, udp_groups(socket), &request, &filter), 0);
	sim_pass(sim, 3 * SIM_SECOND);
	for (int i = 0; i < 3; i++)
		expect_record(3, one);
	query(16, 10, GROUP, ROUTER);
	sim_pass(sim, 2 * SIM_SECOND);
	expect_no_message();
	query(16, 10, GROUP, one);
	sim_pass(sim, 2 * SIM_SECOND);
	expect_record(1, one); /* IS_IN */
	expect_no_message();
	udp_close(socket);
	sim_destroy(sim);
}

static void expect_short(uint8_t type, struct ipv4_address to)
{
	const uint8_t *message = next_message(to);
	CHECK(message);
	CHECK_EQ(message[0], type);
	CHECK_EQ(message[1], 0);
	CHECK_EQ(word_of(message + 4), GROUP.value);
}

static void test_older_routers(void)
{
	struct udp_socket *socket = begin_igmp("older routers");
	uint8_t report[8] = { 0x16, 0, 0, 0, 239, 1, 2, 3 };
	query(8, 100, ANY, ANY); /* version 2 */
	CHECK_EQ(join(socket, by_route(GROUP)), 0);
	sim_pass(sim, SIM_MILLISECOND);
	expect_short(0x16, GROUP);
	sim_pass(sim, 11 * SIM_SECOND);
	expect_short(0x16, GROUP);
	expect_no_message();
	query(8, 10, GROUP, ANY);
	sim_pass(sim, SIM_SECOND + SIM_MILLISECOND);
	expect_short(0x16, GROUP);
	query(8, 10, ANY, ANY);
	put_checksum(report, sizeof(report));
	inject(report, sizeof(report), GROUP); /* somebody else answers */
	sim_pass(sim, 2 * SIM_SECOND);
	expect_no_message();
	CHECK_EQ(leave(socket, by_route(GROUP)), 0); /* who was not the last to report is silent */
	sim_pass(sim, 2 * SIM_SECOND);
	expect_no_message();
	CHECK_EQ(join(socket, by_route(GROUP)), 0);
	sim_pass(sim, SIM_MILLISECOND);
	expect_short(0x16, GROUP);
	CHECK_EQ(leave(socket, by_route(GROUP)), 0);
	pass();
	expect_short(0x17, ALL_ROUTERS);
	sim_pass(sim, 20 * SIM_SECOND);
	expect_no_message();

	query(8, 0, ANY, ANY); /* version 1 knows no leaving */
	CHECK_EQ(join(socket, by_route(GROUP)), 0);
	sim_pass(sim, 11 * SIM_SECOND);
	expect_short(0x12, GROUP);
	expect_short(0x12, GROUP);
	query(12, 10, ANY, ANY); /* of version 3, answered as to version 1 */
	sim_pass(sim, 11 * SIM_SECOND);
	expect_short(0x12, GROUP);
	CHECK_EQ(leave(socket, by_route(GROUP)), 0);
	sim_pass(sim, 11 * SIM_SECOND);
	expect_no_message();

	/* The older routers are gone. */
	sim_pass(sim, 260 * SIM_SECOND);
	CHECK_EQ(join(socket, by_route(GROUP)), 0);
	sim_pass(sim, 2 * SIM_SECOND);
	expect_record(4, ANY);
	expect_record(4, ANY);
	/* One that comes back ends what was still to be told in version 3. */
	CHECK_EQ(leave(socket, by_route(GROUP)), 0);
	query(8, 100, ANY, ANY);
	sim_pass(sim, 5 * SIM_SECOND);
	CHECK_EQ(a->netif.groups->count, 0);
	udp_close(socket);
	sim_destroy(sim);
}

/* Nothing of these is believed. */
static void test_malformed(void)
{
	struct udp_socket *socket = begin_igmp("malformed");
	CHECK_EQ(join(socket, by_route(GROUP)), 0);
	sim_pass(sim, 2 * SIM_SECOND);
	while (next_message(ALL_IGMP3_ROUTERS))
		;
	uint8_t message[2000] = { 0x11, 10 };
	put_checksum(message, 12);
	message[2] ^= 1;
	inject(message, 12, ALL_HOSTS);
	CHECK_EQ(a->stack->statistics.igmp_bad, 1);
	for (uint32_t length = 0; length < 12; length++) {
		if (length == 8)
			continue; /* a query of version 1 or 2 */
		put_checksum(message, length < 4 ? 4 : length);
		inject(message, length, ALL_HOSTS);
	}
	put_checksum(message, 12);
	inject(message, 12, ALL_ROUTERS); /* not sent to us */
	message[11] = 2;                  /* more sources than there are */
	memcpy(message + 4, "\xef\x01\x02\x03", 4);
	put_checksum(message, 16);
	inject(message, 16, GROUP);
	message[10] = 0xff;
	put_checksum(message, 1480);
	inject(message, 1480, GROUP);
	memset(message + 4, 0, 4);
	message[10] = 0;
	message[11] = 1; /* sources of all groups */
	put_checksum(message, 16);
	inject(message, 16, ALL_HOSTS);
	for (uint32_t type = 0; type < 256; type++) {
		if (type == 0x11)
			continue;
		message[0] = (uint8_t)type;
		put_checksum(message, 12);
		inject(message, 12, ALL_HOSTS);
	}
	sim_pass(sim, 20 * SIM_SECOND);
	expect_no_message();
	udp_close(socket);
	sim_destroy(sim);
}

/* More than a frame holds. */
static void test_long_reports(void)
{
	begin("long reports");
	catch_start(a, &reports);
	expect_no_message();
	struct udp_socket *sockets[20];
	struct ipv4_address group = GROUP;
	for (uint32_t i = 0; i < 20; i++) {
		sockets[i] = open_on(a, 0);
		for (int k = 0; k < GROUP_MEMBERSHIPS_MAX; k++, group.value++)
			CHECK_EQ(join(sockets[i], by_route(group)), 0);
	}
	sim_pass(sim, SIM_MILLISECOND);
	const uint8_t *message;
	uint32_t messages = 0, records = 0;
	while ((message = next_message(ALL_IGMP3_ROUTERS))) {
		messages++;
		records += word_of(message + 4);
	}
	CHECK_EQ(messages, 3); /* 183 records in each */
	CHECK_EQ(records, 400);
	for (uint32_t i = 0; i < 20; i++)
		udp_close(sockets[i]);
	sim_destroy(sim);
}

/* Reports are lost, joins fail, when memory is short; nothing leaks, nothing breaks. */
static void test_short_memory(void)
{
	begin("short memory");
	a->config.pbuf_failure_ppm = a->config.alloc_failure_ppm = 300000;
	for (uint32_t round = 0; round < 500; round++) {
		struct udp_socket *socket;
		if (udp_create(a->stack, &socket, note_event, NULL))
			continue;
		struct group_request request = by_route(GROUP);
		int error = join(socket, request);
		CHECK(error == 0 || error == -ENOBUFS);
		for (uint32_t i = 0; !error && i < 12; i++) {
			struct ipv4_address source = { i % 11 };
			int changed = change(socket, GROUP, GROUP_EXCLUDE, source, true);
			CHECK(changed == 0 || changed == -ENOBUFS || changed == -EADDRNOTAVAIL);
		}
		query(round % 3 ? 12 : 16, 1, round & 1 ? GROUP : ANY, (struct ipv4_address){ 3 });
		sim_pass(sim, 100 * SIM_MILLISECOND);
		udp_close(socket);
	}
	sim_destroy(sim);
}

int main(void)
{
	test_membership();
	test_limits();
	test_filters();
	test_delivery();
	test_looping_back();
	test_changes();
	test_queries();
	test_older_routers();
	test_malformed();
	test_long_reports();
	test_short_memory();
	return 0;
}
