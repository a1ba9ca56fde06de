/* SPDX-License-Identifier: MIT */
/*
 * A value and an array of each kind that has a letter, as in Python; a child doubles the values and
 * turns the arrays round.
 */
#include <mp.h>
#include <stdio.h>
#include <wchar.h>

#define KINDS(X)                   \
	X('c', char)               \
	X('u', wchar_t)            \
	X('b', signed char)        \
	X('B', unsigned char)      \
	X('h', short)              \
	X('H', unsigned short)     \
	X('i', int)                \
	X('I', unsigned int)       \
	X('l', long)               \
	X('L', unsigned long)      \
	X('q', long long)          \
	X('Q', unsigned long long) \
	X('f', float)              \
	X('d', double)

#define KIND(letter, type) {letter, #type, &(type){21}, (type[]){1, 2, 3}},
static const struct kind {
	int letter;
	const char *type;
	const void *value;
	const void *items;
} kinds[] = {KINDS(KIND)};
#define COUNT (sizeof(kinds) / sizeof(kinds[0]))

/* argv: a list of values, a list of arrays, a text. */
static int change_all(int argc, const mp_obj *argv)
{
	for (size_t i = 0; argc == 3 && i < COUNT; i++) {
		mp_value *value = mp_obj_value(mp_obj_at(&argv[0], i));
		mp_array *array = mp_obj_array(mp_obj_at(&argv[1], i));
		char items[3 * sizeof(long long)];
		size_t size = 3 * mp_array_item_size(array);

		if (mp_value_add_i64(value, 21, NULL) < 0)
			mp_value_add_f64(value, 21, NULL);
		mp_array_get_slice(array, MP_SLICE_STEP(MP_SLICE_OPEN, MP_SLICE_OPEN, -1), items,
			size, MP_FOREVER, NULL);
		mp_array_set_slice(array, MP_SLICE_ALL, items, size, MP_FOREVER);
	}
	return mp_array_set_str(mp_obj_array(&argv[2]), "longer", MP_FOREVER) < 0;
}

#define NUMBER(letter, type) \
	case letter:         \
		return (double)((const type *)data)[index];
static double number(int kind, const void *data, int index)
{
	switch (kind) {
		KINDS(NUMBER)
	}
	return -1;
}

int main(int argc, char **argv)
{
	mp_value *values[COUNT];
	mp_array *arrays[COUNT], *text;
	mp_obj v[COUNT], a[COUNT];
	mp_process *child;
	char word[8];

	mp_begin(&argc, &argv);
	for (size_t i = 0; i < COUNT; i++) {
		if (mp_value_new(kinds[i].letter, kinds[i].value, NULL, &values[i]) < 0 ||
			mp_array_new(kinds[i].letter, 3, kinds[i].items, NULL, &arrays[i]) < 0)
			return fprintf(stderr, "%s\n", mp_error_detail()), 1;
		v[i] = mp_handle(values[i]);
		a[i] = mp_handle(arrays[i]);
	}
	if (mp_array_new('c', sizeof(word) - 1, "short\0", NULL, &text) < 0 ||
		mp_process_new(change_all,
			MP_ARGS(mp_list_of(v, COUNT), mp_list_of(a, COUNT), mp_handle(text)), NULL,
			&child) < 0 ||
		mp_process_start(child) < 0 || mp_process_join(child, MP_FOREVER) < 0)
		return fprintf(stderr, "%s\n", mp_error_detail()), 1;
	mp_process_close(child);
	for (size_t i = 0; i < COUNT; i++) {
		const void *items = mp_array_data(arrays[i]);
		printf("%c %-18s %g,", kinds[i].letter, kinds[i].type,
			number(kinds[i].letter, mp_value_data(values[i]), 0));
		for (int j = 0; j < 3; j++)
			printf(" %g", number(kinds[i].letter, items, j));
		putchar('\n');
		mp_value_close(values[i]);
		mp_array_close(arrays[i]);
	}
	mp_array_get_str(text, word, sizeof(word), MP_FOREVER);
	printf("text: %s\n", word);
	mp_array_close(text);
	return 0;
}
