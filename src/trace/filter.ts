/**
 * Which events are shown: what `-e` and `-p` say, as data and as a question about an event.
 *
 * Kinds add up (`error,fault` shows both); a device or a process narrows all of them. What names no kind
 * shows all.
 */
import { refuse } from '../linux/errno.js';
import { isOfSysfs, type TraceEvent } from './event.js';

export const kinds = ['call', 'error', 'dma', 'fault', 'interrupt', 'page', 'authorization', 'note'] as const;
type Kind = (typeof kinds)[number];

export interface Filter {
  readonly kinds: ReadonlySet<Kind>;
  /** Calls by their names, with `*` for any characters. */
  readonly calls: readonly string[];
  /** By name, `vfio0`, or path. */
  readonly devices: readonly string[];
  readonly pids: readonly number[];
}

/** Shows all. */
export const everything: Filter = { kinds: new Set(), calls: [], devices: [], pids: [] };

/** Of the devices that share a requester id, by that. */
export type DevicesOf = (rid: string) => readonly string[];

/**
 * What `-e` and `-p` say, each any number of times. @throws Refusal EINVAL one sentence about what is not
 * understood.
 */
export function parseFilter(expressions: readonly string[], pids: readonly number[] = []): Filter {
  const [found, calls, devices] = [new Set<Kind>(), [] as string[], [] as string[]];
  for (const expression of expressions) {
    const [, key, list] = /^(call|device)=(.+)$/.exec(expression) ?? [];
    if (key === 'call') calls.push(...list!.split(','));
    else if (key === 'device') devices.push(...list!.split(','));
    else for (const kind of expression.split(',')) found.add(kindOf(kind));
  }
  return { kinds: found, calls, devices, pids };
}

function kindOf(text: string): Kind {
  const usage = `-e takes ${kinds.join(', ')}, call=NAME and device=NAME`;
  return kinds.find((kind) => kind === text) ?? refuse('EINVAL', `"${text}" is nothing to show: ${usage}`);
}

/** May events of one of `kinds` be shown? */
export function wants({ kinds, calls }: Filter, ...some: readonly Kind[]): boolean {
  if (kinds.size === 0 && calls.length === 0) return true;
  return some.some((kind) => kinds.has(kind)) || (some.includes('call') && calls.length > 0);
}

/** Of which kinds and calls any of `filters` may show something, of whatever device or process. */
export function together(filters: readonly Filter[]): Filter {
  const all = filters.some(({ kinds, calls }) => kinds.size === 0 && calls.length === 0);
  if (all) return everything;
  const found = new Set(filters.flatMap(({ kinds }) => [...kinds]));
  return { ...everything, kinds: found, calls: filters.flatMap(({ calls }) => calls) };
}

/** Is the event to be shown? That events were lost always is. */
export function shows(filter: Filter, event: TraceEvent, devicesOf: DevicesOf): boolean {
  return (
    event.kind === 'lost' ||
    (ofKind(filter, event) && ofDevice(filter, event, devicesOf) && ofProcess(filter, event))
  );
}

type Shown = Exclude<TraceEvent, { readonly kind: 'lost' }>;

function ofKind({ kinds, calls }: Filter, event: Shown): boolean {
  if (kinds.size === 0 && calls.length === 0) return true;
  if (event.kind === 'authorized' || event.kind === 'revoked') return kinds.has('authorization');
  if (event.kind !== 'call') return kinds.has(event.kind);
  if (kinds.has('call') || (kinds.has('error') && event.error !== undefined)) return true;
  const names = [event.name, event.call];
  return calls.some((call) => names.some((name) => name !== undefined && matches(call, name)));
}

function matches(pattern: string, name: string): boolean {
  const [first, ...rest] = pattern.split('*');
  if (rest.length === 0) return name === first;
  if (!name.startsWith(first!)) return false;
  let at = first!.length;
  for (const [n, part] of rest.entries()) {
    const last = n === rest.length - 1;
    const found = last ? name.length - part.length : name.indexOf(part, at);
    if (found < at || !name.startsWith(part, found)) return false;
    at = found + part.length;
  }
  return true;
}

function ofDevice({ devices }: Filter, event: Shown, devicesOf: DevicesOf): boolean {
  if (devices.length === 0) return true;
  const names = namesOf(event, devicesOf);
  return devices.some((device) => names.includes(device.replace(/^\/dev\//, '')));
}

/** What an event's device is called. */
function namesOf(event: Shown, devicesOf: DevicesOf): readonly string[] {
  if (event.kind === 'call') {
    const { path } = event;
    // Below /sys a device is a folder.
    if (isOfSysfs(path)) return [path, ...path.split('/')];
    return [path, ...['/', ':'].map((mark) => afterLast(path, mark))];
  }
  return 'device' in event ? [event.device] : [event.rid, ...devicesOf(event.rid)];
}

function afterLast(path: string, mark: string): string {
  return path.slice(path.lastIndexOf(mark) + 1);
}

function ofProcess({ pids }: Filter, event: Shown): boolean {
  if (pids.length === 0) return true;
  return event.kind === 'call' && (pids.includes(event.pid ?? -1) || pids.includes(event.tid ?? -1));
}
