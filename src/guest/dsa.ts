/**
 * A guest with a dsa of ours, which Linux's own idxd drives: accel-config, the kernel's dmatest and Intel's
 * dsa_test, all unmodified (qemu/dsa-init.sh). In QEMU 11 there is an IOMMU before it, whose first-stage
 * tables are the guest's, so that work queues of users work in the address spaces of processes.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Entry, initramfs } from '../testkit/initramfs.js';
import { filesOf } from './image.js';
import { commandOf, type Release, script } from './machine.js';
import { saidBy, UNMAPPED_BARS, under, withDescriptors } from './under.js';

const LIMIT_SECONDS = 600;
/** Operations and batches of 16 opcodes, but for a batch of drains, on two work queues. */
const RUNS = 62;
const sources = fileURLToPath(new URL('../../qemu/', import.meta.url));

/** @throws Error with all that was said, when anything has gone wrong. */
export async function dsa(work: string, release: Release, iterations: number): Promise<void> {
  const { kernel, initrd } = makeImage(work);
  const shared = release === 'trixie';
  const command = commandOf({
    ...{ qemu: script('qemu/fetch.sh', release), kernel, initrd, memory: 'private' },
    devices: shared ? [...PROCESSOR, ...IOMMU, ...DEVICE] : [...PROCESSOR, ...DEVICE],
    words: {
      ...{ iterations, sva: shared ? 1 : 0, setcpuid: 'movdir64b,enqcmd' },
      ...(shared && { intel_iommu: 'on,sm_on' }),
    },
  });
  const outcome = await under(['dsa,portal=split'], withDescriptors(command), LIMIT_SECONDS);
  checkSaid(saidBy(outcome, UNMAPPED_BARS), iterations, shared ? RUNS : 0);
}

/** With five levels of page tables the kernel's driver of the IOMMU has no shared addresses here. */
const PROCESSOR = ['-cpu', 'max,-la57'];
const IOMMU = [
  '-device',
  'intel-iommu,scalable-mode=on,fsts=on,svm=on,pasid-bits=20,device-iotlb=on,intremap=on,caching-mode=on',
];
const DEVICE = ['-object', 'iommufd,id=i0,fd=20', '-device', 'vfio-pci,id=dsa,fd=21,iommufd=i0'];

function checkSaid(said: readonly string[], iterations: number, runs: number): void {
  const copied = `dmatest: summary ${iterations} tests, 0 failures`;
  const wanted = [copied, `dsa_test: ${runs} runs`, copied, 'end'];
  if (said.join('\n') !== wanted.join('\n'))
    throw new Error(`the guest said\n${said.join('\n')}\nand not\n${wanted.join('\n')}`);
}

/** The kernel with idxd, and an initramfs with the programs. */
function makeImage(work: string): { readonly kernel: string; readonly initrd: string } {
  const home = script('oracle/idxd.sh');
  const initrd = join(work, 'initrd-dsa');
  const files = [
    ...['dev', 'proc', 'sys', 'bin', 'sbin', 'usr', 'usr/bin', 'usr/sbin'].map((path) => ({ path })),
    ...['lib', 'lib64', 'mod'].map((path) => ({ path })),
    { path: 'bin/busybox', data: readFileSync(join(script('qemu/linux.sh'), 'base/bin/busybox')) },
    ...programs(script('dsa/fetch.sh')),
    ...filesOf(join(home, 'mod'), 'mod'),
    { path: 'say.sh', data: readFileSync(join(sources, 'say.sh')) },
    { path: 'init', data: readFileSync(join(sources, 'dsa-init.sh')) },
  ];
  writeFileSync(initrd, initramfs(files));
  return { kernel: join(home, 'vmlinuz'), initrd };
}

/** Intel's, with the libraries that they load. */
function programs(root: string): Entry[] {
  const libraries = ['libaccel-config.so.1', 'libjson-c.so.5', 'libc.so.6'];
  const paths: readonly (readonly [string, string])[] = [
    ['bin/accel-config', 'usr/bin/accel-config'],
    ['bin/dsa_test', 'usr/libexec/accel-config/test/dsa_test'],
    ['lib64/ld-linux-x86-64.so.2', 'usr/lib64/ld-linux-x86-64.so.2'],
    ...libraries.map((name) => [`lib/${name}`, `usr/lib/x86_64-linux-gnu/${name}`] as const),
  ];
  return paths.map(([path, file]) => ({ path, data: readFileSync(join(root, file)) }));
}
