/*
 * fuzz_sockets [SEED [CALLS]]: random socket calls with hostile arguments from several processes.
 * Succeeds when the kernel is still there and a plain exchange over loopback works afterwards.
 * Prints the seed, so that a failure can be repeated.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST_FD   3
#define FDS        24
#define ROOM       65536
#define PROCESSES  3
/* Few places, so that what one call needs is often where its pointer points. */
#define SLOTS      24
#define SLOT_BYTES 256

static uint64_t state;
static unsigned char *room; /* ROOM bytes, nothing mapped behind them */

static uint64_t any(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static long below(long most)
{
	return (long)(any() % (uint64_t)most);
}

static long descriptor(void)
{
	return below(20) ? FIRST_FD + below(FDS) : below(3) ? -1 - below(5) : 1000 + below(100000);
}

static long length(void)
{
	static const long odd[] = { 0,   1,   2,    15,   16,      17, 110,       111,
		                    128, 129, 4096, ROOM, 1 << 20, -1, INT32_MIN, INT32_MAX };
	return below(3) ? odd[below(sizeof(odd) / sizeof(odd[0]))] : below(256);
}

/* Mostly into the room, with something plausible there; sometimes over its end, unmapped, or not a
 * user address. */
static long pointer(void)
{
	switch (below(24)) {
	case 0:
		return 0;
	case 1:
		return (long)(room + ROOM - below(64));
	case 2:
		return (long)(any() & 0x3fffffffff);
	case 3:
		return (long)(0xffffffc000000000ull + (any() & 0xffffffff));
	default:
		return (long)(room + below(SLOTS) * SLOT_BYTES);
	}
}

static void scribble(void)
{
	unsigned char *at = room + below(SLOTS) * SLOT_BYTES;
	switch (below(5)) {
	case 0: { /* an address */
		struct sockaddr_in in = { .sin_family = below(8) ? AF_INET : AF_UNSPEC,
			                  .sin_port = htons((uint16_t)(40000 + below(4))) };
		in.sin_addr.s_addr = below(4) ? htonl(INADDR_LOOPBACK) : (uint32_t)any();
		memcpy(at, &in, sizeof(in));
		break;
	}
	case 1: { /* a local one, abstract */
		unsigned char name[] = { AF_UNIX, 0, 0, 'f', (unsigned char)('0' + below(4)) };
		memcpy(at, name, sizeof(name));
		break;
	}
	case 2: { /* an iovec and a msghdr that uses it */
		struct iovec vector[4];
		for (int i = 0; i < 4; i++)
			vector[i] = (struct iovec){ (void *)pointer(), (size_t)below(20000) };
		struct iovec *list = (void *)(room + below(SLOTS) * SLOT_BYTES);
		memcpy(list, vector, sizeof(vector));
		struct msghdr header = {
			(void *)pointer(), (socklen_t)length(),     list, (size_t)below(6),
			(void *)pointer(), (size_t)length() & 1023, 0
		};
		memcpy(at, &header, sizeof(header));
		break;
	}
	case 3: { /* a control message */
		struct cmsghdr control = { (size_t)below(40), below(2) ? SOL_SOCKET : IPPROTO_IP,
			                   1 + (int)below(10) };
		memcpy(at, &control, sizeof(control));
		for (int i = 0; i < 4; i++)
			at[16 + i] = 0;
		at[16] = (unsigned char)descriptor();
		break;
	}
	default:
		for (int i = 0; i < 32; i++)
			at[i] = (unsigned char)any();
	}
}

static void one_call(void)
{
	static const int numbers[] = {
		SYS_socket,   SYS_socketpair, SYS_bind,        SYS_listen,      SYS_accept,
		SYS_accept4,  SYS_connect,    SYS_getsockname, SYS_getpeername, SYS_sendto,
		SYS_recvfrom, SYS_setsockopt, SYS_getsockopt,  SYS_shutdown,    SYS_sendmsg,
		SYS_recvmsg,  SYS_recvmmsg,   SYS_sendmmsg,    SYS_read,        SYS_write,
		SYS_close,    SYS_ioctl,      SYS_ppoll,       SYS_dup
	};
	int number = numbers[below(sizeof(numbers) / sizeof(numbers[0]))];
	long a = descriptor(), b = pointer(), c = length(),
	     d = below(4) ? below(2) * MSG_DONTWAIT : (long)any(), e = pointer(), f = length();
	switch (number) {
	case SYS_socket:
	case SYS_socketpair:
		a = below(8) ? (below(2) ? AF_INET : AF_UNIX) : below(60);
		b = (1 + below(6)) | (below(8) ? SOCK_NONBLOCK : (long)any() & SOCK_CLOEXEC);
		c = below(6) ? 0 : below(300);
		d = pointer();
		break;
	case SYS_listen:
		b = below(6);
		break;
	case SYS_setsockopt:
	case SYS_getsockopt:
		b = below(4) ? (below(2)   ? SOL_SOCKET
		                : below(2) ? IPPROTO_TCP
		                           : IPPROTO_IP)
		             : below(300);
		c = below(64);
		d = pointer();
		e = number == SYS_setsockopt ? length() : pointer();
		break;
	case SYS_shutdown:
		b = below(4);
		break;
	case SYS_sendmsg:
	case SYS_recvmsg:
		c = MSG_DONTWAIT | (below(3) ? 0 : (long)any());
		break;
	case SYS_sendmmsg:
	case SYS_recvmmsg:
		c = below(6);
		d = MSG_DONTWAIT;
		e = below(4) ? 0 : pointer();
		break;
	case SYS_close:
		if (below(3))
			return;
		break;
	case SYS_ioctl:
		b = below(2) ? 0x8900 + below(0x80) : 0x5400 + below(0x40);
		c = pointer();
		break;
	case SYS_ppoll:
		a = pointer();
		b = below(20);
		c = (long)(room + ROOM / 2); /* a time of zero is kept there */
		memset((void *)c, 0, 16);
		d = 0;
		break;
	case SYS_dup:
		if (below(8))
			return;
		break;
	default:
		break;
	}
	syscall(number, a, b, c, d, e, f);
}

static void interrupt(int number)
{
	(void)number;
}

static int fuzz(uint64_t seed, long calls)
{
	state = seed * 0x9e3779b97f4a7c15ull | 1;
	unsigned char *area =
	        mmap(NULL, 2 * ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(area + ROOM, ROOM);
	room = area;
	/* Calls that wait are broken off; SIGPIPE is not wanted. */
	struct sigaction action = { .sa_handler = interrupt };
	sigaction(SIGALRM, &action, NULL);
	sigaction(SIGPIPE, &action, NULL);
	struct itimerval time = { { 0, 5000 }, { 0, 5000 } };
	setitimer(ITIMER_REAL, &time, NULL);
	close(0);
	for (long i = 0; i < calls; i++) {
		if (below(3) == 0)
			scribble();
		one_call();
		for (int fd = FIRST_FD + FDS; (i & 1023) == 0 && fd < 1024; fd++)
			close(fd);
	}
	return 0;
}

/* The machine still does what it is for. */
static int exchange(void)
{
	char buffer[8];
	int fd = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof(address);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&address, size) || listen(fd, 1) ||
	    getsockname(fd, (struct sockaddr *)&address, &size) ||
	    connect(client, (struct sockaddr *)&address, size))
		return 1;
	int server = accept(fd, NULL, NULL);
	return server < 0 || write(client, "alive", 5) != 5 || read(server, buffer, 5) != 5 ||
	       memcmp(buffer, "alive", 5) != 0;
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	long calls = argc > 2 ? atol(argv[2]) : 200000;
	printf("fuzz_sockets: seed %llu, %ld calls in each of %d processes\n",
	       (unsigned long long)seed, calls, PROCESSES);
	fflush(stdout);
	for (int i = 0; i < PROCESSES; i++) {
		if (fork() == 0)
			_exit(fuzz(seed + (uint64_t)i, calls));
	}
	int status, failed = 0;
	while (wait(&status) > 0)
		failed += status != 0;
	failed += exchange();
	printf("fuzz_sockets: %s\n", failed ? "failed" : "passed");
	return failed != 0;
}
