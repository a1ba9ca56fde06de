/* SPDX-License-Identifier: MIT */
/*
 * managerd/places.h - what transactions can see and change, and how, for each class.
 *
 * A place is a key of a dict, the name of an attribute, an index of a list or an array, or the inside of
 * a value or counter. A shape says for a class what is there, what a value becomes when it is put there,
 * and how to make all changes that a plan (managerd/plan.h) has for one object: first what can fail,
 * that is to get memory, then what cannot.
 */
#ifndef MANAGERD_PLACES_H
#define MANAGERD_PLACES_H

#include "managerd/compare.h"
#include "serve/registry.h"
#include "serve/store.h"
#include "wire/value.h"

enum md_keys {
	MD_KEYS_NONE,    /* one place: its key is nil */
	MD_KEYS_ANY,     /* a key as those of dicts */
	MD_KEYS_NAMES,   /* a string */
	MD_KEYS_INDEXES, /* a number; the changes of an object make a sequence */
};

struct md_place {
	struct mp__key key; /* of size 0: there is none */
	size_t index;
};

enum md_change_kind {
	MD_CHANGE_PUT,
	MD_CHANGE_INSERT, /* in front of what has the index */
	MD_CHANGE_REMOVE,
	MD_CHANGE_END, /* the value stays, and its time is another */
};

struct md_change {
	enum md_change_kind kind;
	struct serve_object *object;
	struct md_place place;
	struct serve_bytes value;
	uint8_t number[MD_NUMBER_MAX]; /* `value`, if it is not a part of the request */
	struct md_item *item;          /* `value`, about to be in its place */
	int64_t expires_ns;            /* of a key: as in struct serve_change */
	bool is_referred;              /* what the value refers to is kept for it */
	bool is_taken;                 /* its object is being dealt with */
};

/* All changes of one object, in order, and what is ready of them. */
struct md_part {
	struct serve_object *object;
	const struct md_shape *shape;
	struct md_change **changes;
	size_t n;
	struct serve_change *room; /* for as many */
	struct serve_batch *batch;
};

struct md_shape {
	const struct serve_class *class;
	enum md_keys keys;
	bool is_fixed;     /* what is there can be another, but not more or less */
	bool is_stored;    /* as a dict is */
	bool can_expire;   /* its keys */
	const char *takes; /* what `fit` takes, as a sentence */
	/* How many there are; of MD_KEYS_INDEXES. */
	size_t (*length)(const struct serve_object *object);
	/* What is there, lent; `room` may take a number. False: nothing. An index is less than the length. */
	bool (*look)(const struct serve_object *object, const struct md_place *place,
		uint8_t room[MD_NUMBER_MAX], struct serve_bytes *ret_value);
	/* The value as it would be there; NULL: as it is. -EINVAL, -EOVERFLOW it cannot. */
	int (*fit)(const struct serve_object *object, struct serve_bytes value,
		uint8_t room[MD_NUMBER_MAX], struct serve_bytes *ret_value);
	/* A sum; NULL: md_number_add(). -EINVAL no numbers of the kind, -ERANGE more than can be. */
	int (*sum)(const struct serve_object *object, struct serve_bytes a, struct serve_bytes b,
		uint8_t room[MD_NUMBER_MAX], struct serve_bytes *ret_sum);
	/* False: no memory; what was got until then is for give_back(). NULL: nothing is needed. */
	bool (*prepare)(struct md_part *part);
	void (*give_back)(struct md_part *part);
	void (*commit)(struct md_part *part);
};

/* NULL: of such an object only the version can be in a transaction. */
const struct md_shape *md_shape_of(const struct serve_object *object);

#endif
