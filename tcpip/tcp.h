/*
 * TCP connections and listeners as the layer above sees them (RFC 9293; what is implemented: docs/FEATURES.md).
 *
 * A connection handle belongs to its opener (tcp_open, tcp_accept) until tcp_close; the protocol's own state lives on
 * afterwards (FIN_WAIT, LAST_ACK, TIME_WAIT) without it. `event` tells that readiness may have changed; it must only note
 * it (post, wake): it must not call tcp_close on the same connection. Readiness itself is always recomputed by tcp_readiness.
 *
 * Nothing is transmitted by the calls themselves: they link the connection on the stack's output list and stack_flush builds the
 * segments, so that ACKs ride on data and many writes make one segment.
 */
#pragma once

#include "tcpip/error_queue.h"
#include "tcpip/group.h"

struct tcp_connection;

typedef void tcp_event(void *context, uint32_t readiness_that_may_have_changed);

enum tcp_state {
	TCP_CLOSED,
	TCP_LISTEN,
	TCP_SYN_SENT,
	TCP_SYN_RECEIVED,
	TCP_ESTABLISHED,
	TCP_FIN_WAIT_1,
	TCP_FIN_WAIT_2,
	TCP_CLOSE_WAIT,
	TCP_CLOSING,
	TCP_LAST_ACK,
	TCP_TIME_WAIT,
};

int tcp_open(struct stack *stack, struct tcp_connection **out, tcp_event *event, void *context);
/* Later owners (accept) set their own. */
void tcp_set_event(struct tcp_connection *connection, tcp_event *event, void *context);
/* Port 0: chosen now (RFC 6056). -EADDRINUSE, -EADDRNOTAVAIL, -EINVAL. Reuse rules as Linux's for TCP. */
int tcp_bind(struct tcp_connection *connection, struct endpoint local, bool reuse_address,
             bool reuse_port);
/* What tcp_bind was told of reuse, changed: it counts for whoever binds to the port from now on. */
void tcp_set_reuse(struct tcp_connection *connection, bool reuse_address, bool reuse_port);
/* backlog as listen(2): accept queue holds backlog + 1. May be called again to change it. -EADDRINUSE, -EINVAL. Unbound: takes
 * an ephemeral port. */
int tcp_listen(struct tcp_connection *connection, int backlog);
/* The next established connection, whose owner the caller becomes (set its event); NULL: none. Its buffer sizes and options are
 * inherited from the listener. */
struct tcp_connection *tcp_accept(struct tcp_connection *listener);
/* The multicast groups that it is a member of until tcp_close, which is all that comes of it. NULL: no
 * memory. */
struct group_set *tcp_groups(struct tcp_connection *connection);
/* Of an accepted connection: the headers of the SYN that opened it, if its listener kept them
 * (TCP_OPTION_SAVE_SYN); NULL: none. They are valid until they are forgotten. */
const uint8_t *tcp_saved_syn(const struct tcp_connection *connection, uint32_t *bytes);
void tcp_forget_saved_syn(struct tcp_connection *connection);
/* Starts the handshake: 0 means it is under way (NET_WRITABLE, or NET_ERROR with the reason, will follow). -EISCONN,
 * -EALREADY, -ENETUNREACH, -EADDRNOTAVAIL (no port left), -EINVAL (a loopback address towards the outside), -ECONNREFUSED never
 * (that comes later). */
int tcp_connect(struct tcp_connection *connection, struct endpoint remote);
/* Whatever it is, it becomes unconnected, as connect(2) to AF_UNSPEC makes it: bound where it was bound by name, its options kept,
 * ECONNRESET pending when a connection ended. Another object may take its place. -ENOBUFS: nothing was done. */
int tcp_disconnect(struct tcp_connection **connection);

/* ---- sending: the one copy of the transmit path is made by the caller into the room that reserve names ---- */

/* At least 1 and at most `want` contiguous bytes of room at *room: valid until the next call on this connection. -EAGAIN: send buffer
 * full (NET_WRITABLE follows), -EPIPE: shut or closed, -ENOTCONN, -ENOBUFS: pool exhausted (NET_WRITABLE follows when memory is
 * back). A pending error is returned instead (and cleared). */
int64_t tcp_send_reserve(struct tcp_connection *connection, uint64_t want, uint8_t **room);
/* `bytes` of the reserved room were filled. */
void tcp_send_commit(struct tcp_connection *connection, uint32_t bytes, bool more /* MSG_MORE */);
/* The last byte written is urgent (MSG_OOB). */
void tcp_send_urgent(struct tcp_connection *connection);
/* Take whole buffers by reference instead of copying (sendfile from pages that do not change): the chain's bytes are appended;
 * takes the reference. -EAGAIN etc. as above (the chain is then still the caller's). */
int tcp_send_pbuf(struct tcp_connection *connection, struct pbuf *data, bool more);

/* The same for few bytes on an open connection: where they go, or NULL when tcp_send_reserve has to
 * be asked. tcp_send_commit, or nothing, follows. */
uint8_t *tcp_send_room(struct tcp_connection *connection, uint64_t bytes);

/* ---- receiving: the one copy of the receive path is made by the caller out of the bytes that peek names ---- */

/* The contiguous bytes at `offset` into the unread stream: their count (> 0) and address; 0: end of stream; -EAGAIN: nothing yet;
 * -ENOTCONN; a pending error (cleared) otherwise. Valid until the next call on this connection. */
int64_t tcp_receive_peek(struct tcp_connection *connection, uint64_t offset, const uint8_t **bytes);
/* The unread bytes that lie first in one piece, at least one; NULL when there are none or
 * tcp_receive_peek has more to say. */
const uint8_t *tcp_receive_piece(const struct tcp_connection *connection, uint32_t *bytes);
/* `bytes` of the stream are done with: buffers are freed, the window opens. */
void tcp_receive_consume(struct tcp_connection *connection, uint64_t bytes);
uint64_t tcp_last_arrival(const struct tcp_connection *connection); /* of data; monotonic ns */
uint64_t tcp_receive_available(const struct tcp_connection *connection); /* FIONREAD */
/* Urgent data (MSG_OOB): the byte, or -EINVAL / -EAGAIN. */
int tcp_receive_urgent(struct tcp_connection *connection, bool peek);
bool tcp_at_urgent_mark(const struct tcp_connection *connection);

/* ---- end of life ---- */

/* SHUT_RD / SHUT_WR / both, as shutdown(2). -ENOTCONN. */
int tcp_shutdown(struct tcp_connection *connection, bool receive, bool send);
/* The owner lets go. Unread data or linger 0: RST; else FIN after what is queued. The event is never called again. */
void tcp_close(struct tcp_connection *connection);
/* For SO_LINGER > 0 close: true once nothing unacknowledged is left (FIN acknowledged). */
bool tcp_is_drained(const struct tcp_connection *connection);
void tcp_abort(struct tcp_connection *connection); /* RST now; still owned, tcp_close follows */

/* ---- state ---- */

uint32_t tcp_readiness(const struct tcp_connection *connection); /* enum net_readiness, also for listeners */
int tcp_take_error(struct tcp_connection *connection);           /* positive errno, cleared: SO_ERROR */
/* As Linux's SO_ERROR: if there is none, what an ICMP message said that did not end the connection,
 * which is then not what a timeout will tell. */
int tcp_take_error_or_hint(struct tcp_connection *connection);
bool tcp_error_is_pending(const struct tcp_connection *connection);
/* The oldest of what ICMP said while it connected; the payload, from TCP's header on, becomes the
 * caller's. False: none. While there are any, readiness has NET_ERROR. */
bool tcp_take_kept_error(struct tcp_connection *connection, struct queued_error *out);
void tcp_set_error(struct tcp_connection *connection, int error);
enum tcp_state tcp_get_state(const struct tcp_connection *connection);
struct endpoint tcp_local(const struct tcp_connection *connection);
struct endpoint tcp_remote(const struct tcp_connection *connection);
uint64_t tcp_send_queue_bytes(const struct tcp_connection *connection); /* SIOCOUTQ: not yet acknowledged */

enum tcp_option {            /* unit of the value */
	TCP_OPTION_NODELAY,  /* bool */
	TCP_OPTION_CORK,     /* bool; clearing pushes */
	TCP_OPTION_QUICKACK, /* bool */
	TCP_OPTION_KEEPALIVE,          /* bool */
	TCP_OPTION_KEEPIDLE_S,         /* 1..32767 [7200] */
	TCP_OPTION_KEEPINTVL_S,        /* 1..32767 [75] */
	TCP_OPTION_KEEPCNT,            /* 1..127 [9] */
	TCP_OPTION_MAXSEG,             /* bytes */
	TCP_OPTION_SYNCNT,             /* 1..127 [6] */
	TCP_OPTION_USER_TIMEOUT_MS,    /* 0: default */
	TCP_OPTION_DEFER_ACCEPT_S,     /* 0: off */
	TCP_OPTION_LINGER2_S,          /* FIN_WAIT_2 timeout [60] */
	TCP_OPTION_WINDOW_CLAMP,       /* bytes */
	TCP_OPTION_NOTSENT_LOWAT,      /* bytes */
	TCP_OPTION_RECEIVE_BUFFER,     /* bytes; setting it turns autotuning off */
	TCP_OPTION_SEND_BUFFER,        /* bytes; same */
	TCP_OPTION_RECEIVE_LOWAT,      /* bytes [1] */
	TCP_OPTION_LINGER_S,           /* -1: off; 0: RST on close */
	TCP_OPTION_TOS,
	TCP_OPTION_TTL,
	TCP_OPTION_FREE_BIND,          /* bool; bind takes addresses that are not ours */
	TCP_OPTION_BIND_NO_PORT,       /* bool; bind to port 0 leaves the port to connect and listen */
	TCP_OPTION_ON_LINK_ONLY,       /* bool; connect goes through no gateway (SO_DONTROUTE) */
	TCP_OPTION_TELL_ERRORS,        /* bool; ICMP errors are told at once, once connected (IP_RECVERR) */
	TCP_OPTION_INTERFACE,          /* index; it hears and sends by that alone (SO_BINDTODEVICE); 0: any */
	TCP_OPTION_MIN_TTL,            /* 0..255; segments with less are dropped (IP_MINTTL, RFC 5082) */
	TCP_OPTION_PORT_RANGE,         /* last << 16 | first; ephemeral ports for bind and connect */
	TCP_OPTION_OOB_INLINE,
	TCP_OPTION_SAVE_SYN,           /* 0..2: SYNs' headers are kept, from IP's or Ethernet's on */
};
/* What the next segment's timestamp would be (RFC 7323). */
uint32_t tcp_timestamp(const struct tcp_connection *connection);
/* -EINVAL out of range. */
int tcp_set_option(struct tcp_connection *connection, enum tcp_option option, int64_t value);
int64_t tcp_get_option(const struct tcp_connection *connection, enum tcp_option option);

/* "cubic" or "reno" (TCP_CONGESTION): -ENOENT if it is neither. A listener's is inherited. */
int tcp_set_congestion(struct tcp_connection *connection, const char *name);
const char *tcp_get_congestion(const struct tcp_connection *connection);
/* What connections opened from now on have (net.ipv4.tcp_congestion_control) [cubic]. */
int tcp_set_default_congestion(struct stack *stack, const char *name);
const char *tcp_get_default_congestion(const struct stack *stack);

/* Truthful figures for TCP_INFO (tcp(7)). Times in microseconds, sizes in bytes, cwnd in segments. */
struct tcp_information {
	uint8_t state, ca_state, retransmits, probes, backoff, options, snd_wscale, rcv_wscale;
	uint32_t rto_us, ato_us, snd_mss, rcv_mss, unacked, sacked, lost, retrans;
	uint32_t last_data_sent_ms, last_data_recv_ms, last_ack_recv_ms;
	uint32_t pmtu, rcv_ssthresh, rtt_us, rttvar_us, snd_ssthresh, snd_cwnd, advmss, reordering;
	uint32_t rcv_rtt_us, rcv_space, total_retrans, min_rtt_us, segs_out, segs_in;
	uint32_t notsent_bytes, snd_wnd, rcv_wnd, data_segs_in, data_segs_out, delivered;
	uint32_t dsack_dups, reord_seen;
	uint64_t bytes_acked, bytes_received, bytes_sent, bytes_retrans, delivery_rate;
	uint64_t pacing_rate; /* bytes a second: what Linux would pace by; nothing is paced */
};
/* ---- all of them: listeners first, then what has a peer, half-open connections, orphans and TIME_WAITs included ---- */

enum tcp_row_timer { TCP_ROW_NONE, TCP_ROW_RETRANSMIT, TCP_ROW_KEEPALIVE, TCP_ROW_TIME_WAIT, TCP_ROW_PROBE };
struct tcp_row {
	struct endpoint local, remote;
	enum tcp_state state;
	const struct tcp_connection *connection; /* NULL: a half-open one or a TIME_WAIT */
	/* Context of tcp_set_event, of a half-open one its listener's; NULL: nobody's, or not accepted yet. */
	void *owner;
	uint32_t send_queue;   /* sequence numbers that are not acknowledged, or not sent yet */
	uint32_t receive_queue; /* bytes unread; of a listener: connections to accept */
	enum tcp_row_timer timer;
	uint64_t timer_left_ns;
	uint32_t retransmits, probes;
	uint8_t quick_acks; /* that are left */
	bool pingpong;      /* ACKs wait for data to ride on */
};
/* Shows `visit` the rows from *position on (0: from the first), until it returns false or enough was looked through for one go,
 * which may show none. False: that was the last. Else *position is where to go on. Connections that are there all the time
 * are shown once, whatever comes and goes in between. */
bool tcp_walk(const struct stack *stack, uint64_t *position, bool (*visit)(void *context, const struct tcp_row *row), void *context);

void tcp_get_information(const struct tcp_connection *connection, struct tcp_information *out);
