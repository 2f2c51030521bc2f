/**
 * Encoder: what has happened, as records: each a byte that says what it is, the microseconds since the record
 * before it, and its fields. docs/recording.md has the format, decoder.ts its other side.
 *
 * A record is understood by who has read all before it, since terms are told in full once.
 */
import type { DeviceHappening } from '../../driver/happening.js';
import type { IoctlShape } from '../../uapi/ioctl.js';
import type { Struct } from '../../uapi/struct.js';
import type { CallRecord, IoctlPart, TransferPart } from '../call-record.js';
import type { Asked, Input } from '../input.js';
import type { Recorded } from '../raw.js';
import { isAgain } from './again.js';
import { ByteWriter } from './bytes.js';
import {
  AskedField,
  CallField,
  calls,
  keptOf,
  keptOfTransfer,
  RecordKind,
  TransferField,
  ways,
} from './kinds.js';
import { LENGTH_BYTES, putLength } from './message.js';
import { layoutText, shapeText } from './shapes.js';
import { WrittenContents, WrittenTerms } from './terms.js';

const CAPACITY = 1 << 16;
/** Contents above it are told once. */
export const INLINE_BYTES = 64;

export class Encoder {
  readonly #out = new ByteWriter(CAPACITY, LENGTH_BYTES);
  readonly #names = new WrittenTerms<string>((out, text) => out.text(text));
  readonly #shapes = new WrittenTerms<IoctlShape>((out, shape) => out.text(shapeText(shape)));
  readonly #layouts = new WrittenTerms<Struct>((out, layout) => out.text(layoutText(layout)));
  readonly #contents = new WrittenContents();
  #withoutContents = false;
  /** The call that was told in full last. */
  #last: CallRecord | undefined;
  #micros = 0;

  /** Bytes that wait to be taken. */
  get length(): number {
    return this.#out.length;
  }

  /** The records since the last time; they are gone with the next one. */
  take(): Uint8Array<ArrayBuffer> {
    return this.#out.take().subarray(LENGTH_BYTES);
  }

  /** As `take`, as a message (message.ts). */
  takeMessage(): Uint8Array<ArrayBuffer> {
    const message = this.#out.take();
    putLength(message);
    return message;
  }

  add(raw: Recorded): void {
    switch (raw.kind) {
      case 'machine':
        this.#begin(RecordKind.MACHINE, raw.time);
        this.#out.text(JSON.stringify(raw.machine));
        this.#withoutContents = raw.machine.withoutContents ?? false;
        return;
      case 'input':
        this.#input(raw.entry, raw.time);
        return;
      case 'call':
        this.#told(raw.entry, raw.time);
        return;
      case 'dma': {
        const { rid, pasid, write, iova, length } = raw.entry;
        this.#begin(write ? RecordKind.DMA_WRITE : RecordKind.DMA_READ, raw.time);
        this.#name(rid);
        this.#place(pasid, iova);
        this.#out.number(length);
        return;
      }
      case 'fault': {
        const { rid, pasid, write, iova, reason } = raw.entry;
        this.#begin(write ? RecordKind.FAULT_WRITE : RecordKind.FAULT_READ, raw.time);
        this.#name(rid);
        this.#place(pasid, iova);
        this.#name(reason);
        return;
      }
      case 'note':
        this.#begin(RecordKind.NOTE, raw.time);
        this.#name(raw.device);
        this.#name(raw.entry.sentence);
        return;
      case 'device':
        this.#device(raw.device, raw.entry, raw.time);
        return;
      case 'lost':
        this.#begin(RecordKind.LOST, raw.time);
        this.#out.number(raw.count);
    }
  }

  #begin(kind: number, time: number): void {
    this.#out.byte(kind);
    const micros = Math.round(time * 1000);
    this.#out.signed(micros - this.#micros);
    this.#micros = micros;
  }

  #name(text: string): void {
    this.#names.write(this.#out, text);
  }

  #place(pasid: number, iova: number): void {
    this.#out.number(pasid);
    this.#out.number(iova);
  }

  #device(device: string, entry: DeviceHappening, time: number): void {
    const out = this.#out;
    switch (entry.kind) {
      case 'interrupt':
        this.#begin(entry.lost === undefined ? RecordKind.INTERRUPT : RecordKind.INTERRUPT_LOST, time);
        this.#name(device);
        this.#name(entry.name);
        out.number(entry.vector);
        if (entry.lost !== undefined) this.#name(entry.lost);
        return;
      case 'page':
        this.#begin(entry.write ? RecordKind.PAGE_WRITE : RecordKind.PAGE_READ, time);
        this.#name(device);
        this.#place(entry.pasid, entry.iova);
        return;
      default:
        this.#begin(entry.kind === 'authorized' ? RecordKind.AUTHORIZED : RecordKind.REVOKED, time);
        this.#name(device);
        out.number(entry.pasid);
        out.number((entry.vpasid ?? -1) + 1);
    }
  }

  #told(record: CallRecord, time: number): void {
    if (this.#last !== undefined && isAgain(this.#last, record)) {
      this.#begin(RecordKind.AGAIN, time);
      this.#out.number(record.duration);
      return;
    }
    this.#begin(RecordKind.CALL, time);
    this.#call(record);
    this.#last = record;
  }

  #call(record: CallRecord): void {
    const out = this.#out;
    const { pid, tid, program, fd, ioctl, transfer, error, reason, file, part } = record;
    out.byte(calls.indexOf(record.call));
    out.number(
      (pid === undefined ? 0 : CallField.PID) |
        (tid === undefined ? 0 : CallField.TID) |
        (program === undefined ? 0 : CallField.PROGRAM) |
        (fd === undefined ? 0 : CallField.FD) |
        (ioctl === undefined ? 0 : CallField.IOCTL) |
        (transfer === undefined ? 0 : CallField.TRANSFER) |
        (error === undefined ? 0 : CallField.ERROR) |
        (reason === undefined ? 0 : CallField.REASON) |
        (file === undefined ? 0 : CallField.FILE) |
        (part === undefined ? 0 : CallField.PART) |
        (record.way === 'call' ? 0 : CallField.WAY),
    );
    this.#name(record.path);
    if (pid !== undefined) out.number(pid);
    if (tid !== undefined) out.number(tid);
    if (program !== undefined) this.#name(program);
    if (fd !== undefined) out.number(fd);
    if (ioctl !== undefined) this.#ioctl(ioctl);
    if (transfer !== undefined) this.#transfer(transfer, record.path);
    out.signed(record.result);
    if (error !== undefined) this.#name(error);
    if (reason !== undefined) this.#name(reason);
    if (file !== undefined) out.number(file);
    if (part !== undefined) out.number(part);
    if (record.way !== 'call') out.byte(ways.indexOf(record.way));
    out.number(record.duration);
  }

  #input(input: Input, time: number): void {
    switch (input.kind) {
      case 'asked':
        this.#begin(RecordKind.ASKED, time);
        this.#asked(input);
        return;
      case 'begun':
        this.#begin(RecordKind.BEGUN, time);
        this.#out.number(input.part);
        this.#call(input.call);
        return;
      case 'part':
        this.#begin(RecordKind.PART, time);
        this.#out.number(input.part);
        return;
      case 'postponed':
        this.#begin(RecordKind.POSTPONED, time);
        return;
      case 'step':
        this.#begin(RecordKind.STEP, time);
    }
  }

  #asked({ what, of, answer, errno, text, bytes }: Asked): void {
    const out = this.#out;
    out.byte(what);
    out.byte(
      (errno === undefined ? 0 : AskedField.ERRNO) |
        (text === undefined ? 0 : AskedField.TEXT) |
        (bytes === undefined ? 0 : AskedField.BYTES),
    );
    this.#list(of);
    this.#list(answer);
    if (errno !== undefined) out.number(errno);
    if (text !== undefined) this.#name(text);
    if (bytes !== undefined) this.#bytes(bytes, keptOf(what));
  }

  #list(numbers: readonly number[]): void {
    this.#out.number(numbers.length);
    for (let n = 0; n < numbers.length; n++) this.#out.signed(numbers[n]!);
  }

  #ioctl({ cmd, arg, shape, input, output, descriptors }: IoctlPart): void {
    const out = this.#out;
    out.number(cmd >>> 0);
    out.number(Math.max(0, arg));
    out.byte(shape === undefined ? 0 : 1);
    if (shape !== undefined) this.#shapes.write(out, shape);
    this.#bytes(input);
    this.#bytes(output);
    out.number(descriptors.size);
    for (const [fd, is] of descriptors) {
      out.signed(fd);
      this.#name(is);
    }
  }

  #transfer({ offset, place, length, layout, bytes }: TransferPart, path: string): void {
    const out = this.#out;
    out.byte(
      (offset === undefined ? 0 : TransferField.OFFSET) |
        (place === undefined ? 0 : TransferField.PLACE) |
        (layout === undefined ? 0 : TransferField.LAYOUT),
    );
    if (offset !== undefined) out.number(offset);
    if (place !== undefined) this.#name(place);
    if (layout !== undefined) this.#layouts.write(out, layout);
    out.number(length);
    this.#bytes(bytes, keptOfTransfer(path, layout !== undefined));
  }

  /** @param kept what is longer may be left out. */
  #bytes(bytes: Uint8Array, kept = Number.POSITIVE_INFINITY): void {
    if (bytes.length > kept && this.#withoutContents) {
      this.#out.number(bytes.length);
      return;
    }
    if (bytes.length <= INLINE_BYTES) {
      this.#out.bytes(bytes);
      return;
    }
    this.#out.number(bytes.length);
    this.#contents.write(this.#out, bytes);
  }
}
