/**
 * A VFIO group: the function behind `/dev/vfio/N`, for programs that reach devices through a container.
 *
 * Functions here are isolated from each other, so each has a group of its own. The group's file is presented
 * with a container's, and from then on the device can be opened through it: its DMA is translated by what the
 * container has mapped before its user has the descriptor. Linux's rules (vfio_group of 7.3): one open file
 * at a time; a device that is in use through its own file keeps the group's shut, and the other way round.
 * Invariant: the group has a container only while its file or a device of it is open, and is counted there
 * as long.
 */

import { releasing, type Work, workOf } from '../file/work.js';
import { refuse } from '../linux/errno.js';
import type { Container } from './container.js';
import type { VfioDevice } from './device.js';

export class VfioGroup {
  /** N of `/dev/vfio/N` and of `/sys/kernel/iommu_groups/N`. */
  readonly number: number;
  readonly device: VfioDevice;
  #holder: number | undefined;
  #container: Container | undefined;
  // The group's own file, and the device's files that were opened through it.
  #files = 0;
  #deviceFiles = 0;

  constructor(number: number, device: VfioDevice) {
    this.number = number;
    this.device = device;
  }

  /** The container that the group has joined. */
  get container(): Container | undefined {
    return this.#container;
  }

  /** May it be used? Not while its device is in use through the device's own file. */
  get viable(): boolean {
    return this.#container !== undefined || !this.device.bound;
  }

  /**
   * A process opens the group's file. @throws Refusal EBUSY while it is open, or its device is bound through
   * the device's own file.
   */
  open(pid: number): void {
    if (this.#files > 0) refuse('EBUSY', `group ${this.number} is open already, in process ${this.#holder}`);
    this.device.joinGroup(this.number);
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
   * @throws Refusal EINVAL when the group has a container.
   */
  setContainer(container: Container): void {
    this.checkFree();
    container.join();
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
    yield* workOf(container.leave());
  }

  /**
   * The device that `name` means. @throws Refusal ENODEV; EINVAL for a name with a token, which only virtual
   * functions take.
   */
  find(name: string): VfioDevice {
    const { rid } = this.device.life;
    if (name === rid) return this.device;
    if (name.startsWith(`${rid} vf_token=`))
      refuse('EINVAL', `${rid} is no virtual function, and takes no token`);
    return refuse('ENODEV', `group ${this.number} has the device ${rid}, and not "${name}"`);
  }

  /**
   * The device is opened through the group; every open is closed with `closeDevice`.
   * @throws Refusal EINVAL when the group has no container, or that no IOMMU; EBUSY when the device is open
   * by its own file; and as Container.attach.
   */
  *openDevice(pid: number): Work<void> {
    const container = this.#joined();
    container.checkReady();
    if (this.#deviceFiles === 0) yield* this.#start(container, pid);
    this.#deviceFiles++;
    this.#files++;
  }

  /** The last descriptor of one of the device's files is gone. */
  *closeDevice(): Work<void> {
    this.#deviceFiles--;
    yield* releasing([() => (this.#deviceFiles === 0 ? this.device.close() : undefined), () => this.#put()]);
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
    yield* workOf(container?.leave());
  }
}
