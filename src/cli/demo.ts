/**
 * `ioasid demo`: the model, played by two VMs. With real processes where `ioasid run` works; otherwise, and
 * when asked, in-process.
 *
 * The first is `ioasid run -- node demo/story-main.js` as a child of this process, whose status this ends
 * with.
 */
import { spawn } from 'node:child_process';
import color from 'picocolors';
import { libc } from '../linux/ffi.js';
import { ownFile, ownScript } from '../linux/own-package.js';
import { caveats, makeInProcessWorld } from './demo/in-process-world.js';
import { Report } from './demo/report.js';
import { tell } from './demo/story.js';
import { storyDevices } from './demo/world.js';
import { OUR_FAULT } from './launch-plan.js';
import { complain } from './messages.js';

const ioasid = ownFile('bin/ioasid');
const story = ownScript('cli/demo/story-main.js');

export interface DemoOptions {
  /** Do not even try with real processes. */
  readonly inProcess?: boolean;
}

interface Outcome {
  readonly status: number;
  /** Why there was no story at all. */
  readonly reason?: string;
}

/** @returns the exit status: 0 when everything was as it must be. */
export async function demo({ inProcess }: DemoOptions = {}): Promise<number> {
  // Whoever stops reading still gets the status.
  process.stdout.on('error', () => undefined);
  if (inProcess) return tellInProcess('asked for with --in-process');
  const reason = unable();
  const outcome = reason === undefined ? await tellForReal() : { status: OUR_FAULT, reason };
  return outcome.reason === undefined ? outcome.status : tellInProcess(outcome.reason);
}

/** Why this machine cannot even try. */
function unable(): string | undefined {
  if (process.platform !== 'linux') return `real device files need Linux, and this is ${process.platform}`;
  try {
    libc();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

async function tellInProcess(reason: string): Promise<number> {
  console.log(`${color.yellow('In-process, without device files:')} ${reason}`);
  for (const caveat of caveats) console.log(color.dim(caveat));
  const report = new Report((line) => console.log(line));
  return (await tell(await makeInProcessWorld(), report)) ? 0 : 1;
}

/** Where `run` fails before a word of the story is said, there is no story to be had in this way. */
function tellForReal(): Promise<Outcome> {
  const devices = storyDevices.flatMap((spec) => ['--device', spec]);
  const colors = color.isColorSupported ? { FORCE_COLOR: '1' } : { NO_COLOR: '1' };
  const child = spawn(process.execPath, [ioasid, 'run', ...devices, '--', process.execPath, story], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...colors },
  });
  let begun = false;
  let errors = '';
  child.stdout.on('data', (part: Buffer) => {
    begun = true;
    process.stdout.write(part);
  });
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    errors += part;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => {
      const noStory = status === OUR_FAULT && !begun;
      if (noStory)
        return resolve({
          status,
          reason: errors.split('\n')[0]?.replace(/^ioasid: /, '') || '`ioasid run` does not say why',
        });
      process.stderr.write(errors);
      if (signal !== null) complain(`the server was ended by ${signal}`);
      return resolve({ status: status ?? OUR_FAULT });
    });
  });
}
