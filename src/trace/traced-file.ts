/**
 * TracedFile: an open file whose calls are recorded while somebody looks at the trace.
 *
 * It changes nothing that its caller or the file can see: what is returned, thrown and written is the file's
 * own. A call that is put off (Postponed) has not happened, and is recorded when it is made again.
 */
import type { DeviceNode } from '../file/device-node.js';
import type {
  CalledBy,
  Caller,
  EventStream,
  FileCall,
  IoctlCall,
  Mapping,
  OpenFile,
} from '../file/open-file.js';
import { after, isWork, Postponed, type Sliced, type Work } from '../file/work.js';
import { errnoName, Refusal } from '../linux/errno.js';
import { sinceEpoch } from '../linux/now.js';
import { DeviceFile } from '../uapi/device-file.js';
import { newFdIoctls, newFdTestIoctls } from '../uapi/new-fd.js';
import {
  type CallRecord,
  type CallWay,
  type IoctlPart,
  isStruct,
  SHOWN_BYTES,
  type TransferPart,
} from './call-record.js';
import { copied } from './copied.js';
import { DescriptorNumber } from './descriptor-number.js';
import type { CallKind } from './event.js';
import { RecordedCaller } from './recorded-caller.js';
import type { Trace, Who } from './trace.js';
import { ioctlPart, WatchedCaller } from './watched-caller.js';

/** The ioctls of which some return a new file: it is traced from its beginning, or could not be later. */
const returnNewFd = [...newFdIoctls, ...newFdTestIoctls];

/** A file is opened, which is at `path` below /dev or from / on. */
export function openTraced(trace: Trace, node: Pick<DeviceNode, 'path' | 'open'>, caller: Caller): OpenFile {
  const { path } = node;
  if (!trace.calls.on) return new TracedFile(trace, node.open(caller), path);
  const begun = begin(trace, 'open', path, caller, 'call');
  return recorded(trace, begun, nothingMore, () => {
    const file = new TracedFile(trace, node.open(noting(trace, caller)), path);
    begun.file = file.number;
    return file;
  });
}

/** `caller`, whose answers are noted where somebody wants them; not where it is not `asked` again. */
function noting(trace: Trace, caller: Caller, asked = true): Caller {
  return trace.inputs.on ? new RecordedCaller(caller, trace, asked) : caller;
}

/** A call that has begun. */
interface Begun {
  readonly call: CallKind;
  readonly path: string;
  readonly who: Who;
  readonly fd: number | undefined;
  readonly started: number;
  readonly way: CallWay;
  file: number | undefined;
  part: number | undefined;
}

/** What a call was about, once it has ended. */
interface Details {
  readonly ioctl?: IoctlPart;
  readonly transfer?: TransferPart;
}

const nothingMore = (): Details => ({});

/** Does a call, and records it with what `details` is then. */
export function recorded<T>(trace: Trace, begun: Begun, details: () => Details, act: () => T): T {
  try {
    const result = act();
    record(trace, begun, details(), typeof result === 'number' ? result : 0);
    return result;
  } catch (error) {
    recordFailure(trace, begun, details, error);
    throw error;
  }
}

/** As `recorded`, for what may take long. */
export function sliced<T>(
  trace: Trace,
  begun: Begun,
  details: () => Details,
  act: () => Sliced<T>,
): Sliced<T> {
  let result: Sliced<T>;
  try {
    result = act();
  } catch (error) {
    recordFailure(trace, begun, details, error);
    throw error;
  }
  if (isWork(result)) {
    if (trace.inputs.on) noteBegun(trace, begun, details());
    return goingOn(trace, begun, details, result);
  }
  record(trace, begun, details(), typeof result === 'number' ? result : 0);
  return result;
}

/** What the call has said so far is copied: it goes on saying things. */
function noteBegun(trace: Trace, begun: Begun, { ioctl, transfer }: Details): void {
  begun.part = trace.nextPart();
  const said = ioctl && { ...ioctl, input: copied(ioctl.input), output: none, descriptors: new Map() };
  const details = { ...(said && { ioctl: said }), ...(transfer && { transfer }) };
  const call = recordOf(begun, details, 0, undefined, performance.now());
  trace.inputs.record({ kind: 'begun', part: begun.part, call });
}

const none = new Uint8Array(0);

function* goingOn<T>(trace: Trace, begun: Begun, details: () => Details, work: Work<T>): Work<T> {
  try {
    const { part } = begun;
    const result = part === undefined ? yield* work : yield* inParts(trace, part, work);
    record(trace, begun, details(), typeof result === 'number' ? result : 0);
    return result;
  } catch (error) {
    recordFailure(trace, begun, details, error);
    throw error;
  }
}

/** `work`, of which each piece is noted, but for the last. */
function* inParts<T>(trace: Trace, part: number, work: Work<T>): Work<T> {
  for (let now: true | undefined; ; ) {
    const { done, value } = work.next(now);
    if (done) return value;
    if (trace.inputs.on) trace.inputs.record({ kind: 'part', part });
    now = yield value;
  }
}

/**
 * A call on the file at `path` ends with `error`. Where it is not recorded yet the file has not been asked.
 */
export function recordUnserved(
  trace: Trace | undefined,
  call: CallKind,
  path: string,
  caller: Caller,
  error: unknown,
): void {
  if (error instanceof Refusal) trace?.refusals.record({ path, refusal: error });
  if (trace?.calls.on) recordFailure(trace, begin(trace, call, path, caller, 'unserved'), nothingMore, error);
}

/** A call that is of no open file, or of none yet; without `caller` it is not known who makes it. */
export function begin(
  trace: Trace,
  call: CallKind,
  path: string,
  caller: Caller | undefined,
  way: CallWay,
): Begun {
  const started = performance.now();
  const who = trace.who(caller, started, call === 'open');
  return { call, path, who, fd: undefined, started, way, file: undefined, part: undefined };
}

function recordFailure(trace: Trace, begun: Begun, details: () => Details, error: unknown): void {
  if (error instanceof Postponed && trace.inputs.on && begun.way !== 'unserved')
    trace.inputs.record({ kind: 'postponed' });
  if (error instanceof Postponed || (error instanceof Error && !trace.tells(error))) return;
  record(trace, begun, details(), -1, error instanceof Refusal ? error : broken);
}

/** What the caller of a call sees that broke. */
const broken = { errno: 5, reason: 'an error inside ioasid' };

type Failure = Pick<Refusal, 'errno' | 'reason'>;

function record(trace: Trace, begun: Begun, details: Details, result: number, failure?: Failure): void {
  const ended = performance.now();
  trace.calls.record(recordOf(begun, details, result, failure, ended), sinceEpoch(ended));
}

function recordOf(
  { call, path, who, fd, started, way, file, part }: Begun,
  { ioctl, transfer }: Details,
  result: number,
  failure: Failure | undefined,
  ended: number,
): CallRecord {
  const { pid, tid, program } = who;
  return {
    call,
    path,
    pid,
    tid,
    program,
    fd,
    ioctl,
    transfer,
    result,
    error: failure && errnoName(failure.errno),
    reason: failure?.reason,
    file,
    part,
    way,
    duration: Math.floor((ended - started) * 1000),
  };
}

class TracedFile implements OpenFile {
  readonly stream: EventStream | undefined;
  readonly mapping: Mapping | undefined;
  readonly uses: ((call: FileCall) => readonly object[]) | undefined;
  readonly number: number;
  readonly #trace: Trace;
  readonly #file: OpenFile;
  readonly #path: string;
  readonly #descriptors = new DescriptorNumber();
  readonly #nameOf = (object: object) => this.#trace.nameOf(object);
  readonly #wrap = (file: OpenFile) =>
    new TracedFile(this.#trace, file, `${this.#path}:${file.called ?? 'new file'}`);
  #by: Pick<Begun, 'who' | 'fd'> | undefined;
  /** Where it was called last. */
  #named: { readonly offset: number; readonly place: string | undefined } | undefined;

  constructor(trace: Trace, file: OpenFile, path: string) {
    this.stream = file.stream;
    this.uses = file.uses;
    this.mapping = file.mapping && this.#tracedMapping(file.mapping);
    this.#trace = trace;
    this.#file = file;
    this.#path = path;
    trace.name(file.object, path);
    trace.name(this, path);
    this.number = trace.opened(file, this);
  }

  get object(): object {
    return this.#file.object;
  }

  /** As all is told of it, where a path leads to it as well. */
  get called(): string {
    return this.#path;
  }

  get lastRefusal(): Refusal | undefined {
    return this.#file.lastRefusal;
  }

  get calledBy(): CalledBy | undefined {
    return this.#by && { pid: this.#by.who.pid, program: this.#by.who.program, fd: this.#by.fd };
  }

  ioctl(caller: Caller, call: IoctlCall): Sliced<number> {
    if (this.#trace.calls.on) return this.#tracedIoctl(caller, call);
    if (!returnNewFd.includes(call.cmd)) return this.#file.ioctl(caller, call);
    return this.#file.ioctl(this.#watched(caller, call.arg, 0), call);
  }

  read(caller: Caller, offset: number, target: Uint8Array): Sliced<number> {
    if (!this.#trace.calls.on) return this.#file.read(caller, offset, target);
    const begun = this.#begin('read', caller);
    let length = 0;
    const details = () => this.#transfer('read', offset, target.length, target.subarray(0, length));
    return sliced(this.#trace, begun, details, () =>
      after(this.#file.read(noting(this.#trace, caller), offset, target), (read) => {
        length = read;
        return read;
      }),
    );
  }

  write(caller: Caller, offset: number, source: Uint8Array): Sliced<number> {
    if (!this.#trace.calls.on) return this.#file.write(caller, offset, source);
    const details = this.#written(offset, source);
    return sliced(this.#trace, this.#begin('write', caller), details, () =>
      this.#file.write(noting(this.#trace, caller), offset, source),
    );
  }

  flush(): Sliced<void> {
    return this.#ended('flush', () => this.#file.flush());
  }

  release(): Sliced<void> {
    return this.#ended('release', () => this.#file.release());
  }

  /** A close, of one copy or the last: of nobody's descriptor any more. */
  #ended(call: 'flush' | 'release', act: () => Sliced<void>): Sliced<void> {
    if (!this.#trace.calls.on) return act();
    return sliced(this.#trace, this.#begin(call), nothingMore, act);
  }

  #tracedIoctl(caller: Caller, call: IoctlCall): Sliced<number> {
    const { cmd, arg, data } = call;
    const shape = this.#file instanceof DeviceFile ? this.#file.shapeOf(cmd) : undefined;
    const begun = this.#begin('ioctl', caller);
    const size = isStruct(shape?.argument) ? shape.argument.size : data.length;
    const watched = this.#watched(caller, arg, size);
    const before = data.length === 0 ? data : copied(data);
    const details = () => ({ ioctl: ioctlPart(shape, call, watched, before) });
    return sliced(this.#trace, begun, details, () => this.#file.ioctl(watched, call));
  }

  /** Gives a new file to the caller as one that is traced, whoever looks by now. */
  #watched(caller: Caller, address: number, size: number): WatchedCaller {
    return new WatchedCaller(noting(this.#trace, caller), address, size, this.#nameOf, this.#wrap);
  }

  #transfer(call: 'read' | 'write', offset: number, length: number, bytes: Uint8Array): Details {
    const device = this.#file instanceof DeviceFile ? this.#file : undefined;
    const layout = device?.carries(call, offset, length);
    const shown = this.#trace.inputs.on ? bytes.length : Math.max(SHOWN_BYTES, layout?.size ?? 0);
    const at = this.stream === undefined ? offset : undefined;
    return {
      transfer: { offset: at, place: this.#placeAt(offset), length, layout, bytes: copied(bytes, 0, shown) },
    };
  }

  /** A model is asked for the name of a register once, while the same is called again and again. */
  #placeAt(offset: number): string | undefined {
    if (offset === this.#named?.offset) return this.#named.place;
    const place = this.#file instanceof DeviceFile ? this.#file.place(offset) : undefined;
    this.#named = { offset, place };
    return place;
  }

  /** What a write is about, as it is before the file has it. */
  #written(offset: number, source: Uint8Array): () => Details {
    const details = this.#transfer('write', offset, source.length, source);
    return () => details;
  }

  #begin(call: CallKind, caller?: Caller, way: CallWay = 'call'): Begun {
    const started = performance.now();
    const who = this.#trace.who(caller, started);
    const fd = caller && this.#descriptors.of(this, caller, started);
    const begun = { call, path: this.#path, who, fd, started, way, file: this.number, part: undefined };
    if (fd !== undefined) this.#by = begun;
    return begun;
  }

  /**
   * A load of a mapping is a read that a system call has not asked for. Stores are told as writes, one of 64
   * bytes (MOVDIR64B, ENQCMD) of 0 bytes when it is not taken.
   */
  #tracedMapping(mapping: Mapping): Mapping {
    return {
      check: (caller, offset, length) => mapping.check(noting(this.#trace, caller, false), offset, length),
      // What a program does in pages of its own nobody sees: where it is to be done again there are none.
      pages: (offset, length) => (this.#trace.inputs.on ? [] : mapping.pages(offset, length)),
      memory: (offset) => {
        const range = mapping.memory(offset);
        this.#trace.mapped(range, this.number, offset);
        return range;
      },
      write: (caller, offset, source) => {
        if (!this.#trace.calls.on) return mapping.write(caller, offset, source);
        const details = this.#written(offset, source);
        return recorded(this.#trace, this.#begin('write', caller, 'store'), details, () =>
          mapping.write(noting(this.#trace, caller), offset, source),
        );
      },
      write64: (caller, offset, source) => {
        if (!this.#trace.calls.on) return mapping.write64(caller, offset, source);
        const details = this.#written(offset, source);
        const by = noting(this.#trace, caller);
        const store = () => (mapping.write64(by, offset, source) ? source.length : 0);
        return recorded(this.#trace, this.#begin('write', undefined, 'store64'), details, store) > 0;
      },
      read: (offset, target) => {
        if (!this.#trace.calls.on) return mapping.read(offset, target);
        const details = () => this.#transfer('read', offset, target.length, target);
        return recorded(this.#trace, this.#begin('load'), details, () => mapping.read(offset, target));
      },
    };
  }
}
