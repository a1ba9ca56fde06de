/* SPDX-License-Identifier: MIT */
/*
 * sync/cell.h - the types of items that arrays have, each named by a letter, as in Python.
 *
 * What a letter means is what the C type means on this machine: how many bytes, and of which kind.
 */
#ifndef MP_SYNC_CELL_H
#define MP_SYNC_CELL_H

#include <stddef.h>

/* How an item is accessed at once. */
enum mp__cell {
	MP__CELL_STRUCT, /* it is not */
	MP__CELL_I8,
	MP__CELL_U8,
	MP__CELL_I16,
	MP__CELL_U16,
	MP__CELL_I32,
	MP__CELL_U32,
	MP__CELL_I64,
	MP__CELL_U64,
	MP__CELL_F32,
	MP__CELL_F64,
};

struct mp__cell_type {
	int letter;
	size_t size;
	enum mp__cell cell;
};

/* Of letter and size 0, a struct, when there is none of that letter. */
const struct mp__cell_type *mp__cell_type(int letter);

#endif
