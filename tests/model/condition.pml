/* SPDX-License-Identifier: MIT */
/*
 * condition.pml - tickets and permits to wake up (src/sync/condition_layout.h) with a kill between any
 * two steps.
 *
 * The lock is that of owner.pml, here one step to take and one to let go. Each statement is one atomic
 * step of the functions named beside it; accesses are sequentially consistent. The futex wakes in the
 * order in which they fell asleep. As in owner.pml a sleeper looks again by itself only once after each
 * death.
 *
 * Each of WAITERS waits until there is an item, and takes one; a producer makes ITEMS, and notifies once
 * for each (or, with NOTIFY_ALL, makes all and notifies all). MEDDLERS notify for nothing and may be
 * killed at it. Shown for every order of steps: nobody sleeps for ever while there is an item for it, so
 * no wake-up goes lost, whoever is killed with one in hand. Only a dead one that had the lock already
 * takes it along; the next to take the lock is told, and notifies the others after its own work. Nobody is woken by a notify that was before its wait; there are
 * never more permits than waiters, and without a death none is left.
 */
#ifndef WAITERS
#define WAITERS 2
#endif
#ifndef MEDDLERS
#define MEDDLERS 0
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef ITEMS
#define ITEMS WAITERS
#endif
#define VICTIMS (WAITERS + MEDDLERS)
#define ALL (VICTIMS + 1)

/* struct mp__condition */
byte guard = 0;
byte next = 0;
byte limit = 0;
byte waiters = 0;
byte permits = 0;

bool flag = 0;
bool mine[ALL + 1];
bool asleep[ALL + 1];
chan sleepers = [ALL] of { byte };
byte sleeping = 0;

/* The lock, and what it guards. */
byte lock = 0;
byte items = 0;

/* What the world knows: tickets that were there at the last notify. */
byte told = 0;

bool dead[ALL + 1];
bool doomed[ALL + 1];
byte deaths = 0;
byte kills = KILLS;

#define change() \
	w = 1; \
	do \
	:: w <= ALL -> mine[w] = (w == me); w++ \
	:: else -> w = 0; break \
	od

/* mp__bell_ring() */
#define ring(n) \
	if \
	:: flag -> \
		atomic { change() }; \
		atomic { \
			woken = 0; \
			do \
			:: woken < n && sleeping > 0 -> sleepers?w; asleep[w] = 0; sleeping--; woken++ \
			:: else -> w = 0; break \
			od \
		}; \
		atomic { \
			if \
			:: woken < n && mine[me] -> flag = 0; change() \
			:: else \
			fi; \
			woken = 0 \
		} \
	:: else \
	fi

/* Nothing is repaired. */
#define enter() atomic { guard == 0 || dead[guard] -> guard = me }
/* mp__lock_take_back() and mp_lock_acquire(): MP_OWNER_DIED if a dead one had it */
#define take_lock() atomic { lock == 0 || dead[lock] -> died = (lock != 0); lock = me }
#define has_permit (permits > 0 && ticket < limit)

/* notify() */
#define notify(n) \
	enter(); \
	added = (waiters > permits -> waiters - permits : 0); \
	added = (n < added -> n : added); \
	any = waiters > 0; \
	if \
	:: added > 0 -> \
		limit = next; \
		atomic { permits = permits + added; added = 0; told = next } \
	:: else \
	fi; \
	guard = 0; \
	if \
	:: any -> ring(n) \
	:: else \
	fi; \
	any = 0

inline die() {
	atomic {
		doomed[me] ->
		dead[me] = 1;
		deaths++;
		if
		:: asleep[me] -> asleep[me] = 0; sleepers??eval(me); sleeping--
		:: else
		fi
	}
}

proctype waiter(byte me)
{
	byte ticket = 0;
	byte w = 0;
	byte looked = 0;
	byte woken = 0;
	byte added = 0;
	bool any = 0;
	bool died;
	bool heard = 0;
	bool taken;

	{
	take_lock();
	do
	:: atomic { items > 0 -> items--; heard = heard || died; break }
	:: atomic { items == 0 -> heard = heard || died };
		/* take_ticket() */
		enter();
		waiters++;
		atomic { ticket = next; next++ };
		guard = 0;
		lock = 0;
sleep:		/* sleep_for_permit() */
		atomic { flag = 1; change() };
		if
		:: has_permit -> goto up
		:: else
		fi;
		atomic {
			if
			:: mine[me] && flag -> asleep[me] = 1; sleepers!me; sleeping++
			:: else
			fi
		};
endasleep:	if
		:: atomic { !asleep[me] -> skip }
		:: atomic { asleep[me] && looked != deaths ->
			looked = deaths; asleep[me] = 0; sleepers??eval(me); sleeping-- }
		fi;
		goto sleep;
up:		/* wait_until_notified() */
		take_lock();
		/* take_permit() */
		enter();
		taken = has_permit;
		if
		:: taken -> permits--
		:: else
		fi;
		if
		:: taken || died ->
			/* leave_waiters() */
			if
			:: waiters > 0 -> waiters--
			:: else
			fi;
			if
			:: permits > waiters -> permits = waiters
			:: else
			fi
		:: else
		fi;
		assert(permits <= waiters);
		assert(!taken || ticket < told);
		guard = 0;
		if
		:: taken || died -> atomic { taken = 0; ticket = 0 }
		:: else -> lock = 0; goto sleep
		fi
	od;
	if
	:: heard -> notify(WAITERS)
	:: else
	fi;
	lock = 0
	} unless { die() }
}

proctype producer(byte me)
{
	byte n = 0;
	byte w = 0;
	byte woken = 0;
	byte added = 0;
	bool any = 0;
	bool died;

#ifdef NOTIFY_ALL
	take_lock();
	items = ITEMS;
	notify(WAITERS);
	lock = 0
#else
	do
	:: n == ITEMS -> break
	:: else ->
		take_lock();
		items++;
		notify((died -> WAITERS : 1));
		lock = 0;
		n++
	od
#endif
}

#if MEDDLERS > 0
/* Without the lock, as is allowed. */
proctype meddler(byte me)
{
	byte w = 0;
	byte woken = 0;
	byte added = 0;
	bool any = 0;

	{ notify(1) } unless { die() }
}
#endif

/* Kills whom it wants, whenever it wants, or nobody. */
proctype killer()
{
	byte who;

end:	do
	:: atomic { kills > 0 -> kills--; who = 1; do
		:: who < VICTIMS -> who++
		:: doomed[who] = 1; break
		od }
	:: kills > 0 -> break
	od
}

/* Nobody can move. */
proctype judge()
{
	byte i = 1;
	bool waits = 0;

end:	timeout ->
	d_step {
		do
		:: i > WAITERS -> break
		:: else -> waits = waits || asleep[i]; i++
		od
	};
	assert(!waits || items == 0 || lock != 0);
	assert(lock == 0 || dead[lock]);
	assert(deaths > 0 || waits || (waiters == 0 && permits == 0))
}

init {
	byte i = 1;

	atomic {
		do
		:: i > VICTIMS -> break
		:: i <= WAITERS -> run waiter(i); i++
#if MEDDLERS > 0
		:: i > WAITERS && i <= VICTIMS -> run meddler(i); i++
#endif
		od;
		run producer(ALL);
		run judge();
		run killer()
	}
}
