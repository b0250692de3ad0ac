/* UDP: ports and who may have them, demultiplexing, queues, errors, groups, loopback, a full ring.
 */
#include "tcpip/stack_internal.h"
#include "tcpip/tests/frames.h"
#include "tcpip/udp_internal.h"

#include <errno.h>

static struct sim *sim;
static struct sim_host *a, *b;
static uint32_t events, event_bits;

static void note_event(void *context, uint32_t readiness)
{
	(void)context;
	events++;
	event_bits |= readiness;
}

static void begin_with(const char *name, const struct sim_host_config *config)
{
	sim = sim_create(1, name, NULL);
	a = sim_add_host(sim, config);
	b = sim_add_host(sim, config);
	events = event_bits = 0;
}

static void begin(const char *name)
{
	begin_with(name, &SIM_HOST_DEFAULTS);
}

static struct udp_socket *open_on(struct sim_host *host)
{
	struct udp_socket *socket;
	CHECK_EQ(udp_create(host->stack, &socket, note_event, NULL), 0);
	return socket;
}

static const struct ipv4_address ANY;

static struct endpoint at(struct ipv4_address address, uint16_t port)
{
	return (struct endpoint){ address, port };
}

static int send_bytes(struct udp_socket *socket, const struct endpoint *to, uint32_t length,
                      uint8_t first)
{
	struct udp_send_options options = { 0 };
	struct pbuf *payload = udp_payload_alloc(socket, length);
	CHECK(payload);
	for (uint32_t i = 0; i < length; i++)
		payload->data[i] = (uint8_t)(first + i);
	return udp_send(socket, to, payload, &options);
}

/* The next datagram is `length` bytes starting with `first`; returns its source. */
static struct endpoint expect(struct udp_socket *socket, uint32_t length, uint8_t first)
{
	struct udp_datagram d, peeked;
	uint8_t bytes[66000];
	CHECK(udp_readiness(socket) & NET_READABLE);
	CHECK_EQ(udp_next_length(socket), length);
	CHECK(udp_peek(socket, &peeked, NULL));
	CHECK(udp_receive(socket, &d));
	CHECK(peeked.payload == d.payload);
	CHECK(d.netif);
	CHECK_EQ(pbuf_copy_out(d.payload, 0, bytes, sizeof(bytes)), length);
	for (uint32_t i = 0; i < length; i++)
		CHECK_EQ(bytes[i], (uint8_t)(first + i));
	pbuf_free(d.payload);
	return d.source;
}

static bool has_nothing(struct udp_socket *socket)
{
	return !(udp_readiness(socket) & NET_READABLE);
}

static void pass(void)
{
	sim_pass(sim, 5 * SIM_MILLISECOND);
}

static void test_exchange(void)
{
	static const uint32_t lengths[] = { 0, 1, 7, 8, 1471, 1472, 1473, 3000, 9000, 65507 };
	for (uint32_t variant = 0; variant < 8; variant++) {
		struct sim_host_config config = SIM_HOST_DEFAULTS;
		config.offloads = variant & 1 ? NETIF_TX_CSUM : 0;
		config.receive_offloads = variant & 2;
		config.scatter = variant & 4;
		begin_with("exchange", &config);
		struct udp_socket *client = open_on(a), *server = open_on(b);
		CHECK_EQ(udp_bind(server, at(ANY, 53), false, false), 0);
		udp_set_receive_buffer(server, 10 << 20);
		for (uint32_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			struct endpoint to = at(b->netif.address, 53);
			if (config.scatter && lengths[i] > 10000)
				continue; /* so many small pieces exceed the cap of reassembly */
			CHECK_EQ(send_bytes(client, &to, lengths[i], (uint8_t)i), 0);
			pass();
			struct endpoint from = expect(server, lengths[i], (uint8_t)i);
			CHECK(ipv4_equal(from.address, a->netif.address));
			CHECK_EQ(from.port, udp_local(client).port);
			CHECK(from.port >= 32768 && from.port <= 60999);
			CHECK_EQ(send_bytes(server, &from, lengths[i], 99), 0);
			pass();
			expect(client, lengths[i], 99);
		}
		CHECK(!udp_payload_alloc(client, 65508));
		udp_close(client);
		udp_close(server);
		sim_destroy(sim);
	}
}

static void test_loopback(void)
{
	begin("loopback");
	struct udp_socket *client = open_on(a), *server = open_on(a);
	CHECK_EQ(udp_bind(server, at(ANY, 53), false, false), 0);
	const struct ipv4_address to[] = { ipv4(127, 0, 0, 1), ipv4(127, 9, 9, 9), a->netif.address,
		                           ANY };
	for (uint32_t i = 0; i < 4; i++) {
		struct endpoint target = at(to[i], 53);
		CHECK_EQ(send_bytes(client, &target, 30000, (uint8_t)i), 0);
		CHECK(has_nothing(server)); /* never within the call */
		pass();
		struct endpoint from = expect(server, 30000, (uint8_t)i);
		CHECK_EQ(send_bytes(server, &from, 10, 1), 0);
		pass();
		expect(client, 10, 1);
	}
	CHECK_EQ(a->wire.sent, 1); /* its announcement */
	/* refused at once */
	CHECK_EQ(udp_connect(client, at(ipv4(127, 0, 0, 1), 54), false), 0);
	CHECK_EQ(send_bytes(client, NULL, 1, 0), 0);
	pass();
	CHECK(udp_readiness(client) & NET_ERROR);
	CHECK_EQ(send_bytes(client, NULL, 1, 0), -ECONNREFUSED);
	CHECK_EQ(udp_take_error(client), 0);
	udp_close(client);
	udp_close(server);
	sim_destroy(sim);
}

static int bind_result(struct udp_socket *socket, struct ipv4_address address, uint16_t port,
                       bool reuse_address, bool reuse_port)
{
	return udp_bind(socket, at(address, port), reuse_address, reuse_port);
}

static void test_bind_conflicts(void)
{
	begin("bind");
	struct ipv4_address mine = a->netif.address, lo = ipv4(127, 0, 0, 1);
	static const struct {
		bool any1, reuse1, port1, any2, reuse2, port2;
		int second;
	} rows[] = {
		{ 1, 0, 0, 1, 0, 0, -EADDRINUSE }, { 1, 0, 0, 0, 0, 0, -EADDRINUSE },
		{ 0, 0, 0, 1, 0, 0, -EADDRINUSE }, { 1, 1, 0, 1, 0, 0, -EADDRINUSE },
		{ 1, 1, 0, 1, 1, 0, 0 },           { 1, 0, 1, 1, 0, 1, 0 },
		{ 1, 0, 1, 1, 1, 0, -EADDRINUSE }, { 0, 1, 0, 1, 1, 0, 0 },
	};
	for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct udp_socket *s = open_on(a), *t = open_on(a), *other = open_on(a);
		CHECK_EQ(bind_result(s, rows[i].any1 ? ANY : mine, 5000, rows[i].reuse1,
		                     rows[i].port1),
		         0);
		CHECK_EQ(bind_result(t, rows[i].any2 ? ANY : mine, 5000, rows[i].reuse2,
		                     rows[i].port2),
		         rows[i].second);
		if (!rows[i].any1 && !rows[i].any2)
			CHECK_EQ(bind_result(other, lo, 5000, false, false), 0);
		udp_close(s);
		udp_close(t);
		udp_close(other);
	}
	struct udp_socket *s = open_on(a);
	CHECK_EQ(bind_result(s, ipv4(1, 2, 3, 4), 5000, false, false), -EADDRNOTAVAIL);
	CHECK_EQ(bind_result(s, mine, 0, false, false), 0);
	CHECK(udp_local(s).port >= 32768);
	CHECK_EQ(bind_result(s, mine, 5000, false, false), -EINVAL);
	udp_close(s);
	sim_destroy(sim);
}

static void test_ephemeral_ports_run_out(void)
{
	begin("ephemeral");
	enum { PORTS = 60999 - 32768 + 1 };
	static struct udp_socket *s[16384];
	static bool seen[65536];
	sim_set_verify_interval(sim, 1000);
	for (uint32_t i = 0; i < 16384; i++) {
		s[i] = open_on(a);
		CHECK_EQ(udp_bind(s[i], at(ANY, 0), false, false), 0);
		uint16_t port = udp_local(s[i]).port;
		CHECK(port >= 32768 && port <= 60999 && !seen[port]);
		seen[port] = true;
	}
	struct udp_socket *more;
	CHECK_EQ(udp_create(a->stack, &more, note_event, NULL), -ENFILE);
	for (uint32_t i = 0; i < 16384; i++)
		udp_close(s[i]);
	sim_destroy(sim);
}

/* Who gets it: the connected before the specific before the wildcard. */
static void test_demultiplexing(void)
{
	begin("demultiplexing");
	struct udp_socket *wild = open_on(b), *specific = open_on(b), *connected = open_on(b);
	struct udp_socket *c1 = open_on(a), *c2 = open_on(a);
	CHECK_EQ(udp_bind(c1, at(ANY, 1001), false, false), 0);
	CHECK_EQ(udp_bind(c2, at(ANY, 1002), false, false), 0);
	CHECK_EQ(udp_bind(wild, at(ANY, 7), true, false), 0);
	struct endpoint to = at(b->netif.address, 7);
	CHECK_EQ(send_bytes(c1, &to, 5, 0), 0);
	pass();
	expect(wild, 5, 0);
	CHECK_EQ(udp_bind(specific, to, true, false), 0);
	CHECK_EQ(send_bytes(c1, &to, 5, 1), 0);
	pass();
	expect(specific, 5, 1);
	CHECK_EQ(udp_bind(connected, at(ANY, 7), true, false), 0);
	CHECK_EQ(udp_connect(connected, at(a->netif.address, 1002), false), 0);
	CHECK(ipv4_equal(udp_local(connected).address, b->netif.address));
	CHECK_EQ(send_bytes(c1, &to, 5, 2), 0);
	CHECK_EQ(send_bytes(c2, &to, 5, 3), 0);
	pass();
	expect(specific, 5, 2);
	expect(connected, 5, 3);
	CHECK_EQ(send_bytes(connected, NULL, 5, 4), 0);
	pass();
	expect(c2, 5, 4);
	/* the filter works the other way round too: c1 connected to another port hears nothing */
	CHECK_EQ(udp_connect(c1, at(b->netif.address, 9), false), 0);
	struct endpoint back = at(a->netif.address, 1001);
	CHECK_EQ(send_bytes(specific, &back, 5, 5), 0);
	pass();
	CHECK(has_nothing(c1));
	CHECK_EQ(udp_disconnect(c1), 0);
	CHECK_EQ(udp_local(c1).port, 1001);
	CHECK_EQ(send_bytes(specific, &back, 5, 6), 0);
	pass();
	expect(c1, 5, 6);
	CHECK_EQ(send_bytes(c1, NULL, 5, 7), -EDESTADDRREQ);
	struct udp_socket *all[] = { wild, specific, connected, c1, c2 };
	for (uint32_t i = 0; i < 5; i++) {
		CHECK(has_nothing(all[i]));
		udp_close(all[i]);
	}
	sim_destroy(sim);
}

/* SO_REUSEPORT: a flow stays with one socket, flows spread over all. */
static void test_peek_at_offset(void)
{
	begin("peek");
	struct udp_socket *server = open_on(a), *client = open_on(a);
	CHECK_EQ(udp_bind(server, at(ANY, 7), false, false), 0);
	CHECK_EQ(udp_connect(client, at(a->netif.address, 7), false), 0);
	static const uint32_t sizes[] = { 6, 0, 3 };
	for (uint32_t i = 0; i < 3; i++)
		CHECK_EQ(send_bytes(client, NULL, sizes[i], 0), 0);
	pass();
	static const struct {
		uint32_t offset, length, within;
	} rows[] = { { 0, 6, 0 }, { 5, 6, 5 }, { 6, 0, 0 }, { 6, 3, 0 }, { 8, 3, 2 } };
	struct udp_datagram d;
	for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t offset = rows[i].offset;
		CHECK(udp_peek(server, &d, &offset));
		CHECK_EQ(d.payload->packet_length, rows[i].length);
		CHECK_EQ(offset, rows[i].within);
	}
	uint32_t beyond = 9;
	CHECK(!udp_peek(server, &d, &beyond));
	CHECK(udp_peek(server, &d, NULL));
	CHECK_EQ(d.payload->packet_length, 6);
	udp_close(client);
	udp_close(server);
	sim_destroy(sim);
}

static void test_esp_is_dropped(void)
{
	begin("esp");
	struct udp_socket *server = open_on(a), *client = open_on(a);
	CHECK_EQ(udp_bind(server, at(ANY, 4500), false, false), 0);
	CHECK_EQ(udp_connect(client, at(a->netif.address, 4500), false), 0);
	static const struct {
		const char *bytes;
		uint32_t length;
		bool arrives;
	} rows[] = {
		{ "", 0, true },
		{ "\xff", 1, false },
		{ "\xfe", 1, true },
		{ "12345678", 8, true },
		{ "123456789", 9, false },
		{ "\0\0\0\0"
		  "56789",
		  9, true },
		{ "\0\0\0\1"
		  "56789",
		  9, false },
	};
	udp_drop_esp(server, true);
	for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pbuf *payload = udp_payload_alloc(client, rows[i].length);
		memcpy(payload->data, rows[i].bytes, rows[i].length);
		CHECK_EQ(udp_send(client, NULL, payload, &(struct udp_send_options){ 0 }), 0);
		pass();
		struct udp_datagram d;
		CHECK_EQ(udp_receive(server, &d), rows[i].arrives);
		if (rows[i].arrives)
			pbuf_free(d.payload);
	}
	/* One of several (UDP_SEGMENT) has to fit the path. */
	const struct udp_send_options cut = { .segment = true };
	struct endpoint away = at(b->netif.address, 9);
	CHECK_EQ(udp_send(server, &away, udp_payload_alloc(server, 1472), &cut), 0);
	CHECK_EQ(udp_send(server, &away, udp_payload_alloc(server, 1473), &cut), -EMSGSIZE);
	udp_close(client);
	udp_close(server);
	sim_destroy(sim);
}

static void test_reuse_port_group(void)
{
	begin("reuse_port");
	struct udp_socket *server[4], *client = open_on(a);
	uint32_t got[4] = { 0 };
	for (int i = 0; i < 4; i++) {
		server[i] = open_on(b);
		CHECK_EQ(udp_bind(server[i], at(ANY, 7), false, true), 0);
	}
	struct endpoint to = at(b->netif.address, 7);
	for (uint16_t flow = 0; flow < 200; flow++) {
		udp_close(client);
		client = open_on(a);
		CHECK_EQ(udp_bind(client, at(ANY, (uint16_t)(2000 + flow)), false, false), 0);
		for (int i = 0; i < 3; i++)
			CHECK_EQ(send_bytes(client, &to, 4, 0), 0);
		pass();
		int owner = -1;
		for (int i = 0; i < 4; i++) {
			if (has_nothing(server[i]))
				continue;
			CHECK_EQ(owner, -1);
			owner = i;
			for (int j = 0; j < 3; j++)
				expect(server[i], 4, 0);
			got[i]++;
		}
	}
	for (int i = 0; i < 4; i++) {
		CHECK(got[i] > 20);
		udp_close(server[i]);
	}
	udp_close(client);
	sim_destroy(sim);
}

static void test_receive_buffer(void)
{
	begin("receive_buffer");
	struct udp_socket *client = open_on(a), *server = open_on(b);
	struct stack_statistics s;
	CHECK_EQ(udp_bind(server, at(ANY, 7), false, false), 0);
	udp_set_receive_buffer(server, 20000);
	struct endpoint to = at(b->netif.address, 7);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(send_bytes(client, &to, 100, (uint8_t)i), 0);
	pass();
	stack_read_statistics(b->stack, &s);
	CHECK(s.udp_buffer_dropped > 80);
	CHECK(s.udp_in >= 9);
	struct pbuf_pool_statistics pool;
	pbuf_pool_statistics(b->pool, &pool);
	CHECK(pool.bytes_used <= 40000);
	for (uint64_t i = 0; i < s.udp_in; i++)
		expect(server, 100, (uint8_t)i);
	/* one always fits */
	udp_set_receive_buffer(server, 1);
	CHECK_EQ(send_bytes(client, &to, 60000, 3), 0);
	sim_pass(sim, SIM_SECOND);
	expect(server, 60000, 3);
	udp_close(client);
	udp_close(server);
	sim_destroy(sim);
}

static void test_refusal_from_afar(void)
{
	begin("refusal");
	struct udp_socket *client = open_on(a), *unconnected = open_on(a);
	struct endpoint to = at(b->netif.address, 7);
	CHECK_EQ(send_bytes(unconnected, &to, 5, 0), 0);
	CHECK_EQ(udp_connect(client, to, false), 0);
	CHECK_EQ(send_bytes(client, NULL, 5, 0), 0);
	pass();
	CHECK_EQ(udp_take_error(unconnected), 0);
	CHECK_EQ(udp_take_error(client), ECONNREFUSED);
	CHECK(event_bits & NET_ERROR);
	CHECK_EQ(udp_take_error(client), 0);
	CHECK_EQ(udp_connect(client, at(ipv4(99, 9, 9, 9), 7), false), -ENETUNREACH);
	to = at(ipv4(99, 9, 9, 9), 7);
	CHECK_EQ(send_bytes(unconnected, &to, 5, 0), -ENETUNREACH);
	to = at(b->netif.address, 0);
	CHECK_EQ(send_bytes(unconnected, &to, 5, 0), -EINVAL);
	udp_close(client);
	udp_close(unconnected);
	sim_destroy(sim);
}

/* What is too long is noted, as much as there is room for, and what the peer refuses. */
static void test_kept_errors(void)
{
	begin("kept errors");
	struct udp_socket *client = open_on(a);
	struct endpoint to = at(b->netif.address, 7);
	struct udp_send_options options = { .dont_fragment = true };
	struct queued_error error;
	udp_keep_errors(client, true);
	for (int i = 0; i < ERROR_QUEUE_MAX + 10; i++)
		CHECK_EQ(udp_send(client, &to, udp_payload_alloc(client, 3000), &options),
		         -EMSGSIZE);
	CHECK(udp_readiness(client) & NET_ERROR);
	for (int i = 0; i < ERROR_QUEUE_MAX; i++) {
		CHECK(udp_take_kept_error(client, &error));
		CHECK_EQ(error.error, EMSGSIZE);
		CHECK_EQ(error.information, 1500);
	}
	CHECK(!udp_take_kept_error(client, &error));
	CHECK(!(udp_readiness(client) & NET_ERROR));
	CHECK_EQ(send_bytes(client, &to, 5, 40), 0);
	pass();
	CHECK(udp_take_kept_error(client, &error));
	CHECK_EQ(error.error, ECONNREFUSED);
	CHECK_EQ(error.origin, ERROR_ORIGIN_ICMP);
	CHECK(ipv4_equal(error.offender, b->netif.address));
	CHECK_EQ(error.remote.port, 7);
	CHECK_EQ(error.payload->length, 5);
	CHECK_EQ(error.payload->data[0], 40);
	pbuf_free(error.payload);
	CHECK_EQ(udp_take_error(client), 0);
	CHECK_EQ(send_bytes(client, &to, 5, 0), 0);
	pass();
	udp_close(client);
	sim_destroy(sim);
}

/* Notes whether a datagram's IP header says that routers must not cut it. */
static bool note_mark(struct sim_host *host, const uint8_t *frame, uint32_t length)
{
	const uint32_t type_at = 12, flags_at = 14 + 6, protocol_at = 14 + 9;
	int *marked = host->tap_context;
	if (length > protocol_at && frame[type_at] == 8 && frame[type_at + 1] == 0 &&
	    frame[protocol_at] == 17)
		*marked = frame[flags_at] >> 6 & 1;
	return false;
}

static void test_mark_against_fragments(void)
{
	begin("don't fragment");
	struct udp_socket *client = open_on(a);
	struct endpoint to = at(b->netif.address, 7);
	int marked;
	a->tap = note_mark;
	a->tap_context = &marked;
	for (int may = 0; may < 2; may++) {
		const struct udp_send_options options = { .may_fragment = may };
		for (uint32_t bytes = 1472; bytes <= 1473; bytes++) {
			marked = -1;
			CHECK_EQ(udp_send(client, &to, udp_payload_alloc(client, bytes), &options),
			         0);
			pass();
			CHECK_EQ(marked, !may && bytes == 1472);
		}
	}
	udp_close(client);
	sim_destroy(sim);
}

static void test_groups(void)
{
	struct sim_host_config config = SIM_HOST_DEFAULTS;
	config.gateway =
	        ipv4(10, 0, 0, 254); /* limited broadcasts go where the default route goes */
	begin_with("groups", &config);
	struct udp_socket *client = open_on(a), *x = open_on(b), *y = open_on(b), *z = open_on(b);
	CHECK_EQ(udp_bind(x, at(ANY, 7), true, false), 0);
	CHECK_EQ(udp_bind(y, at(ANY, 7), true, false), 0);
	CHECK_EQ(udp_bind(z, at(b->netif.address, 7), true, false), 0);
	struct endpoint to = at(ipv4(10, 0, 0, 255), 7);
	CHECK_EQ(send_bytes(client, &to, 9, 0), -EACCES);
	struct udp_send_options options = { .broadcast_allowed = true };
	const struct ipv4_address targets[] = { to.address, ipv4(255, 255, 255, 255) };
	for (int i = 0; i < 2; i++) {
		to.address = targets[i];
		struct pbuf *payload = udp_payload_alloc(client, 9);
		for (uint8_t j = 0; j < 9; j++)
			payload->data[j] = j;
		CHECK_EQ(udp_send(client, &to, payload, &options), 0);
		pass();
		expect(x, 9, 0);
		expect(y, 9, 0);
		CHECK(has_nothing(z));
	}
	udp_close(client);
	udp_close(x);
	udp_close(y);
	udp_close(z);
	sim_destroy(sim);
}

static void test_broadcast_without_route(void)
{
	begin("broadcast-without-route");
	struct udp_socket *client = open_on(a);
	struct endpoint to = at(ipv4(255, 255, 255, 255), 7);
	CHECK_EQ(udp_connect(client, to, true), -ENETUNREACH);
	CHECK_EQ(send_bytes(client, &to, 9, 0), -ENETUNREACH);
	udp_close(client);
	sim_destroy(sim);
}

/* The ring is full: -EAGAIN, then NET_WRITABLE once there is room; a flood that only sends never
 * stalls. */
static void test_full_ring(void)
{
	struct sim_host_config config = SIM_HOST_DEFAULTS;
	config.ring_slots = 4;
	config.egress.bits_per_second = 10000000;
	begin_with("full_ring", &config);
	struct udp_socket *client = open_on(a), *server = open_on(b);
	struct endpoint to = at(b->netif.address, 7);
	CHECK_EQ(udp_bind(server, at(ANY, 7), false, false), 0);
	CHECK_EQ(send_bytes(client, &to, 1000, 0), 0);
	pass();
	expect(server, 1000, 0);
	uint32_t sent = 0, refused = 0;
	for (int i = 0; i < 500; i++) {
		while (send_bytes(client, &to, 1000, 1) == 0)
			sent++;
		refused++;
		CHECK(!(udp_readiness(client) & NET_WRITABLE));
		event_bits = 0;
		sim_pass(sim, 900 * SIM_MICROSECOND);
		CHECK(event_bits & NET_WRITABLE);
		CHECK(udp_readiness(client) & NET_WRITABLE);
		while (!has_nothing(server))
			expect(server, 1000, 1);
	}
	CHECK(sent >= 500);
	CHECK_EQ(refused, 500);
	CHECK_EQ(a->netif.statistics.tx_busy, 0);
	udp_close(client);
	udp_close(server);
	sim_destroy(sim);
}

/* Damage, loss of memory, everything at once: nothing wrong is delivered, nothing leaks. */
static void test_bad_weather(void)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct sim_host_config config = SIM_HOST_DEFAULTS;
		config.egress.corrupt_ppm = 100000;
		config.egress.loss_ppm = 50000;
		config.egress.duplicate_ppm = 50000;
		config.egress.reorder_ppm = 100000;
		config.egress.reorder_delay_ns = SIM_MILLISECOND;
		config.pbuf_failure_ppm = 20000;
		config.alloc_failure_ppm = 20000;
		config.scatter = seed & 1;
		config.offloads = seed & 2 ? NETIF_TX_CSUM : 0;
		config.receive_offloads = seed & 4;
		sim = sim_create(seed, "bad_weather", NULL);
		a = sim_add_host(sim, &config);
		b = sim_add_host(sim, &config);
		struct udp_socket *client, *server;
		while (udp_create(a->stack, &client, note_event, NULL))
			;
		while (udp_create(b->stack, &server, note_event, NULL))
			;
		CHECK_EQ(udp_bind(server, at(ANY, 7), false, false), 0);
		struct endpoint to = at(b->netif.address, 7);
		uint32_t intact = 0;
		for (int i = 0; i < 310; i++) {
			struct udp_send_options options = { 0 };
			uint32_t length = sim_random_below(sim, 4000);
			struct pbuf *payload = udp_payload_alloc(client, length);
			if (payload) {
				for (uint32_t j = 0; j < length; j++)
					payload->data[j] = (uint8_t)(length + j);
				udp_send(client, &to, payload, &options);
			}
			/* at first a lost ARP packet may be waited for */
			sim_pass(sim, i < 10 ? SIM_SECOND : SIM_MILLISECOND);
			struct udp_datagram d;
			while (udp_receive(server, &d)) {
				uint8_t bytes[4000];
				uint32_t n = pbuf_copy_out(d.payload, 0, bytes, sizeof(bytes));
				for (uint32_t j = 0; j < n; j++)
					CHECK_EQ(bytes[j], (uint8_t)(n + j));
				pbuf_free(d.payload);
				intact++;
			}
		}
		CHECK(intact > 50);
		udp_close(client);
		udp_close(server);
		sim_destroy(sim);
	}
}

static void test_port_range(void)
{
	begin("port range");
	struct udp_socket *all[4], *other = open_on(a);
	for (uint32_t i = 0; i < 4; i++) {
		all[i] = open_on(a);
		udp_set_port_range(all[i], 50000, 50002);
		CHECK_EQ(udp_bind(all[i], at(ANY, 0), false, false), i < 3 ? 0 : -EADDRINUSE);
		uint16_t port = udp_local(all[i]).port;
		CHECK(i == 3 ? port == 0 : port >= 50000 && port <= 50002);
	}
	struct endpoint to = at(b->netif.address, 9);
	CHECK_EQ(send_bytes(all[3], &to, 1, 0), -EADDRINUSE);
	udp_set_port_range(other, 60999, 0);
	CHECK_EQ(send_bytes(other, &to, 1, 0), 0);
	CHECK_EQ(udp_local(other).port, 60999);
	for (uint32_t i = 0; i < 4; i++)
		udp_close(all[i]);
	udp_close(other);
	sim_destroy(sim);
}

static void test_interfaces(void)
{
	begin("interfaces");
	struct udp_socket *on[3], *from = open_on(a);
	for (uint8_t i = 0; i < 3; i++) {
		on[i] = open_on(a);
		udp_set_interfaces(on[i], i, 0);
		CHECK_EQ(udp_bind(on[i], at(ANY, 77), i != 0, false), i == 0 ? 0 : -EADDRINUSE);
	}
	udp_close(on[0]);
	for (uint8_t i = 1; i < 3; i++)
		CHECK_EQ(udp_bind(on[i], at(ANY, 77), false, false), 0);
	struct endpoint loopback = at(ipv4(127, 0, 0, 1), 77), own = at(a->netif.address, 77);
	CHECK_EQ(send_bytes(from, &loopback, 5, 1), 0);
	pass();
	CHECK(has_nothing(on[2]));
	expect(on[1], 5, 1);
	CHECK_EQ(send_bytes(from, &own, 5, 2), 0);
	pass();
	CHECK(has_nothing(on[1]));
	expect(on[2], 5, 2);
	udp_set_interfaces(from, 1, 0);
	CHECK_EQ(send_bytes(from, &own, 5, 3), 0);
	pass();
	CHECK(has_nothing(on[2]));
	expect(on[1], 5, 3);
	/* It leads nowhere. */
	udp_set_interfaces(from, 2, 0);
	CHECK_EQ(send_bytes(from, &loopback, 5, 4), 0);
	pass();
	CHECK(has_nothing(on[1]));
	CHECK(has_nothing(on[2]));
	CHECK_EQ(a->stack->statistics.ip_no_route, 1);
	udp_set_interfaces(from, 77, 0);
	CHECK_EQ(send_bytes(from, &own, 5, 5), -ENODEV);
	udp_close(on[1]);
	udp_close(on[2]);
	udp_close(from);
	sim_destroy(sim);
}

int main(int argc, char **argv)
{
	test_port_range();
	test_interfaces();
	sim_parse_arguments(argc, argv);
	test_exchange();
	test_loopback();
	test_bind_conflicts();
	test_ephemeral_ports_run_out();
	test_demultiplexing();
	test_peek_at_offset();
	test_esp_is_dropped();
	test_reuse_port_group();
	test_receive_buffer();
	test_refusal_from_afar();
	test_kept_errors();
	test_mark_against_fragments();
	test_groups();
	test_broadcast_without_route();
	test_full_ring();
	test_bad_weather();
	return 0;
}
