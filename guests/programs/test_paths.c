/*
 * test_paths: what a path leads to after the names on its way changed, and which descriptor is the
 * lowest free one; checked against what Linux does (the same program passes there). Every path is
 * asked for more than once, so that an answer that was remembered too long is seen.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test_check.h"

#define ROOT "/tmp/test_paths"

static void write_file(const char *path, char byte)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	EQ(fd >= 0, 1);
	EQ(write(fd, &byte, 1), 1);
	close(fd);
}

/* The byte in the file, or minus the error of open(2). Asked twice: both answers must agree. */
static int read_file(const char *path)
{
	int answers[2];
	for (int i = 0; i < 2; i++) {
		char byte = 0;
		int fd = open(path, O_RDONLY);
		answers[i] = fd < 0 ? -errno : read(fd, &byte, 1) == 1 ? byte : 0;
		if (fd >= 0)
			close(fd);
	}
	EQ(answers[0], answers[1]);
	return answers[1];
}

static void test_renames(void)
{
	mkdir(ROOT "/a", 0755);
	mkdir(ROOT "/a/b", 0755);
	write_file(ROOT "/a/b/f", '1');
	EQ(read_file(ROOT "/a/b/f"), '1');
	EQ(rename(ROOT "/a", ROOT "/c"), 0);
	EQ(read_file(ROOT "/a/b/f"), -ENOENT);
	EQ(read_file(ROOT "/c/b/f"), '1');
	mkdir(ROOT "/a", 0755);
	mkdir(ROOT "/a/b", 0755);
	write_file(ROOT "/a/b/f", '2');
	EQ(read_file(ROOT "/a/b/f"), '2');
	EQ(syscall(SYS_renameat2, AT_FDCWD, ROOT "/a", AT_FDCWD, ROOT "/c", 2 /* exchange */), 0);
	EQ(read_file(ROOT "/a/b/f"), '1');
	EQ(read_file(ROOT "/c/b/f"), '2');
	write_file(ROOT "/new", '3');
	EQ(rename(ROOT "/new", ROOT "/a/b/f"), 0);
	EQ(read_file(ROOT "/a/b/f"), '3');
	EQ(unlink(ROOT "/a/b/f"), 0);
	EQ(read_file(ROOT "/a/b/f"), -ENOENT);
	write_file(ROOT "/a/b/f", '4');
	EQ(read_file(ROOT "/a/b/f"), '4');
	EQ(read_file(ROOT "/a/b/f/"), -ENOTDIR);
	EQ(read_file(ROOT "/a//b/./../b/f"), '4');
}

static void test_links(void)
{
	EQ(symlink("a", ROOT "/link"), 0);
	EQ(read_file(ROOT "/link/b/f"), '4');
	EQ(unlink(ROOT "/link"), 0);
	EQ(read_file(ROOT "/link/b/f"), -ENOENT);
	EQ(symlink(ROOT "/c", ROOT "/link"), 0);
	EQ(read_file(ROOT "/link/b/f"), '2');
	EQ(symlink("link/b/f", ROOT "/last"), 0);
	EQ(read_file(ROOT "/last"), '2');
	for (int i = 0; i < 2; i++)
		FAILS(open(ROOT "/last", O_RDONLY | O_NOFOLLOW), ELOOP);
	struct stat link, target;
	for (int i = 0; i < 2; i++) {
		EQ(lstat(ROOT "/last", &link), 0);
		EQ(stat(ROOT "/last", &target), 0);
		EQ(S_ISLNK(link.st_mode), 1);
		EQ(S_ISREG(target.st_mode), 1);
	}
}

static void test_directories(void)
{
	EQ(chdir(ROOT "/a"), 0);
	EQ(read_file("b/f"), '4');
	EQ(chdir(ROOT "/c"), 0);
	EQ(read_file("b/f"), '2');
	int directory = open(ROOT "/a", O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 2; i++) {
		int fd = openat(directory, "b/f", O_RDONLY);
		char byte = 0;
		EQ(read(fd, &byte, 1), 1);
		EQ(byte, '4');
		close(fd);
	}
	close(directory);
	pid_t child = fork();
	if (child == 0) {
		if (chroot(ROOT "/a") != 0 || chdir("/") != 0)
			_exit(100);
		_exit(read_file("/b/f"));
	}
	int status = 0;
	waitpid(child, &status, 0);
	EQ(WEXITSTATUS(status), '4');
	EQ(read_file("/b/f"), -ENOENT);
	mkdir(ROOT "/gone", 0755);
	EQ(chdir(ROOT "/gone"), 0);
	EQ(rmdir(ROOT "/gone"), 0);
	EQ(read_file("f"), -ENOENT);
	EQ(chdir("/"), 0);
}

/* What root may reach says nothing about others, nor what they could reach about now. */
static void test_permissions(void)
{
	EQ(chmod("/tmp", 01777), 0);
	EQ(read_file(ROOT "/a/b/f"), '4');
	EQ(chmod(ROOT "/a", 0700), 0);
	pid_t child = fork();
	if (child == 0)
		_exit(setgid(1000) || setuid(1000) ? 100 : -read_file(ROOT "/a/b/f"));
	int status = 0;
	waitpid(child, &status, 0);
	EQ(WEXITSTATUS(status), EACCES);
	EQ(chmod(ROOT "/a", 0755), 0);
	int told[2];
	EQ(pipe(told), 0);
	child = fork();
	if (child == 0) {
		if (setgid(1000) || setuid(1000) || read_file(ROOT "/a/b/f") != '4' ||
		    write(told[1], "", 1) != 1)
			_exit(100);
		for (int i = 0; i < 500 && read_file(ROOT "/a/b/f") == '4'; i++)
			pause_ms(10);
		_exit(-read_file(ROOT "/a/b/f"));
	}
	char byte;
	EQ(read(told[0], &byte, 1), 1);
	close(told[0]);
	close(told[1]);
	EQ(chmod(ROOT "/a/b", 0700), 0);
	waitpid(child, &status, 0);
	EQ(WEXITSTATUS(status), EACCES);
	EQ(read_file(ROOT "/a/b/f"), '4');
}

/* Files whose nodes nobody else holds: what was remembered of one must not lead to the next. */
static void test_many(void)
{
	char path[64];
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 300; i++) {
			snprintf(path, sizeof(path), ROOT "/many-%d", i);
			write_file(path, (char)('a' + (i + round) % 26));
		}
		for (int i = 0; i < 300; i++) {
			snprintf(path, sizeof(path), ROOT "/many-%d", i);
			EQ(read_file(path), 'a' + (i + round) % 26);
		}
		for (int i = 0; i < 300; i++) {
			snprintf(path, sizeof(path), ROOT "/many-%d", i);
			EQ(unlink(path), 0);
			EQ(read_file(path), -ENOENT);
		}
	}
}

/* Beyond two levels of 64 descriptors; the lowest free one is what every call returns. */
static void test_descriptors(void)
{
	enum { MOST = 9000 };
	struct rlimit limit;
	EQ(syscall(SYS_close_range, 3, ~0u, 0), 0);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = MOST < limit.rlim_max ? MOST : limit.rlim_max;
	EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	int most = (int)limit.rlim_cur, first = dup(1);
	for (int fd = first + 1; fd < most; fd++) {
		if (dup(1) != fd) {
			EQ(fd, -1);
			break;
		}
	}
	FAILS(dup(1), EMFILE);
	static const int holes[] = { 4500, 64, 63, 8191, 127, 128, 4095, 4096, 700 };
	static const int order[] = { 63, 64, 127, 128, 700, 4095, 4096, 4500, 8191 };
	for (unsigned i = 0; i < sizeof(holes) / sizeof(holes[0]); i++)
		EQ(close(holes[i]), 0);
	EQ(fcntl(1, F_DUPFD, 129), 700);
	close(700);
	for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]) && order[i] < most; i++)
		EQ(dup(1), order[i]);
	FAILS(dup(1), EMFILE);
	EQ(dup2(1, 5000), 5000);
	EQ(syscall(SYS_close_range, first, most, 0), 0);
	EQ(dup(1), first);
	close(first);
}

int main(void)
{
	begin();
	mkdir("/tmp", 01777);
	mkdir(ROOT, 0755);
	test_renames();
	test_links();
	test_directories();
	test_permissions();
	test_many();
	test_descriptors();
	return end("test_paths");
}
