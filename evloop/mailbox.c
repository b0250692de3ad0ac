/*
 * Messages between harts: senders push on a lock-free stack, the loop takes the whole stack and
 * turns it round.
 *
 * Sleeping: the sender writes the mailbox, then reads `asleep`; the loop writes `asleep`, then
 * reads the mailbox. With a full fence between the two on both sides at least one of them sees the
 * other's write, so either the loop does not sleep or the sender interrupts it. The sender that
 * clears `asleep` is the only one that must.
 */
#include "evloop/loop_internal.h"

bool loop_mailbox_send(struct loop *target, struct loop_message *message)
{
	struct loop_message *head = __atomic_load_n(&target->mailbox, __ATOMIC_RELAXED);
	do
		message->next = head;
	while (!__atomic_compare_exchange_n(&target->mailbox, &head, message, true,
	                                    __ATOMIC_RELEASE, __ATOMIC_RELAXED));

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&target->asleep, __ATOMIC_RELAXED))
		return false;
	return __atomic_exchange_n(&target->asleep, 0, __ATOMIC_RELAXED) != 0;
}

void loop_drain_mailbox(struct loop *loop)
{
	if (!__atomic_load_n(&loop->mailbox, __ATOMIC_RELAXED))
		return;
	struct loop_message *newest = __atomic_exchange_n(&loop->mailbox, NULL, __ATOMIC_ACQUIRE);
	struct loop_message *oldest = NULL;
	while (newest) {
		struct loop_message *older = newest->next;
		newest->next = oldest;
		oldest = newest;
		newest = older;
	}
	while (oldest) {
		struct loop_message *message = oldest;
		oldest = oldest->next;
		loop->statistics.messages++;
		message->receive(loop, message);
	}
}

bool loop_sleep_begin(struct loop *loop)
{
	__atomic_store_n(&loop->asleep, 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&loop->mailbox, __ATOMIC_RELAXED) || loop_has_pending(loop)) {
		loop_sleep_end(loop);
		return false;
	}
	return true;
}

void loop_sleep_end(struct loop *loop)
{
	__atomic_store_n(&loop->asleep, 0, __ATOMIC_RELAXED);
}
