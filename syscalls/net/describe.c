/* The lines of a panic or hang dump. */
#include "core/console.h"
#include "syscalls/net.h"
#include "syscalls/net/netdev.h"
#include "syscalls/net/socket.h"

#define LINE_BYTES 256

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

static bool dump_socket(void *context, struct socket *socket)
{
	char text[LINE_BYTES];
	(void)context;
	socket->operations->describe(socket, text, sizeof(text));
	console_printf("socket %lu %s refs %u poll %x: %s\n", (unsigned long)socket->inode,
	               socket->file.operations->kind, socket->file.refs, file_poll(&socket->file),
	               text);
	return true;
}

void net_dump(void)
{
	uint64_t position = 0;
	dump_device();
	while (sockets_walk(&position, dump_socket, NULL))
		;
}
