/**
 * SparseHost: a DeviceHost for tests of DSA. Memory is single pages, present or not, writable or not, for
 * each PASID. Every third is of a kind that a port cannot copy from.
 */
import type { DeviceHost, DmaFault, DmaPort, Link, PageWait } from '../devices/device-model.js';
import { Outside } from '../devices/outside.js';
import { Wires } from '../devices/wire.js';

export const PAGE = 0x1000;

interface Page {
  readonly bytes: Uint8Array;
  readonly writable: boolean;
}

export class SparseHost implements DeviceHost {
  readonly baseDirectory = '/';
  readonly outside = new Outside();
  readonly dma: DmaPort;
  /** The vectors raised, oldest first. */
  readonly interrupts: number[] = [];
  /** What the model has said, oldest first. */
  readonly notes: string[] = [];
  /** PASIDs that may be loaded; undefined: any. */
  admitted: readonly number[] | undefined;
  /** Is asked for pages that are not there; undefined: nobody is. */
  pager: ((pasid: number, iova: number, write: boolean) => PageWait) | undefined;
  readonly #pages = new Map<number, Map<number, Page>>();

  constructor(admitted?: readonly number[]) {
    this.admitted = admitted;
    this.dma = {
      read: (pasid, iova, target, at = 0, length = target.length - at) =>
        this.#transfer(pasid, iova, target, at, length, false),
      write: (pasid, iova, source, at = 0, length = source.length - at) =>
        this.#transfer(pasid, iova, source, at, length, true),
      copy: (pasid, from, to, length) => this.#copy(pasid, from, to, length),
      requestPage: (pasid, iova, write) => this.pager?.(pasid, iova, write),
      admits: (pasid) => this.admitted === undefined || this.admitted.includes(pasid),
    };
  }

  readonly messages = true;

  interrupt(vector: number): void {
    this.interrupts.push(vector);
  }

  link(): Link {
    return new Wires().loop();
  }

  /** DSA knows no time. */
  now(): number {
    return 0;
  }

  after(): () => void {
    return () => {};
  }

  note(sentence: string): void {
    this.notes.push(sentence);
  }

  /** DSA has no INTx. */
  intx(): void {}

  memory(length: number): Uint8Array {
    return new Uint8Array(length);
  }

  /** Makes the pages of [iova, iova+length) present, filled with zeros. */
  map(pasid: number, iova: number, length: number, writable = true): void {
    const pages = this.#pages.get(pasid) ?? new Map<number, Page>();
    this.#pages.set(pasid, pages);
    for (let page = iova; page < iova + length; page += PAGE)
      pages.set(page / PAGE, { bytes: new Uint8Array(PAGE), writable });
  }

  /** Takes the page at `iova` away. */
  unmap(pasid: number, iova: number): void {
    this.#pages.get(pasid)?.delete(iova / PAGE);
  }

  /** Reads memory whatever the device may do with it; pages that are not there read as zeros. */
  peek(pasid: number, iova: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const within = (iova + done) % PAGE;
      const n = Math.min(PAGE - within, length - done);
      const page = this.#page(pasid, iova + done);
      if (page !== undefined) bytes.set(page.bytes.subarray(within, within + n), done);
      done += n;
    }
    return bytes;
  }

  /** Writes memory in the same way. */
  poke(pasid: number, iova: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const within = (iova + done) % PAGE;
      const n = Math.min(PAGE - within, bytes.length - done);
      this.#page(pasid, iova + done)?.bytes.set(bytes.subarray(done, done + n), within);
      done += n;
    }
  }

  #page(pasid: number, iova: number): Page | undefined {
    return this.#pages.get(pasid)?.get(Math.floor(iova / PAGE));
  }

  #copy(pasid: number, from: number, to: number, length: number): number {
    for (let done = 0; done < length; ) {
      const [source, target] = [this.#page(pasid, from + done), this.#page(pasid, to + done)];
      if (Math.floor((from + done) / PAGE) % 3 === 0 || source === undefined || target?.writable !== true)
        return done;
      const [start, at] = [(from + done) % PAGE, (to + done) % PAGE];
      const n = Math.min(PAGE - start, PAGE - at, length - done);
      target.bytes.set(source.bytes.subarray(start, start + n), at);
      done += n;
    }
    return length;
  }

  #transfer(
    pasid: number,
    iova: number,
    buffer: Uint8Array,
    at: number,
    length: number,
    write: boolean,
  ): DmaFault | undefined {
    for (let done = 0; done < length; ) {
      const here = iova + done;
      const page = this.#page(pasid, here);
      if (page === undefined || (write && !page.writable))
        return { iova: here, done, pasid, write, reason: `no page at ${here}` };
      const within = here % PAGE;
      const n = Math.min(PAGE - within, length - done);
      if (write) page.bytes.set(buffer.subarray(at + done, at + done + n), within);
      else buffer.set(page.bytes.subarray(within, within + n), at + done);
      done += n;
    }
    return undefined;
  }
}

/** The fields of a descriptor that a test sets; the others are 0. */
export interface Fields {
  pasid?: number;
  priv?: number;
  opcode: number;
  flags?: number;
  completion?: number;
  a?: number;
  b?: number;
  size?: number;
  handle?: number;
  /** Bytes 40 on. */
  rest?: readonly number[];
  /** The 64-bit field at byte 40. */
  c?: number;
}

/** Packs a descriptor as a program would. */
export function pack(fields: Fields): Uint8Array {
  const bytes = new Uint8Array(64);
  const view = new DataView(bytes.buffer);
  const u64 = (offset: number, value: number) => view.setBigUint64(offset, BigInt(value), true);
  view.setUint32(0, (fields.pasid ?? 0) + (fields.priv ?? 0) * 2 ** 31, true);
  view.setUint32(4, (fields.flags ?? 0) + fields.opcode * 2 ** 24, true);
  u64(8, fields.completion ?? 0);
  u64(16, fields.a ?? 0);
  u64(24, fields.b ?? 0);
  view.setUint32(32, fields.size ?? 0, true);
  view.setUint16(36, fields.handle ?? 0, true);
  if (fields.c !== undefined) u64(40, fields.c);
  if (fields.rest !== undefined) bytes.set(fields.rest, 40);
  return bytes;
}
