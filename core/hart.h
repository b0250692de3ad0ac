/*
 * One hart: its loop, its stack, its run queue. Code names its hart; nothing here is shared between
 * harts without saying so.
 *
 * Kernel code runs on the hart's one stack with interrupts off; it is entered from a trap out of
 * user mode or out of the wait at the end of hart_loop, and leaves by entering a task or by
 * waiting. No function here blocks.
 */
#pragma once

#include "core/address.h"
#include "core/steal.h"
#include "evloop/idle_poll.h"
#include "evloop/loop.h"

struct task;
struct syscall_slot;

struct hart_statistics {
	uint64_t page_faults, exceptions, kernel_faults, interrupts, timer_interrupts;
	uint64_t passes; /* of hart_loop (system calls are counted by the personality) */
	uint64_t task_switches, waits, external_interrupts, polls;
	uint64_t timer_writes;   /* of the comparator, or SBI calls */
	uint64_t longest_run_ns; /* longest time from the start of a pass to the next entry of a
	                          * task or wait; with measure=1 also the longest system call */
};

/*
 * Devices' notifications (interrupts) stay off while the loop takes turns, since every turn looks
 * at the rings anyway. Before the loop stops looking, the hooks re-arm them: prepare_wait is
 * called, in order of registration,
 *   - before the hart waits (wfi): false (work arrived while arming: "look once more") makes it
 * take another turn instead;
 *   - before hart_loop enters a task: false lets the task run, but no longer than the backstop
 * before the next turn. It is not called when a system call returns inline: no turn ran, so what
 * was armed still is. It must be idempotent and cheap (tens of instructions when already armed).
 * prepare_poll is called before an idle hart polls for a while instead: it switches off what was
 * armed for a task's sake, so that what polling finds does not interrupt as well.
 */
struct hart_idle_hook {
	struct list_node link;
	bool (*prepare_wait)(void *context); /* false: work arrived, don't wait */
	bool (*prepare_poll)(void *context); /* false: work arrived; NULL: nothing to do */
	void *context;
};

/* core/trap.S uses the fields down to `loop`: core/offsets.h follows every change. */
struct hart {
	uint64_t stack_top;
	uint64_t stack_bottom;
	void (*syscall_entry)(struct task *task); /* personality.syscall, or a wrapper that traces
	                                             or measures it */
	struct syscall_slot *syscall_table;       /* personality.syscall_table; NULL: every call
	                                             goes through syscall_entry */
	void (*syscall_odd)(struct task *task, long result); /* personality.syscall_odd */
	uint32_t inline_flags; /* task flags with which a trap may return inline; matches none when
	                          that is switched off */
	bool in_loop; /* between a trap's end and the next entry of a task: deferred output needs no
	                 backstop */
	uint64_t timer_armed_ns; /* deadline in the comparator, LOOP_NEVER when none */
	struct hart_statistics statistics;
	struct loop loop;
	struct task *current; /* the task whose registers are live, or that trapped last; NULL when
	                         none */
	struct task *entered; /* in user mode since its accounted_ns; NULL in the loop */
	struct list idle_hooks;
	struct list run_queue; /* tasks ready to run, FIFO */
	struct task *fp_owner; /* whose FP registers are in the unit, or NULL */
	uint64_t active_satp;  /* as last written */
	uint64_t backstop_ns;  /* the next turn starts by then, LOOP_NEVER when none is asked for */
	uint64_t stretch_ns;   /* how long a task runs between two turns while events wait */
	uint64_t turn_by_ns;   /* the same for what waits for others to run first (hart_turn_by) */
	bool forced;           /* the end of a stretch asked for this turn */
	/* What the flush hook that moves frames reports of such a turn, for core/stretch.h. */
	bool input_waits;
	uint64_t frames_moved;
	uint64_t slice_end_ns;
	struct idle_poll idle_poll;
	struct steal steal;
	uint64_t last_fault_page; /* number of the page that faulted last */
	uint32_t index;           /* 0 is the boot hart */
	uint64_t hartid;          /* the hardware's number */
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

void hart_add_idle_hook(struct hart *hart, struct hart_idle_hook *hook);
void hart_remove_idle_hook(struct hart_idle_hook *hook);

/* Turn after turn, then the next task or wait. Resets the stack: never returns, callers' frames are
 * gone. */
_Noreturn void hart_loop(struct hart *hart);

/* Output was deferred to the end of the turn: make sure that a turn ends within stretch_ns even if
 * the running task computes. */
void hart_note_output(struct hart *hart);

/* Of a prepare_wait hook, when a task is about to run: at this time there is something to do at the
 * latest. Holds for one stretch. */
static inline void hart_turn_by(struct hart *hart, uint64_t when_ns)
{
	if (when_ns < hart->turn_by_ns)
		hart->turn_by_ns = when_ns;
}

/* The run queue is no longer empty. A running task whose call returns inline, to compute without
 * another one, has a slice from now on. */
void hart_note_runnable(struct hart *hart);

/* loop.now_ns is the time of the last turn; a system call's handler that arms timers needs the
 * present. Reads the clock. */
uint64_t hart_refresh_now(struct hart *hart);

/* Run in this address space from now on, kernel half unchanged. No-op when it is the active one. */
void hart_activate_satp(struct hart *hart, uint64_t satp);

/* Start all other harts of the device tree (SBI HSM); each runs its own idle loop. */
void harts_start(void);
/* Make a sleeping hart take a turn: a message to its interrupt file, or an SBI IPI. */
void hart_interrupt(struct hart *hart);
