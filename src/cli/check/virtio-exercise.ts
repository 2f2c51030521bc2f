/**
 * VirtioExercise: what a virtio device model gets wrong when its driver does its worst (WildDriver), as
 * Exercise finds it of a PCI function: buffers of any kind, configuration accesses, negotiations, drains,
 * stops and resets, in any order, with time between.
 */
import { Clock } from '../../devices/clock.js';
import { DeviceTimers, timeOf } from '../../devices/device-timers.js';
import type { ModelCalls } from '../../devices/model-calls.js';
import { Outside } from '../../devices/outside.js';
import { CalledVirtioModel } from '../../devices/virtio/called-virtio-model.js';
import { Feature, Status } from '../../devices/virtio/features.js';
import { VirtioDevice } from '../../devices/virtio/virtio-device.js';
import type { VirtioHost, VirtioModel } from '../../devices/virtio/virtio-model.js';
import { Wires } from '../../devices/wire.js';
import { hex } from '../../linux/errno.js';
import { Dice } from './dice.js';
import { type Exercised, Report } from './report.js';
import { WildDriver } from './wild-driver.js';

/** After so many steps without a new buffer there should be nothing left to do. */
const MOST_STEPS = 10_000;
/** The driver's rings are as the driver makes them. */
const RINGS = Feature.RING_PACKED | Feature.IN_ORDER | Feature.INDIRECT_DESC;
const NEEDED = Feature.VERSION_1 | Feature.ACCESS_PLATFORM;
const FEATURE_BITS = 128;
/** How often it is looked whether configuration space is as it was. */
const COMPARISONS = 8;

export class VirtioExercise {
  readonly #dice: Dice;
  readonly #calls: ModelCalls;
  readonly #report: Report;
  readonly #clock = new Clock();
  readonly #model: CalledVirtioModel;
  readonly #driver: WildDriver;
  readonly #device: VirtioDevice;
  /** Of each queue: buffers that were offered, and came back. */
  readonly #offered: number[];
  readonly #used: number[];
  #resets = 0;

  /** @throws what `make` throws. @throws Refusal EINVAL as checkVirtioModel. */
  constructor(make: (host: VirtioHost) => VirtioModel, seed: number, calls: ModelCalls) {
    this.#dice = new Dice(seed);
    this.#calls = calls;
    this.#report = new Report(calls);
    const timers = new DeviceTimers(this.#clock, calls);
    let made = false;
    const host = {
      baseDirectory: process.cwd(),
      wires: new Wires(),
      outside: new Outside(),
      note: (sentence: string) => calls.note(sentence),
      ...timeOf(timers, () => made),
    };
    this.#model = CalledVirtioModel.make(calls, () => make(host), timers);
    made = true;
    const { queues, queueSize = 256 } = this.#model.virtio;
    this.#driver = new WildDriver(this.#dice, queues, queueSize);
    this.#device = new VirtioDevice(this.#model, this.#driver);
    this.#offered = new Array<number>(queues).fill(0);
    this.#used = new Array<number>(queues).fill(0);
  }

  /** Does `count` things by the dice. */
  run(count: number): Exercised {
    this.#reset();
    const [config, changes] = [this.#model.config, this.#model.configChanges];
    this.#start();
    for (let n = 1; n <= count && !this.#report.isEnough; n++) {
      this.#any();
      if (n % Math.ceil(count / COMPARISONS) !== 0) continue;
      this.#reset();
      if (this.#model.configChanges === changes) this.#compare(config);
      this.#start();
    }
    this.#drain();
    return this.result;
  }

  get result(): Exercised {
    this.#lookForFailure();
    const { dmas, faults } = this.#driver.counts;
    if (dmas === 0) this.#report.remark('there was no DMA: the model has touched no buffer');
    for (const [index, offered] of this.#offered.entries())
      if (offered > 0 && this.#used[index] === 0)
        this.#report.remark(`of ${offered} buffers of queue ${index} none was put back`);
    const sum = (numbers: readonly number[]) => numbers.reduce((total, each) => total + each, 0);
    const interrupts = sum(this.#device.queues.map((queue) => queue.interrupts));
    const counts =
      `${sum(this.#offered)} buffers (${sum(this.#used)} put back), ` +
      `${dmas} DMAs (${faults} with a fault), ${interrupts} interrupts, ${this.#resets} resets`;
    const { findings, remarks } = this.#report;
    return { what: this.#describe(), counts, findings, remarks };
  }

  #describe(): string {
    const { deviceId, queues, features } = this.#model.virtio;
    const many = queues === 1 ? '1 queue' : `${queues} queues`;
    const configuration = `${this.#model.configSize} bytes of configuration`;
    return `virtio device ${deviceId}, ${many}, ${configuration}, features ${hex(features)}`;
  }

  /** One call, as `what`. */
  #do(what: string, call: () => void): void {
    this.#report.do(what, call);
    this.#lookForFailure();
  }

  #any(): void {
    const kind = this.#dice.below(64);
    if (kind < 40) this.#offer();
    else if (kind < 44) this.#do('a read of the configuration', () => void this.#model.config);
    else if (kind < 48) this.#writeConfig();
    else if (kind < 55) this.#advance(this.#dice.pick([1, 50, 1000, 1_000_000]));
    else if (kind < 58) this.#pause();
    else if (kind < 60) this.#stopQueue();
    else if (kind < 63) this.#drain();
    else {
      this.#reset();
      this.#start();
    }
    this.#step();
  }

  #offer(): void {
    const index = this.#dice.below(this.#offered.length);
    const what = this.#driver.offer(index);
    if (what === undefined) return;
    this.#offered[index]!++;
    this.#do(what, () => this.#device.kick(index));
  }

  #writeConfig(): void {
    const size = this.#model.configSize;
    if (size === 0) return;
    const offset = this.#dice.below(size);
    const bytes = new Uint8Array(Math.min(this.#dice.pick([1, 2, 4, 8]), size - offset));
    for (let n = 0; n < bytes.length; n++) bytes[n] = this.#dice.below(256);
    const what = `a write of ${bytes.length} bytes at ${hex(offset)} of the configuration`;
    this.#do(what, () => this.#device.writeConfig(offset, bytes));
  }

  #advance(microseconds: number): void {
    this.#do(`${microseconds} microseconds`, () => this.#clock.advance(microseconds));
  }

  #pause(): void {
    this.#do('a suspend', () => this.#device.suspend());
    this.#lookForBuffers('a suspend');
    this.#advance(1000);
    this.#do('a resume', () => this.#device.resume());
  }

  #stopQueue(): void {
    const index = this.#dice.below(this.#offered.length);
    this.#do(`the stop of queue ${index}`, () => this.#device.stopQueue(index));
    this.#startQueue(index);
  }

  #startQueue(index: number): void {
    const queue = this.#device.queues[index]!;
    if (queue.running) queue.stop();
    queue.base = 0;
    this.#device.startQueue(index, this.#driver.begin(index));
  }

  #step(): void {
    if (this.#device.busy()) this.#do('a step', () => void this.#device.step());
    const { needsReset } = this.#device;
    this.#collect();
    if (needsReset === undefined) return;
    this.#report.remark(`the device needs a reset: ${needsReset}`);
    this.#reset();
    this.#start();
  }

  /** What came back is as it should be. */
  #collect(): void {
    for (const index of this.#used.keys())
      for (let used = this.#driver.collect(index); used !== undefined; used = this.#driver.collect(index)) {
        this.#used[index]!++;
        const { length, written, writable } = used;
        if (length > writable)
          this.#report.find(`queue ${index}: ${length} bytes are said to be written of ${writable} to write`);
        else if (length > written)
          this.#report.find(`queue ${index}: ${length} bytes are said to be written, and ${written} were`);
      }
  }

  /** Until nothing is under way, as before a suspend or when a queue is stopped. */
  #drain(): void {
    let steps = 0;
    while (steps < MOST_STEPS && this.#device.busy() && this.#device.step()) steps++;
    this.#lookForFailure();
    if (steps === MOST_STEPS)
      this.#report.find(`there is still work after ${MOST_STEPS} steps without a new buffer`);
    this.#do('a drain', () => this.#device.drain());
    this.#lookForBuffers('a drain');
    this.#collect();
  }

  #lookForBuffers(what: string): void {
    for (const [index, { outstanding }] of this.#device.queues.entries())
      if (outstanding > 0) this.#report.find(`after ${what} a buffer of queue ${index} is not put back`);
  }

  #reset(): void {
    this.#resets++;
    this.#calls.recover();
    this.#do('a reset', () => this.#device.reset());
    if (this.#model.busy()) this.#report.find('busy is true after a reset');
    this.#advance(1_000_000);
  }

  /** Negotiates anything that the device has, and makes it ready (virtio 1.3 §3.1.1). */
  #start(): void {
    const device = this.#device;
    let features = device.offered & ~RINGS;
    if (!this.#dice.once(4))
      for (let bit = 0; bit < FEATURE_BITS; bit++) if (this.#dice.once(2)) features &= ~(1n << BigInt(bit));
    device.status = Status.ACKNOWLEDGE | Status.DRIVER;
    device.accept(features | NEEDED);
    device.status |= Status.FEATURES_OK;
    for (const index of device.queues.keys()) this.#startQueue(index);
    this.#do(`a driver that takes features ${hex(device.features)}`, () => {
      device.status |= Status.DRIVER_OK;
      for (const index of device.queues.keys()) device.groupOf(index);
    });
  }

  #compare(config: Uint8Array): void {
    const now = this.#model.config;
    const at = config.findIndex((byte, n) => byte !== now[n]);
    if (at < 0) return;
    const is = `${hex(now[at]!)}, and was ${hex(config[at]!)}`;
    this.#report.remark(`after a reset byte ${at} of the configuration is ${is}: some devices keep it`);
  }

  #lookForFailure(): void {
    if (!this.#report.hasFailed()) return;
    this.#calls.recover();
    this.#device.reset();
    this.#report.skipFailures();
    if (!this.#report.isEnough) this.#start();
  }
}
