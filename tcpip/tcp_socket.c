/* The calls of the layer above, except listen and accept (tcp_listen.c) and options
 * (tcp_settings.c). Errors as Linux's. */
#include "tcpip/tcp_internal.h"

#define UNIT_DESCRIPTOR_BYTES 64 /* struct tcp_unit, in front of the headroom */
#define UNIT_HEADROOM         (UNIT_DESCRIPTOR_BYTES + PBUF_HEADROOM)
#define FOREIGN_HELD_BYTES    512 /* of the pool: the slices of a buffer taken by reference */

_Static_assert(sizeof(struct tcp_unit) <= UNIT_DESCRIPTOR_BYTES, "descriptor fits");

int tcp_open(struct stack *stack, struct tcp_connection **out, tcp_event *event, void *context)
{
	struct tcp_connection *c = tcp_connection_create(stack_tcp(stack));
	if (!c)
		return -ENOBUFS;
	tcp_set_event(c, event, context);
	*out = c;
	return 0;
}

void tcp_set_event(struct tcp_connection *c, tcp_event *event, void *context)
{
	c->event = event;
	c->event_context = context;
}

/* ---- connect ---- */

/* What an earlier attempt left behind. */
static void connect_reset(struct tcp_connection *c)
{
	c->error = c->soft_error = 0;
	c->retransmits = c->backoff = c->probes = 0;
	c->total_retransmits = 0;
	c->first_retransmit_ns = tcp_now(c->tcp);
	c->receive_shut = false;
	c->srtt_us8 = c->rttvar_us4 = 0;
	c->tail_armed = c->tail_due = c->tail_probing = false;
	c->rto_us = TCP_RTO_INITIAL_US;
	c->rtt_timing = false;
	c->iss = seq(0);
}

static void connect_start(struct tcp_connection *c)
{
	struct tcp_stack *tcp = c->tcp;
	struct tcp_seq least = c->iss; /* set when a TIME_WAIT gave way */
	bool has_least = least.value != 0;
	uint32_t window;
	c->iss = tcp_initial_sequence(tcp, &c->flow, &c->timestamp_offset);
	if (has_least && seq_lt(c->iss, least))
		c->iss = least;
	c->timestamp_recent = 0;
	c->snd_una = c->iss;
	c->snd_nxt = c->write_seq = seq_add(c->iss, 1);
	c->path_mtu = (uint16_t)min_u32(c->route.mtu, 65535);
	c->advertised_mss = c->path_mtu - 40;
	if (c->user_mss)
		c->advertised_mss = (uint16_t)min_u32(c->advertised_mss, c->user_mss);
	tcp_choose_window(tcp, c->receive_buffer, c->window_clamp, c->advertised_mss, true, &window,
	                  &c->rcv_wscale);
	c->rcv_nxt = c->rcv_copied = c->rcv_acked = seq(0);
	c->rcv_edge = seq(window);
	tcp_connection_set_state(c, TCP_SYN_SENT);
	tcp_connection_hash(c);
	c->syn_due = true;
	c->retransmit_ns = LOOP_NEVER;
	tcp_retransmit_timer_start(c);
	tcp->counters->tcp_active_opens++;
	tcp_output_schedule(c);
}

int tcp_connect(struct tcp_connection *c, struct endpoint remote)
{
	if (c->flow.state == TCP_SYN_SENT || c->flow.state == TCP_SYN_RECEIVED)
		return -EALREADY;
	if (c->flow.state != TCP_CLOSED || c->ever_connected)
		return -EISCONN;
	if (ipv4_is_any(remote.address))
		remote.address = ipv4(127, 0, 0, 1);
	int error = route_lookup_by(c->tcp->stack, remote.address, c->bound_interface, &c->route);
	if (error)
		return error;
	if (ipv4_is_multicast(remote.address) || netif_is_broadcast(c->route.netif, remote.address))
		return -ENETUNREACH;
	if (c->on_link_only && !route_is_on_link(&c->route, remote.address))
		return -ENETUNREACH;
	if (!route_suits_source(&c->route, c->flow.local_address))
		return -EINVAL;
	connect_reset(c);
	bool unbound = !c->address_kept;
	if (unbound)
		c->flow.local_address = c->route.source;
	error = tcp_port_choose(c, remote);
	if (error) {
		if (unbound)
			c->flow.local_address = (struct ipv4_address){ 0 };
		return error;
	}
	c->flow.remote_address = remote.address;
	c->flow.remote_port = remote.port;
	connect_start(c);
	return 0;
}

/* ---- send ---- */

static int take_error(struct tcp_connection *c)
{
	int error = c->error;
	c->error = 0;
	return error;
}

static int send_check(struct tcp_connection *c)
{
	if (c->error)
		return -take_error(c);
	if (c->fin_queued)
		return -EPIPE;
	switch (c->flow.state) {
	case TCP_ESTABLISHED:
	case TCP_CLOSE_WAIT:
		break;
	case TCP_SYN_SENT:
	case TCP_SYN_RECEIVED:
		return -EAGAIN;
	default:
		return -EPIPE;
	}
	return tcp_unacked(c) >= c->send_buffer ? -EAGAIN : 0;
}

static struct tcp_unit *tail_unit(const struct tcp_connection *c)
{
	if (list_is_empty(&c->send_queue))
		return NULL;
	return list_entry(c->send_queue.head.prev, struct tcp_unit, link);
}

/* Small writes must not hold 64 KiB each; who writes much gets units that leave as one large
 * segment. */
static struct pbuf *unit_buffer(struct tcp_connection *c, uint64_t want)
{
	static const uint32_t room[] = {
		[PBUF_SMALL] = 1600,
		[PBUF_PAGE] = 3600,
		[PBUF_UNIT] = UINT32_MAX,
	};
	if (tcp_unacked(c) > want)
		want = tcp_unacked(c);
	enum pbuf_class class_ = PBUF_SMALL;
	while (want > room[class_])
		class_++;
	for (;; class_--) {
		struct pbuf *buffer = pbuf_alloc(c->tcp->pool, class_, UNIT_HEADROOM);
		if (buffer || class_ == PBUF_SMALL)
			return buffer;
	}
}

/* Send queues together may hold three quarters of the limit. The last quarter is for connections
 * with an empty queue, one small buffer each: those that do not read what they asked for silence no
 * others. */
static bool send_memory_is_short(const struct tcp_connection *c, uint64_t *want)
{
	const struct tcp_stack *tcp = c->tcp;
	if (tcp->send_held < tcp->send_limit / 4 * 3)
		return false;
	*want = 1;
	return tcp->send_held >= tcp->send_limit || !list_is_empty(&c->send_queue);
}

static struct tcp_unit *unit_create(struct tcp_connection *c, uint64_t want)
{
	struct tcp_stack *tcp = c->tcp;
	if (send_memory_is_short(c, &want))
		return NULL;
	struct pbuf *buffer = unit_buffer(c, want);
	if (!buffer)
		return NULL;
	struct tcp_unit *unit = (struct tcp_unit *)(void *)buffer->block;
	uint32_t capacity = min_u32(pbuf_tailroom(buffer), TCP_MAX_PAYLOAD);
	if (capacity >= c->snd_mss)
		capacity -= capacity % c->snd_mss;
	*unit = (struct tcp_unit){
		.buffer = buffer,
		.payload = buffer->data,
		.capacity = capacity,
		.sequence = c->write_seq,
		.held = buffer->block_bytes,
	};
	tcp->send_held += unit->held;
	list_push_back(&c->send_queue, &unit->link);
	return unit;
}

int64_t tcp_send_reserve(struct tcp_connection *c, uint64_t want, uint8_t **room)
{
	int error = send_check(c);
	if (error)
		return error;
	struct tcp_unit *unit = tail_unit(c);
	if (!unit || unit->length == unit->capacity) {
		if (tcp_holds_unsent(c)) /* as Linux: what joins the last buffer is not held up */
			return -EAGAIN;
		unit = unit_create(c, want);
		if (!unit) {
			c->starved = true;
			c->retry_ns = tcp_now(c->tcp) + TCP_RETRY_NS;
			tcp_timer_update(c, c->retry_ns);
			return -ENOBUFS;
		}
	}
	*room = unit->payload + unit->length;
	return (int64_t)min_u64(want, unit->capacity - unit->length);
}

/* A fresh unit in a small buffer. */
static inline struct tcp_unit *unit_create_small(struct tcp_connection *c)
{
	struct tcp_stack *tcp = c->tcp;
	if (tcp->send_held >= tcp->send_limit / 4 * 3)
		return NULL;
	struct pbuf *buffer = pbuf_alloc(tcp->pool, PBUF_SMALL, UNIT_HEADROOM);
	if (!buffer)
		return NULL;
	struct tcp_unit *unit = (struct tcp_unit *)(void *)buffer->block;
	unit->buffer = buffer;
	unit->payload = buffer->data;
	unit->length = 0;
	unit->capacity = min_u32(buffer->block_bytes - UNIT_HEADROOM, c->snd_mss);
	unit->sequence = c->write_seq;
	unit->held = buffer->block_bytes;
	unit->foreign = false;
	tcp->send_held += unit->held;
	list_push_back(&c->send_queue, &unit->link);
	return unit;
}

uint8_t *tcp_send_room(struct tcp_connection *c, uint64_t bytes)
{
	if (c->odd || c->error || c->fin_queued || tcp_unacked(c) >= c->send_buffer)
		return NULL;
	struct tcp_unit *unit = tail_unit(c);
	if (!unit && bytes <= c->snd_mss)
		unit = unit_create_small(c);
	if (!unit || bytes - 1 >= unit->capacity - unit->length)
		return NULL;
	return unit->payload + unit->length;
}

static void committed(struct tcp_connection *c, struct tcp_unit *unit, uint32_t bytes, bool more)
{
	c->write_seq = seq_add(c->write_seq, bytes);
	c->more = more;
	if (!c->send_next)
		c->send_next = unit;
	tcp_output_written(c);
}

void tcp_send_commit(struct tcp_connection *c, uint32_t bytes, bool more)
{
	struct tcp_unit *unit = tail_unit(c);
	if (!unit || !bytes)
		return;
	unit->length += bytes;
	committed(c, unit, bytes, more);
}

void tcp_send_urgent(struct tcp_connection *c)
{
	c->send_urgent = c->write_seq;
	c->odd |= TCP_ODD_URGENT_SENT;
	c->more = false;
	tcp_output_schedule(c);
}

int tcp_send_pbuf(struct tcp_connection *c, struct pbuf *data, bool more)
{
	int error = send_check(c);
	if (error)
		return error;
	if (tcp_holds_unsent(c))
		return -EAGAIN;
	uint64_t want = FOREIGN_HELD_BYTES;
	if (send_memory_is_short(c, &want))
		return -ENOBUFS;
	struct list units;
	list_init(&units);
	struct tcp_seq sequence = c->write_seq;
	for (struct pbuf *piece = data; piece; piece = piece->next) {
		if (!piece->length)
			continue;
		struct tcp_unit *unit = tcp_alloc(c->tcp, sizeof(*unit));
		struct pbuf *slice = unit ? pbuf_slice(piece, 0, piece->length) : NULL;
		if (!slice) {
			if (unit)
				tcp_free(c->tcp, unit, sizeof(*unit));
			error = -ENOBUFS;
			break;
		}
		*unit = (struct tcp_unit){ .buffer = slice,
			                   .payload = slice->data,
			                   .length = slice->length,
			                   .capacity = slice->length,
			                   .sequence = sequence,
			                   .held = FOREIGN_HELD_BYTES,
			                   .foreign = true };
		c->tcp->send_held += unit->held;
		sequence = seq_add(sequence, slice->length);
		list_push_back(&units, &unit->link);
	}
	struct tcp_unit *tail = tail_unit(c);
	struct list_node *first = list_first(&units);
	if (error) {
		while ((first = list_pop_front(&units)) != NULL) {
			struct tcp_unit *unit = list_entry(first, struct tcp_unit, link);
			c->tcp->send_held -= unit->held;
			pbuf_free(unit->buffer);
			tcp_free(c->tcp, unit, sizeof(*unit));
		}
		return error;
	}
	if (first) {
		if (tail && !tail->length) { /* reserved and never filled */
			list_remove(&tail->link);
			c->tcp->send_held -= tail->held;
			pbuf_free(tail->buffer);
		}
		list_splice_back(&c->send_queue, &units);
		committed(c, list_entry(first, struct tcp_unit, link),
		          sequence.value - c->write_seq.value, more);
	}
	pbuf_free(data);
	return 0;
}

/* ---- receive ---- */

static int64_t nothing_to_read(struct tcp_connection *c)
{
	if (c->fin_received)
		return 0;
	if (c->error)
		return -take_error(c);
	if (c->receive_shut)
		return 0;
	switch (c->flow.state) {
	case TCP_CLOSED:
	case TCP_LISTEN:
		return -ENOTCONN;
	default:
		return -EAGAIN;
	}
}

/* The piece that holds `offset`; the last place looked at is remembered, so that reading on does
 * not walk the chain again. */
static struct pbuf *piece_at(struct tcp_connection *c, uint64_t *offset)
{
	struct tcp_stack *tcp = c->tcp;
	struct pbuf *piece = c->receive_head;
	uint64_t start = 0;
	if (tcp->cursor_connection == c && tcp->cursor_offset <= *offset) {
		piece = tcp->cursor;
		start = tcp->cursor_offset;
	}
	while (*offset - start >= piece->length) {
		start += piece->length;
		piece = piece->next;
	}
	tcp->cursor_connection = c;
	tcp->cursor = piece;
	tcp->cursor_offset = start;
	*offset -= start;
	return piece;
}

/* Bytes from `offset` to the urgent mark that may be read in one go; the mark's own byte is skipped
 * unless it is inline, and then a read begins there. */
static uint64_t limit_to_mark(struct tcp_connection *c, uint64_t offset, uint64_t bytes)
{
	int32_t mark = seq_diff(c->urgent_sequence, c->rcv_copied);
	if (!c->urgent_noted || mark < 0 || (uint64_t)mark < offset)
		return bytes;
	if ((uint64_t)mark > offset)
		return min_u64(bytes, (uint64_t)mark - offset);
	return c->oob_inline && !offset ? bytes : 0;
}

/* The general case: somewhere in the middle of the unread bytes, or near an urgent mark. */
static int64_t peek_further(struct tcp_connection *c, uint64_t offset, const uint8_t **bytes)
{
	uint64_t unread = tcp_unread(c);
	if (c->urgent_noted && offset == 0 && unread && !limit_to_mark(c, 0, 1)) {
		tcp_receive_consume(c, 1);
		unread = tcp_unread(c);
	}
	if (offset >= unread)
		return offset ? -EAGAIN : nothing_to_read(c);
	uint64_t within = offset;
	struct pbuf *piece = piece_at(c, &within);
	uint64_t length = piece->length - within;
	*bytes = piece->data + within;
	if (c->urgent_noted) {
		length = limit_to_mark(c, offset, length);
		if (!length)
			return -EAGAIN;
	}
	return (int64_t)length;
}

int64_t tcp_receive_peek(struct tcp_connection *c, uint64_t offset, const uint8_t **bytes)
{
	const struct pbuf *piece = c->receive_head;
	if (offset || !piece || c->urgent_noted)
		return peek_further(c, offset, bytes);
	*bytes = piece->data;
	return piece->length;
}

const uint8_t *tcp_receive_piece(const struct tcp_connection *c, uint32_t *bytes)
{
	const struct pbuf *piece = c->receive_head;
	if (!piece || c->urgent_noted)
		return NULL;
	*bytes = piece->length;
	return piece->data;
}

/* Is it worth telling the peer that the window opened (Linux's tcp_cleanup_rbuf, RFC 9293
 * §3.8.6.2.2)? */
static void window_update(struct tcp_connection *c)
{
	uint32_t window = tcp_receive_window(c), space = tcp_window_space(c);
	if (2 * window > space || c->fin_received || !tcp_is_synchronized(c))
		return;
	uint32_t fresh = tcp_free_window(c);
	if (fresh >= 2 * window && fresh >= min_u32(c->rcv_mss, space / 2))
		tcp_ack_schedule(c);
}

/* What made the connection odd may be over. */
static __attribute__((noinline)) void consumed_oddly(struct tcp_connection *c)
{
	if (c->receive_true <= 2 * c->receive_buffer)
		c->odd &= (uint8_t)~TCP_ODD_MEMORY;
	if (c->urgent_noted && seq_lt(c->urgent_sequence, c->rcv_copied)) {
		c->urgent_noted = c->urgent_valid = false;
		c->odd &= (uint8_t)~TCP_ODD_URGENT;
	}
}

/* Behind what was consumed: is the buffer too small, has the window opened? */
static inline void consumed(struct tcp_connection *c, uint32_t bytes)
{
	uint32_t rtt_us = c->receive_rtt_us ? c->receive_rtt_us : c->srtt_us8 / 8;
	c->rcv_copied = seq_add(c->rcv_copied, bytes);
	if (__builtin_expect(c->odd & (TCP_ODD_MEMORY | TCP_ODD_URGENT), 0))
		consumed_oddly(c);
	if (__builtin_expect(tcp_now(c->tcp) - c->space_started_ns >= rtt_us * 1000ull, 0))
		tcp_receive_grow(c);
	if (__builtin_expect(2 * (c->rcv_edge.value - c->rcv_nxt.value) <= tcp_window_space(c), 0))
		window_update(c);
	if (c->ack_when_read) {
		c->ack_when_read = false;
		tcp_ack_hold(c);
	}
}

static __attribute__((noinline)) void consume_pieces(struct tcp_connection *c, uint64_t bytes)
{
	uint64_t left = bytes;
	while (left) {
		struct pbuf *piece = c->receive_head;
		if (left < piece->length) {
			piece->data += left;
			piece->length -= (uint32_t)left;
			if (!piece->block)
				tcp_receive_account(c, -(int64_t)left);
			break;
		}
		left -= piece->length;
		tcp_receive_account(c, -(int64_t)tcp_piece_true_size(piece));
		c->receive_head = piece->next;
		if (!c->receive_head)
			c->receive_tail = NULL;
		piece->next = NULL;
		pbuf_free(piece);
	}
	consumed(c, (uint32_t)bytes);
}

void tcp_receive_consume(struct tcp_connection *c, uint64_t bytes)
{
	struct pbuf *piece = c->receive_head;
	if (c->tcp->cursor_connection == c)
		c->tcp->cursor_connection = NULL;
	if (__builtin_expect(!piece || piece->length != bytes || piece->next || !piece->block, 0)) {
		bytes = min_u64(bytes, tcp_unread(c));
		if (bytes)
			consume_pieces(c, bytes);
		return;
	}
	/* All there was, in a buffer of its own. */
	c->receive_head = c->receive_tail = NULL;
	tcp_receive_account(c, -(int64_t)(piece->block_bytes + sizeof(*piece)));
	pbuf_free(piece);
	consumed(c, (uint32_t)bytes);
}

uint64_t tcp_receive_available(const struct tcp_connection *c)
{
	return c->flow.state == TCP_LISTEN ? 0 : tcp_unread(c);
}

int tcp_receive_urgent(struct tcp_connection *c, bool peek)
{
	if (c->flow.state == TCP_LISTEN)
		return -ENOTCONN;
	if (c->oob_inline || !c->urgent_noted)
		return -EINVAL;
	if (!c->urgent_valid) /* taken, or on its way */
		return seq_lt(c->urgent_sequence, c->rcv_nxt) ? -EINVAL : -EAGAIN;
	int byte = c->urgent_byte;
	if (!peek)
		c->urgent_valid = false;
	return byte;
}

bool tcp_at_urgent_mark(const struct tcp_connection *c)
{
	return c->urgent_noted && seq_eq(c->urgent_sequence, c->rcv_copied);
}
