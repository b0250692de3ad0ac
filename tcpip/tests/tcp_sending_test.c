/* Scripts for the sender: the RFCs' finer points, and what other stacks got wrong (named in the
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
	wait_ns(&s, 1 * MS);
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
	CHECK(!tcp_scoreboard(s.c)); /* gvisor #14092 */
	script_end(&s);

	begin_modern("SACK of nonsense is ignored");
	user_write(&s, 14480);
	expect_data(1, 1, 14480, 1448);
	send_sack(1, 100000, 200000);
	send_sack(1, 4000, 3000);
	send_sack(1, 4000, 4000);
	CHECK(!tcp_scoreboard(s.c));
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
	expect_silence(&s);
	wait_ns(&s, 5 * MS); /* the reordering timer */
	expect(&s, A, 1, 1, 1448);
	expect_silence(&s);
	CHECK_EQ(s.c->congestion_state, TCP_CA_RECOVERY);
	wait_ns(&s, 300 * MS);
	CHECK_EQ(s.c->congestion_state, TCP_CA_LOSS);
	expect(&s, A, 1, 1, 1448);
	expect_silence(&s);
	send_sack(1449, 2897, 4345);
	expect(&s, A, 1449, 1, 1448);
	while (s.next < s.count)
		CHECK_EQ(s.seen[s.next++].seq, 4345);
	script_end(&s);
}

static void undo_by_timestamp(void)
{
	begin_modern("RFC 3522: the timer was too early, which the echoed timestamp tells");
	wait_ns(&s, 10 * MS);
	user_write(&s, 14480);
	expect_data(1, 1, 14480, 1448);
	uint32_t cwnd = s.c->cwnd, original = s.echo;
	wait_ns(&s, 300 * MS);
	expect(&s, A, 13033, 1, 1448); /* the tail probe */
	expect(&s, A, 1, 1, 1448);
	CHECK_EQ(s.c->cwnd, 1448);
	s.echo = original;
	send_segment(&s, A, 1, 1449, 0);
	CHECK(s.c->cwnd >= cwnd);
	CHECK_EQ(s.c->congestion_state, TCP_CA_OPEN);
	expect_silence(&s);
	send_segment(&s, A, 1, 14481, 0);
	expect_silence(&s);
	CHECK_EQ(stack_counters(s.wire.host[0].stack)->tcp_undone, 1);
	script_end(&s);

	begin_modern("the timer was right: the retransmission's timestamp is echoed");
	wait_ns(&s, 10 * MS);
	user_write(&s, 2896);
	expect_data(1, 1, 2896, 1448);
	wait_ns(&s, 300 * MS);
	expect(&s, A, 1449, 1, 1448);
	expect(&s, A, 1, 1, 1448);
	send_segment(&s, A, 1, 1449, 0);
	expect(&s, A, 1449, 1, 1448);
	CHECK_EQ(s.c->congestion_state, TCP_CA_LOSS);
	CHECK_EQ(stack_counters(s.wire.host[0].stack)->tcp_undone, 0);
	script_end(&s);

	begin_modern("a fast retransmission of what was only reordered");
	wait_ns(&s, 10 * MS);
	user_write(&s, 14480);
	expect_data(1, 1, 14480, 1448);
	cwnd = s.c->cwnd, original = s.echo;
	wait_ns(&s, 3 * MS / 2);
	send_sack(1, 1449, 8689);
	expect(&s, A, 1, 1, 1448);
	CHECK_EQ(s.c->congestion_state, TCP_CA_RECOVERY);
	CHECK(s.c->cwnd < cwnd);
	s.echo = original;
	send_segment(&s, A, 1, 8689, 0);
	CHECK(s.c->cwnd >= cwnd);
	CHECK_EQ(s.c->congestion_state, TCP_CA_OPEN);
	script_end(&s);
}

static uint64_t undone(void)
{
	return stack_counters(s.wire.host[0].stack)->tcp_undone;
}

/* As begin_modern, but a round trip takes 10 ms. Bytes up to 101 are acknowledged. */
static void begin_distant(const char *name, bool timestamps)
{
	script_begin(&s, name);
	s.timestamps = timestamps;
	s.sack = s.scaling = true;
	s.wscale = 7;
	s.window = 4096;
	script_listen(&s, 16);
	script_accept(&s);
	tcp_set_option(s.c, TCP_OPTION_SEND_BUFFER, 1 << 20);
	user_write(&s, 100);
	expect(&s, A, 1, 1, 100);
	wait_ns(&s, 10 * MS);
	s.c->srtt_us8 = 0; /* the handshake took no time */
	s.c->min_rtt_us = UINT32_MAX;
	send_segment(&s, A, 1, 101, 0);
	CHECK_EQ(s.c->min_rtt_us, 10000);
	CHECK(!s.c->loss); /* nothing lost, nothing kept */
}

/* Segment `number` behind those bytes. */
static uint32_t at(uint32_t number)
{
	return 101 + number * s.c->snd_mss;
}

static void sack_segments(uint32_t ack, uint32_t first, uint32_t past)
{
	send_sack(at(ack), at(first), at(past));
}

/* A D-SACK of one segment; after it, unless it is 0, what is SACKed from `first` on. */
static void dsack_segment(uint32_t ack, uint32_t number, uint32_t first, uint32_t past)
{
	struct tcp_interval blocks[2] = { { seq(at(number)), seq(at(number + 1)) },
		                          { seq(at(first)), seq(at(past)) } };
	inject(&s, (struct sending){ .flags = A,
	                             .seq = 1,
	                             .ack = at(ack),
	                             .sack = blocks,
	                             .sack_count = past ? 2 : 1 });
}

static void expect_segments(uint32_t first, uint32_t past)
{
	for (uint32_t i = first; i < past; i++)
		expect(&s, A, at(i), 1, s.c->snd_mss);
}

static void rack(void)
{
	begin_distant("RACK: one SACKed segment is enough, after a quarter of a round trip", true);
	user_write(&s, 4 * 1448);
	expect_segments(0, 4);
	wait_ns(&s, 10 * MS);
	sack_segments(0, 1, 2);
	uint64_t then = s.wire.now_ns;
	expect_silence(&s);
	wait_ns(&s, 15 * MS);
	uint64_t waited = expect(&s, A, at(0), 1, 1448)->at_ns - then;
	CHECK(waited >= 5 * MS / 2 && waited < 6 * MS);
	CHECK_EQ(s.c->congestion_state, TCP_CA_RECOVERY);
	script_end(&s);

	begin_distant("what was sent long before something that arrived is lost at once", true);
	user_write(&s, 1448);
	wait_ns(&s, 4 * MS);
	user_write(&s, 1448);
	expect_segments(0, 2);
	wait_ns(&s, 10 * MS);
	sack_segments(0, 1, 2);
	expect(&s, A, at(0), 1, 1448);
	script_end(&s);

	begin_distant("a repair that was lost is sent again, time after time, without a timeout",
	              true);
	user_write(&s, 10 * 1448);
	expect_segments(0, 10);
	wait_ns(&s, 10 * MS);
	sack_segments(0, 1, 10);
	expect(&s, A, at(0), 1, 1448);
	for (uint32_t i = 0; i < 5; i++) {
		user_write(&s, 1448);
		wait_ns(&s, 2 * MS);
		user_write(&s, 1448);
		wait_ns(&s, 10 * MS);
		while (s.next < s.count)
			CHECK(seq_lt(seq(at(9)), seq(s.seen[s.next++].seq)));
		sack_segments(0, 1, 12 + 2 * i); /* new data, sent after the repair */
		expect(&s, A, at(0), 1, 1448);
	}
	CHECK_EQ(stack_counters(s.wire.host[0].stack)->tcp_timeouts, 0);
	CHECK_EQ(stack_counters(s.wire.host[0].stack)->tcp_fast_retransmits, 1);
	send_segment(&s, A, 1, s.c->snd_nxt.value - s.iss, 0);
	CHECK_EQ(s.c->congestion_state, TCP_CA_OPEN);
	CHECK(!tcp_repairs(s.c) && !s.c->loss->sent);
	script_end(&s);

	begin_distant("reordering seen: three segments decide no more", true);
	user_write(&s, 10 * 1448);
	expect_segments(0, 10);
	wait_ns(&s, 10 * MS);
	sack_segments(0, 1, 3);
	send_segment(&s, A, 1, at(3), 0); /* the first came, only late */
	CHECK_EQ(s.c->loss->reorderings, 1);
	sack_segments(3, 4, 8);
	expect_silence(&s);
	wait_ns(&s, 15 * MS);
	expect(&s, A, at(3), 1, 1448);
	script_end(&s);
}

static void undo_by_duplicates(void)
{
	begin_distant("D-SACK: the repair came twice, and the window is what it was", false);
	user_write(&s, 10 * 1460);
	expect_segments(0, 10);
	wait_ns(&s, 10 * MS);
	uint32_t cwnd = s.c->cwnd;
	sack_segments(0, 1, 4);
	expect(&s, A, at(0), 1, 1460);
	CHECK_EQ(s.c->congestion_state, TCP_CA_RECOVERY);
	send_segment(&s, A, 1, at(10), 0);
	CHECK_EQ(s.c->congestion_state, TCP_CA_OPEN);
	CHECK(s.c->cwnd < cwnd);
	wait_ns(&s, 10 * MS);
	dsack_segment(10, 0, 0, 0);
	CHECK_EQ(s.c->cwnd, cwnd);
	CHECK_EQ(undone(), 1);
	struct tcp_information info;
	tcp_get_information(s.c, &info);
	CHECK_EQ(info.dsack_dups, 1);
	CHECK_EQ(info.reord_seen, 1);
	script_end(&s);

	begin_distant("not when one of two repairs was needed", false);
	user_write(&s, 10 * 1460);
	expect_segments(0, 10);
	wait_ns(&s, 10 * MS);
	cwnd = s.c->cwnd;
	sack_segments(0, 2, 5);
	expect(&s, A, at(0), 1, 1460);
	sack_segments(0, 2, 8);
	expect(&s, A, at(1), 1, 1460);
	dsack_segment(1, 0, 2, 8);
	send_segment(&s, A, 1, at(10), 0);
	CHECK(s.c->cwnd < cwnd);
	CHECK_EQ(undone(), 0);
	script_end(&s);

	begin_distant("a network that duplicates undoes nothing", false);
	user_write(&s, 4 * 1460);
	expect_segments(0, 4);
	wait_ns(&s, 10 * MS);
	for (uint32_t i = 0; i < 4; i++)
		dsack_segment(4, i, 0, 0);
	CHECK_EQ(s.c->loss->window_steps, 1);
	CHECK_EQ(undone(), 0);
	script_end(&s);

	begin_distant("F-RTO: what was sent only once arrives after the timeout", false);
	user_write(&s, 10 * 1460);
	expect_segments(0, 10);
	cwnd = s.c->cwnd;
	wait_ns(&s, 300 * MS);
	expect(&s, A, at(9), 1, 1460); /* the tail probe */
	expect(&s, A, at(0), 1, 1460);
	CHECK_EQ(s.c->congestion_state, TCP_CA_LOSS);
	send_segment(&s, A, 1, at(2), 0);
	CHECK_EQ(s.c->congestion_state, TCP_CA_OPEN);
	CHECK_EQ(s.c->cwnd, cwnd);
	CHECK_EQ(undone(), 1);
	expect_silence(&s);
	script_end(&s);

	begin_distant("not so when only what was sent again does", false);
	user_write(&s, 10 * 1460);
	expect_segments(0, 10);
	wait_ns(&s, 300 * MS);
	expect(&s, A, at(9), 1, 1460);
	expect(&s, A, at(0), 1, 1460);
	send_segment(&s, A, 1, at(1), 0);
	CHECK_EQ(s.c->congestion_state, TCP_CA_LOSS);
	CHECK_EQ(undone(), 0);
	expect(&s, A, at(1), 1, 1460);
	script_end(&s);

	begin_plain("without SACK an ACK of everything after a timeout tells nothing");
	user_write(&s, 14600);
	expect_data(1, 1, 14600, 1460);
	wait_ns(&s, 300 * MS);
	s.next = s.count;
	send_segment(&s, A, 1, 2921, 0);
	CHECK_EQ(s.c->congestion_state, TCP_CA_LOSS);
	CHECK_EQ(undone(), 0);
	script_end(&s);
}

/* gvisor #10343 and what an adapting window is for: each round of D-SACKs widens it, sixteen
 * recoveries without narrow it again. */
static void reordering_window(void)
{
	begin_distant("the reordering window grows once a round, up to the round trip", true);
	user_write(&s, 10 * 1448);
	expect_segments(0, 10);
	wait_ns(&s, 10 * MS);
	sack_segments(0, 1, 4);
	expect(&s, A, at(0), 1, 1448);
	dsack_segment(4, 0, 0, 0); /* undone: it was reordering */
	CHECK_EQ(s.c->loss->window_steps, 1);
	CHECK_EQ(s.c->loss->reorderings, 1);
	s.c->total_retransmits += 10;
	dsack_segment(4, 1, 0, 0);
	CHECK_EQ(s.c->loss->window_steps, 2);
	dsack_segment(4, 2, 0, 0); /* the same round */
	CHECK_EQ(s.c->loss->window_steps, 2);
	send_segment(&s, A, 1, at(10), 0);
	dsack_segment(10, 3, 0, 0);
	CHECK_EQ(s.c->loss->window_steps, 3);
	uint32_t first = 10;
	for (uint32_t i = 0; i < TCP_RACK_RECOVERIES; i++, first += 2) {
		CHECK_EQ(s.c->loss->window_steps, 3);
		s.next = s.count;
		user_write(&s, 1448);
		wait_ns(&s, 12 * MS);
		user_write(&s, 1448);
		wait_ns(&s, 10 * MS);
		sack_segments(first, first + 1, first + 2);
		CHECK_EQ(s.c->congestion_state, TCP_CA_RECOVERY);
		wait_ns(&s, 10 * MS);
		s.timestamp += 50;
		send_segment(&s, A, 1, at(first + 2), 0);
		CHECK_EQ(s.c->congestion_state, TCP_CA_OPEN);
	}
	CHECK_EQ(s.c->loss->window_steps, 1);
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

static void urgent(void)
{
	begin_plain("the urgent pointer leads behind the urgent byte, and Nagle does not hold it");
	user_write(&s, 1000);
	expect(&s, A, 1, 1, 1000);
	user_write(&s, 100);
	expect_silence(&s);
	tcp_send_urgent(s.c);
	flush_hosts(&s);
	CHECK_EQ(expect(&s, A | TCP_URG, 1001, 1, 100)->urgent, 100);
	user_write(&s, 10);
	expect(&s, A, 1101, 1, 10);
	send_segment(&s, A, 1, 1111, 0);
	CHECK(!(s.c->odd & TCP_ODD_URGENT_SENT));
	user_write(&s, 10);
	expect(&s, A, 1111, 1, 10);
	script_end(&s);

	begin_plain("each segment before the urgent byte points to it");
	uint8_t *room;
	CHECK_EQ(tcp_send_reserve(s.c, 1460, &room), 1460);
	memset(room, 'x', 1460);
	tcp_send_commit(s.c, 1460, true);
	CHECK_EQ(tcp_send_reserve(s.c, 40, &room), 40);
	memset(room, 'x', 40);
	tcp_send_commit(s.c, 40, false);
	tcp_send_urgent(s.c);
	flush_hosts(&s);
	CHECK_EQ(expect(&s, A | TCP_URG, 1, 1, 1460)->urgent, 1500);
	CHECK_EQ(expect(&s, A | TCP_URG, 1461, 1, 40)->urgent, 40);
	script_end(&s);
}

static void unsent_low_water(void)
{
	uint8_t *room;
	begin_plain("TCP_NOTSENT_LOWAT: who waits is told when bytes have left, ACK or not");
	s.window = 1460;
	send_segment(&s, A, 1, 1, 1);
	expect(&s, A, 1, 2, 0);
	CHECK_EQ(tcp_set_option(s.c, TCP_OPTION_NOTSENT_LOWAT, 1000), 0);
	user_write(&s, 4380);
	expect(&s, A, 1, 2, 1460);
	CHECK(!(tcp_readiness(s.c) & NET_WRITABLE));
	s.events = 0;
	s.window = 65535;
	send_segment(&s, A, 1461, 1, 0);
	expect(&s, A, 1461, 2, 1460);
	expect(&s, A, 2921, 2, 1460);
	CHECK(s.events & NET_WRITABLE);
	CHECK(tcp_readiness(s.c) & NET_WRITABLE);
	expect_silence(&s);
	s.events = 0;
	s.window = 0;
	send_segment(&s, A, 4381, 1, 0);
	user_write(&s, 1460); /* unsent */
	CHECK(!(tcp_readiness(s.c) & NET_WRITABLE));
	while (tcp_send_reserve(s.c, 1, &room) > 0)
		tcp_send_commit(s.c, 1, false);
	CHECK_EQ(tcp_send_reserve(s.c, 1, &room), -EAGAIN);
	script_end(&s);
}

int main(void)
{
	congestion_window();
	retransmission();
	fast_retransmit();
	sack_sending();
	undo_by_timestamp();
	rack();
	undo_by_duplicates();
	reordering_window();
	nagle();
	zero_window();
	urgent();
	unsent_low_water();
	printf("ok\n");
	return 0;
}
