/**
 * Trace: the calls on the files of a machine, as long as somebody looks.
 *
 * While nobody does, nothing is recorded, and a call costs one comparison more than without
 * (traced-file.ts). Whoever looks reads the log from where he has read it last; nobody is called.
 */
import type { OpenFile } from '../file/open-file.js';
import { WatchedLog } from '../iommu/event-log.js';
import type { Refusal } from '../linux/errno.js';
import { commandName } from '../linux/proc.js';
import type { CallEvent } from './event.js';

/** Calls that are kept for who looks at them: he does after each turn of the server's loop. */
const KEPT = 1 << 14;
const MOST_PROGRAMS = 1024;

export class Trace {
  readonly calls = new WatchedLog<CallEvent>(KEPT);
  readonly #names = new WeakMap<object, string>();
  /** By object: the file that was opened last, and what was refused last on those before it. */
  readonly #last = new WeakMap<object, { readonly file: OpenFile; readonly before: Refusal | undefined }>();
  /** What calls have thrown that are in the log. */
  readonly #told = new WeakSet<object>();
  readonly #programs = new Map<number, string>();

  /** A file for `file.object` has been opened. */
  opened(file: OpenFile): void {
    this.#last.set(file.object, { file, before: this.lastRefusal(file.object) });
  }

  /** What was refused last on the files that stand for `object`. */
  lastRefusal(object: object): Refusal | undefined {
    const last = this.#last.get(object);
    return last?.file.lastRefusal ?? last?.before;
  }

  /** The files that stand for `object` are at `path` below /dev. */
  name(object: object, path: string): void {
    this.#names.set(object, `/dev/${path}`);
  }

  /** Where the files are that stand for `object`. */
  nameOf(object: object): string | undefined {
    return this.#names.get(object);
  }

  /** A call has thrown `error`. @returns whether that is news: what is in the log is not told twice. */
  tells(error: object): boolean {
    if (this.#told.has(error)) return false;
    this.#told.add(error);
    return true;
  }

  /** What thread `tid` calls itself. It is asked again with every file that it opens. */
  program(tid: number, again: boolean): string {
    const known = this.#programs.get(tid);
    if (known !== undefined && !again) return known;
    const name = commandName(tid);
    if (this.#programs.size >= MOST_PROGRAMS) this.#programs.clear();
    this.#programs.set(tid, name);
    return name;
  }
}
