/*
 * Randomness: a ChaCha20 keystream (RFC 8439 §2.3) whose key is replaced by its own output after
 * every request ("fast key erasure"), so that what was handed out cannot be computed from a later
 * state. Entropy is mixed into the key: the device tree's rng-seed, where that is shorter than the
 * key virtio-rng, and the clock at boot.
 */
#include "syscalls/process/internal.h"

#define BLOCK_BYTES 64
#define KEY_WORDS   8

static uint32_t key[KEY_WORDS];
static bool seeded; /* the boot loader's seed is as long as the key */
static uint64_t
        requests; /* the nonce: no two requests share a keystream even before the first reseed */

static inline uint32_t rotate(uint32_t value, unsigned bits)
{
	return value << bits | value >> (32 - bits);
}

static inline void quarter_round(uint32_t *s, int a, int b, int c, int d)
{
	s[a] += s[b], s[d] = rotate(s[d] ^ s[a], 16);
	s[c] += s[d], s[b] = rotate(s[b] ^ s[c], 12);
	s[a] += s[b], s[d] = rotate(s[d] ^ s[a], 8);
	s[c] += s[d], s[b] = rotate(s[b] ^ s[c], 7);
}

static void chacha20_block(uint32_t counter, uint64_t nonce, uint32_t out[16])
{
	uint32_t input[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 }, state[16];
	memcpy(&input[4], key, sizeof key);
	input[12] = counter;
	input[13] = (uint32_t)nonce;
	input[14] = (uint32_t)(nonce >> 32);
	memcpy(state, input, sizeof state);
	for (int round = 0; round < 10; round++) {
		quarter_round(state, 0, 4, 8, 12);
		quarter_round(state, 1, 5, 9, 13);
		quarter_round(state, 2, 6, 10, 14);
		quarter_round(state, 3, 7, 11, 15);
		quarter_round(state, 0, 5, 10, 15);
		quarter_round(state, 1, 6, 11, 12);
		quarter_round(state, 2, 7, 8, 13);
		quarter_round(state, 3, 4, 9, 14);
	}
	for (int i = 0; i < 16; i++)
		out[i] = state[i] + input[i];
}

void random_bytes(void *out, size_t bytes)
{
	uint32_t block[16], next_key[KEY_WORDS];
	uint64_t nonce = ++requests;
	uint8_t *to = out;
	chacha20_block(0, nonce, block);
	memcpy(next_key, block, sizeof next_key);
	/* The other half of block 0 serves small requests: one block for most. */
	const uint8_t *from = (const uint8_t *)&block[KEY_WORDS];
	size_t available = sizeof block - sizeof next_key;
	for (uint32_t counter = 1; bytes; counter++) {
		size_t part = bytes < available ? bytes : available;
		memcpy(to, from, part);
		to += part;
		bytes -= part;
		if (bytes) {
			chacha20_block(counter, nonce, block);
			from = (const uint8_t *)block;
			available = BLOCK_BYTES;
		}
	}
	memcpy(key, next_key, sizeof key);
	memset(block, 0, sizeof block);
	__asm__ volatile("" ::"r"(block) : "memory"); /* the wipe is not a dead store */
}

void random_add_entropy(const void *bytes, size_t length)
{
	const uint8_t *from = bytes;
	while (length) {
		uint8_t pool[sizeof key];
		size_t part = length < sizeof pool ? length : sizeof pool;
		memcpy(pool, key, sizeof pool);
		for (size_t i = 0; i < part; i++)
			pool[i] ^= from[i];
		memcpy(key, pool, sizeof key);
		random_bytes(pool, sizeof pool); /* diffuses what was mixed in */
		from += part;
		length -= part;
	}
}

bool random_is_seeded(void)
{
	return seeded;
}

void random_init(const struct boot_information *boot)
{
	uint64_t times[2] = { clock_read_ns(), clock_wall_ns() };
	random_add_entropy(times, sizeof times);
	dtb_node chosen = dtb_find_path(boot->dtb, "/chosen");
	if (chosen == DTB_NONE)
		return;
	struct dtb_property seed = dtb_property(boot->dtb, chosen, "rng-seed");
	if (seed.data)
		random_add_entropy(seed.data, seed.bytes);
	seeded = seed.data && seed.bytes >= sizeof key;
}

enum { GRND_NONBLOCK = 1, GRND_RANDOM = 2, GRND_INSECURE = 4 };
#define GETRANDOM_MAX 0x1ffffffull /* Linux: 32 MiB - 1 per call */
#define PIECE_BYTES   1024

/* The pool is seeded before the first program starts, so no flag makes a difference but to
 * validity. */
long sys_getrandom(struct thread *thread, const uint64_t *argument)
{
	uint64_t bytes = argument[1], done = 0, flags = argument[2];
	(void)thread;
	if (flags & ~(uint64_t)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE) ||
	    (flags & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE))
		return -EINVAL;
	if (bytes > GETRANDOM_MAX)
		bytes = GETRANDOM_MAX;
	while (done < bytes) {
		uint8_t piece[PIECE_BYTES];
		size_t part = bytes - done < sizeof piece ? bytes - done : sizeof piece;
		random_bytes(piece, part);
		size_t copied = copy_to_user_partial(user(argument[0] + done), piece, part);
		done += copied;
		if (copied < part)
			return done ? (long)done : -EFAULT;
	}
	return (long)done;
}
