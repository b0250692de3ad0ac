/*
 * Deterministic simulation: many connections of many habits over an imperfect wire. Every stream is
 * checked byte for byte, every invariant after every event, every connection must end, and in the
 * end nothing is left.
 *
 *     tcp_sim_test [seeds [first seed]]
 */
#include "tcpip/tests/tcp_wire.h"

#define CONNECTIONS_MAX 64
#define PORT            80
#define TIME_LIMIT_NS   (3600ull * 1000000000ull)

enum finish { FINISH_CLIENT_CLOSES, FINISH_SERVER_CLOSES, FINISH_HALF_CLOSE, FINISH_ABORT };

struct side {
	struct flow *flow;
	struct host *host;
	struct tcp_connection *connection;
	bool server, signalled, saw_end, done, blocked_writing, shut;
	uint64_t sent, received, wake_ns;
	int error;
};

struct flow {
	struct sim *sim;
	uint32_t id;
	struct side client, server;
	uint64_t total[2];       /* client's, server's bytes */
	uint32_t request, reply; /* lockstep when not 0 */
	uint32_t chunk, read_chunk;
	uint64_t read_pause_ns, start_ns, abort_after;
	enum finish finish;
	uint16_t port;
	struct tcp_seq edge[2]; /* right edge that client, server advertised */
	uint8_t wscale[2];
	bool edge_known[2], scaling[2];
};

struct sim {
	struct wire wire;
	struct tcp_connection *listener;
	bool accept_signalled;
	struct flow flow[CONNECTIONS_MAX];
	uint32_t flows;
	uint64_t seed;
};

static void side_print(const struct side *side)
{
	const struct tcp_connection *c = side->connection;
	const struct flow *f = side->flow;
	fprintf(stderr, "  %u %s: sent %llu of %llu, received %llu of %llu%s%s%s error %d", f->id,
	        side->server ? "server" : "client", (unsigned long long)side->sent,
	        (unsigned long long)f->total[side->server], (unsigned long long)side->received,
	        (unsigned long long)f->total[!side->server], side->saw_end ? " end" : "",
	        side->done ? " done" : "", side->blocked_writing ? " blocked" : "", side->error);
	if (c)
		fprintf(stderr,
		        " | state %d una %u nxt %u written %u window %u cwnd %u ca %d odd %x "
		        "rto %u retransmits %u rcv_nxt %u edge %u copied %u true %u",
		        c->flow.state, c->snd_una.value - c->iss.value,
		        c->snd_nxt.value - c->iss.value, c->write_seq.value - c->iss.value,
		        c->snd_wnd, c->cwnd, c->congestion_state, c->odd, c->rto_us, c->retransmits,
		        c->rcv_nxt.value - c->irs.value, c->rcv_edge.value - c->irs.value,
		        c->rcv_copied.value - c->irs.value, c->receive_true);
	fprintf(stderr, "\n");
}

static void fail(const struct sim *sim, const struct flow *flow, const char *what)
{
	fprintf(stderr, "seed %llu, connection %u, %llu us: %s   (replay: tcp_sim_test 1 %llu)\n",
	        (unsigned long long)sim->seed, flow ? flow->id : 0,
	        (unsigned long long)(sim->wire.now_ns / 1000), what, (unsigned long long)sim->seed);
	for (uint32_t i = 0; i < sim->flows; i++) {
		if (!sim->flow[i].client.done)
			side_print(&sim->flow[i].client);
		if (!sim->flow[i].server.done)
			side_print(&sim->flow[i].server);
	}
	abort();
}

static uint8_t stream_byte(const struct flow *flow, bool server, uint64_t offset)
{
	uint64_t x = (offset + 1) * 0x9e3779b97f4a7c15ull ^ (uint64_t)flow->id << 33 ^ server;
	return (uint8_t)(x >> 29 ^ x >> 47);
}

static void side_event(void *context, uint32_t readiness)
{
	(void)readiness;
	((struct side *)context)->signalled = true;
}

static void accept_event(void *context, uint32_t readiness)
{
	(void)readiness;
	((struct sim *)context)->accept_signalled = true;
}

static void side_over(struct side *side)
{
	if (side->connection)
		tcp_close(side->connection);
	side->connection = NULL;
	side->done = true;
}

/* Bytes that the side may have sent by now. */
static uint64_t send_limit(const struct side *side)
{
	const struct flow *flow = side->flow;
	uint64_t total = flow->total[side->server];
	if (!flow->request)
		return total;
	uint64_t limit = side->server ? side->received / flow->request * flow->reply
	                              : (side->received / flow->reply + 1) * flow->request;
	return limit < total ? limit : total;
}

static void side_send(struct sim *sim, struct side *side)
{
	side->blocked_writing = false;
	while (side->sent < send_limit(side)) {
		uint64_t left = send_limit(side) - side->sent;
		uint64_t want = 1 + random_below(&sim->wire.random, side->flow->chunk);
		uint8_t *room;
		int64_t n = tcp_send_reserve(side->connection, want < left ? want : left, &room);
		if (n < 0) {
			if (n == -EAGAIN || n == -ENOBUFS)
				side->blocked_writing = true;
			else
				side->error = (int)-n;
			return;
		}
		if (n == 0)
			fail(sim, side->flow, "reserve returned 0");
		for (int64_t i = 0; i < n; i++)
			room[i] = stream_byte(side->flow, side->server, side->sent + (uint64_t)i);
		tcp_send_commit(side->connection, (uint32_t)n,
		                random_chance(&sim->wire.random, 50) && (uint64_t)n < left);
		side->sent += (uint64_t)n;
	}
}

/* One read. False: nothing there. */
static bool side_read(struct sim *sim, struct side *side, uint32_t most)
{
	uint64_t offset = 0;
	while (offset < most) {
		const uint8_t *bytes;
		int64_t n = tcp_receive_peek(side->connection, offset, &bytes);
		if (n == 0)
			side->saw_end = offset == 0;
		if (n < 0 && n != -EAGAIN)
			side->error = (int)-n;
		if (n <= 0)
			break;
		if ((uint64_t)n > most - offset)
			n = (int64_t)(most - offset);
		for (int64_t i = 0; i < n; i++) {
			if (bytes[i] != stream_byte(side->flow, !side->server,
			                            side->received + offset + (uint64_t)i))
				fail(sim, side->flow, "a wrong byte arrived");
		}
		offset += (uint64_t)n;
	}
	if (!offset)
		return false;
	tcp_receive_consume(side->connection, offset);
	side->received += offset;
	if (side->received > side->flow->total[!side->server])
		fail(sim, side->flow, "more arrived than was sent");
	return true;
}

static void side_receive(struct sim *sim, struct side *side)
{
	const struct flow *flow = side->flow;
	if (side->wake_ns > sim->wire.now_ns)
		return;
	while (!side->saw_end && !side->error && side_read(sim, side, flow->read_chunk)) {
		if (flow->read_pause_ns) {
			side->wake_ns = sim->wire.now_ns + flow->read_pause_ns;
			return;
		}
	}
}

static void side_finish(struct sim *sim, struct side *side)
{
	struct flow *flow = side->flow;
	bool all_sent = side->sent == flow->total[side->server];
	bool all_received = side->received == flow->total[!side->server];
	bool closes_first = side->server == (flow->finish == FINISH_SERVER_CLOSES);
	if (side->error == EHOSTUNREACH && !flow->server.connection) {
		/* ARP found no memory three times in a row: try again. */
		tcp_close(side->connection);
		*side = (struct side){ .flow = flow, .host = side->host };
		flow->start_ns = sim->wire.now_ns + 1000000;
		return;
	}
	if (side->error) {
		if (flow->finish != FINISH_ABORT)
			fail(sim, flow, strerror(side->error));
		side_over(side);
		return;
	}
	if (flow->finish == FINISH_ABORT && !side->server &&
	    side->sent + side->received >= flow->abort_after) {
		if (random_chance(&sim->wire.random, 500))
			tcp_abort(side->connection);
		side_over(side);
		return;
	}
	if (side->saw_end && flow->finish == FINISH_ABORT) {
		side_over(side);
		return;
	}
	if (side->saw_end && !all_received)
		fail(sim, flow, "the stream ended early");
	if (!all_sent)
		return;
	if (flow->finish == FINISH_HALF_CLOSE && !side->shut) {
		CHECK_EQ(tcp_shutdown(side->connection, false, true), 0);
		side->shut = true;
	}
	if (side->saw_end || (all_received && closes_first && flow->finish < FINISH_HALF_CLOSE))
		side_over(side);
}

static void side_run(struct sim *sim, struct side *side)
{
	side->signalled = false;
	if (side->done || !side->connection)
		return;
	if (tcp_get_state(side->connection) == TCP_SYN_SENT)
		return;
	if (tcp_readiness(side->connection) & NET_ERROR)
		side->wake_ns = 0;
	side_receive(sim, side);
	if (!side->error && !side->shut)
		side_send(sim, side);
	side_finish(sim, side);
}

static void flow_start(struct sim *sim, struct flow *flow)
{
	struct side *client = &flow->client;
	if (tcp_open(client->host->stack, &client->connection, side_event, client))
		goto again;
	tcp_set_option(client->connection, TCP_OPTION_NODELAY, flow->id & 1);
	struct endpoint to = { sim->wire.host[1].address, PORT };
	int error = tcp_connect(client->connection, to);
	if (!error) {
		flow->port = tcp_local(client->connection).port;
		flow->start_ns = LOOP_NEVER;
		return;
	}
	if (error != -ENOMEM && error != -ENOBUFS)
		fail(sim, flow, "connect");
	tcp_close(client->connection);
	client->connection = NULL;
again:
	flow->start_ns = sim->wire.now_ns + 1000000;
}

static struct flow *flow_of_port(struct sim *sim, uint16_t port)
{
	for (uint32_t i = 0; i < sim->flows; i++) {
		if (sim->flow[i].port == port)
			return &sim->flow[i];
	}
	return NULL;
}

static void accept_all(struct sim *sim)
{
	struct tcp_connection *c;
	sim->accept_signalled = false;
	while ((c = tcp_accept(sim->listener)) != NULL) {
		struct flow *flow = flow_of_port(sim, tcp_remote(c).port);
		if (!flow || flow->server.connection)
			fail(sim, flow, "accepted a connection that nobody opened");
		flow->server.connection = c;
		tcp_set_event(c, side_event, &flow->server);
		tcp_set_option(c, TCP_OPTION_NODELAY, flow->id >> 1 & 1);
		flow->server.signalled = true;
	}
}

/* A wake-up must never be lost: whoever waits for something that is there has been told. */
static void check_wakeups(struct sim *sim, struct side *side)
{
	if (!side->connection || side->done || side->signalled)
		return;
	uint32_t ready = tcp_readiness(side->connection);
	if (side->wake_ns <= sim->wire.now_ns && !side->saw_end && ready & NET_READABLE)
		fail(sim, side->flow, "readable, but nobody was told");
	if (side->blocked_writing && ready & NET_WRITABLE)
		fail(sim, side->flow, "writable, but nobody was told");
	if (ready & NET_ERROR && !side->wake_ns)
		fail(sim, side->flow, "an error, but nobody was told");
}

static void apps_run(struct sim *sim)
{
	uint64_t now = sim->wire.now_ns;
	if (sim->accept_signalled)
		accept_all(sim);
	for (uint32_t i = 0; i < sim->flows; i++) {
		struct flow *flow = &sim->flow[i];
		if (flow->start_ns <= now)
			flow_start(sim, flow);
		struct side *sides[2] = { &flow->client, &flow->server };
		for (int s = 0; s < 2; s++) {
			if (sides[s]->wake_ns && sides[s]->wake_ns <= now) {
				sides[s]->wake_ns = 0;
				sides[s]->signalled = true;
			}
			if (sides[s]->signalled)
				side_run(sim, sides[s]);
			check_wakeups(sim, sides[s]);
		}
	}
	loop_flush(&sim->wire.host[0].loop);
	loop_flush(&sim->wire.host[1].loop);
}

static uint64_t apps_next(const struct sim *sim)
{
	uint64_t next = LOOP_NEVER;
	for (uint32_t i = 0; i < sim->flows; i++) {
		const struct flow *f = &sim->flow[i];
		next = min_u64(next, f->start_ns);
		if (f->client.wake_ns && !f->client.done)
			next = min_u64(next, f->client.wake_ns);
		if (f->server.wake_ns && !f->server.done)
			next = min_u64(next, f->server.wake_ns);
	}
	return next;
}

/* Nobody sends beyond the window that the peer offered. */
static void observe(struct host *host, const struct wire_frame *frame)
{
	struct sim *sim = host->observer;
	const uint8_t *ip = frame->data + 14, *tcp = ip + 20;
	if (load_be16(frame->data + 12) != 0x0800 || ip[9] != IP_PROTOCOL_TCP)
		return;
	bool server = host == &sim->wire.host[1];
	struct flow *flow = flow_of_port(sim, load_be16(server ? tcp + 2 : tcp));
	if (!flow)
		return;
	uint32_t header = (tcp[12] >> 4) * 4u;
	uint32_t length = load_be16(ip + 2) - 20u - header;
	if (frame->gso_size)
		length = frame->bytes - 14 - 20 - header;
	uint8_t flags = tcp[13];
	struct tcp_seq end = seq_add(seq(load_be32(tcp + 4)), length);
	if (flags & TCP_SYN) {
		struct tcp_options o;
		tcp_parse_options(tcp + 20, header - 20, &o);
		flow->edge_known[server] = false; /* an old SYN may begin another connection */
		flow->scaling[server] = o.has_window_scale;
		flow->wscale[server] = o.window_scale;
	}
	if (!(flags & TCP_ACK) || flags & TCP_RST)
		return;
	uint32_t window = load_be16(tcp + 14);
	if (!(flags & TCP_SYN) && flow->scaling[0] && flow->scaling[1])
		window <<= flow->wscale[server];
	struct tcp_seq edge = seq_add(seq(load_be32(tcp + 8)), window);
	if (flow->edge_known[server] && seq_lt(edge, flow->edge[server]))
		fail(sim, flow, "the right edge of the window retracted");
	flow->edge[server] = flow->edge_known[server] ? seq_max(flow->edge[server], edge) : edge;
	flow->edge_known[server] = true;
	if (length && flow->edge_known[!server] && seq_lt(flow->edge[!server], end))
		fail(sim, flow, "sent beyond the peer's window");
}

static bool pool_fails(void *context)
{
	struct wire *wire = context;
	return !wire->quiet && random_chance(&wire->random, wire->impairments.allocation_failures);
}

static struct impairments choose_impairments(struct random_source *r)
{
	static const uint32_t loss[] = { 0, 0, 1, 5, 20, 50 };
	struct impairments i = { .loss = loss[random_below(r, 6)],
		                 .delay_ns = 1000ull << random_below(r, 16) };
	if (random_chance(r, 400))
		i.duplicate = random_below(r, 30);
	if (random_chance(r, 400))
		i.reorder = random_below(r, 100);
	if (random_chance(r, 300))
		i.corrupt = random_below(r, 20);
	if (random_chance(r, 300))
		i.jitter_ns = 1 + random_below(r, 3000000);
	if (random_chance(r, 500)) {
		i.bytes_per_second = 200000ull << random_below(r, 10);
		i.queue_frames = 8 + random_below(r, 200);
	}
	if (random_chance(r, 300))
		i.ring = 1 + random_below(r, 32);
	if (random_chance(r, 250))
		i.allocation_failures = 1 + random_below(r, 20);
	if (random_chance(r, 500))
		i.offloads |= NETIF_TX_CSUM;
	if (i.offloads && random_chance(r, 600))
		i.offloads |= NETIF_TX_TSO4 | NETIF_TX_TSO_ECN;
	if (random_chance(r, 200))
		i.pool_bytes = 40000 + random_below(r, 1000000);
	if (random_chance(r, 200))
		i.mtu = 576 + random_below(r, 9000);
	return i;
}

static uint64_t random_size(struct random_source *r, uint32_t most_bits)
{
	return random_next(r) & ((1ull << random_below(r, most_bits + 1)) - 1);
}

static void choose_flow(struct sim *sim, struct flow *flow, bool storm)
{
	struct random_source *r = &sim->wire.random;
	uint32_t bits = storm ? 10 : 18;
	flow->sim = sim;
	flow->client = (struct side){ .flow = flow, .host = &sim->wire.host[0] };
	flow->server = (struct side){ .flow = flow, .host = &sim->wire.host[1], .server = true };
	flow->total[0] = random_size(r, bits);
	flow->total[1] = random_size(r, bits);
	flow->chunk = 1u << random_below(r, 18);
	flow->read_chunk = 1u << (4 + random_below(r, 15));
	flow->finish = (enum finish)random_below(r, 4);
	flow->start_ns = sim->wire.now_ns + random_below(r, storm ? 10000000 : 100000000);
	if (random_chance(r, 300)) {
		flow->request = 1 + random_below(r, 2000);
		flow->reply = 1 + random_below(r, 20000);
		uint32_t rounds = 1 + random_below(r, 30);
		flow->total[0] = (uint64_t)rounds * flow->request;
		flow->total[1] = (uint64_t)rounds * flow->reply;
	}
	flow->abort_after = random_next(r) % (flow->total[0] + flow->total[1] + 1);
	if (random_chance(r, 200)) {
		flow->read_pause_ns = 1 + random_below(r, 20000000);
		if (flow->read_chunk < 512)
			flow->read_chunk = 512;
	}
}

/* With nothing of its own to say, the server of an aborted connection whose RST was lost waits for
 * ever (no keep-alive). */
static bool waits_in_vain(const struct flow *f)
{
	return f->finish == FINISH_ABORT && f->client.done && f->server.connection &&
	       !tcp_send_queue_bytes(f->server.connection);
}

static bool all_done(const struct sim *sim)
{
	for (uint32_t i = 0; i < sim->flows; i++) {
		const struct flow *f = &sim->flow[i];
		if (!f->client.done ||
		    (f->server.connection && !f->server.done && !waits_in_vain(f)))
			return false;
	}
	return true;
}

static void sim_run(struct sim *sim)
{
	uint64_t limit = sim->wire.now_ns + TIME_LIMIT_NS;
	while (!all_done(sim)) {
		uint64_t next = apps_next(sim), wire_next = wire_next_event(&sim->wire);
		bool stalled = sim->wire.host[0].ring_was_full || sim->wire.host[1].ring_was_full;
		if (next == LOOP_NEVER && wire_next == LOOP_NEVER && !stalled)
			fail(sim, NULL, "everybody waits and nothing will happen");
		if (next < wire_next && !stalled) {
			sim->wire.now_ns = next > sim->wire.now_ns ? next : sim->wire.now_ns;
			for (int i = 0; i < 2; i++)
				loop_turn(&sim->wire.host[i].loop, sim->wire.now_ns);
		} else {
			wire_step(&sim->wire);
		}
		wire_verify(&sim->wire);
		apps_run(sim);
		wire_verify(&sim->wire);
		if (sim->wire.now_ns > limit) {
			for (uint32_t i = 0; i < sim->flows; i++) {
				struct flow *f = &sim->flow[i];
				if (!f->client.done || !f->server.done)
					fail(sim, f, "did not end within an hour");
			}
		}
	}
}

/* Both ends have let go: what remains must end by itself. */
static void sim_settle(struct sim *sim)
{
	sim->wire.quiet = true;
	wire_run_for(&sim->wire, 400ull * 1000000000ull);
	accept_all(sim);
	for (uint32_t i = 0; i < sim->flows; i++) {
		if (sim->flow[i].server.connection)
			side_over(&sim->flow[i].server);
	}
	wire_run_for(&sim->wire, 400ull * 1000000000ull);
	tcp_close(sim->listener);
	for (int i = 0; i < 2; i++) {
		struct stack_statistics s;
		stack_read_statistics(sim->wire.host[i].stack, &s);
		const struct tcp_stack *tcp = stack_tcp(sim->wire.host[i].stack);
		if (s.tcp_live || s.tcp_time_wait || s.tcp_listeners || tcp->ports.count ||
		    tcp->flows.count || tcp->request_count || tcp->orphan_count)
			fail(sim, NULL, "something is left after everybody closed");
	}
}

static void simulate(uint64_t seed)
{
	struct sim *sim = calloc(1, sizeof(*sim));
	CHECK(sim);
	struct random_source r = { seed };
	struct impairments impairments = choose_impairments(&r);
	sim->seed = seed;
	wire_create(&sim->wire, &impairments, seed);
	for (int i = 0; i < 2; i++) {
		sim->wire.host[i].observe = observe;
		sim->wire.host[i].observer = sim;
		if (impairments.allocation_failures) {
			pbuf_pool_inject_failures(sim->wire.host[i].pool, pool_fails, &sim->wire);
			pbuf_pool_inject_failures(sim->wire.host[i].receive_pool, pool_fails,
			                          &sim->wire);
		}
	}
	CHECK_EQ(tcp_open(sim->wire.host[1].stack, &sim->listener, accept_event, sim), 0);
	struct endpoint any = { { 0 }, PORT };
	CHECK_EQ(tcp_bind(sim->listener, any, true, false), 0);
	CHECK_EQ(tcp_listen(sim->listener, 128), 0);
	bool storm = random_chance(&r, 200);
	sim->flows = storm ? 32 + random_below(&r, 32) : 1 + random_below(&r, 6);
	for (uint32_t i = 0; i < sim->flows; i++) {
		sim->flow[i].id = i;
		choose_flow(sim, &sim->flow[i], storm);
	}
	sim->wire.quiet = false;
	sim_run(sim);
	sim_settle(sim);
	wire_destroy(&sim->wire);
	free(sim);
}

int main(int argc, char **argv)
{
	uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 0) : 300;
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	for (uint64_t seed = first; seed < first + seeds; seed++)
		simulate(seed);
	printf("%llu seeds: ok\n", (unsigned long long)seeds);
	return 0;
}
