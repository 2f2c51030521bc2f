/**
 * Trace: the calls on the files of a machine, as long as somebody looks.
 *
 * While nobody does, nothing but what was refused last is recorded, and a call costs one comparison more
 * than without (traced-file.ts). Whoever looks reads the log from where he has read it last; nobody is
 * called.
 */
import type { Caller, MemoryRange, OpenFile } from '../file/open-file.js';
import { EventLog, WatchedLog } from '../iommu/event-log.js';
import type { Memory } from '../iommu/memory.js';
import { Refusal } from '../linux/errno.js';
import { commandName } from '../linux/proc.js';
import type { CallRecord } from './call-record.js';
import { fullPath } from './event.js';
import type { Input } from './input.js';
import { RecordedMemories } from './recorded-memory.js';

/** Calls that are kept for who looks at them: he does after each turn of the server's loop. */
const KEPT = 1 << 14;
const MOST_THREADS = 1024;
/** So long a thread is taken for the one that was asked: numbers are used again, and programs exec. */
const SURE_MS = 1000;

/** Who makes a call, as CallEvent has it. */
export type Who = Pick<CallRecord, 'pid' | 'tid' | 'program'>;

/** A call on the file at `path`, below /dev or from / on, that was refused. */
export interface RefusedCall {
  readonly path: string;
  readonly refusal: Refusal;
}

export class Trace {
  readonly calls = new WatchedLog<CallRecord>(KEPT);
  /** What was refused: how often, and what last, also while nobody looks. */
  readonly refusals = new EventLog<RefusedCall>(1);
  /** What the machine has from outside beside calls, where it is to be done again. */
  readonly inputs = new WatchedLog<Input>(KEPT);
  readonly memories = new RecordedMemories(this.inputs);
  readonly #numbers = new WeakMap<object, number>();
  #files = 0;
  #parts = 0;
  #doorbells = 0;
  readonly #names = new WeakMap<object, string>();
  /** By the memory behind a mapping: the number of the file that is mapped, and where in that it begins. */
  readonly #mapped = new WeakMap<Memory, { readonly file: number; readonly start: number }>();
  /** By object: the file that was opened last, and what was refused last on those before it. */
  readonly #last = new WeakMap<object, { readonly file: OpenFile; readonly before: Refusal | undefined }>();
  /** What calls have thrown that are in the log. */
  readonly #told = new WeakSet<object>();
  readonly #programs = new Map<number, string>();
  readonly #threads = new Map<number, Who & { readonly until: number }>();

  /**
   * A file for `file.object` has been opened, which is called by `traced`. @returns its number: files are
   * counted from 1.
   */
  opened(file: OpenFile, traced: OpenFile): number {
    const number = ++this.#files;
    this.#numbers.set(file.object, number);
    this.#numbers.set(traced, number);
    this.#last.set(file.object, { file, before: this.lastRefusal(file.object) });
    return number;
  }

  /** The number of the file that stands for `object`, the last one of several; 0: there is none. */
  numberOf(object: object): number {
    return this.#numbers.get(object) ?? 0;
  }

  /** `range` is what devices reach at `offset` of a mapping of file number `file`. */
  mapped({ memory, offset: at }: MemoryRange, file: number, offset: number): void {
    this.#mapped.set(memory, { file, start: offset - at });
  }

  /** Of which file `range` is, by its number, and where it begins in that. */
  mappedAt({ memory, offset }: MemoryRange): readonly number[] {
    const found = this.#mapped.get(memory);
    return found === undefined ? [] : [found.file, found.start + offset];
  }

  /** The number of an eventfd by which a program rings. */
  nextDoorbell(): number {
    return ++this.#doorbells;
  }

  /** The number of a call that goes on in pieces. */
  nextPart(): number {
    return ++this.#parts;
  }

  /** What was refused last on the files that stand for `object`. */
  lastRefusal(object: object): Refusal | undefined {
    const last = this.#last.get(object);
    return last?.file.lastRefusal ?? last?.before;
  }

  /** The files that stand for `object` are at `path`. */
  name(object: object, path: string): void {
    this.#names.set(object, fullPath(path));
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

  /** Who makes a call at `now` (performance.now): `again` asks the kernel even when it is known. */
  who(caller: Caller | undefined, now: number, again = false): Who {
    if (caller === undefined) return nobody;
    const { tid } = caller;
    if (!tid) return { pid: pidOf(caller), tid, program: undefined };
    const known = this.#threads.get(tid);
    if (known !== undefined && !again && now < known.until) return known;
    const who = { pid: pidOf(caller), tid, program: this.program(tid, true), until: now + SURE_MS };
    if (this.#threads.size >= MOST_THREADS) this.#threads.clear();
    this.#threads.set(tid, who);
    return who;
  }

  /** What thread `tid` calls itself: `again` asks the kernel even when it is known. */
  program(tid: number, again: boolean): string {
    const known = this.#programs.get(tid);
    if (known !== undefined && !again) return known;
    const name = commandName(tid);
    if (this.#programs.size >= MOST_THREADS) this.#programs.clear();
    this.#programs.set(tid, name);
    return name;
  }
}

const nobody: Who = { pid: undefined, tid: undefined, program: undefined };

/** Undefined when it has exited meanwhile: a call of its own may still be under way. */
function pidOf(caller: Caller): number | undefined {
  try {
    return caller.pid;
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}
