/*
 * Address spaces: mappings (VMAs) above core's page tables. Counted: CLONE_VM shares one. Pages come in by demand; anonymous and private
 * pages are copied on write; file pages are shared with the file's cache.
 */
#pragma once

#include "core/pagetable.h"
#include "core/personality.h"

struct file;
struct thread;
struct address_space;

enum { PROT_NONE = 0, PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4 };
enum { MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_SHARED_VALIDATE = 3, MAP_FIXED = 0x10, MAP_ANONYMOUS = 0x20, MAP_GROWSDOWN = 0x100,
       MAP_NORESERVE = 0x4000, MAP_POPULATE = 0x8000, MAP_STACK = 0x20000, MAP_FIXED_NOREPLACE = 0x100000 };

int address_space_create(struct address_space **out); /* -ENOMEM */
struct address_space *address_space_get(struct address_space *space);
/* Frees mappings and pages with the last reference (in bounded pieces posted as events when large). */
void address_space_put(struct address_space *space);
/* fork: copies mappings, shares pages copy-on-write. */
int address_space_copy(struct address_space *from, struct address_space **out);
uint64_t address_space_satp(const struct address_space *space);
/* Where exec put the vDSO (its data page first). */
uint64_t address_space_vdso(const struct address_space *space);
void address_space_set_vdso(struct address_space *space, uint64_t address);
/* An address where `bytes` are free, as mmap without a hint would choose. Negative errno. */
int64_t address_space_room(struct address_space *space, uint64_t bytes);
/* How /proc/PID/maps calls the mapping at an address; a static string. */
void address_space_set_name(struct address_space *space, struct user_addr at, const char *name);
uint64_t address_space_peak_bytes(const struct address_space *space); /* mapped at most */
uint64_t address_space_peak_pages(const struct address_space *space);
/* Once, before the first address space. */
void address_space_init(void);
/* mmap; `hint` with MAP_FIXED is the address. Address, or negative errno. Takes its own reference of `file`. */
int64_t address_space_map(struct address_space *space, struct user_addr hint, uint64_t bytes, int protection, int flags,
                          struct file *file, uint64_t offset);
int address_space_unmap(struct address_space *space, struct user_addr from, uint64_t bytes);
/* Whether a shared mapping of a file opened for writing is in it. */
struct path_node;
bool address_space_may_write(const struct address_space *space, const struct path_node *node);
int address_space_protect(struct address_space *space, struct user_addr from, uint64_t bytes, int protection);
/* Resolve a fault. 0, or minus the number of the signal to send, with *signal_code its si_code (SEGV_MAPERR 1, SEGV_ACCERR 2). -SIGKILL: no
 * memory. */
int address_space_fault(struct address_space *space, struct user_addr address, enum fault_access access, int *signal_code);
/* Kernel pages (vDSO and its data) into user space. */
int address_space_map_kernel(struct address_space *space, struct user_addr at, void *pages, uint64_t bytes, int protection, const char *name);
void address_space_set_brk(struct address_space *space, uint64_t start);
/* For /proc and limits: bytes mapped, resident pages. */
void address_space_usage(const struct address_space *space, uint64_t *mapped_bytes, uint64_t *resident_pages);
/* A stable key for a futex word: private ones by (space, address); shared mappings by (page identity, offset). -EFAULT. */
struct futex_key {
	uint64_t object, offset;
};
int address_space_futex_key(struct address_space *space, struct user_addr address, bool is_private, struct futex_key *out);
/* Text of /proc/self/maps and smaps: appended through `emit`. */
void address_space_describe(const struct address_space *space, bool detailed, void (*emit)(void *context, const char *line), void *context);
