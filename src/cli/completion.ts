/**
 * `ioasid completion`: what a shell completes after `ioasid`, made of the definitions of its commands.
 *
 * Names of commands and options, and what an option takes where that is a list or a file. What comes after
 * the `--` of `run` is a command of the user's, with its arguments.
 */
import type { Argument, Command, Option } from 'commander';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** The script for `shell`, to be sourced. */
export function completion(program: Command, shell: Shell): string {
  if (shell === 'fish') return fish(program);
  const bash = bashScript(program);
  return shell === 'bash' ? bash : `autoload -U +X bashcompinit && bashcompinit\n${bash}`;
}

/** Commands and options that help shows. */
function commandsOf(program: Command): Command[] {
  return [...program.createHelp().visibleCommands(program)];
}

function optionsOf(command: Command): Option[] {
  return command.createHelp().visibleOptions(command);
}

function flagsOf({ short, long }: Option): string[] {
  return [short, long].filter((flag) => flag !== undefined);
}

/** How bash finds what an option or argument takes: words of a list, files, or nothing that we know. */
function bashWords(list: readonly string[] | undefined, name: string): string {
  if (list !== undefined) return `COMPREPLY=($(compgen -W '${list.join(' ')}' -- "$cur"))`;
  return name === 'file' || name === 'folder' ? 'COMPREPLY=($(compgen -f -- "$cur"))' : 'COMPREPLY=()';
}

function bashScript(program: Command): string {
  const commands = commandsOf(program);
  const options = optionsOf(program).flatMap(flagsOf);
  const names = commands.map((command) => command.name());
  return [
    '_ioasid() {',
    `  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command= word i`,
    '  for ((i = 1; i < COMP_CWORD; i++)); do',
    `    word=\${COMP_WORDS[i]}`,
    '    if [[ $word == -- ]]; then',
    '      ((i == COMP_CWORD - 1)) && COMPREPLY=($(compgen -c -- "$cur")) || ' +
      'COMPREPLY=($(compgen -f -- "$cur"))',
    '      return',
    '    fi',
    '    [[ -z $command && $word != -* ]] && command=$word',
    '  done',
    '  case $command in',
    "    '')",
    `      COMPREPLY=($(compgen -W '${[...names, ...options].join(' ')}' -- "$cur"))`,
    '      ;;',
    ...commands.flatMap(bashCase),
    '  esac',
    '}',
    'complete -F _ioasid ioasid',
    '',
  ].join('\n');
}

function bashCase(command: Command): string[] {
  const options = optionsOf(command);
  const argument: Argument | undefined = command.registeredArguments[0];
  const flags = options.flatMap(flagsOf).join(' ');
  return [
    `    ${command.name()})`,
    '      case $prev in',
    ...options
      .filter(({ required }) => required)
      .map(
        (option) =>
          `        ${flagsOf(option).join('|')}) ${bashWords(option.argChoices, takenBy(option))} ;;`,
      ),
    `        *) if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W '${flags}' -- "$cur"))`,
    `           else ${bashWords(argument?.argChoices, argument?.name() ?? '')}; fi ;;`,
    '      esac',
    '      ;;',
  ];
}

/** `file` of `--output <file>`. */
function takenBy({ flags }: Option): string {
  return /<(.*)>/.exec(flags)?.[1] ?? '';
}

function fish(program: Command): string {
  const lines = commandsOf(program).flatMap((command) => [
    `complete -c ioasid -n __fish_use_subcommand -f -a ${command.name()} -d ${quoted(command.description())}`,
    ...optionsOf(command).map((option) => fishOption(command.name(), option)),
  ]);
  return `${lines.join('\n')}\n`;
}

function fishOption(command: string, option: Option): string {
  const { short, long, required, argChoices, description } = option;
  const taken = argChoices === undefined ? '' : ` -f -a ${quoted(argChoices.join(' '))}`;
  return (
    `complete -c ioasid -n '__fish_seen_subcommand_from ${command}'` +
    `${short ? ` -s ${short.slice(1)}` : ''}${long ? ` -l ${long.slice(2)}` : ''}` +
    `${required ? ' -r' : ''}${taken} -d ${quoted(description)}`
  );
}

function quoted(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
