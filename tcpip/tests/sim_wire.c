/* The simulated Ethernet segment and each host's card on it. Written without the library's checksum
 * and segmentation, as a second opinion on them. */
#include "tcpip/tests/sim_internal.h"

#include <errno.h>
#include <string.h>

/* ---- plain arithmetic ---- */

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t sum_words(uint32_t sum, const uint8_t *p, uint32_t length)
{
	for (uint32_t i = 0; i < length; i++) {
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

static void complete_checksum(struct sim_frame *frame)
{
	if (!(frame->flags & PBUF_CSUM_PARTIAL))
		return;
	uint8_t *field = frame->bytes + frame->csum_start + frame->csum_offset;
	CHECK(frame->csum_start + frame->csum_offset + 2u <= frame->length);
	uint32_t sum =
	        ~sum_words(0, frame->bytes + frame->csum_start, frame->length - frame->csum_start) &
	        0xffff;
	put16(field, sum == 0 && frame->csum_offset == 6 ? 0xffff : sum); /* UDP */
	frame->flags &= (uint8_t)~PBUF_CSUM_PARTIAL;
}

/* ---- capture ---- */

void wire_pcap_open(struct sim *sim, const char *path)
{
	const uint32_t header[6] = { 0xa1b23c4d /* nanoseconds */, 4 << 16 | 2, 0, 0, 262144, 1 };
	sim->pcap = fopen(path, "wb");
	if (!sim->pcap) {
		perror(path);
		exit(2);
	}
	fwrite(header, sizeof(header), 1, sim->pcap);
}

static void pcap_write(struct sim *sim, const struct sim_frame *frame)
{
	if (!sim->pcap)
		return;
	uint32_t header[4] = { (uint32_t)(sim->now_ns / SIM_SECOND),
		               (uint32_t)(sim->now_ns % SIM_SECOND), frame->length, frame->length };
	fwrite(header, sizeof(header), 1, sim->pcap);
	fwrite(frame->bytes, frame->length, 1, sim->pcap);
}

/* ---- arrival ---- */

static uint32_t piece_room(struct sim_host *host, const struct pbuf *piece)
{
	return host->config.scatter ? 1 + sim_random_below(host->sim, 200) : pbuf_tailroom(piece);
}

/* The frame in receive buffers, as a device with mergeable buffers fills them; NULL when the pool
 * is empty. */
static struct pbuf *receive_buffers(struct sim_host *host, const struct sim_frame *frame)
{
	struct pbuf *first = NULL, **tail = &first;
	uint32_t offset = 0;
	while (offset < frame->length || !first) {
		struct pbuf *piece = pbuf_alloc(host->pool, PBUF_PAGE, PBUF_RECEIVE_HEADROOM + 12);
		if (!piece) {
			if (first)
				pbuf_free(first);
			return NULL;
		}
		uint32_t room = piece_room(host, piece), left = frame->length - offset;
		piece->length = left < room ? left : room;
		memcpy(piece->data, frame->bytes + offset, piece->length);
		offset += piece->length;
		*tail = piece;
		tail = &piece->next;
	}
	first->packet_length = frame->length;
	return first;
}

void wire_arrive(struct sim_host *host, struct sim_frame *frame)
{
	struct pbuf *packet = receive_buffers(host, frame);
	if (packet) {
		if (frame->flags & PBUF_CSUM_PARTIAL)
			packet->flags |= PBUF_CSUM_VALID;
		if (frame->flags & PBUF_GSO_TCP4) {
			packet->flags |= PBUF_GSO_TCP4;
			packet->gso_size = frame->gso_size;
		}
		host->wire.delivered++;
		list_push_back(&host->receive_queue, &packet->link);
	} else {
		host->wire.no_buffer++;
	}
	free(frame->bytes);
}

/* ---- the segment ---- */

static struct sim_frame frame_copy(const struct sim_frame *frame)
{
	struct sim_frame copy = *frame;
	copy.bytes = malloc(frame->length ? frame->length : 1);
	CHECK(copy.bytes);
	memcpy(copy.bytes, frame->bytes, frame->length);
	return copy;
}

static void frame_deliver(struct sim_host *from, const struct sim_frame *frame, uint64_t when)
{
	struct sim *sim = from->sim;
	for (uint32_t i = 0; i < sim->hosts; i++) {
		struct sim_host *to = sim->host[i];
		bool addressed = frame->length < 6 || frame->bytes[0] & 1 ||
		                 !memcmp(frame->bytes, to->netif.mac.byte, 6);
		if (to == from || !addressed)
			continue;
		struct sim_event event = { .time_ns = when, .host = to, .kind = SIM_ARRIVAL };
		event.frame = frame_copy(frame);
		sim_post(sim, &event);
	}
}

/* RFC 1191: a router at the narrow place tells the sender. */
static void tell_mtu(struct sim_host *from, const struct sim_frame *frame)
{
	uint8_t reply[14 + 20 + 8 + 28] = { 0 };
	const uint8_t *ip = frame->bytes + 14;
	memcpy(reply, from->netif.mac.byte, 6);
	memcpy(reply + 6, "\x52\x54\x00\x00\x00\xfe", 6);
	put16(reply + 12, 0x0800);
	uint8_t *out = reply + 14;
	out[0] = 0x45;
	put16(out + 2, sizeof(reply) - 14);
	out[8] = 64;
	out[9] = 1;
	memcpy(out + 12, "\x0a\x00\x00\xfe", 4);
	memcpy(out + 16, ip + 12, 4);
	put16(out + 10, ~sum_words(0, out, 20));
	uint8_t *icmp = out + 20;
	icmp[0] = 3;
	icmp[1] = 4;
	put16(icmp + 6, from->config.egress.mtu);
	memcpy(icmp + 8, ip, 28);
	put16(icmp + 2, ~sum_words(0, icmp, 36));
	struct sim_event event = { .time_ns = from->sim->now_ns + from->config.egress.delay_ns,
		                   .host = from,
		                   .kind = SIM_ARRIVAL };
	event.frame = frame_copy(&(struct sim_frame){ .bytes = reply, .length = sizeof(reply) });
	sim_post(from->sim, &event);
}

static bool frame_is_lost(struct sim_host *from)
{
	const struct sim_link *link = &from->config.egress;
	if (sim_chance(from->sim, from->burst_bad ? link->burst_end_ppm : link->burst_start_ppm))
		from->burst_bad = !from->burst_bad;
	return sim_chance(from->sim, link->loss_ppm) ||
	       (from->burst_bad && sim_chance(from->sim, link->burst_loss_ppm));
}

static bool frame_is_too_large(struct sim_host *from, const struct sim_frame *frame)
{
	const struct sim_link *link = &from->config.egress;
	if (!link->mtu || frame->flags & PBUF_GSO_TCP4 || frame->length <= link->mtu + 14)
		return false;
	from->wire.too_large++;
	if (link->mtu_is_told && get16(frame->bytes + 12) == 0x0800 && frame->bytes[20] & 0x40)
		tell_mtu(from, frame);
	return true;
}

/* Through the bottleneck: when the last bit has left, or never. */
static bool frame_serialize(struct sim_host *from, const struct sim_frame *frame, uint64_t *when)
{
	const struct sim_link *link = &from->config.egress;
	uint64_t now = from->sim->now_ns;
	*when = now;
	if (!link->bits_per_second)
		return true;
	uint64_t start = from->link_free_ns > now ? from->link_free_ns : now;
	uint64_t backlog_bytes = (start - now) * link->bits_per_second / 8 / SIM_SECOND;
	if (link->queue_bytes && backlog_bytes + frame->length > link->queue_bytes) {
		from->wire.queue_dropped++;
		return false;
	}
	*when = start + frame->length * 8ull * SIM_SECOND / link->bits_per_second;
	from->link_free_ns = *when;
	return true;
}

/* One frame as it is on the wire. */
static uint64_t wire_send(struct sim_host *from, struct sim_frame *frame)
{
	struct sim *sim = from->sim;
	const struct sim_link *link = &from->config.egress;
	uint64_t departure = sim->now_ns;
	from->wire.sent++;
	pcap_write(sim, frame);
	if (from->tap && from->tap(from, frame->bytes, frame->length))
		return departure;
	if (frame_is_too_large(from, frame) || !frame_serialize(from, frame, &departure))
		return departure;
	if (frame_is_lost(from)) {
		from->wire.lost++;
		return departure;
	}
	/* ARP has no checksum of its own: nothing could notice. */
	bool has_checksum = frame->length > 14 && get16(frame->bytes + 12) == 0x0800;
	if (!(frame->flags & PBUF_CSUM_PARTIAL) && has_checksum &&
	    sim_chance(sim, link->corrupt_ppm)) {
		uint32_t bit = sim_random_below(sim, (frame->length - 14) * 8);
		frame->bytes[14 + bit / 8] ^= (uint8_t)(1 << bit % 8);
		from->wire.corrupted++;
	}
	uint64_t arrival = departure + link->delay_ns;
	if (link->jitter_ns)
		arrival += sim_random(sim) % link->jitter_ns;
	if (sim_chance(sim, link->reorder_ppm)) {
		arrival += link->reorder_delay_ns;
		from->wire.reordered++;
	} else if (arrival < from->last_arrival_ns) {
		arrival = from->last_arrival_ns;
	} else {
		from->last_arrival_ns = arrival;
	}
	frame_deliver(from, frame, arrival);
	if (sim_chance(sim, link->duplicate_ppm)) {
		from->wire.duplicated++;
		frame_deliver(from, frame, arrival + link->reorder_delay_ns);
	}
	return departure;
}

/* ---- the card ---- */

/* Cut as the standard demands (virtio 1.2 §5.1.6.2, and what every card does): one segment after
 * the other, from scratch. */
static uint64_t send_cut(struct sim_host *host, const struct sim_frame *whole)
{
	uint32_t tcp_start = whole->csum_start, headers = whole->header_length;
	uint32_t payload = whole->length - headers, index = 0;
	uint64_t departure = host->sim->now_ns;
	CHECK(whole->gso_size && headers >= tcp_start + 20u && headers <= whole->length);
	for (uint32_t offset = 0; offset < payload || index == 0;
	     offset += whole->gso_size, index++) {
		uint32_t length =
		        payload - offset < whole->gso_size ? payload - offset : whole->gso_size;
		bool last = offset + length == payload;
		struct sim_frame segment = { .length = headers + length,
			                     .flags = PBUF_CSUM_PARTIAL };
		segment.bytes = malloc(segment.length);
		CHECK(segment.bytes);
		memcpy(segment.bytes, whole->bytes, headers);
		memcpy(segment.bytes + headers, whole->bytes + headers + offset, length);
		uint8_t *ip = segment.bytes + 14, *tcp = segment.bytes + tcp_start;
		put16(ip + 2, segment.length - 14);
		put16(ip + 4, get16(ip + 4) + index);
		put16(ip + 10, 0);
		put16(ip + 10, ~sum_words(0, ip, tcp_start - 14u));
		uint32_t sequence = get32(tcp + 4) + offset;
		put16(tcp + 4, sequence >> 16);
		put16(tcp + 6, sequence);
		if (!last)
			tcp[13] &= (uint8_t)~0x09;
		if (index)
			tcp[13] &= (uint8_t)~0x80;
		uint8_t pseudo[4] = { 0, 6, 0, 0 };
		put16(pseudo + 2, segment.length - tcp_start);
		put16(tcp + 16, sum_words(sum_words(0, ip + 12, 8), pseudo, 4));
		segment.csum_start = (uint16_t)tcp_start;
		segment.csum_offset = 16;
		complete_checksum(&segment);
		departure = wire_send(host, &segment);
		free(segment.bytes);
	}
	return departure;
}

static bool everyone_takes_offloads(const struct sim_host *host)
{
	const struct sim *sim = host->sim;
	for (uint32_t i = 0; i < sim->hosts; i++) {
		if (sim->host[i] != host && !sim->host[i]->config.receive_offloads)
			return false;
	}
	return !host->tap;
}

/* What the card was told it may do, it must have announced. */
static void check_offloads(const struct sim_host *host, const struct pbuf *frame)
{
	if (frame->flags & PBUF_CSUM_PARTIAL)
		CHECK(host->netif.offloads & NETIF_TX_CSUM);
	if (frame->flags & PBUF_GSO_TCP4) {
		CHECK(host->netif.offloads & NETIF_TX_TSO4);
		CHECK(frame->flags & PBUF_CSUM_PARTIAL);
	} else {
		CHECK(frame->packet_length <= host->netif.mtu + 14);
	}
	CHECK(pbuf_headroom(frame) >= 12);
}

static int card_transmit(struct netif *netif, struct pbuf *frame)
{
	struct sim_host *host = netif->driver;
	if (host->ring_used >= host->config.ring_slots) {
		host->ring_was_full = true;
		pbuf_free(frame);
		return -ENOBUFS;
	}
	check_offloads(host, frame);
	struct sim_frame copy = { .length = frame->packet_length,
		                  .flags = frame->flags,
		                  .csum_start = frame->csum_start,
		                  .csum_offset = frame->csum_offset,
		                  .gso_size = frame->gso_size,
		                  .header_length = frame->header_length };
	copy.bytes = malloc(copy.length);
	CHECK(copy.bytes);
	CHECK_EQ(pbuf_copy_out(frame, 0, copy.bytes, copy.length), copy.length);
	pbuf_free(frame);
	uint64_t departure;
	if (copy.flags & PBUF_GSO_TCP4 && !everyone_takes_offloads(host)) {
		departure = send_cut(host, &copy);
	} else {
		if (!everyone_takes_offloads(host) || host->config.egress.corrupt_ppm)
			complete_checksum(&copy);
		departure = wire_send(host, &copy);
	}
	free(copy.bytes);
	host->ring_used++;
	struct sim_event completion = { .time_ns = departure + host->config.tx_completion_ns,
		                        .host = host,
		                        .kind = SIM_TX_COMPLETION };
	sim_post(host->sim, &completion);
	return 0;
}

static uint32_t card_space(struct netif *netif)
{
	struct sim_host *host = netif->driver;
	uint32_t space = host->config.ring_slots - host->ring_used;
	if (!space)
		host->ring_was_full = true;
	return space;
}

void wire_attach(struct sim_host *host)
{
	host->netif.driver = host;
	host->netif.transmit = card_transmit;
	host->netif.transmit_space = card_space;
}
