/* What all transports have in common: reset, negotiation, consistent reads of the configuration. */
#include "virtio/transport.h"

#include <errno.h>

/* A device leaves reset within a few register reads; each is a microsecond at least. */
#define RESET_POLLS      1000000
#define CONFIG_TRIES     100

/* The steps that a driver has completed (§3.1.1). Each is written as it is, for reading what was
 * written leaves the machine once more under KVM. */
#define STEP_DRIVER      (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER)
#define STEP_FEATURES_OK (STEP_DRIVER | VIRTIO_STATUS_FEATURES_OK)
#define STEP_DRIVER_OK   (STEP_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK)

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
	uint8_t status = transport->ops->read_status(transport);
	transport->ops->write_status(transport, status | VIRTIO_STATUS_FAILED);
}

int virtio_begin(struct virtio_transport *transport, uint64_t *offered)
{
	if (!virtio_reset(transport))
		return -ENODEV;
	transport->ops->write_status(transport, VIRTIO_STATUS_ACKNOWLEDGE);
	transport->ops->write_status(transport, STEP_DRIVER);
	transport->offered = transport->ops->read_features(transport);
	*offered = transport->offered;
	return 0;
}

int virtio_accept(struct virtio_transport *transport, uint64_t features, uint64_t *negotiated)
{
	uint64_t accepted =
	        transport->offered & (features | VIRTIO_F_VERSION_1 | VIRTIO_F_ACCESS_PLATFORM);
	if (!(accepted & VIRTIO_F_VERSION_1)) {
		virtio_fail(transport);
		return -ENOTSUP;
	}
	transport->ops->write_features(transport, accepted);
	transport->ops->write_status(transport, STEP_FEATURES_OK);
	if (!(transport->ops->read_status(transport) & VIRTIO_STATUS_FEATURES_OK)) {
		virtio_fail(transport);
		return -ENOTSUP;
	}
	*negotiated = accepted;
	return 0;
}

void virtio_driver_ok(struct virtio_transport *transport)
{
	transport->ops->write_status(transport, STEP_DRIVER_OK);
}

bool virtio_needs_reset(struct virtio_transport *transport)
{
	return transport->ops->read_status(transport) & VIRTIO_STATUS_NEEDS_RESET;
}

/* Fields of 2 and 4 bytes are read whole, 8 bytes as two halves, arrays byte by byte (§4.2.2.2,
 * §4.1.3.1). */
static void read_once(struct virtio_transport *transport, const struct virtio_config_field *field)
{
	uint32_t bytes = field->bytes, width = bytes == 2 ? 2 : bytes == 4 || bytes == 8 ? 4 : 1;
	uint8_t *out = field->out;
	for (uint32_t at = 0; at < bytes; at += width) {
		uint32_t value = transport->ops->config_field(transport, field->offset + at, width);
		for (uint32_t i = 0; i < width; i++)
			out[at + i] = (uint8_t)(value >> 8 * i);
	}
}

void virtio_config_read(struct virtio_transport *transport,
                        const struct virtio_config_field *fields, unsigned count)
{
	uint32_t before = transport->ops->config_generation(transport);
	for (unsigned i = 0; i < CONFIG_TRIES; i++) {
		for (unsigned j = 0; j < count; j++)
			read_once(transport, &fields[j]);
		uint32_t after = transport->ops->config_generation(transport);
		if (after == before)
			return;
		before = after;
	}
}
