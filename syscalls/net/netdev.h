/*
 * The glue between a virtio-net device and the stack: buffers, notifications and the fixed points
 * of the loop's turn at which the rings are looked at. One device, one queue pair, on the boot
 * hart.
 */
#pragma once

#include "core/boot.h"
#include "core/hart.h"
#include "core/irq.h"
#include "tcpip/stack.h"
#include "virtio/net.h"

/* That a device sends: VIRTIO_NET_MESSAGE_CONFIG, and those of its one queue pair. */
#define NET_DEVICE_MESSAGES 3

struct net_device {
	struct virtio_net virtio;
	struct netif netif;
	struct pbuf_pool *pool;
	struct hart *hart;
	struct loop_hook collect, flush;
	struct hart_idle_hook idle;
	uint32_t rx_budget;        /* packets per turn; UINT32_MAX: all that there are */
	uint32_t posted;           /* receive buffers that the device holds */
	uint32_t capacity;         /* of the receive ring, learned when it is full */
	uint32_t rx_wanted;        /* that the device should hold: more when packets come fast */
	uint32_t rx_large_average; /* bytes of those packets that are not in one ordinary buffer */
	uint32_t quiet_turns;      /* turns in a row that found no packet */
	bool present;              /* a device was found and runs */
	bool unpublished;          /* something was posted or transmitted since the last publish */
	struct irq_message messages[NET_DEVICE_MESSAGES]; /* those of virtio.transport->messages */
	bool interrupts;                                  /* it can; else its rings are polled */
	bool rx_armed;                                    /* an interrupt was asked for */
	bool rx_poll;            /* while packets come, no interrupt is asked for */
	bool transmit_blocked;   /* the stack was told that there is no space */
	bool completions_wanted; /* somebody waits for transmitted buffers (net_want_completions) */
	uint64_t moved_before;   /* frames_moved when a turn began that the backstop forced */
	uint64_t rx_no_buffer, rx_malformed, tx_copied, tx_unsendable;
};

/* What a hart does for its stack, with a device or without, before it waits or runs a task. False:
 * something is to be sent first. */
static inline bool net_stack_prepare_wait(struct hart *hart, struct stack *stack)
{
	if (!hart->current)
		return !stack_before_idle(stack);
	hart_turn_by(hart, stack_held_until(stack));
	return true;
}

/* Negotiates with the configuration that the boot arguments ask for, fills the receive ring and
 * enters the loop. 0 or negative errno: the device is then not used. */
int net_device_start(struct net_device *device, struct virtio_transport *transport,
                     struct hart *hart, struct stack *stack, const char *command_line);
/* core/irq.h's side of it: messages where the device and the machine have them, else its wire. */
int net_device_open(struct net_device *device, struct virtio_transport *transport,
                    const struct virtio_net_config *config);
/* Undoes it; every packet that the device held is freed. */
void net_device_close(struct net_device *device);
void net_device_leave_messages(struct net_device *device);
/* What the driver does with a packet that the device held when it was reset. */
void net_device_drop(void *context, void *cookie);
/* The device runs, and all its buffers have come back: the receive ring is filled. */
void net_device_fill(struct net_device *device);
/* What it takes off the stack (enum netif_offload). */
uint32_t net_device_offloads(const struct net_device *device);
/* It asked to be reset, outside of its hooks. One that does not come up again is no longer present,
 * and its interface is down for ever. */
void net_device_restart(struct net_device *device);
/* Once it is certain that the device stays: a wire is never given back. */
void net_device_take_wire(struct net_device *device);
/* The device in use, or NULL. */
struct net_device *net_first_device(void);
