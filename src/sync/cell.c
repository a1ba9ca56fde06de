/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "sync/cell.h"

#include <wchar.h>

#define INTEGER(type, size)                                         \
	((type)-1 < (type)1 ? ((size) == 1          ? MP__CELL_I8   \
				      : (size) == 2 ? MP__CELL_I16  \
				      : (size) == 4 ? MP__CELL_I32  \
						    : MP__CELL_I64) \
			    : ((size) == 1          ? MP__CELL_U8   \
				      : (size) == 2 ? MP__CELL_U16  \
				      : (size) == 4 ? MP__CELL_U32  \
						    : MP__CELL_U64))
#define INTEGER_TYPE(letter, type)                                \
	{                                                         \
		letter, sizeof(type), INTEGER(type, sizeof(type)) \
	}

static const struct mp__cell_type types[] = {
	INTEGER_TYPE('c', char),
	INTEGER_TYPE('u', wchar_t),
	INTEGER_TYPE('b', signed char),
	INTEGER_TYPE('B', unsigned char),
	INTEGER_TYPE('h', short),
	INTEGER_TYPE('H', unsigned short),
	INTEGER_TYPE('i', int),
	INTEGER_TYPE('I', unsigned int),
	INTEGER_TYPE('l', long),
	INTEGER_TYPE('L', unsigned long),
	INTEGER_TYPE('q', long long),
	INTEGER_TYPE('Q', unsigned long long),
	{'f', sizeof(float), MP__CELL_F32},
	{'d', sizeof(double), MP__CELL_F64},
	{0, 0, MP__CELL_STRUCT},
};

const struct mp__cell_type *mp__cell_type(int letter)
{
	const struct mp__cell_type *t = types;

	while (t->letter != 0 && t->letter != letter)
		t++;
	return t;
}
