/**
 * A VFIO group: the device behind `/dev/vfio/N`, for programs that reach devices through a container.
 *
 * Devices here are isolated from each other, so each has a group of its own. The group's file is presented
 * with a container's, and from then on the device can be opened through it: its DMA is translated by what the
 * container has mapped before its user has the descriptor. Linux's rules (vfio_group of 7.3): one open file
 * at a time; a device that is in use through its own file keeps the group's shut, and the other way round.
 *
 * Files of the device keep the group in a type1 container when its own file is closed. An iommufd lets it go:
 * the device is bound there until it is closed, and the group can be opened again meanwhile. Invariant: the
 * group has a container only while something keeps it, and is counted there as long.
 */

import { releasing, type Work, workOf } from '../file/work.js';
import { refuse } from '../linux/errno.js';
import type { Container } from './container.js';
import type { VfioDevice } from './device.js';

/** Mappings that a container of groups may have: type1's `dma_entry_limit`. */
export const DMA_ENTRY_LIMIT = 65_535;

export class VfioGroup {
  /** N of `/dev/vfio/N` and of `/sys/kernel/iommu_groups/N`. */
  readonly number: number;
  readonly device: VfioDevice;
  #holder: number | undefined;
  #container: Container | undefined;
  /** What keeps the group: its own file, and those of its device that the container does not let go. */
  #files = 0;
  /** Files of the device that were opened through it. */
  #deviceFiles = 0;
  /** How often a driver of VFIO has got the device. */
  #registrations = 1;

  constructor(device: VfioDevice) {
    this.number = device.place.group;
    this.device = device;
  }

  /**
   * Has a driver of VFIO the device? One that is to give it up (`unregister`) has it until the last file of
   * it and of the group is closed.
   */
  get registered(): boolean {
    return !this.device.life.withdrawn || this.#inUse;
  }

  /** A driver of VFIO gets the device, which it has not. */
  register(): void {
    this.device.life.withdrawn = false;
    this.#registrations++;
  }

  /** The driver gives the device up: nobody opens it any more, who has it open is asked for it (REQ). */
  *unregister(): Work<void> {
    const { life } = this.device;
    const registration = this.#registrations;
    life.withdrawn = true;
    if (this.#inUse) {
      life.work.calls.note(
        `its driver is to give it up, and process ${life.holder ?? this.#holder} has it open`,
      );
      this.device.askBack();
    }
    while (this.registered && this.#registrations === registration)
      if (yield 'interruptibly')
        refuse('EINTR', `${this.device.name} is open, and nobody is served who closes it`);
  }

  get #inUse(): boolean {
    return this.#files > 0 || this.device.life.holder !== undefined;
  }

  /** The container that the group has joined. */
  get container(): Container | undefined {
    return this.#container;
  }

  /**
   * What the group calls its device: its PCI address or, as mediated devices share theirs, a UUID, which is
   * the number of its file.
   */
  get deviceName(): string {
    const { rid, mediated } = this.device.life;
    if (!mediated) return rid;
    const number = (this.number - 1).toString(16).padStart(12, '0');
    return `00000000-0000-0000-0000-${number}`;
  }

  /** May it be used? Not while another owns the DMA of its device, which nobody does of a mediated one. */
  get viable(): boolean {
    return this.#container !== undefined || this.device.life.mediated || !this.device.bound;
  }

  /**
   * A process opens the group's file. @throws Refusal EBUSY while it is open, or its device is bound through
   * the device's own file; ENODEV no driver has its device.
   */
  open(pid: number): void {
    if (this.device.life.withdrawn)
      refuse('ENODEV', `${this.device.name} of group ${this.number} has no driver`);
    if (this.#files > 0) refuse('EBUSY', `group ${this.number} is open already, in process ${this.#holder}`);
    this.device.joinGroup();
    this.#holder = pid;
    this.#files = 1;
  }

  /** What a call on the group's file uses. */
  uses(): readonly object[] {
    return this.#container === undefined ? [this, this.device] : [this, this.device, this.#container.object];
  }

  /** The last descriptor of the group's file is gone. The group is in use until the device's are gone too. */
  close(): Work<void> {
    return this.#put();
  }

  /**
   * VFIO_GROUP_SET_CONTAINER: the group joins `container`, which whoever calls has been shown to hold.
   * @throws Refusal EINVAL when the group has a container; EBUSY as Container.join.
   */
  setContainer(container: Container): void {
    this.checkFree();
    container.join(this.device.life.mediated);
    this.#container = container;
  }

  /** @throws Refusal EINVAL when the group has a container. */
  checkFree(): void {
    if (this.#container !== undefined) refuse('EINVAL', `group ${this.number} has a container already`);
  }

  /**
   * VFIO_GROUP_UNSET_CONTAINER. @throws Refusal EINVAL when the group has no container; EBUSY while its
   * device is open, unless the container lets it go (then the device stays where it is).
   */
  *unsetContainer(): Work<void> {
    const container = this.#joined();
    if (this.#deviceFiles > 0 && !container.leavesOpen)
      refuse('EBUSY', `${this.device.name} of group ${this.number} is open`);
    this.#container = undefined;
    yield* workOf(container.leave(this.device.life.mediated));
  }

  /**
   * The device that `name` means. Behind the name of a function there may be spaces, and an option between
   * them: the token of a virtual function. @throws Refusal ENODEV; EINVAL for an option.
   */
  find(name: string): VfioDevice {
    const { deviceName, device } = this;
    const end = device.life.mediated ? name : name.replace(/ +$/, '');
    if (end === deviceName) return device;
    if (!device.life.mediated && name.startsWith(`${deviceName} `))
      refuse('EINVAL', `${deviceName} is no virtual function, and takes no option like "${name}"`);
    return refuse('ENODEV', `group ${this.number} has the device ${deviceName}, and not "${name}"`);
  }

  /**
   * The device is opened through the group. @returns what the last descriptor of this file does when it goes.
   * @throws Refusal EINVAL when the group has no container, or that no IOMMU; EBUSY when the device is open
   * by its own file; and as Container.attach.
   */
  *openDevice(pid: number): Work<() => Work<void>> {
    const container = this.#joined();
    container.checkReady();
    if (this.#deviceFiles === 0) yield* this.#start(container, pid);
    this.#deviceFiles++;
    if (container.leavesOpen) return () => this.#closeDevice();
    this.#files++;
    return () => releasing([() => this.#closeDevice(), () => this.#put()]);
  }

  *#closeDevice(): Work<void> {
    this.#deviceFiles--;
    if (this.#deviceFiles === 0) yield* this.device.close();
  }

  #joined(): Container {
    return this.#container ?? refuse('EINVAL', `group ${this.number} has no container`);
  }

  *#start(container: Container, pid: number): Work<void> {
    this.device.life.open(pid);
    try {
      yield* workOf(container.attach(this.device));
    } catch (error) {
      yield* this.device.close();
      throw error;
    }
  }

  /** It begins when it is asked to: until then `uses` names the container that it works on. */
  *#put(): Work<void> {
    this.#files--;
    if (this.#files > 0) return;
    this.device.leaveGroup();
    this.#holder = undefined;
    const container = this.#container;
    this.#container = undefined;
    yield* workOf(container?.leave(this.device.life.mediated));
  }
}
