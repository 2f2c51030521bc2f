/**
 * System calls of other processes, taken out of their way: seccomp(2) with SECCOMP_RET_USER_NOTIF
 * (seccomp_unotify(2)).
 *
 * A process that has done `trapped`, and all that it starts, sleep in every call that a rule names, until
 * the holder of the listener (CallListener) has answered. All others pass; the kernel knows that of a call
 * that no rule is about, and does not ask the filter. 32-bit and x32 calls pass too: our structs are 64-bit
 * ones.
 */
import type { Step } from './scripted-process.js';
import type { TrappedCall } from './trapped-call.js';

const SECCOMP_SET_MODE_FILTER = 1;
/** Without it, older kernels turn on a slow mitigation against Spectre in every process with a filter. */
const FLAG_SPEC_ALLOW = 1 << 2;
const FLAG_NEW_LISTENER = 1 << 3;
/** Once the listener has read a call, only a fatal signal interrupts it. Since 5.19. */
const FLAG_WAIT_KILLABLE_RECV = 1 << 5;
const RET_USER_NOTIF = 0x7fc00000;
const RET_ALLOW = 0x7fff0000;

/** Classic BPF (linux/filter.h): load a word of struct seccomp_data, mask it, jump if equal, return. */
const LOAD = 0x20;
const AND = 0x54;
const JUMP_EQUAL = 0x15;
const RETURN = 0x06;
/** struct seccomp_data: nr 0, arch 4, ip 8, args 16; of each argument the low half comes first. */
const PROGRAM_BYTES = 16;
const DATA_NR = 0;
const DATA_ARCH = 4;
const DATA_ARGUMENTS = 16;

/** AUDIT_ARCH_*, and the numbers of system calls. */
const machines: Partial<Record<string, Machine>> = {
  x64: { arch: 0xc000003e, ioctl: 16, mmap: 9, read: 0, sigaction: 13 },
  arm64: { arch: 0xc00000b7, ioctl: 29, mmap: 222, read: 63, sigaction: 134 },
};
type Machine = Readonly<Record<'arch' | 'ioctl' | 'mmap' | 'read' | 'sigaction', number>>;

/** The calls of number `nr` are trapped whose argument has one of `values` in the bits of `mask`. */
export interface TrapRule {
  readonly nr: number;
  /** Which argument; its low half is looked at. */
  readonly argument: number;
  readonly mask?: number;
  readonly values: readonly number[];
  /** They pass, though, when this argument has this value, in its low half. */
  readonly unless?: { readonly argument: number; readonly value: number };
}

/** MAP_SHARED, and not MAP_ANONYMOUS. */
const SHARED = 1;
const ANONYMOUS = 0x20;
/** MAP_DENYWRITE and MAP_EXECUTABLE, which the kernel ignores. */
const IGNORED = [0x800, 0x1000];
/** A shared mapping that a tracer has its program make: with both of these flags it is not trapped. */
export const SHARED_BY_TRACER = SHARED | IGNORED[0]! | IGNORED[1]!;

/** The ioctls `commands`. The kernel takes the low half of their second argument. */
export function ioctlRule(commands: readonly number[], arch: string = process.arch): TrapRule {
  return { nr: machines[arch]?.ioctl ?? -1, argument: 1, values: commands };
}

/** Shared mappings of files, but for those that a tracer makes. */
export function sharedMappingRule(arch: string = process.arch): TrapRule {
  const values = [SHARED, ...IGNORED.map((flag) => SHARED | flag)];
  return { nr: machines[arch]?.mmap ?? -1, argument: 3, mask: SHARED_BY_TRACER | ANONYMOUS, values };
}

/** Stands in the fifth argument of a call of rt_sigaction(2), which has four, that a tracer injects. */
export const TRACERS_CALL = 0x3bfd3bfd;

/** Calls of rt_sigaction(2) for `signals`, but those that a tracer injects. */
export function signalActionRule(signals: readonly number[], arch: string = process.arch): TrapRule {
  const unless = { argument: 4, value: TRACERS_CALL };
  return { nr: machines[arch]?.sigaction ?? -1, argument: 0, values: signals, unless };
}

/** Is the call one of rt_sigaction(2)? */
export function isSignalAction({ nr }: TrappedCall): boolean {
  return nr === machines[process.arch]?.sigaction;
}

/** Reads of no bytes, which a FUSE server is not asked. */
export function emptyReadRule(arch: string = process.arch): TrapRule {
  return { nr: machines[arch]?.read ?? -1, argument: 2, values: [0] };
}

/** Is the call one of ioctl(2)? */
export function isIoctl({ nr }: TrappedCall): boolean {
  return nr === machines[process.arch]?.ioctl;
}

/** Is it one of read(2), and for no bytes? The filter has seen the low half of its count. */
export function isEmptyRead({ nr, args }: TrappedCall): boolean {
  return nr === machines[process.arch]?.read && args[2] === 0;
}

/** Is the call one of mmap(2)? */
export function isMapping({ nr }: TrappedCall): boolean {
  return nr === machines[process.arch]?.mmap;
}

/** The descriptor that the call is on. */
export function descriptorOf(call: TrappedCall): number {
  return call.ints[isMapping(call) ? 4 : 0]!;
}

type Instruction = readonly [code: number, k: number, yes: number, no: number];

/**
 * The filter as a program of struct sock_filter: code u16, jt u8, jf u8, k u32. It ends with two steps, to
 * let the call pass and to trap it, at `pass` and after it.
 */
export function trapFilter(arch: number, rules: readonly TrapRule[]): Uint8Array {
  const lengths = rules.map(
    ({ mask, values, unless }) =>
      2 + (mask === undefined ? 0 : 1) + values.length + (unless === undefined ? 0 : 2),
  );
  const pass = lengths.reduce((sum, length) => sum + length, 3);
  const jump = (at: number, k: number, yes: number, no: number): Instruction => [
    JUMP_EQUAL,
    k,
    yes - at - 1,
    no - at - 1,
  ];
  const program: Instruction[] = [[LOAD, DATA_ARCH, 0, 0], jump(1, arch, 2, pass), [LOAD, DATA_NR, 0, 0]];
  for (const [i, { nr, argument, mask, values, unless }] of rules.entries()) {
    const next = program.length + lengths[i]!;
    program.push(jump(program.length, nr, program.length + 1, next));
    if (unless !== undefined) {
      program.push([LOAD, DATA_ARGUMENTS + 8 * unless.argument, 0, 0]);
      program.push(jump(program.length, unless.value, pass, program.length + 1));
    }
    program.push([LOAD, DATA_ARGUMENTS + 8 * argument, 0, 0]);
    if (mask !== undefined) program.push([AND, mask, 0, 0]);
    for (const [at, value] of values.entries()) {
      const last = at === values.length - 1;
      program.push(jump(program.length, value, pass + 1, last ? pass : program.length + 1));
    }
  }
  program.push([RETURN, RET_ALLOW, 0, 0], [RETURN, RET_USER_NOTIF, 0, 0]);
  return encode(program);
}

function encode(program: readonly Instruction[]): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(Math.max(128, 8 * program.length)));
  for (const [i, [code, k, yes, no]] of program.entries()) {
    bytes.setUint16(8 * i, code, true);
    bytes.setUint8(8 * i + 2, yes);
    bytes.setUint8(8 * i + 3, no);
    bytes.setUint32(8 * i + 4, k, true);
  }
  return new Uint8Array(bytes.buffer).subarray(0, 8 * program.length);
}

/**
 * Traps the calls of `rules`, of the process that does this and of what it starts. Needs CAP_SYS_ADMIN in the
 * user namespace, so that set-user-id programs need not be given up (PR_SET_NO_NEW_PRIVS). The result is the
 * listener, close-on-exec: EBUSY another one is in force already; EACCES no CAP_SYS_ADMIN; EINVAL, ENOSYS the
 * kernel has none of this, or not `killable`. undefined: it is not known on this processor.
 */
export function trapped(rules: readonly TrapRule[], killable: boolean): Step | undefined {
  const machine = machines[process.arch];
  if (machine === undefined) return undefined;
  const filter = trapFilter(machine.arch, rules);
  /** struct sock_fprog, and the filter behind it. */
  const program = (at: number) => {
    const bytes = Buffer.alloc(PROGRAM_BYTES + filter.length);
    bytes.writeUInt16LE(filter.length / 8, 0);
    bytes.writeBigUInt64LE(BigInt(at + PROGRAM_BYTES), 8);
    bytes.set(filter, PROGRAM_BYTES);
    return bytes;
  };
  const flags = FLAG_NEW_LISTENER | FLAG_SPEC_ALLOW | (killable ? FLAG_WAIT_KILLABLE_RECV : 0);
  const args = [SECCOMP_SET_MODE_FILTER, flags, program];
  return { call: 'seccomp', args, what: 'system calls cannot be trapped' };
}
