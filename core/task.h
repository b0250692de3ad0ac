/*
 * A task: the user-mode state of one Linux thread as the machine sees it. The personality embeds it
 * (first member of its struct thread) and owns it. A task is in exactly one state; only its hart
 * changes it.
 *
 *   RUNNABLE (on the run queue) -> RUNNING (hart->current) -> PARKED (waits for something) ->
 * RUNNABLE ...  -> DEAD
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
	/* These four bytes are read as one word by the trap return: it is inline only for RUNNING
	 * with all others false. */
	_Alignas(4) uint8_t state; /* enum task_state */
	bool return_work; /* personality->before_user must run before the next return to user mode
	                     (signals) */
	bool resched;     /* slice over, sched_yield: go through the loop and to the end of the run
	                     queue */
	bool reload;  /* a system call replaced registers other than a0 and pc (exec, rt_sigreturn):
	               * set it, or s0..s11 are not  loaded when the call returns inline. Cleared by
	               * hart_loop. */
	bool fp_live; /* fp holds a state to restore (has used FP) */
	bool fp_soon; /* will use FP as soon as it runs: it gets the unit without asking for it by a
	               * trap, which firmware sees first. Cleared then. */
	uint32_t id;  /* for traces; the personality's tid */
	uint64_t user_ns,
	        system_ns; /* CPU time, accounted at switches and traps as cheaply as possible */
	uint64_t accounted_ns; /* clock at the last accounting */
	struct task_fp fp;
};

/* registers all zero, TASK_NEW. */
void task_init(struct task *task, struct hart *hart);
/* Put a NEW or PARKED task at the end of its hart's run queue. No-op when already runnable or
 * running. */
void task_make_runnable(struct task *task);
/* The running task waits: it leaves the hart; something must make it runnable later. */
void task_park(struct task *task);
/* It will never run again. Safe in any state. Its memory may be freed from any later loop callback,
 * not before the current system call or fault handler has returned. */
void task_kill(struct task *task);
/* FP registers of `task` are in memory (task->fp) afterwards: before fork, signal frames, core
 * inspection. */
void task_fp_save(struct task *task);
/* Its saved FP state was changed, or it is freed: the unit's copy is stale. */
void task_fp_forget(struct task *task);
/* Make its address space the active one on this hart (before touching its memory from a
 * continuation). */
void task_activate_memory(struct task *task);
/* CPU time so far, the running stretch included. */
uint64_t task_cpu_ns(struct task *task);
