/* Ethernet (RFC 894): frames in, frames out. */
#include "tcpip/stack_internal.h"

#include <errno.h>

/* Everything above reads IP headers with aligned loads, so a frame that stands otherwise is moved.
 * Drivers avoid it (PBUF_RECEIVE_HEADROOM). */
static bool frame_align(struct pbuf *frame)
{
	uint32_t up = (uint32_t)(2 - (uintptr_t)frame->data) & 3;
	uint8_t *to;
	if (!frame->block || frame->refs > 1)
		return false;
	if (pbuf_tailroom(frame) >= up)
		to = frame->data + up;
	else if (pbuf_headroom(frame) >= 4 - up)
		to = frame->data - (4 - up);
	else
		return false;
	memmove(to, frame->data, frame->length);
	frame->data = to;
	return true;
}

static bool is_ours(const struct netif *netif, const uint8_t *destination)
{
	const half_alias *to = __builtin_assume_aligned(destination, 2);
	const half_alias *mac = __builtin_assume_aligned(netif->mac.byte, 2);
	return ((to[0] ^ mac[0]) | (to[1] ^ mac[1]) | (to[2] ^ mac[2])) == 0;
}

/* A frame to a group must not carry a packet to one host (RFC 1122 §3.3.6). */
static bool group_frame_is_acceptable(const struct netif *netif, struct pbuf *frame)
{
	const uint32_t destination_offset = ETHERNET_HEADER_BYTES + 16;
	if (load_be16(frame->data + 12) == ETHERNET_ARP)
		return true;
	uint8_t bytes[4];
	if (pbuf_copy_out(frame, destination_offset, bytes, 4) != 4)
		return false;
	struct ipv4_address destination = { load_be32(bytes) };
	return ipv4_is_multicast(destination) || netif_is_broadcast(netif, destination) ||
	       ipv4_is_any(netif->address);
}

static void frame_drop(struct netif *netif, struct pbuf *frame)
{
	netif->statistics.rx_dropped++;
	pbuf_free(frame);
}

/* Everything but a well-placed IPv4 frame to our own address. */
static SLOW_PATH void frame_input_slowly(struct netif *netif, struct pbuf *frame)
{
	if ((frame->length < ETHERNET_HEADER_BYTES &&
	     !pbuf_pull_up(frame, ETHERNET_HEADER_BYTES)) ||
	    (((uintptr_t)frame->data & 3) != 2 && !frame_align(frame))) {
		netif->statistics.rx_errors++;
		pbuf_free(frame);
		return;
	}
	const uint8_t *header = frame->data;
	bool group = header[0] & 1;
	if (!is_ours(netif, header) && (!group || !group_frame_is_acceptable(netif, frame))) {
		frame_drop(netif, frame);
		return;
	}
	switch (load_be16(header + 12)) {
	case ETHERNET_IPV4:
		pbuf_pull(frame, ETHERNET_HEADER_BYTES);
		ip_input(netif, frame);
		break;
	case ETHERNET_ARP:
		arp_input(netif, frame);
		break;
	default:
		frame_drop(netif, frame);
	}
}

void netif_input(struct netif *netif, struct pbuf *frame)
{
	const half_alias *header = (const half_alias *)(void *)frame->data;
	netif->statistics.rx_frames++;
	netif->statistics.rx_bytes += frame->packet_length;
	if (likely(tcp_predict(netif, frame)))
		return;
	if (unlikely(frame->length < ETHERNET_HEADER_BYTES || ((uintptr_t)header & 3) != 2 ||
	             header[6] != (ETHERNET_IPV4 >> 8) || !is_ours(netif, frame->data))) {
		frame_input_slowly(netif, frame);
		return;
	}
	pbuf_pull(frame, ETHERNET_HEADER_BYTES);
	ip_input(netif, frame);
}

int ethernet_send(struct netif *netif, struct pbuf *packet, const struct ethernet_address *to,
                  enum ethernet_type type)
{
	uint8_t *header = pbuf_push(packet, ETHERNET_HEADER_BYTES);
	memcpy(header, to->byte, 6);
	memcpy(header + 6, netif->mac.byte, 6);
	store_be16(header + 12, (uint16_t)type);
	return netif_send(netif, packet);
}
