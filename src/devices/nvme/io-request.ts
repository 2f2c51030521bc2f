/**
 * One command of an I/O queue (NVM Command Set 1.0): read, write, flush, compare, write zeroes, dataset
 * management.
 *
 * A request moves its data in pieces of bounded size, one job of the disk after the other; between two of
 * them it holds nothing but its buffer. What a command names is checked before its first byte is moved.
 */
import { MOST_PARTS } from '../effort.js';
import { Job, type ReadTarget } from '../medium.js';
import { ALL_NAMESPACES, Command } from './command.js';
import type { DataPointers } from './data-pointer.js';
import type { Memory } from './memory.js';
import type { Namespace } from './namespace.js';
import { changesBlocks, IoOpcode } from './opcodes.js';
import { ScatterList } from './scatter-list.js';
import type { Statistics } from './statistics.js';
import { Status } from './status.js';
import type { SubmissionQueue } from './submission-queue.js';

/** Bytes that are moved at a time, and that are cleared. */
const PIECE = 1 << 17;
const CLEARED_PIECE = 1 << 25;
const SMALLEST_BUFFER = 4096;
const known: ReadonlySet<number> = new Set(Object.values(IoOpcode));
const RANGE_BYTES = 16;
const MOST_RANGES = 256;

/** Bits of command dword 12 (§3.2.4, §3.2.8) and of dword 11 of dataset management (§3.2.3). */
const FORCE_UNIT_ACCESS = 0x4000_0000;
const DEALLOCATE_ZEROES = 0x0200_0000;
const DEALLOCATE = 4;

/** What all requests of a controller share. */
export interface IoContext {
  readonly memory: Memory;
  readonly pointers: DataPointers;
  readonly namespaces: readonly Namespace[];
  readonly statistics: Statistics;
  /** Whether what was written may wait for a flush. */
  readonly features: { readonly writeCache: boolean };
  /** As the driver has set it; `page` is the bytes of a memory page. */
  configuration(): { readonly page: number };
}

export class IoRequest implements ReadTarget {
  readonly command = new Command();
  readonly job = new Job();
  /** Whose `job` is to be done. */
  namespace: Namespace;
  queue: SubmissionQueue | undefined;
  /** How it has ended. */
  status: Status = Status.SUCCESS;
  /** The command that wants it aborted; undefined: none does. */
  abortId: number | undefined;
  readonly #context: IoContext;
  readonly #list = new ScatterList();
  #buffer = new Uint8Array();
  /** What the other side has, in a comparison. */
  #expected = new Uint8Array();
  readonly #ranges = new Uint8Array(MOST_RANGES * RANGE_BYTES);
  readonly #rangeView = new DataView(this.#ranges.buffer);
  #rangesLeft = 0;
  #nextRange = 0;
  /** Bytes of the range on the disk that is worked on, those done so far, and where it begins. */
  #length = 0;
  #done = 0;
  #start = 0;

  constructor(context: IoContext) {
    this.#context = context;
    this.namespace = context.namespaces[0]!;
  }

  /** Takes up `command`. @returns whether `job` is to be done; otherwise it has ended, with `status`. */
  begin(): boolean {
    const { command } = this;
    this.abortId = undefined;
    this.#done = this.#length = this.#rangesLeft = 0;
    if (!known.has(command.opcode)) return this.#end(Status.INVALID_OPCODE);
    if (command.fused !== 0 || command.pointerKind === 3) return this.#end(Status.INVALID_FIELD);
    if (command.opcode === IoOpcode.FLUSH) return this.#flush();
    const namespace = this.#context.namespaces[command.nsid - 1];
    if (namespace === undefined) return this.#end(Status.INVALID_NAMESPACE);
    this.namespace = namespace;
    switch (command.opcode) {
      case IoOpcode.READ:
      case IoOpcode.COMPARE:
        return this.#move();
      case IoOpcode.WRITE:
        return namespace.disk.writable ? this.#move() : this.#end(Status.NAMESPACE_WRITE_PROTECTED);
      case IoOpcode.WRITE_ZEROES:
        return namespace.disk.writable ? this.#zero() : this.#end(Status.NAMESPACE_WRITE_PROTECTED);
      default:
        return this.#manage();
    }
  }

  /**
   * `job` is done. @returns whether it is to be done again, with what it now says; otherwise it has ended.
   * One that is to be aborted does so here, when there is more of it to do.
   */
  goOn(): boolean {
    const more = this.#next();
    return more && this.abortId !== undefined ? this.#end(Status.ABORT_REQUESTED) : more;
  }

  /** The data of a read, out of the file right to where the driver wants it. */
  receive(offset: number, fd: number, position: number, length: number): boolean {
    return this.#list.receive(this.#context.memory, offset, fd, position, length);
  }

  #next(): boolean {
    const { job } = this;
    if (job.error !== undefined) return this.#failed();
    if (job.kind === 'sync') return this.#synced();
    if (job.kind === 'read' && !job.delivered) {
      const status = this.#take();
      if (status !== Status.SUCCESS) return this.#end(status);
    }
    this.#done += job.length;
    if (this.#done < this.#length) return this.#piece();
    if (this.#rangesLeft > 0) return this.#range();
    this.#count();
    return this.#mustSync() ? this.#do('sync', 0, 0) : this.#end(Status.SUCCESS);
  }

  /** Read, write and compare: blocks of the namespace, and as many bytes of memory. */
  #move(): boolean {
    const { command, namespace } = this;
    const first = command.quad(10);
    const blocks = (command.dword(12) & 0xffff) + 1;
    const length = blocks * namespace.block;
    const toHost = command.opcode === IoOpcode.READ;
    const { pointers, configuration } = this.#context;
    if (!namespace.has(first, blocks)) return this.#end(Status.LBA_OUT_OF_RANGE);
    const status = pointers.find(this.#list, command, length, configuration().page, toHost);
    if (status !== Status.SUCCESS) return this.#end(status);
    this.#start = first * namespace.block;
    this.#length = length;
    return this.#piece();
  }

  /** Write zeroes, of which there may be more blocks than a command may move. */
  #zero(): boolean {
    const { command, namespace } = this;
    const first = command.quad(10);
    const blocks = (command.dword(12) & 0xffff) + 1;
    if (!namespace.has(first, blocks)) return this.#end(Status.LBA_OUT_OF_RANGE);
    this.#start = first * namespace.block;
    this.#length = blocks * namespace.block;
    return this.#piece();
  }

  /** Dataset management: ranges in memory, each with attributes, blocks and the first of them. */
  #manage(): boolean {
    const { command, namespace } = this;
    const count = (command.dword(10) & 0xff) + 1;
    const { pointers, configuration, memory } = this.#context;
    const length = count * RANGE_BYTES;
    const status = pointers.find(this.#list, command, length, configuration().page, false);
    if (status !== Status.SUCCESS) return this.#end(status);
    if (this.#list.read(memory, 0, this.#ranges, length) < length)
      return this.#end(Status.DATA_TRANSFER_ERROR);
    for (let at = 0; at < length; at += RANGE_BYTES)
      if (!namespace.has(this.#rangeFirst(at), this.#rangeView.getUint32(at + 4, true)))
        return this.#end(Status.LBA_OUT_OF_RANGE);
    // The other attributes are hints.
    if ((command.dword(11) & DEALLOCATE) === 0) return this.#end(Status.SUCCESS);
    if (!namespace.disk.writable) return this.#end(Status.NAMESPACE_WRITE_PROTECTED);
    this.#rangesLeft = count;
    this.#nextRange = 0;
    return this.#range();
  }

  /** The next range that is to be deallocated. */
  #range(): boolean {
    const { block } = this.namespace;
    this.#done = this.#length = 0;
    while (this.#rangesLeft > 0 && this.#length === 0) {
      this.#start = this.#rangeFirst(this.#nextRange) * block;
      this.#length = this.#rangeView.getUint32(this.#nextRange + 4, true) * block;
      this.#nextRange += RANGE_BYTES;
      this.#rangesLeft--;
    }
    return this.#length === 0 ? this.#end(Status.SUCCESS) : this.#piece();
  }

  #rangeFirst(at: number): number {
    return this.#rangeView.getUint32(at + 8, true) + this.#rangeView.getUint32(at + 12, true) * 2 ** 32;
  }

  /** Flush: of one namespace, or of all of them, one after the other. */
  #flush(): boolean {
    const { nsid } = this.command;
    const { namespaces } = this.#context;
    const first = namespaces[nsid === ALL_NAMESPACES ? 0 : nsid - 1];
    if (first === undefined) return this.#end(Status.INVALID_NAMESPACE);
    this.namespace = first;
    return this.#do('sync', 0, 0);
  }

  /** What was written is on the disk of `namespace`. */
  #synced(): boolean {
    const { opcode, nsid } = this.command;
    const next = this.#context.namespaces[this.namespace.id];
    if (opcode !== IoOpcode.FLUSH || nsid !== ALL_NAMESPACES || next === undefined)
      return this.#end(Status.SUCCESS);
    this.namespace = next;
    return this.#do('sync', 0, 0);
  }

  /** The next piece; where it is written, its data is read out of memory first. */
  #piece(): boolean {
    const { opcode } = this.command;
    const left = this.#length - this.#done;
    const offset = this.#start + this.#done;
    if (opcode === IoOpcode.WRITE_ZEROES) {
      const punch = (this.command.dword(12) & DEALLOCATE_ZEROES) !== 0;
      return this.#do(punch ? 'punch' : 'zero', offset, Math.min(left, CLEARED_PIECE));
    }
    if (opcode === IoOpcode.DATASET_MANAGEMENT)
      return this.#do('punch', offset, Math.min(left, CLEARED_PIECE));
    const length = this.#pieceLength(Math.min(left, PIECE));
    if (this.#buffer.length < length) this.#buffer = newBuffer(length);
    this.job.buffer = this.#buffer;
    this.job.target = opcode === IoOpcode.READ ? this : undefined;
    this.job.targetOffset = this.#done;
    if (opcode !== IoOpcode.WRITE) return this.#do('read', offset, length);
    const { block } = this.namespace;
    const got = this.#list.read(this.#context.memory, this.#done, this.#buffer, length, block);
    return got > 0 ? this.#do('write', offset, got - (got % block)) : this.#end(Status.DATA_TRANSFER_ERROR);
  }

  /** Whole blocks of `most` bytes, as far as not too many ranges of memory have them. */
  #pieceLength(most: number): number {
    const here = this.#list.within(this.#done, most, MOST_PARTS);
    const { block } = this.namespace;
    return here === most ? most : Math.max(block, here - (here % block));
  }

  /**
   * Does with a piece that was read what the command is for, as far as a step may: the rest is read again,
   * with what follows it.
   */
  #take(): Status {
    const { job } = this;
    const { memory } = this.#context;
    if (this.command.opcode === IoOpcode.READ) {
      job.length = this.#list.write(memory, this.#done, job.buffer, job.length, 1);
      return job.length > 0 ? Status.SUCCESS : Status.DATA_TRANSFER_ERROR;
    }
    if (this.#expected.length < job.length) this.#expected = newBuffer(job.length);
    job.length = this.#list.read(memory, this.#done, this.#expected, job.length, 1);
    if (job.length === 0) return Status.DATA_TRANSFER_ERROR;
    const same = Buffer.compare(this.#expected.subarray(0, job.length), job.buffer.subarray(0, job.length));
    return same === 0 ? Status.SUCCESS : Status.COMPARE_FAILURE;
  }

  /** What was read or written is to be on the medium when the command completes. */
  #mustSync(): boolean {
    const { opcode } = this.command;
    if (changesBlocks.includes(opcode) && !this.#context.features.writeCache) return true;
    return opcode !== IoOpcode.DATASET_MANAGEMENT && (this.command.dword(12) & FORCE_UNIT_ACCESS) !== 0;
  }

  #count(): void {
    const { statistics } = this.#context;
    const { opcode } = this.command;
    if (opcode === IoOpcode.WRITE) {
      statistics.writeCommands++;
      statistics.bytesWritten += this.#length;
    } else if (opcode === IoOpcode.READ || opcode === IoOpcode.COMPARE) {
      statistics.readCommands++;
      statistics.bytesRead += this.#length;
    }
  }

  /** The file could not be read or written. */
  #failed(): false {
    this.#context.statistics.mediaErrors++;
    return this.#end(this.job.kind === 'read' ? Status.UNRECOVERED_READ_ERROR : Status.WRITE_FAULT);
  }

  #do(kind: Job['kind'], offset: number, length: number): true {
    this.job.kind = kind;
    this.job.offset = offset;
    this.job.length = length;
    return true;
  }

  #end(status: Status): false {
    this.status = status;
    return false;
  }
}

function newBuffer(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Math.max(SMALLEST_BUFFER, 2 ** Math.ceil(Math.log2(length))));
}
