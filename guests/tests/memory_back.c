/* Memory that packets held comes back: by itself after a while, and at once when a program needs
 * it. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "guests/tests/check.h"
#include "guests/tests/meminfo.h"

#define CONNECTIONS 64
#define BURST_PART  16 /* of the memory, which packets hold at least; TCP may hold an eighth */
#define SLACK_KIB   256
#define PAGE        4096ul

static long burst_kib(void)
{
	return meminfo_kib("MemTotal") / BURST_PART;
}

/* Connections to ourselves, filled with bytes that nobody reads, then all gone. */
static void burst(void)
{
	static int ends[2 * CONNECTIONS];
	static char bytes[65536];
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(bind(listener, (struct sockaddr *)&address, length) == 0);
	CHECK(listen(listener, CONNECTIONS) == 0);
	CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
	for (int i = 0; i < CONNECTIONS; i++) {
		ends[i] = socket(AF_INET, SOCK_STREAM, 0);
		CHECK(connect(ends[i], (struct sockaddr *)&address, length) == 0);
		ends[CONNECTIONS + i] = accept(listener, NULL, NULL);
		CHECK(ends[CONNECTIONS + i] >= 0);
	}
	for (int i = 0; i < CONNECTIONS; i++) {
		while (send(ends[i], bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
		}
		CHECK(errno == EAGAIN);
	}
	usleep(50000);
	printf("at the height of the burst: PacketPool %ld kB, PacketsUsed %ld kB\n",
	       meminfo_kib("PacketPool"), meminfo_kib("PacketsUsed"));
	for (int i = 0; i < 2 * CONNECTIONS; i++)
		close(ends[i]);
	close(listener);
	usleep(50000);
}

static void test_comes_back_by_itself(void)
{
	long pool = meminfo_kib("PacketPool"), free_kib = meminfo_kib("MemFree");
	burst();
	CHECK(meminfo_kib("PacketPool") > pool + burst_kib());
	CHECK(meminfo_kib("PacketsUsed") < pool + SLACK_KIB);
	time_t until = time(NULL) + 30;
	while (meminfo_kib("PacketPool") > pool + SLACK_KIB && time(NULL) < until)
		usleep(100000);
	printf("PacketPool %ld kB before, %ld kB after; MemFree %ld kB before, %ld kB after\n",
	       pool, meminfo_kib("PacketPool"), free_kib, meminfo_kib("MemFree"));
	CHECK(meminfo_kib("PacketPool") <= pool + SLACK_KIB);
	CHECK(meminfo_kib("MemFree") >= free_kib - SLACK_KIB);
}

static char *touch(long kib)
{
	size_t bytes = (size_t)kib * 1024;
	char *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(area != MAP_FAILED);
	for (size_t at = 0; at < bytes; at += PAGE)
		area[at] = 1;
	return area;
}

/* Faster than it would come back by itself. A program that finds no memory is killed. */
static void test_comes_back_when_needed(void)
{
	long pool = meminfo_kib("PacketPool");
	burst();
	long first = meminfo_kib("MemFree") - 1024;
	char *area = touch(first);
	long held = meminfo_kib("PacketPool"), left = meminfo_kib("MemFree");
	CHECK(held > pool + burst_kib() && left <= 1024);
	long second = left + held - pool - 512;
	char *more = touch(second);
	printf("with %ld kB free, %ld kB more were given; PacketPool %ld kB\n", left, second,
	       meminfo_kib("PacketPool"));
	CHECK(meminfo_kib("PacketPool") < pool + 1024);
	CHECK(munmap(area, (size_t)first * 1024) == 0);
	CHECK(munmap(more, (size_t)second * 1024) == 0);
}

/* Every page in use is somebody's. */
static void test_adds_up(void)
{
	static const char *uses[] = { "MemFree",    "AnonPages",   "Shmem",     "Slab",
		                      "PageTables", "KernelFixed", "PacketPool" };
	long sum = 0, anonymous = meminfo_kib("AnonPages"), files = meminfo_kib("Shmem");
	for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++)
		sum += meminfo_kib(uses[i]);
	CHECK(sum == meminfo_kib("MemTotal"));
	char *area = touch(8192);
	CHECK(meminfo_kib("AnonPages") >= anonymous + 8192 &&
	      meminfo_kib("AnonPages") < anonymous + 8192 + 64);
	CHECK(munmap(area, 8192 * 1024) == 0);
	int fd = memfd_create("pages", 0);
	CHECK(ftruncate(fd, 1 << 20) == 0);
	char *shared = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *other =
	        mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED && other != MAP_FAILED);
	memset(shared, 1, 1 << 20);
	CHECK(meminfo_kib("Shmem") == files + 1024);
	memset(other, 1, 1 << 20);
	CHECK(meminfo_kib("Shmem") >= files + 2048 && meminfo_kib("Shmem") <= files + 2048 + 8);
	CHECK(munmap(shared, 1 << 20) == 0 && munmap(other, 1 << 20) == 0 && close(fd) == 0);
	CHECK(meminfo_kib("Shmem") == files);
	CHECK(meminfo_kib("AnonPages") <= anonymous + 64);
}

int main(void)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	test_adds_up();
	test_comes_back_by_itself();
	test_comes_back_when_needed();
	test_comes_back_by_itself();
	puts("memory_back: all checks hold");
	return 0;
}
