/**
 * TraceReader: everything that has happened in a machine since the last time, in its order.
 *
 * The logs below only grow, and each of their entries has its place in the order of all. So reading takes
 * nothing away, and several readers do not know of each other.
 */
import type { DeviceHappening } from '../driver/happening.js';
import type { EventLog, Logged, WatchedLog } from '../iommu/event-log.js';
import type { FaultLog, Transfer } from '../iommu/fault-log.js';
import { hex } from '../linux/errno.js';
import type { Happening, TraceEvent } from './event.js';
import { everything, type Filter, wants } from './filter.js';
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

interface Source {
  /** @returns the events since the last time, and how many the log has lost. */
  read(): { readonly events: readonly (readonly [order: number, TraceEvent])[]; readonly lost: number };
}

export class TraceReader {
  readonly #sources: Source[] = [];
  readonly #ends: (() => void)[] = [];

  /** Looks from now on, until `end`, into the logs of which `filter` may show something. */
  constructor({ trace, faults, transfers, devices }: TraceLogs, filter: Filter = everything) {
    if (wants(filter, 'call', 'error')) this.#look(trace.calls, ({ sequence, order, time, ...call }) => call);
    if (wants(filter, 'dma'))
      this.#look(transfers, ({ rid, pasid, write, iova, length }) => {
        return { kind: 'dma', rid, pasid, write, iova: hex(iova), length };
      });
    if (wants(filter, 'fault'))
      this.#read(faults, ({ rid, pasid, write, iova, reason }) => {
        return { kind: 'fault', rid, pasid, write, iova: hex(iova), reason };
      });
    for (const { name: device, notes, happenings } of devices) {
      if (wants(filter, 'note')) this.#read(notes, ({ sentence }) => ({ kind: 'note', device, sentence }));
      if (wants(filter, 'interrupt', 'page', 'authorization'))
        this.#look(happenings, (happening) => happeningOf(device, happening));
    }
  }

  /** What has happened since the last time, oldest first. */
  read(): TraceEvent[] {
    const found = this.#sources.map((source) => source.read());
    const events = found.flatMap(({ events }) => events).sort(([a], [b]) => a - b);
    const lost = found.reduce((sum, { lost }) => sum + lost, 0);
    const told = events.map(([, event]) => event);
    return lost === 0 ? told : [{ kind: 'lost', count: lost, time: Date.now() }, ...told];
  }

  end(): void {
    for (const end of this.#ends) end();
  }

  #look<T extends object>(log: WatchedLog<T>, happening: (entry: Logged<T>) => Happening): void {
    this.#ends.push(log.look());
    this.#read(log, happening);
  }

  #read<T extends object>(log: EventLog<T>, happening: (entry: Logged<T>) => Happening): void {
    this.#sources.push(sourceOf(log, happening));
  }
}

function happeningOf(device: string, happening: Logged<DeviceHappening>): Happening {
  const { sequence, order, time, ...rest } = happening;
  return rest.kind === 'page' ? { ...rest, device, iova: hex(rest.iova) } : { ...rest, device };
}

function sourceOf<T extends object>(log: EventLog<T>, happening: (entry: Logged<T>) => Happening): Source {
  let told = log.total;
  return {
    read: () => {
      if (log.total === told) return { events: [], lost: 0 };
      const entries = log.since(told);
      const lost = log.total - told - entries.length;
      told = log.total;
      const timed = (entry: Logged<T>) => ({ time: entry.time, ...happening(entry) });
      return { events: entries.map((entry) => [entry.order, timed(entry)] as const), lost };
    },
  };
}
