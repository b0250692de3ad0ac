/* Tables of /proc/net that are much longer than a read, and those in which little has to be looked
 * for among much. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include "test_check.h"

#define ROWS      3000
#define OTHERS    20000 /* on one side of it are more than one turn of a reader looks through */
#define FIRST     10000 /* port */
#define ROW_BYTES 150

static char text[(ROWS + 10) * ROW_BYTES];
static int sockets[ROWS];

static void listeners(void)
{
	const int on = 1;
	for (int i = 0; i < ROWS; i++) {
		struct sockaddr_in address = { .sin_family = AF_INET };
		/* Many ports with one listener each, and one with many. */
		address.sin_port = htons((uint16_t)(FIRST + (i < ROWS / 2 ? i : 20000)));
		sockets[i] = socket(AF_INET, SOCK_STREAM, 0);
		setsockopt(sockets[i], SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
		if (bind(sockets[i], (struct sockaddr *)&address, sizeof(address)) != 0 ||
		    listen(sockets[i], 1) != 0)
			EQ(i, -1);
	}
}

static size_t read_whole(int fd, size_t piece)
{
	size_t length = 0;
	ssize_t count, longest = 0;
	while ((count = read(fd, text + length, piece)) > 0) {
		length += (size_t)count;
		longest = count > longest ? count : longest;
	}
	EQ(count, 0);
	EQ(longest <= 4096, 1); /* however much it asks for */
	return length;
}

static void each_row_once(void)
{
	static unsigned char seen[65536], inodes[65536];
	int fd = open("/proc/net/tcp", O_RDONLY), twice = 0;
	size_t length = read_whole(fd, sizeof(text) / 2);
	EQ(length, (ROWS + 1) * ROW_BYTES);
	for (int i = 1; i <= ROWS; i++) {
		unsigned row, port, inode;
		text[i * ROW_BYTES + ROW_BYTES - 1] = 0;
		sscanf(text + i * ROW_BYTES, "%u: %*x:%x %*x:%*x %*x %*s %*s %*x %*u %*u %u", &row,
		       &port, &inode);
		if (row != (unsigned)i - 1)
			EQ(row, i - 1);
		seen[port] = 1;
		twice += inodes[inode & 65535]++;
	}
	EQ(twice, 0);
	int ports = 0;
	for (int port = 0; port < 65536; port++)
		ports += seen[port];
	EQ(ports, ROWS / 2 + 1);
	EQ(pread(fd, text, ROW_BYTES, ROWS * ROW_BYTES), ROW_BYTES);
	EQ(text[ROW_BYTES - 1], '\n');
	EQ(atoi(text), ROWS - 1);
	close(fd);
}

/* The one row of another kind lies behind thousands of sockets; sendfile finds it as well. */
static void much_to_look_through(void)
{
	struct rlimit limit = { 65536, 65536 };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(9999) };
	setrlimit(RLIMIT_NOFILE, &limit);
	static int others[OTHERS];
	for (int i = 0; i < OTHERS; i++)
		others[i] = socket(AF_UNIX, SOCK_DGRAM, 0);
	EQ(others[OTHERS - 1] > 0, 1);
	int one = socket(AF_INET, SOCK_DGRAM, 0);
	EQ(bind(one, (struct sockaddr *)&address, sizeof(address)), 0);
	int fd = open("/proc/net/udp", O_RDONLY), copy = open("/tmp/udp", O_CREAT | O_RDWR, 0600);
	EQ(read_whole(fd, 4096), 2 * 128);
	EQ(strncmp(text + 128, "    0: 00000000:270F", 20), 0);
	EQ(pread(fd, text, 10, 1000), 0);
	lseek(fd, 0, SEEK_SET);
	int copied = 0;
	for (ssize_t count; (count = sendfile(copy, fd, NULL, 65536)) > 0;)
		copied += (int)count;
	EQ(copied, 2 * 128);
	for (int i = 0; i < OTHERS; i++)
		close(others[i]);
}

int main(void)
{
	begin();
	listeners();
	each_row_once();
	much_to_look_through();
	return end("test_proc_net");
}
