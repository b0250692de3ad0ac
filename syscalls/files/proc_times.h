/* CPU times as /proc shows them. */
#pragma once

#include <stdint.h>

struct process;

#define NS_PER_TICK 10000000ull /* USER_HZ 100 */

struct process_times {
	uint64_t user_ns, system_ns;
};
/* Of its threads, living and ended. */
void process_times(struct process *process, struct process_times *out);
