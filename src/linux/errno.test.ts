import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test } from 'node:test';
import { Errno, errnoName } from './errno.js';

const aliases: Readonly<Record<string, string>> = { EWOULDBLOCK: 'EAGAIN', ENOTSUP: 'EOPNOTSUPP' };
const skip = process.platform !== 'linux' && 'these are the numbers of Linux';

test('every errno has its name, that of the C library', { skip }, () => {
  for (const [name, value] of Object.entries(constants.errno))
    assert.equal(errnoName(value), aliases[name] ?? name);
  const numbers = Object.values<number>(Errno).sort((a, b) => a - b);
  // 41 and 58 were EWOULDBLOCK and EDEADLOCK, which are other errnos' second names now.
  const all = Array.from({ length: 133 }, (_, n) => n + 1).filter((n) => n !== 41 && n !== 58);
  assert.deepEqual(numbers, all);
  assert.equal(errnoName(103), 'ECONNABORTED');
  assert.equal(errnoName(512), 'errno 512');
});
