/**
 * TraceReader: everything that has happened in a machine since the last time, in its order.
 *
 * The logs below only grow, and each of their entries has its place in the order of all. So reading takes
 * nothing away, and several readers do not know of each other.
 */
import type { DiskEvent } from '../devices/disk.js';
import type { LinkEvent } from '../devices/wire.js';
import type { DeviceHappening } from '../driver/happening.js';
import type { EventLog, Look, Unread, WatchedLog } from '../iommu/event-log.js';
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

function timeAsked({ time }: { readonly time: number }): Asked {
  return { kind: 'asked', what: Ask.TIME, of: [], answer: [time] };
}

/** A log, what of it is to be told, and as what. */
interface Source {
  readonly look: Look<unknown>;
  unread: Unread<unknown>;
  readonly rawOf: (event: unknown, time: number) => Raw | RawInput;
}

export class TraceReader {
  readonly #sources: Source[] = [];
  /** Those that have something to tell. */
  readonly #open: Source[] = [];

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
      this.#add(trace.inputs.look(), (entry, time) => ({ kind: 'input', entry, time }));
      this.#add(readings.look(), (entry, time) => ({ kind: 'input', entry: timeAsked(entry), time }));
      this.#add(disks.look(), (entry, time) => ({ kind: 'input', entry: diskAsked(entry), time }));
      this.#add(links.look(), (entry, time) => ({ kind: 'input', entry: linkAsked(entry), time }));
    }
    if (wants(filter, 'call', 'error'))
      this.#add(trace.calls.look(), (entry, time) => ({ kind: 'call', entry, time }));
    if (wants(filter, 'dma')) this.#add(transfers.look(), (entry, time) => ({ kind: 'dma', entry, time }));
    if (wants(filter, 'fault')) this.#add(faults.look(), (entry, time) => ({ kind: 'fault', entry, time }));
    for (const { name: device, notes, happenings } of devices) {
      if (wants(filter, 'note'))
        this.#add(notes.look(), (entry, time) => ({ kind: 'note', device, entry, time }));
      if (wants(filter, 'interrupt', 'page', 'authorization'))
        this.#add(happenings.look(), (entry, time) => ({ kind: 'device', device, entry, time }));
    }
  }

  /** What has happened since the last time, oldest first. */
  read(): TraceEvent[] {
    return eventsOf(this.raw());
  }

  /** As `read`, as it was logged. */
  raw(): (Raw | RawInput)[] {
    const open = this.#open;
    const told: (Raw | RawInput)[] = [];
    let lost = 0;
    for (const source of this.#sources) {
      source.unread = source.look.unread();
      if (source.unread.at === source.unread.end) continue;
      lost += source.unread.lost;
      open.push(source);
    }
    if (lost > 0) told.push({ kind: 'lost', count: lost, time: now() });
    while (open.length > 0) {
      const which = oldestOf(open);
      const { unread, rawOf, look } = open[which]!;
      const at = unread.at++;
      told.push(rawOf(unread.events[at], unread.times[at]!));
      if (unread.at < unread.end) continue;
      look.done();
      open[which] = open.at(-1)!;
      open.pop();
    }
    return told;
  }

  end(): void {
    for (const { look } of this.#sources) look.end();
  }

  #add<T>(look: Look<T>, rawOf: (event: T, time: number) => Raw | RawInput): void {
    this.#sources.push({ look, unread: look.unread(), rawOf: rawOf as Source['rawOf'] });
  }
}

/** Which of them has the oldest event: there are few at a time. */
function oldestOf(sources: readonly Source[]): number {
  let found = 0;
  let least = Number.POSITIVE_INFINITY;
  for (let n = 0; n < sources.length; n++) {
    const { unread } = sources[n]!;
    const order = unread.orders[unread.at]!;
    if (order >= least) continue;
    least = order;
    found = n;
  }
  return found;
}
