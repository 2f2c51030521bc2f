/**
 * Past: what a page knows of a machine, now and before: frames, and the items that there were after each.
 *
 * Every so many frames the items are kept as a whole, so that any moment is soon put together.
 */
import type { Frame, FramedEvent, Item, News } from './model.js';

const EVERY = 64;
/** Events that are kept. */
const EVENTS = 50_000;

export type Items = ReadonlyMap<string, Item>;

export class Past {
  frames: Frame[] = [];
  events: FramedEvent[] = [];
  next = { frames: 0, events: 0 };
  ended = false;
  #wholes: Items[] = [];
  #now = new Map<string, Item>();

  /** Items as they are now. */
  get now(): Items {
    return this.#now;
  }

  hear({ whole, frames, events, next, ended }: News): void {
    if (whole) {
      this.frames = [];
      this.events = [];
      this.#wholes = [];
      this.#now = new Map();
    }
    for (const frame of frames) {
      if (this.frames.length % EVERY === 0) this.#wholes.push(new Map(this.#now));
      this.frames.push(frame);
      this.#now = applied(frame, this.#now);
    }
    this.events.push(...events);
    if (this.events.length > 2 * EVENTS) this.events = this.events.slice(-EVENTS);
    this.next = next;
    this.ended = ended;
  }

  /** The items after frame `index` of those that are kept. */
  at(index: number): Items {
    const whole = Math.floor(index / EVERY);
    let items = new Map(this.#wholes[whole]);
    for (const frame of this.frames.slice(whole * EVERY, index + 1)) items = applied(frame, items);
    return items;
  }
}

function applied({ changed, gone }: Frame, items: Map<string, Item>): Map<string, Item> {
  for (const key of gone) items.delete(key);
  for (const [key, text] of Object.entries(changed)) items.set(key, JSON.parse(text) as Item);
  return items;
}
