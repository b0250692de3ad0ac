/* virtio over memory-mapped registers, virtio 1.2 §4.2. */
#include <errno.h>

#include "core/io.h"
#include "virtio/transport.h"

/* Registers, §4.2.2. */
enum {
	MMIO_MAGIC = 0x000,
	MMIO_VERSION = 0x004,
	MMIO_DEVICE_ID = 0x008,
	MMIO_DEVICE_FEATURES = 0x010,
	MMIO_DEVICE_FEATURES_SELECT = 0x014,
	MMIO_DRIVER_FEATURES = 0x020,
	MMIO_DRIVER_FEATURES_SELECT = 0x024,
	MMIO_QUEUE_SELECT = 0x030,
	MMIO_QUEUE_SIZE_MAX = 0x034,
	MMIO_QUEUE_SIZE = 0x038,
	MMIO_QUEUE_READY = 0x044,
	MMIO_QUEUE_NOTIFY = 0x050,
	MMIO_INTERRUPT_STATUS = 0x060,
	MMIO_INTERRUPT_ACK = 0x064,
	MMIO_STATUS = 0x070,
	MMIO_QUEUE_DESCRIPTORS = 0x080,
	MMIO_QUEUE_DRIVER = 0x090,
	MMIO_QUEUE_DEVICE = 0x0a0,
	MMIO_CONFIG_GENERATION = 0x0fc,
	MMIO_CONFIG = 0x100,
};

#define MMIO_MAGIC_VALUE 0x74726976 /* "virt" */

static uint32_t get(struct virtio_transport *transport, uint32_t offset)
{
	return io_read32(transport->base + offset);
}

static void put(struct virtio_transport *transport, uint32_t offset, uint32_t value)
{
	io_write32(transport->base + offset, value);
}

static void put64(struct virtio_transport *transport, uint32_t offset, uint64_t value)
{
	put(transport, offset, (uint32_t)value);
	put(transport, offset + 4, (uint32_t)(value >> 32));
}

static uint64_t mmio_read_features(struct virtio_transport *transport)
{
	put(transport, MMIO_DEVICE_FEATURES_SELECT, 0);
	uint64_t low = get(transport, MMIO_DEVICE_FEATURES);
	put(transport, MMIO_DEVICE_FEATURES_SELECT, 1);
	return low | (uint64_t)get(transport, MMIO_DEVICE_FEATURES) << 32;
}

static void mmio_write_features(struct virtio_transport *transport, uint64_t features)
{
	put(transport, MMIO_DRIVER_FEATURES_SELECT, 0);
	put(transport, MMIO_DRIVER_FEATURES, (uint32_t)features);
	put(transport, MMIO_DRIVER_FEATURES_SELECT, 1);
	put(transport, MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
}

static uint8_t mmio_read_status(struct virtio_transport *transport)
{
	return (uint8_t)get(transport, MMIO_STATUS);
}

static void mmio_write_status(struct virtio_transport *transport, uint8_t status)
{
	io_fence_full();
	put(transport, MMIO_STATUS, status);
}

static uint32_t mmio_read_interrupt(struct virtio_transport *transport)
{
	uint32_t reasons = get(transport, MMIO_INTERRUPT_STATUS);
	if (reasons)
		put(transport, MMIO_INTERRUPT_ACK, reasons);
	return reasons;
}

static uint32_t mmio_config_generation(struct virtio_transport *transport)
{
	return get(transport, MMIO_CONFIG_GENERATION);
}

static uint32_t mmio_config_field(struct virtio_transport *transport, uint32_t offset,
                                  uint32_t bytes)
{
	if (offset + bytes > transport->device_config_bytes)
		return 0;
	const volatile uint8_t *field = transport->device_config + offset;
	return bytes == 4 ? io_read32(field) : bytes == 2 ? io_read16(field) : io_read8(field);
}

static uint16_t mmio_queue_max(struct virtio_transport *transport, uint16_t index)
{
	put(transport, MMIO_QUEUE_SELECT, index);
	uint32_t max = get(transport, MMIO_QUEUE_SIZE_MAX);
	return max > 32768 ? 32768 : (uint16_t)max;
}

static int mmio_queue_setup(struct virtio_transport *transport, uint16_t index,
                            const struct virtio_queue_place *place)
{
	(void)index; /* selected by mmio_queue_max */
	put(transport, MMIO_QUEUE_SIZE, place->size);
	put64(transport, MMIO_QUEUE_DESCRIPTORS, place->descriptors);
	put64(transport, MMIO_QUEUE_DRIVER, place->available);
	put64(transport, MMIO_QUEUE_DEVICE, place->used);
	io_fence_write();
	put(transport, MMIO_QUEUE_READY, 1);
	return 0;
}

static void mmio_notify(struct virtio_transport *transport, uint16_t index)
{
	io_fence_write();
	put(transport, MMIO_QUEUE_NOTIFY, index);
}

static const struct virtio_transport_ops mmio_ops = {
	.read_features = mmio_read_features,
	.write_features = mmio_write_features,
	.read_status = mmio_read_status,
	.write_status = mmio_write_status,
	.read_interrupt = mmio_read_interrupt,
	.config_generation = mmio_config_generation,
	.config_field = mmio_config_field,
	.queue_max = mmio_queue_max,
	.queue_setup = mmio_queue_setup,
	.notify = mmio_notify,
};

uint32_t virtio_mmio_type(volatile void *base, uint32_t bytes)
{
	volatile uint8_t *registers = base;
	return bytes < MMIO_CONFIG ? 0 : io_read32(registers + MMIO_DEVICE_ID);
}

int virtio_mmio_probe(struct virtio_transport *transport, volatile void *base, uint32_t bytes,
                      uint32_t type, const struct dtb_interrupt *wire)
{
	volatile uint8_t *registers = base;
	if (io_read32(registers + MMIO_MAGIC) != MMIO_MAGIC_VALUE)
		return -ENODEV;
	if (io_read32(registers + MMIO_VERSION) != 2)
		return -ENOTSUP;
	transport->ops = &mmio_ops;
	transport->device_type = type;
	transport->wire = *wire;
	transport->bus = "mmio";
	transport->base = registers;
	transport->device_config = registers + MMIO_CONFIG;
	transport->device_config_bytes = bytes - MMIO_CONFIG;
	return 0;
}
