/**
 * Bad input from real processes: pointers that lead nowhere, callers that die in the middle of a call, random
 * descriptors, and processes that come and go. Always an errno, nothing changed, nothing left behind, and a
 * server that goes on.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Opcode, Status } from '../../devices/dsa/descriptor.js';
import { type Actor, rulesOn } from '../../testkit/actor.js';
import { DsaContext, DsaFile, hexadecimal, IOVA, PAGE, REGION_SPAN } from '../../testkit/dsa-actor.js';
import { Random } from '../../testkit/random.js';
import { contextIoctls, ioctlNumber, nativeIoctls, UNMAP_ALL } from '../../uapi/ioasid.js';
import { type Struct, setU32, setU64 } from '../../uapi/struct.js';
import {
  DeviceInfoStruct,
  IRQ_SET_ACTION_TRIGGER,
  IRQ_SET_DATA_EVENTFD,
  IrqInfoStruct,
  IrqSetStruct,
  RegionInfoStruct,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_SET_IRQS,
} from '../../uapi/vfio.js';

/** An address that no process has. */
const KERNEL = 0xffff_8000_0000_0000n;

/** A struct with these fields, and its own size in the first one. */
function filled(struct: Struct, fields: Record<string, number>): Uint8Array {
  const bytes = new Uint8Array(struct.size);
  for (const [name, value] of Object.entries({ size: struct.size, argsz: struct.size, ...fields })) {
    const field = struct.fields[name];
    if (field === undefined) continue;
    if (field.size === 8) setU64(bytes, field.offset, value);
    else setU32(bytes, field.offset, value);
  }
  return bytes;
}

/** An ioctl that would succeed, if only its struct were where it should be. */
interface GoodCall {
  readonly name: string;
  readonly fd: number;
  readonly number: number;
  readonly struct: Uint8Array;
}

/**
 * Every native ioctl. The context has PASID `pasid` with a mapping, which `device` is authorized for,
 * `spare`, and one that is nested over that.
 */
async function goodCalls(actor: Actor, context: DsaContext, device: DsaFile): Promise<GoodCall[]> {
  const { fd, pasid, memory } = context;
  const spare = await actor.do(`alloc ${fd} 0`);
  const nested = await actor.do(`alloc ${fd} 1 ${spare}`);
  const [address] = await actor.words(`mmap ${PAGE}`);
  await actor.words(`authorize ${device.fd} ${fd} ${pasid}`);
  const fields: Record<keyof typeof nativeIoctls, Record<string, number>> = {
    IOASID_GET_INFO: {},
    IOASID_ALLOC: {},
    IOASID_FREE: { pasid: spare },
    IOASID_MAP: { flags: 3, pasid, user_va: Number(address), length: PAGE },
    IOASID_MAP_FILE: { flags: 3, pasid, fd: memory.fd, length: PAGE },
    IOASID_UNMAP: { flags: UNMAP_ALL, pasid },
    IOASID_COPY: { flags: 3, dst_pasid: spare, src_pasid: pasid, length: PAGE, src_iova: IOVA },
    IOASID_BIND_PGTABLE: { pasid: nested, root: IOVA, address_width: 48 },
    IOASID_INVALIDATE: { pasid: nested, scope: 1 },
    IOASID_AUTHORIZE: { ioasid_fd: fd, pasid: spare },
    IOASID_REVOKE: { pasid },
    IOASID_EXPLAIN: {},
  };
  return Object.entries(fields).map(([name, values]) => ({
    name,
    fd: name in contextIoctls ? fd : device.fd,
    number: ioctlNumber(name as keyof typeof nativeIoctls),
    struct: filled(nativeIoctls[name as keyof typeof nativeIoctls].struct, values),
  }));
}

/** All that an ioctl could change. */
async function everything(actor: Actor, { fd }: DsaContext): Promise<unknown> {
  const { pasids, mappings, memories, devices } = await actor.run.state();
  return [
    await actor.words(`info ${fd}`),
    pasids,
    mappings,
    memories,
    devices.map(({ authorizations }) => authorizations),
  ];
}

const rule = await rulesOn({ devices: ['dsa,mdevs=2'] });

rule(
  'a struct at a null, unmapped, kernel, unreadable or half mapped address is EFAULT, and nothing changes',
  async (actor) => {
    const context = await DsaContext.open(actor);
    const device = await DsaFile.open(actor);
    const calls = await goodCalls(actor, context, device);
    const before = await everything(actor, context);
    const hidden = await actor.do(`mmap ${PAGE}`);
    await actor.words(`mprotect ${hidden} ${PAGE} none`);
    const page = await actor.do(`mmap ${2 * PAGE}`);
    await actor.words(`munmap ${page + PAGE} ${PAGE}`);
    for (const { name, fd, number, struct } of calls) {
      const half = page + PAGE - struct.length / 2;
      await actor.words(`poke ${half} ${hexadecimal(struct.subarray(0, struct.length / 2))}`);
      for (const address of [0, 1, page + PAGE, half, hidden, KERNEL, -1]) {
        assert.equal(
          await actor.ask(`ioctlat ${fd} ${number} ${address}`),
          'err EFAULT',
          `${name} at ${address}`,
        );
      }
    }
    assert.deepEqual(await everything(actor, context), before);
  },
);

rule(
  'a struct in read-only memory is EFAULT with a reason, and nothing changes: no PASID is leaked',
  async (actor) => {
    const context = await DsaContext.open(actor);
    const device = await DsaFile.open(actor);
    const calls = await goodCalls(actor, context, device);
    const before = await everything(actor, context);
    const page = await actor.do(`mmap ${PAGE}`);
    for (const { name, fd, number, struct } of calls) {
      await actor.words(`mprotect ${page} ${PAGE} rw`);
      await actor.words(`poke ${page} ${hexadecimal(struct)}`);
      await actor.words(`mprotect ${page} ${PAGE} r`);
      // Where nothing is changed it is the kernel alone that finds out.
      const byKernel = name === 'IOASID_GET_INFO' || name === 'IOASID_EXPLAIN';
      await actor.refused(
        `ioctlat ${fd} ${number} ${page}`,
        'EFAULT',
        byKernel ? undefined : fd,
        /without the right to write/,
      );
      assert.deepEqual(await everything(actor, context), before, name);
      assert.deepEqual(
        (await actor.words(`peek ${page} ${struct.length}`))[0],
        hexadecimal(struct),
        `${name} leaves the struct as it was`,
      );
    }
  },
);

rule('a misaligned struct is as good as any', async (actor) => {
  const context = await DsaContext.open(actor);
  const device = await DsaFile.open(actor);
  const page = await actor.do(`mmap ${PAGE}`);
  const calls = await goodCalls(actor, context, device);
  const order = ['GET_INFO', 'ALLOC', 'COPY', 'MAP_FILE', 'MAP', 'UNMAP', 'AUTHORIZE', 'REVOKE', 'EXPLAIN'];
  for (const [offset, name] of order.entries()) {
    const { fd, number, struct } = calls.find((call) => call.name === `IOASID_${name}`)!;
    await actor.words(`poke ${page + offset + 1} ${hexadecimal(struct)}`);
    assert.equal(await actor.ask(`ioctlat ${fd} ${number} ${page + offset + 1}`), 'ok 0', name);
  }
});

rule('a VFIO struct at a null, unmapped or read-only address is EFAULT', async (actor) => {
  const device = await DsaFile.open(actor);
  const page = await actor.do(`mmap ${2 * PAGE}`);
  await actor.words(`munmap ${page + PAGE} ${PAGE}`);
  const eventfds = {
    flags: IRQ_SET_DATA_EVENTFD | IRQ_SET_ACTION_TRIGGER,
    argsz: IrqSetStruct.size + 4,
    index: 2,
    count: 1,
  };
  const calls: [number, Uint8Array, boolean][] = [
    [VFIO_DEVICE_GET_INFO, filled(DeviceInfoStruct, {}), true],
    [VFIO_DEVICE_GET_REGION_INFO, filled(RegionInfoStruct, {}), true],
    [VFIO_DEVICE_GET_IRQ_INFO, filled(IrqInfoStruct, {}), true],
    [VFIO_DEVICE_SET_IRQS, filled(IrqSetStruct, eventfds), false],
  ];
  for (const [number, struct, writes] of calls) {
    for (const address of [0, 1, page + PAGE, KERNEL])
      await actor.refused(`ioctlat ${device.fd} ${number} ${address}`, 'EFAULT', device.fd);
    // The last bytes of the struct lie behind the end of the page.
    await actor.words(`poke ${page + PAGE - 8} ${hexadecimal(struct.subarray(0, 8))}`);
    await actor.refused(`ioctlat ${device.fd} ${number} ${page + PAGE - 8}`, 'EFAULT', device.fd);
    if (!writes) continue;
    await actor.words(`poke ${page} ${hexadecimal(struct)}`);
    await actor.words(`mprotect ${page} ${PAGE} r`);
    await actor.refused(`ioctlat ${device.fd} ${number} ${page}`, 'EFAULT', device.fd);
    await actor.words(`mprotect ${page} ${PAGE} rw`);
  }
});

rule('a caller that is killed while its ioctl waits in the server leaves nothing behind', async (actor) => {
  const { server } = actor.run;
  const calls = async (child: Actor, { fd, pasid, memory }: DsaContext, device: DsaFile) => [
    `alloc ${fd} 0`,
    `map ${fd} ${pasid} ${await child.do(`mmap ${PAGE}`)} ${PAGE} 3`,
    `mapfile ${fd} ${pasid} ${memory.fd} 0 ${PAGE} 3`,
    `authorize ${device.fd} ${fd} ${pasid}`,
    // One inode with two opens: which of them is meant has to be found out during the call.
    `authorize ${device.fd} ${await child.do(`open /proc/self/fd/${fd}`)} ${pasid}`,
    `free ${fd} ${pasid}`,
    `vfioinfo ${device.fd}`,
    `close ${device.fd}`,
    'open /dev/ioasid',
  ];
  for (let n = 0; n < 9; n++) {
    const child = await actor.fork();
    const context = await DsaContext.open(child);
    const command = (await calls(child, context, await DsaFile.open(child)))[n]!;
    process.kill(server, 'SIGSTOP');
    try {
      await actor.post(child, command);
      await sleep(3);
      await actor.startKill(child);
    } finally {
      process.kill(server, 'SIGCONT');
    }
    await actor.endKill(child);
  }
});

rule('callers that are killed at any moment of a stream of ioctls leave nothing behind', async (actor) => {
  const random = new Random(1);
  for (let n = 0; n < 150; n++) {
    const child = await actor.fork();
    const { fd, pasid, memory } = await DsaContext.open(child);
    const device = await DsaFile.open(child);
    const again = await child.do(`open /proc/self/fd/${fd}`);
    const own = await child.do(`mmap ${PAGE}`);
    const stream = random.pick([
      `alloc ${fd} 0 ; free ${fd} $`,
      `map ${fd} ${pasid} ${own} ${PAGE} 3 ; unmap ${fd} ${pasid} $ ${PAGE}`,
      `mapfile ${fd} ${pasid} ${memory.fd} 0 ${PAGE} 3 ; unmap ${fd} ${pasid} $ ${PAGE}`,
      `authorize ${device.fd} ${fd} ${pasid} ; revoke ${device.fd} ${pasid}`,
      `authorize ${device.fd} ${again} ${pasid}`,
      'open /dev/ioasid ; alloc $ 0',
      'open /dev/vfio/devices/vfio1 ; close $',
    ]);
    await actor.post(child, `repeat 1000000 ${stream}`);
    await sleep(random.below(4));
    await actor.kill(child);
  }
});

rule(
  '1000 processes that open, map, authorize and die at random leave all counters at zero',
  async (actor) => {
    const random = new Random(2);
    const living: Actor[] = [];
    const end = (child: Actor) => (random.below(2) === 0 ? actor.kill(child) : actor.exit(child));
    for (let n = 0; n < 1000; n++) {
      const child = await actor.fork();
      const fd = await child.do('open /dev/ioasid');
      const pasid = await child.do(`alloc ${fd} 0`);
      if (random.below(2) === 0)
        await child.words(`map ${fd} ${pasid} ${await child.do(`mmap ${PAGE}`)} ${PAGE} 3`);
      if (random.below(4) === 0) {
        const answer = await child.ask(`open /dev/vfio/devices/vfio${random.below(2)}`);
        if (answer.startsWith('ok')) await child.words(`authorize ${answer.slice(3)} ${fd} ${pasid}`);
      }
      living.push(child);
      if (living.length > 16) await end(living.splice(random.below(living.length), 1)[0]!);
    }
    for (const child of living) await end(child);
  },
);

rule('random descriptors never end the server, nor the device', async (actor) => {
  const random = new Random(3);
  const context = await DsaContext.open(actor, 16 * PAGE);
  const device = await DsaFile.open(actor);
  await actor.words(`authorize ${device.fd} ${context.fd} ${context.pasid}`);
  const address = () =>
    random.pick([
      IOVA + random.below(16 * PAGE),
      IOVA + 32 * random.below(16 * 128),
      random.below(2 ** 32),
      2 ** 52,
    ]);
  const descriptor = () => {
    const bytes = random.bytes(64);
    if (random.below(8) === 0) return bytes;
    setU32(bytes, 0, random.below(8) === 0 ? random.below(2 ** 20) : context.pasid);
    bytes[7] = random.pick(Object.values(Opcode));
    if (random.below(4) !== 0)
      setU32(bytes, 4, random.pick([0x0c, 0x0d, 0x0e, 0x8c, 0x1c, 0x1000c]) + bytes[7]! * 2 ** 24);
    for (const offset of [8, 16, 24]) setU64(bytes, offset, address());
    setU32(bytes, 32, random.pick([0, 1, 2, 63, 64, PAGE, 8 * PAGE, random.below(2 ** 32)]));
    if (random.below(4) !== 0) bytes.fill(0, 36);
    if (random.below(4) === 0) setU64(bytes, 40, address());
    return bytes;
  };
  for (let n = 0; n < 1500; n++) {
    // Batches find their descriptors in the memory.
    if (n % 10 === 0)
      await actor.words(
        `pwrite ${context.memory.fd} ${64 * random.below(1000)} ${hexadecimal(descriptor())}`,
      );
    const answer = await actor.ask(device.submission(descriptor()));
    assert.ok(answer === 'ok 64' || answer === 'err EAGAIN', answer);
  }
  await device.settled();
  await actor.words(`reset ${device.fd}`);
  const again = device.heldBy(actor);
  assert.equal(await again.reach(context.memory, context.pasid), Status.SUCCESS);
});

rule(
  'reads and writes of any size anywhere in a device file are served or refused, and never end the server',
  async (actor) => {
    const random = new Random(4);
    const device = await DsaFile.open(actor);
    const errnos = ['EINVAL', 'EFAULT', 'EIO', 'EAGAIN'];
    for (let n = 0; n < 1000; n++) {
      const offset =
        random.below(12) * REGION_SPAN +
        random.pick([random.below(256), random.below(2 ** 16), random.below(2 ** 32)]);
      const length = random.pick([0, 1, 2, 3, 4, 8, 64, random.below(5000)]);
      const data = hexadecimal(random.bytes(length));
      const answer = await actor.ask(
        random.below(2) === 0
          ? `pread ${device.fd} ${offset} ${length}`
          : `pwrite ${device.fd} ${offset} ${data}`,
      );
      assert.ok(
        answer.startsWith('ok') || errnos.includes(answer.slice(4)),
        `${length} bytes at ${offset}: ${answer}`,
      );
    }
    assert.match(await actor.ask(`vfioinfo ${device.fd}`), /^ok/);
  },
);
