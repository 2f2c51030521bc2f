import assert from 'node:assert/strict';
import { closeSync, fstatSync, openSync, readFileSync, writeSync } from 'node:fs';
import { afterEach, beforeEach, test } from 'node:test';
import { receiveDescriptor, sendDescriptor, socketPair } from './fd-passing.js';

const O_CLOEXEC = 0o2000000;
let [left, right] = [-1, -1];

beforeEach(() => {
  [left, right] = socketPair();
});

afterEach(() => {
  for (const fd of [left, right]) if (fd >= 0) closeSync(fd);
});

test('what is received is the same file under a number of its own, and close-on-exec', () => {
  const sent = openSync('/dev/null', 'r');
  sendDescriptor(left, sent);
  closeSync(sent);
  const received = receiveDescriptor(right);
  assert.equal(fstatSync(received).rdev, fstatSync(openSync('/dev/null', 'r')).rdev);
  const flags = /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${received}`, 'latin1'))![1]!;
  assert.equal(Number.parseInt(flags, 8) & O_CLOEXEC, O_CLOEXEC);
  closeSync(received);
});

test('descriptors arrive one by one, in the order in which they were sent', () => {
  const files = ['/dev/null', '/dev/zero', '/dev/full'].map((path) => openSync(path, 'r'));
  for (const fd of files) sendDescriptor(left, fd);
  const received = files.map(() => receiveDescriptor(right, { wait: false }));
  assert.deepEqual(
    received.map((fd) => fstatSync(fd).rdev),
    files.map((fd) => fstatSync(fd).rdev),
  );
  for (const fd of [...files, ...received]) closeSync(fd);
});

test('a message that is not there, has no descriptor, or cannot come any more is refused', () => {
  assert.throws(() => receiveDescriptor(right, { wait: false }), { code: 'EAGAIN' });
  writeSync(left, 'x');
  assert.throws(() => receiveDescriptor(right), { code: 'ENODATA' });
  closeSync(left);
  left = -1;
  assert.throws(() => receiveDescriptor(right), { code: 'ENODATA' });
});

test('a descriptor that is not open, or nobody to receive it, is refused', () => {
  assert.throws(() => sendDescriptor(left, 9999), { code: 'EBADF', reason: /9999/ });
  closeSync(right);
  right = -1;
  assert.throws(() => sendDescriptor(left, 0), { code: 'EPIPE' });
});
