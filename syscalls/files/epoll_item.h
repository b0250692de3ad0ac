/* Inside epoll: the instance and its items (epoll_item.c), waits (epoll.c). */
#pragma once

#include "syscalls/file.h"

#define EPOLLEXCLUSIVE (1u << 28)
#define EPOLLWAKEUP    (1u << 29)
#define EPOLLONESHOT   (1u << 30)
#define EPOLLET        (1u << 31)
#define EPOLL_PRIVATE  (EPOLLEXCLUSIVE | EPOLLWAKEUP | EPOLLONESHOT | EPOLLET)

struct epoll_user_event { /* riscv64: naturally aligned, unlike x86-64's */
	uint32_t events, padding;
	uint64_t data;
};

struct epoll {
	struct file file;
	struct list ready; /* items that were notified, or reported by a level-triggered wait */
	struct epoll_item **buckets; /* by (file, descriptor) */
	uint32_t bucket_count, count;
	uint32_t visit, depth; /* of the search for loops */
};

/* One registration. Dies with EPOLL_CTL_DEL, with its instance, or with the file (which it holds no
 * reference of). */
struct epoll_item {
	/* On file->waiters. Its tag is the descriptor, its interest EPOLL* as asked for, with ERR
	 * and HUP; no readiness bits once a ONESHOT was reported. */
	struct wait_entry entry;
	struct list_node ready_link; /* epoll->ready, or itself */
	struct list_node file_link;  /* file->epoll_items */
	struct epoll_item *hash_next;
	struct epoll *epoll;
	struct file *file;
	uint64_t data;
};

/* The readiness that the item is for; 0: it is disabled. */
static inline uint32_t epoll_item_wanted(const struct epoll_item *item)
{
	return item->entry.interest & ~EPOLL_PRIVATE;
}
static inline struct epoll *epoll_of(struct file *file)
{
	return container_of(file, struct epoll, file);
}
/* NULL: not an epoll file. */
struct epoll *epoll_from_file(struct file *file);
/* The readiness that the item asks for, now. */
static inline uint32_t epoll_item_ready(struct epoll_item *item)
{
	uint32_t wanted = epoll_item_wanted(item);
	return wanted ? file_poll(item->file) & wanted : 0;
}
void epoll_item_remove(struct epoll_item *item);
