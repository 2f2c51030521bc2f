/**
 * Turns: which calls go on in slices, and which wait for them.
 *
 * A call that goes on has claimed the objects that it uses, until its end. One that would use what another
 * has claimed waits, and claims its objects too, so that calls on one object are served in the order in which
 * they came, whatever else is served meanwhile. Invariant: no object is used by two calls at once.
 *
 * A call never waits for another in the middle of its own work, and all that it claims it claims at once. So
 * no two calls can wait for each other: of those that wait, the one that came first waits for none of them.
 *
 * Openers take turns, and the calls of each in his own: whoever has a thousand under way gets no more slices
 * than who has one. For the same reason the first slice of a call, which it gets at once, is the shorter the
 * more his opener has under way.
 *
 * However many wait, to ask whether one must and to let the next begin takes no longer: each object has its
 * queue. Those that can begin do so in slices, too.
 *
 * One that says that it waits, for a disk say, is asked again whenever there is something to be served, and
 * every PAUSE_MS: while all do, there is nothing to be done.
 */
import { type Pause, Postponed, type Work } from '../file/work.js';

/** How long a slice takes, in milliseconds. */
const SLICE_MS = 1;
/** How long calls that wait are left alone where nothing else happens. */
const PAUSE_MS = 20;

/** Thrown out of a handler that would use what another call has claimed: dispatch the request again later. */
export class Claimed extends Postponed {
  /** What it waits for, and keeps those that come after it from. */
  readonly objects: readonly object[];

  constructor(...objects: readonly object[]) {
    super('another call goes on with what this one uses');
    this.objects = objects;
  }
}

/** Has it ended, or does it wait? */
type Progress = boolean | Pause;

interface Ongoing {
  readonly objects: readonly object[];
  /** Does a slice, the last one with `now`. @returns whether the call has ended; a Pause: it could not. */
  readonly proceed: (now?: true) => Progress;
  waits: boolean;
}

interface Waiting {
  readonly objects: readonly object[];
  /** Its place among all that wait: that of its arrival, also when it has begun and must wait for more. */
  readonly ticket: number;
  /** Begins the call. It may turn into an ongoing one, or wait again. */
  readonly begin: () => void;
}

export class Turns {
  /** Calls that go on, by their openers: who comes first has waited longest, of openers and of calls. */
  readonly #ongoing = new Map<object, Ongoing[]>();
  /** How many calls that go on use an object. */
  readonly #used = new Map<object, number>();
  /** Who waits for an object, by rising ticket. */
  readonly #queues = new Map<object, Waiting[]>();
  /** The first in a queue that has moved: it may be that they can begin. */
  readonly #candidates = new Set<Waiting>();
  #waiting = 0;
  #tickets = 0;
  /** The call that begins now. */
  #beginning: Waiting | undefined;
  #pause: NodeJS.Timeout | undefined;

  /** Does no call go on, and none wait? */
  get idle(): boolean {
    return this.#ongoing.size === 0 && this.#waiting === 0;
  }

  /** How long the first slice of a call may take on a file that `opener` has opened, in milliseconds. */
  firstSlice(opener: object): number {
    return SLICE_MS / (1 + (this.#ongoing.get(opener)?.length ?? 0));
  }

  /** Must a call that uses one of `objects` wait? */
  claimed(objects: readonly object[]): boolean {
    return !this.idle && objects.some((object) => this.#used.has(object) || this.#isAwaited(object));
  }

  /** `begin` is called when none of the calls that came before uses one of `objects` any more. */
  wait(objects: readonly object[], begin: () => void): void {
    const ticket = this.#beginning?.ticket ?? ++this.#tickets;
    const call = { objects: [...new Set(objects)], ticket, begin };
    this.#waiting++;
    for (const object of call.objects) {
      const queue = this.#queues.get(object);
      if (queue === undefined) this.#queues.set(object, [call]);
      else queue.splice(queue.findLastIndex((other) => other.ticket < ticket) + 1, 0, call);
    }
  }

  /**
   * A call on a file that `opener` has opened has done its first slice: `proceed` is called in each of its
   * turns until it returns true.
   */
  goOn(opener: object, objects: readonly object[], proceed: (now?: true) => Progress): void {
    for (const object of objects) this.#used.set(object, (this.#used.get(object) ?? 0) + 1);
    const call = { objects, proceed, waits: false };
    const others = this.#ongoing.get(opener);
    if (others === undefined) this.#ongoing.set(opener, [call]);
    else others.push(call);
  }

  /**
   * A slice of the opener that has waited longest for one, and has a call that can do some; then one of
   * beginning calls that waited. @returns whether there is more to be done now.
   */
  step(): boolean {
    for (let openers = this.#ongoing.size; openers > 0; openers--) if (this.#turn()) break;
    this.#admit();
    const more = this.#candidates.size > 0 || this.#canGoOn();
    if (!more && !this.idle) this.#pause ??= setTimeout(() => (this.#pause = undefined), PAUSE_MS);
    return more;
  }

  /** Does all that is left: nobody is served any more. */
  end(): void {
    clearTimeout(this.#pause);
    while (!this.idle) {
      if (this.#ongoing.size > 0) this.#turn(true);
      this.#admit();
    }
  }

  /** The turn of the next opener, who is the last then. @returns whether a call of his could do a slice. */
  #turn(now?: true): boolean {
    const [opener, calls] = this.#ongoing.entries().next().value!;
    let waiting = calls.length;
    while (waiting > 0 && isPause(this.#proceed(calls, now))) waiting--;
    this.#ongoing.delete(opener);
    if (calls.length > 0) this.#ongoing.set(opener, calls);
    return waiting > 0;
  }

  /** A slice of the first of `calls`, which is the last of them then. */
  #proceed(calls: Ongoing[], now?: true): Progress {
    const call = calls[0]!;
    const ended = call.proceed(now);
    calls.shift();
    call.waits = isPause(ended);
    if (ended === true) this.#leave(call.objects);
    else calls.push(call);
    return ended;
  }

  #canGoOn(): boolean {
    for (const calls of this.#ongoing.values()) if (calls.some(({ waits }) => !waits)) return true;
    return false;
  }

  /** A call that used `objects` has ended. */
  #leave(objects: readonly object[]): void {
    for (const object of objects) {
      const others = this.#used.get(object)! - 1;
      if (others > 0) this.#used.set(object, others);
      else this.#used.delete(object);
    }
    this.#consider(objects);
  }

  /** Whoever is first in the queue of one of `objects` may be able to begin. */
  #consider(objects: readonly object[]): void {
    for (const object of objects) {
      const first = this.#queues.get(object)?.[0];
      if (first !== undefined) this.#candidates.add(first);
    }
  }

  /** Lets calls begin that can, for a slice: there may be thousands. */
  #admit(): void {
    if (this.#candidates.size === 0) return;
    const deadline = performance.now() + SLICE_MS;
    for (const call of this.#candidates) {
      this.#candidates.delete(call);
      if (this.#isFree(call)) this.#begin(call);
      if (performance.now() >= deadline) return;
    }
  }

  #isFree(call: Waiting): boolean {
    return call.objects.every((each) => !this.#used.has(each) && this.#queues.get(each)?.[0] === call);
  }

  #begin(call: Waiting): void {
    for (const object of call.objects) {
      const queue = this.#queues.get(object)!;
      queue.shift();
      if (queue.length === 0) this.#queues.delete(object);
    }
    this.#waiting--;
    this.#beginning = call;
    try {
      call.begin();
    } finally {
      this.#beginning = undefined;
      this.#consider(call.objects);
    }
  }

  /** Does somebody wait for `object` who came before the call that begins? */
  #isAwaited(object: object): boolean {
    const first = this.#queues.get(object)?.[0];
    return first !== undefined && (this.#beginning === undefined || first.ticket < this.#beginning.ticket);
  }
}

/**
 * Does a slice of `work`, a piece at least; `now`: and nobody is served meanwhile. @returns its result; false
 * when there is more to do, a Pause when not before something comes.
 */
export function slice<T>(
  work: Work<T>,
  now?: true,
  milliseconds = SLICE_MS,
): { readonly value: T } | false | Pause {
  const deadline = performance.now() + milliseconds;
  do {
    const { done, value } = work.next(now);
    if (done) return { value };
    if (value !== undefined) return value;
  } while (performance.now() < deadline);
  return false;
}

function isPause(progress: Progress): progress is Pause {
  return typeof progress === 'string';
}
