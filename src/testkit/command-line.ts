/**
 * The command line of a benchmark, a suite or a fuzzer: `--help` says what it takes, and what it does not
 * know is refused in a line, with status 2, before anything is built or measured.
 */
import { Argument, Command } from 'commander';

/** @param script its name in package.json. @param about what it does. */
export function commandLine(script: string, about: string): Command {
  return new Command(`npm run ${script} --`)
    .description(about)
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2));
}

/** An argument for any of `names`, or none, which means all of them. */
export function someOf(what: string, names: Iterable<string>): Argument {
  const known = [...names];
  return new Argument(`[${what}...]`, 'all of them when none is named').choices(known);
}
