/* Options of UDP with effect: UDP_SEGMENT, UDP_ENCAP (udp(7)). */
#define _GNU_SOURCE
#include "options.h"

#include <limits.h>
#include <netinet/udp.h>
#include <string.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

/* All that has arrived, by lengths; of many the number. */
static void observe_arrived(int fd)
{
	static char bytes[65536];
	int count = 0;
	pause_ms(30);
	for (;;) {
		ssize_t got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (got < 0)
			break;
		if (count++ < 4)
			observe_bytes("got", got, bytes);
	}
	observe("count", count);
}

static void set_segment(int fd, int bytes)
{
	must("segment", set_int(fd, IPPROTO_UDP, UDP_SEGMENT, bytes));
}

/* sendmsg with one control message of level IPPROTO_UDP. */
static ssize_t send_with(int fd, const char *text, int type, const void *value, size_t bytes)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(16)];
	} control = { 0 };
	struct iovec piece = { (void *)text, strlen(text) };
	struct msghdr message = { .msg_iov = &piece,
		                  .msg_iovlen = 1,
		                  .msg_control = &control,
		                  .msg_controllen = CMSG_SPACE(bytes) };
	control.header.cmsg_level = IPPROTO_UDP;
	control.header.cmsg_type = type;
	control.header.cmsg_len = CMSG_LEN(bytes);
	memcpy(CMSG_DATA(&control.header), value, bytes);
	return sendmsg(fd, &message, MSG_NOSIGNAL);
}

CASE(udp_segment_values)
{
	int fd = udp_socket();
	TRY_VALUES(fd, IPPROTO_UDP, UDP_SEGMENT, 0, 1, 1472, 65535, 65536, -1, INT_MIN);
	try_sizes(fd, IPPROTO_UDP, UDP_SEGMENT);
	observe_set("tcp", tcp_socket(), IPPROTO_UDP, UDP_SEGMENT, 3);
}

CASE(udp_segment_lengths)
{
	int pair[2];
	udp_pair(pair);
	set_segment(pair[0], 3);
	observe("six", send(pair[0], "abcdef", 6, 0));
	observe_arrived(pair[1]);
	observe("seven", send(pair[0], "abcdefg", 7, 0));
	observe_arrived(pair[1]);
	observe("three", send(pair[0], "abc", 3, 0));
	observe_arrived(pair[1]);
	observe("two", write(pair[0], "ab", 2));
	observe_arrived(pair[1]);
	observe("none", send(pair[0], "", 0, 0));
	observe_arrived(pair[1]);
	set_segment(pair[0], 0);
	observe("off", send(pair[0], "abcdef", 6, 0));
	observe_arrived(pair[1]);
}

CASE(udp_segment_most)
{
	static char bytes[66000];
	int pair[2];
	udp_pair(pair);
	set_segment(pair[0], 1);
	observe("128", send(pair[0], bytes, 128, 0));
	observe_arrived(pair[1]);
	observe("129", send(pair[0], bytes, 129, 0));
	observe_arrived(pair[1]);
	set_segment(pair[0], 1000);
	observe("65507", send(pair[0], bytes, 65507, 0));
	observe_arrived(pair[1]);
	observe("65508", send(pair[0], bytes, 65508, 0));
	observe("65536", send(pair[0], bytes, 65536, 0));
	observe_arrived(pair[1]);
	set_segment(pair[0], 65535);
	observe("60000", send(pair[0], bytes, 60000, 0));
	observe_arrived(pair[1]);
}

/* One call with more datagrams than a queue takes: it waits in the midst of a message. */
CASE(udp_segment_waits)
{
	enum { MESSAGES = 64, DATAGRAMS = 100 };
	static uint32_t numbers[MESSAGES * DATAGRAMS];
	static struct iovec pieces[MESSAGES];
	static struct mmsghdr messages[MESSAGES];
	int pair[2];
	udp_pair(pair);
	must("buffer", set_int(pair[1], SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20));
	set_segment(pair[0], sizeof(numbers[0]));
	for (uint32_t i = 0; i < MESSAGES * DATAGRAMS; i++)
		numbers[i] = i;
	for (int i = 0; i < MESSAGES; i++) {
		pieces[i] =
		        (struct iovec){ numbers + i * DATAGRAMS, DATAGRAMS * sizeof(numbers[0]) };
		messages[i].msg_hdr.msg_iov = &pieces[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	observe("sendmmsg", sendmmsg(pair[0], messages, MESSAGES, 0));
	unsigned int bytes = 0;
	for (int i = 0; i < MESSAGES; i++)
		bytes += messages[i].msg_len;
	observe("bytes", bytes);
	uint32_t arrived = 0, got;
	pause_ms(30);
	while (recv(pair[1], &got, sizeof(got), MSG_DONTWAIT) == sizeof(got) && got == arrived)
		arrived++;
	observe("in-order", arrived);
}

CASE(udp_segment_path)
{
	static char bytes[4000];
	int fd = udp_socket();
	must("connect", connect_to(fd, gateway_address(9)));
	static const int segments[] = { 1472, 1473, 2000 };
	for (int i = 0; i < 3; i++) {
		set_segment(fd, segments[i]);
		observe("4000", send(fd, bytes, 4000, 0));
		observe("1473", send(fd, bytes, 1473, 0));
		observe("100", send(fd, bytes, 100, 0));
	}
	must("recverr", set_int(fd, IPPROTO_IP, IP_RECVERR, 1));
	observe("recverr", send(fd, bytes, 4000, 0));
	observe("errqueue", recv(fd, bytes, 1, MSG_ERRQUEUE | MSG_DONTWAIT));
}

CASE(udp_segment_message)
{
	int pair[2];
	uint16_t three = 3, none = 0;
	int number = 3;
	udp_pair(pair);
	observe("three", send_with(pair[0], "abcdefgh", UDP_SEGMENT, &three, sizeof(three)));
	observe_arrived(pair[1]);
	observe("int", send_with(pair[0], "abcdefgh", UDP_SEGMENT, &number, sizeof(number)));
	observe("byte", send_with(pair[0], "abcdefgh", UDP_SEGMENT, &number, 1));
	observe("cork", send_with(pair[0], "abcdefgh", UDP_CORK, &three, sizeof(three)));
	observe_arrived(pair[1]);
	set_segment(pair[0], 5);
	observe("three", send_with(pair[0], "abcdefgh", UDP_SEGMENT, &three, sizeof(three)));
	observe_arrived(pair[1]);
	observe("none", send_with(pair[0], "abcdefgh", UDP_SEGMENT, &none, sizeof(none)));
	observe_arrived(pair[1]);
	tcp_pair(pair);
	observe("tcp", send_with(pair[0], "abcdefgh", UDP_SEGMENT, &number, sizeof(number)));
}

CASE(udp_segment_corked)
{
	int pair[2];
	udp_pair(pair);
	set_segment(pair[0], 3);
	observe("more", send(pair[0], "ab", 2, MSG_MORE));
	observe("more", send(pair[0], "cd", 2, MSG_MORE));
	set_segment(pair[0], 4);
	observe("last", send(pair[0], "efgh", 4, 0));
	observe_arrived(pair[1]);
	must("cork", set_int(pair[0], IPPROTO_UDP, UDP_CORK, 1));
	observe("corked", send(pair[0], "abcdef", 6, 0));
	observe_set("uncork", pair[0], IPPROTO_UDP, UDP_CORK, 0);
	observe_arrived(pair[1]);
}

CASE(udp_segment_refused)
{
	int pair[2];
	udp_pair(pair);
	set_segment(pair[0], 3);
	observe("pointer", send(pair[0], (void *)16, 8, 0));
	must("no-check", set_int(pair[0], SOL_SOCKET, SO_NO_CHECK, 1));
	observe("no-check", send(pair[0], "abcdef", 6, 0));
	observe("small", send(pair[0], "ab", 2, 0));
	observe_arrived(pair[1]);
	struct sockaddr_in address = name_of(pair[1]);
	must("no-check", set_int(pair[0], SOL_SOCKET, SO_NO_CHECK, 0));
	observe("sendto",
	        sendto(pair[0], "abcdef", 6, 0, (struct sockaddr *)&address, sizeof(address)));
	observe_arrived(pair[1]);
}

CASE(udp_segment_many)
{
	int pair[2];
	udp_pair(pair);
	set_segment(pair[0], 2);
	struct iovec pieces[3] = { { "abc", 3 }, { "defg", 4 }, { "h", 1 } };
	struct mmsghdr messages[2] = {
		{ .msg_hdr = { .msg_iov = pieces, .msg_iovlen = 2 } },
		{ .msg_hdr = { .msg_iov = pieces + 2, .msg_iovlen = 1 } },
	};
	observe("sendmmsg", sendmmsg(pair[0], messages, 2, 0));
	observe_text("lengths", "%u,%u", messages[0].msg_len, messages[1].msg_len);
	observe_arrived(pair[1]);
}

CASE(udp_encap_values)
{
	TRY_VALUES(udp_socket(), IPPROTO_UDP, UDP_ENCAP, 0, 1, 2, 3, 4, 5, 6, 7, -1);
}

/* Without an association, ESP and keepalives are gone; IKE is what begins with a marker of zeros.
 */
CASE(udp_encap_effect)
{
	int pair[2];
	udp_pair(pair);
	static const int kinds[] = { 2, 3, 0 };
	for (int i = 0; i < 3; i++) {
		observe_set("encap", pair[1], IPPROTO_UDP, UDP_ENCAP, kinds[i]);
		must("send", send(pair[0], "\xff", 1, 0));
		must("send", send(pair[0], "\xfe", 1, 0));
		must("send", send(pair[0], "\xff\xff", 2, 0));
		must("send", send(pair[0], "\0\0\0\0ike message", 15, 0));
		must("send", send(pair[0], "12345678", 8, 0));
		must("send", send(pair[0], "123456789", 9, 0));
		must("send", send(pair[0], "\0\0\0\001esp message", 15, 0));
		observe_arrived(pair[1]);
	}
}
