/* The vDSO's pages: a data page and the image behind it, one copy for all programs. */
#include "syscalls/process/internal.h"

#include "syscalls/process/vdso/data.h"

extern const uint8_t vdso_image[];
extern const size_t vdso_image_bytes, vdso_image_sigreturn; /* made by vdso/build_vdso.py */

#define VDSO_ORDER 2 /* room for the data page and 12 KiB of image */

static uint8_t *pages;
static uint64_t pages_bytes;

int vdso_init(void)
{
	pages_bytes = VDSO_DATA_BYTES + ((vdso_image_bytes + PAGE_MASK) & ~PAGE_MASK);
	if (pages_bytes > PAGE_SIZE << VDSO_ORDER)
		return -ENOMEM;
	pages = page_alloc_zeroed(VDSO_ORDER);
	if (!pages)
		return -ENOMEM;
	page_account(PAGES_OF_KERNEL, 1 << VDSO_ORDER);
	/* Mapped page by page: each has references of its own, the first of which is never given
	 * back. */
	for (uint64_t at = 0; at < pages_bytes; at += PAGE_SIZE)
		page_of(pages + at)->refs = 1;
	memcpy(pages + VDSO_DATA_BYTES, vdso_image, vdso_image_bytes);
	vdso_update_clock();
	return 0;
}

void vdso_update_clock(void)
{
	volatile struct vdso_data *data = (volatile struct vdso_data *)(void *)pages;
	data->sequence = data->sequence + 1;
	__asm__ volatile("fence w, w" ::: "memory");
	data->multiplier = clock_parameters.multiplier;
	data->shift = clock_parameters.shift;
	data->base_ticks = clock_parameters.base_ticks;
	data->wall_offset_ns = clock_parameters.wall_offset_ns;
	__asm__ volatile("fence w, w" ::: "memory");
	data->sequence = data->sequence + 1;
}

void *vdso_pages(uint64_t *bytes)
{
	*bytes = pages_bytes;
	return pages;
}

uint64_t vdso_sigreturn_offset(void)
{
	return VDSO_DATA_BYTES + vdso_image_sigreturn;
}
