/* SPDX-License-Identifier: MIT */
/*
 * mp/list.h - lists and namespaces that many programs share, served by managerd(8).
 *
 *	mp_manager_list(m, "pages", &pages);
 *	mp_list_append(pages, mp_str("index.html"));
 *	mp_list_get(pages, -1, &last);
 *
 * They mean what Python's do. Each call is one request, applied atomically: others see all of it or
 * nothing. Each object is an mp_proxy (mp/proxy.h): mp_proxy_close() ends it, mp_handle() sends it, and
 * it may itself be stored in a list, namespace or dict of the same daemon. A function for another type
 * than the proxy's is -EINVAL. The errors of mp/proxy.h are common to all; a value or an answer of more
 * than 64 MiB is -EMSGSIZE, and what goes wrong changes nothing.
 *
 * Values that come out are copies, to be freed with mp_obj_free().
 */
#ifndef MP_LIST_H
#define MP_LIST_H

#include <mp/proxy.h>

MP__BEGIN_DECLS

/* --- list: mp_list(3) --------------------------------------------------------------------------- */

/* Open the list of that name, made empty if there is none; NULL: a new one that nobody can name. */
int mp_manager_list(mp_manager *manager, const char *name, mp_proxy **ret_list);

/*
 * Items are counted from 0, negative ones from the end: -1 is the last. -ERANGE there is no such item
 * (insert: it goes to the nearer end instead).
 */
int mp_list_get(mp_proxy *list, int64_t index, mp_obj *ret_value);
int mp_list_set(mp_proxy *list, int64_t index, mp_obj value);
int mp_list_append(mp_proxy *list, mp_obj value);
int mp_list_insert(mp_proxy *list, int64_t index, mp_obj value);
/* Take an item out. ret_value may be NULL. */
int mp_list_pop(mp_proxy *list, int64_t index, mp_obj *ret_value);
int mp_list_delete(mp_proxy *list, int64_t index);

/* Add to the number there; the sum, if ret_sum is not NULL. -EINVAL no number; -EOVERFLOW */
int mp_list_add(mp_proxy *list, int64_t index, mp_obj number, mp_obj *ret_sum);
/* Replace the item if it equals `expected`: 1 it did, 0 not. */
int mp_list_compare_and_swap(mp_proxy *list, int64_t index, mp_obj expected, mp_obj value);

/* Equal is what mp_obj_equal() says. -ENOENT no item is. */
int mp_list_remove(mp_proxy *list, mp_obj value);
int mp_list_index(mp_proxy *list, mp_obj value, size_t *ret_index);
/* The same among the items from start to before stop; either may be MP_LIST_END. */
int mp_list_index_in(mp_proxy *list, mp_obj value, int64_t start, int64_t stop, size_t *ret_index);
int mp_list_count(mp_proxy *list, mp_obj value, size_t *ret_count);
int mp_list_contains(mp_proxy *list, mp_obj value); /* 1 or 0 */

int mp_list_len(mp_proxy *list, size_t *ret_len);
int mp_list_items(mp_proxy *list, mp_obj *ret_values); /* a copy of the whole at one instant */
int mp_list_clear(mp_proxy *list);
int mp_list_reverse(mp_proxy *list);
/* As mp_obj_compare() says; equal ones keep their order. -ENOTSUP there are proxies among them. */
int mp_list_sort(mp_proxy *list, bool descending);
/* Behind what is there: all items of an mp_obj list; n - 1 copies of itself (0 and less: clear). */
int mp_list_extend(mp_proxy *list, mp_obj values);
int mp_list_multiply(mp_proxy *list, int64_t n);

/*
 * Slices: the items from start to before stop, each `step` behind the one before, where start and
 * stop may lie outside, be negative (from the end), or MP_LIST_END: the end that lies in that
 * direction. -EINVAL step 0. A slice of step 1 may be replaced by more or fewer values, any other one
 * by as many (-EINVAL).
 */
#define MP_LIST_END INT64_MIN
int mp_list_slice(mp_proxy *list, int64_t start, int64_t stop, int64_t step, mp_obj *ret_values);
int mp_list_set_slice(mp_proxy *list, int64_t start, int64_t stop, int64_t step, mp_obj values);
int mp_list_delete_slice(mp_proxy *list, int64_t start, int64_t stop, int64_t step);

/* --- namespace: mp_namespace(3) ----------------------------------------------------------------- */

/* Open the namespace of that name, made empty if there is none; NULL: a new one. */
int mp_manager_namespace(mp_manager *manager, const char *name, mp_proxy **ret_namespace);

/* Attributes by name, a string in UTF-8 (-EILSEQ). -ENOENT it has none of that name. */
int mp_namespace_get(mp_proxy *space, const char *attribute, mp_obj *ret_value);
int mp_namespace_set(mp_proxy *space, const char *attribute, mp_obj value);
int mp_namespace_delete(mp_proxy *space, const char *attribute);
int mp_namespace_has(mp_proxy *space, const char *attribute); /* 1 or 0 */
int mp_namespace_items(mp_proxy *space, mp_obj *ret_dict);    /* all of them, at one instant */

MP__END_DECLS

#endif
