/*
 * Rounds of random calls, and the state of the machine between them. See fuzz.h.
 *
 *     fuzz_kernel [SECONDS [SEED [THREADS [hungry]]]]
 *
 * A round is a process group: a process with some threads and a child, all of which share
 * descriptors' files, the room and the region. Signals interrupt it every few milliseconds; after a
 * quarter of a second it is killed whatever it does. Then an exchange over loopback and a fork must
 * work. With `hungry` there is hardly any memory during a round. At the end no socket may be left,
 * and as much memory be free as after the first rounds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include "guests/programs/fuzz/fuzz.h"
#include "guests/programs/test_check.h"

#define ROUND_MS       250
#define INTERRUPT_MS   7
#define WARM_ROUNDS    8
#define PLACE          "/tmp/fuzz"
#define MOST_LOST_KIB  256
#define SETTLE_SECONDS 2000 /* the last orphan has given up by then */
#define ENOUGH_SECONDS 20   /* for each call to succeed at least once */
#define CALLS_MOST     128
#define HUNGRY_BYTES   (8 << 10) /* times 1 to 8 */

/* Counted by all tasks. */
static struct tally {
	uint64_t made;
	uint64_t starved; /* refused for want of memory, or of room in it */
	uint32_t succeeded[CALLS_MOST];
} * tally;

static long threads = 3;
static bool hungry;
static unsigned char *shared_room, *shared_region;

static void nothing(int number)
{
	(void)number;
}

/* A file's signal may be sent to the first process, which can't refuse these two. */
static bool stops_the_judge(const struct fuzz_call *call, const uint64_t *a)
{
	return call->number == SYS_fcntl && a[1] == F_SETSIG &&
	       (a[2] == SIGKILL || a[2] == SIGSTOP);
}

static void one_call(struct fuzz_source *source)
{
	unsigned chosen = fuzz_choose(source);
	const struct fuzz_call *call = &fuzz_calls[chosen];
	uint64_t a[6] = { 0 };
	for (unsigned i = 0; call->kinds[i]; i++)
		a[i] = fuzz_argument(source, call, call->kinds[i]);
	if (stops_the_judge(call, a))
		return;
	if (syscall(call->number, a[0], a[1], a[2], a[3], a[4], a[5]) >= 0)
		__atomic_fetch_add(&tally->succeeded[chosen], 1, __ATOMIC_RELAXED);
	else if (errno == ENOMEM || errno == ENOBUFS || errno == ENOSPC)
		__atomic_fetch_add(&tally->starved, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&tally->made, 1, __ATOMIC_RELAXED);
}

static void *task(void *seed)
{
	struct fuzz_source source = { .state = (uintptr_t)seed * 0x9e3779b97f4a7c15ull | 1,
		                      .room = shared_room,
		                      .region = shared_region };
	for (;;) {
		one_call(&source);
		if (fuzz_below(&source, 256) == 0)
			syscall(SYS_close_range, FUZZ_FIRST_FD + FUZZ_FDS, ~0u, 0);
	}
	return NULL;
}

/* A room with nothing behind it, and a region with nothing of the task's own around it. */
static void map_places(void)
{
	size_t region = FUZZ_REGION_BYTES + (1u << 20);
	shared_room = mmap(NULL, FUZZ_ROOM_BYTES + 4096, PROT_READ | PROT_WRITE,
	                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	mprotect(shared_room + FUZZ_ROOM_BYTES, 4096, PROT_NONE);
	shared_region =
	        mmap(NULL, region, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void limit(void)
{
	struct rlimit memory = { 128 << 20, 128 << 20 }, size = { 1 << 20, 1 << 20 },
	              files = { 64, 64 };
	setrlimit(RLIMIT_AS, &memory);
	setrlimit(RLIMIT_FSIZE, &size);
	setrlimit(RLIMIT_NOFILE, &files);
}

/* By turns as the superuser in a root of its own, who may remove the devices, and as nobody. */
static void enter(uint64_t seed)
{
	if (seed % 2 == 0) {
		mkdir("tmp", 0777);
		mkdir("dev", 0755);
		mknod("dev/null", S_IFCHR | 0666, makedev(1, 3));
		mknod("dev/zero", S_IFCHR | 0666, makedev(1, 5));
		if (chroot(PLACE))
			_exit(1);
	} else if (setgid(65534) || setuid(65534)) {
		_exit(1);
	}
	for (int fd = 0; fd < FUZZ_FIRST_FD; fd++) {
		if (dup2(open("/dev/null", O_RDWR), fd) < 0)
			_exit(1);
	}
}

/* One of each to begin with, so that calls reach far from the first on. What fails is not there. */
static void furnish(void)
{
	int pair[2];
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(40000) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	bind(listener, (struct sockaddr *)&address, sizeof(address));
	listen(listener, 4);
	for (int i = 0; i < 3; i++)
		connect(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0),
		        (struct sockaddr *)&address, sizeof(address));
	address.sin_port = htons(40001);
	bind(socket(AF_INET, SOCK_DGRAM, 0), (struct sockaddr *)&address, sizeof(address));
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
	if (pipe(pair) == 0)
		write(pair[1], "something", 9);
	epoll_create1(0);
	eventfd(1, 0);
	timerfd_create(CLOCK_MONOTONIC, 0);
	open("/tmp/f1", O_RDWR | O_CREAT, 0600);
}

static void all_signals(void (*handler)(int))
{
	for (int number = 1; number <= SIGRTMAX; number++)
		if (number != SIGCHLD)
			signal(number,
			       handler); /* refused for SIGKILL, SIGSTOP and the library's */
}

static uint64_t free_bytes(void)
{
	struct sysinfo information;
	sysinfo(&information);
	return information.freeram * (uint64_t)information.mem_unit;
}

/* Holds all memory but `left` bytes, whenever others give some back. */
static _Noreturn void hog(uint64_t left)
{
	static char bytes[16384];
	int fd = memfd_create("hog", 0);
	for (;;) {
		while (free_bytes() > left && write(fd, bytes, sizeof(bytes)) > 0)
			;
		pause_ms(1);
	}
}

static _Noreturn void round_of(uint64_t seed)
{
	static const int quiet[] = { SIGUSR1, SIGPIPE, SIGXFSZ, SIGALRM, SIGIO, SIGURG };
	struct sigaction action = { .sa_handler = nothing };
	setpgid(0, 0);
	all_signals(SIG_DFL);
	for (unsigned i = 0; i < sizeof(quiet) / sizeof(quiet[0]); i++)
		sigaction(quiet[i], &action, NULL);
	if (hungry && fork() == 0)
		hog((1 + seed % 8) * HUNGRY_BYTES);
	limit();
	map_places();
	enter(seed);
	furnish();
	uint64_t first = seed * (uint64_t)(threads + 2);
	for (long i = 1; i <= threads; i++) {
		pthread_t thread;
		pthread_create(&thread, NULL, task, (void *)(first + (uint64_t)i));
	}
	fork();
	task((void *)(first + (getpid() == getpgrp() ? 0 : (uint64_t)threads + 1)));
	_exit(0);
}

/* The machine still does what it is for. */
static int exchange(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	socklen_t size = sizeof(address);
	char buffer[8] = "";
	int fd = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0),
	    server = -1;
	int good = !bind(fd, (struct sockaddr *)&address, size) && !listen(fd, 1) &&
	           !getsockname(fd, (struct sockaddr *)&address, &size) &&
	           !connect(client, (struct sockaddr *)&address, size) &&
	           (server = accept(fd, NULL, NULL)) >= 0 && write(client, "alive", 5) == 5 &&
	           read(server, buffer, 5) == 5 && !strcmp(buffer, "alive");
	close(fd);
	close(client);
	close(server);
	return good;
}

static int remove_one(const char *name, const struct stat *status, int kind, struct FTW *walk)
{
	(void)status;
	(void)kind;
	return walk->level ? remove(name) : 0;
}

/* An empty directory to be in, whatever the calls made of it: they rename, too. */
static void make_place(void)
{
	struct stat status;
	chdir("/");
	nftw("/f3", remove_one, 16, FTW_DEPTH | FTW_PHYS);
	remove("/f3");
	if (!lstat("/tmp", &status) && !S_ISDIR(status.st_mode))
		unlink("/tmp");
	nftw("/tmp", remove_one, 16, FTW_DEPTH | FTW_PHYS);
	mkdir("/tmp", 0777);
	mkdir(PLACE, 0777);
	chmod(PLACE, 0777);
	EQ(chdir(PLACE), 0);
}

static void run_round(uint64_t seed)
{
	pid_t pid = fork();
	if (!pid)
		round_of(seed);
	EQ(pid > 0, 1);
	for (int ms = 0; ms < ROUND_MS; ms += INTERRUPT_MS) {
		pause_ms(INTERRUPT_MS);
		kill(-pid, SIGUSR1);
	}
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL);
	EQ(waitpid(pid, NULL, 0), pid);
	while (waitpid(-1, NULL, 0) > 0) /* orphans, when this is the first process */
		;
	make_place();
	EQ(exchange(), 1);
}

/* Sockets in messages that nobody can receive are looked for when a local socket is closed. */
static void close_one_more(void)
{
	int pair[2];
	EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	close(pair[0]);
	close(pair[1]);
}

/* The number behind a word in a file of /proc. */
static int64_t number_in(const char *name, const char *word)
{
	char text[2048] = "";
	int fd = open(name, O_RDONLY);
	ssize_t bytes = read(fd, text, sizeof(text) - 1);
	close(fd);
	const char *at = bytes > 0 ? strstr(text, word) : NULL;
	return at ? strtoll(at + strlen(word), NULL, 10) : -1;
}

static int64_t sockstat(const char *word)
{
	return number_in("/proc/net/sockstat", word);
}

/* Free, or kept for packets only until somebody wants it. */
static int64_t available_kib(void)
{
	return number_in("/proc/meminfo", "MemAvailable:");
}

static void show(const char *name)
{
	char text[4096];
	int fd = open(name, O_RDONLY);
	printf("%s:\n", name);
	for (ssize_t bytes; fd >= 0 && (bytes = read(fd, text, sizeof(text))) > 0;)
		printf("%.*s", (int)bytes, text);
	printf("\n");
	close(fd);
}

/* Waits until connections without an owner have ended, and then for memory to be as free as it was:
 * how much is not. */
static int64_t settle(int64_t available_before)
{
	int64_t lost = 0;
	for (int i = 0; i < SETTLE_SECONDS; i++) {
		lost = available_before - available_kib();
		if (!sockstat(" used ") && !sockstat(" alloc ") && lost < MOST_LOST_KIB)
			break;
		pause_ms(1000);
	}
	return lost;
}

static void judge(int64_t available_before, long seconds)
{
	close_one_more();
	int64_t lost = settle(available_before);
	printf("fuzz_kernel: %lld KiB of memory less available than after %d rounds\n",
	       (long long)lost, WARM_ROUNDS);
	EQ(lost < MOST_LOST_KIB, 1);
	EQ(sockstat(" used "), 0);  /* sockets that somebody holds */
	EQ(sockstat(" alloc "), 0); /* connections, whoever holds them */
	if (failures) {
		show("/proc/meminfo");
		show("/proc/net/sockstat");
		show("/proc/net/tcp");
		show("/proc/net/udp");
		show("/proc/net/unix");
	}
	for (unsigned i = 0; seconds >= ENOUGH_SECONDS && i < fuzz_call_count; i++) {
		if (!tally->succeeded[i])
			printf("fuzz_kernel: %s never succeeded\n", fuzz_calls[i].name);
		EQ(tally->succeeded[i] > 0, 1);
	}
}

int main(int argc, char **argv)
{
	begin();
	alarm(0);
	all_signals(SIG_IGN); /* what files send to their owners by O_ASYNC */
	long seconds = argc > 1 ? strtol(argv[1], NULL, 0) : 10;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1, rounds = 0;
	int64_t available_before = 0;
	threads = argc > 3 ? strtol(argv[3], NULL, 0) : threads;
	hungry = argc > 4;
	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
	             0);
	EQ(fuzz_call_count <= CALLS_MOST, 1);
	if (failures)
		return end("fuzz_kernel");
	struct timespec start, now;
	clock_gettime(CLOCK_MONOTONIC, &start);
	make_place();
	do {
		run_round(seed + rounds);
		if (++rounds == WARM_ROUNDS)
			available_before = available_kib();
		if (rounds % 40 == 0)
			printf("fuzz_kernel: %llu rounds, %llu calls, seed %llu next\n",
			       (unsigned long long)rounds, (unsigned long long)tally->made,
			       (unsigned long long)(seed + rounds));
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (!failures && (now.tv_sec - start.tv_sec < seconds || rounds < WARM_ROUNDS));
	judge(available_before, seconds);
	printf("fuzz_kernel: %llu rounds, %llu calls from seed %llu on, %llu without memory\n",
	       (unsigned long long)rounds, (unsigned long long)tally->made,
	       (unsigned long long)seed, (unsigned long long)tally->starved);
	return end("fuzz_kernel");
}
