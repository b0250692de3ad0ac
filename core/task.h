/*
 * A task: the user-mode state of one Linux thread as the machine sees it. The personality embeds it (first member of its
 * struct thread) and owns it. A task is in exactly one state; only its hart changes it.
 *
 *   RUNNABLE (on the run queue) -> RUNNING (hart->current) -> PARKED (waits for something) -> RUNNABLE ...  -> DEAD
 *
 * A trap saves all registers into the task; kernel code holds no frame for it.
 */
#pragma once

#include "core/address.h"
#include "core/hart.h"

/* Index into task_registers.x; x0's place holds the program counter. */
enum task_register {
	REG_PC = 0,
	REG_RA = 1,
	REG_SP = 2,
	REG_GP = 3,
	REG_TP = 4,
	REG_A0 = 10,
	REG_A7 = 17,
};

struct task_registers {
	uint64_t x[32];
	uint64_t status; /* sstatus: FS field only is the task's own */
};

struct task_fp {
	uint64_t f[32];
	uint32_t fcsr;
};

enum task_state { TASK_NEW, TASK_RUNNABLE, TASK_RUNNING, TASK_PARKED, TASK_DEAD };

struct task {
	struct task_registers registers; /* keep first: the trap entry stores here */
	struct hart *hart;               /* keep second: the trap entry loads it */
	uint64_t satp;                   /* address space to run in (see core/pagetable.h) */
	struct list_node run_link;
	enum task_state state;
	bool fp_live; /* fp holds a state to restore (has used FP) */
	bool return_work; /* personality->before_user must run before the next return to user mode (signals) */
	bool resched; /* slice over: go through the loop and the run queue */
	uint32_t id;  /* for traces; the personality's tid */
	uint64_t user_ns, system_ns; /* CPU time, accounted at switches and traps as cheaply as possible */
	uint64_t accounted_ns;       /* clock at the last accounting */
	struct task_fp fp;
};

/* registers all zero, TASK_NEW. */
void task_init(struct task *task, struct hart *hart);
/* Put a NEW or PARKED task at the end of its hart's run queue. No-op when already runnable or running. */
void task_make_runnable(struct task *task);
/* The running task waits: it leaves the hart; something must make it runnable later. */
void task_park(struct task *task);
/* It will never run again (its memory may be freed once the current trap is over, see task_release). Safe in any state. */
void task_kill(struct task *task);
/* FP registers of `task` are in memory (task->fp) afterwards: before fork, signal frames, core inspection. */
void task_fp_save(struct task *task);
/* Its saved FP state was changed, or it is freed: the unit's copy is stale. */
void task_fp_forget(struct task *task);
/* Make its address space the active one on this hart (before touching its memory from a continuation). */
void task_activate_memory(struct task *task);
/* CPU time so far, the running stretch included. */
uint64_t task_cpu_ns(struct task *task);
