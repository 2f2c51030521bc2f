/**
 * The story, told in-process: in a true world, and in worlds where something is not as it must be, which it
 * has to notice.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import type { Actor } from './actor.js';
import { makeInProcessWorld } from './in-process-world.js';
import { Report } from './report.js';
import { storySteps, tell } from './story.js';

/** Answers a command in its own way. `actor` is the one who does it properly. */
type Wrong = (actor: Actor, command: string, numbers: number[], name: string) => Promise<string>;

interface Told {
  readonly ok: boolean;
  readonly lines: readonly string[];
  /** Numbers of the steps in which a check failed. */
  readonly failed: readonly number[];
}

/** Tells the story with actors that do `wrong`, or are not killed. */
async function told(wrong: Wrong = proper, immortal = false): Promise<Told> {
  const world = await makeInProcessWorld((actor, name) => ({
    what: actor.what,
    obey: (line) => {
      const [command = '', ...numbers] = line.split(' ');
      return wrong(actor, command, numbers.map(Number), name);
    },
    kill: () => (immortal ? Promise.resolve() : actor.kill()),
  }));
  const lines: string[] = [];
  const report = new Report((line) => lines.push(stripVTControlCharacters(line)));
  const ok = await tell(world, report, 100);
  return { ok, lines, failed: failedSteps(lines) };
}

const proper: Wrong = (actor, command, numbers) => actor.obey([command, ...numbers].join(' '));

function failedSteps(lines: readonly string[]): number[] {
  const failed = new Set<number>();
  let step = 0;
  for (const line of lines) {
    step = Number(/^(\d) {2}/.exec(line)?.[1] ?? step);
    if (line.includes('✗')) failed.add(step);
  }
  return [...failed];
}

test('where all is as it must be, every step is told, in order, and nothing fails', async () => {
  const { ok, lines, failed } = await told();
  assert.equal(ok, true, lines.join('\n'));
  assert.deepEqual(failed, []);
  const titles = lines.filter((line) => /^\d {2}/.test(line));
  assert.deepEqual(
    titles,
    storySteps.map(([title], n) => `${n + 1}  ${title}`),
  );
  assert.match(lines.at(-1)!, /^\d+ checks, all as they must be$/);
});

test('it notices a device that writes where it is not authorized', async () => {
  let memory = 0;
  const { ok, failed } = await told(async (actor, command, numbers, name) => {
    const answer = await proper(actor, command, numbers, name);
    if (command === 'memory' && name === 'alice') memory = Number(answer.split(' ')[1]);
    if (command === 'fill' && name === 'alice') await actor.obey(`set ${memory + 4096} 1 0xaa`);
    return answer;
  });
  assert.equal(ok, false);
  assert.equal(failed[0], 1);
});

test('it notices a device that does not fault', async () => {
  const { ok, failed } = await told((actor, command, numbers, name) =>
    command === 'fill' ? Promise.resolve('ok 0') : proper(actor, command, numbers, name),
  );
  assert.equal(ok, false);
  assert.equal(failed[0], 1);
});

test('it notices a device that cannot reach what it is authorized for', async () => {
  const { ok, failed } = await told((actor, command, numbers, name) =>
    command === 'authorize' ? Promise.resolve('ok 0') : proper(actor, command, numbers, name),
  );
  assert.equal(ok, false);
  assert.equal(failed[0], 2);
});

test('it notices an authorization that needs no FD', async () => {
  const { ok, failed } = await told(async (actor, command, numbers, name) => {
    const answer = await proper(actor, command, numbers, name);
    return command === 'authorize' && answer.startsWith('no 2 ') ? 'ok 0' : answer;
  });
  assert.equal(ok, false);
  assert.deepEqual(failed, [3]);
});

test('it notices a refusal without a reason', async () => {
  const { ok, failed } = await told(async (actor, command, numbers, name) => {
    const answer = await proper(actor, command, numbers, name);
    return answer.replace(/^(no \d+ ).*/, '$1');
  });
  assert.equal(ok, false);
  assert.deepEqual(failed, [3, 5, 6]);
});

test('it notices a refusal with the wrong errno', async () => {
  const { ok, failed } = await told(async (actor, command, numbers, name) => {
    const answer = await proper(actor, command, numbers, name);
    return answer.replace(/^no \d+ /, 'no 5 ');
  });
  assert.equal(ok, false);
  assert.deepEqual(failed, [3, 5, 6]);
});

test('it notices an mdev that loads a PASID which is not in its list', async () => {
  const { ok, failed } = await told((actor, command, numbers, name) =>
    command === 'error' ? Promise.resolve('ok 0') : proper(actor, command, numbers, name),
  );
  assert.equal(ok, false);
  assert.deepEqual(failed, [3, 5]);
});

test('it notices that an FD which was handed over is worth nothing', async () => {
  const { ok, failed } = await told((actor, command, numbers, name) =>
    proper(actor, command === 'receive' ? 'ioasid' : command, numbers, name),
  );
  assert.equal(ok, false);
  assert.deepEqual(failed, [4]);
});

test('it notices a vpasid that is not translated', async () => {
  const { ok, failed } = await told((actor, command, numbers, name) => {
    const changed = command === 'authorize' ? [...numbers.slice(0, 3), 0] : numbers;
    return proper(actor, command, changed, name);
  });
  assert.equal(ok, false);
  assert.equal(failed[0], 5);
});

test('it notices a PASID that can be freed while it is in use', async () => {
  const { ok, failed } = await told(async (actor, command, numbers, name) => {
    const answer = await proper(actor, command, numbers, name);
    return answer.startsWith('no 16 PASID') ? 'ok 0' : answer;
  });
  assert.equal(ok, false);
  assert.deepEqual(failed, [6]);
});

test('it notices a revoke that takes nothing back', async () => {
  const { ok, failed } = await told((actor, command, numbers, name) =>
    command === 'revoke' && name === 'alice'
      ? Promise.resolve('ok 0')
      : proper(actor, command, numbers, name),
  );
  assert.equal(ok, false);
  assert.equal(failed[0], 6);
});

test('it notices a context that survives its last close', async () => {
  const { ok, failed } = await told((actor, command, numbers, name) =>
    command === 'close' && name === 'bob' && numbers[0] === 5
      ? Promise.resolve('ok 0')
      : proper(actor, command, numbers, name),
  );
  assert.equal(ok, false);
  assert.equal(failed[0], 7);
});

test('it notices what a killed owner leaves behind', async () => {
  const { ok, failed, lines } = await told(proper, true);
  assert.equal(ok, false);
  assert.deepEqual(failed, [8]);
  assert.match(lines.find((line) => /^ +after/.test(line))!, /contexts 1 {2}PASIDs 1/);
});

test('it ends, as a failure, when a VM is gone', async () => {
  const { ok, lines } = await told((actor, command, numbers, name) =>
    command === 'receive'
      ? Promise.reject(new Error('bob has ended'))
      : proper(actor, command, numbers, name),
  );
  assert.equal(ok, false);
  assert.ok(lines.some((line) => line.includes('✗') && line.includes('bob has ended')));
});
