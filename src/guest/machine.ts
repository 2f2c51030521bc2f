/**
 * The virtual machine that is a guest: QEMU as Debian ships it, without KVM, and Debian's kernel with an
 * initramfs of ours. Its devices are what QEMU is told about them: those of an `ioasid run` around it, by
 * vhost-vdpa, or QEMU's own.
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Debian releases whose backports have a QEMU: 10.0 and 11.1. */
export type Release = 'bookworm' | 'trixie';

/** How the guest's memory is there: for QEMU alone, or as a memfd that others can map. */
export type Memory = 'private' | 'memfd';

/** A guest, and what it boots from: paths. */
export interface Guest {
  readonly qemu: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly memory: Memory;
  /** QEMU's arguments about devices. */
  readonly devices: readonly string[];
  /** What qemu/linux-init.sh gets as variables. */
  readonly words: Readonly<Record<string, string | number>>;
}

const MACHINE = [
  ...['-machine', 'q35,accel=tcg', '-smp', '2', '-m', '512', '-display', 'none', '-nodefaults'],
  ...['-monitor', 'none', '-serial', 'stdio'],
];
/** Of the same name, so that a guest that was saved with one goes on with the other. */
const MEMORY: Readonly<Record<Memory, string>> = {
  private: 'memory-backend-ram,id=memory,size=512M',
  memfd: 'memory-backend-memfd,id=memory,size=512M,share=on',
};
const KERNEL = [
  ...['console=ttyS0', 'quiet', 'loglevel=3', 'panic=-1', 'random.trust_cpu=on'],
  // Emulated time stamp counters are no clock, and emulated timers may be late.
  ...['tsc=unstable', 'clocksource=hpet', 'no_timer_check'],
];

/** The disk that is the first device of the `ioasid run` around QEMU. */
export const ourDisk = ['-device', 'vhost-vdpa-device-pci,vhostdev=/dev/vhost-vdpa-0'];

/** A network device that is number `index`. `options` are those of QEMU's virtio-net-pci. */
export function ourNetwork(index: number, options = ''): string[] {
  return [
    ...['-netdev', `vhost-vdpa,id=net${index},vhostdev=/dev/vhost-vdpa-${index}`],
    ...['-device', `virtio-net-pci,netdev=net${index},romfile=${options}`],
  ];
}

/** The disk as QEMU's own device, as it is without further options. */
export function qemuDisk(file: string): string[] {
  return ['-drive', `file=${file},format=raw,if=none,id=disk`, '-device', 'virtio-blk-pci,drive=disk'];
}

/** The disk as an NVMe controller of QEMU's. */
export function qemuNvme(file: string): string[] {
  return ['-drive', `file=${file},format=raw,if=none,id=disk`, '-device', 'nvme,drive=disk,serial=disk'];
}

/** QEMU and its arguments. */
export function commandOf({ qemu, kernel, initrd, memory, devices, words }: Guest): string[] {
  const said = Object.entries(words).map(([name, value]) => `${name}=${value}`);
  return [
    ...[qemu, ...MACHINE, '-object', MEMORY[memory], '-machine', 'memory-backend=memory'],
    ...['-kernel', kernel, '-initrd', initrd, '-append', [...KERNEL, ...said].join(' '), ...devices],
  ];
}

/** What a script of ours prints last, with what it says of its work on standard error. */
export function script(path: string, ...args: string[]): string {
  const file = fileURLToPath(new URL(`../../${path}`, import.meta.url));
  const said = execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  return said.trim().split('\n').at(-1)!;
}
