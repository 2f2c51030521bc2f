/**
 * A scene: what a sequence under construction has made so far, by name. The generator's steps ask it for
 * something to act on, so that most calls hit an object that exists, and tell it what they made.
 *
 * A scene knows names only. Whether a call succeeded, and which id an object got, is known when the sequence
 * runs; a name whose call failed stands for 0.
 */

import { address, type Line, number, plain, saved, type Value } from './language.js';
import { type CallOptions, call, type LayoutName } from './layouts.js';

export interface Device {
  /** Names of the ids: the mock device itself, its attached page table, the iommufd device. */
  readonly stdev: string;
  readonly hwpt: string;
  readonly idev: string;
}

export interface Mapping {
  readonly ioas: string;
  readonly iova: Value;
  readonly length: bigint;
  /** The memory mapped, when it is of a buffer. */
  readonly memory: Value | undefined;
}

/** An open file of a mediated device, and the name of its id once it is bound. */
export interface Mdev {
  readonly fd: string;
  readonly id: string;
}

/** An open group, and the number of its device. */
export interface Group {
  readonly fd: string;
  readonly device: number;
}

/** What stands for a file when none is open. */
const NO_MDEV: Mdev = { fd: 'dev', id: 'mdev' };
const NO_GROUP: Group = { fd: 'group', device: 0 };

/** Bytes of the buffer that mappings are made of. */
export const MEMORY_BYTES = 0x20000;
const SCRATCH_BYTES = 0x1000;

export class Scene {
  readonly lines: Line[] = [];
  readonly ioases: string[] = [];
  readonly hwpts: string[] = [];
  readonly nested: string[] = [];
  readonly devices: Device[] = [];
  readonly mdevs: Mdev[] = [];
  readonly groups: Group[] = [];
  readonly viommus: string[] = [];
  readonly others: string[] = [];
  /** Fault queues: the object and its descriptor. */
  readonly faults: { readonly id: string; readonly fd: string }[] = [];
  /** Descriptors of virtual event queues. */
  readonly events: string[] = [];
  readonly accesses: string[] = [];
  readonly pins: { readonly access: string; readonly name: string }[] = [];
  readonly mappings: Mapping[] = [];
  readonly #pasids = new Set<number>();
  #names = 0;

  constructor() {
    this.lines.push(
      plain('open', 'f', '/dev/iommu'),
      plain('buf', 'b', MEMORY_BYTES, 4096),
      plain('buf', 's', SCRATCH_BYTES, 4096),
      plain('memfd', 'm', MEMORY_BYTES),
    );
  }

  name(kind: string): string {
    return `${kind}${++this.#names}`;
  }

  add(...lines: readonly Line[]): void {
    this.lines.push(...lines);
  }

  call(
    name: LayoutName,
    fields: Readonly<Record<string, Value | number | bigint>>,
    options?: CallOptions,
  ): void {
    this.lines.push(call(name, fields, options));
  }

  /** One of `names`, or undefined when there is none. */
  pick<T>(names: readonly T[], which: number): T | undefined {
    return names.length === 0 ? undefined : names[which % names.length];
  }

  /** One of the open files of mediated devices. */
  mdev(which: number): Mdev {
    return this.pick(this.mdevs, which) ?? NO_MDEV;
  }

  group(which: number): Group {
    return this.pick(this.groups, which) ?? NO_GROUP;
  }

  /** The id behind a name; an id that nothing has, when there is no name. */
  id(name: string | undefined): Value {
    return name === undefined ? number(0) : saved(name);
  }

  /** The id of anything at all, of the right kind or not. */
  anyId(which: number): Value {
    const devices = this.devices.flatMap(({ stdev, hwpt, idev }) => [stdev, hwpt, idev]);
    return this.id(
      this.pick(
        [...this.ioases, ...this.hwpts, ...this.nested, ...this.viommus, ...this.others, ...devices],
        which,
      ),
    );
  }

  /** A page table that a device can be attached to: an IOAS, or one of its page tables. */
  pageTable(which: number): Value {
    return this.id(this.pick([...this.ioases, ...this.hwpts, ...this.nested], which));
  }

  usePasid(pasid: number): number {
    this.#pasids.add(pasid);
    return pasid;
  }

  /**
   * The mock device cannot be destroyed with PASIDs attached: the kernel's own test interface would be broken
   * by it.
   */
  detachPasids(): void {
    for (const { stdev } of this.devices)
      for (const pasid of this.#pasids) this.call('TEST_PASID_DETACH', { id: saved(stdev), pasid });
  }

  forget(name: string): void {
    for (const names of [this.ioases, this.hwpts, this.nested, this.viommus, this.others]) {
      const at = names.indexOf(name);
      if (at >= 0) names.splice(at, 1);
    }
    const device = this.devices.findIndex(({ stdev }) => stdev === name);
    if (device >= 0) this.devices.splice(device, 1);
  }

  /** Scratch memory that a call reads its arguments from. */
  scratch(bytes: string, offset = 0): Value {
    if (bytes !== '') this.lines.push(plain('fill', 's', offset, bytes));
    return address('s', offset);
  }
}

/** The hex of `values`, each of `size` bytes. */
export function packed(size: number, ...values: readonly (number | bigint)[]): string {
  const bytes = Buffer.alloc(size * values.length);
  for (const [n, value] of values.entries()) {
    const whole = BigInt.asUintN(8 * size, BigInt(value));
    for (let byte = 0; byte < size; byte++)
      bytes[n * size + byte] = Number((whole >> BigInt(8 * byte)) & 0xffn);
  }
  return bytes.toString('hex');
}

/** Adds one call, with what the call needs, to a scene. */
export type Step = (scene: Scene) => void;

/** The right id or, when it is to be `wrong`, the id of anything. */
export const chosen = (scene: Scene, wrong: boolean, n: number, right: Value): Value =>
  wrong ? scene.anyId(n) : right;

export function added(value: Value, plus: bigint): Value {
  if (value.kind === 'number') return number(BigInt.asUintN(64, value.value + plus));
  return value.kind === 'descriptor' ? value : { ...value, plus: value.plus + plus };
}
