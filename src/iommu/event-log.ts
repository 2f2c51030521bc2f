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

/**
 * What somebody who looks has not read: events `at` to `end` of the columns, which have their places among
 * the events of all logs, and their times. So who reads several logs takes first what has the least place.
 */
export interface Unread<T> {
  events: readonly (T | undefined)[];
  orders: Readonly<Float64Array>;
  times: Readonly<Float64Array>;
  at: number;
  end: number;
  /** Events before them that are not kept any more. */
  lost: number;
}

/** Somebody who looks at a log, and reads from where he has read last. */
export interface Look<T> {
  /** What has come since; it stays so until the next event, or until it is done with. */
  unread(): Unread<T>;
  /** All that was unread has been read. */
  done(): void;
  end(): void;
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

  /** Somebody reads what comes from now on. It is kept for him no longer than for anybody. */
  look(): Look<Logged<T>> {
    let read = this.#total;
    return {
      unread: () => {
        if (read === this.#total) return nothing;
        const events = this.since(read);
        const orders = Float64Array.from(events, ({ order }) => order);
        const times = Float64Array.from(events, ({ time }) => time);
        return { events, orders, times, at: 0, end: events.length, lost: this.#total - read - events.length };
      },
      done: () => {
        read = this.#total;
      },
      end: () => undefined,
    };
  }

  /** The events from number `sequence` on that the ring still holds, oldest first. */
  since(sequence: number): Logged<T>[] {
    const events: Logged<T>[] = [];
    for (let n = Math.max(sequence, this.#total - this.#capacity, 0); n < this.#total; n++)
      events.push(this.#ring[n % this.#capacity]!);
    return events;
  }
}

function noneOf<T>(): Unread<T> {
  return { events: [], orders: noNumbers, times: noNumbers, at: 0, end: 0, lost: 0 };
}

const noNumbers = new Float64Array(0);
const nothing = noneOf<never>();

/** Events for which a log has room at first. */
const ROOM = 16;

interface Reading<T> {
  readonly unread: Unread<T>;
  /** Its number is that of the first event that he has not read. */
  read: number;
}

/**
 * A log that is kept only while somebody looks, and only until all have read it: otherwise asking `on` is all
 * that it costs. So what is noted for who reads soon does not grow old, and costs the garbage collector
 * nothing. `total` never falls.
 *
 * Invariant: the events with the numbers from `first` to `total` are kept, from the beginning of the columns
 * on, and no others.
 */
export class WatchedLog<T extends object> {
  readonly #capacity: number;
  readonly #readings: Reading<T>[] = [];
  readonly #events: (T | undefined)[] = [];
  #orders: Float64Array = new Float64Array(ROOM);
  #times: Float64Array = new Float64Array(ROOM);
  #first = 0;
  #total = 0;
  #on = false;

  /** @param capacity events that are kept for who reads late; more than twice as many never are. */
  constructor(capacity = 1024) {
    this.#capacity = Math.max(capacity, ROOM);
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
    if (this.#total - this.#first === this.#times.length) this.#makeRoom();
    const at = this.#total++ - this.#first;
    this.#events[at] = event;
    this.#orders[at] = events++;
    this.#times[at] = time;
  }

  /** Somebody looks, from now on. */
  look(): Look<T> {
    const reading: Reading<T> = { unread: noneOf(), read: this.#total };
    this.#readings.push(reading);
    this.#on = true;
    return {
      unread: () => this.#unread(reading),
      done: () => {
        reading.read = this.#total;
        this.#forget();
      },
      end: () => this.#end(reading),
    };
  }

  #unread({ unread, read }: Reading<T>): Unread<T> {
    unread.events = this.#events;
    unread.orders = this.#orders;
    unread.times = this.#times;
    unread.lost = Math.max(0, this.#first - read);
    unread.at = read + unread.lost - this.#first;
    unread.end = this.#total - this.#first;
    return unread;
  }

  #end(reading: Reading<T>): void {
    const at = this.#readings.indexOf(reading);
    if (at >= 0) this.#readings.splice(at, 1);
    this.#on = this.#readings.length > 0;
    this.#forget();
  }

  /** Drops everything, when all have read it. */
  #forget(): void {
    for (let n = 0; n < this.#readings.length; n++) if (this.#readings[n]!.read !== this.#total) return;
    for (let at = 0; this.#first < this.#total; this.#first++) this.#events[at++] = undefined;
  }

  /** Drops the oldest where no more room is to be made. */
  #makeRoom(): void {
    const room = this.#times.length;
    if (room < 2 * this.#capacity) {
      this.#orders = longer(this.#orders, Math.min(2 * room, 2 * this.#capacity));
      this.#times = longer(this.#times, Math.min(2 * room, 2 * this.#capacity));
      return;
    }
    for (const column of [this.#events, this.#orders, this.#times]) column.copyWithin(0, this.#capacity);
    this.#events.fill(undefined, this.#capacity);
    this.#first += this.#capacity;
  }
}

function longer(column: Float64Array, length: number): Float64Array {
  const made = new Float64Array(length);
  made.set(column);
  return made;
}
