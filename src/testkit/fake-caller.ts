/**
 * FakeCaller: a Caller for unit tests, with one stretch of memory at MEMORY_AT and the eventfds that it was
 * given.
 */
import type { Caller, Doorbell, MemoryRange, OpenFile, Signal } from '../file/open-file.js';
import { finished } from '../file/work.js';
import type { Memory } from '../iommu/memory.js';
import { hex, refuse } from '../linux/errno.js';

/** Where the caller's memory begins. */
export const MEMORY_AT = 0x1000;

/**
 * What one eventfd of the caller has seen; `open` counts the Signals and Doorbells of it that have not been
 * closed.
 */
export interface FakeEventfd {
  raised: number;
  /** How often the caller has written to it. */
  rings: number;
  /** How often what it has written was taken. */
  emptied: number;
  open: number;
}

export class FakeCaller implements Caller {
  /** As Caller.mapsFiles. */
  mapsFiles = false;
  readonly pid = 4711;
  readonly bytes = new Uint8Array(16_384);
  readonly view = new DataView(this.bytes.buffer);
  readonly #eventfds = new Map<number, FakeEventfd>();

  /** Makes descriptor `fd` an eventfd. */
  addEventfd(fd: number): FakeEventfd {
    const eventfd = { raised: 0, rings: 0, emptied: 0, open: 0 };
    this.#eventfds.set(fd, eventfd);
    return eventfd;
  }

  /** Signals taken of all eventfds and not closed. */
  get openSignals(): number {
    return [...this.#eventfds.values()].reduce((sum, { open }) => sum + open, 0);
  }

  readMemory(address: number, target: Uint8Array): void {
    target.set(this.#range(address, target.length));
  }

  writeMemory(address: number, source: Uint8Array): void {
    this.#range(address, source.length).set(source);
  }

  eventfd(fd: number): Signal {
    const eventfd = this.#eventfds.get(fd) ?? refuse('EBADF', `descriptor ${fd} is not open`);
    eventfd.open++;
    return {
      raise: () => {
        eventfd.raised++;
      },
      close: () => {
        eventfd.open--;
      },
    };
  }

  doorbell(fd: number): Doorbell {
    const eventfd = this.#eventfds.get(fd) ?? refuse('EBADF', `descriptor ${fd} is not open`);
    eventfd.open++;
    return {
      get rings() {
        return eventfd.rings;
      },
      listen: () => {},
      empty: () => {
        eventfd.emptied++;
      },
      close: () => {
        eventfd.open--;
      },
    };
  }

  memory(address: number): MemoryRange {
    refuse('EFAULT', `address ${hex(address)} is not mapped`);
  }

  addressSpace(): Memory {
    refuse('EPERM', 'the memory of this caller is out of reach');
  }

  livesIn(): boolean {
    return false;
  }

  fileMemory(fd: number): MemoryRange {
    refuse('EBADF', `descriptor ${fd} is not open`);
  }

  presented(fd: number): object {
    refuse('EBADF', `descriptor ${fd} is not open`);
  }

  install(file: OpenFile): number {
    finished(file.release());
    refuse('EOPNOTSUPP', 'this caller takes no new descriptors');
  }

  #range(address: number, length: number): Uint8Array {
    const at = address - MEMORY_AT;
    if (!(at >= 0 && at + length <= this.bytes.length))
      refuse('EFAULT', `${length} bytes at ${hex(address)} are not mapped`);
    return this.bytes.subarray(at, at + length);
  }
}
