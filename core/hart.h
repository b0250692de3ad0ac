/*
 * One hart: its loop, its stack, its run queue. Code names its hart; nothing here is shared between harts without saying so.
 *
 * Kernel code runs on the hart's one stack with interrupts off; it is entered from a trap out of user mode or out of the wait
 * at the end of hart_loop, and leaves by entering a task or by waiting. No function here blocks.
 */
#pragma once

#include "core/address.h"
#include "evloop/loop.h"

struct task;

struct hart_statistics {
	uint64_t traps, syscalls, inline_returns, page_faults, kernel_faults, interrupts, timer_interrupts;
	uint64_t task_switches, waits, external_interrupts, polls;
	uint64_t longest_run_ns; /* longest time from a trap, or a wake-up, to the next entry of a task or wait */
};

struct hart {
	uint64_t stack_top;   /* used by the trap entry: keep first */
	struct task *current; /* the task whose registers are live, or that trapped last; NULL when none */
	struct loop loop;
	struct list run_queue;     /* tasks ready to run, FIFO */
	struct task *fp_owner;     /* whose FP registers are in the unit, or NULL */
	uint64_t active_satp;      /* as last written */
	uint64_t timer_armed_ns;   /* deadline in the comparator, LOOP_NEVER when none */
	uint64_t backstop_ns;      /* deferred output must leave by then, LOOP_NEVER when there is none */
	uint64_t slice_end_ns;
	uint32_t index;            /* 0 is the boot hart */
	uint64_t hartid;           /* the hardware's number */
	struct hart_statistics statistics;
};

/* The calling hart (tp holds it in kernel mode). */
static inline struct hart *this_hart(void)
{
	struct hart *hart;
	__asm__("mv %0, tp" : "=r"(hart));
	return hart;
}

#define HARTS_MAX 64
extern struct hart *harts[HARTS_MAX]; /* by index; NULL beyond hart_count */
extern uint32_t hart_count;

/* Turn after turn, then the next task or wait. Resets the stack: never returns, callers' frames are gone. */
_Noreturn void hart_loop(struct hart *hart);

/* Output was deferred to the end of the turn: make sure that a turn ends within HART_BACKSTOP_NS even if the running task computes. */
#define HART_BACKSTOP_NS 20000
void hart_note_output(struct hart *hart);

/* Start all other harts of the device tree (SBI HSM); each runs its own idle loop. */
void harts_start(void);
/* Make a sleeping hart take a turn (SBI IPI). */
void hart_interrupt(struct hart *hart);
