/* What arrives: in-order bytes go to the user's chain by reference, the others wait as a set of
 * disjoint pieces. */
#include "tcpip/tcp_internal.h"

/* Memory that one piece holds captive. A slice's storage is its sender's business (loopback). */
uint32_t tcp_piece_true_size(const struct pbuf *piece)
{
	uint32_t storage = piece->block ? piece->block_bytes : piece->length;
	return storage + (uint32_t)sizeof(*piece);
}

static uint32_t true_size(const struct pbuf *packet)
{
	uint32_t size = 0;
	for (const struct pbuf *p = packet; p; p = p->next)
		size += tcp_piece_true_size(p);
	return size;
}

/* Copy a short payload behind the last piece: a page per hundred bytes would be a poor use of
 * memory. */
static bool copy_behind(struct pbuf *last, const struct pbuf *packet, uint32_t most)
{
	if (!last || packet->next || packet->length > most || last->refs > 1 ||
	    pbuf_tailroom(last) < packet->length)
		return false;
	memcpy(last->data + last->length, packet->data, packet->length);
	last->length += packet->length;
	return true;
}

void tcp_receive_append(struct tcp_connection *c, struct pbuf *packet, uint32_t length)
{
	uint32_t most = c->receive_true > c->receive_buffer / 2 ? UINT32_MAX : TCP_COPYBREAK;
	c->rcv_nxt = seq_add(c->rcv_nxt, length);
	if (copy_behind(c->receive_tail, packet, most)) {
		pbuf_free(packet);
		return;
	}
	tcp_receive_account(c, true_size(packet));
	if (c->receive_true > 2 * c->receive_buffer)
		c->odd |= TCP_ODD_MEMORY;
	if (c->receive_tail)
		c->receive_tail->next = packet;
	else
		c->receive_head = packet;
	while (packet->next)
		packet = packet->next;
	c->receive_tail = packet;
}

/* ---- out of order ---- */

static struct tcp_seq packet_end(const struct pbuf *packet)
{
	return seq_add(seq(packet->sequence), packet->packet_length);
}

static struct pbuf *queue_entry(struct list_node *node)
{
	return list_entry(node, struct pbuf, link);
}

static void queue_remove(struct tcp_stack *tcp, struct tcp_reassembly *r, struct pbuf *packet)
{
	uint32_t size = true_size(packet);
	list_remove(&packet->link);
	r->count--;
	r->bytes -= packet->packet_length;
	r->true_bytes -= size;
	tcp->receive_held -= size;
}

static struct tcp_reassembly *reassembly_get(struct tcp_connection *c)
{
	if (c->reassembly)
		return c->reassembly;
	struct tcp_reassembly *r = tcp_alloc(c->tcp, sizeof(*r));
	if (!r)
		return NULL;
	list_init(&r->queue);
	c->reassembly = r;
	c->odd |= TCP_ODD_REASSEMBLY;
	return r;
}

/* RFC 2018 §4: the block with the newest segment comes first, then those told most recently. */
static void sack_block_add(struct tcp_reassembly *r, struct tcp_seq start, struct tcp_seq end)
{
	uint8_t kept = 0;
	struct tcp_interval old[4];
	for (uint8_t i = 0; i < r->block_count; i++) {
		struct tcp_interval b = r->block[i];
		if (seq_lt(b.end, start) || seq_lt(end, b.start)) {
			old[kept++] = b;
			continue;
		}
		if (seq_lt(b.start, start))
			start = b.start;
		end = seq_max(end, b.end);
	}
	r->block[0] = (struct tcp_interval){ start, end };
	r->block_count = 1;
	for (uint8_t i = 0; i < kept && r->block_count < 4; i++)
		r->block[r->block_count++] = old[i];
}

static void sack_blocks_trim(struct tcp_reassembly *r, struct tcp_seq below)
{
	uint8_t kept = 0;
	for (uint8_t i = 0; i < r->block_count; i++) {
		if (seq_lt(below, r->block[i].end))
			r->block[kept++] = r->block[i];
	}
	r->block_count = kept;
}

static void queue_insert(struct tcp_stack *tcp, struct tcp_reassembly *r,
                         struct list_node *position, struct pbuf *packet)
{
	uint32_t size = true_size(packet);
	list_insert_before(position, &packet->link);
	r->count++;
	r->bytes += packet->packet_length;
	r->true_bytes += size;
	tcp->receive_held += size;
}

/* Put [sequence, end) in its place, without what is there already. Takes the packet. */
static void out_of_order(struct tcp_stack *tcp, struct tcp_reassembly *r, struct pbuf *packet,
                         struct tcp_seq sequence, struct tcp_seq end)
{
	sack_block_add(r, sequence, end);
	struct list_node *before = r->queue.head.prev; /* the last that starts at or before us */
	while (before != &r->queue.head && seq_lt(sequence, seq(queue_entry(before)->sequence)))
		before = before->prev;
	if (before != &r->queue.head) {
		struct pbuf *left = queue_entry(before);
		int32_t overlap = seq_diff(packet_end(left), sequence);
		if (overlap >= 0 && (uint32_t)overlap >= packet->packet_length) {
			pbuf_free(packet);
			return;
		}
		if (overlap > 0) {
			packet = pbuf_trim_front(packet, (uint32_t)overlap);
			sequence = packet_end(left);
		}
		if (overlap >= 0 && !left->next && copy_behind(left, packet, TCP_COPYBREAK)) {
			/* The successor may overlap what was copied: keep the set disjoint. */
			uint32_t copied = packet->packet_length;
			struct list_node *after = before->next;
			if (after == &r->queue.head ||
			    seq_le(end, seq(queue_entry(after)->sequence))) {
				left->packet_length += copied;
				r->bytes += copied;
				pbuf_free(packet);
				return;
			}
			left->length -= copied;
		}
	}
	struct list_node *after = before->next;
	while (after != &r->queue.head && seq_lt(seq(queue_entry(after)->sequence), end)) {
		struct pbuf *right = queue_entry(after);
		after = after->next;
		if (seq_lt(end, packet_end(right))) {
			end = seq(right->sequence);
			pbuf_trim_back(packet, end.value - sequence.value);
			after = &right->link;
			break;
		}
		queue_remove(tcp, r, right);
		pbuf_free(right);
	}
	packet->sequence = sequence.value;
	queue_insert(tcp, r, after, packet);
}

/* Append what has become contiguous. Returns the bytes. */
static uint32_t merge_reassembly(struct tcp_connection *c)
{
	struct tcp_reassembly *r = c->reassembly;
	struct list_node *node;
	uint32_t merged = 0;
	while ((node = list_first(&r->queue)) != NULL) {
		struct pbuf *packet = queue_entry(node);
		if (seq_lt(c->rcv_nxt, seq(packet->sequence)))
			break;
		queue_remove(c->tcp, r, packet);
		uint32_t length = packet->packet_length;
		int32_t overlap = seq_diff(c->rcv_nxt, seq(packet->sequence));
		if ((uint32_t)overlap >= length) {
			pbuf_free(packet);
			continue;
		}
		packet = pbuf_trim_front(packet, (uint32_t)overlap);
		length -= (uint32_t)overlap;
		tcp_receive_append(c, packet, length);
		merged += length;
	}
	sack_blocks_trim(r, c->rcv_nxt);
	return merged;
}

static bool has_memory(const struct tcp_connection *c)
{
	const struct tcp_reassembly *r = c->reassembly;
	uint64_t held = c->receive_true + (r ? r->true_bytes : 0u);
	return held < 2ull * c->receive_buffer && !tcp_receive_memory_is_short(c->tcp) &&
	       (!r || r->count < TCP_MAX_OUT_OF_ORDER);
}

/* A hole lies before the segment. */
static void receive_beyond_hole(struct tcp_connection *c, struct tcp_segment *s,
                                struct tcp_seq sequence, struct tcp_seq end, bool fin)
{
	tcp_ack_schedule(c); /* at once: the sender counts these (RFC 5681 §4.2) */
	c->tcp->counters->tcp_out_of_order++;
	if (!has_memory(c))
		return;
	struct tcp_reassembly *r = reassembly_get(c);
	if (!r)
		return;
	if (fin) {
		r->fin = true;
		r->fin_sequence = end;
	}
	if (seq_lt(sequence, end)) {
		struct pbuf *packet = s->packet;
		s->packet = NULL;
		out_of_order(c->tcp, r, packet, sequence, end);
	}
}

/* Is there memory for in-order bytes? What waits behind a hole gives way to them (as Linux prunes
 * it: the peer sends it again), and a reader who has nothing gets his first bytes in any case. */
static bool make_room(struct tcp_connection *c)
{
	if (!(c->odd & TCP_ODD_MEMORY) && !tcp_receive_memory_is_short(c->tcp))
		return true;
	struct tcp_reassembly *r = c->reassembly;
	while (r && !list_is_empty(&r->queue)) {
		struct pbuf *last = queue_entry(r->queue.head.prev);
		queue_remove(c->tcp, r, last);
		pbuf_free(last);
		r->block_count = 0;
	}
	return !c->receive_head ||
	       (!(c->odd & TCP_ODD_MEMORY) && !tcp_receive_memory_is_short(c->tcp));
}

/* The segment continues what we have. True: and a FIN is next. */
static bool receive_in_order(struct tcp_connection *c, struct tcp_segment *s, uint32_t length,
                             bool fin)
{
	uint32_t gso_size = s->packet ? s->packet->gso_size : 0;
	if (length && make_room(c)) {
		if (c->timestamps && s->options.has_timestamp && length >= c->rcv_mss)
			tcp_receive_rtt(c, s->options.timestamp_echo);
		tcp_receive_append(c, s->packet, length);
		s->packet = NULL;
	} else if (length) {
		if (!copy_behind(c->receive_tail, s->packet, UINT32_MAX)) {
			tcp_ack_schedule(c);
			return false;
		}
		c->rcv_nxt = seq_add(c->rcv_nxt, length);
	}
	struct tcp_reassembly *r = c->reassembly;
	if (r) {
		length += merge_reassembly(c);
		fin = fin || (r->fin && seq_eq(r->fin_sequence, c->rcv_nxt));
		tcp_ack_schedule(c); /* a hole was filled, or is still there */
		if (list_is_empty(&r->queue) && !r->fin)
			tcp_reassembly_purge(c);
	}
	if (length)
		tcp_data_received(c, length, gso_size);
	return fin;
}

void tcp_note_duplicate(struct tcp_connection *c, struct tcp_seq start, struct tcp_seq end)
{
	if (!seq_lt(start, end))
		return;
	c->dsack = (struct tcp_interval){ start, end };
	c->dsack_due = c->sack;
}

bool tcp_receive_payload(struct tcp_connection *c, struct tcp_segment *s, bool fin)
{
	struct tcp_seq sequence = s->sequence, end = seq_add(sequence, s->length);
	struct tcp_seq edge = seq_add(c->rcv_nxt, tcp_receive_window(c));
	int32_t old = seq_diff(c->rcv_nxt, sequence);
	if (old > 0) {
		/* All of it is known: perhaps our ACK was lost. */
		if ((uint32_t)old >= s->length + fin) {
			tcp_note_duplicate(c, sequence, end);
			tcp_ack_schedule(c);
			return false;
		}
		if ((uint32_t)old >= s->length) {
			pbuf_free(s->packet);
			s->packet = NULL;
		} else {
			s->packet = pbuf_trim_front(s->packet, (uint32_t)old);
		}
		sequence = c->rcv_nxt;
	}
	if (seq_lt(edge, end)) { /* what lies beyond the window was not asked for, nor is the FIN
		                    behind it */
		end = seq_lt(edge, sequence) ? sequence : edge;
		fin = false;
		tcp_ack_schedule(c);
		if (seq_eq(sequence, end))
			return false;
		pbuf_trim_back(s->packet, end.value - sequence.value);
	}
	if (!seq_eq(sequence, c->rcv_nxt)) {
		receive_beyond_hole(c, s, sequence, end, fin);
		return false;
	}
	return receive_in_order(c, s, end.value - sequence.value, fin);
}

/* ---- autotuning ---- */

/* The echo on a full segment: the time from our ACK to the data that it let out, in the receiver's
 * view. */
void tcp_receive_rtt(struct tcp_connection *c, uint32_t timestamp_echo)
{
	uint32_t ms = tcp_now_ms(c->tcp) + c->timestamp_offset - timestamp_echo;
	if (!timestamp_echo || ms > 60000)
		return;
	uint32_t us = ms ? ms * 1000 : 1000;
	if (!c->receive_rtt_us)
		c->receive_rtt_us = us;
	else
		c->receive_rtt_us = c->receive_rtt_us - c->receive_rtt_us / 8 + us / 8;
}

void tcp_receive_grow(struct tcp_connection *c)
{
	uint64_t now = tcp_now(c->tcp);
	uint32_t copied = c->rcv_copied.value - c->space_sequence.value;
	if (copied > c->space_bytes && !c->receive_locked) {
		uint64_t window = 2ull * copied + 16ull * c->advertised_mss;
		window += window * (copied - c->space_bytes) / c->space_bytes;
		uint64_t buffer = min_u64(2 * window, c->tcp->receive_max);
		if (buffer > c->receive_buffer)
			c->receive_buffer = (uint32_t)buffer;
	}
	if (copied > c->space_bytes)
		c->space_bytes = copied;
	c->space_sequence = c->rcv_copied;
	c->space_started_ns = now;
}

bool tcp_input_waits(const struct stack *stack)
{
	return stack_tcp(stack)->receive_held != 0;
}
