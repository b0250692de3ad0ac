/* Scripts for the receiver: the RFCs' finer points, and what other stacks got wrong (named in the
 * comments: project and issue number). */
#include "tcpip/tests/tcp_script.h"

static struct script s;

/* A connection with all options, as Linux peers have it. */
static void begin_modern(const char *name)
{
	script_begin(&s, name);
	s.timestamps = s.sack = s.scaling = true;
	s.wscale = 7;
	s.window = 512; /* << 7: 65536 */
	script_listen(&s, 16);
	script_accept(&s);
}

static void begin_plain(const char *name)
{
	script_begin(&s, name);
	script_accept(&s);
}

/* ---- receiving ---- */

/* Two full segments in one packet. */
static void send_merged(uint32_t seq)
{
	inject(&s, (struct sending){
	                   .flags = A, .seq = seq, .ack = 1, .length = 2920, .gso_size = 1460 });
}

static void holding(void)
{
	begin_plain("the ACK of a merged packet is held for those behind it until the hart idles");
	struct stack *stack = s.wire.host[0].stack;
	s.c->quickack_asked = false;
	CHECK(stack_held_until(stack) == LOOP_NEVER);
	send_merged(1);
	uint64_t until = s.wire.now_ns + MS / 2;
	CHECK_EQ(stack_held_until(stack), until);
	wait_ns(&s, MS / 10);
	send_merged(2921);
	CHECK_EQ(stack_held_until(stack), until);
	expect_silence(&s);
	CHECK(stack_before_idle(stack));
	flush_hosts(&s);
	expect(&s, A, 1, 5841, 0);
	CHECK(!stack_before_idle(stack));
	CHECK(stack_held_until(stack) == LOOP_NEVER);

	send_merged(5841); /* others run on */
	wait_ns(&s, MS / 2);
	flush_hosts(&s);
	expect(&s, A, 1, 8761, 0);

	send_merged(8761);
	user_write(&s, 50);
	expect(&s, A, 1, 11681, 50);
	send_merged(11681);
	send_segment(&s, A, 14601, 51, 1460); /* what no device merged */
	expect(&s, A, 51, 16061, 0);
	CHECK(!stack_before_idle(stack));
	script_end(&s);

	begin_plain("at most a quarter of the window is held");
	s.c->quickack_asked = false;
	uint32_t quarter = tcp_window_space(s.c) / 4, at = 1;
	for (; at + 2920 <= 1 + quarter; at += 2920)
		send_merged(at);
	expect_silence(&s);
	send_merged(at);
	expect(&s, A, 1, at + 2920, 0);
	script_end(&s);

	begin_plain("with TCP_QUICKACK nothing is held, nor is a FIN's");
	stack = s.wire.host[0].stack;
	tcp_set_option(s.c, TCP_OPTION_QUICKACK, 1);
	send_merged(1);
	expect(&s, A, 1, 2921, 0);
	s.c->quickack_asked = false;
	send_merged(2921);
	send_segment(&s, A | TCP_FIN, 5841, 1, 0);
	expect(&s, A, 1, 5842, 0);
	CHECK(!stack_before_idle(stack));
	script_end(&s);

	begin_plain("a hole behind what is held is told at once");
	s.c->quickack_asked = false;
	send_merged(1);
	send_merged(5841);
	expect(&s, A, 1, 2921, 0);
	script_end(&s);
}

static void delayed_acks(void)
{
	begin_plain("delayed ACK: 40 ms, every second full segment at once");
	tcp_set_option(s.c, TCP_OPTION_QUICKACK, 0);
	send_segment(&s, A, 1, 1, 1460);
	expect_silence(&s);
	wait_ns(&s, 39 * MS);
	expect_silence(&s);
	wait_ns(&s, 2 * MS);
	expect(&s, A, 1, 1461, 0);
	send_segment(&s, A, 1461, 1, 1460);
	expect_silence(&s);
	send_segment(&s, A, 2921, 1, 1460);
	expect(&s, A, 1, 4381, 0);
	script_end(&s);

	begin_plain("an ACK rides on data");
	tcp_set_option(s.c, TCP_OPTION_QUICKACK, 0);
	send_segment(&s, A, 1, 1, 100);
	user_read(&s, 100);
	user_write(&s, 50);
	expect(&s, A, 1, 101, 50);
	wait_ns(&s, 100 * MS);
	expect_silence(&s);
	/* From here on it is a conversation: no quick ACK for the next request. */
	send_segment(&s, A, 101, 51, 100);
	expect_silence(&s);
	script_end(&s);
}

static void quick_acks(void)
{
	begin_plain("a quick ACK waits for the reader, then for his answer while others run");
	struct stack *stack = s.wire.host[0].stack;
	s.c->quickack_asked = false;
	send_segment(&s, A, 1, 1, 100);
	wait_ns(&s, 10 * MS);
	expect_silence(&s);
	user_read(&s, 1); /* a part will do: he has seen that it came */
	expect_silence(&s);
	CHECK(stack_before_idle(stack));
	CHECK(!stack_before_idle(stack));
	flush_hosts(&s);
	expect(&s, A, 1, 101, 0);
	user_read(&s, 99);
	CHECK(!stack_before_idle(stack));
	send_segment(&s, A, 101, 1, 100);
	user_read(&s, 100);
	wait_ns(&s, MS);
	flush_hosts(&s);
	expect(&s, A, 1, 201, 0);
	send_segment(&s, A, 201, 1, 100);
	user_read(&s, 100);
	user_write(&s, 50);
	expect(&s, A, 1, 301, 50);
	CHECK(!stack_before_idle(stack));
	wait_ns(&s, 100 * MS);
	expect_silence(&s);
	script_end(&s);

	begin_plain("who does not read has had his turn when the hart would idle");
	stack = s.wire.host[0].stack;
	s.c->quickack_asked = false;
	send_segment(&s, A, 1, 1, 100);
	wait_ns(&s, 10 * MS);
	expect_silence(&s);
	CHECK(stack_before_idle(stack));
	flush_hosts(&s);
	expect(&s, A, 1, 101, 0);
	user_read(&s, 100);
	CHECK(!stack_before_idle(stack));
	script_end(&s);

	begin_plain(
	        "a quick ACK that nobody reads for leaves after 40 ms; a full segment's at once");
	s.c->quickack_asked = false;
	send_segment(&s, A, 1, 1, 100);
	wait_ns(&s, 39 * MS);
	expect_silence(&s);
	wait_ns(&s, 2 * MS);
	expect(&s, A, 1, 101, 0);
	send_segment(&s, A, 101, 1, 1460);
	expect(&s, A, 1, 1561, 0);
	script_end(&s);
}

static void acks_at_once(void)
{
	begin_plain("without delayed ACKs all data is acknowledged at once");
	stack_tcp(s.wire.host[0].stack)->acks_at_once = true;
	tcp_set_option(s.c, TCP_OPTION_QUICKACK, 0);
	send_segment(&s, A, 1, 1, 100);
	expect(&s, A, 1, 101, 0);
	user_read(&s, 100);
	user_write(&s, 50);
	expect(&s, A, 1, 101, 50);
	send_segment(&s, A, 101, 51, 1);
	expect(&s, A, 51, 102, 0);
	wait_ns(&s, 100 * MS);
	expect_silence(&s);
	script_end(&s);
}

static void closed_windows(void)
{
	begin_plain("window update after the user read (smoltcp #199)");
	uint32_t at = 1;
	for (; at + 1460 <= 64241; at += 1460)
		send_segment(&s, A, at, 1, 1460);
	wait_ns(&s, 50 * MS);
	s.next = s.count;
	CHECK_EQ(s.seen[s.count - 1].window, 0);
	send_segment(&s, A, at, 1, 1000); /* a probe: not taken, answered */
	CHECK_EQ(expect(&s, A, 1, at, 0)->window, 0);
	user_read(&s, 100);
	expect_silence(&s); /* less than a segment: no silly window */
	user_read(&s, 40000);
	CHECK(expect(&s, A, 1, at, 0)->window >= 30000);
	script_end(&s);

	begin_plain("a peer behind a closed window is still heard: its ACKs (passt), not its data");
	for (at = 1; at + 1460 <= 64241; at += 1460)
		send_segment(&s, A, at, 1, 1460);
	user_write(&s, 5000);
	s.next = s.count;
	send_segment(&s, A, at + 1460, 1, 1460); /* more than was allowed */
	CHECK_EQ(expect(&s, A, 5001, at, 0)->window, 0);
	send_segment(&s, A, at + 2920, 2921, 0);
	CHECK_EQ(s.c->snd_una.value - s.iss, 2921);
	send_segment(&s, A, at + 2920, 5001, 0);
	CHECK_EQ(s.c->snd_una.value - s.iss, 5001);
	send_segment(&s, TCP_FIN | A, at + 2920, 5001, 0); /* the FIN has to come again */
	expect_state(&s, TCP_ESTABLISHED);
	user_write(&s, 100);
	s.next = s.count;
	send_segment(&s, A, at + 1000000, 5101, 0); /* from far outside: a forger's */
	CHECK_EQ(s.c->snd_una.value - s.iss, 5001);
	user_read(&s, 64000);
	send_segment(&s, TCP_FIN | A, at, 5101, 1460); /* and all of it comes again */
	expect_state(&s, TCP_CLOSE_WAIT);
	script_end(&s);
}

static void fin_at_the_window(void)
{
	uint32_t at;
	begin_plain("FIN into a zero window (smoltcp #845)");
	for (at = 1; at + 1460 <= 64241; at += 1460)
		send_segment(&s, A, at, 1, 1460);
	wait_ns(&s, 50 * MS);
	s.next = s.count;
	send_segment(&s, TCP_FIN | A, at, 1, 0);
	expect(&s, A, 1, at + 1, 0);
	expect_state(&s, TCP_CLOSE_WAIT);
	script_end(&s);

	begin_plain("a segment partly beyond the window loses its FIN (smoltcp #749, #1079)");
	for (at = 1; at + 1460 <= 62781; at += 1460)
		send_segment(&s, A, at, 1, 1460);
	wait_ns(&s, 50 * MS);
	s.next = s.count;
	uint32_t room = tcp_receive_window(s.c);
	CHECK(room && room < 3800);
	send_segment(&s, TCP_FIN | A, at, 1, room + 1);
	expect(&s, A, 1, at + room, 0);
	expect_state(&s, TCP_ESTABLISHED);
	script_end(&s);
}

static void out_of_order(void)
{
	const uint8_t *bytes;
	begin_modern("out-of-order data is not readable (mTCP #167); SACK blocks, newest first");
	s.events = 0;
	send_segment(&s, A, 1001, 1, 1000);
	const struct seen *g = expect(&s, A, 1, 1, 0);
	CHECK(!(s.events & NET_READABLE) && !(tcp_readiness(s.c) & NET_READABLE));
	CHECK_EQ(g->options.sack_count, 1);
	CHECK_EQ(g->options.sack[0].start.value - PEER_ISS, 1001);
	CHECK_EQ(g->options.sack[0].end.value - PEER_ISS, 2001);
	send_segment(&s, A, 3001, 1, 1000);
	g = expect(&s, A, 1, 1, 0);
	CHECK_EQ(g->options.sack_count, 2);
	CHECK_EQ(g->options.sack[0].start.value - PEER_ISS, 3001);
	CHECK_EQ(g->options.sack[1].start.value - PEER_ISS, 1001);
	send_segment(&s, A, 2001, 1, 1000); /* joins them */
	g = expect(&s, A, 1, 1, 0);
	CHECK_EQ(g->options.sack_count, 1);
	CHECK_EQ(g->options.sack[0].start.value - PEER_ISS, 1001);
	CHECK_EQ(g->options.sack[0].end.value - PEER_ISS, 4001);
	send_segment(&s, A, 1, 1, 1000);
	g = expect(&s, A, 1, 4001, 0);
	CHECK_EQ(g->options.sack_count, 0);
	CHECK(!s.c->reassembly);
	CHECK_EQ(tcp_receive_available(s.c), 4000);
	for (uint32_t i = 0; i < 4000; i++) {
		CHECK(tcp_receive_peek(s.c, i, &bytes) > 0);
		CHECK_EQ(*bytes, (uint8_t)(1 + i));
	}
	script_end(&s);

	begin_modern("a duplicate is told as such, once (RFC 2883)");
	send_segment(&s, A, 1, 1, 1000);
	expect(&s, A, 1, 1001, 0);
	send_segment(&s, A, 1, 1, 500);
	g = expect(&s, A, 1, 1001, 0);
	CHECK_EQ(g->options.sack_count, 1);
	CHECK_EQ(g->options.sack[0].start.value - PEER_ISS, 1);
	CHECK_EQ(g->options.sack[0].end.value - PEER_ISS, 501);
	send_segment(&s, A, 1001, 1, 1000);
	CHECK_EQ(expect(&s, A, 1, 2001, 0)->options.sack_count, 0);
	script_end(&s);

	begin_plain("a FIN that came early is remembered (seastar), data after it is not (lwIP "
	            "#28288)");
	send_segment(&s, TCP_FIN | A, 101, 1, 100);
	expect(&s, A, 1, 1, 0);
	send_segment(&s, A, 1, 1, 100);
	expect(&s, A, 1, 202, 0);
	expect_state(&s, TCP_CLOSE_WAIT);
	user_read(&s, 200);
	CHECK_EQ(tcp_receive_peek(s.c, 0, &bytes), 0);
	script_end(&s);

	begin_plain("a bare FIN that came early");
	send_segment(&s, TCP_FIN | A, 101, 1, 0);
	expect(&s, A, 1, 1, 0);
	send_segment(&s, A, 1, 1, 100);
	expect(&s, A, 1, 102, 0);
	expect_state(&s, TCP_CLOSE_WAIT);
	script_end(&s);

	begin_plain("starts left of the window and brings something new (mTCP RBPut)");
	send_segment(&s, A, 1, 1, 100);
	expect(&s, A, 1, 101, 0);
	send_segment(&s, A, 51, 1, 100);
	expect(&s, A, 1, 151, 0);
	CHECK_EQ(tcp_receive_available(s.c), 150);
	script_end(&s);
}

/* smoltcp #735, #452: whatever shapes the pieces have, the stream is right. */
static void overlaps(void)
{
	struct random_source r = { 42 };
	for (int round = 0; round < 60; round++) {
		begin_plain("random overlaps");
		uint32_t total = 1 + random_below(&r, 20000);
		for (int i = 0; i < 3000 && s.c->rcv_nxt.value - PEER_ISS != total + 1; i++) {
			uint32_t length = 1 + random_below(&r, round & 1 ? 1400 : 60);
			uint32_t from = random_below(&r, total + 50);
			if (random_chance(&r, 100)) {
				from = s.c->rcv_nxt.value - PEER_ISS - 1;
				from -= min_u32(from, random_below(&r, 30));
			}
			from = from > 20 ? from - random_below(&r, 20) : from;
			if (from >= total)
				continue;
			length = min_u32(length, total - from);
			send_segment(&s, A, 1 + from, 1, length);
			s.next = s.count = 0;
		}
		uint32_t at = 0;
		const uint8_t *bytes;
		int64_t n;
		while ((n = tcp_receive_peek(s.c, 0, &bytes)) > 0) {
			for (int64_t i = 0; i < n; i++, at++)
				CHECK_EQ(bytes[i], (uint8_t)(at + 1));
			tcp_receive_consume(s.c, (uint64_t)n);
		}
		CHECK_EQ(at, s.c->rcv_nxt.value - PEER_ISS - 1);
		script_end(&s);
	}
}

static void timestamps(void)
{
	begin_modern("PAWS drops old timestamps, with an ACK (RFC 7323 §5)");
	s.timestamp = 6000;
	send_segment(&s, A, 1, 1, 100);
	expect(&s, A, 1, 101, 0);
	s.timestamp = 5999;
	send_segment(&s, A, 101, 1, 100);
	expect(&s, A, 1, 101, 0);
	CHECK_EQ(stack_counters(s.wire.host[0].stack)->tcp_paws_dropped, 1);
	s.timestamp = 6001;
	send_segment(&s, A, 101, 1, 100);
	const struct seen *g = expect(&s, A, 1, 201, 0);
	CHECK_EQ(g->options.timestamp_echo, 6001);
	script_end(&s);

	begin_modern("a segment out of order does not move TS.Recent (RFC 7323 §4.3)");
	s.timestamp = 7000;
	send_segment(&s, A, 101, 1, 100);
	const struct seen *h = expect(&s, A, 1, 1, 0);
	CHECK_EQ(h->options.timestamp_echo, 5000);
	script_end(&s);

	begin_modern("segments without timestamps are taken");
	inject(&s, (struct sending){
	                   .flags = A, .seq = 1, .ack = 1, .length = 10, .no_timestamp = true });
	expect(&s, A, 1, 11, 0);
	script_end(&s);
}

static void urgent(void)
{
	const uint8_t *bytes;
	begin_plain("urgent data");
	inject(&s, (struct sending){
	                   .flags = A | TCP_URG, .seq = 1, .ack = 1, .length = 10, .urgent = 5 });
	CHECK(tcp_readiness(s.c) & NET_URGENT);
	CHECK_EQ(tcp_receive_peek(s.c, 0, &bytes), 4);
	user_read(&s, 4);
	CHECK(tcp_at_urgent_mark(s.c));
	CHECK_EQ(tcp_receive_urgent(s.c, true), 5);
	CHECK_EQ(tcp_receive_urgent(s.c, false), 5);
	CHECK_EQ(tcp_receive_peek(s.c, 0, &bytes), 5);
	CHECK_EQ(bytes[0], 6);
	CHECK_EQ(tcp_receive_urgent(s.c, false), -EINVAL);
	script_end(&s);

	begin_plain("urgent data inline");
	tcp_set_option(s.c, TCP_OPTION_OOB_INLINE, 1);
	inject(&s, (struct sending){
	                   .flags = A | TCP_URG, .seq = 1, .ack = 1, .length = 10, .urgent = 5 });
	user_read(&s, 10);
	CHECK_EQ(tcp_receive_urgent(s.c, false), -EINVAL);
	script_end(&s);
}

int main(void)
{
	delayed_acks();
	quick_acks();
	holding();
	acks_at_once();
	closed_windows();
	fin_at_the_window();
	out_of_order();
	overlaps();
	timestamps();
	urgent();
	printf("ok\n");
	return 0;
}
