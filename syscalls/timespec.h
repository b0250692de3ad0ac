/* Times in user memory, and the deadlines made of them. */
#pragma once

#include <errno.h>
#include <stdint.h>

#include "core/hart.h"
#include "core/user.h"
#include "evloop/loop.h"
#include "syscalls/wait.h"

struct user_timespec {
	int64_t seconds, nanoseconds;
};

#define NANOSECONDS 1000000000ll

/* Notified (POLLIN) when the wall clock was set, by so much: forward, or backward when it is negative as a signed number. */
extern struct wait_queue wall_clock_set;
extern uint64_t wall_clock_set_by_ns;

static inline bool timespec_is_valid(const struct user_timespec *time)
{
	return time->seconds >= 0 && (uint64_t)time->nanoseconds < (uint64_t)NANOSECONDS;
}
/* Saturates far in the future. */
static inline uint64_t timespec_to_ns(const struct user_timespec *time)
{
	if (time->seconds >= INT64_MAX / NANOSECONDS)
		return LOOP_NEVER;
	return (uint64_t)(time->seconds * NANOSECONDS + time->nanoseconds);
}
static inline struct user_timespec timespec_from_ns(uint64_t ns)
{
	return (struct user_timespec){ (int64_t)(ns / (uint64_t)NANOSECONDS),
		                       (int64_t)(ns % (uint64_t)NANOSECONDS) };
}
/* -EFAULT, -EINVAL. */
static inline int timespec_from_user(struct user_addr from, uint64_t *out_ns)
{
	struct user_timespec time;
	if (copy_from_user(&time, from, sizeof(time)))
		return -EFAULT;
	if (!timespec_is_valid(&time))
		return -EINVAL;
	*out_ns = timespec_to_ns(&time);
	return 0;
}
/* -EFAULT. */
static inline int timespec_to_user(struct user_addr to, uint64_t ns)
{
	struct user_timespec time = timespec_from_ns(ns);
	return copy_to_user(to, &time, sizeof(time));
}
/* A relative timeout; a NULL pointer means LOOP_NEVER. -EFAULT, -EINVAL. */
static inline int timeout_from_user(struct user_addr from, uint64_t *out_ns)
{
	*out_ns = LOOP_NEVER;
	return from.value ? timespec_from_user(from, out_ns) : 0;
}
/* The monotonic time `ns` from now; LOOP_NEVER stays, anything shorter comes before it. */
static inline uint64_t deadline_after(uint64_t ns)
{
	if (ns == LOOP_NEVER)
		return LOOP_NEVER;
	uint64_t now_ns = hart_refresh_now(this_hart());
	return ns < LOOP_NEVER - 1 - now_ns ? now_ns + ns : LOOP_NEVER - 1;
}

/* A timer that fired rests before it fires again, however short its interval, so that programs run between the turns; and the
 * longer, up to a tick of Linux, when it fires in vain. What expires meanwhile is counted. */
#define TIMER_REST_NS      50000u
#define TIMER_REST_MOST_NS 4000000u

/* How often it expired by now, all on one clock. `next_ns` moves to the next expiry; LOOP_NEVER: there is none. */
static inline uint64_t timer_take_expiries(uint64_t *next_ns, uint64_t interval_ns, uint64_t now_ns)
{
	uint64_t expiries = 1;
	if (now_ns < *next_ns)
		return 0;
	if (!interval_ns) {
		*next_ns = LOOP_NEVER;
		return expiries;
	}
	expiries += (now_ns - *next_ns) / interval_ns;
	*next_ns += expiries * interval_ns;
	return expiries;
}
