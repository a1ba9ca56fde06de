/* SPDX-License-Identifier: MIT */
/*
 * queue.pml - the queue (src/queue/queue_layout.h) with a kill between any two steps.
 *
 * Two guards, a word for each side, the two words for what is written and read in place, the bells
 * (src/shm/bell.h), the cells of a joinable queue, and recovery. Each statement is one atomic step of
 * the functions named beside it; accesses are sequentially consistent. As in owner.pml a sleeper looks
 * again by itself only once after each death.
 *
 * Shown for every order of steps: messages come in order, each once, undamaged; what was committed is
 * there for those who live; nobody sleeps for ever while there is something to do; a join returns only
 * after an instant at which all was done.
 */
#ifndef PUTTERS
#define PUTTERS 2
#endif
#ifndef GETTERS
#define GETTERS 2
#endif
#ifndef MESSAGES
#define MESSAGES 1 /* of each putter */
#endif
#ifndef ROOM
#define ROOM 1
#endif
#ifndef KILLS
#define KILLS 1
#endif
#define ALL (PUTTERS + GETTERS)
#define TOTAL (PUTTERS * MESSAGES)
#define NOTHING 255

/* struct mp__queue_control; numbers of processes stand for stamps */
byte put_guard = 0;
byte get_guard = 0;
byte reserved = 0;
byte lent = 0;
byte tail = 0;
byte head = 0;
byte slot[ROOM];
byte cell[ALL + 1];

/*
 * Bells. Of the word only two things matter: its bit 0, "somebody listens", and whether it still is
 * what one has made it; a counter would never come to an end here.
 */
bool items_flag = 0;
bool items_mine[ALL + 1];
bool sleeps_items[ALL + 1];
bool room_flag = 0;
bool room_mine[ALL + 1];
bool sleeps_room[ALL + 1];

bool dead[ALL + 1];
bool doomed[ALL + 1];
byte deaths = 0;
byte kills = KILLS;

/* What the world knows. */
byte taken = 0;     /* messages that left the queue; the next one has this number */
byte undone = 0;    /* of these, not done, with living ones */
byte undone_of[ALL + 1];

/*
 * mp__guard_enter(): compare-and-swap; mp__guard_enter_slowly(): take over from a dead one. What is
 * read directly behind it, inside the guard, may stand in the same step: nothing of it changes
 * between, or could not have changed before as well.
 */
#define may_enter(guard) (guard == 0 || dead[guard])
#define enter(guard) atomic { may_enter(guard) -> guard = me }

/* The word is now what this one has made it, and not what others have. */
#define change(mine) \
	w = 1; \
	do \
	:: w <= ALL -> mine[w] = (w == me); w++ \
	:: else -> w = 0; break \
	od

/* mp__watched_bell_ring(): look at the bit, add, wake all, drop the bit if nobody came since. */
#define ring(flag, mine, sleeps) \
	if \
	:: flag -> \
		atomic { change(mine) }; \
		atomic { \
			w = 1; \
			do \
			:: w <= ALL -> sleeps[w] = 0; w++ \
			:: else -> w = 0; break \
			od \
		}; \
		atomic { \
			if \
			:: mine[me] -> flag = 0; change(mine) \
			:: else \
			fi \
		} \
	:: else \
	fi

/* mp__bell_listen() */
#define listen(flag, mine) atomic { flag = 1; change(mine) }

/* mp__bell_sleep(): a futex on the word; `suspicious` after a slice of it. */
#define sleep(flag, mine, sleeps) \
	atomic { \
		if \
		:: mine[me] && flag -> sleeps[me] = 1 \
		:: else \
		fi \
	}; \
endofsleep: \
	if \
	:: atomic { !sleeps[me] -> suspicious = 0 } \
	:: atomic { sleeps[me] && looked != deaths -> \
		looked = deaths; sleeps[me] = 0; suspicious = 1 } \
	fi

inline die() {
	atomic {
		doomed[me] ->
		dead[me] = 1;
		deaths++;
		sleeps_items[me] = 0;
		sleeps_room[me] = 0;
		undone = undone - undone_of[me];
		undone_of[me] = 0
	}
}

proctype putter(byte me)
{
	byte n = 0;
	byte at;
	byte looked = 0;
	byte w = 0;
	bool suspicious = 0;
	bool in_place;

	{
	do
	:: n == MESSAGES -> break
	:: atomic { n != MESSAGES ->
		if
		:: in_place = 0
		:: in_place = 1
		fi };
		/* mp__queue_place(): check_reserved(); mp__ring_place(), `at` is head_seen */
again:		atomic {
			may_enter(put_guard) -> put_guard = me;
			if
			:: reserved != 0 && suspicious && dead[reserved] -> reserved = 0
			:: else
			fi;
			at = head;
			if
			:: reserved == 0 && tail - at < ROOM -> goto placed
			:: else
			fi
		};
		put_guard = 0;
		/* mp__queue_wait_for(): listen, may_have_room(), sleep */
		listen(room_flag, room_mine);
		if
		:: reserved == 0 && head != at -> goto again
		:: else
		fi;
		sleep(room_flag, room_mine, sleeps_room);
		goto again;

placed:		if
		:: in_place ->
			/* mp_queue_reserve(); the user writes; mp_queue_commit() */
			reserved = me;
			put_guard = 0;
			slot[tail % ROOM] = tail;
			enter(put_guard);
			/* mp__ring_commit(), then the word */
			tail++;
			reserved = 0
		:: else ->
			slot[tail % ROOM] = tail;
			tail++ /* mp__ring_commit() */
		fi;
		/* mp__queue_put_done() */
		put_guard = 0;
		ring(items_flag, items_mine, sleeps_items);
		if
		:: in_place && room_flag -> ring(room_flag, room_mine, sleeps_room)
		:: else
		fi;
		atomic { n++; suspicious = 0 }
	od
	} unless { die() }
}

proctype getter(byte me)
{
	byte found;
	byte looked = 0;
	byte w = 0;
	bool suspicious = 0;
	bool in_place;

	{
	do
	:: taken == TOTAL -> break
	:: atomic { taken != TOTAL ->
		if
		:: in_place = 0
		:: in_place = 1
		fi };
		/* mp__queue_find(): check_lent(), mp__ring_next() */
again:		atomic {
			may_enter(get_guard) -> get_guard = me;
			if
			:: lent != 0 && suspicious && dead[lent] -> lent = 0
			:: else
			fi;
			if
			:: lent == 0 && tail != head -> goto there
			:: else
			fi
		};
		get_guard = 0;
		/* mp__queue_wait_for(): listen, may_have_items(), sleep */
		listen(items_flag, items_mine);
		if
		:: lent == 0 && tail != head -> goto again
		:: else
		fi;
		sleep(items_flag, items_mine, sleeps_items);
		goto again;

there:		if
		:: in_place ->
			/* mp_queue_peek(); the user reads; mp_queue_consume() */
			lent = me;
			get_guard = 0;
			found = slot[head % ROOM];
			enter(get_guard)
		:: else -> found = slot[head % ROOM]
		fi;
		/* mp__queue_note_taken() */
		cell[me]++;
		/* mp__ring_consume() */
		atomic {
			assert(found == head);
			assert(slot[head % ROOM] == found);
			assert(found == taken);
			head++;
			taken++;
			undone++;
			undone_of[me]++
		};
		if
		:: in_place -> lent = 0
		:: else
		fi;
		/* mp__queue_get_done(), end_peek() */
		get_guard = 0;
		ring(room_flag, room_mine, sleeps_room);
		if
		:: in_place -> ring(items_flag, items_mine, sleeps_items)
		:: else
		fi;
		/* mp_queue_task_done() */
		atomic { cell[me]--; undone--; undone_of[me]--; suspicious = 0; found = 0 }
	od
	} unless { die() }
}

#ifdef JOIN
/* mp_queue_join(), once: all_done(), again and again. */
proctype joiner()
{
	byte seen;
	byte i;

	do
	:: true ->
		seen = tail;
endjoin:	atomic { seen == head -> i = PUTTERS + 1 };
		do
		:: i > ALL -> break
		:: i <= ALL && (cell[i] == 0 || dead[i]) -> i++ /* unfinished() */
		:: i <= ALL && cell[i] != 0 && !dead[i] -> i = NOTHING; break
		od;
		if
		:: i == NOTHING
		:: i != NOTHING && tail != seen
		:: atomic { i != NOTHING && tail == seen ->
			/* Nothing was put since, so nothing was got. */
			assert(undone == 0);
			break }
		fi
	od
}
#endif

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

/* Nobody can move: then there must be nothing to do, or nobody left to do it. */
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
			:: !dead[i] && i <= PUTTERS -> putter_lives = putter_lives || sleeps_room[i]
			:: !dead[i] && i > PUTTERS -> getter_lives = 1
			:: else
			fi;
			i++
		od
	};
	/* A living getter leaves nothing in the queue; a putter waits only for getters. */
	assert(!getter_lives || tail == head);
	assert(!getter_lives || !putter_lives)
}

init {
	byte i = 1;

	atomic {
		do
		:: i > ALL -> break
		:: i <= PUTTERS -> run putter(i); i++
		:: i > PUTTERS && i <= ALL -> run getter(i); i++
		od;
#ifdef JOIN
		run joiner();
#endif
		run judge();
		run killer()
	}
}
