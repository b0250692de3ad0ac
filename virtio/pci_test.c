/* PCI enumeration, BAR placement and virtio's capabilities over plain memory: what a device or a
 * bridge may get wrong, above all. */
#include <errno.h>
#include <string.h>

#include "evloop/check.h"
#include "virtio/pci.h"

enum { ECAM_BYTES = 1 << 20, BAR_BYTES = 4096 };

static _Alignas(4096) uint8_t ecam[ECAM_BYTES];
static _Alignas(4096) uint8_t bar_memory[BAR_BYTES];
static struct pci_host host;
static struct pci_function functions[16];
static unsigned function_count, stop_after;

static void put(uint8_t *at, uint64_t value, unsigned bytes)
{
	memcpy(at, &value, bytes);
}

static uint64_t get(const volatile uint8_t *at, unsigned bytes)
{
	uint64_t value = 0;
	memcpy(&value, (const void *)at, bytes);
	return value;
}

static uint8_t *config_of(unsigned device, unsigned function)
{
	return ecam + (device << 15 | function << 12);
}

static void clear(void)
{
	memset(ecam, 0xff, sizeof(ecam));
	host = (struct pci_host){ .ecam = ecam, .ecam_bytes = sizeof(ecam) };
	function_count = 0;
	stop_after = 16;
}

/* A function without BARs or capabilities. */
static uint8_t *make_function(unsigned device, unsigned function, uint16_t id, bool several)
{
	uint8_t *config = config_of(device, function);
	memset(config, 0, 4096);
	put(config, 0x1af4, 2);
	put(config + 2, id, 2);
	put(config + 0x0e, several ? 0x80 : 0, 1);
	put(config + 0x3d, 1, 1);
	return config;
}

static bool found(void *context, struct pci_function *function)
{
	(void)context;
	functions[function_count++] = *function;
	return function_count < stop_after;
}

static void test_enumeration(void)
{
	clear();
	make_function(0, 0, 0x1041, false);
	make_function(0, 3, 0x1044, false); /* not looked at: function 0 says there is only one */
	make_function(4, 0, 0x1041, true);
	make_function(4, 5, 0x1000, false);
	make_function(31, 0, 0x1044, false);
	pci_enumerate(&host, found, NULL);
	CHECK_EQ(function_count, 4);
	CHECK_EQ(functions[1].device, 4);
	CHECK_EQ(functions[2].function, 5);
	CHECK_EQ(functions[2].device_id, 0x1000);
	CHECK_EQ(functions[3].device, 31);
	CHECK_EQ(pci_read_pin(&functions[3]), 1);

	function_count = 0;
	stop_after = 2;
	pci_enumerate(&host, found, NULL);
	CHECK_EQ(function_count, 2);

	/* A window shorter than the bus. */
	function_count = 0;
	stop_after = 16;
	host.ecam_bytes = 4 << 15;
	pci_enumerate(&host, found, NULL);
	CHECK_EQ(function_count, 1);
}

/* In plain memory every bit of a BAR can be written, so that each is 16 bytes long. */
static void test_bars(void)
{
	clear();
	uint8_t *config = make_function(1, 0, 0x1041, false);
	put(config + 0x04, 7, 2);    /* somebody switched it on */
	put(config + 0x10, 1, 4);    /* I/O */
	put(config + 0x14, 0, 4);    /* 32 bits */
	put(config + 0x18, 0x0c, 4); /* 64 bits, prefetchable */
	put(config + 0x20, 0x04, 4); /* 64 bits */
	host.windows[0] =
	        (struct pci_window){ .bus_address = 0x40000004, .bytes = 64, .mapped = bar_memory };
	host.windows[1] = (struct pci_window){ .bus_address = 0x400000000,
		                               .bytes = 16,
		                               .mapped = bar_memory + 1024,
		                               .is_64bit = true };
	host.window_count = 2;
	pci_enumerate(&host, found, NULL);
	struct pci_function function = functions[0];
	CHECK_EQ(pci_begin(&function), 0);
	CHECK_EQ(get(config + 4, 2), 4); /* while BARs are sized it decodes no addresses */
	CHECK(!pci_bar(&function, 0, 0, 1));
	CHECK_EQ(get(config + 0x10, 4), 1);
	/* Aligned on the bus, not in the window. */
	CHECK(pci_bar(&function, 1, 0, 16) == bar_memory + 12);
	CHECK(pci_bar(&function, 2, 4, 12) == bar_memory + 1024 + 4);
	CHECK(!pci_bar(&function, 3, 0, 1)); /* the upper half of BAR 2 */
	CHECK_EQ(get(config + 0x18, 8), 0x400000000);
	CHECK(pci_bar(&function, 4, 0, 1) == bar_memory + 12 + 16); /* the 64-bit window is full */
	CHECK(!pci_bar(&function, 6, 0, 1));
	CHECK_EQ(get(config + 0x14, 4), 0x40000010);
	/* Placed once, and only so long. */
	CHECK(pci_bar(&function, 1, 16, 0) == bar_memory + 12 + 16);
	CHECK(!pci_bar(&function, 1, 1, 16));
	CHECK(!pci_bar(&function, 1, UINT64_MAX, 2));
	CHECK(!function.window_full);
	pci_enable(&function);
	CHECK_EQ(get(config + 4, 2), 6);

	/* No room left for all: those that fit still work. */
	host.windows[0].next = 40;
	host.windows[1].next = 0;
	put(config + 0x10, 1, 4);
	put(config + 0x14, 0, 4);
	put(config + 0x18, 0x0c, 4);
	put(config + 0x20, 0x04, 4);
	function = functions[0];
	CHECK(pci_bar(&function, 1, 0, 1) && pci_bar(&function, 2, 0, 1));
	CHECK(!function.window_full);
	CHECK(!pci_bar(&function, 4, 0, 1));
	CHECK(function.window_full);
	CHECK_EQ(get(config + 0x20, 4), 4); /* as it was found */

	/* A last BAR that claims to have an upper half. */
	put(config + 0x24, 0x04, 4);
	CHECK(!pci_bar(&function, 5, 0, 1));

	function = functions[0];
	function.header_type = 1;
	CHECK_EQ(pci_begin(&function), -ENODEV); /* a bridge */
}

/* A BAR that nobody asks for is left alone, and so is a function that is not taken over. */
static void test_untouched(void)
{
	clear();
	uint8_t *config = make_function(1, 0, 0x1044, false), before[4096];
	put(config + 0x14, 0xfebc0000, 4);
	memcpy(before, config, sizeof(before));
	pci_enumerate(&host, found, NULL);
	CHECK_EQ(function_count, 1);
	CHECK_EQ(pci_begin(&functions[0]), 0);
	CHECK(memcmp(before, config, sizeof(before)) == 0);
}

static uint8_t *add_capability(uint8_t *config, uint8_t at, uint8_t next, uint8_t type, uint8_t bar,
                               uint32_t offset, uint32_t bytes)
{
	put(config + at, 9, 1);
	put(config + at + 1, next, 1);
	put(config + at + 2, 20, 1);
	put(config + at + 3, type, 1);
	put(config + at + 4, bar, 1);
	put(config + at + 8, offset, 4);
	put(config + at + 12, bytes, 4);
	put(config + at + 16, 4, 4);
	return config + at;
}

/* A virtio-net function with all structures in BAR 4. */
static uint8_t *make_virtio(struct pci_function *function, uint16_t id)
{
	clear();
	uint8_t *config = make_function(2, 0, id, false);
	put(config + 0x06, 0x10, 2);
	put(config + 0x34, 0x40, 1);
	add_capability(config, 0x40, 0x54, 1, 4, 0, 0x38);
	add_capability(config, 0x54, 0x68, 3, 4, 0x100, 1);
	add_capability(config, 0x68, 0x7c, 4, 4, 0x200, 0x10);
	add_capability(config, 0x7c, 0, 2, 4, 0x400, 0x100);
	pci_enumerate(&host, found, NULL);
	*function = functions[0];
	function->bars[4] = bar_memory;
	function->bar_bytes[4] = BAR_BYTES;
	function->bars_tried = 1u << 4;
	return config;
}

static int probe(const struct pci_function *found, struct virtio_transport *transport)
{
	static const struct dtb_interrupt wire = { .number = 33 };
	struct pci_function function = *found;
	*transport = (struct virtio_transport){ 0 };
	return virtio_pci_probe(transport, &function, virtio_pci_type(&function), &wire, true);
}

static void test_probe(void)
{
	struct pci_function function;
	struct virtio_transport transport;
	make_virtio(&function, 0x1041);
	CHECK_EQ(probe(&function, &transport), 0);
	CHECK_EQ(transport.device_type, VIRTIO_DEVICE_NET);
	CHECK_EQ(transport.wire.number, 33);
	CHECK_EQ(transport.vectors, 0); /* no MSI-X */
	CHECK(transport.base == bar_memory);
	CHECK(transport.isr == bar_memory + 0x100);
	CHECK(transport.device_config == bar_memory + 0x200);
	CHECK_EQ(transport.device_config_bytes, 0x10);
	CHECK(transport.notify_base == bar_memory + 0x400);
	CHECK_EQ(transport.notify_multiplier, 4);

	put(bar_memory + 0x12, 64, 2); /* queues, each of 256 entries */
	put(bar_memory + 0x18, 256, 2);
	make_virtio(&function, 0x1041);
	CHECK_EQ(probe(&function, &transport), 0);
	CHECK_EQ(transport.ops->queue_max(&transport, VIRTIO_PCI_QUEUES_MAX - 1), 256);
	CHECK_EQ(transport.ops->queue_max(&transport, VIRTIO_PCI_QUEUES_MAX), 0); /* not used */
	memset(bar_memory, 0, sizeof(bar_memory));

	make_virtio(&function, 0x1000); /* transitional */
	CHECK_EQ(probe(&function, &transport), 0);
	CHECK_EQ(transport.device_type, VIRTIO_DEVICE_NET);
	make_virtio(&function, 0x1005);
	CHECK_EQ(virtio_pci_type(&function), VIRTIO_DEVICE_RNG);
	make_virtio(&function, 0x1044);
	CHECK_EQ(virtio_pci_type(&function), VIRTIO_DEVICE_RNG);
	make_virtio(&function, 0x1006); /* no type has this number */
	CHECK_EQ(virtio_pci_type(&function), 0);
	make_virtio(&function, 0x0fff);
	CHECK_EQ(virtio_pci_type(&function), 0);
	make_virtio(&function, 0x1080);
	CHECK_EQ(virtio_pci_type(&function), 0);
	make_virtio(&function, 0x1041);
	function.vendor = 0x8086;
	CHECK_EQ(virtio_pci_type(&function), 0);
	make_virtio(&function, 0x1041);
	function.header_type = 1; /* a bridge */
	CHECK_EQ(probe(&function, &transport), -ENODEV);
}

static void test_broken_capabilities(void)
{
	struct pci_function function;
	struct virtio_transport transport;
	uint8_t *config = make_virtio(&function, 0x1041);
	put(config + 0x40 + 8, BAR_BYTES - 0x37, 4); /* ends behind its BAR */
	CHECK_EQ(probe(&function, &transport), -ENODEV);
	put(config + 0x40 + 8, 0xfffffffc, 4);
	CHECK_EQ(probe(&function, &transport), -ENODEV);
	put(config + 0x40 + 8, 0, 4);
	put(config + 0x40 + 12, 0x10, 4); /* too short for the registers */
	CHECK_EQ(probe(&function, &transport), -ENODEV);
	put(config + 0x40 + 12, 0x38, 4);
	put(config + 0x40 + 4, 200, 1); /* no such BAR */
	CHECK_EQ(probe(&function, &transport), -ENODEV);
	put(config + 0x40 + 4, 0, 1); /* an absent BAR */
	CHECK_EQ(probe(&function, &transport), -ENODEV);
	put(config + 0x40 + 4, 4, 1);
	CHECK_EQ(probe(&function, &transport), 0);

	put(config + 0x06, 0, 2); /* no capabilities at all */
	CHECK_EQ(probe(&function, &transport), -ENODEV);
	put(config + 0x06, 0x10, 2);
	put(config + 0x7c + 1, 0x40, 1); /* a circle with everything in it */
	CHECK_EQ(probe(&function, &transport), 0);
	put(config + 0x54 + 1, 0x54, 1); /* a circle that leaves things out */
	CHECK_EQ(probe(&function, &transport), -ENODEV);
	put(config + 0x54 + 1, 0x10, 1); /* into the header */
	CHECK_EQ(probe(&function, &transport), -ENODEV);

	/* A first structure that cannot be used, then one that can. */
	config = make_virtio(&function, 0x1041);
	put(config + 0x7c + 1, 0x90, 1);
	add_capability(config, 0x90, 0, 1, 4, 0x800, 0x38);
	put(config + 0x40 + 4, 1, 1);
	CHECK_EQ(probe(&function, &transport), 0);
	CHECK(transport.base == bar_memory + 0x800);

	/* A doorbell outside the notification structure. */
	config = make_virtio(&function, 0x1041);
	CHECK_EQ(probe(&function, &transport), 0);
	struct virtio_queue_place place = { .size = 8 };
	memset(bar_memory, 0, sizeof(bar_memory));
	put(bar_memory + 0x1e, 0x40, 2);
	CHECK_EQ(transport.ops->queue_setup(&transport, 0, &place), -EINVAL);
	put(bar_memory + 0x1e, 0x3f, 2);
	CHECK_EQ(transport.ops->queue_setup(&transport, 0, &place), 0);
	CHECK((volatile uint8_t *)transport.doorbells[0] == bar_memory + 0x400 + 0xfc);
	CHECK_EQ(bar_memory[0x1c], 1);                        /* enabled */
	CHECK_EQ(transport.ops->queue_max(&transport, 0), 0); /* num_queues is 0 */
}

/* ---- MSI-X ---- */

/* A capability at 0x90 whose table of `entries` stands at `place` (offset and BAR). */
static uint8_t *add_msix(uint8_t *config, unsigned entries, uint32_t place)
{
	put(config + 0x7c + 1, 0x90, 1);
	put(config + 0x90, 0x11, 1);
	put(config + 0x91, 0, 1);
	put(config + 0x92, 0x8000 | (entries - 1), 2); /* left on by somebody */
	put(config + 0x94, place, 4);
	put(config + 0x98, place, 4);
	return config + 0x92;
}

static void test_messages(void)
{
	struct pci_function function;
	struct virtio_transport transport;
	static const struct irq_message messages[3] = { { 0x128000000, 5 },
		                                        { 0x28001000, 6 },
		                                        { 0x28002000, 7 } };
	memset(bar_memory, 0, sizeof(bar_memory));
	uint8_t *control = add_msix(make_virtio(&function, 0x1041), 4, 0x800 | 4);
	CHECK_EQ(probe(&function, &transport), 0);
	CHECK_EQ(transport.vectors, 4);
	CHECK_EQ(transport.messages, 0);
	CHECK_EQ(get(control, 2) & 0xc000, 0); /* off until it is used */

	transport.ops->use_messages(&transport, messages, 3);
	CHECK_EQ(transport.messages, 3);
	CHECK_EQ(get(control, 2) & 0xc000, 0x8000);
	for (unsigned i = 0; i < 3; i++) {
		uint8_t *entry = bar_memory + 0x800 + 16 * i;
		CHECK_EQ(get(entry, 8), messages[i].address);
		CHECK_EQ(get(entry + 8, 4), messages[i].data);
		CHECK_EQ(get(entry + 12, 4), 0);
	}
	CHECK_EQ(get(bar_memory + 0x830, 8), 0); /* the fourth is left alone */

	/* Queue n has vector n + 1, as far as they go. */
	struct virtio_queue_place place = { .size = 8 };
	CHECK_EQ(transport.ops->config_setup(&transport), 0);
	CHECK_EQ(get(bar_memory + 0x10, 2), 0);
	CHECK_EQ(transport.ops->queue_setup(&transport, 1, &place), 0);
	CHECK_EQ(get(bar_memory + 0x1a, 2), 2);
	put(bar_memory + 0x1c, 0, 2);
	CHECK_EQ(transport.ops->queue_setup(&transport, 2, &place), 0);
	CHECK_EQ(get(bar_memory + 0x1a, 2), 0xffff);

	transport.ops->use_messages(&transport, NULL, 0);
	CHECK_EQ(transport.messages, 0);
	CHECK_EQ(get(control, 2) & 0x8000, 0);
}

static uint16_t vectors_of(unsigned entries, uint32_t place)
{
	struct pci_function function;
	struct virtio_transport transport;
	add_msix(make_virtio(&function, 0x1041), entries, place);
	CHECK_EQ(probe(&function, &transport), 0);
	return transport.vectors;
}

/* What cannot be right: the device is used over its wire. */
static void test_broken_msix(void)
{
	CHECK_EQ(vectors_of(128, 0x800 | 4), 128);
	CHECK_EQ(vectors_of(129, 0x800 | 4), 0); /* ends behind its BAR */
	CHECK_EQ(vectors_of(2048, 0 | 4), 0);
	CHECK_EQ(vectors_of(1, 0xfffffff8 | 4), 0);
	CHECK_EQ(vectors_of(1, 0 | 1), 0); /* an absent BAR */
	CHECK_EQ(vectors_of(1, 0 | 6), 0); /* no such BAR */
	CHECK_EQ(vectors_of(1, 0 | 7), 0);

	/* Nobody would hear its messages. */
	struct pci_function function;
	struct virtio_transport transport = { 0 };
	const struct dtb_interrupt wire = { .number = 33 };
	add_msix(make_virtio(&function, 0x1041), 4, 0x800 | 4);
	CHECK_EQ(virtio_pci_probe(&transport, &function, VIRTIO_DEVICE_NET, &wire, false), 0);
	CHECK_EQ(transport.vectors, 0);
}

int main(void)
{
	test_enumeration();
	test_bars();
	test_untouched();
	test_probe();
	test_broken_capabilities();
	test_messages();
	test_broken_msix();
	return 0;
}
