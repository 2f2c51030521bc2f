import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { compiled } from './together.js';

const folder = mkdtempSync(join(tmpdir(), 'ioasid-run-tests-'));
after(() => rmSync(folder, { recursive: true }));

/** What is printed of a run of test files, which have these texts, in this order; and how it ends. */
function run(texts: Record<string, string>): { printed: string; status: number | null } {
  const paths = Object.entries(texts).map(([name, text]) => {
    const path = join(folder, `${name}.test.mjs`);
    writeFileSync(path, `import { test } from 'node:test';\n${text}`);
    return path;
  });
  const { NODE_TEST_CONTEXT: _, IOASID_TEST_FOLDER: __, ...env } = process.env;
  const runner = join(compiled, 'testkit/run-tests.js');
  const { stdout, status } = spawnSync(process.execPath, [runner, ...paths], { env, encoding: 'utf8' });
  return { printed: stdout, status };
}

test('the test files of a suite share a folder, which is gone when the suite has ended', () => {
  const tells = "test('tells', () => console.log('in', process.env.IOASID_TEST_FOLDER));";
  const { printed, status } = run({ one: tells, other: tells });
  assert.equal(status, 0, printed);
  const [one, other] = [...printed.matchAll(/^in (\/.*)$/gm)].map(([, path]) => path!);
  assert.ok(one !== undefined, printed);
  assert.equal(one, other);
  assert.ok(!existsSync(one));
});

test('test files begin in the order in which they are given', () => {
  const named = (name: string) => `test('${name}', () => {});`;
  const { printed, status } = run({ c: named('first'), a: named('second'), b: named('third') });
  assert.equal(status, 0, printed);
  const names = [...printed.matchAll(/^✔ (\w+) /gm)].map(([, name]) => name);
  assert.deepEqual(names, ['first', 'second', 'third']);
});

test('a suite fails where a test fails or a file ends early, and says at the end why', () => {
  const { printed, status } = run({
    asserts: "test('asserts', () => { throw new Error('asserted'); });",
    ends: 'process.exit(3);',
    well: "test('well', () => {});",
  });
  assert.equal(status, 1, printed);
  const [, failures = ''] = printed.split('failing tests:');
  assert.match(failures, /✖ asserts .*\n\s+Error: asserted/);
  assert.match(failures, /✖ \S*ends\.test\.mjs /);
  assert.doesNotMatch(failures, /well/);
});
