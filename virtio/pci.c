/* PCI configuration space through ECAM: enumeration, BARs, capabilities. */
#include "virtio/pci.h"

#include <errno.h>

#include "core/io.h"

enum {
	PCI_VENDOR = 0x00,
	PCI_COMMAND = 0x04, /* and the status behind it */
	PCI_HEADER_TYPE = 0x0e,
	PCI_BAR0 = 0x10,
	PCI_CAPABILITIES = 0x34,
	PCI_INTERRUPT_PIN = 0x3d,
	PCI_HEADER_BYTES = 0x40,
};

/* The MSI-X capability and its table's entries. */
enum {
	MSIX_CONTROL = 2,
	MSIX_TABLE = 4,
	MSIX_ENTRY_BYTES = 16,
	MSIX_ADDRESS = 0,
	MSIX_DATA = 8, /* and the vector's control: bit 0: masked, as after a reset */
};
#define MSIX_ENABLE             0x8000
#define MSIX_SIZE               0x07ff /* entries - 1 */
#define MSIX_TABLE_BAR          7u

#define PCI_COMMAND_IO          1
#define PCI_COMMAND_MEMORY      2
#define PCI_COMMAND_MASTER      4
#define PCI_STATUS_CAPABILITIES 0x10
#define PCI_HEADER_SEVERAL      0x80
#define PCI_HEADER_KIND         0x7f
#define PCI_BAR_IO              1
#define PCI_BAR_64BIT           4

static bool describe(struct pci_host *host, uint8_t bus, uint8_t device, uint8_t function,
                     struct pci_function *out)
{
	uint64_t offset = (uint64_t)(bus - host->first_bus) << 20 | (uint32_t)device << 15 |
	                  (uint32_t)function << 12;
	if (offset + 4096 > host->ecam_bytes)
		return false;
	volatile uint8_t *config = host->ecam + offset;
	uint32_t id = io_read32(config + PCI_VENDOR);
	if ((id & 0xffff) == 0xffff)
		return false;
	*out = (struct pci_function){
		.host = host,
		.bus = bus,
		.device = device,
		.function = function,
		.vendor = (uint16_t)id,
		.device_id = (uint16_t)(id >> 16),
		.header_type = io_read8(config + PCI_HEADER_TYPE),
		.config = config,
	};
	return true;
}

void pci_enumerate(struct pci_host *host,
                   bool (*found)(void *context, struct pci_function *function), void *context)
{
	for (uint8_t device = 0; device < 32; device++) {
		struct pci_function function;
		if (!describe(host, host->first_bus, device, 0, &function))
			continue;
		bool several = function.header_type & PCI_HEADER_SEVERAL;
		if (!found(context, &function))
			return;
		for (uint8_t number = 1; several && number < 8; number++)
			if (describe(host, host->first_bus, device, number, &function) &&
			    !found(context, &function))
				return;
	}
}

uint8_t pci_read_pin(const struct pci_function *function)
{
	return io_read8(function->config + PCI_INTERRUPT_PIN);
}

/* Room for a BAR of `bytes` (a power of two): 64-bit BARs prefer the 64-bit window, 32-bit ones
 * cannot use it. */
static struct pci_window *find_window(struct pci_host *host, bool bar_is_64bit, uint64_t bytes,
                                      uint64_t *offset)
{
	for (unsigned pass = 0; pass < 2; pass++) {
		bool want_64bit = bar_is_64bit && pass == 0;
		for (uint32_t i = 0; i < host->window_count; i++) {
			struct pci_window *window = &host->windows[i];
			if (window->is_64bit != want_64bit)
				continue;
			uint64_t address = window->bus_address + window->next;
			address = (address + bytes - 1) & ~(bytes - 1);
			*offset = address - window->bus_address;
			if (*offset <= window->bytes && bytes <= window->bytes - *offset)
				return window;
		}
	}
	return NULL;
}

/* The size of a memory BAR whose lower half is `kind`; it is left without a useful address. */
static uint64_t size_bar(volatile uint8_t *low, uint32_t kind)
{
	volatile uint8_t *high = low + 4;
	io_write32(low, UINT32_MAX);
	uint64_t mask = io_read32(low) & ~15u;
	if (mask) {
		mask |= 0xffffffffull << 32; /* the upper half, if there is one, is all address */
	} else if (kind & PCI_BAR_64BIT) {
		io_write32(high, UINT32_MAX);
		mask = (uint64_t)io_read32(high) << 32;
	}
	return mask ? ~mask + 1 : 0;
}

static void place_bar(struct pci_function *function, unsigned index)
{
	volatile uint8_t *low = function->config + PCI_BAR0 + 4 * index;
	uint32_t kind = io_read32(low);
	bool is_64bit = (kind & 6) == PCI_BAR_64BIT;
	if (kind & PCI_BAR_IO || (is_64bit && index == PCI_BARS - 1))
		return;
	uint64_t bytes = size_bar(low, is_64bit ? kind : 0), offset;
	struct pci_window *window = NULL;
	if (bytes && !(bytes & (bytes - 1))) {
		window = find_window(function->host, is_64bit, bytes, &offset);
		function->window_full |= !window;
	}
	if (!window) {
		io_write32(low, kind);
		return;
	}
	window->next = offset + bytes;
	uint64_t address = window->bus_address + offset;
	io_write32(low, (uint32_t)address);
	if (is_64bit) {
		io_write32(low + 4, (uint32_t)(address >> 32));
		function->bars_tried |= 2u << index; /* its upper half is none */
	}
	function->bars[index] = window->mapped + offset;
	function->bar_bytes[index] = bytes;
}

volatile uint8_t *pci_bar(struct pci_function *function, unsigned index, uint64_t offset,
                          uint64_t bytes)
{
	if (index >= PCI_BARS)
		return NULL;
	if (!(function->bars_tried & 1u << index)) {
		function->bars_tried |= 1u << index;
		place_bar(function, index);
	}
	if (!function->bars[index] || offset > function->bar_bytes[index] ||
	    bytes > function->bar_bytes[index] - offset)
		return NULL;
	return function->bars[index] + offset;
}

int pci_begin(struct pci_function *function)
{
	if ((function->header_type & PCI_HEADER_KIND) != 0)
		return -ENODEV; /* a bridge */
	uint32_t both = io_read32(function->config + PCI_COMMAND);
	function->command = (uint16_t)both & (uint16_t) ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	function->has_capabilities = both >> 16 & PCI_STATUS_CAPABILITIES;
	if ((uint16_t)both != function->command)
		io_write16(function->config + PCI_COMMAND, function->command);
	return 0;
}

void pci_enable(struct pci_function *function)
{
	function->command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	io_write16(function->config + PCI_COMMAND, function->command);
}

uint8_t pci_next_capability(const struct pci_function *function, struct pci_walk *walk)
{
	if (walk->visited == 0)
		walk->next = function->has_capabilities
		                     ? io_read8(function->config + PCI_CAPABILITIES) & 0xfc
		                     : 0;
	uint8_t at = walk->next;
	if (at < PCI_HEADER_BYTES || walk->visited & 1ull << at / 4)
		return 0;
	walk->visited |= 1ull << at / 4;
	walk->head = io_read32(function->config + at);
	walk->next = walk->head >> 8 & 0xfc;
	return at;
}

bool pci_use_msix(struct pci_function *function, uint8_t at, uint32_t head, struct pci_msix *out)
{
	*out = (struct pci_msix){
		.control = function->config + at + MSIX_CONTROL,
		.entries = (uint16_t)((head >> 16 & MSIX_SIZE) + 1),
	};
	if (head >> 16 & MSIX_ENABLE)
		pci_msix_send(out, NULL, 0);
	uint32_t place = io_read32(function->config + at + MSIX_TABLE);
	out->table = pci_bar(function, place & MSIX_TABLE_BAR, place & ~MSIX_TABLE_BAR,
	                     (uint64_t)MSIX_ENTRY_BYTES * out->entries);
	return out->table;
}

/* The entries are written while it is off, so that no message is sent before all of them are. */
void pci_msix_send(const struct pci_msix *msix, const struct irq_message *messages, uint16_t count)
{
	if (!count)
		io_write16(msix->control, 0);
	for (uint16_t i = 0; i < count; i++) {
		volatile uint8_t *entry = msix->table + MSIX_ENTRY_BYTES * i;
		io_write64(entry + MSIX_ADDRESS, messages[i].address);
		io_write64(entry + MSIX_DATA, messages[i].data); /* and 0: not masked */
	}
	if (count)
		io_write16(msix->control, MSIX_ENABLE);
}
