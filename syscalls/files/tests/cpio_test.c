/* The archive reader: a good archive, every kind of damage, and random damage under ASan. */
#include "syscalls/files/cpio.h"

#include <errno.h>
#include <string.h>

#include "syscalls/files/tests/host.h"

static uint8_t archive[64 * 1024];
static size_t length;

static void add(const char *name, uint32_t mode, const char *data, size_t bytes)
{
	char header[160];
	snprintf(header, sizeof(header),
	         "070701%08X%08X%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X", 7, mode, 1, 2, 1,
	         99, bytes, 0, 8, 5, 1, strlen(name) + 1, 0);
	memcpy(archive + length, header, 110);
	memcpy(archive + length + 110, name, strlen(name) + 1);
	length = (length + 110 + strlen(name) + 1 + 3) & ~3ul;
	memcpy(archive + length, data, bytes);
	length = (length + bytes + 3) & ~3ul;
}

static void build(void)
{
	memset(archive, 0, sizeof(archive));
	length = 0;
	add(".", 040755, "", 0);
	add("bin", 040755, "", 0);
	add("bin/sh", 0100755, "#!hello", 7);
	add("TRAILER!!!", 0, "", 0);
	length = (length + 511) & ~511ul;
	add("etc/motd", 0100644, "hi", 2);
	add("TRAILER!!!", 0, "", 0);
}

static void test_good(void)
{
	struct cpio_reader reader;
	struct cpio_entry entry;
	build();
	cpio_open(&reader, archive, length);
	CHECK_EQ(cpio_next(&reader, &entry), 1);
	CHECK(strcmp(entry.name, ".") == 0);
	CHECK_EQ(cpio_next(&reader, &entry), 1);
	CHECK_EQ(entry.mode, 040755);
	CHECK_EQ(cpio_next(&reader, &entry), 1);
	CHECK(strcmp(entry.name, "bin/sh") == 0);
	CHECK_EQ(entry.name_length, 6);
	CHECK_EQ(entry.data_bytes, 7);
	CHECK(memcmp(entry.data, "#!hello", 7) == 0);
	CHECK_EQ(entry.uid, 1);
	CHECK_EQ(entry.gid, 2);
	CHECK_EQ(entry.mtime, 99);
	CHECK_EQ(entry.rdev_major, 5);
	CHECK_EQ(cpio_next(&reader, &entry), 1); /* the archive behind the first */
	CHECK(strcmp(entry.name, "etc/motd") == 0);
	CHECK_EQ(cpio_next(&reader, &entry), 0);
	CHECK_EQ(cpio_next(&reader, &entry), 0);
	cpio_open(&reader, archive, 0);
	CHECK_EQ(cpio_next(&reader, &entry), 0);
}

/* The result of the whole archive, with `at` changed to `value`, or cut there. */
static int read_all(const uint8_t *bytes, size_t count, const char **error)
{
	struct cpio_reader reader;
	struct cpio_entry entry;
	uint64_t sum = 0;
	int result;
	cpio_open(&reader, bytes, count);
	while ((result = cpio_next(&reader, &entry)) == 1) {
		sum += strlen(entry.name);
		for (uint64_t i = 0; i < entry.data_bytes; i++)
			sum += entry.data[i];
	}
	*error = reader.error;
	CHECK(result == 0 || (result == -EINVAL && reader.error));
	return result + (int)(sum & 0);
}

static void test_damage(void)
{
	const char *error;
	build();
	CHECK_EQ(read_all((const uint8_t *)"\x1f\x8b\x08", 3, &error), -EINVAL);
	CHECK(strstr(error, "gzip"));
	CHECK_EQ(read_all((const uint8_t *)"070707", 6, &error), -EINVAL);
	CHECK_EQ(read_all((const uint8_t *)"0707010000", 10, &error), -EINVAL);
	archive[6 + 8 * 11] = 'z';
	CHECK_EQ(read_all(archive, length, &error), -EINVAL);
	build();
	memcpy(archive + 6 + 8 * 6, "FFFFFFFF", 8); /* a file larger than the archive */
	CHECK_EQ(read_all(archive, length, &error), -EINVAL);
	build();
	memcpy(archive + 6 + 8 * 11, "00000000", 8); /* no name */
	CHECK_EQ(read_all(archive, length, &error), -EINVAL);
	build();
	archive[110 + 1] = 'x'; /* its NUL is gone */
	CHECK_EQ(read_all(archive, length, &error), -EINVAL);
}

/* Every cut, in a block of exactly that size so that ASan sees one byte too far. */
static void test_cuts(void)
{
	build();
	for (size_t cut = 0; cut <= length; cut++) {
		const char *error;
		uint8_t *copy = malloc(cut ? cut : 1);
		memcpy(copy, archive, cut);
		read_all(copy, cut, &error);
		free(copy);
	}
}

static void test_fuzz(void)
{
	for (int round = 0; round < 20000; round++) {
		const char *error;
		build();
		size_t cut = length - host_random() % 64;
		uint8_t *copy = malloc(cut);
		memcpy(copy, archive, cut);
		for (uint64_t changes = host_random() % 8; changes; changes--) {
			size_t at = host_random() % cut;
			copy[at] = host_random() % 2
			                   ? (uint8_t)host_random()
			                   : (uint8_t) "0123456789ABCDEF"[host_random() % 16];
		}
		read_all(copy, cut, &error);
		free(copy);
	}
}

int main(void)
{
	test_good();
	test_damage();
	test_cuts();
	test_fuzz();
	return 0;
}
