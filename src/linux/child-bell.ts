/**
 * The bell of traced processes: SIGCHLD as a descriptor that becomes readable, so that a thread that sleeps
 * in poll(2) wakes for the stops of those it traces.
 *
 * signalfd(2) would not do: a signal is lost for it when the kernel gives it to a thread that has not blocked
 * it, and V8 has threads of its own. libuv's handler would give Node a turn of its loop for each stop. So the
 * handler is machine code of ours (machine-code.ts): it adds 1 to an eventfd, whichever thread it runs on,
 * and hands on to libuv's what is not of traced ones (si_code other than CLD_TRAPPED, CLD_STOPPED,
 * CLD_CONTINUED). Where there is no code for the processor there is no bell. Who is about to look for stops
 * may have it silent for them meanwhile (`tellStops`).
 */
import { check, libc } from './ffi.js';
import { installHandler, type MachineCode, setActionFlag } from './machine-code.js';

const SIGCHLD = 17;
const SA_NOCLDSTOP = 1;
/** EFD_NONBLOCK | EFD_CLOEXEC. */
const EFD_FLAGS = 0o2004000;

/** By process.arch. Behind `previous`: the eventfd at 8, the number 1 at 16. */
export const bellCodes: Readonly<Record<string, MachineCode>> = {
  x64: {
    handler: 0,
    previous: 0x40,
    text: `
                            | handler:                     | edi signal, rsi siginfo, rdx ucontext
      56                    |   push rsi                   |
      57                    |   push rdi                   |
      52                    |   push rdx                   |
      8b 3d 3f 00 00 00     |   mov edi, [rip + previous + 8]  |
      48 8d 35 40 00 00 00  |   lea rsi, [rip + previous + 16] |
      ba 08 00 00 00        |   mov edx, 8                 |
      b8 01 00 00 00        |   mov eax, 1                 | write(eventfd, &1, 8)
      0f 05                 |   syscall                    |
      5a                    |   pop rdx                    |
      5f                    |   pop rdi                    |
      5e                    |   pop rsi                    |
      8b 46 08              |   mov eax, [rsi + 8]         | si_code
      83 e8 04              |   sub eax, 4                 | CLD_TRAPPED 4, CLD_STOPPED 5, CLD_CONTINUED 6
      83 f8 02              |   cmp eax, 2                 |
      76 0f                 |   jbe done                   |
      48 8b 05 0f 00 00 00  |   mov rax, [rip + previous]  | the handler that was there before
      48 83 f8 01           |   cmp rax, 1                 |
      76 02                 |   jbe done                   | SIG_DFL 0 and SIG_IGN 1 are no handlers
      ff e0                 |   jmp rax                    | it finds its arguments where we did
                            | done:                        |
      c3                    |   ret                        |
                            | .balign 8                    |
                            | previous:                    |`,
  },
};

let made: number | undefined;

/**
 * An eventfd that is readable when a child or traced thread has changed; undefined where there is none.
 * libuv's handler must be in force before, and stay: listen to SIGCHLD first. @throws Refusal EMFILE.
 */
export function childBell(): number | undefined {
  const code = bellCodes[process.arch];
  if (made !== undefined || code === undefined) return made;
  const eventfd = check(libc().eventfd(0, EFD_FLAGS), 'no eventfd could be made');
  const data = new Uint8Array(16);
  const view = new DataView(data.buffer);
  view.setInt32(0, eventfd, true);
  view.setInt32(8, 1, true);
  if (installHandler(SIGCHLD, code, data) !== undefined) made = eventfd;
  else libc().close(eventfd);
  return made;
}

/** Does the bell ring for stops, not for ends alone? It does from the beginning. */
export function tellStops(told: boolean): void {
  if (made !== undefined) setActionFlag(SIGCHLD, SA_NOCLDSTOP, !told);
}
