/*
 * A network device that asks to be reset (virtio 1.2 §2.1.2): it is set up again, and what it held
 * is lost as on any wire. One that does not come up again is as if its cable had been cut.
 */
#include "core/console.h"
#include "syscalls/net/netdev.h"

/* ---- a device that is lost ---- */

static void collect_nothing(struct loop *loop, struct loop_hook *hook)
{
	(void)loop, (void)hook;
}

static void flush_stack(struct loop *loop, struct loop_hook *hook)
{
	(void)loop;
	stack_flush(container_of(hook, struct net_device, flush)->netif.stack);
}

static bool prepare_wait(void *context)
{
	struct net_device *device = context;
	return net_stack_prepare_wait(device->hart, device->netif.stack);
}

static int transmit_nowhere(struct netif *netif, struct pbuf *frame)
{
	netif->statistics.tx_dropped++;
	pbuf_free(frame);
	return 0;
}

static uint32_t transmit_space(struct netif *netif)
{
	(void)netif;
	return UINT32_MAX;
}

static void flush_nothing(struct netif *netif)
{
	(void)netif;
}

/* The stack goes on with the interface that it knows. */
static void lose(struct net_device *device)
{
	device->present = false;
	device->collect.run = collect_nothing;
	device->flush.run = flush_stack;
	device->idle.prepare_wait = prepare_wait;
	device->idle.prepare_poll = NULL;
	device->netif.up = false;
	device->netif.transmit = transmit_nowhere;
	device->netif.transmit_space = transmit_space;
	device->netif.flush = flush_nothing;
	device->netif.room = 0;
}

/* ---- */

void net_device_restart(struct net_device *device)
{
	int error = virtio_net_restart(&device->virtio, net_device_drop, net_device_drop, NULL);
	if (error) {
		lose(device);
		net_device_leave_messages(device);
		log_error("eth0: the device asked to be reset and does not start again: error %d",
		          -error);
		return;
	}
	log_warning("eth0: the device asked to be reset, and was");
	device->rx_armed = device->completions_wanted = device->transmit_blocked = false;
	device->moved_before = 0;
	device->netif.room = 0;
	device->netif.offloads = net_device_offloads(device);
	net_device_fill(device);
	netif_transmit_ready(&device->netif);
}
