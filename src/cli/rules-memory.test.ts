/**
 * Whose memory a device reaches: that of the process which mapped it, as it is then. Not that of its
 * children, nor of the program that it becomes, nor anybody's when it is gone.
 */
import assert from 'node:assert/strict';
import { Status } from '../devices/dsa/descriptor.js';
import { type Actor, rulesOn } from '../testkit/actor.js';
import {
  DsaContext,
  DsaFile,
  DsaMemory,
  fillDescriptor,
  IOVA,
  PAGE,
  READ_WRITE_FIXED,
} from '../testkit/dsa-actor.js';

const { SUCCESS } = Status;
/** A page fault at a write. */
const WRITE_FAULT = Status.PAGE_FAULT | Status.WRITE_FAULT;
/** IOVA of memory of a process; completion records are in a memfd at IOVA. */
const PROCESS_IOVA = 0x4000_0000;
const READ_WRITE = 3;

/** A page of an actor's own memory. @returns its address. */
async function page(actor: Actor, at = ''): Promise<string> {
  return (await actor.words(`mmap ${PAGE} ${at}`))[0]!;
}

/** Sets the first byte of the page that `iova` is mapped to. @returns the status. */
async function write(
  device: DsaFile,
  { pasid, memory }: DsaContext,
  iova: number,
  byte: number,
): Promise<number> {
  await memory.clear(0, 32);
  await device.submit(fillDescriptor(pasid, iova, 8, byte, IOVA));
  return (await memory.completion(0)).status;
}

async function firstByte(actor: Actor, address: string): Promise<string | undefined> {
  return (await actor.words(`peek ${address} 1`))[0];
}

async function prepared(actor: Actor): Promise<{ context: DsaContext; device: DsaFile }> {
  const context = await DsaContext.open(actor);
  const device = await DsaFile.open(actor);
  await actor.words(`authorize ${device.fd} ${context.fd} ${context.pasid}`);
  return { context, device };
}

const mapping = ({ fd, pasid }: DsaContext, address: string, iova = PROCESS_IOVA) =>
  `map ${fd} ${pasid} ${address} ${PAGE} ${READ_WRITE_FIXED} ${iova}`;

const rule = await rulesOn({ devices: ['dsa,mdevs=1'] });

rule('fork after map: the device reaches the memory of the parent, not that of the child', async (actor) => {
  const { context, device } = await prepared(actor);
  const address = await page(actor);
  await actor.words(mapping(context, address));
  const child = await actor.fork();
  assert.equal(await write(device, context, PROCESS_IOVA, 0x77), SUCCESS);
  assert.equal(await firstByte(actor, address), '77');
  assert.equal(await firstByte(child, address), '00');
  await child.words(`poke ${address} 55`);
  assert.equal(await firstByte(actor, address), '77');
});

rule('a child that maps in the shared context maps its own memory', async (actor) => {
  const { context, device } = await prepared(actor);
  const address = await page(actor);
  const child = await actor.fork();
  await child.words(mapping(context, address));
  assert.equal(await write(device, context, PROCESS_IOVA, 0x66), SUCCESS);
  assert.equal(await firstByte(child, address), '66');
  assert.equal(await firstByte(actor, address), '00');
});

rule(
  'exec after map: the device cannot reach the new program, though process id and address are the same',
  async (actor) => {
    const { context, device } = await prepared(actor);
    const child = await actor.fork();
    const address = await page(child, '0x200000000');
    await child.words(mapping(context, address));
    assert.equal(await write(device, context, PROCESS_IOVA, 0x11), SUCCESS);
    const pid = await child.pid();
    await child.words('exec');
    assert.equal(await child.pid(), pid);
    assert.equal(await page(child, address), address);
    assert.equal(await write(device, context, PROCESS_IOVA, 0x22), WRITE_FAULT);
    assert.equal(await firstByte(child, address), '00');
    // What the new program maps is its own again.
    await child.words(mapping(context, address, PROCESS_IOVA + PAGE));
    assert.equal(await write(device, context, PROCESS_IOVA + PAGE, 0x33), SUCCESS);
    assert.equal(await firstByte(child, address), '33');
    assert.equal(await write(device, context, PROCESS_IOVA, 0x22), WRITE_FAULT);
  },
);

rule('memory of a process that was killed faults; its memfds stay', async (actor) => {
  const { context, device } = await prepared(actor);
  const sockets = await actor.words('socketpair');
  const child = await actor.fork();
  await child.words(mapping(context, await page(child)));
  const file = await child.do(`memfd ${PAGE}`);
  await child.words(
    `mapfile ${context.fd} ${context.pasid} ${file} 0 ${PAGE} ${READ_WRITE_FIXED} ${PROCESS_IOVA + PAGE}`,
  );
  await child.words(`sendfd ${sockets[0]} ${file}`);
  await actor.kill(child);
  assert.equal(await write(device, context, PROCESS_IOVA, 0x11), WRITE_FAULT);
  assert.equal(await write(device, context, PROCESS_IOVA + PAGE, 0x11), SUCCESS);
  assert.deepEqual(await actor.words(`pread ${await actor.do(`recvfd ${sockets[1]}`)} 0 1`), ['11']);
});

rule(
  'memory that is unmapped in the process faults; what is mapped there later is reached',
  async (actor) => {
    const { context, device } = await prepared(actor);
    const address = await page(actor, '0x200000000');
    await actor.words(mapping(context, address));
    await actor.words(`munmap ${address} ${PAGE}`);
    assert.equal(await write(device, context, PROCESS_IOVA, 0x11), WRITE_FAULT);
    await page(actor, address);
    assert.equal(await write(device, context, PROCESS_IOVA, 0x22), SUCCESS);
    assert.equal(await firstByte(actor, address), '22');
  },
);

rule('memory is mapped with the rights that the process has: the rest is EFAULT', async (actor) => {
  const { context } = await prepared(actor);
  const address = await page(actor);
  await actor.words(`mprotect ${address} ${PAGE} r`);
  const map = (flags: number) => `map ${context.fd} ${context.pasid} ${address} ${PAGE} ${flags}`;
  await actor.refused(map(READ_WRITE), 'EFAULT', context.fd, /without the right to write/);
  await actor.words(map(1));
  await actor.words(`mprotect ${address} ${PAGE} none`);
  await actor.refused(map(1), 'EFAULT', context.fd, /without the right to read/);
  assert.match(await actor.ask(`info ${context.fd}`), / mappings=2$/);
});

rule(
  'a memfd that is truncated after it was mapped faults, and is reached again when it has grown',
  async (actor) => {
    const { context, device } = await prepared(actor);
    const file = await DsaMemory.create(actor, 2 * PAGE);
    await actor.words(
      `mapfile ${context.fd} ${context.pasid} ${file.fd} 0 ${2 * PAGE} ${READ_WRITE_FIXED} ${PROCESS_IOVA}`,
    );
    for (const length of [PAGE, 1, 0]) {
      await actor.words(`truncate ${file.fd} ${length}`);
      assert.equal(await write(device, context, PROCESS_IOVA + PAGE, 0x11), WRITE_FAULT);
    }
    assert.equal(await write(device, context, PROCESS_IOVA, 0x11), WRITE_FAULT);
    await actor.words(`truncate ${file.fd} ${2 * PAGE}`);
    assert.equal(await write(device, context, PROCESS_IOVA + PAGE, 0x11), SUCCESS);
    assert.equal((await file.read(PAGE, 1))[0], 0x11);
  },
);

rule(
  'a memfd that is truncated and grown during DMA, again and again, never ends the server',
  async (actor) => {
    const { context, device } = await prepared(actor);
    const size = 1 << 20;
    const file = await DsaMemory.create(actor, size);
    await actor.words(
      `mapfile ${context.fd} ${context.pasid} ${file.fd} 0 ${size} ${READ_WRITE_FIXED} ${PROCESS_IOVA}`,
    );
    await actor.words(`thread loop truncate ${file.fd} 0 ; truncate ${file.fd} ${size}`);
    const statuses = new Set<number>();
    for (let n = 0; n < 200; n++) {
      await context.memory.clear(0, 32);
      await device.submit(fillDescriptor(context.pasid, PROCESS_IOVA, size, n & 0xff, IOVA));
      statuses.add((await context.memory.completion(0)).status);
    }
    await actor.words('stop');
    assert.deepEqual(
      [...statuses].filter((status) => status !== SUCCESS && status !== WRITE_FAULT),
      [],
    );
  },
);
