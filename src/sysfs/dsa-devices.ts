/**
 * What there is of one DSA on the bus: the device, its work queues, engines and groups, and, while a work
 * queue has a file, that file and its open files.
 */
import type { Attribute, Entry } from '../file/attributes.js';
import { DSA_MAJOR } from '../file/device-numbers.js';
import type { WqClient } from '../idxd/client.js';
import type { IdxdDevice } from '../idxd/device.js';
import type { IdxdWq } from '../idxd/wq.js';
import { refuse } from '../linux/errno.js';
import { BusDevice, functionPath } from './bus-device.js';
import { deviceAttributes, engineAttributes, groupAttributes } from './dsa-attributes.js';
import { shown } from './values.js';
import { wqAttributes } from './wq-attributes.js';

const BUS = 'bus/dsa';

export class DsaDevices {
  readonly device: BusDevice;
  readonly #idxd: IdxdDevice;
  readonly #parts: readonly BusDevice[];
  /** By work queue, and how often that was enabled: each file is another. */
  readonly #cdevs = new Map<IdxdWq, { readonly enablings: number; readonly device: BusDevice }>();
  readonly #files = new WeakMap<WqClient, BusDevice>();

  constructor(idxd: IdxdDevice) {
    const { rid, name } = idxd.life;
    this.#idxd = idxd;
    const path = `${functionPath(rid)}/${name}`;
    this.#parts = [
      ...idxd.wqs.map((wq) => this.#wq(`${path}/${wq.path}`, wq)),
      ...idxd.engines.map(
        (engine) => new BusDevice(BUS, `${path}/${engine.name}`, this.#using(engineAttributes(engine))),
      ),
      ...idxd.groups.map(
        (group) => new BusDevice(BUS, `${path}/${group.name}`, this.#using(groupAttributes(idxd, group))),
      ),
    ];
    const folders = this.#parts.map(({ name, folder }) => [name, folder] as const);
    const binding = {
      driver: 'idxd',
      isBound: () => idxd.enabled,
      bind: () => idxd.enable(),
      unbind: () => idxd.disable(),
    };
    this.device = new BusDevice(BUS, path, [...this.#using(deviceAttributes(idxd)), ...folders], { binding });
  }

  /** All that is there now. */
  now(): BusDevice[] {
    const cdevs = this.#idxd.wqs.flatMap((wq) => this.#cdev(wq) ?? []);
    const files = this.#clients().map((client) => this.#file(client));
    return [this.device, ...this.#parts, ...cdevs, ...files];
  }

  /** What is written waits while the device is being enabled or disabled. */
  #using(attributes: readonly (readonly [string, Attribute])[]): (readonly [string, Entry])[] {
    const uses = () => [this.#idxd];
    return attributes.map(([name, attribute]) => [
      name,
      attribute.store ? { ...attribute, uses } : attribute,
    ]);
  }

  #wq(path: string, wq: IdxdWq): BusDevice {
    const binding = {
      driver: 'user',
      isBound: () => wq.enabled,
      bind: () => this.#idxd.enableWq(wq),
      unbind: () => this.#idxd.disableWq(wq),
    };
    const coming = () => named(this.#cdev(wq));
    return new BusDevice(BUS, path, this.#using(wqAttributes(this.#idxd, wq)), { binding, coming });
  }

  /** The character device of a work queue; undefined: it has none now. */
  #cdev(wq: IdxdWq): BusDevice | undefined {
    const { minor, enablings } = wq;
    if (minor === undefined) return undefined;
    const made = this.#cdevs.get(wq);
    if (made?.enablings === enablings) return made.device;
    const attributes: [string, Entry][] = [
      ['dev', shown(() => `${DSA_MAJOR}:${minor}`)],
      ['uevent', shown(() => `MAJOR=${DSA_MAJOR}\nMINOR=${minor}\nDEVNAME=dsa/${wq.path}`)],
    ];
    const coming = () => this.#clients(wq).flatMap((client) => named(this.#file(client)));
    const device = new BusDevice(BUS, this.#cdevPath(wq), attributes, { coming });
    this.#cdevs.set(wq, { enablings, device });
    return device;
  }

  /** sysfs writes the slash of `dsa/wq0.0` as an exclamation mark. */
  #cdevPath({ path }: IdxdWq): string {
    return `${this.device.path}/${path}/dsa!${path}`;
  }

  #clients(wq?: IdxdWq): WqClient[] {
    return [...this.#idxd.clients].filter(
      (client) => this.#isOpen(client) && (wq ?? client.wq) === client.wq,
    );
  }

  /** A work queue that is disabled leaves its open files without anything. */
  #isOpen(client: WqClient): boolean {
    return this.#idxd.clients.has(client) && !client.gone;
  }

  /** An open file of a work queue. Without an event log the driver has no faults of records to tell. */
  #file(client: WqClient): BusDevice {
    const made = this.#files.get(client);
    if (made !== undefined) return made;
    const ofClient = (value: () => number) =>
      shown(() => (this.#isOpen(client) ? value() : refuse('ENODEV', `file${client.id} is no more`)));
    const device = new BusDevice(BUS, `${this.#cdevPath(client.wq)}/file${client.id}`, [
      ['cr_faults', ofClient(() => 0)],
      ['cr_fault_failures', ofClient(() => 0)],
      ['pid', ofClient(() => client.pid)],
    ]);
    this.#files.set(client, device);
    return device;
  }
}

function named(device: BusDevice | undefined): readonly (readonly [string, Entry])[] {
  return device === undefined ? [] : [[device.name, device.folder]];
}
