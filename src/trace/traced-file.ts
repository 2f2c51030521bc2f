/**
 * TracedFile: an open file whose calls are recorded while somebody looks at the trace.
 *
 * It changes nothing that its caller or the file can see: what is returned, thrown and written is the file's
 * own. A call that is put off (Postponed) has not happened, and is recorded when it is made again.
 */
import type { DeviceNode } from '../file/device-node.js';
import type { Caller, EventStream, FileCall, IoctlCall, Mapping, OpenFile } from '../file/open-file.js';
import { isWork, Postponed, type Sliced, type Work } from '../file/work.js';
import { errnoName, hex, Refusal } from '../linux/errno.js';
import { DeviceFile } from '../uapi/device-file.js';
import type { IoctlArgument, IoctlShape } from '../uapi/ioctl.js';
import { newFdIoctls, newFdTestIoctls } from '../uapi/new-fd.js';
import type { Struct } from '../uapi/struct.js';
import type { CallEvent, CallKind, Fields } from './event.js';
import { changedFields, fieldsOf, fieldValue, namedDescriptor, textOf } from './fields.js';
import type { Trace } from './trace.js';
import { WatchedCaller } from './watched-caller.js';

/** The ioctls of which some return a new file: it is traced from its beginning, or could not be later. */
const returnNewFd = [...newFdIoctls, ...newFdTestIoctls];

/** Bytes that are shown of a read or write. */
const SHOWN_BYTES = 64;

/** The nodes of a machine, whose opens and files are traced. */
export function tracedNodes(trace: Trace, nodes: readonly DeviceNode[]): DeviceNode[] {
  return nodes.map((node) => ({ ...node, open: (caller) => openTraced(trace, node, caller) }));
}

function openTraced(trace: Trace, node: DeviceNode, caller: Caller): OpenFile {
  const { path } = node;
  const open = () => new TracedFile(trace, node.open(caller), path);
  return trace.calls.on ? recorded(trace, begin('open', path, caller), {}, open) : open();
}

/** A call that has begun. */
interface Begun {
  readonly call: CallKind;
  readonly path: string;
  readonly pid: number | undefined;
  readonly tid: number | undefined;
  readonly fd: number | undefined;
  readonly started: number;
}

function begin(call: CallKind, path: string, caller?: Caller, file?: OpenFile): Begun {
  const fd = file && caller?.descriptorOf?.(file);
  return { call, path, pid: caller && pidOf(caller), tid: caller?.tid, fd, started: performance.now() };
}

/** Undefined when it has exited meanwhile: a call of its own may still be under way. */
function pidOf(caller: Caller): number | undefined {
  try {
    return caller.pid;
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}

type Details = Pick<
  CallEvent,
  'name' | 'offset' | 'place' | 'length' | 'bytes' | 'input' | 'output' | 'descriptors'
>;

/** Does a call, and records it with what `details` is then. */
function recorded<T>(trace: Trace, begun: Begun, details: Details | (() => Details), act: () => T): T {
  const told = typeof details === 'function' ? details : () => details;
  try {
    const result = act();
    record(trace, begun, told(), typeof result === 'number' ? result : 0);
    return result;
  } catch (error) {
    recordFailure(trace, begun, told, error);
    throw error;
  }
}

/** As `recorded`, for what may take long. */
function sliced<T>(trace: Trace, begun: Begun, details: () => Details, act: () => Sliced<T>): Sliced<T> {
  let result: Sliced<T>;
  try {
    result = act();
  } catch (error) {
    recordFailure(trace, begun, details, error);
    throw error;
  }
  if (isWork(result)) return goingOn(trace, begun, details, result);
  record(trace, begun, details(), typeof result === 'number' ? result : 0);
  return result;
}

function* goingOn<T>(trace: Trace, begun: Begun, details: () => Details, work: Work<T>): Work<T> {
  try {
    const result = yield* work;
    record(trace, begun, details(), typeof result === 'number' ? result : 0);
    return result;
  } catch (error) {
    recordFailure(trace, begun, details, error);
    throw error;
  }
}

/**
 * Records a call on the file at `path` that has thrown `error`, if it is not recorded yet: the file has not
 * been asked.
 */
export function recordUnserved(
  trace: Trace | undefined,
  call: CallKind,
  path: string,
  caller: Caller,
  error: unknown,
): void {
  if (trace?.calls.on) recordFailure(trace, begin(call, path, caller), () => ({}), error);
}

function recordFailure(trace: Trace, begun: Begun, details: () => Details, error: unknown): void {
  if (error instanceof Postponed || (error instanceof Error && !trace.tells(error))) return;
  const { errno, reason } = error instanceof Refusal ? error : broken;
  record(trace, begun, details(), -1, { error: errnoName(errno), reason });
}

/** What the caller of a call sees that broke. */
const broken = { errno: 5, reason: 'an error inside ioasid' };

function record(
  trace: Trace,
  { call, path, pid, tid, fd, started }: Begun,
  details: Details,
  result: number,
  failure: Pick<CallEvent, 'error' | 'reason'> = {},
): void {
  const who = pid === undefined ? {} : { pid };
  const thread = tid ? { tid, program: trace.program(tid, call === 'open') } : {};
  const duration = Math.max(0, Math.round((performance.now() - started) * 1000));
  const where = fd === undefined ? { path } : { path, fd };
  trace.calls.record({
    kind: 'call',
    call,
    ...who,
    ...thread,
    ...where,
    ...details,
    result,
    ...failure,
    duration,
  });
}

class TracedFile implements OpenFile {
  readonly stream: EventStream | undefined;
  readonly mapping: Mapping | undefined;
  readonly uses: ((call: FileCall) => readonly object[]) | undefined;
  readonly #trace: Trace;
  readonly #file: OpenFile;
  readonly #path: string;

  constructor(trace: Trace, file: OpenFile, path: string) {
    this.stream = file.stream;
    this.uses = file.uses;
    this.mapping = file.mapping && this.#tracedMapping(file.mapping);
    this.#trace = trace;
    this.#file = file;
    this.#path = path;
    trace.name(file.object, path);
    trace.name(this, path);
    trace.opened(file);
  }

  get object(): object {
    return this.#file.object;
  }

  get lastRefusal(): Refusal | undefined {
    return this.#file.lastRefusal;
  }

  ioctl(caller: Caller, call: IoctlCall): Sliced<number> {
    if (this.#trace.calls.on) return this.#tracedIoctl(caller, call);
    if (!returnNewFd.includes(call.cmd)) return this.#file.ioctl(caller, call);
    return this.#file.ioctl(this.#watched(caller, call.arg, 0), call);
  }

  read(caller: Caller, offset: number, target: Uint8Array): number {
    if (!this.#trace.calls.on) return this.#file.read(caller, offset, target);
    const begun = begin('read', this.#path, caller, this);
    let length = 0;
    const details = () => this.#transfer('read', offset, target.length, target.subarray(0, length));
    return recorded(this.#trace, begun, details, () => {
      length = this.#file.read(caller, offset, target);
      return length;
    });
  }

  write(caller: Caller, offset: number, source: Uint8Array): Sliced<number> {
    if (!this.#trace.calls.on) return this.#file.write(caller, offset, source);
    const details = this.#transfer('write', offset, source.length, source);
    const begun = begin('write', this.#path, caller, this);
    return sliced(
      this.#trace,
      begun,
      () => details,
      () => this.#file.write(caller, offset, source),
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
    const nothingMore = () => ({});
    return sliced(this.#trace, begin(call, this.#path), nothingMore, act);
  }

  #tracedIoctl(caller: Caller, call: IoctlCall): Sliced<number> {
    const { cmd, arg, data } = call;
    const shape = this.#file instanceof DeviceFile ? this.#file.shapeOf(cmd) : undefined;
    const begun = begin('ioctl', this.#path, caller, this);
    const size = isStruct(shape?.argument) ? shape.argument.size : data.length;
    const watched = this.#watched(caller, arg, size);
    const copied = data.slice();
    const details = () => ioctlDetails(shape, call, watched, copied, data);
    return sliced(this.#trace, begun, details, () => this.#file.ioctl(watched, call));
  }

  /** Gives a new file to the caller as one that is traced, whoever looks by now. */
  #watched(caller: Caller, address: number, size: number): WatchedCaller {
    return new WatchedCaller(
      caller,
      { address, size },
      (object) => this.#trace.nameOf(object),
      (file) => new TracedFile(this.#trace, file, `${this.#path}:${calledOf(file)}`),
    );
  }

  #transfer(call: 'read' | 'write', offset: number, length: number, bytes: Uint8Array): Details {
    const device = this.#file instanceof DeviceFile ? this.#file : undefined;
    const layout = device?.carries(call, offset, length);
    const place = device?.place(offset);
    return {
      ...(this.stream === undefined && { offset: hex(offset) }),
      ...(place !== undefined && { place }),
      length,
      bytes: Buffer.from(bytes.subarray(0, SHOWN_BYTES)).toString('hex'),
      ...(layout && bytes.length >= layout.size && { input: shownFields(layout, bytes) }),
    };
  }

  /**
   * A load of a mapping is a read that a system call has not asked for. Stores are told as writes, one of 64
   * bytes (MOVDIR64B, ENQCMD) of 0 bytes when it is not taken.
   */
  #tracedMapping(mapping: Mapping): Mapping {
    return {
      check: (caller, offset, length) => mapping.check(caller, offset, length),
      pages: (offset, length) => mapping.pages(offset, length),
      memory: (offset) => mapping.memory(offset),
      write: (caller, offset, source) => {
        if (!this.#trace.calls.on) return mapping.write(caller, offset, source);
        const details = this.#transfer('write', offset, source.length, source);
        const begun = begin('write', this.#path, caller, this);
        return recorded(this.#trace, begun, details, () => mapping.write(caller, offset, source));
      },
      write64: (caller, offset, source) => {
        if (!this.#trace.calls.on) return mapping.write64(caller, offset, source);
        const details = this.#transfer('write', offset, source.length, source);
        const store = () => (mapping.write64(caller, offset, source) ? source.length : 0);
        return recorded(this.#trace, begin('write', this.#path), details, store) > 0;
      },
      read: (offset, target) => {
        if (!this.#trace.calls.on) return mapping.read(offset, target);
        const details = () => this.#transfer('read', offset, target.length, target);
        return recorded(this.#trace, begin('load', this.#path), details, () => mapping.read(offset, target));
      },
    };
  }
}

/** What a file is called to which no path leads. */
function calledOf(file: OpenFile): string {
  return (file instanceof DeviceFile ? file.called : undefined) ?? 'new file';
}

const nothing = () => undefined;

function shownFields(layout: Struct, bytes: Uint8Array): Fields {
  return fieldsOf(layout, bytes, layout.size, nothing);
}

function isStruct(argument: IoctlArgument): argument is Struct {
  return typeof argument === 'object' && 'types' in argument;
}

/** What the argument said, and what has become of it. `copied`, `data`: where the kernel copies it. */
function ioctlDetails(
  shape: IoctlShape | undefined,
  { cmd, arg }: IoctlCall,
  watched: WatchedCaller,
  copied: Uint8Array,
  data: Uint8Array,
): Details {
  const name = shape?.name ?? hex(cmd);
  const describe = (fd: number) => watched.descriptors.get(fd);
  const { argument } = shape ?? {};
  if (argument === 'number') return { name, input: { arg } };
  if (argument === 'string')
    return { name, input: { name: textOf(watched.input.subarray(0, watched.known)) } };
  if (argument === undefined) return { name };
  if (!isStruct(argument)) return { name, input: { arg: fieldValue(arg, argument, describe) } };
  const inKernel = data.length > 0;
  const known = Math.min(inKernel ? data.length : watched.known, argument.size);
  const before = fieldsOf(argument, inKernel ? copied : watched.input, known, describe);
  const written = inKernel ? data : watched.output;
  const reach = Math.min(inKernel ? data.length : Math.max(watched.changed, known), argument.size);
  const output = changedFields(before, fieldsOf(argument, written, reach, describe));
  const shown = JSON.stringify([before, output]);
  const others = [...watched.descriptors.keys()].filter((fd) => !shown.includes(`{"fd":${fd},`));
  return {
    name,
    input: before,
    ...(output && { output }),
    ...(others.length > 0 && { descriptors: others.map((fd) => namedDescriptor(fd, describe)) }),
  };
}
