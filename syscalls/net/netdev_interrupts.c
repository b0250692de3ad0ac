/* How a virtio-net device interrupts: one message for its configuration and one for each queue, or
 * one wire for all. The rings are looked at by the turn that follows, in either case. */
#include <errno.h>

#include "core/console.h"
#include "core/irq.h"
#include "core/trace.h"
#include "syscalls/net/netdev.h"

#define PAIR 0

static void configuration_changed(struct net_device *device)
{
	if (!device->present)
		return;
	if (device->virtio.needs_reset)
		net_device_restart(device);
	device->netif.up = device->present && device->virtio.link_up;
}

static void wire_raised(void *context)
{
	struct net_device *device = context;
	uint32_t reasons = virtio_net_interrupt(&device->virtio);
	device->rx_armed = false;
	trace(TRACE_INTERRUPT, device->virtio.transport->wire.number, reasons);
	if (reasons & VIRTIO_INTERRUPT_CONFIG)
		configuration_changed(device);
}

static void config_message(void *context)
{
	struct net_device *device = context;
	virtio_net_config_message(&device->virtio);
	configuration_changed(device);
}

static void rx_message(void *context)
{
	struct net_device *device = context;
	virtio_net_rx_message(&device->virtio, PAIR);
	device->rx_armed = false;
}

static void tx_message(void *context)
{
	struct net_device *device = context;
	virtio_net_tx_message(&device->virtio, PAIR);
}

static void free_messages(struct net_device *device, unsigned count)
{
	while (count-- > 0)
		irq_message_free(device->hart, &device->messages[count]);
}

/* All of them, or false. */
static bool allocate_messages(struct net_device *device)
{
	static irq_handler *const handlers[NET_DEVICE_MESSAGES] = {
		[VIRTIO_NET_MESSAGE_CONFIG] = config_message,
		[VIRTIO_NET_MESSAGE_RX(PAIR)] = rx_message,
		[VIRTIO_NET_MESSAGE_TX(PAIR)] = tx_message,
	};
	for (unsigned i = 0; i < NET_DEVICE_MESSAGES; i++) {
		if (irq_message_allocate(device->hart, handlers[i], device, &device->messages[i]) ==
		    0)
			continue;
		free_messages(device, i);
		return false;
	}
	return true;
}

void net_device_leave_messages(struct net_device *device)
{
	struct virtio_transport *transport = device->virtio.transport;
	if (!transport->messages)
		return;
	transport->ops->use_messages(transport, NULL, 0);
	free_messages(device, NET_DEVICE_MESSAGES);
}

int net_device_open(struct net_device *device, struct virtio_transport *transport,
                    const struct virtio_net_config *config)
{
	if (transport->vectors >= NET_DEVICE_MESSAGES && allocate_messages(device))
		transport->ops->use_messages(transport, device->messages, NET_DEVICE_MESSAGES);
	device->interrupts = transport->messages;
	int error = virtio_net_init(&device->virtio, transport, config);
	if (error == -EPROTO && transport->messages) {
		log_warning("eth0: the device refuses to send messages: its wire is used");
		net_device_leave_messages(device);
		device->interrupts = false;
		error = virtio_net_init(&device->virtio, transport, config);
	}
	if (error)
		net_device_leave_messages(device);
	return error;
}

void net_device_drop(void *context, void *cookie)
{
	(void)context;
	pbuf_free(cookie);
}

void net_device_close(struct net_device *device)
{
	virtio_net_fini(&device->virtio, net_device_drop, net_device_drop, NULL);
	net_device_leave_messages(device);
}

void net_device_take_wire(struct net_device *device)
{
	if (device->interrupts) {
		log_info("eth0: interrupts by messages");
		return;
	}
	device->interrupts =
	        irq_register(&device->virtio.transport->wire, wire_raised, device) == 0;
	if (!device->interrupts)
		log_warning("eth0: the device can't interrupt: it is polled");
}
