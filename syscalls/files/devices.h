/* Character devices, by number. */
#pragma once

#include "syscalls/file.h"

struct thread;
struct path_node;

#define DEVICE_NUMBER(major, minor) ((uint64_t)(major) << 8 | (minor))
/* The 32-bit st_rdev form of user space: minor's low byte, major, minor's rest. */
static inline uint64_t device_encode(uint32_t major, uint32_t minor)
{
	return (minor & 0xff) | (uint64_t)(major & 0xfff) << 8 | (uint64_t)(minor & ~0xffu) << 12;
}

/* -ENXIO: no such device. */
int device_open(struct thread *thread, struct path_node *node, uint32_t flags, struct file **out);
/* Makes /dev's nodes in this directory. -ENOMEM. */
int devices_populate(struct path_node *dev);
/* The console's terminal (files/tty.c). */
int tty_init(void);
int tty_open(struct path_node *node, uint32_t flags, struct file **out);
