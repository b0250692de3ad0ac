/*
 * Frames that nobody should send: valid ones of every kind, mutated, into a host with listeners,
 * connections, sockets, a DHCP client and little memory. Whatever comes in, no check of the library
 * or of a sanitizer may fail and nothing may be left over.
 *
 *     frame_fuzz_test [--seed N] [--count SEEDS]
 */
#include "tcpip/icmp.h"
#include "tcpip/stack_internal.h"
#include "tcpip/tests/frames.h"
#include "tcpip/tcp.h"
#include "tcpip/udp.h"

#define ITERATIONS   800000
#define CORPUS_MAX   64
#define ACCEPTED_MAX 32

static const struct ipv4_address PEER = { 0x0a000002 };

struct target {
	struct sim *sim;
	struct sim_host *host;
	struct tcp_connection *listener, *client, *accepted[ACCEPTED_MAX];
	struct udp_socket *udp, *connected;
	struct ping_socket *ping;
	struct frame corpus[CORPUS_MAX];
	uint32_t corpus_count, next_accepted;
	struct frame sent; /* the last frame of the host: its numbers make good input */
};

static void ignore_event(void *context, uint32_t readiness)
{
	(void)context;
	(void)readiness;
}

static void ignore_lease(void *context, const struct dhcp_result *result)
{
	(void)context;
	(void)result;
}

static bool remember_sent(struct sim_host *host, const uint8_t *bytes, uint32_t length)
{
	struct target *t = host->tap_context;
	t->sent.length = length < sizeof(t->sent.bytes) ? length : sizeof(t->sent.bytes);
	memcpy(t->sent.bytes, bytes, t->sent.length);
	return true;
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

/* Make the checksums right again, so that the damage gets past them. */
static void frame_seal(struct frame *f)
{
	if (f->length < 42 || frame_be16(f, 12) != 0x0800)
		return;
	uint32_t header = (f->bytes[14] & 15) * 4u, total = frame_be16(f, 16);
	if (header < 20 || total > f->length - 14 || total < header + 8)
		return;
	uint8_t *ip = f->bytes + 14, *transport = ip + header;
	uint32_t length = total - header;
	put16(ip + 10, 0);
	put16(ip + 10, naive_checksum(0, ip, header));
	uint32_t field = ip[9] == 6 ? 16 : ip[9] == 17 ? 6 : 2;
	if (field + 2 > length)
		return;
	put16(transport + field, 0);
	uint32_t pseudo = ip[9] == 1 ? 0
	                             : naive_pseudo((struct ipv4_address){ frame_be32(f, 26) },
	                                            (struct ipv4_address){ frame_be32(f, 30) },
	                                            ip[9], length);
	put16(transport + field, naive_checksum(pseudo, transport, length));
}

static void corpus_add(struct target *t, const struct frame *f)
{
	CHECK(t->corpus_count < CORPUS_MAX);
	t->corpus[t->corpus_count] = *f;
	frame_seal(&t->corpus[t->corpus_count++]);
}

static struct frame tcp_frame(struct target *t, uint16_t from, uint16_t to, uint8_t flags,
                              const char *options, uint32_t option_bytes, uint32_t payload)
{
	uint8_t segment[1400] = { 0 };
	struct ip_spec ip = { .source = PEER,
		              .destination = t->host->netif.address,
		              .protocol = 6 };
	put16(segment, from);
	put16(segment + 2, to);
	put32(segment + 4, 1000);
	segment[12] = (uint8_t)((20 + option_bytes) / 4 << 4);
	segment[13] = flags;
	put16(segment + 14, 8192);
	memcpy(segment + 20, options, option_bytes);
	return frame_ipv4(t->host, &ip, segment, 20 + option_bytes + payload);
}

static void corpus_make(struct target *t)
{
	static const char syn_options[] =
	        "\x02\x04\x05\xb4\x04\x02\x08\x0a\0\0\0\1\0\0\0\0\x01\x03\x03\x07";
	static const char ack_options[] =
	        "\x01\x01\x08\x0a\0\0\0\2\0\0\0\0\x01\x01\x05\x0a\0\0\x10\0\0\0\x20\0";
	static const uint8_t flags[] = {
		0x02, 0x10, 0x18, 0x11, 0x04, 0x14, 0x12, 0x3f, 0x00, 0xc2
	};
	struct ipv4_address us = t->host->netif.address;
	uint8_t zeros[1400] = { 0 };
	struct frame f;
	for (uint32_t i = 0; i < sizeof(flags); i++) {
		f = tcp_frame(t, 1000, 80, flags[i], syn_options, 20, 0);
		corpus_add(t, &f);
		f = tcp_frame(t, 1000, 80, flags[i], ack_options, 24, 100);
		corpus_add(t, &f);
	}
	f = frame_udp(t->host, (struct endpoint){ PEER, 53 }, (struct endpoint){ us, 7 }, zeros,
	              600);
	corpus_add(t, &f);
	f = frame_udp(t->host, (struct endpoint){ PEER, 67 }, (struct endpoint){ us, 68 }, zeros,
	              300);
	f.bytes[42] = 2;
	memcpy(f.bytes + 43, "\1\6", 2);
	memcpy(f.bytes + 42 + 28, t->host->netif.mac.byte, 6);
	memcpy(f.bytes + 42 + 236,
	       "\x63\x82\x53\x63\x35\x01\x02\x36\x04\x0a\0\0\2\x33\x04\0\0\1\0\xff", 20);
	corpus_add(t, &f);
	for (uint8_t type = 0; type < 14; type++) {
		struct frame inner = frame_udp(t->host, (struct endpoint){ us, 7 },
		                               (struct endpoint){ PEER, 53 }, zeros, 20);
		f = frame_icmp(t->host, PEER, us, type, type % 5, 0x4242, inner.bytes + 14, 48);
		corpus_add(t, &f);
	}
	for (uint16_t i = 0; i < 4; i++) {
		struct ip_spec ip = { .source = PEER,
			              .destination = us,
			              .protocol = 17,
			              .identification = 9,
			              .fragment = (uint16_t)(i * 100 | (i < 3 ? 0x2000 : 0)) };
		f = frame_ipv4(t->host, &ip, zeros, 800);
		corpus_add(t, &f);
	}
	f = frame_arp(t->host, 1, PEER, &PEER_MAC, us);
	corpus_add(t, &f);
	f = frame_arp(t->host, 2, PEER, &PEER_MAC, us);
	corpus_add(t, &f);
}

/* Answer what the host said last: so connections get established and come to odd states. */
static bool frame_reply(struct target *t, struct frame *out)
{
	const struct frame *s = &t->sent;
	if (!frame_is_ip(s, 6) || s->length < 54)
		return false;
	static const uint8_t flags[] = { 0x10, 0x18, 0x11, 0x12, 0x14, 0x10, 0x30 };
	uint32_t consumed = s->length - 14 - 20 - (s->bytes[46] >> 4) * 4u +
	                    ((s->bytes[47] & 0x02) != 0) + ((s->bytes[47] & 0x01) != 0);
	*out = tcp_frame(t, frame_be16(s, 36), frame_be16(s, 34),
	                 flags[sim_random_below(t->sim, sizeof(flags))], "", 0,
	                 sim_random_below(t->sim, 3) * 300);
	put32(out->bytes + 38, frame_be32(s, 42));
	put32(out->bytes + 42, frame_be32(s, 38) + consumed);
	frame_seal(out);
	return true;
}

static uint32_t interesting(struct sim *sim)
{
	static const uint32_t values[] = { 0,  1,  2,  3,  4,  5,  7,   8,   15,
		                           16, 20, 31, 40, 60, 64, 127, 128, 255 };
	return values[sim_random_below(sim, sizeof(values) / sizeof(values[0]))];
}

static void frame_mutate(struct target *t, struct frame *f)
{
	struct sim *sim = t->sim;
	for (uint32_t n = sim_random_below(sim, 5); n; n--) {
		uint32_t reach = sim_random_below(sim, 3) ? 90 : f->length;
		uint32_t at = sim_random_below(sim, reach < f->length ? reach : f->length);
		switch (sim_random_below(sim, 6)) {
		case 0:
			f->bytes[at] ^= (uint8_t)(1 << sim_random_below(sim, 8));
			break;
		case 1:
			f->bytes[at] = (uint8_t)sim_random(sim);
			break;
		case 2:
			f->bytes[at] = (uint8_t)interesting(sim);
			break;
		case 3:
			f->length = at;
			break;
		case 4: /* total length follows, truncated or padded */
			if (f->length > 34)
				put16(f->bytes + 16, f->length - 14 - sim_random_below(sim, 3));
			break;
		case 5:
			f->length += sim_random_below(sim, 64);
			if (f->length > sizeof(f->bytes))
				f->length = sizeof(f->bytes);
			break;
		}
		if (f->length == 0)
			return;
	}
	if (sim_random_below(sim, 8))
		frame_seal(f);
}

/* A program that serves: takes connections, echoes some, drops others. */
static void program_turn(struct target *t)
{
	struct tcp_connection *c;
	struct udp_datagram d;
	while ((c = tcp_accept(t->listener))) {
		struct tcp_connection **slot = &t->accepted[t->next_accepted++ % ACCEPTED_MAX];
		if (*slot)
			tcp_close(*slot);
		*slot = c;
		tcp_set_event(c, ignore_event, NULL);
	}
	for (uint32_t i = 0; i < ACCEPTED_MAX; i++) {
		const uint8_t *bytes;
		uint8_t *room;
		c = t->accepted[i];
		if (!c || sim_chance(t->sim, 500000))
			continue;
		int64_t n = tcp_receive_peek(c, 0, &bytes);
		if (n > 0) {
			int64_t space = tcp_send_reserve(c, (uint64_t)n, &room);
			if (space > 0) {
				memcpy(room, bytes, (size_t)(space < n ? space : n));
				tcp_send_commit(c, (uint32_t)(space < n ? space : n), false);
			}
			tcp_receive_consume(c, (uint64_t)n);
		} else if (n == 0 || sim_chance(t->sim, 10000)) {
			tcp_close(c);
			t->accepted[i] = NULL;
		}
	}
	while (udp_receive(t->udp, &d) || udp_receive(t->connected, &d) ||
	       ping_receive(t->ping, &d, false))
		pbuf_free(d.payload);
	udp_take_error(t->connected);
	ping_take_error(t->ping);
}

static void target_open(struct target *t, uint64_t seed)
{
	struct sim_host_config config = SIM_HOST_DEFAULTS;
	config.limits.max_connections = 200;
	config.pool_cap_bytes = 4 << 20;
	config.scatter = seed & 1;
	config.receive_offloads = false;
	memset(t, 0, sizeof(*t));
	t->sim = sim_create(seed, "fuzz", NULL);
	t->host = sim_add_host(t->sim, &config);
	t->host->tap = remember_sent;
	t->host->tap_context = t;
	struct stack *stack = t->host->stack;
	CHECK_EQ(tcp_open(stack, &t->listener, ignore_event, NULL), 0);
	CHECK_EQ(tcp_bind(t->listener, (struct endpoint){ { 0 }, 80 }, true, false), 0);
	CHECK_EQ(tcp_listen(t->listener, 16), 0);
	CHECK_EQ(udp_create(stack, &t->udp, ignore_event, NULL), 0);
	CHECK_EQ(udp_bind(t->udp, (struct endpoint){ { 0 }, 7 }, true, false), 0);
	CHECK_EQ(udp_create(stack, &t->connected, ignore_event, NULL), 0);
	CHECK_EQ(udp_bind(t->connected, (struct endpoint){ { 0 }, 7 }, true, false), 0);
	CHECK_EQ(udp_connect(t->connected, (struct endpoint){ PEER, 53 }, false), 0);
	CHECK_EQ(ping_create(stack, &t->ping, ignore_event, NULL), 0);
	CHECK_EQ(ping_bind(t->ping, 0x4242), 0);
	if (seed & 2)
		CHECK_EQ(dhcp_start(stack, &t->host->netif, ignore_lease, NULL), 0);
	corpus_make(t);
}

static void target_close(struct target *t)
{
	struct pbuf_pool_statistics pool;
	program_turn(t);
	for (uint32_t i = 0; i < ACCEPTED_MAX; i++) {
		if (t->accepted[i])
			tcp_close(t->accepted[i]);
	}
	tcp_close(t->listener);
	udp_close(t->udp);
	udp_close(t->connected);
	ping_close(t->ping);
	dhcp_stop(t->host->stack, &t->host->netif);
	sim_pass(t->sim, 3600 * SIM_SECOND); /* everything that only waited gives up */
	pbuf_pool_statistics(t->host->pool, &pool);
	CHECK_EQ(pool.bytes_used, 0);
	sim_destroy(t->sim);
}

static void fuzz(uint64_t seed, uint32_t iterations)
{
	static struct target t;
	target_open(&t, seed);
	sim_set_verify_interval(t.sim, 64);
	for (uint32_t i = 0; i < iterations; i++) {
		struct frame f = t.corpus[sim_random_below(t.sim, t.corpus_count)];
		if (sim_random_below(t.sim, 2))
			frame_reply(&t, &f);
		frame_mutate(&t, &f);
		sim_inject(t.host, f.bytes, f.length);
		program_turn(&t);
		sim_pass(t.sim, sim_random_below(t.sim, 4)
		                        ? SIM_MICROSECOND
		                        : sim_random_below(t.sim, 1000) * SIM_MILLISECOND);
	}
	target_close(&t);
}

int main(int argc, char **argv)
{
	struct sim_arguments arguments = sim_parse_arguments(argc, argv);
	uint64_t seeds = arguments.seed_given ? arguments.count : 4;
	for (uint64_t seed = arguments.seed; seed < arguments.seed + seeds; seed++)
		fuzz(seed, ITERATIONS / 4);
	return 0;
}
