/* Between the files that make /proc/net. */
#pragma once

#include "syscalls/files/synthetic.h"
#include "syscalls/net.h"
#include "tcpip/address.h"

/* An address as /proc/net shows it: the bytes as the machine holds them, little-endian. */
static inline uint32_t proc_address(struct ipv4_address address)
{
	return __builtin_bswap32(address.value);
}

/* Times are in hundredths of a second (USER_HZ). */
static inline unsigned long proc_clock(uint64_t ns)
{
	return (unsigned long)(ns / 10000000);
}

/* proc_net_sockets.c: the rows of a piece. */
void proc_net_tcp(struct text *text, const struct path_node *node, struct text_position *at);
void proc_net_udp(struct text *text, const struct path_node *node, struct text_position *at);
void proc_net_icmp(struct text *text, const struct path_node *node, struct text_position *at);
void proc_net_raw(struct text *text, const struct path_node *node, struct text_position *at);
void proc_net_unix(struct text *text, const struct path_node *node, struct text_position *at);

/* proc_net_counters.c */
void proc_net_sockstat(struct text *text, const struct path_node *node);
void proc_net_snmp(struct text *text, const struct path_node *node);
void proc_net_netstat(struct text *text, const struct path_node *node);
void proc_net_protocols(struct text *text, const struct path_node *node);
