/* Numbers and structures of Linux's socket interface (asm-generic, riscv64). */
#pragma once

#include <stdint.h>

enum { AF_UNSPEC = 0, AF_UNIX = 1, AF_INET = 2, AF_INET6 = 10, AF_NETLINK = 16, AF_MAX = 46 };
enum {
	SOCK_STREAM = 1,
	SOCK_DGRAM = 2,
	SOCK_RAW = 3,
	SOCK_SEQPACKET = 5,
	SOCK_TYPE_MASK = 0xf,
	SOCK_MAX = 11
};
enum { SOCK_NONBLOCK = 04000, SOCK_CLOEXEC = 02000000 };
enum { UDP_CORK = 1 };
enum { IPPROTO_IP = 0, IPPROTO_ICMP = 1, IPPROTO_TCP = 6, IPPROTO_UDP = 17, IPPROTO_MAX = 263 };
enum { SHUT_RD = 0, SHUT_WR = 1, SHUT_RDWR = 2 };
enum { SOL_SOCKET = 1 };

#define SOMAXCONN 4096

enum message_flag {
	MSG_OOB = 0x1,
	MSG_PEEK = 0x2,
	MSG_DONTROUTE = 0x4,
	MSG_CTRUNC = 0x8,
	MSG_TRUNC = 0x20,
	MSG_DONTWAIT = 0x40,
	MSG_EOR = 0x80,
	MSG_WAITALL = 0x100,
	MSG_CONFIRM = 0x800,
	MSG_ERRQUEUE = 0x2000,
	MSG_NOSIGNAL = 0x4000,
	MSG_MORE = 0x8000,
	MSG_WAITFORONE = 0x10000,
	MSG_ZEROCOPY = 0x4000000,
	MSG_FASTOPEN = 0x20000000,
	MSG_CMSG_CLOEXEC = 0x40000000,
};

enum socket_option {
	SO_DEBUG = 1,
	SO_REUSEADDR = 2,
	SO_TYPE = 3,
	SO_ERROR = 4,
	SO_DONTROUTE = 5,
	SO_BROADCAST = 6,
	SO_SNDBUF = 7,
	SO_RCVBUF = 8,
	SO_KEEPALIVE = 9,
	SO_OOBINLINE = 10,
	SO_NO_CHECK = 11,
	SO_PRIORITY = 12,
	SO_LINGER = 13,
	SO_REUSEPORT = 15,
	SO_PASSCRED = 16,
	SO_PEERCRED = 17,
	SO_RCVLOWAT = 18,
	SO_SNDLOWAT = 19,
	SO_RCVTIMEO = 20,
	SO_SNDTIMEO = 21,
	SO_BINDTODEVICE = 25,
	SO_ATTACH_FILTER = 26,
	SO_DETACH_FILTER = 27,
	SO_PEERNAME = 28,
	SO_TIMESTAMP = 29,
	SO_ACCEPTCONN = 30,
	SO_SNDBUFFORCE = 32,
	SO_RCVBUFFORCE = 33,
	SO_TIMESTAMPNS = 35,
	SO_MARK = 36,
	SO_PROTOCOL = 38,
	SO_DOMAIN = 39,
	SO_INCOMING_CPU = 49,
	SO_MEMINFO = 55,
	SO_INCOMING_NAPI_ID = 56,
	SO_COOKIE = 57,
};

enum { SCM_RIGHTS = 1, SCM_CREDENTIALS = 2, SCM_MAX_FILES = 253 };

enum ip_option {
	IP_TOS = 1,
	IP_TTL = 2,
	IP_HDRINCL = 3,
	IP_OPTIONS = 4,
	IP_RECVOPTS = 6,
	IP_RETOPTS = 7,
	IP_PKTINFO = 8,
	IP_MTU_DISCOVER = 10,
	IP_RECVERR = 11,
	IP_RECVTTL = 12,
	IP_RECVTOS = 13,
	IP_MTU = 14,
	IP_FREEBIND = 15,
	IP_TRANSPARENT = 19,
	IP_RECVORIGDSTADDR = 20,
	IP_MINTTL = 21,
	IP_BIND_ADDRESS_NO_PORT = 24,
	IP_MULTICAST_IF = 32,
	IP_MULTICAST_TTL = 33,
	IP_MULTICAST_LOOP = 34,
	IP_MULTICAST_ALL = 49,
	IP_LOCAL_PORT_RANGE = 51,
};

enum {
	IP_PMTUDISC_DONT,
	IP_PMTUDISC_WANT,
	IP_PMTUDISC_DO,
	IP_PMTUDISC_PROBE,
	IP_PMTUDISC_INTERFACE,
	IP_PMTUDISC_OMIT
};

enum tcp_socket_option {
	TCP_NODELAY = 1,
	TCP_MAXSEG = 2,
	TCP_CORK = 3,
	TCP_KEEPIDLE = 4,
	TCP_KEEPINTVL = 5,
	TCP_KEEPCNT = 6,
	TCP_SYNCNT = 7,
	TCP_LINGER2 = 8,
	TCP_DEFER_ACCEPT = 9,
	TCP_WINDOW_CLAMP = 10,
	TCP_INFO = 11,
	TCP_QUICKACK = 12,
	TCP_CONGESTION = 13,
	TCP_USER_TIMEOUT = 18,
	TCP_FASTOPEN = 23,
	TCP_NOTSENT_LOWAT = 25,
	TCP_FASTOPEN_CONNECT = 30,
	TCP_ULP = 31,
};

/* errnos of <errno.h> that only sockets use are in core/libc/errno.h; ioctls: */
enum socket_ioctl {
	FIOSETOWN = 0x8901,
	SIOCSPGRP = 0x8902,
	FIOGETOWN = 0x8903,
	SIOCGPGRP = 0x8904,
	SIOCATMARK = 0x8905,
	SIOCGIFNAME = 0x8910,
	SIOCGIFCONF = 0x8912,
	SIOCGIFFLAGS = 0x8913,
	SIOCGIFADDR = 0x8915,
	SIOCGIFDSTADDR = 0x8917,
	SIOCGIFBRDADDR = 0x8919,
	SIOCGIFNETMASK = 0x891b,
	SIOCGIFMETRIC = 0x891d,
	SIOCGIFMTU = 0x8921,
	SIOCGIFHWADDR = 0x8927,
	SIOCGIFINDEX = 0x8933,
	SIOCGIFTXQLEN = 0x8942,
	FIONREAD = 0x541b,
	TIOCOUTQ = 0x5411,
	SIOCOUTQNSD = 0x894b,
};

struct sockaddr_in {
	uint16_t family;
	uint8_t port[2];
	uint8_t address[4];
	uint8_t zero[8];
};

#define SUN_PATH_BYTES     108
#define SOCKADDR_MAX_BYTES 128

struct sockaddr_un {
	uint16_t family;
	char path[SUN_PATH_BYTES];
};

/* struct msghdr as user memory holds it (64-bit). */
struct user_message_header {
	uint64_t name;
	int32_t name_length;
	uint32_t padding;
	uint64_t vector, vector_count;
	uint64_t control, control_length;
	uint32_t flags, padding_end;
};

struct user_mmsghdr {
	struct user_message_header header;
	uint32_t length, padding;
};

struct user_cmsghdr {
	uint64_t length;
	int32_t level, type;
};

struct user_timeval {
	int64_t seconds, microseconds;
};

struct user_timespec {
	int64_t seconds, nanoseconds;
};

struct user_credentials {
	int32_t pid;
	uint32_t uid, gid;
};
