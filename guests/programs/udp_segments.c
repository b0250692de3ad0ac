/* udp_segments ADDRESS PORT: sends that are cut into more datagrams (UDP_SEGMENT) than a small ring
 * of the card takes, so that they wait in their midst. Each datagram is its number; the machine at
 * the other end says when a send's have come (guests/tests/udp_segments_host.py). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "guests/programs/test_check.h"

#define UDP_SEGMENT 103
#define DATAGRAMS   100 /* of one send; Linux takes 128 */
#define BYTES       (DATAGRAMS * (int)sizeof(uint64_t))
#define MESSAGES    2 /* of one sendmmsg */
#define SENDS       100

static int fd;
static uint64_t number;
static uint64_t bytes[MESSAGES * DATAGRAMS];

static void next_numbers(int messages)
{
	for (int i = 0; i < messages * DATAGRAMS; i++)
		bytes[i] = htobe64(number++);
}

/* The other end has the datagrams, but for those that it may miss. */
static void wait_for_answer(void)
{
	char answer[2];
	EQ(recv(fd, answer, sizeof(answer), 0), 1);
}

/* A datagram of another length ends what belongs together: the letter says what may be missing. */
static void finish(char kind)
{
	int off = 0, on = sizeof(uint64_t);
	EQ(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &off, sizeof(off)), 0);
	EQ(send(fd, &kind, 1, 0), 1);
	wait_for_answer();
	EQ(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &on, sizeof(on)), 0);
}

static void send_messages(int flags)
{
	struct iovec pieces[MESSAGES];
	struct mmsghdr messages[MESSAGES] = { 0 };
	for (int i = 0; i < MESSAGES; i++) {
		pieces[i] = (struct iovec){ bytes + i * DATAGRAMS, BYTES };
		messages[i].msg_hdr.msg_iov = &pieces[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	int sent = sendmmsg(fd, messages, MESSAGES, flags);
	EQ(sent >= 1, 1);
	for (int i = 0; i < sent; i++)
		EQ(messages[i].msg_len, BYTES);
}

/* By every call; nothing is lost. */
static void test_waits(void)
{
	struct iovec halves[] = { { bytes, BYTES / 2 - 4 },
		                  { (char *)bytes + BYTES / 2 - 4, BYTES / 2 + 4 } };
	struct msghdr message = { .msg_iov = halves, .msg_iovlen = 2 };
	next_numbers(1);
	EQ(send(fd, bytes, BYTES, 0), BYTES);
	finish('a');
	next_numbers(1);
	EQ(write(fd, bytes, BYTES), BYTES);
	finish('a');
	next_numbers(1);
	EQ(writev(fd, halves, 2), BYTES);
	finish('a');
	next_numbers(1);
	EQ(sendmsg(fd, &message, 0), BYTES);
	finish('a');
	next_numbers(MESSAGES);
	send_messages(0);
	finish('a');
}

/* Who does not wait has sent it all the same; what the ring has no room for is lost. */
static void test_does_not_wait(void)
{
	next_numbers(1);
	EQ(send(fd, bytes, BYTES, MSG_DONTWAIT), BYTES);
	finish('s');
}

static void nothing(int signal)
{
	(void)signal;
}

/* Signals come while a send waits, which is begun again or ends: no datagram leaves twice. */
static void test_signals(int flags)
{
	struct sigaction action = { .sa_handler = nothing, .sa_flags = flags };
	struct itimerval often = { { 0, 100 }, { 0, 100 } }, never = { 0 };
	sigaction(SIGALRM, &action, NULL);
	for (int i = 0; i < SENDS; i++) {
		next_numbers(MESSAGES);
		setitimer(ITIMER_REAL, &often, NULL);
		if (i % 2)
			send_messages(0);
		else
			EQ(send(fd, bytes, BYTES, 0), BYTES);
		setitimer(ITIMER_REAL, &never, NULL);
		finish('m');
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	begin();
	if (argc != 3 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		return 2;
	to.sin_port = htons((uint16_t)atoi(argv[2]));
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	EQ(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	finish('a');
	test_waits();
	test_does_not_wait();
	test_signals(0);
	test_signals(SA_RESTART);
	return end("udp_segments");
}
