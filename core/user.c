#include "core/user.h"

#include <errno.h>
#include <stdbool.h>

/* core/copy.S */
size_t user_copy(void *to, const void *from, size_t bytes);
size_t user_fill_zero(void *to, size_t bytes);
int64_t user_copy_string(char *to, const char *from, size_t room);
int user_word_load_32(const void *from, uint32_t *out);
int user_word_load_64(const void *from, uint64_t *out);
int user_word_store_32(void *to, uint32_t value);
int user_word_store_64(void *to, uint64_t value);
int user_word_exchange(void *at, uint32_t expected, uint32_t desired, uint32_t *old);

static inline bool in_range(struct user_addr address, size_t bytes)
{
	return bytes <= USER_END && address.value <= USER_END - bytes;
}

static inline void *pointer(struct user_addr address)
{
	return (void *)address.value;
}

size_t copy_from_user_partial(void *to, struct user_addr from, size_t bytes)
{
	return in_range(from, bytes) ? user_copy(to, pointer(from), bytes) : 0;
}

size_t copy_to_user_partial(struct user_addr to, const void *from, size_t bytes)
{
	return in_range(to, bytes) ? user_copy(pointer(to), from, bytes) : 0;
}

int copy_from_user(void *to, struct user_addr from, size_t bytes)
{
	return in_range(from, bytes) && user_copy(to, pointer(from), bytes) == bytes ? 0 : -EFAULT;
}

int copy_to_user(struct user_addr to, const void *from, size_t bytes)
{
	return in_range(to, bytes) && user_copy(pointer(to), from, bytes) == bytes ? 0 : -EFAULT;
}

int zero_user(struct user_addr to, size_t bytes)
{
	return in_range(to, bytes) && user_fill_zero(pointer(to), bytes) == bytes ? 0 : -EFAULT;
}

int64_t copy_string_from_user(char *to, struct user_addr from, size_t room)
{
	if (from.value >= USER_END)
		return -EFAULT;
	size_t reachable = USER_END - from.value;
	size_t limit = room < reachable ? room : reachable;
	int64_t length = user_copy_string(to, pointer(from), limit);
	if (length < 0)
		return -EFAULT;
	if ((size_t)length < limit)
		return length;
	return limit == room ? -ENAMETOOLONG : -EFAULT;
}

static inline int check_word(struct user_addr address, size_t bytes)
{
	if (address.value % bytes)
		return -EINVAL;
	return in_range(address, bytes) ? 0 : -EFAULT;
}

int user_load_u32(struct user_addr from, uint32_t *out)
{
	int error = check_word(from, 4);
	return error ? error : user_word_load_32(pointer(from), out) ? -EFAULT : 0;
}

int user_load_u64(struct user_addr from, uint64_t *out)
{
	int error = check_word(from, 8);
	return error ? error : user_word_load_64(pointer(from), out) ? -EFAULT : 0;
}

int user_store_u32(struct user_addr to, uint32_t value)
{
	int error = check_word(to, 4);
	return error ? error : user_word_store_32(pointer(to), value) ? -EFAULT : 0;
}

int user_store_u64(struct user_addr to, uint64_t value)
{
	int error = check_word(to, 8);
	return error ? error : user_word_store_64(pointer(to), value) ? -EFAULT : 0;
}

int user_compare_exchange_u32(struct user_addr at, uint32_t expected, uint32_t desired,
                              uint32_t *old)
{
	int error = check_word(at, 4);
	return error                                                     ? error
	       : user_word_exchange(pointer(at), expected, desired, old) ? -EFAULT
	                                                                 : 0;
}
