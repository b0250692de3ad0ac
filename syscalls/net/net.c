/* Start of the network: the stack, its device, its addresses; entropy from virtio-rng. */
#include "syscalls/net.h"

#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "core/console.h"
#include "core/memory.h"
#include "syscalls/net/boot_options.h"
#include "syscalls/net/netdev.h"
#include "syscalls/net/packet_memory.h"
#include "syscalls/net/resolver.h"
#include "syscalls/net/socket_tcp.h"
#include "virtio/probe.h"
#include "virtio/rng.h"

#define ENTROPY_BYTES      64
/* A loaded host takes its time, and nothing else seeds the generator. */
#define ENTROPY_TIMEOUT_NS 2000000000ull

/* The boot hart's network. */
static struct {
	struct stack *stack;
	struct hart *hart;
	struct net_device device;
	struct loop_hook stack_flush_hook;     /* without a device */
	struct hart_idle_hook stack_idle_hook; /* without a device */
	const char *command_line;
} net;

struct net_device *net_first_device(void)
{
	return net.device.present ? &net.device : NULL;
}

struct stack *net_stack(struct hart *hart)
{
	(void)hart; /* one stack serves all until connections belong to harts */
	return net.stack;
}

void net_want_completions(struct hart *hart)
{
	(void)hart;
	net.device.completions_wanted = true;
}

/* ---- what the stack is given ---- */

static void *stack_memory_alloc(void *context, size_t bytes)
{
	(void)context;
	return heap_alloc_zeroed(bytes);
}

static void stack_memory_free(void *context, void *memory, size_t bytes)
{
	(void)context;
	(void)bytes;
	heap_free(memory);
}

static void stack_random(void *context, void *out, size_t bytes)
{
	(void)context;
	random_bytes(out, bytes);
}

static uint64_t stack_wall_ns(void *context)
{
	(void)context;
	return clock_wall_ns();
}

static void stack_output_pending(void *context)
{
	hart_note_output(context);
}

static int create_stack(struct hart *hart, const char *command_line)
{
	struct pbuf_pool *pool;
	int error = packet_memory_create(hart, &pool);
	if (error)
		return error;
	struct pbuf_pool_statistics packets;
	pbuf_pool_statistics(pool, &packets);
	uint64_t buffer_max = packets.cap_bytes / 8;
	const uint32_t linux_receive_max = 6 << 20, linux_send_max = 4 << 20;
	const struct stack_config config = {
		.loop = &hart->loop,
		.alloc = stack_memory_alloc,
		.free = stack_memory_free,
		.pool = pool,
		.random = stack_random,
		.wall_ns = stack_wall_ns,
		.output_pending = stack_output_pending,
		.output_context = hart,
		.tcp_owner = tcp_socket_owner,
		.tcp_receive_buffer_max =
		        buffer_max < linux_receive_max ? (uint32_t)buffer_max : linux_receive_max,
		.tcp_send_buffer_max =
		        buffer_max < linux_send_max ? (uint32_t)buffer_max : linux_send_max,
		.tcp_acks_at_once = !boot_flag(command_line, "delayed_ack", true),
	};
	return stack_create(&net.stack, &config);
}

/* ---- devices ---- */

static void use_entropy(struct virtio_transport *transport)
{
	uint8_t entropy[ENTROPY_BYTES];
	int bytes = virtio_rng_read(transport, entropy, sizeof(entropy), clock_read_ns,
	                            ENTROPY_TIMEOUT_NS);
	if (bytes > 0)
		random_add_entropy(entropy, (size_t)bytes);
	else
		log_warning("virtio-rng: no entropy (error %d)", -bytes);
	memset(entropy, 0, sizeof(entropy));
}

static bool device_found(struct virtio_search *search, struct virtio_transport *transport)
{
	if (transport->device_type == VIRTIO_DEVICE_RNG) {
		use_entropy(transport);
		search->wanted &= ~VIRTIO_WANTED(VIRTIO_DEVICE_RNG);
		return false;
	}
	int error = net_device_start(&net.device, transport, net.hart, net.stack, net.command_line);
	if (error)
		log_error("virtio-net on %s does not start: error %d", transport->bus, -error);
	else
		search->wanted &= ~VIRTIO_WANTED(VIRTIO_DEVICE_NET);
	return !error;
}

static void flush_stack(struct loop *loop, struct loop_hook *hook)
{
	(void)loop;
	(void)hook;
	stack_flush(net.stack);
}

static bool prepare_wait(void *context)
{
	(void)context;
	return net_stack_prepare_wait(net.hart, net.stack);
}

/* ---- addresses ---- */

static void announce(const char *how)
{
	const struct netif *netif = &net.device.netif;
	const uint8_t *mac = netif->mac.byte;
	uint32_t a = netif->address.value, g = stack_gateway(net.stack).value;
	char address[80] = "none yet";
	if (a)
		format_string(address, sizeof(address), "%u.%u.%u.%u/%u, gateway %u.%u.%u.%u",
		              a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255, netif->prefix_length,
		              g >> 24, g >> 16 & 255, g >> 8 & 255, g & 255);
	log_notice("eth0: virtio-net MAC %02x:%02x:%02x:%02x:%02x:%02x on %s, address %s (%s)",
	           mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], net.device.virtio.transport->bus,
	           address, how);
}

static void lease_changed(void *context, const struct dhcp_result *result)
{
	(void)context;
	if (!result) {
		log_warning("eth0: DHCP lease lost");
		return;
	}
	announce("DHCP");
	resolver_write(result->dns, sizeof(result->dns) / sizeof(result->dns[0]), result->domain);
}

static void configure_address(void)
{
	char text[64];
	struct address_option option = {
		.address = ipv4(10, 0, 2, 15),
		.gateway = ipv4(10, 0, 2, 2),
		.prefix_length = 24,
	};
	if (boot_option(net.command_line, "ip", 0, text, sizeof(text)) &&
	    address_option_parse(text, &option))
		log_error("ip=%s is none of ADDRESS/LENGTH,GATEWAY, dhcp and none: the default is "
		          "used",
		          text);
	struct ipv4_address dns[3] = { ipv4(10, 0, 2, 3) };
	const char *end;
	if (boot_option(net.command_line, "dns", 0, text, sizeof(text)) &&
	    (!ipv4_parse(text, &dns[0], &end) || *end))
		log_error("dns=%s is not an address", text);
	resolver_write(dns, 1, "");
	if (option.none)
		return;
	int error = option.dhcp ? dhcp_start(net.stack, &net.device.netif, lease_changed, NULL)
	                        : stack_set_address(net.stack, &net.device.netif, option.address,
	                                            option.prefix_length, option.gateway);
	if (error)
		log_error("eth0: no address: error %d", -error);
	else
		announce(option.dhcp ? "asking by DHCP" : "static");
}

int net_init(struct hart *hart, const struct boot_information *boot)
{
	net.hart = hart;
	net.command_line = boot->command_line;
	int error = create_stack(hart, boot->command_line);
	if (error)
		return error;
	struct virtio_search search = {
		.wanted = VIRTIO_WANTED(VIRTIO_DEVICE_NET) |
		          (random_is_seeded() ? 0 : VIRTIO_WANTED(VIRTIO_DEVICE_RNG)),
		.found = device_found,
	};
	error = virtio_probe(boot->dtb, &search);
	if (error < 0)
		log_error("virtio: probing failed: error %d", -error);
	if (net.device.present) {
		configure_address();
		/* The answer to what this asks on the wire comes while the program is loaded. */
		net.device.netif.flush(&net.device.netif);
		return 0;
	}
	net.stack_flush_hook.run = flush_stack;
	loop_hook_add_flush(&hart->loop, &net.stack_flush_hook);
	net.stack_idle_hook.prepare_wait = prepare_wait;
	hart_add_idle_hook(hart, &net.stack_idle_hook);
	log_info("net: no virtio-net device, loopback only");
	return 0;
}
