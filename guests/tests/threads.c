/* Threads, futexes through glibc, thread-local storage, cancellation of a blocked read, and the FP
 * state of each. */
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include "guests/tests/check.h"

#define THREADS 8
#define ROUNDS  2000

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static long total, turn;
static __thread long own;
static atomic_long spun;

static void *count(void *argument)
{
	long number = (long)argument;
	double x = (double)number;

	for (int i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&mutex);
		total++;
		pthread_mutex_unlock(&mutex);
		own++;
		x = sqrt(x * x + 2.0) + sin(x) * 0.0;
		atomic_fetch_add(&spun, 1);
	}
	CHECK(own == ROUNDS);
	CHECK(fabs(x * x - ((double)number * (double)number + 2.0 * ROUNDS)) < 1e-3);
	return (void *)(number * 3);
}

/* Each waits for its turn; the turns go round. */
static void *take_turns(void *argument)
{
	long number = (long)argument;

	for (int i = 0; i < 100; i++) {
		pthread_mutex_lock(&mutex);
		while (turn % THREADS != number)
			pthread_cond_wait(&changed, &mutex);
		turn++;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

static void *read_for_ever(void *argument)
{
	char byte;

	CHECK(read(*(int *)argument, &byte, 1) == 1);
	return NULL;
}

static void run_all(void *(*body)(void *), int checked)
{
	pthread_t threads[THREADS];
	void *result;

	for (long i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, body, (void *)i) == 0);
	for (long i = 0; i < THREADS; i++) {
		CHECK(pthread_join(threads[i], &result) == 0);
		CHECK(!checked || result == (void *)(i * 3));
	}
}

static void test_cancel(void)
{
	int ends[2];
	pthread_t thread;
	void *result;
	struct timespec pause = { .tv_nsec = 50000000 };

	CHECK(pipe(ends) == 0);
	CHECK(pthread_create(&thread, NULL, read_for_ever, &ends[0]) == 0);
	nanosleep(&pause, NULL);
	CHECK(pthread_cancel(thread) == 0);
	CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
	close(ends[0]);
	close(ends[1]);
}

static void test_timed_wait(void)
{
	struct timespec until, now;
	sem_t semaphore;

	CHECK(sem_init(&semaphore, 0, 0) == 0);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 80000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	CHECK_FAILS(sem_timedwait(&semaphore, &until), ETIMEDOUT);
	clock_gettime(CLOCK_REALTIME, &now);
	CHECK(now.tv_sec > until.tv_sec ||
	      (now.tv_sec == until.tv_sec && now.tv_nsec >= until.tv_nsec));
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static atomic_bool answered, computing;

static void *answer(void *argument)
{
	answered = true;
	while (computing)
		;
	return argument;
}

/* Who computes without a call shares the hart with a thread that was made or woken before. */
static void test_slices(void)
{
	pthread_t thread;
	double until = seconds() + 10;

	computing = true;
	CHECK(pthread_create(&thread, NULL, answer, NULL) == 0);
	while (!answered)
		CHECK(seconds() < until);
	computing = false;
	CHECK(pthread_join(thread, NULL) == 0);
}

int main(void)
{
	run_all(count, 1);
	CHECK(total == (long)THREADS * ROUNDS && spun == total);
	run_all(take_turns, 0);
	CHECK(turn == THREADS * 100);
	test_cancel();
	test_timed_wait();
	test_slices();
	puts("threads: all checks hold");
	return 0;
}
