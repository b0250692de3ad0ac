/* What one wants to see: /proc/net, and the lines of a panic or hang dump. */
#include <string.h>

#include "core/console.h"
#include "syscalls/net.h"
#include "syscalls/net/netdev.h"
#include "syscalls/net/socket_tcp.h"
#include "syscalls/net/socket_udp.h"
#include "syscalls/net/socket_unix.h"

typedef void emit_line(void *context, const char *line);

#define LINE_BYTES 256

/* An address as /proc/net shows it: the bytes as the machine holds them, little-endian. */
static uint32_t proc_address(struct ipv4_address address)
{
	return __builtin_bswap32(address.value);
}

static void describe_inet(emit_line *emit, void *context, uint8_t type)
{
	emit(context, "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt "
	              "  uid  timeout inode\n");
	unsigned row = 0;
	list_for_each(node, &all_sockets)
	{
		struct socket *socket = list_entry(node, struct socket, all_link);
		if (socket->domain != AF_INET || socket->type != type ||
		    socket->protocol == IPPROTO_ICMP)
			continue;
		struct endpoint local, remote;
		unsigned state;
		uint64_t unsent = 0, unread;
		if (type == SOCK_STREAM) {
			const struct tcp_connection *connection = tcp_socket_of(socket)->connection;
			local = tcp_local(connection);
			remote = tcp_remote(connection);
			state = tcp_linux_state(tcp_get_state(connection));
			unsent = tcp_send_queue_bytes(connection);
			unread = tcp_receive_available(connection);
		} else {
			const struct udp_socket *udp = udp_socket_of(socket)->udp;
			local = udp_local(udp);
			remote = udp_remote(udp);
			state = ipv4_is_any(remote.address) ? 7 : 1;
			unread = udp_next_length(udp);
		}
		char line[LINE_BYTES];
		format_string(line, sizeof(line),
		              "%4u: %08X:%04X %08X:%04X %02X %08X:%08X 00:00000000 00000000     0  "
		              "      0 %lu %u\n",
		              row++, proc_address(local.address), local.port,
		              proc_address(remote.address), remote.port, state, (unsigned)unsent,
		              (unsigned)unread, (unsigned long)socket->inode, socket->file.refs);
		emit(context, line);
	}
}

static void describe_device(emit_line *emit, void *context, const struct netif *netif)
{
	const struct netif_statistics *s = &netif->statistics;
	char line[LINE_BYTES];
	format_string(line, sizeof(line),
	              "%6s: %7lu %7lu %4lu %4lu    0     0          0         0 %8lu %7lu    0 "
	              "%4lu    0     0       0          0\n",
	              netif->name, (unsigned long)s->rx_bytes, (unsigned long)s->rx_frames,
	              (unsigned long)s->rx_errors, (unsigned long)s->rx_dropped,
	              (unsigned long)s->tx_bytes, (unsigned long)s->tx_frames,
	              (unsigned long)s->tx_dropped);
	emit(context, line);
}

static void describe_devices(emit_line *emit, void *context)
{
	emit(context,
	     "Inter-|   Receive                                                |  Transmit\n");
	emit(context, " face |bytes    packets errs drop fifo frame compressed multicast|bytes    "
	              "packets errs drop fifo colls carrier compressed\n");
	struct stack *stack = net_stack(this_hart());
	if (!stack)
		return;
	describe_device(emit, context, stack_loopback(stack));
	if (stack_first_netif(stack))
		describe_device(emit, context, stack_first_netif(stack));
}

static void describe_unix(emit_line *emit, void *context)
{
	emit(context, "Num       RefCount Protocol Flags    Type St Inode Path\n");
	list_for_each(node, &all_sockets)
	{
		struct socket *socket = list_entry(node, struct socket, all_link);
		if (socket->domain != AF_UNIX)
			continue;
		const struct unix_socket *local = unix_socket_of(socket);
		const struct unix_name *name = local->name;
		const uint32_t accepts = 0x10000;
		char line[LINE_BYTES];
		format_string(line, sizeof(line),
		              "%016lx: %08X 00000000 %08X %04X %02X %5lu%s%s%s\n",
		              (unsigned long)socket->inode, socket->file.refs,
		              local->listening ? accepts : 0, socket->type,
		              local->connected ? 3 : 1, (unsigned long)socket->inode,
		              name ? " " : "", name && !name->address.path[0] ? "@" : "",
		              name ? name->address.path + !name->address.path[0] : "");
		emit(context, line);
	}
}

static void describe_sockstat(emit_line *emit, void *context)
{
	unsigned tcp = 0, udp = 0, raw = 0, all = 0;
	list_for_each(node, &all_sockets)
	{
		const struct socket *socket = list_entry(node, struct socket, all_link);
		all++;
		tcp += socket->domain == AF_INET && socket->type == SOCK_STREAM;
		udp += socket->domain == AF_INET && socket->type == SOCK_DGRAM;
		raw += socket->domain == AF_INET && socket->type == SOCK_RAW;
	}
	struct stack_statistics s = { 0 };
	if (net_stack(this_hart()))
		stack_read_statistics(net_stack(this_hart()), &s);
	char line[LINE_BYTES];
	format_string(line, sizeof(line), "sockets: used %u\n", all);
	emit(context, line);
	format_string(line, sizeof(line), "TCP: inuse %u orphan 0 tw %lu alloc %lu mem %lu\n", tcp,
	              (unsigned long)s.tcp_time_wait, (unsigned long)s.tcp_live,
	              (unsigned long)(s.tcp_memory_bytes / PAGE_SIZE));
	emit(context, line);
	format_string(
	        line, sizeof(line),
	        "UDP: inuse %u mem 0\nUDPLITE: inuse 0\nRAW: inuse %u\nFRAG: inuse 0 memory 0\n",
	        udp, raw);
	emit(context, line);
}

static void describe_snmp(emit_line *emit, void *context)
{
	struct stack_statistics s = { 0 };
	if (net_stack(this_hart()))
		stack_read_statistics(net_stack(this_hart()), &s);
	char line[LINE_BYTES];
	emit(context, "Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors InDelivers "
	              "OutRequests OutNoRoutes ReasmReqds ReasmOKs ReasmFails FragCreates\n");
	format_string(
	        line, sizeof(line), "Ip: 2 64 %lu %lu %lu %lu %lu %lu %lu %lu %lu %lu\n",
	        (unsigned long)s.ip_in, (unsigned long)(s.ip_bad_header + s.ip_bad_checksum),
	        (unsigned long)s.ip_not_for_us,
	        (unsigned long)(s.ip_in - s.ip_bad_header - s.ip_bad_checksum - s.ip_not_for_us),
	        (unsigned long)s.ip_out, (unsigned long)s.ip_no_route,
	        (unsigned long)s.fragments_in, (unsigned long)s.fragments_reassembled,
	        (unsigned long)s.fragments_dropped, (unsigned long)s.fragments_out);
	emit(context, line);
	emit(context, "Icmp: InMsgs InErrors InEchos OutMsgs\n");
	format_string(line, sizeof(line), "Icmp: %lu %lu %lu %lu\n", (unsigned long)s.icmp_in,
	              (unsigned long)s.icmp_bad, (unsigned long)s.icmp_echo,
	              (unsigned long)s.icmp_out);
	emit(context, line);
	emit(context, "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens CurrEstab "
	              "InSegs OutSegs RetransSegs InErrs OutRsts\n");
	format_string(line, sizeof(line), "Tcp: 1 200 120000 -1 %lu %lu %lu %lu %lu %lu %lu %lu\n",
	              (unsigned long)s.tcp_active_opens, (unsigned long)s.tcp_passive_opens,
	              (unsigned long)s.tcp_live, (unsigned long)s.tcp_in, (unsigned long)s.tcp_out,
	              (unsigned long)s.tcp_retransmits, (unsigned long)s.tcp_bad,
	              (unsigned long)s.tcp_resets_out);
	emit(context, line);
	emit(context, "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors\n");
	format_string(line, sizeof(line), "Udp: %lu %lu %lu %lu %lu\n", (unsigned long)s.udp_in,
	              (unsigned long)s.udp_no_port, (unsigned long)s.udp_bad,
	              (unsigned long)s.udp_out, (unsigned long)s.udp_buffer_dropped);
	emit(context, line);
}

static void describe_route(emit_line *emit, void *context)
{
	emit(context, "Iface\tDestination\tGateway "
	              "\tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n");
	struct stack *stack = net_stack(this_hart());
	const struct netif *netif = stack ? stack_first_netif(stack) : NULL;
	if (!netif || ipv4_is_any(netif->address))
		return;
	uint32_t mask = netif->prefix_length ? UINT32_MAX << (32 - netif->prefix_length) : 0;
	struct ipv4_address gateway = stack_gateway(stack);
	struct ipv4_address network = { netif->address.value & mask };
	char line[LINE_BYTES];
	if (!ipv4_is_any(gateway)) {
		format_string(line, sizeof(line),
		              "%s\t00000000\t%08X\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", netif->name,
		              proc_address(gateway));
		emit(context, line);
	}
	format_string(line, sizeof(line), "%s\t%08X\t00000000\t0001\t0\t0\t0\t%08X\t0\t0\t0\n",
	              netif->name, proc_address(network), __builtin_bswap32(mask));
	emit(context, line);
}

bool net_describe(const char *name, emit_line *emit, void *context)
{
	if (strcmp(name, "tcp") == 0)
		describe_inet(emit, context, SOCK_STREAM);
	else if (strcmp(name, "udp") == 0)
		describe_inet(emit, context, SOCK_DGRAM);
	else if (strcmp(name, "unix") == 0)
		describe_unix(emit, context);
	else if (strcmp(name, "dev") == 0)
		describe_devices(emit, context);
	else if (strcmp(name, "sockstat") == 0)
		describe_sockstat(emit, context);
	else if (strcmp(name, "snmp") == 0)
		describe_snmp(emit, context);
	else if (strcmp(name, "route") == 0)
		describe_route(emit, context);
	else
		return false;
	return true;
}

/* ---- dumps ---- */

static void dump_device(void)
{
	const struct net_device *device = net_first_device();
	if (!device)
		return;
	struct virtio_net_statistics s;
	struct pbuf_pool_statistics pool;
	virtio_net_read_statistics(&device->virtio, &s);
	pbuf_pool_statistics(device->pool, &pool);
	const char *broken = virtio_net_verify(&device->virtio);
	console_printf("eth0: rx %lu packets %lu bytes, %u posted%s, %lu kicks; tx %lu packets %lu "
	               "bytes, %u outstanding%s, "
	               "%lu kicks; %lu interrupts; rings %s\n",
	               (unsigned long)s.rx_packets, (unsigned long)s.rx_bytes, device->posted,
	               device->rx_armed ? " armed" : "", (unsigned long)s.rx_kicks,
	               (unsigned long)s.tx_packets, (unsigned long)s.tx_bytes,
	               virtio_net_tx_outstanding(&device->virtio, 0),
	               device->transmit_blocked ? " blocked" : "", (unsigned long)s.tx_kicks,
	               (unsigned long)s.interrupts, broken ? broken : "sound");
	console_printf("eth0: packet memory %lu held %lu used %lu refused; buffers short %lu\n",
	               (unsigned long)pool.bytes_held, (unsigned long)pool.bytes_used,
	               (unsigned long)pool.failures, (unsigned long)device->rx_no_buffer);
}

void net_dump(void)
{
	dump_device();
	list_for_each(node, &all_sockets)
	{
		struct socket *socket = list_entry(node, struct socket, all_link);
		char text[LINE_BYTES];
		socket->operations->describe(socket, text, sizeof(text));
		console_printf("socket %lu %s refs %u poll %x: %s\n", (unsigned long)socket->inode,
		               socket->file.operations->kind, socket->file.refs,
		               file_poll(&socket->file), text);
	}
}
