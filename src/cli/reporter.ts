/**
 * Reporter: what `-v` tells, a line each, as it happens: calls that are refused, DMA that faults, and what
 * devices note. A line that is the same as the one before is counted, and the count told, at most once a
 * second.
 *
 * The logs of faults and notes are read up to their ends; what a ring has lost meanwhile is told as a number.
 */
import type { CallRecord } from '../devfs/fuse-server.js';
import type { EventLog, Logged } from '../iommu/event-log.js';
import { errnoName, hex } from '../linux/errno.js';
import type { Machine } from '../machine/machine.js';
import { complain } from './messages.js';

const SECOND = 1000;

export class Reporter {
  readonly #machine: Machine;
  readonly #root: string;
  readonly #print: (line: string) => void;
  /** How much of each log has been told. */
  readonly #told = new Map<object, number>();
  #last = '';
  #repeats = 0;
  #printed = 0;

  /** `root`: where the files are, as lines name them. */
  constructor(machine: Machine, root: string, print: (line: string) => void = complain) {
    this.#machine = machine;
    this.#root = root;
    this.#print = print;
  }

  /** A call has ended. A note that is the reason why it is refused is told as that alone. */
  call({ call, path, tid, argument, result, reason = 'no reason given' }: CallRecord): void {
    if (result >= 0) return;
    this.events(reason);
    const what = call === 'ioctl' ? `ioctl ${hex(argument >>> 0)}` : call;
    this.#line(`${what} on ${this.#root}/${path} by thread ${tid}: ${errnoName(-result)}: ${reason}`);
  }

  /** Tells the faults and the notes since the last time, but for those that `reason` has. */
  events(reason = ''): void {
    const { iommu, devices } = this.#machine;
    for (const { rid, pasid, iova, write, reason } of this.#since(iommu.faults))
      this.#line(`DMA fault: ${rid} PASID ${pasid} ${write ? 'write' : 'read'} at ${hex(iova)}: ${reason}`);
    for (const { driver } of devices) {
      const { name, work } = driver.life;
      for (const { sentence } of this.#since(work.calls.notes))
        if (!reason.includes(sentence)) this.#line(`${name}: ${sentence}`);
    }
  }

  /** Tells how often the last line was said again. */
  end(): void {
    if (this.#repeats > 0) this.#print(`... ${this.#repeats} times more`);
    this.#repeats = 0;
    this.#printed = Date.now();
  }

  #since<T extends object>(log: EventLog<T>): readonly Logged<T>[] {
    const told = this.#told.get(log) ?? 0;
    if (log.total === told) return [];
    this.#told.set(log, log.total);
    const events = log.since(told);
    const lost = log.total - told - events.length;
    if (lost > 0) this.#line(`${lost} lines are not told: they came too fast`);
    return events;
  }

  #line(line: string): void {
    if (line === this.#last) {
      this.#repeats++;
      if (Date.now() - this.#printed >= SECOND) this.end();
      return;
    }
    this.end();
    this.#print(line);
    this.#last = line;
  }
}
