/**
 * Work queues of Linux's idxd under programs that come and go with work outstanding. IOASID_IDXD=10000 is for
 * a long soak.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { withoutLate } from '../../testkit/late-servers.js';
import { bin, ioasid, runner } from '../../testkit/processes.js';

const ROUNDS = Number(process.env.IOASID_IDXD ?? 300);
/** So many are one test, which has a limit of time. */
const TOGETHER = 1000;
const devices = ['wqs=1,size=8', 'wqs=1,mode=dedicated'].flatMap((options) => [
  '--device',
  `dsa,idxd=1,ready=1,${options}`,
]);

/** A program that fails while the server whose process id it is given holds something. */
const holdsNothing = `
  const servers = JSON.parse(require("fs").readFileSync(0));
  const { contexts, openers, pasids, mappings, memories } = servers.find(({ pid }) => pid == process.argv[1]);
  process.exitCode = contexts.length + openers.length + pasids.used + mappings + memories > 0 ? 1 : 0;`;

const skip = runner.skip || missingCompiler() || (process.arch === 'x64' ? false : `not on ${process.arch}`);

describe(`hostile programs on /dev/dsa as ${runner.name}`, { skip }, () => {
  for (let first = 0; first < ROUNDS; first += TOGETHER) {
    it('of each only its own memory is reached, and nothing of it stays', () => {
      const node = `"${process.execPath}"`;
      const idle = `${node} "${bin}" ls --json | ${node} -e '${holdsNothing}' $PPID`;
      const rounds = Math.min(TOGETHER, ROUNDS - first);
      const script = `ROUNDS=${rounds} "${testProgram('idxd')}" rounds && until ${idle}; do :; done`;
      const { status, stdout, stderr } = ioasid(['run', ...devices, '--', 'sh', '-c', script], runner);
      const said = { status, stdout, stderr: withoutLate(stderr) };
      assert.deepEqual(said, { status: 0, stdout: 'rounds ok\n', stderr: '' });
    });
  }
});
