/* What UDP and ping sockets share. */
#include "syscalls/net/datagram.h"

#include <errno.h>
#include <string.h>

#include "syscalls/net.h"

enum { TIMESTAMPING_SOFTWARE = 0x10 };

bool datagram_fill(struct pbuf *payload, struct uio *uio)
{
	for (struct pbuf *piece = payload; piece; piece = piece->next) {
		if (uio_copy_in(uio, piece->data, piece->length) < piece->length)
			return false;
	}
	return true;
}

long datagram_copy(const struct udp_datagram *datagram, uint32_t offset, struct uio *uio)
{
	long copied = 0;
	for (const struct pbuf *piece = datagram->payload; piece && uio->remaining;
	     piece = piece->next) {
		uint32_t skip = offset < piece->length ? offset : piece->length;
		size_t step = piece->length - skip;
		if (step > uio->remaining)
			step = uio->remaining;
		if (uio_copy_out(uio, piece->data + skip, step) < step)
			return -EFAULT;
		copied += (long)step;
		offset -= skip;
	}
	return copied;
}

void datagram_put_time(const struct socket_options *options, struct control_writer *writer,
                       uint64_t wall_ns)
{
	int64_t second = (int64_t)(wall_ns / 1000000000), ns = (int64_t)(wall_ns % 1000000000);
	bool micro = options->timestamp == SO_TIMESTAMP || options->timestamp == SO_TIMESTAMP_NEW;
	int64_t plain[2] = { second, micro ? ns / 1000 : ns };
	if (options->timestamp)
		control_put(writer, SOL_SOCKET, options->timestamp, plain, sizeof(plain));
	/* SCM_TIMESTAMPING has three: of software, unused, of the card */
	int64_t three[6] = { second, ns };
	if (options->timestamping & TIMESTAMPING_SOFTWARE)
		control_put(writer, SOL_SOCKET, SO_TIMESTAMPING, three, sizeof(three));
}

static void put_address(uint8_t *to, struct ipv4_address address)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t)(address.value >> (24 - 8 * i));
}

/* The address that an answer would come from: of ours, the one it was sent to, or for groups the
 * one that leads to the sender (Linux's fib_compute_spec_dst). */
static struct ipv4_address answering_address(const struct udp_datagram *datagram)
{
	struct ipv4_address source = datagram->source.address,
	                    destination = datagram->destination.address;
	if (!ipv4_is_limited_broadcast(destination) && !ipv4_is_multicast(destination))
		return destination;
	const struct netif *sender = stack_netif_by_address(net_stack(this_hart()), source);
	const struct netif *netif = sender ? sender : datagram->netif;
	return netif ? netif->address : destination;
}

void datagram_put_control(const struct socket_options *options, struct control_writer *writer,
                          const struct udp_datagram *datagram)
{
	datagram_put_time(options, writer, datagram->wall_ns);
	if (options->kept[KEPT_RXQ_OVFL] && datagram->dropped)
		control_put(writer, SOL_SOCKET, SO_RXQ_OVFL, &datagram->dropped,
		            sizeof(datagram->dropped));
	if (options->kept[KEPT_RCVMARK]) {
		const uint32_t mark = 0; /* packets carry none */
		control_put(writer, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	}
	if (options->packet_information) {
		uint8_t information[12];
		uint32_t index = interface_index(datagram->netif);
		memcpy(information, &index, sizeof(index));
		put_address(information + 4, answering_address(datagram));
		put_address(information + 8, datagram->destination.address);
		control_put(writer, IPPROTO_IP, IP_PKTINFO, information, sizeof(information));
	}
	if (options->receive_ttl) {
		int32_t ttl = datagram->ttl;
		control_put(writer, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
	}
	if (options->receive_tos)
		control_put(writer, IPPROTO_IP, IP_TOS, &datagram->tos, sizeof(datagram->tos));
	if (options->receive_original) {
		struct socket_name name;
		inet_name_make(&name, datagram->destination);
		control_put(writer, IPPROTO_IP, IP_RECVORIGDSTADDR, &name.inet, sizeof(name.inet));
	}
}

void datagram_put_error(struct control_writer *writer, const struct queued_error *error)
{
	struct {
		uint32_t error;
		uint8_t origin, type, code, padding;
		uint32_t information, data;
		struct sockaddr_in offender;
	} extended;
	_Static_assert(sizeof(extended) == 32, "struct sock_extended_err and the offender");
	memset(&extended, 0, sizeof(extended));
	extended.error = (uint32_t)error->error;
	extended.origin = error->origin;
	extended.type = error->type;
	extended.code = error->code;
	extended.information = error->information;
	extended.data = error->data;
	if (error->origin == ERROR_ORIGIN_ICMP) {
		struct socket_name offender;
		inet_name_make(&offender, (struct endpoint){ error->offender, 0 });
		extended.offender = offender.inet;
	}
	control_put(writer, IPPROTO_IP, IP_RECVERR, &extended, sizeof(extended));
}

long datagram_receive_error(struct message *message, const struct queued_error *error)
{
	long result = 0;
	if (error->payload) {
		const struct udp_datagram datagram = { .payload = error->payload };
		result = datagram_copy(&datagram, 0, message->uio);
		if (result >= 0 && (uint32_t)result < error->payload->packet_length)
			message->out_flags |= MSG_TRUNC;
		pbuf_free(error->payload);
	}
	if (message->control)
		datagram_put_error(message->control, error);
	if (message->name)
		inet_name_make(message->name, error->remote);
	message->out_flags |= MSG_ERRQUEUE;
	return result;
}
