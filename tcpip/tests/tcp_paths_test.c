/*
 * Congestion control over simulated paths: what one transfer makes of a long fat path with random
 * loss, how much leaves at once while losses are repaired, and how two share a path.
 */
#include "tcpip/tests/sim.h"

#include "tcpip/tcp_internal.h"

#define FLOWS_MAX     2
#define CHUNK         131072

#define LOSSY_SECONDS 30
#define LOSSY_SEEDS   3

struct path {
	uint64_t bits_per_second, round_trip_ns;
	uint32_t queue_bytes, loss_ppm;
};

struct flow {
	struct tcp_connection *sender, *receiver, *listener;
	uint64_t received;
	bool signalled;
	/* As they were at the last instant, and since recovery began. */
	uint32_t known, una, known_at_start, mark, advances, recoveries;
	uint8_t state;
};

struct run {
	struct sim *sim;
	struct sim_host *a, *b;
	struct flow flow[FLOWS_MAX];
	uint32_t flows;
};

static void event(void *context, uint32_t readiness)
{
	(void)readiness;
	((struct flow *)context)->signalled = true;
}

static void run_create(struct run *r, const char *name, const struct path *path, uint64_t seed)
{
	memset(r, 0, sizeof(*r));
	r->sim = sim_create(seed, name, NULL);
	sim_set_verify_interval(r->sim, 1000);
	struct sim_host_config config = SIM_HOST_DEFAULTS;
	config.ring_slots = 1 << 20; /* packets wait at the bottleneck, not in the card */
	config.egress.delay_ns = path->round_trip_ns / 2;
	r->b = sim_add_host(r->sim, &config);
	config.egress.bits_per_second = path->bits_per_second;
	config.egress.queue_bytes = path->queue_bytes;
	r->a = sim_add_host(r->sim, &config);
	r->a->config.egress.loss_ppm = path->loss_ppm;
}

static void flow_start(struct run *r, const char *congestion)
{
	struct flow *f = &r->flow[r->flows];
	struct endpoint to = { r->b->config.address, (uint16_t)(80 + r->flows++) };
	CHECK_EQ(tcp_open(r->b->stack, &f->listener, event, f), 0);
	CHECK_EQ(tcp_bind(f->listener, to, true, false), 0);
	CHECK_EQ(tcp_listen(f->listener, 1), 0);
	CHECK_EQ(tcp_open(r->a->stack, &f->sender, event, f), 0);
	CHECK_EQ(tcp_set_congestion(f->sender, congestion), 0);
	CHECK_EQ(tcp_connect(f->sender, to), 0);
}

static void pump(struct flow *f)
{
	uint8_t *room;
	const uint8_t *bytes;
	int64_t n;
	f->signalled = false;
	if (!f->receiver && (f->receiver = tcp_accept(f->listener)) != NULL)
		tcp_set_event(f->receiver, event, f);
	while ((n = tcp_send_reserve(f->sender, CHUNK, &room)) > 0) {
		memset(room, 'x', (size_t)n);
		tcp_send_commit(f->sender, (uint32_t)n, false);
	}
	while (f->receiver && (n = tcp_receive_peek(f->receiver, 0, &bytes)) > 0) {
		tcp_receive_consume(f->receiver, (uint64_t)n);
		f->received += (uint64_t)n;
	}
}

/* After every instant: since recovery began no more has left than what is known to have arrived
 * since, and a segment for each ACK that went on, besides the first (RFC 6937 §3). */
static void watch(struct flow *f)
{
	const struct tcp_connection *c = f->sender;
	const struct tcp_interval_set *set = tcp_scoreboard(c);
	uint32_t known = c->snd_una.value + (set ? set->bytes : 0);
	if (c->congestion_state == TCP_CA_RECOVERY) {
		if (f->state != TCP_CA_RECOVERY || f->mark != c->congestion->prr_sent_mark) {
			f->mark = c->congestion->prr_sent_mark;
			f->known_at_start = f->known;
			f->advances = 1;
			f->recoveries++;
		}
		f->advances += f->una != c->snd_una.value;
		CHECK((uint32_t)c->bytes_sent - f->mark <=
		      known - f->known_at_start + f->advances * c->snd_mss);
	}
	f->known = known;
	f->una = c->snd_una.value;
	f->state = c->congestion_state;
}

static void run_for(struct run *r, uint64_t ns)
{
	uint64_t end = sim_now(r->sim) + ns;
	for (uint32_t i = 0; i < r->flows; i++)
		pump(&r->flow[i]);
	while (sim_now(r->sim) < end && sim_step(r->sim)) {
		for (uint32_t i = 0; i < r->flows; i++) {
			watch(&r->flow[i]);
			if (r->flow[i].signalled)
				pump(&r->flow[i]);
		}
	}
}

static void run_destroy(struct run *r)
{
	for (uint32_t i = 0; i < r->flows; i++) {
		tcp_abort(r->flow[i].sender);
		tcp_close(r->flow[i].sender);
		tcp_close(r->flow[i].listener);
		if (r->flow[i].receiver)
			tcp_close(r->flow[i].receiver);
	}
	sim_destroy(r->sim);
}

/* Mbit/s of one transfer. */
static double goodput(const char *congestion, const struct path *path, uint64_t seed)
{
	struct run r;
	run_create(&r, congestion, path, seed);
	flow_start(&r, congestion);
	run_for(&r, LOSSY_SECONDS * SIM_SECOND);
	struct flow *f = &r.flow[0];
	double rate = (double)f->received * 8 / 1e6 / LOSSY_SECONDS;
	printf("  %s: %.1f Mbit/s, %u recoveries, %u retransmitted, %llu timeouts\n", congestion,
	       rate, f->recoveries, f->sender->total_retransmits,
	       (unsigned long long)stack_counters(r.a->stack)->tcp_timeouts);
	run_destroy(&r);
	return rate;
}

static void random_loss(uint32_t loss_ppm, double least_ratio)
{
	const struct path path = { 100000000, 100 * SIM_MILLISECOND, 1250000, loss_ppm };
	double reno = 0, cubic = 0;
	for (uint64_t seed = 1; seed <= LOSSY_SEEDS; seed++) {
		reno += goodput("reno", &path, seed) / LOSSY_SEEDS;
		cubic += goodput("cubic", &path, seed) / LOSSY_SEEDS;
	}
	printf("100 Mbit/s, 100 ms, loss %.3f %%: reno %.1f Mbit/s, cubic %.1f, ratio %.2f\n",
	       loss_ppm / 1e4, reno, cubic, cubic / reno);
	CHECK(cubic >= least_ratio * reno);
}

/* The second comes when the first has all of the path. Shares of the last 40 s (Jain's index). */
static void fairness(const char *first, double least_index)
{
	const struct path path = { 20000000, 40 * SIM_MILLISECOND, 100000, 0 };
	struct run r;
	run_create(&r, first, &path, 5);
	flow_start(&r, first);
	run_for(&r, 10 * SIM_SECOND);
	flow_start(&r, "cubic");
	run_for(&r, 10 * SIM_SECOND);
	double before[2] = { (double)r.flow[0].received, (double)r.flow[1].received };
	run_for(&r, 40 * SIM_SECOND);
	double x = ((double)r.flow[0].received - before[0]) * 8 / 40e6;
	double y = ((double)r.flow[1].received - before[1]) * 8 / 40e6;
	double index = (x + y) * (x + y) / (2 * (x * x + y * y));
	printf("20 Mbit/s, 40 ms: %s has %.1f Mbit/s, a later cubic %.1f, index %.3f\n", first, x,
	       y, index);
	CHECK(index >= least_index);
	CHECK(x + y >= 18);
	run_destroy(&r);
}

int main(void)
{
	random_loss(100, 1.3);
	random_loss(1000, 1.1);
	fairness("cubic", 0.98);
	fairness("reno", 0.8);
	return 0;
}
