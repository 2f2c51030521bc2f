/**
 * The configuration space of one device, as vfio-pci lets a program read and write it: 4 KiB of PCI Express,
 * 256 bytes of conventional PCI.
 *
 * It is two arrays of the same length: the bytes, and for each byte the mask of the bits that a program may
 * change. A write changes those bits and no others, whatever its size and offset; BAR sizing (write all ones,
 * read the mask) needs nothing beyond that. Bits that report the state of something else (interrupt status,
 * MSI-X enable) are set by the owner of that state through methods.
 *
 * On a root bus an Express function is a root complex integrated endpoint, which has no link; behind a port
 * it is an endpoint, with a link of the first generation and one lane. As vfio-pci has it, a program writes
 * neither ATS nor PRI, and does not see the PASID capability, which a VMM makes for its guest from what
 * iommufd says (GET_HW_INFO).
 *
 * Sources: PCI Local Bus 3.0 §6 (header, MSI, MSI-X), PCI Power Management 1.2 §3.2, PCI Express 5.0 §7.5,
 * §10.5 (ATS and PRI).
 */
import type { PciDescription } from '../devices/device-model.js';
import { hex, refuse } from '../linux/errno.js';

/** Bytes of configuration space. */
const EXPRESS_SIZE = 4096;
const CONVENTIONAL_SIZE = 256;

const COMMAND = 0x04;
const STATUS = 0x06;
const BAR0 = 0x10;
const CAPABILITIES = 0x34;
const FIRST_CAPABILITY = 0x40;
const FIRST_EXTENDED_CAPABILITY = 0x100;

const COMMAND_IO = 1 << 0;
const COMMAND_MEMORY = 1 << 1;
const COMMAND_MASTER = 1 << 2;
const COMMAND_SERR = 1 << 8;
const COMMAND_INTX_DISABLE = 1 << 10;
const STATUS_INTERRUPT = 1 << 3;
const STATUS_CAPABILITIES = 1 << 4;

const CAP_POWER = 0x01;
const CAP_MSI = 0x05;
const CAP_EXPRESS = 0x10;
const CAP_MSIX = 0x11;
const EXTENDED_CAP_ATS = 0x0f;
const EXTENDED_CAP_PRI = 0x13;
/** Page requests that may be under way at once, as with a real DSA. */
const PAGE_REQUESTS = 512;

const POWER_CONTROL = 4;
const D3_HOT = 3;
const EXPRESS_DEVICE_CONTROL = 8;
const ENDPOINT = 0;
const ROOT_COMPLEX_ENDPOINT = 9;
const EXPRESS_LINK_CAPABILITIES = 0x0c;
const EXPRESS_LINK_STATUS = 0x12;
/** 2.5 GT/s and one lane, in the link's capabilities as in its status. */
const FIRST_GENERATION = 0x11;
/** Active state power management: L0s. */
const LINK_ASPM = 1 << 10;
/** What programs may set in device control: sizes of payloads and read requests, reports of errors. */
const EXPRESS_SETTINGS = 0x70ef;
const INITIATE_FLR = 1 << 15;
const MESSAGE_CONTROL = 2;
const MSIX_ENABLE = 1 << 15;

export class ConfigSpace {
  readonly #bytes: Uint8Array;
  readonly #writable: Uint8Array;
  readonly #view: DataView;
  readonly #initial: Uint8Array;
  // Where the capabilities are; 0: there is none.
  readonly #power: number;
  readonly #express: number;
  #msi = 0;
  #msix = 0;
  #lastCapability = 0;
  #nextCapability = FIRST_CAPABILITY;
  /** Asked for each DMA and each message. */
  #busMaster = false;

  /**
   * @param pci as checkModel lets it pass
   * @param strict a function that is of conventional PCI in hardware is it here too.
   * @param linked it lies behind a port, and not on a root bus.
   */
  constructor(pci: PciDescription, strict = false, linked = false) {
    const express = pci.conventional !== true && !(strict && pci.conventional === 'strict');
    this.#bytes = new Uint8Array(express ? EXPRESS_SIZE : CONVENTIONAL_SIZE);
    this.#writable = new Uint8Array(this.#bytes.length);
    this.#view = new DataView(this.#bytes.buffer);
    this.#header(pci);
    this.#bars(pci);
    this.#power = express ? this.#powerManagement() : 0;
    if (pci.msi !== undefined) this.#msi = this.#messageSignalled(pci.msi);
    if (pci.msix !== undefined) this.#msix = this.#messageSignalledExtended(pci.msix);
    this.#express = express ? this.#pciExpress(linked) : 0;
    if (pci.pageRequests === true) this.#pageRequests();
    this.#initial = this.#bytes.slice();
  }

  /** Bytes of it. */
  get size(): number {
    return this.#bytes.length;
  }

  /** Can the function be reset? One of PCI Express by itself; others only with their bus. */
  get resettable(): boolean {
    return this.#express !== 0;
  }

  /**
   * Fills `target` from byte `offset`. @throws Refusal EFAULT when that reaches past the end (as vfio-pci has
   * it).
   */
  read(offset: number, target: Uint8Array): void {
    this.#check(offset, target.length);
    target.set(this.#bytes.subarray(offset, offset + target.length));
  }

  /**
   * Writes `source` from byte `offset` on; bits that are not writable keep their value.
   * @returns true when the write initiates a function level reset, which is the caller's to do.
   * @throws Refusal EFAULT as `read` does.
   */
  write(offset: number, source: Uint8Array): boolean {
    this.#check(offset, source.length);
    const powerBefore = this.#powerState;
    for (let i = 0; i < source.length; i++) {
      const mask = this.#writable[offset + i]!;
      this.#bytes[offset + i] = (this.#bytes[offset + i]! & ~mask) | (source[i]! & mask);
    }
    // D1 and D2 are not supported: a write that asks for them has no effect on the state (PCI PM §3.2.4).
    if (this.#powerState === 1 || this.#powerState === 2) this.#powerState = powerBefore;
    this.#settle();
    return this.#express !== 0 && this.#takeFunctionLevelReset();
  }

  /** Back to what it is when the device is opened: memory space on, bus mastering off, no BAR assigned. */
  reset(): void {
    this.#bytes.set(this.#initial);
    this.#settle();
  }

  get inD3hot(): boolean {
    return this.#powerState === D3_HOT;
  }

  /** A reset of the function leaves it in D0 (PCI Express 5.0 §5.3.1.1). */
  leaveD3hot(): void {
    if (this.inD3hot) this.#powerState = 0;
    this.#settle();
  }

  /** Do BARs answer? Command register, memory space enable; never in D3hot. */
  get memoryEnabled(): boolean {
    return this.#command(COMMAND_MEMORY) && !this.inD3hot;
  }

  /** May the device issue requests? Command register, bus master enable; never in D3hot. */
  get busMaster(): boolean {
    return this.#busMaster;
  }

  /** Is INTx kept from being signalled? Command register, interrupt disable. */
  get intxDisabled(): boolean {
    return this.#command(COMMAND_INTX_DISABLE);
  }

  /** Status register, interrupt status: the device drives its INTx line high. */
  setInterruptStatus(level: boolean): void {
    this.#flag(STATUS, STATUS_INTERRUPT, level);
  }

  /** The enable bit of the MSI-X capability. It follows SET_IRQS, programs only read it. */
  setMsixEnable(on: boolean): void {
    if (this.#msix !== 0) this.#flag(this.#msix + MESSAGE_CONTROL, MSIX_ENABLE, on);
  }

  /** The low byte of MSI's message control, which is another state than the function's own (msi.ts). */
  get msiControl(): number {
    return this.#bytes[this.#msi + MESSAGE_CONTROL]!;
  }

  set msiControl(control: number) {
    this.#bytes[this.#msi + MESSAGE_CONTROL] = control;
  }

  /**
   * Does vfio-pci take a write of `length` bytes at `offset` for one of MSI's message control? One that ends
   * where that begins is one, too.
   */
  reachesMsiControl(offset: number, length: number): boolean {
    const control = this.#msi + MESSAGE_CONTROL;
    return this.#msi !== 0 && offset <= control && offset + length >= control;
  }

  #check(offset: number, length: number): void {
    if (offset >= 0 && offset + length <= this.size) return;
    const what = `${length} bytes at ${hex(offset)}`;
    refuse('EFAULT', `${what} reach past the ${this.size} bytes of configuration space`);
  }

  /** Command register or power state may have changed. */
  #settle(): void {
    this.#busMaster = this.#command(COMMAND_MASTER) && !this.inD3hot;
  }

  #command(bit: number): boolean {
    return (this.#view.getUint16(COMMAND, true) & bit) !== 0;
  }

  #flag(offset: number, bit: number, on: boolean): void {
    const value = this.#view.getUint16(offset, true);
    this.#view.setUint16(offset, on ? value | bit : value & ~bit, true);
  }

  get #powerState(): number {
    if (this.#power === 0) return 0;
    return this.#bytes[this.#power + POWER_CONTROL]! & 3;
  }

  set #powerState(state: number) {
    const at = this.#power + POWER_CONTROL;
    this.#bytes[at] = (this.#bytes[at]! & ~3) | state;
  }

  #takeFunctionLevelReset(): boolean {
    const at = this.#express + EXPRESS_DEVICE_CONTROL;
    const asked = (this.#view.getUint16(at, true) & INITIATE_FLR) !== 0;
    if (asked) this.#flag(at, INITIATE_FLR, false);
    return asked;
  }

  #put8(offset: number, value: number, writable = 0): void {
    this.#bytes[offset] = value;
    this.#writable[offset] = writable;
  }

  #put16(offset: number, value: number, writable = 0): void {
    this.#put8(offset, value & 0xff, writable & 0xff);
    this.#put8(offset + 1, value >>> 8, writable >>> 8);
  }

  #put32(offset: number, value: number, writable = 0): void {
    this.#put16(offset, value & 0xffff, writable & 0xffff);
    this.#put16(offset + 2, value >>> 16, writable >>> 16);
  }

  #header(pci: PciDescription): void {
    this.#put16(0x00, pci.vendorId);
    this.#put16(0x02, pci.deviceId);
    // vfio-pci hands a device over with its memory space enabled and bus mastering off.
    this.#put16(
      COMMAND,
      COMMAND_MEMORY,
      COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER | COMMAND_SERR | COMMAND_INTX_DISABLE,
    );
    this.#put16(STATUS, STATUS_CAPABILITIES);
    this.#put8(0x08, pci.revision ?? 0);
    this.#put8(0x09, pci.classCode & 0xff);
    this.#put16(0x0a, pci.classCode >>> 8);
    this.#put8(0x0c, 0, 0xff); // cache line size
    this.#put16(0x2c, pci.subsystemVendorId ?? pci.vendorId);
    this.#put16(0x2e, pci.subsystemId ?? pci.deviceId);
    this.#put8(0x3c, 0, 0xff); // interrupt line
    this.#put8(0x3d, pci.intx === true ? 1 : 0); // interrupt pin
  }

  #bars(pci: PciDescription): void {
    for (const bar of pci.bars) {
      const at = BAR0 + bar.index * 4;
      const type = (bar.is64 === true ? 0x4 : 0) | (bar.prefetchable === true ? 0x8 : 0);
      // Address bits below the size are hardwired to 0. Sizes go up to 2^39, so the halves of -size are taken
      // one by one.
      const low = bar.size >= 2 ** 32 ? 0 : -bar.size >>> 0;
      this.#put32(at, type, low & ~0xf);
      if (bar.is64 === true)
        this.#put32(at + 4, 0, bar.size > 2 ** 32 ? -(bar.size / 2 ** 32) >>> 0 : 0xffffffff);
    }
  }

  /** Appends a capability of `bytes` bytes to the list. @returns where it is. */
  #capability(id: number, bytes: number): number {
    const at = this.#nextCapability;
    this.#put8(this.#lastCapability === 0 ? CAPABILITIES : this.#lastCapability + 1, at);
    this.#put8(at, id);
    this.#lastCapability = at;
    this.#nextCapability = (at + bytes + 3) & ~3;
    return at;
  }

  #powerManagement(): number {
    const at = this.#capability(CAP_POWER, 8);
    this.#put16(at + 2, 3); // version 1.2; D1, D2 and PME are not supported
    this.#put16(at + POWER_CONTROL, 1 << 3, 3); // No_Soft_Reset: D3hot keeps the state
    return at;
  }

  #messageSignalled(vectors: number): number {
    const at = this.#capability(CAP_MSI, 14);
    // 64-bit. vfio-pci keeps what programs write here to itself; what msi.ts does not limit can be anything.
    this.#put16(at + MESSAGE_CONTROL, (1 << 7) | (Math.log2(vectors) << 1), 0xff);
    this.#put32(at + 4, 0, ~0);
    this.#put32(at + 8, 0, ~0);
    this.#put16(at + 12, 0, 0xffff);
    return at;
  }

  #messageSignalledExtended(msix: NonNullable<PciDescription['msix']>): number {
    const at = this.#capability(CAP_MSIX, 12);
    this.#put16(at + MESSAGE_CONTROL, msix.vectors - 1);
    this.#put32(at + 4, msix.tableOffset | msix.bar);
    this.#put32(at + 8, msix.pbaOffset | msix.bar);
    return at;
  }

  #pciExpress(linked: boolean): number {
    const at = this.#capability(CAP_EXPRESS, 0x2c);
    this.#put16(at + 2, 2 | ((linked ? ENDPOINT : ROOT_COMPLEX_ENDPOINT) << 4)); // version 2
    if (linked) {
      this.#put32(at + EXPRESS_LINK_CAPABILITIES, FIRST_GENERATION | LINK_ASPM);
      this.#put16(at + EXPRESS_LINK_STATUS, FIRST_GENERATION);
    }
    // 128 byte payloads, 8-bit tags, role-based errors, function level reset.
    this.#put32(at + 4, (1 << 5) | (1 << 15) | (1 << 28));
    this.#put16(at + EXPRESS_DEVICE_CONTROL, 0, EXPRESS_SETTINGS | INITIATE_FLR);
    // End-to-end TLP prefixes, in which PASIDs travel, and their blocking.
    this.#put32(at + 0x24, (1 << 20) | (1 << 21));
    this.#put16(at + 0x28, 0, 1 << 15);
    return at;
  }

  /** ATS and PRI in extended space. The IOMMU's driver has enabled them. */
  #pageRequests(): void {
    const ats = FIRST_EXTENDED_CAPABILITY;
    const pri = ats + 8;
    this.#put32(ats, EXTENDED_CAP_ATS | (1 << 16) | (pri << 20));
    this.#put16(ats + 4, 1 << 5); // page-aligned requests, a queue of 32 invalidations
    this.#put16(ats + 6, 1 << 15);
    this.#put32(pri, EXTENDED_CAP_PRI | (1 << 16));
    this.#put16(pri + 4, 1);
    this.#put32(pri + 8, PAGE_REQUESTS);
    this.#put32(pri + 12, PAGE_REQUESTS);
  }
}
