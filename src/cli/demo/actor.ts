/**
 * Actor: whoever plays a VM. It is told lines and answers each with one line (the protocol of examples/vm.c).
 */
export interface Actor {
  /** What it is: `C program, process 4711`. */
  readonly what: string;

  /** Has it do what `line` says. @returns `ok NUMBER` or `no ERRNO REASON`. @throws Error when it is gone. */
  obey(line: string): Promise<string>;

  /** Ends it as `kill -9` does. Resolves when it is gone. */
  kill(): Promise<void>;
}
