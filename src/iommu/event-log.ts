/**
 * EventLog: what happened, newest last, in a ring of fixed length.
 *
 * Nobody is called when an event is recorded; whoever wants to know reads from the sequence number that he
 * has seen last. `total` never falls.
 */
import { now } from '../linux/now.js';

/** An event, with its place and time. */
export type Logged<T> = T & {
  /** Its number in the log. */
  readonly sequence: number;
  /** Its number among the events of all logs. */
  readonly order: number;
  /** Milliseconds since the epoch (`now`). */
  readonly time: number;
};

/** Events of all logs. */
let events = 0;

/** How many there have been by now, of all logs: who has seen as many has nothing to read. */
export function eventsByNow(): number {
  return events;
}

export class EventLog<T extends object> {
  readonly #ring: Logged<T>[] = [];
  readonly #capacity: number;
  #total = 0;

  constructor(capacity = 1024) {
    this.#capacity = capacity;
  }

  /** Events recorded since the beginning. */
  get total(): number {
    return this.#total;
  }

  record(event: T): void {
    this.#ring[this.#total % this.#capacity] = {
      sequence: this.#total,
      order: events++,
      time: now(),
      ...event,
    };
    this.#total++;
  }

  /** The events from number `sequence` on that the ring still holds, oldest first. */
  since(sequence: number): Logged<T>[] {
    const events: Logged<T>[] = [];
    for (let n = Math.max(sequence, this.#total - this.#capacity, 0); n < this.#total; n++)
      events.push(this.#ring[n % this.#capacity]!);
    return events;
  }
}

/** An event of a WatchedLog, with its place among the events of all logs, and its time (`now`). */
export interface Noted<T> {
  readonly order: number;
  readonly time: number;
  readonly event: T;
}

/** Somebody who looks at a log: what he has not read yet is kept for him. */
export interface Look<T> {
  /** What has come since the last time, oldest first, and how much of it is not kept any more. */
  read(): { readonly events: readonly Noted<T>[]; readonly lost: number };
  end(): void;
}

/**
 * A log that is kept only while somebody looks, and only until all have read it: otherwise asking `on` is all
 * that it costs. So what is noted for who reads soon does not grow old, and costs the garbage collector
 * nothing. `total` never falls.
 */
export class WatchedLog<T extends object> {
  readonly #capacity: number;
  readonly #looks = new Set<{ read: number }>();
  /** The last `#kept.length` of `#total`. */
  #kept: Noted<T>[] = [];
  #total = 0;
  #on = false;

  /** @param capacity events that are kept for who reads late; up to twice as many are. */
  constructor(capacity = 1024) {
    this.#capacity = capacity;
  }

  /** Is what happens to be recorded? */
  get on(): boolean {
    return this.#on;
  }

  /** Events recorded since the beginning. */
  get total(): number {
    return this.#total;
  }

  /** @param time when it was, of who knows it (`now`). */
  record(event: T, time = now()): void {
    if (this.#kept.length === 2 * this.#capacity) this.#kept = this.#kept.slice(this.#capacity);
    this.#kept.push({ order: events++, time, event });
    this.#total++;
  }

  /** Somebody looks, from now on. */
  look(): Look<T> {
    const look = { read: this.#total };
    this.#looks.add(look);
    this.#on = true;
    return { read: () => this.#read(look), end: () => this.#end(look) };
  }

  #read(look: { read: number }): ReturnType<Look<T>['read']> {
    if (look.read === this.#total) return nothing;
    const first = this.#total - this.#kept.length;
    const from = Math.max(first, look.read);
    const found = { events: this.#kept.slice(from - first), lost: from - look.read };
    look.read = this.#total;
    this.#forget();
    return found;
  }

  #end(look: { read: number }): void {
    this.#looks.delete(look);
    this.#on = this.#looks.size > 0;
    this.#forget();
  }

  /** Drops what all have read. */
  #forget(): void {
    for (const { read } of this.#looks) if (read !== this.#total) return;
    this.#kept.length = 0;
  }
}

const nothing = { events: [], lost: 0 };
