/* udp_echo PORT: sends each datagram back to where it came from. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	static char buffer[65536];
	struct sockaddr_in address = { .sin_family = AF_INET }, from;
	socklen_t length;
	ssize_t n;
	int fd;

	if (argc != 2) {
		fprintf(stderr, "usage: udp_echo PORT\n");
		return 2;
	}
	address.sin_port = htons((uint16_t)atoi(argv[1]));
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		fprintf(stderr, "udp_echo: %s\n", strerror(errno));
		return 1;
	}
	printf("udp_echo: listening on port %s\n", argv[1]);
	fflush(stdout);
	for (;;) {
		length = sizeof from;
		n = recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &length);
		if (n < 0)
			continue;
		sendto(fd, buffer, (size_t)n, 0, (struct sockaddr *)&from, length);
	}
}
