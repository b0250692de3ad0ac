/* Datagrams on their way out: where to, with which options, and those that grow over several calls
 * (MSG_MORE, UDP_CORK: udp(7)). */
#include <errno.h>
#include <string.h>

#include "core/memory.h"
#include "syscalls/net.h"
#include "syscalls/net/control.h"
#include "syscalls/net/datagram.h"
#include "syscalls/net/socket_udp.h"

#define UDP_LENGTH_MAX  65535u
#define UDP_PAYLOAD_MAX (UDP_LENGTH_MAX - 28)
#define SEGMENTS_MAX    128u /* of one send; Linux: UDP_MAX_SEGMENTS */

/* What is known of a datagram before its bytes. */
struct outgoing {
	bool named; /* else to the peer */
	struct endpoint to;
	struct udp_send_options options;
	uint32_t segment; /* bytes of each datagram that the bytes are cut into; 0: they are one */
};

/* The first call decides where it goes, the later ones add bytes. */
struct udp_cork {
	struct outgoing outgoing;
	struct pbuf *payload;
};

void udp_cork_drop(struct udp_file_socket *udp)
{
	if (!udp->cork)
		return;
	pbuf_free(udp->cork->payload);
	heap_free(udp->cork);
	udp->cork = NULL;
}

static int send_payload(struct udp_file_socket *udp, const struct outgoing *outgoing,
                        struct pbuf *payload)
{
	int error = udp_send(udp->udp, outgoing->named ? &outgoing->to : NULL, payload,
	                     &outgoing->options);
	/* As Linux: that it is gone is an event, even where there was room before (EPOLLET). */
	if (!error)
		file_notify(&udp->socket.file,
		            socket_poll_bits(POLLOUT) | POLLWRBAND | FILE_TELL_NOTHING);
	return error;
}

/* ---- a send that is cut into datagrams (UDP_SEGMENT) ---- */

static void segments_drop(struct list *segments)
{
	struct list_node *node;
	while ((node = list_pop_front(segments)))
		pbuf_free(list_entry(node, struct pbuf, link));
}

/* Everything is copied before anything is sent. -ENOBUFS, -EFAULT: nothing is left in the list. */
static int segments_fill(struct udp_file_socket *udp, uint32_t segment, struct uio *uio,
                         struct list *segments)
{
	while (uio->remaining) {
		uint32_t bytes = uio->remaining < segment ? (uint32_t)uio->remaining : segment;
		struct pbuf *payload = udp_payload_alloc(udp->udp, bytes);
		bool filled = payload && datagram_fill(payload, uio);
		if (payload)
			list_push_back(segments, &payload->link);
		if (!filled) {
			segments_drop(segments);
			return payload ? -EFAULT : -ENOBUFS;
		}
	}
	return 0;
}

/* All of the bytes, or, when the ring has room for some datagrams only, -EAGAIN with the uio behind
 * those. What fails behind the first is lost on the way, as it might be on the wire. */
static long segments_send(struct udp_file_socket *udp, const struct outgoing *outgoing,
                          struct uio *uio)
{
	struct list segments;
	struct list_node *node;
	uint64_t bytes = uio->remaining;
	bool first = uio->done == 0;
	if (bytes > UDP_PAYLOAD_MAX)
		return -EMSGSIZE;
	if (bytes > outgoing->segment * (uint64_t)SEGMENTS_MAX || udp->socket.options->no_check)
		return -EINVAL;
	list_init(&segments);
	int error = segments_fill(udp, outgoing->segment, uio, &segments);
	uint64_t unsent = bytes;
	while (!error && (node = list_pop_front(&segments))) {
		struct pbuf *payload = list_entry(node, struct pbuf, link);
		uint32_t length = payload->packet_length;
		error = send_payload(udp, outgoing, payload);
		if (error && error != -EAGAIN && !first)
			error = 0;
		if (!error)
			unsent -= length;
		first = false;
	}
	segments_drop(&segments);
	if (error == -EAGAIN)
		uio_rewind(uio, unsent);
	return error ? error : (long)uio->done;
}

/* What has come together in a kernel buffer. */
static int send_gathered(struct udp_file_socket *udp, const struct outgoing *outgoing,
                         struct pbuf *payload)
{
	if (!outgoing->segment || !payload->length)
		return send_payload(udp, outgoing, payload);
	struct uio uio;
	uio_init_kernel(&uio, payload->data, payload->length);
	long result = segments_send(udp, outgoing, &uio);
	pbuf_free(payload);
	return result < 0 ? (int)result : 0;
}

int udp_cork_send(struct udp_file_socket *udp)
{
	struct udp_cork *cork = udp->cork;
	if (!cork)
		return 0;
	udp->cork = NULL;
	int error = send_gathered(udp, &cork->outgoing, cork->payload);
	heap_free(cork);
	return error == -EAGAIN       ? -ENOBUFS
	       : error == -EADDRINUSE ? -EAGAIN
	                              : error; /* it is gone, and can't be tried again */
}

static int destination(const struct udp_file_socket *udp, const struct socket_name *name,
                       struct outgoing *out)
{
	out->named = name != NULL;
	if (!name)
		return ipv4_is_any(udp_remote(udp->udp).address) ? -EDESTADDRREQ : 0;
	if (name->length < sizeof(struct sockaddr_in))
		return -EINVAL;
	if (name->family != AF_INET && name->family != AF_UNSPEC)
		return -EAFNOSUPPORT;
	struct socket_name inet = *name;
	inet.family = AF_INET;
	int error = inet_name_parse(&inet, &out->to);
	if (!error && out->to.port == 0)
		return -EINVAL;
	if (ipv4_is_any(out->to.address))
		out->to.address = ipv4(127, 0, 0, 1);
	return error;
}

static void choose_options(const struct socket_options *options, const struct send_control *control,
                           uint32_t flags, struct udp_send_options *out)
{
	*out = (struct udp_send_options){
		.ttl = options->ttl > 0 ? (uint8_t)options->ttl : 0,
		.tos = options->tos,
		.broadcast_allowed = options->broadcast,
		.on_link_only = flags & MSG_DONTROUTE,
		.dont_fragment = options->mtu_discover == IP_PMTUDISC_DO ||
		                 options->mtu_discover == IP_PMTUDISC_PROBE ||
		                 options->mtu_discover == IP_PMTUDISC_INTERFACE,
		.may_fragment = options->mtu_discover == IP_PMTUDISC_DONT ||
		                options->mtu_discover == IP_PMTUDISC_INTERFACE ||
		                options->mtu_discover == IP_PMTUDISC_OMIT,
	};
	if (!control)
		return;
	out->source = control->source;
	out->source_is_told = control->has_information;
	out->interface = (uint8_t)control->interface;
	out->ttl_is_told = control->ttl > 0;
	out->ttl = control->ttl > 0 ? (uint8_t)control->ttl : out->ttl;
	out->tos = control->tos >= 0 ? (uint8_t)control->tos : out->tos;
}

/* All that can be wrong before a byte is touched. */
static int prepare(struct udp_file_socket *udp, const struct message *message, struct outgoing *out)
{
	int error = destination(udp, message->name, out);
	if (error)
		return error;
	if (message->sent && message->sent->interface &&
	    !interface_by_index(message->sent->interface))
		return -ENODEV;
	error = udp_take_error(udp->udp);
	if (error)
		return -error;
	if (udp->socket.shut & SOCKET_SHUT_SEND)
		return -EPIPE;
	choose_options(udp->socket.options, message->sent, message->flags, &out->options);
	const struct send_control *control = message->sent;
	out->segment = control && control->segment >= 0 ? (uint32_t)control->segment : udp->segment;
	out->options.segment = out->segment != 0;
	return 0;
}

/* A buffer as large as any datagram, for it is not known how far it grows. */
static int cork_start(struct udp_file_socket *udp, const struct outgoing *outgoing)
{
	struct udp_cork *cork = heap_alloc(sizeof(*cork));
	if (!cork)
		return -ENOBUFS;
	cork->outgoing = *outgoing;
	cork->payload = udp_payload_alloc(udp->udp, UDP_PAYLOAD_MAX);
	if (!cork->payload) {
		heap_free(cork);
		return -ENOBUFS;
	}
	cork->payload->length = cork->payload->packet_length = 0;
	udp->cork = cork;
	return 0;
}

/* As Linux: what can't be added takes all of the datagram with it. */
static long cork_add(struct udp_file_socket *udp, struct uio *uio)
{
	struct pbuf *payload = udp->cork->payload;
	uint64_t bytes = uio->remaining;
	int error = 0;
	if (bytes > UDP_PAYLOAD_MAX - payload->length)
		error = -EMSGSIZE;
	else if (uio_copy_in(uio, payload->data + payload->length, bytes) < bytes)
		error = -EFAULT;
	if (error) {
		udp_cork_drop(udp);
		return error;
	}
	payload->length += (uint32_t)bytes;
	payload->packet_length = payload->length;
	return (long)bytes;
}

static long send_corked(struct udp_file_socket *udp, struct message *message)
{
	if (!udp->cork) {
		struct outgoing outgoing;
		int error = prepare(udp, message, &outgoing);
		if (!error)
			error = cork_start(udp, &outgoing);
		if (error)
			return error;
	}
	long result = cork_add(udp, message->uio);
	if (result < 0 || udp->corked || message->flags & MSG_MORE)
		return result;
	int error = udp_cork_send(udp);
	return error ? error : result;
}

static long send_at_once(struct udp_file_socket *udp, struct message *message)
{
	struct uio *uio = message->uio;
	uint64_t bytes = uio->remaining;
	struct outgoing outgoing;
	int error = prepare(udp, message, &outgoing);
	if (error)
		return error;
	if (outgoing.segment && bytes) {
		long sent = segments_send(udp, &outgoing, uio);
		if (sent == -EAGAIN)
			net_want_completions(this_hart());
		/* Who does not wait has sent it: the rest is lost, as in a queue. */
		bool started = sent == -EAGAIN && uio->done;
		return started && message->flags & MSG_DONTWAIT ? (long)bytes : sent;
	}
	if (bytes > UDP_PAYLOAD_MAX)
		return -EMSGSIZE;
	struct pbuf *payload = udp_payload_alloc(udp->udp, (uint32_t)bytes);
	if (!payload)
		return -ENOBUFS;
	if (!datagram_fill(payload, uio)) {
		pbuf_free(payload);
		return -EFAULT;
	}
	error = send_payload(udp, &outgoing, payload);
	if (error == -EADDRINUSE) { /* as Linux has it; nobody waits for a port */
		message->flags |= MSG_DONTWAIT;
		return -EAGAIN;
	}
	if (error == -EAGAIN) {
		uio_rewind(uio, bytes);
		net_want_completions(this_hart());
	}
	return error ? error : (long)bytes;
}

long udp_send_message(struct udp_file_socket *udp, struct message *message)
{
	if (message->uio->remaining > UDP_LENGTH_MAX)
		return -EMSGSIZE;
	if (message->flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (!(udp_readiness(udp->udp) & NET_WRITABLE)) {
		net_want_completions(this_hart());
		return -EAGAIN;
	}
	if (udp->cork || udp->corked || message->flags & MSG_MORE)
		return send_corked(udp, message);
	return send_at_once(udp, message);
}
