/* A process (thread group): what its threads share. Parts that CLONE_* flags share across processes
 * are counted objects of their own. */
#pragma once

#include "syscalls/signal.h"
#include "syscalls/thread.h"

struct address_space;
struct file_table;

struct group_list { /* ascending; counted: processes share it, and nobody changes it */
	uint32_t refs, count;
	uint32_t gid[];
};

struct credentials {
	uint32_t uid, euid, suid, fsuid, gid, egid, sgid, fsgid;
	struct group_list *groups; /* supplementary; NULL: none */
	uint64_t capabilities; /* effective = permitted */
};

struct fs_context { /* CLONE_FS shares it */
	uint32_t refs;
	struct path_node *root, *cwd; /* see syscalls/file.h */
	uint32_t umask;
};

enum {
	LIMIT_CPU,
	LIMIT_FSIZE,
	LIMIT_DATA,
	LIMIT_STACK,
	LIMIT_CORE,
	LIMIT_RSS,
	LIMIT_NPROC,
	LIMIT_NOFILE,
	LIMIT_MEMLOCK,
	LIMIT_AS,
	LIMIT_LOCKS,
	LIMIT_SIGPENDING,
	LIMIT_MSGQUEUE,
	LIMIT_NICE,
	LIMIT_RTPRIO,
	LIMIT_RTTIME,
	LIMITS
};

struct process {
	int32_t pid, group_id, session_id;
	uint64_t serial; /* that no other ever has */
	struct process *parent;
	struct list children;
	struct list_node sibling_link;
	struct list_node all_link;
	struct list_node hash_link; /* the table of pids */
	struct list threads;
	uint32_t thread_count;
	struct address_space *memory;
	struct file_table *files;
	struct fs_context *fs;
	struct signal_actions *actions;
	signal_set pending;
	struct signal_queue *signal_information;
	struct credentials credentials;
	struct {
		uint64_t soft, hard;
	} limits[LIMITS];
	struct wait_queue child_wait; /* wait4: a child changed state */
	struct list pidfds;           /* process/pidfd.c */
	int exit_signal;              /* to the parent; 0: none */
	int exit_status;              /* as wait4 reports it */
	bool exiting, zombie, stopped, execed, dumpable;
	bool stop_reported, continued; /* what waitid has yet to hear */
	bool unkillable; /* the first process: see signal_spares */
	int stop_signal;
	bool no_new_privileges;      /* PR_SET_NO_NEW_PRIVS: for good, and inherited */
	int parent_death_signal;     /* PR_SET_PDEATHSIG */
	struct thread *vfork_parent; /* parked until this process executes or ends */
	uint32_t signals_queued;     /* and POSIX timers, against LIMIT_SIGPENDING */
	char name[16];
	char *command_line; /* for /proc/PID/cmdline: NUL-separated */
	size_t command_line_bytes;
	struct path_node *executable;          /* /proc/self/exe; holds a reference */
	struct process_timers *timers;         /* setitimer, timer_create */
	uint64_t start_ns, user_ns, system_ns, /* CPU time: of threads that ended */
	        child_user_ns, child_system_ns;
	uint64_t minor_faults, voluntary_switches;
	uint64_t peak_resident_pages;
};

#define PID_MAX 32768 /* process and thread identifiers are below */
/* capabilities(7), as far as anything asks. */
enum {
	CAPABILITY_CHOWN = 0,
	CAPABILITY_DAC_OVERRIDE = 1,
	CAPABILITY_DAC_READ_SEARCH = 2,
	CAPABILITY_FOWNER = 3,
	CAPABILITY_FSETID = 4,
	CAPABILITY_KILL = 5,
	CAPABILITY_SETGID = 6,
	CAPABILITY_NET_ADMIN = 12,
	CAPABILITY_NET_RAW = 13,
	CAPABILITY_IPC_LOCK = 14,
	CAPABILITY_SYS_CHROOT = 18,
	CAPABILITY_SYS_PTRACE = 19,
	CAPABILITY_SYS_ADMIN = 21,
	CAPABILITY_SYS_BOOT = 22,
	CAPABILITY_SYS_RESOURCE = 24,
	CAPABILITY_MKNOD = 27
};
static inline bool thread_capable(const struct thread *thread, unsigned capability)
{
	return thread->process->credentials.capabilities >> capability & 1;
}

/* Of no list (NULL), too. */
struct group_list *group_list_get(struct group_list *list);
void group_list_put(struct group_list *list);
bool group_list_has(const struct group_list *list, uint32_t gid);

/* The most threads, zombies included, of all processes together: by memory, set at boot. */
extern uint32_t threads_max;
/* CPU time of processes that ended without anybody waiting for them. */
extern uint64_t vanished_user_ns, vanished_system_ns;
extern uint64_t threads_made; /* ever, of all processes */

struct process *process_find(int32_t pid);
struct thread *thread_find(int32_t tid);
/* A descriptor of a process (pidfd_open(2)) for the thread. -EINVAL: that one is gone; -EMFILE, -ENOMEM. */
long pidfd_install(struct thread *thread, int32_t pid, uint64_t serial);
extern struct list all_processes;
/* A thread asks for the end of its whole process with this wait status (exit code << 8, or signal
 * number). */
void process_exit(struct process *process, int wait_status);
