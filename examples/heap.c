/* SPDX-License-Identifier: MIT */
/* A list in shared memory: a child adds to it, the parent reads it. */
#include <mp.h>
#include <stdio.h>
#include <string.h>

struct node {
	uint64_t next; /* an offset: in each process the heap may lie elsewhere */
	char text[24];
};

static int add_words(int argc, const mp_obj *argv)
{
	mp_heap *heap = mp_obj_heap(&argv[0]);

	for (int i = argc - 1; i > 0; i--) {
		struct node *node;
		if (mp_heap_alloc(heap, sizeof(*node), &node) < 0)
			return 1;
		snprintf(node->text, sizeof(node->text), "%s", mp_obj_str(&argv[i]));
		node->next = mp_heap_offset(heap, mp_heap_root(heap));
		mp_heap_set_root(heap, node);
	}
	return 0;
}

int main(int argc, char **argv)
{
	mp_heap *heap;
	mp_process *child;
	mp_heap_stats stats;

	mp_begin(&argc, &argv);
	if (mp_heap_new(4096, MP_HEAP_OPTIONS(.max_size = 1 << 20), &heap) < 0 ||
		mp_process_new(add_words,
			MP_ARGS(mp_handle(heap), mp_str("shared"), mp_str("by"), mp_str("offset")),
			NULL, &child) < 0 ||
		mp_process_start(child) < 0 || mp_process_join(child, MP_FOREVER) < 0) {
		fprintf(stderr, "%s\n", mp_error_detail());
		return 1;
	}
	mp_process_close(child);

	struct node *node = mp_heap_root(heap);
	while (node) {
		struct node *next = mp_heap_pointer(heap, node->next, sizeof(*next));
		printf("%s\n", node->text);
		mp_heap_free(heap, node);
		node = next;
	}
	mp_heap_stat(heap, &stats);
	printf("%d blocks are left\n", (int)stats.n_used);
	return mp_heap_close(heap);
}
