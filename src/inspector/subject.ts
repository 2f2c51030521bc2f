/**
 * Subject: the machine that is looked at, on the thread that serves it.
 *
 * It is pulled: whoever looks says which version he knows, and is told what there is when there is another.
 * A version is how much has happened, the sum of numbers that only grow, so nobody has to be called when
 * something changes.
 *
 * A look takes long where there is much, so it is Work. What has happened is taken from the logs all the
 * time, a little at once (`hear`), and made events of in a look.
 */
import type { OpenedFile } from '../devfs/fuse-server.js';
import { finish, type Work } from '../file/work.js';
import { eventsByNow } from '../iommu/event-log.js';
import { Refusal, refuse } from '../linux/errno.js';
import { now } from '../linux/now.js';
import type { Machine } from '../machine/machine.js';
import type { TraceEvent } from '../trace/event.js';
import { eventsOf, type Recorded } from '../trace/raw.js';
import { TraceReader } from '../trace/reader.js';
import { Items, Keys } from './items.js';
import type { Answer, Pulled, Question } from './model.js';
import { answerTo } from './questions.js';

/** The last that has happened is kept for the next look: so many, up to twice as many. */
const KEPT = 1 << 14;
/** What takes next to nothing is done for so many before others are served. */
const MANY = 256;

export class Subject {
  readonly #machine: Machine;
  readonly #opened: () => Iterable<OpenedFile>;
  readonly #reader: TraceReader;
  readonly #keys = new Keys();
  #told: ReadonlyMap<string, string> = new Map();
  /** Events of all logs when it has heard last. */
  #heard = -1;
  #happened: Recorded[] = [];
  #lost = 0;

  /** Its calls are traced from now on, until `end`. `opened`: the files that programs have open. */
  constructor(machine: Machine, opened: () => Iterable<OpenedFile> = () => []) {
    this.#machine = machine;
    this.#opened = opened;
    this.#reader = new TraceReader(machine.logs);
  }

  /** How much has happened. It only grows. */
  get version(): number {
    const { trace, faults, transfers, devices } = this.#machine.logs;
    let version = trace.calls.total + faults.total + transfers.total;
    for (const { notes, happenings } of devices) version += notes.total + happenings.total;
    return version;
  }

  /** Takes what has happened: to be called often. */
  hear(): void {
    if (eventsByNow() === this.#heard) return;
    this.#heard = eventsByNow();
    for (const each of this.#reader.raw()) this.#happened.push(each);
    if (this.#happened.length < 2 * KEPT) return;
    for (const each of this.#happened.splice(0, this.#happened.length - KEPT))
      this.#lost += each.kind === 'lost' ? each.count : 1;
  }

  /** What there is now, and what has happened since the last look. One look at a time. */
  *look(): Work<Pulled> {
    const { version } = this;
    const time = now();
    const happened = this.#taken(time);
    const items = yield* new Items(this.#machine, this.#keys).all(this.#opened());
    const isNews = yield* this.#differs(items);
    this.#told = items;
    const events: TraceEvent[] = [];
    for (const each of happened) {
      events.push(...eventsOf([each]));
      yield;
    }
    return { version, time, events, ...(isNews && { items: [...items] }) };
  }

  /** As `look`, for whoever serves nobody. */
  pull(): Pulled {
    return finish(this.look());
  }

  #taken(time: number): Recorded[] {
    this.hear();
    const happened = this.#happened;
    this.#happened = [];
    if (this.#lost > 0) happened.unshift({ kind: 'lost', count: this.#lost, time });
    this.#lost = 0;
    return happened;
  }

  /** Are `items` others than were told last? */
  *#differs(items: ReadonlyMap<string, string>): Work<boolean> {
    if (items.size !== this.#told.size) return true;
    let seen = 0;
    for (const [key, text] of items) {
      if (this.#told.get(key) !== text) return true;
      if (++seen % MANY === 0) yield;
    }
    return false;
  }

  /** The answer to what is asked: of anybody, so it may be anything. */
  answer(question: unknown): Answer {
    try {
      if (typeof question !== 'object' || question === null) refuse('EINVAL', 'what is asked is no question');
      return answerTo(this.#machine, this.#keys, question as Question);
    } catch (error) {
      if (error instanceof Refusal) return { error: error.reason };
      throw error;
    }
  }

  end(): void {
    this.#reader.end();
  }
}
