/**
 * Starting a process that Node does not know of: posix_spawn(3).
 *
 * It gets the descriptors that are named and no others (all that Node opens is close-on-exec); every signal
 * at its default and none blocked, as child_process has it.
 */
import { Errno, Refusal } from './errno.js';
import { address, lastErrno, libc } from './ffi.js';
import { StringArray } from './string-array.js';

/** More than posix_spawnattr_t and posix_spawn_file_actions_t of any C library here. */
const OPAQUE_BYTES = 512;
const SETPGROUP = 2;
const SETSIGDEF = 4;
const SETSIGMASK = 8;
const SETSID = 0x80;
const SIGSET_BYTES = 128;
const P_PID = 1;
const WEXITED = 4;
const CLD_EXITED = 1;

/**
 * Starts the program `argv[0]`, looked for in this process's PATH. `descriptors`: by their numbers there; no
 * number may be another one's here. `apart`: in a session, or a process group, of its own. @returns its
 * process id.
 * @throws Refusal ENOENT there is none; EAGAIN, ENOMEM as fork(2); what execve(2) says.
 */
export function spawn(
  argv: readonly string[],
  env: Readonly<NodeJS.ProcessEnv>,
  descriptors: ReadonlyMap<number, number>,
  { apart }: { readonly apart?: 'session' | 'group' } = {},
): number {
  const [pid, actions, attributes] = [
    Buffer.alloc(128),
    Buffer.alloc(OPAQUE_BYTES),
    Buffer.alloc(OPAQUE_BYTES),
  ];
  const file = Buffer.alloc(Math.max(128, Buffer.byteLength(argv[0]!) + 1));
  file.write(argv[0]!);
  const args = new StringArray(argv.map((text) => Buffer.from(text)));
  const variables = new StringArray(
    Object.entries(env).map(([name, value]) => Buffer.from(`${name}=${value}`)),
  );
  libc().posix_spawn_file_actions_init(address(actions));
  libc().posix_spawnattr_init(address(attributes));
  start(attributes, apart === 'session' ? SETSID : apart === 'group' ? SETPGROUP : 0);
  for (const [number, fd] of descriptors)
    libc().posix_spawn_file_actions_adddup2(address(actions), fd, number);
  const errno = libc().posix_spawnp(
    address(pid),
    address(file),
    address(actions),
    address(attributes),
    args.address,
    variables.address,
  );
  libc().posix_spawn_file_actions_destroy(address(actions));
  libc().posix_spawnattr_destroy(address(attributes));
  if (errno !== 0) throw new Refusal(errno, `${argv[0]} cannot be started`);
  return pid.readInt32LE(0);
}

/** Waits for the end of child `pid`. @returns its status as shells have it: of a signal, 128 and more. */
export function exitOf(pid: number): number {
  const info = new Int32Array(32);
  const at = address(new Uint8Array(info.buffer));
  while (libc().waitid(P_PID, pid, at, WEXITED) !== 0)
    if (lastErrno() !== Errno.EINTR) throw new Refusal(lastErrno(), `process ${pid} cannot be waited for`);
  const [status, code] = [info[6]!, info[2]];
  return code === CLD_EXITED ? status : 128 + status;
}

function start(attributes: Buffer, flags: number): void {
  const set = Buffer.alloc(SIGSET_BYTES);
  libc().posix_spawnattr_setsigmask(address(attributes), address(set));
  // All, those too that the C library keeps for itself: it would have the new program ignore them.
  set.fill(0xff);
  libc().posix_spawnattr_setsigdefault(address(attributes), address(set));
  libc().posix_spawnattr_setflags(address(attributes), SETSIGDEF | SETSIGMASK | flags);
}
