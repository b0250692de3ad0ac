/* TCP over the loopback interface: round trips of no time at all, segments of 64 KiB, both ends in
 * one stack. */
#include "tcpip/tests/tcp_wire.h"

struct end {
	struct tcp_connection *c;
	uint64_t to_send, sent, received;
	bool signalled;
};

struct pair {
	struct wire wire;
	struct tcp_connection *listener;
	struct end end[2];
	uint64_t turns;
};

static void event(void *context, uint32_t readiness)
{
	(void)readiness;
	((struct end *)context)->signalled = true;
}

static void pair_create(struct pair *p, struct ipv4_address address, uint32_t buffers)
{
	const struct impairments none = { .offloads = 0 };
	memset(p, 0, sizeof(*p));
	wire_create(&p->wire, &none, 5);
	struct host *host = &p->wire.host[0];
	CHECK_EQ(tcp_open(host->stack, &p->listener, NULL, NULL), 0);
	CHECK_EQ(tcp_open(host->stack, &p->end[0].c, event, &p->end[0]), 0);
	if (buffers) {
		tcp_set_option(p->listener, TCP_OPTION_RECEIVE_BUFFER, buffers);
		tcp_set_option(p->listener, TCP_OPTION_SEND_BUFFER, buffers);
		tcp_set_option(p->end[0].c, TCP_OPTION_RECEIVE_BUFFER, buffers);
		tcp_set_option(p->end[0].c, TCP_OPTION_SEND_BUFFER, buffers);
	}
	CHECK_EQ(tcp_bind(p->listener, (struct endpoint){ { 0 }, 80 }, true, false), 0);
	CHECK_EQ(tcp_listen(p->listener, 10), 0);
	CHECK_EQ(tcp_connect(p->end[0].c, (struct endpoint){ address, 80 }), 0);
	loop_flush(&host->loop);
	for (int i = 0; i < 100 && !p->end[1].c; i++) {
		loop_turn(&host->loop, p->wire.now_ns);
		p->end[1].c = tcp_accept(p->listener);
	}
	CHECK(p->end[1].c);
	tcp_set_event(p->end[1].c, event, &p->end[1]);
}

static void end_run(struct end *end, uint32_t chunk, bool reads)
{
	uint8_t *room;
	const uint8_t *bytes;
	int64_t n;
	end->signalled = false;
	while (end->sent < end->to_send &&
	       (n = tcp_send_reserve(end->c, min_u64(chunk, end->to_send - end->sent), &room)) >
	               0) {
		for (int64_t i = 0; i < n; i++)
			room[i] = (uint8_t)((end->sent + (uint64_t)i) * 7 >> 3);
		tcp_send_commit(end->c, (uint32_t)n, false);
		end->sent += (uint64_t)n;
	}
	while (reads && (n = tcp_receive_peek(end->c, 0, &bytes)) > 0) {
		for (int64_t i = 0; i < n; i++)
			CHECK_EQ(bytes[i], (uint8_t)((end->received + (uint64_t)i) * 7 >> 3));
		tcp_receive_consume(end->c, (uint64_t)n);
		end->received += (uint64_t)n;
	}
}

static bool finished(const struct pair *p)
{
	return p->end[0].received == p->end[1].to_send && p->end[1].received == p->end[0].to_send;
}

/* Time moves only when nothing can happen without it: a stall shows as a timer that had to fire. */
static void pair_run(struct pair *p, uint32_t chunk, const char *name)
{
	struct host *host = &p->wire.host[0];
	uint64_t start = p->wire.now_ns;
	p->end[0].signalled = p->end[1].signalled = true;
	while (!finished(p)) {
		CHECK(p->turns++ < 10000000);
		for (int i = 0; i < 2; i++) {
			if (p->end[i].signalled)
				end_run(&p->end[i], chunk, true);
		}
		loop_flush(&host->loop);
		if (!loop_has_pending(&host->loop) && !p->end[0].signalled &&
		    !p->end[1].signalled && !finished(p)) {
			uint64_t next = loop_next_deadline(&host->loop);
			CHECK(next != LOOP_NEVER);
			p->wire.now_ns = next > p->wire.now_ns ? next : p->wire.now_ns;
		}
		loop_turn(&host->loop, p->wire.now_ns);
		const char *broken = stack_verify(host->stack);
		if (broken) {
			fprintf(stderr, "%s: %s\n", name, broken);
			abort();
		}
	}
	struct stack_statistics s;
	stack_read_statistics(host->stack, &s);
	uint64_t ms = (p->wire.now_ns - start) / 1000000;
	printf("%-34s %8llu ms  %6llu segments  %llu retransmitted\n", name, (unsigned long long)ms,
	       (unsigned long long)s.tcp_out, (unsigned long long)s.tcp_retransmits);
	CHECK_EQ(s.tcp_retransmits, 0);
	CHECK(ms <= 45); /* at most one delayed ACK, at the end */
}

static void pair_destroy(struct pair *p)
{
	tcp_close(p->end[0].c);
	tcp_close(p->end[1].c);
	tcp_close(p->listener);
	wire_run_for(&p->wire, 200ull * 1000000000ull);
	CHECK_EQ(stack_counters(p->wire.host[0].stack)->tcp_live, 0);
	wire_destroy(&p->wire);
}

static void transfer(const char *name, struct ipv4_address address, uint64_t up, uint64_t down,
                     uint32_t chunk, uint32_t buffers)
{
	static struct pair p;
	pair_create(&p, address, buffers);
	p.end[0].to_send = up;
	p.end[1].to_send = down;
	pair_run(&p, chunk, name);
	pair_destroy(&p);
}

/* esp-idf #2425: both windows are shut, nobody reads; the two ends must not acknowledge each other
 * for ever. */
static void both_windows_shut(void)
{
	static struct pair p;
	pair_create(&p, ipv4(127, 0, 0, 1), 4096);
	struct host *host = &p.wire.host[0];
	for (int i = 0; i < 2; i++)
		p.end[i].to_send = 1 << 20;
	for (int i = 0; i < 200; i++) {
		for (int e = 0; e < 2; e++)
			end_run(&p.end[e], 65536, false);
		loop_flush(&host->loop);
		loop_turn(&host->loop, p.wire.now_ns);
	}
	CHECK(!loop_has_pending(&host->loop));
	uint64_t before = stack_counters(host->stack)->tcp_out;
	for (int i = 0; i < 1000; i++)
		loop_turn(&host->loop, p.wire.now_ns + (uint64_t)i * 100000);
	CHECK(stack_counters(host->stack)->tcp_out - before <= 4);
	pair_destroy(&p);
}

/* What came over loopback from another's address would be answered on the wire: 127.0.0.1 must not
 * leave the machine (RFC 1122 §3.2.1.3), neither with a SYN-ACK nor with a RST. */
static void no_answer_leaves(void)
{
	static struct wire wire;
	const struct impairments none = { .offloads = 0 };
	wire_create(&wire, &none, 5);
	struct host *host = &wire.host[0];
	struct tcp_connection *listener, *client[2];
	CHECK_EQ(tcp_open(host->stack, &listener, NULL, NULL), 0);
	CHECK_EQ(tcp_bind(listener, (struct endpoint){ { 0 }, 80 }, true, false), 0);
	CHECK_EQ(tcp_listen(listener, 10), 0);
	wire_run_for(&wire, 1000000); /* announcements */
	uint64_t before = wire.frames_sent;
	for (uint16_t i = 0; i < 2; i++) {
		struct endpoint to = { ipv4(127, 0, 0, 1), (uint16_t)(80 + i) };
		CHECK_EQ(tcp_open(host->stack, &client[i], NULL, NULL), 0);
		CHECK_EQ(tcp_set_option(client[i], TCP_OPTION_FREE_BIND, 1), 0);
		CHECK_EQ(tcp_bind(client[i], (struct endpoint){ ipv4(10, 0, 0, 2), 99 }, true,
		                  false),
		         0);
		CHECK_EQ(tcp_connect(client[i], to), 0);
	}
	wire_run_for(&wire, 1000000);
	CHECK_EQ(wire.frames_sent, before);
	CHECK(!tcp_accept(listener));
	for (int i = 0; i < 2; i++)
		tcp_close(client[i]);
	tcp_close(listener);
	wire_destroy(&wire);
}

int main(void)
{
	const struct ipv4_address localhost = ipv4(127, 0, 0, 1), own = ipv4(10, 0, 0, 1);
	transfer("bulk", localhost, 64 << 20, 0, 131072, 0);
	transfer("bulk to the own address", own, 32 << 20, 0, 131072, 0);
	transfer("both ways", localhost, 16 << 20, 16 << 20, 131072, 0);
	transfer("small writes", localhost, 4 << 20, 1 << 20, 100, 0);
	transfer("odd writes", localhost, 8 << 20, 8 << 20, 33333, 0);
	transfer("buffers of a page", localhost, 2 << 20, 1 << 20, 65536,
	         4096); /* gvisor #1398, #6113 */
	transfer("buffers of 20000", localhost, 4 << 20, 4 << 20, 5000, 20000);
	both_windows_shut();
	no_answer_leaves();
	return 0;
}
