#include "virtio/pci_tree.h"

#define SPACE_MEMORY_32 2 /* of a PCI address's first cell, bits 24 and 25 */
#define SPACE_MEMORY_64 3

static uint64_t cells(struct dtb_property property, uint32_t first, uint32_t count)
{
	uint64_t value = 0;
	for (uint32_t i = 4 * first; i < 4 * (first + count); i++)
		value = value << 8 | property.data[i];
	return value;
}

static uint32_t cell(struct dtb_property property, uint32_t index)
{
	return (uint32_t)cells(property, index, 1);
}

/* 3 cells of PCI address, the parent's address, 2 cells of size (§2.2.1.1). */
uint32_t pci_tree_windows(const struct dtb *dtb, dtb_node host, struct pci_tree_window *out,
                          uint32_t max)
{
	struct dtb_property ranges = dtb_property(dtb, host, "ranges");
	uint32_t parent_cells = dtb_u32(dtb, dtb_parent(dtb, host), "#address-cells", 0, 2);
	if (!ranges.data || parent_cells < 1 || parent_cells > 2)
		return 0;
	uint32_t entry_cells = 3 + parent_cells + 2, count = 0;
	for (uint32_t at = 0; at + entry_cells <= ranges.bytes / 4 && count < max;
	     at += entry_cells) {
		uint32_t space = cell(ranges, at) >> 24 & 3;
		if (space < SPACE_MEMORY_32)
			continue;
		out[count++] = (struct pci_tree_window){
			.bus_address = cells(ranges, at + 1, 2),
			.address = cells(ranges, at + 3, parent_cells),
			.bytes = cells(ranges, at + 3 + parent_cells, 2),
			.is_64bit = space == SPACE_MEMORY_64,
		};
	}
	return count;
}

/* Bus, device and function as PCI addresses and requester numbers hold them. */
static uint32_t requester(const struct pci_function *function)
{
	return (uint32_t)function->bus << 8 | (uint32_t)function->device << 3 | function->function;
}

struct dtb_interrupt pci_tree_wire(const struct dtb *dtb, dtb_node host,
                                   const struct pci_function *function, uint8_t pin)
{
	const struct dtb_interrupt none = { .controller = DTB_NONE };
	struct dtb_property map = dtb_property(dtb, host, "interrupt-map");
	struct dtb_property mask = dtb_property(dtb, host, "interrupt-map-mask");
	uint32_t total = map.data ? map.bytes / 4 : 0, unit = requester(function) << 8;
	uint32_t unit_mask = UINT32_MAX, pin_mask = UINT32_MAX;
	if (mask.data && mask.bytes >= 16) {
		unit_mask = cell(mask, 0);
		pin_mask = cell(mask, 3);
	}
	/* One entry: unit address (3), pin, controller, the controller's unit address, its
	 * interrupt specifier. Most maps name one controller, which is looked up once. */
	dtb_node controller = DTB_NONE;
	uint32_t phandle = 0, address_cells = 0, interrupt_cells = 0;
	for (uint32_t at = 0; at + 5 <= total;) {
		if (controller == DTB_NONE || cell(map, at + 4) != phandle) {
			phandle = cell(map, at + 4);
			controller = dtb_find_phandle(dtb, phandle);
			if (controller == DTB_NONE)
				break;
			address_cells = dtb_u32(dtb, controller, "#address-cells", 0, 0);
			interrupt_cells = dtb_u32(dtb, controller, "#interrupt-cells", 0, 1);
		}
		uint64_t next = (uint64_t)at + 5 + address_cells + interrupt_cells;
		if (next > total || !interrupt_cells)
			break;
		if (!((cell(map, at) ^ unit) & unit_mask) &&
		    !((cell(map, at + 3) ^ pin) & pin_mask)) {
			uint32_t specifier = at + 5 + address_cells;
			return (struct dtb_interrupt){
				.controller = controller,
				.number = cell(map, specifier),
				.trigger = interrupt_cells > 1 ? cell(map, specifier + 1) : 0,
			};
		}
		at = (uint32_t)next;
	}
	return none;
}

/* An entry of msi-map: the first requester, the controller, the first one's number there, how many.
 */
dtb_node pci_tree_messages(const struct dtb *dtb, dtb_node host,
                           const struct pci_function *function)
{
	struct dtb_property map = dtb_property(dtb, host, "msi-map");
	if (!map.data)
		return dtb_find_phandle(dtb, dtb_u32(dtb, host, "msi-parent", 0, 0));
	uint32_t masked = requester(function) & dtb_u32(dtb, host, "msi-map-mask", 0, UINT32_MAX);
	for (uint32_t at = 0; at + 4 <= map.bytes / 4; at += 4)
		if (masked - cell(map, at) < cell(map, at + 3) && masked >= cell(map, at))
			return dtb_find_phandle(dtb, cell(map, at + 1));
	return DTB_NONE;
}
