/* Times in user memory. */
#pragma once

#include <errno.h>
#include <stdint.h>

#include "core/user.h"
#include "evloop/loop.h"

struct user_timespec {
	int64_t seconds, nanoseconds;
};

#define NANOSECONDS_PER_SECOND 1000000000ll

static inline bool timespec_is_valid(const struct user_timespec *time)
{
	return time->seconds >= 0 && (uint64_t)time->nanoseconds < NANOSECONDS_PER_SECOND;
}
/* Saturates far in the future. */
static inline uint64_t timespec_to_ns(const struct user_timespec *time)
{
	if (time->seconds >= INT64_MAX / NANOSECONDS_PER_SECOND)
		return LOOP_NEVER;
	return (uint64_t)(time->seconds * NANOSECONDS_PER_SECOND + time->nanoseconds);
}
static inline struct user_timespec timespec_from_ns(uint64_t ns)
{
	return (struct user_timespec){ (int64_t)(ns / NANOSECONDS_PER_SECOND),
		                       (int64_t)(ns % NANOSECONDS_PER_SECOND) };
}
/* A relative timeout; a NULL pointer means LOOP_NEVER. -EFAULT, -EINVAL. */
static inline int timespec_from_user(struct user_addr from, uint64_t *out_ns)
{
	struct user_timespec time;
	*out_ns = LOOP_NEVER;
	if (!from.value)
		return 0;
	if (copy_from_user(&time, from, sizeof(time)))
		return -EFAULT;
	if (!timespec_is_valid(&time))
		return -EINVAL;
	*out_ns = timespec_to_ns(&time);
	return 0;
}
