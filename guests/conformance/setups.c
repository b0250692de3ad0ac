/* The set-ups that many cases share: see conform.h. */
#define _GNU_SOURCE
#include "conform.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <time.h>

#define GATEWAY "10.0.2.2"

struct sockaddr_in inet_address(const char *text, int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	errno = EINVAL;
	must("inet_pton", inet_pton(AF_INET, text, &address.sin_addr) == 1 ? 0 : -1);
	return address;
}

struct sockaddr_in own_address(int port)
{
	struct ifreq entries[8];
	struct ifconf all = { .ifc_len = sizeof(entries), .ifc_req = entries };
	struct sockaddr_in address;
	int fd = udp_socket();
	must("SIOCGIFCONF", ioctl(fd, SIOCGIFCONF, &all));
	close(fd);
	for (size_t i = 0; i < (size_t)all.ifc_len / sizeof(entries[0]); i++) {
		memcpy(&address, &entries[i].ifr_addr, sizeof(address));
		address.sin_port = htons((uint16_t)port);
		if (ntohl(address.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
			return address;
	}
	errno = ENODEV;
	must("own-address", -1);
	return address;
}

struct sockaddr_in gateway_address(int port)
{
	const char *text = getenv("GATEWAY");
	return inet_address(text ? text : GATEWAY, port);
}

struct sockaddr_in name_of(int fd)
{
	struct sockaddr_in address;
	socklen_t length = sizeof(address);
	must("getsockname", getsockname(fd, (struct sockaddr *)&address, &length));
	return address;
}

int bind_to(int fd, struct sockaddr_in address)
{
	return bind(fd, (struct sockaddr *)&address, sizeof(address));
}

int connect_to(int fd, struct sockaddr_in address)
{
	return connect(fd, (struct sockaddr *)&address, sizeof(address));
}

int tcp_socket(void)
{
	return (int)must("socket", socket(AF_INET, SOCK_STREAM, 0));
}

int udp_socket(void)
{
	return (int)must("socket", socket(AF_INET, SOCK_DGRAM, 0));
}

int tcp_listener(int backlog, struct sockaddr_in *address)
{
	int fd = tcp_socket();
	must("bind", bind_to(fd, inet_address("127.0.0.1", 0)));
	must("listen", listen(fd, backlog));
	if (address)
		*address = name_of(fd);
	return fd;
}

void tcp_pair(int pair[2])
{
	struct sockaddr_in address;
	int listener = tcp_listener(1, &address);
	pair[0] = tcp_socket();
	must("connect", connect_to(pair[0], address));
	pair[1] = (int)must("accept", accept(listener, NULL, NULL));
	close(listener);
}

void udp_pair(int pair[2])
{
	for (int i = 0; i < 2; i++) {
		pair[i] = udp_socket();
		must("bind", bind_to(pair[i], inet_address("127.0.0.1", 0)));
	}
	for (int i = 0; i < 2; i++)
		must("connect", connect_to(pair[i], name_of(pair[1 - i])));
}

void unix_pair(int type, int pair[2])
{
	must("socketpair", socketpair(AF_UNIX, type, 0, pair));
}

int full_listener(struct sockaddr_in *address)
{
	int listener = tcp_listener(0, address);
	must("connect", connect_to(tcp_socket(), *address));
	return listener;
}

void observe_so_error(const char *label, int fd)
{
	int error = 0;
	socklen_t length = sizeof(error);
	int result = getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
	if (result != 0 || error == 0)
		observe(label, result);
	else
		observe_text(label, "%s", strerrorname_np(error));
}

int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value));
}

void observe_int(const char *label, int fd, int level, int option)
{
	int value = 0;
	socklen_t length = sizeof(value);
	int result = getsockopt(fd, level, option, &value, &length);
	observe(label, result == 0 ? value : result);
}

void set_timeout(int fd, int option, int ms)
{
	struct timeval time = { ms / 1000, ms % 1000 * 1000 };
	must("timeout", setsockopt(fd, SOL_SOCKET, option, &time, sizeof(time)));
}

void set_nonblocking(int fd)
{
	must("F_SETFL", fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK));
}

static void alarm_rang(int signal)
{
	(void)signal;
}

void interrupt_after(int ms, int flags)
{
	struct sigaction action = { .sa_handler = alarm_rang, .sa_flags = flags };
	struct itimerval timer = { .it_value = { ms / 1000, ms % 1000 * 1000 } };
	must("sigaction", sigaction(SIGALRM, &action, NULL));
	must("setitimer", setitimer(ITIMER_REAL, &timer, NULL));
}

void pause_ms(int ms)
{
	struct timespec time = { ms / 1000, ms % 1000 * 1000000L };
	while (nanosleep(&time, &time) == -1 && errno == EINTR)
		;
}
