/* Every cap of TCP, reached: what happens there, that nobody else notices, and that what was held
 * comes back. docs/LIMITS.md has the list. */
#include "tcpip/tests/tcp_script.h"

static struct script s;

/* The next client: another port of the peer's. */
static void next_peer(uint32_t number)
{
	s.peer_port = (uint16_t)(1024 + number);
	s.iss_known = false;
	s.count = s.next = 0;
	s.wire.host[0].ring_used = 0;
}

/* Thousands of segments are not followed by a check of everything each. */
static void send_quietly(uint8_t flags, uint32_t seq, uint32_t ack, uint32_t length)
{
	inject_unverified(
	        &s, (struct sending){ .flags = flags, .seq = seq, .ack = ack, .length = length });
}

static struct tcp_connection *accept_next(uint32_t number)
{
	next_peer(number);
	send_quietly(TCP_SYN, 0, 0, 0);
	send_quietly(A, 1, 1, 0);
	struct tcp_connection *c = tcp_accept(s.listener);
	CHECK(c);
	s.next = s.count;
	return c;
}

/* Our FIN leaves first. */
static void close_actively(struct tcp_connection *c)
{
	tcp_close(c);
	loop_turn(&s.wire.host[0].loop, s.wire.now_ns);
	expect(&s, TCP_FIN | A, 1, 1, 0);
	send_quietly(TCP_FIN | A, 1, 2, 0);
	expect(&s, A, 2, 2, 0);
}

static void fill_time_wait(const struct tcp_stack *tcp)
{
	const uint32_t most = tcp->max_time_wait;
	for (uint32_t i = 0; i < most; i++)
		close_actively(accept_next(i));
	CHECK_EQ(tcp->time_wait_count, most);
	send_segment(&s, TCP_FIN | A, 1, 2, 0); /* the peer missed our last ACK */
	expect(&s, A, 2, 2, 0);

	close_actively(accept_next(most));
	CHECK_EQ(tcp->time_wait_count, most);
	CHECK_EQ(tcp->flows.count, most);
	send_segment(&s, TCP_FIN | A, 1, 2, 0); /* of this one nothing is known any more */
	expect(&s, TCP_RST, 2, 0, 0);
	expect_silence(&s);

	wait_ns(&s, 61 * SECOND);
	CHECK_EQ(tcp->time_wait_count, 0);
	CHECK_EQ(tcp->flows.count, 0);
}

static void time_wait(void)
{
	script_begin(&s, "TIME_WAIT full: a further connection just ends");
	const struct tcp_stack *tcp = stack_tcp(s.wire.host[0].stack);
	CHECK_EQ(tcp->max_time_wait, 32768);
	script_listen(&s, 16);
	fill_time_wait(tcp);
	size_t tables = s.wire.host[0].bytes_allocated; /* that grew */
	fill_time_wait(tcp);
	CHECK(s.wire.host[0].bytes_allocated <= tables);
	script_end(&s);
}

static void orphans(void)
{
	script_begin(&s, "orphans: the newest is reset, the others and open connections live");
	const struct tcp_stack *tcp = stack_tcp(s.wire.host[0].stack);
	script_listen(&s, 16);
	struct tcp_connection *bystander = accept_next(TCP_MAX_ORPHANS + 1);
	uint32_t bystander_iss = s.iss, first_iss = 0;
	for (uint32_t i = 0; i < TCP_MAX_ORPHANS; i++) {
		struct tcp_connection *c = accept_next(i);
		first_iss = i ? first_iss : s.iss;
		tcp_close(c);
		loop_turn(&s.wire.host[0].loop, s.wire.now_ns);
		expect(&s, TCP_FIN | A, 1, 1, 0);
	}
	CHECK_EQ(tcp->orphan_count, TCP_MAX_ORPHANS);
	tcp_close(accept_next(TCP_MAX_ORPHANS));
	flush_hosts(&s);
	expect(&s, TCP_RST | A, 1, 1, 0);
	expect_silence(&s);
	CHECK_EQ(tcp->orphan_count, TCP_MAX_ORPHANS);

	next_peer(TCP_MAX_ORPHANS + 1);
	s.iss = bystander_iss;
	s.iss_known = true;
	send_segment(&s, A, 1, 1, 10);
	CHECK_EQ(tcp_receive_available(bystander), 10);
	tcp_abort(bystander);
	tcp_close(bystander);

	next_peer(0); /* one orphan ends: there is room for another */
	s.iss = first_iss;
	s.iss_known = true;
	send_segment(&s, TCP_RST | A, 1, 2, 0);
	CHECK_EQ(tcp->orphan_count, TCP_MAX_ORPHANS - 1);
	tcp_close(accept_next(TCP_MAX_ORPHANS + 2));
	flush_hosts(&s);
	expect(&s, TCP_FIN | A, 1, 1, 0);
	CHECK_EQ(tcp->orphan_count, TCP_MAX_ORPHANS);
	for (int minutes = 0; tcp->orphan_count && minutes < 10; minutes++) {
		for (int i = 0; i < 60; i++)
			loop_turn(&s.wire.host[0].loop, s.wire.now_ns += SECOND);
	}
	CHECK_EQ(tcp->orphan_count, 0);
	CHECK_EQ(tcp->flows.count, 0);
	script_end(&s);
}

/* A peer that SACKs single bytes, each second one. */
static void scoreboard(void)
{
	script_begin(&s, "scoreboard full: ranges are forgotten, all of the stream arrives");
	s.timestamps = s.sack = s.scaling = true;
	s.wscale = 7;
	s.window = 512;
	script_accept(&s);
	user_write(&s, 10 * 1448);
	s.next = s.count;
	for (uint32_t i = 0; i < 2 * TCP_MAX_INTERVALS; i++) {
		struct tcp_interval range = { seq(2001 + 2 * i), seq(2002 + 2 * i) };
		inject(&s,
		       (struct sending){
		               .flags = A, .seq = 1, .ack = 1, .sack = &range, .sack_count = 1 });
	}
	CHECK(tcp_scoreboard(s.c));
	CHECK_EQ(tcp_scoreboard(s.c)->count, TCP_MAX_INTERVALS);
	CHECK_EQ(tcp_scoreboard(s.c)->bytes, TCP_MAX_INTERVALS);
	struct tcp_interval wide = { seq(2001),
		                     seq(10 * 1448 + 1) }; /* joins those that are known */
	inject(&s,
	       (struct sending){ .flags = A, .seq = 1, .ack = 1, .sack = &wide, .sack_count = 1 });
	CHECK_EQ(tcp_scoreboard(s.c)->count, 1);
	CHECK_EQ(tcp_scoreboard(s.c)->bytes, 10 * 1448 - 2000);
	wait_ns(&s, 1 * SECOND);
	uint32_t head = 0; /* what was missing is sent again, and no more than that */
	for (uint32_t i = s.next; i < s.count; i++) {
		if (s.seen[i].seq == 1)
			head++;
	}
	CHECK(head);
	send_segment(&s, A, 1, 10 * 1448 + 1, 0);
	CHECK(!tcp_scoreboard(s.c));
	s.next = s.count;
	user_write(&s, 100);
	expect(&s, A, 10 * 1448 + 1, 1, 100);
	script_end(&s);
}

static void begin_wide(const char *name)
{
	script_begin(&s, name);
	s.timestamps = s.sack = s.scaling = true;
	s.wscale = 7;
	s.window = 8192;
	script_accept(&s);
	tcp_set_option(s.c, TCP_OPTION_SEND_BUFFER, 1 << 20);
	s.c->cwnd = s.c->ssthresh = 1 << 20;
}

/* Every other one of 200 segments is lost: more holes than repairs are kept of. */
static void repairs(void)
{
	begin_wide("repairs full: neighbours are joined, each hole is filled once");
	user_write(&s, 200 * 1448);
	wait_ns(&s, 1 * MS);
	s.next = s.count;
	for (uint32_t i = 1; i < 200; i += 2) {
		struct tcp_interval range = { seq(1 + i * 1448), seq(1 + (i + 1) * 1448) };
		inject(&s,
		       (struct sending){
		               .flags = A, .seq = 1, .ack = 1, .sack = &range, .sack_count = 1 });
		CHECK(!tcp_repairs(s.c) || tcp_repairs(s.c)->count <= TCP_MAX_REPAIRS);
	}
	/* One for each that arrived since recovery began with the third (RFC 6937). */
	CHECK_EQ(s.count - s.next, 98);
	for (uint32_t i = 0; i < 2 * 98; i += 2)
		CHECK_EQ(s.seen[s.next++].seq, 1 + i * 1448);
	send_segment(&s, A, 1, 1 + 200 * 1448, 0);
	CHECK(!tcp_repairs(s.c));
	script_end(&s);
}

/* More times of transmission in flight than marks. */
static void sent_marks(void)
{
	begin_wide("marks of transmission full: they get coarser, and nothing seems lost or late");
	for (uint32_t i = 0; i < 4 * TCP_SENT_MARKS; i++) {
		user_write(&s, 1448);
		wait_ns(&s, MS / 10);
	}
	const struct tcp_sent_log *log = s.c->loss->sent;
	CHECK(log->count > TCP_SENT_MARKS / 4 && log->count <= TCP_SENT_MARKS);
	uint64_t span_ns = log->mark[log->count - 1].last_ns - log->mark[0].first_ns;
	CHECK(log->grain_ns && log->grain_ns <= span_ns / (TCP_SENT_MARKS / 4));
	uint64_t sent = s.count;
	send_segment(&s, A, 1, 1 + 4 * TCP_SENT_MARKS * 1448, 0);
	CHECK(!s.c->loss);
	CHECK_EQ(s.count, sent);
	s.next = s.count;
	script_end(&s);
}

static void reassembly(void)
{
	script_begin(&s, "reassembly queue full: segments are dropped, and taken when sent again");
	s.scaling = true;
	script_listen(&s, 16);
	tcp_set_option(s.listener, TCP_OPTION_RECEIVE_BUFFER, 64 << 20);
	script_accept(&s);
	const uint32_t most = TCP_MAX_OUT_OF_ORDER, beyond = 2 + 2 * most;
	for (uint32_t i = 0; i < most; i++) /* each second byte */
		send_quietly(A, 2 + 2 * i, 1, 1);
	CHECK(s.c->reassembly);
	CHECK_EQ(s.c->reassembly->count, most);
	send_segment(&s, A, beyond, 1, 1);
	CHECK_EQ(s.c->reassembly->count, most);
	CHECK_EQ(tcp_receive_available(s.c), 0);
	for (uint32_t i = 0; i < most; i++)
		send_quietly(A, 1 + 2 * i, 1, 1);
	CHECK_EQ(tcp_receive_available(s.c), 2 * most);
	CHECK(!s.c->reassembly || !s.c->reassembly->count);
	send_segment(&s, A, beyond - 1, 1, 2);
	CHECK_EQ(tcp_receive_available(s.c), 2 * most + 2);
	const uint8_t *data;
	uint32_t at = 1;
	for (int64_t n; at < beyond + 1; at += (uint32_t)n) {
		n = tcp_receive_peek(s.c, 0, &data);
		CHECK(n > 0);
		for (uint32_t i = 0; i < n; i++)
			CHECK_EQ(data[i], (uint8_t)(at + i));
		tcp_receive_consume(s.c, (uint64_t)n);
	}
	script_end(&s);
}

static void flush_budget(void)
{
	enum { CONNECTIONS = 600 };
	struct tcp_connection *all[CONNECTIONS];
	uint8_t *room;
	script_begin(&s, "a flush sends 512 segments, the next the rest");
	script_listen(&s, 16);
	for (uint32_t i = 0; i < CONNECTIONS; i++)
		all[i] = accept_next(i);
	s.count = s.next = 0;
	for (uint32_t i = 0; i < CONNECTIONS; i++) {
		CHECK_EQ(tcp_send_reserve(all[i], 10, &room), 10);
		tcp_send_commit(all[i], 10, false);
	}
	flush_hosts(&s);
	CHECK_EQ(s.count, TCP_FLUSH_BUDGET);
	flush_hosts(&s);
	CHECK_EQ(s.count, CONNECTIONS);
	for (uint32_t i = 0; i < CONNECTIONS; i++) {
		tcp_abort(all[i]);
		tcp_close(all[i]);
	}
	script_end(&s);
}

static void challenges(void)
{
	enum { CONNECTIONS = TCP_CHALLENGE_PER_SECOND + 1 };
	static struct tcp_connection *all[CONNECTIONS];
	static uint32_t iss[CONNECTIONS];
	script_begin(&s, "challenge ACKs: a thousand per second from the whole stack");
	script_listen(&s, 16);
	for (uint32_t i = 0; i < CONNECTIONS; i++) {
		all[i] = accept_next(i);
		iss[i] = s.iss;
	}
	wait_ns(&s, SECOND - s.wire.now_ns % SECOND);
	for (int second = 0; second < 2; second++) {
		uint32_t answered = 0;
		for (uint32_t i = 0; i < CONNECTIONS; i++) {
			uint32_t number = second ? CONNECTIONS - 1 - i : i;
			next_peer(number);
			s.iss = iss[number];
			s.iss_known = true;
			send_quietly(TCP_SYN, 100, 0, 0);
			if (answered < TCP_CHALLENGE_PER_SECOND)
				expect(&s, A, 1, 1, 0), answered++;
			expect_silence(&s);
		}
		CHECK_EQ(answered, TCP_CHALLENGE_PER_SECOND);
		wire_run_for(&s.wire, SECOND);
	}
	for (uint32_t i = 0; i < CONNECTIONS; i++) {
		CHECK_EQ(tcp_get_state(all[i]), TCP_ESTABLISHED);
		tcp_abort(all[i]);
		tcp_close(all[i]);
	}
	script_end(&s);
}

/* That connects run out of them: tcp_socket_test.c. */
static void ephemeral_ports(void)
{
	enum { PORTS = EPHEMERAL_PORT_LAST - EPHEMERAL_PORT_FIRST + 1 };
	static struct tcp_connection *all[PORTS];
	const struct endpoint any = { { 0 }, 0 };
	struct tcp_connection *c;
	script_begin(&s, "all ephemeral ports are bound");
	struct stack *stack = s.wire.host[0].stack;
	for (uint32_t i = 0; i < PORTS; i++) {
		CHECK_EQ(tcp_open(stack, &all[i], NULL, NULL), 0);
		CHECK_EQ(tcp_bind(all[i], any, false, false), 0);
	}
	CHECK_EQ(tcp_open(stack, &c, NULL, NULL), 0);
	CHECK_EQ(tcp_bind(c, any, false, false), -EADDRINUSE);
	CHECK_EQ(tcp_listen(c, 5), -EADDRINUSE);
	CHECK_EQ(tcp_connect(c, (struct endpoint){ s.wire.host[1].address, PEER_PORT }),
	         -EADDRNOTAVAIL);
	CHECK_EQ(tcp_bind(c, (struct endpoint){ { 0 }, EPHEMERAL_PORT_LAST + 1 }, false, false), 0);
	tcp_close(c);
	uint16_t port = tcp_local(all[123]).port;
	tcp_close(all[123]);
	CHECK_EQ(tcp_open(stack, &all[123], NULL, NULL), 0);
	CHECK_EQ(tcp_bind(all[123], any, false, false), 0);
	CHECK_EQ(tcp_local(all[123]).port, port);
	for (uint32_t i = 0; i < PORTS; i++)
		tcp_close(all[i]);
	CHECK_EQ(stack_tcp(stack)->ports.count, 0);
	script_end(&s);
}

/* ---- autotuning's bounds: a path that could use more ---- */

struct transfer {
	struct wire wire;
	struct tcp_connection *listener, *sender, *receiver;
	bool reads;
};

static void pump(struct transfer *t)
{
	uint8_t *room;
	const uint8_t *bytes;
	int64_t n;
	if (!t->receiver)
		t->receiver = tcp_accept(t->listener);
	while ((n = tcp_send_reserve(t->sender, 131072, &room)) > 0)
		tcp_send_commit(t->sender, (uint32_t)n, false);
	CHECK(n == -EAGAIN);
	while (t->reads && t->receiver && (n = tcp_receive_peek(t->receiver, 0, &bytes)) > 0)
		tcp_receive_consume(t->receiver, (uint64_t)n);
	for (int i = 0; i < 2; i++)
		loop_flush(&t->wire.host[i].loop);
}

static void autotuning(bool receiver_is_bound)
{
	struct transfer *t = calloc(1, sizeof(*t));
	CHECK(t);
	t->reads = true;
	const struct impairments path = { .delay_ns = 50 * MS,
		                          .offloads = NETIF_TX_CSUM | NETIF_TX_TSO4 };
	wire_create(&t->wire, &path, 5);
	struct tcp_stack *from = stack_tcp(t->wire.host[0].stack),
	                 *to = stack_tcp(t->wire.host[1].stack);
	CHECK_EQ(from->send_max, 4 << 20);
	CHECK_EQ(to->receive_max, 6 << 20);
	if (receiver_is_bound) /* the other one's bound is out of the way */
		from->send_max = 64 << 20;
	else
		to->receive_max = 64 << 20;
	CHECK_EQ(tcp_open(t->wire.host[1].stack, &t->listener, NULL, NULL), 0);
	CHECK_EQ(tcp_open(t->wire.host[0].stack, &t->sender, NULL, NULL), 0);
	CHECK_EQ(tcp_bind(t->listener, (struct endpoint){ { 0 }, 80 }, true, false), 0);
	CHECK_EQ(tcp_listen(t->listener, 1), 0);
	CHECK_EQ(tcp_connect(t->sender, (struct endpoint){ t->wire.host[1].address, 80 }), 0);
	const int64_t bound = receiver_is_bound ? to->receive_max : from->send_max;
	int64_t reached = 0;
	for (uint64_t until = t->wire.now_ns + 4 * SECOND; t->wire.now_ns < until;) {
		CHECK(wire_step(&t->wire));
		if (!t->receiver || list_is_empty(&t->wire.frames) ||
		    wire_next_event(&t->wire) > t->wire.now_ns)
			pump(t);
		if (t->receiver)
			reached = receiver_is_bound
			                  ? tcp_get_option(t->receiver, TCP_OPTION_RECEIVE_BUFFER)
			                  : tcp_get_option(t->sender, TCP_OPTION_SEND_BUFFER);
		CHECK(reached <= bound);
	}
	CHECK_EQ(reached, bound);
	wire_verify(&t->wire);
	t->reads = false; /* the window shuts; what fits is held, and no more */
	wire_run_for(&t->wire, 1 * SECOND);
	CHECK(tcp_receive_available(t->receiver) <= to->receive_max);
	tcp_abort(t->sender);
	tcp_close(t->sender);
	tcp_close(t->receiver);
	tcp_close(t->listener);
	wire_run_for(&t->wire, 1 * SECOND);
	wire_destroy(&t->wire);
	free(t);
}

int main(void)
{
	time_wait();
	orphans();
	scoreboard();
	repairs();
	sent_marks();
	reassembly();
	flush_budget();
	challenges();
	ephemeral_ports();
	autotuning(true);
	autotuning(false);
	printf("ok\n");
	return 0;
}
