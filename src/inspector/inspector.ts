/**
 * Inspector: what looks at a machine and shows it in a browser. It has a thread or process of its own, so
 * that whatever a browser does is nothing to the programs that a server serves.
 */
import { History } from './history.js';
import type { Answer, ItemTexts, News, Pulled, Question } from './model.js';
import { type Content, WebServer } from './web-server.js';

/** What is looked at: a server that runs, or a run that was recorded. */
export interface Source {
  /** What there is, whenever that has changed, until the end. */
  pulls(): AsyncIterable<Pulled>;
  ask(question: Question): Promise<Answer>;
}

export class Inspector implements Content {
  readonly #history = new History();
  readonly #source: Source;
  #items: ItemTexts = new Map();
  readonly #waiting = new Set<() => void>();

  /** Looks at `source`, until that ends. */
  constructor(source: Source) {
    this.#source = source;
    void this.#watch();
  }

  /** Shows it at `port` (0: a free one) to whoever knows `token`. @throws Refusal EADDRINUSE, EACCES. */
  show(port: number, token: string): Promise<WebServer> {
    return WebServer.listen(port, token, this);
  }

  async news(frames: number, events: number, signal: AbortSignal): Promise<News> {
    const { known } = this.#history;
    const none = frames === known.frames && events === known.events;
    if (none && !this.#history.ended) await this.#change(signal);
    return this.#history.news(frames, events);
  }

  ask(question: Question): Promise<Answer> {
    return this.#source.ask(question);
  }

  /** Resolves when there is something new, or at `signal`. */
  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#waiting.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      if (signal.aborted) done();
      else {
        this.#waiting.add(done);
        signal.addEventListener('abort', done);
      }
    });
  }

  async #watch(): Promise<void> {
    for await (const pulled of this.#source.pulls()) {
      if (pulled.items !== undefined) this.#items = new Map(pulled.items);
      if (pulled.items === undefined && pulled.events.length === 0) continue;
      this.#history.add(pulled.time, this.#items, pulled.events);
      this.#wake();
    }
    this.#history.ended = true;
    this.#wake();
  }

  #wake(): void {
    for (const done of this.#waiting) done();
  }
}
