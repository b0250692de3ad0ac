/* Offsets and sizes that the assembly needs; core/task.c checks each against its struct when it is
 * compiled. */
#pragma once

#define TASK_PC            0
#define TASK_X(n)          (8 * (n))
#define TASK_HART          264
#define TASK_FLAGS         296 /* state, return_work, resched, reload */
#define TASK_RELOAD        299

/* struct syscall_slot (core/personality.h) */
#define SLOT_HANDLER       0
#define SLOT_CALLS         8
#define SLOT_BYTES_LOG2    5
#define SYSCALL_SLOTS      512

#define HART_STACK_TOP     0
#define HART_STACK_BOTTOM  8
#define HART_SYSCALL_ENTRY 16
#define HART_SYSCALL_TABLE 24
#define HART_SYSCALL_ODD   32
#define HART_INLINE_FLAGS  40
#define HART_TIMER_ARMED   48
#define HART_PENDING_MASK  208
#define HART_HEAP          224
#define HART_HEAP_COUNT    232
#define HEAP_ROOT_DEADLINE 24 /* of the heap's root, from the heap's start */

/* struct trap_frame (core/trap.h) */
#define FRAME_X(n)         (8 * (n))
#define FRAME_PC           0
#define FRAME_STATUS       256
#define FRAME_CAUSE        264
#define FRAME_VALUE        272
#define FRAME_BYTES        288

#define BOOT_STACK_BYTES   32768
