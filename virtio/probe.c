/* From the device tree to transports. */
#include "virtio/probe.h"

#include <errno.h>

#include "core/console.h"
#include "core/io.h"
#include "core/irq.h"
#include "core/memory.h"
#include "virtio/pci_tree.h"

#define MMIO_MAX 64

struct probe {
	const struct dtb *dtb;
	dtb_node host_node;
	struct virtio_search *search;
	int error;
};

static bool is_wanted(const struct probe *probe, uint32_t type)
{
	return type < 64 && probe->search->wanted & VIRTIO_WANTED(type);
}

/* The heap aligns whole pages. */
static void *dma_alloc(void *context, size_t bytes)
{
	(void)context;
	return heap_alloc((bytes + PAGE_MASK) & ~PAGE_MASK);
}

static void dma_free(void *context, void *memory, size_t bytes)
{
	(void)context;
	(void)bytes;
	heap_free(memory);
}

/* Devices that the direct map does not reach are left alone. */
static void *map_device(uint64_t address, uint64_t bytes)
{
	return device_is_mapped(address, bytes) ? phys_to_virt(phys(address)) : NULL;
}

static struct virtio_transport *transport_new(struct probe *probe)
{
	struct virtio_transport *transport = heap_alloc_zeroed(sizeof(*transport));
	if (!transport) {
		probe->error = -ENOMEM;
		return NULL;
	}
	transport->dma_offset = DIRECT_MAP_BASE;
	transport->memory = (struct virtio_memory){ .alloc = dma_alloc, .free = dma_free };
	return transport;
}

static void offer_transport(struct probe *probe, struct virtio_transport *transport)
{
	if (!probe->search->found(probe->search, transport))
		heap_free(transport);
}

/* ---- virtio-mmio ---- */

static void probe_mmio(struct probe *probe, dtb_node node, uint64_t address, uint64_t bytes)
{
	void *base = map_device(address, bytes);
	uint32_t type = base ? virtio_mmio_type(base, (uint32_t)bytes) : 0;
	struct virtio_transport *transport = is_wanted(probe, type) ? transport_new(probe) : NULL;
	if (!transport)
		return;
	struct dtb_interrupt wire = dtb_interrupt(probe->dtb, node);
	int error = virtio_mmio_probe(transport, base, (uint32_t)bytes, type, &wire);
	if (!error) {
		offer_transport(probe, transport);
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
static void search_mmio(struct probe *probe)
{
	struct mmio_node found[MMIO_MAX];
	unsigned count = 0;
	dtb_node node = DTB_NONE;
	while ((node = dtb_find_compatible(probe->dtb, node, "virtio,mmio")) != DTB_NONE) {
		struct mmio_node new = { .node = node };
		if (!dtb_is_enabled(probe->dtb, node) ||
		    !dtb_reg(probe->dtb, node, 0, &new.address, &new.bytes))
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
	for (unsigned i = 0; i < count && probe->search->wanted; i++)
		probe_mmio(probe, found[i].node, found[i].address, found[i].bytes);
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
static bool messages_reach_us(const struct probe *probe, const struct pci_function *function)
{
	dtb_node ours = irq_message_controller();
	return ours != DTB_NONE &&
	       pci_tree_messages(probe->dtb, probe->host_node, function) == ours;
}

/* Returns whether to go on. */
static bool probe_function(void *context, struct pci_function *function)
{
	struct probe *probe = context;
	uint32_t type = virtio_pci_type(function);
	if (!is_wanted(probe, type))
		return true;
	struct virtio_transport *transport = transport_new(probe);
	if (!transport)
		return false;
	struct dtb_interrupt wire =
	        pci_tree_wire(probe->dtb, probe->host_node, function, pci_read_pin(function));
	bool messages = messages_reach_us(probe, function);
	int error = virtio_pci_probe(transport, function, type, &wire, messages);
	if (function->window_full)
		log_warning("pci %02x:%02x.%x: not all BARs could be placed\n", function->bus,
		            function->device, function->function);
	if (error)
		heap_free(transport);
	else
		offer_transport(probe, transport);
	return probe->search->wanted;
}

static void search_pci(struct probe *probe)
{
	const struct dtb *dtb = probe->dtb;
	dtb_node node = DTB_NONE;
	while (probe->search->wanted &&
	       (node = dtb_find_compatible(dtb, node, "pci-host-ecam-generic")) != DTB_NONE) {
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
		probe->host_node = node;
		pci_enumerate(&host, probe_function, probe);
	}
}

int virtio_probe(const struct dtb *dtb, struct virtio_search *search)
{
	struct probe probe = { .dtb = dtb, .search = search };
	search_mmio(&probe);
	search_pci(&probe);
	return probe.error;
}
