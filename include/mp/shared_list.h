/* SPDX-License-Identifier: MIT */
/*
 * mp/shared_list.h - a list of fixed length in shared memory.
 *
 *	mp_shared_list *list;
 *	mp_shared_list_new(MP_LIST(mp_i64(1), mp_f64(2.5), mp_str("ten bytes.")), NULL, &list);
 *	mp_shared_list_set(list, 0, mp_str("one"));
 *
 * Items are nil, bool, int64, double, str and bytes. Any of them may stand in any place; a place has
 * room for a string or bytes as long as its first one, rounded up to 8 bytes and at least 8. Reading
 * and writing of one item by several processes is whole: a reader gets what one writer wrote.
 */
#ifndef MP_SHARED_LIST_H
#define MP_SHARED_LIST_H

#include <mp/block.h>

MP__BEGIN_DECLS

/*
 * A list of these items; options as for a block, without max_size and plain. -EINVAL items is no
 * list, or an item can't stand in one; -ERANGE a u64 beyond int64; -EILSEQ a string that is not
 * UTF-8; -ENOSPC, -E2BIG, -EMFILE, -ENOMEM.
 */
int mp_shared_list_new(mp_obj items, const mp_block_options *options, mp_shared_list **ret_list);
/* By name: as mp_block_create(), _open(); mp_block_unlink() takes the name away. */
int mp_shared_list_create(
	const char *name, mp_obj items, const mp_block_options *options, mp_shared_list **ret_list);
int mp_shared_list_open(
	const char *name, const mp_block_options *options, mp_shared_list **ret_list);

/* How many items; 0 for NULL. */
size_t mp_shared_list_len(const mp_shared_list *list);
/* The name, or NULL. */
const char *mp_shared_list_name(const mp_shared_list *list);

/*
 * A copy of an item, to be freed; negative indexes count from the end. -ERANGE no such item;
 * -EBADMSG it is damaged; -EINVAL, -ENOMEM.
 */
int mp_shared_list_get(mp_shared_list *list, int64_t index, mp_obj *ret_item);
/*
 * Write one. -EMSGSIZE it has more bytes than its place; -EPERM opened for looking only; -EINVAL it
 * can't stand in a shared list; -ERANGE also for a u64 beyond int64; -EILSEQ; -ETIMEDOUT a stopped
 * process stands in the middle of writing to this list, for ten seconds and more; -EDEADLK from a
 * signal handler that interrupted a write; -EBADMSG.
 */
int mp_shared_list_set(mp_shared_list *list, int64_t index, mp_obj item);
/* How many bytes of a string fit. -ERANGE, -EINVAL. */
int64_t mp_shared_list_room(const mp_shared_list *list, int64_t index);

/* How many items are equal to this one (mp_obj_equal()); which is the first: -ENOENT none. */
int64_t mp_shared_list_count(mp_shared_list *list, mp_obj item);
int64_t mp_shared_list_index(mp_shared_list *list, mp_obj item);

mp_shared_list *mp_shared_list_ref(mp_shared_list *list);
void mp_shared_list_close(mp_shared_list *list);

MP__END_DECLS

#endif
