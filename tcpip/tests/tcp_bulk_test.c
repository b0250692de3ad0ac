/* Throughput over simulated paths: what one bulk transfer makes of bandwidth, delay, buffers, loss
 * and reordering. Each row has a least utilisation; without loss the path must be full. In the
 * second half, when the reordering window has adapted, hardly anything is sent twice for nothing
 * (gvisor #9778, tailscale #9707, #20893: thousands of spurious fast retransmissions, and a
 * congestion window that stayed small). */
#include "tcpip/tests/tcp_wire.h"

struct row {
	const char *name;
	uint64_t bytes_per_second, delay_ns; /* one way */
	uint32_t queue, loss, offloads, mtu;
	uint32_t receive_buffer; /* 0: autotuning */
	uint64_t bytes;
	uint32_t least_percent; /* of the smaller of bandwidth and window per round trip */
	uint32_t reorder;       /* permille, both ways */
	uint64_t late_ns;
};

#define TSO (NETIF_TX_CSUM | NETIF_TX_TSO4)
#define MS  1000000ull

static const struct row rows[] = {
	{ "LAN, TSO", 125000000, 20000, 1000, 0, TSO, 1500, 0, 64 << 20, 95, 0, 0 },
	{ "LAN, no offloads", 125000000, 20000, 1000, 0, 0, 1500, 0, 64 << 20, 92, 0, 0 },
	{ "10 ms, TSO", 12500000, 5 * MS, 400, 0, TSO, 1500, 0, 64 << 20, 90, 0, 0 },
	{ "100 ms, TSO", 12500000, 50 * MS, 2000, 0, TSO, 1500, 0, 200 << 20, 85, 0, 0 },
	{ "100 ms, 128 KiB buffer", 12500000, 50 * MS, 2000, 0, 0, 1500, 131072, 8 << 20, 90, 0,
	  0 },
	{ "jumbo frames", 1250000000, 100000, 1000, 0, TSO, 9000, 0, 256 << 20, 85, 0, 0 },
	{ "576-byte frames", 12500000, 1 * MS, 400, 0, 0, 576, 0, 16 << 20, 85, 0, 0 },
	{ "10 ms, loss 0.1%", 12500000, 5 * MS, 400, 1, TSO, 1500, 0, 32 << 20, 20, 0, 0 },
	{ "10 ms, loss 1%", 12500000, 5 * MS, 400, 10, 0, 1500, 0, 16 << 20, 6, 0, 0 },
	{ "LAN, loss 1%", 125000000, 20000, 1000, 10, 0, 1500, 0, 16 << 20, 2, 0, 0 },
	{ "10 ms, 10% late 2 ms", 12500000, 5 * MS, 400, 0, 0, 1500, 0, 64 << 20, 90, 100, 2 * MS },
	{ "10 ms, 50% late 1 ms", 12500000, 5 * MS, 400, 0, 0, 1500, 0, 64 << 20, 90, 500, 1 * MS },
	{ "10 ms, 1% late 8 ms", 12500000, 5 * MS, 400, 0, 0, 1500, 0, 64 << 20, 90, 10, 8 * MS },
	{ "66 ms, 2% late 5 ms", 25000000, 33 * MS, 2000, 0, 0, 1500, 0, 128 << 20, 80, 20,
	  5 * MS },
	{ "LAN, 10% late 0.3 ms", 125000000, 50000, 400, 0, 0, 1500, 0, 64 << 20, 50, 100, 300000 },
	{ "10 ms, 10% late, loss 0.1%", 12500000, 5 * MS, 400, 1, 0, 1500, 0, 64 << 20, 20, 100,
	  2 * MS },
	{ "short queue", 12500000, 5 * MS, 20, 0, 0, 1500, 0, 32 << 20, 60, 0, 0 },
};

struct transfer {
	struct wire wire;
	struct tcp_connection *listener, *sender, *receiver;
	uint64_t sent, received;
	bool signalled;
	uint64_t frames[2];
};

static void event(void *context, uint32_t readiness)
{
	(void)readiness;
	((struct transfer *)context)->signalled = true;
}

static void count(struct host *host, const struct wire_frame *frame)
{
	(void)frame;
	struct transfer *t = host->observer;
	t->frames[host == &t->wire.host[1]]++;
}

static void pump(struct transfer *t, const struct row *row)
{
	uint8_t *room;
	const uint8_t *bytes;
	int64_t n;
	t->signalled = false;
	if (!t->receiver && (t->receiver = tcp_accept(t->listener)) != NULL)
		tcp_set_event(t->receiver, event, t);
	while (t->sent < row->bytes &&
	       (n = tcp_send_reserve(t->sender, min_u64(131072, row->bytes - t->sent), &room)) >
	               0) {
		memset(room, (int)(t->sent >> 16), (size_t)n);
		tcp_send_commit(t->sender, (uint32_t)n, false);
		t->sent += (uint64_t)n;
	}
	while (t->receiver && (n = tcp_receive_peek(t->receiver, 0, &bytes)) > 0) {
		tcp_receive_consume(t->receiver, (uint64_t)n);
		t->received += (uint64_t)n;
	}
	for (int i = 0; i < 2; i++) {
		loop_flush(&t->wire.host[i].loop);
		if (stack_before_idle(t->wire.host[i].stack))
			loop_flush(&t->wire.host[i].loop);
	}
}

static void run(const struct row *row)
{
	struct transfer *t = calloc(1, sizeof(*t));
	CHECK(t);
	const struct impairments impairments = { .loss = row->loss,
		                                 .delay_ns = row->delay_ns,
		                                 .bytes_per_second = row->bytes_per_second,
		                                 .queue_frames = row->queue,
		                                 .offloads = row->offloads,
		                                 .reorder = row->reorder,
		                                 .late_ns = row->late_ns,
		                                 .mtu = row->mtu };
	wire_create(&t->wire, &impairments, 7);
	for (int i = 0; i < 2; i++) {
		t->wire.host[i].observe = count;
		t->wire.host[i].observer = t;
	}
	CHECK_EQ(tcp_open(t->wire.host[1].stack, &t->listener, event, t), 0);
	CHECK_EQ(tcp_open(t->wire.host[0].stack, &t->sender, event, t), 0);
	if (row->receive_buffer)
		tcp_set_option(t->listener, TCP_OPTION_RECEIVE_BUFFER, row->receive_buffer);
	CHECK_EQ(tcp_bind(t->listener, (struct endpoint){ { 0 }, 80 }, true, false), 0);
	CHECK_EQ(tcp_listen(t->listener, 1), 0);
	CHECK_EQ(tcp_connect(t->sender, (struct endpoint){ t->wire.host[1].address, 80 }), 0);
	pump(t, row);
	uint64_t started = t->wire.now_ns;
	/* The last hundredth is not measured: a loss at the very end waits for the retransmission
	 * timer. */
	uint64_t measured = row->bytes - row->bytes / 100;
	struct tcp_information half = { 0 }, info;
	uint64_t lost = 0;
	while (t->received < measured) {
		CHECK(wire_step(&t->wire));
		CHECK(t->wire.now_ns - started < 2000ull * 1000000000ull);
		if (t->signalled)
			pump(t, row);
		if (t->received >= measured / 2 && !half.segs_out) {
			tcp_get_information(t->sender, &half);
			lost = t->wire.frames_lost;
		}
	}
	lost = t->wire.frames_lost - lost;
	double seconds = (double)(t->wire.now_ns - started) / 1e9;
	double rate = (double)measured / seconds, limit = (double)row->bytes_per_second;
	if (row->receive_buffer) {
		double windowed = row->receive_buffer / 2 / (2.0 * (double)row->delay_ns / 1e9);
		limit = windowed < limit ? windowed : limit;
	}
	tcp_get_information(t->sender, &info);
	uint32_t repeated = info.total_retrans - half.total_retrans;
	printf("%-26s %8.2f MB/s %5.1f%%  frames %llu out %llu back  retransmitted %u, %u of "
	       "them and %llu lost in the second half  reorderings %u  D-SACKs %u  undone %llu  "
	       "cwnd %u  "
	       "receive buffer %lld  timeouts %llu\n",
	       row->name, rate / 1e6, 100 * rate / limit, (unsigned long long)t->frames[0],
	       (unsigned long long)t->frames[1], info.total_retrans, repeated,
	       (unsigned long long)lost, info.reord_seen, info.dsack_dups,
	       (unsigned long long)stack_counters(t->wire.host[0].stack)->tcp_undone, info.snd_cwnd,
	       (long long)tcp_get_option(t->receiver, TCP_OPTION_RECEIVE_BUFFER),
	       (unsigned long long)stack_counters(t->wire.host[0].stack)->tcp_timeouts);
	CHECK(100 * rate / limit >= row->least_percent);
	if (row->reorder) /* a thousandth */
		CHECK(repeated <= lost + (info.data_segs_out - half.data_segs_out) / 1000);
	while (t->received < row->bytes) {
		CHECK(wire_step(&t->wire));
		pump(t, row);
	}
	wire_verify(&t->wire);
	tcp_close(t->sender);
	tcp_close(t->receiver);
	tcp_close(t->listener);
	wire_run_for(&t->wire, 200ull * 1000000000ull);
	wire_destroy(&t->wire);
	free(t);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		run(&rows[i]);
	return 0;
}
