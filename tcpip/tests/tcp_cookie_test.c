/* SYN cookies: when they are sent, what they keep, how long they live, and who cannot make one. */
#include "tcpip/tests/tcp_script.h"

#define MINUTE (60 * SECOND)

static struct script s;

static const struct stack_statistics *counters(void)
{
	return stack_counters(s.wire.host[0].stack);
}

static struct tcp_stack *tcp(void)
{
	return stack_tcp(s.wire.host[0].stack);
}

/* The answer to a SYN of that port, to which s.iss and s.echo belong from now on. */
static const struct seen *syn(uint16_t port)
{
	s.peer_port = port;
	s.iss_known = false;
	s.count = s.next = 0;
	send_segment(&s, TCP_SYN, 0, 0, 0);
	return expect(&s, TCP_SYN | A, 0, 1, 0);
}

/* As many half-open connections as the backlog allows, from ports above 20000. */
static void fill(uint16_t backlog)
{
	for (uint16_t i = 0; i <= backlog; i++)
		syn((uint16_t)(20000 + i));
	CHECK_EQ(counters()->tcp_cookies_sent, 0);
}

static void begin_full(const char *name, uint16_t backlog)
{
	script_begin(&s, name);
	script_listen(&s, backlog);
	fill(backlog);
}

static void acknowledge(void)
{
	s.timestamp++;
	send_segment(&s, A, 1, 1, 0);
}

/* The handshake's last segment; what it leads to in s.c. */
static void take(void)
{
	acknowledge();
	s.c = tcp_accept(s.listener);
}

static void expect_reset(void)
{
	const struct seen *g = &s.seen[s.next];
	if (s.next == s.count)
		wait_ns(&s, MS); /* for ARP, after a long pause */
	CHECK_EQ(s.count - s.next, 1);
	CHECK_EQ(g->flags, TCP_RST);
	CHECK(!tcp_accept(s.listener));
	s.next = s.count;
}

/* ---- what is kept ---- */

static void options_of(bool timestamps, bool sack, bool scaling, uint8_t wscale)
{
	begin_full("options", 1);
	s.timestamps = timestamps;
	s.sack = sack;
	s.scaling = scaling;
	s.wscale = wscale;
	bool kept_sack = timestamps && sack, kept_scale = timestamps && scaling;
	uint32_t now = tcp_now_ms(tcp()), half_open = tcp()->request_count;
	const struct seen *answer = syn(7000);
	CHECK_EQ(tcp()->request_count, half_open);
	CHECK_EQ(counters()->tcp_cookies_sent, 1);
	CHECK_EQ(answer->options.mss, 1460);
	CHECK_EQ(answer->options.has_timestamp, timestamps);
	CHECK_EQ(answer->options.sack_permitted, kept_sack);
	CHECK_EQ(answer->options.has_window_scale, kept_scale);
	uint32_t clock = s.echo, window = answer->window;
	take();
	CHECK(s.c);
	expect_silence(&s);
	CHECK_EQ(s.c->timestamps, timestamps);
	CHECK_EQ(s.c->sack, kept_sack);
	CHECK_EQ(s.c->window_scaling, kept_scale);
	CHECK_EQ(s.c->snd_wscale, kept_scale ? wscale : 0);
	CHECK_EQ(s.c->snd_wnd, (uint32_t)s.window << s.c->snd_wscale);
	CHECK_EQ(tcp_receive_window(s.c), window);
	CHECK_EQ(s.c->srtt_us8, 0); /* no time was measured */
	if (timestamps) {           /* never from the future, and what follows is not older */
		uint32_t told = clock - s.c->timestamp_offset;
		CHECK(told <= now && told + 128 > now);
	}
	user_write(&s, 1000);
	expect(&s, A, 1, 1, 1000);
	CHECK(!timestamps || (int32_t)(s.echo - clock) >= 0);
	send_segment(&s, A, 1, 1001, 500);
	CHECK_EQ(tcp_receive_available(s.c), 500);
	script_end(&s);
}

static void options(void)
{
	for (uint32_t i = 0; i < 8; i++)
		options_of(i & 1, i & 2, i & 4, 7);
	for (uint8_t scale = 0; scale <= TCP_MAX_WSCALE; scale++)
		options_of(true, true, true, scale);

	static const uint16_t sizes[][2] = { { 1, 536 },     { 536, 536 },   { 1299, 536 },
		                             { 1300, 1300 }, { 1440, 1440 }, { 1459, 1440 },
		                             { 1460, 1460 }, { 9000, 1460 } };
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		begin_full("maximum segment size", 0);
		s.mss = sizes[i][0];
		syn(7000);
		take();
		CHECK(s.c);
		CHECK_EQ(s.c->peer_mss, sizes[i][1]);
		CHECK_EQ(s.c->snd_mss, sizes[i][1]);
		script_end(&s);
	}
}

/* ---- when they are sent ---- */

static void backlogs(void)
{
	for (uint16_t backlog = 0; backlog < 3; backlog++) {
		begin_full("cookies begin where the backlog ends", backlog);
		syn(7000);
		CHECK_EQ(counters()->tcp_cookies_sent, 1);
		take();
		CHECK(s.c);
		wait_ns(&s, 64 * SECOND); /* the half-open connections are given up */
		CHECK_EQ(tcp()->request_count, 0);
		syn(7001);
		CHECK_EQ(counters()->tcp_cookies_sent, 1);
		CHECK_EQ(tcp()->request_count, 1);
		script_end(&s);
	}

	begin_full("a larger backlog ends them", 0);
	CHECK_EQ(tcp_listen(s.listener, 1), 0);
	syn(7000);
	CHECK_EQ(counters()->tcp_cookies_sent, 0);
	script_end(&s);

	begin_full("accept queue full: neither cookies nor what comes with them", 0);
	syn(7000);
	uint32_t late = s.iss;
	syn(7001);
	acknowledge();
	CHECK(tcp_readiness(s.listener) & NET_READABLE);
	s.peer_port = 7002;
	send_segment(&s, TCP_SYN, 0, 0, 0);
	s.peer_port = 7000;
	s.iss = late;
	acknowledge();
	expect_silence(&s);
	CHECK_EQ(counters()->tcp_listen_overflows, 2);
	struct tcp_connection *first = tcp_accept(s.listener);
	CHECK(first && !tcp_accept(s.listener));
	send_segment(&s, A, 1, 1, 300); /* the peer repeats its data, which makes the connection */
	s.c = tcp_accept(s.listener);
	CHECK(s.c);
	CHECK_EQ(tcp_receive_available(s.c), 300);
	tcp_close(first);
	script_end(&s);

	begin_full("data and FIN in the last segment of the handshake", 0);
	syn(7000);
	send_segment(&s, A | TCP_FIN, 1, 1, 300);
	s.c = tcp_accept(s.listener);
	CHECK(s.c);
	expect_state(&s, TCP_CLOSE_WAIT);
	CHECK_EQ(tcp_receive_available(s.c), 300);
	script_end(&s);

	begin_full("TCP_DEFER_ACCEPT does not know them, as on Linux", 0);
	tcp_set_option(s.listener, TCP_OPTION_DEFER_ACCEPT_S, 5);
	syn(7000);
	take();
	CHECK(s.c);
	script_end(&s);
}

/* What waits is accepted, and ends in TIME_WAIT. */
static void take_and_end(void)
{
	take();
	CHECK(s.c);
	tcp_close(s.c);
	s.c = NULL;
	flush_hosts(&s);
	send_segment(&s, TCP_FIN | A, 1, 2, 0);
	CHECK_EQ(tcp()->time_wait_count, 1);
}

/* A connection from that port comes and ends. */
static void time_wait_from(uint16_t port)
{
	syn(port);
	take_and_end();
}

/* Two listeners fill what there is for the whole stack. */
static void table(void)
{
	struct tcp_connection *other;
	script_begin(&s, "half-open connections are bounded; the oldest stay");
	script_listen(&s, TCP_MAX_BACKLOG);
	time_wait_from(1023);
	CHECK_EQ(tcp_open(s.wire.host[0].stack, &other, NULL, NULL), 0);
	CHECK_EQ(tcp_bind(other, (struct endpoint){ { 0 }, 81 }, true, false), 0);
	CHECK_EQ(tcp_listen(other, TCP_MAX_BACKLOG), 0);
	uint32_t oldest = 0;
	for (uint32_t i = 0; i < TCP_MAX_REQUESTS + 500; i++) {
		s.peer_port = (uint16_t)(1024 + i);
		s.our_port = i > TCP_MAX_BACKLOG ? 81 : 80;
		s.iss_known = false;
		inject_unverified(&s, (struct sending){ .flags = TCP_SYN });
		oldest = i ? oldest : s.iss;
	}
	wire_verify(&s.wire);
	CHECK_EQ(tcp()->request_count, TCP_MAX_REQUESTS);
	CHECK_EQ(counters()->tcp_cookies_sent, 500);
	CHECK_EQ(counters()->tcp_syn_dropped, 0);
	s.our_port = 80;
	s.peer_port = 1024;
	s.iss = oldest;
	take();
	CHECK(s.c);
	CHECK_EQ(counters()->tcp_cookies_received, 0);
	syn(900);
	CHECK_EQ(tcp()->request_count, TCP_MAX_REQUESTS);
	s.peer_port = 1023; /* but for a TIME_WAIT's successor the oldest gives way */
	s.iss_known = false;
	send_segment(&s, TCP_SYN, 1000, 0, 0);
	CHECK_EQ(tcp()->time_wait_count, 0);
	CHECK_EQ(tcp()->request_count, TCP_MAX_REQUESTS);
	CHECK_EQ(counters()->tcp_syn_dropped, 1);
	CHECK_EQ(counters()->tcp_cookies_sent, 500);
	s.count = s.next = 0;
	s.peer_port = 1025;
	send_segment(&s, A, 1, 1, 0);
	CHECK_EQ(s.seen[0].flags, TCP_RST);
	tcp_close(other);
	script_end(&s);

	begin_full("the successor of a TIME_WAIT is no cookie's", 0);
	time_wait_from(7000);
	s.iss_known = false;
	send_segment(&s, TCP_SYN, 1000, 0, 0);
	CHECK_EQ(tcp()->time_wait_count, 0);
	CHECK_EQ(tcp()->request_count, 2);
	CHECK_EQ(counters()->tcp_cookies_sent, 1);
	script_end(&s);
}

/* ---- how long they live ---- */

/* A cookie that is sent `into` the minute and answered after `age`, while others are sent. */
static bool is_good(uint64_t into, uint64_t age)
{
	begin_full("age", 0);
	wait_ns(&s, 64 * SECOND); /* the SYN-ACKs of the half-open connection are over */
	wait_ns(&s, MINUTE - s.wire.now_ns % MINUTE + into);
	syn(20000);
	syn(7000);
	uint32_t iss = s.iss;
	CHECK_EQ(counters()->tcp_cookies_sent, 1);
	wait_ns(&s, age - MS);
	if (!tcp()->request_count)
		syn(20000);
	syn(7001);
	CHECK_EQ(counters()->tcp_cookies_sent, 2);
	wait_ns(&s, MS);
	s.count = s.next = 0;
	s.peer_port = 7000;
	s.iss = iss;
	take();
	bool good = s.c;
	CHECK_EQ(counters()->tcp_cookies_failed, !good);
	CHECK_EQ(counters()->tcp_cookies_received, good);
	if (!good)
		expect_reset();
	script_end(&s);
	return good;
}

static void ages(void)
{
	CHECK(is_good(0, MS));
	CHECK(is_good(0, 119 * SECOND));
	CHECK(!is_good(0, 120 * SECOND));
	CHECK(is_good(59 * SECOND, 60 * SECOND));
	CHECK(!is_good(59 * SECOND, 61 * SECOND));
	CHECK(!is_good(0, 256 * MINUTE)); /* the counter's 8 bits are around again */

	begin_full("without cookies of late nothing is looked at", 0);
	acknowledge();
	s.c = tcp_accept(s.listener); /* the half-open one */
	CHECK(s.c);
	s.peer_port = 7000;
	acknowledge();
	expect_reset();
	CHECK_EQ(counters()->tcp_cookies_failed, 0);
	syn(20001);
	syn(7000);
	wait_ns(&s, 119 * SECOND);
	s.count = s.next = 0;
	s.peer_port = 7002;
	acknowledge();
	expect_reset();
	CHECK_EQ(counters()->tcp_cookies_failed, 1);
	wait_ns(&s, 2 * SECOND);
	acknowledge();
	expect_reset();
	CHECK_EQ(counters()->tcp_cookies_failed, 1);
	script_end(&s);
}

/* ---- who cannot make one ---- */

static void forged(void)
{
	struct random_source r = { 7 };
	begin_full("forged numbers", 0);
	s.timestamps = true;
	syn(7000);
	uint32_t iss = s.iss;
	for (uint32_t i = 1; i <= 20000; i++) {
		s.count = s.next = 0;
		s.iss = (uint32_t)random_next(&r);
		acknowledge();
		expect_reset();
		CHECK_EQ(counters()->tcp_cookies_failed, i);
	}
	for (int bit = 2; bit < 32; bit++) { /* bits 0 and 1 can only tell another size */
		s.iss = iss ^ 1u << bit;
		acknowledge();
		expect_reset();
	}
	s.iss = iss;
	for (uint32_t ahead = 1; ahead < 8; ahead++) { /* what came first was lost */
		send_segment(&s, A, 1 + ahead, 1, 100);
		expect_reset();
	}
	send_segment(&s, TCP_SYN | A, 1, 1, 0);
	expect_reset();
	s.peer_port = 7001; /* another flow */
	acknowledge();
	expect_reset();
	s.peer_port = 7000;
	inject(&s, (struct sending){ .flags = A, .seq = 1, .ack = 1, .from = ipv4(10, 0, 0, 9) });
	CHECK(!tcp_accept(s.listener));
	tcp()->secret[0] ^= 1; /* another machine */
	s.count = s.next = 0;
	acknowledge();
	expect_reset();
	tcp()->secret[0] ^= 1;
	CHECK_EQ(counters()->tcp_cookies_received, 0);
	CHECK_EQ(tcp()->request_count, 1);
	take(); /* and the true one is still good */
	CHECK(s.c);
	script_end(&s);
}

/* Nothing remembers that a cookie was used: within its time it is good for a connection again, once
 * the first is gone. It is what RFC 4987 §3.6 pays. */
static void replayed(void)
{
	begin_full("replay", 0);
	syn(7000);
	take();
	CHECK(s.c);
	acknowledge();
	CHECK(!tcp_accept(s.listener));
	CHECK_EQ(counters()->tcp_cookies_received, 1);
	send_segment(&s, TCP_RST, 1, 0, 0);
	expect_state(&s, TCP_CLOSED);
	tcp_close(s.c);
	take_and_end();
	acknowledge();
	CHECK(!tcp_accept(s.listener));
	CHECK_EQ(counters()->tcp_cookies_received, 2);
	script_end(&s);

	begin_full("a listener that was closed leaves nothing behind", 0);
	syn(7000);
	tcp_close(s.listener);
	s.listener = NULL;
	s.count = s.next = 0;
	acknowledge();
	CHECK_EQ(s.seen[0].flags, TCP_RST);
	script_listen(&s, 0);
	s.count = s.next = 0;
	acknowledge();
	expect_reset();
	CHECK_EQ(counters()->tcp_cookies_received, 0);
	script_end(&s);
}

/* ---- a flood ---- */

#define FLOOD    100000
#define TRANSFER (1 << 20)

/* A real client, a round trip of 100 ms away, connects and sends while 100 spoofed SYNs come in
 * every millisecond: in the old days of a table whose oldest entry gives way, none lived as long as
 * that round trip. */
static void flood(uint16_t backlog)
{
	struct random_source r = { 11 };
	struct tcp_connection *client;
	uint32_t sent = 0, received = 0;
	script_begin(&s, "flood");
	s.wire.cut = false;
	s.wire.impairments.delay_ns = 50 * MS;
	script_listen(&s, backlog);
	CHECK_EQ(tcp_open(s.wire.host[1].stack, &client, NULL, NULL), 0);
	for (uint32_t i = 0; i < FLOOD; i++) {
		s.peer_port = (uint16_t)(1024 + random_below(&r, 60000));
		struct ipv4_address from =
		        ipv4(198, 18, (uint8_t)random_next(&r), (uint8_t)random_next(&r));
		inject_unverified(&s, (struct sending){ .flags = TCP_SYN, .from = from });
		if (i == FLOOD / 5)
			CHECK_EQ(tcp_connect(client,
			                     (struct endpoint){ s.wire.host[0].address, OUR_PORT }),
			         0);
		if (i % 100 != 99)
			continue;
		wire_run_for(&s.wire, MS);
		const uint8_t *data;
		uint8_t *room;
		int64_t n;
		if (!s.c)
			s.c = tcp_accept(s.listener);
		while (tcp_get_state(client) == TCP_ESTABLISHED && sent < TRANSFER &&
		       (n = tcp_send_reserve(client, TRANSFER - sent, &room)) > 0) {
			memset(room, 'x', (size_t)n);
			tcp_send_commit(client, (uint32_t)n, false);
			sent += (uint32_t)n;
		}
		while (s.c && (n = tcp_receive_peek(s.c, 0, &data)) > 0) {
			tcp_receive_consume(s.c, (uint64_t)n);
			received += (uint32_t)n;
		}
	}
	CHECK_EQ(tcp()->request_count, backlog + 1u);
	CHECK_EQ(counters()->tcp_cookies_sent + backlog + 1, FLOOD + 1);
	CHECK_EQ(counters()->tcp_cookies_received, 1);
	CHECK_EQ(stack_counters(s.wire.host[1].stack)->tcp_retransmits, 0);
	CHECK(s.c && s.c->sack && s.c->window_scaling);
	CHECK_EQ(received, TRANSFER);
	tcp_close(client);
	script_end(&s);
}

int main(void)
{
	options();
	backlogs();
	table();
	ages();
	forged();
	replayed();
	flood(5);
	flood(TCP_MAX_BACKLOG);
	return 0;
}
