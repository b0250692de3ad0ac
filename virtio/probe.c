/* From the device tree to transports. */
#include "virtio/probe.h"

#include <errno.h>

#include "core/console.h"
#include "core/io.h"
#include "core/irq.h"
#include "core/memory.h"
#include "virtio/pci_tree.h"

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
	return device_is_mapped(address, bytes) ? phys_to_virt(phys(address)) : NULL;
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
	struct virtio_transport *transport = base ? transport_new(search) : NULL;
	if (!transport)
		return;
	struct dtb_interrupt wire = dtb_interrupt(search->dtb, node);
	int error = virtio_mmio_probe(transport, base, (uint32_t)bytes, &wire);
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

static void map_windows(const struct dtb *dtb, dtb_node node, struct pci_host *host)
{
	struct pci_tree_window windows[PCI_WINDOWS_MAX];
	uint32_t count = pci_tree_windows(dtb, node, windows, PCI_WINDOWS_MAX);
	for (uint32_t i = 0; i < count; i++) {
		void *mapped = map_device(windows[i].address, windows[i].bytes);
		if (mapped)
			host->windows[host->window_count++] = (struct pci_window){
				.bus_address = windows[i].bus_address,
				.bytes = windows[i].bytes,
				.mapped = mapped,
				.is_64bit = windows[i].is_64bit,
			};
	}
}

/* Its messages reach an interrupt controller that we use. */
static bool messages_reach_us(const struct search *search, const struct pci_function *function)
{
	dtb_node ours = irq_message_controller();
	return ours != DTB_NONE &&
	       pci_tree_messages(search->dtb, search->host_node, function) == ours;
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
	struct dtb_interrupt wire = pci_tree_wire(search->dtb, search->host_node, &function);
	bool messages = messages_reach_us(search, &function);
	if (virtio_pci_probe(transport, &function, &wire, messages) == 0)
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
		map_windows(dtb, node, &host);
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
