/**
 * IoEventfds: registers of one device that a program writes by eventfds (VFIO_DEVICE_IOEVENTFD), so that
 * whoever has the eventfd can ring one doorbell of the device and do nothing else with it.
 *
 * Invariant: no two write the same value to the same place in the same width; each Bell is closed exactly
 * once. A write to the eventfd is the write to the register, in the width and with the value that were given.
 * There is nobody to refuse it to: what the device cannot take is lost, as a posted write is.
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

interface IoEventfd {
  readonly bar: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly bell: Bell;
}

export class IoEventfds {
  readonly #bars: Bars;
  readonly #msix: Msix | undefined;
  readonly #all = new Map<string, IoEventfd>();

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
    const key = `${bar} ${offset} ${width} ${value}`;
    const what = `${width} bytes of ${hex(value)} at ${hex(offset)} of BAR ${bar}`;
    const there = this.#all.get(key);
    if (fd === -1) {
      if (there === undefined) refuse('ENODEV', `no eventfd writes ${what}`);
      there.bell.close();
      this.#all.delete(key);
      return;
    }
    if (there !== undefined) refuse('EEXIST', `another eventfd writes ${what} already`);
    if (this.#all.size >= MOST)
      refuse('ENOSPC', `the device has ${MOST} registers that eventfds write already`);
    const bell = new Bell(caller.doorbell(fd));
    this.#all.set(key, { bar, offset, bytes: littleEndian(value, width), bell });
    this.hear();
  }

  /** Writes what the program has rung for. */
  hear(): void {
    const [first] = this.#all.values();
    first?.bell.listen();
    for (const each of this.#all.values()) {
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
    for (const { bell } of this.#all.values()) bell.close();
    this.#all.clear();
  }

  #checkPlace({ bar, offset, width }: IoEventfdRequest): void {
    const size = this.#bars.size(bar);
    if (offset + width > size)
      refuse('EINVAL', `${width} bytes at ${hex(offset)} of region ${bar} are not in the ${size} of a BAR`);
    if (this.#msix?.tableReaches(bar, offset, width) === true)
      refuse('EINVAL', `${width} bytes at ${hex(offset)} of BAR ${bar} reach into the MSI-X table`);
  }
}

function littleEndian(value: bigint, width: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes.subarray(0, width);
}
