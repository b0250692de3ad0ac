#include "core/dtb.h"

#include <errno.h>
#include <string.h>

#define DTB_MAGIC        0xd00dfeed
#define DTB_HEADER_BYTES 40
#define DTB_VERSION      17
#define DTB_MAX_DEPTH    64
#define DTB_MAX_BYTES    (64u << 20) /* far from where 32-bit offsets wrap */

enum token {
	TOKEN_BEGIN_NODE = 1,
	TOKEN_END_NODE = 2,
	TOKEN_PROPERTY = 3,
	TOKEN_NOP = 4,
	TOKEN_END = 9
};

/* A small token as it stands in memory; this machine is little-endian. */
#define SWAPPED(token) ((uint32_t)(token) << 24)

/* Tokens, lengths and cells are aligned to 4 bytes (§5.4), the blob to more. */
static uint32_t word_at(const uint8_t *bytes)
{
	uint32_t word;
	memcpy(&word, __builtin_assume_aligned(bytes, 4), sizeof word);
	return word;
}

static uint32_t big_endian_32(const uint8_t *bytes)
{
	uint32_t word = word_at(bytes);
	return word << 24 | (word & 0xff00) << 8 | (word >> 8 & 0xff00) | word >> 24;
}

static uint64_t cells(const uint8_t *bytes, uint32_t count)
{
	uint64_t value = 0;
	for (uint32_t i = 0; i < count; i++)
		value = value << 32 | big_endian_32(bytes + 4 * i);
	return value;
}

/* One token of the structure block. `next` is where the token behind it starts. */
struct element {
	enum token token;
	uint32_t next;
	const char *name;             /* of a node or a property */
	struct dtb_property property; /* of a property */
};

/* For dtb_open: false when the block ends or is malformed at `offset`. */
static bool check_element(const struct dtb *dtb, uint32_t offset, struct element *out)
{
	if (offset > dtb->structure_bytes || dtb->structure_bytes - offset < 4)
		return false;
	const uint8_t *at = dtb->structure + offset;
	uint32_t room = dtb->structure_bytes - offset - 4;
	out->token = big_endian_32(at);
	out->next = offset + 4;
	switch (out->token) {
	case TOKEN_BEGIN_NODE: {
		size_t length = strnlen((const char *)at + 4, room);
		if (length == room)
			return false;
		out->name = (const char *)at + 4;
		out->next = (out->next + (uint32_t)length + 1 + 3) & ~3u;
		return true;
	}
	case TOKEN_PROPERTY: {
		if (room < 8)
			return false;
		uint32_t bytes = big_endian_32(at + 4), name = big_endian_32(at + 8);
		if (bytes > room - 8 || name >= dtb->strings_bytes)
			return false;
		size_t name_room = dtb->strings_bytes - name;
		out->name = (const char *)dtb->strings + name;
		if (strnlen(out->name, name_room) == name_room)
			return false;
		out->property = (struct dtb_property){ at + 12, bytes };
		out->next = (out->next + 8 + bytes + 3) & ~3u;
		return true;
	}
	case TOKEN_END_NODE:
	case TOKEN_NOP:
	case TOKEN_END:
		return true;
	}
	return false;
}

/* The tree is balanced, not too deep, and ends with an end token. */
static bool structure_is_sound(const struct dtb *dtb)
{
	struct element element;
	unsigned depth = 0;
	bool seen_root = false;
	for (uint32_t offset = 0; check_element(dtb, offset, &element); offset = element.next) {
		switch (element.token) {
		case TOKEN_BEGIN_NODE:
			if ((depth == 0 && seen_root) || ++depth > DTB_MAX_DEPTH)
				return false;
			seen_root = true;
			break;
		case TOKEN_END_NODE:
			if (depth-- == 0)
				return false;
			break;
		case TOKEN_PROPERTY:
			if (depth == 0)
				return false;
			break;
		case TOKEN_NOP:
			break;
		case TOKEN_END:
			return depth == 0 && seen_root;
		}
	}
	return false;
}

/* The token at `offset`, which is one that dtb_open passed; false at the end, and for DTB_NONE.
 * Boot walks the tree some hundred times: what dtb_open checked is not checked again, and names are
 * stepped over word by word. */
static inline bool read_element(const struct dtb *dtb, uint32_t offset, struct element *out)
{
	if (offset >= dtb->structure_bytes)
		return false;
	const uint8_t *at = dtb->structure + offset;
	switch (word_at(at)) {
	case SWAPPED(TOKEN_BEGIN_NODE):
		out->token = TOKEN_BEGIN_NODE;
		out->name = (const char *)at + 4;
		uint32_t word;
		do {
			at += 4;
			word = word_at(at);
		} while (!((word - 0x01010101) & ~word & 0x80808080)); /* no byte is 0 */
		out->next = (uint32_t)(at + 4 - dtb->structure);
		return true;
	case SWAPPED(TOKEN_PROPERTY):
		out->token = TOKEN_PROPERTY;
		out->property = (struct dtb_property){ at + 12, big_endian_32(at + 4) };
		out->name = (const char *)dtb->strings + big_endian_32(at + 8);
		out->next = (offset + 12 + out->property.bytes + 3) & ~3u;
		return true;
	case SWAPPED(TOKEN_END_NODE):
		out->token = TOKEN_END_NODE;
		break;
	case SWAPPED(TOKEN_NOP):
		out->token = TOKEN_NOP;
		break;
	default:
		return false;
	}
	out->next = offset + 4;
	return true;
}

/* The block [offset, offset + bytes) lies within the blob. */
static bool block_fits(uint32_t total, uint32_t offset, uint32_t bytes)
{
	return offset >= DTB_HEADER_BYTES && offset <= total && bytes <= total - offset;
}

int dtb_open(struct dtb *dtb, const void *blob, size_t max_bytes)
{
	const uint8_t *header = blob;
	if ((uintptr_t)blob % 4 != 0 || max_bytes < DTB_HEADER_BYTES ||
	    big_endian_32(header) != DTB_MAGIC)
		return -EINVAL;
	uint32_t total = big_endian_32(header + 4), structure = big_endian_32(header + 8);
	uint32_t strings = big_endian_32(header + 12), reserve = big_endian_32(header + 16);
	uint32_t version = big_endian_32(header + 20), compatible = big_endian_32(header + 24);
	uint32_t strings_bytes = big_endian_32(header + 32),
	         structure_bytes = big_endian_32(header + 36);
	if (total < DTB_HEADER_BYTES || total > max_bytes || total > DTB_MAX_BYTES ||
	    version < DTB_VERSION || compatible > DTB_VERSION || structure % 4 != 0 ||
	    reserve % 8 != 0)
		return -EINVAL;
	if (!block_fits(total, structure, structure_bytes) ||
	    !block_fits(total, strings, strings_bytes) || !block_fits(total, reserve, 16))
		return -EINVAL;
	*dtb = (struct dtb){
		.blob = blob,
		.total_bytes = total,
		.structure = header + structure,
		.structure_bytes = structure_bytes,
		.strings = header + strings,
		.strings_bytes = strings_bytes,
		.reserve_map = header + reserve,
	};
	return structure_is_sound(dtb) ? 0 : -EINVAL;
}

/* Offset of the first node token at or behind `offset` that is not preceded by the end of the node
 * around it. */
static dtb_node node_at(const struct dtb *dtb, uint32_t offset)
{
	struct element element;
	for (; read_element(dtb, offset, &element); offset = element.next) {
		if (element.token == TOKEN_BEGIN_NODE)
			return offset;
		if (element.token == TOKEN_END_NODE || element.token == TOKEN_END)
			break;
	}
	return DTB_NONE;
}

dtb_node dtb_root(const struct dtb *dtb)
{
	return node_at(dtb, 0);
}

dtb_node dtb_first_child(const struct dtb *dtb, dtb_node node)
{
	struct element element;
	if (!read_element(dtb, node, &element) || element.token != TOKEN_BEGIN_NODE)
		return DTB_NONE;
	return node_at(dtb, element.next);
}

/* Offset behind the node's end token; DTB_NONE when there is none. */
static uint32_t node_end(const struct dtb *dtb, dtb_node node)
{
	struct element element;
	unsigned depth = 0;
	for (uint32_t offset = node; read_element(dtb, offset, &element); offset = element.next) {
		if (element.token == TOKEN_BEGIN_NODE)
			depth++;
		else if (element.token == TOKEN_END_NODE && --depth == 0)
			return element.next;
	}
	return DTB_NONE;
}

dtb_node dtb_next_sibling(const struct dtb *dtb, dtb_node node)
{
	uint32_t end = node_end(dtb, node);
	return end == DTB_NONE ? DTB_NONE : node_at(dtb, end);
}

const char *dtb_name(const struct dtb *dtb, dtb_node node)
{
	struct element element;
	if (!read_element(dtb, node, &element) || element.token != TOKEN_BEGIN_NODE)
		return "";
	return element.name;
}

/* A path component names a node with or without its unit address. */
static bool name_matches(const char *name, const char *component, size_t length)
{
	if (strncmp(name, component, length) != 0)
		return false;
	return name[length] == '\0' || (name[length] == '@' && !memchr(component, '@', length));
}

dtb_node dtb_find_path(const struct dtb *dtb, const char *path)
{
	dtb_node node = dtb_root(dtb);
	while (node != DTB_NONE) {
		while (*path == '/')
			path++;
		const char *end = path;
		while (*end != '\0' && *end != '/' && *end != ':')
			end++;
		if (end == path)
			return node;
		size_t length = (size_t)(end - path);
		node = dtb_first_child(dtb, node);
		while (node != DTB_NONE && !name_matches(dtb_name(dtb, node), path, length))
			node = dtb_next_sibling(dtb, node);
		path = *end == ':' ? end + strlen(end) : end;
	}
	return DTB_NONE;
}

/* The node that begins behind `after` in the blob, whatever its depth. */
static dtb_node next_node(const struct dtb *dtb, dtb_node after)
{
	struct element element;
	if (after == DTB_NONE)
		return dtb_root(dtb);
	if (!read_element(dtb, after, &element))
		return DTB_NONE;
	for (uint32_t offset = element.next; read_element(dtb, offset, &element);
	     offset = element.next) {
		if (element.token == TOKEN_BEGIN_NODE)
			return offset;
	}
	return DTB_NONE;
}

dtb_node dtb_find_compatible(const struct dtb *dtb, dtb_node after, const char *compatible)
{
	dtb_node node = next_node(dtb, after);
	while (node != DTB_NONE && !dtb_is_compatible(dtb, node, compatible))
		node = next_node(dtb, node);
	return node;
}

dtb_node dtb_find_phandle(const struct dtb *dtb, uint32_t phandle)
{
	if (phandle == 0)
		return DTB_NONE;
	dtb_node node = dtb_root(dtb);
	while (node != DTB_NONE && dtb_u32(dtb, node, "phandle", 0, 0) != phandle)
		node = next_node(dtb, node);
	return node;
}

dtb_node dtb_parent(const struct dtb *dtb, dtb_node node)
{
	uint32_t open[DTB_MAX_DEPTH + 1];
	unsigned depth = 0;
	struct element element;
	for (uint32_t offset = 0; read_element(dtb, offset, &element); offset = element.next) {
		if (element.token == TOKEN_BEGIN_NODE) {
			if (offset == node)
				return depth ? open[depth - 1] : DTB_NONE;
			open[depth++] = offset;
		} else if (element.token == TOKEN_END_NODE) {
			depth--;
		}
	}
	return DTB_NONE;
}

struct dtb_property dtb_property(const struct dtb *dtb, dtb_node node, const char *name)
{
	struct element element;
	if (!read_element(dtb, node, &element) || element.token != TOKEN_BEGIN_NODE)
		return (struct dtb_property){ 0 };
	/* Properties precede child nodes (§5.4.2). */
	for (uint32_t offset = element.next; read_element(dtb, offset, &element);
	     offset = element.next) {
		if (element.token == TOKEN_PROPERTY) {
			if (strcmp(element.name, name) == 0)
				return element.property;
		} else if (element.token != TOKEN_NOP) {
			break;
		}
	}
	return (struct dtb_property){ 0 };
}

bool dtb_is_compatible(const struct dtb *dtb, dtb_node node, const char *compatible)
{
	struct dtb_property list = dtb_property(dtb, node, "compatible");
	for (uint32_t at = 0; at < list.bytes;) {
		size_t length = strnlen((const char *)list.data + at, list.bytes - at);
		if (length == list.bytes - at)
			return false;
		if (strcmp((const char *)list.data + at, compatible) == 0)
			return true;
		at += (uint32_t)length + 1;
	}
	return false;
}

bool dtb_is_enabled(const struct dtb *dtb, dtb_node node)
{
	if (!dtb_property(dtb, node, "status").data)
		return true;
	const char *status = dtb_string(dtb, node, "status");
	return status && (strcmp(status, "ok") == 0 || strcmp(status, "okay") == 0);
}

uint32_t dtb_u32(const struct dtb *dtb, dtb_node node, const char *name, uint32_t index,
                 uint32_t fallback)
{
	struct dtb_property property = dtb_property(dtb, node, name);
	if (!property.data || index >= property.bytes / 4)
		return fallback;
	return big_endian_32(property.data + 4 * index);
}

const char *dtb_string(const struct dtb *dtb, dtb_node node, const char *name)
{
	struct dtb_property property = dtb_property(dtb, node, name);
	if (!property.data || !memchr(property.data, 0, property.bytes))
		return NULL;
	return (const char *)property.data;
}

bool dtb_reg(const struct dtb *dtb, dtb_node node, uint32_t index, uint64_t *address,
             uint64_t *bytes)
{
	dtb_node parent = dtb_parent(dtb, node);
	if (parent == DTB_NONE)
		return false;
	uint32_t address_cells = dtb_u32(dtb, parent, "#address-cells", 0, 2);
	uint32_t size_cells = dtb_u32(dtb, parent, "#size-cells", 0, 1);
	struct dtb_property reg = dtb_property(dtb, node, "reg");
	if (!reg.data || address_cells == 0 || address_cells > 4 || size_cells > 4)
		return false;
	uint32_t entry_bytes = 4 * (address_cells + size_cells);
	if (index >= reg.bytes / entry_bytes)
		return false;
	const uint8_t *entry = reg.data + (size_t)index * entry_bytes;
	*address = cells(entry, address_cells);
	*bytes = cells(entry + 4 * address_cells, size_cells);
	return true;
}

bool dtb_reserved(const struct dtb *dtb, uint32_t index, uint64_t *address, uint64_t *bytes)
{
	size_t room = dtb->total_bytes - (size_t)(dtb->reserve_map - dtb->blob);
	if (index >= room / 16)
		return false;
	const uint8_t *entry = dtb->reserve_map + 16 * (size_t)index;
	*address = cells(entry, 2);
	*bytes = cells(entry + 8, 2);
	return *address != 0 || *bytes != 0;
}

/* The controller of `interrupts`: named by the node or by the nearest one around it. */
static dtb_node interrupt_parent(const struct dtb *dtb, dtb_node node)
{
	for (dtb_node at = node; at != DTB_NONE; at = dtb_parent(dtb, at)) {
		uint32_t phandle = dtb_u32(dtb, at, "interrupt-parent", 0, 0);
		if (phandle)
			return dtb_find_phandle(dtb, phandle);
	}
	return DTB_NONE;
}

struct dtb_interrupt dtb_interrupt(const struct dtb *dtb, dtb_node node)
{
	const char *list = "interrupts-extended";
	uint32_t first = 1;
	struct dtb_interrupt interrupt;
	if (dtb_property(dtb, node, list).data) {
		interrupt.controller = dtb_find_phandle(dtb, dtb_u32(dtb, node, list, 0, 0));
	} else {
		list = "interrupts";
		first = 0;
		interrupt.controller = interrupt_parent(dtb, node);
	}
	bool known = interrupt.controller != DTB_NONE;
	interrupt.number = known ? dtb_u32(dtb, node, list, first, 0) : 0;
	bool has_trigger =
	        known && dtb_u32(dtb, interrupt.controller, "#interrupt-cells", 0, 1) > 1;
	interrupt.trigger = has_trigger ? dtb_u32(dtb, node, list, first + 1, 0) : 0;
	return interrupt;
}
