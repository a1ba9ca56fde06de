/* SPDX-License-Identifier: MIT */
/*
 * barrier.pml - rounds of a barrier (src/sync/barrier_layout.h) with a kill between any two steps.
 *
 * As many threads as parties, each of a process of its own, and a cell for each: it has its cell from
 * its first arrival on. Each statement is one atomic step of the functions named beside it; accesses
 * are sequentially consistent. As in owner.pml a sleeper looks again by itself only once after each
 * death.
 *
 * Shown for every order of steps: who passes does so when all have arrived in this round; a round ends
 * in the same way for all who live; who has seen the barrier break finds it broken from then on;
 * nobody sleeps for ever when a party has died, unless that had never come.
 *
 *	PARTIES wait ROUNDS times each, or until it is broken. With ABORT somebody else aborts it.
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

#ifdef ABORT
#define ALL (PARTIES + 1)
#else
#define ALL PARTIES
#endif

#define EMPTY   0
#define OUTSIDE 1
#define INSIDE  2
#define PASSED  3
#define BROKEN  4

/* struct mp__barrier_layout */
byte guard = 0;
byte arrived = 0;
byte acting = 0;
bool cause = 0; /* 0: MP_BARRIER_WHOLE */
byte era = 1;
byte last_era = 0;
byte last_outcome = 0;
byte state[ALL + 1];

bool flag = 0;
bool mine[ALL + 1];
bool asleep[ALL + 1];

bool dead[ALL + 1];
bool doomed[ALL + 1];
byte deaths = 0;
byte kills = KILLS;

/* What the world knows, by round. */
#define ERAS (ROUNDS + KILLS * 2 + 3)
bool joined[ALL + 1];
byte came[ERAS];
byte outcome[ERAS];
bool seen_broken = 0;

#define change() \
	w = 1; \
	do \
	:: w <= ALL -> mine[w] = (w == me); w++ \
	:: else -> w = 0; break \
	od

/* mp__barrier_leave_and_wake(): the bell wakes all. */
#define leave_and_wake() \
	guard = 0; \
	if \
	:: flag -> \
		atomic { change() }; \
		atomic { \
			w = 1; \
			do \
			:: w <= PARTIES -> asleep[w] = 0; w++ \
			:: else -> w = 0; break \
			od \
		}; \
		atomic { \
			if \
			:: mine[me] -> flag = 0; change() \
			:: else \
			fi \
		} \
	:: else \
	fi

/* finish_round() */
#define finish_round() \
	i = 1; \
	do \
	:: i > PARTIES -> break \
	:: else -> \
		atomic { \
			if \
			:: state[i] == INSIDE -> state[i] = last_outcome \
			:: else \
			fi; \
			i++ \
		} \
	od; \
	atomic { i = 0; arrived = 0 }; \
	acting = 0; \
	era = last_era + 1

/* mp__barrier_end_round(); both halves of `last` are one word */
#define end_round(how) \
	atomic { last_era = era; last_outcome = how }; \
	finish_round()

/* mp__barrier_break() */
#define break_it() \
	cause = 1; \
	end_round(BROKEN)

/* mp__barrier_enter(), and repair() after a death */
#define enter() \
	if \
	:: atomic { guard == 0 -> guard = me } \
	:: atomic { guard != 0 && dead[guard] -> guard = me; over = 1 } \
	fi; \
	if \
	:: over && last_era == era -> finish_round() \
	:: over && last_era != era && cause -> end_round(BROKEN) \
	:: else \
	fi; \
	if \
	:: over -> \
		d_step { \
			i = 1; arrived = 0; \
			do \
			:: i <= PARTIES -> arrived = arrived + (state[i] == INSIDE -> 1 : 0); i++ \
			:: else -> i = 0; break \
			od; \
			over = 0 \
		} \
	:: else \
	fi

/* mp__barrier_look(), with bury() */
#define look() \
	k = 1; \
	do \
	:: k > PARTIES -> break \
	:: k <= PARTIES && !(state[k] != EMPTY && dead[k]) -> k++ \
	:: k <= PARTIES && state[k] != EMPTY && dead[k] -> \
		enter(); \
		if \
		:: state[k] == INSIDE -> break_it() \
		:: (state[k] == OUTSIDE || state[k] == PASSED) && !cause -> \
			break_it(); \
			state[k] = EMPTY \
		:: (state[k] == OUTSIDE || state[k] == PASSED) && cause -> state[k] = EMPTY \
		:: state[k] == BROKEN -> state[k] = EMPTY \
		:: state[k] == EMPTY \
		fi; \
		leave_and_wake(); \
		k++ \
	od; \
	k = 0; \
	if \
	:: guard != 0 && dead[guard] -> \
		enter(); \
		leave_and_wake() \
	:: else \
	fi

inline die() {
	atomic {
		doomed[me] ->
		dead[me] = 1;
		deaths++;
		asleep[me] = 0
	}
}

proctype party(byte me)
{
	byte i = 0;
	byte k = 0;
	byte w = 0;
	byte looked = 0;
	byte round = 0;
	byte mine_era = 0;
	bool over = 0;
	bool complete;

	{
	do
	:: round == ROUNDS -> break
	:: else ->
		/* come_in(), arrive() */
		enter();
		if
		:: cause -> leave_and_wake(); seen_broken = 1; break
		:: else -> assert(!seen_broken)
		fi;
		/* mp__barrier_claim(), of its first round: a name first, and the state last */
		atomic { state[me] = INSIDE; mine_era = era; joined[me] = 1; came[era]++ };
		arrived++;
		if
		:: arrived < PARTIES -> guard = 0; goto wait
		:: else
		fi;
		/* conclude(): the last one may leave the guard and ask who lives, run_action() */
		if
		:: true ->
			acting = me;
			guard = 0;
			look();
			enter()
		:: true
		fi;
		if
		:: state[me] == INSIDE ->
			d_step {
				complete = 1;
				i = 1;
				do
				:: i <= PARTIES -> complete = complete && state[i] == INSIDE; i++
				:: else -> i = 0; break
				od
			};
			if
			:: complete -> end_round(PASSED)
			:: else -> break_it()
			fi
		:: else
		fi;
		leave_and_wake();
		goto learn;

wait:		/* wait_inside() */
		if
		:: state[me] != INSIDE -> goto learn
		:: else
		fi;
		atomic { flag = 1; change() };
		if
		:: state[me] != INSIDE -> goto learn
		:: else
		fi;
		atomic {
			if
			:: mine[me] && flag -> asleep[me] = 1
			:: else
			fi
		};
endasleep:	if
		:: atomic { !asleep[me] -> skip }
		:: atomic { asleep[me] && looked != deaths ->
			looked = deaths; asleep[me] = 0; complete = 0 };
			look()
		fi;
		goto wait;

learn:		/* learn_outcome(): the own cell says it */
		atomic {
			assert(outcome[mine_era] == 0 || outcome[mine_era] == state[me]);
			outcome[mine_era] = state[me];
			assert(state[me] != PASSED || came[mine_era] == PARTIES);
			if
			:: state[me] == PASSED
			:: else -> assert(state[me] == BROKEN); round = ROUNDS
			fi
		};
		/* mp__barrier_acknowledge() */
		atomic {
			if
			:: round == ROUNDS -> seen_broken = 1; state[me] = EMPTY
			:: else -> state[me] = OUTSIDE; round++
			fi
		}
	od
	} unless { die() }
}

#ifdef ABORT
/* mp_barrier_abort() of one that is no party */
proctype aborter(byte me)
{
	byte i = 0;
	byte w = 0;
	bool over = 0;

	{
	enter();
	break_it();
	leave_and_wake()
	} unless { die() }
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

/* Nobody can move: who still waits does so for one that died before it ever came, and is unknown. */
proctype judge()
{
	byte i = 1;
	bool waits = 0;
	bool known = 0;
	bool missing = 0;

end:	timeout ->
	d_step {
		do
		:: i > PARTIES -> break
		:: else ->
			waits = waits || (!dead[i] && state[i] == INSIDE);
			known = known || (dead[i] && state[i] != EMPTY);
			missing = missing || (dead[i] && !joined[i]);
			i++
		od
	};
	assert(!waits || (!known && missing && !cause && guard == 0))
}

init {
	byte i = 1;

	atomic {
		do
		:: i > PARTIES -> break
		:: else -> run party(i); i++
		od;
#ifdef ABORT
		run aborter(ALL);
#endif
		run judge();
		run killer()
	}
}
