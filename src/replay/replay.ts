/**
 * Replay: a recording done again by a machine of the same kind, in this process, without files and programs.
 *
 * A recording is pieces: all that came of something, and then what it was (a call, a part of one, a step of
 * the devices). Each is done again in its turn, with the answers that were given then, and what comes of it
 * is noted as in a recording. Invariant: up to the first difference both have the same records.
 */
import type { OpenedFile } from '../devfs/fuse-server.js';
import { openAttribute } from '../file/attributes.js';
import type { CalledBy, Caller, OpenFile } from '../file/open-file.js';
import { finished, isWork, type Sliced, type Work } from '../file/work.js';
import type { Machine } from '../machine/machine.js';
import type { CallRecord } from '../trace/call-record.js';
import { fullPath, isOfSysfs } from '../trace/event.js';
import { everything } from '../trace/filter.js';
import { Ask, type Asked, comes } from '../trace/input.js';
import { escaped } from '../trace/lines.js';
import type { Recorded } from '../trace/raw.js';
import { TraceReader } from '../trace/reader.js';
import type { Answers } from './answers.js';
import { CannotReplay } from './cannot-replay.js';
import { sameRecord } from './difference.js';
import { callOn } from './replayed-call.js';
import { ReplayedCaller } from './replayed-caller.js';
import type { ReplayedDisks } from './replayed-disks.js';
import { happenAtLink } from './replayed-links.js';
import { ReplayedMemories } from './replayed-memory.js';
import { attributeAt } from './replayed-sysfs.js';

/** Where a replay is not as what was recorded. */
export interface Difference {
  /** Undefined: nothing more was recorded, or has come, of this piece. */
  readonly recorded: Recorded | undefined;
  readonly replayed: Recorded | undefined;
  /** What was recorded of the same piece after it. */
  readonly after: readonly Recorded[];
}

/** What comes from outside again. */
export interface Given {
  readonly answers: Answers;
  readonly disks: ReplayedDisks;
}

export class Replay {
  readonly machine: Machine;
  readonly #answers: Answers;
  readonly #disks: ReplayedDisks;
  readonly #reader: TraceReader;
  readonly #memories: ReplayedMemories;
  readonly #withoutContents: boolean;
  readonly #files = new Map<number, OpenFile>();
  readonly #callers = new Map<number, CalledBy>();
  readonly #works = new Map<number, Work<unknown>>();
  #piece: Recorded[] = [];
  /** What has come by itself since the last piece: when it was noted is no difference. */
  readonly #come: Asked[] = [];

  /** What is given is what the machine was made with. */
  constructor(machine: Machine, { answers, disks }: Given, withoutContents: boolean) {
    this.machine = machine;
    this.#answers = answers;
    this.#disks = disks;
    this.#memories = new ReplayedMemories(answers);
    this.#reader = new TraceReader(machine.logs, everything, true);
    this.#withoutContents = withoutContents;
  }

  /**
   * Does what follows again. @returns the first difference; undefined: there is none up to here. @throws
   * CannotReplay one sentence: what it depends on is not in the recording.
   */
  add(record: Recorded): Difference | undefined {
    if (record.kind === 'lost')
      throw new CannotReplay(`${record.count} events are not in the recording: they came too fast`);
    if (record.kind === 'machine' || (record.kind === 'call' && record.entry.way === 'unserved'))
      return undefined;
    if (!hasCome(record)) this.#piece.push(record);
    else this.#come.push(record.entry);
    if (!isCause(record)) return undefined;
    const piece = this.#piece;
    this.#piece = [];
    if (record.kind === 'input' && record.entry.kind === 'postponed') return undefined;
    for (const each of this.#come.splice(0)) this.#comeAgain(each);
    this.#answers.begin(piece.filter(isAsked).map(({ entry }) => entry));
    this.#do(record);
    const difference = this.#compare(piece);
    const stopped = this.#answers.stopped;
    if (stopped !== undefined) throw new CannotReplay(stopped);
    if (difference !== undefined && this.#answers.leftOut)
      throw new CannotReplay(
        'what a device has read is left out of the recording, and its results depend on it',
      );
    return difference;
  }

  end(): void {
    this.#reader.end();
  }

  /** The files that are open now, with who has called each last. */
  *opened(): Generator<OpenedFile> {
    for (const [inode, file] of this.#files)
      yield { inode, path: file.called ?? '', object: file.object, calledBy: this.#callers.get(inode) };
  }

  #compare(piece: readonly Recorded[]): Difference | undefined {
    const replayed: readonly Recorded[] = this.#reader.raw().filter((each) => !hasCome(each));
    for (let n = 0; n < Math.max(piece.length, replayed.length); n++)
      if (!sameRecord(piece[n], replayed[n], this.#withoutContents))
        return { recorded: piece[n], replayed: replayed[n], after: piece.slice(n + 1) };
    return undefined;
  }

  #comeAgain(asked: Asked): void {
    switch (asked.what) {
      case Ask.RINGS:
        this.#answers.ring(asked);
        return;
      case Ask.DISK_END:
      case Ask.DISK_LET_GO:
        this.#disks.end(asked);
        return;
      default:
        happenAtLink(this.machine, asked, this.#answers);
    }
  }

  /** Does again what `cause` is. What comes of it, errors too, is in the logs. */
  #do(cause: Recorded): void {
    try {
      if (cause.kind === 'call') this.#ended(cause.entry);
      else if (cause.kind === 'input') {
        const { entry } = cause;
        if (entry.kind === 'step') this.machine.step();
        else if (entry.kind === 'begun') this.#begun(entry.part, entry.call);
        else if (entry.kind === 'part') this.#works.get(entry.part)?.next();
      }
    } catch (error) {
      if (error instanceof CannotReplay) throw error;
    }
  }

  #begun(part: number, call: CallRecord): void {
    const work = this.#call(call);
    if (isWork(work)) this.#works.set(part, work);
  }

  #ended(call: CallRecord): void {
    const work = call.part === undefined ? undefined : this.#works.get(call.part);
    if (work === undefined) finishedOnce(this.#call(call));
    else {
      this.#works.delete(call.part!);
      work.next();
    }
    if (call.call !== 'release' || call.file === undefined) return;
    this.#files.delete(call.file);
    this.#callers.delete(call.file);
  }

  #noteCaller({ file, pid, program = '', fd }: CallRecord): void {
    if (file !== undefined && pid !== undefined) this.#callers.set(file, { pid, program, fd });
  }

  #call(call: CallRecord): Sliced<unknown> {
    const { transfer } = call;
    if (call.call === 'write' && transfer !== undefined && transfer.bytes.length < transfer.length)
      throw new CannotReplay('what a program has written is left out of the recording');
    this.#noteCaller(call);
    const caller = new ReplayedCaller(this.#answers.pid ?? call.pid ?? 0, this.#memories, this.#files);
    if (call.call !== 'open') return callOn(this.#files.get(call.file ?? 0), caller, call);
    const file = this.#open(call.path, caller);
    if (call.file !== undefined) this.#files.set(call.file, file);
    return undefined;
  }

  #open(at: string, caller: Caller): OpenFile {
    const { nodes, sysfs } = this.machine;
    if (isOfSysfs(at)) return openAttribute(attributeAt(sysfs, at), caller);
    const node = nodes.find(({ path }) => path === at);
    if (node !== undefined) return node.open(caller);
    throw new CannotReplay(`this ioasid makes no file ${escaped(fullPath(at))} of such devices`);
  }
}

/** Does all that is left; what waits for an answer that never comes is left alone. */
function finishedOnce(work: Sliced<unknown>): void {
  if (isWork(work)) work.next();
  else finished(work);
}

type RecordedAsk = Recorded & { readonly kind: 'input'; readonly entry: Asked };

function isAsked(record: Recorded): record is RecordedAsk {
  return record.kind === 'input' && record.entry.kind === 'asked';
}

function hasCome(record: Recorded): record is RecordedAsk {
  return isAsked(record) && comes.has(record.entry.what);
}

function isCause(record: Recorded): boolean {
  return record.kind === 'call' || (record.kind === 'input' && record.entry.kind !== 'asked');
}
