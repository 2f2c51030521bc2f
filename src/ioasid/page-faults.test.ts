import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { refusal, refused } from '../testkit/refused.js';
import { PageFaults, type PageResponse } from './page-faults.js';

const request = (group: number, address = 0n) => ({
  pasid: undefined,
  group,
  last: true,
  access: 1,
  address,
});

/** A device, and what it was answered. */
function device() {
  const responses: PageResponse[] = [];
  return { responses, respond: (response: PageResponse) => void responses.push(response) };
}

test('every delivered group gets one answer, whatever the user does and whenever its device goes', () => {
  const step = fc.oneof(
    { arbitrary: fc.record({ do: fc.constant('deliver' as const), n: fc.nat(1) }), weight: 4 },
    { arbitrary: fc.record({ do: fc.constant('read' as const), n: fc.constant(0) }), weight: 3 },
    { arbitrary: fc.record({ do: fc.constant('respond' as const), n: fc.nat(5) }), weight: 3 },
    { arbitrary: fc.record({ do: fc.constant('abandon' as const), n: fc.nat(1) }), weight: 1 },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const queue = new PageFaults();
      const devices = [device(), device()];
      let groups = 0;
      for (const { do: what, n } of steps) {
        if (what === 'deliver')
          queue.deliver({ source: devices[n]!, id: n, attachment: 0, requests: [request(groups++)] });
        else if (what === 'read' && queue.next !== undefined) queue.take();
        else if (what === 'abandon') queue.abandon(devices[n]!, 0);
        else if (what === 'respond') {
          const error = refusal(() => queue.respond(n, 0));
          assert.ok(error === undefined || error.code === 'EINVAL', error?.message);
        }
      }
      queue.end();
      const answered = devices.flatMap(({ responses }) => responses.map(({ group }) => group));
      assert.deepEqual(
        answered.sort((a, b) => a - b),
        Array.from({ length: groups }, (_, n) => n),
      );
    }),
  );
});

test('a group is answered as the user says, and with INVALID when the queue goes before he does', () => {
  const queue = new PageFaults();
  const asks = device();
  for (const group of [7, 8, 9])
    queue.deliver({ source: asks, id: 1, attachment: 0, requests: [request(group)] });
  assert.deepEqual([queue.take(), queue.take()], [1, 2]);
  queue.respond(2, 0);
  queue.end();
  assert.deepEqual(
    asks.responses.map(({ group, code }) => [group, code]),
    [
      [8, 0],
      [9, 1],
      [7, 1],
    ],
  );
});

test('cookies are the lowest free numbers from 1 on', () => {
  const queue = new PageFaults();
  const asks = device();
  for (let n = 0; n < 5; n++) queue.deliver({ source: asks, id: 1, attachment: 0, requests: [request(n)] });
  assert.deepEqual([queue.take(), queue.take(), queue.take()], [1, 2, 3]);
  queue.respond(2, 1);
  assert.deepEqual([queue.take(), queue.take()], [2, 4]);
});

test('a bad answer is refused, and the group still waits for a good one', () => {
  const queue = new PageFaults();
  const asks = device();
  queue.deliver({ source: asks, id: 1, attachment: 0, requests: [request(1)] });
  refused(() => queue.respond(1, 0), 'EINVAL', /cookie 1$/);
  const cookie = queue.take();
  refused(() => queue.respond(cookie + 1, 0), 'EINVAL', /cookie 2$/);
  queue.respond(cookie, 0);
  refused(() => queue.respond(cookie, 0), 'EINVAL', /cookie 1$/);
  assert.equal(asks.responses.length, 1);
});

test('what a device waits for goes with the attachment that it waits by, and with no other', () => {
  const queue = new PageFaults();
  const asks = device();
  const other = device();
  queue.deliver({ source: asks, id: 1, attachment: 0, requests: [request(1)] });
  queue.deliver({ source: asks, id: 1, attachment: 5, requests: [request(2)] });
  queue.deliver({ source: other, id: 2, attachment: 0, requests: [request(3)] });
  queue.take();
  queue.abandon(asks, 0);
  assert.deepEqual(
    asks.responses.map(({ group }) => group),
    [1],
  );
  assert.deepEqual(other.responses, []);
  assert.equal(queue.next?.attachment, 5);
});
