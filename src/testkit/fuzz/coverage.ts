/**
 * Coverage: which code has run, as V8 counts it, block by block: a branch that was not taken is a block that
 * has not run.
 *
 * V8 names a block only while it has run more or less often than what it stands in. So it is not the names
 * that are kept, but for each character of the code whether it has run.
 *
 * To ask takes milliseconds, so a fuzzer asks after many inputs, and looks for the one that has brought
 * something new only when something is new.
 */
import { readFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { fileURLToPath } from 'node:url';

interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}

interface Script {
  readonly url: string;
  /** An outer one comes before those inside it. */
  readonly functions: readonly { readonly ranges: readonly Range[] }[];
}

/** How much of the code in a folder has run. */
export interface Share {
  readonly folder: string;
  readonly lines: number;
  readonly run: number;
}

export class Coverage {
  readonly #session = new Session();
  readonly #root: string;
  /** By script, a byte for each character: 1 when it has run. */
  readonly #run = new Map<string, Uint8Array>();

  /** @param root of the files that count, as a URL. */
  constructor(root: string) {
    this.#root = root;
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** How many characters have run since the last call that had not before; with `learn`, they have now. */
  news(learn: boolean): number {
    let found = 0;
    this.#session.post('Profiler.takePreciseCoverage', (error, answer) => {
      if (error) throw error;
      for (const script of answer.result as unknown as Script[])
        if (script.url.startsWith(this.#root)) found += this.#news(script, learn);
    });
    return found;
  }

  /** Lines with code, of the scripts that were loaded, by their folder below the root. */
  shares(): Share[] {
    const shares = new Map<string, { lines: number; run: number }>();
    for (const [url, run] of this.#run) {
      const [folder = ''] = url.slice(this.#root.length).split('/');
      const share = shares.get(folder) ?? { lines: 0, run: 0 };
      shares.set(folder, share);
      for (const at of codeLines(readFileSync(fileURLToPath(url), 'utf8'))) {
        share.lines++;
        share.run += run[at] ?? 0;
      }
    }
    return [...shares].map(([folder, share]) => ({ folder, ...share }));
  }

  #news({ url, functions }: Script, learn: boolean): number {
    const length = Math.max(
      0,
      ...functions.flatMap(({ ranges }) => ranges.map(({ endOffset }) => endOffset)),
    );
    const now = new Uint8Array(length);
    for (const { ranges } of functions)
      for (const { startOffset, endOffset, count } of ranges)
        now.fill(count > 0 ? 1 : 0, startOffset, endOffset);
    const before = this.#run.get(url) ?? new Uint8Array(0);
    const after = new Uint8Array(Math.max(length, before.length));
    after.set(before);
    let found = 0;
    for (let at = 0; at < length; at++)
      if (now[at]! > after[at]!) {
        after[at] = 1;
        found++;
      }
    if (learn) this.#run.set(url, after);
    return found;
  }
}

/** Where each line begins that has more than blanks, comments and brackets. */
function codeLines(text: string): number[] {
  const found: number[] = [];
  let start = 0;
  for (const line of text.split('\n')) {
    if (/^\s*[^\s/*{}()[\];,]/.test(line)) found.push(start + line.search(/\S/));
    start += line.length + 1;
  }
  return found;
}
