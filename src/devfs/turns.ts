/**
 * Turns: which calls go on in slices, and which wait for them.
 *
 * A call that goes on has claimed the objects that it uses, until its end. One that would use what another
 * has claimed waits, and claims its objects too, so that calls on one object are served in the order in which
 * they came, whatever else is served meanwhile. Invariant: no object is used by two calls at once.
 *
 * A call never waits for another in the middle of its own work, and all that it claims it claims at once. So
 * no two calls can wait for each other.
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
  /** What it would use beside what its file does. */
  readonly objects: readonly object[];

  constructor(...objects: readonly object[]) {
    super('another call goes on with what this one uses');
    this.objects = objects;
  }
}

/** Has it ended, or does it wait? */
type Progress = boolean | Pause;

interface Call {
  readonly objects: readonly object[];
}

interface Ongoing extends Call {
  /** Does a slice, the last one with `now`. @returns whether the call has ended; a Pause: it could not. */
  readonly proceed: (now?: true) => Progress;
  waits: boolean;
}

interface Waiting extends Call {
  /** Begins the call. It may turn into an ongoing one. */
  readonly begin: () => void;
}

export class Turns {
  #ongoing: Ongoing[] = [];
  #waiting: Waiting[] = [];
  #pause: NodeJS.Timeout | undefined;

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
  goOn(objects: readonly object[], proceed: (now?: true) => Progress): void {
    this.#ongoing.push({ objects, proceed, waits: false });
  }

  /**
   * A slice of the call that has waited longest for one, and can do some. @returns whether there is more to
   * be done now.
   */
  step(): boolean {
    for (let asked = this.#ongoing.length; asked > 0; asked--) if (!isPause(this.#proceed())) break;
    const more = this.#ongoing.some(({ waits }) => !waits);
    if (!more && !this.idle) this.#pause ??= setTimeout(() => (this.#pause = undefined), PAUSE_MS);
    return more;
  }

  /** Does all that is left: nobody is served any more. */
  end(): void {
    clearTimeout(this.#pause);
    while (!this.idle) this.#proceed(true);
  }

  #proceed(now?: true): Progress {
    const call = this.#ongoing[0]!;
    const ended = call.proceed(now);
    this.#ongoing.shift();
    call.waits = isPause(ended);
    if (ended === true) this.#admit();
    else this.#ongoing.push(call);
    return ended;
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

/**
 * Does a slice of `work`; `now`: and nobody is served meanwhile. @returns its result; false when there is
 * more to do, a Pause when not before something comes.
 */
export function slice<T>(work: Work<T>, now?: true): { readonly value: T } | false | Pause {
  const deadline = performance.now() + SLICE_MS;
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

function meet(some: readonly object[], others: readonly object[]): boolean {
  return some.some((object) => others.includes(object));
}
