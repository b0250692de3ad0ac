/* Arguments: mostly plausible, one in twelve hostile. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#include "guests/programs/fuzz/fuzz.h"

#define HOSTILE_ONE_IN 12
#define ONE_OF(list)   ((list)[fuzz_below(source, sizeof(list) / sizeof((list)[0]))])

static uint64_t any(struct fuzz_source *source)
{
	source->state ^= source->state << 13;
	source->state ^= source->state >> 7;
	source->state ^= source->state << 17;
	return source->state;
}

uint64_t fuzz_below(struct fuzz_source *source, uint64_t bound)
{
	return (any(source) >> 11) % bound;
}

static bool one_in(struct fuzz_source *source, unsigned chances)
{
	return fuzz_below(source, chances) == 0;
}

unsigned fuzz_choose(struct fuzz_source *source)
{
	static unsigned total;
	unsigned sum = 0, at = 0;
	if (!total) {
		for (unsigned i = 0; i < fuzz_call_count; i++)
			sum += fuzz_calls[i].weight;
		total = sum;
	}
	for (unsigned left = (unsigned)fuzz_below(source, total); left >= fuzz_calls[at].weight;
	     at++)
		left -= fuzz_calls[at].weight;
	return at;
}

/* Numbers at the borders of types, of pages and of the address space. */
static uint64_t hostile(struct fuzz_source *source)
{
	static const uint64_t odd[] = { 0,
		                        1,
		                        4095,
		                        4097,
		                        0x7fffffff,
		                        0x80000000,
		                        0xffffffff,
		                        0x100000000,
		                        0x3ffffff000,
		                        0x4000000000,
		                        1ull << 62,
		                        1ull << 63,
		                        UINT64_MAX,
		                        UINT64_MAX - 4095,
		                        0xffffffc000000000,
		                        0xffffffff80000000 };
	switch (fuzz_below(source, 4)) {
	case 0:
		return (uint64_t)1 << fuzz_below(source, 64);
	case 1: /* what begins in the room and ends outside */
		return (uintptr_t)source->room + FUZZ_ROOM_BYTES - fuzz_below(source, 64);
	case 2:
		return any(source);
	default:
		return ONE_OF(odd);
	}
}

static unsigned char *slot(struct fuzz_source *source)
{
	return source->room + fuzz_below(source, FUZZ_SLOTS) * FUZZ_SLOT_BYTES;
}

static uint64_t at(const void *place)
{
	return (uintptr_t)place;
}

static uint64_t descriptor(struct fuzz_source *source)
{
	return FUZZ_FIRST_FD + fuzz_below(source, FUZZ_FDS);
}

static uint64_t length(struct fuzz_source *source)
{
	static const uint64_t some[] = { 0,   1,   2,   7,   8,    16,   28,  64,
		                         110, 128, 511, 512, 1460, 4096, 9000 };
	return one_in(source, 3) ? fuzz_below(source, 300) : ONE_OF(some);
}

static size_t address(struct fuzz_source *source, unsigned char *place)
{
	static const uint32_t hosts[] = {
		0,          INADDR_LOOPBACK, INADDR_LOOPBACK,  INADDR_LOOPBACK,
		0x7f000002, 0x0a00020f,      INADDR_BROADCAST, 0xe0000001
	};
	if (one_in(source, 3)) {
		struct sockaddr_un local = { .sun_family = AF_UNIX };
		bool path = one_in(source, 3);
		local.sun_path[0] = path ? 'x' : 0;
		local.sun_path[1] = (char)('a' + fuzz_below(source, 6));
		memcpy(place, &local, sizeof(local));
		return 4 + fuzz_below(source, 3) * (sizeof(local) - 5) / 2;
	}
	struct sockaddr_in in = { .sin_family = one_in(source, 20) ? AF_UNSPEC : AF_INET,
		                  .sin_port = htons((uint16_t)(40000 + fuzz_below(source, 6))) };
	in.sin_addr.s_addr = htonl(ONE_OF(hosts));
	memcpy(place, &in, sizeof(in));
	return sizeof(in);
}

static uint64_t vector(struct fuzz_source *source)
{
	struct iovec *list = (void *)slot(source);
	for (int i = 0; i < 8; i++) {
		list[i].iov_base = one_in(source, 30) ? (void *)hostile(source) : slot(source);
		list[i].iov_len = one_in(source, 40) ? hostile(source) : length(source);
	}
	return at(list);
}

/* Control bytes: one message that is nearly right. */
static size_t control(struct fuzz_source *source, unsigned char *place)
{
	struct cmsghdr header = { .cmsg_len = CMSG_LEN(4 * fuzz_below(source, 4)),
		                  .cmsg_level = one_in(source, 3) ? IPPROTO_IP : SOL_SOCKET,
		                  .cmsg_type = one_in(source, 3) ? (int)fuzz_below(source, 30)
		                                                 : SCM_RIGHTS };
	if (one_in(source, 20))
		header.cmsg_len = hostile(source);
	memcpy(place, &header, sizeof(header));
	for (unsigned i = 0; i < 4; i++) {
		int fd = (int)descriptor(source);
		memcpy(place + CMSG_LEN(4 * i), &fd, sizeof(fd));
	}
	return CMSG_SPACE(12);
}

static void message(struct fuzz_source *source, struct msghdr *header)
{
	memset(header, 0, sizeof(*header));
	if (one_in(source, 2)) {
		unsigned char *name = slot(source);
		header->msg_namelen = (socklen_t)address(source, name);
		header->msg_name = name;
	}
	header->msg_iov = (void *)vector(source);
	header->msg_iovlen = one_in(source, 40) ? hostile(source) : fuzz_below(source, 9);
	if (one_in(source, 3)) {
		unsigned char *place = slot(source);
		header->msg_controllen = control(source, place);
		header->msg_control = place;
	}
}

static uint64_t messages(struct fuzz_source *source)
{
	struct mmsghdr *list = (void *)slot(source);
	for (int i = 0; i < 6; i++)
		message(source, &list[i].msg_hdr);
	return at(list);
}

/* A time of at most 20 ms, relative. */
static uint64_t short_time(struct fuzz_source *source)
{
	struct timespec *time = (void *)slot(source);
	*time = (struct timespec){ 0, (long)fuzz_below(source, 20000000) };
	if (one_in(source, 20))
		time->tv_nsec = (long)hostile(source);
	return at(time);
}

static uint64_t timer_setting(struct fuzz_source *source)
{
	struct itimerspec *setting = (void *)slot(source);
	*setting = (struct itimerspec){ { 0, (long)fuzz_below(source, 2) * 3000000 },
		                        { 0, (long)fuzz_below(source, 5000000) } };
	return at(setting);
}

static uint64_t polled(struct fuzz_source *source)
{
	struct pollfd *list = (void *)slot(source);
	for (int i = 0; i < 32; i++)
		list[i] = (struct pollfd){ (int)descriptor(source), (short)any(source), 0 };
	return at(list);
}

static uint64_t watched(struct fuzz_source *source)
{
	static const uint32_t events[] = { EPOLLIN,
		                           EPOLLIN | EPOLLOUT,
		                           EPOLLOUT | EPOLLET,
		                           EPOLLIN | EPOLLRDHUP | EPOLLET,
		                           EPOLLIN | EPOLLONESHOT,
		                           EPOLLIN | EPOLLEXCLUSIVE,
		                           EPOLLPRI };
	struct epoll_event *event = (void *)slot(source);
	event->events = one_in(source, 10) ? (uint32_t)any(source) : ONE_OF(events);
	event->data.u64 = any(source);
	return at(event);
}

static uint64_t path(struct fuzz_source *source)
{
	static const char *const names[] = {
		"/tmp/f1", "/tmp/f2",  "/tmp/d",          "/tmp/d/f",  "/tmp",
		"f3",      "/tmp/ln",  "/proc/self/fd/5", "/dev/null", "/dev/zero",
		"/",       "../../..", "/proc/meminfo",   "/tmp/pipe", ""
	};
	char *place = (char *)slot(source);
	if (one_in(source, 40))
		memset(place, '/' + (int)fuzz_below(source, 3),
		       FUZZ_SLOT_BYTES); /* as long as may be, or longer */
	else
		strcpy(place, ONE_OF(names));
	return at(place);
}

static uint64_t option_level(struct fuzz_source *source)
{
	static const int levels[] = { SOL_SOCKET, SOL_SOCKET,  IPPROTO_TCP,
		                      IPPROTO_IP, IPPROTO_UDP, 41 };
	return (uint64_t)ONE_OF(levels);
}

static uint64_t control_command(struct fuzz_source *source)
{
	static const uint64_t commands[] = { FIONREAD,   FIONBIO,     FIOASYNC,    TIOCOUTQ,
		                             SIOCATMARK, SIOCGIFCONF, SIOCGIFADDR, SIOCGIFFLAGS,
		                             SIOCGIFMTU, TCGETS,      TIOCGWINSZ };
	return one_in(source, 4) ? 0x8900 + fuzz_below(source, 0x80) : ONE_OF(commands);
}

/* Somewhere in the region, on a page. */
static uint64_t mapped(struct fuzz_source *source)
{
	return at(source->region) + (fuzz_below(source, FUZZ_REGION_BYTES / 4096) << 12);
}

static uint64_t chosen_flags(struct fuzz_source *source, const uint64_t *list)
{
	unsigned count = 0;
	uint64_t flags = 0;
	while (list && list[count])
		count++;
	for (unsigned tries = 0; count && tries < 2; tries++)
		flags |= one_in(source, 3) ? 0 : list[fuzz_below(source, count)];
	return flags;
}

static uint64_t socket_length(struct fuzz_source *source)
{
	uint32_t *place = (void *)slot(source);
	*place = (uint32_t)length(source);
	return at(place);
}

static uint64_t random_bytes(struct fuzz_source *source)
{
	unsigned char *place = slot(source);
	for (int i = 0; i < 16; i++)
		place[i] = (unsigned char)(one_in(source, 2) ? fuzz_below(source, 4) : any(source));
	return at(place);
}

static uint64_t plausible(struct fuzz_source *source, const struct fuzz_call *call, char kind)
{
	static const uint64_t domains[] = { AF_INET, AF_INET,  AF_INET,   AF_UNIX,
		                            AF_UNIX, AF_INET6, AF_NETLINK };
	switch (kind) {
	case 'f':
		return descriptor(source);
	case 'l':
		return length(source);
	case 'b': /* a buffer */
		return one_in(source, 2) ? at(slot(source)) : random_bytes(source);
	case 'a': { /* an address; its length is the next argument */
		unsigned char *place = slot(source);
		address(source, place);
		return at(place);
	}
	case 'n': /* the length of an address */
		return one_in(source, 2) ? sizeof(struct sockaddr_in) : 2 + fuzz_below(source, 109);
	case 'z':
		return socket_length(source);
	case 'm': {
		struct msghdr *header = (void *)slot(source);
		message(source, header);
		return at(header);
	}
	case 'M':
		return messages(source);
	case 'v':
		return vector(source);
	case 't':
		return short_time(source);
	case 'T':
		return timer_setting(source);
	case 'P':
		return polled(source);
	case 'e':
		return watched(source);
	case 'p':
		return path(source);
	case 'd':
		return ONE_OF(domains);
	case 'y':
		return (1 + fuzz_below(source, 5)) | (one_in(source, 2) ? SOCK_NONBLOCK : 0);
	case 'L':
		return option_level(source);
	case 'o':
		return fuzz_below(source, 80);
	case 'i':
		return control_command(source);
	case 'c': /* a small number */
		return fuzz_below(source, 12);
	case 'r':
		return mapped(source);
	case 'R':
		return (1 + fuzz_below(source, 32)) << (one_in(source, 20) ? 11 : 12);
	case 'D': /* a directory for relative paths */
		return one_in(source, 4) ? descriptor(source) : (uint64_t)AT_FDCWD;
	case 'O': /* an offset in a file */
		return fuzz_below(source, 100000);
	case 'x':
		return chosen_flags(source, call->flags);
	case 'w': /* no longer than 10 ms */
		return fuzz_below(source, 11);
	case '8': /* the bytes of a signal set */
		return 8;
	default: /* 0 */
		return 0;
	}
}

uint64_t fuzz_argument(struct fuzz_source *source, const struct fuzz_call *call, char kind)
{
	/* What must not be anything else: waiting times, fixed mappings outside the region. */
	bool harmless = kind == 'w' || kind == 'r' || kind == 'R' || kind == '0';
	if (!harmless && one_in(source, HOSTILE_ONE_IN))
		return hostile(source);
	return plausible(source, call, kind);
}
