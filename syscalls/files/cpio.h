/*
 * The "newc" cpio archive (as the Linux kernel takes for its initial root:
 * Documentation/driver-api/early-userspace/buffer-format.rst), read in place. Every access is
 * length-checked. Pure; host-tested and fuzzed.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct cpio_reader {
	const uint8_t *archive;
	uint64_t bytes, position;
	const char *error; /* what was wrong, after -EINVAL */
};

struct cpio_entry {
	const char *name; /* NUL-terminated, in the archive */
	size_t name_length;
	const uint8_t *data;
	uint64_t data_bytes;
	uint32_t inode, mode, uid, gid, links, mtime;
	uint32_t device_major, device_minor, rdev_major, rdev_minor;
};

void cpio_open(struct cpio_reader *reader, const void *archive, uint64_t bytes);
/* 1: an entry, 0: the end, -EINVAL: broken from reader->position on. Archives may follow each
 * other. */
int cpio_next(struct cpio_reader *reader, struct cpio_entry *out);
