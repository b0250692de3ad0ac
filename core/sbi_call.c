/* Into the firmware (SBI 3.0 §3). */
#include "core/sbi.h"

struct sbi_result sbi_call(uint64_t extension, uint64_t function, uint64_t first, uint64_t second,
                           uint64_t third, uint64_t fourth)
{
	register uint64_t a0 __asm__("a0") = first;
	register uint64_t a1 __asm__("a1") = second;
	register uint64_t a2 __asm__("a2") = third;
	register uint64_t a3 __asm__("a3") = fourth;
	register uint64_t a6 __asm__("a6") = function;
	register uint64_t a7 __asm__("a7") = extension;
	__asm__ volatile("ecall"
	                 : "+r"(a0), "+r"(a1)
	                 : "r"(a2), "r"(a3), "r"(a6), "r"(a7)
	                 : "memory");
	return (struct sbi_result){ (int64_t)a0, (int64_t)a1 };
}
