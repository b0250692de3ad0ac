/* The boot hart's pool of packet buffers: its blocks are pages, and go back when they are not used.
 */
#pragma once

#include "core/hart.h"
#include "tcpip/pbuf.h"

/* Makes the pool. Negative errno: none. */
int packet_memory_create(struct hart *hart, struct pbuf_pool **out);
/* Packets were handled, and the hart is about to wait: some time later the pool is looked at. */
void packet_memory_used(void);
