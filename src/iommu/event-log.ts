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

/** A log that is kept only while somebody looks: otherwise asking `on` is all that it costs. */
export class WatchedLog<T extends object> extends EventLog<T> {
  #on = false;
  #lookers = 0;

  /** Is what happens to be recorded? */
  get on(): boolean {
    return this.#on;
  }

  /** Somebody looks from now on, until he calls what is returned. */
  look(): () => void {
    this.#on = ++this.#lookers > 0;
    let ended = false;
    return () => {
      if (!ended) this.#on = --this.#lookers > 0;
      ended = true;
    };
  }
}
