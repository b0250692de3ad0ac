/* PCI configuration space through ECAM: enumeration, BARs, capabilities. */
#include "virtio/pci.h"

#include <errno.h>

#include "core/io.h"

enum {
	PCI_VENDOR = 0x00,
	PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06,
	PCI_HEADER_TYPE = 0x0e,
	PCI_BAR0 = 0x10,
	PCI_CAPABILITIES = 0x34,
	PCI_INTERRUPT_PIN = 0x3d,
};

/* The MSI-X capability and its table's entries of 16 bytes. */
enum {
	PCI_CAPABILITY_MSIX = 0x11,
	MSIX_CONTROL = 2,
	MSIX_TABLE = 4,
	MSIX_ENTRY_BYTES = 16,
	MSIX_ADDRESS_LOW = 0,
	MSIX_ADDRESS_HIGH = 4,
	MSIX_DATA = 8,
	MSIX_VECTOR_CONTROL = 12, /* bit 0: masked, as after a reset */
};
#define MSIX_ENABLE             0x8000
#define MSIX_MASK_ALL           0x4000
#define MSIX_SIZE               0x07ff /* entries - 1 */
#define MSIX_TABLE_BAR          7u

#define PCI_COMMAND_IO          1
#define PCI_COMMAND_MEMORY      2
#define PCI_COMMAND_MASTER      4
#define PCI_STATUS_CAPABILITIES 0x10
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
		.pin = io_read8(config + PCI_INTERRUPT_PIN),
		.config = config,
	};
	return true;
}

void pci_enumerate(struct pci_host *host,
                   bool (*found)(void *context, const struct pci_function *function), void *context)
{
	for (uint8_t device = 0; device < 32; device++) {
		struct pci_function function;
		if (!describe(host, host->first_bus, device, 0, &function))
			continue;
		bool several = io_read8(function.config + PCI_HEADER_TYPE) & 0x80;
		if (!found(context, &function))
			return;
		for (uint8_t number = 1; several && number < 8; number++)
			if (describe(host, host->first_bus, device, number, &function) &&
			    !found(context, &function))
				return;
	}
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

/* Size and place BAR `index`; returns how many registers it takes. */
static unsigned assign_bar(struct pci_function *function, unsigned index, int *error)
{
	volatile uint8_t *low = function->config + PCI_BAR0 + 4 * index, *high = low + 4;
	uint32_t kind = io_read32(low);
	bool is_64bit = !(kind & PCI_BAR_IO) && (kind & 6) == PCI_BAR_64BIT && index < 5;

	io_write32(low, UINT32_MAX);
	uint64_t mask = io_read32(low);
	io_write32(low, 0);
	if (kind & PCI_BAR_IO)
		return 1;
	mask &= ~15ull;
	if (is_64bit) {
		io_write32(high, UINT32_MAX);
		mask |= (uint64_t)io_read32(high) << 32;
		io_write32(high, 0);
	} else if (mask) {
		mask |= 0xffffffffull << 32;
	}
	if (!mask)
		return is_64bit ? 2 : 1;

	uint64_t bytes = ~mask + 1, offset;
	struct pci_window *window = NULL;
	if (bytes && !(bytes & (bytes - 1)))
		window = find_window(function->host, is_64bit, bytes, &offset);
	if (!window) {
		*error = -ENOSPC;
		return is_64bit ? 2 : 1;
	}
	window->next = offset + bytes;
	uint64_t address = window->bus_address + offset;
	io_write32(low, (uint32_t)address);
	if (is_64bit)
		io_write32(high, (uint32_t)(address >> 32));
	function->bars[index] = window->mapped + offset;
	function->bar_bytes[index] = bytes;
	return is_64bit ? 2 : 1;
}

int pci_assign_bars(struct pci_function *function)
{
	int error = 0;
	uint16_t command = io_read16(function->config + PCI_COMMAND);
	command &= (uint16_t) ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	io_write16(function->config + PCI_COMMAND, command);
	if ((io_read8(function->config + PCI_HEADER_TYPE) & 0x7f) != 0)
		return -ENODEV; /* a bridge */
	for (unsigned index = 0; index < 6;)
		index += assign_bar(function, index, &error);
	io_write16(function->config + PCI_COMMAND,
	           command | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	return error;
}

uint8_t pci_find_capability(const struct pci_function *function, uint8_t id, uint8_t after)
{
	if (!(io_read16(function->config + PCI_STATUS) & PCI_STATUS_CAPABILITIES))
		return 0;
	uint64_t visited = 0; /* one bit per aligned offset: a list that runs in a circle ends where
	                         it closes */
	bool passed = after == 0;
	uint8_t offset = io_read8(function->config + PCI_CAPABILITIES) & 0xfc;
	while (offset >= 0x40 && !(visited & 1ull << offset / 4)) {
		visited |= 1ull << offset / 4;
		if (passed && io_read8(function->config + offset) == id)
			return offset;
		passed |= offset == after;
		offset = io_read8(function->config + offset + 1) & 0xfc;
	}
	return 0;
}

bool pci_find_msix(const struct pci_function *function, struct pci_msix *out)
{
	uint8_t at = pci_find_capability(function, PCI_CAPABILITY_MSIX, 0);
	if (!at)
		return false;
	out->control = function->config + at + MSIX_CONTROL;
	out->entries = (uint16_t)((io_read16(out->control) & MSIX_SIZE) + 1);
	uint32_t place = io_read32(function->config + at + MSIX_TABLE);
	uint32_t bar = place & MSIX_TABLE_BAR, offset = place & ~MSIX_TABLE_BAR;
	if (bar > 5 || !function->bars[bar] ||
	    (uint64_t)offset + MSIX_ENTRY_BYTES * out->entries > function->bar_bytes[bar])
		return false;
	out->table = function->bars[bar] + offset;
	return true;
}

/* No message is sent before all entries are written. */
void pci_msix_use(const struct pci_msix *msix, const struct irq_message *messages, uint16_t count)
{
	io_write16(msix->control, count ? MSIX_ENABLE | MSIX_MASK_ALL : 0);
	for (uint16_t i = 0; i < count; i++) {
		volatile uint8_t *entry = msix->table + MSIX_ENTRY_BYTES * i;
		io_write32(entry + MSIX_ADDRESS_LOW, (uint32_t)messages[i].address);
		io_write32(entry + MSIX_ADDRESS_HIGH, (uint32_t)(messages[i].address >> 32));
		io_write32(entry + MSIX_DATA, messages[i].data);
		io_write32(entry + MSIX_VECTOR_CONTROL, 0);
	}
	if (count)
		io_write16(msix->control, MSIX_ENABLE);
}
