/* SPDX-License-Identifier: MIT */
/*
 * What fails inside managerd costs a call or a connection, never the daemon, and nobody else.
 *
 * What only delays (EINTR, EAGAIN, half of a read) no client sees. Without memory a call is answered
 * with ENOMEM and has changed nothing. Otherwise its connection ends, and the call has been carried out
 * or not, but not by half. The next connection finds all as it was, and the daemon has as many
 * descriptors and as much memory as before. All the while others are connected, one with a lock and one
 * who waits; they notice nothing.
 */
#include <config.h>

#include "tests/support/faulty.h"

TestSuite(faults_daemon, .init = t_begin, .fini = t_end, .timeout = 4 * T_TIMEOUT_S);

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- one call on one object ------------------------------------------------------------------------- */

struct act {
	const char *method; /* NULL: `typed` */
	mp_obj args;
	int timeout_ms;
	bool takes; /* what is not given stays */
	int (*typed)(mp_manager *manager, mp_proxy *its);
};

/* What it is done to: made anew each time, and filled. */
struct subject {
	const char *class;
	mp_obj args;
	const char *state; /* the method that tells all; NULL: of a dict, or nothing */
	const struct act *fill;
	size_t n_fill;
	bool is_new; /* the client makes it */
};

static const struct subject *subject;
static const struct act *act;
static mp_proxy *object; /* the others' */
static mp_obj before;
static mp_obj plain_after;

static int run(mp_manager *manager, mp_proxy *of, const struct act *a)
{
	mp_obj result;

	if (a->typed)
		return a->typed(manager, of);
	int r = mp_proxy_call(of, a->method, a->args, a->timeout_ms, &result);
	if (r >= 0)
		mp_obj_free(&result);
	return r;
}

/* By a client that comes for it and goes. */
static int by_a_client(void)
{
	mp_manager *manager;
	mp_proxy *its;
	int r = t_faulty_connect(&manager);

	if (r < 0)
		return r;
	r = mp_manager_open(manager, subject->class, "object", subject->args, &its);
	if (r == 0) {
		r = run(manager, its, act);
		T_OK(mp_proxy_close(its));
	}
	T_OK(mp_manager_close(manager));
	return r;
}

static mp_obj state_now(void)
{
	mp_obj state = mp_nil();

	if (subject->state) {
		T_OK(mp_proxy_call(object, subject->state, mp_nil(), MP_NOWAIT, &state));
		return state;
	}
	mp_dict *dict = mp_proxy_dict(object);
	if (dict) {
		T_OK(mp_dict_items(dict, &state));
		T_OK(mp_dict_close(dict));
	}
	return state;
}

static void make_object(void)
{
	if (subject->is_new)
		return;
	T_OK(mp_manager_open(t_other, subject->class, "object", subject->args, &object));
	for (size_t i = 0; i < subject->n_fill; i++)
		T_OK(run(t_other, object, &subject->fill[i]));
	before = state_now();
}

/* Done, or nothing was changed. Only who lost his connection does not know. */
static void judge_state(const struct t_fault *fault, int result, int plain)
{
	char text[400];
	mp_obj after = state_now();
	bool undone = mp_obj_equal(&after, &before);

	if (fault->error == 0) {
		mp_obj_free(&plain_after);
		plain_after = after;
		return;
	}
	bool done = mp_obj_equal(&after, &plain_after);
	bool must_be_undone = result == -ENOMEM ||
			      (result == -EPIPE && act->takes && t_fault_cost(fault) == T_MEMORY);
	if (!(result == plain ? done : must_be_undone ? undone : done || undone)) {
		mp_obj_format(&after, text, sizeof(text));
		cr_assert_fail(
			"%s: %s, and it is now %s", t_fault_text(fault), mp_strerror(result), text);
	}
	mp_obj_free(&after);
}

static void end_object(const struct t_fault *fault, int result, int plain)
{
	if (object)
		judge_state(fault, result, plain);
	int r = mp_manager_unlink(t_other, "object");
	cr_assert(
		r == 0 || (r == -ENOENT && subject->is_new && result < 0), "%s", mp_error_detail());
	T_OK(mp_proxy_close(object));
	object = NULL;
	mp_obj_free(&before);
}

static void try_acts(
	const struct subject *of, const struct act *acts, size_t n, const char *const *calls)
{
	const struct t_faulty_use use = {make_object, by_a_client, end_object, calls};
	int tried = 0;

	t_faulty_start(NULL, NULL);
	subject = of;
	for (act = acts; act < acts + n; act++)
		tried += t_faulty_each(&use);
	cr_assert(tried > 0, "nothing was there to fail");
	mp_obj_free(&plain_after);
	t_faulty_stop();
}

#define TRY(of, calls, ...)                               \
	do {                                              \
		const struct act acts_[] = {__VA_ARGS__}; \
		try_acts(of, acts_, COUNT(acts_), calls); \
	} while (0)

/* --- dicts, and what each connection does ----------------------------------------------------------- */

/* More than is read at a time, or kept as a buffer. */
#define LARGE mp_bytes(large, sizeof(large))
static char large[300000];

static mp_obj got;

static int and_free(int result)
{
	if (result >= 0)
		mp_obj_free(&got);
	return result;
}

#define DICT(name, call)                                    \
	static int name(mp_manager *manager, mp_proxy *its) \
	{                                                   \
		mp_dict *dict = mp_proxy_dict(its);         \
		(void)manager;                              \
		int r = call;                               \
		T_OK(mp_dict_close(dict));                  \
		return r;                                   \
	}

static int watch_in_vain(mp_dict *dict)
{
	int64_t version;
	int r = mp_dict_version(dict, &version);

	return r < 0 ? r : mp_dict_watch(dict, version, 3, NULL);
}

static int set_if_there(mp_dict *dict)
{
	const mp_dict_step steps[] = {{MP_DICT_PRESENT, mp_str("a"), mp_nil()},
		{MP_DICT_SET, mp_str("new"), mp_str("text")}, {MP_DICT_ADD, mp_str("a"), mp_i64(1)},
		{MP_DICT_EXPIRE, mp_str("b"), mp_i64(1000000)},
		{MP_DICT_DELETE, mp_str("c"), mp_nil()}};

	return mp_dict_transact(dict, MP_DICT_ANY_VERSION, steps, COUNT(steps));
}

static int set_in_all(mp_dict *dict)
{
	const mp_transact_step steps[] = {
		{mp_dict_handle(dict), MP_DICT_SET, mp_str("new"), mp_str("text")},
		{mp_dict_handle(dict), MP_DICT_DELETE, mp_str("c"), mp_nil()}};

	return mp_transact(steps, COUNT(steps));
}

static size_t length;

DICT(dict_set, mp_dict_set(dict, mp_str("new"), mp_str("text")))
DICT(dict_replace, mp_dict_set(dict, mp_str("a"), LARGE))
DICT(dict_get, and_free(mp_dict_get(dict, mp_str("large"), &got)))
DICT(dict_pop, and_free(mp_dict_pop(dict, mp_str("large"), &got)))
DICT(dict_drop, mp_dict_pop(dict, mp_str("large"), NULL))
DICT(dict_contains, mp_dict_contains(dict, mp_str("a")))
DICT(dict_setdefault, and_free(mp_dict_setdefault(dict, mp_str("n"), mp_str("text"), &got)))
DICT(dict_update, mp_dict_update(dict, MP_DICT(mp_str("a"), LARGE, mp_str("m"), mp_i64(2),
					       mp_str("n"), mp_i64(3))))
DICT(dict_clear, mp_dict_clear(dict))
DICT(dict_len, mp_dict_len(dict, &length))
DICT(dict_keys, and_free(mp_dict_keys(dict, &got)))
DICT(dict_values, and_free(mp_dict_values(dict, &got)))
DICT(dict_items, and_free(mp_dict_items(dict, &got)))
DICT(dict_add, and_free(mp_dict_add(dict, mp_str("a"), mp_i64(1), &got)))
DICT(dict_swap, mp_dict_compare_and_swap(dict, mp_str("a"), mp_i64(1), LARGE))
DICT(dict_get_many, and_free(mp_dict_get_many(dict, MP_LIST(mp_str("a"), mp_str("large")), &got)))
DICT(dict_popitem, and_free(mp_dict_popitem(dict, &got)))
DICT(dict_set_for, mp_dict_set_for(dict, mp_str("new"), LARGE, 1000000))
DICT(dict_expire, mp_dict_expire(dict, mp_str("a"), 1000000))
DICT(dict_persist, mp_dict_persist(dict, mp_str("short")))
DICT(dict_watch, watch_in_vain(dict))
DICT(dict_transact, set_if_there(dict))
DICT(dict_transact_all, set_in_all(dict))
DICT(dict_fill, mp_dict_update(dict, MP_DICT(mp_str("a"), mp_i64(1), mp_str("b"), mp_i64(2),
					     mp_str("c"), mp_i64(3), mp_str("large"), LARGE)))
DICT(dict_fill_short, mp_dict_set_for(dict, mp_str("short"), mp_i64(1), 1000000))

/* clang-format off */
#define TYPED(function) {.typed = (function)}
#define TAKES(function) {.typed = (function), .takes = true}
/* clang-format on */

static const struct act dict_filled[] = {TYPED(dict_fill), TYPED(dict_fill_short)};

static struct subject a_dict(void)
{
	return (struct subject){"dict", mp_nil(), NULL, dict_filled, COUNT(dict_filled)};
}

Test(faults_daemon, whatever_fails_below_a_connection)
{
	const struct subject dict = a_dict();

	TRY(&dict, NULL, TYPED(dict_replace), TYPED(dict_get), TYPED(dict_update),
		TYPED(dict_watch));
}

Test(faults_daemon, no_memory_for_a_dict)
{
	const struct subject dict = a_dict();

	TRY(&dict, t_memory, TYPED(dict_set), TAKES(dict_pop), TYPED(dict_drop),
		TYPED(dict_contains), TYPED(dict_setdefault), TYPED(dict_clear), TYPED(dict_len),
		TYPED(dict_keys), TYPED(dict_values), TYPED(dict_items), TYPED(dict_add),
		TYPED(dict_swap), TYPED(dict_get_many), TAKES(dict_popitem), TYPED(dict_set_for),
		TYPED(dict_expire), TYPED(dict_persist), TYPED(dict_transact),
		TYPED(dict_transact_all));
}

/* --- what else is served ---------------------------------------------------------------------------- */

Test(faults_daemon, no_memory_for_a_list)
{
	const mp_obj numbers = MP_LIST(mp_i64(5), mp_i64(1), mp_i64(4), mp_i64(2), mp_i64(3),
		mp_str("x"), mp_str("y"), LARGE);
	const struct act fill[] = {{"extend", MP_LIST(numbers)}, {"extend", MP_LIST(numbers)}};
	const struct subject list = {"list", mp_nil(), "items", fill, COUNT(fill)};

	TRY(&list, t_memory, {"append", MP_LIST(LARGE)}, {"extend", MP_LIST(numbers)},
		{"insert", MP_LIST(mp_i64(3), mp_str("text"))},
		{"add", MP_LIST(mp_i64(0), mp_i64(1))},
		{"compare_and_swap", MP_LIST(mp_i64(0), mp_i64(5), mp_str("text"))},
		{"contains", MP_LIST(MP_LIST(mp_i64(1)))}, {"count", MP_LIST(LARGE)},
		{"index", MP_LIST(LARGE)}, {"delete", MP_LIST(mp_i64(0))},
		{"delete_slice", MP_LIST(mp_i64(0), mp_i64(15), mp_i64(1))},
		{"get", MP_LIST(mp_i64(7))}, {"pop", MP_LIST(mp_i64(7)), .takes = true},
		{"remove", MP_LIST(mp_str("y"))}, {"set", MP_LIST(mp_i64(0), numbers)}, {"clear"},
		{"multiply", MP_LIST(mp_i64(3))}, {"reverse"}, {"len"}, {"items"},
		{"set_slice", MP_LIST(mp_i64(0), mp_i64(2), mp_i64(1), numbers)},
		{"set_slice", MP_LIST(mp_i64(0), mp_i64(16), mp_i64(2), numbers)},
		{"slice", MP_LIST(mp_i64(0), mp_i64(16), mp_i64(2))},
		{"object_expire", MP_LIST(mp_i64(1000000))}, {"object_ttl"});
}

Test(faults_daemon, no_memory_to_sort)
{
	const struct act fill[] = {
		{"extend", MP_LIST(MP_LIST(mp_str("c"), mp_str("a"), mp_str("b")))},
		{"multiply", MP_LIST(mp_i64(100))}};
	const struct subject list = {"list", mp_nil(), "items", fill, COUNT(fill)};

	TRY(&list, t_memory, {"sort", mp_nil()}, {"sort", MP_LIST(mp_bool(true))});
}

Test(faults_daemon, no_memory_for_a_namespace)
{
	const struct act fill[] = {{"set", MP_LIST(mp_str("a"), mp_i64(1))}};
	const struct subject namespace = {"namespace", mp_nil(), "items", fill, COUNT(fill)};

	TRY(&namespace, t_memory, {"set", MP_LIST(mp_str("b"), LARGE)},
		{"get", MP_LIST(mp_str("a"))}, {"has", MP_LIST(mp_str("b"))},
		{"delete", MP_LIST(mp_str("a"))}, {"items"});
}

Test(faults_daemon, no_memory_for_a_queue)
{
	const struct act fill[] = {{"put", MP_LIST(LARGE)}};
	const struct subject fifo = {"queue", mp_nil(), "len", fill, COUNT(fill)};
	const struct subject joinable = {"queue",
		MP_LIST(mp_str("priority"), mp_i64(1), mp_bool(true)), "len", fill, COUNT(fill)};
	const struct subject empty = {"queue", mp_nil(), "len"};

	TRY(&fifo, t_memory, {"put", MP_LIST(LARGE)}, {"get", .takes = true}, {"clear"},
		{"shutdown"}, {"full"});
	TRY(&joinable, t_memory, {"put", MP_LIST(mp_i64(1), mp_i64(2)), 3}, {"get", .takes = true},
		{"join", mp_nil(), 3});
	TRY(&empty, t_memory, {"put", MP_LIST(mp_i64(1))}, {"get", mp_nil(), 3});
}

Test(faults_daemon, no_memory_for_values)
{
	const mp_obj numbers = MP_LIST(mp_i64(1), mp_i64(2), mp_i64(3));
	const struct subject value = {"value", MP_LIST(LARGE), "get"};
	const struct subject counter = {"counter", MP_LIST(mp_i64(1)), "get"};
	const struct subject array = {"array", MP_LIST(mp_str("i"), numbers), "items"};

	TRY(&value, t_memory, {"set", MP_LIST(mp_str("text"))}, {"get"},
		{"exchange", MP_LIST(LARGE), .takes = true});
	TRY(&counter, t_memory, {"set", MP_LIST(mp_i64(2))}, {"add", MP_LIST(mp_i64(2))},
		{"compare_and_swap", MP_LIST(mp_i64(1), mp_i64(2))});
	TRY(&array, t_memory, {"set", MP_LIST(mp_i64(1), mp_i64(7))},
		{"add", MP_LIST(mp_i64(1), mp_i64(7))},
		{"set_slice", MP_LIST(mp_i64(0), mp_i64(3), mp_i64(1), numbers)}, {"slice"},
		{"items"});
}

#define HOLDING(name, acquire, call)                        \
	static int name(mp_manager *manager, mp_proxy *its) \
	{                                                   \
		(void)manager;                              \
		int r = acquire;                            \
		return r < 0 ? r : call;                    \
	}
HOLDING(condition_wait, mp_served_condition_acquire(its, 3), mp_served_condition_wait(its, 3))
HOLDING(condition_notify, mp_served_condition_acquire(its, 3), mp_served_condition_notify_all(its))
HOLDING(lock_release, mp_served_lock_acquire(its, 3, NULL), mp_served_lock_release(its))

Test(faults_daemon, no_memory_for_locks)
{
	const struct subject lock = {"lock", mp_nil(), "locked"};
	const struct subject rlock = {"rlock", mp_nil(), "locked"};
	const struct subject semaphore = {"semaphore", MP_LIST(mp_i64(2)), "value"};
	const struct subject bounded = {"bounded_semaphore", MP_LIST(mp_i64(1)), "value"};
	const struct subject event = {"event", mp_nil(), "is_set"};
	const struct subject barrier = {"barrier", MP_LIST(mp_i64(2)), "parties"};
	const struct subject condition = {"condition", mp_nil(), "locked"};

	TRY(&lock, t_memory, {"acquire"}, {"locked"}, TYPED(lock_release));
	TRY(&rlock, t_memory, {"acquire"}, {"locked"});
	TRY(&semaphore, t_memory, {"acquire"}, {"release"});
	TRY(&bounded, t_memory, {"acquire"}, {"value"});
	TRY(&event, t_memory, {"set"}, {"wait", mp_nil(), 3});
	TRY(&barrier, t_memory, {"wait", mp_nil(), 3}, {"abort"}, {"reset"});
	TRY(&condition, t_memory, TYPED(condition_wait), TYPED(condition_notify));
}

Test(faults_daemon, no_memory_to_make_something)
{
	const mp_obj numbers = MP_LIST(mp_i64(1), mp_i64(2));
	const struct subject new[] = {
		{"dict", mp_nil(), .is_new = true},
		{"list", MP_LIST(numbers), .is_new = true},
		{"namespace", mp_nil(), .is_new = true},
		{"queue", MP_LIST(mp_str("lifo")), .is_new = true},
		{"value", MP_LIST(LARGE), .is_new = true},
		{"counter", MP_LIST(mp_i64(1)), .is_new = true},
		{"array", MP_LIST(mp_str("d"), numbers), .is_new = true},
		{"lock", mp_nil(), .is_new = true},
		{"rlock", mp_nil(), .is_new = true},
		{"semaphore", MP_LIST(mp_i64(2)), .is_new = true},
		{"bounded_semaphore", MP_LIST(mp_i64(2)), .is_new = true},
		{"event", mp_nil(), .is_new = true},
		{"barrier", MP_LIST(mp_i64(2)), .is_new = true},
		{"condition", mp_nil(), .is_new = true},
	};

	for (size_t i = 0; i < COUNT(new); i++)
		TRY(&new[i], t_memory, {"version"});
}

#define MANAGER(name, call)                                 \
	static int name(mp_manager *manager, mp_proxy *its) \
	{                                                   \
		uint64_t after = 0;                         \
		(void)its;                                  \
		(void)after;                                \
		return and_free(call);                      \
	}
MANAGER(objects, mp_manager_objects(manager, NULL, &after, &got))
MANAGER(clients, mp_manager_clients(manager, &got))
MANAGER(holds, mp_manager_holds(manager, &got))
MANAGER(stats, mp_manager_stats(manager, &got))

Test(faults_daemon, no_memory_to_tell_how_it_is)
{
	const struct subject lock = {"lock", mp_nil(), "locked"};

	TRY(&lock, t_memory, TYPED(objects), TYPED(clients), TYPED(holds), TYPED(stats));
}
