/* What all transports have in common: reset, negotiation, consistent reads of the configuration. */
#include "virtio/transport.h"

#include <errno.h>

/* A device leaves reset within a few register reads; each is a microsecond at least. */
#define RESET_POLLS  1000000
#define CONFIG_TRIES 100

static void add_status(struct virtio_transport *transport, uint8_t bits)
{
	transport->ops->write_status(transport, transport->ops->read_status(transport) | bits);
}

bool virtio_reset(struct virtio_transport *transport)
{
	transport->ops->write_status(transport, 0);
	for (unsigned i = 0; i < RESET_POLLS; i++)
		if (transport->ops->read_status(transport) == 0)
			return true;
	return false;
}

void virtio_fail(struct virtio_transport *transport)
{
	add_status(transport, VIRTIO_STATUS_FAILED);
}

int virtio_begin(struct virtio_transport *transport, uint64_t *offered)
{
	if (!virtio_reset(transport))
		return -ENODEV;
	add_status(transport, VIRTIO_STATUS_ACKNOWLEDGE);
	add_status(transport, VIRTIO_STATUS_DRIVER);
	*offered = transport->ops->read_features(transport);
	return 0;
}

int virtio_accept(struct virtio_transport *transport, uint64_t features, uint64_t *negotiated)
{
	uint64_t offered = transport->ops->read_features(transport);
	uint64_t accepted = offered & (features | VIRTIO_F_VERSION_1 | VIRTIO_F_ACCESS_PLATFORM);
	if (!(accepted & VIRTIO_F_VERSION_1)) {
		virtio_fail(transport);
		return -ENOTSUP;
	}
	transport->ops->write_features(transport, accepted);
	add_status(transport, VIRTIO_STATUS_FEATURES_OK);
	if (!(transport->ops->read_status(transport) & VIRTIO_STATUS_FEATURES_OK)) {
		virtio_fail(transport);
		return -ENOTSUP;
	}
	*negotiated = accepted;
	return 0;
}

void virtio_driver_ok(struct virtio_transport *transport)
{
	add_status(transport, VIRTIO_STATUS_DRIVER_OK);
}

bool virtio_needs_reset(struct virtio_transport *transport)
{
	return transport->ops->read_status(transport) & VIRTIO_STATUS_NEEDS_RESET;
}

/* Fields of 2 and 4 bytes are read whole, 8 bytes as two halves, arrays byte by byte (§4.2.2.2,
 * §4.1.3.1). */
static void read_once(struct virtio_transport *transport, uint32_t offset, uint8_t *out,
                      uint32_t bytes)
{
	uint32_t width = bytes == 2 ? 2 : bytes == 4 || bytes == 8 ? 4 : 1;
	for (uint32_t at = 0; at < bytes; at += width) {
		uint32_t value = transport->ops->config_field(transport, offset + at, width);
		for (uint32_t i = 0; i < width; i++)
			out[at + i] = (uint8_t)(value >> 8 * i);
	}
}

void virtio_config_read(struct virtio_transport *transport, uint32_t offset, void *out,
                        uint32_t bytes)
{
	uint32_t before = transport->ops->config_generation(transport);
	for (unsigned i = 0; i < CONFIG_TRIES; i++) {
		read_once(transport, offset, out, bytes);
		uint32_t after = transport->ops->config_generation(transport);
		if (after == before)
			return;
		before = after;
	}
}
