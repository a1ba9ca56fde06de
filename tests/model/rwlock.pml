/* SPDX-License-Identifier: MIT */
/*
 * rwlock.pml - the lock for readers and writers (src/sync/rwlock_layout.h) with a kill between any two
 * steps.
 *
 * The word that has one owner, a cell for each reader, two bells (src/shm/bell.h), and the news of a
 * dead writer. Each statement is one atomic step of the functions named beside it; accesses are
 * sequentially consistent. As in owner.pml a sleeper looks again by itself only once after each death.
 *
 * Shown for every order of steps: a writer is alone; whoever comes after a writer that died in the
 * middle is told, until another writer has been there; nobody sleeps for ever.
 */
#ifndef READERS
#define READERS 2
#endif
#ifndef WRITERS
#define WRITERS 1
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef KILLS
#define KILLS 1
#endif
#define ALL (READERS + WRITERS)
#define NEWS 99 /* MP__RW_NEWS */

byte owner = 0; /* of the word: 0, NEWS, or a writer */
bool mark = 0;  /* MP__OWNER_SLEEPERS */
bool asleep[ALL + 1];
byte cell[READERS + 1];

bool open_flag = 0;
bool open_mine[ALL + 1];
bool sleeps_open[ALL + 1];
bool drained_flag = 0;
bool drained_mine[ALL + 1];
bool sleeps_drained[ALL + 1];

bool dead[ALL + 1];
bool doomed[ALL + 1];
byte deaths = 0;
byte kills = KILLS;

/* What the world knows. */
byte reading = 0;
bool reads[ALL + 1];
byte writing = 0;
bool half = 0; /* a writer died in the middle of its work, and no other has repaired it */

#define is_dead(who) (who == NEWS || (who != 0 && dead[who]))

/* Bells as in queue.pml. */
#define change(mine) \
	w = 1; \
	do \
	:: w <= ALL -> mine[w] = (w == me); w++ \
	:: else -> w = 0; break \
	od
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
#define listen(flag, mine) atomic { flag = 1; change(mine) }
#define sleep(flag, mine, sleeps) \
	atomic { \
		if \
		:: mine[me] && flag -> sleeps[me] = 1 \
		:: else \
		fi \
	}; \
	if \
	:: atomic { !sleeps[me] -> skip } \
	:: atomic { sleeps[me] && looked != deaths -> looked = deaths; sleeps[me] = 0 } \
	fi

/* mp__owner_wake(): any one sleeper of the word, or nobody if there is none. Two writers at most. */
#define wake_one() \
	atomic { \
		if \
		:: asleep[ALL] -> asleep[ALL] = 0 \
		:: asleep[ALL - 1] -> asleep[ALL - 1] = 0 \
		:: else \
		fi \
	}

inline die() {
	atomic {
		doomed[me] ->
		dead[me] = 1;
		deaths++;
		asleep[me] = 0;
		sleeps_open[me] = 0;
		sleeps_drained[me] = 0;
		if
		:: reads[me] -> reads[me] = 0; reading--
		:: else
		fi;
		if
		:: writing == me -> writing = 0
		:: else
		fi
	}
}

proctype reader(byte me)
{
	byte seen;
	bool seen_mark;
	bool died;
	byte looked = 0;
	byte w = 0;
	byte round = 0;

	{
	do
	:: round == ROUNDS -> break
	:: else ->
enter:		/* enter(): claim_cell(), then admitted() */
		cell[me] = me;
		atomic {
			if
			:: owner == 0 -> died = 0; goto inside
			:: owner == NEWS -> died = 1; goto inside
			:: else
			fi
		};
		/* leave_cell(), empty_cell() */
		cell[me] = 0;
		ring(drained_flag, drained_mine, sleeps_drained);
wait:		/* read_sleeping() */
		listen(open_flag, open_mine);
		/* spread_news() */
		atomic { seen = owner; seen_mark = mark };
		if
		:: seen != NEWS && is_dead(seen) ->
			atomic {
				if
				:: owner == seen && mark == seen_mark -> owner = NEWS; mark = 0
				:: else -> goto look
				fi
			};
			if
			:: seen_mark -> wake_one()
			:: else
			fi;
			ring(open_flag, open_mine, sleeps_open)
		:: else
		fi;
look:		if
		:: owner == 0 || owner == NEWS -> goto enter
		:: else
		fi;
		sleep(open_flag, open_mine, sleeps_open);
		goto wait;

inside:		atomic {
			assert(writing == 0);
			assert(!half || died);
			reading++;
			reads[me] = 1
		};
		atomic { reading--; reads[me] = 0 };
		/* mp_rwlock_release_read(): empty_cell() */
		cell[me] = 0;
		ring(drained_flag, drained_mine, sleeps_drained);
		round++
	od
	} unless { die() }
}

proctype writer(byte me)
{
	byte seen;
	bool seen_mark;
	bool died;
	byte looked = 0;
	byte w = 0;
	byte i;
	byte round = 0;

	{
	do
	:: round == ROUNDS -> break
	:: else ->
		died = 0;
		/* acquire_write(): mp__owner_try() */
		if
		:: atomic { owner == 0 && !mark -> owner = me } -> goto closed
		:: atomic { owner != 0 || mark -> skip }
		fi;
take:		/* mp__owner_wait_until(): sleep_for(), as in owner.pml */
		atomic { seen = owner; seen_mark = mark };
		if
		:: seen == 0 || is_dead(seen) ->
			atomic {
				if
				:: owner == seen && mark == seen_mark ->
					died = seen != 0;
					owner = me;
					mark = 1;
					goto closed
				:: else -> goto take
				fi
			}
		:: else
		fi;
		if
		:: !seen_mark ->
			atomic {
				if
				:: owner == seen && !mark -> mark = 1
				:: else -> goto take
				fi
			}
		:: else
		fi;
		atomic {
			if
			:: owner == seen && mark -> asleep[me] = 1
			:: else -> goto take
			fi
		};
		if
		:: atomic { !asleep[me] -> skip }
		:: atomic { asleep[me] && looked != deaths -> looked = deaths; asleep[me] = 0 }
		fi;
		goto take;

closed:		/* drain(): listen, bury(), first_reader(), sleep */
		listen(drained_flag, drained_mine);
		i = 1;
		do
		:: i > READERS -> break
		:: else ->
			atomic {
				if
				:: cell[i] != 0 && dead[i] -> cell[i] = 0
				:: else
				fi;
				i++
			}
		od;
		i = 1;
		do
		:: i > READERS -> goto alone
		:: i <= READERS && cell[i] == 0 -> i++
		:: i <= READERS && cell[i] != 0 -> break
		od;
		sleep(drained_flag, drained_mine, sleeps_drained);
		goto closed;

alone:		atomic {
			assert(reading == 0 && writing == 0);
			assert(!half || died);
			writing = me;
			half = 0
		};
		half = 1;
		atomic { half = 0; writing = 0 };
		/* mp_rwlock_release_write(): reopen() */
		atomic { seen_mark = mark; owner = 0; mark = 0 };
		if
		:: seen_mark -> wake_one()
		:: else
		fi;
		ring(open_flag, open_mine, sleeps_open);
		round++
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

init {
	byte i = 1;

	atomic {
		do
		:: i > ALL -> break
		:: i <= READERS -> run reader(i); i++
		:: i > READERS && i <= ALL -> run writer(i); i++
		od;
		run killer()
	}
}
