/* The tables of sockets in /proc/net (proc(5)), in Linux's formats, a piece at a time. */
#include <string.h>

#include "core/console.h"
#include "syscalls/net/proc_net.h"
#include "syscalls/net/socket_tcp.h"
#include "syscalls/net/socket_unix.h"

#define LINE_BYTES     256
#define TCP_LINE_BYTES 149 /* without its newline; lines are filled up with blanks */
#define PIECE_BYTES    4096
#define CLOCK_TICK_US  10000

enum { LINUX_ESTABLISHED = 1, LINUX_CLOSE = 7 };

struct rows {
	struct text *text;
	struct text_position *at;
	enum socket_kind kind;
};

static bool piece_has_room(const struct rows *rows)
{
	return rows->text->length < PIECE_BYTES - LINE_BYTES;
}

/* ---- tcp ---- */

static uint32_t owner_of(const struct tcp_row *row, unsigned long *inode)
{
	const struct tcp_socket *socket = row->owner;
	*inode = socket && row->connection ? (unsigned long)socket->socket.inode : 0;
	return socket ? socket->socket.file.maker.uid : 0;
}

/* Of a connection also its timeouts, and what it may send. */
static void connection_end(char *out, size_t room, const struct tcp_row *row)
{
	const bool listens = row->state == TCP_LISTEN;
	struct tcp_information information;
	tcp_get_information(row->connection, &information);
	if (listens)
		information = (struct tcp_information){ .rto_us = 1000000, .snd_cwnd = 10 };
	bool unlimited = information.snd_ssthresh >= INT32_MAX;
	unsigned quick = (unsigned)row->quick_acks << 1 | row->pingpong;
	format_string(out, room, " %u %u %u %u %d", information.rto_us / CLOCK_TICK_US,
	              information.ato_us / CLOCK_TICK_US, quick, information.snd_cwnd,
	              !listens && unlimited ? -1 : (int)information.snd_ssthresh);
}

static bool tcp_line(void *context, const struct tcp_row *row)
{
	struct rows *rows = context;
	char line[LINE_BYTES], end[LINE_BYTES / 2] = "";
	unsigned long inode;
	uint32_t uid = owner_of(row, &inode);
	if (row->connection)
		connection_end(end, sizeof(end), row);
	format_string(line, sizeof(line),
	              "%4u: %08X:%04X %08X:%04X %02X %08X:%08X %02X:%08lX %08X %5u %8u %lu %d "
	              "%016lx%s",
	              rows->at->row++, proc_address(row->local.address), row->local.port,
	              proc_address(row->remote.address), row->remote.port,
	              tcp_linux_state(row->state), row->send_queue, row->receive_queue, row->timer,
	              proc_clock(row->timer_left_ns), row->retransmits, uid, row->probes, inode,
	              row->connection ? 1 : 0, inode, end);
	text_printf(rows->text, "%-*s\n", TCP_LINE_BYTES, line);
	return piece_has_room(rows);
}

void proc_net_tcp(struct text *text, const struct path_node *node, struct text_position *at)
{
	const struct stack *stack = net_stack(this_hart());
	struct rows rows = { .text = text, .at = at };
	(void)node;
	if (!stack || !tcp_walk(stack, &at->place, tcp_line, &rows))
		at->place = TEXT_END;
}

/* ---- udp, icmp, raw ---- */

#define DATAGRAM_LINE_BYTES 127 /* lines of raw sockets are not filled up */

static bool datagram_line(void *context, struct socket *socket)
{
	struct rows *rows = context;
	struct datagram_row row;
	char line[LINE_BYTES];
	if (socket_kind(socket) != rows->kind || !socket->operations->row(socket, &row))
		return true;
	bool raw = rows->kind == SOCKETS_RAW;
	bool connected = !ipv4_is_any(row.remote.address) && !raw;
	format_string(line, sizeof(line),
	              "%*u: %08X:%04X %08X:%04X %02X %08X:%08X 00:00000000 00000000 %5u        0 "
	              "%lu %u %016lx %u",
	              raw ? 4 : 5, rows->at->row++, proc_address(row.local.address), row.local.port,
	              proc_address(row.remote.address), row.remote.port,
	              connected ? LINUX_ESTABLISHED : LINUX_CLOSE, 0, row.received_bytes,
	              socket->file.maker.uid, (unsigned long)socket->inode, socket->file.refs + 1,
	              (unsigned long)socket->inode, row.dropped);
	text_printf(rows->text, "%-*s\n", raw ? 0 : DATAGRAM_LINE_BYTES, line);
	return piece_has_room(rows);
}

static void socket_rows(struct text *text, struct text_position *at, enum socket_kind kind,
                        bool (*line)(void *context, struct socket *socket))
{
	struct rows rows = { .text = text, .at = at, .kind = kind };
	if (!sockets_walk(&at->place, line, &rows))
		at->place = TEXT_END;
}

void proc_net_udp(struct text *text, const struct path_node *node, struct text_position *at)
{
	(void)node;
	socket_rows(text, at, SOCKETS_UDP, datagram_line);
}

void proc_net_icmp(struct text *text, const struct path_node *node, struct text_position *at)
{
	(void)node;
	socket_rows(text, at, SOCKETS_PING, datagram_line);
}

void proc_net_raw(struct text *text, const struct path_node *node, struct text_position *at)
{
	(void)node;
	socket_rows(text, at, SOCKETS_RAW, datagram_line);
}

/* ---- unix ---- */

/* Linux's enum socket_state */
enum { LINUX_UNCONNECTED = 1, LINUX_CONNECTING, LINUX_CONNECTED };
#define ACCEPTS_CONNECTIONS 0x10000 /* __SO_ACCEPTCON */

/* Of an abstract name each NUL is an @. */
static void unix_name_text(struct text *text, const struct unix_name *name)
{
	const char *path = name->address.path;
	char shown[SUN_PATH_BYTES + 1];
	size_t length = name->length - sizeof(name->address.family);
	if (path[0])
		length = strnlen(path, length);
	for (size_t i = 0; i < length; i++)
		shown[i] = path[i] ? path[i] : '@';
	text_append(text, " ", 1);
	text_append(text, shown, length);
}

static bool unix_line(void *context, struct socket *socket)
{
	struct rows *rows = context;
	if (socket_kind(socket) != rows->kind)
		return true;
	const struct unix_socket *local = unix_socket_of(socket);
	bool connected = local->connected || local->peer;
	unsigned state = local->embryo ? LINUX_CONNECTING
	                 : connected   ? LINUX_CONNECTED
	                               : LINUX_UNCONNECTED;
	text_printf(rows->text, "%016lx: %08X 00000000 %08X %04X %02X %5lu",
	            (unsigned long)socket->inode, socket->file.refs + 1 + connected,
	            local->listening ? ACCEPTS_CONNECTIONS : 0, socket->type, state,
	            local->embryo ? 0 : (unsigned long)socket->inode);
	if (local->name)
		unix_name_text(rows->text, local->name);
	text_append(rows->text, "\n", 1);
	return piece_has_room(rows);
}

void proc_net_unix(struct text *text, const struct path_node *node, struct text_position *at)
{
	(void)node;
	socket_rows(text, at, SOCKETS_UNIX, unix_line);
}
