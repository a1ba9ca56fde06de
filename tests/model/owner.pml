/* SPDX-License-Identifier: MIT */
/*
 * owner.pml - the word that has one owner, the heart of locks (src/sync/owner.h), with a kill
 * between any two steps.
 *
 * Each statement is one atomic step of the functions named beside it; accesses are sequentially
 * consistent. A sleeper is woken, or looks again by itself: but that only once after each death, so
 * that a wake-up which is lost without a death, or for good, shows as a deadlock.
 *
 * Shown for every order of steps: one holder at a time; who gets the lock from a dead holder that was
 * in the middle of its work is told; nobody sleeps for ever.
 *
 *	PARTIES threads that take the lock ROUNDS times each; KILLS of them die.
 */
#ifndef PARTIES
#define PARTIES 3
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef KILLS
#define KILLS 1
#endif

byte owner = 0;   /* of the word: 0 free, else 1..PARTIES */
bool mark = 0;    /* MP__OWNER_SLEEPERS in the word */
bool dead[PARTIES + 1];
bool doomed[PARTIES + 1];
bool asleep[PARTIES + 1];
byte deaths = 0;
byte kills = KILLS;

/* What the lock guards: whole, or left half-way by a dead holder and not told yet. */
byte inside = 0;
bool half = 0;

/* futex_wake(1): any one sleeper, or nobody. */
inline wake_one() {
	if
	:: asleep[1] -> asleep[1] = 0
	:: asleep[2] -> asleep[2] = 0
#if PARTIES > 2
	:: asleep[3] -> asleep[3] = 0
#endif
	:: else
	fi
}

proctype party(byte me)
{
	byte seen_owner;
	bool seen_mark;
	bool died;		/* MP_OWNER_DIED */
	byte looked = 0;	/* deaths at the last look by itself */
	byte round = 0;

	{
	do
	:: round == ROUNDS -> break
	:: else ->
		died = 0;
		/* mp_lock_acquire(): mp__owner_try() */
		if
		:: atomic { owner == 0 && !mark -> owner = me } -> goto taken
		:: atomic { owner != 0 || mark -> skip }
		fi;
look:		/* sleep_for(): load the word */
		atomic { seen_owner = owner; seen_mark = mark };
		/* take(): mp__owner_dead(), then compare-and-swap with MP__OWNER_SLEEPERS */
		if
		:: seen_owner == 0 || dead[seen_owner] ->
			atomic {
				if
				:: owner == seen_owner && mark == seen_mark ->
					died = seen_owner != 0;
					owner = me;
					mark = 1;
					goto taken
				:: else -> skip
				fi
			};
			goto look
		:: else
		fi;
		/* sleep_for(): mark the word */
		if
		:: !seen_mark ->
			atomic {
				if
				:: owner == seen_owner && !mark -> mark = 1
				:: else -> goto look
				fi
			}
		:: else
		fi;
		/* mp__futex_wait(): sleeps if the word is still that */
		atomic {
			if
			:: owner == seen_owner && mark -> asleep[me] = 1
			:: else -> goto look
			fi
		};
		if
		:: atomic { !asleep[me] -> skip }
		:: atomic { asleep[me] && looked != deaths -> looked = deaths; asleep[me] = 0 }
		fi;
		goto look;

taken:		/* the user's: news of a death exactly when something was left half-way */
		atomic {
			assert(inside == 0);
			inside = me;
			assert(!half || died);
			half = 0
		};
		half = 1;
		atomic { half = 0; inside = 0 };

		/* mp_lock_release(): mp__owner_give(), an exchange; then mp__owner_wake() */
		atomic { seen_mark = mark; owner = 0; mark = 0 };
		if
		:: seen_mark -> atomic { wake_one() }
		:: else
		fi;
		round++
	od
	} unless {
		atomic {
			doomed[me] ->
			dead[me] = 1;
			deaths++;
			asleep[me] = 0;
			if
			:: inside == me -> inside = 0
			:: else
			fi
		}
	}
}

/* Kills whom it wants, whenever it wants, or nobody. */
proctype killer()
{
end:	do
	:: atomic { kills > 0 -> kills--; if
		:: doomed[1] = 1
		:: doomed[2] = 1
#if PARTIES > 2
		:: doomed[3] = 1
#endif
		fi }
	:: kills > 0 -> break
	od
}

init {
	atomic {
		run party(1);
		run party(2);
#if PARTIES > 2
		run party(3);
#endif
		run killer()
	}
}
