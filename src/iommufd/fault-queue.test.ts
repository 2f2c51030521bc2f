import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FakeHardware } from '../testkit/fake-hardware.js';
import { refusal, refused } from '../testkit/refused.js';
import { BoundDevice } from './bound-device.js';
import { FaultQueue } from './fault-queue.js';
import { ObjectTable } from './objects.js';

const request = (group: number, address = 0n) => ({
  pasid: undefined,
  group,
  last: true,
  access: 1,
  address,
});

function device(): { device: BoundDevice; hardware: FakeHardware } {
  const hardware = new FakeHardware();
  return { device: new BoundDevice(new ObjectTable(), hardware), hardware };
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
      const queue = new FaultQueue();
      const devices = [device(), device()];
      let groups = 0;
      for (const { do: what, n } of steps) {
        if (what === 'deliver')
          queue.deliver({ device: devices[n]!.device, attachment: 0, requests: [request(groups++)] });
        else if (what === 'read' && queue.next !== undefined) queue.take();
        else if (what === 'abandon') queue.abandon(devices[n]!.device, 0);
        else if (what === 'respond') {
          const error = refusal(() => queue.respond(n, 0));
          assert.ok(error === undefined || error.code === 'EINVAL', error?.message);
        }
      }
      queue.destroy();
      const answered = devices.flatMap(({ hardware }) => hardware.responses.map(({ group }) => group));
      assert.deepEqual(
        answered.sort((a, b) => a - b),
        Array.from({ length: groups }, (_, n) => n),
      );
    }),
  );
});

test('a group is answered as the user says, and with INVALID when the queue goes before he does', () => {
  const queue = new FaultQueue();
  const { device: asks, hardware } = device();
  for (const group of [7, 8, 9]) queue.deliver({ device: asks, attachment: 0, requests: [request(group)] });
  assert.deepEqual([queue.take(), queue.take()], [1, 2]);
  queue.respond(2, 0);
  queue.destroy();
  assert.deepEqual(
    hardware.responses.map(({ group, code }) => [group, code]),
    [
      [8, 0],
      [9, 1],
      [7, 1],
    ],
  );
});

test('cookies are the lowest free numbers from 1 on', () => {
  const queue = new FaultQueue();
  const { device: asks } = device();
  for (let n = 0; n < 5; n++) queue.deliver({ device: asks, attachment: 0, requests: [request(n)] });
  assert.deepEqual([queue.take(), queue.take(), queue.take()], [1, 2, 3]);
  queue.respond(2, 1);
  assert.deepEqual([queue.take(), queue.take()], [2, 4]);
});

test('a bad answer is refused, and the group still waits for a good one', () => {
  const queue = new FaultQueue();
  const { device: asks, hardware } = device();
  queue.deliver({ device: asks, attachment: 0, requests: [request(1)] });
  refused(() => queue.respond(1, 0), 'EINVAL', /cookie 1$/);
  const cookie = queue.take();
  refused(() => queue.respond(cookie, 2), 'EINVAL', /code 2/);
  refused(() => queue.respond(cookie + 1, 0), 'EINVAL', /cookie 2$/);
  queue.respond(cookie, 0);
  refused(() => queue.respond(cookie, 0), 'EINVAL', /cookie 1$/);
  assert.equal(hardware.responses.length, 1);
});

test('what a device waits for goes with the attachment that it waits by, and with no other', () => {
  const queue = new FaultQueue();
  const { device: asks, hardware } = device();
  const { device: other, hardware: others } = device();
  queue.deliver({ device: asks, attachment: 0, requests: [request(1)] });
  queue.deliver({ device: asks, attachment: 5, requests: [request(2)] });
  queue.deliver({ device: other, attachment: 0, requests: [request(3)] });
  queue.take();
  queue.abandon(asks, 0);
  assert.deepEqual(
    hardware.responses.map(({ group }) => group),
    [1],
  );
  assert.deepEqual(others.responses, []);
  assert.equal(queue.next?.attachment, 5);
});
