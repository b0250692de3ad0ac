/* /proc/net (proc(5)): what is there, and the tables that are short. */
#include "syscalls/net/proc_net.h"

#include "core/console.h"
#include "tcpip/group.h"

/* ---- dev ---- */

static void device_line(struct text *text, const struct netif *netif)
{
	const struct netif_statistics *s = &netif->statistics;
	text_printf(text,
	            "%6s: %7lu %7lu %4lu %4lu    0     0          0         0 %8lu %7lu    0 "
	            "%4lu    0     0       0          0\n",
	            netif->name, (unsigned long)s->rx_bytes, (unsigned long)s->rx_frames,
	            (unsigned long)s->rx_errors, (unsigned long)s->rx_dropped,
	            (unsigned long)s->tx_bytes, (unsigned long)s->tx_frames,
	            (unsigned long)s->tx_dropped);
}

static void devices(struct text *text, const struct path_node *node)
{
	struct stack *stack = net_stack(this_hart());
	(void)node;
	text_printf(text, "Inter-|   Receive                                                |  "
	                  "Transmit\n face |bytes    packets errs drop fifo frame compressed "
	                  "multicast|bytes    packets errs drop fifo colls carrier compressed\n");
	if (!stack)
		return;
	device_line(text, stack_loopback(stack));
	if (stack_first_netif(stack))
		device_line(text, stack_first_netif(stack));
}

/* ---- route ---- */

#define ROUTE_LINE_BYTES 127 /* without its newline */

static void route_line(struct text *text, const struct netif *netif, uint32_t network,
                       struct ipv4_address gateway, uint32_t mask)
{
	enum { UP = 1, GATEWAY = 2 };
	char line[ROUTE_LINE_BYTES + 1];
	format_string(line, sizeof(line), "%s\t%08X\t%08X\t%04X\t0\t0\t0\t%08X\t0\t0\t0",
	              netif->name, proc_address((struct ipv4_address){ network }),
	              proc_address(gateway), UP | (ipv4_is_any(gateway) ? 0 : GATEWAY),
	              proc_address((struct ipv4_address){ mask }));
	text_printf(text, "%-*s\n", ROUTE_LINE_BYTES, line);
}

static void routes(struct text *text, const struct path_node *node)
{
	struct stack *stack = net_stack(this_hart());
	const struct netif *netif = stack ? stack_first_netif(stack) : NULL;
	(void)node;
	text_printf(
	        text, "%-*s\n", ROUTE_LINE_BYTES,
	        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\t"
	        "IRTT");
	if (!netif || ipv4_is_any(netif->address))
		return;
	uint32_t mask = ipv4_prefix_mask(netif->prefix_length);
	struct ipv4_address gateway = stack_gateway(stack);
	if (!ipv4_is_any(gateway))
		route_line(text, netif, 0, gateway, 0);
	route_line(text, netif, netif->address.value & mask, (struct ipv4_address){ 0 }, mask);
}

/* ---- arp ---- */

static void arp_line(void *context, const struct arp_row *row)
{
	enum { ETHER = 1, COMPLETE = 2 };
	const uint8_t *mac = row->mac.byte, *a = (const uint8_t *)&row->address.value;
	char address[16], hardware[18];
	format_string(address, sizeof(address), "%u.%u.%u.%u", a[3], a[2], a[1], a[0]);
	format_string(hardware, sizeof(hardware), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
	              mac[2], mac[3], mac[4], mac[5]);
	text_printf(context, "%-16s 0x%-10x0x%-10x%-17s     *        %s\n", address, ETHER,
	            row->complete ? COMPLETE : 0, hardware, row->netif->name);
}

static void neighbours(struct text *text, const struct path_node *node)
{
	const struct stack *stack = net_stack(this_hart());
	(void)node;
	text_printf(text, "IP address       HW type     Flags       HW address            Mask     "
	                  "Device\n");
	if (stack)
		arp_walk(stack, arp_line, text);
}

/* ---- igmp ---- */

static void count_group(void *context, const struct group_row *row)
{
	(void)row;
	++*(unsigned *)context;
}

static void group_line(void *context, const struct group_row *row)
{
	text_printf(context, "\t\t\t\t%08X %5u %d:%08lX\t\t%d\n", proc_address(row->address),
	            row->members, row->reports, proc_clock(row->report_left_ns),
	            row->reported_last);
}

/* The group of all hosts is joined by the interface itself (RFC 1112 §4). */
static void group_device(struct text *text, const struct netif *netif)
{
	const struct group_row all_hosts = { .address = ipv4(224, 0, 0, 1), .members = 1 };
	unsigned count = 1, version = group_walk(netif, count_group, &count);
	text_printf(text, "%u\t%-10s: %5u      V%u\n", netif->index, netif->name, count, version);
	group_walk(netif, group_line, text);
	group_line(text, &all_hosts);
}

static void multicast_groups(struct text *text, const struct path_node *node)
{
	struct stack *stack = net_stack(this_hart());
	(void)node;
	text_printf(text, "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n");
	if (!stack)
		return;
	group_device(text, stack_loopback(stack));
	if (stack_first_netif(stack))
		group_device(text, stack_first_netif(stack));
}

/* ---- the directory ---- */

/* Heads are as wide as their lines. */
#define TCP_HEAD                                                                                   \
	"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  "      \
	"timeout inode                                                     \n"
#define UDP_HEAD                                                                                   \
	"   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  "     \
	"timeout inode ref pointer drops            \n"
#define RAW_HEAD                                                                                   \
	"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  "      \
	"timeout inode ref pointer drops\n"
#define UNIX_HEAD "Num       RefCount Protocol Flags    Type St Inode Path\n"

const struct synthetic_item proc_net_items[PROC_NET_ITEMS] = {
	{ .name = "arp", .generate = neighbours },
	{ .name = "dev", .generate = devices },
	{ .name = "icmp", .constant = UDP_HEAD, .generate_piece = proc_net_icmp },
	{ .name = "igmp", .generate = multicast_groups },
	{ .name = "netstat", .generate = proc_net_netstat },
	{ .name = "protocols", .generate = proc_net_protocols },
	{ .name = "raw", .constant = RAW_HEAD, .generate_piece = proc_net_raw },
	{ .name = "route", .generate = routes },
	{ .name = "snmp", .generate = proc_net_snmp },
	{ .name = "sockstat", .generate = proc_net_sockstat },
	{ .name = "tcp", .constant = TCP_HEAD, .generate_piece = proc_net_tcp },
	{ .name = "udp", .constant = UDP_HEAD, .generate_piece = proc_net_udp },
	{ .name = "unix", .constant = UNIX_HEAD, .generate_piece = proc_net_unix },
};
