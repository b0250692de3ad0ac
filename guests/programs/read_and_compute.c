/* read_and_compute PORT MILLISECONDS: of one connection, reads what comes and then computes so
 * long, without a system call; answers nothing. Ends when the peer does. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time); /* the vDSO's */
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	static char buffer[65536];
	struct sockaddr_in address = { .sin_family = AF_INET };
	int listener = socket(AF_INET, SOCK_STREAM, 0), connection;

	if (argc != 3)
		return 2;
	address.sin_port = htons((uint16_t)atoi(argv[1]));
	if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1)) {
		perror("read_and_compute");
		return 1;
	}
	printf("listening on port %s\n", argv[1]);
	fflush(stdout);
	connection = accept(listener, NULL, NULL);
	while (read(connection, buffer, sizeof buffer) > 0)
		for (double end = now() + atoi(argv[2]) / 1e3; now() < end;)
			;
	return 0;
}
