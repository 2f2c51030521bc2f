/**
 * The life of a device that programs open, whatever driver serves it: who has it open, which PASIDs it is
 * authorized for, and the end of both.
 *
 * Here is the one rule by which a device FD and an ioasid FD together give access. Calls go down only: into
 * the context for an address space, into the IOMMU for an entry, into the model for its work. The driver that
 * owns this has its own parts (regions, interrupts, rings) and calls down here before or after them.
 *
 * Invariant: for each authorization in the port's list there is one use of its PASID in its context, if it is
 * of one, and one grant to the requester id, and no other; when the device is not open the list is empty. A
 * device has entries of one ABI only: while another one has it, nothing can be authorized. What it waits for
 * from the readers of a context is answered when its authorization goes, at the latest.
 */
import type { PageWait } from '../devices/device-model.js';
import { finished, releasing, type Sliced, type Work } from '../file/work.js';
import type { IoasidContext } from '../ioasid/context.js';
import type { PageRequest } from '../ioasid/page-faults.js';
import { WatchedLog } from '../iommu/event-log.js';
import type { Pasid, Vpasid } from '../iommu/pasid.js';
import { refuse } from '../linux/errno.js';
import type { Authorization } from './authorizations.js';
import type { DevicePort } from './device-port.js';
import { DeviceWork, type WorkingDevice } from './device-work.js';
import type { DeviceHappening } from './happening.js';
import { PageRequests } from './page-requests.js';

export class DeviceLife {
  /** The device's name in reasons, and of its file: `vfio0`. */
  readonly name: string;
  readonly work: DeviceWork;
  readonly happenings = new WatchedLog<DeviceHappening>();
  /** It is taken from its driver: nobody opens it any more. */
  withdrawn = false;
  readonly #port: DevicePort;
  #pages = new PageRequests();
  #holder: number | undefined;
  #granted = false;
  #bound: string | undefined;

  constructor(name: string, port: DevicePort, device: WorkingDevice) {
    this.name = name;
    this.work = new DeviceWork(device);
    this.#port = port;
  }

  /** The requester id that its DMA carries. */
  get rid(): string {
    return this.#port.requester.rid;
  }

  /** The way of its requests, for those who look. */
  get port(): Pick<DevicePort, 'requester' | 'authorizations' | 'kept'> {
    return this.#port;
  }

  /** Does it share its requester id with siblings? */
  get mediated(): boolean {
    return this.#port.mediated;
  }

  /** The process that opened the device, or undefined while it is not open. */
  get holder(): number | undefined {
    return this.#holder;
  }

  /** Has whoever opened it presented a context since, of whichever ABI? */
  get granted(): boolean {
    return this.#granted;
  }

  /** What the device is authorized for, for `ls`. */
  authorizations(): IterableIterator<Authorization> {
    return this.#port.authorizations.values();
  }

  /** How many they are. */
  get authorized(): number {
    return this.#port.authorizations.size;
  }

  /** The contexts that it is authorized in, each once: what its end gives back. */
  contexts(): Set<IoasidContext> {
    const contexts = new Set<IoasidContext>();
    for (const { context } of this.#port.authorizations.values())
      if (context !== undefined) contexts.add(context);
    return contexts;
  }

  /** A process opens the device. @throws Refusal EBUSY while it is open; ENODEV it is withdrawn. */
  open(pid: number): void {
    if (this.withdrawn) refuse('ENODEV', `${this.name} has been taken from its driver`);
    if (this.#holder !== undefined)
      refuse('EBUSY', `${this.name} is open already, in process ${this.#holder}`);
    this.#holder = pid;
  }

  /**
   * The end of what was opened, after `work.stop()` and after another ABI has taken its entries back:
   * everything is revoked, and the device can be opened again.
   */
  close(): Work<void> {
    return releasing(this.#departures());
  }

  /**
   * Lets the device use PASID `pasid` of `context`, which whoever calls has been shown to hold. The program
   * knows it as `vpasid`, when it asks for one, and the device by `cookie` in page faults.
   * @throws Refusal EINVAL when the device cannot have that number, EEXIST when the PASID or vpasid is in use
   * in it, EBUSY when another ABI has the device, or it can be authorized for one PASID only and is, ENOENT
   * when the PASID is not in the context.
   */
  authorize(context: IoasidContext, pasid: Pasid, vpasid?: Vpasid, cookie = 0): void {
    const { authorizations, requester } = this.#port;
    if (this.#bound !== undefined) refuse('EBUSY', `${this.name} is ${this.#bound}`);
    const number = this.#port.vpasid(pasid, vpasid);
    // The context is asked first: whoever does not hold the PASID learns nothing of what the device has.
    const space = context.use(pasid);
    try {
      this.#checkRoom(pasid);
      authorizations.check(this.name, pasid, number);
      requester.grant(this.#port.entry(pasid), space.table);
    } catch (refusal) {
      finished(context.unuse(pasid));
      throw refusal;
    }
    authorizations.add({ pasid, vpasid: number, context, cookie });
    if (this.happenings.on) this.happenings.record({ kind: 'authorized', pasid, vpasid: number });
    this.#granted = true;
  }

  /**
   * Takes PASID `pasid` back: its work is drained, then its entry is gone. @throws Refusal ENOENT when the
   * device is not authorized for it.
   */
  revoke(pasid: Pasid): Work<void> {
    const authorization = this.#port.authorizations.get(pasid);
    // The PASID of an attachment is none that a context has given: it goes the way it came.
    if (authorization?.context === undefined)
      refuse('ENOENT', `${this.name} is not authorized for PASID ${pasid}`);
    const work = this.#port.namesSpaces ? authorization.vpasid : undefined;
    return releasing([() => this.work.drain(work), () => this.#leave(authorization)]);
  }

  /**
   * The device asks for a page in an address space that it is authorized for. @returns undefined when nobody
   * can be asked.
   */
  requestPage(vpasid: Vpasid, iova: number, write: boolean): PageWait | undefined {
    const authorization = this.#port.authorizations.byVpasid(vpasid);
    const faults = authorization?.context?.faultsOf(authorization.pasid);
    if (authorization === undefined || faults === undefined) return undefined;
    const { pasid, cookie = 0 } = authorization;
    if (this.happenings.on) this.happenings.record({ kind: 'page', pasid, iova, write });
    const source = this.#pages;
    const pageRequest = (request: PageRequest) =>
      faults.deliver({ source, id: cookie, attachment: pasid, requests: [request] });
    return source.ask({ pageRequest }, vpasid, iova, write);
  }

  /** Asked before another ABI takes the device. @throws Refusal EBUSY while it is authorized for PASIDs. */
  checkUnauthorized(): void {
    if (this.#port.authorizations.size > 0)
      refuse('EBUSY', `${this.name} is authorized for PASIDs of a /dev/ioasid`);
  }

  /**
   * Another ABI has the device until it is closed, on whose part a context has been presented too.
   * @param state what the device is by that, as reasons say it: `bound to an iommufd`
   */
  bind(state: string): void {
    this.checkUnauthorized();
    this.#bound = state;
    this.#port.attaches = true;
    this.#granted = true;
  }

  /** A device whose requests name no address space is in one at a time. */
  #checkRoom(pasid: Pasid): void {
    const { authorizations, namesSpaces } = this.#port;
    if (namesSpaces || authorizations.size === 0 || authorizations.get(pasid) !== undefined) return;
    refuse(
      'EBUSY',
      `requests of ${this.name} carry no PASID, and it is authorized for another than PASID ${pasid} already`,
    );
  }

  /** The steps of `close`. There can be a million. */
  *#departures(): Generator<() => Sliced<void>> {
    for (const authorization of this.#port.authorizations.values()) yield () => this.#leave(authorization);
    yield () => {
      this.#bound = undefined;
      this.#port.attaches = false;
      this.#granted = false;
      this.#holder = undefined;
      this.#pages = new PageRequests();
    };
  }

  #leave(authorization: Authorization): Work<void> {
    const { authorizations, requester } = this.#port;
    const { pasid, context } = authorization;
    if (this.happenings.on) this.happenings.record({ kind: 'revoked', pasid });
    return releasing([
      () => authorizations.remove(authorization),
      () => requester.withdraw(this.#port.entry(pasid)),
      () => context?.faults.abandon(this.#pages, pasid),
      () => context?.unuse(pasid),
    ]);
  }
}
