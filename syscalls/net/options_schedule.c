/* What packet schedulers are told by sockets, SO_MAX_PACING_RATE and SO_TXTIME: kept, and without
 * effect, for there is none. */
#include <errno.h>
#include <string.h>

#include "syscalls/net/socket.h"
#include "syscalls/process.h"

#define TXTIME_FLAGS 3u /* SOF_TXTIME_DEADLINE_MODE, REPORT_ERRORS */

enum { CLOCK_REALTIME = 0, CLOCK_MONOTONIC = 1, CLOCK_TAI = 11 };

struct txtime {
	int32_t clock;
	uint32_t flags;
};

/* Bytes per second, of 64 bits or of 32, whose largest means no limit. */
static int set_rate(struct socket_options *options, const void *value, uint32_t length)
{
	uint64_t rate;
	int32_t number;
	if (length == sizeof(rate)) {
		memcpy(&rate, value, sizeof(rate));
		options->pacing_rate = rate;
		return 0;
	}
	int error = option_int(value, length, &number);
	if (!error)
		options->pacing_rate = number == -1 ? UINT64_MAX : (uint32_t)number;
	return error;
}

static int set_txtime(struct socket_options *options, const void *value, uint32_t length)
{
	struct txtime time;
	if (length != sizeof(time))
		return -EINVAL;
	memcpy(&time, value, sizeof(time));
	if (time.flags & ~TXTIME_FLAGS)
		return -EINVAL;
	if (time.clock != CLOCK_MONOTONIC && !socket_admin())
		return -EPERM;
	if (time.clock != CLOCK_REALTIME && time.clock != CLOCK_MONOTONIC &&
	    time.clock != CLOCK_TAI)
		return -EINVAL;
	options->txtime = true;
	options->txtime_clock = (uint8_t)time.clock;
	options->txtime_flags = (uint8_t)time.flags;
	return 0;
}

int schedule_option_set(struct socket_options *options, int name, const void *value,
                        uint32_t length)
{
	switch (name) {
	case SO_MAX_PACING_RATE:
		return set_rate(options, value, length);
	case SO_TXTIME:
		return set_txtime(options, value, length);
	default:
		return -ENOPROTOOPT;
	}
}

int schedule_option_get(const struct socket_options *options, int name, void *value,
                        uint32_t *length)
{
	const struct txtime time = { options->txtime_clock, options->txtime_flags };
	uint64_t rate = options->pacing_rate;
	switch (name) {
	case SO_MAX_PACING_RATE:
		if (*length < sizeof(rate))
			return option_put_int(value, length,
			                      rate > UINT32_MAX ? -1 : (int32_t)rate);
		*length = sizeof(rate);
		memcpy(value, &rate, sizeof(rate));
		return 0;
	case SO_TXTIME:
		if (*length > sizeof(time))
			*length = sizeof(time);
		memcpy(value, &time, *length);
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}
