#include "core/regions.h"

#include "core/address.h"

static void delete_at(struct regions *regions, unsigned index)
{
	for (unsigned i = index + 1; i < regions->count; i++)
		regions->at[i - 1] = regions->at[i];
	regions->count--;
}

static bool insert_at(struct regions *regions, unsigned index, struct region region)
{
	if (regions->count == REGIONS_MAX)
		return false;
	for (unsigned i = regions->count; i > index; i--)
		regions->at[i] = regions->at[i - 1];
	regions->at[index] = region;
	regions->count++;
	return true;
}

static uint64_t saturating_end(uint64_t start, uint64_t bytes)
{
	return start + bytes < start ? UINT64_MAX : start + bytes;
}

bool regions_add(struct regions *regions, uint64_t start, uint64_t bytes)
{
	uint64_t end = saturating_end(start, bytes) & ~(uint64_t)PAGE_MASK;
	if (start > UINT64_MAX - PAGE_MASK)
		return true;
	start = (start + PAGE_MASK) & ~(uint64_t)PAGE_MASK;
	if (start >= end)
		return true;
	unsigned i = 0;
	while (i < regions->count && regions->at[i].end < start)
		i++;
	struct region merged = { start, end };
	while (i < regions->count && regions->at[i].start <= end) {
		if (regions->at[i].start < merged.start)
			merged.start = regions->at[i].start;
		if (regions->at[i].end > merged.end)
			merged.end = regions->at[i].end;
		delete_at(regions, i);
	}
	return insert_at(regions, i, merged);
}

bool regions_remove(struct regions *regions, uint64_t start, uint64_t bytes)
{
	if (bytes == 0)
		return true;
	uint64_t end = saturating_end(start, bytes);
	start &= ~(uint64_t)PAGE_MASK;
	end = end > UINT64_MAX - PAGE_MASK ? ~(uint64_t)PAGE_MASK
	                                   : (end + PAGE_MASK) & ~(uint64_t)PAGE_MASK;
	for (unsigned i = 0; i < regions->count;) {
		struct region *at = &regions->at[i];
		if (at->end <= start || at->start >= end) {
			i++;
		} else if (at->start >= start && at->end <= end) {
			delete_at(regions, i);
		} else if (at->start >= start) {
			at->start = end;
		} else if (at->end <= end) {
			at->end = start;
		} else {
			struct region upper = { end, at->end };
			at->end = start;
			return insert_at(regions, i + 1, upper);
		}
	}
	return true;
}

bool regions_hold(const struct regions *regions, uint64_t start, uint64_t bytes)
{
	for (unsigned i = 0; i < regions->count; i++) {
		const struct region *at = &regions->at[i];
		if (at->start <= start && start < at->end && bytes <= at->end - start)
			return true;
	}
	return false;
}
