/**
 * A server in a memory cgroup of its own: what devices write into holes of a client's memfd does not get it
 * killed. Where the client has the file mapped it is charged, and where it has not the server is, up to three
 * quarters of its group.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { COMPLETION_BYTES, DsaQueue, decodeCompletion } from '../client/dsa.js';
import { Ioasid } from '../client/ioasid.js';
import { LinuxTransport } from '../client/linux-transport.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { Opcode, Status } from '../devices/dsa/descriptor.js';
import { Refusal } from '../linux/errno.js';
import { libc } from '../linux/ffi.js';
import { canGuardHoles } from '../linux/hole-guard.js';
import { MemoryGroup } from '../testkit/memory-group.js';
import { ioasid, Running, self, until, withoutFuse } from '../testkit/processes.js';
import { launchMode } from './launcher-process.js';

const PAGE = 4096;
const MIB = 2 ** 20;
const LIMIT = 320 * MIB;
const BYTES = 384 * MIB;
const IOVA = 2 ** 30;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
/** Mappings. */
const AT_ONCE = 2 ** 16;
const OTHER = ['--reuid=65534', '--regid=65534', '--clear-groups'];

const skip =
  withoutFuse ||
  (launchMode() === 'root' ? false : 'mounting for all needs root here') ||
  (canGuardHoles() ? false : 'userfaultfd(2) is not allowed here') ||
  MemoryGroup.skip;

/** A client of the server below `folder` with a device that reaches a sparse memfd. */
function clientOf(folder: string, bytes = BYTES) {
  const client = new LinuxTransport(folder);
  const context = Ioasid.open(client);
  const pasid = context.alloc();
  const device = VfioDeviceFile.open(client, 'vfio0');
  device.enable();
  device.authorize(context, pasid);
  const file = client.createMemfd(bytes);
  const record = client.createMemfd(PAGE);
  context.mapFile(pasid, file.fd, 0, bytes, { iova: IOVA });
  context.mapFile(pasid, record.fd, 0, PAGE, { iova: PAGE });
  /** Has the device fill the whole file. */
  const fill = async () => {
    record.write(0, new Uint8Array(COMPLETION_BYTES));
    const pattern = [1, 2] as const;
    new DsaQueue(device).submit({
      opcode: Opcode.FILL,
      pasid,
      completion: PAGE,
      destination: IOVA,
      pattern,
      size: bytes,
    });
    const completion = () => decodeCompletion(record.read(0, COMPLETION_BYTES));
    await until(() => completion().status !== Status.NONE, 'the device is done');
    return completion();
  };
  return { client, context, file, fill };
}

/** A context with `count` mappings, a power of two. */
function takeMappings(client: LinuxTransport, count: number): void {
  const context = Ioasid.open(client);
  const pasid = context.alloc();
  context.mapFile(pasid, client.createMemfd(PAGE).fd, 0, PAGE, { iova: IOVA });
  for (let bytes = PAGE; bytes < count * PAGE; bytes *= 2)
    context.copy(pasid, pasid, IOVA, bytes, { iova: IOVA + bytes });
}

describe('a server in a memory cgroup', { skip }, () => {
  const scratch = mkdtempSync(join(tmpdir(), 'ioasid-charged-'));
  chmodSync(scratch, 0o755);
  after(() => rmSync(scratch, { recursive: true }));

  it('fills holes that the owner has not mapped as far as it has room, others without end', async () => {
    const group = new MemoryGroup();
    group.limit(LIMIT);
    const folder = join(scratch, 'served');
    const runner = { ...self, prefix: group.prefix };
    const server = Running.ioasid(['serve', '--device', 'dsa,mdevs=1', folder], runner);
    await server.says(`${folder}/vfio/devices/vfio0`);
    const { context, file, fill } = clientOf(folder);

    const refused = await fill();
    assert.notEqual(refused.status, Status.SUCCESS);
    assert.ok(
      refused.bytesCompleted > 0 && refused.bytesCompleted < LIMIT,
      `${refused.bytesCompleted} bytes`,
    );
    const { faults } = (
      JSON.parse(ioasid(['ls', '--json']).stdout) as { pid: number; faults: unknown }[]
    ).find(({ pid }) => pid === server.pid)!;
    assert.match(
      JSON.stringify(faults),
      /has a hole at 0x\w+, which its owner has not mapped, and the server/,
    );

    const charged = group.usage;
    libc().mmap(0, BYTES, PROT_READ_WRITE, MAP_SHARED, file.fd, 0);
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal((await fill()).status, Status.SUCCESS);
    assert.ok(group.usage < charged + 32 * MIB, `${(group.usage - charged) / MIB} MiB more`);
    assert.deepEqual([group.kills, server.process.exitCode], [0, null]);
    assert.equal(context.info().pasids, 1, 'it serves');
    server.kill('SIGTERM');
    await server.ended;
    await group.remove();
  });

  it('that has filled holes has as many mappings as there is memory for, and some for others', async () => {
    const group = new MemoryGroup();
    group.limit(LIMIT);
    const folder = join(scratch, 'hoarded');
    const runner = { ...self, prefix: group.prefix };
    const server = Running.ioasid(['serve', '--device', 'dsa,mdevs=1', folder], runner);
    await server.says(`${folder}/vfio/devices/vfio0`);
    const { client, context, fill } = clientOf(folder);
    assert.notEqual((await fill()).status, Status.SUCCESS);
    assert.throws(
      () => {
        for (;;) takeMappings(client, AT_ONCE);
      },
      (error) =>
        error instanceof Refusal && error.code === 'ENOSPC' && / bytes of memory of /.test(error.reason),
    );
    assert.deepEqual([group.kills, server.process.exitCode], [0, null]);
    assert.equal(context.info().pasids, 1, 'it serves');
    const other = spawnSync('setpriv', [...OTHER, 'sh', '-c', ': <>"$0/ioasid" <>"$0/iommu"', folder]);
    assert.equal(other.status, 0, String(other.stderr));
    server.kill('SIGTERM');
    await server.ended;
    await group.remove();
  });

  it('fills none with --fill-share 0, but those that the owner pays for', async () => {
    const folder = join(scratch, 'none');
    const server = Running.ioasid(['serve', '--device', 'dsa,mdevs=1', '--fill-share', '0', folder]);
    await server.says(`${folder}/vfio/devices/vfio0`);
    const { file, fill } = clientOf(folder, MIB);
    const refused = await fill();
    assert.deepEqual([refused.status === Status.SUCCESS, refused.bytesCompleted], [false, 0]);
    libc().mmap(0, MIB, PROT_READ_WRITE, MAP_SHARED, file.fd, 0);
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal((await fill()).status, Status.SUCCESS);
    server.kill('SIGTERM');
    await server.ended;
  });
});
