/**
 * ModelHost: what the model of one VFIO device calls. It is there before the model, which makes it; until
 * `connect` there is no device, and nothing can be raised.
 *
 * A model may call these as methods, or take them out and call them as functions. They are fields of a class,
 * and not a literal with a getter: of such a one V8 makes a dictionary, and a model looks up `host.dma` for
 * each DMA, `host.interrupt` for each of 200,000 interrupts in a call.
 */
import { checkIntx, checkVector, inFactory, vectorsOf } from '../devices/checks.js';
import type { DeviceHost, PciDescription } from '../devices/device-model.js';
import { type DeviceTimers, timeOf } from '../devices/device-timers.js';
import type { ModelCalls } from '../devices/model-calls.js';
import type { Outside } from '../devices/outside.js';
import type { Wires } from '../devices/wire.js';
import type { PciPort } from '../driver/pci-port.js';
import { deviceMemory } from '../linux/device-memory.js';
import type { VfioDevice } from './device.js';
import type { Interrupts } from './interrupts.js';

/** What all devices of a function have of the machine. */
export interface HostPlace {
  readonly baseDirectory: string;
  readonly wires: Wires;
  readonly outside: Outside;
}

export class ModelHost implements DeviceHost {
  readonly baseDirectory: string;
  readonly dma: PciPort;
  readonly memory = deviceMemory;
  readonly outside: Outside;
  readonly now: DeviceHost['now'];
  readonly after: DeviceHost['after'];
  readonly link: DeviceHost['link'];
  readonly note: DeviceHost['note'];
  #pci: PciDescription | undefined;
  #device: VfioDevice | undefined;
  #irqs: Interrupts | undefined;
  /** Messages that it may send: 0 in the factory. */
  #vectors = 0;

  constructor(calls: ModelCalls, dma: PciPort, timers: DeviceTimers, place: HostPlace) {
    const { baseDirectory, wires, outside } = place;
    this.baseDirectory = baseDirectory;
    this.dma = dma;
    this.outside = outside;
    const { now, after } = timeOf(timers, () => this.#device !== undefined);
    this.now = now;
    this.after = after;
    this.link = (name) => wires.link(name);
    this.note = (sentence) => calls.note(sentence);
  }

  /** The model has been made, and is that of `device`. */
  connect(pci: PciDescription, irqs: Interrupts, device: VfioDevice): void {
    this.#pci = pci;
    this.#irqs = irqs;
    this.#device = device;
    this.#vectors = vectorsOf(pci);
  }

  get messages(): boolean {
    return this.#irqs?.sends ?? false;
  }

  readonly interrupt = (vector: number): void => {
    const irqs = this.#irqs ?? inFactory('interrupt');
    checkVector(vector, this.#vectors);
    if (!irqs.raise(vector) || this.#device!.life.happenings.on) this.#tell(vector, irqs);
  };

  readonly intx = (level: boolean): void => {
    checkIntx(this.#pci);
    this.#irqs!.drive(level);
    if (this.#device!.life.happenings.on) this.#happens('INTx', level ? 1 : 0);
  };

  /** Message `vector` was lost, or somebody looks. */
  #tell(vector: number, irqs: Interrupts): void {
    const { messages } = irqs;
    const lost = messages && irqs.whyLost(vector);
    if (lost !== undefined) this.note(`interrupt vector ${vector} is raised, and ${lost}`);
    if (!this.#device!.life.happenings.on) return;
    const outcome = messages === undefined ? 'neither MSI nor MSI-X is enabled' : lost;
    this.#happens(messages ?? 'message', vector, outcome);
  }

  #happens(name: string, vector: number, lost?: string): void {
    this.#device!.life.happenings.record({
      kind: 'interrupt',
      name,
      vector,
      ...(lost !== undefined && { lost }),
    });
  }
}
