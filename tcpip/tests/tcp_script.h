/*
 * One stack and a peer made of single segments: a script sends segments in numbers relative to the
 * initial sequence numbers, lets virtual time pass, and says what must have come back.
 */
#pragma once

#include "tcpip/tests/tcp_wire.h"

#define SEEN_MAX  4096
#define PEER_PORT 5000
#define OUR_PORT  80
#define PEER_ISS  1000000u
#define A         TCP_ACK
#define MS        1000000ull
#define SECOND    1000000000ull

struct seen {
	uint8_t flags;
	uint32_t seq, ack, length, window; /* relative; the window unscaled */
	uint16_t urgent;
	struct tcp_options options;
	uint64_t at_ns;
};

struct script {
	struct wire wire;
	struct tcp_connection *listener, *c;
	struct seen seen[SEEN_MAX];
	uint32_t count, next; /* seen, and looked at */
	uint32_t iss;         /* theirs is PEER_ISS; this is the stack's */
	bool iss_known, timestamps, sack, scaling;
	uint32_t timestamp; /* the peer's clock, added to each segment */
	uint32_t echo;      /* the stack's last timestamp */
	uint8_t wscale;     /* the peer's */
	uint16_t window;    /* the peer's, as on the wire */
	uint16_t mss;       /* the peer's */
	uint32_t events;
	uint16_t peer_port, our_port;
	const char *name;
};

static struct script *script; /* the running one, for messages */

#define SAY(...)                                                                                   \
	do {                                                                                       \
		fprintf(stderr, "%s: ", script->name);                                             \
		fprintf(stderr, __VA_ARGS__);                                                      \
		fprintf(stderr, "\n");                                                             \
		abort();                                                                           \
	} while (0)

static inline void script_observe(struct host *host, const struct wire_frame *frame)
{
	struct script *s = host->observer;
	const uint8_t *ip = frame->data + 14, *tcp = ip + 20;
	if (load_be16(frame->data + 12) != 0x0800 || ip[9] != IP_PROTOCOL_TCP)
		return;
	if (s->count == SEEN_MAX)
		return;
	struct seen *seen = &s->seen[s->count++];
	uint32_t header = (tcp[12] >> 4) * 4u;
	*seen = (struct seen){ .flags = tcp[13],
		               .length = frame->bytes - 34 - header,
		               .window = load_be16(tcp + 14),
		               .urgent = load_be16(tcp + 18),
		               .at_ns = s->wire.now_ns };
	if (seen->flags & TCP_SYN && !s->iss_known) {
		s->iss = load_be32(tcp + 4);
		s->iss_known = true;
		s->our_port = load_be16(tcp);
	}
	seen->seq = load_be32(tcp + 4) - s->iss;
	seen->ack = load_be32(tcp + 8) - PEER_ISS;
	tcp_parse_options(tcp + 20, header - 20, &seen->options);
	if (seen->options.has_timestamp)
		s->echo = seen->options.timestamp_value;
}

static inline void script_event(void *context, uint32_t readiness)
{
	((struct script *)context)->events |= readiness;
}

struct sending {
	uint8_t ttl; /* 0: 64 */
	uint8_t flags;
	uint32_t seq, ack, length;
	const struct tcp_interval *sack; /* relative to the stack's ISS */
	uint32_t sack_count;
	uint16_t urgent;
	uint8_t fill; /* payload byte; 0: the low byte of its offset */
	bool no_timestamp;
	struct ipv4_address from; /* any: the peer */
	uint16_t gso_size;        /* of the segments that a device merged into it */
};

static inline uint32_t put_options(struct script *s, const struct sending *segment, uint8_t *at)
{
	uint32_t bytes = 0;
	if (segment->flags & TCP_SYN) {
		const struct tcp_syn_options o = { .mss = s->mss,
			                           .sack = s->sack,
			                           .timestamps = s->timestamps,
			                           .window_scaling = s->scaling,
			                           .window_scale = s->wscale,
			                           .timestamp_value = s->timestamp,
			                           .timestamp_echo = s->echo };
		return tcp_build_syn_options(at, &o);
	}
	if (s->timestamps && !segment->no_timestamp) {
		store_be32(at, 0x0101080a);
		store_be32(at + 4, s->timestamp);
		store_be32(at + 8, s->echo);
		bytes = 12;
	}
	if (segment->sack_count) {
		store_be16(at + bytes, 0x0101);
		at[bytes + 2] = 5;
		at[bytes + 3] = (uint8_t)(2 + 8 * segment->sack_count);
		bytes += 4;
		for (uint32_t i = 0; i < segment->sack_count; i++, bytes += 8) {
			store_be32(at + bytes, s->iss + segment->sack[i].start.value);
			store_be32(at + bytes + 4, s->iss + segment->sack[i].end.value);
		}
	}
	return bytes;
}

static inline void flush_hosts(struct script *s)
{
	loop_turn(&s->wire.host[0].loop, s->wire.now_ns);
	wire_verify(&s->wire);
}

/* A segment arrives at the stack, which reacts. */
static inline void inject_unverified(struct script *s, struct sending segment)
{
	struct host *host = &s->wire.host[0];
	struct ipv4_address from =
	        ipv4_is_any(segment.from) ? s->wire.host[1].address : segment.from;
	struct pbuf *p = pbuf_alloc(host->receive_pool, PBUF_PAGE, 18);
	CHECK(p);
	uint8_t *tcp = p->data + 34, options[40] = { 0 };
	uint32_t option_bytes = put_options(s, &segment, options);
	uint32_t total = 20 + option_bytes + segment.length;
	memset(p->data, 0, 34);
	memcpy(p->data, host->netif.mac.byte, 6);
	memcpy(p->data + 6, s->wire.host[1].netif.mac.byte, 6);
	store_be16(p->data + 12, 0x0800);
	p->length = p->packet_length = 34 + total;
	uint8_t *ip = p->data + 14;
	ip[0] = 0x45;
	store_be16(ip + 2, (uint16_t)(20 + total));
	ip[8] = segment.ttl ? segment.ttl : 64;
	ip[9] = IP_PROTOCOL_TCP;
	store_be32(ip + 12, from.value);
	store_be32(ip + 16, host->address.value);
	uint16_t sum = checksum_fold(checksum_add(0, ip, 20));
	memcpy(ip + 10, &sum, 2);
	store_be16(tcp, s->peer_port);
	store_be16(tcp + 2, s->our_port);
	store_be32(tcp + 4, PEER_ISS + segment.seq);
	store_be32(tcp + 8, segment.flags & TCP_ACK ? s->iss + segment.ack : 0);
	tcp[12] = (uint8_t)((20 + option_bytes) << 2);
	tcp[13] = segment.flags;
	store_be16(tcp + 14, s->window);
	store_be16(tcp + 16, 0);
	store_be16(tcp + 18, segment.urgent);
	memcpy(tcp + 20, options, option_bytes);
	for (uint32_t i = 0; i < segment.length; i++)
		tcp[20 + option_bytes + i] =
		        segment.fill ? segment.fill : (uint8_t)(segment.seq + i);
	sum = checksum_fold(checksum_add(
	        checksum_pseudo_ipv4(from, host->address, IP_PROTOCOL_TCP, total), tcp, total));
	memcpy(tcp + 16, &sum, 2);
	p->gso_size = segment.gso_size;
	netif_input(&host->netif, p);
	loop_turn(&host->loop, s->wire.now_ns);
}

static inline void inject(struct script *s, struct sending segment)
{
	inject_unverified(s, segment);
	wire_verify(&s->wire);
}

static inline void send_segment(struct script *s, uint8_t flags, uint32_t seq, uint32_t ack,
                                uint32_t length)
{
	inject(s, (struct sending){ .flags = flags, .seq = seq, .ack = ack, .length = length });
}

/* The next segment that the stack sent must be this one (PSH aside). */
static inline const struct seen *expect(struct script *s, uint8_t flags, uint32_t seq, uint32_t ack,
                                        uint32_t length)
{
	if (s->next == s->count)
		SAY("expected flags %02x seq %u ack %u length %u, but nothing was sent", flags, seq,
		    ack, length);
	const struct seen *g = &s->seen[s->next++];
	bool ack_matters = flags & TCP_ACK;
	if ((g->flags & ~TCP_PSH) != flags || g->seq != seq || (ack_matters && g->ack != ack) ||
	    g->length != length)
		SAY("expected flags %02x seq %u ack %u length %u, got %02x %u %u %u", flags, seq,
		    ack, length, g->flags, g->seq, g->ack, g->length);
	return g;
}

static inline void expect_silence(struct script *s)
{
	if (s->next != s->count) {
		const struct seen *g = &s->seen[s->next];
		SAY("expected silence, got flags %02x seq %u ack %u length %u", g->flags, g->seq,
		    g->ack, g->length);
	}
}

/* Time passes for the stack; the wire swallows what it sends. */
static inline void wait_ns(struct script *s, uint64_t ns)
{
	wire_run_for(&s->wire, ns);
}

static inline void expect_state(struct script *s, enum tcp_state state)
{
	if (tcp_get_state(s->c) != state)
		SAY("state is %d, expected %d", tcp_get_state(s->c), state);
}

static inline void script_begin(struct script *s, const char *name)
{
	memset(s, 0, sizeof(*s));
	s->name = name;
	script = s;
	const struct impairments none = { .offloads = NETIF_TX_CSUM };
	wire_create(&s->wire, &none, 99);
	s->wire.host[0].observe = script_observe;
	s->wire.host[0].observer = s;
	s->peer_port = PEER_PORT;
	s->our_port = OUR_PORT;
	s->window = 65535;
	s->mss = 1460;
	s->timestamp = 5000;
	wire_run_for(&s->wire, 10 * MS);
	s->wire.cut = true;
}

static inline void script_end(struct script *s)
{
	if (s->c)
		tcp_close(s->c);
	if (s->listener)
		tcp_close(s->listener);
	flush_hosts(s);
	wire_destroy(&s->wire);
}

static inline void script_listen(struct script *s, int backlog)
{
	CHECK_EQ(tcp_open(s->wire.host[0].stack, &s->listener, script_event, s), 0);
	CHECK_EQ(tcp_bind(s->listener, (struct endpoint){ { 0 }, OUR_PORT }, true, false), 0);
	CHECK_EQ(tcp_listen(s->listener, backlog), 0);
}

/* Passive open: the connection is ESTABLISHED and accepted, nothing outstanding. */
/* Its quick ACKs leave at once, which tells what it made of each segment. */
static inline void script_accept(struct script *s)
{
	if (!s->listener)
		script_listen(s, 16);
	send_segment(s, TCP_SYN, 0, 0, 0);
	expect(s, TCP_SYN | TCP_ACK, 0, 1, 0);
	send_segment(s, TCP_ACK, 1, 1, 0);
	s->c = tcp_accept(s->listener);
	CHECK(s->c);
	tcp_set_event(s->c, script_event, s);
	tcp_set_option(s->c, TCP_OPTION_QUICKACK, 1);
	expect_silence(s);
	expect_state(s, TCP_ESTABLISHED);
}

static inline void script_connect(struct script *s)
{
	CHECK_EQ(tcp_open(s->wire.host[0].stack, &s->c, script_event, s), 0);
	tcp_set_option(s->c, TCP_OPTION_QUICKACK, 1);
	s->peer_port = PEER_PORT;
	CHECK_EQ(tcp_connect(s->c, (struct endpoint){ s->wire.host[1].address, PEER_PORT }), 0);
	wait_ns(s, 1 * MS);
	expect(s, TCP_SYN, 0, 0, 0);
	expect_state(s, TCP_SYN_SENT);
}

static inline void user_write(struct script *s, uint32_t bytes)
{
	while (bytes) {
		uint8_t *room;
		int64_t n = tcp_send_reserve(s->c, bytes, &room);
		if (n <= 0)
			SAY("tcp_send_reserve says %lld", (long long)n);
		memset(room, 'x', (size_t)n);
		tcp_send_commit(s->c, (uint32_t)n, false);
		bytes -= (uint32_t)n;
	}
	flush_hosts(s);
}

static inline void user_read(struct script *s, uint32_t bytes)
{
	const uint8_t *data;
	while (bytes) {
		int64_t n = tcp_receive_peek(s->c, 0, &data);
		if (n <= 0)
			SAY("tcp_receive_peek says %lld", (long long)n);
		n = (int64_t)min_u64((uint64_t)n, bytes);
		tcp_receive_consume(s->c, (uint64_t)n);
		bytes -= (uint32_t)n;
	}
	flush_hosts(s);
}
