/**
 * Timeline: what has happened as events of Chrome's trace format, which ui.perfetto.dev opens.
 *
 * A process is a group of tracks, one for each thread; so is a device, with a track for its DMA, its faults,
 * its interrupts, its PASIDs, its notes and each queue. Calls have a duration, all else is a point in time.
 * Invariant: slices of a track do not overlap, and times on a track never fall; what would is on another
 * track of the same name. Groups that are no processes have numbers that no process can have.
 */
import type { CallEvent, TraceEvent } from './event.js';
import type { DevicesOf } from './filter.js';

/** `ts` and `dur` in microseconds, the first since the epoch. */
export interface ChromeEvent {
  /** A complete event, an instant, metadata. */
  readonly ph: 'X' | 'i' | 'M';
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  /** The scope of an instant: its track, or everything. */
  readonly s?: 't' | 'g';
  readonly cat?: string;
  readonly args?: Readonly<Record<string, unknown>>;
}

/** Above all numbers of Linux's processes (PID_MAX_LIMIT). */
const FIRST_MADE_UP = 2 ** 22 + 1;

/** The order of groups. */
const PROGRAM = 0;
const DEVICE = 1;
const NOBODY = 2;
/** What the last closes of files are: nobody's calls. */
const LAST_CLOSES = 'last closes';

interface Lane {
  readonly tid: number;
  name: string;
  /** Where its last slice ends. */
  end: number;
}

interface Group {
  readonly pid: number;
  name: string;
  readonly tracks: Map<string | number, Lane[]>;
}

type Slice = Omit<ChromeEvent, 'pid' | 'tid'> & { readonly ts: number; readonly dur: number };

type Point = Extract<TraceEvent, { readonly kind: Exclude<TraceEvent['kind'], 'call' | 'lost'> }>;

export class Timeline {
  readonly #groups = new Map<string | number, Group>();
  #made: ChromeEvent[] = [];
  #numbers = FIRST_MADE_UP;

  /** What `event` adds, which comes after all before it. `devicesOf`: who has a requester id. */
  add(event: TraceEvent, devicesOf: DevicesOf): ChromeEvent[] {
    this.#made = [];
    if (event.kind === 'call') this.#call(event);
    else if (event.kind === 'lost') this.#lost(event.count, micros(event.time));
    else this.#point(event, devicesOf);
    return this.#made;
  }

  #call(event: CallEvent & { readonly time: number }): void {
    const { kind, time, pid, tid, program, call, duration, ...args } = event;
    const begin = micros(time) - duration;
    const slice = { ph: 'X', name: event.name ?? call, cat: kind, ts: begin, dur: duration, args } as const;
    if (pid) {
      const [group, thread] = [this.#group(pid, PROGRAM), tid || pid];
      if (thread === pid && program !== undefined) this.#rename(group, program);
      this.#slice(group, thread, program ?? `thread ${thread}`, slice);
    } else this.#slice(this.#group(LAST_CLOSES, NOBODY), event.path, event.path, slice);
    const queue = queueOf(event);
    if (queue === undefined) return;
    const by = { ...slice, name: `${program ?? 'a program'}: ${slice.name}` };
    this.#slice(this.#group(queue.device, DEVICE), queue.name, queue.name, by);
  }

  #point(event: Point, devicesOf: DevicesOf): void {
    const { kind, time, ...args } = event;
    const group = this.#group('device' in event ? event.device : called(event.rid, devicesOf), DEVICE);
    const [track, name] = pointOf(event);
    const { tid } = this.#lane(group, track, track, micros(time));
    this.#made.push({ ph: 'i', name, pid: group.pid, tid, ts: micros(time), s: 't', cat: kind, args });
  }

  #lost(count: number, ts: number): void {
    const { pid } = this.#group(LAST_CLOSES, NOBODY);
    this.#made.push({
      ph: 'i',
      name: `${count} events are not told`,
      pid,
      tid: pid,
      ts,
      s: 'g',
      cat: 'lost',
    });
  }

  /** A call of a group's track: of the first of its lanes that is free then. */
  #slice(group: Group, track: string | number, name: string, slice: Slice): void {
    const lane = this.#lane(group, track, name, slice.ts);
    lane.end = slice.ts + slice.dur;
    this.#made.push({ ...slice, pid: group.pid, tid: lane.tid });
  }

  #lane(group: Group, track: string | number, name: string, begin: number): Lane {
    const lanes = group.tracks.get(track) ?? [];
    group.tracks.set(track, lanes);
    const free = lanes.find(({ end }) => end <= begin);
    if (free?.name === name) return free;
    const own = typeof track === 'number' && lanes.length === 0;
    const lane = free ?? { tid: own ? track : this.#numbers++, name: '', end: 0 };
    if (free === undefined) lanes.push(lane);
    lane.name = name;
    this.#say('thread_name', group.pid, lane.tid, { name });
    return lane;
  }

  /** @param key the process, or what the group is called. */
  #group(key: string | number, order: number): Group {
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    const pid = typeof key === 'number' ? key : this.#numbers++;
    const group: Group = { pid, name: '', tracks: new Map() };
    this.#groups.set(key, group);
    this.#say('process_sort_index', pid, pid, { sort_index: order });
    if (typeof key === 'string') this.#rename(group, key);
    return group;
  }

  #rename(group: Group, name: string): void {
    if (group.name === name) return;
    group.name = name;
    this.#say('process_name', group.pid, group.pid, { name });
  }

  #say(name: string, pid: number, tid: number, args: Readonly<Record<string, unknown>>): void {
    this.#made.push({ ph: 'M', name, pid, tid, args });
  }
}

function micros(time: number): number {
  return Math.round(time * 1000);
}

/** A device by its requester id; of several that share one, which of them it is is not known. */
function called(rid: string, devicesOf: DevicesOf): string {
  const devices = devicesOf(rid);
  if (devices.length === 1) return devices[0]!;
  return devices.length === 0 ? rid : `${rid} (${devices.join(', ')})`;
}

/** The queue that a call hands something to: a portal of a dsa, or the file of a work queue. */
function queueOf({ call, path, place }: CallEvent): { device: string; name: string } | undefined {
  if (call !== 'write') return undefined;
  const [, number] = /^\S+ portal of WQ (\d+)$/.exec(place ?? '') ?? [];
  if (number !== undefined) return { device: path.slice(path.lastIndexOf('/') + 1), name: `WQ ${number}` };
  const [, device] = /^dsa\/wq(\d+)\.\d+$/.exec(path) ?? [];
  return device === undefined ? undefined : { device: `dsa${device}`, name: path.slice('dsa/'.length) };
}

/** On which track of its device something is, and what it is called. */
function pointOf(event: Point): readonly [track: string, name: string] {
  switch (event.kind) {
    case 'dma':
      return ['DMA', `${access(event)} +${event.length}`];
    case 'fault':
      return ['faults', access(event)];
    case 'page':
      return ['pages', access(event)];
    case 'interrupt': {
      const track = event.name === 'queue' ? `queue ${event.vector}` : 'interrupts';
      return [track, `${event.name} ${event.vector}${event.lost === undefined ? '' : ' (lost)'}`];
    }
    case 'note':
      return ['notes', event.sentence];
    default:
      return ['PASIDs', `${event.kind} PASID ${event.pasid}`];
  }
}

function access({ pasid, write, iova }: { pasid: number; write: boolean; iova: string }): string {
  return `${write ? 'write' : 'read'} PASID ${pasid} ${iova}`;
}
