/* CUBIC and HyStart++ by themselves: windows that are told of ACKs and losses, against RFC 9438 in
 * floating point. */
#include "tcpip/tests/tcp_wire.h"

#include <math.h>

#define MSS         1448u
#define MS          1000000ull
#define C_PER_S3    0.4
#define ALPHA       (9.0 / 17.0)
#define SEGMENTS(n) ((uint32_t)(n)*MSS)

static struct wire wire;
static struct tcp_connection *c;
static const char *name;

static void begin(const char *what, uint64_t rtt_ms)
{
	const struct impairments none = { 0 };
	name = what;
	wire_create(&wire, &none, 1);
	CHECK_EQ(tcp_open(wire.host[0].stack, &c, NULL, NULL), 0);
	CHECK(!strcmp(tcp_get_congestion(c), "cubic"));
	c->snd_mss = MSS;
	c->min_rtt_us = (uint32_t)rtt_ms * 1000;
	c->rto_us = c->min_rtt_us + TCP_RTO_MIN_US;
	tcp_congestion_start(c);
}

static void end(void)
{
	tcp_close(c);
	wire_destroy(&wire);
}

static void pass_us(uint64_t us)
{
	wire.now_ns += us * 1000;
	wire.host[0].loop.now_ns = wire.now_ns;
}

/* A window's worth of ACKs of two segments each, spread over a round trip. */
static void acknowledge_window(uint64_t rtt_ms)
{
	uint32_t left = c->cwnd;
	uint64_t ack_us = rtt_ms * 1000 * 2 * MSS / c->cwnd;
	while (left) {
		uint32_t bytes = min_u32(left, 2 * MSS);
		left -= bytes;
		c->bytes_acked += bytes;
		pass_us(ack_us);
		tcp_congestion_acked(c, bytes);
	}
}

static void must_be_close(const char *what, double is, double wanted, double share)
{
	if (fabs(is - wanted) > share * wanted) {
		fprintf(stderr, "%s: %s is %.2f, wanted %.2f\n", name, what, is, wanted);
		abort();
	}
}

/* The functions of the curve, to half a segment or a thousandth. */
static void curve(void)
{
	static const uint32_t sizes[] = { 88, 536, 1448, 8948, 65408 };
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		uint32_t mss = sizes[s];
		for (double w = 3; w * mss < (1 << 30); w *= 1.7) {
			uint32_t w_max = (uint32_t)(w * mss), cwnd = (uint32_t)(w_max * 7ull / 10);
			double k = cbrt(((double)w_max - cwnd) / mss / C_PER_S3);
			struct tcp_congestion m = { .plateau = w_max,
				                    .k_ms = tcp_cubic_k_ms(cwnd, w_max, mss) };
			CHECK(fabs(m.k_ms - k * 1000) <= 1);
			for (double t = 0; t < 3 * k; t += k / 50) {
				double ideal = C_PER_S3 * pow(t - k, 3) + (double)w_max / mss;
				double is =
				        (double)tcp_cubic_window(&m, (uint32_t)(t * 1000), mss) /
				        mss;
				CHECK(fabs(is - ideal) <= 0.5 + ideal / 1000);
			}
		}
	}
	struct tcp_congestion m = { .plateau = 10 * MSS };
	CHECK_EQ(tcp_cubic_window(&m, 0, MSS), 10 * MSS);
	CHECK_EQ(tcp_cubic_window(&m, UINT32_MAX, 65408), UINT32_MAX);
	m.k_ms = 1 << 20;
	CHECK_EQ(tcp_cubic_window(&m, 0, MSS), 0);
	CHECK_EQ(tcp_cubic_k_ms(MSS, MSS, MSS), 0);
}

/* From a loss to far beyond the window at which it happened: within 1 % of what RFC 9438 §4.2
 * to 4.5 make of the same ACKs in floating point. */
static void growth(uint32_t segments, uint64_t rtt_ms, uint64_t seconds, double share)
{
	begin("growth after a loss", rtt_ms);
	c->cwnd = SEGMENTS(segments);
	c->ssthresh = c->cwnd = tcp_cubic.threshold(c);
	must_be_close("ssthresh", c->cwnd, 0.7 * SEGMENTS(segments), 0.001);
	double w_max = segments, w = w_max * 0.7, w_est = w, k = cbrt((w_max - w) / C_PER_S3);
	double rtt = (double)rtt_ms / 1000;
	uint64_t started = wire.now_ns;
	bool cubic_led = false, reno_led = false;
	while (wire.now_ns - started < seconds * 1000000000ull) {
		double t = (double)(wire.now_ns - started) / 1e9;
		uint32_t acks = (uint32_t)(c->cwnd / (2.0 * MSS));
		for (uint32_t i = 0; i < acks; i++) {
			double now = t + rtt * (i + 1) / acks;
			double curve_now = C_PER_S3 * pow(now + rtt - k, 3) + w_max;
			w_est += (w_est < w_max ? ALPHA : 1) * 2 / w;
			double target = fmin(fmax(fmax(curve_now, w_est), w), 1.5 * w);
			(curve_now > w_est ? &cubic_led : &reno_led)[0] = true;
			w += (target - w) / w * 2;
		}
		acknowledge_window(rtt_ms);
		must_be_close("cwnd", (double)c->cwnd / MSS, w, share);
	}
	CHECK(c->cwnd > SEGMENTS(segments));
	CHECK(rtt_ms >= 30 ? cubic_led : reno_led);
	end();
}

static void losses(void)
{
	begin("0.7; fast convergence; a timeout; undone", 100);
	c->cwnd = SEGMENTS(100);
	CHECK_EQ(tcp_cubic.threshold(c), SEGMENTS(70));
	CHECK_EQ(c->congestion->w_max, SEGMENTS(100));
	c->cwnd = SEGMENTS(80);
	CHECK_EQ(tcp_cubic.threshold(c), SEGMENTS(56));
	CHECK_EQ(c->congestion->w_max, SEGMENTS(68));
	tcp_cubic.undone(c);
	CHECK_EQ(c->congestion->w_max, SEGMENTS(100));
	c->cwnd = SEGMENTS(120);
	CHECK_EQ(tcp_cubic.threshold(c), SEGMENTS(84));
	CHECK_EQ(c->congestion->w_max, SEGMENTS(120));
	tcp_cubic.timed_out(c);
	c->cwnd = c->ssthresh = SEGMENTS(84);
	acknowledge_window(100);
	CHECK_EQ(c->congestion->plateau, SEGMENTS(84));
	CHECK_EQ(c->congestion->k_ms, 0);
	/* The limit is not known any more: a twentieth per round trip. */
	CHECK(c->cwnd >= SEGMENTS(84 + 4) && c->cwnd <= SEGMENTS(84 + 5));
	c->cwnd = MSS;
	CHECK_EQ(tcp_cubic.threshold(c), SEGMENTS(2));
	end();
}

static void idle(void)
{
	begin("time in which the window was not the limit does not count", 50);
	c->cwnd = SEGMENTS(1000);
	c->ssthresh = c->cwnd = tcp_cubic.threshold(c);
	for (int i = 0; i < 60; i++)
		acknowledge_window(50);
	uint32_t before = c->cwnd, elapsed_ms = tcp_now_ms(c->tcp) - c->congestion->epoch_ms;
	CHECK(before < SEGMENTS(1000));
	pass_us(100000000);
	acknowledge_window(50);
	CHECK(c->cwnd - before < before / 50);
	CHECK(tcp_now_ms(c->tcp) - c->congestion->epoch_ms <= elapsed_ms + 51);

	/* RFC 5681 §4.1, as Linux: half per RTO, to the initial window; slow start to 3/4. */
	c->last_sent_ns = wire.now_ns;
	before = c->cwnd;
	pass_us(c->rto_us * 5 / 2);
	tcp_congestion_idle(c);
	CHECK_EQ(c->cwnd, before / 4);
	CHECK_EQ(c->ssthresh, max_u32(SEGMENTS(700), before / 4 * 3));
	pass_us(c->rto_us * 60ull);
	tcp_congestion_idle(c);
	CHECK_EQ(c->cwnd, SEGMENTS(10));
	/* No jump to where Reno would be: a half more per round trip at most. */
	c->ssthresh = c->cwnd;
	acknowledge_window(50);
	CHECK(c->cwnd <= SEGMENTS(16));
	end();
}

static void reno(void)
{
	begin("Reno: a segment per window; the name changes it", 50);
	CHECK_EQ(tcp_set_congestion(c, "reno"), 0);
	CHECK_EQ(tcp_set_congestion(c, "vegas"), -ENOENT);
	CHECK(!strcmp(tcp_get_congestion(c), "reno"));
	c->cwnd = c->ssthresh = SEGMENTS(100);
	for (int i = 1; i <= 20; i++) {
		acknowledge_window(50);
		CHECK_EQ(c->cwnd, SEGMENTS(100 + i));
	}
	c->cwnd_count = 0;
	CHECK_EQ(tcp_reno.threshold(c), SEGMENTS(60));
	CHECK(!c->congestion);
	end();

	begin("without memory it is Reno", 50);
	c->cwnd = c->ssthresh = SEGMENTS(100);
	wire.impairments.allocation_failures = 1000;
	wire.quiet = false;
	for (int i = 1; i <= 20; i++) {
		acknowledge_window(50);
		CHECK_EQ(c->cwnd, SEGMENTS(100 + i));
	}
	CHECK_EQ(tcp_cubic.threshold(c), SEGMENTS(84));
	wire.quiet = true;
	end();
}

/* A round trip of slow start: all of the window is acknowledged, its first segment after rtt_ms. */
static void slow_round(uint32_t rtt_ms)
{
	uint32_t left = c->cwnd - 2 * MSS;
	pass_us(rtt_ms * 1000ull);
	c->bytes_acked += 2 * MSS;
	c->delivered_us = rtt_ms * 1000;
	c->delivery_rate_mark = (uint32_t)c->bytes_acked;
	tcp_congestion_acked(c, 2 * MSS);
	for (; left >= 2 * MSS; left -= 2 * MSS) {
		c->bytes_acked += 2 * MSS;
		tcp_congestion_acked(c, 2 * MSS);
	}
}

static uint32_t css_rounds(void)
{
	return c->congestion ? c->congestion->css_rounds : 0;
}

static void slow_start(void)
{
	begin("slow start ends by delay, a quarter of its pace for five rounds before", 100);
	for (int i = 0; i < 4; i++)
		slow_round(100);
	CHECK_EQ(c->cwnd, SEGMENTS(160));
	slow_round(112); /* less than an eighth more */
	CHECK_EQ(c->cwnd, SEGMENTS(320));
	slow_round(113);
	CHECK_EQ(css_rounds(), 1);
	CHECK(c->cwnd >= SEGMENTS(399) && c->cwnd <= SEGMENTS(400));
	for (int i = 0; i < 4; i++)
		slow_round(130);
	CHECK_EQ(c->ssthresh, UINT32_MAX);
	uint32_t before = c->cwnd;
	slow_round(130);
	CHECK_EQ(c->ssthresh, before);
	CHECK(c->cwnd < before + before / 16);
	end();

	begin("a delay that passes does not end it", 200);
	for (int i = 0; i < 4; i++)
		slow_round(200);
	slow_round(215);
	CHECK_EQ(css_rounds(), 0);
	slow_round(216); /* 16 ms are enough */
	CHECK_EQ(css_rounds(), 1);
	before = c->cwnd;
	slow_round(205);
	CHECK_EQ(css_rounds(), 0);
	CHECK_EQ(c->cwnd, 2 * before);
	end();

	begin("a short path: 4 ms more at least", 1);
	slow_round(1);
	slow_round(1);
	slow_round(4);
	CHECK_EQ(css_rounds(), 0);
	slow_round(5);
	CHECK_EQ(css_rounds(), 1);
	end();
}

int main(void)
{
	curve();
	growth(1000, 100, 20, 0.01);
	growth(4000, 30, 30, 0.01);
	growth(200, 200, 20, 0.01);
	growth(400, 2, 1, 0.01); /* where Reno is faster */
	losses();
	idle();
	reno();
	slow_start();
	printf("ok\n");
	return 0;
}
