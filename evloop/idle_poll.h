/*
 * How long an idle hart looks for work before it waits for an interrupt. A wait costs the guest of
 * a hypervisor two exits and a late wake-up; polling costs the host a processor. Adaptive as
 * Linux's haltpoll governor is (drivers/cpuidle/governors/haltpoll.c): idle times a little longer
 * than the limit make it longer, idle times that no limit would have covered make it shorter. Pure.
 */
#pragma once

#include <stdint.h>

#define IDLE_POLL_MOST_NS  200000
#define IDLE_POLL_START_NS 50000 /* what an adaptive limit grows to from 0 */

struct idle_poll {
	uint64_t limit_ns; /* poll so long before the next wait */
	uint64_t most_ns;  /* that the limit may become; 0: it stays as it is */
};

/* A wait has ended; the hart was idle, polling included, for `idle_ns`. */
static inline void idle_poll_adapt(struct idle_poll *poll, uint64_t idle_ns)
{
	if (idle_ns > poll->most_ns) {
		if (poll->most_ns)
			poll->limit_ns /= 2;
		return;
	}
	if (idle_ns <= poll->limit_ns)
		return;
	uint64_t longer = poll->limit_ns * 2;
	if (longer < IDLE_POLL_START_NS)
		longer = IDLE_POLL_START_NS;
	poll->limit_ns = longer < poll->most_ns ? longer : poll->most_ns;
}
