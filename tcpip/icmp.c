/* ICMP input (RFC 792, RFC 1122 §3.2.2): echo requests are answered, errors handed to the transport
 * whose packet they quote. */
#include "tcpip/icmp_internal.h"

#include <errno.h>

#define REPLY_HEADROOM (PBUF_HEADROOM - ICMP_HEADER_BYTES)

int icmp_init(struct stack *stack)
{
	struct icmp_state *icmp = stack_alloc(stack, sizeof(*icmp));
	if (!icmp)
		return -ENOMEM;
	list_init(&icmp->ping_sockets);
	list_init(&icmp->raw_sockets);
	stack->icmp = icmp;
	return 0;
}

void icmp_fini(struct stack *stack)
{
	stack_free(stack, stack->icmp, sizeof(*stack->icmp));
}

/* The request's first pbuf with room for new headers, ours to write; NULL when there is no memory
 * (the request is freed). */
static struct pbuf *echo_make_writable(struct stack *stack, struct pbuf *request)
{
	if (request->block && request->refs == 1 &&
	    pbuf_headroom(request) >= IP_HEADER_BYTES + ETHERNET_HEADER_BYTES)
		return request;
	struct pbuf *header = pbuf_alloc(stack->config.pool, PBUF_SMALL, REPLY_HEADROOM);
	if (!header) {
		pbuf_free(request);
		return NULL;
	}
	memcpy(header->data, request->data, ICMP_HEADER_BYTES);
	header->length = header->packet_length = ICMP_HEADER_BYTES;
	struct pbuf *rest = pbuf_trim_front(request, ICMP_HEADER_BYTES);
	if (rest) {
		header->next = rest;
		header->packet_length += rest->packet_length;
	}
	return header;
}

static void echo_reply(struct stack *stack, struct pbuf *message, const struct ip_packet *ip)
{
	struct ip_output_options options = { .protocol = IP_PROTOCOL_ICMP, .ttl = IP_DEFAULT_TTL };
	struct route_cache route = { 0 };
	/* Not to groups (RFC 1122 §3.2.2.6, Linux's icmp_echo_ignore_broadcasts). */
	if (!stack_is_local_address(stack, ip->destination)) {
		pbuf_free(message);
		return;
	}
	message = echo_make_writable(stack, message);
	if (!message)
		return;
	message->flags = 0;
	message->data[0] = ICMP_ECHO_REPLY;
	checksum_store(message->data + 2, 0);
	checksum_store(message->data + 2,
	               checksum_fold(checksum_pbuf(0, message, 0, message->packet_length)));
	options.tos = ip->tos & 0xfc; /* ECN does not travel back */
	stack->statistics.icmp_echo++;
	icmp_count_out(stack, ICMP_ECHO_REPLY);
	ip_output(stack, &route, ip->destination, ip->source, message, &options);
}

struct errno_mapping {
	int error;
	bool fatal;
};

/* Destination unreachable by code, as Linux maps them (RFC 1122 §4.2.3.9 for what is fatal to TCP).
 */
static const struct errno_mapping unreachable_errno[] = {
	{ ENETUNREACH, false },  { EHOSTUNREACH, false }, { ENOPROTOOPT, true },
	{ ECONNREFUSED, true },  { EMSGSIZE, false },     { EOPNOTSUPP, false },
	{ ENETUNREACH, true },   { EHOSTDOWN, true },     { ENONET, true },
	{ ENETUNREACH, true },   { EHOSTUNREACH, true },  { ENETUNREACH, false },
	{ EHOSTUNREACH, false }, { EHOSTUNREACH, true },  { EHOSTUNREACH, true },
	{ EHOSTUNREACH, true },
};
#define UNREACHABLE_CODES                (sizeof(unreachable_errno) / sizeof(unreachable_errno[0]))
#define UNREACHABLE_FRAGMENTATION_NEEDED 4

static bool error_map(struct icmp_error *error)
{
	struct errno_mapping mapping;
	switch (error->type) {
	case ICMP_UNREACHABLE:
		if (error->code >= UNREACHABLE_CODES)
			return false;
		mapping = unreachable_errno[error->code];
		break;
	case ICMP_TIME_EXCEEDED:
		mapping = (struct errno_mapping){ EHOSTUNREACH, false };
		break;
	case ICMP_PARAMETER_PROBLEM:
		mapping = (struct errno_mapping){ EPROTO, true };
		break;
	default:
		return false;
	}
	error->error = mapping.error;
	error->fatal = mapping.fatal;
	return true;
}

/* RFC 1191 §5: an old router names no MTU; then the next smaller of the usual ones below the
 * packet's length. */
static uint32_t next_hop_mtu(uint32_t told, uint32_t quoted_length)
{
	static const uint16_t plateau[] = { 32000, 17914, 8166, 4352, 2002, 1492, 1006, 552 };
	if (told)
		return told;
	for (size_t i = 0; i < sizeof(plateau) / sizeof(plateau[0]); i++) {
		if (plateau[i] < quoted_length)
			return plateau[i];
	}
	return 552;
}

/* The quoted packet: its IP header and 8 bytes. */
struct quotation {
	uint8_t protocol;
	struct ipv4_address source, destination;
	uint32_t total_length, header_bytes;
	uint8_t transport[8];
};

static bool quotation_parse(const struct pbuf *message, struct quotation *out)
{
	uint8_t h[IP_HEADER_BYTES];
	if (pbuf_copy_out(message, ICMP_HEADER_BYTES, h, sizeof(h)) != sizeof(h))
		return false;
	uint32_t header_bytes = (h[0] & 15) * 4u;
	if (h[0] >> 4 != 4 || header_bytes < IP_HEADER_BYTES ||
	    load_be16(h + 6) & IP_FRAGMENT_OFFSET)
		return false;
	out->total_length = load_be16(h + 2);
	out->header_bytes = header_bytes;
	out->protocol = h[9];
	out->source.value = load_be32(h + 12);
	out->destination.value = load_be32(h + 16);
	return pbuf_copy_out(message, ICMP_HEADER_BYTES + header_bytes, out->transport, 8) == 8;
}

static void error_input(struct stack *stack, const struct pbuf *message, const struct ip_packet *ip)
{
	struct quotation quote;
	struct icmp_error error = { .type = message->data[0],
		                    .code = message->data[1],
		                    .offender = ip->source,
		                    .netif = ip->netif,
		                    .packet = message };
	if (!quotation_parse(message, &quote) || !stack_is_local_address(stack, quote.source) ||
	    !error_map(&error)) {
		stack->statistics.icmp_bad++;
		return;
	}
	error.local = (struct endpoint){ quote.source, load_be16(quote.transport) };
	error.remote = (struct endpoint){ quote.destination, load_be16(quote.transport + 2) };
	error.sequence = seq(load_be32(quote.transport + 4));
	error.quoted_offset = ICMP_HEADER_BYTES + quote.header_bytes;
	bool too_large =
	        error.type == ICMP_UNREACHABLE && error.code == UNREACHABLE_FRAGMENTATION_NEEDED;
	if (too_large)
		error.mtu = next_hop_mtu(load_be16(message->data + 6), quote.total_length);
	switch (quote.protocol) {
	case IP_PROTOCOL_TCP: /* checks the sequence number before it believes a word, the MTU
	                         included */
		tcp_icmp_error(stack, &error);
		break;
	case IP_PROTOCOL_UDP:
		udp_icmp_error(stack, &error);
		break;
	case IP_PROTOCOL_ICMP:
		if (quote.transport[0] == ICMP_ECHO_REQUEST)
			ping_error(stack, load_be16(quote.transport + 4), error.error);
		break;
	}
}

void icmp_input(struct stack *stack, struct pbuf *message, const struct ip_packet *ip)
{
	stack->statistics.icmp_in++;
	if (unlikely(!list_is_empty(&stack->icmp->raw_sockets)))
		ping_input_raw(stack, message, ip);
	bool looped = message->flags & PBUF_LOOPED;
	if (!looped && checksum_fold(checksum_pbuf(0, message, 0, message->packet_length))) {
		stack->statistics.icmp_bad++;
		pbuf_free(message);
		return;
	}
	uint8_t type = message->data[0];
	if (type < ICMP_TYPES_COUNTED)
		stack->statistics.icmp_in_of_type[type]++;
	switch (type) {
	case ICMP_ECHO_REQUEST:
		echo_reply(stack, message, ip);
		return;
	case ICMP_ECHO_REPLY:
		ping_input(stack, message, ip);
		return;
	case ICMP_UNREACHABLE:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETER_PROBLEM:
		error_input(stack, message, ip);
		break;
	}
	pbuf_free(message);
}
