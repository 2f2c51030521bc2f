/**
 * Runs programs under `ioasid run`, for as long as they may take, and reads what guests have said on their
 * consoles.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const bin = fileURLToPath(new URL('../../bin/ioasid', import.meta.url));

export interface Outcome {
  /** Undefined: killed, after its time. */
  readonly status: number | undefined;
  readonly output: string;
  /** What the server, and QEMU, have complained of. */
  readonly complaints: string;
}

/**
 * Runs `command` with `devices`; without any, without a server too. It may take `seconds`.
 * @param options further ones of `ioasid run`.
 */
export function under(
  devices: readonly string[],
  command: readonly string[],
  seconds: number,
  options: readonly string[] = [],
): Promise<Outcome> {
  const all = [...options, ...devices.flatMap((device) => ['--device', device])];
  const [file, ...args] =
    devices.length === 0 ? command : [process.execPath, bin, 'run', ...all, '--', ...command];
  return new Promise((resolve, reject) => {
    const child = spawn(file!, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    const timer = setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), seconds * 1000);
    let [output, complaints] = ['', ''];
    child.stdout.setEncoding('latin1').on('data', (part: string) => (output += part));
    child.stderr.setEncoding('latin1').on('data', (part: string) => (complaints += part));
    child.on('error', reject);
    child.on('close', (status) => {
      clearTimeout(timer);
      resolve({ status: status ?? undefined, output, complaints });
    });
  });
}

/** The program that becomes QEMU opens the files of an iommufd and of the first device: 20 and 21. */
export function withDescriptors(qemu: readonly string[]): string[] {
  const opened = 'exec 20<>/dev/iommu 21<>/dev/vfio/devices/vfio0; exec "$@"';
  return ['bash', '-c', opened, 'launch', ...qemu];
}

/** QEMU says of every BAR that it cannot map it for DMA: an iommufd takes none. */
export const UNMAPPED_BARS = [
  /IOMMU_IOAS_MAP failed: Bad address, PCI BAR/,
  /vfio_container_dma_map\(.*-14 \(Bad address\)/,
  /PCI peer-to-peer transactions on BARs are not supported/,
  /VFIO dma-buf not supported in kernel, using mmap fallback/,
];

/** The last word of the kernel. */
const FAREWELL = /^\[ *[\d.]+\] reboot: /;

/**
 * What the guest has said to us. @throws Error when QEMU, the server or the guest's kernel has complained of
 * anything, but for what `known` describes.
 */
export function saidBy({ status, output, complaints }: Outcome, known: readonly RegExp[] = []): string[] {
  const lines = output.split('\n').map((line) => line.replace(/\r$/, ''));
  const others = lines.filter((line) => line !== '' && !line.startsWith('guest: ') && !FAREWELL.test(line));
  const serious = complaints
    .split('\n')
    .filter((line) => line !== '' && !known.some((each) => each.test(line)));
  if (status !== 0 || others.length > 0 || serious.length > 0)
    throw new Error(`ended with status ${status}\n${output}\n${complaints}`);
  return lines.filter((line) => line.startsWith('guest: ')).map((line) => line.slice('guest: '.length));
}
