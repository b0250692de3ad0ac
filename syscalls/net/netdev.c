/* virtio-net under the stack: receive, transmit, and the turn's hooks. */
#include "syscalls/net/netdev.h"

#include <errno.h>
#include <string.h>

#include "core/console.h"
#include "core/trace.h"
#include "syscalls/net.h"
#include "syscalls/net/boot_options.h"
#include "syscalls/net/packet_memory.h"

#define RX_BATCH                16
#define RX_BUDGET_DEFAULT       64
#define QUEUE                   0
/* A longer frame counts as several in the account of what a turn moved. */
#define MOVED_FRAME_BYTES       2048
/* Segments that the space for one frame is reckoned with: headers and a few pieces. */
#define TX_SEGMENTS_USUAL       4
/* The buffer that begins 2 bytes into its room puts the IP header on a multiple of 4. */
#define RX_HEADROOM             2
/* Fewer receive buffers than this are kept for packets without much data. */
#define RX_RESERVE              16
#define RX_RESERVE_PACKET_BYTES 128
/* Packets that the device or the host merged come in one buffer each, of which fewer are posted,
 * while they are this long on average. */
#define RX_LARGE_AVERAGE_BYTES  24576
#define RX_LARGE_POSTED         32
/* Of packet memory, what may wait in the receive ring: all buffers that it takes, from 16 MiB of
 * free memory on. */
#define RX_RING_SHARE           4
#define RX_RING_LEAST           32
/* Posted at first, and so many more whenever half of them were used up before a turn's end. Each is
 * a page that a guest that is only just started has not touched; but what comes until its first
 * turn needs room. */
#define RX_FIRST                64
#define RX_MORE                 32
/* Shorter packets do not hold such a buffer. */
#define RX_LARGE_COPY_BYTES     3600
/* Of the smaller buffers that they are copied to. */
#define RX_SMALL_BYTES          1700

/* ---- receive ---- */

static inline bool large_packets_come(const struct net_device *device)
{
	return device->rx_large_average >= RX_LARGE_AVERAGE_BYTES;
}

static inline uint32_t buffers_wanted(const struct net_device *device)
{
	return large_packets_come(device) && device->rx_wanted > RX_LARGE_POSTED
	               ? RX_LARGE_POSTED
	               : device->rx_wanted;
}

static void want_more_buffers(struct net_device *device)
{
	device->rx_wanted += RX_MORE;
	if (device->rx_wanted > device->capacity)
		device->rx_wanted = device->capacity;
}

/* How many buffers the receive ring may hold before its own size is known. */
static uint32_t ring_share(const struct pbuf_pool *pool)
{
	struct pbuf_pool_statistics statistics;
	pbuf_pool_statistics(pool, &statistics);
	uint64_t share = statistics.cap_bytes / RX_RING_SHARE / PAGE_SIZE;
	return share < RX_RING_LEAST ? RX_RING_LEAST
	       : share > UINT32_MAX  ? UINT32_MAX
	                             : (uint32_t)share;
}

static struct pbuf *receive_buffer(struct net_device *device)
{
	if (__builtin_expect(large_packets_come(device), 0)) {
		struct pbuf *large = pbuf_alloc(device->pool, PBUF_UNIT, RX_HEADROOM);
		if (large)
			return large;
	}
	return pbuf_alloc(device->pool, PBUF_PAGE, RX_HEADROOM);
}

static void refill(struct net_device *device)
{
	uint32_t wanted = buffers_wanted(device);
	while (device->posted < wanted) {
		struct pbuf *buffer = receive_buffer(device);
		if (!buffer) {
			device->rx_no_buffer++;
			return;
		}
		/* A multiple of 8: the pieces of a long stream lie as its bytes do in the user's
		 * buffer. */
		if (virtio_net_post_rx(&device->virtio, QUEUE, buffer->data,
		                       (buffer->block_bytes - RX_HEADROOM) & ~7u, buffer)) {
			pbuf_free(buffer);
			device->capacity = device->rx_wanted = device->posted;
			return;
		}
		device->posted++;
		device->unpublished = true;
	}
}

/* The pieces of one packet as a chain. */
static struct pbuf *packet_chain(const struct virtio_net_rx *rx)
{
	struct pbuf *first = rx->pieces[0].cookie;
	first->data += VIRTIO_NET_HEADER_BYTES;
	struct pbuf **link = &first;
	for (uint32_t i = 0; i < rx->piece_count; i++) {
		struct pbuf *piece = rx->pieces[i].cookie;
		piece->length = rx->pieces[i].bytes;
		*link = piece;
		link = &piece->next;
	}
	*link = NULL;
	first->packet_length = rx->packet_bytes;
	return first;
}

/* A packet of several buffers or in a large one. A short one gets a buffer of its size, unless
 * there is none. */
static __attribute__((noinline)) struct pbuf *receive_large(struct net_device *device,
                                                            struct pbuf *frame)
{
	uint32_t bytes = frame->packet_length;
	device->rx_large_average += bytes / 8 - device->rx_large_average / 8;
	if (frame->next || bytes > RX_LARGE_COPY_BYTES)
		return frame;
	struct pbuf *copy =
	        pbuf_alloc(device->pool, bytes > RX_SMALL_BYTES ? PBUF_PAGE : PBUF_SMALL,
	                   pbuf_headroom(frame));
	if (!copy)
		return frame;
	memcpy(copy->data, frame->data, bytes);
	copy->length = copy->packet_length = bytes;
	pbuf_free(frame);
	return copy;
}

/* Packet memory is used up: what would hold more of it is dropped, so that acknowledgements still
 * come in and free what waits for them. */
static __attribute__((noinline)) bool receive_scarcely(struct net_device *device,
                                                       struct pbuf *frame)
{
	want_more_buffers(device);
	refill(device);
	if (device->posted >= RX_RESERVE || frame->packet_length <= RX_RESERVE_PACKET_BYTES)
		return true;
	device->netif.statistics.rx_dropped++;
	pbuf_free(frame);
	refill(device);
	return false;
}

static inline void receive_frame(struct net_device *device, struct pbuf *frame, uint8_t flags,
                                 uint8_t gso_type, uint16_t gso_size)
{
	trace(TRACE_RX, frame->packet_length, QUEUE);
	if (__builtin_expect(device->posted < RX_RESERVE, 0) && !receive_scarcely(device, frame))
		return;
	/* A partial checksum was never on a wire: it is as good as a verified one. */
	if (flags & (VIRTIO_NET_NEEDS_CSUM | VIRTIO_NET_DATA_VALID))
		frame->flags = PBUF_CSUM_VALID;
	if (gso_type != VIRTIO_NET_GSO_NONE)
		frame->gso_size = gso_size;
	netif_input(&device->netif, frame);
}

/* The next used entry, whatever it is. Returns the packets taken. */
static __attribute__((noinline)) uint32_t receive_any(struct net_device *device)
{
	struct virtio_net_rx rx;
	if (!virtio_net_receive(&device->virtio, QUEUE, &rx, 1))
		return 0;
	struct pbuf *frame = packet_chain(&rx);
	device->posted -= rx.piece_count;
	if (frame->next || frame->class_ == PBUF_UNIT)
		frame = receive_large(device, frame);
	receive_frame(device, frame, rx.flags, rx.gso_type, rx.gso_size);
	return 1;
}

static void publish(struct net_device *device)
{
	device->unpublished = false;
	if (virtio_net_publish_and_kick(&device->virtio, QUEUE))
		trace(TRACE_KICK, QUEUE, 0);
}

/* At most `most` packets of the used entries that are there now. */
static uint32_t receive_some(struct net_device *device, uint32_t most)
{
	struct virtio_net *virtio = &device->virtio;
	uint64_t ready = virtio_net_receive_ready(virtio, QUEUE), bytes = 0;
	uint32_t ordinary = 0;
	if (ready > most)
		ready = most;
	for (; ordinary < ready; ordinary++) {
		const struct virtio_net_header *header;
		uint32_t frame_bytes;
		struct pbuf *frame = virtio_net_receive_one(virtio, QUEUE, &header, &frame_bytes);
		if (__builtin_expect(!frame, 0))
			break;
		device->posted--;
		frame->data += VIRTIO_NET_HEADER_BYTES;
		frame->length = frame->packet_length = frame_bytes;
		bytes += frame_bytes;
		uint8_t flags = header->flags, gso_type = header->gso_type;
		uint16_t gso_size = header->gso_size;
		if (__builtin_expect(frame->class_ == PBUF_UNIT, 0))
			frame = receive_large(device, frame);
		receive_frame(device, frame, flags, gso_type, gso_size);
	}
	virtio_net_received(virtio, QUEUE, ordinary, bytes);
	return ordinary < ready ? ordinary + receive_any(device) : ordinary;
}

static uint32_t receive(struct net_device *device)
{
	uint32_t received = 0, some;
	do {
		uint32_t most = device->rx_budget - received;
		some = receive_some(device, most < RX_BATCH ? most : RX_BATCH);
		received += some;
		/* Large packets empty the ring fast: the device should not have to wait for the end
		 * of the turn. */
		if (device->posted <= buffers_wanted(device) / 2) {
			want_more_buffers(device);
			refill(device);
			publish(device);
		}
	} while (some && received < device->rx_budget);
	return received;
}

/* ---- transmit ---- */

static void transmitted(void *context, void *cookie)
{
	(void)context;
	pbuf_free(cookie);
}

static void reclaim(struct net_device *device)
{
	virtio_net_reclaim(&device->virtio, QUEUE, transmitted, device);
	if (device->completions_wanted && virtio_net_tx_outstanding(&device->virtio, QUEUE) == 0)
		device->completions_wanted = false;
	if (device->transmit_blocked &&
	    virtio_net_tx_space(&device->virtio, QUEUE, TX_SEGMENTS_USUAL) != 0) {
		device->transmit_blocked = false;
		netif_transmit_ready(&device->netif);
	}
}

/* The frame's pieces as segments; 0: too many. */
static uint32_t frame_segments(const struct pbuf *frame, struct virtio_net_segment *segments)
{
	uint32_t count = 0;
	for (const struct pbuf *piece = frame; piece; piece = piece->next) {
		if (piece->length == 0)
			continue;
		if (count == VIRTIO_NET_SEGMENTS_MAX)
			return 0;
		segments[count++] = (struct virtio_net_segment){ piece->data, piece->length };
	}
	return count;
}

/* One piece that holds the whole frame; takes the reference. NULL: no memory, or longer than a
 * unit. */
static struct pbuf *flatten(struct net_device *device, struct pbuf *frame)
{
	struct pbuf *flat = NULL;
	if (frame->packet_length <= PBUF_UNIT_PAYLOAD + PBUF_HEADROOM - 16)
		flat = pbuf_alloc(device->pool, PBUF_UNIT, 16);
	if (flat) {
		pbuf_copy_out(frame, 0, flat->data, frame->packet_length);
		flat->length = flat->packet_length = frame->packet_length;
		flat->csum_start = frame->csum_start;
		flat->csum_offset = frame->csum_offset;
		flat->gso_size = frame->gso_size;
		flat->header_length = frame->header_length;
		flat->flags = frame->flags;
		device->tx_copied++;
	}
	pbuf_free(frame);
	return flat;
}

/* Where the device's header goes, right in front of the frame; NULL: no room there. */
static inline void *header_room(const struct pbuf *frame)
{
	bool room =
	        pbuf_headroom(frame) >= VIRTIO_NET_HEADER_BYTES && !((uintptr_t)frame->data & 1);
	return room ? frame->data - VIRTIO_NET_HEADER_BYTES : NULL;
}

static const struct virtio_net_tx_header *offload_header(const struct pbuf *frame,
                                                         struct virtio_net_tx_header *header)
{
	if (!(frame->flags & (PBUF_CSUM_PARTIAL | PBUF_GSO_TCP4 | PBUF_GSO_TCP6)))
		return NULL;
	*header = (struct virtio_net_tx_header){
		.flags = VIRTIO_NET_NEEDS_CSUM,
		.csum_start = frame->csum_start,
		.csum_offset = frame->csum_offset,
	};
	if (frame->flags & (PBUF_GSO_TCP4 | PBUF_GSO_TCP6)) {
		header->gso_type =
		        frame->flags & PBUF_GSO_TCP4 ? VIRTIO_NET_GSO_TCP4 : VIRTIO_NET_GSO_TCP6;
		if (frame->flags & PBUF_GSO_ECN)
			header->gso_type |= VIRTIO_NET_GSO_ECN;
		header->gso_size = frame->gso_size;
		header->header_length = frame->header_length;
	}
	return header;
}

static int transmitted_to_ring(struct net_device *device, struct pbuf *frame, uint32_t bytes,
                               int error)
{
	if (__builtin_expect(error, 0)) {
		device->transmit_blocked = true;
		pbuf_free(frame);
		return -ENOBUFS;
	}
	if (device->netif.room)
		device->netif.room--;
	device->unpublished = true;
	trace(TRACE_TX, bytes, QUEUE);
	return 0;
}

/* Frames of several pieces. */
static __attribute__((noinline)) int transmit_chain(struct net_device *device, struct pbuf *frame,
                                                    const struct virtio_net_tx_header *header)
{
	struct virtio_net_segment segments[VIRTIO_NET_SEGMENTS_MAX];
	uint32_t count = frame_segments(frame, segments);
	if (count == 0) {
		frame = flatten(device, frame);
		if (!frame) {
			device->tx_unsendable++;
			return -ENOBUFS;
		}
		count = frame_segments(frame, segments);
	}
	uint32_t bytes = frame->packet_length;
	int error = virtio_net_transmit(&device->virtio, QUEUE, segments, count, header,
	                                header_room(frame), frame);
	if (count > TX_SEGMENTS_USUAL && !error)
		device->netif.room = 0;
	return transmitted_to_ring(device, frame, bytes, error);
}

/* Segmentation to be done, headers without room in front, several pieces; no room. */
static __attribute__((noinline)) int transmit_any(struct net_device *device, struct pbuf *frame)
{
	struct virtio_net_tx_header space;
	const struct virtio_net_tx_header *header = offload_header(frame, &space);
	if (frame->next || !frame->length)
		return transmit_chain(device, frame, header);
	const struct virtio_net_segment segment = { frame->data, frame->length };
	uint32_t bytes = frame->length;
	int error = virtio_net_transmit(&device->virtio, QUEUE, &segment, 1, header,
	                                header_room(frame), frame);
	return transmitted_to_ring(device, frame, bytes, error);
}

static int device_transmit(struct netif *netif, struct pbuf *frame)
{
	struct net_device *device = netif->driver;
	if (__builtin_expect(frame->next || frame->flags != PBUF_CSUM_PARTIAL ||
	                             !header_room(frame) ||
	                             !virtio_net_transmit_one(&device->virtio, QUEUE, frame->data,
	                                                      frame->length, frame->csum_start,
	                                                      frame->csum_offset, frame),
	                     0))
		return transmit_any(device, frame);
	return transmitted_to_ring(device, frame, frame->length, 0);
}

/* The rings' own count is asked for when the last one is used up: each frame since then took one at
 * most. */
static uint32_t device_transmit_space(struct netif *netif)
{
	struct net_device *device = netif->driver;
	if (__builtin_expect(netif->room != 0, 1))
		return netif->room;
	netif->room = virtio_net_tx_space(&device->virtio, QUEUE, TX_SEGMENTS_USUAL);
	if (netif->room == 0) {
		virtio_net_reclaim(&device->virtio, QUEUE, transmitted, device);
		netif->room = virtio_net_tx_space(&device->virtio, QUEUE, TX_SEGMENTS_USUAL);
		if (netif->room == 0)
			device->transmit_blocked = true;
	}
	return netif->room;
}

static void device_flush(struct netif *netif)
{
	struct net_device *device = netif->driver;
	if (device->unpublished)
		publish(device);
}

/* ---- the turn ---- */

static void disarm(struct net_device *device)
{
	if (device->rx_armed) {
		virtio_net_rx_disarm(&device->virtio, QUEUE);
		device->rx_armed = false;
	}
}

/* Frames that ever went over the wire; a long one counts as several. */
static uint64_t frames_moved(const struct net_device *device)
{
	uint64_t bytes, packets = virtio_net_packets(&device->virtio, QUEUE, &bytes);
	return packets + bytes / MOVED_FRAME_BYTES;
}

static void collect(struct loop *loop, struct loop_hook *hook)
{
	(void)loop;
	struct net_device *device = container_of(hook, struct net_device, collect);
	if (device->hart->forced)
		device->moved_before = frames_moved(device);
	reclaim(device);
	if (receive(device) == 0) {
		if (device->quiet_turns < UINT32_MAX)
			device->quiet_turns++;
		return;
	}
	device->quiet_turns = 0;
	disarm(device);
}

/* What this turn moved, for the hart to say how soon the next one is worth its cost. */
static __attribute__((noinline)) void report_moved(struct net_device *device)
{
	struct hart *hart = device->hart;
	hart->frames_moved = frames_moved(device) - device->moved_before;
	hart->input_waits = stack_input_waits(device->netif.stack);
}

static void flush(struct loop *loop, struct loop_hook *hook)
{
	(void)loop;
	struct net_device *device = container_of(hook, struct net_device, flush);
	refill(device);
	stack_flush(device->netif.stack);
	if (device->unpublished)
		publish(device);
	if (device->hart->forced)
		report_moved(device);
}

/*
 * Before the hart waits or runs a task. While packets keep coming the rings are polled (each turn,
 * and after each stretch of a computing task, core/stretch.h) and no interrupt is asked for; after
 * a turn without one, the next packet interrupts.
 */
static bool prepare_wait(void *context)
{
	struct net_device *device = context;
	if (!net_stack_prepare_wait(device->hart, device->netif.stack))
		return false;
	if ((device->quiet_turns == 0 && device->rx_poll) || !device->interrupts)
		return false;
	if (!device->rx_armed) {
		if (!virtio_net_rx_arm(&device->virtio, QUEUE))
			return false;
		device->rx_armed = true;
		packet_memory_used();
	}
	if (__builtin_expect(device->transmit_blocked || device->completions_wanted, 0) &&
	    !virtio_net_tx_arm(&device->virtio, QUEUE))
		return false;
	return true;
}

/* Before an idle hart polls the rings. */
static bool prepare_poll(void *context)
{
	struct net_device *device = context;
	if (stack_before_idle(device->netif.stack))
		return false;
	disarm(device);
	return true;
}

/* ---- start ---- */

static void read_configuration(const char *command_line, struct virtio_net_config *config)
{
	bool mergeable = boot_flag(command_line, "mrg_rxbuf", true);
	*config = VIRTIO_NET_CONFIG_DEFAULT;
	config->ring_size =
	        (uint16_t)boot_number(command_line, "ring_size", config->ring_size, 16, 1024);
	config->event_idx = boot_flag(command_line, "event_idx", true);
	config->indirect = boot_flag(command_line, "indirect", true);
	config->mergeable_buffers = mergeable;
	config->tx_checksum = boot_flag(command_line, "csum", true);
	config->tx_segmentation = config->tx_checksum && boot_flag(command_line, "tso", true);
	config->rx_checksum = boot_flag(command_line, "guest_csum", true);
	config->rx_segmentation =
	        config->rx_checksum && mergeable && boot_flag(command_line, "guest_tso", true);
	config->header_in_headroom = boot_flag(command_line, "header_in_headroom", true);
	config->coalesce_kicks = boot_flag(command_line, "kick_coalesce", true);
	config->tx_interrupts_off = !boot_flag(command_line, "tx_irq", false);
}

uint32_t net_device_offloads(const struct net_device *device)
{
	uint64_t features = device->virtio.features;
	return (features & VIRTIO_NET_F_CSUM ? NETIF_TX_CSUM : 0) |
	       (features & VIRTIO_NET_F_HOST_TSO4 ? NETIF_TX_TSO4 : 0) |
	       (features & VIRTIO_NET_F_HOST_TSO6 ? NETIF_TX_TSO6 : 0) |
	       (features & VIRTIO_NET_F_HOST_ECN ? NETIF_TX_TSO_ECN : 0);
}

void net_device_fill(struct net_device *device)
{
	device->posted = 0;
	device->capacity = ring_share(device->pool);
	device->rx_wanted = device->capacity < RX_FIRST ? device->capacity : RX_FIRST;
	refill(device);
	publish(device);
}

static void fill_netif(struct net_device *device)
{
	struct netif *netif = &device->netif;
	const struct virtio_net *virtio = &device->virtio;
	memcpy(netif->name, "eth0", 5);
	memcpy(netif->mac.byte, virtio->mac, sizeof(netif->mac.byte));
	if (!virtio->has_mac) {
		random_bytes(netif->mac.byte, sizeof(netif->mac.byte));
		netif->mac.byte[0] =
		        (uint8_t)((netif->mac.byte[0] & 0xfe) | 2); /* local, unicast */
	}
	netif->mtu = virtio->mtu;
	netif->offloads = net_device_offloads(device);
	netif->transmit = device_transmit;
	netif->transmit_space = device_transmit_space;
	netif->flush = device_flush;
	netif->driver = device;
	netif->up = virtio->link_up;
}

int net_device_start(struct net_device *device, struct virtio_transport *transport,
                     struct hart *hart, struct stack *stack, const char *command_line)
{
	struct virtio_net_config config;
	read_configuration(command_line, &config);
	device->hart = hart;
	device->pool = stack_pool(stack);
	uint32_t budget =
	        (uint32_t)boot_number(command_line, "rx_budget", RX_BUDGET_DEFAULT, 0, 4096);
	device->rx_budget = budget ? budget : UINT32_MAX;
	device->rx_poll = boot_flag(command_line, "rx_poll", true);
	struct pbuf *sample = pbuf_alloc(device->pool, PBUF_PAGE, RX_HEADROOM);
	if (!sample)
		return -ENOMEM;
	config.rx_buffer_bytes = pbuf_tailroom(sample) & ~7u;
	pbuf_free(sample);
	int error = net_device_open(device, transport, &config);
	if (error)
		return error;
	fill_netif(device);
	error = stack_add_netif(stack, &device->netif);
	if (error) {
		net_device_close(device);
		return error;
	}
	net_device_take_wire(device);
	device->present = true;
	net_device_fill(device);
	device->collect.run = collect;
	device->flush.run = flush;
	device->idle.prepare_wait = prepare_wait;
	device->idle.prepare_poll = prepare_poll;
	device->idle.context = device;
	loop_hook_add_collect(&hart->loop, &device->collect);
	loop_hook_add_flush(&hart->loop, &device->flush);
	hart_add_idle_hook(hart, &device->idle);
	return 0;
}
