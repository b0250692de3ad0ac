/*
 * The fast path of receiving: a whole frame is held against what the next one of its connection
 * must look like (Van Jacobson's header prediction, down to Ethernet). If it is in order and
 * carries nothing unusual it is taken in a straight line; if not, nothing was changed and the
 * layers look at it one by one.
 *
 * The headers are read as words, which the receive buffer's alignment makes aligned:
 *
 *     2 Ethernet destination 2..5   10 source, type, IP version, TOS, length   18 id .. checksum
 *    26 IP addresses   34 ports, sequence number   42 acknowledgement, flags, window
 *    50 checksum, urgent pointer, NOP NOP TS 10   58 timestamps
 */
#include "tcpip/tcp_headers.h"

#define likely(condition)   __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* Of bytes 18 to 25: protocol, and any fragment flag or offset but "don't fragment". */
#define IP_FIXED_MASK       0x0000ff00ffbf0000ull
#define IP_FIXED_TCP        (6ull << 40)
/* Of bytes 46 and 47: header of 32 bytes, ACK, perhaps PSH. */
#define TCP_FLAGS_MASK      0xf7ff
#define TCP_FLAGS_ORDINARY  0x1080

static inline uint32_t recent_slot(uint32_t remote_address, uint32_t ports)
{
	return (remote_address ^ ports) * 0x9e3779b1u >> 20;
}
_Static_assert(TCP_RECENT_SLOTS == 1 << 12, "recent_slot");

static inline uint64_t long_at(const uint8_t *frame, uint32_t offset)
{
	return *(const long_alias *)(const void *)(frame + offset);
}

void tcp_arrival_learn(struct tcp_connection *c, const struct ip_packet *ip)
{
	const uint8_t *mac = ip->netif->mac.byte;
	const struct netif *way_back = c->route.netif; /* or none yet */
	if (!way_back || way_back->offloads & NETIF_LOOPBACK)
		return;
	struct tcp_recent *recent = c->recent ? c->recent : tcp_recent_claim(c);
	if (!recent)
		return;
	struct tcp_arrival *a = &recent->arrival;
	a->addresses = wire32(c->flow.remote_address.value) | wire32(c->flow.local_address.value)
	                                                              << 32;
	a->ports = (uint32_t)(wire16(c->flow.remote_port) | wire16(c->flow.local_port) << 16);
	a->type_version = wire16(0x0800) | 0x45u << 16 | (uint64_t)ip->tos << 24;
	memcpy(&a->mac_head, mac, sizeof(a->mac_head));
	memcpy(&a->mac_tail, mac + 2, sizeof(a->mac_tail));
	uint64_t sum = (uint32_t)a->addresses + (a->addresses >> 32) + (a->type_version >> 16);
	sum = (sum >> 32) + (sum >> 16 & 0xffff) + (sum & 0xffff);
	a->ip_sum = (uint32_t)((sum >> 16) + (sum & 0xffff));
	recent->slot = recent_slot((uint32_t)a->addresses, a->ports);
	c->tcp->recent[recent->slot] = recent;
}

/* The sum of IP's header holds: it is a multiple of 0xffff, and not 0. */
static inline bool ip_sum_holds(uint64_t sum)
{
	sum = (sum >> 32) + (sum >> 16 & 0xffff) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return sum == 0xffff;
}

/* Everything in flight is acknowledged, nothing waits, and the congestion window was not the limit.
 */
static inline bool acknowledges_all(const struct tcp_connection *c, uint32_t acked)
{
	return acked == tcp_unacked(c) && !c->output_odd && !c->starved &&
	       (!c->loss || (!c->loss->sent && !c->loss->repairs)) && !c->tail_probing &&
	       (c->cwnd >= c->ssthresh || acked <= c->cwnd / 2) && c->rtt_timing;
}

/* tcp_ack_advance for such an ACK. */
static inline void all_acknowledged(struct tcp_connection *c, struct tcp_seq ack, uint32_t acked)
{
	bool was_writable = acked + acked / 2 <= c->send_buffer;
	c->snd_una = ack;
	c->bytes_acked += acked;
	c->tries = 0;
	c->first_retransmit_ns = 0;
	c->soft_error = 0;
	c->duplicate_acks = 0;
	c->small_sequence = c->recover = c->high_retransmitted = c->lost_edge = ack;
	c->congestion_state = TCP_CA_OPEN;
	c->retransmit_ns = LOOP_NEVER;
	tcp_units_acknowledged(c);
	tcp_round_trip_over(c);
	if (unlikely(!was_writable))
		tcp_notify(c, NET_WRITABLE);
}

static __attribute__((noinline)) void
payload_arrived_among_others(struct tcp_connection *c, struct pbuf *frame, uint32_t length)
{
	uint32_t gso_size = frame->gso_size;
	if (length >= c->rcv_mss)
		tcp_receive_rtt(c, load_word(frame->data + 62));
	tcp_receive_append(c, pbuf_trim_front(frame, HEADERS_BYTES), length);
	tcp_data_received(c, length, gso_size);
}

/* In-order bytes for the user. */
static inline void payload_arrived(struct tcp_connection *c, struct pbuf *frame, uint32_t length,
                                   uint64_t now)
{
	if (unlikely(c->receive_tail || frame->next || length >= c->rcv_mss)) {
		payload_arrived_among_others(c, frame, length);
		return;
	}
	frame->data += HEADERS_BYTES;
	frame->length = frame->packet_length = length;
	tcp_receive_account(c, frame->block_bytes + (uint32_t)sizeof(*frame));
	c->receive_head = c->receive_tail = frame;
	c->rcv_nxt = seq_add(c->rcv_nxt, length);
	if (unlikely(c->receive_true > 2 * c->receive_buffer))
		c->odd |= TCP_ODD_MEMORY;
	c->bytes_received += length;
	c->data_segments_in++;
	c->last_data_received_ns = now;
	if (unlikely(!c->pingpong || c->rcv_nxt.value - c->rcv_acked.value > c->rcv_mss ||
	             c->tcp->acks_at_once)) {
		tcp_ack_decide(c, length);
	} else if (c->delayed_ack_ns == LOOP_NEVER) {
		c->delayed_ack_ns = now + TCP_DELAYED_ACK_NS;
		tcp_timer_update(c, c->delayed_ack_ns);
	}
	tcp_notify(c, NET_READABLE);
}

/* Of the connection whose next frame this may be, going by addresses and ports. */
static inline struct tcp_recent *recent_of(struct tcp_stack *tcp, const uint8_t *frame)
{
	uint64_t addresses = long_at(frame, 26);
	uint32_t ports = *(const word_alias *)(const void *)(frame + 34);
	struct tcp_recent *r = tcp->recent[recent_slot((uint32_t)addresses, ports)];
	return r && r->arrival.addresses == addresses && r->arrival.ports == ports ? r : NULL;
}

/* Ethernet and IP header as expected. */
static inline bool network_headers_hold(const struct tcp_arrival *a, const uint8_t *frame,
                                        uint32_t frame_length)
{
	uint64_t length = wire16(frame_length - 14), fixed = long_at(frame, 18);
	return *(const half_alias *)(const void *)frame == a->mac_head &&
	       *(const word_alias *)(const void *)(frame + 2) == a->mac_tail &&
	       long_at(frame, 10) >> 16 == (a->type_version | length << 32) &&
	       (fixed & IP_FIXED_MASK) == IP_FIXED_TCP &&
	       ip_sum_holds(a->ip_sum + length + (fixed >> 32) + (uint32_t)fixed);
}

bool tcp_predict(struct netif *netif, struct pbuf *frame)
{
	struct tcp_stack *tcp = stack_tcp(netif->stack);
	const uint8_t *bytes = frame->data;
	if (unlikely(((uintptr_t)bytes & 7) != 6 || frame->length < HEADERS_BYTES ||
	             !(frame->flags & PBUF_CSUM_VALID)))
		return false;
	const struct tcp_recent *recent = recent_of(tcp, bytes);
	if (unlikely(!recent ||
	             !network_headers_hold(&recent->arrival, bytes, frame->packet_length)))
		return false;
	struct tcp_connection *c = recent->connection;
	if (unlikely(c->odd))
		return false;
	uint32_t length = frame->packet_length - HEADERS_BYTES;
	uint64_t ports_sequence = long_at(bytes, 34), ack_flags = long_at(bytes, 42),
	         options = long_at(bytes, 50), timestamps = long_at(bytes, 58);
	struct tcp_seq sequence = seq((uint32_t)wire32((uint32_t)(ports_sequence >> 32)));
	struct tcp_seq ack = seq((uint32_t)wire32((uint32_t)ack_flags));
	uint32_t window = (uint32_t)wire16((uint32_t)(ack_flags >> 48)) << c->snd_wscale;
	uint32_t value = (uint32_t)wire32((uint32_t)timestamps);
	uint32_t acked = ack.value - c->snd_una.value;
	if (unlikely(!seq_eq(sequence, c->rcv_nxt) || options >> 32 != HEADERS_TIMESTAMP ||
	             (ack_flags >> 32 & TCP_FLAGS_MASK) != TCP_FLAGS_ORDINARY ||
	             (int32_t)(value - c->timestamp_recent) < 0 ||
	             (int32_t)(c->rcv_edge.value - c->rcv_nxt.value - length) < 0 ||
	             acked > tcp_flight(c) || window == 0 || tcp_receive_memory_is_short(tcp)))
		return false;
	if (unlikely(!acked && !length && tcp_flight(c) && window == c->snd_wnd))
		return false; /* a duplicate ACK */

	uint64_t now = tcp_now(tcp);
	tcp->counters->tcp_predicted++;
	c->segments_in++;
	c->last_received_ns = now;
	c->keepalive_probes = c->probes = 0;
	/* RFC 7323 §4.3: the echo belongs to the oldest segment that is not acknowledged yet. */
	if (seq_eq(c->rcv_nxt, c->rcv_acked))
		c->timestamp_recent = value;
	c->snd_wl1 = sequence;
	c->snd_wl2 = ack;
	if (window != c->snd_wnd)
		tcp_window_changed(c, window);
	if (acked) {
		if (likely(acknowledges_all(c, acked)))
			all_acknowledged(c, ack, acked);
		else
			tcp_ack_advance(c, ack, load_word(bytes + 62));
	}
	if (length)
		payload_arrived(c, frame, length, now);
	else
		pbuf_free(frame);
	return true;
}
