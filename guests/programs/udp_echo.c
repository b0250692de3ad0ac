/* udp_echo PORT: sends each datagram back to where it came from.
 * udp_echo --check: checks itself over the loopback instead (udp_echo_check.c). */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "echo.h"

int udp_echo_bind(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		fprintf(stderr, "udp_echo: %s\n", strerror(errno));
		exit(1);
	}
	return fd;
}

void udp_echo_serve(int fd)
{
	static char buffer[65536];
	struct sockaddr_in from;

	for (;;) {
		socklen_t length = sizeof from;
		ssize_t n =
		        recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &length);

		if (n >= 0)
			sendto(fd, buffer, (size_t)n, 0, (struct sockaddr *)&from, length);
	}
}

int main(int argc, char **argv)
{
	int fd;

	if (argc != 2) {
		fprintf(stderr, "usage: udp_echo PORT | --check\n");
		return 2;
	}
	if (strcmp(argv[1], "--check") == 0)
		return udp_echo_check();
	fd = udp_echo_bind((uint16_t)atoi(argv[1]));
	printf("udp_echo: listening on port %s\n", argv[1]);
	fflush(stdout);
	udp_echo_serve(fd);
}
