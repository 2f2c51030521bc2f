/**
 * TraceReader: everything that has happened in a machine since the last time, in its order.
 *
 * The logs below only grow, and each of their entries has its place in the order of all. So reading takes
 * nothing away, and several readers do not know of each other.
 */
import type { DiskEvent } from '../devices/disk.js';
import type { LinkEvent } from '../devices/wire.js';
import type { DeviceHappening } from '../driver/happening.js';
import type { EventLog, Logged, WatchedLog } from '../iommu/event-log.js';
import type { FaultLog, Transfer } from '../iommu/fault-log.js';
import { now } from '../linux/now.js';
import { diskAsked } from './disk-asked.js';
import type { TraceEvent } from './event.js';
import { everything, type Filter, wants } from './filter.js';
import { Ask, type Asked } from './input.js';
import { linkAsked } from './link-asked.js';
import { eventsOf, type Raw, type RawInput } from './raw.js';
import type { Trace } from './trace.js';

/** Where things are logged. */
export interface TraceLogs {
  readonly trace: Trace;
  readonly faults: FaultLog;
  readonly transfers: WatchedLog<Transfer>;
  /** What devices were told when they asked for the time. */
  readonly readings: WatchedLog<{ readonly time: number }>;
  /** What disks have asked of their media. */
  readonly disks: WatchedLog<DiskEvent>;
  /** What has happened at links to the world outside. */
  readonly links: WatchedLog<LinkEvent>;
  readonly devices: readonly {
    readonly name: string;
    readonly notes: EventLog<{ readonly sentence: string }>;
    readonly happenings: WatchedLog<DeviceHappening>;
  }[];
}

/** Something that has happened, with its place among the entries of all logs. */
interface Placed {
  readonly order: number;
  readonly raw: Raw | RawInput;
}

function timeAsked({ time }: { readonly time: number }): Asked {
  return { kind: 'asked', what: Ask.TIME, of: [], answer: [time] };
}

/** Adds to `found` what has come since the last time. @returns how much the log has lost. */
type Source = (found: Placed[]) => number;

export class TraceReader {
  readonly #sources: Source[] = [];
  readonly #ends: (() => void)[] = [];

  /**
   * Looks from now on, until `end`, into the logs of which `filter` may show something; `inputs`: also into
   * what the machine has from outside, which is no event.
   */
  constructor(
    { trace, faults, transfers, devices, readings, disks, links }: TraceLogs,
    filter: Filter = everything,
    inputs = false,
  ) {
    if (inputs) {
      this.#look(trace.inputs, (entry, time) => ({ kind: 'input', entry, time }));
      this.#look(readings, (entry, time) => ({ kind: 'input', entry: timeAsked(entry), time }));
      this.#look(disks, (entry, time) => ({ kind: 'input', entry: diskAsked(entry), time }));
      this.#look(links, (entry, time) => ({ kind: 'input', entry: linkAsked(entry), time }));
    }
    if (wants(filter, 'call', 'error'))
      this.#look(trace.calls, (entry, time) => ({ kind: 'call', entry, time }));
    if (wants(filter, 'dma')) this.#look(transfers, (entry, time) => ({ kind: 'dma', entry, time }));
    if (wants(filter, 'fault')) this.#read(faults, (entry) => ({ kind: 'fault', entry, time: entry.time }));
    for (const { name: device, notes, happenings } of devices) {
      if (wants(filter, 'note'))
        this.#read(notes, (entry) => ({ kind: 'note', device, entry, time: entry.time }));
      if (wants(filter, 'interrupt', 'page', 'authorization'))
        this.#look(happenings, (entry, time) => ({ kind: 'device', device, entry, time }));
    }
  }

  /** What has happened since the last time, oldest first. */
  read(): TraceEvent[] {
    return eventsOf(this.raw());
  }

  /** As `read`, as it was logged. */
  raw(): (Raw | RawInput)[] {
    const found: Placed[] = [];
    let lost = 0;
    for (const source of this.#sources) lost += source(found);
    if (found.length > 1) found.sort((a, b) => a.order - b.order);
    const told = found.map(({ raw }) => raw);
    return lost === 0 ? told : [{ kind: 'lost', count: lost, time: now() }, ...told];
  }

  end(): void {
    for (const end of this.#ends) end();
  }

  #look<T extends object>(log: WatchedLog<T>, rawOf: (event: T, time: number) => Raw | RawInput): void {
    const look = log.look();
    this.#ends.push(() => look.end());
    this.#sources.push((found) => {
      const { events, lost } = look.read();
      for (const { order, time, event } of events) found.push({ order, raw: rawOf(event, time) });
      return lost;
    });
  }

  #read<T extends object>(log: EventLog<T>, rawOf: (entry: Logged<T>) => Raw): void {
    let told = log.total;
    this.#sources.push((found) => {
      if (log.total === told) return 0;
      const entries = log.since(told);
      const lost = log.total - told - entries.length;
      told = log.total;
      for (const entry of entries) found.push({ order: entry.order, raw: rawOf(entry) });
      return lost;
    });
  }
}
