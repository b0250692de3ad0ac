/*
 * How long a task runs between two turns of the loop while events wait. A turn costs about half of
 * what a small request costs, so for a task that is behind with its input it must not come with
 * each of them: as long as forced turns move few frames, the stretch before the next one doubles.
 * Replies then wait that much longer at most, behind which as much input waits anyway.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The stretch at first, and again once the hart has waited; and the longest. Boot arguments
 * backstop_us and stretch_us. */
#define HART_BACKSTOP_NS 20000
#define HART_STRETCH_NS  320000
/* Frames that a turn moves. */
#define TURN_FEW         32
#define TURN_MANY        128

/* After a turn that the end of a stretch forced. input_waits: bytes are there that no task has read
 * yet. */
static inline uint64_t stretch_next(uint64_t stretch_ns, uint64_t frames_moved, bool input_waits,
                                    uint64_t least_ns, uint64_t most_ns)
{
	if (frames_moved > TURN_MANY)
		return stretch_ns / 2 >= least_ns ? stretch_ns / 2 : stretch_ns;
	if (frames_moved < TURN_FEW && input_waits && 2 * stretch_ns <= most_ns)
		return 2 * stretch_ns;
	return stretch_ns;
}
