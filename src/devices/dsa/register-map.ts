/**
 * The registers of BAR0 as a table: what a device of a shape has, what a program may change of them and when,
 * and what they are after a reset.
 *
 * Configuration (GENCFG, GRPCFG, WQCFG) can be written while what it configures is disabled. In a device that
 * is not configurable it cannot, but for whose memory a work queue means. Source: specification (see
 * docs/dsa.md), 9.2.
 */
import { type RegisterDescription, Registers } from '../registers.js';
import {
  DeviceState,
  GENCFG_USER_INTERRUPTS,
  GENCFG_WRITABLE,
  GRPCFG_STRIDE,
  GroupField,
  GroupFlag,
  MSIXPERM_STRIDE,
  MsixPermission,
  type Preset,
  READ_BUFFERS,
  Register,
  type Shape,
  SUPPORTED_COMMANDS,
  TABLE_UNIT,
  WQCFG_STRIDE,
  WqField,
  WqMode,
  WqState,
} from './registers.js';

/** What the registers need of their device. */
export interface RegisterOwner {
  /** A command has been written. */
  command(value: number): void;
  /** How many descriptors are in work queue `wq`? */
  occupancy(wq: number): number;
  /** May `pasid` be stored as that of work queue `wq`? When not, the device says so in SWERR. */
  admits(wq: number, pasid: number): boolean;
}

/** What a work queue that is not preset can do at most: 2 MiB in a transfer, 32 descriptors in a batch. */
const USUAL_TRANSFER_SHIFT = 21;
const USUAL_BATCH_SHIFT = 5;

interface Context {
  readonly shape: Shape;
  readonly preset: Preset;
  readonly owner: RegisterOwner;
  /** For handlers, which run when there are registers. */
  registers(): Registers;
}

/** The registers of a device, as after power-on. */
export function createRegisters(shape: Shape, preset: Preset, owner: RegisterOwner): Registers {
  const context: Context = { shape, preset, owner, registers: () => registers };
  const registers = new Registers([
    ...capabilities(shape),
    ...control(context),
    ...groupConfiguration(context),
    ...wqConfiguration(context),
  ]);
  return registers;
}

/** Version 1.0, with the capabilities of `shape`. */
function capabilities(shape: Shape): RegisterDescription[] {
  const ro = { width: 8, access: 'ro' } as const;
  // Block on fault, overlapping copy, both kinds of cache control, the command capabilities register,
  // destination readback.
  const general = 0x11f + shape.maxTransferShift * 2 ** 16 + shape.maxBatchShift * 2 ** 21;
  // WQCFG entries of 64 bytes; priority, occupancy and operation configuration per work queue.
  const modes = (shape.sharedMode ? 2 ** 16 : 0) + (shape.dedicatedMode ? 2 ** 17 : 0);
  const wqs = pair(shape.totalSize + shape.wqs * 2 ** 16 + 2 ** 24, modes + 2 ** 19 + 2 ** 20 + 2 ** 22);
  // Read buffers, with their controls and a global limit.
  const groups = shape.groups + READ_BUFFERS * 2 ** 8 + 2 ** 16 + 2 ** 17;
  const tables = pair(
    (Register.GRPCFG + Register.WQCFG * 2 ** 16) / TABLE_UNIT,
    Register.MSIXPERM / TABLE_UNIT,
  );
  return [
    { name: 'VERSION', offset: Register.VERSION, width: 4, access: 'ro', reset: 0x100 },
    { name: 'GENCAP', offset: Register.GENCAP, ...ro, reset: general + (shape.configurable ? 2 ** 31 : 0) },
    { name: 'WQCAP', offset: Register.WQCAP, ...ro, reset: wqs },
    { name: 'GRPCAP', offset: Register.GRPCAP, ...ro, reset: groups },
    { name: 'ENGCAP', offset: Register.ENGCAP, ...ro, reset: shape.engines },
    { name: 'OPCAP', offset: Register.OPCAP, ...ro, reset: shape.operations },
    { name: 'TABLE_OFFSET', offset: Register.TABLE_OFFSET, ...ro, reset: tables },
    { name: 'CMDCAP', offset: Register.CMDCAP, width: 4, access: 'ro', reset: SUPPORTED_COMMANDS },
  ];
}

function control({ shape, preset, owner, registers }: Context): RegisterDescription[] {
  const u32 = { width: 4 } as const;
  const command = (value: number) => owner.command(value);
  const gencfg = configurable(shape, GENCFG_WRITABLE, () => isEnabled(registers()));
  const gencfgReset = preset.configured ? GENCFG_USER_INTERRUPTS : 0;
  return [
    { name: 'GENCFG', offset: Register.GENCFG, ...u32, ...gencfg, reset: gencfgReset },
    { name: 'GENCTRL', offset: Register.GENCTRL, ...u32, access: 'rw', bits: 0x3 },
    { name: 'GENSTS', offset: Register.GENSTS, ...u32, access: 'ro' },
    { name: 'INTCAUSE', offset: Register.INTCAUSE, ...u32, access: 'w1c' },
    // A command is one 32-bit write; a part of one does nothing.
    { name: 'CMD', offset: Register.CMD, ...u32, access: 'rw', whole: true, write: command },
    { name: 'CMDSTS', offset: Register.CMDSTS, ...u32, access: 'ro' },
    { name: 'SWERR', offset: Register.SWERR, width: 8, access: 'w1c', bits: 0x3 },
    { name: 'SWERR.BATCH', offset: Register.SWERR + 8, width: 8, access: 'ro' },
    { name: 'SWERR.ADDRESS', offset: Register.SWERR + 16, width: 8, access: 'ro' },
    {
      name: 'MSIXPERM[]',
      offset: Register.MSIXPERM,
      ...u32,
      count: shape.vectors,
      stride: MSIXPERM_STRIDE,
      access: 'rw',
      bits: MsixPermission.WRITABLE,
    },
  ];
}

/** GRPCFG: bits of the work queues and engines that there are, and the flags. */
function groupConfiguration({ shape, registers }: Context): RegisterDescription[] {
  const field = (name: string, within: number, bits: number): RegisterDescription => ({
    name: `GRPCFG[].${name}`,
    offset: Register.GRPCFG + within,
    width: 4,
    count: shape.groups,
    stride: GRPCFG_STRIDE,
    ...configurable(shape, bits, () => isEnabled(registers())),
  });
  const wqs: RegisterDescription[] = [];
  for (let from = 0; from < shape.wqs; from += 32)
    wqs.push(field(`WQS${from}`, GroupField.WQS + from / 8, 2 ** Math.min(32, shape.wqs - from) - 1));
  return [
    ...wqs,
    field('ENGINES', GroupField.ENGINES, 2 ** shape.engines - 1),
    { ...field('FLAGS', GroupField.FLAGS, GroupFlag.WRITABLE), reset: READ_BUFFERS * 2 ** 20 },
  ];
}

/** WQCFG: a work queue must be disabled for all but its threshold. */
function wqConfiguration({ shape, preset, owner, registers }: Context): RegisterDescription[] {
  const entry = (wq: number) => Register.WQCFG + wq * WQCFG_STRIDE;
  const locked = (wq: number) => registers().get(entry(wq) + WqField.STATE) >>> 30 !== WqState.DISABLED;
  const lockedWithDevice = (wq: number) => locked(wq) || isEnabled(registers());
  const field = (name: keyof typeof WqField) =>
    ({
      name: `WQCFG[].${name}`,
      offset: Register.WQCFG + WqField[name],
      width: 4,
      count: shape.wqs,
      stride: WQCFG_STRIDE,
    }) as const;
  // A PASID that this device may not have is not kept, so the work queue cannot be enabled (CMDSTS 0x26).
  const setMode = (value: number, _high: number, wq: number) => {
    const pasid = (value & WqMode.PASID) >>> 8;
    const kept = pasid === 0 || owner.admits(wq, pasid) ? value : value & ~WqMode.PASID;
    registers().set(entry(wq) + WqField.MODE, kept);
  };
  const showOccupancy = (wq: number) => {
    const state = entry(wq) + WqField.STATE;
    registers().set(state, registers().get(state) - (registers().get(state) % 2 ** 16) + owner.occupancy(wq));
  };
  const reset = wqReset(shape, preset);
  const modeBits = shape.configurable ? WqMode.WRITABLE : WqMode.IDENTITY;
  return [
    { ...field('SIZE'), ...configurable(shape, 0xffff, lockedWithDevice), reset: reset.size },
    { ...field('THRESHOLD'), ...configurable(shape, 0xffff), reset: reset.threshold },
    { ...field('MODE'), access: 'rw', bits: modeBits, locked, write: setMode, reset: reset.mode },
    { ...field('LIMITS'), ...configurable(shape, 0x1ff, locked), reset: reset.limits },
    { ...field('STATE'), access: 'ro', read: showOccupancy },
    {
      ...field('OPERATIONS'),
      width: 8,
      ...configurable(shape, shape.operations, locked),
      reset: shape.operations,
    },
  ];
}

/** How a work queue comes out of a reset: disabled; what it may do is as preset, or what is usual. */
function wqReset(shape: Shape, { configured, shared }: Preset) {
  const limits = (transfer: number, batch: number) =>
    Math.min(transfer, shape.maxTransferShift) + Math.min(batch, shape.maxBatchShift) * 2 ** 5;
  if (!configured)
    return { size: 0, threshold: 0, mode: 0, limits: limits(USUAL_TRANSFER_SHIFT, USUAL_BATCH_SHIFT) };
  const size = Math.floor(shape.totalSize / shape.wqs);
  const mode = shared ? WqMode.PASID_ENABLE : WqMode.DEDICATED;
  return {
    size,
    threshold: shared ? size : 0,
    mode: mode + WqMode.BLOCK_ON_FAULT + WqMode.LOWEST_PRIORITY,
    limits: limits(shape.maxTransferShift, shape.maxBatchShift),
  };
}

/** The access to a field of the configuration, which can be written when it is not `locked`. */
function configurable(
  shape: Shape,
  bits: number,
  locked: (index: number) => boolean = () => false,
): Pick<RegisterDescription, 'access' | 'bits' | 'locked'> {
  return shape.configurable ? { access: 'rw', bits, locked } : { access: 'ro' };
}

function isEnabled(registers: Registers): boolean {
  return (registers.get(Register.GENSTS) & 3) !== DeviceState.DISABLED;
}

function pair(low: number, high: number): bigint {
  return BigInt(low) + (BigInt(high) << 32n);
}
