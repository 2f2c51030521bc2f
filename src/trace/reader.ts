/**
 * TraceReader: everything that has happened in a machine since the last time, in its order.
 *
 * The logs below only grow, and each of their entries has its place in the order of all. So reading takes
 * nothing away, and several readers do not know of each other.
 */
import type { DeviceHappening } from '../driver/happening.js';
import type { EventLog, Logged, WatchedLog } from '../iommu/event-log.js';
import type { FaultLog, Transfer } from '../iommu/fault-log.js';
import { now } from '../linux/now.js';
import type { TraceEvent } from './event.js';
import { everything, type Filter, wants } from './filter.js';
import { eventOf, type Raw } from './raw.js';
import type { Trace } from './trace.js';

/** Where things are logged. */
export interface TraceLogs {
  readonly trace: Trace;
  readonly faults: FaultLog;
  readonly transfers: WatchedLog<Transfer>;
  readonly devices: readonly {
    readonly name: string;
    readonly notes: EventLog<{ readonly sentence: string }>;
    readonly happenings: WatchedLog<DeviceHappening>;
  }[];
}

/** Where an entry stands among those of all logs. */
type Placed = readonly [order: number, raw: Raw];

interface Source {
  /** @returns the entries since the last time, and how many the log has lost. */
  read(): { readonly entries: readonly Placed[]; readonly lost: number };
}

export class TraceReader {
  readonly #sources: Source[] = [];
  readonly #ends: (() => void)[] = [];

  /** Looks from now on, until `end`, into the logs of which `filter` may show something. */
  constructor({ trace, faults, transfers, devices }: TraceLogs, filter: Filter = everything) {
    if (wants(filter, 'call', 'error'))
      this.#look(trace.calls, (entry) => ({ kind: 'call', entry, time: entry.time }));
    if (wants(filter, 'dma')) this.#look(transfers, (entry) => ({ kind: 'dma', entry, time: entry.time }));
    if (wants(filter, 'fault')) this.#read(faults, (entry) => ({ kind: 'fault', entry, time: entry.time }));
    for (const { name: device, notes, happenings } of devices) {
      if (wants(filter, 'note'))
        this.#read(notes, (entry) => ({ kind: 'note', device, entry, time: entry.time }));
      if (wants(filter, 'interrupt', 'page', 'authorization'))
        this.#look(happenings, (entry) => ({ kind: 'device', device, entry, time: entry.time }));
    }
  }

  /** What has happened since the last time, oldest first. */
  read(): TraceEvent[] {
    return this.raw().map(eventOf);
  }

  /** As `read`, as it was logged. */
  raw(): Raw[] {
    const found: Placed[] = [];
    let lost = 0;
    for (const source of this.#sources) {
      const { entries, lost: more } = source.read();
      for (const entry of entries) found.push(entry);
      lost += more;
    }
    if (found.length > 1) found.sort(([a], [b]) => a - b);
    const told = found.map(([, raw]) => raw);
    return lost === 0 ? told : [{ kind: 'lost', count: lost, time: now() }, ...told];
  }

  end(): void {
    for (const end of this.#ends) end();
  }

  #look<T extends object>(log: WatchedLog<T>, raw: (entry: Logged<T>) => Raw): void {
    this.#ends.push(log.look());
    this.#read(log, raw);
  }

  #read<T extends object>(log: EventLog<T>, raw: (entry: Logged<T>) => Raw): void {
    this.#sources.push(sourceOf(log, raw));
  }
}

const nothing = { entries: [], lost: 0 };

function sourceOf<T extends object>(log: EventLog<T>, raw: (entry: Logged<T>) => Raw): Source {
  let told = log.total;
  return {
    read: () => {
      if (log.total === told) return nothing;
      const found = log.since(told);
      const lost = log.total - told - found.length;
      told = log.total;
      return { entries: found.map((entry) => [entry.order, raw(entry)] as const), lost };
    },
  };
}
