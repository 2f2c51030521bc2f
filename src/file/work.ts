/**
 * Work: a call that may take long, as slices.
 *
 * A call whose length its caller chooses (a million mappings to take out, a queue of descriptors to drain) is
 * a generator: it yields after each small, bounded piece, and returns the call's result. Whoever serves it
 * goes on with other calls between the pieces.
 *
 * Invariant: what a call works on is used by no other until it has ended; those that would use it wait for
 * it, in the order in which they came (devfs/turns.ts). All that can be refused is refused before anything
 * has been changed. So nobody can tell a call in slices from one that was done at once, but for DMA, which
 * may find a part of it done, as on hardware.
 *
 * A `yield` gives true where nobody serves others meanwhile (`finish`): what would come by itself, the end of
 * another thread's work say, cannot come. One of a Pause says that nothing is to be done before it has come.
 */
export type Work<T> = Generator<Pause | undefined, T, true | undefined>;

/** Work waits; 'interruptibly': a signal to who has made the call ends it (EINTR). */
export type Pause = 'waits' | 'interruptibly';

/**
 * Thrown out of a call that cannot be served yet: nothing has been changed, and it is made again later, from
 * the start.
 */
export class Postponed extends Error {}

/** The result of a call, or the work that leads to it. */
export type Sliced<T> = T | Work<T>;

/** Is it work yet? A result is nothing that goes on. */
export function isWork<T>(sliced: Sliced<T>): sliced is Work<T> {
  return typeof sliced === 'object' && sliced !== null && 'next' in sliced;
}

/** Does all that is left, and returns the result: for whoever serves nobody else meanwhile. */
export function finish<T>(work: Work<T>): T {
  for (;;) {
    const { done, value } = work.next(true);
    if (done) return value;
  }
}

/** As `finish`, for what may be the result already. */
export function finished<T>(sliced: Sliced<T>): T {
  return isWork(sliced) ? finish(sliced) : sliced;
}

/** Does the first piece now. What is short is done then, and needs nobody to go on with it. */
export function begun<T>(work: Work<T>): Sliced<T> {
  const { done, value } = work.next();
  return done ? value : work;
}

/** As work, for `yield*` in the work of another call. */
export function workOf<T>(sliced: Sliced<T>): Steps<T> {
  return isWork(sliced) ? sliced : new Ended(sliced);
}

/** What can be gone through by `yield*`. */
interface Steps<T> {
  [Symbol.iterator](): Iterator<Pause | undefined, T, true | undefined>;
}

/** Work that has ended before its first step. (A generator for each result takes as long as a short call.) */
class Ended<T> implements Steps<T> {
  readonly done = true;
  readonly value: T;

  constructor(value: T) {
    this.value = value;
  }

  [Symbol.iterator](): this {
    return this;
  }

  next(): this {
    return this;
  }
}

/** What `use` makes of the result, when it is there. */
export function after<T, U>(sliced: Sliced<T>, use: (result: T) => U): Sliced<U> {
  return isWork(sliced) ? afterwards(sliced, use) : use(sliced);
}

function* afterwards<T, U>(work: Work<T>, use: (result: T) => U): Work<U> {
  return use(yield* work);
}

/** Does what is left of undoing a call, then throws what it has been refused with. */
export function failing(undo: Sliced<void>, refusal: unknown): Work<never> {
  if (!isWork(undo)) throw refusal;
  return undone(undo, refusal);
}

function* undone(undo: Work<void>, refusal: unknown): Work<never> {
  yield* undo;
  throw refusal;
}

/**
 * Does every step of a release, whatever the steps before it throw; then throws what the first of those did.
 * As `release` (linux/invariant.ts), for steps that take long or are many. They may be made while they are
 * done.
 */
export function* releasing(steps: Iterable<() => Sliced<void>>): Work<void> {
  const thrown: unknown[] = [];
  for (const step of steps) {
    try {
      yield* workOf(step());
    } catch (error) {
      thrown.push(error);
    }
    yield;
  }
  if (thrown.length > 0) throw thrown[0];
}
