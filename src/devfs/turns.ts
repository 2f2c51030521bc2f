/**
 * Turns: which calls go on in slices, and which wait for them.
 *
 * A call that goes on has claimed the objects that it uses, until its end. One that would use what another
 * has claimed waits, and claims its objects too, so that calls on one object are served in the order in which
 * they came, whatever else is served meanwhile. Invariant: no object is used by two calls at once.
 *
 * A call never waits for another in the middle of its own work, and all that it claims it claims at once. So
 * no two calls can wait for each other.
 */
import { Postponed, type Work } from '../file/work.js';

/** How long a slice takes, in milliseconds. */
const SLICE_MS = 1;

/** Thrown out of a handler that would use what another call has claimed: dispatch the request again later. */
export class Claimed extends Postponed {
  /** What it would use beside what its file does. */
  readonly objects: readonly object[];

  constructor(...objects: readonly object[]) {
    super('another call goes on with what this one uses');
    this.objects = objects;
  }
}

interface Call {
  readonly objects: readonly object[];
}

interface Ongoing extends Call {
  /** Does a slice. @returns whether the call has ended. */
  readonly proceed: () => boolean;
}

interface Waiting extends Call {
  /** Begins the call. It may turn into an ongoing one. */
  readonly begin: () => void;
}

export class Turns {
  #ongoing: Ongoing[] = [];
  #waiting: Waiting[] = [];

  /** Does no call go on? Then none waits either. */
  get idle(): boolean {
    return this.#ongoing.length === 0;
  }

  /** Must a call that uses one of `objects` wait? */
  claimed(objects: readonly object[]): boolean {
    if (this.idle) return false;
    return [this.#ongoing, this.#waiting].some((calls) => calls.some((call) => meet(call.objects, objects)));
  }

  /** `begin` is called when none of the calls that came before uses one of `objects` any more. */
  wait(objects: readonly object[], begin: () => void): void {
    this.#waiting.push({ objects, begin });
  }

  /** A call has done its first slice: `proceed` is called in each of its turns until it returns true. */
  goOn(objects: readonly object[], proceed: () => boolean): void {
    this.#ongoing.push({ objects, proceed });
  }

  /** A slice of the call that has waited longest for one. @returns whether there is more. */
  step(): boolean {
    const call = this.#ongoing[0];
    if (call === undefined) return false;
    const ended = call.proceed();
    this.#ongoing.shift();
    if (ended) this.#admit();
    else this.#ongoing.push(call);
    return !this.idle;
  }

  /** A call has ended: those that can begin now do, in their order. */
  #admit(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const call of waiting) {
      if (this.claimed(call.objects)) this.#waiting.push(call);
      else call.begin();
    }
  }
}

/** Does a slice of `work`. @returns its result, or undefined when there is more to do. */
export function slice<T>(work: Work<T>): { readonly value: T } | undefined {
  const deadline = performance.now() + SLICE_MS;
  do {
    const { done, value } = work.next();
    if (done) return { value };
  } while (performance.now() < deadline);
  return undefined;
}

function meet(some: readonly object[], others: readonly object[]): boolean {
  return some.some((object) => others.includes(object));
}
