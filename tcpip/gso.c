/*
 * The driver's edge: the one place where a frame leaves the stack. What the device does not do
 * (checksum, segmentation) is done here in software, so that everything above always hands down
 * large packets with partial checksums.
 */
#include "tcpip/stack_internal.h"

#include <errno.h>

/* Headroom of a segment's header buffer: the virtio-net header, and the IP header behind Ethernet's
 * 14 bytes 4-aligned. */
#define SEGMENT_HEADROOM 34

enum tcp_offsets { TCP_SEQUENCE = 4, TCP_FLAGS = 13, TCP_CHECKSUM = 16, TCP_HEADER_LEAST = 20 };
#define UDP_CHECKSUM 6
enum tcp_flags { TCP_FIN = 0x01, TCP_PSH = 0x08, TCP_CWR = 0x80 };

bool checksum_complete(struct pbuf *frame)
{
	uint32_t field = (uint32_t)frame->csum_start + frame->csum_offset;
	if (!pbuf_pull_up(frame, field + 2))
		return false;
	uint16_t sum = checksum_fold(checksum_pbuf(0, frame, frame->csum_start,
	                                           frame->packet_length - frame->csum_start));
	if (sum == 0 && frame->csum_offset == UDP_CHECKSUM)
		sum = 0xffff; /* UDP's 0 means "none" (RFC 768) */
	checksum_store(frame->data + field, sum);
	frame->flags &= (uint8_t)~PBUF_CSUM_PARTIAL;
	return true;
}

/* Where in a packet's payload the next segment begins. */
struct cursor {
	struct pbuf *piece;
	uint32_t offset;
};

/* Append slices of the next `length` bytes to `segment`; returns false when out of memory. The sum
 * of the bytes is added to *sum. */
static bool segment_append(struct pbuf *segment, struct cursor *cursor, uint32_t length,
                           uint32_t *sum)
{
	struct pbuf *last = segment;
	bool odd = false;
	while (length) {
		uint32_t step = cursor->piece->length - cursor->offset;
		if (step == 0) {
			cursor->piece = cursor->piece->next;
			cursor->offset = 0;
			continue;
		}
		if (step > length)
			step = length;
		struct pbuf *slice = pbuf_slice(cursor->piece, cursor->offset, step);
		if (!slice)
			return false;
		last->next = slice;
		last = slice;
		segment->packet_length += step;
		uint32_t part = checksum_add(0, slice->data, step);
		if (odd)
			part = part << 8 | part >> 24;
		*sum += part;
		*sum += *sum < part;
		odd ^= step & 1;
		cursor->offset += step;
		length -= step;
	}
	return true;
}

struct segmentation {
	const struct pbuf *frame;
	const uint8_t *headers;
	uint32_t header_length, ip_start, tcp_start;
	uint32_t sequence;
	uint16_t identification;
};

/* A copy of the headers, made right for one segment (its payload already hangs on it and is summed
 * in `sum`). */
static void segment_write_headers(const struct segmentation *s, struct pbuf *segment,
                                  uint32_t index, uint32_t offset, bool last, uint32_t sum)
{
	uint32_t payload = segment->packet_length - s->header_length;
	uint8_t *ip = segment->data + s->ip_start, *tcp = segment->data + s->tcp_start;
	store_be16(ip + 2, (uint16_t)(segment->packet_length - s->ip_start));
	store_be16(ip + 4, (uint16_t)(s->identification + index));
	checksum_store(ip + 10, 0);
	checksum_store(ip + 10, checksum_fold(checksum_add(0, ip, s->tcp_start - s->ip_start)));

	store_be32(tcp + TCP_SEQUENCE, s->sequence + offset);
	if (!last)
		tcp[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (index)
		tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
	checksum_store(tcp + TCP_CHECKSUM, 0);
	uint32_t tcp_bytes = s->header_length - s->tcp_start;
	uint64_t total = (uint64_t)sum + checksum_add(0, tcp, tcp_bytes) +
	                 checksum_pseudo_ipv4((struct ipv4_address){ load_be32(ip + 12) },
	                                      (struct ipv4_address){ load_be32(ip + 16) },
	                                      IP_PROTOCOL_TCP, tcp_bytes + payload);
	total = (total >> 32) + (uint32_t)total;
	total = (total >> 32) + (uint32_t)total;
	checksum_store(tcp + TCP_CHECKSUM, checksum_fold((uint32_t)total));
}

static bool segmentation_init(struct segmentation *s, struct pbuf *frame)
{
	s->frame = frame;
	s->header_length = frame->header_length;
	s->ip_start = ETHERNET_HEADER_BYTES;
	s->tcp_start = frame->csum_start;
	if (frame->gso_size == 0 || s->tcp_start < s->ip_start + IP_HEADER_BYTES ||
	    s->header_length < s->tcp_start + TCP_HEADER_LEAST || s->header_length > 256 ||
	    !pbuf_pull_up(frame, s->header_length))
		return false;
	s->headers = frame->data;
	s->sequence = load_be32(s->headers + s->tcp_start + TCP_SEQUENCE);
	s->identification = load_be16(s->headers + s->ip_start + 4);
	return true;
}

/* Zero-copy: a segment is a fresh copy of the headers and slices of the payload. What the ring has
 * no room for is dropped, as on the wire. */
static int send_segmented(struct netif *netif, struct pbuf *frame)
{
	struct segmentation s;
	if (!segmentation_init(&s, frame)) {
		netif->statistics.tx_dropped++;
		pbuf_free(frame);
		return -EINVAL;
	}
	netif->statistics.tx_software_gso++;
	struct cursor cursor = { frame, s.header_length };
	uint32_t payload = frame->packet_length - s.header_length, index = 0;
	uint32_t space = netif->transmit_space(netif);
	int error = 0;
	for (uint32_t offset = 0; !error && (offset < payload || index == 0); index++) {
		uint32_t length =
		        payload - offset < frame->gso_size ? payload - offset : frame->gso_size;
		uint32_t sum = 0;
		struct pbuf *segment =
		        index < space ? pbuf_alloc(frame->pool, PBUF_SMALL, SEGMENT_HEADROOM)
		                      : NULL;
		if (!segment) {
			error = -ENOBUFS;
			break;
		}
		memcpy(segment->data, s.headers, s.header_length);
		segment->length = segment->packet_length = s.header_length;
		if (!segment_append(segment, &cursor, length, &sum)) {
			pbuf_free(segment);
			error = -ENOBUFS;
			break;
		}
		segment_write_headers(&s, segment, index, offset, offset + length == payload, sum);
		offset += length;
		netif->statistics.tx_frames++;
		netif->statistics.tx_bytes += segment->packet_length;
		error = netif->transmit(netif, segment);
	}
	if (error)
		netif->statistics.tx_busy++;
	pbuf_free(frame);
	return index ? 0 : error;
}

SLOW_PATH int netif_send_in_software(struct netif *netif, struct pbuf *frame)
{
	if (frame->flags & (PBUF_GSO_TCP4 | PBUF_GSO_TCP6))
		return send_segmented(netif, frame);
	netif->statistics.tx_software_csum++;
	if (!checksum_complete(frame)) {
		netif->statistics.tx_dropped++;
		pbuf_free(frame);
		return -EINVAL;
	}
	return frame_transmit(netif, frame);
}

int netif_send(struct netif *netif, struct pbuf *frame)
{
	struct stack *stack = netif->stack;
	if (!stack->flushing && !stack->output_noted)
		stack_note_output(stack);
	return netif_transmit(netif, frame);
}
