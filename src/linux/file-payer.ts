/**
 * FilePayer: a process that has given us a file, and has it mapped itself, as a rule: then it is charged for
 * what devices write into holes of the file.
 *
 * Where it has the file mapped is found out when the first hole is written to, and remembered. Nothing
 * depends on it: a page that is touched through a mapping which has become another one is not made, and the
 * next payer is tried.
 */
import { Refusal } from './errno.js';
import type { FileMemory, StandingPayer } from './file-memory.js';
import type { SharedArea } from './process-areas.js';
import { ProcessMemory } from './process-memory.js';

/** So long after a search that found nothing there is no other. */
const RETRY_MS = 100;

/** The process of thread `tid`, which waits for us, pays for `file` when nobody does yet and it can. */
export function payFor(file: FileMemory, tid: number): void {
  if (!file.wantsPayer) return;
  try {
    const process = ProcessMemory.of(file.account, tid);
    process.hold();
    file.paidBy(new FilePayer(process, file.backing(0).file));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
  }
}

class FilePayer implements StandingPayer {
  readonly #process: ProcessMemory;
  readonly #identity: string;
  #area: SharedArea | undefined;
  #searchedAt = Number.NEGATIVE_INFINITY;
  #executed = false;

  constructor(process: ProcessMemory, identity: string) {
    this.#process = process;
    this.#identity = identity;
  }

  get gone(): boolean {
    return this.#executed || this.#process.exited;
  }

  touch(offset: number, length: number): void {
    const area = this.#areaOf(offset);
    if (area === undefined) return;
    const address = area.start + (offset - area.shared.offset);
    const touched = this.#process.touch(address, Math.min(length, area.end - address));
    if (touched < 0) this.#area = undefined;
    if (touched === 0) this.#executed = true;
  }

  close(): void {
    this.#process.close();
  }

  #areaOf(offset: number): SharedArea | undefined {
    const known = this.#area;
    if (known !== undefined && holds(known, offset)) return known;
    const now = performance.now();
    if (now - this.#searchedAt < RETRY_MS) return undefined;
    this.#area = this.#search(offset);
    if (this.#area === undefined) this.#searchedAt = now;
    return this.#area;
  }

  #search(offset: number): SharedArea | undefined {
    try {
      return this.#process.areaOfFile(this.#identity, offset);
    } catch (error) {
      if (error instanceof Refusal) return undefined;
      throw error;
    }
  }
}

function holds({ start, end, shared }: SharedArea, offset: number): boolean {
  return offset >= shared.offset && offset - shared.offset < end - start;
}
