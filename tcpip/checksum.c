/*
 * The Internet checksum (RFC 1071). Sums are kept in the machine's byte order (little endian):
 * ones' complement addition is indifferent to it, and checksum_store puts the folded result back in
 * the same order.
 */
#include "tcpip/internal.h"

typedef uint64_t __attribute__((may_alias)) word64;

/* Ones' complement 64-bit addition. */
static inline uint64_t add_carry(uint64_t sum, uint64_t word)
{
	sum += word;
	return sum + (sum < word);
}

static inline uint32_t fold_to_32(uint64_t sum)
{
	sum = (sum >> 32) + (uint32_t)sum;
	return (uint32_t)(sum >> 32) + (uint32_t)sum;
}

/* Up to 7 bytes, the first being the least significant. */
static inline uint64_t load_few(const uint8_t *p, size_t length)
{
	uint64_t word = 0;
	for (size_t i = 0; i < length; i++)
		word |= (uint64_t)p[i] << (8 * i);
	return word;
}

/* `p` is 8-aligned. */
static uint64_t sum_aligned(uint64_t sum, const uint8_t *p, size_t length)
{
	const word64 *w = __builtin_assume_aligned(p, 8);
	for (; length >= 64; length -= 64, w += 8) {
		uint64_t a = add_carry(w[0], w[1]), b = add_carry(w[2], w[3]);
		uint64_t c = add_carry(w[4], w[5]), d = add_carry(w[6], w[7]);
		sum = add_carry(sum, add_carry(add_carry(a, b), add_carry(c, d)));
	}
	for (; length >= 8; length -= 8, w++)
		sum = add_carry(sum, *w);
	if (length)
		sum = add_carry(sum, load_few((const uint8_t *)w, length));
	return sum;
}

uint32_t checksum_add(uint32_t sum, const void *bytes, size_t length)
{
	const uint8_t *p = bytes;
	size_t lead = -(uintptr_t)p & 7;
	if (lead > length)
		lead = length;
	uint64_t head = lead ? load_few(p, lead) : 0;
	uint64_t rest = sum_aligned(0, p + lead, length - lead);
	/* Behind an odd number of bytes every 16-bit word is seen swapped (RFC 1071 §2 B). */
	if (lead & 1)
		rest = rest << 8 | rest >> 56;
	return fold_to_32(add_carry(add_carry(head, rest), sum));
}

uint16_t checksum_fold(uint32_t sum)
{
	sum = (sum >> 16) + (sum & 0xffff);
	sum += sum >> 16;
	return (uint16_t)~sum;
}

uint32_t checksum_pbuf(uint32_t sum, const struct pbuf *packet, uint32_t offset, uint32_t length)
{
	bool odd = false; /* bytes summed so far */
	for (const struct pbuf *p = packet; p && length; p = p->next) {
		if (offset >= p->length) {
			offset -= p->length;
			continue;
		}
		uint32_t step = p->length - offset;
		if (step > length)
			step = length;
		uint32_t part = checksum_add(0, p->data + offset, step);
		if (odd)
			part = part << 8 | part >> 24;
		sum = fold_to_32((uint64_t)sum + part);
		odd ^= step & 1;
		length -= step;
		offset = 0;
	}
	return sum;
}

uint32_t checksum_pseudo_ipv4(struct ipv4_address source, struct ipv4_address destination,
                              uint8_t protocol, uint32_t length)
{
	uint64_t sum = (uint64_t)source.value + destination.value + protocol + length;
	/* The sum above is of big-endian words: fold and swap it into the order of the others. */
	uint32_t folded = fold_to_32(sum);
	folded = (folded >> 16) + (folded & 0xffff);
	folded = (folded >> 16) + (folded & 0xffff);
	return (folded & 0xff) << 8 | folded >> 8;
}
