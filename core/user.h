/*
 * The only way to user memory. Every function touches the active address space
 * (task_activate_memory), resolves demand faults through personality.kernel_fault and fails with
 * -EFAULT at the first byte that cannot be accessed. Ranges outside [0, USER_END) fail without
 * being touched.
 */
#pragma once

#include "core/address.h"

/* 0 or -EFAULT. */
int copy_from_user(void *to, struct user_addr from, size_t bytes);
int copy_to_user(struct user_addr to, const void *from, size_t bytes);
int zero_user(struct user_addr to, size_t bytes);
/* The same for data paths: bytes copied before the fault (== bytes when all went well). */
size_t copy_from_user_partial(void *to, struct user_addr from, size_t bytes);
size_t copy_to_user_partial(struct user_addr to, const void *from, size_t bytes);
/* Copies at most `room` bytes including the NUL. Length without NUL, -EFAULT, or -ENAMETOOLONG when
 * no NUL fits. */
int64_t copy_string_from_user(char *to, struct user_addr from, size_t room);
/* One word; the address must be naturally aligned (-EINVAL otherwise). */
int user_load_u32(struct user_addr from, uint32_t *out);
int user_store_u32(struct user_addr to, uint32_t value);
int user_load_u64(struct user_addr from, uint64_t *out);
int user_store_u64(struct user_addr to, uint64_t value);
/* Atomic compare-and-exchange (futex): *old is what was there. */
int user_compare_exchange_u32(struct user_addr at, uint32_t expected, uint32_t desired,
                              uint32_t *old);
