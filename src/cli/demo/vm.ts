/**
 * Vm: one of the VMs of the story, typed. Numbers of descriptors and addresses mean something in its own
 * process only. Every method throws Refusal with the errno and the reason that the VM was given.
 */
import { Refusal } from '../../linux/errno.js';
import type { Actor } from './actor.js';

/** What a device is to fill. Addresses are IOVAs of the PASID. */
export interface Fill {
  readonly device: number;
  readonly pasid: number;
  /** Of the completion record. */
  readonly record: number;
  readonly destination: number;
  readonly bytes: number;
  readonly value: number;
}

export class Vm {
  readonly name: string;
  readonly #actor: Actor;

  constructor(name: string, actor: Actor) {
    this.name = name;
    this.#actor = actor;
  }

  get what(): string {
    return this.#actor.what;
  }

  openIoasid(): Promise<number> {
    return this.#ask('ioasid');
  }

  /** Opens `vfioN` and turns it on. */
  openDevice(n: number): Promise<number> {
    return this.#ask('device', n);
  }

  close(fd: number): Promise<number> {
    return this.#ask('close', fd);
  }

  alloc(ioasid: number): Promise<number> {
    return this.#ask('alloc', ioasid);
  }

  free(ioasid: number, pasid: number): Promise<number> {
    return this.#ask('free', ioasid, pasid);
  }

  map(ioasid: number, pasid: number, address: number, bytes: number, iova: number): Promise<number> {
    return this.#ask('map', ioasid, pasid, address, bytes, iova);
  }

  authorize(device: number, ioasid: number, pasid: number, vpasid = 0): Promise<number> {
    return this.#ask('authorize', device, ioasid, pasid, vpasid);
  }

  revoke(device: number, pasid: number): Promise<number> {
    return this.#ask('revoke', device, pasid);
  }

  /** Submits a descriptor. */
  fill({ device, pasid, record, destination, bytes, value }: Fill): Promise<number> {
    return this.#ask('fill', device, pasid, record, destination, bytes, value);
  }

  /** The code of the error that the device reports; 0: none. */
  deviceError(device: number): Promise<number> {
    return this.#ask('error', device);
  }

  /** @returns the address of that much new memory. */
  memory(bytes: number): Promise<number> {
    return this.#ask('memory', bytes);
  }

  /** The status of the completion record at `address`; 0: none yet. */
  status(address: number): Promise<number> {
    return this.#ask('status', address);
  }

  /** The same, once there is one, or 0 when none comes. */
  wait(address: number): Promise<number> {
    return this.#ask('wait', address);
  }

  set(address: number, bytes: number, value: number): Promise<number> {
    return this.#ask('set', address, bytes, value);
  }

  /** How many of these bytes are `value`. */
  count(address: number, bytes: number, value: number): Promise<number> {
    return this.#ask('count', address, bytes, value);
  }

  /** Hands a copy of `fd` to the other VM. */
  send(fd: number): Promise<number> {
    return this.#ask('send', fd);
  }

  receive(): Promise<number> {
    return this.#ask('receive');
  }

  kill(): Promise<void> {
    return this.#actor.kill();
  }

  async #ask(command: string, ...numbers: number[]): Promise<number> {
    const answer = await this.#actor.obey([command, ...numbers].join(' '));
    const [word, number, ...reason] = answer.split(' ');
    if (word === 'no') throw new Refusal(Number(number), reason.join(' '));
    if (word !== 'ok') throw new Error(`${this.name} answers "${answer}" to "${command}"`);
    return Number(number);
  }
}
