/*
 * Random segments, calls and time steps against one stack, all invariants after each. Sequence
 * numbers lie near what is expected, so that most get past the first checks.      tcp_fuzz_test
 * [seeds [first seed]]
 */
#include "tcpip/tests/tcp_script.h"

#define STEPS 400

static struct script s;
static struct random_source r;

static uint32_t near(uint32_t value)
{
	static const uint32_t spans[] = { 1, 3, 100, 3000, 70000, 0x7fffffff };
	uint32_t span = spans[random_below(&r, 6)];
	return value + random_below(&r, 2 * span) - span;
}

static uint32_t our_next(void)
{
	return s.c && s.c->hashed ? s.c->snd_nxt.value - s.iss : 1;
}

static uint32_t their_next(void)
{
	return s.c && s.c->hashed ? s.c->rcv_nxt.value - PEER_ISS : 1;
}

static void random_segment(void)
{
	static const uint8_t usual[] = { A,       A,           A,       A | TCP_PSH, A | TCP_FIN,
		                         TCP_SYN, TCP_SYN | A, TCP_RST, A | TCP_URG };
	struct tcp_interval blocks[3];
	struct sending segment = { .sack = blocks };
	segment.flags =
	        random_chance(&r, 900) ? usual[random_below(&r, 9)] : (uint8_t)random_next(&r);
	segment.seq = random_chance(&r, 500) ? their_next() : near(their_next());
	segment.ack = random_chance(&r, 500) ? our_next() : near(our_next());
	if (random_chance(&r, 500))
		segment.length = random_below(&r, random_chance(&r, 500) ? 20 : 1400);
	segment.urgent = (uint16_t)random_below(&r, 2000);
	segment.no_timestamp = random_chance(&r, 50);
	if (random_chance(&r, 300) && !(segment.flags & TCP_SYN)) {
		segment.sack_count = 1 + random_below(&r, 2);
		for (uint32_t i = 0; i < segment.sack_count; i++) {
			blocks[i].start = seq(near(our_next()));
			blocks[i].end = seq_add(blocks[i].start, random_below(&r, 5000));
		}
	}
	if (segment.sack_count > 1 && s.timestamps)
		segment.sack_count = 2;
	if (random_chance(&r, 200))
		s.window = (uint16_t)(random_chance(&r, 300) ? 0 : random_next(&r));
	s.timestamp += random_chance(&r, 800) ? 1 : random_below(&r, 1000) - 500;
	inject(&s, segment);
}

static void random_call(void)
{
	uint8_t *room;
	const uint8_t *bytes;
	int64_t n;
	if (!s.c) {
		s.c = tcp_accept(s.listener);
		return;
	}
	switch (random_below(&r, 12)) {
	case 0:
	case 1:
	case 2:
		n = tcp_send_reserve(s.c, 1 + random_below(&r, 5000), &room);
		if (n > 0) {
			memset(room, 1, (size_t)n);
			tcp_send_commit(s.c, (uint32_t)random_below(&r, (uint32_t)n + 1),
			                random_chance(&r, 200));
		}
		break;
	case 3:
	case 4:
	case 5:
		n = tcp_receive_peek(s.c, random_below(&r, 3000), &bytes);
		if (n > 0)
			s.events += bytes[n - 1];
		tcp_receive_consume(s.c, random_below(&r, 3000));
		break;
	case 6:
		tcp_set_option(s.c, (enum tcp_option)random_below(&r, TCP_OPTION_OOB_INLINE + 1),
		               (int64_t)near(random_below(&r, 3000)));
		break;
	case 7:
		tcp_receive_urgent(s.c, random_chance(&r, 500));
		break;
	case 8:
		if (random_chance(&r, 200))
			tcp_shutdown(s.c, random_chance(&r, 500), random_chance(&r, 700));
		break;
	case 9:
		if (random_chance(&r, 100)) {
			tcp_close(s.c);
			s.c = NULL;
		}
		break;
	case 10: {
		struct tcp_information info;
		tcp_get_information(s.c, &info);
		s.events += tcp_readiness(s.c) + info.unacked;
		break;
	}
	default: {
		struct icmp_error error = { .type = 3,
			                    .code = (uint8_t)random_below(&r, 6),
			                    .error = EHOSTUNREACH,
			                    .local = tcp_local(s.c),
			                    .remote = tcp_remote(s.c),
			                    .sequence = seq(s.iss + near(our_next())),
			                    .mtu = random_below(&r, 2000) };
		if (random_chance(&r, 200))
			tcp_icmp_error(s.wire.host[0].stack, &error);
		break;
	}
	}
	flush_hosts(&s);
}

/* Its backlog is full for the next minute: connections come from cookies. */
static void listen_full(void)
{
	script_listen(&s, 0);
	s.peer_port = PEER_PORT + 1;
	send_segment(&s, TCP_SYN, 0, 0, 0);
	s.peer_port = PEER_PORT;
	s.iss_known = false;
	s.count = s.next = 0;
}

static void begin(uint64_t seed)
{
	char name[64];
	snprintf(name, sizeof(name), "seed %llu", (unsigned long long)seed);
	r.state = seed;
	script_begin(&s, name);
	s.timestamps = random_chance(&r, 500);
	s.sack = random_chance(&r, 700);
	s.scaling = random_chance(&r, 500);
	s.wscale = (uint8_t)random_below(&r, 15);
	if (random_chance(&r, 300))
		listen_full();
	else
		script_listen(&s, 3);
	if (random_chance(&r, 300))
		tcp_set_option(s.listener, TCP_OPTION_RECEIVE_BUFFER, 1 + random_below(&r, 20000));
	if (random_chance(&r, 800)) {
		script_accept(&s);
		tcp_set_event(s.c, script_event, &s);
	} else {
		script_connect(&s);
		if (random_chance(&r, 700))
			send_segment(&s, TCP_SYN | A, 0, 1, 0);
	}
}

static void fuzz(uint64_t seed)
{
	begin(seed);
	for (int step = 0; step < STEPS; step++) {
		uint32_t what = random_below(&r, 10);
		if (what < 6)
			random_segment();
		else if (what < 9)
			random_call();
		else
			wait_ns(&s, random_next(&r) %
			                    (random_chance(&r, 900) ? 300 * MS : 100 * SECOND));
		s.count = s.next = 0;
	}
	/* However confused: alone with its timers the stack comes to an end. */
	if (s.c)
		tcp_close(s.c);
	s.c = NULL;
	struct tcp_connection *c;
	while ((c = tcp_accept(s.listener)) != NULL)
		tcp_close(c);
	wait_ns(&s, 2000 * SECOND);
	while ((c = tcp_accept(s.listener)) != NULL)
		tcp_close(c);
	CHECK_EQ(stack_counters(s.wire.host[0].stack)->tcp_live, 1);
	CHECK_EQ(stack_counters(s.wire.host[0].stack)->tcp_time_wait, 0);
	script_end(&s);
}

int main(int argc, char **argv)
{
	uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 0) : 400;
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	for (uint64_t seed = first; seed < first + seeds; seed++)
		fuzz(seed);
	printf("%llu seeds: ok\n", (unsigned long long)seeds);
	return 0;
}
