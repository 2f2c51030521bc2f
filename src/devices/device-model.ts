/**
 * What a device model is: the interface that people implement to make a new device.
 *
 * A model is a PCI function as its programmer sees it: configuration space, BARs with registers, interrupts,
 * and DMA. It is handed a `DeviceHost` when it is made and has no other way to reach anything: no memory but
 * through `host.dma`, which checks every access in the IOMMU, and no one to call but `host`. Everything runs
 * on one thread; a model does a bounded slice of work in `step()`.
 */
import type { DmaFault } from '../iommu/fault-log.js';
import type { Ranges } from '../linux/ranges.js';
import type { ScatterList } from '../linux/scatter-list.js';
import type { Outside } from './outside.js';

/** A DMA access that did not happen, or not to its end. */
export type { DmaFault };

/**
 * A page that the device has asked for (PCI Express 5.0 §10.4). Look at it in `step`: nobody calls when the
 * answer comes.
 */
export interface PageWait {
  /** `success`: access it again. `invalid`: it will not come, so the access ends with its fault. */
  readonly answer: 'pending' | 'success' | 'invalid';
}

/**
 * The only way of a device model to memory. IOVAs are plain numbers (exact below 2^53; nothing is mapped
 * above 2^48). Nothing is allocated when an access succeeds.
 *
 * A vpasid is the PASID as the device's programmer wrote it into the device; `NO_PASID` (0) for requests that
 * carry none.
 */
export interface DmaPort {
  /**
   * Fills target[at..at+length) from `iova` in the address space of `vpasid`. @returns undefined, or the
   * fault.
   */
  read(vpasid: number, iova: number, target: Uint8Array, at?: number, length?: number): DmaFault | undefined;

  /** Writes source[at..at+length) to `iova`. Bytes before a fault have been written. */
  write(vpasid: number, iova: number, source: Uint8Array, at?: number, length?: number): DmaFault | undefined;

  /**
   * Fills buffer[at..) from all parts of `ranges`, IOVAs, one after the other, or writes it to them: as by a
   * `read` or a `write` for each, but in few accesses to memory that is reached by way of another process.
   * Absent: there is no quicker way.
   */
  move?(vpasid: number, ranges: Ranges, buffer: Uint8Array, at: number, write: boolean): DmaFault | undefined;

  /**
   * As `move`, but ends behind a part where that has come to as much as a step may (`effort`): each part may
   * keep everybody waiting, and be translated by page tables that do. @returns the bytes moved, one at least,
   * without a fault; or the fault. Absent: `move` is the way.
   */
  moveSome?(
    vpasid: number,
    ranges: Ranges,
    buffer: Uint8Array,
    at: number,
    write: boolean,
  ): DmaFault | number;

  /**
   * Adds to `places` where `write` would write `length` bytes, for a file to be read there at once, without a
   * copy in between (`ReadTarget` in medium.ts). @returns false when that cannot be said, and `write` is the
   * way. Absent: never.
   */
  place?(vpasid: number, iova: number, length: number, places: ScatterList): boolean;

  /**
   * Copies `length` bytes from IOVA `from` to `to`, not by way of the model, or as many as that goes for and
   * come to the effort of a step. They may overlap where `to` is below `from`. @returns how many: `read` and
   * `write` are for the others, and find the fault if there is one. Absent: for all.
   */
  copy?(vpasid: number, from: number, to: number, length: number): number;

  /**
   * What accesses to memory have come to so far, of this and other devices: 1 each, and more where memory is
   * reached by way of another process, which may take 20 µs, however few bytes it is. It grows. A step that
   * may come to much ends by it (`Effort`). Absent: nobody counts.
   */
  readonly effort?: number;

  /**
   * Asks for the page of `iova`, after an access has faulted there. Whoever owns the page table may take as
   * long as he likes to answer.
   * @returns undefined when nobody can be asked: the device has not said `pageRequests`, or is attached to
   * nothing that hears of page faults.
   */
  requestPage(vpasid: number, iova: number, write: boolean): PageWait | undefined;

  /**
   * May `vpasid` be loaded into this device (a register, a descriptor)? A mediated device looks it up in its
   * own list; a function with a requester id of its own may load anything, because the IOMMU has the last
   * word. Ask before a PASID is stored.
   */
  admits(vpasid: number): boolean;
}

/**
 * One end of a link: packets go to the other end, where another device is, or through a socket the world
 * outside (`--link NAME=unix:PATH`). Nobody calls when one comes: a model says by `busy` that some wait, and
 * takes them in `step`.
 */
export interface Link {
  /** Is somebody at the other end? */
  readonly joined: boolean;
  /** Times that who is there has come or gone. */
  readonly changes: number;
  /** Are there packets to take? At most 1 MiB waits, with 8 bytes for each; what comes then is lost. */
  readonly waiting: boolean;
  /** Sends a copy of `packet`. When nobody is there, or does not take it in time, it is lost. */
  send(packet: Uint8Array): void;
  /** Takes the packet that has come first; undefined: there is none. */
  receive(): Uint8Array | undefined;
  /** Drops all that wait. */
  clear(): void;
}

/** What the device may call. Handed to the model's factory. */
export interface DeviceHost {
  /** Where relative paths in options begin. */
  readonly baseDirectory: string;
  /** The way to memory. Works after the factory. */
  readonly dma: DmaPort;
  /**
   * Sends message `vector` of MSI-X or MSI. Masked ones are held, those that are not set up dropped, as PCI
   * says. @throws RangeError `pci` has no such vector, or it is called in the factory.
   */
  interrupt(vector: number): void;
  /**
   * Are messages enabled, MSI or MSI-X? For a device with a bit that its own message clears; others say what
   * there is, and need not know.
   */
  readonly messages: boolean;
  /**
   * Drives the INTx line of a device with `intx` (PCI Local Bus 3.0 §2.2.6): high while there is a cause that
   * the program has not acknowledged, and low after a reset, without being told. Whether the line or messages
   * are in use is not the model's to know: it says both. @throws RangeError `pci` has no `intx`, or it is
   * called in the factory.
   */
  intx(level: boolean): void;
  /**
   * Memory on the device, zeros, for the `memory` of one of its BARs. Call it in the factory. @throws Error
   * when `length` is not a multiple of 4096 from 4096 to 1 GiB, or there is no room.
   */
  memory(length: number): Uint8Array;
  /**
   * The time, in microseconds: exact below 2^53, never less than before. Under `--time scale=N` it goes N
   * times as slowly.
   */
  now(): number;
  /**
   * Calls `callback` in `microseconds`, once, as it calls the model's methods: never inside another, and of
   * all devices in the order of their times. A reset cancels it, the last close too. A drain does not wait
   * for time: while the model is busy its timers come at once, in the order in which they were asked for.
   * Under `run` it comes up to some milliseconds late.
   * @returns what cancels it. @throws RangeError `microseconds` is not a number from 0 up, 4,096 wait
   * already, or it is called in the factory.
   */
  after(microseconds: number, callback: () => void): () => void;
  /**
   * The next end of the link called `name`, whose two ends are joined; without a name one that hears itself.
   * Call it in the factory. @throws Refusal EBUSY two devices have that link.
   */
  link(name?: string): Link;
  /** Its disks, and random numbers. @internal */
  readonly outside: Outside;
  /**
   * Says in one sentence, with the value at fault, what the device drops, ignores or finds wrong, and
   * hardware would not tell: "work queue 0 is not enabled: the descriptor is dropped". Whoever runs the
   * program sees it (`-v`, `ioasid ls`), and where a write is not taken it is the reason. The program does
   * not.
   */
  note(sentence: string): void;
}

/** One base address register. */
export interface BarDescription {
  /** Which of the six (PCI Local Bus 3.0 §6.2.5.1). */
  readonly index: 0 | 1 | 2 | 3 | 4 | 5;
  /** Bytes; a power of two, at least 16. */
  readonly size: number;
  /** 64-bit BARs take two indices. */
  readonly is64?: boolean;
  /** Reads of it have no side effects, as its lowest bits tell. */
  readonly prefetchable?: boolean;
  /**
   * A range of registers that take 64 bytes at once (MOVDIR64B and ENQCMD; Intel DSA 3.3). Offset and size in
   * bytes, multiples of 64.
   */
  readonly portals?: BarRange;
  /**
   * A range that is memory, `bytes` of `host.memory`: the program loads and stores there without the model,
   * which reads and writes `bytes` whenever it likes, and clears them in `reset`. The offset is a multiple of
   * 4096.
   */
  readonly memory?: BarMemory;
  /**
   * A range of doorbells: registers of 4 bytes whose last value alone counts, and is never 0xffffffff. While
   * the model is busy, and 1 ms longer, their pages may be memory that is looked at between its steps: what
   * was stored last is then one write of 4 bytes, what was stored before is lost, and reads give anything.
   * Offset and size are multiples of 4096.
   */
  readonly doorbells?: BarRange;
}

/** A range of a BAR, in bytes. */
export interface BarRange {
  /** From the beginning of the BAR. */
  readonly offset: number;
  /** How long it is. */
  readonly size: number;
}

/** A range of a BAR that is memory. */
export interface BarMemory {
  /** Bytes from the beginning of the BAR. */
  readonly offset: number;
  /** What `host.memory` has given, whole. */
  readonly bytes: Uint8Array;
}

/** Where MSI-X lies (PCI Express 5.0 §7.7.2). Offsets are bytes of the BAR, multiples of 8. */
export interface MsixDescription {
  /** How many, up to 2048. */
  readonly vectors: number;
  /** The BAR that has both. */
  readonly bar: number;
  /** Of the table: 16 bytes for each vector. */
  readonly tableOffset: number;
  /** Of the pending bits: 8 bytes for each 64 vectors. */
  readonly pbaOffset: number;
}

/** What configuration space is built from (PCI Local Bus 3.0 §6.1, PCI Express 5.0 §7). */
export interface PciDescription {
  /** 16 bits. */
  readonly vendorId: number;
  /** 16 bits. */
  readonly deviceId: number;
  /** 24 bits: base class, subclass, programming interface. */
  readonly classCode: number;
  /** 8 bits; 0 when absent. */
  readonly revision?: number;
  /** 16 bits; as `vendorId` when absent. */
  readonly subsystemVendorId?: number;
  /** 16 bits; as `deviceId` when absent. */
  readonly subsystemId?: number;
  /** None overlap: one with `is64` takes the next index, too. */
  readonly bars: readonly BarDescription[];
  /**
   * A function of conventional PCI: 256 bytes of configuration space, without power management, Express or a
   * reset of its own, so that VFIO_DEVICE_RESET is EINVAL. `strict`: only under `--strict`. Absent: PCI
   * Express.
   */
  readonly conventional?: boolean | 'strict';
  /** Interrupts. INTx is one line, driven by `host.intx`. */
  readonly intx?: boolean;
  /** MSI vectors: 1, 2, 4, 8, 16 or 32. */
  readonly msi?: number;
  /** MSI-X: the table and the pending bits lie in `bar` at these offsets, and are kept for the model. */
  readonly msix?: MsixDescription;
  /**
   * Bits of the PASIDs that it can have (PCIe 5.0 §7.8.8), 1..20. Absent: the device issues requests without
   * PASID only.
   */
  readonly pasidBits?: number;
  /**
   * The PASID capability permits privileged requests and requests to execute, as a VMM tells its guest. No
   * request is either: the IOMMU serves neither (ECAP.SRS is 0), so the model makes none.
   */
  readonly privilegedPasids?: boolean;
  /** It asks for pages that are not there (ATS and PRI, PCIe 5.0 §10.4): `dma.requestPage`. */
  readonly pageRequests?: boolean;
}

/** The part of a device model that works by itself, whatever bus its registers are on. */
export interface WorkingModel {
  /** As after power-on (on PCI a function level reset): all work dropped, no DMA afterwards. */
  reset(): void;

  /**
   * Does a bounded slice of queued work (at most about a millisecond). Absent: the device works only inside
   * the call by which it is given work, such as writeBar.
   * @returns false when all that it has to do waits for answers to page requests: it is not called again at
   * once. Otherwise true/void.
   */
  step?(): boolean | void;

  /**
   * Is there accepted work that may still do DMA: for `vpasid`, or at all when it is undefined?
   * Absent: never.
   */
  busy?(vpasid?: number): boolean;

  /**
   * Ends what waits for anything but pages, for a disk say: a bounded part of it in each call. Called when
   * `step` has said that all waits, and no DMA for `vpasid` may come later. Absent: there is no such work.
   * @param now whatever that takes, since what would come by itself cannot come now.
   * @returns true when there is more to do; 'waits' when all that there is ends by itself; otherwise
   * false/void.
   */
  drain?(vpasid?: number, now?: boolean): Drained | void;
}

/** What is left to be drained: nothing; some; some that ends by itself, for which one only has to wait. */
export type Drained = boolean | 'waits';

/**
 * A device model: one PCI function, or one mediated device. All methods are called on the one thread, never
 * re-entered.
 */
export interface DeviceModel extends WorkingModel {
  /** What it is; read once, when it is made. */
  readonly pci: PciDescription;

  /**
   * A read of `target.length` bytes at `offset` of BAR `bar`: 8, 4, 2 or 1, aligned, into which the program's
   * own access is cut. Bytes are little-endian. Never throws for what a program wrote; an unknown register
   * reads as zeros, as on real hardware.
   */
  readBar(bar: number, offset: number, target: Uint8Array): void;

  /**
   * A write, as above; in portals of 64 bytes at a multiple of as many, too.
   * @returns false when the device cannot take it now and the program must retry (a full shared work queue:
   * EAGAIN); otherwise true/void.
   */
  writeBar(bar: number, offset: number, source: Uint8Array): boolean | void;

  /**
   * What people call the register at `offset` of BAR `bar`, for traces: `GENSTS`, `WQCFG[3].SIZE`. Of
   * registers that are a table it is `Registers.nameOf`. Absent, or undefined: it has no name.
   */
  registerName?(bar: number, offset: number): string | undefined;

  /** The device cut into mediated devices, when it can be. */
  readonly mdev?: MdevSupport;
}

/** How a function is cut into mediated devices that share its requester id. */
export interface MdevSupport {
  /** The most mediated devices that can be made. */
  readonly max: number;
  /**
   * Makes mediated device `index` (0 <= index < max). Its DMA goes through `host`, which checks the mdev's
   * own list of PASIDs.
   */
  create(index: number, host: DeviceHost): DeviceModel;
}

/**
 * Options of one `--device` argument: `dsa,mdevs=2,wqs=4` gives `{wqs: "4"}` to the model (`mdevs` and `bdf`
 * are taken out before).
 */
export type DeviceOptions = Readonly<Record<string, string>>;

/**
 * What a device module exports by default: makes the model. Throws an Error with one sentence when an option
 * is wrong. `--device ./my-device.js` imports the module and calls this.
 */
export type DeviceFactory = (host: DeviceHost, options: DeviceOptions) => DeviceModel;
