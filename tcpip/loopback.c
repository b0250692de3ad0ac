/* The loopback interface: packets to our own addresses come back in a later callback, by reference
 * and without checksums. So do copies of what leaves for a group that we are in ourselves. */
#include "tcpip/stack_internal.h"

#include <errno.h>

#define LOOPBACK_QUEUE_MAX 4096 /* packets */
#define LOOPBACK_BUDGET    64   /* packets per callback */

static int loopback_transmit(struct netif *netif, struct pbuf *frame)
{
	/* Everything to ourselves goes through loopback_send; nothing has an Ethernet header to
	 * send here. */
	netif->statistics.tx_dropped++;
	pbuf_free(frame);
	return -EINVAL;
}

static uint32_t loopback_transmit_space(struct netif *netif)
{
	const struct loopback *loopback = container_of(netif, struct loopback, netif);
	return LOOPBACK_QUEUE_MAX - loopback->queued;
}

static void loopback_run(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	struct loopback *loopback = container_of(watcher, struct loopback, watcher);
	bool was_full = loopback->queued >= LOOPBACK_QUEUE_MAX;
	(void)events;
	for (int budget = LOOPBACK_BUDGET; budget && loopback->queued; budget--) {
		struct list_node *node = list_pop_front(&loopback->queue);
		struct pbuf *packet = list_entry(node, struct pbuf, link);
		struct netif *netif = (struct netif *)(uintptr_t)packet->cookie[0];
		loopback->queued--;
		loopback->netif.statistics.rx_frames++;
		loopback->netif.statistics.rx_bytes += packet->packet_length;
		ip_input(netif, packet);
	}
	if (loopback->queued)
		loop_post(loop, watcher, 1);
	if (was_full)
		netif_transmit_ready(&loopback->netif);
}

/* The receiver trims what it gets, the sender still counts on what it kept (to retransmit): every
 * piece that is referenced elsewhere is replaced by a slice of it. NULL (and the packet freed) when
 * there is no memory. */
static struct pbuf *unshare(struct pbuf *packet)
{
	struct pbuf *first = NULL, **tail = &first;
	struct pbuf *rest = packet;
	uint32_t packet_length = packet->packet_length;
	uint8_t flags = packet->flags;
	uint16_t gso_size = packet->gso_size;
	while (rest) {
		struct pbuf *piece = rest;
		if (rest->refs > 1) {
			piece = pbuf_slice(rest, 0, rest->length);
			if (!piece)
				break;
			struct pbuf *next = rest->next ? pbuf_ref(rest->next) : NULL;
			pbuf_free(rest);
			rest = next;
		} else {
			rest = rest->next;
			piece->next = NULL;
		}
		*tail = piece;
		tail = &piece->next;
	}
	if (rest) {
		pbuf_free(rest);
		if (first)
			pbuf_free(first);
		return NULL;
	}
	first->packet_length = packet_length;
	first->flags = flags;
	first->gso_size = gso_size;
	return first;
}

int loopback_send(struct netif *netif, struct pbuf *packet)
{
	struct stack *stack = netif->stack;
	struct loopback *loopback = &stack->loopback;
	if (loopback->queued >= LOOPBACK_QUEUE_MAX) {
		loopback->netif.statistics.tx_busy++;
		pbuf_free(packet);
		return -ENOBUFS;
	}
	packet = unshare(packet);
	if (!packet) {
		loopback->netif.statistics.tx_dropped++;
		return -ENOBUFS;
	}
	packet->flags |= PBUF_LOOPED | PBUF_CSUM_VALID;
	packet->cookie[0] = (uintptr_t)netif;
	loopback->netif.statistics.tx_frames++;
	loopback->netif.statistics.tx_bytes += packet->packet_length;
	list_push_back(&loopback->queue, &packet->link);
	loopback->queued++;
	loop_post(stack->loop, &loopback->watcher, 1);
	return 0;
}

void loopback_init(struct stack *stack)
{
	struct loopback *loopback = &stack->loopback;
	struct netif *netif = &loopback->netif;
	loopback->stack = stack;
	list_init(&loopback->queue);
	loop_watcher_init(&loopback->watcher, LOOP_PRIORITY_HIGH, loopback_run);
	memcpy(netif->name, "lo", sizeof("lo"));
	netif->mtu = 65536;
	netif->offloads = NETIF_LOOPBACK | NETIF_TX_CSUM | NETIF_TX_TSO4 | NETIF_TX_TSO_ECN;
	netif->transmit = loopback_transmit;
	netif->transmit_space = loopback_transmit_space;
	netif->stack = stack;
	netif->index = 1;
	netif->address = ipv4(127, 0, 0, 1);
	netif->address_wire = netif->broadcast_wire = swap32(netif->address.value);
	netif->prefix_length = 8;
	netif->up = true;
	list_push_back(&stack->netifs, &netif->link);
}

void loopback_fini(struct stack *stack)
{
	struct loopback *loopback = &stack->loopback;
	loop_stop(stack->loop, &loopback->watcher);
	struct list_node *node;
	while ((node = list_pop_front(&loopback->queue)))
		pbuf_free(list_entry(node, struct pbuf, link));
	loopback->queued = 0;
}
