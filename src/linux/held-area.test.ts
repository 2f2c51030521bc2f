import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { finish } from '../file/work.js';
import { account, Child, PAGE } from '../testkit/child.js';
import { notHeld } from './held-area.js';
import { heldDescriptors } from './held-descriptors.js';
import { type ProcessMemory, processMemory } from './process-memory.js';

const READ = 1;
const WRITE = 2;
const BOTH = READ | WRITE;
const MAP_SHARED = 0x1;
const MAP_PRIVATE = 0x2;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const O_RDWR = 2;
const F_SEAL_FUTURE_WRITE = 0x10;
const F_ADD_SEALS = 1033;
const FIRST = Uint8Array.of(1, 2, 3);
const OTHER = Uint8Array.of(4, 5, 6);

const SIGIO = 29;
const SIG_IGN = 1;
const F_SETLEASE = 1024;
const F_WRLCK = 1;
/** Who may not open map_files has only his caller's descriptors. */
const root = process.geteuid?.() === 0 ? false : 'opening /proc/PID/map_files needs root';

const children: Child[] = [];
after(() => Promise.all(children.map((child) => child.kill())));

function newChild(): Child {
  const child = new Child();
  children.push(child);
  return child;
}

/** The process's memory, and what is held of its page at `address`. */
function hold(child: Child, address: number, access: number) {
  const memory: ProcessMemory = finish(processMemory(account, child.pid, address, PAGE, 0)).memory;
  const held = finish(memory.held(address, PAGE, access));
  memory.close();
  return held;
}

function bytesAt(held: NonNullable<ReturnType<typeof hold>>, address: number): Uint8Array {
  const target = new Uint8Array(3);
  assert.equal(held.read(address, target, 0, 3), 3);
  return target;
}

/** A file on a tmpfs that begins with FIRST. */
function tmpfsFile(): string {
  const folder = mkdtempSync('/dev/shm/held-');
  after(() => rmSync(folder, { recursive: true }));
  writeFileSync(`${folder}/file`, Buffer.concat([FIRST, Buffer.alloc(PAGE)]));
  return `${folder}/file`;
}

test('shared anonymous memory is held over unmap and exit of its owner', { skip: root }, async () => {
  const child = newChild();
  const address = await child.call('mmap', 0, PAGE, BOTH, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  await child.poke(address, FIRST);
  const held = hold(child, address, BOTH)!;
  assert.equal(held.ofProcess, true);
  await child.call('munmap', address, PAGE);
  assert.deepEqual(bytesAt(held, address), FIRST);
  await child.kill();
  assert.equal(held.write(address, OTHER, 0, 3), 3);
  assert.deepEqual(bytesAt(held, address), OTHER);
  assert.equal(held.reaches(address, PAGE, BOTH), true);
  assert.equal(held.read(address + PAGE, new Uint8Array(1), 0, 1), 0, 'no byte behind the area');
  held.close();
});

test('nobody waits for the lease of a file: a descriptor of its owner holds it, without one nothing does', {
  skip: root,
}, async () => {
  const child = newChild();
  const fd = await child.call('open', tmpfsFile(), 2, 0);
  const address = await child.call('mmap', 0, PAGE, BOTH, MAP_SHARED, fd, 0);
  await child.call('signal', SIGIO, SIG_IGN);
  assert.equal(await child.call('fcntl', fd, F_SETLEASE, F_WRLCK), 0);
  const held = hold(child, address, BOTH)!;
  assert.deepEqual(bytesAt(held, address), FIRST);
  held.close();
  await child.call('close', fd);
  assert.equal(hold(child, address, BOTH), undefined);
});

test("a read-only shared mapping of root's file gives no right to write it", { skip: root }, async () => {
  const child = newChild();
  const fd = await child.call('open', tmpfsFile(), 0, 0);
  const address = await child.call('mmap', 0, PAGE, READ, MAP_SHARED, fd, 0);
  assert.equal(hold(child, address, WRITE), undefined);
  const held = hold(child, address, READ)!;
  assert.equal(held.write(address, OTHER, 0, 3), 0);
  assert.equal(held.reaches(address, PAGE, WRITE), false);
  assert.deepEqual(bytesAt(held, address), FIRST);
  held.close();
});

test('what is not held because the account has no descriptors left is counted, with the reason', async () => {
  const child = newChild();
  const fd = await child.memfd('held', PAGE);
  const address = await child.call('mmap', 0, PAGE, BOTH, MAP_SHARED, fd, 0);
  const memory: ProcessMemory = finish(processMemory(account, child.pid, address, PAGE, 0)).memory;
  const { areas } = notHeld;
  let taken = 0;
  try {
    for (;;) {
      account.take(heldDescriptors, 1);
      taken++;
    }
  } catch {
    assert.equal(finish(memory.held(address, PAGE, BOTH)), undefined);
  }
  account.give(heldDescriptors, taken);
  assert.equal(notHeld.areas, areas + 1);
  const name = readFileSync(`/proc/${child.pid}/comm`, 'utf8').trim();
  const whose = `process ${child.pid} (${name}): what the test has opened holds `;
  assert.ok(notHeld.reason.startsWith(whose), notHeld.reason);
  assert.match(notHeld.reason.slice(whose.length), /^\d+ descriptors of /);
  const held = finish(memory.held(address, PAGE, BOTH))!;
  assert.equal(notHeld.areas, areas + 1);
  held.close();
  memory.close();
});

test('a private mapping of a file in tmpfs is not held: the file is not what the process has', async () => {
  const child = newChild();
  const fd = await child.call('open', tmpfsFile(), O_RDWR, 0);
  const address = await child.call('mmap', 0, PAGE, BOTH, MAP_PRIVATE, fd, 0);
  assert.equal(hold(child, address, BOTH), undefined);
  const anonymous = await child.map(PAGE);
  assert.equal(hold(child, anonymous, BOTH), undefined);
});

test('a memfd that the caller has open is held, by whoever', async () => {
  const child = newChild();
  const fd = await child.memfd('held', PAGE);
  const address = await child.call('mmap', 0, PAGE, BOTH, MAP_SHARED, fd, 0);
  await child.poke(address, FIRST);
  const held = hold(child, address, BOTH)!;
  await child.kill();
  assert.deepEqual(bytesAt(held, address), FIRST);
  held.close();
});

test('a file that was sealed against writing since it was mapped is not held for writing', async () => {
  const child = newChild();
  const fd = await child.memfd('sealed', PAGE);
  const address = await child.call('mmap', 0, PAGE, BOTH, MAP_SHARED, fd, 0);
  assert.equal(await child.call('fcntl', fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
  assert.equal(hold(child, address, BOTH), undefined);
});

test('whatever is mapped there in the meantime, what is held has the rights of its own area', async () => {
  const child = newChild();
  const files = [await child.memfd('one', PAGE), await child.memfd('two', PAGE)] as const;
  const address = await child.call('mmap', 0, PAGE, BOTH, MAP_SHARED, files[0], 0);
  await child.poke(address, FIRST);
  const place = (n: number) =>
    child.call('mmap', address, PAGE, n === 0 ? BOTH : READ, MAP_SHARED | MAP_FIXED, files[n]!, 0);
  let done = false;
  const remaps = (async () => {
    for (let round = 0; round < 400; round++) await Promise.all([place(1), place(0)]);
    done = true;
  })();
  let looked = 0;
  while (!done) {
    const held = hold(child, address, READ);
    if (held !== undefined) {
      const writable = held.reaches(address, PAGE, WRITE);
      assert.deepEqual(bytesAt(held, address), writable ? FIRST : new Uint8Array(3));
      held.close();
      looked++;
    }
    await new Promise(setImmediate);
  }
  await remaps;
  assert.ok(looked > 0);
});
