/* virtio over PCI, virtio 1.2 §4.1: where the capabilities put the registers, and the registers.
 * Wired interrupts. */
#include <errno.h>

#include "core/io.h"
#include "virtio/pci.h"

#define VIRTIO_PCI_DEVICE_FIRST  0x1000
#define VIRTIO_PCI_DEVICE_MODERN 0x1040
#define VIRTIO_PCI_DEVICE_LAST   0x107f
#define PCI_CAPABILITY_VENDOR    9
#define NO_VECTOR                0xffff

/* Structures that capabilities point to, §4.1.4, and the fields of such a capability. */
enum {
	STRUCTURE_COMMON = 1,
	STRUCTURE_NOTIFY = 2,
	STRUCTURE_ISR = 3,
	STRUCTURE_DEVICE = 4,
	CAPABILITY_LENGTH = 2,
	CAPABILITY_TYPE = 3,
	CAPABILITY_BAR = 4,
	CAPABILITY_OFFSET = 8,
	CAPABILITY_BYTES = 12,
	CAPABILITY_NOTIFY_MULTIPLIER = 16,
};

/* The common configuration, §4.1.4.3. */
enum {
	COMMON_DEVICE_FEATURES_SELECT = 0x00,
	COMMON_DEVICE_FEATURES = 0x04,
	COMMON_DRIVER_FEATURES_SELECT = 0x08,
	COMMON_DRIVER_FEATURES = 0x0c,
	COMMON_CONFIG_VECTOR = 0x10,
	COMMON_QUEUES = 0x12,
	COMMON_STATUS = 0x14,
	COMMON_GENERATION = 0x15,
	COMMON_QUEUE_SELECT = 0x16,
	COMMON_QUEUE_SIZE = 0x18,
	COMMON_QUEUE_VECTOR = 0x1a,
	COMMON_QUEUE_ENABLE = 0x1c,
	COMMON_QUEUE_NOTIFY_OFFSET = 0x1e,
	COMMON_QUEUE_DESCRIPTORS = 0x20,
	COMMON_QUEUE_DRIVER = 0x28,
	COMMON_QUEUE_DEVICE = 0x30,
	COMMON_BYTES = 0x38,
};

static uint64_t pci_read_features(struct virtio_transport *transport)
{
	io_write32(transport->base + COMMON_DEVICE_FEATURES_SELECT, 0);
	uint64_t low = io_read32(transport->base + COMMON_DEVICE_FEATURES);
	io_write32(transport->base + COMMON_DEVICE_FEATURES_SELECT, 1);
	return low | (uint64_t)io_read32(transport->base + COMMON_DEVICE_FEATURES) << 32;
}

static void pci_write_features(struct virtio_transport *transport, uint64_t features)
{
	io_write32(transport->base + COMMON_DRIVER_FEATURES_SELECT, 0);
	io_write32(transport->base + COMMON_DRIVER_FEATURES, (uint32_t)features);
	io_write32(transport->base + COMMON_DRIVER_FEATURES_SELECT, 1);
	io_write32(transport->base + COMMON_DRIVER_FEATURES, (uint32_t)(features >> 32));
}

static uint8_t pci_read_status(struct virtio_transport *transport)
{
	return io_read8(transport->base + COMMON_STATUS);
}

static void pci_write_status(struct virtio_transport *transport, uint8_t status)
{
	io_fence_full();
	io_write8(transport->base + COMMON_STATUS, status);
}

static uint32_t pci_read_interrupt(struct virtio_transport *transport)
{
	return io_read8(transport->isr); /* reading clears it, §4.1.4.5 */
}

static uint32_t pci_config_generation(struct virtio_transport *transport)
{
	return io_read8(transport->base + COMMON_GENERATION);
}

static uint32_t pci_config_field(struct virtio_transport *transport, uint32_t offset,
                                 uint32_t bytes)
{
	if (offset + bytes > transport->device_config_bytes)
		return 0;
	const volatile uint8_t *field = transport->device_config + offset;
	return bytes == 4 ? io_read32(field) : bytes == 2 ? io_read16(field) : io_read8(field);
}

static uint16_t pci_queue_max(struct virtio_transport *transport, uint16_t index)
{
	if (index >= VIRTIO_PCI_QUEUES_MAX || index >= transport->queues)
		return 0;
	io_write16(transport->base + COMMON_QUEUE_SELECT, index);
	return io_read16(transport->base + COMMON_QUEUE_SIZE);
}

static void put64(struct virtio_transport *transport, uint32_t offset, uint64_t value)
{
	io_write32(transport->base + offset, (uint32_t)value);
	io_write32(transport->base + offset + 4, (uint32_t)(value >> 32));
}

/* False: the device refuses (§4.1.5.1.2.2). */
static bool set_vector(struct virtio_transport *transport, uint32_t offset, unsigned message)
{
	uint16_t vector = message < transport->messages ? (uint16_t)message : NO_VECTOR;
	io_write16(transport->base + offset, vector);
	return io_read16(transport->base + offset) == vector;
}

static int pci_queue_setup(struct virtio_transport *transport, uint16_t index,
                           const struct virtio_queue_place *place)
{
	uint64_t offset = (uint64_t)io_read16(transport->base + COMMON_QUEUE_NOTIFY_OFFSET) *
	                  transport->notify_multiplier;
	if (offset + sizeof(uint16_t) > transport->notify_bytes || (offset & 1))
		return -EINVAL;
	transport->doorbells[index] = (volatile uint16_t *)(transport->notify_base + offset);
	io_write16(transport->base + COMMON_QUEUE_SIZE, place->size);
	if (transport->messages && !set_vector(transport, COMMON_QUEUE_VECTOR, index + 1))
		return -EPROTO;
	put64(transport, COMMON_QUEUE_DESCRIPTORS, place->descriptors);
	put64(transport, COMMON_QUEUE_DRIVER, place->available);
	put64(transport, COMMON_QUEUE_DEVICE, place->used);
	io_fence_write();
	io_write16(transport->base + COMMON_QUEUE_ENABLE, 1);
	return 0;
}

static void pci_use_messages(struct virtio_transport *transport, const struct irq_message *messages,
                             uint16_t count)
{
	transport->messages = count < transport->vectors ? count : transport->vectors;
	pci_msix_send(&transport->msix, messages, transport->messages);
}

static int pci_config_setup(struct virtio_transport *transport)
{
	return set_vector(transport, COMMON_CONFIG_VECTOR, 0) ? 0 : -EPROTO;
}

static void pci_notify(struct virtio_transport *transport, uint16_t index)
{
	io_fence_write();
	io_write16(transport->doorbells[index], index);
}

static const struct virtio_transport_ops pci_ops = {
	.read_features = pci_read_features,
	.write_features = pci_write_features,
	.read_status = pci_read_status,
	.write_status = pci_write_status,
	.read_interrupt = pci_read_interrupt,
	.config_generation = pci_config_generation,
	.config_field = pci_config_field,
	.queue_max = pci_queue_max,
	.queue_setup = pci_queue_setup,
	.use_messages = pci_use_messages,
	.config_setup = pci_config_setup,
	.notify = pci_notify,
};

/* The place in a BAR that a capability names, or NULL when it lies outside. */
static volatile uint8_t *structure_at(struct pci_function *function, uint8_t capability,
                                      uint32_t least, uint32_t *bytes)
{
	uint8_t bar = io_read8(function->config + capability + CAPABILITY_BAR);
	uint32_t offset = io_read32(function->config + capability + CAPABILITY_OFFSET);
	*bytes = io_read32(function->config + capability + CAPABILITY_BYTES);
	return *bytes < least || offset & 3 ? NULL : pci_bar(function, bar, offset, *bytes);
}

/* Take over the structure that one capability describes. The first usable one of each type counts
 * (§4.1.4.1): one in an I/O BAR, or outside its BAR, is passed over. */
static void use_structure(struct virtio_transport *transport, struct pci_function *function,
                          uint8_t capability, uint8_t type)
{
	uint32_t bytes;
	switch (type) {
	case STRUCTURE_COMMON:
		if (!transport->base)
			transport->base = structure_at(function, capability, COMMON_BYTES, &bytes);
		break;
	case STRUCTURE_NOTIFY:
		if (transport->notify_base)
			break;
		transport->notify_base = structure_at(function, capability, 2, &bytes);
		transport->notify_bytes = bytes;
		transport->notify_multiplier =
		        io_read32(function->config + capability + CAPABILITY_NOTIFY_MULTIPLIER);
		break;
	case STRUCTURE_ISR:
		if (!transport->isr)
			transport->isr = structure_at(function, capability, 1, &bytes);
		break;
	case STRUCTURE_DEVICE:
		if (transport->device_config)
			break;
		transport->device_config = structure_at(function, capability, 4, &bytes);
		transport->device_config_bytes = transport->device_config ? bytes : 0;
		break;
	}
}

/* All that the capabilities say, in one walk; -ENODEV: not all structures that are needed. */
static int use_capabilities(struct virtio_transport *transport, struct pci_function *function)
{
	struct pci_walk walk = { 0 };
	uint8_t at;
	transport->base = transport->notify_base = transport->isr = NULL;
	transport->device_config = NULL;
	transport->device_config_bytes = 0;
	transport->msix = (struct pci_msix){ 0 };
	while ((at = pci_next_capability(function, &walk))) {
		uint8_t id = (uint8_t)walk.head, length = (uint8_t)(walk.head >> 16);
		if (id == PCI_CAPABILITY_VENDOR && length >= CAPABILITY_NOTIFY_MULTIPLIER)
			use_structure(transport, function, at, (uint8_t)(walk.head >> 24));
		if (id == PCI_CAPABILITY_MSIX && !transport->msix.control &&
		    !pci_use_msix(function, at, walk.head, &transport->msix))
			transport->msix.entries = 0;
	}
	return transport->base && transport->notify_base && transport->isr ? 0 : -ENODEV;
}

uint32_t virtio_pci_type(const struct pci_function *function)
{
	/* Transitional devices tell their type by the old numbers' table, §4.1.2.3. */
	static const uint8_t transitional_types[] = { 1, 2, 5, 3, 8, 4, 0, 0, 0, 9 };
	if (function->vendor != VIRTIO_PCI_VENDOR ||
	    function->device_id < VIRTIO_PCI_DEVICE_FIRST ||
	    function->device_id > VIRTIO_PCI_DEVICE_LAST)
		return 0;
	uint32_t old = function->device_id - VIRTIO_PCI_DEVICE_FIRST;
	if (function->device_id >= VIRTIO_PCI_DEVICE_MODERN)
		return function->device_id - VIRTIO_PCI_DEVICE_MODERN;
	return old < sizeof(transitional_types) ? transitional_types[old] : 0;
}

int virtio_pci_probe(struct virtio_transport *transport, struct pci_function *function,
                     uint32_t type, const struct dtb_interrupt *wire, bool messages)
{
	if (pci_begin(function) != 0 || use_capabilities(transport, function) != 0)
		return -ENODEV;
	pci_enable(function);
	transport->ops = &pci_ops;
	transport->device_type = type;
	transport->wire = *wire;
	transport->messages = 0;
	transport->vectors = messages ? transport->msix.entries : 0;
	transport->queues = io_read16(transport->base + COMMON_QUEUES);
	transport->bus = "pci";
	return 0;
}
