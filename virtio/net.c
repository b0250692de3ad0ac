/* virtio-net's set-up: features, queues, configuration, interrupts, statistics. The data path is
 * net_data.c. */
#include "virtio/net.h"

#include <errno.h>
#include <string.h>

#include "virtio/net_internal.h"

/* Configuration, §5.1.4. */
enum {
	CONFIG_MAC = 0,
	CONFIG_STATUS = 6,
	CONFIG_PAIRS_MAX = 8,
	CONFIG_MTU = 10,
};
#define STATUS_LINK_UP 1
#define DEFAULT_MTU    1500
#define LEAST_MTU      68 /* RFC 791 */

static uint64_t wanted_features(const struct virtio_net_config *config)
{
	uint64_t wanted = VIRTIO_NET_F_MAC | VIRTIO_NET_F_MTU | VIRTIO_NET_F_STATUS;
	if (config->event_idx)
		wanted |= VIRTIO_F_EVENT_IDX;
	if (config->indirect)
		wanted |= VIRTIO_F_INDIRECT_DESC;
	if (config->mergeable_buffers)
		wanted |= VIRTIO_NET_F_MRG_RXBUF;
	if (config->tx_checksum)
		wanted |= VIRTIO_NET_F_CSUM;
	if (config->tx_segmentation)
		wanted |= VIRTIO_NET_F_HOST_TSO4 | VIRTIO_NET_F_HOST_TSO6 | VIRTIO_NET_F_HOST_ECN;
	if (config->rx_checksum)
		wanted |= VIRTIO_NET_F_GUEST_CSUM;
	if (config->rx_segmentation)
		wanted |=
		        VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6 | VIRTIO_NET_F_GUEST_ECN;
	if (config->queue_pairs > 1)
		wanted |= VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_MQ;
	return wanted;
}

/* What is wanted and offered, without features whose requirements are not met (§5.1.3.1). */
static uint64_t choose_features(const struct virtio_net_config *config, uint64_t offered)
{
	const uint64_t host_tso = VIRTIO_NET_F_HOST_TSO4 | VIRTIO_NET_F_HOST_TSO6;
	const uint64_t guest_tso = VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6;
	uint64_t features = offered & wanted_features(config);
	if (!(features & VIRTIO_NET_F_CSUM))
		features &= ~host_tso;
	if (!(features & host_tso))
		features &= ~VIRTIO_NET_F_HOST_ECN;
	if (!(features & VIRTIO_NET_F_GUEST_CSUM))
		features &= ~guest_tso;
	if (!(features & VIRTIO_NET_F_MRG_RXBUF) &&
	    config->rx_buffer_bytes < VIRTIO_NET_RX_BUFFER_TSO)
		features &= ~guest_tso;
	if (!(features & guest_tso))
		features &= ~VIRTIO_NET_F_GUEST_ECN;
	if (!(features & VIRTIO_NET_F_CTRL_VQ))
		features &= ~VIRTIO_NET_F_MQ;
	return features;
}

/* Returns how many queue pairs there are. */
static uint16_t read_config(struct virtio_net *net)
{
	uint16_t status = STATUS_LINK_UP, mtu = 0, pairs = 1;
	const struct {
		uint64_t feature;
		struct virtio_config_field field;
	} all[] = {
		{ VIRTIO_NET_F_MAC, { CONFIG_MAC, sizeof(net->mac), net->mac } },
		{ VIRTIO_NET_F_STATUS, { CONFIG_STATUS, sizeof(status), &status } },
		{ VIRTIO_NET_F_MQ, { CONFIG_PAIRS_MAX, sizeof(pairs), &pairs } },
		{ VIRTIO_NET_F_MTU, { CONFIG_MTU, sizeof(mtu), &mtu } },
	};
	struct virtio_config_field there[sizeof(all) / sizeof(all[0])];
	unsigned count = 0;
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (net->features & all[i].feature)
			there[count++] = all[i].field;
	virtio_config_read(net->transport, there, count);
	net->has_mac = net->features & VIRTIO_NET_F_MAC;
	net->link_up = status & STATUS_LINK_UP;
	net->mtu = mtu >= LEAST_MTU ? mtu : DEFAULT_MTU;
	return pairs;
}

static int pair_init(struct virtio_net *net, struct virtio_net_queue_pair *pair, uint16_t index)
{
	struct virtio_transport *transport = net->transport;
	const struct virtio_net_config *config = &net->config;
	bool event_idx = net->features & VIRTIO_F_EVENT_IDX;
	uint16_t tables = net->features & VIRTIO_F_INDIRECT_DESC ? NET_TABLES : 0;

	int error = virtio_ring_init(&pair->rx, transport, (uint16_t)(2 * index), config->ring_size,
	                             0, event_idx);
	if (!error)
		error = virtio_ring_init(&pair->tx, transport, (uint16_t)(2 * index + 1),
		                         config->ring_size, tables, event_idx);
	if (error)
		return error;
	size_t piece_bytes = ring_size(&pair->rx) * sizeof(*pair->pieces);
	size_t header_bytes = ring_size(&pair->tx) * sizeof(*pair->tx_headers);
	pair->memory_bytes = piece_bytes + header_bytes;
	pair->memory = transport->memory.alloc(transport->memory.context, pair->memory_bytes);
	if (!pair->memory)
		return -ENOMEM;
	pair->pieces = pair->memory;
	pair->tx_headers = (struct virtio_net_header *)((uint8_t *)pair->memory + piece_bytes);
	pair->mergeable = net->features & VIRTIO_NET_F_MRG_RXBUF;
	pair->headroom = config->header_in_headroom;
	pair->coalesce = config->coalesce_kicks;
	pair->one_descriptor = pair->headroom && pair->coalesce;
	pair->tx_interrupts = !config->tx_interrupts_off;
	if (pair->tx_interrupts)
		ring_arm(&pair->tx, 0);
	return 0;
}

/* The device has been reset, or never started. */
static void free_pairs(struct virtio_net *net, void (*drop_rx)(void *context, void *cookie),
                       void (*drop_tx)(void *context, void *cookie), void *context)
{
	struct virtio_memory *memory = &net->transport->memory;
	for (uint16_t i = 0; i < net->pair_count; i++) {
		struct virtio_net_queue_pair *pair = &net->pairs[i];
		virtio_ring_fini(&pair->rx, drop_rx, context);
		virtio_ring_fini(&pair->tx, drop_tx, context);
		if (pair->memory)
			memory->free(memory->context, pair->memory, pair->memory_bytes);
	}
	virtio_net_control_fini(net);
	if (net->pairs)
		memory->free(memory->context, net->pairs, net->pair_count * sizeof(*net->pairs));
	net->pairs = NULL;
	net->pair_count = 0;
}

static int pairs_init(struct virtio_net *net, uint16_t count)
{
	struct virtio_memory *memory = &net->transport->memory;
	net->pairs = memory->alloc(memory->context, count * sizeof(*net->pairs));
	if (!net->pairs)
		return -ENOMEM;
	memset(net->pairs, 0, count * sizeof(*net->pairs));
	net->pair_count = count;
	for (uint16_t i = 0; i < count; i++) {
		int error = pair_init(net, &net->pairs[i], i);
		if (error)
			return error;
	}
	return 0;
}

/* Queues and DRIVER_OK. Only pair 0 works until the device is told otherwise (§5.1.6.5.5). */
static int start_queues(struct virtio_net *net, uint16_t pairs, uint16_t pairs_max)
{
	int error = pairs_init(net, pairs);
	if (!error && pairs > 1)
		error = virtio_net_control_init(net, (uint16_t)(2 * pairs_max));
	if (error)
		return error;
	virtio_driver_ok(net->transport);
	if (pairs == 1)
		return 0;
	return virtio_net_control(net, VIRTIO_NET_CONTROL_MQ, VIRTIO_NET_CONTROL_MQ_PAIRS_SET,
	                          &pairs, sizeof(pairs));
}

int virtio_net_init(struct virtio_net *net, struct virtio_transport *transport,
                    const struct virtio_net_config *config)
{
	uint64_t offered;
	*net = (struct virtio_net){ .transport = transport, .config = *config };
	if (config->rx_buffer_bytes < VIRTIO_NET_RX_BUFFER_MIN || !config->queue_pairs)
		return -EINVAL;
	int error = virtio_begin(transport, &offered);
	if (!error)
		error = virtio_accept(transport, choose_features(config, offered), &net->features);
	if (error)
		return error;
	if (transport->messages)
		error = transport->ops->config_setup(transport);
	if (error) {
		virtio_fail(transport);
		return error;
	}
	uint16_t pairs_max = read_config(net);
	uint16_t pairs = config->queue_pairs < pairs_max ? config->queue_pairs : pairs_max;
	error = pairs ? start_queues(net, pairs, pairs_max) : -ENODEV;
	if (error) {
		if (virtio_reset(transport))
			free_pairs(net, NULL, NULL, NULL);
		virtio_fail(transport);
	}
	return error;
}

bool virtio_net_fini(struct virtio_net *net, void (*drop_rx)(void *context, void *cookie),
                     void (*drop_tx)(void *context, void *cookie), void *context)
{
	if (!virtio_reset(net->transport))
		return false;
	free_pairs(net, drop_rx, drop_tx, context);
	return true;
}

int virtio_net_restart(struct virtio_net *net, void (*drop_rx)(void *context, void *cookie),
                       void (*drop_tx)(void *context, void *cookie), void *context)
{
	const struct virtio_net before = *net;
	struct virtio_transport *transport = before.transport;
	if (!virtio_net_fini(net, drop_rx, drop_tx, context))
		return -EBUSY;
	int error = virtio_net_init(net, transport, &before.config);
	net->interrupts = before.interrupts;
	net->interrupts_spurious = before.interrupts_spurious;
	net->config_changes = before.config_changes;
	net->restarts = before.restarts + 1;
	return error;
}

static void disarm_tx(struct virtio_net_queue_pair *pair)
{
	if (!pair->tx_interrupts)
		ring_disarm(&pair->tx);
}

/* The interrupt has been had; which queue it was for, a wired one does not tell. */
static void disarm_all(struct virtio_net *net)
{
	for (uint16_t i = 0; i < net->pair_count; i++) {
		struct virtio_net_queue_pair *pair = &net->pairs[i];
		ring_disarm(&pair->rx);
		disarm_tx(pair);
	}
}

static void config_changed(struct virtio_net *net)
{
	net->config_changes++;
	read_config(net);
	net->needs_reset = virtio_needs_reset(net->transport);
	if (net->needs_reset)
		net->link_up = false;
}

uint32_t virtio_net_interrupt(struct virtio_net *net)
{
	uint32_t reasons = net->transport->ops->read_interrupt(net->transport);
	net->interrupts++;
	if (!reasons)
		net->interrupts_spurious++;
	if (reasons & VIRTIO_INTERRUPT_QUEUE)
		disarm_all(net);
	if (reasons & VIRTIO_INTERRUPT_CONFIG)
		config_changed(net);
	return reasons;
}

void virtio_net_rx_message(struct virtio_net *net, uint16_t pair)
{
	net->interrupts++;
	ring_disarm(&net->pairs[pair].rx);
}

void virtio_net_tx_message(struct virtio_net *net, uint16_t pair)
{
	net->interrupts++;
	disarm_tx(&net->pairs[pair]);
}

void virtio_net_config_message(struct virtio_net *net)
{
	net->interrupts++;
	config_changed(net);
}

void virtio_net_read_statistics(const struct virtio_net *net, struct virtio_net_statistics *out)
{
	*out = (struct virtio_net_statistics){ .interrupts = net->interrupts,
		                               .interrupts_spurious = net->interrupts_spurious,
		                               .config_changes = net->config_changes,
		                               .restarts = net->restarts };
	for (uint16_t i = 0; i < net->pair_count; i++) {
		const struct virtio_net_queue_pair *pair = &net->pairs[i];
		const struct virtio_ring *rx = &pair->rx, *tx = &pair->tx;
		out->rx_packets += pair->rx_packets;
		out->rx_bytes += pair->rx_bytes;
		out->rx_buffers += pair->rx_buffers;
		out->rx_merged += pair->rx_merged;
		out->rx_arms += rx->arms;
		out->rx_kicks += rx->kicks;
		out->rx_kicks_saved += rx->kicks_saved;
		out->tx_packets += pair->tx_packets;
		out->tx_bytes += pair->tx_bytes;
		out->tx_full += pair->tx_full;
		out->tx_indirect += pair->tx_indirect;
		out->tx_reclaimed += pair->tx_reclaimed;
		out->tx_arms += tx->arms;
		out->tx_kicks += tx->kicks;
		out->tx_kicks_saved += tx->kicks_saved;
		out->bad_used_index += rx->bad_index + tx->bad_index;
		out->bad_used_id += rx->bad_id + tx->bad_id;
		out->bad_length += pair->bad_length;
		out->bad_num_buffers += pair->bad_num_buffers;
	}
}

const char *virtio_net_verify(const struct virtio_net *net)
{
	for (uint16_t i = 0; i < net->pair_count; i++) {
		const char *broken = virtio_ring_verify(&net->pairs[i].rx);
		if (!broken)
			broken = virtio_ring_verify(&net->pairs[i].tx);
		if (broken)
			return broken;
	}
	return NULL;
}
