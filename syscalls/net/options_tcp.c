/* IPPROTO_TCP options (tcp(7)), and what TCP takes of SOL_SOCKET. */
#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "syscalls/net/socket_tcp.h"

#define CONGESTION_NAME_BYTES 16
#define REPAIR_WINDOW_BYTES   20 /* struct tcp_repair_window */
#define WINDOW_CLAMP_MIN      (SOCKET_RECEIVE_BUFFER_MIN / 2)

/* struct tcp_info as of Linux 6.12 (uapi/linux/tcp.h). */
struct user_tcp_info {
	uint8_t state, ca_state, retransmits, probes, backoff, options, wscales, flags;
	uint32_t rto, ato, snd_mss, rcv_mss, unacked, sacked, lost, retrans, fackets;
	uint32_t last_data_sent, last_ack_sent, last_data_recv, last_ack_recv;
	uint32_t pmtu, rcv_ssthresh, rtt, rttvar, snd_ssthresh, snd_cwnd, advmss, reordering;
	uint32_t rcv_rtt, rcv_space, total_retrans;
	uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
	uint32_t segs_out, segs_in, notsent_bytes, min_rtt, data_segs_in, data_segs_out;
	uint64_t delivery_rate, busy_time, rwnd_limited, sndbuf_limited;
	uint32_t delivered, delivered_ce;
	uint64_t bytes_sent, bytes_retrans;
	uint32_t dsack_dups, reord_seen, rcv_ooopack, snd_wnd, rcv_wnd, rehash;
	uint16_t total_rto, total_rto_recoveries;
	uint32_t total_rto_time;
};

_Static_assert(sizeof(struct user_tcp_info) == 248, "struct tcp_info of Linux 6.12");

/* enum tcp_state in the numbers of Linux's <netinet/tcp.h>. */
uint8_t tcp_linux_state(enum tcp_state state)
{
	static const uint8_t number[] = {
		[TCP_CLOSED] = 7,       [TCP_LISTEN] = 10,     [TCP_SYN_SENT] = 2,
		[TCP_SYN_RECEIVED] = 3, [TCP_ESTABLISHED] = 1, [TCP_FIN_WAIT_1] = 4,
		[TCP_FIN_WAIT_2] = 5,   [TCP_CLOSE_WAIT] = 8,  [TCP_CLOSING] = 11,
		[TCP_LAST_ACK] = 9,     [TCP_TIME_WAIT] = 6,
	};
	return number[state];
}

static void fill_information(const struct tcp_connection *connection, struct user_tcp_info *out)
{
	struct tcp_information in;
	tcp_get_information(connection, &in);
	memset(out, 0, sizeof(*out));
	out->state = tcp_linux_state(tcp_get_state(connection));
	out->ca_state = in.ca_state;
	out->retransmits = in.retransmits;
	out->probes = in.probes;
	out->backoff = in.backoff;
	out->options = in.options;
	out->wscales = (uint8_t)((in.snd_wscale & 15) | in.rcv_wscale << 4);
	out->rto = in.rto_us;
	out->ato = in.ato_us;
	out->snd_mss = in.snd_mss;
	out->rcv_mss = in.rcv_mss;
	out->unacked = in.unacked;
	out->sacked = in.sacked;
	out->lost = in.lost;
	out->retrans = in.retrans;
	out->last_data_sent = in.last_data_sent_ms;
	out->last_data_recv = in.last_data_recv_ms;
	out->last_ack_recv = in.last_ack_recv_ms;
	out->pmtu = in.pmtu;
	out->rcv_ssthresh = in.rcv_ssthresh;
	out->rtt = in.rtt_us;
	out->rttvar = in.rttvar_us;
	out->snd_ssthresh = in.snd_ssthresh;
	out->snd_cwnd = in.snd_cwnd;
	out->advmss = in.advmss;
	out->reordering = in.reordering;
	out->rcv_rtt = in.rcv_rtt_us;
	out->rcv_space = in.rcv_space;
	out->total_retrans = in.total_retrans;
	out->pacing_rate = in.pacing_rate;
	out->bytes_acked = in.bytes_acked;
	out->bytes_received = in.bytes_received;
	out->segs_out = in.segs_out;
	out->segs_in = in.segs_in;
	out->notsent_bytes = in.notsent_bytes;
	out->min_rtt = in.min_rtt_us;
	out->data_segs_in = in.data_segs_in;
	out->data_segs_out = in.data_segs_out;
	out->delivery_rate = in.delivery_rate;
	out->delivered = in.delivered;
	out->bytes_sent = in.bytes_sent;
	out->bytes_retrans = in.bytes_retrans;
	out->dsack_dups = in.dsack_dups;
	out->reord_seen = in.reord_seen;
	out->snd_wnd = in.snd_wnd;
	out->rcv_wnd = in.rcv_wnd;
}

/* ---- options that are the library's, one to one ---- */

static int library_option(int name)
{
	switch (name) {
	case TCP_NODELAY:
		return TCP_OPTION_NODELAY;
	case TCP_CORK:
		return TCP_OPTION_CORK;
	case TCP_QUICKACK:
		return TCP_OPTION_QUICKACK;
	case TCP_KEEPIDLE:
		return TCP_OPTION_KEEPIDLE_S;
	case TCP_KEEPINTVL:
		return TCP_OPTION_KEEPINTVL_S;
	case TCP_KEEPCNT:
		return TCP_OPTION_KEEPCNT;
	case TCP_MAXSEG:
		return TCP_OPTION_MAXSEG;
	case TCP_SYNCNT:
		return TCP_OPTION_SYNCNT;
	case TCP_USER_TIMEOUT:
		return TCP_OPTION_USER_TIMEOUT_MS;
	case TCP_DEFER_ACCEPT:
		return TCP_OPTION_DEFER_ACCEPT_S;
	case TCP_LINGER2:
		return TCP_OPTION_LINGER2_S;
	case TCP_WINDOW_CLAMP:
		return TCP_OPTION_WINDOW_CLAMP;
	case TCP_NOTSENT_LOWAT:
		return TCP_OPTION_NOTSENT_LOWAT;
	case TCP_SAVE_SYN:
		return TCP_OPTION_SAVE_SYN;
	default:
		return -1;
	}
}

/* TCP_DEFER_ACCEPT is kept as a number of SYN-ACK retransmissions: seconds become the time that
 * these take. */
static int64_t defer_accept_seconds(int32_t seconds)
{
	if (seconds <= 0)
		return 0;
	int64_t period = 1, timeout = 1;
	for (int count = 1; seconds > period && count < 255; count++) {
		timeout = timeout * 2 > 120 ? 120 : timeout * 2;
		period += timeout;
	}
	return period;
}

/* The value that Linux would keep, or a negative errno in *error. */
static int64_t checked_value(const struct tcp_connection *connection, int name, int32_t value,
                             int *error)
{
	*error = 0;
	switch (name) {
	case TCP_NODELAY:
	case TCP_CORK:
		return value != 0;
	case TCP_QUICKACK: /* bit 0 off: but once */
		return value != 0;
	case TCP_MAXSEG:
		if (value && (value < 88 || value > 32767))
			*error = -EINVAL;
		return value;
	case TCP_DEFER_ACCEPT:
		return defer_accept_seconds(value);
	case TCP_LINGER2:
		/* 0: the default of 60 s; negative: no FIN_WAIT_2, which the library calls 0. */
		return value < 0 ? 0 : value == 0 ? 60 : value > 120 ? 120 : value;
	case TCP_WINDOW_CLAMP:
		if (value == 0 && tcp_get_state(connection) != TCP_CLOSED)
			*error = -EINVAL;
		return value && (uint32_t)value < WINDOW_CLAMP_MIN ? WINDOW_CLAMP_MIN
		                                                   : (uint32_t)value;
	case TCP_NOTSENT_LOWAT:
		return (uint32_t)value;
	default:
		return value;
	}
}

static int set_congestion(struct tcp_connection *connection, const void *value, uint32_t length)
{
	char name[CONGESTION_NAME_BYTES] = "";
	if (length < 1)
		return -EINVAL;
	memcpy(name, value, length < sizeof(name) - 1 ? length : sizeof(name) - 1);
	return tcp_set_congestion(connection, name);
}

/* The connection knows how much can come to wait in it. */
static int set_lowat(struct socket *socket, struct tcp_connection *connection)
{
	struct socket_options *options = socket_options_change(socket);
	int error = tcp_set_option(connection, TCP_OPTION_RECEIVE_LOWAT, options->receive_lowat);
	options->receive_lowat = (uint32_t)tcp_get_option(connection, TCP_OPTION_RECEIVE_LOWAT);
	return error;
}

static int set_common(struct socket *socket, int name)
{
	const struct socket_options *options = socket->options;
	struct tcp_connection *connection = tcp_socket_of(socket)->connection;
	switch (name) {
	case SO_REUSEADDR:
	case SO_REUSEPORT:
		tcp_set_reuse(connection, options->reuse_address, options->reuse_port);
		return 0;
	case SO_KEEPALIVE:
		return tcp_set_option(connection, TCP_OPTION_KEEPALIVE, options->keepalive);
	case SO_DONTROUTE:
		return tcp_set_option(connection, TCP_OPTION_ON_LINK_ONLY, options->dont_route);
	case SO_OOBINLINE:
		return tcp_set_option(connection, TCP_OPTION_OOB_INLINE, options->oob_inline);
	case SO_LINGER:
		return tcp_set_option(connection, TCP_OPTION_LINGER_S, options->linger_s);
	case SO_RCVLOWAT:
		return set_lowat(socket, connection);
	case SO_SNDBUF:
	case SO_SNDBUFFORCE:
		return tcp_set_option(connection, TCP_OPTION_SEND_BUFFER, options->send_buffer);
	case SO_RCVBUF:
	case SO_RCVBUFFORCE:
		return tcp_set_option(connection, TCP_OPTION_RECEIVE_BUFFER,
		                      options->receive_buffer);
	default:
		return 0;
	}
}

static int set_tcp_level(struct tcp_socket *tcp, int name, const void *value, uint32_t length)
{
	if (name == TCP_CONGESTION)
		return set_congestion(tcp->connection, value, length);
	if (name == TCP_ULP)
		return length ? -ENOENT : -EINVAL;
	int32_t number;
	int error = option_int(value, length, &number);
	if (error)
		return error;
	enum tcp_state state = tcp_get_state(tcp->connection);
	switch (name) {
	case TCP_FASTOPEN: /* servers do not offer it (as tcp_fastopen without its bit 2), but may
	                      ask */
		if (number < 0 || (state != TCP_CLOSED && state != TCP_LISTEN))
			return -EINVAL;
		tcp->fastopen_queue = number;
		return 0;
	case TCP_FASTOPEN_CONNECT:
	case TCP_FASTOPEN_NO_COOKIE: /* no SYN carries data: kept, but not at any time */
		if (number < 0 || number > 1 ||
		    (state != TCP_CLOSED && (state != TCP_LISTEN || name == TCP_FASTOPEN_CONNECT)))
			return -EINVAL;
		break;
	case TCP_THIN_DUPACK: /* Linux: taken and forgotten */
		return number < 0 || number > 1 ? -EINVAL : 0;
	case TCP_REPAIR:
		if (!socket_admin())
			return -EPERM;
		return number == 0 ? 0 : number == 1 ? -EPERM : -EINVAL;
	case TCP_TIMESTAMP: /* in repair only */
		return -EPERM;
	case TCP_REPAIR_QUEUE: /* all of these in repair only, which is refused */
	case TCP_REPAIR_WINDOW:
		return -EPERM;
	case TCP_QUEUE_SEQ:
		return state == TCP_CLOSED ? -EINVAL : -EPERM;
	case TCP_REPAIR_OPTIONS:
		return -EINVAL;
	case TCP_INQ:
		if (number < 0 || number > 1)
			return -EINVAL;
		tcp->tells_unread = number != 0;
		return 0;
	default:
		break;
	}
	int option = library_option(name);
	if (option < 0)
		return -ENOPROTOOPT;
	int64_t checked = checked_value(tcp->connection, name, number, &error);
	return error ? error : tcp_set_option(tcp->connection, (enum tcp_option)option, checked);
}

int tcp_socket_set_option(struct socket *socket, int level, int name, const void *value,
                          uint32_t length)
{
	switch (level) {
	case SOL_SOCKET:
		return set_common(socket, name);
	case IPPROTO_IP:
		return ip_set_option(socket, name, value, length);
	case IPPROTO_TCP:
		return set_tcp_level(tcp_socket_of(socket), name, value, length);
	default:
		return -ENOPROTOOPT;
	}
}

/* Read once. What has no room stays, and its size is told. */
static int get_saved_syn(struct tcp_connection *connection, void *value, uint32_t *length)
{
	uint32_t room = *length;
	const uint8_t *headers = tcp_saved_syn(connection, length);
	if (!headers) {
		*length = 0;
		return 0;
	}
	if (room < *length)
		return -EINVAL;
	memcpy(value, headers, *length);
	tcp_forget_saved_syn(connection);
	return 0;
}

static int get_tcp_level(struct tcp_socket *tcp, int name, void *value, uint32_t *length)
{
	switch (name) {
	case TCP_INFO: {
		struct user_tcp_info information;
		fill_information(tcp->connection, &information);
		information.max_pacing_rate = tcp->socket.options->pacing_rate;
		if (information.pacing_rate > information.max_pacing_rate)
			information.pacing_rate = information.max_pacing_rate;
		if (*length > sizeof(information))
			*length = sizeof(information);
		memcpy(value, &information, *length);
		return 0;
	}
	case TCP_CONGESTION: {
		char congestion[CONGESTION_NAME_BYTES] = "";
		const char *name = tcp_get_congestion(tcp->connection);
		memcpy(congestion, name, strnlen(name, sizeof(congestion) - 1));
		if (*length > sizeof(congestion))
			*length = sizeof(congestion);
		memcpy(value, congestion, *length);
		return 0;
	}
	case TCP_ULP:
		*length = 0;
		return 0;
	case TCP_FASTOPEN:
		return option_put_int(value, length, tcp->fastopen_queue);
	case TCP_SAVED_SYN:
		return get_saved_syn(tcp->connection, value, length);
	case TCP_THIN_DUPACK:
	case TCP_REPAIR:
	case TCP_IS_MPTCP:
		return option_put_int(value, length, 0);
	case TCP_CC_INFO: /* nothing to tell */
		*length = 0;
		return 0;
	case TCP_REPAIR_QUEUE:
	case TCP_QUEUE_SEQ:
		return -EINVAL;
	case TCP_REPAIR_WINDOW:
		return *length == REPAIR_WINDOW_BYTES ? -EPERM : -EINVAL;
	case TCP_TIMESTAMP:
		return option_put_int(value, length, (int32_t)tcp_timestamp(tcp->connection));
	case TCP_INQ:
		return option_put_int(value, length, tcp->tells_unread);
	case TCP_ZEROCOPY_RECEIVE: /* no address is a mapping of a connection */
		return -EINVAL;
	default:
		break;
	}
	int option = library_option(name);
	if (option < 0)
		return -ENOPROTOOPT;
	int64_t number = tcp_get_option(tcp->connection, (enum tcp_option)option);
	if (name == TCP_LINGER2 && number == 0)
		number = -1;
	return option_put_int(value, length, (int32_t)number);
}

int tcp_socket_get_option(struct socket *socket, int level, int name, void *value, uint32_t *length)
{
	struct tcp_socket *tcp = tcp_socket_of(socket);
	switch (level) {
	case SOL_SOCKET:
		if (name == SO_SNDBUF || name == SO_RCVBUF) {
			enum tcp_option option = name == SO_SNDBUF ? TCP_OPTION_SEND_BUFFER
			                                           : TCP_OPTION_RECEIVE_BUFFER;
			int64_t bytes = tcp_get_option(tcp->connection, option);
			return option_put_int(value, length, (int32_t)bytes);
		}
		return -ENOPROTOOPT;
	case IPPROTO_IP:
		return ip_get_option(socket, name, value, length);
	case IPPROTO_TCP:
		return get_tcp_level(tcp, name, value, length);
	default:
		return -EOPNOTSUPP;
	}
}
