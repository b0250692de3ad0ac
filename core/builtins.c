/* What the compiler calls for operations that this ISA subset has no instruction for (libgcc's
 * build has another floating-point ABI). */
#include <stdint.h>

int __ctzdi2(uint64_t value);
int __clzdi2(uint64_t value);
int __popcountdi2(uint64_t value);
uint32_t __bswapsi2(uint32_t value);
uint64_t __bswapdi2(uint64_t value);

/* A de Bruijn sequence: every 6-bit window of it is different, and the isolated lowest bit shifts
 * one window to the top. */
#define DE_BRUIJN 0x03f79d71b4cb0a89ull

int __ctzdi2(uint64_t value)
{
	static const uint8_t position[64] = {
		0,  1,  48, 2,  57, 49, 28, 3,  61, 58, 50, 42, 38, 29, 17, 4,
		62, 55, 59, 36, 53, 51, 43, 22, 45, 39, 33, 30, 24, 18, 12, 5,
		63, 47, 56, 27, 60, 41, 37, 16, 54, 35, 52, 21, 44, 32, 23, 11,
		46, 26, 40, 15, 34, 20, 31, 10, 25, 14, 19, 9,  13, 8,  7,  6,
	};
	return position[(value & -value) * DE_BRUIJN >> 58];
}

int __clzdi2(uint64_t value)
{
	for (unsigned shift = 1; shift < 64; shift *= 2)
		value |= value >> shift; /* all bits below the highest */
	return 64 - __popcountdi2(value);
}

int __popcountdi2(uint64_t value)
{
	value -= value >> 1 & 0x5555555555555555;
	value = (value & 0x3333333333333333) + (value >> 2 & 0x3333333333333333);
	value = (value + (value >> 4)) & 0x0f0f0f0f0f0f0f0f;
	return (int)(value * 0x0101010101010101 >> 56);
}

uint32_t __bswapsi2(uint32_t value)
{
	value = (value & 0x00ff00ff) << 8 | (value >> 8 & 0x00ff00ff);
	return value << 16 | value >> 16;
}

uint64_t __bswapdi2(uint64_t value)
{
	return (uint64_t)__bswapsi2((uint32_t)value) << 32 | __bswapsi2((uint32_t)(value >> 32));
}
