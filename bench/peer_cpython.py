# SPDX-License-Identifier: MIT
"""CPython's multiprocessing as a peer: `peer_cpython.py ROW`, started by mpbench.

Answers each line "run" on standard input with "value NUMBER", as bench.h says. Each row does what
the contender libmp does under the same name, by the shortest way that the standard library has.
"""
import multiprocessing as mp
import os
import struct
import sys
import time

ROUND = 0.2  # seconds, as BENCH_ROUND_NS
KEYS = 1000
VALUE = b"v" * 64
CLIENTS = 50
WORKERS = 2


def repeat(op):
    """Seconds for each op(), over one round."""
    start = time.perf_counter()
    elapsed = 0.0
    done = 0
    step = 1
    while elapsed < ROUND:
        before = elapsed
        for _ in range(step):
            op()
        done += step
        elapsed = time.perf_counter() - start
        if elapsed - before < ROUND / 32:
            step *= 2
        elif elapsed - before > ROUND / 8 and step > 1:
            step //= 2
    return elapsed / done


def us(op):
    return lambda: repeat(op) * 1e6


def rate(op, count=1):
    return lambda: count / repeat(op)


def nothing(*_args):
    return None


def square(n):
    return n * n


def process(method):
    context = mp.get_context(method)

    def start_and_join():
        child = context.Process(target=nothing)
        child.start()
        child.join()
        child.close()

    start_and_join()  # the forkserver itself starts here
    return us(start_and_join)


def touched(method):
    memory = bytearray(1 << 30)
    for at in range(0, len(memory), 4096):
        memory[at] = 1
    run = process(method)
    return lambda: (run(), memory)[0]


def pool_map_chunk1():
    pool = mp.Pool(WORKERS)
    items = range(1000)
    return rate(lambda: pool.map(square, items, chunksize=1), len(items))


def pool_submit():
    from concurrent.futures import ProcessPoolExecutor

    pool = ProcessPoolExecutor(WORKERS)

    def submit_all():
        for future in [pool.submit(square, i) for i in range(1000)]:
            future.result()

    submit_all()
    return rate(submit_all, 1000)


def pin(n):
    """As bench_pin()."""
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[n % len(cpus)]})


def queue_of(size, side):
    """One queue; what `side` consumers get from as many producers in a round."""
    data = b"v" * size

    def produce(q, cpu):
        pin(cpu)
        while True:
            q.put(data)

    def consume(q, cpu, count):
        pin(cpu)
        while True:
            q.get()
            count.value += 1

    def run():
        fork = mp.get_context("fork")
        q = fork.Queue(1024 if size < 4096 else 4)
        counts = [fork.Value("q", 0, lock=False) for _ in range(side)]
        children = [fork.Process(target=produce, args=(q, i), daemon=True) for i in range(side)]
        children += [
            fork.Process(target=consume, args=(q, i + 1, c), daemon=True)
            for i, c in enumerate(counts)
        ]
        for child in children:
            child.start()
        time.sleep(0.05)
        before = sum(c.value for c in counts)
        start = time.perf_counter()
        time.sleep(ROUND)
        got = sum(c.value for c in counts) - before
        elapsed = time.perf_counter() - start
        for child in children:
            child.kill()
            child.join()
        return got * (size if size >= 4096 else 1) / elapsed

    return run


def queue_64B_1p1c():
    return queue_of(64, 1)


def queue_64B_2p2c():
    return queue_of(64, 2)


def queue_1MiB():
    return queue_of(1 << 20, 1)


def pool_apply_rtt():
    pool = mp.Pool(WORKERS)
    return us(lambda: pool.apply(nothing))


def manager_start():
    def run():
        total = 0.0
        n = 0
        end = time.perf_counter() + ROUND
        while n == 0 or time.perf_counter() < end:
            start = time.perf_counter()
            manager = mp.Manager()
            manager.dict()
            total += time.perf_counter() - start
            n += 1
            manager.shutdown()
        return total / n * 1e6

    return run


def filled_dict():
    shared = mp.Manager().dict()
    shared.update({key: VALUE for key in keys()})
    return shared


def keys():
    return ["key:%09d" % i for i in range(KEYS)]


def set_next(shared, at=0):
    names = keys()

    def op():
        nonlocal at
        shared[names[at]] = VALUE
        at = (at + 1) % KEYS

    return op


def get_next(shared, at=0):
    names = keys()

    def op():
        nonlocal at
        assert len(shared[names[at]]) == len(VALUE)
        at = (at + 1) % KEYS

    return op


def manager_1(make_op):
    shared = filled_dict()
    op = make_op(shared)
    return lambda: (rate(op)(), shared)[0]


def client(go, done, shared, make_op, index):
    op = make_op(shared, index * (KEYS // CLIENTS))
    op()  # connects
    os.write(done, struct.pack("=q", 0))
    while message := os.read(go, 8):
        (end,) = struct.unpack("=q", message)
        count = 0
        while time.monotonic_ns() < end:
            op()
            count += 1
        os.write(done, struct.pack("=q", count))


def manager_50(make_op):
    shared = filled_dict()
    go = os.pipe()
    done = os.pipe()
    context = mp.get_context("fork")
    for i in range(CLIENTS):
        context.Process(
            target=client, args=(go[0], done[1], shared, make_op, i), daemon=True
        ).start()

    def gather():
        return sum(struct.unpack("=q", os.read(done[0], 8))[0] for _ in range(CLIENTS))

    gather()

    def run():
        start = time.monotonic_ns()
        for _ in range(CLIENTS):
            os.write(go[1], struct.pack("=q", start + int(ROUND * 1e9)))
        return gather() * 1e9 / (time.monotonic_ns() - start)

    return lambda: (run(), shared)[0]


def obj_roundtrip():
    import pickle

    day = {
        "name": "20150517.log",
        "total": 1632,
        "ip": 341,
        "bytes": 105_943_720_131,
        "ok": True,
        "mean": 0.25,
        "hours": list(range(24)),
    }

    def op():
        assert len(pickle.loads(pickle.dumps(day, -1))) == 7

    return rate(op)


def echo(end, cpu):
    os.sched_setaffinity(0, {cpu})
    try:
        while True:
            end.send_bytes(end.recv_bytes())
    except EOFError:
        pass


def conn_rtt_64B():
    # On two CPUs, as the others.
    first, second = sorted(os.sched_getaffinity(0))[:2]
    here, there = mp.Pipe()
    context = mp.get_context("fork")
    child = context.Process(target=echo, args=(there, second), daemon=True)
    child.start()
    there.close()
    os.sched_setaffinity(0, {first})

    def op():
        here.send_bytes(VALUE)
        assert len(here.recv_bytes()) == 64

    return us(op)


def semaphore():
    permits = mp.Semaphore(1)

    def op():
        permits.acquire()
        permits.release()

    return rate(op)


def answer(mine, theirs, cpus):
    os.sched_setaffinity(0, cpus)
    while True:
        mine.wait()
        mine.clear()
        theirs.set()


def handover(cpus):
    os.sched_setaffinity(0, cpus)
    mine, theirs = mp.Event(), mp.Event()
    context = mp.get_context("fork")
    child = context.Process(target=answer, args=(theirs, mine, cpus), daemon=True)
    child.start()

    def op():
        theirs.set()
        mine.wait()
        mine.clear()

    run = us(op)
    return lambda: run() / 2


def take_turn(changed, turn, me):
    with changed:
        while turn.value != me:
            changed.wait()
        turn.value = not me
        changed.notify()


def take_turns(changed, turn, cpus):
    os.sched_setaffinity(0, cpus)
    while True:
        take_turn(changed, turn, 1)


def turns(cpus):
    os.sched_setaffinity(0, cpus)
    changed, turn = mp.Condition(mp.Lock()), mp.RawValue("i", 0)
    context = mp.get_context("fork")
    context.Process(target=take_turns, args=(changed, turn, cpus), daemon=True).start()
    run = us(lambda: take_turn(changed, turn, 0))
    return lambda: run() / 2


def uncontended(lock):
    acquire, release = lock.acquire, lock.release

    def op():
        acquire()
        release()

    measure = us(op)
    return lambda: measure() * 1000


def value_add(contended):
    value = mp.Value("q", 0)

    def op():
        with value.get_lock():
            value.value += 1

    def forever():
        while True:
            op()

    if contended:
        mp.get_context("fork").Process(target=forever, daemon=True).start()
    measure = us(op)
    return lambda: measure() * 1000


ROWS = {
    "value_add": lambda: value_add(False),
    "value_add_contended": lambda: value_add(True),
    "process_fork": lambda: process("fork"),
    "process_spawn": lambda: process("spawn"),
    "process_forkserver": lambda: process("forkserver"),
    "process_fork_1GiB": lambda: touched("fork"),
    "process_spawn_1GiB": lambda: touched("spawn"),
    "pool_map_chunk1": pool_map_chunk1,
    "pool_submit": pool_submit,
    "pool_apply_rtt": pool_apply_rtt,
    "queue_1MiB": queue_1MiB,
    "queue_64B_1p1c": queue_64B_1p1c,
    "queue_64B_2p2c": queue_64B_2p2c,
    "manager_start": manager_start,
    "manager_set_1": lambda: manager_1(set_next),
    "manager_get_1": lambda: manager_1(get_next),
    "manager_set_50": lambda: manager_50(set_next),
    "manager_get_50": lambda: manager_50(get_next),
    "obj_roundtrip": obj_roundtrip,
    "conn_rtt_64B": conn_rtt_64B,
    "semaphore": semaphore,
    "event_handover": lambda: handover({min(os.sched_getaffinity(0))}),
    "event_handover_spin": lambda: handover(os.sched_getaffinity(0)),
    "condition_handover": lambda: turns({min(os.sched_getaffinity(0))}),
    "condition_handover_spin": lambda: turns(os.sched_getaffinity(0)),
    "lock_uncontended": lambda: uncontended(mp.Lock()),
    "rlock_uncontended": lambda: uncontended(mp.RLock()),
    "pipe_rtt_64B": conn_rtt_64B,
}


def main():
    # Started processes must not read the words, nor write among them.
    words = os.fdopen(os.dup(0), "r")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    try:
        run = ROWS[sys.argv[1]]()
        print("ready", sys.version.split()[0], file=answers, flush=True)
        for _ in words:
            print("value %.17g" % run(), file=answers, flush=True)
    except Exception as error:  # mpbench names it and goes on without us
        reason = " ".join(repr(error).split())
        print("error", reason, file=answers, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
