/**
 * DeviceFile: an OpenFile made of the object that it stands for and a table of ioctls.
 *
 * Every refusal that leaves through it is kept in `lastRefusal`, so that the caller can ask why (EXPLAIN,
 * which every file answers).
 */
import type { Caller, EventStream, FileCall, IoctlCall, Mapping, OpenFile } from '../file/open-file.js';
import { isWork, type Sliced, type Work } from '../file/work.js';
import { Refusal, refuse } from '../linux/errno.js';
import { EXPLAIN_KEY, explainIoctl } from './ioasid.js';
import { type IoctlHandler, type IoctlShape, type IoctlTable, ioctlKey, refuseIoctl } from './ioctl.js';
import type { Struct } from './struct.js';

/** What a file does beside its ioctls. */
export interface FileOperations {
  /**
   * Asked before each ioctl, by its number, and each read and write. @throws Refusal when the file does not
   * take it now.
   */
  check?(cmd?: number): void;
  /** pread. Absent: EINVAL. @returns bytes read. */
  read?(offset: number, target: Uint8Array, caller: Caller): Sliced<number>;
  /** pwrite. Absent: EINVAL. @returns bytes written. */
  write?(offset: number, source: Uint8Array, caller: Caller): Sliced<number>;
  /** As OpenFile.mapping. */
  readonly mapping?: Mapping;
  /** The events that it is a file of. */
  readonly stream?: EventStream;
  /** What its reads and writes carry, again and again. Absent: bytes. */
  readonly reads?: Struct;
  readonly writes?: Struct;
  /** What a write of `length` bytes at `offset` carries, where that depends on both. Absent: `writes`. */
  submits?(offset: number, length: number): Struct | undefined;
  /** What lies at an offset, as people call it: `BAR0+0x10`. Absent: nothing has a name. */
  place?(offset: number): string;
  /** As OpenFile.uses. */
  uses?(call: FileCall): readonly object[];
  /** What a file is called to which no path leads. */
  readonly called?: string;
  /** One descriptor was closed. */
  flush?(): Sliced<void>;
  /** The last one was. */
  release(): Sliced<void>;
}

/** Ioctls that are known by more than type and number. */
export interface NumberedIoctls<T> {
  readonly handle: IoctlHandler<T>;
  shapeOf(cmd: number): IoctlShape | undefined;
}

export class DeviceFile<T extends object> implements OpenFile {
  readonly object: T;
  readonly stream: EventStream | undefined;
  readonly mapping: Mapping | undefined;
  readonly uses: ((call: FileCall) => readonly object[]) | undefined;
  lastRefusal: Refusal | undefined;
  readonly #table: IoctlTable<T>;
  readonly #operations: FileOperations;
  readonly #others: NumberedIoctls<T> | undefined;

  /** @param others answers every ioctl that is not in the table. Absent: ENOTTY. */
  constructor(object: T, table: IoctlTable<T>, operations: FileOperations, others?: NumberedIoctls<T>) {
    this.object = object;
    this.stream = operations.stream;
    this.mapping = operations.mapping && checkedMapping(operations, operations.mapping);
    this.uses = operations.uses;
    this.#table = table;
    this.#operations = operations;
    this.#others = others;
  }

  ioctl(caller: Caller, call: IoctlCall): Sliced<number> {
    const key = ioctlKey(call.cmd);
    if (key === EXPLAIN_KEY) return explainIoctl.handle(this, caller, call);
    try {
      this.#operations.check?.(call.cmd);
      const ioctl = this.#table.get(key) ?? this.#others ?? refuseIoctl(call.cmd);
      const result = ioctl.handle(this.object, caller, call);
      return isWork(result) ? this.#keeping(result) : result;
    } catch (error) {
      throw this.#kept(error);
    }
  }

  read(caller: Caller, offset: number, target: Uint8Array): Sliced<number> {
    try {
      this.#operations.check?.();
      const { read } = this.#operations;
      const result = read?.(offset, target, caller) ?? refuse('EINVAL', 'this file has nothing to read');
      return isWork(result) ? this.#keeping(result) : result;
    } catch (error) {
      throw this.#kept(error);
    }
  }

  write(caller: Caller, offset: number, source: Uint8Array): Sliced<number> {
    try {
      this.#operations.check?.();
      const { write } = this.#operations;
      const result = write?.(offset, source, caller) ?? refuse('EINVAL', 'this file takes no writes');
      return isWork(result) ? this.#keeping(result) : result;
    } catch (error) {
      throw this.#kept(error);
    }
  }

  /** How ioctl `cmd` is written; undefined: the file has none such. */
  shapeOf(cmd: number): IoctlShape | undefined {
    const key = ioctlKey(cmd);
    return key === EXPLAIN_KEY ? explainIoctl : (this.#table.get(key) ?? this.#others?.shapeOf(cmd));
  }

  /** What a read or a write of `length` bytes carries, as FileOperations has it. */
  carries(call: 'read' | 'write', offset: number, length: number): Struct | undefined {
    const { reads, writes, submits } = this.#operations;
    return call === 'read' ? reads : (writes ?? submits?.(offset, length));
  }

  get called(): string | undefined {
    return this.#operations.called;
  }

  /** What lies at `offset`, where that has a name. */
  place(offset: number): string | undefined {
    return this.#operations.place?.(offset);
  }

  flush(): Sliced<void> {
    return this.#operations.flush?.();
  }

  release(): Sliced<void> {
    return this.#operations.release();
  }

  *#keeping(work: Work<number>): Work<number> {
    try {
      return yield* work;
    } catch (error) {
      throw this.#kept(error);
    }
  }

  #kept(error: unknown): unknown {
    if (error instanceof Refusal) this.lastRefusal = error;
    return error;
  }
}

/** Who may neither read nor write may not map. */
function checkedMapping(operations: FileOperations, mapping: Mapping): Mapping {
  return {
    check: (caller, offset, length) => {
      operations.check?.();
      mapping.check(caller, offset, length);
    },
    pages: (offset, length) => mapping.pages(offset, length),
    memory: (offset) => mapping.memory(offset),
    read: (offset, target) => {
      operations.check?.();
      return mapping.read(offset, target);
    },
    write: (caller, offset, source) => {
      operations.check?.();
      return mapping.write(caller, offset, source);
    },
    write64: (caller, offset, source) => mapping.write64(caller, offset, source),
  };
}
