/* Positions in lists of user (or kernel) buffers. */
#include "syscalls/uio.h"

#include <errno.h>
#include <string.h>

#include "core/memory.h"
#include "core/user.h"

/* As Linux: the pieces of several are looked at as they are given, a single one as far as it is
 * used. -EFAULT: one lies where user memory can't be. */
static int limit_pieces(struct uio *uio, uint64_t count)
{
	uint64_t total = 0;
	for (uint64_t i = 0; i < count; i++) {
		struct user_iovec *piece = &uio->vector[i];
		if (count == 1 && piece->length > UIO_MAX_BYTES)
			piece->length = UIO_MAX_BYTES;
		if (!uio_range_possible(piece->base, piece->length))
			return -EFAULT;
		if (piece->length > UIO_MAX_BYTES - total)
			piece->length = UIO_MAX_BYTES - total;
		total += piece->length;
	}
	uio->remaining = total;
	return 0;
}

int uio_init_vector(struct uio *uio, struct user_addr vector, uint64_t count)
{
	uio_init_single(uio, (struct user_addr){ 0 }, 0);
	uio->count = 0;
	if (count > UIO_MAXIOV)
		return -EINVAL;
	size_t bytes = count * sizeof(struct user_iovec);
	if (count > UIO_INLINE) {
		uio->vector = heap_alloc(bytes);
		if (!uio->vector) {
			uio->vector = uio->inline_vector;
			return -ENOMEM;
		}
	}
	int error = copy_from_user(uio->vector, vector, bytes);
	for (uint64_t i = 0; i < count && !error; i++) {
		if ((int64_t)uio->vector[i].length < 0)
			error = -EINVAL;
	}
	if (!error)
		error = limit_pieces(uio, count);
	if (error) {
		uio_fini(uio);
		return error;
	}
	uio->count = (uint32_t)count;
	return 0;
}

void uio_moved(struct uio *uio)
{
	if (uio->count <= UIO_INLINE)
		uio->vector = uio->inline_vector;
}

void uio_free_vector(struct uio *uio)
{
	heap_free(uio->vector);
	uio->vector = uio->inline_vector;
	uio->count = 0;
	uio->remaining = 0;
}

enum uio_direction { UIO_IN, UIO_OUT, UIO_ZERO };

static size_t copy_piece(struct uio *uio, uint64_t address, char *buffer, size_t bytes,
                         enum uio_direction direction)
{
	if (uio->kernel) {
		void *base = (void *)(uintptr_t)address;
		if (direction == UIO_IN)
			memcpy(buffer, base, bytes);
		else if (direction == UIO_OUT)
			memcpy(base, buffer, bytes);
		else
			memset(base, 0, bytes);
		return bytes;
	}
	struct user_addr at = { address };
	if (direction == UIO_IN)
		return copy_from_user_partial(buffer, at, bytes);
	if (direction == UIO_OUT)
		return copy_to_user_partial(at, buffer, bytes);
	return zero_user(at, bytes) ? 0 : bytes;
}

static size_t uio_copy(struct uio *uio, char *buffer, size_t bytes, enum uio_direction direction)
{
	size_t copied = 0;
	if (bytes > uio->remaining)
		bytes = uio->remaining;
	while (copied < bytes) {
		struct user_iovec *piece = &uio->vector[uio->index];
		size_t length = piece->length - uio->offset;
		if (length > bytes - copied)
			length = bytes - copied;
		size_t moved = copy_piece(uio, piece->base + uio->offset,
		                          buffer ? buffer + copied : NULL, length, direction);
		copied += moved;
		uio->offset += moved;
		if (moved < length)
			break;
		if (uio->offset == piece->length && uio->index + 1 < uio->count) {
			uio->index++;
			uio->offset = 0;
		}
	}
	uio->remaining -= copied;
	uio->done += copied;
	return copied;
}

/* read and write: one piece of user memory. */
static inline bool is_simple(const struct uio *uio)
{
	return uio->count == 1 && !uio->kernel;
}

static inline size_t simple_advance(struct uio *uio, size_t copied)
{
	uio->offset += copied;
	uio->remaining -= copied;
	uio->done += copied;
	return copied;
}

size_t uio_copy_in(struct uio *uio, void *to, size_t bytes)
{
	if (!is_simple(uio))
		return uio_copy(uio, to, bytes, UIO_IN);
	if (bytes > uio->remaining)
		bytes = uio->remaining;
	struct user_addr at = { uio->vector->base + uio->offset };
	return simple_advance(uio, copy_from_user_partial(to, at, bytes));
}

size_t uio_copy_out(struct uio *uio, const void *from, size_t bytes)
{
	if (!is_simple(uio))
		return uio_copy(uio, (char *)(uintptr_t)from, bytes, UIO_OUT);
	if (bytes > uio->remaining)
		bytes = uio->remaining;
	struct user_addr at = { uio->vector->base + uio->offset };
	return simple_advance(uio, copy_to_user_partial(at, from, bytes));
}

size_t uio_zero_out(struct uio *uio, size_t bytes)
{
	return uio_copy(uio, NULL, bytes, UIO_ZERO);
}

void uio_rewind(struct uio *uio, size_t bytes)
{
	uio->remaining += bytes;
	uio->done -= bytes;
	while (bytes > uio->offset) {
		bytes -= uio->offset;
		uio->index--;
		uio->offset = uio->vector[uio->index].length;
	}
	uio->offset -= bytes;
}
