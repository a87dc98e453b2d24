/** `uipvs completion` and `uipvs man`: what the tables of words and options become besides help texts. */
import type { Cli } from './cli.ts';
import { type CommandDescription, USAGE_EXIT_CODE, type Word } from './command-line.ts';

/** Files in a package: `uipvs.bash`, `_uipvs`, `uipvs.fish`. */
const COMPLETION_FILES = { bash: 'uipvs.bash', zsh: '_uipvs', fish: 'uipvs.fish' } as const;
const SHELLS = Object.keys(COMPLETION_FILES) as (keyof typeof COMPLETION_FILES)[];
/** `man.ts` has the same; it is loaded when a page is asked for. */
const PAGES = ['uipvs', 'uipvsd', 'uipvsadm', 'uldirectord'] as const;
const WRITE_OPTION = { flags: '--write <directory>', description: 'write all of them to this directory' };

/** `words` are all words of `uipvs`. */
export function completionWord(cli: Cli, words: () => readonly Word[]): Word {
  return {
    name: 'completion',
    summary: 'print what makes a shell complete our words',
    operands: '[shell]',
    operandChoices: SHELLS,
    options: [WRITE_OPTION],
    notes: `Shells, and how each is told:
  bash  source <(uipvs completion bash)
  zsh   uipvs completion zsh > ~/.zfunc/_uipvs      (a directory of $fpath)
  fish  uipvs completion fish > ~/.config/fish/completions/uipvs.fish

They complete uipvs, uipvsd, uipvsadm and ipvsadm.`,
    run: async ({ operands, write }) => {
      const [{ completionScript }, { allPrograms }] = await Promise.all([
        import('./completion.ts'),
        import('./programs.ts'),
      ]);
      const programs = allPrograms(words());
      return printOrWrite(cli, 'completion', { operands, write }, SHELLS, (shell) => ({
        file: COMPLETION_FILES[shell],
        text: completionScript(shell, programs),
      }));
    },
  };
}

export function manWord(cli: Cli, uipvs: CommandDescription, words: () => readonly Word[]): Word {
  return {
    name: 'man',
    summary: 'print a manual page',
    operands: '[page]',
    operandChoices: PAGES,
    options: [WRITE_OPTION],
    notes: `Pages: ${PAGES.join(', ')}. To read one: uipvs man uipvsadm | man -l -`,
    run: async ({ operands, write }) => {
      const { manualPage } = await import('./man.ts');
      return printOrWrite(cli, 'man', { operands, write }, PAGES, (page) => ({
        file: `${page}.8`,
        text: manualPage(page, uipvs, words()),
      }));
    },
  };
}

async function printOrWrite<T extends string>(
  cli: Cli,
  word: string,
  { operands, write }: { readonly operands?: unknown; readonly write?: unknown },
  choices: readonly T[],
  make: (choice: T) => { readonly file: string; readonly text: string },
): Promise<number> {
  if (typeof write === 'string') {
    const { mkdirSync, writeFileSync } = await import('node:fs');
    mkdirSync(write, { recursive: true });
    for (const choice of choices) {
      const { file, text } = make(choice);
      writeFileSync(`${write}/${file}`, text);
    }
    return 0;
  }
  const [typed] = operands as readonly string[];
  const choice = choices.find((known) => known === typed);
  if (choice === undefined) {
    await cli.stderr(`uipvs ${word}: type one of ${choices.join(', ')}\n`);
    return USAGE_EXIT_CODE;
  }
  await cli.stdout(make(choice).text);
  return 0;
}
