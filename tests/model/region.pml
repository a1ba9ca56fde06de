/* SPDX-License-Identifier: MIT */
/*
 * region.pml - the regions of a queue's ring (src/queue/ring.c, queue_layout.h): growing into a larger
 * one, going back to a smaller one, and giving memory back, with a kill between any two steps.
 *
 * Three regions of 2, 3 and 4 units; a message takes one unit, and one is kept for the JUMP. The guards
 * are those of queue.pml; who sleeps is its business too: here they try again when a word has changed.
 * Each statement is one atomic step of the functions named beside it; accesses are sequentially
 * consistent.
 *
 * Shown for every order of steps: nobody writes where the file has no memory; no memory that holds a
 * message or a JUMP on the way is punched out; messages come in order, each once, undamaged; and there
 * is always a way on.
 */
#ifndef PUTTERS
#define PUTTERS 1
#endif
#ifndef GETTERS
#define GETTERS 1
#endif
#ifndef MESSAGES
#define MESSAGES 4 /* in all */
#endif
#ifndef KILLS
#define KILLS 1
#endif
#define ALL (PUTTERS + GETTERS)
#define REGIONS 3
#define UNITS 9
#define JUMP 100 /* and where it leads */

#define region(at) ((at) < 2 -> 0 : ((at) < 5 -> 1 : 2))
#define start(r) ((r) == 0 -> 0 : ((r) == 1 -> 2 : 5))
#define stop(r) ((r) == 0 -> 2 : ((r) == 1 -> 5 : 9))

/* struct mp__queue_control */
byte put_guard = 0;
byte get_guard = 0;
byte tail_count = 0; /* with tail_at one word, as those of head */
byte tail_at = 0;
byte head_count = 0;
byte head_at = 0;
byte freeing = 0;
bool allocated[REGIONS];

/* The file: what is there, and whether there is memory. */
byte unit[UNITS];
bool memory[REGIONS];

bool dead[ALL + 1];
bool doomed[ALL + 1];
byte kills = KILLS;

#define may_enter(guard) (guard == 0 || dead[guard])
#define write(at, what) atomic { assert(memory[region(at)]); unit[at] = what }

/* allocate() */
#define allocate(r) \
	if \
	:: !allocated[r] -> \
		memory[r] = 1; \
		allocated[r] = 1 \
	:: else \
	fi

/* free_region() */
#define free_region(r) \
	if \
	:: r > 0 -> \
		allocated[r] = 0; \
		d_step { \
			memory[r] = 0; \
			u = start(r); \
			do \
			:: u < stop(r) -> unit[u] = 0; u++ \
			:: else -> u = 0; break \
			od \
		} \
	:: else \
	fi; \
	freeing = 0

/* leave_region() */
#define leave_region(r, target) \
	freeing = r + 1; \
	head_at = target; \
	free_region(r)

inline die() {
	atomic { doomed[me] -> dead[me] = 1 }
}

proctype putter(byte me)
{
	byte seen_at;
	byte seen_freeing;
	byte from;
	byte to;
	byte at;

	{
	do
	:: tail_count == MESSAGES -> break
	:: else ->
again:		atomic { may_enter(put_guard) -> put_guard = me };
		if
		:: tail_count == MESSAGES -> put_guard = 0; break
		:: else
		fi;
		/* mp__ring_place_slowly(): refresh(), fit_here() */
		atomic { seen_at = head_at; at = tail_at; from = region(tail_at) };
		if
		:: at + 2 <= (seen_at > at && region(seen_at) == from -> seen_at : stop(from)) ->
			if
			:: from > 0 -> allocate(from)
			:: else
			fi;
			goto placed
		:: else
		fi;
		/* wrap(), or find_region() from the next one on: which one is a matter of sizes */
		seen_freeing = freeing;
		if
		:: region(seen_at) == from && seen_at <= at && start(from) + 2 <= seen_at ->
			to = from
		:: region(seen_at) == from && seen_at <= at && start(from) + 2 <= seen_at &&
			from > 0 && seen_freeing != 1 -> to = 0
		:: region(seen_at) == from && seen_at <= at && start(from) + 2 <= seen_at &&
			from > 1 && seen_freeing != 2 -> to = 1
		:: !(region(seen_at) == from && seen_at <= at && start(from) + 2 <= seen_at) &&
			from < 1 && region(seen_at) != 1 && seen_freeing != 2 -> to = 1
		:: !(region(seen_at) == from && seen_at <= at && start(from) + 2 <= seen_at) &&
			from < 2 && region(seen_at) != 2 && seen_freeing != 3 -> to = 2
		:: else ->
			put_guard = 0;
endofroom:		(head_at != seen_at || freeing != seen_freeing || tail_at != at);
			goto again
		fi;
		/* jump() */
		if
		:: to > 0 -> allocate(to)
		:: else
		fi;
		write(at, JUMP + start(to));
		at = start(to);

placed:		write(at, tail_count + 1);
		/* mp__ring_commit() */
		atomic { tail_count++; tail_at = at + 1 };
		put_guard = 0;
		atomic { seen_at = 0; seen_freeing = 0; from = 0; to = 0; at = 0 }
	od
	} unless { die() }
}

proctype getter(byte me)
{
	byte at;
	byte to;
	byte found;
	byte u = 0;

	{
	do
	:: head_count == MESSAGES -> break
	:: else ->
		if
		:: atomic { get_guard == 0 -> get_guard = me }
		:: atomic { get_guard != 0 && dead[get_guard] -> get_guard = me };
			/* mp__ring_recover_getter() */
			found = freeing;
			if
			:: found != 0 && region(head_at) != found - 1 -> free_region((found - 1))
			:: found != 0 && region(head_at) == found - 1 -> freeing = 0
			:: else
			fi
		fi;
		if
		:: tail_count == head_count ->
			/* mp__ring_trim(), if no putter is at work: go_home() */
			if
			:: atomic { put_guard == 0 -> put_guard = me };
				if
				:: tail_count == head_count && region(tail_at) != 0 ->
					write(tail_at, JUMP + start(0));
					tail_at = start(0)
				:: else
				fi;
				put_guard = 0;
				atomic { to = tail_at; found = tail_count };
				if
				:: found == head_count && region(to) != region(head_at) ->
					leave_region(region(head_at), to)
				:: else
				fi
			:: true
			fi;
			get_guard = 0;
endofitems:		(tail_count != head_count || head_count == MESSAGES);
			goto next
		:: else
		fi;
		/* mp__ring_next(), mp__ring_follow() */
		at = head_at;
		do
		:: unit[at] < JUMP -> break
		:: unit[at] >= JUMP ->
			to = unit[at] - JUMP;
			if
			:: region(to) != region(at) -> leave_region(region(at), to)
			:: else
			fi;
			at = to
		od;
		/* The message is copied. */
		assert(unit[at] == head_count + 1);
		/* mp__ring_consume() */
		atomic { head_count++; head_at = at + 1 };
		get_guard = 0;
next:		atomic { at = 0; to = 0; found = 0 }
	od
	} unless { die() }
}

/* Kills whom it wants, whenever it wants, or nobody. */
proctype killer()
{
	byte who;

end:	do
	:: atomic { kills > 0 -> kills--; who = 1; do
		:: who < ALL -> who++
		:: doomed[who] = 1; break
		od }
	:: kills > 0 -> break
	od
}

/* Nobody can move: those who live had nobody left on the other side, or all is done. */
proctype judge()
{
	byte i = 1;
	bool putter_lives = 0;
	bool getter_lives = 0;

end:	timeout ->
	d_step {
		do
		:: i > ALL -> break
		:: else ->
			if
			:: !dead[i] && i <= PUTTERS -> putter_lives = 1
			:: !dead[i] && i > PUTTERS -> getter_lives = 1
			:: else
			fi;
			i++
		od
	};
	assert(!getter_lives || tail_count == head_count);
	assert(!getter_lives || freeing == 0 || get_guard != 0);
	assert(!getter_lives || !putter_lives || tail_count == MESSAGES)
}

init {
	byte i = 1;

	atomic {
		memory[0] = 1;
		allocated[0] = 1;
		do
		:: i > ALL -> break
		:: i <= PUTTERS -> run putter(i); i++
		:: i > PUTTERS && i <= ALL -> run getter(i); i++
		od;
		run judge();
		run killer()
	}
}
