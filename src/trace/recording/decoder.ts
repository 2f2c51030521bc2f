/**
 * Decoder: records, as encoder.ts writes them, one after the other.
 *
 * Whatever the bytes are, it answers or refuses: a record that is no sense is EINVAL, and nothing is read
 * beyond the bytes.
 */
import type { DeviceHappening } from '../../driver/happening.js';
import { refuse } from '../../linux/errno.js';
import type { CallRecord, IoctlPart, TransferPart } from '../call-record.js';
import { Ask, type Asked, type AskKind, type Input } from '../input.js';
import type { Raw, Recorded } from '../raw.js';
import { ByteReader } from './bytes.js';
import { INLINE_BYTES } from './encoder.js';
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
import { parseMachine } from './machine-text.js';
import { parseLayout, parseShape } from './shapes.js';
import { ReadTerms } from './terms.js';

const MOST_DESCRIPTORS = 1 << 10;
/** Numbers of a question or an answer: as many as a call may have buffers. */
const MOST_NUMBERS = 1 << 10;
const noDescriptors: ReadonlyMap<number, string> = new Map();
const asks = new Set<number>(Object.values(Ask));

function unknownKind(kind: number): never {
  return refuse('EINVAL', `there are no records of kind ${kind}`);
}

export class Decoder {
  readonly #names: ReadTerms<string>;
  readonly #shapes = new ReadTerms((from) => parseShape(from.text()));
  readonly #layouts = new ReadTerms((from) => parseLayout(from.text()));
  readonly #contents = new ReadTerms((from) => from.copy(from.number()));
  #micros = 0;
  #withoutContents = false;
  #last: CallRecord | undefined;
  #again = false;

  /** @param clean what each text becomes: that of somebody else's may move the cursor. */
  constructor(clean: (text: string) => string = String) {
    this.#names = new ReadTerms((from) => clean(from.text()));
  }

  /** All of `records`. @throws Refusal EINVAL a record is none. */
  all(records: Uint8Array): Recorded[] {
    const [from, all] = [new ByteReader(records), [] as Recorded[]];
    while (!from.ended) all.push(this.next(from));
    return all;
  }

  /** Is what was decoded last the call that was told in full last, once more? */
  get again(): boolean {
    return this.#again;
  }

  /** The next record; what it has of bytes is a copy. @throws Refusal EINVAL there is none. */
  next(from: ByteReader): Recorded {
    const kind = from.byte();
    this.#again = kind === RecordKind.AGAIN;
    this.#micros += from.signed();
    const time = this.#micros / 1000;
    if (kind === RecordKind.MACHINE) {
      const machine = parseMachine(from.text());
      this.#withoutContents = machine.withoutContents ?? false;
      return { kind: 'machine', machine, time };
    }
    if (kind === RecordKind.AGAIN) return { kind: 'call', entry: this.#lastAgain(from), time };
    if (kind >= RecordKind.ASKED) return { kind: 'input', entry: this.#input(kind, from), time };
    return this.#happening(kind, from, time);
  }

  #happening(kind: number, from: ByteReader, time: number): Raw {
    switch (kind) {
      case RecordKind.CALL:
        this.#last = this.#call(from);
        return { kind: 'call', entry: this.#last, time };
      case RecordKind.DMA_READ:
      case RecordKind.DMA_WRITE: {
        const write = kind === RecordKind.DMA_WRITE;
        const [rid, pasid, iova, length] = [this.#name(from), from.number(), from.number(), from.number()];
        return { kind: 'dma', entry: { rid, pasid, write, iova, length }, time };
      }
      case RecordKind.FAULT_READ:
      case RecordKind.FAULT_WRITE: {
        const write = kind === RecordKind.FAULT_WRITE;
        const [rid, pasid, iova, reason] = [this.#name(from), from.number(), from.number(), this.#name(from)];
        return { kind: 'fault', entry: { rid, pasid, write, iova, reason }, time };
      }
      case RecordKind.NOTE:
        return { kind: 'note', device: this.#name(from), entry: { sentence: this.#name(from) }, time };
      case RecordKind.LOST:
        return { kind: 'lost', count: from.number(), time };
      default:
        return { kind: 'device', device: this.#name(from), entry: this.#ofDevice(kind, from), time };
    }
  }

  #ofDevice(kind: number, from: ByteReader): DeviceHappening {
    switch (kind) {
      case RecordKind.INTERRUPT:
      case RecordKind.INTERRUPT_LOST: {
        const entry = { kind: 'interrupt', name: this.#name(from), vector: from.number() } as const;
        return kind === RecordKind.INTERRUPT ? entry : { ...entry, lost: this.#name(from) };
      }
      case RecordKind.PAGE_READ:
      case RecordKind.PAGE_WRITE: {
        const [pasid, iova, write] = [from.number(), from.number(), kind === RecordKind.PAGE_WRITE];
        return { kind: 'page', pasid, iova, write };
      }
      case RecordKind.AUTHORIZED:
      case RecordKind.REVOKED: {
        const [pasid, vpasid] = [from.number(), from.number() - 1];
        const what = kind === RecordKind.AUTHORIZED ? 'authorized' : 'revoked';
        return { kind: what, pasid, ...(vpasid >= 0 && { vpasid }) };
      }
      default:
        return unknownKind(kind);
    }
  }

  #name(from: ByteReader): string {
    return this.#names.read(from);
  }

  #call(from: ByteReader): CallRecord {
    const call = calls[from.byte()] ?? refuse('EINVAL', 'a record is of a call that there is not');
    const has = from.number();
    const path = this.#name(from);
    const pid = has & CallField.PID ? from.number() : undefined;
    const tid = has & CallField.TID ? from.number() : undefined;
    const program = has & CallField.PROGRAM ? this.#name(from) : undefined;
    const fd = has & CallField.FD ? from.number() : undefined;
    const ioctl = has & CallField.IOCTL ? this.#ioctl(from) : undefined;
    const transfer = has & CallField.TRANSFER ? this.#transfer(from, path) : undefined;
    const result = from.signed();
    const error = has & CallField.ERROR ? this.#name(from) : undefined;
    const reason = has & CallField.REASON ? this.#name(from) : undefined;
    const file = has & CallField.FILE ? from.number() : undefined;
    const part = has & CallField.PART ? from.number() : undefined;
    const way = ways[has & CallField.WAY ? from.byte() : 0] ?? refuse('EINVAL', 'a call came in no way');
    const came = { file, part, way, duration: from.number() };
    return { call, path, pid, tid, program, fd, ioctl, transfer, result, error, reason, ...came };
  }

  #lastAgain(from: ByteReader): CallRecord {
    const last = this.#last ?? refuse('EINVAL', 'a call is told again that was not told before');
    return { ...last, duration: from.number() };
  }

  #input(kind: number, from: ByteReader): Input {
    switch (kind) {
      case RecordKind.ASKED:
        return this.#asked(from);
      case RecordKind.BEGUN:
        return { kind: 'begun', part: from.number(), call: this.#call(from) };
      case RecordKind.PART:
        return { kind: 'part', part: from.number() };
      case RecordKind.POSTPONED:
        return { kind: 'postponed' };
      case RecordKind.STEP:
        return { kind: 'step' };
      default:
        return unknownKind(kind);
    }
  }

  #asked(from: ByteReader): Asked {
    const what = from.byte() as AskKind;
    if (!asks.has(what)) refuse('EINVAL', `a record asks for ${what}, which there is not`);
    const has = from.byte();
    const [of, answer] = [this.#numbers(from), this.#numbers(from)];
    const errno = has & AskedField.ERRNO ? from.number() : undefined;
    const text = has & AskedField.TEXT ? this.#name(from) : undefined;
    const bytes = has & AskedField.BYTES ? this.#bytes(from, keptOf(what)) : undefined;
    return { kind: 'asked', what, of, answer, errno, text, bytes };
  }

  #numbers(from: ByteReader): number[] {
    const count = from.number();
    if (count > MOST_NUMBERS) refuse('EINVAL', `a record has ${count} numbers`);
    const numbers: number[] = [];
    for (let n = 0; n < count; n++) numbers.push(from.signed());
    return numbers;
  }

  #ioctl(from: ByteReader): IoctlPart {
    const [cmd, arg] = [from.number(), from.number()];
    const shape = from.byte() === 0 ? undefined : this.#shapes.read(from);
    const [input, output] = [this.#bytes(from), this.#bytes(from)];
    const count = from.number();
    if (count > MOST_DESCRIPTORS) refuse('EINVAL', `a record names ${count} descriptors`);
    const descriptors = count === 0 ? noDescriptors : this.#descriptors(from, count);
    return { cmd, arg, shape, input, output, descriptors };
  }

  #descriptors(from: ByteReader, count: number): Map<number, string> {
    const descriptors = new Map<number, string>();
    for (let n = 0; n < count; n++) descriptors.set(from.signed(), this.#name(from));
    return descriptors;
  }

  #transfer(from: ByteReader, path: string): TransferPart {
    const has = from.byte();
    const offset = has & TransferField.OFFSET ? from.number() : undefined;
    const place = has & TransferField.PLACE ? this.#name(from) : undefined;
    const layout = has & TransferField.LAYOUT ? this.#layouts.read(from) : undefined;
    const length = from.number();
    const bytes = this.#bytes(from, keptOfTransfer(path, layout !== undefined));
    return { offset, place, length, layout, bytes };
  }

  /** A copy: what is decoded outlives what it is decoded from. */
  #bytes(from: ByteReader, kept = Number.POSITIVE_INFINITY): Uint8Array {
    const length = from.number();
    if (length > kept && this.#withoutContents) return new Uint8Array(0);
    return length <= INLINE_BYTES ? from.copy(length) : this.#large(from, length);
  }

  #large(from: ByteReader, length: number): Uint8Array {
    const content = this.#contents.read(from, length);
    if (content.length !== length) refuse('EINVAL', `a content of ${length} bytes has ${content.length}`);
    return content;
  }
}
