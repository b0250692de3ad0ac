/* The stack as a whole: its life, its turn, its interfaces and addresses. */
#include "tcpip/stack_internal.h"

#include <errno.h>

static void config_set_defaults(struct stack_config *config)
{
	if (!config->max_connections)
		config->max_connections = 131072;
	if (!config->max_time_wait)
		config->max_time_wait = 32768;
	if (!config->max_udp_sockets)
		config->max_udp_sockets = 16384;
	if (!config->arp_entries)
		config->arp_entries = 256;
	if (!config->tcp_receive_buffer_bytes)
		config->tcp_receive_buffer_bytes = 131072;
	if (!config->tcp_receive_buffer_max)
		config->tcp_receive_buffer_max = 6 << 20;
	if (!config->tcp_send_buffer_bytes)
		config->tcp_send_buffer_bytes = 16384;
	if (!config->tcp_send_buffer_max)
		config->tcp_send_buffer_max = 4 << 20;
}

/* The parts in the order in which they start; they end in the reverse order. */
static const struct part {
	int (*init)(struct stack *stack);
	void (*fini)(struct stack *stack);
} parts[] = {
	{ path_mtu_init, path_mtu_fini },
	{ arp_init, arp_fini },
	{ reassembly_init, reassembly_fini },
	{ groups_init, groups_fini },
	{ icmp_init, icmp_fini },
	{ udp_init, udp_fini },
	{ tcp_init, tcp_fini },
};
#define PARTS (sizeof(parts) / sizeof(parts[0]))

int stack_create(struct stack **out, const struct stack_config *config)
{
	struct stack *stack = config->alloc(config->alloc_context, sizeof(*stack));
	if (!stack)
		return -ENOMEM;
	stack->config = *config;
	config_set_defaults(&stack->config);
	stack->loop = config->loop;
	stack->generation = 1;
	list_init(&stack->netifs);
	list_init(&stack->dhcp_clients);
	stack_random(stack, &stack->identification_key, sizeof(stack->identification_key));
	stack_random(stack, stack->identification, sizeof(stack->identification));
	loopback_init(stack);
	for (size_t i = 0; i < PARTS; i++) {
		int error = parts[i].init(stack);
		if (!error)
			continue;
		while (i-- > 0)
			parts[i].fini(stack);
		loopback_fini(stack);
		stack_free(stack, stack, sizeof(*stack));
		return error;
	}
	*out = stack;
	return 0;
}

void stack_destroy(struct stack *stack)
{
	dhcp_fini(stack);
	for (size_t i = PARTS; i-- > 0;)
		parts[i].fini(stack);
	loopback_fini(stack);
	stack_free(stack, stack, sizeof(*stack));
}

void stack_flush(struct stack *stack)
{
	stack->output_noted = false;
	stack->flushing = true;
	tcp_flush(stack);
	stack->flushing = false;
	list_for_each(node, &stack->netifs)
	{
		struct netif *netif = list_entry(node, struct netif, link);
		if (netif->flush)
			netif->flush(netif);
	}
}

bool stack_before_idle(struct stack *stack)
{
	return tcp_before_idle(stack);
}

uint64_t stack_held_until(const struct stack *stack)
{
	return tcp_held_until(stack);
}

bool stack_input_waits(const struct stack *stack)
{
	return tcp_input_waits(stack);
}

/* ---- what the parts ask of the stack ---- */

uint32_t stack_generation(const struct stack *stack)
{
	return stack->generation;
}

struct loop *stack_loop(struct stack *stack)
{
	return stack->loop;
}

struct pbuf_pool *stack_pool(struct stack *stack)
{
	return stack->config.pool;
}

struct tcp_stack *stack_tcp(const struct stack *stack)
{
	return stack->tcp;
}

void stack_set_tcp(struct stack *stack, struct tcp_stack *tcp)
{
	stack->tcp = tcp;
}

const struct stack_config *stack_get_config(const struct stack *stack)
{
	return &stack->config;
}

struct stack_statistics *stack_counters(struct stack *stack)
{
	return &stack->statistics;
}

void stack_read_statistics(const struct stack *stack, struct stack_statistics *out)
{
	*out = stack->statistics;
	out->ip_in += out->tcp_predicted;
	out->tcp_in += out->tcp_predicted;
	out->tcp_fast_path += out->tcp_predicted;
	out->ip_out += out->tcp_answers;
	out->tcp_out += out->tcp_answers;
	tcp_add_statistics(stack, out);
}

void stack_note_output(struct stack *stack)
{
	if (stack->output_noted)
		return;
	stack->output_noted = true;
	if (stack->config.output_pending)
		stack->config.output_pending(stack->config.output_context);
}

void *stack_alloc(struct stack *stack, size_t bytes)
{
	return stack->config.alloc(stack->config.alloc_context, bytes);
}

void stack_free(struct stack *stack, void *memory, size_t bytes)
{
	stack->config.free(stack->config.alloc_context, memory, bytes);
}

void stack_random(struct stack *stack, void *out, size_t bytes)
{
	stack->config.random(stack->config.random_context, out, bytes);
}

/* ---- interfaces ---- */

int stack_add_netif(struct stack *stack, struct netif *netif)
{
	if (!netif->transmit || !netif->transmit_space || netif->mtu < 68 ||
	    netif->mtu > IP_PACKET_MAX)
		return -EINVAL;
	netif->stack = stack;
	netif->address = (struct ipv4_address){ 0 };
	netif->address_wire = netif->broadcast_wire = 0;
	netif->prefix_length = 0;
	int error = groups_start(netif);
	if (error)
		return error;
	netif->up = true;
	netif->index =
	        (uint8_t)(list_entry(stack->netifs.head.prev, struct netif, link)->index + 1);
	list_push_back(&stack->netifs, &netif->link);
	stack_routes_changed(stack);
	return 0;
}

int stack_set_address(struct stack *stack, struct netif *netif, struct ipv4_address address,
                      uint8_t prefix_length, struct ipv4_address gateway)
{
	if (prefix_length > 32 || ipv4_is_multicast(address) || ipv4_is_limited_broadcast(address))
		return -EINVAL;
	arp_forget_netif(stack, netif);
	netif->address = address;
	netif->address_wire = swap32(address.value);
	netif->prefix_length = prefix_length;
	netif->broadcast_wire = swap32(netif_broadcast(netif).value);
	if (!ipv4_is_any(gateway)) {
		stack->gateway = gateway;
		stack->gateway_netif = netif;
	} else if (stack->gateway_netif == netif) {
		stack->gateway = gateway;
		stack->gateway_netif = NULL;
	}
	stack_routes_changed(stack);
	if (ipv4_is_any(address) || netif->offloads & NETIF_LOOPBACK)
		return 0;
	arp_announce(netif);
	if (!ipv4_is_any(gateway))
		arp_probe(stack, netif, gateway);
	stack_note_output(stack);
	return 0;
}

struct netif *stack_loopback(struct stack *stack)
{
	return &stack->loopback.netif;
}

struct netif *stack_first_netif(struct stack *stack)
{
	list_for_each(node, &stack->netifs)
	{
		struct netif *netif = list_entry(node, struct netif, link);
		if (!(netif->offloads & NETIF_LOOPBACK))
			return netif;
	}
	return NULL;
}

struct netif *stack_netif_by_index(struct stack *stack, uint32_t index)
{
	list_for_each(node, &stack->netifs)
	{
		struct netif *netif = list_entry(node, struct netif, link);
		if (netif->index == index)
			return netif;
	}
	return NULL;
}

struct netif *stack_netif_by_address(struct stack *stack, struct ipv4_address address)
{
	if (ipv4_is_loopback(address))
		return &stack->loopback.netif;
	if (ipv4_is_any(address))
		return NULL;
	list_for_each(node, &stack->netifs)
	{
		struct netif *netif = list_entry(node, struct netif, link);
		if (ipv4_equal(netif->address, address))
			return netif;
	}
	return NULL;
}

struct ipv4_address stack_gateway(struct stack *stack)
{
	return stack->gateway;
}

bool stack_is_local_address(struct stack *stack, struct ipv4_address address)
{
	return stack_netif_by_address(stack, address) != NULL;
}

void netif_transmit_ready(struct netif *netif)
{
	udp_transmit_ready(netif->stack);
	stack_note_output(netif->stack);
}

const char *stack_verify(struct stack *stack)
{
	if (list_is_empty(&stack->netifs))
		return "stack: the loopback interface is missing";
	if (stack->loopback.queued && !loop_watcher_is_pending(&stack->loopback.watcher))
		return "loopback: packets wait but the watcher is not pending";
	const char *(*const verify[])(struct stack *) = { arp_verify, reassembly_verify,
		                                          groups_verify, udp_verify, tcp_verify };
	for (size_t i = 0; i < sizeof(verify) / sizeof(verify[0]); i++) {
		const char *broken = verify[i](stack);
		if (broken)
			return broken;
	}
	return NULL;
}
