/*
 * The mailbox between threads: two senders and one loop that sleeps on a semaphore whenever
 * loop_sleep_begin lets it. Messages of one sender arrive in order, none is lost, and no sleep is
 * left without a wake-up (the test would hang, and be killed).
 */
#include <pthread.h>
#include <semaphore.h>

#include "evloop/check.h"
#include "evloop/loop.h"

enum { SENDERS = 2, MESSAGES = 50000 };

struct letter {
	struct loop_message message;
	unsigned sender, number;
};

static struct loop loop;
static sem_t interrupt;
static struct letter letters[SENDERS][MESSAGES];
static unsigned received[SENDERS];
static unsigned long interrupts_sent;

static void receive(struct loop *where, struct loop_message *message)
{
	struct letter *letter = container_of(message, struct letter, message);
	CHECK(where == &loop);
	CHECK_EQ(letter->number, received[letter->sender]);
	received[letter->sender]++;
}

static void *send_all(void *argument)
{
	unsigned sender = (unsigned)(size_t)argument;
	for (unsigned i = 0; i < MESSAGES; i++) {
		struct letter *letter = &letters[sender][i];
		*letter = (struct letter){ { NULL, receive }, sender, i };
		if (loop_mailbox_send(&loop, &letter->message)) {
			__atomic_fetch_add(&interrupts_sent, 1, __ATOMIC_RELAXED);
			CHECK_EQ(sem_post(&interrupt), 0);
		}
		if (i % 64 == 0)
			sched_yield();
	}
	return NULL;
}

static void *reallocate(void *context, void *old, size_t old_bytes, size_t new_bytes)
{
	(void)context;
	(void)old_bytes;
	if (new_bytes)
		return realloc(old, new_bytes);
	free(old);
	return NULL;
}

static void test_sleep_rules(void)
{
	struct letter letter = { { NULL, receive }, 0, 0 };
	received[0] = 0;
	CHECK(!loop_mailbox_send(&loop, &letter.message)); /* awake: no interrupt */
	CHECK(!loop_sleep_begin(&loop));                   /* mail: no sleep */
	loop_turn(&loop, 1);
	CHECK_EQ(received[0], 1);
	received[0] = 0;

	CHECK(loop_sleep_begin(&loop));
	CHECK(loop_mailbox_send(&loop, &letter.message)); /* asleep: one interrupt */
	struct letter second = { { NULL, receive }, 0, 1 };
	CHECK(!loop_mailbox_send(&loop, &second.message)); /* and only one */
	loop_sleep_end(&loop);
	loop_turn(&loop, 2);
	CHECK_EQ(received[0], 2);
	CHECK_EQ(loop.statistics.messages, 3);
	received[0] = 0;
}

int main(void)
{
	struct loop_config config = { .reallocate = reallocate };
	pthread_t threads[SENDERS];
	unsigned long sleeps = 0;

	CHECK_EQ(loop_init(&loop, &config), 0);
	test_sleep_rules();
	CHECK_EQ(sem_init(&interrupt, 0, 0), 0);
	for (size_t i = 0; i < SENDERS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, send_all, (void *)i), 0);
	for (uint64_t now = 3; received[0] + received[1] < SENDERS * MESSAGES; now++) {
		loop_turn(&loop, now);
		if (received[0] + received[1] < SENDERS * MESSAGES && loop_sleep_begin(&loop)) {
			sleeps++;
			CHECK_EQ(sem_wait(&interrupt), 0);
			loop_sleep_end(&loop);
		}
	}
	for (size_t i = 0; i < SENDERS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	CHECK(interrupts_sent <= sleeps + 1);
	CHECK(!loop_verify(&loop));
	CHECK_EQ(sem_destroy(&interrupt), 0);
	loop_fini(&loop);
	return 0;
}
