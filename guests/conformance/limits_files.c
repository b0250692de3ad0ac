/* Limits of single calls: vectors, bytes, positions, descriptors, control data, messages. */
#define _GNU_SOURCE
#include "conform.h"

#include <fcntl.h>
#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define VECTORS 1024 /* UIO_MAXIOV */

static char byte[VECTORS + 1];
static struct iovec vector[VECTORS + 1];

static void fill_vector(void)
{
	for (int i = 0; i <= VECTORS; i++)
		vector[i] = (struct iovec){ &byte[i], 1 };
}

CASE(vectors_most)
{
	int ends[2], fd = (int)must("open", open("file", O_CREAT | O_RDWR, 0600));
	fill_vector();
	must("pipe", pipe(ends));
	observe("writev", writev(fd, vector, VECTORS));
	observe("writev", writev(fd, vector, VECTORS + 1));
	observe("pwritev", pwritev(fd, vector, VECTORS, 0));
	observe("pwritev", pwritev(fd, vector, VECTORS + 1, 0));
	observe("readv", preadv(fd, vector, VECTORS, 0));
	observe("readv", preadv(fd, vector, VECTORS + 1, 0));
	observe("readv-pipe", readv(ends[0], vector, VECTORS + 1));
	observe("writev-bad", writev(999, vector, VECTORS + 1));
}

CASE(vectors_of_messages)
{
	int pair[2], datagrams[2];
	struct msghdr message = { .msg_iov = vector, .msg_iovlen = VECTORS };
	fill_vector();
	unix_pair(SOCK_STREAM, pair);
	udp_pair(datagrams);
	observe("send", sendmsg(pair[0], &message, 0));
	observe("receive", recvmsg(pair[1], &message, 0));
	observe("send-datagram", sendmsg(datagrams[0], &message, 0));
	observe("receive-datagram", recvmsg(datagrams[1], &message, 0));
	message.msg_iovlen = VECTORS + 1;
	observe("send", sendmsg(pair[0], &message, 0));
	observe("receive", recvmsg(pair[1], &message, MSG_DONTWAIT));
	observe("send-datagram", sendmsg(datagrams[0], &message, 0));
	observe("receive-datagram", recvmsg(datagrams[1], &message, MSG_DONTWAIT));
	message.msg_iovlen = ~0ul;
	observe("send", sendmsg(pair[0], &message, 0));
}

/* sendmmsg and recvmmsg cut the list. */
CASE(messages_most)
{
	static struct mmsghdr messages[VECTORS + 1];
	int pair[2], size = 4 << 20;
	fill_vector();
	udp_pair(pair);
	must("rcvbuf", setsockopt(pair[1], SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)));
	for (int i = 0; i <= VECTORS; i++)
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &vector[i], .msg_iovlen = 1 };
	observe("send", sendmmsg(pair[0], messages, VECTORS + 1, 0));
	pause_ms(50);
	observe("receive", recvmmsg(pair[1], messages, VECTORS + 1, MSG_DONTWAIT, NULL));
	observe("receive", recvmmsg(pair[1], messages, VECTORS + 1, MSG_DONTWAIT, NULL));
}

/* One call makes more datagrams than any queue holds: it goes on when there is room. */
CASE(datagrams_more_than_loopback_holds)
{
	static struct mmsghdr messages[VECTORS];
	static char payload[64];
	struct iovec all = { payload, sizeof(payload) };
	int pair[2], one = 1;
	udp_pair(pair);
	must("segment", setsockopt(pair[0], SOL_UDP, UDP_SEGMENT, &one, sizeof(one)));
	for (int i = 0; i < VECTORS; i++)
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &all, .msg_iovlen = 1 };
	observe("send", sendmmsg(pair[0], messages, VECTORS, 0));
	observe_poll("writable", pair[0], POLLOUT, 5000);
	observe_poll("readable", pair[1], POLLIN, 5000);
}

CASE(bytes_of_a_call)
{
	const size_t three_gib = 3ul << 30;
	char *large = mmap(NULL, three_gib, PROT_READ | PROT_WRITE,
	                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	observe("map", large == MAP_FAILED ? -1 : 0);
	int fd = (int)must("open", open("/dev/null", O_RDWR)), pair[2], file;
	struct iovec both[2] = { { large, 2ul << 30 }, { large, 2ul << 30 } };
	observe("write", write(fd, large, three_gib));
	observe("pwrite", pwrite(fd, large, three_gib, 5));
	observe("writev", writev(fd, both, 2));
	observe("negative", syscall(SYS_write, fd, large, ~0ul));
	both[1].iov_len = ~0ul;
	observe("negative-vector", writev(fd, both, 2));
	unix_pair(SOCK_STREAM, pair);
	file = (int)must("open", open("file", O_CREAT | O_RDWR, 0600));
	must("write", write(file, "abc", 3));
	observe("read", pread(file, large, three_gib, 0));
	must("write", write(pair[0], "abcd", 4));
	observe("receive", recv(pair[1], large, three_gib, 0));
}

/* More than one turn of the kernel moves: the call goes on by itself. */
CASE(bytes_of_a_transfer)
{
	enum { BYTES = 3 << 20 };
	static char bytes[BYTES], got[BYTES];
	int from = (int)must("open", open("from", O_CREAT | O_RDWR, 0600));
	for (int i = 0; i < BYTES; i++)
		bytes[i] = (char)(i >> 12 ^ i);
	must("write", write(from, bytes, BYTES));
	int to = (int)must("open", open("to", O_CREAT | O_RDWR, 0600));
	observe("sendfile", sendfile(to, from, &(off_t){ 0 }, BYTES));
	observe("read", pread(to, got, BYTES, 0));
	observe("same", memcmp(bytes, got, BYTES) == 0);
	observe("copy", copy_file_range(from, &(off_t){ 0 }, to, &(off_t){ 1 }, BYTES, 0));
	observe("read", pread(to, got, BYTES, 1));
	observe("same", memcmp(bytes, got, BYTES) == 0);
}

CASE(positions_most)
{
	const off_t most = 0x7fffffffffffffff;
	int fd = (int)must("open", open("file", O_CREAT | O_RDWR, 0600));
	observe("write", pwrite(fd, "ab", 2, most));
	observe("write-negative", pwrite(fd, "ab", 2, -1));
	observe("seek", lseek(fd, most, SEEK_SET) == most);
	observe("write-here", write(fd, "ab", 2));
	observe("read-here", read(fd, byte, 2));
	observe("nothing-here", write(fd, "ab", 0));
	observe("seek-beyond", lseek(fd, 1, SEEK_CUR));
	observe("seek-negative", lseek(fd, -1, SEEK_SET));
	observe("truncate-negative", ftruncate(fd, -1));
	observe("size", lseek(fd, 0, SEEK_END));
	observe("allocate-negative", fallocate(fd, 0, -1, 10));
	observe("allocate-beyond", fallocate(fd, 0, most, 10));
}

CASE(positions_near_the_end)
{
	const off_t most = 0x7fffffffffffffff;
	int fd = (int)must("open", open("file", O_CREAT | O_RDWR, 0600));
	observe("truncate", ftruncate(fd, most));
	observe("end", lseek(fd, 0, SEEK_END) == most);
	observe("write", write(fd, "ab", 2));
	observe("read", pread(fd, byte, 2, most - 1));
	observe("truncate-back", ftruncate(fd, 3));
	observe("end", lseek(fd, 0, SEEK_END));
}

static int exceeded;

static void count_exceeded(int number)
{
	(void)number;
	exceeded++;
}

CASE(file_size_limit)
{
	struct rlimit small = { 10, RLIM_INFINITY };
	int fd = (int)must("open", open("file", O_CREAT | O_RDWR, 0600));
	signal(SIGXFSZ, count_exceeded);
	must("setrlimit", setrlimit(RLIMIT_FSIZE, &small));
	observe("write", write(fd, "0123456", 7));
	observe("part", write(fd, "789abc", 6));
	observe("signals", exceeded);
	observe("beyond", write(fd, "d", 1));
	observe("signals", exceeded);
	observe("truncate", ftruncate(fd, 11));
	observe("signals", exceeded);
	observe("allocate", fallocate(fd, 0, 0, 11));
	observe("signals", exceeded);
	observe("within", pwrite(fd, "x", 1, 9));
}

CASE(poll_more_than_descriptors)
{
	static struct pollfd fds[20];
	struct rlimit low = { 16, 4096 };
	struct timespec none = { 0 };
	for (int i = 0; i < 20; i++)
		fds[i].fd = -1;
	must("setrlimit", setrlimit(RLIMIT_NOFILE, &low));
	observe("poll", poll(fds, 16, 0));
	observe("poll", poll(fds, 17, 0));
	observe("ppoll", ppoll(fds, 16, &none, NULL));
	observe("ppoll", ppoll(fds, 17, &none, NULL));
	fd_set set;
	FD_ZERO(&set);
	struct timeval now = { 0 };
	observe("select", select(1024, &set, NULL, NULL, &now));
	observe("select-negative", select(-1, &set, NULL, NULL, &now));
}

CASE(control_bytes_most)
{
	static char control[1 << 20];
	static const size_t lengths[] = { 16384,  131056,  131064,    131071, 131072,
		                          131080, 1 << 20, 1ul << 31, ~0ul };
	int datagrams[2], pair[2], stream[2];
	udp_pair(datagrams);
	unix_pair(SOCK_STREAM, pair);
	tcp_pair(stream);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct msghdr message = { .msg_iov = &(struct iovec){ byte, 1 },
			                  .msg_iovlen = 1,
			                  .msg_control = control,
			                  .msg_controllen = lengths[i] };
		struct cmsghdr *first =
		        (struct cmsghdr *)control; /* of a level that nobody knows */
		*first = (struct cmsghdr){ .cmsg_len = lengths[i], .cmsg_level = 9999 };
		observe_text("bytes", "%zu", lengths[i]);
		observe("udp", sendmsg(datagrams[0], &message, MSG_DONTWAIT));
		observe("unix", sendmsg(pair[0], &message, MSG_DONTWAIT));
		observe("tcp", sendmsg(stream[0], &message, MSG_DONTWAIT));
	}
}
