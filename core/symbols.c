#include "core/symbols.h"

#include <stddef.h>

extern const char image_start[], text_end[], symbols_start[], symbols_end[];

const char *symbol_name(uint64_t address, uint64_t *offset)
{
	if (&symbols_start[0] == &symbols_end[0] || address < (uint64_t)image_start ||
	    address >= (uint64_t)text_end)
		return NULL;
	const uint32_t *table = (const uint32_t *)symbols_start;
	uint32_t count = table[0], target = (uint32_t)(address - (uint64_t)image_start);
	const uint32_t *offsets = table + 1, *names = offsets + count;
	uint32_t low = 0, high = count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (offsets[middle] <= target)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return NULL;
	*offset = target - offsets[low - 1];
	return (const char *)(names + count) + names[low - 1];
}
