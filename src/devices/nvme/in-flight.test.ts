/** Commands that others are about while they are under way: aborted, or named twice. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { type Completed, DATA, NvmeDriver, type Pair } from '../../testkit/nvme-driver.js';

const ABORT = 8;
const EVENT = 12;
const ABORTED = 0;
const NOT_ABORTED = 1;
/** Bytes that a request moves at a time. */
const PIECE = 1 << 17;

let driver: NvmeDriver;
let queue: Pair;
beforeEach(async () => {
  driver = new NvmeDriver([1 << 20]);
  driver.enable();
  queue = await driver.createPair(1);
});
afterEach(() => driver.close());

/** A write of `length` bytes to the start of the namespace, from contiguous memory. */
function write(id: number, length: number): void {
  const pointer = new Uint8Array(16);
  const view = new DataView(pointer.buffer);
  view.setBigUint64(0, BigInt(DATA), true);
  view.setUint32(8, length, true);
  driver.write(queue, { opcode: 1, flags: 0x40, id, nsid: 1, pointer, dwords: [0, 0, length / 512 - 1] });
}

/** Has the controller fetch what was written into `pair`; no disk is done before this test waits. */
function begin(pair: Pair): void {
  driver.ring(pair);
  driver.model.step!();
}

function abort(id: number, which: number): void {
  driver.write(driver.admin, { opcode: ABORT, id, dwords: [queue.id | (which << 16)] });
}

const statusOf = ({ id, status }: Completed) => [id, status];
const resultOf = ({ id, status, result }: Completed) => [id, status, result];

describe('Abort of a command that is under way', () => {
  test('ends it before its next piece; the command to abort it completes after it', async () => {
    driver.memory.fill(0xaa, DATA, DATA + 2 * PIECE);
    write(7, 2 * PIECE);
    begin(queue);
    abort(50, 7);
    begin(driver.admin);
    assert.equal(driver.take(driver.admin), undefined, 'not before the command has ended');
    assert.deepEqual(statusOf(await driver.next(queue)), [7, 0x07]);
    assert.deepEqual(resultOf(await driver.next(driver.admin)), [50, 0, ABORTED]);
    const blocks = driver.contents(1);
    assert.ok(blocks.subarray(0, PIECE).every((byte) => byte === 0xaa));
    assert.ok(
      blocks.subarray(PIECE).every((byte) => byte === 0),
      'the second piece was not written',
    );
  });

  test('that has no further piece ends as ever, and says that it was not aborted', async () => {
    write(7, PIECE);
    begin(queue);
    abort(50, 7);
    begin(driver.admin);
    assert.deepEqual(statusOf(await driver.next(queue)), [7, 0]);
    assert.deepEqual(resultOf(await driver.next(driver.admin)), [50, 0, NOT_ABORTED]);
  });

  test('that is over, was never there, or is to be aborted already: not aborted, at once', async () => {
    write(7, PIECE);
    begin(queue);
    abort(50, 7);
    abort(51, 7);
    abort(52, 8);
    begin(driver.admin);
    assert.deepEqual(resultOf(await driver.next(driver.admin)), [51, 0, NOT_ABORTED]);
    assert.deepEqual(resultOf(await driver.next(driver.admin)), [52, 0, NOT_ABORTED]);
    await driver.next(queue);
    assert.deepEqual(resultOf(await driver.next(driver.admin)), [50, 0, NOT_ABORTED]);
    abort(53, 7);
    driver.ring(driver.admin);
    assert.deepEqual(resultOf(await driver.next(driver.admin)), [53, 0, NOT_ABORTED]);
  });

  test('may be asked for four at a time; the next is Abort Command Limit Exceeded', async () => {
    for (let id = 1; id <= 5; id++) write(id, 2 * PIECE);
    begin(queue);
    for (let id = 1; id <= 5; id++) abort(50 + id, id);
    begin(driver.admin);
    assert.deepEqual(statusOf(await driver.next(driver.admin)), [55, 0x103]);
    const ended = new Map<number, number>();
    for (let n = 0; n < 5; n++) {
      const { id, status } = await driver.next(queue);
      ended.set(id, status);
    }
    assert.deepEqual(
      [1, 2, 3, 4, 5].map((id) => ended.get(id)),
      [7, 7, 7, 7, 0],
    );
  });

  test('leaves nothing behind a reset', async () => {
    write(7, 2 * PIECE);
    begin(queue);
    abort(50, 7);
    begin(driver.admin);
    driver.model.reset();
    driver.enable();
    queue = await driver.createPair(1);
    write(7, PIECE);
    driver.ring(queue);
    assert.deepEqual(statusOf(await driver.next(queue)), [7, 0]);
    await driver.settle();
    assert.equal(driver.take(driver.admin), undefined);
  });

  test('that is drained completes, and the command to abort it too', () => {
    write(7, 2 * PIECE);
    begin(queue);
    abort(50, 7);
    begin(driver.admin);
    while (driver.model.drain!(undefined, true));
    assert.deepEqual(statusOf(driver.take(queue)!), [7, 0x07]);
    assert.deepEqual(resultOf(driver.take(driver.admin)!), [50, 0, ABORTED]);
  });
});

describe('a command identifier that is in use', () => {
  test('is a conflict for the second command, and free again when the first has completed', async () => {
    write(7, PIECE);
    write(7, 512);
    begin(queue);
    assert.deepEqual(statusOf(await driver.next(queue)), [7, 0x03]);
    assert.match(driver.host.notes[0]!, /^command 7 of queue 1 is under way already/);
    assert.deepEqual(statusOf(await driver.next(queue)), [7, 0]);
    write(7, 512);
    driver.ring(queue);
    assert.deepEqual(statusOf(await driver.next(queue)), [7, 0]);
  });

  test('is one of its queue: another queue may use it', async () => {
    const other = await driver.createPair(2);
    write(7, PIECE);
    begin(queue);
    driver.write(other, { opcode: 0, id: 7, nsid: 1 });
    driver.ring(other);
    assert.deepEqual(statusOf(await driver.next(other)), [7, 0]);
    assert.deepEqual(statusOf(await driver.next(queue)), [7, 0]);
  });

  test('may be that of a request for events, or of a deletion that waits', async () => {
    driver.write(driver.admin, { opcode: EVENT, id: 9 });
    driver.write(driver.admin, { opcode: EVENT, id: 9 });
    driver.ring(driver.admin);
    assert.deepEqual(statusOf(await driver.next(driver.admin)), [9, 0x03]);
    write(7, PIECE);
    begin(queue);
    for (const id of [10, 10]) driver.write(driver.admin, { opcode: 0, id, dwords: [1] });
    begin(driver.admin);
    assert.deepEqual(statusOf(await driver.next(driver.admin)), [10, 0x03]);
    assert.deepEqual(statusOf(await driver.next(driver.admin)), [10, 0]);
  });
});
