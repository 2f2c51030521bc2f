/**
 * A scene of one DSA: a program that configures it through /sys/bus/dsa and uses its work queues by their
 * files. Steps add lines to it.
 *
 * Nothing of a sequence may be left for the next: each begins by making the device forget its configuration,
 * whatever state it is in.
 */
import { type Line, plain } from '../language.js';
import { ENGINES, GROUPS, WQS } from './machine.js';

export const DEVICE = 'dsa0';
const DEVICES = '/sys/bus/dsa/devices';
const DRIVERS = '/sys/bus/dsa/drivers';

/** What an object on the bus is. */
export type Kind = 'device' | 'wq' | 'engine' | 'group';

export const MEMORY_BYTES = 0x8000;

export class IdxdScene {
  readonly lines: Line[] = [];
  /** Names of the open files. */
  readonly files: string[] = [];
  /** Descriptors that were written, each with a completion record of its own. */
  records = 0;

  add(...lines: readonly Line[]): void {
    this.lines.push(...lines);
  }

  show(name: string, attribute: string): void {
    this.add(plain('show', attributePath(name, attribute)));
  }

  store(name: string, attribute: string, text: string): void {
    this.add(plain('store', attributePath(name, attribute), hexOf(text)));
  }

  /** Writes `name` to `bind` or `unbind` of a driver. */
  drive(driver: string, file: 'bind' | 'unbind', name: string): void {
    this.add(plain('store', `${DRIVERS}/${driver}/${file}`, hexOf(name)));
  }

  /** One of the open files; a name that nothing has, when there is none. */
  file(which: number): string {
    return this.files.length === 0 ? 'none' : this.files[which % this.files.length]!;
  }
}

export type IdxdStep = (scene: IdxdScene) => void;

export const attributePath = (name: string, attribute: string): string =>
  name === DEVICE ? `${DEVICES}/${name}/${attribute}` : `${DEVICES}/${DEVICE}/${name}/${attribute}`;

/** The name of one of a kind. */
export function nameOf(kind: Kind, which: number): string {
  const counts = { device: 1, wq: WQS, engine: ENGINES, group: GROUPS };
  return kind === 'device' ? DEVICE : `${kind}0.${which % counts[kind]}`;
}

/** Nothing at all is a dash. */
export const hexOf = (text: string): string =>
  text === '' ? '-' : Buffer.from(text, 'latin1').toString('hex');

/** A work queue that can be enabled, when its device can: for users, unless it is said otherwise. */
export function configureWq(scene: IdxdScene, wq: string, mode: 'shared' | 'dedicated', size = '8'): void {
  const values: [string, string][] = [
    ['group_id', '0'],
    ['mode', mode],
    ['size', size],
    ['priority', '10'],
    ...(mode === 'shared' ? [['threshold', '4'] as [string, string]] : []),
    ['type', 'user'],
    ['name', 'app'],
    ['driver_name', 'user'],
  ];
  for (const [attribute, text] of values) scene.store(wq, attribute, text);
  scene.store('engine0.0', 'group_id', '0');
}

/** The lines that every sequence begins with: a device that was enabled forgets everything. */
export function begin(scene: IdxdScene): void {
  const attempt = (path: string, text: string) => scene.add(plain('attempt', path, hexOf(text)));
  const set = (name: string, attribute: string, text: string) =>
    attempt(attributePath(name, attribute), text);
  for (let wq = 0; wq < WQS; wq++) attempt(`${DRIVERS}/user/unbind`, nameOf('wq', wq));
  attempt(`${DRIVERS}/idxd/unbind`, DEVICE);
  for (let group = 0; group < GROUPS; group++) {
    set(nameOf('group', group), 'read_buffers_reserved', '0');
    set(nameOf('group', group), 'use_read_buffer_limit', '0');
  }
  for (let engine = 0; engine < ENGINES; engine++) set(nameOf('engine', engine), 'group_id', '0');
  for (let wq = 0; wq < WQS; wq++) {
    const values = { size: '1', group_id: '0', mode: 'dedicated', type: 'none', max_batch_size: '1' };
    for (const [attribute, text] of Object.entries(values)) set(nameOf('wq', wq), attribute, text);
  }
  attempt(`${DRIVERS}/idxd/bind`, DEVICE);
  attempt(`${DRIVERS}/idxd/unbind`, DEVICE);
  for (let wq = 0; wq < WQS; wq++) set(nameOf('wq', wq), 'type', 'none');
  set(DEVICE, 'read_buffer_limit', '0');
  set(DEVICE, 'cmd_status', '0');
  scene.add(plain('buf', 'b', MEMORY_BYTES, 4096));
}
