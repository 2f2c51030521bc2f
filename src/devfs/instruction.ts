/**
 * An instruction that accesses memory, as what is left to do when the memory is a device's (x86-64, Intel SDM
 * volume 2).
 *
 * Plain loads and stores of general registers are done by whoever serves the access. MOVDIR64B and ENQCMD
 * too: they are the only ones that reach the device as 64 bytes. All others are stepped over by the
 * processor, on scratch memory instead of the device's: what it reads has been read of the device before,
 * what it has written goes to the device after.
 */
import { createRequire } from 'node:module';
import type * as Iced from 'iced-x86';
import { Word } from '../linux/ptrace.js';

/** No instruction is longer. */
export const MOST_BYTES = 15;

export type Instruction = { readonly length: number } & (
  | {
      readonly kind: 'load';
      readonly address: Address;
      /** Bytes read, and bytes of the register: zero- or sign-extended. 4 bytes clear the upper half. */
      readonly size: number;
      readonly target: Part;
      readonly signed: boolean;
    }
  | { readonly kind: 'store'; readonly address: Address; readonly size: number; readonly source: Part }
  | {
      readonly kind: 'store';
      readonly address: Address;
      readonly size: number;
      /** The two halves of what is stored. */
      readonly low: number;
      readonly high: number;
    }
  | {
      /** MOVDIR64B, or ENQCMD, which says in ZF whether the device has taken it. */
      readonly kind: 'store64';
      readonly enqueues: boolean;
      /** The register with the address of the device. */
      readonly target: number;
      readonly source: Address;
    }
  | { readonly kind: 'step'; readonly operands: readonly Operand[] }
);

/** A part of a general register: its word in the registers (ptrace.ts), first byte there, bytes. */
export interface Part {
  readonly word: number;
  readonly byte: number;
  readonly size: number;
}

/** base + index * scale + displacement; words of registers, -1 none. RIP counts from the next instruction. */
export interface Address {
  readonly base: number;
  readonly index: number;
  readonly scale: number;
  readonly displacement: number;
}

/** A memory operand that the processor accesses itself. */
export interface Operand {
  readonly size: number;
  readonly reads: boolean;
  readonly writes: boolean;
  /** It may write some of its bytes only. */
  readonly masked: boolean;
  /** The word of a register that moves the operand's address and nothing else; -1: there is none. */
  readonly mover: number;
  readonly address: Address;
  /** BT and its like: counts bits from the address on, those of the operand that has the bit. */
  readonly bits: Part | undefined;
}

let loaded: typeof Iced | undefined;
let facts: Iced.InstructionInfoFactory | undefined;

/** Takes a while: only programs that map a BAR need it. */
function iced(): typeof Iced {
  loaded ??= createRequire(import.meta.url)('iced-x86') as typeof Iced;
  return loaded;
}

/** The instruction that `bytes` begin with; undefined when it is none that is known here. Throws nothing. */
export function decode(bytes: Uint8Array): Instruction | undefined {
  try {
    return decoded(bytes);
  } catch {
    return undefined;
  }
}

function decoded(bytes: Uint8Array): Instruction | undefined {
  const { Decoder, DecoderOptions, Code } = iced();
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  const instruction = decoder.decode();
  try {
    return instruction.code === Code.INVALID ? undefined : meaning(instruction);
  } finally {
    instruction.free();
    decoder.free();
  }
}

function meaning(it: Iced.Instruction): Instruction | undefined {
  const { Mnemonic } = iced();
  if (it.segmentPrefix === iced().Register.FS || it.segmentPrefix === iced().Register.GS) return stepped(it);
  switch (it.mnemonic) {
    case Mnemonic.Mov:
    case Mnemonic.Movnti:
      return moved(it) ?? stepped(it);
    case Mnemonic.Movzx:
      return load(it, false) ?? stepped(it);
    case Mnemonic.Movsx:
    case Mnemonic.Movsxd:
      return load(it, true) ?? stepped(it);
    case Mnemonic.Movdir64b:
    case Mnemonic.Enqcmd: {
      const target = part(it.op0Register);
      if (target?.size !== 8) return undefined;
      const enqueues = it.mnemonic === Mnemonic.Enqcmd;
      return { kind: 'store64', length: it.length, enqueues, target: target.word, source: addressOf(it) };
    }
    default:
      return stepped(it);
  }
}

function moved(it: Iced.Instruction): Instruction | undefined {
  const { OpKind, MemorySizeExt } = iced();
  if (it.op0Kind !== OpKind.Memory) return it.op1Kind === OpKind.Memory ? load(it, false) : undefined;
  const size = MemorySizeExt.size(it.memorySize);
  if (it.op1Kind === OpKind.Register) {
    const source = part(it.op1Register);
    return source && { kind: 'store', length: it.length, address: addressOf(it), size, source };
  }
  const value = it.immediate(1);
  return {
    kind: 'store',
    length: it.length,
    address: addressOf(it),
    size,
    low: Number(BigInt.asIntN(32, value)),
    high: Number(BigInt.asIntN(32, value >> 32n)),
  };
}

function load(it: Iced.Instruction, signed: boolean): Instruction | undefined {
  const { OpKind, MemorySizeExt } = iced();
  if (it.op1Kind !== OpKind.Memory) return undefined;
  const target = part(it.op0Register);
  const size = MemorySizeExt.size(it.memorySize);
  return target && { kind: 'load', length: it.length, address: addressOf(it), size, target, signed };
}

/** What the processor does itself. Instructions that access memory by a vector of addresses are not known. */
function stepped(it: Iced.Instruction): Instruction | undefined {
  const { InstructionInfoFactory, MemorySizeExt, OpAccess, Register } = iced();
  if (it.isVsib) return undefined;
  facts ??= new InstructionInfoFactory();
  const info = facts.info(it);
  const used = info.usedRegisters();
  const bits = isBitTest(it) ? part(it.op1Register) : undefined;
  const operands = info.usedMemory().map((memory): Operand => {
    const { access } = memory;
    const reads = access !== OpAccess.Write && access !== OpAccess.CondWrite;
    const writes = access !== OpAccess.Read && access !== OpAccess.CondRead;
    const address = {
      base: part(memory.base)?.word ?? -1,
      index: part(memory.index)?.word ?? -1,
      scale: memory.scale,
      displacement: Number(BigInt.asIntN(64, memory.displacement)),
    };
    const size = MemorySizeExt.size(memory.memorySize) || MemorySizeExt.size(it.memorySize);
    const masked = writes && (it.opMask !== Register.None || isMaskMove(it));
    return { size, reads, writes, masked, address, mover: mover(address, it, used), bits };
  });
  for (const one of [...used, ...info.usedMemory()]) one.free();
  info.free();
  return operands.length === 0 ? undefined : { kind: 'step', length: it.length, operands };
}

function isBitTest({ mnemonic, op1Kind }: Iced.Instruction): boolean {
  const { Mnemonic, OpKind } = iced();
  const { Bt, Btc, Btr, Bts } = Mnemonic;
  return op1Kind === OpKind.Register && [Bt, Btc, Btr, Bts].includes(mnemonic);
}

function isMaskMove(it: Iced.Instruction): boolean {
  const { Mnemonic } = iced();
  return [
    Mnemonic.Maskmovq,
    Mnemonic.Maskmovdqu,
    Mnemonic.Vmaskmovdqu,
    Mnemonic.Vmaskmovps,
    Mnemonic.Vmaskmovpd,
    Mnemonic.Vpmaskmovd,
    Mnemonic.Vpmaskmovq,
  ].includes(it.mnemonic);
}

/**
 * The base or index, when that register is no operand of the instruction, named or implied. String operations
 * write theirs: they move it on.
 */
function mover(address: Address, it: Iced.Instruction, used: readonly Iced.UsedRegister[]): number {
  const { OpKind, OpAccess } = iced();
  const taken = new Set<number>();
  for (let i = 0; i < it.opCount; i++)
    if (it.opKind(i) === OpKind.Register) taken.add(part(it.opRegister(i))?.word ?? -1);
  for (const { access, register } of it.isStringInstruction ? [] : used)
    if (access !== OpAccess.Read) taken.add(part(register)?.word ?? -1);
  const movers = [address.base, address.scale === 1 ? address.index : -1];
  return movers.find((word) => word >= 0 && !taken.has(word)) ?? -1;
}

function addressOf(it: Iced.Instruction): Address {
  const { Register } = iced();
  const base = it.memoryBase === Register.RIP ? Word.RIP : (part(it.memoryBase)?.word ?? -1);
  return {
    base,
    index: part(it.memoryIndex)?.word ?? -1,
    scale: it.memoryIndexScale,
    // iced adds the address of the next instruction, which it takes to be 0 + its length.
    displacement: Number(BigInt.asIntN(64, it.memoryDisplacement)),
  };
}

const GENERAL = [
  Word.RAX,
  Word.RCX,
  Word.RDX,
  Word.RBX,
  Word.RSP,
  Word.RBP,
  Word.RSI,
  Word.RDI,
  Word.R8,
  Word.R9,
  Word.R10,
  Word.R11,
  Word.R12,
  Word.R13,
  Word.R14,
  Word.R15,
] as const;

/** The part of a general register that `register` is; undefined when it is none. */
function part(register: Iced.Register): Part | undefined {
  const { RegisterExt, Register } = iced();
  if (!RegisterExt.isGPR(register)) return undefined;
  const number = RegisterExt.number(RegisterExt.fullRegister(register));
  const highByte = register >= Register.AH && register <= Register.BH;
  return { word: GENERAL[number]!, byte: highByte ? 1 : 0, size: RegisterExt.size(register) };
}
