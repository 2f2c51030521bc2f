/**
 * ioctls of other processes, taken out of their way: seccomp(2) with SECCOMP_RET_USER_NOTIF
 * (seccomp_unotify(2)).
 *
 * A process that has called `trapIoctls`, and all that it starts, sleep in every ioctl(2) whose number is
 * among those given, until the holder of the listener (IoctlListener) has answered. All other system calls
 * pass; the kernel knows that and asks the filter about ioctl(2) alone. 32-bit and x32 calls pass too: our
 * structs are 64-bit ones.
 */
import { Errno, Refusal } from './errno.js';
import { addressOf, check, lastErrno, libc } from './ffi.js';

const SECCOMP_SET_MODE_FILTER = 1;
/** Without it, older kernels turn on a slow mitigation against Spectre in every process with a filter. */
const FLAG_SPEC_ALLOW = 1 << 2;
const FLAG_NEW_LISTENER = 1 << 3;
/** Once the listener has read a call, only a fatal signal interrupts it. Since 5.19. */
const FLAG_WAIT_KILLABLE_RECV = 1 << 5;
const RET_USER_NOTIF = 0x7fc00000;
const RET_ALLOW = 0x7fff0000;

/** Classic BPF (linux/filter.h): load a word of struct seccomp_data, jump if equal, return. */
const LOAD = 0x20;
const JUMP_EQUAL = 0x15;
const RETURN = 0x06;
/**
 * struct seccomp_data: nr 0, arch 4, ip 8, args 16. The kernel takes the low half of ioctl's second argument.
 */
const DATA_NR = 0;
const DATA_ARCH = 4;
const DATA_COMMAND = 24;

/** AUDIT_ARCH_*, and the numbers of ioctl(2) and seccomp(2). */
const machines: Partial<Record<string, { arch: number; ioctl: number; seccomp: number }>> = {
  x64: { arch: 0xc000003e, ioctl: 16, seccomp: 317 },
  arm64: { arch: 0xc00000b7, ioctl: 29, seccomp: 277 },
};

/** The filter as a program of struct sock_filter: code u16, jt u8, jf u8, k u32. */
export function ioctlFilter(
  machine: { arch: number; ioctl: number },
  commands: readonly number[],
): Uint8Array {
  const pass = 5 + commands.length;
  const step = (at: number, k: number, yes: number, no: number) =>
    [JUMP_EQUAL, yes - at - 1, no - at - 1, k] as const;
  const program: (readonly [code: number, yes: number, no: number, k: number])[] = [
    [LOAD, 0, 0, DATA_ARCH],
    step(1, machine.arch, 2, pass),
    [LOAD, 0, 0, DATA_NR],
    step(3, machine.ioctl, 4, pass),
    [LOAD, 0, 0, DATA_COMMAND],
    ...commands.map((command, i) => step(5 + i, command, pass + 1, 6 + i)),
    [RETURN, 0, 0, RET_ALLOW],
    [RETURN, 0, 0, RET_USER_NOTIF],
  ];
  const bytes = new DataView(new ArrayBuffer(Math.max(128, 8 * program.length)));
  for (const [i, [code, yes, no, k]] of program.entries()) {
    bytes.setUint16(8 * i, code, true);
    bytes.setUint8(8 * i + 2, yes);
    bytes.setUint8(8 * i + 3, no);
    bytes.setUint32(8 * i + 4, k, true);
  }
  return new Uint8Array(bytes.buffer).subarray(0, 8 * program.length);
}

/**
 * Traps the ioctls `commands` of this thread and of what it starts. Needs CAP_SYS_ADMIN in the user
 * namespace, so that set-user-id programs need not be given up (PR_SET_NO_NEW_PRIVS).
 * @returns the listener: close-on-exec.
 * @throws Refusal EBUSY another listener is in force already; EACCES no CAP_SYS_ADMIN; EINVAL, ENOSYS the
 * kernel has none of this.
 */
export function trapIoctls(commands: readonly number[]): number {
  const machine = machines[process.arch];
  if (machine === undefined) throw new Refusal(Errno.ENOSYS, `seccomp is not known on ${process.arch}`);
  const filter = ioctlFilter(machine, commands);
  const header = new Uint8Array(128);
  const view = new DataView(header.buffer);
  view.setUint16(0, filter.length / 8, true);
  view.setBigUint64(8, BigInt(addressOf(filter)), true);
  const install = (flags: number) =>
    libc().syscall(machine.seccomp, SECCOMP_SET_MODE_FILTER, flags, addressOf(header));
  const flags = FLAG_NEW_LISTENER | FLAG_SPEC_ALLOW;
  let listener = install(flags | FLAG_WAIT_KILLABLE_RECV);
  if (listener === -1 && lastErrno() === Errno.EINVAL) listener = install(flags);
  return check(listener, 'the ioctls that return new descriptors cannot be trapped');
}
