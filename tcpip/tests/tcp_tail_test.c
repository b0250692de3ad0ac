/* Scripts for the tail loss probe (RFC 8985 §7). The round trip is 10 ms, so the probe is due after
 * some 22 ms and the retransmission timer after 210. */
#include "tcpip/tests/tcp_script.h"

static struct script s;

static void begin(const char *name, bool sack)
{
	script_begin(&s, name);
	s.timestamps = s.scaling = s.sack = sack;
	s.wscale = sack ? 7 : 0;
	s.window = sack ? 512 : 65535;
	script_listen(&s, 16);
	script_accept(&s);
	user_write(&s, 100);
	expect(&s, A, 1, 1, 100);
	wait_ns(&s, 10 * MS);
	s.c->srtt_us8 = 0; /* the handshake took no time */
	send_segment(&s, A, 1, 101, 0);
}

static void send_sack(uint32_t ack, uint32_t start, uint32_t end)
{
	struct tcp_interval block = { seq(start), seq(end) };
	inject(&s, (struct sending){
	                   .flags = A, .seq = 1, .ack = ack, .sack = &block, .sack_count = 1 });
}

static void write_segments(uint32_t count)
{
	uint32_t mss = s.c->snd_mss;
	user_write(&s, count * mss);
	for (uint32_t i = 0; i < count; i++)
		expect(&s, A, 101 + i * mss, 1, mss);
}

static uint64_t counted(void)
{
	return stack_counters(s.wire.host[0].stack)->tcp_tail_probes;
}

static void finish(uint64_t probes, uint64_t timeouts)
{
	CHECK_EQ(counted(), probes);
	CHECK_EQ(stack_counters(s.wire.host[0].stack)->tcp_timeouts, timeouts);
	script_end(&s);
}

static void with_sack(void)
{
	begin("SACK: the probe shows the hole", true);
	write_segments(5);
	send_segment(&s, A, 1, 101 + 2 * 1448, 0);
	wait_ns(&s, 20 * MS);
	expect_silence(&s);
	wait_ns(&s, 10 * MS);
	expect(&s, A, 101 + 4 * 1448, 1, 1448);
	send_sack(101 + 2 * 1448, 101 + 4 * 1448, 101 + 5 * 1448);
	CHECK_EQ(s.c->congestion_state, TCP_CA_RECOVERY);
	expect(&s, A, 101 + 2 * 1448, 1, 1448);
	send_sack(101 + 3 * 1448, 101 + 4 * 1448, 101 + 5 * 1448);
	while (s.next < s.count && s.seen[s.next].seq == 101 + 3 * 1448)
		s.next++;
	expect_silence(&s);
	send_segment(&s, A, 1, 101 + 5 * 1448, 0);
	CHECK_EQ(s.c->congestion_state, TCP_CA_OPEN);
	finish(1, 0);

	begin("the probe repaired the loss: the window shrinks, once", true);
	write_segments(3);
	send_segment(&s, A, 1, 101 + 1448, 0);
	wait_ns(&s, 30 * MS);
	expect(&s, A, 101 + 2 * 1448, 1, 1448);
	send_segment(&s, A, 1, 101 + 3 * 1448, 0);
	uint32_t before = s.c->cwnd;
	user_write(&s, 100);
	expect(&s, A, 101 + 3 * 1448, 1, 100);
	send_segment(&s, A, 1, 201 + 3 * 1448, 0);
	CHECK_EQ(s.c->cwnd, before * 7 / 10);
	finish(1, 0);

	begin("D-SACK: the probe was not needed, the window stays", true);
	write_segments(3);
	wait_ns(&s, 30 * MS);
	expect(&s, A, 101 + 2 * 1448, 1, 1448);
	send_sack(101 + 3 * 1448, 101 + 2 * 1448, 101 + 3 * 1448);
	before = s.c->cwnd;
	user_write(&s, 100);
	expect(&s, A, 101 + 3 * 1448, 1, 100);
	send_segment(&s, A, 1, 201 + 3 * 1448, 0);
	CHECK(s.c->cwnd >= before);
	finish(1, 0);

	begin("new data beyond the congestion window is the probe", true);
	user_write(&s, 20 * 1448);
	wait_ns(&s, 1 * MS);
	uint32_t sent = s.c->snd_nxt.value - s.c->iss.value;
	s.next = s.count;
	wait_ns(&s, 30 * MS);
	expect(&s, A, sent, 1, 1448);
	expect_silence(&s);
	finish(1, 0);

	begin("one probe only, then the retransmission timer in full", true);
	write_segments(3);
	uint64_t start = s.wire.now_ns;
	wait_ns(&s, 150 * MS);
	uint64_t probe = expect(&s, A, 101 + 2 * 1448, 1, 1448)->at_ns - start;
	CHECK(probe >= 20 * MS && probe < 30 * MS);
	expect_silence(&s);
	wait_ns(&s, 150 * MS);
	uint64_t timeout = expect(&s, A, 101, 1, 1448)->at_ns - start;
	CHECK(timeout >= probe + 200 * MS);
	finish(1, 1);
}

static void without_sack(void)
{
	begin("without SACK the first segment is the probe; its lone ACK says the rest is lost",
	      false);
	write_segments(4);
	wait_ns(&s, 30 * MS);
	expect(&s, A, 101, 1, 1460);
	send_segment(&s, A, 1, 101 + 1460, 0);
	CHECK_EQ(s.c->congestion_state, TCP_CA_LOSS);
	expect(&s, A, 101 + 1460, 1, 1460);
	send_segment(&s, A, 1, 101 + 2 * 1460, 0);
	expect(&s, A, 101 + 2 * 1460, 1, 1460);
	expect(&s, A, 101 + 3 * 1460, 1, 1460);
	send_segment(&s, A, 1, 101 + 4 * 1460, 0);
	CHECK_EQ(s.c->congestion_state, TCP_CA_OPEN);
	finish(1, 0);

	begin("without SACK one duplicate ACK of the probe is enough", false);
	write_segments(4);
	wait_ns(&s, 30 * MS);
	expect(&s, A, 101, 1, 1460);
	send_segment(&s, A, 1, 101, 0);
	expect(&s, A, 101, 1, 1460);
	CHECK_EQ(s.c->congestion_state, TCP_CA_RECOVERY);
	finish(1, 0);
}

static void not_due(void)
{
	begin("no probe for one segment", true);
	write_segments(1);
	wait_ns(&s, 150 * MS);
	expect_silence(&s);
	finish(0, 0);

	begin("no probe when nothing is in flight", true);
	write_segments(3);
	send_segment(&s, A, 1, 101 + 3 * 1448, 0);
	wait_ns(&s, 10 * SECOND);
	expect_silence(&s);
	finish(0, 0);

	begin("no probe into a closed window", true);
	write_segments(3);
	s.window = 0;
	send_segment(&s, A, 1, 101 + 1448, 0);
	wait_ns(&s, 150 * MS);
	expect_silence(&s);
	finish(0, 0);
}

int main(void)
{
	with_sack();
	without_sack();
	not_due();
	printf("ok\n");
	return 0;
}
