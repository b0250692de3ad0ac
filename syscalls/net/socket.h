/*
 * Sockets behind the descriptor: what the system calls share, and what each protocol provides.
 *
 * A socket is its own open file (the file is embedded and comes first) and dies with the last
 * reference to it. No operation blocks: one that cannot go on returns -EAGAIN and the calls park on
 * socket->file.waiters through io_run.
 */
#pragma once

#include "core/user.h"
#include "syscalls/file.h"
#include "syscalls/net/abi.h"
#include "tcpip/stack.h"

struct group_list;
struct socket;
struct control_writer;
struct send_control;

/* A struct sockaddr in kernel memory; `length` counts the valid bytes, family included; 0: no name.
 */
struct socket_name {
	uint32_t length;
	union {
		uint16_t family;
		struct sockaddr_in inet;
		struct sockaddr_un local;
		uint8_t bytes[SOCKADDR_MAX_BYTES];
	};
};

/* One sendmsg or recvmsg, for one attempt. */
struct message {
	struct uio *uio;
	uint32_t flags;     /* MSG_* of the call; MSG_DONTWAIT also stands for O_NONBLOCK */
	uint32_t out_flags; /* receive: MSG_TRUNC, MSG_EOR, MSG_ERRQUEUE, MSG_OOB for msg_flags */
	struct socket_name *name;       /* send: destination (sendto's may have length 0), or NULL;
	                                   receive: filled with the source; may be NULL */
	struct send_control *sent;      /* send: parsed control messages, or NULL */
	struct control_writer *control; /* receive: where control messages go, or NULL */
};

struct socket_memory { /* SO_MEMINFO */
	uint32_t received, receive_buffer, in_flight, send_buffer, forward, queued, options;
	uint32_t backlog, dropped;
};

struct datagram_row { /* of /proc/net/udp, icmp and raw */
	struct endpoint local, remote;
	uint32_t received_bytes; /* unread, in true size */
	uint32_t dropped;
};

enum socket_kind { SOCKETS_TCP, SOCKETS_UDP, SOCKETS_PING, SOCKETS_RAW, SOCKETS_UNIX, SOCKETS_NETLINK, SOCKET_KINDS };

struct socket_operations {
	int (*bind)(struct thread *thread, struct socket *socket, const struct socket_name *name);
	int (*listen)(struct socket *socket, int backlog);
	/* One attempt: 0 connected; -EINPROGRESS or -EALREADY: under way, ask connect_result when
	 * file.waiters tells; -EAGAIN: call again when file.waiters tells (AF_UNIX, full backlog).
	 */
	int (*connect)(struct thread *thread, struct socket *socket,
	               const struct socket_name *name);
	int (*connect_result)(struct socket *socket); /* 0, -EAGAIN: not yet, or the error */
	int (*accept)(struct socket *listener,
	              struct socket **out); /* -EAGAIN, -EINVAL (not listening) */
	/* peer 1: -ENOTCONN unless connected now; 2: also the peer of a connection that was reset
	 * since (accept) */
	int (*name)(struct socket *socket, int peer, struct socket_name *out);
	/* One attempt each: bytes (whole datagrams), or negative errno. */
	long (*send)(struct thread *thread, struct socket *socket, struct message *message);
	long (*receive)(struct thread *thread, struct socket *socket, struct message *message);
	/* The ordinary send and receive of a stream in a straight line, never blocking: the bytes
	 * moved, or 0 when it is not that case; then nothing was done, and send or receive has to
	 * be asked. `bytes` is the pieces' sum. May be NULL. */
	long (*send_pieces)(struct socket *socket, const struct user_iovec *pieces, uint32_t count,
	                    uint64_t bytes);
	long (*receive_piece)(struct socket *socket, struct user_addr to, uint64_t bytes);
	int (*shutdown)(struct socket *socket, bool receive, bool send);
	int (*take_error)(struct socket *socket); /* SO_ERROR: positive, cleared */
	/* An error (positive) to be told by the next call; may be NULL. */
	void (*set_error)(struct socket *socket, int error);
	bool (*is_listening)(struct socket *socket);
	/* Level and name that the common code does not know, and those that it tells the protocol
	 * of (SOL_SOCKET: after storing). -ENOPROTOOPT. `value` is in kernel memory; get sets
	 * *length. */
	int (*set_option)(struct socket *socket, int level, int name, const void *value,
	                  uint32_t length);
	int (*get_option)(struct socket *socket, int level, int name, void *value,
	                  uint32_t *length);
	long (*ioctl)(struct socket *socket, uint32_t command,
	              uint64_t argument); /* -ENOTTY; may be NULL */
	/* Fills in what it holds; NULL: that is not known. */
	void (*memory)(struct socket *socket, struct socket_memory *out);
	/* False: it has no local port, and so no row. NULL: it is no datagram socket of AF_INET. */
	bool (*row)(struct socket *socket, struct datagram_row *out);
	/* "  key value" text for dumps. */
	int (*describe)(struct socket *socket, char *out, size_t room);
};

enum socket_shut { SOCKET_SHUT_RECEIVE = 1, SOCKET_SHUT_SEND = 2 };

/* Options that are kept and have no effect: see options_kept.c. */
enum kept_option {
	KEPT_PASSSEC,
	KEPT_RXQ_OVFL,
	KEPT_WIFI_STATUS,
	KEPT_NOFCS,
	KEPT_LOCK_FILTER,
	KEPT_SELECT_ERR_QUEUE,
	KEPT_BUSY_POLL,
	KEPT_PREFER_BUSY_POLL,
	KEPT_BUF_LOCK,
	KEPT_TXREHASH,
	KEPT_RCVMARK,
	KEPT_RECVOPTS,
	KEPT_RETOPTS,
	KEPT_IP_PASSSEC,
	KEPT_RECVFRAGSIZE,
	KEPT_RECVERR_RFC4884,
	KEPT_CHECKSUM,
	KEPT_THIN_LINEAR_TIMEOUTS,
	KEPT_TX_DELAY,
	KEPT_FASTOPEN_CONNECT,
	KEPT_FASTOPEN_NO_COOKIE,
	KEPT_NO_CHECK6_TX,
	KEPT_NO_CHECK6_RX,
	KEPT_GRO,
	KEPT_OPTIONS
};

/* SO_RCVTIMEO and SO_SNDTIMEO count Linux's jiffies (CONFIG_HZ=250). */
#define SOCKET_JIFFIES_PER_S   250
#define SOCKET_TIMEOUT_AT_ONCE UINT64_MAX

/* Values of options as getsockopt reports them. Accepted sockets inherit them, and share them with
 * the listener until one of both changes: tens of thousands of connections cost one of these. */
struct socket_options {
	uint32_t users;                         /* sockets; 0: the defaults, which are nobody's */
	uint64_t receive_timeout, send_timeout; /* jiffies; 0: none */
	uint32_t receive_buffer,
	        send_buffer; /* doubled, as SO_RCVBUF reads back; TCP keeps its own */
	uint32_t receive_lowat;
	int32_t peek_off; /* SO_PEEK_OFF: bytes of the queue that MSG_PEEK passes over; < 0: off */
	uint32_t priority, mark;
	int32_t linger_s; /* -1: off */
	int32_t incoming_cpu;
	int32_t ttl;                           /* IP_TTL; -1: default */
	int32_t unicast_interface;             /* IP_UNICAST_IF, network order */
	uint32_t device;                       /* SO_BINDTODEVICE: an interface's index, 0 none */
	uint32_t port_range;                   /* IP_LOCAL_PORT_RANGE */
	uint32_t multicast_interface;          /* IP_MULTICAST_IF: an index, 0 none */
	struct ipv4_address multicast_address; /* as it reads back */
	int32_t linger_kept_s;                 /* as it reads back */
	uint32_t timestamping;                 /* SOF_TIMESTAMPING_* */
	int32_t kept[KEPT_OPTIONS];            /* less their defaults: options_kept.c */
	uint64_t pacing_rate;                  /* SO_MAX_PACING_RATE */
	uint8_t txtime_clock, txtime_flags;    /* SO_TXTIME */
	bool txtime;                           /* which was set: SCM_TXTIME may be sent */
	uint8_t tos, mtu_discover, multicast_ttl, min_ttl;
	bool reuse_address, reuse_port, keepalive, broadcast, oob_inline, dont_route, debug,
	        no_check;
	bool pass_credentials, pass_pidfd;
	bool zerocopy; /* SO_ZEROCOPY; the sends from first to before next are to be told of: */
	uint32_t zerocopy_first, zerocopy_next;
	bool reads_oddly;  /* receive_lowat or peek_off: not in a straight line */
	uint8_t timestamp; /* SO_TIMESTAMP and its variants: which one is on, or 0 */
	bool packet_information, receive_errors, receive_ttl, receive_tos, free_bind, transparent,
	        multicast_loop, multicast_all, bind_no_port, receive_original;
};

struct socket {
	struct file file; /* keep first */
	const struct socket_operations *operations;
	struct list_node all_link; /* sockets_walk */
	uint16_t domain;
	uint8_t type;
	uint8_t shut; /* enum socket_shut, where the protocol does not keep it itself */
	uint16_t protocol;
	uint16_t mode;  /* permissions, of fstat and of the node that bind makes */
	uint64_t inode; /* of fstat and /proc/net; also SO_COOKIE */
	const struct socket_options *options; /* never NULL; socket_options_change to write */
};

/* Shows `visit` the sockets from *position on (0: from the first), until it returns false or enough
 * were visited for one go. False: that was the last. Else *position is where to go on: a socket that
 * is there all the time is visited once, whatever comes and goes in between. */
bool sockets_walk(uint64_t *position, bool (*visit)(void *context, struct socket *socket),
                  void *context);

static inline struct socket *socket_of(struct file *file)
{
	return (struct socket *)file;
}

enum socket_kind socket_kind(const struct socket *socket);
uint32_t sockets_of_kind(enum socket_kind kind);
/* Fills the common part and enters it in the list of all sockets. */
void socket_init(struct socket *socket, const struct file_operations *file_operations,
                 const struct socket_operations *operations, int domain, int type,
                 uint32_t protocol);
/* Leaves the list and its options; the memory is the protocol's to free. */
void socket_fini(struct socket *socket);
/* The socket's own options, to be changed; NULL: no memory. */
struct socket_options *socket_options_change(struct socket *socket);
/* SO_PEEK_OFF goes forwards behind what was peeked at, backwards when bytes before it leave. */
void socket_peek_off_add(struct socket *socket, int64_t bytes);
static inline void socket_peek_off_moved(struct socket *socket, int64_t bytes)
{
	if (__builtin_expect(socket->options->peek_off >= 0, 0))
		socket_peek_off_add(socket, bytes);
}
/* Bytes that this receive passes over. */
static inline uint32_t socket_peek_skip(const struct socket *socket, uint32_t flags)
{
	return flags & MSG_PEEK && socket->options->peek_off > 0
	               ? (uint32_t)socket->options->peek_off
	               : 0;
}
/* The options of `from`, too, from now on. */
void socket_options_inherit(struct socket *socket, const struct socket *from);
/* The socket behind a descriptor (borrowed): NULL and *error = -EBADF or -ENOTSOCK. */
struct socket *socket_lookup(struct thread *thread, uint64_t descriptor, int *error);
struct socket *socket_from_file(struct file *file); /* NULL: not a socket */

/* Whether the calling process has it (capabilities(7)). */
bool has_capability(unsigned number);

/* Constructors. -ENOBUFS, -ENOMEM, -EAFNOSUPPORT (no stack). */
int tcp_socket_create(struct socket **out);
int udp_socket_create(struct socket **out);
int ping_socket_create(int type, struct socket **out);
struct group_set *ping_socket_groups(struct socket *socket);
int unix_socket_create(int type, struct socket **out);
/* Connects two fresh sockets of one type to each other (socketpair). */
void unix_socket_join(struct thread *thread, struct socket *a, struct socket *b);
/* SO_PEERGROUPS: the list stays the socket's. -ENODATA: it has no peer yet. */
int unix_peer_groups(struct socket *socket, const struct group_list **out);

/* Common file operations. */
long socket_ioctl(struct file *file, uint32_t command, uint64_t argument);
int socket_status(struct file *file, struct file_status *out);
void socket_set_mode(struct file *file, uint32_t permissions);
uint64_t socket_timeout_ns(struct file *file, bool write);
/* SO_RCVTIMEO or SO_SNDTIMEO as a deadline for io_run. */
uint64_t socket_deadline_ns(const struct socket *socket, bool send);
/* POLLRDNORM and POLLWRNORM follow POLLIN and POLLOUT. */
static inline uint32_t socket_poll_bits(uint32_t readiness)
{
	return readiness | (readiness & (POLLIN | POLLOUT)) << 6;
}

/* Addresses. -EINVAL (length), -EFAULT. */
int socket_name_from_user(struct socket_name *name, struct user_addr from, uint64_t length);
/* Linux's move_addr_to_user: truncates to *length in user memory, then stores the full length
 * there. */
int socket_name_to_user(const struct socket_name *name, struct user_addr to,
                        struct user_addr length_at);
/* -EINVAL (short), -EAFNOSUPPORT. */
int inet_name_parse(const struct socket_name *name, struct endpoint *out);
/* For bind: AF_UNSPEC with address 0 is AF_INET; -EACCES for a port below 1024 without the
 * capability. */
int inet_bind_name_parse(struct thread *thread, const struct socket_name *name,
                         struct endpoint *out);
void inet_name_make(struct socket_name *name, struct endpoint endpoint);

/* Options that are kept only. -ENOPROTOOPT: not one of them. */
int kept_option_set(struct socket *socket, int level, int name, const void *value, uint32_t length);
int kept_option_get(const struct socket *socket, int level, int name, int32_t *out);
/* SO_MAX_PACING_RATE, SO_TXTIME. -ENOPROTOOPT: not one of them. */
int schedule_option_set(struct socket_options *options, int name, const void *value,
                        uint32_t length);
int schedule_option_get(const struct socket_options *options, int name, void *value,
                        uint32_t *length);
/* May the caller configure the network? */
bool socket_admin(void);
/* IPPROTO_IP options common to TCP and UDP; `socket->options` holds them. */
int ip_set_option(struct socket *socket, int name, const void *value, uint32_t length);
int ip_get_option(struct socket *socket, int name, void *value, uint32_t *length);
/* Its multicast options (options_group.c); not one of them: -ENOPROTOOPT. `value` of get holds what
 * the caller's buffer held. */
int group_set_option(struct socket *socket, int name, const void *value, uint32_t length);
int group_get_option(struct socket *socket, int name, void *value, uint32_t *length);
/* Can be set, even if it cannot be read. */
bool group_option_is_known(int name);
/* The protocol learns by which interfaces the socket sends, or sends to groups. */
void socket_tell_interfaces(struct socket *socket);
void socket_tell_group_sending(struct socket *socket);
/* SIOCGIF*: any socket will do. -ENOTTY when the command is not one of them. */
long interface_ioctl(uint32_t command, uint64_t argument);
uint32_t interface_index(const struct netif *netif); /* 1: loopback, 2: the device, 0: none */
struct netif *interface_by_index(uint32_t index);    /* NULL: there is none */
struct netif *interface_by_name(const char *name);
/* IFF_* of netdevice(7); SIOCGIFFLAGS tells the lower 16 bits. */
uint32_t interface_flags(const struct netif *netif);

/* Kernel memory limits of socket buffers, /proc/sys/net/core/{r,w}mem_max. */
#define SOCKET_BUFFER_MAX         212992u
#define SOCKET_SEND_BUFFER_MIN    4608u
#define SOCKET_RECEIVE_BUFFER_MIN 2304u

/* An int option; Linux demands 4 bytes (more are ignored). -EINVAL. */
static inline int option_int(const void *value, uint32_t length, int32_t *out)
{
	if (length < sizeof(int32_t))
		return -22;
	__builtin_memcpy(out, value, sizeof(int32_t));
	return 0;
}
/* IPPROTO_IP's numbers: a byte will do, nothing is 0. */
static inline int32_t option_byte_or_int(const void *value, uint32_t length)
{
	int32_t number = 0;
	__builtin_memcpy(&number, value, length < 4 ? length > 0 : 4);
	return number;
}
static inline int option_put_int(void *value, uint32_t *length, int32_t number)
{
	if (*length > sizeof(number))
		*length = sizeof(number);
	__builtin_memcpy(value, &number, *length);
	return 0;
}
/* IPPROTO_IP: a number that fits a byte may be read as one. */
static inline int option_put_byte_or_int(void *value, uint32_t *length, int32_t number)
{
	if (!*length || *length >= sizeof(number) || number < 0 || number > 255)
		return option_put_int(value, length, number);
	*(uint8_t *)value = (uint8_t)number;
	*length = 1;
	return 0;
}
