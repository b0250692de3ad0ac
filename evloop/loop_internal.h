/* Between the files of evloop/. */
#pragma once

#include "evloop/loop.h"

/* Take expired timers off the heap in order of (deadline, sequence) and post them; at most
 * LOOP_TIMER_BATCH. */
void loop_expire_timers(struct loop *loop);
/* Run the receivers of all messages sent so far, oldest first. */
void loop_drain_mailbox(struct loop *loop);
