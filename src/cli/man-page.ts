/** `ioasid man`: the manual page, ioasid(1), made of the definitions of its commands. */
import type { Command } from 'commander';
import { exitStatuses } from './exit-statuses.js';

/** In roff, with the man macros. */
export function manPage(program: Command, version: string): string {
  const commands = program.createHelp().visibleCommands(program);
  return [
    `.TH IOASID 1 "" "ioasid ${version}" "User Commands"`,
    '.SH NAME',
    `ioasid \\- ${roff(program.description())}`,
    '.SH SYNOPSIS',
    ...commands.map((command) => `.B ${roff(usageOf(command))}\n.br`),
    '.SH OPTIONS',
    ...optionLines(program),
    '.SH COMMANDS',
    ...commands.flatMap((command) => [
      `.SS ${roff(usageOf(command))}`,
      roff(command.description()),
      ...argumentLines(command),
      ...optionLines(command),
    ]),
    '.SH "EXIT STATUS"',
    ...exitStatuses.flatMap(([status, when]) => tagged(status, when.replaceAll('`', ''))),
    '',
  ].join('\n');
}

function usageOf(command: Command): string {
  return `ioasid ${command.name()} ${command.usage()}`;
}

function argumentLines(command: Command): string[] {
  const help = command.createHelp();
  return help
    .visibleArguments(command)
    .flatMap((argument) => tagged(help.argumentTerm(argument), help.argumentDescription(argument)));
}

function optionLines(command: Command): string[] {
  const help = command.createHelp();
  return help
    .visibleOptions(command)
    .flatMap((option) => tagged(help.optionTerm(option), help.optionDescription(option)));
}

function tagged(term: string, description: string): string[] {
  return ['.TP', `.B ${roff(term)}`, roff(description)];
}

/** Text as roff has it: no line of it is a request. */
function roff(text: string): string {
  return text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replace(/^[.']/gm, '\\&$&');
}
