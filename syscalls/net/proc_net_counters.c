/* /proc/net/sockstat, snmp, netstat, protocols: the stack's counters under Linux's names. What is
 * not counted is 0; docs/FEATURES.md names what is. */
#include <string.h>

#include "core/memory.h"
#include "syscalls/net/proc_net.h"
#include "syscalls/net/socket_tcp.h"
#include "syscalls/net/socket_udp.h"
#include "syscalls/net/socket_unix.h"

struct named_counter {
	const char *name;
	uint64_t value;
};

static struct stack_statistics read_statistics(void)
{
	struct stack_statistics s = { 0 };
	if (net_stack(this_hart()))
		stack_read_statistics(net_stack(this_hart()), &s);
	return s;
}

/* One line of names, one of values. */
static void counters(struct text *text, const char *head, const struct named_counter *counter,
                     size_t count)
{
	text_printf(text, "%s:", head);
	for (size_t i = 0; i < count; i++)
		text_printf(text, " %s", counter[i].name);
	text_printf(text, "\n%s:", head);
	for (size_t i = 0; i < count; i++)
		text_printf(text, " %ld", (long)counter[i].value); /* MaxConn is -1 */
	text_append(text, "\n", 1);
}
#define COUNTERS(text, head, table) counters(text, head, table, sizeof(table) / sizeof(table[0]))

/* ---- snmp ---- */

static void ip_counters(struct text *text, const struct stack_statistics *s)
{
	uint64_t bad = s->ip_bad_header + s->ip_bad_checksum;
	uint64_t waiting = s->fragments_in - s->fragments_reassembled;
	const struct named_counter table[] = {
		{ "Forwarding", 2 },
		{ "DefaultTTL", 64 },
		{ "InReceives", s->ip_in },
		{ "InHdrErrors", bad },
		{ "InAddrErrors", s->ip_not_for_us },
		{ "ForwDatagrams", 0 },
		{ "InUnknownProtos", 0 },
		{ "InDiscards", 0 },
		{ "InDelivers", s->ip_in - bad - s->ip_not_for_us - waiting },
		{ "OutRequests", s->ip_out },
		{ "OutDiscards", s->arp_queue_dropped },
		{ "OutNoRoutes", s->ip_no_route },
		{ "ReasmTimeout", 0 },
		{ "ReasmReqds", s->fragments_in },
		{ "ReasmOKs", s->fragments_reassembled },
		{ "ReasmFails", s->fragments_dropped },
		{ "FragOKs", 0 },
		{ "FragFails", 0 },
		{ "FragCreates", s->fragments_out },
		{ "OutTransmits", s->ip_out },
	};
	COUNTERS(text, "Ip", table);
}

static void icmp_counters(struct text *text, const struct stack_statistics *s)
{
	static const struct {
		const char *name;
		uint8_t type;
	} types[] = {
		{ "DestUnreachs", 3 }, { "TimeExcds", 11 },    { "ParmProbs", 12 },
		{ "SrcQuenchs", 4 },   { "Redirects", 5 },     { "Echos", 8 },
		{ "EchoReps", 0 },     { "Timestamps", 13 },   { "TimestampReps", 14 },
		{ "AddrMasks", 17 },   { "AddrMaskReps", 18 },
	};
	const size_t count = sizeof(types) / sizeof(types[0]);
	text_printf(text, "Icmp: InMsgs InErrors InCsumErrors");
	for (size_t i = 0; i < count; i++)
		text_printf(text, " In%s", types[i].name);
	text_printf(text, " OutMsgs OutErrors OutRateLimitGlobal OutRateLimitHost");
	for (size_t i = 0; i < count; i++)
		text_printf(text, " Out%s", types[i].name);
	text_printf(text, "\nIcmp: %lu %lu 0", (unsigned long)s->icmp_in,
	            (unsigned long)s->icmp_bad);
	for (size_t i = 0; i < count; i++)
		text_printf(text, " %lu", (unsigned long)s->icmp_in_of_type[types[i].type]);
	text_printf(text, " %lu 0 %lu 0", (unsigned long)s->icmp_out,
	            (unsigned long)s->icmp_rate_limited);
	for (size_t i = 0; i < count; i++)
		text_printf(text, " %lu", (unsigned long)s->icmp_out_of_type[types[i].type]);
	text_append(text, "\n", 1);
}

/* The types that there were: their names, or their counts. */
static void icmp_types(struct text *text, const char *way, const uint64_t *counts, bool names)
{
	for (unsigned type = 0; type < ICMP_TYPES_COUNTED; type++) {
		if (counts[type] && names)
			text_printf(text, " %sType%u", way, type);
		else if (counts[type])
			text_printf(text, " %lu", (unsigned long)counts[type]);
	}
}

static void icmp_type_counters(struct text *text, const struct stack_statistics *s)
{
	if (!s->icmp_in && !s->icmp_out)
		return;
	for (int names = 1; names >= 0; names--) {
		text_printf(text, "IcmpMsg:");
		icmp_types(text, "In", s->icmp_in_of_type, names);
		icmp_types(text, "Out", s->icmp_out_of_type, names);
		text_append(text, "\n", 1);
	}
}

static void tcp_counters(struct text *text, const struct stack_statistics *s)
{
	const struct named_counter table[] = {
		{ "RtoAlgorithm", 1 }, /* other (RFC 4022) */
		{ "RtoMin", 200 },
		{ "RtoMax", 120000 },
		{ "MaxConn", (uint64_t)-1 },
		{ "ActiveOpens", s->tcp_active_opens },
		{ "PassiveOpens", s->tcp_passive_opens },
		{ "AttemptFails", s->tcp_attempt_fails },
		{ "EstabResets", s->tcp_establish_resets },
		{ "CurrEstab", s->tcp_established },
		{ "InSegs", s->tcp_in },
		{ "OutSegs", s->tcp_out },
		{ "RetransSegs", s->tcp_retransmits },
		{ "InErrs", s->tcp_bad },
		{ "OutRsts", s->tcp_resets_out },
		{ "InCsumErrors", 0 },
	};
	COUNTERS(text, "Tcp", table);
}

static void udp_counters(struct text *text, const char *head, const struct stack_statistics *s)
{
	const struct named_counter table[] = {
		{ "InDatagrams", s->udp_in },
		{ "NoPorts", s->udp_no_port },
		{ "InErrors", s->udp_bad + s->udp_buffer_dropped },
		{ "OutDatagrams", s->udp_out },
		{ "RcvbufErrors", s->udp_buffer_dropped },
		{ "SndbufErrors", 0 },
		{ "InCsumErrors", 0 },
		{ "IgnoredMulti", 0 },
		{ "MemErrors", 0 },
	};
	COUNTERS(text, head, table);
}

void proc_net_snmp(struct text *text, const struct path_node *node)
{
	const struct stack_statistics s = read_statistics(), none = { 0 };
	(void)node;
	ip_counters(text, &s);
	icmp_counters(text, &s);
	icmp_type_counters(text, &s);
	tcp_counters(text, &s);
	udp_counters(text, "Udp", &s);
	udp_counters(text, "UdpLite", &none);
}

/* ---- netstat ---- */

/* All names of Linux 6.12, in its order. */
static const char *const tcp_names[] = {
	"SyncookiesSent",
	"SyncookiesRecv",
	"SyncookiesFailed",
	"EmbryonicRsts",
	"PruneCalled",
	"RcvPruned",
	"OfoPruned",
	"OutOfWindowIcmps",
	"LockDroppedIcmps",
	"ArpFilter",
	"TW",
	"TWRecycled",
	"TWKilled",
	"PAWSActive",
	"PAWSEstab",
	"DelayedACKs",
	"DelayedACKLocked",
	"DelayedACKLost",
	"ListenOverflows",
	"ListenDrops",
	"TCPHPHits",
	"TCPPureAcks",
	"TCPHPAcks",
	"TCPRenoRecovery",
	"TCPSackRecovery",
	"TCPSACKReneging",
	"TCPSACKReorder",
	"TCPRenoReorder",
	"TCPTSReorder",
	"TCPFullUndo",
	"TCPPartialUndo",
	"TCPDSACKUndo",
	"TCPLossUndo",
	"TCPLostRetransmit",
	"TCPRenoFailures",
	"TCPSackFailures",
	"TCPLossFailures",
	"TCPFastRetrans",
	"TCPSlowStartRetrans",
	"TCPTimeouts",
	"TCPLossProbes",
	"TCPLossProbeRecovery",
	"TCPRenoRecoveryFail",
	"TCPSackRecoveryFail",
	"TCPRcvCollapsed",
	"TCPBacklogCoalesce",
	"TCPDSACKOldSent",
	"TCPDSACKOfoSent",
	"TCPDSACKRecv",
	"TCPDSACKOfoRecv",
	"TCPAbortOnData",
	"TCPAbortOnClose",
	"TCPAbortOnMemory",
	"TCPAbortOnTimeout",
	"TCPAbortOnLinger",
	"TCPAbortFailed",
	"TCPMemoryPressures",
	"TCPMemoryPressuresChrono",
	"TCPSACKDiscard",
	"TCPDSACKIgnoredOld",
	"TCPDSACKIgnoredNoUndo",
	"TCPSpuriousRTOs",
	"TCPMD5NotFound",
	"TCPMD5Unexpected",
	"TCPMD5Failure",
	"TCPSackShifted",
	"TCPSackMerged",
	"TCPSackShiftFallback",
	"TCPBacklogDrop",
	"PFMemallocDrop",
	"TCPMinTTLDrop",
	"TCPDeferAcceptDrop",
	"IPReversePathFilter",
	"TCPTimeWaitOverflow",
	"TCPReqQFullDoCookies",
	"TCPReqQFullDrop",
	"TCPRetransFail",
	"TCPRcvCoalesce",
	"TCPOFOQueue",
	"TCPOFODrop",
	"TCPOFOMerge",
	"TCPChallengeACK",
	"TCPSYNChallenge",
	"TCPFastOpenActive",
	"TCPFastOpenActiveFail",
	"TCPFastOpenPassive",
	"TCPFastOpenPassiveFail",
	"TCPFastOpenListenOverflow",
	"TCPFastOpenCookieReqd",
	"TCPFastOpenBlackhole",
	"TCPSpuriousRtxHostQueues",
	"BusyPollRxPackets",
	"TCPAutoCorking",
	"TCPFromZeroWindowAdv",
	"TCPToZeroWindowAdv",
	"TCPWantZeroWindowAdv",
	"TCPSynRetrans",
	"TCPOrigDataSent",
	"TCPHystartTrainDetect",
	"TCPHystartTrainCwnd",
	"TCPHystartDelayDetect",
	"TCPHystartDelayCwnd",
	"TCPACKSkippedSynRecv",
	"TCPACKSkippedPAWS",
	"TCPACKSkippedSeq",
	"TCPACKSkippedFinWait2",
	"TCPACKSkippedTimeWait",
	"TCPACKSkippedChallenge",
	"TCPWinProbe",
	"TCPKeepAlive",
	"TCPMTUPFail",
	"TCPMTUPSuccess",
	"TCPDelivered",
	"TCPDeliveredCE",
	"TCPAckCompressed",
	"TCPZeroWindowDrop",
	"TCPRcvQDrop",
	"TCPWqueueTooBig",
	"TCPFastOpenPassiveAltKey",
	"TcpTimeoutRehash",
	"TcpDuplicateDataRehash",
	"TCPDSACKRecvSegs",
	"TCPDSACKIgnoredDubious",
	"TCPMigrateReqSuccess",
	"TCPMigrateReqFailure",
	"TCPPLBRehash",
	"TCPAORequired",
	"TCPAOBad",
	"TCPAOKeyNotFound",
	"TCPAOGood",
	"TCPAODroppedIcmps",
};

static const char *const ip_names[] = {
	"InNoRoutes",    "InTruncatedPkts", "InMcastPkts",   "OutMcastPkts",  "InBcastPkts",
	"OutBcastPkts",  "InOctets",        "OutOctets",     "InMcastOctets", "OutMcastOctets",
	"InBcastOctets", "OutBcastOctets",  "InCsumErrors",  "InNoECTPkts",   "InECT1Pkts",
	"InECT0Pkts",    "InCEPkts",        "ReasmOverlaps",
};

/* Lines of `names`; those that are not in the table are 0. */
static void extended(struct text *text, const char *head, const char *const *names, size_t count,
                     const struct named_counter *table, size_t known)
{
	text_printf(text, "%s:", head);
	for (size_t i = 0; i < count; i++)
		text_printf(text, " %s", names[i]);
	text_printf(text, "\n%s:", head);
	for (size_t i = 0; i < count; i++) {
		uint64_t value = 0;
		for (size_t j = 0; j < known; j++)
			if (strcmp(table[j].name, names[i]) == 0)
				value = table[j].value;
		text_printf(text, " %lu", (unsigned long)value);
	}
	text_append(text, "\n", 1);
}

void proc_net_netstat(struct text *text, const struct path_node *node)
{
	const struct stack_statistics s = read_statistics();
	const struct named_counter table[] = {
		{ "SyncookiesSent", s.tcp_cookies_sent },
		{ "SyncookiesRecv", s.tcp_cookies_received },
		{ "SyncookiesFailed", s.tcp_cookies_failed },
		{ "TW", s.tcp_time_waits },
		{ "PAWSEstab", s.tcp_paws_dropped },
		{ "DelayedACKs", s.tcp_delayed_acks },
		{ "ListenOverflows", s.tcp_listen_overflows },
		{ "ListenDrops", s.tcp_syn_dropped },
		{ "TCPHPHits", s.tcp_fast_path },
		{ "TCPTimeouts", s.tcp_timeouts },
		{ "TCPLossProbes", s.tcp_tail_probes },
		{ "TCPOFOQueue", s.tcp_out_of_order },
		{ "TCPChallengeACK", s.tcp_challenge_acks },
		{ "TCPWinProbe", s.tcp_probes },
		{ "TCPKeepAlive", s.tcp_keepalives },
	};
	(void)node;
	extended(text, "TcpExt", tcp_names, sizeof(tcp_names) / sizeof(tcp_names[0]), table,
	         sizeof(table) / sizeof(table[0]));
	extended(text, "IpExt", ip_names, sizeof(ip_names) / sizeof(ip_names[0]), NULL, 0);
}

/* ---- sockstat, protocols ---- */

void proc_net_sockstat(struct text *text, const struct path_node *node)
{
	const struct stack_statistics s = read_statistics();
	unsigned all = 0;
	(void)node;
	for (int kind = 0; kind < SOCKET_KINDS; kind++)
		all += sockets_of_kind((enum socket_kind)kind);
	text_printf(text, "sockets: used %u\n", all);
	text_printf(text, "TCP: inuse %lu orphan %lu tw %lu alloc %lu mem %lu\n",
	            (unsigned long)s.tcp_in_use, (unsigned long)s.tcp_orphans,
	            (unsigned long)s.tcp_time_wait, (unsigned long)s.tcp_live,
	            (unsigned long)(s.tcp_memory_bytes / PAGE_SIZE));
	text_printf(text, "UDP: inuse %u mem 0\nUDPLITE: inuse 0\nRAW: inuse %u\n",
	            sockets_of_kind(SOCKETS_UDP), sockets_of_kind(SOCKETS_RAW));
	text_printf(text, "FRAG: inuse 0 memory 0\n");
}

/* The calls that each protocol has, as Linux marks them. */
void proc_net_protocols(struct text *text, const struct path_node *node)
{
	const struct stack_statistics s = read_statistics();
	static const struct {
		const char *name;
		enum socket_kind kind;
		size_t bytes;
		unsigned header;
		const char *slab, *calls;
	} rows[] = {
		{ "UNIX", SOCKETS_UNIX, sizeof(struct unix_socket), 0, "yes",
		  "y  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n" },
		{ "PING", SOCKETS_PING, sizeof(struct socket), 0, "yes",
		  "y  y  y  n  n  y  n  n  y  y  y  y  y  y  y  y  y  n" },
		{ "RAW", SOCKETS_RAW, sizeof(struct socket), 0, "yes",
		  "y  y  y  n  y  y  y  n  y  y  y  y  y  y  y  y  n  n" },
		{ "UDP", SOCKETS_UDP, sizeof(struct udp_file_socket), 0, "yes",
		  "y  y  y  n  y  y  y  n  y  y  y  y  n  n  y  y  y  n" },
		{ "NETLINK", SOCKETS_NETLINK, sizeof(struct socket), 0, "no",
		  "n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n" },
		{ "TCP", SOCKETS_TCP, sizeof(struct tcp_socket), 320, "yes",
		  "y  y  y  y  y  y  y  y  y  y  y  y  n  y  y  y  y  y" },
	};
	(void)node;
	text_printf(text, "%-9s %-4s %-8s %-6s  %-5s %-7s %-4s %-10s %s\n", "protocol", "size",
	            "sockets", "memory", "press", "maxhdr", "slab", "module",
	            "cl co di ac io in de sh ss gs se re bi br ha uh gp em");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool is_tcp = rows[i].kind == SOCKETS_TCP,
		     counted = is_tcp || rows[i].kind == SOCKETS_UDP;
		text_printf(text, "%-9s %4u %6u  %6ld   %-3s %6u   %-3s  %-10s  %s\n", rows[i].name,
		            (unsigned)rows[i].bytes, sockets_of_kind(rows[i].kind),
		            is_tcp    ? (long)(s.tcp_memory_bytes / PAGE_SIZE)
		            : counted ? 0
		                      : -1,
		            is_tcp ? "no" : "NI", rows[i].header, rows[i].slab, "kernel",
		            rows[i].calls);
	}
}
