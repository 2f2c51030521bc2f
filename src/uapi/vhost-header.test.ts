/**
 * The ABI of vhost-vdpa files and the system's <linux/vhost.h> are two texts of one ABI; this test holds them
 * together. The system's may be older: what it does not have is compared on machines where it has.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { InProcess } from '../client/in-process.js';
import { Errno, Refusal } from '../linux/errno.js';
import { Machine } from '../machine/machine.js';
import { missingCompiler } from '../testkit/c-program.js';
import { evaluate, layoutExpressions, macros } from '../testkit/c-values.js';
import {
  ConfigStruct,
  IovaRangeStruct,
  VHOST_TYPE,
  VringAddrStruct,
  VringFileStruct,
  VringStateStruct,
} from './vhost.js';
import { MessageStruct } from './vhost-iotlb.js';

const withCc = { skip: missingCompiler('cc') };
const HEADER = 'linux/vhost.h';

const directory = mkdtempSync(join(tmpdir(), 'ioasid-vhost-header-'));
after(() => rmSync(directory, { recursive: true, force: true }));
writeFileSync(join(directory, 'disk.img'), new Uint8Array(1 << 16));

/** The last fields of a message stand in a union of fixed size. */
const MESSAGE_BYTES = 72;
const messageFields: Readonly<Record<string, string>> = {
  type: 'type',
  asid: 'asid',
  iova: 'iotlb.iova',
  size: 'iotlb.size',
  uaddr: 'iotlb.uaddr',
  perm: 'iotlb.perm',
  iotlb_type: 'iotlb.type',
};

test('the structs of vhost-vdpa files are what <linux/vhost.h> says', withCc, () => {
  const structs = [VringStateStruct, VringFileStruct, VringAddrStruct, ConfigStruct, IovaRangeStruct];
  const message = layoutExpressions(MessageStruct, (field) => messageFields[field] ?? field).filter(
    ([expression]) => !/pad|^sizeof\(struct/.test(expression),
  );
  const expected = new Map([
    ...structs.flatMap((struct) => layoutExpressions(struct, (field) => field)),
    ...message,
    ['sizeof(struct vhost_msg)', MESSAGE_BYTES],
    ['sizeof(struct vhost_msg_v2)', MESSAGE_BYTES],
    ['offsetof(struct vhost_msg, iotlb.type)', MessageStruct.at.iotlb_type],
    ['VHOST_VIRTIO', VHOST_TYPE],
  ] as [string, number][]);
  assert.equal(message.length, 14);
  assert.deepEqual(evaluate([HEADER], [...expected.keys()]), expected);
});

/** Ioctls of other backends, and those that vhost-vdpa refuses by ENOTTY itself. */
const notServed = /^VHOST_(NET|SCSI|VSOCK|NEW|FREE|ATTACH|GET_VRING_WORKER)|LOG|ENDIAN|RESET_OWNER|ARRAY$/;

test('every ioctl of <linux/vhost.h> for such files is served, and no other', withCc, async () => {
  const names = [...macros(HEADER)]
    .filter(([name, value]) => name.startsWith('VHOST_') && /^_IO[RW]*\(/.test(value))
    .map(([name]) => name);
  assert.ok(names.length >= 40, `only ${names} were found`);
  const machine = await Machine.create({ devices: ['virtio-blk,file=disk.img'], baseDirectory: directory });
  const program = new InProcess(machine);
  const fd = program.open('vhost-vdpa-0');
  const numbers = evaluate([HEADER], names);
  program.ioctl(fd, numbers.get('VHOST_SET_OWNER')!, new Uint8Array(64));
  const unknown = names.filter((name) => {
    try {
      program.ioctl(fd, numbers.get(name)!, new Uint8Array(64));
    } catch (error) {
      assert.ok(error instanceof Refusal, name);
      return error.errno === Errno.ENOTTY;
    }
    return false;
  });
  assert.deepEqual(unknown.sort(), names.filter((name) => notServed.test(name)).sort());
});
