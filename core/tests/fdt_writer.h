/* Builds flattened device trees for tests, sound or not. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct fdt_writer {
	uint8_t structure[4096], strings[1024];
	uint32_t structure_bytes, strings_bytes;
	uint64_t reserved[8][2];
	unsigned reserved_count;
};

static inline void fdt_store_32(uint8_t *at, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static inline void fdt_cell(struct fdt_writer *writer, uint32_t value)
{
	fdt_store_32(writer->structure + writer->structure_bytes, value);
	writer->structure_bytes += 4;
}

static inline void fdt_bytes(struct fdt_writer *writer, const void *bytes, uint32_t length)
{
	memcpy(writer->structure + writer->structure_bytes, bytes, length);
	writer->structure_bytes = (writer->structure_bytes + length + 3) & ~3u;
}

static inline void fdt_begin(struct fdt_writer *writer, const char *name)
{
	fdt_cell(writer, 1);
	fdt_bytes(writer, name, (uint32_t)strlen(name) + 1);
}

static inline void fdt_end(struct fdt_writer *writer)
{
	fdt_cell(writer, 2);
}

static inline void fdt_property(struct fdt_writer *writer, const char *name, const void *value,
                                uint32_t length)
{
	fdt_cell(writer, 3);
	fdt_cell(writer, length);
	fdt_cell(writer, writer->strings_bytes);
	memcpy(writer->strings + writer->strings_bytes, name, strlen(name) + 1);
	writer->strings_bytes += (uint32_t)strlen(name) + 1;
	fdt_bytes(writer, value, length);
}

static inline void fdt_cells(struct fdt_writer *writer, const char *name, unsigned count,
                             const uint32_t *values)
{
	uint8_t bytes[64];
	for (unsigned i = 0; i < count; i++)
		fdt_store_32(bytes + 4 * i, values[i]);
	fdt_property(writer, name, bytes, 4 * count);
}

/* Header, reservations, structure (with its end token), strings. Returns the blob's size. */
static inline uint32_t fdt_finish(struct fdt_writer *writer, uint8_t *blob)
{
	fdt_cell(writer, 9);
	uint32_t reserve = 40, structure = reserve + 16 * (writer->reserved_count + 1);
	uint32_t strings = structure + writer->structure_bytes;
	uint32_t total = strings + writer->strings_bytes;
	uint32_t header[10] = { 0xd00dfeed,
		                total,
		                structure,
		                strings,
		                reserve,
		                17,
		                16,
		                0,
		                writer->strings_bytes,
		                writer->structure_bytes };
	memset(blob, 0, total);
	for (unsigned i = 0; i < 10; i++)
		fdt_store_32(blob + 4 * i, header[i]);
	for (unsigned i = 0; i < writer->reserved_count; i++) {
		for (unsigned j = 0; j < 2; j++) {
			uint64_t value = writer->reserved[i][j];
			fdt_store_32(blob + reserve + 16 * i + 8 * j, (uint32_t)(value >> 32));
			fdt_store_32(blob + reserve + 16 * i + 8 * j + 4, (uint32_t)value);
		}
	}
	memcpy(blob + structure, writer->structure, writer->structure_bytes);
	memcpy(blob + strings, writer->strings, writer->strings_bytes);
	return total;
}
