/*
 * What the machine layer asks of the layer that gives traps their meaning. One instance, registered
 * at boot; core depends on nothing above it.
 */
#pragma once

#include "core/task.h"

enum fault_access { FAULT_READ, FAULT_WRITE, FAULT_EXECUTE };

struct boot_information; /* core/boot.h */

/*
 * A system call by its number. The trap entry counts the call and calls the handler itself, with
 * (task, &task->registers.x[REG_A0]), and stores the result in a0 unless it is negative. The task's
 * s0, s2 to s11 and gp are then still in the machine's registers, and saved when the task leaves
 * for the loop: a handler that reads them wants task_save (core/task_save.inc) before it; one that
 * replaces them sets task->reload.
 */
struct thread; /* the personality's, which begins with its task */
struct syscall_slot {
	long (*handler)(struct thread *thread, const uint64_t *argument);
	uint64_t calls, errors, parks;
};

struct personality {
	/* Everything of core is up on the boot hart (memory, interrupts, clock, console, loop).
	 * Probe devices, create the first task. */
	void (*start)(struct hart *hart, const struct boot_information *boot);
	/* ecall from user mode; registers are saved, pc already stands behind the ecall. Either
	 * completes (a0 set) or parks, kills or replaces the task. */
	void (*syscall)(struct task *task);
	/* The same call by call: SYSCALL_SLOTS (core/offsets.h) slots, every one with a handler,
	 * and what becomes of a negative result. */
	struct syscall_slot *syscall_table;
	void (*syscall_odd)(struct task *task, long result);
	/* A page fault of user mode. True: resolved, run on. False: the personality has posted a
	 * signal or killed the task. */
	bool (*user_fault)(struct task *task, struct user_addr address, enum fault_access access);
	/* A page fault of kernel code on a user address (copy_*_user) in the active address space.
	 * True: mapped now, retry. False: the copy fails with EFAULT. */
	bool (*kernel_fault)(struct user_addr address, enum fault_access access);
	/* Any other exception of user mode (illegal instruction, breakpoint, misaligned, access
	 * fault). */
	void (*exception)(struct task *task, uint64_t cause, uint64_t value);
	/* task->return_work is set: deliver signals. May park or kill the task. */
	void (*before_user)(struct task *task);
	/* For panics and hang dumps: one line per task, socket... to the console. */
	void (*dump)(void);
};

void personality_register(const struct personality *personality);
extern struct personality personality_ops;

/* Defined by the layer above: calls personality_register. Core has a weak one that does nothing. */
void personality_install(void);
