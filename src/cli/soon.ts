/**
 * Soon: how often this thread tells those who look what has happened: at once, but not again within some
 * milliseconds. What comes meanwhile is told together, which costs a call a fraction of what it costs alone.
 *
 * It is asked after each turn of the server's loop. So what waits is no more than happens in that time and a
 * turn, and a timer tells it where no other turn comes.
 */
import { eventsByNow } from '../iommu/event-log.js';

const PACE_MS = 5;
/** So many events do not wait: the logs keep more for who reads late. */
const MOST_WAITING = 1 << 10;

export class Soon {
  readonly #tell: () => void;
  /** Events of all logs when it was told last. */
  #told = -1;
  #next = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(tell: () => void) {
    this.#tell = tell;
  }

  /** Tells what has come since the last time, or is `owed` anyway: now or soon. */
  tell(owed = false): void {
    const waiting = eventsByNow() - this.#told;
    if (waiting === 0 && !owed) return;
    if (waiting >= MOST_WAITING || performance.now() >= this.#next) this.now();
    else this.#timer ??= setTimeout(() => this.now(), PACE_MS).unref();
  }

  /** Tells it now; nothing waits any more. */
  now(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#told = eventsByNow();
    this.#next = performance.now() + PACE_MS;
    this.#tell();
  }
}
