/** Scripts that complete the words of our programs in bash, zsh and fish. Everything in them comes from `programs.ts`. */
import type { Place, Program, ProgramOption } from './programs.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

export function completionScript(shell: Shell, programs: readonly Program[]): string {
  return { bash: bashScript, zsh: zshScript, fish: fishScript }[shell](programs);
}

/** In `uipvs ipvsadm ...` the rest is that of another program. */
const PASSED_ON = { word: 'ipvsadm', program: 'uipvsadm' };

function bashScript(programs: readonly Program[]): string {
  const names = programs.flatMap((program) => program.names);
  return `# Completion for bash, made by \`uipvs completion bash\`: read it with \`source\`, or put it into
# /usr/share/bash-completion/completions/uipvs with links for the other programs.
_uipvs() {
  local program=\${COMP_WORDS[0]##*/} word=\${COMP_WORDS[1]} at=1
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} found=
  if [[ $program == uipvs && $word == ${PASSED_ON.word} && $COMP_CWORD -gt 1 ]]; then
    program=${PASSED_ON.program} word=\${COMP_WORDS[2]} at=2
  fi
  if [[ $COMP_CWORD -le $at ]]; then word=; fi
  # --option=value comes as three words.
  if [[ $current == = ]]; then current= before=\${COMP_WORDS[COMP_CWORD-1]}
  elif [[ $before == = ]]; then before=\${COMP_WORDS[COMP_CWORD-2]}; fi
  COMPREPLY=()
  case "$program $word $before" in
${programs.flatMap((program) => program.places.flatMap((place) => bashValues(program, place))).join('\n')}
  esac
  case "$program $word" in
${programs.flatMap((program) => program.places.map((place) => bashPlace(program, place))).join('\n')}
  esac
  COMPREPLY=($(compgen -W "$found" -- "$current"))
}
complete -o bashdefault -o default -F _uipvs ${names.join(' ')}
`;
}

/** Behind an option that must have a value come only values; files when none are known. */
function bashValues(program: Program, place: Place): string[] {
  return place.options.flatMap(({ names, value }) => {
    if (value === null || value.optional) return [];
    const patterns = bashPatterns(program, place).flatMap((start) => names.map((name) => `"${start} ${name}"`));
    const reply =
      value.choices.length === 0 ? '' : ` COMPREPLY=($(compgen -W "${value.choices.join(' ')}" -- "$current"));`;
    return [`    ${patterns.join('|')})${reply} return ;;`];
  });
}

function bashPlace(program: Program, place: Place): string {
  const words = place.words.length === 0 ? program.places.slice(1).flatMap((other) => other.words) : [];
  const found = [...new Set([...words, ...place.options.flatMap(({ names }) => names), ...place.operands])];
  const patterns = bashPatterns(program, place).map((pattern) => `"${pattern}"`);
  return `    ${patterns.join('|')}) found="${found.join(' ')}" ;;`;
}

/** A program with one place only has it behind all words. */
function bashPatterns({ names, places }: Program, { words }: Place): string[] {
  if (words.length > 0) return names.flatMap((name) => words.map((word) => `${name} ${word}`));
  return names.map((name) => (places.length === 1 ? `${name} "*"` : `${name} `));
}

function zshScript(programs: readonly Program[]): string {
  const names = programs.flatMap((program) => program.names);
  return `#compdef ${names.join(' ')}
# Completion for zsh, made by \`uipvs completion zsh\`: put it as _uipvs into a directory of $fpath.
_uipvs() {
  local program=\${words[1]:t} word=\${words[2]} before=\${words[CURRENT-1]} at=2
  local -a found
  if [[ $program == uipvs && $word == ${PASSED_ON.word} && $CURRENT -gt 2 ]]; then
    program=${PASSED_ON.program} word=\${words[3]} at=3
  fi
  if (( CURRENT <= at )); then word=; fi
  case "$program $word $before" in
${programs.flatMap((program) => program.places.flatMap((place) => zshValues(program, place))).join('\n')}
  esac
  case "$program $word" in
${programs.flatMap((program) => program.places.map((place) => zshPlace(program, place))).join('\n')}
  esac
  _describe -o 'words and options' found
}
if [[ $funcstack[1] == _uipvs ]]; then _uipvs "$@"; else compdef _uipvs ${names.join(' ')}; fi
`;
}

function zshValues(program: Program, place: Place): string[] {
  return place.options.flatMap(({ names, value }) => {
    if (value === null || value.optional) return [];
    const patterns = bashPatterns(program, place).flatMap((start) => names.map((name) => `"${start} ${name}"`));
    const reply = value.choices.length === 0 ? '_files' : `compadd -- ${value.choices.join(' ')}`;
    return [`    ${patterns.join('|')}) ${reply}; return ;;`];
  });
}

function zshPlace(program: Program, place: Place): string {
  const patterns = bashPatterns(program, place).map((pattern) => `"${pattern}"`);
  const found = candidates(program, place).map(([name, text]) =>
    quoted(text === '' ? name : `${name.replaceAll(':', '\\:')}:${text}`),
  );
  return `    ${patterns.join('|')}) found=(${found.join(' ')}) ;;`;
}

/** What can stand here, with what it means. */
function candidates(program: Program, place: Place): (readonly [name: string, text: string])[] {
  const others = place.words.length === 0 ? program.places.slice(1) : [];
  const all: (readonly [string, string])[] = [
    ...others.flatMap(({ words, summary }) => words.map((word) => [word, summary] as const)),
    ...place.options.flatMap(({ names, text }) => names.map((name) => [name, text] as const)),
    ...place.operands.map((operand) => [operand, ''] as const),
  ];
  return [...new Map(all.toReversed()).entries()].toReversed();
}

function fishScript(programs: readonly Program[]): string {
  const lines = programs.flatMap((program) =>
    program.names.flatMap((name) => [
      ...(program.places.length === 1 ? [] : [`complete -c ${name} -f`]),
      ...program.places.flatMap((place) => fishPlace(name, program, place)),
    ]),
  );
  return `# Completion for fish, made by \`uipvs completion fish\`: put it into ~/.config/fish/completions/uipvs.fish.
function __uipvs_word
  set -l typed (commandline -opc)
  test (count $typed) -ge 2; and contains -- $typed[2] $argv
end
function __uipvs_first
  test (count (commandline -opc)) -eq 1
end
${lines.join('\n')}
`;
}

function fishPlace(name: string, program: Program, place: Place): string[] {
  const first = place.words.length === 0;
  const here = first ? '__uipvs_first' : `__uipvs_word ${place.words.join(' ')}`;
  const start = `complete -c ${name}${first && program.places.length === 1 ? '' : ` -n ${quoted(here)}`}`;
  const words = first ? program.places.slice(1).filter(({ words: [word] }) => word?.startsWith('-') !== true) : [];
  return [
    ...words.flatMap((other) => other.words.map((word) => `${start} -a ${word} -d ${quoted(other.summary)}`)),
    ...place.options.map((option) => `${start}${fishOption(option)}`),
    ...place.operands.map((operand) => `${start} -a ${quoted(operand)}`),
  ];
}

function fishOption({ names, text, value }: ProgramOption): string {
  const spelled = names.map((name) => (name.startsWith('--') ? ` -l ${name.slice(2)}` : ` -s ${name.slice(1)}`));
  const wanted = value === null || value.optional ? '' : value.choices.length > 0 ? ' -x' : ' -r';
  const choices = value === null || value.choices.length === 0 ? '' : ` -a ${quoted(value.choices.join(' '))}`;
  return `${spelled.join('')}${wanted}${choices} -d ${quoted(text)}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
