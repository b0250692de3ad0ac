/*
 * The bytes of a regular file: pages in a tree, above the archive they came from. A page that
 * nobody touched is read straight from the archive; one that is mapped or written becomes a page of
 * the file: in place when it is a whole, aligned page of the archive, as a copy (zero behind the
 * end) otherwise. What neither holds is a hole. Pure; host-tested.
 */
#pragma once

#include "core/memory.h"
#include "syscalls/files/page_tree.h"
#include "syscalls/uio.h"

struct file_data {
	struct page_tree pages;
	uint64_t bytes;         /* the file's size */
	const uint8_t *archive; /* lives for ever; NULL: none */
	uint64_t archive_bytes; /* what of it still shows; <= bytes */
};

#define FILE_BYTES_MAX INT64_MAX

/* Make page `index` a page of the file. -ENOSPC. The tree keeps the reference. */
int file_data_own_page(struct file_data *data, uint64_t index, void **page);
/* Page `index` for a reader, who takes a reference of his own: a page of the archive that is the
 * file's as it stands does not become the file's own. -ENOSPC. */
int file_data_read_page(struct file_data *data, uint64_t index, void **page);
/* Bytes, 0 at the end, -EFAULT. */
long file_data_read(struct file_data *data, struct uio *uio, uint64_t offset);
/* Bytes, -EFAULT, -ENOSPC, -EFBIG. */
long file_data_write(struct file_data *data, struct uio *uio, uint64_t offset);
/* -EFBIG, -ENOSPC. What is beyond the end is zero when the file grows again. */
int file_data_truncate(struct file_data *data, uint64_t bytes);
/* Zeroes within the file's size. -ENOSPC. */
int file_data_zero(struct file_data *data, uint64_t offset, uint64_t bytes);
/* The run of bytes at `offset` that lies together in memory, at least one byte, at most what is
 * left of the file. NULL at the end. Valid until the file changes. */
const void *file_data_peek(const struct file_data *data, uint64_t offset, uint64_t *run_bytes);
/* As file_data_peek, for at most `most` bytes, across pages that lie together; and none of it goes
 * until file_data_release is called with what was returned: the file may be truncated or removed
 * meanwhile. Writing to it may show. NULL: a hole, or the end. */
const void *file_data_hold(const struct file_data *data, uint64_t offset, uint64_t most,
                           uint64_t *run_bytes);
void file_data_release(const void *bytes, size_t length);
/* The first offset >= `offset` with data (hole: without), for SEEK_DATA and SEEK_HOLE. */
uint64_t file_data_seek(const struct file_data *data, uint64_t offset, bool hole);
/* Memory that the file's own pages take (archive pages in place don't count as taken, but do count
 * here). */
static inline uint64_t file_data_pages(const struct file_data *data)
{
	return data->pages.pages;
}
