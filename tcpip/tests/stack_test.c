/*
 * Whole stacks on the simulated wire: TCP streams through ARP, routes, the driver's edge and every
 * kind of card and weather, and over loopback. The bytes are checked, and that nothing is left
 * over.
 *
 *     stack_test [--seed N] [--count SEEDS] [--case NAME] [--pcap FILE]
 */
#include "tcpip/tcp.h"
#include "tcpip/tests/sim.h"

#include <errno.h>
#include <string.h>

#define PORT 5001

/* One end of a connection: a program that sends `to_send` bytes, receives until the end, then
 * closes. */
struct end {
	struct sim_host *host;
	struct tcp_connection *connection;
	struct loop_watcher watcher;
	uint64_t to_send, sent, received;
	uint8_t pattern_out, pattern_in;
	bool shut, closed, at_end;
	int error;
};

struct stream {
	struct sim *sim;
	struct end client, server;
	struct tcp_connection *listener;
	struct loop_watcher accept_watcher;
};

static uint8_t pattern(uint8_t key, uint64_t offset)
{
	return (uint8_t)(offset * 131 + (offset >> 8) * 7 + (offset >> 16) + key);
}

static void end_event(void *context, uint32_t readiness)
{
	struct end *end = context;
	(void)readiness;
	loop_post(&end->host->loop, &end->watcher, 1);
}

static void end_fail(struct end *end, int64_t error)
{
	end->error = (int)-error;
	end->at_end = end->closed = true;
	tcp_close(end->connection);
}

static void end_receive(struct end *end)
{
	const uint8_t *bytes;
	int64_t n = 0;
	while (!end->at_end && (n = tcp_receive_peek(end->connection, 0, &bytes)) > 0) {
		for (int64_t i = 0; i < n; i++)
			CHECK_EQ(bytes[i], pattern(end->pattern_in, end->received + (uint64_t)i));
		end->received += (uint64_t)n;
		tcp_receive_consume(end->connection, (uint64_t)n);
	}
	if (n == 0)
		end->at_end = true;
	else if (n < 0 && n != -EAGAIN && n != -ENOTCONN)
		end_fail(end, n);
}

static void end_send(struct end *end)
{
	while (!end->closed && end->sent < end->to_send) {
		uint8_t *room;
		int64_t n = tcp_send_reserve(end->connection, end->to_send - end->sent, &room);
		if (n == -EAGAIN || n == -ENOBUFS || n == -ENOTCONN)
			return;
		if (n < 0) {
			end_fail(end, n);
			return;
		}
		for (int64_t i = 0; i < n; i++)
			room[i] = pattern(end->pattern_out, end->sent + (uint64_t)i);
		end->sent += (uint64_t)n;
		tcp_send_commit(end->connection, (uint32_t)n, false);
	}
}

static void end_run(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	struct end *end = container_of(watcher, struct end, watcher);
	(void)loop;
	(void)events;
	if (end->closed || !end->connection)
		return;
	end_receive(end);
	end_send(end);
	if (end->closed)
		return;
	if (!end->shut && end->sent == end->to_send &&
	    tcp_get_state(end->connection) >= TCP_ESTABLISHED) {
		end->shut = true;
		int error = tcp_shutdown(end->connection, false, true);
		if (error) {
			end_fail(end, error);
			return;
		}
	}
	if (end->shut && end->at_end) {
		end->closed = true;
		tcp_close(end->connection);
	}
}

static void accept_event(void *context, uint32_t readiness)
{
	struct stream *stream = context;
	(void)readiness;
	loop_post(&stream->server.host->loop, &stream->accept_watcher, 1);
}

static void accept_run(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	struct stream *stream = container_of(watcher, struct stream, accept_watcher);
	struct end *end = &stream->server;
	(void)events;
	if (end->connection || !(end->connection = tcp_accept(stream->listener)))
		return;
	tcp_set_event(end->connection, end_event, end);
	loop_post(loop, &end->watcher, 1);
}

static bool stream_is_done(void *context)
{
	const struct stream *stream = context;
	return stream->client.closed && (stream->server.closed || stream->client.error);
}

static void end_init(struct end *end, struct sim_host *host, uint64_t to_send)
{
	memset(end, 0, sizeof(*end));
	end->host = host;
	end->to_send = to_send;
	loop_watcher_init(&end->watcher, LOOP_PRIORITY_NORMAL, end_run);
}

/* Run one stream from `client` to `to` on `server`. Returns the virtual time that it took. */
static uint64_t stream_run(struct stream *stream, struct sim_host *client, struct sim_host *server,
                           struct ipv4_address to, uint64_t up, uint64_t down)
{
	stream->sim = client->sim;
	end_init(&stream->client, client, up);
	end_init(&stream->server, server, down);
	stream->client.pattern_in = stream->server.pattern_out = 77;
	loop_watcher_init(&stream->accept_watcher, LOOP_PRIORITY_NORMAL, accept_run);
	while (tcp_open(server->stack, &stream->listener, accept_event, stream))
		;
	while (tcp_bind(stream->listener, (struct endpoint){ { 0 }, PORT }, true, false))
		;
	while (tcp_listen(stream->listener, 16))
		;
	while (tcp_open(client->stack, &stream->client.connection, end_event, &stream->client))
		;
	uint64_t start = sim_now(stream->sim);
	int error = tcp_connect(stream->client.connection, (struct endpoint){ to, PORT });
	if (error) {
		CHECK_EQ(error, -ENOMEM);
		end_fail(&stream->client, error);
	}
	if (!sim_run(stream->sim, stream_is_done, stream, 4000 * SIM_SECOND))
		sim_fail(stream->sim, "the stream does not end");
	return sim_now(stream->sim) - start;
}

static void stream_end(struct stream *stream)
{
	struct end *server = &stream->server;
	if (server->connection && !server->closed)
		tcp_abort(server->connection);
	if (server->connection && !server->closed)
		tcp_close(server->connection);
	tcp_close(stream->listener);
	loop_stop(&stream->client.host->loop, &stream->client.watcher);
	loop_stop(&server->host->loop, &server->watcher);
	loop_stop(&server->host->loop, &stream->accept_watcher);
	sim_pass(stream->sim, 200 * SIM_SECOND); /* TIME_WAIT and all */
}

static void expect_complete(const struct stream *stream)
{
	CHECK_EQ(stream->client.error, 0);
	CHECK_EQ(stream->server.error, 0);
	CHECK_EQ(stream->server.received, stream->client.to_send);
	CHECK_EQ(stream->client.received, stream->server.to_send);
}

static void test_offloads(const struct sim_arguments *arguments)
{
	for (uint32_t variant = 0; variant < 16; variant++) {
		struct stream stream;
		struct sim_host_config config = SIM_HOST_DEFAULTS;
		struct sim *sim = sim_create(variant, "offloads", arguments->pcap);
		config.offloads = variant & 1 ? SIM_ALL_OFFLOADS : variant & 8 ? NETIF_TX_CSUM : 0;
		config.receive_offloads = variant & 4;
		config.scatter = variant & 8;
		config.egress.bits_per_second = 1000000000;
		config.egress.queue_bytes = 1 << 20;
		struct sim_host *a = sim_add_host(sim, &config);
		config.offloads = variant & 2 ? SIM_ALL_OFFLOADS : 0;
		struct sim_host *b = sim_add_host(sim, &config);
		sim_set_verify_interval(sim, 16);
		uint64_t took = stream_run(&stream, a, b, b->netif.address, 3 << 20, 3 << 20);
		expect_complete(&stream);
		CHECK(took < SIM_SECOND);
		if (variant & 1)
			CHECK_EQ(a->netif.statistics.tx_software_gso, 0);
		else
			CHECK(a->netif.statistics.tx_software_gso > 10);
		stream_end(&stream);
		sim_destroy(sim);
	}
}

static void test_loopback(const struct sim_arguments *arguments)
{
	struct stream stream;
	struct sim_host_config config = SIM_HOST_DEFAULTS;
	struct sim *sim = sim_create(1, "loopback", arguments->pcap);
	struct sim_host *a = sim_add_host(sim, &config);
	const struct ipv4_address to[] = { ipv4(127, 0, 0, 1), a->netif.address,
		                           ipv4(127, 1, 2, 3) };
	for (int i = 0; i < 3; i++) {
		stream_run(&stream, a, a, to[i], 5 << 20, 5 << 20);
		expect_complete(&stream);
		stream_end(&stream);
	}
	CHECK(a->wire.sent <= 1); /* its announcement */
	sim_destroy(sim);
}

/* The path is narrower than it looks: learnt from ICMP. */
static void test_narrow_path(const struct sim_arguments *arguments)
{
	struct stream stream;
	struct sim_host_config config = SIM_HOST_DEFAULTS;
	struct sim *sim = sim_create(1, "narrow_path", arguments->pcap);
	struct sim_host *a = sim_add_host(sim, &config);
	struct sim_host *b = sim_add_host(sim, &config);
	a->config.egress.mtu = 1000;
	a->config.egress.mtu_is_told = true;
	uint64_t took = stream_run(&stream, a, b, b->netif.address, 1 << 20, 1000);
	expect_complete(&stream);
	CHECK(a->wire.too_large >= 1);
	CHECK(took < 5 * SIM_SECOND);
	stream_end(&stream);
	sim_destroy(sim);
}

/* Nobody there: the connection learns it in three seconds, not in minutes. */
static void test_no_such_host(const struct sim_arguments *arguments)
{
	struct stream stream;
	struct sim_host_config config = SIM_HOST_DEFAULTS;
	struct sim *sim = sim_create(1, "no_such_host", arguments->pcap);
	struct sim_host *a = sim_add_host(sim, &config);
	uint64_t took = stream_run(&stream, a, a, ipv4(10, 0, 0, 77), 100, 100);
	CHECK_EQ(stream.client.error, EHOSTUNREACH);
	CHECK(took < 4 * SIM_SECOND);
	stream_end(&stream);
	sim_destroy(sim);
}

static void weather_random(struct sim *sim, struct sim_link *link)
{
	link->delay_ns = sim_random_below(sim, 20000) * SIM_MICROSECOND;
	link->jitter_ns =
	        sim_chance(sim, 500000) ? sim_random_below(sim, 2000) * SIM_MICROSECOND : 0;
	link->bits_per_second =
	        sim_chance(sim, 500000) ? 1000000 + sim_random_below(sim, 100000000) : 0;
	link->queue_bytes = sim_chance(sim, 500000) ? 20000 + sim_random_below(sim, 200000) : 0;
	link->loss_ppm = sim_chance(sim, 500000) ? sim_random_below(sim, 50000) : 0;
	if (sim_chance(sim, 300000)) {
		link->burst_start_ppm = 2000;
		link->burst_end_ppm = 200000;
		link->burst_loss_ppm = 700000;
	}
	link->reorder_ppm = sim_chance(sim, 300000) ? sim_random_below(sim, 100000) : 0;
	link->reorder_delay_ns = sim_random_below(sim, 5000) * SIM_MICROSECOND;
	link->duplicate_ppm = sim_chance(sim, 300000) ? sim_random_below(sim, 50000) : 0;
	link->corrupt_ppm = sim_chance(sim, 300000) ? sim_random_below(sim, 30000) : 0;
}

/* A stream may fail where memory or the wire fail it, but never with wrong bytes, never for ever,
 * never with a leak. */
static void test_weather(const struct sim_arguments *arguments, uint64_t seed)
{
	struct stream stream;
	struct sim *sim = sim_create(seed, "weather", arguments->pcap);
	struct sim_host *host[2];
	bool short_of_memory = sim_chance(sim, 200000);
	for (int i = 0; i < 2; i++) {
		struct sim_host_config config = SIM_HOST_DEFAULTS;
		config.offloads = sim_chance(sim, 500000) ? SIM_ALL_OFFLOADS : 0;
		config.receive_offloads = sim_chance(sim, 500000);
		config.scatter = sim_chance(sim, 200000);
		config.ring_slots = 8u << sim_random_below(sim, 6);
		config.tx_completion_ns = sim_random_below(sim, 100) * SIM_MICROSECOND;
		config.mtu = sim_chance(sim, 200000) ? 576 + sim_random_below(sim, 8000) : 1500;
		config.pbuf_failure_ppm = short_of_memory ? 5000 : 0;
		config.alloc_failure_ppm = short_of_memory ? 5000 : 0;
		weather_random(sim, &config.egress);
		host[i] = sim_add_host(sim, &config);
	}
	if (host[0]->netif.mtu != host[1]->netif.mtu) /* one wire, one MTU */
		host[0]->netif.mtu = host[1]->netif.mtu = 1500;
	sim_set_verify_interval(sim, 8);
	uint64_t up = sim_random_below(sim, 300000), down = sim_random_below(sim, 300000);
	stream_run(&stream, host[0], host[1], host[1]->netif.address, up, down);
	if (!stream.client.error && !stream.server.error)
		expect_complete(&stream);
	stream_end(&stream);
	sim_destroy(sim);
}

int main(int argc, char **argv)
{
	struct sim_arguments arguments = sim_parse_arguments(argc, argv);
	uint64_t seeds = arguments.seed_given ? arguments.count : 100;
	if (sim_case_wanted(&arguments, "offloads"))
		test_offloads(&arguments);
	if (sim_case_wanted(&arguments, "loopback"))
		test_loopback(&arguments);
	if (sim_case_wanted(&arguments, "narrow_path"))
		test_narrow_path(&arguments);
	if (sim_case_wanted(&arguments, "no_such_host"))
		test_no_such_host(&arguments);
	if (sim_case_wanted(&arguments, "weather")) {
		for (uint64_t i = 0; i < seeds; i++)
			test_weather(&arguments, arguments.seed + i);
	}
	return 0;
}
