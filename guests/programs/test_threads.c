/* Threads: many at once, locks, cancellation, floating point of each, execve out of one, robust
 * locks. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "guests/programs/test_check.h"

#define THREADS 20
#define ROUNDS  2000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static long counter;
static int turn;

static void *count(void *argument)
{
	for (int i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&lock);
		counter++;
		if (i % 64 == 0)
			sched_yield();
		pthread_mutex_unlock(&lock);
	}
	pthread_barrier_wait(&barrier);
	return argument;
}

static void test_locks(void)
{
	pthread_t threads[THREADS];
	void *result;
	pthread_barrier_init(&barrier, NULL, THREADS);
	for (long i = 0; i < THREADS; i++)
		EQ(pthread_create(&threads[i], NULL, count, (void *)i), 0);
	for (long i = 0; i < THREADS; i++) {
		EQ(pthread_join(threads[i], &result), 0);
		EQ(result, i);
	}
	EQ(counter, THREADS * ROUNDS);
}

static void *nothing(void *argument)
{
	return argument;
}

/* Stacks and identifiers are given back. */
static void test_many(void)
{
	pthread_t thread;
	int failed = 0;
	for (int i = 0; i < 500; i++)
		failed +=
		        pthread_create(&thread, NULL, nothing, NULL) || pthread_join(thread, NULL);
	EQ(failed, 0);
}

static void *take_turns(void *argument)
{
	long mine = (long)argument;
	for (int i = 0; i < 500; i++) {
		pthread_mutex_lock(&lock);
		while (turn != mine)
			pthread_cond_wait(&changed, &lock);
		turn = !turn;
		pthread_cond_signal(&changed);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static void test_condition(void)
{
	pthread_t threads[2];
	for (long i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, take_turns, (void *)i);
	for (int i = 0; i < 2; i++)
		EQ(pthread_join(threads[i], NULL), 0);
}

static void *read_for_ever(void *argument)
{
	char byte;
	while (read(((int *)argument)[0], &byte, 1) >= 0)
		;
	return NULL;
}

/* glibc cancels by tgkill(SIGRTMIN): it must end the read. */
static void test_cancel(void)
{
	int ends[2];
	pthread_t thread;
	void *result;
	EQ(pipe(ends), 0);
	pthread_create(&thread, NULL, read_for_ever, ends);
	pause_ms(20);
	EQ(pthread_cancel(thread), 0);
	EQ(pthread_join(thread, &result), 0);
	EQ(result == PTHREAD_CANCELED, 1);
	close(ends[0]);
	close(ends[1]);
}

static double series(void)
{
	volatile double sum = 0;
	for (int i = 1; i < 100000; i++)
		sum += 1.0 / i;
	return sum;
}

static void *compute(void *argument)
{
	*(double *)argument = series();
	return NULL;
}

static void test_floating_point(void)
{
	enum { COUNT = 6 };
	pthread_t threads[COUNT];
	double results[COUNT], expected = series();
	for (int i = 0; i < COUNT; i++)
		pthread_create(&threads[i], NULL, compute, &results[i]);
	for (int i = 0; i < COUNT; i++) {
		pthread_join(threads[i], NULL);
		EQ(results[i] == expected, 1);
	}
}

static void *sleep_long(void *argument)
{
	sleep(100);
	return argument;
}

static void *execute(void *argument)
{
	execl(argument, "test_threads", "child", NULL);
	return NULL;
}

/* execve ends the other threads; the new program has the process's pid as its tid. */
static void test_execute(char *self)
{
	int status;
	pid_t pid = fork();
	if (!pid) {
		pthread_t thread;
		for (int i = 0; i < 3; i++)
			pthread_create(&thread, NULL, sleep_long, NULL);
		pthread_create(&thread, NULL, execute, self);
		sleep(100);
		_exit(1);
	}
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 11 << 8);
}

/* The owner ends without unlocking: the next one is told. */
static void test_robust(void)
{
	pthread_mutexattr_t attributes;
	pthread_mutex_t *mutex =
	        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(mutex, &attributes);
	int locked[2];
	char byte = 0;
	EQ(pipe(locked), 0);
	pid_t pid = fork();
	if (!pid) {
		pthread_mutex_lock(mutex);
		EQ(write(locked[1], &byte, 1), 1);
		pause_ms(50);
		_exit(0);
	}
	EQ(read(locked[0], &byte, 1), 1);
	close(locked[0]);
	close(locked[1]);
	EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
	EQ(pthread_mutex_consistent(mutex), 0);
	EQ(pthread_mutex_unlock(mutex), 0);
	EQ(waitpid(pid, NULL, 0), pid);
	munmap(mutex, 4096);
}

/* exit_group from any thread ends the process with its status. */
static void *leave(void *argument)
{
	_exit((int)(long)argument);
}

static void test_exit(void)
{
	int status;
	pid_t pid = fork();
	if (!pid) {
		pthread_t thread;
		pthread_create(&thread, NULL, leave, (void *)21);
		sleep(100);
	}
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 21 << 8);
	pid = fork();
	if (!pid) { /* the first thread ends before the others */
		pthread_t thread;
		pthread_create(&thread, NULL, leave, (void *)22);
		syscall(SYS_exit, 5);
	}
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 22 << 8);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return getpid() == gettid() ? 11 : 12;
	begin();
	test_locks();
	test_many();
	test_condition();
	test_cancel();
	test_floating_point();
	test_execute(argv[0]);
	test_robust();
	test_exit();
	return end("test_threads");
}
