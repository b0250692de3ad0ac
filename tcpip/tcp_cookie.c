/*
 * SYN cookies (RFC 4987 §3.6), as Linux's with tcp_syncookies=1. A listener that has more half-open
 * connections than its backlog answers a SYN all the same, but keeps nothing of it: what it has to
 * remember is coded in the initial sequence number and in the timestamp, and comes back with the
 * handshake's last segment.
 *
 *     number = hash(flow) + IRS + (period << 24) + (hash(flow, IRS, period) + size) % (1 << 24)
 *
 * so that the numbers of a flow grow, as those of RFC 6528 do. The period is a minute, and a cookie
 * lives to the end of the next one. `size` is an index into the table below. Without timestamps
 * there is no room for the peer's other options, which are off then.
 */
#include "tcpip/tcp_internal.h"

#define COOKIE_BITS      24
#define COOKIE_MASK      ((1u << COOKIE_BITS) - 1)
#define COOKIE_PERIODS   2 /* MAX_SYNCOOKIE_AGE */
#define COOKIE_PERIOD_NS 60000000000ull

/* The low bits of the timestamp. */
#define CLOCK_BITS       6u
#define CLOCK_WSCALE     0x0fu /* the peer's window scale */
#define CLOCK_NO_SCALE   0x0fu
#define CLOCK_SACK       0x10u

/* Of the peer's segments; Linux's choice. */
static const uint16_t mss_table[] = { 536, 1300, 1440, 1460 };
#define MSS_COUNT (sizeof(mss_table) / sizeof(mss_table[0]))

/* The largest that is not larger; less than the least is raised to it. */
static uint32_t mss_index(uint32_t mss)
{
	uint32_t index = MSS_COUNT - 1;
	while (index && mss < mss_table[index])
		index--;
	return index;
}

static uint32_t period_now(const struct tcp_stack *tcp)
{
	return (uint32_t)(tcp_now(tcp) / COOKIE_PERIOD_NS);
}

/* Which hash is meant: bits that no other user of the key sets. */
#define FLOW_HASH   (1ull << 62)
#define PERIOD_HASH (2ull << 62)

static uint64_t flow_hash(const struct tcp_stack *tcp, const struct tcp_flow *flow)
{
	uint64_t addresses = (uint64_t)flow->local_address.value << 32 | flow->remote_address.value;
	uint64_t ports = (uint32_t)flow->local_port << 16 | flow->remote_port;
	return tcp_keyed_hash(tcp, addresses, FLOW_HASH | ports);
}

/* Linux leaves `irs` out, so that a peer of whose stream the first one to three bytes were lost is
 * believed to have begun behind them. */
static uint32_t period_hash(const struct tcp_stack *tcp, uint64_t flow, struct tcp_seq irs,
                            uint32_t period)
{
	return (uint32_t)tcp_keyed_hash(tcp, flow,
	                                PERIOD_HASH | (uint64_t)period << 32 | irs.value);
}

static struct tcp_seq cookie_make(const struct tcp_stack *tcp, const struct tcp_flow *flow,
                                  struct tcp_seq irs, uint32_t index)
{
	uint32_t period = period_now(tcp);
	uint64_t hash = flow_hash(tcp, flow);
	uint32_t low = period_hash(tcp, hash, irs, period) + index;
	return seq((uint32_t)hash + irs.value + (period << COOKIE_BITS) + (low & COOKIE_MASK));
}

/* The peer's maximum segment size; 0: not one of ours, or too old. */
static uint16_t cookie_check(const struct tcp_stack *tcp, const struct tcp_flow *flow,
                             struct tcp_seq irs, struct tcp_seq cookie)
{
	uint32_t period = period_now(tcp);
	uint64_t hash = flow_hash(tcp, flow);
	uint32_t rest = cookie.value - (uint32_t)hash - irs.value;
	uint32_t age = (period - (rest >> COOKIE_BITS)) & (UINT32_MAX >> COOKIE_BITS);
	if (age >= COOKIE_PERIODS)
		return 0;
	uint32_t index = (rest - period_hash(tcp, hash, irs, period - age)) & COOKIE_MASK;
	return index < MSS_COUNT ? mss_table[index] : 0;
}

/* The latest time that is not in the future and ends in these bits: what is sent later tells a
 * later one. */
static uint32_t clock_make(uint32_t now_ms, const struct tcp_options *o)
{
	uint32_t bits = o->has_window_scale ? o->window_scale : CLOCK_NO_SCALE;
	if (o->sack_permitted)
		bits |= CLOCK_SACK;
	uint32_t clock = (now_ms & -(1u << CLOCK_BITS)) | bits;
	return (int32_t)(clock - now_ms) > 0 ? clock - (1u << CLOCK_BITS) : clock;
}

static void clock_take(uint32_t clock, struct tcp_options *o)
{
	o->sack_permitted = clock & CLOCK_SACK;
	o->window_scale = clock & CLOCK_WSCALE;
	o->has_window_scale = o->window_scale != CLOCK_NO_SCALE;
}

void tcp_cookie_send(struct tcp_connection *listener, struct tcp_segment *s, uint32_t mtu)
{
	struct tcp_stack *tcp = listener->tcp;
	struct tcp_options *o = &s->options;
	struct tcp_request request = { 0 };
	if (!o->has_timestamp)
		o->sack_permitted = o->has_window_scale = false;
	tcp_request_fill(&request, listener, s, mtu);
	request.iss = cookie_make(tcp, &request.flow, request.irs, mss_index(request.peer_mss));
	listener->port->cookie_sent_ns = tcp_now(tcp);
	tcp->counters->tcp_cookies_sent++;
	tcp_send_syn_ack(&request, clock_make(tcp_now_ms(tcp), o));
}

/* What is known of the SYN that this segment follows. */
static struct tcp_segment syn_of(struct tcp_stack *tcp, const struct tcp_flow *flow,
                                 const struct tcp_segment *s, uint16_t mss)
{
	struct tcp_segment syn = { .ip = s->ip,
		                   .local_port = s->local_port,
		                   .remote_port = s->remote_port,
		                   .sequence = seq_add(s->sequence, -1u) };
	syn.options.mss = mss;
	if (s->options.has_timestamp) {
		uint32_t offset;
		tcp_initial_sequence(tcp, flow, &offset);
		syn.options.has_timestamp = true;
		syn.options.timestamp_value = s->options.timestamp_value;
		clock_take(s->options.timestamp_echo - offset, &syn.options);
	}
	return syn;
}

static bool cookies_were_sent(const struct tcp_connection *listener)
{
	uint64_t sent = listener->port->cookie_sent_ns;
	return sent && tcp_now(listener->tcp) - sent < COOKIE_PERIODS * COOKIE_PERIOD_NS;
}

bool tcp_cookie_answered(struct tcp_connection *listener, struct tcp_segment *s)
{
	struct tcp_stack *tcp = listener->tcp;
	struct tcp_flow flow = tcp_segment_flow(s);
	struct route_cache route;
	if (!cookies_were_sent(listener))
		return false;
	struct tcp_seq iss = seq_add(s->acknowledgment, -1u), irs = seq_add(s->sequence, -1u);
	uint16_t mss = cookie_check(tcp, &flow, irs, iss);
	if (!mss) {
		tcp->counters->tcp_cookies_failed++;
		return false;
	}
	tcp->counters->tcp_cookies_received++;
	/* Full: the peer, which believes to be connected, repeats its data, and that is enough. */
	if (listener->listening->accept_count > listener->listening->backlog) {
		tcp->counters->tcp_listen_overflows++;
		return true;
	}
	if (route_lookup_by(tcp->stack, s->ip->source, listener->bound_interface, &route))
		return true;
	const struct tcp_segment syn = syn_of(tcp, &flow, s, mss);
	struct tcp_request request = { 0 };
	tcp_request_fill(&request, listener, &syn, route.mtu);
	request.iss = iss;
	struct tcp_connection *child = tcp_child_create(&request);
	if (!child) {
		tcp->counters->tcp_listen_overflows++;
		return true;
	}
	tcp_connection_hash(child);
	/* When the SYN-ACK left is not known, and its timestamp was no clock's. */
	child->rtt_timing = false;
	s->options.timestamp_echo = 0;
	s->packet = pbuf_trim_front(s->packet, s->header_bytes);
	tcp_segment_arrives(child, s);
	tcp_notify(listener, NET_READABLE);
	return true;
}
