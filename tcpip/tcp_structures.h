/*
 * TCP's own structures and limits; what its files do with them is in tcp_internal.h, which includes
 * this.
 *
 * Who is who: a `flow` is whatever a 4-tuple finds: a full connection, a request (half-open,
 * passive) or a TIME_WAIT. One hash table holds all of them, so that one lookup per segment
 * decides. Ports have a table of their own, with the listeners.
 *
 * Life of a connection: made by tcp_open or by the handshake of a request; `owned` while a user (or
 * an accept queue) holds it; freed when it is neither owned nor in a protocol state, by
 * tcp_connection_release alone.
 */
#pragma once

#include <errno.h>

#include "tcpip/internal.h"
#include "tcpip/tcp.h"

enum tcp_flags {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
	TCP_URG = 0x20,
	TCP_ECE = 0x40,
	TCP_CWR = 0x80,
};

/* Limits and constants; Linux's name or the RFC in the comment. */
#define TCP_HEADER_BYTES     20u
#define TCP_MAX_HEADER_BYTES 60u
#define TCP_TIMESTAMP_BYTES  12u         /* NOP NOP TS */
#define TCP_TIMESTAMP_WORD   0x0101080au /* its first four bytes: NOP NOP TS 10 */
#define TCP_DEFAULT_MSS      536u        /* RFC 9293 §3.7.1 */
#define TCP_MIN_MSS          48u         /* TCP_MIN_SND_MSS: a smaller offer is raised to it */
#define TCP_MAX_PAYLOAD                                                                            \
	65408u /* of one segment and of one unit: fits IP's 65535 with all headers */
#define TCP_MAX_WSCALE              14u            /* RFC 7323 §2.3 */
#define TCP_INITIAL_WINDOW_SEGMENTS 10u            /* RFC 6928 */
#define TCP_RTO_INITIAL_US          1000000u       /* RFC 6298 (2.1) */
#define TCP_RTO_MIN_US              200000u        /* TCP_RTO_MIN */
#define TCP_RTO_MAX_US              120000000u     /* TCP_RTO_MAX */
#define TCP_DELAYED_ACK_NS          40000000ull    /* TCP_DELACK_MIN */
#define TCP_HELD_ACK_NS             500000ull      /* how long an ACK is held while others run */
#define TCP_TAIL_PROBE_MIN_US       2000u          /* TCP_TIMEOUT_MIN, in time */
#define TCP_CORK_NS                 200000000ull   /* tcp(7): corked output waits at most 200 ms */
#define TCP_RETRY_NS                10000000ull    /* memory was short: try again */
#define TCP_TIME_WAIT_NS            60000000000ull /* TCP_TIMEWAIT_LEN */
#define TCP_PAWS_IDLE_NS            (24ull * 24 * 3600 * 1000000000ull) /* RFC 7323 §5.5 */
#define TCP_RETRIES                 15u                                 /* tcp_retries2 */
#define TCP_ORPHAN_RETRIES          8u           /* tcp_orphan_retries' default */
#define TCP_SYNACK_RETRIES          5u           /* tcp_synack_retries */
#define TCP_MAX_REQUESTS            8192u        /* half-open: beyond, SYN cookies */
#define TCP_MAX_BACKLOG             4096u        /* somaxconn */
#define TCP_MAX_ORPHANS             8192u        /* tcp_max_orphans */
#define TCP_CHALLENGE_PER_SECOND    1000u        /* tcp_challenge_ack_limit, RFC 5961 §7 */
#define TCP_INVALID_ACK_INTERVAL_NS 500000000ull /* tcp_invalid_ratelimit */
#define TCP_DUPACK_THRESHOLD        3u           /* RFC 5681 */
#define TCP_MAX_INTERVALS           128u         /* SACKed ranges that the scoreboard remembers */
#define TCP_MAX_REPAIRS             63u          /* retransmitted ranges whose time is known */
#define TCP_SENT_MARKS              62u          /* times of transmission in flight */
#define TCP_RACK_RECOVERIES         16u          /* RFC 8985 §6.2 */
#define TCP_MAX_OUT_OF_ORDER        4096u /* segments in the reassembly queue of one connection */
#define TCP_MAX_PIECES              16u   /* slices of one segment */
#define TCP_FLUSH_BUDGET            512u  /* segments per tcp_flush */
#define TCP_COPYBREAK                                                                              \
	512u /* received payloads up to this are copied to the last buffer's tailroom */
#define TCP_SNDBUF_PER_SEGMENT                                                                     \
	4352u /* Linux's truesize of a full-sized segment, for SO_SNDBUF's arithmetic */

struct tcp_hash_node {
	struct tcp_hash_node *next;
	uint32_t hash;
};

/* Chained hash table that grows by doubling, moving a few buckets with each insertion. */
struct tcp_table {
	struct tcp_hash_node **buckets, **old_buckets;
	uint32_t mask, old_mask;
	uint32_t moved; /* buckets of the old table that are empty already */
	uint32_t count;
};

/* Ethernet and IP header of a connection's segments and what is constant of TCP's, made once per
 * route. The words lie as in a buffer: 6 bytes in front of the frame, then the frame; IP's length
 * and checksum are 0. */
struct tcp_headers {
	uint64_t word[5];
	uint32_t ports;           /* as on the wire */
	uint16_t ip_sum, tcp_sum; /* ones' complement sums of IP's header and of the pseudo-header,
	                             both without the length */
	uint32_t generation;      /* the route's when they were made; 0: not made */
};

/* What an ordinary frame of a connection looks like from the peer, learned from one that took the
 * long way: as words that lie in the frame like this. */
struct tcp_arrival {
	uint64_t addresses;    /* IP source and destination */
	uint64_t type_version; /* Ethernet type, IP version, header length and TOS */
	uint32_t ports;        /* source and destination */
	uint32_t mac_tail;     /* of Ethernet's destination, bytes 2 to 5 */
	uint32_t ip_sum;       /* of addresses, version and TOS, folded */
	uint16_t mac_head;
};

/* What the straight paths keep of a connection. There are TCP_RECENT_MAX of these at most, for the
 * connections that had ordinary traffic last; the others come the long way first. */
struct tcp_recent {
	struct list_node link; /* tcp_stack.recent_order: the oldest first, unused ones before it */
	struct tcp_connection *connection; /* NULL: unused */
	uint32_t slot;                     /* of tcp_stack.recent */
	struct tcp_arrival arrival;
	struct tcp_headers headers;
};
#define TCP_RECENT_MAX   1024
#define TCP_RECENT_SLOTS 4096

enum tcp_flow_kind { TCP_FLOW_CONNECTION, TCP_FLOW_REQUEST, TCP_FLOW_TIME_WAIT };

struct tcp_flow {
	struct tcp_hash_node node;
	struct ipv4_address local_address, remote_address;
	uint16_t local_port, remote_port;
	uint8_t kind;  /* enum tcp_flow_kind */
	uint8_t state; /* enum tcp_state */
};

/* A local port in use. Owned by the port table; lives while `users` > 0. */
struct tcp_port {
	struct tcp_hash_node node;
	struct list bound;     /* connections that bound it by name, not listening (bind_link) */
	struct list listeners; /* bind_link */
	uint32_t users;        /* everything that refers to it */
	uint32_t children;     /* users that did not bind it: accepted, connected, TIME_WAIT */
	uint32_t reuse_address_children; /* those of them with SO_REUSEADDR */
	uint32_t reuse_port_children;    /* and with SO_REUSEPORT */
	uint64_t cookie_sent_ns;         /* when its listeners last sent a SYN cookie; 0: never */
	uint32_t time_waits;             /* of the children: they are no user's */
	uint32_t owner;                  /* who bound it last with SO_REUSEPORT */
	uint16_t number;
};

struct tcp_interval {
	struct tcp_seq start, end;
};

/* Disjoint ranges in ascending order. */
struct tcp_interval_set {
	uint32_t count, bytes;
	struct tcp_interval interval[TCP_MAX_INTERVALS];
};

struct tcp_options {
	struct tcp_interval sack[4];
	uint32_t timestamp_value, timestamp_echo;
	uint16_t mss; /* 0: absent */
	uint8_t sack_count;
	uint8_t window_scale; /* valid with has_window_scale */
	bool has_timestamp, has_window_scale, sack_permitted;
};

/* A received segment, parsed. Lives during the input call. */
struct tcp_segment {
	struct pbuf *packet; /* the payload once headers are pulled (for a listener: they are not);
	                        NULL when it was taken or freed */
	const struct ip_packet *ip;
	struct tcp_seq sequence, acknowledgment;
	uint32_t length; /* payload bytes (FIN and SYN not counted) */
	uint16_t local_port, remote_port;
	uint16_t window, urgent;
	uint8_t flags, header_bytes;
	struct tcp_options options; /* filled on the slow path only */
};

/* A piece of the send queue. For buffers of our own it lives at the start of the block, in front of
 * the headroom; for buffers taken by reference it is allocated. The payload is described here and
 * not by the pbuf's fields, for those belong to whoever transmits the buffer while its refs > 1. */
struct tcp_unit {
	struct list_node link;
	struct pbuf *buffer;
	uint8_t *payload;
	uint32_t length;   /* bytes written */
	uint32_t capacity; /* bytes that may be written; == length for foreign buffers */
	struct tcp_seq sequence;
	uint32_t held; /* of the pool */
	bool foreign;
};

/* What the receiver keeps while segments are missing; allocated with the first out-of-order
 * segment, freed with the last. */
struct tcp_reassembly {
	struct list queue; /* packets by pbuf->link, ascending pbuf->sequence, not overlapping */
	uint32_t count, bytes, true_bytes;
	bool fin; /* a FIN at fin_sequence waits for the data before it */
	struct tcp_seq fin_sequence;
	uint8_t block_count; /* SACK blocks, most recent first (RFC 2018 §4) */
	struct tcp_interval block[4];
};

/* What a connection knows of losses, and of what looked like one. Made with the first, freed with
 * the connection. */
struct tcp_loss {
	struct tcp_interval_set *scoreboard; /* NULL: nothing is SACKed */
	struct tcp_repairs *repairs;         /* NULL: nothing in flight was sent again */
	struct tcp_sent_log *sent;           /* NULL: all in flight left at last_sent_ns */
	/* RACK (RFC 8985): of what arrived, that which was sent last; sent_ns 0: nothing. */
	uint64_t rack_sent_ns, rack_rtt_ns;
	uint64_t reorder_ns; /* what seems reordered is lost then; or LOOP_NEVER */
	struct tcp_seq rack_end;
	struct tcp_seq highest_sacked; /* before this ACK */
	struct tcp_seq dsack_round;    /* the window grew for a D-SACK: not again up to there */
	uint32_t reorderings;          /* ACKs that showed one */
	uint32_t dsack_duplicates;     /* segments that came twice */
	uint8_t window_steps;          /* the reordering window in quarters of the least RTT */
	uint8_t window_recoveries;     /* so many more, and it is one quarter again */
	bool in_dsack_round;
	bool rack_once;                /* and it was sent only that once */
	bool reordered, original_came; /* this ACK shows it; that, after a timeout */
	/* Before the window was reduced for the loss that is being repaired, or was last; while
	 * may_undo. */
	uint32_t prior_cwnd, prior_ssthresh;
	uint32_t first_stamp; /* the first retransmission's timestamp; if `repeated` */
	uint32_t undo_left;   /* retransmitted segments that were not told to have come twice */
	struct tcp_seq undo_start;
	bool may_undo, by_timeout, repeated;
};

/* When bytes were sent for the first time: those up to `end` that no earlier mark covers. */
struct tcp_sent_mark {
	uint64_t first_ns, last_ns;
	struct tcp_seq end;
};
struct tcp_sent_log {
	uint32_t count;
	uint64_t grain_ns;                         /* marks are at least so far apart */
	struct tcp_sent_mark mark[TCP_SENT_MARKS]; /* ascending in both */
};

/* Bytes that were sent again, between these times; `lost`: to be sent once more. */
struct tcp_repair {
	uint64_t first_ns, last_ns;
	struct tcp_seq start, end;
	bool lost;
};
struct tcp_repairs {
	uint32_t count;
	struct tcp_repair range[TCP_MAX_REPAIRS]; /* disjoint, ascending */
};

enum tcp_congestion_algorithm { TCP_RENO, TCP_CUBIC, TCP_CONGESTION_ALGORITHMS };

/* All windows in bytes. */
struct tcp_congestion_ops {
	const char *name;
	/* `bytes` newly acknowledged in congestion avoidance, and cwnd was the limit. */
	void (*avoid)(struct tcp_connection *connection, uint32_t bytes);
	/* The slow start threshold after a loss, of which this is told by the call. */
	uint32_t (*threshold)(struct tcp_connection *connection);
	/* The loss was one that the retransmission timer noticed; after `threshold`. */
	void (*timed_out)(struct tcp_connection *connection);
	/* The last loss that `threshold` was asked for was none; cwnd is as before it. */
	void (*undone)(struct tcp_connection *connection);
};
extern const struct tcp_congestion_ops tcp_reno, tcp_cubic;

/* What congestion control remembers of a connection, so that one that never filled its window needs
 * none of it. Made when HyStart++ slows down, in congestion avoidance by CUBIC or with the first
 * loss; freed with the connection. */
struct tcp_congestion {
	/* PRR (RFC 6937), in recovery: bytes delivered since it began, bytes_sent then (its low
	 * half), and what was in flight. */
	uint32_t prr_delivered, prr_sent_mark, prr_flight;
	/* CUBIC (RFC 9438). */
	uint32_t w_max;               /* the window at the last loss; 0: not known */
	uint32_t cwnd_prior;          /* the same before fast convergence */
	uint32_t w_max_before;        /* for `undone`, with epoch_before */
	uint32_t plateau, k_ms;       /* of this epoch: where the curve is flat, and when */
	uint32_t epoch_ms, growth_ms; /* when it began, when the window last was the limit */
	uint32_t w_est, w_est_acked;  /* what Reno would have; bytes towards its next segment */
	bool epoch, epoch_before;     /* there is one */
	/* HyStart++ (RFC 9406), in the first slow start. */
	uint8_t css_rounds;   /* conservative slow start's round; 0: not in it */
	uint32_t css_base_us; /* the round trip with which it began */
};

enum tcp_congestion_state { /* values of tcpi_ca_state */
	                    TCP_CA_OPEN,
	                    TCP_CA_DISORDER,
	                    TCP_CA_CWR,
	                    TCP_CA_RECOVERY,
	                    TCP_CA_LOSS,
};

struct tcp_listener {
	struct list accept_queue; /* connections by bind_link, oldest first */
	struct list requests;     /* by listener_link */
	uint32_t accept_count, request_count;
	uint32_t backlog;
	struct tcp_extra *extra; /* of the connection that listens; or NULL */
};

struct tcp_connection {
	/* Lines 0 to 2: an ordinary segment touches these. */
	struct tcp_flow flow;
	struct tcp_seq rcv_nxt;
	struct tcp_seq rcv_edge;   /* right edge of the window that we advertised: never retracts */
	struct tcp_seq rcv_acked;  /* the acknowledgement last sent (RFC 7323's Last.ACK.sent) */
	struct tcp_seq rcv_copied; /* first byte that the user has not consumed */
	struct tcp_seq snd_una, snd_nxt;
	struct tcp_seq write_seq; /* end of what the user wrote (FIN not counted) */
	struct tcp_seq snd_wl1, snd_wl2;
	uint32_t snd_wnd, max_snd_wnd;
	uint32_t cwnd, ssthresh, cwnd_count; /* bytes */
	uint16_t snd_mss, rcv_mss;
	uint8_t snd_wscale, rcv_wscale;
	/* Anything but 0 sends every segment to the slow path. */
	uint8_t odd;
	uint8_t congestion_state; /* enum tcp_congestion_state */
	uint32_t timestamp_recent, timestamp_offset;
	uint64_t retransmit_ns; /* RTO, or the persist timer when `persist` */
	uint64_t delayed_ack_ns, retry_ns,
	        keepalive_ns; /* keepalive_ns: FIN_WAIT_2 timeout for orphans */
	struct pbuf *receive_head,
	        *receive_tail;      /* unread in-order bytes: one chain through `next` */
	uint32_t receive_true;      /* memory that the unread bytes hold captive */
	uint32_t receive_buffer;    /* SO_RCVBUF: window space is half of it */
	struct list send_queue;     /* struct tcp_unit by link */
	struct tcp_unit *send_next; /* the unit that holds snd_nxt; NULL: nothing unsent */
	struct list_node output_link;
	struct tcp_stack *tcp;
	tcp_event *event;
	void *event_context;
	struct tcp_reassembly *reassembly;
	struct tcp_loss *loss;                   /* NULL: there was none */
	uint64_t last_received_ns, last_sent_ns; /* any segment; data */
	uint64_t rtt_started_ns;
	struct tcp_seq rtt_sequence; /* acknowledged: a round trip is over */
	uint32_t srtt_us8, rttvar_us4, rto_us,
	        min_rtt_us;      /* srtt * 8, rttvar * 4 as RFC 6298's integers */
	uint32_t receive_rtt_us; /* of what the peer sends, for autotuning */

	/* What may hold unsent bytes back, or sends more than them; all of it at once as a word. */
	union {
		struct {
			bool cork, more, fin_queued, persist;
			bool probe_due, keepalive_due, cwnd_limited, tail_due;
		};
		uint64_t output_odd;
	};
	/* What makes readiness more than a matter of bytes; all of it at once as a word. */
	union {
		struct {
			bool fin_received, receive_shut, urgent_valid, urgent_noted, starved;
			bool errors_kept; /* for MSG_ERRQUEUE */
			uint16_t error;
		};
		uint64_t readiness_odd;
	};
	struct tcp_recent *recent; /* NULL: nothing is prepared */

	bool owned, hashed, nodelay, timestamps;
	bool ack_now, fin_sent, rtt_timing, pingpong;
	bool tail_armed, tail_probing, dsack_due;
	bool ack_when_read; /* a quick ACK waits for the user to read */
	bool ack_held;      /* on one of the stack's lists unread_acks and held_acks */
	uint8_t quick;      /* ACKs that are still sent at once */
	/* What ordinary segments do not look at. */
	bool sack : 1, window_scaling : 1, syn_due : 1, recovery_entered : 1;
	bool receive_locked : 1, send_locked : 1, keepalive : 1, oob_inline : 1;
	bool quickack_off : 1, reuse_address : 1, reuse_port : 1, port_bound : 1;
	bool ever_connected : 1, orphan : 1, rack_armed : 1, tail_repeated : 1;
	bool quickack_asked : 1;              /* TCP_QUICKACK: quick ACKs wait for nothing */
	bool ack_unread : 1;                  /* with ack_held: on unread_acks */
	bool address_kept : 1, port_kept : 1; /* bound by name: they outlive a connection */
	bool free_bind : 1, bind_no_port : 1, on_link_only : 1, tells_errors : 1;
	uint8_t tos, ttl, urgent_byte;
	union {
		struct {
			uint8_t retransmits, backoff, probes, keepalive_probes;
		};
		uint32_t tries; /* all of them at once */
	};
	uint16_t peer_mss, user_mss, advertised_mss, path_mtu;
	uint16_t soft_error;
	uint8_t save_syn : 2; /* TCP_SAVE_SYN, of a listener */
	bool has_extra : 1;
	uint8_t congestion_algorithm; /* enum tcp_congestion_algorithm */

	/* Loss recovery (RFC 6675, 8985): what was sent once and lies below the edge is lost. */
	struct tcp_seq recover, high_retransmitted, lost_edge;
	/* Tail loss probe: what was sent when it left, and where it ended itself. */
	struct tcp_seq tail_edge, tail_probe_end;
	struct tcp_seq send_urgent; /* behind the urgent byte; while TCP_ODD_URGENT_SENT */
	uint64_t timeout_ns;        /* the RTO while retransmit_ns is the probe's time */
	struct tcp_interval dsack;  /* the last segment that came twice (RFC 2883), told once */
	struct tcp_seq
	        small_sequence; /* end of the last segment that was not full (Minshall's Nagle) */
	struct tcp_seq iss, irs, urgent_sequence;
	struct tcp_congestion *congestion; /* NULL: nothing to remember yet */

	/* Receive autotuning (Linux's tcp_rcv_space_adjust). */
	struct tcp_seq space_sequence;
	union {
		uint32_t space_bytes;
		struct port_range port_range; /* before it is connected: IP_LOCAL_PORT_RANGE */
	};
	uint64_t space_started_ns;

	struct loop_timer timer;
	struct route_cache route;
	struct tcp_port *port;
	struct list_node bind_link; /* port's bound or listeners; in an accept queue: that queue */
	struct list_node all_link;
	union {                                 /* tcp_extra.c: which one it is */
		struct tcp_listener *listening; /* state LISTEN; or NULL */
		struct tcp_connection *parent;  /* while in an accept queue; or NULL */
		struct tcp_extra *extra;        /* has_extra, not in LISTEN */
	};
	uint64_t first_retransmit_ns; /* when the oldest unacknowledged byte was first retransmitted
	                                 or probed; of a SYN: when it was first sent */
	uint64_t invalid_ack_ns;      /* last ACK in answer to an invalid segment */

	uint32_t send_buffer;
	uint32_t user_timeout_ms, window_clamp, notsent_lowat, receive_lowat;
	int32_t linger_s;
	uint16_t keepidle_s, keepintvl_s, linger2_s, defer_accept_s;
	uint8_t keepcnt, syncnt;
	/* TCP_ODD_GUARDED unless both are 0. */
	uint8_t min_ttl;         /* IP_MINTTL */
	uint8_t bound_interface; /* its index (SO_BINDTODEVICE) */

	uint32_t segments_in, segments_out, data_segments_in, data_segments_out, total_retransmits;
	uint32_t delivery_rate_mark;      /* low half of bytes_acked at the last round trip */
	uint32_t delivered, delivered_us; /* in that round trip */
	uint32_t duplicate_acks;          /* of RFC 6675 */
	uint64_t bytes_acked, bytes_received, bytes_sent, bytes_retransmitted;
	uint64_t last_data_received_ns;
};

/* What few connections have. Made when the first of it comes, and dies with its connection. */
struct tcp_extra {
	struct tcp_connection *parent; /* the connection's, whose place this takes */
	uint8_t *saved_syn;            /* its headers; NULL: none */
	uint32_t saved_syn_bytes;
	struct error_queue errors; /* of ICMP, while it connected */
	struct group_set groups;
};

/* Why `odd` is not 0. */
enum tcp_odd {
	TCP_ODD_STATE = 1 << 0,      /* not ESTABLISHED */
	TCP_ODD_REASSEMBLY = 1 << 1, /* segments are missing */
	TCP_ODD_RECOVERY = 1 << 2,   /* duplicate ACKs, SACKed ranges, recovery */
	TCP_ODD_URGENT = 1 << 3,
	TCP_ODD_MEMORY = 1 << 4,      /* the receive buffer holds too much memory */
	TCP_ODD_WINDOW = 1 << 5,      /* the peer's window is zero */
	TCP_ODD_URGENT_SENT = 1 << 6, /* and not yet acknowledged */
	TCP_ODD_GUARDED = 1 << 7,     /* not every segment of the flow is let in */
};

/* Half-open passive connection (SYN received, SYN-ACK sent). */
struct tcp_request {
	struct tcp_flow flow;
	struct list_node timer_link;    /* stack's request queue of its number of retries */
	struct list_node listener_link; /* the listener's requests */
	struct tcp_connection *listener;
	uint64_t deadline_ns, created_ns, ack_sent_ns;
	struct tcp_seq iss, irs;
	uint32_t timestamp_recent, timestamp_offset;
	uint32_t receive_window;
	uint16_t peer_mss, advertised_mss;
	uint8_t retries, snd_wscale, rcv_wscale;
	bool timestamps, sack, window_scaling, acked;
	uint8_t saved_bytes; /* of the SYN's headers, which follow the structure */
};
#define TCP_SAVED_SYN_MAX 134 /* Ethernet's header, and the longest ones of IP and TCP */

struct tcp_time_wait {
	struct tcp_flow flow;
	struct list_node link; /* stack's TIME_WAIT queue: constant interval, so FIFO order is
	                          deadline order */
	struct tcp_port *port;
	uint64_t deadline_ns, ack_sent_ns, timestamp_noted_ns;
	struct tcp_seq snd_nxt, rcv_nxt;
	uint32_t receive_window; /* as it goes on the wire, scaled down */
	uint32_t timestamp_recent, timestamp_offset;
	bool timestamps : 1, reuse_address : 1, reuse_port : 1;
	uint8_t tos;
	uint8_t bound_interface;
};

struct tcp_stack {
	struct stack *stack;
	struct loop *loop;
	struct pbuf_pool *pool;
	struct stack_statistics *counters;
	struct tcp_table flows, ports;
	struct list output;      /* connections with something to send (output_link) */
	struct list blocked;     /* those whose interface was full */
	struct list unread_acks; /* those whose quick ACK waits for a reader (output_link) */
	struct list held_acks;   /* those whose ACK waits for others to run (output_link) */
	uint64_t held_acks_ns;   /* since when the list is not empty */
	struct list all;         /* every connection */
	struct list requests[TCP_SYNACK_RETRIES + 1];
	struct list time_wait;
	struct loop_timer request_timer, time_wait_timer;
	uint32_t connection_count, request_count, time_wait_count, orphan_count;
	uint32_t max_connections, max_time_wait;
	uint32_t receive_default, receive_max, send_default, send_max;
	bool acks_at_once;
	uint8_t congestion_default; /* enum tcp_congestion_algorithm */
	/* Memory of the pool in send queues and in receive queues. Neither may take all of it: ARP,
	 * ACKs and the rings need some. */
	uint64_t send_held, send_limit, receive_held, receive_limit;
	uint64_t hash_key[2];
	uint64_t secret[2]; /* SipHash key: initial sequence numbers, timestamps, ports */
	uint32_t port_perturbation;
	uint64_t challenge_second;
	uint32_t challenge_count;
	/* The last place tcp_receive_peek looked at: sequential peeks do not walk the chain again.
	 */
	const struct tcp_connection *cursor_connection;
	struct pbuf *cursor;
	uint64_t cursor_offset;
	/* By a hash of the peer's address and the ports; a newcomer takes another's place. */
	struct tcp_recent *recent[TCP_RECENT_SLOTS];
	struct list recent_order;
	uint32_t recent_count;
};
