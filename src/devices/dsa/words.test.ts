/** What the device says of what it does not do: one sentence for each cause, with the value at fault. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { command, mdev, RECORD, submit } from '../../testkit/dsa-program.js';
import { PAGE, SparseHost } from '../../testkit/sparse-host.js';
import { settle } from '../fake-host.js';
import { Opcode } from './descriptor.js';
import createDsa from './index.js';
import { Command } from './registers.js';

const ready = (host: SparseHost) => createDsa(host, { ready: '1' });

/** What the device says while `act` is done to it. */
function saidBy(act: (host: SparseHost) => void): readonly string[] {
  const host = new SparseHost();
  host.map(1, PAGE, PAGE);
  act(host);
  return host.notes;
}

test('a descriptor for a device that is not configured is answered by what to do', () => {
  const [note] = saidBy((host) => submit(createDsa(host, {}), { pasid: 1, opcode: Opcode.NOOP }));
  assert.match(note!, /^work queue 0 is not enabled: the device is not configured; `--device dsa,ready=1`/);
});

test('what gets into no work queue is named: its size, its PASID, a full queue', () => {
  const notes = saidBy((host) => {
    const device = ready(host);
    device.writeBar(2, 0, new Uint8Array(8));
    submit(device, { pasid: 0, opcode: Opcode.NOOP });
    for (let i = 0; i < 17; i++) submit(device, { pasid: 1, opcode: Opcode.NOOP });
  });
  assert.deepEqual(notes, [
    '8 bytes at 0x0 of the portals are dropped: 8 work queues take 64 bytes at once, aligned',
    'PASID 0 does not get into work queue 0: a PASID is not 0',
    'work queue 0 is full with 16 descriptors; write it again',
  ]);
  const foreign = new SparseHost([5]);
  submit(mdev(foreign), { pasid: 6, opcode: Opcode.NOOP });
  assert.match(foreign.notes[0]!, /^PASID 6 does not get into work queue 0: this device has not been auth/);
});

test('a descriptor that breaks a rule is named with the rule and the value', () => {
  const wrong = [
    [{ opcode: 0x3f }, /status 0x10: opcode 0x3f is none that this work queue does/],
    [{ opcode: Opcode.NOOP, completion: PAGE + 8 }, /record address 0x1008 is not aligned to 32 bytes/],
    [{ opcode: Opcode.NOOP, flags: RECORD | 0x1 }, /status 0x11: of its flags 0xd those in 0x1 may not/],
    [{ opcode: Opcode.MEMMOVE, size: 0 }, /status 0x13: its transfer size 0 is not 1 to 2147483648/],
    [{ opcode: Opcode.BATCH, size: 1 }, /status 0x14: its batch of 1 is not of 2 to/],
    [{ opcode: Opcode.CREATE_DELTA, size: 8 }, /status 0x15: the size of its delta record, 0 or at most 0, /],
    [
      { opcode: Opcode.DIF_CHECK, a: PAGE, size: 520, rest: [0, 0, 0, 0, 0, 0, 0, 0, 1] },
      /status 0x9: the integ/,
    ],
    [
      { opcode: Opcode.APPLY_DELTA, a: PAGE + 800, b: PAGE + 64, size: 16, c: 20 },
      /status 0x7: the offsets of its/,
    ],
    [
      { opcode: Opcode.APPLY_DELTA, a: PAGE + 800, b: PAGE + 64, size: 8, c: 10 },
      /status 0x8: an offset of its/,
    ],
  ] as const;
  for (const [fields, sentence] of wrong) {
    const notes = saidBy((host) => {
      const device = ready(host);
      // The first offset of what the last cases take for a delta record: the second is 0.
      host.poke(1, PAGE + 800, Uint8Array.of(1));
      submit(device, { pasid: 1, flags: RECORD, completion: PAGE, ...fields });
      settle(device);
    });
    assert.equal(notes.length, 1, String(sentence));
    assert.match(notes[0]!, sentence);
  }
});

test('a command that fails is named with its status and why', () => {
  const notes = saidBy((host) => command(createDsa(host, {}), Command.ENABLE_WQ, 3));
  assert.deepEqual(notes, ['command 6 (operand 0x3) ends with status 0x20: the device is not enabled']);
});

test('what goes well is not spoken of', () => {
  const notes = saidBy((host) => {
    const device = ready(host);
    submit(device, {
      pasid: 1,
      opcode: Opcode.FILL,
      b: PAGE + 64,
      size: 64,
      flags: RECORD,
      completion: PAGE,
    });
    settle(device);
  });
  assert.deepEqual(notes, []);
});
