/* What is bounded by memory, or only by this kernel: each is used up, fails as it should, and comes
 * back. In a machine of little memory, of which most is taken first, so that the end is near. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guests/tests/check.h"
#include "guests/tests/meminfo.h"

#define PAGE        4096ul
#define LEFT_KIB    1024
#define GIB         (1ul << 30)
#define DESCRIPTORS 262144

static void *thread_identifier(void *unused)
{
	(void)unused;
	return (void *)(long)gettid();
}

static volatile long *reached; /* by the child, in shared memory */

static void take_memory(void)
{
	for (long more; (more = meminfo_kib("MemFree") - LEFT_KIB) > 0;) {
		char *area = mmap(NULL, (size_t)more * 1024, PROT_READ | PROT_WRITE,
		                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(area != MAP_FAILED);
		for (long at = 0; at < more * 1024; at += (long)PAGE)
			area[at] = 1;
	}
}

/* In a child, twice: what the first one used up is there for the second. */
static void twice(const char *name, void (*body)(void), int little_memory)
{
	long first = 0;
	for (int round = 0; round < 2; round++) {
		*reached = 0;
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			if (little_memory)
				take_memory();
			body();
			_exit(0);
		}
		int status = -1;
		CHECK(waitpid(pid, &status, 0) == pid);
		if (status)
			printf("%s: the child ended with status 0x%x at %ld\n", name, status,
			       *reached);
		CHECK(status == 0);
		if (round == 0)
			first = *reached;
	}
	printf("%s: %ld, then %ld\n", name, first, *reached);
	CHECK(*reached > first - first / 8);
}

static void more_descriptors(void)
{
	struct rlimit most = { DESCRIPTORS, DESCRIPTORS };
	CHECK(setrlimit(RLIMIT_NOFILE, &most) == 0);
}

static void epoll_items(void)
{
	enum { WATCHED = 256 };
	static int set, fds[WATCHED];
	struct epoll_event event = { .events = EPOLLIN };
	more_descriptors();
	int first = epoll_create1(0), fd = eventfd(1, 0);
	CHECK(first >= 0 && fd >= 0);
	for (int i = 0; i < WATCHED; i++)
		CHECK((fds[i] = dup(fd)) >= 0);
	int failed = 0;
	for (set = first; !failed; set = failed ? set : epoll_create1(0)) {
		if (set < 0)
			break;
		for (int i = 0; i < WATCHED && !failed; i++) {
			event.data.fd = fds[i];
			failed = epoll_ctl(set, EPOLL_CTL_ADD, fds[i], &event);
			*reached += !failed;
		}
	}
	CHECK(errno == ENOMEM);
	CHECK(*reached > WATCHED);
	CHECK(epoll_wait(first, &event, 1, 0) == 1);
	event.events = EPOLLIN;
	CHECK(epoll_ctl(first, EPOLL_CTL_MOD, fds[3], &event) == 0);
	CHECK(epoll_ctl(first, EPOLL_CTL_DEL, fds[3], NULL) == 0);
	CHECK(epoll_ctl(first, EPOLL_CTL_ADD, fds[3], &event) == 0);
}

static void timerfds(void)
{
	more_descriptors();
	int fd, last = -1;
	while ((fd = timerfd_create(CLOCK_MONOTONIC, 0)) >= 0) {
		last = fd;
		++*reached;
	}
	CHECK(errno == ENOMEM);
	struct itimerspec soon = { .it_value.tv_nsec = 1000000 };
	uint64_t expiries = 0;
	CHECK(timerfd_settime(last, 0, &soon, NULL) == 0);
	CHECK(read(last, &expiries, sizeof(expiries)) == sizeof(expiries) && expiries == 1);
	CHECK(close(last) == 0);
	CHECK((last = timerfd_create(CLOCK_MONOTONIC, 0)) >= 0);
}

/* Every second byte of some files. */
static void locks(void)
{
	enum { FILES = 64, BYTES = 1000 };
	struct flock lock = { .l_type = F_WRLCK, .l_len = 1 };
	static int fds[FILES];
	int failed = 0, last = 0;
	for (int file = 0; file < FILES; file++) {
		char name[32];
		snprintf(name, sizeof(name), "/tmp/locked%d", file);
		CHECK((fds[file] = open(name, O_CREAT | O_RDWR, 0600)) >= 0);
		CHECK(unlink(name) == 0);
	}
	for (int file = 0; file < FILES && !failed; file++) {
		for (lock.l_start = 0; lock.l_start < 2 * BYTES && !failed; lock.l_start += 2) {
			failed = fcntl(fds[file], F_SETLK, &lock);
			*reached += !failed;
		}
		last = file;
	}
	CHECK(failed && errno == ENOLCK);
	CHECK(*reached > 100);
	lock = (struct flock){ .l_type = F_UNLCK, .l_len = 1 };
	fcntl(fds[last ? last - 1 : 0], F_SETLK, &lock); /* a whole one goes: needs no more */
	CHECK(close(fds[0]) == 0);                       /* all of that file's */
	lock.l_type = F_WRLCK;
	CHECK(fcntl(fds[1], F_SETLK, &lock) == 0);
}

static void file_pages(void)
{
	static char chunk[16384], got[16384];
	int fd = open("/tmp/full", O_CREAT | O_RDWR | O_TRUNC, 0600);
	CHECK(fd >= 0);
	memset(got, 1, sizeof(got)); /* later there is no memory for its pages */
	ssize_t wrote;
	for (long number = 0;; number++) {
		memset(chunk, (int)('a' + number % 26), sizeof(chunk));
		if ((wrote = write(fd, chunk, sizeof(chunk))) <= 0)
			break;
		*reached += wrote;
	}
	CHECK(wrote == -1 && errno == ENOSPC);
	CHECK(lseek(fd, 0, SEEK_END) == *reached);
	for (long at = 0; at < *reached; at += (long)sizeof(got)) {
		ssize_t length = pread(fd, got, sizeof(got), at);
		CHECK(length > 0);
		for (ssize_t i = 0; i < length; i++)
			CHECK(got[i] == 'a' + at / (long)sizeof(got) % 26);
	}
	CHECK(ftruncate(fd, 0) == 0);
	CHECK(write(fd, "again", 5) == 5);
	CHECK(unlink("/tmp/full") == 0);
}

/* Datagrams that grow: each holds a block of packet memory. */
static void corked_datagrams(void)
{
	enum { BYTES = 60000, MOST = 4096 };
	static char bytes[BYTES], got[BYTES + 1];
	static int fds[MOST];
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int to = socket(AF_INET, SOCK_DGRAM, 0), one = 1, zero = 0, count = 0;
	CHECK(bind(to, (struct sockaddr *)&address, length) == 0);
	CHECK(getsockname(to, (struct sockaddr *)&address, &length) == 0);
	ssize_t sent = 0;
	for (; count < MOST && sent >= 0; count++) {
		CHECK((fds[count] = socket(AF_INET, SOCK_DGRAM, 0)) >= 0);
		CHECK(setsockopt(fds[count], SOL_UDP, UDP_CORK, &one, sizeof(one)) == 0);
		memset(bytes, count, BYTES);
		sent = sendto(fds[count], bytes, BYTES, 0, (struct sockaddr *)&address, length);
	}
	CHECK(sent == -1 && errno == ENOBUFS);
	*reached = --count;
	CHECK(count > 8);
	CHECK(setsockopt(fds[3], SOL_UDP, UDP_CORK, &zero, sizeof(zero)) == 0); /* it leaves */
	CHECK(recv(to, got, sizeof(got), 0) == BYTES);
	CHECK(got[0] == 3 && got[BYTES - 1] == 3);
	sent = sendto(fds[count], bytes, BYTES, 0, (struct sockaddr *)&address, length);
	CHECK(sent == BYTES);
}

/* 256 GiB, less what is mapped. */
static void user_addresses(void)
{
	static char *areas[1024];
	char *area;
	while ((area = mmap(NULL, GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
	                    0)) != MAP_FAILED)
		areas[(*reached)++] = area;
	CHECK(errno == ENOMEM);
	CHECK(*reached > 200 && *reached <= 256);
	CHECK(munmap(areas[77], GIB) == 0);
	CHECK(mmap(NULL, GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) ==
	      areas[77]);
	CHECK(mmap((void *)(1ul << 38), PAGE, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS,
	           -1, 0) == MAP_FAILED);
	CHECK(errno == ENOMEM);
}

/* RLIMIT_SIGPENDING allows more than there may be of them. */
static void posix_timers(void)
{
	struct rlimit most = { 10000, 10000 };
	CHECK(setrlimit(RLIMIT_SIGPENDING, &most) == 0);
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	timer_t timer, last = 0;
	while (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0) {
		last = timer;
		++*reached;
	}
	CHECK(errno == EAGAIN && *reached == 4096);
	CHECK(timer_delete(last) == 0);
	CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
}

/* A request that is too long is refused whole, and the next one answered. */
static void netlink_requests(void)
{
	enum { MOST = 32768 };
	static char bytes[MOST + 1], answer[8192];
	struct nlmsghdr header = { .nlmsg_len = MOST,
		                   .nlmsg_type = RTM_GETLINK,
		                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP };
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	CHECK(fd >= 0);
	memcpy(bytes, &header, sizeof(header));
	CHECK_FAILS(send(fd, bytes, MOST + 1, 0), EMSGSIZE);
	CHECK_FAILS(recv(fd, answer, sizeof(answer), MSG_DONTWAIT), EAGAIN);
	CHECK(send(fd, bytes, MOST, 0) == MOST);
	CHECK(recv(fd, answer, sizeof(answer), 0) > (ssize_t)sizeof(header));
	*reached = MOST;
}

/* As many as the machine has places for; root has no other limit. */
static void processes(void)
{
	enum { MOST = 1024 };
	static pid_t pids[MOST];
	pid_t pid = 0;
	while (*reached < MOST && (pid = fork()) >= 0) {
		if (pid == 0)
			for (;;)
				pause();
		pids[(*reached)++] = pid;
	}
	CHECK(pid == -1 && errno == EAGAIN);
	CHECK(*reached >= 20);
	pthread_t thread;
	CHECK(pthread_create(&thread, NULL, thread_identifier, NULL) == EAGAIN);
	CHECK(kill(pids[3], SIGKILL) == 0 && waitpid(pids[3], NULL, 0) == pids[3]);
	CHECK((pids[3] = fork()) >= 0);
	if (pids[3] == 0)
		for (;;)
			pause();
	for (long i = 0; i < *reached; i++)
		CHECK(kill(pids[i], SIGKILL) == 0 && waitpid(pids[i], NULL, 0) == pids[i]);
}

/* More threads, one after the other, than there are identifiers: they begin again, and the one that
 * is in use is left out. */
static void identifiers(void)
{
	enum { IDENTIFIERS = 32768 };
	pid_t own = gettid(), last = own, wraps = 0;
	for (; *reached < IDENTIFIERS + 1000; ++*reached) {
		pthread_t thread;
		void *identifier;
		CHECK(pthread_create(&thread, NULL, thread_identifier, NULL) == 0);
		CHECK(pthread_join(thread, &identifier) == 0);
		pid_t next = (pid_t)(long)identifier;
		CHECK(next > 1 && next < IDENTIFIERS && next != own && next != getppid());
		wraps += next < last;
		last = next;
	}
	CHECK(wraps == 1 || wraps == 2);
}

/* The most descriptors that a process may have. */
static void descriptors(void)
{
	more_descriptors();
	struct rlimit more = { DESCRIPTORS + 1, DESCRIPTORS + 1 };
	CHECK_FAILS(setrlimit(RLIMIT_NOFILE, &more), EPERM);
	int fd = eventfd(0, 0), next, last = fd;
	while ((next = dup(fd)) >= 0)
		last = next;
	CHECK(errno == EMFILE && last == DESCRIPTORS - 1);
	CHECK_FAILS(socket(AF_INET, SOCK_STREAM, 0), EMFILE);
	CHECK_FAILS(open("/", O_RDONLY), EMFILE);
	CHECK(close(100000) == 0 && dup(last) == 100000);
	CHECK(close_range(3, ~0u, 0) == 0);
	CHECK(eventfd(0, 0) == 3);
}

/* More address spaces than identifiers: each process sees its own memory. */
static void address_spaces(int count)
{
	static volatile int own = -1;
	int here[2], go[2];
	char byte = 0;
	CHECK(pipe(here) == 0 && pipe(go) == 0);
	for (int i = 0; i < count; i++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid)
			continue;
		own = i;
		close(go[1]);
		if (write(here[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 0 || own != i)
			_exit(1);
		_exit(0);
	}
	for (int i = 0; i < count; i++)
		CHECK(read(here[0], &byte, 1) == 1);
	CHECK(own == -1);
	close(go[1]);
	for (int i = 0; i < count; i++) {
		int status = -1;
		CHECK(wait(&status) > 0);
		CHECK(status == 0);
	}
	CHECK(own == -1);
}

/* Fills packet memory from outside: port 7001 keeps what comes and nobody reads it, until port 7000
 * is told to. limits_flood_host.py is the other end. */
static int bound_socket(int port)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0), most = 256 << 20;
	const struct sockaddr_in address = { .sin_family = AF_INET,
		                             .sin_port = htons((uint16_t)port) };
	CHECK(bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &most, sizeof(most)) == 0);
	return fd;
}

static void flood(void)
{
	static char bytes[2048];
	int orders = bound_socket(7000), kept = bound_socket(7001);
	puts("limits: ready");
	for (;;) {
		struct sockaddr_in from;
		socklen_t length = sizeof(from);
		ssize_t got = recvfrom(orders, bytes, sizeof(bytes), 0, (struct sockaddr *)&from,
		                       &length);
		CHECK(got > 0);
		if (!memcmp(bytes, "end", 3))
			return;
		long drained = 0;
		while (recv(kept, bytes, sizeof(bytes), MSG_DONTWAIT) >= 0)
			drained++;
		got = snprintf(bytes, sizeof(bytes), "drained %ld", drained);
		CHECK(sendto(orders, bytes, (size_t)got, 0, (struct sockaddr *)&from, length) ==
		      got);
	}
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	reached = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	*reached = 0;
	if (argc > 1 && !strcmp(argv[1], "flood")) {
		flood();
	} else if (argc > 1 && !strcmp(argv[1], "calls")) {
		for (int i = 0; i < 5000; i++)
			syscall(SYS_getppid);
		times(NULL);
	} else if (argc > 1) {
		address_spaces(atoi(argv[1]));
		descriptors();
	} else {
		twice("epoll items", epoll_items, 1);
		twice("timerfds", timerfds, 1);
		twice("locks", locks, 1);
		twice("bytes of a file", file_pages, 1);
		twice("corked datagrams", corked_datagrams, 0);
		twice("GiB of addresses", user_addresses, 0);
		twice("POSIX timers", posix_timers, 0);
		twice("bytes of a netlink request", netlink_requests, 0);
		twice("processes", processes, 0);
		twice("threads", identifiers, 0);
	}
	puts("limits: all checks hold");
	return 0;
}
