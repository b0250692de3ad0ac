/*
 * Bytes that TCP borrows instead of copying them (pbuf_external): every one arrives, whatever
 * happens on the wire, and each loan ends exactly once, no earlier than its bytes are acknowledged
 * or given up. A loan that ends is freed, so that the sanitizer sees a late reader.
 */
#include "tcpip/tests/tcp_wire.h"

#define TOTAL (3u << 20)

static uint32_t lent, ended;

struct transfer {
	struct wire wire;
	struct tcp_connection *listener, *sender, *receiver;
	uint32_t sent, received;
	bool loopback;
};

struct row {
	const char *name;
	uint32_t loss, reorder, offloads, pool_bytes, allocation_failures;
	bool loopback;
};

static const struct row rows[] = {
	{ "TSO", 0, 0, NETIF_TX_CSUM | NETIF_TX_TSO4, 0, 0, false },
	{ "no offloads", 0, 0, 0, 0, 0, false },
	{ "TSO, loss", 20, 20, NETIF_TX_CSUM | NETIF_TX_TSO4, 0, 0, false },
	{ "no offloads, loss", 20, 20, 0, 0, 0, false },
	{ "little memory", 5, 0, NETIF_TX_CSUM | NETIF_TX_TSO4, 1 << 20, 20, false },
	{ "loopback", 0, 0, 0, 0, 0, true },
};

static uint8_t byte_at(uint32_t position)
{
	return (uint8_t)(position * 2654435761u >> 21);
}

static void fill(uint8_t *to, uint32_t position, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		to[i] = byte_at(position + i);
}

static void loan_ended(const void *bytes, size_t length)
{
	(void)length;
	free((void *)(uintptr_t)bytes);
	ended++;
}

/* False: not now. */
static bool lend(struct transfer *t, uint32_t bytes)
{
	uint8_t *memory = malloc(bytes);
	CHECK(memory);
	fill(memory, t->sent, bytes);
	struct pbuf *external = pbuf_external(t->wire.host[0].pool, memory, bytes, loan_ended);
	if (!external) {
		free(memory);
		return false;
	}
	int error = tcp_send_pbuf(t->sender, external, false);
	if (error) {
		uint32_t before = ended;
		pbuf_external_drop(external);
		CHECK_EQ(ended, before);
		free(memory);
		return false;
	}
	t->sent += bytes;
	lent++;
	return true;
}

static bool copy(struct transfer *t, uint32_t bytes)
{
	uint8_t *room;
	int64_t got = tcp_send_reserve(t->sender, bytes, &room);
	if (got <= 0)
		return false;
	fill(room, t->sent, (uint32_t)got);
	tcp_send_commit(t->sender, (uint32_t)got, false);
	t->sent += (uint32_t)got;
	return true;
}

static void receive(struct transfer *t)
{
	const uint8_t *bytes;
	int64_t n;
	while (t->receiver && (n = tcp_receive_peek(t->receiver, 0, &bytes)) > 0) {
		for (int64_t i = 0; i < n; i++)
			CHECK_EQ(bytes[i], byte_at(t->received + (uint32_t)i));
		tcp_receive_consume(t->receiver, (uint64_t)n);
		t->received += (uint32_t)n;
	}
}

static void send_some(struct transfer *t)
{
	struct random_source *random = &t->wire.random;
	bool went = true;
	while (went && t->sent < TOTAL) {
		uint32_t bytes = min_u32(1 + random_below(random, 1u << random_below(random, 18)),
		                         TOTAL - t->sent);
		went = random_below(random, 4) ? lend(t, bytes) : copy(t, bytes);
	}
}

static void step(struct transfer *t)
{
	CHECK(wire_step(&t->wire));
	if (!t->receiver)
		t->receiver = tcp_accept(t->listener);
}

static void begin(struct transfer *t, const struct row *row, uint64_t seed)
{
	memset(t, 0, sizeof(*t));
	const struct impairments impairments = { .loss = row->loss,
		                                 .reorder = row->reorder,
		                                 .jitter_ns = row->reorder ? 300000 : 0,
		                                 .delay_ns = 500000,
		                                 .bytes_per_second = 50000000,
		                                 .queue_frames = 500,
		                                 .pool_bytes = row->pool_bytes,
		                                 .offloads = row->offloads };
	wire_create(&t->wire, &impairments, seed);
	struct host *to = &t->wire.host[!row->loopback];
	CHECK_EQ(tcp_open(to->stack, &t->listener, NULL, NULL), 0);
	CHECK_EQ(tcp_open(t->wire.host[0].stack, &t->sender, NULL, NULL), 0);
	CHECK_EQ(tcp_bind(t->listener, (struct endpoint){ { 0 }, 80 }, true, false), 0);
	CHECK_EQ(tcp_listen(t->listener, 1), 0);
	CHECK_EQ(tcp_connect(t->sender, (struct endpoint){ to->address, 80 }), 0);
	lent = ended = 0;
	while (!t->receiver)
		step(t);
	t->wire.impairments.allocation_failures = row->allocation_failures;
	t->wire.quiet = false;
}

static void end(struct transfer *t)
{
	t->wire.quiet = true;
	if (t->receiver)
		tcp_close(t->receiver);
	tcp_close(t->listener);
	wire_run_for(&t->wire, 1500ull * 1000000000ull);
	CHECK_EQ(ended, lent);
	wire_destroy(&t->wire);
}

/* Everything arrives; the sender closes as soon as it has handed over the last byte. */
static void arrives(const struct row *row, uint64_t seed)
{
	struct transfer *t = malloc(sizeof(*t));
	CHECK(t);
	begin(t, row, seed);
	while (t->sent < TOTAL) {
		send_some(t);
		loop_flush(&t->wire.host[0].loop);
		step(t);
		receive(t);
		wire_verify(&t->wire);
	}
	CHECK(ended < lent || row->loopback);
	tcp_close(t->sender);
	while (t->received < TOTAL) {
		step(t);
		receive(t);
	}
	CHECK(lent > 20);
	end(t);
	free(t);
}

/* The connection ends with bytes on loan: by a reset of either side, or because nobody answers. */
static void breaks(const struct row *row, uint64_t seed, int how)
{
	struct transfer *t = malloc(sizeof(*t));
	CHECK(t);
	begin(t, row, seed);
	for (int i = 0; i < 200; i++) {
		send_some(t);
		step(t);
	}
	CHECK(lent > ended);
	switch (how) {
	case 0:
		tcp_set_option(t->sender, TCP_OPTION_LINGER_S, 0);
		tcp_close(t->sender);
		break;
	case 1: /* unread bytes: a reset */
		tcp_close(t->receiver);
		t->receiver = NULL;
		wire_run_for(&t->wire, 1000000000ull);
		tcp_close(t->sender);
		break;
	default:
		t->wire.cut = true;
		tcp_close(t->sender);
		break;
	}
	end(t);
	free(t);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (uint64_t seed = 1; seed <= 3; seed++)
			arrives(&rows[i], seed);
		for (int how = 0; how < 3; how++)
			breaks(&rows[i], 7, how);
		printf("%s: done\n", rows[i].name);
	}
	return 0;
}
