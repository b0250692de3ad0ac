/* Ethernet (RFC 894): frames in, frames out. */
#include "tcpip/stack_internal.h"

#include <errno.h>

typedef uint16_t __attribute__((may_alias)) half;
typedef uint32_t __attribute__((may_alias)) word;

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
	const half *to = __builtin_assume_aligned(destination, 2);
	const half *mac = __builtin_assume_aligned(netif->mac.byte, 2);
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

void netif_input(struct netif *netif, struct pbuf *frame)
{
	netif->statistics.rx_frames++;
	netif->statistics.rx_bytes += frame->packet_length;
	if (unlikely(frame->length < ETHERNET_HEADER_BYTES) &&
	    !pbuf_pull_up(frame, ETHERNET_HEADER_BYTES))
		goto bad;
	if (unlikely(((uintptr_t)frame->data & 3) != 2) && !frame_align(frame))
		goto bad;
	const uint8_t *header = frame->data;
	if (unlikely(!is_ours(netif, header))) {
		bool group = header[0] & 1;
		if (!group || !group_frame_is_acceptable(netif, frame)) {
			frame_drop(netif, frame);
			return;
		}
	}
	const half *type = __builtin_assume_aligned(header + 12, 2);
	if (likely(*type == swap16(ETHERNET_IPV4))) {
		pbuf_pull(frame, ETHERNET_HEADER_BYTES);
		ip_input(netif, frame);
	} else if (*type == swap16(ETHERNET_ARP)) {
		arp_input(netif, frame);
	} else {
		frame_drop(netif, frame);
	}
	return;
bad:
	netif->statistics.rx_errors++;
	pbuf_free(frame);
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
