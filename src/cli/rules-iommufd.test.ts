/**
 * The rules of iommufd that take several real processes, or several threads: who holds a descriptor has the
 * right, in whichever process, and nothing that happens at the same time leaves anything behind. Each test
 * ends with a server that holds nothing.
 */
import assert from 'node:assert/strict';
import { Status } from '../devices/dsa/descriptor.js';
import { type Actor, eventually, rulesOn } from '../testkit/actor.js';
import { DsaContext, DsaFile, IOVA, PAGE } from '../testkit/dsa-actor.js';
import { ChecksumFile, DsaGuest, IommufdActor, JOB } from '../testkit/iommufd-actor.js';

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

const rule = await rulesOn({ devices: ['./examples/checksum.js', 'dsa,mdevs=2'] });

rule(
  'an iommufd handed over by SCM_RIGHTS is the same context: a stranger binds and attaches with it',
  async (actor) => {
    const [near, far] = await actor.words('socketpair');
    const stranger = await actor.fork();
    const iommufd = await IommufdActor.open(actor);
    const ioas = await iommufd.ioas(actor);
    const address = await mappedPage(actor, iommufd, ioas);
    const device = await ChecksumFile.open(stranger);
    const own = await IommufdActor.open(stranger);
    await device.bind(own.fd).then(() => stranger.words(`close ${device.fd}`));
    const again = await ChecksumFile.open(stranger);
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
    const device = await ChecksumFile.open(actor);
    const child = await actor.fork();
    await child.words(`close ${iommufd.fd}`);
    const bind = device.binding(iommufd.fd);
    assert.match(await child.ask(bind), /^err EBADF /);
    await actor.words(bind);
  },
);

rule(
  'fork after map: the device reaches the memory of the process that mapped it, not of its child',
  async (actor) => {
    const iommufd = await IommufdActor.open(actor);
    const ioas = await iommufd.ioas(actor);
    const address = await mappedPage(actor, iommufd, ioas);
    const device = await ChecksumFile.open(actor);
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
    const device = await ChecksumFile.open(actor);
    const child = await actor.fork();
    await new ChecksumFile(child, device.fd).bind(iommufd.fd);
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
  const device = await ChecksumFile.open(owner);
  const id = await device.bind(iommufd.fd);
  await owner.words(iommufd.pageTable(id, ioas));
  await owner.words(device.attachment(ioas));
  assert.equal((await actor.run.state()).mappings, 1);
  await actor.kill(owner);
  await eventually(() => actor.run.isEmpty(), 'release by the death of the owner');
});

rule(
  'mediated devices of one function in two processes: PASID 1 of the one is not that of the other',
  async (actor) => {
    const [one, other] = [await actor.fork(), await actor.fork()];
    const [first, second] = [await DsaGuest.create(one, 'vfio1'), await DsaGuest.create(other, 'vfio2')];
    assert.deepEqual([await first.reach(), await second.reach()], [0, 0], 'bound is not attached');
    await one.words(first.attachment);
    assert.deepEqual([await first.reach(), await second.reach()], [Status.SUCCESS, 0]);
    await other.words(second.attachment);
    assert.deepEqual([await first.reach(), await second.reach()], [Status.SUCCESS, Status.SUCCESS]);
    assert.equal((await actor.run.state()).pasids.used, 2);
    await actor.kill(one);
    await eventually(
      async () => (await actor.run.state()).pasids.used === 1,
      'the PASID of a process that was killed is given back',
    );
    assert.equal(await second.reach(), Status.SUCCESS);
  },
);

rule(
  'a mediated device keeps its context when the iommufd is closed first, for whoever has its file',
  async (actor) => {
    const owner = await actor.fork();
    const guest = await DsaGuest.create(owner, 'vfio1');
    await owner.words(guest.attachment);
    await owner.words(`close ${guest.iommufd.fd}`);
    assert.equal(await guest.reach(), Status.SUCCESS);
    const child = await owner.fork();
    await owner.words(`close ${guest.device.fd}`);
    assert.equal(await guest.device.heldBy(child).reach(guest.memory, 1), Status.SUCCESS);
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
    const device = await ChecksumFile.open(actor);
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
  'DESTROY races MAP on one descriptor: each is done or refused as if alone, and nothing stays',
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
    const device = await ChecksumFile.open(actor);
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
  const device = await ChecksumFile.open(actor);
  await device.bind(iommufd.fd);
  await actor.words(device.attachment(ioas));
  assert.equal(await device.sum(actor, address), checksum(1));
  assert.equal(await queue.reach(context.memory, context.pasid), Status.SUCCESS);
});
