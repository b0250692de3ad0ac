/* A sorted list of disjoint ranges of physical memory: RAM is added, what firmware and boot keep is
 * taken away. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define REGIONS_MAX 64

struct region {
	uint64_t start, end; /* multiples of the page size; end is exclusive */
};

struct regions {
	struct region at[REGIONS_MAX];
	unsigned count;
};

/* RAM: rounded inwards to whole pages, merged with neighbours. False when the list is full (the
 * range is left out). */
bool regions_add(struct regions *regions, uint64_t start, uint64_t bytes);
/* Reserved: rounded outwards. False when a split finds the list full (then more than asked for is
 * taken away). */
bool regions_remove(struct regions *regions, uint64_t start, uint64_t bytes);
/* Whether all of [start, start + bytes) is in one range. */
bool regions_hold(const struct regions *regions, uint64_t start, uint64_t bytes);
