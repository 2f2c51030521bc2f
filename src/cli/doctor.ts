/**
 * `ioasid doctor`: what this machine can do. Every check is tried for real where that is possible, and every
 * "no" says what to do.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, closeSync, constants, existsSync, openSync, readFileSync, readSync } from 'node:fs';
import { release } from 'node:os';
import color from 'picocolors';
import { copyDescriptor } from '../linux/fd-identity.js';
import { libc } from '../linux/ffi.js';
import { guardedCopy } from '../linux/guarded-copy.js';
import { canGuardHoles } from '../linux/hole-guard.js';
import { ownScript } from '../linux/own-package.js';
import { whyNotTraceable } from '../linux/ptrace.js';
import { launchMode, unshareCommand } from './launcher-process.js';
import { print } from './messages.js';
import type { FuseOffer } from './probe.js';

/** One line of the report. */
export interface Finding {
  readonly name: string;
  readonly ok: boolean;
  /** `ioasid run` cannot work without it. */
  readonly required: boolean;
  /** What was found. */
  readonly detail: string;
  /** What to do when it is not ok. */
  readonly remedy?: string;
}

const mode = launchMode();

/** Makes a finding of `attempt`: its text when it returns, its error's when it throws. */
function finding(name: string, required: boolean, remedy: string, attempt: () => string): Finding {
  try {
    return { name, required, ok: true, detail: attempt() };
  } catch (error) {
    return { name, required, ok: false, detail: (error as Error).message, remedy };
  }
}

/** The content of a file of /proc/sys. undefined where this kernel has none. */
function sysctl(name: string): string | undefined {
  const path = `/proc/sys/${name}`;
  return existsSync(path) ? readFileSync(path, 'latin1').trim() : undefined;
}

function ffiWorks(): Finding {
  return finding(
    'C library',
    true,
    'run `npm ci` again on this machine: the FFI brings a prebuilt library for it',
    () => {
      libc();
      return 'calls the C library';
    },
  );
}

function fuseDevice(): Finding {
  const present = existsSync('/dev/fuse');
  const remedy = present
    ? 'as root: chmod 666 /dev/fuse, or run ioasid as root'
    : 'as root: modprobe fuse; in a container: start it with --device /dev/fuse';
  return finding('/dev/fuse', true, remedy, () => {
    if (!present) throw new Error('there is no /dev/fuse');
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
    return 'can be opened';
  });
}

/**
 * What the kernel offers to a FUSE server that is mounted the way `run` mounts it. @throws Error why there is
 * none.
 */
export function fuseOffer(): FuseOffer {
  const script = ownScript('cli/probe.js');
  const [file, ...args] = unshareCommand(mode, [process.execPath, script, mode]);
  const { error, status, stdout, stderr } = spawnSync(file!, args, { encoding: 'utf8', timeout: 10_000 });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(stderr.trim() || `${file} failed with status ${status}`);
  return JSON.parse(stdout) as FuseOffer;
}

function fuse(): Finding[] {
  let offer: FuseOffer | undefined;
  const mounted = finding(
    'FUSE',
    true,
    'see /dev/fuse and user namespaces; in a container: --cap-add SYS_ADMIN',
    () => {
      offer = fuseOffer();
      return `mounted in a namespace of its own, protocol ${offer.major}.${offer.minor}`;
    },
  );
  const mapped = finding(
    'mapped BARs',
    false,
    'needs Linux 6.11 on x86-64, and ptrace; without it REGION_INFO offers no mmap',
    () => {
      if (offer === undefined) throw new Error('unknown without FUSE');
      if (!offer.mappable) throw new Error(`FUSE does not let files be mapped shared (Linux ${release()})`);
      const reason = whyNotTraceable();
      if (reason !== undefined) throw new Error(reason);
      return 'loads and stores are traced, of programs that map one under `run`';
    },
  );
  return [mounted, mapped];
}

function unshareProgram(): Finding {
  return finding('unshare(1)', mode === 'user', 'install util-linux 2.38 or newer', () => {
    const { error, stdout } = spawnSync('unshare', ['--version'], { encoding: 'utf8' });
    if (error !== undefined) throw new Error('there is no unshare in the PATH');
    return stdout.trim();
  });
}

function userNamespaces(): Finding {
  const settings = [
    'user/max_user_namespaces',
    'kernel/unprivileged_userns_clone',
    'kernel/apparmor_restrict_unprivileged_userns',
  ];
  const values = settings.flatMap((name) => {
    const value = sysctl(name);
    return value === undefined ? [] : [`${name.replaceAll('/', '.')}=${value}`];
  });
  const remedy =
    'as root: sysctl -w user.max_user_namespaces=10000, kernel.unprivileged_userns_clone=1, ' +
    'kernel.apparmor_restrict_unprivileged_userns=0 (those that exist), or run ioasid as root';
  return finding('user namespaces', mode === 'user', remedy, () => {
    const [file, ...args] = unshareCommand('user', ['true']);
    const { error, status, stderr } = spawnSync(file!, args, { encoding: 'utf8' });
    if (error !== undefined) throw error;
    if (status !== 0) throw new Error(`${stderr.trim()} (${values.join(', ')})`);
    return values.join(', ');
  });
}

/** Reads eight bytes of process `pid`'s memory, at an address that is mapped in it. */
/** Reads a word of a process's memory as the server does for a DMA. */
function readMemoryOf(pid: number): void {
  const line = readFileSync(`/proc/${pid}/maps`, 'latin1')
    .split('\n')
    .find((area) => / r[w-][x-]p /.test(area));
  const memory = openSync(`/proc/${pid}/mem`, 'r+');
  try {
    readSync(memory, Buffer.alloc(8), 0, 8, Number.parseInt(line ?? '0', 16));
  } finally {
    closeSync(memory);
  }
}

/** What a server must be allowed to do to its callers, tried on a child, as the command of `run` is one. */
async function tracing(): Promise<Finding[]> {
  const scope = sysctl('kernel/yama/ptrace_scope');
  const yama = scope === undefined ? 'no Yama' : `kernel.yama.ptrace_scope=${scope}`;
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  await once(child, 'spawn');
  const pid = child.pid ?? 0;
  const container = 'in a container: --cap-add SYS_PTRACE, or a seccomp profile that allows it';
  try {
    return [
      {
        name: 'ptrace rules',
        required: false,
        ok: scope === undefined || Number(scope) < 2 || mode === 'root',
        detail:
          scope === '1' ? `${yama}: \`run\` works, \`serve\` only for its own family, or as root` : yama,
        remedy: 'as root: sysctl -w kernel.yama.ptrace_scope=1',
      },
      finding('/proc/PID/mem', true, container, () => {
        readMemoryOf(pid);
        return 'reads the memory of a child';
      }),
      finding('pidfd_getfd', true, `needs Linux 5.6; ${container}`, () => {
        libc().close(copyDescriptor(pid, 0));
        return 'copies descriptors of a child';
      }),
    ];
  } finally {
    child.kill('SIGKILL');
  }
}

function seccomp(): Finding[] {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  const remedy =
    'needs Linux 5.9 with CONFIG_SECCOMP_FILTER; only the calls that return a new descriptor need it';
  return [
    finding('seccomp notification', false, remedy, () => {
      const actions = sysctl('kernel/seccomp/actions_avail');
      if (actions?.includes('user_notif') !== true) throw new Error('the kernel does not have it');
      return 'SECCOMP_RET_USER_NOTIF';
    }),
    finding('seccomp ADDFD', false, remedy, () => {
      if (major < 5 || (major === 5 && minor < 9)) throw new Error(`Linux ${release()} does not have it`);
      return `Linux ${release()} has it`;
    }),
  ];
}

function userfaults(): Finding {
  const remedy =
    'in a container: a seccomp profile that allows userfaultfd(2); without it the server is charged for ' +
    'what devices touch of sparse memfds (docs/limits.md)';
  return finding('userfaultfd', false, remedy, () => {
    if (!canGuardHoles()) throw new Error('userfaultfd(2) cannot be had');
    return 'keeps DMA from making pages that the server is charged for';
  });
}

/** Device files of vDPA need nothing that others do not; but their speed is that of their memory. */
function vdpa(): Finding {
  const remedy = 'needs x86-64 or arm64, and pages that may become executable; it works without, more slowly';
  return finding('vDPA', false, remedy, () => {
    if (guardedCopy() === undefined) throw new Error('memory of guests is reached by system calls alone');
    return 'memory of guests (memfds) is mapped';
  });
}

/** Checks everything. */
export async function examine(): Promise<Finding[]> {
  const ffi = ffiWorks();
  const able = ffi.ok ? [...(await tracing()), userfaults(), vdpa()] : [];
  return [ffi, fuseDevice(), ...fuse(), unshareProgram(), userNamespaces(), ...able, ...seccomp()];
}

function line({ name, ok, required, detail, remedy }: Finding): string {
  const answer = ok ? color.green('yes') : required ? color.red('no ') : color.yellow('no ');
  const advice = ok || remedy === undefined ? '' : `\n     ${color.bold('→')} ${remedy}`;
  return `${answer}  ${name}: ${detail}${advice}`;
}

/** Prints what was found. @returns the exit status: 0 when `ioasid run` can work here. */
export async function doctor({ json }: { readonly json?: boolean }): Promise<number> {
  const findings = await examine();
  const able = findings.every(({ ok, required }) => ok || !required);
  if (json) {
    print(`${JSON.stringify(findings, null, 2)}\n`);
  } else {
    const verdict = able
      ? `\`ioasid run\` works here${mode === 'root' ? '' : ', without root'}`
      : '`ioasid run` cannot work here';
    print(`${findings.map(line).join('\n')}\n${color.bold(verdict)}\n`);
  }
  return able ? 0 : 1;
}
