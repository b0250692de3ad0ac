/* /etc/resolv.conf. */
#include "syscalls/net/resolver.h"

#include <string.h>

#include "core/console.h"
#include "syscalls/files/root.h"

/* The file as we made it; an image's own is left alone. */
static struct path_node *written;

static struct path_node *resolver_node(void)
{
	if (written)
		return written;
	static const char name[] = "resolv.conf";
	struct path_node *etc;
	if (root_make_directory(root_node(), "etc", 0755, &etc) ||
	    directory_find(etc, name, sizeof(name) - 1))
		return NULL;
	struct path_node *node = node_create(S_IFREG | 0644);
	if (!node)
		return NULL;
	if (directory_add(etc, name, sizeof(name) - 1, node)) {
		path_node_put(node);
		return NULL;
	}
	written = node; /* keeps the reference: a later lease writes it anew */
	return node;
}

void resolver_write(const struct ipv4_address *servers, int count, const char *domain)
{
	struct path_node *node = resolver_node();
	if (!node || file_data_truncate(&node->data, 0))
		return;
	char text[256];
	int length = 0;
	if (domain[0])
		length += format_string(text, sizeof(text), "search %s\n", domain);
	for (int i = 0; i < count; i++) {
		uint32_t a = servers[i].value;
		if (a)
			length += format_string(text + length, sizeof(text) - (size_t)length,
			                        "nameserver %u.%u.%u.%u\n", a >> 24, a >> 16 & 255,
			                        a >> 8 & 255, a & 255);
	}
	struct uio uio;
	uio_init_kernel(&uio, text, (uint64_t)length);
	if (file_data_write(&node->data, &uio, 0) != length)
		log_warning("resolv.conf: not written");
	node_touch(node);
}
