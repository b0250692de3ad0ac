/*
 * RFC 9293 §3.10.7.4 "segment arrives", with RFC 5961's rules, as a table: every synchronized
 * state, every kind of segment, and every place relative to the window. And the handshakes and
 * closes themselves, step by step.
 */
#include "tcpip/tests/tcp_script.h"

#define WINDOW                                                                                     \
	65160u /* our first window towards a peer with timestamps; without: a multiple of 1460 */

/* ---- bring a connection into a state; returns the peer's next sequence number and ACK ---- */

struct position {
	uint32_t seq, ack;
};

static struct position enter(struct script *s, enum tcp_state state)
{
	script_accept(s);
	struct position p = { 1, 1 };
	if (state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK) {
		send_segment(s, TCP_FIN | A, 1, 1, 0);
		expect(s, A, 1, 2, 0);
		p.seq = 2;
	}
	if (state == TCP_FIN_WAIT_1 || state == TCP_FIN_WAIT_2 || state == TCP_CLOSING ||
	    state == TCP_LAST_ACK) {
		CHECK_EQ(tcp_shutdown(s->c, false, true), 0);
		flush_hosts(s);
		expect(s, TCP_FIN | A, 1, p.seq, 0);
	}
	if (state == TCP_FIN_WAIT_2) {
		send_segment(s, A, 1, 2, 0);
		p.ack = 2;
	}
	if (state == TCP_CLOSING) {
		send_segment(s, TCP_FIN | A, 1, 1, 0);
		expect(s, A, 2, 2, 0);
		p.seq = 2;
	}
	expect_state(s, state);
	expect_silence(s);
	return p;
}

enum answer {
	SILENT, /* nothing is sent, the state stays */
	ACKED,  /* an ACK of what was received before, the state stays */
	RESET,  /* the connection is reset without an answer */
	TAKEN,  /* a FIN or data was accepted and acknowledged */
};

struct row {
	const char *name;
	uint8_t flags;
	int32_t offset; /* of the sequence number from RCV.NXT */
	int32_t ack;    /* of the acknowledgement from SND.UNA */
	uint32_t length;
	enum answer answer;
};

/* In the states in which the peer may still send (ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2). */
static const struct row rows[] = {
	{ "old ACK number's twin", A, 0, 0, 0, SILENT },
	{ "ACK left of the window", A, -1, 0, 0, ACKED }, /* a keep-alive probe */
	{ "ACK far left", A, -100000, 0, 0, ACKED },
	{ "ACK right of the window", A, 70000, 0, 0, ACKED },
	{ "no ACK", 0, 0, 0, 0, SILENT },
	{ "ACK of what was never sent", A, 0, 50000, 0, ACKED },
	{ "very old ACK", A, 0, -100000, 0, ACKED },
	{ "data entirely old", A, -100, 0, 100, ACKED },
	{ "data far right", A, 70000, 0, 100, ACKED },
	{ "RST exactly", TCP_RST, 0, 0, 0, RESET },
	{ "RST with ACK", TCP_RST | A, 0, 0, 0, RESET },
	{ "RST in the window", TCP_RST, 1, 0, 0, ACKED },
	{ "RST at the window's end", TCP_RST, 60000, 0, 0, ACKED },
	{ "RST left of the window", TCP_RST, -1, 0, 0, SILENT },
	{ "RST right of the window", TCP_RST, 70000, 0, 0, SILENT },
	{ "SYN exactly", TCP_SYN, 0, 0, 0, ACKED },
	{ "SYN in the window", TCP_SYN, 1000, 0, 0, ACKED },
	{ "SYN left of the window", TCP_SYN, -1000, 0, 0, ACKED },
	{ "SYN right of the window", TCP_SYN, 70000, 0, 0, ACKED },
	{ "SYN-ACK", TCP_SYN | A, 0, 0, 0, ACKED },
	{ "SYN-ACK of old", TCP_SYN | A, -1, 0, 0, ACKED },
	{ "SYN and RST", TCP_SYN | TCP_RST, 0, 0, 0, RESET },
	{ "FIN", TCP_FIN | A, 0, 0, 0, TAKEN },
	{ "FIN without ACK", TCP_FIN, 0, 0, 0, SILENT },
	{ "FIN left of the window", TCP_FIN | A, -1, 0, 0, ACKED },
	{ "FIN right of the window", TCP_FIN | A, 70000, 0, 0, ACKED },
	{ "FIN beyond a hole", TCP_FIN | A, 10, 0, 0, ACKED },
	{ "data", A, 0, 0, 2000, TAKEN },
	{ "data that straddles the left edge", A, -50, 0, 2050, TAKEN },
	{ "data beyond a hole", A, 100, 0, 100, ACKED },
	{ "data with FIN", TCP_FIN | A, 0, 0, 100, TAKEN },
	{ "all flags", 0xff, 0, 0, 0, RESET },
	{ "no flags but URG", TCP_URG, 0, 0, 0, SILENT },
};

static void check_answer(struct script *s, const struct row *row, struct position p,
                         enum tcp_state state)
{
	switch (row->answer) {
	case SILENT:
		expect_silence(s);
		expect_state(s, state);
		break;
	case ACKED:
		expect(s, A, tcp_is_drained(s->c) || s->c->fin_sent ? 2 : 1, p.seq, 0);
		expect_silence(s);
		expect_state(s, state);
		break;
	case RESET:
		expect_silence(s);
		expect_state(s, TCP_CLOSED);
		CHECK_EQ(tcp_take_error(s->c), ECONNRESET);
		break;
	case TAKEN: {
		uint32_t fresh = row->length + (uint32_t)row->offset;
		expect(s, A, s->c->fin_sent || state == TCP_FIN_WAIT_2 ? 2 : 1,
		       p.seq + fresh + !!(row->flags & TCP_FIN), 0);
		CHECK_EQ(tcp_receive_available(s->c), fresh);
		if (!(row->flags & TCP_FIN))
			expect_state(s, state);
		else if (state == TCP_FIN_WAIT_1)
			expect_state(s, TCP_CLOSING);
		else if (state == TCP_FIN_WAIT_2)
			expect_state(s, TCP_CLOSED); /* a TIME_WAIT took its place */
		else
			expect_state(s, TCP_CLOSE_WAIT);
		break;
	}
	}
}

static void table_run(enum tcp_state state, const char *state_name, bool timestamps)
{
	static struct script s;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char name[128];
		snprintf(name, sizeof(name), "%s, %s%s", state_name, rows[i].name,
		         timestamps ? ", timestamps" : "");
		script_begin(&s, name);
		s.timestamps = timestamps;
		struct position p = enter(&s, state);
		wait_ns(&s, 1 * MS);
		send_segment(&s, rows[i].flags, p.seq + (uint32_t)rows[i].offset,
		             p.ack + (uint32_t)rows[i].ack, rows[i].length);
		check_answer(&s, &rows[i], p, state);
		script_end(&s);
	}
}

/* After the peer's FIN: the same segments may not change anything any more. */
static void closing_run(enum tcp_state state, const char *state_name)
{
	static struct script s;
	static const struct row after_fin[] = {
		{ "FIN again", TCP_FIN | A, -1, 0, 0, ACKED },
		{ "data after FIN", A, 0, 0, 100, ACKED },
		{ "data before FIN again", A, -101, 0, 100, ACKED },
		{ "SYN", TCP_SYN, 0, 0, 0, ACKED },
		{ "RST in the window", TCP_RST, 5, 0, 0, ACKED },
		{ "RST left", TCP_RST, -1, 0, 0, SILENT },
		{ "ACK of what was never sent", A, 0, 9999, 0, ACKED },
		{ "no ACK", 0, 0, 0, 0, SILENT },
	};
	for (size_t i = 0; i < sizeof(after_fin) / sizeof(after_fin[0]); i++) {
		char name[128];
		snprintf(name, sizeof(name), "%s, %s", state_name, after_fin[i].name);
		script_begin(&s, name);
		struct position p = enter(&s, state);
		wait_ns(&s, 600 * 1000);
		send_segment(&s, after_fin[i].flags, p.seq + (uint32_t)after_fin[i].offset,
		             p.ack + (uint32_t)after_fin[i].ack, after_fin[i].length);
		check_answer(&s, &after_fin[i], p, state);
		script_end(&s);
	}
}

/* ---- LISTEN and SYN_RECEIVED (a request) ---- */

static void listen_cases(void)
{
	static struct script s;
	static const struct {
		const char *name;
		uint8_t flags, answer;
	} cases[] = {
		{ "LISTEN, RST", TCP_RST, 0 },
		{ "LISTEN, ACK", A, TCP_RST },
		{ "LISTEN, RST and ACK", TCP_RST | A, 0 },
		{ "LISTEN, SYN", TCP_SYN, TCP_SYN | A },
		{ "LISTEN, SYN and ACK", TCP_SYN | A, TCP_RST },
		{ "LISTEN, SYN and RST", TCP_SYN | TCP_RST, 0 },
		{ "LISTEN, SYN and FIN", TCP_SYN | TCP_FIN, 0 },
		{ "LISTEN, nothing", 0, 0 },
		{ "LISTEN, FIN", TCP_FIN, 0 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		script_begin(&s, cases[i].name);
		script_listen(&s, 5);
		send_segment(&s, cases[i].flags, 0, 77, 0);
		if (!cases[i].answer)
			expect_silence(&s);
		else if (cases[i].answer == TCP_RST)
			expect(&s, TCP_RST, 77, 0, 0);
		else
			expect(&s, TCP_SYN | A, 0, 1, 0);
		script_end(&s);
	}
	script_begin(&s, "closed port");
	send_segment(&s, TCP_SYN, 0, 0, 0);
	expect(&s, TCP_RST | A, 0, 1, 0);
	send_segment(&s, A, 5, 9, 10);
	expect(&s, TCP_RST, 9, 0, 0);
	send_segment(&s, TCP_FIN, 5, 0, 10);
	expect(&s, TCP_RST | A, 0, 16, 0);
	send_segment(&s, TCP_RST, 5, 0, 0);
	expect_silence(&s);
	script_end(&s);
}

static void request_cases(void)
{
	static struct script s;
	static const struct {
		const char *name;
		uint8_t flags;
		uint32_t seq, ack;
		uint8_t answer; /* 0: silence */
		bool gone;
	} cases[] = {
		{ "SYN_RECEIVED, ACK of nothing", A, 1, 0, TCP_RST, false },
		{ "SYN_RECEIVED, ACK too high", A, 1, 2, TCP_RST, false },
		{ "SYN_RECEIVED, RST exactly", TCP_RST, 1, 0, 0, true },
		{ "SYN_RECEIVED, RST beside", TCP_RST, 2, 0, 0, false },
		{ "SYN_RECEIVED, left of the window", A, 0, 1, A, false },
		{ "SYN_RECEIVED, right of the window", A, 100000, 1, A, false },
		{ "SYN_RECEIVED, another SYN", TCP_SYN, 1000, 0, A, false },
		{ "SYN_RECEIVED, no ACK", 0, 1, 0, 0, false },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		script_begin(&s, cases[i].name);
		script_listen(&s, 5);
		send_segment(&s, TCP_SYN, 0, 0, 0);
		expect(&s, TCP_SYN | A, 0, 1, 0);
		send_segment(&s, cases[i].flags, cases[i].seq, cases[i].ack, 0);
		if (cases[i].answer == TCP_RST)
			expect(&s, TCP_RST, cases[i].ack, 0, 0);
		else if (cases[i].answer)
			expect(&s, A, 1, 1, 0);
		expect_silence(&s);
		CHECK_EQ(stack_tcp(s.wire.host[0].stack)->request_count, !cases[i].gone);
		script_end(&s);
	}
	script_begin(&s, "SYN_RECEIVED, SYN again");
	script_listen(&s, 5);
	send_segment(&s, TCP_SYN, 0, 0, 0);
	expect(&s, TCP_SYN | A, 0, 1, 0);
	send_segment(&s, TCP_SYN, 0, 0, 0);
	expect(&s, TCP_SYN | A, 0, 1, 0);
	send_segment(&s, TCP_FIN | A, 1, 1,
	             10); /* data and FIN with the last ACK of the handshake */
	s.c = tcp_accept(s.listener);
	CHECK(s.c);
	expect(&s, A, 1, 12, 0);
	expect_state(&s, TCP_CLOSE_WAIT);
	CHECK_EQ(tcp_receive_available(s.c), 10);
	script_end(&s);

	script_begin(&s, "SYN-ACK is repeated, then given up");
	script_listen(&s, 5);
	send_segment(&s, TCP_SYN, 0, 0, 0);
	expect(&s, TCP_SYN | A, 0, 1, 0);
	static const uint64_t at[] = { 1, 3, 7, 15, 31 };
	uint64_t start = s.wire.now_ns;
	wait_ns(&s, 200 * SECOND);
	for (int i = 0; i < 5; i++)
		CHECK_EQ((expect(&s, TCP_SYN | A, 0, 1, 0)->at_ns - start) / SECOND, at[i]);
	expect_silence(&s);
	CHECK_EQ(stack_tcp(s.wire.host[0].stack)->request_count, 0);
	script_end(&s);
}

/* ---- SYN_SENT ---- */

static void syn_sent_cases(void)
{
	static struct script s;
	static const struct {
		const char *name;
		uint8_t flags;
		uint32_t ack;
		uint8_t answer;
		int error;
	} cases[] = {
		{ "SYN_SENT, ACK of nothing", A, 0, TCP_RST, 0 },
		{ "SYN_SENT, ACK too high", A, 2, TCP_RST, 0 },
		{ "SYN_SENT, bare ACK", A, 1, 0, 0 },
		{ "SYN_SENT, RST", TCP_RST, 0, 0, 0 },
		{ "SYN_SENT, RST with wrong ACK", TCP_RST | A, 2, 0, 0 },
		{ "SYN_SENT, RST with ACK", TCP_RST | A, 1, 0, ECONNREFUSED },
		{ "SYN_SENT, SYN-ACK with wrong ACK", TCP_SYN | A, 9, TCP_RST, 0 },
		{ "SYN_SENT, FIN", TCP_FIN, 0, 0, 0 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		script_begin(&s, cases[i].name);
		script_connect(&s);
		send_segment(&s, cases[i].flags, 0, cases[i].ack, 0);
		if (cases[i].answer)
			expect(&s, TCP_RST, cases[i].ack, 0, 0);
		expect_silence(&s);
		expect_state(&s, cases[i].error ? TCP_CLOSED : TCP_SYN_SENT);
		CHECK_EQ(tcp_take_error(s.c), cases[i].error);
		script_end(&s);
	}

	script_begin(&s, "active open");
	s.timestamps = s.sack = s.scaling = true;
	s.wscale = 3;
	script_connect(&s);
	const struct seen *syn = &s.seen[0];
	CHECK(syn->options.mss == 1460 && syn->options.sack_permitted);
	CHECK(syn->options.has_timestamp && syn->options.window_scale == 7);
	CHECK_EQ(syn->window, 64240);
	send_segment(&s, TCP_SYN | A, 0, 1, 0);
	expect(&s, A, 1, 1, 0);
	expect_state(&s, TCP_ESTABLISHED);
	CHECK(tcp_readiness(s.c) == NET_WRITABLE);
	CHECK_EQ(s.c->snd_mss, 1448);
	script_end(&s);

	script_begin(&s, "simultaneous open");
	script_connect(&s);
	send_segment(&s, TCP_SYN, 0, 0, 0);
	expect(&s, TCP_SYN | A, 0, 1, 0);
	expect_state(&s, TCP_SYN_RECEIVED);
	send_segment(&s, TCP_SYN | A, 0, 1, 0);
	expect_state(&s, TCP_ESTABLISHED);
	user_write(&s, 10);
	expect(&s, A, 1, 1, 10);
	script_end(&s);

	script_begin(&s, "SYN is repeated, then ETIMEDOUT");
	uint64_t start = s.wire.now_ns;
	script_connect(&s);
	wait_ns(&s, 200 * SECOND);
	static const uint64_t at[] = { 1, 3, 7, 15, 31, 63 };
	for (int i = 0; i < 6; i++)
		CHECK_EQ((expect(&s, TCP_SYN, 0, 0, 0)->at_ns - start) / SECOND, at[i]);
	expect_silence(&s);
	CHECK_EQ(tcp_take_error(s.c), ETIMEDOUT);
	CHECK_EQ(tcp_connect(s.c, (struct endpoint){ s.wire.host[1].address, PEER_PORT }), 0);
	script_end(&s);
}

/* ---- closes ---- */

static void close_cases(void)
{
	static struct script s;
	script_begin(&s, "active close");
	struct position p = enter(&s, TCP_FIN_WAIT_2);
	send_segment(&s, TCP_FIN | A, p.seq, p.ack, 0);
	expect(&s, A, 2, 2, 0);
	expect_state(&s, TCP_CLOSED);
	CHECK_EQ(stack_tcp(s.wire.host[0].stack)->time_wait_count, 1);
	send_segment(&s, TCP_FIN | A, p.seq, p.ack,
	             0); /* our ACK was lost: TIME_WAIT answers, and starts over */
	expect(&s, A, 2, 2, 0);
	wait_ns(&s, 59 * SECOND);
	CHECK_EQ(stack_tcp(s.wire.host[0].stack)->time_wait_count, 1);
	wait_ns(&s, 2 * SECOND);
	CHECK_EQ(stack_tcp(s.wire.host[0].stack)->time_wait_count, 0);
	script_end(&s);

	script_begin(&s, "simultaneous close"); /* demikernel #1537 */
	p = enter(&s, TCP_CLOSING);
	wait_ns(&s, 1 * SECOND);
	const struct seen *again = expect(&s, TCP_FIN | A, 1, 2, 0); /* with the FIN bit */
	CHECK(again);
	while (s.next < s.count)
		expect(&s, TCP_FIN | A, 1, 2, 0);
	send_segment(&s, A, 2, 2, 0);
	expect_state(&s, TCP_CLOSED);
	CHECK_EQ(stack_tcp(s.wire.host[0].stack)->time_wait_count, 1);
	script_end(&s);

	script_begin(&s, "FIN and ACK of ours at once");
	enter(&s, TCP_FIN_WAIT_1);
	send_segment(&s, TCP_FIN | A, 1, 2, 0);
	expect(&s, A, 2, 2, 0);
	CHECK_EQ(stack_tcp(s.wire.host[0].stack)->time_wait_count, 1);
	script_end(&s);

	script_begin(&s, "passive close");
	enter(&s, TCP_LAST_ACK);
	send_segment(&s, A, 2, 2, 0);
	expect_state(&s, TCP_CLOSED);
	expect_silence(&s);
	CHECK_EQ(stack_tcp(s.wire.host[0].stack)->time_wait_count, 0);
	script_end(&s);

	script_begin(&s, "FIN is repeated"); /* demikernel #203 */
	enter(&s, TCP_FIN_WAIT_1);
	wait_ns(&s, 2 * SECOND);
	expect(&s, TCP_FIN | A, 1, 1, 0);
	expect(&s, TCP_FIN | A, 1, 1, 0);
	script_end(&s);
}

/* What close(2) sends besides a FIN, and what a socket that was closed answers. */
static void reset_cases(void)
{
	static struct script s;
	script_begin(&s, "close with unread data resets");
	script_accept(&s);
	send_segment(&s, A, 1, 1, 10);
	expect(&s, A, 1, 11, 0);
	tcp_close(s.c);
	s.c = NULL;
	flush_hosts(&s);
	expect(&s, TCP_RST | A, 1, 11, 0);
	script_end(&s);

	script_begin(&s, "linger 0 resets");
	script_accept(&s);
	CHECK_EQ(tcp_set_option(s.c, TCP_OPTION_LINGER_S, 0), 0);
	tcp_close(s.c);
	s.c = NULL;
	expect(&s, TCP_RST | A, 1, 1, 0);
	script_end(&s);

	script_begin(&s, "what was written before the reset is sent before it");
	script_accept(&s);
	CHECK_EQ(tcp_set_option(s.c, TCP_OPTION_LINGER_S, 0), 0);
	uint8_t *bytes;
	CHECK(tcp_send_reserve(s.c, 50, &bytes) >= 50);
	memset(bytes, 'x', 50);
	tcp_send_commit(s.c, 50, false);
	tcp_close(s.c);
	s.c = NULL;
	flush_hosts(&s);
	expect(&s, A, 1, 1, 50);
	expect(&s, TCP_RST | A, 51, 1, 0);
	script_end(&s);

	script_begin(&s, "data for a closed socket resets");
	script_accept(&s);
	tcp_close(s.c);
	s.c = NULL;
	flush_hosts(&s);
	expect(&s, TCP_FIN | A, 1, 1, 0);
	send_segment(&s, A, 1, 2, 10);
	expect(&s, TCP_RST, 2, 0, 0);
	CHECK_EQ(stack_counters(s.wire.host[0].stack)->tcp_live, 1);
	script_end(&s);

	script_begin(&s, "orphan in FIN_WAIT_2 ends");
	script_accept(&s);
	tcp_close(s.c);
	s.c = NULL;
	flush_hosts(&s);
	expect(&s, TCP_FIN | A, 1, 1, 0);
	send_segment(&s, A, 1, 2, 0);
	wait_ns(&s, 59 * SECOND);
	CHECK_EQ(stack_counters(s.wire.host[0].stack)->tcp_live, 2);
	wait_ns(&s, 2 * SECOND);
	CHECK_EQ(stack_counters(s.wire.host[0].stack)->tcp_live, 1);
	script_end(&s);

	script_begin(&s, "RST in CLOSE_WAIT is EPIPE");
	enter(&s, TCP_CLOSE_WAIT);
	send_segment(&s, TCP_RST, 2, 0, 0);
	expect_state(&s, TCP_CLOSED);
	uint8_t *room;
	CHECK_EQ(tcp_send_reserve(s.c, 1, &room), -EPIPE);
	CHECK_EQ(tcp_take_error(s.c), 0);
	script_end(&s);
}

#define GONE 9 /* the index of an interface that does not exist */

/* Bound to no interface that there is, it cannot reach its peer any more. */
static void lose_route(struct script *s)
{
	script_accept(s);
	CHECK_EQ(tcp_set_option(s->c, TCP_OPTION_INTERFACE, GONE), 0);
}

/* Without a way to the peer a connection gives up after as long as with a silent one. */
static void unroutable_cases(void)
{
	struct script s;
	script_begin(&s, "who writes without a route is told after a quarter of an hour");
	lose_route(&s);
	uint8_t *bytes;
	CHECK(tcp_send_reserve(s.c, 50, &bytes) >= 50);
	memset(bytes, 'x', 50);
	tcp_send_commit(s.c, 50, false);
	flush_hosts(&s);
	wait_ns(&s, 900 * SECOND);
	expect_state(&s, TCP_ESTABLISHED);
	wait_ns(&s, 200 * SECOND);
	expect_state(&s, TCP_CLOSED);
	CHECK_EQ(tcp_take_error(s.c), ENODEV);
	script_end(&s);

	script_begin(&s, "a route that comes back is used");
	lose_route(&s);
	CHECK(tcp_send_reserve(s.c, 50, &bytes) >= 50);
	memset(bytes, 'x', 50);
	tcp_send_commit(s.c, 50, false);
	flush_hosts(&s);
	wait_ns(&s, 10 * SECOND);
	expect_silence(&s);
	CHECK_EQ(tcp_set_option(s.c, TCP_OPTION_INTERFACE, 0), 0);
	wait_ns(&s, 20 * SECOND);
	expect(&s, A, 1, 1, 50);
	send_segment(&s, A, 1, 51, 0);
	expect_state(&s, TCP_ESTABLISHED);
	script_end(&s);
}

int main(void)
{
	for (int timestamps = 0; timestamps < 2; timestamps++) {
		table_run(TCP_ESTABLISHED, "ESTABLISHED", timestamps);
		table_run(TCP_FIN_WAIT_1, "FIN_WAIT_1", timestamps);
		table_run(TCP_FIN_WAIT_2, "FIN_WAIT_2", timestamps);
	}
	closing_run(TCP_CLOSE_WAIT, "CLOSE_WAIT");
	closing_run(TCP_CLOSING, "CLOSING");
	closing_run(TCP_LAST_ACK, "LAST_ACK");
	listen_cases();
	request_cases();
	syn_sent_cases();
	close_cases();
	reset_cases();
	unroutable_cases();
	printf("ok\n");
	return 0;
}
