/** `ioasid demo`, as it is typed. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missingFiles } from '../testkit/availability.js';
import { storySteps } from './demo/story.js';

const ioasid = fileURLToPath(new URL('../../bin/ioasid', import.meta.url));
const noFiles = await missingFiles();
const noMountNamespace = process.geteuid?.() === 0 ? noFiles : 'only root can hide /dev/fuse from the demo';

interface Shown {
  readonly status: number | null;
  readonly text: string;
}

function demo(
  options: readonly string[] = [],
  env: NodeJS.ProcessEnv = {},
  before: readonly string[] = [],
): Shown {
  const [file, ...args] = [...before, process.execPath, ioasid, 'demo', ...options];
  const { status, stdout, stderr } = spawnSync(file!, args, {
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined, ...env },
  });
  return { status, text: stdout + stderr };
}

/** The whole story was told, and all was as it must be. */
function assertGood({ status, text }: Shown): void {
  assert.equal(status, 0, text);
  for (const [n, [title]] of storySteps.entries()) assert.ok(text.includes(`${n + 1}  ${title}\n`), text);
  assert.match(text, /\d+ checks, all as they must be\n$/);
  assert.doesNotMatch(text, /✗/);
}

test('with real processes every step is told and holds', { skip: noFiles }, () => {
  const shown = demo();
  assertGood(shown);
  assert.match(shown.text, /through FUSE/);
  assert.match(shown.text, /bob +a Node program, process \d+/);
});

test('without a C compiler it says so, and both VMs are Node programs', { skip: noFiles }, () => {
  const shown = demo([], { CC: '/nonexistent/cc' });
  assertGood(shown);
  assert.match(shown.text, /alice +a Node program \(there is no C compiler \/nonexistent\/cc\), process \d+/);
});

test('in-process every step is told and holds, and it says which mean less', () => {
  const shown = demo(['--in-process']);
  assertGood(shown);
  assert.match(shown.text, /^In-process, without device files: asked for/);
  assert.match(shown.text, /Steps 4 and 8 mean less here/);
});

test('where FUSE cannot be had it says why, and tells the story in-process', {
  skip: noMountNamespace,
}, () => {
  const hidden = ['unshare', '--mount', 'sh', '-c', 'mount --bind /dev/null /dev/fuse && exec "$@"', 'sh'];
  const shown = demo([], {}, hidden);
  assertGood(shown);
  assert.match(shown.text, /^In-process, without device files: .*fuse/i);
});
