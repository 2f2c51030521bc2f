/**
 * Raw: one thing that has happened, as the logs of a machine have it, and as a recording keeps it. What
 * people and programs are shown is made of it by `eventOf`.
 */
import type { DeviceHappening } from '../driver/happening.js';
import type { Fault, Transfer } from '../iommu/fault-log.js';
import { hex } from '../linux/errno.js';
import { type CallRecord, callEvent } from './call-record.js';
import type { Happening, TraceEvent } from './event.js';
import type { DevicesOf } from './filter.js';
import type { Input } from './input.js';

export type RawHappening =
  | { readonly kind: 'call'; readonly entry: CallRecord }
  | { readonly kind: 'dma'; readonly entry: Transfer }
  | { readonly kind: 'fault'; readonly entry: Fault }
  | { readonly kind: 'note'; readonly device: string; readonly entry: { readonly sentence: string } }
  | { readonly kind: 'device'; readonly device: string; readonly entry: DeviceHappening }
  | { readonly kind: 'lost'; readonly count: number };

/** What the machine had from outside (input.ts). */
export type RawInput = { readonly kind: 'input'; readonly entry: Input; readonly time: number };

/** With the time of its end: milliseconds since the epoch. */
export type Raw = RawHappening & { readonly time: number };

/** Of a machine's options those that are data: docs/recording.md has them. */
export type RecordedOptions = Readonly<Record<string, unknown>>;

/** What a recording is of: its first record. */
export interface RecordedMachine {
  /** How it was made, to be made again; absent: by something that is no data. */
  readonly made?: RecordedOptions;
  /** What its devices had from outside when they were made; absent: nothing. */
  readonly outside?: RecordedOutside;
  /** Contents are left out: of memory and of transfers without a layout only their lengths are there. */
  readonly withoutContents?: boolean;
  readonly devices: readonly {
    readonly name: string;
    /** The requester id that its DMA carries. */
    readonly rid: string;
    /** What made it, as `--device` takes it. */
    readonly spec: string;
  }[];
}

/** As of Outside (devices/outside.ts), each in the order in which it was asked for. */
export interface RecordedOutside {
  readonly disks: readonly { readonly path: string; readonly size: number }[];
  /** In hexadecimal. */
  readonly random: readonly string[];
  /** Links to the world outside, and how often somebody there has come or gone. */
  readonly links: readonly { readonly name: string; readonly turns: number }[];
}

/** What a recording has. */
export type Recorded =
  | Raw
  | RawInput
  | { readonly kind: 'machine'; readonly machine: RecordedMachine; readonly time: number };

/** The events of what is recorded; a machine and what comes from outside are none. */
export function eventsOf(all: readonly Recorded[]): TraceEvent[] {
  const events: TraceEvent[] = [];
  for (const each of all) if (each.kind !== 'machine' && each.kind !== 'input') events.push(eventOf(each));
  return events;
}

/** Whose requester ids are whose, when `all` has the machine. */
export function requestersIn(all: readonly Recorded[]): DevicesOf | undefined {
  const found = all.find((each) => each.kind === 'machine');
  if (found === undefined) return undefined;
  const { devices } = found.machine;
  return (rid) => devices.filter((device) => device.rid === rid).map(({ name }) => name);
}

export function eventOf(raw: Raw): TraceEvent {
  if (raw.kind === 'call') return callEvent(raw.entry, raw.time);
  return { time: raw.time, ...happening(raw) };
}

function happening(raw: Exclude<RawHappening, { readonly kind: 'call' }>): Happening {
  switch (raw.kind) {
    case 'dma': {
      const { rid, pasid, write, iova, length } = raw.entry;
      return { kind: 'dma', rid, pasid, write, iova: hex(iova), length };
    }
    case 'fault': {
      const { rid, pasid, write, iova, reason } = raw.entry;
      return { kind: 'fault', rid, pasid, write, iova: hex(iova), reason };
    }
    case 'note':
      return { kind: 'note', device: raw.device, sentence: raw.entry.sentence };
    case 'device':
      return ofDevice(raw.device, raw.entry);
    case 'lost':
      return { kind: 'lost', count: raw.count };
  }
}

function ofDevice(device: string, entry: DeviceHappening): Happening {
  switch (entry.kind) {
    case 'interrupt': {
      const { kind, name, vector, lost } = entry;
      return { kind, device, name, vector, ...(lost !== undefined && { lost }) };
    }
    case 'page': {
      const { kind, pasid, write, iova } = entry;
      return { kind, device, pasid, write, iova: hex(iova) };
    }
    default: {
      const { kind, pasid, vpasid } = entry;
      return { kind, device, pasid, ...(vpasid !== undefined && { vpasid }) };
    }
  }
}
