/* What the pure parts of files/ need, on the host: pages and heap from malloc (so that ASan sees
 * every overrun and leak), "user" memory that is plain memory up to a limit. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "evloop/check.h"

/* Allocations fail once this many more have been made; -1: never. */
extern long host_allocations_left;
extern long host_pages, host_blocks; /* held now */
/* A page-aligned block whose pages page_of knows, as an archive's are: refs 1. */
uint8_t *host_archive(size_t bytes);
void host_archive_free(uint8_t *archive);
/* Copies to and from "user" memory at or above this address fault. */
extern uintptr_t host_fault_at;
uint64_t host_random(void);
void host_seed(uint64_t seed);
