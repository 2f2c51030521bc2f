/** Target `calls`: ioctls, reads and writes on all files of a machine, by a process that is none. */
import { InProcess } from '../../client/in-process.js';
import { Refusal } from '../../linux/errno.js';
import { Machine } from '../../machine/machine.js';
import { ioctlNumber, nativeIoctls } from '../../uapi/ioasid.js';
import { Pieces, strict, type Target } from './target.js';

const PAGE = 4096;
/** Small, so that no input takes long. */
const quotas = { pasidQuota: 64, mappingQuota: 256, objectQuota: 64, tableQuota: 256 };
const machine = await Machine.create({ devices: ['dsa,mdevs=1', 'edu'], iommuTest: true, ...quotas });
const numbers = [
  ...(Object.keys(nativeIoctls) as (keyof typeof nativeIoctls)[]).map(ioctlNumber),
  // Those of VFIO and iommufd, whose numbers have no size: _IO(';', 100) to _IO(';', 160).
  ...Array.from({ length: 61 }, (_, n) => 0x3b64 + n),
];

export const fuzz: Target = (data) =>
  strict(() => {
    const program = new InProcess(machine);
    const files = machine.nodes.map(({ path }) => attempt(() => program.open(path)) ?? -1);
    files.push(program.createMemfd(16 * PAGE).fd, program.createEventfd().fd);
    const block = program.allocate(4 * PAGE);
    try {
      for (const pieces = new Pieces(data); !pieces.ended; )
        attempt(() => call(program, files, block, pieces));
    } finally {
      program.exit();
    }
  });

function call(
  program: InProcess,
  files: number[],
  block: { readonly address: number; readonly bytes: Uint8Array },
  pieces: Pieces,
): void {
  const what = pieces.byte();
  const fd = files[pieces.byte() % files.length]!;
  const number = numbers[pieces.byte() % numbers.length]!;
  const bytes = pieces.some();
  const offset = pieces.byte() * 2 ** 40 + pieces.byte() * 8;
  block.bytes.set(bytes);
  if (what % 8 === 0) program.pread(fd, offset, new Uint8Array(bytes.length));
  else if (what % 8 === 1) program.pwrite(fd, offset, bytes);
  else if (what % 8 === 2) files.push(program.dup(fd));
  else {
    const result = program.ioctlAt(fd, number, what % 8 === 3 ? pieces.byte() : block.address);
    if (result > 2) files.push(result);
  }
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}
