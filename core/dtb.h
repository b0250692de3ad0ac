/*
 * Flattened device tree (Devicetree Specification v0.4 §5), read in place. Every access is
 * length-checked: a malformed blob gives "not found", never a wild read. Pure: host-tested.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dtb {
	const uint8_t *blob;
	uint32_t total_bytes;
	const uint8_t *structure;
	uint32_t structure_bytes;
	const uint8_t *strings;
	uint32_t strings_bytes;
	const uint8_t *reserve_map;
};

/* Offset of a node in the structure block; DTB_NONE when there is none. */
typedef uint32_t dtb_node;
#define DTB_NONE UINT32_MAX

struct dtb_property {
	const uint8_t *data; /* big-endian cells or strings; NULL: no such property */
	uint32_t bytes;
};

/* -EINVAL when the header or the structure is not sound within `max_bytes`. */
int dtb_open(struct dtb *dtb, const void *blob, size_t max_bytes);
dtb_node dtb_root(const struct dtb *dtb);
dtb_node dtb_first_child(const struct dtb *dtb, dtb_node node);
dtb_node dtb_next_sibling(const struct dtb *dtb, dtb_node node);
const char *dtb_name(const struct dtb *dtb, dtb_node node);
dtb_node dtb_find_path(const struct dtb *dtb, const char *path);
/* Depth-first, starting behind `after` (DTB_NONE: from the root). */
dtb_node dtb_find_compatible(const struct dtb *dtb, dtb_node after, const char *compatible);
dtb_node dtb_find_phandle(const struct dtb *dtb, uint32_t phandle);
dtb_node dtb_parent(const struct dtb *dtb, dtb_node node);
struct dtb_property dtb_property(const struct dtb *dtb, dtb_node node, const char *name);
bool dtb_is_compatible(const struct dtb *dtb, dtb_node node, const char *compatible);
bool dtb_is_enabled(const struct dtb *dtb, dtb_node node); /* status absent, "ok" or "okay" */
/* Cell `index` of a property, or `fallback`. */
uint32_t dtb_u32(const struct dtb *dtb, dtb_node node, const char *name, uint32_t index,
                 uint32_t fallback);
/* The string, or NULL when absent or not NUL-terminated. */
const char *dtb_string(const struct dtb *dtb, dtb_node node, const char *name);
/* Entry `index` of reg, with the parent's #address-cells and #size-cells. False: absent. */
bool dtb_reg(const struct dtb *dtb, dtb_node node, uint32_t index, uint64_t *address,
             uint64_t *bytes);
/* Entry `index` of the memory reservation block. */
bool dtb_reserved(const struct dtb *dtb, uint32_t index, uint64_t *address, uint64_t *bytes);

/* A wired interrupt as a device names it. */
struct dtb_interrupt {
	dtb_node controller; /* DTB_NONE: there is none */
	uint32_t number;     /* the controller's source; 0: there is none */
	uint32_t trigger;    /* enum dtb_trigger; 0: not said */
};
/* The second cell of a specifier (Linux's bindings interrupt-controller/interrupts.txt). */
enum dtb_trigger {
	DTB_EDGE_RISING = 1,
	DTB_EDGE_FALLING = 2,
	DTB_LEVEL_HIGH = 4,
	DTB_LEVEL_LOW = 8,
};
/* The first interrupt of interrupts-extended or of interrupts. */
struct dtb_interrupt dtb_interrupt(const struct dtb *dtb, dtb_node node);
