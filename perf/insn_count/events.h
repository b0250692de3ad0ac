/*
 * What passes between the guest's kernel and its devices, seen in its instructions: doorbells of
 * virtio queues (stores to a device's notification register) and interrupts (traps that scause says
 * are). Where the trap handler is, the write to stvec tells.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "perf/insn_count/qemu_plugin.h"

enum { EVENT_KICKS, EVENT_INTERRUPTS, EVENTS };
extern const char *const event_names[EVENTS];

/* Before any code is translated. counters: EVENTS of them, counted when `wanted`; with_stacks:
 * stacks.h is told of traps. */
void events_start(qemu_plugin_u64 counters, bool wanted, bool with_stacks);

/* Watches this instruction of a kernel as far as it is concerned. Its callbacks go before those
 * that are registered for it later. */
void events_instrument(struct qemu_plugin_insn *insn, uint64_t address, uint32_t code);
