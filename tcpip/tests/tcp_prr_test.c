/* Proportional rate reduction, ACK by ACK: what leaves during recovery follows what was delivered
 * (RFC 6937). */
#include "tcpip/tests/tcp_script.h"

#define MSS    1448u
#define WINDOW 20u /* segments in flight when the loss shows */

static struct script s;
static uint32_t base; /* sequence number of the window's first byte */
static uint16_t peer_window = 2000;

/* WINDOW segments are in flight, and as many more wait. */
static void begin(const char *name, const char *congestion, bool sack)
{
	script_begin(&s, name);
	s.timestamps = sack;
	s.sack = sack;
	s.scaling = true;
	s.wscale = 7;
	s.window = 2000;
	script_listen(&s, 16);
	script_accept(&s);
	CHECK_EQ(tcp_set_congestion(s.c, congestion), 0);
	tcp_set_option(s.c, TCP_OPTION_SEND_BUFFER, 1 << 20);
	uint32_t mss = s.c->snd_mss;
	user_write(&s, 200 * mss);
	wait_ns(&s, 1 * MS);
	s.window = peer_window;
	send_segment(&s, A, 1, 1 + 10 * mss, 0); /* slow start: the window doubles */
	wait_ns(&s, MS / 2);
	s.next = s.count;
	base = 1 + 10 * mss;
	CHECK_EQ(s.c->cwnd, WINDOW * mss);
	CHECK_EQ(tcp_flight(s.c), WINDOW * mss);
}

/* What has left since this was last asked, in segments. */
static uint32_t left(void)
{
	uint32_t bytes = 0;
	for (; s.next < s.count; s.next++)
		bytes += s.seen[s.next].length;
	CHECK_EQ(bytes % s.c->snd_mss, 0);
	return bytes / s.c->snd_mss;
}

static void sack_from(uint32_t first, uint32_t end)
{
	struct tcp_interval block = { seq(base + first * MSS), seq(base + end * MSS) };
	inject(&s, (struct sending){
	                   .flags = A, .seq = 1, .ack = base, .sack = &block, .sack_count = 1 });
}

/* One segment of the window is lost: of each ten delivered, the threshold's share is sent, evenly.
 */
static void proportional(const char *congestion, uint32_t threshold)
{
	begin(congestion, congestion, true);
	sack_from(1, 2);
	sack_from(1, 3);
	CHECK_EQ(left(), 2); /* limited transmit */
	sack_from(1, 4);
	CHECK_EQ(s.c->congestion_state, TCP_CA_RECOVERY);
	CHECK_EQ(s.c->ssthresh / MSS, threshold);
	CHECK_EQ(s.seen[s.next].seq, base); /* at once */
	uint32_t sent = left(), delivered = 1, flight = WINDOW;
	CHECK_EQ(sent, 1);
	for (uint32_t end = 5; end <= WINDOW; end++) {
		sack_from(1, end);
		sent += left();
		delivered++;
		CHECK(sent <= (delivered * threshold + flight - 1) / flight);
		CHECK(sent + 1 >= delivered * threshold / flight);
	}
	uint32_t outstanding = sent + 2;
	CHECK(outstanding >= threshold && outstanding <= threshold + 2);
	send_segment(&s, A, 1, base + WINDOW * MSS, 0);
	send_segment(&s, A, 1, s.c->recover.value - s.c->iss.value, 0);
	CHECK_EQ(s.c->congestion_state, TCP_CA_OPEN);
	CHECK_EQ(s.c->cwnd, threshold * MSS);
	script_end(&s);
}

/* Most of the window is lost: what is on the wire is less than the threshold at once, and grows by
 * what is delivered and a segment more, as in slow start. */
static void many_losses(void)
{
	begin("twelve of twenty are lost", "cubic", true);
	sack_from(12, 15);
	CHECK_EQ(s.c->congestion_state, TCP_CA_RECOVERY);
	uint32_t sent = left(), pipe = sent + 5;
	CHECK(sent >= 1 && sent <= 3);
	for (uint32_t end = 16; end <= WINDOW; end++) {
		sack_from(12, end);
		uint32_t now = left();
		CHECK(now >= 1 && now <= 2);
		sent += now;
		pipe += now - 1;
	}
	CHECK(pipe < 14);
	/* Partial ACKs, each of one repaired segment: two leave, until the threshold is reached. */
	for (uint32_t repaired = 1; repaired <= 6; repaired++) {
		struct tcp_interval block = { seq(base + 12 * MSS), seq(base + WINDOW * MSS) };
		inject(&s, (struct sending){ .flags = A,
		                             .seq = 1,
		                             .ack = base + repaired * MSS,
		                             .sack = &block,
		                             .sack_count = 1 });
		uint32_t now = left();
		CHECK(now <= 2);
		pipe += now - 1;
		CHECK(pipe <= 14);
		CHECK(now == 2 || pipe == 14);
	}
	CHECK_EQ(pipe, 14);
	script_end(&s);
}

/* The peer's window was full, so that nothing is in flight when recovery ends: what leaves then is
 * no more than what a connection may begin with, and slow start brings the rest. */
static void no_burst(void)
{
	peer_window = (uint16_t)(WINDOW * MSS / 128 + 1);
	begin("nothing in flight when recovery ends", "cubic", true);
	peer_window = 2000;
	for (uint32_t end = 2; end <= WINDOW; end++)
		sack_from(1, end);
	CHECK_EQ(left(), 1);
	CHECK_EQ(s.c->ssthresh, 14 * MSS);
	s.window = peer_window;
	send_segment(&s, A, 1, base + WINDOW * MSS, 0);
	CHECK_EQ(s.c->congestion_state, TCP_CA_OPEN);
	CHECK_EQ(left(), 10);
	CHECK_EQ(s.c->ssthresh, 14 * MSS);
	send_segment(&s, A, 1, base + (WINDOW + 4) * MSS, 0);
	CHECK_EQ(s.c->cwnd, 14 * MSS);
	script_end(&s);
}

/* Without SACK each duplicate ACK is a segment that was delivered. */
static void without_sack(void)
{
	begin("duplicate ACKs", "reno", false);
	uint32_t mss = s.c->snd_mss;
	for (int i = 0; i < 3; i++)
		send_segment(&s, A, 1, base, 0);
	CHECK_EQ(s.c->congestion_state, TCP_CA_RECOVERY);
	CHECK_EQ(s.c->ssthresh / mss, 10);
	uint32_t sent = left() - 2;
	CHECK_EQ(sent, 1);
	for (uint32_t i = 2; i <= WINDOW - 3; i++) {
		send_segment(&s, A, 1, base, 0);
		uint32_t now = left();
		CHECK(now <= 1);
		sent += now;
	}
	CHECK(sent >= 8 && sent <= 10);
	send_segment(&s, A, 1, s.c->recover.value - s.c->iss.value, 0);
	CHECK_EQ(s.c->congestion_state, TCP_CA_OPEN);
	CHECK_EQ(s.c->cwnd, 10 * mss);
	script_end(&s);
}

/* Without memory for it the window falls to the threshold at once: nothing leaves until half of it
 * has been delivered. */
static void without_memory(void)
{
	begin("no memory", "reno", true);
	CHECK(!s.c->congestion);
	sack_from(1, 3);
	left();
	s.wire.impairments.allocation_failures = 1000;
	s.wire.quiet = false;
	sack_from(1, 4);
	s.wire.quiet = true;
	CHECK_EQ(s.c->congestion_state, TCP_CA_RECOVERY);
	CHECK_EQ(left(), 1);
	CHECK_EQ(s.c->cwnd, 10 * MSS);
	for (uint32_t end = 5; end <= WINDOW; end++)
		sack_from(1, end);
	CHECK(left() >= 5);
	send_segment(&s, A, 1, s.c->recover.value - s.c->iss.value, 0);
	CHECK_EQ(s.c->cwnd, 10 * MSS);
	script_end(&s);
}

int main(void)
{
	proportional("cubic", 14);
	proportional("reno", 10);
	many_losses();
	no_burst();
	without_sack();
	without_memory();
	printf("ok\n");
	return 0;
}
