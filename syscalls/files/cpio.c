/* Reading a newc archive. */
#include "syscalls/files/cpio.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define HEADER_BYTES  110
#define MAGIC_BYTES   6
#define FIELD_BYTES   8
#define NAME_MAX_CPIO 4096

enum cpio_field {
	FIELD_INODE,
	FIELD_MODE,
	FIELD_UID,
	FIELD_GID,
	FIELD_LINKS,
	FIELD_MTIME,
	FIELD_FILE_BYTES,
	FIELD_DEVICE_MAJOR,
	FIELD_DEVICE_MINOR,
	FIELD_RDEV_MAJOR,
	FIELD_RDEV_MINOR,
	FIELD_NAME_BYTES,
	FIELD_CHECK,
	FIELDS
};

void cpio_open(struct cpio_reader *reader, const void *archive, uint64_t bytes)
{
	*reader = (struct cpio_reader){ .archive = archive, .bytes = bytes };
}

static int broken(struct cpio_reader *reader, const char *why)
{
	reader->error = why;
	return -EINVAL;
}

static int hex_digit(uint8_t character)
{
	if (character >= '0' && character <= '9')
		return character - '0';
	character |= 0x20;
	return character >= 'a' && character <= 'f' ? character - 'a' + 10 : -1;
}

static bool read_field(const uint8_t *header, enum cpio_field field, uint32_t *out)
{
	const uint8_t *digits = header + MAGIC_BYTES + (size_t)field * FIELD_BYTES;
	*out = 0;
	for (int i = 0; i < FIELD_BYTES; i++) {
		int digit = hex_digit(digits[i]);
		if (digit < 0)
			return false;
		*out = *out << 4 | (uint32_t)digit;
	}
	return true;
}

static uint64_t round_up_4(uint64_t value)
{
	return (value + 3) & ~3ull;
}

/* Past the zeroes that fill up an archive. */
static void skip_padding(struct cpio_reader *reader)
{
	while (reader->position < reader->bytes && reader->archive[reader->position] == 0)
		reader->position++;
}

static const char *compression_of(const uint8_t *at, uint64_t left)
{
	if (left >= 2 && at[0] == 0x1f && at[1] == 0x8b)
		return "the archive is compressed (gzip): it must be a plain newc cpio";
	if (left >= 6 && memcmp(at,
	                        "\xfd"
	                        "7zXZ",
	                        6) == 0)
		return "the archive is compressed (xz): it must be a plain newc cpio";
	if (left >= 4 && memcmp(at, "\x28\xb5\x2f\xfd", 4) == 0)
		return "the archive is compressed (zstd): it must be a plain newc cpio";
	return "no newc header (magic 070701) where one should be";
}

/* The header at the position, checked to lie within the archive together with its name and data. */
static int read_header(struct cpio_reader *reader, struct cpio_entry *out, uint64_t *next)
{
	uint64_t left = reader->bytes - reader->position;
	const uint8_t *header = reader->archive + reader->position;
	uint32_t value[FIELDS];
	if (left < MAGIC_BYTES || (memcmp(header, "070701", MAGIC_BYTES) != 0 &&
	                           memcmp(header, "070702", MAGIC_BYTES) != 0))
		return broken(reader, compression_of(header, left));
	if (left < HEADER_BYTES)
		return broken(reader, "the archive ends within a header");
	for (enum cpio_field field = 0; field < FIELDS; field++) {
		if (!read_field(header, field, &value[field]))
			return broken(reader, "a header field is not a hexadecimal number");
	}
	uint64_t name_bytes = value[FIELD_NAME_BYTES], file_bytes = value[FIELD_FILE_BYTES];
	if (name_bytes == 0 || name_bytes > NAME_MAX_CPIO)
		return broken(reader, "an entry's name is empty or too long");
	uint64_t data_at = round_up_4(HEADER_BYTES + name_bytes);
	if (HEADER_BYTES + name_bytes > left)
		return broken(reader, "the archive ends within a name");
	if (header[HEADER_BYTES + name_bytes - 1] != 0)
		return broken(reader, "an entry's name is not terminated");
	if (file_bytes && (data_at > left || file_bytes > left - data_at))
		return broken(reader, "the archive ends within a file");
	*out = (struct cpio_entry){
		.name = (const char *)header + HEADER_BYTES,
		.data = header + data_at,
		.data_bytes = file_bytes,
		.inode = value[FIELD_INODE],
		.mode = value[FIELD_MODE],
		.uid = value[FIELD_UID],
		.gid = value[FIELD_GID],
		.links = value[FIELD_LINKS],
		.mtime = value[FIELD_MTIME],
		.device_major = value[FIELD_DEVICE_MAJOR],
		.device_minor = value[FIELD_DEVICE_MINOR],
		.rdev_major = value[FIELD_RDEV_MAJOR],
		.rdev_minor = value[FIELD_RDEV_MINOR],
	};
	out->name_length = strlen(out->name);
	*next = reader->position + round_up_4(data_at + file_bytes);
	return 0;
}

int cpio_next(struct cpio_reader *reader, struct cpio_entry *out)
{
	for (;;) {
		uint64_t next;
		skip_padding(reader);
		if (reader->position >= reader->bytes)
			return 0;
		int error = read_header(reader, out, &next);
		if (error)
			return error;
		reader->position = next < reader->bytes ? next : reader->bytes;
		if (strcmp(out->name, "TRAILER!!!") != 0)
			return 1;
	}
}
