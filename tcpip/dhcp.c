/* DHCPv4 client (RFC 2131 §4.4): one per interface that runs it. */
#include "tcpip/dhcp_message.h"
#include "tcpip/stack_internal.h"

#include <errno.h>

#define SERVER_PORT 67
#define CLIENT_PORT 68
#define SECOND_NS   1000000000ull
#define RETRY_FIRST_S                                                                              \
	1 /* RFC 2131 §4.1 says 4; a virtual network answers at once or was not up yet */
#define RETRY_LAST_S        64
#define REQUESTS_MAX        4  /* then the offer is given up */
#define RENEW_RETRY_LEAST_S 60 /* RFC 2131 §4.4.5 */
#define LEASE_INFINITE      0xffffffffu
#define MTU_LEAST           576

enum dhcp_state { DHCP_SELECTING, DHCP_REQUESTING, DHCP_BOUND, DHCP_RENEWING, DHCP_REBINDING };

/* Lives from dhcp_start to dhcp_stop. */
struct dhcp_client {
	struct list_node link;
	struct stack *stack;
	struct netif *netif;
	void (*bound)(void *context, const struct dhcp_result *result);
	void *context;
	struct loop_timer timer;
	enum dhcp_state state;
	uint32_t transaction;
	uint32_t retry_s;
	uint32_t requests;
	uint64_t started_ns;
	struct dhcp_result result; /* the offer, then the lease */
	uint32_t mtu;              /* the interface's own */
	uint64_t renew_ns, rebind_ns, expire_ns;
	uint8_t message[DHCP_MESSAGE_MAX];
};

static struct dhcp_client *client_of(struct stack *stack, const struct netif *netif)
{
	list_for_each(node, &stack->dhcp_clients)
	{
		struct dhcp_client *client = list_entry(node, struct dhcp_client, link);
		if (client->netif == netif)
			return client;
	}
	return NULL;
}

/* ---- sending ---- */

/* While there is no address, and to find any server: from 0.0.0.0 or ours to everybody on this very
 * interface. */
static void route_to_everybody(const struct dhcp_client *client, struct route_cache *route)
{
	memset(route, 0, sizeof(*route));
	route->netif = client->netif;
	route->next_hop.value = 0xffffffff;
	route->mtu = client->netif->mtu;
	route->generation = client->stack->generation;
	route->resolved = true;
	memset(route->ethernet_header, 0xff, 6);
	memcpy(route->ethernet_header + 6, client->netif->mac.byte, 6);
	store_be16(route->ethernet_header + 12, ETHERNET_IPV4);
}

static void client_transmit(struct dhcp_client *client, const struct dhcp_query *query)
{
	struct stack *stack = client->stack;
	const struct ip_output_options options = { .protocol = IP_PROTOCOL_UDP,
		                                   .ttl = IP_DEFAULT_TTL };
	struct ipv4_address source = query->current, destination = { 0xffffffff };
	const uint32_t length = UDP_HEADER_BYTES + DHCP_MESSAGE_BYTES;
	struct route_cache route;
	route_to_everybody(client, &route);
	if (client->state == DHCP_RENEWING) {
		destination = client->result.server;
		if (route_lookup(stack, destination, &route))
			return;
	}
	struct pbuf *packet = pbuf_alloc(stack->config.pool, PBUF_SMALL, PBUF_HEADROOM);
	if (!packet)
		return; /* sent again when the timer fires */
	uint8_t *h = packet->data;
	packet->length = packet->packet_length = length;
	store_be16(h, CLIENT_PORT);
	store_be16(h + 2, SERVER_PORT);
	store_be16(h + 4, (uint16_t)length);
	checksum_store_partial(h + 6,
	                       checksum_pseudo_ipv4(source, destination, IP_PROTOCOL_UDP, length));
	dhcp_query_write(query, h + UDP_HEADER_BYTES);
	packet->flags = PBUF_CSUM_PARTIAL;
	packet->csum_offset = 6;
	ip_output(stack, &route, source, destination, packet, &options);
}

static void client_send(struct dhcp_client *client)
{
	uint64_t elapsed_s = (stack_now(client->stack) - client->started_ns) / SECOND_NS;
	struct dhcp_query query = {
		.type = client->state == DHCP_SELECTING ? DHCP_DISCOVER : DHCP_REQUEST,
		.transaction = client->transaction,
		.seconds = elapsed_s > 0xffff ? 0xffff : (uint16_t)elapsed_s,
		.client = client->netif->mac,
	};
	if (client->state == DHCP_REQUESTING) {
		query.requested = client->result.address;
		query.server = client->result.server;
	} else if (client->state != DHCP_SELECTING) {
		query.current = client->result.address;
	}
	client_transmit(client, &query);
}

/* ---- states ---- */

/* Up to a tenth later, so that clients that started together do not stay together. */
static void timer_arm_after(struct dhcp_client *client, uint64_t seconds)
{
	uint8_t random;
	stack_random(client->stack, &random, sizeof(random));
	uint64_t ns = seconds * SECOND_NS;
	loop_timer_arm(client->stack->loop, &client->timer,
	               stack_now(client->stack) + ns + ns / 10 * random / 256);
}

static void enter_selecting(struct dhcp_client *client)
{
	client->state = DHCP_SELECTING;
	client->started_ns = stack_now(client->stack);
	client->retry_s = RETRY_FIRST_S;
	stack_random(client->stack, &client->transaction, sizeof(client->transaction));
	client_send(client);
	timer_arm_after(client, client->retry_s);
}

static void lease_lose(struct dhcp_client *client)
{
	stack_set_address(client->stack, client->netif, (struct ipv4_address){ 0 }, 0,
	                  (struct ipv4_address){ 0 });
	client->netif->mtu = client->mtu;
	enter_selecting(client);
	client->bound(client->context, NULL);
}

static uint64_t half_of_the_rest(uint64_t now, uint64_t end)
{
	uint64_t rest_s = end > now ? (end - now) / SECOND_NS / 2 : 0;
	return rest_s < RENEW_RETRY_LEAST_S ? RENEW_RETRY_LEAST_S : rest_s;
}

/* BOUND and what follows: ask, again when half of the time that is left has passed, until the next
 * state is due. */
static void lease_proceed(struct dhcp_client *client)
{
	uint64_t now = stack_now(client->stack), next, end;
	if (now >= client->expire_ns) {
		lease_lose(client);
		return;
	}
	if (now >= client->rebind_ns) {
		client->state = DHCP_REBINDING;
		end = client->expire_ns;
	} else {
		if (client->state == DHCP_BOUND)
			client->started_ns = now;
		client->state = DHCP_RENEWING;
		end = client->rebind_ns;
	}
	client_send(client);
	next = now + half_of_the_rest(now, end) * SECOND_NS;
	loop_timer_arm(client->stack->loop, &client->timer, next < end ? next : end);
}

static void client_timer(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	struct dhcp_client *client = container_of(watcher, struct dhcp_client, timer.watcher);
	(void)loop;
	(void)events;
	if (client->state >= DHCP_BOUND) {
		lease_proceed(client);
		return;
	}
	if (client->state == DHCP_REQUESTING && client->requests++ >= REQUESTS_MAX) {
		enter_selecting(client);
		return;
	}
	if (client->retry_s < RETRY_LAST_S)
		client->retry_s *= 2;
	client_send(client);
	timer_arm_after(client, client->retry_s);
}

/* ---- replies ---- */

static bool address_is_host(struct ipv4_address address)
{
	return address.value >> 24 && address.value >> 28 < 0xe && !ipv4_is_loopback(address);
}

/* Without a mask: by class, as of old (RFC 950). */
static uint8_t prefix_by_class(struct ipv4_address address)
{
	return address.value >> 31 == 0 ? 8 : address.value >> 30 == 2 ? 16 : 24;
}

static void result_take(struct dhcp_result *result, const struct dhcp_reply *reply,
                        struct ipv4_address sender)
{
	result->address = reply->address;
	result->gateway = reply->gateway;
	memcpy(result->dns, reply->dns, sizeof(result->dns));
	result->server = ipv4_is_any(reply->server) ? sender : reply->server;
	result->prefix_length =
	        reply->prefix_length ? reply->prefix_length : prefix_by_class(reply->address);
	result->mtu = reply->mtu;
	result->lease_seconds = reply->lease_s;
	memcpy(result->domain, reply->domain, sizeof(result->domain));
}

static void offer_take(struct dhcp_client *client, const struct dhcp_reply *reply,
                       struct ipv4_address sender)
{
	if (!address_is_host(reply->address))
		return;
	result_take(&client->result, reply, sender);
	client->state = DHCP_REQUESTING;
	client->requests = 1;
	client->retry_s = RETRY_FIRST_S;
	client_send(client);
	timer_arm_after(client, client->retry_s);
}

static void lease_schedule(struct dhcp_client *client, const struct dhcp_reply *reply)
{
	uint64_t now = stack_now(client->stack), lease_s = reply->lease_s;
	if (lease_s == LEASE_INFINITE) {
		loop_timer_arm(client->stack->loop, &client->timer, LOOP_NEVER);
		return;
	}
	if (lease_s < 10)
		lease_s = 10; /* a server that says 0 would keep us busy for ever */
	uint64_t renew_s = reply->renew_s, rebind_s = reply->rebind_s;
	if (rebind_s == 0 || rebind_s >= lease_s)
		rebind_s = lease_s * 7 / 8;
	if (renew_s == 0 || renew_s >= rebind_s)
		renew_s = lease_s / 2 < rebind_s ? lease_s / 2 : rebind_s / 2;
	client->renew_ns = now + renew_s * SECOND_NS;
	client->rebind_ns = now + rebind_s * SECOND_NS;
	client->expire_ns = now + lease_s * SECOND_NS;
	loop_timer_arm(client->stack->loop, &client->timer, client->renew_ns);
}

static void lease_take(struct dhcp_client *client, const struct dhcp_reply *reply,
                       struct ipv4_address sender)
{
	struct netif *netif = client->netif;
	struct dhcp_result *result = &client->result;
	if (!address_is_host(reply->address))
		return;
	result_take(result, reply, sender);
	client->state = DHCP_BOUND;
	netif->mtu =
	        result->mtu >= MTU_LEAST && result->mtu < client->mtu ? result->mtu : client->mtu;
	bool same = ipv4_equal(netif->address, result->address) &&
	            netif->prefix_length == result->prefix_length;
	if (!same || !ipv4_equal(client->stack->gateway, result->gateway))
		stack_set_address(client->stack, netif, result->address, result->prefix_length,
		                  result->gateway);
	lease_schedule(client, reply);
	client->bound(client->context, result);
}

static void reply_process(struct dhcp_client *client, const struct dhcp_reply *reply,
                          struct ipv4_address sender)
{
	switch (client->state) {
	case DHCP_SELECTING:
		if (reply->type == DHCP_OFFER)
			offer_take(client, reply, sender);
		break;
	case DHCP_REQUESTING:
		if (!ipv4_is_any(reply->server) &&
		    !ipv4_equal(reply->server, client->result.server))
			break; /* another server, which was not chosen */
		if (reply->type == DHCP_ACK)
			lease_take(client, reply, sender);
		else if (reply->type == DHCP_NAK)
			enter_selecting(client);
		break;
	case DHCP_RENEWING:
	case DHCP_REBINDING:
		if (reply->type == DHCP_ACK)
			lease_take(client, reply, sender);
		else if (reply->type == DHCP_NAK)
			lease_lose(client);
		break;
	case DHCP_BOUND:
		break;
	}
}

bool dhcp_input(struct stack *stack, struct pbuf *datagram, const struct ip_packet *ip)
{
	struct dhcp_client *client = client_of(stack, ip->netif);
	if (!client || load_be16(datagram->data + 2) != CLIENT_PORT)
		return false;
	uint16_t source_port = load_be16(datagram->data);
	uint32_t length =
	        pbuf_copy_out(datagram, UDP_HEADER_BYTES, client->message, sizeof(client->message));
	pbuf_free(datagram);
	struct dhcp_reply reply;
	if (source_port == SERVER_PORT && dhcp_reply_parse(client->message, length, &reply) &&
	    reply.transaction == client->transaction &&
	    !memcmp(reply.client.byte, client->netif->mac.byte, 6))
		reply_process(client, &reply, ip->source);
	return true;
}

/* ---- life ---- */

int dhcp_start(struct stack *stack, struct netif *netif,
               void (*bound)(void *context, const struct dhcp_result *result), void *context)
{
	if (client_of(stack, netif))
		return -EALREADY;
	struct dhcp_client *client = stack_alloc(stack, sizeof(*client));
	if (!client)
		return -ENOMEM;
	client->stack = stack;
	client->netif = netif;
	client->bound = bound;
	client->context = context;
	client->mtu = netif->mtu;
	if (loop_timer_create(stack->loop, &client->timer, LOOP_PRIORITY_HIGH, client_timer)) {
		stack_free(stack, client, sizeof(*client));
		return -ENOMEM;
	}
	list_push_back(&stack->dhcp_clients, &client->link);
	enter_selecting(client);
	return 0;
}

void dhcp_stop(struct stack *stack, struct netif *netif)
{
	struct dhcp_client *client = client_of(stack, netif);
	if (!client)
		return;
	list_remove(&client->link);
	loop_timer_destroy(stack->loop, &client->timer);
	stack_free(stack, client, sizeof(*client));
}

void dhcp_fini(struct stack *stack)
{
	struct list_node *node;
	while ((node = list_first(&stack->dhcp_clients)))
		dhcp_stop(stack, list_entry(node, struct dhcp_client, link)->netif);
}
