/* Options that are kept, checked and read back as Linux does. But for SO_RXQ_OVFL (datagram.c) they
 * have no effect here: hints to devices, filters and caches that this kernel has none of, and
 * messages about what never happens. */
#include <errno.h>

#include "syscalls/net/socket.h"
#include "syscalls/process.h"

#define FLAG         1, 0, 1 /* any number but 0 is 1 */
#define SWITCH(most) 0, 0, (most)

enum kinds { TCP = 1, UDP = 2, LOCAL = 4, INET = TCP | UDP, ALL = INET | LOCAL };

static const struct kept {
	uint8_t level, name;
	uint8_t kinds; /* others: `refusal` */
	uint8_t is_flag;
	int32_t least, most;
	uint8_t inet_default;
	uint8_t refusal;
} table[KEPT_OPTIONS] = {
	[KEPT_PASSSEC] = { SOL_SOCKET, SO_PASSSEC, ALL, FLAG, 0, 0 },
	[KEPT_RXQ_OVFL] = { SOL_SOCKET, SO_RXQ_OVFL, ALL, FLAG, 0, 0 },
	[KEPT_WIFI_STATUS] = { SOL_SOCKET, SO_WIFI_STATUS, ALL, FLAG, 0, 0 },
	[KEPT_NOFCS] = { SOL_SOCKET, SO_NOFCS, ALL, FLAG, 0, 0 },
	[KEPT_LOCK_FILTER] = { SOL_SOCKET, SO_LOCK_FILTER, ALL, FLAG, 0, 0 },
	[KEPT_SELECT_ERR_QUEUE] = { SOL_SOCKET, SO_SELECT_ERR_QUEUE, ALL, FLAG, 0, 0 },
	[KEPT_BUSY_POLL] = { SOL_SOCKET, SO_BUSY_POLL, ALL, SWITCH(INT32_MAX), 0, 0 },
	[KEPT_PREFER_BUSY_POLL] = { SOL_SOCKET, SO_PREFER_BUSY_POLL, ALL, FLAG, 0, 0 },
	[KEPT_BUF_LOCK] = { SOL_SOCKET, SO_BUF_LOCK, ALL, SWITCH(3), 0, 0 },
	[KEPT_TXREHASH] = { SOL_SOCKET, SO_TXREHASH, ALL, SWITCH(1), 1, 0 },
	[KEPT_RCVMARK] = { SOL_SOCKET, SO_RCVMARK, ALL, FLAG, 0, 0 },
	[KEPT_RECVOPTS] = { IPPROTO_IP, IP_RECVOPTS, INET, FLAG, 0, 0 },
	[KEPT_RETOPTS] = { IPPROTO_IP, IP_RETOPTS, INET, FLAG, 0, 0 },
	[KEPT_IP_PASSSEC] = { IPPROTO_IP, IP_PASSSEC, INET, FLAG, 0, 0 },
	[KEPT_RECVFRAGSIZE] = { IPPROTO_IP, IP_RECVFRAGSIZE, UDP, FLAG, 0, EINVAL },
	[KEPT_RECVERR_RFC4884] = { IPPROTO_IP, IP_RECVERR_RFC4884, INET, SWITCH(1), 0, 0 },
	[KEPT_CHECKSUM] = { IPPROTO_IP, IP_CHECKSUM, INET, FLAG, 0, 0 },
	/* Linux: without effect but under the packet scheduler fq */
	[KEPT_TX_DELAY] = { IPPROTO_TCP, TCP_TX_DELAY, TCP, 0, INT32_MIN, INT32_MAX, 0, 0 },
	[KEPT_THIN_LINEAR_TIMEOUTS] = { IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, TCP, SWITCH(1), 0,
	                                0 },
	[KEPT_FASTOPEN_CONNECT] = { IPPROTO_TCP, TCP_FASTOPEN_CONNECT, TCP, SWITCH(1), 0, 0 },
	[KEPT_FASTOPEN_NO_COOKIE] = { IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, TCP, SWITCH(1), 0, 0 },
	[KEPT_NO_CHECK6_TX] = { IPPROTO_UDP, UDP_NO_CHECK6_TX, UDP, FLAG, 0, 0 },
	[KEPT_NO_CHECK6_RX] = { IPPROTO_UDP, UDP_NO_CHECK6_RX, UDP, FLAG, 0, 0 },
	[KEPT_GRO] = { IPPROTO_UDP, UDP_GRO, UDP, FLAG, 0, 0 },
};

static uint8_t kind_of(const struct socket *socket)
{
	if (socket->domain != AF_INET)
		return LOCAL;
	return socket->type == SOCK_STREAM ? TCP : UDP;
}

static const struct kept *find(int level, int name)
{
	for (int i = 0; i < KEPT_OPTIONS; i++) {
		if (table[i].level == level && table[i].name == name)
			return &table[i];
	}
	return NULL;
}

static int32_t default_of(const struct socket *socket, const struct kept *kept)
{
	return socket->domain == AF_INET ? kept->inet_default : 0;
}

/* What only somebody with a right to may do. */
static int check_right(int32_t before, int name, int32_t number)
{
	if (name == SO_LOCK_FILTER && before && !number)
		return -EPERM;
	if (name == SO_PREFER_BUSY_POLL && number && !socket_admin())
		return -EPERM;
	if (name == SO_RCVMARK && !socket_admin() && !has_capability(CAPABILITY_NET_RAW))
		return -EPERM;
	return 0;
}

int kept_option_set(struct socket *socket, int level, int name, const void *value, uint32_t length)
{
	const struct kept *kept = find(level, name);
	int32_t number;
	if (!kept)
		return -ENOPROTOOPT;
	/* IPPROTO_IP takes a byte, too. */
	int error = level == IPPROTO_IP ? 0 : option_int(value, length, &number);
	if (level == IPPROTO_IP)
		number = option_byte_or_int(value, length);
	if (error)
		return error;
	if (!(kept->kinds & kind_of(socket)))
		return -kept->refusal;
	if (kept->is_flag)
		number = number != 0;
	else if (name == SO_TXREHASH && level == SOL_SOCKET && number == -1)
		number = default_of(socket, kept);
	if (number < kept->least || number > kept->most)
		return -EINVAL;
	struct socket_options *options = socket_options_change(socket);
	if (!options)
		return -ENOMEM;
	int32_t *slot = &options->kept[kept - table];
	if (level == SOL_SOCKET) {
		error = check_right(*slot, name, number);
		if (error)
			return error;
	}
	*slot = number - default_of(socket, kept);
	return 0;
}

int kept_option_get(const struct socket *socket, int level, int name, int32_t *out)
{
	const struct kept *kept = find(level, name);
	if (!kept)
		return -ENOPROTOOPT;
	*out = socket->options->kept[kept - table] + default_of(socket, kept);
	return 0;
}
