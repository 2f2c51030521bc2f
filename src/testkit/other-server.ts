/**
 * A second server on the machine, `ioasid serve`, whose files a test compares with those of its own run.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { requireSound } from './processes.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

export class OtherServer {
  /** Where its files are. */
  readonly folder: string;
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;
  #complaints = '';

  private constructor(folder: string, process: ChildProcess) {
    this.folder = folder;
    this.#process = process;
    this.#ended = new Promise((resolve) => process.on('exit', () => resolve()));
  }

  /** Starts one with `device`. @returns the server, or why there is none. */
  static async start(device: string): Promise<OtherServer | string> {
    const folder = mkdtempSync(join(tmpdir(), 'ioasid-serve-'));
    const args = ['bin/ioasid', 'serve', '--device', device, folder];
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    const server = new OtherServer(folder, child);
    child.stderr.on('data', (part: Buffer) => (server.#complaints += part.toString()));
    const said = new Promise<boolean>((resolve) =>
      createInterface(child.stdout).once('line', () => resolve(true)),
    );
    if (await Promise.race([said, server.#ended.then(() => false)])) return server;
    rmSync(folder, { recursive: true });
    return `\`ioasid serve\` cannot work here: ${server.#complaints.trim()}`;
  }

  async stop(): Promise<void> {
    this.#process.kill('SIGTERM');
    await this.#ended;
    rmSync(this.folder, { recursive: true, force: true });
    requireSound(this.#complaints);
  }
}
