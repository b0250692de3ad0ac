/* Scripts for what other stacks got wrong (named in the comments: project and issue number) and for
 * the RFCs' finer points. */
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

static void expect_data(uint32_t seq, uint32_t ack, uint32_t length, uint32_t mss)
{
	for (uint32_t at = 0; at < length; at += mss)
		expect(&s, A, seq + at, ack, min_u32(mss, length - at));
}

static void send_sack(uint32_t ack, uint32_t start, uint32_t end)
{
	struct tcp_interval block = { seq(start), seq(end) };
	inject(&s, (struct sending){
	                   .flags = A, .seq = 1, .ack = ack, .sack = &block, .sack_count = 1 });
}

/* ---- sending ---- */

static void congestion_window(void)
{
	/* seastar #1015, smoltcp ba2ab35a: the window limits what is in flight, not what is sent at
	 * once. */
	begin_plain("initial window, slow start");
	tcp_set_option(s.c, TCP_OPTION_SEND_BUFFER, 1 << 20);
	user_write(&s, 200000);
	expect_data(1, 1, 14600, 1460);
	expect_silence(&s);
	send_segment(&s, A, 1, 1 + 2920, 0);
	expect_data(14601, 1, 4 * 1460, 1460);
	expect_silence(&s);
	send_segment(&s, A, 1, 1 + 20440, 0);
	CHECK_EQ(s.c->cwnd, 14600 + 20440);
	script_end(&s);

	begin_plain("the peer's window is honoured");
	s.window = 3000;
	send_segment(&s, A, 1, 1, 1);
	expect(&s, A, 1, 2, 0);
	user_write(&s, 10000);
	expect_data(1, 2, 2920, 1460);
	expect_silence(&s);
	s.window = 4000;
	send_segment(&s, A, 2, 1461, 0);
	expect(&s, A, 2921, 2, 1460);
	expect_silence(&s);
	script_end(&s);
}

static void retransmission(void)
{
	begin_plain("retransmission timer: 200 ms at least, doubling (smoltcp #1023)");
	wait_ns(&s, 10 * MS);
	user_write(&s, 100);
	uint64_t start = s.wire.now_ns;
	expect(&s, A, 1, 1, 100);
	wait_ns(&s, 13 * SECOND);
	uint64_t gap = 200 * MS, at = 0;
	for (int i = 0; i < 6; i++, gap *= 2) {
		at += gap;
		uint64_t when = expect(&s, A, 1, 1, 100)->at_ns - start;
		CHECK(when >= at && when < at + 5 * MS);
	}
	expect_silence(&s);
	/* smoltcp #62: an ACK of nothing new does not restart the timer. */
	send_segment(&s, A, 1, 1, 0);
	wait_ns(&s, 12800 * MS);
	expect(&s, A, 1, 1, 100);
	send_segment(&s, A, 1, 101, 0);
	wait_ns(&s, 600 * SECOND);
	expect_silence(&s);
	script_end(&s);

	begin_plain("ETIMEDOUT after 15 retries' time");
	user_write(&s, 100);
	wait_ns(&s, 900 * SECOND);
	expect_state(&s, TCP_ESTABLISHED);
	wait_ns(&s, 200 * SECOND);
	expect_state(&s, TCP_CLOSED);
	CHECK_EQ(tcp_take_error(s.c), ETIMEDOUT);
	script_end(&s);

	begin_plain("TCP_USER_TIMEOUT");
	tcp_set_option(s.c, TCP_OPTION_USER_TIMEOUT_MS, 3000);
	user_write(&s, 100);
	wait_ns(&s, 10 * SECOND);
	expect_state(&s, TCP_CLOSED);
	CHECK_EQ(tcp_take_error(s.c), ETIMEDOUT);
	script_end(&s);

	begin_plain("a retransmission that is acknowledged at once is no RTT sample (Karn)");
	wait_ns(&s, 10 * MS);
	user_write(&s, 100);
	wait_ns(&s, 250 * MS);
	uint32_t srtt = s.c->srtt_us8;
	send_segment(&s, A, 1, 101, 0);
	CHECK_EQ(s.c->srtt_us8, srtt);
	script_end(&s);
}

static void fast_retransmit(void)
{
	begin_plain("three duplicate ACKs, without SACK (RFC 5681, 6582)");
	user_write(&s, 14600);
	expect_data(1, 1, 14600, 1460);
	for (int i = 0; i < 2; i++)
		send_segment(&s, A, 1, 1, 0);
	expect_silence(&s);
	send_segment(&s, A, 1, 1, 0);
	expect(&s, A, 1, 1, 1460);
	expect_silence(&s);
	send_segment(&s, A, 1, 4381, 0); /* partial: the next one is missing, too */
	expect(&s, A, 4381, 1, 1460);
	send_segment(&s, A, 1, 14601, 0);
	CHECK_EQ(s.c->congestion_state, TCP_CA_OPEN);
	expect_silence(&s);
	script_end(&s);

	begin_plain("limited transmit (RFC 3042)");
	tcp_set_option(s.c, TCP_OPTION_SEND_BUFFER, 1 << 20);
	user_write(&s, 50000);
	expect_data(1, 1, 14600, 1460);
	send_segment(&s, A, 1, 1, 0);
	expect(&s, A, 14601, 1, 1460);
	send_segment(&s, A, 1, 1, 0);
	expect(&s, A, 16061, 1, 1460);
	send_segment(&s, A, 1, 1, 0);
	expect(&s, A, 1, 1, 1460);
	script_end(&s);

	begin_plain("a window update is no duplicate ACK (smoltcp #748)");
	user_write(&s, 14600);
	expect_data(1, 1, 14600, 1460);
	for (int i = 0; i < 6; i++) {
		s.window -= 10;
		send_segment(&s, A, 1, 1, 0);
		s.window += 20;
		send_segment(&s, A, 1, 1, 0);
	}
	CHECK_EQ(stack_counters(s.wire.host[0].stack)->tcp_fast_retransmits, 0);
	script_end(&s);

	begin_plain("data segments are no duplicate ACKs");
	user_write(&s, 14600);
	expect_data(1, 1, 14600, 1460);
	for (uint32_t i = 0; i < 6; i++)
		send_segment(&s, A, 1 + 10 * i, 1, 10);
	CHECK_EQ(stack_counters(s.wire.host[0].stack)->tcp_fast_retransmits, 0);
	script_end(&s);

	begin_plain("duplicate ACKs without end (smoltcp #224)");
	user_write(&s, 14600);
	for (int i = 0; i < 70000; i++)
		send_segment(&s, A, 1, 1, 0);
	CHECK(s.c->duplicate_acks >= 3);
	send_segment(&s, A, 1, 14601, 0);
	CHECK_EQ(s.c->duplicate_acks, 0);
	script_end(&s);
}

static void sack_sending(void)
{
	begin_modern("SACK: only the holes are sent again (RFC 6675)");
	user_write(&s, 14480);
	expect_data(1, 1, 14480, 1448);
	send_sack(1, 1449, 2897);
	expect_silence(&s);
	send_sack(1, 1449, 4345);
	expect_silence(&s);
	struct tcp_interval blocks[2] = { { seq(5793), seq(10137) }, { seq(1449), seq(4345) } };
	inject(&s,
	       (struct sending){ .flags = A, .seq = 1, .ack = 1, .sack = blocks, .sack_count = 2 });
	expect(&s, A, 1, 1, 1448);
	expect(&s, A, 4345, 1, 1448);
	expect_silence(&s);
	send_segment(&s, A, 1, 4345, 0);
	expect_silence(&s);
	send_segment(&s, A, 1, 14481, 0);
	CHECK_EQ(s.c->congestion_state, TCP_CA_OPEN);
	CHECK(!s.c->scoreboard); /* gvisor #14092 */
	script_end(&s);

	begin_modern("SACK of nonsense is ignored");
	user_write(&s, 14480);
	expect_data(1, 1, 14480, 1448);
	send_sack(1, 100000, 200000);
	send_sack(1, 4000, 3000);
	send_sack(1, 4000, 4000);
	CHECK(!s.c->scoreboard);
	CHECK_EQ(s.c->duplicate_acks, 0);
	script_end(&s);

	begin_modern("a lost repair is repaired again");
	tcp_set_option(s.c, TCP_OPTION_SEND_BUFFER, 1 << 20);
	s.window = 60000;
	user_write(&s, 60000);
	expect_data(1, 1, 14480, 1448);
	send_sack(1, 1449, 14481);
	expect(&s, A, 1, 1, 1448);
	uint32_t sent = s.count;
	while (s.next < s.count)
		s.next++;
	CHECK(sent > 11);
	uint32_t end = s.seen[s.count - 1].seq + s.seen[s.count - 1].length;
	send_sack(1, 1449, end);
	expect(&s, A, 1, 1, 1448);
	script_end(&s);

	begin_modern("timeout: everything that was not SACKed, in slow start");
	user_write(&s, 5792);
	expect_data(1, 1, 5792, 1448);
	send_sack(1, 2897, 4345);
	wait_ns(&s, 300 * MS);
	expect(&s, A, 1, 1, 1448);
	expect_silence(&s);
	send_sack(1449, 2897, 4345);
	expect(&s, A, 1449, 1, 1448);
	while (s.next < s.count)
		CHECK_EQ(s.seen[s.next++].seq, 4345);
	script_end(&s);
}

static void nagle(void)
{
	begin_plain("Nagle");
	user_write(&s, 10);
	expect(&s, A, 1, 1, 10);
	user_write(&s, 10);
	user_write(&s, 10);
	expect_silence(&s);
	send_segment(&s, A, 1, 11, 0);
	expect(&s, A, 11, 1, 20);
	script_end(&s);

	begin_plain("TCP_NODELAY");
	tcp_set_option(s.c, TCP_OPTION_NODELAY, 1);
	user_write(&s, 10);
	user_write(&s, 10);
	expect(&s, A, 1, 1, 10);
	expect(&s, A, 11, 1, 10);
	script_end(&s);

	begin_plain("many writes before the flush make one segment");
	uint8_t *room;
	for (int i = 0; i < 10; i++) {
		CHECK_EQ(tcp_send_reserve(s.c, 10, &room), 10);
		memset(room, 'y', 10);
		tcp_send_commit(s.c, 10, false);
	}
	flush_hosts(&s);
	expect(&s, A, 1, 1, 100);
	expect_silence(&s);
	script_end(&s);

	begin_plain("TCP_CORK");
	tcp_set_option(s.c, TCP_OPTION_CORK, 1);
	user_write(&s, 2000);
	expect(&s, A, 1, 1, 1460);
	send_segment(&s, A, 1, 1461, 0);
	expect_silence(&s);
	tcp_set_option(s.c, TCP_OPTION_CORK, 0);
	flush_hosts(&s);
	expect(&s, A, 1461, 1, 540);
	script_end(&s);

	begin_plain("corked bytes leave after 200 ms");
	tcp_set_option(s.c, TCP_OPTION_CORK, 1);
	user_write(&s, 100);
	wait_ns(&s, 150 * MS);
	expect_silence(&s);
	wait_ns(&s, 100 * MS);
	expect(&s, A, 1, 1, 100);
	script_end(&s);
}

static void zero_window(void)
{
	begin_plain("persist timer (lwIP #50837): probes, then data");
	user_write(&s, 10);
	expect(&s, A, 1, 1, 10);
	s.window = 0;
	send_segment(&s, A, 1, 11, 0);
	user_write(&s, 100);
	expect_silence(&s);
	uint64_t start = s.wire.now_ns;
	wait_ns(&s, 5 * SECOND);
	uint64_t at = 0, gap = 200 * MS;
	for (int i = 0; i < 4; i++, gap *= 2) {
		at += gap;
		uint64_t when = expect(&s, A, 10, 1, 0)->at_ns - start;
		CHECK(when >= at && when < at + 5 * MS);
	}
	expect_silence(&s);
	s.window = 50;
	send_segment(&s, A, 1, 11,
	             0); /* still too small for silly-window avoidance: the timer sends it */
	expect_silence(&s);
	wait_ns(&s, 250 * MS);
	expect(&s, A, 11, 1, 50);
	s.window = 10000;
	send_segment(&s, A, 1, 61, 0);
	expect(&s, A, 61, 1, 50);
	script_end(&s);

	begin_plain("no persist timer without data (lwIP #34517)");
	send_segment(&s, A, 1, 1, 1);
	expect(&s, A, 1, 2, 0);
	s.window = 0;
	send_segment(&s, A, 2, 1, 0);
	CHECK_EQ(s.c->snd_wnd, 0);
	wait_ns(&s, 100 * SECOND);
	expect_silence(&s);
	script_end(&s);

	begin_plain("a peer that answers probes lives for ever");
	send_segment(&s, A, 1, 1, 1);
	expect(&s, A, 1, 2, 0);
	s.window = 0;
	send_segment(&s, A, 2, 1, 0);
	user_write(&s, 100);
	for (int i = 0; i < 40; i++) {
		wait_ns(&s, 125 * SECOND);
		send_segment(&s, A, 2, 1, 0);
	}
	expect_state(&s, TCP_ESTABLISHED);
	s.next = s.count;
	s.window = 1000;
	send_segment(&s, A, 2, 1, 0);
	wait_ns(&s, 1 * MS);
	expect(&s, A, 1, 2, 100);
	script_end(&s);

	begin_plain("a stale window is not taken (mirage-tcpip #146)");
	send_segment(&s, A, 1, 1, 10);
	expect(&s, A, 1, 11, 0);
	s.window = 0;
	send_segment(&s, A, 1, 1, 0);
	CHECK_EQ(s.c->snd_wnd, 65535);
	script_end(&s);

	begin_plain("window growth with the same ACK is taken (seastar)");
	s.window = 1460;
	send_segment(&s, A, 1, 1, 1);
	expect(&s, A, 1, 2, 0);
	user_write(&s, 2920);
	expect(&s, A, 1, 2, 1460);
	expect_silence(&s);
	s.window = 2920;
	send_segment(&s, A, 2, 1, 0);
	expect(&s, A, 1461, 2, 1460);
	script_end(&s);
}

/* ---- receiving ---- */

static void acknowledging(void)
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
	for (int round = 0; round < 200; round++) {
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

/* ---- life ---- */

static void time_wait(void)
{
	struct tcp_stack *tcp;
	for (int by_timestamp = 0; by_timestamp < 2; by_timestamp++) {
		script_begin(&s, "a new SYN takes the place of TIME_WAIT (asterinas #1531)");
		s.timestamps = by_timestamp;
		script_accept(&s);
		tcp = stack_tcp(s.wire.host[0].stack);
		tcp_close(s.c);
		s.c = NULL;
		flush_hosts(&s);
		expect(&s, TCP_FIN | A, 1, 1, 0);
		send_segment(&s, TCP_FIN | A, 1, 2, 0);
		expect(&s, A, 2, 2, 0);
		CHECK_EQ(tcp->time_wait_count, 1);
		send_segment(&s, TCP_SYN, 0, 0,
		             0); /* an old duplicate: neither newer by number nor by time */
		expect(&s, A, 2, 2, 0);
		CHECK_EQ(tcp->time_wait_count, 1);
		s.timestamp++;
		uint32_t old_iss = s.iss;
		send_segment(&s, TCP_SYN, by_timestamp ? 0 : 1000, 0, 0);
		CHECK_EQ(tcp->time_wait_count, 0);
		const struct seen *g = &s.seen[s.next++];
		CHECK_EQ(g->flags, TCP_SYN | A);
		CHECK(seq_lt(seq(old_iss + 2), seq(old_iss + g->seq)));
		script_end(&s);
	}
	script_begin(&s, "RST in TIME_WAIT");
	script_accept(&s);
	tcp_close(s.c);
	s.c = NULL;
	flush_hosts(&s);
	send_segment(&s, TCP_FIN | A, 1, 2, 0);
	tcp = stack_tcp(s.wire.host[0].stack);
	send_segment(&s, TCP_RST, 500, 0, 0);
	CHECK_EQ(tcp->time_wait_count, 1);
	send_segment(&s, TCP_RST, 2, 0, 0);
	CHECK_EQ(tcp->time_wait_count, 0);
	script_end(&s);
}

static void backlog(void)
{
	script_begin(&s, "accept queue full: silence, no RST (asterinas #1733, #1734)");
	script_listen(&s, 0);
	for (uint16_t i = 0; i < 3;
	     i++) { /* three handshakes under way before the first completes */
		s.peer_port = (uint16_t)(6000 + i);
		s.iss_known = false;
		send_segment(&s, TCP_SYN, 0, 0, 0);
	}
	uint32_t iss[3];
	CHECK_EQ(s.count, 3);
	for (int i = 0; i < 3; i++)
		iss[i] = s.seen[i].seq;
	(void)iss;
	s.next = s.count;
	s.peer_port = 6002; /* s.iss belongs to the last */
	send_segment(&s, A, 1, 1, 0);
	CHECK(tcp_readiness(s.listener) & NET_READABLE);
	s.peer_port = 7000;
	send_segment(&s, TCP_SYN, 0, 0, 0); /* the queue holds one: a further SYN is not answered */
	expect_silence(&s);
	wait_ns(&s, 1500 * MS); /* the others' SYN-ACKs are repeated */
	CHECK_EQ(s.count - s.next, 2);
	CHECK(s.seen[s.next].flags == (TCP_SYN | A));
	CHECK_EQ(stack_counters(s.wire.host[0].stack)->tcp_listen_overflows, 1);
	s.c = tcp_accept(s.listener);
	CHECK(s.c && !tcp_accept(s.listener));
	script_end(&s);

	script_begin(&s, "the last ACK finds the queue full, is dropped, and served later");
	script_listen(&s, 0);
	send_segment(&s, TCP_SYN, 0, 0, 0);
	send_segment(&s, A, 1, 1, 0);
	s.iss_known = false;
	s.peer_port = 6001;
	struct tcp_connection *first = tcp_accept(s.listener);
	send_segment(&s, TCP_SYN, 0, 0, 0);
	uint32_t second_iss = s.iss;
	s.iss_known = false;
	s.peer_port = 6002;
	send_segment(&s, TCP_SYN, 0, 0, 0);
	send_segment(&s, A, 1, 1, 0);
	s.next = s.count;
	s.iss = second_iss;
	s.peer_port = 6001;
	send_segment(&s, A, 1, 1, 0);
	expect_silence(&s);
	CHECK_EQ(stack_counters(s.wire.host[0].stack)->tcp_listen_overflows, 1);
	struct tcp_connection *third = tcp_accept(s.listener);
	CHECK(third);
	wait_ns(&s, 1100 * MS);
	s.next = s.count;
	send_segment(&s, A, 1, 1, 0);
	s.c = tcp_accept(s.listener);
	CHECK(s.c);
	tcp_close(first);
	tcp_close(third);
	script_end(&s);

	script_begin(&s, "half-open connections are bounded");
	script_listen(&s, 4096);
	struct tcp_stack *tcp = stack_tcp(s.wire.host[0].stack);
	for (uint32_t i = 0; i < TCP_MAX_REQUESTS + 500; i++) {
		s.peer_port = (uint16_t)(1024 + i);
		send_segment(&s, TCP_SYN, 0, 0, 0);
		if (i > 300 && i < TCP_MAX_REQUESTS)
			continue;
	}
	CHECK_EQ(tcp->request_count, TCP_MAX_REQUESTS);
	script_end(&s);

	script_begin(&s, "TCP_DEFER_ACCEPT");
	script_listen(&s, 5);
	tcp_set_option(s.listener, TCP_OPTION_DEFER_ACCEPT_S, 5);
	send_segment(&s, TCP_SYN, 0, 0, 0);
	expect(&s, TCP_SYN | A, 0, 1, 0);
	send_segment(&s, A, 1, 1, 0);
	CHECK(!tcp_accept(s.listener));
	wait_ns(&s, 2 * SECOND);
	expect_silence(&s);
	send_segment(&s, A, 1, 1, 10);
	s.c = tcp_accept(s.listener);
	CHECK(s.c);
	CHECK_EQ(tcp_receive_available(s.c), 10);
	script_end(&s);

	script_begin(&s, "closing a listener resets what waits");
	script_listen(&s, 5);
	send_segment(&s, TCP_SYN, 0, 0, 0);
	send_segment(&s, A, 1, 1, 0);
	s.next = s.count;
	tcp_close(s.listener);
	s.listener = NULL;
	expect(&s, TCP_RST | A, 1, 1, 0);
	script_end(&s);
}

static void keepalive(void)
{
	begin_plain("keep-alive: probes, then ETIMEDOUT and RST");
	tcp_set_option(s.c, TCP_OPTION_KEEPALIVE, 1);
	tcp_set_option(s.c, TCP_OPTION_KEEPIDLE_S, 10);
	tcp_set_option(s.c, TCP_OPTION_KEEPINTVL_S, 3);
	tcp_set_option(s.c, TCP_OPTION_KEEPCNT, 2);
	wait_ns(&s, 9 * SECOND);
	expect_silence(&s);
	wait_ns(&s, 2 * SECOND);
	expect(&s, A, 0, 1, 0);
	send_segment(&s, A, 1, 1, 0); /* answered: starts over */
	wait_ns(&s, 9 * SECOND);
	expect_silence(&s);
	wait_ns(&s, 9 * SECOND);
	expect(&s, A, 0, 1, 0);
	expect(&s, A, 0, 1, 0);
	expect(&s, TCP_RST | A, 1, 1, 0);
	expect_state(&s, TCP_CLOSED);
	CHECK_EQ(tcp_take_error(s.c), ETIMEDOUT);
	script_end(&s);
}

/* FreeRTOS-Plus-TCP #1235, smoltcp #338: two confused ends must fall silent. */
static void silence(void)
{
	begin_plain("unacceptable ACKs are answered rarely");
	for (int i = 0; i < 1000; i++) {
		send_segment(&s, A, 500000, 1, 0);
		wait_ns(&s, 1 * MS);
	}
	CHECK(s.count - s.next <= 3);
	s.next = s.count;
	for (int i = 0; i < 1000; i++) {
		send_segment(&s, TCP_SYN, 100, 0, 0);
		send_segment(&s, TCP_RST, 100, 0, 0);
		wait_ns(&s, 1 * MS);
	}
	CHECK(s.count - s.next <= 3);
	script_end(&s);
}

static void path_errors(void)
{
	struct icmp_error error = { .type = 3, .code = 4, .mtu = 1000 };
	begin_plain("fragmentation needed: smaller segments at once (RFC 1191)");
	user_write(&s, 5840);
	expect_data(1, 1, 5840, 1460);
	error.local = tcp_local(s.c);
	error.remote = tcp_remote(s.c);
	error.sequence = seq(s.iss + 500000); /* not in flight: forged */
	tcp_icmp_error(s.wire.host[0].stack, &error);
	CHECK_EQ(s.c->snd_mss, 1460);
	error.sequence = seq(s.iss + 1);
	tcp_icmp_error(s.wire.host[0].stack, &error);
	flush_hosts(&s);
	CHECK_EQ(s.c->snd_mss, 960);
	expect_data(1, 1, 5840, 960);
	script_end(&s);

	script_begin(&s, "port unreachable while connecting");
	script_connect(&s);
	error = (struct icmp_error){ .type = 3,
		                     .code = 3,
		                     .error = ECONNREFUSED,
		                     .fatal = true,
		                     .local = tcp_local(s.c),
		                     .remote = tcp_remote(s.c),
		                     .sequence = seq(s.iss) };
	tcp_icmp_error(s.wire.host[0].stack, &error);
	expect_state(&s, TCP_CLOSED);
	CHECK_EQ(tcp_take_error(s.c), ECONNREFUSED);
	script_end(&s);

	begin_plain("host unreachable while established is soft, and told at the end");
	user_write(&s, 10);
	error = (struct icmp_error){ .type = 3,
		                     .code = 1,
		                     .error = EHOSTUNREACH,
		                     .local = tcp_local(s.c),
		                     .remote = tcp_remote(s.c),
		                     .sequence = seq(s.iss + 1) };
	tcp_icmp_error(s.wire.host[0].stack, &error);
	expect_state(&s, TCP_ESTABLISHED);
	wait_ns(&s, 1200 * SECOND);
	expect_state(&s, TCP_CLOSED);
	CHECK_EQ(tcp_take_error(s.c), EHOSTUNREACH);
	script_end(&s);
}

static void errors(void)
{
	uint8_t *room;
	const uint8_t *bytes;
	begin_plain("after a reset: the data, then ECONNRESET once, then end and EPIPE");
	send_segment(&s, A, 1, 1, 10);
	send_segment(&s, TCP_RST, 11, 0, 0);
	CHECK(tcp_readiness(s.c) ==
	      (NET_READABLE | NET_WRITABLE | NET_ERROR | NET_HANGUP | NET_READ_HANGUP));
	CHECK_EQ(tcp_receive_peek(s.c, 0, &bytes), 10);
	tcp_receive_consume(s.c, 10);
	CHECK_EQ(tcp_receive_peek(s.c, 0, &bytes), -ECONNRESET);
	CHECK_EQ(tcp_receive_peek(s.c, 0, &bytes), 0);
	CHECK_EQ(tcp_send_reserve(s.c, 1, &room), -EPIPE);
	script_end(&s);

	script_begin(&s, "a fresh socket");
	CHECK_EQ(tcp_open(s.wire.host[0].stack, &s.c, NULL, NULL), 0);
	CHECK_EQ(tcp_readiness(s.c), NET_WRITABLE | NET_HANGUP);
	CHECK_EQ(tcp_receive_peek(s.c, 0, &bytes), -ENOTCONN);
	CHECK_EQ(tcp_send_reserve(s.c, 1, &room), -EPIPE);
	CHECK_EQ(tcp_shutdown(s.c, true, true), -ENOTCONN);
	script_end(&s);

	script_begin(&s, "bind and listen");
	struct stack *stack = s.wire.host[0].stack;
	struct tcp_connection *a, *b;
	CHECK_EQ(tcp_open(stack, &a, NULL, NULL), 0);
	CHECK_EQ(tcp_open(stack, &b, NULL, NULL), 0);
	CHECK_EQ(tcp_bind(a, (struct endpoint){ ipv4(1, 2, 3, 4), 80 }, false, false),
	         -EADDRNOTAVAIL);
	CHECK_EQ(tcp_bind(a, (struct endpoint){ { 0 }, 80 }, true, false), 0);
	CHECK_EQ(tcp_bind(a, (struct endpoint){ { 0 }, 81 }, true, false), -EINVAL);
	CHECK_EQ(tcp_bind(b, (struct endpoint){ { 0 }, 80 }, false, false), -EADDRINUSE);
	CHECK_EQ(tcp_bind(b, (struct endpoint){ { 0 }, 80 }, true, false), 0);
	CHECK_EQ(tcp_listen(a, 1), 0);
	CHECK_EQ(tcp_listen(b, 1), -EADDRINUSE);
	tcp_close(b);
	CHECK_EQ(tcp_open(stack, &b, NULL, NULL), 0);
	CHECK_EQ(tcp_bind(b, (struct endpoint){ { 0 }, 80 }, true, false), -EADDRINUSE);
	CHECK_EQ(tcp_listen(b, 1), 0); /* an ephemeral port */
	CHECK(tcp_local(b).port >= TCP_EPHEMERAL_FIRST);
	CHECK_EQ(tcp_connect(a, (struct endpoint){ ipv4(10, 0, 0, 2), 80 }), -EISCONN);
	tcp_close(a);
	tcp_close(b);
	script_end(&s);
}

/* lwIP #45559: the scale must not cut the window off; and small buffers, small segments. */
static void small_things(void)
{
	script_begin(&s, "a peer without MSS option; 1 byte at a time");
	script_accept(&s);
	CHECK_EQ(s.c->snd_mss, 1460);
	for (uint32_t i = 0; i < 3000; i++) {
		send_segment(&s, A, 1 + i, 1, 1);
		s.count = s.next = 0;
	}
	CHECK_EQ(tcp_receive_available(s.c), 3000);
	CHECK(s.c->receive_true < 16384); /* not a page per byte */
	script_end(&s);

	script_begin(&s, "the smallest buffers");
	script_listen(&s, 5);
	tcp_set_option(s.listener, TCP_OPTION_RECEIVE_BUFFER, 1);
	tcp_set_option(s.listener, TCP_OPTION_SEND_BUFFER, 1);
	script_accept(&s);
	CHECK_EQ(s.seen[0].window, 1152);
	send_segment(&s, A, 1, 1, 1152);
	wait_ns(&s, 50 * MS);
	CHECK_EQ(s.seen[s.count - 1].window, 0);
	user_read(&s, 1152);
	CHECK(s.seen[s.count - 1].window >= 576);
	script_end(&s);
}

int main(void)
{
	congestion_window();
	retransmission();
	fast_retransmit();
	sack_sending();
	nagle();
	zero_window();
	acknowledging();
	out_of_order();
	overlaps();
	timestamps();
	urgent();
	time_wait();
	backlog();
	keepalive();
	silence();
	path_errors();
	errors();
	small_things();
	printf("ok\n");
	return 0;
}
