/*
 * Open files (descriptions), descriptor tables and the name space.
 *
 * struct file is what Linux calls an open file description: counted; descriptors, SCM_RIGHTS in
 * flight, mappings and calls in progress hold references. Objects embed it or hang from `object`.
 * No file operation blocks: one that cannot go on returns -EAGAIN and the generic layer
 * (files/io.c) parks the thread on file->waiters, or returns EAGAIN for O_NONBLOCK.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/memory.h"
#include "syscalls/uio.h"
#include "syscalls/wait.h"

struct thread;
struct file;
struct file_owner;
struct path_node;
struct text;
struct address_space;

/* poll(2) bits */
enum {
	POLLIN = 0x1,
	POLLPRI = 0x2,
	POLLOUT = 0x4,
	POLLERR = 0x8,
	POLLHUP = 0x10,
	POLLNVAL = 0x20,
	POLLRDNORM = 0x40,
	POLLRDBAND = 0x80,
	POLLWRNORM = 0x100,
	POLLWRBAND = 0x200,
	POLLRDHUP = 0x2000
};

/* open(2) flags, asm-generic values */
enum {
	O_RDONLY = 0,
	O_WRONLY = 1,
	O_RDWR = 2,
	O_ACCMODE = 3,
	O_CREAT = 0100,
	O_EXCL = 0200,
	O_NOCTTY = 0400,
	O_TRUNC = 01000,
	O_APPEND = 02000,
	O_NONBLOCK = 04000,
	O_DSYNC = 010000,
	O_ASYNC = 020000,
	O_DIRECT = 040000,
	O_LARGEFILE = 0100000,
	O_DIRECTORY = 0200000,
	O_NOFOLLOW = 0400000,
	O_NOATIME = 01000000,
	O_CLOEXEC = 02000000,
	O_PATH = 010000000
};

struct file_status { /* what stat, statx and friends report */
	uint64_t device, inode, rdev, size, blocks;
	uint32_t mode, links, uid, gid, block_bytes;
	int64_t atime_ns, mtime_ns, ctime_ns;
};

struct file_operations {
	const char *kind; /* for dumps: "tcp", "pipe", "memfs" ... */
	/* Bytes transferred (may be short), 0 at end of file, or negative errno; -EAGAIN: nothing
	 * can be done now. *offset is the position for files that have one (updated by the caller),
	 * ignored by streams. */
	long (*read)(struct file *file, struct uio *uio, uint64_t offset);
	long (*write)(struct file *file, struct uio *uio, uint64_t offset);
	/* As write, for bytes in memory that lives on: they are not copied but read as they are
	 * sent. Takes them all, and calls `release` with the same arguments when it needs them no
	 * more; or fails (-EAGAIN, -ENOBUFS: write may do; ...) and calls nothing. NULL: no such
	 * way. */
	int (*lend)(struct file *file, const void *bytes, size_t length,
	            void (*release)(const void *bytes, size_t length));
	/* read(2) and write(2) as a whole, for files whose ordinary case is worth a straight line:
	 * descriptor and access mode are checked, argument is the call's. What is not ordinary goes
	 * to file_read_call and file_write_call. NULL: everything does. */
	long (*read_call)(struct thread *thread, struct file *file, const uint64_t *argument);
	long (*write_call)(struct thread *thread, struct file *file, const uint64_t *argument);
	/* Readiness now, POLL* bits, recomputed from state. NULL: always readable and writable. */
	uint32_t (*poll)(struct file *file);
	/* -ENOTTY when unknown. May not park. */
	long (*ioctl)(struct file *file, uint32_t command, uint64_t argument);
	int (*status)(struct file *file, struct file_status *out);
	/* Its own lines of /proc/PID/fdinfo; NULL: none. */
	void (*information)(struct file *file, struct text *text);
	/* fchmod of a file without a node; NULL: -EPERM. */
	void (*set_mode)(struct file *file, uint32_t permissions);
	int64_t (*seek)(struct file *file, int64_t offset, int whence);
	int (*truncate)(struct file *file, uint64_t bytes);
	/* The page at `index` of the file with a reference for the caller; `shared_write`: it will
	 * be written through a shared mapping. -ENODEV: cannot be mapped; -ENXIO: beyond the end
	 * (SIGBUS). */
	int (*page)(struct file *file, uint64_t index, bool shared_write, struct page **out);
	/* Fill linux_dirent64 records into uio from position *offset on. Bytes, 0 at the end,
	 * -EINVAL (room too small). */
	long (*entries)(struct file *file, struct uio *uio, uint64_t *offset);
	/* How long read(2) and write(2) may wait: SO_RCVTIMEO, SO_SNDTIMEO. NULL or LOOP_NEVER: for
	 * ever. */
	uint64_t (*timeout_ns)(struct file *file, bool write);
	/* How many bytes a blocking read waits for, at least: SO_RCVLOWAT. NULL: one. */
	uint64_t (*least)(struct file *file);
	/* An error is pending that is told once: not to a call that has moved bytes already. May be
	 * NULL. */
	bool (*has_error)(struct file *file);
	/* splice(2) and sendfile(2) refuse it as a source, as a destination: -EINVAL. */
	bool no_splice_read, no_splice_write;
	/* Whether SPLICE_F_NONBLOCK is meant for this source, too, not for the pipe alone. NULL:
	 * not. */
	bool (*heeds_splice_flag)(struct file *file);
	/* O_ASYNC has an effect. Who hears of it as long as no owner was chosen (as F_SETOWN);
	 * NULL: nobody. */
	bool can_be_async;
	int32_t (*async_owner)(void);
	/* fcntl(F_SETFL) changed file->flags. */
	void (*flags_changed)(struct file *file);
	/* close(2) of the last descriptor; takes the reference. May park (SO_LINGER): the call's
	 * result. NULL: nothing special. */
	long (*closing)(struct thread *thread, struct file *file);
	/* The last reference is gone: free everything, including the file itself (file_free when it
	 * was made by file_create). */
	void (*release)(struct file *file);
};

struct file {
	const struct file_operations *operations;
	uint32_t refs;
	uint32_t flags : 30;        /* O_ACCMODE | O_APPEND | O_NONBLOCK ... */
	uint32_t seekable : 1;      /* has an offset: read/write/lseek/pread work */
	uint32_t pipe_is_quiet : 1; /* EPIPE comes without SIGPIPE: sockets of whole messages */
	union {
		uint64_t offset; /* seekable */
		struct {
			uint32_t uid, gid;
		} maker; /* sockets: who made it */
	};
	struct wait_queue waiters;
	struct list epoll_items; /* items of epoll instances that watch this file */
	void *object;
	struct path_node
	        *node; /* name-space node it was opened from (holds a reference), or NULL */
	struct file_owner *owner; /* who hears of it by signal (files/owner.c), or NULL */
};

/* refs 1. NULL when memory is short. */
struct file *file_create(const struct file_operations *operations, void *object, uint32_t flags);
void file_init(struct file *file, const struct file_operations *operations, void *object,
               uint32_t flags);
void file_free(struct file *file);
static inline struct file *file_get(struct file *file)
{
	file->refs++;
	return file;
}
void file_put(struct file *file);
/* The object's readiness may have changed: wakes tasks, polls and epolls. */
static inline void file_notify(struct file *file, uint32_t events)
{
	wait_queue_notify(&file->waiters, events);
}
/* With the events of a notification: what the owner is told of it, by signal (files/owner.c), where
 * the events alone do not say. */
enum {
	FILE_TELL_IN = 1 << 20,
	FILE_TELL_OUT = 1 << 21,
	FILE_TELL_HUP = 1 << 22,
	FILE_TELL_NOTHING = 1 << 23,
	FILE_TELL = FILE_TELL_IN | FILE_TELL_OUT | FILE_TELL_HUP | FILE_TELL_NOTHING
};
/* What a blocking read of `wanted` bytes waits for. */
static inline uint64_t file_least(struct file *file, uint64_t wanted)
{
	uint64_t least = file->operations->least ? file->operations->least(file) : 1;
	return least < wanted ? least : wanted;
}
static inline uint32_t file_poll(struct file *file)
{
	return file->operations->poll ? file->operations->poll(file)
	                              : POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
}
/* Called by file_put before release: drops it from every epoll instance. */
void epoll_forget_file(struct file *file);
/* So is this, of a file with an owner. */
void file_owner_free(struct file *file);

/* ---- descriptor tables ---- */

/* Bounds RLIMIT_NOFILE (fs.nr_open): 4 MiB of slots, the heap's largest block. */
#define OPEN_FILES_MAX 262144

struct file_table;
struct file_table {
	uint32_t refs;
	uint32_t capacity;
	struct file **files;
	uint64_t *used; /* one bit per descriptor */
	uint64_t *close_on_exec;
	uint64_t *full; /* one bit per word of `used` that has no clear bit */
};
struct file_table *file_table_create(void);
struct file_table *file_table_copy(const struct file_table *from); /* fork; NULL when short */
void file_table_put(struct file_table *table);
void file_table_close_on_exec(struct file_table *table);
/* Borrowed (valid during the call; take a reference to keep it across a park); NULL: bad
 * descriptor. */
static inline struct file *file_table_lookup(const struct file_table *table, int descriptor)
{
	return (uint32_t)descriptor < table->capacity ? table->files[descriptor] : NULL;
}
/* Of a descriptor in use. */
bool file_table_is_close_on_exec(const struct file_table *table, uint32_t descriptor);
void file_table_set_close_on_exec(struct file_table *table, uint32_t descriptor, bool on);
/* The lowest free descriptor >= `from`; it may lie beyond the capacity. */
uint32_t file_table_free_slot(const struct file_table *table, uint32_t from);
struct file *thread_file(struct thread *thread, uint64_t descriptor);
/* Lowest free descriptor >= `from`; takes the caller's reference on success only. -EMFILE, -ENOMEM.
 */
int file_install(struct thread *thread, struct file *file, int from, bool close_on_exec);
int file_close(struct thread *thread, int descriptor); /* -EBADF */

/* ---- blocking I/O on any file: tries, then parks; used by read, write, recvmsg... ---- */

struct io_request;
/* One attempt: bytes or negative errno; -EAGAIN parks until file->waiters reports `events`, unless
 * nonblocking. */
typedef long io_attempt(struct thread *thread, struct io_request *request);
struct io_request {
	struct file *file; /* a reference is held while parked */
	io_attempt *attempt;
	/* Called once at the end with the final result (uio_fini is done after it); may turn it
	 * into another (e.g. write back address lengths). NULL: none. */
	long (*finish)(struct thread *thread, struct io_request *request, long result);
	struct uio uio;
	uint64_t offset;      /* position for pread and pwrite */
	uint64_t deadline_ns; /* LOOP_NEVER, or SO_RCVTIMEO / SO_SNDTIMEO: then -EAGAIN */
	uint32_t events;      /* POLL* bits to wait for */
	uint32_t flags;       /* MSG_* for sockets */
	bool nonblocking;
	bool all; /* go on until uio.remaining is 0 (write, MSG_WAITALL); partial count on error,
	             signal or timeout */
	uint64_t least;    /* or until so many bytes have come (SO_RCVLOWAT) */
	bool positioned;   /* uses `offset`, not file->offset */
	uint64_t total;    /* io_run's own: bytes of the attempts so far */
	uint64_t extra[6]; /* the attempt's own */
};
/* Runs the request (copied into the thread's park state when it must wait). Returns the result or
 * SYS_PARKED. */
long io_run(struct thread *thread, struct io_request *request);

long file_read_call(struct thread *thread, struct file *file, const uint64_t *argument);
long file_write_call(struct thread *thread, struct file *file, const uint64_t *argument);

/* ---- name space ---- */

/* A node of the one in-memory file system (root from the cpio archive, writable; /proc, /dev, /sys
 * are nodes with operations of their own). Counted by open files, directory entries and processes.
 */
struct path_node *path_node_get(struct path_node *node);
void path_node_put(struct path_node *node);
/* Open by path in kernel code (exec, ld.so): absolute or relative to the thread's cwd. -ENOENT,
 * -EACCES, -ELOOP... */
int path_open(struct thread *thread, const char *path, uint32_t flags, struct file **out);
/* For execve(2): a regular file that the thread may execute; it need not be readable. -EACCES, and
 * as path_open. */
int program_open(struct thread *thread, const char *path, struct file **out);
int program_check(const struct thread *thread, const struct file *file);
/* Bytes of a regular file at offset into kernel memory (exec): count or negative errno. */
long file_read_kernel(struct file *file, void *to, size_t bytes, uint64_t offset);
/* The absolute name of a node (readlink /proc/self/exe, getcwd). Length or -ENAMETOOLONG. */
int path_name(struct path_node *node, char *out, size_t room);
struct boot_information;
/* Mounts the archive, makes /dev /proc /sys /tmp; -ENOMEM, -EINVAL (archive broken: what was read
 * stays). */
int files_init(const struct boot_information *boot);
/* root, cwd / and descriptors 0,1,2 on the console for the first process. */
int files_first_process(struct thread *thread);
