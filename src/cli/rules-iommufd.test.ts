/**
 * The rules of iommufd that take several real processes, or several threads: who holds a descriptor has the
 * right, in whichever process, and nothing that happens at the same time leaves anything behind. Each test
 * ends with a server that holds nothing.
 */
import assert from 'node:assert/strict';
import { DSA_STATUS } from '../client/dsa.js';
import { CONFIG_REGION } from '../client/vfio-device.js';
import { type Actor, eventually, rules } from '../testkit/actor.js';
import {
  DsaContext,
  DsaFile,
  DsaMemory,
  hexadecimal,
  IOVA,
  PAGE,
  REGION_SPAN,
} from '../testkit/dsa-actor.js';
import {
  DestroyStruct,
  HwptAllocStruct,
  IoasAllocStruct,
  IoasMapFileStruct,
  IoasMapStruct,
  IoasUnmapStruct,
  iommufdNumber,
} from '../uapi/iommufd.js';
import { type FieldTypes, type Given, type Struct, sized } from '../uapi/struct.js';
import {
  ATTACH_PASID,
  AttachStruct,
  BindStruct,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
} from '../uapi/vfio-cdev.js';

/** IOMMU_IOAS_MAP_FIXED_IOVA | _WRITEABLE | _READABLE. */
const FIXED = 7;
const JOB = 0x10_0000;
const DATA = JOB + 64;
const MEMORY_AND_BUS_MASTER = '0600';
/** IOMMU_HWPT_ALLOC_PASID. */
const HWPT_PASID = 8;

/** The bytes of a struct, its first field being its size. */
function bytes<T extends FieldTypes>(struct: Struct<T>, given: Given<T>): string {
  return hexadecimal(sized(struct, given));
}

/** An actor's open `/dev/iommu`. The methods give the command; `actor` does it. */
class IommufdActor {
  readonly fd: number;

  constructor(fd: number) {
    this.fd = fd;
  }

  static async open(actor: Actor): Promise<IommufdActor> {
    return new IommufdActor(await actor.do('open /dev/iommu'));
  }

  allocation(): string {
    return this.#command('IOMMU_IOAS_ALLOC', bytes(IoasAllocStruct, {}));
  }

  mapping(ioas: number, address: number, iova: number): string {
    const fields = { flags: FIXED, ioas_id: ioas, user_va: address, length: PAGE, iova };
    return this.#command('IOMMU_IOAS_MAP', bytes(IoasMapStruct, fields));
  }

  fileMapping(ioas: number, fd: number, iova: number): string {
    const fields = { flags: FIXED, ioas_id: ioas, fd, start: 0, length: PAGE, iova };
    return this.#command('IOMMU_IOAS_MAP_FILE', bytes(IoasMapFileStruct, fields));
  }

  unmapping(ioas: number, iova: number): string {
    return this.#command('IOMMU_IOAS_UNMAP', bytes(IoasUnmapStruct, { ioas_id: ioas, iova, length: PAGE }));
  }

  destruction(id: number): string {
    return this.#command('IOMMU_DESTROY', bytes(DestroyStruct, { id }));
  }

  pageTable(device: number, ioas: number, flags = 0): string {
    return this.#command('IOMMU_HWPT_ALLOC', bytes(HwptAllocStruct, { dev_id: device, pt_id: ioas, flags }));
  }

  async ioas(actor: Actor): Promise<number> {
    return word((await actor.words(this.allocation()))[1], IoasAllocStruct.at.out_ioas_id);
  }

  #command(name: Parameters<typeof iommufdNumber>[0], data: string): string {
    return `ioctl ${this.fd} ${iommufdNumber(name)} ${data}`;
  }
}

/** The 32-bit field at byte `at` of what an ioctl has answered. */
function word(answer: string | undefined, at: number): number {
  return Buffer.from(answer ?? '', 'hex').readUInt32LE(at);
}

/** The checksum device in the hands of an actor. */
class Device {
  readonly actor: Actor;
  readonly fd: number;

  constructor(actor: Actor, fd: number) {
    this.actor = actor;
    this.fd = fd;
  }

  static async open(actor: Actor): Promise<Device> {
    const device = new Device(actor, await actor.do('open /dev/vfio/devices/vfio0'));
    await actor.words(`pwrite ${device.fd} ${CONFIG_REGION * REGION_SPAN + 4} ${MEMORY_AND_BUS_MASTER}`);
    return device;
  }

  /** @returns its id. */
  async bind(iommufd: number): Promise<number> {
    const [, answer] = await this.actor.words(
      `ioctl ${this.fd} ${VFIO_DEVICE_BIND_IOMMUFD} ${bytes(BindStruct, { iommufd })}`,
    );
    return word(answer, BindStruct.at.out_devid);
  }

  attachment(pageTable: number): string {
    return `ioctl ${this.fd} ${VFIO_DEVICE_ATTACH_IOMMUFD_PT} ${bytes(AttachStruct, { pt_id: pageTable })}`;
  }

  /**
   * Has the device sum up 16 bytes at DATA, the job being in the page of `memory` that is at `address` there.
   * @returns the sum, 0: it could not.
   */
  async sum(memory: Actor, address: number): Promise<number> {
    const job = Buffer.alloc(32);
    job.writeBigUInt64LE(BigInt(DATA), 0);
    job.writeBigUInt64LE(16n, 8);
    await memory.words(`poke ${address} ${job.toString('hex')}`);
    const doorbell = Buffer.alloc(8);
    doorbell.writeBigUInt64LE(BigInt(JOB), 0);
    await this.actor.words(`pwrite ${this.fd} 8 ${doorbell.toString('hex')}`);
    await eventually(
      async () => (await this.actor.run.state()).devices[0]?.busy === false,
      'the end of the job',
    );
    const answer = Buffer.from((await memory.words(`peek ${address} 32`))[0] ?? '', 'hex');
    return answer.readUInt32LE(16) === 1 ? answer.readUInt32LE(20) : 0;
  }
}

/**
 * A process with a context of its own, and a mediated device (a work queue of DSA) that is bound to it and
 * has memory of its at IOVA of PASID 1.
 */
class Guest {
  readonly device: DsaFile;
  readonly memory: DsaMemory;
  readonly iommufd: IommufdActor;
  readonly attachment: string;

  private constructor(device: DsaFile, memory: DsaMemory, iommufd: IommufdActor, hwpt: number) {
    this.device = device;
    this.memory = memory;
    this.iommufd = iommufd;
    const fields = { flags: ATTACH_PASID, pt_id: hwpt, pasid: 1 };
    this.attachment = `ioctl ${device.fd} ${VFIO_DEVICE_ATTACH_IOMMUFD_PT} ${bytes(AttachStruct, fields)}`;
  }

  static async create(actor: Actor, name: string): Promise<Guest> {
    const iommufd = await IommufdActor.open(actor);
    const ioas = await iommufd.ioas(actor);
    const memory = await DsaMemory.create(actor, PAGE);
    await actor.words(iommufd.fileMapping(ioas, memory.fd, IOVA));
    const device = await DsaFile.open(actor, name);
    const id = await new Device(actor, device.fd).bind(iommufd.fd);
    const [, answer] = await actor.words(iommufd.pageTable(id, ioas, HWPT_PASID));
    return new Guest(device, memory, iommufd, word(answer, HwptAllocStruct.at.out_hwpt_id));
  }

  /**
   * Has the device fill 64 bytes by PASID 1. @returns the status in its completion record, 0: it could not
   * even write that.
   */
  reach(): Promise<number> {
    return this.device.reach(this.memory, 1);
  }
}

/** Adler-32 of 16 times this byte. */
function checksum(byte: number): number {
  let [a, b] = [1, 0];
  for (let n = 0; n < 16; n++) {
    a += byte;
    b += a;
  }
  return b * 65536 + a;
}

/** A page of an actor, mapped at JOB; the data in it are bytes of 1. */
async function mappedPage(actor: Actor, iommufd: IommufdActor, ioas: number): Promise<number> {
  const address = await actor.do(`mmap ${PAGE}`);
  await actor.words(`poke ${address + 64} ${'01'.repeat(16)}`);
  await actor.words(iommufd.mapping(ioas, address, JOB));
  return address;
}

await rules({ devices: ['./examples/checksum.js', 'dsa,mdevs=2'] }, (rule) => {
  rule(
    'an iommufd handed over by SCM_RIGHTS is the same context: a stranger binds and attaches with it',
    async (actor) => {
      const [near, far] = await actor.words('socketpair');
      const stranger = await actor.fork();
      const iommufd = await IommufdActor.open(actor);
      const ioas = await iommufd.ioas(actor);
      const address = await mappedPage(actor, iommufd, ioas);
      const device = await Device.open(stranger);
      const own = await IommufdActor.open(stranger);
      await device.bind(own.fd).then(() => stranger.words(`close ${device.fd}`));
      const again = await Device.open(stranger);
      await actor.words(`sendfd ${near} ${iommufd.fd}`);
      await again.bind(await stranger.do(`recvfd ${far}`));
      assert.equal(await again.sum(actor, address), 0, 'bound is not attached');
      await stranger.words(again.attachment(ioas));
      assert.equal(await again.sum(actor, address), checksum(1));
    },
  );

  rule(
    'an fd number means what it means to the process that calls: what the parent has open under it is nothing',
    async (actor) => {
      const iommufd = await IommufdActor.open(actor);
      const device = await Device.open(actor);
      const child = await actor.fork();
      await child.words(`close ${iommufd.fd}`);
      const bind = `ioctl ${device.fd} ${VFIO_DEVICE_BIND_IOMMUFD} ${bytes(BindStruct, { iommufd: iommufd.fd })}`;
      assert.match(await child.ask(bind), /^err EBADF /);
      await actor.words(bind);
    },
  );

  rule(
    'fork after map: the device reaches the memory of the process that mapped it, whatever the child writes into its own',
    async (actor) => {
      const iommufd = await IommufdActor.open(actor);
      const ioas = await iommufd.ioas(actor);
      const address = await mappedPage(actor, iommufd, ioas);
      const device = await Device.open(actor);
      await device.bind(iommufd.fd);
      await actor.words(device.attachment(ioas));
      const child = await actor.fork();
      await child.words(`poke ${address + 64} ${'02'.repeat(16)}`);
      assert.equal(await device.sum(actor, address), checksum(1));
      await actor.words(`poke ${address + 64} ${'03'.repeat(16)}`);
      assert.equal(await device.sum(actor, address), checksum(3));
      assert.match((await child.words(`peek ${address + 64} 16`))[0] ?? '', /^(02)+$/);
    },
  );

  rule(
    'fork shares the context and the device: the child attaches, and its death changes nothing',
    async (actor) => {
      const iommufd = await IommufdActor.open(actor);
      const ioas = await iommufd.ioas(actor);
      const address = await mappedPage(actor, iommufd, ioas);
      const device = await Device.open(actor);
      const child = await actor.fork();
      await new Device(child, device.fd).bind(iommufd.fd);
      await child.words(device.attachment(ioas));
      await actor.kill(child);
      assert.equal(await device.sum(actor, address), checksum(1));
    },
  );

  rule('kill -9 of the owner of an attached device releases everything', async (actor) => {
    const owner = await actor.fork();
    const iommufd = await IommufdActor.open(owner);
    const ioas = await iommufd.ioas(owner);
    await mappedPage(owner, iommufd, ioas);
    const device = await Device.open(owner);
    const id = await device.bind(iommufd.fd);
    await owner.words(iommufd.pageTable(id, ioas));
    await owner.words(device.attachment(ioas));
    assert.equal((await actor.run.state()).mappings, 1);
    await actor.kill(owner);
    await eventually(() => actor.run.isEmpty(), 'release by the death of the owner');
  });

  rule(
    'two processes have each a mediated device of one function in a context of its own: PASID 1 of the one is not PASID 1 of the other',
    async (actor) => {
      const [one, other] = [await actor.fork(), await actor.fork()];
      const [first, second] = [await Guest.create(one, 'vfio1'), await Guest.create(other, 'vfio2')];
      assert.deepEqual([await first.reach(), await second.reach()], [0, 0], 'bound is not attached');
      await one.words(first.attachment);
      assert.deepEqual([await first.reach(), await second.reach()], [DSA_STATUS.success, 0]);
      await other.words(second.attachment);
      assert.deepEqual([await first.reach(), await second.reach()], [DSA_STATUS.success, DSA_STATUS.success]);
      assert.equal((await actor.run.state()).pasids.used, 2);
      await actor.kill(one);
      await eventually(
        async () => (await actor.run.state()).pasids.used === 1,
        'the PASID of a process that was killed is given back',
      );
      assert.equal(await second.reach(), DSA_STATUS.success);
    },
  );

  rule(
    'a mediated device keeps its context when the iommufd is closed first, and shares it with whoever has the device file',
    async (actor) => {
      const owner = await actor.fork();
      const guest = await Guest.create(owner, 'vfio1');
      await owner.words(guest.attachment);
      await owner.words(`close ${guest.iommufd.fd}`);
      assert.equal(await guest.reach(), DSA_STATUS.success);
      const child = await owner.fork();
      await owner.words(`close ${guest.device.fd}`);
      assert.equal(await guest.device.heldBy(child).reach(guest.memory, 1), DSA_STATUS.success);
      await child.words(`close ${guest.device.fd}`);
      await eventually(
        async () => (await actor.run.state()).pasids.used === 0,
        'its PASID is given back with the last close',
      );
    },
  );

  rule(
    'the owner of mapped memory dies while another process holds the iommufd: DMA faults, nothing else happens',
    async (actor) => {
      const iommufd = await IommufdActor.open(actor);
      const ioas = await iommufd.ioas(actor);
      const job = await mappedPage(actor, iommufd, ioas);
      const device = await Device.open(actor);
      await device.bind(iommufd.fd);
      await actor.words(device.attachment(ioas));
      const owner = await actor.fork();
      await actor.words(iommufd.unmapping(ioas, JOB));
      await mappedPage(owner, iommufd, ioas);
      await actor.kill(owner);
      assert.equal(await device.sum(actor, job), 0);
      await actor.words(iommufd.unmapping(ioas, JOB));
      await actor.words(iommufd.mapping(ioas, job, JOB));
      assert.equal(await device.sum(actor, job), checksum(1));
    },
  );

  rule(
    'DESTROY races MAP on one descriptor: each is done or refused as if it had been alone, and nothing stays behind',
    async (actor) => {
      const iommufd = await IommufdActor.open(actor);
      const address = await actor.do(`mmap ${PAGE}`);
      const rival = await actor.fork();
      const ioas = await iommufd.ioas(actor);
      await actor.words(iommufd.destruction(ioas));
      // Ids are the lowest free ones, so what the rival destroys is what was just allocated.
      await actor.post(rival, `repeat 400 ${iommufd.destruction(ioas)}`);
      const mapped = await actor.repeat(
        400,
        `${iommufd.allocation()} ; ${iommufd.mapping(ioas, address, IOVA)}`,
      );
      const destroyed = await actor.collect(rival);
      for (const outcome of mapped.keys()) assert.match(outcome, /^ok\/(ok|err:ENOENT|err:EEXIST)$/);
      assert.equal(
        [...mapped.values()].reduce((sum, count) => sum + count),
        400,
      );
      assert.match(destroyed, /^ok 400( (ok|err:ENOENT)=\d+)+$/);
    },
  );

  rule(
    'ATTACH races DESTROY of its IOAS: attached or ENOENT, destroyed or EBUSY or ENOENT, never both',
    async (actor) => {
      const iommufd = await IommufdActor.open(actor);
      const device = await Device.open(actor);
      await device.bind(iommufd.fd);
      const rival = await actor.fork();
      const ioas = await iommufd.ioas(actor);
      await actor.post(rival, `repeat 200 ${iommufd.destruction(ioas)}`);
      const attached = await actor.repeat(200, device.attachment(ioas));
      const destroyed = await actor.collect(rival);
      for (const outcome of attached.keys()) assert.match(outcome, /^(ok|err:ENOENT)$/);
      assert.equal(
        attached.has('ok') && /ok=/.test(destroyed.replace(/^ok 200/, '')),
        false,
        `${[...attached]} and ${destroyed}`,
      );
    },
  );

  rule('the native ABI of one device and iommufd of another live side by side', async (actor) => {
    const context = await DsaContext.open(actor);
    const queue = await DsaFile.open(actor, 'vfio1');
    await actor.words(`authorize ${queue.fd} ${context.fd} ${context.pasid}`);
    const iommufd = await IommufdActor.open(actor);
    const ioas = await iommufd.ioas(actor);
    const address = await mappedPage(actor, iommufd, ioas);
    const device = await Device.open(actor);
    await device.bind(iommufd.fd);
    await actor.words(device.attachment(ioas));
    assert.equal(await device.sum(actor, address), checksum(1));
    assert.equal(await queue.reach(context.memory, context.pasid), DSA_STATUS.success);
  });
});
