/* SPDX-License-Identifier: MIT */
/*
 * semaphore.pml - the account of permits (src/sync/semaphore_layout.h) with a kill between any two
 * steps.
 *
 * Each statement is one atomic step of the functions named beside it; accesses are sequentially
 * consistent. The futex wakes in the order in which they fell asleep. As in owner.pml a sleeper looks
 * again by itself only once after each death.
 *
 * Shown for every order of steps: no more than PERMITS hold one at a time, the permits of the dead
 * come back, nobody sleeps for ever while there is one, and the account is true in the end.
 *
 *	PARTIES acquire and release ROUNDS times each. With SIGNAL there is no permit at first, nobody
 *	gives back, and one more party releases as often as the others acquire: each release arrives.
 */
#ifndef PARTIES
#define PARTIES 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifdef SIGNAL
#define PERMITS 0
#define ALL (PARTIES + 1)
#else
#ifndef PERMITS
#define PERMITS 1
#endif
#define ALL PARTIES
#endif

/* struct mp__semaphore; numbers of processes stand for stamps, and each has its own cell */
byte guard = 0;
byte value = PERMITS;
byte total = PERMITS;
byte count[ALL + 1];

/* The bell (src/shm/bell.h) as in queue.pml; the futex's own queue. */
bool flag = 0;
bool mine[ALL + 1];
bool asleep[ALL + 1];
chan sleepers = [ALL] of { byte };
byte sleeping = 0;

bool dead[ALL + 1];
bool doomed[ALL + 1];
byte deaths = 0;
byte kills = KILLS;

/* What the world knows. */
byte inside = 0;
bool in[ALL + 1];
byte got = 0;

#define change() \
	w = 1; \
	do \
	:: w <= ALL -> mine[w] = (w == me); w++ \
	:: else -> w = 0; break \
	od

/* mp__bell_ring_slowly() */
#define ring(n) \
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
	}

/* derive_value(): all of it is read inside the guard, and one store follows */
#define derive() \
	d_step { \
		sum = 0; \
		w = 1; \
		do \
		:: w <= ALL -> sum = sum + count[w]; w++ \
		:: else -> w = 0; break \
		od; \
		value = (sum < total -> total - sum : 0); \
		sum = 0 \
	}

/* enter(): mp__guard_enter(), and derive_value() after a death */
#define enter() \
	if \
	:: atomic { guard == 0 -> guard = me } \
	:: atomic { guard != 0 && dead[guard] -> guard = me; over = 1 } \
	fi; \
	if \
	:: over -> derive(); over = 0 \
	:: else \
	fi

inline die() {
	atomic {
		doomed[me] ->
		dead[me] = 1;
		deaths++;
		if
		:: asleep[me] -> asleep[me] = 0; sleepers??eval(me); sleeping--
		:: else
		fi;
		if
		:: in[me] -> in[me] = 0; inside--
		:: else
		fi
	}
}

proctype party(byte me)
{
	byte i;
	byte w = 0;
	byte sum = 0;
	byte woken = 0;
	byte looked = 0;
	byte round = 0;
	byte back = 0;
	bool over = 0;
	bool slept;
	bool suspicious = 0;

	{
	do
	:: round == ROUNDS -> break
	:: else ->
again:		/* try_acquire() */
		enter();
		if
		:: value > 0 ->
			/* take() */
			count[me]++;
			value--;
			guard = 0;
			goto have
		:: else
		fi;
		/* acquire_inside(): mp__bell_listen() inside the guard */
		atomic { flag = 1; change() };
		guard = 0;
		/* mp__bell_sleep() */
		atomic {
			if
			:: mine[me] && flag -> asleep[me] = 1; sleepers!me; sleeping++
			:: else
			fi
		};
		if
		:: atomic { !asleep[me] -> suspicious = 0 }
		:: atomic { asleep[me] && looked != deaths ->
			looked = deaths; asleep[me] = 0; sleepers??eval(me); sleeping--; suspicious = 1 }
		fi;
		if
		:: !suspicious -> goto again
		:: else
		fi;
		/* recover(): find_dead() outside of the guard, then drop_dead() */
		i = 1;
		do
		:: i > ALL -> break
		:: i <= ALL && !(count[i] != 0 && dead[i]) -> i++
		:: i <= ALL && count[i] != 0 && dead[i] ->
			enter();
			back = count[i];
			count[i] = 0;
			derive();
			slept = flag;
			guard = 0;
			if
			:: slept && back > 0 -> ring(back)
			:: else
			fi;
			atomic { back = 0; slept = 0; i++ }
		od;
		atomic { i = 0; suspicious = 0 };
		goto again;

have:		atomic { got++; inside++; in[me] = 1; assert(inside <= PERMITS || PERMITS == 0) };
#ifndef SIGNAL
		atomic { inside--; in[me] = 0 };
		/* mp_semaphore_release(): release_inside(), give() */
		enter();
		count[me]--;
		value++;
		slept = flag;
		guard = 0;
		if
		:: slept -> ring(1)
		:: else
		fi;
		slept = 0;
#endif
		round++
	od
	} unless { die() }
}

#ifdef SIGNAL
/* Who releases what others hold, PARTIES * ROUNDS times: give_from_others(). */
proctype giver(byte me)
{
	byte i;
	byte w = 0;
	byte sum = 0;
	byte woken = 0;
	byte n = 0;
	bool over = 0;
	bool slept = 0;

	do
	:: n == PARTIES * ROUNDS -> break
	:: else ->
		enter();
		i = 0;
		if
		:: total != value ->
			i = 1;
			do
			:: i <= PARTIES && count[i] == 0 -> i++
			:: else -> break
			od
		:: else
		fi;
		if
		:: i >= 1 && i <= PARTIES -> count[i]--
		:: else -> total++
		fi;
		value++;
		slept = flag;
		guard = 0;
		if
		:: slept -> ring(1)
		:: else
		fi;
		atomic { n++; i = 0; slept = 0 }
	od
}
#endif

/* Kills whom it wants, whenever it wants, or nobody. */
proctype killer()
{
	byte who;

end:	do
	:: atomic { kills > 0 -> kills--; who = 1; do
		:: who < PARTIES -> who++
		:: doomed[who] = 1; break
		od }
	:: kills > 0 -> break
	od
}

/* Nobody can move: the account is true. */
proctype judge()
{
	byte i = 1;
	byte sum = 0;

end:	timeout ->
	d_step {
		do
		:: i <= ALL -> sum = sum + count[i]; i++
		:: else -> break
		od
	};
	assert(guard == 0 || dead[guard]);
	assert(guard != 0 || value + sum == total);
#ifndef SIGNAL
	assert(total == PERMITS)
#endif
}

init {
	byte i = 1;

	atomic {
		do
		:: i > PARTIES -> break
		:: else -> run party(i); i++
		od;
#ifdef SIGNAL
		run giver(PARTIES + 1);
#endif
		run judge();
		run killer()
	}
}
