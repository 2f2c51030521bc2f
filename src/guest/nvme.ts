/**
 * A guest with an NVMe disk of ours, which QEMU has by vfio-pci and the guest by Linux's own driver: it makes
 * a partition and a file system, writes a tree of files, reboots, reads them again, has fio verify what it
 * writes, resets the controller amid writes in three ways, and asks nvme-cli. Afterwards the file system's
 * own checker looks at the file that was the disk.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import type { Image } from './image.js';
import { commandOf, type Memory, type Release, script } from './machine.js';
import { saidBy, UNMAPPED_BARS, under, withDescriptors } from './under.js';

/** How QEMU comes to the device. */
export interface Way {
  readonly release: Release;
  readonly memory: Memory;
  /**
   * By the address of the function, and an iommufd or a container, which is type1 or an iommufd that stands
   * in for it; or an iommufd, with the descriptors of the files.
   */
  readonly iommu: 'iommufd' | 'descriptors' | 'container type1' | 'container iommufd';
  readonly block: 512 | 4096;
}

export interface Amount {
  readonly files: number;
  readonly megabytes: number;
  readonly loops: number;
}

const BDF = '0000:6a:01.0';
const LIMIT_SECONDS = 1800;
const DISK_BYTES = 1 << 29;
const SERIAL = 'guest-1';
/** Where the first entry of a master boot record says at which block its partition begins. */
const FIRST_BLOCK = 454;

/** @throws Error with all that was said, when anything has gone wrong. */
export async function nvme(image: Image, work: string, way: Way, amount: Amount): Promise<void> {
  const disk = join(work, 'nvme.img');
  closeSync(openSync(disk, 'w'));
  truncateSync(disk, DISK_BYTES);
  const { release, memory, block } = way;
  const qemu = commandOf({
    qemu: script('qemu/fetch.sh', release),
    kernel: image.kernel,
    initrd: image.initrdWithNvme,
    memory,
    devices: devicesOf(way),
    words: { task: 'nvme', block, ...amount },
  });
  const device = `nvme,bdf=${BDF},file=${disk},queues=2,block=${block},serial=${SERIAL}`;
  const kind = /^container (.*)/.exec(way.iommu)?.[1];
  const options = kind === undefined ? [] : ['--container', kind];
  const command = way.iommu === 'descriptors' ? withDescriptors(qemu) : qemu;
  checkSaid(saidBy(await under([device], command, LIMIT_SECONDS, options), UNMAPPED_BARS), block);
  checkFileSystem(image, `${disk}?offset=${firstBlock(disk) * block}`);
}

/** The disk is behind a bridge, whose bus a guest can reset: it is a hot reset. */
function devicesOf({ iommu }: Way): string[] {
  const bridge = ['-device', 'pci-bridge,id=bridge,chassis_nr=1'];
  // Without an id QEMU 11 crashes over a device that is a descriptor.
  const device = 'vfio-pci,id=nvme,bus=bridge,addr=1';
  switch (iommu) {
    case 'iommufd':
      return ['-object', 'iommufd,id=i0', ...bridge, '-device', `${device},host=${BDF},iommufd=i0`];
    case 'descriptors':
      return ['-object', 'iommufd,id=i0,fd=20', ...bridge, '-device', `${device},fd=21,iommufd=i0`];
    default:
      return [...bridge, '-device', `${device},host=${BDF}`];
  }
}

function checkSaid(said: readonly string[], block: number): void {
  const sum = said[0]?.replace(/^written: /, '');
  const wanted = [
    `written: ${sum}`,
    `read again: ${sum}`,
    'fio has verified what it wrote',
    `sn:${SERIAL}`,
    'nn:1',
    'sqes:0x66',
    'cqes:0x44',
    `nsze:0x${(DISK_BYTES / block).toString(16)}`,
    'nlbaf:0',
    'critical_warning:0',
    'media_errors:0',
    ...REFUSALS,
    'a controller reset while a file was written',
    'a function level reset while a file was written',
    'a hot reset while a file was written',
    'end',
  ];
  if (said.join('\n') !== wanted.join('\n'))
    throw new Error(`the guest said\n${said.join('\n')}\nand not\n${wanted.join('\n')}`);
}

/** What nvme-cli calls the statuses. */
const INVALID_OPCODE =
  'Invalid Command Opcode: ' +
  'A reserved coded value or an unsupported value in the command opcode field(0x6001)';
const REFUSALS = [
  'get-log /dev/nvme0 --log-id=0x7f --log-len=512: ' +
    'NVMe status: Invalid Log Page: The log page indicated is invalid(0x6109)',
  'get-feature /dev/nvme0 --feature-id=0x7f: NVMe status: Invalid Field in Command: ' +
    'A reserved coded value or an unsupported value in a defined field(0x6002)',
  `format /dev/nvme0n1 --lbaf=0 --force: NVMe status: ${INVALID_OPCODE}`,
  'id-ns /dev/nvme0 --namespace-id=9: NVMe status: Invalid Namespace or Format: ' +
    'The namespace or the format of that namespace is invalid(0x600b)',
  'read /dev/nvme0n1 --start-block=0xfffffffff --data-size=4096 --block-count=0: NVMe status: ' +
    'LBA Out of Range: The command references an LBA that exceeds the size of the namespace(0x6080)',
  `admin-passthru /dev/nvme0 --opcode=0x7f: NVMe status: ${INVALID_OPCODE}`,
];

function firstBlock(disk: string): number {
  const file = openSync(disk, 'r');
  const field = Buffer.alloc(4);
  readSync(file, field, 0, field.length, FIRST_BLOCK);
  closeSync(file);
  return field.readUInt32LE();
}

function checkFileSystem({ e2fsck }: Image, partition: string): void {
  const [file, ...args] = [...e2fsck, '-f', '-n', partition];
  const { status, stdout, stderr } = spawnSync(file!, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`e2fsck ended with status ${status}\n${stdout}${stderr}`);
}
