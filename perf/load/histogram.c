/* A log-linear histogram: constant work per value, constant relative error. */
#include "perf/load/load.h"

static unsigned bucket_of(uint64_t ns)
{
	unsigned shift;

	if (ns < 1u << HISTOGRAM_BITS)
		return (unsigned)ns;
	shift = 63u - (unsigned)__builtin_clzll(ns) - HISTOGRAM_BITS;
	return (shift << HISTOGRAM_BITS) + (unsigned)(ns >> shift);
}

uint64_t histogram_limit(unsigned bucket)
{
	unsigned shift = bucket >> HISTOGRAM_BITS;

	if (shift <= 1)
		return bucket;
	shift--;
	return (((uint64_t)bucket - ((uint64_t)shift << HISTOGRAM_BITS) + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
	histogram->counts[bucket_of(ns)]++;
	histogram->total++;
}

uint64_t histogram_percentile(const struct histogram *histogram, double share)
{
	double wanted = share * (double)histogram->total;
	uint64_t seen = 0;

	for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
		seen += histogram->counts[bucket];
		if (histogram->counts[bucket] && (double)seen >= wanted)
			return histogram_limit(bucket);
	}
	return 0;
}
