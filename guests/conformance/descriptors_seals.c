/* memfd_create and its seals, F_DUPFD_QUERY. */
#define _GNU_SOURCE
#include "conform.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define F_DUPFD_QUERY_NUMBER 1027
#define F_SEAL_EXEC_BIT      0x20

static int sealable(size_t bytes)
{
	int fd = (int)must("memfd", memfd_create("sealed", MFD_ALLOW_SEALING));
	must("truncate", ftruncate(fd, (off_t)bytes));
	return fd;
}

static void observe_seals(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals == -1)
		observe("seals", -1);
	else
		observe_text("seals", "%x", seals);
}

CASE(memfd_arguments)
{
	static char name[300];
	memset(name, 'n', 250);
	observe("250", memfd_create(name, 0));
	name[249] = 0;
	observe_fd("249", memfd_create(name, 0));
	observe_fd("empty", memfd_create("", 0));
	observe_fd("slash", memfd_create("a/b", 0));
	observe("null", memfd_create(NULL, 0));
	observe("flags", memfd_create("x", 0x100));
	observe("exec-both", memfd_create("x", 0x8 | 0x10));
	int fd = memfd_create("x", MFD_CLOEXEC);
	observe("getfd", fcntl(fd, F_GETFD));
	observe("getfl", fcntl(fd, F_GETFL));
	observe_seals(fd);
	observe("add", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
}

CASE(seals_read_back)
{
	int fd = sealable(100);
	observe_seals(fd);
	observe("grow", fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	observe_seals(fd);
	observe("more", fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE));
	observe_seals(fd);
	observe("again", fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	observe("unknown", fcntl(fd, F_ADD_SEALS, 0x100));
	observe("seal", fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
	observe("after", fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	observe_seals(fd);
	observe("dup", fcntl(dup(fd), F_GET_SEALS));
	int regular = open("file", O_RDWR | O_CREAT, 0600);
	observe("regular", fcntl(regular, F_GET_SEALS));
	observe("regular-add", fcntl(regular, F_ADD_SEALS, F_SEAL_WRITE));
	int ends[2];
	must("pipe", pipe(ends));
	observe("pipe", fcntl(ends[0], F_GET_SEALS));
	observe("bad", fcntl(-1, F_GET_SEALS));
}

CASE(seal_of_size)
{
	int fd = sealable(100);
	must("seal", fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	observe("same", ftruncate(fd, 100));
	observe("grow", ftruncate(fd, 101));
	observe("write", pwrite(fd, "abcdef", 6, 94));
	observe("beyond", pwrite(fd, "abcdef", 6, 97));
	observe("behind", pwrite(fd, "abcdef", 6, 200));
	observe("shrink", ftruncate(fd, 50));
	fd = sealable(100);
	must("seal", fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	observe("shrink", ftruncate(fd, 99));
	observe("grow", ftruncate(fd, 200));
	observe("write", pwrite(fd, "abcdef", 6, 300));
	struct stat status;
	must("fstat", fstat(fd, &status));
	observe("size", status.st_size);
	observe("allocate", fallocate(fd, 0, 0, 400));
	observe("punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 10));
}

CASE(seal_of_writing)
{
	int fd = sealable(8192);
	char bytes[8];
	void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	observe("mapped", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	must("munmap", munmap(map, 4096));
	must("write", pwrite(fd, "before", 6, 0));
	observe("seal", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	observe("write", write(fd, "x", 1));
	observe("pwrite", pwrite(fd, "x", 1, 0));
	observe("write-nothing", write(fd, "x", 0));
	observe("punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 10));
	observe("truncate", ftruncate(fd, 100));
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	observe("map-shared", map == MAP_FAILED ? -1 : 0);
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	observe("map-read", map == MAP_FAILED ? -1 : 0);
	if (map != MAP_FAILED)
		observe("protect", mprotect(map, 4096, PROT_READ | PROT_WRITE));
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	observe("map-private", map == MAP_FAILED ? -1 : 0);
	observe_bytes("read", pread(fd, bytes, 6, 0), bytes);
}

CASE(seal_of_future_writing)
{
	int fd = sealable(8192);
	char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), byte = 0;
	observe("seal", fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	map[0] = 'm';
	observe("write", pwrite(fd, "x", 1, 0));
	observe("read", pread(fd, &byte, 1, 0));
	observe("byte", byte);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	observe("map-shared", map == MAP_FAILED ? -1 : 0);
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	observe("map-read", map == MAP_FAILED ? -1 : 0);
	observe("seal-write", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
}

CASE(seal_of_mode)
{
	int fd = (int)must("memfd", memfd_create("noexec", 0x8));
	struct stat status;
	must("fstat", fstat(fd, &status));
	observe_text("mode", "%o", status.st_mode);
	observe_seals(fd);
	observe("chmod-exec", fchmod(fd, 0777));
	observe("chmod", fchmod(fd, 0600));
	fd = sealable(10);
	observe("seal-exec", fcntl(fd, F_ADD_SEALS, F_SEAL_EXEC_BIT));
	observe_seals(fd);
	observe("chmod-off", fchmod(fd, 0600));
	observe("chmod-same", fchmod(fd, 0711));
}

CASE(dupfd_query)
{
	int fd = open("file", O_RDWR | O_CREAT, 0600), other = open("file", O_RDWR);
	observe("itself", fcntl(fd, F_DUPFD_QUERY_NUMBER, fd));
	observe("dup", fcntl(fd, F_DUPFD_QUERY_NUMBER, dup(fd)));
	observe("opened-twice", fcntl(fd, F_DUPFD_QUERY_NUMBER, other));
	observe("bad", fcntl(fd, F_DUPFD_QUERY_NUMBER, -1));
	observe("of-bad", fcntl(-1, F_DUPFD_QUERY_NUMBER, fd));
	observe("path", fcntl(open("file", O_PATH), F_DUPFD_QUERY_NUMBER, fd));
}
