/**
 * History: what a machine was at each moment that was looked at, and what has happened in between.
 *
 * A moment is kept as what has changed since the one before it. Invariant: `base` with all frames that are
 * kept, in their order, is what there is now. What is kept is bounded: the oldest frames become part of the
 * base, and the oldest events are forgotten.
 */
import type { TraceEvent } from '../trace/event.js';
import type { Frame, FramedEvent, ItemTexts, News } from './model.js';

export interface HistoryLimits {
  readonly frames: number;
  /** Characters of all frames together. */
  readonly size: number;
  readonly events: number;
  /** Frames, and events, of one answer. */
  readonly told: number;
}

const LIMITS: HistoryLimits = { frames: 5_000, size: 2 ** 26, events: 50_000, told: 2_000 };

export class History {
  readonly #limits: HistoryLimits;
  readonly #base = new Map<string, string>();
  readonly #now = new Map<string, string>();
  #frames: { readonly frame: Frame; readonly size: number }[] = [];
  #events: FramedEvent[] = [];
  #size = 0;
  // How many frames and events there were in all.
  #frameCount = 0;
  #eventCount = 0;
  ended = false;

  constructor(limits: Partial<HistoryLimits> = {}) {
    this.#limits = { ...LIMITS, ...limits };
  }

  /** Frames so far, and events: who knows that many knows all. */
  get known(): { readonly frames: number; readonly events: number } {
    return { frames: this.#frameCount, events: this.#eventCount };
  }

  /** What there is at `time`, which makes a frame when it is not what there was; and what led to it. */
  add(time: number, items: ItemTexts, events: readonly TraceEvent[]): void {
    const changed: Record<string, string> = Object.create(null);
    let size = 0;
    for (const [key, text] of items) {
      if (this.#now.get(key) === text) continue;
      changed[key] = text;
      size += key.length + text.length;
    }
    const gone = [...this.#now.keys()].filter((key) => !items.has(key));
    size += gone.reduce((sum, key) => sum + key.length, 0);
    if (size > 0 || this.#frameCount === 0)
      this.#push({ number: this.#frameCount, time, changed, gone }, size);
    const frame = this.#frameCount - 1;
    this.#eventCount += events.length;
    for (const event of events) this.#events.push({ frame, event });
    const surplus = this.#events.length - this.#limits.events;
    // Not one by one: that would move all others each time.
    if (surplus > this.#limits.events / 4) this.#events = this.#events.slice(surplus);
  }

  /** What who knows `frames` frames and `events` events does not know yet; perhaps not all of it at once. */
  news(frames: number, events: number): News {
    const { told } = this.#limits;
    const first = this.#frameCount - this.#frames.length;
    const whole = frames < first || frames > this.#frameCount || events > this.#eventCount;
    const from = whole ? 0 : frames - first;
    const kept = this.#frames.slice(from, from + told).map(({ frame }) => frame);
    const oldest = this.#eventCount - this.#events.length;
    const start = whole ? 0 : Math.max(0, events - oldest);
    return {
      whole,
      frames: whole ? [this.#wholeFrame(first), ...kept] : kept,
      events: this.#events.slice(start, start + told),
      next: {
        frames: whole ? first + kept.length : frames + kept.length,
        events: oldest + Math.min(start + told, this.#events.length),
      },
      ended: this.ended,
    };
  }

  #push(frame: Frame, size: number): void {
    apply(frame, this.#now);
    this.#frames.push({ frame, size });
    this.#frameCount++;
    this.#size += size;
    const { frames, size: most } = this.#limits;
    while (this.#frames.length > 1 && (this.#frames.length > frames || this.#size > most)) {
      const oldest = this.#frames.shift()!;
      apply(oldest.frame, this.#base);
      this.#size -= oldest.size;
    }
  }

  /** The base, as the frame before the first that is kept. */
  #wholeFrame(first: number): Frame {
    const time = this.#frames[0]?.frame.time ?? 0;
    return { number: first - 1, time, changed: Object.fromEntries(this.#base), gone: [] };
  }
}

function apply({ changed, gone }: Frame, items: Map<string, string>): void {
  for (const key of gone) items.delete(key);
  for (const [key, text] of Object.entries(changed)) items.set(key, text);
}
