/* /proc/net as servers and tools read it: the rows of sockets in each state, and what the counters
 * count. Ports that nobody else uses find the rows. */
#define _GNU_SOURCE
#include "conform.h"

#include <fcntl.h>
#include <inttypes.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define TEXT_BYTES (1 << 20)

static char text[TEXT_BYTES];

static const char *read_whole(const char *path)
{
	int fd = (int)must("open", open(path, O_RDONLY));
	size_t length = 0;
	ssize_t count;
	while ((count = read(fd, text + length, sizeof(text) - 1 - length)) > 0)
		length += (size_t)count;
	must("read", count);
	text[length] = 0;
	close(fd);
	return text;
}

/* ---- heads ---- */

static void observe_head(const char *path, int lines)
{
	const char *at = read_whole(path), *name = strrchr(path, '/') + 1;
	for (; lines; lines--) {
		size_t length = strcspn(at, "\n");
		char line[4096];
		snprintf(line, sizeof(line), "%.*s|", (int)length, at);
		for (char *c = line; *c; c++)
			if (*c == ' ' || *c == '\t')
				*c = *c == ' ' ? '_' : '>';
		observe_text(name, "%s", line);
		at += length + (at[length] == '\n');
	}
}

CASE(heads)
{
	observe_head("/proc/net/tcp", 1);
	observe_head("/proc/net/udp", 1);
	observe_head("/proc/net/raw", 1);
	observe_head("/proc/net/unix", 1);
	observe_head("/proc/net/arp", 1);
	observe_head("/proc/net/dev", 2);
	observe_head("/proc/net/route", 1);
	observe_head("/proc/net/igmp", 1);
}

CASE(routes)
{
	observe_head("/proc/net/route", 3);
}

/* Names only: what they count is looked at below. */
CASE(counter_names)
{
	static const char *const heads[] = { "Ip:", "Icmp:", "Tcp:", "Udp:", "UdpLite:" };
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		const char *at = strstr(read_whole("/proc/net/snmp"), heads[i]);
		observe_text("snmp", "%.*s", (int)strcspn(at, "\n"), at);
	}
	static const char *const extended[] = { "TcpExt:", "IpExt:" };
	for (size_t i = 0; i < sizeof(extended) / sizeof(extended[0]); i++) {
		const char *at = strstr(read_whole("/proc/net/netstat"), extended[i]);
		observe_text("netstat", "%.*s", (int)strcspn(at, "\n"), at);
	}
}

/* ---- rows ---- */

struct row {
	unsigned state, send, receive, timer, retransmits, uid, probes;
	unsigned long when, inode;
	size_t length;
	char rest[200];
};

/* The row between these ports, the remote one 0 for a socket without a peer. */
static int find_row(const char *path, unsigned local, unsigned remote, struct row *out)
{
	const char *line = read_whole(path);
	for (;;) {
		unsigned here, there;
		line = strchr(line, '\n');
		if (!line || !*++line)
			return 0;
		int fields = sscanf(
		        line, " %*u: %*8x:%x %*8x:%x %x %x:%x %x:%lx %x %u %u %lu %199[^\n]", &here,
		        &there, &out->state, &out->send, &out->receive, &out->timer, &out->when,
		        &out->retransmits, &out->uid, &out->probes, &out->inode, out->rest);
		out->length = strcspn(line, "\n");
		if (fields >= 11 && here == local && there == remote)
			return 1;
	}
}

static unsigned long inode_of(int fd)
{
	struct stat status;
	must("fstat", fstat(fd, &status));
	return (unsigned long)status.st_ino;
}

/* fd -1: it belongs to nobody. The time left has to lie within seconds. */
static void observe_row(const char *label, const char *path, unsigned local, unsigned remote,
                        int fd, long at_most_s)
{
	struct row row = { 0 };
	if (!find_row(path, local, remote, &row)) {
		observe_text(label, "none");
		return;
	}
	unsigned long inode = fd < 0 ? 0 : inode_of(fd);
	observe_text(label, "%02X,%u:%u,timer%u%s,%u,uid%u,%u,%s,%s", row.state, row.send,
	             row.receive, row.timer,
	             row.timer && (long)row.when <= at_most_s * 100 ? ""
	             : row.timer                                    ? "-late"
	                                                            : "-off",
	             row.retransmits, row.uid, row.probes, row.inode == inode ? "inode" : "other",
	             row.length == 149 || row.length == 127 ? "padded" : "plain");
}

static unsigned port_of(int fd)
{
	struct sockaddr_in name = name_of(fd);
	return ntohs(name.sin_port);
}

CASE(tcp_listening)
{
	struct sockaddr_in address;
	int listener = tcp_listener(3, &address), client = tcp_socket();
	struct row row;
	observe_row("listener", "/proc/net/tcp", port_of(listener), 0, listener, 0);
	must("connect", connect_to(client, address));
	struct pollfd entry = { .fd = listener, .events = POLLIN };
	must("poll", poll(&entry, 1, 5000));
	observe_row("queue-of-one", "/proc/net/tcp", port_of(listener), 0, listener, 0);
	observe_row("not-accepted", "/proc/net/tcp", port_of(listener), port_of(client), -1, 0);
	observe_row("client", "/proc/net/tcp", port_of(client), port_of(listener), client, 0);
	must("row", find_row("/proc/net/tcp", port_of(listener), 0, &row) ? 0 : -1);
	/* Behind the number of users and the address: timeouts and windows. */
	unsigned rest[5] = { 0 };
	sscanf(row.rest, "%*u %*x %u %u %u %u %u", &rest[0], &rest[1], &rest[2], &rest[3],
	       &rest[4]);
	observe_text("rest", "%u,%u,%u,%u,%u", rest[0], rest[1], rest[2], rest[3], rest[4]);
}

CASE(tcp_bound_and_unbound)
{
	int fd = tcp_socket();
	must("bind", bind_to(fd, inet_address("127.0.0.1", 0)));
	observe_row("bound", "/proc/net/tcp", port_of(fd), 0, fd, 0);
}

CASE(tcp_queues)
{
	int pair[2];
	char byte[1000] = "";
	tcp_pair(pair);
	must("write", write(pair[0], byte, sizeof(byte)));
	struct pollfd entry = { .fd = pair[1], .events = POLLIN };
	must("poll", poll(&entry, 1, 5000));
	observe_row("unread", "/proc/net/tcp", port_of(pair[1]), port_of(pair[0]), pair[1], 0);
	must("read", read(pair[1], byte, 300));
	observe_row("less", "/proc/net/tcp", port_of(pair[1]), port_of(pair[0]), pair[1], 0);
}

CASE(tcp_half_closed)
{
	int pair[2];
	char byte;
	tcp_pair(pair);
	unsigned one = port_of(pair[0]), other = port_of(pair[1]);
	must("shutdown", shutdown(pair[0], SHUT_WR));
	must("read", read(pair[1], &byte, 1));
	pause_ms(100);
	observe_row("fin-wait-2", "/proc/net/tcp", one, other, pair[0], 0);
	observe_row("close-wait", "/proc/net/tcp", other, one, pair[1], 0);
	close(pair[0]);
	pause_ms(20);
	observe_row("orphan", "/proc/net/tcp", one, other, -1, 60);
	close(pair[1]);
	pause_ms(100);
	observe_row("time-wait", "/proc/net/tcp", one, other, -1, 60);
	observe_row("gone", "/proc/net/tcp", other, one, -1, 0);
}

/* TCP_DEFER_ACCEPT keeps a connection half-open at the listener until data comes. */
CASE(tcp_half_open)
{
	struct sockaddr_in address;
	int listener = tcp_listener(3, &address), client = tcp_socket();
	must("defer", set_int(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5));
	must("connect", connect_to(client, address));
	pause_ms(100);
	observe_row("syn-recv", "/proc/net/tcp", port_of(listener), port_of(client), -1, 10);
	observe_row("client", "/proc/net/tcp", port_of(client), port_of(listener), client, 0);
}

CASE(tcp_keepalive_timer)
{
	int pair[2];
	tcp_pair(pair);
	must("keepidle", set_int(pair[0], IPPROTO_TCP, TCP_KEEPIDLE, 30));
	must("keepalive", set_int(pair[0], SOL_SOCKET, SO_KEEPALIVE, 1));
	observe_row("on", "/proc/net/tcp", port_of(pair[0]), port_of(pair[1]), pair[0], 30);
}

CASE(owners)
{
	setfsuid(1234);
	int tcp = tcp_listener(1, NULL), udp = udp_socket();
	must("bind", bind_to(udp, inet_address("127.0.0.1", 0)));
	setfsuid(0);
	observe_row("tcp", "/proc/net/tcp", port_of(tcp), 0, tcp, 0);
	observe_row("udp", "/proc/net/udp", port_of(udp), 0, udp, 0);
	struct stat status;
	must("fstat", fstat(udp, &status));
	observe_text("fstat", "uid%u", (unsigned)status.st_uid);
}

CASE(udp_rows)
{
	int pair[2], unbound = udp_socket();
	udp_pair(pair);
	observe_row("connected", "/proc/net/udp", port_of(pair[0]), port_of(pair[1]), pair[0], 0);
	observe_row("unbound", "/proc/net/udp", port_of(unbound), 0, unbound, 0);
	must("bind", bind_to(unbound, inet_address("127.0.0.1", 0)));
	observe_row("bound", "/proc/net/udp", port_of(unbound), 0, unbound, 0);
}

CASE(udp_dropped)
{
	int pair[2];
	struct row row = { 0 };
	char datagram[1000] = "";
	udp_pair(pair);
	must("rcvbuf", set_int(pair[1], SOL_SOCKET, SO_RCVBUF, 1));
	for (int i = 0; i < 40; i++)
		must("send", send(pair[0], datagram, sizeof(datagram), 0));
	pause_ms(100);
	int got = 0;
	while (recv(pair[1], datagram, sizeof(datagram), MSG_DONTWAIT) > 0)
		got++;
	must("row", find_row("/proc/net/udp", port_of(pair[1]), port_of(pair[0]), &row) ? 0 : -1);
	unsigned drops = 0;
	sscanf(row.rest, "%*u %*x %u", &drops);
	observe("all", got + (int)drops);
	observe("empty", row.receive);
}

CASE(raw_rows)
{
	struct row row = { 0 };
	int fd = (int)must("socket", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	observe_row("raw", "/proc/net/raw", IPPROTO_ICMP, 0, fd, 0);
	close(fd);
	observe("closed", find_row("/proc/net/raw", IPPROTO_ICMP, 0, &row));
}

/* Sockets of other families are in none of these tables. */
CASE(netlink_in_no_table)
{
	must("socket", socket(AF_NETLINK, SOCK_RAW, 0));
	must("socket", socket(AF_NETLINK, SOCK_DGRAM, 0));
	static const char *const tables[] = { "raw", "udp", "icmp", "unix" };
	for (int i = 0; i < 4; i++) {
		char path[40];
		snprintf(path, sizeof(path), "/proc/net/%s", tables[i]);
		const char *end = strchr(read_whole(path), '\n');
		observe(tables[i], end ? (long)strlen(end + 1) : -1);
	}
}

CASE(unix_rows)
{
	int pair[2], listener = (int)must("socket", socket(AF_UNIX, SOCK_STREAM, 0));
	int datagram = (int)must("socket", socket(AF_UNIX, SOCK_DGRAM, 0));
	struct sockaddr_un path = { AF_UNIX, "procnet" }, abstract = { AF_UNIX, "\0pro\0net" };
	unix_pair(SOCK_SEQPACKET, pair);
	must("bind", bind(listener, (struct sockaddr *)&path, sizeof(path)));
	must("listen", listen(listener, 1));
	must("bind", bind(datagram, (struct sockaddr *)&abstract, 2 + 8));
	const int fds[] = { listener, datagram, pair[0] };
	for (int i = 0; i < 3; i++) {
		const char *line = read_whole("/proc/net/unix");
		unsigned long inode = 0;
		while ((line = strchr(line, '\n')) && *++line) {
			char rest[200] = "";
			int at = 0;
			sscanf(line, "%*x: %*X %n%*X %*X %*X %*X %lu%199[^\n]", &at, &inode, rest);
			if (inode != inode_of(fds[i]))
				continue;
			observe_text("row", "%.26s%s", line + at, rest[0] ? rest + 1 : "");
		}
	}
}

/* ---- positions ---- */

/* Read by a few bytes, and at positions, it is the same text. */
CASE(pieces)
{
	static char other[TEXT_BYTES];
	for (int i = 0; i < 100; i++)
		must("bind", bind_to(udp_socket(), inet_address("127.0.0.1", 0)));
	int fd = (int)must("open", open("/proc/net/udp", O_RDONLY));
	size_t length = strlen(read_whole("/proc/net/udp")), at = 0;
	for (ssize_t count; (count = read(fd, other + at, 777)) > 0;)
		at += (size_t)count;
	observe("same-length", at == length);
	observe("same-bytes", memcmp(text, other, length) == 0);
	observe("at-position",
	        pread(fd, other, 100, (off_t)length / 2) > 0 && other[0] == text[length / 2]);
	observe("behind", pread(fd, other, 100, (off_t)length + 5));
	observe("seek", lseek(fd, 128, SEEK_SET));
	observe("first-row", read(fd, other, 20) == 20 && memcmp(text + 128, other, 20) == 0);
}

/* ---- counters ---- */

static long counter(const char *path, const char *head, const char *name)
{
	char label[40], *names_end, *values_end;
	snprintf(label, sizeof(label), "\n%s:", head);
	text[0] = '\n';
	memmove(text + 1, read_whole(path), TEXT_BYTES - 2);
	text[0] = '\n';
	char *names = strstr(text, label), *values = names ? strstr(names + 1, label) : NULL;
	if (!values)
		return -1;
	names += strlen(label);
	values += strlen(label);
	char *one = strtok_r(names, " \n", &names_end),
	     *other = strtok_r(values, " \n", &values_end);
	while (one && other && strcmp(one, name) != 0) {
		one = strtok_r(NULL, " \n", &names_end);
		other = strtok_r(NULL, " \n", &values_end);
	}
	return one && other ? atol(other) : -1;
}

#define SNMP "/proc/net/snmp"

static long seen;

static void observe_more(const char *label, const char *head, const char *name, long since)
{
	observe(label, counter(SNMP, head, name) - since);
}

CASE(counts_of_tcp)
{
	static const char *const names[] = { "ActiveOpens", "PassiveOpens", "AttemptFails",
		                             "EstabResets", "CurrEstab",    "OutRsts" };
	long before[6];
	for (int i = 0; i < 6; i++)
		before[i] = counter(SNMP, "Tcp", names[i]);
	int pair[2], other[2], refused = tcp_socket();
	tcp_pair(pair);
	tcp_pair(other);
	for (int i = 0; i < 6; i++)
		observe_more(names[i], "Tcp", names[i], before[i]);
	observe("refused", connect_to(refused, inet_address("127.0.0.1", 9)));
	struct linger linger = { .l_onoff = 1 };
	must("linger", setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	close(pair[0]);
	struct pollfd entry = { .fd = pair[1], .events = POLLIN };
	must("poll", poll(&entry, 1, 5000));
	for (int i = 0; i < 6; i++)
		observe_more(names[i], "Tcp", names[i], before[i]);
	close(other[0]);
	close(other[1]);
	pause_ms(100);
	observe_more("CurrEstab", "Tcp", "CurrEstab", before[4]);
}

CASE(counts_of_udp)
{
	int pair[2], lonely = udp_socket();
	char byte = 0;
	udp_pair(pair);
	seen = counter(SNMP, "Udp", "InDatagrams");
	long out = counter(SNMP, "Udp", "OutDatagrams"), lost = counter(SNMP, "Udp", "NoPorts"),
	     told = counter(SNMP, "Icmp", "OutDestUnreachs"),
	     heard = counter(SNMP, "Icmp", "InDestUnreachs");
	for (int i = 0; i < 3; i++) {
		must("send", send(pair[0], &byte, 1, 0));
		must("recv", recv(pair[1], &byte, 1, 0));
	}
	must("connect", connect_to(lonely, inet_address("127.0.0.1", 9)));
	must("send", send(lonely, &byte, 1, 0));
	observe("recv", recv(lonely, &byte, 1, 0));
	observe_more("in", "Udp", "InDatagrams", seen);
	observe_more("out", "Udp", "OutDatagrams", out);
	observe_more("no-port", "Udp", "NoPorts", lost);
	observe_more("told", "Icmp", "OutDestUnreachs", told);
	observe_more("heard", "Icmp", "InDestUnreachs", heard);
}

CASE(counts_of_icmp)
{
	static const char *const names[] = { "InEchos",     "InEchoReps", "OutEchos",
		                             "OutEchoReps", "InMsgs",     "OutMsgs" };
	long before[6];
	for (int i = 0; i < 6; i++)
		before[i] = counter(SNMP, "Icmp", names[i]);
	int fd = (int)must("socket", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	struct icmphdr echo = { .type = ICMP_ECHO, .checksum = 0xfff7 };
	struct sockaddr_in to = inet_address("127.0.0.1", 0);
	must("sendto", sendto(fd, &echo, sizeof(echo), 0, (struct sockaddr *)&to, sizeof(to)));
	pause_ms(100);
	for (int i = 0; i < 6; i++)
		observe_more(names[i], "Icmp", names[i], before[i]);
}

/* The number behind a word of a line of /proc/net/sockstat. */
static long stat_of(const char *line, const char *word)
{
	char key[20];
	const char *at = strstr(read_whole("/proc/net/sockstat"), line);
	snprintf(key, sizeof(key), " %s ", word);
	at = at ? strstr(at, key) : NULL;
	return at ? atol(at + strlen(key)) : -1;
}

CASE(sockstat)
{
	static const char *const words[][2] = { { "sockets:", "used" }, { "TCP:", "inuse" },
		                                { "TCP:", "orphan" },   { "TCP:", "tw" },
		                                { "TCP:", "alloc" },    { "UDP:", "inuse" },
		                                { "RAW:", "inuse" } };
	long before[7];
	pause_ms(200);
	for (int i = 0; i < 7; i++)
		before[i] = stat_of(words[i][0], words[i][1]);
	int pair[2], udp[2], listener = tcp_listener(1, NULL);
	tcp_pair(pair);
	udp_pair(udp);
	must("socket", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	for (int i = 0; i < 7; i++)
		observe(words[i][1], stat_of(words[i][0], words[i][1]) - before[i]);
	close(pair[0]);
	pause_ms(100);
	close(pair[1]);
	close(listener);
	pause_ms(100);
	for (int i = 0; i < 7; i++)
		observe(words[i][1], stat_of(words[i][0], words[i][1]) - before[i]);
}

CASE(groups)
{
	int fd = udp_socket();
	struct ip_mreqn request = { .imr_ifindex = 1 };
	request.imr_multiaddr.s_addr = inet_address("239.1.2.3", 0).sin_addr.s_addr;
	must("join", setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request)));
	const char *line = strstr(read_whole("/proc/net/igmp"), "1\tlo");
	for (int i = 0; i < 3; i++) {
		char out[100];
		snprintf(out, sizeof(out), "%.*s", (int)strcspn(line, "\n"), line);
		for (char *c = out; *c; c++)
			if (*c == ' ' || *c == '\t')
				*c = *c == ' ' ? '_' : '>';
		observe_text("line", "%s", out);
		line += strcspn(line, "\n") + 1;
	}
}
