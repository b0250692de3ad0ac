/*
 * A position in a list of user buffers: what read, write, readv, sendmsg... hand to file operations. Copies advance it; a fault stops it with
 * a partial count. Kernel buffers can stand in for user ones (in-kernel callers: sendfile, exec).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/address.h"

struct user_iovec {
	uint64_t base, length;
};

#define UIO_INLINE 4
#define UIO_MAXIOV 1024
#define UIO_MAX_BYTES 0x7ffff000ull /* Linux: MAX_RW_COUNT */
#define UIO_ADDRESS_END (1ull << 56) /* Linux: TASK_SIZE of Sv57 */

struct uio {
	struct user_iovec *vector;     /* inline_vector, or heap */
	struct user_iovec inline_vector[UIO_INLINE];
	uint32_t count, index;         /* entries, current one */
	uint64_t offset;               /* into the current one */
	uint64_t remaining;            /* bytes to go */
	uint64_t done;                 /* bytes copied so far */
	bool kernel;                   /* bases are kernel pointers */
};

/* As Linux, a range that no program could have is -EFAULT before a call does anything; whether the program has it is seen later. */
static inline bool uio_range_possible(uint64_t base, uint64_t bytes)
{
	return bytes <= UIO_ADDRESS_END && base <= UIO_ADDRESS_END - bytes;
}

static inline void uio_init_single(struct uio *uio, struct user_addr base, uint64_t bytes)
{
	if (bytes > UIO_MAX_BYTES)
		bytes = UIO_MAX_BYTES;
	uio->vector = uio->inline_vector;
	uio->inline_vector[0].base = base.value;
	uio->inline_vector[0].length = bytes;
	uio->count = 1;
	uio->index = 0;
	uio->offset = 0;
	uio->remaining = bytes;
	uio->done = 0;
	uio->kernel = false;
}
static inline void uio_init_kernel(struct uio *uio, void *base, uint64_t bytes)
{
	uio_init_single(uio, (struct user_addr){ (uint64_t)(uintptr_t)base }, bytes);
	uio->kernel = true;
}
/* From a user iovec array: -EINVAL (count, negative length), -EFAULT, -ENOMEM. */
int uio_init_vector(struct uio *uio, struct user_addr vector, uint64_t count);
/* A uio may be copied into park state bytewise, then uio_moved must be called on the copy (the inline vector's address changed). */
void uio_moved(struct uio *uio);
void uio_free_vector(struct uio *uio);
static inline void uio_fini(struct uio *uio)
{
	if (__builtin_expect(uio->vector != uio->inline_vector, 0))
		uio_free_vector(uio);
}
/* Copy at most `bytes`; returns the number copied: less than min(bytes, remaining) only after a fault. */
size_t uio_copy_in(struct uio *uio, void *to, size_t bytes);        /* user -> kernel */
size_t uio_copy_out(struct uio *uio, const void *from, size_t bytes); /* kernel -> user */
size_t uio_zero_out(struct uio *uio, size_t bytes);
/* Go back (a copy that could not be used). */
/* What is left of the current buffer. */
static inline uint64_t uio_piece_bytes(const struct uio *uio)
{
	return uio->count ? uio->vector[uio->index].length - uio->offset : 0;
}
void uio_rewind(struct uio *uio, size_t bytes);
