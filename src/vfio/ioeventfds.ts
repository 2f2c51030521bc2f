/**
 * IoEventfds: registers of one device that a program writes by eventfds (VFIO_DEVICE_IOEVENTFD), so that
 * whoever has the eventfd can ring one doorbell of the device and do nothing else with it.
 *
 * Invariant: no two write the same value to the same place in the same width; each Bell is closed exactly
 * once. A write to the eventfd is the write to the register, in the width and with the value that were given;
 * of several registers that one eventfd writes, the newest comes first, as with vfio-pci. There is nobody to
 * refuse it to: what the device cannot take is lost, as a posted write is.
 */
import type { Caller } from '../file/open-file.js';
import { hex, Refusal, refuse } from '../linux/errno.js';
import type { Bars } from './bars.js';
import { Bell } from './bell.js';
import type { Msix } from './msix.js';

/** As in Linux. */
const MOST = 1000;

/** One VFIO_DEVICE_IOEVENTFD, decoded. `fd` is -1 when the eventfd is to be taken away. */
export interface IoEventfdRequest {
  readonly bar: number;
  readonly offset: number;
  /** Bytes that are written: 1, 2, 4 or 8. */
  readonly width: number;
  readonly value: bigint;
  readonly fd: number;
}

interface IoEventfd extends Omit<IoEventfdRequest, 'fd'> {
  readonly bytes: Uint8Array;
  readonly bell: Bell;
}

export class IoEventfds {
  readonly #bars: Bars;
  readonly #msix: Msix | undefined;
  /** The newest first. */
  readonly #all: IoEventfd[] = [];

  constructor(bars: Bars, msix: Msix | undefined) {
    this.#bars = bars;
    this.#msix = msix;
  }

  /**
   * @throws Refusal EINVAL for a place that is in no BAR, or in the MSI-X table; EEXIST when the same write
   * has an eventfd; ENODEV when it has none that could be taken away; ENOSPC for the 1001st; as
   * Caller.doorbell.
   */
  set(request: IoEventfdRequest, caller: Caller): void {
    this.#checkPlace(request);
    const { bar, offset, width, value, fd } = request;
    const what = `${width} bytes of ${hex(value)} at ${hex(offset)} of BAR ${bar}`;
    const there = this.#all.findIndex((each) => sameWrite(each, request));
    if (fd === -1) {
      if (there < 0) refuse('ENODEV', `no eventfd writes ${what}`);
      for (const { bell } of this.#all.splice(there, 1)) bell.close();
      return;
    }
    if (there >= 0) refuse('EEXIST', `another eventfd writes ${what} already`);
    if (this.#all.length >= MOST)
      refuse('ENOSPC', `the device has ${MOST} registers that eventfds write already`);
    const bell = new Bell(caller.doorbell(fd));
    this.#all.unshift({ bar, offset, width, value, bytes: littleEndian(value, width), bell });
    this.hear();
  }

  /** Writes what the program has rung for. */
  hear(): void {
    this.#all[0]?.bell.listen();
    for (const each of this.#all) {
      if (!each.bell.hear()) continue;
      try {
        this.#bars.write(each.bar, each.offset, each.bytes);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
      }
    }
  }

  /** Gives all eventfds back. */
  close(): void {
    for (const { bell } of this.#all.splice(0)) bell.close();
  }

  #checkPlace({ bar, offset, width }: IoEventfdRequest): void {
    const size = this.#bars.size(bar);
    if (offset + width > size)
      refuse('EINVAL', `${width} bytes at ${hex(offset)} of region ${bar} are not in the ${size} of a BAR`);
    if (this.#msix?.tableReaches(bar, offset, width) === true)
      refuse('EINVAL', `${width} bytes at ${hex(offset)} of BAR ${bar} reach into the MSI-X table`);
  }
}

function sameWrite(one: Omit<IoEventfdRequest, 'fd'>, other: Omit<IoEventfdRequest, 'fd'>): boolean {
  return (
    one.bar === other.bar &&
    one.offset === other.offset &&
    one.width === other.width &&
    one.value === other.value
  );
}

function littleEndian(value: bigint, width: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes.subarray(0, width);
}
