/**
 * Becoming the tracer of a thread, without waiting for its process for long.
 *
 * PTRACE_SEIZE waits while another thread of the process executes a program, until those that have not ended
 * have; one that waits for an answer of ours does not end before it has it. So another thread of this process
 * may have the wait given up: by a signal, whose handler makes the call, which the kernel would begin anew,
 * return EINTR. Any other call goes on.
 */
import { Errno, Refusal } from './errno.js';
import { lastErrno, libc } from './ffi.js';
import { installHandler, type MachineCode } from './machine-code.js';

const SEIZE = 0x4206;
/** Ignored by default, and nobody's here. */
const SIGURG = 23;
const SYS_gettid = 186;
const SYS_tgkill = 234;

/**
 * PTRACE_O_TRACEFORK, TRACEVFORK, TRACECLONE, TRACEEXEC: what a traced thread starts is traced as well.
 * TRACEEXIT: it can be let go before its end, which its parent hears of at once only then. TRACESYSGOOD:
 * AT_CALL.
 */
const OPTIONS = 0x5f;

export const giveUpCode: MachineCode = {
  text: `                        | handler:                        | edi signal, rsi siginfo, rdx ucontext
48 83 ba 90 00 00 00 65          | cmp qword ptr [rdx + 144], 101  | rax: ptrace(2), to begin
75 21                            | jne other                       |
48 8b 82 a8 00 00 00             | mov rax, [rdx + 168]            | rip
66 81 38 0f 05                   | cmp word ptr [rax], 0x050f      | syscall
75 13                            | jne other                       |
48 83 82 a8 00 00 00 02          | add qword ptr [rdx + 168], 2    | behind it
48 c7 82 90 00 00 00 fc ff ff ff | mov qword ptr [rdx + 144], -4   | -EINTR
                                 | other:                          |
c3                               | ret                             |
                                 | .balign 8                       |
                                 | previous:                       |`,
  handler: 0,
  previous: 0x30,
};

/** One word: the thread of this process that attaches at this moment; 0: none does. */
export const attaching = new Int32Array(new SharedArrayBuffer(4));
let canGiveUp: boolean | undefined;

/**
 * This thread becomes the tracer of `tid`, which does not notice.
 * @throws Refusal EPERM it has another, or may not be traced; EINTR its process becomes another program, and
 * that was too long to wait for; ESRCH it is gone.
 */
export function seize(tid: number): void {
  canGiveUp ??= installHandler(SIGURG, giveUpCode) !== undefined;
  if (canGiveUp) Atomics.store(attaching, 0, libc().syscall(SYS_gettid, 0, 0, 0));
  const result = libc().ptrace(SEIZE, tid, 0, OPTIONS);
  const errno = result === -1 ? lastErrno() : 0;
  Atomics.store(attaching, 0, 0);
  if (errno === 0) return;
  const why = {
    [Errno.EPERM]: 'it is traced already, or may not be',
    [Errno.EINTR]: 'its process becomes another program',
  }[errno];
  throw new Refusal(errno, `thread ${tid} cannot be traced: ${why ?? 'it is gone'}`);
}

/** The thread that `words` (`attaching`) name gives up. To be called by another thread of this process. */
export function giveUpAttaching(words: Int32Array): void {
  const tid = Atomics.load(words, 0);
  if (tid !== 0) libc().syscall(SYS_tgkill, process.pid, tid, SIGURG);
}
