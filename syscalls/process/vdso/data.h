/* The page that lies before the vDSO's code in every program: what the clock is computed from.
 * Written by the kernel only. */
#pragma once

#include <stdint.h>

struct vdso_data {
	uint32_t sequence; /* odd while the kernel writes; even and unchanged around a sound read */
	uint32_t shift;
	uint64_t multiplier;
	uint64_t base_ticks;
	uint64_t wall_offset_ns;
};
