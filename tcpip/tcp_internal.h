/*
 * The calls between TCP's files, and small questions about its structures. Nothing here is for
 * users of the library (they have tcp.h). A function whose comment says "may free" returns false
 * when the connection is gone or closed, and its caller stops.
 */
#pragma once

#include "tcpip/tcp_structures.h"

/* TCP headers are 4-aligned: received ones because the IP layer sees to it, ours because units and
 * headroom are. */
static inline uint32_t load_word(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, __builtin_assume_aligned(p, 4), sizeof(v));
	return __builtin_bswap32(v);
}
static inline void store_word(uint8_t *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(__builtin_assume_aligned(p, 4), &v, sizeof(v));
}
static inline uint64_t tcp_now(const struct tcp_stack *tcp)
{
	return tcp->loop->now_ns;
}
static inline uint32_t tcp_now_ms(const struct tcp_stack *tcp)
{
	return (uint32_t)(tcp->loop->now_ns / 1000000);
}
static inline struct tcp_connection *tcp_flow_connection(struct tcp_flow *flow)
{
	return container_of(flow, struct tcp_connection, flow);
}
/* The 4-tuple of a segment, as it has no flow yet. */
static inline struct tcp_flow tcp_segment_flow(const struct tcp_segment *s)
{
	return (struct tcp_flow){
		.local_address = s->ip->destination,
		.remote_address = s->ip->source,
		.local_port = s->local_port,
		.remote_port = s->remote_port,
	};
}
static inline uint32_t tcp_flight(const struct tcp_connection *c)
{
	return c->snd_nxt.value - c->snd_una.value;
}
/* The window that the peer may still fill. */
static inline uint32_t tcp_receive_window(const struct tcp_connection *c)
{
	int32_t window = seq_diff(c->rcv_edge, c->rcv_nxt);
	return window > 0 ? (uint32_t)window : 0;
}
/* A window on the wire: rounded up, for the right edge must not retract. */
static inline uint16_t tcp_scale_window(uint32_t window, uint8_t scale)
{
	uint32_t scaled = (uint32_t)(((uint64_t)window + (1u << scale) - 1) >> scale);
	return (uint16_t)(scaled < 65535 ? scaled : 65535);
}
static inline uint32_t tcp_unread(const struct tcp_connection *c)
{
	return c->rcv_nxt.value - c->rcv_copied.value - c->fin_received;
}
static inline uint32_t tcp_unacked(const struct tcp_connection *c)
{
	int32_t bytes = seq_diff(c->write_seq, c->snd_una);
	return bytes > 0 ? (uint32_t)bytes : 0;
}
static inline uint32_t tcp_unsent(const struct tcp_connection *c)
{
	int32_t bytes = seq_diff(c->write_seq, c->snd_nxt);
	return bytes > 0 ? (uint32_t)bytes : 0;
}
/* TCP_NOTSENT_LOWAT: what is unsent is enough. */
static inline bool tcp_holds_unsent(const struct tcp_connection *c)
{
	return c->notsent_lowat && tcp_unsent(c) >= c->notsent_lowat;
}
static inline bool tcp_is_synchronized(const struct tcp_connection *c)
{
	return c->flow.state >= TCP_ESTABLISHED;
}
/* The ranges that the peer SACKed; TCP_ODD_RECOVERY is set while there are any. */
static inline struct tcp_interval_set *tcp_scoreboard(const struct tcp_connection *c)
{
	return c->loss ? c->loss->scoreboard : NULL;
}
static inline struct tcp_repairs *tcp_repairs(const struct tcp_connection *c)
{
	return c->loss ? c->loss->repairs : NULL;
}
static inline bool tcp_in_recovery(const struct tcp_connection *c)
{
	return c->congestion_state >= TCP_CA_RECOVERY;
}
/* The ACK that is being processed ended a timed round trip. */
static inline bool tcp_round_is_over(const struct tcp_connection *c)
{
	return c->delivery_rate_mark == (uint32_t)c->bytes_acked;
}
static inline void tcp_notify(struct tcp_connection *c, uint32_t readiness)
{
	if (c->event)
		c->event(c->event_context, readiness);
}
static inline void tcp_receive_account(struct tcp_connection *c, int64_t bytes)
{
	c->receive_true += (uint32_t)bytes;
	c->tcp->receive_held += (uint64_t)bytes;
}
static inline bool tcp_receive_memory_is_short(const struct tcp_stack *tcp)
{
	return tcp->receive_held >= tcp->receive_limit;
}
static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}
static inline uint32_t max_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}
/* Of the send buffer: a segment over loopback is larger than what Linux reckons for Ethernet's. */
static inline uint32_t tcp_send_buffer_per_segment(const struct tcp_connection *c)
{
	return max_u32(TCP_SNDBUF_PER_SEGMENT, 2u * c->snd_mss);
}
static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* tcp_table.c: hash tables, keyed hashes, ports */
bool tcp_table_init(struct tcp_stack *tcp, struct tcp_table *table, uint32_t buckets);
void tcp_table_fini(struct tcp_stack *tcp, struct tcp_table *table);
void tcp_table_insert(struct tcp_stack *tcp, struct tcp_table *table, struct tcp_hash_node *node);
void tcp_table_remove(struct tcp_table *table, struct tcp_hash_node *node);
/* `node` takes the place of `old`, which is in the table: the same flow in another state. */
void tcp_table_replace(struct tcp_table *table, struct tcp_hash_node *old,
                       struct tcp_hash_node *node);
uint32_t tcp_flow_hash(const struct tcp_stack *tcp, struct ipv4_address local, uint16_t local_port,
                       struct ipv4_address remote, uint16_t remote_port);
struct tcp_flow *tcp_flow_find(struct tcp_stack *tcp, struct ipv4_address local,
                               uint16_t local_port, struct ipv4_address remote,
                               uint16_t remote_port);
void tcp_flow_insert(struct tcp_stack *tcp, struct tcp_flow *flow);
uint64_t tcp_keyed_hash(const struct tcp_stack *tcp, uint64_t a, uint64_t b); /* SipHash-2-4 */
struct tcp_seq tcp_initial_sequence(const struct tcp_stack *tcp, const struct tcp_flow *flow,
                                    uint32_t *timestamp_offset);

/* tcp_port.c */
struct tcp_port *tcp_port_find(struct tcp_stack *tcp, uint16_t number);
/* Finds or makes it and adds a user; NULL: no memory. */
struct tcp_port *tcp_port_get(struct tcp_stack *tcp, uint16_t number);
void tcp_port_put(struct tcp_stack *tcp, struct tcp_port *port);
/* SO_REUSEPORT of both, which are of one user. */
bool tcp_port_is_shared(const struct tcp_connection *a, const struct tcp_connection *b);
/* An ephemeral port at the address that the connection has, if any. */
int tcp_port_bind_any(struct tcp_connection *c);
/* The connection's port is its no more (tcp_connection.c). */
void tcp_port_release(struct tcp_connection *c);
void tcp_port_add_child(struct tcp_port *port, bool reuse_address, bool reuse_port);
void tcp_port_remove_child(struct tcp_port *port, bool reuse_address, bool reuse_port);
/* 0, or a negative errno: a port (and its 4-tuple) for tcp_connect. */
int tcp_port_choose(struct tcp_connection *c, struct endpoint remote);
struct tcp_connection *tcp_listener_find(struct tcp_stack *tcp, const struct ip_packet *ip,
                                         uint16_t port, uint32_t hash);

/* tcp_connection.c */
void *tcp_alloc(struct tcp_stack *tcp, size_t bytes);
void tcp_free(struct tcp_stack *tcp, void *memory, size_t bytes);
struct tcp_connection *tcp_connection_create(struct tcp_stack *tcp);
void tcp_connection_hash(struct tcp_connection *c);
void tcp_connection_unhash(struct tcp_connection *c);
void tcp_connection_set_state(struct tcp_connection *c, enum tcp_state state);
/* Enter CLOSED: queues, timers and table entries go; the user learns `error` (0: orderly). May
 * free. */
void tcp_connection_finish(struct tcp_connection *c, int error);
/* RST to the peer, then finish. May free. */
void tcp_connection_abort(struct tcp_connection *c, int error);
/* Free if nobody needs it. */
void tcp_connection_release(struct tcp_connection *c);
void tcp_receive_purge(struct tcp_connection *c);
void tcp_send_purge(struct tcp_connection *c);
void tcp_reassembly_purge(struct tcp_connection *c);
void tcp_scoreboard_clear(struct tcp_connection *c);
void tcp_repairs_clear(struct tcp_connection *c);
void tcp_sent_log_clear(struct tcp_connection *c);
/* NULL: no memory. */
struct tcp_loss *tcp_loss_get(struct tcp_connection *c);
void tcp_loss_purge(struct tcp_connection *c);
/* ESTABLISHED: buffers, windows, RTT from the handshake. */
void tcp_connection_established(struct tcp_connection *c);
void tcp_update_mss(struct tcp_connection *c);
bool tcp_update_route(struct tcp_connection *c);

/* tcp_extra.c */
struct tcp_extra *tcp_extra(const struct tcp_connection *c); /* NULL: it has none */
/* It has one from now on; NULL: no memory. */
struct tcp_extra *tcp_extra_make(struct tcp_connection *c);
void tcp_extra_free(struct tcp_connection *c);
/* What outlives a connection (tcp_disconnect) goes over to `to`, which has none. */
void tcp_extra_move(struct tcp_connection *to, struct tcp_connection *from);
/* ICMP says so while it connects. */
void tcp_keep_error(struct tcp_connection *c, const struct icmp_error *error);
void tcp_forget_errors(struct tcp_connection *c);
void tcp_leave_groups(struct tcp_connection *c);
/* TCP_SAVE_SYN: the bytes of a SYN's headers that the listener keeps, 0: none. */
uint8_t tcp_syn_headers_bytes(const struct tcp_connection *listener,
                              const struct tcp_segment *segment);
void tcp_syn_headers_copy(uint8_t *to, uint32_t bytes, const struct tcp_segment *segment);
/* Without memory for them they are not kept, as on Linux. */
void tcp_keep_saved_syn(struct tcp_connection *child, const uint8_t *headers, uint32_t bytes);
/* The listener whose accept queue it is in, or NULL. */
struct tcp_connection *tcp_parent(const struct tcp_connection *c);
void tcp_set_parent(struct tcp_connection *c, struct tcp_connection *parent);
/* The connection listens from now on, or no more. */
void tcp_set_listening(struct tcp_connection *c, struct tcp_listener *listening);

/* tcp_options.c */
bool tcp_parse_options(const uint8_t *options, uint32_t length, struct tcp_options *out);
struct tcp_syn_options {
	uint16_t mss;
	uint8_t window_scale;
	bool sack, timestamps, window_scaling;
	uint32_t timestamp_value, timestamp_echo;
};
/* Both return the bytes written, a multiple of 4. */
uint32_t tcp_build_syn_options(uint8_t *at, const struct tcp_syn_options *options);
uint32_t tcp_build_options(uint8_t *at, struct tcp_connection *c, bool sack_blocks);

/* tcp_output.c: what to send when */
void tcp_output_schedule(struct tcp_connection *c);
/* Before a reset: what was written before it and may leave does so, as on Linux, where it has left
 * long ago. */
void tcp_output_now(struct tcp_connection *c);
/* An ACK is owed at once, but the user may be about to read and to answer: it leaves with the
 * answer or before the hart idles. */
void tcp_ack_hold_unread(struct tcp_connection *c);
/* An ACK is owed, of which delayed_ack_ns is the last resort, but the user may be about to answer,
 * or to read more: it leaves with the answer, before the hart idles, or soon. */
void tcp_ack_hold(struct tcp_connection *c);
/* The user wrote: as tcp_output_schedule, unless the bytes are held back for now. */
void tcp_output_written(struct tcp_connection *c);
static inline void tcp_ack_schedule(struct tcp_connection *c)
{
	c->ack_now = true;
	tcp_output_schedule(c);
}

/* tcp_predict.c */
/* An ordinary segment of this connection came the long way: the next need not. */
void tcp_arrival_learn(struct tcp_connection *c, const struct ip_packet *ip);

/* tcp_recent.c */
/* For a connection without: somebody else's in need; NULL: no memory. Nothing is made yet. */
struct tcp_recent *tcp_recent_claim(struct tcp_connection *c);
void tcp_recent_drop(struct tcp_connection *c);
void tcp_recent_fini(struct tcp_stack *tcp);
const char *tcp_recent_verify(const struct tcp_stack *tcp);

/* tcp_answer.c */
/* True: all that is unsent was one ordinary segment, and left. */
bool tcp_send_answer(struct tcp_connection *c);

/* tcp_segment.c: the only builder of segments */
/* After the route, TTL or TOS changed, for a connection that has c->recent. */
void tcp_headers_make(struct tcp_connection *c);
int tcp_send_segment(struct tcp_connection *c, struct tcp_seq sequence, uint32_t length,
                     uint8_t flags);
void tcp_send_reset(struct tcp_connection *c);
void tcp_reply_reset(struct tcp_stack *tcp, const struct tcp_segment *segment);
/* A segment without a connection: SYN-ACKs, TIME_WAIT's ACKs, RSTs. */
struct tcp_bare_segment {
	const struct tcp_flow *flow;
	struct tcp_seq sequence, acknowledgment;
	uint16_t window;
	uint8_t flags, tos, option_bytes;
	uint8_t interface; /* the one to leave by, 0: by route */
	uint8_t options[40];
};
void tcp_send_bare(struct tcp_stack *tcp, const struct tcp_bare_segment *segment);
/* The window for the segment being built, scaled for the wire; moves rcv_edge. */
uint16_t tcp_select_window(struct tcp_connection *c);
uint32_t tcp_window_space(const struct tcp_connection *c);
uint32_t tcp_free_window(const struct tcp_connection *c);

/* tcp_ack.c */
/* The acknowledgement field, SACK blocks and window of a segment in a synchronized state. */
void tcp_ack_process(struct tcp_connection *c, struct tcp_segment *segment);
/* Units up to snd_una go. */
void tcp_units_acknowledged(struct tcp_connection *c);
/* snd_una moves to `ack`: buffers freed, round trip measured, timers restarted. */
void tcp_ack_advance(struct tcp_connection *c, struct tcp_seq ack, uint32_t timestamp_echo);
void tcp_rtt_sample(struct tcp_connection *c, uint64_t rtt_us);
/* Once per round trip: its time is measured. */
void tcp_round_trip_over(struct tcp_connection *c);
bool tcp_is_writable(const struct tcp_connection *c);
/* Is something lost? Recovery begins, or goes on. `delivered`: bytes that this ACK told of. True
 * when more is lost than was known. */
bool tcp_loss_check(struct tcp_connection *c, uint32_t delivered);

/* tcp_sack.c */
void tcp_interval_insert(struct tcp_interval_set *set, struct tcp_seq start, struct tcp_seq end);
void tcp_interval_trim(struct tcp_interval_set *set, struct tcp_seq below)
        __attribute__((noinline));
uint32_t tcp_interval_bytes_in(const struct tcp_interval_set *set, struct tcp_seq start,
                               struct tcp_seq end);
/* Takes the blocks over into the scoreboard; true when they told something new. */
bool tcp_sack_update(struct tcp_connection *c, const struct tcp_segment *segment);
/* What the peer is not known to have of a range. Ranges are asked for in ascending order; *hint: 0
 * at first.
 */
uint32_t tcp_outstanding(const struct tcp_interval_set *set, uint32_t *hint, struct tcp_seq start,
                         struct tcp_seq end);
/* Lost, and not sent again. */
uint32_t tcp_lost_bytes(const struct tcp_connection *c);
uint32_t tcp_pipe(const struct tcp_connection *c);
/* The next range to retransmit. False: none. */
bool tcp_next_lost(const struct tcp_connection *c, struct tcp_seq *start, uint32_t *length);

/* tcp_repair.c */
/* False: so many are known that no more may be sent again now. */
bool tcp_repair_has_room(struct tcp_connection *c);
/* Sent again right now. */
void tcp_repair_note(struct tcp_connection *c, struct tcp_seq start, struct tcp_seq end);
/* Those below SND.UNA go. */
void tcp_repairs_trim(struct tcp_connection *c);
void tcp_repairs_set_lost(struct tcp_connection *c, bool lost);
/* Bytes of repairs that are on their way. */
uint32_t tcp_repairs_flight(const struct tcp_connection *c);

/* tcp_rack.c; all but tcp_sent_log and tcp_rack_expired with c->loss */
/* Before more is sent, or something again, while data is in flight. */
void tcp_sent_log(struct tcp_connection *c);
static inline void tcp_sent_note(struct tcp_connection *c)
{
	if (c->last_sent_ns != tcp_now(c->tcp) && tcp_flight(c))
		tcp_sent_log(c);
}
/* An ACK is looked at; then what it tells of, range by range, before the scoreboard knows of it. */
void tcp_rack_begin(struct tcp_connection *c);
void tcp_rack_arrived(struct tcp_connection *c, struct tcp_seq start, struct tcp_seq end);
/* A D-SACK of a repair: the reordering window was too small. */
void tcp_rack_duplicate(struct tcp_connection *c);
/* A recovery is over. */
void tcp_rack_recovered(struct tcp_connection *c);
/* Moves lost_edge, marks repairs as lost, and sets the reordering timer. True when more is lost. */
bool tcp_rack_detect(struct tcp_connection *c);
void tcp_rack_arm(struct tcp_connection *c);
/* True: it was the reordering timer's time, not yet the RTO's. */
bool tcp_rack_expired(struct tcp_connection *c);

/* tcp_congestion.c */
/* ESTABLISHED: the window begins. */
void tcp_congestion_start(struct tcp_connection *c);
/* `bytes` newly acknowledged, not in recovery, and cwnd was the limit: it grows. */
void tcp_congestion_acked(struct tcp_connection *c, uint32_t bytes);
/* In congestion avoidance: one segment more for each `bytes_per_segment` acknowledged. */
void tcp_window_grow(struct tcp_connection *c, uint32_t bytes, uint32_t bytes_per_segment);
/* NULL: no memory. */
struct tcp_congestion *tcp_congestion_memory(struct tcp_connection *c);
void tcp_congestion_forget(struct tcp_connection *c);
/* By an ACK that told of `delivered` bytes, or 0: by a timer. */
void tcp_recovery_enter(struct tcp_connection *c, uint32_t delivered);
void tcp_loss_enter(struct tcp_connection *c);
void tcp_recovery_acked(struct tcp_connection *c, uint32_t bytes);
/* The loss was none: the window is what it was before. */
void tcp_recovery_undo(struct tcp_connection *c);
/* In recovery `bytes` more were delivered, by SACK or in order; `safe`: in order, and nothing more
 * was lost. After everything else that the ACK told is known. */
void tcp_recovery_delivered(struct tcp_connection *c, uint32_t bytes, bool safe);
/* A loss that is repaired already. */
void tcp_congestion_repaired(struct tcp_connection *c);
void tcp_congestion_idle(struct tcp_connection *c);

/* tcp_cubic.c */
/* W_cubic (RFC 9438 figure 1) at `elapsed_ms` of the epoch. */
uint32_t tcp_cubic_window(const struct tcp_congestion *m, uint32_t elapsed_ms, uint32_t mss);
/* K (figure 2): how long the curve takes from `cwnd` to `w_max`. */
uint32_t tcp_cubic_k_ms(uint32_t cwnd, uint32_t w_max, uint32_t mss);

/* tcp_hystart.c */
/* In the first slow start: how many of the acknowledged bytes the window grows by. May end it. */
uint32_t tcp_hystart_acked(struct tcp_connection *c, uint32_t bytes);

/* tcp_prr.c */
/* Recovery begins, by an ACK that told of `delivered` bytes. */
void tcp_prr_begin(struct tcp_connection *c, uint32_t delivered);
void tcp_prr_delivered(struct tcp_connection *c, uint32_t bytes, bool safe);

/* tcp_undo.c */
/* Before the window is reduced for a loss: what it was is remembered. */
void tcp_undo_save(struct tcp_connection *c, bool timeout);
void tcp_undo_note_retransmission(struct tcp_connection *c, uint32_t segments);
/* The block tells that this came twice (RFC 2883). */
void tcp_undo_note_duplicate(struct tcp_connection *c, struct tcp_interval block);
/* This ACK shows that the loss was none: undone. `advanced`: SND.UNA moved, by an ACK that echoes
 * this timestamp. */
void tcp_undo_check(struct tcp_connection *c, bool advanced, uint32_t timestamp_echo);

/* tcp_input.c, tcp_states.c */
/* The slow path: every state but LISTEN. The options are parsed, the header is pulled (packet NULL:
 * no payload). What a handler takes it sets to NULL; tcp_input frees the rest. */
void tcp_segment_arrives(struct tcp_connection *c, struct tcp_segment *segment);
void tcp_syn_sent_arrives(struct tcp_connection *c, struct tcp_segment *segment);
/* From the ACK field on (RFC 9293 §3.10.7.4, fifth): also the entry of a new child with the
 * handshake's last segment. */
void tcp_segment_accepted(struct tcp_connection *c, struct tcp_segment *segment);
void tcp_challenge_ack(struct tcp_connection *c);
void tcp_invalid_ack(struct tcp_connection *c);
/* In-order payload was linked: when is it acknowledged? Tells the user. */
void tcp_data_received(struct tcp_connection *c, uint32_t bytes, uint32_t gso_size);

/* When is data that arrived acknowledged (RFC 9293 §3.8.6.3, Linux's quick and delayed ACKs)? The
 * quick ACK of a piece that fills no segment waits until the user has had his turn: if he answers
 * at once, it rides. A merged packet tells of more: its ACK is held for those that follow it. */
void tcp_ack_decide(struct tcp_connection *c, uint32_t bytes);
/* The peer's window, of a segment that is newer than those before. */
void tcp_window_changed(struct tcp_connection *c, uint32_t window);

/* tcp_receive.c */
/* Link in-order payload; takes the reference. `packet` holds exactly `length` bytes. */
void tcp_receive_append(struct tcp_connection *c, struct pbuf *packet, uint32_t length);
/* Payload that passed the window check, wherever it lies; takes the packet. True when a FIN became
 * in order. */
bool tcp_receive_payload(struct tcp_connection *c, struct tcp_segment *segment, bool fin);
/* These bytes came twice: the next ACK says so (RFC 2883). */
void tcp_note_duplicate(struct tcp_connection *c, struct tcp_seq start, struct tcp_seq end);
/* The user takes bytes, and a round trip is over: is the buffer what limits the sender (Linux's
 * tcp_rcv_space_adjust)? */
void tcp_receive_grow(struct tcp_connection *c);
void tcp_receive_rtt(struct tcp_connection *c, uint32_t timestamp_echo);
/* The memory that a piece holds captive. */
uint32_t tcp_piece_true_size(const struct pbuf *piece);

/* tcp_timer.c */
void tcp_timer_fired(struct loop *loop, struct loop_watcher *watcher, uint32_t events);
/* The timer fires no later than the connection's earliest deadline. */
static inline void tcp_timer_update(struct tcp_connection *c, uint64_t deadline_ns)
{
	if (__builtin_expect(deadline_ns < c->timer.deadline_ns, 0))
		loop_timer_arm(c->tcp->loop, &c->timer, deadline_ns);
}
void tcp_retransmit_timer_start(struct tcp_connection *c);
void tcp_keepalive_restart(struct tcp_connection *c);

/* tcp_tail.c */
void tcp_tail_arm(struct tcp_connection *c);
/* True: it was the probe's time, not yet the RTO's. */
bool tcp_tail_expired(struct tcp_connection *c);
bool tcp_tail_is_due(const struct tcp_connection *c);
bool tcp_tail_is_probed(const struct tcp_connection *c);
void tcp_tail_acked(struct tcp_connection *c);
void tcp_tail_duplicate_check(struct tcp_connection *c, const struct tcp_segment *segment);

/* tcp_listen.c */
void tcp_listen_segment(struct tcp_connection *listener, struct tcp_segment *segment,
                        struct tcp_seq least_iss, bool has_least_iss);
void tcp_request_segment(struct tcp_request *request, struct tcp_segment *segment);
void tcp_request_free(struct tcp_stack *tcp, struct tcp_request *request);
/* What a SYN says and what is answered: all but the links, the deadline and the counts. */
void tcp_request_fill(struct tcp_request *request, struct tcp_connection *listener,
                      const struct tcp_segment *syn, uint32_t mtu);
/* `now_ms`: the time that its timestamp tells. */
void tcp_send_syn_ack(const struct tcp_request *request, uint32_t now_ms);
/* A full connection in SYN_RECEIVED on the accept queue, but not yet in the table of flows. NULL:
 * no memory, or too many connections. */
struct tcp_connection *tcp_child_create(const struct tcp_request *request);
void tcp_request_timer_fired(struct loop *loop, struct loop_watcher *watcher, uint32_t events);
/* Requests are forgotten; what waits to be accepted is reset, or (`silently`) only let go. */
void tcp_listener_close(struct tcp_connection *listener, bool silently);
/* What a child has of its listener. */
void tcp_inherit_options(struct tcp_connection *child, const struct tcp_connection *listener);
void tcp_choose_window(struct tcp_stack *tcp, uint32_t receive_buffer, uint32_t window_clamp,
                       uint32_t mss, bool scaling, uint32_t *window, uint8_t *wscale);

/* tcp_cookie.c */
/* Answers a SYN and keeps nothing of it. Its options may be changed. */
void tcp_cookie_send(struct tcp_connection *listener, struct tcp_segment *syn, uint32_t mtu);
/* False: an ACK of nothing that was sent. Otherwise the segment is dealt with. */
bool tcp_cookie_answered(struct tcp_connection *listener, struct tcp_segment *segment);

/* tcp_time_wait.c */
/* The connection's last state: a TIME_WAIT takes its place in the tables; then it is finished. May
 * free. */
void tcp_time_wait_enter(struct tcp_connection *c);
void tcp_time_wait_segment(struct tcp_stack *tcp, struct tcp_time_wait *tw,
                           struct tcp_segment *segment);
void tcp_time_wait_free(struct tcp_stack *tcp, struct tcp_time_wait *tw);
bool tcp_time_wait_reusable(const struct tcp_stack *tcp, const struct tcp_time_wait *tw);
void tcp_time_wait_timer_fired(struct loop *loop, struct loop_watcher *watcher, uint32_t events);

/* tcp_verify.c */
const char *tcp_connection_verify(const struct tcp_connection *c);
