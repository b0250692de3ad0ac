/* Starting the other harts (SBI 2.0 §9). */
#include <string.h>

#include "core/boot.h"
#include "core/console.h"
#include "core/csr.h"
#include "core/hart_setup.h"
#include "core/irq_setup.h"
#include "core/kernel_map.h"
#include "core/memory.h"
#include "core/sbi.h"

void secondary_start(void);
_Noreturn void hart_secondary_main(struct hart *hart);

static bool start_one(uint64_t hartid)
{
	struct hart *hart = heap_alloc_zeroed(sizeof *hart);
	if (!hart)
		return false;
	hart->stack_top = kernel_map_stack(hart_count, &hart->stack_bottom);
	if (hart->stack_top == 0 || hart_init(hart, hart_count, hartid) != 0) {
		heap_free(hart);
		return false;
	}
	hart->active_satp = kernel_satp;
	irq_add_hart(boot_information.dtb, hart);
	struct sbi_result result =
	        sbi_hart_start(hartid, kernel_physical(secondary_start).value, (uint64_t)hart);
	if (result.error != 0) {
		log_warning("hart %lu does not start: SBI error %ld", hartid, result.error);
		return false;
	}
	harts[hart_count++] = hart;
	return true;
}

void harts_start(void)
{
	const struct dtb *dtb = boot_information.dtb;
	dtb_node cpus = dtb_find_path(dtb, "/cpus");
	if (cpus == DTB_NONE || !sbi_has(SBI_HSM))
		return;
	for (dtb_node node = dtb_first_child(dtb, cpus); node != DTB_NONE;
	     node = dtb_next_sibling(dtb, node)) {
		const char *type = dtb_string(dtb, node, "device_type");
		uint64_t hartid, bytes;
		if (!type || strcmp(type, "cpu") != 0 || !dtb_is_enabled(dtb, node) ||
		    !dtb_reg(dtb, node, 0, &hartid, &bytes) || hartid == harts[0]->hartid)
			continue;
		if (hart_count == HARTS_MAX || !start_one(hartid))
			break;
	}
}

/* Entered on the hart's own stack. Nothing runs on it yet but its loop. */
_Noreturn void hart_secondary_main(struct hart *hart)
{
	hart_open_interrupts();
	irq_open_hart(hart);
	hart_loop(hart);
}
