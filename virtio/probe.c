/* From the device tree to transports. */
#include "virtio/probe.h"

#include <errno.h>

#include "core/console.h"
#include "core/memory.h"
#include "virtio/pci.h"

#define MMIO_MAX 64

struct search {
	const struct dtb *dtb;
	dtb_node host_node;
	bool (*found)(void *context, struct virtio_transport *transport);
	void *context;
	int kept;
	int error;
};

static void *dma_alloc(void *context, size_t bytes)
{
	(void)context;
	unsigned order = 0;
	while (PAGE_SIZE << order < bytes)
		order++;
	return order <= PAGE_ORDER_MAX ? page_alloc_zeroed(order) : NULL;
}

static void dma_free(void *context, void *memory, size_t bytes)
{
	(void)context;
	unsigned order = 0;
	while (PAGE_SIZE << order < bytes)
		order++;
	page_free(memory, order);
}

/* Devices that the direct map does not reach are left alone. */
static void *map_device(uint64_t address, uint64_t bytes)
{
	if (address >= DIRECT_MAP_BYTES || bytes > DIRECT_MAP_BYTES - address)
		return NULL;
	return phys_to_virt(phys(address));
}

static struct virtio_transport *transport_new(struct search *search)
{
	struct virtio_transport *transport = heap_alloc_zeroed(sizeof(*transport));
	if (!transport) {
		search->error = -ENOMEM;
		return NULL;
	}
	transport->dma_offset = DIRECT_MAP_BASE;
	transport->memory = (struct virtio_memory){ .alloc = dma_alloc, .free = dma_free };
	return transport;
}

static void offer_transport(struct search *search, struct virtio_transport *transport)
{
	if (search->found(search->context, transport))
		search->kept++;
	else
		heap_free(transport);
}

/* ---- virtio-mmio ---- */

static void probe_mmio(struct search *search, dtb_node node, uint64_t address, uint64_t bytes)
{
	void *base = map_device(address, bytes);
	dtb_node controller;
	struct virtio_transport *transport = base ? transport_new(search) : NULL;
	if (!transport)
		return;
	uint32_t irq = dtb_interrupt(search->dtb, node, &controller);
	int error = virtio_mmio_probe(transport, base, (uint32_t)bytes, irq);
	if (!error) {
		offer_transport(search, transport);
		return;
	}
	if (error == -ENOTSUP)
		log_warning("virtio-mmio at %lx is a legacy device: not used\n",
		            (unsigned long)address);
	heap_free(transport);
}

struct mmio_node {
	dtb_node node;
	uint64_t address, bytes;
};

/* By address: the order in which QEMU fills them. More than MMIO_MAX are left out. */
static void search_mmio(struct search *search)
{
	struct mmio_node found[MMIO_MAX];
	unsigned count = 0;
	dtb_node node = DTB_NONE;
	while ((node = dtb_find_compatible(search->dtb, node, "virtio,mmio")) != DTB_NONE) {
		struct mmio_node new = { .node = node };
		if (!dtb_is_enabled(search->dtb, node) ||
		    !dtb_reg(search->dtb, node, 0, &new.address, &new.bytes))
			continue;
		if (count == MMIO_MAX) {
			log_warning("virtio-mmio at %lx: not used, %u are there already",
			            (unsigned long)new.address, count);
			break;
		}
		unsigned at = count++;
		for (; at > 0 && found[at - 1].address > new.address; at--)
			found[at] = found[at - 1];
		found[at] = new;
	}
	for (unsigned i = 0; i < count; i++)
		probe_mmio(search, found[i].node, found[i].address, found[i].bytes);
}

/* ---- PCI ---- */

static uint64_t cells(struct dtb_property property, uint32_t first, uint32_t count)
{
	uint64_t value = 0;
	for (uint32_t i = first; i < first + count; i++)
		for (uint32_t j = 0; j < 4; j++)
			value = value << 8 | property.data[4 * i + j];
	return value;
}

/* `ranges` of a PCI host: 3 cells of PCI address, the parent's address, 2 cells of size (IEEE
 * 1275's PCI binding §2.2.1.1). */
static void read_windows(const struct dtb *dtb, dtb_node node, struct pci_host *host)
{
	struct dtb_property ranges = dtb_property(dtb, node, "ranges");
	uint32_t parent_cells = dtb_u32(dtb, dtb_parent(dtb, node), "#address-cells", 0, 2);
	if (!ranges.data || parent_cells < 1 || parent_cells > 2)
		return;
	uint32_t entry_cells = 3 + parent_cells + 2;
	for (uint32_t at = 0; (at + entry_cells) * 4 <= ranges.bytes; at += entry_cells) {
		uint32_t space = (uint32_t)cells(ranges, at, 1) >> 24 & 3;
		uint64_t address = cells(ranges, at + 3, parent_cells);
		uint64_t bytes = cells(ranges, at + 3 + parent_cells, 2);
		void *mapped = map_device(address, bytes);
		if (space < 2 || !mapped || host->window_count == PCI_WINDOWS_MAX)
			continue;
		host->windows[host->window_count++] = (struct pci_window){
			.bus_address = cells(ranges, at + 1, 2),
			.bytes = bytes,
			.mapped = mapped,
			.is_64bit = space == 3,
		};
	}
}

/* The wired source behind a function's pin, through interrupt-map (Devicetree Specification
 * §2.4.3). 0: none. */
static uint32_t wired_source(const struct dtb *dtb, dtb_node node,
                             const struct pci_function *function)
{
	struct dtb_property map = dtb_property(dtb, node, "interrupt-map");
	struct dtb_property mask = dtb_property(dtb, node, "interrupt-map-mask");
	uint32_t total = map.data ? map.bytes / 4 : 0;
	uint32_t unit = (uint32_t)function->bus << 16 | (uint32_t)function->device << 11 |
	                (uint32_t)function->function << 8;
	uint32_t unit_mask = UINT32_MAX, pin_mask = UINT32_MAX;
	if (mask.data && mask.bytes >= 16) {
		unit_mask = (uint32_t)cells(mask, 0, 1);
		pin_mask = (uint32_t)cells(mask, 3, 1);
	}
	/* One entry: unit address (3), pin, controller, the controller's unit address, its
	 * interrupt specifier. */
	for (uint32_t at = 0; at + 5 <= total;) {
		dtb_node controller = dtb_find_phandle(dtb, (uint32_t)cells(map, at + 4, 1));
		if (controller == DTB_NONE)
			return 0;
		uint32_t address_cells = dtb_u32(dtb, controller, "#address-cells", 0, 0);
		uint32_t interrupt_cells = dtb_u32(dtb, controller, "#interrupt-cells", 0, 1);
		uint64_t next = (uint64_t)at + 5 + address_cells + interrupt_cells;
		if (next > total || !interrupt_cells)
			return 0;
		if (((uint32_t)cells(map, at, 1) & unit_mask) == (unit & unit_mask) &&
		    (cells(map, at + 3, 1) & pin_mask) == (function->pin & pin_mask))
			return (uint32_t)cells(map, at + 5 + address_cells, 1);
		at = (uint32_t)next;
	}
	return 0;
}

static bool probe_function(void *context, const struct pci_function *found)
{
	struct search *search = context;
	struct pci_function function = *found;
	if (function.vendor != VIRTIO_PCI_VENDOR)
		return true;
	if (pci_assign_bars(&function) < 0)
		log_warning("pci %02x:%02x.%x: not all BARs could be placed\n", function.bus,
		            function.device, function.function);
	struct virtio_transport *transport = transport_new(search);
	if (!transport)
		return false;
	uint32_t irq = wired_source(search->dtb, search->host_node, &function);
	if (virtio_pci_probe(transport, &function, irq) == 0)
		offer_transport(search, transport);
	else
		heap_free(transport);
	return true;
}

static void search_pci(struct search *search)
{
	const struct dtb *dtb = search->dtb;
	dtb_node node = DTB_NONE;
	while ((node = dtb_find_compatible(dtb, node, "pci-host-ecam-generic")) != DTB_NONE) {
		uint64_t address, bytes;
		if (!dtb_is_enabled(dtb, node) || !dtb_reg(dtb, node, 0, &address, &bytes))
			continue;
		struct pci_host host = {
			.ecam = map_device(address, bytes),
			.ecam_bytes = bytes,
			.first_bus = (uint8_t)dtb_u32(dtb, node, "bus-range", 0, 0),
		};
		if (!host.ecam)
			continue;
		read_windows(dtb, node, &host);
		search->host_node = node;
		pci_enumerate(&host, probe_function, search);
	}
}

int virtio_probe(const struct dtb *dtb,
                 bool (*found)(void *context, struct virtio_transport *transport), void *context)
{
	struct search search = { .dtb = dtb, .found = found, .context = context };
	search_mmio(&search);
	search_pci(&search);
	return search.error ? search.error : search.kept;
}
