/* Positions in user buffers, sparse page arrays, and files' bytes against a flat model. */
#include <errno.h>
#include <string.h>

#include "core/memory.h"
#include "syscalls/files/file_data.h"
#include "syscalls/files/tests/host.h"

#define MODEL_BYTES (40 * PAGE_SIZE)
#define STEPS       4000

static void test_uio(void)
{
	char a[10], b[20], c[5], out[64];
	struct user_iovec vector[4] = {
		{ (uintptr_t)a, 10 }, { (uintptr_t)b, 0 }, { (uintptr_t)b, 20 }, { (uintptr_t)c, 5 }
	};
	struct uio uio;
	for (int i = 0; i < 64; i++)
		out[i] = (char)i;
	CHECK_EQ(uio_init_vector(&uio, (struct user_addr){ (uintptr_t)vector }, 4), 0);
	CHECK_EQ(uio.remaining, 35);
	CHECK_EQ(uio_copy_out(&uio, out, 7), 7);
	CHECK_EQ(uio_copy_out(&uio, out + 7, 10), 10);
	CHECK_EQ(a[9], 9);
	CHECK_EQ(b[0], 10);
	uio_rewind(&uio, 12);
	CHECK_EQ(uio.done, 5);
	CHECK_EQ(uio_copy_out(&uio, out + 5, 64), 30);
	CHECK_EQ(c[4], 34);
	CHECK_EQ(uio.remaining, 0);
	CHECK_EQ(uio_copy_out(&uio, out, 1), 0);
	uio_rewind(&uio, 35);
	char in[35];
	CHECK_EQ(uio_copy_in(&uio, in, 35), 35);
	CHECK(memcmp(in, out, 35) == 0);
	uio_fini(&uio);

	struct user_iovec many[6] = {
		{ (uintptr_t)a, 1 }, { (uintptr_t)a, 1 }, { (uintptr_t)a, 1 },
		{ (uintptr_t)a, 1 }, { (uintptr_t)a, 1 }, { (uintptr_t)a, 1 }
	};
	CHECK_EQ(uio_init_vector(&uio, (struct user_addr){ (uintptr_t)many }, 6), 0);
	struct uio moved = uio;
	uio_moved(&moved);
	CHECK(moved.vector == uio.vector);
	uio_fini(&moved);
	vector[1].length = (uint64_t)-1;
	CHECK_EQ(uio_init_vector(&uio, (struct user_addr){ (uintptr_t)vector }, 4), -EINVAL);
	CHECK_EQ(uio_init_vector(&uio, (struct user_addr){ (uintptr_t)vector }, 1025), -EINVAL);
	vector[1].length = UIO_MAX_BYTES;
	CHECK_EQ(uio_init_vector(&uio, (struct user_addr){ (uintptr_t)vector }, 4), 0);
	CHECK_EQ(uio.remaining, UIO_MAX_BYTES);
	uio_fini(&uio);
}

static void test_faults(void)
{
	static char buffer[100];
	struct uio uio;
	host_fault_at = (uintptr_t)buffer + 60;
	uio_init_single(&uio, (struct user_addr){ (uintptr_t)buffer }, 100);
	CHECK_EQ(uio_copy_in(&uio, (char[100]){ 0 }, 100), 60);
	CHECK_EQ(uio.done, 60);
	CHECK_EQ(uio.remaining, 40);
	CHECK_EQ(uio_copy_in(&uio, (char[100]){ 0 }, 40), 0);
	struct file_data data = { 0 };
	uio_init_single(&uio, (struct user_addr){ (uintptr_t)buffer + 60 }, 10);
	CHECK_EQ(file_data_write(&data, &uio, 0), -EFAULT);
	CHECK_EQ(data.bytes, 0);
	host_fault_at = UINTPTR_MAX;
	page_tree_truncate(&data.pages, 0);
}

static void test_tree(void)
{
	static const uint64_t indices[] = {
		0, 63, 64, 4095, 4096, 1ull << 30, (1ull << 51) - 1, 5
	};
	struct page_tree tree = { 0 };
	for (unsigned i = 0; i < 8; i++)
		CHECK_EQ(page_tree_insert(&tree, indices[i], page_alloc(0)), 0);
	for (unsigned i = 0; i < 8; i++)
		CHECK(page_tree_find(&tree, indices[i]));
	CHECK(!page_tree_find(&tree, 1));
	CHECK(!page_tree_find(&tree, UINT64_MAX >> 12));
	page_tree_truncate(&tree, 4096);
	CHECK_EQ(tree.pages, 5);
	CHECK(page_tree_find(&tree, 4095));
	CHECK(!page_tree_find(&tree, 4096));
	page_tree_truncate(&tree, 1);
	CHECK_EQ(tree.pages, 1);
	page_tree_truncate(&tree, 0);
	CHECK_EQ(host_pages, 0);
	CHECK_EQ(host_blocks, 0);
}

struct model {
	uint8_t bytes[MODEL_BYTES];
	uint64_t length;
};

static void check_equal(struct file_data *data, const struct model *model)
{
	static uint8_t read[MODEL_BYTES + 100];
	struct uio uio;
	CHECK_EQ(data->bytes, model->length);
	uio_init_kernel(&uio, read, sizeof(read));
	CHECK_EQ(file_data_read(data, &uio, 0), model->length);
	CHECK(memcmp(read, model->bytes, model->length) == 0);
}

static void step(struct file_data *data, struct model *model)
{
	static uint8_t bytes[MODEL_BYTES];
	uint64_t at = host_random() % MODEL_BYTES, room = MODEL_BYTES - at;
	uint64_t length = host_random() % (host_random() % 4 ? 300 : 3 * PAGE_SIZE);
	struct uio uio;
	void *page;
	if (length > room)
		length = room;
	switch (host_random() % 6) {
	case 0:
	case 1:
		for (uint64_t i = 0; i < length; i++)
			bytes[i] = (uint8_t)host_random();
		uio_init_kernel(&uio, bytes, length);
		CHECK_EQ(file_data_write(data, &uio, at), length);
		memcpy(model->bytes + at, bytes, length);
		if (length && at + length > model->length)
			model->length = at + length;
		break;
	case 2:
		CHECK_EQ(file_data_truncate(data, at), 0);
		if (at < model->length)
			memset(model->bytes + at, 0, MODEL_BYTES - at);
		model->length = at;
		break;
	case 3:
		CHECK_EQ(file_data_zero(data, at, length), 0);
		memset(model->bytes + at, 0, length);
		break;
	case 4: /* a mapping writes a page, also behind the end: that must never show */
		if (at >= model->length)
			break;
		CHECK_EQ(file_data_own_page(data, at / PAGE_SIZE, &page), 0);
		for (uint64_t i = model->length; i < (at / PAGE_SIZE + 1) * PAGE_SIZE; i++)
			((uint8_t *)page)[i % PAGE_SIZE] = 0xee;
		((uint8_t *)page)[at % PAGE_SIZE] = 0x77;
		model->bytes[at] = 0x77;
		break;
	default:
		uio_init_kernel(&uio, bytes, length);
		long got = file_data_read(data, &uio, at);
		uint64_t left = at < model->length ? model->length - at : 0;
		CHECK_EQ(got, left < length ? left : length);
		CHECK(memcmp(bytes, model->bytes + at, (size_t)got) == 0);
	}
}

static void test_model(uint64_t seed, uint64_t misalignment)
{
	static struct model model;
	uint8_t *archive = host_archive(12 * PAGE_SIZE);
	struct file_data data = { 0 };
	host_seed(seed);
	memset(&model, 0, sizeof(model));
	for (uint64_t i = 0; i < 12 * PAGE_SIZE; i++)
		archive[i] = (uint8_t)host_random();
	data.archive = archive + misalignment;
	data.archive_bytes = data.bytes = model.length = 10 * PAGE_SIZE + host_random() % PAGE_SIZE;
	memcpy(model.bytes, data.archive, model.length);
	for (int i = 0; i < STEPS; i++) {
		step(&data, &model);
		if (i % 64 == 0)
			check_equal(&data, &model);
	}
	check_equal(&data, &model);
	page_tree_truncate(&data.pages, 0);
	host_archive_free(archive);
	CHECK_EQ(host_pages, 0);
	CHECK_EQ(host_blocks, 0);
}

static void test_short_memory(void)
{
	struct file_data data = { 0 };
	static char bytes[10 * PAGE_SIZE];
	for (long limit = 0; limit < 14; limit++) {
		struct uio uio;
		uio_init_kernel(&uio, bytes, sizeof(bytes));
		host_allocations_left = limit;
		long wrote = file_data_write(&data, &uio, 63 * PAGE_SIZE);
		host_allocations_left = -1;
		CHECK(wrote == -ENOSPC || wrote > 0);
		CHECK_EQ(data.bytes, wrote > 0 ? 63 * PAGE_SIZE + (uint64_t)wrote : 0);
		CHECK_EQ(file_data_truncate(&data, 0), 0);
	}
	CHECK_EQ(host_pages, 0);
	CHECK_EQ(host_blocks, 0);
}

static void test_seek_and_limits(void)
{
	struct file_data data = { 0 };
	struct uio uio;
	uio_init_kernel(&uio, "x", 1);
	CHECK_EQ(file_data_write(&data, &uio, 5 * PAGE_SIZE), 1);
	CHECK_EQ(file_data_seek(&data, 0, false), 5 * PAGE_SIZE);
	CHECK_EQ(file_data_seek(&data, 0, true), 0);
	CHECK_EQ(file_data_seek(&data, 5 * PAGE_SIZE, true), data.bytes);
	CHECK_EQ(file_data_truncate(&data, 1ull << 50), 0);
	CHECK_EQ(file_data_seek(&data, 6 * PAGE_SIZE, false), 1ull << 50);
	CHECK_EQ(file_data_zero(&data, 0, 1ull << 50), 0);
	CHECK_EQ(file_data_truncate(&data, 1ull << 63), -EFBIG);
	uio_init_kernel(&uio, "x", 1);
	CHECK_EQ(file_data_write(&data, &uio, INT64_MAX), -EFBIG);
	CHECK_EQ(file_data_truncate(&data, 0), 0);
	CHECK_EQ(host_pages, 0);
}

int main(void)
{
	test_uio();
	test_faults();
	test_tree();
	for (uint64_t seed = 1; seed <= 6; seed++)
		test_model(seed, seed % 2 ? 0 : 512);
	test_short_memory();
	test_seek_and_limits();
	return 0;
}
