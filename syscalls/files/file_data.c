/* The bytes of a regular file. */
#include "syscalls/files/file_data.h"

#include <errno.h>
#include <string.h>

static const uint8_t zero_page[PAGE_SIZE] __attribute__((aligned(4096)));

/* Bytes of page `index` that the archive shows. */
static uint64_t archive_part(const struct file_data *data, uint64_t index)
{
	uint64_t start = index << PAGE_SHIFT;
	if (start >= data->archive_bytes)
		return 0;
	uint64_t left = data->archive_bytes - start;
	return left < PAGE_SIZE ? left : PAGE_SIZE;
}

/* The page of the archive that is page `index` of the file as it stands, or NULL. */
static void *archive_page(const struct file_data *data, uint64_t index)
{
	const uint8_t *source = data->archive + (index << PAGE_SHIFT);
	bool whole = archive_part(data, index) == PAGE_SIZE && !((uintptr_t)source & PAGE_MASK);
	return whole ? (void *)(uintptr_t)source : NULL;
}

int file_data_own_page(struct file_data *data, uint64_t index, void **page)
{
	*page = page_tree_find(&data->pages, index);
	if (*page)
		return 0;
	uint64_t part = archive_part(data, index);
	void *own = archive_page(data, index);
	if (own) {
		/* on top of the archive's own reference, which never goes */
		page_get(page_of(own));
	} else {
		own = part ? page_alloc(0) : page_alloc_zeroed(0);
		if (!own)
			return -ENOSPC;
		if (part) {
			memcpy(own, data->archive + (index << PAGE_SHIFT), part);
			memset((char *)own + part, 0, PAGE_SIZE - part);
		}
	}
	if (page_tree_insert(&data->pages, index, own)) {
		page_put(page_of(own));
		return -ENOSPC;
	}
	*page = own;
	return 0;
}

int file_data_read_page(struct file_data *data, uint64_t index, void **page)
{
	*page = data->pages.pages ? page_tree_find(&data->pages, index) : NULL;
	if (!*page)
		*page = archive_page(data, index);
	return *page ? 0 : file_data_own_page(data, index, page);
}

const void *file_data_peek(const struct file_data *data, uint64_t offset, uint64_t *run_bytes)
{
	if (offset >= data->bytes)
		return NULL;
	uint64_t index = offset >> PAGE_SHIFT, within = offset & PAGE_MASK;
	uint64_t left = data->bytes - offset, run = PAGE_SIZE - within;
	const uint8_t *page = page_tree_find(&data->pages, index), *at;
	if (page) {
		at = page + within;
	} else if (offset < data->archive_bytes) {
		at = data->archive + offset;
		run = data->archive_bytes - offset;
		if (data->pages.pages && run > PAGE_SIZE - within)
			run = PAGE_SIZE - within; /* the next page may be one of the file's own */
	} else {
		at = zero_page + within;
	}
	*run_bytes = run < left ? run : left;
	return at;
}

static bool is_hole(const void *at)
{
	return ((uintptr_t)at & ~PAGE_MASK) == (uintptr_t)zero_page;
}

/* The first and the last page of a run of bytes. */
static struct page *first_page(const void *bytes)
{
	return page_of((const void *)((uintptr_t)bytes & ~PAGE_MASK));
}

static struct page *last_page(const void *bytes, size_t length)
{
	return first_page((const uint8_t *)bytes + length - 1);
}

const void *file_data_hold(const struct file_data *data, uint64_t offset, uint64_t most,
                           uint64_t *run_bytes)
{
	uint64_t run, more;
	const uint8_t *at = file_data_peek(data, offset, &run);
	if (!at || is_hole(at))
		return NULL;
	while (run < most) {
		const uint8_t *next = file_data_peek(data, offset + run, &more);
		if (next != at + run || is_hole(next))
			break;
		run += more;
	}
	*run_bytes = run < most ? run : most;
	for (struct page *page = first_page(at); page <= last_page(at, *run_bytes); page++)
		page_get(page);
	return at;
}

void file_data_release(const void *bytes, size_t length)
{
	struct page *last = last_page(bytes, length);
	for (struct page *page = first_page(bytes); page <= last; page++)
		page_put(page);
}

long file_data_read(struct file_data *data, struct uio *uio, uint64_t offset)
{
	uint64_t done = 0, run;
	const void *at;
	while (uio->remaining && (at = file_data_peek(data, offset + done, &run))) {
		if (run > uio->remaining)
			run = uio->remaining;
		size_t copied = uio_copy_out(uio, at, run);
		done += copied;
		if (copied < run)
			return done ? (long)done : -EFAULT;
	}
	return (long)done;
}

/* The file is about to grow from its present size: what a mapping may have written behind the end
 * must not show. */
static void clear_tail(struct file_data *data)
{
	uint64_t within = data->bytes & PAGE_MASK;
	char *page = within ? page_tree_find(&data->pages, data->bytes >> PAGE_SHIFT) : NULL;
	if (page)
		memset(page + within, 0, PAGE_SIZE - within);
}

long file_data_write(struct file_data *data, struct uio *uio, uint64_t offset)
{
	uint64_t done = 0;
	if (!uio->remaining)
		return 0;
	if (offset >= FILE_BYTES_MAX)
		return -EFBIG;
	if (offset > data->bytes)
		clear_tail(data);
	while (uio->remaining && offset + done < FILE_BYTES_MAX) {
		uint64_t position = offset + done, within = position & PAGE_MASK;
		uint64_t piece = PAGE_SIZE - within;
		void *page;
		if (piece > uio->remaining)
			piece = uio->remaining;
		int error = file_data_own_page(data, position >> PAGE_SHIFT, &page);
		if (error)
			return done ? (long)done : error;
		size_t copied = uio_copy_in(uio, (char *)page + within, piece);
		done += copied;
		if (copied && position + copied > data->bytes)
			data->bytes = position + copied;
		if (copied < piece)
			return done ? (long)done : -EFAULT;
	}
	return (long)done;
}

/* The first index >= `index` that is no hole; UINT64_MAX: none. */
static uint64_t next_present(const struct file_data *data, uint64_t index)
{
	return archive_part(data, index) ? index : page_tree_next(&data->pages, index);
}

int file_data_zero(struct file_data *data, uint64_t offset, uint64_t bytes)
{
	uint64_t end = offset + bytes;
	if (end > data->bytes)
		end = data->bytes;
	while (offset < end) {
		uint64_t index = next_present(data, offset >> PAGE_SHIFT);
		if (index > (end - 1) >> PAGE_SHIFT)
			break;
		if (index << PAGE_SHIFT > offset)
			offset = index << PAGE_SHIFT;
		uint64_t within = offset & PAGE_MASK, piece = PAGE_SIZE - within;
		void *page;
		if (piece > end - offset)
			piece = end - offset;
		int error = file_data_own_page(data, index, &page);
		if (error)
			return error;
		memset((char *)page + within, 0, piece);
		offset += piece;
	}
	return 0;
}

int file_data_truncate(struct file_data *data, uint64_t bytes)
{
	if (bytes > FILE_BYTES_MAX)
		return -EFBIG;
	if (bytes >= data->bytes) {
		clear_tail(data);
		data->bytes = bytes;
		return 0;
	}
	uint64_t kept_pages = (bytes + PAGE_MASK) >> PAGE_SHIFT;
	page_tree_truncate(&data->pages, kept_pages);
	data->bytes = bytes;
	if (data->archive_bytes > bytes)
		data->archive_bytes = bytes;
	clear_tail(data);
	return 0;
}

uint64_t file_data_seek(const struct file_data *data, uint64_t offset, bool hole)
{
	uint64_t index = offset >> PAGE_SHIFT, found = next_present(data, index);
	if (hole) {
		while (found == index && index << PAGE_SHIFT < data->bytes)
			found = next_present(data, ++index);
	} else {
		index = found;
	}
	if (index >= (data->bytes + PAGE_MASK) >> PAGE_SHIFT)
		return data->bytes;
	return index << PAGE_SHIFT > offset ? index << PAGE_SHIFT : offset;
}
