/**
 * Coverage: which pieces of the code have run, as V8 counts them, block by block.
 *
 * To ask takes milliseconds, so a fuzzer asks after many inputs, and looks for the one that has brought
 * something new only when something is new.
 */
import { Session } from 'node:inspector';

interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}

interface Script {
  readonly url: string;
  readonly functions: readonly { readonly ranges: readonly Range[] }[];
}

export class Coverage {
  readonly #session = new Session();
  readonly #root: string;
  readonly #seen = new Set<string>();

  /** @param root of the files that count, as a URL. */
  constructor(root: string) {
    this.#root = root;
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** The pieces that have ever run. */
  get size(): number {
    return this.#seen.size;
  }

  /** How many pieces have run since the last call that had not before; with `learn`, they have now. */
  news(learn: boolean): number {
    const found = new Set<string>();
    this.#session.post('Profiler.takePreciseCoverage', (error, answer) => {
      if (error) throw error;
      for (const script of answer.result as unknown as Script[])
        if (script.url.startsWith(this.#root)) this.#add(script, found);
    });
    if (learn) for (const each of found) this.#seen.add(each);
    return found.size;
  }

  #add({ url, functions }: Script, found: Set<string>): void {
    for (const { ranges } of functions)
      for (const { startOffset, endOffset, count } of ranges) {
        const key = `${url}:${startOffset}:${endOffset}`;
        if (count > 0 && !this.#seen.has(key)) found.add(key);
      }
  }
}
